//! The exchange formats: whatever a body says and however it is cut, the counts are those of what was handed over.

use crate::tell::{Dribble, Taken, canonical, text};
use crate::{Seed, Target};
use intel::IndicatorKey;
use kit::ConnectorError;
use kit::feed::ParseStats;
use kit::stix::{self, Markings, pattern as patterns};
use std::io::BufRead;

/// What a reader of a whole body comes to: rows, rejected and filtered as it counted them, or its words.
type Counted = Result<(u64, u64, u64), String>;

pub(crate) fn of_stats(stats: Result<ParseStats, ConnectorError>) -> Counted {
    stats.map(|stats| (stats.rows, stats.rejected, stats.filtered)).map_err(|error| error.to_string())
}

/// Reads a body whole and cut into pieces: both must come to the same, and the counts to what was handed over. Of a
/// body in error only the words are compared; what was handed over before may not be used anyway.
pub(crate) fn both_ways(data: &[u8], times: usize, read: impl Fn(&mut dyn BufRead, &mut Taken) -> Counted) {
    let mut whole = Taken::default();
    let counted = read(&mut &*data, &mut whole);
    let mut cut = Taken::default();
    let step = 1 + data.len() % 7;
    let again = read(&mut Dribble::new(data, step), &mut cut);
    // Which of several things wrong with a body is told may depend on how much of it is in sight.
    assert_eq!(counted.as_ref().ok(), again.as_ref().ok(), "cut into {step}s it comes to something else");
    whole.bounded(data.len(), times);
    if let Ok(counted) = counted {
        assert_eq!(counted, (whole.rows, whole.rejected, whole.filtered), "counts that do not balance");
        assert_eq!(whole, cut, "cut into {step}s it says something else");
    }
}

pub(crate) static STIX_PATTERN: Target = Target {
    name: "stix_pattern",
    run: |data| {
        let written = text(data);
        let Ok(said) = patterns::read(&written) else { return };
        assert!(said.atoms.len() <= patterns::PATTERN_NODES);
        let bytes: usize = said.atoms.iter().map(|atom| atom.value.len()).sum();
        assert!(bytes <= written.len(), "{bytes} bytes of values in a pattern of {}", written.len());
        assert!(!said.atoms.is_empty() || said.unmappable > 0, "a pattern that says nothing at all: {written:?}");
        for atom in &said.atoms {
            let Ok(key) = IndicatorKey::parse(Some(atom.kind), &atom.value) else { continue };
            canonical(&key);
            // What we would write for this key says this key and nothing else.
            let Some(ours) = stix::pattern(&key) else { continue };
            let again = patterns::read(&ours).unwrap_or_else(|fault| panic!("{ours}: {}", fault.as_str()));
            assert_eq!((again.atoms.len(), again.unmappable), (1, 0), "{ours}");
            let back = IndicatorKey::parse(Some(again.atoms[0].kind), &again.atoms[0].value);
            assert_eq!(back.as_ref(), Ok(&key), "{ours}");
        }
        // Blanks around a pattern are no part of it.
        let spaced = format!(" {written} ");
        if spaced.len() <= patterns::PATTERN_BYTES {
            assert_eq!(patterns::read(&spaced).as_ref(), Ok(&said), "{written:?}");
        }
    },
    seeds: &[
        Seed::Text("[url:value = 'http://evil.example/x']"),
        Seed::Text(
            "[file:hashes.'SHA-256' = '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08' AND file:hashes.MD5 = '0123456789abcdef0123456789abcdef']",
        ),
        Seed::Text("[domain-name:value = 'evil.example' AND domain-name:resolves_to_refs[*].value = '198.51.100.7']"),
        Seed::Text(
            "([ipv4-addr:value IN ('198.51.100.7', '198.51.100.8')] OR [ipv6-addr:value = '2001:db8::1']) WITHIN 300 SECONDS",
        ),
        Seed::Text(
            "[email-message:from_ref.value = 'x@evil.example' OR email-addr:value = 'y@evil.example'] START t'2026-01-01T00:00:00Z' STOP t'2026-02-01T00:00:00Z'",
        ),
        Seed::Text(
            "[network-traffic:dst_ref.value ISSUBSET '198.51.100.0/24'] FOLLOWEDBY [url:value MATCHES '^x\\\\.y$'] REPEATS 2 TIMES",
        ),
        Seed::Text("[file:name = 'it\\'s.exe' /* said */ AND file:size > 10]"),
    ],
    words: &[
        "[",
        "]",
        "(",
        ")",
        " AND ",
        " OR ",
        " FOLLOWEDBY ",
        "NOT ",
        " IN ",
        " LIKE ",
        " MATCHES ",
        " ISSUBSET ",
        "EXISTS ",
        " WITHIN 5 SECONDS",
        " REPEATS 2 TIMES",
        " START t'2026-01-01T00:00:00Z'",
        "url:value",
        "domain-name:value",
        "ipv4-addr:value",
        "file:hashes.'SHA-256'",
        "file:hashes.MD5",
        ".value",
        "_ref.",
        "_refs[*].",
        "'",
        "\\'",
        "\\\\",
        " = ",
        " != ",
        "h'ff'",
        "b'AA=='",
        "true",
        "1.5",
        "-1",
        "//x\n",
        "/*",
        "*/",
    ],
    longest: 70_000,
};

