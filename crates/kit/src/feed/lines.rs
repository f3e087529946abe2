//! Splits a body into lines in bounded memory.
//!
//! A line is handed over as a slice of the reader's own buffer wherever it lies in one piece, so that a feed of a
//! million lines costs no copy of them. Line ends may be LF, CR LF or CR, mixed. What is no text at all is refused
//! here, before any row is made of it.

use super::io_error;
use crate::error::ConnectorError;
use memchr::{memchr, memchr2};
use std::borrow::Cow;
use std::io::{BufRead, Read};

/// The longest line that is read as one; a longer one is a single rejected row.
pub const LINE_BYTES: usize = 64 * 1024;

/// How much of a line that is too long is kept to show.
const SAMPLE_BYTES: usize = 160;

/// One line without its end.
pub(super) enum Line<'a> {
    /// At most [`LINE_BYTES`].
    Whole(&'a [u8]),
    /// It was longer: its beginning.
    TooLong(&'a [u8]),
}

/// Calls `each` for every line of the body, the empty ones too.
pub(super) fn each_line(
    body: &mut dyn BufRead,
    each: &mut dyn FnMut(Line<'_>) -> Result<(), ConnectorError>,
) -> Result<(), ConnectorError> {
    let mut carry: Vec<u8> = Vec::new();
    let mut too_long = false;
    let mut after_cr = false;
    loop {
        let chunk = body.fill_buf().map_err(|error| io_error(&error))?;
        let length = chunk.len();
        if length == 0 {
            break;
        }
        let mut rest = chunk;
        if std::mem::take(&mut after_cr) && rest[0] == b'\n' {
            rest = &rest[1..];
        }
        while let Some(at) = memchr2(b'\n', b'\r', rest) {
            let line = &rest[..at];
            if too_long {
                each(Line::TooLong(&carry))?;
            } else if carry.len() + line.len() > LINE_BYTES {
                keep(&mut carry, line);
                each(Line::TooLong(&carry))?;
            } else if carry.is_empty() {
                each(Line::Whole(line))?;
            } else {
                carry.extend_from_slice(line);
                each(Line::Whole(&carry))?;
            }
            carry.clear();
            too_long = false;
            let was_cr = rest[at] == b'\r';
            rest = &rest[at + 1..];
            if was_cr {
                match rest.first() {
                    Some(b'\n') => rest = &rest[1..],
                    Some(_) => {}
                    None => after_cr = true,
                }
            }
        }
        if !too_long {
            if carry.len() + rest.len() > LINE_BYTES {
                too_long = true;
                keep(&mut carry, rest);
            } else {
                carry.extend_from_slice(rest);
            }
        }
        body.consume(length);
    }
    match (too_long, carry.is_empty()) {
        (true, _) => each(Line::TooLong(&carry)),
        (false, false) => each(Line::Whole(&carry)),
        (false, true) => Ok(()),
    }
}

/// Keeps a sample of a line that is too long.
fn keep(carry: &mut Vec<u8>, more: &[u8]) {
    carry.truncate(SAMPLE_BYTES);
    let room = SAMPLE_BYTES - carry.len();
    carry.extend_from_slice(&more[..more.len().min(room)]);
}

/// The line as text. Not UTF-8: read as Windows-1252, the encoding such lists have in practice; `recoded` is counted.
pub(super) fn text<'a>(line: &'a [u8], recoded: &mut u64) -> Cow<'a, str> {
    match std::str::from_utf8(line) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => {
            *recoded += 1;
            Cow::Owned(line.iter().map(|byte| windows_1252(*byte)).collect())
        }
    }
}

fn windows_1252(byte: u8) -> char {
    const HIGH: [char; 32] = [
        '\u{20ac}', '\u{81}', '\u{201a}', '\u{192}', '\u{201e}', '\u{2026}', '\u{2020}', '\u{2021}', '\u{2c6}',
        '\u{2030}', '\u{160}', '\u{2039}', '\u{152}', '\u{8d}', '\u{17d}', '\u{8f}', '\u{90}', '\u{2018}', '\u{2019}',
        '\u{201c}', '\u{201d}', '\u{2022}', '\u{2013}', '\u{2014}', '\u{2dc}', '\u{2122}', '\u{161}', '\u{203a}',
        '\u{153}', '\u{9d}', '\u{17e}', '\u{178}',
    ];
    match byte {
        0x80..=0x9f => HIGH[usize::from(byte - 0x80)],
        other => char::from(other),
    }
}

/// How a body starts: enough to tell a list from what it should not be.
const SNIFF_BYTES: usize = 1024;

/// What kind of text the caller expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    /// Lines or a table.
    List,
    /// JSON.
    Json,
    /// Anything readable, HTML too.
    Prose,
}

