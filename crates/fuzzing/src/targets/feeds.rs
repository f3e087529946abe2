//! Feeds without code, and what is around a body: lists, tables, JSON with paths, descriptions of feeds, packing.

use super::formats::{both_ways, of_stats};
use crate::tell::{Dribble, Taken, choice, text};
use crate::{Seed, Target};
use kit::decode::{Limits, Packing, Unpack, unpack};
use kit::feed::{FeedConnector, FeedSpec, parse};
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::sync::OnceLock;

type Specs = OnceLock<Vec<FeedSpec>>;

fn spec_of<'s>(cell: &'s Specs, settings: &[Value], choice: u8) -> &'s FeedSpec {
    let made = |settings: &Value| FeedSpec::from_settings(settings).expect("settings of a target are good");
    let specs = cell.get_or_init(|| settings.iter().map(made).collect());
    &specs[usize::from(choice) % specs.len()]
}

fn read(spec: &FeedSpec, body: &[u8]) {
    // Every row carries the tags of the description; what a body itself says is bounded by the body.
    both_ways(body, 256, |body, taken| of_stats(parse(spec, body, taken)));
}

pub(crate) static TEXT: Target = Target {
    name: "feed_text",
    run: |data| {
        static SPECS: Specs = OnceLock::new();
        let (first, body) = choice(data);
        let settings = [
            json!({"format": "text"}),
            json!({"format": "text", "kind": "domain", "separator": "\t", "value": "2", "comment_column": "3"}),
            json!({"format": "extract"}),
            json!({"format": "text", "kind": "ipv4", "comments": ["#"]}),
        ];
        read(spec_of(&SPECS, &settings, first), body);
    },
    seeds: &[
        Seed::Text(
            "\0# comment\n0.0.0.0 evil.example\n||ads.example^$third-party\naddress=/evil.example/\n198.51.100.7 # why\n",
        ),
        Seed::Text("\x011\tevil.example\twhy\n2\ta.example\t\n"),
        Seed::Text("\x02see hxxp://evil[.]example/x and 198.51.100[.]7\n"),
        Seed::File { before: "\0", path: "testdata/feeds/stalkerware/generated/hosts", most: 1_500 },
        Seed::File { before: "\0", path: "testdata/feeds/blocklistproject/adguard/crypto-ags.txt", most: 1_500 },
        Seed::File { before: "\0", path: "testdata/feeds/tweetfeed/blocklists/dnsmasq.txt", most: 1_500 },
        Seed::File { before: "\0", path: "testdata/feeds/maltrail/static/malware/javarat.txt", most: 1_500 },
        Seed::File { before: "\x02", path: "testdata/feeds/unit42/hidenseek/hardcodedpeers.txt", most: 1_500 },
    ],
    words: &[
        "0.0.0.0 ",
        "127.0.0.1\t",
        "||",
        "^",
        "address=/",
        "server=/",
        "#",
        ";",
        "//",
        "!",
        "\r\n",
        "\u{feff}",
        "<html>",
        "<!DOCTYPE html>",
        "\t",
        "@@||",
        "$third-party",
        "\0",
    ],
    longest: 65_536,
};

pub(crate) static CSV: Target = Target {
    name: "feed_csv",
    run: |data| {
        static SPECS: Specs = OnceLock::new();
        let (first, body) = choice(data);
        let settings = [
            json!({"format": "csv", "header": "first", "value": "value", "kind_column": "type", "tags_columns": ["tags"], "comment_column": "comment"}),
            json!({"format": "csv", "header": "none", "value": "1", "first_seen_column": "2", "reputation_column": "3"}),
            json!({"format": "csv", "header": "comment", "value": "ioc", "separator": ";", "quote": "'"}),
            json!({"format": "csv", "quote": "", "header": "none", "values": {"1": "ipv4", "2": "domain"}}),
        ];
        read(spec_of(&SPECS, &settings, first), body);
    },
    seeds: &[
        Seed::Text(
            "\0type,value,tags,comment\nurl,http://evil.example/x,\"a, b\",\"said \"\"so\"\"\"\ndomain,evil.example,,\n",
        ),
        Seed::Text("\x01198.51.100.7,2026-01-01,9\n\"198.51.100.8\",1700000000,\n"),
        Seed::Text("\x02# ioc;why\n'evil.example';x\n"),
        Seed::Text("\x03198.51.100.7,evil.example\n"),
        Seed::File { before: "\x01", path: "testdata/feeds/unit42/iran_linked_operators/APT33.csv", most: 1_500 },
        Seed::File { before: "\x01", path: "testdata/feeds/tweetfeed/daily-csv/2026/202604/20260412.csv", most: 1_500 },
    ],
    words: &[
        "\"",
        "\"\"",
        "'",
        ",",
        ";",
        "\t",
        "\n",
        "\r",
        "type,value,tags,comment\n",
        "#",
        "\u{feff}",
        "2026-01-01T00:00:00Z",
        "1e400",
        "-9",
    ],
    longest: 65_536,
};

