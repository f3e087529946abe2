//! `notify` and `notice`: the channels through which people are told, and what they are told.

use super::client::part;
use super::output::{Column, How, column, hidden, number, parse, text};
use super::run::done;
use super::{CliError, Ctx, Exit, Outcome};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// Channels through which people are told: webhook, mail, syslog
#[derive(Args)]
#[command(after_help = "\
Examples:
  iocast notify list
  iocast notify test soc-mail

Channels are configured as [[notify]], like everything else: `iocast apply`. What is told: `iocast notice list`.")]
pub(crate) struct NotifyArgs {
    #[command(subcommand)]
    command: NotifyCommand,
}

#[derive(Subcommand)]
enum NotifyCommand {
    /// The channels, and whether they take what they are told
    #[command(after_help = "Examples:\n  iocast notify list\n  iocast notify list --format json")]
    List,
    /// Tell a test through a channel, now
    #[command(
        after_help = "Examples:\n  iocast notify test soc-mail\n  iocast notify test chat --format json\n\nExit code 0; 1 if the channel did not take it."
    )]
    Test {
        /// The channel's name
        #[arg(value_name = "NAME")]
        name: String,
    },
}

/// What needs a person
#[derive(Args)]
#[command(after_help = "\
Examples:
  iocast notice list
  iocast notice list --days 7
  iocast notice list --format json")]
pub(crate) struct NoticeArgs {
    #[command(subcommand)]
    command: NoticeCommand,
}

#[derive(Subcommand)]
enum NoticeCommand {
    /// What stands and needs a person, the gravest first
    #[command(after_help = "\
Examples:
  iocast notice list
  iocast notice list --days 7              also what is over since then

A notice is over by itself when its cause is. Each is told once through every channel that wants it.")]
    List {
        /// Also those that were over in the last so many days
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=365))]
        days: Option<u32>,
    },
}

const CHANNELS: &[Column] = &[
    text("name", "channel"),
    text("channel", "by"),
    column("enabled", "enabled", How::YesNo),
    number("waiting", "waiting"),
    column("last_told", "last told", How::Time),
    number("failures", "failures"),
    column("next_try", "not before", How::Time),
    text("error", "what it says"),
];

const NOTICES: &[Column] = &[
    text("severity", "severity"),
    text("subject", "about"),
    text("text", "what"),
    text("next_step", "what to do"),
    column("since", "since", How::Time),
    text("told_to", "told"),
    column("over", "over", How::Time),
    hidden("id"),
    hidden("kind"),
    hidden("link"),
    hidden("told"),
];

pub(crate) fn notify(args: &NotifyArgs, ctx: &Ctx) -> Outcome {
    match &args.command {
        NotifyCommand::List => {
            let status: Value = parse(&ctx.client()?.get("/api/v1/status", &[])?)?;
            if ctx.out.rows(&status["channels"].to_string(), CHANNELS)? == 0 {
                ctx.out.note("nobody is told: a [[notify]] in a configuration file makes a channel");
            }
            Ok(Exit::Done)
        }
        NotifyCommand::Test { name } => {
            let answer = ctx.client()?.post(&format!("/api/v1/notify/{}/test", part(name)), &[], &json!({}))?;
            let tested: Value = parse(&answer)?;
            if tested["ok"].as_bool() == Some(true) {
                done(&answer, &format!("{name} took it"), ctx)?;
                return Ok(Exit::Done);
            }
            if !ctx.out.is_table() {
                ctx.out.document(&answer)?;
                return Ok(Exit::Failed);
            }
            Err(CliError::Failed(tested["error"].as_str().unwrap_or("it was not taken").to_owned()))
        }
    }
}

pub(crate) fn notice(args: &NoticeArgs, ctx: &Ctx) -> Outcome {
    let NoticeCommand::List { days } = &args.command;
    let days = days.map(|days| days.to_string());
    let query: Vec<(&str, &str)> = days.as_deref().map(|days| ("days", days)).into_iter().collect();
    let answer = ctx.client()?.get("/api/v1/notices", &query)?;
    if !ctx.out.is_table() {
        ctx.out.rows(&answer, NOTICES)?;
        return Ok(Exit::Done);
    }
    let notices: Vec<Value> = parse(&answer)?;
    match show(&notices, ctx)? {
        0 => ctx.out.note("nothing needs a person"),
        _ => ctx.out.note("a notice is over by itself when its cause is"),
    }
    Ok(Exit::Done)
}

/// Each notice in two or three lines: what is the matter, what to do, who knows. Gives how many there are.
pub(crate) fn show(notices: &[Value], ctx: &Ctx) -> Result<usize, CliError> {
    for row in notices {
        let word = |key: &str| super::output::printable(row[key].as_str().unwrap_or_default());
        let over = row["over"].as_str().map_or_else(String::new, |at| format!(" (over {})", super::output::minute(at)));
        ctx.out.line(&format!("{}  {}{over}", word("severity"), word("text")))?;
        ctx.out.line(&format!("          {}", word("next_step")))?;
        let since = super::output::minute(row["since"].as_str().unwrap_or_default());
        ctx.out.line(&format!("          since {since}{}", told(row)))?;
    }
    Ok(notices.len())
}

/// Which channels were told, and which do not take it.
fn told(row: &Value) -> String {
    let mut out = String::new();
    for telling in row["told"].as_array().into_iter().flatten() {
        let channel = telling["channel"].as_str().unwrap_or_default();
        let words = match telling["at"].is_string() {
            true => format!("; told to {channel}"),
            false => format!("; {channel} did not take it: {}", telling["error"].as_str().unwrap_or_default()),
        };
        out.push_str(&super::output::printable(&words));
    }
    out
}
