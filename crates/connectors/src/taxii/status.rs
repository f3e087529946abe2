//! What a server says of objects it was given: the status resource (TAXII 2.1 §4.3, TAXII 2.0 §4.3.1).

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A status, of either version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) id: Option<String>,
    /// It is still being worked on.
    pub(super) is_pending: bool,
    succeeded: BTreeSet<String>,
    failed: BTreeMap<String, String>,
    n_failed: u64,
}

/// What became of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    Taken,
    /// With the server's words.
    Failed(String),
    Pending,
    /// The server counts failures and does not say of which.
    Untold,
}

impl Status {
    /// Reads what a POST or a look at a status was answered with. Anything that is no status, such as the objects
    /// themselves or nothing, is a success without words.
    pub(super) fn read(value: &Value) -> Status {
        let id_of = |item: &Value| item.as_str().or(item["id"].as_str()).map(str::to_owned);
        let list = |key: &str| value[key].as_array().map(Vec::as_slice).unwrap_or_default();
        let failed = list("failures").iter().filter_map(|item| {
            let words = item["message"].as_str().unwrap_or("the server gives no reason");
            Some((id_of(item)?, words.chars().take(300).collect()))
        });
        let failed: BTreeMap<String, String> = failed.collect();
        Status {
            id: value["id"].as_str().filter(|_| value["status"].is_string()).map(str::to_owned),
            is_pending: value["status"].as_str().is_some_and(|status| status.eq_ignore_ascii_case("pending")),
            succeeded: list("successes").iter().filter_map(id_of).collect(),
            n_failed: value["failure_count"].as_u64().unwrap_or(0).max(failed.len() as u64),
            failed,
        }
    }

    pub(super) fn fate(&self, id: &str) -> Fate {
        if let Some(why) = self.failed.get(id) {
            return Fate::Failed(why.clone());
        }
        if self.succeeded.contains(id) {
            return Fate::Taken;
        }
        if self.is_pending {
            return Fate::Pending;
        }
        if self.n_failed > self.failed.len() as u64 { Fate::Untold } else { Fate::Taken }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn of_both_versions() {
        let v21 = json!({
            "id": "s", "status": "complete", "total_count": 3, "success_count": 1, "failure_count": 1, "pending_count": 0,
            "successes": [{"id": "a", "version": "2026-01-01T00:00:00.000Z"}],
            "failures": [{"id": "b", "version": "2026-01-01T00:00:00.000Z", "message": "too new"}, {"id": "c"}]
        });
        let v20 = json!({
            "id": "s", "status": "complete", "successes": ["a"], "failures": [{"id": "b", "message": "too new"}, {"id": "c"}]
        });
        for value in [v21, v20] {
            let status = Status::read(&value);
            assert_eq!(status.id.as_deref(), Some("s"));
            assert_eq!(status.fate("a"), Fate::Taken);
            assert_eq!(status.fate("b"), Fate::Failed("too new".into()));
            assert_eq!(status.fate("c"), Fate::Failed("the server gives no reason".into()));
            assert_eq!(status.fate("d"), Fate::Taken, "complete, and no failure without a name");
        }
    }

    #[test]
    fn what_is_not_told() {
        for (value, expect) in [
            (json!(null), Fate::Taken),
            (json!([]), Fate::Taken),
            (json!({"objects": []}), Fate::Taken),
            (json!({"id": "s", "status": "pending", "pending_count": 1}), Fate::Pending),
            (json!({"id": "s", "status": "complete", "failure_count": 1}), Fate::Untold),
            (json!({"id": "s", "status": "complete", "failure_count": 1, "successes": ["x"]}), Fate::Taken),
        ] {
            assert_eq!(Status::read(&value).fate("x"), expect, "{value}");
        }
    }
}
