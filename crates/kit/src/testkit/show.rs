//! Observations and outcomes as lines of JSON, with only what was said, in one order.

use super::case::Collected;
use crate::connection::{ItemOutcome, Presence, Pulled, Reading, Remote};
use intel::{Observation, Timestamp};
use serde_json::{Map, Value, json};

fn line(out: &mut String, value: &Value) {
    out.push_str(&value.to_string());
    out.push('\n');
}

pub(super) fn row(row: &Observation) -> Value {
    let mut map = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            map.insert(key.into(), value);
        }
    };
    let time = |time: Option<Timestamp>| time.map(|time| json!(time.to_string()));
    let list = |list: &[String]| (!list.is_empty()).then(|| json!(list));
    put("value", Some(json!(row.value)));
    put("kind", row.kind.map(|kind| json!(kind.as_str())));
    put("reputation", row.reputation.map(|n| json!(n)));
    put("confidence", row.confidence.map(|n| json!(n)));
    put("severity", row.severity.map(|severity| json!(severity.as_str())));
    put("tlp", row.tlp.map(|tlp| json!(tlp.as_str())));
    put("tags", list(&row.tags));
    put("first_seen", time(row.first_seen));
    put("last_seen", time(row.last_seen));
    put("modified", time(row.modified));
    put("valid_from", time(row.valid_from));
    put("expires_at", time(row.expires_at));
    put("retracted", row.retracted.then_some(json!(true)));
    put("comment", row.comment.as_ref().map(|text| json!(text)));
    put("link", row.link.as_ref().map(|text| json!(text)));
    put("internal_hits", row.internal_hits.map(|n| json!(n)));
    put("external_hits", row.external_hits.map(|n| json!(n)));
    put("remote_id", row.remote_id.as_ref().map(|text| json!(text)));
    put("hops", list(&row.hops));
    Value::Object(map)
}

pub(super) fn collected(found: &Collected, end: &Pulled) -> String {
    let mut out = String::new();
    for observation in &found.rows {
        line(&mut out, &row(observation));
    }
    for (reason, sample) in &found.rejected {
        line(&mut out, &json!({"rejected": reason, "sample": sample}));
    }
    for (reason, n) in &found.filtered {
        line(&mut out, &json!({"filtered": reason, "n": n}));
    }
    let end = match end {
        Pulled::NotModified(cursor) => json!({"end": "not modified", "cursor": cursor}),
        Pulled::Whole(cursor) => json!({"end": "whole", "cursor": cursor}),
        Pulled::More(cursor) => json!({"end": "more", "cursor": cursor}),
        Pulled::Done(cursor) => json!({"end": "done", "cursor": cursor}),
    };
    line(&mut out, &end);
    out
}

pub(super) fn outcomes(outcomes: &[ItemOutcome]) -> String {
    let mut out = String::new();
    for outcome in outcomes {
        let value = match outcome {
            ItemOutcome::Accepted { remote_id } => json!({"accepted": true, "remote_id": remote_id}),
            ItemOutcome::Refused(why) => json!({"refused": why}),
            ItemOutcome::Foreign => json!({"foreign": true}),
            ItemOutcome::Unknown(why) => json!({"unknown": why}),
            ItemOutcome::NotDone(why) => json!({"not_done": why}),
        };
        line(&mut out, &value);
    }
    out
}

pub(super) fn presences(presences: &[Presence]) -> String {
    let mut out = String::new();
    for presence in presences {
        let value = match presence {
            Presence::Ours { remote_id } => json!({"ours": true, "remote_id": remote_id}),
            Presence::Foreign => json!({"foreign": true}),
            Presence::Absent => json!({"absent": true}),
        };
        line(&mut out, &value);
    }
    out
}

pub(super) fn reading(found: &[Remote], reading: &Reading) -> String {
    let mut out = String::new();
    for remote in found {
        let mut map = Map::new();
        map.insert("entry".into(), json!(remote.entry));
        map.insert("marked".into(), json!(remote.marked));
        let more = [
            ("kind", remote.kind.map(|kind| json!(kind.as_str()))),
            ("remote_id", remote.remote_id.as_ref().map(|id| json!(id))),
            ("expires_at", remote.expires_at.map(|time| json!(time.to_string()))),
        ];
        map.extend(more.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
        line(&mut out, &Value::Object(map));
    }
    line(&mut out, &json!({"whole": reading.whole, "version": reading.version, "capacity": reading.capacity}));
    out
}