const STIX_WORDS: &[&str] = &[
    "\"type\":\"indicator\"",
    "\"type\":\"bundle\"",
    "\"objects\":[",
    "\"pattern\":\"[url:value = 'http://evil.example/']\"",
    "\"pattern_type\":\"stix\"",
    "\"object_marking_refs\":[\"marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da\"]",
    "\"valid_from\":\"2026-01-01T00:00:00Z\"",
    "\"valid_until\"",
    "\"revoked\":true",
    "\"confidence\":85",
    "\"labels\":[\"x\"]",
    "\"external_references\":[{\"source_name\":\"iocast-hop\",\"external_id\":\"x\"}]",
    "\"spec_version\":\"2.1\"",
    "\"definition\":{\"tlp\":\"amber\"}",
    "\"type\":\"marking-definition\"",
    "\"id\":\"indicator--",
    "{",
    "}",
    "[",
    "]",
    ",",
    "\"more\":true",
    "\"next\":\"x\"",
    "null",
    "1e999",
    "\\u0000",
    "\"modified\"",
    "\"type\":\"observed-data\"",
];

pub(crate) static STIX_OBJECT: Target = Target {
    name: "stix_object",
    run: |data| {
        let raw = text(data);
        let mut taken = Taken::default();
        let mut reader = stix::Reader::new(&mut taken, Markings::default());
        reader.object(&raw);
        let (stats, ..) = reader.finish();
        assert_eq!((stats.rows, stats.rejected, stats.filtered), (taken.rows, taken.rejected, taken.filtered));
        assert!(stats.objects >= 1 || stats.rows + stats.rejected == 0);
        taken.bounded(raw.len(), 64);
        // The same object twice says the same twice.
        let mut twice = Taken::default();
        let mut reader = stix::Reader::new(&mut twice, Markings::default());
        reader.object(&raw);
        reader.object(&raw);
        let (again, ..) = reader.finish();
        assert_eq!(again.objects, stats.objects * 2);
        assert_eq!(twice.rows + twice.rejected, (taken.rows + taken.rejected) * 2);
    },
    seeds: &[
        Seed::Text(
            r#"{"type":"indicator","spec_version":"2.1","id":"indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f","created":"2026-01-01T00:00:00Z","modified":"2026-01-02T00:00:00Z","pattern":"[url:value = 'http://evil.example/x']","pattern_type":"stix","valid_from":"2026-01-01T00:00:00Z","confidence":85,"labels":["malicious-activity"],"object_marking_refs":["marking-definition--f88d31f6-486f-44da-b317-01333bde0b82"]}"#,
        ),
        Seed::Text(
            r#"{"type":"ipv4-addr","spec_version":"2.1","id":"ipv4-addr--ff26c055-6336-5bc5-b98d-13d6226742dd","value":"198.51.100.3"}"#,
        ),
        Seed::Text(
            r#"{"type":"file","hashes":{"MD5":"0123456789abcdef0123456789abcdef","SHA-256":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},"name":"evil.exe"}"#,
        ),
        Seed::File {
            before: "",
            path: "testdata/feeds/oasis-stix-examples/examples/malicious-email-indicator-with-attachment.json",
            most: 8_000,
        },
    ],
    words: STIX_WORDS,
    longest: 65_536,
};

