//! What sources said at a time, and sources rolled back to one.

use crate::basics::{Bench, item};
use crate::sim::{Dice, Mood, Sim, connection, target};
use engine::{ConfigFile, Engine, EngineError, Mode, Silent};
use intel::{IndicatorId, RunId, SourceRecord, Timestamp};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use store::Store;
use tempfile::TempDir;

const GOOD: &[(&str, i64)] = &[("9.9.9.1", 7), ("9.9.9.2", 8), ("9.9.9.3", 9), ("evil.example.com", 9)];
/// One is changed, one is gone, two are new.
const POISON: &[(&str, i64)] = &[("9.9.9.1", 3), ("9.9.9.2", 8), ("9.9.9.3", 9), ("9.9.9.7", 9), ("9.9.9.8", 9)];

type Records = BTreeMap<(u32, u16), SourceRecord>;

fn everything(engine: &Engine) -> Records {
    let mut out = Records::new();
    let n = engine.known().index.id_bound();
    for id in (0..n).map(IndicatorId) {
        if let Some(indicator) = engine.store().indicator(id).unwrap() {
            out.extend(indicator.records.into_iter().map(|(connection, record)| ((id.0, connection.0), record)));
        }
    }
    out
}

fn everything_as_of(engine: &Engine, at: Timestamp) -> Records {
    let mut out = Records::new();
    let n = engine.known().index.id_bound();
    for id in (0..n).map(IndicatorId) {
        if let Some(indicator) = engine.indicator_as_of(id, at).unwrap() {
            out.extend(indicator.records.into_iter().map(|(connection, record)| ((id.0, connection.0), record)));
        }
    }
    out
}

fn tick(sim: &Sim, secs: u64) -> Timestamp {
    let later = sim.lock_now_plus(secs);
    sim.lock().now = later;
    later
}

fn active(engine: &Engine) -> Vec<String> {
    let sort = index::Sort { field: index::SortField::Value, descending: false };
    let (hits, _) = engine.find("", false, sort, None, 1000).unwrap();
    hits.into_iter().map(|hit| format!("{} {}", hit.value, hit.reputation)).collect()
}

#[test]
fn a_source_is_rolled_back_and_the_same_poison_does_not_come_back() {
    let bench = Bench::new();
    bench.feed(GOOD);
    bench.pull();
    bench.share("edr");
    let good = (active(&bench.engine), everything(&bench.engine));
    let to = tick(&bench.sim, 60);
    bench.feed(POISON);
    bench.pull();
    bench.share("edr");
    let bad = active(&bench.engine);
    tick(&bench.sim, 60);

    let preview = bench.engine.rollback_preview("feed", to).unwrap();
    assert_eq!((preview.read, preview.ended, preview.revived, preview.restored), (4, 2, 1, 1), "{preview:?}");
    let edr = preview.targets.iter().find(|t| t.target == "edr").unwrap();
    assert_eq!((edr.add, edr.remove), (2, 2), "{preview:?}");
    assert_eq!(active(&bench.engine), bad, "a preview changes nothing");

    let done = bench.engine.rollback("feed", to, "anna").unwrap();
    assert_eq!((done.read, done.ended, done.revived, done.restored, done.unchanged), (4, 2, 1, 1, 0));
    assert_eq!(done.touched, preview.touched);
    assert_eq!(active(&bench.engine), good.0);
    let now = everything(&bench.engine);
    for (key, record) in &good.1 {
        assert_eq!(now.get(key), Some(record));
    }
    let shared = bench.share("edr");
    assert_eq!((shared.push, shared.retract), (2, 2), "{shared:?}");

    // The same body again is not "not modified", and is not believed: whatever is said to it, as often as it comes.
    for _ in 0..2 {
        let again = bench.pull();
        assert_eq!(again.status, "suspect", "{again:?}");
        assert!(again.error.unwrap().contains("rolled back"));
        assert_eq!(active(&bench.engine), good.0);
        bench.engine.discard_run(RunId(again.run), "anna").unwrap();
    }
    // What it said then is believed, and the source goes on as ever; what was ended stays so.
    bench.feed(GOOD);
    assert_eq!(bench.pull().status, "success");
    assert_eq!(active(&bench.engine), good.0);
    bench.feed(&[GOOD, &[("9.9.9.7", 9), ("9.9.9.9", 5)]].concat());
    assert_eq!(bench.pull().status, "success");
    assert_eq!(active(&bench.engine).len(), 5, "9.9.9.7 is listed and stays ended, 9.9.9.9 is new");
    let run = bench.engine.store().run(RunId(done.run.unwrap())).unwrap().unwrap();
    assert_eq!((run.kind.as_str(), run.status.as_str()), ("rollback", "success"));
    assert_eq!(bench.engine.store().audit_log(1, None).unwrap()[0].action, "run.discard");
}

