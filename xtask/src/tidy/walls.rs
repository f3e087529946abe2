//! Which crate may import which: the table of ARCHITECTURE.md, held against what cargo says.

use serde_json::Value;

use super::Problem;
use crate::repo::File;

/// `(crate, what of ours it may import)`, for dependencies of every kind: a test sees no more than its crate.
const WALLS: &[(&str, &[&str])] = &[
    ("intel", &[]),
    ("kit", &["intel"]),
    ("connectors", &["kit", "intel"]),
    ("index", &["intel"]),
    ("store", &["intel"]),
    ("engine", &["intel", "kit", "index", "store"]),
    ("iocast", &["intel", "kit", "connectors", "index", "store", "engine"]),
    // Tests and nothing else: it opens every door, and nobody opens it.
    ("fuzzing", &["intel", "kit", "connectors", "index", "engine", "iocast"]),
    ("faultvfs", &[]),
    ("chromium", &[]),
    ("xtask", &[]),
];

/// Crates under tests: everybody's tests and xtask may use them, and nothing that is shipped.
const UNDER_TESTS: &[&str] = &["faultvfs", "chromium"];

/// `(crate, dependency, reason)`: what a crate must not know of the outside world.
const FOREIGN: &[(&str, &str, &str)] = &[
    ("intel", "serde", "intel derives no serialization: twins live in store, iocast::api and kit"),
    ("intel", "serde_json", "intel derives no serialization: twins live in store, iocast::api and kit"),
    ("intel", "tokio", "intel starts no thread and does no I/O"),
    ("intel", "ureq", "intel does no I/O"),
    ("intel", "rusqlite", "intel does no I/O"),
    ("intel", "getrandom", "randomness is an argument of intel"),
    ("index", "rusqlite", "no SQL is built from an expression; the index is rebuilt from what the store loads"),
    ("index", "tokio", "there is no async below iocast"),
    ("store", "tokio", "there is no async below iocast"),
    ("kit", "tokio", "there is no async below iocast"),
    ("kit", "rusqlite", "connectors know no store"),
    ("connectors", "tokio", "there is no async below iocast"),
    ("connectors", "rusqlite", "connectors know no store"),
    ("connectors", "ureq", "a connector speaks through kit's Http, which retries, caps, guards and records"),
    ("engine", "tokio", "there is no async below iocast"),
    ("engine", "axum", "the engine does not know HTTP serving"),
    ("engine", "rusqlite", "SQL stays in store"),
    ("iocast", "rusqlite", "SQL stays in store"),
];

/// `metadata` is that of `cargo metadata --no-deps`.
pub(super) fn check(metadata: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let Some((_, allowed)) = WALLS.iter().find(|(known, _)| *known == name) else {
            problems.push(Problem::new(name, 0, "a crate that has no line in WALLS: a new room is a design change"));
            continue;
        };
        let manifest = manifest_of(name);
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let other = dependency["name"].as_str().unwrap_or_default();
            let ours = WALLS.iter().any(|(known, _)| *known == other) && !dependency["path"].is_null();
            if UNDER_TESTS.contains(&other) && ours {
                if dependency["kind"] != "dev" && name != "xtask" {
                    problems.push(Problem::new(&manifest, 0, format!("{other} is for tests: a dev-dependency")));
                }
                continue;
            }
            if ours && other != name && !allowed.contains(&other) {
                let may = if allowed.is_empty() { "nothing of ours".into() } else { allowed.join(", ") };
                problems.push(Problem::new(&manifest, 0, format!("{name} imports {other}, but may import {may} only")));
            }
            if let Some((_, _, reason)) = FOREIGN.iter().find(|(room, foreign, _)| *room == name && *foreign == other) {
                problems.push(Problem::new(&manifest, 0, format!("{name} imports {other}: {reason}")));
            }
        }
    }
    problems
}

/// A crate that forgets `[lints] workspace = true` is judged by no lint at all.
pub(super) fn lints_are_inherited(files: &[File]) -> Vec<Problem> {
    let manifests = files.iter().filter(|file| WALLS.iter().any(|(name, _)| file.path == manifest_of(name)));
    manifests
        // It states them itself, as it may not forbid what it is there for.
        .filter(|file| !file.path.starts_with("crates/faultvfs/") && !inherits_lints(&file.text))
        .map(|file| Problem::new(&file.path, 0, "no `[lints] workspace = true`"))
        .collect()
}

fn inherits_lints(manifest: &str) -> bool {
    let Ok(table) = manifest.parse::<toml::Table>() else { return false };
    table.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool) == Some(true)
}

fn manifest_of(name: &str) -> String {
    if name == "xtask" { "xtask/Cargo.toml".into() } else { format!("crates/{name}/Cargo.toml") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn edge(from: &str, to: &str, kind: &Value) -> usize {
        let dependency = json!({"name": to, "kind": kind, "path": "/somewhere"});
        check(&json!({"packages": [{"name": from, "dependencies": [dependency]}]})).len()
    }

    #[test]
    fn edges_that_are_not_in_the_table_fail_whatever_their_kind() {
        let cases = [
            ("kit", "intel", 0),
            ("intel", "kit", 1),
            ("engine", "store", 0),
            ("engine", "connectors", 1),
            ("index", "store", 1),
            ("connectors", "store", 1),
            ("xtask", "intel", 1),
            ("iocast", "connectors", 0),
            ("kit", "kit", 0),
        ];
        for (from, to, expect) in cases {
            for kind in [Value::Null, json!("dev"), json!("build")] {
                assert_eq!(edge(from, to, &kind), expect, "{from} -> {to} ({kind})");
            }
        }
    }

    #[test]
    fn what_is_under_tests_is_in_nothing_that_is_shipped() {
        assert_eq!(edge("store", "faultvfs", &json!("dev")), 0);
        assert_eq!(edge("store", "faultvfs", &Value::Null), 1);
        assert_eq!(edge("faultvfs", "store", &json!("dev")), 1);
        assert_eq!(edge("xtask", "chromium", &Value::Null), 0);
        assert_eq!(edge("iocast", "chromium", &Value::Null), 1);
    }

    #[test]
    fn what_a_room_must_not_know_fails() {
        let of_registry = |from: &str, to: &str| {
            let dependency = json!({"name": to, "path": null});
            check(&json!({"packages": [{"name": from, "dependencies": [dependency]}]}))
        };
        assert_eq!(of_registry("intel", "serde").len(), 1);
        assert_eq!(of_registry("connectors", "ureq").len(), 1);
        assert_eq!(of_registry("kit", "serde"), []);
        // A crate of the registry that happens to have the name of a room is no edge between rooms.
        assert_eq!(of_registry("intel", "store"), []);
    }

    #[test]
    fn a_crate_nobody_planned_fails() {
        assert_eq!(check(&json!({"packages": [{"name": "utils", "dependencies": []}]})).len(), 1);
    }

    #[test]
    fn lints_must_be_inherited() {
        let files = [
            File::new("crates/kit/Cargo.toml", "[package]\nname = \"kit\"\n[lints]\nworkspace = true\n"),
            File::new("crates/store/Cargo.toml", "[package]\nname = \"store\"\n"),
        ];
        let problems = lints_are_inherited(&files);
        assert_eq!(
            problems.iter().map(|problem| problem.path.as_str()).collect::<Vec<_>>(),
            ["crates/store/Cargo.toml"]
        );
    }
}
