//! Runs the targets of `crates/fuzzing` under libFuzzer, one after another, and says in a table what came of it.
//!
//! What it needs (a nightly toolchain, cargo-fuzz, a C++ compiler) is not what CI has: without it, this says so and
//! stops, and the same targets are still tested on stable by `cargo test -p fuzzing`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::repo;

/// Seconds a target runs where nothing is said.
const SECONDS: u64 = 120;
/// Memory at which libFuzzer calls an input a failure (MiB).
const RSS_MIB: u32 = 2_048;
/// Seconds at which libFuzzer calls one input a hang.
const HANG_SECONDS: u32 = 10;
/// Seconds at which one input is told as slow.
const SLOW_SECONDS: u32 = 2;
/// The longest input (bytes); targets cut it to what they take.
const LONGEST: u32 = 65_536;

struct Asked {
    targets: Vec<String>,
    seconds: u64,
    corpus: Vec<String>,
}

pub(crate) fn run(root: &Path, args: &[String]) -> Result<()> {
    let all = targets(root)?;
    match args.first().map(String::as_str) {
        Some("list") => {
            println!("{}", all.join("\n"));
            return Ok(());
        }
        Some("seed") => {
            let folder = args.get(1).context("which folder? `cargo xtask fuzz seed FOLDER [FILES…]`")?;
            return seed(root, Path::new(folder), &args[2..]);
        }
        _ => {}
    }
    let asked = parse(args, &all)?;
    if let Some(missing) = missing() {
        println!("fuzz: skipped: {missing}. On stable the same targets run with `cargo test -p fuzzing`.");
        return Ok(());
    }
    let target_dir = repo::target(root)?.join("fuzz");
    let work = target_dir.join("run");
    seed(root, &work, &asked.corpus)?;
    for name in &asked.targets {
        let mut build = nightly(root);
        build.args(["cargo", "fuzz", "build", "--sanitizer", "none", "--release", name]);
        build.env("CARGO_TARGET_DIR", &target_dir);
        if !build.status().context("start cargo fuzz")?.success() {
            bail!("{name} does not build");
        }
    }
    let mut table = format!(
        "{:<14} {:>10} {:>8} {:>7} {:>7} {:>6} {}\n",
        "target", "runs", "runs/s", "blocks", "inputs", "MiB", "came to"
    );
    let mut broken = Vec::new();
    for name in &asked.targets {
        println!("==> {name}");
        let log = fuzz(&target_dir, &work, name, asked.seconds)?;
        let found = artifacts(&work.join("artifacts").join(name))?;
        let said = Said::of(&log);
        let end = if found.is_empty() { "nothing".to_owned() } else { found.join(", ") };
        writeln!(
            table,
            "{name:<14} {:>10} {:>8} {:>7} {:>7} {:>6} {end}",
            said.runs, said.rate, said.blocks, said.inputs, said.mib
        )?;
        broken.extend(found.iter().map(|file| work.join("artifacts").join(name).join(file)));
    }
    println!("\n{table}");
    if broken.is_empty() {
        return Ok(());
    }
    let files: Vec<String> = broken.iter().map(|path| path.display().to_string()).collect();
    bail!(
        "{} inputs to look at; docs/testing-fuzz.md says how to replay and keep one\n  {}",
        files.len(),
        files.join("\n  ")
    )
}

/// Every binary of `fuzz/`, which the tests of `crates/fuzzing` hold against the list of targets.
fn targets(root: &Path) -> Result<Vec<String>> {
    let folder = root.join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry?.path();
        if let Some(name) = path.file_stem().and_then(|name| name.to_str()) {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn parse(args: &[String], all: &[String]) -> Result<Asked> {
    let mut asked = Asked { targets: Vec::new(), seconds: SECONDS, corpus: Vec::new() };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--seconds" => {
                let n = args.next().context("--seconds needs a number")?;
                asked.seconds = n.parse().with_context(|| format!("--seconds: `{n}` is no number of seconds"))?;
            }
            "--corpus" => asked.corpus.push(args.next().context("--corpus needs a file or folder")?.clone()),
            "all" => asked.targets = all.to_vec(),
            name if all.iter().any(|known| known == name) => asked.targets.push(name.to_owned()),
            other => bail!("`{other}` is no fuzz target; there are all, {}", all.join(", ")),
        }
    }
    if asked.targets.is_empty() {
        asked.targets = all.to_vec();
    }
    Ok(asked)
}

/// What of the tools is not there.
fn missing() -> Option<&'static str> {
    let works = |program: &str, args: &[&str]| {
        let status = Command::new(program).args(args).stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    if !works("rustup", &["run", "nightly", "rustc", "--version"]) {
        return Some("no nightly toolchain (`rustup toolchain install nightly`)");
    }
    if !works("rustup", &["run", "nightly", "cargo", "fuzz", "--version"]) {
        return Some("no cargo-fuzz (`cargo install cargo-fuzz`)");
    }
    if !works("c++", &["--version"]) {
        return Some("no C++ compiler, which libFuzzer is built with");
    }
    None
}

/// What runs something with the nightly toolchain, whatever toolchain started this.
fn nightly(root: &Path) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly"]).current_dir(root.join("fuzz"));
    // What cargo tells its children is of the toolchain it is of.
    command.env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN");
    command
}

