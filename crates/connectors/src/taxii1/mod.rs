//! TAXII 1.1, polled: messages of XML over HTTP, with STIX 1.x inside.
//!
//! A poll asks for what was added after a moment and up to the server's now; a long answer comes in parts. The end the
//! server names is the next beginning, one second back, so that what is added in that second is not lost. What a package
//! means is `kit::stix1`'s business. Subscriptions are not managed and nothing is pushed: servers of 1.1 are read only.

mod message;

#[cfg(test)]
mod tests;

use intel::Timestamp;
use kit::http::Response;
use kit::manifest::Manifest;
use kit::{Connection, Connector, ConnectorError, Cursor, Cx, Pulled, Rows, Secret, Source};
use message::{Answer, Poll};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::BufReader;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// Parts of one answer.
const MAX_PARTS: u64 = 10_000;
/// Parts in a row without content.
const MAX_EMPTY: u64 = 50;
/// How often an answer is asked for anew because the server forgot its parts.
const MAX_RESTARTS: u32 = 2;
/// How far back the next poll begins from where this one ended.
const OVERLAP: Duration = Duration::from_secs(1);
/// An end this far ahead of our clock is not believed.
const MAX_SKEW: Duration = Duration::from_secs(86_400);

pub(crate) fn connector() -> Result<Arc<dyn Connector>, String> {
    Ok(Arc::new(Taxii1 { manifest: Manifest::parse(include_str!("manifest.toml"))? }))
}

struct Taxii1 {
    manifest: Manifest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Service {
    #[default]
    Poll,
    Discovery,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    url: String,
    #[serde(default)]
    service: Service,
    collection: String,
    subscription: Option<String>,
    username: Option<String>,
    password: Option<Secret>,
}

impl Connector for Taxii1 {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn open(&self, settings: &Value) -> Result<Box<dyn Connection>, String> {
        let settings: Settings = Settings::deserialize(settings).map_err(|error| error.to_string())?;
        if settings.username.is_some() != settings.password.is_some() {
            return Err("username and password: one is given without the other".into());
        }
        Ok(Box::new(Link { settings }))
    }
}

struct Link {
    settings: Settings,
}

/// What is stored between calls.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Place {
    /// What the settings select: another selection starts anew.
    scope: String,
    /// The moment after which the next poll begins.
    #[serde(default)]
    after: Option<String>,
    /// The answer whose parts are being read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    part: Option<Part>,
    /// How often an answer was asked for anew because its parts were gone.
    #[serde(default)]
    restarts: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct Part {
    /// Of the poll service.
    url: String,
    result: String,
    number: u64,
    n_empty: u64,
    /// The print of the part before: getting it again is going in circles.
    print: u64,
    /// Where the whole answer ends.
    end: Option<String>,
}

impl Connection for Link {
    fn check(&self, cx: &Cx<'_>) -> Result<(), ConnectorError> {
        // A poll of nothing: what was added in the last second.
        let url = self.poll_service(cx)?;
        self.poll(&url, &cx.now.before(OVERLAP).to_string(), cx, &mut Nobody).map(drop)
    }

    fn lists_everything(&self) -> Option<bool> {
        Some(false)
    }

    fn hosts(&self) -> Vec<String> {
        Url::parse(&self.settings.url).ok().and_then(|url| url.host_str().map(str::to_owned)).into_iter().collect()
    }

    fn source(&self) -> Option<&dyn Source> {
        Some(self)
    }
}

impl Source for Link {
    fn pull(&self, after: Option<&Cursor>, cx: &Cx<'_>, rows: &mut dyn Rows) -> Result<Pulled, ConnectorError> {
        let Settings { url, collection, .. } = &self.settings;
        let scope = format!("{url} {collection}");
        let mut place = after
            .and_then(|value| Place::deserialize(value).ok())
            .filter(|place| place.scope == scope)
            .unwrap_or_else(|| Place { scope, ..Place::default() });
        let (url, part, answer) = match place.part.take() {
            None => {
                let begin = place.after.clone().unwrap_or_else(|| cx.initial_from.to_string());
                let url = self.poll_service(cx)?;
                let answer = self.poll(&url, &begin, cx, rows)?;
                (url, None, answer)
            }
            Some(part) => {
                let request = message::fulfillment(&message_id(cx), collection, &part.result, part.number);
                match self.ask(&part.url, request, cx, rows)? {
                    Answer::Poll(answer) => (part.url.clone(), Some(part), answer),
                    // The parts are not kept any longer: it is asked for anew.
                    Answer::Status(status) if status.is_forgotten() && place.restarts < MAX_RESTARTS => {
                        place.restarts += 1;
                        return Ok(Pulled::More(value(&place)?));
                    }
                    other => return Err(unexpected(&part.url, other)),
                }
            }
        };
        let end = answer.end.or(part.as_ref().and_then(|part| part.end.clone())).or(answer.label);
        let n_empty = if answer.n_blocks > 0 { 0 } else { part.as_ref().map_or(0, |part| part.n_empty) + 1 };
        if !answer.more {
            // The beginning moves only as far as the server says that it told everything, and never back.
            let end = end.as_deref().and_then(Timestamp::parse).filter(|end| *end <= cx.now.after(MAX_SKEW));
            let next = end.map(|end| end.before(OVERLAP));
            let before = place.after.as_deref().and_then(Timestamp::parse);
            place.restarts = 0;
            place.after = next.max(before).map(|time| time.to_string());
            return Ok(Pulled::Done(Some(value(&place)?)));
        }
        let wrong = |why: &str| Err(ConnectorError::Unexpected(format!("{url}: the server {why}")));
        let Some(result) = answer.result.or(part.as_ref().map(|part| part.result.clone())) else {
            return wrong("says that there is more, and gives no result_id to ask for it");
        };
        let number = part.as_ref().map_or(answer.number.unwrap_or(1), |part| part.number) + 1;
        if answer.n_blocks > 0 && part.as_ref().is_some_and(|part| part.print == answer.print) {
            return wrong("gives the same part again and again");
        }
        if n_empty > MAX_EMPTY || number > MAX_PARTS {
            return wrong("says that there is more, and comes to no end");
        }
        place.part = Some(Part { url, result, number, n_empty, print: answer.print, end });
        Ok(Pulled::More(value(&place)?))
    }
}

impl Link {
    fn poll(&self, url: &str, begin: &str, cx: &Cx<'_>, rows: &mut dyn Rows) -> Result<Poll, ConnectorError> {
        let Settings { collection, subscription, .. } = &self.settings;
        let request = message::poll(&message_id(cx), collection, begin, subscription.as_deref());
        match self.ask(url, request, cx, rows)? {
            Answer::Poll(answer) => Ok(answer),
            other => Err(unexpected(url, other)),
        }
    }

