//! The ledger tells the truth: what was refused, lost, staged or sent to the wrong place is known as that, and nothing is
//! sent twice.

use crate::boxes::{Shows, Tool};
use crate::sim::{Dice, Item, Sim, connection, target};
use engine::{ConfigFile, Engine, EngineError, Mode, ShareReport, Silent, Verify, VerifyReport};
use kit::ConnectorError;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use tempfile::TempDir;

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// So many seeds of a test: a bounded part in CI, as many as asked for with IOCAST_SEEDS, after
/// IOCAST_SEED_BASE.
pub(crate) fn seeds(n: u64) -> std::ops::RangeInclusive<u64> {
    let base = kept("IOCAST_SEED_BASE").unwrap_or(0);
    base + 1..=base + kept("IOCAST_SEEDS").unwrap_or(n)
}

/// Runs every seed, on two threads; what came of each that held. The first that did not is told, with how many there are.
pub(crate) fn on_two_threads<T: Send>(seeds: std::ops::RangeInclusive<u64>, run: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let half = |odd: u64| {
        let mut done = Vec::new();
        let mut failed = Vec::new();
        for seed in seeds.clone().filter(|seed| seed % 2 == odd) {
            match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(seed))) {
                Ok(of_this) => done.push(of_this),
                Err(panic) => {
                    let text = panic.downcast_ref::<String>().cloned();
                    failed.push((seed, text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))));
                }
            }
        }
        (done, failed)
    };
    let ((mut done, mut failed), (more, failed_too)) = std::thread::scope(|scope| {
        let other = scope.spawn(|| half(1));
        (half(0), other.join().unwrap())
    });
    done.extend(more);
    failed.extend(failed_too);
    let n = failed.len();
    failed.sort();
    let told: Vec<String> =
        failed.iter().map(|(seed, why)| format!("IOCAST_SEED={seed} {}", why.as_deref().unwrap_or_default())).collect();
    assert!(failed.is_empty(), "{n} failed:\n{}", told.join("\n"));
    done
}

