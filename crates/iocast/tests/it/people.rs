//! People at the doors: set-up, signing in and out, sessions, second factors, roles, tokens that have an owner.

use crate::api::base64;
use crate::support::{Reply, TestApp};
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use engine::World as _;
use iocast::api::lists::Peer;
use iocast::api::routes::{Needs, Route, TABLE};
use iocast::people::roles::{Role, Roles, allows};
use serde_json::{Value, json};
use std::net::SocketAddr;
use totp_rs::{Builder, Secret};

pub(crate) const PASSWORD: &str = "vier Kaffee ohne Milch";
const HOST: &str = "iocast.example:8470";

/// A browser: it keeps the cookie, and sends what browsers send.
#[derive(Clone, Default)]
pub(crate) struct Browser {
    pub(crate) cookie: Option<String>,
    pub(crate) csrf: String,
    pub(crate) address: String,
}

impl Browser {
    pub(crate) fn at(address: &str) -> Browser {
        Browser { address: address.to_owned(), ..Browser::default() }
    }

    pub(crate) fn ask(&self, app: &TestApp, method: &str, path: &str, body: Option<&Value>) -> Reply {
        let mut request = Request::builder().method(method).uri(path).header("host", HOST);
        request = request.header("sec-fetch-site", "same-origin");
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        if !self.csrf.is_empty() {
            request = request.header("x-csrf-token", &self.csrf);
        }
        let body = match body {
            Some(body) => {
                request = request.header("content-type", "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        self.send(app, request.body(body).unwrap())
    }

    pub(crate) fn send(&self, app: &TestApp, mut request: Request<Body>) -> Reply {
        let address = if self.address.is_empty() { "127.0.0.1" } else { &self.address };
        request.extensions_mut().insert(Peer(SocketAddr::new(address.parse().unwrap(), 40_000)));
        app.send(request)
    }

    pub(crate) fn get(&self, app: &TestApp, path: &str) -> Reply {
        self.ask(app, "GET", path, None)
    }

    pub(crate) fn post(&self, app: &TestApp, path: &str, body: &Value) -> Reply {
        self.ask(app, "POST", path, Some(body))
    }

    /// Keeps what an answer hands out.
    pub(crate) fn keep(&mut self, reply: &Reply) {
        let set = reply.header("set-cookie").unwrap();
        self.cookie = Some(set.split(';').next().unwrap().to_owned());
        self.csrf = reply.json()["csrf"].as_str().unwrap().to_owned();
    }

    pub(crate) fn sign_in(&mut self, app: &TestApp, name: &str, password: &str) -> Reply {
        let reply = self.post(app, "/api/v1/sign-in", &json!({ "name": name, "password": password }));
        if reply.status == StatusCode::OK && reply.json()["signed_in"] == true {
            self.keep(&reply);
        }
        reply
    }

    pub(crate) fn is_in(&self, app: &TestApp) -> bool {
        match self.get(app, "/api/v1/me").status {
            StatusCode::OK => true,
            StatusCode::UNAUTHORIZED => false,
            other => panic!("{other}"),
        }
    }
}

/// Makes somebody with a password of their own, and signs them in.
pub(crate) fn person(app: &TestApp, name: &str, roles: &[&str]) -> Browser {
    let made = app.post("/api/v1/users", &json!({ "name": name, "roles": roles }));
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    let first = made.json()["password"].as_str().unwrap().to_owned();
    let mut browser = Browser::default();
    assert_eq!(browser.sign_in(app, name, &first).ok()["user"]["must"], "set_password");
    let set = browser.post(app, "/api/v1/me/password", &json!({ "old": first, "new": PASSWORD }));
    assert_eq!(set.status, StatusCode::OK, "{}", set.text());
    browser.keep(&set);
    browser
}

pub(crate) fn code(app: &TestApp, secret: &str) -> String {
    let secs = u64::try_from(app.world.now().micros() / 1_000_000).unwrap();
    let totp = Builder::new().with_secret(Secret::try_from_base32(secret).unwrap()).build().unwrap();
    totp.generate(secs).to_string()
}

/// Enrols a second factor. Gives its secret and the recovery codes.
pub(crate) fn enrol(app: &TestApp, browser: &Browser) -> (String, Vec<String>) {
    let begun = browser.post(app, "/api/v1/me/second-factor", &json!({ "password": PASSWORD })).ok();
    let secret = begun["secret"].as_str().unwrap().to_owned();
    assert!(begun["url"].as_str().unwrap().starts_with("otpauth://totp/iocast:"), "{begun}");
    let done = browser.post(app, "/api/v1/me/second-factor/confirm", &json!({ "code": code(app, &secret) })).ok();
    let codes = done["recovery_codes"].as_array().unwrap();
    (secret, codes.iter().map(|code| code.as_str().unwrap().to_owned()).collect())
}

/// S01: a fresh exchange knows nobody: fifty logins that products come with fail. The set-up code is good for fifteen
/// minutes and once.
#[test]
fn s01_there_is_no_default_account_and_the_set_up_code_is_good_once() {
    let app = TestApp::new();
    let names = ["admin", "root", "administrator", "iocast", "user"];
    let words = ["admin", "password", "iocast", "changeme", "admin123", "root", "123456", "default", "letmein", "toor"];
    for (n, (name, word)) in names.iter().flat_map(|name| words.iter().map(move |word| (name, word))).enumerate() {
        let mut browser = Browser::at(&format!("192.0.2.{n}"));
        let status = browser.sign_in(&app, name, word).status;
        assert!(matches!(status, StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS), "{name} {word}: {status}");
    }
    assert_eq!(app.get("/api/v1/set-up").ok()["needed"], true);
    let mut browser = Browser::at("198.51.100.1");
    let set_up = |browser: &Browser, code: &str| {
        browser.post(&app, "/api/v1/set-up", &json!({ "code": code, "name": "ada", "password": PASSWORD }))
    };
    assert_eq!(set_up(&browser, "00000-00000-00000-00000").status, StatusCode::UNAUTHORIZED, "none was printed yet");
    let old = app.app.begin_set_up().unwrap().unwrap();
    app.world.advance(15 * 60);
    assert_eq!(set_up(&browser, old.reveal()).status, StatusCode::UNAUTHORIZED, "after fifteen minutes");
    let code = app.app.begin_set_up().unwrap().unwrap();
    app.world.advance(15 * 60 - 1);
    assert_eq!(set_up(&browser, old.reveal()).status, StatusCode::UNAUTHORIZED, "another was printed");
    // As people type it.
    let done = set_up(&browser, &code.reveal().to_lowercase().replace('-', " "));
    assert_eq!(done.ok()["user"]["roles"], json!(["administrator"]));
    browser.keep(&done);
    assert!(browser.is_in(&app));
    assert_eq!(set_up(&browser, code.reveal()).status, StatusCode::CONFLICT, "a second time");
    assert!(app.app.begin_set_up().unwrap().is_none());
    assert_eq!(app.get("/api/v1/set-up").ok()["needed"], false);
}

/// S02, S03: what is kept of a password is an Argon2id hash; a code of an authenticator is good once, and so is each code on
/// paper.
#[test]
fn s03_a_code_is_good_once() {
    let app = TestApp::new();
    let browser = person(&app, "ada", &["operator"]);
    let kept = app.app.engine().unwrap().store().person_named("ada").unwrap().unwrap().password.unwrap();
    assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
    let refused = browser.post(&app, "/api/v1/me/second-factor", &json!({ "password": "wrong" }));
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let (secret, papers) = enrol(&app, &browser);
    assert_eq!(papers.len(), 10);
    let try_code = |code: &str| {
        let mut other = Browser::default();
        let ticket = other.sign_in(&app, "ada", PASSWORD).ok()["ticket"].as_str().unwrap().to_owned();
        assert!(!other.is_in(&app), "a password is not enough");
        let reply = other.post(&app, "/api/v1/sign-in/code", &json!({ "ticket": ticket, "code": code }));
        if reply.status == StatusCode::OK {
            other.keep(&reply);
            assert!(other.is_in(&app));
            let again = other.post(&app, "/api/v1/sign-in/code", &json!({ "ticket": ticket, "code": code }));
            assert_eq!(again.status, StatusCode::UNAUTHORIZED, "a ticket is good once");
        }
        reply
    };
    assert_eq!(try_code(&code(&app, &secret)).status, StatusCode::UNAUTHORIZED, "it was used to enrol");
    app.world.advance(30);
    let now = code(&app, &secret);
    assert_eq!(try_code(&now).status, StatusCode::OK);
    assert_eq!(try_code(&now).status, StatusCode::UNAUTHORIZED, "the second time");
    assert_eq!(try_code("000000").status, StatusCode::UNAUTHORIZED);
    let paper = try_code(&papers[3].to_lowercase());
    assert_eq!(paper.ok()["recovery_codes_left"], 9);
    assert_eq!(try_code(&papers[3]).status, StatusCode::UNAUTHORIZED, "the second time");
    // A right password waits for its code for five minutes.
    let mut slow = Browser::default();
    let ticket = slow.sign_in(&app, "ada", PASSWORD).ok()["ticket"].as_str().unwrap().to_owned();
    app.world.advance(301);
    let late = slow.post(&app, "/api/v1/sign-in/code", &json!({ "ticket": ticket, "code": code(&app, &secret) }));
    assert_eq!(late.status, StatusCode::UNAUTHORIZED);
    // Nothing of it is shown or written anywhere.
    let shown = [app.get("/api/v1/users").text(), app.get("/api/v1/audit").text(), app.get("/api/v1/config").text()];
    for secret in [secret.as_str(), &papers[0], PASSWORD, &kept] {
        assert!(shown.iter().all(|text| !text.contains(secret)), "{secret}");
    }
}

/// S03: where a second factor is needed, who could change something and has none may only look.
#[test]
fn s03_where_a_second_factor_is_needed_who_has_none_may_only_look() {
    let app = TestApp::new();
    let operator = person(&app, "olga", &["operator"]);
    let freeze = |browser: &Browser| browser.post(&app, "/api/v1/pulls", &json!({ "all": true })).status;
    assert_eq!(freeze(&operator), StatusCode::OK);
    app.post("/api/v1/config/apply", &json!({ "policy": { "second_factor": "needed" } })).ok();
    let refused = operator.post(&app, "/api/v1/pulls", &json!({ "all": true }));
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.text().contains("second factor"), "{}", refused.text());
    assert_eq!(operator.get(&app, "/api/v1/status").status, StatusCode::OK);
    enrol(&app, &operator);
    assert_eq!(freeze(&operator), StatusCode::OK);
}

/// S04: tries are limited by account and by address, on every path; who waits gets in again. Twenty wrong tries about one
/// account from twenty addresses, and a hundred about a hundred accounts from one.
#[test]
fn s04_tries_are_limited_by_account_and_by_address() {
    let app = TestApp::new();
    person(&app, "ada", &["viewer"]);
    for name in ["ada", "nobody-here"] {
        let statuses: Vec<u16> = (0..20)
            .map(|n| Browser::at(&format!("192.0.2.{n}")).sign_in(&app, name, "wrong wrong wrong").status.as_u16())
            .collect();
        assert_eq!(statuses[..10], [401; 10], "{name}");
        assert_eq!(statuses[10..], [429; 10], "{name}");
        // In other letters it is the same account.
        let other = Browser::at("192.0.2.99").sign_in(&app, &name.to_uppercase(), PASSWORD);
        assert_eq!(other.status, StatusCode::TOO_MANY_REQUESTS);
        let wait: i64 = other.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=900).contains(&wait), "{wait}");
    }
    app.world.advance(900);
    assert_eq!(Browser::default().sign_in(&app, "ada", PASSWORD).status, StatusCode::OK, "who waits gets in");
    let limited = (0..100)
        .map(|n| Browser::at("2001:db8::1").sign_in(&app, &format!("user{n}"), "wrong wrong wrong").status)
        .filter(|status| *status == StatusCode::TOO_MANY_REQUESTS)
        .count();
    assert_eq!(limited, 40, "sixty from one address");
    let beside = Browser::at("2001:db8::ffff:1").sign_in(&app, "ada", PASSWORD);
    assert_eq!(beside.status, StatusCode::TOO_MANY_REQUESTS, "the same /64");
    let elsewhere = Browser::at("203.0.113.5");
    for (method, path) in [
        ("GET", "/api/v1/sign-in"),
        ("PUT", "/api/v1/sign-in"),
        ("HEAD", "/api/v1/sign-in"),
        ("PROPFIND", "/api/v1/sign-in"),
    ] {
        let status = elsewhere.ask(&app, method, path, Some(&json!({ "name": "ada", "password": PASSWORD }))).status;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
    }
    // Codes are counted as well, whatever ticket they come with; and so is the password that is asked for once more.
    let mut browser = person(&app, "grace", &["viewer"]);
    enrol(&app, &browser);
    let codes: Vec<u16> = (0..12)
        .map(|n| {
            let mut other = Browser::at(&format!("198.51.100.{n}"));
            let ticket = other.sign_in(&app, "grace", PASSWORD);
            match ticket.status {
                StatusCode::OK => {
                    let ticket = ticket.json()["ticket"].clone();
                    let sent = json!({ "ticket": ticket, "code": "123456" });
                    other.post(&app, "/api/v1/sign-in/code", &sent).status.as_u16()
                }
                other => other.as_u16(),
            }
        })
        .collect();
    assert_eq!(codes[..10], [401; 10]);
    assert_eq!(codes[10..], [429; 2], "a right password does not give ten more codes");
    app.world.advance(900);
    let again: Vec<u16> = (0..12)
        .map(|_| browser.post(&app, "/api/v1/me/second-factor", &json!({ "password": "wrong" })).status.as_u16())
        .collect();
    assert_eq!((again[9], again[10]), (403, 429));
    // Each failure is in the audit log, without what was typed.
    let log = app.get("/api/v1/audit?limit=1000").text();
    assert!(
        log.matches("sign_in.failed").count() >= 80 && !log.contains("nobody-here") && !log.contains("wrong wrong")
    );
    browser.cookie = None;
}

