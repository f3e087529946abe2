//! Starts the benchmark program. What it measures lives beside the binary, in `crates/iocast/examples/bench`.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::counterparts::python;
use crate::repo;

pub(crate) fn run(root: &Path, args: &[String]) -> Result<()> {
    let mut command = repo::cargo(root);
    command.args(["run", "--release", "--locked", "-p", "iocast", "--example", "bench", "--"]).args(args);
    // What is compared with Python is so only where the counterparts were installed before.
    if let Some(python) = python::installed(root)? {
        command.env("IOCAST_BENCH_PYTHON", python);
        command.env("IOCAST_BENCH_SCRIPT", root.join("counterparts/mapping_cost.py"));
    }
    let status = command.status().context("start cargo")?;
    if !status.success() {
        bail!("the benchmark ended with {status}");
    }
    Ok(())
}