pub(crate) static JSON: Target = Target {
    name: "feed_json",
    run: |data| {
        static SPECS: Specs = OnceLock::new();
        let (first, body) = choice(data);
        let settings = [
            json!({"format": "json", "path": "data[].items[]", "value": "value", "tags_columns": ["tags[]"], "kind_column": "meta.type"}),
            json!({"format": "json", "path": "", "value": "ip"}),
            json!({"format": "ndjson", "value": "ioc", "comment_column": "why", "first_seen_column": "seen"}),
            json!({"format": "json", "path": "*", "value": "ioc_value"}),
        ];
        read(spec_of(&SPECS, &settings, first), body);
    },
    seeds: &[
        Seed::Text(
            "\0{\"data\":[{\"items\":[{\"value\":\"evil.example\",\"tags\":[\"a\",\"b\"],\"meta\":{\"type\":\"domain\"}}]}]}",
        ),
        Seed::Text("\x01[{\"ip\":\"198.51.100.7\"},{\"ip\":7},\"x\"]"),
        Seed::Text(
            "\x02{\"ioc\":\"http://evil.example/\",\"why\":\"\\u0041\",\"seen\":1700000000}\n\n{\"ioc\":\"x\"}\n",
        ),
        Seed::Text("\x03{\"1\":[{\"ioc_value\":\"evil.example\"}],\"2\":[]}"),
    ],
    words: &[
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"data\":[",
        "\"items\":[",
        "\"value\":\"",
        "\\u0000",
        "\\ud834",
        "null",
        "1e999",
        "-0",
        "\"ioc\":",
        "\"meta\":{\"type\":\"url\"}",
        "\n",
        "[[[[[[[[",
    ],
    longest: 65_536,
};

pub(crate) static SETTINGS: Target = Target {
    name: "feed_settings",
    run: |data| {
        let at = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
        let Ok(settings) = serde_json::from_slice::<Value>(&data[..at]) else { return };
        match FeedSpec::from_settings(&settings) {
            Err(why) => assert!(!why.is_empty()),
            Ok(spec) => {
                assert_eq!(FeedSpec::from_settings(&settings).as_ref(), Ok(&spec));
                let body = data.get(at + 1..).unwrap_or_default();
                let mut taken = Taken::default();
                if let Ok(stats) = parse(&spec, body, &mut taken) {
                    let counted = (stats.rows, stats.rejected, stats.filtered);
                    assert_eq!(counted, (taken.rows, taken.rejected, taken.filtered));
                }
            }
        }
    },
    seeds: &[
        Seed::Text(
            "{\"format\":\"csv\",\"header\":\"first\",\"value\":\"a\",\"skip_if\":{\"b\":\"x\"}}\0a,b\nevil.example,y\n",
        ),
        Seed::Text(
            "{\"format\":\"json\",\"path\":\"a.b[].c\",\"value\":\"v\",\"time_format\":\"%Y-%m-%d\",\"first_seen_column\":\"t\"}\0{\"a\":{\"b\":[{\"c\":{\"v\":\"evil.example\",\"t\":\"2026-01-01\"}}]}}",
        ),
        Seed::Text(
            "{\"format\":\"text\",\"separator\":\"|\",\"value\":\"2\",\"tags\":[\"x\"],\"reputation\":7,\"tlp\":\"amber\"}\x001|evil.example\n",
        ),
        Seed::Text(
            "{\"format\":\"ndjson\",\"values\":{\"ip\":\"ipv4\",\"host\":\"domain\"},\"kind_map\":{\"x\":\"url\"},\"only_if\":{\"s\":\"on\"}}\0{\"ip\":\"198.51.100.7\",\"host\":\"evil.example\",\"s\":\"on\"}\n",
        ),
    ],
    words: &[
        "\"format\":\"csv\"",
        "\"format\":\"json\"",
        "\"format\":\"stix\"",
        "\"path\":\"",
        "\"value\":\"",
        "\"values\":{",
        "\"prefix_column\":\"",
        "\"kind_column\":\"",
        "\"kind_map\":{",
        "\"tags_columns\":[",
        "\"tags_separator\":\"",
        "\"time_format\":\"",
        "%Y",
        "%s",
        "%",
        "\"skip_if\":{",
        "\"only_if\":{",
        "\"hops_columns\":[",
        "\"header\":\"comment\"",
        "\"separator\":\"\\t\"",
        "\"quote\":\"\"",
        "[]",
        "[*]",
        ".",
        "\\\\",
        "\0",
    ],
    longest: 16_384,
};

