//! The table of faults, made from the tests: what is claimed is what a test function says of itself, and no more.
//!
//! A test that shows a fault begins with its id (`fn f40_…`) and has a doc comment: what is shown, how, and, after the
//! word `Figures:`, with how many cases. A fault without such a test is open, whatever anybody believes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};

use crate::repo::{self, File};

/// The generated page.
pub(crate) const PAGE: &str = "docs/reference/faults.md";

/// What goes wrong, by id. A fault keeps its id for good, as tests are named by it.
const FAULTS: &[(&str, &str)] = &[
    ("F01", "The process is killed while it pulls"),
    ("F02", "The process is killed while it joins what was pulled with what is known"),
    ("F03", "The process is killed while it shares: before, during and after a call, before the ledger is written"),
    ("F04", "It is told to stop while work is going on"),
    ("F05", "Memory runs out"),
    ("F06", "Power fails: writes that were not synced are lost, torn or out of order"),
    ("F07", "The process is paused for minutes and goes on"),
    ("F08", "Descriptors, threads or ports are used up"),
    ("F09", "The disk is full"),
    ("F10", "The disk fails: reading, writing, syncing"),
    ("F11", "The store's file is damaged, cut, or without its log"),
    ("F12", "The store is locked by another program or cannot be written"),
    ("F13", "SQLite is a build, or set in a way, that is not safe"),
    ("F14", "An older backup is restored: the ledger is behind the destinations"),
    ("F15", "A migration is killed; an older program meets a newer schema"),
    ("F16", "The clock jumps"),
    ("F17", "Times of a source are missing, absurd or without a zone"),
    ("F18", "Names do not resolve, connections are refused, certificates are wrong"),
    ("F19", "A source answers a byte at a time, or stops in the middle"),
    ("F20", "A body has no end"),
    ("F21", "A body is cut"),
    ("F22", "A source answers, but with something else: a login page, an empty list, a parked domain"),
    ("F23", "A source leads elsewhere: redirects, private addresses, changing names"),
    ("F24", "A server asks to be called later"),
    ("F25", "Pages repeat, shrink, lead in circles or to another host"),
    ("F26", "A token ends in the middle of a run"),
    ("F27", "A source suddenly lists much less or much more"),
    ("F28", "Fields of a source change their name or type"),
    ("F29", "A source takes everything back"),
    ("F30", "A small body unpacks to a huge one"),
    ("F31", "XML with entities, external parts and other traps"),
    ("F32", "JSON that is deep, long, doubled or broken"),
    ("F33", "STIX objects and patterns made to cost much"),
    ("F34", "Text and tables made to cost much, or to act when opened"),
    ("F35", "Values that mean too much or more than one thing"),
    ("F36", "Text that acts: script, control characters, templates"),
    ("F37", "A poisoned feed: what everybody needs is listed as bad"),
    ("F38", "A destination answers 429 for hours"),
    ("F39", "A destination answers nothing but errors"),
    ("F40", "A call times out after the change was made"),
    ("F41", "A part of a batch is refused, or all of it because of one item"),
    ("F42", "Something is there already, answers come in another order, a list lags behind"),
    ("F43", "A destination is full"),
    ("F44", "A list that is replaced as a whole is edited by somebody else at the same time"),
    ("F45", "A destination shows half of its list, or nothing"),
    ("F46", "A destination accepts and silently drops"),
    ("F47", "A credential is revoked, or loses rights, during a push"),
    ("F48", "A destination's address leads to another tenant"),
    ("F49", "A destination must activate what was sent, and others have changes pending"),
    ("F50", "A list we serve must never be short: restart, damage, half-made body"),
    ("F51", "A connector of its own process hangs"),
    ("F52", "A connector of its own process crashes again and again"),
    ("F53", "A connector of its own process leaks"),
    ("F54", "A connector of its own process floods us"),
    ("F55", "A connector of its own process reaches for what it may not"),
    ("F56", "A connector of its own process lies"),
    ("F57", "A connector's program was changed"),
    ("F58", "A database server fails over in the middle of a commit"),
    ("F59", "Two nodes run one job"),
    ("F60", "A node loses its database or its destination"),
    ("F61", "Nodes of two versions work together"),
    ("F62", "Clocks of nodes differ"),
    ("F63", "Rules, sharings or targets are edited while a run goes on"),
    ("F64", "A secret or the key that seals secrets changes during a run"),
    ("F65", "A run is undone while it goes on"),
    ("F66", "A source with very many indicators is deleted"),
    ("F67", "What we share comes back to us"),
    ("F68", "More comes in than goes out; everything starts at once"),
    ("F69", "A destination is away for a week"),
    ("F70", "What is done can no longer be written down"),
];

