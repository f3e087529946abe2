//! The settings in the console: what is posted changes what it should, mistakes are said where they are mended, and what
//! is shown once is shown once.

use crate::people::{self, Browser, person};
use crate::support::{Reply, TestApp};
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use serde_json::{Value, json};

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// A form as a browser sends it from a page of ours.
fn post(browser: &Browser, app: &TestApp, path: &str, pairs: &[(&str, &str)]) -> Reply {
    let csrf = [("csrf", browser.csrf.as_str())];
    let all = csrf.iter().chain(pairs).map(|(key, value)| format!("{}={}", encoded(key), encoded(value)));
    let body = all.collect::<Vec<_>>().join("&");
    let request = Request::post(path).header("host", "iocast.example").header("sec-fetch-site", "same-origin");
    let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let request = browser.cookie.iter().fold(request, |request, cookie| request.header(header::COOKIE, cookie));
    browser.send(app, request.body(Body::from(body)).unwrap())
}

#[track_caller]
fn led_to(reply: &Reply, to: &str) {
    assert_eq!((reply.status, reply.header("location")), (StatusCode::SEE_OTHER, Some(to)), "{}", reply.text());
}

/// What stands between two texts of a page.
#[track_caller]
fn between(page: &str, from: &str, to: &str) -> String {
    let (_, rest) = page.split_once(from).unwrap_or_else(|| panic!("no {from:?} in {page}"));
    rest.split(to).next().unwrap().to_owned()
}

/// The page says so, and to whoever does not see it too.
#[track_caller]
fn complains(reply: &Reply, words: &str) {
    assert!(reply.status.is_client_error(), "{}: {}", reply.status, reply.text());
    let text = reply.text();
    assert!(text.contains("role=\"alert\"") && text.contains(words), "{words}: {text}");
}

fn id_of(app: &TestApp, name: &str) -> u64 {
    let users = app.get("/api/v1/users").ok();
    let one = users.as_array().unwrap().iter().find(|user| user["name"] == name);
    one.unwrap_or_else(|| panic!("{users}"))["id"].as_u64().unwrap()
}

fn last_audit(app: &TestApp) -> Value {
    app.get("/api/v1/audit?limit=1").ok()[0].clone()
}

#[test]
fn people_are_made_changed_and_shut_out_in_the_console() {
    let app = TestApp::new();
    let ada = person(&app, "ada", &["administrator"]);
    let wrong =
        post(&ada, &app, "/settings/users", &[("name", "grace"), ("role", "approver"), ("role", "administrator")]);
    complains(&wrong, "administrator may not approve");
    assert!(wrong.text().contains("value=\"grace\""), "what was typed stays");
    assert!(wrong.text().contains("value=\"approver\" checked"), "what was ticked stays");
    complains(&post(&ada, &app, "/settings/users", &[("name", "gr ace"), ("role", "viewer")]), "letters, digits");
    let made = post(&ada, &app, "/settings/users", &[("name", "grace"), ("role", "analyst"), ("role", "approver")]);
    assert_eq!(made.status, StatusCode::OK, "{}", made.text());
    let password = between(&made.text(), "<p class=\"secret\"><code>", "<");
    let id = id_of(&app, "grace");
    let page = format!("/settings/users/{id}");
    let seen = [ada.get(&app, "/settings/users").text(), ada.get(&app, &page).text()];
    assert!(seen.iter().all(|html| !html.contains(&password)), "it is shown once");
    assert!(seen[0].contains("analyst, approver") && seen[0].contains("first password"), "{}", seen[0]);
    let grace = Browser::default();
    let signed_in = post(&grace, &app, "/sign-in", &[("name", "grace"), ("password", &password)]);
    led_to(&signed_in, "/account");

    led_to(&post(&ada, &app, &format!("{page}/roles"), &[("role", "viewer")]), &format!("{page}?done=saved"));
    assert_eq!(app.get("/api/v1/users/grace").ok()["roles"], json!(["viewer"]));
    complains(&post(&ada, &app, &format!("{page}/roles"), &[]), "at least one");
    led_to(&post(&ada, &app, &format!("{page}/sign-out"), &[]), &format!("{page}?done=signed-out"));
    assert_eq!(last_audit(&app)["action"], "user.sign_out");
    let sessions = app.get("/api/v1/sessions").ok();
    assert!(sessions.as_array().unwrap().iter().all(|session| session["user"] == "ada"), "{sessions}");
    led_to(&post(&ada, &app, &format!("{page}/disable"), &[]), &format!("{page}?done=disabled"));
    assert!(app.get("/api/v1/users/grace").ok()["disabled"].is_string());
    assert!(ada.get(&app, &page).text().contains("Let them sign in again"));
    led_to(&post(&ada, &app, &format!("{page}/enable"), &[]), &format!("{page}?done=enabled"));
    assert!(app.get("/api/v1/users/grace").ok()["disabled"].is_null());
    let again = post(&ada, &app, &format!("{page}/reset"), &[("second_factor", "on")]);
    assert_ne!(between(&again.text(), "<p class=\"secret\"><code>", "<"), password);
    assert_eq!(last_audit(&app)["detail"], json!({ "second_factor": true }));
    led_to(&post(&ada, &app, &format!("{page}/delete"), &[]), "/settings/users?done=deleted");
    assert_eq!(app.get("/api/v1/users/grace").status, StatusCode::NOT_FOUND);
    // Nobody does it to themselves, and the page offers it to nobody.
    let own = format!("/settings/users/{}", id_of(&app, "ada"));
    let html = ada.get(&app, &own).text();
    assert!(html.contains("This is you") && !html.contains(&format!("{own}/disable")), "{html}");
    complains(&post(&ada, &app, &format!("{own}/disable"), &[]), "their own account");
    assert_eq!(ada.get(&app, "/settings/users/4711").status, StatusCode::NOT_FOUND);
}

