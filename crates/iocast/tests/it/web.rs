//! The console over the router: every page opens, on nothing and on the demo, under the policy; nobody's words become a
//! part of a page; who has not signed in is led to where one does.

use crate::support::{Reply, StillWorld, TestApp};
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use intel::Timestamp;
use iocast::api::route::Verb;
use iocast::app::{App, OpenOptions};
use iocast::demo;
use iocast::web::{POLICY, routes};
use std::sync::Arc;

fn ask(app: &TestApp, method: Method, path: &str, token: Option<&str>, form: &str) -> Reply {
    let mut request = Request::builder().method(method).uri(path).header(header::ACCEPT, "text/html");
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    app.send(request.body(Body::from(form.to_owned())).unwrap())
}

fn open(app: &TestApp, path: &str, token: &str) -> Reply {
    ask(app, Method::GET, path, Some(token), "")
}

/// The pages that need nothing in particular to be there.
fn plain() -> impl Iterator<Item = &'static iocast::api::PageRoute> {
    routes::TABLE.iter().filter(|page| page.method == Verb::Get && !page.path.contains('{'))
}

fn is_page(reply: &Reply, path: &str) {
    assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.text());
    assert_eq!(reply.header("content-security-policy"), Some(POLICY), "{path}");
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{path}");
    let html = reply.text();
    assert!(html.contains("<h1") && html.trim_end().ends_with("</html>"), "{path}");
    // Nothing is loaded from elsewhere, and nothing stands in the page that the policy forbids.
    for forbidden in ["src=\"http", "href=\"http", " style=\"", " onclick", "javascript:"] {
        assert!(!html.contains(forbidden), "{path}: {forbidden}");
    }
}

#[test]
fn every_page_opens_on_an_empty_exchange() {
    let app = TestApp::new();
    let token = app.token("admin");
    for page in plain().filter(|page| !["/", "/setup"].contains(&page.path)) {
        is_page(&open(&app, page.path, &token), page.path);
    }
}

