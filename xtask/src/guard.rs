//! `guard`: makes the shipped guard lists from the committed sources, or (`--check`) says where they differ.
//!
//! The sources are texts of one value a line with their origin and licence on top. What a list takes, and from where,
//! stands in one table here; what its class means stands in the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::repo::File;

const FOLDER: &str = "crates/engine/guard";

/// One shipped list.
struct List {
    name: &'static str,
    class: &'static str,
    about: &'static str,
    /// Taken whole.
    sources: &'static [&'static str],
    /// Of these, what at least two name: who buys a place in one ranking is not in the others.
    rankings: &'static [&'static str],
    /// Of all these, what is left out all the same.
    not: &'static [&'static str],
    take: Take,
}

#[derive(Clone, Copy, PartialEq)]
enum Take {
    All,
    /// Networks only: one address of a provider belongs to one customer.
    Networks,
}

const LISTS: &[List] = &[
    List {
        name: "resolvers",
        class: "lifeline",
        about: "public DNS resolvers",
        sources: &["hand/resolvers"],
        rankings: &[],
        not: &[],
        take: Take::All,
    },
    List {
        name: "name-servers",
        class: "lifeline",
        about: "root name servers, and those of some top-level domains",
        sources: &["hand/name-servers"],
        rankings: &[],
        not: &[],
        take: Take::All,
    },
    List {
        name: "updates",
        class: "lifeline",
        about: "hosts that operating systems and browsers fetch updates from",
        sources: &["hand/updates"],
        rankings: &[],
        not: &[],
        take: Take::All,
    },
    List {
        name: "authorities",
        class: "lifeline",
        about: "certificate authorities: issuing and revocation",
        sources: &["hand/authorities", "misp/crl-hostname"],
        rankings: &[],
        not: &[],
        take: Take::All,
    },
    List {
        name: "time",
        class: "lifeline",
        about: "public time servers",
        sources: &["hand/time"],
        rankings: &[],
        not: &[],
        take: Take::All,
    },
    List {
        name: "kill-switches",
        class: "lifeline",
        about: "names that stop malware while they can be reached",
        sources: &["hand/kill-switches"],
        rankings: &[],
        not: &[],
        take: Take::All,
    },
    List {
        name: "popular-domains",
        class: "popular",
        about: "the most used domains",
        sources: &["misp/moz-top500", "misp/google", "misp/microsoft", "misp/microsoft-office365"],
        rankings: &["misp/tranco10k", "misp/cloudflare-top10k", "misp/majestic_million", "misp/cisco_top5k"],
        not: &["hand/not-popular"],
        take: Take::All,
    },
    List {
        name: "hosting",
        class: "popular",
        about: "shared hosting, clouds, content delivery, shorteners",
        sources: &["hand/hosting", "psl/parents"],
        rankings: &[],
        not: &[],
        take: Take::All,
    },
    List {
        name: "clouds",
        class: "popular",
        about: "networks of clouds and content delivery",
        sources: &[
            "misp/akamai",
            "misp/amazon-aws",
            "misp/apple",
            "misp/cloudflare",
            "misp/fastly",
            "misp/google-gcp",
            "misp/microsoft-azure",
            "misp/microsoft-azure-china",
            "misp/microsoft-azure-us-gov",
            "misp/oracle-oci",
            "misp/stackpath",
            "misp/wikimedia",
        ],
        rankings: &[],
        not: &[],
        take: Take::Networks,
    },
    List {
        name: "files",
        class: "popular",
        about: "hashes of empty and very common files",
        sources: &["misp/empty-hashes", "misp/common-ioc-false-positive", "misp/eicar.com"],
        rankings: &[],
        not: &[],
        take: Take::All,
    },
    List {
        name: "sinkholes",
        class: "warn",
        about: "addresses at which researchers catch malware",
        sources: &["misp/sinkholes"],
        rankings: &[],
        not: &[],
        take: Take::All,
    },
];

