//! `secret`: the key that seals secrets.

use super::output::{Column, How, column, parse, text};
use super::{Ctx, Exit, Outcome};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// Secrets that are set, and the key that seals them
#[derive(Args)]
#[command(
    after_help = "Examples:\n  iocast secret rotate\n  iocast --key-file /etc/iocast/key secret rotate --forget-old"
)]
pub(crate) struct SecretArgs {
    #[command(subcommand)]
    command: SecretCommand,
}

#[derive(Subcommand)]
enum SecretCommand {
    /// Make a new key and seal every secret with it
    ///
    /// All secrets are sealed again, or none. The old keys stay in the key file, behind the new one, because backups made
    /// before need them. A running server goes on meanwhile. Where the key is in IOCAST_KEY or printed by a command, it is
    /// changed there first: the new one in front, the old one behind it.
    #[command(
        after_help = "Examples:\n  iocast secret rotate\n  iocast secret rotate --forget-old\n  iocast --url http://127.0.0.1:8470 secret rotate"
    )]
    Rotate {
        /// Forget the old keys when it is done: backups made before and other exchanges that use this key file need them
        #[arg(long)]
        forget_old: bool,
        /// Of a server, also write its database anew, so that nothing sealed with an old key is left in it; nothing else
        /// is written meanwhile. A data directory is always written anew
        #[arg(long)]
        wipe: bool,
    },
    /// Where secrets are set and since when; never what they are
    #[command(after_help = "Examples:\n  iocast secret list\n  iocast secret list --format json")]
    List,
}

const COLUMNS: &[Column] = &[
    text("section", "in"),
    text("name", "name"),
    text("key", "setting"),
    text("state", "state"),
    column("changed_at", "given", How::Time),
];

pub(crate) fn secret(args: &SecretArgs, ctx: &Ctx) -> Outcome {
    let client = ctx.client()?;
    let (forget_old, wipe) = match args.command {
        SecretCommand::Rotate { forget_old, wipe } => (forget_old, wipe || client.app().is_some()),
        SecretCommand::List => {
            ctx.out.rows(&client.get("/api/v1/secrets", &[])?, COLUMNS)?;
            return Ok(Exit::Done);
        }
    };
    let asked = json!({ "forget_old": forget_old, "wipe": wipe });
    let answer: Value = parse(&client.post("/api/v1/secrets/rotate", &[], &asked)?)?;
    let (key, n_sealed) = (answer["key"].as_str().unwrap_or_default(), &answer["sealed"]);
    match ctx.out.is_table() {
        true => ctx.out.line(&format!(
            "{n_sealed} secrets are sealed with the new key {key}; keep a copy of the key file, not with the backups"
        ))?,
        false => ctx.out.document(&json!({ "key": key, "sealed": n_sealed }).to_string())?,
    }
    Ok(Exit::Done)
}
