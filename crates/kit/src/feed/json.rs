//! JSON documents and JSON lines, one row in memory at a time.
//!
//! The document is scanned once, byte by byte: the scanner follows the path to where rows are, skips everything else
//! without building it, and hands each row over as a slice to be parsed. Depth, the length of strings and of rows are
//! bounded, and a name that stands twice in one object is refused, because no two readers agree on what that means.

use super::lines::{self, Line};
use super::map::{Cell, Cells, Mapping, Named, indicator, named};
use super::{FeedSpec, Sink, io_error};
use crate::error::ConnectorError;
use intel::IndicatorKind;
use memchr::memchr2;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt;
use std::io::BufRead;
use std::ops::Range;

/// The deepest nesting that is read.
const DEPTH: usize = 64;
/// The longest string, in bytes as written.
const STRING_BYTES: usize = 1 << 20;
/// The longest row, in bytes.
const ROW_BYTES: usize = 4 << 20;
/// Most bytes of the body that are taken over at once: few enough to stay in the processor's cache until they are read.
const CHUNK: usize = 128 << 10;
/// A text that ends within so many bytes is short.
const NEAR: usize = 24;

/// One step of the way to the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// The member of this name.
    Name(String),
    /// Every member, or every element.
    Any,
}

/// Reads `data.items`, `$.data[*]`, `*`, `rows.*.list`.
pub(super) fn path(text: &str) -> Result<Vec<Step>, String> {
    let text = text.trim();
    let mut steps = Vec::new();
    for part in text.strip_prefix('$').unwrap_or(text).split('.') {
        let name = part.trim_end_matches("[*]").trim_end_matches("[]");
        if name.contains(['[', ']']) {
            return Err(format!("path: `{part}` is not understood; write names, * and [*], as in `data.items`"));
        }
        match name {
            "" => {}
            "*" => steps.push(Step::Any),
            name => steps.push(Step::Name(name.to_owned())),
        }
        // A list on the way, or at the end, is walked anyway: its stars say nothing new.
    }
    Ok(steps)
}

/// A whole document.
pub(super) fn read(spec: &FeedSpec, body: &mut dyn BufRead, sink: &mut Sink<'_>) -> Result<(), ConnectorError> {
    let mut scan = Scan::new(body);
    if scan.after_blanks()?.is_none() {
        return Err(unexpected("an empty body where JSON was expected"));
    }
    let mut reached = false;
    let way = if spec.path.is_empty() { Way::Lists } else { Way::Steps(&spec.path) };
    scan.walk(way, 0, &mut reached, &mut |bytes| row(bytes, spec, sink))?;
    if let Some(byte) = scan.after_blanks()? {
        let hint = if byte == b'{' { "; is the format ndjson?" } else { "" };
        return Err(scan.broken(&format!("more than one JSON value{hint}")));
    }
    if !reached {
        return Err(unexpected(if spec.path.is_empty() {
            "no list in the JSON document"
        } else {
            "the JSON document has nothing at the path of the settings"
        }));
    }
    Ok(())
}

/// One document a line.
pub(super) fn read_lines(spec: &FeedSpec, body: &mut dyn BufRead, sink: &mut Sink<'_>) -> Result<(), ConnectorError> {
    lines::each_line(body, &mut |line| {
        match line {
            Line::TooLong(start) => sink.reject("line too long", &String::from_utf8_lossy(start)),
            Line::Whole(line) => {
                let line = line.trim_ascii();
                if !line.is_empty() && !spec.is_comment(line) {
                    row(line, spec, sink);
                }
            }
        }
        Ok(())
    })
}

fn unexpected(what: &str) -> ConnectorError {
    ConnectorError::Unexpected(what.into())
}

/// Where rows are.
#[derive(Clone, Copy)]
enum Way<'p> {
    /// Nothing was said: the document is a list, or an object with lists in it.
    Lists,
    /// Along these steps.
    Steps(&'p [Step]),
}

/// A value as it was written.
#[derive(Debug)]
pub(crate) enum Kept {
    /// Between these places of the buffer.
    Here(Range<usize>),
    /// Begun in a part of the body that is no longer there.
    Copied(Vec<u8>),
}

