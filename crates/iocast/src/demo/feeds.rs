//! The feeds the demo reads: published by others, committed under `testdata/`, part of the program, written out so that
//! anyone can look at them and change them.

use std::fs;
use std::io;
use std::path::Path;

/// A published file, by its path below the folder of feeds.
struct Embedded {
    path: &'static str,
    body: &'static [u8],
}

macro_rules! embedded {
    ($($path:literal = $source:literal),+ $(,)?) => {
        &[$(Embedded { path: $path, body: include_bytes!(concat!("../../../../testdata/", $source)) }),+]
    };
}

const FEEDS: &[Embedded] = embedded! {
    "ipsum/3.txt" = "demo/ipsum/levels/3.txt",
    "ipsum/5.txt" = "demo/ipsum/levels/5.txt",
    // A copy of it, of which most is going to be lost.
    "mirror/addresses.txt" = "demo/ipsum/levels/5.txt",
    "tweetfeed/20260401.csv" = "demo/tweetfeed/daily-csv/2026/202604/20260401.csv",
    "tweetfeed/20260402.csv" = "demo/tweetfeed/daily-csv/2026/202604/20260402.csv",
    "tweetfeed/20260403.csv" = "demo/tweetfeed/daily-csv/2026/202604/20260403.csv",
    "tweetfeed/20260404.csv" = "demo/tweetfeed/daily-csv/2026/202604/20260404.csv",
    "tweetfeed/20260405.csv" = "demo/tweetfeed/daily-csv/2026/202604/20260405.csv",
    "tweetfeed/20260406.csv" = "demo/tweetfeed/daily-csv/2026/202604/20260406.csv",
    "tweetfeed/20260407.csv" = "demo/tweetfeed/daily-csv/2026/202604/20260407.csv",
    "tweetfeed/20260408.csv" = "demo/tweetfeed/daily-csv/2026/202604/20260408.csv",
    "tweetfeed/20260409.csv" = "demo/tweetfeed/daily-csv/2026/202604/20260409.csv",
    "tweetfeed/20260410.csv" = "demo/tweetfeed/daily-csv/2026/202604/20260410.csv",
    "tweetfeed/hosts.txt" = "demo/tweetfeed/blocklists/hosts.txt",
    "blocklistproject/ransomware.txt" = "demo/blocklistproject/ransomware.txt",
    "mstic/Indicators.csv" = "demo/mstic/RapidReleaseTI/Indicators.csv",
    "stalkerware/indicators-for-tinycheck.json" = "demo/stalkerware/generated/indicators-for-tinycheck.json",
    "netskope-threatlabs/Glitch.md" = "demo/netskope-threatlabs/Phishing/Glitch/IOCs/README.md",
    "netskope-threatlabs/TechSupportScam.md" = "demo/netskope-threatlabs/Phishing/TechSupportScam/IOCs/README.md",
    "netskope-threatlabs/Webflow.md" = "demo/netskope-threatlabs/Phishing/Webflow/IOCs/README.md",
    "eset/evilnum.sha256" = "demo/eset/evilnum/samples.sha256",
    "eset/groundbait.sha1" = "demo/eset/groundbait/samples.sha1",
    "eset/groundbait.sha256" = "demo/eset/groundbait/samples.sha256",
    "eset/windigo.sha256" = "demo/eset/windigo/samples.sha256",
    "maltrail/nitol.txt" = "demo/maltrail/static/malware/nitol.txt",
    "maltrail/xfiles.txt" = "demo/maltrail/static/malware/xfiles.txt",
    "unit42/diamondfox_panels.txt" = "demo/unit42/diamondfox/diamondfox_panels.txt",
    "unit42/gorgon.csv" = "demo/unit42/gorgon/hashes.csv",
    "unit42/prince_of_persia.csv" = "demo/unit42/prince_of_persia/hashes.csv",
    "misp-warninglists/moz-top500.json" = "demo/misp-warninglists/lists/moz-top500/list.json",
    // Two that nobody published: a table with an unresolved merge in it, and the page a mirror shows when it is down.
    "broken/merge-mark.csv" = "generated/merge-mark.csv",
    "broken/mirror.txt" = "generated/error-page.html",
    "licences/blocklistproject.txt" = "licences/blocklistproject.txt",
    "licences/eset.txt" = "licences/eset.txt",
    "licences/ipsum.txt" = "licences/ipsum.txt",
    "licences/maltrail.txt" = "licences/maltrail.txt",
    "licences/misp-warninglists.txt" = "licences/misp-warninglists.txt",
    "licences/mstic.txt" = "licences/mstic.txt",
    "licences/netskope-threatlabs.txt" = "licences/netskope-threatlabs.txt",
    "licences/stalkerware.txt" = "licences/stalkerware.txt",
    "licences/tweetfeed.txt" = "licences/tweetfeed.txt",
    "licences/unit42.txt" = "licences/unit42.txt",
};