/// The one seed that is to be run again, where one is.
pub(crate) fn kept(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

pub(crate) fn value(n: u64) -> String {
    format!("h{n:05}.bad-example.com")
}

/// A feed, a box, and targets on it.
pub(crate) struct Bench {
    pub(crate) sim: Sim,
    engine: Option<Engine>,
    pub(crate) dir: TempDir,
}

impl Bench {
    /// Targets by name, action and parameters; all on the box "box".
    pub(crate) fn new(seed: u64, targets: &[(&str, &str, Value)]) -> Bench {
        Bench::on(seed, Arc::new(Store::in_memory().unwrap()), targets)
    }

    pub(crate) fn on(seed: u64, store: Arc<Store>, targets: &[(&str, &str, Value)]) -> Bench {
        let sim = Sim::new(seed);
        let dir = TempDir::new().unwrap();
        let engine = sim.open(store, dir.path()).unwrap();
        let targets: Vec<Value> = targets
            .iter()
            .map(|(name, action, params)| {
                let mut doc = serde_json::to_value(target(name, "box", params)).unwrap();
                doc["action"] = json!(action);
                doc
            })
            .collect();
        let sharings: Vec<Value> =
            targets.iter().map(|t| json!({ "source": "any", "rule": "bad", "target": t["name"] })).collect();
        let file: ConfigFile = serde_json::from_value(json!({
            "connection": [
                serde_json::to_value(connection("feed", "sim-feed", Some("feed"))).unwrap(),
                serde_json::to_value(connection("box", "sim-box", Some("box"))).unwrap(),
            ],
            "target": targets,
            "rule": [{ "name": "bad", "when": "reputation >= 5" }],
            "sharing": sharings,
        }))
        .unwrap();
        engine.apply(&file, "test", false).unwrap();
        Bench { sim, engine: Some(engine), dir }
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    /// The process ends and starts again.
    pub(crate) fn restart(&mut self) {
        let store = self.engine.take().unwrap().into_store();
        self.engine = Some(self.sim.open(store, self.dir.path()).unwrap());
    }

    /// The process ends, and another store is there when it starts again.
    pub(crate) fn restart_on(&mut self, store: Store) {
        drop(self.engine.take());
        self.engine = Some(self.sim.open(store, self.dir.path()).unwrap());
    }

    pub(crate) fn close(&mut self) {
        drop(self.engine.take());
    }

    pub(crate) fn tool<T>(&self, f: impl FnOnce(&mut Tool) -> T) -> T {
        self.sim.tool("box", f)
    }

    /// What the feed lists from now on, with reputations.
    pub(crate) fn feed(&self, values: impl IntoIterator<Item = (String, i64)>) {
        let items = values.into_iter();
        let items = items.map(|(v, reputation)| (v, Item { reputation, tag: None, seq: 0, retracted: false }));
        self.sim.product("feed", |p| p.items = items.collect());
        self.sim.wait(MINUTE);
        let report = self.engine().pull("feed", &Silent).unwrap();
        if report.status == "suspect" {
            self.engine().approve_run(intel::RunId(report.run), "test").unwrap();
        }
    }

    pub(crate) fn try_share(&self, name: &str) -> Result<ShareReport, EngineError> {
        let report = self.engine().share(name, Mode { approve: true, ..Mode::default() }, &Silent)?;
        let planned = report.push + report.update + report.retract;
        assert_eq!(planned, report.accepted + report.refused + report.unknown + report.deferred, "{report:?}");
        let undone = report.refused + report.unknown + report.deferred;
        assert!(report.status != "success" || undone == 0, "{report:?}");
        Ok(report)
    }

    pub(crate) fn share(&self, name: &str) -> ShareReport {
        self.try_share(name).unwrap()
    }

    pub(crate) fn verify(&self, name: &str) -> VerifyReport {
        self.engine().verify(name, Verify { believe: false, all: true }).unwrap()
    }

    /// How many lines are in a state.
    pub(crate) fn count(&self, name: &str, state: &str) -> usize {
        let state = intel::sharing::LineState::parse(state);
        self.engine().deliveries(Some(name), state, None, 100_000).unwrap().0.len()
    }

    /// Passes until nothing is left to do; past back-off, lag and breaker.
    pub(crate) fn rest(&self, name: &str) {
        for _ in 0..12 {
            self.sim.wait(HOUR);
            let report = self.share(name);
            if report.push + report.update + report.retract == 0 && report.status == "success" {
                return;
            }
        }
        let report = self.share(name);
        panic!("it does not come to rest: {report:?}");
    }
}

fn values(range: std::ops::Range<u64>) -> Vec<(String, i64)> {
    range.map(|n| (value(n), 7)).collect()
}

/// One entry of 500 makes a destination refuse the whole call without a word about which one it is. At every place in
/// the batch (500 cases, in `share::bisect`) and here at five places through the engine: 499 entries are accepted, each
/// sent once to where it stays, one line is refused with the destination's words, and at most 2·log2(500) = 17 calls
/// more are made. It is offered again after 1, 2, 4, then every 7 days, and told as exhausted after five refusals.
#[test]
fn f41_one_bad_entry_does_not_keep_the_others_out() {
    for bad in [0, 1, 250, 498, 499] {
        let bench = Bench::new(1, &[("t", "look", json!({}))]);
        bench.feed(values(0..500));
        bench.tool(|tool| tool.poison.insert(value(bad)));
        let report = bench.share("t");
        assert_eq!((report.accepted, report.refused, report.status.as_str()), (499, 1, "partial"), "{report:?}");
        let calls = bench.tool(|tool| tool.n_calls("push"));
        assert!(calls - 1 <= 17, "{calls} calls for {bad}");
        let (lines, _) =
            bench.engine().deliveries(Some("t"), Some(intel::sharing::LineState::Refused), None, 10).unwrap();
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].value.as_deref(), Some(value(bad).as_str()));
        assert_eq!(lines[0].words.as_deref(), Some("400: malformed entity in request"));
        assert!(!lines[0].exhausted);
    }
    // What is refused is left alone for a while, then offered again, ever more rarely.
    let bench = Bench::new(1, &[("t", "look", json!({}))]);
    bench.feed(values(0..3));
    bench.tool(|tool| tool.poison.insert(value(1)));
    bench.share("t");
    let mut days = Vec::new();
    for day in 1..=30 {
        bench.sim.wait(24 * HOUR);
        let before = bench.tool(|tool| tool.n_calls("push"));
        bench.share("t");
        if bench.tool(|tool| tool.n_calls("push")) > before {
            days.push(day);
        }
    }
    assert_eq!(days, [1, 3, 7, 14, 21, 28]);
    let (lines, _) = bench.engine().deliveries(Some("t"), None, None, 10).unwrap();
    assert!(lines.iter().any(|line| line.exhausted && line.state == "refused"), "{lines:?}");
    // And it goes through once the destination takes it.
    bench.tool(|tool| tool.poison.clear());
    bench.sim.wait(8 * 24 * HOUR);
    assert_eq!(bench.share("t").accepted, 1);
}

