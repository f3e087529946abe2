//! The pages of what goes where: sharings, targets, connections, rules and plans, and what a person does there.

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

/// A page that opens.
fn text(app: &TestApp, path: &str) -> String {
    let reply = page(app, path);
    assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.text());
    reply.text()
}

fn post(app: &TestApp, path: &str, pairs: &[(&str, &str)]) -> Reply {
    let body: Vec<String> = pairs.iter().map(|(key, value)| format!("{}={}", encoded(key), encoded(value))).collect();
    let request = Request::post(path).header("content-type", "application/x-www-form-urlencoded");
    app.send(iocast::api::local(request.body(Body::from(body.join("&"))).unwrap()))
}

/// A post that leads on: where to.
fn led(app: &TestApp, path: &str, pairs: &[(&str, &str)]) -> String {
    let reply = post(app, path, pairs);
    assert_eq!(reply.status, StatusCode::SEE_OTHER, "{path}: {}", reply.text());
    reply.header("location").unwrap().to_owned()
}

/// The value of a hidden field of a page.
fn hidden(text: &str, name: &str) -> String {
    let (_, rest) = text.split_once(&format!("name=\"{name}\" value=\"")).unwrap_or_else(|| panic!("{name}: {text}"));
    rest.split('"').next().unwrap().replace("&#34;", "\"").replace("&quot;", "\"")
}

/// The numbers of a row of stats, by what they are called.
fn stat(text: &str, called: &str) -> String {
    let (before, _) = text.split_once(&format!("<span>{called}</span>")).unwrap_or_else(|| panic!("{called}: {text}"));
    let (_, number) = before.rsplit_once("<b").unwrap();
    number.split_once('>').unwrap().1.split('<').next().unwrap().to_owned()
}

fn add(app: &TestApp, items: &[(&str, u8)]) {
    let items: Vec<Value> = items.iter().map(|(value, rep)| json!({ "value": value, "reputation": rep })).collect();
    app.post("/api/v1/indicators", &json!({ "items": items })).ok();
}

/// One list, four addresses that are wanted, one that is not, and one that an exception keeps out.
fn with_addresses() -> TestApp {
    let app = TestApp::new().with_list(&json!({ "format": "edl" }));
    app.post(
        "/api/v1/config/apply",
        &json!({ "rule": [{
            "name": "addresses", "when": "kind in (ipv4, ipv4_net) and reputation >= 5", "folder": "net/block",
            "exceptions": [{ "name": "ours", "values": ["45.9.1.6"] }],
        }] }),
    )
    .ok();
    add(&app, &[("45.9.1.1", 8), ("45.9.1.2", 8), ("45.9.1.3", 8), ("45.9.1.4", 8), ("45.9.1.5", 1), ("45.9.1.6", 8)]);
    app
}

const TEST: &str = "/sharing/test?source=any&rule=addresses&target=block-ip";

