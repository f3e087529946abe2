//! The engine: runs jobs against connections, the index and the store.
//!
//! It pulls, shares, expires and prunes; it decides nothing that `intel` can decide, and nothing reaches a destination
//! but as part of a plan that passed `restrain`. It does not know which connectors exist, nor what time it is.

mod again;
mod bulk;
pub mod changes;
mod clock;
pub mod config;
mod configure;
mod delete;
mod desk;
mod echo;
pub mod error;
mod expire;
mod freeze;
pub mod guards;
mod history;
pub mod ingest;
pub mod lanes;
pub mod ledger;
pub mod lists;
pub mod notice;
pub mod pages;
mod publish;
pub mod pull;
pub mod registry;
mod retract;
mod rollback;
mod room;
pub mod runner;
pub mod seal;
pub mod share;
pub mod state;
mod suspect;
mod told;
pub mod why;
pub mod world;

pub use bulk::{Act, BULK_MOST, FoundShown, Many, ManyAt, ManyDone, ManyShown};
pub use changes::{Feed, FeedItem, FeedPlace};
pub use config::{Config, ConfigError, ConfigFile};
pub use configure::{Applied, ApplyOptions, Change};
pub use delete::Prune;
pub use desk::{Added, Hit, NewIndicator};
pub use error::EngineError;
pub use freeze::{FREEZE_FILE, FreezeShown, freeze_note};
pub use history::{PastWord, SourceShown};
pub use ingest::{Ingested, Op, Outcome, Push, Standing};
pub use pull::PullReport;
pub use registry::Registry;
pub use retract::{RETRACT_MOST, Retracted};
pub use rollback::{Rollback, RollbackTarget};
pub use share::{
    Adopt, AdoptReport, BudgetUse, CapacityShown, Cut, HeldPlan, LearnedShown, Mode, Part, PinShown, Pins, PlannedStep,
    Preview, PreviewHead, PreviewRow, RuleEffect, ShareReport, SharingCounts, TargetShown, UseShown, Verify,
    VerifyReport, WaitsFor,
};
pub use suspect::SuspectPreview;
pub use told::{Delivery, DeliveryCursor, GuardAnswer, GuardFinding, Record};
pub use why::WhyReport;
pub use world::{Progress, Silent, Stopped, World};

use index::Index;
use intel::guard::Guard;
use intel::{ConnectionId, IndicatorId, TargetId, Timestamp};
use ledger::Ledger;
use lists::Bodies;
use state::ConnectionState;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard};
use store::Store;

/// Everything known, in memory: rebuilt from the store at start, changed only after the store was.
pub struct Known {
    /// All indicators.
    pub index: Index,
    /// All ledgers.
    pub ledgers: BTreeMap<TargetId, Ledger>,
    /// What is never sent.
    pub guard: Arc<Guard>,
    /// What people have undone.
    pub pins: BTreeMap<TargetId, Arc<Pins>>,
}

/// The engine. One per process and store; every method may be called from any thread.
pub struct Engine {
    store: Arc<Store>,
    world: Arc<dyn World>,
    registry: Registry,
    known: RwLock<Known>,
    config: RwLock<Arc<Config>>,
    /// One writer of knowledge at a time.
    ingest: Mutex<()>,
    /// One run of a source at a time; a slow one keeps nobody else waiting.
    pulls: Mutex<BTreeMap<ConnectionId, Arc<Mutex<()>>>>,
    /// One change of the configuration at a time.
    configuring: Mutex<()>,
    /// One pass of a target at a time; passes of one pool never overlap.
    passes: Mutex<BTreeMap<String, Arc<Mutex<()>>>>,
    /// Destinations that fail are spared.
    breakers: Mutex<BTreeMap<ConnectionId, intel::schedule::Breaker>>,
    /// Targets whose pass is to end before its next call, because somebody undoes a run of them.
    halted: Mutex<BTreeSet<TargetId>>,
    bodies: Bodies,
    key_cache: share::KeyCache,
    board: share::Board,
    /// Rows read so far by pulls that go on.
    under_way: Mutex<BTreeMap<intel::RunId, u64>>,
    exchange: Arc<str>,
    /// What the operator should hear of, once.
    notices: Mutex<Vec<String>>,
    /// The run that pushes to a bucket are counted on.
    buckets: Mutex<BTreeMap<ConnectionId, ingest::Bucket>>,
    /// What limited targets had no room for, as last computed for `why`.
    cuts: Mutex<BTreeMap<TargetId, (why::CutKey, why::Cut)>>,
    /// One look at what people should know at a time.
    noticing: Mutex<()>,
    /// One round of telling at a time; it may take long.
    telling: Mutex<()>,
    /// Verdicts of this process that take something back, and when they were given: how long that takes is told.
    verdicts: Mutex<BTreeMap<IndicatorId, Timestamp>>,
    /// Whether the wall clock is believed.
    clock: Mutex<clock::Clock>,
    /// The moment of the past that was asked for last.
    moment: Mutex<Option<Arc<store::Moment>>>,
    /// Told of the last revision that can be read.
    on_change: OnceLock<Box<dyn Fn(u64) + Send + Sync>>,
    /// Says who may approve.
    approvers: OnceLock<share::Approvers>,
}