pub(crate) static STIX: Target = Target {
    name: "stix",
    run: |data| {
        both_ways(data, 64, |body, taken| {
            let stats = stix::read(body, taken).map_err(|error| error.to_string())?;
            assert!(stats.unmappable.len() <= 100, "{} unmappable ids kept", stats.unmappable.len());
            Ok((stats.rows, stats.rejected, stats.filtered))
        });
    },
    seeds: &[
        Seed::Text(
            r#"{"type":"bundle","id":"bundle--x","objects":[{"type":"indicator","id":"indicator--a","pattern":"[ipv4-addr:value = '198.51.100.7']","pattern_type":"stix","valid_from":"2026-01-01T00:00:00Z","object_marking_refs":["marking-definition--b"]},{"type":"marking-definition","id":"marking-definition--b","definition_type":"tlp","definition":{"tlp":"amber"}}]}"#,
        ),
        Seed::Text(
            "{\"type\":\"url\",\"value\":\"http://evil.example/\"}\n{\"type\":\"domain-name\",\"value\":\"evil.example\"}\n",
        ),
        Seed::Text(
            r#"{"more":true,"next":"2","objects":[{"type":"domain-name","value":"evil.example"},7,null,{"type":3}]}"#,
        ),
        Seed::File {
            before: "",
            path: "testdata/feeds/misp-stix/tests/test_attributes_collection_stix20.json",
            most: 7_000,
        },
        Seed::File {
            before: "",
            path: "testdata/feeds/misp-stix/tests/test_attributes_collection_stix21.json",
            most: 8_000,
        },
        Seed::File { before: "", path: "testdata/feeds/mvt/cellebrite/cellebrite.stix2", most: 2_000 },
    ],
    words: STIX_WORDS,
    longest: 65_536,
};

pub(crate) static STIX1: Target = Target {
    name: "stix1",
    run: |data| both_ways(data, 64, |body, taken| of_stats(kit::stix1::read(body, taken))),
    seeds: &[
        Seed::File {
            before: "",
            path: "testdata/feeds/misp-stix/tests/test_attributes_collection_stix11.xml",
            most: 10_000,
        },
        Seed::Text(
            "<stix:STIX_Package xmlns:stix=\"http://stix.mitre.org/stix-1\" xmlns:cybox=\"http://cybox.mitre.org/cybox-2\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xmlns:A=\"http://cybox.mitre.org/objects#AddressObject-2\"><stix:Observables><cybox:Observable><cybox:Object><cybox:Properties xsi:type=\"A:AddressObjectType\" category=\"ipv4-addr\"><A:Address_Value condition=\"Equals\">198.51.100.7##comma##198.51.100.8</A:Address_Value></cybox:Properties></cybox:Object></cybox:Observable></stix:Observables></stix:STIX_Package>",
        ),
    ],
    words: &[
        "<stix:STIX_Package",
        "xmlns:stix=\"http://stix.mitre.org/stix-1\"",
        "<![CDATA[",
        "]]>",
        "<!--",
        "-->",
        "<?xml",
        "?>",
        "<!DOCTYPE",
        "&amp;",
        "&#x0;",
        "&#65;",
        "&x;",
        "</",
        "/>",
        "<cybox:Observable",
        "xsi:type=\"",
        "idref=\"",
        "condition=\"Equals\"",
        "##comma##",
        "<cybox:Properties",
        "negate=\"true\"",
        "operator=\"AND\"",
        "xmlns:a=\"b\"",
        "FileHash",
    ],
    longest: 65_536,
};

