//! `indicator`: search, count, explain, add, import, take back and judge.

pub(crate) mod import;
mod retract;
mod why;

use super::client::{Client, Lines, part};
use super::expressions::CHEAT_SHEET;
use super::output::{Column, How, column, hidden, number, parse, text};
use super::run::done;
use super::{CliError, Ctx, Exit, Outcome};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use std::io::BufRead as _;

/// Indicators: search, count, explain, add, import, take back, judge
#[derive(Args)]
#[command(after_help = "\
Examples:
  iocast indicator find 'under \"evil.example\"'
  iocast indicator why evil.example
  iocast indicator verdict good.example false_positive --days 90")]
pub(crate) struct IndicatorArgs {
    #[command(subcommand)]
    command: IndicatorCommand,
}

#[derive(Subcommand)]
enum IndicatorCommand {
    Find(FindArgs),
    Count(CountArgs),
    Why(WhyArgs),
    Records(RecordsArgs),
    History(HistoryArgs),
    Add(AddArgs),
    Import(import::ImportArgs),
    Retract(retract::RetractArgs),
    Verdict(VerdictArgs),
    Mute(MuteArgs),
    Tag(TagArgs),
}

const FIND_EXAMPLES: &str = "\
Examples:
  iocast indicator find 'kind = url and reputation >= 8' --sort -last_seen
  iocast indicator find 'source = \"urlhaus\" and last_seen > now - 1d' --limit 100
  iocast indicator find '' --all --format csv > everything.csv

`iocast help expressions` teaches the language.";

/// Search indicators; active ones only, unless --all
#[derive(Args)]
#[command(after_help = FIND_EXAMPLES, after_long_help = format!("{FIND_EXAMPLES}\n\n{CHEAT_SHEET}"))]
struct FindArgs {
    /// What to look for; empty: everything
    #[arg(value_name = "EXPR", default_value = "")]
    expr: String,
    /// Inactive ones too: expired, retracted, judged harmless
    #[arg(long)]
    all: bool,
    /// How many at most; without it a table has 50 rows and other formats have all
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// The order: id, value, kind, reputation, severity, confidence, tlp, first_seen, last_seen, sources, hits,
    /// revision; with - before it, the greatest come first
    #[arg(long, value_name = "FIELD", allow_hyphen_values = true)]
    sort: Option<String>,
}

/// Count the indicators a search finds
#[derive(Args)]
#[command(after_help = "\
Examples:
  iocast indicator count ''
  iocast indicator count 'kind in (ipv4, ipv6) and reputation >= 7'
  iocast indicator count 'shared_with = \"block-ip\"'

`iocast help expressions` teaches the language.")]
struct CountArgs {
    /// What to look for; empty: everything
    #[arg(value_name = "EXPR", default_value = "")]
    expr: String,
    /// Inactive ones too: expired, retracted, judged harmless
    #[arg(long)]
    all: bool,
}

/// Explain a value: who says what, and why it is or is not at each target
#[derive(Args)]
#[command(after_help = "\
Examples:
  iocast indicator why evil.example
  iocast indicator why 'hxxp://evil[.]example/a' --format json
  iocast indicator why evil.example --all

The plain answer comes first, then who says what and who decided each part, then for each target: the sharing and clause
that decided, rank, plan, what the ledger says and the destination's words. Any spelling will do; defanged ones too.")]
struct WhyArgs {
    /// The value, however it is spelled
    #[arg(value_name = "VALUE")]
    value: String,
    /// What it is, where the value alone does not say
    #[arg(long)]
    kind: Option<String>,
    /// Everything: every source, target, sharing and clause, and no line cut
    #[arg(long)]
    all: bool,
}

/// Show what each source says of a value, word for word
#[derive(Args)]
#[command(after_help = "\
Examples:
  iocast indicator records 'hxxp://evil[.]example/a'
  iocast indicator records 192.0.2.1 --format json

`iocast indicator why VALUE` says what follows from it. The other formats have every field.")]
struct RecordsArgs {
    /// The value, however it is spelled
    #[arg(value_name = "VALUE")]
    value: String,
    /// What it is, where the value alone does not say
    #[arg(long)]
    kind: Option<String>,
}

/// Show what each source said of a value over time, the latest first
#[derive(Args)]
#[command(after_help = "\
Examples:
  iocast indicator history 'hxxp://evil[.]example/a'
  iocast indicator history 192.0.2.1 --format json

It reaches back `history_days` of [policy], 30 days. `iocast source history NAME` shows the runs that changed it.")]
struct HistoryArgs {
    /// The value, however it is spelled
    #[arg(value_name = "VALUE")]
    value: String,
    /// What it is, where the value alone does not say
    #[arg(long)]
    kind: Option<String>,
}

