//! What keeps secrets, the audit log and the way to the server safe, tried from outside.

use crate::support::{Reply, StillWorld, TestApp};
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use iocast::api::lists::Peer;
use iocast::api::routes::{TABLE, Verb};
use iocast::app::{App, OpenOptions};
use iocast::world::Outside;
use kit::manifest::SettingType;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use tempfile::TempDir;

const CANARIES: [&str; 3] = ["canary-key/5f+31?", "canary-tenant-8a12", "canary-mail-77aa"];

/// An exchange in a directory, in the real world, with its key beside it.
fn real(dir: &Path) -> TestApp {
    let outside = Outside { key_file: Some(dir.join("key")), ..Outside::default() };
    let app = App::open(OpenOptions { outside, ..OpenOptions::at(dir.join("data")) }).unwrap();
    TestApp::over(app, StillWorld::new(Vec::new()))
}

/// A configuration with three secrets, that calls nobody but this machine.
fn with_secrets() -> Value {
    json!({
        "tenant": [{ "name": "acme", "settings": { "url": "https://127.0.0.1:1/a", "token": CANARIES[1] } }],
        "connection": [{
            "name": "own", "connector": "feed", "allow_private": ["127.0.0.0/8"],
            "settings": { "format": "text", "url": "https://127.0.0.1:1/x", "token": CANARIES[0], "kind": "auto" },
        }],
        "notify": [{
            "name": "hook", "channel": "webhook",
            "settings": { "url": "https://127.0.0.1:1/hook", "secret": CANARIES[2] }, "on": ["frozen"],
        }],
    })
}

fn send(app: &TestApp, verb: Verb, path: &str, token: &str, body: Option<&str>) -> Reply {
    let method = Method::from_bytes(verb.as_str().as_bytes()).unwrap();
    let mut request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {token}"));
    if matches!(verb, Verb::Put | Verb::Delete) {
        let shown = app.get(path.split('?').next().unwrap());
        if let Some(tag) = shown.header("etag") {
            request = request.header("if-match", tag);
        }
    }
    if body.is_some() {
        request = request.header("content-type", "application/json");
    }
    let mut request = request.body(body.map_or_else(Body::empty, |body| Body::from(body.to_owned()))).unwrap();
    request.extensions_mut().insert(Peer("192.0.2.5:4000".parse::<SocketAddr>().unwrap()));
    app.send(request)
}

/// A text in the forms in which it could slip out.
fn forms(text: &str) -> Vec<Vec<u8>> {
    use base64::Engine as _;
    let base64 = &base64::engine::general_purpose::STANDARD_NO_PAD;
    let mut forms = vec![
        text.as_bytes().to_vec(),
        kit::http::encode(text).into_bytes(),
        kit::render::hex(text.as_bytes()).into_bytes(),
        text.replace('/', "\\/").into_bytes(),
        text.chars().rev().collect::<String>().into_bytes(),
        text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
    ];
    // In base64 at each of the three places it can begin at; the letters that depend on what is around are left out.
    for before in 0..3 {
        let code = base64.encode([&vec![b'x'; before], text.as_bytes()].concat());
        forms.push(code.as_bytes()[[0, 2, 3][before]..code.len() - 3].to_vec());
    }
    forms
}

#[track_caller]
fn holds_no_canary(what: &str, bytes: &[u8]) {
    for canary in CANARIES {
        for form in forms(canary) {
            let found = bytes.windows(form.len()).any(|window| window == form);
            assert!(!found, "{what} holds {}", String::from_utf8_lossy(&form));
        }
    }
}

/// S28, S30: no answer to any GET, no export, no audit entry, no byte of the data directory or of a backup holds one of
/// three secrets, in any of nine encodings.
#[test]
fn s30_secrets_are_written_and_never_read() {
    let dir = TempDir::new().unwrap();
    let app = real(dir.path());
    app.post("/api/v1/config/apply", &with_secrets()).ok();
    let token = app.token("admin");
    // Errors of all kinds say nothing either.
    app.post("/api/v1/pulls", &json!({ "all": true }));
    app.post("/api/v1/notify/hook/test", &json!({}));
    app.post("/api/v1/config/apply", &json!({ "connection": [{ "name": "x", "settings": { "token": CANARIES[0] } }] }));
    for route in TABLE.iter().filter(|route| route.method == Verb::Get && !route.path.ends_with("/changes")) {
        for name in ["own", "acme", "hook", "1"] {
            let path = route.path.replace("{name}", name).replace("{id}", "1").replace("{kind}", "auto");
            let reply = send(&app, Verb::Get, &path.replace(['{', '}'], ""), &token, None);
            holds_no_canary(&path, &reply.body);
            holds_no_canary(&path, format!("{:?}", reply.headers).as_bytes());
        }
    }
    app.post("/api/v1/backup", &json!({ "path": dir.path().join("copy.db") })).ok();
    holds_no_canary("the backup", &fs::read(dir.path().join("copy.db")).unwrap());
    for file in ["iocast.db", "iocast.db-wal"] {
        holds_no_canary(file, &fs::read(dir.path().join("data").join(file)).unwrap());
    }
    // Where they are and since when is told.
    let shown = app.get("/api/v1/secrets").ok();
    let states: Vec<(&str, bool)> =
        shown.as_array().unwrap().iter().map(|s| (s["state"].as_str().unwrap(), s["changed_at"].is_string())).collect();
    assert_eq!(states, [("set", true); 3], "{shown}");
    // And the look finds what is there.
    let planted = forms(CANARIES[0]).pop().unwrap();
    assert!(std::panic::catch_unwind(|| holds_no_canary("planted", &planted)).is_err());
}

