//! The built binary against programs that are not ours: a TAXII server it pulls from and shares to, the client that reads
//! what it shared, the judges of what it writes, a provider that
//! people sign in at.
//!
//! They are Python, at the fixed versions of `counterparts/requirements.txt`, in an environment of their own below the
//! target directory. A check is a line of [`CHECKS`]; it says in one line what it saw.

mod api;
mod exchange;
mod formats;
mod oidc;
pub(crate) mod python;
mod taxii;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::repo;
use exchange::Exchange;

/// One check: its name, and what it does. It gives the line that says what was seen.
struct Check {
    name: &'static str,
    run: fn(&Bench) -> Result<String>,
}

/// In order of how soon they can say no.
const CHECKS: &[Check] = &[
    Check { name: "stix-emitted", run: formats::stix },
    Check { name: "misp-emitted", run: formats::misp },
    Check { name: "taxii-pull", run: taxii::pull },
    Check { name: "taxii-share", run: taxii::share },
    Check { name: "oidc", run: oidc::sign_in },
    Check { name: "api", run: api::schemathesis },
];

/// What a check has to work with.
pub(crate) struct Bench {
    /// The checkout.
    root: PathBuf,
    /// The interpreter with the counterparts in it.
    python: PathBuf,
    /// The built `iocast`.
    binary: PathBuf,
    /// An empty folder; what is in it is gone afterwards.
    dir: PathBuf,
}

/// All checks, or those named.
pub(crate) fn run(root: &Path, names: &[String]) -> Result<()> {
    if let Some(unknown) = names.iter().find(|name| !CHECKS.iter().any(|check| check.name == *name)) {
        let known: Vec<&str> = CHECKS.iter().map(|check| check.name).collect();
        bail!("`{unknown}` is no check; there are {}", known.join(", "));
    }
    let target = repo::target(root)?;
    let python = match python::environment(root, &target) {
        Ok(python) => python,
        // On a laptop without Python or a network the other stages are worth having; CI must not pass for lack of a judge.
        Err(error) if std::env::var_os("CI").is_none() => {
            println!("counterparts: SKIPPED, NOTHING WAS CHECKED: {error:#}");
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let built = repo::cargo(root).args(["build", "--locked", "-p", "iocast"]).status().context("start cargo")?;
    if !built.success() {
        bail!("`cargo build -p iocast` ended with {built}");
    }
    let dir = target.join("counterparts").join(format!("run-{}", std::process::id()));
    let mut failed = Vec::new();
    for check in CHECKS.iter().filter(|check| names.is_empty() || names.iter().any(|name| name == check.name)) {
        let begin = Instant::now();
        let dir = dir.join(check.name);
        fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
        let binary = target.join("debug").join(format!("iocast{}", std::env::consts::EXE_SUFFIX));
        let bench = Bench { root: root.to_owned(), python: python.clone(), binary, dir };
        let outcome = (check.run)(&bench);
        let seconds = begin.elapsed().as_secs_f64();
        match outcome {
            Ok(seen) => println!("{:<14} {seconds:>5.1} s  {seen}", check.name),
            Err(error) => {
                println!("{:<14} {seconds:>5.1} s  FAILED: {error:#}", check.name);
                failed.push(check.name);
            }
        }
    }
    if failed.is_empty() {
        let _ = fs::remove_dir_all(&dir);
        return Ok(());
    }
    bail!("{} failed; what was written is in {}", failed.join(", "), dir.display());
}

impl Bench {
    /// A script of `counterparts/`, in the environment.
    fn script(&self, name: &str) -> Command {
        let mut command = Command::new(&self.python);
        command.arg(self.root.join("counterparts").join(name)).current_dir(&self.dir);
        command
    }

    /// An exchange with a data directory of its own.
    fn exchange(&self, name: &str) -> Result<Exchange<'_>> {
        Exchange::new(self, name)
    }
}

/// What a command printed; its failure with all it said.
fn printed(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let Output { status, stdout, stderr } = command.output().with_context(|| format!("start {name}"))?;
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    if !status.success() {
        let args: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
        bail!("`{name} {}` ended with {status}\n{stdout}{stderr}", args.join(" "));
    }
    Ok(stdout.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_has_its_own_name() {
        let mut names: Vec<&str> = CHECKS.iter().map(|check| check.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CHECKS.len());
        let error = run(Path::new("."), &["taxi".into()]).unwrap_err().to_string();
        assert!(error.contains("taxii-pull"), "{error}");
    }
}