/// The warning list of popular names, as published: the demo's guard.
pub(super) const POPULAR: &str = include_str!("../../../../testdata/demo/misp-warninglists/lists/moz-top500/list.json");

/// Whose work the feeds are. Shown, because some licences ask for it and all deserve it.
pub(super) const CREDITS: &str = "\
Feeds, unchanged: Association Echap (stalkerware-indicators, CC BY 4.0), Microsoft (mstic, CC BY
4.0), Daniel López (TweetFeed), ESET, MISP, the Block List Project, Maltrail and ipsum (Miroslav
Stampar), Netskope Threat Labs, Palo Alto Networks Unit 42. Their licences lie beside them.
";

/// Writes the feeds out. A file that is there is left as it is: people are invited to change them.
///
/// # Errors
/// What the file system says, with the path.
pub(super) fn write_out(folder: &Path) -> io::Result<()> {
    for feed in FEEDS {
        let path = folder.join(feed.path);
        let told = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        if path.exists() {
            continue;
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(told)?;
        }
        fs::write(&path, feed.body).map_err(told)?;
    }
    Ok(())
}

/// The copy of which most is lost between two pulls.
const MIRROR: &str = "mirror/addresses.txt";
/// Lines of it that are left.
const LEFT: usize = 40;

/// Loses most of the mirror, as mirrors do. Once: what is left is left.
///
/// # Errors
/// What the file system says.
pub(super) fn lose_most_of_the_mirror(folder: &Path) -> io::Result<()> {
    let path = folder.join(MIRROR);
    let text = fs::read_to_string(&path)?;
    if text.lines().count() > LEFT {
        let left: String = text.lines().take(LEFT).flat_map(|line| [line, "\n"]).collect();
        fs::write(&path, left)?;
    }
    Ok(())
}

/// The names of a MISP warning list.
///
/// # Errors
/// A text that is none.
pub(super) fn names_of(list: &str) -> Result<Vec<String>, serde_json::Error> {
    #[derive(serde::Deserialize)]
    struct List {
        list: Vec<String>,
    }
    serde_json::from_str::<List>(list).map(|list| list.list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feeds_are_written_as_published_and_never_over_what_a_person_changed() {
        let dir = tempfile::tempdir().unwrap();
        write_out(dir.path()).unwrap();
        let mut bytes = 0;
        for feed in FEEDS {
            assert_eq!(fs::read(dir.path().join(feed.path)).unwrap(), feed.body, "{}", feed.path);
            bytes += feed.body.len();
        }
        assert!(bytes < 1_500_000, "{bytes} bytes make the program too large");
        let changed = dir.path().join("ipsum/5.txt");
        fs::write(&changed, "192.0.2.1\n").unwrap();
        write_out(dir.path()).unwrap();
        assert_eq!(fs::read_to_string(&changed).unwrap(), "192.0.2.1\n");
    }

    #[test]
    fn the_popular_names_are_read() {
        assert_eq!(names_of(POPULAR).unwrap().len(), 500);
    }
}
