//! The console's forms: what is posted is the document that the API would have got, and mistakes are said at the field.

use crate::support::{Reply, TestApp};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn page(app: &TestApp, path: &str) -> Reply {
    app.send(iocast::api::local(Request::get(path).body(Body::empty()).unwrap()))
}

fn post(app: &TestApp, path: &str, pairs: &[(&str, &str)]) -> Reply {
    let body: Vec<String> = pairs.iter().map(|(key, value)| format!("{}={}", encoded(key), encoded(value))).collect();
    let request = Request::post(path).header("content-type", "application/x-www-form-urlencoded");
    app.send(iocast::api::local(request.body(Body::from(body.join("&"))).unwrap()))
}

/// The value of a hidden field of a page.
fn hidden(page: &Reply, name: &str) -> String {
    let text = page.text();
    let (_, rest) = text.split_once(&format!("name=\"{name}\" value=\"")).unwrap_or_else(|| panic!("{name}: {text}"));
    rest.split('"').next().unwrap().replace("&#34;", "\"").replace("&quot;", "\"")
}

/// What is typed, field by field.
type Typed = Vec<(&'static str, &'static str)>;

/// One of each, made by forms alone: address, what is typed, where the API has it, and the document.
fn typed() -> Vec<(&'static str, Typed, &'static str, Value)> {
    vec![
        (
            "/configure/tenant",
            vec![("name", "acme"), ("initial_range_days", "7"), ("allow_private", "10.1.0.0/16\r\n10.2.0.0/16")],
            "/api/v1/tenants/acme",
            json!({ "name": "acme", "initial_range_days": 7, "allow_private": ["10.1.0.0/16", "10.2.0.0/16"] }),
        ),
        (
            "/configure/connection",
            vec![("connector", "list"), ("name", "edge"), ("enabled", "on"), ("tenant", "acme")],
            "/api/v1/connections/edge",
            json!({ "name": "edge", "connector": "list", "tenant": "acme" }),
        ),
        (
            "/configure/target",
            vec![
                ("name", "block"),
                ("connection", "edge"),
                ("enabled", "on"),
                ("first_fill", "allow"),
                ("budget.per_day", "5"),
            ],
            "/api/v1/targets/block",
            json!({ "name": "block", "connection": "edge", "first_fill": "allow", "budget": { "per_day": 5 } }),
        ),
        (
            "/configure/rule",
            vec![
                ("name", "worst"),
                ("folder", "edr/block"),
                ("when", "kind = ipv4 and reputation >= 5"),
                ("exceptions.0.name", "ours"),
                ("exceptions.0.values", "203.0.113.0/24"),
                ("exceptions.0.under", "on"),
            ],
            "/api/v1/rules/worst",
            json!({
                "name": "worst", "folder": "edr/block", "when": "kind = ipv4 and reputation >= 5",
                "exceptions": [{ "name": "ours", "values": ["203.0.113.0/24"] }],
            }),
        ),
        (
            "/configure/sharing",
            vec![("source", "any"), ("rule", "worst"), ("target", "block"), ("max_tlp", "green"), ("paused", "on")],
            "/api/v1/sharings/any/worst/block",
            json!({ "source": "any", "rule": "worst", "target": "block", "max_tlp": "green", "paused": true }),
        ),
    ]
}

const LISTS: [&str; 5] = ["/connections", "/tenants", "/rules", "/sharing", "/targets"];

