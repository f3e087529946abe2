//! An answer: its body is a stream with limits, and faults in it say what to do next.

use super::request::{Sent, scrub};
use crate::decode::{self, Body, Bounded, Limits};
use crate::error::ConnectorError;
use crate::secret::Secret;
use serde::de::DeserializeOwned;
use std::fmt;
use std::io::{self, Read};

/// An answer as a transport gives it, before anything is judged.
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Names and values, in order.
    pub headers: Vec<(String, String)>,
    /// The body as it came, still packed if a header says so.
    pub body: Body,
}

impl Answer {
    /// An answer with a body and no headers.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Answer {
        Answer { status, headers: Vec::new(), body: Box::new(io::Cursor::new(body.into())) }
    }

    /// Adds a header.
    #[must_use]
    pub fn header_pair(mut self, name: &str, value: &str) -> Answer {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// A header, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// How the body begins, on one line, if it is text for people.
    pub(super) fn snippet(mut self) -> Option<String> {
        if self.header("content-encoding").is_some() {
            return None;
        }
        one_line(&mut self.body)
    }
}

/// How a text for people begins, on one line.
fn one_line(body: &mut dyn Read) -> Option<String> {
    let mut head = Vec::new();
    let _ = body.take(2_048).read_to_end(&mut head);
    let text = String::from_utf8_lossy(&head);
    if text.trim_start().starts_with('<') {
        return Some("a page of HTML or XML".into());
    }
    let words: Vec<&str> = text.split(|c: char| c.is_control() || c.is_whitespace() || c == '\u{fffd}').collect();
    let line = words.iter().filter(|word| !word.is_empty()).copied().collect::<Vec<_>>().join(" ");
    let clipped: String = line.chars().take(200).collect();
    (!clipped.is_empty()).then_some(clipped)
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// An answer that may be read.
pub struct Response {
    /// 2xx, 304, or one the caller asked to see.
    pub status: u16,
    /// Names and values, in order.
    pub headers: Vec<(String, String)>,
    /// The body, decoded, inside the limits. What goes wrong on the way is for [`read_error`].
    pub body: Body,
    what: String,
    secrets: Vec<(String, Secret)>,
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Response({} {})", self.status, self.what)
    }
}

impl Response {
    pub(super) fn open(answer: Answer, sent: Sent, limits: Limits) -> Result<Response, ConnectorError> {
        let what = sent.about("");
        let refuse = |why: String| Err(ConnectorError::Unexpected(sent.about(&why)));
        let status = answer.status;
        let announced = match answer.header("content-length").map(str::trim) {
            _ if matches!(status, 204 | 304) => None,
            None => None,
            Some(text) => match text.parse::<u64>() {
                Ok(length) => Some(length),
                Err(_) => return refuse("announces a length that is no number".into()),
            },
        };
        if announced.is_some_and(|length| length > limits.max_input) {
            return refuse(format!("announces a body larger than the limit of {} MiB", limits.max_input >> 20));
        }
        let encoding = answer.header("content-encoding").map(|text| text.trim().to_ascii_lowercase());
        let Answer { headers, body, .. } = answer;
        let bounded = Bounded::new(body, limits.max_input);
        let body: Body = match announced {
            Some(length) => Box::new(Announced { inner: bounded, left: length }),
            None => Box::new(bounded),
        };
        let body: Body = match encoding.as_deref() {
            _ if matches!(status, 204 | 304) => Box::new(io::empty()),
            None | Some("" | "identity") => body,
            Some("gzip" | "x-gzip") => decode::gunzip(body, limits)?,
            Some(_) => return refuse("is encoded in a way we did not ask for".into()),
        };
        Ok(Response { status, headers, body, what, secrets: sent.secrets })
    }

    /// A header, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// For [`super::Request::if_none_match`] next time.
    pub fn etag(&self) -> Option<&str> {
        self.header("etag")
    }

    /// For [`super::Request::if_modified_since`] next time.
    pub fn last_modified(&self) -> Option<&str> {
        self.header("last-modified")
    }

