//! `audit`: who did what, and whether the log of it is what was written.

use super::output::{Column, How, column, number, parse, text};
use super::{CliError, Ctx, Exit, Outcome};
use crate::audit::verify;
use crate::seal::Keys;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Who did what, and whether the log of it is what was written
#[derive(Args)]
#[command(after_help = "Examples:\n  iocast audit list\n  iocast audit verify\n  iocast audit verify backup.db")]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Subcommand)]
enum AuditCommand {
    /// The latest entries
    #[command(after_help = "Examples:\n  iocast audit list\n  iocast audit list --limit 1000 --format ndjson")]
    List {
        /// Most shown, the latest first
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=1000))]
        limit: u64,
        /// Only entries before this one
        #[arg(long, value_name = "SEQ")]
        before: Option<u64>,
    },
    /// Look whether every entry is what was written, and name the first that is not
    ///
    /// Entries are hashed one with the other, and every 1,000 or ten minutes a running server signs them with a key made
    /// of the one that seals secrets. Without FILE the exchange is looked at. With FILE nothing is opened but that file:
    /// a database, a backup, or what the log was handed on to (`serve --audit-file`). That the end was cut off, or that
    /// an old copy was put in place of the database, only shows against a file it was handed on to.
    #[command(after_help = "\
Examples:
  iocast audit verify
  iocast audit verify iocast-2026-01-31.db
  iocast --key-file /etc/iocast/key audit verify /var/lib/iocast/iocast.db --against /var/log/iocast/audit.log

Exit code 0 if it is, 1 if it is not.")]
    Verify {
        /// A database, a backup, or a file the log was handed on to
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// Compare that database with this file the log was handed on to
        #[arg(long, value_name = "FILE", requires = "file")]
        against: Option<PathBuf>,
    },
}

const COLUMNS: &[Column] = &[
    number("seq", "entry"),
    column("at", "at", How::Time),
    text("who", "who"),
    text("address", "from"),
    text("action", "did"),
    text("object", "to"),
];

pub(crate) fn audit(args: &AuditArgs, ctx: &Ctx) -> Outcome {
    match &args.command {
        AuditCommand::List { limit, before } => {
            let limit = limit.to_string();
            let before = before.map(|before| before.to_string());
            let mut query = vec![("limit", limit.as_str())];
            query.extend(before.as_deref().map(|before| ("before", before)));
            ctx.out.rows(&ctx.client()?.get("/api/v1/audit", &query)?, COLUMNS)?;
            Ok(Exit::Done)
        }
        AuditCommand::Verify { file, against } => {
            let answer: Value = match file {
                None => parse(&ctx.client()?.get("/api/v1/audit/verify", &[])?)?,
                Some(file) => {
                    let data = file.parent().map(std::path::Path::to_owned).unwrap_or_default();
                    let keys = Keys::at(ctx.outside().key_place(), data);
                    let checked = match against {
                        Some(against) => verify::against(file, against, Some(&keys)),
                        None => verify::file(file, Some(&keys)),
                    };
                    json!(checked.map_err(CliError::Failed)?)
                }
            };
            show(&answer, ctx)
        }
    }
}

fn show(answer: &Value, ctx: &Ctx) -> Outcome {
    let is_good = answer["ok"].as_bool() == Some(true);
    let exit = if is_good { Exit::Done } else { Exit::Failed };
    if !ctx.out.is_table() {
        ctx.out.document(&answer.to_string())?;
        return Ok(exit);
    }
    let (records, checkpoints) = (&answer["records"], &answer["checkpoints"]);
    match (answer["first_bad"].as_u64(), answer["why"].as_str()) {
        (Some(seq), Some(why)) => ctx.out.line(&format!("entry {seq} is not what was written: {why}"))?,
        _ if is_good => ctx.out.line(&format!(
            "{records} entries are what was written; {checkpoints} signatures hold, up to entry {}",
            answer["signed_to"]
        ))?,
        _ => ctx.out.line("the log is not what was written")?,
    }
    for note in answer["notes"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        ctx.out.note(note);
    }
    for sink in answer["sinks"].as_array().into_iter().flatten() {
        let name = sink["name"].as_str().unwrap_or_default();
        match sink["error"].as_str() {
            Some(error) => ctx.out.note(&format!("{name}: has entry {}, and not more: {error}", sink["seq"])),
            None => ctx.out.line(&format!("{name}: has entry {}", sink["seq"]))?,
        }
    }
    Ok(exit)
}
