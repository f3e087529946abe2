//! The doors as strangers find them: headers, errors, what is said without a token, what may be set, and what is about to end.

use crate::people::{Browser, PASSWORD, person};
use crate::support::{Ran, Reply, TestApp};
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use iocast::api::routes::{Needs, TABLE, Verb};
use iocast::web::routes;
use serde_json::{Value, json};
use std::process::Command;

fn bare(app: &TestApp, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
    let mut request = Request::builder().method(method).uri(path).header("host", "iocast.example");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    app.send(request.body(Body::empty()).unwrap())
}

fn send(app: &TestApp, verb: Verb, path: &str, token: &str, body: &Value) -> Reply {
    let method = Method::from_bytes(verb.as_str().as_bytes()).unwrap();
    let request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {token}"));
    let request = request.header("content-type", "application/json").header("if-none-match", "*");
    app.send(request.body(Body::from(body.to_string())).unwrap())
}

/// A path of the table with something in its braces.
fn filled(path: &str) -> String {
    let parts = path.split('/').map(|part| match part {
        "{id}" => "1",
        "{kind}" => "domain",
        "{value}" => "bad.example",
        part if part.starts_with('{') => "x",
        part => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

fn every_path() -> impl Iterator<Item = (Verb, &'static str, Needs)> {
    let api = TABLE.iter().map(|route| (route.method, route.path, route.needs));
    api.chain(routes::TABLE.iter().map(|page| (page.method, page.path, page.needs)))
}

/// S16: every route of both tables answers with the same guards, whether it lets somebody in or not, errors included: a
/// policy that allows nothing that is not named, no sniffing, no referrer, no other window, nothing in a cache.
#[test]
fn s16_every_answer_has_its_guards() {
    let app = TestApp::new();
    let token = app.token("admin");
    let auth = format!("Bearer {token}");
    let mut n_asked = 0;
    let odd =
        ["/nothing", "/api/v1/nothing", "/lists/nothing", "/static/0/x.js"].map(|path| (Verb::Get, path, Needs::Read));
    for (verb, path, _) in every_path().chain(odd) {
        // What goes on is no answer yet.
        if path.ends_with("/changes") || path.contains("live") {
            continue;
        }
        for headers in [vec![], vec![("authorization", auth.as_str())]] {
            let reply = bare(&app, verb.as_str(), &filled(path), &headers);
            let what = format!("{} {path} {}", verb.as_str(), reply.status);
            let policy = reply.header("content-security-policy").unwrap_or_else(|| panic!("{what}"));
            for part in ["default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "form-action"] {
                assert!(policy.contains(part), "{what}: {policy}");
            }
            assert!(!policy.contains("unsafe") && !policy.contains('*'), "{what}: {policy}");
            assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{what}");
            assert_eq!(reply.header("referrer-policy"), Some("no-referrer"), "{what}");
            assert_eq!(reply.header("cross-origin-opener-policy"), Some("same-origin"), "{what}");
            assert_eq!(reply.header("cross-origin-resource-policy"), Some("same-origin"), "{what}");
            assert!(reply.header("cache-control").is_some(), "{what}");
            n_asked += 1;
        }
    }
    assert!(n_asked > 2 * TABLE.len(), "{n_asked}");
}

/// S17: no template puts a text anywhere but escaped, and no script of ours makes HTML of one.
#[test]
fn s17_there_is_no_way_around_the_escaping() {
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/");
    let read = |folder: &str, ending: &str| {
        let files = std::fs::read_dir(format!("{here}{folder}")).unwrap().map(|file| file.unwrap().path());
        let files = files.filter(|path| path.extension().is_some_and(|is| is == ending));
        files.map(|path| (path.display().to_string(), std::fs::read_to_string(&path).unwrap())).collect::<Vec<_>>()
    };
    let templates = read("templates", "html");
    assert!(templates.len() > 15);
    for (path, text) in &templates {
        for sink in ["|safe", "| safe", "escape(\"none\")", "|e(\"none\")", "<script>", " onclick=", "javascript:"] {
            assert!(!text.contains(sink), "{path}: {sink}");
        }
    }
    for (path, text) in read("assets", "js") {
        for sink in
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "DOMParser"]
        {
            assert!(!text.contains(sink), "{path}: {sink}");
        }
    }
}

/// S18: fifty names and values that a spreadsheet or a browser would obey come out of a served list as CSV with an apostrophe
/// in front, as a download with its exact type, under an encoded name.
#[test]
fn s18_a_list_is_a_download_that_no_spreadsheet_obeys() {
    let app = TestApp::new().with_list(&json!({ "format": "csv" }));
    let starts = ["=", "+", "-", "@", "\t=", "\u{ff1d}", "\u{ff0b}", "\u{ff0d}", "\u{ff20}", "=cmd|' /C calc'!"];
    let items: Vec<Value> = (0..50)
        .map(|n| {
            let tag = format!("{}SUM({n})", starts[n % starts.len()]);
            json!({ "value": format!("203.0.113.{n}"), "reputation": 9, "tags": [tag] })
        })
        .collect();
    app.post("/api/v1/indicators", &json!({ "items": items })).ok();
    app.post("/api/v1/passes", &json!({ "all": true, "approve": true })).ok();
    let token = app.token("list");
    let reply = bare(&app, "GET", "/lists/block-ip", &[("authorization", &format!("Bearer {token}"))]);
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert!(reply.header("content-type").unwrap().starts_with("text/csv"), "{:?}", reply.headers);
    let name = reply.header("content-disposition").unwrap();
    assert!(
        name.starts_with("attachment; filename*=UTF-8''") && !name.contains([' ', '"', ';']) || name.is_ascii(),
        "{name}"
    );
    let mut n_rows = 0;
    for row in reply.text().lines().filter(|line| line.starts_with("203.") || line.starts_with("\"203.")) {
        n_rows += 1;
        for field in row.split(',') {
            let field = field.trim_start_matches('"');
            assert!(
                !field.starts_with(['=', '+', '-', '@', '\t', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}']),
                "{row}"
            );
        }
    }
    assert_eq!(n_rows, 50, "{}", reply.text());
}

/// S19: no answer allows another origin, whichever of thirty asks and however; and signing in leads to no address but one of
/// this exchange, whichever of thirty is asked for.
#[test]
fn s19_no_origin_is_allowed_and_nobody_is_led_away() {
    let app = TestApp::new();
    person(&app, "ada", &["viewer"]);
    let token = app.token("read");
    let auth = format!("Bearer {token}");
    let origins: Vec<String> = [
        "null",
        "*",
        "https://iocast.example.evil.example",
        "https://evil.example",
        "file://",
        "https://iocast.example@evil.example",
    ]
    .into_iter()
    .map(str::to_owned)
    .chain((0..24).map(|n| format!("https://{n}.iocast.example")))
    .collect();
    assert_eq!(origins.len(), 30);
    for origin in &origins {
        for (method, path) in
            [("GET", "/api/v1/status"), ("OPTIONS", "/api/v1/status"), ("GET", "/overview"), ("GET", "/lists/x")]
        {
            let asked = [
                ("origin", origin.as_str()),
                ("authorization", auth.as_str()),
                ("access-control-request-method", "POST"),
                ("access-control-request-headers", "authorization"),
            ];
            let reply = bare(&app, method, path, &asked);
            let allowed = reply.headers.keys().find(|name| name.as_str().starts_with("access-control-"));
            assert!(allowed.is_none(), "{method} {path} {origin}: {allowed:?}");
        }
    }
    let targets = [
        "https://evil.example",
        "http:evil.example",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "\t//evil.example",
        "evil.example",
        "javascript:alert(1)",
        "data:text/html,x",
        "//evil.example/%2f..",
        "https:/evil.example",
        "https:\\evil.example",
        "/%0d%0aSet-Cookie:a=b",
        "?x=//evil.example",
        "#x",
        "",
        " ",
        "//",
        "\u{2f}\u{2f}evil.example",
        "/\\/evil.example",
        "http://[::1]/",
        "ftp://evil.example",
        "//evil.example:443",
        "https://iocast.example@evil.example",
        "//iocast.example.evil.example",
        "/\r/evil.example",
        "\\/evil.example",
    ];
    assert_eq!(targets.len(), 30);
    for target in targets {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("name", "ada"), ("password", PASSWORD), ("next", target)])
            .finish();
        let request =
            Request::post("/sign-in").header("host", "iocast.example").header("sec-fetch-site", "same-origin");
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let reply = app.send(request.body(Body::from(form)).unwrap());
        assert_eq!(reply.status, StatusCode::SEE_OTHER, "{target:?}: {}", reply.text());
        let to = reply.header("location").unwrap();
        assert!(to.starts_with('/') && !to.starts_with("//") && !to.starts_with("/\\"), "{target:?}: {to}");
        assert_eq!(cookies(&reply), 1, "{target:?}");
    }
}

fn cookies(reply: &Reply) -> usize {
    reply.headers.get_all("set-cookie").iter().count()
}

/// S58: without a token everything asks for one, but for what must not: whether the process answers, the description of the
/// API, setting up and signing in. No answer names the program's version or what it runs on.
#[test]
fn s58_a_stranger_sees_the_doors_and_no_version() {
    let app = TestApp::new();
    person(&app, "ada", &["viewer"]);
    let mut open = Vec::new();
    for (verb, path, needs) in every_path() {
        let reply = bare(&app, verb.as_str(), &filled(path), &[]);
        let is_let_in = reply.status.is_success();
        assert!(!is_let_in || needs == Needs::Nothing, "{} {path}: {}", verb.as_str(), reply.status);
        if is_let_in {
            open.push(path);
        }
        assert!(reply.header("server").is_none() && reply.header("x-powered-by").is_none(), "{path}");
        let text = reply.text();
        for banner in [
            concat!("iocast ", env!("CARGO_PKG_VERSION")),
            concat!("iocast/", env!("CARGO_PKG_VERSION")),
            "rustc",
            "axum",
            "hyper",
        ] {
            assert!(!text.contains(banner), "{path}: {banner}");
        }
    }
    open.sort_unstable();
    assert_eq!(open, ["/api/v1/openapi.json", "/api/v1/set-up", "/healthz", "/sign-in"]);
    for path in [
        "/metrics",
        "/debug",
        "/debug/pprof",
        "/docs",
        "/swagger",
        "/.git/config",
        "/.env",
        "/server-status",
        "/actuator",
    ] {
        assert_eq!(bare(&app, "GET", path, &[]).status, StatusCode::NOT_FOUND, "{path}");
    }
}

/// S59: what is our trouble is told by an id: no path, no query, no name of a table, no place in the program.
#[test]
fn s59_our_trouble_is_told_by_an_id() {
    let dir = tempfile::tempdir().unwrap();
    let app = TestApp::with(Some(dir.path().join("data")), Vec::new());
    let token = app.token("admin");
    // A table goes away beneath it.
    let shell = store::bare::sql::Connection::open(dir.path().join("data/iocast.db")).unwrap();
    shell.execute_batch("ALTER TABLE session RENAME TO gone; ALTER TABLE proposal RENAME TO gone_too;").unwrap();
    for path in ["/api/v1/sessions", "/api/v1/guard/proposals"] {
        let reply = send(&app, Verb::Get, path, &token, &Value::Null);
        assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR, "{path}: {}", reply.text());
        let id = reply.json()["id"].as_str().unwrap().to_owned();
        assert_eq!(id.len(), 12, "{id}");
        for word in ["session", "proposal", "SELECT", "sqlite", "no such", ".rs", dir.path().to_str().unwrap()] {
            assert!(!reply.text().to_lowercase().contains(&word.to_lowercase()), "{path}: {}", reply.text());
        }
    }
}

