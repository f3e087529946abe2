//! A list as one MISP event, written attribute by attribute.
//!
//! Ids are name-based (UUIDv5): the same list of the same exchange is the same event, and the same entry in it the same
//! attribute, so that whoever imports it again updates what is there. What the event says of its own time is written
//! after the attributes, because it is the latest of theirs: nothing here asks for the time.

use super::types;
use crate::connection::Outgoing;
use intel::Timestamp;
use intel::echo::HOP_TAG;
use serde::Serialize;
use std::io;
use uuid::Uuid;

/// Under which our ids are derived.
const NAMESPACE: Uuid = Uuid::from_u128(0x8f2b_0d5e_6c1a_4e37_9b64_52d1_7a3c_e08f);

/// Writes one event.
#[derive(Debug)]
pub(crate) struct EventWriter {
    event: Uuid,
    latest: Option<Timestamp>,
    any: bool,
}

#[derive(Serialize)]
struct Attribute<'o> {
    uuid: String,
    r#type: &'static str,
    category: &'static str,
    value: &'o str,
    to_ids: bool,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_seen: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen: Option<String>,
    comment: &'o str,
    distribution: &'static str,
    disable_correlation: bool,
    deleted: bool,
    #[serde(rename = "Tag", skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Tag>,
}

#[derive(Serialize)]
struct Tag {
    name: String,
}

#[derive(Serialize)]
struct Orgc<'o> {
    name: &'o str,
    uuid: String,
}

impl EventWriter {
    /// Begins the event of the list `name` of the exchange `mark`.
    pub(crate) fn begin(name: &str, mark: &str, out: &mut Vec<u8>) -> io::Result<EventWriter> {
        let exchange = Uuid::new_v5(&NAMESPACE, mark.as_bytes());
        let event = Uuid::new_v5(&exchange, name.as_bytes());
        let info = if name.is_empty() { "iocast" } else { name };
        let orgc = Orgc { name: "iocast", uuid: exchange.to_string() };
        out.extend_from_slice(b"{\"Event\":{\"uuid\":\"");
        out.extend_from_slice(event.to_string().as_bytes());
        out.extend_from_slice(b"\",\"info\":");
        serde_json::to_writer(&mut *out, info)?;
        out.extend_from_slice(b",\"Orgc\":");
        serde_json::to_writer(&mut *out, &orgc)?;
        out.extend_from_slice(
            b",\"threat_level_id\":\"4\",\"analysis\":\"2\",\"distribution\":\"0\",\"published\":true,\"Attribute\":[",
        );
        Ok(EventWriter { event, latest: None, any: false })
    }

    /// One entry; `value` is how the list writes it.
    pub(crate) fn entry(&mut self, one: &Outgoing, value: &str, out: &mut Vec<u8>) -> io::Result<()> {
        let kind = one.key.kind();
        let (name, category) = types::written(kind);
        let mut tags = vec![Tag { name: format!("tlp:{}", one.tlp) }];
        let said = |tag: &&String| {
            let start = tag.trim_start();
            !start.starts_with(HOP_TAG) && !start.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("tlp:"))
        };
        tags.extend(one.tags.iter().filter(said).map(|tag| Tag { name: tag.clone() }));
        if name == "other" {
            tags.push(Tag { name: format!("{}{kind}", types::KIND_TAG) });
        }
        tags.extend(one.hops.iter().map(|hop| Tag { name: format!("{HOP_TAG}{hop}") }));
        let attribute = Attribute {
            uuid: Uuid::new_v5(&self.event, format!("{kind}:{value}").as_bytes()).to_string(),
            r#type: name,
            category,
            value,
            to_ids: true,
            timestamp: one.modified.secs().to_string(),
            first_seen: one.first_seen.map(|time| time.to_string()),
            // MISP refuses a last sighting before the first.
            last_seen: one.last_seen.filter(|last| one.first_seen.is_none_or(|f| f <= *last)).map(|t| t.to_string()),
            comment: one.comment.as_deref().unwrap_or_default(),
            distribution: "5",
            disable_correlation: false,
            deleted: false,
            tags,
        };
        out.extend_from_slice(if self.any { b",\n" } else { b"\n" });
        self.any = true;
        self.latest = self.latest.max(Some(one.modified));
        serde_json::to_writer(out, &attribute)?;
        Ok(())
    }

    /// Ends it.
    pub(crate) fn end(self, out: &mut Vec<u8>) {
        let latest = self.latest.unwrap_or(Timestamp::EPOCH);
        let date = latest.to_string();
        let date = date.get(..10).unwrap_or("1970-01-01");
        let secs = latest.secs();
        let text = format!(
            "{}],\"date\":\"{date}\",\"timestamp\":\"{secs}\",\"publish_timestamp\":\"{secs}\"}}}}\n",
            if self.any { "\n" } else { "" }
        );
        out.extend_from_slice(text.as_bytes());
    }
}
