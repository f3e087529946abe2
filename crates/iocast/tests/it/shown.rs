//! What people see of plans, sources and their past: the commands one after the other, and the routes behind them.

use crate::cli::Desk;
use crate::support::{TestApp, one_list};
use axum::http::StatusCode;
use engine::World as _;
use expect_test::expect;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// One of three is gone, one is new, and so is a poisoned one.
const POISON: &str =
    "203.0.113.5\n192.0.3.1\n5.6.7.0/24\nevil-site.com\nhttp://bad.evil-site.com/a?b=c\n45.9.9.9\n45.9.9.8\n";

fn now() -> String {
    intel::Timestamp::EPOCH.after(SystemTime::now().duration_since(UNIX_EPOCH).unwrap()).to_string()
}

#[test]
fn a_source_is_looked_at_and_rolled_back() {
    let desk = Desk::shared();
    let to = now();
    desk.put("levels.txt", POISON);
    desk.ok("pull --all");
    let rollback = format!("source rollback levels --to {to}");
    let sure = format!("{rollback} --yes");
    desk.transcript(
        &[
            "source list",
            "source show levels",
            "source history levels",
            &rollback,
            "indicator count",
            &sure,
            "source show levels",
            "indicator history 45.9.9.9",
            "indicator why 45.9.9.9",
            "pull --all",
            "source list",
            "source rollback levels --undo --yes",
            "source rollback levels --undo --yes",
            "source rollback nobody --undo --yes",
            "source rollback levels --to soon --yes",
            "source rollback levels --to 2999-01-01 --yes",
            "source show nobody",
            "source history nobody",
            "indicator history 192.0.2.200",
        ],
        &expect![[r#"
            $ iocast source list
            SOURCE  CONNECTOR  LAST RUN  AT                RECORDS  ACTIVE  SUSPECT RUN  ROLLED BACK TO
            manual  manual     -         -                       0       0            -  -
            levels  feed       success   0000-00-00 00:00        8       7            -  -

            $ iocast source show levels
            levels (feed): lists everything
              last run: success, 0000-00-00 00:00
              records: 8, of which 7 count
              last believed: 0000-00-00 00:00, 7 rows

            $ iocast source history levels
            RUN  JOB   ABOUT   STATUS   STARTED           ENDED             COUNTS
              3  pull  levels  success  0000-00-00 00:00  0000-00-00 00:00  read 7, new 2, withdrawn 1
              1  pull  levels  success  0000-00-00 00:00  0000-00-00 00:00  read 7, new 6

            $ iocast source rollback levels --to TIME
            levels would be rolled back to TIME: 3 records were made or changed since
              2 new since: now ended: 45.9.9[.]9, 45.9.9[.]8
              1 withdrawn since: count again: 198.51.100[.]7
              3 indicators change
              target block-ip: a pass would add 0 and take back 0, before its brakes
              then the source is read whole again; unless it lists exactly what it listed then, that run is suspect and waits for a person
            ! nothing is rolled back: say --yes to do it
            exit 3

            $ iocast indicator count
            7

            $ iocast source rollback levels --to TIME --yes
            levels is rolled back to TIME (run 4): 3 records were made or changed since
              2 new since: now ended: 45.9.9[.]9, 45.9.9[.]8
              1 withdrawn since: count again: 198.51.100[.]7
              3 indicators change
              then the source is read whole again; unless it lists exactly what it listed then, that run is suspect and waits for a person

            $ iocast source show levels
            levels (feed): lists everything
              last run: success, 0000-00-00 00:00
              records: 8, of which 6 count
              last believed: 0000-00-00 00:00, 6 rows
              rolled back to TIME; no run has been believed since
              ended by a rollback: 2

            $ iocast indicator history 45.9.9.9
            SOURCE  FROM              UNTIL             STANDING  REP  SEVERITY  COMMENT  CHANGED BY RUN
            levels  0000-00-00 00:00  -                 ended       -  unknown   -                     -
            levels  0000-00-00 00:00  0000-00-00 00:00  said        -  unknown   -                     4

            $ iocast indicator why 45.9.9.9
            45.9.9[.]9  ipv4
            It is not at block-ip: not active: every record has expired or was retracted.

            Not active: ended by a rollback to 0000-00-00 00:00 (run 4)
            reputation 8 (levels), severity unknown, TLP green, expires 0000-00-00 00:00
            tags: test

            Who says so
              levels  does not count: ended by a rollback to 0000-00-00 00:00 (run 4); expires 0000-00-00 00:00

            Where it is, and why
              It is not at block-ip: not active: every record has expired or was retracted.
                levels → addresses: that source does not hold it

            $ iocast pull --all
            SOURCE  STATUS   READ  NEW  CHANGED  UNCHANGED  REJECTED  FILTERED  GONE  RUN
            levels  suspect     7    0        0          7         0         0     0    5
            ! levels is suspect: the source was rolled back, and the run is not what it said then; nothing was withdrawn. `iocast run approve 5` believes it, `iocast run discard 5` drops it
            exit 3

            $ iocast source list
            SOURCE  CONNECTOR  LAST RUN  AT                RECORDS  ACTIVE  SUSPECT RUN  ROLLED BACK TO
            manual  manual     -         -                       0       0            -  -
            levels  feed       suspect   0000-00-00 00:00        8       6            5  0000-00-00 00:00

            $ iocast source rollback levels --undo --yes
            levels is rolled back to TIME (run 6): 3 records were made or changed since
              1 new since: now ended: 198.51.100[.]7
              2 withdrawn since: count again: 45.9.9[.]9, 45.9.9[.]8
              3 indicators change
              the suspect run 5 that waits is dropped
              then the source is read whole again; unless it lists exactly what it listed then, that run is suspect and waits for a person

            $ iocast source rollback levels --undo --yes
            levels is rolled back to TIME (run 7): 3 records were made or changed since
              2 new since: now ended: 45.9.9[.]9, 45.9.9[.]8
              1 withdrawn since: count again: 198.51.100[.]7
              3 indicators change
              then the source is read whole again; unless it lists exactly what it listed then, that run is suspect and waits for a person

            $ iocast source rollback nobody --undo --yes
            ! error: no connection is called "nobody"; there is manual, levels, edge
            exit 1

            $ iocast source rollback levels --to soon --yes
            ! error: to: expected a time such as TIME, found "soon"
            exit 1

            $ iocast source rollback levels --to 0000-00-00 --yes
            ! error: TIME is not past (it is TIME): give a time before the first bad run; `iocast source history levels` lists its runs
            exit 1

            $ iocast source show nobody
            ! error: no connection is called "nobody"; there is manual, levels, edge
            exit 1

            $ iocast source history nobody
            ! error: no connection is called "nobody"; there is manual, levels, edge
            exit 1

            $ iocast indicator history 192.0.2.200
            ! error: nobody has said anything about 192.0.2.200
            exit 1

        "#]],
    );
    desk.run("source rollback levels").code(2).says("--to <TIME>");
}

#[test]
fn a_plan_says_what_a_person_needs_to_decide() {
    let desk = Desk::applied();
    desk.ok("pull --all");
    desk.run("share block-ip");
    // All of it is new: what ranks alike stands in the order it came, whatever second it is.
    desk.put("levels.txt", "45.9.9.9\n45.9.9.8\n203.0.113.5\n");
    desk.ok("pull --all");
    desk.transcript(
        &[
            "share block-ip --dry-run --format csv",
            "share block-ip",
            "plan show 2",
            "plan approve 1",
            "plan show 2 --format csv",
            "freeze --note 'too many tickets'",
            "status",
            "indicator why 45.9.9.9",
            "thaw",
            "clock trust",
        ],
        &expect![[r#"
            $ iocast share block-ip --dry-run --format csv
            target,step,kind,entry,code,reason,waits,sources
            block-ip,push,ipv4,45.9.9.9,,,the first fill of this target waits for approval,levels
            block-ip,push,ipv4,45.9.9.8,,,the first fill of this target waits for approval,levels
            block-ip,skip,ipv4,203.0.113.5,excepted,"excepted by rule ""addresses"", exception ""office""",,levels
            ! block-ip: push 2, update 0, retract 0, leave 0, skip 1; budget: adds 0 of 15 000 in 24 h, 5 000 may go now; removals 0 of 60 in 24 h, 20 may go now; hash HASH
            ! block-ip waits: the first fill of this target (2 pushes) waits for approval

            $ iocast share block-ip
            TARGET    STATUS  PUSH  UPDATE  RETRACT  LEAVE  SKIP  ACCEPTED  REFUSED  UNKNOWN  WAITING  PRESENT
            block-ip  held       2       0        0      0     1         0        0        0        2        0
            ! block-ip waits: the first fill of this target (2 pushes) waits for approval
            ! block-ip: `iocast plan show 2` shows what waits, `iocast plan approve 2` allows it
            ! block-ip skips 1 excepted
            exit 3

            $ iocast plan show 2
            plan 2 for block-ip: waiting, made 0000-00-00 00:00, expires 0000-00-00 00:00
              push 2, update 0, retract 0; hash HASH
              author: local, who last changed what feeds the target
              2 wait: the first fill of this target waits for approval
              budget: adds 0 of 15 000 in 24 h, 5 000 may go now; removals 0 of 60 in 24 h, 20 may go now
              took the place of plan 1: 2 came, 3 went
            + push 45.9.9[.]9
            + push 45.9.9[.]8
            - push 198.51.100[.]7
            - push 192.0.3[.]1
            - push 5.6.7[.]0/24

            all wait: the first fill of this target waits for approval
            STEP  KIND  ENTRY
            push  ipv4  45.9.9[.]9
            push  ipv4  45.9.9[.]8

            $ iocast plan approve 1
            ! error: plan 1 is no more: plan 2 took its place (waiting); `iocast plan show 2` says what came and what went
            exit 1

            $ iocast plan show 2 --format csv
            plan,target,verb,kind,entry,reason,waits,hash
            2,block-ip,push,ipv4,45.9.9.9,,the first fill of this target waits for approval,HASH
            2,block-ip,push,ipv4,45.9.9.8,,the first fill of this target waits for approval,HASH

            $ iocast freeze --note 'too many tickets'
            frozen: no new call to a destination begins; `iocast thaw` ends this

            $ iocast status
            iocast VERSION: 8 indicators, 8 records
            frozen by local since 0000-00-00 00:00: too many tickets; nothing goes to any destination until `iocast thaw`

            2 need a person
            critical  Frozen: no call to a destination begins; pulls and reads go on.
                      `iocast status` says what waits; `iocast thaw` ends this
                      since 0000-00-00 00:00
            warning  A plan of block-ip waits for approval: it would add 2.
                      `iocast plan show 2`, then `iocast plan approve 2` or `iocast plan reject 2`
                      since 0000-00-00 00:00

            PLAN  TARGET    WAITS FOR      WOULD   BECAUSE                     BUDGET LEFT              EXPIRES
               2  block-ip  under an hour  push 2  the first fill of this      5 000 adds, 20 removals  0000-00-00 00:00
                                                   target waits for approval

            SOURCE  CONNECTOR  ENABLED  STATUS   LAST RUN          LAST SUCCESS      WHAT TO DO
            levels  feed       yes      success  0000-00-00 00:00  0000-00-00 00:00  -

            TARGET    CONNECTION  ENABLED  STATUS  LAST RUN          PRESENT  DRIFT  WHAT TO DO
            block-ip  edge        yes      held    0000-00-00 00:00        0      -  `iocast plan show 2`: approve or
                                                                                     reject

            $ iocast indicator why 45.9.9.9
            45.9.9[.]9  ipv4
            It is not at block-ip yet: plan 2 waits for approval since 0000-00-00 00:00.
            frozen by local since 0000-00-00 00:00: too many tickets; nothing goes to any destination until `io…

            Active: 1 source counts
            reputation 8 (levels), severity unknown, TLP green, expires 0000-00-00 00:00 (levels)
            tags: test

            Who says so
              levels  counts; expires 0000-00-00 00:00

            Where it is, and why
              It is not at block-ip yet: plan 2 waits for approval since 0000-00-00 00:00.
                plan 2 would push it: the first fill of this target waits for approval
                budget: adds 0 of 15 000 in 24 h, 5 000 may go now; removals 0 of 60 in 24 h, 20 may go now
                levels → addresses: the rule selects it
                  yes kind in (ipv4, ipv4_net) [ipv4]
                  yes reputation >= 5 [8]

            --all shows everything

            $ iocast thaw
            thawed: calls to destinations go on

            $ iocast clock trust
            the clock says TIME and was believed already

        "#]],
    );
}

#[test]
fn a_preview_comes_in_pages_and_as_lines() {
    let app = TestApp::new().with_list(&json!({ "format": "edl", "capacity": 2 }));
    let items: Vec<Value> = (1..=5).map(|n| json!({ "value": format!("203.0.113.{n}"), "reputation": 9 })).collect();
    app.post("/api/v1/indicators", &json!({ "items": items })).ok();
    app.post("/api/v1/indicators", &json!({ "items": [{ "value": "8.8.8.8", "reputation": 9 }] })).ok();
    let target = app.get("/api/v1/targets").ok()["items"][0]["name"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/targets/{target}/preview");
    let whole = app.get(&path).ok();
    assert_eq!((&whole["push"], &whole["skip"], &whole["next"]), (&json!(2), &json!(4), &Value::Null), "{whole}");
    assert!(whole["budget"]["adds"]["left"].as_u64().is_some_and(|left| left > 0), "{whole}");
    let rows = whole["items"].as_array().unwrap();
    let codes = |code: &str| rows.iter().filter(|row| row["code"] == code).count();
    assert_eq!((rows.len(), codes("over_capacity"), codes("guarded")), (6, 3, 1), "{whole}");
    let (mut paged, mut next) = (Vec::new(), String::new());
    loop {
        let page = app.get(&format!("{path}?limit=4{next}")).ok();
        paged.extend(page["items"].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(after) => next = format!("&after={after}"),
            None => break,
        }
    }
    assert_eq!(&paged, rows);
    let dry = app.post("/api/v1/passes", &json!({ "all": true, "dry_run": true })).ok();
    assert_eq!(dry[0]["hash"], whole["hash"]);
    // Another plan by now: a page of it would not fit the page before.
    app.post("/api/v1/indicators/verdict", &json!({ "value": "203.0.113.1", "verdict": "safe" })).ok();
    app.post("/api/v1/indicators/verdict", &json!({ "value": "203.0.113.2", "verdict": "safe" })).ok();
    assert_eq!(app.get(&format!("{path}?limit=4{next}")).status, StatusCode::CONFLICT);
    assert_eq!(app.get("/api/v1/targets/nobody/preview").status, StatusCode::NOT_FOUND);
}

#[test]
fn sources_are_read_and_rolled_back_over_the_api() {
    let dir = tempfile::tempdir().unwrap();
    let feed = dir.path().join("feed.txt");
    let write = |text: &str| std::fs::write(&feed, text).unwrap();
    write("203.0.113.5\n203.0.113.6\n203.0.113.7\n");
    let app = TestApp::with(None, vec![dir.path().to_owned()]);
    let settings = json!({ "url": format!("file://{}", feed.display()), "format": "text" });
    let connection = json!({ "name": "levels", "connector": "feed", "settings": settings });
    app.post("/api/v1/config/apply", &json!({ "connection": [connection] })).ok();
    let pull = || app.post("/api/v1/pulls", &json!({ "all": true })).ok()[0].clone();
    assert_eq!(pull()["new"], 3);
    let shown = app.get("/api/v1/sources/levels").ok();
    assert_eq!(
        (&shown["records"], &shown["active"], &shown["complete"]),
        (&json!(3), &json!(3), &json!(true)),
        "{shown}"
    );
    let all = app.get("/api/v1/sources").ok();
    assert!(all.as_array().unwrap().contains(&shown), "{all}");
    app.world.advance(60);
    let to = app.world.now().to_string();
    app.world.advance(60);
    write("203.0.113.5\n203.0.113.6\n198.51.100.9\n");
    assert_eq!(pull()["new"], 1);
    let runs = app.get("/api/v1/sources/levels/history?limit=1").ok();
    assert_eq!((runs.as_array().unwrap().len(), &runs[0]["kind"]), (1, &json!("pull")), "{runs}");
    let roll = |body: &Value| app.post("/api/v1/sources/levels/rollback", body);
    let shown = roll(&json!({ "to": to, "dry_run": true })).ok();
    assert_eq!((&shown["ended"], &shown["revived"], &shown["run"]), (&json!(1), &json!(1), &Value::Null), "{shown}");
    assert_eq!(roll(&json!({ "undo": true })).status, StatusCode::CONFLICT, "nothing is rolled back by looking");
    app.world.advance(60);
    let done = roll(&json!({ "to": to })).ok();
    let run = done["run"].as_u64().unwrap();
    let past = app.get("/api/v1/indicators/ipv4/198.51.100.9/history").ok();
    assert_eq!((&past[0]["standing"], &past[1]["standing"]), (&json!("ended"), &json!("said")), "{past}");
    let why = app.get("/api/v1/indicators/why?value=198.51.100.9").ok();
    let record = &why["records"][0];
    assert_eq!((&record["code"], &record["ended_by_run"]), (&json!("retracted"), &json!(run)), "{why}");
    assert!(record["why"].as_str().unwrap().starts_with("ended by a rollback to 20"), "{why}");
    for (path, status) in [
        ("/api/v1/sources/nobody", StatusCode::NOT_FOUND),
        ("/api/v1/sources/nobody/history", StatusCode::NOT_FOUND),
        ("/api/v1/indicators/ipv4/192.0.2.200/history", StatusCode::NOT_FOUND),
    ] {
        assert_eq!(app.get(path).status, status, "{path}");
    }
    for body in
        [json!({}), json!({ "to": "soon" }), json!({ "to": "2999-01-01T00:00:00Z" }), json!({ "to": to, "undo": true })]
    {
        assert_eq!(roll(&body).status, StatusCode::BAD_REQUEST, "{body}");
    }
    assert_eq!(app.post("/api/v1/sources/nobody/rollback", &json!({ "to": to })).status, StatusCode::NOT_FOUND);
    app.world.advance(60);
    assert_eq!(roll(&json!({ "undo": true })).ok()["ended"], 1);
}

/// What people do that stops, allows or takes back something is in the audit log: who, what, to what, and their words.
#[test]
fn what_people_do_is_in_the_audit_log() {
    let dir = tempfile::tempdir().unwrap();
    let feed = dir.path().join("feed.txt");
    std::fs::write(&feed, "203.0.113.5\n203.0.113.6\n203.0.113.7\n").unwrap();
    let app = TestApp::with(None, vec![dir.path().to_owned()]);
    let mut file = one_list(&json!({ "format": "edl" }));
    let settings = json!({ "url": format!("file://{}", feed.display()), "format": "text" });
    let levels = json!({ "name": "levels", "connector": "feed", "override_reputation": 8, "settings": settings });
    file["connection"].as_array_mut().unwrap().push(levels);
    let mail =
        json!({ "server": "mail.example", "security": "none", "from": "a@example.org", "to": ["b@example.org"] });
    file["notify"] = json!([{ "name": "chat", "channel": "mail", "settings": mail }]);
    app.post("/api/v1/config/apply", &file).ok();
    app.post("/api/v1/pulls", &json!({ "all": true })).ok();
    let to = app.world.now().to_string();
    app.world.advance(60);
    let run = app.post("/api/v1/passes", &json!({ "all": true, "approve": true })).ok()[0]["run"].clone();
    app.world.advance(60);
    let last = |n: usize| {
        let log = app.get(&format!("/api/v1/audit?limit={n}")).ok();
        log.as_array().unwrap().iter().rev().cloned().collect::<Vec<Value>>()
    };
    let undo = format!("/api/v1/runs/{run}/undo");
    let plan = app.post(&undo, &json!({ "note": "wrong feed" })).ok()["id"].clone();
    let asked = last(2);
    assert_eq!((&asked[0]["action"], &asked[0]["detail"]["about"]), (&json!("plan.ask"), &json!(format!("run {run}"))));
    assert_eq!((&asked[1]["action"], &asked[1]["detail"]["note"]), (&json!("plan.note"), &json!("wrong feed")));
    let (this, next) = (format!("plan {plan}"), format!("plan {}", plan.as_u64().unwrap() + 1));
    let acts = [
        (
            format!("/api/v1/plans/{plan}/approve"),
            json!({ "only": ["203.0.113.5"], "note": "that one" }),
            ("plan.approve", this.as_str(), "note", json!("that one")),
        ),
        (
            format!("/api/v1/plans/{}/reject", plan.as_u64().unwrap() + 1),
            json!({ "note": "the rest is right" }),
            ("plan.reject", next.as_str(), "note", json!("the rest is right")),
        ),
        ("/api/v1/targets/block-ip/unpin".to_owned(), json!({}), ("target.unpin", "block-ip", "lifted", json!(1))),
        (
            "/api/v1/sources/levels/rollback".to_owned(),
            json!({ "to": to }),
            ("source.rollback", "levels", "to", json!(to)),
        ),
        (
            "/api/v1/clock/trust".to_owned(),
            json!({ "note": "set right" }),
            ("clock.trust", "clock", "note", json!("set right")),
        ),
        ("/api/v1/notify/chat/test".to_owned(), json!({}), ("notify.test", "chat", "ok", json!(false))),
        ("/api/v1/freeze".to_owned(), json!({ "note": "tickets" }), ("freeze", "exchange", "note", json!("tickets"))),
        ("/api/v1/thaw".to_owned(), json!({}), ("thaw", "exchange", "note", Value::Null)),
    ];
    for (path, body, (action, object, key, said)) in acts {
        app.post(&path, &body).ok();
        let log = last(1);
        let entry = (&log[0]["who"], &log[0]["action"], &log[0]["object"], &log[0]["detail"][key]);
        assert_eq!(entry, (&json!("local"), &json!(action), &json!(object), &said), "{path}");
    }
    let back = json!({ "to": to, "approve": true, "note": "as it was" });
    app.post("/api/v1/targets/block-ip/return", &back).ok();
    let log = last(2);
    assert_eq!(
        (&log[0]["action"], &log[0]["detail"]["about"]),
        (&json!("plan.ask"), &json!(format!("block-ip to {to}")))
    );
    assert_eq!((&log[1]["action"], &log[1]["detail"]["note"]), (&json!("plan.approve"), &json!("as it was")));
}