/// S10: what is changed is looked up as what it is: a session, a token, a plan or a document of somebody else, or under another
/// name than its address says, is not there.
#[test]
fn s10_what_is_anothers_is_not_there() {
    let app = TestApp::new().with_list(&json!({ "format": "edl" }));
    let ada = person(&app, "ada", &["analyst"]);
    let bob = person(&app, "bob", &["analyst"]);
    let of = |browser: &Browser| browser.get(&app, "/api/v1/me").ok()["session"]["id"].clone();
    let delete = |browser: &Browser, path: &str| browser.ask(&app, "DELETE", path, None).status;
    assert_eq!(delete(&bob, &format!("/api/v1/sessions/{}", of(&ada))), StatusCode::NOT_FOUND);
    assert!(ada.is_in(&app));
    let token = ada.post(&app, "/api/v1/tokens", &json!({ "name": "mine", "scope": "read" })).ok();
    assert_eq!(delete(&bob, &format!("/api/v1/tokens/{}", token["id"])), StatusCode::NOT_FOUND);
    assert_eq!(
        send(&app, Verb::Get, "/api/v1/status", token["token"].as_str().unwrap(), &Value::Null).status,
        StatusCode::OK
    );
    let admin = app.token("admin");
    for (path, body) in [
        ("/api/v1/rules/one", json!({ "name": "two", "when": "kind = ipv4" })),
        ("/api/v1/tenants/one", json!({ "name": "two", "settings": {} })),
        ("/api/v1/targets/one", json!({ "name": "block-ip", "connection": "edge" })),
        ("/api/v1/sharings/any/addresses/one", json!({ "target": "block-ip" })),
        (
            "/api/v1/guard/exceptions/one/9.9.9.9",
            json!({ "target": "block-ip", "reason": "r", "until": "2026-09-01", "approver": "a" }),
        ),
        (
            "/api/v1/providers/one",
            json!({ "name": "two", "issuer": "https://i.example", "client_id": "c", "roles": {"a": ["viewer"]} }),
        ),
    ] {
        let reply = send(&app, Verb::Put, path, &admin, &body);
        assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}: {}", reply.text());
        assert!(reply.text().contains("keeps its name"), "{path}: {}", reply.text());
    }
    for path in ["/api/v1/plans/99/approve", "/api/v1/runs/99/undo", "/api/v1/plans/99/reject"] {
        assert_eq!(send(&app, Verb::Post, path, &admin, &json!({})).status, StatusCode::NOT_FOUND, "{path}");
    }
}

