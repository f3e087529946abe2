//! A page of objects. Read as a stream, each object is handed on as it comes, so that a server that ignores the page size
//! costs no memory. A page that is in memory is read where it lies, and, where it holds nothing unusual, in one pass.

use kit::ConnectorError;
use kit::http::read_error;
use kit::stix::{OBJECT_BYTES, Plain, Reader};
use serde::Deserializer;
use serde::de::{Deserialize, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Borrow;
use std::cell::Cell;
use std::fmt;
use std::io::{self, BufReader, Read};
use std::marker::PhantomData;
use xxhash_rust::xxh3::xxh3_64_with_seed;

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

/// Takes objects as they are read, each as it was written.
pub(super) type Each<'a> = &'a mut dyn FnMut(&RawValue);

/// Longest `next` that is kept, in bytes.
const MAX_NEXT: usize = 8 << 10;

/// How much is read at once, in bytes.
const READ_BYTES: usize = 64 << 10;
/// The longest object, or anything else on a page, in bytes: it is held whole.
const MAX_PIECE: usize = OBJECT_BYTES;

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

/// Reads an envelope (TAXII 2.1 §3.7) or a bundle (2.0) as it comes.
///
/// # Errors
/// `Unexpected` if it is neither, is cut short, or goes on after its end.
pub(super) fn read(body: impl Read, each: Each<'_>) -> Result<Envelope, ConnectorError> {
    // What was read ahead belongs to the next piece already.
    let left = Cell::new(MAX_PIECE + READ_BYTES);
    let mut each = |object: &RawValue| {
        left.set(MAX_PIECE + READ_BYTES);
        each(object);
    };
    let body = Fuse { inner: body, left: &left };
    let mut json = serde_json::Deserializer::from_reader(BufReader::with_capacity(READ_BYTES, body));
    let how = One::<Box<RawValue>>(&mut each, PhantomData);
    judged(Page(how).deserialize(&mut json).and_then(|envelope| json.end().map(|()| envelope)))
}

/// The same of a page in memory.
///
/// # Errors
/// As [`read`].
pub(super) fn read_held(body: &[u8], each: Each<'_>) -> Result<Envelope, ConnectorError> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let how = One::<&RawValue>(each, PhantomData);
    judged(Page(how).deserialize(&mut json).and_then(|envelope| json.end().map(|()| envelope)))
}

/// Reads a page in memory into `reader`. None if it is unusual in any way: then what the reader was given is worth nothing,
/// and [`read_held`] says what it is.
pub(super) fn read_plain(body: &[u8], reader: &mut Reader<'_>) -> Option<Envelope> {
    if body.len() > OBJECT_BYTES {
        return None;
    }
    // Of a page that is text throughout, no part has to be looked through for it again.
    let mut json = serde_json::Deserializer::from_str(std::str::from_utf8(body).ok()?);
    let envelope = Page(reader).deserialize(&mut json).ok()?;
    json.end().ok()?;
    (envelope.is_known && envelope.error.is_none()).then_some(envelope)
}

fn judged(read: serde_json::Result<Envelope>) -> Result<Envelope, ConnectorError> {
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

/// What the objects of a page are read with.
trait Take<'de> {
    /// Reads the list: how many there were, and what tells them from others.
    fn list<A: SeqAccess<'de>>(&mut self, list: A) -> Result<(u64, u64), A::Error>;
}

/// Each on its own, so that one that is bad costs no other.
struct One<'a, R>(Each<'a>, PhantomData<R>);

impl<'de, R: Deserialize<'de> + Borrow<RawValue>> Take<'de> for One<'_, R> {
    fn list<A: SeqAccess<'de>>(&mut self, mut list: A) -> Result<(u64, u64), A::Error> {
        let (mut n, mut print) = (0, 0);
        while let Some(object) = list.next_element::<R>()? {
            let object = object.borrow();
            print = xxh3_64_with_seed(object.get().as_bytes(), print);
            n += 1;
            (self.0)(object);
        }
        Ok((n, print))
    }
}

impl<'de> Take<'de> for &mut Reader<'_> {
    fn list<A: SeqAccess<'de>>(&mut self, list: A) -> Result<(u64, u64), A::Error> {
        let listed = Plain(self).visit_seq(list)?;
        Ok((listed.n, listed.print))
    }
}

struct Page<T>(T);

