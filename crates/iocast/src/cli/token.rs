//! `token`: who may come in over the network.

use super::output::{Column, How, column, number, parse, text};
use super::run::done;
use super::{Ctx, Exit, Outcome};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

/// Tokens for the API and for served lists
#[derive(Args)]
#[command(
    after_help = "Examples:\n  iocast token create firewall --scope list\n  iocast token list\n  iocast token revoke 3"
)]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scope {
    /// Push to one bucket, named by --connection, and nothing else
    Ingest,
    /// Fetch served lists
    List,
    /// Read everything but secrets
    Read,
    /// Everything
    Admin,
}

#[derive(Subcommand)]
enum TokenCommand {
    /// Make a token; it is shown this once
    #[command(after_help = "\
Examples:
  iocast token create firewall --scope list
  iocast token create dashboard --scope read --expires 2027-01-31
  iocast token create partner --scope ingest --connection partner-feed")]
    Create {
        /// Who it is for, as the audit log will say
        name: String,
        /// How far it goes
        #[arg(long, value_enum, default_value_t = Scope::List)]
        scope: Scope,
        /// The bucket a token with scope ingest is for
        #[arg(long, value_name = "NAME", required_if_eq("scope", "ingest"))]
        connection: Option<String>,
        /// When it ends: a date or RFC 3339; if left out after 90 days, for scope list never
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
    },
    /// The tokens there are, without their secrets
    #[command(after_help = "Examples:\n  iocast token list\n  iocast token list --format json")]
    List,
    /// End a token
    #[command(after_help = "Examples:\n  iocast token list\n  iocast token revoke 3")]
    Revoke {
        /// Its number
        id: u64,
    },
}

const COLUMNS: &[Column] = &[
    number("id", "token"),
    text("name", "name"),
    text("scope", "scope"),
    column("created", "made", How::Time),
    column("expires_at", "expires", How::Time),
    column("last_used", "last used", How::Time),
    column("revoked", "ended", How::Time),
];

pub(crate) fn token(args: &TokenArgs, ctx: &Ctx) -> Outcome {
    let client = ctx.client_or_new()?;
    match &args.command {
        TokenCommand::Create { name, scope, connection, expires } => {
            let scope = scope.to_possible_value().map(|value| value.get_name().to_owned());
            let asked = json!({ "name": name, "scope": scope, "connection": connection, "expires_at": expires });
            let answer = client.post("/api/v1/tokens", &[], &asked)?;
            if !ctx.out.is_table() {
                ctx.out.document(&answer)?;
            } else {
                let made: Value = parse(&answer)?;
                ctx.out.line(made["token"].as_str().unwrap_or_default())?;
                ctx.out.note("this is shown once: keep it now");
            }
        }
        TokenCommand::List => {
            ctx.out.rows(&client.get("/api/v1/tokens", &[])?, COLUMNS)?;
        }
        TokenCommand::Revoke { id } => {
            let answer = client.delete(&format!("/api/v1/tokens/{id}"))?;
            done(&answer, &format!("token {id} is ended"), ctx)?;
        }
    }
    Ok(Exit::Done)
}