/// S11: a body may say what its route takes and nothing else: of every route that takes one, its example with one of twenty
/// other fields is refused and changes nothing.
#[test]
fn s11_a_field_that_is_not_taken_is_refused() {
    let app = TestApp::new();
    let admin = app.token("admin");
    let fields = [
        "is_admin",
        "admin",
        "role",
        "scopes",
        "owner_id",
        "user_id",
        "token_hash",
        "hash",
        "created",
        "created_at",
        "id_",
        "seq",
        "password_hash",
        "totp",
        "session",
        "csrf",
        "__proto__",
        "constructor",
        "$where",
        "x",
    ];
    let mut n_refused = 0;
    for route in TABLE {
        let Some(example) = route.docs.example else { continue };
        let Value::Object(example) = serde_json::from_str::<Value>(example).unwrap() else { continue };
        for field in fields {
            let mut body = example.clone();
            body.insert(field.to_owned(), json!(true));
            let reply = send(&app, route.method, &filled(route.path), &admin, &Value::Object(body));
            let what = format!("{} {} {field}: {} {}", route.method.as_str(), route.path, reply.status, reply.text());
            assert!(reply.status.is_client_error(), "{what}");
            let is_by_field = reply.text().contains(field);
            // Who must come with a session is told that first.
            assert!(is_by_field || route.needs == Needs::Session || reply.status == StatusCode::NOT_FOUND, "{what}");
            n_refused += 1;
        }
    }
    assert!(n_refused >= 20 * 25, "{n_refused}");
    let log = app.get("/api/v1/audit?limit=1000").ok();
    let changed: Vec<&Value> =
        log.as_array().unwrap().iter().filter(|entry| !matches!(entry["action"].as_str(), Some("denied"))).collect();
    assert!(changed.is_empty(), "{changed:#?}");
}

