//! A request as it is built, sent, shown and recorded.
//!
//! A secret never stands in a request's text: where one belongs there is `{{name}}`, and the live transport puts it in
//! at the last moment. What is shown or recorded is the text with the names. Data can never name a secret: only what
//! the connector itself wrote is looked through, and a query value's braces are encoded.

use super::Http;
use super::oauth::Grant;
use super::response::{Answer, Response};
use crate::error::ConnectorError;
use crate::secret::Secret;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use std::fmt::{self, Write as _};
use url::Url;

/// What is to be done at the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }
}

#[derive(Clone)]
pub(super) enum Body {
    None,
    Bytes(Vec<u8>),
    Json(Result<Vec<u8>, String>),
    /// Encoded pairs and, after them, secret ones.
    Form(String, Vec<(String, Secret)>),
}

impl Body {
    pub(super) fn json(body: &impl Serialize) -> Body {
        Body::Json(serde_json::to_vec(body).map_err(|error| error.to_string()))
    }

    pub(super) fn form(fields: &[(&str, &str)]) -> Body {
        let mut text = url::form_urlencoded::Serializer::new(String::new());
        text.extend_pairs(fields);
        Body::Form(text.finish(), Vec::new())
    }
}

/// A request being built. Nothing happens before [`Request::send`].
#[must_use = "a request does nothing until it is sent"]
pub struct Request<'a> {
    http: &'a Http,
    sent: Sent,
    also: Vec<u16>,
}

impl<'a> Request<'a> {
    pub(super) fn new(http: &'a Http, method: Method, url: &str, body: Body) -> Request<'a> {
        let mut headers = Vec::new();
        match &body {
            Body::Json(_) => headers.push(Header::plain("Content-Type", "application/json")),
            Body::Form(..) => headers.push(Header::plain("Content-Type", "application/x-www-form-urlencoded")),
            Body::None | Body::Bytes(_) => {}
        }
        let repeatable = matches!(method, Method::Get | Method::Put | Method::Delete);
        let sent = Sent {
            method,
            url: url.to_owned(),
            headers,
            body,
            fills: Vec::new(),
            secrets: Vec::new(),
            repeatable,
            is_asking: method == Method::Get,
            grant: None,
        };
        Request { http, sent, also: Vec::new() }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Request<'a> {
        self.sent.headers.retain(|header| !header.name.eq_ignore_ascii_case(name));
        self.sent.headers.push(Header::plain(name, value));
        self
    }

    /// Adds a header whose value is secret, shown as `{{name}}`.
    pub fn secret_header(mut self, name: &str, value: &Secret) -> Request<'a> {
        let shown = format!("{{{{{}}}}}", name.to_ascii_lowercase());
        self.sent.secrets.push((name.to_ascii_lowercase(), value.clone()));
        self.sent.headers.push(Header { name: name.into(), shown, real: Some(value.clone()) });
        self
    }

