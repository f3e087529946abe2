//! The committed snapshot of the RustSec advisory database: made from a copy of the database, read without a network.
//!
//! One line an advisory, so a refresh can be reviewed as a diff. Withdrawn advisories are left out.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result, anyhow, bail};
use chrono::{DateTime, NaiveDate, Utc};
use semver::{Version, VersionReq};
use toml::Table;

/// From the root of the checkout.
pub(crate) const SNAPSHOT: &str = "advisories/advisories.tsv";

const COLUMNS: &str = "# id\tpackage\tdate\tinformational\tpatched\tunaffected\tlicence\ttitle";

/// Where the snapshot comes from.
#[derive(Debug, PartialEq)]
pub(crate) struct Header {
    /// The day of the database, as `YYYY-MM-DD`.
    pub(crate) date: String,
    /// Its commit.
    pub(crate) commit: String,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Advisory {
    pub(crate) id: String,
    package: String,
    date: String,
    /// Empty for a vulnerability; else `unmaintained`, `unsound` or `notice`.
    pub(crate) informational: String,
    patched: Vec<VersionReq>,
    unaffected: Vec<VersionReq>,
    licence: String,
    pub(crate) title: String,
}

/// A crate that is not ours, as the lock file names it.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: Version,
    /// A registry or a git repository.
    pub(crate) source: String,
}

impl Advisory {
    /// Every version is affected unless a range says otherwise. Pre-releases match no range and so count as affected.
    pub(crate) fn applies_to(&self, package: &Package) -> bool {
        let safe = || self.patched.iter().chain(&self.unaffected).any(|range| range.matches(&package.version));
        self.package == package.name && !safe()
    }

    pub(crate) fn is_only_a_warning(&self) -> bool {
        matches!(self.informational.as_str(), "unmaintained" | "notice")
    }

    pub(crate) fn patched_words(&self) -> String {
        if self.patched.is_empty() { "never".into() } else { ranges_to_text(&self.patched) }
    }

    fn to_line(&self) -> String {
        let (patched, unaffected) = (ranges_to_text(&self.patched), ranges_to_text(&self.unaffected));
        let fields: [&str; 8] = [
            &self.id,
            &self.package,
            &self.date,
            &self.informational,
            &patched,
            &unaffected,
            &self.licence,
            &self.title,
        ];
        fields.join("\t")
    }

    fn from_line(line: &str) -> Result<Advisory> {
        let fields: Vec<&str> = line.split('\t').collect();
        let [id, package, date, informational, patched, unaffected, licence, title] = fields[..] else {
            bail!("{} fields instead of 8: {line}", fields.len());
        };
        Ok(Advisory {
            id: id.into(),
            package: package.into(),
            date: date.into(),
            informational: informational.into(),
            patched: ranges_from_text(patched).with_context(|| format!("{id}: patched"))?,
            unaffected: ranges_from_text(unaffected).with_context(|| format!("{id}: unaffected"))?,
            licence: licence.into(),
            title: title.into(),
        })
    }

    /// From a file of the database: TOML in a code block, then Markdown whose first heading is the title. `None` if withdrawn.
    fn from_markdown(text: &str) -> Result<Option<Advisory>> {
        let (_, rest) = text.split_once("```toml").context("no ```toml block")?;
        let (front, body) = rest.split_once("```").context("the ```toml block does not end")?;
        let table: Table = front.parse()?;
        let advisory = table.get("advisory").and_then(toml::Value::as_table).context("no [advisory]")?;
        if advisory.contains_key("withdrawn") {
            return Ok(None);
        }
        let word = |key: &str| advisory.get(key).and_then(toml::Value::as_str).unwrap_or_default().trim().to_owned();
        let versions = table.get("versions").and_then(toml::Value::as_table);
        let ranges = |key: &str| -> Result<Vec<VersionReq>> {
            let list = versions.and_then(|table| table.get(key)).and_then(toml::Value::as_array);
            let texts = list.into_iter().flatten().filter_map(toml::Value::as_str);
            texts.map(|text| VersionReq::parse(text).with_context(|| format!("{key} = {text}"))).collect()
        };
        let title = body.lines().find_map(|line| line.strip_prefix("# ")).context("no title")?;
        let (id, package) = (word("id"), word("package"));
        if id.is_empty() || package.is_empty() {
            bail!("id or package is missing");
        }
        let licence = if word("license").is_empty() { "CC0-1.0".into() } else { word("license") };
        Ok(Some(Advisory {
            id,
            package,
            date: word("date"),
            informational: word("informational"),
            patched: ranges("patched")?,
            unaffected: ranges("unaffected")?,
            licence,
            title: title.split_whitespace().collect::<Vec<_>>().join(" "),
        }))
    }
}

