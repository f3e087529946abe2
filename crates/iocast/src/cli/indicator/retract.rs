//! `indicator retract`: what a bucket says is taken back, as whoever pushed it could.

use super::import::{bucket, confirmed, push};
use super::values;
use crate::api::observations::{Item, ItemOp};
use crate::cli::client::{Client, Lines};
use crate::cli::output::{parse, thousands};
use crate::cli::{CliError, Ctx, Exit, Outcome};
use clap::Args;
use serde::Deserialize;

/// Take back what a bucket says: an import, or values that were pushed
///
/// What was said stays readable and stops counting; what only it stood for is taken back from each target by the next
/// pass, within the target's brakes. Importing it again says it again. Other sources' words are not touched.
#[derive(Args)]
#[command(after_help = "\
Examples:
  iocast indicator retract --source import-case-42 'hxxp://good[.]example/a'
  iocast indicator retract --source import-case-42 - < harmless.txt
  iocast indicator retract --source import-case-42 --all

A bucket is a connection with connector \"api-source\". To judge a value whoever says it: `iocast indicator verdict`.
Exit code 0; 3 if some were rejected, or nobody said --yes to --all.")]
pub(crate) struct RetractArgs {
    /// Values, however they are spelled; `-` reads them from standard input, one a line
    #[arg(value_name = "VALUE", required_unless_present = "all", conflicts_with = "all")]
    values: Vec<String>,
    /// The bucket whose word it is
    #[arg(long, value_name = "NAME")]
    source: String,
    /// Everything this bucket says
    #[arg(long)]
    all: bool,
    /// What the values are, where they alone do not say
    #[arg(long)]
    kind: Option<String>,
    /// With --all: without asking
    #[arg(long, short, requires = "all")]
    yes: bool,
}

pub(crate) fn retract(args: &RetractArgs, ctx: &Ctx) -> Outcome {
    let client = ctx.client()?;
    let source = &args.source;
    if !bucket(&client, source)? {
        return Err(CliError::Failed(format!(
            "--source {source}: no connection is called that; `iocast status` shows those there are"
        )));
    }
    let retraction = |value: String, kind: Option<String>| Item { value, kind, op: ItemOp::Retract, ..Item::default() };
    let items: Vec<Item> = match args.all {
        true => said(&client, source)?.into_iter().map(|said| retraction(said.value, Some(said.kind))).collect(),
        false => values(&args.values)?.into_iter().map(|value| retraction(value, args.kind.clone())).collect(),
    };
    if items.is_empty() {
        ctx.out.note(&format!("{source} says nothing that could be taken back"));
        return Ok(Exit::Done);
    }
    let question = format!("Take back all {} indicators that {source} says?", thousands(items.len() as u64));
    if args.all && !args.yes && !confirmed(&question)? {
        ctx.out.warn("nothing is taken back: say --yes to take it back");
        return Ok(Exit::Partial);
    }
    let (words, n_rejected) = push(&client, ctx, source, &items)?;
    ctx.out.line(&format!("taken back from {source}: {words}"))?;
    Ok(if n_rejected > 0 { Exit::Partial } else { Exit::Done })
}

/// A record, as far as it matters here.
#[derive(Deserialize)]
struct Said {
    kind: String,
    value: String,
    retracted: bool,
}

/// What a source says and has not taken back, what does not count yet included.
fn said(client: &Client, source: &str) -> Result<Vec<Said>, CliError> {
    let mut found = Vec::new();
    let mut take = |line: &str| {
        let said: Said = parse(line)?;
        if !said.retracted {
            found.push(said);
        }
        Ok(())
    };
    let mut lines = Lines::default();
    let query = [("source", source), ("all", "true")];
    client.stream("/api/v1/records", &query, "application/x-ndjson", &mut |piece| lines.feed(piece, &mut take))?;
    lines.end(&mut take)?;
    Ok(found)
}
