//! `target show`, `verify`, `adopt`, `refused` and `cut`: what a target holds, and what we think it does.

use super::apply::confirmed;
use super::client::part;
use super::indicator::{most, streamed};
use super::output::{Column, How, column, hidden, minute, number, parse, text, thousands};
use super::{CliError, Ctx, Exit, Outcome};
use clap::Args;
use serde_json::{Value, json};
use std::io::{self, IsTerminal as _};

/// How a target is: what it holds, what differs, how much room and budget there is, what it waits for
#[derive(Args)]
#[command(after_help = "Examples:\n  iocast target show block-ip\n  iocast target show block-ip --format json")]
pub(super) struct ShowArgs {
    /// The target's name
    #[arg(value_name = "NAME")]
    name: String,
}

/// Read back what a target holds and compare it with the ledger
///
/// Nothing is sent from here. An entry of ours that is gone is sent again by the next pass, within its budget; one that no
/// longer carries our mark counts as somebody else's from now on. An answer that is cut, empty or far too short is
/// doubted: nothing is concluded from it.
#[derive(Args)]
#[command(after_help = "\
Examples:
  iocast target verify block-ip
  iocast target verify block-ip --all         every entry, also where each has to be asked about
  iocast target verify block-ip --believe     it really is as empty as it says

Without --all up to 1,000 entries are asked about where a destination cannot be read as a whole; the next time goes on there.
A running server does this once a day: `verify` of a [[target]] says how often, or \"off\".

Status: same, drift, doubt (nothing is concluded), cannot (there is no way to ask), failed.
Exit code 0 if it is the same; 1 if it failed; 3 else.")]
pub(super) struct VerifyArgs {
    /// The target's name
    #[arg(value_name = "NAME")]
    name: String,
    /// What it shows is true, however little that is
    #[arg(long)]
    believe: bool,
    /// Every entry
    #[arg(long)]
    all: bool,
}

/// Take over what a target holds: what is there becomes what the ledger says
///
/// After a restore the ledger is older than reality; after a change of account it speaks of another place. Every entry is
/// asked about. What carries our mark becomes ours, also where no source speaks of it; what is gone is noted as gone; what
/// others have there is left alone. Nothing is sent from here: what is not wanted any more is taken back by ordinary
/// passes, within their budget.
///
/// At a terminal what it would do is shown and has to be confirmed, unless --yes.
#[derive(Args)]
#[command(after_help = "\
Examples:
  iocast target adopt block-ip --preview      what it would do; nothing is changed
  iocast target adopt block-ip                shown, then asked
  iocast target adopt block-ip --yes          not asked
  iocast target adopt drop-box --unread --yes
                                              it cannot be asked, and you have looked: the ledger is taken as it stands

After `iocast restore` each target stands still until this was said of it; after the last one everything goes on.

Exit code 0; 2 if nobody can be asked and --yes is missing; 3 if the answer was no.")]
pub(super) struct AdoptArgs {
    /// The target's name
    #[arg(value_name = "NAME")]
    name: String,
    /// Only show what it would do
    #[arg(long, conflicts_with = "yes")]
    preview: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Forget first what the ledger says: only what carries our mark is ours then
    #[arg(long)]
    forget: bool,
    /// The destination cannot be asked: take what the ledger says as it stands
    #[arg(long, conflicts_with = "forget")]
    unread: bool,
}

/// What a target refuses, in its own words, and when each is offered again
#[derive(Args)]
#[command(after_help = "\
Examples:
  iocast target refused block-ip
  iocast target refused block-ip --format csv > refused.csv

