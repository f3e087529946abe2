//! One source, one rule, one list: the walk of an indicator, and what must not happen on the way.

use crate::sim::{Item, Mood, Sim, connection, target};
use engine::{ConfigFile, Engine, Mode, Silent};
use intel::{Verdict, VerdictKind};
use serde_json::json;
use store::Store;
use tempfile::TempDir;

pub(crate) struct Bench {
    pub(crate) sim: Sim,
    pub(crate) engine: Engine,
    pub(crate) dir: TempDir,
}

pub(crate) fn item(reputation: i64) -> Item {
    Item { reputation, tag: None, seq: 0, retracted: false }
}

impl Bench {
    pub(crate) fn new() -> Bench {
        let sim = Sim::new(1);
        let dir = TempDir::new().unwrap();
        let engine = sim.open(Store::in_memory().unwrap(), dir.path()).unwrap();
        let bench = Bench { sim, engine, dir };
        let file: ConfigFile = serde_json::from_value(json!({
            "connection": [
                serde_json::to_value(connection("feed", "sim-feed", Some("feed"))).unwrap(),
                serde_json::to_value(connection("tool", "sim-tool", Some("tool"))).unwrap(),
                serde_json::to_value(connection("edge", "list", None)).unwrap(),
            ],
            "target": [
                serde_json::to_value(target("block", "edge", &json!({}))).unwrap(),
                serde_json::to_value(target("edr", "tool", &json!({}))).unwrap(),
            ],
            "rule": [{
                "name": "strong", "when": "kind in (ipv4, domain) and reputation >= 5",
                "exceptions": [{ "name": "office", "values": ["198.51.99.0/24"] }]
            }],
            "sharing": [
                { "source": "feed", "rule": "strong", "target": "block" },
                { "source": "any", "rule": "strong", "target": "edr" }
            ]
        }))
        .unwrap();
        bench.engine.apply(&file, "test", false).unwrap();
        bench
    }

    pub(crate) fn feed(&self, values: &[(&str, i64)]) {
        self.sim.product("feed", |p| {
            p.items = values.iter().map(|(v, r)| ((*v).to_owned(), item(*r))).collect();
        });
    }

    pub(crate) fn pull(&self) -> engine::PullReport {
        self.sim.lock().now = self.sim.lock_now_plus(60);
        let report = self.engine.pull("feed", &Silent).unwrap();
        assert!(report.balances(), "{report:?}");
        report
    }

    pub(crate) fn share(&self, name: &str) -> engine::ShareReport {
        self.engine.share(name, Mode::default(), &Silent).unwrap()
    }

    pub(crate) fn body(&self) -> String {
        String::from_utf8(self.engine.list("block").map(|l| l.body.read().unwrap()).unwrap_or_default()).unwrap()
    }
}

impl Sim {
    pub(crate) fn lock_now_plus(&self, secs: u64) -> intel::Timestamp {
        self.state.lock().unwrap().now.after(std::time::Duration::from_secs(secs))
    }
}

const GOOD: &[(&str, i64)] =
    &[("9.9.9.1", 7), ("9.9.9.2", 3), ("evil.example.com", 9), ("198.51.99.7", 9), ("10.0.0.1", 9)];

#[test]
fn pulls_selects_and_publishes() {
    let bench = Bench::new();
    bench.feed(GOOD);
    let report = bench.pull();
    assert_eq!((report.read, report.new, report.status.as_str()), (5, 5, "success"));
    let report = bench.share("block");
    assert_eq!((report.push, report.accepted, report.status.as_str()), (2, 2, "success"));
    assert_eq!(report.skipped_by.get("excepted"), Some(&1), "{report:?}");
    assert_eq!(report.skipped_by.get("guarded"), Some(&1), "{report:?}");
    let mut lines: Vec<String> = bench.body().lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["9.9.9.1", "evil.example.com"]);
}

#[test]
fn the_same_again_changes_nothing() {
    let bench = Bench::new();
    bench.feed(GOOD);
    bench.pull();
    bench.share("block");
    let revision = bench.engine.known().index.max_revision();
    let report = bench.pull();
    assert_eq!((report.new, report.changed, report.unchanged), (0, 0, 5));
    let report = bench.share("block");
    assert_eq!((report.push, report.update, report.retract, report.leave), (0, 0, 0, 2));
    assert_eq!(bench.engine.known().index.max_revision(), revision);
}