#[test]
fn what_is_typed_is_the_document_that_the_api_gives() {
    let app = TestApp::new();
    for list in LISTS {
        let empty = page(&app, list);
        assert_eq!(empty.status, StatusCode::OK, "{list}: {}", empty.text());
    }
    for (form, pairs, api, document) in typed() {
        let made = post(&app, form, &pairs);
        assert_eq!(made.status, StatusCode::SEE_OTHER, "{form}: {}", made.text());
        let shown = app.get(api).json();
        for (key, value) in document.as_object().unwrap() {
            assert_eq!(&shown[key], value, "{api}: {key}: {shown}");
        }
        // Once more is not an overwriting.
        let again = post(&app, form, &pairs);
        assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY, "{form}");
        assert!(again.text().contains("already: take another name"), "{form}");
    }
    for list in LISTS {
        let full = page(&app, list);
        let of =
            ["/connections/edge", "/targets/block", "/configure/tenant?", "/configure/rule?", "/configure/sharing?"];
        assert!(of.iter().any(|link| full.text().contains(&format!("data-href=\"{link}"))), "{list}");
    }
}

#[test]
fn only_who_has_seen_a_thing_changes_or_deletes_it() {
    let app = TestApp::new();
    for (form, pairs, ..) in typed() {
        assert_eq!(post(&app, form, &pairs).status, StatusCode::SEE_OTHER);
    }
    let address = "/configure/rule?key=worst";
    let seen = hidden(&page(&app, address), "seen");
    let change = |seen: &str, when: &str| {
        post(
            &app,
            "/configure/rule",
            &[
                ("key", "worst"),
                ("seen", seen),
                ("folder", "edr/block"),
                ("when", when),
                ("exceptions.0.name", "ours"),
                ("exceptions.0.values", "203.0.113.0/24"),
                ("exceptions.0.under", "on"),
            ],
        )
    };
    assert_eq!(change(&seen, "kind = ipv4").status, StatusCode::SEE_OTHER);
    let rule = app.get("/api/v1/rules/worst").json();
    assert_eq!((rule["when"].as_str(), rule["exceptions"][0]["name"].as_str()), (Some("kind = ipv4"), Some("ours")));
    let late = change(&seen, "kind = url");
    assert_eq!(late.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(late.text().contains("meanwhile"), "{}", late.text());
    // In use; then from what uses it down to what is used.
    let delete = |address: &str, leave: &str| {
        let shown = page(&app, address);
        let (path, query) = address.split_once('?').unwrap();
        let seen = hidden(&shown, "seen");
        let mut pairs = vec![("seen", seen.as_str()), ("leave", leave)];
        pairs.extend(query.split('&').map(|pair| pair.split_once('=').unwrap()));
        post(&app, &format!("{path}/delete"), &pairs)
    };
    assert_eq!(delete(address, "").status, StatusCode::CONFLICT);
    assert_eq!(delete("/configure/sharing?key=any&key=worst&key=block", "").status, StatusCode::BAD_REQUEST);
    for (address, leave) in [
        ("/configure/sharing?key=any&key=worst&key=block", "take_back"),
        (address, ""),
        ("/configure/target?key=block", "take_back"),
        ("/configure/connection?key=edge", "keep"),
        ("/configure/tenant?key=acme", ""),
    ] {
        let gone = delete(address, leave);
        assert_eq!(gone.status, StatusCode::SEE_OTHER, "{address}: {}", gone.text());
        assert_eq!(page(&app, address).status, StatusCode::NOT_FOUND, "{address}");
    }
}

#[test]
fn a_mistake_is_said_at_its_field_and_nothing_typed_is_lost() {
    let app = TestApp::new();
    let wrong = |path: &str, pairs: &[(&str, &str)]| {
        let reply = post(&app, path, pairs);
        assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", reply.text());
        reply.text()
    };
    /// What stands from a field's name to the end of its label.
    fn at<'a>(text: &'a str, name: &str) -> &'a str {
        let (_, rest) = text.split_once(&format!("name=\"{name}\"")).unwrap_or_else(|| panic!("{name}: {text}"));
        rest.split("</label>").next().unwrap()
    }
    let text = wrong("/configure/rule", &[("name", "r"), ("when", "kind = ulr")]);
    assert!(at(&text, "when").contains("<em>") && at(&text, "when").contains("value=\"kind = ulr\""), "{text}");
    let text = wrong("/configure/rule", &[("when", "all")]);
    assert!(at(&text, "name").contains("<em>is needed</em>"), "{text}");
    let text = wrong("/configure/tenant", &[("name", "t"), ("initial_range_days", "soon")]);
    assert!(at(&text, "initial_range_days").contains("is not a whole number"), "{text}");
    let text = wrong("/configure/tenant", &[("name", "t"), ("initial_range_days", "-1")]);
    assert!(at(&text, "initial_range_days").contains("<em>"), "{text}");
    let text = wrong("/configure/connection", &[("connector", "list"), ("name", "a b"), ("enabled", "on")]);
    assert!(at(&text, "name").contains("<em>"), "{text}");
    let text = wrong("/configure/connection", &[("connector", "taxii"), ("name", "t"), ("enabled", "on")]);
    assert!(text.contains("<em>is needed</em>"), "{text}");
}

