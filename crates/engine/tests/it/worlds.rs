//! Seeded worlds: sources and tools that add, change, remove, refuse, lose answers and fall silent; people who edit and
//! judge; a process that stops between any two steps. After quiet, every target must hold exactly what is wanted.
//!
//! What is wanted is computed here a second time, one indicator at a time from the store with `intel` alone, so that
//! index, ledger and pass are checked by something that shares no code with them. A seed that found a bug is kept in
//! `KEPT`. `IOCAST_SEED=n` runs one seed with its story told, `IOCAST_SEEDS=n` so many, `IOCAST_SEED_BASE=n` those after `n`.

use crate::sim::{Dice, Held, Item, Mood, Sim, Trouble, connection, target};
use engine::{ConfigFile, Engine, EngineError, Mode, PullReport, ShareReport, Silent};
use intel::expr::Subject;
use intel::sharing::LineState;
use intel::{DAY, Indicator, Timestamp, Verdict, VerdictKind};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use store::Store;
use tempfile::TempDir;

/// Seeds that found a bug once.
const KEPT: &[u64] = &[208, 300, 433, 436];

const TAGS: &[&str] = &["c2", "phishing", "benign", "test"];

struct Story {
    sim: Sim,
    dice: Dice,
    dir: TempDir,
    engine: Option<Engine>,
    file: ConfigFile,
    n_values: u64,
    told: bool,
    seq: u64,
    stops: u64,
    /// What each tool held before we came, and what people put there since.
    foreign: BTreeMap<&'static str, BTreeSet<String>>,
}

fn value(n: u64) -> String {
    match n % 4 {
        0 => format!("9.{}.{}.{}", n / 60 % 250, n / 4 % 250, n % 250 + 1),
        1 => format!("host{n}.bad-example.com"),
        2 => format!("http://host{}.bad-example.com/path/{n}", n % 7),
        _ => format!("{n:032x}"),
    }
}

