//! What third parties push, what programs follow, and what a text holds.

use crate::support::{Pieces, Reply, StillWorld, TestApp, Told};
use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode};
use iocast::app::{App, OpenOptions};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const PUSH: &str = "/api/v1/connections/partner/observations";

fn site() -> Value {
    json!({
        "connection": [
            { "name": "partner", "connector": "api-source" },
            { "name": "other", "connector": "api-source" },
            { "name": "closed", "connector": "api-source", "enabled": false },
            { "name": "edge", "connector": "list" },
        ],
        "target": [{
            "name": "block", "connection": "edge", "action": "publish", "first_fill": "allow",
            "params": { "format": "edl", "access": "open" },
        }],
        "rule": [{ "name": "all", "when": "kind in (ipv4, domain)" }],
        "sharing": [{ "source": "partner", "rule": "all", "target": "block" }],
    })
}

fn open(data: Option<&Path>) -> TestApp {
    let app = TestApp::with(data.map(Into::into), Vec::new());
    app.post("/api/v1/config/apply", &site()).ok();
    app
}

impl TestApp {
    fn push_as(&self, token: Option<&str>, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Reply {
        let mut request = Request::post(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(body.into()).unwrap();
        self.send(if token.is_some() { request } else { iocast::api::local(request) })
    }

    fn push(&self, items: &Value) -> Value {
        let reply = self.post(PUSH, &json!({ "items": items })).ok();
        let n = |key: &str| reply["totals"][key].as_u64().unwrap();
        assert_eq!(n("read"), n("new") + n("changed") + n("unchanged") + n("rejected"), "{reply}");
        assert_eq!(n("read"), reply["items"].as_array().unwrap().len() as u64, "{reply}");
        reply
    }

    /// The words on each row of a push.
    fn words(&self, items: &Value) -> String {
        let reply = self.push(items);
        let words: Vec<&str> =
            reply["items"].as_array().unwrap().iter().map(|row| row["status"].as_str().unwrap()).collect();
        words.join(" ")
    }

    fn hit(&self, value: &str) -> Value {
        let hit = self.app.engine().unwrap().get(value, None);
        serde_json::to_value(hit).unwrap()
    }
}

#[test]
fn a_row_has_a_word_of_its_own() {
    let app = open(None);
    let reply = app.push(&json!([
        { "value": "hxxp://evil[.]example.com/a", "reputation": 9, "tags": ["x"], "tlp": "amber", "id": "7" },
        { "value": "1.2.3.4" },
        { "value": "1.2.3.4" },
        { "value": "not an indicator" },
        { "value": "5.6.7.8", "tlp": "pink" },
        { "value": "5.6.7.8", "colour": "pink" },
        7,
        { "value": "9.9.9.9", "op": "retract" },
    ]));
    let rows = reply["items"].as_array().unwrap();
    let words: Vec<&str> = rows.iter().map(|row| row["status"].as_str().unwrap()).collect();
    assert_eq!(words, ["new", "new", "unchanged", "rejected", "rejected", "rejected", "rejected", "rejected"]);
    assert_eq!(rows[0]["value"], "http://evil.example.com/a");
    assert_eq!(rows[0]["kind"], "url");
    for (row, why) in rows[3..].iter().zip(["", "tlp: \"pink\"", "colour", "unreadable", "unknown"]) {
        assert!(row["reason"].as_str().unwrap().contains(why), "{row}");
    }
    assert_eq!(app.hit("5.6.7.8"), Value::Null, "a marking that is not understood lets nothing in");
    // The history has one run for the hour, and it balances.
    app.world.advance(60);
    assert_eq!(app.words(&json!([{ "value": "1.2.3.4" }, { "value": "4.3.2.1" }])), "unchanged new");
    let runs = app.get("/api/v1/runs?kind=ingest").ok();
    assert_eq!(runs.as_array().unwrap().len(), 1, "{runs}");
    let n = |key: &str| runs[0]["report"][key].as_u64().unwrap();
    assert_eq!((n("read"), n("new"), n("changed"), n("unchanged"), n("rejected")), (10, 3, 0, 2, 5));
    assert_eq!(runs[0]["report"]["touched"], 3);
    app.world.advance(3600);
    app.push(&json!([{ "value": "1.2.3.4" }]));
    assert_eq!(app.get("/api/v1/runs?kind=ingest").ok().as_array().unwrap().len(), 2);
}

#[test]
fn the_later_word_stands_and_is_taken_back() {
    let app = open(None);
    let one = json!([{ "value": "1.2.3.4", "reputation": 9, "comment": "seen", "internal_hits": 3 }]);
    assert_eq!(app.words(&one), "new");
    assert_eq!(app.words(&one), "unchanged");
    assert_eq!(app.words(&json!([{ "value": "1.2.3.4", "reputation": 4 }])), "changed");
    assert_eq!(app.hit("1.2.3.4")["reputation"], 4, "a lower word replaces a higher one");
    assert_eq!(app.words(&one), "changed", "an older content that comes again is news");
    assert_eq!(app.hit("1.2.3.4")["internal_hits"], 3, "counts are absolute");
    // In one batch the order counts, whatever was known before.
    let both = json!([one[0], { "value": "1.2.3.4", "op": "retract" }, { "value": "1.2.3.4", "op": "retract" }]);
    assert_eq!(app.words(&both), "unchanged changed unchanged");
    let hit = app.hit("1.2.3.4");
    assert_eq!((&hit["active"], &hit["comment"]), (&json!(false), &json!("seen")), "what was said can still be read");
    assert_eq!(app.words(&json!([{ "value": "1.2.3.4", "op": "retract" }])), "unchanged");
    assert_eq!(app.words(&one), "changed");
    assert_eq!(app.hit("1.2.3.4")["active"], true, "and said again");
    assert_eq!(app.words(&json!([{ "value": "1.2.3.4", "op": "retract" }, one[0]])), "changed changed");
    assert_eq!(app.hit("1.2.3.4")["active"], true);
    // A version of its own: an older one changes nothing, and says so.
    let dated = |day: u32, reputation: u32| json!([{ "value": "5.6.7.8", "modified": format!("2026-05-{day:02}"), "reputation": reputation }]);
    assert_eq!(app.words(&dated(20, 7)), "new");
    let older = app.push(&dated(10, 2));
    assert_eq!(older["items"][0]["status"], "unchanged");
    assert!(older["items"][0]["reason"].as_str().unwrap().contains("newer"), "{older}");
    assert_eq!(app.hit("5.6.7.8")["reputation"], 7);
}

#[test]
fn a_token_for_a_bucket_does_nothing_else() {
    let app = open(None);
    let made = app.post("/api/v1/tokens", &json!({ "name": "p", "scope": "ingest", "connection": "partner" })).json();
    assert_eq!(made["scope"], "ingest:partner");
    let token = made["token"].as_str().unwrap();
    let body = r#"{"items":[{"value":"1.2.3.4"}]}"#;
    let status = |path: &str| app.push_as(Some(token), path, &[], body).status;
    assert_eq!(status(PUSH), StatusCode::OK);
    assert_eq!(status("/api/v1/connections/other/observations"), StatusCode::FORBIDDEN);
    assert_eq!(status("/api/v1/connections/nobody/observations"), StatusCode::FORBIDDEN, "nor learns what there is");
    let get = Request::get("/api/v1/changes").header("authorization", format!("Bearer {token}"));
    assert_eq!(app.send(get.body(Body::empty()).unwrap()).status, StatusCode::FORBIDDEN);
    for (body, why) in [
        (json!({ "name": "p", "scope": "ingest" }), 400),
        (json!({ "name": "p", "scope": "read", "connection": "partner" }), 400),
        (json!({ "name": "p", "scope": "ingest", "connection": "edge" }), 409),
        (json!({ "name": "p", "scope": "ingest", "connection": "nobody" }), 404),
        (json!({ "name": "p", "scope": "ingest:partner" }), 400),
    ] {
        assert_eq!(app.post("/api/v1/tokens", &body).status.as_u16(), why, "{body}");
    }
    for (bucket, status, words) in [
        ("closed", 409, "disabled"),
        ("edge", 409, "no bucket"),
        ("manual", 409, "no bucket"),
        ("partnr", 404, "partner"),
    ] {
        let reply = app.push_as(None, &format!("/api/v1/connections/{bucket}/observations"), &[], body);
        assert_eq!(reply.status.as_u16(), status, "{bucket}");
        assert!(reply.text().contains(words), "{}", reply.text());
    }
    let csv = app.push_as(None, PUSH, &[("content-type", "text/csv")], "1.2.3.4");
    assert_eq!(csv.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    for body in ["", "{", "[]", r#"{"items":7}"#, r#"{"item":[]}"#] {
        assert_eq!(app.push_as(None, PUSH, &[], body).status, StatusCode::BAD_REQUEST, "{body}");
    }
    let audit = app.get("/api/v1/audit").text();
    assert_eq!(audit.matches("bucket.push").count(), 1, "one entry a caller and run: {audit}");
    // A bucket is no destination.
    let target = json!({ "target": [{ "name": "t", "connection": "partner", "action": "publish" }] });
    assert_eq!(app.post("/api/v1/config/apply", &target).status, StatusCode::UNPROCESSABLE_ENTITY);
}

/// A body in pieces that end anywhere.
fn pieces(text: &str, size: usize) -> Body {
    let (send, inbox) = tokio::sync::mpsc::unbounded_channel();
    for piece in text.as_bytes().chunks(size) {
        send.send(Ok::<Bytes, std::io::Error>(Bytes::copy_from_slice(piece))).unwrap();
    }
    Body::from_stream(Pieces(inbox))
}

const STREAM: &[(&str, &str)] = &[("content-type", "application/x-ndjson")];

#[test]
fn a_stream_is_answered_row_by_row() {
    let app = open(None);
    let n = 12_345;
    let mut body: String = (0..n).map(|n| format!("{{\"value\":\"45.1.{}.{}\"}}\r\n", n / 256, n % 256)).collect();
    body.push_str("\n\n{\"value\":\n");
    body.push_str(&format!("{{\"value\":\"a.example.com\",\"comment\":\"{}\"}}\n", "x".repeat(70_000)));
    body.push_str("{\"value\":\"last.example.com\"}");
    for (size, word) in [(4_099, "new"), (1 << 20, "unchanged")] {
        let reply = app.push_as(None, PUSH, STREAM, pieces(&body, size));
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        assert_eq!(reply.header("content-type"), Some("application/x-ndjson"));
        let rows: Vec<Value> = reply.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(rows.len(), n + 4);
        assert_eq!(rows[0], json!({ "status": word, "kind": "ipv4", "value": "45.1.0.0" }));
        assert!(rows[n]["reason"].as_str().unwrap().starts_with("unreadable"), "{}", rows[n]);
        assert!(rows[n + 1]["reason"].as_str().unwrap().contains("longer than 64 KiB"), "{}", rows[n + 1]);
        assert_eq!(rows[n + 2]["value"], "last.example.com");
        let totals = &rows[n + 3]["totals"];
        assert_eq!((&totals["read"], &totals[word], &totals["rejected"]), (&json!(n + 3), &json!(n + 1), &json!(2)));
    }
    let empty = app.push_as(None, PUSH, STREAM, "");
    assert_eq!(empty.ok()["totals"]["read"], 0);
}

#[test]
fn a_body_that_breaks_off_is_no_whole_one() {
    let app = open(None);
    let (send, inbox) = tokio::sync::mpsc::unbounded_channel();
    send.send(Ok(Bytes::from_static(b"{\"value\":\"1.2.3.4\"}\n{\"value\":\"1.2.3."))).unwrap();
    send.send(Err(std::io::Error::other("gone"))).unwrap();
    let keyed = [STREAM[0], ("idempotency-key", "k")];
    let reply = app.push_as(None, PUSH, &keyed, Body::from_stream(Pieces(inbox)));
    assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{}", reply.text());
    assert_eq!(app.hit("1.2.3.4"), Value::Null);
    // Its key is free for the whole body.
    let reply = app.push_as(None, PUSH, &keyed, "{\"value\":\"1.2.3.4\"}\n{\"value\":\"1.2.3.5\"}\n");
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
}

#[test]
fn the_same_request_has_the_same_answer() {
    let dir = tempfile::tempdir().unwrap();
    let first = r#"{"items":[{"value":"1.2.3.4","reputation":9}]}"#;
    let second = r#"{"items":[{"value":"1.2.3.4","reputation":2}]}"#;
    let keyed: &[(&str, &str)] = &[("idempotency-key", "order-1")];
    let answer = {
        let app = open(Some(dir.path()));
        let answer = app.push_as(None, PUSH, keyed, first);
        assert_eq!(answer.json()["items"][0]["status"], "new");
        app.push_as(None, PUSH, &[], second).ok();
        answer.text()
    };
    // After a restart too.
    let app = open(Some(dir.path()));
    let again = app.push_as(None, PUSH, keyed, first);
    assert_eq!((again.text(), again.header("idempotency-replayed")), (answer, Some("true")));
    assert_eq!(app.hit("1.2.3.4")["reputation"], 2, "the repeat has no effect");
    assert_eq!(app.push_as(None, PUSH, keyed, second).status, StatusCode::UNPROCESSABLE_ENTITY);
    // Another caller's key, and another bucket's, is another key.
    let token = app.token("admin");
    assert_eq!(app.push_as(Some(&token), PUSH, keyed, second).ok()["items"][0]["status"], "unchanged");
    let other = app.push_as(None, "/api/v1/connections/other/observations", keyed, second);
    assert_eq!(other.ok()["items"][0]["status"], "new");
    for bad in ["", &"k".repeat(256)] {
        assert_eq!(app.push_as(None, PUSH, &[("idempotency-key", bad)], first).status, StatusCode::BAD_REQUEST);
    }
    // After a day it may be used for something else.
    app.world.advance(25 * 3600);
    let later = app.push_as(None, PUSH, keyed, first);
    assert_eq!(
        (later.ok()["items"][0]["status"].clone(), later.header("idempotency-replayed")),
        (json!("changed"), None)
    );
}

#[test]
fn one_request_of_a_key_is_worked_on_and_few_of_a_bucket() {
    let app = open(None);
    let router = iocast::api::router(app.app.clone());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        use tower::ServiceExt as _;
        let mut held = Vec::new();
        let (mut keep, mut statuses) = (Vec::new(), Vec::new());
        for key in ["a", "a", "b", "c", "d", "e"] {
            let (send, inbox) = tokio::sync::mpsc::unbounded_channel();
            let (told, asked_for) = tokio::sync::oneshot::channel();
            let request =
                Request::post(PUSH).header("content-type", "application/x-ndjson").header("idempotency-key", key);
            let body = Body::from_stream(Told(Pieces(inbox), Some(told)));
            let request = iocast::api::local(request.body(body).unwrap());
            let mut answer = tokio::spawn(router.clone().oneshot(request));
            // Refused at once, or let in and asked for its body.
            tokio::select! {
                done = &mut answer => statuses.push(done.unwrap().unwrap().status().as_u16()),
                Ok(()) = asked_for => {
                    held.push(answer);
                    keep.push(send);
                }
            }
        }
        assert_eq!((held.len(), statuses), (4, vec![409, 429]));
        drop(keep);
        for answer in held {
            assert_eq!(answer.await.unwrap().unwrap().status(), StatusCode::OK);
        }
    });
}

/// A program that follows: what it holds is made of changes alone.
#[derive(Default)]
struct Follower {
    place: String,
    last: u64,
    holds: BTreeMap<String, Value>,
    n_seen: usize,
}

impl Follower {
    fn take(&mut self, answer: &Value) {
        for item in answer["items"].as_array().unwrap() {
            let revision = item["revision"].as_u64().unwrap();
            assert!(revision > self.last, "{revision} after {}", self.last);
            self.last = revision;
            self.n_seen += 1;
            let value = item["value"].as_str().unwrap().to_owned();
            if item["deleted"] == true {
                self.holds.remove(&value);
            } else {
                self.holds.insert(value, item.clone());
            }
        }
        self.place = answer["next"].as_str().unwrap().to_owned();
    }