/// A poisoned lock means a panic in another job: what it guards is still what the store says, so go on.
fn unpoison<T>(result: Result<T, std::sync::PoisonError<T>>) -> T {
    result.unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Engine {
    /// Opens an engine on a store: reads configuration, indicators and ledgers. `lists` is the directory of published
    /// list bodies; None keeps them in memory.
    ///
    /// # Errors
    /// A store that cannot be read, or a stored configuration that no longer resolves.
    pub fn open(
        store: Arc<Store>,
        registry: Registry,
        world: Arc<dyn World>,
        lists: Option<&Path>,
        progress: &dyn Progress,
    ) -> Result<Engine, EngineError> {
        let now = world.now();
        configure::ensure_manual(&store, now)?;
        let mut documents = configure::load_documents(&store)?;
        let sealed = seal::seal_stored(&store, &mut documents, &registry, world.secrets(), now)?;
        let config = Arc::new(
            config::resolve(&documents, &registry, world.secrets(), config::Strict::No).map_err(EngineError::Config)?,
        );
        let exchange: Arc<str> = configure::exchange_id(&store, || world.random())?.into();
        let bodies = Bodies::open(lists, &store)?;
        let mut policies = config.policies();
        for id in config.connections.keys() {
            let state = ConnectionState::parse(store.connection_state(*id)?.as_deref());
            if let Some(policy) = policies.get_mut(*id) {
                policy.last_believed = state.last_believed();
            }
        }
        progress.phase("loading indicators");
        let (loaded, ledgers) = std::thread::scope(|scope| {
            let ledgers = scope.spawn(|| {
                let load = |target: &TargetId| Ok((*target, share::load_ledger(&store, *target)?));
                config.targets.keys().map(load).collect::<Result<BTreeMap<_, _>, EngineError>>()
            });
            let loaded = expire::load_index(&store, policies, config.fold, now);
            (loaded, ledgers.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        let ((index, stale), mut ledgers) = (loaded?, ledgers?);
        ledgers.values_mut().for_each(|ledger| ledger.keep(|id| index.exists(id)));
        let guard = Arc::new(guards::build(&config, &guards::copies(&store)?));
        let pins = share::load_pins(&store)?;
        let engine = Engine {
            store,
            world,
            registry,
            halted: Mutex::new(BTreeSet::new()),
            known: RwLock::new(Known { index, ledgers, guard, pins }),
            config: RwLock::new(config),
            ingest: Mutex::new(()),
            pulls: Mutex::new(BTreeMap::new()),
            configuring: Mutex::new(()),
            passes: Mutex::new(BTreeMap::new()),
            breakers: Mutex::new(BTreeMap::new()),
            bodies,
            key_cache: share::KeyCache::default(),
            board: share::Board::default(),
            under_way: Mutex::default(),
            exchange,
            notices: Mutex::new(sealed.into_iter().collect()),
            buckets: Mutex::new(BTreeMap::new()),
            cuts: Mutex::default(),
            noticing: Mutex::new(()),
            telling: Mutex::new(()),
            verdicts: Mutex::default(),
            clock: Mutex::default(),
            moment: Mutex::new(None),
            on_change: OnceLock::new(),
            approvers: OnceLock::new(),
        };
        // What was removed last may have a greater revision than all that is there.
        let last = engine.store.revision()?;
        engine.known_mut().index.note_revision(last);
        engine.bump(&stale)?;
        Ok(engine)
    }

    /// The configuration in force. A job uses one from beginning to end.
    pub fn config(&self) -> Arc<Config> {
        unpoison(self.config.read()).clone()
    }

    /// The store, for what has no business in the engine: tokens, audit, backup.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Ends the engine and gives the store back, as when a process ends and another begins.
    pub fn into_store(self) -> Arc<Store> {
        self.store
    }

    /// The connectors there are.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What the operator should hear of, each once: secrets that were sealed, a key file that was made.
    pub fn notices(&self) -> Vec<String> {
        let mut notices = std::mem::take(&mut *unpoison(self.notices.lock()));
        notices.extend(self.world.notices());
        notices
    }

    /// The HTTP client of a connection.
    ///
    /// # Errors
    /// [`kit::ConnectorError::Later`] while a secret of it cannot be read: nothing is called without it, and it is tried
    /// again; [`kit::ConnectorError::Denied`] where its settings cannot be used.
    pub fn http_of(&self, connection: &config::Connection) -> Result<kit::http::Http, kit::ConnectorError> {
        match &connection.locked {
            Some(why) => Err(kit::ConnectorError::Busy { wait: None, why: why.clone() }),
            None => self.world.http(connection),
        }
    }

    /// The world the engine was given.
    pub fn world(&self) -> &dyn World {
        &*self.world
    }

    /// Everything known, to read. Do not hold it across a call out.
    pub fn known(&self) -> RwLockReadGuard<'_, Known> {
        unpoison(self.known.read())
    }

    fn known_mut(&self) -> RwLockWriteGuard<'_, Known> {
        unpoison(self.known.write())
    }

    fn ingest_lock(&self) -> MutexGuard<'_, ()> {
        unpoison(self.ingest.lock())
    }

    fn pull_lock(&self, connection: ConnectionId) -> Arc<Mutex<()>> {
        unpoison(self.pulls.lock()).entry(connection).or_default().clone()
    }

    /// This exchange's own id: the mark on entries, the hop in what we hand on.
    pub fn exchange_id(&self) -> Arc<str> {
        self.exchange.clone()
    }

    fn no_connection(&self, name: &str) -> EngineError {
        let config = self.config();
        let names: Vec<&str> = config.connections.values().map(|c| c.doc.name.as_str()).collect();
        not_found("connection", name, &names)
    }

    fn no_target(&self, name: &str) -> EngineError {
        let config = self.config();
        let names: Vec<&str> = config.targets.values().map(|t| t.doc.name.as_str()).collect();
        not_found("target", name, &names)
    }

    /// Gives indicators whose summary changed by time or policy a new revision.
    fn bump(&self, changed: &[IndicatorId]) -> Result<(), EngineError> {
        if changed.is_empty() {
            return Ok(());
        }
        let rows: Vec<(IndicatorId, u64)> = {
            let known = self.known();
            changed.iter().map(|id| (*id, known.index.summary_hash(*id))).collect()
        };
        let first = self.store.bump(&rows)?;
        let mut known = self.known_mut();
        for (n, (id, _)) in rows.iter().enumerate() {
            known.index.set_revision(*id, first + n as u64);
        }
        drop(known);
        self.published();
        Ok(())
    }

    /// A list we serve, by its target's name.
    pub fn list(&self, name: &str) -> Option<Arc<lists::ServedList>> {
        self.bodies.get(name)
    }

    /// Says that the body of a served list is not what was published: it is served no more, and the next pass of its
    /// target makes it anew.
    pub fn distrust_list(&self, name: &str, sha256: &str) {
        self.bodies.distrust(name, sha256);
    }

    /// Rows read so far by the pulls that go on.
    pub fn under_way(&self) -> BTreeMap<intel::RunId, u64> {
        unpoison(self.under_way.lock()).clone()
    }

    /// The name of a connection.
    pub fn connection_name(&self, id: ConnectionId) -> String {
        self.config().connections.get(&id).map_or_else(|| format!("#{id}"), |c| c.doc.name.clone())
    }
}

/// "No such thing", with what there is.
pub(crate) fn not_found(what: &str, name: &str, names: &[&str]) -> EngineError {
    let hint = match config::nearest(name, names) {
        Some(near) => format!("; did you mean \"{near}\"?"),
        None if names.is_empty() => format!("; no {what} is configured yet: see `iocast apply --help`"),
        None => format!("; there is {}", names.join(", ")),
    };
    EngineError::NotFound(format!("no {what} is called \"{name}\"{hint}"))
}
