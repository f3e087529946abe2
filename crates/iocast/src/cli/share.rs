//! `share`: makes targets hold what they should, or shows what that would take.

use super::client::{Client, part};
use super::output::{Column, Format, How, column, hidden, number, parse, text, thousands};
use super::pull::{by_reason, exit_of};
use super::{CliError, Ctx, Exit, Outcome};
use clap::Args;
use serde_json::{Value, json};

/// Make targets hold exactly what they should, now
///
/// A pass compares what a target should hold with what the ledger says it holds: entries are added (push), changed
/// (update) and taken back (retract). What the brakes hold back waits as a plan: see `iocast plan`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  iocast share --all --dry-run          show every step; nothing is sent
  iocast share block-ip --approve       approve the plan that this very command computes
  iocast share block-ip --dry-run --format csv > plan.csv     every step and every skip, with reasons
  iocast share --all --format json

planned = push + update + retract = accepted + refused + unknown + waiting (deferred).
Status: success, partial, held, dry_run, frozen, failed.
Exit code 0; 1 if one failed; 3 if one is partial, held or frozen.")]
pub(crate) struct ShareArgs {
    /// Targets to pass over
    #[arg(value_name = "NAME", required_unless_present = "all", conflicts_with = "all")]
    names: Vec<String>,
    /// Every enabled target
    #[arg(long)]
    all: bool,
    /// Show what would be done and why; nothing is sent
    #[arg(long, conflicts_with = "approve")]
    dry_run: bool,
    /// Approve exactly the plan that this command computes
    #[arg(long)]
    approve: bool,
    /// Only if the plan is the one a dry run gave this hash; else nothing is done
    #[arg(long, value_name = "HASH", conflicts_with = "dry_run")]
    expect: Option<String>,
}

const COLUMNS: &[Column] = &[
    text("target", "target"),
    text("status", "status"),
    number("push", "push"),
    number("update", "update"),
    number("retract", "retract"),
    number("leave", "leave"),
    number("skip", "skip"),
    number("accepted", "accepted"),
    number("refused", "refused"),
    number("unknown", "unknown"),
    number("deferred", "waiting"),
    number("present", "present"),
    hidden("run"),
    hidden("plan"),
    hidden("error"),
];

/// Steps of a plan, wherever one is shown: what each does, why, and what it waits for.
const STEPS: [Column; 5] = [
    text("verb", "step"),
    text("kind", "kind"),
    column("entry", "entry", How::Indicator),
    text("reason", "because"),
    text("waits", "waits for"),
];
/// The same where all wait for the same, or for nothing.
const STEPS_WHY: &[Column] = &[STEPS[0], STEPS[1], STEPS[2], STEPS[3]];
/// Where all have the same reason, or none says why.
const STEPS_WAIT: &[Column] = &[STEPS[0], STEPS[1], STEPS[2], STEPS[4]];
const STEPS_ALONE: &[Column] = &[STEPS[0], STEPS[1], STEPS[2]];

/// Rows of a preview, for programs.
const ROW: &[Column] = &[
    text("target", "target"),
    text("step", "step"),
    text("kind", "kind"),
    column("entry", "entry", How::Indicator),
    text("code", "code"),
    text("reason", "because"),
    text("waits", "waits for"),
    column("sources", "sources", How::List),
];

/// Steps shown in a table.
pub(crate) const STEPS_SHOWN: usize = 40;

pub(crate) fn share(args: &ShareArgs, ctx: &Ctx) -> Outcome {
    let client = ctx.client()?;
    if args.dry_run && matches!(ctx.out.format, Format::Csv | Format::Ndjson) {
        return list(args, &client, ctx);
    }
    let mut asked = json!({ "dry_run": args.dry_run, "approve": args.approve });
    if let Some(hash) = &args.expect {
        asked["expect"] = json!(hash);
    }
    if args.all {
        asked["all"] = json!(true);
    } else {
        asked["targets"] = json!(args.names);
    }
    let progress = ctx.progress("sharing");
    let answer = client.post("/api/v1/passes", &[], &asked);
    drop(progress);
    let answer = answer?;
    let reports: Vec<Value> = parse(&answer)?;
    if ctx.out.rows(&answer, COLUMNS)? == 0 {
        ctx.out.note("no target is configured and enabled: see `iocast apply --help`");
    }
    for report in &reports {
        remarks(report, ctx)?;
    }
    Ok(exit_of(&reports))
}

/// Rows asked for at once.
const ROWS: &str = "10000";