/// Goes through a document once.
pub(crate) struct Scan<'r> {
    body: &'r mut dyn BufRead,
    buffer: Vec<u8>,
    at: usize,
    /// Bytes before the buffer, to say where something is wrong.
    before: u64,
    /// Lines before the buffer.
    lines: u64,
    /// The row being kept, and from where in the buffer it goes on.
    kept: Option<(Vec<u8>, usize)>,
    /// A row that is larger is an error; or, where something is said here, no longer kept.
    row_bytes: Option<usize>,
    /// The row being kept was too large.
    over: bool,
}

impl<'r> Scan<'r> {
    /// From the first byte of a document. A text of more than 1 MiB or a row of more than 4 MiB is an error.
    pub(crate) fn new(body: &'r mut dyn BufRead) -> Scan<'r> {
        Scan { body, buffer: Vec::new(), at: 0, before: 0, lines: 0, kept: None, row_bytes: None, over: false }
    }

    /// The same, but what is larger than this is passed over: see [`Scan::keep_if_small`].
    pub(crate) fn with_rows_of(body: &'r mut dyn BufRead, row_bytes: usize) -> Scan<'r> {
        Scan { row_bytes: Some(row_bytes), ..Scan::new(body) }
    }
}

impl Scan<'_> {
    #[inline]
    fn peek(&mut self) -> Result<Option<u8>, ConnectorError> {
        match self.buffer.get(self.at) {
            Some(byte) => Ok(Some(*byte)),
            None => self.fill(),
        }
    }

    /// Takes more of the body: its first byte, if there is more.
    #[cold]
    fn fill(&mut self) -> Result<Option<u8>, ConnectorError> {
        if let Some((row, from)) = &mut self.kept {
            if !self.over {
                row.extend_from_slice(&self.buffer[*from..]);
            }
            *from = 0;
            match self.row_bytes {
                None if row.len() > ROW_BYTES => {
                    return Err(unexpected("a single JSON row of more than 4 MiB"));
                }
                Some(most) if row.len() > most => {
                    *row = Vec::new();
                    self.over = true;
                }
                _ => {}
            }
        }
        self.before += self.buffer.len() as u64;
        self.lines += memchr::memchr_iter(b'\n', &self.buffer).count() as u64;
        self.buffer.clear();
        self.at = 0;
        let chunk = self.body.fill_buf().map_err(|error| io_error(&error))?;
        let chunk = &chunk[..chunk.len().min(CHUNK)];
        self.buffer.extend_from_slice(chunk);
        let length = chunk.len();
        self.body.consume(length);
        Ok(self.buffer.first().copied())
    }

    /// The next byte that is not blank, if there is one.
    pub(crate) fn after_blanks(&mut self) -> Result<Option<u8>, ConnectorError> {
        while let Some(byte) = self.peek()? {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Ok(Some(byte));
            }
            self.at += 1;
        }
        Ok(None)
    }

    /// The next byte that is not blank; the document must not end here.
    pub(crate) fn token(&mut self) -> Result<u8, ConnectorError> {
        self.after_blanks()?.ok_or_else(|| unexpected("the JSON document is cut off"))
    }

    pub(crate) fn broken(&self, what: &str) -> ConnectorError {
        unexpected(&format!("{what}, at byte {}, line {}", self.before + self.at as u64, self.line()))
    }

    /// The line we are in, from 1.
    pub(crate) fn line(&self) -> u64 {
        self.lines + memchr::memchr_iter(b'\n', &self.buffer[..self.at]).count() as u64 + 1
    }