/// A destination that takes a second push as a second entry applies what it was sent and then hangs, in 30 % of the calls,
/// and shows what was written only 15 minutes later. 20 histories of 200 entries each in CI: when it has come to rest
/// every wanted entry is there exactly once, and what is no longer wanted is not there.
#[test]
fn f40_a_push_that_timed_out_is_settled_by_asking() {
    for seed in seeds(20) {
        let bench = Bench::new(seed, &[("t", "append", json!({}))]);
        let mut dice = Dice(seed);
        bench.tool(|tool| {
            tool.lost = 30;
            tool.lag = 15 * MINUTE;
        });
        for round in 0..6 {
            let from = round * 20;
            bench.feed(values(from..from + 200));
            for _ in 0..3 {
                bench.share("t");
                bench.sim.wait(Duration::from_secs(60 * dice.below(20)));
            }
        }
        bench.tool(|tool| tool.lost = 0);
        bench.rest("t");
        let wanted: Vec<String> = values(100..300).into_iter().map(|(v, _)| v).collect();
        assert_eq!(bench.tool(|tool| tool.ours()), wanted, "seed {seed}");
    }
}

/// As above where only everything can be read: what is unknown is settled from one reading.
#[test]
fn f40_a_push_that_timed_out_is_settled_by_reading_everything() {
    for seed in seeds(20) {
        let bench = Bench::new(seed, &[("t", "read", json!({}))]);
        bench.tool(|tool| tool.lost = 30);
        for round in 0..6 {
            bench.feed(values(round * 5..round * 5 + 60));
            for _ in 0..3 {
                bench.share("t");
                bench.sim.wait(MINUTE);
            }
        }
        bench.tool(|tool| tool.lost = 0);
        bench.rest("t");
        let wanted: Vec<String> = values(25..85).into_iter().map(|(v, _)| v).collect();
        assert_eq!(bench.tool(|tool| tool.ours()), wanted, "seed {seed}");
        // One reading for any number of unknown lines, never one a line.
        assert!(bench.tool(|tool| tool.n_calls("read")) <= 40);
    }
}

/// Entries that others have there already, answers that are lost, and a list that shows everything 15 minutes late, in
/// 200 histories (5,000 with IOCAST_SEEDS=5000): what others put there is recorded as foreign and never changed or
/// removed, nothing of ours is there twice, and what is missing from an answer inside the lag is not sent again.
#[test]
fn f42_already_there_and_lagging_behind() {
    for seed in seeds(200) {
        let mut dice = Dice(seed ^ 0x42);
        let bench = Bench::new(seed, &[("t", "append", json!({}))]);
        let theirs: Vec<String> = (0..4).map(|_| value(dice.below(12))).collect();
        bench.tool(|tool| {
            tool.lag = 15 * MINUTE;
            tool.lost = 25;
            tool.busy = 10;
        });
        for entry in &theirs {
            bench.tool(|tool| {
                if !tool.foreign().contains(entry) {
                    tool.others_add(entry);
                }
            });
        }
        let before = bench.tool(|tool| tool.foreign());
        let mut wanted = Vec::new();
        for _ in 0..5 {
            wanted = (0..12).filter(|_| dice.chance(50)).map(value).collect();
            if wanted.is_empty() {
                wanted.push(value(0));
            }
            bench.feed(wanted.iter().map(|v| (v.clone(), 7)));
            for _ in 0..dice.below(3) {
                bench.share("t");
                bench.sim.wait(Duration::from_secs(60 * dice.below(12)));
            }
        }
        bench.tool(|tool| (tool.lost, tool.busy) = (0, 0));
        bench.rest("t");
        wanted.retain(|v| !before.contains(v));
        bench.tool(|tool| {
            assert_eq!(tool.foreign(), before, "seed {seed}");
            assert_eq!(tool.damaged, Vec::<String>::new(), "seed {seed}");
            assert_eq!(tool.ours(), wanted, "seed {seed}");
        });
    }
}

