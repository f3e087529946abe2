//! `apply`: makes the configuration what files say.

use super::client::{AskError, Client, Mistake};
use super::output::{How, Out, column, parse, text};
use super::{CliError, Ctx, Exit, Outcome};
use crate::configfile::{self, Loaded};
use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Make the configuration what files say; nothing they leave out is deleted
///
/// Files are TOML with [policy], [[connection]], [[target]], [[rule]], [[sharing]], [[guard]] and [[guard_exception]].
/// All of them are applied as one change: if anything is wrong, nothing is changed and every mistake is named with its
/// file and line. Secrets are best given as "env:NAME" or "file:PATH".
#[derive(Args)]
#[command(after_help = "\
Examples:
  iocast apply site.toml
  iocast apply conf.d/ --dry-run         show what would change
  iocast --data /var/lib/iocast --files /srv/feeds apply site.toml

A small file:
  [[connection]]
  name = \"ipsum\"
  connector = \"feed\"
  settings = { url = \"file:///srv/feeds/levels.txt\", format = \"text\", kind = \"auto\" }
  [[connection]]
  name = \"edge\"
  connector = \"list\"
  [[target]]
  name = \"block-ip\"
  connection = \"edge\"
  [[rule]]
  name = \"addresses\"
  when = 'kind in (ipv4, ipv4_net) and reputation >= 5'
  [[sharing]]
  source = \"ipsum\"
  rule = \"addresses\"
  target = \"block-ip\"")]
pub(crate) struct ApplyArgs {
    /// Files, or directories of *.toml files
    #[arg(value_name = "FILE", required = true)]
    paths: Vec<PathBuf>,
    /// Show what would change; change nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn apply(args: &ApplyArgs, ctx: &Ctx) -> Outcome {
    let loaded = load(&args.paths)?;
    let client = match args.dry_run && !ctx.has_data() {
        true => ctx.client_without_data()?,
        false => ctx.client_or_new()?,
    };
    let answer = send(&client, &loaded, args.dry_run)?;
    show(&answer, args.dry_run, &ctx.out)?;
    Ok(Exit::Done)
}

/// Reads the files, or names every mistake in them.
pub(crate) fn load(files: &[PathBuf]) -> Result<Loaded, CliError> {
    configfile::load(files).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(|problem| format!("  {problem}")).collect();
        let n = lines.len();
        CliError::Failed(format!(
            "{n} mistake{} in the configuration\n{}",
            if n == 1 { "" } else { "s" },
            lines.join("\n")
        ))
    })
}

/// Sends the configuration; mistakes come back with the place where they stand.
pub(crate) fn send(client: &Client, loaded: &Loaded, dry_run: bool) -> Result<String, CliError> {
    let query: &[(&str, &str)] = if dry_run { &[("dry_run", "true")] } else { &[] };
    client.post("/api/v1/config/apply", query, &loaded.file).map_err(|error| match error {
        AskError::Problem(problem) if !problem.errors.is_empty() => {
            let lines: Vec<String> = problem.errors.iter().map(|mistake| at_its_place(mistake, loaded)).collect();
            let n = lines.len();
            let many = if n == 1 { "mistake" } else { "mistakes" };
            CliError::Failed(format!("{n} {many} in the configuration; nothing was changed\n{}", lines.join("\n")))
        }
        other => other.into(),
    })
}

fn at_its_place(mistake: &Mistake, loaded: &Loaded) -> String {
    match loaded.locate(&mistake.section, &mistake.name, &mistake.key) {
        Some(place) => format!("  {}:{}: {mistake}", place.file.display(), place.line),
        None => format!("  {mistake}"),
    }
}

/// Prints what an apply did or would do.
pub(crate) fn show(answer: &str, dry_run: bool, out: &Out) -> Result<(), CliError> {
    let applied: Value = parse(answer)?;
    if !out.is_table() {
        out.document(answer)?;
    } else {
        let changes = applied["changes"].as_array().map(Vec::as_slice).unwrap_or_default();
        if !changes.is_empty() {
            const CHANGES: &[super::output::Column] = &[
                text("verb", "change"),
                text("section", "section"),
                text("name", "name"),
                column("details", "what", How::List),
            ];
            out.rows(&json!(changes).to_string(), CHANGES)?;
        }
        let n = changes.len();
        let unchanged = applied["unchanged"].as_u64().unwrap_or(0);
        out.line(&match (n, dry_run) {
            (0, _) => format!("nothing to change, {unchanged} as they should be"),
            (_, true) => format!("{n} would change, {unchanged} as they should be; nothing was changed"),
            (_, false) => format!("{n} changed, {unchanged} as they should be"),
        })?;
    }
    for warning in applied["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        out.warn(&format!("warning: {warning}"));
    }
    Ok(())
}