pub(crate) static MANIFEST: Target = Target {
    name: "manifest",
    run: |data| {
        let toml = text(data);
        match FeedConnector::from_toml(&toml) {
            Err(why) => assert!(!why.is_empty()),
            Ok(connector) => {
                let manifest = kit::Connector::manifest(&connector);
                assert!(!manifest.name.is_empty());
                // A manifest that passed its check can be checked against: whatever comes, it answers.
                for settings in [Value::Null, json!({}), json!({"url": "https://a.example/x"}), json!([])] {
                    if let Err(errors) = manifest.check(&settings) {
                        assert!(!errors.is_empty());
                    }
                }
            }
        }
    },
    seeds: &[
        Seed::File { before: "", path: "crates/connectors/feeds/urlhaus.toml", most: 4_000 },
        Seed::File { before: "", path: "crates/connectors/feeds/threatfox.toml", most: 4_000 },
        Seed::File { before: "", path: "crates/connectors/feeds/spamhaus-drop.toml", most: 4_000 },
        Seed::File { before: "", path: "crates/connectors/src/taxii/manifest.toml", most: 6_000 },
    ],
    words: &[
        "[[setting]]\n",
        "[feed]\n",
        "[source]\n",
        "[feed.when.x]\n",
        "type = \"choice\"\n",
        "default = ",
        "choices = [",
        "min = -1\n",
        "max = 9223372036854775807\n",
        "required = true\n",
        "key = \"url\"\n",
        "[[action]]\n",
        "style = \"whole\"\n",
    ],
    longest: 16_384,
};

const LIMITS: Limits = Limits { max_input: 1 << 20, max_output: 2 << 20, max_ratio: 100, max_entries: 16 };

fn packed_off(data: &[u8], layers: Option<Vec<Packing>>, step: usize) -> Result<Vec<u8>, String> {
    let how = Unpack { layers, member: None, limits: LIMITS };
    let owned = data.to_vec();
    let body: kit::decode::Body = match step {
        0 => Box::new(std::io::Cursor::new(owned)),
        _ => Box::new(Stepped { data: owned, at: 0, step }),
    };
    let mut out = Vec::new();
    let mut body = unpack(body, &how).map_err(|error| error.to_string())?;
    let read = body.read_to_end(&mut out);
    assert!(out.len() as u64 <= LIMITS.max_output, "{} bytes came out", out.len());
    read.map(|_| out).map_err(|error| error.to_string())
}

struct Stepped {
    data: Vec<u8>,
    at: usize,
    step: usize,
}

impl std::io::Read for Stepped {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut dribble = Dribble::new(&self.data[self.at..], self.step);
        let n = dribble.read(buffer)?;
        self.at += n;
        Ok(n)
    }
}

pub(crate) static UNPACK: Target = Target {
    name: "unpack",
    run: |data| {
        use Packing::{Gzip, Plain, Zip, Zstd};
        let (first, body) = choice(data);
        let layers = match first % 8 {
            0 => None,
            1 => Some(vec![Gzip]),
            2 => Some(vec![Zip]),
            3 => Some(vec![Zstd]),
            4 => Some(vec![Gzip, Gzip]),
            5 => Some(vec![Zip, Gzip]),
            6 => Some(vec![Plain]),
            _ => Some(vec![Zstd, Zip]),
        };
        let whole = packed_off(body, layers.clone(), 0);
        let cut = packed_off(body, layers.clone(), 1 + body.len() % 5);
        assert_eq!(whole.is_ok(), cut.is_ok(), "{whole:?} and, cut, {cut:?}");
        if let (Ok(whole), Ok(cut)) = (&whole, &cut) {
            assert_eq!(whole, cut);
            if layers == Some(vec![Plain]) {
                assert_eq!(whole, body);
            }
            if layers == Some(vec![Gzip]) {
                let mut by_itself = Vec::new();
                let read = flate2::read::MultiGzDecoder::new(body).read_to_end(&mut by_itself);
                assert!(read.is_ok() && by_itself == *whole, "another reader of gzip says something else");
            }
        }
        // What was packed comes back.
        if first >= 200 {
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            packer.write_all(body).expect("a Vec takes everything");
            let packed = packer.finish().expect("a Vec takes everything");
            // What packs a hundredfold may be refused.
            if let Ok(back) = packed_off(&packed, None, 3) {
                assert_eq!(back, body);
            } else {
                assert!(body.len() > 1 << 20, "a small body was refused");
            }
        }
    },
    seeds: &[
        Seed::File {
            before: "\0",
            path: "testdata/feeds/tweetfeed/stix/taxii/pages/2026-07-24.0.json.gz",
            most: 8_000,
        },
        Seed::File { before: "\x01", path: "testdata/feeds/mitre-attack/ics-attack/ics-attack.json.gz", most: 9_000 },
        Seed::Text("\x06plain\n"),
        Seed::File { before: "\x02", path: "fuzz/seeds/one.zip", most: 8_000 },
        Seed::File { before: "\x03", path: "fuzz/seeds/one.zst", most: 8_000 },
    ],
    words: &["PK\x03\x04", "PK\x01\x02", "PK\x05\x06", "PK\x06\x06", "\x1f", "\0\0\0\0"],
    longest: 65_536,
};
