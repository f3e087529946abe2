//! `export` and `diff`: the configuration as files, and how files differ from it.

use super::apply;
use super::output::parse;
use super::{CliError, Ctx, Exit, Outcome};
use crate::configfile::{self, Loaded};
use clap::Args;
use engine::ConfigFile;
use engine::seal::SET;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;

/// Write the whole configuration as TOML that `apply` reads
///
/// Things are sorted by name, so that two exports can be compared. References to secrets ("env:NAME", "file:PATH") are
/// written as they are. Any other secret is written as "*** set ***": applied to this exchange it keeps the secret that is
/// there; for another exchange, give the secrets instead. `--format json` writes JSON.
#[derive(Args)]
#[command(after_help = "\
Examples:
  iocast export > site.toml
  iocast export --dir conf.d             one file for each section
  iocast --url http://127.0.0.1:8470 export | iocast --data /tmp/copy apply /dev/stdin")]
pub(crate) struct ExportArgs {
    /// Write one file for each section into this directory, in place of those of an earlier export
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Show how files differ from the configuration; change nothing
///
/// `+` stands in the files only, `~` in both, but differently, `-` in the exchange only. `apply` adds and changes, `apply
/// --prune` also deletes.
#[derive(Args)]
#[command(after_help = "\
Examples:
  iocast diff conf.d/
  iocast --url http://127.0.0.1:8470 diff site.toml --format json

Exit code 0 if they say the same, 3 if they differ, 1 if a file is wrong.")]
pub(crate) struct DiffArgs {
    /// Files, or directories of *.toml files
    #[arg(value_name = "FILE", required = true)]
    paths: Vec<PathBuf>,
}

pub(crate) fn export(args: &ExportArgs, ctx: &Ctx) -> Outcome {
    let file: ConfigFile = parse(&ctx.client()?.get("/api/v1/config", &[])?)?;
    if !ctx.out.is_table() && args.dir.is_none() {
        let sorted = serde_json::to_string(&configfile::sorted(file)).map_err(CliError::failed)?;
        ctx.out.document(&sorted)?;
        return Ok(Exit::Done);
    }
    let Some(dir) = &args.dir else {
        let sections = configfile::write(file).map_err(CliError::Failed)?;
        let texts: Vec<String> =
            sections.into_iter().filter(|(_, text)| !text.is_empty()).map(|(_, text)| text).collect();
        ctx.out.text(&format!("{}{}", head(&texts.concat()), texts.join("\n")))?;
        return Ok(Exit::Done);
    };
    let io = |path: &PathBuf| {
        let shown = path.display().to_string();
        move |error: std::io::Error| CliError::Failed(format!("{shown} cannot be written: {error}"))
    };
    fs::create_dir_all(dir).map_err(io(dir))?;
    for (section, text) in configfile::write(file).map_err(CliError::Failed)? {
        let path = dir.join(format!("{section}.toml"));
        // A file of an earlier export would bring back what is no longer there.
        if !text.is_empty() || path.exists() {
            fs::write(&path, format!("{}{text}", head(&text))).map_err(io(&path))?;
        }
    }
    ctx.out.note(&format!("written to {}", dir.display()));
    Ok(Exit::Done)
}

/// What stands above.
fn head(text: &str) -> String {
    let mut head = "# Written by `iocast export`.\n".to_owned();
    if text.contains(SET) {
        head.push_str(&format!("# \"{SET}\" keeps the secret that is there; where there is none, write it instead.\n"));
    }
    head.push('\n');
    head
}

pub(crate) fn diff(args: &DiffArgs, ctx: &Ctx) -> Outcome {
    let loaded = apply::load(&args.paths)?;
    let client = ctx.client()?;
    let mut answer: Value = parse(&apply::send(&client, &loaded, true)?)?;
    let there: ConfigFile = parse(&client.get("/api/v1/config", &[])?)?;
    let changes = answer["changes"].as_array_mut().ok_or_else(|| CliError::failed("the answer has no changes"))?;
    changes.extend(only_there(&configfile::sorted(there), &loaded));
    let exit = if changes.is_empty() { Exit::Done } else { Exit::Partial };
    if !ctx.out.is_table() {
        ctx.out.document(&answer.to_string())?;
        return Ok(exit);
    }
    let changes = answer["changes"].as_array().map(Vec::as_slice).unwrap_or_default();
    changes.iter().try_for_each(|change| apply::show_change(change, &ctx.out))?;
    let unchanged = answer["unchanged"].as_u64().unwrap_or(0);
    ctx.out.line(&match changes.len() {
        0 => format!("no difference, {unchanged} compared"),
        n => format!("{n} differ, {unchanged} do not"),
    })?;
    Ok(exit)
}

/// What the files do not mention.
fn only_there(there: &ConfigFile, loaded: &Loaded) -> Vec<Value> {
    configfile::names(there)
        .into_iter()
        .filter(|(section, name)| loaded.locate(section, name, "").is_none())
        .map(|(section, name)| json!({ "section": section, "name": name, "verb": "delete", "details": [] }))
        .collect()
}
