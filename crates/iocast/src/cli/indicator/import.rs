//! `indicator import`: a report, a list or an export that somebody has, looked at first and stored if they say so.

use crate::api::observations::Item;
use crate::cli::client::{Client, part};
use crate::cli::output::{Column, How, column, defang, hidden, number, parse, printable, text, thousands};
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

Exit code 0 if all of it is stored; 3 if some was refused, or nobody said --yes; 1 if nothing is found.")]
pub(crate) struct ImportArgs {
    /// The file; `-` reads standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// What the file is, where it is told wrongly: text, csv, json, ndjson, extract, html, items, or another feed format
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
    read: u64,
    found: u64,
    repeated: u64,
    rejected: u64,
    filtered: u64,
    items: Vec<Found>,
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
    column("known", "known", How::YesNo),
    hidden("active"),
    text("guarded", "guarded"),
    text("tlp", "tlp"),
    column("tags", "tags", How::List),
];

pub(crate) fn import(args: &ImportArgs, ctx: &Ctx) -> Outcome {
    let limit = args.tlp.as_deref().map(|text| tlp(text).ok_or_else(|| no_tlp(text))).transpose()?;
    let (body, name) = read(&args.file)?;
    let client = ctx.client_or_new()?;
    let asked = json!({ "text": body, "format": args.read_as, "name": name });
    let answer: Answer = parse(&client.post("/api/v1/extract", &[], &asked)?)?;
    let mut printer = ctx.out.printer(FOUND);
    for found in &answer.items {
        let is_safe = ["[", "(", "{", "hxxp", "h**p"].iter().any(|mark| found.written.contains(mark));
        let kind = found.item.kind.as_deref().unwrap_or_default();
        let written = match ctx.out.is_table() && !is_safe {
            true => defang(kind, &found.written),
            false => found.written.clone(),
        };
        let row = json!({
            "kind": found.item.kind, "value": found.item.value, "written": written, "times": found.times,
            "known": found.known, "active": found.active, "guarded": found.guarded, "tlp": found.item.tlp,
            "tags": found.item.tags,
        });
        printer.row(&row.to_string())?;
    }
    printer.end()?;
    for Refused { text, reason } in &answer.refused {
        ctx.out.warn(&format!("{}: {}", printable(text), printable(reason)));
    }
    let n_known = answer.items.iter().filter(|found| found.known).count();
    let n_guarded = answer.items.iter().filter(|found| found.guarded.is_some()).count();
    ctx.out.note(&format!(
        "read as {}: {} mentions, {} indicators ({} known, {} guarded), {} repeats, {} rejected, {} no candidates",
        answer.format,
        thousands(answer.read),
        thousands(answer.found),
        thousands(n_known as u64),
        thousands(n_guarded as u64),
        thousands(answer.repeated),
        thousands(answer.rejected),
        thousands(answer.filtered),
    ));
    if answer.items.is_empty() {
        ctx.out.warn("nothing in it is an indicator; nothing is stored");
        return Ok(Exit::Failed);
    }
    let source = match &args.source {
        Some(source) => source.clone(),
        None => suggested(&name),
    };
    let is_there = bucket(&client, &source)?;
    if !args.yes && !confirmed(args, answer.items.len(), &source, is_there)? {
        ctx.out.warn("nothing is stored: say --yes to store it");
        return Ok(Exit::Partial);
    }
    if !is_there {
        let file = json!({ "connection": [{ "name": source, "connector": "api-source" }] });
        client.post("/api/v1/config/apply", &[], &file)?;
        ctx.out.note(&format!("made the connection {source}"));
    }
    let items: Vec<Item> = answer.items.into_iter().map(|found| dressed(found.item, args, limit)).collect();
    let path = format!("/api/v1/connections/{}/observations", part(&source));
    let mut totals = [0_u64; 4];
    const NAMES: [&str; 4] = ["new", "changed", "unchanged", "rejected"];
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
    let words = format!("stored in {source}: {}", counts.join(", "));
    match ctx.out.is_table() {
        true => ctx.out.line(&words)?,
        // What was found is the result; how it went is a note beside it.
        false => ctx.out.note(&words),
    }
    Ok(if totals[3] > 0 { Exit::Partial } else { Exit::Done })
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
    taken.map_err(|error| CliError::Failed(format!("{shown} cannot be read: {error}")))?;
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
    if bytes.iter().take(4_096).any(|byte| *byte == 0) {
        return Err(CliError::Failed(format!("{shown} is no text")));
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
fn bucket(client: &Client, name: &str) -> Result<bool, CliError> {
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
fn confirmed(args: &ImportArgs, n: usize, source: &str, is_there: bool) -> Result<bool, CliError> {
    if args.file == Path::new("-") || !io::stdin().is_terminal() {
        return Ok(false);
    }
    let new = if is_there { "" } else { "new " };
    let mut ask = io::stderr().lock();
    write!(ask, "Store {n} indicators in the {new}bucket {source}? [y/N] ")?;
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
