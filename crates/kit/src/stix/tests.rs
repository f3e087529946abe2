//! What objects and bodies come to.

#![allow(clippy::needless_pass_by_value, reason = "tables of literals read better without a borrow in each line")]

use super::{Markings, OBJECT_BYTES, Reader, Stats, read};
use crate::connection::Rows;
use crate::error::ConnectorError;
use flate2::read::GzDecoder;
use intel::{IndicatorKey, IndicatorKind, Observation, Timestamp, Tlp};
use serde_json::{Value, json};
use std::io::{BufReader, Read};

#[derive(Default)]
pub(super) struct Heard {
    pub(super) rows: Vec<Observation>,
    pub(super) rejected: Vec<String>,
    pub(super) filtered: Vec<String>,
}

impl Rows for Heard {
    fn row(&mut self, row: Observation) {
        self.rows.push(row);
    }

    fn reject(&mut self, reason: &'static str, _sample: &str) {
        self.rejected.push(reason.into());
    }

    fn filter(&mut self, reason: &'static str, n: u64) {
        self.filtered.extend(std::iter::repeat_n(reason.to_owned(), n as usize));
    }
}

/// Reads a body, in one piece and in crumbs.
pub(super) fn hear(body: impl AsRef<[u8]>) -> Result<(Heard, Stats), ConnectorError> {
    let body = body.as_ref();
    let mut heard = Heard::default();
    let stats = read(body, &mut heard)?;
    assert_eq!(stats.rows, heard.rows.len() as u64);
    assert_eq!(stats.rejected, heard.rejected.len() as u64);
    assert_eq!(stats.filtered, heard.filtered.len() as u64);
    let mut crumbs = Heard::default();
    let again = read(BufReader::with_capacity(7, body), &mut crumbs)?;
    assert_eq!((again, crumbs.rows, crumbs.rejected), (stats.clone(), heard.rows.clone(), heard.rejected.clone()));
    Ok((heard, stats))
}

fn bundle(objects: Value) -> String {
    json!({"type": "bundle", "id": "bundle--1", "objects": objects}).to_string()
}

/// An indicator with more members, or others.
fn indicator(more: Value) -> Value {
    let mut object = json!({
        "type": "indicator",
        "spec_version": "2.1",
        "id": "indicator--00000000-0000-4000-8000-000000000001",
        "created": "2026-01-01T00:00:00.000Z",
        "modified": "2026-01-02T00:00:00.000Z",
        "pattern": "[domain-name:value = 'a.example']",
        "pattern_type": "stix",
        "valid_from": "2026-01-01T00:00:00Z",
    });
    for (name, value) in more.as_object().unwrap() {
        object[name] = value.clone();
    }
    object
}

/// The one row of an indicator.
#[track_caller]
fn row(more: Value) -> Observation {
    let (mut heard, _) = hear(bundle(json!([indicator(more)]))).unwrap();
    assert_eq!((heard.rows.len(), heard.rejected.len()), (1, 0), "{:?}", heard.rejected);
    heard.rows.remove(0)
}

fn time(text: &str) -> Option<Timestamp> {
    Timestamp::parse(text)
}

#[test]
fn what_an_indicator_says() {
    let read = row(json!({
        "created": "2026-01-03T10:11:12.123Z",
        "modified": "2026-01-04T10:11:12.123456Z",
        "valid_from": "2026-01-02T00:00:00+01:00",
        "valid_until": "2026-06-01T00:00:00Z",
        "name": "Login page", "description": "Asks for passwords.",
        "labels": ["phishing", "malicious-activity"],
        "indicator_types": ["malicious-activity", "compromised"],
        "kill_chain_phases": [{"kill_chain_name": "lockheed-martin-cyber-kill-chain", "phase_name": "delivery"}],
        "confidence": 85,
        "external_references": [
            {"source_name": "iocast-hop", "external_id": "iocast-1"},
            {"source_name": "report", "external_id": "R1"},
            {"source_name": "blog", "url": "https://blog.example/1"},
            {"source_name": "blog", "url": "https://blog.example/2"},
        ],
        "x_custom": {"deep": [1, 2, {"a": null}]},
    }));
    let expect = Observation {
        value: "a.example".into(),
        kind: Some(IndicatorKind::Domain),
        confidence: Some(85),
        tags: vec!["compromised".into(), "phishing".into(), "lockheed-martin-cyber-kill-chain:delivery".into()],
        first_seen: time("2026-01-01T23:00:00Z"),
        last_seen: time("2026-01-04T10:11:12.123456Z"),
        modified: time("2026-01-04T10:11:12.123456Z"),
        valid_from: time("2026-01-01T23:00:00Z"),
        expires_at: time("2026-06-01T00:00:00Z"),
        comment: Some("Login page: Asks for passwords.".into()),
        link: Some("https://blog.example/1".into()),
        remote_id: Some("indicator--00000000-0000-4000-8000-000000000001".into()),
        hops: vec!["iocast-1".into()],
        ..Observation::default()
    };
    assert_eq!(read, expect);
}

