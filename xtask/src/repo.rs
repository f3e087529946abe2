//! The checkout: where it is, what is in it, and how cargo is called in it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// A file of the checkout, read once for all rules.
#[derive(Debug, Clone)]
pub(crate) struct File {
    /// Path from the root, with forward slashes.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    #[cfg(test)]
    pub(crate) fn new(path: &str, text: &str) -> File {
        File { path: path.into(), text: text.into() }
    }

    pub(crate) fn has_extension(&self, wanted: &str) -> bool {
        Path::new(&self.path).extension() == Some(OsStr::new(wanted))
    }
}

/// The folder of the workspace manifest.
pub(crate) fn root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(here.parent().context("xtask lies directly under the root")?.to_path_buf())
}

/// Every file that git tracks or would track, as paths from the root; sorted. Where git refuses (an exported tree, a
/// checkout of another owner), every file but those of builds and runs.
pub(crate) fn paths(root: &Path) -> Result<Vec<String>> {
    let git = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(root)
        .output();
    let mut paths = match git {
        Ok(output) if output.status.success() => {
            let listed = String::from_utf8(output.stdout).context("a file name that is not UTF-8")?;
            listed.split_terminator('\0').map(str::to_owned).collect()
        }
        _ => walk(root)?,
    };
    paths.sort();
    paths.dedup();
    // What is deleted but not yet committed is still listed.
    paths.retain(|path| root.join(path).exists());
    Ok(paths)
}

fn walk(root: &Path) -> Result<Vec<String>> {
    const NOT_OURS: &[&str] = &[".git", "target", "iocast-data"];
    let mut paths = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
            let entry = entry?;
            let path = entry.path();
            if !entry.file_type()?.is_dir() {
                let below = path.strip_prefix(root)?.to_str().context("a file name that is not UTF-8")?;
                paths.push(below.replace('\\', "/"));
            } else if !NOT_OURS.iter().any(|name| entry.file_name() == *name) {
                folders.push(path);
            }
        }
    }
    Ok(paths)
}

/// The text files among `paths`. `testdata/demo` and `testdata/feeds` are other people's bytes and stay unread.
pub(crate) fn text_files(root: &Path, paths: &[String]) -> Result<Vec<File>> {
    let ours = |path: &&String| !path.starts_with("testdata/demo/") && !path.starts_with("testdata/feeds/");
    let mut files = Vec::new();
    for path in paths.iter().filter(ours) {
        let bytes = std::fs::read(root.join(path)).with_context(|| format!("read {path}"))?;
        if let Ok(text) = String::from_utf8(bytes) {
            files.push(File { path: path.clone(), text });
        }
    }
    Ok(files)
}

/// `cargo` as this process was started by, in the root.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

/// `cargo metadata --locked` with more arguments, parsed.
pub(crate) fn metadata(root: &Path, more: &[&str]) -> Result<Value> {
    let output = cargo(root)
        .args(["metadata", "--locked", "--format-version", "1"])
        .args(more)
        .output()
        .context("cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).context("cargo metadata printed no JSON")
}

/// The folder in which cargo builds.
pub(crate) fn target(root: &Path) -> Result<PathBuf> {
    let target = metadata(root, &["--no-deps"])?["target_directory"].as_str().map(PathBuf::from);
    target.context("cargo metadata names no target directory")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_git_the_same_files_are_found() {
        let root = root().unwrap();
        let walked = walk(&root).unwrap();
        for path in ["Cargo.toml", "xtask/src/repo.rs", "testdata/MANIFEST.tsv", ".ci/run"] {
            assert!(walked.iter().any(|there| there == path), "{path}");
            assert!(paths(&root).unwrap().iter().any(|there| there == path), "{path}");
        }
        assert!(!walked.iter().any(|path| path.starts_with(".git/") || path.starts_with("target/")));
    }
}
