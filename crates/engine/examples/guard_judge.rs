//! What the shipped guard lists say of feeds: `cargo xtask guard judge [--flags] PATH…`.
//!
//! Files and directories are read with this exchange's own readers, each file by the reader that fits it; what none can
//! read is counted. Printed is every stop, by list, with the file it first came from, and how many distinct values were
//! stopped and flagged. Whether a stop is right is for people to say: docs/guard.md does so for published feeds.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is its output")]

use engine::guards::SHIPPED;
use intel::guard::Guard;
use intel::{IndicatorKey, Observation};
use kit::Rows;
use kit::decode::{Unpack, unpack};
use kit::feed::{FeedSpec, parse};
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

/// The distinct values and the file each was first in.
#[derive(Default)]
struct Values {
    keys: HashMap<IndicatorKey, usize>,
    files: Vec<PathBuf>,
    rows: u64,
    rejected: u64,
    read: BTreeMap<&'static str, u64>,
    unread: Vec<String>,
}

/// What one reader made of one file.
#[derive(Default)]
struct Sheet {
    keys: Vec<IndicatorKey>,
    rejected: u64,
}

impl Rows for Sheet {
    fn row(&mut self, row: Observation) {
        match IndicatorKey::parse(row.kind, &row.value) {
            Ok(key) => self.keys.push(key),
            Err(_) => self.rejected += 1,
        }
    }

    fn reject(&mut self, _reason: &'static str, _sample: &str) {
        self.rejected += 1;
    }

    fn filter(&mut self, _reason: &'static str, _n: u64) {}
}

/// The readers to try, in this order, by what a file is called and begins with.
fn readers(path: &Path, head: &str) -> &'static [&'static str] {
    let name = path.to_string_lossy().to_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let ends = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
    let head = head.trim_start_matches('\u{feff}').trim_start();
    match () {
        () if head.contains("\"matching_attributes\"") || name.contains("warninglist") => &[],
        () if head.starts_with('<') => &["openioc", "stix1", "extract"],
        () if ends(&[".json", ".stix2", ".jsonl", ".ndjson"]) || head.starts_with('{') => {
            if head.contains("\"Event\"") { &["misp", "stix"] } else { &["stix", "misp"] }
        }
        () if ends(&[".csv", ".tsv"]) => &["csv", "extract"],
        () if ends(&[".md", ".adoc", ".rst", ".html", ".yaml", ".yml"]) => &["extract"],
        () => &["text", "extract"],
    }
}

fn read(path: &Path, values: &mut Values) {
    let mut body = Vec::new();
    let opened = fs::File::open(path).map_err(|error| error.to_string());
    let unpacked = opened
        .and_then(|file| unpack(Box::new(BufReader::new(file)), &Unpack::default()).map_err(|error| error.to_string()));
    let done = unpacked.and_then(|mut reader| reader.read_to_end(&mut body).map_err(|error| error.to_string()));
    if let Err(error) = done {
        values.unread.push(format!("{}: {error}", path.display()));
        return;
    }
    let head = String::from_utf8_lossy(&body[..body.len().min(64 << 10)]).into_owned();
    let mut why = "no reader is for it".to_owned();
    for format in readers(path, &head) {
        let spec = match FeedSpec::from_settings(&json!({ "format": format })) {
            Ok(spec) => spec,
            Err(problem) => {
                why = problem;
                continue;
            }
        };
        let mut sheet = Sheet::default();
        match parse(&spec, Cursor::new(&body[..]), &mut sheet) {
            // Prose in a text file: mostly rejected, so read as prose.
            Ok(_) if *format != "extract" && sheet.rejected > sheet.keys.len() as u64 => {
                why = format!("{} of {} rows are none", sheet.rejected, sheet.rejected + sheet.keys.len() as u64);
            }
            Ok(_) => {
                let at = values.files.len();
                values.files.push(path.to_owned());
                values.rows += sheet.keys.len() as u64;
                values.rejected += sheet.rejected;
                *values.read.entry(format).or_default() += 1;
                for key in sheet.keys {
                    values.keys.entry(key).or_insert(at);
                }
                return;
            }
            Err(error) => why = error.to_string(),
        }
    }
    values.unread.push(format!("{}: {why}", path.display()));
}

fn walk(path: &Path, values: &mut Values) {
    let Ok(entries) = fs::read_dir(path) else { return read(path, values) };
    let mut below: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    below.sort();
    below.iter().for_each(|path| walk(path, values));
}

fn main() {
    let (options, paths): (Vec<String>, Vec<String>) = std::env::args().skip(1).partition(|arg| arg.starts_with("--"));
    let flags = options.iter().any(|option| option == "--flags");
    let mut values = Values::default();
    paths.iter().for_each(|path| walk(Path::new(path), &mut values));
    let guard = Guard::new(SHIPPED.iter().map(|list| list.list(list.class())));
    let mut found: BTreeMap<(bool, String), Vec<String>> = BTreeMap::new();
    for (key, at) in &values.keys {
        let Some(hit) = guard.look_up(key) else { continue };
        let file = values.files.get(*at).map(|file| file.display().to_string()).unwrap_or_default();
        let line = format!("{} {}\t{} {}\t{file}", key.kind(), key.value(), hit.relation, hit.value);
        found.entry((!hit.stop, format!("{} ({})", hit.list, hit.class))).or_default().push(line);
    }
    for ((flagged, list), lines) in &mut found {
        println!("{} by {list}: {}", if *flagged { "flagged" } else { "stopped" }, lines.len());
        lines.sort();
        lines.iter().filter(|_| flags || !*flagged).for_each(|line| println!("\t{line}"));
    }
    let n = |wanted: bool| found.iter().filter(|((flagged, _), _)| *flagged == wanted).map(|(_, all)| all.len()).sum();
    let (stopped, flagged): (usize, usize) = (n(false), n(true));
    let all = values.keys.len();
    let share = 100.0 * stopped as f64 / all.max(1) as f64;
    println!("files by reader: {:?}; {} read by none", values.read, values.unread.len());
    println!("rows: {} read, {} rejected", values.rows + values.rejected, values.rejected);
    println!("{all} distinct values: {stopped} stopped ({share:.3} %), {flagged} flagged");
    for line in &values.unread {
        eprintln!("not read: {line}");
    }
}