/// A destination answers every call with 500 for an hour. Three targets of its one connection are passed over every ten
/// seconds, as impatient people do: after five failures in a row one call a minute is made, at most 65 in all, and no
/// line is left in doubt by a call that was not made. When it works again everything goes through.
#[test]
fn f39_a_failing_destination_is_spared() {
    let targets =
        [("a", "look", json!({ "list": "a" })), ("b", "blind-stage", json!({})), ("c", "expiring", json!({}))];
    let bench = Bench::new(1, &targets);
    bench.feed(values(0..3));
    bench.tool(|tool| tool.fails = Some(ConnectorError::Later { wait: None, why: "answered 500".into() }));
    for _ in 0..360 {
        for name in ["a", "b", "c"] {
            let report = bench.share(name);
            assert_eq!(report.accepted, 0);
            assert_ne!(report.status, "success");
        }
        bench.sim.wait(Duration::from_secs(10));
    }
    let calls = bench.tool(|tool| tool.calls.len());
    assert!((60..=65).contains(&calls), "{calls} calls in an hour");
    bench.tool(|tool| tool.fails = None);
    for name in ["a", "b", "c"] {
        bench.rest(name);
        assert_eq!(bench.count(name, "present"), 3, "{name}");
    }
}

/// The address and the credentials stay the same, and belong to another tenant all of a sudden. Nothing is pushed,
/// retracted, replaced or deployed there, in any of six styles, until a person adopts what is there; a destination that
/// stops saying who we are counts as another one.
#[test]
fn f48_nothing_is_sent_to_another_tenant() {
    for action in ["look", "read", "append", "stage", "shared", "plain"] {
        let bench = Bench::new(1, &[("t", action, json!({}))]);
        bench.tool(|tool| tool.identity = Some("tenant-1".into()));
        bench.feed(values(0..5));
        bench.rest("t");
        let effects = |tool: &mut Tool| {
            ["push", "retract", "replace", "deploy"].iter().map(|verb| tool.n_calls(verb)).sum::<usize>()
        };
        // Another place, in which others have something.
        bench.tool(|tool| {
            tool.identity = Some("tenant-2".into());
            tool.things.clear();
            tool.others_add("theirs.example.net");
        });
        let before = bench.tool(effects);
        bench.feed(values(3..9));
        for _ in 0..5 {
            let report = bench.share("t");
            assert_eq!((report.status.as_str(), report.accepted), ("failed", 0), "{action}: {report:?}");
            assert!(report.error.unwrap().contains("tenant-2"));
            bench.sim.wait(HOUR);
        }
        assert_eq!(bench.verify("t").status, "failed");
        assert_eq!(bench.tool(effects), before, "{action}");
        bench.tool(|tool| assert_eq!(tool.foreign(), ["theirs.example.net"]));
        // A person looks, and says that this is the place.
        let preview = bench.engine().adopt("t", engine::Adopt::default(), "test").unwrap();
        assert_eq!(
            (preview.identity_before.as_deref(), preview.identity.as_deref()),
            (Some("tenant-1"), Some("tenant-2"))
        );
        assert_eq!((preview.gone, preview.applied), (5, false), "{action}: {preview:?}");
        let done = bench.engine().adopt("t", engine::Adopt { apply: true, ..Default::default() }, "test").unwrap();
        assert!(done.applied);
        bench.rest("t");
        bench.tool(|tool| {
            assert_eq!(tool.ours(), values(3..9).into_iter().map(|(v, _)| v).collect::<Vec<_>>(), "{action}");
            assert_eq!(tool.foreign(), ["theirs.example.net"], "{action}");
        });
        // Silence is no consent.
        bench.tool(|tool| tool.identity = Some(String::new()));
        bench.feed(values(0..9));
        assert_eq!(bench.share("t").status, "failed");
    }
}

