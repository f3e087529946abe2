//! The console over the router: every page opens, on nothing and on the demo, under the policy; nobody's words become a
//! part of a page; who has not signed in is led to where one does.

use crate::people::{self, Browser, person};
use crate::support::{Reply, StillWorld, TestApp};
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use intel::Timestamp;
use iocast::api::route::Verb;
use iocast::app::{App, OpenOptions};
use iocast::demo;
use iocast::people::roles::{Needs, Role, Roles, allows};
use iocast::web::{POLICY, routes};
use std::sync::Arc;

pub(crate) fn ask(app: &TestApp, method: Method, path: &str, token: Option<&str>, form: &str) -> Reply {
    let mut request = Request::builder().method(method).uri(path).header(header::ACCEPT, "text/html");
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    app.send(request.body(Body::from(form.to_owned())).unwrap())
}

pub(crate) fn open(app: &TestApp, path: &str, token: &str) -> Reply {
    ask(app, Method::GET, path, Some(token), "")
}

/// What leads on to another page, or is a person's own.
const IS_ELSEWHERE: [&str; 8] =
    ["/", "/setup", "/sign-in", "/account", "/live", BEGIN, "/sharing/test", "/sharing/test.csv"];
const BEGIN: &str = "/configure/connection";

/// The pages that need nothing in particular to be there.
fn plain() -> impl Iterator<Item = &'static iocast::api::PageRoute> {
    routes::TABLE.iter().filter(|page| page.method == Verb::Get && !page.path.contains('{'))
}

