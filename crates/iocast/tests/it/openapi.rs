//! `docs/reference/openapi.json` is the table of routes, written down. It is made here, and held against what is
//! committed. `IOCAST_UPDATE=1 cargo test -p iocast --test it openapi` writes it anew.

use crate::support::TestApp;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use iocast::api::openapi;
use iocast::api::routes::{Answer, Needs, TABLE, Verb};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn the_committed_document_says_what_the_table_says() {
    let made = openapi::text();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/openapi.json");
    if std::env::var_os("IOCAST_UPDATE").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = made.lines().zip(committed.lines()).position(|(made, there)| made != there);
    assert!(
        made == committed,
        "{} is out of date from line {}; IOCAST_UPDATE=1 cargo test -p iocast --test it openapi writes it anew",
        path.display(),
        differs.unwrap_or_else(|| made.lines().count().min(committed.lines().count())) + 1
    );
}

#[test]
fn every_route_says_what_it_takes_and_gives() {
    let mut ids = BTreeSet::new();
    let document = openapi::document();
    for route in TABLE {
        let name = format!("{} {}", route.method.as_str(), route.path);
        assert!(route.docs.answer.is_some(), "{name} does not say what it answers: add .answers::<…>() to its row");
        assert!(route.summary.ends_with('.') && route.summary.len() > 4, "{name}: {}", route.summary);
        let operation = &document["paths"][route.path][route.method.as_str().to_lowercase()];
        assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{name}: an id twice");
        assert_eq!(operation["requestBody"].is_object(), route.docs.body.is_some(), "{name}");
        if route.method == Verb::Put {
            assert!(route.docs.body.is_some(), "{name} says no body");
        }
        if matches!(route.docs.answer, Some(Answer::Json(_))) {
            let good = if route.docs.makes { "201" } else { "200" };
            let answer = &operation["responses"][good]["content"]["application/json"]["schema"];
            assert!(answer.is_object() || answer == &Value::Bool(true), "{name}: {answer}");
        }
        let secured = operation["security"] != serde_json::json!([]);
        assert_eq!(secured, route.needs != Needs::Nothing, "{name}");
        for param in route.path_params() {
            let listed = operation["parameters"].as_array().unwrap();
            assert!(listed.iter().any(|p| p["name"] == param && p["in"] == "path"), "{name}: {param}");
        }
    }
}

/// Every `$ref` leads to something, and every schema that is there is used.
#[test]
fn references_lead_somewhere() {
    fn refs(value: &Value, out: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(to)) = map.get("$ref") {
                    out.insert(to.clone());
                }
                map.values().for_each(|value| refs(value, out));
            }
            Value::Array(items) => items.iter().for_each(|value| refs(value, out)),
            _ => {}
        }
    }
    let document = openapi::document();
    let mut used = BTreeSet::new();
    refs(&document, &mut used);
    let there: BTreeSet<String> = document["components"]["schemas"]
        .as_object()
        .unwrap()
        .keys()
        .map(|name| format!("#/components/schemas/{name}"))
        .collect();
    assert_eq!(used, there);
    assert!(!there.iter().any(|name| name.contains(['<', ' ', '2'])), "{there:?}");
}

#[test]
fn anybody_may_read_it_and_learns_nothing_of_this_exchange() {
    let app = TestApp::new();
    let reply = app.send(Request::get("/api/v1/openapi.json").body(Body::empty()).unwrap());
    assert_eq!((reply.status, reply.header("content-type")), (StatusCode::OK, Some("application/json")));
    assert_eq!(reply.json(), openapi::document());
    assert_eq!(reply.json()["info"]["version"], "1", "the API's, not the program's");
}

#[test]
fn examples_are_taken() {
    let app = TestApp::new();
    for route in TABLE.iter().filter(|route| route.docs.example.is_some() && route.path_params().next().is_none()) {
        // A backup is made of a directory, and only there is anything sealed.
        if route.method != Verb::Post || ["/api/v1/backup", "/api/v1/secrets/rotate"].contains(&route.path) {
            continue;
        }
        let example: Value = serde_json::from_str(route.docs.example.unwrap()).unwrap();
        let reply = app.post(route.path, &example);
        // No code was printed, nobody has this password, and nobody sits in a session: but they were read.
        if route.needs == Needs::Session || (route.needs == Needs::Nothing && !reply.status.is_success()) {
            let status = reply.status.as_u16();
            assert!(matches!(status, 401 | 403), "{}: {} {}", route.path, reply.status, reply.text());
            continue;
        }
        assert!(reply.status.is_success(), "{}: {} {}", route.path, reply.status, reply.text());
    }
}