/// What was sent and not deployed is not said to be there; a failed deployment is tried again without sending anything
/// twice; what others have pending is not activated by us.
#[test]
fn what_is_staged_is_there_when_it_is_deployed() {
    for action in ["stage", "blind-stage"] {
        let bench = Bench::new(1, &[("t", action, json!({}))]);
        bench.feed(values(0..12));
        bench.tool(|tool| tool.others_pending = true);
        let report = bench.share("t");
        assert_eq!((report.status.as_str(), report.accepted, report.unknown), ("failed", 0, 12), "{report:?}");
        assert_eq!((bench.count("t", "pending"), bench.count("t", "present")), (12, 0));
        let pushes = bench.tool(|tool| tool.n_calls("push"));
        for _ in 0..3 {
            bench.sim.wait(HOUR);
            let report = bench.share("t");
            assert_eq!((report.push, report.status.as_str()), (0, "failed"), "{report:?}");
        }
        bench.tool(|tool| {
            assert_eq!(tool.n_calls("push"), pushes, "{action}: nothing is sent again");
            assert_eq!(tool.ours(), Vec::<String>::new());
            tool.others_pending = false;
        });
        bench.sim.wait(HOUR);
        assert_eq!(bench.share("t").status, "success");
        assert_eq!((bench.tool(|tool| tool.ours().len()), bench.count("t", "present")), (12, 12));
        // What is taken back is there until that is deployed.
        bench.feed(values(6..12));
        bench.tool(|tool| tool.others_pending = true);
        bench.share("t");
        assert_eq!((bench.count("t", "retracting"), bench.tool(|tool| tool.ours().len())), (6, 12));
        bench.tool(|tool| tool.others_pending = false);
        bench.rest("t");
        assert_eq!((bench.count("t", "gone"), bench.tool(|tool| tool.ours().len())), (6, 6));
    }
}

/// The process stops at each step of a pass over a destination that deploys, one after the other, and starts again; one
/// that can be asked and one that cannot. Whatever was sent or deployed by then: entries come to be there, each once, the
/// ledger says so only when they are, and what is taken back goes.
#[test]
fn a_stop_between_staging_and_deploying_loses_nothing() {
    for action in ["stage", "blind-stage"] {
        let mut n_stopped = 0;
        for stop_in in 0..40 {
            let mut bench = Bench::new(1, &[("t", action, json!({}))]);
            bench.feed(values(0..6));
            let share = |bench: &Bench| bench.engine().share("t", Mode { approve: true, ..Mode::default() }, &Silent);
            let mut stopped_at = |bench: &mut Bench| {
                bench.sim.lock().stop_in = Some(stop_in);
                let stopped = matches!(share(bench), Err(EngineError::Stopped(_)));
                bench.sim.lock().stop_in = None;
                if stopped {
                    n_stopped += 1;
                    bench.restart();
                    let there = bench.tool(|tool| tool.ours().len());
                    assert!(bench.count("t", "present") <= there, "{action} {stop_in}: not there, and said to be");
                }
                stopped
            };
            let first = stopped_at(&mut bench);
            bench.sim.wait(HOUR);
            bench.rest("t");
            assert_eq!((bench.count("t", "present"), bench.tool(|t| t.ours().len())), (6, 6), "{action} {stop_in}");
            bench.feed(values(3..6));
            let second = stopped_at(&mut bench);
            bench.sim.wait(HOUR);
            bench.rest("t");
            assert_eq!((bench.count("t", "present"), bench.tool(|t| t.ours().len())), (3, 3), "{action} {stop_in}");
            if !first && !second {
                break;
            }
            assert!(stop_in < 39, "{action}: there is no end of steps");
        }
        assert!(n_stopped >= 8, "{action}: {n_stopped} stops");
    }
}