A refused entry keeps nobody else waiting. It is offered again after a day, then less often, at last once a week. One that
was refused five times in a row is marked: a person should look; it is offered again all the same. Mend what its words say,
or take the value out of the rule (`iocast indicator why VALUE`).")]
pub(super) struct RefusedArgs {
    /// The target's name
    #[arg(value_name = "NAME")]
    name: String,
    /// How many at most; without it a table has 50 rows and other formats have all
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// What is wanted at a target that is full, and has no place there
#[derive(Args)]
#[command(after_help = "\
Examples:
  iocast target cut block-ip
  iocast target cut block-ip --limit 100000 --format csv > cut.csv

The best ranked are kept: higher reputation, severity, more sources, seen last. A limit is what the target's `capacity` or its
action says, what the destination says, or what it was found to hold (`iocast target show`), whichever is least; entries of
others count. An entry without a rank gets a place once a removal is accepted.")]
pub(super) struct CutArgs {
    /// The target's name
    #[arg(value_name = "NAME")]
    name: String,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    limit: u32,
}

const REFUSED: &[Column] = &[
    text("kind", "kind"),
    column("value", "value", How::Indicator),
    text("words", "its words"),
    number("attempts", "attempts"),
    column("next_try", "next try", How::Time),
    column("exhausted", "again and again", How::YesNo),
    hidden("entry"),
    hidden("first_intent"),
    hidden("run"),
];

const CUT: &[Column] = &[
    number("rank", "rank"),
    number("limit", "limit"),
    text("kind", "kind"),
    column("value", "value", How::Indicator),
    number("reputation", "reputation"),
    text("severity", "severity"),
    number("sources", "sources"),
    text("reason", "because"),
];

fn path(name: &str, verb: &str) -> String {
    format!("/api/v1/targets/{}/{verb}", part(name))
}

pub(super) fn show(args: &ShowArgs, ctx: &Ctx) -> Outcome {
    let answer = ctx.client()?.get(&path(&args.name, "state"), &[])?;
    if !ctx.out.is_table() {
        ctx.out.document(&answer)?;
        return Ok(Exit::Done);
    }
    for line in target_lines(&parse(&answer)?) {
        ctx.out.line(&line)?;
    }
    Ok(Exit::Done)
}

fn count(row: &Value, key: &str) -> u64 {
    row[key].as_u64().unwrap_or(0)
}

fn time(row: &Value, key: &str) -> String {
    row[key].as_str().map_or_else(|| "never".to_owned(), minute)
}

fn micros(row: &Value, key: &str) -> String {
    let at = row[key].as_i64().unwrap_or(0);
    minute(&intel::Timestamp::from_micros(at).to_string())
}

/// What a person reads of a target.
fn target_lines(shown: &Value) -> Vec<String> {
    let words = |key: &str| shown[key].as_str().unwrap_or("-").to_owned();
    let name = words("target");
    let mut out = vec![format!("{name}: {} at {}, {}", words("action"), words("connection"), words("delivery"))];
    let mut say = |head: &str, text: String| out.push(format!("  {head:<10} {text}"));
    let off = if shown["enabled"] == false { " (disabled)" } else { "" };
    say("last pass", format!("{}, {}{off}", shown["status"].as_str().unwrap_or("none"), time(shown, "last_run")));
    let lines = shown["lines"].as_object();
    let lines: Vec<String> = lines
        .into_iter()
        .flatten()
        .map(|(state, n)| format!("{state} {}", thousands(n.as_u64().unwrap_or(0))))
        .collect();
    say("entries", if lines.is_empty() { "none".to_owned() } else { lines.join(", ") });
    if count(shown, "exhausted") > 0 {
        let n = thousands(count(shown, "exhausted"));
        say("refused", format!("{n} again and again: `iocast target refused {name}`"));
    }
    let asked = match shown["how"].as_str() {
        Some("read") => "it can be read as a whole",
        Some("look") => "it can be asked entry by entry",
        Some("list") => "we serve it",
        _ => "it cannot be asked",
    };
    let every =
        shown["verify_secs"].as_u64().map_or("never by itself".to_owned(), |secs| format!("every {} h", secs / 3_600));
    say("read back", format!("{}; {asked}, {every}", time(shown, "verified")));
    let drift = &shown["drift"];
    if drift.is_object() {
        say("drift", drift_words(drift));
        for sample in drift["samples"].as_array().into_iter().flatten().filter_map(Value::as_str).take(5) {
            say("", sample.to_owned());
        }
    }
    let capacity = &shown["capacity"];
    let mut room = match capacity["limit"].as_u64() {
        Some(limit) => format!("at most {} entries", thousands(limit)),
        None => "no limit known".to_owned(),
    };
    if let Some(limit) = capacity["declared"].as_u64() {
        room.push_str(&format!("; declared {}", thousands(limit)));
    }
    if capacity["learned"].is_object() {
        let learned = &capacity["learned"];
        let how = if learned["said"] == true { "it says" } else { "it was found to hold" };
        room.push_str(&format!("; {how} {} ({})", thousands(count(learned, "limit")), micros(learned, "at")));
    }
    if count(capacity, "foreign") > 0 {
        room.push_str(&format!("; others have {} there", thousands(count(capacity, "foreign"))));
    }
    say("room", room);
    if let Some(who) = shown["identity"].as_str() {
        say("identity", who.to_owned());
    }
    for (key, head) in [("adds", "adds"), ("removals", "removals")] {
        let of = &shown["budget"][key];
        say(
            head,
            format!(
                "{} left; {} used in 24 hours of {}, {} a pass",
                thousands(count(of, "left")),
                thousands(count(of, "used_24h")),
                thousands(count(of, "per_day")),
                thousands(count(of, "per_pass"))
            ),
        );
    }
    if count(shown, "pins") > 0 {
        say("pins", format!("{}: `iocast target pins {name}`", thousands(count(shown, "pins"))));
    }
    for plan in shown["plans"].as_array().into_iter().flatten() {
        say("waits", format!("`iocast plan show {plan}`: approve or reject"));
    }
    if shown["frozen"] == true {
        say("waits", "everything is frozen: `iocast thaw`".to_owned());
    }
    if shown["restored"] == true {
        say("waits", format!("restored from a backup: `iocast target adopt {name} --preview`"));
    }
    if let Some(who) = shown["identity_found"].as_str() {
        say("waits", format!("it says that we are {who} now: `iocast target adopt {name} --preview`"));
    }
    if shown["denied"] == true {
        say("waits", format!("it denies us: `iocast check`, then apply or `iocast share {name}`"));
    } else if count(shown, "failures") > 0 {
        say("failed", format!("{} times in a row; tried again after {}", shown["failures"], time(shown, "not_before")));
    }
    out
}

/// What a reading found, in a line.
fn drift_words(drift: &Value) -> String {
    if let Some(doubt) = drift["doubt"].as_str() {
        return format!("doubted, nothing is concluded: {doubt}");
    }
    let counts = ["missing", "lost", "unknown", "harmed"];
    let differs: Vec<String> = counts
        .iter()
        .filter(|key| count(drift, key) > 0)
        .map(|key| format!("{} {}", thousands(count(drift, key)), told(key)))
        .collect();
    let (there, checked) = (thousands(count(drift, "there")), thousands(count(drift, "checked")));
    match differs.is_empty() {
        true => format!("none: {there} of {checked} are there"),
        false => format!("{there} of {checked} are there; {}", differs.join(", ")),
    }
}

fn told(key: &str) -> &'static str {
    match key {
        "missing" => "are gone",
        "lost" => "are somebody else's now",
        "unknown" => "carry our mark and are not in the ledger",
        _ => "of others were taken away by a write",
    }
}

