//! Any HTTP endpoint as a destination: signed messages as [Standard Webhooks](https://www.standardwebhooks.com) has them.
//!
//! A message is taken whole or not at all, unless the answer says what became of each item:
//! `{"results": [{"status": "accepted"}, {"status": "refused", "reason": "…"}]}`, one for each item in order. A message
//! refused for its content is told again in halves until the items that are not wanted stand alone.
//!
//! Nobody can ask a webhook what it holds. What is not known to have arrived is told again: the same message under the
//! same id, so a receiver that remembers ids does it once, and one that does not does the same thing twice.

mod message;
mod sign;

use kit::http::read_error;
use kit::manifest::Manifest;
use kit::secret::Secret;
use kit::{Connection, Connector, ConnectorError, Cx, Destination, ItemOutcome, Outgoing, TargetSpec};
use message::{Deed, Message};
use serde::Deserialize;
use serde_json::Value;
pub use sign::Keys;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::ops::Range;
use std::sync::Arc;

/// Calls made to find out which items of one batch are not wanted; what is still together then is refused together.
const CALLS_MOST: usize = 64;

/// Longest answer that is looked at, in bytes: a thousand results with their reasons.
const MAX_ANSWER: u64 = 2 << 20;

/// Statuses that speak of the content of a message: nothing of it was taken.
const NOT_THIS: [u16; 4] = [400, 409, 413, 422];
/// The endpoint was switched off, by the specification.
const GONE: u16 = 410;

pub(crate) fn connector() -> Result<Arc<dyn Connector>, String> {
    Ok(Arc::new(Webhook { manifest: Manifest::parse(include_str!("manifest.toml"))? }))
}

struct Webhook {
    manifest: Manifest,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    url: String,
    secret: Secret,
    token: Option<Secret>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

impl Connector for Webhook {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn open(&self, settings: &Value) -> Result<Box<dyn Connection>, String> {
        let settings = Settings::deserialize(settings).map_err(|error| error.to_string())?;
        for (name, value) in &settings.headers {
            let lower = name.to_ascii_lowercase();
            let token = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            if name.is_empty() || !name.bytes().all(token) || !value.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
                return Err(format!("headers: {name:?} is no name, or its value holds more than plain text"));
            }
            let ours = ["authorization", "connection", "content-length", "content-type", "host", "transfer-encoding"];
            if lower.starts_with("webhook-") || ours.contains(&lower.as_str()) {
                return Err(format!("headers: {name} is not for you to set; a bearer token goes into `token`"));
            }
        }
        // A secret that could not be looked up or opened when the process started is for the call to complain of.
        let text = settings.secret.reveal();
        let is_there = !Secret::is_reference(text) && !Secret::is_sealed(text);
        let keys = match Keys::parse(&settings.secret) {
            Err(why) if is_there => return Err(why),
            keys => keys,
        };
        Ok(Box::new(Endpoint { settings, keys }))
    }
}

struct Endpoint {
    settings: Settings,
    keys: Result<Keys, String>,
}

/// What was said about a message.
enum Said {
    /// All of it was taken.
    Taken,
    /// What became of each item.
    Each(Vec<ItemOutcome>),
    /// Nothing of it was taken, in these words.
    NotThis(String),
}

impl Endpoint {
    fn post(&self, message: &Message, n_items: usize, cx: &Cx<'_>) -> Result<Said, ConnectorError> {
        let keys = self.keys.as_ref().map_err(|why| ConnectorError::Denied(why.clone()))?;
        let timestamp = cx.now.secs();
        let mut request = cx
            .http
            .post(&self.settings.url, "application/json", message.body.clone())
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", &timestamp.to_string())
            .header("webhook-signature", &keys.sign(&message.id, timestamp, &message.body))
            .idempotent()
            .also(&NOT_THIS)
            .also(&[GONE]);
        for (name, value) in &self.settings.headers {
            request = request.header(name, value);
        }
        if let Some(token) = &self.settings.token {
            request = request.bearer(token);
        }
        let mut response = request.send()?;
        match response.status {
            GONE => {
                let said = response.said();
                Err(ConnectorError::Denied(format!("{said}; by this the receiver says that the endpoint is disabled")))
            }
            status if NOT_THIS.contains(&status) => Ok(Said::NotThis(response.said())),
            _ => {
                let mut body = Vec::new();
                let mut answer = (&mut response.body).take(MAX_ANSWER + 1);
                answer.read_to_end(&mut body).map_err(|error| read_error(&error))?;
                if body.len() as u64 > MAX_ANSWER {
                    return Err(ConnectorError::Unexpected("answered more than 2 MiB, as no webhook does".into()));
                }
                let begin = body.trim_ascii_start();
                if begin.starts_with(b"<") {
                    // A page to sign in at has taken nothing.
                    return Err(ConnectorError::Unexpected("answered with a page, as no webhook does".into()));
                }
                let read = || results(begin).filter(|_| n_items > 0);
                let Some(results) = begin.starts_with(b"{").then(read).flatten() else {
                    return Ok(Said::Taken);
                };
                if results.len() != n_items {
                    let n = results.len();
                    return Err(ConnectorError::Unexpected(format!("answered {n} results for {n_items} items")));
                }
                let outcome = |result: &Value| {
                    let status = result["status"].as_str().unwrap_or_default();
                    let reason = || response.hide(result["reason"].as_str().unwrap_or("refused without a reason"));
                    match status {
                        "accepted" => ItemOutcome::Accepted { remote_id: None },
                        "refused" => ItemOutcome::Refused(reason()),
                        other => ItemOutcome::Unknown(response.hide(&format!("the receiver says {other:?}"))),
                    }
                };
                Ok(Said::Each(results.iter().map(outcome).collect()))
            }
        }
    }