#[test]
fn comments() {
    for (more, expect) in [
        (json!({}), None),
        (json!({"name": "a.example"}), None),
        (json!({"name": "Beacon"}), Some("Beacon")),
        (json!({"description": "A beacon."}), Some("A beacon.")),
        (json!({"name": "A beacon", "description": "A beacon of x."}), Some("A beacon of x.")),
        (json!({"name": " ", "description": null}), None),
        (json!({"name": 5, "description": ["x"]}), None),
    ] {
        assert_eq!(row(more.clone()).comment.as_deref(), expect, "{more}");
    }
}

#[test]
fn revoked_and_dates() {
    assert!(row(json!({"revoked": true})).retracted);
    assert!(row(json!({"revoked": "true"})).retracted);
    assert!(!row(json!({"revoked": false})).retracted);
    assert!(!row(json!({"revoked": null})).retracted);
    // What is said to be benign is taken back, in both versions' words.
    assert!(row(json!({"indicator_types": ["benign"]})).retracted);
    assert!(row(json!({"labels": ["benign"]})).retracted);
    assert!(!row(json!({"indicator_types": ["benign", "malicious-activity"]})).retracted);
    let (heard, _) = hear(bundle(json!([indicator(json!({"revoked": "perhaps"}))]))).unwrap();
    assert_eq!(heard.rejected, ["revoked is neither true nor false"]);
    // A date that is none is left out and counted; the object stands.
    let (heard, stats) = hear(bundle(json!([indicator(json!({"valid_until": "never", "confidence": {}}))]))).unwrap();
    assert_eq!((heard.rows[0].expires_at, heard.rows[0].confidence, stats.unread_fields), (None, None, 2));
    assert_eq!(row(json!({"modified": null})).modified, time("2026-01-01T00:00:00Z"));
    for (text, expect) in [
        ("2026-01-31T10:11:12Z", "2026-01-31T10:11:12Z"),
        ("2026-01-31T10:11:12.1Z", "2026-01-31T10:11:12.100000Z"),
        ("2026-01-31T10:11:12.123456789Z", "2026-01-31T10:11:12.123456Z"),
        ("2026-01-31T10:11:12.5+02:00", "2026-01-31T08:11:12.500000Z"),
    ] {
        assert_eq!(row(json!({"modified": text})).modified.unwrap().to_string(), expect, "{text}");
    }
    for text in ["2026-01-31T10:11:1Z", "2026-01-31T10:11:12123Z", "2026-01-31T10:11:12.Z", "Z", "\u{e9}Z"] {
        let (_, stats) = hear(bundle(json!([indicator(json!({"modified": text}))]))).unwrap();
        assert_eq!(stats.unread_fields, 1, "{text}");
    }
}

#[test]
fn every_indicator_of_a_pattern_has_what_the_object_says() {
    let object = indicator(json!({
        "pattern": "[url:value IN ('http://a.example/', 'http://b.example/') OR process:name = 'x']",
        "labels": ["c2"], "revoked": true,
    }));
    let (heard, stats) = hear(bundle(json!([object]))).unwrap();
    let values: Vec<&str> = heard.rows.iter().map(|row| row.value.as_str()).collect();
    assert_eq!(values, ["http://a.example/", "http://b.example/"]);
    let same = |row: &Observation| Observation { value: String::new(), ..row.clone() };
    assert_eq!(same(&heard.rows[0]), same(&heard.rows[1]));
    assert!(heard.rows[0].retracted && heard.rows[0].tags == ["c2"]);
    assert_eq!(heard.filtered, ["unmappable pattern"]);
    assert_eq!(stats.unmappable, ["indicator--00000000-0000-4000-8000-000000000001"]);
}

