//! `run`: what ran, and what waits because it was not believed.

use super::output::{Column, How, column, defang, hidden, parse, printable, text, thousands};
use super::pull::by_reason;
use super::{CliError, Ctx, Exit, Outcome};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// Runs: what was pulled and shared, with counts; suspect runs that wait
#[derive(Args)]
#[command(after_help = "Examples:\n  iocast run list --kind pull\n  iocast run show 17\n  iocast run approve 17")]
pub(crate) struct RunArgs {
    #[command(subcommand)]
    command: RunCommand,
}

#[derive(Subcommand)]
enum RunCommand {
    /// Runs, the latest first
    #[command(after_help = "Examples:\n  iocast run list\n  iocast run list --kind pull --limit 5 --format ndjson")]
    List {
        /// Only these: pull, share, expire, prune, add, ingest, rollback
        #[arg(long)]
        kind: Option<String>,
        /// How many
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: usize,
    },
    /// One run with its report
    #[command(after_help = "Examples:\n  iocast run show 17\n  iocast run show 17 --format json")]
    Show {
        /// Its number
        id: u64,
    },
    /// Believe a suspect run: fold its rows, take back what it no longer lists
    #[command(after_help = "Examples:\n  iocast run show 17       see why it is suspect\n  iocast run approve 17")]
    Approve {
        /// Its number
        id: u64,
    },
    /// Undo a share run: makes a plan that waits, or with --yes goes at once
    #[command(after_help = "Examples:\n  iocast run undo 17\n  iocast run undo 17 --yes --note \"wrong feed\"")]
    Undo {
        /// Its number
        id: u64,
        /// Approve it at once
        #[arg(long)]
        yes: bool,
        /// Why, for the audit log
        #[arg(long)]
        note: Option<String>,
    },
    /// Drop a suspect run: nothing of it is kept
    #[command(after_help = "Examples:\n  iocast run list --kind pull\n  iocast run discard 17")]
    Discard {
        /// Its number
        id: u64,
    },
}

const COLUMNS: &[Column] = &[
    column("id", "run", How::Number),
    text("kind", "job"),
    text("subject", "about"),
    text("status", "status"),
    column("started", "started", How::Time),
    column("ended", "ended", How::Time),
    text("summary", "counts"),
    hidden("report"),
];

pub(crate) fn run(args: &RunArgs, ctx: &Ctx) -> Outcome {
    let client = ctx.client()?;
    match &args.command {
        RunCommand::List { kind, limit } => {
            let limit = limit.to_string();
            let mut query = vec![("limit", limit.as_str())];
            if let Some(kind) = kind {
                query.push(("kind", kind));
            }
            print(&client.get("/api/v1/runs", &query)?, ctx)?;
        }
        RunCommand::Show { id } => {
            let answer = client.get(&format!("/api/v1/runs/{id}"), &[])?;
            let run: Value = parse(&answer)?;
            show(&answer, ctx)?;
            if run["status"] == "suspect" && ctx.out.is_table() {
                suspect(&client.get(&format!("/api/v1/runs/{id}/suspect"), &[])?, ctx)?;
            }
        }
        RunCommand::Approve { id } => {
            let answer = client.post(&format!("/api/v1/runs/{id}/approve"), &[], &json!({}))?;
            done(&answer, &format!("run {id} is believed"), ctx)?;
        }
        RunCommand::Undo { id, yes, note } => {
            let said = json!({ "approve": yes, "note": note });
            super::plan::asked(&client.post(&format!("/api/v1/runs/{id}/undo"), &[], &said)?, ctx)?;
        }
        RunCommand::Discard { id } => {
            let answer = client.post(&format!("/api/v1/runs/{id}/discard"), &[], &json!({}))?;
            done(&answer, &format!("run {id} is dropped"), ctx)?;
        }
    }
    Ok(Exit::Done)
}

/// Runs as a table, or as they are.
pub(crate) fn print(answer: &str, ctx: &Ctx) -> Result<(), CliError> {
    if !ctx.out.is_table() {
        ctx.out.rows(answer, COLUMNS)?;
        return Ok(());
    }
    let mut runs: Vec<Value> = parse(answer)?;
    for run in &mut runs {
        let summary = summary(&run["report"]);
        run["summary"] = json!(summary);
    }
    if ctx.out.rows(&json!(runs).to_string(), COLUMNS)? == 0 {
        ctx.out.note("nothing has run yet");
    }
    Ok(())
}

