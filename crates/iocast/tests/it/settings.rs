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
    let all = pairs.iter().map(|(key, value)| format!("&{}={}", encoded(key), encoded(value)));
    let body = format!("csrf={}{}", browser.csrf, all.collect::<String>());
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

fn guarded() -> TestApp {
    TestApp::new().with_list(&json!({ "format": "edl" }))
}

#[test]
fn a_value_is_tested_and_lists_are_looked_into_and_changed() {
    let app = guarded();
    let ada = person(&app, "ada", &["operator"]);
    let bob = person(&app, "bob", &["viewer"]);
    for (value, words) in [
        ("8.8.8.8", "It is never sent"),
        ("hxxps://bad-kit[.]example/x", "No list knows it"),
        ("x.pages.dev", "flagged"),
        ("not a value", "role=\"alert\""),
    ] {
        let html = ada.get(&app, &format!("/settings/guard?value={}", encoded(value))).text();
        assert!(html.contains(words), "{value}: {html}");
    }
    let html = ada.get(&app, "/settings/guard?value=8.8.8.8").text();
    assert!(html.contains("8[.]8[.]8[.]8") && html.contains("/settings/exceptions?value=8.8.8.8"), "{html}");
    assert!(!bob.get(&app, "/settings/guard?value=8.8.8.8").text().contains("Ask for an exception"));
    let list = ada.get(&app, "/settings/guard/lists/shipped%3Aresolvers?q=8.8").text();
    assert!(list.contains("<span>8.8.8.8</span>") && !list.contains("<span>1.1.1.1</span>"), "{list}");
    // One of one's own: mistakes at the field, then in force.
    let at = "/settings/guard/list";
    let ours =
        [("name", "ours"), ("class", "lifeline"), ("enabled", "on"), ("values", "intra.example\r\nno value at all")];
    let wrong = post(&ada, &app, at, &ours);
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", wrong.text());
    assert!(wrong.text().contains("no value at all"), "{}", wrong.text());
    let ours = [("name", "ours"), ("class", "lifeline"), ("enabled", "on"), ("values", "intra.example")];
    assert_eq!(post(&bob, &app, at, &ours).status, StatusCode::FORBIDDEN);
    led_to(&post(&ada, &app, at, &ours), "/settings/guard?done=saved");
    assert_eq!(app.get("/api/v1/guard/check?value=x.intra.example").ok()["stopped"], true);
    // A shipped one gets another class, and is what it was once that is deleted.
    let shipped = [("list", "shipped:resolvers"), ("class", "warn"), ("enabled", "on")];
    led_to(&post(&ada, &app, at, &shipped), "/settings/guard?done=saved");
    assert_eq!(app.get("/api/v1/guard/check?value=8.8.8.8").ok()["stopped"], false);
    let doc = app.get("/api/v1/guard/lists/shipped%3Aresolvers").ok();
    assert_eq!(doc, json!({ "name": "shipped:resolvers", "class": "warn" }));
    let html = ada.get(&app, "/settings/guard/list?key=shipped%3Aresolvers").text();
    let seen = between(&html, "name=\"seen\" value=\"", "\">").replace("&#34;", "\"");
    let deleted = post(&ada, &app, &format!("{at}/delete"), &[("key", "shipped:resolvers"), ("seen", &seen)]);
    led_to(&deleted, "/settings/guard?done=deleted");
    assert_eq!(app.get("/api/v1/guard/check?value=8.8.8.8").ok()["stopped"], true);
}

