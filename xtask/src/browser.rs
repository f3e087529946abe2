//! The console in a real browser: the tests of `browser::` in crates/iocast/tests, with what they need and a build does not.
//!
//! The judge of accessibility is axe-core, under the MPL and so no part of this repository: its published file comes out
//! of a Python wheel of a fixed digest, by the client that fetches the counterparts, and stays below the target directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{ci, repo};

/// The wheel that axe-core is in, as pip's requirement; the second is its digest.
const WHEEL: (&str, &str) =
    ("axe-playwright-python==0.1.8", "fdd263c998388f1a8e67cad02677e612d946248bd44d163be5e8650ea31f95f8");
/// The file in it, and its version of axe-core.
const SCRIPT: (&str, &str) = ("axe_playwright_python/axe.min.js", "4.12.1");

/// All tests, or those whose names have this in them.
pub(crate) fn run(root: &Path, names: &[String]) -> Result<()> {
    let tools = chromium::missing().map_or(Ok(()), |missing| bail!("{missing}")).and_then(|()| axe(root));
    let axe = match tools {
        Ok(axe) => axe,
        // As with the counterparts: on a laptop the other stages are worth having.
        Err(error) if std::env::var_os("CI").is_none() => {
            println!("browser: SKIPPED, NOTHING WAS CHECKED: {error:#}");
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let mut command = repo::cargo(root);
    let scope = ["-p", "iocast", "--all-features", "--locked", "--test", "it"];
    let names = names.iter().map(String::as_str);
    if ci::has_nextest(root) {
        command.args(["nextest", "run", "--no-fail-fast"]).args(scope);
        let all = "test(/^browser::/)".to_owned();
        let some = names.map(|name| format!("test({name})")).reduce(|one, other| format!("{one} or {other}"));
        command.arg("-E").arg(some.map_or(all.clone(), |some| format!("{all} and ({some})")));
    } else {
        command.arg("test").args(scope).arg("--");
        let some: Vec<&str> = names.collect();
        command.args(if some.is_empty() { vec!["browser::"] } else { some });
    }
    command.env("IOCAST_AXE", axe).env("IOCAST_BROWSER", "1");
    ci::call(command)
}

/// Where axe-core is; it is fetched once.
fn axe(root: &Path) -> Result<PathBuf> {
    let folder = repo::target(root)?.join("browser");
    let there = folder.join(format!("axe-{}.js", SCRIPT.1));
    if there.exists() {
        return Ok(there);
    }
    let fetched = folder.join("wheel");
    let _ = fs::remove_dir_all(&fetched);
    fs::create_dir_all(&fetched).with_context(|| format!("make {}", fetched.display()))?;
    let list = fetched.join("requirements.txt");
    fs::write(&list, format!("{} --hash=sha256:{}\n", WHEEL.0, WHEEL.1))?;
    println!("browser: fetching axe-core {} into {}", SCRIPT.1, folder.display());
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps"]);
    pip.args(["--require-hashes", "--only-binary", ":all:", "--dest"]).arg(&fetched).arg("-r").arg(&list);
    done(&mut pip).context("axe-core cannot be fetched")?;
    let wheel = fs::read_dir(&fetched)?.filter_map(Result::ok).map(|entry| entry.path());
    let wheel = wheel.into_iter().find(|path| path.extension().is_some_and(|end| end == "whl"));
    let wheel = wheel.context("pip left no wheel")?;
    let mut unpack = Command::new("python3");
    unpack.args(["-m", "zipfile", "-e"]).arg(&wheel).arg(&fetched);
    done(&mut unpack).context("the wheel cannot be unpacked")?;
    // At its place only when it is whole.
    fs::rename(fetched.join(SCRIPT.0), &there).with_context(|| format!("the wheel has no {}", SCRIPT.0))?;
    let _ = fs::remove_dir_all(&fetched);
    Ok(there)
}

fn done(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("start {}", command.get_program().to_string_lossy()))?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
