//! Each noun of the API: read page by page, made, replaced and deleted by who has seen it.

use crate::support::{Reply, TestApp};
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::{Value, json};

fn ask(app: &TestApp, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Reply {
    let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if body.is_some() {
        request = request.header("content-type", "application/json");
    }
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    app.send(iocast::api::local(request.body(body).unwrap()))
}

fn tag(reply: &Reply) -> String {
    reply.header("etag").unwrap_or_else(|| panic!("no tag: {}", reply.text())).to_owned()
}

/// An exchange with one list, made thing by thing.
fn made_by_hand() -> TestApp {
    let app = TestApp::new();
    for (path, body) in [
        ("/api/v1/connections/edge", json!({ "connector": "list", "settings": {} })),
        (
            "/api/v1/targets/block-ip",
            json!({ "connection": "edge", "first_fill": "allow", "params": { "format": "edl" } }),
        ),
        ("/api/v1/rules/addresses", json!({ "when": "kind = ipv4 and reputation >= 5" })),
        ("/api/v1/sharings/any/addresses/block-ip", json!({})),
        ("/api/v1/guard/lists/ours", json!({ "values": ["203.0.113.7"] })),
        (
            "/api/v1/guard/exceptions/block-ip/203.0.113.7",
            json!({ "reason": "a sinkhole", "until": "2027-01-31", "approver": "noc" }),
        ),
    ] {
        let reply = ask(&app, "PUT", path, &[("if-none-match", "*")], Some(&body));
        assert_eq!(reply.status, StatusCode::CREATED, "{path}: {}", reply.text());
        assert_eq!(reply.header("location"), Some(path));
        let shown = app.get(path);
        assert_eq!((shown.json(), tag(&shown)), (reply.json(), tag(&reply)), "{path}");
    }
    app
}

#[test]
fn things_are_made_replaced_and_deleted_by_who_has_seen_them() {
    let app = made_by_hand();
    let rule = "/api/v1/rules/addresses";
    let seen = tag(&app.get(rule));
    let other = json!({ "name": "addresses", "when": "kind = ipv4 and reputation >= 7" });
    let put = |headers: &[(&str, &str)], body: &Value| ask(&app, "PUT", rule, headers, Some(body));
    assert_eq!(put(&[], &other).status, StatusCode::PRECONDITION_REQUIRED);
    assert_eq!(put(&[("if-none-match", "*")], &other).status, StatusCode::PRECONDITION_FAILED);
    let replaced = put(&[("if-match", &seen)], &other);
    assert_eq!((replaced.status, replaced.header("location")), (StatusCode::OK, None), "{}", replaced.text());
    assert_eq!(replaced.json()["when"], other["when"]);
    assert_eq!(put(&[("if-match", &seen)], &other).status, StatusCode::PRECONDITION_FAILED, "seen too long ago");
    let now = tag(&replaced);
    assert_eq!(tag(&put(&[("if-match", &now)], &other)), now, "nothing differs");
    // What a file would be refused for is refused here, and nothing changes.
    for (body, status) in [
        (json!({ "when": "reputation >" }), 422),
        (json!({ "name": "else", "when": "reputation > 1" }), 422),
        (json!({ "whn": "reputation > 1" }), 400),
        (json!({ "name": 1, "when": "reputation > 1" }), 400),
        (json!([]), 400),
    ] {
        let reply = put(&[("if-match", &now)], &body);
        assert_eq!(reply.status.as_u16(), status, "{body}: {}", reply.text());
        assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    }
    assert_eq!(tag(&app.get(rule)), now);
    // One way in: the audit log says it as if a file had been applied.
    let audit = app.get("/api/v1/audit?limit=1&action=rule");
    assert_eq!((&audit.json()[0]["action"], &audit.json()[0]["object"]), (&json!("rule.update"), &json!("addresses")));
    assert_eq!(audit.header("link"), Some("</api/v1/audit?limit=1&action=rule&before=7>; rel=\"next\""));

    let delete = |path: &str, headers: &[(&str, &str)]| ask(&app, "DELETE", path, headers, None);
    let status = |path: &str, headers: &[(&str, &str)]| delete(path, headers).status.as_u16();
    assert_eq!(status(rule, &[]), 428);
    let used = delete(rule, &[("if-match", &now)]);
    assert_eq!(used.status, StatusCode::CONFLICT);
    assert!(used.text().contains("any → addresses → block-ip"), "{}", used.text());
    let any = [("if-match", "*")];
    assert_eq!(status("/api/v1/rules/nothing", &any), 404);
    assert_eq!(status("/api/v1/connections/manual?records=retract", &any), 404, "built in, and no one's to delete");
    assert_eq!(status("/api/v1/targets/block-ip", &any), 400, "what becomes of the entries?");
    assert_eq!(status("/api/v1/targets/block-ip?lines=release", &any), 409, "a sharing feeds it");
    assert_eq!(status("/api/v1/sharings/any/addresses/block-ip?lines=take_back", &any), 204);
    assert_eq!(status(rule, &any), 204);
    assert_eq!(status("/api/v1/guard/exceptions/block-ip/203.0.113.7", &any), 204);
    assert_eq!(status("/api/v1/guard/lists/ours", &any), 204);
    assert_eq!(status("/api/v1/targets/block-ip?lines=take_back", &any), 204, "it holds nothing");
    assert_eq!(status("/api/v1/connections/edge", &any), 400, "what becomes of the records?");
    assert_eq!(status("/api/v1/connections/edge?records=retract", &any), 204);
    assert_eq!(app.get("/api/v1/config").ok(), json!({}));
}

#[test]
fn what_a_deleted_target_holds_is_released_and_never_lost() {
    let app = made_by_hand();
    app.publish(&["203.0.113.9", "203.0.113.10"]);
    assert_eq!(app.get("/lists/block-ip").status, StatusCode::OK);
    let any = [("if-match", "*")];
    let sharing = "/api/v1/sharings/any/addresses/block-ip";
    assert_eq!(ask(&app, "DELETE", &format!("{sharing}?lines=release"), &any, None).status, StatusCode::CONFLICT);
    assert_eq!(ask(&app, "DELETE", &format!("{sharing}?lines=take_back"), &any, None).status, StatusCode::NO_CONTENT);
    ask(&app, "DELETE", "/api/v1/guard/exceptions/block-ip/203.0.113.7", &any, None);
    let holds = ask(&app, "DELETE", "/api/v1/targets/block-ip?lines=take_back", &any, None);
    assert_eq!(holds.status, StatusCode::CONFLICT, "{}", holds.text());
    assert!(holds.text().contains("until its 2 entries are taken back"), "{}", holds.text());
    let gone = ask(&app, "DELETE", "/api/v1/targets/block-ip?lines=release", &any, None);
    assert_eq!(gone.status, StatusCode::NO_CONTENT, "{}", gone.text());
    assert_eq!(app.get("/lists/block-ip").status, StatusCode::NOT_FOUND);
    let store = app.app.engine().unwrap().store();
    let mut states = Vec::new();
    store.lines(intel::TargetId(1), &mut |line| states.push(line.state)).unwrap();
    assert_eq!(states, vec![intel::sharing::LineState::Released as u8; 2], "what was put there is remembered");
    // Another of the same name is another: it begins with nothing.
    let body = json!({ "connection": "edge", "params": { "format": "edl" } });
    assert_eq!(ask(&app, "PUT", "/api/v1/targets/block-ip", &[], Some(&body)).status, StatusCode::CREATED);
    assert_eq!(app.get("/lists/block-ip").status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(app.get("/api/v1/targets/block-ip/deliveries").ok()["items"], json!([]));
}

#[test]
fn records_of_a_deleted_connection_count_no_longer() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("feed.txt"), "203.0.113.1\n203.0.113.2\n").unwrap();
    let app = TestApp::with(None, vec![dir.path().to_owned()]);
    let url = format!("file://{}/feed.txt", dir.path().display());
    let body = json!({ "connector": "feed", "settings": { "url": url, "format": "text" } });
    assert_eq!(ask(&app, "PUT", "/api/v1/connections/in", &[], Some(&body)).status, StatusCode::CREATED);
    app.post("/api/v1/pulls", &json!({ "all": true })).ok();
    assert_eq!(app.get("/api/v1/indicators/count").ok()["count"], 2);
    let any = [("if-match", "*")];
    let reply = ask(&app, "DELETE", "/api/v1/connections/in?records=retract", &any, None);
    assert_eq!(reply.status, StatusCode::NO_CONTENT, "{}", reply.text());
    assert_eq!(app.get("/api/v1/indicators/count").ok()["count"], 0);
    assert_eq!(app.get("/api/v1/indicators/count?all=true").ok()["count"], 2);
    let records = app.get("/api/v1/indicators/ipv4/203.0.113.1/records").ok();
    assert_eq!(records[0]["active"], false, "{records}");
    // One of the same name is another, and knows nothing of what that one said.
    assert_eq!(ask(&app, "PUT", "/api/v1/connections/in", &[], Some(&body)).status, StatusCode::CREATED);
    assert_eq!(app.get("/api/v1/indicators/count").ok()["count"], 0);
    assert_eq!(app.post("/api/v1/pulls", &json!({ "all": true })).ok()[0]["new"], 2);
    assert_eq!(app.get("/api/v1/indicators/count").ok()["count"], 2);
}