#[test]
fn what_is_no_longer_listed_is_taken_back_and_comes_again() {
    let bench = Bench::new();
    bench.feed(GOOD);
    bench.pull();
    bench.share("block");
    bench.feed(&GOOD[1..]);
    let report = bench.pull();
    assert_eq!((report.unchanged, report.withdrawn), (4, 1));
    assert_eq!(bench.share("block").retract, 1);
    assert_eq!(bench.body(), "evil.example.com\n");
    bench.feed(GOOD);
    let report = bench.pull();
    assert_eq!((report.unchanged, report.new), (5, 0), "{report:?}");
    assert_eq!(bench.share("block").push, 1);
}

#[test]
fn silence_takes_nothing_back() {
    let bench = Bench::new();
    bench.feed(GOOD);
    bench.pull();
    bench.share("block");
    for mood in [Mood::Down, Mood::CutShort, Mood::Empty] {
        bench.sim.product("feed", |p| p.mood = mood);
        let report = bench.pull();
        let expect = if mood == Mood::Empty { "suspect" } else { "failed" };
        assert_eq!(report.status, expect, "{mood:?}");
        let shared = bench.share("block");
        assert_eq!((shared.retract, shared.leave), (0, 2), "{mood:?}");
    }
}

#[test]
fn a_suspect_run_waits_and_is_approved_or_discarded() {
    let bench = Bench::new();
    bench.feed(GOOD);
    bench.pull();
    bench.share("block");
    bench.sim.product("feed", |p| p.mood = Mood::Empty);
    let report = bench.pull();
    bench.engine.discard_run(intel::RunId(report.run), "test").unwrap();
    assert_eq!(bench.share("block").leave, 2);
    let report = bench.pull();
    let approved = bench.engine.approve_run(intel::RunId(report.run), "test").unwrap();
    assert_eq!(approved.withdrawn, 5);
    let shared = bench.share("block");
    assert_eq!((shared.status.as_str(), shared.retract, shared.deferred), ("held", 2, 2), "emptying waits");
    assert!(bench.engine.approve_run(intel::RunId(report.run), "test").is_err(), "only once");
}

#[test]
fn a_verdict_beats_every_source() {
    let bench = Bench::new();
    bench.feed(GOOD);
    bench.pull();
    bench.share("block");
    let safe = Verdict { kind: VerdictKind::Safe, until: None };
    bench.engine.verdict("evil[.]example[.]com", None, Some(safe), "test").unwrap();
    let report = bench.share("block");
    assert_eq!((report.retract, report.accepted), (1, 1));
    assert_eq!(bench.body(), "9.9.9.1\n");
    let bad = Verdict { kind: VerdictKind::Malicious, until: None };
    bench.engine.verdict("9.9.9.77", None, Some(bad), "test").unwrap();
    assert_eq!(bench.share("edr").push, 2, "a malicious verdict stands by itself");
    bench.engine.verdict("evil.example.com", None, None, "test").unwrap();
    assert_eq!(bench.share("block").push, 1);
}

/// A tool that says in the middle of a call that it takes no more: what it did not do is in no doubt, has no line, and goes
/// with the next pass.
#[test]
fn f38_what_a_call_says_it_did_not_do_waits() {
    let bench = Bench::new();
    bench.feed(GOOD);
    bench.pull();
    bench.sim.product("tool", |p| p.takes = Some(1));
    let report = bench.share("edr");
    assert_eq!((report.push, report.accepted, report.unknown, report.deferred), (2, 1, 0, 1), "{report:?}");
    assert_ne!(report.status, "success");
    let target = bench.engine.config().target("edr").unwrap().id;
    assert_eq!(bench.engine.known().ledgers[&target].live().iter().count(), 1, "no line of what was not done");
    bench.sim.product("tool", |p| p.takes = None);
    let later = bench.sim.lock_now_plus(3_600);
    bench.sim.lock().now = later;
    let report = bench.share("edr");
    assert_eq!((report.push, report.accepted, report.leave), (1, 1, 1), "{report:?}");
}