#[test]
fn what_is_not_shared_is_counted() {
    for (object, filtered) in [
        (indicator(json!({"pattern_type": "snort", "pattern": "alert tcp"})), "snort pattern"),
        (indicator(json!({"pattern_type": "yara", "pattern": "rule x {}"})), "yara pattern"),
        (indicator(json!({"pattern_type": "Sigma", "pattern": "title: x"})), "sigma pattern"),
        (indicator(json!({"pattern_type": "eql", "pattern": "process"})), "a pattern of another language"),
        (indicator(json!({"pattern": "[app:id = 'x']"})), "unmappable pattern"),
        (json!({"type": "sighting", "id": "sighting--1", "sighting_of_ref": "indicator--1"}), "sighting"),
        (
            json!({"type": "observed-data", "id": "observed-data--1", "objects": {"0": {"type": "url"}}}),
            "not an indicator",
        ),
        (json!({"type": "url", "id": "url--1", "value": "http://a.example/"}), "not an indicator"),
        (json!({"type": "identity", "id": "identity--1", "identity_class": ["unknown"]}), "not an indicator"),
        (
            json!({"type": "x-own", "id": "x-own--1", "pattern": {"a": [[]]}, "labels": 5, "revoked": "?"}),
            "not an indicator",
        ),
    ] {
        // Alone and in a bundle.
        for body in [object.to_string(), bundle(json!([object]))] {
            let (heard, _) = hear(&body).unwrap();
            assert_eq!((heard.rows.len(), heard.rejected.len()), (0, 0), "{body}");
            assert_eq!(heard.filtered, [filtered], "{body}");
        }
    }
}

#[test]
fn one_bad_object_is_one_rejection() {
    let good = indicator(json!({})).to_string();
    let twice = good.replacen("\"pattern\":", "\"pattern\":\"[url:value = 'b']\",\"pattern\":", 1);
    let deep = format!("{{\"type\":\"indicator\",\"x\":{}1{}}}", "[".repeat(50), "]".repeat(50));
    for (bad, why) in [
        ("5".to_owned(), "not a STIX object"),
        ("null".to_owned(), "not a STIX object"),
        ("[\"indicator\"]".to_owned(), "not a STIX object"),
        ("{}".to_owned(), "not a STIX object"),
        ("{\"type\": 5}".to_owned(), "not a STIX object"),
        (twice, "not readable as a STIX object"),
        ("{\"type\": indicator}".to_owned(), "not readable as a STIX object"),
        ("{\"type\": \"indicator\", \"id\": \"\\ud800\"}".to_owned(), "not readable as a STIX object"),
        (deep, "indicator without a pattern"),
        (indicator(json!({"pattern": 5})).to_string(), "indicator without a pattern"),
        (indicator(json!({"pattern": "[url:value = 'a"})).to_string(), "broken pattern"),
        (indicator(json!({"pattern": format!("[{}", "(".repeat(40))})).to_string(), "pattern too large"),
        (bundle(json!([{"type": "bundle"}])), "not a STIX object"),
    ] {
        let (heard, _) = hear(format!("{{\"objects\":[{good},{bad},{good}]}}")).unwrap();
        assert_eq!((heard.rows.len(), &heard.rejected[..]), (2, &[why.to_owned()][..]), "{bad}");
    }
    let mut body = format!("{{\"objects\":[{good},{{\"type\":\"").into_bytes();
    body.extend_from_slice(b"\xff\"}]}");
    let (heard, _) = hear(body).unwrap();
    assert_eq!((heard.rows.len(), &heard.rejected[..]), (1, &["not UTF-8".to_owned()][..]));
}

