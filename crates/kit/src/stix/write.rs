//! Writes indicators: one key, one comparison, one id.
//!
//! Ids are UUIDs of version 5, made of the exchange's id and the key, so that the same key is the same object in every
//! list, collection and run, and another exchange's is another object. STIX 2.0 takes no UUID but of version 4: there
//! the same bits are marked as such. Nothing here asks for the time.

use super::marking::{TLP_2, tlp_1, tlp_2};
use super::path;
use super::reader::HOP_SOURCE;
use crate::connection::Outgoing;
use intel::echo::HOP_TAG;
use intel::{IndicatorKey, IndicatorKind, Timestamp, Tlp};
use serde::Serialize;
use serde_json::{Value, json};
use std::io;
use uuid::Uuid;

/// Which STIX is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// STIX 2.0: no confidence, no indicator types, TLP 1.0.
    V20,
    /// STIX 2.1, with TLP 2.0.
    V21,
}

/// The id of the indicator that the exchange `mark` writes of a key in STIX 2.1: `indicator--…`, always the same.
pub fn id(mark: &str, key: &IndicatorKey) -> String {
    id_in(Version::V21, mark, key)
}

/// As [`id`], in this version of STIX.
pub fn id_in(version: Version, mark: &str, key: &IndicatorKey) -> String {
    indicator_id(version, namespace(mark), key)
}

/// The id of the exchange as an identity, which its objects name as their maker.
pub fn identity_id(version: Version, mark: &str) -> String {
    format!("identity--{}", uuid(version, namespace(mark), b"identity"))
}

/// The id of the bundle that is the exchange's list of this name.
pub fn bundle_id(version: Version, mark: &str, name: &str) -> String {
    format!("bundle--{}", uuid(version, namespace(mark), format!("bundle:{name}").as_bytes()))
}

fn uuid(version: Version, namespace: Uuid, name: &[u8]) -> Uuid {
    let id = Uuid::new_v5(&namespace, name);
    match version {
        Version::V20 => uuid::Builder::from_random_bytes(id.into_bytes()).into_uuid(),
        Version::V21 => id,
    }
}

fn namespace(mark: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("urn:iocast:{mark}").as_bytes())
}

fn indicator_id(version: Version, namespace: Uuid, key: &IndicatorKey) -> String {
    format!("indicator--{}", uuid(version, namespace, format!("{}:{}", key.kind(), key.value()).as_bytes()))
}

/// The pattern of a key: one comparison for equality. None where STIX has no path for the kind.
pub fn pattern(key: &IndicatorKey) -> Option<String> {
    let path = path::written(key.kind());
    if key.kind() == IndicatorKind::Asn {
        let number: u32 = key.value().strip_prefix("AS")?.parse().ok()?;
        return Some(format!("[{path} = {number}]"));
    }
    let mut text = String::with_capacity(path.len() + key.value().len() + 8);
    text.push('[');
    text.push_str(path);
    text.push_str(" = '");
    for letter in key.value().chars() {
        if matches!(letter, '\'' | '\\') {
            text.push('\\');
        }
        text.push(letter);
    }
    text.push_str("']");
    Some(text)
}

/// The entry as an indicator object. `revoked` takes it back: the same object with a later `modified`, which is the
/// caller's to set. None where the key has no pattern.
///
/// The times are to the millisecond, and `modified` is never before `created`. Without a confidence the reputation
/// stands for it, times ten.
pub fn object(out: &Outgoing, mark: &str, version: Version, revoked: bool) -> Option<Value> {
    let namespace = namespace(mark);
    serde_json::to_value(Indicator::of(out, namespace, &identity_id(version, mark), version, revoked)?).ok()
}

/// The exchange as an identity object.
pub fn identity(mark: &str, version: Version) -> Value {
    let mut object = json!({
        "type": "identity",
        "id": identity_id(version, mark),
        "created": BEGINNING,
        "modified": BEGINNING,
        "name": if mark.is_empty() { "iocast" } else { mark },
        "identity_class": if version == Version::V20 { "organization" } else { "system" },
    });
    if version == Version::V21 {
        object["spec_version"] = json!("2.1");
    }
    object
}

/// An identity never changes, so its dates are any.
const BEGINNING: &str = "2026-01-01T00:00:00.000Z";

/// The definition of a marking of TLP 2.0, as OASIS published it.
fn definition(tlp: Tlp) -> Value {
    json!({
        "type": "marking-definition",
        "spec_version": "2.1",
        "id": tlp_2(tlp),
        "created": "2022-10-01T00:00:00.000Z",
        "name": format!("TLP:{}", tlp.as_str().to_ascii_uppercase()),
        "extensions": { TLP_2: { "extension_type": "property-extension", "tlp_2_0": tlp.as_str() } },
    })
}