fn ranges_to_text(ranges: &[VersionReq]) -> String {
    ranges.iter().map(VersionReq::to_string).collect::<Vec<_>>().join(" | ")
}

fn ranges_from_text(text: &str) -> Result<Vec<VersionReq>> {
    let parts = text.split('|').map(str::trim).filter(|part| !part.is_empty());
    parts.map(|part| VersionReq::parse(part).map_err(|error| anyhow!("`{part}`: {error}"))).collect()
}

/// The crates of a lock file that come from outside.
pub(crate) fn packages(lock: &str) -> Result<Vec<Package>> {
    let lock: Table = lock.parse().context("Cargo.lock is not TOML")?;
    let mut packages = Vec::new();
    for package in lock.get("package").and_then(toml::Value::as_array).into_iter().flatten() {
        let word = |key: &str| package.get(key).and_then(toml::Value::as_str);
        let Some(source) = word("source") else { continue };
        let name = word("name").context("a package without a name")?.to_owned();
        let version = word("version").context("a package without a version")?;
        let version = Version::parse(version).with_context(|| format!("{name} {version}"))?;
        packages.push(Package { name, version, source: source.to_owned() });
    }
    Ok(packages)
}

/// Reads the snapshot. Its first line names date and commit.
pub(crate) fn read(snapshot: &str) -> Result<(Header, Vec<Advisory>)> {
    let first = snapshot.lines().next().unwrap_or_default();
    let words: Vec<&str> = first.split_whitespace().collect();
    let ["#", .., "date", date, "commit", commit] = words[..] else {
        bail!("the first line of the snapshot names no `date` and `commit`: {first}");
    };
    let header = Header { date: date.into(), commit: commit.into() };
    let lines = snapshot.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let list = lines.map(Advisory::from_line).collect::<Result<Vec<_>>>()?;
    if list.is_empty() {
        bail!("the snapshot holds no advisory, which proves nothing");
    }
    Ok((header, list))
}

fn write(header: &Header, mut list: Vec<Advisory>) -> String {
    list.sort_by(|a, b| (&a.package, &a.id).cmp(&(&b.package, &b.id)));
    let mut text = format!("# RustSec advisory database, date {} commit {}\n{COLUMNS}\n", header.date, header.commit);
    for advisory in &list {
        text.push_str(&advisory.to_line());
        text.push('\n');
    }
    text
}

/// `cargo xtask advisories PATH`: rewrites the snapshot.
pub(crate) fn refresh(root: &Path, path: &str, args: &[String]) -> Result<()> {
    let mut stated = Header { date: String::new(), commit: String::new() };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let value = args.next().with_context(|| format!("{arg} needs a value"))?;
        match arg.as_str() {
            "--date" => stated.date.clone_from(value),
            "--commit" => stated.commit.clone_from(value),
            other => bail!("`{other}` is no option of advisories; there are --date and --commit"),
        }
    }

    let folder = unpacked(root, Path::new(path))?;
    let git = |format: &str| -> Result<String> {
        // Only of a checkout that is the database itself: an unpacked copy may lie inside some other repository.
        if !folder.join(".git").exists() {
            bail!("{} is no git checkout: say --date YYYY-MM-DD and --commit HASH", folder.display());
        }
        let output = Command::new("git").current_dir(&folder).args(["log", "-1", "--date=short", format]).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    if stated.date.is_empty() {
        stated.date = git("--format=%cd")?;
    }
    if stated.commit.is_empty() {
        stated.commit = git("--format=%H")?;
    }
    stated.date.parse::<NaiveDate>().with_context(|| format!("`{}` is no date like 2026-08-21", stated.date))?;

    let mut list = Vec::new();
    for package in entries(&folder.join("crates"))? {
        for file in entries(&package)? {
            let text = std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
            list.extend(Advisory::from_markdown(&text).with_context(|| file.display().to_string())?);
        }
    }
    let count = list.len();
    std::fs::write(root.join(SNAPSHOT), write(&stated, list)).with_context(|| format!("write {SNAPSHOT}"))?;
    println!("{SNAPSHOT}: {count} advisories as of {}", stated.date);
    Ok(())
}