#[test]
fn records_of_a_deleted_connection_may_age_out() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("feed.txt"), "203.0.113.1\n203.0.113.2\n").unwrap();
    let app = TestApp::with(None, vec![dir.path().to_owned()]);
    let url = format!("file://{}/feed.txt", dir.path().display());
    let body = json!({ "connector": "feed", "settings": { "url": url, "format": "text" } });
    assert_eq!(ask(&app, "PUT", "/api/v1/connections/in", &[], Some(&body)).status, StatusCode::CREATED);
    app.post("/api/v1/pulls", &json!({ "all": true })).ok();
    let any = [("if-match", "*")];
    let reply = ask(&app, "DELETE", "/api/v1/connections/in?records=keep", &any, None);
    assert_eq!(reply.status, StatusCode::NO_CONTENT, "{}", reply.text());
    assert_eq!(app.get("/api/v1/indicators/count").ok()["count"], 2, "what it said stands until it is too old");
    assert!(app.get("/api/v1/indicators/ipv4/203.0.113.1").ok()["expires_at"].is_string());
}

#[test]
fn an_empty_file_prunes_nothing() {
    let app = made_by_hand();
    let before = app.get("/api/v1/config").ok();
    for body in [json!({}), json!({ "policy": { "prune_days": 9 } })] {
        let reply = app.post("/api/v1/config/apply?prune=true", &body);
        assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}: {}", reply.text());
    }
    assert_eq!(app.get("/api/v1/config").ok(), before);
}