/// The exchange dies: every entry that was sent with an end is gone from the destination when that has passed, and none
/// that others put there. On the virtual clock, 91 days.
#[test]
fn b18_every_entry_dies_by_itself() {
    let bench = Bench::new(1, &[("t", "expiring", json!({}))]);
    bench.feed(values(0..50));
    bench.tool(|tool| tool.others_add("theirs.example.net"));
    bench.rest("t");
    assert_eq!(bench.tool(|tool| tool.ours().len()), 50);
    assert!(bench.tool(|tool| tool.things.iter().filter(|t| t.mark.is_some()).all(|t| t.expires.is_some())));
    // While it lives it renews them.
    for _ in 0..20 {
        bench.sim.wait(10 * 24 * HOUR);
        bench.feed(values(0..50));
        bench.share("t");
    }
    let now = bench.sim.lock().now;
    bench.tool(|tool| tool.things.retain(|t| t.expires.is_none_or(|expires| expires > now)));
    assert_eq!(bench.tool(|tool| tool.ours().len()), 50, "renewed");
    let mut bench = bench;
    bench.close();
    bench.sim.wait(91 * 24 * HOUR);
    let now = bench.sim.lock().now;
    bench.tool(|tool| {
        tool.things.retain(|thing| thing.expires.is_none_or(|expires| expires > now));
        assert_eq!(tool.ours(), Vec::<String>::new());
        assert_eq!(tool.foreign(), ["theirs.example.net"]);
    });
}

/// What somebody else has taken over since is not taken back: it is asked about first, one by one or by reading
/// everything.
#[test]
fn an_entry_that_lost_our_mark_is_not_taken_back() {
    for action in ["look", "read"] {
        let bench = Bench::new(1, &[("t", action, json!({}))]);
        bench.feed(values(0..40));
        bench.rest("t");
        bench.tool(|tool| tool.things[1].mark = None);
        let taken = bench.tool(|tool| tool.things[1].entry.clone());
        let before = bench.tool(|tool| tool.n_calls("read"));
        bench.feed([(value(90), 7)]);
        bench.share("t");
        let reads = bench.tool(|tool| tool.n_calls("read")) - before;
        assert_eq!(reads, usize::from(action == "read"), "one reading says it of all six batches");
        bench.rest("t");
        bench.tool(|tool| {
            assert_eq!(tool.foreign(), [taken], "{action}");
            assert_eq!((tool.ours(), tool.damaged.len()), (vec![value(90)], 0), "{action}");
        });
    }
}

/// Where only everything can be read and the reading is cut or empty, nothing is taken back that it does not show: it may
/// be somebody else's by now. The rest goes, what is new goes, and a person is told.
#[test]
fn what_a_reading_does_not_show_is_not_taken_back() {
    for shows in [Shows::Cut, Shows::Nothing] {
        let bench = Bench::new(1, &[("t", "read", json!({}))]);
        bench.feed(values(0..20));
        bench.rest("t");
        // The second of them is not among what a cut reading shows.
        bench.tool(|tool| {
            tool.things[1].mark = None;
            tool.shows = shows;
        });
        let taken = bench.tool(|tool| tool.things[1].entry.clone());
        bench.feed([(value(90), 7)]);
        let report = bench.share("t");
        let shown = if shows == Shows::Cut { 10 } else { 0 };
        assert_eq!((report.accepted, report.deferred, report.status.as_str()), (shown + 1, 20 - shown, "failed"));
        assert!(report.error.unwrap().contains("not taken back"), "{shows:?}");
        bench.tool(|tool| {
            assert!(tool.damaged.is_empty() && tool.foreign() == [taken.clone()], "{shows:?}");
            assert!(tool.ours().contains(&value(90)), "{shows:?}");
            tool.shows = Shows::All;
        });
        bench.rest("t");
        bench.tool(|tool| {
            assert_eq!((tool.foreign(), tool.ours()), (vec![taken], vec![value(90)]), "{shows:?}");
            assert!(tool.damaged.is_empty());
        });
    }
}