#[test]
fn bodies_of_every_shape() {
    let one = indicator(json!({})).to_string();
    for (body, n) in [
        (format!("{{\"type\":\"bundle\",\"id\":\"bundle--1\",\"spec_version\":\"2.0\",\"objects\":[{one},{one}]}}"), 2),
        (format!("{{\"objects\":[{one}],\"id\":\"bundle--1\",\"type\":\"bundle\"}}"), 1),
        (format!("{{\"more\":true,\"next\":\"2\",\"objects\":[{one}]}}"), 1),
        (format!("\u{feff} [{one} , {one}]\n"), 2),
        (format!("[{},{one}]", bundle(json!([indicator(json!({})), indicator(json!({}))]))), 3),
        (one.clone(), 1),
        (format!("{one}\n{one}\r\n\n{one}"), 3),
        (format!("{}\n{}\n", bundle(json!([indicator(json!({}))])), bundle(json!([indicator(json!({}))]))), 2),
        ("{\"type\":\"bundle\",\"id\":\"bundle--1\"}".into(), 0),
        ("{\"type\":\"bundle\",\"id\":\"bundle--1\",\"objects\":[]}".into(), 0),
        ("{\"more\":false}".into(), 0),
        ("{}".into(), 0),
        ("[]".into(), 0),
    ] {
        let (heard, _) = hear(&body).unwrap_or_else(|error| panic!("{body}: {error}"));
        assert_eq!((heard.rows.len(), heard.rejected.len()), (n, 0), "{body}");
    }
}

#[test]
fn what_is_no_stix_is_refused_whole() {
    let one = indicator(json!({})).to_string();
    let whole = bundle(json!([indicator(json!({})), indicator(json!({}))]));
    for (body, says) in [
        (String::new(), "empty"),
        (" \n".into(), "empty"),
        ("<!DOCTYPE html><html>".into(), "HTML"),
        ("\0\0".into(), "binary"),
        ("just text".into(), "no STIX"),
        ("{\"error\":\"unauthorized\"}".into(), "neither"),
        ("{\"type\":\"about:blank\",\"title\":\"Not found\",\"status\":404}".into(), "neither"),
        ("{\"objects\":{}}".into(), "neither"),
        (format!("{{\"objects\":[{one}],\"objects\":[{one}]}}"), "twice"),
        (format!("{{\"objects\":[{one} {one}]}}"), "expected , or ]"),
        (format!("{{\"objects\":[{one}]}} trailing"), "something else"),
        (format!("[{one}] ]"), "something else"),
        (format!("{{\"objects\":[{}]}}", "[".repeat(100_000)), "deep"),
        (format!("{{\"objects\":[{{\"type\":\"{}\"}}]}}", "a".repeat(2 << 20)), "1 MiB"),
    ] {
        match hear(&body) {
            Err(ConnectorError::Unexpected(why)) => assert!(why.contains(says), "{says}: {why}"),
            other => panic!("{says}: {:?}", other.map(|(heard, stats)| (heard.rows, stats))),
        }
    }
    // Cut off anywhere.
    for end in 0..whole.len() {
        assert!(hear(&whole[..end]).is_err(), "{end}");
    }
}

#[test]
fn an_object_beyond_the_limit_is_one_rejection() {
    let mut heard = Heard::default();
    let mut reader = Reader::new(&mut heard, Markings::default());
    reader.object(&format!("{{\"type\":\"indicator\",\"x\":\"{}\"}}", "a".repeat(OBJECT_BYTES)));
    reader.object(&indicator(json!({})).to_string());
    let (stats, ..) = reader.finish();
    assert_eq!((stats.objects, stats.rows, stats.rejected), (2, 1, 1));
    assert_eq!(heard.rejected, ["object too large"]);
}

const CLEAR: &str = "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487";
const AMBER: &str = "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82";
const OWN: &str = "marking-definition--00000000-0000-4000-8000-00000000000a";

#[test]
fn markings_known_to_everybody() {
    for (id, tlp) in [
        ("94868c89-83c2-464b-929b-a1a8aa3c8487", Tlp::Clear),
        ("bab4a63c-aed9-4cf5-a766-dfca5abac2bb", Tlp::Green),
        ("55d920b0-5e8b-4f79-9ee9-91f868d9b421", Tlp::Amber),
        ("939a9414-2ddd-4d32-a0cd-375ea402b003", Tlp::AmberStrict),
        ("e828b379-4e03-4974-9ac4-e53a884c97c1", Tlp::Red),
        ("613f2e26-407d-48c7-9eca-b8e91df99dc9", Tlp::Clear),
        ("34098fce-860f-48ae-8e50-ebd3cc5e41da", Tlp::Green),
        ("f88d31f6-486f-44da-b317-01333bde0b82", Tlp::Amber),
        ("5e57c739-391a-4eb3-b6be-7d15ca92d5ed", Tlp::Red),
        ("826578e1-40ad-459f-bc73-ede076f81f37", Tlp::AmberStrict),
    ] {
        let refs = json!([format!("marking-definition--{id}")]);
        assert_eq!(row(json!({"object_marking_refs": refs})).tlp, Some(tlp), "{id}");
    }
}

