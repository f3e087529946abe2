//! Seeded worlds of the built-in connectors: lists that change, receivers that refuse, lose answers and say "later", a
//! process that stops between any two steps. After quiet every receiver holds exactly what the lists say it should:
//! computed from the lists themselves, with none of our code between. `IOCAST_SEED=n` tells one world's story.

use super::taxii::OTHERS;
use super::{Dice, Held, Net, Trouble, hook};
use crate::support::{StillWorld, TestApp};

use engine::{ConfigFile, Engine, EngineError, Mode, Op, Push, Registry, ShareReport, Silent};
use intel::Observation;
use iocast::app::{App, OpenOptions};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use store::Store;
use tempfile::TempDir;

const LISTS: [&str; 2] = ["list-a", "list-b"];
/// Target, host of its server, and what it holds there.
const TARGETS: [(&str, &str, &str); 3] =
    [("soc", "soc.example", "/soc"), ("noc", "soc.example", "/noc"), ("ti", "taxii.example", "c1")];
const HOSTS: [&str; 4] = ["lists.example", "soc.example", "taxii.example", "misp.example"];
/// What is pulled.
const SOURCES: [&str; 4] = ["list-a", "list-b", "ti", "misp"];
/// Rounds in which it must come to rest.
const ROUNDS: u32 = 8;
/// Seeds that found a bug once.
const KEPT: [u64; 2] = [289, 1_193];
const TAGS: [&str; 3] = ["c2", "phishing", "test"];

fn value(n: u64) -> String {
    match n % 3 {
        0 => format!("9.{}.{}.{}", n / 60 % 250, n / 4 % 250, n % 250 + 1),
        1 => format!("host{n}.bad-example.com"),
        _ => format!("http://host{}.bad-example.com/path/{n}", n % 7),
    }
}

/// Lists of one account at one host, two endpoints at another. `floor` moves with an edit of the rule.
fn config(floor: u8, rate: Option<u32>, retract: &str) -> ConfigFile {
    let list = |name: &str| {
        json!({
            "name": name, "connector": "feed", "tenant": "acme", "requests_per_minute": rate, "settings": {
                "url": format!("https://lists.example/{name}"), "format": "json", "value": "value", "kind": "auto",
                "reputation_column": "reputation", "tags_columns": ["tag"],
            }
        })
    };
    let endpoint = |name: &str| {
        let url = format!("https://soc.example/{name}");
        let settings = json!({ "url": url, "secret": hook::SECRET });
        json!({ "name": name, "connector": "webhook", "requests_per_minute": rate, "settings": settings })
    };
    let target = |name: &str, batch: u64| {
        let params = json!({ "batch": batch, "allow_empty": true });
        json!({ "name": name, "connection": name, "first_fill": "allow", "params": params })
    };
    let collection = json!({
        "name": "ti", "connector": "taxii", "override_reputation": 6, "aging_days": 0,
        "settings": { "url": "https://taxii.example/taxii2/", "collection": "c1", "token": "token" },
    });
    let params = json!({ "retract": retract });
    let objects = json!({ "name": "ti", "connection": "ti", "first_fill": "allow", "params": params });
    let misp = json!({
        "name": "misp", "connector": "misp-feed", "override_reputation": 7, "aging_days": 0,
        "settings": { "url": "https://misp.example/" },
    });
    let bucket = json!({ "name": "bucket", "connector": "api-source", "aging_days": 0 });
    serde_json::from_value(json!({
        "connection": [list("list-a"), list("list-b"), endpoint("soc"), endpoint("noc"), collection, misp, bucket],
        "target": [target("soc", 3), target("noc", 8), objects],
        "rule": [
            { "name": "strong", "when": format!("reputation >= {floor}") },
            { "name": "c2", "when": "tag = \"c2\"", "exceptions": [{ "name": "lab", "tags": ["test"] }] },
        ],
        "sharing": [
            { "source": "any", "rule": "strong", "target": "soc" },
            { "source": "list-b", "rule": "c2", "target": "soc" },
            { "source": "any", "rule": "c2", "target": "noc" },
            { "source": "any", "rule": "strong", "target": "ti" },
        ]
    }))
    .unwrap()
}

