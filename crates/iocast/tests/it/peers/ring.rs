//! Three exchanges in a ring: each shares to a collection that the next one reads. What they tell each other must not
//! outlive the lists it came from, however the ring turns.

use super::{Dice, Net, Trouble};
use engine::{ConfigFile, Engine, EngineError, Mode, Registry, Silent};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use store::Store;
use tempfile::TempDir;

/// Each reads the collection of the one before it.
const RING: [&str; 3] = ["c1", "c2", "c3"];

fn config(at: usize) -> ConfigFile {
    let collection = |name: &str, id: &str| {
        json!({
            "name": name, "connector": "taxii", "aging_days": 0, "override_reputation": 6,
            "settings": { "url": format!("https://taxii.example/api/collections/{id}/"), "token": "token" },
        })
    };
    serde_json::from_value(json!({
        "connection": [
            {
                "name": "own", "connector": "feed", "settings": {
                    "url": format!("https://lists.example/{}", RING[at]), "format": "json", "value": "value",
                    "kind": "auto", "reputation_column": "reputation", "tags_columns": ["tag"],
                }
            },
            collection("in", RING[(at + 2) % 3]),
            collection("out", RING[at]),
        ],
        "target": [{ "name": "out", "connection": "out", "first_fill": "allow" }],
        "rule": [{ "name": "all", "when": "reputation >= 1" }],
        "sharing": [{ "source": "any", "rule": "all", "target": "out" }],
    }))
    .unwrap()
}

struct Exchange {
    engine: Option<Engine>,
    net: Net,
    _dir: TempDir,
}

struct Ring {
    net: Net,
    dice: Dice,
    exchanges: Vec<Exchange>,
    told: bool,
}

fn open(store: Arc<Store>, net: &Net) -> Engine {
    Engine::open(store, Registry::new(connectors::all()), Arc::new(net.clone()), None, &Silent).unwrap()
}

impl Ring {
    fn new(seed: u64, told: bool) -> Ring {
        let net = Net::new(seed);
        let exchange = |at: usize| {
            let net = net.after_restart();
            let engine = open(Arc::new(Store::in_memory().unwrap()), &net);
            engine.apply(&config(at), "ring", false).unwrap();
            Exchange { engine: Some(engine), net, _dir: TempDir::new().unwrap() }
        };
        let exchanges = (0..RING.len()).map(exchange).collect();
        Ring { net, dice: Dice(seed ^ 0x0112), exchanges, told }
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        if self.told {
            let line = format!("{} {}\n", self.net.now_is(), what());
            let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
        }
    }

    fn run<T>(&mut self, at: usize, f: impl FnOnce(&Engine) -> Result<T, EngineError>) -> Option<T> {
        let exchange = &mut self.exchanges[at];
        match f(exchange.engine.as_ref().unwrap()) {
            Ok(done) => Some(done),
            Err(EngineError::Stopped(_)) => {
                let store = exchange.engine.take().unwrap().into_store();
                exchange.net = exchange.net.after_restart();
                exchange.engine = Some(open(store, &exchange.net));
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn pull(&mut self, at: usize, name: &str) -> u64 {
        self.net.advance(1);
        let report = self.run(at, |engine| engine.pull(name, &Silent));
        self.tell(|| format!("{at} pulls {name}: {report:?}"));
        let Some(report) = report else { return 1 };
        if report.status == "suspect" {
            let run = intel::RunId(report.run);
            self.run(at, |engine| engine.approve_run(run, "ring"));
            return 1;
        }
        report.touched
    }

    fn share(&mut self, at: usize) -> u64 {
        let mode = Mode { approve: true, ..Mode::default() };
        let report = self.run(at, |engine| engine.share("out", mode, &Silent));
        self.tell(|| format!("{at} shares: {report:?}"));
        report.map_or(1, |report| report.push + report.update + report.retract)
    }

    fn list_changes(&mut self) {
        let (at, n, remove) = (self.dice.below(3) as usize, self.dice.below(4), self.dice.chance(45));
        let value = format!("45.1.2.{n}");
        self.tell(|| format!("{at}: {value} {}", if remove { "goes" } else { "comes" }));
        self.net.server("lists.example", |server| {
            let rows = server.list(&format!("/{}", RING[at])).unwrap();
            match remove {
                true => rows.remove(&value),
                false => rows.insert(value, (6, None)),
            };
        });
    }

    fn step(&mut self) {
        let at = self.dice.below(3) as usize;
        match self.dice.below(100) {
            0..=19 => self.list_changes(),
            20..=34 => drop(self.pull(at, "own")),
            35..=54 => drop(self.pull(at, "in")),
            55..=79 => drop(self.share(at)),
            80..=86 => self.net.advance([1, 60, 3_600][self.dice.clone().below(3) as usize]),
            87..=92 => {
                let trouble = Trouble { lost: self.dice.below(30), ..Trouble::default() };
                self.net.trouble("taxii.example", trouble);
                let picky = self.dice.chance(40);
                let slow = self.dice.below(40);
                self.net.server("taxii.example", |server| {
                    server.picky(picky);
                    server.slow(slow);
                });
            }
            _ => {
                let steps = self.dice.below(8);
                self.net.stop_in(Some(steps));
            }
        }
    }

    fn quiet(&mut self) {
        self.tell(|| "-- quiet".to_owned());
        self.net.stop_in(None);
        self.net.trouble("taxii.example", Trouble::default());
        self.net.server("taxii.example", |server| {
            server.picky(false);
            server.slow(0);
        });
        // A change goes round, what it makes of the hops goes round again, and so on: but it ends.
        for round in 0..20 {
            self.net.advance(if round < 3 { 25 * 3_600 } else { 11 });
            let moved: u64 =
                (0..RING.len()).map(|at| self.pull(at, "own") + self.pull(at, "in") + self.share(at)).sum();
            if moved == 0 {
                return;
            }
        }
        panic!("the ring turns for ever");
    }

    /// What any list says is in every collection, and nothing else is.
    fn check(&self) {
        let listed = |id: &str| self.net.server("lists.example", |server| server.holds(&format!("/{id}")));
        let wanted: BTreeSet<String> = RING.iter().flat_map(|id| listed(id).into_keys()).collect();
        for id in RING {
            let held = self.net.server("taxii.example", |server| server.holds(id));
            assert_eq!(held.into_keys().collect::<BTreeSet<String>>(), wanted, "{id}");
        }
    }

    fn drain(&mut self) {
        for id in RING {
            self.net.server("lists.example", |server| server.list(&format!("/{id}")).unwrap().clear());
        }
        self.quiet();
        self.check();
    }
}

fn live(seed: u64, told: bool) {
    let mut ring = Ring::new(seed, told);
    for _ in 0..2 {
        for _ in 0..30 + ring.dice.below(40) {
            ring.step();
        }
        ring.quiet();
        ring.check();
    }
    ring.drain();
}

/// Three exchanges share with each other in a ring, through TAXII, while sources list, drop and fall silent. What comes
/// back to the exchange that handed it on is no word of its own: every exchange holds exactly what some source lists, and
/// when the sources fall silent the ring drains.
/// Figures: 25 seeded rings (IOCAST_SEEDS for more).
#[test]
fn f67_a_ring_holds_what_is_listed_and_drains() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("IOCAST_SEED") {
        return live(seed, true);
    }
    for seed in 1..=number("IOCAST_SEEDS").unwrap_or(25) {
        let lived = std::panic::catch_unwind(|| live(seed, false));
        if let Err(panic) = lived {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            panic!("IOCAST_SEED={seed}: {}", text.unwrap_or_default());
        }
    }
}