/// S33: the key of a running exchange is changed through its API: everything sealed opens before, between and after, a
/// second key stands in the file, and with `forget_old` only that one.
#[test]
fn s33_a_key_is_rotated_while_the_exchange_runs() {
    let dir = TempDir::new().unwrap();
    let app = real(dir.path());
    app.post("/api/v1/config/apply", &with_secrets()).ok();
    let keys = || fs::read_to_string(dir.path().join("key")).unwrap().lines().filter(|l| !l.starts_with('#')).count();
    let is_whole = || {
        let again = app.post("/api/v1/config/apply", &with_secrets()).ok();
        assert_eq!(again["changes"], json!([]), "each secret opens and is the same");
    };
    assert_eq!(keys(), 1);
    for n in 2..5 {
        let done = app.post("/api/v1/secrets/rotate", &json!({})).ok();
        assert_eq!((done["sealed"].clone(), keys()), (json!(3), n));
        is_whole();
    }
    let done = app.post("/api/v1/secrets/rotate", &json!({ "forget_old": true, "wipe": true })).ok();
    assert_eq!((done["sealed"].clone(), keys()), (json!(3), 1));
    is_whole();
    assert!(app.get("/api/v1/audit/verify").ok()["ok"].as_bool().unwrap());
}

/// S28: without its key an exchange starts and says so; it answers and takes indicators, and writes no configuration that
/// would lose a secret, and makes no new key; with the key put back, or every secret given again, all goes on.
#[test]
fn s28_without_its_key_an_exchange_starts_sealed() {
    let dir = TempDir::new().unwrap();
    let app = real(dir.path());
    app.post("/api/v1/config/apply", &with_secrets()).ok();
    drop(app);
    fs::rename(dir.path().join("key"), dir.path().join("away")).unwrap();
    let app = real(dir.path());
    let status = app.get("/api/v1/status").ok();
    assert!(status["sealed"].as_str().unwrap().contains("3 secrets cannot be opened"), "{status}");
    app.get("/api/v1/config").ok();
    app.post("/api/v1/indicators", &json!({ "items": [{ "value": "203.0.113.9", "reputation": 9 }] })).ok();
    let pulled = app.post("/api/v1/pulls", &json!({ "connections": ["own"] }));
    assert!(pulled.text().contains("is not there"), "{}", pulled.text());
    let rule = json!({ "rule": [{ "name": "worst", "when": "reputation >= 9" }] });
    let one = json!({ "tenant": with_secrets()["tenant"] });
    for write in [&rule, &one] {
        let refused = app.post("/api/v1/config/apply", write);
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(refused.text().contains("nothing is configured while a secret cannot be opened"), "{}", refused.text());
    }
    assert!(!app.post("/api/v1/secrets/rotate", &json!({})).status.is_success());
    let locked = app.get("/api/v1/secrets").ok();
    assert!(locked.as_array().unwrap().iter().all(|secret| secret["state"] == "locked"), "{locked}");
    drop(app);
    let _ = fs::remove_file(dir.path().join("key"));
    fs::copy(dir.path().join("away"), dir.path().join("key")).unwrap();
    let app = real(dir.path());
    assert!(app.get("/api/v1/status").ok()["sealed"].is_null());
    app.post("/api/v1/config/apply", &rule).ok();
    drop(app);
    // The key is gone for good: who gives every secret again may go on.
    fs::remove_file(dir.path().join("key")).unwrap();
    let app = real(dir.path());
    app.post("/api/v1/config/apply", &with_secrets()).ok();
    assert!(app.get("/api/v1/status").ok()["sealed"].is_null());
}

