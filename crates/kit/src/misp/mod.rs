//! MISP events, in and out.
//!
//! In: one event, a list of them, or the answer of a search (`{"response": …}`), walked attribute by attribute. What an
//! event says of all its attributes (tags, level, title) may stand after them, so the rows of one event are held until
//! it ends: in memory, and in a nameless temporary file once they are many. An event's rows are handed over when the
//! next one begins or the document ends well, so a document of one event that is broken anywhere gives nothing.
//!
//! `to_ids` off is filtered. A deleted attribute is the source taking its word back: a retraction, with the time of the
//! deletion as version. Galaxies, proposals, sightings, references and reports are passed over; `distribution` and
//! `disable_correlation` are about the sender's own house.
//!
//! Sources: the MISP core format (<https://www.misp-standard.org/rfc/misp-standard-core.html>) and the types that PyMISP
//! 2.5 lists.

mod attribute;
mod held;
mod types;
mod write;

pub(crate) use write::EventWriter;

use crate::connection::Rows;
use crate::error::ConnectorError;
use crate::feed::json::{Kept, Scan};
use crate::feed::{Counted, ParseStats, json_text};
use attribute::{Attribute, List, Object, Scalar, Tag};
use held::{Batch, Held};
use intel::echo::HOP_TAG;
use intel::{Severity, Timestamp, Tlp};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::io::BufRead;
use types::Part;

/// The largest attribute or object that is read, in bytes as written; a larger one is a single rejected row.
pub const OBJECT_BYTES: usize = 16 << 20;
/// Most tags of one event or attribute that are kept. All are looked through for markings.
const TAGS: usize = intel::limits::TAGS_PER_RECORD;
/// How deep events may lie in each other: a list, an answer, an event.
const NESTING: usize = 6;

/// What a document said of its last event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    /// Its id, as written.
    pub uuid: Option<String>,
    /// When it was last edited.
    pub timestamp: Option<Timestamp>,
}

/// Reads events and hands over what they hold.
///
/// # Errors
/// `Unexpected` for what is no MISP document, or is not valid JSON, with the place. Of the last event, nothing was
/// handed over then.
pub fn read(body: impl BufRead, rows: &mut dyn Rows) -> Result<ParseStats, ConnectorError> {
    read_event(body, None, rows).map(|(stats, _)| stats)
}

/// The same, and what the last event says of itself. With `only`, an event that says it is another one is an error: a
/// feed must not answer for one event with the words of a different one.
///
/// # Errors
/// As [`read`].
pub fn read_event(
    body: impl BufRead,
    only: Option<&str>,
    rows: &mut dyn Rows,
) -> Result<(ParseStats, Head), ConnectorError> {
    let mut body = json_text(Box::new(body))?;
    let mut scan = Scan::with_rows_of(body.as_mut(), OBJECT_BYTES);
    if scan.after_blanks()?.is_none() {
        return Err(unexpected("an empty body where a MISP event was expected"));
    }
    let mut document = Document { out: Counted::new(rows), ready: None, reached: false, head: Head::default(), only };
    document.entities(&mut scan, 0)?;
    if scan.after_blanks()?.is_some() {
        return Err(scan.broken("more than one JSON value"));
    }
    if !document.reached {
        return Err(unexpected("no MISP event in the JSON document"));
    }
    document.flush()?;
    Ok((document.out.stats, document.head))
}

/// Is this the id of an event, and nothing else: 36 characters of hexadecimal and dashes? Only such a text may become
/// part of a path.
pub fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn unexpected(what: &str) -> ConnectorError {
    ConnectorError::Unexpected(what.into())
}

/// What an event says of all its attributes.
#[derive(Debug, Default)]
struct About {
    info: Option<String>,
    severity: Option<Severity>,
    timestamp: Option<Timestamp>,
    uuid: Option<String>,
    marks: Marks,
}

/// Tags, told apart.
#[derive(Debug, Default)]
struct Marks {
    tags: Vec<String>,
    hops: Vec<String>,
    tlp: Option<Tlp>,
}

impl Marks {
    fn of(tags: &List<Tag<'_>>) -> Marks {
        // Where there are more than anybody reads, one of them may be a marking.
        let mut out = Marks { tlp: tags.1.then_some(Tlp::Red), ..Marks::default() };
        for tag in tags.0.iter().filter_map(|tag| tag.0.as_deref()) {
            let tag = tag.trim();
            if let Some(tlp) = Tlp::of_tag(tag) {
                out.tlp = out.tlp.max(Some(tlp));
            } else if let Some(hop) = tag.strip_prefix(HOP_TAG) {
                if out.hops.len() < intel::limits::HOPS_PER_RECORD {
                    out.hops.push(clip(hop, intel::limits::HOP_BYTES + 1));
                }
            } else if !tag.is_empty() && out.tags.len() < TAGS {
                out.tags.push(clip(tag, intel::limits::TAG_BYTES));
            }
        }
        out
    }
}

