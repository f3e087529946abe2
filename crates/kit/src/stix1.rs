//! STIX 1.x documents. A stub with the agreed signature, to be replaced by the whole room.

use crate::connection::Rows;
use crate::error::ConnectorError;
use intel::Observation;
use quick_xml::Reader;
use quick_xml::events::Event;
use std::io::BufRead;

/// Reads the observables of a STIX 1.x package.
///
/// # Errors
/// `Unexpected` if it is not XML, or what reading failed with.
pub fn read(body: impl BufRead, rows: &mut dyn Rows) -> Result<(), ConnectorError> {
    let mut reader = Reader::from_reader(body);
    let mut buffer = Vec::new();
    let mut is_value = false;
    loop {
        let event = reader.read_event_into(&mut buffer);
        match event.map_err(|error| ConnectorError::Unexpected(format!("is not XML: {error}")))? {
            Event::Start(start) => {
                let name = start.local_name();
                is_value = matches!(name.as_ref(), "Address_Value" | "Value" | "Simple_Hash_Value");
            }
            Event::Text(text) if is_value => {
                is_value = false;
                let text = text.to_string();
                rows.row(Observation::new(text.trim()));
            }
            Event::Eof => return Ok(()),
            _ => {}
        }
        buffer.clear();
    }
}