#[test]
fn a_restart_changes_nothing() {
    let bench = Bench::new();
    bench.feed(GOOD);
    bench.pull();
    bench.share("block");
    bench.share("edr");
    let safe = Verdict { kind: VerdictKind::Safe, until: None };
    bench.engine.verdict("9.9.9.2", None, Some(safe), "test").unwrap();
    let Bench { sim, engine, dir } = bench;
    let before = dump(&engine);
    let revision = engine.known().index.max_revision();
    let engine = sim.open(engine.into_store(), dir.path()).unwrap();
    assert_eq!(dump(&engine), before);
    assert_eq!(engine.known().index.max_revision(), revision);
    let bench = Bench { sim, engine, dir };
    assert_eq!(bench.body().lines().count(), 2);
    for name in ["block", "edr"] {
        let report = bench.share(name);
        assert_eq!((report.push, report.update, report.retract, report.leave), (0, 0, 0, 2), "{name}");
    }
    let report = bench.pull();
    assert_eq!(report.unchanged, 5);
}

fn dump(engine: &Engine) -> String {
    let sort = index::Sort { field: index::SortField::Value, descending: false };
    let (hits, _) = engine.find("", true, sort, None, 1000).unwrap();
    serde_json::to_string_pretty(&hits).unwrap()
}

#[test]
fn expiry_is_a_retraction() {
    let bench = Bench::new();
    bench.feed(GOOD);
    bench.pull();
    bench.share("block");
    bench.sim.lock().now = bench.sim.lock_now_plus(91 * 24 * 3600);
    let report = bench.share("block");
    assert_eq!((report.retract, report.status.as_str()), (2, "held"), "all of it at once waits for a person");
    let report = bench.engine.share("block", Mode { approve: true, ..Mode::default() }, &Silent).unwrap();
    assert_eq!((report.accepted, report.status.as_str()), (2, "success"));
    assert_eq!(bench.body(), "", "an approved empty list is served");
}

#[test]
fn a_dry_run_does_nothing_and_names_what_it_would() {
    let bench = Bench::new();
    bench.feed(GOOD);
    bench.pull();
    let report = bench.engine.share("block", Mode { dry_run: true, approve: false }, &Silent).unwrap();
    assert_eq!((report.push, report.deferred, report.status.as_str()), (2, 2, "dry_run"));
    let mut entries: Vec<&str> = report.steps.iter().map(|s| s.entry.as_str()).collect();
    entries.sort_unstable();
    assert_eq!(entries, ["9.9.9.1", "evil.example.com"]);
    assert!(bench.engine.list("block").is_none());
    assert!(bench.engine.known().ledgers.values().all(engine::ledger::Ledger::is_empty));
}

#[test]
fn first_fill_waits_for_one_approval() {
    let bench = Bench::new();
    let file: ConfigFile = serde_json::from_value(json!({
        "target": [{ "name": "block", "connection": "edge", "params": {} }]
    }))
    .unwrap();
    bench.engine.apply(&file, "test", false).unwrap();
    bench.feed(GOOD);
    bench.pull();
    let report = bench.share("block");
    assert_eq!((report.status.as_str(), report.deferred), ("held", 2));
    let plan = report.plan.unwrap();
    assert_eq!(bench.share("block").plan, Some(plan), "the same plan waits, not another");
    bench.engine.approve_plan(plan, "test", None).unwrap();
    let report = bench.share("block");
    assert_eq!((report.status.as_str(), report.accepted), ("success", 2));
    bench.feed(&[GOOD, &[("9.9.9.3", 8)]].concat());
    bench.pull();
    assert_eq!(bench.share("block").accepted, 1, "filled: ordinary adds ask nobody");
}

#[test]
fn why_tells_the_chain() {
    let bench = Bench::new();
    bench.feed(GOOD);
    bench.pull();
    bench.share("block");
    let codes = |value: &str| -> Vec<String> {
        bench.engine.why(value, None).unwrap().targets.into_iter().map(|t| t.code).collect()
    };
    assert_eq!(codes("9.9.9.1"), ["present", "to_push"]);
    assert_eq!(codes("9.9.9.2"), ["not_selected", "not_selected"]);
    assert_eq!(codes("198.51.99.7"), ["excepted", "excepted"]);
    assert_eq!(codes("10.0.0.1"), ["guarded", "guarded"]);
    assert_eq!(codes("8.8.4.4"), ["unknown_indicator", "unknown_indicator"]);
}

