//! `plan`: what the brakes hold back until a person decides.

use super::output::{Column, Format, How, Mark, column, defang, hidden, minute, number, parse, text, thousands};
use super::run::done;
use super::share::{budget, print_steps};
use super::{CliError, Ctx, Exit, Outcome};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// Plans that wait for a person: first fills, large changes
///
/// An approval allows exactly the steps shown, for 24 hours. At the next pass each is decided again: what is no longer
/// right is dropped, and nothing is added.
#[derive(Args)]
#[command(after_help = "\
Examples:
  iocast plan list --status waiting
  iocast plan show 3
  iocast plan approve 3 --note \"checked with the firewall team\"")]
pub(crate) struct PlanArgs {
    #[command(subcommand)]
    command: PlanCommand,
}

#[derive(Subcommand)]
enum PlanCommand {
    /// Plans, the latest first
    #[command(after_help = "Examples:\n  iocast plan list\n  iocast plan list --status waiting --format json")]
    List {
        /// Only these: waiting, approved, rejected, expired, done
        #[arg(long)]
        status: Option<String>,
    },
    /// One plan with its steps
    #[command(after_help = "\
Examples:
  iocast plan show 3
  iocast plan show 3 --format csv > plan.csv     every step, for a spreadsheet
  iocast plan show 3 --format json")]
    Show {
        /// Its number
        id: u64,
    },
    /// Allow exactly these steps; the next pass takes them
    #[command(
        after_help = "Examples:\n  iocast plan approve 3\n  iocast plan approve 3 --note \"first fill, counted\""
    )]
    Approve {
        /// Its number
        id: u64,
        /// Why, for the audit log
        #[arg(long)]
        note: Option<String>,
        /// Only these steps: push, update or retract, a value, an expression
        #[arg(long, value_name = "WHICH")]
        only: Vec<String>,
        /// All but these steps
        #[arg(long, value_name = "WHICH")]
        except: Vec<String>,
        /// The hash that `plan show` gave: another plan is not approved
        #[arg(long)]
        hash: Option<String>,
    },
    /// Say no; nothing is sent
    #[command(
        after_help = "Examples:\n  iocast plan reject 3 --note \"the feed is broken\"\n  iocast plan list --status rejected"
    )]
    Reject {
        /// Its number
        id: u64,
        /// Why, for the audit log
        #[arg(long)]
        note: Option<String>,
    },
}

const COLUMNS: &[Column] = &[
    column("id", "plan", How::Number),
    text("target", "target"),
    text("status", "status"),
    column("created", "made", How::Time),
    number("push", "push"),
    number("update", "update"),
    number("retract", "retract"),
    text("author", "author"),
    column("until", "until", How::Time),
    text("who", "decided by"),
    text("note", "note"),
    hidden("hash"),
    hidden("kind"),
    hidden("about"),
    hidden("pins"),
];

/// Steps, for programs.
const LINES: &[Column] = &[
    column("plan", "plan", How::Number),
    text("target", "target"),
    text("verb", "step"),
    text("kind", "kind"),
    column("entry", "entry", How::Indicator),
    text("reason", "because"),
    text("waits", "waits for"),
    hidden("hash"),
];