impl Story {
    fn new(seed: u64, told: bool) -> Story {
        let sim = Sim::new(seed);
        let mut dice = Dice(seed ^ 0x5eed);
        let dir = TempDir::new().unwrap();
        let engine = sim.open(Store::in_memory().unwrap(), dir.path()).unwrap();
        let n_values = 8 + dice.below(60);
        let file = config(&mut dice);
        engine.apply(&file, "story", false).unwrap();
        sim.product("tool", |p| {
            p.reports_held = dice.chance(60);
            p.has_ids = dice.chance(50);
        });
        sim.product("blind", |p| p.reports_held = dice.chance(30));
        let mut story = Story {
            sim,
            dice,
            dir,
            engine: Some(engine),
            file,
            n_values,
            told,
            seq: 0,
            stops: 0,
            foreign: BTreeMap::new(),
        };
        for _ in 0..story.dice.below(4) {
            story.somebody_adds_at_a_tool();
        }
        for source in ["feed-a", "feed-b", "stream"] {
            for _ in 0..story.n_values / 2 {
                story.source_changes(source);
            }
        }
        story
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        if self.told {
            let line = format!("{} {}\n", self.sim.lock().now, what());
            let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
        }
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    fn source_changes(&mut self, source: &str) {
        let value = value(self.dice.below(self.n_values));
        let item = Item {
            reputation: 1 + self.dice.below(10) as i64,
            tag: self.dice.chance(40).then(|| TAGS[self.dice.below(TAGS.len() as u64) as usize]),
            seq: {
                self.seq += 1;
                self.seq
            },
            retracted: self.dice.chance(5),
        };
        let remove = self.dice.chance(30);
        self.tell(|| format!("{source}: {} {value} {item:?}", if remove { "drops" } else { "lists" }));
        self.sim.product(source, |p| {
            if remove {
                p.items.remove(&value);
            } else {
                p.items.insert(value, item);
            }
        });
    }

    fn somebody_adds_at_a_tool(&mut self) {
        let tool = if self.dice.chance(50) { "tool" } else { "blind" };
        let value = value(self.dice.below(self.n_values));
        let fresh = self.sim.product(tool, |p| {
            p.next_id += 1;
            let remote_id = format!("id-{}", p.next_id);
            match p.held.get(&value) {
                Some(_) => false,
                None => {
                    p.held.insert(value.clone(), Held { remote_id, ours: false, reputation: 0 });
                    true
                }
            }
        });
        if fresh {
            self.tell(|| format!("somebody adds {value} at {tool}"));
            self.foreign.entry(tool).or_default().insert(value);
        }
    }

    /// Runs something on the engine; a process that stops is started again from what the store holds.
    fn run<T>(&mut self, f: impl FnOnce(&Engine) -> Result<T, EngineError>) -> Option<T> {
        match f(self.engine()) {
            Ok(done) => Some(done),
            Err(EngineError::Stopped(point)) => {
                self.tell(|| format!("-- the process stops at {} and starts again", point.0));
                self.stops += 1;
                self.restart();
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn restart(&mut self) {
        let store = self.engine.take().unwrap().into_store();
        self.engine = Some(self.sim.open(store, self.dir.path()).unwrap());
        // Intent comes before the first byte: whatever of ours is at a tool has a line that the new process knows.
        let engine = self.engine();
        let known = engine.known();
        for (name, product) in [("edr", "tool"), ("wall", "blind")] {
            let target = engine.config().target(name).unwrap().id;
            let lines: BTreeSet<String> =
                known.ledgers[&target].live().iter().map(|id| known.index.key(id).value().to_owned()).collect();
            self.sim.product(product, |p| {
                for (value, held) in &p.held {
                    assert!(
                        !held.ours || lines.contains(value),
                        "{product} holds {value} of ours, and no line says so"
                    );
                }
            });
        }
    }

    fn pull(&mut self, name: &str) -> Option<PullReport> {
        let report = self.run(|engine| engine.pull(name, &Silent))?;
        assert!(report.balances(), "{report:?}");
        self.tell(|| {
            format!(
                "pull {name}: {} read {} new {} changed {} withdrawn {}",
                report.status, report.read, report.new, report.changed, report.withdrawn
            )
        });
        if report.status == "suspect" {
            let run = intel::RunId(report.run);
            if self.dice.chance(50) {
                self.run(|engine| engine.discard_run(run, "story"));
            } else {
                self.run(|engine| engine.approve_run(run, "story"));
            }
        }
        Some(report)
    }

    fn share(&mut self, name: &str, mode: Mode) -> Option<ShareReport> {
        let report = self.run(|engine| engine.share(name, mode, &Silent))?;
        assert_eq!(
            report.push + report.update + report.retract,
            report.accepted + report.refused + report.unknown + report.deferred,
            "{report:?}"
        );
        self.tell(|| format!("share {name}: {report:?}"));
        Some(report)
    }

    fn step(&mut self) {
        match self.dice.below(100) {
            0..=34 => {
                let source = ["feed-a", "feed-b", "stream"][self.dice.below(3) as usize];
                self.source_changes(source);
            }
            35..=54 => {
                let name = ["feed-a", "feed-b", "stream", "tool", "blind"][self.dice.below(5) as usize];
                self.pull(name);
            }
            55..=74 => {
                let name = ["list", "table", "edr", "wall", "small"][self.dice.below(5) as usize];
                let mode = Mode { dry_run: self.dice.chance(10), approve: self.dice.chance(30) };
                if self.dice.chance(15) {
                    self.sim.lock().stop_in = Some(self.dice.below(6));
                }
                self.share(name, mode);
            }
            75..=79 => {
                let secs = [60, 3600, 86_400, 20 * 86_400][self.dice.below(4) as usize];
                let mut state = self.sim.lock();
                state.now = state.now.after(Duration::from_secs(secs));
            }
            80..=84 => {
                let mood = [Mood::Well, Mood::Down, Mood::Empty, Mood::CutShort][self.dice.below(4) as usize];
                let name = ["feed-a", "feed-b", "stream"][self.dice.below(3) as usize];
                self.tell(|| format!("{name} is {mood:?}"));
                self.sim.product(name, |p| p.mood = mood);
            }
            85..=88 => {
                let trouble =
                    Trouble { busy: self.dice.below(40), lost: self.dice.below(40), refuse: self.dice.below(20) };
                let name = ["tool", "blind"][self.dice.below(2) as usize];
                self.sim.product(name, |p| p.trouble = trouble);
            }
            89..=91 => {
                let value = value(self.dice.below(self.n_values));
                let kind = [VerdictKind::Malicious, VerdictKind::Safe, VerdictKind::FalsePositive];
                let kind = kind[self.dice.below(3) as usize];
                let until = (kind == VerdictKind::FalsePositive).then(|| self.sim.lock().now.after(3 * DAY));
                let verdict = self.dice.chance(70).then_some(Verdict { kind, until });
                self.tell(|| format!("verdict {value} {verdict:?}"));
                self.run(|engine| engine.verdict(&value, None, verdict, "story"));
            }
            92 => {
                let value = value(self.dice.below(self.n_values));
                let mute = self.dice.chance(50);
                self.tell(|| format!("mute {value} {mute}"));
                self.run(|engine| engine.annotate(&value, None, "story", |a| a.muted = mute));
            }
            93..=95 => {
                let file = config(&mut self.dice);
                self.tell(|| format!("rules are edited: {:?}", file.rule));
                self.file = file.clone();
                self.run(|engine| engine.apply(&file, "story", false));
            }
            96 => self.somebody_adds_at_a_tool(),
            97 => self.restart(),
            _ => {
                let at = self.dice.below(12);
                self.sim.lock().stop_in = Some(at);
            }
        }
    }

    /// Faults end, everything is pulled and shared until nothing moves any more.
    fn quiet(&mut self) {
        self.tell(|| "-- quiet".to_owned());
        self.sim.lock().stop_in = None;
        for name in ["feed-a", "feed-b", "stream", "tool", "blind"] {
            self.sim.product(name, |p| {
                p.mood = Mood::Well;
                p.trouble = Trouble::default();
            });
        }
        for round in 0..8 {
            // Past any back-off and any wait after a refusal; then slowly, so that age itself moves nothing.
            {
                let secs = if round < 3 { 25 * 3600 } else { 1 };
                let mut state = self.sim.lock();
                state.now = state.now.after(Duration::from_secs(secs));
            }
            let mut moved = 0;
            for name in ["feed-a", "feed-b", "stream", "tool", "blind"] {
                let report = self.run(|engine| engine.pull(name, &Silent)).unwrap();
                assert!(report.balances(), "{report:?}");
                if report.status == "suspect" {
                    let run = intel::RunId(report.run);
                    self.run(|engine| engine.approve_run(run, "story")).unwrap();
                    moved += 1;
                }
                moved += report.touched;
            }
            for name in ["list", "table", "edr", "wall", "small"] {
                let report = self.share(name, Mode { approve: true, ..Mode::default() }).unwrap();
                assert_eq!((report.unknown, report.deferred), (0, 0), "{report:?}");
                moved += report.push + report.update + report.retract;
            }
            if moved == 0 {
                return;
            }
            assert!(round < 7, "it does not come to rest");
        }
    }

    fn indicators(&self) -> Vec<Indicator> {
        let store = self.engine().store();
        let bound = self.engine().known().index.id_bound();
        (0..bound).filter_map(|id| store.indicator(intel::IndicatorId(id)).unwrap()).collect()
    }

    /// What a target should hold, one indicator at a time, without index, ledger or pass.
    fn wanted(&self, name: &str, indicators: &[Indicator]) -> BTreeSet<String> {
        let engine = self.engine();
        let config = engine.config();
        let target = config.target(name).unwrap();
        let now: Timestamp = self.sim.lock().now;
        let known = engine.known();
        let policies = known.index.policies();
        let mut wanted = BTreeSet::new();
        for indicator in indicators {
            let summary = indicator.summary(policies, &config.fold, now);
            let views = indicator.views(policies, now);
            let subject = Subject { key: &indicator.key, summary: &summary, records: &views, shared_with: &[], now };
            let excepted = target.sharings.iter().any(|s| s.rule.excepts(&subject).is_some());
            let selected = target.sharings.iter().any(|s| {
                let source = match s.source {
                    None => true,
                    Some(id) => policies.get(id).is_some_and(|p| summary.sources.contains(&*p.name)),
                };
                source && s.rule.when.eval(&subject) && summary.folded.tlp <= s.max_tlp && !s.rule.muted
            });
            let takes = target.action.kinds.is_empty() || target.action.kinds.contains(&indicator.key.kind());
            if summary.folded.active && selected && !excepted && takes && !summary.muted {
                wanted.insert(indicator.key.value().to_owned());
            }
        }
        wanted
    }

    /// Indicators only muted rules or a person's mute speak for: they stay where they are.
    fn may_stay(&self, indicators: &[Indicator]) -> BTreeSet<String> {
        let now = self.sim.lock().now;
        let engine = self.engine();
        let config = engine.config();
        let known = engine.known();
        let muted_rules = config.rules.values().any(|r| r.muted);
        indicators
            .iter()
            .filter(|i| {
                let summary = i.summary(known.index.policies(), &config.fold, now);
                summary.folded.active && (summary.muted || muted_rules)
            })
            .map(|i| i.key.value().to_owned())
            .collect()
    }

    fn check(&self) {
        let indicators = self.indicators();
        let may_stay = self.may_stay(&indicators);
        self.check_index(&indicators);
        for name in ["list", "table", "edr", "wall", "small"] {
            let wanted = self.wanted(name, &indicators);
            let has = self.has(name);
            let config = self.engine().config();
            let target = config.target(name).unwrap();
            let foreign: BTreeSet<String> = match name {
                "edr" => self.foreign.get("tool").cloned().unwrap_or_default(),
                "wall" => self.foreign.get("blind").cloned().unwrap_or_default(),
                _ => BTreeSet::new(),
            };
            if let Some(limit) = target.int_param("capacity") {
                let limit = limit as usize;
                assert!(has.len() <= limit, "{name} holds {} of {limit}", has.len());
                assert!(has.iter().all(|v| wanted.contains(v) || may_stay.contains(v)), "{name}");
                let expect = wanted.difference(&foreign).count().min(limit);
                assert!(has.len() >= expect, "{name} holds {}, {expect} should fit", has.len());
                continue;
            }
            let missing: Vec<&String> = wanted.iter().filter(|v| !has.contains(*v) && !foreign.contains(*v)).collect();
            let ghosts: Vec<&String> = has.iter().filter(|v| !wanted.contains(*v) && !may_stay.contains(*v)).collect();
            assert!(missing.is_empty() && ghosts.is_empty(), "{name}: missing {missing:?}, ghosts {ghosts:?}");
        }
        self.check_fields(&indicators);
        for (tool, values) in &self.foreign {
            self.sim.product(tool, |p| {
                // A tool that cannot be asked refuses what does not carry our mark; the other is looked at first.
                assert!(
                    *tool != "tool" || p.foreign_touched == 0,
                    "{tool}: an entry that is not ours was to be removed"
                );
                for value in values {
                    assert!(p.held.get(value).is_some_and(|h| !h.ours), "{tool}: {value} was not ours");
                }
            });
        }
    }

    /// The index says of every indicator what a fold over the store says.
    fn check_index(&self, indicators: &[Indicator]) {
        let engine = self.engine();
        let config = engine.config();
        let now = self.sim.lock().now;
        let known = engine.known();
        assert_eq!(indicators.len(), known.index.len());
        for indicator in indicators {
            let id = known.index.id(&indicator.key).unwrap();
            let expect = indicator.summary(known.index.policies(), &config.fold, now);
            let got = known.index.summary(id, now);
            assert_eq!(got.folded.active, expect.folded.active, "{:?}", indicator.key);
            assert_eq!(got.folded.reputation, expect.folded.reputation, "{:?}", indicator.key);
            assert_eq!((got.tags, got.sources), (expect.tags, expect.sources), "{:?}", indicator.key);
        }
    }

    /// What went with an entry is what the indicator is held to be now.
    fn check_fields(&self, indicators: &[Indicator]) {
        let engine = self.engine();
        let config = engine.config();
        let now = self.sim.lock().now;
        let table = engine.list("table").map(|l| l.body.read().unwrap()).unwrap_or_default();
        let table = String::from_utf8(table).unwrap();
        let known = engine.known();
        for indicator in indicators {
            let summary = indicator.summary(known.index.policies(), &config.fold, now);
            let (value, reputation) = (indicator.key.value(), summary.folded.reputation.get());
            if !summary.folded.active || summary.muted || config.rules.values().any(|r| r.muted) {
                continue;
            }
            for product in ["tool", "blind"] {
                self.sim.product(product, |p| {
                    if let Some(held) = p.held.get(value).filter(|h| h.ours) {
                        assert_eq!(held.reputation, reputation, "{product}: {value}");
                    }
                });
            }
            if let Some(row) = table.lines().find(|row| row.split(',').next() == Some(value)) {
                assert_eq!(row.split(',').nth(2), Some(reputation.to_string().as_str()), "table: {row}");
            }
        }
    }

    /// What is at a target, ours only, by the target's own word.
    fn has(&self, name: &str) -> BTreeSet<String> {
        let held = |product: &str| {
            self.sim.product(product, |p| p.held.iter().filter(|(_, h)| h.ours).map(|(v, _)| v.clone()).collect())
        };
        let has: BTreeSet<String> = match name {
            "edr" => held("tool"),
            "wall" => held("blind"),
            _ => {
                let body = self.engine().list(name).map(|l| l.body.read().unwrap()).unwrap_or_default();
                let text = String::from_utf8(body).unwrap();
                if name == "table" {
                    text.lines().skip(1).map(|l| l.split(',').next().unwrap_or_default().to_owned()).collect()
                } else {
                    text.lines().map(str::to_owned).collect()
                }
            }
        };
        // Body and ledger never differ.
        let engine = self.engine();
        let known = engine.known();
        let target = engine.config().target(name).unwrap().id;
        let ledger = known.ledgers.get(&target).unwrap();
        let lines: BTreeSet<String> =
            ledger.present().iter().map(|id| known.index.key(id).value().to_owned()).collect();
        // Of what is muted before it is known whether it got there, and where nobody can look, nothing is said.
        let open: BTreeSet<String> = match name {
            "wall" => {
                let unknown = |id: &intel::IndicatorId| {
                    ledger
                        .get(*id)
                        .is_some_and(|line| matches!(line.line.state, LineState::Pending | LineState::Unknown))
                };
                ledger.unsettled().filter(unknown).map(|id| known.index.key(id).value().to_owned()).collect()
            }
            _ => BTreeSet::new(),
        };
        let may_stay = self.may_stay(&self.indicators());
        assert!(open.is_subset(&may_stay), "{name}: {open:?} is not settled");
        let certain: BTreeSet<String> = has.difference(&open).cloned().collect();
        assert_eq!(lines, certain, "{name}: ledger and destination differ");
        has
    }

    /// Every source takes everything back: everything drains, and nobody else's entry goes with it.
    fn drain(&mut self) {
        self.tell(|| "-- drain".to_owned());
        for source in ["feed-a", "feed-b", "stream"] {
            self.sim.product(source, |p| {
                for (n, item) in p.items.values_mut().enumerate() {
                    item.retracted = true;
                    item.seq = self.seq + 1 + n as u64;
                }
            });
            self.seq += self.n_values + 1;
        }
        for value in (0..self.n_values).map(value) {
            self.run(|engine| {
                engine.annotate(&value, None, "story", |a| {
                    a.verdict = None;
                    a.muted = false;
                })
            });
        }
        // What a stream has forgotten to retract ages out; a person's entries at the tools are genuine and stay.
        self.sim.product("stream", |p| p.items.clear());
        {
            let mut state = self.sim.lock();
            state.now = state.now.after(100 * DAY);
        }
        self.quiet();
        let genuine: BTreeSet<String> = self
            .foreign
            .iter()
            .filter(|(tool, _)| self.sim.product(tool, |p| p.reports_held))
            .flat_map(|(_, values)| values.clone())
            .collect();
        for name in ["list", "table", "edr", "wall", "small"] {
            let left: Vec<String> = self.has(name).into_iter().filter(|v| !genuine.contains(v)).collect();
            assert!(left.is_empty(), "{name} still holds {left:?}");
        }
    }
}

/// A configuration with rules from the dice; names stay the same, so that applying it again edits.
fn config(dice: &mut Dice) -> ConfigFile {
    let doc = |c| serde_json::to_value(c).unwrap();
    let rules = [
        "reputation >= 4",
        "kind in (ipv4, domain) and reputation >= 6",
        "not tag = \"benign\"",
        "tag in (\"c2\", \"phishing\") or reputation >= 8",
        "record(reputation >= 7)",
        "last_seen is set or age < 30d",
        "under \"bad-example.com\"",
        "n_sources >= 2",
    ];
    let mut pick = || rules[dice.below(rules.len() as u64) as usize];
    let (strong, wide) = (pick(), pick());
    let mut strong = json!({ "name": "strong", "when": strong });
    if dice.chance(50) {
        strong["exceptions"] = json!([
            { "name": "ours", "values": [value(dice.below(20)), "host3.bad-example.com"] },
            { "name": "lab", "tags": ["test"] },
            { "name": "weak", "when": "reputation = 5" },
        ]);
    }
    let mut wide = json!({ "name": "wide", "when": wide });
    if dice.chance(10) {
        wide["muted"] = Value::Bool(true);
    }
    let mut tool: Value = doc(connection("tool", "sim-tool", Some("tool")));
    tool["may_be_empty"] = Value::Bool(true);
    let mut blind: Value = doc(connection("blind", "sim-blind", Some("blind")));
    blind["may_be_empty"] = Value::Bool(true);
    serde_json::from_value(json!({
        "connection": [
            doc(connection("feed-a", "sim-feed", Some("feed-a"))),
            doc(connection("feed-b", "sim-feed", Some("feed-b"))),
            doc(connection("stream", "sim-stream", Some("stream"))),
            tool,
            blind,
            doc(connection("edge", "list", None)),
        ],
        "target": [
            serde_json::to_value(target("list", "edge", &json!({}))).unwrap(),
            serde_json::to_value(target("table", "edge", &json!({ "format": "csv" }))).unwrap(),
            serde_json::to_value(target("small", "edge", &json!({ "capacity": 5 }))).unwrap(),
            serde_json::to_value(target("edr", "tool", &json!({}))).unwrap(),
            serde_json::to_value(target("wall", "blind", &json!({}))).unwrap(),
        ],
        "rule": [strong, wide],
        "sharing": [
            { "source": "any", "rule": "strong", "target": "list" },
            { "source": "feed-b", "rule": "wide", "target": "list" },
            { "source": "any", "rule": "wide", "target": "table" },
            { "source": "feed-a", "rule": "strong", "target": "edr" },
            { "source": "stream", "rule": "wide", "target": "edr" },
            { "source": "any", "rule": "strong", "target": "wall" },
            { "source": "any", "rule": "wide", "target": "small" },
        ]
    }))
    .unwrap()
}

fn live(seed: u64, told: bool) -> u64 {
    let mut story = Story::new(seed, told);
    let steps = 40 + story.dice.below(80);
    for _ in 0..steps {
        story.step();
    }
    story.quiet();
    story.check();
    for _ in 0..10 {
        story.step();
    }
    story.quiet();
    story.check();
    story.restart();
    story.check();
    story.drain();
    story.stops
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn every_world_comes_to_rest_with_exactly_what_is_wanted() {
    if let Some(seed) = number("IOCAST_SEED") {
        live(seed, true);
        return;
    }
    let n = number("IOCAST_SEEDS").unwrap_or(1_000);
    let base = number("IOCAST_SEED_BASE").unwrap_or(0);
    let threads = 2;
    let failed: Vec<(u64, String)> = std::thread::scope(|scope| {
        let run = |thread: u64| {
            let mut failed = Vec::new();
            for seed in KEPT.iter().copied().chain(base + 1..=base + n).filter(|seed| seed % threads == thread) {
                let result = std::panic::catch_unwind(|| live(seed, false));
                if let Err(panic) = result {
                    let text = panic
                        .downcast_ref::<String>()
                        .cloned()
                        .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
                    failed.push((seed, text.unwrap_or_default()));
                }
            }
            failed
        };
        let handles: Vec<_> = (0..threads).map(|thread| scope.spawn(move || run(thread))).collect();
        handles.into_iter().flat_map(|h| h.join().unwrap()).collect()
    });
    assert!(
        failed.is_empty(),
        "{} of {n} worlds failed; the first: IOCAST_SEED={} {}",
        failed.len(),
        failed[0].0,
        failed[0].1
    );
}
