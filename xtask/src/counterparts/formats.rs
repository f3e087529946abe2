//! What we write, before those who read it: STIX before its validator, MISP events before PyMISP.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{Bench, printed};
use crate::repo;

/// stix2-validator on what `kit` makes of an example of everything, in both versions.
pub(super) fn stix(bench: &Bench) -> Result<String> {
    let mut seen = Vec::new();
    for version in ["2.1", "2.0"] {
        let file = emitted(bench, "emit_stix", &[version])?;
        let judged = printed(bench.script("validate_stix.py").arg(file))?;
        seen.push(format!("STIX {version}: {}", judged.trim()));
    }
    Ok(format!("stix2-validator 3.2.0: {}", seen.join("; ")))
}

/// PyMISP on the same.
pub(super) fn misp(bench: &Bench) -> Result<String> {
    let file = emitted(bench, "emit_misp", &[])?;
    Ok(format!("PyMISP: {}", printed(bench.script("read_misp.py").arg(file))?.trim()))
}

/// What an example of `kit` prints, as a file.
fn emitted(bench: &Bench, example: &str, args: &[&str]) -> Result<PathBuf> {
    let mut command = repo::cargo(&bench.root);
    command.args(["run", "--quiet", "--locked", "-p", "kit", "--example", example, "--"]).args(args);
    let text = printed(&mut command)?;
    let file = bench.dir.join(format!("{}.json", [&[example], args].concat().join("-")));
    fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
    Ok(file)
}