/// Left for later by name: what they need is not built yet (several nodes, connectors of their own process, …).
const LATER: &[&str] = &[
    "F05", "F07", "F47", "F49", "F51", "F52", "F53", "F54", "F55", "F56", "F57", "F58", "F59", "F60", "F61", "F62",
    "F64", "F70",
];

/// Limits of the damage one mistake can do that are left for later by name.
const LATER_LIMITS: &[(&str, &str)] =
    &[("B11", "a change goes to a few destinations before it goes to all"), ("B16", "two sources must agree")];

/// A test that shows a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shown {
    id: String,
    path: String,
    line: usize,
    name: String,
    /// The doc comment, without the figures.
    words: String,
    figures: String,
}

/// Writes the page.
pub(crate) fn run(root: &Path) -> Result<()> {
    let files = repo::text_files(root, &repo::paths(root)?)?;
    let shown = find(&files);
    std::fs::write(root.join(PAGE), page(&shown)).with_context(|| format!("write {PAGE}"))?;
    let with: std::collections::BTreeSet<&str> = shown.iter().map(|test| test.id.as_str()).collect();
    println!("faults: {} tests show {} of {} faults; {PAGE}", shown.len(), with.len(), FAULTS.len());
    Ok(())
}

/// What is wrong with the tests and the page: `(path, line, what)`.
pub(crate) fn problems(files: &[File]) -> Vec<(String, usize, String)> {
    let shown = find(files);
    let mut problems = Vec::new();
    for test in &shown {
        if !FAULTS.iter().any(|(id, _)| *id == test.id) {
            problems.push((test.path.clone(), test.line, format!("{} is no fault: see xtask/src/faults.rs", test.id)));
        }
        if test.words.is_empty() {
            let what =
                format!("{} has no comment: what is shown, how, and after `Figures:` with what figures", test.name);
            problems.push((test.path.clone(), test.line, what));
        }
    }
    let there = files.iter().find(|file| file.path == PAGE).map_or("", |file| file.text.as_str());
    if there != page(&shown) {
        problems.push((PAGE.into(), 0, "not what the tests say: run `cargo xtask faults`".into()));
    }
    problems
}

fn find(files: &[File]) -> Vec<Shown> {
    let mut shown = Vec::new();
    let ours = |file: &&File| file.path.starts_with("crates/") && file.has_extension("rs");
    for file in files.iter().filter(ours) {
        let lines: Vec<&str> = file.text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let Some(name) = function(line) else { continue };
            let Some(id) = id_of(name) else { continue };
            let (is_test, words) = above(&lines[..at]);
            if !is_test {
                continue;
            }
            let (words, figures) = match words.split_once("Figures:") {
                Some((words, figures)) => (words.trim().to_owned(), figures.trim().to_owned()),
                None => (words, String::new()),
            };
            shown.push(Shown { id, path: file.path.clone(), line: at + 1, name: name.to_owned(), words, figures });
        }
    }
    shown.sort_by(|a, b| (&a.id, &a.path, a.line).cmp(&(&b.id, &b.path, b.line)));
    shown
}

/// The name of the function that this line begins.
fn function(line: &str) -> Option<&str> {
    let rest = line.trim_start();
    let rest = rest.strip_prefix("async ").unwrap_or(rest).strip_prefix("fn ")?;
    rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()
}

/// `F40` of `f40_and_so_on`.
fn id_of(name: &str) -> Option<String> {
    let rest = name.strip_prefix('f')?;
    let (digits, rest) = rest.split_at_checked(2)?;
    (rest.starts_with('_') && digits.bytes().all(|b| b.is_ascii_digit())).then(|| format!("F{digits}"))
}