impl<'de, T: Take<'de>> DeserializeSeed<'de> for Page<T> {
    type Value = Envelope;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Envelope, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de, T: Take<'de>> Visitor<'de> for Page<T> {
    type Value = Envelope;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with more, next and objects")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Envelope, A::Error> {
        let mut envelope = Envelope::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "objects" => {
                    map.next_value_seed(Objects { take: &mut self.0, envelope: &mut envelope })?;
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

struct Objects<'a, T> {
    take: &'a mut T,
    envelope: &'a mut Envelope,
}

impl<'de, T: Take<'de>> DeserializeSeed<'de> for Objects<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de, T: Take<'de>> Visitor<'de> for Objects<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<(), A::Error> {
        let (n, print) = self.take.list(list)?;
        self.envelope.n += n;
        self.envelope.print = print;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kit::stix::Markings;
    use kit::testkit::Collected;

    /// A page read object by object, from memory and as a stream.
    fn each(body: &[u8]) -> (Option<Envelope>, String) {
        let run = |read: &dyn Fn(Each<'_>) -> Result<Envelope, ConnectorError>| {
            let mut rows = Collected::default();
            let mut reader = Reader::new(&mut rows, Markings::default());
            let envelope = read(&mut |object| reader.object(object.get())).ok();
            reader.finish();
            (envelope, format!("{rows:?}"))
        };
        let held = run(&|each| read_held(body, each));
        assert_eq!(held, run(&|each| read(body, each)), "{}", String::from_utf8_lossy(body));
        held
    }

    fn plain(body: &[u8]) -> Option<(Envelope, String)> {
        let mut rows = Collected::default();
        let mut reader = Reader::new(&mut rows, Markings::default());
        let envelope = read_plain(body, &mut reader)?;
        reader.finish();
        Some((envelope, format!("{rows:?}")))
    }

    #[test]
    fn a_page_is_the_same_whichever_way_it_is_read() {
        let one = r#"{"type": "indicator", "id": "indicator--1", "pattern": "[url:value = 'http://a.example/']"}"#;
        let broken = r#"{"type": "indicator", "id": "indicator--2", "pattern": "["}"#;
        let pages = [
            (true, format!(r#"{{"more": true, "next": "2", "objects": [{one}, {broken}]}}"#)),
            (true, r#"{"objects": []}"#.to_owned()),
            (true, r#"{"objects": null, "more": "true", "next": 7}"#.to_owned()),
            (true, format!(r#"{{"type": "bundle", "id": "bundle--1", "objects": [{one}]}}"#)),
            (false, format!(r#"{{"objects": [{one}, {{"type": "report", "type": "a"}}, 7]}}"#)),
            (false, format!(r#"{{"objects": [{{"type": "bundle", "objects": [{one}]}}]}}"#)),
            (false, r#"{"title": "no", "http_status": "500"}"#.to_owned()),
            (false, "{}".to_owned()),
            (false, format!(r#"{{"objects": [{one}"#)),
            (false, format!(r#"{{"objects": [{one}]}} more"#)),
            (false, format!("[{one}]")),
        ];
        for (is_plain, page) in pages {
            let (expected, rows) = each(page.as_bytes());
            let got = plain(page.as_bytes());
            assert_eq!(got.is_some(), is_plain, "{page}");
            let Some((mut envelope, plain_rows)) = got else { continue };
            let expected = expected.expect("a page that can be read");
            // Each way has its own print.
            envelope.print = expected.print;
            assert_eq!((envelope, plain_rows), (expected, rows), "{page}");
        }
        let not_text = [br#"{"objects": [{"type": "report", "x": ""#.as_slice(), b"\xff", br#""}]}"#].concat();
        assert_eq!(plain(&not_text), None);
        assert_eq!(each(&not_text).0, None);
    }

    #[test]
    fn the_print_is_of_the_objects_alone() {
        let page =
            |next: u32, id: &str| format!(r#"{{"next": "{next}", "objects": [{{"type": "report", "id": "{id}"}}]}}"#);
        let print = |page: String| (plain(page.as_bytes()).unwrap().0.print, each(page.as_bytes()).0.unwrap().print);
        assert_eq!(print(page(1, "a")), print(page(2, "a")));
        let (one, other) = (print(page(1, "a")), print(page(1, "b")));
        assert!(one.0 != other.0 && one.1 != other.1);
    }
}