#[test]
fn sessions_are_seen_and_ended_by_who_has_them_and_by_who_manages_people() {
    let app = TestApp::new();
    let ada = person(&app, "ada", &["administrator"]);
    let bob = person(&app, "bob", &["viewer"]);
    let password = people::PASSWORD;
    let mut phone = Browser::at("192.0.2.44");
    let reply = post(&phone, &app, "/sign-in", &[("name", "bob"), ("password", password)]);
    phone.cookie = Some(reply.header("set-cookie").unwrap().split(';').next().unwrap().to_owned());
    let html = bob.get(&app, "/account").text();
    assert!(html.contains("192.0.2.44") && html.contains("this one") && html.contains("Sign out everywhere else"));
    let id = between(&html, "action=\"/account/sessions/end\"", "</form>");
    let id = between(&id, "name=\"id\" value=\"", "\"");
    // Whose session it is not does not end it from there.
    let hers = app.get("/api/v1/sessions").ok();
    let hers = hers.as_array().unwrap().iter().find(|session| session["user"] == "ada").unwrap()["id"].to_string();
    assert_eq!(post(&bob, &app, "/account/sessions/end", &[("id", &hers)]).status, StatusCode::NOT_FOUND);
    assert_eq!(post(&bob, &app, "/settings/sessions/end", &[("id", &hers)]).status, StatusCode::FORBIDDEN);
    let ended = post(&bob, &app, "/account/sessions/end", &[("id", &id), ("next", "/account")]);
    led_to(&ended, "/account?done=session-ended");
    assert_eq!(phone.get(&app, "/overview").status, StatusCode::SEE_OTHER, "it has ended");
    assert_eq!(bob.get(&app, "/overview").status, StatusCode::OK);
    for _ in 0..2 {
        post(&phone, &app, "/sign-in", &[("name", "bob"), ("password", password)]);
    }
    led_to(&post(&bob, &app, "/account/sessions/others", &[]), "/account?done=signed-out-elsewhere");
    let count = |name: &str| {
        let all = app.get("/api/v1/sessions").ok();
        all.as_array().unwrap().iter().filter(|session| session["user"] == name).count()
    };
    assert_eq!((count("bob"), count("ada")), (1, 1));
    assert_eq!(bob.get(&app, "/overview").status, StatusCode::OK, "this one goes on");
    let html = ada.get(&app, "/settings/users").text();
    let his = html.split("<tr>").find(|row| row.contains("<td class=\"wrap\">bob")).unwrap();
    let id = between(his, "name=\"id\" value=\"", "\"");
    led_to(
        &post(&ada, &app, "/settings/sessions/end", &[("id", &id), ("next", "/settings/users")]),
        "/settings/users?done=session-ended",
    );
    assert_eq!(bob.get(&app, "/overview").status, StatusCode::SEE_OTHER);
}