    /// Goes to where rows are and hands each over.
    fn walk(
        &mut self,
        way: Way<'_>,
        depth: usize,
        reached: &mut bool,
        row: &mut dyn FnMut(&[u8]),
    ) -> Result<(), ConnectorError> {
        if depth > DEPTH {
            return Err(self.broken("JSON nested more than 64 deep"));
        }
        let first = self.token()?;
        match (way, first) {
            (Way::Steps([]), b'[') | (Way::Lists, b'[') => {
                *reached = true;
                self.elements(&mut |scan| {
                    let kept = scan.keep()?;
                    row(scan.text(&kept));
                    Ok(())
                })
            }
            (Way::Steps([]), b'n') => {
                *reached = true;
                self.skip()
            }
            (Way::Steps([]), _) => {
                *reached = true;
                let kept = self.keep()?;
                row(self.text(&kept));
                Ok(())
            }
            (Way::Steps([Step::Any, rest @ ..]), b'[') => {
                self.elements(&mut |scan| scan.walk(Way::Steps(rest), depth + 1, reached, row))
            }
            (Way::Steps(_), b'[') => self.elements(&mut |scan| scan.walk(way, depth + 1, reached, row)),
            (_, b'{') => {
                let mut hits = 0;
                self.members(&mut |scan, name| {
                    let next = match way {
                        Way::Lists => (scan.token()? == b'[').then_some(Way::Lists),
                        Way::Steps([Step::Any, rest @ ..]) => Some(Way::Steps(rest)),
                        Way::Steps([Step::Name(wanted), rest @ ..]) if wanted == name => {
                            hits += 1;
                            if hits > 1 {
                                return Err(scan.broken("a name stands twice in a JSON object"));
                            }
                            Some(Way::Steps(rest))
                        }
                        Way::Steps(_) => None,
                    };
                    match next {
                        Some(way) => scan.walk(way, depth + 1, reached, row),
                        None => scan.skip(),
                    }
                })
            }
            _ => self.skip(),
        }
    }