/// Shown: 429 says that nothing was begun, so nothing is left in doubt by it: lines stay what they were, steps wait, and
/// nothing counts against the budget; in every style. An answer that was lost leaves its lines unknown, as it must.
/// How: each style in memory, answering 429 to every second kind of call: when it is to add, to change and to take back.
/// Figures: 6 styles.
#[test]
fn f38_an_answer_of_429_leaves_nothing_in_doubt() {
    for action in ["look", "append", "expiring", "stage", "shared", "plain"] {
        let bench = Bench::new(1, &[("t", action, json!({}))]);
        bench.feed(values(0..12));
        let busy_at = |verb: &'static [&'static str]| {
            bench.tool(|tool| {
                tool.others = Some(Box::new(move |next, tool| {
                    tool.busy = if verb.contains(&next) { 100 } else { 0 };
                }));
            });
        };
        busy_at(&["push", "replace"]);
        let report = bench.share("t");
        assert_eq!(
            (report.status.as_str(), report.unknown, report.deferred),
            ("failed", 0, 12),
            "{action}: {report:?}"
        );
        assert_eq!((bench.count("t", "pending"), bench.count("t", "unknown")), (0, 0), "{action}");
        assert_eq!(report.budget.unwrap().adds.used_24h, 0);
        busy_at(&[]);
        bench.sim.wait(HOUR);
        bench.rest("t");
        assert_eq!(bench.tool(|tool| tool.ours().len()), 12, "{action}");
        bench.feed(values(6..12));
        busy_at(&["retract", "replace"]);
        let report = bench.share("t");
        assert_eq!((report.unknown, report.deferred), (0, 6), "{action}: {report:?}");
        assert_eq!((bench.count("t", "retracting"), bench.count("t", "present")), (0, 12), "{action}");
        busy_at(&[]);
        bench.rest("t");
        assert_eq!(bench.tool(|tool| tool.ours().len()), 6, "{action}");
        bench.tool(|tool| tool.lost = 100);
        bench.feed(values(6..20));
        let report = bench.share("t");
        // A list is read at once, and shows that it was written.
        let is_read = matches!(action, "shared" | "plain");
        assert!(if is_read { report.accepted == 8 } else { report.unknown > 0 }, "{action}: {report:?}");
    }
}

/// What was taken by a destination that deploys is not said to be accepted where a later batch fails before the deployment.
#[test]
fn what_is_staged_when_a_later_batch_fails_is_not_accepted() {
    for action in ["stage", "blind-stage"] {
        let bench = Bench::new(1, &[("t", action, json!({}))]);
        bench.feed(values(0..12));
        bench.tool(|tool| {
            let mut n = 0;
            tool.others = Some(Box::new(move |next, tool| {
                n += u64::from(next == "push");
                tool.busy = if n == 2 { 100 } else { 0 };
            }));
        });
        let report = bench.share("t");
        let told = (report.accepted, report.unknown, report.deferred, report.status.as_str());
        assert_eq!(told, (0, 5, 7, "failed"), "{action}: {report:?}");
        assert!(bench.tool(|tool| tool.ours().is_empty()));
        bench.tool(|tool| (tool.others, tool.busy) = (None, 0));
        bench.rest("t");
        assert_eq!(bench.tool(|tool| tool.ours().len()), 12, "{action}");
    }
}

/// What a destination would not take is listed as refused, whatever it was: a new entry, a change, or the removal of one
/// that is there all the same; each with its words, until it takes it.
#[test]
fn what_was_refused_is_listed_whatever_it_was() {
    let bench = Bench::new(1, &[("t", "look", json!({}))]);
    bench.feed(values(0..4));
    bench.rest("t");
    bench.tool(|tool| {
        tool.keeps.insert(value(0));
        tool.poison.extend([value(1), value(9)]);
    });
    bench.feed([(value(1), 9), (value(2), 7), (value(3), 7), (value(9), 7)]);
    let report = bench.share("t");
    assert_eq!((report.refused, report.status.as_str()), (3, "partial"), "{report:?}");
    let refused = || {
        let state = Some(intel::sharing::LineState::Refused);
        let (lines, _) = bench.engine().deliveries(Some("t"), state, None, 10).unwrap();
        let shown = lines.iter().map(|line| (line.value.clone().unwrap(), line.state, line.refused.unwrap()));
        assert!(lines.iter().all(|line| line.words.as_deref().is_some_and(|words| words.starts_with("40"))));
        shown.collect::<Vec<_>>()
    };
    let all = [(value(0), "present", "removal"), (value(1), "present", "change"), (value(9), "refused", "entry")];
    assert_eq!(refused(), all);
    let (present, _) =
        bench.engine().deliveries(Some("t"), Some(intel::sharing::LineState::Present), None, 10).unwrap();
    assert_eq!(present.len(), 4, "they are there, too");
    bench.tool(|tool| (tool.keeps.clear(), tool.poison.clear()));
    bench.sim.wait(30 * 24 * HOUR);
    bench.share("t");
    assert_eq!(refused(), []);
}