#[test]
fn markings_fail_closed() {
    for (more, tlp) in [
        (json!({}), None),
        (json!({"object_marking_refs": []}), None),
        (json!({"object_marking_refs": [CLEAR, AMBER]}), Some(Tlp::Amber)),
        (json!({"object_marking_refs": CLEAR}), Some(Tlp::Clear)),
        (json!({"object_marking_refs": [CLEAR, OWN]}), Some(Tlp::Red)),
        (json!({"object_marking_refs": [CLEAR, 5]}), Some(Tlp::Red)),
        (json!({"object_marking_refs": {"a": CLEAR}}), Some(Tlp::Red)),
        // A part of the object is all of it.
        (
            json!({"object_marking_refs": [CLEAR], "granular_markings": [{"marking_ref": AMBER, "selectors": ["name"]}]}),
            Some(Tlp::Amber),
        ),
        (json!({"granular_markings": [{"selectors": ["name"]}]}), Some(Tlp::Red)),
        (json!({"granular_markings": [{"lang": "fr", "selectors": ["name"]}]}), None),
        (json!({"granular_markings": "x"}), Some(Tlp::Red)),
        // As labels.
        (json!({"labels": ["tlp:amber"], "object_marking_refs": [CLEAR]}), Some(Tlp::Amber)),
        (json!({"labels": ["TLP:WHITE"]}), Some(Tlp::Clear)),
        (json!({"labels": ["tlp:ex:chr"]}), Some(Tlp::Red)),
    ] {
        assert_eq!(row(more.clone()).tlp, tlp, "{more}");
    }
}

#[test]
fn markings_a_stream_defines_wherever_it_does() {
    let use_it = indicator(json!({"object_marking_refs": [OWN]}));
    for (definition, tlp) in [
        (json!({"definition_type": "tlp", "definition": {"tlp": "green"}}), Some(Tlp::Green)),
        (json!({"definition_type": "TLP", "definition": {"TLP": "AMBER+STRICT"}}), Some(Tlp::AmberStrict)),
        (json!({"definition_type": "tlp", "definition": {"tlp": "purple"}}), Some(Tlp::Red)),
        (json!({"definition_type": "tlp", "definition": "x"}), Some(Tlp::Red)),
        (json!({"definition_type": "statement", "definition": {"statement": "(c) us"}}), None),
        (json!({"definition_type": "statement", "name": "TLP:RED"}), Some(Tlp::Red)),
        (
            json!({"definition_type": "statement", "definition": {"statement": "custom"}, "x_opencti_definition": "TLP:AMBER+STRICT"}),
            Some(Tlp::AmberStrict),
        ),
        (json!({"definition_type": "iep", "definition": {}}), Some(Tlp::Red)),
        (json!({}), Some(Tlp::Red)),
        (
            json!({"name": "TLP:AMBER", "extensions": {"extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d":
                {"extension_type": "property-extension", "tlp_2_0": "amber"}}}),
            Some(Tlp::Amber),
        ),
        (
            json!({"name": "TLP:CLEAR", "extensions": {"extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d":
                {"extension_type": "property-extension", "tlp_2_0": "unheard-of"}}}),
            Some(Tlp::Red),
        ),
        (json!({"extensions": {"extension-definition--1": {"extension_type": "property-extension"}}}), Some(Tlp::Red)),
    ] {
        let mut object = json!({"type": "marking-definition", "id": OWN});
        for (name, value) in definition.as_object().unwrap() {
            object[name] = value.clone();
        }
        for objects in [json!([object, use_it]), json!([use_it, object])] {
            let (heard, _) = hear(bundle(objects)).unwrap();
            assert_eq!(heard.rows[0].tlp, tlp, "{definition}");
        }
        // And on the next page.
        let mut page = Heard::default();
        let mut reader = Reader::new(&mut page, Markings::default());
        reader.object(&object.to_string());
        let (_, markings, _) = reader.finish();
        let carried: Markings = serde_json::from_str(&serde_json::to_string(&markings).unwrap()).unwrap();
        assert_eq!(carried, markings);
        let mut reader = Reader::new(&mut page, carried);
        reader.object(&use_it.to_string());
        let (_, _, unresolved) = reader.finish();
        assert_eq!((page.rows[0].tlp, unresolved.len()), (tlp, 0), "{definition}");
    }
    // TLP's own ids mean what they mean, whatever a stream says; of two definitions the more restrictive stands.
    let lie =
        json!({"type": "marking-definition", "id": AMBER, "definition_type": "tlp", "definition": {"tlp": "white"}});
    let (heard, _) = hear(bundle(json!([lie, indicator(json!({"object_marking_refs": [AMBER]}))]))).unwrap();
    assert_eq!(heard.rows[0].tlp, Some(Tlp::Amber));
    let define =
        |tlp| json!({"type": "marking-definition", "id": OWN, "definition_type": "tlp", "definition": {"tlp": tlp}});
    for objects in [json!([define("red"), use_it, define("white")]), json!([define("white"), define("red"), use_it])] {
        assert_eq!(hear(bundle(objects)).unwrap().0.rows[0].tlp, Some(Tlp::Red));
    }
}

