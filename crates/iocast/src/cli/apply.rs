//! `apply`: makes the configuration what files say.

use super::client::{AskError, Client, Mistake};
use super::output::{Mark, Out, parse};
use super::{CliError, Ctx, Exit, Outcome};
use crate::configfile::{self, Loaded};
use clap::Args;
use serde_json::Value;
use std::io::{self, BufRead, IsTerminal as _, Read as _, Write as _};
use std::path::PathBuf;

/// Make the configuration what files say, and show the difference first
///
/// Files are TOML with [policy], [[tenant]], [[connection]], [[target]], [[rule]], [[sharing]], [[guard]] and
/// [[guard_exception]]. All of them are applied as one change: if anything is wrong, nothing is changed and every mistake is
/// named with its file and line. Applying the same files again changes nothing, and nothing they leave out is deleted,
/// unless --prune says so. Secrets are best given as "env:NAME" or "file:PATH"; others are sealed before they are stored.
///
/// At a terminal the difference is shown and has to be confirmed, unless --yes. Where nobody can be asked (standard input
/// or error is no terminal) it is applied and shown; --prune then needs --yes.
#[derive(Args)]
#[command(after_help = "\
Examples:
  iocast apply site.toml
  iocast apply conf.d/ --dry-run         show what would change
  iocast apply conf.d/ --prune           also delete what the files leave out, after asking
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
  target = \"block-ip\"

Exit code 0; 1 if a file is wrong; 2 if --prune deletes, nobody can be asked and --yes is missing; 3 if the answer was no.")]
pub(crate) struct ApplyArgs {
    /// Files, or directories of *.toml files
    #[arg(value_name = "FILE", required = true)]
    paths: Vec<PathBuf>,
    /// Show what would change; change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Delete what the files leave out
    ///
    /// The policy stays. Records of a deleted connection are kept and age out; entries of a deleted target stay where they
    /// are and are no longer ours.
    #[arg(long)]
    prune: bool,
    /// Records of deleted connections stop counting now
    #[arg(long, requires = "prune")]
    retract_records: bool,
    /// Targets that hold entries are kept until passes have taken those back; prune again then
    #[arg(long, requires = "prune")]
    take_back: bool,
}

pub(crate) fn apply(args: &ApplyArgs, ctx: &Ctx) -> Outcome {
    let loaded = load(&args.paths)?;
    if args.prune && is_empty(&loaded.file) {
        return Err(CliError::Failed(
            "the files hold nothing, and --prune would delete everything: that is most likely a mistake; nothing was changed. \
             To start over, delete what is there thing by thing, or use another data directory"
                .to_owned(),
        ));
    }
    let client = match args.dry_run && !ctx.has_data() {
        true => ctx.client_without_data()?,
        false => ctx.client_or_new()?,
    };
    let mut query: Vec<(&str, &str)> = Vec::new();
    for (name, is_on) in
        [("prune", args.prune), ("retract_records", args.retract_records), ("take_back", args.take_back)]
    {
        if is_on {
            query.push((name, "true"));
        }
    }
    let can_ask = io::stdin().is_terminal() && io::stderr().is_terminal();
    if !args.dry_run && !args.yes && (can_ask || args.prune) {
        let planned = send_with(&client, &loaded, true, &query)?;
        let changes: Value = parse(&planned)?;
        let n_deleted = changes["changes"].as_array().into_iter().flatten().filter(|c| c["verb"] == "delete").count();
        show(&planned, true, &ctx.out)?;
        if changes["changes"].as_array().is_none_or(Vec::is_empty) {
            return Ok(Exit::Done);
        }
        if can_ask {
            let question = match n_deleted {
                0 => "apply this?".to_owned(),
                1 => "apply this, and delete 1 thing?".to_owned(),
                n => format!("apply this, and delete {n} things?"),
            };
            if !confirmed(&question, &mut io::stdin().lock())? {
                ctx.out.note("nothing was changed");
                return Ok(Exit::Partial);
            }
            let applied: Value = parse(&send_with(&client, &loaded, false, &query)?)?;
            let n = applied["changes"].as_array().map_or(0, Vec::len);
            ctx.out.note(&format!("{n} changed"));
            warn(&applied, &ctx.out);
            return Ok(Exit::Done);
        }
        if n_deleted > 0 {
            return Err(CliError::Usage(format!(
                "--prune would delete {n_deleted} and nobody can be asked: say --yes; nothing was changed"
            )));
        }
    }
    let answer = send_with(&client, &loaded, args.dry_run, &query)?;
    show(&answer, args.dry_run, &ctx.out)?;
    Ok(Exit::Done)
}

