//! Feeds without code: what a list, a table or a JSON document says, read by a description instead of a program.
//!
//! [`parse`] is the pure core: bytes in, observations out, in one pass and bounded memory. A [`FeedSpec`] is what the
//! settings say about the format. [`FeedConnector`] makes a connection of a description; the descriptions of public
//! feeds are small TOML files. What the key parser thinks of a value is not asked here, except where nothing says
//! which column holds it.

pub(crate) mod json;
pub(crate) mod lines;
mod map;
mod settings;
mod source;
mod table;
mod text;
mod time;

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod oddities;
#[cfg(test)]
mod source_tests;
#[cfg(test)]
mod tests;

pub use lines::LINE_BYTES;
pub use settings::{FeedSpec, Format};
pub use source::{FeedConnection, FeedConnector};
pub(crate) use time::fixed as fixed_time;

use crate::connection::Rows;
use crate::error::ConnectorError;
use intel::{IndicatorKey, IndicatorKind, Observation};
use lines::Expect;
use std::borrow::Cow;
use std::io::{BufRead, Read};

/// What reading a body came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ParseStats {
    /// Observations handed over.
    pub rows: u64,
    /// Candidate rows that could not be read.
    pub rejected: u64,
    /// Things that are no candidates: not an indicator, of no supported kind, switched off.
    pub filtered: u64,
    /// Lines that were not UTF-8 and were read as Windows-1252.
    pub recoded: u64,
    /// Optional fields (a date, a number) that could not be read and were left out.
    pub unread_fields: u64,
}

impl ParseStats {
    /// Candidate rows: what the accounting calls `read`.
    pub fn read(&self) -> u64 {
        self.rows + self.rejected
    }
}

/// Reads a body that is already unpacked and hands over what it holds.
///
/// Blank lines and comments are not candidates and are not counted. One bad row is one rejection; a body that is not
/// what was described (a web page, a truncated document, binary data) is an error, and nothing of it may be used.
///
/// # Errors
/// [`ConnectorError::Unexpected`] as said; whatever the reader's own errors mean.
pub fn parse(spec: &FeedSpec, body: impl BufRead, rows: &mut dyn Rows) -> Result<ParseStats, ConnectorError> {
    let mut sink = Sink { rows, stats: ParseStats::default(), spec, guessed: false };
    // These judge for themselves what they read.
    match spec.format {
        Format::Stix => stix(body, &mut sink)?,
        Format::Misp => drop(crate::misp::read(body, &mut sink)?),
        Format::Openioc => drop(crate::openioc::read(body, &mut sink)?),
        Format::Stix1 => drop(crate::stix1::read(body, &mut sink)?),
        _ => parse_plain(spec, body, &mut sink)?,
    }
    Ok(sink.stats)
}

/// How much of a body is looked at to tell XML from JSON, in bytes.
const SNIFF_BYTES: usize = 1024;

/// STIX of any version: what begins like XML is a package of STIX 1.
fn stix(mut body: impl BufRead, sink: &mut Sink<'_>) -> Result<(), ConnectorError> {
    // A reader may hand out its first bytes in crumbs: gather enough to judge by, then put them in front again.
    let mut head = Vec::new();
    loop {
        let n = (&mut body).take(SNIFF_BYTES as u64).read_to_end(&mut head).map_err(|error| io_error(&error))?;
        // Blanks mean nothing to either reader, however many there are.
        if n < SNIFF_BYTES || !head.trim_ascii_start().is_empty() {
            break;
        }
        head.clear();
    }
    // In UTF-16 every second byte of what tells the two apart is zero.
    let is_utf16 = head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff");
    let text: Vec<u8> = match is_utf16 {
        true => head[2..].iter().copied().filter(|byte| *byte != 0).collect(),
        false => head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head).to_vec(),
    };
    let text = text.trim_ascii_start();
    let begins = |word: &[u8]| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    let is_xml = begins(b"<") && !begins(b"<!doctype html") && !begins(b"<html");
    let body = std::io::Cursor::new(head).chain(body);
    if is_xml {
        return crate::stix1::read(body, sink).map(drop);
    }
    let unread = crate::stix::read(body, sink)?.unread_fields;
    sink.stats.unread_fields += unread;
    Ok(())
}

/// What needs a description.
fn parse_plain(spec: &FeedSpec, body: impl BufRead, sink: &mut Sink<'_>) -> Result<(), ConnectorError> {
    let expect = match spec.format {
        Format::Text | Format::Csv => Expect::List,
        Format::Json | Format::Ndjson => Expect::Json,
        _ => Expect::Prose,
    };
    let mut body = lines::readable(Box::new(body), expect)?;
    match spec.format {
        Format::Text => text::read(spec, body.as_mut(), sink),
        Format::Csv => table::read(spec, body.as_mut(), sink),
        Format::Json => json::read(spec, body.as_mut(), sink),
        Format::Ndjson => json::read_lines(spec, body.as_mut(), sink),
        _ => extract(spec, body.as_mut(), sink),
    }
}

/// Hands rows on and counts them.
pub(crate) struct Counted<'a> {
    rows: &'a mut dyn Rows,
    pub(crate) stats: ParseStats,
}

