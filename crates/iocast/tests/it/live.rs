//! Pages that are kept up to date: what the stream tells, to whom, for how long, and how many at once. Time is virtual.

use crate::people::{Browser, person};
use crate::support::TestApp;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use std::time::Duration;
use tower::ServiceExt as _;

/// A time that passes at once where everybody waits.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

fn follow(who: &Browser, path: &str) -> Request<Body> {
    let request = Request::get(path).header("accept", "text/event-stream").header("sec-fetch-site", "same-origin");
    request.header("cookie", who.cookie.as_deref().unwrap()).body(Body::empty()).unwrap()
}

/// Reads on until this was told, or to the end.
async fn until(body: &mut Body, words: &str) -> String {
    let mut text = String::new();
    while !text.contains(words) {
        let Some(frame) = body.frame().await else { break };
        text.push_str(std::str::from_utf8(frame.unwrap().data_ref().unwrap()).unwrap());
    }
    text
}

fn add(app: &TestApp, value: &str) {
    let new = engine::NewIndicator { value: value.to_owned(), ..engine::NewIndicator::default() };
    app.app.engine().unwrap().add(&[new], "test").unwrap();
}

/// What a page was made with, as its address of the stream says.
fn seen(app: &TestApp, who: &Browser) -> String {
    let html = who.get(app, "/overview").text();
    let at = html.split("sse-connect=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    at.to_owned()
}

#[test]
fn a_page_hears_of_what_changed_since_it_was_made_and_of_what_changes_then() {
    let app = TestApp::new();
    let ada = person(&app, "ada", &["viewer"]);
    let router = iocast::api::router(app.app.clone());
    let address = seen(&app, &ada);
    runtime().block_on(async {
        let response = router.clone().oneshot(follow(&ada, &address)).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut body = response.into_body();
        let first = until(&mut body, "alive").await;
        assert!(first.starts_with("retry: ") && !first.contains("event:"), "nothing has changed: {first}");
        add(&app, "one.bad-example.com");
        let told = until(&mut body, "event: overview").await;
        assert!(told.contains("event: overview\nid: "), "{told}");
        let id = told.split("id: ").nth(1).and_then(|rest| rest.lines().next()).unwrap().to_owned();
        drop(body);
        // Between the page and its connecting, and between two connections, nothing is missed.
        add(&app, "two.bad-example.com");
        for (from, is_told) in [(address.clone(), true), (seen_path(&id), true)] {
            let mut body = router.clone().oneshot(follow(&ada, &from)).await.unwrap().into_body();
            let text = until(&mut body, "\n\n").await;
            assert_eq!(text.contains("event: overview"), is_told, "{from}: {text}");
        }
        let mut request = follow(&ada, &address);
        let latest = iocast_tag(&router, &ada).await;
        request.headers_mut().insert("last-event-id", latest.parse().unwrap());
        let mut body = router.clone().oneshot(request).await.unwrap().into_body();
        let text = until(&mut body, "alive").await;
        assert!(!text.contains("event:"), "what was told last counts more than the address: {text}");
    });
}

fn seen_path(tag: &str) -> String {
    format!("/live?seen={tag}")
}

/// How things are, as a page that is made now says.
async fn iocast_tag(router: &axum::Router, who: &Browser) -> String {
    let request = Request::get("/plans").header("cookie", who.cookie.as_deref().unwrap()).body(Body::empty()).unwrap();
    let body = router.clone().oneshot(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    let html = String::from_utf8_lossy(&body).into_owned();
    html.split("sse-connect=\"/live?seen=").nth(1).and_then(|rest| rest.split('"').next()).unwrap().to_owned()
}

#[test]
fn the_stream_ends_with_the_session_and_with_the_right_to_read() {
    let app = TestApp::new();
    let store = app.app.engine().unwrap().store();
    for (name, end) in [("ada", "session"), ("bob", "person"), ("cyd", "idle")] {
        let who = person(&app, name, &["viewer"]);
        let router = iocast::api::router(app.app.clone());
        runtime().block_on(async {
            let mut body = router.oneshot(follow(&who, "/live")).await.unwrap().into_body();
            until(&mut body, "alive").await;
            match end {
                "session" => store.sessions(None).unwrap().iter().for_each(|session| {
                    store.end_session(session.id, None, engine::World::now(&*app.world)).unwrap();
                }),
                "person" => app.world.advance(12 * 3600 + 1),
                // Nobody was there: keeping a page up to date is no use of a session.
                _ => app.world.advance(30 * 60 + 1),
            }
            let rest = until(&mut body, "event: never").await;
            assert!(rest.ends_with("event: end\ndata: over\n\n"), "{end}: {rest}");
        });
    }
}

#[test]
fn a_page_that_asks_for_itself_keeps_no_session_alive() {
    let app = TestApp::new();
    let ada = person(&app, "ada", &["viewer"]);
    let store = app.app.engine().unwrap().store();
    let last_seen = || store.sessions(None).unwrap()[0].last_seen;
    let at = last_seen();
    app.world.advance(120);
    let request = Request::get("/overview").header("cookie", ada.cookie.as_deref().unwrap()).header("x-live", "1");
    assert_eq!(ada.send(&app, request.body(Body::empty()).unwrap()).status, StatusCode::OK);
    assert_eq!(last_seen(), at, "nobody was there");
    assert_eq!(ada.get(&app, "/overview").status, StatusCode::OK);
    assert!(last_seen() > at, "somebody was there");
}

#[test]
fn somebody_follows_from_so_many_pages_and_who_does_not_read_is_dropped() {
    let app = TestApp::new();
    let (ada, bob) = (person(&app, "ada", &["viewer"]), person(&app, "bob", &["viewer"]));
    let router = iocast::api::router(app.app.clone());
    let open = |who: &Browser| router.clone().oneshot(follow(who, "/live"));
    runtime().block_on(async {
        let mut held = Vec::new();
        for _ in 0..4 {
            let response = open(&ada).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            held.push(response.into_body());
        }
        let fifth = open(&ada).await.unwrap();
        assert!(fifth.status().is_client_error() || fifth.status().is_server_error(), "{}", fifth.status());
        assert_eq!(open(&bob).await.unwrap().status(), StatusCode::OK, "others are not kept out");
        // Whoever goes on to another page gives the place back at once, long before the next sign of life.
        drop(held.pop());
        tokio::task::yield_now().await;
        let next = open(&ada).await.unwrap();
        assert_eq!(next.status(), StatusCode::OK, "one page was left, another one is opened");
        held.push(next.into_body());
        // Nobody reads: at the second piece they are waited for, and given up.
        let mut clock = tokio::time::interval(Duration::from_secs(120));
        clock.tick().await;
        clock.tick().await;
        assert_eq!(open(&ada).await.unwrap().status(), StatusCode::OK, "their places are free again");
        let mut left = held.pop().unwrap();
        let text = until(&mut left, "event: never").await;
        assert!(text.len() < 200, "nothing was kept for them: {text}");
    });
}

#[test]
fn it_is_for_scripts_of_pages_and_for_who_may_read() {
    let app = TestApp::new();
    let ada = person(&app, "ada", &["viewer"]);
    assert_eq!(ada.get(&app, "/live").status, StatusCode::NOT_ACCEPTABLE);
    let request = Request::get("/live").header("accept", "text/event-stream").body(Body::empty()).unwrap();
    assert_eq!(app.send(request).status, StatusCode::SEE_OTHER, "who has not signed in is led to where one does");
}

#[test]
fn pages_lose_nothing_without_scripts() {
    let app = TestApp::new();
    let ada = person(&app, "ada", &["viewer"]);
    for (path, event) in [("/overview", "sse:overview"), ("/activity", "sse:activity"), ("/plans", "sse:plans")] {
        let html = ada.get(&app, path).text();
        let live = html.split(" id=\"live\"").nth(1).and_then(|rest| rest.split('>').next()).unwrap();
        assert!(live.contains(&format!("hx-get=\"{path}\"")) && live.contains(event), "{path}: {live}");
        assert!(html.contains("sse-close=\"end\""), "{path}");
    }
    // A page of what was earlier stays what it is.
    let html = ada.get(&app, "/activity?before=99").text();
    assert!(!html.contains("sse:activity"), "{html}");
}
