//! What a message says. It is made of what is to be told and nothing else: the same change told again is the same bytes
//! under the same id, so that a receiver which had it the first time knows it.

use intel::Timestamp;
use kit::render::hex;
use kit::{Outgoing, TargetSpec};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// What is to become of the items of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Put,
    Remove,
}

/// A body and its id.
pub(super) struct Message {
    pub(super) id: String,
    pub(super) body: Vec<u8>,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    event: &'static str,
    timestamp: String,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    exchange: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'a str>,
    items: Vec<Item<'a>>,
}

#[derive(Serialize)]
struct Item<'a> {
    op: &'static str,
    kind: &'static str,
    value: &'a str,
    #[serde(flatten)]
    fields: Option<Fields<'a>>,
    created: String,
    modified: String,
}

#[derive(Serialize)]
struct Fields<'a> {
    reputation: u8,
    severity: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence: Option<u8>,
    tlp: &'static str,
    tags: &'a [String],
    sources: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    first_seen: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<&'a str>,
    hops: &'a [String],
}

impl Message {
    /// Tells of these items. `timestamp` is the latest change among them, not the time of the call.
    pub(super) fn changed(target: TargetSpec<'_>, deed: Deed, items: &[Outgoing]) -> Message {
        let at = items.iter().map(|item| item.modified).max().unwrap_or(Timestamp::EPOCH);
        let data = Data {
            exchange: Some(target.mark),
            target: Some(target.name),
            items: items.iter().map(|item| Item::of(deed, item)).collect(),
        };
        Message::of(&Body { event: "indicators.changed", timestamp: at.to_string(), data })
    }

    /// Says nothing, to see whether it is heard.
    pub(super) fn check(now: Timestamp) -> Message {
        let data = Data { exchange: None, target: None, items: Vec::new() };
        Message::of(&Body { event: "indicators.check", timestamp: now.to_string(), data })
    }

    fn of(body: &Body<'_>) -> Message {
        // Texts and numbers: writing them cannot fail.
        let body = serde_json::to_vec(body).unwrap_or_default();
        let mut id = hex(&Sha256::digest(&body));
        id.truncate(32);
        Message { id: format!("msg_{id}"), body }
    }
}

impl<'a> Item<'a> {
    fn of(deed: Deed, item: &'a Outgoing) -> Item<'a> {
        let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
        Item {
            op: match deed {
                Deed::Remove => "remove",
                Deed::Put if item.created == item.modified => "add",
                Deed::Put => "update",
            },
            kind: item.key.kind().as_str(),
            value: &item.entry,
            fields: (deed == Deed::Put).then(|| Fields {
                reputation: item.reputation.get(),
                severity: item.severity.as_str(),
                confidence: item.confidence,
                tlp: item.tlp.as_str(),
                tags: &item.tags,
                sources: &item.sources,
                first_seen: time(item.first_seen),
                last_seen: time(item.last_seen),
                expires_at: time(item.expires_at),
                comment: item.comment.as_deref(),
                hops: &item.hops,
            }),
            created: item.created.to_string(),
            modified: item.modified.to_string(),
        }
    }
}