    /// `Authorization: Bearer`.
    pub fn bearer(mut self, token: &Secret) -> Request<'a> {
        self.sent.set_bearer(token);
        self
    }

    /// `Authorization: Bearer` with a token of this grant, which is fetched and renewed as needed.
    pub fn oauth(mut self, grant: &Grant) -> Request<'a> {
        self.sent.grant = Some(grant.clone());
        self
    }

    /// `Authorization: Basic`.
    pub fn basic(mut self, user: &str, password: &Secret) -> Request<'a> {
        let joined = Secret::new(BASE64_STANDARD.encode(format!("{user}:{}", password.reveal())));
        let real = Some(Secret::new(format!("Basic {}", joined.reveal())));
        self.sent.secrets.push(("password".into(), password.clone()));
        self.sent.secrets.push(("basic".into(), joined));
        self.sent.headers.push(Header { name: "Authorization".into(), shown: "Basic {{basic}}".into(), real });
        self
    }

    /// Adds a query parameter, encoded.
    pub fn query(mut self, key: &str, value: &str) -> Request<'a> {
        let mut pair = url::form_urlencoded::Serializer::new(String::new());
        pair.append_pair(key, value);
        self.sent.append_query(&pair.finish());
        self
    }

    /// Adds a query parameter whose value is secret, shown as `{{key}}`. For products that offer no header.
    pub fn secret_query(mut self, key: &str, value: &Secret) -> Request<'a> {
        self.sent.append_query(&format!("{key}={{{{{key}}}}}"));
        self.fill(key, value)
    }

    /// Puts a secret where the address says `{{name}}`, encoded. For products that want it in the path.
    pub fn fill(mut self, name: &str, value: &Secret) -> Request<'a> {
        self.sent.fills.push((name.to_owned(), value.clone()));
        self.sent.secrets.push((name.to_owned(), value.clone()));
        self
    }

    /// Adds a secret field to a form, shown as `{{name}}`. Without effect on other bodies.
    pub fn form_secret(mut self, name: &str, value: &Secret) -> Request<'a> {
        self.sent.secrets.push((name.to_owned(), value.clone()));
        if let Body::Form(_, secrets) = &mut self.sent.body {
            secrets.push((name.to_owned(), value.clone()));
        }
        self
    }

    /// Asks for the body only if it is no longer this one; the answer may then be [`Response::not_modified`].
    pub fn if_none_match(self, etag: &str) -> Request<'a> {
        self.header("If-None-Match", etag)
    }

    /// Asks for the body only if it is newer than this `Last-Modified` text.
    pub fn if_modified_since(self, last_modified: &str) -> Request<'a> {
        self.header("If-Modified-Since", last_modified)
    }

    /// Says that receiving this twice is harmless, so that it may be repeated when nobody knows whether it arrived.
    pub fn idempotent(mut self) -> Request<'a> {
        self.sent.repeatable = true;
        self
    }

    /// Says that it only asks, whatever its method: nothing is changed by it, so it may be repeated, and what fails with
    /// it has changed nothing.
    pub fn asking(mut self) -> Request<'a> {
        self.sent.is_asking = true;
        self.idempotent()
    }

    /// Gives these statuses back instead of making errors of them, e.g. 404 when taking back what is already gone.
    pub fn also(mut self, statuses: &[u16]) -> Request<'a> {
        self.also.extend_from_slice(statuses);
        self
    }

    /// Makes the call. The answer has a status of 2xx, 304 (if it was asked for by a condition) or one of
    /// [`Request::also`].
    ///
    /// # Errors
    /// 401, 403 and refused addresses: `Denied`. 429, 503, and whatever fails after all retries: `Later`, or `Busy` where
    /// no try of it can have changed anything: it was answered 429, was not sent, or only asks. Anything else:
    /// `Unexpected`. No error holds a query, a user or a secret.
    pub fn send(self) -> Result<Response, ConnectorError> {
        if let Body::Json(Err(error)) = &self.sent.body {
            return Err(ConnectorError::Unexpected(format!("the request cannot be written as JSON: {error}")));
        }
        self.http.send(self.sent, &self.also)
    }
}

#[derive(Clone)]
pub(super) struct Header {
    pub(super) name: String,
    /// What may be seen.
    pub(super) shown: String,
    /// What goes out, where it differs.
    pub(super) real: Option<Secret>,
}

impl Header {
    fn plain(name: &str, value: &str) -> Header {
        Header { name: name.into(), shown: value.into(), real: None }
    }

    pub(super) fn value(&self) -> &str {
        self.real.as_ref().map_or(&self.shown, Secret::reveal)
    }
}

/// A request on its way, as a recording or a scripted answer sees it: with the names of secrets in their places.
pub struct Sent {
    pub(super) method: Method,
    pub(super) url: String,
    pub(super) headers: Vec<Header>,
    pub(super) body: Body,
    fills: Vec<(String, Secret)>,
    pub(super) secrets: Vec<(String, Secret)>,
    pub(super) repeatable: bool,
    /// Nothing is changed by it.
    is_asking: bool,
    /// Where its token comes from.
    pub(super) grant: Option<Grant>,
}

