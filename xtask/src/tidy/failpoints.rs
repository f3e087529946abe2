//! Failpoints: every named point of a job is in the one list that the kill loops go through, and no build but that of
//! tests can be stopped at one.

use std::collections::BTreeSet;

use super::Problem;
use crate::repo::File;

const LIST: &str = "crates/iocast/src/rig/mod.rs";
const MANIFEST: &str = "crates/iocast/Cargo.toml";
/// The feature that compiles failpoints in.
const FEATURE: &str = "rig";

pub(super) fn check(files: &[File]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let text = |path: &str| files.iter().find(|file| file.path == path).map_or("", |file| file.text.as_str());
    let listed: BTreeSet<&str> = listed(text(LIST));
    let mut passed = BTreeSet::new();
    for file in files.iter().filter(|file| file.path.starts_with("crates/") && file.path.contains("/src/")) {
        for (at, line) in file.text.lines().enumerate() {
            for name in line.split(".step(\"").skip(1).filter_map(|rest| rest.split('"').next()) {
                passed.insert(name);
                if !listed.contains(name) {
                    problems.push(Problem::new(
                        &file.path,
                        at + 1,
                        format!("the point `{name}` is not in POINTS of {LIST}"),
                    ));
                }
            }
        }
    }
    for name in listed.difference(&passed) {
        problems.push(Problem::new(LIST, 0, format!("nothing passes the point `{name}`")));
    }
    if is_default(text(MANIFEST)) {
        problems.push(Problem::new(
            MANIFEST,
            0,
            format!("`{FEATURE}` is for tests and no default: a release would stop on request"),
        ));
    }
    problems
}

/// The strings of `const POINTS`.
fn listed(source: &str) -> BTreeSet<&str> {
    let value = source.split_once("const POINTS").and_then(|(_, rest)| rest.split_once("];"));
    value.map_or_else(BTreeSet::new, |(value, _)| value.split('"').skip(1).step_by(2).collect())
}

fn is_default(manifest: &str) -> bool {
    let Ok(table) = manifest.parse::<toml::Table>() else { return true };
    let default = table.get("features").and_then(|features| features.get("default")).and_then(toml::Value::as_array);
    default.is_some_and(|names| !names.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(points: &str, source: &str, features: &str) -> usize {
        check(&[
            File::new(LIST, &format!("pub const POINTS: &[&str] = &[{points}];\n")),
            File::new("crates/engine/src/a.rs", source),
            File::new(MANIFEST, &format!("[features]\n{features}\n")),
        ])
        .len()
    }

    #[test]
    fn points_and_list_agree_and_no_release_has_them() {
        let passes = "self.world.step(\"a.b\")?;\n";
        assert_eq!(count("\"a.b\"", passes, "rig = []"), 0);
        assert_eq!(count("", passes, "rig = []"), 1);
        assert_eq!(count("\"a.b\", \"c\"", passes, "rig = []"), 1);
        assert_eq!(count("\"a.b\"", passes, "default = [\"rig\"]\nrig = []"), 1);
    }
}