struct Document<'a> {
    out: Counted<'a>,
    /// An event that ended well, and waits for the document to go on.
    ready: Option<(About, Batch)>,
    /// There was something of MISP.
    reached: bool,
    head: Head,
    /// The only event it may hold.
    only: Option<&'a str>,
}

impl Document<'_> {
    /// An event, an answer, or a list of them.
    fn entities(&mut self, scan: &mut Scan<'_>, depth: usize) -> Result<(), ConnectorError> {
        if depth > NESTING {
            return Err(scan.broken("events in each other"));
        }
        match scan.token()? {
            b'[' => {
                // The answer of a search that found nothing.
                self.reached |= depth > 0;
                scan.elements(&mut |scan| self.entities(scan, depth + 1))
            }
            b'{' => self.entity(scan, depth),
            _ => pass(scan),
        }
    }

    fn entity(&mut self, scan: &mut Scan<'_>, depth: usize) -> Result<(), ConnectorError> {
        let mut about = About::default();
        let mut batch = Batch::default();
        let mut seen: Vec<&'static str> = Vec::new();
        let mut own = false;
        scan.members(&mut |scan, name| {
            const KNOWN: [&str; 9] =
                ["Event", "response", "Attribute", "Object", "Tag", "info", "threat_level_id", "timestamp", "uuid"];
            if let Some(known) = KNOWN.iter().find(|known| **known == name) {
                if seen.contains(known) {
                    return Err(scan.broken("a name stands twice in a JSON object"));
                }
                seen.push(known);
            }
            match name {
                "Event" | "response" => {
                    self.reached = true;
                    self.entities(scan, depth + 1)
                }
                "Attribute" | "Object" => {
                    self.reached = true;
                    own = true;
                    let object = name == "Object";
                    if scan.token()? == b'[' {
                        scan.elements(&mut |scan| row(scan, object, &mut batch))
                    } else {
                        row(scan, object, &mut batch)
                    }
                }
                "Tag" => {
                    match scan.keep_if_small()? {
                        Some(kept) => about.marks = Marks::of(&parsed(&kept, scan)?),
                        // Tags nobody can read may hold a marking.
                        None => about.marks.tlp = Some(Tlp::Red),
                    }
                    Ok(())
                }
                "info" | "threat_level_id" | "timestamp" | "uuid" => {
                    let Some(kept) = scan.keep_if_small()? else { return Ok(()) };
                    let value: Scalar<'_> = parsed(&kept, scan)?;
                    match name {
                        "info" => about.info = value.filled().map(comment),
                        "uuid" => about.uuid = value.filled().filter(|text| is_uuid(text)).map(str::to_owned),
                        "timestamp" => about.timestamp = value.time(),
                        _ => {
                            about.severity = match value.number() {
                                Some(1) => Some(Severity::High),
                                Some(2) => Some(Severity::Medium),
                                Some(3) => Some(Severity::Low),
                                _ => None,
                            }
                        }
                    }
                    Ok(())
                }
                _ => pass(scan),
            }
        })?;
        if own || about.info.is_some() {
            self.reached = true;
            self.flush()?;
            self.head = Head { uuid: about.uuid.clone(), timestamp: about.timestamp };
            self.ready = Some((about, batch));
        }
        Ok(())
    }

    /// Hands over the event that waits.
    fn flush(&mut self) -> Result<(), ConnectorError> {
        let Some((about, mut batch)) = self.ready.take() else { return Ok(()) };
        if let (Some(only), Some(uuid)) = (self.only, &about.uuid)
            && !uuid.trim().eq_ignore_ascii_case(only)
        {
            return Err(unexpected("its uuid is not the one it is listed under"));
        }
        for (reason, n) in std::mem::take(&mut batch.filtered) {
            self.out.filter_all(reason, n);
        }
        for (reason, sample) in std::mem::take(&mut batch.rejected) {
            self.out.reject(reason, &sample);
        }
        for (reason, n) in std::mem::take(&mut batch.rejected_more) {
            (0..n).for_each(|_| self.out.reject(reason, ""));
        }
        batch.each(&mut |held| {
            let mut row = held.observation();
            row.severity = about.severity;
            row.modified = row.modified.or(about.timestamp);
            if row.comment.is_none() {
                row.comment.clone_from(&about.info);
            }
            row.tlp = row.tlp.max(about.marks.tlp);
            row.tags.extend(about.marks.tags.iter().cloned());
            row.hops.extend(about.marks.hops.iter().cloned());
            self.out.row(row);
        })
    }
}

/// Past a value that is of no interest. Judged as JSON all the same, unless it is too large to be kept.
fn pass(scan: &mut Scan<'_>) -> Result<(), ConnectorError> {
    if let Some(kept) = scan.keep_if_small()? {
        let _: IgnoredAny = parsed(&kept, scan)?;
    }
    Ok(())
}

/// Reads what `scan` has just passed.
fn parsed<'de, T: Deserialize<'de>>(kept: &'de Kept, scan: &'de Scan<'_>) -> Result<T, ConnectorError> {
    let bytes = scan.text(kept);
    serde_json::from_slice(bytes).map_err(|error| broken(&error, bytes, scan))
}