    fn follow(&mut self, app: &TestApp, limit: usize) {
        loop {
            let since = if self.place.is_empty() { "0" } else { &self.place };
            let answer = app.get(&format!("/api/v1/changes?since={since}&limit={limit}")).ok();
            self.take(&answer);
            if answer["more"] == false {
                return;
            }
        }
    }
}

#[test]
fn a_follower_hears_of_every_change_and_removal() {
    let app = open(None);
    let items: Vec<Value> =
        (0..50).map(|n| json!({ "value": format!("45.1.1.{n}"), "expires_at": "2026-07-01" })).collect();
    app.push(&json!(items));
    let mut follower = Follower::default();
    follower.follow(&app, 7);
    assert_eq!((follower.holds.len(), follower.n_seen), (50, 50));
    assert!(!follower.place.contains('-'), "the snapshot is read: {}", follower.place);
    follower.follow(&app, 7);
    assert_eq!(follower.n_seen, 50, "nothing new");
    app.push(&json!([{ "value": "45.1.1.3", "op": "retract" }, { "value": "45.1.1.4", "reputation": 9 }]));
    follower.follow(&app, 7);
    assert_eq!(follower.n_seen, 52);
    assert_eq!(follower.holds["45.1.1.3"]["active"], false);
    assert_eq!(follower.holds["45.1.1.4"]["reputation"], 9);
    // A reader in the middle of a snapshot while all of it expires and is removed.
    let mut slow = Follower::default();
    slow.take(&app.get("/api/v1/changes?since=0&limit=20").ok());
    assert!(slow.place.contains('-'));
    app.world.advance(60 * 24 * 3600);
    let engine = app.app.engine().unwrap();
    assert_eq!(engine.prune().unwrap(), 0);
    follower.follow(&app, 100);
    let is_active = |(value, item): (&String, &Value)| (item["active"] == true).then(|| value.clone());
    let active: Vec<String> = follower.holds.iter().filter_map(is_active).collect();
    assert_eq!(active, ["45.1.1.4"], "expiry is a change; this one's end was taken back by its later word");
    app.world.advance(800 * 24 * 3600);
    assert_eq!(engine.prune().unwrap(), 50);
    for reader in [&mut follower, &mut slow] {
        reader.follow(&app, 7);
        assert!(reader.holds.is_empty(), "{:?}", reader.holds.keys());
    }
    // A new one hears nothing of what was removed before its time.
    let mut new = Follower::default();
    app.push(&json!([{ "value": "1.2.3.4" }]));
    new.follow(&app, 7);
    assert_eq!(new.n_seen, 1);
    // Removals are told for thirty days; who comes later starts over.
    let old = slow.place.clone();
    slow.follow(&app, 7);
    app.world.advance(31 * 24 * 3600);
    engine.prune().unwrap();
    assert_eq!(app.get(&format!("/api/v1/changes?since={old}")).status, StatusCode::OK, "it had heard of all of them");
    let gone = app.get("/api/v1/changes?since=60");
    assert_eq!(gone.status, StatusCode::GONE);
    assert!(gone.text().contains("since=0"), "{}", gone.text());
    assert_eq!(app.get("/api/v1/changes?since=999999").status, StatusCode::GONE, "read of another exchange");
    for wrong in ["x", "-1", "5-3", "1-2-3", "99999999999999999999"] {
        assert_eq!(app.get(&format!("/api/v1/changes?since={wrong}")).status, StatusCode::BAD_REQUEST, "{wrong}");
    }
}

#[test]
fn a_restored_copy_makes_followers_start_over() {
    let dir = tempfile::tempdir().unwrap();
    let (data, copy, back) = (dir.path().join("data"), dir.path().join("copy.db"), dir.path().join("back"));
    let app = open(Some(&data));
    app.push(&json!([{ "value": "1.2.3.4" }]));
    app.app.engine().unwrap().store().backup(&copy).unwrap();
    app.push(&json!([{ "value": "5.6.7.8" }]));
    let mut follower = Follower::default();
    follower.follow(&app, 7);
    store::restore(&copy, &back, false).unwrap();
    let restored = TestApp::with(Some(back), Vec::new());
    restored.push(&json!([{ "value": "9.9.9.9" }, { "value": "9.9.9.8" }]));
    assert_eq!(restored.get(&format!("/api/v1/changes?since={}", follower.place)).status, StatusCode::GONE);
    let mut anew = Follower::default();
    anew.follow(&restored, 1);
    assert_eq!(anew.holds.keys().collect::<Vec<_>>(), ["1.2.3.4", "9.9.9.8", "9.9.9.9"]);
}

#[test]
fn nobody_misses_a_change_while_many_write() {
    let app = open(None);
    let engine = app.app.engine().unwrap().clone();
    let done = Arc::new(AtomicBool::new(false));
    let push = |bucket: &'static str, seed: u32| {
        let engine = engine.clone();
        std::thread::spawn(move || {
            for round in 0..60_u32 {
                let row = |n: u32| {
                    let mut observation = intel::Observation::new(format!("45.{seed}.{}.1", (n * 7 + round) % 40));
                    observation.reputation = Some(i64::from((n + round) % 10 + 1));
                    let op = if (n + round).is_multiple_of(5) { engine::Op::Retract } else { engine::Op::Upsert };
                    Ok(engine::Push { op, observation })
                };
                engine.ingest(bucket, (0..10).map(row).collect(), "test").unwrap();
                if round % 10 == 3 {
                    engine.annotate(&format!("45.{seed}.1.1"), None, "test", |a| a.muted = !a.muted).unwrap();
                }
            }
        })
    };
    let writers = [push("partner", 1), push("other", 2), push("partner", 2)];
    let readers: Vec<_> = [1, 3, 1_000]
        .map(|limit| {
            let (engine, done) = (engine.clone(), done.clone());
            std::thread::spawn(move || {
                let mut holds: BTreeMap<String, Value> = BTreeMap::new();
                let (mut place, mut last) = (engine::FeedPlace::default(), 0);
                loop {
                    let is_over = done.load(Ordering::Acquire);
                    let engine::Feed::Items { items, next, more } = engine.changes(place, limit).unwrap() else {
                        panic!("gone")
                    };
                    for item in items {
                        assert!(item.place.since > last && item.place.since <= next.since);
                        last = item.place.since;
                        holds.insert(item.value, serde_json::to_value(item.hit.unwrap()).unwrap());
                    }
                    place = next;
                    if is_over && !more {
                        return holds;
                    }
                }
            })
        })
        .into();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    done.store(true, Ordering::Release);
    let (all, _) =
        engine.find("", true, index::Sort { field: index::SortField::Id, descending: false }, None, 10_000).unwrap();
    let all: BTreeMap<String, Value> =
        all.into_iter().map(|hit| (hit.value.clone(), serde_json::to_value(hit).unwrap())).collect();
    assert!(all.len() >= 80);
    for reader in readers {
        // Also the revisions: who holds an older one has missed the last change.
        assert_eq!(reader.join().unwrap(), all);
    }
}

