//! Recorded conversations, as text that a reviewer reads.
//!
//! ```text
//! # Lines before the first request are remarks.
//! === the first page
//! GET https://feeds.example/list.csv?page=1
//! Authorization: Bearer {{token}}
//!
//! HTTP 200
//! Content-Type: text/csv
//! ETag: "7"
//!
//! 192.0.2.1,2026-01-01
//! === the second
//! POST https://feeds.example/values
//!
//! {"value": "192.0.2.1"}
//!
//! HTTP 204
//! ```
//!
//! A line that begins with `=== ` (or is `===`) starts an exchange and may title it; the first one may do without. A
//! request is its line, the headers that matter, an empty line and a body; a request without a body goes on with the
//! response. The response starts with `HTTP` and a status. A body is the text up to the next exchange, or one line
//! `< name` for a file beside, or `<base64` and lines of base64. A body that is to be cut, or whose lines look like the
//! format's own, takes one of the latter two.
//!
//! On replay requests must come in order. Method, address and body must be the recorded ones, JSON by value; recorded
//! headers must be there, others are not looked at. Secrets stand as `{{name}}`.

use super::request::{Sent, scrub};
use super::response::Answer;
use super::{Fault, Transport};
use crate::decode::{Body, Limits, gunzip};
use crate::http::read_error;
use crate::secret::Secret;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// One request and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exchange {
    /// For people.
    pub title: String,
    /// `GET`, `POST`, …
    pub method: String,
    /// With query, secrets as `{{name}}`.
    pub url: String,
    /// Those that must be there.
    pub request_headers: Vec<(String, String)>,
    /// Empty if there is none.
    pub request_body: Vec<u8>,
    /// The answer's status.
    pub status: u16,
    /// Those that matter.
    pub headers: Vec<(String, String)>,
    /// The answer's body.
    pub body: Vec<u8>,
}

/// A conversation, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exchanges(pub Vec<Exchange>);

/// Request headers that say nothing about the conversation.
const DULL_REQUEST: [&str; 6] = ["user-agent", "accept", "accept-encoding", "content-length", "host", "connection"];

/// Response headers that a connector or this room looks at.
const TOLD: [&str; 7] = ["content-type", "etag", "last-modified", "retry-after", "location", "link", "x-total-count"];

impl Exchanges {
    /// Reads the file and those it names beside it.
    ///
    /// # Errors
    /// A sentence with file and line.
    pub fn load(path: &Path) -> Result<Exchanges, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let beside = |name: &str| -> io::Result<Vec<u8>> {
            if name.contains(['/', '\\']) || name.starts_with("..") {
                return Err(io::Error::other("a body must lie beside its exchange"));
            }
            std::fs::read(path.with_file_name(name))
        };
        Exchanges::parse(&text, &beside).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Reads the format; `beside` gives the files it names.
    ///
    /// # Errors
    /// A sentence with the line.
    pub fn parse(text: &str, beside: &dyn Fn(&str) -> io::Result<Vec<u8>>) -> Result<Exchanges, String> {
        let mut lines = Lines { left: text.split_inclusive('\n').collect(), number: 0, beside };
        while lines.next_if(|line| line.starts_with('#') || line.trim().is_empty()).is_some() {}
        let mut exchanges = Vec::new();
        while !lines.left.is_empty() {
            exchanges.push(lines.exchange().map_err(|why| format!("line {}: {why}", lines.number))?);
        }
        Ok(Exchanges(exchanges))
    }

    /// Writes the format. Bodies that are no plain text become base64.
    pub fn write(&self) -> String {
        let mut out = String::new();
        for (at, exchange) in self.0.iter().enumerate() {
            if at > 0 || !exchange.title.is_empty() {
                let _ = writeln!(out, "{}", format!("=== {}", exchange.title).trim_end());
            }
            let _ = writeln!(out, "{} {}", exchange.method, exchange.url);
            write_section(&mut out, &exchange.request_headers, &exchange.request_body);
            let _ = writeln!(out, "HTTP {}", exchange.status);
            write_section(&mut out, &exchange.headers, &exchange.body);
        }
        out
    }
}

fn write_section(out: &mut String, headers: &[(String, String)], body: &[u8]) {
    for (name, value) in headers {
        let _ = writeln!(out, "{name}: {value}");
    }
    out.push('\n');
    if body.is_empty() {
        return;
    }
    let plain = std::str::from_utf8(body).ok().filter(|text| {
        let format =
            |line: &str| is_title(line) || status_of(line).is_some() || line.starts_with('<') && line.len() < 256;
        let odd = |c: char| c.is_control() && c != '\n' && c != '\t';
        !text.trim().is_empty() && !text.starts_with('\n') && !text.chars().any(odd) && !text.lines().any(format)
    });
    match plain {
        Some(text) => {
            out.push_str(text);
            if !text.ends_with('\n') {
                out.push('\n');
            }
        }
        None => {
            out.push_str("<base64\n");
            let text = BASE64_STANDARD.encode(body);
            for line in text.as_bytes().chunks(100) {
                out.push_str(&String::from_utf8_lossy(line));
                out.push('\n');
            }
        }
    }
}

