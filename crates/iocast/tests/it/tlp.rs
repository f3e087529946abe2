//! A marking holds on every way through: what comes in as RED, or as nobody knows what, leaves by no door that is open to
//! AMBER only. One indicator of each sort is not marked so, to see that the doors do open.

use crate::support::TestApp;
use axum::http::Method;
use serde_json::{Value, json};

const RED: [&str; 2] = [
    "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed",
    "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1",
];
const GREEN: &str = "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb";
const NOBODY: &str = "marking-definition--00000000-0000-4000-8000-00000000dead";
const OWN: &str = "marking-definition--00000000-0000-4000-8000-00000000beef";
/// Words for a marking that must not get through, as people and programs write them.
const WORDS: [&str; 13] = [
    "tlp:red",
    "TLP:RED",
    "Tlp:Red",
    "tlp:amber+strict",
    "TLP:AMBER+STRICT",
    "tlp:unclear",
    "tlp:ex:chr",
    "tlp:",
    "tlp:reed",
    "TLP:RED ",
    "tlp=red",
    "TLP red",
    "tlp_red",
];

fn stix() -> Value {
    let mut objects = Vec::new();
    let mut put = |more: Value, is_kept: bool| {
        let n = objects.len();
        let value = if is_kept { format!("kept-{n}.stix.example") } else { format!("secret-{n}.stix.example") };
        let mut object = json!({
            "type": "indicator", "id": format!("indicator--00000000-0000-4000-8000-{n:012}"), "spec_version": "2.1",
            "created": "2026-05-01T00:00:00Z", "modified": "2026-05-01T00:00:00Z", "valid_from": "2026-05-01T00:00:00Z",
            "pattern_type": "stix", "pattern": format!("[domain-name:value = '{value}']"),
        });
        for (key, value) in more.as_object().unwrap() {
            object[key] = value.clone();
        }
        objects.push(object);
    };
    put(json!({"object_marking_refs": [GREEN]}), true);
    put(json!({"granular_markings": [{"lang": "de", "selectors": ["name"]}], "object_marking_refs": [GREEN]}), true);
    for id in RED.into_iter().chain([NOBODY, OWN, "", "x"]) {
        put(json!({"object_marking_refs": [id]}), false);
        put(json!({"object_marking_refs": [GREEN, id]}), false);
        put(json!({"object_marking_refs": id}), false);
        put(json!({"granular_markings": [{"marking_ref": id, "selectors": ["description"]}]}), false);
        put(json!({"granular_markings": [{"marking_ref": id, "lang": "de", "selectors": ["name"]}]}), false);
    }
    for bad in [json!({}), json!([7]), json!(7), json!([[]]), json!([null])] {
        put(json!({"object_marking_refs": bad}), false);
    }
    for bad in [json!([{}]), json!("x"), json!([7]), json!([{"marking_ref": 7, "selectors": []}])] {
        put(json!({"granular_markings": bad}), false);
    }
    for word in WORDS {
        put(json!({"labels": [word], "object_marking_refs": [GREEN]}), false);
    }
    // Defined after its use, twice, and the looser of the two last.
    for colour in ["red", "green"] {
        objects.push(json!({
            "type": "marking-definition", "id": OWN, "definition_type": "tlp", "definition": {"tlp": colour},
            "created": "2026-05-01T00:00:00Z", "spec_version": "2.1",
        }));
    }
    // Nobody makes RED less by saying so.
    objects.push(json!({
        "type": "marking-definition", "id": RED[0], "definition_type": "tlp", "definition": {"tlp": "clear"},
    }));
    objects.push(json!({"type": "marking-definition", "id": RED[1], "definition_type": "statement", "definition": {}}));
    json!({"type": "bundle", "id": "bundle--1", "objects": objects})
}

