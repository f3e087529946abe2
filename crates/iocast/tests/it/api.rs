//! The router: who may, what comes back, and how what goes wrong is told.

use crate::support::{TestApp, one_list};
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use iocast::api::routes::{Needs, TABLE};
use iocast::people::roles::covers;
use iocast::tokens::Scope;
use serde_json::{Value, json};

/// An address with its parameters filled in.
fn address(path: &str) -> String {
    path.replace("{name}", "nobody").replace("{id}", "999").replace("{kind}", "auto").replace(['{', '}'], "")
}

#[test]
fn every_route_asks_for_a_token() {
    let app = TestApp::new();
    let list = app.token("list");
    let read = app.token("read");
    let admin = app.token("admin");
    let ingest = app.token("ingest:somebody");
    let ask = |route: &iocast::api::routes::Route, token: Option<&str>| {
        let method = Method::from_bytes(route.method.as_str().as_bytes()).unwrap();
        let mut request = Request::builder().method(method).uri(address(route.path));
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        app.send(request.body(Body::empty()).unwrap()).status
    };
    let mut without = Vec::new();
    for route in TABLE {
        let name = format!("{} {}", route.method.as_str(), route.path);
        if matches!(route.needs, Needs::Nothing) {
            without.push(name);
            continue;
        }
        let none = ask(route, None);
        let unknown = ask(route, Some("ioc_0000000000000000000000000000000000000000000000000000000000000000"));
        assert_eq!((none, unknown), (StatusCode::UNAUTHORIZED, StatusCode::UNAUTHORIZED), "{name}");
        if route.path == "/api/v1/me" {
            continue;
        }
        for (token, scope) in
            [(&list, Scope::List), (&read, Scope::Read), (&admin, Scope::Admin), (&ingest, Scope::Ingest)]
        {
            let may = match route.needs {
                Needs::ItsOwn => scope != Scope::Ingest,
                // Its bucket is another.
                Needs::Ingest => scope == Scope::Admin,
                Needs::Session => false,
                needs => covers(scope, needs),
            };
            let got = ask(route, Some(token));
            assert_eq!(got == StatusCode::FORBIDDEN, !may, "{name} with {}: {got}", scope.as_str());
            assert!(got != StatusCode::UNAUTHORIZED && !got.is_server_error(), "{name} with {}: {got}", scope.as_str());
        }
    }
    assert_eq!(
        without,
        [
            "GET /healthz",
            "GET /api/v1/openapi.json",
            "GET /api/v1/set-up",
            "POST /api/v1/set-up",
            "POST /api/v1/sign-in",
            "POST /api/v1/sign-in/code",
        ],
        "routes open to anybody are named here"
    );
}

#[test]
fn tokens_are_good_as_long_as_they_are() {
    let app = TestApp::new();
    let admin = app.token("admin");
    let status = |token: &str| {
        let request = Request::get("/api/v1/status").header("authorization", format!("Bearer {token}"));
        app.send(request.body(Body::empty()).unwrap()).status
    };
    let made = app.post("/api/v1/tokens", &json!({ "name": "watch", "scope": "read" }));
    assert_eq!(made.status, StatusCode::CREATED);
    let made = made.json();
    let token = made["token"].as_str().unwrap();
    assert!(token.starts_with("ioc_") && token.len() == 4 + 64, "{token}");
    assert_eq!(status(token), StatusCode::OK);
    // An id is never a credential, nor is what is stored.
    let hash = kit::render::hex(&iocast::tokens::hash(token));
    for wrong in [made["id"].to_string(), "watch".to_owned(), hash.clone(), format!("ioc_{hash}"), String::new()] {
        assert_eq!(status(&wrong), StatusCode::UNAUTHORIZED, "{wrong}");
    }
    // A token is no password of the API.
    let basic = base64(&format!("x:{token}"));
    let request = Request::get("/api/v1/status").header("authorization", format!("Basic {basic}"));
    assert_eq!(app.send(request.body(Body::empty()).unwrap()).status, StatusCode::UNAUTHORIZED);
    // Nowhere shown again.
    let listed = app.get("/api/v1/tokens").text();
    assert!(!listed.contains(token) && !listed.contains(&hash), "{listed}");
    assert!(!app.get("/api/v1/audit").text().contains(token));
    app.world.advance(91 * 24 * 3600);
    assert_eq!(status(token), StatusCode::UNAUTHORIZED, "expired");
    assert_eq!(status(&admin), StatusCode::OK);
    let other = app.post("/api/v1/tokens", &json!({ "name": "edge", "scope": "list" })).json();
    assert_eq!(other["expires_at"], Value::Null, "a token of a firewall does not expire by itself");
    let request = Request::delete(format!("/api/v1/tokens/{}", other["id"])).body(Body::empty()).unwrap();
    assert_eq!(app.send(iocast::api::local(request)).status, StatusCode::OK);
    assert_eq!(status(other["token"].as_str().unwrap()), StatusCode::UNAUTHORIZED, "revoked");
}

