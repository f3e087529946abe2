//! `backup` and `restore`.

use super::output::parse;
use super::run::done;
use super::{CliError, Ctx, Exit, Outcome};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

/// Write a checked copy of everything to a new file, while work goes on
#[derive(Args)]
#[command(after_help = "\
Examples:
  iocast backup iocast-2026-01-31.db
  iocast --url http://127.0.0.1:8470 backup iocast.db     into the backups of the server's data

Bodies of served lists are not in it: the next pass makes them again.")]
pub(crate) struct BackupArgs {
    /// A file that is not there yet
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Put a backup in a data directory that no process has open
///
/// A restored ledger is older than reality: it does not know what was sent since. So each target stands still until
/// somebody has looked (`iocast target adopt NAME --preview`) and said `iocast target adopt NAME`. After the last one
/// everything goes on. `iocast thaw` does not end this.
#[derive(Args)]
#[command(after_help = "\
Examples:
  iocast --data ./restored restore iocast-2026-01-31.db
  iocast restore iocast-2026-01-31.db --force     keep the old database beside it, and replace it")]
pub(crate) struct RestoreArgs {
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Replace the database that is there; it is kept as iocast.db.before-restore
    #[arg(long)]
    force: bool,
}

pub(crate) fn backup(args: &BackupArgs, ctx: &Ctx) -> Outcome {
    let client = ctx.client()?;
    // The server's directory is not ours: a path for it goes as it is.
    let path = match client.app() {
        Some(_) => std::path::absolute(&args.file).map_err(CliError::failed)?,
        None => args.file.clone(),
    };
    let answer = client.post("/api/v1/backup", &[], &json!({ "path": path }))?;
    let made: serde_json::Value = parse(&answer)?;
    let path = made["path"].as_str().unwrap_or_default();
    done(&answer, &format!("everything is in {path}, {} bytes", made["bytes"]), ctx)?;
    Ok(Exit::Done)
}

pub(crate) fn restore(args: &RestoreArgs, ctx: &Ctx) -> Outcome {
    let dir = ctx.data_dir("restore")?;
    // The one thing that is done to a directory and not to an exchange: there is no router before it.
    store::restore(&args.file, dir, args.force).map_err(|error| match args.force {
        false if matches!(error, store::StoreError::Conflict(_)) => CliError::Failed(format!("{error} (--force)")),
        _ => CliError::failed(error),
    })?;
    ctx.out.line(&format!("{} is restored to {}", args.file.display(), dir.display()))?;
    ctx.out.note(
        "its ledger is older than reality, so every target stands still until somebody says what is there:\n  \
         iocast status                          the targets that wait\n  \
         iocast target adopt NAME --preview     what each holds, beside what the ledger says\n  \
         iocast target adopt NAME               take that over; after the last one everything goes on\n  \
         iocast share --all --dry-run           what a pass would do then",
    );
    Ok(Exit::Done)
}