/// Reputation and tag of a pushed row; None: it is taken back.
type Said = Option<(u8, Option<&'static str>)>;

struct Story {
    net: Net,
    dice: Dice,
    dir: TempDir,
    engine: Option<Engine>,
    floor: u8,
    rate: Option<u32>,
    n_values: u64,
    retract: &'static str,
    /// What the bucket acknowledged.
    bucket: Held,
    /// What others wrote to the collection: all of it, and what stands.
    written: Vec<Value>,
    others: Held,
    told: bool,
    stops: u64,
}

fn open(store: Arc<Store>, net: &Net, dir: &TempDir) -> Engine {
    let registry = Registry::new(connectors::all());
    Engine::open(store, registry, Arc::new(net.clone()), Some(dir.path()), &Silent).unwrap()
}

impl Story {
    fn new(seed: u64, told: bool) -> Story {
        let net = Net::new(seed);
        let mut dice = Dice(seed ^ 0xfeed);
        let dir = TempDir::new().unwrap();
        let engine = open(Arc::new(Store::in_memory().unwrap()), &net, &dir);
        let (floor, rate) = (4, dice.chance(40).then(|| 6 + dice.below(60) as u32));
        // Deleting leaves nothing behind only where messages are worked on one after another.
        let retract = if seed % 2 == 1 && dice.chance(50) { "delete" } else { "revoke" };
        engine.apply(&config(floor, rate, retract), "story", false).unwrap();
        let n_values = 6 + dice.below(30);
        let (bucket, others, written, engine) = (Held::new(), Held::new(), Vec::new(), Some(engine));
        let mut story =
            Story { net, dice, dir, engine, floor, rate, n_values, retract, bucket, written, others, told, stops: 0 };
        for _ in 0..story.n_values {
            story.list_changes();
        }
        story
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        if self.told {
            let line = format!("{} {}\n", self.net.now_is(), what());
            let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
        }
    }

    fn list_changes(&mut self) {
        let name = LISTS[self.dice.below(2) as usize];
        let value = value(self.dice.below(self.n_values));
        let row = (1 + self.dice.below(10) as u8, self.dice.chance(70).then(|| TAGS[self.dice.below(3) as usize]));
        let remove = self.dice.chance(35);
        self.tell(|| format!("{name}: {value} {}", if remove { "goes".into() } else { format!("{row:?}") }));
        self.net.server("lists.example", |server| {
            let rows = server.list(&format!("/{name}")).unwrap();
            match remove {
                true => rows.remove(&value),
                false => rows.insert(value, row),
            };
        });
    }

    /// Others put an object into the collection, or revoke theirs.
    fn others_write(&mut self, value: &str, revoked: bool) {
        // Theirs has a clock of its own.
        let n = self.written.len() as u64 + 1;
        let secs = self.net.now_is().before(std::time::Duration::from_secs(self.dice.below(600)));
        let modified = match self.written.last() {
            Some(last) => secs.max(intel::Timestamp::parse(last["modified"].as_str().unwrap()).unwrap()),
            None => secs,
        };
        let modified = modified.after(std::time::Duration::from_millis(n));
        let kind = match value {
            value if value.starts_with("http") => "url",
            value if value.starts_with("host") => "domain-name",
            _ => "ipv4-addr",
        };
        let print = value.bytes().fold(0_u64, |sum, byte| sum.wrapping_mul(131).wrapping_add(u64::from(byte)));
        let object = json!({
            "type": "indicator", "spec_version": "2.1", "created_by_ref": OTHERS, "created": "2026-02-01T00:00:00.000Z",
            "id": format!("indicator--0a0a0a0a-0000-4000-8000-{:012x}", print & 0xffff_ffff_ffff),
            "modified": format!("{}.{:03}Z", &modified.to_string()[..19], modified.micros() / 1_000 % 1_000),
            "revoked": revoked, "pattern": format!("[{kind}:value = '{value}']"),
            "pattern_type": "stix", "valid_from": "2026-02-01T00:00:00.000Z",
        });
        let now = self.net.now_is();
        self.tell(|| format!("others: {object}"));
        self.net.server("taxii.example", |server| server.put(now, "c1", object.clone()));
        self.written.push(object);
        match revoked {
            true => self.others.remove(value),
            false => self.others.insert(value.to_owned(), (6, Vec::new())),
        };
    }

    fn others_change(&mut self) {
        let value = value(self.dice.below(self.n_values));
        let revoked = self.others.contains_key(&value) && self.dice.chance(60);
        self.others_write(&value, revoked);
    }

    /// Rows are pushed until they are acknowledged, as their sender would.
    fn push(&mut self, rows: &[(String, Said)]) {
        let pushed = |(value, said): &(String, Said)| {
            let mut observation = Observation { value: value.clone(), ..Observation::default() };
            if let Some((reputation, tag)) = said {
                observation.reputation = Some(i64::from(*reputation));
                observation.tags = tag.iter().map(|tag| (*tag).to_owned()).collect();
            }
            Ok(Push { op: if said.is_some() { Op::Upsert } else { Op::Retract }, observation })
        };
        self.tell(|| format!("bucket: {rows:?}"));
        // Only so often is a process stopped.
        for _ in 0..20 {
            let batch = rows.iter().map(pushed).collect();
            let Some(done) = self.run(|engine| engine.ingest("bucket", batch, "story")) else { continue };
            assert_eq!(done.outcomes.len(), rows.len());
            for (value, said) in rows {
                match said {
                    None => self.bucket.remove(value),
                    Some((reputation, tag)) => {
                        let tags = tag.iter().map(|tag| (*tag).to_owned()).collect();
                        self.bucket.insert(value.clone(), (*reputation, tags))
                    }
                };
            }
            return;
        }
        panic!("it is never acknowledged");
    }

    fn bucket_changes(&mut self) {
        let rows: Vec<_> = (0..1 + self.dice.below(5))
            .map(|_| {
                let value = value(self.dice.below(self.n_values));
                let tag = self.dice.chance(50).then(|| TAGS[self.dice.below(3) as usize]);
                let said = (!self.dice.chance(40)).then(|| (1 + self.dice.below(10) as u8, tag));
                (value, said)
            })
            .collect();
        if self.dice.chance(25) {
            let steps = self.dice.below(3);
            self.net.stop_in(Some(steps));
        }
        self.push(&rows);
    }

    fn events_change(&mut self) {
        // A value is in one event only.
        let n = self.dice.below(self.n_values);
        let (value, deleted, broken) = (value(n), self.dice.chance(35), self.dice.chance(25));
        let now = self.net.now_is();
        self.tell(|| format!("misp: {value} in {}, deleted: {deleted}, broken: {broken}", n % 4));
        self.net.server("misp.example", |s| s.events().unwrap().edit(now, n % 4, &value, deleted, broken));
    }

    fn run<T>(&mut self, f: impl FnOnce(&Engine) -> Result<T, EngineError>) -> Option<T> {
        match f(self.engine.as_ref().unwrap()) {
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
        self.net = self.net.after_restart();
        self.engine = Some(open(store, &self.net, &self.dir));
    }

    fn pull(&mut self, name: &str) -> u64 {
        // Two contents of one moment would be joined instead of replacing each other.
        self.net.advance(1);
        let Some(report) = self.run(|engine| engine.pull(name, &Silent)) else { return 1 };
        assert!(report.balances(), "{report:?}");
        self.tell(|| format!("pull {name}: {report:?}"));
        if report.status == "suspect" {
            let run = intel::RunId(report.run);
            self.run(|engine| engine.approve_run(run, "story"));
            return 1;
        }
        report.touched
    }

    fn share(&mut self, name: &str) -> Option<ShareReport> {
        let mode = Mode { approve: true, ..Mode::default() };
        let report = self.run(|engine| engine.share(name, mode, &Silent))?;
        let planned = report.push + report.update + report.retract;
        assert_eq!(planned, report.accepted + report.refused + report.unknown + report.deferred, "{report:?}");
        self.tell(|| format!("share {name}: {report:?}"));
        Some(report)
    }

    fn step(&mut self) {
        match self.dice.below(100) {
            0..=19 => self.list_changes(),
            20..=25 => self.others_change(),
            26..=30 => self.bucket_changes(),
            31..=34 => self.events_change(),
            35..=54 => {
                let name = SOURCES[self.dice.below(SOURCES.len() as u64) as usize];
                if self.dice.chance(10) {
                    let steps = self.dice.below(4);
                    self.net.stop_in(Some(steps));
                }
                self.pull(name);
            }
            55..=79 => {
                if self.dice.chance(15) {
                    let steps = self.dice.below(6);
                    self.net.stop_in(Some(steps));
                }
                // No time passes of itself: what is added, taken back and added within a second is three changes.
                let (name, ..) = TARGETS[self.dice.below(TARGETS.len() as u64) as usize];
                self.share(name);
            }
            80..=86 => {
                let secs = [1, 5, 60, 3_600, 86_400][self.dice.below(5) as usize];
                self.net.advance(secs);
            }
            87..=94 => {
                let host = HOSTS[self.dice.below(HOSTS.len() as u64) as usize];
                let trouble =
                    Trouble { busy: self.dice.below(30), down: self.dice.below(15), lost: self.dice.below(40) };
                self.tell(|| format!("{host}: {trouble:?}"));
                self.net.trouble(host, trouble);
                let picky = self.dice.chance(50);
                for (_, host, _) in TARGETS {
                    self.net.server(host, |server| server.picky(picky));
                }
                let slow = self.dice.below(60);
                self.net.server("taxii.example", |server| server.slow(slow));
            }
            95 if self.dice.chance(50) => self.restart(),
            95 => self.net.server("misp.example", |server| server.events().unwrap().repair()),
            96 | 97 => {
                self.floor = 2 + self.dice.below(7) as u8;
                let file = config(self.floor, self.rate, self.retract);
                self.run(|engine| engine.apply(&file, "story", false));
            }
            _ => {
                let steps = self.dice.below(12);
                self.net.stop_in(Some(steps));
            }
        }
    }

    fn quiet(&mut self) {
        self.tell(|| "-- quiet".to_owned());
        self.net.stop_in(None);
        HOSTS.iter().for_each(|host| self.net.trouble(host, Trouble::default()));
        TARGETS.iter().for_each(|(_, host, _)| self.net.server(host, |server| server.picky(false)));
        self.net.server("taxii.example", |server| server.slow(0));
        self.net.server("misp.example", |server| server.events().unwrap().repair());
        for round in 0..ROUNDS {
            // Past any wait and any retry of what was refused; then slowly.
            self.net.advance(if round < 3 { 25 * 3_600 } else { 11 });
            let mut moved: u64 = SOURCES.iter().map(|name| self.pull(name)).sum();
            for (name, ..) in TARGETS {
                let report = self.share(name).unwrap();
                assert_eq!((report.unknown, report.deferred), (0, 0), "{report:?}");
                moved += report.push + report.update + report.retract;
            }
            if moved == 0 {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    /// What a target should hold, from the sources alone.
    fn wanted(&self, name: &str) -> Held {
        let [a, b] = LISTS.map(|list| self.net.server("lists.example", |server| server.holds(&format!("/{list}"))));
        let misp = self.net.server("misp.example", |server| server.holds(""));
        let sources = [&a, &b, &misp, &self.bucket, &self.others];
        let mut values: BTreeMap<&String, Vec<&(u8, Vec<String>)>> = BTreeMap::new();
        for (value, said) in sources.into_iter().flatten() {
            values.entry(value).or_default().push(said);
        }
        let mut wanted = Held::new();
        for (value, said) in values {
            let reputation = said.iter().map(|(reputation, _)| *reputation).max().unwrap();
            let tags: BTreeSet<String> = said.iter().flat_map(|(_, tags)| tags.clone()).collect();
            let excepted = tags.contains("test");
            let c2 = tags.contains("c2");
            let is_wanted = match name {
                // An exception of one sharing's rule keeps an entry from the whole target.
                "soc" => reputation >= self.floor && !excepted || c2 && b.contains_key(value) && !excepted,
                "noc" => c2 && !excepted,
                _ => reputation >= self.floor,
            };
            if is_wanted {
                wanted.insert(value.clone(), (reputation, tags.into_iter().collect()));
            }
        }
        wanted
    }

    fn check(&self) {
        for (name, host, path) in TARGETS {
            let held = self.net.server(host, |server| server.holds(path));
            assert_eq!(held, self.wanted(name), "{name}");
        }
        let theirs = self.net.server("taxii.example", |server| server.theirs("c1"));
        assert_eq!(theirs, self.written, "what others wrote is theirs");
    }

    /// Everything is taken back.
    fn drain(&mut self) {
        self.tell(|| "-- drain".to_owned());
        for list in LISTS {
            self.net.server("lists.example", |server| server.list(&format!("/{list}")).unwrap().clear());
        }
        for value in self.others.clone().into_keys() {
            self.others_write(&value, true);
        }
        let now = self.net.now_is();
        self.net.server("misp.example", |server| server.events().unwrap().delete_all(now));
        let rows: Vec<_> = self.bucket.keys().map(|value| (value.clone(), None)).collect();
        self.push(&rows);
        self.quiet();
        self.check();
        for (name, host, path) in TARGETS {
            assert!(self.net.server(host, |server| server.holds(path)).is_empty(), "{name}");
        }
    }
}

/// Stops, messages that came twice, calls and seconds waited.
fn live(seed: u64, told: bool) -> [u64; 4] {
    let mut story = Story::new(seed, told);
    let slow = story.dice.below(60);
    story.net.server("taxii.example", |server| server.slow(slow));
    for _ in 0..2 {
        for _ in 0..30 + story.dice.below(40) {
            story.step();
        }
        story.quiet();
        story.check();
    }
    story.restart();
    story.check();
    story.drain();
    let (calls, waited) = story.net.traffic();
    let repeats = story.net.server("soc.example", |server| server.n_repeats());
    [story.stops, repeats, calls, waited.as_secs()]
}

/// Answers are lost for a whole pass, the process ends, another one comes a day later: the receiver is told the same
/// messages, and knows them.
#[test]
fn what_is_told_again_after_a_restart_is_known() {
    let mut story = Story::new(7, false);
    for name in LISTS {
        story.pull(name);
    }
    let lose = Trouble { lost: 100, ..Trouble::default() };
    story.net.trouble("soc.example", lose);
    let report = story.share("noc").unwrap();
    assert!(report.unknown > 0 && report.accepted == 0, "{report:?}");
    let told = |story: &Story| story.net.server("soc.example", |server| (server.n_done(), server.n_repeats()));
    let before = told(&story);
    story.net.trouble("soc.example", Trouble::default());
    story.net.advance(86_400);
    story.restart();
    let report = story.share("noc").unwrap();
    assert!(report.unknown == 0 && report.accepted == report.push && before.0 == 1, "{report:?} {before:?}");
    // The first message again, and what the pass that failed did not come to.
    let after = told(&story);
    assert_eq!(after.1, before.1 + 1, "{before:?} {after:?}");
}

/// Rows for a story that is told by hand.
fn plain(n: u64, rate: Option<u32>) -> Story {
    let mut story = Story::new(8, false);
    story.net.server("lists.example", |server| {
        server.list("/list-b").unwrap().clear();
        let rows = (0..n).map(|n| (format!("45.1.{}.{}", n / 250, n % 250 + 1), (9, Some("c2"))));
        *server.list("/list-a").unwrap() = rows.collect();
    });
    story.run(|engine| engine.apply(&config(4, rate, "revoke"), "story", false)).unwrap();
    story.pull("list-a");
    story
}

#[test]
fn a_change_and_its_opposite_within_a_second_are_both_told() {
    let mut story = plain(5, None);
    let now = story.net.now_is();
    for (floor, expect) in [(4, 5), (10, 0), (4, 5), (10, 0), (4, 5)] {
        story.run(|engine| engine.apply(&config(floor, None, "revoke"), "story", false)).unwrap();
        story.share("soc").unwrap();
        assert_eq!(story.net.server("soc.example", |server| server.holds("/soc").len()), expect);
    }
    assert_eq!(story.net.now_is(), now);
}

/// A server may take a message and work on it for hours. Who takes the entry back meanwhile finds nothing there, and
/// must not leave it at that.
#[test]
fn what_a_server_still_works_on_makes_no_ghost() {
    let mut story = plain(5, None);
    story.net.server("taxii.example", |server| server.slow(100));
    let report = story.share("ti").unwrap();
    assert_eq!((report.push, report.unknown), (5, 5), "{report:?}");
    story.net.server("lists.example", |server| server.list("/list-a").unwrap().clear());
    story.net.server("taxii.example", |server| server.slow(0));
    story.pull("list-a");
    let report = story.share("ti").unwrap();
    assert_eq!((report.retract, report.accepted), (5, 5), "{report:?}");
    story.net.advance(86_400);
    story.pull("ti");
    let held = |story: &Story| story.net.server("taxii.example", |server| server.holds("c1"));
    assert!(held(&story).is_empty(), "{:?}", held(&story));
    // And what is wanted again is there, whatever came late.
    story.net.server("lists.example", |server| server.list("/list-a").unwrap().insert("45.1.0.1".into(), (9, None)));
    story.pull("list-a");
    story.share("ti").unwrap();
    assert_eq!(held(&story).len(), 1);
}

#[test]
fn a_rate_must_be_one() {
    let mut story = plain(1, None);
    for rate in [0, 100_001] {
        match story.engine.as_ref().unwrap().apply(&config(4, Some(rate), "revoke"), "story", false) {
            Err(EngineError::Config(problems)) => assert!(problems.iter().all(|p| p.key == "requests_per_minute")),
            other => panic!("{:?}", other.err()),
        }
    }
    story.share("soc").unwrap();
}

#[test]
fn what_a_host_said_is_shown() {
    let net = Net::new(3);
    let options = OpenOptions { world: Some(Arc::new(net.clone())), ..OpenOptions::in_memory() };
    let app = TestApp::over(App::open(options).unwrap(), StillWorld::new(Vec::new()));
    app.post("/api/v1/config/apply", &serde_json::to_value(config(4, None, "revoke")).unwrap()).ok();
    assert_eq!(app.get("/api/v1/status").ok()["calls"], json!([]));
    net.tell_later("lists.example", 429, 600);
    app.post("/api/v1/pulls", &json!({ "connections": ["list-a", "list-b"] })).ok();
    let calls = app.get("/api/v1/status").ok()["calls"].clone();
    let until = net.now_is().after(std::time::Duration::from_secs(600)).to_string();
    let expect = json!([{
        "host": "lists.example", "account": "acme", "state": "later", "until": until,
        "why": "answered 429 with Retry-After: 600 s", "calls": 1, "waited": 0, "not_made": 1, "told_later": 1,
    }]);
    assert_eq!(calls, expect);
}

/// A receiver takes what was signed at most five minutes ago; it asserts that itself.
#[test]
fn a_pass_that_takes_long_signs_with_the_time_of_each_call() {
    let mut story = plain(300, Some(10));
    let before = story.net.now_is();
    let report = story.share("soc").unwrap();
    assert_eq!((report.accepted, report.unknown, report.deferred), (300, 0, 0), "{report:?}");
    let took = story.net.now_is().since(before);
    assert!(took.as_secs() > 500, "a hundred messages, one every six seconds: {took:?}");
}

#[test]
fn receivers_hold_exactly_what_the_lists_say() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("IOCAST_SEED") {
        live(seed, true);
        return;
    }
    let n = number("IOCAST_SEEDS").unwrap_or(60);
    let run = |seed: u64| {
        std::panic::catch_unwind(|| live(seed, false)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            panic!("IOCAST_SEED={seed}: {}", text.unwrap_or_default())
        })
    };
    let half = |odd: u64| {
        let worlds = KEPT.into_iter().chain(1..=n).filter(|seed| seed % 2 == odd).map(run);
        worlds.fold([0; 4], |sum, one: [u64; 4]| std::array::from_fn(|at| sum[at] + one[at]))
    };
    let sums = std::thread::scope(|scope| {
        let other = scope.spawn(|| half(1));
        let one: [u64; 4] = half(0);
        let other = other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        one.iter().zip(other).map(|(a, b)| a + b).collect::<Vec<u64>>()
    });
    // Every kind of trouble was met: a world in which nothing goes wrong proves nothing.
    let [stops, repeats, calls, waited] = sums[..] else { unreachable!() };
    assert!(stops >= n && 4 * repeats >= n && calls >= 20 * n && waited >= n, "{sums:?} over {n} worlds");
}