#[test]
fn a_wait_ends_with_a_change_and_a_stream_goes_on() {
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;
    let app = open(None);
    app.push(&json!([{ "value": "1.2.3.4" }]));
    let router = iocast::api::router(app.app.clone());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let engine = app.app.engine().unwrap().clone();
    let ask = |path: &str, headers: &[(&str, &str)]| {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        router.clone().oneshot(iocast::api::local(request.body(Body::empty()).unwrap()))
    };
    let put = |value: &str| {
        let push = engine::Push { op: engine::Op::Upsert, observation: intel::Observation::new(value) };
        engine.ingest("partner", vec![Ok(push)], "test").unwrap();
    };
    runtime.block_on(async {
        let waiting = tokio::spawn(ask("/api/v1/changes?since=1&wait=60", &[]));
        let streaming = ask("/api/v1/changes?since=0", &[("accept", "text/event-stream"), ("last-event-id", "1")]);
        let response = streaming.await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        tokio::task::block_in_place(|| put("5.6.7.8"));
        let body = waiting.await.unwrap().unwrap().into_body().collect().await.unwrap().to_bytes();
        let answer: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&answer["items"][0]["value"], &answer["next"]), (&json!("5.6.7.8"), &json!("2")));
        let mut body = response.into_body();
        let mut text = String::new();
        for (value, id) in [("5.6.7.8", 2), ("9.9.9.9", 3)] {
            if id == 3 {
                tokio::task::block_in_place(|| put(value));
            }
            while !text.contains(value) {
                let frame = body.frame().await.unwrap().unwrap();
                text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
            }
            assert!(text.contains(&format!("event: change\nid: {id}\ndata: {{\"revision\":{id},")), "{text}");
        }
        assert!(!text.contains("1.2.3.4"), "what was read is not told again: {text}");
        let gone = ask("/api/v1/changes?since=99", &[("accept", "text/event-stream")]).await.unwrap();
        assert_eq!(gone.status(), StatusCode::GONE);
    });
}