#[test]
fn a_rollback_is_undone_by_rolling_to_just_before_it() {
    let bench = Bench::new();
    bench.feed(GOOD);
    bench.pull();
    let to = tick(&bench.sim, 60);
    bench.feed(POISON);
    bench.pull();
    let bad = (active(&bench.engine), everything(&bench.engine));
    tick(&bench.sim, 60);
    bench.engine.rollback("feed", to, "anna").unwrap();
    assert_ne!(active(&bench.engine), bad.0);
    tick(&bench.sim, 60);
    let forward = bench.engine.before_rollback("feed").unwrap();
    let done = bench.engine.rollback("feed", forward, "anna").unwrap();
    assert_eq!((done.ended, done.revived, done.restored), (1, 2, 1), "{done:?}");
    assert_eq!(active(&bench.engine), bad.0);
    assert_eq!(everything(&bench.engine), bad.1);
    assert_eq!(bench.pull().status, "success", "it is what the source says");
}

#[test]
fn a_run_that_is_believed_after_a_rollback_is_believed_of_what_was_ended() {
    let bench = Bench::new();
    bench.feed(GOOD);
    bench.pull();
    let to = tick(&bench.sim, 60);
    bench.feed(POISON);
    bench.pull();
    let bad = active(&bench.engine);
    tick(&bench.sim, 60);
    bench.engine.rollback("feed", to, "anna").unwrap();
    let again = bench.pull();
    let preview = bench.engine.suspect_preview(RunId(again.run)).unwrap().unwrap();
    assert_eq!((preview.adds, preview.changes, preview.relists, preview.withdraws), (0, 1, 2, 1), "{preview:?}");
    bench.engine.approve_run(RunId(again.run), "anna").unwrap();
    assert_eq!(active(&bench.engine), bad);
    assert_eq!(bench.pull().status, "success", "and it is the last believed run");
    assert_eq!(bench.engine.suspect_preview(RunId(again.run)).unwrap(), None);
}

#[test]
fn a_rollback_that_is_interrupted_is_finished_by_doing_it_again() {
    let mut n_begun = 0;
    for stop_in in 0..5 {
        let bench = Bench::new();
        bench.feed(GOOD);
        bench.pull();
        let good = active(&bench.engine);
        let to = tick(&bench.sim, 60);
        bench.feed(POISON);
        bench.pull();
        let bad = active(&bench.engine);
        tick(&bench.sim, 60);
        bench.sim.lock().stop_in = Some(stop_in);
        let stopped = bench.engine.rollback("feed", to, "anna");
        bench.sim.lock().stop_in = None;
        let Bench { sim, engine, dir } = bench;
        let engine = sim.open(engine.into_store(), dir.path()).unwrap();
        let bench = Bench { sim, engine, dir };
        if matches!(stopped, Err(EngineError::Stopped(_))) {
            let begun = active(&bench.engine) != bad;
            let status = if begun { "suspect" } else { "success" };
            assert_eq!(bench.pull().status, status, "step {stop_in}: what was begun lets no run in unasked");
            n_begun += usize::from(begun);
        }
        tick(&bench.sim, 60);
        let done = bench.engine.rollback("feed", to, "anna").unwrap();
        assert_eq!(done.read, done.ended + done.restored + done.revived + done.unchanged);
        assert_eq!(active(&bench.engine), good, "step {stop_in}");
        bench.feed(GOOD);
        assert_eq!(bench.pull().status, "success", "step {stop_in}");
    }
    assert!(n_begun > 0);
}

#[test]
fn a_suspect_run_that_lists_values_again_does_so_when_it_is_approved() {
    let bench = Bench::new();
    let many: Vec<(String, i64)> = (0..60).map(|n| (format!("9.8.7.{n}"), 9)).collect();
    let rows = |rows: &[(String, i64)]| rows.iter().map(|(v, r)| (v.clone(), item(*r))).collect();
    bench.sim.product("feed", |p| p.items = rows(&many));
    bench.pull();
    bench.sim.product("feed", |p| p.items = rows(&many[1..]));
    assert_eq!(bench.pull().withdrawn, 1);
    bench.sim.product("feed", |p| p.items = rows(&many[..3]));
    let report = bench.pull();
    assert_eq!(report.status, "suspect");
    bench.engine.approve_run(RunId(report.run), "anna").unwrap();
    assert_eq!(active(&bench.engine), ["9.8.7.0 9", "9.8.7.1 9", "9.8.7.2 9"]);
}