    /// Where to poll.
    fn poll_service(&self, cx: &Cx<'_>) -> Result<String, ConnectorError> {
        let Settings { url, service, .. } = &self.settings;
        if *service == Service::Poll {
            return Ok(url.clone());
        }
        let services = match self.ask(url, message::discovery(&message_id(cx)), cx, &mut Nobody)? {
            Answer::Services(services) => services,
            other => return Err(unexpected(url, other)),
        };
        let from = Url::parse(url).map_err(|error| ConnectorError::Denied(format!("url: is no address ({error})")))?;
        let mut elsewhere = None;
        for address in &services {
            let Ok(mut to) = from.join(address.trim()) else { continue };
            // Behind a proxy that ends TLS a server often believes to be reached by http.
            if from.scheme() == "https" && to.scheme() == "http" && from.host_str() == to.host_str() {
                let port = from.port();
                if to.set_scheme("https").is_err() || to.set_port(port).is_err() {
                    continue;
                }
            }
            if to.origin() == from.origin() && to.username().is_empty() && to.password().is_none() {
                return Ok(to.to_string());
            }
            elsewhere = Some(to.origin().ascii_serialization());
        }
        Err(match elsewhere {
            Some(origin) => ConnectorError::Denied(format!(
                "{url}: its poll service is at {origin}, and credentials are not sent to another origin: if it is theirs, \
                 give the address of the poll service itself"
            )),
            None => ConnectorError::Unexpected(format!("{url}: the discovery names no poll service for TAXII 1.1")),
        })
    }

    /// One message and its answer; content goes to `rows` as it is read.
    fn ask(&self, url: &str, message: String, cx: &Cx<'_>, rows: &mut dyn Rows) -> Result<Answer, ConnectorError> {
        let scheme = url.split(':').next().unwrap_or("https");
        // Asking changes nothing: it may be repeated.
        let mut request = cx.http.post(url, "application/xml", message.into_bytes()).idempotent();
        if let (Some(user), Some(password)) = (&self.settings.username, &self.settings.password) {
            request = request.basic(user, password);
        }
        let response: Response = request
            .header("Accept", "application/xml")
            .header("X-TAXII-Content-Type", message::BINDING)
            .header("X-TAXII-Accept", message::BINDING)
            .header("X-TAXII-Services", "urn:taxii.mitre.org:services:1.1")
            .header("X-TAXII-Protocol", &format!("urn:taxii.mitre.org:protocol:{scheme}:1.0"))
            .send()?;
        message::read(BufReader::with_capacity(64 << 10, response.body), rows).map_err(|error| match error {
            ConnectorError::Unexpected(why) => ConnectorError::Unexpected(format!("{url}: {why}")),
            other => other,
        })
    }
}

/// An answer that is not the one asked for: a status says why.
fn unexpected(url: &str, answer: Answer) -> ConnectorError {
    match answer {
        Answer::Status(status) => status.error(url),
        Answer::Poll(_) | Answer::Services(_) => {
            ConnectorError::Unexpected(format!("{url}: the answer is another message of TAXII than the one asked for"))
        }
    }
}

/// Tells our messages apart; a server wants no more of it.
fn message_id(cx: &Cx<'_>) -> String {
    cx.now.micros().unsigned_abs().to_string()
}

fn value(place: &Place) -> Result<Cursor, ConnectorError> {
    serde_json::to_value(place)
        .map_err(|error| ConnectorError::Unexpected(format!("the place cannot be kept: {error}")))
}

/// For what is asked without wanting its content.
struct Nobody;

impl Rows for Nobody {
    fn row(&mut self, _: intel::Observation) {}

    fn reject(&mut self, _: &'static str, _: &str) {}

    fn filter(&mut self, _: &'static str, _: u64) {}
}