#[test]
fn what_we_put_there_is_no_news() {
    let bench = Bench::new();
    bench.feed(GOOD);
    bench.pull();
    bench.share("edr");
    for ids in [false, true] {
        bench.sim.product("tool", |p| {
            p.reports_held = true;
            p.has_ids = ids;
        });
        let report = bench.engine.pull("tool", &Silent).unwrap();
        assert_eq!(report.read, 2);
        let why = bench.engine.why("9.9.9.1", None).unwrap();
        let tool = why.records.iter().find(|r| r.source == "tool").unwrap();
        assert!(!tool.active, "{tool:?}");
    }
    // When the real source falls silent, both sides drain.
    bench.feed(&[("9.9.9.50", 9)]);
    let report = bench.pull();
    assert_eq!(report.withdrawn, 5);
    bench.engine.share("edr", Mode { approve: true, ..Mode::default() }, &Silent).unwrap();
    let held: Vec<String> = bench.sim.product("tool", |p| p.held.keys().cloned().collect());
    assert_eq!(held, ["9.9.9.50"]);
}

#[test]
fn two_rows_of_one_value_do_not_take_turns() {
    let bench = Bench::new();
    bench.feed(&[("9.9.9.1", 3)]);
    bench.pull();
    // The simulated feed lists a value once; the tool's list brings the second row of the same connection.
    bench.sim.product("feed", |p| {
        p.reports_held = true;
        p.held.insert("9.9.9.1".into(), crate::sim::Held { remote_id: "x".into(), ours: false, reputation: 0 });
    });
    let changed: Vec<u64> = (0..4).map(|_| bench.pull().changed).collect();
    assert_eq!(changed, [1, 0, 0, 0]);
}

#[test]
fn a_lost_body_is_made_again() {
    let bench = Bench::new();
    bench.feed(GOOD);
    bench.pull();
    bench.share("block");
    let body = bench.body();
    let Bench { sim, engine, dir } = bench;
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let engine = sim.open(engine.into_store(), dir.path()).unwrap();
    let bench = Bench { sim, engine, dir };
    assert!(bench.engine.list("block").is_none());
    assert_eq!(bench.share("block").leave, 2);
    assert_eq!(bench.body(), body);
}

#[test]
fn why_knows_rows_that_wait() {
    let bench = Bench::new();
    bench.feed(GOOD);
    bench.pull();
    // Ten times as many and more: a run to be looked at, once there were fifty.
    let many: Vec<(String, i64)> = (0..60).map(|n| (format!("9.8.7.{n}"), 9)).collect();
    let rows = |rows: &[(String, i64)]| rows.iter().map(|(v, r)| (v.clone(), item(*r))).collect();
    bench.sim.product("feed", |p| p.items = rows(&many));
    assert_eq!(bench.pull().status, "success");
    bench.sim.product("feed", |p| p.items = rows(&[("9.8.6.1".to_owned(), 9)]));
    assert_eq!(bench.pull().status, "suspect");
    let why = bench.engine.why("9.8.6.1", None).unwrap();
    assert_eq!((why.notes.len(), why.targets[0].code.as_str()), (1, "suspect_run"));
    assert_eq!(bench.engine.why("9.8.7.1", None).unwrap().notes.len(), 1, "it is missing there");
    assert!(bench.engine.why("9.9.9.200", None).unwrap().notes.is_empty(), "nobody has ever spoken of it");
}

