//! `status`, `freeze` and `thaw`: how is everything, and the big red switch.

use super::output::{Column, How, column, minute, number, parse, text, thousands};
use super::run::done;
use super::{CliError, Ctx, Exit, Outcome};
use clap::{Args, Subcommand};
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
///
/// What somebody froze goes on. Targets of an exchange that was restored from a backup stand still all the same, each
/// until `iocast target adopt`; they are named.
#[derive(Args)]
#[command(after_help = "Examples:\n  iocast thaw\n  iocast share --all --dry-run     what would go out now?")]
pub(crate) struct ThawArgs {}

/// The clock: whether time may expire what is known
#[derive(Args)]
#[command(
    after_help = "Examples:\n  iocast clock trust\n  iocast status            says whether the clock is believed"
)]
pub(crate) struct ClockArgs {
    #[command(subcommand)]
    command: ClockCommand,
}

#[derive(Subcommand)]
enum ClockCommand {
    /// Say that the clock is right
    ///
    /// A clock that jumps more than a day ahead is not believed: nothing expires until it comes back, or until this is
    /// said. What has expired by then is taken back within each target's brakes.
    #[command(
        after_help = "Examples:\n  iocast clock trust\n  iocast clock trust --note \"the time server was wrong before\""
    )]
    Trust {
        /// Why, for the audit log
        #[arg(long)]
        note: Option<String>,
    },
}

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
    number("drift", "drift"),
    text("next", "what to do"),
];

const PLANS: &[Column] = &[
    column("plan", "plan", How::Number),
    text("target", "target"),
    text("age", "waits for"),
    text("steps", "would"),
    text("waits", "because"),
    text("budget_left", "budget left"),
    column("until", "expires", How::Time),
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
    if row["restored"].as_bool() == Some(true) {
        return Some(format!("restored: `iocast target adopt {name} --preview`"));
    }
    if row["identity_found"].is_string() {
        return Some(format!("it calls us somebody else: `iocast target adopt {name} --preview`"));
    }
    if let Some(plan) = row["waiting_plan"].as_u64() {
        return Some(format!("`iocast plan show {plan}`: approve or reject"));
    }
    let failures = row["failures"].as_u64().unwrap_or(0);
    if failures == 0 {
        if row["doubt"].is_string() {
            return Some(format!("what it shows is doubted: `iocast target verify {name}`"));
        }
        let n = row["drift"].as_u64().filter(|n| *n > 0)?;
        return Some(format!("{} differ: `iocast target show {name}`", thousands(n)));
    }
    let failed = if failures == 1 { "failed once".to_owned() } else { format!("failed {failures} times") };
    Some(match row["not_before"].as_str() {
        Some(until) => format!("{failed}; tried again after {}", minute(until)),
        None => format!("{failed}; `iocast run list`"),
    })
}

/// Who stopped everything, since when and why.
pub(super) fn frozen(status: &Value) -> Option<String> {
    let by = &status["frozen_by"];
    let word = |key: &str| by[key].as_str().filter(|text| !text.is_empty());
    let note = word("note").map_or_else(String::new, |note| format!(": {note}"));
    let since = word("at").map_or_else(String::new, |at| format!(" since {}", minute(at)));
    match word("by") {
        // Which targets wait after a restore is said by themselves.
        Some("restore") => None,
        Some(by) => {
            let who = match (by, word("who")) {
                ("file", _) => " by the file FREEZE in the data directory".to_owned(),
                (_, Some(who)) => format!(" by {who}"),
                _ => String::new(),
            };
            Some(format!("frozen{who}{since}{note}; nothing goes to any destination until `iocast thaw`"))
        }
        None if status["frozen"].as_bool() == Some(true) => {
            Some("frozen: nothing goes to any destination until `iocast thaw`".to_owned())
        }
        None => None,
    }
}