/// Writes the lists, or compares.
pub(crate) fn run(root: &Path, check: bool) -> Result<()> {
    let folder = root.join(FOLDER);
    let mut texts = BTreeMap::new();
    for list in LISTS {
        for name in list.sources.iter().chain(list.rankings).chain(list.not) {
            let path = folder.join("sources").join(format!("{name}.txt"));
            texts.insert(*name, std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?);
        }
    }
    let mut differ = Vec::new();
    for list in LISTS {
        let made = make(list, &|name| texts.get(name).map_or("", String::as_str))?;
        let path = folder.join("lists").join(format!("{}.txt", list.name));
        if check {
            if std::fs::read_to_string(&path).ok().as_deref() != Some(&*made.text) {
                differ.push(list.name);
            }
        } else {
            std::fs::write(&path, &made.text).with_context(|| format!("write {}", path.display()))?;
            println!("{:<16} {:<8} {:>6} values, {:>4} left out", list.name, list.class, made.kept, made.left_out);
        }
    }
    if differ.is_empty() {
        return Ok(());
    }
    bail!("{FOLDER}/lists is not what its sources make: {}; run `cargo xtask guard`", differ.join(", "))
}

/// Has the engine say what its lists stop in feeds: the example `guard_judge`, which reads with our own readers.
pub(crate) fn judge(root: &Path, paths: &[String]) -> Result<()> {
    let here = std::env::current_dir().context("where am I")?;
    let paths = paths.iter().map(|path| if path.starts_with("--") { path.into() } else { here.join(path) });
    let mut cargo = std::process::Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["run", "-q", "-p", "engine", "--example", "guard_judge", "--"]).args(paths).current_dir(root);
    let status = cargo.status().context("run cargo")?;
    if status.success() { Ok(()) } else { bail!("the judge ended with {status}") }
}

/// The lists that are not what the sources make, for `tidy`.
pub(crate) fn drift(files: &[File]) -> Result<Vec<&'static str>> {
    let text = |path: String| files.iter().find(|file| file.path == path).map_or("", |file| file.text.as_str());
    let mut differ = Vec::new();
    for list in LISTS {
        let made = make(list, &|name| text(format!("{FOLDER}/sources/{name}.txt")))?;
        if text(format!("{FOLDER}/lists/{}.txt", list.name)) != made.text {
            differ.push(list.name);
        }
    }
    Ok(differ)
}

struct Made {
    text: String,
    kept: usize,
    left_out: usize,
}

fn make<'a>(list: &List, source: &dyn Fn(&str) -> &'a str) -> Result<Made> {
    let mut votes: BTreeMap<String, u32> = BTreeMap::new();
    let mut date = String::new();
    let mut left_out = 0;
    for (name, whole) in
        list.sources.iter().map(|name| (name, true)).chain(list.rankings.iter().map(|name| (name, false)))
    {
        let text = source(name);
        date = date.max(date_of(text).with_context(|| format!("{name}: its head names neither version nor date"))?);
        let mut seen = BTreeSet::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            match value(line, list.take) {
                Some(value) if seen.insert(value.clone()) => {
                    *votes.entry(value).or_default() += if whole { 2 } else { 1 }
                }
                Some(_) => {}
                None => left_out += 1,
            }
        }
    }
    for name in list.not {
        for line in source(name).lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if value(line, list.take).and_then(|value| votes.remove(&value)).is_none() {
                bail!("{name}: {line} is on no source of {}, so it need not be left out", list.name);
            }
        }
    }
    let kept: Vec<&String> = votes.iter().filter(|(_, votes)| **votes >= 2).map(|(value, _)| value).collect();
    let mut text = format!(
        "# {}\n# class: {}\n# date: {date}\n# Made by `cargo xtask guard` from {}; do not edit.\n",
        list.about,
        list.class,
        list.sources.iter().chain(list.rankings).copied().collect::<Vec<_>>().join(", ")
            + &list.not.iter().map(|name| format!(" without {name}")).collect::<String>()
    );
    for value in &kept {
        text.push_str(value);
        text.push('\n');
    }
    Ok(Made { text, kept: kept.len(), left_out })
}

