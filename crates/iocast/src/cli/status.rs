//! `status`, `freeze` and `thaw`: how is everything, and the big red switch.

use super::output::{Column, How, column, minute, number, parse, text, thousands};
use super::run::done;
use super::{CliError, Ctx, Exit, Outcome};
use clap::Args;
use serde_json::{Value, json};

/// How everything is: sources, buckets, targets, what waits
#[derive(Args)]
#[command(after_help = "Examples:\n  iocast status\n  iocast status --format json")]
pub(crate) struct StatusArgs {}

/// Stop every new call to a destination; pulls and reads go on
#[derive(Args)]
#[command(after_help = "Examples:\n  iocast freeze\n  iocast --url http://127.0.0.1:8470 freeze")]
pub(crate) struct FreezeArgs {
    /// Why, for whoever finds it frozen
    #[arg(long)]
    note: Option<String>,
}

/// Let calls to destinations go on
#[derive(Args)]
#[command(after_help = "Examples:\n  iocast thaw\n  iocast share --all --dry-run     what would go out now?")]
pub(crate) struct ThawArgs {}

const SOURCES: &[Column] = &[
    text("name", "source"),
    text("connector", "connector"),
    column("enabled", "enabled", How::YesNo),
    text("status", "status"),
    column("last_run", "last run", How::Time),
    column("last_success", "last success", How::Time),
    text("next", "what to do"),
];

const BUCKETS: &[Column] = &[
    text("name", "bucket"),
    column("enabled", "enabled", How::YesNo),
    text("status", "status"),
    column("last_push", "last push", How::Time),
];

const TARGETS: &[Column] = &[
    text("name", "target"),
    text("connection", "connection"),
    column("enabled", "enabled", How::YesNo),
    text("status", "status"),
    column("last_run", "last run", How::Time),
    number("present", "present"),
    text("next", "what to do"),
];

/// Hosts that hold us back, or did.
const CALLS: &[Column] = &[
    text("host", "host"),
    text("account", "account"),
    text("state", "state"),
    column("until", "until", How::Time),
    number("not_made", "not made"),
    text("why", "why"),
];

/// What a person should do about a source or a target, if anything.
fn next_step(row: &Value) -> Option<String> {
    let name = row["name"].as_str().unwrap_or_default();
    if row["denied"].as_bool() == Some(true) {
        // Only targets have an action.
        let verb = if row["action"].is_string() { "share" } else { "pull" };
        return Some(format!("it denies us: `iocast check`, then apply or `iocast {verb} {name}`"));
    }
    if let Some(run) = row["suspect_run"].as_u64() {
        return Some(format!("`iocast run show {run}`: approve or discard"));
    }
    if let Some(plan) = row["waiting_plan"].as_u64() {
        return Some(format!("`iocast plan show {plan}`: approve or reject"));
    }
    let failures = row["failures"].as_u64().filter(|n| *n > 0)?;
    let failed = if failures == 1 { "failed once".to_owned() } else { format!("failed {failures} times") };
    Some(match row["not_before"].as_str() {
        Some(until) => format!("{failed}; tried again after {}", minute(until)),
        None => format!("{failed}; `iocast run list`"),
    })
}

pub(crate) fn status(ctx: &Ctx) -> Outcome {
    let answer = ctx.client()?.get("/api/v1/status", &[])?;
    match ctx.out.is_table() {
        true => show(&parse(&answer)?, ctx)?,
        false => ctx.out.document(&answer)?,
    }
    Ok(Exit::Done)
}

