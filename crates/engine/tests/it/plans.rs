//! Budgets, held plans, freeze and undo: what a person can stop, allow and take back.

use crate::sim::{Dice, Held, Item, Sim, Trouble, connection, target};
use engine::{ConfigFile, Engine, EngineError, Mode, Part, ShareReport, Silent};
use intel::{RunId, Timestamp, Verdict, VerdictKind};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use tempfile::TempDir;

pub(crate) struct Desk {
    pub(crate) sim: Sim,
    pub(crate) engine: Arc<Engine>,
    dice: Dice,
    _dir: TempDir,
}

pub(crate) type There = BTreeSet<String>;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

pub(crate) fn value(n: u64) -> String {
    format!("9.{}.{}.{}", n / 62_500 % 250, n / 250 % 250, n % 250 + 1)
}

impl Desk {
    pub(crate) fn new(seed: u64, policy: &Value) -> Desk {
        let sim = Sim::new(seed);
        let dir = TempDir::new().unwrap();
        let engine = Arc::new(sim.open(Store::in_memory().unwrap(), dir.path()).unwrap());
        let desk = Desk { sim, engine, dice: Dice(seed), _dir: dir };
        let mut feed: Value = serde_json::to_value(connection("feed", "sim-feed", Some("feed"))).unwrap();
        feed["may_be_empty"] = json!(true);
        desk.apply(&json!({
            "policy": policy,
            "connection": [
                feed,
                serde_json::to_value(connection("tool", "sim-tool", Some("tool"))).unwrap(),
                serde_json::to_value(connection("blind", "sim-blind", Some("blind"))).unwrap(),
                serde_json::to_value(connection("edge", "list", None)).unwrap(),
            ],
            "target": [
                serde_json::to_value(target("list", "edge", &json!({}))).unwrap(),
                serde_json::to_value(target("edr", "tool", &json!({}))).unwrap(),
                serde_json::to_value(target("wall", "blind", &json!({}))).unwrap(),
            ],
            "rule": [{ "name": "all", "when": "reputation >= 2" }],
            "sharing": [
                { "source": "feed", "rule": "all", "target": "list" },
                { "source": "feed", "rule": "all", "target": "edr" },
                { "source": "feed", "rule": "all", "target": "wall" }
            ]
        }));
        desk
    }

    pub(crate) fn apply(&self, file: &Value) {
        let file: ConfigFile = serde_json::from_value(file.clone()).unwrap();
        self.engine.apply(&file, "ann", false).unwrap();
    }

    pub(crate) fn lists(&self, values: impl IntoIterator<Item = (u64, i64)>) {
        let item = |reputation| Item { reputation, tag: None, seq: 0, retracted: false };
        let items = values.into_iter().map(|(n, reputation)| (value(n), item(reputation))).collect();
        self.sim.product("feed", |p| p.items = items);
        self.pass_time(60);
        let report = self.engine.pull("feed", &Silent).unwrap();
        if report.status == "suspect" {
            self.engine.approve_run(RunId(report.run), "ann").unwrap();
        }
    }

    pub(crate) fn pass_time(&self, secs: u64) {
        let mut state = self.sim.lock();
        state.now = state.now.after(Duration::from_secs(secs));
    }

    pub(crate) fn share(&self, name: &str) -> ShareReport {
        self.engine.share(name, Mode::default(), &Silent).unwrap()
    }

    pub(crate) fn share_all(&self, name: &str) -> ShareReport {
        self.engine.share(name, Mode { approve: true, ..Mode::default() }, &Silent).unwrap()
    }

    /// Passes until nothing is left to do.
    pub(crate) fn quiet(&self, name: &str) {
        for _ in 0..20 {
            self.pass_time(3 * 3600);
            let report = self.share(name);
            if report.push + report.update + report.retract == 0 && report.error.is_none() {
                return;
            }
        }
        panic!("{name} does not come to rest");
    }

    /// What of ours is at a target, by its own word.
    pub(crate) fn there(&self, name: &str) -> There {
        let product = match name {
            "edr" => "tool",
            "wall" => "blind",
            _ => {
                let body = self.engine.list(name).map(|list| list.body.read().unwrap()).unwrap_or_default();
                return String::from_utf8(body).unwrap().lines().map(str::to_owned).collect();
            }
        };
        self.sim.product(product, |p| p.held.iter().filter(|(_, h)| h.ours).map(|(v, _)| v.clone()).collect())
    }

    pub(crate) fn target_id(&self, name: &str) -> intel::TargetId {
        self.engine.config().target(name).unwrap().id
    }

    pub(crate) fn last_run(&self, name: &str) -> RunId {
        let filter = store::RunFilter { kind: Some("share"), subject: Some(name), status: None };
        self.engine.store().runs(filter, 1, None).unwrap()[0].id
    }

    pub(crate) fn undo(&self, run: RunId, name: &str) {
        let plan = self.engine.undo_run(run, "ann").unwrap();
        self.engine.approve_plan(plan.id, "ann", None).unwrap();
        self.quiet(name);
    }

