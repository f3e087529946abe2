//! The console's pages of indicators: filters built and kept, what is taken away, what is done to many, what is added by
//! hand or out of a report, and the page of one.

use crate::people::{Browser, person};
use crate::support::{Reply, TestApp, one_list};
use crate::web::{ask, is_page, open, send};
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

fn post(app: &TestApp, path: &str, token: &str, form: &[(&str, &str)]) -> Reply {
    ask(app, Method::POST, path, Some(token), &encoded(form))
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn encoded(form: &[(&str, &str)]) -> String {
    form.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect::<Vec<_>>().join("&")
}

/// Adds by hand. Names of no public suffix have to say what they are.
fn add(app: &TestApp, items: &Value) {
    let added = app.post("/api/v1/indicators", &json!({ "items": said(items) })).ok();
    assert!(added.as_array().unwrap().iter().all(|one| one.get("ok").is_some()), "{added}");
}

fn said(items: &Value) -> Vec<Value> {
    let said = |item: &Value| {
        let mut item = item.clone();
        if item["value"].as_str().is_some_and(|value| value.ends_with(".example")) {
            item["kind"] = "domain".into();
        }
        item
    };
    items.as_array().unwrap().iter().map(said).collect()
}

/// The value of a hidden field of a page.
fn hidden(html: &str, name: &str) -> String {
    let at = format!("name=\"{name}\" value=\"");
    html.split(&at)
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .unwrap_or_else(|| panic!("{name}: {html}"))
        .to_owned()
}

fn unescaped(text: &str) -> String {
    ["&#34;|\"", "&quot;|\"", "&#38;|&", "&amp;|&", "&#60;|<", "&#62;|>", "&#39;|'"]
        .iter()
        .filter_map(|pair| pair.split_once('|'))
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

fn audited(app: &TestApp, action: &str) -> Vec<Value> {
    let log = app.app.engine().unwrap().store().audit_log(10_000, None).unwrap();
    let of = |row: &store::AuditRow| json!({ "who": row.who, "object": row.object, "detail": serde_json::from_str::<Value>(&row.detail).unwrap() });
    log.iter().filter(|row| row.action == action).map(of).collect()
}

#[test]
fn the_builder_of_the_grid_and_the_typed_filter_are_one_tree() {
    let app = TestApp::new();
    let token = app.token("read");
    let q = "kind = domain and (tag = \"kit\" or shared_with = \"edge\")";
    let closed = open(&app, &format!("/indicators?q={}", escaped(q)), &token).text();
    assert!(!closed.contains("<rule-builder"), "it is loaded only where it is asked for");
    let html = open(&app, &format!("/indicators?q={}&build=1", escaped(q)), &token).text();
    assert!(html.contains("<rule-builder data-for=\"f-q\" data-at=\"/indicators/tree\""), "{html}");
    assert!(html.contains("name=\"build\" value=\"1\""), "searching keeps it open");
    // Offers what only a search may ask.
    assert!(unescaped(&html).contains("\"name\":\"shared_with\""), "{html}");
    let tree = post(&app, "/indicators/tree", &token, &[("when", q)]).ok();
    let text = post(&app, "/indicators/tree", &token, &[("tree", &tree["tree"].to_string())]).ok();
    assert_eq!(text["text"], "kind = domain and (tag = \"kit\" or shared_with = \"edge\")");
    let wrong = json!({ "join": "and", "of": [{ "field": "kind", "op": "in", "values": ["ulr"] }] });
    let said = post(&app, "/indicators/tree", &token, &[("tree", &wrong.to_string())]).ok();
    assert!(said["errors"][0]["problem"].as_str().unwrap().contains("url"), "{said}");
}

#[test]
fn a_filter_becomes_a_rule_where_a_rule_may_ask_it() {
    let app = TestApp::new();
    let token = app.token("admin");
    let html = open(&app, &format!("/indicators?q={}", escaped("kind = url and reputation >= 7")), &token).text();
    let link = html.split("href=\"/configure/rule?when=").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let form = open(&app, &format!("/configure/rule?when={link}"), &token);
    is_page(&form, "a new rule");
    assert!(unescaped(&form.text()).contains("value=\"kind = url and reputation >= 7\""), "{}", form.text());
    let html = open(&app, &format!("/indicators?q={}", escaped("shared_with = \"edge\"")), &token).text();
    assert!(!html.contains("/configure/rule?when=") && html.contains("No rule of it"), "{html}");
    // Who may not configure is not offered it.
    let viewer = person(&app, "ada", &["viewer"]);
    let html = viewer.get(&app, &format!("/indicators?q={}", escaped("kind = url"))).text();
    assert!(!html.contains("/configure/rule?when="), "{html}");
}

#[test]
fn what_a_filter_finds_is_taken_away_as_a_file_and_that_is_noted() {
    let app = TestApp::new();
    let token = app.token("read");
    add(
        &app,
        &json!([
            { "value": "bad.example", "reputation": 9, "tlp": "red", "comment": "=cmd|' /C calc'!A0", "tags": ["kit"] },
            { "value": "203.0.113.9", "reputation": 3 },
            { "value": "http://bad.example/a,b", "reputation": 9 },
        ]),
    );
    let q = escaped("reputation >= 9");
    let page = open(&app, &format!("/indicators/export?q={q}"), &token);
    is_page(&page, "export");
    let html = page.text();
    assert!(html.contains(">2 active<") && html.contains("named recipients only"), "{html}");
    assert!(audited(&app, "indicators.export").is_empty(), "looking is not taking");
    let file = |format: &str| open(&app, &format!("/indicators/export/{format}?q={q}"), &token);
    let csv = file("csv");
    assert_eq!(csv.header("content-disposition"), Some("attachment; filename=\"indicators-2026-06-01.csv\""));
    assert!(csv.header("content-type").unwrap().starts_with("text/csv"));
    let text = csv.text();
    let mut lines = text.lines();
    assert!(lines.next().unwrap().starts_with("value,kind,reputation,"), "{text}");
    assert_eq!(lines.count(), 2, "{text}");
    assert!(text.contains("\"'=cmd|' /C calc'!A0\"") && text.contains("\"http://bad.example/a,b\""), "{text}");
    let rows = file("json").json();
    assert_eq!(rows.as_array().unwrap().len(), 2);
    assert_eq!((&rows[0]["value"], &rows[0]["tlp"]), (&json!("bad.example"), &json!("red")));
    let bundle = file("stix").json();
    let of = |kind: &str| bundle["objects"].as_array().unwrap().iter().filter(|o| o["type"] == kind).count();
    assert_eq!((of("indicator"), of("identity"), bundle["type"].as_str()), (2, 1, Some("bundle")));
    assert_eq!(file("edl").text(), "bad.example\nhttp://bad.example/a,b\n");
    assert_eq!(file("exe").status, StatusCode::NOT_FOUND);
    let said = audited(&app, "indicators.export");
    assert_eq!(said.len(), 4, "{said:?}");
    assert!(said.iter().all(|one| one["detail"]["n"] == 2 && one["detail"]["filter"] == "reputation >= 9"), "{said:?}");
    let wrong = open(&app, "/indicators/export/csv?q=reputation+%3E%3E+3", &token);
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST, "nothing is sent of what cannot be read");
    // The same by the API, for programs.
    let api = app.get(&format!("/api/v1/indicators/export?q={q}&format=json"));
    assert_eq!(api.ok(), rows);
}

#[test]
fn a_long_export_is_whole_though_it_is_read_page_by_page() {
    let app = TestApp::new();
    let token = app.token("read");
    let values: Vec<Value> = (0..11_000).map(|n| json!({ "value": format!("host{n}.bad.example") })).collect();
    add(&app, &values.into());
    let rows = open(&app, "/indicators/export/json", &token).json();
    let values: std::collections::BTreeSet<&str> =
        rows.as_array().unwrap().iter().map(|row| row["value"].as_str().unwrap()).collect();
    assert_eq!((rows.as_array().unwrap().len(), values.len()), (11_000, 11_000));
}

/// Asks for an act on many, and does it.
fn act(app: &TestApp, token: &str, form: &[(&str, &str)]) -> (String, Reply) {
    let page = post(app, "/indicators/bulk", token, form);
    is_page(&page, "bulk");
    let html = page.text();
    let seen = hidden(&html, "seen");
    let mut form = form.to_vec();
    form.push(("seen", &seen));
    (html, post(app, "/indicators/bulk/do", token, &form))
}

/// The report of the run that a reply leads to.
fn report(app: &TestApp, reply: &Reply) -> Value {
    let to = reply.header("location").unwrap_or_else(|| panic!("{}", reply.text()));
    let id = to.strip_prefix("/activity/runs/").and_then(|rest| rest.split('?').next()).unwrap();
    let run = app.app.engine().unwrap().store().run(intel::RunId(id.parse().unwrap())).unwrap().unwrap();
    assert_eq!(run.kind, "bulk");
    let report: Value = serde_json::from_str(&run.report).unwrap();
    let count = |name: &str| report[name].as_u64().unwrap();
    assert_eq!(count("read"), count("changed") + count("unchanged") + count("rejected"), "{report}");
    report
}

fn hits(app: &TestApp, q: &str) -> u64 {
    app.get(&format!("/api/v1/indicators/count?all=true&q={}", escaped(q))).ok()["count"].as_u64().unwrap()
}

#[test]
fn many_are_tagged_muted_and_judged_as_was_shown() {
    let app = TestApp::new().with_list(&json!({}));
    let token = app.token("admin");
    app.publish(&["203.0.113.1", "203.0.113.2", "203.0.113.3"]);
    add(&app, &json!([{ "value": "bad.example" }, { "value": "worse.example", "tags": ["kit"] }]));

    // The ticked ones.
    let ticked = [("scope", "ticked"), ("pick", "domain bad.example"), ("pick", "domain worse.example")];
    let tag = [&ticked[..], &[("act", "tag"), ("tags", "lab, kit")]].concat();
    let (html, done) = act(&app, &token, &tag);
    assert!(
        html.contains("Tag 2 indicators") && html.contains("bad[.]example") && !html.contains(">bad.example<"),
        "{html}"
    );
    let said = report(&app, &done);
    assert_eq!((said["changed"].as_u64(), hits(&app, "tag = \"lab\" and tag = \"kit\"")), (Some(2), 2), "{said}");
    // Each is in the audit log, and the act as a whole.
    assert_eq!(audited(&app, "indicators.tag").len(), 1);
    assert_eq!(audited(&app, "indicator.annotate").iter().filter(|one| one["detail"]["run"] == said["run"]).count(), 2);
    let untag = [&ticked[..], &[("act", "untag"), ("tags", "kit")]].concat();
    report(&app, &act(&app, &token, &untag).1);
    assert_eq!((hits(&app, "tag = \"kit\""), hits(&app, "tag = \"lab\"")), (0, 2));

    // All that a filter finds, and what follows at the target.
    let found = [("scope", "found"), ("q", "kind = ipv4"), ("act", "verdict"), ("verdict", "safe")];
    let (html, done) = act(&app, &token, &found);
    assert!(html.contains("<b class=\"minus\">3</b><span>stop counting</span>"), "{html}");
    assert!(html.contains("<td class=\"num\">3</td><td class=\"num minus\">3</td>"), "{html}");
    assert_eq!(report(&app, &done)["changed"], 3);
    assert_eq!(hits(&app, "verdict = safe"), 3);
    app.post("/api/v1/passes", &json!({ "all": true, "approve": true })).ok();
    assert_eq!(hits(&app, "shared_with = \"block-ip\""), 0, "as was said, they are taken back");

    // What is so already is counted, and offered no more.
    let again = post(&app, "/indicators/bulk", &token, &[&found[..], &[("all", "1")]].concat()).text();
    assert!(again.contains("nothing to do") && !again.contains("/indicators/bulk/do"), "{again}");
    let mute = [("scope", "found"), ("q", "kind = domain"), ("act", "mute")];
    assert_eq!(report(&app, &act(&app, &token, &mute).1)["changed"], 2);
    assert_eq!(hits(&app, "muted = true"), 2);
    let unmute = [("scope", "found"), ("q", "value = \"bad.example\""), ("act", "unmute")];
    report(&app, &act(&app, &token, &unmute).1);
    assert_eq!(hits(&app, "muted = true"), 1);
}

#[test]
fn a_program_does_the_same_to_many() {
    let app = TestApp::new();
    add(&app, &json!([{ "value": "bad.example" }, { "value": "worse.example" }, { "value": "203.0.113.9" }]));
    let ask = json!({ "q": "kind = domain", "act": "tag", "tags": ["lab"] });
    let shown = app.post("/api/v1/indicators/bulk/preview", &ask).ok();
    assert_eq!(
        (&shown["chosen"], &shown["changes"], &shown["unchanged"]),
        (&json!(2), &json!(2), &json!(0)),
        "{shown}"
    );
    assert_eq!(app.post("/api/v1/indicators/bulk", &ask).status, StatusCode::BAD_REQUEST, "not without its mark");
    let mut act = ask.clone();
    act["mark"] = "0".repeat(32).into();
    assert_eq!(app.post("/api/v1/indicators/bulk", &act).status, StatusCode::CONFLICT);
    act["mark"] = shown["mark"].clone();
    let done = app.post("/api/v1/indicators/bulk", &act).ok();
    assert_eq!((&done["read"], &done["changed"]), (&json!(2), &json!(2)), "{done}");
    assert_eq!(hits(&app, "tag = \"lab\""), 2);
    let items = json!({ "items": [{ "value": "203.0.113.9" }, { "value": "203.0.113.10" }], "act": "mute" });
    let shown = app.post("/api/v1/indicators/bulk/preview", &items).ok();
    assert_eq!((&shown["chosen"], &shown["not_known"]), (&json!(1), &json!(1)), "{shown}");
    for wrong in [json!({ "act": "mute" }), json!({ "q": "", "act": "explode" }), json!({ "q": "", "act": "tag" })] {
        assert_eq!(app.post("/api/v1/indicators/bulk/preview", &wrong).status, StatusCode::BAD_REQUEST, "{wrong}");
    }
}

#[test]
fn many_are_changed_only_as_they_were_shown() {
    let app = TestApp::new();
    let token = app.token("admin");
    add(&app, &json!([{ "value": "bad.example" }]));
    let form = [("scope", "found"), ("q", "kind = domain"), ("act", "mute")];
    let html = post(&app, "/indicators/bulk", &token, &form).text();
    let seen = hidden(&html, "seen");
    // Another one comes meanwhile.
    add(&app, &json!([{ "value": "worse.example" }]));
    let late = post(&app, "/indicators/bulk/do", &token, &[&form[..], &[("seen", &seen)]].concat());
    assert_eq!(late.status, StatusCode::CONFLICT, "{}", late.text());
    assert!(late.text().contains("nothing was done") && late.text().contains("Mute 2 indicators"), "{}", late.text());
    assert_eq!(hits(&app, "muted = true"), 0);
    // What cannot be done is told before anything is.
    for (form, words) in [
        (vec![("scope", "ticked"), ("act", "mute")], "no row is ticked"),
        (vec![("scope", "found"), ("q", "kind >> 3"), ("act", "mute")], "expected"),
        (vec![("scope", "found"), ("act", "tag")], "say which tags"),
        (vec![("scope", "found"), ("act", "verdict"), ("verdict", "false_positive")], "needs an end"),
        (vec![("scope", "found"), ("act", "verdict"), ("verdict", "safe"), ("until", "2020-01-01")], "lies ahead"),
        (vec![("scope", "found"), ("act", "explode")], "explode"),
    ] {
        let page = post(&app, "/indicators/bulk", &token, &form);
        is_page(&page, words);
        assert!(
            page.text().contains(words) && !page.text().contains("/indicators/bulk/do"),
            "{words}: {}",
            page.text()
        );
        let form = [&form[..], &[("seen", &seen)]].concat();
        assert!(post(&app, "/indicators/bulk/do", &token, &form).status.is_client_error(), "{words}");
    }
    assert_eq!(hits(&app, "muted = true or tag is set or verdict is set"), 0);
}

#[test]
fn what_was_added_by_hand_is_taken_back_and_the_words_of_others_stay() {
    let app = TestApp::new();
    let token = app.token("admin");
    let bucket = json!({ "connection": [{ "name": "soc", "connector": "api-source", "settings": {} }] });
    app.post("/api/v1/config/apply", &bucket).ok();
    add(&app, &json!([{ "value": "bad.example" }, { "value": "both.example" }]));
    let items = json!({ "items": said(&json!([{ "value": "both.example" }, { "value": "theirs.example" }])) });
    app.post("/api/v1/connections/soc/observations", &items).ok();
    let form = [("scope", "found"), ("q", "kind = domain"), ("act", "retract")];
    let (html, done) = act(&app, &token, &form);
    assert!(html.contains("<b class=\"minus\">1</b><span>stop counting</span>"), "{html}");
    let said = report(&app, &done);
    assert_eq!((&said["changed"], &said["unchanged"]), (&json!(2), &json!(1)), "{said}");
    let active = app.get("/api/v1/indicators?sort=value").ok();
    let values: Vec<&str> =
        active["items"].as_array().unwrap().iter().map(|hit| hit["value"].as_str().unwrap()).collect();
    assert_eq!(values, ["both.example", "theirs.example"]);
}

#[test]
fn lines_are_added_by_hand_with_what_is_said_of_all() {
    let app = TestApp::new();
    let token = app.token("admin");
    is_page(&open(&app, "/indicators/add", &token), "/indicators/add");
    let form = [
        ("values", "# from a call\r\nhxxp://evil[.]example/gate.php\r\n203.0.113.9\r\nnonsense\r\n203.0.113.9\r\n"),
        ("reputation", "8"),
        ("tlp", "amber"),
        ("tags", "kit, lab"),
        ("comment", "by phone"),
        ("until", "2026-12-31"),
    ];
    let reply = post(&app, "/indicators/add", &token, &form);
    is_page(&reply, "added");
    let html = reply.text();
    for (count, word) in [(4, "read"), (2, "new"), (0, "changed"), (1, "unchanged"), (1, "rejected")] {
        assert!(html.contains(&format!(">{count}</b><span>{word}</span>")), "{count} {word}: {html}");
    }
    assert!(html.contains("nonsense") && html.contains("hxxp://evil[.]example/gate.php"), "{html}");
    let hit = app.get("/api/v1/indicators/ipv4/203.0.113.9").ok();
    assert_eq!((&hit["reputation"], &hit["tlp"], &hit["comment"]), (&json!(8), &json!("amber"), &json!("by phone")));
    assert_eq!((&hit["tags"], &hit["expires_at"]), (&json!(["kit", "lab"]), &json!("2026-12-31T00:00:00Z")));
    for (name, value, words) in [
        ("reputation", "11", "from 1 to 10"),
        ("until", "2020-01-01", "lies ahead"),
        ("values", " # \n", "at least one"),
        ("kind", "ulr", "none of"),
    ] {
        let mut form = form.to_vec();
        form.retain(|(key, _)| *key != name);
        form.push((name, value));
        let reply = post(&app, "/indicators/add", &token, &form);
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{words}");
        assert!(
            reply.text().contains(words) && reply.text().contains("by phone"),
            "what was written stays: {}",
            reply.text()
        );
    }
}

#[test]
fn a_report_is_shown_before_anything_of_it_is_stored() {
    let app = TestApp::new();
    let token = app.token("admin");
    add(&app, &json!([{ "value": "known-kit.net", "reputation": 7 }, { "value": "ours-kit.net" }]));
    app.post("/api/v1/indicators/verdict", &json!({ "value": "ours-kit.net", "verdict": "safe" })).ok();
    let text = "The actor used hxxps://new-kit[.]net/x, known-kit[.]net and ours-kit[.]net again: new-kit[.]net. \
                It resolves by 8.8.8.8.";
    let before = hits(&app, "");
    let page = post(&app, "/indicators/paste", &token, &[("text", text), ("tags", "report")]);
    is_page(&page, "found");
    let html = page.text();
    assert_eq!(hits(&app, ""), before, "nothing is stored");
    let row = |value: &str| {
        let at = html.split("<tr data-href").find(|row| row.contains(&format!(">{value}</a>")));
        at.unwrap_or_else(|| panic!("{value}: {html}")).to_owned()
    };
    assert!(row("new-kit[.]net").contains(">new</span>") && row("new-kit[.]net").contains(" checked"), "{html}");
    assert!(row("known-kit[.]net").contains("known, 7 of 10"), "{html}");
    assert!(row("ours-kit[.]net").contains(">safe</span>") && !row("ours-kit[.]net").contains(" checked"), "{html}");
    let guarded = row("8[.]8[.]8[.]8");
    assert!(guarded.contains("guarded") && !guarded.contains(" checked"), "{guarded}");
    // What is ticked is added.
    let items: Vec<String> = html
        .split("name=\"item\" value=\"")
        .skip(1)
        .filter(|rest| rest.split('>').next().unwrap().contains(" checked"))
        .map(|rest| unescaped(rest.split('"').next().unwrap()))
        .collect();
    assert_eq!(items.len(), 3, "{items:?}");
    let mut form: Vec<(&str, &str)> = items.iter().map(|item| ("item", item.as_str())).collect();
    form.extend([("tags", "report"), ("tlp", "green"), ("item", "{\"value\": \"x\", \"tlp\": \"purple\"}")]);
    let html = post(&app, "/indicators/paste/save", &token, &form).text();
    for (count, word) in [(4, "read"), (2, "new"), (1, "changed"), (0, "unchanged"), (1, "rejected")] {
        assert!(html.contains(&format!(">{count}</b><span>{word}</span>")), "{count} {word}: {html}");
    }
    assert!(html.contains("purple"), "{html}");
    assert_eq!(hits(&app, "tag = \"report\" and tlp = green"), 3);
    // Nothing pasted, nothing ticked, and a document that only looks like one.
    assert_eq!(post(&app, "/indicators/paste", &token, &[("text", " ")]).status, StatusCode::BAD_REQUEST);
    assert_eq!(post(&app, "/indicators/paste/save", &token, &[]).status, StatusCode::BAD_REQUEST);
    let broken = post(&app, "/indicators/paste", &token, &[("text", "{\"type\":\"bundle\",\"objects\":[{")]);
    assert!(broken.status == StatusCode::BAD_REQUEST && broken.text().contains("stix"), "{}", broken.text());
}

#[test]
fn limits_are_kept_and_said() {
    let app = TestApp::new();
    let token = app.token("admin");
    let engine = app.app.engine().unwrap();
    let many = engine::Many::These(vec![("bad.com".to_owned(), None); engine::BULK_MOST + 1]);
    let refused = engine.many_shown(&many, None).unwrap_err().to_string();
    assert!(refused.contains("100001") && refused.contains("at most 100000"), "{refused}");
    let addresses = |n: usize| (0..n).map(|n| format!("45.{}.{}.9\n", n / 200, n % 200 + 20)).collect::<String>();
    let reply = post(&app, "/indicators/add", &token, &[("values", &addresses(10_001))]);
    assert!(
        reply.status == StatusCode::BAD_REQUEST && reply.text().contains("at most 10000 lines"),
        "{}",
        reply.status
    );
    let html = post(&app, "/indicators/paste", &token, &[("text", &addresses(2_003))]).text();
    assert!(html.contains("2003 found in the report") && html.contains("3 more are not shown"), "{}", html.len());
    assert_eq!(html.matches("name=\"item\"").count(), 2_000);
    let saved = |n: usize| store::Saved {
        id: 0,
        owner: "ada".to_owned(),
        name: format!("filter {n}"),
        query: String::new(),
        all: false,
        sort: "id".to_owned(),
        columns: String::new(),
        shared: false,
        at: app.app.engine().unwrap().world().now(),
    };
    for n in 0..store::SAVED_MOST {
        engine.store().save_filter(&saved(n), saved(n).at).unwrap();
    }
    engine.store().save_filter(&saved(7), saved(7).at).unwrap();
    let full = engine.store().save_filter(&saved(900), saved(900).at).unwrap_err().to_string();
    assert!(full.contains("200 saved filters"), "{full}");
    assert_eq!(engine.store().saved("ada").unwrap().len(), store::SAVED_MOST);
}

fn save(browser: &Browser, app: &TestApp, name: &str, rest: &str) -> Reply {
    send(browser, app, "/indicators/saved", &format!("csrf={}&name={}&{rest}", browser.csrf, escaped(name)))
}

#[test]
fn filters_are_kept_for_oneself_or_for_everybody() {
    let app = TestApp::new();
    let ada = person(&app, "ada", &["analyst"]);
    let bob = person(&app, "bob", &["viewer"]);
    let reply = save(&ada, &app, "Fresh kits", "q=tag+%3D+%22kit%22&sort=-reputation&col=tags&col=comment&all=1");
    let link = "/indicators?q=tag%20%3D%20%22kit%22&sort=-reputation&all=1&col=tags&col=comment";
    assert_eq!(reply.header("location"), Some(format!("{link}&done=filter-saved").as_str()), "{}", reply.text());
    save(&ada, &app, "All urls", "q=kind+%3D+url&shared=1");
    let grid = ada.get(&app, "/indicators").text();
    assert!(unescaped(&grid).contains(&format!("href=\"{link}\"")) && grid.contains("All urls"), "{grid}");
    let grid = bob.get(&app, "/indicators").text();
    assert!(grid.contains("All urls") && !grid.contains("Fresh kits"), "another's own is nobody's business: {grid}");
    // A viewer keeps their own, and shares nothing.
    assert_eq!(save(&bob, &app, "Mine", "q=").status, StatusCode::SEE_OTHER);
    assert_eq!(save(&bob, &app, "Ours", "q=&shared=1").status, StatusCode::FORBIDDEN);
    for (name, rest) in [("", "q="), ("x", "q=kind+%3E%3E+2"), ("x", "q=&sort=nothing")] {
        assert_eq!(save(&ada, &app, name, rest).status, StatusCode::BAD_REQUEST, "{name} {rest}");
    }
    // Under its name it is replaced.
    save(&ada, &app, "Fresh kits", "q=tag+%3D+%22kits%22");
    let store = app.app.engine().unwrap().store();
    let saved = store.saved("ada").unwrap();
    assert_eq!(saved.iter().map(|one| one.query.as_str()).collect::<Vec<_>>(), ["kind = url", "tag = \"kits\""]);
    // Who may delete: its owner, and of shared ones who configures.
    let delete = |browser: &Browser, id: u64| {
        send(browser, &app, "/indicators/saved/delete", &format!("csrf={}&id={id}", browser.csrf)).status
    };
    let (shared, own) = (saved[0].id, saved[1].id);
    assert_eq!((delete(&bob, shared), delete(&bob, own)), (StatusCode::FORBIDDEN, StatusCode::NOT_FOUND));
    let olga = person(&app, "olga", &["operator"]);
    assert_eq!((delete(&olga, own), delete(&olga, shared)), (StatusCode::NOT_FOUND, StatusCode::SEE_OTHER));
    assert_eq!(delete(&ada, own), StatusCode::SEE_OTHER);
    assert!(store.saved("ada").unwrap().is_empty());
    assert_eq!((audited(&app, "filter.save").len(), audited(&app, "filter.delete").len()), (4, 2));
}

#[test]
fn the_page_of_one_shows_where_it_was_put_and_takes_tags_and_mutes() {
    let app = TestApp::new().with_list(&one_list(&json!({}))["target"][0]["params"]);
    let token = app.token("admin");
    app.publish(&["203.0.113.9"]);
    let page = "/indicators/ipv4/203.0.113.9";
    let html = open(&app, page, &token).text();
    let put = html.split("Where it was put").nth(1).unwrap();
    assert!(put.contains("block-ip") && put.contains("<span class=\"state ok\">present</span>"), "{html}");
    let to = |path: &str, form: &[(&str, &str)]| {
        let reply = post(&app, &format!("{page}/{path}"), &token, form);
        assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.text());
        open(&app, page, &token).text()
    };
    let html = to("tags", &[("add", "kit, lab")]);
    assert!(html.contains("name=\"remove\" value=\"kit\"") && html.contains("name=\"remove\" value=\"lab\""), "{html}");
    let html = to("tags", &[("remove", "kit")]);
    assert!(!html.contains("name=\"remove\" value=\"kit\"") && html.contains("name=\"add\" value=\"kit\""), "{html}");
    let html = to("mute", &[("muted", "1")]);
    assert!(html.contains("nothing new of it is shared") && html.contains("Unmute"), "{html}");
    // A note leaves the rest as it is.
    let html = to("note", &[("comment", "seen twice")]);
    assert!(html.contains("Unmute") && html.contains("seen twice") && html.contains("value=\"lab\""), "{html}");
    assert!(to("mute", &[("muted", "0")]).contains(">Mute<") || hits(&app, "muted = true") == 0);
    let html = to("retract", &[]);
    assert!(html.contains("not active") && !html.contains("Retract ours"), "{html}");
    assert_eq!(post(&app, &format!("{page}/tags"), &token, &[]).status, StatusCode::BAD_REQUEST);
    // A long value has a box of its own.
    let long = format!("http://bad.example/{}", "a".repeat(900));
    add(&app, &json!([{ "value": long }]));
    let html = open(&app, &format!("/indicators/url/{}", escaped(&long)), &token).text();
    assert!(html.contains("class=\"big long\""), "{html}");
}