/// Judges how the body starts, takes the byte order mark off and transcodes UTF-16. The reader handed back starts at
/// the first character.
pub(crate) fn readable<'r>(
    mut body: Box<dyn BufRead + 'r>,
    expect: Expect,
) -> Result<Box<dyn BufRead + 'r>, ConnectorError> {
    // A reader may hand out its first bytes in crumbs: gather enough to judge by, then put them in front again.
    let mut head = Vec::new();
    (&mut body).take(SNIFF_BYTES as u64).read_to_end(&mut head).map_err(|error| io_error(&error))?;
    if head.starts_with(&[0xff, 0xfe, 0, 0]) || head.starts_with(&[0, 0, 0xfe, 0xff]) {
        return Err(ConnectorError::Unexpected("the body is UTF-32 text; UTF-8 or UTF-16 was expected".into()));
    }
    let big_endian = match head {
        _ if head.starts_with(&[0xff, 0xfe]) => Some(false),
        _ if head.starts_with(&[0xfe, 0xff]) => Some(true),
        _ => None,
    };
    if let Some(big_endian) = big_endian {
        let whole = std::io::Cursor::new(head.split_off(2)).chain(body);
        let decoded = Utf16 { inner: Box::new(whole), big_endian, text: Vec::new(), at: 0, high: None, done: false };
        // Judged once more as UTF-8: the recursion ends because no byte order mark can follow twice.
        return readable_utf8(Box::new(decoded), expect);
    }
    let skip = if head.starts_with(&[0xef, 0xbb, 0xbf]) { 3 } else { 0 };
    judge(&head[skip..], expect)?;
    let rest = head.split_off(skip);
    Ok(if rest.is_empty() { body } else { Box::new(std::io::Cursor::new(rest).chain(body)) })
}

fn readable_utf8<'r>(mut body: Box<dyn BufRead + 'r>, expect: Expect) -> Result<Box<dyn BufRead + 'r>, ConnectorError> {
    let mut head = Vec::new();
    (&mut body).take(SNIFF_BYTES as u64).read_to_end(&mut head).map_err(|error| io_error(&error))?;
    judge(&head, expect)?;
    Ok(Box::new(std::io::Cursor::new(head).chain(body)))
}

fn judge(head: &[u8], expect: Expect) -> Result<(), ConnectorError> {
    let unexpected = |what: &str| Err(ConnectorError::Unexpected(what.into()));
    if memchr(0, head).is_some() {
        return unexpected("binary data where text was expected");
    }
    let start = head.trim_ascii_start();
    let markup =
        start.first() == Some(&b'<') && start.get(1).is_some_and(|b| b.is_ascii_alphabetic() || b"!?/".contains(b));
    if markup && expect != Expect::Prose {
        let lower = start.to_ascii_lowercase();
        return if lower.starts_with(b"<?xml") || lower.starts_with(b"<rss") || lower.starts_with(b"<feed") {
            unexpected("XML document where a list was expected")
        } else {
            unexpected("HTML page where a list was expected")
        };
    }
    // A page behind what a program printed before it: a warning, a notice.
    let is_page = |line: &[u8]| {
        let line = line.trim_ascii_start();
        let begins = |tag: &[u8]| line.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag));
        begins(b"<!doctype html") || begins(b"<html") || begins(b"<head>") || begins(b"<body")
    };
    if expect != Expect::Prose && head.split(|byte| matches!(byte, b'\n' | b'\r')).any(is_page) {
        return unexpected("HTML page where a list was expected");
    }
    if expect == Expect::List {
        // `[Adblock Plus]` and `[::1]` begin lists; `[{`, `["`, `[]` and `{"` begin JSON.
        let inner = start.get(1..).unwrap_or_default().trim_ascii_start().first().copied();
        let json = match start.first() {
            Some(b'{') => matches!(inner, Some(b'"' | b'}') | None),
            Some(b'[') => matches!(inner, Some(b'{' | b'"' | b']') | None),
            _ => false,
        };
        if json {
            return unexpected("JSON where a list was expected; is the format json or ndjson?");
        }
    }
    Ok(())
}

/// Turns UTF-16 into UTF-8 while reading. Lone surrogates become U+FFFD.
struct Utf16<'r> {
    inner: Box<dyn BufRead + 'r>,
    big_endian: bool,
    text: Vec<u8>,
    at: usize,
    high: Option<u16>,
    done: bool,
}

impl Utf16<'_> {
    fn refill(&mut self) -> std::io::Result<()> {
        self.text.clear();
        self.at = 0;
        let mut units = Vec::with_capacity(4097);
        units.extend(self.high.take());
        let mut bytes = Vec::with_capacity(8192);
        (&mut self.inner).take(8192).read_to_end(&mut bytes)?;
        self.done = bytes.len() < 8192;
        for pair in bytes.chunks(2) {
            units.push(match (pair, self.big_endian) {
                ([a, b], true) => u16::from_be_bytes([*a, *b]),
                ([a, b], false) => u16::from_le_bytes([*a, *b]),
                _ => 0xfffd,
            });
        }
        if !self.done && units.last().is_some_and(|unit| (0xd800..0xdc00).contains(unit)) {
            self.high = units.pop();
        }
        for unit in char::decode_utf16(units) {
            let mut utf8 = [0; 4];
            self.text.extend_from_slice(unit.unwrap_or('\u{fffd}').encode_utf8(&mut utf8).as_bytes());
        }
        Ok(())
    }
}