/// Who is not let in any more hears nothing more, however long the stream was open.
#[test]
fn a_stream_ends_with_its_token() {
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;
    let app = open(None);
    let token = app.token("read");
    let router = iocast::api::router(app.app.clone());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let engine = app.app.engine().unwrap().clone();
    let put = |value: &str| {
        let push = engine::Push { op: engine::Op::Upsert, observation: intel::Observation::new(value) };
        engine.ingest("partner", vec![Ok(push)], "test").unwrap();
    };
    put("1.2.3.4");
    let id = engine.store().tokens().unwrap().iter().find(|token| token.name == "read").unwrap().id;
    runtime.block_on(async {
        let request = Request::get("/api/v1/changes").header("accept", "text/event-stream");
        let request = request.header("authorization", format!("Bearer {token}")).body(Body::empty()).unwrap();
        let mut body = router.clone().oneshot(request).await.unwrap().into_body();
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(std::str::from_utf8(&first).unwrap().contains("1.2.3.4"));
        tokio::task::block_in_place(|| {
            engine.store().revoke_token(id, intel::Timestamp::EPOCH).unwrap();
            put("5.6.7.8");
        });
        let rest = body.collect().await.unwrap().to_bytes();
        let text = std::str::from_utf8(&rest).unwrap();
        assert!(text.contains("401") && !text.contains("5.6.7.8"), "{text}");
    });
}

