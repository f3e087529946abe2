//! `guard`: what is never sent, and why.

use super::client::{AskError, part};
use super::output::{Column, How, column, hidden, number, parse, printable, text};
use super::{CliError, Ctx, Exit, Outcome};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// What is never sent: lists, and what they say of a value
#[derive(Args)]
#[command(after_help = "\
Examples:
  iocast guard list
  iocast guard show shipped:resolvers
  iocast guard check 8.8.8.8 google.com https://docs.google.com/x
  iocast guard check google.com --target edge

A list has a class. lifeline stops what equals or contains a value of it or lies inside it; popular stops what equals or
contains one and flags what lies inside; warn only flags.")]
pub(crate) struct GuardArgs {
    #[command(subcommand)]
    command: GuardCommand,
}

#[derive(Subcommand)]
enum GuardCommand {
    Check(CheckArgs),
    List(ListArgs),
    Show(ShowArgs),
}

/// Show what each guard list says of values, in any spelling
#[derive(Args)]
#[command(after_help = "\
Examples:
  iocast guard check 8.8.8.0/24
  iocast guard check hxxp://www[.]google[.]com/ x.pages.dev
  iocast guard check google.com --target edge        with the exceptions of that target
  iocast guard check - < values.txt                  one value a line

A value that cannot be read is named, the others are answered all the same, and the exit code is 3.")]
struct CheckArgs {
    /// Values; `-` reads them from standard input, one a line
    #[arg(value_name = "VALUE", required = true)]
    values: Vec<String>,
    /// With the exceptions of this target
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// Only what is stopped
    #[arg(long)]
    stopped: bool,
}

/// Show every guard list: class, origin, age, size
#[derive(Args)]
#[command(after_help = "\
Examples:
  iocast guard list
  iocast guard list --format json

A shipped list is given another class, or switched off, by its name:
  [[guard]]
  name = \"shipped:clouds\"
  class = \"warn\"            # or: enabled = false")]
struct ListArgs {}

/// Show what is on one guard list
#[derive(Args)]
#[command(after_help = "Examples:\n  iocast guard show shipped:updates\n  iocast guard show \"hosts of connections\"")]
struct ShowArgs {
    /// The list's name, as `iocast guard list` shows it
    #[arg(value_name = "NAME")]
    name: String,
}

const LISTS: &[Column] = &[
    text("name", "list"),
    text("class", "class"),
    text("origin", "origin"),
    text("date", "date"),
    number("values", "values"),
    number("rejected", "rejected"),
    text("about", "what"),
];

const FINDINGS: &[Column] = &[
    column("value", "value", How::Indicator),
    text("says", "says"),
    text("class", "class"),
    text("list", "list"),
    text("relation", "it is"),
    text("guarded", "of"),
    text("note", "note"),
    hidden("kind"),
];

pub(crate) fn guard(args: &GuardArgs, ctx: &Ctx) -> Outcome {
    match &args.command {
        GuardCommand::Check(args) => check(args, ctx),
        GuardCommand::List(ListArgs {}) => list(ctx),
        GuardCommand::Show(args) => show(args, ctx),
    }
}

fn values(args: &CheckArgs) -> Result<Vec<String>, CliError> {
    if args.values != ["-"] {
        return Ok(args.values.clone());
    }
    let text = std::io::read_to_string(std::io::stdin())
        .map_err(|error| CliError::Usage(format!("standard input cannot be read: {error}")))?;
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

fn check(args: &CheckArgs, ctx: &Ctx) -> Outcome {
    let client = ctx.client()?;
    let mut rows = Vec::new();
    let mut unread = Vec::new();
    let values = values(args)?;
    for value in &values {
        let mut query = vec![("value", value.as_str())];
        query.extend(args.target.as_deref().map(|target| ("target", target)));
        let answer: Value = match client.get("/api/v1/guard/check", &query) {
            Ok(answer) => parse(&answer)?,
            Err(AskError::Problem(problem)) if problem.status == 400 && (values.len() > 1 || args.values == ["-"]) => {
                unread.push(printable(&problem.detail).into_owned());
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        rows.extend(told(&answer, args.stopped));
    }
    ctx.out.rows(&json!(rows).to_string(), FINDINGS)?;
    for line in unread.iter().take(10) {
        ctx.out.note(&format!("not read: {line}"));
    }
    if unread.len() > 10 {
        ctx.out.note(&format!("{} more were not read", unread.len() - 10));
    }
    Ok(if unread.is_empty() { Exit::Done } else { Exit::Partial })
}

/// One row for each list that knows the value; one that says so where none does.
fn told(answer: &Value, only_stopped: bool) -> Vec<Value> {
    let mut rows = Vec::new();
    let excepted = answer["excepted"].as_bool() == Some(true);
    for finding in answer["findings"].as_array().into_iter().flatten() {
        let stop = finding["stop"].as_bool() == Some(true);
        let says = match (stop, excepted) {
            (true, true) => "let through",
            (true, false) => "stop",
            _ => "flag",
        };
        if only_stopped && says != "stop" {
            continue;
        }
        let note = answer["exception"].as_str().filter(|_| stop).map(|text| format!("exception: {text}"));
        rows.push(json!({
            "kind": answer["kind"], "value": answer["value"], "says": says, "class": finding["class"],
            "list": finding["list"], "relation": finding["relation"], "guarded": finding["guarded"], "note": note,
        }));
    }
    if rows.is_empty() && !only_stopped {
        rows.push(json!({ "kind": answer["kind"], "value": answer["value"], "says": "nothing" }));
    }
    rows
}

fn list(ctx: &Ctx) -> Outcome {
    let answer = ctx.client()?.get("/api/v1/guard/in-force", &[])?;
    ctx.out.rows(&answer, LISTS)?;
    let lists: Vec<Value> = parse(&answer)?;
    for list in lists.iter().filter(|list| ctx.out.is_table() && list["examples"].is_array()) {
        let examples: Vec<&str> = list["examples"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let name = list["name"].as_str().unwrap_or_default();
        ctx.out.note(&format!("{}: {}", printable(name), printable(&examples.join("; "))));
    }
    Ok(Exit::Done)
}

fn show(args: &ShowArgs, ctx: &Ctx) -> Outcome {
    let answer = ctx.client()?.get(&format!("/api/v1/guard/in-force/{}", part(&args.name)), &[])?;
    if !ctx.out.is_table() {
        ctx.out.document(&answer)?;
        return Ok(Exit::Done);
    }
    let shown: Value = parse(&answer)?;
    for value in shown["values"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        ctx.out.line(&printable(value))?;
    }
    if shown["more"].as_bool() == Some(true) {
        ctx.out.note("there are more");
    }
    Ok(Exit::Done)
}