pub(crate) static OPENIOC: Target = Target {
    name: "openioc",
    run: |data| both_ways(data, 64, |body, taken| of_stats(kit::openioc::read(body, taken))),
    seeds: &[
        Seed::File {
            before: "",
            path: "testdata/feeds/openioc-mandiant/APT18/0ae061d7-c624-4a84-8adf-00281b97797b.ioc",
            most: 4_000,
        },
        Seed::File {
            before: "",
            path: "testdata/feeds/openioc-mandiant/BlogPosts/4fdb0f45-8151-4941-a9e1-a31e21000659.ioc",
            most: 12_000,
        },
    ],
    words: &[
        "<ioc ",
        "<Indicator operator=\"OR\">",
        "<Indicator operator=\"AND\">",
        "<IndicatorItem condition=\"is\">",
        "<Context document=\"",
        "search=\"FileItem/Md5sum\"",
        "search=\"Network/DNS\"",
        "<Content type=\"md5\">",
        "</Content>",
        "</IndicatorItem>",
        "<![CDATA[",
        "&lt;",
        "negate=\"true\"",
        "contains",
    ],
    longest: 65_536,
};

pub(crate) static MISP: Target = Target {
    name: "misp",
    run: |data| both_ways(data, 64, |body, taken| of_stats(kit::misp::read(body, taken))),
    seeds: &[
        Seed::File { before: "", path: "testdata/feeds/stalkerware/generated/misp_event.json", most: 4_000 },
        Seed::File {
            before: "",
            path: "testdata/feeds/misp-stix/tests/test_attributes_collection_2.json",
            most: 1_000,
        },
        Seed::File { before: "", path: "testdata/feeds/misp-stix/tests/test_objects_collection_1.json", most: 5_000 },
        Seed::File {
            before: "",
            path: "testdata/feeds/eset/pypi_backdoor/malicious_pypi_packages.misp-event.json",
            most: 7_000,
        },
        Seed::Text(
            r#"{"response":[{"Event":{"uuid":"5f3e1c1e-0000-4000-8000-000000000001","timestamp":"1770000000","Tag":[{"name":"tlp:amber"}],"Attribute":[{"type":"filename|sha256","category":"Payload","to_ids":true,"value":"a.exe|9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},{"type":"ip-dst|port","to_ids":"1","value":"198.51.100.7|443"},{"type":"url","to_ids":false,"value":"http://evil.example/"}],"Object":[{"name":"file","Attribute":[{"type":"md5","to_ids":true,"value":"0123456789abcdef0123456789abcdef"}]}]}}]}"#,
        ),
    ],
    words: &[
        "\"Event\":{",
        "\"Attribute\":[",
        "\"Object\":[",
        "\"Tag\":[{\"name\":\"tlp:red\"}]",
        "\"to_ids\":true",
        "\"type\":\"ip-dst\"",
        "\"value\":\"",
        "\"response\":[",
        "\"timestamp\":\"1\"",
        "\"deleted\":true",
        "domain|ip",
        "filename|md5",
        "\"uuid\":\"",
        "{",
        "}",
        "[",
        "]",
        ",",
        "null",
        "\"comment\":\"",
        "\"first_seen\":",
        "\"Sighting\":[",
        "\"threat_level_id\":\"1\"",
        "\"date\":\"2026-01-01\"",
    ],
    longest: 65_536,
};
