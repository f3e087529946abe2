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
  iocast token create partner --scope ingest --connection partner-feed
  iocast token create edge --scope list --network 10.1.0.0/16 --network 192.0.2.7
  iocast token create scripts --scope read --owner grace

A person's own tokens are made with a session; --owner is for who runs this on the data directory, or with a token that is
nobody's.")]
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
        /// Network from which alone it is good, or one address; may be repeated
        #[arg(long, value_name = "NETWORK", value_delimiter = ',')]
        network: Vec<String>,
        /// The user whose it is: it may never do more than they may
        #[arg(long, value_name = "NAME")]
        owner: Option<String>,
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
    text("owner", "owner"),
    text("networks", "only from"),
];

pub(crate) fn token(args: &TokenArgs, ctx: &Ctx) -> Outcome {
    let client = ctx.client_or_new()?;
    match &args.command {
        TokenCommand::Create { name, scope, connection, expires, network, owner } => {
            let scope = scope.to_possible_value().map(|value| value.get_name().to_owned());
            let asked = json!({
                "name": name, "scope": scope, "connection": connection, "expires_at": expires, "networks": network,
                "owner": owner,
            });
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
