//! What may come in from outside: the licence of every crate in the lock file, and whether an advisory was published against it.
//!
//! It needs no network and no tool beyond cargo. Those who have cargo-deny get the same policy from `deny.toml`.

pub(crate) mod advisories;
mod licence;
pub(crate) mod shipped;

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::repo;
use advisories::{Advisory, Package};

/// Permissive, and compatible with Apache-2.0 without asking anyone.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// `(crate, licence, reason)`: one crate with a licence that is not allowed for all.
const EXCEPTIONS: &[(&str, &str, &str)] = &[];

/// `(crate, reason)`: never in the tree, by whatever way.
const BANNED: &[(&str, &str)] = &[
    ("openssl-sys", "one TLS backend in the tree, and that is rustls"),
    ("native-tls", "one TLS backend in the tree, and that is rustls"),
    ("reqwest", "the blocking ureq is the one HTTP client"),
];

/// How the lock file names crates.io.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// `(advisory, reason, until)`: known, judged, and not a failure before that day (RFC 3339 date).
const IGNORED: &[(&str, &str, &str)] = &[(
    "RUSTSEC-2023-0071",
    "rsa comes with openidconnect, which verifies signatures with public keys; a private RSA key, whose timing it is about, \
     never gets there",
    "2027-06-30",
)];

pub(crate) fn run(root: &Path) -> Result<()> {
    let lock = std::fs::read_to_string(root.join("Cargo.lock")).context("read Cargo.lock")?;
    let packages = advisories::packages(&lock)?;
    let snapshot = std::fs::read_to_string(root.join(advisories::SNAPSHOT))
        .with_context(|| format!("read {}; `cargo xtask advisories` makes it", advisories::SNAPSHOT))?;
    let (header, list) = advisories::read(&snapshot)?;
    let today = advisories::today();

    let mut problems = banned(&packages);
    problems.extend(strangers(&packages));
    problems.extend(licences(root)?);
    let found = judge(&packages, &list, &today);
    problems.extend(found.failures);
    for warning in &found.warnings {
        println!("warning: {warning}");
    }
    println!(
        "deps: {} crates from outside, {} advisories as of {} ({})",
        packages.len(),
        list.len(),
        header.date,
        header.commit
    );
    let age = advisories::days_between(&header.date, &today).unwrap_or(0);
    if age > 90 {
        println!("warning: the advisory snapshot is {age} days old; advisories/README.md says how to refresh it");
    }
    if problems.is_empty() {
        return Ok(());
    }
    bail!("{} problems\n  {}", problems.len(), problems.join("\n  "))
}

/// What is published can be looked up, audited and withdrawn; a git branch can change under us.
fn strangers(packages: &[Package]) -> Vec<String> {
    let strange = packages.iter().filter(|package| package.source != CRATES_IO);
    strange.map(|package| format!("{} comes from {}, not from crates.io", package.name, package.source)).collect()
}

fn banned(packages: &[Package]) -> Vec<String> {
    let banned = BANNED.iter().filter(|(name, _)| packages.iter().any(|package| package.name == *name));
    banned.map(|(name, reason)| format!("{name} is in Cargo.lock: {reason}")).collect()
}

/// What cargo says of the workspace, and whether of every system.
fn metadata(root: &Path) -> Result<(Value, bool)> {
    match repo::metadata(root, &[]) {
        Ok(metadata) => Ok((metadata, true)),
        Err(error) => {
            // Crates for other systems are not on this disk and there is no network: judge those that are built here.
            let host = host(root)?;
            println!("note: licences of crates for {host} only ({error:#})");
            Ok((repo::metadata(root, &["--offline", "--filter-platform", &host])?, false))
        }
    }
}

fn licences(root: &Path) -> Result<Vec<String>> {
    let (metadata, whole) = metadata(root)?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists packages")?;
    let outside = packages.iter().filter(|package| !package["source"].is_null());
    let mut problems: Vec<String> = outside.filter_map(licence_problem).collect();
    problems.extend(shipped::problems(root, &metadata, whole)?);
    Ok(problems)
}

