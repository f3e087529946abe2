//! `check`: is the configuration sound, and do the connections work?

use super::output::{Column, How, column, parse, text};
use super::{CliError, Ctx, Exit, Outcome, apply};
use crate::cli::client::{AskError, Client, part};
use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Check configuration files and connections; change nothing
///
/// Files are checked against what is configured already, as `apply --dry-run` does. Then every enabled connection is
/// asked whether it works with its settings; one that is not applied yet is tried only where nothing is configured.
#[derive(Args)]
#[command(after_help = "\
Examples:
  iocast check                           every connection that is configured
  iocast check site.toml                 a file before it is applied
  iocast check site.toml --offline       without asking anybody

Exit code 0; 1 if a file is wrong or a connection does not work.")]
pub(crate) struct CheckArgs {
    /// Files, or directories of *.toml files
    #[arg(value_name = "FILE")]
    paths: Vec<PathBuf>,
    /// Do not try connections
    #[arg(long)]
    offline: bool,
}

const COLUMNS: &[Column] =
    &[text("connection", "connection"), column("ok", "works", How::YesNo), text("error", "what it says")];

pub(crate) fn check(args: &CheckArgs, ctx: &Ctx) -> Outcome {
    if args.paths.is_empty() {
        let client = ctx.client()?;
        return if args.offline { configuration(&client, ctx) } else { connections(&client, None, ctx) };
    }
    let loaded = apply::load(&args.paths)?;
    let has_data = ctx.has_data();
    let client = if has_data { ctx.client_or_new()? } else { ctx.client_without_data()? };
    let answer = apply::send(&client, &loaded, true)?;
    if args.offline {
        apply::show(&answer, true, &ctx.out)?;
        return Ok(Exit::Done);
    }
    if !has_data {
        // An exchange in memory that nobody else sees: what is applied there can be tried and is forgotten.
        apply::send(&client, &loaded, false)?;
    }
    ctx.out.note("the files are sound");
    let mentioned: Vec<&str> = loaded.file.connection.iter().map(|connection| connection.name.as_str()).collect();
    connections(&client, Some(&mentioned), ctx)
}

/// Opening it has resolved it.
fn configuration(client: &Client, ctx: &Ctx) -> Outcome {
    let answer = client.get("/api/v1/config", &[])?;
    match ctx.out.is_table() {
        true => ctx.out.line("the configuration is sound")?,
        false => ctx.out.document(&answer)?,
    }
    Ok(Exit::Done)
}

/// Tries connections; `only` those, where given.
fn connections(client: &Client, only: Option<&[&str]>, ctx: &Ctx) -> Outcome {
    let configured: Value = parse(&client.get("/api/v1/config", &[])?)?;
    let configured: Vec<&str> = configured["connection"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|connection| connection["enabled"] != json!(false) && connection["name"] != json!("manual"))
        .filter_map(|connection| connection["name"].as_str())
        .collect();
    let mut exit = Exit::Done;
    let mut printer = ctx.out.printer(COLUMNS);
    let names: Vec<&str> = match only {
        Some(only) => only.to_vec(),
        None => configured.clone(),
    };
    if names.is_empty() {
        ctx.out.note("no connection is configured: see `iocast apply --help`");
    }
    for name in names {
        if !configured.contains(&name) {
            ctx.out.note(&format!("{name} is new or not enabled: it can be tried once it is applied"));
            continue;
        }
        let said = client.post(&format!("/api/v1/connections/{}/check", part(name)), &[], &json!({}));
        let (ok, error) = match said {
            Ok(answer) => {
                let answer: Value = parse(&answer)?;
                let ok = answer["ok"].as_bool().unwrap_or(true);
                (ok, answer["error"].as_str().map(str::to_owned))
            }
            Err(AskError::Problem(problem)) => (false, Some(problem.detail)),
            Err(AskError::Cli(error @ CliError::Closed)) => return Err(error),
            Err(other) => return Err(other.into()),
        };
        if !ok {
            exit = Exit::Failed;
        }
        printer.row(&json!({ "connection": name, "ok": ok, "error": error }).to_string())?;
    }
    printer.end()?;
    Ok(exit)
}