impl Read for Utf16<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let chunk = self.fill_buf()?;
        let n = chunk.len().min(into.len());
        into[..n].copy_from_slice(&chunk[..n]);
        self.consume(n);
        Ok(n)
    }
}

impl BufRead for Utf16<'_> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        while self.at == self.text.len() && !self.done {
            self.refill()?;
        }
        Ok(&self.text[self.at..])
    }

    fn consume(&mut self, amount: usize) {
        self.at += amount;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    fn lines(body: &[u8], buffer: usize) -> Vec<String> {
        let mut out = Vec::new();
        each_line(&mut BufReader::with_capacity(buffer, body), &mut |line| {
            match line {
                Line::Whole(line) => out.push(String::from_utf8_lossy(line).into_owned()),
                Line::TooLong(line) => out.push(format!("TOO LONG {}", line.len())),
            }
            Ok(())
        })
        .unwrap();
        out.retain(|line| !line.is_empty());
        out
    }

    #[test]
    fn every_line_end_and_every_buffer_border() {
        for body in ["a\nbb\nccc", "a\r\nbb\r\nccc\r\n", "a\rbb\rccc\r", "a\r\n\r\nbb\n\nccc\n", "\n\ra\rbb\nccc\r\n"] {
            for buffer in 1..8 {
                assert_eq!(lines(body.as_bytes(), buffer), ["a", "bb", "ccc"], "{body:?} {buffer}");
            }
        }
        assert_eq!(lines(b"", 8), Vec::<String>::new());
    }

    #[test]
    fn a_quoted_line_end_is_one_line_end() {
        let mut n = 0;
        each_line(&mut BufReader::with_capacity(2, &b"a\r\nb\r\n"[..]), &mut |_| {
            n += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!(n, 2);
    }

    #[test]
    fn a_long_line_is_one_and_the_next_is_whole() {
        let mut body = vec![b'x'; LINE_BYTES];
        body.extend_from_slice(b"\nok\n");
        assert_eq!(lines(&body, 4096).len(), 2);
        body.insert(0, b'x');
        for buffer in [7, 4096, 1 << 20] {
            assert_eq!(lines(&body, buffer), [format!("TOO LONG {SAMPLE_BYTES}"), "ok".into()], "{buffer}");
        }
        assert_eq!(lines(&vec![b'x'; LINE_BYTES + 1], 4096), [format!("TOO LONG {SAMPLE_BYTES}")]);
    }

    #[test]
    fn what_a_body_may_not_be() {
        let open = |body: &'static [u8], expect| {
            readable(Box::new(BufReader::with_capacity(3, body)), expect).map(|mut reader| {
                let mut text = String::new();
                reader.read_to_string(&mut text).unwrap();
                text
            })
        };
        for (body, says) in [
            (&b"<!DOCTYPE html><html>"[..], "HTML"),
            (b"\n  <html>", "HTML"),
            (b"\xef\xbb\xbf<HTML>", "HTML"),
            (b"<!-- x --><body>", "HTML"),
            (b"<?xml version='1.0'?>", "XML"),
            (b"\x7fELF\0\0", "binary"),
            (b"\xff\xfe\0\0a", "UTF-32"),
            (b"{\"error\":\"no\"}", "JSON"),
            (b"[]", "JSON"),
            (b" [ {\"a\":1}]", "JSON"),
            (b"\xff\xfe<\0h\0t\0m\0l\0>\0", "HTML"),
        ] {
            let error = open(body, Expect::List).unwrap_err().to_string();
            assert!(error.contains(says), "{body:?}: {error}");
        }
        for (body, expect, text) in [
            (&b"\xef\xbb\xbfa.example"[..], Expect::List, "a.example"),
            (b"\xff\xfea\0\n\0\x3d\xd8\x00\xde", Expect::List, "a\n\u{1f600}"),
            (b"\xfe\xff\0a\0\n", Expect::List, "a\n"),
            (b"[Adblock Plus 2.0]\n", Expect::List, "[Adblock Plus 2.0]\n"),
            (b"<html>x", Expect::Prose, "<html>x"),
            (b"[]", Expect::Json, "[]"),
            (b"", Expect::List, ""),
        ] {
            assert_eq!(open(body, expect).unwrap(), text, "{body:?}");
        }
    }

    #[test]
    fn windows_text_is_read_and_counted() {
        let mut recoded = 0;
        assert_eq!(text(b"caf\xe9 \x93x\x94", &mut recoded), "caf\u{e9} \u{201c}x\u{201d}");
        assert_eq!(recoded, 1);
    }
}
