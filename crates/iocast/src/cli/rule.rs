//! `rule`: what would a rule select?

use super::expressions::CHEAT_SHEET;
use super::indicator::HITS;
use super::output::{Column, number, parse, printable, text, thousands};
use super::{CliError, Ctx, Exit, Outcome};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// Business rules: try them before they are used
#[derive(Args)]
#[command(
    after_help = "Examples:\n  iocast rule test addresses\n  iocast rule test --when 'kind = url and reputation >= 8'"
)]
pub(crate) struct RuleArgs {
    #[command(subcommand)]
    command: RuleCommand,
}

#[derive(Subcommand)]
enum RuleCommand {
    Test(TestArgs),
}

const EXAMPLES: &str = "\
Examples:
  iocast rule test addresses
  iocast rule test --when 'kind = url and reputation >= 8' --except 'tag = \"benign\"'
  iocast rule test addresses --value 192.0.2.1          why is it selected, why not?

`iocast help expressions` teaches the language.";

/// Show what a rule selects: counts, bytes, samples; nothing is sent
#[derive(Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{CHEAT_SHEET}"))]
struct TestArgs {
    /// A rule that is configured
    #[arg(value_name = "NAME", required_unless_present = "when", conflicts_with = "when")]
    name: Option<String>,
    /// An expression to try instead
    #[arg(long, value_name = "EXPR")]
    when: Option<String>,
    /// An exception to try with it; may be repeated
    #[arg(long, value_name = "EXPR")]
    except: Vec<String>,
    /// One value: is it selected, and by what?
    #[arg(long, value_name = "VALUE")]
    value: Option<String>,
    /// Only what was seen lately, e.g. 14d
    #[arg(long, value_name = "TIME")]
    window: Option<String>,
}

const KINDS: &[Column] = &[text("kind", "kind"), number("count", "values"), number("bytes", "bytes")];

pub(crate) fn rule(args: &RuleArgs, ctx: &Ctx) -> Outcome {
    let RuleCommand::Test(args) = &args.command;
    let mut asked = json!({});
    let mut set = |key: &str, value: Value| {
        if !value.is_null() {
            asked[key] = value;
        }
    };
    set("rule", json!(args.name));
    set("when", json!(args.when));
    set("value", json!(args.value));
    set("window", json!(args.window));
    let exceptions = args.except.iter().enumerate();
    let exceptions: Vec<Value> =
        exceptions.map(|(at, when)| json!({ "name": format!("except-{}", at + 1), "when": when })).collect();
    if !exceptions.is_empty() {
        set("exceptions", json!(exceptions));
    }
    let answer = ctx.client()?.post("/api/v1/rules/test", &[], &asked)?;
    match ctx.out.is_table() {
        true => show(&parse(&answer)?, ctx)?,
        false => ctx.out.document(&answer)?,
    }
    Ok(Exit::Done)
}

fn show(tested: &Value, ctx: &Ctx) -> Result<(), CliError> {
    let n = |key: &str| thousands(tested[key].as_u64().unwrap_or(0));
    ctx.out.line(&format!("selects {}, exceptions remove {}", n("selected"), n("excepted")))?;
    let kinds: Vec<Value> = tested["by_kind"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(kind, sums)| json!({ "kind": kind, "count": sums["count"], "bytes": sums["bytes"] }))
        .collect();
    if !kinds.is_empty() {
        ctx.out.line("")?;
        ctx.out.rows(&json!(kinds).to_string(), KINDS)?;
    }
    for warning in tested["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        ctx.out.note(&format!("warning: {warning}"));
    }
    let samples = tested["samples"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !samples.is_empty() {
        ctx.out.line("\nSamples")?;
        ctx.out.rows(&json!(samples).to_string(), HITS)?;
    }
    let value = &tested["value"];
    if value.is_object() {
        let said = match (value["selected"].as_bool(), value["exception"].as_str()) {
            (Some(true), None) => "the rule selects it".to_owned(),
            (_, Some(exception)) => format!("an exception removes it: {exception}"),
            _ if value["known"].as_bool() == Some(false) => "nobody has said anything about it".to_owned(),
            _ if value["active"].as_bool() == Some(false) => {
                "it is not active, and rules select only what is".to_owned()
            }
            _ => "the rule does not select it".to_owned(),
        };
        ctx.out.line(&format!("\nThe value: {}", printable(&said)))?;
        for clause in value["clauses"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            ctx.out.line(&format!("  {}", printable(clause)))?;
        }
    }
    Ok(())
}
