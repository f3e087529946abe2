//! `indicator retract`: what a bucket says is taken back, as whoever pushed it could.

use super::import::{bucket, confirmed, push};
use super::values;
use crate::api::observations::{Item, ItemOp};
use crate::cli::client::{Client, Lines};
use crate::cli::output::{parse, thousands};
use crate::cli::{CliError, Ctx, Exit, Outcome};
use clap::Args;
use serde::Deserialize;

/// Take back what a source says of values, or all that a bucket says
///
/// What was said stays readable and stops counting; what only it stood for is taken back from each target by the next
/// pass, within the target's brakes. Other sources' words are not touched.
///
/// Of a bucket it is as if whoever pushed it took it back: importing it again says it again. Of any other source a person
/// ends it: being listed again does not revive it, only a later and different word of that source does. With the source
/// `any` every source's word is ended.
#[derive(Args)]
#[command(after_help = "\
Examples:
  iocast indicator retract --source import-case-42 'hxxp://good[.]example/a'
  iocast indicator retract --source import-case-42 - < harmless.txt
  iocast indicator retract --source import-case-42 --all
  iocast indicator retract --source urlhaus 'hxxp://good[.]example/a'
  iocast indicator retract --source any good.example

A bucket is a connection with connector \"api-source\". To judge a value whoever says it: `iocast indicator verdict`.
Exit code 0; 3 if some were rejected, or nobody said --yes to --all.")]
pub(crate) struct RetractArgs {
    /// Values, however they are spelled; `-` reads them from standard input, one a line
    #[arg(value_name = "VALUE", required_unless_present = "all", conflicts_with = "all")]
    values: Vec<String>,
    /// The source whose word it is, or `any`
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
    if !args.all && (source == "any" || is_pulled(&client, source)?) {
        return end(&client, args, ctx);
    }
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

/// Whether a connection is one that nobody pushes to.
fn is_pulled(client: &Client, source: &str) -> Result<bool, CliError> {
    let status: serde_json::Value = parse(&client.get("/api/v1/status", &[])?)?;
    let sources = status["sources"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(source == "manual" || sources.iter().any(|row| row["name"].as_str() == Some(source)))
}

/// Ends what a source that is pulled says, or what every source says.
fn end(client: &Client, args: &RetractArgs, ctx: &Ctx) -> Outcome {
    let values = values(&args.values)?;
    let source = Some(&args.source).filter(|source| *source != "any");
    let (mut n_ended, mut n_already, mut n_wrong) = (0u64, 0u64, 0u64);
    let mut rows = Vec::new();
    for chunk in values.chunks(engine::RETRACT_MOST) {
        let items: Vec<_> =
            chunk.iter().map(|value| serde_json::json!({ "value": value, "kind": args.kind })).collect();
        let asked = serde_json::json!({ "items": items, "source": source });
        let answer = client.post("/api/v1/indicators/retract", &[], &asked)?;
        rows.extend(parse::<Vec<serde_json::Value>>(&answer)?);
    }
    for row in &rows {
        let n = |key: &str| row[key].as_array().map_or(0, Vec::len) as u64;
        n_ended += n("ended");
        n_already += u64::from(n("ended") == 0 && n("already") > 0);
        if let Some(error) = row["error"].as_str() {
            n_wrong += 1;
            ctx.out.warn(&format!("{}: {error}", row["value"].as_str().unwrap_or_default()));
        }
    }
    match ctx.out.is_table() {
        true => {
            let already = if n_already > 0 { format!("; {n_already} had been before") } else { String::new() };
            let records =
                if n_ended == 1 { "1 record is".to_owned() } else { format!("{} records are", thousands(n_ended)) };
            ctx.out.line(&format!(
                "{records} ended{already}: only a later and different word of its source revives one"
            ))?;
        }
        false => ctx.out.document(&serde_json::Value::from(rows).to_string())?,
    }
    Ok(match n_wrong {
        0 => Exit::Done,
        n if n == values.len() as u64 => Exit::Failed,
        _ => Exit::Partial,
    })
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
