//! Connectors against a server that answers what the input says: TAXII 2 and 1, MISP feeds.

use crate::tell::{NOW, Taken, text};
use crate::{Seed, Target};
use kit::files::Files;
use kit::http::{Answer, Http, HttpConfig, NoWait};
use kit::{Connector, Cx, Pulled, Secret};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Calls of one run; a connector that asks more often than there is anything to say goes in circles.
const CALLS: u64 = 2_000;
/// Pages of one run.
const PAGES: usize = 12;

/// One answer of the script.
struct Said {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Said {
    fn answer(&self) -> Answer {
        let answer = Answer::new(self.status, self.body.clone());
        self.headers.iter().fold(answer, |answer, (name, value)| answer.header_pair(name, value))
    }
}

/// The answers of a recorded conversation, as `HTTP STATUS`, headers, an empty line and a body; requests are passed over.
fn answers(script: &str) -> Vec<Said> {
    let mut all = Vec::new();
    for part in script.split("=== ") {
        let Some((_, rest)) = part.split_once("\nHTTP ") else { continue };
        let (head, body) = rest.split_once("\n\n").unwrap_or((rest, ""));
        let mut lines = head.lines();
        let status: u16 = lines.next().and_then(|line| line.trim().parse().ok()).unwrap_or(200);
        // What is no final status never comes out of a real transport.
        let status = if (200..600).contains(&status) { status } else { 200 };
        let named = |line: &str| -> Option<(String, String)> {
            let (name, value) = line.split_once(": ")?;
            let good = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            good.then(|| (name.to_owned(), value.trim().to_owned()))
        };
        let headers = lines.filter_map(named).take(32).collect();
        all.push(Said { status, headers, body: body.as_bytes().to_vec() });
    }
    all
}

fn pull(connector: &str, settings: &Value, data: &[u8]) {
    let script = text(data);
    let answers = answers(&script);
    static ALL: OnceLock<Vec<Arc<dyn Connector>>> = OnceLock::new();
    let all = ALL.get_or_init(connectors::all);
    let connector = all.iter().find(|c| c.manifest().name == connector).expect("a connector of this name");
    let settings = connector.manifest().check(settings).expect("settings of a target are good");
    let connection = connector.open(&settings).expect("settings of a target are good");
    let next = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&next);
    let config = HttpConfig {
        retries: 1,
        secrets: vec![("password".into(), Secret::new("canary-canary"))],
        ..HttpConfig::default()
    };
    let http = Http::answering(config, Arc::new(NoWait), move |_| {
        let at = counted.fetch_add(1, Ordering::Relaxed);
        match answers.get(at) {
            Some(answer) => answer.answer(),
            // Then the last one for ever, for a while.
            None if at < 64 && !answers.is_empty() => answers[answers.len() - 1].answer(),
            None => Answer::new(404, "nothing more"),
        }
    });
    let files = Files::below(Vec::new());
    let cx = Cx { http: &http, files: &files, now: NOW, initial_from: NOW.before(Duration::from_secs(14 * 86_400)) };
    let source = connection.source().expect("a source");
    let mut cursor: Option<Value> = None;
    let mut taken = Taken::default();
    for _ in 0..PAGES {
        match source.pull(cursor.as_ref(), &cx, &mut taken) {
            Ok(Pulled::More(next)) => {
                assert!(
                    next.to_string().len() <= (1 << 20) + data.len() * 8,
                    "a cursor of {} bytes",
                    next.to_string().len()
                );
                cursor = Some(next);
            }
            Ok(Pulled::Done(_) | Pulled::Whole(_) | Pulled::NotModified(_)) => break,
            Err(error) => {
                let words = error.to_string();
                assert!(!words.is_empty() && !words.contains("canary-canary"), "{words}");
                assert!(words.len() <= 4_096, "an error of {} bytes", words.len());
                if let Some(wait) = error.wait() {
                    assert!(wait <= intel::limits::RETRY_AFTER_MOST, "{wait:?}");
                }
                break;
            }
        }
    }
    assert!(http.calls() <= CALLS, "{} calls", http.calls());
    // Every answer may be read as often as there are calls.
    taken.bounded(data.len() * (1 + next.load(Ordering::Relaxed)), 64);
}