/// A push may go on for hours; what was revoked meanwhile ends it, and what was folded stays.
#[test]
fn a_push_ends_with_its_token() {
    use tower::ServiceExt as _;
    let app = open(None);
    let token = app.token("admin");
    let router = iocast::api::router(app.app.clone());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let engine = app.app.engine().unwrap().clone();
    let id = engine.store().tokens().unwrap().iter().find(|token| token.name == "admin").unwrap().id;
    let rows = |from: u32| -> String {
        (from..from + 5_000)
            .map(|n| format!("{{\"value\":\"{}\"}}\n", std::net::Ipv4Addr::from(0x0101_0101 + n)))
            .collect()
    };
    runtime.block_on(async {
        let (pieces, inbox) = tokio::sync::mpsc::unbounded_channel();
        let request = Request::post(PUSH)
            .header("content-type", "application/x-ndjson")
            .header("authorization", format!("Bearer {token}"))
            .body(Body::from_stream(Pieces(inbox)))
            .unwrap();
        let asked = tokio::spawn(router.clone().oneshot(request));
        pieces.send(Ok(Bytes::from(rows(0)))).unwrap();
        // The first batch is folded before the token goes.
        let folded = || tokio::task::block_in_place(|| engine.count("", true).unwrap());
        while folded() < 5_000 {
            tokio::task::yield_now().await;
        }
        tokio::task::block_in_place(|| engine.store().revoke_token(id, intel::Timestamp::EPOCH).unwrap());
        pieces.send(Ok(Bytes::from(rows(5_000)))).unwrap();
        drop(pieces);
        let answer = asked.await.unwrap().unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(folded(), 5_000);
    });
}

