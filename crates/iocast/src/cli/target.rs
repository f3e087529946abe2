//! `target`: what we put at a destination.

use super::client::{Client, Lines, part};
use super::indicator::{most, streamed};
use super::output::{Column, How, column, hidden, number, parse, text};
use super::{CliError, Ctx, Exit, Outcome, reconcile};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Targets: how each is, what it holds, what it refuses
#[derive(Args)]
#[command(after_help = "\
Examples:
  iocast target show block-ip
  iocast target verify block-ip         does it hold what we think?
  iocast target adopt block-ip          take over what it holds, after a restore or a change of account
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
    Show(reconcile::ShowArgs),
    Deliveries(DeliveriesArgs),
    Refused(reconcile::RefusedArgs),
    Cut(reconcile::CutArgs),
    Verify(reconcile::VerifyArgs),
    Adopt(reconcile::AdoptArgs),
    /// Return a target to what it held at a time: makes a plan that waits, or with --yes goes at once
    #[command(
        after_help = "Examples:\n  iocast target return block-ip --to 2026-01-31T14:05:00Z\n  iocast target return \
                          block-ip --to 2026-01-31T14:05:00Z --yes --note \"before the bad feed\""
    )]
    Return {
        /// The target's name
        name: String,
        /// RFC 3339
        #[arg(long, value_name = "TIME")]
        to: String,
        /// Approve it at once
        #[arg(long)]
        yes: bool,
        /// Why, for the audit log
        #[arg(long)]
        note: Option<String>,
    },
    /// What was undone at a target and stays so
    #[command(after_help = "Examples:\n  iocast target pins block-ip\n  iocast target pins block-ip --format json")]
    Pins {
        /// The target's name
        name: String,
    },
    /// Lift what was undone: the next pass decides these entries as any other
    #[command(after_help = "Examples:\n  iocast target unpin block-ip 192.0.2.1\n  iocast target unpin block-ip --all")]
    Unpin {
        /// The target's name
        name: String,
        /// Of these values
        #[arg(value_name = "VALUE", required_unless_present = "all", conflicts_with = "all")]
        values: Vec<String>,
        /// Of every value
        #[arg(long)]
        all: bool,
    },
}

const PINS: &[Column] = &[
    text("kind", "kind"),
    column("value", "value", How::Indicator),
    text("hold", "stays"),
    text("who", "by"),
    column("at", "since", How::Time),
    number("plan", "plan"),
];

/// Every entry we put at a target, or tried to, with its state and the target's words
#[derive(Args)]
#[command(after_help = "\
Examples:
  iocast target deliveries block-ip
  iocast target deliveries block-ip --state refused
  iocast target deliveries block-ip --state present --format csv > there.csv
  iocast target deliveries block-ip --count

States: pending (an answer is awaited), unknown (it may be there; the next pass asks), present, refused (offered again
later; asked for, entries that are there and whose change or removal was refused are listed too), retracting, foreign (somebody else's, left alone), released (ours no longer), gone (taken back, or expired there).")]
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
    hidden("refused"),
    hidden("exhausted"),
];

const COUNTS: &[Column] = &[text("state", "state"), number("count", "entries")];

pub(crate) fn target(args: &TargetArgs, ctx: &Ctx) -> Outcome {
    match &args.command {
        TargetCommand::Show(args) => return reconcile::show(args, ctx),
        TargetCommand::Deliveries(args) => return deliveries(args, ctx),
        TargetCommand::Refused(args) => return reconcile::refused(args, ctx),
        TargetCommand::Cut(args) => return reconcile::cut(args, ctx),
        TargetCommand::Verify(args) => return reconcile::verify(args, ctx),
        TargetCommand::Adopt(args) => return reconcile::adopt(args, ctx),
        TargetCommand::Return { name, to, yes, note } => {
            let said = json!({ "to": to, "approve": yes, "note": note });
            let answer = ctx.client()?.post(&format!("/api/v1/targets/{}/return", part(name)), &[], &said)?;
            super::plan::asked(&answer, ctx)?;
        }
        TargetCommand::Pins { name } => {
            let answer = ctx.client()?.get(&format!("/api/v1/targets/{}/pins", part(name)), &[])?;
            if ctx.out.rows(&answer, PINS)? == 0 {
                ctx.out.note("nothing is pinned");
            }
        }
        TargetCommand::Unpin { name, values, all } => {
            let said = json!({ "values": (!all).then_some(values) });
            let answer = ctx.client()?.post(&format!("/api/v1/targets/{}/unpin", part(name)), &[], &said)?;
            let told: Value = parse(&answer)?;
            let words = match told["lifted"].as_u64() {
                Some(0) => "nothing was pinned: nothing is lifted".to_owned(),
                Some(1) => "1 pin is lifted: the next pass decides this entry as any other".to_owned(),
                Some(n) => format!("{n} pins are lifted: the next pass decides these entries as any other"),
                None => "lifted: the next pass decides these entries as any other".to_owned(),
            };
            super::run::done(&answer, &words, ctx)?;
        }
    }
    Ok(Exit::Done)
}

fn deliveries(args: &DeliveriesArgs, ctx: &Ctx) -> Outcome {
    let client = ctx.client()?;
    let path = format!("/api/v1/targets/{}/deliveries", part(&args.name));
    let query: Vec<(&str, &str)> = args.state.as_deref().map(|state| ("state", state)).into_iter().collect();
    let (n_shown, n_rows) = match args.count {
        true => counted(&client, ctx, &path, &query)?,
        false => streamed(&client, ctx, &path, &query, COLUMNS, most(args.limit, ctx))?,
    };
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

/// Prints how many there are of each state.
fn counted(client: &Client, ctx: &Ctx, path: &str, query: &[(&str, &str)]) -> Result<(usize, usize), CliError> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut take = |line: &str| -> Result<(), CliError> {
        let row: Value = parse(line)?;
        *counts.entry(row["state"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
        Ok(())
    };
    let mut lines = Lines::default();
    client.stream(path, query, "application/x-ndjson", &mut |piece| lines.feed(piece, &mut take))?;
    lines.end(&mut take)?;
    let rows: Vec<Value> = counts.iter().map(|(state, count)| json!({ "state": state, "count": count })).collect();
    let n_rows = ctx.out.rows(&json!(rows).to_string(), COUNTS)?;
    Ok((n_rows, n_rows))
}