fn misp() -> Value {
    let event = |n: usize, tags: Value, attribute_tags: Value, is_kept: bool| {
        let value = if is_kept { format!("kept-{n}.misp.example") } else { format!("secret-{n}.misp.example") };
        json!({"Event": {
            "uuid": format!("5f0c1d4e-0000-4000-8000-{n:012}"), "info": "x", "timestamp": "1777600000", "published": true,
            "Attribute": [{"type": "domain", "to_ids": true, "value": value, "timestamp": "1777600000",
                "uuid": format!("5f0c1d4e-0000-4000-9000-{n:012}"), "Tag": attribute_tags}],
            "Tag": tags,
        }})
    };
    let tag = |word: &str| json!([{"name": word}]);
    let mut all = vec![event(0, tag("tlp:green"), json!([]), true)];
    for word in WORDS {
        all.push(event(all.len(), tag(word), json!([]), false));
        all.push(event(all.len(), tag("tlp:clear"), tag(word), false));
        all.push(event(all.len(), json!([{"name": "tlp:green"}, {"name": word}]), json!([]), false));
    }
    json!(all)
}

fn plain() -> Value {
    let mut all = vec![json!({"value": "kept-0.json.example", "tlp": "green"})];
    for word in ["red", "TLP:RED", "tlp:red", "amber+strict", "unclear", "ex:chr", "reed"] {
        all.push(json!({"value": format!("secret-{}.json.example", all.len()), "tlp": word}));
    }
    for word in WORDS {
        all.push(json!({"value": format!("secret-{}.json.example", all.len()), "tags": [word]}));
    }
    json!(all)
}

#[test]
fn what_is_marked_stays_inside_whatever_the_format() {
    let dir = tempfile::TempDir::new().unwrap();
    for (name, body) in [("stix", stix()), ("misp", misp()), ("json", plain())] {
        std::fs::write(dir.path().join(name), body.to_string()).unwrap();
    }
    let place = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let app = TestApp::with(None, vec![dir.path().to_owned()]);
    let formats = ["stix", "misp", "json", "csv", "edl"];
    let targets: Vec<Value> = formats
        .iter()
        .map(|format| {
            json!({"name": format!("out-{format}"), "connection": "edge", "action": "publish", "first_fill": "allow",
                "params": {"format": format, "access": "open"}})
        })
        .collect();
    let sharings: Vec<Value> = formats
        .iter()
        .map(|format| json!({"source": "any", "rule": "all", "target": format!("out-{format}"), "max_tlp": "amber"}))
        .collect();
    app.post(
        "/api/v1/config/apply",
        &json!({
            "connection": [
                {"name": "stix", "connector": "feed", "settings": {"url": place("stix"), "format": "stix"}},
                {"name": "misp", "connector": "feed", "settings": {"url": place("misp"), "format": "misp"}},
                {"name": "json", "connector": "feed",
                    "settings": {"url": place("json"), "format": "json", "value": "value", "tlp_column": "tlp", "tags_columns": ["tags"], "kind": "domain"}},
                {"name": "pushed", "connector": "api-source"},
                {"name": "edge", "connector": "list"},
            ],
            "target": targets, "sharing": sharings,
            "rule": [{"name": "all", "when": "reputation >= 0"}],
        }),
    )
    .ok();
    for name in ["stix", "misp", "json"] {
        let report = app.post("/api/v1/pulls", &json!({"connections": [name]})).ok();
        assert!(report[0]["new"].as_u64().is_some_and(|n| n > 5), "{report}");
    }
    let rows: Vec<Value> =
        WORDS
            .iter()
            .enumerate()
            .map(|(n, word)| json!({"value": format!("secret-{n}.push.example"), "kind": "domain", "tlp": word}))
            .chain(WORDS.iter().enumerate().map(
                |(n, word)| json!({"value": format!("secret-t{n}.push.example"), "kind": "domain", "tags": [word]}),
            ))
            .chain([json!({"value": "kept-0.push.example", "kind": "domain", "tlp": "green"})])
            .collect();
    app.post("/api/v1/connections/pushed/observations", &json!({"items": rows})).ok();
    app.post("/api/v1/passes", &json!({"all": true, "approve": true})).ok();
    for format in formats {
        let reply = app.ask(Method::GET, &format!("/lists/out-{format}"), "127.0.0.1", &[]);
        assert_eq!(reply.status, 200, "{format}");
        let text = reply.text();
        for kept in ["kept-0.stix", "kept-1.stix", "kept-0.misp", "kept-0.json", "kept-0.push"] {
            assert!(text.contains(kept), "{format}: {kept} is missing");
        }
        let out: Vec<&str> = text
            .split(|c: char| c.is_whitespace() || "'\",".contains(c))
            .filter(|w| w.starts_with("secret-"))
            .collect();
        assert!(out.is_empty(), "{format}: {out:?}");
    }
}
