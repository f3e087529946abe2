//! Lists as devices and programs read them: plain lines, CSV, JSON, STIX, a MISP event.
//!
//! Written in one pass from an iterator, so that a list of any length needs no memory. The same bytes come out for the
//! same entries in the same order: nothing here asks for the time.

use crate::connection::Outgoing;
use crate::misp::EventWriter;
use crate::stix;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::io::{self, Write};

/// The form of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ListFormat {
    /// An external dynamic list: one entry a line, nothing else.
    #[default]
    Edl,
    /// A table with a header.
    Csv,
    /// An array of objects, one a line.
    Json,
    /// A STIX 2.1 bundle.
    Stix,
    /// One MISP event, an attribute an entry.
    Misp,
}

impl ListFormat {
    /// Every format.
    pub const ALL: &'static [ListFormat] =
        &[ListFormat::Edl, ListFormat::Csv, ListFormat::Json, ListFormat::Stix, ListFormat::Misp];

    /// The name used in parameters.
    pub const fn as_str(self) -> &'static str {
        match self {
            ListFormat::Edl => "edl",
            ListFormat::Csv => "csv",
            ListFormat::Json => "json",
            ListFormat::Stix => "stix",
            ListFormat::Misp => "misp",
        }
    }

    /// Reads the name. None if it is not one.
    pub fn parse(name: &str) -> Option<ListFormat> {
        ListFormat::ALL.iter().copied().find(|format| format.as_str() == name)
    }

    /// What an HTTP server says of such a body.
    pub const fn content_type(self) -> &'static str {
        match self {
            ListFormat::Edl => "text/plain; charset=utf-8",
            ListFormat::Csv => "text/csv; charset=utf-8; header=present",
            ListFormat::Json | ListFormat::Misp => "application/json",
            ListFormat::Stix => "application/stix+json;version=2.1",
        }
    }
}

/// How a list is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListStyle {
    /// Its form.
    pub format: ListFormat,
    /// A comment line before the entries, without its `#`. Only in plain lists, and only where the reader is known to
    /// skip comments.
    pub header: Option<String>,
    /// Longest entry in bytes that its reader takes. Longer ones must not get into the list: ask [`ListStyle::fits`]
    /// while planning.
    pub line_max: Option<usize>,
    /// URLs are written without `http://` or `https://`.
    pub no_scheme: bool,
    /// The list's name, where the format has room for one.
    pub name: String,
    /// The exchange that makes it: what its own ids are derived from.
    pub mark: String,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Entries.
    pub lines: u64,
    /// Entries that do not fit the style and were left out; 0 where the plan asked [`ListStyle::fits`].
    pub left_out: u64,
    /// Length of the body.
    pub bytes: u64,
    /// SHA-256 of the body.
    pub sha256: [u8; 32],
}

impl Written {
    /// The SHA-256 in lower-case hexadecimal.
    pub fn sha256_hex(&self) -> String {
        hex(&self.sha256)
    }
}

/// Bytes in lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]).map(char::from).collect()
}