/// Says where in the document a value is broken.
fn broken(error: &serde_json::Error, bytes: &[u8], scan: &Scan<'_>) -> ConnectorError {
    let inside = memchr::memchr_iter(b'\n', bytes).count() as u64;
    let line = scan.line().saturating_sub(inside) + (error.line() as u64).saturating_sub(1);
    let text = error.to_string();
    let why = text.split(" at line ").next().unwrap_or_default();
    unexpected(&format!("broken JSON: {why}, at line {line}"))
}

/// One attribute, or one object with its attributes.
fn row(scan: &mut Scan<'_>, object: bool, batch: &mut Batch) -> Result<(), ConnectorError> {
    // Nearly every attribute lies in the buffer whole, and is in order.
    if !object && let Some(attribute) = scan.direct::<Attribute<'_>>() {
        return hold(&attribute, None, batch);
    }
    let Some(kept) = scan.keep_if_small()? else {
        batch.reject("object too large", "");
        return Ok(());
    };
    let bytes = scan.text(&kept);
    // Text that is no UTF-8 is one bad object; broken structure is a broken document.
    let Ok(text) = std::str::from_utf8(bytes) else {
        batch.reject("not UTF-8", &String::from_utf8_lossy(&bytes[..bytes.len().min(200)]));
        return Ok(());
    };
    if object {
        let object: Object<'_> = serde_json::from_str(text).map_err(|error| broken(&error, bytes, scan))?;
        if object.bad {
            batch.reject("not readable as an object", &String::from_utf8_lossy(&bytes[..bytes.len().min(200)]));
            return Ok(());
        }
        if object.attributes.1 {
            batch.reject("object too large", object.name.filled().unwrap_or_default());
            return Ok(());
        }
        for attribute in &object.attributes.0 {
            hold(attribute, Some(&object), batch)?;
        }
        Ok(())
    } else {
        let attribute: Attribute<'_> = serde_json::from_str(text).map_err(|error| broken(&error, bytes, scan))?;
        hold(&attribute, None, batch)
    }
}

fn hold(attribute: &Attribute<'_>, object: Option<&Object<'_>>, batch: &mut Batch) -> Result<(), ConnectorError> {
    let value = attribute.value.filled();
    if attribute.bad {
        batch.reject("not readable as an attribute", value.unwrap_or_default());
        return Ok(());
    }
    let Some(name) = attribute.kind.filled() else {
        batch.reject("no kind", value.unwrap_or_default());
        return Ok(());
    };
    let marks = Marks::of(&attribute.tags);
    let object_name = object.and_then(|object| object.name.filled());
    let Some(part) = types::part(name, attribute.relation.filled(), object_name, &marks.tags) else {
        batch.filter("unsupported kind");
        return Ok(());
    };
    if !attribute.to_ids.truth().unwrap_or(types::detects(name)) {
        batch.filter("to_ids off");
        return Ok(());
    }
    let Some(value) = value else {
        batch.reject("no value", name);
        return Ok(());
    };
    let (kind, value) = match part.of(value) {
        Part::Is(kind, value) => (kind, value),
        Part::Unmappable => {
            batch.filter("unmappable");
            return Ok(());
        }
        Part::Broken => {
            batch.reject("a composite without its parts", value);
            return Ok(());
        }
    };
    let gone = object.is_some_and(|object| object.deleted.truth() == Some(true));
    let time = |own: &Scalar<'_>, of: fn(&Object<'_>) -> Option<Timestamp>| own.time().or_else(|| object.and_then(of));
    let mut modified = time(&attribute.timestamp, |object| object.timestamp.time());
    if gone {
        modified = modified.max(object.and_then(|object| object.timestamp.time()));
    }
    let said = attribute.comment.filled().or_else(|| object.and_then(|object| object.comment.filled()));
    let mut tags = marks.tags;
    tags.retain(|tag| !tag.starts_with(types::KIND_TAG));
    batch.hold(Held {
        value: value.into_owned(),
        kind: kind as u8,
        tlp: marks.tlp.map(|tlp| tlp as u8),
        tags,
        hops: marks.hops,
        first_seen: time(&attribute.first_seen, |object| object.first_seen.time()).map(Timestamp::micros),
        last_seen: time(&attribute.last_seen, |object| object.last_seen.time()).map(Timestamp::micros),
        modified: modified.map(Timestamp::micros),
        retracted: gone || attribute.deleted.truth() == Some(true),
        comment: said.map(comment),
        remote_id: attribute.uuid.filled().map(str::to_owned),
    })
}

fn comment(text: &str) -> String {
    clip(text, intel::limits::COMMENT_BYTES)
}

/// Nothing is kept longer than a record would, so that what is held of an event stays small.
fn clip(text: &str, bytes: usize) -> String {
    text[..text.floor_char_boundary(bytes)].to_owned()
}

#[cfg(test)]
mod tests;
