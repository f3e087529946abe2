//! Faults of sources, of clocks and of people, by their numbers.

use crate::basics::{Bench, item};
use crate::sim::{Dice, Item, connection, target};
use engine::{ConfigFile, Mode, PullReport, Silent};
use intel::{DAY, IndicatorId, Observation, RunId, Timestamp};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

fn tick(bench: &Bench, secs: u64) {
    let later = bench.sim.lock_now_plus(secs);
    bench.sim.lock().now = later;
}

fn many(n: u64) -> BTreeMap<String, Item> {
    (0..n).map(|n| (format!("9.{}.{}.{}", n / 62_500 + 1, n / 250 % 250, n % 250 + 1), item(9))).collect()
}

fn held(bench: &Bench) -> BTreeSet<String> {
    bench.sim.product("tool", |p| p.held.keys().cloned().collect())
}

fn n_records(bench: &Bench) -> usize {
    bench.engine.known().index.n_records()
}

/// The wall clock jumps 200 times, up to ten years either way, past 2038 too, while a source is pulled and shared: no
/// entry is taken back, no schedule waits longer than a day for it, and the audit log keeps its order by number. After a
/// person has said that the clock is right, expiry goes on within the brakes.
#[test]
fn f16_a_clock_that_jumps_expires_nothing_and_sticks_nowhere() {
    let bench = Bench::new();
    let mut dice = Dice(16);
    bench.sim.lock().counted = Some(Duration::ZERO);
    bench.sim.product("feed", |p| p.items = many(40));
    bench.pull();
    bench.share("edr");
    let before = held(&bench);
    assert_eq!(before.len(), 40);
    let start = bench.sim.lock().now;
    let mut counted = 0;
    for n in 0..200 {
        counted += 60;
        let years = dice.below(21) as i64 - 10;
        let jump = match dice.below(4) {
            0 => 0,
            1 => 3_600,
            2 => years * 365 * 86_400,
            _ => dice.below(2 * 86_400) as i64 - 86_400,
        };
        let wall = Timestamp::from_secs(start.secs() + counted + jump);
        bench.sim.lock().now = wall;
        bench.sim.lock().counted = Some(Duration::from_secs(counted as u64));
        if dice.chance(50) {
            bench.engine.pull("feed", &Silent).unwrap();
        }
        let report = bench.share("edr");
        assert_eq!(report.retract, 0, "jump {n} by {jump} s: {report:?}");
        assert_eq!(held(&bench), before);
        let warned = bench.engine.clock_warning().is_some();
        assert!(!warned || jump > 86_400 - 3_600, "jump {n} by {jump} s");
        let state =
            bench.engine.store().connection_state(bench.engine.config().connection("feed").unwrap().id).unwrap();
        let state = engine::state::ConnectionState::parse(state.as_deref());
        let mut job = intel::schedule::JobState::new(Duration::from_secs(3_600));
        job.last_start = state.last_run.map(Timestamp::from_micros);
        job.retry_at = state.not_before.map(Timestamp::from_micros);
        let due = intel::schedule::next_due(&job, wall).unwrap();
        assert!(due <= wall.after(DAY), "jump {n}: due {due}, it is {wall}");
        bench.engine.store().audit("anna", "test", &n.to_string(), "{}", wall).unwrap();
    }
    let log = bench.engine.store().audit_log(200, None).unwrap();
    assert!(log.windows(2).all(|pair| pair[0].seq > pair[1].seq));
    // Ahead by a year, and right: a person says so, and the brakes hold what that means.
    bench.sim.lock().now = start.after(365 * DAY);
    bench.share("edr");
    assert!(bench.engine.clock_warning().is_some());
    bench.engine.trust_clock("anna", Some("set right")).unwrap();
    assert!(bench.engine.clock_warning().is_none());
    let report = bench.share("edr");
    assert_eq!((report.retract, report.deferred, report.status.as_str()), (40, 40, "held"));
    assert_eq!(held(&bench), before);
}