impl ListStyle {
    /// The entry as a line of this list.
    pub fn line<'e>(&self, entry: &'e str) -> &'e str {
        if !self.no_scheme {
            return entry;
        }
        entry.strip_prefix("https://").or_else(|| entry.strip_prefix("http://")).unwrap_or(entry)
    }

    /// Can the list hold this entry? A plain list cannot hold one that would read as a comment or as two lines.
    pub fn fits(&self, entry: &str) -> bool {
        let line = self.line(entry);
        let length = !line.is_empty() && self.line_max.is_none_or(|max| line.len() <= max);
        let plain = self.format != ListFormat::Edl
            || !(line.starts_with(['#', ';', ' ']) || line.ends_with(' ') || line.chars().any(char::is_control));
        length && plain
    }

    /// Writes the whole list.
    ///
    /// # Errors
    /// Whatever `out` answers; what was written by then is no list.
    pub fn write(&self, all: &mut dyn Iterator<Item = Outgoing>, out: &mut dyn Write) -> io::Result<Written> {
        let mut out = Counting { out, bytes: 0, sha256: Sha256::new(), buffer: Vec::with_capacity(CHUNK_BYTES + 4096) };
        let mut lines = 0;
        let mut left_out = 0;
        let mut bundle = None;
        let mut event = None;
        match self.format {
            ListFormat::Edl => {
                if let Some(header) = &self.header {
                    out.buffer.extend_from_slice(b"# ");
                    out.buffer.extend(
                        header.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().bytes(),
                    );
                    out.buffer.push(b'\n');
                }
            }
            ListFormat::Csv => {
                out.buffer.extend_from_slice(COLUMNS.join(",").as_bytes());
                out.buffer.push(b'\n');
            }
            ListFormat::Json => out.buffer.push(b'['),
            ListFormat::Stix => bundle = Some(stix::Writer::begin(&self.mark, &self.name, &mut out.buffer)?),
            ListFormat::Misp => event = Some(EventWriter::begin(&self.name, &self.mark, &mut out.buffer)?),
        }
        for one in all {
            if !self.fits(&one.entry) {
                left_out += 1;
                continue;
            }
            match self.format {
                ListFormat::Edl => {
                    out.buffer.extend_from_slice(self.line(&one.entry).as_bytes());
                    out.buffer.push(b'\n');
                }
                ListFormat::Csv => self.csv(&one, &mut out.buffer),
                ListFormat::Json => {
                    out.buffer.extend_from_slice(if lines == 0 { b"\n" } else { b",\n" });
                    serde_json::to_writer(&mut out.buffer, &self.object(&one))?;
                }
                ListFormat::Stix => {
                    if let Some(bundle) = &mut bundle
                        && !bundle.add(&one, &mut out.buffer)?
                    {
                        left_out += 1;
                        continue;
                    }
                }
                ListFormat::Misp => {
                    if let Some(event) = &mut event {
                        event.entry(&one, self.line(&one.entry), &mut out.buffer)?;
                    }
                }
            }
            lines += 1;
            out.drain(CHUNK_BYTES)?;
        }
        match self.format {
            ListFormat::Json => out.buffer.extend_from_slice(if lines == 0 { b"]\n" } else { b"\n]\n" }),
            ListFormat::Stix => stix::Writer::end(&mut out.buffer),
            ListFormat::Edl | ListFormat::Csv | ListFormat::Misp => {}
        }
        if let Some(event) = event {
            event.end(&mut out.buffer);
        }
        out.drain(0)?;
        out.out.flush()?;
        Ok(Written { lines, left_out, bytes: out.bytes, sha256: out.sha256.finalize().into() })
    }

    fn csv(&self, one: &Outgoing, out: &mut Vec<u8>) {
        let time = |time: Option<intel::Timestamp>| time.map(|t| t.to_string()).unwrap_or_default();
        field(self.line(&one.entry), out);
        for text in [
            one.key.kind().as_str(),
            &one.reputation.to_string(),
            one.severity.as_str(),
            &one.confidence.map(|c| c.to_string()).unwrap_or_default(),
            one.tlp.as_str(),
            &one.tags.join(";"),
            &one.sources.join(";"),
            &time(one.first_seen),
            &time(one.last_seen),
            &time(one.expires_at),
            one.comment.as_deref().unwrap_or_default(),
        ] {
            out.push(b',');
            field(text, out);
        }
        out.push(b'\n');
    }

    fn object<'o>(&self, one: &'o Outgoing) -> Object<'o> {
        Object {
            value: self.line(&one.entry),
            kind: one.key.kind().as_str(),
            reputation: one.reputation.get(),
            severity: one.severity.as_str(),
            confidence: one.confidence,
            tlp: one.tlp.as_str(),
            tags: &one.tags,
            sources: &one.sources,
            first_seen: one.first_seen.map(|t| t.to_string()),
            last_seen: one.last_seen.map(|t| t.to_string()),
            expires_at: one.expires_at.map(|t| t.to_string()),
            comment: one.comment.as_deref(),
            hops: &one.hops,
        }
    }
}

const COLUMNS: [&str; 12] = [
    "value",
    "kind",
    "reputation",
    "severity",
    "confidence",
    "tlp",
    "tags",
    "sources",
    "first_seen",
    "last_seen",
    "expires_at",
    "comment",
];

#[derive(Serialize)]
struct Object<'o> {
    value: &'o str,
    kind: &'static str,
    reputation: u8,
    severity: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence: Option<u8>,
    tlp: &'static str,
    tags: &'o [String],
    sources: &'o [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    first_seen: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<&'o str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    hops: &'o [String],
}