#[test]
fn what_waits_for_a_marking_is_bounded() {
    let long = "x".repeat(4000);
    let mut heard = Heard::default();
    let mut reader = Reader::new(&mut heard, Markings::default());
    for n in 0..9000 {
        let id = format!("marking-definition--{n}");
        let object = indicator(json!({"object_marking_refs": [OWN, id], "description": long}));
        reader.object(&object.to_string());
    }
    let (stats, markings, unresolved) = reader.finish();
    assert_eq!((stats.rows, unresolved.len()), (9000, 32));
    assert_eq!(markings, Markings::default());
    assert!(heard.rows.iter().all(|row| row.tlp == Some(Tlp::Red)));
    // What a stream defines is bounded too.
    let mut reader = Reader::new(&mut heard, Markings::default());
    for n in 0..2000 {
        reader.object(&format!(
            "{{\"type\":\"marking-definition\",\"id\":\"marking-definition--{n}\",\"definition_type\":\"statement\"}}"
        ));
    }
    let (_, markings, _) = reader.finish();
    assert!(serde_json::to_string(&markings).unwrap().len() < 64 << 10);
    assert_eq!(markings.meaning("marking-definition--5"), Some(None));
    assert_eq!(markings.meaning("marking-definition--1999"), None);
}

fn published(path: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/feeds").join(path);
    let bytes = std::fs::read(&path).unwrap();
    let mut body = Vec::new();
    match path.extension().is_some_and(|ending| ending == "gz") {
        true => GzDecoder::new(&bytes[..]).read_to_end(&mut body).map(drop).unwrap(),
        false => body = bytes,
    }
    body
}

/// Rows by kind, what was filtered by reason; nothing is rejected, and every row has a key.
fn tally(path: &str) -> String {
    let (heard, _) = hear(published(path)).unwrap();
    assert_eq!(heard.rejected, Vec::<String>::new(), "{path}");
    let mut words = std::collections::BTreeMap::<String, u64>::new();
    for row in &heard.rows {
        let key = IndicatorKey::parse(row.kind, &row.value).unwrap();
        let tlp = row.tlp.map_or("unmarked", Tlp::as_str);
        *words.entry(format!("{} {tlp}", key.kind())).or_default() += 1;
    }
    for reason in &heard.filtered {
        *words.entry(reason.clone()).or_default() += 1;
    }
    words.iter().map(|(word, n)| format!("{n} {word}")).collect::<Vec<_>>().join(", ")
}

