//! Developer tasks, so that a laptop, CI and the README run the very same checks (`cargo xtask ci`).
//!
//! It depends on no crate that it judges: a broken crate must not take its judge with it. (`chromium` drives a browser.) It is no part of what is shipped.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool speaks through them")]

mod bench;
mod browser;
mod ci;
mod counterparts;
mod deps;
mod faults;
mod fuzz;
mod guard;
mod repo;
mod scaffold;
mod screenshots;
mod tidy;
mod torture;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
cargo xtask <task>

  ci [--only STAGE,…] [--keep-going]   everything: fmt, clippy, tidy, test, doctest, docs, deps,
                                       browser, counterparts
  tidy                                 walls between crates, and house rules that no lint knows
  deps                                 licences and published advisories of everything in Cargo.lock
  licences                             write docs/reference/licences.md: what others wrote and is in the program
  advisories PATH [--date D --commit C]  rewrite advisories/advisories.tsv from a RustSec advisory database
                                       (a folder, a git checkout or a .tar.gz of it)
  guard [--check]                      make the shipped guard lists from their committed sources, or compare
  guard judge [--flags] PATH…          what the shipped lists stop, or flag, in feeds below these paths
  new-connector NAME                   lay out crates/connectors/src/NAME
  browser [TEST…]                      the tests that use the console in Chromium, all or those so named; needs
                                       chromedriver, and Python for the judge of accessibility
  counterparts [CHECK…]                the built iocast against other people's servers, clients and judges,
                                       from PyPI at fixed versions
  fuzz [TARGET…|all] [--seconds N] [--corpus PATH]…
                                       the fuzz targets under libFuzzer, N seconds each (120); needs nightly and
                                       cargo-fuzz. `fuzz list` names them, `fuzz seed FOLDER [PATH…]` writes corpora
  screenshots [FOLDER]                 pictures of the console over the demo, light and dark, wide and narrow; fails
                                       where a page is too wide or the browser logs an error; needs chromedriver
  faults                               write docs/reference/faults.md from the tests that are named by a fault
  torture [MINUTES]                    worlds, kills, failing disks, power cuts and damages, for so long (10);
                                       ends at the first violation and says how to see it again
  bench [ARGS…]                        run the benchmarks in a release build; --list names them
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<()> {
    let root = repo::root()?;
    let Some((task, rest)) = args.split_first() else {
        bail!("which task?\n\n{USAGE}");
    };
    match (task.as_str(), rest) {
        ("ci", rest) => ci::run(&root, rest),
        ("tidy", []) => tidy::run(&root),
        ("deps", []) => deps::run(&root),
        ("licences", []) => deps::shipped::write(&root),
        ("advisories", [path, rest @ ..]) => deps::advisories::refresh(&root, path, rest),
        ("guard", []) => guard::run(&root, false),
        ("guard", [check]) if check == "--check" => guard::run(&root, true),
        ("guard", [judge, paths @ ..]) if judge == "judge" && !paths.is_empty() => guard::judge(&root, paths),
        ("new-connector", [name]) => scaffold::new_connector(&root, name),
        ("browser", rest) => browser::run(&root, rest),
        ("counterparts", rest) => counterparts::run(&root, rest),
        ("screenshots", []) => screenshots::run(&root, None),
        ("screenshots", [out]) => screenshots::run(&root, Some(out)),
        ("fuzz", rest) => fuzz::run(&root, rest),
        ("faults", []) => faults::run(&root),
        ("torture", []) => torture::run(&root, torture::DEFAULT_MINUTES),
        ("torture", [minutes]) => torture::run(&root, torture::minutes(minutes)?),
        ("bench", rest) => bench::run(&root, rest),
        ("help" | "--help" | "-h", _) => {
            print!("{USAGE}");
            Ok(())
        }
        _ => bail!("`{}` is no task, or has other arguments\n\n{USAGE}", args.join(" ")),
    }
}