/// Whether what stands above a function makes it a test, and its doc comment as one line.
fn above(lines: &[&str]) -> (bool, String) {
    let mut is_test = false;
    let mut words = Vec::new();
    for line in lines.iter().rev().map(|line| line.trim()) {
        if let Some(text) = line.strip_prefix("///") {
            words.push(text.trim());
        } else if line.starts_with("#[") || line.starts_with("//") {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        } else {
            break;
        }
    }
    words.reverse();
    (is_test, words.join(" ").trim().to_owned())
}

fn page(shown: &[Shown]) -> String {
    let mut by_id: BTreeMap<&str, Vec<&Shown>> = BTreeMap::new();
    for test in shown {
        by_id.entry(&test.id).or_default().push(test);
    }
    let mut out = String::from(
        "# Faults\n\n\
         Made by `cargo xtask faults` from the tests; do not edit. Each row is one test: its name begins with the id of the \
         fault, and its own comment says what it shows. What has no test is *open*, and nothing is claimed of it. Figures are \
         those of a normal run; [`cargo xtask torture`](../testing.md) raises them.\n\n\
         | | Fault | What is shown, and how | Figures | Test |\n| --- | --- | --- | --- | --- |\n",
    );
    let cell = |text: &str| text.replace('|', "\\|");
    for (id, title) in FAULTS {
        let Some(tests) = by_id.get(id) else { continue };
        for test in tests {
            let figures = if test.figures.is_empty() { "in the text" } else { &test.figures };
            // Writing to a string cannot fail.
            let _ = writeln!(
                out,
                "| {id} | {title} | {} | {} | [`{}`](../../{}) |",
                cell(&test.words),
                cell(figures),
                test.name,
                test.path
            );
        }
    }
    let open = |later: bool| -> Vec<&(&str, &str)> {
        FAULTS.iter().filter(|(id, _)| !by_id.contains_key(id) && LATER.contains(id) == later).collect()
    };
    out.push_str("\n## Open\n\nNo test shows these yet.\n\n");
    for (id, title) in open(false) {
        let _ = writeln!(out, "* **{id}** {title}.");
    }
    if open(false).is_empty() {
        out.push_str("None.\n");
    }
    out.push_str("\n## Left for later\n\nAlso open; what they are about is not built yet.\n\n");
    for (id, title) in open(true) {
        let _ = writeln!(out, "* **{id}** {title}.");
    }
    for (id, title) in LATER_LIMITS {
        let _ = writeln!(out, "* **{id}** Limit of one mistake's damage: {title}.");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEST: &str = "/// A push is settled | asked.\n/// Figures: 7 cases.\n#[test]\nfn f40_a_push() {\n";

    #[test]
    fn tests_are_found_with_their_words() {
        let found = find(&[File::new("crates/a/src/x.rs", TEST)]);
        assert_eq!(found.len(), 1);
        let (test, line) = (&found[0], found[0].line);
        assert_eq!((test.id.as_str(), test.name.as_str(), line), ("F40", "f40_a_push", 4));
        assert_eq!((test.words.as_str(), test.figures.as_str()), ("A push is settled | asked.", "7 cases."));
        for other in ["fn f40_helper() {}\n", "#[test]\nfn fold_x() {}\n", "#[test]\nfn f4_x() {}\n"] {
            assert_eq!(find(&[File::new("crates/a/src/x.rs", other)]), [], "{other}");
        }
        assert_eq!(find(&[File::new("xtask/src/x.rs", TEST)]), []);
    }

    #[test]
    fn what_has_no_test_is_open() {
        let page = page(&find(&[File::new("crates/a/src/x.rs", TEST)]));
        assert!(
            page.contains(
                "| F40 | A call times out after the change was made | A push is settled \\| asked. | 7 cases."
            )
        );
        let (_, open) = page.split_once("## Open").unwrap();
        assert!(open.contains("**F41**") && open.contains("**F05**") && !open.contains("**F40**"));
    }

    #[test]
    fn drift_silence_and_unknown_ids_are_told() {
        let with = |source: &str| {
            let mut files = vec![File::new("crates/a/src/x.rs", source)];
            files.push(File::new(PAGE, &page(&find(&files))));
            problems(&files).len()
        };
        assert_eq!(with(TEST), 0);
        assert_eq!(with("#[test]\nfn f40_a_push() {\n"), 1);
        assert_eq!(with("/// Words.\n#[test]\nfn f99_a_push() {\n"), 1);
        assert_eq!(problems(&[File::new("crates/a/src/x.rs", TEST)]).len(), 1);
    }
}
