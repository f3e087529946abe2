//! What happens to each oddity that published feeds are known for. The files are under `testdata/`, as published.

use super::*;
use intel::Timestamp;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Rows by the kind of their key, and everything else by reason.
#[derive(Default)]
struct Tally {
    keys: BTreeMap<String, u64>,
    other: BTreeMap<String, u64>,
}

impl Rows for Tally {
    fn row(&mut self, row: Observation) {
        match row.normalise(Timestamp::from_secs(1_790_000_000)) {
            Ok(row) => *self.keys.entry(row.key.kind().to_string()).or_default() += 1,
            Err(rejection) => *self.other.entry(format!("no key: {}", rejection.reason.as_str())).or_default() += 1,
        }
    }
    fn reject(&mut self, reason: &'static str, _: &str) {
        *self.other.entry(format!("rejected: {reason}")).or_default() += 1;
    }
    fn filter(&mut self, reason: &'static str, n: u64) {
        *self.other.entry(format!("filtered: {reason}")).or_default() += n;
    }
}

fn told(file: &str, settings: &serde_json::Value) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(file);
    let packed = std::fs::File::open(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
    let unpack = crate::decode::Unpack::default();
    let body = crate::decode::unpack(Box::new(packed), &unpack).unwrap();
    let mut tally = Tally::default();
    let parsed = parse(&FeedSpec::from_settings(settings).unwrap(), std::io::BufReader::new(body), &mut tally);
    let mut out = String::new();
    match parsed {
        Ok(stats) if stats.recoded > 0 => write!(out, "{} recoded, ", stats.recoded).unwrap(),
        Ok(_) => {}
        Err(error) => write!(out, "{error}, ").unwrap(),
    }
    for (what, n) in tally.keys.iter().chain(&tally.other) {
        write!(out, "{n} {what}, ").unwrap();
    }
    out.trim_end_matches(", ").to_owned()
}

#[test]
fn each_known_oddity() {
    let text = json!({ "format": "text" });
    let csv = json!({ "format": "csv" });
    let prose = json!({ "format": "extract" });
    let tweets = json!({ "format": "csv", "value": "4", "kind_column": "3", "header": "none", "comments": [],
        "kind_map": { "ip": "ipv4" }, "tags_columns": ["5"], "tags_separator": "space", "last_seen_column": "1" });
    for (file, settings, expect) in [
        // Not UTF-8: read as Windows-1252; a value that would be a guess is refused.
        ("demo/unit42/prince_of_persia/hashes.csv", &text, "15 recoded, 203 md5, 39 sha256"),
        (
            "feeds/unit42/silverterrier/domains18.csv",
            &csv,
            "1 recoded, 8 domain, 1 rejected: a value that is not UTF-8",
        ),
        ("feeds/mvt/2026-03-30_darksword/README.md", &prose, "1 recoded, 3 url"),
        // The same value from several people, empty tags, and a day without any.
        ("demo/tweetfeed/daily-csv/2026/202604/20260401.csv", &tweets, "37 domain, 15 ipv4, 4 md5, 4 sha256, 58 url"),
        ("feeds/tweetfeed/daily-csv/2021/202108/20210808.csv", &tweets, ""),
        // Names of 266 and 1,340 characters, many glued together: no resolver may get to see them.
        ("demo/tweetfeed/blocklists/domains.txt", &text, "4873 domain, 2 no key: too_long"),
        // An empty list; a list without an extension whose first line is a heading.
        ("demo/mvt/ResidentBat/domains.txt", &text, ""),
        ("feeds/unit42/menuPass", &text, "220 domain, 664 sha256, 1 no key: unrecognised"),
        ("feeds/unit42/emotet/sha256-hashes/emotet-sept-2019", &text, "874 sha256, 1 no key: unrecognised"),
        // hxxp, [.] and plain in one file; a table without a header.
        ("demo/unit42/diamondfox/diamondfox_panels.txt", &json!({ "format": "text", "separator": "," }), "889 url"),
        // Hash lists with and without a file name.
        ("feeds/eset/turla/samples.sha1", &text, "130 sha1"),
        ("feeds/eset/sshdoor/samples.sha1", &text, "90 sha1"),
        // Ports, paths without a scheme, and bare words, which are no indicators.
        ("feeds/unit42/hidenseek/hardcodedpeers.txt", &text, "170 ipv4"),
        ("feeds/maltrail/static/malware/silentbrute.txt", &text, "4 no key: no_scheme"),
        (
            "feeds/maltrail/static/suspicious/simplehelp.txt",
            &text,
            "2085 domain, 6 ipv4, 1 url, 2 no key: unknown_suffix, 2 no key: unrecognised",
        ),
        // A line breaks inside a quoted field; networks as wide as an allow list's.
        ("feeds/unit42/dearjoohn/dearjoohn_iocs.csv", &csv, "9 sha256"),
        ("feeds/mstic/PublicFeeds/MSFTIPRanges/MSFT_PublicIPs.csv", &csv, "515 ipv4_net, 17 ipv6_net"),
        // An unresolved merge left in a table.
        ("generated/merge-mark.csv", &csv, "3 domain, 1 ipv4, 3 rejected: no value"),
        // A comma too many: nothing of the event is used.
        (
            "feeds/eset/pypi_backdoor/malicious_pypi_packages.misp-event.json",
            &json!({ "format": "misp" }),
            "unexpected answer: broken JSON: trailing comma, at line 206",
        ),
        // Patterns on objects STIX does not have; what its validator refuses; objects of every type but indicators.
        (
            "feeds/mvt/cellebrite/cellebrite.stix2",
            &json!({ "format": "stix" }),
            "2 filtered: not an indicator, 1 filtered: unmappable pattern",
        ),
        (
            "feeds/unit42/stix2-reports/report_json/cve-2023-23397.json.gz",
            &json!({ "format": "stix" }),
            "10 ipv4, 53 filtered: not an indicator",
        ),
        (
            "feeds/mitre-attack/ics-attack/ics-attack.json.gz",
            &json!({ "format": "stix" }),
            "15 filtered: not an indicator",
        ),
        // The same as STIX 1 in XML, by the one name `stix`.
        (
            "feeds/misp-stix/tests/test_attributes_collection_stix11.xml",
            &json!({ "format": "stix" }),
            "1 domain, 1 filename, 1 filtered: an observable without an indicator, 1 filtered: unmappable",
        ),
        // XML of another kind.
        ("feeds/tweetfeed/rss.xml", &text, "unexpected answer: XML document where a list was expected"),
    ] {
        assert_eq!(told(file, settings), expect, "{file}");
    }
}