/// A folder as it is; an archive unpacked below the target folder by the system's `tar`.
fn unpacked(root: &Path, path: &Path) -> Result<PathBuf> {
    if path.is_dir() {
        return Ok(path.to_path_buf());
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let folder = target.join("advisory-db");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    std::fs::create_dir_all(&folder)?;
    let status = Command::new("tar").arg("-xzf").arg(path).arg("-C").arg(&folder).status().context("start tar")?;
    if !status.success() {
        bail!("tar cannot unpack {}", path.display());
    }
    Ok(folder)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let list = std::fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))?;
    list.map(|entry| Ok(entry?.path())).collect()
}

/// Today in UTC, as `YYYY-MM-DD`.
pub(crate) fn today() -> String {
    DateTime::<Utc>::from(SystemTime::now()).date_naive().to_string()
}

/// Days from one `YYYY-MM-DD` to another; `None` if either is not such a date.
pub(crate) fn days_between(from: &str, to: &str) -> Option<i64> {
    let (from, to): (NaiveDate, NaiveDate) = (from.parse().ok()?, to.parse().ok()?);
    Some((to - from).num_days())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "```toml\n[advisory]\nid = \"RUSTSEC-2030-0001\"\npackage = \"leaky\"\ndate = \"2030-01-02\"\n\
        informational = \"unsound\"\n[versions]\npatched = [\">= 1.2.4, < 2\", \">= 2.1\"]\nunaffected = [\"< 1.0.0\"]\n```\n\n\
        # It   leaks\n\nWords.\n";

    fn package(version: &str) -> Package {
        Package { name: "leaky".into(), version: Version::parse(version).unwrap(), source: String::new() }
    }

    #[test]
    fn ranges_decide_what_is_affected() {
        let advisory = Advisory::from_markdown(FILE).unwrap().unwrap();
        assert_eq!(advisory.title, "It leaks");
        assert!(!advisory.is_only_a_warning(), "unsound code fails");
        let cases =
            [("0.9.0", false), ("1.0.0", true), ("1.2.3", true), ("1.2.4", false), ("2.0.5", true), ("2.1.0", false)];
        for (version, expect) in cases {
            assert_eq!(advisory.applies_to(&package(version)), expect, "{version}");
        }
        let other = Package { name: "tight".into(), ..package("1.0.0") };
        assert!(!advisory.applies_to(&other));
    }

    #[test]
    fn the_snapshot_says_what_the_database_said() {
        let advisory = || Advisory::from_markdown(FILE).unwrap().unwrap();
        let header = Header { date: "2030-02-01".into(), commit: "abc".into() };
        let text = write(&header, vec![advisory()]);
        assert_eq!(read(&text).unwrap(), (header, vec![advisory()]));
    }

    #[test]
    fn withdrawn_is_left_out_and_nonsense_is_refused() {
        let withdrawn = FILE.replace("date =", "withdrawn = \"2030-03-01\"\ndate =");
        assert_eq!(Advisory::from_markdown(&withdrawn).unwrap(), None);
        for wrong in ["", "```toml\n[advisory]\n```\n# t\n", "```toml\nid = \n```\n"] {
            assert!(Advisory::from_markdown(wrong).is_err(), "{wrong:?}");
        }
        for wrong in ["", "# nothing\n", "# x date 2030-01-01 commit c\n", "# x date 2030-01-01 commit c\na\tb\n"] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn days() {
        assert_eq!(days_between("2026-08-21", "2026-11-22"), Some(93));
        assert_eq!(days_between("2024-02-28", "2024-03-01"), Some(2));
        assert_eq!(days_between("2026-02-29", "2026-03-01"), None);
    }

    #[test]
    fn our_own_crates_are_not_judged() {
        let lock = "version = 4\n[[package]]\nname = \"ours\"\nversion = \"0.1.0\"\n\
            [[package]]\nname = \"theirs\"\nversion = \"1.0.0\"\nsource = \"registry+x\"\n";
        let names: Vec<String> = packages(lock).unwrap().into_iter().map(|package| package.name).collect();
        assert_eq!(names, ["theirs"]);
    }
}