#[test]
fn a_secret_is_written_and_never_read() {
    let app = TestApp::new();
    let secret = "Zm9yLXRlc3Rz-aaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let path = "/api/v1/connections/feed";
    let body = json!({ "connector": "feed", "settings": { "url": "https://feed.example/x", "format": "text", "token": secret } });
    let reply = ask(&app, "PUT", path, &[], Some(&body));
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.text());
    let shown = app.get(path);
    for reply in [&reply, &shown, &app.get("/api/v1/connections"), &app.get("/api/v1/audit")] {
        assert!(!reply.text().contains(secret), "{}", reply.text());
    }
    // What is shown can be sent back, and keeps the secret.
    let mut again = shown.json();
    again["interval"] = "2h".into();
    let seen = tag(&shown);
    let reply = ask(&app, "PUT", path, &[("if-match", &seen)], Some(&again));
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let config = app.app.engine().unwrap().config();
    assert!(config.connection("feed").unwrap().doc.settings.to_string().contains(secret));
    // It does not go where its writer has not sent it.
    again["settings"]["url"] = "https://elsewhere.example/x".into();
    assert_eq!(ask(&app, "PUT", path, &[("if-match", "*")], Some(&again)).status, StatusCode::UNPROCESSABLE_ENTITY);
}

/// Whoever may write a connection and cannot read its secret must not have it sent to themselves.
#[test]
fn a_kept_secret_goes_nowhere_else() {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let taxii = json!({ "connector": "taxii", "settings": { "url": "https://taxii.example/api/", "token": secret } });
    let feed =
        |url: &str| json!({ "connector": "feed", "settings": { "url": url, "format": "text", "token": secret } });
    let (clear, closed) = (feed("http://feed.example/x"), feed("https://feed.example/x"));
    let hook = json!({ "connector": "webhook", "settings": { "url": "https://soc.example/in", "secret": secret } });
    for (what, body, change, is_refused) in [
        ("another server", &taxii, json!({ "settings": { "url": "https://evil.example/api/" } }), true),
        ("another port", &taxii, json!({ "settings": { "url": "https://taxii.example:8443/api/" } }), true),
        ("in the clear", &taxii, json!({ "settings": { "url": "http://taxii.example/api/" } }), true),
        ("one more origin", &taxii, json!({ "settings": { "trusted_origins": ["https://evil.example"] } }), true),
        (
            "its own, another port",
            &taxii,
            json!({ "settings": { "trusted_origins": ["https://taxii.example:1"] } }),
            true,
        ),
        ("another path", &taxii, json!({ "settings": { "url": "https://taxii.example/other/" } }), false),
        ("a proxy that reads along", &clear, json!({ "proxy": "http://evil.example:3128" }), true),
        ("a proxy that cannot", &closed, json!({ "proxy": "http://proxy.example:3128" }), false),
        ("another authority", &closed, json!({ "ca_file": "evil.pem" }), true),
        ("another receiver", &hook, json!({ "settings": { "url": "https://evil.example/in" } }), true),
    ] {
        let app = TestApp::new();
        let path = "/api/v1/connections/it";
        let made = ask(&app, "PUT", path, &[], Some(body));
        assert_eq!(made.status, StatusCode::CREATED, "{what}: {}", made.text());
        let mut again = app.get(path).json();
        for (key, value) in change.as_object().unwrap() {
            match value.as_object() {
                Some(inner) => inner.iter().for_each(|(inner, value)| again[key][inner] = value.clone()),
                None => again[key] = value.clone(),
            }
        }
        let reply = ask(&app, "PUT", path, &[("if-match", "*")], Some(&again));
        assert_eq!(reply.text().contains("give the secret again"), is_refused, "{what}: {}", reply.text());
        assert_eq!(reply.status == StatusCode::OK, !is_refused, "{what}: {}", reply.text());
        assert!(!reply.text().contains(secret) && !app.get("/api/v1/audit").text().contains(secret), "{what}");
        // Nor does it come back where something is made anew under its name.
        let any = [("if-match", "*")];
        let gone = ask(&app, "DELETE", "/api/v1/connections/it?records=retract", &any, None);
        assert_eq!(gone.status, StatusCode::NO_CONTENT, "{what}: {}", gone.text());
        assert_eq!(ask(&app, "PUT", path, &[], Some(&again)).status, StatusCode::UNPROCESSABLE_ENTITY, "{what}");
    }
}