#[test]
fn a_sharing_is_tested_and_the_exact_list_is_a_file() {
    let app = with_addresses();
    let shown = text(&app, TEST);
    assert_eq!((stat(&shown, "to add"), stat(&shown, "do not go")), ("4".to_owned(), "1".to_owned()), "{shown}");
    assert!(shown.contains("kept out by an exception") && shown.contains("45[.]9[.]1[.]1"), "{shown}");
    assert!(shown.contains("<dd>0 entries of ours</dd>") && shown.contains("<dd>4</dd>"), "{shown}");
    let file = page(&app, &TEST.replace("/test?", "/test.csv?"));
    assert_eq!(file.status, StatusCode::OK);
    assert!(
        file.header("content-disposition")
            .unwrap()
            .starts_with("attachment; filename=\"test-any-addresses-block-ip.csv\"")
    );
    let body = file.text();
    let rows: Vec<&str> = body.lines().collect();
    assert_eq!((rows.len(), rows[0]), (6, "step,kind,entry,code,reason,waits,sources"), "{body}");
    assert_eq!(rows.iter().filter(|row| row.starts_with("push,ipv4,45.9.1.")).count(), 4, "{body}");
    assert!(rows[5].starts_with("skip,ipv4,45.9.1.6,excepted,") && rows[5].ends_with(",manual"), "{body}");
    // Nothing was done by looking.
    assert_eq!(app.get("/api/v1/targets/block-ip/state").json()["lines"], json!({}));
    // A window, a sharing that is not there yet, and mistakes.
    app.world.advance(3 * 86_400);
    assert_eq!(stat(&text(&app, &format!("{TEST}&days=1")), "to add"), "0");
    assert_eq!(stat(&text(&app, &format!("{TEST}&days=7")), "to add"), "4");
    let unsaved = text(&app, "/sharing/test?source=manual&rule=addresses&target=block-ip");
    assert!(unsaved.contains("is not saved yet") && !unsaved.contains("/sharing/sync"), "{unsaved}");
    for (wrong, status) in [
        ("/sharing/test", StatusCode::BAD_REQUEST),
        (&format!("{TEST}&days=soon"), StatusCode::BAD_REQUEST),
        ("/sharing/test?source=any&rule=none&target=block-ip", StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        assert_eq!(page(&app, wrong).status, status, "{wrong}");
    }
    let to =
        led(&app, "/configure/sharing/test", &[("source", "manual"), ("rule", "addresses"), ("target", "block-ip")]);
    assert_eq!(to, "/sharing/test?source=manual&rule=addresses&target=block-ip");
    assert_eq!(post(&app, "/configure/sharing/test", &[("source", "manual")]).status, StatusCode::BAD_REQUEST);
}

#[test]
fn the_grid_counts_what_each_sharing_wants_and_its_acts_do_what_they_say() {
    let app = with_addresses();
    let cells = |text: &str| -> Vec<String> {
        let numbers = text.split("<td class=\"num\">").skip(1);
        numbers.map(|rest| rest.split('<').next().unwrap().to_owned()).collect()
    };
    assert_eq!(cells(&text(&app, "/sharing")), ["4", "0", "4", "0"]);
    // A pass as a job, to its end.
    let job = led(&app, "/sharing/sync", &[("target", "block-ip")]);
    assert!(job.starts_with("/jobs/"), "{job}");
    let done = text(&app, &format!("{job}?wait=1"));
    assert!(
        done.contains(">success<")
            && done.contains("4 planned = 4 accepted + 0 refused + 0 not known yet + 0 waiting."),
        "{done}"
    );
    assert_eq!((stat(&done, "accepted"), stat(&done, "there now")), ("4".to_owned(), "4".to_owned()));
    assert!(!done.contains("hx-trigger=\"every 1s\""), "it is over");
    assert_eq!(cells(&text(&app, "/sharing")), ["4", "4", "0", "0"]);
    let log = app.get("/api/v1/audit").json();
    assert!(log.to_string().contains("pass.ask"), "{log}");
    assert_eq!(post(&app, "/sharing/sync", &[("target", "nowhere")]).status, StatusCode::NOT_FOUND);
    assert_eq!(page(&app, "/jobs/999").status, StatusCode::NOT_FOUND);
    // Paused it sends nothing new; the test says what it would do.
    let key = [("key", "any"), ("key", "addresses"), ("key", "block-ip")];
    let pause = |to: &str| led(&app, "/sharing/pause", &[key[0], key[1], key[2], ("to", to)]);
    assert_eq!(pause("paused"), "/sharing?done=paused");
    add(&app, &[("45.9.1.7", 8)]);
    let job = led(&app, "/sharing/sync", &[("target", "block-ip")]);
    assert_eq!(stat(&text(&app, &format!("{job}?wait=1")), "to add"), "0");
    let shown = text(&app, "/sharing");
    assert!(shown.contains(">paused<") && shown.contains("title=\"Let it go on\""), "{shown}");
    let tried = text(&app, TEST);
    assert_eq!(stat(&tried, "to add"), "1");
    assert!(tried.contains("It is paused"), "{tried}");
    assert_eq!(pause("on"), "/sharing?done=resumed");
    assert_eq!(app.get("/api/v1/sharings/any/addresses/block-ip").json()["paused"], Value::Null);
    let gone = [("key", "any"), ("key", "none"), ("key", "block-ip")];
    assert_eq!(post(&app, "/sharing/pause", &gone).status, StatusCode::NOT_FOUND);
    assert_eq!(post(&app, "/sharing/pause", &gone[..2]).status, StatusCode::BAD_REQUEST);
    // Cloned: a new form with the same.
    let clone = text(&app, "/configure/sharing?source=any&rule=addresses&target=block-ip&max_tlp=green");
    assert!(
        clone.contains("<option value=\"block-ip\" selected>") && clone.contains("<option value=\"green\" selected>"),
        "{clone}"
    );
    assert!(!clone.contains("name=\"key\""), "it is a new one");
}

#[test]
fn a_targets_page_shows_its_ledger_and_what_can_be_done_there() {
    let app = with_addresses();
    app.post("/api/v1/passes", &json!({ "all": true })).ok();
    let home = text(&app, "/targets/block-ip");
    assert_eq!((stat(&home, "there"), stat(&home, "refused")), ("4".to_owned(), "0".to_owned()));
    assert!(home.contains("any") && home.contains("action=\"/targets/block-ip/return\""), "{home}");
    let lines = text(&app, "/targets/block-ip/ledger?state=present");
    assert_eq!(lines.matches("data-href=\"/indicators/ipv4/45.9.1.").count(), 4, "{lines}");
    assert!(text(&app, "/targets/block-ip/ledger?state=refused").contains("No entry is refused"));
    let one = text(&app, "/targets/block-ip/ledger?value=45.9.1.2");
    assert!(one.contains("45[.]9[.]1[.]2") && !one.contains("45[.]9[.]1[.]3"), "{one}");
    assert!(text(&app, "/targets/block-ip/ledger?value=45.9.9.9").contains("Nothing of it is here"));
    assert_eq!(page(&app, "/targets/block-ip/ledger?state=odd").status, StatusCode::BAD_REQUEST);
    let file = page(&app, "/targets/block-ip/ledger.csv");
    assert_eq!(file.text().lines().count(), 5, "{}", file.text());
    assert!(file.header("content-disposition").unwrap().contains("ledger-block-ip.csv"));
    assert_eq!(page(&app, "/targets/nowhere/ledger.csv").status, StatusCode::NOT_FOUND);
    for path in ["", "/ledger", "/cut", "/pins"] {
        assert_eq!(page(&app, &format!("/targets/nowhere{path}")).status, StatusCode::NOT_FOUND, "{path}");
    }
    assert!(text(&app, "/targets/block-ip/cut").contains("Everything has a place"));
    // Read back, as a job.
    let job = led(&app, "/targets/block-ip/verify", &[("all", "1")]);
    let done = text(&app, &format!("{job}?wait=1"));
    assert!(
        done.contains(">same<") && done.contains("4 asked about = 4 there + 0 missing + 0 others&#39;.")
            || done.contains("4 asked about = 4 there + 0 missing + 0 others'."),
        "{done}"
    );
    // Adopting says first what it would do.
    let shown = post(&app, "/targets/block-ip/adopt", &[]);
    assert!(
        shown.text().contains("What adopting it would do") && shown.text().contains("Adopt it"),
        "{}",
        shown.text()
    );
    let done = post(&app, "/targets/block-ip/adopt", &[("apply", "1")]);
    assert!(done.text().contains("It was adopted"), "{}", done.text());
    // Off and on.
    assert_eq!(led(&app, "/targets/block-ip/switch", &[("to", "off")]), "/targets/block-ip?done=target-off");
    assert_eq!(app.get("/api/v1/targets/block-ip").json()["enabled"], false);
    assert!(text(&app, "/targets/block-ip").contains("Let it go on"));
    led(&app, "/targets/block-ip/switch", &[("to", "on")]);
    assert_eq!(app.get("/api/v1/targets/block-ip").json()["enabled"], Value::Null);
}

#[test]
fn a_target_returns_to_a_time_by_a_plan_and_what_is_pinned_is_lifted() {
    let app = with_addresses();
    app.post("/api/v1/passes", &json!({ "all": true })).ok();
    app.world.advance(3_600);
    add(&app, &[("45.9.2.1", 8), ("45.9.2.2", 8)]);
    app.post("/api/v1/passes", &json!({ "all": true })).ok();
    app.world.advance(600);
    let plan = led(&app, "/targets/block-ip/return", &[("to", "2026-06-01T12:30")]);
    let shown = text(&app, plan.split('?').next().unwrap());
    assert!(shown.contains(">waiting<") && shown.contains(", return"), "{shown}");
    assert_eq!(stat(&shown, "to take back"), "−2");
    assert_eq!(post(&app, "/targets/block-ip/return", &[("to", "yesterday")]).status, StatusCode::BAD_REQUEST);
    assert_eq!(post(&app, "/targets/block-ip/return", &[("to", "2027-01-01T00:00")]).status.as_u16() / 100, 4);
    let number = plan.trim_start_matches("/plans/").split('?').next().unwrap().to_owned();
    let hash = hidden(&shown, "hash");
    let to = led(&app, &format!("/plans/{number}/approve"), &[("hash", &hash), ("note", "the bad hour")]);
    assert!(to.ends_with("done=approved"), "{to}");
    let approved = text(&app, &format!("/plans/{number}"));
    assert!(
        approved.contains("the bad hour") && approved.contains("The next pass does exactly these steps"),
        "{approved}"
    );
    let file = page(&app, &format!("/plans/{number}/steps.csv")).text();
    assert!(file.lines().count() == 3 && file.contains("retract,ipv4,45.9.2.1"), "{file}");
    app.post("/api/v1/passes", &json!({ "all": true })).ok();
    assert_eq!(stat(&text(&app, "/targets/block-ip"), "there"), "4");
    let pins = text(&app, "/targets/block-ip/pins");
    assert!(pins.contains("2 pinned") && pins.contains("45[.]9[.]2[.]1"), "{pins}");
    assert_eq!(post(&app, "/targets/block-ip/unpin", &[]).status, StatusCode::BAD_REQUEST);
    led(&app, "/targets/block-ip/unpin", &[("value", "45.9.2.1")]);
    assert!(text(&app, "/targets/block-ip/pins").contains("1 pinned"));
    led(&app, "/targets/block-ip/unpin", &[("all", "1")]);
    assert!(text(&app, "/targets/block-ip/pins").contains("Nothing is pinned"));
}

#[test]
fn a_target_is_deleted_with_its_sharings_and_its_entries_taken_back_or_left() {
    for (leave, to) in [("release", "/targets?done=deleted"), ("take_back", "/targets/block-ip?done=emptying")] {
        let app = with_addresses();
        app.post("/api/v1/passes", &json!({ "all": true })).ok();
        let seen = hidden(&text(&app, "/targets/block-ip"), "seen");
        let delete =
            |leave: &str, seen: &str| post(&app, "/targets/block-ip/delete", &[("leave", leave), ("seen", seen)]);
        assert_eq!(delete("", &seen).status, StatusCode::BAD_REQUEST);
        assert_eq!(delete(leave, "\"stale\"").status, StatusCode::CONFLICT);
        let gone = delete(leave, &seen);
        assert_eq!(gone.header("location"), Some(to), "{}", gone.text());
        assert_eq!(app.get("/api/v1/sharings").json()["items"], json!([]), "its sharings go with it");
        if leave == "take_back" {
            let head = app.get("/api/v1/targets/block-ip/preview").json();
            assert_eq!(head["retract"], 4, "{head}");
        } else {
            assert_eq!(app.get("/api/v1/targets/block-ip").status, StatusCode::NOT_FOUND);
        }
    }
}

/// A feed in a folder, pulled.
fn with_feed(rows: &str) -> (TestApp, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("feed.txt"), rows).unwrap();
    let app = TestApp::with(None, vec![dir.path().to_owned()]);
    let url = dir.path().join("feed.txt");
    app.post(
        "/api/v1/config/apply",
        &json!({ "connection": [
            { "name": "feed", "connector": "feed", "settings": { "url": url, "format": "text" } },
        ] }),
    )
    .ok();
    (app, dir)
}