pub(crate) fn plan(args: &PlanArgs, ctx: &Ctx) -> Outcome {
    let client = ctx.client()?;
    let decide = |id: u64, verb: &str, note: &Option<String>| {
        client.post(&format!("/api/v1/plans/{id}/{verb}"), &[], &json!({ "note": note }))
    };
    match &args.command {
        PlanCommand::List { status } => {
            let query: Vec<(&str, &str)> = status.iter().map(|status| ("status", status.as_str())).collect();
            if ctx.out.rows(&client.get("/api/v1/plans", &query)?, COLUMNS)? == 0 {
                ctx.out.note("no such plan: nothing waits");
            }
        }
        PlanCommand::Show { id } => {
            let answer = client.get(&format!("/api/v1/plans/{id}"), &[])?;
            match ctx.out.format {
                Format::Csv | Format::Ndjson => list(&answer, ctx)?,
                _ => show(&answer, ctx)?,
            }
        }
        PlanCommand::Approve { id, note, only, except, hash } => {
            let said = json!({ "note": note, "only": only, "except": except, "hash": hash });
            let answer = client.post(&format!("/api/v1/plans/{id}/approve"), &[], &said)?;
            let plan: Value = parse(&answer)?;
            let target = plan["target"].as_str().unwrap_or("NAME");
            let n_steps: u64 = ["push", "update", "retract"].iter().filter_map(|verb| plan[*verb].as_u64()).sum();
            let part = match (only.is_empty() && except.is_empty(), n_steps) {
                (true, _) => String::new(),
                (_, 1) => ": 1 step of it, nothing else".to_owned(),
                (_, n) => format!(": {n} steps of it, nothing else"),
            };
            let words =
                format!("plan {id} is approved for 24 hours{part}; `iocast share {target}` takes its steps now");
            done(&answer, &words, ctx)?;
        }
        PlanCommand::Reject { id, note } => {
            let answer = decide(*id, "reject", note)?;
            done(&answer, &format!("plan {id} is rejected; nothing is sent"), ctx)?;
        }
    }
    Ok(Exit::Done)
}

/// A plan that this command made.
pub(crate) fn asked(answer: &str, ctx: &Ctx) -> Result<(), CliError> {
    show(answer, ctx)?;
    if ctx.out.is_table() {
        let plan: Value = parse(answer)?;
        let (id, target) = (&plan["id"], plan["target"].as_str().unwrap_or("NAME"));
        ctx.out.line(&match plan["status"].as_str() {
            Some("approved") => format!("approved: `iocast share {target}` takes its steps now"),
            _ if plan["steps"].as_array().is_some_and(Vec::is_empty) => {
                format!("{target} would not change; `iocast plan approve {id}` pins what is there, so that it stays so")
            }
            _ => format!("nothing is sent yet: `iocast plan approve {id}` allows it"),
        })?;
    }
    Ok(())
}

/// Every step on a line of its own.
fn list(answer: &str, ctx: &Ctx) -> Result<(), CliError> {
    let plan: Value = parse(answer)?;
    let mut printer = ctx.out.printer(LINES);
    for step in plan["steps"].as_array().into_iter().flatten() {
        let mut step = step.clone();
        for key in ["id", "target", "hash"] {
            let named = if key == "id" { "plan" } else { key };
            step[named] = plan[key].clone();
        }
        printer.row(&step.to_string())?;
    }
    printer.end()?;
    Ok(())
}

/// Steps of the difference to the plan before that a table names, of each sort.
const DIFFERENCE_SHOWN: usize = 5;