#[test]
fn an_exception_is_asked_for_by_one_and_allowed_by_another() {
    let app = guarded();
    let ada = person(&app, "ada", &["analyst"]);
    let eve = person(&app, "eve", &["approver"]);
    let _third = person(&app, "max", &["approver"]);
    let op = person(&app, "op", &["operator"]);
    let at = "/settings/exceptions";
    let asked = [("value", "8.8.8[.]8"), ("target", "block-ip"), ("reason", "sinkhole <b>"), ("until", "2026-09-01")];
    let ask = |browser: &Browser, pairs: &[(&str, &str)]| post(browser, &app, &format!("{at}/propose"), pairs);
    complains(
        &ask(&ada, &[("value", "8.8.8.8"), ("target", "block-ip"), ("reason", "x"), ("until", "2020-01-01")]),
        "a date ahead",
    );
    complains(&ask(&ada, &[("value", "nothing at all"), ("target", "block-ip")]), "nothing at all");
    complains(
        &ask(&ada, &[("value", "8.8.8.8"), ("target", "none"), ("reason", "x"), ("until", "2026-09-01")]),
        "no target",
    );
    led_to(&ask(&ada, &asked), &format!("{at}?done=asked"));
    let html = eve.get(&app, at).text();
    for there in ["8[.]8[.]8[.]8", "sinkhole &#60;b&#62;", "shipped:resolvers", "ada", "Allow"] {
        assert!(html.contains(there), "{there}: {html}");
    }
    assert!(!ada.get(&app, at).text().contains("Allow</button>"), "she asks and does not allow");
    let one = |reason| [("value", "8.8.8.8"), ("target", "block-ip"), ("reason", reason), ("until", "2026-09-01")];
    assert_eq!(post(&ada, &app, &format!("{at}/approve"), &one("sinkhole <b>")).status, StatusCode::FORBIDDEN);
    complains(&post(&eve, &app, &format!("{at}/approve"), &one("another")), "no longer what you looked at");
    led_to(&post(&eve, &app, &format!("{at}/approve"), &one("sinkhole <b>")), &format!("{at}?done=excepted"));
    let check = app.get("/api/v1/guard/check?value=8.8.8.8&target=block-ip").ok();
    assert_eq!(check["excepted"], true, "{check}");
    let docs = app.get("/api/v1/guard/exceptions").ok();
    assert_eq!(docs["items"][0]["approver"], "eve", "{docs}");
    // One's own is for somebody else.
    led_to(
        &ask(&eve, &[("value", "1.1.1.1"), ("target", "block-ip"), ("reason", "x"), ("until", "2026-09-01")]),
        &format!("{at}?done=asked"),
    );
    assert!(!eve.get(&app, at).text().contains("Allow</button>"));
    let hers = [("value", "1.1.1.1"), ("target", "block-ip"), ("reason", "x"), ("until", "2026-09-01")];
    complains(&post(&eve, &app, &format!("{at}/approve"), &hers), "somebody else must approve");
    led_to(&post(&eve, &app, &format!("{at}/withdraw"), &hers), &format!("{at}?done=asked-no-longer"));
    let html = op.get(&app, at).text();
    let seen = between(&html, "name=\"seen\" value=\"", "\">").replace("&#34;", "\"");
    let end = [("value", "8.8.8.8"), ("target", "block-ip"), ("seen", seen.as_str())];
    complains(
        &post(&op, &app, &format!("{at}/end"), &[("value", "8.8.8.8"), ("target", "block-ip"), ("seen", "old")]),
        "meanwhile",
    );
    led_to(&post(&op, &app, &format!("{at}/end"), &end), &format!("{at}?done=exception-ended"));
    assert_eq!(app.get("/api/v1/guard/check?value=8.8.8.8&target=block-ip").ok()["excepted"], false);
    assert!(op.get(&app, at).text().contains("Nothing is excepted"));
}

#[test]
fn the_policy_is_a_form_that_changes_what_was_changed() {
    let app = TestApp::new();
    let ada = person(&app, "ada", &["administrator"]);
    let op = person(&app, "op", &["operator"]);
    let at = "/settings/policy";
    let html = ada.get(&app, at).text();
    let seen = between(&html, "name=\"seen\" value=\"", "\">").replace("&#34;", "\"");
    let typed =
        [("seen", seen.as_str()), ("default_tlp", "amber"), ("prune_days", "100"), ("budget.adds.percent", "33")];
    assert!(op.get(&app, at).text().contains("for an administrator"));
    assert_eq!(post(&op, &app, at, &typed).status, StatusCode::FORBIDDEN);
    led_to(&post(&ada, &app, at, &typed), &format!("{at}?done=saved"));
    let settings = app.get("/api/v1/settings").ok();
    assert_eq!(settings, json!({ "default_tlp": "amber", "prune_days": 100, "budget": { "adds": { "percent": 33 } } }));
    // What was looked at is no longer there.
    let stale = post(&ada, &app, at, &typed);
    assert_eq!(stale.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(stale.text().contains("meanwhile"), "{}", stale.text());
    let html = ada.get(&app, at).text();
    let seen = between(&html, "name=\"seen\" value=\"", "\">").replace("&#34;", "\"");
    for (name, value, words) in
        [("prune_days", "soon", "whole number"), ("budget.adds.percent", "400", "100"), ("four_eyes", "maybe", "maybe")]
    {
        let wrong = post(&ada, &app, at, &[("seen", &seen), (name, value)]);
        assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY, "{name}");
        assert!(wrong.text().contains("<em>") && wrong.text().contains(words), "{name}: {}", wrong.text());
    }
    // What is emptied counts as never said.
    led_to(&post(&ada, &app, at, &[("seen", &seen)]), &format!("{at}?done=saved"));
    assert_eq!(app.get("/api/v1/settings").ok(), json!({}));
    app.post(
        "/api/v1/config/apply",
        &json!({ "tenant": [{ "name": "acme", "proxy": "http://u:p4ssw0rd@proxy.example:3128", "allow_private": ["10.0.0.0/8"] }] }),
    )
    .ok();
    let html = ada.get(&app, at).text();
    assert!(html.contains("acme") && html.contains("10.0.0.0/8") && !html.contains("p4ssw0rd"), "{html}");
}

