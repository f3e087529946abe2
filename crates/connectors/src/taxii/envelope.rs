//! A page of objects, read as a stream: each object is handed on as it comes, so that a server that ignores the page size
//! costs no memory.

use kit::ConnectorError;
use kit::http::read_error;
use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use std::cell::Cell;
use std::fmt;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{self, BufReader, Read};

/// What stands around the objects of a page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Envelope {
    pub(super) more: bool,
    pub(super) next: Option<String>,
    /// Objects on the page.
    pub(super) n: u64,
    /// Tells the page from another one.
    pub(super) print: u64,
    /// There was something that only a message of TAXII or a bundle has.
    is_known: bool,
    /// What an answer that is an error in disguise says.
    error: Option<String>,
}

/// Takes objects as they are read.
pub(super) type Each<'a> = &'a mut dyn FnMut(Box<RawValue>);

/// Longest `next` that is kept, in bytes.
const MAX_NEXT: usize = 8 << 10;

/// How much is read at once, in bytes.
const READ_BYTES: usize = 64 << 10;
/// The longest object, or anything else on a page, in bytes: it is held whole.
const MAX_PIECE: usize = kit::stix::OBJECT_BYTES;

/// Lets no single piece of a page grow beyond the limit.
struct Fuse<'a, R> {
    inner: R,
    left: &'a Cell<usize>,
}

impl<R: Read> Read for Fuse<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        match self.left.get().checked_sub(n) {
            Some(left) => self.left.set(left),
            None => {
                let why = "a single object, or something around the objects, of more than 4 MiB on a page";
                return Err(io::Error::other(ConnectorError::Unexpected(why.into())));
            }
        }
        Ok(n)
    }
}

/// Reads an envelope (TAXII 2.1 §3.7) or a bundle (2.0).
///
/// # Errors
/// `Unexpected` if it is neither, is cut short, or goes on after its end.
pub(super) fn read(body: impl Read, each: Each<'_>) -> Result<Envelope, ConnectorError> {
    // What was read ahead belongs to the next piece already.
    let left = Cell::new(MAX_PIECE + READ_BYTES);
    let mut each = |object: Box<RawValue>| {
        left.set(MAX_PIECE + READ_BYTES);
        each(object);
    };
    let body = Fuse { inner: body, left: &left };
    let mut json = serde_json::Deserializer::from_reader(BufReader::with_capacity(READ_BYTES, body));
    let read = Page(&mut each).deserialize(&mut json).and_then(|envelope| json.end().map(|()| envelope));
    let envelope = read.map_err(|error| {
        let text = error.to_string();
        match error.is_io() || error.is_eof() {
            true => read_error(&error.into()),
            false => ConnectorError::Unexpected(format!("the page is no TAXII envelope: {text}")),
        }
    })?;
    match envelope.error {
        Some(why) if !envelope.is_known => {
            Err(ConnectorError::Unexpected(format!("the server sent an error for a page: {why}")))
        }
        _ => Ok(envelope),
    }
}

struct Page<'a>(Each<'a>);

impl<'de> DeserializeSeed<'de> for Page<'_> {
    type Value = Envelope;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Envelope, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Page<'_> {
    type Value = Envelope;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with more, next and objects")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope, A::Error> {
        let mut envelope = Envelope::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "objects" => {
                    map.next_value_seed(Objects { each: self.0, envelope: &mut envelope })?;
                    envelope.is_known = true;
                }
                "more" => {
                    let value: Value = map.next_value()?;
                    envelope.more = value == Value::Bool(true) || value == "true";
                    envelope.is_known = true;
                }
                "next" => {
                    envelope.next = match map.next_value()? {
                        Value::String(next) if !next.is_empty() && next.len() <= MAX_NEXT => Some(next),
                        Value::Number(next) => Some(next.to_string()),
                        _ => None,
                    };
                }
                "type" => envelope.is_known |= map.next_value::<Value>()? == "bundle",
                "error" | "http_status" | "title" | "detail" => {
                    let value: Value = map.next_value()?;
                    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    envelope.error = Some(text.chars().take(200).collect());
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(envelope)
    }
}

struct Objects<'a, 'e> {
    each: Each<'a>,
    envelope: &'e mut Envelope,
}

impl<'de> DeserializeSeed<'de> for Objects<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Objects<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let mut hash = DefaultHasher::new();
        while let Some(object) = list.next_element::<Box<RawValue>>()? {
            hash.write(object.get().as_bytes());
            self.envelope.n += 1;
            (self.each)(object);
        }
        self.envelope.print = hash.finish();
        Ok(())
    }
}
