//! `user`: people with accounts.

use super::client::part;
use super::output::{Column, How, column, hidden, parse, text};
use super::run::done;
use super::{CliError, Ctx, Exit, Outcome};
use crate::people::roles::Role;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// People who sign in, and their roles
///
/// On a data directory that no server has open, or with --url and the token of an administrator. The first account is made
/// in the browser, with the code that the first start prints, or with `user add` here.
#[derive(Args)]
#[command(after_help = "\
Examples:
  iocast user add ada --role administrator
  iocast user add grace --role analyst --role approver
  iocast user list
  iocast user role grace analyst
  iocast user disable grace

Roles: viewer reads; analyst works on indicators; operator configures and runs; approver decides on held plans; auditor reads
the audit log; administrator keeps accounts and settings, and may never approve. docs/reference/roles.md has the table.")]
pub(crate) struct UserArgs {
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Subcommand)]
enum UserCommand {
    /// Everybody who has an account
    #[command(after_help = "Examples:\n  iocast user list\n  iocast user list --format json")]
    List,
    /// Make an account; its first password is shown this once
    ///
    /// The password is good for three days and only for setting one of their own. A name is given once for ever.
    #[command(
        after_help = "Examples:\n  iocast user add ada --role administrator\n  iocast user add grace --role analyst --role approver"
    )]
    Add {
        /// What they sign in as
        name: String,
        /// What they are; may be repeated
        #[arg(long, value_name = "ROLE", required = true, value_parser = role)]
        role: Vec<String>,
    },
    /// Give somebody these roles instead of those they have
    #[command(after_help = "Examples:\n  iocast user role grace analyst\n  iocast user role grace analyst approver")]
    Role {
        /// Who
        name: String,
        /// All their roles
        #[arg(value_name = "ROLE", required = true, value_parser = role)]
        roles: Vec<String>,
    },
    /// Let somebody no longer sign in; their sessions end and their tokens are no longer good
    #[command(after_help = "Examples:\n  iocast user disable grace\n  iocast user disable grace --format json")]
    Disable {
        /// Who
        name: String,
    },
    /// Let somebody sign in again
    #[command(after_help = "Examples:\n  iocast user enable grace\n  iocast user enable grace --format json")]
    Enable {
        /// Who
        name: String,
    },
    /// Set a first password again, for who has lost theirs
    #[command(after_help = "Examples:\n  iocast user reset grace\n  iocast user reset grace --second-factor")]
    Reset {
        /// Who
        name: String,
        /// Take their second factor away as well: they have lost that, too
        #[arg(long)]
        second_factor: bool,
    },
    /// End an account for good; its name stays taken
    #[command(after_help = "Examples:\n  iocast user list\n  iocast user delete grace")]
    Delete {
        /// Who
        name: String,
    },
}

fn role(text: &str) -> Result<String, String> {
    let known = || Role::ALL.map(Role::as_str).join(", ");
    Role::parse(text).map(|role| role.as_str().to_owned()).ok_or_else(|| format!("one of {}", known()))
}

const COLUMNS: &[Column] = &[
    text("name", "user"),
    text("roles", "roles"),
    text("second_factor", "second factor"),
    column("created", "made", How::Time),
    column("signed_in", "signed in", How::Time),
    column("disabled", "disabled", How::Time),
    hidden("issuer"),
];

pub(crate) fn user(args: &UserArgs, ctx: &Ctx) -> Outcome {
    let client = ctx.client_or_new()?;
    let at = |name: &str| format!("/api/v1/users/{}", part(name));
    match &args.command {
        UserCommand::List => {
            if ctx.out.rows(&client.get("/api/v1/users", &[])?, COLUMNS)? == 0 {
                ctx.out.note(
                    "nobody has an account yet: `iocast user add NAME --role administrator` makes the first one, and so does \
                     the code that `iocast serve` prints",
                );
            }
        }
        UserCommand::Add { name, role } => {
            handed(&client.post("/api/v1/users", &[], &json!({ "name": name, "roles": role }))?, ctx)?;
        }
        UserCommand::Role { name, roles } => {
            let answer = client.put(&at(name), &json!({ "roles": roles }))?;
            done(&answer, &format!("{name} is {}", roles.join(", ")), ctx)?;
        }
        UserCommand::Disable { name } => {
            let answer = client.put(&at(name), &json!({ "disabled": true }))?;
            done(&answer, &format!("{name} may no longer sign in"), ctx)?;
        }
        UserCommand::Enable { name } => {
            let answer = client.put(&at(name), &json!({ "disabled": false }))?;
            done(&answer, &format!("{name} may sign in"), ctx)?;
        }
        UserCommand::Reset { name, second_factor } => {
            let asked = json!({ "second_factor": second_factor });
            handed(&client.post(&format!("{}/reset", at(name)), &[], &asked)?, ctx)?;
        }
        UserCommand::Delete { name } => {
            let answer = client.delete(&at(name))?;
            done(&answer, &format!("{name} is no longer a user"), ctx)?;
        }
    }
    Ok(Exit::Done)
}

/// Shows a password for the first time.
fn handed(answer: &str, ctx: &Ctx) -> Result<(), CliError> {
    if !ctx.out.is_table() {
        return ctx.out.document(answer);
    }
    let made: Value = parse(answer)?;
    ctx.out.line(made["password"].as_str().unwrap_or_default())?;
    ctx.out.note("this is shown once; it is good for three days, and only for setting a password of their own");
    Ok(())
}