#[test]
fn a_channel_is_made_told_a_test_and_its_secret_is_never_shown() {
    let app = TestApp::new();
    let op = person(&app, "op", &["operator"]);
    let bob = person(&app, "bob", &["viewer"]);
    let at = "/settings/channels/one";
    let typed = [
        ("channel", "webhook"),
        ("name", "chat"),
        ("enabled", "on"),
        ("on", "frozen"),
        ("min_severity", "warning"),
        ("settings.url", "https://chat.example/hook"),
        ("settings.secret", "s3cret-words-of-ours"),
    ];
    assert_eq!(post(&bob, &app, at, &typed).status, StatusCode::FORBIDDEN);
    led_to(&post(&op, &app, at, &typed), "/settings/channels?done=saved");
    let doc = app.get("/api/v1/notify/chat").ok();
    assert_eq!((&doc["on"], &doc["channel"]), (&json!(["frozen"]), &json!("webhook")), "{doc}");
    let html = op.get(&app, "/settings/channels").text();
    assert!(html.contains("frozen, warning or graver") && html.contains("Send a test"), "{html}");
    assert!(!bob.get(&app, "/settings/channels").text().contains("Send a test"));
    assert!(!op.get(&app, &format!("{at}?key=chat")).text().contains("s3cret-words"));
    // The world of tests tells nobody.
    complains(&post(&op, &app, "/settings/channels/test", &[("name", "chat")]), "did not take it");
    assert_eq!(last_audit(&app)["action"], "notify.test");
    assert_eq!(post(&op, &app, "/settings/channels/test", &[("name", "none")]).status, StatusCode::NOT_FOUND);
}

#[test]
fn a_backup_is_a_new_file_among_the_servers_and_is_not_handed_out() {
    let folder = tempfile::tempdir().unwrap();
    let app = TestApp::with(Some(folder.path().to_owned()), Vec::new());
    let ada = person(&app, "ada", &["administrator"]);
    assert!(ada.get(&app, "/settings/backup").text().contains("There is no backup here"));
    for name in ["../x.db", "/tmp/x.db", ".hidden", "a b", ""] {
        complains(&post(&ada, &app, "/settings/backup", &[("name", name)]), "letters, digits");
    }
    led_to(&post(&ada, &app, "/settings/backup", &[("name", "one.db")]), "/settings/backup?done=backed-up");
    assert!(folder.path().join("backups/one.db").is_file());
    complains(&post(&ada, &app, "/settings/backup", &[("name", "one.db")]), "exists already");
    let html = ada.get(&app, "/settings/backup").text();
    assert!(html.contains("one.db") && !html.contains("href=\"/settings/backup/"), "{html}");
    let about = ada.get(&app, "/settings/about").text();
    for there in [env!("CARGO_PKG_VERSION"), "Database", "kB", "SQLite", &folder.path().display().to_string()] {
        assert!(about.contains(there), "{there}: {about}");
    }
    let licences = ada.get(&app, "/settings/about/licences?q=0bsd").text();
    assert!(licences.contains("<td>htmx</td>") && !licences.contains("<td>axum</td>"), "{licences}");
}

#[test]
fn a_notice_is_seen_to_and_stands_until_its_cause_is_over() {
    let app = TestApp::new();
    let op = person(&app, "op", &["operator"]);
    let eve = person(&app, "eve", &["approver"]);
    let bob = person(&app, "bob", &["viewer"]);
    let at = "/activity/notices";
    assert!(op.get(&app, at).text().contains("Nothing has needed a person"));
    post(&op, &app, "/freeze", &[("note", "quiet")]);
    let html = op.get(&app, at).text();
    assert!(html.contains("critical") || html.contains("warning"), "{html}");
    let action = between(&html, "action=\"/activity/notices/", "\"");
    let action = format!("/activity/notices/{action}");
    assert!(!bob.get(&app, at).text().contains(&action), "it is not offered to who may not");
    assert_eq!(post(&bob, &app, &action, &[]).status, StatusCode::FORBIDDEN);
    led_to(
        &post(&op, &app, &action, &[("note", "asked <i> them"), ("next", "/activity/notices?state=open")]),
        "/activity/notices?state=open&done=seen-to",
    );
    let html = bob.get(&app, at).text();
    assert!(html.contains("op has seen to it") && html.contains("asked &#60;i&#62; them"), "{html}");
    assert!(op.get(&app, &format!("{at}?state=open")).text().contains("No notice of the last 30 days"));
    let shown = app.get("/api/v1/notices").ok();
    assert_eq!((&shown[0]["seen_to"]["who"], &shown[0]["over"]), (&json!("op"), &Value::Null), "{shown}");
    assert_eq!(post(&op, &app, "/activity/notices/4711/seen-to", &[]).status, StatusCode::NOT_FOUND);
    // It is over with its cause; the next one is another.
    post(&eve, &app, "/thaw", &[]);
    assert!(op.get(&app, &format!("{at}?state=seen")).text().contains("No notice"));
    app.world.advance(60);
    post(&op, &app, "/freeze", &[]);
    assert!(op.get(&app, &format!("{at}?state=open")).text().contains("/seen-to"));
}