/// S32: for every connector that takes a secret and addresses: a kept secret does not go to another host, whichever of its
/// addresses is changed.
#[test]
fn s32_changing_an_address_asks_for_the_secret_again() {
    let (mut n_changed, mut open) = (0, Vec::new());
    for connector in connectors::all() {
        let manifest = connector.manifest().clone();
        let is = |kind: SettingType| move |s: &&kit::manifest::Setting| s.value_type == kind;
        let is_url = |s: &&kit::manifest::Setting| s.value_type == SettingType::Url || s.key == "url";
        let urls: Vec<String> = manifest.settings.iter().filter(is_url).map(|s| s.key.clone()).collect();
        let secret = manifest.settings.iter().find(is(SettingType::Secret)).map(|s| s.key.clone());
        let Some(secret) = secret.filter(|_| !urls.is_empty()) else { continue };
        let mut settings = serde_json::Map::new();
        for setting in &manifest.settings {
            let value = match setting.value_type {
                _ if urls.contains(&setting.key) => json!("https://one.example/a"),
                SettingType::Text if setting.key == "username" => json!("x"),
                SettingType::Secret => json!("whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="),
                _ if !setting.required => continue,
                SettingType::Choice => json!(setting.choices[0]),
                SettingType::Kind => json!("auto"),
                SettingType::List => json!(["x"]),
                _ => json!("x"),
            };
            settings.insert(setting.key.clone(), value);
        }
        let doc = |settings: &serde_json::Map<String, Value>| json!({ "connection": [{ "name": "c", "connector": manifest.name, "settings": settings }] });
        let app = TestApp::new();
        let mut made = app.post("/api/v1/config/apply", &doc(&settings));
        // Of settings that exclude each other only what is needed stays.
        if !made.status.is_success() {
            settings.retain(|key, _| {
                *key == secret
                    || key == "username"
                    || urls.contains(key)
                    || manifest.settings.iter().any(|s| s.key == *key && s.required)
            });
            made = app.post("/api/v1/config/apply", &doc(&settings));
        }
        if !made.status.is_success() {
            open.push(format!("{}: {}", manifest.name, made.text()));
            continue;
        }
        for key in settings.keys().cloned().collect::<Vec<_>>() {
            if !urls.contains(&key) {
                continue;
            }
            let mut moved = settings.clone();
            for setting in manifest.settings.iter().filter(is(SettingType::Secret)) {
                if moved.contains_key(&setting.key) {
                    moved.insert(setting.key.clone(), json!("*** set ***"));
                }
            }
            moved.insert(key.clone(), json!("https://evil.example/a"));
            let refused = app.post("/api/v1/config/apply", &doc(&moved));
            let name = format!("{}.{key}", manifest.name);
            assert!(
                !refused.status.is_success() && refused.text().contains("give the secret again"),
                "{name}: {}",
                refused.text()
            );
            n_changed += 1;
        }
    }
    assert!(n_changed >= 4, "{n_changed} changed, and not: {open:#?}");
}

