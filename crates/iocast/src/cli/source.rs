//! `source`: how sources are, how their runs went, and rolling one back.

use super::client::part;
use super::indicator::import::confirmed;
use super::output::{Column, How, column, defang, hidden, minute, number, parse, text, thousands};
use super::run;
use super::{CliError, Ctx, Exit, Outcome};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// Sources: how each is, how its runs went, and rolling one back to a time
#[derive(Args)]
#[command(after_help = "\
Examples:
  iocast source list
  iocast source show urlhaus
  iocast source history urlhaus
  iocast source rollback urlhaus --to 2026-11-24T14:00:00Z")]
pub(crate) struct SourceArgs {
    #[command(subcommand)]
    command: SourceCommand,
}

#[derive(Subcommand)]
enum SourceCommand {
    /// Every source: its last run, what it gave, what waits
    #[command(after_help = "Examples:\n  iocast source list\n  iocast source list --format json")]
    List,
    /// One source
    #[command(after_help = "Examples:\n  iocast source show urlhaus\n  iocast source show urlhaus --format json")]
    Show {
        /// Its name
        name: String,
    },
    /// How its runs went, the latest first
    #[command(after_help = "\
Examples:
  iocast source history urlhaus
  iocast source history urlhaus --limit 100 --format ndjson

The run before the first bad one tells to which time to roll back.")]
    History {
        /// Its name
        name: String,
        /// How many
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: usize,
    },
    /// Let the next run of a source read again: from a time, or as far back as its first run did
    ///
    /// What is known already is unchanged then. A source that is always read whole is read even if it says that nothing
    /// changed.
    #[command(after_help = "\
Examples:
  iocast source again partner-misp --from 2026-11-01T00:00:00Z
  iocast source again partner-misp")]
    Again {
        /// Its name
        name: String,
        /// From when on
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
    },
    /// Make what a source says what it said at a time
    ///
    /// What it said for the first time since is ended, what it changed since says again what it said, what it withdrew
    /// since counts again. What a person retracted stays so, and other sources' words are not touched. Nothing is sent
    /// from here: the next passes take back and add what follows, within each target's brakes.
    ///
    /// A source that lists everything is read whole again; unless it lists what it listed then, that run is suspect and
    /// waits (`iocast run show`). Approving it also believes it of what was ended.
    #[command(after_help = "\
Examples:
  iocast source rollback urlhaus --to 2026-11-24T14:00:00Z          show what it would do, then ask
  iocast source rollback urlhaus --to 2026-11-24T14:00:00Z --yes    do it
  iocast source rollback urlhaus --undo                             undo the last rollback

How far back is `history_days` of [policy], 30 days. Exit code 0; 3 if nobody said --yes.")]
    Rollback {
        /// Its name
        name: String,
        /// To which time, before the first bad run
        #[arg(long, value_name = "TIME", required_unless_present = "undo", conflicts_with = "undo")]
        to: Option<String>,
        /// To just before its last rollback
        #[arg(long)]
        undo: bool,
        /// Without asking
        #[arg(long, short)]
        yes: bool,
    },
}

const COLUMNS: &[Column] = &[
    text("name", "source"),
    text("connector", "connector"),
    text("status", "last run"),
    column("last_run", "at", How::Time),
    number("records", "records"),
    number("active", "active"),
    column("suspect_run", "suspect run", How::Number),
    column("rolled_back_to", "rolled back to", How::Time),
    hidden("enabled"),
    hidden("complete"),
    hidden("believed_at"),
    hidden("believed_rows"),
    hidden("suspect_why"),
    hidden("ended_by_rollback"),
    hidden("again_from"),
];

pub(crate) fn source(args: &SourceArgs, ctx: &Ctx) -> Outcome {
    let client = ctx.client()?;
    match &args.command {
        SourceCommand::List => {
            if ctx.out.rows(&client.get("/api/v1/sources", &[])?, COLUMNS)? == 0 {
                ctx.out.note("no source is configured yet: see `iocast apply --help`");
            }
        }
        SourceCommand::Show { name } => {
            show(&client.get(&format!("/api/v1/sources/{}", part(name)), &[])?, ctx)?;
        }
        SourceCommand::History { name, limit } => {
            let path = format!("/api/v1/sources/{}/history", part(name));
            run::print(&client.get(&path, &[("limit", &limit.to_string())])?, ctx)?;
        }
        SourceCommand::Again { name, from } => {
            let path = format!("/api/v1/sources/{}/again", part(name));
            let answer = client.post(&path, &[], &json!({ "from": from }))?;
            let from = from.as_deref().map_or_else(String::new, |from| format!(" from {from} on"));
            run::done(
                &answer,
                &format!("the next run of {name} reads again{from}: `iocast pull {name}` does it now"),
                ctx,
            )?;
        }
        SourceCommand::Rollback { name, to, undo, yes } => {
            let path = format!("/api/v1/sources/{}/rollback", part(name));
            let body = |dry_run: bool| json!({ "to": to, "undo": undo, "dry_run": dry_run });
            if !yes {
                let preview = client.post(&path, &[], &body(true))?;
                told(&preview, ctx)?;
                if !confirmed(&format!("Roll {name} back?"))? {
                    ctx.out.warn("nothing is rolled back: say --yes to do it");
                    return Ok(Exit::Partial);
                }
            }
            told(&client.post(&path, &[], &body(false))?, ctx)?;
        }
    }
    Ok(Exit::Done)
}

