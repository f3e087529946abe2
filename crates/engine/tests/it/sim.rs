//! A world in memory: a clock that is set, chance from a seed, sources and destinations that misbehave on request.

use crate::boxes::{BOX, BoxConnector, Tool};
use engine::config::{Connection, ConnectionDoc, TargetDoc};
use engine::notice::{Channel, Letter};
use engine::{Engine, EngineError, Registry, Silent, Stopped, World};
use intel::{Observation, Timestamp};
use kit::files::Files;
use kit::http::{Answer, Http, HttpConfig, NoWait};
use kit::manifest::Manifest;
use kit::{
    Connector, ConnectorError, Cursor, Cx, Destination, ItemOutcome, Outgoing, Presence, Pulled, Rows, Source,
    TargetSpec,
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use store::Store;

/// A small generator with good spread (SplitMix64).
#[derive(Clone)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.roll() % n.max(1)
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// One row a source lists.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Item {
    pub(crate) reputation: i64,
    pub(crate) tag: Option<&'static str>,
    pub(crate) seq: u64,
    pub(crate) retracted: bool,
}

/// How a source answers its next pulls.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub(crate) enum Mood {
    #[default]
    Well,
    Down,
    Empty,
    CutShort,
}

/// One entry at a simulated tool.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Held {
    pub(crate) remote_id: String,
    pub(crate) ours: bool,
    /// As last sent by us; 0 for somebody else's.
    pub(crate) reputation: u8,
}

/// How a tool answers its next calls.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub(crate) struct Trouble {
    /// Percent of calls that are answered 429 before anything is done.
    pub(crate) busy: u64,
    /// Percent of calls whose answer is lost after everything was done.
    pub(crate) lost: u64,
    /// Percent of items that are refused.
    pub(crate) refuse: u64,
}

/// A product: what it lists as a source, what it holds as a destination.
#[derive(Default)]
pub(crate) struct Product {
    pub(crate) items: BTreeMap<String, Item>,
    pub(crate) mood: Mood,
    pub(crate) held: BTreeMap<String, Held>,
    pub(crate) trouble: Trouble,
    pub(crate) next_id: u64,
    pub(crate) n_pushes: u64,
    /// Reads back what it holds, as two-way products do.
    pub(crate) reports_held: bool,
    /// Gives ids to entries and knows who made them.
    pub(crate) has_ids: bool,
    /// Entries of ours it was asked to remove though they were not.
    pub(crate) foreign_touched: u64,
    /// When each call of ours began; the clock moves on by a second with each where `slow` is set.
    pub(crate) calls: Vec<Timestamp>,
    pub(crate) slow: bool,
    /// What was pushed, in order, with its reputation.
    pub(crate) order: Vec<(String, u8)>,
}