pub(super) fn verify(args: &VerifyArgs, ctx: &Ctx) -> Outcome {
    let client = ctx.client()?;
    let progress = ctx.progress("reading back");
    let said = json!({ "believe": args.believe, "all": args.all });
    let answer = client.post(&path(&args.name, "verify"), &[], &said);
    drop(progress);
    let answer = answer?;
    let report: Value = parse(&answer)?;
    let status = report["status"].as_str().unwrap_or_default();
    if ctx.out.is_table() {
        verified(&args.name, status, &report, ctx)?;
    } else {
        ctx.out.document(&answer)?;
    }
    Ok(match status {
        "same" => Exit::Done,
        "failed" => Exit::Failed,
        _ => Exit::Partial,
    })
}

fn verified(name: &str, status: &str, report: &Value, ctx: &Ctx) -> Result<(), CliError> {
    let drift = &report["drift"];
    match status {
        "cannot" => return ctx.out.line(&format!("{name}: there is no way to ask what it holds")),
        "failed" => {
            let why = report["error"].as_str().unwrap_or_default();
            return ctx.out.line(&format!("{name}: failed: {why}"));
        }
        "same" => {
            let words = drift_words(drift);
            ctx.out.line(&format!("{name}: same: {}", words.strip_prefix("none: ").unwrap_or(&words)))?;
        }
        _ => ctx.out.line(&format!("{name}: {status}: {}", drift_words(drift)))?,
    }
    for sample in drift["samples"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        ctx.out.line(&format!("  {sample}"))?;
    }
    if count(drift, "foreign") > 0 {
        ctx.out.note(&format!("{} entries of others are there, and left alone", thousands(count(drift, "foreign"))));
    }
    if let Some(limit) = report["capacity"].as_u64() {
        ctx.out.note(&format!("it holds at most {} entries: `iocast target cut {name}`", thousands(limit)));
    }
    match status {
        "doubt" => ctx.out.note(&format!("`iocast target verify {name} --believe` takes it for true")),
        "drift" if count(drift, "unknown") > 0 => {
            ctx.out.note(&format!("`iocast target adopt {name} --preview` shows what would become ours"));
        }
        "drift" => ctx.out.note(&format!("the next pass mends it within its budget: `iocast share {name} --dry-run`")),
        _ => {}
    }
    Ok(())
}