#[test]
fn as_published() {
    for (path, expect) in [
        // An object type that STIX does not have is not shared, and spoils nothing.
        ("mvt/cellebrite/cellebrite.stix2", "2 not an indicator, 1 unmappable pattern"),
        // STIX 2.0 that its validator refuses: an identity whose class is a list.
        ("unit42/stix2-reports/report_json/cve-2023-23397.json.gz", "10 ipv4 unmarked, 53 not an indicator"),
        // A page that names TLP:CLEAR and does not define it.
        (
            "tweetfeed/stix/taxii/pages/2026-07-24.0.json.gz",
            "66 domain clear, 3 ipv4 clear, 2 md5 clear, 3 sha256 clear, 70 url clear",
        ),
        (
            "misp-stix/tests/test_attributes_collection_stix20.json",
            "2 domain unmarked, 1 filename unmarked, 7 not an indicator",
        ),
        (
            "misp-stix/tests/test_attributes_collection_stix21.json",
            "2 domain unmarked, 1 filename unmarked, 12 not an indicator",
        ),
        (
            "oasis-stix-examples/examples/malicious-email-indicator-with-attachment.json",
            "4 not an indicator, 2 unmappable pattern",
        ),
        ("mitre-attack/ics-attack/ics-attack.json.gz", "15 not an indicator"),
    ] {
        assert_eq!(tally(path), expect, "{path}");
    }
}

/// The same attributes as STIX 2.0 and 2.1, and as MISP has them: `domain|ip` is its domain.
#[test]
fn misp_says_the_same_in_both_versions() {
    let rows = |version| {
        let (heard, _) =
            hear(published(&format!("misp-stix/tests/test_attributes_collection_stix{version}.json"))).unwrap();
        heard.rows
    };
    let (old, new) = (rows(20), rows(21));
    assert_eq!(old, new);
    let said: Vec<(&str, Option<&str>)> = old.iter().map(|row| (row.value.as_str(), row.comment.as_deref())).collect();
    assert_eq!(
        said,
        [
            ("circl.lu", Some("Domain test attribute")),
            ("circl.lu", Some("Domain|ip test attribute")),
            ("test_file_name", Some("Filename test attribute")),
        ]
    );
    assert_eq!(
        old[1].tags,
        ["misp:type=\"domain|ip\"", "misp:category=\"Network activity\"", "misp-category:Network activity"]
    );
}

/// A small object that names a thousand indicators and says a lot must not come to a thousand times its size.
#[test]
fn long_texts_of_many_indicators_are_not_copied_without_end() {
    struct Weighed {
        rows: usize,
        bytes: usize,
        red: usize,
    }
    impl Rows for Weighed {
        fn row(&mut self, row: Observation) {
            self.rows += 1;
            self.bytes += row.comment.map_or(0, |text| text.len()) + row.tags.iter().map(String::len).sum::<usize>();
            self.red += usize::from(row.tlp == Some(Tlp::Red));
        }

        fn reject(&mut self, reason: &'static str, _: &str) {
            panic!("{reason}");
        }

        fn filter(&mut self, reason: &'static str, _: u64) {
            panic!("{reason}");
        }
    }
    let values: Vec<String> = (0..1_000).map(|n| format!("domain-name:value = 'n{n}.example'")).collect();
    let tags: Vec<String> = (0..200).map(|n| format!("{n}{}", "t".repeat(200))).collect();
    let object = indicator(json!({
        "pattern": format!("[{}]", values.join(" OR ")), "labels": tags, "description": "y".repeat(4_000),
        "object_marking_refs": ["marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed"],
    }));
    let body = bundle(json!(vec![object; 20]));
    let mut weighed = Weighed { rows: 0, bytes: 0, red: 0 };
    read(body.as_bytes(), &mut weighed).unwrap();
    // Nothing is lost but words, and the marking least of all.
    assert_eq!((weighed.rows, weighed.red), (20_000, 20_000));
    assert!(weighed.bytes < (64 << 20) + 8 * body.len(), "{} of {}", weighed.bytes, body.len());
    // What is usual keeps them.
    let object =
        indicator(json!({"pattern": format!("[{}]", values[..50].join(" OR ")), "description": "y".repeat(4_000)}));
    let (heard, _) = hear(bundle(json!(vec![object; 20]))).unwrap();
    assert!(heard.rows.iter().all(|row| row.comment.as_ref().is_some_and(|text| text.len() == 4_000)));
}