#[test]
fn a_text_is_looked_into_and_nothing_is_stored() {
    let app = open(None);
    app.push(&json!([{ "value": "1.2.3.4" }]));
    let text =
        "The actor used hxxps://evil[.]example[.]com/a, 1[.]2[.]3[.]4 and 8.8.8.8; again 1.2.3.4. Inside: 10.0.0.7.";
    let answer = app.post("/api/v1/extract", &json!({ "text": text })).ok();
    let n = |key: &str| answer[key].as_u64().unwrap();
    assert_eq!(n("read"), n("found") + n("repeated") + n("rejected"), "{answer}");
    assert_eq!((answer["format"].as_str(), n("found"), n("repeated")), (Some("extract"), 4, 1), "{answer}");
    let items = answer["items"].as_array().unwrap();
    assert_eq!(items[0]["item"]["value"], "https://evil.example.com/a");
    assert_eq!((&items[0]["known"], &items[1]["known"], &items[1]["times"]), (&json!(false), &json!(true), &json!(2)));
    assert!(items[3]["guarded"].as_str().unwrap().contains("lifeline"), "{answer}");
    assert_eq!(app.hit("https://evil.example.com/a"), Value::Null);
    // A list: what is no indicator is told with its reason. An export of ours comes back as it was.
    let list =
        app.post("/api/v1/extract", &json!({ "text": "1.1.1.9\n1.1.1.8\n1.1.1.7\nnonsense\n", "name": "a.txt" })).ok();
    assert_eq!((&list["format"], &list["rejected"]), (&json!("text"), &json!(1)), "{list}");
    assert_eq!(list["refused"][0]["text"], "nonsense");
    let hits = app.get("/api/v1/indicators").text();
    let ours = app.post("/api/v1/extract", &json!({ "text": hits })).ok();
    assert_eq!((&ours["format"], &ours["items"][0]["item"]["value"]), (&json!("items"), &json!("1.2.3.4")), "{ours}");
    let csv = app
        .post(
            "/api/v1/extract",
            &json!({ "text": "date,ip\n2026-01-01,4.4.4.1\n2026-01-02,4.4.4.2\n", "name": "x.csv" }),
        )
        .ok();
    assert_eq!((&csv["format"], &csv["found"]), (&json!("csv"), &json!(2)), "{csv}");
    let wrong = app.post("/api/v1/extract", &json!({ "text": "x", "format": "word" }));
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    // What is found can be pushed as it is.
    let items: Vec<&Value> = items.iter().map(|found| &found["item"]).collect();
    assert_eq!(app.words(&json!(items)), "new unchanged new new");
}