    fn tell(
        &self,
        target: TargetSpec<'_>,
        deed: Deed,
        batch: &[Outgoing],
        cx: &Cx<'_>,
    ) -> Result<Vec<ItemOutcome>, ConnectorError> {
        let unsaid = || ItemOutcome::Unknown("it was not told".into());
        let mut outcomes: Vec<ItemOutcome> = std::iter::repeat_with(unsaid).take(batch.len()).collect();
        let mut left: Vec<(Range<usize>, String)> = Vec::new();
        if !batch.is_empty() {
            left.push((0..batch.len(), String::new()));
        }
        let mut calls = 0;
        while let Some((range, before)) = left.pop() {
            if calls == CALLS_MOST {
                let words =
                    format!("refused with {} others, not told apart in {calls} calls: {before}", range.len() - 1);
                outcomes[range].fill(ItemOutcome::Refused(words));
                continue;
            }
            calls += 1;
            let items = &batch[range.clone()];
            match self.post(&Message::changed(target, deed, items), items.len(), cx) {
                Ok(Said::Taken) => outcomes[range].fill(ItemOutcome::Accepted { remote_id: None }),
                Ok(Said::Each(each)) => outcomes[range].clone_from_slice(&each),
                Ok(Said::NotThis(words)) if items.len() == 1 => outcomes[range.start] = ItemOutcome::Refused(words),
                Ok(Said::NotThis(words)) => {
                    let middle = range.start + items.len() / 2;
                    left.push((middle..range.end, words.clone()));
                    left.push((range.start..middle, words));
                }
                Err(error) if calls == 1 => return Err(error),
                Err(error) => {
                    // What was taken before is known; of what this message stood before, nothing was sent.
                    let not_done = ItemOutcome::NotDone(error.to_string());
                    outcomes[range].fill(match error {
                        ConnectorError::Busy { .. } => not_done.clone(),
                        error => ItemOutcome::Unknown(error.to_string()),
                    });
                    left.drain(..).for_each(|(range, _)| outcomes[range].fill(not_done.clone()));
                }
            }
        }
        Ok(outcomes)
    }
}

/// The results of an answer that gives them; None: it says something else, or nothing.
fn results(body: &[u8]) -> Option<Vec<Value>> {
    let mut answer: Value = serde_json::from_slice(body).ok()?;
    match answer.get_mut("results").map(Value::take) {
        Some(Value::Array(list)) if !list.is_empty() && list.iter().all(|one| one["status"].is_string()) => Some(list),
        _ => None,
    }
}

impl Connection for Endpoint {
    fn check(&self, cx: &Cx<'_>) -> Result<(), ConnectorError> {
        match self.post(&Message::check(cx.now), 0, cx)? {
            Said::NotThis(words) => Err(ConnectorError::Unexpected(words)),
            Said::Taken | Said::Each(_) => Ok(()),
        }
    }

    fn hosts(&self) -> Vec<String> {
        url::Url::parse(&self.settings.url).ok().and_then(|url| url.host_str().map(str::to_owned)).into_iter().collect()
    }

    fn destination(&self) -> Option<&dyn Destination> {
        Some(self)
    }
}

impl Destination for Endpoint {
    fn push(
        &self,
        target: TargetSpec<'_>,
        batch: &[Outgoing],
        cx: &Cx<'_>,
    ) -> Result<Vec<ItemOutcome>, ConnectorError> {
        self.tell(target, Deed::Put, batch, cx)
    }

    fn retract(
        &self,
        target: TargetSpec<'_>,
        batch: &[Outgoing],
        cx: &Cx<'_>,
    ) -> Result<Vec<ItemOutcome>, ConnectorError> {
        self.tell(target, Deed::Remove, batch, cx)
    }
}

#[cfg(test)]
mod tests;