/// What is asked, what it is about, and the action that the log says.
type Action = (Verb, &'static str, &'static str, &'static str);

/// One of each change there is, in an order in which all of them can be done.
fn actions() -> Vec<Action> {
    use Verb::{Delete, Post, Put};
    vec![
        (
            Put,
            "/api/v1/settings",
            r#"{"default_tlp": "green", "public_url": "https://iocast.example"}"#,
            "policy.update",
        ),
        (Post, "/api/v1/config/apply", r#"{"rule": [{"name": "applied", "when": "reputation >= 8"}]}"#, "rule.create"),
        (Put, "/api/v1/rules/worst", r#"{"when": "reputation >= 8"}"#, "rule.create"),
        (Put, "/api/v1/rules/worst", r#"{"when": "reputation >= 9"}"#, "rule.update"),
        (Put, "/api/v1/tenants/acme", r#"{"settings": {}}"#, "tenant.create"),
        (Put, "/api/v1/connections/edge", r#"{"connector": "list", "settings": {}}"#, "connection.create"),
        (Put, "/api/v1/connections/bucket", r#"{"connector": "api-source", "settings": {}}"#, "connection.create"),
        (Post, "/api/v1/connections/edge/check", "", "connection.check"),
        (
            Post,
            "/api/v1/connections/bucket/observations",
            r#"{"items": [{"value": "203.0.113.77", "reputation": 9}]}"#,
            "bucket.push",
        ),
        (
            Put,
            "/api/v1/targets/block",
            r#"{"connection": "edge", "action": "publish", "first_fill": "allow", "params": {"format": "edl"}}"#,
            "target.create",
        ),
        (Put, "/api/v1/sharings/any/worst/block", "{}", "sharing.create"),
        (Put, "/api/v1/guard/lists/ours", r#"{"class": "lifeline", "values": ["example.org"]}"#, "guard.create"),
        (
            Put,
            "/api/v1/notify/log",
            r#"{"channel": "syslog", "settings": {"transport": "local"}, "on": ["frozen"]}"#,
            "notify.create",
        ),
        (Post, "/api/v1/notify/log/test", "", "notify.test"),
        (
            Put,
            "/api/v1/providers/corp",
            r#"{"issuer": "https://login.example", "client_id": "iocast", "roles": {"soc": ["analyst"]}}"#,
            "provider.create",
        ),
        (Delete, "/api/v1/providers/corp", "", "provider.delete"),
        (Post, "/api/v1/indicators", r#"{"items": [{"value": "203.0.113.9", "reputation": 9}]}"#, "indicator.add"),
        (Post, "/api/v1/indicators/verdict", r#"{"value": "203.0.113.9", "verdict": "safe"}"#, "indicator.annotate"),
        (
            Post,
            "/api/v1/indicators/verdicts",
            r#"{"items": [{"value": "203.0.113.9"}], "verdict": "malicious"}"#,
            "indicator.annotate",
        ),
        (Post, "/api/v1/indicators/annotate", r#"{"value": "203.0.113.9", "comment": "ours"}"#, "indicator.annotate"),
        (Post, "/api/v1/indicators/retract", r#"{"items": [{"value": "203.0.113.9"}]}"#, "indicator.retract"),
        (
            Post,
            "/api/v1/guard/exceptions/block/9.9.9.9/propose",
            r#"{"reason": "a sinkhole", "until": "2026-09-01"}"#,
            "proposal.put",
        ),
        (Delete, "/api/v1/guard/exceptions/block/9.9.9.9/propose", "", "proposal.delete"),
        (
            Put,
            "/api/v1/guard/exceptions/block/9.9.9.9",
            r#"{"reason": "a sinkhole", "until": "2026-09-01", "approver": "admin"}"#,
            "guard_exception.create",
        ),
        (Delete, "/api/v1/guard/exceptions/block/9.9.9.9", "", "guard_exception.delete"),
        (Post, "/api/v1/tokens", r#"{"name": "soar", "scope": "read"}"#, "token.create"),
        (Delete, "/api/v1/tokens/3", "", "token.revoke"),
        (Post, "/api/v1/users", r#"{"name": "grace", "roles": ["analyst"]}"#, "user.add"),
        (Put, "/api/v1/users/grace", r#"{"roles": ["viewer"]}"#, "user.roles"),
        (Put, "/api/v1/users/grace", r#"{"disabled": true}"#, "user.disable"),
        (Put, "/api/v1/users/grace", r#"{"disabled": false}"#, "user.enable"),
        (Post, "/api/v1/users/grace/reset", "{}", "user.reset"),
        (Delete, "/api/v1/users/grace", "", "user.delete"),
        (Post, "/api/v1/pulls", r#"{"all": true}"#, "pull.ask"),
        (Post, "/api/v1/passes", r#"{"all": true}"#, "pass.ask"),
        (Post, "/api/v1/targets/block/verify", r#"{"all": true}"#, "target.verify"),
        (Post, "/api/v1/sources/bucket/rollback", r#"{"to": "2026-06-01T11:59:00Z"}"#, "source.rollback"),
        (Post, "/api/v1/freeze", r#"{"note": "look"}"#, "freeze"),
        (Post, "/api/v1/thaw", "", "thaw"),
        (Post, "/api/v1/clock/trust", "{}", "clock.trust"),
        (Delete, "/api/v1/sharings/any/worst/block?lines=take_back", "", "sharing.delete"),
        (Delete, "/api/v1/targets/block?lines=release", "", "target.delete"),
        (Delete, "/api/v1/notify/log", "", "notify.delete"),
        (Delete, "/api/v1/guard/lists/ours", "", "guard.delete"),
        (Delete, "/api/v1/connections/edge?records=keep", "", "connection.delete"),
        (Delete, "/api/v1/tenants/acme", "", "tenant.delete"),
        (Delete, "/api/v1/rules/worst", "", "rule.delete"),
    ]
}

/// Changes that need more than an address and a body; what each leaves is asked in the test named beside it.
const ELSEWHERE: &[(&str, &str)] = &[
    ("/api/v1/set-up", "s36_people_leave_their_steps"),
    ("/api/v1/sign-in", "s36_people_leave_their_steps"),
    ("/api/v1/sign-in/code", "s36_people_leave_their_steps"),
    ("/api/v1/sign-out", "s36_people_leave_their_steps"),
    ("/api/v1/me/password", "s36_people_leave_their_steps"),
    ("/api/v1/me/second-factor", "s36_people_leave_their_steps"),
    ("/api/v1/me/second-factor/confirm", "s36_people_leave_their_steps"),
    ("/api/v1/me/second-factor/remove", "s36_people_leave_their_steps"),
    ("/api/v1/sessions/{id}", "s36_people_leave_their_steps"),
    ("/api/v1/plans/{id}/approve", "s36_decisions_leave_their_steps"),
    ("/api/v1/plans/{id}/reject", "s36_decisions_leave_their_steps"),
    ("/api/v1/runs/{id}/undo", "s36_decisions_leave_their_steps"),
    ("/api/v1/targets/{name}/return", "s36_decisions_leave_their_steps"),
    ("/api/v1/targets/{name}/unpin", "s36_decisions_leave_their_steps"),
    ("/api/v1/secrets/rotate", "s36_keys_and_copies_leave_their_steps"),
    ("/api/v1/backup", "s36_keys_and_copies_leave_their_steps"),
    // These need a source, a tool, a notice or a person. Here they are caught by what writes down every silent change.
    ("/api/v1/runs/{id}/approve", "s36_a_change_that_says_nothing_of_itself_is_written_down"),
    ("/api/v1/runs/{id}/discard", "s36_a_change_that_says_nothing_of_itself_is_written_down"),
    ("/api/v1/sources/{name}/again", "s36_a_change_that_says_nothing_of_itself_is_written_down"),
    ("/api/v1/notices/{id}/seen-to", "s36_a_change_that_says_nothing_of_itself_is_written_down"),
    ("/api/v1/indicators/bulk", "s36_a_change_that_says_nothing_of_itself_is_written_down"),
    ("/api/v1/users/{name}/sign-out", "s36_a_change_that_says_nothing_of_itself_is_written_down"),
    ("/api/v1/targets/{name}/adopt", "s36_a_change_that_says_nothing_of_itself_is_written_down"),
];

fn fits(pattern: &str, path: &str) -> bool {
    let path = path.split('?').next().unwrap();
    let same = |(one, part): (&str, &str)| one == part || (one.starts_with('{') && !part.is_empty());
    pattern.split('/').count() == path.split('/').count() && pattern.split('/').zip(path.split('/')).all(same)
}

/// S36: the table of routes says what can be changed, and each of it is in the list of actions or named with the test that
/// asks it: a new route without either fails here.
#[test]
fn s36_every_route_that_changes_something_is_asked_for_its_entry() {
    let actions = actions();
    let mut missing = Vec::new();
    for route in TABLE.iter().filter(|route| !route.asks) {
        let here = actions.iter().any(|(verb, path, ..)| *verb == route.method && fits(route.path, path));
        let there = ELSEWHERE.iter().any(|(path, _)| *path == route.path);
        if here == there {
            missing.push(format!("{} {}", route.method.as_str(), route.path));
        }
    }
    assert!(missing.is_empty(), "in neither list, or in both: {missing:#?}");
    let source = include_str!("security.rs");
    for (path, test) in ELSEWHERE {
        assert!(TABLE.iter().any(|route| route.path == *path), "{path} is no route");
        assert!(source.contains(&format!("fn {test}(")), "{test}");
    }
    // Only these say of themselves that they change nothing.
    let ask: Vec<&str> =
        TABLE.iter().filter(|route| route.asks && route.method != Verb::Get).map(|route| route.path).collect();
    assert_eq!(ask, ["/api/v1/rules/test", "/api/v1/indicators/bulk/preview", "/api/v1/extract"]);
    let ask: Vec<&str> = iocast::web::routes::TABLE
        .iter()
        .filter(|page| page.asks && page.method != Verb::Get)
        .map(|page| page.path)
        .collect();
    let expected = [
        "/theme",
        "/configure/rule/tree",
        "/configure/rule/test",
        "/indicators/tree",
        "/indicators/bulk",
        "/indicators/paste",
        "/configure/sharing/test",
    ];
    assert_eq!(ask, expected);
}

/// S36: each action through the API leaves an entry with who, token, address, what and about what, and exactly one; a refusal
/// one too, with why.
#[test]
fn s36_each_action_has_one_entry() {
    let app = TestApp::new();
    let token = app.token("admin");
    let read = app.token("read");
    let audit = || app.get("/api/v1/audit?limit=1000").ok().as_array().unwrap().clone();
    use Verb::Post;
    let mut wrong = Vec::new();
    for (verb, path, body, action) in actions() {
        let before = audit().len();
        let body = Some(body).filter(|body| !body.is_empty());
        let reply = send(&app, verb, path, &token, body);
        let now = audit();
        let entry = &now[0];
        let name = format!("{} {path}", verb.as_str());
        if !reply.status.is_success() || now.len() != before + 1 {
            let new: Vec<&Value> = now[..now.len() - before].iter().map(|entry| &entry["action"]).collect();
            wrong.push(format!("{name}: {new:?}, {} {}", reply.status, reply.text()));
            continue;
        }
        let is_whole = entry["who"] == "admin"
            && entry["action"] != "request"
            && entry["address"] == "192.0.2.5"
            && entry["token"] == 1;
        // What is about the whole exchange names nothing in it.
        let is_named = !entry["object"].as_str().unwrap().is_empty() || action == "policy.update";
        let is_said = is_named && entry["action"].as_str().unwrap().starts_with(action);
        if !is_whole || !is_said {
            wrong.push(format!("{name}: {entry}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let before = audit().len();
    assert_eq!(send(&app, Post, "/api/v1/freeze", &read, Some("{}")).status, StatusCode::FORBIDDEN);
    assert_eq!(send(&app, Post, "/api/v1/freeze", "ioc_00", Some("{}")).status, StatusCode::UNAUTHORIZED);
    let now = audit();
    assert_eq!(now.len(), before + 2);
    assert_eq!(
        (&now[1]["action"], &now[1]["who"], &now[1]["object"]),
        (&json!("denied"), &json!("read"), &json!("POST /api/v1/freeze"))
    );
    assert!(now[1]["detail"]["why"].as_str().unwrap().contains("scope"), "{}", now[1]);
    assert_eq!((&now[0]["who"], &now[0]["address"]), (&json!("nobody"), &json!("192.0.2.5")));
    // Before and after of a change.
    let update = now.iter().find(|entry| entry["action"] == "rule.update").unwrap();
    assert!(
        update["detail"].to_string().contains("reputation >= 8")
            && update["detail"].to_string().contains("reputation >= 9")
    );
    // Who knocks all day is counted and does not fill the disk.
    for _ in 0..200 {
        send(&app, Post, "/api/v1/freeze", "ioc_00", Some("{}"));
    }
    assert_eq!(audit().len(), before + 60);
    assert!(app.get("/api/v1/audit/verify").ok()["ok"].as_bool().unwrap());
}

/// S36: a change that writes no entry of its own is written down all the same, once; a question is not.
#[test]
fn s36_a_change_that_says_nothing_of_itself_is_written_down() {
    let app = TestApp::new();
    let token = app.token("admin");
    let audit = || app.get("/api/v1/audit?limit=1000").ok().as_array().unwrap().clone();
    // The same rule again changes nothing, and so says nothing.
    let rule = r#"{"rule": [{"name": "r", "when": "reputation >= 8"}]}"#;
    let apply = "/api/v1/config/apply";
    assert_eq!(send(&app, Verb::Post, apply, &token, Some(rule)).status, StatusCode::OK);
    let before = audit().len();
    assert_eq!(send(&app, Verb::Post, apply, &token, Some(rule)).status, StatusCode::OK);
    let now = audit();
    assert_eq!(now.len(), before + 1);
    assert_eq!(
        (&now[0]["action"], &now[0]["who"], &now[0]["object"], &now[0]["token"]),
        (&json!("request"), &json!("admin"), &json!("POST /api/v1/config/apply"), &json!(1))
    );
    let before = now.len();
    for (path, body) in [
        ("/api/v1/config/apply?dry_run=true", rule),
        ("/api/v1/rules/test", r#"{"when": "reputation >= 8"}"#),
        ("/api/v1/extract", r#"{"text": "bad.example"}"#),
        ("/api/v1/passes", r#"{"all": true, "dry_run": true}"#),
    ] {
        let reply = send(&app, Verb::Post, path, &token, Some(body));
        assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.text());
        assert_eq!(audit().len(), before, "{path}: {}", audit()[0]);
    }
    // What does not work is no change.
    assert_eq!(send(&app, Verb::Post, "/api/v1/runs/99/approve", &token, None).status, StatusCode::NOT_FOUND);
    assert_eq!(audit().len(), before);
}

/// S36: what people do to come in and go out, and to their own accounts, and every way in vain.
#[test]
fn s36_people_leave_their_steps() {
    use crate::people::{Browser, PASSWORD, code, enrol, person};
    let app = TestApp::new();
    let setup = app.app.begin_set_up().unwrap().unwrap();
    let mut ada = Browser::at("192.0.2.9");
    let made =
        ada.post(&app, "/api/v1/set-up", &json!({ "code": setup.reveal(), "name": "ada", "password": PASSWORD }));
    made.ok();
    ada.keep(&made);
    let grace = person(&app, "grace", &["analyst"]);
    let (secret, _) = enrol(&app, &grace);
    app.world.advance(60);
    let mut again = Browser::default();
    let ticket = again.sign_in(&app, "grace", PASSWORD).ok()["ticket"].clone();
    again.post(&app, "/api/v1/sign-in/code", &json!({ "ticket": ticket, "code": "000000" }));
    let done = again.post(&app, "/api/v1/sign-in/code", &json!({ "ticket": ticket, "code": code(&app, &secret) }));
    done.ok();
    again.keep(&done);
    Browser::default().sign_in(&app, "grace", "wrong wrong wrong");
    let removed = again.post(&app, "/api/v1/me/second-factor/remove", &json!({ "password": PASSWORD }));
    assert!(removed.status.is_success(), "{}", removed.text());
    let session = ada.get(&app, "/api/v1/me").ok()["session"]["id"].clone();
    let other = person(&app, "olga", &["viewer"]).get(&app, "/api/v1/me").ok()["session"]["id"].clone();
    assert_ne!(session, other);
    assert!(ada.ask(&app, "DELETE", &format!("/api/v1/sessions/{other}"), None).status.is_success());
    assert!(again.post(&app, "/api/v1/sign-out", &json!({})).status.is_success());
    let log = app.get("/api/v1/audit?limit=1000").ok();
    let log = log.as_array().unwrap();
    let find = |who: &str, action: &str, object: &str| {
        let one = |entry: &&Value| entry["who"] == who && entry["action"] == action && entry["object"] == object;
        log.iter().find(one).unwrap_or_else(|| panic!("{who} {action} {object} in {log:#?}"))
    };
    assert_eq!(find("ada", "user.set_up", "ada")["address"], "192.0.2.9");
    for (who, action, object) in [
        ("ada", "sign_in", "ada"),
        ("grace", "user.password", "grace"),
        ("grace", "sign_in", "grace"),
        ("nobody", "sign_in.failed", "grace"),
        ("grace", "user.second_factor", "grace"),
        ("grace", "sign_out", "grace"),
    ] {
        find(who, action, object);
    }
    assert_eq!(log.iter().filter(|entry| entry["action"] == "sign_in.failed").count(), 2, "a code and a password");
    assert_eq!(log.iter().filter(|entry| entry["action"] == "user.second_factor").count(), 2, "on and off");
    find("ada", "session.end", &other.to_string());
}

/// S36: what people decide about plans, and what they take back.
#[test]
fn s36_decisions_leave_their_steps() {
    let app = TestApp::new().with_list(&json!({ "format": "edl" }));
    let token = app.token("admin");
    app.publish(&["203.0.113.9", "203.0.113.10"]);
    let run = app.get("/api/v1/runs?kind=share").ok()[0]["id"].as_u64().unwrap();
    let audit = || app.get("/api/v1/audit?limit=1000").ok().as_array().unwrap().clone();
    let act = |path: &str, body: Value, action: &str| {
        let before = audit().len();
        let reply = send(&app, Verb::Post, path, &token, Some(&body.to_string()));
        let new = audit();
        let new: Vec<&str> = new[..new.len() - before].iter().map(|entry| entry["action"].as_str().unwrap()).collect();
        assert!(reply.status.is_success(), "{path}: {} {}", reply.status, reply.text());
        assert!(!new.contains(&"request") && new.iter().any(|said| said.starts_with(action)), "{path}: {new:?}");
        reply.json()
    };
    let plan = act(&format!("/api/v1/runs/{run}/undo"), json!({}), "plan.");
    act(&format!("/api/v1/plans/{}/reject", plan["id"]), json!({ "note": "no" }), "plan.reject");
    app.world.advance(60);
    app.publish(&["203.0.113.11"]);
    let back = json!({ "to": app.get("/api/v1/runs?kind=share").ok()[1]["ended"] });
    let plan = act("/api/v1/targets/block-ip/return", back, "plan.");
    act(&format!("/api/v1/plans/{}/approve", plan["id"]), json!({ "note": "yes" }), "plan.approve");
    app.post("/api/v1/passes", &json!({ "all": true })).ok();
    act("/api/v1/targets/block-ip/unpin", json!({}), "target.unpin");
}

/// S36: a key that was changed, and a copy of everything.
#[test]
fn s36_keys_and_copies_leave_their_steps() {
    let dir = TempDir::new().unwrap();
    let app = real(dir.path());
    app.post("/api/v1/config/apply", &with_secrets()).ok();
    let token = app.token("admin");
    for (path, body, action) in
        [("/api/v1/secrets/rotate", "{}", "secret.rotate"), ("/api/v1/backup", r#"{"path": "today.db"}"#, "backup")]
    {
        let reply = send(&app, Verb::Post, path, &token, Some(body));
        assert!(reply.status.is_success(), "{path}: {}", reply.text());
        let log = app.get("/api/v1/audit?limit=10").ok();
        let said: Vec<&str> =
            log.as_array().unwrap().iter().take(2).map(|entry| entry["action"].as_str().unwrap()).collect();
        assert!(said.iter().any(|said| said.starts_with(action)) && !said.contains(&"request"), "{path}: {said:?}");
    }
}

struct Server {
    child: Child,
    address: String,
    said: String,
    rest: Option<std::thread::JoinHandle<String>>,
}

impl Server {
    fn start(dir: &Path, args: &[&str]) -> Server {
        let mut child = Command::new(env!("CARGO_BIN_EXE_iocast"))
            .args(["--data", "data", "serve", "--listen", "127.0.0.1:0"])
            .args(args)
            .current_dir(dir)
            .env_clear()
            .env("IOCAST_KEY_FILE", "key")
            .env("IOCAST_LOG", "debug")
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let address = loop {
            let line = lines.next().unwrap_or_else(|| panic!("it ended early: {said}")).unwrap();
            said.push_str(&line);
            said.push('\n');
            if let Some((_, rest)) = line.split_once("listening on http") {
                break rest.trim_start_matches('s').trim_start_matches("://").split(',').next().unwrap().to_owned();
            }
        };
        let rest = Some(std::thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>().join("\n")));
        Server { child, address, said, rest }
    }

    fn token(&self) -> String {
        self.said.split_whitespace().find(|word| word.starts_with("ioc_")).unwrap().to_owned()
    }

    fn stop(mut self) -> String {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        self.rest.take().unwrap().join().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ask(stream: &mut (impl std::io::Read + std::io::Write), path: &str, headers: &str) -> String {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n{headers}Connection: close\r\n\r\n").unwrap();
    let mut text = Vec::new();
    // The end of a TLS stream without a farewell is an error; what came counts.
    let _ = stream.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

fn tls(
    address: &str,
    roots: &Path,
    version: &'static rustls::SupportedProtocolVersion,
) -> rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
    use rustls::pki_types::pem::PemObject as _;
    let mut store = rustls::RootCertStore::empty();
    for certificate in rustls::pki_types::CertificateDer::pem_file_iter(roots).unwrap() {
        store.add(certificate.unwrap()).unwrap();
    }
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(store)
        .with_no_client_auth();
    let client = rustls::ClientConnection::new(Arc::new(config), "iocast.example".try_into().unwrap()).unwrap();
    rustls::StreamOwned::new(client, TcpStream::connect(address).unwrap())
}

/// S34: the command line asks a server with a certificate of its own where it is told who vouches for it, and nowhere else:
/// without, with another server's and with a file that is none it says what to do, and no token goes out.
#[cfg(unix)]
#[test]
fn s34_the_command_line_believes_the_certificate_it_is_given() {
    let (dir, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let server = Server::start(dir.path(), &["--tls-self-signed", "iocast.example"]);
    let stranger = Server::start(other.path(), &["--tls-self-signed"]);
    let url = format!("https://{}", server.address);
    let token = server.token();
    let run = |ca: Option<&Path>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_iocast"));
        command.env_clear().args(["--url", &url, "token", "list"]).env("IOCAST_TOKEN", &token);
        if let Some(ca) = ca {
            command.arg("--ca-file").arg(ca);
        }
        crate::support::Ran::from(command.output().unwrap())
    };
    let own = dir.path().join("data/tls/self-signed.pem");
    run(Some(&own)).code(0).says("admin");
    run(None).code(1).says("--ca-file");
    run(Some(&other.path().join("data/tls/self-signed.pem"))).code(1).says("--ca-file");
    run(Some(&dir.path().join("data/tls/self-signed.key"))).code(2).says("there is no certificate in it");
    run(Some(&dir.path().join("nowhere.pem"))).code(2).says("cannot be read");
    let log = server.stop();
    assert!(!log.contains(&token), "{log}");
    stranger.stop();
}

/// S34, S16: a server with a certificate of its own speaks TLS 1.2 and 1.3 and says HSTS; 600 connections that say nothing
/// keep nobody out; plain HTTP is not answered; the audit log is in its file after the end; no line of the log holds a token.
#[cfg(unix)]
#[test]
fn s34_tls_is_spoken_and_slow_handshakes_give_way() {
    let dir = TempDir::new().unwrap();
    let server = Server::start(dir.path(), &["--tls-self-signed", "iocast.example", "--audit-file", "audit.log"]);
    let roots = dir.path().join("data/tls/self-signed.pem");
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let answer = ask(&mut tls(&server.address, &roots, version), "/healthz", "");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("strict-transport-security: max-age=31536000"), "{answer}");
    }
    let plain = ask(&mut TcpStream::connect(&server.address).unwrap(), "/healthz", "");
    assert!(!plain.contains("HTTP/1.1 200"), "{plain}");
    let silent: Vec<TcpStream> = (0..600).map(|_| TcpStream::connect(&server.address).unwrap()).collect();
    let begun = std::time::Instant::now();
    let answer = ask(&mut tls(&server.address, &roots, &rustls::version::TLS13), "/healthz", "");
    assert!(answer.starts_with("HTTP/1.1 200") && begun.elapsed().as_secs() < 8, "{answer} {:?}", begun.elapsed());
    drop(silent);
    let token = server.token();
    let log = server.stop();
    assert!(!log.contains(&token), "{log}");
    let verify = |args: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_iocast"))
            .args(args)
            .current_dir(dir.path())
            .env_clear()
            .env("IOCAST_KEY_FILE", "key")
            .output()
            .unwrap()
    };
    let done = verify(&["audit", "verify", "data/iocast.db", "--against", "audit.log"]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert!(String::from_utf8_lossy(&done.stdout).contains("1 signatures hold"), "{done:?}");
}

/// S34: an address that others reach is refused without TLS, with words that name each way out; a proxy's word on who asks
/// is believed where it was named, and only there.
#[cfg(unix)]
#[test]
fn s34_plain_http_stays_on_this_machine_or_behind_a_named_proxy() {
    let dir = TempDir::new().unwrap();
    let refused = Command::new(env!("CARGO_BIN_EXE_iocast"))
        .args(["--data", "data", "serve", "--listen", "0.0.0.0:0"])
        .current_dir(dir.path())
        .env_clear()
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    for way in ["--tls-cert", "--tls-self-signed", "--behind-proxy", "127.0.0.1"] {
        assert!(said.contains(way), "{said}");
    }
    assert!(!dir.path().join("data").exists(), "nothing was begun");
    for (args, believed) in [(&["--behind-proxy", "127.0.0.0/8,10.0.0.0/8"][..], true), (&[][..], false)] {
        let dir = TempDir::new().unwrap();
        let server = Server::start(dir.path(), args);
        let headers = "X-Forwarded-For: 198.51.100.1, 203.0.113.9, 10.0.0.7\r\nX-Forwarded-Proto: https\r\nAuthorization: Bearer no\r\n";
        let denied = ask(&mut TcpStream::connect(&server.address).unwrap(), "/api/v1/status", headers);
        assert!(denied.starts_with("HTTP/1.1 401"), "{denied}");
        assert_eq!(denied.contains("strict-transport-security"), believed, "{denied}");
        let auth = format!("Authorization: Bearer {}\r\n", server.token());
        let audit = loop {
            let audit = ask(&mut TcpStream::connect(&server.address).unwrap(), "/api/v1/audit", &auth);
            if !audit.starts_with("HTTP/1.1 503") {
                break audit;
            }
        };
        let address = if believed { "203.0.113.9" } else { "127.0.0.1" };
        assert!(audit.contains(&format!(r#""address":"{address}""#)), "{audit}");
        server.stop();
    }
}