/// A false-positive verdict beats every source until it ends: taken back in the next pass, a hundred readings of the same
/// feed later still gone (with another date each time), wanted again only when the verdict has ended. A restart in
/// between changes nothing.
#[test]
fn b17_a_verdict_stays_whatever_sources_say() {
    let mut bench = Bench::new();
    bench.feed(GOOD);
    bench.pull();
    bench.share("edr");
    bench.share("block");
    let until = Some(bench.sim.lock().now.after(3 * intel::DAY));
    let verdict = Verdict { kind: VerdictKind::FalsePositive, until };
    bench.engine.verdict("evil.example.com", None, Some(verdict), "test").unwrap();
    for name in ["edr", "block"] {
        let report = bench.share(name);
        assert_eq!((report.retract, report.accepted), (1, 1), "{name}");
    }
    for round in 0..100 {
        bench.feed(&[("9.9.9.1", 7), ("evil.example.com", 1 + (round % 10)), ("9.9.9.44", 8)]);
        bench.pull();
        if round == 50 {
            let Bench { sim, engine, dir } = bench;
            let engine = sim.open(engine.into_store(), dir.path()).unwrap();
            bench = Bench { sim, engine, dir };
        }
        bench.share("edr");
        bench.share("block");
        assert!(!bench.sim.product("tool", |p| p.held.contains_key("evil.example.com")), "round {round}");
        assert!(!bench.body().contains("evil"), "round {round}");
    }
    let state = bench.engine.store().target_state(bench.engine.config().target("edr").unwrap().id).unwrap().unwrap();
    assert!(state.contains("\"verdicts\":{\"at\""), "how long it took is kept: {state}");
    bench.sim.lock().now = bench.sim.lock_now_plus(3 * 24 * 3600);
    bench.feed(GOOD);
    bench.pull();
    bench.share("edr");
    assert!(bench.sim.product("tool", |p| p.held.contains_key("evil.example.com")), "it has ended");
}

/// Targets whose retract mode is `never` give back what a verdict names all the same; ordinary removals stay.
#[test]
fn b17_a_verdict_overrides_the_retract_mode() {
    let bench = Bench::new();
    let mut doc = target("edr", "tool", &json!({}));
    doc.retract = Some("never".into());
    let file = ConfigFile { target: vec![doc], ..ConfigFile::default() };
    bench.engine.apply(&file, "test", false).unwrap();
    bench.feed(GOOD);
    bench.pull();
    bench.share("edr");
    let safe = Verdict { kind: VerdictKind::Safe, until: None };
    bench.engine.verdict("evil.example.com", None, Some(safe), "test").unwrap();
    bench.feed(&GOOD[1..]);
    bench.pull();
    let report = bench.share("edr");
    assert_eq!((report.retract, report.accepted), (1, 1), "{report:?}");
    assert_eq!(
        report.skipped_by.get("cannot_retract"),
        Some(&1),
        "what is only gone stays, and is counted: {report:?}"
    );
    assert!(bench.sim.product("tool", |p| p.held.contains_key("9.9.9.1")));
}

/// One record of one source is ended by a person: a hundred more readings that list it do not revive it, nor does a
/// restart; other words of the source do.
#[test]
fn b17_a_record_that_was_ended_is_not_revived_by_being_listed() {
    let mut bench = Bench::new();
    bench.feed(GOOD);
    bench.pull();
    bench.share("edr");
    let ask = |values: &[&str]| values.iter().map(|value| ((*value).to_owned(), None)).collect::<Vec<_>>();
    let done = bench.engine.retract(&ask(&["evil[.]example.com", "9.9.9.99", "%%"]), Some("feed"), "test").unwrap();
    assert_eq!(done[0].ended, ["feed"]);
    assert_eq!(done[1].error.as_deref(), Some("feed has not said it"));
    assert!(done[2].error.is_some() && done[2].ended.is_empty());
    assert_eq!(bench.share("edr").retract, 1);
    for round in 0..100 {
        bench.feed(GOOD);
        bench.pull();
        if round % 40 == 39 {
            let Bench { sim, engine, dir } = bench;
            let engine = sim.open(engine.into_store(), dir.path()).unwrap();
            bench = Bench { sim, engine, dir };
        }
        assert_eq!(bench.share("edr").push, 0, "round {round}");
    }
    let again = bench.engine.retract(&ask(&["evil.example.com"]), None, "test").unwrap();
    assert_eq!((again[0].ended.len(), again[0].already.as_slice()), (0, &["feed".to_owned()][..]));
    bench.feed(&[("evil.example.com", 6), ("9.9.9.1", 7), ("9.9.9.2", 3)]);
    bench.pull();
    assert_eq!(bench.share("edr").push, 1, "later, and something else");
    assert!(bench.engine.retract(&ask(&["x.example"]), Some("nobody"), "test").is_err());
}