/// 500 shapes of dates, ten places times fifty values from 1601 to 2999, zero, missing and now: what cannot be is taken
/// as not given, so that nothing lives longer than its aging and a day, unless the source itself gives a date of its end
/// that can be.
#[test]
fn f17_a_date_that_cannot_be_is_no_date() {
    let now = Timestamp::parse("2026-03-01T00:00:00Z").unwrap();
    let mut times: Vec<Option<Timestamp>> = vec![None, Some(Timestamp::EPOCH), Some(now)];
    times.extend([i64::MIN, i64::MAX, -1, 1].map(|micros| Some(Timestamp::from_micros(micros))));
    for year in [1601, 1900, 1969, 1999, 2000, 2001, 2015, 2025, 2026, 2027, 2037, 2038, 2099, 2100, 2101, 2999] {
        times.push(Timestamp::parse(&format!("{year}-01-01T00:00:00Z")));
        times.push(Timestamp::parse(&format!("{year}-12-31T23:59:59Z")));
    }
    for secs in [60u64, 300, 3_600, 86_399, 86_401] {
        times.push(Some(now.after(Duration::from_secs(secs))));
        times.push(Some(now.before(Duration::from_secs(secs))));
    }
    times.push(Some(now.after(2 * DAY)));
    assert_eq!(times.len(), 50);
    let mut policy = intel::Policy::new("feed");
    policy.aging = Some(90 * DAY);
    let mut n_shapes = 0;
    for place in 0..10 {
        for time in &times {
            n_shapes += 1;
            let mut row = Observation::new("9.9.9.9");
            let set = |on: bool| if on { *time } else { None };
            row.first_seen = set(matches!(place, 0 | 5 | 9));
            row.last_seen = set(matches!(place, 1 | 5 | 6 | 9));
            row.modified = set(matches!(place, 2 | 6 | 7 | 9));
            row.valid_from = set(matches!(place, 3 | 7 | 8 | 9));
            row.expires_at = set(matches!(place, 4 | 8 | 9));
            let row = row.normalise(now).unwrap();
            let ahead = now.after(DAY);
            for past in [row.claim.first_seen, row.claim.last_seen, row.version].into_iter().flatten() {
                assert!(past <= ahead && past >= intel::limits::EARLIEST_TIME, "{place} {time:?}: {past}");
            }
            let record = intel::SourceRecord::first(&row, 1, now, now);
            let facts = intel::Facts::of(intel::ConnectionId(2), &record);
            let end = facts.expires(&policy).unwrap();
            match row.claim.expires_at {
                Some(said) => assert!(end == said && said <= intel::limits::LATEST_TIME, "{place} {time:?}"),
                None => assert!(end <= ahead.after(90 * DAY), "{place} {time:?}: lives until {end}"),
            }
        }
    }
    assert_eq!(n_shapes, 500);
}

