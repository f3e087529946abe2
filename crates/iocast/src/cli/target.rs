//! `target`: what we put at a destination.

use super::client::{Lines, part};
use super::indicator::TABLE_LIMIT;
use super::output::{Column, Format, How, column, hidden, number, parse, text};
use super::{CliError, Ctx, Exit, Outcome};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What we put at each target
#[derive(Args)]
#[command(after_help = "\
Examples:
  iocast target deliveries block-ip
  iocast target deliveries block-ip --state refused
  iocast target deliveries block-ip --count

`iocast status` shows the targets.")]
pub(crate) struct TargetArgs {
    #[command(subcommand)]
    command: TargetCommand,
}

#[derive(Subcommand)]
enum TargetCommand {
    Deliveries(DeliveriesArgs),
}

/// Every entry we put at a target, or tried to, with its state and the target's words
#[derive(Args)]
#[command(after_help = "\
Examples:
  iocast target deliveries block-ip
  iocast target deliveries block-ip --state refused
  iocast target deliveries block-ip --state present --format csv > there.csv
  iocast target deliveries block-ip --count

States: pending (an answer is awaited), unknown (it may be there; the next pass asks), present, refused (offered again
later), retracting, foreign (somebody else's, left alone), released (ours no longer), gone (taken back, or expired there).")]
struct DeliveriesArgs {
    /// The target's name
    #[arg(value_name = "NAME")]
    name: String,
    /// Only in this state
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    /// How many at most; without it a table has 50 rows and other formats have all
    #[arg(long, value_name = "N", conflicts_with = "count")]
    limit: Option<usize>,
    /// Only how many there are in each state
    #[arg(long)]
    count: bool,
}

const COLUMNS: &[Column] = &[
    text("kind", "kind"),
    column("value", "value", How::Indicator),
    text("state", "state"),
    number("attempts", "failures"),
    column("next_try", "not before", How::Time),
    text("words", "its words"),
    column("first_intent", "since", How::Time),
    column("updated", "updated", How::Time),
    column("run", "run", How::Number),
    hidden("target"),
    hidden("entry"),
    hidden("remote_id"),
    hidden("remote_expires"),
];

const COUNTS: &[Column] = &[text("state", "state"), number("count", "entries")];

pub(crate) fn target(args: &TargetArgs, ctx: &Ctx) -> Outcome {
    match &args.command {
        TargetCommand::Deliveries(args) => deliveries(args, ctx),
    }
}

fn deliveries(args: &DeliveriesArgs, ctx: &Ctx) -> Outcome {
    let client = ctx.client()?;
    let limit = match (args.limit, ctx.out.format) {
        (_, _) if args.count => None,
        (Some(limit), _) => Some(limit),
        (None, Format::Table) => Some(TABLE_LIMIT),
        (None, _) => None,
    };
    // One more than is shown tells whether there is more.
    let asked = limit.map(|limit| limit.saturating_add(1).to_string());
    let mut query = Vec::new();
    query.extend(args.state.as_deref().map(|state| ("state", state)));
    query.extend(asked.as_deref().map(|asked| ("limit", asked)));
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut printer = ctx.out.printer(if args.count { COUNTS } else { COLUMNS });
    let mut n_rows = 0;
    let mut take = |line: &str| -> Result<(), CliError> {
        n_rows += 1;
        if args.count {
            let row: Value = parse(line)?;
            *counts.entry(row["state"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
            return Ok(());
        }
        if limit.is_none_or(|limit| n_rows <= limit) { printer.row(line) } else { Ok(()) }
    };
    let path = format!("/api/v1/targets/{}/deliveries", part(&args.name));
    let mut lines = Lines::default();
    client.stream(&path, &query, "application/x-ndjson", &mut |piece| lines.feed(piece, &mut take))?;
    lines.end(&mut take)?;
    for (state, count) in &counts {
        printer.row(&json!({ "state": state, "count": count }).to_string())?;
    }
    let n_shown = printer.end()?;
    match () {
        () if !ctx.out.is_table() => {}
        () if n_rows == 0 && args.state.is_some() => ctx.out.note("no entry is in this state"),
        () if n_rows == 0 => ctx.out.note("nothing was put there yet"),
        () if !args.count && args.limit.is_none() && n_rows > n_shown => {
            ctx.out.note(&format!("the first {n_shown}; there are more: --limit N, or --count"));
        }
        () => {}
    }
    Ok(Exit::Done)
}