fn licence_problem(package: &Value) -> Option<String> {
    let name = package["name"].as_str().unwrap_or_default();
    let Some(expression) = package["license"].as_str() else {
        return Some(format!("{name}: states no licence; add it to EXCEPTIONS with a reason or do without it"));
    };
    let allowed = |licence: &str| {
        ALLOWED.contains(&licence) || EXCEPTIONS.iter().any(|(excepted, by, _)| *excepted == name && *by == licence)
    };
    match licence::satisfied(expression, &allowed) {
        Ok(true) => None,
        Ok(false) => Some(format!("{name}: `{expression}` is not an allowed licence (xtask/src/deps/mod.rs)")),
        Err(error) => Some(format!("{name}: cannot read the licence `{expression}`: {error}")),
    }
}

fn host(root: &Path) -> Result<String> {
    let output = std::process::Command::new("rustc").arg("-vV").current_dir(root).output().context("start rustc")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc -vV names the host")?;
    Ok(line.to_owned())
}

#[derive(Debug, Default, PartialEq)]
struct Found {
    failures: Vec<String>,
    warnings: Vec<String>,
}

/// Vulnerabilities and unsound code fail, unmaintained crates and notices warn, and what was judged before is listed with the reason.
fn judge(packages: &[Package], list: &[Advisory], today: &str) -> Found {
    let mut found = Found::default();
    for package in packages {
        for advisory in list.iter().filter(|advisory| advisory.applies_to(package)) {
            let line = format!("{} {}: {} ({})", package.name, package.version, advisory.id, advisory.title);
            let ignored = IGNORED.iter().find(|(id, _, until)| *id == advisory.id && today <= *until);
            if let Some((_, reason, until)) = ignored {
                found.warnings.push(format!("{line}; ignored until {until}: {reason}"));
            } else if advisory.is_only_a_warning() {
                found.warnings.push(format!("{line}; {}", advisory.informational));
            } else {
                found.failures.push(format!("{line}; patched: {}", advisory.patched_words()));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn licences_that_are_not_allowed_are_named() {
        let cases = [
            (json!({"name": "good", "license": "MIT OR Apache-2.0"}), None),
            (json!({"name": "bad", "license": "GPL-3.0-only"}), Some("GPL-3.0-only")),
            (json!({"name": "weak", "license": "MPL-2.0"}), Some("MPL-2.0")),
            (json!({"name": "silent", "license": null}), Some("states no licence")),
            (json!({"name": "broken", "license": "MIT OR"}), Some("cannot read")),
        ];
        for (package, expect) in cases {
            let problem = licence_problem(&package);
            match expect {
                None => assert_eq!(problem, None),
                Some(part) => assert!(problem.as_ref().is_some_and(|text| text.contains(part)), "{problem:?}"),
            }
        }
    }

    #[test]
    fn a_vulnerable_version_fails_and_an_unmaintained_crate_warns() {
        let lock = "[[package]]\nname = \"leaky\"\nversion = \"1.2.3\"\nsource = \"registry+x\"\n\
                    [[package]]\nname = \"quiet\"\nversion = \"0.1.0\"\nsource = \"registry+x\"\n";
        let list = "# date 2026-08-21 commit abc\n\
                    RUSTSEC-1\tleaky\t2026-01-01\t\t>= 1.2.4\t\tCC0\tit leaks\n\
                    RUSTSEC-2\tquiet\t2026-01-01\tunmaintained\t\t\tCC0\tnobody home\n\
                    RUSTSEC-3\tleaky\t2026-01-01\t\t>= 1.2.3\t\tCC0\tmended\n";
        let packages = advisories::packages(lock).unwrap();
        let found = judge(&packages, &advisories::read(list).unwrap().1, "2026-09-01");
        assert_eq!(found.failures, ["leaky 1.2.3: RUSTSEC-1 (it leaks); patched: >=1.2.4"]);
        assert_eq!(found.warnings, ["quiet 0.1.0: RUSTSEC-2 (nobody home); unmaintained"]);
    }

    #[test]
    fn a_second_tls_backend_is_refused() {
        let lock = "[[package]]\nname = \"native-tls\"\nversion = \"0.2.0\"\nsource = \"registry+x\"\n";
        assert_eq!(banned(&advisories::packages(lock).unwrap()).len(), 1);
    }

    #[test]
    fn a_crate_from_elsewhere_is_refused() {
        let from = |source: &str| {
            let lock = format!("[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"{source}\"\n");
            strangers(&advisories::packages(&lock).unwrap()).len()
        };
        assert_eq!(from(CRATES_IO), 0);
        assert_eq!(from("git+https://example.net/a#0123"), 1);
        assert_eq!(from("registry+https://example.net/index"), 1);
    }
}