pub(crate) fn is_page(reply: &Reply, path: &str) {
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
    for page in plain().filter(|page| !IS_ELSEWHERE.contains(&page.path)) {
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
    for page in plain().filter(|page| !IS_ELSEWHERE.contains(&page.path)) {
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
    person(&app, "ada", &["viewer"]);
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
    for page in routes::TABLE.iter().filter(|page| page.needs != Needs::Nothing) {
        let path = page.path.replace("{kind}", "domain").replace("{value}", "bad.example").replace("{id}", "1");
        let path = path.replace("{format}", "csv");
        let path = path.replace("{name}", "x");
        let method = if page.method == Verb::Get { Method::GET } else { Method::POST };
        let reply = ask(&app, method.clone(), &path, None, "");
        assert_eq!(reply.status, StatusCode::SEE_OTHER, "{path}");
        assert!(reply.header("location").unwrap().starts_with("/sign-in"), "{path}");
        let reply = ask(&app, method, &path, Some(&read), "");
        let may = page.needs == Needs::Read;
        assert_eq!(reply.status == StatusCode::FORBIDDEN, !may, "{path}: {}", reply.status);
    }
    assert_eq!(open(&app, "/", &read).header("location"), Some("/overview"));
    // Where one is led to afterwards is a path of this exchange.
    person(&app, "ada", &["viewer"]);
    assert_eq!(ask(&app, Method::GET, "/setup", None, "").header("location"), Some("/sign-in"), "it is set up");
    is_page(&ask(&app, Method::GET, "/sign-in", None, ""), "/sign-in");
    let login = ask(&app, Method::GET, "/sign-in?next=//elsewhere.example/", None, "").text();
    assert!(!login.contains("elsewhere.example"), "{login}");
}

#[test]
fn what_another_sites_page_sends_is_refused() {
    let app = TestApp::new();
    let token = app.token("admin");
    let ada = person(&app, "ada", &["operator"]);
    for (path, cookie) in [("/freeze", ada.cookie.as_deref()), ("/sign-in", None), ("/theme", None)] {
        let request = Request::post(path).header("sec-fetch-site", "cross-site");
        let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let request = cookie.into_iter().fold(request, |request, cookie| request.header(header::COOKIE, cookie));
        let form = format!("note=x&csrf={}", ada.csrf);
        assert_eq!(app.send(request.body(Body::from(form)).unwrap()).status, StatusCode::FORBIDDEN, "{path}");
    }
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
    for there in ["bad[.]example", "safe", "<span class=\"tag\">lab<", "seen"] {
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
    let login = ask(&app, Method::GET, "/setup", None, "").text();
    let css = login.split("stylesheet\" href=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let reply = ask(&app, Method::GET, css, None, "");
    assert_eq!(reply.status, StatusCode::OK);
    assert!(reply.header("cache-control").unwrap().contains("immutable"));
    assert_eq!(ask(&app, Method::GET, "/static/0000000000000000/console.css", None, "").status, StatusCode::NOT_FOUND);
}

/// A form as a browser sends it from a page of ours.
pub(crate) fn send(browser: &Browser, app: &TestApp, path: &str, form: &str) -> Reply {
    let mut request = Request::post(path).header("host", "iocast.example").header("sec-fetch-site", "same-origin");
    request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    if let Some(cookie) = &browser.cookie {
        request = request.header(header::COOKIE, cookie);
    }
    browser.send(app, request.body(Body::from(form.to_owned())).unwrap())
}

/// What the table says that an address needs.
fn needs_of(method: Verb, path: &str) -> Option<Needs> {
    let fits = |pattern: &str| {
        let (mut pattern, mut parts) = (pattern.split('/'), path.split('/'));
        loop {
            match (pattern.next(), parts.next()) {
                (None, None) => return true,
                (Some(one), Some(part)) if one.starts_with('{') || one == part => {}
                _ => return false,
            }
        }
    };
    routes::TABLE.iter().find(|page| page.method == method && fits(page.path)).map(|page| page.needs)
}

#[test]
fn each_role_opens_its_pages_and_is_offered_nothing_that_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let clock: demo::Clock = Arc::new(|| Timestamp::from_secs(1_780_000_000));
    demo::once(folder.path(), clock, &mut Vec::new()).unwrap();
    let app = App::open(OpenOptions::at(folder.path())).unwrap();
    let app = TestApp::over(app, StillWorld::new(Vec::new()));
    let token = app.token("admin");
    let of_list = |list: &str| {
        let html = open(&app, list, &token).text();
        html.split("data-href=\"").nth(1).and_then(|rest| rest.split('"').next()).map(str::to_owned)
    };
    let firsts = ["/indicators?all=1", "/plans", "/rules", "/connections", "/sharing", "/targets"].map(of_list);
    let mut seen = 0;
    for role in Role::ALL {
        let browser = person(&app, &format!("a-{}", role.as_str()), &[role.as_str()]);
        let may = |needs: Needs| matches!(needs, Needs::Nothing | Needs::Session) || allows(Roles::of(&[role]), needs);
        for page in plain().filter(|page| page.needs != Needs::Nothing) {
            let status = browser.get(&app, page.path).status;
            assert_eq!(status != StatusCode::FORBIDDEN, may(page.needs), "{role:?} {}: {status}", page.path);
        }
        let pages =
            plain().filter(|page| page.needs != Needs::Nothing && may(page.needs)).map(|page| page.path.to_owned());
        for path in pages.chain(firsts.iter().flatten().cloned()).chain(["/activity/runs/1".to_owned()]) {
            let html = browser.get(&app, &path).text();
            for form in
                html.split("<form").skip(1).filter(|form| form.split('>').next().unwrap().contains("method=\"post\""))
            {
                let form = form.split("</form>").next().unwrap();
                // What is shown to be read only is no offer.
                if form.contains("<fieldset class=\"stack plain\" disabled") {
                    continue;
                }
                for offered in form.split("action=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
                    let needs = needs_of(Verb::Post, offered).unwrap_or_else(|| panic!("{path}: no page {offered}"));
                    assert!(may(needs), "{role:?} is offered {offered} on {path}");
                    seen += 1;
                }
                assert!(form.contains(&format!("name=\"csrf\" value=\"{}\"", browser.csrf)), "{path}: {form}");
            }
            for link in html.split("href=\"/").skip(1).filter_map(|rest| rest.split(['"', '?']).next()) {
                let is_file = link.starts_with("static/") || link.starts_with("api/");
                let needs = needs_of(Verb::Get, &format!("/{link}"));
                assert!(is_file || needs.is_some_and(may), "{role:?} is led to /{link} on {path}");
            }
        }
    }
    assert!(seen > 200, "{seen}");
    // And is refused it when they ask all the same.
    for role in Role::ALL {
        let browser = person(&app, &format!("b-{}", role.as_str()), &[role.as_str()]);
        for page in routes::TABLE.iter().filter(|page| page.method == Verb::Post && page.needs != Needs::Session) {
            let path = page.path.replace("{kind}", "domain").replace("{value}", "x.example").replace("{id}", "9999");
            let path = path.replace("{name}", "x");
            let may = page.needs == Needs::Nothing || allows(Roles::of(&[role]), page.needs);
            let reply = send(&browser, &app, &path, &format!("csrf={}", browser.csrf));
            assert_eq!(reply.status != StatusCode::FORBIDDEN, may, "{role:?} {path}: {}", reply.text());
        }
    }
}

#[test]
fn one_signs_in_and_out_by_forms_and_each_form_carries_its_token() {
    let app = TestApp::new();
    let mut browser = person(&app, "ada", &["operator"]);
    let (secret, _) = people::enrol(&app, &browser);
    let next = "next=%2Frules";
    let stranger = Browser::at("192.0.2.7");
    let wrong = send(&stranger, &app, "/sign-in", &format!("{next}&name=ada&password=wrong"));
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert!(wrong.text().contains("role=\"alert\"") && wrong.text().contains("value=\"ada\""), "{}", wrong.text());
    let password = people::PASSWORD.replace(' ', "+");
    let asked = send(&stranger, &app, "/sign-in", &format!("{next}&name=ada&password={password}")).text();
    let ticket = asked.split("name=\"ticket\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    app.world.advance(60);
    let code = people::code(&app, &secret);
    let reply = send(&stranger, &app, "/sign-in/code", &format!("{next}&ticket={ticket}&code={code}"));
    assert_eq!((reply.status, reply.header("location")), (StatusCode::SEE_OTHER, Some("/rules")), "{}", reply.text());
    browser.cookie = Some(reply.header("set-cookie").unwrap().split(';').next().unwrap().to_owned());
    let rules = browser.get(&app, "/rules").text();
    browser.csrf =
        rules.split("name=\"csrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap().to_owned();
    assert_eq!(browser.csrf.len(), 64);
    assert!(rules.contains("operator"), "it says what one is");
    for form in ["note=x", "note=x&csrf=", &format!("note=x&csrf={}", "ab".repeat(32))] {
        assert_eq!(send(&browser, &app, "/freeze", form).status, StatusCode::FORBIDDEN, "{form}");
    }
    let reply = send(&browser, &app, "/freeze", &format!("note=x&csrf={}", browser.csrf));
    assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.text());
    let out = send(&browser, &app, "/sign-out", &format!("csrf={}", browser.csrf));
    assert_eq!(out.header("location"), Some("/sign-in"));
    assert!(out.header("set-cookie").unwrap().contains("Max-Age=0"));
    let after = browser.get(&app, "/rules?x=1");
    assert_eq!(after.header("location"), Some("/sign-in?next=%2Frules%3Fx%3D1"));
}

#[test]
fn who_must_set_a_password_first_does_it_in_the_console_and_enrols_there() {
    let app = TestApp::new();
    let made = app.post("/api/v1/users", &serde_json::json!({ "name": "bob", "roles": ["operator"] })).json();
    let first = made["password"].as_str().unwrap().to_owned();
    let mut browser = Browser::default();
    let enter = |browser: &mut Browser, reply: &Reply| {
        browser.cookie = Some(reply.header("set-cookie").unwrap().split(';').next().unwrap().to_owned());
        let html = browser.get(&app, "/account").text();
        let csrf = html.split("name=\"csrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
        csrf.unwrap_or_else(|| panic!("{html}")).clone_into(&mut browser.csrf);
        html
    };
    let reply = send(&browser, &app, "/sign-in", &format!("next=%2Frules&name=bob&password={first}"));
    assert_eq!(reply.header("location"), Some("/account"), "{}", reply.text());
    let html = enter(&mut browser, &reply);
    assert!(html.contains("set one of your own"), "{html}");
    assert_eq!(browser.get(&app, "/rules").status, StatusCode::FORBIDDEN);
    let new = people::PASSWORD.replace(' ', "+");
    let form = |new: &str, again: &str| format!("csrf={}&old={first}&new={new}&again={again}", browser.csrf);
    let wrong = send(&browser, &app, "/account/password", &form(&new, "another"));
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    assert!(wrong.text().contains("not the same"), "{}", wrong.text());
    let reply = send(&browser, &app, "/account/password", &form(&new, &new));
    assert_eq!(reply.header("location"), Some("/account?done=saved"), "{}", reply.text());
    let html = enter(&mut browser, &reply);
    assert!(!html.contains("set one of your own"), "{html}");
    is_page(&browser.get(&app, "/rules"), "/rules");
    let form = format!("csrf={}&password={new}", browser.csrf);
    let html = send(&browser, &app, "/account/second-factor", &form).text();
    let secret = html.split("tabindex=\"0\" class=\"wrap\">").nth(1).and_then(|rest| rest.split('<').next()).unwrap();
    assert!(html.contains("href=\"otpauth://totp/"), "{html}");
    let wrong = send(&browser, &app, "/account/second-factor/confirm", &format!("csrf={}&code=abc", browser.csrf));
    assert!(wrong.status.is_client_error() && wrong.text().contains("role=\"alert\""), "{}", wrong.text());
    let form = format!("csrf={}&code={}", browser.csrf, people::code(&app, secret));
    let done = send(&browser, &app, "/account/second-factor/confirm", &form);
    assert!(done.text().contains("Keep these codes on paper"), "{}", done.text());
}