#[test]
fn a_name_that_another_route_has_is_written_otherwise() {
    let app = TestApp::new();
    let body = json!({ "when": "reputation > 1" });
    let made = ask(&app, "PUT", "/api/v1/rules/%74est", &[], Some(&body));
    assert_eq!((made.status, made.header("location")), (StatusCode::CREATED, Some("/api/v1/rules/%74est")));
    assert_eq!(app.get("/api/v1/rules/%74est").ok()["name"], "test");
    let odd = ask(&app, "PUT", "/api/v1/rules/a%2Fb%20%C3%A9", &[], Some(&body));
    assert_eq!((odd.status, odd.header("location")), (StatusCode::CREATED, Some("/api/v1/rules/a%2Fb%20%C3%A9")));
    assert_eq!(app.get("/api/v1/rules/a%2Fb%20%C3%A9").ok()["name"], "a/b é");
}

#[test]
fn settings_are_one_thing() {
    let app = TestApp::new();
    let path = "/api/v1/settings";
    let seen = tag(&app.get(path));
    let body = json!({ "default_tlp": "amber" });
    assert_eq!(ask(&app, "PUT", path, &[], Some(&body)).status, StatusCode::PRECONDITION_REQUIRED);
    let put = ask(&app, "PUT", path, &[("if-match", &seen)], Some(&body));
    assert_eq!((put.status, put.json()), (StatusCode::OK, body.clone()));
    assert_eq!(app.get(path).ok(), body);
    assert_eq!(app.get("/api/v1/config").ok()["policy"], body);
}