fn show(answer: &str, ctx: &Ctx) -> Result<(), CliError> {
    if !ctx.out.is_table() {
        return ctx.out.document(answer);
    }
    let plan: Value = parse(answer)?;
    let words = |key: &str| plan[key].as_str().filter(|text| !text.is_empty());
    let n = |value: &Value| thousands(value.as_u64().unwrap_or(0));
    let until = words("until").map_or_else(String::new, |until| match words("status") {
        Some("approved") => format!(", until {}", minute(until)),
        _ => format!(", expires {}", minute(until)),
    });
    ctx.out.line(&format!(
        "plan {} for {}: {}, made {}{until}",
        plan["id"],
        words("target").unwrap_or_default(),
        words("status").unwrap_or_default(),
        minute(words("created").unwrap_or_default()),
    ))?;
    ctx.out.line(&format!(
        "  push {}, update {}, retract {}; hash {}",
        n(&plan["push"]),
        n(&plan["update"]),
        n(&plan["retract"]),
        words("hash").unwrap_or_default(),
    ))?;
    match (words("kind"), words("author")) {
        (Some("undo"), author) => {
            ctx.out.line(&format!(
                "  undoes {}; {} asked",
                words("about").unwrap_or("a run"),
                author.unwrap_or("?")
            ))?;
        }
        (Some("return"), author) => {
            ctx.out.line(&format!(
                "  returns {}; {} asked",
                words("about").unwrap_or("a target"),
                author.unwrap_or("?")
            ))?;
        }
        (_, Some(author)) => ctx.out.line(&format!("  author: {author}, who last changed what feeds the target"))?,
        (_, None) => ctx.out.line("  author: nobody, the sources changed")?,
    }
    for waits in plan["waits"].as_array().into_iter().flatten() {
        ctx.out.line(&format!("  {} wait: {}", n(&waits["steps"]), waits["why"].as_str().unwrap_or_default()))?;
    }
    if plan["halts"] == true {
        ctx.out.line("  it stopped a run half-way: its target stands still until this is decided")?;
    }
    if plan["budget"].is_object() {
        ctx.out.line(&format!("  {}", budget(&plan["budget"])))?;
    }
    if plan["pins"].as_u64().unwrap_or(0) > 0 {
        let target = words("target").unwrap_or("NAME");
        ctx.out.line(&format!(
            "  {} entries then stay as this leaves them, until `iocast target unpin {target}`",
            n(&plan["pins"])
        ))?;
    }
    if plan["fields_lost"].as_u64().unwrap_or(0) > 0 {
        ctx.out.line(&format!(
            "  {} carry what they do now: what they carried then is no longer kept (`history_days`)",
            n(&plan["fields_lost"])
        ))?;
    }
    difference(&plan["replaced"], ctx)?;
    if let Some(who) = words("who") {
        let at = words("decided").map_or_else(String::new, |at| format!(" {}", minute(at)));
        let note = words("note").map_or_else(String::new, |note| format!(": {note}"));
        ctx.out.line(&format!("  decided by {who}{at}{note}"))?;
    }
    ctx.out.line("")?;
    let steps = plan["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !steps.is_empty() {
        print_steps(steps, ctx)?;
    }
    pinned(&plan, ctx)
}

/// Entries that it pins without a step, which a table names.
const PINNED_SHOWN: usize = 20;

/// What stays as it is, where that is all that the plan asks for.
fn pinned(plan: &Value, ctx: &Ctx) -> Result<(), CliError> {
    let all = plan["pinned"].as_array().map(Vec::as_slice).unwrap_or_default();
    for entry in all.iter().take(PINNED_SHOWN) {
        let text = |key: &str| entry[key].as_str().unwrap_or_default();
        let stays = match text("hold") {
            "in" => "stays there",
            "out" => "stays out",
            _ => "is no longer pinned",
        };
        ctx.out.line(&format!("  {} {stays}", defang(text("kind"), text("entry"))))?;
    }
    if all.len() > PINNED_SHOWN {
        let more = thousands((all.len() - PINNED_SHOWN) as u64);
        ctx.out.line(&format!("  … and {more} more; --format json names them"))?;
    }
    Ok(())
}

/// What came and what went since the plan whose place it took.
fn difference(replaced: &Value, ctx: &Ctx) -> Result<(), CliError> {
    if !replaced.is_object() {
        return Ok(());
    }
    let n = |key: &str| replaced[key].as_u64().unwrap_or(0);
    ctx.out.line(&format!(
        "  took the place of plan {}: {} came, {} went",
        replaced["plan"],
        thousands(n("n_came")),
        thousands(n("n_went"))
    ))?;
    for (key, count, mark) in [("came", "n_came", Mark::New), ("went", "n_went", Mark::Gone)] {
        let some: Vec<&str> = replaced[key].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for step in some.iter().take(DIFFERENCE_SHOWN) {
            let (verb, entry) = step.split_once(' ').unwrap_or(("", step));
            let kind = intel::IndicatorKey::parse(None, entry).map_or("url", |key| key.kind().as_str());
            ctx.out.marked(mark, &format!("{verb} {}", defang(kind, entry)))?;
        }
        if n(count) > DIFFERENCE_SHOWN as u64 {
            let more = thousands(n(count) - DIFFERENCE_SHOWN as u64);
            ctx.out.line(&format!("    … and {more} more that {key}; --format json names them"))?;
        }
    }
    Ok(())
}
