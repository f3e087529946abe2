//! Served lists as a firewall sees them.

use crate::api::base64;
use crate::support::{StillWorld, TestApp};
use axum::http::{Method, StatusCode};
use intel::Timestamp;
use iocast::app::{App, OpenOptions};
use serde_json::json;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

const VALUES: [&str; 3] = ["203.0.113.1", "203.0.113.2", "203.0.113.3"];
const BODY: &str = "203.0.113.1\n203.0.113.2\n203.0.113.3\n";
const LIST: &str = "/lists/block-ip";

#[test]
fn a_list_is_served_whole_and_once() {
    let app = TestApp::new().with_list(&json!({ "format": "edl" }));
    let token = format!("Bearer {}", app.token("list"));
    let get = |headers: &[(&str, &str)]| {
        let mut all = vec![("authorization", token.as_str())];
        all.extend(headers);
        app.ask(Method::GET, LIST, "192.0.2.1", &all)
    };
    let early = get(&[]);
    assert_eq!((early.status, early.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, Some("60")));
    app.publish(&VALUES);
    let first = get(&[]);
    assert_eq!((first.status, first.text().as_str()), (StatusCode::OK, BODY));
    assert_eq!(first.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(first.header("content-length"), Some(BODY.len().to_string().as_str()));
    assert_eq!(first.header("content-encoding"), None);
    assert_eq!(first.header("last-modified"), Some("Mon, 01 Jun 2026 12:00:00 GMT"));
    let tag = first.header("etag").unwrap();
    assert!(tag.starts_with('"') && tag.len() == 66, "{tag}");
    for sent in [tag.to_owned(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
        let same = get(&[("if-none-match", &sent)]);
        assert_eq!((same.status, same.body.len()), (StatusCode::NOT_MODIFIED, 0), "{sent}");
        assert_eq!(same.header("etag"), Some(tag), "{sent}");
    }
    let head = app.ask(Method::HEAD, LIST, "192.0.2.1", &[("authorization", &token)]);
    assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
    assert_eq!(head.header("content-length"), Some(BODY.len().to_string().as_str()));
    assert_eq!(head.header("etag"), Some(tag));
    app.publish(&["203.0.113.4"]);
    let next = get(&[("if-none-match", tag)]);
    assert_eq!((next.status, next.text().lines().count()), (StatusCode::OK, 4));
}

#[test]
fn who_may_fetch() {
    let token_list = json!({ "format": "edl" });
    let open = json!({ "format": "edl", "access": "open" });
    let branch = json!({ "format": "edl", "access": "open", "allow_from": ["192.0.2.0/24", "2001:db8::/32"] });
    let fenced = json!({ "format": "edl", "access": "token", "allow_from": ["192.0.2.0/24"] });
    for (params, peer, send, expect) in [
        (&token_list, "127.0.0.1", "", 401),
        (&token_list, "127.0.0.1", "bearer", 200),
        (&token_list, "127.0.0.1", "basic", 200),
        (&token_list, "127.0.0.1", "wrong", 401),
        (&token_list, "127.0.0.1", "forwarded", 401),
        (&open, "127.0.0.1", "", 200),
        (&open, "127.0.0.1", "wrong", 200),
        (&open, "192.0.2.9", "", 401),
        (&open, "192.0.2.9", "bearer", 200),
        (&branch, "192.0.2.9", "", 200),
        (&branch, "[2001:db8::9]", "", 200),
        (&branch, "[::ffff:192.0.2.9]", "", 200),
        (&branch, "198.51.100.1", "", 403),
        (&branch, "198.51.100.1", "forwarded", 403),
        (&branch, "198.51.100.1", "bearer", 403),
        (&fenced, "192.0.2.9", "", 401),
        (&fenced, "192.0.2.9", "bearer", 200),
        (&fenced, "198.51.100.1", "bearer", 403),
    ] {
        let app = TestApp::new().with_list(params);
        app.publish(&VALUES);
        let token = app.token("list");
        let bearer = format!("Bearer {token}");
        let basic = format!("Basic {}", base64(&format!("anyone:{token}")));
        let headers: &[(&str, &str)] = match send {
            "bearer" => &[("authorization", &bearer)],
            "basic" => &[("authorization", &basic)],
            "wrong" => &[("authorization", "Bearer ioc_wrong")],
            "forwarded" => &[("x-forwarded-for", "192.0.2.9"), ("forwarded", "for=192.0.2.9")],
            _ => &[],
        };
        let reply = app.ask(Method::GET, LIST, peer, headers);
        assert_eq!(reply.status.as_u16(), expect, "{params} {peer} {send}: {}", reply.text());
        match expect {
            200 => assert_eq!(reply.text(), BODY),
            401 => assert_eq!(reply.header("www-authenticate"), Some("Basic realm=\"iocast\", charset=\"UTF-8\"")),
            _ => {}
        }
        // What is not there is told to those who may know.
        let other = app.ask(Method::GET, "/lists/other", peer, headers).status.as_u16();
        assert_eq!(other, if matches!(send, "bearer" | "basic") { 404 } else { 401 }, "{peer} {send}");
    }
}

#[test]
fn formats_say_what_they_are() {
    for (format, content_type) in [
        ("edl", "text/plain; charset=utf-8"),
        ("csv", "text/csv; charset=utf-8; header=present"),
        ("json", "application/json"),
        ("stix", "application/stix+json;version=2.1"),
    ] {
        let app = TestApp::new().with_list(&json!({ "format": format, "access": "open" }));
        app.publish(&VALUES);
        let reply = app.ask(Method::GET, LIST, "127.0.0.1", &[]);
        assert_eq!(reply.header("content-type"), Some(content_type), "{format}");
        assert!(reply.text().contains("203.0.113.2"), "{format}");
    }
}

fn unpack(body: &[u8]) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(body).read_to_string(&mut text).unwrap();
    text
}

/// A list long enough to be worth compressing, in a directory.
fn long_list(data: &Path) -> (TestApp, String) {
    let app = TestApp::with(Some(data.to_owned()), Vec::new()).with_list(&json!({ "format": "edl", "access": "open" }));
    let values: Vec<String> = (1..=200).map(|n| format!("45.9.7.{n}")).collect();
    app.publish(&values.iter().map(String::as_str).collect::<Vec<_>>());
    let body = app.get(LIST).text();
    assert_eq!(body.lines().count(), 200);
    (app, body)
}

#[test]
fn gzip_is_the_same_list_under_another_tag() {
    let dir = tempfile::tempdir().unwrap();
    let (app, body) = long_list(dir.path());
    let gzip = [("accept-encoding", "gzip, deflate")];
    let plain = app.ask(Method::GET, LIST, "127.0.0.1", &[]);
    let first = app.ask(Method::GET, LIST, "127.0.0.1", &gzip);
    assert_eq!(first.header("content-encoding"), Some("gzip"));
    assert_eq!(unpack(&first.body), body, "compressed as it goes out");
    let tag = first.header("etag").unwrap().to_owned();
    assert_ne!(Some(tag.as_str()), plain.header("etag"));
    assert!(first.header("vary").unwrap().contains("Accept-Encoding"));
    // The twin is made on a thread of its own; once it is there, its length is known.
    let twin = (0..100_000).find_map(|_| {
        let reply = app.ask(Method::GET, LIST, "127.0.0.1", &gzip);
        assert_eq!((reply.header("etag"), unpack(&reply.body) == body), (Some(tag.as_str()), true));
        reply.header("content-length").map(str::to_owned)
    });
    assert!(twin.is_some(), "the compressed twin was never served");
    for sent in [tag.as_str(), plain.header("etag").unwrap()] {
        let same = app.ask(Method::GET, LIST, "127.0.0.1", &[gzip[0], ("if-none-match", sent)]);
        assert_eq!((same.status, same.header("etag")), (StatusCode::NOT_MODIFIED, Some(sent)));
    }
    app.publish(&["45.9.200.1"]);
    let next = app.ask(Method::GET, LIST, "127.0.0.1", &[gzip[0], ("if-none-match", &tag)]);
    assert_eq!((next.status, unpack(&next.body).lines().count()), (StatusCode::OK, 201), "the old twin is not served");
}

#[test]
fn the_last_good_list_answers_before_anything_is_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let (app, body) = long_list(dir.path());
    drop(app);
    let world = StillWorld::new(Vec::new());
    let options = || OpenOptions { world: Some(world.clone()), ..OpenOptions::at(dir.path()) };
    let (early, loading) = App::begin(options()).unwrap();
    let app = TestApp::over(early, world.clone());
    let reply = app.ask(Method::GET, LIST, "127.0.0.1", &[]);
    assert_eq!((reply.status, reply.text() == body), (StatusCode::OK, true));
    assert_eq!(app.ask(Method::GET, LIST, "192.0.2.1", &[]).status, StatusCode::UNAUTHORIZED, "still not open to all");
    let token = iocast::tokens::NewToken::generate().unwrap();
    let now = Timestamp::from_secs(1_700_000_000);
    loading.store().put_token("firewall", &token.hash, "list", now, None).unwrap();
    let bearer = format!("Bearer {}", token.secret.reveal());
    let reply = app.ask(Method::GET, LIST, "192.0.2.1", &[("authorization", &bearer)]);
    assert_eq!((reply.status, reply.text() == body), (StatusCode::OK, true), "tokens are known before the rest is");
    let status = app.get("/api/v1/status");
    assert_eq!((status.status, status.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, Some("2")));
    assert!(status.text().contains("starting"));
    assert_eq!(app.ask(Method::GET, "/healthz", "127.0.0.1", &[]).text(), r#"{"status":"starting"}"#);
    let later = app.app.clone();
    loading.finish().unwrap();
    assert!(later.engine().is_ok());
    assert_eq!(app.ask(Method::GET, LIST, "127.0.0.1", &[]).text(), body);
    app.get("/api/v1/status").ok();
}

#[test]
fn a_body_that_was_cut_is_never_served() {
    let dir = tempfile::tempdir().unwrap();
    let (app, body) = long_list(dir.path());
    let file = std::fs::read_dir(dir.path().join("lists")).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&file, &body[..body.len() / 2]).unwrap();
    let reply = app.ask(Method::GET, LIST, "127.0.0.1", &[]);
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!reply.text().contains(dir.path().to_str().unwrap()), "{}", reply.text());
    std::fs::remove_file(&file).unwrap();
    assert_eq!(app.ask(Method::GET, LIST, "127.0.0.1", &[]).status, StatusCode::SERVICE_UNAVAILABLE);
    let _: Arc<App> = app.app;
}