#[test]
fn tokens_are_made_shown_once_and_revoked_in_the_console() {
    let app = TestApp::new();
    let ada = person(&app, "ada", &["operator"]);
    let bob = person(&app, "bob", &["viewer"]);
    complains(&post(&ada, &app, "/settings/tokens", &[("name", "x"), ("scope", "ingest")]), "one bucket");
    complains(
        &post(&ada, &app, "/settings/tokens", &[("name", "x"), ("scope", "read"), ("expires_at", "2020-01-01")]),
        "in the past",
    );
    let made =
        post(&ada, &app, "/settings/tokens", &[("name", "soar <b>"), ("scope", "read"), ("expires_at", "2026-07-01")]);
    assert_eq!(made.status, StatusCode::OK, "{}", made.text());
    let secret = between(&made.text(), "<p class=\"secret\"><code>", "<");
    assert!(secret.len() > 40 && !made.text().contains("soar <b>"), "{secret}");
    let with = |secret: &str| {
        let request = Request::get("/api/v1/status").header(header::AUTHORIZATION, format!("Bearer {secret}"));
        app.send(request.body(Body::empty()).unwrap()).status
    };
    assert_eq!(with(&secret), StatusCode::OK);
    let html = ada.get(&app, "/settings/tokens").text();
    assert!(!html.contains(&secret) && html.contains("<td>ada</td>") && html.contains("in 29 d"), "{html}");
    // Bob sees none of hers, and is offered no token of a device.
    let his = bob.get(&app, "/settings/tokens").text();
    assert!(his.contains("No token is good") && !his.contains("value=\"list\""), "{his}");
    assert_eq!(post(&bob, &app, "/settings/tokens", &[("name", "x"), ("scope", "list")]).status, StatusCode::FORBIDDEN);
    let revoke = between(&html, "action=\"/settings/tokens/", "\"");
    let revoke = format!("/settings/tokens/{revoke}");
    complains(&post(&bob, &app, &revoke, &[]), "no token");
    assert_eq!(with(&secret), StatusCode::OK, "not by him");
    led_to(&post(&ada, &app, &revoke, &[]), "/settings/tokens?done=revoked");
    assert_eq!(with(&secret), StatusCode::UNAUTHORIZED);
    let html = ada.get(&app, "/settings/tokens").text();
    assert!(html.contains("And 1 that are no longer good"), "{html}");
    assert!(ada.get(&app, "/settings/tokens?all=1").text().contains("revoked"));
    complains(&post(&ada, &app, &revoke, &[]), "no token");
}

#[test]
fn the_second_factor_is_a_picture_that_a_phone_reads() {
    let app = TestApp::new();
    let ada = person(&app, "ada", &["operator"]);
    let html = post(&ada, &app, "/account/second-factor", &[("password", people::PASSWORD)]).text();
    let picture = between(&html, "<svg class=\"qr\"", "</svg>");
    // Three corners say that it is one: seven dark modules, four from the edge.
    for module in ["M4,4h1", "M10,4h1", "M4,10h1", "M10,10h1"] {
        assert!(picture.contains(module), "{module}");
    }
    assert!(!picture.contains("M3,") && !picture.contains("style="), "it is quiet around it");
    assert!(html.contains("otpauth://totp/"));
}

#[test]
fn who_freezes_and_thaws_says_why() {
    let app = TestApp::new();
    let ada = person(&app, "ada", &["operator"]);
    let eve = person(&app, "eve", &["approver"]);
    led_to(&post(&ada, &app, "/freeze", &[("note", "a bad feed"), ("next", "/settings")]), "/settings?done=frozen");
    let html = ada.get(&app, "/settings").text();
    assert!(html.contains("Frozen by ada: a bad feed") && !html.contains("action=\"/thaw\""), "{html}");
    assert_eq!(post(&ada, &app, "/thaw", &[]).status, StatusCode::FORBIDDEN);
    led_to(&post(&eve, &app, "/thaw", &[("note", "mended"), ("next", "//x.example")]), "/overview?done=thawed");
    let entry = last_audit(&app);
    assert_eq!((&entry["action"], &entry["detail"]), (&json!("thaw"), &json!({ "note": "mended" })));
}
