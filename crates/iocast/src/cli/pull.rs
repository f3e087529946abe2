//! `pull`: reads sources now.

use super::output::{Column, Format, How, column, hidden, number, parse, text, thousands};
use super::{Ctx, Exit, Outcome};
use clap::Args;
use serde_json::{Value, json};

/// Read sources now, whatever their interval
///
/// Every row read is new, changed, unchanged or rejected. A complete source takes back what it no longer lists, but
/// only after a run that is believed: a run that is suddenly empty, half or ten times as long is suspect and waits for
/// `iocast run approve` or `iocast run discard`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  iocast pull --all
  iocast pull urlhaus threatfox
  iocast pull --all --format json

Status: success, not_modified, partial (over 1 % of the rows rejected), suspect, failed.
Exit code 0; 1 if one failed; 3 if one is partial or suspect.")]
pub(crate) struct PullArgs {
    /// Connections to read
    #[arg(value_name = "NAME", required_unless_present = "all", conflicts_with = "all")]
    names: Vec<String>,
    /// Every enabled source
    #[arg(long)]
    all: bool,
}

const COLUMNS: &[Column] = &[
    text("connection", "source"),
    text("status", "status"),
    number("read", "read"),
    number("new", "new"),
    number("changed", "changed"),
    number("unchanged", "unchanged"),
    number("rejected", "rejected"),
    number("filtered", "filtered"),
    number("withdrawn", "gone"),
    hidden("guarded"),
    column("run", "run", How::Number),
    hidden("error"),
];

pub(crate) fn pull(args: &PullArgs, ctx: &Ctx) -> Outcome {
    let client = ctx.client()?;
    let asked = if args.all { json!({ "all": true }) } else { json!({ "connections": args.names }) };
    let progress = ctx.progress("pulling");
    let answer = client.post("/api/v1/pulls", &[], &asked);
    drop(progress);
    let answer = answer?;
    let reports: Vec<Value> = parse(&answer)?;
    let n_rows = ctx.out.rows(&answer, COLUMNS)?;
    if n_rows == 0 {
        ctx.out.note("no source is configured and enabled: see `iocast apply --help`");
    }
    for report in &reports {
        remarks(report, ctx);
    }
    Ok(exit_of(&reports))
}

/// What the numbers do not say.
fn remarks(report: &Value, ctx: &Ctx) {
    let name = report["connection"].as_str().unwrap_or_default();
    let status = report["status"].as_str().unwrap_or_default();
    let why = report["error"].as_str().unwrap_or("no reason was given");
    match status {
        "failed" => ctx.out.warn(&format!("{name} failed: {why}")),
        "suspect" => ctx.out.warn(&format!(
            "{name} is suspect: {why}; nothing was withdrawn. `iocast run approve {run}` believes it, `iocast run \
             discard {run}` drops it",
            run = report["run"]
        )),
        _ => {}
    }
    if ctx.out.format != Format::Table {
        return;
    }
    if report["rejected"].as_u64().is_some_and(|n| n > 0) {
        ctx.out.note(&format!("{name} rejected {}", by_reason(&report["rejected_by"])));
        for sample in report["samples"].as_array().into_iter().flatten().filter_map(Value::as_str).take(3) {
            ctx.out.note(&format!("  for example {sample}"));
        }
    }
}

/// `12 too_broad, 3 not_an_indicator`, the most frequent first.
pub(crate) fn by_reason(counts: &Value) -> String {
    let Some(counts) = counts.as_object() else { return String::new() };
    let mut counts: Vec<(u64, &str)> = counts.iter().map(|(why, n)| (n.as_u64().unwrap_or(0), why.as_str())).collect();
    counts.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
    let shown: Vec<String> = counts.iter().map(|(n, why)| format!("{} {why}", thousands(*n))).collect();
    shown.join(", ")
}

/// The worst of many: failed, then partial, then done.
pub(crate) fn exit_of(reports: &[Value]) -> Exit {
    reports
        .iter()
        .map(|report| match report["status"].as_str() {
            Some("success" | "not_modified" | "dry_run") => Exit::Done,
            Some("partial" | "suspect" | "held" | "frozen") => Exit::Partial,
            _ => Exit::Failed,
        })
        .max()
        .unwrap_or(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_status_is_the_exit_code() {
        let cases: [(&[&str], u8); 9] = [
            (&[], 0),
            (&["success", "not_modified"], 0),
            (&["dry_run"], 0),
            (&["success", "partial"], 3),
            (&["suspect"], 3),
            (&["held", "success"], 3),
            (&["frozen"], 3),
            (&["held", "failed", "success"], 1),
            (&["something new"], 1),
        ];
        for (statuses, code) in cases {
            let reports: Vec<Value> = statuses.iter().map(|status| json!({ "status": status })).collect();
            assert_eq!(exit_of(&reports).code(), code, "{statuses:?}");
        }
    }

    #[test]
    fn reasons_come_with_the_most_frequent_first() {
        assert_eq!(by_reason(&json!({"a": 1, "b": 12000, "c": 1})), "12 000 b, 1 a, 1 c");
    }
}
