//! What stands where: links that lead somewhere, fragments with the right name, connectors that are listed, test data that is accounted for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};

use super::Problem;
use crate::repo::File;

/// Committed feeds stay small enough to clone without thinking (bytes).
const MAX_TESTDATA: u64 = 5_000_000;
/// What the demo embeds becomes part of the binary (bytes).
const MAX_DEMO: u64 = 1_500_000;

const CHANGES: &[&str] = &["added", "changed", "fixed", "removed", "security"];

/// Relative links of Markdown files must lead to a file or folder of the checkout.
pub(super) fn links(files: &[File], paths: &[String]) -> Vec<Problem> {
    let mut known: BTreeSet<&str> = paths.iter().map(String::as_str).collect();
    known.insert("");
    for path in paths {
        known.extend(path.match_indices('/').map(|(at, _)| &path[..at]));
    }
    let mut problems = Vec::new();
    for file in files.iter().filter(|file| file.has_extension("md")) {
        let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut in_code = false;
        for (at, line) in file.text.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                in_code = !in_code;
            }
            if in_code {
                continue;
            }
            for target in link_targets(line) {
                let resolved = resolve(folder, target);
                if !resolved.as_deref().is_some_and(|path| known.contains(path)) {
                    problems.push(Problem::new(&file.path, at + 1, format!("the link to `{target}` leads nowhere")));
                }
            }
        }
    }
    problems
}

/// What `](…)` and `[name]: …` name on a line, without addresses of the web and jumps within the page.
fn link_targets(line: &str) -> Vec<&str> {
    let mut targets: Vec<&str> = Vec::new();
    // Between back ticks is code: every second part.
    for part in line.split('`').step_by(2) {
        targets.extend(part.split("](").skip(1).filter_map(|rest| rest.split(')').next()));
    }
    if let Some((_, target)) = line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")) {
        targets.push(target);
    }
    let inside = |target: &&str| !target.contains("://") && !target.starts_with('#') && !target.starts_with("mailto:");
    let path = |target: &str| -> usize { target.find(['#', ' ']).unwrap_or(target.len()) };
    targets.into_iter().map(str::trim).filter(inside).map(|target| &target[..path(target)]).collect()
}