    /// The type of the body without its parameters, lower-case; empty if none is given.
    pub fn content_type(&self) -> String {
        let text = self.header("content-type").unwrap_or_default();
        text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    /// 304: what we have is still it.
    pub fn not_modified(&self) -> bool {
        self.status == 304
    }

    /// A sentence about this answer: the request without its query, the status, and how the body begins. For a status
    /// asked for by [`super::Request::also`] that is a refusal.
    pub fn said(mut self) -> String {
        let begins = one_line(&mut self.body).map_or_else(String::new, |text| format!(": {text}"));
        scrub(&format!("{}answered {}{begins}", self.what, self.status), &self.secrets)
    }

    /// Words of this answer, fit to be kept: on one line, clipped, secrets replaced by their names.
    pub fn hide(&self, words: &str) -> String {
        // Replaced before they are clipped: half a secret is not recognised.
        one_line(&mut scrub(words, &self.secrets).as_bytes()).unwrap_or_default()
    }

    /// The whole body.
    ///
    /// # Errors
    /// What [`read_error`] makes of a fault on the way.
    pub fn bytes(mut self) -> Result<Vec<u8>, ConnectorError> {
        self.take_bytes()
    }

    /// The whole body as a text; a byte order mark is dropped.
    ///
    /// # Errors
    /// As [`Response::bytes`], and `Unexpected` if it is not UTF-8.
    pub fn text(mut self) -> Result<String, ConnectorError> {
        let bytes = self.take_bytes()?;
        let mut text = String::from_utf8(bytes).map_err(|_| self.wrong("is not text in UTF-8"))?;
        if text.starts_with('\u{feff}') {
            text.drain(..'\u{feff}'.len_utf8());
        }
        Ok(text)
    }

    /// The whole body as JSON.
    ///
    /// # Errors
    /// As [`Response::bytes`], and `Unexpected` if it is not JSON of that shape.
    pub fn json<T: DeserializeOwned>(mut self) -> Result<T, ConnectorError> {
        let bytes = self.take_bytes()?;
        serde_json::from_slice(&bytes).map_err(|error| {
            let kind = self.content_type();
            let given = if kind.is_empty() { "no type".to_owned() } else { kind };
            let next = if given.contains("html") { "; that is a web page: check the address" } else { "" };
            self.wrong(&format!("is not the JSON expected ({given}): {error}{next}"))
        })
    }

    fn take_bytes(&mut self) -> Result<Vec<u8>, ConnectorError> {
        let mut bytes = Vec::new();
        match self.body.read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(self.told(read_error(&error))),
        }
    }

    fn wrong(&self, why: &str) -> ConnectorError {
        ConnectorError::Unexpected(scrub(&format!("{}the answer {why}", self.what), &self.secrets))
    }

    /// Adds which request it was.
    fn told(&self, error: ConnectorError) -> ConnectorError {
        match error {
            ConnectorError::Unexpected(why) => ConnectorError::Unexpected(format!("{}{why}", self.what)),
            ConnectorError::Later { wait, why } => ConnectorError::Later { wait, why: format!("{}{why}", self.what) },
            ConnectorError::Busy { wait, why } => ConnectorError::Busy { wait, why: format!("{}{why}", self.what) },
            other => other,
        }
    }
}

/// What to do after an [`io::Error`] met while reading a body, also when a parser wrapped it. A fault of ours (a limit, a
/// body cut short, a lost connection) is inside; anything else is `Unexpected`.
pub fn read_error(error: &io::Error) -> ConnectorError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = error.get_ref().map(|inner| inner as _);
    while let Some(inner) = cause {
        if let Some(known) = inner.downcast_ref::<ConnectorError>() {
            return known.clone();
        }
        cause = match inner.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(deeper) => Some(deeper),
            None => inner.source(),
        };
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => ConnectorError::Unexpected("the answer was cut short".into()),
        _ => ConnectorError::Unexpected(format!("the answer cannot be read: {error}")),
    }
}

/// Fails when the body ends before, or goes on after, its announced length.
struct Announced<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Announced<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        let fault = |why: &str| io::Error::new(io::ErrorKind::InvalidData, ConnectorError::Unexpected(why.into()));
        match self.left.checked_sub(n as u64) {
            None => Err(fault("the answer is longer than announced")),
            Some(left) if n == 0 && left > 0 && !buffer.is_empty() => Err(fault("the answer was cut short")),
            Some(left) => {
                self.left = left;
                Ok(n)
            }
        }
    }
}