/// A waiting plan as a row: its age, its steps and what is left of the budget in words.
fn waiting(plan: &Value) -> Value {
    let n = |value: &Value| thousands(value.as_u64().unwrap_or(0));
    let mut row = plan.clone();
    let hours = plan["age_hours"].as_u64().unwrap_or(0);
    row["age"] = json!(match hours {
        0 => "under an hour".to_owned(),
        1 => "1 hour".to_owned(),
        2..48 => format!("{hours} hours"),
        _ => format!("{} days", hours / 24),
    });
    row["steps"] = json!(steps_of(plan));
    let left = |of: &str| n(&plan["budget"][of]["left"]);
    row["budget_left"] = match plan["budget"].is_object() {
        true => json!(format!("{} adds, {} removals", left("adds"), left("removals"))),
        false => Value::Null,
    };
    if plan["halts"].as_bool() == Some(true) {
        row["waits"] = json!("it stopped a run half-way: its target stands still");
    } else if plan["waits"].is_null() && plan["kind"] != "pass" {
        row["waits"] = json!("a person asked for it");
    }
    row
}

/// `push 3, retract 1`.
fn steps_of(plan: &Value) -> String {
    let each = ["push", "update", "retract"].into_iter();
    let said = each.filter_map(|verb| Some((verb, plan[verb].as_u64().filter(|n| *n > 0)?)));
    let said: Vec<String> = said.map(|(verb, n)| format!("{verb} {}", thousands(n))).collect();
    if said.is_empty() { "only set pins".to_owned() } else { said.join(", ") }
}

pub(crate) fn clock(args: &ClockArgs, ctx: &Ctx) -> Outcome {
    let ClockCommand::Trust { note } = &args.command;
    let answer = ctx.client()?.post("/api/v1/clock/trust", &[], &json!({ "note": note }))?;
    let told: Value = parse(&answer)?;
    let now = told["now"].as_str().unwrap_or_default();
    done(
        &answer,
        &match told["was_doubted"].as_bool() {
            Some(true) => format!("the clock says {now} and is believed: what has expired by then goes now"),
            _ => format!("the clock says {now} and was believed already"),
        },
        ctx,
    )?;
    Ok(Exit::Done)
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
    if let Some(line) = frozen(status) {
        ctx.out.line(&line)?;
    }
    let restored = names(&status["restored"]);
    if !restored.is_empty() {
        ctx.out.line(&format!(
            "restored from a backup: nothing goes to {restored} until `iocast target adopt NAME` of each"
        ))?;
    }
    if let Some(sealed) = status["sealed"].as_str() {
        ctx.out.line(sealed)?;
    }
    if let Some(clock) = status["clock"].as_str() {
        ctx.out.line(clock)?;
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
    let plans: Vec<Value> = list("plans").iter().map(waiting).collect();
    if !plans.is_empty() {
        ctx.out.line("")?;
        ctx.out.rows(&json!(plans).to_string(), PLANS)?;
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
    let restored = names(&parse::<Value>(&answer)?["restored"]);
    done(&answer, &thawed(&restored), ctx)?;
    Ok(Exit::Done)
}

/// Texts, in a row.
fn names(list: &Value) -> String {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

fn thawed(restored: &str) -> String {
    match restored.is_empty() {
        true => "thawed: calls to destinations go on".to_owned(),
        false => format!(
            "thawed; restored from a backup, {restored} still wait{} for `iocast target adopt`",
            if restored.contains(',') { "" } else { "s" }
        ),
    }
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
            (json!({"name": "a", "failures": 0, "drift": 0}), None),
            (json!({"name": "a", "failures": 0, "drift": 12}), Some("12 differ: `iocast target show a`")),
            (
                json!({"name": "a", "drift": 0, "doubt": "x"}),
                Some("what it shows is doubted: `iocast target verify a`"),
            ),
            (
                json!({"name": "a", "waiting_plan": 2, "restored": true}),
                Some("restored: `iocast target adopt a --preview`"),
            ),
        ];
        for (row, said) in cases {
            assert_eq!(next_step(&row).as_deref(), said);
        }
    }
}
