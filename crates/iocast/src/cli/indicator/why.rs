//! "Why is it there, why is it not?" in words.

use crate::cli::output::{defang, printable};
use serde_json::Value;
use std::fmt::Write as _;

/// The whole chain for one value: what it is, who says so, and the answer at each target.
pub(super) fn explain(report: &Value) -> String {
    let mut out = String::new();
    let kind = word(report, "kind");
    let _ = writeln!(out, "{}  {kind}", defang(kind, &printable(word(report, "value"))));
    if report["known"].as_bool() == Some(false) {
        let _ = writeln!(out, "  nobody has said anything about it");
    }
    indicator(&mut out, &report["indicator"]);
    if let Some(guard) = report["guard"].as_str() {
        let _ = writeln!(out, "  guarded: {}", printable(guard));
    }
    for note in texts(&report["notes"]) {
        let _ = writeln!(out, "  note: {}", printable(note));
    }
    let records = list(&report["records"]);
    if !records.is_empty() {
        out.push_str("\nWho says so\n");
        for each in records {
            record(&mut out, each);
        }
    }
    let targets = list(&report["targets"]);
    out.push_str(if targets.is_empty() { "\nNo target is configured.\n" } else { "\nWhere it is\n" });
    for each in targets {
        target(&mut out, each);
    }
    out
}

fn indicator(out: &mut String, hit: &Value) {
    if hit.is_null() {
        return;
    }
    let state = if hit["active"].as_bool() == Some(true) { "active" } else { "not active" };
    let _ = write!(out, "  {state}; reputation {}, severity {}", hit["reputation"], word(hit, "severity"));
    let _ = write!(out, ", TLP {}", word(hit, "tlp"));
    if let Some(verdict) = hit["verdict"].as_str() {
        let _ = write!(out, "; verdict {verdict}");
    }
    if hit["muted"].as_bool() == Some(true) {
        out.push_str("; muted");
    }
    out.push('\n');
    let tags: Vec<&str> = texts(&hit["tags"]).collect();
    if !tags.is_empty() {
        let _ = writeln!(out, "  tags: {}", printable(&tags.join(", ")));
    }
    let seen = |key: &str| hit[key].as_str().map_or("never stated".to_owned(), second);
    let expires = hit["expires_at"].as_str().map_or("never".to_owned(), second);
    let _ = writeln!(out, "  first seen {}, last seen {}, expires {expires}", seen("first_seen"), seen("last_seen"));
}

fn record(out: &mut String, record: &Value) {
    let state = match (record["active"].as_bool(), record["why"].as_str()) {
        (Some(true), _) => "counts".to_owned(),
        (_, Some(why)) => format!("does not count: {why}"),
        _ => "does not count".to_owned(),
    };
    let _ = write!(out, "  {}: {}", printable(word(record, "source")), printable(&state));
    if let Some(reputation) = record["reputation"].as_u64() {
        let _ = write!(out, "; reputation {reputation}");
    }
    match record["severity"].as_str() {
        Some(severity) if severity != "unknown" => {
            let _ = write!(out, "; severity {severity}");
        }
        _ => {}
    }
    if let Some(seen) = record["last_seen"].as_str() {
        let _ = write!(out, "; last seen {}", second(seen));
    }
    if let Some(expires) = record["expires_at"].as_str() {
        let _ = write!(out, "; expires {}", second(expires));
    }
    out.push('\n');
    let tags: Vec<&str> = texts(&record["tags"]).collect();
    if !tags.is_empty() {
        let _ = writeln!(out, "    tags: {}", printable(&tags.join(", ")));
    }
    if let Some(comment) = record["comment"].as_str() {
        let _ = writeln!(out, "    \"{}\"", printable(comment));
    }
}

fn target(out: &mut String, target: &Value) {
    let is_there = if target["present"].as_bool() == Some(true) { "is there" } else { "is not there" };
    let step = match word(target, "step") {
        "leave" | "skip" | "" => String::new(),
        step => format!("; the next pass would {step}"),
    };
    let _ =
        writeln!(out, "  {}: {is_there}, {}{step}", printable(word(target, "target")), printable(word(target, "why")));
    if let Some(words) = target["words"].as_str() {
        let _ = writeln!(out, "    the destination says: {}", printable(words));
    }
    for sharing in list(&target["sharings"]) {
        let yes = |key: &str| sharing[key].as_bool() == Some(true);
        let said = if !yes("source_holds") {
            "the source does not hold it".to_owned()
        } else if !yes("selects") {
            "the rule does not select it".to_owned()
        } else if let Some(exception) = sharing["exception"].as_str() {
            format!("the rule selects it, and an exception removes it: {exception}")
        } else if !yes("tlp_passes") {
            "selected, but its TLP is above what this sharing may send".to_owned()
        } else if yes("muted") {
            "selected, but muted or paused".to_owned()
        } else {
            "selected".to_owned()
        };
        let (source, rule) = (word(sharing, "source"), word(sharing, "rule"));
        let _ = writeln!(out, "    by {} → {}: {}", printable(source), printable(rule), printable(&said));
        for clause in texts(&sharing["clauses"]) {
            let _ = writeln!(out, "      {}", printable(clause));
        }
    }
}

/// A moment to the second.
fn second(time: &str) -> String {
    match time.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => time.to_owned(),
    }
}

fn word<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    list(value).iter().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_chain_reads_from_the_value_to_each_target() {
        let report = json!({
            "asked": "evil.example", "kind": "domain", "value": "evil.example", "known": true,
            "indicator": {
                "kind": "domain", "value": "evil.example", "reputation": 8, "severity": "high", "tlp": "green",
                "tags": ["phishing", "a\u{1b}[2J"], "first_seen": "2026-01-01T00:00:00Z", "last_seen": null,
                "expires_at": null, "active": true, "verdict": null, "muted": true
            },
            "records": [
                {"source": "urlhaus", "active": true, "reputation": 8, "severity": "high", "tags": [], "last_seen": null,
                 "expires_at": null, "comment": "seen\nagain"},
                {"source": "old", "active": false, "why": "expired", "reputation": null, "severity": "unknown", "tags": []}
            ],
            "guard": "popular: top domains",
            "notes": [],
            "targets": [
                {"target": "edge", "present": true, "wanted": true, "step": "retract", "why": "guarded", "code": "guarded",
                 "sharings": [{"source": "any", "rule": "bad", "source_holds": true, "selects": true, "tlp_passes": true,
                               "muted": false, "exception": "office", "clauses": ["✓ reputation >= 5"]}]}
            ]
        });
        let shown = explain(&report);
        let expected = "\
evil[.]example  domain
  active; reputation 8, severity high, TLP green; muted
  tags: phishing, a\\u{1b}[2J
  first seen 2026-01-01T00:00:00Z, last seen never stated, expires never
  guarded: popular: top domains

Who says so
  urlhaus: counts; reputation 8; severity high
    \"seen\\nagain\"
  old: does not count: expired

Where it is
  edge: is there, guarded; the next pass would retract
    by any → bad: the rule selects it, and an exception removes it: office
      ✓ reputation >= 5
";
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_value_nobody_knows_is_said_to_be_so() {
        let shown =
            explain(&json!({"kind": "ipv4", "value": "192.0.2.9", "known": false, "records": [], "targets": []}));
        assert_eq!(shown, "192.0.2[.]9  ipv4\n  nobody has said anything about it\n\nNo target is configured.\n");
    }
}
