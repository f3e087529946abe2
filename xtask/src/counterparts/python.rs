//! The Python environment: made once for each set of versions, kept below the target directory.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::printed;
use crate::repo;

/// A file in an environment that is whole.
const COMPLETE: &str = "complete";

/// The interpreter of an environment that holds exactly the counterparts.
///
/// # Errors
/// What is missing: Python, its `venv` module, or a package index that can be reached.
pub(super) fn environment(root: &Path, target: &Path) -> Result<PathBuf> {
    let venv = folder(root, target)?;
    let (python, done) = (venv.join("bin").join("python"), venv.join(COMPLETE));
    if done.exists() {
        return Ok(python);
    }
    // What an interrupted installation left is not mended but made anew.
    if venv.exists() {
        fs::remove_dir_all(&venv).with_context(|| format!("remove {}", venv.display()))?;
    }
    println!("counterparts: installing into {}", venv.display());
    printed(Command::new("python3").args(["-m", "venv"]).arg(&venv)).context(
        "python3 makes no environment; its venv module may be missing (Debian: apt-get install python3-venv)",
    )?;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]);
    let lists = root.join("counterparts");
    pip.arg("-r").arg(lists.join("requirements.txt")).arg("-c").arg(lists.join("constraints.txt"));
    printed(&mut pip).context("the counterparts cannot be installed")?;
    fs::write(&done, "").with_context(|| format!("write {}", done.display()))?;
    Ok(python)
}

/// The interpreter, if the environment was made before.
pub(crate) fn installed(root: &Path) -> Result<Option<PathBuf>> {
    let venv = folder(root, &repo::target(root)?).ok();
    Ok(venv.filter(|venv| venv.join(COMPLETE).exists()).map(|venv| venv.join("bin").join("python")))
}

/// Where the environment of these versions is, or would be.
fn folder(root: &Path, target: &Path) -> Result<PathBuf> {
    let lists = root.join("counterparts");
    let read = |name: &str| fs::read_to_string(lists.join(name)).with_context(|| format!("read counterparts/{name}"));
    let (requirements, constraints) = (read("requirements.txt")?, read("constraints.txt")?);
    if let Some(line) = unpinned(&requirements).or_else(|| unpinned(&constraints)) {
        bail!("counterparts: `{line}` names no exact version");
    }
    let version = Command::new("python3").arg("--version").output();
    let version = version
        .ok()
        .filter(|output| output.status.success())
        .context("there is no python3; install it with its venv module (Debian: apt-get install python3-venv)")?;
    let mut hash = DefaultHasher::new();
    (&requirements, &constraints, &version.stdout).hash(&mut hash);
    Ok(target.join("counterparts").join(format!("python-{:016x}", hash.finish())))
}

/// A line without `==`.
fn unpinned(text: &str) -> Option<&str> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.into_iter().find(|line| !line.contains("=="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_is_fixed() {
        assert_eq!(unpinned("# a remark\na==1\n\nb>=2\n"), Some("b>=2"));
        let folder = repo::root().unwrap().join("counterparts");
        for name in ["requirements.txt", "constraints.txt"] {
            let text = fs::read_to_string(folder.join(name)).unwrap();
            assert_eq!(unpinned(&text), None, "{name}");
        }
    }
}