/// 60 bodies that are no feed (twenty of them as text, CSV and JSON), answered with 200 to the real feed connector after
/// a believed run of sixty rows: no row is stored, nothing is withdrawn, nothing is asked of a target, and the good body
/// is believed again afterwards.
#[test]
fn f22_a_body_that_is_no_feed_is_not_believed() {
    let everything: String = (1..=223).map(|n| format!("{n}.0.0.0/8\n")).collect();
    let bodies: Vec<(&'static str, Vec<u8>)> = vec![
        ("text/html", b"<!DOCTYPE html><html><body>Sign in</body></html>".to_vec()),
        ("text/plain", b"<!DOCTYPE html><html><body>Sign in</body></html>".to_vec()),
        ("text/plain", b"\xef\xbb\xbf<html><head><meta http-equiv=refresh content='0;url=http://portal/'>".to_vec()),
        ("text/plain", b"\n\n  <HTML><TITLE>domain for sale</TITLE></HTML>".to_vec()),
        ("application/json", b"<html><body>502 Bad Gateway</body></html>".to_vec()),
        ("text/plain", b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>".to_vec()),
        ("application/json", b"[]".to_vec()),
        ("application/json", b"{}".to_vec()),
        ("application/json", b"null".to_vec()),
        ("application/json", br#"{"error":"quota exceeded","code":429}"#.to_vec()),
        ("text/plain", Vec::new()),
        ("text/plain", b"\n\n\n   \n".to_vec()),
        ("text/plain", b"OK".to_vec()),
        ("text/plain", b"404 page not found\n".to_vec()),
        ("text/plain", b"Rate limit exceeded. Try again later.\n".to_vec()),
        ("text/plain", b"We are down for maintenance.\nPlease come back soon.\n\nThe team\n".to_vec()),
        ("text/plain", b"0.0.0.0/0\n".to_vec()),
        ("text/plain", everything.into_bytes()),
        ("application/octet-stream", vec![0, 1, 2, 3, 0, 255, 254, 0, 9]),
        ("text/plain", b"window.location='http://parked.example/lander'\n".to_vec()),
    ];
    let mut n_bodies = 0;
    for format in ["text", "csv", "json"] {
        let bench = Bench::new();
        let file: ConfigFile = serde_json::from_value(json!({
            "connection": [{ "name": "web", "connector": "feed",
                "settings": { "url": "https://feeds.example/list", "format": format } }],
            "sharing": [{ "source": "web", "rule": "strong", "target": "block" }],
        }))
        .unwrap();
        bench.engine.apply(&file, "test", false).unwrap();
        let values: Vec<String> = (1..=60).map(|n| format!("9.9.9.{n}")).collect();
        let good = match format {
            "text" => ("text/plain", values.join("\n").into_bytes()),
            "csv" => ("text/csv", format!("ip\n{}\n", values.join("\n")).into_bytes()),
            _ => ("application/json", serde_json::to_vec(&values).unwrap()),
        };
        let pull = |page: &(&'static str, Vec<u8>)| -> PullReport {
            tick(&bench, 60);
            bench.sim.lock().page = page.clone();
            bench.engine.pull("web", &Silent).unwrap()
        };
        let first = pull(&good);
        assert_eq!((first.status.as_str(), first.new), ("success", 60), "{format}: {first:?}");
        bench.share("block");
        let wanted = bench.body();
        let records = n_records(&bench);
        for (content_type, body) in &bodies {
            n_bodies += 1;
            let report = pull(&(*content_type, body.clone()));
            let told =
                format!("{format} {content_type} {}: {report:?}", String::from_utf8_lossy(&body[..body.len().min(40)]));
            assert!(matches!(report.status.as_str(), "failed" | "suspect"), "{told}");
            assert_eq!((report.new, report.changed, report.withdrawn), (0, 0, 0), "{told}");
            assert_eq!(n_records(&bench), records, "{told}");
            if report.status == "suspect" {
                // Dropped, it is not taken for "not modified" when it comes again.
                bench.engine.discard_run(RunId(report.run), "anna").unwrap();
                assert_eq!(pull(&(*content_type, body.clone())).status, "suspect", "{told}");
            }
            let shared = bench.share("block");
            assert_eq!((shared.push, shared.update, shared.retract), (0, 0, 0), "{told}");
        }
        assert_eq!(bench.body(), wanted);
        let again = pull(&good);
        assert!(matches!(again.status.as_str(), "success" | "not_modified"), "{again:?}");
        assert_eq!(n_records(&bench), records);
    }
    assert_eq!(n_bodies, 60);
}

/// A source that lists 200 values goes to half, a tenth, none, ten and a hundred times as many: each run is suspect,
/// nothing new is stored or shared, nothing is withdrawn, and the source as it was is believed again.
#[test]
fn f27_a_volume_that_steps_is_suspect() {
    let bench = Bench::new();
    bench.sim.product("feed", |p| p.items = many(200));
    bench.pull();
    bench.share("edr");
    let (before, records) = (held(&bench), n_records(&bench));
    assert_eq!(before.len(), 200);
    for n in [100, 20, 0, 2_000, 20_000] {
        bench.sim.product("feed", |p| p.items = many(n));
        let report = bench.pull();
        assert_eq!((report.status.as_str(), report.new, report.withdrawn), ("suspect", 0, 0), "{n}: {report:?}");
        let shared = bench.share("edr");
        assert_eq!((shared.push, shared.retract), (0, 0), "{n}");
        assert_eq!((held(&bench), n_records(&bench)), (before.clone(), records), "{n}");
        bench.sim.product("feed", |p| p.items = many(200));
        assert_eq!(bench.pull().status, "success", "{n}: as it was");
    }
}

/// A source takes back all of its 300 values by saying so, and another time all of them expire: no absence is involved,
/// so it is believed; the removals are over the budget, not one of them is made, and the plan waits for a person.
#[test]
fn f29_a_source_that_takes_everything_back_stops_at_the_budget() {
    for expires in [false, true] {
        let bench = Bench::new();
        bench.sim.product("feed", |p| p.items = many(300));
        bench.pull();
        bench.share("edr");
        assert_eq!(held(&bench).len(), 300);
        if expires {
            tick(&bench, 91 * 24 * 3_600);
        } else {
            bench.sim.product("feed", |p| p.items.values_mut().for_each(|item| item.retracted = true));
            let report = bench.pull();
            assert_eq!((report.status.as_str(), report.changed), ("success", 300), "{report:?}");
        }
        for _ in 0..3 {
            let shared = bench.share("edr");
            assert_eq!((shared.retract, shared.accepted, shared.deferred), (300, 0, 300), "{shared:?}");
            assert_eq!(shared.status, "held");
            assert_eq!(bench.engine.plans(Some("waiting")).unwrap().len(), 1);
            assert_eq!(held(&bench).len(), 300);
        }
    }
}

/// A rule is edited 1,000 times by one thread while another runs passes: each pass names one version of the
/// configuration, and the destination then holds exactly what that version selects.
#[test]
fn f63_each_pass_uses_one_version_of_the_configuration() {
    let bench = Bench::new();
    bench.sim.product("feed", |p| {
        p.items = many(20);
        for (n, row) in p.items.values_mut().enumerate() {
            row.reputation = 1 + n as i64 % 10;
        }
    });
    bench.pull();
    let edit = |least: u64| -> String {
        let file: ConfigFile = serde_json::from_value(json!({
            "rule": [{ "name": "strong", "when": format!("reputation >= {least}") }],
        }))
        .unwrap();
        bench.engine.apply(&file, "anna", false).unwrap();
        bench.engine.config().version.clone()
    };
    let least_of: BTreeMap<String, u64> = (1..=10).map(|least| (edit(least), least)).collect();
    assert_eq!(least_of.len(), 10);
    let done = std::sync::atomic::AtomicBool::new(false);
    let mut n_passes = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut dice = Dice(63);
            for _ in 0..1_000 {
                edit(1 + dice.below(10));
            }
            done.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        loop {
            let last = done.load(std::sync::atomic::Ordering::SeqCst);
            let report = bench.engine.share("edr", Mode { approve: true, ..Mode::default() }, &Silent).unwrap();
            let least = least_of[&report.config];
            assert_eq!(report.status, "success", "{report:?}");
            let selected = many(20).into_keys().enumerate().filter(|(n, _)| 1 + *n as u64 % 10 >= least);
            assert_eq!(held(&bench), selected.map(|(_, value)| value).collect(), "reputation >= {least}");
            n_passes += 1;
            if last {
                break;
            }
        }
    });
    assert!(n_passes > 1);
}