pub(crate) static TAXII: Target = Target {
    name: "taxii",
    run: |data| {
        pull(
            "taxii",
            &json!({"url": "https://taxii.example/taxii2/", "username": "iocast", "password": "canary-canary"}),
            data,
        );
    },
    seeds: &[
        Seed::File { before: "", path: "crates/connectors/src/taxii/exchanges/pull.http", most: 12_000 },
        Seed::File { before: "", path: "crates/connectors/src/taxii/exchanges/pull-2.0.http", most: 12_000 },
    ],
    words: &[
        "=== x\n\nHTTP 200\n",
        "=== x\n\nHTTP 429\nRetry-After: 99999999999\n\n",
        "=== x\n\nHTTP 206\n",
        "=== x\n\nHTTP 401\n\n",
        "=== x\n\nHTTP 301\nLocation: https://other.example/\n\n",
        "Content-Type: application/taxii+json;version=2.1\n",
        "Content-Type: application/vnd.oasis.taxii+json; version=2.0\n",
        "X-TAXII-Date-Added-Last: 2026-01-01T00:00:00Z\n",
        "Content-Range: items 0-9/20\n",
        "\"more\":true",
        "\"next\":\"x\"",
        "\"api_roots\":[\"",
        "\"collections\":[",
        "\"can_read\":true",
        "\"objects\":[",
        "{",
        "}",
        "]",
        "null",
    ],
    longest: 32_768,
};

pub(crate) static TAXII1: Target = Target {
    name: "taxii1",
    run: |data| {
        pull(
            "taxii1",
            &json!({"url": "https://taxii.example/poll", "collection": "iocs", "username": "iocast", "password": "canary-canary"}),
            data,
        );
    },
    seeds: &[
        Seed::File { before: "", path: "crates/connectors/src/taxii1/exchanges/pull.http", most: 12_000 },
        Seed::File { before: "", path: "crates/connectors/src/taxii1/exchanges/pull-discovery.http", most: 12_000 },
    ],
    words: &[
        "=== x\n\nHTTP 200\n",
        "Content-Type: application/xml\n",
        "X-TAXII-Content-Type: urn:taxii.mitre.org:message:xml:1.1\n",
        "more=\"true\"",
        "result_id=\"r\"",
        "result_part_number=\"2\"",
        "<taxii_11:Status_Message status_type=\"FAILURE\">",
        "<taxii_11:Content_Block>",
        "<taxii_11:Content>",
        "</",
        "/>",
        "&lt;",
        "<![CDATA[",
        "<!DOCTYPE x>",
        "xmlns:taxii_11=\"http://taxii.mitre.org/messages/taxii_xml_binding-1.1\"",
        "<taxii_11:Inclusive_End_Timestamp>",
        "partial_count=\"true\"",
    ],
    longest: 32_768,
};

pub(crate) static MISP_FEED: Target = Target {
    name: "misp_feed",
    run: |data| pull("misp-feed", &json!({"url": "https://feeds.example/misp/"}), data),
    seeds: &[
        Seed::File { before: "", path: "crates/connectors/src/misp_feed/exchanges/pull.http", most: 12_000 },
        Seed::File { before: "", path: "crates/connectors/src/misp_feed/exchanges/pull-tagged.http", most: 12_000 },
    ],
    words: &[
        "=== x\n\nHTTP 200\n",
        "=== x\n\nHTTP 304\n\n",
        "=== x\n\nHTTP 404\n\n",
        "ETag: \"x\"\n",
        "\"timestamp\":\"1766966400\"",
        "\"integrity:sha256\":\"",
        "5f3c2a10-0000-4000-8000-000000000001",
        "../../",
        "\"Event\":{",
        "\"Attribute\":[",
        "\"Tag\":[",
        "\"to_ids\":true",
        "{",
        "}",
        "]",
        ",",
    ],
    longest: 32_768,
};
