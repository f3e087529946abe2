//! The long run: everything that draws chance, with more of it, until the time is over or something breaks.
//!
//! It starts the very tests that CI runs, with more cases and another seed each round; so there is no second truth
//! about what holds, and what it finds is seen again by the command it prints.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::repo;

/// How long it runs unless told otherwise, in minutes.
pub(crate) const DEFAULT_MINUTES: u64 = 10;

/// One kind of trouble.
struct Torture {
    name: &'static str,
    package: &'static str,
    /// The test in its integration binary; all that begin so.
    test: &'static str,
    /// The variable that says how many cases one round has.
    cases: &'static str,
    per_round: u64,
}

/// In order of how soon they find something.
const TORTURES: &[Torture] = &[
    Torture {
        name: "worlds",
        package: "engine",
        test: "worlds::every_world_comes_to_rest_with_exactly_what_is_wanted",
        cases: "IOCAST_SEEDS",
        per_round: 2_000,
    },
    Torture { name: "wide worlds", package: "engine", test: "wide_worlds::", cases: "IOCAST_SEEDS", per_round: 500 },
    Torture {
        name: "others' entries",
        package: "engine",
        test: "foreign::b07_what_others_have_there_is_never_touched",
        cases: "IOCAST_HISTORIES",
        per_round: 5_000,
    },
    Torture { name: "failing disk", package: "engine", test: "disk::", cases: "IOCAST_CASES", per_round: 300 },
    Torture { name: "store's disk", package: "store", test: "disk::", cases: "IOCAST_CASES", per_round: 300 },
    Torture { name: "power cuts", package: "store", test: "power::", cases: "IOCAST_CASES", per_round: 2_000 },
    Torture { name: "damages", package: "store", test: "damage::", cases: "IOCAST_CASES", per_round: 1_000 },
    Torture { name: "failpoints", package: "iocast", test: "rig::", cases: "IOCAST_CASES", per_round: 60 },
    Torture {
        name: "kills",
        package: "iocast",
        test: "kill::f01_nothing_acknowledged",
        cases: "IOCAST_KILLS",
        per_round: 300,
    },
];

/// What was run of one kind.
#[derive(Default, Clone)]
struct Ran {
    rounds: u64,
    cases: u64,
    took: Duration,
}

/// `text` as a number of minutes.
pub(crate) fn minutes(text: &str) -> Result<u64> {
    let minutes = text.parse().ok().filter(|minutes| (1..=10_000).contains(minutes));
    minutes.with_context(|| format!("`{text}` is no number of minutes from 1 to 10000"))
}

/// Runs rounds until the time is over; each kind at least once.
pub(crate) fn run(root: &Path, minutes: u64) -> Result<()> {
    let build = build(root);
    let start = Instant::now();
    let enough = Duration::from_secs(minutes * 60);
    println!("torture: {minutes} minutes, build {build}");
    // Built first, so that the time is spent on trouble.
    for package in ["engine", "store", "iocast"] {
        let status = repo::cargo(root).args(test_args(package)).arg("--no-run").status().context("start cargo")?;
        if !status.success() {
            bail!("the tests of {package} do not build");
        }
    }
    let mut ran = vec![Ran::default(); TORTURES.len()];
    let mut round = 0u64;
    'rounds: loop {
        for (at, torture) in TORTURES.iter().enumerate() {
            if round > 0 && start.elapsed() >= enough {
                break 'rounds;
            }
            let begin = Instant::now();
            // The first round is what CI has seen, with more of it; each later one has chances of its own.
            let base = round * 1_000_003;
            let settings = [(torture.cases, torture.per_round.to_string()), ("IOCAST_SEED_BASE", base.to_string())];
            let words = [torture.test, "--nocapture"];
            let mut command = repo::cargo(root);
            command.args(test_args(torture.package)).arg("--").args(words).envs(settings.clone());
            if !command.status().context("start cargo")?.success() {
                table(TORTURES, &ran);
                let settings: Vec<String> = settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
                bail!(
                    "{}: violated at build {build}. Again: {} cargo {} -- {}; the seed it printed, as IOCAST_SEED=…, \
                     runs that case alone",
                    torture.name,
                    settings.join(" "),
                    test_args(torture.package).join(" "),
                    words.join(" ")
                );
            }
            ran[at].rounds += 1;
            ran[at].cases += torture.per_round;
            ran[at].took += begin.elapsed();
        }
        round += 1;
    }
    table(TORTURES, &ran);
    println!("torture: no violation in {:.1} minutes, build {build}", start.elapsed().as_secs_f64() / 60.0);
    Ok(())
}

fn test_args(package: &str) -> Vec<&str> {
    vec!["test", "--locked", "--quiet", "-p", package, "--all-features", "--test", "it"]
}

fn table(tortures: &[Torture], ran: &[Ran]) {
    println!("\n  {:<14} {:>7} {:>12} {:>9}", "", "rounds", "cases asked", "seconds");
    for (torture, ran) in tortures.iter().zip(ran) {
        let (name, took) = (torture.name, ran.took.as_secs_f64());
        println!("  {name:<14} {:>7} {:>12} {took:>9.1}", ran.rounds, ran.cases);
    }
}

/// The commit that is built, with a mark where files differ from it.
fn build(root: &Path) -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).current_dir(root).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".into());
    let is_changed = git(&["status", "--porcelain"]).is_some_and(|text| !text.is_empty());
    if is_changed { format!("{commit}+changes") } else { commit }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_are_a_number() {
        assert_eq!(minutes("3").unwrap(), 3);
        for wrong in ["0", "-1", "x", "", "99999"] {
            assert!(minutes(wrong).is_err(), "{wrong}");
        }
    }
}
