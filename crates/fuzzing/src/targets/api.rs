//! The API, through its router: searches, cursors, pushes, pasted texts. Nothing a caller sends is an error of ours.

use crate::tell::{NOW, choice, text};
use crate::{Seed, Target};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use engine::World;
use engine::config::Connection;
use http_body_util::BodyExt as _;
use intel::Timestamp;
use iocast::api;
use iocast::app::{App, OpenOptions};
use kit::ConnectorError;
use kit::files::Files;
use kit::http::{Answer, Http, HttpConfig, NoWait, encode};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tower::ServiceExt as _;

/// Pushes after which an exchange is thrown away, so that one input's indicators do not slow down all after it.
const PUSHES: u32 = 256;

struct Still {
    files: Files,
    chance: AtomicU64,
}

impl World for Still {
    fn now(&self) -> Timestamp {
        NOW
    }

    fn random(&self) -> u64 {
        self.chance.fetch_add(1, Ordering::Relaxed)
    }

    fn http(&self, _: &Connection) -> Result<Http, ConnectorError> {
        Ok(Http::answering(HttpConfig::default(), Arc::new(NoWait), |_| Answer::new(404, "no network here")))
    }

    fn files(&self) -> &Files {
        &self.files
    }
}

struct Exchange {
    router: axum::Router,
    runtime: tokio::runtime::Runtime,
    pushed: u32,
}

struct Reply {
    status: StatusCode,
    body: Vec<u8>,
}

impl Reply {
    /// The law of every answer: no error of ours, and every error a problem with words.
    fn lawful(self, asked: &str) -> Option<Value> {
        assert!(!self.status.is_server_error(), "{asked}: {} {}", self.status, text(&self.body));
        let body: Value = serde_json::from_slice(&self.body).unwrap_or(Value::Null);
        if self.status.is_success() {
            return Some(body);
        }
        let words = body["detail"].as_str().or(body["title"].as_str());
        assert!(words.is_some_and(|words| !words.is_empty()), "{asked}: {} {}", self.status, text(&self.body));
        assert!(self.body.len() <= 64 << 10, "{asked}: an error of {} bytes", self.body.len());
        None
    }
}

impl Exchange {
    fn open() -> Exchange {
        let world = Arc::new(Still { files: Files::below(Vec::new()), chance: AtomicU64::new(1) });
        let app =
            App::open(OpenOptions { world: Some(world), ..OpenOptions::in_memory() }).expect("an empty exchange opens");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let exchange = Exchange { router: api::router(app), runtime, pushed: 0 };
        let config = json!({
            "connection": [{ "name": "bucket", "connector": "api-source", "settings": {} }],
            "rule": [{ "name": "all", "when": "reputation >= 1" }],
        });
        exchange
            .send("POST", "/api/v1/config/apply", "application/json", config.to_string().into_bytes())
            .lawful("apply")
            .expect("a good configuration");
        let items: Vec<Value> = [
            "http://evil.example/x",
            "198.51.100.7",
            "evil.example",
            "2001:db8::1",
            "x@evil.example",
        ]
        .iter()
        .enumerate()
        .map(|(at, value)| json!({ "value": value, "reputation": 1 + at, "tags": ["c2"], "comment": format!("n{at}") }))
        .collect();
        exchange
            .send("POST", "/api/v1/indicators", "application/json", json!({ "items": items }).to_string().into_bytes())
            .lawful("add")
            .expect("five good values");
        exchange
    }

    fn send(&self, method: &str, path: &str, media: &str, body: Vec<u8>) -> Reply {
        let request = Request::builder().method(method).uri(path).header("content-type", media);
        let request = api::local(request.body(Body::from(body)).expect("a request that can be made"));
        self.runtime.block_on(async {
            let response = self.router.clone().oneshot(request).await.expect("the router always answers");
            let status = response.status();
            let body = response.into_body().collect().await.map(|body| body.to_bytes().to_vec()).unwrap_or_default();
            Reply { status, body }
        })
    }

    fn get(&self, path: &str) -> Option<Value> {
        self.send("GET", path, "application/json", Vec::new()).lawful(path)
    }
}

thread_local! {
    static EXCHANGE: RefCell<Option<Exchange>> = const { RefCell::new(None) };
}

fn with<T>(n_pushed: u32, work: impl FnOnce(&Exchange) -> T) -> T {
    EXCHANGE.with(|cell| {
        // Taken out while it works: one that panicked is not used again.
        let exchange = cell.borrow_mut().take().filter(|exchange| exchange.pushed < PUSHES);
        let mut exchange = exchange.unwrap_or_else(Exchange::open);
        let out = work(&exchange);
        exchange.pushed += n_pushed;
        *cell.borrow_mut() = Some(exchange);
        out
    })
}