/// What approving a suspect run would do.
fn suspect(answer: &str, ctx: &Ctx) -> Result<(), CliError> {
    let told: Value = parse(answer)?;
    let count = |key: &str| thousands(told[key].as_u64().unwrap_or(0));
    let before = match told["believed_rows"].as_u64() {
        Some(rows) => format!("the last believed run listed {}", thousands(rows)),
        None => "no run has been believed yet".to_owned(),
    };
    ctx.out.line(&format!("  it waits: it lists {}, {before}", count("rows")))?;
    const DOES: [(&str, &str); 4] =
        [("adds", "add"), ("changes", "change"), ("relists", "list again"), ("withdraws", "take back")];
    let does: Vec<_> = DOES.iter().filter(|(key, _)| told[*key].as_u64().unwrap_or(0) > 0).collect();
    ctx.out.line(if does.is_empty() { "  approving it would change nothing" } else { "  approving it would" })?;
    for (key, words) in does {
        let n = told[*key].as_u64().unwrap_or(0);
        let some = told[format!("{key}_some")].as_array().cloned().unwrap_or_default();
        let some: Vec<String> = some.iter().filter_map(Value::as_str).take(5).map(shown).collect();
        let more = if n > some.len() as u64 { ", …" } else { "" };
        let such_as = if some.is_empty() { String::new() } else { format!(": {}{more}", some.join(", ")) };
        ctx.out.line(&format!("    {words} {}{such_as}", thousands(n)))?;
    }
    let id = &told["run"];
    ctx.out.line(&format!("  `iocast run approve {id}` believes it, `iocast run discard {id}` drops it"))
}

/// A value of unknown kind, so that no terminal makes a link of it.
fn shown(value: &str) -> String {
    let kind = if value.contains("://") { "url" } else { "domain" };
    defang(kind, &printable(value))
}

/// Says in words for people, as JSON for programs, what became of it.
pub(crate) fn done(answer: &str, words: &str, ctx: &Ctx) -> Result<(), CliError> {
    match ctx.out.is_table() || answer.trim().is_empty() {
        true => ctx.out.line(words),
        false => ctx.out.document(answer),
    }
}

/// The counts of a report that are not zero, the first of them.
fn summary(report: &Value) -> String {
    const SAID: [&str; 14] = [
        "read",
        "new",
        "changed",
        "rejected",
        "withdrawn",
        "ended",
        "revived",
        "restored",
        "push",
        "update",
        "retract",
        "accepted",
        "refused",
        "deferred",
    ];
    let said = SAID.iter().filter_map(|key| {
        let n = report[*key].as_u64().filter(|n| *n > 0)?;
        Some(format!("{key} {n}"))
    });
    said.take(5).collect::<Vec<_>>().join(", ")
}

fn show(answer: &str, ctx: &Ctx) -> Result<(), CliError> {
    if !ctx.out.is_table() {
        return ctx.out.document(answer);
    }
    let run: Value = parse(answer)?;
    let words = |key: &str| run[key].as_str().unwrap_or("-").to_owned();
    ctx.out.line(&format!("run {}: {} {}, {}", run["id"], words("kind"), words("subject"), words("status")))?;
    ctx.out.line(&format!("  started {}, ended {}", words("started"), words("ended")))?;
    let Some(report) = run["report"].as_object() else { return Ok(()) };
    for (key, value) in report {
        let shown = match value {
            Value::Null => continue,
            Value::Array(items) if items.is_empty() => continue,
            Value::Object(counts) if counts.is_empty() => continue,
            Value::Object(_) => by_reason(value),
            Value::Array(items) if items.iter().all(Value::is_string) => {
                let lines: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
                format!("\n    {}", lines.join("\n    "))
            }
            Value::Array(items) => format!("{} (--format json shows them)", items.len()),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        // Said above, nothing, or for programs.
        if matches!(key.as_str(), "connection" | "target" | "run" | "status" | "config")
            || (value == 0 && key != "read")
        {
            continue;
        }
        ctx.out.line(&format!("  {key}: {shown}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_names_what_happened() {
        let cases = [
            (json!({"read": 11, "new": 8, "changed": 0, "unchanged": 1, "rejected": 2}), "read 11, new 8, rejected 2"),
            (json!({"push": 3, "retract": 0, "accepted": 3}), "push 3, accepted 3"),
            (json!({}), ""),
            (Value::Null, ""),
        ];
        for (report, said) in cases {
            assert_eq!(summary(&report), said);
        }
    }
}