#[test]
fn a_connections_page_runs_it_and_shows_runs_that_balance_and_what_was_rejected() {
    let (app, dir) = with_feed("45.9.1.1\n45.9.1.2\n0.0.0.0/0\n");
    let empty = text(&app, "/connections/feed");
    assert!(empty.contains("It has not run yet") && empty.contains("action=\"/connections/feed/pull\""), "{empty}");
    let job = led(&app, "/connections/feed/pull", &[]);
    let done = text(&app, &format!("{job}?wait=1"));
    assert!(done.contains("3 read = 2 new + 0 changed + 0 unchanged + 1 rejected."), "{done}");
    let shown = text(&app, "/connections/feed");
    assert!(shown.contains("title=\"3 read = 2 new + 0 changed + 0 unchanged + 1 rejected.\""), "{shown}");
    assert!(shown.contains("0.0.0.0/0") && shown.contains("too broad"), "{shown}");
    assert_eq!((stat(&shown, "active indicators"), stat(&shown, "records given")), ("2".to_owned(), "2".to_owned()));
    let works = post(&app, "/connections/feed/check", &[]);
    assert!(works.text().contains("It works"), "{}", works.text());
    std::fs::remove_file(dir.path().join("feed.txt")).unwrap();
    let fails = post(&app, "/connections/feed/check", &[]);
    assert!(fails.status == StatusCode::OK && fails.text().contains("role=\"alert\""), "{}", fails.text());
    assert_eq!(led(&app, "/connections/feed/switch", &[("to", "off")]), "/connections/feed?done=connection-off");
    assert_eq!(app.get("/api/v1/connections/feed").json()["enabled"], false);
    let job = led(&app, "/connections/feed/pull", &[]);
    assert!(text(&app, &format!("{job}?wait=1")).contains("is disabled"), "a run that cannot be is told");
    led(&app, "/connections/feed/switch", &[("to", "on")]);
    for path in ["/connections/nobody", "/connections/nobody/rollback?to=2026-06-01T11:00"] {
        assert_eq!(page(&app, path).status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(post(&app, "/connections/nobody/pull", &[]).status, StatusCode::NOT_FOUND);
}

#[test]
fn a_source_is_read_again_and_rolled_back_after_a_look_at_what_that_does() {
    let (app, dir) = with_feed("45.9.1.1\n45.9.1.2\n");
    app.post("/api/v1/pulls", &json!({ "all": true })).ok();
    assert_eq!(
        led(&app, "/connections/feed/again", &[("how", "from"), ("from", "2026-05-01T00:00")]),
        "/connections/feed?done=again"
    );
    assert!(text(&app, "/connections/feed").contains("reads again from 2026-05-01 00:00:00 UTC"));
    assert_eq!(app.get("/api/v1/sources/feed").json()["again_from"], "2026-05-01T00:00:00Z");
    assert_eq!(post(&app, "/connections/feed/again", &[("from", "soon")]).status, StatusCode::BAD_REQUEST);
    assert_eq!(post(&app, "/connections/feed/again", &[("from", "2030-01-01T00:00")]).status, StatusCode::BAD_REQUEST);
    app.world.advance(3_600);
    std::fs::write(dir.path().join("feed.txt"), "45.9.1.1\n45.9.1.2\n45.9.1.3\n").unwrap();
    app.post("/api/v1/pulls", &json!({ "all": true })).ok();
    assert_eq!(app.get("/api/v1/sources/feed").json()["again_from"], Value::Null);
    app.world.advance(60);
    let shown = text(&app, "/connections/feed/rollback?to=2026-06-01T12:30");
    assert_eq!(stat(&shown, "count no longer"), "1");
    assert!(shown.contains("1 made or changed since = 1 ended + 0 revived + 0 restored + 0 unchanged."), "{shown}");
    assert!(shown.contains("45[.]9[.]1[.]3"), "{shown}");
    assert_eq!(app.get("/api/v1/sources/feed").json()["active"], 3, "nothing is changed by looking");
    let to = led(&app, "/connections/feed/rollback", &[("to", &hidden(&shown, "to"))]);
    assert!(to.starts_with("/activity/runs/"), "{to}");
    assert_eq!(app.get("/api/v1/sources/feed").json()["active"], 2);
    let undo = text(&app, "/connections/feed/rollback?undo=1");
    assert_eq!(stat(&undo, "count again"), "1", "{undo}");
    // The same by the API.
    assert_eq!(app.post("/api/v1/sources/feed/again", &json!({})).ok()["again_from"], Value::Null);
}

#[test]
fn rules_stand_in_folders_are_muted_and_begin_like_others() {
    let app = with_addresses();
    led(&app, "/configure/rule", &[("name", "strict"), ("when", "reputation >= 9"), ("folder", "net/block/strict")]);
    let all = text(&app, "/rules");
    assert!(all.contains("addresses") && all.contains("strict") && all.contains("href=\"/rules?folder=net\""), "{all}");
    let below = text(&app, "/rules?folder=net%2Fblock%2Fstrict");
    assert!(below.contains(">strict<") && !below.contains(">addresses<"), "{below}");
    assert!(below.contains("href=\"/configure/rule?folder=net%2Fblock%2Fstrict\""), "a new one is made here: {below}");
    assert!(text(&app, "/configure/rule?folder=net%2Fblock").contains("name=\"folder\" value=\"net/block\""));
    assert!(text(&app, "/rules?folder=ne").contains("No rule is here"), "a folder is no beginning of a name");
    assert_eq!(led(&app, "/rules/mute", &[("name", "addresses"), ("to", "muted")]), "/rules?done=rule-muted");
    assert_eq!(app.get("/api/v1/rules/addresses").json()["muted"], true);
    led(&app, "/rules/mute", &[("name", "addresses"), ("to", "on")]);
    assert_eq!(app.get("/api/v1/rules/addresses").json()["muted"], Value::Null);
    let clone = text(&app, "/configure/rule?like=addresses");
    assert!(
        clone.contains("value=\"ours\"") && clone.contains("45.9.1.6") && clone.contains("name=\"name\" value=\"\""),
        "{clone}"
    );
    // One more exception is asked for without saving, and several are saved.
    let typed = [
        ("name", "two"),
        ("when", "all"),
        ("exceptions.0.name", "a"),
        ("exceptions.0.tags", "x"),
        ("exceptions.1.name", "b"),
        ("exceptions.1.values", "good.example"),
    ];
    let mut more = typed.to_vec();
    more.push(("more", "1"));
    let asked = post(&app, "/configure/rule", &more);
    assert_eq!(asked.status, StatusCode::OK);
    assert!(
        asked.text().contains("name=\"exceptions.2.name\"") && asked.text().contains("good.example"),
        "{}",
        asked.text()
    );
    assert_eq!(app.get("/api/v1/rules/two").status, StatusCode::NOT_FOUND, "nothing is saved");
    led(&app, "/configure/rule", &typed);
    let saved = app.get("/api/v1/rules/two").json();
    assert_eq!(saved["exceptions"].as_array().map(Vec::len), Some(2), "{saved}");
}

#[test]
fn a_target_form_shows_what_follows_from_its_connection_before_it_is_saved() {
    let app = with_addresses();
    let first = text(&app, "/configure/target");
    let mark = hidden(&first, "mark");
    let asked =
        post(&app, "/configure/target", &[("name", "t"), ("connection", "edge"), ("enabled", "on"), ("mark", &mark)]);
    assert_eq!(asked.status, StatusCode::OK, "{}", asked.text());
    assert!(asked.text().contains("name=\"params.format\""), "{}", asked.text());
    assert_eq!(app.get("/api/v1/targets/t").status, StatusCode::NOT_FOUND);
    let mark = hidden(&asked.text(), "mark");
    let pairs =
        [("name", "t"), ("connection", "edge"), ("enabled", "on"), ("params.format", "csv"), ("mark", mark.as_str())];
    assert_eq!(led(&app, "/configure/target", &pairs), "/targets/t?done=saved");
    assert_eq!(app.get("/api/v1/targets/t").json()["params"]["format"], "csv");
}

#[test]
fn a_tenant_says_what_uses_it() {
    let app = with_addresses();
    led(&app, "/configure/tenant", &[("name", "acme"), ("initial_range_days", "7")]);
    assert!(text(&app, "/tenants").contains("nothing yet"));
    app.post(
        "/api/v1/config/apply",
        &json!({ "connection": [{ "name": "b", "connector": "list", "tenant": "acme" }] }),
    )
    .ok();
    let shown = text(&app, "/tenants");
    assert!(shown.contains("href=\"/connections/b\"") && shown.contains("7 days back"), "{shown}");
}

#[test]
fn a_plan_says_how_it_stands_and_what_a_newer_one_changed() {
    let app = with_addresses();
    let target = json!({
        "name": "block-ip", "connection": "edge", "action": "publish", "first_fill": "approve", "params": { "format": "edl" },
    });
    app.post("/api/v1/config/apply", &json!({ "target": [target] })).ok();
    let held = || app.post("/api/v1/passes", &json!({ "all": true })).ok()[0]["plan"].as_u64().unwrap();
    let first = held();
    let shown = text(&app, &format!("/plans/{first}"));
    assert_eq!(stat(&shown, "to add"), "+4");
    assert!(shown.contains(">waiting<") && shown.contains(&format!("hx-get=\"/plans/{first}/rest\"")), "{shown}");
    let rest = text(&app, &format!("/plans/{first}/rest"));
    assert!(rest.contains("kept out by an exception") && rest.contains("href=\"/targets/block-ip/cut\""), "{rest}");
    add(&app, &[("45.9.1.9", 8)]);
    let second = held();
    let shown = text(&app, &format!("/plans/{second}"));
    assert!(shown.contains(&format!("Since plan {first}")) && shown.contains("push 45[.]9[.]1[.]9"), "{shown}");
    let gone = page(&app, &format!("/plans/{first}"));
    assert!(gone.status == StatusCode::CONFLICT && gone.text().contains("took its place"), "{}", gone.text());
    led(&app, &format!("/plans/{second}/reject"), &[("note", "<b>not</b> today")]);
    let shown = text(&app, &format!("/plans/{second}"));
    assert!(shown.contains("exactly this is not asked again") && shown.contains("not&#60;/b&#62; today"), "{shown}");
    assert!(!shown.contains("/approve\""), "it is decided: {shown}");
    let listed = text(&app, "/plans?status=rejected");
    assert!(listed.contains(&format!("data-href=\"/plans/{second}\"")) && listed.contains("rejected 1"), "{listed}");
    add(&app, &[("45.9.1.10", 8)]);
    let third = held();
    assert!(!text(&app, "/plans?status=rejected").contains(&format!("data-href=\"/plans/{third}\"")));
    app.world.advance(31 * 86_400);
    assert_eq!(app.app.engine().unwrap().expire_held().unwrap(), 1);
    assert!(text(&app, &format!("/plans/{third}")).contains("Nobody decided in time"));
    assert_eq!(page(&app, "/plans/999").status, StatusCode::NOT_FOUND);
    assert_eq!(page(&app, "/plans/999/steps.csv").status, StatusCode::NOT_FOUND);
}
