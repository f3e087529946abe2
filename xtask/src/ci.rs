//! The one check. CI calls it and adds nothing, so what is green on a laptop is green there.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::{browser, counterparts, deps, repo, tidy};

/// One stage: its name for `--only`, and what it does.
struct Stage {
    name: &'static str,
    run: fn(&Path) -> Result<()>,
}

/// In order of how soon they can say no.
const STAGES: &[Stage] = &[
    Stage { name: "fmt", run: |root| cargo(root, &["fmt", "--all", "--check"]) },
    Stage { name: "tidy", run: tidy::run },
    Stage { name: "deps", run: deps::run },
    Stage {
        name: "clippy",
        run: |root| {
            let scope =
                ["clippy", "--workspace", "--all-targets", "--all-features", "--locked", "--", "-D", "warnings"];
            cargo(root, &scope)
        },
    },
    Stage { name: "test", run: test },
    Stage {
        name: "doctest",
        run: |root| cargo(root, &["test", "--doc", "--workspace", "--all-features", "--locked", "--quiet"]),
    },
    Stage { name: "docs", run: docs },
    Stage { name: "browser", run: |root| browser::run(root, &[]) },
    Stage { name: "counterparts", run: |root| counterparts::run(root, &[]) },
];

pub(crate) fn run(root: &Path, args: &[String]) -> Result<()> {
    let (only, keep_going) = parse(args)?;
    let chosen: Vec<&Stage> =
        STAGES.iter().filter(|stage| only.is_empty() || only.iter().any(|name| name == stage.name)).collect();

    let start = Instant::now();
    let mut lines = Vec::new();
    let mut failed = Vec::new();
    for stage in &chosen {
        println!("==> {}", stage.name);
        let begin = Instant::now();
        let outcome = (stage.run)(root);
        let seconds = begin.elapsed().as_secs_f64();
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        println!("<== {} {word} in {seconds:.1} s", stage.name);
        lines.push(format!("  {:<12} {seconds:>7.1} s  {word}", stage.name));
        if let Err(error) = outcome {
            println!("{}: {error:#}", stage.name);
            failed.push(stage.name);
            if !keep_going {
                break;
            }
        }
    }

    println!("\n{}", lines.join("\n"));
    let total = start.elapsed().as_secs_f64();
    if failed.is_empty() {
        println!("ci: {} of {} stages passed in {total:.1} s", chosen.len(), chosen.len());
        return Ok(());
    }
    bail!("ci: failed in {total:.1} s at {}; {} of {} stages run", failed.join(", "), lines.len(), chosen.len());
}

/// `(stages named by --only, --keep-going)`.
fn parse(args: &[String]) -> Result<(Vec<String>, bool)> {
    let (mut only, mut keep_going) = (Vec::new(), false);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--keep-going" => keep_going = true,
            "--only" => {
                let names = args.next().context("--only needs the names of stages, as in `--only tidy,deps`")?;
                only.extend(names.split(',').map(str::to_owned));
            }
            other => bail!("`{other}` is no option of ci; there are --only STAGE,… and --keep-going"),
        }
    }
    if let Some(unknown) = only.iter().find(|name| !STAGES.iter().any(|stage| stage.name == *name)) {
        let known: Vec<&str> = STAGES.iter().map(|stage| stage.name).collect();
        bail!("`{unknown}` is no stage; there are {}", known.join(", "));
    }
    Ok((only, keep_going))
}

/// All tests in one call, so that one closing line counts them; but for those that need a browser, which are a stage of
/// their own. nextest where it is installed: it runs binaries side by side.
fn test(root: &Path) -> Result<()> {
    let scope = ["--workspace", "--all-features", "--locked"];
    if has_nextest(root) {
        cargo(root, &[&["nextest", "run"], &scope[..], &["-E", "not test(/^browser::/)"]].concat())
    } else {
        let rest = ["--lib", "--bins", "--tests", "--no-fail-fast", "--", "--skip", "browser::"];
        cargo(root, &[&["test"], &scope[..], &rest].concat())
    }
}

pub(crate) fn has_nextest(root: &Path) -> bool {
    let nextest = repo::cargo(root).args(["nextest", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    nextest.is_ok_and(|status| status.success())
}

fn docs(root: &Path) -> Result<()> {
    let mut command = repo::cargo(root);
    command.args(["doc", "--workspace", "--no-deps", "--all-features", "--locked"]).env("RUSTDOCFLAGS", "-D warnings");
    call(command)
}

fn cargo(root: &Path, args: &[&str]) -> Result<()> {
    let mut command = repo::cargo(root);
    command.args(args);
    call(command)
}

pub(crate) fn call(mut command: Command) -> Result<()> {
    let status = command.status().context("start cargo")?;
    if !status.success() {
        let args: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
        bail!("`cargo {}` ended with {status}", args.join(" "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<(Vec<String>, bool)> {
        parse(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn stages_are_chosen_by_name() {
        assert_eq!(parsed(&[]).unwrap(), (vec![], false));
        assert_eq!(
            parsed(&["--only", "tidy,deps", "--keep-going"]).unwrap(),
            (vec!["tidy".into(), "deps".into()], true)
        );
        for wrong in [&["--only"][..], &["--only", "tidi"], &["tidy"], &["--only", ""]] {
            assert!(parsed(wrong).is_err(), "{wrong:?} was accepted");
        }
    }

    #[test]
    fn every_stage_of_the_contract_is_there_once() {
        let mut names: Vec<&str> = STAGES.iter().map(|stage| stage.name).collect();
        names.sort_unstable();
        assert_eq!(names, ["browser", "clippy", "counterparts", "deps", "docs", "doctest", "fmt", "test", "tidy"]);
    }
}
