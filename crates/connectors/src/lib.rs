//! The connectors that come with iocast: a list to read.
//!
//! Adding one is a folder and a line in `ALL`; a public feed that needs no code is a file in `feeds/` and a line in
//! `FEEDS`. A connector knows `kit` and `intel`, and nothing of the store, the index or its neighbours.

mod aside;
#[cfg(test)]
mod cut_tests;
mod feed;
mod file;
mod hosted;
mod misp_feed;
mod taxii;
mod taxii1;
mod webhook;

/// Signatures of Standard Webhooks, for whoever else sends such messages.
pub mod signing {
    pub use crate::webhook::Keys;
}

use kit::Connector;
use kit::feed::FeedConnector;
use std::sync::Arc;

/// A connector, or what is wrong with its manifest.
type Made = Result<Arc<dyn Connector>, String>;
/// Makes a connector of the code and the manifest here.
type Make = fn() -> Made;

/// In the order catalogues show them.
static ALL: &[Make] = &[
    feed::connector,
    misp_feed::connector,
    taxii::connector,
    taxii1::connector,
    webhook::connector,
    hosted::api_source,
    file::connector,
    hosted::list,
    hosted::manual,
];

/// Public feeds that need no code: name and manifest.
const FEEDS: &[(&str, &str)] = &[
    ("blocklist-de", include_str!("../feeds/blocklist-de.toml")),
    ("botvrij-domains", include_str!("../feeds/botvrij-domains.toml")),
    ("cins-army", include_str!("../feeds/cins-army.toml")),
    ("dshield-block", include_str!("../feeds/dshield-block.toml")),
    ("et-compromised", include_str!("../feeds/et-compromised.toml")),
    ("feodo", include_str!("../feeds/feodo.toml")),
    ("ipsum", include_str!("../feeds/ipsum.toml")),
    ("malwarebazaar", include_str!("../feeds/malwarebazaar.toml")),
    ("maltrail", include_str!("../feeds/maltrail.toml")),
    ("openphish", include_str!("../feeds/openphish.toml")),
    ("phishing-army", include_str!("../feeds/phishing-army.toml")),
    ("spamhaus-drop", include_str!("../feeds/spamhaus-drop.toml")),
    ("spamhaus-drop-v6", include_str!("../feeds/spamhaus-drop-v6.toml")),
    ("sslbl-certificates", include_str!("../feeds/sslbl-certificates.toml")),
    ("sslbl-ja3", include_str!("../feeds/sslbl-ja3.toml")),
    ("threatfox", include_str!("../feeds/threatfox.toml")),
    ("tor-exits", include_str!("../feeds/tor-exits.toml")),
    ("tweetfeed", include_str!("../feeds/tweetfeed.toml")),
    ("urlhaus", include_str!("../feeds/urlhaus.toml")),
];

/// Every connector.
///
/// A manifest that cannot be read would be a mistake in this crate, which its tests find; such a connector is left out.
pub fn all() -> Vec<Arc<dyn Connector>> {
    build().into_iter().filter_map(|(_, made)| made.ok()).collect()
}

fn build() -> Vec<(String, Made)> {
    let coded = ALL.iter().enumerate().map(|(at, make)| (format!("ALL[{at}]"), make()));
    let feeds = FEEDS.iter().map(|(name, text)| {
        let made = FeedConnector::from_toml(text).map(|made| Arc::new(made) as Arc<dyn Connector>);
        ((*name).to_owned(), made)
    });
    coded.chain(feeds).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kit::testkit::conformance;
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn every_connector_conforms() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut wrong = Vec::new();
        let mut names = BTreeSet::new();
        for (listed, made) in build() {
            let connector = made.unwrap_or_else(|error| panic!("{listed}: {error}"));
            let name = connector.manifest().name.clone();
            assert!(names.insert(name.clone()), "{name} is listed twice");
            let is_feed = !listed.starts_with("ALL");
            if is_feed {
                assert_eq!(listed, name);
                let terms = FeedConnector::from_toml(FEEDS.iter().find(|(n, _)| *n == name).unwrap().1).unwrap();
                assert!(terms.terms().is_some_and(|terms| terms.len() > 2), "{name} does not say its terms");
                assert!(connector.manifest().docs.is_some(), "{name} has no docs");
            }
            let exchanges = if is_feed {
                here.join("feeds/exchanges").join(&name)
            } else {
                here.join("src").join(name.replace('-', "_")).join("exchanges")
            };
            let cases = exchanges.is_dir().then_some(exchanges.as_path());
            assert!(cases.is_some() || !is_feed, "{name} has no recorded exchange");
            wrong.extend(conformance(connector.as_ref(), cases));
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert_eq!(all().len(), ALL.len() + FEEDS.len());
    }

    #[test]
    fn every_file_is_listed() {
        let feeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("feeds");
        let mut found = Vec::new();
        for entry in std::fs::read_dir(feeds).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            found.extend(name.strip_suffix(".toml").map(str::to_owned));
        }
        found.sort();
        let listed: Vec<&str> = FEEDS.iter().map(|(name, _)| *name).collect();
        let mut sorted = listed.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, found);
    }
}