/// The day of a source: `Written: 2026-11-24`, or `Checked: …` of one that was fetched, or a version that is one (`20260811`). Other versions tell no day.
fn date_of(text: &str) -> Option<String> {
    let head: Vec<&str> = text.lines().take_while(|line| line.starts_with('#')).collect();
    if let Some(day) = head.iter().find_map(|line| line.split_once("Written: ").or(line.split_once("Checked: "))) {
        return day.1.get(..10).map(str::to_owned);
    }
    let version = head.iter().find_map(|line| line.split_once(", version "))?.1.split([';', ' ']).next()?;
    let day = version.len() == 8 && version.starts_with("20");
    Some(if day { format!("{}-{}-{}", &version[..4], &version[4..6], &version[6..]) } else { String::new() })
}

/// One value as the engine writes it; None for what no indicator can meet.
fn value(line: &str, take: Take) -> Option<String> {
    let text = line.to_ascii_lowercase();
    let text = text.trim_start_matches("*.").trim_start_matches('.').trim_end_matches('.');
    if let Some(net) = network(text) {
        return (take == Take::All || net.contains('/')).then_some(net);
    }
    if take == Take::Networks {
        return None;
    }
    if text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return matches!(text.len(), 32 | 40 | 64 | 128).then(|| text.to_owned());
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let labels: Vec<&str> = text.split('.').collect();
    let name = labels.len() >= 2 && labels.iter().all(|text| label(text));
    (name && !labels[labels.len() - 1].bytes().all(|b| b.is_ascii_digit())).then(|| text.to_owned())
}

/// An address, or a network with its host bits cleared.
fn network(text: &str) -> Option<String> {
    let (address, len) = match text.split_once('/') {
        Some((address, len)) => (address, Some(len.parse::<u32>().ok()?)),
        None => (text, None),
    };
    if let Ok(v4) = address.parse::<Ipv4Addr>() {
        let len = len.unwrap_or(32).min(32);
        let low = u32::from(v4) & u32::MAX.checked_shl(32 - len).unwrap_or(0);
        let low = Ipv4Addr::from(low);
        return Some(if len == 32 { low.to_string() } else { format!("{low}/{len}") });
    }
    let v6 = u128::from(address.parse::<Ipv6Addr>().ok()?);
    let len = len.unwrap_or(128).min(128);
    let low = Ipv6Addr::from(v6 & u128::MAX.checked_shl(128 - len).unwrap_or(0));
    Some(if len == 128 { low.to_string() } else { format!("{low}/{len}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_made_canonical_or_left_out() {
        let cases = [
            (".Google.COM", Some("google.com")),
            ("8.8.8.9/24", Some("8.8.8.0/24")),
            ("8.8.8.8/32", Some("8.8.8.8")),
            ("2001:DB8::/32", Some("2001:db8::/32")),
            ("com", None),
            ("a b.com", None),
            ("3::", Some("3::")),
            ("d41d8cd98f00b204e9800998ecf8427e", Some("d41d8cd98f00b204e9800998ecf8427e")),
            ("abc", None),
        ];
        for (line, expected) in cases {
            assert_eq!(value(line, Take::All).as_deref(), expected, "{line}");
        }
        assert_eq!(value("1.2.3.4", Take::Networks), None, "one address of a cloud is one customer's");
    }

    #[test]
    fn a_ranking_alone_says_nothing() {
        let list = List { sources: &[], rankings: &["a", "b"], ..LISTS[0] };
        let source = |name: &str| match name {
            "a" => "# x, version 20260811; y\nboth.example\nbought.example\n",
            _ => "# x, version 20260101; y\nboth.example\n",
        };
        let made = make(&list, &source).unwrap();
        assert!(made.text.ends_with("do not edit.\nboth.example\n"), "{}", made.text);
        assert!(made.text.contains("# date: 2026-08-11\n"));
        assert!(make(&list, &|_| "no head\n").is_err());
        let list = List { not: &["c"], ..list };
        let without = |line: &'static str| {
            make(&list, &move |name| if name == "c" { line } else { source(name) }).map(|made| made.kept)
        };
        assert_eq!(without("both.example\n").unwrap(), 0);
        assert!(without("other.example\n").is_err(), "what is not there need not be left out");
    }
}
