//! Bodies that were cut on the way, through every connector that reads over HTTP.

use intel::Timestamp;
use kit::files::Files;
use kit::http::{Answer, Http, HttpConfig, NoWait};
use kit::testkit::Collected;
use kit::{Connection, Connector, ConnectorError, Cursor, Cx, Pulled};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

const N: usize = 12;

fn value(n: usize) -> String {
    format!("name-{n}.evil.example.net")
}

fn open(connector: &dyn Connector, settings: &Value) -> Box<dyn Connection> {
    connector.open(&connector.manifest().check(settings).unwrap()).unwrap()
}

/// A source under test: its connection, and what is at each address; the body at `cut` is the one that is cut.
struct Source {
    name: &'static str,
    connection: Box<dyn Connection>,
    bodies: Vec<(&'static str, String)>,
    cut: &'static str,
    /// A half body is one only if the length is told.
    needs_length: bool,
}

fn sources() -> Vec<Source> {
    let lines: String = (0..N).map(|n| format!("{}\n", value(n))).collect();
    let rows: Vec<Value> = (0..N).map(|n| json!({ "ioc": value(n) })).collect();
    let objects: Vec<Value> = (0..N)
        .map(|n| {
            json!({
                "type": "indicator", "id": format!("indicator--00000000-0000-4000-8000-{n:012}"),
                "pattern_type": "stix", "created": "2026-01-01T00:00:00Z", "modified": "2026-01-01T00:00:00Z",
                "pattern": format!("[domain-name:value = '{}']", value(n)),
            })
        })
        .collect();
    let attributes: Vec<Value> =
        (0..N).map(|n| json!({ "type": "domain", "to_ids": true, "value": value(n) })).collect();
    let id = "5f3c2a10-0000-4000-8000-000000000001";
    let event = json!({ "Event": { "uuid": id, "info": "E", "timestamp": "1790000000", "Attribute": attributes } });
    let manifest = json!({ id: { "info": "E", "timestamp": "1790000000" } });
    let feed = |format: &str| {
        let mut settings = json!({ "url": "https://f.example/list", "format": format });
        if format == "json" || format == "csv" {
            settings["value"] = json!("ioc");
        }
        open(&*crate::feed::connector().unwrap(), &settings)
    };
    let taxii = || open(&*crate::taxii::connector().unwrap(), &json!({ "url": "https://f.example/api/" }));
    let misp = || open(&*crate::misp_feed::connector().unwrap(), &json!({ "url": "https://f.example/misp" }));
    let root =
        json!({ "title": "r", "versions": ["application/taxii+json;version=2.1"], "max_content_length": 9_999_999 });
    let collections = json!({ "collections": [{ "id": "c", "title": "C", "can_read": true, "can_write": false }] });
    let taxii_at = |cut: &'static str| Source {
        name: "taxii",
        connection: taxii(),
        bodies: vec![
            ("https://f.example/api/", root.to_string()),
            ("https://f.example/api/collections/", collections.to_string()),
            ("https://f.example/api/collections/c/objects/", json!({ "objects": objects, "more": false }).to_string()),
        ],
        cut,
        needs_length: false,
    };
    let misp_at = |cut: &'static str| Source {
        name: "misp-feed",
        connection: misp(),
        bodies: vec![
            ("https://f.example/misp/manifest.json", manifest.to_string()),
            ("https://f.example/misp/5f3c2a10-0000-4000-8000-000000000001.json", event.to_string()),
        ],
        cut,
        needs_length: false,
    };
    let list = |name: &'static str, format: &str, body: String, needs_length| Source {
        name,
        connection: feed(format),
        bodies: vec![("https://f.example/list", body)],
        cut: "https://f.example/list",
        needs_length,
    };
    vec![
        list("text", "text", lines.clone(), true),
        list("csv", "csv", format!("ioc\n{lines}"), true),
        list("json", "json", Value::Array(rows).to_string(), false),
        list("stix", "stix", json!({ "type": "bundle", "id": "bundle--1", "objects": objects }).to_string(), false),
        taxii_at("https://f.example/api/collections/"),
        taxii_at("https://f.example/api/collections/c/objects/"),
        misp_at("https://f.example/misp/manifest.json"),
        misp_at("https://f.example/misp/5f3c2a10-0000-4000-8000-000000000001.json"),
    ]
}