/// S05: credentials that are no texts, or empty, are refused before anybody is looked up: forty bodies, no session.
#[test]
fn s05_odd_credentials_make_no_session() {
    let app = TestApp::new();
    person(&app, "ada", &["administrator"]);
    let odd = ["null", "\"\"", "[]", "{}", "0", "true", "[\"ada\"]", "{\"$ne\":null}", "1e9", "\" \""];
    let before = app.app.engine().unwrap().store().sessions(None).unwrap().len();
    let mut n_bodies = 0;
    for value in odd {
        for body in [
            format!(r#"{{"name":{value},"password":"{PASSWORD}"}}"#),
            format!(r#"{{"name":"ada","password":{value}}}"#),
            format!(r#"{{"name":{value},"password":{value}}}"#),
            format!(r#"{{"name":"ada","password":{value},"password":"{PASSWORD}"}}"#),
        ] {
            n_bodies += 1;
            let request = Request::post("/api/v1/sign-in").header("content-type", "application/json");
            let reply = Browser::default().send(&app, request.body(Body::from(body.clone())).unwrap());
            let status = reply.status.as_u16();
            assert!(matches!(status, 400 | 401 | 429), "{body}: {status}");
            assert!(reply.header("set-cookie").is_none() && !reply.text().contains("signed_in"), "{body}");
        }
    }
    assert_eq!(n_bodies, 40);
    assert_eq!(app.app.engine().unwrap().store().sessions(None).unwrap().len(), before);
}

/// S07: what names somebody or something is never a credential.
#[test]
fn s07_names_and_numbers_are_no_credentials() {
    let app = TestApp::new();
    let ada = person(&app, "ada", &["administrator"]);
    let me = ada.get(&app, "/api/v1/me").ok();
    let cookie = ada.cookie.clone().unwrap();
    let id = cookie.split_once('=').unwrap().1.to_owned();
    let hash = kit::render::hex(&iocast::tokens::hash(&id));
    for word in ["ada", "1", &me["session"]["id"].to_string(), &ada.csrf, &hash, &id] {
        let request = Request::get("/api/v1/status").header("authorization", format!("Bearer {word}"));
        assert_eq!(app.send(request.body(Body::empty()).unwrap()).status, StatusCode::UNAUTHORIZED, "{word}");
        let basic = base64(&format!("ada:{word}"));
        let request = Request::get("/api/v1/status").header("authorization", format!("Basic {basic}"));
        assert_eq!(app.send(request.body(Body::empty()).unwrap()).status, StatusCode::UNAUTHORIZED, "{word}");
    }
    for word in [&hash, &ada.csrf] {
        let other = Browser { cookie: Some(format!("iocast-session={word}")), ..ada.clone() };
        assert!(!other.is_in(&app), "{word}");
    }
}

/// S08: the same is said of an unknown user, a wrong password and a disabled account, and each costs exactly one hash of a
/// password: forty tries each, in turn. The medians, which that hash makes up, are printed.
#[test]
#[allow(clippy::print_stdout)]
fn s08_nobody_learns_who_has_an_account() {
    let app = TestApp::new();
    person(&app, "ada", &["viewer"]);
    person(&app, "gone", &["viewer"]);
    let put = Request::put("/api/v1/users/gone").header("content-type", "application/json");
    app.send(iocast::api::local(put.body(Body::from(r#"{"disabled":true}"#)).unwrap())).ok();
    Browser::default().sign_in(&app, "first", "wrong wrong wrong");
    let mut said = Vec::new();
    let tries = [("ada", "wrong wrong wrong"), ("unheard-of", "wrong wrong wrong"), ("gone", PASSWORD)];
    let mut took = [(); 3].map(|()| Vec::new());
    // One after the other, so that what else the machine does meets all of them alike.
    for n in 0..40 {
        for ((who, password), took) in tries.iter().zip(&mut took) {
            app.world.advance(900);
            let before = app.app.password_hashes();
            let start = std::time::Instant::now();
            let reply = Browser::at(&format!("192.0.2.{n}")).sign_in(&app, who, password);
            took.push(start.elapsed());
            assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{who}");
            assert_eq!(app.app.password_hashes() - before, 1, "{who}");
            said.push(reply.text());
        }
    }
    for ((who, _), took) in tries.iter().zip(&mut took) {
        took.sort();
        println!("{who}: median {:?}, fastest {:?}", took[20], took[0]);
    }
    said.dedup();
    assert_eq!(said.len(), 1, "{said:?}");
}

/// S09: every route is asked as every role over the real router; the answers are the table of roles, and so is what a person's
/// token gets. Methods that a route does not have are refused.
#[test]
fn s09_every_route_answers_every_role_as_the_table_says() {
    let app = TestApp::new();
    let mut n_cells = 0;
    for role in Role::ALL {
        let name = role.as_str();
        let browser = person(&app, name, &[name]);
        let token = browser.post(&app, "/api/v1/tokens", &json!({ "name": "mine", "scope": "admin" }));
        assert_eq!(token.status, StatusCode::CREATED, "{name}: {}", token.text());
        let token = token.json()["token"].as_str().unwrap().to_owned();
        for route in TABLE.iter().filter(|route| !matches!(route.needs, Needs::Nothing | Needs::ItsOwn)) {
            // It would end what the others are asked with.
            if matches!(route.path, "/api/v1/sign-out" | "/api/v1/freeze") {
                continue;
            }
            let path = route
                .path
                .replace("{name}", "nothing")
                .replace("{id}", "999")
                .replace("{kind}", "auto")
                .replace(['{', '}'], "");
            let may = allows(Roles::of(&[role]), route.needs);
            let what = format!("{} {} as {name}", route.method.as_str(), route.path);
            let got = browser.ask(&app, route.method.as_str(), &path, None);
            // A bucket that is not there.
            let refused = got.status == StatusCode::FORBIDDEN && !got.text().contains("the password is wrong");
            assert_eq!(refused, !may, "{what}: {} {}", got.status, got.text());
            assert!(got.status != StatusCode::UNAUTHORIZED && !got.status.is_server_error(), "{what}: {}", got.status);
            let request = Request::builder().method(route.method.as_str()).uri(&path);
            let request = request.header("authorization", format!("Bearer {token}"));
            let with_token = app.send(request.body(Body::empty()).unwrap()).status;
            let token_may = may && route.needs != Needs::Session;
            assert_eq!(with_token == StatusCode::FORBIDDEN, !token_may, "{what} with a token: {with_token}");
            n_cells += 2;
        }
    }
    assert!(n_cells > 900, "{n_cells}");
    for method in [Method::PATCH, Method::TRACE, Method::CONNECT] {
        let request = Request::builder().method(&method).uri("/api/v1/status").body(Body::empty()).unwrap();
        assert_eq!(app.send(request).status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
    }
}

/// S12: a person's token may do what its scope covers and they may at that moment: who loses a role, or may no longer sign in,
/// loses it with the next call. S39: nothing of it is stored but a hash; it ends after 90 days, and in a year at the latest.
#[test]
fn s12_a_token_may_what_its_owner_may_now() {
    let app = TestApp::new();
    let olga = person(&app, "olga", &["operator"]);
    let make = |body: &Value| olga.post(&app, "/api/v1/tokens", body);
    let made = make(&json!({ "name": "script", "scope": "admin" })).ok();
    let token = made["token"].as_str().unwrap();
    assert!(made["expires_at"].as_str().unwrap().starts_with("2026-08-30"), "{made}");
    assert_eq!(
        make(&json!({ "name": "x", "scope": "admin", "expires_at": "2027-06-30" })).status,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(make(&json!({ "name": "x", "scope": "read", "owner": "ada" })).status, StatusCode::BAD_REQUEST);
    assert_eq!(make(&json!({ "name": "olga", "scope": "list" })).status, StatusCode::CONFLICT, "the name of a person");
    let edge = make(&json!({ "name": "edge", "scope": "list" })).ok();
    assert_eq!(edge["expires_at"], Value::Null);
    let with = |token: &str, method: &str, path: &str| {
        let request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {token}"));
        app.send(request.body(Body::empty()).unwrap())
    };
    let pull = |token: &str| with(token, "POST", "/api/v1/pulls").status;
    assert_eq!(pull(token), StatusCode::BAD_REQUEST, "it may, and has not said what");
    assert_eq!(with(token, "GET", "/api/v1/users").status, StatusCode::FORBIDDEN);
    let me = with(token, "GET", "/api/v1/me").ok();
    assert_eq!((&me["name"], &me["session"], &me["csrf"]), (&json!("olga"), &Value::Null, &Value::Null));
    let reads = make(&json!({ "name": "reader", "scope": "read" })).ok();
    assert_eq!(pull(reads["token"].as_str().unwrap()), StatusCode::FORBIDDEN);
    let change = |body: &Value| {
        let request = Request::put("/api/v1/users/olga").header("content-type", "application/json");
        app.send(iocast::api::local(request.body(Body::from(body.to_string())).unwrap())).ok()
    };
    change(&json!({ "roles": ["viewer"] }));
    assert_eq!(pull(token), StatusCode::FORBIDDEN);
    assert_eq!(with(token, "GET", "/api/v1/status").status, StatusCode::OK);
    change(&json!({ "disabled": true }));
    assert_eq!(with(token, "GET", "/api/v1/status").status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        with(edge["token"].as_str().unwrap(), "GET", "/lists/none").status,
        StatusCode::NOT_FOUND,
        "a firewall goes on when who set it up has left"
    );
    change(&json!({ "disabled": false, "roles": ["operator"] }));
    assert_eq!(pull(token), StatusCode::BAD_REQUEST);
    // Each sees and ends their own.
    let other = person(&app, "vic", &["viewer"]);
    assert_eq!(other.get(&app, "/api/v1/tokens").ok(), json!([]));
    let end = |browser: &Browser| browser.ask(&app, "DELETE", &format!("/api/v1/tokens/{}", made["id"]), None).status;
    assert_eq!(end(&other), StatusCode::NOT_FOUND);
    assert_eq!(end(&olga), StatusCode::UNAUTHORIZED, "her session ended when she was disabled");
    let mut olga = olga.clone();
    olga.sign_in(&app, "olga", PASSWORD).ok();
    assert_eq!(end(&olga), StatusCode::OK);
    assert_eq!(pull(token), StatusCode::UNAUTHORIZED);
    let request = Request::delete("/api/v1/users/olga").body(Body::empty()).unwrap();
    assert_eq!(app.send(iocast::api::local(request)).status, StatusCode::NO_CONTENT);
    assert_eq!(pull(reads["token"].as_str().unwrap()), StatusCode::UNAUTHORIZED);
    let again = app.post("/api/v1/users", &json!({ "name": "Olga", "roles": ["viewer"] }));
    assert_eq!(again.status, StatusCode::CONFLICT, "a name is given once");
}

/// S14: a session has a new id at each sign-in, in a cookie that scripts and other sites do not see. It ends after half an hour
/// unused, after twelve hours, on signing out, when the account is disabled and when the password changes: the old id is no
/// longer good after each.
#[test]
fn s14_a_session_ends() {
    let app = TestApp::new();
    let mut ada = person(&app, "ada", &["operator"]);
    let old = ada.clone();
    let signed = ada.sign_in(&app, "ada", PASSWORD);
    let set = signed.header("set-cookie").unwrap();
    let (pair, rest) = set.split_once("; ").unwrap();
    assert_eq!(rest, "Path=/; HttpOnly; SameSite=Strict", "plain HTTP");
    assert!(pair.starts_with("iocast-session=") && pair.len() == "iocast-session=".len() + 64, "{pair}");
    assert_ne!(old.cookie, ada.cookie);
    assert!(ada.is_in(&app) && !old.is_in(&app), "the id it came with is no longer good");
    // Over TLS, behind a server that says so.
    let request = Request::post("/api/v1/sign-in").header("x-forwarded-proto", "https");
    let body = json!({ "name": "ada", "password": PASSWORD }).to_string();
    let reply = ada.send(&app, request.body(Body::from(body)).unwrap());
    let set = reply.header("set-cookie").unwrap();
    assert!(set.starts_with("__Host-iocast=") && set.ends_with("; Path=/; HttpOnly; SameSite=Strict; Secure"), "{set}");

    let fresh = || {
        let mut browser = Browser::default();
        browser.sign_in(&app, "ada", PASSWORD).ok();
        assert!(browser.is_in(&app));
        browser
    };
    let idle = fresh();
    app.world.advance(30 * 60 - 1);
    assert!(idle.is_in(&app));
    app.world.advance(30 * 60 - 1);
    assert!(idle.is_in(&app), "it was used");
    app.world.advance(30 * 60);
    assert!(!idle.is_in(&app), "half an hour unused");
    let long = fresh();
    for _ in 0..(12 * 60 / 20) - 1 {
        app.world.advance(20 * 60);
        assert!(long.is_in(&app));
    }
    app.world.advance(20 * 60);
    assert!(!long.is_in(&app), "twelve hours");
    let out = fresh();
    let reply = out.ask(&app, "POST", "/api/v1/sign-out", None);
    assert_eq!(reply.status, StatusCode::NO_CONTENT);
    assert!(reply.header("set-cookie").unwrap().contains("Max-Age=0"));
    assert!(!out.is_in(&app), "signed out");
    let (before, mut changes) = (fresh(), fresh());
    for (new, why) in [("short", "too short"), ("qwerty123456", "many people"), (PASSWORD, "the old one")] {
        let refused = changes.post(&app, "/api/v1/me/password", &json!({ "old": PASSWORD, "new": new }));
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        assert!(refused.text().contains(why), "{}", refused.text());
    }
    let same = changes.clone();
    let reply = changes.post(&app, "/api/v1/me/password", &json!({ "old": PASSWORD, "new": "zwei Tee mit Zitrone" }));
    changes.keep(&reply);
    assert!(changes.is_in(&app) && !before.is_in(&app) && !same.is_in(&app), "another password");
    let admin = person(&app, "grace", &["administrator"]);
    let sessions = admin.get(&app, "/api/v1/sessions").ok();
    let hers: Vec<&Value> = sessions.as_array().unwrap().iter().filter(|session| session["user"] == "ada").collect();
    assert_eq!(hers.len(), 1, "the last one: {sessions}");
    let end = admin.ask(&app, "DELETE", &format!("/api/v1/sessions/{}", hers[0]["id"]), None);
    assert_eq!(end.status, StatusCode::NO_CONTENT);
    assert!(!changes.is_in(&app), "ended by an administrator");
    changes.sign_in(&app, "ada", "zwei Tee mit Zitrone").ok();
    let disable = admin.ask(&app, "PUT", "/api/v1/users/ada", Some(&json!({ "disabled": true })));
    assert_eq!(disable.status, StatusCode::OK);
    assert!(!changes.is_in(&app), "disabled");
}

/// S15: a change made with a cookie needs a page of ours and the session's token; what other sites can make a browser send is
/// refused, and nothing is changed by reading: every GET twice, and the store is as it was.
#[test]
fn s15_another_site_changes_nothing() {
    let app = TestApp::new();
    let ada = person(&app, "ada", &["operator"]);
    let cookie = ada.cookie.clone().unwrap();
    let send = |path: &str, headers: &[(&str, &str)], body: &str| {
        let mut request = Request::post(path).header("host", HOST).header("cookie", &cookie);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        ada.send(&app, request.body(Body::from(body.to_owned())).unwrap()).status
    };
    let json = ("content-type", "application/json");
    let token = ("x-csrf-token", ada.csrf.as_str());
    let ours = ("sec-fetch-site", "same-origin");
    let origin = format!("http://{HOST}");
    let all = r#"{"all":true}"#;
    for (headers, expect) in [
        (vec![json, token, ours], 200),
        (vec![json, token, ("origin", origin.as_str())], 200),
        (vec![json, ours], 403),
        (vec![json, token], 403),
        (vec![json, token, ("sec-fetch-site", "cross-site")], 403),
        (vec![json, token, ("sec-fetch-site", "same-site")], 403),
        (vec![json, token, ("origin", "https://evil.example")], 403),
        (vec![json, token, ("origin", "null")], 403),
        (vec![("content-type", "text/plain"), ("sec-fetch-site", "cross-site")], 403),
        (vec![("content-type", "application/x-www-form-urlencoded"), ("origin", "https://evil.example")], 403),
    ] {
        assert_eq!(send("/api/v1/pulls", &headers, all).as_u16(), expect, "{headers:?}");
    }
    // Nobody is signed in by somebody else's page, either.
    let body = json!({ "name": "ada", "password": PASSWORD }).to_string();
    for (headers, expect) in [
        (vec![json, ("sec-fetch-site", "cross-site")], 403),
        (vec![json, ("origin", "https://evil.example")], 403),
        (vec![json, ours], 200),
    ] {
        let mut request = Request::post("/api/v1/sign-in").header("host", HOST);
        for (name, value) in &headers {
            request = request.header(*name, *value);
        }
        let status = Browser::default().send(&app, request.body(Body::from(body.clone())).unwrap()).status;
        assert_eq!(status.as_u16(), expect, "{headers:?}");
    }
    // A token needs none of this: no browser sends it unasked.
    let made = ada.post(&app, "/api/v1/tokens", &json!({ "name": "script", "scope": "admin" })).ok();
    let request = Request::post("/api/v1/pulls")
        .header("authorization", format!("Bearer {}", made["token"].as_str().unwrap()))
        .header("content-type", "application/json");
    assert_eq!(app.send(request.body(Body::from(all)).unwrap()).status, StatusCode::OK);

    let dir = tempfile::tempdir().unwrap();
    let store = app.app.engine().unwrap().store();
    let dump = |name: &str| {
        let path = dir.path().join(name);
        store.backup(&path).unwrap();
        std::fs::read(&path).unwrap()
    };
    let before = dump("before.db");
    let is_asked = |route: &&Route| {
        // What somebody may not read is written down as refused.
        let is_hers = !matches!(route.needs, Needs::ReadAudit | Needs::ManagePeople);
        route.method.as_str() == "GET" && route.path != "/api/v1/changes" && is_hers
    };
    for route in TABLE.iter().filter(is_asked) {
        let path =
            route.path.replace("{name}", "x").replace("{id}", "1").replace("{kind}", "auto").replace(['{', '}'], "");
        for _ in 0..2 {
            assert_ne!(ada.get(&app, &path).status, StatusCode::FORBIDDEN, "{path}");
        }
    }
    assert!(before == dump("after.db"), "reading has changed the store");
}

/// Nobody raises themselves, the last administrator stays, an administrator never approves, and an operator has no way around
/// the settings by a whole configuration.
#[test]
fn nobody_gets_more_than_they_were_given() {
    let app = TestApp::new();
    let admin = person(&app, "ada", &["administrator"]);
    let put = |browser: &Browser, name: &str, body: Value| {
        browser.ask(&app, "PUT", &format!("/api/v1/users/{name}"), Some(&body)).status.as_u16()
    };
    assert_eq!(put(&admin, "ada", json!({ "roles": ["administrator", "operator"] })), 403, "oneself");
    assert_eq!(put(&admin, "ada", json!({ "disabled": true })), 403, "oneself");
    for roles in [json!([]), json!(["emperor"]), json!(["administrator", "approver"])] {
        let made = admin.post(&app, "/api/v1/users", &json!({ "name": "x", "roles": roles }));
        assert_eq!(made.status, StatusCode::BAD_REQUEST, "{roles}");
    }
    for name in ["", "a b", "local", "nobody", "<b>", "a:b", &"x".repeat(65)] {
        let made = admin.post(&app, "/api/v1/users", &json!({ "name": name, "roles": ["viewer"] }));
        assert!(made.status.is_client_error(), "{name}: {}", made.status);
    }
    let last = Request::put("/api/v1/users/ada").header("content-type", "application/json");
    let last = app.send(iocast::api::local(last.body(Body::from(r#"{"roles":["viewer"]}"#)).unwrap()));
    assert_eq!(last.status, StatusCode::CONFLICT, "the last one");
    let operator = person(&app, "olga", &["operator"]);
    let apply = |browser: &Browser, body: &Value| browser.post(&app, "/api/v1/config/apply", body).status.as_u16();
    assert_eq!(apply(&operator, &json!({ "rule": [{ "name": "r", "when": "kind = ipv4" }] })), 200);
    assert_eq!(apply(&operator, &json!({ "policy": { "four_eyes": "never" } })), 403);
    assert_eq!(apply(&admin, &json!({ "policy": { "four_eyes": "always" } })), 200);
    let pass = operator.post(&app, "/api/v1/passes", &json!({ "all": true, "approve": true }));
    assert_eq!(pass.status, StatusCode::FORBIDDEN, "{}", pass.text());
    let approver = person(&app, "paul", &["approver", "operator"]);
    assert_eq!(approver.post(&app, "/api/v1/passes", &json!({ "all": true, "approve": true })).status, StatusCode::OK);
    let exception = json!({ "guard_exception": [{ "value": "9.9.9.9", "target": "t", "reason": "r", "approver": "x", "until": "2027-01-01" }] });
    assert_eq!(apply(&operator, &exception), 403);
    // A first password is good for setting one's own, within three days.
    let first = admin.post(&app, "/api/v1/users/olga/reset", &json!({})).ok();
    assert_eq!(operator.get(&app, "/api/v1/me").status, StatusCode::UNAUTHORIZED);
    let mut olga = Browser::default();
    olga.sign_in(&app, "olga", first["password"].as_str().unwrap()).ok();
    assert_eq!(olga.get(&app, "/api/v1/status").status, StatusCode::FORBIDDEN);
    app.world.advance(72 * 3600);
    assert_eq!(olga.sign_in(&app, "olga", first["password"].as_str().unwrap()).status, StatusCode::UNAUTHORIZED);
    // What a person is told of themselves says what they may.
    let mut olga = Browser::default();
    let first = admin.post(&app, "/api/v1/users/olga/reset", &json!({ "second_factor": true }));
    assert_eq!(first.status, StatusCode::UNAUTHORIZED, "three days unused");
    olga.csrf.clear();
}

/// S39: a token that is bound to networks is good from there alone, on the API and for lists; from elsewhere who shows it is
/// told so, and it is in the audit log. What a proxy says counts as the server was told to believe it.
#[test]
fn s39_a_token_is_good_from_its_networks_alone() {
    let app = TestApp::new().with_list(&json!({ "format": "edl" }));
    app.publish(&["203.0.113.9"]);
    let make = |body: Value| app.post("/api/v1/tokens", &body);
    let networks = json!(["10.1.0.0/16", "192.0.2.7", "2001:db8::/32", "10.1.99.0/16"]);
    let made = make(json!({ "name": "edge", "scope": "list", "networks": networks })).ok();
    assert_eq!(made["networks"], json!(["10.1.0.0/16", "192.0.2.7/32", "2001:db8::/32"]), "as they are, each once");
    let token = made["token"].as_str().unwrap().to_owned();
    let from = |token: &str, peer: &str, path: &str| {
        let peer = if peer.contains(':') { format!("[{peer}]") } else { peer.to_owned() };
        app.ask(Method::GET, path, &peer, &[("authorization", &format!("Bearer {token}"))])
    };
    for (peer, is_in) in [
        ("10.1.2.3", true),
        ("::ffff:10.1.2.3", true),
        ("192.0.2.7", true),
        ("192.0.2.8", false),
        ("10.2.0.1", false),
        ("2001:db8::5", true),
        ("2001:db9::5", false),
        ("127.0.0.1", false),
    ] {
        let reply = from(&token, peer, "/lists/block-ip");
        assert_eq!(reply.status, if is_in { StatusCode::OK } else { StatusCode::UNAUTHORIZED }, "{peer}");
        if !is_in {
            let text = reply.text();
            assert!(text.contains("is bound to networks") && text.contains(peer), "{text}");
        }
    }
    let basic = format!("Basic {}", base64(&format!("edge:{token}")));
    let reply = app.ask(Method::GET, "/lists/block-ip", "198.51.100.1", &[("authorization", &basic)]);
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "as a password it is no other");
    // What somebody writes into a header is not where they are.
    let forged = [("authorization", &*format!("Bearer {token}")), ("x-forwarded-for", "10.1.2.3")];
    assert_eq!(app.ask(Method::GET, "/lists/block-ip", "198.51.100.1", &forged).status, StatusCode::UNAUTHORIZED);
    let log = app.get("/api/v1/audit?limit=100").ok();
    let refused: Vec<&Value> = log.as_array().unwrap().iter().filter(|entry| entry["action"] == "denied").collect();
    assert_eq!(refused.len(), 6, "{refused:#?}");
    assert!(refused.iter().all(|entry| entry["who"] == "edge" && entry["token"] == made["id"]), "{refused:#?}");
    assert!(refused[5]["detail"]["why"].as_str().unwrap().contains("192.0.2.8"), "{}", refused[5]);
    let used = app.get("/api/v1/tokens").ok();
    let shown = used.as_array().unwrap().iter().find(|token| token["name"] == "edge").unwrap();
    assert_eq!(shown["networks"], made["networks"]);
    // Of an administrator's, and what is no network.
    let admin = make(json!({ "name": "root", "scope": "admin", "networks": ["192.0.2.0/24"] })).ok();
    let admin = admin["token"].as_str().unwrap();
    assert_eq!(from(admin, "192.0.2.1", "/api/v1/status").status, StatusCode::OK);
    assert_eq!(from(admin, "198.51.100.1", "/api/v1/status").status, StatusCode::UNAUTHORIZED);
    assert_eq!(from(admin, "198.51.100.1", "/overview").status, StatusCode::UNAUTHORIZED, "no page either");
    for wrong in [json!(["10.1.0.0/33"]), json!(["example.org"]), json!([""]), json!(["10.1.2.3-10.1.2.9"])] {
        let reply = make(json!({ "name": "x", "scope": "read", "networks": wrong }));
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{wrong}");
        assert!(reply.text().contains("networks:"), "{}", reply.text());
    }
    let many: Vec<String> = (0..33).map(|n| format!("10.{n}.0.0/16")).collect();
    assert!(make(json!({ "name": "x", "scope": "read", "networks": many })).text().contains("at most 32"));
}

/// S13: a plan waits for somebody else than who has changed what is behind it, whether they come with a session or a token of
/// theirs; a guard exception is proposed by one and approved by another.
#[test]
fn s13_two_persons_and_not_two_ways_of_one() {
    let app = TestApp::new();
    let paul = person(&app, "paul", &["operator", "approver"]);
    let mut file = crate::support::one_list(&json!({ "format": "edl" }));
    file["target"][0]["first_fill"] = "approve".into();
    paul.post(&app, "/api/v1/config/apply", &file).ok();
    app.post("/api/v1/indicators", &json!({ "items": [{ "value": "203.0.113.9", "reputation": 9 }] })).ok();
    paul.post(&app, "/api/v1/passes", &json!({ "all": true })).ok();
    let id = app.get("/api/v1/plans?status=waiting").ok()[0]["id"].as_u64().unwrap();
    let path = format!("/api/v1/plans/{id}/approve");
    let pia = person(&app, "pia", &["approver"]);
    let own = paul.post(&app, &path, &json!({}));
    assert_eq!(own.status, StatusCode::CONFLICT, "{}", own.text());
    assert!(own.text().contains("paul's own"), "{}", own.text());
    let token = paul.post(&app, "/api/v1/tokens", &json!({ "name": "other-hat", "scope": "admin" })).ok();
    let request = Request::post(&path).header("authorization", format!("Bearer {}", token["token"].as_str().unwrap()));
    let with_token = app.send(request.body(Body::from("{}")).unwrap());
    assert_eq!(with_token.status, StatusCode::CONFLICT, "{}", with_token.text());
    let admin = person(&app, "ada", &["administrator"]);
    assert_eq!(admin.post(&app, &path, &json!({})).status, StatusCode::FORBIDDEN);
    let approved = pia.post(&app, &path, &json!({})).ok();
    assert_eq!((&approved["status"], &approved["who"]), (&json!("approved"), &json!("pia")));

    let place = "/api/v1/guard/exceptions/block-ip/9.9.9.9";
    let exception = |who: &str| json!({ "reason": "a sinkhole of ours", "until": "2026-09-01", "approver": who });
    let put = |browser: &Browser, body: &Value| {
        let request = Request::put(place).header("host", HOST).header("sec-fetch-site", "same-origin");
        let request = request.header("x-csrf-token", &browser.csrf).header("cookie", browser.cookie.as_ref().unwrap());
        let request = request.header("if-none-match", "*").header("content-type", "application/json");
        browser.send(&app, request.body(Body::from(body.to_string())).unwrap())
    };
    let propose = |browser: &Browser, body: &Value| browser.post(&app, &format!("{place}/propose"), body);
    let asked = json!({ "reason": "a sinkhole of ours", "until": "2026-09-01" });
    assert!(put(&pia, &exception("pia")).text().contains("propose this exception first"));
    propose(&pia, &asked).ok();
    assert!(put(&pia, &exception("pia")).text().contains("somebody else must approve"));
    for wrong in [json!({ "reason": "", "until": "2026-09-01" }), json!({ "reason": "x", "until": "2020-01-01" })] {
        assert_eq!(propose(&paul, &wrong).status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    propose(&paul, &json!({ "reason": "something else", "until": "2026-09-01" })).ok();
    assert!(put(&pia, &exception("pia")).text().contains("not what was proposed"));
    propose(&paul, &asked).ok();
    assert_eq!(put(&admin, &exception("ada")).status, StatusCode::FORBIDDEN);
    assert_eq!(put(&pia, &exception("paul")).status, StatusCode::BAD_REQUEST, "in somebody else's name");
    let whole = json!({ "guard_exception": [
        { "target": "block-ip", "value": "8.8.8.8", "reason": "r", "until": "2026-09-01", "approver": "paul" }
    ] });
    assert_eq!(paul.post(&app, "/api/v1/config/apply", &whole).status, StatusCode::CONFLICT, "no way around it");
    assert_eq!(app.get("/api/v1/guard/exceptions").ok()["items"], json!([]));
    let done = put(&pia, &exception("pia"));
    assert_eq!(done.status, StatusCode::CREATED, "{}", done.text());
    assert_eq!(app.get("/api/v1/guard/proposals").ok(), json!([]));
}