impl<'a> Counted<'a> {
    pub(crate) fn new(rows: &'a mut dyn Rows) -> Counted<'a> {
        Counted { rows, stats: ParseStats::default() }
    }

    pub(crate) fn row(&mut self, row: Observation) {
        self.stats.rows += 1;
        self.rows.row(row);
    }

    pub(crate) fn reject(&mut self, reason: &'static str, sample: &str) {
        self.stats.rejected += 1;
        self.rows.reject(reason, sample);
    }

    pub(crate) fn filter(&mut self, reason: &'static str) {
        self.filter_all(reason, 1);
    }

    pub(crate) fn filter_all(&mut self, reason: &'static str, n: u64) {
        self.stats.filtered += n;
        self.rows.filter(reason, n);
    }
}

/// Where rows go, with what every row of the feed has in common.
struct Sink<'a> {
    rows: &'a mut dyn Rows,
    stats: ParseStats,
    spec: &'a FeedSpec,
    /// The line being read was not UTF-8: which letters it has beyond ASCII is a guess.
    guessed: bool,
}

impl Sink<'_> {
    /// A line as text.
    fn text<'l>(&mut self, line: &'l [u8]) -> Cow<'l, str> {
        let before = self.stats.recoded;
        let text = lines::text(line, &mut self.stats.recoded);
        self.guessed = self.stats.recoded > before;
        text
    }

    /// A row that is nothing but a value, with the feed's own fixed fields.
    fn value(&mut self, value: &str, kind: Option<IndicatorKind>) {
        let mut row = Observation::new(value);
        row.kind = kind;
        self.row(row);
    }

    fn row(&mut self, mut row: Observation) {
        // A comment may be read by guess; a guessed name is another name.
        if self.guessed && !row.value.trim().is_ascii() {
            return self.reject("a value that is not UTF-8", &row.value);
        }
        let fixed = &self.spec.fixed;
        row.reputation = row.reputation.or(fixed.reputation);
        row.confidence = row.confidence.or(fixed.confidence);
        row.severity = row.severity.or(fixed.severity);
        row.tlp = row.tlp.or(fixed.tlp);
        row.tags.extend(fixed.tags.iter().cloned());
        self.stats.rows += 1;
        self.rows.row(row);
    }

    fn reject(&mut self, reason: &'static str, sample: &str) {
        self.stats.rejected += 1;
        self.rows.reject(reason, sample);
    }

    fn filter(&mut self, reason: &'static str) {
        self.stats.filtered += 1;
        self.rows.filter(reason, 1);
    }
}

/// Documents that say of each value what it is: only what all rows have in common is added, and a kind that the
/// settings name is the only one taken.
impl Rows for Sink<'_> {
    fn row(&mut self, row: Observation) {
        let wanted = self.spec.kind.map(family);
        if wanted.is_some() && row.kind.map(family) != wanted {
            return Sink::filter(self, "another kind");
        }
        Sink::row(self, row);
    }

    fn reject(&mut self, reason: &'static str, sample: &str) {
        Sink::reject(self, reason, sample);
    }

    fn filter(&mut self, reason: &'static str, n: u64) {
        self.stats.filtered += n;
        self.rows.filter(reason, n);
    }
}

/// A hint of any of the address kinds is one of all four.
fn family(kind: IndicatorKind) -> IndicatorKind {
    match kind {
        IndicatorKind::Ipv6 | IndicatorKind::Ipv4Net | IndicatorKind::Ipv6Net => IndicatorKind::Ipv4,
        other => other,
    }
}

/// A document is read in pieces of this size, so that a report of any length takes no more memory than two of them.
const PROSE_BYTES: usize = 1 << 20;

/// Free text: everything in it that is an indicator.
fn extract(spec: &FeedSpec, body: &mut dyn BufRead, sink: &mut Sink<'_>) -> Result<(), ConnectorError> {
    let mut piece = Vec::new();
    loop {
        let start = piece.len();
        let n = (&mut *body)
            .take((PROSE_BYTES - start) as u64)
            .read_to_end(&mut piece)
            .map_err(|error| io_error(&error))?;
        let last = n < PROSE_BYTES - start;
        // A piece ends between lines, or at least between words, so that no value is cut in two.
        let end = if last {
            piece.len()
        } else {
            let cut = memchr::memrchr(b'\n', &piece).or_else(|| memchr::memrchr(b' ', &piece));
            cut.map_or(piece.len(), |at| at + 1)
        };
        let text = lines::text(&piece[..end], &mut sink.stats.recoded);
        intel::extract::extract(&text, |found| {
            let key = &found.parsed.key;
            if spec.kind.is_some_and(|wanted| wanted != key.kind()) {
                return sink.filter("another kind");
            }
            // As written where that reads the same outside prose, so that the text as given is kept.
            let same = IndicatorKey::parse(Some(key.kind()), found.raw).is_ok_and(|read| read == *key);
            sink.value(if same { found.raw } else { key.value() }, Some(key.kind()));
        });
        drop(text);
        piece.drain(..end);
        if last {
            return Ok(());
        }
    }
}

/// A body of JSON in UTF-8: as [`prose`], and neither HTML nor XML.
pub(crate) fn json_text<'r>(body: Box<dyn BufRead + 'r>) -> Result<Box<dyn BufRead + 'r>, ConnectorError> {
    lines::readable(body, Expect::Json)
}

/// A body of readable text in UTF-8: byte order mark dropped, UTF-16 recoded, binary data refused.
pub(crate) fn prose<'r>(body: Box<dyn BufRead + 'r>) -> Result<Box<dyn BufRead + 'r>, ConnectorError> {
    lines::readable(body, Expect::Prose)
}

fn io_error(error: &std::io::Error) -> ConnectorError {
    crate::http::read_error(error)
}