/// Asks for pages after this place, wherever there are pages.
pub(super) fn cursor(after: &str) {
    let after = encode(after);
    with(0, |exchange| {
        for (path, name) in [
            ("indicators?limit=2&sort=-reputation", "after"),
            ("indicators?limit=1&sort=value", "after"),
            ("records?limit=2", "after"),
            ("sightings?limit=2", "after"),
            ("deliveries?limit=2", "after"),
            ("changes?limit=2", "since"),
            ("runs?limit=2", "before"),
            ("audit?limit=2", "before"),
        ] {
            let Some(page) = exchange.get(&format!("/api/v1/{path}&{name}={after}")) else { continue };
            if let Some(next) = page["next"].as_str() {
                let again = exchange.get(&format!("/api/v1/{path}&{name}={}", encode(next)));
                assert!(again.is_some(), "{path}: its own `next` is refused: {next}");
            }
        }
    });
}

pub(crate) static SEARCH: Target = Target {
    name: "api_search",
    run: |data| {
        let raw = text(data);
        let mut parts = raw.splitn(3, '\n');
        let (q, sort, more) = (parts.next().unwrap_or(""), parts.next().unwrap_or("id"), parts.next().unwrap_or(""));
        with(0, |exchange| {
            let q = encode(q);
            let counted = exchange.get(&format!("/api/v1/indicators/count?q={q}&all=true"));
            let mut seen = Vec::new();
            let mut after = String::new();
            // Five indicators, two a page: three pages, and every one once.
            for _ in 0..4 {
                let path = format!("/api/v1/indicators?q={q}&all=true&limit=2&sort={}{after}", encode(sort));
                let Some(page) = exchange.get(&path) else { break };
                let items = page["items"].as_array().cloned().unwrap_or_default();
                assert!(items.len() <= 2);
                seen.extend(items.iter().map(|item| (item["kind"].to_string(), item["value"].to_string())));
                match page["next"].as_str() {
                    Some(next) => after = format!("&after={}", encode(next)),
                    None => {
                        let total =
                            counted.as_ref().map(|counted| counted["total"].as_u64().or(counted["count"].as_u64()));
                        if let Some(Some(total)) = total {
                            assert_eq!(seen.len() as u64, total, "pages and count differ: {q}");
                        }
                        break;
                    }
                }
            }
            let n = seen.len();
            seen.sort();
            seen.dedup();
            assert_eq!(seen.len(), n, "one indicator on two pages: {q}");
            for path in ["why", "check"] {
                let base = if path == "why" { "indicators/why" } else { "guard/check" };
                exchange.get(&format!("/api/v1/{base}?value={}", encode(more)));
            }
            exchange.get(&format!(
                "/api/v1/indicators/{}/{}",
                encode(sort).replace('.', "%2e"),
                encode(more).replace('.', "%2e")
            ));
            let test = json!({ "when": raw, "value": more }).to_string().into_bytes();
            exchange.send("POST", "/api/v1/rules/test", "application/json", test).lawful("rules/test");
        });
    },
    seeds: &[
        Seed::Text("reputation >= 2 and tag = \"c2\"\n-reputation\nevil.example"),
        Seed::Text("value contains \"evil\"\nvalue\n198.51.100.7"),
        Seed::Text("\n-first_seen\nhttp://evil.example/x"),
        Seed::Text("shared_with is set or source = \"manual\"\nkind\n2001:db8::1"),
    ],
    words: &[
        "reputation",
        " >= ",
        "tag",
        "source",
        " and ",
        " or ",
        "not ",
        "\n",
        "-last_seen",
        "value",
        "\"",
        "shared_with",
        "%00",
        "+",
        "&",
        "?",
        "/",
        "..",
        "now - 1d",
        "under ",
    ],
    longest: 4_096,
};