    /// Calls `each` at the start of every element of a list.
    pub(crate) fn elements(
        &mut self,
        each: &mut dyn FnMut(&mut Self) -> Result<(), ConnectorError>,
    ) -> Result<(), ConnectorError> {
        self.at += 1;
        if self.token()? == b']' {
            self.at += 1;
            return Ok(());
        }
        loop {
            each(self)?;
            match self.token()? {
                b',' => self.at += 1,
                b']' => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.broken("broken JSON: expected , or ]")),
            }
        }
    }

    /// Calls `each` at the value of every member of an object.
    pub(crate) fn members(
        &mut self,
        each: &mut dyn FnMut(&mut Self, &str) -> Result<(), ConnectorError>,
    ) -> Result<(), ConnectorError> {
        self.at += 1;
        if self.token()? == b'}' {
            self.at += 1;
            return Ok(());
        }
        loop {
            if self.token()? != b'"' {
                return Err(self.broken("broken JSON: expected a name"));
            }
            let quoted = self.keep()?;
            let name: String = serde_json::from_slice(self.text(&quoted))
                .map_err(|_| self.broken("broken JSON: a name that is no text"))?;
            if self.token()? != b':' {
                return Err(self.broken("broken JSON: expected :"));
            }
            self.at += 1;
            each(self, &name)?;
            match self.token()? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.broken("broken JSON: expected , or }")),
            }
        }
    }

    /// The value that begins here, as written.
    pub(crate) fn keep(&mut self) -> Result<Kept, ConnectorError> {
        self.kept = Some((Vec::new(), self.at));
        self.skip()?;
        let kept = self.taken();
        if self.text(&kept).len() > ROW_BYTES {
            return Err(unexpected("a single JSON row of more than 4 MiB"));
        }
        Ok(kept)
    }

    /// The value that begins here, as written; None if it is larger than rows may be: it was passed over.
    pub(crate) fn keep_if_small(&mut self) -> Result<Option<Kept>, ConnectorError> {
        let most = self.row_bytes.unwrap_or(ROW_BYTES);
        self.over = false;
        self.kept = Some((Vec::new(), self.at));
        let skipped = self.skip();
        if skipped.is_err() {
            self.kept = None;
        }
        skipped?;
        if std::mem::take(&mut self.over) {
            self.kept = None;
            return Ok(None);
        }
        let kept = self.taken();
        Ok((self.text(&kept).len() <= most).then_some(kept))
    }

    /// Reads the value that begins here, if all of it is in the buffer, without looking for its end first. None if it is
    /// not, or cannot be read so: nothing is passed then, and [`Scan::keep_if_small`] says what it is.
    pub(crate) fn direct<'s, T: Deserialize<'s>>(&'s mut self) -> Option<T> {
        self.after_blanks().ok()?;
        let rest = self.buffer.get(self.at..)?;
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter();
        let value = values.next()?.ok()?;
        let length = values.byte_offset();
        let read = rest.get(..length)?;
        // What the type passes over nobody has looked into: it is text, and with so few brackets not too deep.
        // Counted in groups that fit a byte, many bytes at once.
        let brackets = |group: &[u8]| group.iter().map(|byte| u8::from(matches!(byte, b'{' | b'['))).sum::<u8>();
        if read.chunks(128).map(|group| usize::from(brackets(group))).sum::<usize>() > DEPTH
            || std::str::from_utf8(read).is_err()
        {
            return None;
        }
        self.at += length;
        Some(value)
    }

    /// What was kept until here.
    fn taken(&mut self) -> Kept {
        let (mut row, from) = self.kept.take().unwrap_or_default();
        // Most values lie in the buffer whole.
        if row.is_empty() {
            return Kept::Here(from..self.at);
        }
        row.extend_from_slice(&self.buffer[from..self.at]);
        Kept::Copied(row)
    }

    /// The bytes of what was kept. Until the scan goes on, not longer.
    pub(crate) fn text<'k>(&'k self, kept: &'k Kept) -> &'k [u8] {
        match kept {
            Kept::Here(range) => self.buffer.get(range.clone()).unwrap_or_default(),
            Kept::Copied(bytes) => bytes,
        }
    }

    /// Past the value that begins here. Its inside is balanced, nothing more is promised of it.
    pub(crate) fn skip(&mut self) -> Result<(), ConnectorError> {
        let mut depth = 0usize;
        loop {
            match self.token()? {
                b'"' => self.string()?,
                b'{' | b'[' => {
                    depth += 1;
                    if depth > DEPTH {
                        return Err(self.broken("JSON nested more than 64 deep"));
                    }
                    self.at += 1;
                }
                b'}' | b']' if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                }
                b',' | b':' if depth > 0 => self.at += 1,
                byte if byte.is_ascii_alphanumeric() || byte == b'-' => {
                    while self.peek()?.is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.')) {
                        self.at += 1;
                    }
                }
                _ => return Err(self.broken("broken JSON: expected a value")),
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    fn string(&mut self) -> Result<(), ConnectorError> {
        self.at += 1;
        // Most texts are short, and end before a search over many bytes at once has begun.
        let near = self.buffer[self.at..].iter().take(NEAR).position(|b| matches!(b, b'"' | b'\\'));
        if let Some(n) = near
            && self.buffer[self.at + n] == b'"'
        {
            self.at += n + 1;
            return Ok(());
        }
        let mut length = 0;
        loop {
            if self.peek()?.is_none() {
                return Err(unexpected("the JSON document is cut off"));
            }
            let rest = &self.buffer[self.at..];
            let stop = memchr2(b'"', b'\\', rest);
            length += stop.unwrap_or(rest.len());
            // Where large rows are passed over, a large text in one is too.
            if length > STRING_BYTES && self.row_bytes.is_none() {
                return Err(self.broken("a JSON text of more than 1 MiB"));
            }
            match stop {
                None => self.at = self.buffer.len(),
                Some(n) if rest[n] == b'"' => {
                    self.at += n + 1;
                    return Ok(());
                }
                Some(n) => {
                    self.at += n + 1;
                    if self.peek()?.is_none() {
                        return Err(unexpected("the JSON document is cut off"));
                    }
                    self.at += 1;
                }
            }
        }
    }
}

/// Makes observations of one row.
fn row(bytes: &[u8], spec: &FeedSpec, sink: &mut Sink<'_>) {
    let text = sink.text(bytes);
    let mut reader = serde_json::Deserializer::from_str(&text);
    let parsed = Strict { depth: 0 }.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    let Ok(value) = parsed else {
        return sink.reject("not readable as JSON", &text);
    };
    match &value {
        Value::String(text) => {
            let text = text.trim();
            if text.is_empty() { sink.reject("no value", "") } else { sink.value(text, spec.kind) }
        }
        Value::Number(number) => sink.value(&number.to_string(), spec.kind),
        Value::Object(_) | Value::Array(_) if !spec.map.values.is_empty() => {
            spec.map.apply(&JsonRow { value: &value, map: &spec.map, whole: &text }, spec.kind, sink);
        }
        Value::Object(members) => guess(members, &value, &text, spec, sink),
        _ => sink.reject("not an object", &text),
    }
}