pub(super) fn adopt(args: &AdoptArgs, ctx: &Ctx) -> Outcome {
    let client = ctx.client()?;
    let name = &args.name;
    let post = |preview: bool| {
        let _progress = ctx.progress("reading");
        let said = json!({ "preview": preview, "forget": args.forget, "unread": args.unread });
        client.post(&path(name, "adopt"), &[], &said)
    };
    if !args.yes {
        let can_ask = io::stdin().is_terminal() && io::stderr().is_terminal();
        if !args.preview && !can_ask {
            return Err(CliError::Usage(format!(
                "nobody can be asked: look at `iocast target adopt {name} --preview`, then say --yes; nothing was changed"
            )));
        }
        let preview = post(true)?;
        if args.preview && !ctx.out.is_table() {
            ctx.out.document(&preview)?;
            return Ok(Exit::Done);
        }
        let report: Value = parse(&preview)?;
        for line in adopt_lines(&report) {
            // A program that waits for one document gets one.
            if ctx.out.is_table() { ctx.out.line(&line)? } else { ctx.out.note(&line) }
        }
        if args.preview {
            ctx.out.note(&format!("nothing was changed; `iocast target adopt {name}` does it"));
            return Ok(Exit::Done);
        }
        if !confirmed("take this over?", &mut io::stdin().lock())? {
            ctx.out.note("nothing was changed");
            return Ok(Exit::Partial);
        }
    }
    let answer = post(false)?;
    if !ctx.out.is_table() {
        ctx.out.document(&answer)?;
        return Ok(Exit::Done);
    }
    let report: Value = parse(&answer)?;
    for line in adopt_lines(&report) {
        ctx.out.line(&line)?;
    }
    let waiting: Vec<&str> = report["waiting"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !waiting.is_empty() {
        ctx.out
            .note(&format!("after the restore {} still stand still: `iocast target adopt NAME`", waiting.join(", ")));
    }
    ctx.out.note(&format!("`iocast share {name} --dry-run` shows what a pass would do now"));
    Ok(Exit::Done)
}

/// What adopting does, or would do.
fn adopt_lines(report: &Value) -> Vec<String> {
    let name = report["target"].as_str().unwrap_or_default();
    let how = match report["how"].as_str() {
        Some("read") => "everything was read",
        Some("look") => "each entry was asked about",
        Some("list") => "we serve it, and the next pass writes it from the ledger",
        _ => "it cannot be asked, so the ledger is taken as it stands",
    };
    let would = if report["applied"] == true { "adopted" } else { "adopting would" };
    let mut out = vec![format!("{name}: {would}; {how}")];
    for (key, words) in [
        ("forgotten", "lines forgotten first"),
        ("kept", "lines kept: their entry is there"),
        ("adopted", "entries of ours get a line"),
        ("gone", "lines become gone: their entry is not there"),
        ("lost", "entries are there and somebody else's"),
        ("foreign", "entries of others are left alone"),
        ("not_understood", "entries carry our mark and are no indicator; left alone"),
    ] {
        if count(report, key) > 0 {
            out.push(format!("  {:>8} {words}", thousands(count(report, key))));
        }
    }
    if let Some(before) = report["identity_before"].as_str() {
        let now = report["identity"].as_str().unwrap_or("somebody it does not name");
        out.push(format!("  we are {now} there, and were {before}"));
    }
    for sample in report["samples"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        out.push(format!("    {sample}"));
    }
    out
}

pub(super) fn refused(args: &RefusedArgs, ctx: &Ctx) -> Outcome {
    let client = ctx.client()?;
    let query = [("state", "refused")];
    let most = most(args.limit, ctx);
    let (n_shown, n_rows) = streamed(&client, ctx, &path(&args.name, "deliveries"), &query, REFUSED, most)?;
    if ctx.out.is_table() && n_rows == 0 {
        ctx.out.note("nothing is refused");
    } else if ctx.out.is_table() && args.limit.is_none() && n_rows > n_shown {
        ctx.out.note(&format!("the first {n_shown}; there are more: --limit N"));
    }
    Ok(Exit::Done)
}

pub(super) fn cut(args: &CutArgs, ctx: &Ctx) -> Outcome {
    let limit = args.limit.to_string();
    let answer = ctx.client()?.get(&path(&args.name, "cut"), &[("limit", &limit)])?;
    let shown: Value = parse(&answer)?;
    let n_rows = ctx.out.rows(&shown["items"].to_string(), CUT)? as u64;
    match count(&shown, "total") {
        0 => ctx.out.note("nothing is cut: all that is wanted has a place"),
        total if total > n_rows => ctx.out.note(&format!("the first {n_rows} of {}: --limit N", thousands(total))),
        _ => {}
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_target_waits_for_is_said() {
        let shown = json!({
            "target": "t", "action": "send", "connection": "box", "delivery": "items", "enabled": true,
            "status": "frozen", "last_run": "2026-01-31T08:30:00Z", "failures": 0, "frozen": false, "restored": true,
            "denied": false, "lines": {"present": 120, "refused": 3}, "exhausted": 3, "how": "look", "verify_secs": 86400,
            "verified": null, "drift": {"checked": 5, "there": 3, "missing": 2, "samples": ["a.example: is not there"]},
            "capacity": {"limit": 80, "declared": 100, "learned": {"limit": 80, "said": false, "at": 0}, "foreign": 2},
            "identity": "tenant-1", "identity_found": "tenant-2", "pins": 1, "plans": [4],
            "budget": {"adds": {"left": 1, "used_24h": 2, "per_day": 3, "per_pass": 4}},
        });
        let said = target_lines(&shown).join("\n");
        for part in [
            "t: send at box, items",
            "present 120, refused 3",
            "`iocast target refused t`",
            "3 of 5 are there; 2 are gone",
            "at most 80 entries; declared 100; it was found to hold 80 (1970-01-01 00:00); others have 2 there",
            "1 left; 2 used in 24 hours of 3, 4 a pass",
            "`iocast target pins t`",
            "`iocast plan show 4`",
            "restored from a backup: `iocast target adopt t --preview`",
            "it says that we are tenant-2 now",
        ] {
            assert!(said.contains(part), "no {part:?} in\n{said}");
        }
    }

    #[test]
    fn a_doubted_reading_is_no_drift() {
        assert_eq!(
            drift_words(&json!({"checked": 9, "there": 0, "missing": 0, "doubt": "it shows nothing"})),
            "doubted, nothing is concluded: it shows nothing"
        );
        assert_eq!(drift_words(&json!({"checked": 9, "there": 9})), "none: 9 of 9 are there");
    }
}