/// Files as they are published: told by their beginnings, read as the format has it, and by nothing else.
#[test]
fn published_files_are_known_by_their_format() {
    let app = open(None);
    let look = |path: &str, text: &str| app.post("/api/v1/extract", &json!({ "text": text, "name": path }));
    let file = |path: &str| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/feeds");
        std::fs::read_to_string(root.join(path)).unwrap()
    };
    for (path, format, found, filtered, first) in [
        ("misp-stix/tests/test_attributes_collection_stix21.json", "stix", 2, 12, "circl.lu"),
        ("misp-stix/tests/test_attributes_collection_stix20.json", "stix", 2, 7, "circl.lu"),
        ("misp-stix/tests/test_attributes_collection_stix11.xml", "stix1", 2, 2, "circl.lu"),
        ("misp-stix/tests/test_attributes_collection_2.json", "misp", 2, 0, "circl.lu"),
        // Five of its attributes are no indicators, or are said not to be: prose would take them.
        ("misp-stix/tests/test_objects_collection_1.json", "misp", 5, 5, "donald.duck@disney.com"),
        ("tweetfeed/misp/07511713-6275-5a4f-a563-5fb44b86d742.json", "misp", 45, 0, ""),
        ("openioc-mandiant/BlogPosts/4fdb0f45-8151-4941-a9e1-a31e21000659.ioc", "openioc", 8, 24, ""),
        // Everything in it is conditions that no list of values can say: there is nothing, and not what prose finds.
        ("oasis-stix-examples/examples/malicious-email-indicator-with-attachment.json", "stix", 0, 6, ""),
        ("mvt/2023-06_01_operation_triangulation/domains.txt", "text", 75, 0, ""),
        ("netskope-threatlabs/Malware/Hologram/IOCs/README.md", "extract", 51, 0, ""),
    ] {
        let answer = look(path, &file(path)).ok();
        let n = |key: &str| answer[key].as_u64().unwrap();
        assert_eq!((answer["format"].as_str(), n("found"), n("filtered")), (Some(format), found, filtered), "{path}");
        assert_eq!(n("read"), n("found") + n("repeated") + n("rejected"), "{path}");
        assert!(first.is_empty() || answer["items"][0]["item"]["value"] == first, "{path}: {answer}");
    }
    let event = look("e.json", &file("tweetfeed/misp/07511713-6275-5a4f-a563-5fb44b86d742.json")).ok();
    assert_eq!(event["items"][0]["item"]["tlp"], "clear", "{event}");
    // One that is broken is not taken for prose either, unless somebody says so.
    let path = "eset/pypi_backdoor/malicious_pypi_packages.misp-event.json";
    let broken = look(path, &file(path));
    assert!(broken.status == StatusCode::BAD_REQUEST && broken.text().contains("looks like misp"), "{}", broken.text());
    let asked = app.post("/api/v1/extract", &json!({ "text": file(path), "format": "extract" })).ok();
    assert_eq!(asked["format"], "extract");
    // What is taken back by its source is said to be, and the marking stands.
    let revoked = json!({ "type": "bundle", "id": "bundle--1", "objects": [{
        "type": "indicator", "spec_version": "2.1", "id": "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f",
        "created": "2026-01-01T00:00:00.000Z", "modified": "2026-01-01T00:00:00.000Z", "revoked": true,
        "pattern": "[domain-name:value = 'evil.example.com']", "pattern_type": "stix",
        "valid_from": "2026-01-01T00:00:00Z",
        "object_marking_refs": ["marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed"],
    }]});
    let answer = look("", &revoked.to_string()).ok();
    let item = &answer["items"][0]["item"];
    assert_eq!((&item["op"], &item["tlp"]), (&json!("retract"), &json!("red")), "{answer}");
}

/// The loop itself: what is pushed is in the list without anybody asking for it.
#[test]
fn what_is_pushed_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let world = StillWorld::new(Vec::new());
    let options = OpenOptions { world: Some(world.clone()), ..OpenOptions::at(dir.path()) };
    let app = TestApp::over(App::open(options).unwrap(), world);
    app.post("/api/v1/config/apply", &site()).ok();
    let (told, heard) = std::sync::mpsc::channel();
    app.app
        .start_runner(2, move |ended| {
            if let engine::runner::Ended::Shared(report) = ended {
                let _ = told.send(report.present);
            }
        })
        .unwrap();
    app.push(&json!([{ "value": "45.1.1.1" }]));
    while heard.recv_timeout(Duration::from_secs(20)).unwrap() == 0 {}
    app.app.stop_runner();
    let body = app.app.engine().unwrap().list("block").unwrap().body.read().unwrap();
    assert_eq!(String::from_utf8(body).unwrap(), "45.1.1.1\n");
}