fn is_title(line: &str) -> bool {
    line.trim_end() == "===" || line.starts_with("=== ")
}

/// `HTTP 200`, `HTTP/1.1 200 OK`.
fn status_of(line: &str) -> Option<u16> {
    let mut words = line.split_whitespace();
    let first = words.next()?;
    (first == "HTTP" || first.starts_with("HTTP/")).then_some(())?;
    words.next()?.parse().ok().filter(|status| (100..=599).contains(status))
}

/// What is yet to be read.
struct Lines<'a> {
    left: VecDeque<&'a str>,
    number: usize,
    beside: &'a dyn Fn(&str) -> io::Result<Vec<u8>>,
}

impl<'a> Lines<'a> {
    fn next_if(&mut self, wanted: impl Fn(&str) -> bool) -> Option<&'a str> {
        let line = self.left.front().copied().filter(|line| wanted(line))?;
        self.left.pop_front();
        self.number += 1;
        Some(line)
    }

    fn exchange(&mut self) -> Result<Exchange, String> {
        let mut exchange = Exchange::default();
        if let Some(line) = self.next_if(is_title) {
            exchange.title = line[3..].trim().to_owned();
        }
        while self.next_if(|line| line.trim().is_empty()).is_some() {}
        let request = self.next_if(|_| true).unwrap_or_default();
        match request.trim_end().split_once(' ') {
            Some((method @ ("GET" | "POST" | "PUT" | "PATCH" | "DELETE"), url)) => {
                exchange.method = method.into();
                exchange.url = url.trim().into();
            }
            _ => return Err("expected a request such as `GET https://host/path`".into()),
        }
        let ends = |line: &str| is_title(line) || status_of(line).is_some();
        exchange.request_headers = self.headers(&ends)?;
        exchange.request_body = self.body(&ends)?;
        exchange.request_body.truncate(exchange.request_body.trim_ascii_end().len());
        let status = self.next_if(|_| true).and_then(status_of);
        exchange.status = status.ok_or("expected the answer's status such as `HTTP 200`")?;
        exchange.headers = self.headers(&is_title)?;
        exchange.body = self.body(&is_title)?;
        Ok(exchange)
    }

    fn headers(&mut self, ends: &dyn Fn(&str) -> bool) -> Result<Vec<(String, String)>, String> {
        let mut headers = Vec::new();
        while let Some(line) = self.next_if(|line| !line.trim().is_empty() && !ends(line)) {
            let (name, value) =
                line.split_once(':').ok_or("expected a header such as `Name: value`, or an empty line")?;
            headers.push((name.trim().into(), value.trim().into()));
        }
        self.next_if(|line| line.trim().is_empty());
        Ok(headers)
    }

    fn body(&mut self, ends: &dyn Fn(&str) -> bool) -> Result<Vec<u8>, String> {
        let mut text = String::new();
        while let Some(line) = self.next_if(|line| !ends(line)) {
            text.push_str(line);
        }
        if let Some(name) = text.strip_prefix("< ") {
            let name = name.trim();
            return (self.beside)(name).map_err(|error| format!("{name}: {error}"));
        }
        if let Some(encoded) = text.strip_prefix("<base64") {
            let packed: String = encoded.split_whitespace().collect();
            return BASE64_STANDARD.decode(packed).map_err(|error| format!("the base64 cannot be read: {error}"));
        }
        Ok(text.into_bytes())
    }
}

/// A token server's answer hands out what nobody knew as a secret before: it is recorded by its name.
fn hide_tokens(body: Vec<u8>) -> Vec<u8> {
    const HANDED_OUT: [&str; 3] = ["access_token", "refresh_token", "id_token"];
    if !HANDED_OUT.iter().any(|name| memchr::memmem::find(&body, name.as_bytes()).is_some()) {
        return body;
    }
    let Ok(serde_json::Value::Object(mut told)) = serde_json::from_slice(&body) else { return body };
    let mut found = false;
    for name in HANDED_OUT {
        if let Some(text @ serde_json::Value::String(_)) = told.get_mut(name) {
            *text = format!("recorded-{name}").into();
            found = true;
        }
    }
    if found { serde_json::Value::Object(told).to_string().into_bytes() } else { body }
}