#[test]
fn pages_of_every_noun_give_each_thing_once() {
    let app = made_by_hand();
    for n in 0..25 {
        let path = format!("/api/v1/rules/r{n:02}");
        let body = json!({ "when": format!("reputation > {}", n % 9) });
        assert_eq!(ask(&app, "PUT", &path, &[], Some(&body)).status, StatusCode::CREATED);
    }
    let values: Vec<String> = (20..60).map(|n| format!("203.0.113.{n}")).collect();
    app.publish(&values.iter().map(String::as_str).collect::<Vec<_>>());
    for (path, key, count) in [
        ("/api/v1/rules", "name", 26),
        ("/api/v1/records", "value", 40),
        ("/api/v1/deliveries", "value", 40),
        ("/api/v1/deliveries?state=present", "value", 40),
        ("/api/v1/deliveries?state=gone", "value", 0),
        ("/api/v1/targets/block-ip/deliveries", "value", 40),
        ("/api/v1/sharings", "rule", 1),
        ("/api/v1/guard/lists", "name", 1),
        ("/api/v1/guard/exceptions", "value", 1),
    ] {
        let (mut all, mut after, glue) = (Vec::new(), String::new(), if path.contains('?') { '&' } else { '?' });
        loop {
            let page = app.get(&format!("{path}{glue}limit=7{after}")).ok();
            let items = page["items"].as_array().unwrap();
            assert!(items.len() <= 7, "{path}");
            all.extend(items.iter().cloned());
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        let mut keys: Vec<&str> = all.iter().map(|item| item[key].as_str().unwrap()).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!((keys.len(), all.len()), (count, count), "{path}");
        if path.contains("deliveries") || path.contains("records") {
            let reply = ask(&app, "GET", path, &[("accept", "application/x-ndjson")], None);
            assert_eq!(reply.header("content-type"), Some("application/x-ndjson"), "{path}");
            let lines: Vec<Value> = reply.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(lines, all, "{path}");
        }
    }
    let first = app.get("/api/v1/runs?limit=1");
    let link = first.header("link").unwrap().to_owned();
    let next = link.trim_start_matches('<').split('>').next().unwrap();
    assert!(app.get(next).ok()[0]["id"].as_u64() < first.json()[0]["id"].as_u64(), "{link}");
}

#[test]
fn one_indicator_and_all_that_is_known_of_it() {
    let app = made_by_hand();
    app.publish(&["203.0.113.9"]);
    app.post("/api/v1/indicators", &json!({ "items": [{ "value": "hxxps://evil[.]example/a/b?c", "tlp": "red" }] }))
        .ok();
    let one = app.get("/api/v1/indicators/ipv4/203.0.113[.]9").ok();
    assert_eq!(one["value"], "203.0.113.9");
    let url = "/api/v1/indicators/auto/https:%2F%2Fevil.example%2Fa%2Fb%3Fc";
    assert_eq!(app.get(url).ok()["kind"], "url");
    let records = app.get(&format!("{url}/records")).ok();
    assert_eq!((&records[0]["source"], &records[0]["tlp"]), (&json!("manual"), &json!("red")), "{records}");
    assert_eq!(records[0]["raw"], "hxxps://evil[.]example/a/b?c", "{records}");
    assert_eq!(
        (&records[0]["listed"], &records[0]["echo"], &records[0]["hops"]),
        (&json!(true), &json!(false), &json!([]))
    );
    assert_eq!(app.get(&format!("{url}/sightings")).ok(), json!([]));
    assert_eq!(app.get("/api/v1/sightings").ok(), json!({ "items": [], "next": null }));
    let line = &app.get("/api/v1/indicators/ipv4/203.0.113.9/deliveries").ok()[0];
    assert_eq!((&line["target"], &line["state"]), (&json!("block-ip"), &json!("present")), "{line}");
    assert_eq!(app.get(&format!("{url}/deliveries")).ok(), json!([]));
    for nothing in ["ipv4/203.0.113.200", "auto/localhost", "ipv4/evil.example", "no-kind/203.0.113.9"] {
        for part in ["", "/records", "/sightings", "/deliveries"] {
            let reply = app.get(&format!("/api/v1/indicators/{nothing}{part}"));
            assert_eq!(reply.status, StatusCode::NOT_FOUND, "{nothing}{part}: {}", reply.text());
        }
    }
    let check = |query: &str| app.get(&format!("/api/v1/guard/check?{query}")).ok();
    assert_eq!(check("value=203.0.113.9")["stopped"], false);
    let guarded = check("value=203.0.113.7");
    assert_eq!((&guarded["stopped"], &guarded["list"]), (&json!(true), &json!("ours")), "{guarded}");
    let excepted = check("value=203.0.113.7&target=block-ip");
    assert_eq!((&excepted["stopped"], &excepted["excepted"]), (&json!(false), &json!(true)), "{excepted}");
    assert_eq!(check("value=10.1.2.3")["stopped"], true);
    assert_eq!(app.get("/api/v1/guard/check?value=1.2.3.4&target=no").status, StatusCode::NOT_FOUND);
}

#[test]
fn methods_queries_and_bodies_that_do_not_fit() {
    let app = TestApp::new();
    for (method, path, headers, body, status) in [
        ("HEAD", "/api/v1/status", &[][..], None, 200),
        ("HEAD", "/api/v1/rules/x", &[], None, 404),
        ("PATCH", "/api/v1/rules/x", &[], None, 405),
        ("TRACE", "/api/v1/indicators", &[], None, 405),
        ("GET", "/api/v1/status?x=1", &[], None, 400),
        ("GET", "/api/v1/rules?limit=0", &[], None, 400),
        ("GET", "/api/v1/rules?limit=1001", &[], None, 400),
        ("GET", "/api/v1/rules?after=x", &[], None, 400),
        ("GET", "/api/v1/deliveries?state=here", &[], None, 400),
        ("GET", "/api/v1/indicators?limit=5&limit=6", &[], None, 400),
        ("POST", "/api/v1/freeze", &[("content-type", "text/plain")], None, 200),
        ("POST", "/api/v1/passes", &[("content-type", "text/plain")], Some("{\"all\":true}"), 415),
        ("POST", "/api/v1/passes", &[("content-type", "application/xml")], Some("<a/>"), 415),
        ("POST", "/api/v1/passes", &[("content-type", "application/json; charset=utf-8")], Some("{\"all\":true}"), 200),
        ("POST", "/api/v1/indicators", &[], Some(r#"{"items":[{"value":"1.2.3.4","reputation":7.0}]}"#), 200),
        ("POST", "/api/v1/indicators", &[], Some(r#"{"items":[{"value":"1.2.3.4","reputation":7.5}]}"#), 400),
        ("PUT", "/api/v1/connections/c", &[], Some(r#"{"connector":"list","aging_days":5.0}"#), 201),
        ("PUT", "/api/v1/connections/d", &[], Some(r#"{"connector":"list","aging_days":-5.0}"#), 400),
        ("POST", "/api/v1/passes", &[("content-type", "application/json")], Some("[]"), 400),
        ("POST", "/api/v1/passes", &[("content-type", "application/json")], Some(" [[],true]"), 400),
    ] {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.map_or_else(Body::empty, Body::from)).unwrap();
        let reply = app.send(iocast::api::local(request));
        assert_eq!(reply.status.as_u16(), status, "{method} {path}: {}", reply.text());
        if status == 405 {
            assert!(reply.header("allow").is_some_and(|allow| allow.contains("GET")), "{method} {path}");
        }
        if method == "HEAD" {
            assert!(reply.body.is_empty());
        }
    }
}
