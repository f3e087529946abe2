//! Signing in at a provider of identities: one is played here, by its side of the protocol, and lies where it is told to.
//! A real one is held against the binary by `cargo xtask counterparts oidc`.

use crate::people::{Browser, PASSWORD, person};
use crate::support::{Reply, TestApp};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use engine::World as _;
use kit::http::{Answer, Sent};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

const ISSUER: &str = "https://login.example/realms/corp";
const PUBLIC: &str = "https://iocast.example";

/// What the provider does otherwise than it should, in one sign-in.
#[derive(Clone, Default)]
struct Lie {
    /// Of the header of the token.
    header: Vec<(&'static str, Value)>,
    /// Of its claims; null: left out.
    claims: Vec<(&'static str, Value)>,
    /// It signs with another key than it shows.
    other_key: bool,
    /// The signature is the MAC of this secret.
    mac: Option<&'static str>,
    /// There is none.
    unsigned: bool,
    /// The answer to the code.
    answer: Option<(u16, Value)>,
    /// What it says when asked about somebody.
    user_info: Option<Value>,
    /// What it says of itself, otherwise.
    metadata: Vec<(&'static str, Value)>,
}

struct Code {
    nonce: String,
    challenge: String,
    redirect: String,
}

/// A provider of identities.
struct Idp {
    key: EcdsaKeyPair,
    other: EcdsaKeyPair,
    codes: Mutex<HashMap<String, Code>>,
    lie: Mutex<Lie>,
    /// What is said of who signs in.
    person: Mutex<Value>,
    calls: Mutex<Vec<String>>,
}

fn pair() -> EcdsaKeyPair {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap()
}

fn fields(text: &str) -> HashMap<String, String> {
    url::form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

fn json_answer(status: u16, value: &Value) -> Answer {
    Answer::new(status, value.to_string()).header_pair("content-type", "application/json")
}

fn put(map: &mut Value, changes: &[(&'static str, Value)]) {
    let map = map.as_object_mut().unwrap();
    for (key, value) in changes {
        match value {
            Value::Null => drop(map.remove(*key)),
            value => drop(map.insert((*key).to_owned(), value.clone())),
        }
    }
}

impl Idp {
    fn beside(app: &TestApp) -> Arc<Idp> {
        let idp = Arc::new(Idp {
            key: pair(),
            other: pair(),
            codes: Mutex::default(),
            lie: Mutex::default(),
            person: Mutex::new(json!({ "sub": "7f3a", "preferred_username": "grace", "groups": ["soc"] })),
            calls: Mutex::default(),
        });
        let (answering, world) = (idp.clone(), app.world.clone());
        app.world.provide(move |sent| answering.answer(sent, world.now().micros() / 1_000_000));
        idp
    }

    fn answer(&self, sent: &Sent, now: i64) -> Answer {
        let lie = self.lie.lock().unwrap().clone();
        let url = sent.url().to_owned();
        self.calls.lock().unwrap().push(url.clone());
        match url.strip_prefix(ISSUER).unwrap_or_else(|| panic!("{url} is called")) {
            "/.well-known/openid-configuration" => {
                let mut said = json!({
                    "issuer": ISSUER,
                    "authorization_endpoint": format!("{ISSUER}/auth"),
                    "token_endpoint": format!("{ISSUER}/token"),
                    "userinfo_endpoint": format!("{ISSUER}/me"),
                    "jwks_uri": format!("{ISSUER}/keys"),
                    "response_types_supported": ["code"],
                    "subject_types_supported": ["public"],
                    // More than we take.
                    "id_token_signing_alg_values_supported": ["ES256", "HS256", "none"],
                });
                put(&mut said, &lie.metadata);
                json_answer(200, &said)
            }
            "/keys" => {
                let point = self.key.public_key().as_ref();
                let (x, y) = (BASE64.encode(&point[1..33]), BASE64.encode(&point[33..]));
                let key =
                    json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "1", "x": x, "y": y });
                json_answer(200, &json!({ "keys": [key] }))
            }
            "/token" => {
                assert_eq!(sent.header("authorization"), Some("{{authorization}}"), "the secret is sent in a header");
                if let Some((status, answer)) = &lie.answer {
                    return json_answer(*status, answer);
                }
                let form = fields(&String::from_utf8(sent.body()).unwrap());
                // Good once, for who has the verifier.
                let code = self.codes.lock().unwrap().remove(&form["code"]);
                let fits = |code: &Code| {
                    BASE64.encode(Sha256::digest(form["code_verifier"].as_bytes())) == code.challenge
                        && code.redirect == form["redirect_uri"]
                };
                let Some(code) = code.filter(fits) else {
                    return json_answer(400, &json!({ "error": "invalid_grant" }));
                };
                json_answer(
                    200,
                    &json!({ "access_token": "at", "token_type": "Bearer", "expires_in": 60, "id_token": self.token(&code, &lie, now) }),
                )
            }
            "/me" => json_answer(200, &lie.user_info.unwrap_or(json!({ "sub": "7f3a" }))),
            other => panic!("{other} is called"),
        }
    }

    fn token(&self, code: &Code, lie: &Lie, now: i64) -> String {
        let mut header = json!({ "alg": "ES256", "kid": "1", "typ": "JWT" });
        put(&mut header, &lie.header);
        let half = &Sha256::digest(b"at")[..16];
        let mut claims = json!({
            "iss": ISSUER, "aud": "iocast", "iat": now, "exp": now + 60, "nonce": code.nonce, "at_hash": BASE64.encode(half),
        });
        let person: Map<String, Value> = self.person.lock().unwrap().as_object().unwrap().clone();
        claims.as_object_mut().unwrap().extend(person);
        put(&mut claims, &lie.claims);
        let text = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
        let signature = match lie.mac {
            Some(secret) => {
                use hmac::Mac as _;
                let mut mac = <hmac::Hmac<Sha256> as hmac::KeyInit>::new_from_slice(secret.as_bytes()).unwrap();
                mac.update(text.as_bytes());
                mac.finalize().into_bytes().to_vec()
            }
            None if lie.unsigned => Vec::new(),
            None => {
                let key = if lie.other_key { &self.other } else { &self.key };
                key.sign(&SystemRandom::new(), text.as_bytes()).unwrap().as_ref().to_vec()
            }
        };
        format!("{text}.{}", BASE64.encode(signature))
    }

    /// Somebody signs in there: what their browser is sent back with.
    fn sign_in(&self, address: &str) -> (String, String) {
        let (at, query) = address.split_once('?').unwrap();
        assert_eq!(at, format!("{ISSUER}/auth"));
        let asked = fields(query);
        assert_eq!((&*asked["response_type"], &*asked["client_id"]), ("code", "iocast"));
        assert_eq!(asked["code_challenge_method"], "S256");
        assert!(asked["scope"].split(' ').any(|scope| scope == "openid"), "{}", asked["scope"]);
        assert!(asked["state"].len() == 64 && asked["nonce"].len() == 64, "256 bits each");
        let code = format!("code-{}", &asked["nonce"][..12]);
        let kept = Code {
            nonce: asked["nonce"].clone(),
            challenge: asked["code_challenge"].clone(),
            redirect: asked["redirect_uri"].clone(),
        };
        self.codes.lock().unwrap().insert(code.clone(), kept);
        (code, asked["state"].clone())
    }
}

fn provider() -> Value {
    json!({
        "name": "corp", "issuer": ISSUER, "client_id": "iocast", "client_secret": "canary-client-secret",
        "roles": { "soc": ["analyst"], "lead": ["approver"], "it": ["administrator"] }, "contact": "the service desk",
    })
}

/// An exchange that is set up, with a provider.
fn exchange() -> (TestApp, Arc<Idp>) {
    let app = TestApp::new();
    person(&app, "ada", &["administrator"]);
    let idp = Idp::beside(&app);
    app.post("/api/v1/config/apply", &json!({ "policy": { "public_url": PUBLIC }, "provider": [provider()] })).ok();
    (app, idp)
}

fn get(app: &TestApp, browser: &Browser, path: &str) -> Reply {
    let mut request = Request::get(path).header("host", "iocast.example").header("sec-fetch-site", "cross-site");
    if let Some(cookie) = &browser.cookie {
        request = request.header("cookie", cookie);
    }
    browser.send(app, request.body(Body::empty()).unwrap())
}

fn cookies(reply: &Reply) -> Vec<String> {
    reply.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

/// Leaves for the provider: the browser with its cookie, and where it is sent.
fn leave(app: &TestApp) -> (Browser, String) {
    let mut browser = Browser::default();
    let reply = get(app, &browser, "/sign-in/at/corp?next=/plans");
    assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.text());
    let cookie = reply.header("set-cookie").unwrap();
    assert!(cookie.contains("SameSite=Lax") && cookie.contains("HttpOnly"), "{cookie}");
    browser.cookie = Some(cookie.split(';').next().unwrap().to_owned());
    (browser, reply.header("location").unwrap().to_owned())
}

fn back(code: &str, state: &str) -> String {
    format!("/sign-in/at/corp/back?code={code}&state={state}")
}

/// All of it. The answer to who came back.
fn come(app: &TestApp, idp: &Idp) -> Reply {
    let (browser, to) = leave(app);
    let (code, state) = idp.sign_in(&to);
    get(app, &browser, &back(&code, &state))
}

/// The browser of who was let in.
fn inside(reply: &Reply) -> Browser {
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let set = cookies(reply);
    let session = set.iter().find(|cookie| cookie.starts_with("iocast-session=")).unwrap();
    assert!(session.contains("SameSite=Strict") && session.contains("HttpOnly"), "{session}");
    assert!(set.iter().any(|cookie| cookie.starts_with("iocast-away=;") && cookie.contains("Max-Age=0")), "{set:?}");
    Browser { cookie: Some(session.split(';').next().unwrap().to_owned()), ..Browser::default() }
}

fn me(app: &TestApp, browser: &Browser) -> Value {
    browser.get(app, "/api/v1/me").ok()
}

fn last_audit(app: &TestApp, action: &str) -> Value {
    let log = app.get("/api/v1/audit?limit=50").ok();
    log.as_array().unwrap().iter().find(|entry| entry["action"] == action).cloned().unwrap_or_default()
}

/// S06: who somebody is are issuer and subject of a token that is checked in every part: 24 answers that are wrong in one
/// part each make no session and no account, and the log says which part it was. The provider says it can also do
/// signatures that are none; that is not believed.
#[test]
fn s06_a_token_that_is_wrong_in_one_part_lets_nobody_in() {
    let (app, idp) = exchange();
    let now = app.world.now().micros() / 1_000_000;
    let claim = |key: &'static str, value: Value| Lie { claims: vec![(key, value)], ..Lie::default() };
    let header = |alg: &str| vec![("alg", json!(alg))];
    let rows: Vec<(&str, Lie, &str)> = vec![
        ("wrong nonce", claim("nonce", json!("0".repeat(64))), "nonce"),
        ("no nonce", claim("nonce", Value::Null), "nonce"),
        ("issuer", claim("iss", json!("https://login.example/realms/other")), "issuer"),
        ("no issuer", claim("iss", Value::Null), "iss"),
        ("audience", claim("aud", json!("somebody-else")), "audience"),
        ("one more audience", claim("aud", json!(["iocast", "somebody-else"])), "audience"),
        ("no audience", claim("aud", Value::Null), "aud"),
        ("issued to another", claim("azp", json!("somebody-else")), "somebody else"),
        ("expired", claim("exp", json!(now - 1)), "Expired"),
        ("no end", claim("exp", Value::Null), "exp"),
        ("issued in the future", claim("iat", json!(now + 3_600)), "in the future"),
        ("no subject", claim("sub", Value::Null), "sub"),
        ("empty subject", claim("sub", json!("")), "names nobody"),
        ("another access token", claim("at_hash", json!(BASE64.encode([7; 16]))), "access token"),
        ("alg none", Lie { header: header("none"), unsigned: true, ..Lie::default() }, "ID token"),
        ("alg None", Lie { header: header("None"), unsigned: true, ..Lie::default() }, ""),
        ("alg none, signed", Lie { header: header("none"), ..Lie::default() }, "ID token"),
        ("signature cut off", Lie { unsigned: true, ..Lie::default() }, "ID token"),
        (
            "our own secret",
            Lie { header: header("HS256"), mac: Some("canary-client-secret"), ..Lie::default() },
            "algorithm",
        ),
        (
            "the public key as a secret",
            Lie { header: header("HS256"), mac: Some(ISSUER), ..Lie::default() },
            "algorithm",
        ),
        ("another key", Lie { other_key: true, ..Lie::default() }, "ID token"),
        (
            "a key nobody knows",
            Lie { header: vec![("kid", json!("2"))], other_key: true, ..Lie::default() },
            "ID token",
        ),
        (
            "no ID token",
            Lie { answer: Some((200, json!({ "access_token": "at", "token_type": "Bearer" }))), ..Lie::default() },
            "no ID token",
        ),
        (
            "no answer",
            Lie { answer: Some((400, json!({ "error": "invalid_client" }))), ..Lie::default() },
            "invalid_client",
        ),
    ];
    assert_eq!(rows.len(), 24);
    for (what, lie, says) in rows {
        *idp.lie.lock().unwrap() = lie;
        let reply = come(&app, &idp);
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{what}: {}", reply.text());
        assert!(reply.text().contains("ask the service desk"), "{what}");
        assert!(!cookies(&reply).iter().any(|cookie| cookie.starts_with("iocast-session")), "{what}");
        let entry = last_audit(&app, "sign_in.failed");
        let why = entry["detail"].to_string();
        assert!(why.contains(says), "{what}: {why}");
        assert!(!why.contains("canary"), "{what}: {why}");
    }
    assert_eq!(app.get("/api/v1/users").ok().as_array().unwrap().len(), 1, "nobody was added");
    *idp.lie.lock().unwrap() = Lie::default();
    // What is tried is counted by address, and whoever waits gets in.
    app.world.advance(901);
    let browser = inside(&come(&app, &idp));
    assert_eq!(me(&app, &browser)["user"]["roles"], json!(["analyst"]));
}

/// S06: a sign-in is finished by the browser that began it, once, at the provider it was begun at, within ten minutes. Wrong
/// state, no cookie, somebody else's state, a replayed answer, a replayed code, a code of another sign-in, an answer that
/// says it is from elsewhere or does not say where it is from: no session.
#[test]
fn s06_a_sign_in_ends_where_it_began() {
    let (app, idp) = exchange();
    let second = json!({ "provider": [{ "name": "other", "issuer": ISSUER, "client_id": "iocast", "roles": { "soc": ["viewer"] } }] });
    app.post("/api/v1/config/apply", &second).ok();
    let refused = |reply: Reply, what: &str| {
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{what}: {}", reply.text());
        assert!(!cookies(&reply).iter().any(|cookie| cookie.starts_with("iocast-session")), "{what}");
    };
    let begin = || {
        let (browser, to) = leave(&app);
        let (code, state) = idp.sign_in(&to);
        (browser, code, state)
    };
    // State and cookie.
    let (browser, code, state) = begin();
    refused(get(&app, &browser, &back(&code, &"0".repeat(64))), "wrong state");
    refused(get(&app, &browser, &back(&code, "")), "no state");
    refused(get(&app, &Browser::default(), &back(&code, &state)), "no cookie");
    let (mallory, their_code, their_state) = begin();
    refused(get(&app, &browser, &back(&their_code, &their_state)), "somebody else's answer: signing a victim in");
    refused(get(&app, &mallory, &back(&code, &state)), "somebody else's browser");
    // A code that was taken away is of no use in another sign-in: the verifier is another.
    refused(get(&app, &mallory, &back(&code, &their_state)), "a code of another sign-in");
    assert!(last_audit(&app, "sign_in.failed")["detail"].to_string().contains("invalid_grant"));
    // Once.
    let (browser, code, state) = begin();
    inside(&get(&app, &browser, &back(&code, &state)));
    refused(get(&app, &browser, &back(&code, &state)), "a replayed answer");
    let (again, _, fresh) = begin();
    refused(get(&app, &again, &back(&code, &fresh)), "a replayed code");
    // In time.
    let (late, code, state) = begin();
    app.world.advance(601);
    refused(get(&app, &late, &back(&code, &state)), "after ten minutes");
    // At the provider it was begun at.
    let (mixed, code, state) = begin();
    let elsewhere = back(&code, &state).replace("/at/corp/", "/at/other/");
    refused(get(&app, &mixed, &elsewhere), "begun at another provider");
    assert!(last_audit(&app, "sign_in.failed")["detail"].to_string().contains("mix-up"));
    let (mixed, code, state) = begin();
    refused(get(&app, &mixed, &format!("{}&iss=https://evil.example", back(&code, &state))), "from elsewhere");
    assert!(last_audit(&app, "sign_in.failed")["detail"].to_string().contains("mix-up"));
    let (named, code, state) = begin();
    inside(&get(&app, &named, &format!("{}&iss={}", back(&code, &state), kit::http::encode(ISSUER))));
    idp.lie.lock().unwrap().metadata = vec![("authorization_response_iss_parameter_supported", json!(true))];
    app.world.advance(601);
    refused(come(&app, &idp), "it always says who it is, and here it does not");
    assert!(last_audit(&app, "sign_in.failed")["detail"].to_string().contains("mix-up"));
    idp.lie.lock().unwrap().metadata = Vec::new();
    // The provider says no.
    app.world.advance(601);
    let (browser, to) = leave(&app);
    let (_, state) = idp.sign_in(&to);
    let reply = get(&app, &browser, &format!("/sign-in/at/corp/back?error=access_denied%0d%0aX&state={state}"));
    assert!(!reply.text().contains("access_denied"), "its words are for the log");
    refused(reply, "access denied");
    // Configured anew meanwhile.
    let (browser, code, state) = begin();
    let mut doc = provider();
    doc["roles"]["soc"] = json!(["administrator"]);
    app.post("/api/v1/config/apply", &json!({ "provider": [doc] })).ok();
    refused(get(&app, &browser, &back(&code, &state)), "configured anew");
    // It names itself otherwise than it is configured.
    app.post("/api/v1/config/apply", &json!({ "provider": [provider()] })).ok();
    idp.lie.lock().unwrap().metadata = vec![("issuer", json!("https://login.example/realms/evil"))];
    app.world.advance(901);
    let reply = get(&app, &Browser::default(), "/sign-in/at/corp");
    assert_eq!(reply.status, StatusCode::BAD_GATEWAY, "{}", reply.text());
    assert_eq!(get(&app, &Browser::default(), "/sign-in/at/nowhere").status, StatusCode::NOT_FOUND);
    // Nobody is led away from here by what stands in the address.
    idp.lie.lock().unwrap().metadata = Vec::new();
    let reply = get(&app, &Browser::default(), "/sign-in/at/corp?next=//evil.example/");
    let cookie = reply.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let browser = Browser { cookie: Some(cookie), ..Browser::default() };
    let (code, state) = idp.sign_in(reply.header("location").unwrap());
    let reply = get(&app, &browser, &back(&code, &state));
    assert!(reply.text().contains("0;url=/overview") && !reply.text().contains("evil.example"), "{}", reply.text());
}

/// S06 (CVE-2026-9084): a provider that says somebody has the name and the mailbox of a person here gets them no account but
/// their own, and the same subject of another issuer is somebody else.
#[test]
fn s06_a_mailbox_or_a_name_leads_to_no_account() {
    let (app, idp) = exchange();
    *idp.person.lock().unwrap() = json!({ "sub": "evil", "preferred_username": "ada", "email": "ada@iocast.example", "email_verified": true, "groups": ["soc"] });
    let mallory = inside(&come(&app, &idp));
    let user = &me(&app, &mallory)["user"];
    assert_eq!((&user["name"], &user["roles"]), (&json!("ada@corp"), &json!(["analyst"])));
    let names: Vec<Value> =
        app.get("/api/v1/users").ok().as_array().unwrap().iter().map(|user| user["name"].clone()).collect();
    assert_eq!(names, [json!("ada"), json!("ada@corp")]);
    // Once more it is the same account, whatever they are called by now.
    idp.person.lock().unwrap()["preferred_username"] = "root".into();
    assert_eq!(me(&app, &inside(&come(&app, &idp)))["user"]["name"], "ada@corp");
    let store = app.app.engine().unwrap().store();
    assert!(store.person_known_as("https://login.example/realms/other", "evil").unwrap().is_none());
    // There is no password to try.
    let tried = Browser::default().sign_in(&app, "ada@corp", PASSWORD);
    assert_eq!(tried.status, StatusCode::UNAUTHORIZED);
    // A name that is none of ours, or has none.
    for (subject, name, expect) in [
        ("a", json!("<script>"), "script"),
        ("b", json!("local"), "local@corp"),
        ("c", json!("\u{202e}"), "somebody"),
        ("d", Value::Null, "d"),
    ] {
        *idp.person.lock().unwrap() = json!({ "sub": subject, "preferred_username": name, "groups": ["soc"] });
        if name.is_null() {
            idp.person.lock().unwrap().as_object_mut().unwrap().remove("preferred_username");
        }
        assert_eq!(me(&app, &inside(&come(&app, &idp)))["user"]["name"], expect, "{name}");
    }
}

/// S06, S12: roles are those of the groups, at each sign-in. Who has none any more is told whom to ask, and their sessions
/// and tokens end with it; a disabled account stays out; who is let in signs out like everybody.
#[test]
fn s06_an_account_follows_its_groups() {
    let (app, idp) = exchange();
    let reply = come(&app, &idp);
    assert!(reply.text().contains("0;url=/plans") && reply.text().contains("href=\"/plans\""), "{}", reply.text());
    let mut grace = inside(&reply);
    let said = me(&app, &grace);
    assert_eq!(said["user"]["issuer"], ISSUER);
    assert_eq!(
        (&said["user"]["second_factor"], &said["must"]),
        (&json!(false), &Value::Null),
        "the provider asks for it"
    );
    grace.csrf = said["csrf"].as_str().unwrap().to_owned();
    assert_eq!(last_audit(&app, "sign_in")["detail"]["how"], "provider corp");
    assert_eq!(last_audit(&app, "user.add")["detail"]["subject"], "7f3a");
    let token = grace.post(&app, "/api/v1/tokens", &json!({ "name": "mine", "scope": "read" })).ok()["token"].clone();
    let with_token = || {
        let request =
            Request::get("/api/v1/status").header("authorization", format!("Bearer {}", token.as_str().unwrap()));
        app.send(request.body(Body::empty()).unwrap()).status
    };
    assert_eq!(with_token(), StatusCode::OK);
    // More groups, at the next sign-in and not before.
    idp.person.lock().unwrap()["groups"] = json!(["soc", "lead"]);
    assert_eq!(me(&app, &grace)["user"]["roles"], json!(["analyst"]));
    assert_eq!(me(&app, &inside(&come(&app, &idp)))["user"]["roles"], json!(["analyst", "approver"]));
    assert_eq!(last_audit(&app, "user.roles")["who"], "provider corp");
    // Nobody gives them others here, or a password.
    let change = app.send(iocast::api::local(
        Request::put("/api/v1/users/grace")
            .header("content-type", "application/json")
            .body(Body::from(r#"{"roles": ["administrator"]}"#))
            .unwrap(),
    ));
    assert_eq!(change.status, StatusCode::CONFLICT, "{}", change.text());
    assert!(change.text().contains("from their groups"), "{}", change.text());
    assert_eq!(app.post("/api/v1/users/grace/reset", &json!({})).status, StatusCode::CONFLICT);
    // Groups that do not go together, and none.
    for (groups, says) in [
        (json!(["it", "lead"]), "do not go together"),
        (json!(["x"]), "none of your groups"),
        (Value::Null, "none of your groups"),
    ] {
        idp.person.lock().unwrap()["groups"] = groups.clone();
        if groups.is_null() {
            idp.person.lock().unwrap().as_object_mut().unwrap().remove("groups");
        }
        let reply = come(&app, &idp);
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{groups}: {}", reply.text());
        assert!(reply.text().contains(says) && reply.text().contains("Ask the service desk"), "{}", reply.text());
        assert!(!grace.is_in(&app), "{groups}: their sessions ended");
        assert_eq!(with_token(), StatusCode::FORBIDDEN, "{groups}: their token may nothing");
        let entry = last_audit(&app, "sign_in.failed");
        assert_eq!((&entry["object"], &entry["detail"]["subject"]), (&json!("grace"), &json!("7f3a")));
    }
    // What the token does not say is asked for, of nobody else.
    idp.lie.lock().unwrap().user_info = Some(json!({ "sub": "somebody-else", "groups": ["soc"] }));
    assert_eq!(come(&app, &idp).status, StatusCode::UNAUTHORIZED);
    idp.lie.lock().unwrap().user_info = Some(json!({ "sub": "7f3a", "groups": ["soc"] }));
    let mut grace = inside(&come(&app, &idp));
    // Out.
    grace.csrf = me(&app, &grace)["csrf"].as_str().unwrap().to_owned();
    assert_eq!(grace.post(&app, "/api/v1/sign-out", &json!({})).status, StatusCode::NO_CONTENT);
    assert!(!grace.is_in(&app));
    // Disabled.
    let grace = inside(&come(&app, &idp));
    let disable = |disabled: bool| {
        app.send(iocast::api::local(
            Request::put("/api/v1/users/grace")
                .header("content-type", "application/json")
                .body(Body::from(json!({ "disabled": disabled }).to_string()))
                .unwrap(),
        ))
    };
    assert_eq!(disable(true).status, StatusCode::OK);
    assert!(!grace.is_in(&app));
    let reply = come(&app, &idp);
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    assert!(reply.text().contains("disabled. Ask the service desk"), "{}", reply.text());
    disable(false).ok();
    inside(&come(&app, &idp));
    // The last administrator with a password here stays, whoever else is one.
    idp.lie.lock().unwrap().user_info = Some(json!({ "sub": "7f3a", "groups": ["it"] }));
    assert_eq!(me(&app, &inside(&come(&app, &idp)))["user"]["roles"], json!(["administrator"]));
    let gone = app.send(iocast::api::local(Request::delete("/api/v1/users/ada").body(Body::empty()).unwrap()));
    assert_eq!(gone.status, StatusCode::CONFLICT, "{}", gone.text());
    assert!(gone.text().contains("with a password here"), "{}", gone.text());
    assert_eq!(Browser::default().sign_in(&app, "ada", PASSWORD).status, StatusCode::OK, "without any provider");
}

/// S09, S30, S32: who says which groups are administrators is one. The secret is not shown, and goes to no other issuer.
#[test]
fn s32_a_provider_is_an_administrators_and_its_secret_stays_there() {
    let (app, _idp) = exchange();
    let page = get(&app, &Browser::default(), "/sign-in?next=/plans").text();
    assert!(page.contains("href=\"/sign-in/at/corp?next=%2Fplans\"") && page.contains("Sign in at corp"), "{page}");
    let operator = person(&app, "olga", &["operator"]);
    let mut doc = provider();
    doc["client_secret"] = "*** set ***".into();
    assert_eq!(
        operator.post(&app, "/api/v1/config/apply", &json!({ "provider": [doc] })).status,
        StatusCode::OK,
        "as it is"
    );
    let mut wider = doc.clone();
    wider["roles"]["soc"] = json!(["administrator"]);
    for (path, body) in [
        ("/api/v1/config/apply", json!({ "provider": [wider] })),
        ("/api/v1/config/apply?prune=true", json!({ "rule": [{ "name": "r", "when": "kind = ipv4" }] })),
    ] {
        let reply = operator.post(&app, path, &body);
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{path}: {}", reply.text());
    }
    for text in [
        app.get("/api/v1/providers/corp").text(),
        app.get("/api/v1/config").text(),
        app.get("/api/v1/audit?limit=1000").text(),
    ] {
        assert!(!text.contains("canary"), "{text}");
    }
    assert!(app.get("/api/v1/secrets").text().contains("\"provider\""), "{}", app.get("/api/v1/secrets").text());
    for (key, value, says) in [
        ("issuer", json!("https://evil.example"), "give the secret again"),
        ("issuer", json!("http://login.example"), "must be the provider's https address"),
        ("roles", json!({ "soc": ["emperor"] }), "none of viewer"),
        ("roles", json!({ "soc": ["administrator", "approver"] }), "may not approve"),
        ("roles", json!({}), "are missing"),
        ("client_id", json!(" "), "register this exchange"),
        ("scopes", json!(["a b"]), "one word each"),
        ("allowed_domain", json!("everywhere"), "must be a domain"),
        ("name", json!("a/b"), "1 to 32 letters"),
    ] {
        let mut wrong = doc.clone();
        wrong[key] = value;
        if key == "name" {
            wrong["client_secret"] = "x".into();
        }
        let reply = app.post("/api/v1/config/apply", &json!({ "provider": [wrong] }));
        assert!(!reply.status.is_success() && reply.text().contains(says), "{key}: {}", reply.text());
    }
    // Without an address to come back to there is no way.
    let bare = TestApp::new();
    let reply = bare.post("/api/v1/config/apply", &json!({ "provider": [provider()] }));
    assert!(!reply.status.is_success() && reply.text().contains("public_url"), "{}", reply.text());
    // Off is off.
    doc["enabled"] = false.into();
    app.post("/api/v1/config/apply", &json!({ "provider": [doc] })).ok();
    assert!(!get(&app, &Browser::default(), "/sign-in").text().contains("Sign in at"));
    assert_eq!(get(&app, &Browser::default(), "/sign-in/at/corp").status, StatusCode::NOT_FOUND);
}
