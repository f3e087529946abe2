//! `plan`: what the brakes hold back until a person decides.

use super::output::{Column, How, column, hidden, number, parse, text};
use super::run::done;
use super::share::print_steps;
use super::{CliError, Ctx, Exit, Outcome};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// Plans that wait for a person: first fills, large changes
///
/// An approval allows exactly the steps shown, for 24 hours. At the next pass each is decided again: what is no longer
/// right is dropped, and nothing is added.
#[derive(Args)]
#[command(after_help = "\
Examples:
  iocast plan list --status waiting
  iocast plan show 3
  iocast plan approve 3 --note \"checked with the firewall team\"")]
pub(crate) struct PlanArgs {
    #[command(subcommand)]
    command: PlanCommand,
}

#[derive(Subcommand)]
enum PlanCommand {
    /// Plans, the latest first
    #[command(after_help = "Examples:\n  iocast plan list\n  iocast plan list --status waiting --format json")]
    List {
        /// Only these: waiting, approved, rejected, expired, done
        #[arg(long)]
        status: Option<String>,
    },
    /// One plan with its steps
    #[command(after_help = "Examples:\n  iocast plan show 3\n  iocast plan show 3 --format json")]
    Show {
        /// Its number
        id: u64,
    },
    /// Allow exactly these steps; the next pass takes them
    #[command(
        after_help = "Examples:\n  iocast plan approve 3\n  iocast plan approve 3 --note \"first fill, counted\""
    )]
    Approve {
        /// Its number
        id: u64,
        /// Why, for the audit log
        #[arg(long)]
        note: Option<String>,
        /// Only these steps: push, update or retract, a value, an expression
        #[arg(long, value_name = "WHICH")]
        only: Vec<String>,
        /// All but these steps
        #[arg(long, value_name = "WHICH")]
        except: Vec<String>,
        /// The hash that `plan show` gave: another plan is not approved
        #[arg(long)]
        hash: Option<String>,
    },
    /// Say no; nothing is sent
    #[command(
        after_help = "Examples:\n  iocast plan reject 3 --note \"the feed is broken\"\n  iocast plan list --status rejected"
    )]
    Reject {
        /// Its number
        id: u64,
        /// Why, for the audit log
        #[arg(long)]
        note: Option<String>,
    },
}

const COLUMNS: &[Column] = &[
    column("id", "plan", How::Number),
    text("target", "target"),
    text("status", "status"),
    column("created", "made", How::Time),
    number("push", "push"),
    number("update", "update"),
    number("retract", "retract"),
    text("who", "decided by"),
    text("note", "note"),
    hidden("hash"),
];

pub(crate) fn plan(args: &PlanArgs, ctx: &Ctx) -> Outcome {
    let client = ctx.client()?;
    let decide = |id: u64, verb: &str, note: &Option<String>| {
        client.post(&format!("/api/v1/plans/{id}/{verb}"), &[], &json!({ "note": note }))
    };
    match &args.command {
        PlanCommand::List { status } => {
            let query: Vec<(&str, &str)> = status.iter().map(|status| ("status", status.as_str())).collect();
            if ctx.out.rows(&client.get("/api/v1/plans", &query)?, COLUMNS)? == 0 {
                ctx.out.note("no such plan: nothing waits");
            }
        }
        PlanCommand::Show { id } => show(&client.get(&format!("/api/v1/plans/{id}"), &[])?, ctx)?,
        PlanCommand::Approve { id, note, only, except, hash } => {
            let said = json!({ "note": note, "only": only, "except": except, "hash": hash });
            let answer = client.post(&format!("/api/v1/plans/{id}/approve"), &[], &said)?;
            let plan: Value = parse(&answer)?;
            let target = plan["target"].as_str().unwrap_or("NAME");
            let n_steps: u64 = ["push", "update", "retract"].iter().filter_map(|verb| plan[*verb].as_u64()).sum();
            let part = match (only.is_empty() && except.is_empty(), n_steps) {
                (true, _) => String::new(),
                (_, 1) => ": 1 step of it, nothing else".to_owned(),
                (_, n) => format!(": {n} steps of it, nothing else"),
            };
            let words =
                format!("plan {id} is approved for 24 hours{part}; `iocast share {target}` takes its steps now");
            done(&answer, &words, ctx)?;
        }
        PlanCommand::Reject { id, note } => {
            let answer = decide(*id, "reject", note)?;
            done(&answer, &format!("plan {id} is rejected; nothing is sent"), ctx)?;
        }
    }
    Ok(Exit::Done)
}

/// A plan that this command made.
pub(crate) fn asked(answer: &str, ctx: &Ctx) -> Result<(), CliError> {
    show(answer, ctx)?;
    if ctx.out.is_table() {
        let plan: Value = parse(answer)?;
        let (id, target) = (&plan["id"], plan["target"].as_str().unwrap_or("NAME"));
        ctx.out.line(&match plan["status"].as_str() {
            Some("approved") => format!("approved: `iocast share {target}` takes its steps now"),
            _ if plan["steps"].as_array().is_some_and(Vec::is_empty) => {
                format!("{target} would not change; `iocast plan approve {id}` pins what is there, so that it stays so")
            }
            _ => format!("nothing is sent yet: `iocast plan approve {id}` allows it"),
        })?;
    }
    Ok(())
}

fn show(answer: &str, ctx: &Ctx) -> Result<(), CliError> {
    if !ctx.out.is_table() {
        return ctx.out.document(answer);
    }
    let plan: Value = parse(answer)?;
    let words = |key: &str| plan[key].as_str().unwrap_or_default();
    ctx.out.line(&format!(
        "plan {} for {}: {}, made {}\n  push {}, update {}, retract {}; hash {}",
        plan["id"],
        words("target"),
        words("status"),
        words("created"),
        plan["push"],
        plan["update"],
        plan["retract"],
        words("hash"),
    ))?;
    if !words("who").is_empty() {
        ctx.out.line(&format!("  decided by {} {}", words("who"), words("note")))?;
    }
    ctx.out.line("")?;
    print_steps(plan["steps"].as_array().map(Vec::as_slice).unwrap_or_default(), ctx)
}