#[test]
fn the_audit_log_is_filtered_paged_and_verified_by_who_may_read_it() {
    let app = TestApp::new();
    let ada = person(&app, "ada", &["auditor"]);
    let op = person(&app, "op", &["operator"]);
    let at = "/activity/audit";
    assert!(!op.get(&app, "/activity").text().contains(at), "who may not is not led there");
    for path in [at, "/activity/audit/verify", "/activity/audit?who=op"] {
        assert_eq!(op.get(&app, path).status, StatusCode::FORBIDDEN, "{path}");
    }
    for n in 0..60 {
        post(&op, &app, "/freeze", &[("note", &n.to_string())]);
    }
    let html = ada.get(&app, "/activity/audit?who=op&action=freeze").text();
    assert_eq!(html.matches("<td class=\"nowrap\">freeze</td>").count(), 50, "{html}");
    assert!(!html.contains("user.add"), "{html}");
    let next = between(&html, "rel=\"next\" href=\"", "\"").replace("&#38;", "&").replace("&amp;", "&");
    let rest = ada.get(&app, &next).text();
    assert_eq!(rest.matches("<td class=\"nowrap\">freeze</td>").count(), 10, "{next}: {rest}");
    let nouns = ada.get(&app, "/activity/audit?action=user").text();
    assert!(nouns.contains("user.add") && !nouns.contains(">freeze<"), "{nouns}");
    for (query, has) in
        [("since=2026-06-01&until=2026-06-01", true), ("until=2026-05-31", false), ("since=2026-06-02", false)]
    {
        assert_eq!(ada.get(&app, &format!("{at}?{query}")).text().contains("freeze"), has, "{query}");
    }
    assert!(ada.get(&app, "/activity/audit?since=soon").text().contains("role=\"alert\""));
    let api = app.get("/api/v1/audit?who=op&action=freeze&limit=1000").ok();
    assert_eq!(api.as_array().unwrap().len(), 60);
    assert_eq!(app.get("/api/v1/audit?since=soon").status, StatusCode::BAD_REQUEST);
    let checked = ada.get(&app, "/activity/audit/verify").text();
    assert!(checked.contains("The log is what was written"), "{checked}");
}

#[test]
fn what_is_refused_is_told_with_the_destinations_words() {
    let folder = tempfile::tempdir().unwrap();
    let clock: iocast::demo::Clock = std::sync::Arc::new(|| intel::Timestamp::from_secs(1_780_000_000));
    iocast::demo::once(folder.path(), clock, &mut Vec::new()).unwrap();
    let app = iocast::app::App::open(iocast::app::OpenOptions::at(folder.path())).unwrap();
    let app = TestApp::over(app, crate::support::StillWorld::new(Vec::new()));
    let bob = person(&app, "bob", &["viewer"]);
    let all = app.get("/api/v1/deliveries?state=refused&limit=1000").ok();
    let all = all["items"].as_array().unwrap().clone();
    let html = bob.get(&app, "/activity/refused").text();
    if all.is_empty() {
        assert!(html.contains("Nothing is refused"), "{html}");
        return;
    }
    assert_eq!(html.matches("<tr data-href=").count(), all.len().min(50), "{html}");
    let words = all.iter().find_map(|line| line["words"].as_str()).unwrap();
    assert!(html.contains(&words.replace('\'', "&#39;").replace('"', "&#34;")), "{words}");
    let target = all[0]["target"].as_str().unwrap();
    let n_there = all.iter().filter(|line| line["target"] == target).count();
    let html = bob.get(&app, &format!("/activity/refused?target={target}")).text();
    assert_eq!(html.matches("<tr data-href=").count(), n_there.min(50));
}