impl Source {
    /// A run as the engine has it: rows of a call that failed are dropped, its place stays where it was.
    fn run(
        &self,
        mut place: Option<Cursor>,
        cut: Option<(usize, bool)>,
    ) -> (BTreeSet<String>, Option<Cursor>, Result<bool, ConnectorError>) {
        let (bodies, at) = (self.bodies.clone(), self.cut);
        let http = Http::answering(HttpConfig { retries: 0, ..HttpConfig::default() }, Arc::new(NoWait), move |sent| {
            let url = sent.url().split('?').next().unwrap_or_default();
            let Some((_, body)) = bodies.iter().find(|(place, _)| *place == url) else { return Answer::new(404, "") };
            let kind = if url.contains("/api/") { "application/taxii+json;version=2.1" } else { "" };
            let given = match cut {
                Some((end, _)) if url == at => &body.as_bytes()[..end],
                _ => body.as_bytes(),
            };
            let answer = Answer::new(200, given).header_pair("Content-Type", kind);
            if cut.is_none_or(|(_, told)| told) {
                return answer.header_pair("Content-Length", &body.len().to_string());
            }
            answer
        });
        let (files, now) = (Files::below(Vec::new()), Timestamp::from_secs(1_790_100_000));
        let cx = Cx { http: &http, files: &files, now, initial_from: Timestamp::from_secs(1_700_000_000) };
        let mut kept = BTreeSet::new();
        for _ in 0..10 {
            let mut told = Collected::default();
            let end = match self.connection.source().unwrap().pull(place.as_ref(), &cx, &mut told) {
                Err(error) => return (kept, place, Err(error)),
                Ok(end) => end,
            };
            kept.extend(told.rows.into_iter().map(|row| row.value));
            match end {
                Pulled::More(next) => place = Some(next),
                Pulled::Whole(next) => return (kept, next, Ok(true)),
                Pulled::Done(next) => return (kept, next.or(place), Ok(false)),
                Pulled::NotModified(next) => return (kept, next.or(place), Ok(false)),
            }
        }
        panic!("{}: no end", self.name);
    }
}

/// Shown: whatever is left of a body, nothing is passed over (I2) and nothing is taken for all there is (I15). How: lists,
/// tables, JSON, STIX, the pages and resources of TAXII, the manifest and events of a MISP feed are cut at every byte,
/// with their length told and (where the format itself has an end) without; then the source is itself again and is
/// read from the place that was kept. Figures: over 8,000 positions in 8 bodies: the rows of both runs are all rows;
/// a run that says it listed everything did.
#[test]
fn f21_a_cut_body_passes_nothing_over() {
    let all: BTreeSet<String> = (0..N).map(value).collect();
    let mut n = 0;
    for source in sources() {
        let name = format!("{} {}", source.name, source.cut);
        let (rows, _, end) = source.run(None, None);
        assert_eq!((&rows, end.is_ok()), (&all, true), "{name}: {end:?}");
        let body = &source.bodies.iter().find(|(place, _)| *place == source.cut).unwrap().1;
        for told in [true, false] {
            if !told && source.needs_length {
                continue;
            }
            for at in 0..body.len() {
                n += 1;
                let (mut rows, place, end) = source.run(None, Some((at, told)));
                if matches!(end, Ok(true)) {
                    assert_eq!(rows, all, "{name}: cut at {at}: taken for everything");
                }
                let (more, _, end) = source.run(place, None);
                assert!(end.is_ok(), "{name}: cut at {at}: {end:?}");
                rows.extend(more);
                assert_eq!(rows, all, "{name}: cut at {at}");
            }
        }
    }
    assert!(n >= 8_000, "{n}");
}