/// `target` seen from `folder`; `None` if it leaves the checkout.
fn resolve(folder: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = if target.starts_with('/') { vec![] } else { folder.split('/').collect() };
    parts.retain(|part| !part.is_empty());
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// Fragments are `changelog.d/<slug>.<kind>.md`.
pub(super) fn changelog(paths: &[String]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for path in paths {
        let Some(name) = path.strip_prefix("changelog.d/").filter(|name| *name != "README.md") else { continue };
        let good = name.strip_suffix(".md").and_then(|stem| stem.split_once('.')).is_some_and(|(slug, kind)| {
            let slug_is_plain = slug.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
            !slug.is_empty() && slug_is_plain && CHANGES.contains(&kind)
        });
        if !good {
            let what = format!("not `<slug>.<kind>.md` with a kind of {}", CHANGES.join(", "));
            problems.push(Problem::new(path, 0, what));
        }
    }
    problems
}

/// Every folder of a connector is listed in `ALL`, and has a manifest; every feed has a recorded exchange.
pub(super) fn connectors(files: &[File], paths: &[String]) -> Vec<Problem> {
    const ROOM: &str = "crates/connectors/src/";
    const LIST: &str = "crates/connectors/src/lib.rs";
    const FEEDS: &str = "crates/connectors/feeds/";
    let mut problems = Vec::new();
    let list = files.iter().find(|file| file.path == LIST).map_or("", |file| file.text.as_str());
    let with_manifest = paths.iter().filter_map(|path| path.strip_prefix(ROOM)?.strip_suffix("/manifest.toml"));
    for name in with_manifest.filter(|name| !name.contains('/')) {
        if !lists(list, name) {
            problems.push(Problem::new(LIST, 0, format!("the connector `{name}` is not listed: add its line to ALL")));
        }
    }
    for feed in paths.iter().filter_map(|path| path.strip_prefix(FEEDS)?.strip_suffix(".toml")) {
        let folders = [format!("{FEEDS}exchanges/{feed}"), format!("{FEEDS}{feed}")];
        let recorded =
            |path: &String| path.contains(".http") && folders.iter().any(|folder| path.starts_with(folder.as_str()));
        if !feed.contains('/') && !paths.iter().any(recorded) {
            let what = format!("no recorded exchange: {FEEDS}exchanges/{feed}.http");
            problems.push(Problem::new(&format!("{FEEDS}{feed}.toml"), 0, what));
        }
    }
    problems
}

/// Whether the value of `ALL` names something of the module.
fn lists(source: &str, module: &str) -> bool {
    let value = source.split_once("static ALL").and_then(|(_, rest)| rest.split_once("];"));
    let starts_a_path = |word: &str| word.strip_prefix(module).is_some_and(|rest| rest.starts_with("::"));
    value.is_some_and(|(value, _)| value.split([',', '&', '[', ' ', '\n']).any(starts_a_path))
}

/// Every file under `testdata` stands in its manifest with its size and its origin's licence, and all of it stays small.
pub(super) fn testdata(root: &Path, files: &[File], paths: &[String]) -> Result<Vec<Problem>> {
    let Some(manifest) = files.iter().find(|file| file.path == "testdata/MANIFEST.tsv") else { return Ok(vec![]) };
    let mut sizes = BTreeMap::new();
    for path in paths.iter().filter(|path| path.starts_with("testdata/")) {
        let size = std::fs::metadata(root.join(path)).with_context(|| format!("look at {path}"))?.len();
        sizes.insert(path.as_str(), size);
    }
    Ok(account(&manifest.text, &sizes))
}

fn account(manifest: &str, sizes: &BTreeMap<&str, u64>) -> Vec<Problem> {
    const MANIFEST: &str = "testdata/MANIFEST.tsv";
    let mut problems = Vec::new();
    let mut stated = BTreeMap::new();
    for (at, line) in manifest.lines().enumerate().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        match (fields.first(), fields.get(1).and_then(|size| size.parse::<u64>().ok()), fields.len()) {
            (Some(path), Some(size), 7) => {
                stated.insert(format!("testdata/{path}"), size);
            }
            _ => problems.push(Problem::new(MANIFEST, at + 1, "not seven fields with a size in the second")),
        }
    }
    for (path, size) in &stated {
        match sizes.get(path.as_str()) {
            None => problems.push(Problem::new(path, 0, "in the manifest, but not there")),
            Some(there) if there != size => {
                let what = format!("{there} bytes, {size} in the manifest: published files stay as published");
                problems.push(Problem::new(path, 0, what));
            }
            Some(_) => {}
        }
    }
    let folders = ["demo", "feeds", "generated"];
    for path in sizes.keys() {
        let mut parts = path.split('/').skip(1);
        let folder = parts.next().unwrap_or_default();
        if !folders.contains(&folder) {
            continue;
        }
        if !stated.contains_key(*path) {
            problems.push(Problem::new(path, 0, "not in testdata/MANIFEST.tsv: where does it come from?"));
        }
        let licence = format!("testdata/licences/{}.txt", parts.next().unwrap_or_default());
        if folder != "generated" && !sizes.contains_key(licence.as_str()) {
            problems.push(Problem::new(path, 0, format!("its licence {licence} is missing")));
        }
    }
    for (prefix, most) in [("testdata/", MAX_TESTDATA), ("testdata/demo/", MAX_DEMO)] {
        let total: u64 = sizes.iter().filter(|(path, _)| path.starts_with(prefix)).map(|(_, size)| size).sum();
        if total > most {
            problems.push(Problem::new(prefix, 0, format!("{total} bytes; at most {most}")));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(paths: &[&str]) -> Vec<String> {
        paths.iter().map(|path| (*path).to_owned()).collect()
    }

    #[test]
    fn links_lead_somewhere() {
        let paths = owned(&["README.md", "docs/a.md", "docs/pics/b.png"]);
        let cases = [
            ("docs/a.md", "[x](../README.md)", 0),
            ("docs/a.md", "[x](pics/b.png#part) and [y](pics)", 0),
            ("docs/a.md", "[x](README.md)", 1),
            ("docs/a.md", "[x](../../README.md)", 1),
            ("README.md", "[x](docs/missing.md) [y](docs/a.md)", 1),
            ("README.md", "[x]: docs/missing.md", 1),
            ("README.md", "[x](https://example.net/a.md) [y](#here) `[z](nowhere)`", 0),
            ("README.md", "```\n[x](nowhere)\n```", 0),
        ];
        for (path, text, expect) in cases {
            assert_eq!(links(&[File::new(path, text)], &paths).len(), expect, "{path}: {text}");
        }
    }

    #[test]
    fn fragments_have_a_slug_and_a_kind() {
        let good = owned(&["changelog.d/README.md", "changelog.d/first-exchange.added.md", "docs/x.md"]);
        assert_eq!(changelog(&good), []);
        for bad in
            ["changelog.d/new.md", "changelog.d/x.improved.md", "changelog.d/.added.md", "changelog.d/A b.added.md"]
        {
            assert_eq!(changelog(&owned(&[bad])).len(), 1, "{bad}");
        }
    }

    #[test]
    fn a_connector_is_listed() {
        let paths = owned(&["crates/connectors/src/feodo/manifest.toml", "crates/connectors/src/feodo/mod.rs"]);
        let lib = |all: &str| [File::new("crates/connectors/src/lib.rs", all)];
        let listed = "pub static ALL: &[&Connector] = &[&misp::CONNECTOR, &feodo::CONNECTOR];\n";
        assert_eq!(connectors(&lib(listed), &paths), []);
        for missing in ["", "pub static ALL: &[&Connector] = &[&not_feodo::CONNECTOR];\nuse feodo::CONNECTOR;\n"] {
            assert_eq!(connectors(&lib(missing), &paths).len(), 1, "{missing}");
        }
    }

    #[test]
    fn a_feed_has_an_exchange() {
        let feed = "crates/connectors/feeds/urlhaus.toml";
        assert_eq!(connectors(&[], &owned(&[feed])).len(), 1);
        assert_eq!(connectors(&[], &owned(&[feed, "crates/connectors/feeds/exchanges/urlhaus.http"])), []);
    }

    #[test]
    fn testdata_is_accounted_for() {
        let head = "file\tbytes\tsha256\torigin\tcommit\torigin_path\tnote\n";
        let line = "demo/ipsum/3.txt\t5\tx\ta/b\tc\td\tas published\n";
        let whole = [("testdata/demo/ipsum/3.txt", 5), ("testdata/licences/ipsum.txt", 9)];
        let judge = |manifest: &str, sizes: &[(&'static str, u64)]| {
            account(manifest, &sizes.iter().copied().collect::<BTreeMap<&str, u64>>()).len()
        };
        let good = format!("{head}{line}");
        assert_eq!(judge(&good, &whole), 0);
        assert_eq!(judge(head, &whole), 1, "not in the manifest");
        assert_eq!(judge(&good, &whole[1..]), 1, "not there");
        assert_eq!(judge(&good, &whole[..1]), 1, "no licence");
        assert_eq!(judge(&good, &[("testdata/demo/ipsum/3.txt", 6), whole[1]]), 1, "changed");
        assert_eq!(judge(&format!("{good}one\ttwo\n"), &whole), 1, "a broken line");
        let large = good.replace("\t5\t", "\t2000000\t");
        assert_eq!(judge(&large, &[("testdata/demo/ipsum/3.txt", 2_000_000), whole[1]]), 1, "too large for the demo");
    }
}