/// S33: what opens a door and ends within fourteen days is told: a token, an exception from the guard; and a secret that was
/// given more than a year ago. What is renewed is over. An exchange without its key says so.
#[test]
fn s33_what_is_about_to_end_is_told() {
    let app = TestApp::new().with_list(&json!({ "format": "edl" }));
    let notices = || {
        app.post("/api/v1/passes", &json!({ "all": true })).ok();
        let all = app.get("/api/v1/notices").ok();
        let of = |notice: &&Value| notice["kind"] == "ending" && notice["over"].is_null();
        all.as_array().unwrap().iter().filter(of).cloned().collect::<Vec<_>>()
    };
    let made = app.post("/api/v1/tokens", &json!({ "name": "soar", "scope": "read", "expires_at": "2026-06-20" })).ok();
    app.post("/api/v1/tokens", &json!({ "name": "later", "scope": "read", "expires_at": "2026-08-20" })).ok();
    app.post(
        "/api/v1/config/apply",
        &json!({ "guard_exception": [
            { "target": "block-ip", "value": "9.9.9.9", "reason": "r", "until": "2026-06-18", "approver": "noc" },
            { "target": "block-ip", "value": "8.8.8.8", "reason": "r", "until": "2026-06-18", "approver": "noc" },
        ], "tenant": [{ "name": "acme", "settings": { "token": "canary" } }] }),
    )
    .ok();
    assert_eq!(notices(), Vec::<Value>::new(), "19 and 17 days ahead");
    app.world.advance(4 * 86_400);
    let told = notices();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0]["text"].as_str().unwrap().contains("2 exceptions from the guard end on 2026-06-18"), "{}", told[0]);
    assert!(!told[0].to_string().contains("9.9.9.9"), "a notice names no value");
    app.world.advance(2 * 86_400);
    let told = notices();
    assert_eq!(told.len(), 2, "{told:#?}");
    let token = told.iter().find(|notice| notice["subject"] == format!("token {}", made["id"])).unwrap();
    assert!(token["text"].as_str().unwrap().contains("\"soar\" ends on 2026-06-20"), "{token}");
    let gone = Request::delete(format!("/api/v1/tokens/{}", made["id"])).body(Body::empty()).unwrap();
    app.send(iocast::api::local(gone)).ok();
    assert_eq!(notices().len(), 1, "it is over");
    app.world.advance(366 * 86_400);
    let told = notices();
    assert!(told.iter().any(|notice| notice["text"].as_str().unwrap().contains("more than a year ago")), "{told:#?}");
    assert!(!told.iter().any(|notice| notice.to_string().contains("canary")));
}

