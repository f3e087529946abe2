//! `status`, `freeze` and `thaw`: how is everything, and the big red switch.

use super::output::{Column, How, column, number, parse, text, thousands};
use super::run::done;
use super::{CliError, Ctx, Exit, Outcome};
use clap::Args;
use serde_json::{Value, json};

/// How everything is: sources, targets, what waits
#[derive(Args)]
#[command(after_help = "Examples:\n  iocast status\n  iocast status --format json")]
pub(crate) struct StatusArgs {}

/// Stop every new call to a destination; pulls and reads go on
#[derive(Args)]
#[command(after_help = "Examples:\n  iocast freeze\n  iocast --url http://127.0.0.1:8700 freeze")]
pub(crate) struct FreezeArgs {}

/// Let calls to destinations go on
#[derive(Args)]
#[command(after_help = "Examples:\n  iocast thaw\n  iocast share --all --dry-run     what would go out now?")]
pub(crate) struct ThawArgs {}

const SOURCES: &[Column] = &[
    text("name", "source"),
    text("status", "status"),
    column("last_run", "last run", How::Time),
    column("last_success", "last success", How::Time),
    number("records", "records"),
    text("error", "what it says"),
];

const TARGETS: &[Column] = &[
    text("name", "target"),
    text("status", "status"),
    column("last_run", "last run", How::Time),
    number("present", "present"),
    number("capacity", "capacity"),
    text("error", "what it says"),
];

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
    if status["frozen"].as_bool() == Some(true) {
        ctx.out.line("frozen: nothing goes to any destination until `iocast thaw`")?;
    }
    for (key, columns) in [("sources", SOURCES), ("targets", TARGETS)] {
        if status[key].as_array().is_some_and(|rows| !rows.is_empty()) {
            ctx.out.line("")?;
            ctx.out.rows(&status[key].to_string(), columns)?;
        }
    }
    Ok(())
}

pub(crate) fn freeze(_: &FreezeArgs, ctx: &Ctx) -> Outcome {
    let answer = ctx.client()?.post("/api/v1/freeze", &[], &json!({}))?;
    done(&answer, "frozen: no new call to a destination begins; `iocast thaw` ends this", ctx)?;
    Ok(Exit::Done)
}

pub(crate) fn thaw(ctx: &Ctx) -> Outcome {
    let answer = ctx.client()?.post("/api/v1/thaw", &[], &json!({}))?;
    done(&answer, "thawed: calls to destinations go on", ctx)?;
    Ok(Exit::Done)
}
