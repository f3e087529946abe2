//! The connection against answered requests and files in a temporary directory.

use super::*;
use crate::connection::{Connection, Connector, Cx, Pulled};
use crate::files::Files;
use crate::http::{Answer, Http, HttpConfig, NoWait};
use intel::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;

#[derive(Default)]
struct Values(Vec<String>);

impl Rows for Values {
    fn row(&mut self, row: Observation) {
        self.0.push(row.value);
    }
    fn reject(&mut self, _reason: &'static str, _sample: &str) {}
    fn filter(&mut self, _reason: &'static str, _n: u64) {}
}

fn pull(
    settings: Value,
    cursor: Option<&Value>,
    http: &Http,
    files: &Files,
) -> Result<(Pulled, Vec<String>), ConnectorError> {
    let connection = FeedConnection::from_settings(settings).unwrap();
    let now = Timestamp::from_secs(4_000_000_000);
    let cx = Cx { http, files, now, initial_from: now };
    let mut rows = Values::default();
    let pulled = connection.source().unwrap().pull(cursor, &cx, &mut rows)?;
    Ok((pulled, rows.0))
}

fn cursor_of(pulled: Pulled) -> Value {
    match pulled {
        Pulled::Whole(Some(cursor)) | Pulled::NotModified(Some(cursor)) => cursor,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_body_that_did_not_change_is_not_parsed() {
    let http = Http::answering(HttpConfig::default(), Arc::new(NoWait), |sent| {
        if sent.url().ends_with("/tagged") {
            if sent.header("If-None-Match") == Some("\"1\"") {
                return Answer::new(304, "");
            }
            return Answer::new(200, "192.0.2.1\n").header_pair("ETag", "\"1\"");
        }
        Answer::new(200, "192.0.2.1\n")
    });
    let files = Files::default();
    for url in ["https://feeds.example/tagged", "https://feeds.example/plain"] {
        let settings = || json!({"url": url});
        let (pulled, rows) = pull(settings(), None, &http, &files).unwrap();
        assert_eq!(rows, ["192.0.2.1"]);
        let cursor = cursor_of(pulled);
        let (pulled, rows) = pull(settings(), Some(&cursor), &http, &files).unwrap();
        assert!(matches!(pulled, Pulled::NotModified(_)) && rows.is_empty(), "{url}");
        // Other settings read the same body anew.
        let (pulled, rows) = pull(json!({"url": url, "kind": "ipv4"}), Some(&cursor), &http, &files).unwrap();
        assert!(matches!(pulled, Pulled::Whole(_)) && rows.len() == 1, "{url}");
        assert!(pull(settings(), Some(&json!("junk")), &http, &files).is_ok());
    }
}

#[test]
fn pages_are_no_lists_and_tokens_are_headers() {
    let http = Http::answering(HttpConfig::default(), Arc::new(NoWait), |sent| {
        let body = format!("{}.example\n", sent.header("Auth-Key").unwrap_or("none"));
        let kind = if sent.url().ends_with("html") { "text/html; charset=utf-8" } else { "text/plain" };
        Answer::new(200, body).header_pair("Content-Type", kind)
    });
    let files = Files::default();
    let error = pull(json!({"url": "https://feeds.example/html"}), None, &http, &files).unwrap_err();
    assert!(matches!(error, ConnectorError::Unexpected(why) if why.contains("HTML")));
    assert!(pull(json!({"url": "https://feeds.example/html", "format": "extract"}), None, &http, &files).is_ok());
    let settings = json!({"url": "https://feeds.example/list", "token": "t0ken", "token_header": "Auth-Key"});
    let shown = format!("{:?}", FeedConnection::from_settings(settings.clone()).unwrap());
    assert!(!shown.contains("t0ken"), "{shown}");
    assert_eq!(pull(settings, None, &http, &files).unwrap().1.len(), 1);
}

#[test]
fn files_and_patterns() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, body: &[u8]| std::fs::write(dir.path().join(name), body).unwrap();
    let http = Http::replaying(crate::http::Exchanges::default(), Vec::new());
    let files = Files::below(vec![dir.path().into()]);
    let url = |name: &str| format!("file://{}", dir.path().join(name).display());
    write("a.txt", b"192.0.2.1\n");
    write("b.txt", b"192.0.2.2\n");
    let one = json!({"url": url("a.txt")});
    let (pulled, rows) = pull(one.clone(), None, &http, &files).unwrap();
    assert_eq!(rows, ["192.0.2.1"]);
    let cursor = cursor_of(pulled);
    assert!(
        matches!(pull(one.clone(), Some(&cursor), &http, &files).unwrap(), (Pulled::NotModified(_), rows) if rows.is_empty())
    );
    // Written again with the same bytes: another time, the same body.
    write("a.txt", b"192.0.2.1\n");
    let (pulled, rows) = pull(one.clone(), Some(&cursor), &http, &files).unwrap();
    assert!(matches!(pulled, Pulled::NotModified(_)) && rows.is_empty());
    write("a.txt", b"192.0.2.1\n192.0.2.9\n");
    let (pulled, rows) = pull(one, Some(&cursor), &http, &files).unwrap();
    assert!(matches!(pulled, Pulled::Whole(_)));
    assert_eq!(rows.len(), 2);

    let all = || json!({"url": url("*.txt")});
    assert_eq!(FeedConnection::from_settings(all()).unwrap().lists_everything(), Some(false));
    let (pulled, rows) = pull(all(), None, &http, &files).unwrap();
    assert_eq!(rows.len(), 3);
    let cursor = cursor_of(pulled);
    assert!(matches!(pull(all(), Some(&cursor), &http, &files).unwrap().0, Pulled::NotModified(None)));
    write("c.txt", b"192.0.2.3\n");
    assert_eq!(pull(all(), Some(&cursor), &http, &files).unwrap().1.len(), 4);
    std::fs::remove_file(dir.path().join("c.txt")).unwrap();
    std::fs::remove_file(dir.path().join("b.txt")).unwrap();
    assert_eq!(pull(all(), Some(&cursor), &http, &files).unwrap().1.len(), 2);
    write("page.txt", b"<html>");
    let error = pull(all(), None, &http, &files).unwrap_err().to_string();
    assert!(error.contains("page.txt") && error.contains("HTML"), "{error}");
    assert!(matches!(pull(json!({"url": url("*.none")}), None, &http, &files), Err(ConnectorError::Later { .. })));
    assert!(matches!(pull(json!({"url": "/etc/hostname"}), None, &http, &files), Err(ConnectorError::Denied(_))));
}

#[test]
fn packed_bodies_are_recognised() {
    use std::io::Write;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("list.gz");
    let mut gzip = flate2::write::GzEncoder::new(std::fs::File::create(&path).unwrap(), flate2::Compression::default());
    gzip.write_all(b"192.0.2.1\n").unwrap();
    gzip.finish().unwrap();
    let http = Http::replaying(crate::http::Exchanges::default(), Vec::new());
    let files = Files::below(vec![dir.path().into()]);
    let settings = json!({"url": path.display().to_string()});
    assert_eq!(pull(settings, None, &http, &files).unwrap().1, ["192.0.2.1"]);
}

#[test]
fn manifests_make_connectors() {
    let text = r#"
        name = "some-feed"
        title = "Some feed"
        summary = "Of something."
        category = "feed"
        [source]
        style = "whole"
        [[setting]]
        key = "only_online"
        type = "bool"
        label = "Only online"
        help = "Leaves out what is offline."
        default = true
        [feed]
        url = "https://feeds.example/list.json"
        format = "json"
        value = "ip"
        terms = "CC0"
        when.only_online.skip_if = { status = "offline" }
    "#;
    let connector = FeedConnector::from_toml(text).unwrap();
    assert_eq!(connector.terms(), Some("CC0"));
    let http = Http::answering(HttpConfig::default(), Arc::new(NoWait), |_| {
        Answer::new(200, r#"[{"ip":"192.0.2.1","status":"online"},{"ip":"192.0.2.2","status":"offline"}]"#)
    });
    for (settings, count) in [(json!({}), 1), (json!({"only_online": false}), 2)] {
        let settings = connector.manifest().check(&settings).unwrap();
        let connection = connector.open(&settings).unwrap();
        assert_eq!(connection.hosts(), ["feeds.example"]);
        let now = Timestamp::from_secs(2_000_000_000);
        let cx = Cx { http: &http, files: &Files::default(), now, initial_from: now };
        let mut rows = Values::default();
        connection.source().unwrap().pull(None, &cx, &mut rows).unwrap();
        assert_eq!(rows.0.len(), count);
    }
    assert!(FeedConnector::from_toml(&text.replace("value = ", "valu = ")).unwrap_err().contains("valu"));
}
