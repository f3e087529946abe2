//! What others wrote and is in the program: `docs/reference/licences.md`, which the console shows too.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Where the list stands.
const PAGE: &str = "docs/reference/licences.md";

/// `(name, version, licence)` of what lies below `crates/iocast/assets/vendor`.
const VENDORED: &[(&str, &str, &str, &str)] = &[
    ("htmx", "2.0.11", "0BSD", "htmx-2.0.11.min.js"),
    ("htmx-ext-sse", "2.2.4", "0BSD", "htmx-ext-sse-2.2.4.min.js"),
    ("idiomorph", "0.8.0", "0BSD", "idiomorph-0.8.0.min.js"),
    ("lucide", "1.62.0", "ISC", "lucide-1.62.0.txt"),
];

/// The crates of the program with version and licence, of what cargo says of the workspace: reached from `iocast` by
/// ordinary dependencies, on any system.
fn crates(metadata: &Value) -> Result<BTreeSet<(String, String, String)>> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let packages: BTreeMap<String, Value> =
        list(&metadata["packages"]).into_iter().map(|package| (text(&package["id"]), package)).collect();
    let nodes: BTreeMap<String, Value> =
        list(&metadata["resolve"]["nodes"]).into_iter().map(|node| (text(&node["id"]), node)).collect();
    let first = packages.iter().find(|(_, package)| package["name"] == "iocast").context("there is a crate iocast")?;
    let mut to_see = vec![first.0.clone()];
    let mut seen = BTreeSet::new();
    while let Some(id) = to_see.pop() {
        if !seen.insert(id.clone()) {
            continue;
        }
        for dep in nodes.get(&id).map(|node| list(&node["deps"])).unwrap_or_default() {
            if list(&dep["dep_kinds"]).iter().any(|kind| kind["kind"].is_null()) {
                to_see.push(text(&dep["pkg"]));
            }
        }
    }
    let outside = seen.iter().filter_map(|id| packages.get(id)).filter(|package| !package["source"].is_null());
    Ok(outside.map(|package| (text(&package["name"]), text(&package["version"]), text(&package["license"]))).collect())
}

/// The list as a page.
fn page(crates: &BTreeSet<(String, String, String)>) -> String {
    let mut out = String::from(
        "# Licences\n\nWhat others wrote and is in the program, on one system or another. `cargo xtask licences` writes this page, and \
         `cargo xtask deps` compares it with `Cargo.lock`.\n\n## Scripts and pictures of the console\n\n\
         | Name | Version | Licence |\n| --- | --- | --- |\n",
    );
    for (name, version, licence, _) in VENDORED {
        out.push_str(&format!("| {name} | {version} | {licence} |\n"));
    }
    out.push_str("\n## Crates\n\n| Name | Version | Licence |\n| --- | --- | --- |\n");
    for (name, version, licence) in crates {
        out.push_str(&format!("| {name} | {version} | {licence} |\n"));
    }
    out
}

/// The crates that a page lists.
fn listed(page: &str) -> BTreeSet<(String, String, String)> {
    let crates = page.split("## Crates").nth(1).unwrap_or_default();
    let cells = |line: &str| -> Option<(String, String, String)> {
        let mut cells = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").map(str::to_owned);
        Some((cells.next()?, cells.next()?, cells.next()?))
    };
    crates.lines().filter_map(cells).filter(|(name, ..)| name != "Name" && !name.starts_with("---")).collect()
}

fn missing_scripts(root: &Path) -> Vec<String> {
    let folder = root.join("crates/iocast/assets/vendor");
    let gone = VENDORED.iter().filter(|(.., file)| !folder.join(file).is_file());
    let mut problems: Vec<String> =
        gone.map(|(name, .., file)| format!("{name}: {file} is not vendored (xtask/src/deps/shipped.rs)")).collect();
    let there = std::fs::read_dir(&folder).into_iter().flatten().flatten();
    for name in there.map(|entry| entry.file_name().to_string_lossy().into_owned()) {
        let is_known = VENDORED.iter().any(|(.., file)| *file == name);
        if !is_known && !name.ends_with(".LICENSE") {
            problems.push(format!("{name} is vendored and in no list of licences (xtask/src/deps/shipped.rs)"));
        }
    }
    problems
}

/// What is wrong with the page. `whole`: cargo knows the crates of every system.
pub(super) fn problems(root: &Path, metadata: &Value, whole: bool) -> Result<Vec<String>> {
    let is = crates(metadata)?;
    let said = std::fs::read_to_string(root.join(PAGE)).unwrap_or_default();
    let mut problems = missing_scripts(root);
    let hint = "`cargo xtask licences` writes it";
    if whole {
        if said != page(&is) {
            problems.push(format!("{PAGE} is not what Cargo.lock says; {hint}"));
        }
        return Ok(problems);
    }
    let said = listed(&said);
    problems.extend(is.difference(&said).map(|(name, version, _)| format!("{PAGE} lacks {name} {version}; {hint}")));
    Ok(problems)
}

/// Writes the page.
pub(crate) fn write(root: &Path) -> Result<()> {
    let (metadata, whole) = super::metadata(root)?;
    if !whole {
        bail!("crates of other systems are not on this disk: `cargo fetch` first, with a network");
    }
    let page = page(&crates(&metadata)?);
    let path = root.join(PAGE);
    std::fs::write(&path, page).with_context(|| format!("write {}", path.display()))?;
    println!("wrote {PAGE}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_only_tested_or_built_with_is_not_shipped() {
        let package = |id: &str, source: Value| json!({ "id": id, "name": id, "version": "1.0.0", "license": "MIT", "source": source });
        let dep = |id: &str, kind: Value| json!({ "pkg": id, "dep_kinds": [{ "kind": kind }] });
        let metadata = json!({
            "packages": [
                package("iocast", Value::Null), package("kit", Value::Null), package("used", json!("registry")),
                package("deep", json!("registry")), package("tester", json!("registry")), package("builder", json!("registry")),
            ],
            "resolve": { "nodes": [
                { "id": "iocast", "deps": [dep("kit", Value::Null), dep("tester", json!("dev"))] },
                { "id": "kit", "deps": [dep("used", Value::Null), dep("builder", json!("build"))] },
                { "id": "used", "deps": [dep("deep", Value::Null)] },
            ] },
        });
        let found = crates(&metadata).unwrap();
        let names: Vec<&str> = found.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, ["deep", "used"]);
        assert_eq!(listed(&page(&found)), found, "what is written is read");
    }
}