impl Sent {
    /// `GET`, `POST`, …
    pub fn method(&self) -> &'static str {
        self.method.as_str()
    }

    /// The address with its query.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A header, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.shown.as_str())
    }

    /// Puts a bearer token on it, in place of one it may have.
    pub(super) fn set_bearer(&mut self, token: &Secret) {
        self.headers.retain(|header| !header.name.eq_ignore_ascii_case("authorization"));
        self.secrets.push(("token".into(), token.clone()));
        let real = Some(Secret::new(format!("Bearer {}", token.reveal())));
        self.headers.push(Header { name: "Authorization".into(), shown: "Bearer {{token}}".into(), real });
    }

    /// The body.
    pub fn body(&self) -> Vec<u8> {
        self.write_body(|name, _| format!("{{{{{name}}}}}"))
    }

    /// The body as it goes out; None if there is none.
    pub(super) fn real_body(&self) -> Option<Vec<u8>> {
        match self.body {
            Body::None => None,
            _ => Some(self.write_body(|_, secret| encode(secret.reveal()))),
        }
    }

    fn write_body(&self, write: impl Fn(&str, &Secret) -> String) -> Vec<u8> {
        match &self.body {
            Body::None | Body::Json(Err(_)) => Vec::new(),
            Body::Bytes(bytes) | Body::Json(Ok(bytes)) => bytes.clone(),
            Body::Form(text, secrets) => {
                let mut text = text.clone();
                for (name, secret) in secrets {
                    let join = if text.is_empty() { "" } else { "&" };
                    let _ = write!(text, "{join}{name}={}", write(name, secret));
                }
                text.into_bytes()
            }
        }
    }

    /// The address as it goes out.
    pub(super) fn real_url(&self) -> String {
        let mut url = self.url.clone();
        for (name, secret) in &self.fills {
            url = url.replace(&format!("{{{{{name}}}}}"), &encode(secret.reveal()));
        }
        url
    }

    /// Whether nothing is changed by it.
    pub(super) fn only_asks(&self) -> bool {
        self.is_asking
    }

    pub(super) fn conditional(&self) -> bool {
        self.header("If-None-Match").is_some() || self.header("If-Modified-Since").is_some()
    }

    fn append_query(&mut self, pair: &str) {
        // A fragment is not sent; a query after it would be lost.
        if let Some(at) = self.url.find('#') {
            self.url.truncate(at);
        }
        self.url.push(if self.url.contains('?') { '&' } else { '?' });
        self.url.push_str(pair);
    }

    /// Follows a redirect, if it stays inside the origin and the request only reads.
    pub(super) fn redirect(&mut self, answer: &Answer, more: bool) -> Result<(), ConnectorError> {
        let wrong = |sent: &Sent, why: &str| Err(ConnectorError::Unexpected(sent.about(why)));
        let Some(location) = answer.header("location") else {
            return wrong(self, "redirects to nowhere");
        };
        let from = Url::parse(&self.real_url());
        let Ok(Ok(to)) = from.as_ref().map(|from| from.join(location)) else {
            return wrong(self, "redirects to something that is no address");
        };
        if from.is_ok_and(|from| from.origin() != to.origin()) || !to.username().is_empty() || to.password().is_some() {
            let host = to.host_str().unwrap_or("none");
            return wrong(self, &format!("redirects to another origin, {}://{host}: it is not followed", to.scheme()));
        }
        if self.method != Method::Get {
            return wrong(self, "redirects a request that is more than reading");
        }
        if !more {
            return wrong(self, "redirects too often");
        }
        // The new address may repeat secrets that were filled into the old one: they go back to being names.
        self.url = scrub(to.as_str(), &self.fills);
        Ok(())
    }

    /// A sentence about this request: method and address without query, then `why`; secrets replaced by names.
    pub(super) fn about(&self, why: &str) -> String {
        // Servers choose addresses too, by redirects and by ids. Replaced before it is clipped: half a secret is not
        // recognised.
        let mut url = scrub(&shown_url(&self.url), &self.secrets);
        if let Some((end, _)) = url.char_indices().nth(SHOWN_URL_CHARS) {
            url.truncate(end);
            url.push('…');
        }
        scrub(&format!("{} {url}: {why}", self.method.as_str()), &self.secrets)
    }

    /// The same from an answer: its status and how its body begins.
    pub(super) fn said(&self, answer: Answer) -> String {
        let status = answer.status;
        match answer.snippet() {
            Some(snippet) => self.about(&format!("answered {status}: {snippet}")),
            None => self.about(&format!("answered {status}")),
        }
    }
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method.as_str(), shown_url(&self.url))
    }
}

/// Most characters of an address that a message shows.
const SHOWN_URL_CHARS: usize = 500;

/// An address without user, query and fragment.
fn shown_url(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let (scheme, rest) = url[..end].split_once("://").unwrap_or(("", &url[..end]));
    let authority = rest.find(['/', '\\']).unwrap_or(rest.len());
    let host = rest[..authority].rsplit_once('@').map_or(&rest[..authority], |(_, host)| host);
    format!("{scheme}://{host}{}", &rest[authority..])
}

/// Encodes a text for a path segment, a query or a form: everything but letters, digits, `-`, `.`, `_`, `~`.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

/// Replaces every secret, plain, percent-encoded or in base64, by `{{name}}`.
pub(super) fn scrub(text: &str, secrets: &[(String, Secret)]) -> String {
    let mut text = text.to_owned();
    for (name, secret) in secrets {
        let plain = secret.reveal();
        // A secret of a character or two would tear every text apart, and hides nothing.
        if plain.len() < 4 {
            continue;
        }
        let name = format!("{{{{{name}}}}}");
        let base64 = BASE64_STANDARD.encode(plain);
        let json = serde_json::to_string(plain).unwrap_or_default();
        let lower = encode(plain).to_ascii_lowercase();
        for form in [plain, &encode(plain), &lower, json.trim_matches('"'), base64.trim_end_matches('=')] {
            if text.contains(form) {
                text = text.replace(form, &name);
            }
        }
    }
    text
}
