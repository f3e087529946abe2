//! `config`: about configuration files.

use super::{Ctx, Exit, Outcome};
use crate::schema;
use clap::{Args, Subcommand};

/// About configuration files: their schema, for editors
#[derive(Args)]
#[command(
    after_help = "Examples:\n  iocast config schema > config.schema.json\n  iocast --quiet config schema > /etc/iocast/config.schema.json"
)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Print the JSON Schema of configuration files
    ///
    /// Editors complete and check with it. A file names it in its first line: #:schema ./config.schema.json
    #[command(
        after_help = "Examples:\n  iocast config schema > config.schema.json\n  iocast --quiet config schema > /etc/iocast/config.schema.json"
    )]
    Schema,
}

pub(crate) fn config(args: &ConfigArgs, ctx: &Ctx) -> Outcome {
    let ConfigCommand::Schema = args.command;
    ctx.out.text(&schema::text())?;
    Ok(Exit::Done)
}