pub(crate) struct State {
    pub(crate) now: Timestamp,
    pub(crate) dice: Dice,
    pub(crate) products: BTreeMap<String, Product>,
    pub(crate) tools: BTreeMap<String, Tool>,
    /// The process stops at the so-many-th step from now.
    pub(crate) stop_in: Option<u64>,
    pub(crate) steps: u64,
    /// What people were told, and through which channel.
    pub(crate) letters: Vec<(String, Letter)>,
    /// Channels that take nothing.
    pub(crate) deaf: BTreeSet<String>,
    /// What a clock that nobody sets has counted.
    pub(crate) counted: Option<Duration>,
    /// What the web answers: content type and body.
    pub(crate) page: (&'static str, Vec<u8>),
    /// Done once, at the so-many-th step from now.
    pub(crate) then: Option<(u64, Box<dyn FnOnce() + Send>)>,
}

/// The world, shared between engine, connectors and test.
#[derive(Clone)]
pub(crate) struct Sim {
    pub(crate) state: Arc<Mutex<State>>,
    files: Arc<Files>,
}

impl Sim {
    pub(crate) fn new(seed: u64) -> Sim {
        let state = State {
            now: Timestamp::parse("2026-03-01T00:00:00Z").unwrap(),
            dice: Dice(seed),
            products: BTreeMap::new(),
            tools: BTreeMap::new(),
            stop_in: None,
            steps: 0,
            letters: Vec::new(),
            deaf: BTreeSet::new(),
            counted: None,
            page: ("text/plain", Vec::new()),
            then: None,
        };
        Sim { state: Arc::new(Mutex::new(state)), files: Arc::new(Files::below(Vec::new())) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    pub(crate) fn product<T>(&self, name: &str, f: impl FnOnce(&mut Product) -> T) -> T {
        f(self.lock().products.entry(name.to_owned()).or_default())
    }

    pub(crate) fn tool<T>(&self, name: &str, f: impl FnOnce(&mut Tool) -> T) -> T {
        f(self.lock().tools.entry(name.to_owned()).or_default())
    }

    pub(crate) fn wait(&self, time: Duration) {
        let mut state = self.lock();
        state.now = state.now.after(time);
    }

    /// The same world with files below this directory.
    pub(crate) fn reading(self, root: &Path) -> Sim {
        Sim { files: Arc::new(Files::below(vec![root.to_owned()])), ..self }
    }

    pub(crate) fn open(&self, store: impl Into<Arc<Store>>, lists: &Path) -> Result<Engine, EngineError> {
        Engine::open(store.into(), self.registry(), Arc::new(self.clone()), Some(lists), &Silent)
    }

    fn registry(&self) -> Registry {
        let kind = |toml: &str, whole: bool| -> Arc<dyn Connector> {
            Arc::new(SimConnector { manifest: Manifest::parse(toml).unwrap(), sim: self.clone(), whole })
        };
        let boxes: Arc<dyn Connector> =
            Arc::new(BoxConnector { manifest: Manifest::parse(BOX).unwrap(), sim: self.clone() });
        Registry::new([
            boxes,
            kind(FEED, true),
            kind(STREAM, false),
            kind(TOOL, true),
            kind(BLIND_TOOL, true),
            kind(BARE_TOOL, true),
            kind(MANUAL, true),
            kind(LIST, true),
            Arc::new(
                kit::feed::FeedConnector::from_toml(include_str!("../../../connectors/src/feed/manifest.toml"))
                    .unwrap(),
            ),
        ])
    }
}

impl World for Sim {
    fn now(&self) -> Timestamp {
        self.lock().now
    }

    fn monotonic(&self) -> Option<Duration> {
        self.lock().counted
    }

    fn random(&self) -> u64 {
        self.lock().dice.roll()
    }

    fn http(&self, _: &Connection) -> Result<Http, ConnectorError> {
        let sim = self.clone();
        Ok(Http::answering(HttpConfig::default(), Arc::new(NoWait), move |_| {
            let (content_type, body) = sim.lock().page.clone();
            Answer::new(200, body).header_pair("Content-Type", content_type)
        }))
    }

    fn files(&self) -> &Files {
        &self.files
    }

    fn tell(&self, channel: &Channel, letter: &Letter) -> Result<(), ConnectorError> {
        let mut state = self.lock();
        if state.deaf.contains(&channel.doc.name) {
            return Err(ConnectorError::Later { wait: None, why: "nobody is there".into() });
        }
        state.letters.push((channel.doc.name.clone(), letter.clone()));
        Ok(())
    }

    fn step(&self, point: &'static str) -> Result<(), Stopped> {
        let mut state = self.lock();
        state.steps += 1;
        if let Some((n, then)) = state.then.take() {
            match n.checked_sub(1) {
                Some(n) => state.then = Some((n, then)),
                None => {
                    drop(state);
                    then();
                    state = self.lock();
                }
            }
        }
        match &mut state.stop_in {
            Some(0) => {
                state.stop_in = None;
                Err(Stopped(point))
            }
            Some(n) => {
                *n -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

const FEED: &str = r#"
name = "sim-feed"
title = "A list"
summary = "Lists everything at every pull."
category = "feed"
source = { style = "whole" }
[[setting]]
key = "product"
type = "text"
label = "Product"
help = "Which simulated product."
required = true
"#;

const STREAM: &str = r#"
name = "sim-stream"
title = "A stream"
summary = "Gives what came since the cursor."
category = "feed"
source = { style = "incremental" }
[[setting]]
key = "product"
type = "text"
label = "Product"
help = "Which simulated product."
required = true
"#;

const TOOL: &str = r#"
name = "sim-tool"
title = "A tool"
summary = "Takes items and reads them back."
category = "edr"
source = { style = "whole" }
[[action]]
name = "block"
title = "Block"
summary = "Blocks."
delivery = "items"
batch = 3
can_look = true
object = []
[[action.params]]
key = "capacity"
type = "int"
label = "Capacity"
help = "Most entries."
[[setting]]
key = "product"
type = "text"
label = "Product"
help = "Which simulated product."
required = true
"#;

const BLIND_TOOL: &str = r#"
name = "sim-blind"
title = "A tool that cannot be asked"
summary = "Takes items; nobody can look."
category = "edr"
source = { style = "whole" }
[[action]]
name = "block"
title = "Block"
summary = "Blocks."
delivery = "items"
batch = 3
can_look = false
[[setting]]
key = "product"
type = "text"
label = "Product"
help = "Which simulated product."
required = true
"#;

const BARE_TOOL: &str = r#"
name = "sim-bare"
title = "A tool that wants no scheme"
summary = "Takes URLs without their scheme."
category = "edr"
source = { style = "whole" }
[[action]]
name = "block"
title = "Block"
summary = "Blocks."
delivery = "items"
batch = 3
can_look = true
object = []
render = "no_scheme"
[[setting]]
key = "product"
type = "text"
label = "Product"
help = "Which simulated product."
required = true
"#;

const MANUAL: &str = r#"
name = "manual"
title = "By hand"
summary = "What people add."
category = "platform"
source = { style = "hosted" }
"#;

const LIST: &str = r#"
name = "list"
title = "Served list"
summary = "A list we serve."
category = "output"
[[action]]
name = "publish"
title = "Publish"
summary = "Publishes."
delivery = "hosted"
[[action.params]]
key = "format"
type = "choice"
label = "Format"
help = "How it is written."
choices = ["edl", "csv", "json"]
default = "edl"
[[action.params]]
key = "capacity"
type = "int"
label = "Capacity"
help = "Most entries."
[[action.params]]
key = "allow_empty"
type = "bool"
label = "May be empty"
help = "Whether it may become empty."
default = false
"#;

struct SimConnector {
    manifest: Manifest,
    sim: Sim,
    whole: bool,
}

impl Connector for SimConnector {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn open(&self, settings: &Value) -> Result<Box<dyn kit::Connection>, String> {
        let product = settings.get("product").and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Box::new(SimConnection {
            sim: self.sim.clone(),
            product,
            whole: self.whole,
            manifest_source: self.manifest.source.is_some(),
        }))
    }
}

struct SimConnection {
    sim: Sim,
    product: String,
    whole: bool,
    manifest_source: bool,
}

impl kit::Connection for SimConnection {
    fn check(&self, _: &Cx<'_>) -> Result<(), ConnectorError> {
        Ok(())
    }

    /// A product that is called like a host is there.
    fn hosts(&self) -> Vec<String> {
        if self.product.contains('.') { vec![self.product.clone()] } else { Vec::new() }
    }

    fn source(&self) -> Option<&dyn Source> {
        (!self.product.is_empty() && self.manifest_source).then_some(self)
    }

    fn destination(&self) -> Option<&dyn Destination> {
        Some(self)
    }
}

fn observe(value: &str, item: &Item) -> Observation {
    let mut observation = Observation::new(value);
    observation.reputation = Some(item.reputation);
    observation.tags.extend(item.tag.map(str::to_owned));
    observation.retracted = item.retracted;
    observation
}

impl Source for SimConnection {
    fn pull(&self, after: Option<&Cursor>, _: &Cx<'_>, rows: &mut dyn Rows) -> Result<Pulled, ConnectorError> {
        let (mood, items, held) = self.sim.product(&self.product, |p| {
            let held: Vec<(String, Held)> =
                if p.reports_held { p.held.clone().into_iter().collect() } else { Vec::new() };
            let ids = p.has_ids;
            let held = held.into_iter().map(|(v, mut h): (String, Held)| {
                if !ids {
                    h.remote_id.clear();
                }
                (v, h)
            });
            let items: Vec<(String, Item)> = p.items.clone().into_iter().collect();
            (p.mood, items, held.collect::<Vec<_>>())
        });
        if mood == Mood::Down {
            return Err(ConnectorError::Later { wait: None, why: "down".into() });
        }
        if self.whole {
            if mood != Mood::Empty {
                for (n, (value, item)) in items.iter().enumerate() {
                    if mood == Mood::CutShort && n > items.len() / 2 {
                        return Err(ConnectorError::Unexpected("cut short".into()));
                    }
                    rows.row(observe(value, item));
                }
                for (value, held) in &held {
                    let mut observation = Observation::new(value.as_str());
                    observation.remote_id = (!held.remote_id.is_empty()).then(|| held.remote_id.clone());
                    rows.row(observation);
                }
            }
            return Ok(Pulled::Whole(None));
        }
        // Incremental: two rows a page, in the order of their sequence; the last is read again (overlap).
        let from = after.and_then(Value::as_u64).unwrap_or(0);
        let mut new: Vec<&(String, Item)> = items.iter().filter(|(_, i)| i.seq >= from && i.seq > 0).collect();
        new.sort_by_key(|(_, item)| item.seq);
        for (value, item) in new.iter().take(3) {
            rows.row(observe(value, item));
        }
        if mood == Mood::CutShort {
            return Err(ConnectorError::Unexpected("cut short".into()));
        }
        match new.get(2) {
            Some((_, item)) if new.len() > 3 => Ok(Pulled::More(json!(item.seq))),
            _ => Ok(Pulled::Done(new.last().map(|(_, item)| json!(item.seq)))),
        }
    }
}

impl SimConnection {
    /// 429 before anything is done, or a lost answer after everything was.
    fn fate(&self) -> (bool, bool, u64) {
        let mut state = self.sim.lock();
        let now = state.now;
        let product = state.products.entry(self.product.clone()).or_default();
        product.calls.push(now);
        let (trouble, slow) = (product.trouble, product.slow);
        if slow {
            state.now = now.after(Duration::from_secs(1));
        }
        let (busy, lost) = (state.dice.chance(trouble.busy), state.dice.chance(trouble.lost));
        (busy, lost, trouble.refuse)
    }
}

impl Destination for SimConnection {
    fn push(&self, target: TargetSpec<'_>, batch: &[Outgoing], _: &Cx<'_>) -> Result<Vec<ItemOutcome>, ConnectorError> {
        assert_eq!(target.action, "block");
        let (busy, lost, refuse) = self.fate();
        if busy {
            return Err(ConnectorError::Busy { wait: None, why: "429".into() });
        }
        let mut outcomes = Vec::new();
        for item in batch {
            let refused = self.sim.lock().dice.chance(refuse);
            outcomes.push(self.sim.product(&self.product, |p| {
                if refused {
                    return ItemOutcome::Refused("I do not like it".into());
                }
                p.n_pushes += 1;
                p.order.push((item.entry.clone(), item.reputation.get()));
                match p.held.get_mut(&item.entry) {
                    Some(held) if !held.ours => ItemOutcome::Foreign,
                    Some(held) => {
                        held.reputation = item.reputation.get();
                        ItemOutcome::Accepted { remote_id: Some(held.remote_id.clone()) }
                    }
                    None => {
                        p.next_id += 1;
                        let remote_id = format!("id-{}", p.next_id);
                        p.held.insert(
                            item.entry.clone(),
                            Held { remote_id: remote_id.clone(), ours: true, reputation: item.reputation.get() },
                        );
                        ItemOutcome::Accepted { remote_id: Some(remote_id) }
                    }
                }
            }));
        }
        if lost { Err(ConnectorError::Unexpected("the answer was lost".into())) } else { Ok(outcomes) }
    }

    fn retract(&self, _: TargetSpec<'_>, batch: &[Outgoing], _: &Cx<'_>) -> Result<Vec<ItemOutcome>, ConnectorError> {
        let (busy, lost, _) = self.fate();
        if busy {
            return Err(ConnectorError::Busy { wait: None, why: "429".into() });
        }
        let outcomes = batch
            .iter()
            .map(|item| {
                self.sim.product(&self.product, |p| match p.held.get(&item.entry) {
                    Some(held) if !held.ours => {
                        p.foreign_touched += 1;
                        ItemOutcome::Foreign
                    }
                    _ => {
                        p.held.remove(&item.entry);
                        ItemOutcome::Accepted { remote_id: None }
                    }
                })
            })
            .collect();
        if lost { Err(ConnectorError::Unexpected("the answer was lost".into())) } else { Ok(outcomes) }
    }

    fn look(&self, _: TargetSpec<'_>, entries: &[Outgoing], _: &Cx<'_>) -> Result<Vec<Presence>, ConnectorError> {
        let (busy, _, _) = self.fate();
        if busy {
            return Err(ConnectorError::Busy { wait: None, why: "429".into() });
        }
        Ok(entries
            .iter()
            .map(|item| {
                self.sim.product(&self.product, |p| match p.held.get(&item.entry) {
                    Some(held) if held.ours => Presence::Ours { remote_id: Some(held.remote_id.clone()) },
                    Some(_) => Presence::Foreign,
                    None => Presence::Absent,
                })
            })
            .collect())
    }
}

/// A connection document with the defaults of a test.
pub(crate) fn connection(name: &str, connector: &str, product: Option<&str>) -> ConnectionDoc {
    let settings = product.map_or_else(|| json!({}), |p| json!({ "product": p }));
    serde_json::from_value(json!({ "name": name, "connector": connector, "settings": settings })).unwrap()
}

/// A target document that asks nobody for its first fill.
pub(crate) fn target(name: &str, connection: &str, params: &Value) -> TargetDoc {
    serde_json::from_value(json!({
        "name": name, "connection": connection, "first_fill": "allow", "params": params
    }))
    .unwrap()
}
