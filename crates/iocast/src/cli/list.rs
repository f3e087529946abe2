//! `list`: the lists we serve.

use super::client::{AskError, part};
use super::output::{Column, How, column, hidden, number, text};
use super::{Ctx, Exit, Outcome};
use clap::{Args, Subcommand};

/// The lists that devices fetch from /lists/NAME
#[derive(Args)]
#[command(after_help = "Examples:\n  iocast list ls\n  iocast list show block-ip > block-ip.txt")]
pub(crate) struct ListArgs {
    #[command(subcommand)]
    command: ListCommand,
}

#[derive(Subcommand)]
enum ListCommand {
    /// What is served: entries, size, when it was published
    #[command(after_help = "Examples:\n  iocast list ls\n  iocast list ls --format json")]
    Ls,
    /// Write a list as it is served, byte for byte
    #[command(after_help = "Examples:\n  iocast list show block-ip\n  iocast list show block-ip | wc -l")]
    Show {
        /// The target's name
        name: String,
    },
}

const COLUMNS: &[Column] = &[
    text("name", "list"),
    text("format", "format"),
    text("access", "access"),
    number("entries", "entries"),
    number("bytes", "bytes"),
    column("at", "published", How::Time),
    hidden("path"),
    hidden("sha256"),
];

pub(crate) fn list(args: &ListArgs, ctx: &Ctx) -> Outcome {
    let client = ctx.client()?;
    match &args.command {
        ListCommand::Ls => {
            if ctx.out.rows(&client.get("/api/v1/lists", &[])?, COLUMNS)? == 0 {
                ctx.out.note("no list is served: a target on a connection with connector \"list\" makes one");
            }
        }
        ListCommand::Show { name } => {
            let body = client.stream(&format!("/lists/{}", part(name)), &[], "*/*", &mut |piece| ctx.out.bytes(piece));
            body.map_err(|error| match error {
                AskError::Problem(mut problem) => {
                    match problem.status {
                        404 => problem.detail.push_str("; `iocast list ls` shows those there are"),
                        503 => problem.detail.push_str(&format!("; `iocast share {name}` publishes it")),
                        _ => {}
                    }
                    AskError::Problem(problem)
                }
                other => other,
            })?;
        }
    }
    Ok(Exit::Done)
}