    /// Some of what is listed goes, and something comes.
    pub(crate) fn change(&mut self, now: &mut BTreeMap<u64, i64>, bound: u64) {
        for _ in 0..1 + self.dice.below(6) {
            let n = self.dice.below(bound);
            if now.remove(&n).is_none() {
                now.insert(n, 5);
            }
        }
        self.lists(now.clone());
    }
}

#[test]
fn a_run_is_undone_and_stays_undone_until_a_person_lifts_it() {
    for name in ["list", "edr", "wall"] {
        let desk = Desk::new(1, &json!({}));
        desk.lists([(1, 5), (2, 5), (3, 5)]);
        desk.share(name);
        let before = desk.there(name);
        desk.lists([(2, 5), (3, 5), (4, 5), (5, 5)]);
        desk.share(name);
        let run = desk.last_run(name);
        // The source goes away altogether.
        desk.lists([]);
        let plan = desk.engine.undo_run(run, "ann").unwrap();
        assert_eq!((plan.status.as_str(), plan.kind.as_str(), plan.pins), ("waiting", "undo", 3), "{plan:?}");
        assert_eq!((plan.push, plan.retract), (1, 2), "{plan:?}");
        let again = desk.engine.undo_run(run, "ann").unwrap();
        assert_eq!(again.id, plan.id, "asking twice makes one plan");
        desk.engine.approve_plan(plan.id, "bob", Some("wrong feed")).unwrap();
        let report = desk.share(name);
        // What the empty source takes back is another matter, and waits: two removals would empty nothing here.
        assert!(desk.there(name).contains(&value(1)), "{name} {report:?}");
        assert!(!desk.there(name).contains(&value(4)) && !desk.there(name).contains(&value(5)), "{name} {report:?}");
        desk.lists([(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]);
        desk.quiet(name);
        assert_eq!(desk.there(name), before, "{name}");
        let why = desk.engine.why(&value(4), None).unwrap();
        let told = why.targets.iter().find(|t| t.target == name).unwrap();
        assert!(told.code == "undone" && told.why.contains("bob"), "{told:?}");
        assert_eq!(desk.engine.pins(name).unwrap().len(), 3);
        // A verdict beats a pin.
        let safe = Verdict { kind: VerdictKind::Safe, until: None };
        desk.engine.verdict(&value(1), None, Some(safe), "ann").unwrap();
        desk.quiet(name);
        assert!(!desk.there(name).contains(&value(1)));
        desk.engine.verdict(&value(1), None, None, "ann").unwrap();
        assert_eq!(desk.engine.unpin(name, Some(&[value(4)]), "ann").unwrap(), 1);
        desk.quiet(name);
        assert_eq!(desk.there(name), before.iter().cloned().chain([value(4)]).collect(), "{name}");
        assert_eq!(desk.engine.unpin(name, None, "ann").unwrap(), 2);
        desk.quiet(name);
        assert_eq!(desk.there(name).len(), 5, "{name}");
    }
}

#[test]
fn an_undo_is_undone_and_a_target_is_returned_to_a_time() {
    let desk = Desk::new(2, &json!({}));
    desk.lists((1..=6).map(|n| (n, 5)));
    desk.share("edr");
    let then = desk.sim.lock().now;
    let first = desk.there("edr");
    desk.lists((4..=9).map(|n| (n, 5)));
    desk.share("edr");
    let second = desk.there("edr");
    desk.undo(desk.last_run("edr"), "edr");
    assert_eq!(desk.there("edr"), first);
    let filter = store::RunFilter { kind: Some("share"), subject: Some("edr"), status: Some("success") };
    let carried = desk.engine.store().runs(filter, 50, None).unwrap();
    let carried = carried.iter().find(|run| run.report.contains("\"retract\":3")).unwrap().id;
    desk.undo(carried, "edr");
    assert_eq!(desk.there("edr"), second);
    assert!(desk.engine.pins("edr").unwrap().is_empty(), "{:?}", desk.engine.pins("edr"));
    let plan = desk.engine.return_target("edr", then.after(Duration::from_secs(1)), "ann").unwrap();
    assert_eq!((plan.kind.as_str(), plan.push, plan.retract), ("return", 3, 3));
    desk.engine.approve_plan(plan.id, "ann", None).unwrap();
    desk.quiet("edr");
    assert_eq!(desk.there("edr"), first);
    let ahead = desk.sim.lock().now.after(Duration::from_secs(9));
    assert!(matches!(desk.engine.return_target("edr", ahead, "ann"), Err(EngineError::Invalid(_))));
    assert!(matches!(desk.engine.undo_run(RunId(9_999), "ann"), Err(EngineError::NotFound(_))));
}

/// Undo pressed at a random moment of a run, while answers are lost and calls are answered 429, at a tool that can be
/// asked and at one that cannot (60 moments; as many as `IOCAST_SEEDS` says): the run stops before its next call, what
/// is unknown is settled, and once the plan is approved the tool holds what it held before that run. A person's later
/// entry is left alone, and nothing of the undone run comes back by itself.
#[test]
fn f65_an_undo_pressed_during_a_run_takes_all_of_it_back() {
    for seed in 1..=number("IOCAST_SEEDS", 60) {
        let (name, product) = if seed % 2 == 0 { ("edr", "tool") } else { ("wall", "blind") };
        let mut desk = Desk::new(seed, &json!({}));
        let mut now: BTreeMap<u64, i64> = (0..30).map(|n| (n, 5)).collect();
        desk.lists(now.clone());
        desk.share(name);
        let before = desk.there(name);
        assert_eq!(before.len(), 30);
        for _ in 0..6 {
            desk.change(&mut now, 45);
        }
        desk.sim.product(product, |p| p.trouble = Trouble { busy: 5, lost: 15, refuse: 0 });
        let target = desk.target_id(name);
        let undone = Arc::new(std::sync::Mutex::new(None));
        let (engine, slot, subject) = (desk.engine.clone(), undone.clone(), name.to_owned());
        let press = move || {
            let filter = store::RunFilter { kind: Some("share"), subject: Some(&subject), status: None };
            let run = engine.store().runs(filter, 1, None).unwrap()[0].id;
            let other = engine.clone();
            *slot.lock().unwrap() = Some((run, std::thread::spawn(move || other.undo_run(run, "ann"))));
            while !engine.is_halted(target) {
                std::thread::yield_now();
            }
        };
        let moment = desk.dice.below(24);
        desk.sim.lock().then = Some((moment, Box::new(press)));
        let report = desk.share(name);
        desk.sim.lock().then = None;
        let Some((run, thread)) = undone.lock().unwrap().take() else {
            assert!(report.error.is_some() || report.push + report.retract < 24, "seed {seed}");
            continue;
        };
        let plan = thread.join().unwrap();
        let Ok(plan) = plan else {
            assert_eq!(desk.there(name), before, "seed {seed}: {plan:?}, and yet run {run} did something");
            continue;
        };
        assert!(plan.halts, "seed {seed}: a run that was stopped keeps its target still");
        let still = desk.share(name);
        assert!(still.status == "frozen" || still.push + still.retract == 0, "seed {seed}: {still:?}");
        assert_eq!(still.accepted, 0, "seed {seed}");
        desk.sim.product(product, |p| {
            p.trouble = Trouble::default();
            p.held.insert("9.9.9.250".into(), Held { remote_id: "x".into(), ours: false, reputation: 0 });
        });
        desk.engine.approve_plan(plan.id, "ann", None).unwrap();
        desk.quiet(name);
        assert_eq!(desk.there(name), before, "seed {seed}: run {run}, undone at step {moment}");
        desk.sim.product(product, |p| assert!(p.held.contains_key("9.9.9.250"), "seed {seed}"));
    }
}

/// A hundred runs are undone in a random order; after each the tool holds what a second calculation, from what was
/// seen at the tool before and after every run, says: in the end what was there before the first of them.
#[test]
fn a_hundred_runs_are_undone_in_any_order() {
    for seed in [7, 8] {
        let mut desk = Desk::new(seed, &json!({}));
        let mut now: BTreeMap<u64, i64> = (0..20).map(|n| (n, 5)).collect();
        desk.lists(now.clone());
        desk.share("edr");
        let first = desk.there("edr");
        // For each entry: by which run it came or went, and whether it was there before.
        let mut history: BTreeMap<String, Vec<(RunId, bool)>> = BTreeMap::new();
        let mut runs = Vec::new();
        while runs.len() < 100 {
            let before = desk.there("edr");
            desk.change(&mut now, 40);
            let report = desk.share_all("edr");
            assert_eq!(report.deferred, 0);
            let after = desk.there("edr");
            let moved: Vec<&String> = before.symmetric_difference(&after).collect();
            if moved.is_empty() {
                continue;
            }
            runs.push(RunId(report.run));
            for value in moved {
                history.entry(value.clone()).or_default().push((RunId(report.run), before.contains(value)));
            }
        }
        let last = desk.there("edr");
        let mut undone = BTreeSet::new();
        while !runs.is_empty() {
            let run = runs.swap_remove(desk.dice.below(runs.len() as u64) as usize);
            undone.insert(run);
            desk.undo(run, "edr");
            let mut expected = last.clone();
            for (value, effects) in &history {
                let Some(mut at) = effects.iter().rposition(|(run, _)| undone.contains(run)) else { continue };
                while at > 0 && undone.contains(&effects[at - 1].0) {
                    at -= 1;
                }
                if effects[at].1 {
                    expected.insert(value.clone())
                } else {
                    expected.remove(value)
                };
            }
            assert_eq!(desk.there("edr"), expected, "seed {seed}, after run {run}");
        }
        assert_eq!(desk.there("edr"), first, "seed {seed}");
    }
}

/// A tool is away for seven days while the feed changes every hour (168 changes). When it is back, one pass brings it the
/// net difference: no more calls than the difference needs in batches, and a tenth. What is taken back is looked at first.
#[test]
fn f69_a_tool_that_was_away_gets_the_net_difference() {
    for seed in 1..=5 {
        let mut desk = Desk::new(seed, &json!({}));
        let mut now: BTreeMap<u64, i64> = (0..150).map(|n| (n, 5)).collect();
        desk.lists(now.clone());
        desk.share("edr");
        let before = desk.there("edr");
        desk.sim.product("tool", |p| p.trouble.busy = 100);
        for _ in 0..7 * 24 {
            desk.pass_time(3_540);
            desk.change(&mut now, 400);
            desk.share("edr");
        }
        desk.sim.product("tool", |p| {
            p.trouble.busy = 0;
            p.calls.clear();
        });
        desk.pass_time(3_600);
        let report = desk.share_all("edr");
        let after = desk.there("edr");
        assert_eq!(after, now.keys().map(|n| value(*n)).collect::<There>(), "seed {seed} {report:?}");
        let (adds, removals) = (after.difference(&before).count(), before.difference(&after).count());
        let needed = adds.div_ceil(3) + 2 * removals.div_ceil(3);
        let calls = desk.sim.product("tool", |p| p.calls.len());
        assert!(
            calls <= needed + needed.div_ceil(10),
            "seed {seed}: {calls} calls for {adds} adds, {removals} removals"
        );
    }
}

/// A tool answers 429 for six hours while the feed goes on. Called when its back-off allows, as the loop does: it is
/// asked a few times, the other target is never late, and when it answers again the highest reputation goes first.
#[test]
fn f38_a_tool_that_is_busy_for_hours_keeps_nobody_waiting() {
    let desk = Desk::new(38, &json!({}));
    desk.lists((0..30).map(|n| (n, 3 + n as i64 % 7)));
    desk.share("edr");
    desk.share("wall");
    desk.sim.product("tool", |p| {
        p.trouble.busy = 100;
        p.calls.clear();
    });
    let mut listed = 30u64;
    for _ in 0..6 * 12 {
        desk.pass_time(240);
        listed += 3;
        desk.lists((0..listed).map(|n| (n, 3 + n as i64 % 7)));
        let report = desk.share("wall");
        assert_eq!((report.status.as_str(), report.accepted), ("success", 3), "the other is served at once");
        let state = desk.engine.store().target_state(desk.target_id("edr")).unwrap();
        let state = engine::state::TargetState::parse(state.as_deref());
        if state.not_before.is_none_or(|at| Timestamp::from_micros(at) <= desk.sim.lock().now) {
            desk.share("edr");
        }
    }
    let calls = desk.sim.product("tool", |p| p.calls.len());
    assert!((2..=40).contains(&calls), "{calls} calls in six hours of 429");
    desk.sim.product("tool", |p| {
        p.trouble.busy = 0;
        p.order.clear();
    });
    desk.pass_time(24 * 3600);
    desk.share("edr");
    assert_eq!(desk.there("edr").len() as u64, listed);
    let order: Vec<u8> = desk.sim.product("tool", |p| p.order.iter().map(|(_, reputation)| *reputation).collect());
    assert!(order.len() > 200 && order.windows(2).all(|pair| pair[0] >= pair[1]), "{order:?}");
}

/// A freeze at a random moment of a pass whose calls take a second each, a thousand times: the call whose intent is
/// written may still begin, and none begins later than two seconds after the freeze.
#[test]
fn a_freeze_stops_every_call_within_two_seconds() {
    let mut desk = Desk::new(99, &json!({ "budget": { "per_day": 1000 } }));
    let mut now: BTreeMap<u64, i64> = (0..40).map(|n| (n, 5)).collect();
    desk.lists(now.clone());
    desk.share("wall");
    desk.sim.product("blind", |p| p.slow = true);
    let (mut begun_after, mut in_the_middle) = (0, 0);
    for round in 0..number("IOCAST_TRIES", 1_000) {
        desk.change(&mut now, 80);
        desk.sim.product("blind", |p| p.calls.clear());
        let at = Arc::new(std::sync::Mutex::new(None));
        let (engine, sim, slot) = (desk.engine.clone(), desk.sim.clone(), at.clone());
        let freeze = move || {
            engine.freeze("ann", Some("stop")).unwrap();
            *slot.lock().unwrap() = Some(sim.lock().now);
        };
        let moment = desk.dice.below(8);
        desk.sim.lock().then = Some((moment, Box::new(freeze)));
        desk.engine.share("wall", Mode { approve: true, ..Mode::default() }, &Silent).unwrap();
        desk.sim.lock().then = None;
        if let Some(frozen) = *at.lock().unwrap() {
            in_the_middle += 1;
            let calls = desk.sim.product("blind", |p| p.calls.clone());
            let after: Vec<Timestamp> = calls.into_iter().filter(|call| *call >= frozen).collect();
            begun_after += after.len();
            assert!(
                after.len() <= 1 && after.iter().all(|call| call.since(frozen).as_secs() < 2),
                "{round}: {after:?}"
            );
            let before = desk.sim.product("blind", |p| p.calls.len());
            let report = desk.share("wall");
            assert!(report.status == "frozen" || report.push + report.retract == 0, "{report:?}");
            assert_eq!(desk.sim.product("blind", |p| p.calls.len()), before, "{round}: nothing begins while frozen");
            desk.engine.thaw("ann").unwrap();
        }
        desk.share_all("wall");
    }
    assert!(in_the_middle > 0 && begun_after > 0, "{in_the_middle} {begun_after}: the moments were not random");
    assert_eq!(desk.there("wall"), now.keys().map(|n| value(*n)).collect::<There>());
}

#[test]
fn a_file_in_the_data_directory_freezes() {
    let data = TempDir::new().unwrap();
    let sim = Sim::new(1);
    let engine = sim.open(Store::open(data.path()).unwrap(), &data.path().join("lists")).unwrap();
    assert!(!engine.is_frozen().unwrap());
    std::fs::write(data.path().join(engine::FREEZE_FILE), "disk is full\n").unwrap();
    let said = engine.frozen_by().unwrap().unwrap();
    assert!(engine.is_frozen().unwrap());
    assert_eq!((said.by.as_str(), said.note.as_deref()), ("file", Some("disk is full")));
    engine.thaw("ann").unwrap();
    assert!(!engine.is_frozen().unwrap() && !data.path().join(engine::FREEZE_FILE).exists());
}

#[test]
fn a_budget_is_what_the_target_says_else_the_policy() {
    let desk = Desk::new(
        3,
        &json!({ "budget": { "removals": { "percent": 50, "at_least": 1, "at_most": 5 }, "per_day": 2 } }),
    );
    desk.lists((0..10).map(|n| (n, 5)));
    desk.share("edr");
    let used = desk.engine.budget_use("edr").unwrap();
    assert_eq!((used.removals.per_pass, used.removals.per_day, used.removals.left), (5, 10, 5));
    assert_eq!(used.adds.per_pass, 5_000, "what the policy does not say is as ever");
    desk.lists((4..10).map(|n| (n, 5)));
    assert_eq!(desk.share("edr").accepted, 4);
    desk.lists((8..10).map(|n| (n, 5)));
    let report = desk.share("edr");
    assert_eq!((report.status.as_str(), report.deferred), ("held", 4), "half of six is three");
    desk.apply(&json!({ "target": [{ "name": "edr", "connection": "tool", "first_fill": "allow",
        "budget": { "removals": { "percent": 100, "at_most": 50 } } }] }));
    let report = desk.share("edr");
    assert_eq!((report.status.as_str(), report.accepted, report.budget.unwrap().removals.used_24h), ("success", 4, 4));
}

#[test]
fn a_part_is_approved_the_rest_waits_and_a_newer_pass_shows_the_difference() {
    let desk = Desk::new(4, &json!({ "budget": { "removals": { "percent": 0, "at_least": 0 } } }));
    desk.lists((0..10).map(|n| (n, 5)));
    desk.share("edr");
    desk.lists((4..10).map(|n| (n, 5)));
    let plan = desk.engine.held_plan(desk.share("edr").plan.unwrap()).unwrap();
    assert_eq!((plan.retract, plan.author.as_deref()), (4, None));
    desk.lists((3..9).map(|n| (n, 5)));
    let newer = desk.engine.held_plan(desk.share("edr").plan.unwrap()).unwrap();
    let changed = newer.replaced.clone().unwrap();
    assert_eq!(
        (changed.plan, changed.came, changed.went),
        (plan.id, vec![format!("retract {}", value(9))], vec![format!("retract {}", value(3))])
    );
    // What was looked at is not what stands there now.
    let stale = desk.engine.approve_part(newer.id, &Part::default(), Some(&plan.hash), "bob", None);
    assert!(matches!(stale, Err(EngineError::Store(store::StoreError::Conflict(_)))), "{stale:?}");
    let gone = desk.engine.approve_plan(plan.id, "bob", None);
    let said = format!("plan {} took its place", newer.id);
    assert!(matches!(&gone, Err(EngineError::Conflict(why)) if why.contains(&said)), "{gone:?}");
    assert!(matches!(desk.engine.held_plan(999), Err(EngineError::NotFound(_))));
    let part = Part { only: vec!["retract".into()], except: vec![value(0), format!("value = \"{}\"", value(1))] };
    let approved = desk.engine.approve_part(newer.id, &part, Some(&newer.hash), "bob", Some("two of them")).unwrap();
    assert_eq!((approved.status.as_str(), approved.retract), ("approved", 2));
    assert_ne!(approved.hash, newer.hash);
    let waiting = desk.engine.plans(Some("waiting")).unwrap();
    assert_eq!((waiting.len(), waiting[0].retract), (1, 2));
    let report = desk.share("edr");
    assert_eq!((report.accepted, report.deferred, report.plan), (2, 2, Some(waiting[0].id)), "{report:?}");
    assert_eq!(desk.there("edr"), [0, 1, 3, 4, 5, 6, 7, 8].map(value).into_iter().collect());
    let none =
        desk.engine.approve_part(waiting[0].id, &Part { only: vec!["push".into()], except: vec![] }, None, "bob", None);
    assert!(matches!(none, Err(EngineError::Invalid(_))), "{none:?}");
    // Two people at once: one of them is told.
    desk.engine.reject_plan(waiting[0].id, "bob", Some("no")).unwrap();
    assert!(desk.engine.reject_plan(waiting[0].id, "ann", None).is_err());
    // What waits too long expires, and is asked for again.
    desk.lists((5..9).map(|n| (n, 5)));
    let third = desk.share("edr").plan.unwrap();
    desk.pass_time(31 * 24 * 3600);
    assert_eq!(desk.engine.expire_held().unwrap(), 1);
    assert_eq!(desk.engine.held_plan(third).unwrap().status, "expired");
    assert_ne!(desk.share("edr").plan, Some(third));
}

#[test]
fn a_dry_run_names_exactly_what_is_then_done() {
    let desk = Desk::new(5, &json!({}));
    desk.lists((0..4).map(|n| (n, 5)));
    let shown = desk.engine.preview("edr").unwrap();
    let rows = shown.rows(&desk.engine, 0, 100);
    assert_eq!((rows.len(), rows[0].step, rows[0].sources.as_slice()), (4, "push", &["feed".to_owned()][..]));
    let hash = shown.head.hash;
    desk.lists((0..5).map(|n| (n, 5)));
    let other = desk.engine.share_expecting("edr", Mode::default(), Some(&hash), &Silent);
    assert!(matches!(other, Err(EngineError::Conflict(_))), "{other:?}");
    assert!(desk.there("edr").is_empty());
    let hash = desk.engine.preview("edr").unwrap().head.hash;
    assert_eq!(desk.engine.share_expecting("edr", Mode::default(), Some(&hash), &Silent).unwrap().accepted, 5);
}

#[test]
fn a_plan_needs_a_second_person_once_there_are_two() {
    let desk = Desk::new(6, &json!({ "budget": { "removals": { "percent": 0, "at_least": 0 } } }));
    desk.lists((0..4).map(|n| (n, 5)));
    desk.share("edr");
    desk.apply(&json!({ "rule": [{ "name": "all", "when": "reputation >= 8" }] }));
    let plan = desk.share("edr").plan.unwrap();
    assert_eq!(desk.engine.held_plan(plan).unwrap().author.as_deref(), Some("ann"));
    let now = desk.sim.lock().now;
    for (n, name) in ["ann", "bob"].into_iter().enumerate() {
        desk.engine.store().put_token(name, &[n as u8; 32], "admin", now, None).unwrap();
    }
    let own = desk.engine.approve_plan(plan, "ann", None);
    assert!(matches!(&own, Err(EngineError::Conflict(why)) if why.contains("somebody else")), "{own:?}");
    assert!(desk.engine.may_approve("edr", "ann").is_err() && desk.engine.may_approve("edr", "bob").is_ok());
    desk.engine.approve_plan(plan, "bob", None).unwrap();
    assert_eq!(desk.share_all("edr").retract, 4);
    desk.apply(&json!({ "policy": { "four_eyes": "never" } }));
    let undo = desk.engine.undo_run(desk.last_run("edr"), "ann").unwrap();
    desk.engine.approve_plan(undo.id, "ann", None).unwrap();
    desk.quiet("edr");
    assert_eq!(desk.there("edr").len(), 4);
}

/// The rows of a preview are the report's numbers, one by one, in any pages: steps, a guarded value, one that is wider
/// than the rule lets through, and what there is no room for.
#[test]
fn a_preview_lists_what_goes_and_what_does_not() {
    let desk = Desk::new(6, &json!({}));
    let mut file = serde_json::to_value(desk.engine.config().file.clone()).unwrap();
    file["target"][1]["params"] = json!({ "capacity": 3 });
    file["rule"][0]["exceptions"] = json!([{ "name": "ours", "values": [value(0)] }]);
    file["guard"] = json!([{ "name": "own", "class": "lifeline", "values": [value(1)] }]);
    desk.apply(&file);
    desk.lists((0..7).map(|n| (n, 5)));
    let preview = desk.engine.preview("edr").unwrap();
    let rows = preview.rows(&desk.engine, 0, 100);
    let of =
        |code: &str| rows.iter().filter(|row| row.code == Some(code)).map(|row| row.entry.clone()).collect::<Vec<_>>();
    assert_eq!(rows.iter().filter(|row| row.step == "push").count() as u64, preview.head.push);
    assert_eq!((preview.head.push, preview.head.skip, preview.head.rows), (3, 4, 7), "{rows:?}");
    assert_eq!((of("excepted"), of("guarded")), (vec![value(0)], vec![value(1)]), "{rows:?}");
    assert_eq!(of("over_capacity").len(), 2, "{rows:?}");
    let why = rows.iter().find(|row| row.code == Some("guarded")).unwrap();
    assert!(why.reason.as_deref().is_some_and(|why| why.contains("own")) && why.sources == ["feed"], "{why:?}");
    for n in [1, 2, 3, 5] {
        let mut paged = Vec::new();
        while paged.len() < rows.len() {
            let page = preview.rows(&desk.engine, paged.len(), n);
            assert!(!page.is_empty() && page.len() <= n);
            paged.extend(page);
        }
        assert_eq!(paged, rows);
    }
    let report = desk.engine.share("edr", Mode { dry_run: true, ..Mode::default() }, &Silent).unwrap();
    assert_eq!((report.push, report.skip, report.hash), (3, 4, Some(preview.head.hash)));
}

/// Pulled, sent, pulled anew and sent within one second, by which lines are dated: undone, the entry carries what the
/// first of these runs sent, neither what was known before that nor what came after.
#[test]
fn what_was_sent_within_a_second_is_found() {
    let desk = Desk::new(7, &json!({}));
    desk.lists([(1, 3), (2, 5)]);
    let begin = desk.sim.lock().now;
    let step = || {
        let mut state = desk.sim.lock();
        state.now = state.now.after(Duration::from_millis(100));
    };
    let says = |reputation: i64| {
        step();
        desk.sim.product("feed", |p| p.items.get_mut(&value(1)).unwrap().reputation = reputation);
        desk.engine.pull("feed", &Silent).unwrap();
        step();
    };
    says(5);
    desk.share("edr");
    says(9);
    assert_eq!(desk.share("edr").update, 1);
    assert!(desk.sim.lock().now.since(begin) < Duration::from_secs(1));
    let plan = desk.engine.undo_run(desk.last_run("edr"), "ann").unwrap();
    assert_eq!((plan.update, plan.fields_lost), (1, 0), "{plan:?}");
    desk.engine.approve_plan(plan.id, "bob", None).unwrap();
    desk.quiet("edr");
    assert_eq!(desk.sim.product("tool", |p| p.held[&value(1)].reputation), 5);
}

/// An update is undone: the entry carries again what it carried, and by the very fingerprint it had. Where history does
/// not reach so far, it carries what it does now, and the plan says so.
#[test]
fn an_update_undone_gives_the_old_fields_back() {
    for reaches in [true, false] {
        let desk = Desk::new(7, &json!({}));
        desk.lists([(1, 5), (2, 5)]);
        desk.share("edr");
        let carried = |n: u64| desk.sim.product("tool", |p| p.held[&value(n)].reputation);
        let print = |n: u64| {
            let known = desk.engine.known();
            let id = known.index.id(&intel::IndicatorKey::parse(None, &value(n)).unwrap()).unwrap();
            known.ledgers[&desk.target_id("edr")].get(id).unwrap().line.fingerprint
        };
        let before = print(1);
        desk.pass_time(3 * 24 * 3600);
        desk.lists([(1, 9), (2, 5)]);
        let report = desk.share("edr");
        assert_eq!((report.update, carried(1)), (1, 9), "{report:?}");
        assert_ne!(print(1), before);
        let run = desk.last_run("edr");
        if !reaches {
            let now = desk.sim.lock().now;
            assert!(desk.engine.store().prune_history(now.before(Duration::from_secs(24 * 3600))).is_ok());
            desk.engine.store().prune_history(now.after(Duration::from_secs(1))).unwrap();
        }
        let plan = desk.engine.undo_run(run, "ann").unwrap();
        match reaches {
            true => assert_eq!((plan.update, plan.pins, plan.fields_lost), (1, 1, 0), "{plan:?}"),
            false => assert_eq!((plan.update, plan.pins, plan.fields_lost), (0, 1, 1), "{plan:?}"),
        }
        desk.engine.approve_plan(plan.id, "bob", None).unwrap();
        desk.share("edr");
        assert_eq!(carried(1), if reaches { 5 } else { 9 });
        assert_eq!(print(1) == before, reaches);
        // What the source says later changes nothing while it is pinned, and all of it once that is lifted.
        desk.lists([(1, 8), (2, 5)]);
        desk.quiet("edr");
        assert_eq!(carried(1), if reaches { 5 } else { 8 });
        desk.engine.unpin("edr", None, "ann").unwrap();
        desk.quiet("edr");
        assert_eq!(carried(1), 8);
    }
}

/// A removal undone after history was pruned: the entry comes back with what is known now, and its step says so.
#[test]
fn an_entry_that_comes_back_without_its_fields_says_so() {
    let desk = Desk::new(8, &json!({}));
    desk.lists([(1, 5), (2, 5)]);
    desk.share("edr");
    desk.pass_time(3600);
    desk.lists([(1, 9), (2, 5)]);
    desk.pass_time(3600);
    desk.lists([(2, 5)]);
    desk.quiet("edr");
    assert!(!desk.there("edr").contains(&value(1)));
    let now = desk.sim.lock().now;
    desk.engine.store().prune_history(now.after(Duration::from_secs(1))).unwrap();
    let filter = store::RunFilter { kind: Some("share"), subject: Some("edr"), status: None };
    let runs = desk.engine.store().runs(filter, 50, None).unwrap();
    let removed = runs.iter().find(|run| serde_json::from_str::<Value>(&run.report).unwrap()["retract"] == 1).unwrap();
    let plan = desk.engine.undo_run(removed.id, "ann").unwrap();
    assert_eq!((plan.push, plan.fields_lost), (1, 1), "{plan:?}");
    assert!(plan.steps[0].reason.as_deref().is_some_and(|why| why.contains("history_days")), "{plan:?}");
}

/// An approval allows what it names and nothing else: what goes beside it in the same pass counts against the budget of
/// the day, as it is held to the budget of the pass.
#[test]
fn what_goes_beside_an_approved_part_counts_against_the_budget() {
    let budget = json!({ "budget": { "removals": { "percent": 0, "at_least": 2, "at_most": 2 }, "per_day": 1 } });
    let desk = Desk::new(7, &budget);
    desk.lists((0..10).map(|n| (n, 5)));
    desk.share("edr");
    desk.lists((4..10).map(|n| (n, 5)));
    let plan = desk.share("edr").plan.unwrap();
    desk.engine.approve_part(plan, &Part { only: vec![value(0)], except: Vec::new() }, None, "bob", None).unwrap();
    desk.lists((2..10).map(|n| (n, 5)));
    let report = desk.share("edr");
    assert_eq!((report.status.as_str(), report.retract, report.accepted), ("success", 2, 2), "{report:?}");
    assert_eq!(desk.engine.budget_use("edr").unwrap().removals.used_24h, 1, "one was approved, one was not");
    desk.lists((4..10).map(|n| (n, 5)));
    assert_eq!(desk.share("edr").deferred, 2, "one of the two of this day is left");
}

/// What was not even begun has used up nothing: a freeze in the middle of a pass leaves its budget to the next one.
#[test]
fn what_was_not_begun_is_not_counted_against_the_budget() {
    let desk = Desk::new(8, &json!({ "budget": { "removals": { "percent": 0, "at_least": 9 }, "per_day": 1 } }));
    desk.lists((0..20).map(|n| (n, 5)));
    desk.share("wall");
    desk.sim.product("blind", |p| p.slow = true);
    desk.lists((9..20).map(|n| (n, 5)));
    let engine = desk.engine.clone();
    desk.sim.lock().then = Some((0, Box::new(move || engine.freeze("ann", None).unwrap())));
    let report = desk.share("wall");
    assert_eq!(report.retract, 9, "{report:?}");
    assert!(report.deferred > 0, "{report:?}");
    desk.sim.lock().then = None;
    desk.engine.thaw("ann").unwrap();
    let used = desk.engine.budget_use("wall").unwrap().removals.used_24h;
    assert_eq!(used, 9 - report.deferred, "{report:?}");
    assert_eq!(desk.share("wall").deferred, 0, "the rest goes");
    assert_eq!(desk.engine.budget_use("wall").unwrap().removals.used_24h, 9);
}

/// Whoever deletes a sharing, or changes the connection that is written to, is the author of what follows from it.
#[test]
fn who_deletes_a_sharing_does_not_approve_what_follows_alone() {
    let desk = Desk::new(9, &json!({ "budget": { "removals": { "percent": 0, "at_least": 0 } } }));
    desk.lists((0..4).map(|n| (n, 5)));
    desk.share("edr");
    desk.pass_time(60);
    desk.engine.delete_sharing("feed", "all", "edr", "ann").unwrap();
    let plan = desk.share("edr").plan.unwrap();
    assert_eq!(desk.engine.held_plan(plan).unwrap().author.as_deref(), Some("ann"));
    assert_eq!(desk.share("list").plan, None);
    // And by the connection that is written to.
    desk.pass_time(60);
    let mut tool = serde_json::to_value(connection("tool", "sim-tool", Some("tool"))).unwrap();
    tool["reads"] = json!(["edr"]);
    let file: ConfigFile = serde_json::from_value(json!({ "connection": [tool] })).unwrap();
    desk.engine.apply(&file, "eve", false).unwrap();
    desk.lists((1..4).map(|n| (n, 5)));
    let plan = desk.share("edr").plan.unwrap();
    assert_eq!(desk.engine.held_plan(plan).unwrap().author.as_deref(), Some("ann"), "what waits stays whose it was");
    desk.engine.store().drop_waiting_plan(desk.target_id("edr")).unwrap();
    let plan = desk.share("edr").plan.unwrap();
    assert_eq!(desk.engine.held_plan(plan).unwrap().author.as_deref(), Some("eve"));
}

/// The file that freezes may be anything at all: looking at its note never waits and never reads without end.
#[cfg(unix)]
#[test]
fn whatever_freezes_as_a_file_is_not_waited_for() {
    for what in ["pipe", "link", "folder"] {
        let data = TempDir::new().unwrap();
        let sim = Sim::new(1);
        let engine = sim.open(Store::open(data.path()).unwrap(), &data.path().join("lists")).unwrap();
        let path = data.path().join(engine::FREEZE_FILE);
        match what {
            "pipe" => assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success()),
            "link" => std::os::unix::fs::symlink("/dev/zero", &path).unwrap(),
            _ => std::fs::create_dir(&path).unwrap(),
        }
        let (done, said) = std::sync::mpsc::channel();
        std::thread::spawn(move || done.send(engine.frozen_by().unwrap().unwrap()));
        let said = said.recv_timeout(Duration::from_secs(10)).expect(what);
        assert_eq!((said.by.as_str(), said.note), ("file", None), "{what}");
    }
}