fn show(answer: &str, ctx: &Ctx) -> Result<(), CliError> {
    if !ctx.out.is_table() {
        return ctx.out.document(answer);
    }
    let source: Value = parse(answer)?;
    let words = |key: &str| source[key].as_str().unwrap_or("-").to_owned();
    let count = |key: &str| thousands(source[key].as_u64().unwrap_or(0));
    let enabled = if source["enabled"] == true { "" } else { ", disabled" };
    let lists = if source["complete"] == true { "lists everything" } else { "says what is new" };
    ctx.out.line(&format!("{} ({}): {lists}{enabled}", words("name"), words("connector")))?;
    match source["last_run"].as_str() {
        Some(at) => ctx.out.line(&format!("  last run: {}, {}", words("status"), minute(at)))?,
        None => ctx.out.line("  never pulled")?,
    }
    ctx.out.line(&format!("  records: {}, of which {} count", count("records"), count("active")))?;
    if source["believed_at"].is_string() {
        ctx.out.line(&format!(
            "  last believed: {}, {} rows",
            minute(&words("believed_at")),
            count("believed_rows")
        ))?;
    }
    if let Some(run) = source["suspect_run"].as_u64() {
        ctx.out.line(&format!("  run {run} is suspect and waits: {}", words("suspect_why")))?;
        ctx.out.line(&format!("    `iocast run show {run}` says what approving it would do"))?;
    }
    if source["again_from"].is_string() {
        ctx.out.line(&format!("  its next run reads again from {} on", words("again_from")))?;
    }
    if source["rolled_back_to"].is_string() {
        ctx.out.line(&format!("  rolled back to {}; no run has been believed since", words("rolled_back_to")))?;
    }
    if source["ended_by_rollback"].as_u64().unwrap_or(0) > 0 {
        ctx.out.line(&format!("  ended by a rollback: {}", count("ended_by_rollback")))?;
    }
    Ok(())
}

/// A value of which only the text is known, so that no terminal makes a link of it.
fn defanged(value: &str) -> String {
    let kind = intel::IndicatorKey::parse(None, value).map_or("url", |key| key.kind().as_str());
    defang(kind, value)
}

fn told(answer: &str, ctx: &Ctx) -> Result<(), CliError> {
    if !ctx.out.is_table() {
        return ctx.out.document(answer);
    }
    let told: Value = parse(answer)?;
    let count = |value: &Value| thousands(value.as_u64().unwrap_or(0));
    let name = told["connection"].as_str().unwrap_or_default();
    let to = told["to"].as_str().unwrap_or_default();
    let head = match told["run"].as_u64() {
        Some(run) => format!("{name} is rolled back to {to} (run {run})"),
        None => format!("{name} would be rolled back to {to}"),
    };
    ctx.out.line(&format!("{head}: {} records were made or changed since", count(&told["read"])))?;
    for (key, words) in [
        ("ended", "new since: now ended"),
        ("revived", "withdrawn since: count again"),
        ("restored", "changed since: say again what they said"),
        ("unchanged", "as they were"),
    ] {
        if told[key].as_u64().unwrap_or(0) == 0 {
            continue;
        }
        let some = told[format!("{key}_some")].as_array().cloned().unwrap_or_default();
        let some: Vec<String> = some.iter().filter_map(Value::as_str).take(3).map(defanged).collect();
        let such_as = if some.is_empty() { String::new() } else { format!(": {}", some.join(", ")) };
        ctx.out.line(&format!("  {} {words}{such_as}", count(&told[key])))?;
    }
    ctx.out.line(&format!("  {} indicators change", count(&told["touched"])))?;
    for target in told["targets"].as_array().into_iter().flatten() {
        let about = if target["estimated"] == true { "about " } else { "" };
        ctx.out.line(&format!(
            "  target {}: a pass would add {about}{} and take back {about}{}, before its brakes",
            target["target"].as_str().unwrap_or_default(),
            count(&target["add"]),
            count(&target["remove"]),
        ))?;
    }
    if let Some(run) = told["drops_run"].as_u64() {
        ctx.out.line(&format!("  the suspect run {run} that waits is dropped"))?;
    }
    ctx.out.line(&format!("  then {}", told["next"].as_str().unwrap_or_default()))
}
