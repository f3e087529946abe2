//! `secret`: the key that seals secrets.

use super::{CliError, Ctx, Exit, Outcome};
use clap::{Args, Subcommand};
use serde_json::json;

/// The key that seals secrets in the data directory
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
    /// before need them. Works on a data directory that no server has open.
    #[command(after_help = "Examples:\n  iocast secret rotate\n  iocast secret rotate --forget-old")]
    Rotate {
        /// Forget the old keys when it is done: backups made before and other exchanges that use this key file need them
        #[arg(long)]
        forget_old: bool,
    },
}

pub(crate) fn secret(args: &SecretArgs, ctx: &Ctx) -> Outcome {
    let SecretCommand::Rotate { forget_old } = args.command;
    ctx.data_dir("secret rotate")?;
    let client = ctx.client()?;
    let app = client.app().ok_or_else(|| CliError::failed("this works on a data directory"))?;
    let (key, n_sealed) = app.rotate("command line", forget_old).map_err(CliError::failed)?;
    match ctx.out.is_table() {
        true => ctx.out.line(&format!(
            "{n_sealed} secrets are sealed with the new key {key}; keep a copy of the key file, not with the backups"
        ))?,
        false => ctx.out.document(&json!({ "key": key, "sealed": n_sealed }).to_string())?,
    }
    Ok(Exit::Done)
}