/// The command: shown first, stored when told to.
#[test]
fn a_file_is_imported_when_somebody_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let run = |words: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_iocast"));
        command.args(words).current_dir(dir.path()).env_clear().stdin(std::process::Stdio::null());
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let page = "<!doctype html><p>Seen: evil[.]example[.]com and 45.1.1.1</p><script>let x = 'http://no.example.com/'</script>";
    std::fs::write(dir.path().join("Case 42.html"), page).unwrap();
    std::fs::write(dir.path().join("a.pdf"), "%PDF-1.7").unwrap();
    std::fs::write(dir.path().join("empty.txt"), "nothing here\n").unwrap();
    let (code, out, words) = run(&["indicator", "import", "Case 42.html"]);
    assert_eq!(code, Some(3), "{out}{words}");
    assert!(out.contains("evil[.]example[.]com") && !out.contains("no.example"), "{out}");
    assert!(words.contains("read as html") && words.contains("nothing is stored: say --yes"), "{words}");
    assert_eq!(run(&["indicator", "count", "", "--all"]).1, "0\n");
    let (code, out, words) = run(&[
        "indicator",
        "import",
        "Case 42.html",
        "--yes",
        "--tlp",
        "amber",
        "--tag",
        "case-42",
        "--reputation",
        "8",
    ]);
    assert_eq!(code, Some(0), "{out}{words}");
    assert!(out.contains("stored in import-case-42: 2 new, 0 changed, 0 unchanged, 0 rejected"), "{out}");
    let (_, out, _) = run(&["indicator", "find", "source = \"import-case-42\"", "--format", "json"]);
    let hits: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(hits.as_array().unwrap().len(), 2);
    for hit in hits.as_array().unwrap() {
        assert_eq!((&hit["tlp"], &hit["tags"], &hit["reputation"]), (&json!("amber"), &json!(["case-42"]), &json!(8)));
    }
    // What each source says, and taking an import back: one value, then all of it. Another bucket's word stands.
    assert_eq!(run(&["indicator", "import", "Case 42.html", "--yes", "--source", "other"]).0, Some(0));
    let (_, out, _) = run(&["indicator", "records", "evil[.]example.com", "--format", "json"]);
    let records: Value = serde_json::from_str(&out).unwrap();
    let told = |records: &Value, source: &str| {
        let mut records = records.as_array().unwrap().iter();
        records.find(|record| record["source"] == source).map(|record| record["active"] == true)
    };
    assert_eq!((told(&records, "import-case-42"), told(&records, "other")), (Some(true), Some(true)), "{out}");
    let (code, out, _) = run(&["indicator", "retract", "--source", "import-case-42", "hxxp://nobody.example.com"]);
    assert!(code == Some(3) && out.contains("1 rejected"), "{out}");
    let (code, out, _) = run(&["indicator", "retract", "--source", "import-case-42", "45[.]1.1.1"]);
    assert!(code == Some(0) && out.contains("taken back from import-case-42: 0 new, 1 changed"), "{out}");
    let (code, _, words) = run(&["indicator", "retract", "--source", "import-case-42", "--all"]);
    assert!(code == Some(3) && words.contains("nothing is taken back: say --yes"), "{words}");
    let (code, out, _) = run(&["indicator", "retract", "--source", "import-case-42", "--all", "--yes"]);
    assert!(code == Some(0) && out.contains("0 new, 1 changed"), "{out}");
    let (_, out, _) = run(&["indicator", "records", "evil.example.com", "--format", "json"]);
    let records: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((told(&records, "import-case-42"), told(&records, "other")), (Some(false), Some(true)), "{out}");
    assert_eq!(run(&["indicator", "retract", "--source", "manual", "--all", "--yes"]).0, Some(1));
    assert_eq!(run(&["indicator", "retract", "--source", "nobody", "--all", "--yes"]).0, Some(1));
    assert_eq!(run(&["indicator", "retract", "--source", "other"]).0, Some(2));
    let (_, out, _) = run(&["status", "--format", "json"]);
    let status: Value = serde_json::from_str(&out).unwrap();
    let bucket = |name: &str| status["buckets"].as_array().unwrap().iter().find(|row| row["name"] == name).cloned();
    assert!(bucket("other").unwrap()["last_push"].is_string() && bucket("manual").is_none(), "{status}");
    let (code, _, words) = run(&["indicator", "import", ".", "--yes"]);
    assert!(code == Some(1) && words.contains("name one file"), "{words}");

    let (code, _, words) = run(&["indicator", "import", "a.pdf", "--yes"]);
    assert!(code == Some(1) && words.contains("pdftotext 'a.pdf' - | iocast indicator import -"), "{words}");
    assert_eq!(run(&["indicator", "import", "empty.txt", "--yes"]).0, Some(1));
    let (code, _, words) = run(&["indicator", "import", "Case 42.html", "--yes", "--source", "manual"]);
    assert!(code == Some(1) && words.contains("no bucket"), "{words}");
    assert_eq!(run(&["indicator", "import", "Case 42.html", "--yes", "--tlp", "pink"]).0, Some(2));
}
