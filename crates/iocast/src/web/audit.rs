//! Who did what, when and from where; and whether that is what was written.

use super::shell::{Section, Shell};
use super::show::{self, When, n};
use super::{Fields, Visit};
use crate::api::Problem;
use crate::audit::verify::{self, AuditChecked};
use askama::Template;
use axum::response::Response;
use intel::{DAY, Timestamp};
use serde_json::Value;
use store::{AuditFilter, AuditRow};

const AUDIT: &str = "/activity/audit";
/// Rows of a page.
const ROWS: usize = 50;

struct Entry {
    row: AuditRow,
    at: When,
    detail: String,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    shell: Shell,
    entries: Vec<Entry>,
    who: String,
    action: String,
    since: String,
    until: String,
    mistake: Option<String>,
    is_filtered: bool,
    next: Option<String>,
}

struct Sink {
    name: String,
    seq: String,
    at: When,
    error: Option<String>,
}

#[derive(Template)]
#[template(path = "audit_checked.html")]
struct CheckedPage {
    shell: Shell,
    checked: AuditChecked,
    records: String,
    checkpoints: String,
    signed_to: String,
    sinks: Vec<Sink>,
}

/// A day or a moment of a form. A day as an end means all of it.
fn moment(text: &str, is_end: bool) -> Result<Option<Timestamp>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let at = Timestamp::parse(text).ok_or_else(|| format!("\"{text}\" is no day, such as 2027-01-31"))?;
    Ok(Some(if is_end && text.len() == 10 { at.after(DAY) } else { at }))
}

/// What an entry says in detail, without the marks of JSON where words do as well.
fn plain(detail: &str) -> String {
    let said = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match serde_json::from_str::<Value>(detail) {
        Ok(Value::Array(items)) => items.iter().map(said).collect::<Vec<_>>().join("; "),
        Ok(Value::Object(map)) => {
            let given = map.iter().filter(|(_, value)| !value.is_null());
            given.map(|(name, value)| format!("{name}: {}", said(value))).collect::<Vec<_>>().join("; ")
        }
        Ok(Value::Null) => String::new(),
        _ => detail.to_owned(),
    }
}

pub(super) async fn audit(visit: Visit, query: Fields) -> Result<Response, Problem> {
    visit
        .page("Audit", Section::Activity, move |app, shell| {
            let now = app.now();
            let text = |name: &str| query.get(name).to_owned();
            let (mut entries, mut next, mut mistake) = (Vec::new(), None, None);
            match (moment(query.get("since"), false), moment(query.get("until"), true)) {
                (Ok(since), Ok(until)) => {
                    let filter = AuditFilter { who: query.some("who"), action: query.some("action"), since, until };
                    let before = query.get("before").parse().ok();
                    let rows = app.engine()?.store().audit_found(filter, ROWS, before)?;
                    let last = rows.last().filter(|row| rows.len() == ROWS && row.seq > 1);
                    next = last.map(|row| {
                        let before = row.seq.to_string();
                        let pairs = ["who", "action", "since", "until"].map(|name| (name, query.get(name)));
                        let pairs: Vec<(&str, &str)> = pairs.into_iter().chain([("before", before.as_str())]).collect();
                        format!("{AUDIT}{}", show::query(&pairs))
                    });
                    entries = rows
                        .into_iter()
                        .map(|row| Entry { at: When::at(row.at, now), detail: plain(&row.detail), row })
                        .collect();
                }
                (Err(why), _) | (_, Err(why)) => mistake = Some(why),
            }
            let filters = ["who", "action", "since", "until"];
            Ok(AuditPage {
                entries,
                who: text("who"),
                action: text("action"),
                since: text("since"),
                until: text("until"),
                mistake,
                is_filtered: filters.iter().any(|name| query.some(name).is_some()),
                next,
                shell,
            })
        })
        .await
}

pub(super) async fn checked(visit: Visit) -> Result<Response, Problem> {
    visit
        .page("Audit", Section::Activity, |app, shell| {
            let store = app.engine()?.store();
            let now = app.now();
            let checked = verify::store(store, app.keys())?;
            let sinks = store.audit_sinks()?.into_iter().map(|sink| Sink {
                at: When::at(sink.at, now),
                seq: n(sink.seq),
                name: sink.name,
                error: sink.error,
            });
            Ok(CheckedPage {
                records: n(checked.records),
                checkpoints: n(checked.checkpoints),
                signed_to: n(checked.signed_to),
                sinks: sinks.collect(),
                checked,
                shell,
            })
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_read_by_people() {
        for (detail, expect) in [
            ("{}", ""),
            ("[]", ""),
            ("null", ""),
            (r#"{"note":null}"#, ""),
            (r#"{"before":["viewer"],"id":7}"#, r#"before: ["viewer"]; id: 7"#),
            (r#"["class: \"popular\"","enabled: true"]"#, r#"class: "popular"; enabled: true"#),
            ("no json", "no json"),
        ] {
            assert_eq!(plain(detail), expect, "{detail}");
        }
    }

    #[test]
    fn a_day_as_an_end_is_the_whole_day() {
        let at = |text: &str| Timestamp::parse(text);
        for (text, is_end, expect) in [
            ("", true, Ok(None)),
            ("2026-06-01", false, Ok(at("2026-06-01T00:00:00Z"))),
            ("2026-06-01", true, Ok(at("2026-06-02T00:00:00Z"))),
            ("2026-06-01T10:00:00Z", true, Ok(at("2026-06-01T10:00:00Z"))),
        ] {
            assert_eq!(moment(text, is_end), expect, "{text}");
        }
        assert!(moment("yesterday", false).is_err());
    }
}