impl Exchange {
    /// Makes an exchange of what went out and came in, and an answer that can still be read. The body is recorded
    /// unpacked.
    pub(super) fn of(
        sent: &Sent,
        mut answer: Answer,
        secrets: &[(String, Secret)],
        limits: Limits,
    ) -> Result<(Exchange, Answer), Fault> {
        let packed = answer.header("content-encoding").is_some_and(|text| text.to_ascii_lowercase().contains("gzip"));
        let broken = |why: String| Fault::Broken(why);
        let mut body: Body = std::mem::replace(&mut answer.body, Box::new(io::empty()));
        if packed {
            body = gunzip(body, limits).map_err(|error| broken(error.to_string()))?;
        }
        let mut bytes = Vec::new();
        let read = body.take(limits.max_output + 1).read_to_end(&mut bytes);
        read.map_err(|error| broken(read_error(&error).to_string()))?;
        let mut known = sent.secrets.clone();
        known.extend(secrets.iter().cloned());
        let hide = |text: &str| scrub(text, &known);
        let hide_bytes = |bytes: Vec<u8>| match String::from_utf8(bytes) {
            Ok(text) => hide(&text).into_bytes(),
            Err(error) => error.into_bytes(),
        };
        let told = |name: &str| TOLD.contains(&name.to_ascii_lowercase().as_str());
        let kept: Vec<(String, String)> = answer.headers.iter().filter(|(name, _)| told(name)).cloned().collect();
        let request = sent.headers.iter().filter(|h| !DULL_REQUEST.contains(&h.name.to_ascii_lowercase().as_str()));
        let exchange = Exchange {
            title: String::new(),
            method: sent.method().into(),
            url: hide(sent.url()),
            request_headers: request.map(|header| (header.name.clone(), hide(&header.shown))).collect(),
            request_body: hide_bytes(sent.body()),
            status: answer.status,
            headers: kept.iter().map(|(name, value)| (name.clone(), hide(value))).collect(),
            body: hide_tokens(hide_bytes(bytes.clone())),
        };
        let read = Answer { status: answer.status, headers: kept, body: Box::new(io::Cursor::new(bytes)) };
        Ok((exchange, read))
    }

    /// The recorded answer.
    pub fn answer(&self) -> Answer {
        Answer {
            status: self.status,
            headers: self.headers.clone(),
            body: Box::new(io::Cursor::new(self.body.clone())),
        }
    }

    /// Why this request is not the recorded one; None if it is.
    fn differs(&self, sent: &Sent, secrets: &[(String, Secret)]) -> Option<String> {
        let mut known = sent.secrets.clone();
        known.extend(secrets.iter().cloned());
        let hide = |text: &str| scrub(text, &known);
        let given = format!("{} {}", sent.method(), hide(sent.url()));
        let recorded = format!("{} {}", self.method, self.url);
        if given != recorded {
            return Some(format!("{given} was asked for, and {recorded} is recorded"));
        }
        for (name, value) in &self.request_headers {
            let given = sent.header(name).map(hide);
            if given.as_deref() != Some(value) {
                let given = given.unwrap_or_else(|| "not there".into());
                return Some(format!("{recorded}: the header {name} is {given}, and {value} is recorded"));
            }
        }
        let body = sent.body();
        let given = hide(&String::from_utf8_lossy(&body));
        let recorded_body = String::from_utf8_lossy(&self.request_body);
        let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
        let same = given.trim_end() == recorded_body || json(&given).is_some_and(|it| Some(it) == json(&recorded_body));
        (!same).then(|| format!("{recorded}: the body is\n{given}\nand recorded is\n{recorded_body}"))
    }
}

/// Answers from a recording.
pub(super) struct Replay {
    queue: Mutex<VecDeque<Exchange>>,
    secrets: Vec<(String, Secret)>,
}

impl Replay {
    pub(super) fn new(exchanges: Exchanges, secrets: Vec<(String, Secret)>) -> Replay {
        Replay { queue: Mutex::new(exchanges.0.into()), secrets }
    }
}

impl Transport for Replay {
    fn call(&self, sent: &Sent) -> Result<Answer, Fault> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(next) = queue.front() else {
            return Err(Fault::Wrong(format!("{} {} is not recorded: no exchange is left", sent.method(), sent.url())));
        };
        if let Some(why) = next.differs(sent, &self.secrets) {
            return Err(Fault::Wrong(format!("not as recorded: {why}")));
        }
        let answer = next.answer();
        queue.pop_front();
        Ok(answer)
    }

    fn left(&self) -> usize {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}