#[test]
fn every_connector_is_in_the_catalogue_and_has_a_form() {
    let app = TestApp::new();
    let text = page(&app, "/connectors").text();
    for connector in connectors::all() {
        let name = &connector.manifest().name;
        let form = page(&app, &format!("/configure/connection?connector={name}"));
        assert_eq!(form.status, StatusCode::OK, "{name}: {}", form.text());
        assert!(name == "manual" || text.contains(&format!("/configure/connection?connector={name}\"")), "{name}");
        for setting in &connector.manifest().settings {
            assert!(form.text().contains(&format!("name=\"settings.{}\"", setting.key)), "{name}: {}", setting.key);
        }
    }
    assert!(!page(&app, "/connectors?q=taxii").text().contains("connector=list\""));
}

#[test]
fn no_text_becomes_part_of_a_page() {
    let app = TestApp::new();
    let hostile = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'{{7*7}}";
    for (form, mut pairs, ..) in typed() {
        for pair in &mut pairs {
            if pair.0 != "connector" {
                pair.1 = hostile;
            }
        }
        let text = post(&app, form, &pairs).text();
        assert!(!text.contains("<script>alert") && !text.contains("<img src=x"), "{form}: {text}");
    }
    let names = json!({ "when": "all # <script>alert(1)</script>", "folder": "<img src=x>", "exceptions": [{ "name": hostile, "tags": [hostile] }] });
    let put = Request::put("/api/v1/rules/r").header("content-type", "application/json").header("if-none-match", "*");
    let put = app.send(iocast::api::local(put.body(Body::from(names.to_string())).unwrap()));
    assert!(put.status.is_success(), "{}", put.text());
    for path in [
        "/rules",
        "/configure/rule?key=r",
        "/connectors?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E",
        "/configure/rule?key=%3Cscript%3Ealert(1)",
    ] {
        let text = page(&app, path).text();
        assert!(!text.contains("<script>alert") && !text.contains("<img src=x"), "{path}: {text}");
    }
}

#[test]
fn a_rule_is_tried_before_it_is_saved() {
    let app = TestApp::new();
    let rule = [("name", "r"), ("when", "kind = ipv4"), ("probe", "203.0.113.9")];
    let tried = post(&app, "/configure/rule/test", &rule);
    assert_eq!(tried.status, StatusCode::OK, "{}", tried.text());
    assert!(tried.text().contains("203[.]0[.]113[.]9") && tried.text().contains("changes nothing"), "{}", tried.text());
    assert_eq!(app.get("/api/v1/rules/r").status, StatusCode::NOT_FOUND, "nothing is saved");
    let wrong = post(&app, "/configure/rule/test", &[("name", "r"), ("when", "kind = ulr")]);
    assert!(wrong.text().contains("role=\"alert\""), "{}", wrong.text());
    let tree = post(&app, "/configure/rule/tree", &[("when", "kind = url and reputation >= 7")]).json();
    let text = post(&app, "/configure/rule/tree", &[("tree", &tree["tree"].to_string())]).json();
    assert_eq!(text["text"], "kind = url and reputation >= 7");
    assert!(page(&app, "/configure/rule").text().contains("<rule-builder"));
}