#[test]
fn what_cannot_be_rolled_back_is_said() {
    let bench = Bench::new();
    bench.feed(GOOD);
    bench.pull();
    let now = tick(&bench.sim, 60);
    let error = |name: &str, to: Timestamp| bench.engine.rollback_preview(name, to).unwrap_err().to_string();
    assert!(error("fed", now.before(Duration::from_secs(1))).contains("did you mean \"feed\""));
    assert!(error("feed", now).contains("not past"), "{}", error("feed", now));
    assert!(error("edge", now.before(Duration::from_secs(1))).contains("no source"));
    tick(&bench.sim, 40 * 24 * 3600);
    bench.feed(POISON);
    bench.pull();
    bench.feed(GOOD);
    bench.pull();
    tick(&bench.sim, 31 * 24 * 3600);
    bench.engine.prune().unwrap();
    assert!(error("feed", now).contains("history_days"), "{}", error("feed", now));
    assert!(bench.engine.before_rollback("feed").unwrap_err().to_string().contains("nothing to undo"));
}

/// Lives through stories of two sources and compares what is told of each time with what was there at that time; then
/// rolls a source back to one of them and compares again.
#[test]
fn every_time_is_told_as_it_was() {
    let n_seeds = std::env::var("IOCAST_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    for seed in 0..n_seeds {
        let mut dice = Dice(seed);
        let sim = Sim::new(seed);
        let dir = TempDir::new().unwrap();
        let engine = sim.open(Store::in_memory().unwrap(), dir.path()).unwrap();
        let file: ConfigFile = serde_json::from_value(json!({
            "connection": [
                serde_json::to_value(connection("feed", "sim-feed", Some("feed"))).unwrap(),
                serde_json::to_value(connection("stream", "sim-stream", Some("stream"))).unwrap(),
                serde_json::to_value(connection("edge", "list", None)).unwrap(),
            ],
            "target": [serde_json::to_value(target("block", "edge", &json!({}))).unwrap()],
            "rule": [{ "name": "all", "when": "reputation >= 1" }],
            "sharing": [{ "source": "any", "rule": "all", "target": "block" }]
        }))
        .unwrap();
        engine.apply(&file, "test", false).unwrap();
        let mut seq = 0;
        let mut times: Vec<(Timestamp, Records, Vec<String>)> = Vec::new();
        for _ in 0..12 {
            for source in ["feed", "stream"] {
                for _ in 0..dice.below(6) {
                    seq += 1;
                    let value = format!("9.9.9.{}", dice.below(12) + 1);
                    let row = crate::sim::Item { seq, retracted: dice.chance(15), ..item(1 + dice.below(10) as i64) };
                    let remove = source == "feed" && dice.chance(30);
                    sim.product(source, |p| match remove {
                        true => drop(p.items.remove(&value)),
                        false => drop(p.items.insert(value, row)),
                    });
                }
                sim.product(source, |p| p.mood = if dice.chance(10) { Mood::CutShort } else { Mood::Well });
                tick(&sim, 60);
                let report = engine.pull(source, &Silent).unwrap();
                if report.status == "suspect" && dice.chance(50) {
                    tick(&sim, 60);
                    engine.approve_run(RunId(report.run), "anna").unwrap();
                }
            }
            tick(&sim, 60);
            engine.share("block", Mode::default(), &Silent).unwrap();
            times.push((tick(&sim, 60), everything(&engine), active(&engine)));
        }
        for (at, records, _) in &times {
            assert_eq!(everything_as_of(&engine, *at), *records, "seed {seed} at {at}");
        }
        let (to, records, _) = &times[dice.below(11) as usize];
        let source = if dice.chance(50) { "feed" } else { "stream" };
        let id = engine.config().connection(source).unwrap().id.0;
        // All that was sent has been read.
        sim.product(source, |p| p.mood = Mood::Well);
        engine.pull(source, &Silent).unwrap();
        tick(&sim, 60);
        let done = engine.rollback(source, *to, "anna").unwrap();
        assert_eq!(done.read, done.ended + done.restored + done.revived + done.unchanged, "seed {seed}");
        for (key, record) in everything(&engine) {
            let then = records.get(&key);
            if key.1 != id {
                continue;
            }
            let counts = |r: &SourceRecord| r.listed && !r.echo && !r.is_retracted();
            assert_eq!(then.is_some_and(counts), counts(&record), "seed {seed}: {source} {key:?} to {to}");
            if let Some(then) = then {
                assert_eq!(then.claim, record.claim, "seed {seed}");
            }
        }
        // A source that sends on what it has sent changes nothing.
        let before = active(&engine);
        tick(&sim, 60);
        let report = engine.pull(source, &Silent).unwrap();
        if source == "stream" {
            assert_eq!((report.new, report.changed), (0, 0), "seed {seed}: {report:?}");
        }
        if report.status == "suspect" || source == "stream" {
            assert_eq!(active(&engine), before, "seed {seed}");
        }
    }
}
