//! `indicator import`: a report, a list or an export that somebody has, looked at first and stored if they say so.

use crate::api::observations::{Item, ItemOp};
use crate::cli::client::{AskError, Client, part};
use crate::cli::output::{Column, How, column, defang, hidden, number, parse, printable, text, thousands};
use crate::cli::pull::by_reason;
use crate::cli::{CliError, Ctx, Exit, Outcome};
use clap::Args;
use intel::Tlp;
use serde::Deserialize;
use serde_json::{Value, json};
use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Longest text, in bytes: as JSON it must fit into a request.
const MAX_BYTES: u64 = 24 << 20;
/// Rows sent at a time.
const CHUNK: usize = 5_000;

/// Import what a file holds: a report, a list, an export; shown first, stored only when you say so
///
/// Text, Markdown, HTML, lists, CSV, JSON, NDJSON and the exchange formats are told apart by what they begin with and by
/// the file's name. Values are refanged, made canonical and compared with what is known and with the guard. Stored
/// rows belong to a bucket, a connection with connector "api-source", which is made if it is not there yet.
#[derive(Args)]
#[command(after_help = "\
Examples:
  iocast indicator import report.html
  iocast indicator import case-42.txt --source case-42 --tlp amber --tag case-42 --yes
  pdftotext report.pdf - | iocast indicator import - --source report --yes
  iocast indicator import list.csv --format json > found.json
  iocast indicator retract --source import-case-42 --all     take an import back

Exit code 0 if all of it is stored; 3 if some was refused, or nobody said --yes; 1 if nothing is found.")]
pub(crate) struct ImportArgs {
    /// The file; `-` reads standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// What the file is, where it is told wrongly: text, csv, json, ndjson, stix, stix1, misp, openioc, html, items
    /// (rows of a bucket or a search), or extract (prose)
    #[arg(long = "as", value_name = "FORMAT")]
    read_as: Option<String>,
    /// The bucket to store in; suggested from the file's name if left out
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// How far they may go: clear, green, amber, amber+strict, red; a stricter marking in the file stands
    #[arg(long)]
    tlp: Option<String>,
    /// A tag for all of them; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// How bad, 1 to 10, where the file does not say
    #[arg(long, value_name = "1-10", value_parser = clap::value_parser!(u8).range(1..=10))]
    reputation: Option<u8>,
    /// A remark, where the file has none
    #[arg(long)]
    comment: Option<String>,
    /// Store without asking
    #[arg(long, short)]
    yes: bool,
}

/// What the router says of a text.
#[derive(Deserialize)]
struct Answer {
    format: String,
    found: u64,
    repeated: u64,
    rejected: u64,
    filtered: u64,
    items: Vec<Found>,
    rejected_by: Value,
    filtered_by: Value,
    refused: Vec<Refused>,
}

#[derive(Deserialize)]
struct Found {
    item: Item,
    written: String,
    times: u64,
    known: bool,
    active: bool,
    guarded: Option<String>,
}

#[derive(Deserialize)]
struct Refused {
    text: String,
    reason: String,
}

const FOUND: &[Column] = &[
    text("kind", "kind"),
    column("value", "value", How::Indicator),
    text("written", "as written"),
    number("times", "times"),
    text("known", "known"),
    hidden("active"),
    text("guarded", "remark"),
    hidden("op"),
    text("tlp", "tlp"),
    column("tags", "tags", How::List),
];

