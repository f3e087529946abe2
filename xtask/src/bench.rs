//! Starts the benchmark program. What it measures lives beside the binary, in `crates/iocast/examples/bench`.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::repo;

pub(crate) fn run(root: &Path, args: &[String]) -> Result<()> {
    let status = repo::cargo(root)
        .args(["run", "--release", "--locked", "-p", "iocast", "--example", "bench", "--"])
        .args(args)
        .status()
        .context("start cargo")?;
    if !status.success() {
        bail!("the benchmark ended with {status}");
    }
    Ok(())
}