/// A bundle of indicators, STIX 2.1, written piece by piece.
pub(crate) struct Writer {
    namespace: Uuid,
    identity: String,
    /// The markings already defined in the bundle, a bit each.
    defined: u8,
}

impl Writer {
    /// Begins the bundle of a list, with the exchange as its first object.
    pub(crate) fn begin(mark: &str, name: &str, out: &mut Vec<u8>) -> io::Result<Writer> {
        out.extend_from_slice(b"{\"type\":\"bundle\",\"id\":");
        serde_json::to_writer(&mut *out, &bundle_id(Version::V21, mark, name))?;
        out.extend_from_slice(b",\"objects\":[\n");
        serde_json::to_writer(&mut *out, &identity(mark, Version::V21))?;
        Ok(Writer { namespace: namespace(mark), identity: identity_id(Version::V21, mark), defined: 0 })
    }

    /// Adds an entry, and before it the definition of a marking that is used for the first time: there are readers that
    /// refuse what the bundle itself does not define. False where the key has no pattern.
    pub(crate) fn add(&mut self, one: &Outgoing, out: &mut Vec<u8>) -> io::Result<bool> {
        let Some(indicator) = Indicator::of(one, self.namespace, &self.identity, Version::V21, false) else {
            return Ok(false);
        };
        let bit = 1 << one.tlp as u8;
        if self.defined & bit == 0 {
            self.defined |= bit;
            out.extend_from_slice(b",\n");
            serde_json::to_writer(&mut *out, &definition(one.tlp))?;
        }
        out.extend_from_slice(b",\n");
        serde_json::to_writer(&mut *out, &indicator)?;
        Ok(true)
    }

    /// Ends the bundle.
    pub(crate) fn end(out: &mut Vec<u8>) {
        out.extend_from_slice(b"\n]}\n");
    }
}

#[derive(Serialize)]
struct Indicator<'o> {
    #[serde(rename = "type")]
    object_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    spec_version: Option<&'static str>,
    id: String,
    created_by_ref: &'o str,
    created: String,
    modified: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked: Option<bool>,
    name: &'o str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'o str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    indicator_types: Option<[&'static str; 1]>,
    pattern: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pattern_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pattern_version: Option<&'static str>,
    valid_from: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence: Option<u8>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    labels: Vec<&'o str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_references: Vec<Hop<'o>>,
    object_marking_refs: [&'static str; 1],
}

#[derive(Serialize)]
struct Hop<'o> {
    source_name: &'static str,
    external_id: &'o str,
}

const MALICIOUS: &str = "malicious-activity";

impl<'o> Indicator<'o> {
    fn of(
        out: &'o Outgoing,
        namespace: Uuid,
        identity: &'o str,
        version: Version,
        revoked: bool,
    ) -> Option<Indicator<'o>> {
        let new = |value| (version == Version::V21).then_some(value);
        // First seen is since when it is worth looking for.
        let valid_from = out.first_seen.map_or(out.created, |seen| seen.min(out.created));
        // 2.0 wants at least one label, and has the types among them.
        let labels = (version == Version::V20).then_some(MALICIOUS).into_iter();
        let tags = out.tags.iter().map(String::as_str).filter(|tag| !tag.starts_with(HOP_TAG) && *tag != MALICIOUS);
        Some(Indicator {
            object_type: "indicator",
            spec_version: new("2.1"),
            id: indicator_id(version, namespace, &out.key),
            created_by_ref: identity,
            created: stamp(out.created),
            modified: stamp(out.modified.max(out.created)),
            revoked: revoked.then_some(true),
            name: out.key.value(),
            description: out.comment.as_deref(),
            indicator_types: (version == Version::V21).then_some([MALICIOUS]),
            pattern: pattern(&out.key)?,
            pattern_type: new("stix"),
            pattern_version: new("2.1"),
            valid_from: stamp(valid_from),
            valid_until: out.expires_at.filter(|until| millis(*until) > millis(valid_from)).map(stamp),
            confidence: (version == Version::V21)
                .then(|| out.confidence.unwrap_or(out.reputation.get().saturating_mul(10)).min(100)),
            labels: labels.chain(tags).collect(),
            external_references: out.hops.iter().map(|hop| Hop { source_name: HOP_SOURCE, external_id: hop }).collect(),
            object_marking_refs: [match version {
                Version::V20 => tlp_1(out.tlp),
                Version::V21 => tlp_2(out.tlp),
            }],
        })
    }
}

/// Milliseconds since 1970, within the years that RFC 3339 can write.
fn millis(time: Timestamp) -> i64 {
    time.micros().div_euclid(1000).clamp(-62_135_596_800_000, 253_402_300_799_999)
}

/// `2026-01-31T10:11:12.123Z`.
fn stamp(time: Timestamp) -> String {
    let time = chrono::DateTime::from_timestamp_millis(millis(time)).unwrap_or_default();
    time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}