pub(crate) fn import(args: &ImportArgs, ctx: &Ctx) -> Outcome {
    let limit = args.tlp.as_deref().map(|text| tlp(text).ok_or_else(|| no_tlp(text))).transpose()?;
    let (body, name) = read(&args.file)?;
    let client = ctx.client_or_new()?;
    let asked = json!({ "text": body, "format": args.read_as, "name": name });
    let answer = client.post("/api/v1/extract", &[], &asked).map_err(|error| in_words(error, &args.file))?;
    let answer: Answer = parse(&answer)?;
    let found: Vec<Found> =
        answer.items.into_iter().map(|found| Found { item: dressed(found.item, args, limit), ..found }).collect();
    let mut printer = ctx.out.printer(FOUND);
    for found in &found {
        printer.row(&shown(found, ctx.out.is_table()).to_string())?;
    }
    printer.end()?;
    for Refused { text, reason } in &answer.refused {
        ctx.out.warn(&format!("{}: {}", printable(text), printable(reason)));
    }
    let n = |is: fn(&&Found) -> bool| thousands(found.iter().filter(is).count() as u64);
    let with = |n: u64, reasons: &Value| match by_reason(reasons) {
        reasons if reasons.is_empty() => thousands(n),
        reasons => format!("{} ({reasons})", thousands(n)),
    };
    ctx.out.note(&format!(
        "read as {}: {} indicators ({} known, {} guarded, {} taken back), {} repeats; rejected {}; filtered {}",
        answer.format,
        thousands(answer.found),
        n(|found| found.known),
        n(|found| found.guarded.is_some()),
        n(|found| is_retraction(&found.item)),
        thousands(answer.repeated),
        with(answer.rejected, &answer.rejected_by),
        with(answer.filtered, &answer.filtered_by),
    ));
    if found.is_empty() {
        ctx.out.warn("nothing in it is an indicator that could be shared; nothing is stored");
        return Ok(Exit::Failed);
    }
    let source = match &args.source {
        Some(source) => source.clone(),
        None => suggested(&name),
    };
    let is_there = bucket(&client, &source)?;
    let new = if is_there { "" } else { "new " };
    let question = format!("Store {} indicators in the {new}bucket {source}?", thousands(found.len() as u64));
    if !args.yes && (args.file == Path::new("-") || !confirmed(&question)?) {
        ctx.out.warn("nothing is stored: say --yes to store it");
        return Ok(Exit::Partial);
    }
    if !is_there {
        let file = json!({ "connection": [{ "name": source, "connector": "api-source" }] });
        client.post("/api/v1/config/apply", &[], &file)?;
        ctx.out.note(&format!("made the connection {source}"));
    }
    let items: Vec<Item> = found.into_iter().map(|found| found.item).collect();
    let (words, n_rejected) = push(&client, ctx, &source, &items)?;
    let words = format!("stored in {source}: {words}");
    match ctx.out.is_table() {
        true => {
            ctx.out.line(&words)?;
            ctx.out.note(&format!("`iocast indicator retract --source {source} --all` takes it back"));
        }
        // What was found is the result; how it went is a note beside it.
        false => ctx.out.note(&words),
    }
    Ok(if n_rejected > 0 { Exit::Partial } else { Exit::Done })
}

/// Hands rows to a bucket. Gives the counts in words, and how many were rejected, which are told.
pub(super) fn push(client: &Client, ctx: &Ctx, source: &str, items: &[Item]) -> Result<(String, u64), CliError> {
    const NAMES: [&str; 4] = ["new", "changed", "unchanged", "rejected"];
    let path = format!("/api/v1/connections/{}/observations", part(source));
    let mut totals = [0_u64; 4];
    for chunk in items.chunks(CHUNK) {
        let stored: Value = parse(&client.post(&path, &[], &json!({ "items": chunk }))?)?;
        for (total, name) in totals.iter_mut().zip(NAMES) {
            *total += stored["totals"][name].as_u64().unwrap_or(0);
        }
        for (item, row) in chunk.iter().zip(stored["items"].as_array().into_iter().flatten()) {
            if row["status"] == "rejected" {
                let why = row["reason"].as_str().unwrap_or("not taken");
                ctx.out.warn(&format!("{}: {}", printable(&item.value), printable(why)));
            }
        }
    }
    let counts: Vec<String> = totals.iter().zip(NAMES).map(|(n, name)| format!("{} {name}", thousands(*n))).collect();
    Ok((counts.join(", "), totals[3]))
}

fn is_retraction(item: &Item) -> bool {
    item.op == ItemOp::Retract
}

/// What is shown of an indicator: for people only what adds something.
fn shown(found: &Found, is_table: bool) -> Value {
    let Found { item, written, times, known, active, guarded } = found;
    let mut row = json!({
        "kind": item.kind, "value": item.value, "written": written, "times": times, "known": known, "active": active,
        "guarded": guarded, "tlp": item.tlp, "tags": item.tags, "op": item.op,
    });
    if is_table {
        let is_safe = ["[", "(", "{", "hxxp", "h**p"].iter().any(|mark| written.contains(mark));
        let kind = item.kind.as_deref().unwrap_or_default();
        row["written"] = match () {
            () if *written == item.value => Value::Null,
            () if is_safe => json!(written),
            () => json!(defang(kind, written)),
        };
        row["known"] = json!(match (known, active) {
            (false, _) => "no",
            (true, true) => "yes",
            (true, false) => "inactive",
        });
        let taken_back = is_retraction(item).then_some("taken back by the file");
        let remarks: Vec<&str> = taken_back.into_iter().chain(guarded.as_deref()).collect();
        row["guarded"] = json!(remarks.join("; "));
    }
    row
}

