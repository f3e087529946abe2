//! STIX objects in and out. A stub with the agreed signatures, to be replaced by the whole room.

use crate::connection::{Outgoing, Rows};
use intel::{IndicatorKey, IndicatorKind, Observation, Timestamp, Tlp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Which STIX is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// STIX 2.0.
    V20,
    /// STIX 2.1.
    V21,
}

/// Marking definitions met so far, carried from page to page.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Markings(BTreeMap<String, Option<String>>);

/// What was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Objects seen.
    pub objects: u64,
}

/// Reads objects one by one.
pub struct Reader<'r> {
    rows: &'r mut dyn Rows,
    markings: Markings,
    waiting: Vec<(Observation, Vec<String>)>,
    stats: Stats,
}

const TLP: [(&str, Tlp); 9] = [
    ("marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487", Tlp::Clear),
    ("marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb", Tlp::Green),
    ("marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421", Tlp::Amber),
    ("marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003", Tlp::AmberStrict),
    ("marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1", Tlp::Red),
    ("marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9", Tlp::Clear),
    ("marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da", Tlp::Green),
    ("marking-definition--f88d31f6-486f-44da-b317-01333bde0b82", Tlp::Amber),
    ("marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed", Tlp::Red),
];

impl<'r> Reader<'r> {
    /// Hands rows to `rows`; knows `markings` already.
    pub fn new(rows: &'r mut dyn Rows, markings: Markings) -> Reader<'r> {
        Reader { rows, markings, waiting: Vec::new(), stats: Stats::default() }
    }

    /// One object as JSON text.
    pub fn object(&mut self, raw: &str) {
        self.stats.objects += 1;
        let Ok(object) = serde_json::from_str::<Value>(raw) else {
            self.rows.reject("not JSON", raw);
            return;
        };
        match object["type"].as_str() {
            Some("marking-definition") => {
                let tlp = object["definition"]["tlp"].as_str().map(str::to_owned);
                if let Some(id) = object["id"].as_str() {
                    self.markings.0.insert(id.to_owned(), tlp);
                }
                self.rows.filter("no indicator", 1);
            }
            Some("indicator") => {
                let pattern = object["pattern"].as_str().unwrap_or_default();
                let Some(value) = pattern.rsplit('\'').nth(1).filter(|_| pattern.starts_with('[')) else {
                    self.rows.reject("pattern", pattern);
                    return;
                };
                let time = |key: &str| object[key].as_str().and_then(Timestamp::parse);
                let mut row = Observation::new(value);
                row.modified = time("modified");
                row.retracted = object["revoked"] == json!(true);
                row.remote_id = object["id"].as_str().map(str::to_owned);
                let refs = object["object_marking_refs"].as_array().into_iter().flatten();
                self.waiting.push((row, refs.filter_map(Value::as_str).map(str::to_owned).collect()));
            }
            _ => self.rows.filter("no indicator", 1),
        }
    }

    /// Hands over what waited for its markings.
    pub fn finish(self) -> (Stats, Markings, Vec<String>) {
        let mut unresolved = BTreeSet::new();
        for (mut row, refs) in self.waiting {
            for id in refs {
                let known = TLP.iter().find(|(known, _)| *known == id).map(|(_, tlp)| Some(*tlp));
                let stated = self.markings.0.get(&id).map(|tlp| tlp.as_deref().and_then(Tlp::parse));
                let tlp = known.or(stated).unwrap_or_else(|| {
                    unresolved.insert(id);
                    Some(Tlp::Red)
                });
                row.tlp = row.tlp.max(tlp);
            }
            self.rows.row(row);
        }
        (self.stats, self.markings, unresolved.into_iter().collect())
    }
}

fn uuid(mark: &str, text: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("iocast:{mark}:{text}").as_bytes())
}

/// The id under which the exchange `mark` writes `key`.
pub fn id(mark: &str, key: &IndicatorKey) -> String {
    format!("indicator--{}", uuid(mark, &format!("{}:{}", key.kind().as_str(), key.value())))
}

/// The entry as an indicator; None where there is no pattern for its kind.
pub fn object(out: &Outgoing, mark: &str, version: Version, revoked: bool) -> Option<Value> {
    let path = match out.key.kind() {
        IndicatorKind::Ipv4 => "ipv4-addr:value",
        IndicatorKind::Ipv6 => "ipv6-addr:value",
        IndicatorKind::Domain => "domain-name:value",
        IndicatorKind::Url => "url:value",
        IndicatorKind::Md5 => "file:hashes.MD5",
        IndicatorKind::Sha1 => "file:hashes.'SHA-1'",
        IndicatorKind::Sha256 => "file:hashes.'SHA-256'",
        _ => return None,
    };
    let value = out.key.value().replace('\\', "\\\\").replace('\'', "\\'");
    let tlp = TLP.iter().find(|(_, tlp)| *tlp == out.tlp).map(|(id, _)| *id);
    let mut object = json!({
        "type": "indicator",
        "id": id(mark, &out.key),
        "created_by_ref": format!("identity--{}", uuid(mark, "identity")),
        "created": stamp(out.created),
        "modified": stamp(out.modified),
        "labels": ["malicious-activity"],
        "name": out.key.value(),
        "pattern": format!("[{path} = '{value}']"),
        "valid_from": stamp(out.created),
        "object_marking_refs": [tlp],
    });
    if version == Version::V21 {
        object["spec_version"] = json!("2.1");
        object["pattern_type"] = json!("stix");
        object["indicator_types"] = json!(["malicious-activity"]);
    }
    if revoked {
        object["revoked"] = json!(true);
    }
    Some(object)
}

/// The exchange as an identity.
pub fn identity(mark: &str, version: Version) -> Value {
    let mut object = json!({
        "type": "identity",
        "id": format!("identity--{}", uuid(mark, "identity")),
        "created": "2026-01-01T00:00:00.000Z",
        "modified": "2026-01-01T00:00:00.000Z",
        "name": mark,
        "identity_class": "system",
    });
    if version == Version::V21 {
        object["spec_version"] = json!("2.1");
    }
    object
}

fn stamp(time: Timestamp) -> String {
    let text = Timestamp::from_micros(time.micros() / 1_000 * 1_000).to_string();
    match text.split_once('.') {
        Some((secs, fraction)) => format!("{secs}.{}Z", &fraction[..3]),
        None => format!("{}.000Z", text.trim_end_matches('Z')),
    }
}