#[test]
fn every_page_opens_on_the_demo() {
    let folder = tempfile::tempdir().unwrap();
    let clock: demo::Clock = Arc::new(|| Timestamp::from_secs(1_780_000_000));
    demo::once(folder.path(), clock, &mut Vec::new()).unwrap();
    let app = App::open(OpenOptions::at(folder.path())).unwrap();
    let app = TestApp::over(app, StillWorld::new(Vec::new()));
    let token = app.token("admin");
    for page in plain().filter(|page| !["/", "/setup"].contains(&page.path)) {
        is_page(&open(&app, page.path, &token), page.path);
    }
    let overview = open(&app, "/overview", &token).text();
    for there in ["ipsum-strong", "block-addresses", "<svg class=\"flow\""] {
        assert!(overview.contains(there), "{there}");
    }
    // From the grid to each row of its first page, and on to the next.
    let grid = open(&app, "/indicators?all=1&rows=25", &token).text();
    let links: Vec<&str> = grid.split("data-href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(links.len(), 25);
    for link in &links {
        is_page(&open(&app, link, &token), link);
    }
    let next = grid.split("rel=\"next\" href=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let next = open(&app, &next.replace("&#38;", "&").replace("&amp;", "&"), &token).text();
    assert!(
        links.iter().all(|link| !next.contains(&format!("data-href=\"{link}\""))),
        "the second page is another one"
    );
    for sort in ["value", "-reputation", "kind", "-hits"] {
        is_page(&open(&app, &format!("/indicators?sort={sort}"), &token), sort);
    }
    for path in ["/activity/runs/1", "/activity/deliveries?state=refused", "/activity?kind=pull"] {
        is_page(&open(&app, path, &token), path);
    }
}

#[test]
fn a_filter_that_cannot_be_read_is_told_where_it_can_be_mended() {
    let app = TestApp::new();
    let token = app.token("read");
    let reply = open(&app, "/indicators?q=reputation+%3E%3E+3", &token);
    assert_eq!(reply.status, StatusCode::OK);
    let html = reply.text();
    assert!(html.contains("aria-invalid=\"true\"") && html.contains("id=\"mistake\""), "{html}");
    assert!(html.contains("reputation &#62;&#62; 3") || html.contains("reputation &gt;&gt; 3"), "the filter stays");
}

#[test]
fn nobodys_words_become_a_part_of_a_page() {
    let app = TestApp::new();
    let token = app.token("admin");
    let corpus = [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "'><svg/onload=alert(1)>",
        "</title><script>alert(1)</script>",
        "{{7*7}}<iframe srcdoc=x>",
    ];
    let values: Vec<serde_json::Value> = corpus
        .iter()
        .enumerate()
        .map(|(at, text)| {
            serde_json::json!({ "value": format!("http://bad{at}.example/{text}"), "kind": "url", "tags": [text], "comment": text })
        })
        .collect();
    let request = Request::builder()
        .method(Method::POST)
        .uri("/api/v1/indicators")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(serde_json::json!({ "items": values }).to_string()))
        .unwrap();
    app.send(request).ok();
    let grid = open(&app, "/indicators?col=tags&col=comment&all=1", &token).text();
    let links: Vec<String> =
        grid.split("data-href=\"").skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect();
    assert_eq!(links.len(), corpus.len(), "{grid}");
    let mut pages = vec![grid];
    pages.extend(links.iter().map(|link| open(&app, link, &token).text()));
    let escaped: String =
        corpus.iter().map(|text| text.bytes().map(|b| format!("%{b:02X}")).collect::<String>()).collect();
    for path in ["/indicators?q=", "/activity?subject=", "/sign-in?next=", "/activity/deliveries?target="] {
        pages.push(open(&app, &format!("{path}{escaped}"), &token).text());
    }
    for page in &pages {
        for live in ["<script>alert", "<img src=x", "<svg/onload", "<iframe"] {
            assert!(!page.contains(live), "{live} in {page}");
        }
    }
    // Detail pages show them all the same.
    assert!(pages.iter().any(|page| page.contains("alert(1)")));
}

#[test]
fn who_has_not_signed_in_is_led_to_where_one_does_and_who_may_not_is_told() {
    let app = TestApp::new();
    let read = app.token("read");
    for page in routes::TABLE.iter().filter(|page| page.needs != iocast::api::route::Needs::Nothing) {
        let path = page.path.replace("{kind}", "domain").replace("{value}", "bad.example").replace("{id}", "1");
        let method = if page.method == Verb::Get { Method::GET } else { Method::POST };
        let reply = ask(&app, method.clone(), &path, None, "");
        assert_eq!(reply.status, StatusCode::SEE_OTHER, "{path}");
        assert!(reply.header("location").unwrap().starts_with("/sign-in"), "{path}");
        let reply = ask(&app, method, &path, Some(&read), "");
        let may = page.needs == iocast::api::route::Needs::Read;
        assert_eq!(reply.status == StatusCode::FORBIDDEN, !may, "{path}: {}", reply.status);
    }
    assert_eq!(open(&app, "/", &read).header("location"), Some("/overview"));
    // Where one is led to afterwards is a path of this exchange.
    let login = ask(&app, Method::GET, "/sign-in?next=//elsewhere.example/", None, "").text();
    assert!(!login.contains("elsewhere.example"), "{login}");
}

#[test]
fn what_another_sites_page_sends_is_refused() {
    let app = TestApp::new();
    let token = app.token("admin");
    let request = Request::builder()
        .method(Method::POST)
        .uri("/freeze")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header("sec-fetch-site", "cross-site")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from("note=x"))
        .unwrap();
    assert_eq!(app.send(request).status, StatusCode::FORBIDDEN);
    let reply = ask(&app, Method::POST, "/freeze", Some(&token), "note=%3Cb%3Equiet");
    assert_eq!((reply.status, reply.header("location")), (StatusCode::SEE_OTHER, Some("/overview?done=frozen")));
    let overview = open(&app, "/overview", &token).text();
    assert!(overview.contains("Frozen") && overview.contains("quiet") && !overview.contains("<b>quiet"), "{overview}");
    assert_eq!(ask(&app, Method::POST, "/thaw", Some(&token), "").status, StatusCode::SEE_OTHER);
}

#[test]
fn a_verdict_and_a_note_are_said_from_the_page_of_an_indicator() {
    let app = TestApp::new();
    let token = app.token("admin");
    let request = Request::builder()
        .method(Method::POST)
        .uri("/api/v1/indicators")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(r#"{"items": [{"value": "bad.example", "reputation": 9}]}"#))
        .unwrap();
    app.send(request).ok();
    let page = "/indicators/domain/bad.example";
    let reply = ask(&app, Method::POST, &format!("{page}/verdict"), Some(&token), "verdict=safe");
    assert_eq!(reply.header("location"), Some("/indicators/domain/bad.example?done=judged"));
    let reply = ask(&app, Method::POST, &format!("{page}/note"), Some(&token), "add=lab%2C+ours&comment=seen");
    assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.text());
    let html = open(&app, page, &token).text();
    for there in ["bad[.]example", "safe", "<span class=\"tag\">lab</span>", "seen"] {
        assert!(html.contains(there), "{there} in {html}");
    }
    assert!(!html.contains(">bad.example<"), "no value stands as it is");
    let missing = open(&app, "/indicators/nonsense/x", &token);
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert!(missing.text().contains("</html>"));
}

#[test]
fn files_are_kept_for_ever_under_their_digest() {
    let app = TestApp::new();
    let login = ask(&app, Method::GET, "/sign-in", None, "").text();
    let css = login.split("stylesheet\" href=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let reply = ask(&app, Method::GET, css, None, "");
    assert_eq!(reply.status, StatusCode::OK);
    assert!(reply.header("cache-control").unwrap().contains("immutable"));
    assert_eq!(ask(&app, Method::GET, "/static/0000000000000000/console.css", None, "").status, StatusCode::NOT_FOUND);
}