/// What the router says of a body, as words about a file and an option.
fn in_words(error: AskError, file: &Path) -> CliError {
    match CliError::from(error) {
        CliError::Failed(why) => {
            let why =
                why.replacen("format: expected", "--as: expected", 1).replace("format \"extract\"", "--as extract");
            CliError::Failed(format!("{}: {why}", file.display()))
        }
        other => other,
    }
}

fn tlp(text: &str) -> Option<Tlp> {
    Tlp::parse(text)
}

fn no_tlp(text: &str) -> CliError {
    let names: Vec<&str> = Tlp::ALL.iter().map(|tlp| tlp.as_str()).collect();
    CliError::Usage(format!("--tlp {text}: one of {}", names.join(", ")))
}

/// The text of a file, and the file's name.
fn read(file: &Path) -> Result<(String, String), CliError> {
    let shown = file.display();
    let name = file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let mut bytes = Vec::new();
    let taken = if file == Path::new("-") {
        io::stdin().lock().take(MAX_BYTES + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|opened| opened.take(MAX_BYTES + 1).read_to_end(&mut bytes))
    };
    taken.map_err(|error| {
        let next = match error.kind() {
            io::ErrorKind::IsADirectory => "; name one file, or make it a connection with connector \"feed\"",
            _ => "",
        };
        CliError::Failed(format!("{shown} cannot be read: {error}{next}"))
    })?;
    // Readers of PDF look for its head in the first kilobyte.
    if memchr::memmem::find(&bytes[..bytes.len().min(1_024)], b"%PDF-").is_some()
        || name.to_ascii_lowercase().ends_with(".pdf")
    {
        return Err(CliError::Failed(format!(
            "{shown} is a PDF, whose text this program does not take out itself: \
             `pdftotext '{shown}' - | iocast indicator import -` (pdftotext is part of Poppler)"
        )));
    }
    if bytes.len() as u64 > MAX_BYTES {
        return Err(CliError::Failed(format!(
            "{shown} is longer than {} MiB: make it a connection with connector \"feed\"",
            MAX_BYTES >> 20
        )));
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(CliError::Failed(format!("{shown} is empty: there is nothing to import")));
    }
    if bytes.iter().take(4_096).any(|byte| *byte == 0) {
        return Err(CliError::Failed(format!(
            "{shown} is no text: unpack it, or save it as text (UTF-8), then import that"
        )));
    }
    let name = if file == Path::new("-") { String::new() } else { name };
    Ok((String::from_utf8_lossy(&bytes).into_owned(), name))
}

/// A name for a bucket.
fn suggested(name: &str) -> String {
    let stem = name.split('.').find(|part| !part.is_empty()).unwrap_or("by-hand");
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let slug: String = stem.chars().map(plain).take(48).collect();
    let slug = slug.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-");
    format!("import-{}", if slug.is_empty() { "by-hand" } else { &slug })
}

/// Whether there is a bucket of this name; an error if it is something else.
pub(super) fn bucket(client: &Client, name: &str) -> Result<bool, CliError> {
    let config: Value = parse(&client.get("/api/v1/config", &[])?)?;
    let mut connections = config["connection"].as_array().into_iter().flatten();
    match connections.find(|connection| connection["name"] == name) {
        None => Ok(false),
        Some(connection) if connection["connector"] == "api-source" => Ok(true),
        Some(connection) => Err(CliError::Failed(format!(
            "--source {name}: that is a connection with connector {}, and no bucket; name another one",
            connection["connector"]
        ))),
    }
}

/// Asks the person at the terminal. False where there is none.
pub(crate) fn confirmed(question: &str) -> Result<bool, CliError> {
    if !io::stdin().is_terminal() {
        return Ok(false);
    }
    let mut ask = io::stderr().lock();
    write!(ask, "{question} [y/N] ")?;
    ask.flush()?;
    let mut said = String::new();
    io::stdin().lock().read_line(&mut said).map_err(CliError::failed)?;
    Ok(matches!(said.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// A row with what was said for all of them.
fn dressed(mut item: Item, args: &ImportArgs, limit: Option<Tlp>) -> Item {
    let stated = item.tlp.as_deref().and_then(tlp);
    item.tlp = stated.max(limit).map(|tlp| tlp.as_str().to_owned());
    item.tags.extend(args.tags.iter().cloned());
    item.reputation = item.reputation.or(args.reputation.map(i64::from));
    item.comment = item.comment.or_else(|| args.comment.clone());
    item
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_get_plain_names() {
        for (file, name) in [
            ("Report 2026 (final).HTML", "import-report-2026-final"),
            ("case-42.txt", "import-case-42"),
            ("", "import-by-hand"),
            ("…", "import-by-hand"),
            (".hidden.csv", "import-hidden"),
        ] {
            assert_eq!(suggested(file), name, "{file}");
        }
    }
}