/// Where nobody has an account that is said, with what to do.
#[test]
fn a_list_of_nobody_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let run = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_iocast"));
        command.env_clear().current_dir(dir.path()).args(["--data", "data"]).args(words);
        Ran::from(command.output().unwrap())
    };
    run(&["user", "list"]).code(0).says("nobody has an account yet").says("iocast user add");
    assert_eq!(run(&["user", "list", "--format", "json"]).code(0).json(), json!([]));
    run(&["user", "add", "ada", "--role", "administrator"]).code(0);
    let listed = run(&["user", "list"]).code(0).says("ada");
    assert!(!listed.err.contains("nobody"), "{}", listed.err);
    run(&["token", "create", "edge", "--scope", "list", "--network", "10.1.0.0/16,192.0.2.7"]).code(0);
    run(&["token", "create", "mine", "--scope", "read", "--owner", "ada"]).code(0);
    run(&["token", "create", "x", "--scope", "list", "--network", "nowhere"]).code(1).says("is no network such as");
    run(&["token", "list"]).code(0).says("10.1.0.0/16").says("192.0.2.7/32").says("ada");
}

/// S06: an administrator says where else people sign in on a page: made, changed with the secret kept, wrong told where it can
/// be mended, taken out; nobody else may.
#[test]
fn s06_a_provider_is_made_on_a_page() {
    let app = TestApp::new();
    let ada = person(&app, "ada", &["administrator"]);
    let olga = person(&app, "olga", &["operator"]);
    app.post("/api/v1/config/apply", &json!({ "policy": { "public_url": "https://iocast.example" } })).ok();
    let post = |browser: &Browser, path: &str, fields: &[(&str, &str)]| {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("csrf", &browser.csrf).extend_pairs(fields);
        let request = Request::post(path).header("host", "iocast.example:8470").header("sec-fetch-site", "same-origin");
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let request = request.header("cookie", browser.cookie.as_ref().unwrap());
        browser.send(&app, request.body(Body::from(form.finish())).unwrap())
    };
    let page = "/settings/sign-in";
    let corp = [
        ("name", "corp"),
        ("issuer", "https://login.example"),
        ("client_id", "iocast"),
        ("client_secret", "canary-secret"),
        ("roles", "soc = analyst, approver\nit=administrator"),
        ("enabled", "on"),
    ];
    assert_eq!(post(&olga, page, &corp).status, StatusCode::FORBIDDEN);
    assert_eq!(olga.get(&app, page).status, StatusCode::FORBIDDEN);
    let reply = post(&ada, page, &corp);
    assert_eq!(reply.header("location"), Some("/settings/sign-in?done=saved"), "{}", reply.text());
    let shown = ada.get(&app, page).text();
    assert!(shown.contains("https://iocast.example/sign-in/at/corp/back") && !shown.contains("canary"), "{shown}");
    assert!(shown.contains("soc = analyst, approver"), "{shown}");
    let tag = || {
        let text = ada.get(&app, page).text();
        let seen = text.split("name=\"seen\" value=\"").nth(1).unwrap().split("\">").next().unwrap();
        seen.replace("&#34;", "\"").replace("&quot;", "\"")
    };
    let seen = tag();
    // Changed, the secret kept; by who has seen what is there.
    let change = |seen: &str, roles: &str, issuer: &str| {
        let fields = [
            ("name", "corp"),
            ("issuer", issuer),
            ("client_id", "iocast"),
            ("roles", roles),
            ("enabled", "on"),
            ("seen", seen),
            ("has_secret", "yes"),
        ];
        post(&ada, page, &fields)
    };
    let stale = seen.clone();
    let reply = change(&seen, "soc = viewer", "https://login.example");
    assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.text());
    let doc = app.get("/api/v1/providers/corp").ok();
    assert_eq!((&doc["roles"], &doc["client_secret"]), (&json!({ "soc": ["viewer"] }), &json!("*** set ***")));
    assert_eq!(change(&stale, "soc = analyst", "https://login.example").status, StatusCode::CONFLICT);
    for (roles, issuer, says) in [
        ("soc = emperor", "https://login.example", "none of viewer"),
        ("soc", "https://login.example", "is no line such as"),
        ("soc = viewer", "https://evil.example", "give the secret again"),
        ("soc = viewer", "http://login.example", "https address"),
    ] {
        let reply = change(&tag(), roles, issuer);
        assert!(
            reply.status.is_client_error() && reply.text().contains(says),
            "{roles} {issuer}: {} {}",
            reply.status,
            reply.text()
        );
        assert!(reply.text().contains("</html>"));
    }
    let seen = tag();
    let reply = post(&ada, "/settings/sign-in/delete", &[("name", "corp"), ("seen", &seen)]);
    assert_eq!(reply.header("location"), Some("/settings/sign-in?done=deleted"), "{}", reply.text());
    assert_eq!(app.get("/api/v1/providers").ok()["items"], json!([]));
}