/// Each step that passes would take and what they would skip, for programs and spreadsheets: all of it.
fn list(args: &ShareArgs, client: &Client, ctx: &Ctx) -> Outcome {
    let mut names = args.names.clone();
    if args.all {
        let mut after: Option<String> = None;
        loop {
            let query: Vec<(&str, &str)> = after.iter().map(|after| ("after", after.as_str())).collect();
            let page: Value = parse(&client.get("/api/v1/targets", &query)?)?;
            let enabled = page["items"].as_array().into_iter().flatten().filter(|target| target["enabled"] != false);
            names.extend(enabled.filter_map(|target| target["name"].as_str()).map(str::to_owned));
            match page["next"].as_str() {
                Some(next) => after = Some(next.to_owned()),
                None => break,
            }
        }
    }
    let mut printer = ctx.out.printer(ROW);
    for name in &names {
        let path = format!("/api/v1/targets/{}/preview", part(name));
        let mut after: Option<String> = None;
        loop {
            let mut query = vec![("limit", ROWS)];
            query.extend(after.iter().map(|after| ("after", after.as_str())));
            let page: Value = parse(&client.get(&path, &query)?)?;
            if after.is_none() {
                head(&page, ctx);
            }
            for row in page["items"].as_array().into_iter().flatten() {
                let mut row = row.clone();
                row["target"] = json!(name);
                printer.row(&row.to_string())?;
            }
            match page["next"].as_str() {
                Some(next) => after = Some(next.to_owned()),
                None => break,
            }
        }
    }
    printer.end()?;
    Ok(Exit::Done)
}

/// What the rows have in common, beside them.
fn head(page: &Value, ctx: &Ctx) {
    let name = page["target"].as_str().unwrap_or_default();
    let n = |key: &str| thousands(page[key].as_u64().unwrap_or(0));
    ctx.out.note(&format!(
        "{name}: push {}, update {}, retract {}, leave {}, skip {}; {}; hash {}",
        n("push"),
        n("update"),
        n("retract"),
        n("leave"),
        n("skip"),
        budget(&page["budget"]),
        page["hash"].as_str().unwrap_or_default(),
    ));
    for why in page["holds"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        ctx.out.note(&format!("{name} waits: {why}"));
    }
}

/// How much of the change budget is spent, on a line.
pub(crate) fn budget(budget: &Value) -> String {
    let one = |key: &str| {
        let n = |field: &str| thousands(budget[key][field].as_u64().unwrap_or(0));
        format!("{key} {} of {} in 24 h, {} may go now", n("used_24h"), n("per_day"), n("left"))
    };
    format!("budget: {}; {}", one("adds"), one("removals"))
}

/// What the numbers do not say.
fn remarks(report: &Value, ctx: &Ctx) -> Result<(), CliError> {
    let name = report["target"].as_str().unwrap_or_default();
    if let Some(why) = report["error"].as_str() {
        ctx.out.warn(&format!("{name}: {why}"));
    }
    for why in report["holds"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        ctx.out.warn(&format!("{name} waits: {why}"));
    }
    if let Some(plan) = report["plan"].as_u64() {
        ctx.out.warn(&format!(
            "{name}: `iocast plan show {plan}` shows what waits, `iocast plan approve {plan}` allows it"
        ));
    }
    if ctx.out.format != Format::Table {
        return Ok(());
    }
    let skipped = by_reason(&report["skipped_by"]);
    if !skipped.is_empty() {
        ctx.out.note(&format!("{name} skips {skipped}"));
    }
    if report["status"] == "dry_run" && report["budget"].is_object() {
        ctx.out.note(&format!("{name} {}", budget(&report["budget"])));
    }
    if let Some(hash) = report["hash"].as_str() {
        ctx.out.note(&format!("{name}: `iocast share {name} --expect {hash}` does exactly this, or nothing"));
    }
    let steps = report["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !steps.is_empty() {
        ctx.out.line(&format!("\n{name}"))?;
        print_steps(steps, ctx)?;
    }
    Ok(())
}

/// A table of steps, cut where it grows too long to read.
pub(crate) fn print_steps(steps: &[Value], ctx: &Ctx) -> Result<(), CliError> {
    // What is the same for all is said once, and what nobody says not at all.
    let alike = |key: &str| {
        let said = |step: &Value| step[key].as_str().filter(|words| !words.is_empty()).map(str::to_owned);
        let first = steps.first().and_then(said);
        steps.iter().all(|step| said(step) == first).then_some(first)
    };
    let (waits, why) = (alike("waits"), alike("reason"));
    let all_wait = if steps.len() == 1 { "it waits: " } else { "all wait: " };
    for (words, all) in [(&why, "because: "), (&waits, all_wait)] {
        if let Some(Some(words)) = words {
            ctx.out.line(&format!("{all}{words}"))?;
        }
    }
    let mut printer = ctx.out.printer(match (why.is_some(), waits.is_some()) {
        (true, true) => STEPS_ALONE,
        (true, false) => STEPS_WAIT,
        (false, true) => STEPS_WHY,
        (false, false) => &STEPS,
    });
    for step in steps.iter().take(STEPS_SHOWN) {
        let mut step = step.clone();
        // The entry as stored may lack what the kind's value has; it is defanged all the same.
        if step["kind"].is_null() {
            step["kind"] = json!("url");
        }
        printer.row(&step.to_string())?;
    }
    printer.end()?;
    if steps.len() > STEPS_SHOWN {
        let more = (steps.len() - STEPS_SHOWN) as u64;
        ctx.out.line(&format!("… and {} more; --format csv shows them all", thousands(more)))?;
    }
    Ok(())
}