pub(crate) static PUSH: Target = Target {
    name: "api_push",
    run: |data| {
        let (first, body) = choice(data);
        let media = match first % 3 {
            0 => "application/json",
            1 => "application/x-ndjson",
            _ => "text/plain",
        };
        with(1, |exchange| {
            let path = "/api/v1/connections/bucket/observations";
            let reply = exchange.send("POST", path, media, body.to_vec());
            assert!(!reply.status.is_server_error(), "{} {}", reply.status, text(&reply.body));
            if first % 3 == 1 && reply.status.is_success() {
                // Results come a line a row, and the counts balance.
                assert!(reply.body.len() <= 4_096 + body.len() * 64, "{} bytes about {}", reply.body.len(), body.len());
                return;
            }
            let Some(answer) = reply.lawful("push") else { return };
            let totals = |answer: &Value, name: &str| {
                answer["totals"][name].as_u64().unwrap_or_else(|| panic!("no {name} in {answer}"))
            };
            let n = |name: &str| totals(&answer, name);
            assert_eq!(n("read"), n("new") + n("changed") + n("unchanged") + n("rejected"), "{answer}");
            let items = answer["items"].as_array().expect("a word on every row");
            assert_eq!(items.len() as u64, n("read"), "a word on every row: {answer}");
            for item in items.iter().filter(|item| item["status"] != "rejected") {
                let kind = item["kind"].as_str().and_then(intel::IndicatorKind::from_name);
                let value = item["value"].as_str().expect("what was taken was read as something");
                let key = intel::IndicatorKey::parse(kind, value).unwrap_or_else(|why| panic!("{why}: {item}"));
                assert_eq!(key.value(), value, "{item}");
            }
            // The same again: as many rows, and none of them new.
            let again = exchange.send("POST", path, media, body.to_vec()).lawful("push again");
            let again = again.expect("what was taken once is taken twice");
            assert_eq!((totals(&again, "read"), totals(&again, "new")), (n("read"), 0), "{again}");
        });
    },
    seeds: &[
        Seed::Text(
            "\0{\"items\":[{\"value\":\"203.0.113.9\",\"reputation\":9},{\"value\":\"http://evil.example/x\",\"kind\":\"url\",\"tags\":[\"a\"],\"tlp\":\"amber\"}]}",
        ),
        Seed::Text("\0{\"items\":[{\"op\":\"retract\",\"value\":\"203.0.113.9\"},{\"value\":\"not an indicator\"}]}"),
        Seed::Text(
            "\x01{\"value\":\"203.0.113.9\"}\n{\"op\":\"retract\",\"value\":\"evil.example\"}\n\n{\"value\":7}\n",
        ),
        Seed::Text(
            "\0{\"items\":[{\"value\":\"evil.example\",\"first_seen\":\"2026-01-01T00:00:00Z\",\"modified\":\"2026-01-02T00:00:00Z\",\"expires_at\":\"2027-01-01\",\"confidence\":80,\"comment\":\"x\"}]}",
        ),
    ],
    words: &[
        "{\"items\":[",
        "{\"value\":\"",
        "\"op\":\"retract\"",
        "\"op\":\"upsert\"",
        "\"kind\":\"domain\"",
        "\"reputation\":",
        "\"tags\":[",
        "\"tlp\":\"red\"",
        "\"modified\":\"2030-01-01\"",
        "\"retracted\":true",
        "},{",
        "]}",
        "\n",
        "null",
        "1e99",
        "\\u0000",
        "\"hops\":[",
    ],
    longest: 16_384,
};

pub(crate) static IMPORT: Target = Target {
    name: "api_extract",
    run: |data| {
        let (first, body) = choice(data);
        let formats =
            ["auto", "html", "items", "text", "csv", "json", "ndjson", "extract", "stix", "misp", "openioc", "stix1"];
        let format = formats[usize::from(first) % formats.len()];
        let sent = json!({ "text": text(body), "format": format }).to_string().into_bytes();
        with(0, |exchange| {
            let Some(answer) = exchange.send("POST", "/api/v1/extract", "application/json", sent).lawful("extract")
            else {
                return;
            };
            let n = |name: &str| answer[name].as_u64().unwrap_or(0);
            assert_eq!(n("read"), n("found") + n("repeated") + n("rejected"), "{answer}");
            let by: u64 = answer["rejected_by"].as_object().into_iter().flatten().filter_map(|(_, n)| n.as_u64()).sum();
            assert_eq!(by, n("rejected"), "{answer}");
            // What it offers can be pushed as it is: a value it calls canonical is taken.
            for item in answer["items"].as_array().into_iter().flatten() {
                let kind = item["item"]["kind"].as_str().and_then(intel::IndicatorKind::from_name);
                let value = item["item"]["value"].as_str().unwrap_or_default();
                let key = intel::IndicatorKey::parse(kind, value).unwrap_or_else(|why| panic!("{why}: {item}"));
                assert_eq!(key.value(), value, "{item}");
            }
        });
    },
    seeds: &[
        Seed::Text(
            "\0<html><body><p>see <a href=\"http://evil.example/x\">hxxp://evil[.]example/x</a></p><script>var a='http://not.example/'</script></body></html>",
        ),
        Seed::Text("\0| url | why |\n|---|---|\n| hxxp://evil[.]example/x | c2 |\n"),
        Seed::Text("\x02{\"items\":[{\"value\":\"203.0.113.9\"}]}"),
        Seed::Text("\0value,type\nevil.example,domain\n"),
        Seed::File { before: "\0", path: "testdata/feeds/eset/cdrthief/README.adoc", most: 1_000 },
        Seed::File { before: "\0", path: "testdata/feeds/tweetfeed/rss.xml", most: 2_000 },
    ],
    words: &[
        "<html>",
        "<p>",
        "</p>",
        "<script>",
        "</script>",
        "<a href=\"",
        "&#x2e;",
        "&nbsp;",
        "<!--",
        "-->",
        "<![CDATA[",
        "| ",
        "---",
        "```",
        "hxxp://",
        "[.]",
        "{\"items\":[",
        "<svg>",
        "<br>",
        "> ",
    ],
    longest: 16_384,
};