/// Whether a file has nothing in it but, perhaps, a policy: a template that came to nothing, a file cut off.
fn is_empty(file: &engine::ConfigFile) -> bool {
    let engine::ConfigFile {
        policy: _,
        tenant,
        connection,
        target,
        rule,
        sharing,
        guard,
        guard_exception,
        notify,
        provider,
    } = file;
    tenant.is_empty()
        && connection.is_empty()
        && target.is_empty()
        && rule.is_empty()
        && sharing.is_empty()
        && guard.is_empty()
        && guard_exception.is_empty()
        && notify.is_empty()
        && provider.is_empty()
}

/// Asks a person; everything but a yes is a no.
pub(super) fn confirmed(question: &str, answers: &mut dyn BufRead) -> Result<bool, CliError> {
    write!(io::stderr(), "{question} [y/N] ")?;
    let mut answer = String::new();
    answers.take(MAX_ANSWER_BYTES).read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Longest answer that is read, in bytes.
const MAX_ANSWER_BYTES: u64 = 100;

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
    send_with(client, loaded, dry_run, &[])
}

fn send_with(client: &Client, loaded: &Loaded, dry_run: bool, query: &[(&str, &str)]) -> Result<String, CliError> {
    let mut query = query.to_vec();
    if dry_run {
        query.push(("dry_run", "true"));
    }
    client.post("/api/v1/config/apply", &query, &loaded.file).map_err(|error| match error {
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
        changes.iter().try_for_each(|change| show_change(change, out))?;
        let n = changes.len();
        let unchanged = applied["unchanged"].as_u64().unwrap_or(0);
        out.line(&match (n, dry_run) {
            (0, _) => format!("nothing to change, {unchanged} as they should be"),
            (_, true) => format!("{n} would change, {unchanged} as they should be; nothing was changed"),
            (_, false) => format!("{n} changed, {unchanged} as they should be"),
        })?;
    }
    warn(&applied, out);
    Ok(())
}

fn warn(applied: &Value, out: &Out) {
    for warning in applied["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        out.warn(&format!("warning: {warning}"));
    }
}

/// One document that differs: `+` is new, `~` changed, `-` deleted or not in the files.
pub(crate) fn show_change(change: &Value, out: &Out) -> Result<(), CliError> {
    let mark = match change["verb"].as_str() {
        Some("create") => Mark::New,
        Some("delete") => Mark::Gone,
        _ => Mark::Other,
    };
    let section = change["section"].as_str().unwrap_or_default();
    match change["name"].as_str() {
        None | Some("") => out.marked(mark, section)?,
        Some(name) => out.marked(mark, &format!("{section} \"{name}\""))?,
    }
    for detail in change["details"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let mut shown: String = detail.chars().take(DETAIL_CHARS).collect();
        if shown.len() < detail.len() {
            shown.push('…');
        }
        out.line(&format!("    {}", shown.replace('\n', " ")))?;
    }
    Ok(())
}

/// Longest difference shown of one key, in characters.
const DETAIL_CHARS: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_a_yes() {
        for (answer, expect) in [
            ("y\n", true),
            ("YES\n", true),
            (" y ", true),
            ("\n", false),
            ("", false),
            ("n\n", false),
            ("yep\n", false),
        ] {
            assert_eq!(confirmed("?", &mut answer.as_bytes()).unwrap(), expect, "{answer:?}");
        }
    }
}