/// A person deletes a source of 5,000 values and has its records stop counting: the removals wait as one plan, none is
/// made, and making the source again brings everything back without a call to the destination.
#[test]
fn f66_a_deleted_source_takes_nothing_back_beyond_the_budget() {
    let bench = Bench::new();
    bench.sim.product("feed", |p| p.items = many(5_000));
    bench.pull();
    bench.share("edr");
    assert_eq!(held(&bench).len(), 5_000);
    let whole = bench.engine.config().file.clone();
    let mut without = whole.clone();
    without.connection.retain(|connection| connection.name != "feed");
    without.sharing.retain(|sharing| sharing.source != "feed");
    let how = engine::Prune { retract_records: true, take_back: false };
    let options = engine::ApplyOptions { prune: Some(how), ..engine::ApplyOptions::default() };
    bench.engine.apply_with(&without, "anna", options).unwrap();
    let shared = bench.share("edr");
    assert_eq!((shared.retract, shared.accepted, shared.deferred), (5_000, 0, 5_000), "{shared:?}");
    assert_eq!(held(&bench).len(), 5_000);
    let mut again = whole;
    again.connection.retain(|connection| connection.name != "edge" && connection.name != "tool");
    let _ = (connection("feed", "sim-feed", Some("feed")), target("edr", "tool", &json!({})));
    bench.engine.apply(&again, "anna", false).unwrap();
    let calls = bench.sim.product("tool", |p| p.n_pushes);
    bench.pull();
    let shared = bench.share("edr");
    assert_eq!((shared.push, shared.retract, shared.leave), (0, 0, 5_000), "{shared:?}");
    assert_eq!(bench.sim.product("tool", |p| p.n_pushes), calls);
    assert!(bench.engine.known().index.exists(IndicatorId(1)));
}