fn show(status: &Value, ctx: &Ctx) -> Result<(), CliError> {
    let n = |key: &str| thousands(status[key].as_u64().unwrap_or(0));
    let version = status["version"].as_str().unwrap_or("?");
    ctx.out.line(&format!("iocast {version}: {} indicators, {} records", n("indicators"), n("records")))?;
    let store = status["store"].as_str().unwrap_or("ok");
    if store != "ok" {
        ctx.out.line(&format!("{store}: nothing is pulled and nothing is shared; reading goes on"))?;
    }
    if status["frozen"].as_bool() == Some(true) {
        ctx.out.line("frozen: nothing goes to any destination until `iocast thaw`")?;
    }
    let list = |key: &str| status[key].as_array().map(Vec::as_slice).unwrap_or_default();
    let (notices, channels) = (list("notices"), list("channels"));
    if !notices.is_empty() {
        ctx.out.line("")?;
        ctx.out.line(&format!("{} need{} a person", notices.len(), if notices.len() == 1 { "s" } else { "" }))?;
        super::notify::show(notices, ctx)?;
    }
    for channel in channels.iter().filter(|channel| channel["error"].is_string()) {
        let word = |key: &str| super::output::printable(channel[key].as_str().unwrap_or_default());
        ctx.out.line(&format!(
            "{} does not take what it is told ({} waiting): {}",
            word("name"),
            channel["waiting"].as_u64().unwrap_or(0),
            word("error")
        ))?;
    }
    for (key, columns) in [("sources", SOURCES), ("buckets", BUCKETS), ("targets", TARGETS)] {
        let mut rows = status[key].as_array().cloned().unwrap_or_default();
        if rows.is_empty() {
            continue;
        }
        for row in &mut rows {
            row["next"] = json!(next_step(row));
        }
        ctx.out.line("")?;
        ctx.out.rows(&json!(rows).to_string(), columns)?;
    }
    let held_back = |row: &&Value| {
        row["state"] != "free" || ["not_made", "told_later"].iter().any(|key| row[key].as_u64().unwrap_or(0) > 0)
    };
    let calls: Vec<&Value> = status["calls"].as_array().into_iter().flatten().filter(held_back).collect();
    if !calls.is_empty() {
        ctx.out.line("")?;
        ctx.out.rows(&json!(calls).to_string(), CALLS)?;
    }
    for warning in status["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        ctx.out.note(&format!("warning: {warning}"));
    }
    Ok(())
}

pub(crate) fn freeze(args: &FreezeArgs, ctx: &Ctx) -> Outcome {
    let client = match ctx.client() {
        Ok(client) => client,
        // Another program has the data directory: it notices the file before its next call.
        Err(error) => {
            let Some(dir) = ctx.data_dir("freeze").ok().filter(|dir| dir.is_dir()) else { return Err(error) };
            let file = dir.join(engine::FREEZE_FILE);
            let note = args.note.as_deref().unwrap_or_default();
            std::fs::write(&file, note)
                .map_err(|why| CliError::Failed(format!("{} cannot be written: {why}", file.display())))?;
            ctx.out.line(&format!("frozen by {}: no new call begins; `iocast thaw` ends this", file.display()))?;
            return Ok(Exit::Done);
        }
    };
    let answer = client.post("/api/v1/freeze", &[], &json!({ "note": args.note }))?;
    done(&answer, "frozen: no new call to a destination begins; `iocast thaw` ends this", ctx)?;
    Ok(Exit::Done)
}

pub(crate) fn thaw(ctx: &Ctx) -> Outcome {
    let client = match ctx.client() {
        Ok(client) => client,
        Err(error) => {
            let file = ctx.data_dir("thaw").ok().map(|dir| dir.join(engine::FREEZE_FILE)).filter(|file| file.exists());
            let Some(file) = file else { return Err(error) };
            std::fs::remove_file(&file)
                .map_err(|why| CliError::Failed(format!("{} cannot be removed: {why}", file.display())))?;
            ctx.out
                .line(&format!("{} is gone; `iocast status` says whether anything else freezes it", file.display()))?;
            return Ok(Exit::Done);
        }
    };
    let answer = client.post("/api/v1/thaw", &[], &json!({}))?;
    done(&answer, "thawed: calls to destinations go on", ctx)?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_a_person_is_said() {
        let cases = [
            (
                json!({"name": "a", "denied": true, "failures": 3}),
                Some("it denies us: `iocast check`, then apply or `iocast pull a`"),
            ),
            (
                json!({"name": "a", "action": "send", "denied": true}),
                Some("it denies us: `iocast check`, then apply or `iocast share a`"),
            ),
            (json!({"name": "a", "failures": 1}), Some("failed once; `iocast run list`")),
            (json!({"name": "a", "suspect_run": 7}), Some("`iocast run show 7`: approve or discard")),
            (json!({"name": "a", "waiting_plan": 2, "failures": 1}), Some("`iocast plan show 2`: approve or reject")),
            (
                json!({"name": "a", "failures": 2, "not_before": "2026-01-31T08:30:00Z"}),
                Some("failed 2 times; tried again after 2026-01-31 08:30"),
            ),
            (json!({"name": "a", "failures": 0}), None),
        ];
        for (row, said) in cases {
            assert_eq!(next_step(&row).as_deref(), said);
        }
    }
}
