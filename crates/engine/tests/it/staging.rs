//! What one pull may hold in memory.

use engine::config::Connection;
use engine::{ConfigFile, Engine, PullReport, Registry, Silent, World};
use intel::Timestamp;
use kit::files::Files;
use kit::http::{Answer, Http, HttpConfig, NoWait};
use kit::{ConnectorError, feed::FeedConnector};
use serde_json::json;
use std::sync::{Arc, Mutex};
use store::Store;

struct Feed {
    body: Arc<Mutex<String>>,
    files: Files,
    most: usize,
}

impl World for Feed {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_780_000_000)
    }

    fn random(&self) -> u64 {
        7
    }

    fn http(&self, _: &Connection) -> Result<Http, ConnectorError> {
        let body = Arc::clone(&self.body);
        let answer = move |_: &_| Answer::new(200, body.lock().unwrap().clone());
        Ok(Http::answering(HttpConfig::default(), Arc::new(NoWait), answer))
    }

    fn files(&self) -> &Files {
        &self.files
    }

    fn staged_bytes(&self, _: bool) -> usize {
        self.most
    }
}

const MANIFEST: &str = r#"
name = "wide"
title = "Wide"
summary = "A table."
category = "feed"

[source]
style = "whole"

[feed]
url = "https://feed.example/x"
format = "csv"
header = "none"
value = "1"
comment_column = "2"
"#;

struct Bench {
    engine: Engine,
    body: Arc<Mutex<String>>,
}

impl Bench {
    fn new(most: usize, complete: bool) -> Bench {
        let body = Arc::new(Mutex::new(String::new()));
        let world = Feed { body: Arc::clone(&body), files: Files::below(Vec::new()), most };
        let connector: Arc<dyn kit::Connector> = Arc::new(FeedConnector::from_toml(MANIFEST).unwrap());
        let manual = connectors_without_code();
        let registry = Registry::new([connector, manual]);
        let store = Arc::new(Store::in_memory().unwrap());
        let engine = Engine::open(store, registry, Arc::new(world), None, &Silent).unwrap();
        let file: ConfigFile = serde_json::from_value(json!({
            "connection": [{ "name": "wide", "connector": "wide", "settings": {}, "complete": complete }]
        }))
        .unwrap();
        engine.apply(&file, "test", false).unwrap();
        Bench { engine, body }
    }

    fn pull(&self, rows: &[(String, String)]) -> PullReport {
        *self.body.lock().unwrap() = rows.iter().map(|(value, comment)| format!("{value},{comment}\n")).collect();
        let report = self.engine.pull("wide", &Silent).unwrap();
        assert!(report.balances(), "{report:?}");
        report
    }
}

fn connectors_without_code() -> Arc<dyn kit::Connector> {
    Arc::new(FeedConnector::from_toml(&MANIFEST.replace("\"wide\"", "\"manual\"")).unwrap())
}

fn rows(n: usize) -> Vec<(String, String)> {
    (0..n).map(|n| (format!("h{n}.example.com"), "x".repeat(1_000))).collect()
}

#[test]
fn what_a_pull_holds_is_bounded_and_nothing_of_it_is_kept_half() {
    for complete in [true, false] {
        let bench = Bench::new(1 << 20, complete);
        let report = bench.pull(&rows(100));
        assert_eq!((report.status.as_str(), report.new), ("success", 100), "{report:?}");
        // Twenty megabytes of rows where one is room for.
        let report = bench.pull(&rows(20_000));
        assert_eq!((report.status.as_str(), report.new, report.withdrawn), ("failed", 0, 0), "{report:?}");
        let why = report.error.unwrap();
        assert!(why.contains("too large") && why.contains("1 MiB") && why.contains("split it"), "{why}");
        assert_eq!(report.read, 100, "what was known before is all that stands in the balance");
        assert_eq!(report.filtered_by["page failed"], 19_900);
        assert_eq!(bench.engine.known().index.len(), 100);
        // What is known already needs no room, so a large feed can grow beyond what one run may bring.
        assert_eq!(bench.pull(&rows(700)).new, 600);
        assert_eq!(bench.pull(&rows(1_300)).new, 600);
    }
}

#[test]
fn a_thousand_things_said_of_one_key_are_bounded_too() {
    let said = |n: usize| -> Vec<(String, String)> {
        (0..n).map(|n| ("h.example.com".to_owned(), format!("{n}{}", "x".repeat(1_000)))).collect()
    };
    let bench = Bench::new(1 << 20, false);
    let report = bench.pull(&said(20_000));
    assert_eq!((report.status.as_str(), report.new), ("failed", 0), "{report:?}");
    let report = bench.pull(&said(500));
    assert_eq!((report.status.as_str(), report.new, report.unchanged), ("success", 1, 499), "{report:?}");
}