/// Corpora and dictionaries below a folder.
fn seed(root: &Path, folder: &Path, more: &[String]) -> Result<()> {
    let folder = std::path::absolute(folder)?;
    let status = repo::cargo(root)
        .args(["run", "--quiet", "--locked", "-p", "fuzzing", "--"])
        .arg(folder)
        .args(more)
        .stdout(Stdio::null())
        .status()
        .context("start cargo")?;
    if !status.success() {
        bail!("the seeds were not written: {status}");
    }
    Ok(())
}

/// Runs one target; gives what libFuzzer said.
fn fuzz(target_dir: &Path, work: &Path, name: &str, seconds: u64) -> Result<String> {
    let folder = |below: &str| -> Result<PathBuf> {
        let folder = work.join(below).join(name);
        std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        Ok(folder)
    };
    let (corpus, artifacts, logs) = (folder("corpus")?, folder("artifacts")?, folder("logs")?);
    let host = host()?;
    let mut command = Command::new(target_dir.join(host).join("release").join(name));
    command.arg(corpus);
    let dictionary = work.join(format!("{name}.dict"));
    if std::fs::metadata(&dictionary).is_ok_and(|found| found.len() > 0) {
        command.arg(format!("-dict={}", dictionary.display()));
    }
    let artifacts = format!("-artifact_prefix={}/", artifacts.display());
    let log_path = logs.join("log");
    let log = std::fs::File::create(&log_path).with_context(|| format!("make {}", log_path.display()))?;
    command
        .arg(artifacts)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-rss_limit_mb={RSS_MIB}"))
        .arg(format!("-timeout={HANG_SECONDS}"))
        .arg(format!("-report_slow_units={SLOW_SECONDS}"))
        .arg(format!("-max_len={LONGEST}"))
        .arg("-print_final_stats=1")
        .stdout(Stdio::null())
        .stderr(log);
    // What broke is an artifact; the status says no more.
    command.status().with_context(|| format!("start {name}"))?;
    let said = std::fs::read(&log_path).with_context(|| format!("read {}", log_path.display()))?;
    Ok(String::from_utf8_lossy(&said).into_owned())
}

fn host() -> Result<String> {
    let output = Command::new("rustup").args(["run", "nightly", "rustc", "-vV"]).output().context("ask rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc names no host")
}

fn artifacts(folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        found.push(entry?.file_name().to_string_lossy().into_owned());
    }
    found.sort();
    Ok(found)
}

/// What libFuzzer says at its end.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    runs: u64,
    rate: u64,
    blocks: u64,
    inputs: u64,
    mib: u64,
}

impl Said {
    fn of(log: &str) -> Said {
        let stat = |name: &str| {
            let line = log.lines().rev().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.trim().parse().ok()).unwrap_or(0)
        };
        let last = log.lines().rev().find(|line| line.starts_with('#') && line.contains(" cov: ")).unwrap_or_default();
        let word = |name: &str| {
            let rest = last.split_once(name).map_or("", |(_, rest)| rest);
            rest.split([' ', '/']).next().and_then(|number| number.parse().ok()).unwrap_or(0)
        };
        Said {
            runs: stat("stat::number_of_executed_units:"),
            rate: stat("stat::average_exec_per_sec:"),
            blocks: word(" cov: "),
            inputs: word(" corp: "),
            mib: stat("stat::peak_rss_mb:"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_of_a_run_are_read() {
        let log = "#2\tINITED cov: 12 ft: 20 corp: 1/1b\n\
                   #2508530\tDONE   cov: 2936 ft: 9716 corp: 3200/309Kb lim: 2699 exec/s: 20394 rss: 56Mb\n\
                   Done 2508530 runs in 131 second(s)\n\
                   stat::number_of_executed_units: 2508530\nstat::average_exec_per_sec:     19149\n\
                   stat::new_units_added:          9\nstat::slowest_unit_time_sec:    0\nstat::peak_rss_mb:              56\n";
        let said = Said { runs: 2_508_530, rate: 19_149, blocks: 2_936, inputs: 3_200, mib: 56 };
        assert_eq!(Said::of(log), said);
        assert_eq!(Said::of("cannot start"), Said::default());
    }

    #[test]
    fn targets_are_named_and_known() {
        let all = ["key".to_owned(), "url".to_owned()];
        let ask = |text: &str| {
            let args: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            parse(&args, &all).map(|asked| (asked.targets.join("+"), asked.seconds)).ok()
        };
        assert_eq!(ask(""), Some(("key+url".into(), SECONDS)));
        assert_eq!(ask("all --seconds 9"), Some(("key+url".into(), 9)));
        assert_eq!(ask("url"), Some(("url".into(), SECONDS)));
        assert_eq!((ask("kye"), ask("--seconds soon"), ask("--seconds")), (None, None, None));
    }

    #[test]
    fn every_thin_binary_is_there_and_runs_its_own_target() {
        let root = repo::root().unwrap();
        let manifest = std::fs::read_to_string(root.join("fuzz/Cargo.toml")).unwrap();
        let all = targets(&root).unwrap();
        assert!(all.len() >= 16, "{all:?}");
        for name in all {
            let source = std::fs::read_to_string(root.join(format!("fuzz/fuzz_targets/{name}.rs"))).unwrap();
            assert!(source.contains(&format!("fuzzing::run(\"{name}\", data)")), "{name}");
            assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not in fuzz/Cargo.toml");
        }
    }
}