pub(crate) fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[test]
fn what_goes_wrong_is_told_in_one_shape() {
    let app = TestApp::new().with_list(&json!({ "format": "edl" }));
    let long = "x".repeat(api_limit() + 1);
    for (method, path, body, status, detail) in [
        ("GET", "/api/v1/nothing", "", 404, "nothing at this address"),
        ("PUT", "/api/v1/status", "", 405, "another method"),
        ("GET", "/api/v1/indicators?q=kind%20%3D", "", 400, "expected"),
        ("GET", "/api/v1/indicators?limt=3", "", 400, "limt"),
        ("GET", "/api/v1/indicators?sort=age", "", 400, "none of id, value"),
        ("GET", "/api/v1/indicators?after=xx", "", 400, "take it from \"next\""),
        ("GET", "/api/v1/indicators/why?value=localhost", "", 400, "localhost"),
        ("POST", "/api/v1/pulls", "{}", 400, "say which"),
        ("POST", "/api/v1/pulls", r#"{"connections":["edg"]}"#, 404, "edge"),
        ("POST", "/api/v1/passes", r#"{"targets":["block-up"]}"#, 404, "did you mean \"block-ip\"?"),
        ("POST", "/api/v1/passes", r#"{"target":["block-ip"]}"#, 400, "unknown field `target`"),
        ("POST", "/api/v1/passes", "{", 400, "not what is expected"),
        ("POST", "/api/v1/passes", r#"{"all":true} x"#, 400, "after its end"),
        (
            "POST",
            "/api/v1/indicators",
            r#"{"items":[{"value":"1.2.3.4"},{"value":"a","tlp":"pink"}]}"#,
            400,
            "items[1]: tlp",
        ),
        ("POST", "/api/v1/indicators", r#"{"items":[{"value":"a","reputation":11}]}"#, 400, "from 1 to 10"),
        ("POST", "/api/v1/indicators/verdict", r#"{"value":"9.9.9.9","verdict":"false_positive"}"#, 400, "end date"),
        ("POST", "/api/v1/rules/test", "{}", 400, "\"when\""),
        ("POST", "/api/v1/rules/test", r#"{"when":"kind ="}"#, 400, "expected"),
        ("GET", "/api/v1/runs/77", "", 404, "no run 77"),
        ("GET", "/api/v1/runs/abc", "", 404, ""),
        ("POST", "/api/v1/plans/5/approve", "{}", 404, "no plan 5"),
        ("GET", "/api/v1/connectors/fed", "", 404, "did you mean \"feed\"?"),
        ("POST", "/api/v1/config/apply", &long, 413, "longer than 32 MiB"),
    ] {
        let request = Request::builder().method(method).uri(path).body(Body::from(body.to_owned())).unwrap();
        let reply = app.send(iocast::api::local(request));
        let what = format!("{method} {path} {}", body.chars().take(80).collect::<String>());
        assert_eq!(reply.status.as_u16(), status, "{what}: {}", reply.text());
        assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{what}");
        let problem = reply.json();
        assert_eq!(problem["status"], status, "{what}");
        assert!(problem["detail"].as_str().unwrap().contains(detail), "{what}: {problem}");
    }
}

fn api_limit() -> usize {
    iocast::api::MAX_BODY_BYTES
}

#[test]
fn every_answer_carries_what_protects_a_browser() {
    let app = TestApp::new();
    let read = app.token("read");
    for (path, token) in [
        ("/healthz", ""),
        ("/api/v1/status", read.as_str()),
        ("/api/v1/status", ""),
        ("/lists/x", ""),
        ("/nothing", ""),
    ] {
        let reply = app.ask(Method::GET, path, "127.0.0.1", &[("authorization", &format!("Bearer {token}"))]);
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert!(reply.header("content-security-policy").unwrap().starts_with("default-src 'none'"), "{path}");
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(reply.header("server"), None, "{path}");
        assert!(!reply.text().contains(env!("CARGO_PKG_VERSION")) || path == "/api/v1/status", "{path}");
    }
}

#[test]
fn a_file_is_applied_once() {
    let app = TestApp::new();
    let file = one_list(&json!({ "format": "edl" }));
    let dry = app.post("/api/v1/config/apply?dry_run=true", &file).ok();
    assert_eq!(dry["changes"].as_array().unwrap().len(), 4, "{dry}");
    assert!(app.get("/api/v1/config").ok().get("rule").is_none(), "a dry run changes nothing");
    assert_eq!(app.post("/api/v1/config/apply", &file).ok(), dry);
    let again = app.post("/api/v1/config/apply", &file).ok();
    assert_eq!((again["changes"].as_array().unwrap().len(), again["unchanged"].as_u64()), (0, Some(4)));
    // What is shown can be applied as it is.
    let shown = app.get("/api/v1/config").ok();
    assert_eq!(app.post("/api/v1/config/apply", &shown).ok()["changes"], json!([]));
    let mut wrong = file;
    wrong["rule"][0]["when"] = "reputation > ".into();
    wrong["target"][0]["connection"] = "edg".into();
    let reply = app.post("/api/v1/config/apply", &wrong);
    assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY);
    let mut found: Vec<(String, String, String)> = Vec::new();
    for error in reply.json()["errors"].as_array().unwrap() {
        let text = |key: &str| error[key].as_str().unwrap().to_owned();
        found.push((text("section"), text("name"), text("key")));
    }
    for expect in [("rule", "addresses", "when"), ("target", "block-ip", "connection")] {
        assert!(found.iter().any(|(s, n, k)| (s.as_str(), n.as_str(), k.as_str()) == expect), "{found:?}");
    }
    let who = app.get("/api/v1/audit").ok();
    assert_eq!(who[0]["who"], "local", "{who}");
}

#[test]
fn from_adding_to_a_list_and_back() {
    let app = TestApp::new().with_list(&json!({ "format": "edl" }));
    let added = app.post(
        "/api/v1/indicators",
        &json!({ "items": [
            { "value": "hxxp://evil[.]example.org/x", "reputation": 9, "tags": ["kit"] },
            { "value": "203.0.113.9", "reputation": 9, "comment": "seen" },
            { "value": "198.51.100.7", "reputation": 3 },
            { "value": "not a value" },
        ] }),
    );
    let added = added.ok();
    assert_eq!(added[0]["ok"]["value"], "http://evil.example.org/x", "{added}");
    assert!(added[3]["error"].is_string(), "{added}");
    assert_eq!(app.get("/api/v1/indicators/count?q=").ok()["count"], 3);
    assert_eq!(app.get("/api/v1/indicators/count?q=reputation%20%3E%3D%205").ok()["count"], 2);
    let test = app.post("/api/v1/rules/test", &json!({ "rule": "addresses", "value": "198.51.100.7" })).ok();
    assert_eq!((test["selected"].as_u64(), test["excepted"].as_u64()), (Some(1), Some(0)), "{test}");
    assert_eq!(test["by_kind"]["ipv4"], json!({ "count": 1, "bytes": 12 }), "{test}");
    assert_eq!((&test["value"]["known"], &test["value"]["selected"]), (&json!(true), &json!(false)), "{test}");
    let test = app.post(
        "/api/v1/rules/test",
        &json!({ "when": "reputation > 1", "exceptions": [{ "name": "net", "values": ["203.0.113.0/24"] }], "value": "203.0.113.9" }),
    );
    let test = test.ok();
    assert_eq!((test["selected"].as_u64(), test["excepted"].as_u64()), (Some(3), Some(1)), "{test}");
    assert!(test["value"]["exception"].as_str().unwrap().contains("net"), "{test}");

    let dry = app.post("/api/v1/passes", &json!({ "all": true, "dry_run": true })).ok();
    assert_eq!((dry[0]["status"].as_str(), dry[0]["push"].as_u64()), (Some("dry_run"), Some(1)), "{dry}");
    assert_eq!(app.get("/lists/block-ip").status, StatusCode::SERVICE_UNAVAILABLE, "not published by a dry run");
    let done = app.post("/api/v1/passes", &json!({ "targets": ["block-ip"] })).ok();
    assert_eq!(done[0]["accepted"].as_u64(), Some(1), "{done}");
    assert_eq!(app.get("/lists/block-ip").text(), "203.0.113.9\n");
    let why = app.get("/api/v1/indicators/why?value=203.0.113[.]9").ok();
    assert_eq!(why["targets"][0]["present"], true, "{why}");

    let verdict = json!({ "value": "203.0.113.9", "verdict": "safe" });
    assert_eq!(app.post("/api/v1/indicators/verdict", &verdict).ok()["verdict"], "safe");
    app.post("/api/v1/passes", &json!({ "all": true })).ok();
    assert_eq!(app.get("/lists/block-ip").text(), "", "a verdict takes the last entry back at once");
    let noted = json!({ "value": "198.51.100.7", "add_tags": ["lab"], "mute": true, "comment": "ours" });
    let noted = app.post("/api/v1/indicators/annotate", &noted).ok();
    assert_eq!((&noted["tags"], &noted["muted"]), (&json!(["lab"]), &json!(true)), "{noted}");
    let runs = app.get("/api/v1/runs?kind=share&limit=1").ok();
    assert_eq!(runs.as_array().unwrap().len(), 1, "{runs}");
    assert_eq!(app.get(&format!("/api/v1/runs/{}", runs[0]["id"])).ok(), runs[0]);
    let status = app.get("/api/v1/status").ok();
    assert_eq!((status["indicators"].as_u64(), &status["frozen"]), (Some(3), &json!(false)), "{status}");
}

#[test]
fn pages_and_lines_give_the_same() {
    let app = TestApp::new();
    let items: Vec<Value> =
        (0..250).map(|n| json!({ "value": format!("203.0.113.{n}"), "reputation": 1 + n % 10 })).collect();
    app.post("/api/v1/indicators", &json!({ "items": items })).ok();
    for sort in ["id", "value", "-value", "-reputation"] {
        let mut paged = Vec::new();
        let mut after = String::new();
        loop {
            let page = app.get(&format!("/api/v1/indicators?q=&sort={sort}&limit=70{after}")).ok();
            paged.extend(page["items"].as_array().unwrap().iter().cloned());
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        let request = Request::get(format!("/api/v1/indicators?sort={sort}")).header("accept", "application/x-ndjson");
        let reply = app.send(iocast::api::local(request.body(Body::empty()).unwrap()));
        assert_eq!(reply.header("content-type"), Some("application/x-ndjson"));
        let lines: Vec<Value> = reply.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(paged.len(), 250, "{sort}");
        assert_eq!(paged, lines, "{sort}");
    }
    let request = Request::get("/api/v1/indicators?limit=7").header("accept", "application/x-ndjson");
    let reply = app.send(iocast::api::local(request.body(Body::empty()).unwrap()));
    assert_eq!(reply.text().lines().count(), 7);
}

#[test]
fn files_are_read_below_what_was_allowed() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("feed.txt"), "203.0.113.1\n203.0.113.2\nnonsense here\n").unwrap();
    let app = TestApp::with(None, vec![dir.path().to_owned()]);
    let url = format!("file://{}/feed.txt", dir.path().display());
    let file = json!({ "connection": [
        { "name": "in", "connector": "feed", "settings": { "url": url, "format": "text" } },
        { "name": "out", "connector": "feed", "settings": { "url": "file:///etc/hostname", "format": "text" } },
    ] });
    app.post("/api/v1/config/apply", &file).ok();
    let reports = app.post("/api/v1/pulls", &json!({ "all": true })).ok();
    let report = |name: &str| reports.as_array().unwrap().iter().find(|r| r["connection"] == name).unwrap().clone();
    assert_eq!(report("in")["new"], 2, "{reports}");
    assert_eq!(report("out")["status"], "failed", "{reports}");
    assert!(report("out")["error"].as_str().unwrap().contains("--files"), "{reports}");
    assert_eq!(app.post("/api/v1/connections/in/check", &json!({})).ok()["ok"], true);
    let check = app.post("/api/v1/connections/out/check", &json!({})).ok();
    assert_eq!(check["ok"], false, "{check}");
}

#[test]
fn freezing_stops_what_would_be_sent() {
    let app = TestApp::new().with_list(&json!({ "format": "edl" }));
    app.post("/api/v1/freeze", &json!({})).ok();
    assert_eq!(app.get("/api/v1/status").ok()["frozen"], true);
    app.post("/api/v1/indicators", &json!({ "items": [{ "value": "203.0.113.9", "reputation": 9 }] })).ok();
    let frozen = app.post("/api/v1/passes", &json!({ "all": true })).ok();
    assert_eq!(frozen[0]["status"], "frozen", "{frozen}");
    app.post("/api/v1/thaw", &json!({})).ok();
    let thawed = app.post("/api/v1/passes", &json!({ "all": true })).ok();
    assert_eq!(thawed[0]["accepted"], 1, "{thawed}");
}

#[test]
fn why_knows_what_there_is_no_room_for() {
    let app = TestApp::new();
    app.post("/api/v1/config/apply", &one_list(&json!({ "format": "edl", "capacity": 1 }))).ok();
    let add = |value: &str, reputation: u8| {
        app.post("/api/v1/indicators", &json!({ "items": [{ "value": value, "reputation": reputation }] })).ok()
    };
    let code = |value: &str| {
        let why = app.get(&format!("/api/v1/indicators/why?value={value}")).ok();
        (why["targets"][0]["step"].clone(), why["targets"][0]["code"].clone())
    };
    add("203.0.113.9", 8);
    add("203.0.113.10", 7);
    app.post("/api/v1/passes", &json!({ "all": true })).ok();
    assert_eq!(code("203.0.113.9"), (json!("leave"), json!("present")));
    assert_eq!(code("203.0.113.10"), (json!("skip"), json!("over_capacity")));
    add("203.0.113.11", 9);
    assert_eq!(code("203.0.113.9"), (json!("retract"), json!("over_capacity")), "displaced by a higher one");
}

#[test]
fn a_plan_that_waits_is_approved_exactly() {
    let app = TestApp::new();
    let mut file = one_list(&json!({ "format": "edl" }));
    file["target"][0]["first_fill"] = "approve".into();
    app.post("/api/v1/config/apply", &file).ok();
    app.post("/api/v1/indicators", &json!({ "items": [{ "value": "203.0.113.9", "reputation": 9 }] })).ok();
    let held = app.post("/api/v1/passes", &json!({ "all": true })).ok();
    assert_eq!(held[0]["status"], "held", "{held}");
    let plans = app.get("/api/v1/plans?status=waiting").ok();
    let id = plans[0]["id"].as_u64().unwrap();
    assert_eq!(app.get(&format!("/api/v1/plans/{id}")).ok()["steps"][0]["entry"], "203.0.113.9");
    let approved = app.post(&format!("/api/v1/plans/{id}/approve"), &json!({ "note": "looks right" })).ok();
    assert_eq!((&approved["status"], &approved["who"]), (&json!("approved"), &json!("local")), "{approved}");
    assert_eq!(app.post("/api/v1/passes", &json!({ "all": true })).ok()[0]["accepted"], 1);
    let again = app.post(&format!("/api/v1/plans/{id}/reject"), &json!({}));
    assert_eq!(again.status, StatusCode::CONFLICT, "{}", again.text());
}

#[test]
fn a_backup_over_the_network_goes_where_backups_go() {
    let dir = tempfile::tempdir().unwrap();
    let app = TestApp::with(Some(dir.path().join("data")), Vec::new());
    let admin = app.token("admin");
    let ask = |path: &str| {
        let request = Request::post("/api/v1/backup").header("authorization", format!("Bearer {admin}"));
        app.send(request.body(Body::from(json!({ "path": path }).to_string())).unwrap())
    };
    for outside in ["/tmp/x.db", "../x.db", "a/b.db", ""] {
        assert_eq!(ask(outside).status, StatusCode::BAD_REQUEST, "{outside}");
    }
    assert_eq!(ask("today.db").status, StatusCode::OK);
    assert!(dir.path().join("data/backups/today.db").is_file());
    let here = dir.path().join("here.db");
    let made = app.post("/api/v1/backup", &json!({ "path": here })).ok();
    assert_eq!(made["bytes"].as_u64(), Some(here.metadata().unwrap().len()));
    assert_eq!(app.post("/api/v1/backup", &json!({ "path": here })).status, StatusCode::CONFLICT);
}
