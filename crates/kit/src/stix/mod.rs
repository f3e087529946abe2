//! STIX 2.0 and 2.1, read and written.
//!
//! Reading makes observations of indicators: one for each indicator a pattern names, all with what the object says.
//! Whatever else a bundle holds (reports, malware, observed data, sightings) is counted and left, as are patterns that
//! mean more than a set of indicators. Objects may come in any order and of any number; memory does not depend on it.
//! Writing makes one indicator of one key, with one comparison and an id that is always the same for the exchange and
//! the key. What is read of a STIX object is described in docs/feeds.md.
//!
//! Sources: STIX 2.0 and 2.1 of OASIS (docs.oasis-open.org/cti/stix), TLP 2.0 of the OASIS common objects.

mod list;
mod marking;
mod object;
mod path;
pub mod pattern;
mod reader;
mod write;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_pattern;
#[cfg(test)]
mod tests_write;

pub use list::{Listed, Plain};
pub use marking::Markings;
pub use reader::{HOP_SOURCE, OBJECT_BYTES, Reader, Stats};
pub(crate) use write::Writer;
pub use write::{Version, bundle_id, id, id_in, identity, identity_id, object, pattern};

use crate::connection::Rows;
use crate::error::ConnectorError;
use crate::feed::json::Scan;
use crate::feed::lines::{self, Expect};
use std::io::BufRead;

/// Reads a body: a bundle, a TAXII envelope or page, a single object, a list of objects, or objects one a line.
///
/// One bad object is one rejection. The reader goes through the body once, and keeps one object and what waits for a
/// marking (at most 32 MiB).
///
/// # Errors
/// [`ConnectorError::Unexpected`] for what is no STIX at all, or is cut off or broken outside its objects: nothing of
/// it may be used, whatever was handed over before. Whatever the reader's own errors mean.
pub fn read(body: impl BufRead, rows: &mut dyn Rows) -> Result<Stats, ConnectorError> {
    let mut body = lines::readable(Box::new(body), Expect::Json)?;
    let mut reader = Reader::new(rows, Markings::default());
    let mut scan = Scan::new(body.as_mut());
    match scan.after_blanks()? {
        None => return Err(ConnectorError::Unexpected("an empty body where STIX was expected".into())),
        Some(b'{') => first(&mut scan, &mut reader)?,
        Some(b'[') => scan.elements(&mut |scan| {
            let object = scan.keep()?;
            reader.bytes(scan.text(&object));
            Ok(())
        })?,
        Some(_) => return Err(scan.broken("no STIX: expected an object or a list of objects")),
    }
    while let Some(byte) = scan.after_blanks()? {
        if byte != b'{' {
            return Err(scan.broken("something else after the STIX objects"));
        }
        let object = scan.keep()?;
        reader.bytes(scan.text(&object));
    }
    Ok(reader.finish().0)
}

/// The first object of a body: the objects in it, if it is something around objects, of any size; else itself.
fn first(scan: &mut Scan<'_>, reader: &mut Reader<'_>) -> Result<(), ConnectorError> {
    let mut around = false;
    let mut whole = vec![b'{'];
    scan.members(&mut |scan, name| {
        if name == "objects" && scan.token()? == b'[' {
            if around {
                return Err(scan.broken("a name stands twice in a JSON object"));
            }
            around = true;
            whole = Vec::new();
            return scan.elements(&mut |scan| {
                let object = scan.keep()?;
                reader.bytes(scan.text(&object));
                Ok(())
            });
        }
        if around {
            return scan.skip();
        }
        let value = scan.keep()?;
        let value = scan.text(&value);
        if whole.len() + value.len() > OBJECT_BYTES {
            return Err(scan.broken("a single STIX object of more than 4 MiB"));
        }
        if whole.len() > 1 {
            whole.push(b',');
        }
        serde_json::to_writer(&mut whole, name).map_err(|error| ConnectorError::Unexpected(error.to_string()))?;
        whole.push(b':');
        whole.extend_from_slice(value);
        Ok(())
    })?;
    if around {
        return Ok(());
    }
    whole.push(b'}');
    match kind(&whole) {
        Some(Kind::Object) => reader.bytes(&whole),
        // TAXII says of a page without objects that it may be empty (TAXII 2.1, 3.7).
        Some(Kind::EmptyEnvelope) => {}
        None => return Err(ConnectorError::Unexpected("JSON, but neither a bundle nor a STIX object".into())),
    }
    Ok(())
}

enum Kind {
    Object,
    EmptyEnvelope,
}

/// What an object without objects in it is. None if it is no STIX: an error message, for example.
fn kind(whole: &[u8]) -> Option<Kind> {
    let members: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(whole).ok()?;
    let text = |name: &str| members.get(name).and_then(serde_json::Value::as_str);
    match (text("type"), text("id")) {
        (Some(kind), Some(id)) if !kind.is_empty() && id.contains("--") => Some(Kind::Object),
        _ if members.keys().all(|name| matches!(name.as_str(), "more" | "next")) => Some(Kind::EmptyEnvelope),
        _ => None,
    }
}