/// Nothing says where the value is: the names of the members do, else the first text that is an indicator.
fn guess(members: &Map<String, Value>, value: &Value, whole: &str, spec: &FeedSpec, sink: &mut Sink<'_>) {
    let mut telling: Vec<(&str, Option<IndicatorKind>)> = Vec::new();
    for name in members.keys() {
        match named(name) {
            Some(Named::Value) => {
                telling = vec![(name, spec.kind)];
                break;
            }
            Some(Named::Kind(kind)) => telling.push((name, kind.or(spec.kind))),
            None => {}
        }
    }
    if let Some(wanted) = spec.kind {
        telling.retain(|(_, kind)| kind.is_none_or(|kind| kind == wanted));
    }
    if telling.is_empty() {
        let texts = members.values().filter_map(Value::as_str);
        return match texts.filter_map(|text| indicator(text, spec.kind)).next() {
            Some((value, kind)) => sink.value(value, kind),
            None => sink.reject("no indicator in the row", whole),
        };
    }
    let mut map = spec.map.clone();
    map.values = telling.into_iter().map(|(name, kind)| (map.slot(name), kind)).collect();
    map.apply(&JsonRow { value, map: &map, whole }, spec.kind, sink);
}

struct JsonRow<'a> {
    value: &'a Value,
    map: &'a Mapping,
    whole: &'a str,
}

impl Cells for JsonRow<'_> {
    fn cell(&self, slot: usize) -> Cell<'_> {
        let mut found = Vec::new();
        collect(self.value, &self.map.columns[slot], &mut found);
        match found.len() {
            0 => Cell::Missing,
            1 => Cell::One(found.swap_remove(0)),
            _ => Cell::Many(found),
        }
    }

    fn sample(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.whole)
    }
}

/// The texts at `path` below `value`. A list on the way is walked; in a row that is a list, a number names an element.
fn collect<'v>(value: &'v Value, path: &str, found: &mut Vec<Cow<'v, str>>) {
    match value {
        Value::Object(members) => {
            if let Some(member) = members.get(path) {
                return leaf(member, found);
            }
            let mut at = 0;
            // The name of a member may hold dots itself.
            while let Some(dot) = path[at..].find('.').map(|n| at + n) {
                if let Some(member) = members.get(&path[..dot]) {
                    return collect(member, &path[dot + 1..], found);
                }
                at = dot + 1;
            }
        }
        Value::Array(list) => {
            let (head, rest) = path.split_once('.').unwrap_or((path, ""));
            match head.parse::<usize>() {
                Ok(n) => {
                    if let Some(element) = n.checked_sub(1).and_then(|n| list.get(n)) {
                        if rest.is_empty() { leaf(element, found) } else { collect(element, rest, found) }
                    }
                }
                Err(_) => list.iter().for_each(|element| collect(element, path, found)),
            }
        }
        _ => {}
    }
}

fn leaf<'v>(value: &'v Value, found: &mut Vec<Cow<'v, str>>) {
    match value {
        Value::String(text) => found.push(Cow::Borrowed(text)),
        Value::Number(number) => found.push(Cow::Owned(number.to_string())),
        Value::Bool(truth) => found.push(Cow::Borrowed(if *truth { "true" } else { "false" })),
        Value::Array(list) => list.iter().for_each(|element| leaf(element, found)),
        Value::Null | Value::Object(_) => {}
    }
}

/// Builds a value and refuses a name that stands twice, and what is nested too deep.
#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: Error>(self) -> Result<Strict, E> {
        if self.depth >= DEPTH { Err(E::custom("nested too deep")) } else { Ok(Strict { depth: self.depth + 1 }) }
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut out = Vec::new();
        while let Some(element) = list.next_element_seed(inner)? {
            out.push(element);
        }
        Ok(Value::Array(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut out = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(inner)?;
            if out.insert(name, value).is_some() {
                return Err(A::Error::custom("a name stands twice"));
            }
        }
        Ok(Value::Object(out))
    }
}