/// Would a spreadsheet take this text for a formula? The full-width forms are taken for one where Japanese or Chinese is
/// spoken.
pub fn is_formula(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'])
}

/// One field. A text that a spreadsheet would take for a formula gets an apostrophe in front.
fn field(text: &str, out: &mut Vec<u8>) {
    let formula = is_formula(text);
    let quoted = formula || text.contains(['"', ',', '\n', '\r']) || text.starts_with(' ') || text.ends_with(' ');
    if !quoted {
        return out.extend_from_slice(text.as_bytes());
    }
    out.push(b'"');
    if formula {
        out.push(b'\'');
    }
    for byte in text.bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// What is gathered before it is hashed and handed on.
const CHUNK_BYTES: usize = 64 * 1024;

struct Counting<'w> {
    out: &'w mut dyn Write,
    bytes: u64,
    sha256: Sha256,
    buffer: Vec<u8>,
}

impl Counting<'_> {
    /// Hands on what was gathered, if it is more than `keep` bytes.
    fn drain(&mut self, keep: usize) -> io::Result<()> {
        if self.buffer.len() > keep {
            self.sha256.update(&self.buffer);
            self.out.write_all(&self.buffer)?;
            self.bytes += self.buffer.len() as u64;
            self.buffer.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use intel::{IndicatorKey, IndicatorKind, Timestamp};

    fn outgoing(kind: IndicatorKind, value: &str) -> Outgoing {
        Outgoing::bare(IndicatorKey::from_stored(kind, value), Timestamp::EPOCH)
    }

    fn write(style: &ListStyle, all: Vec<Outgoing>) -> (String, Written) {
        let mut out = Vec::new();
        let written = style.write(&mut all.into_iter(), &mut out).unwrap();
        assert_eq!(written.bytes, out.len() as u64);
        assert_eq!(written.sha256_hex(), hex(&Sha256::digest(&out)));
        (String::from_utf8(out).unwrap(), written)
    }

    #[test]
    fn plain_lists() {
        let all = || {
            vec![
                outgoing(IndicatorKind::Ipv4, "192.0.2.1"),
                outgoing(IndicatorKind::Url, "https://a.example/x"),
                outgoing(IndicatorKind::Mutex, "# not an entry"),
            ]
        };
        let mut style = ListStyle::default();
        let (text, written) = write(&style, all());
        assert_eq!(text, "192.0.2.1\nhttps://a.example/x\n");
        assert_eq!((written.lines, written.left_out), (2, 1));
        style.no_scheme = true;
        style.header = Some("two\nlines".into());
        assert_eq!(write(&style, all()).0, "# two lines\n192.0.2.1\na.example/x\n");
        style.line_max = Some(10);
        assert_eq!(write(&style, all()).0, "# two lines\n192.0.2.1\n");
        assert_eq!(write(&ListStyle::default(), Vec::new()).0, "");
    }

    #[test]
    fn tables_hold_no_formula() {
        let style = ListStyle { format: ListFormat::Csv, ..ListStyle::default() };
        for (comment, expect) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("=1+1", "\"'=1+1\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@x", "\"'@x\""),
            ("\tx", "\"'\tx\""),
        ] {
            let mut one = outgoing(IndicatorKind::Ipv4, "192.0.2.1");
            one.comment = Some(comment.into());
            one.tags = vec!["a".into(), "b".into()];
            one.last_seen = Some(Timestamp::from_secs(1_769_854_272));
            let (text, _) = write(&style, vec![one]);
            let line = text.lines().nth(1).unwrap();
            assert_eq!(line, format!("192.0.2.1,ipv4,5,unknown,,green,a;b,,,2026-01-31T10:11:12Z,,{expect}"));
        }
    }

    #[test]
    fn json_is_one_array() {
        let style = ListStyle { format: ListFormat::Json, ..ListStyle::default() };
        for n in 0..3 {
            let all = vec![outgoing(IndicatorKind::Ipv4, "192.0.2.1"); n];
            let parsed: serde_json::Value = serde_json::from_str(&write(&style, all).0).unwrap();
            assert_eq!(parsed.as_array().unwrap().len(), n);
        }
    }

    #[test]
    fn format_names() {
        for format in ListFormat::ALL {
            assert_eq!(ListFormat::parse(format.as_str()), Some(*format));
        }
        assert_eq!(ListFormat::parse("xml"), None);
    }
}