/// Add values by hand, as records of the connection `manual`
#[derive(Args)]
#[command(after_help = "\
Examples:
  iocast indicator add 'hxxp://evil[.]example/a' --reputation 9 --tag phishing
  iocast indicator add 192.0.2.1 192.0.2.2 --expires 2027-01-31 --comment 'case 42'
  iocast indicator add - < values.txt

Exit code 0; 3 if some are no indicators; 1 if none is one.")]
struct AddArgs {
    /// Values; `-` reads them from standard input, one a line
    #[arg(value_name = "VALUE", required = true)]
    values: Vec<String>,
    /// What they are, where the values alone do not say
    #[arg(long)]
    kind: Option<String>,
    /// How bad, 1 to 10
    #[arg(long, value_name = "1-10", value_parser = clap::value_parser!(u8).range(1..=10))]
    reputation: Option<u8>,
    /// How far they may go: clear, green, amber, amber+strict, red
    #[arg(long)]
    tlp: Option<String>,
    /// A tag; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// A remark
    #[arg(long)]
    comment: Option<String>,
    /// When they stop counting: a date or RFC 3339
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Judgement {
    /// It is bad, whatever the sources say
    Malicious,
    /// It is harmless until a date; taken back from every destination
    FalsePositive,
    /// It is harmless for good; taken back from every destination
    Safe,
    /// Take the verdict away
    None,
}

/// Judge values; a verdict beats every source
#[derive(Args)]
#[command(
    allow_missing_positional = true,
    after_help = "\
Examples:
  iocast indicator verdict good.example false_positive --days 90
  iocast indicator verdict good.example other.example safe
  iocast indicator verdict --file harmless.txt false_positive --days 30
  iocast indicator verdict good.example none

The last word is the verdict. false_positive and safe are taken back from every destination by the next pass, before
anything else, whatever a target's retract mode says; where a destination cannot take anything back, `iocast indicator
why` says so. Exit code 0; 3 if some are no indicators; 1 if none is one."
)]
struct VerdictArgs {
    /// Values, however they are spelled, then the verdict
    #[arg(value_name = "VALUE")]
    values: Vec<String>,
    /// File with more values, one a line; `-` is standard input
    #[arg(long, value_name = "FILE")]
    file: Option<std::path::PathBuf>,
    /// What they are held to be
    #[arg(value_enum)]
    verdict: Judgement,
    /// The end of a false_positive: a date or RFC 3339
    #[arg(long, value_name = "TIME", conflicts_with = "days")]
    until: Option<String>,
    /// The end of a false_positive, in days from now
    #[arg(long, value_name = "N")]
    days: Option<u32>,
    /// What it is, where the value alone does not say
    #[arg(long)]
    kind: Option<String>,
}

/// Mute a value: nothing new is shared of it, and nothing is taken back
#[derive(Args)]
#[command(
    after_help = "Examples:\n  iocast indicator mute noisy.example\n  iocast indicator mute noisy.example --undo"
)]
struct MuteArgs {
    /// The value, however it is spelled
    #[arg(value_name = "VALUE")]
    value: String,
    /// Let it be shared again
    #[arg(long)]
    undo: bool,
    /// What it is, where the value alone does not say
    #[arg(long)]
    kind: Option<String>,
}

/// Add tags to a value, or take them away
#[derive(Args)]
#[command(after_help = "\
Examples:
  iocast indicator tag evil.example --add case-42 --add phishing
  iocast indicator tag evil.example --remove benign --comment 'not benign: see case 42'")]
struct TagArgs {
    /// The value, however it is spelled
    #[arg(value_name = "VALUE")]
    value: String,
    /// A tag to add; may be repeated
    #[arg(long, value_name = "TAG", required_unless_present_any = ["remove", "comment"])]
    add: Vec<String>,
    /// A tag to take away, whichever source gave it; may be repeated
    #[arg(long, value_name = "TAG")]
    remove: Vec<String>,
    /// A remark
    #[arg(long)]
    comment: Option<String>,
    /// What it is, where the value alone does not say
    #[arg(long)]
    kind: Option<String>,
}

/// An indicator as a row.
pub(crate) const HITS: &[Column] = &[
    text("kind", "kind"),
    column("value", "value", How::Indicator),
    number("reputation", "rep"),
    text("severity", "severity"),
    hidden("confidence"),
    hidden("tlp"),
    column("sources", "sources", How::List),
    column("tags", "tags", How::List),
    hidden("first_seen"),
    column("last_seen", "last seen", How::Time),
    column("expires_at", "expires", How::Time),
    column("active", "active", How::YesNo),
    column("guard", "guard", How::Lead),
    hidden("verdict"),
    hidden("muted"),
    hidden("comment"),
    hidden("internal_hits"),
    hidden("external_hits"),
];

/// What a source says, as a row.
const RECORDS: &[Column] = &[
    hidden("kind"),
    hidden("value"),
    text("source", "source"),
    column("active", "counts", How::YesNo),
    text("why", "why not"),
    number("reputation", "rep"),
    text("severity", "severity"),
    number("confidence", "conf"),
    text("tlp", "tlp"),
    column("tags", "tags", How::List),
    hidden("received"),
    column("last_seen", "last seen", How::Time),
    column("expires_at", "expires", How::Time),
    text("comment", "comment"),
    hidden("version"),
    hidden("listed"),
    hidden("echo"),
    hidden("retracted"),
    hidden("hops"),
    hidden("first_seen"),
    hidden("valid_from"),
    hidden("link"),
    hidden("raw"),
    hidden("remote_id"),
    hidden("internal_hits"),
    hidden("external_hits"),
];

/// Rows of a table where nobody said how many.
const TABLE_LIMIT: usize = 50;

pub(crate) fn indicator(args: &IndicatorArgs, ctx: &Ctx) -> Outcome {
    match &args.command {
        IndicatorCommand::Find(args) => find(args, ctx),
        IndicatorCommand::Count(args) => count(args, ctx),
        IndicatorCommand::Why(args) => why(args, ctx),
        IndicatorCommand::Records(args) => records(args, ctx),
        IndicatorCommand::History(args) => history(args, ctx),
        IndicatorCommand::Add(args) => add(args, ctx),
        IndicatorCommand::Import(args) => import::import(args, ctx),
        IndicatorCommand::Retract(args) => retract::retract(args, ctx),
        IndicatorCommand::Verdict(args) => verdict(args, ctx),
        IndicatorCommand::Mute(args) => {
            let words = if args.undo { "is no longer muted" } else { "is muted: nothing new is shared of it" };
            annotate(&args.value, &args.kind, &json!({ "mute": !args.undo }), words, ctx)
        }
        IndicatorCommand::Tag(args) => {
            let change = json!({ "add_tags": args.add, "remove_tags": args.remove, "comment": args.comment });
            annotate(&args.value, &args.kind, &change, "is tagged", ctx)
        }
    }
}

/// How many rows are shown where so many were asked for, if anybody said: without, a table ends and other formats do not.
pub(crate) fn most(asked: Option<usize>, ctx: &Ctx) -> Option<usize> {
    asked.or(ctx.out.is_table().then_some(TABLE_LIMIT))
}

/// Prints rows as they come, at most so many. Gives how many were shown, and how many came: one more where there are more.
pub(crate) fn streamed(
    client: &Client,
    ctx: &Ctx,
    path: &str,
    query: &[(&str, &str)],
    columns: &'static [Column],
    limit: Option<usize>,
) -> Result<(usize, usize), CliError> {
    let asked = limit.map(|limit| limit.saturating_add(1).to_string());
    let mut query = query.to_vec();
    query.extend(asked.as_deref().map(|asked| ("limit", asked)));
    let mut printer = ctx.out.printer(columns);
    let mut n_rows = 0;
    let mut take = |line: &str| {
        n_rows += 1;
        if limit.is_none_or(|limit| n_rows <= limit) { printer.row(line) } else { Ok(()) }
    };
    let mut lines = Lines::default();
    client.stream(path, &query, "application/x-ndjson", &mut |piece| lines.feed(piece, &mut take))?;
    lines.end(&mut take)?;
    Ok((printer.end()?, n_rows))
}

fn find(args: &FindArgs, ctx: &Ctx) -> Outcome {
    let client = ctx.client()?;
    let limit = most(args.limit, ctx);
    let all = args.all.to_string();
    let mut query = vec![("q", args.expr.as_str()), ("all", all.as_str())];
    if let Some(sort) = &args.sort {
        query.push(("sort", sort));
    }
    let (n_shown, n_rows) = streamed(&client, ctx, "/api/v1/indicators", &query, HITS, limit)?;
    if !ctx.out.is_table() {
        return Ok(Exit::Done);
    }
    if n_rows == 0 {
        ctx.out.note(if args.all {
            "nothing is found"
        } else {
            "nothing active is found; --all also looks at the rest"
        });
    } else if n_rows > n_shown && args.limit.is_none() {
        ctx.out.note(&format!("the first {n_shown}; there are more: --limit N, or `iocast indicator count`"));
    }
    Ok(Exit::Done)
}

fn count(args: &CountArgs, ctx: &Ctx) -> Outcome {
    let all = args.all.to_string();
    let answer = ctx.client()?.get("/api/v1/indicators/count", &[("q", &args.expr), ("all", &all)])?;
    let answer: Value = parse(&answer)?;
    let n = answer["count"].as_u64().ok_or_else(|| CliError::failed("the answer holds no count"))?;
    ctx.out.line(&n.to_string())?;
    Ok(Exit::Done)
}

fn why(args: &WhyArgs, ctx: &Ctx) -> Outcome {
    let mut query = vec![("value", args.value.as_str())];
    if let Some(kind) = &args.kind {
        query.push(("kind", kind));
    }
    let answer = ctx.client()?.get("/api/v1/indicators/why", &query)?;
    match ctx.out.is_table() {
        true => ctx.out.text(&why::explain(&parse(&answer)?, args.all))?,
        false => ctx.out.document(&answer)?,
    }
    Ok(Exit::Done)
}

fn records(args: &RecordsArgs, ctx: &Ctx) -> Outcome {
    let kind = args.kind.as_deref().unwrap_or("auto");
    let path = format!("/api/v1/indicators/{}/{}/records", part(kind), part(&args.value));
    if ctx.out.rows(&ctx.client()?.get(&path, &[])?, RECORDS)? == 0 {
        ctx.out.note(&format!("nobody has said anything about {}", args.value));
    }
    Ok(Exit::Done)
}

const HISTORY: &[Column] = &[
    text("source", "source"),
    column("from", "from", How::Time),
    column("until", "until", How::Time),
    text("standing", "standing"),
    column("reputation", "rep", How::Number),
    text("severity", "severity"),
    text("comment", "comment"),
    column("changed_by", "changed by run", How::Number),
    hidden("tags"),
];

fn history(args: &HistoryArgs, ctx: &Ctx) -> Outcome {
    let kind = args.kind.as_deref().unwrap_or("auto");
    let path = format!("/api/v1/indicators/{}/{}/history", part(kind), part(&args.value));
    if ctx.out.rows(&ctx.client()?.get(&path, &[])?, HISTORY)? == 0 {
        ctx.out.note(&format!("no source has said anything about {}", args.value));
    }
    Ok(Exit::Done)
}

/// Values as they were given, or read from standard input where that was said.
fn values(given: &[String]) -> Result<Vec<String>, CliError> {
    let mut values = Vec::new();
    for value in given {
        match value.as_str() {
            "-" => {
                for line in std::io::stdin().lock().lines() {
                    let line = line.map_err(|error| CliError::failed(format!("standard input: {error}")))?;
                    if !line.trim().is_empty() {
                        values.push(line);
                    }
                }
            }
            value => values.push(value.to_owned()),
        }
    }
    Ok(values)
}

fn add(args: &AddArgs, ctx: &Ctx) -> Outcome {
    let values = values(&args.values)?;
    let item = |value: &String| {
        let mut item = json!({ "value": value });
        let mut set = |key: &str, value: Value| {
            if !value.is_null() && value != json!([]) {
                item[key] = value;
            }
        };
        set("kind", json!(args.kind));
        set("reputation", json!(args.reputation));
        set("tlp", json!(args.tlp));
        set("tags", json!(args.tags));
        set("comment", json!(args.comment));
        set("expires_at", json!(args.expires));
        item
    };
    let items: Vec<Value> = values.iter().map(item).collect();
    let answer = ctx.client_or_new()?.post("/api/v1/indicators", &[], &json!({ "items": items }))?;
    let results: Vec<Value> = parse(&answer)?;
    let mut printer = ctx.out.printer(HITS);
    let mut n_wrong = 0;
    for (value, result) in values.iter().zip(&results) {
        match result["ok"].is_object() {
            true => printer.row(&result["ok"].to_string())?,
            false => {
                n_wrong += 1;
                ctx.out.warn(&format!("{value}: {}", result["error"].as_str().unwrap_or("not taken")));
            }
        }
    }
    printer.end()?;
    Ok(match n_wrong {
        0 => Exit::Done,
        n if n == values.len() => Exit::Failed,
        _ => Exit::Partial,
    })
}

fn verdict(args: &VerdictArgs, ctx: &Ctx) -> Outcome {
    if args.verdict != Judgement::FalsePositive && (args.until.is_some() || args.days.is_some()) {
        return Err(CliError::Usage("only a false_positive has an end: leave --until and --days out".into()));
    }
    let verdict = match args.verdict {
        Judgement::Malicious => Some("malicious"),
        Judgement::FalsePositive => Some("false_positive"),
        Judgement::Safe => Some("safe"),
        Judgement::None => None,
    };
    let until = match (&args.until, args.days) {
        (Some(until), _) => Some(until.clone()),
        (None, Some(days)) => Some(crate::world::now().after(intel::DAY * days).to_string()),
        (None, None) => None,
    };
    let mut values = args.values.clone();
    if let Some(file) = &args.file {
        let text = match file.as_os_str() == "-" {
            true => std::io::read_to_string(std::io::stdin()),
            false => std::fs::read_to_string(file),
        };
        let text = text.map_err(|error| CliError::Failed(format!("{}: {error}", file.display())))?;
        values.extend(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned));
    }
    if values.is_empty() {
        return Err(CliError::Usage("give values, or --file".into()));
    }
    if values.len() > 1 || args.file.is_some() {
        return judge(&values, args, verdict, until.as_deref(), ctx);
    }
    let asked = json!({ "value": values[0], "kind": args.kind, "verdict": verdict, "until": until });
    let answer = ctx.client_or_new()?.post("/api/v1/indicators/verdict", &[], &asked)?;
    let hit: Value = parse(&answer)?;
    let words = match verdict {
        Some(verdict @ ("false_positive" | "safe")) => {
            format!("{} is {verdict}: the next pass takes it back everywhere", shown(&hit))
        }
        Some(verdict) => format!("{} is {verdict}", shown(&hit)),
        None => format!("{} has no verdict any more", shown(&hit)),
    };
    done(&answer, &words, ctx)?;
    Ok(Exit::Done)
}

/// One verdict on many values.
fn judge(values: &[String], args: &VerdictArgs, verdict: Option<&str>, until: Option<&str>, ctx: &Ctx) -> Outcome {
    let client = ctx.client_or_new()?;
    let mut printer = ctx.out.printer(HITS);
    let (mut n_done, mut n_wrong) = (0, 0);
    for chunk in values.chunks(engine::RETRACT_MOST) {
        let items: Vec<Value> = chunk.iter().map(|value| json!({ "value": value, "kind": args.kind })).collect();
        let asked = json!({ "items": items, "verdict": verdict, "until": until });
        let results: Vec<Value> = parse(&client.post("/api/v1/indicators/verdicts", &[], &asked)?)?;
        for (value, result) in chunk.iter().zip(&results) {
            match result["ok"].is_object() {
                true => {
                    n_done += 1;
                    if !ctx.out.is_table() {
                        printer.row(&result["ok"].to_string())?;
                    }
                }
                false => {
                    n_wrong += 1;
                    ctx.out.warn(&format!("{value}: {}", result["error"].as_str().unwrap_or("not taken")));
                }
            }
        }
    }
    if ctx.out.is_table() {
        let n = super::output::thousands(n_done);
        ctx.out.line(&match verdict {
            Some(verdict @ ("false_positive" | "safe")) => {
                format!("{n} values are {verdict}: the next pass takes them back everywhere")
            }
            Some(verdict) => format!("{n} values are {verdict}"),
            None => format!("{n} values have no verdict any more"),
        })?;
    } else {
        printer.end()?;
    }
    Ok(match n_wrong {
        0 => Exit::Done,
        _ if n_done == 0 => Exit::Failed,
        _ => Exit::Partial,
    })
}

fn annotate(value: &str, kind: &Option<String>, change: &Value, words: &str, ctx: &Ctx) -> Outcome {
    let mut asked = json!({ "value": value });
    if let Some(kind) = kind {
        asked["kind"] = json!(kind);
    }
    for (key, value) in change.as_object().into_iter().flatten() {
        if !value.is_null() {
            asked[key] = value.clone();
        }
    }
    let answer = ctx.client_or_new()?.post("/api/v1/indicators/annotate", &[], &asked)?;
    let hit: Value = parse(&answer)?;
    let tags: Vec<&str> = hit["tags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let words = match words {
        "is tagged" if tags.is_empty() => format!("{} has no tags", shown(&hit)),
        "is tagged" => format!("{} is tagged {}", shown(&hit), tags.join(", ")),
        words => format!("{} {words}", shown(&hit)),
    };
    done(&answer, &words, ctx)?;
    Ok(Exit::Done)
}

/// The value of an indicator for people.
fn shown(hit: &Value) -> String {
    super::output::defang(hit["kind"].as_str().unwrap_or_default(), hit["value"].as_str().unwrap_or_default())
}
