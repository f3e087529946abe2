//! The exchange as the doors see it: opened, loaded, asked.
//!
//! Everything below blocks, so whoever is asynchronous comes in through `App::hop` and nowhere else. Opening has two
//! steps, because the last good lists must be served at once while everything known is still being loaded.

pub(crate) mod asked;
pub(crate) mod audit;
pub(crate) mod configuration;
pub(crate) mod crowd;
pub(crate) mod jobs;
pub(crate) mod live;
pub(crate) mod rules;
pub(crate) mod shelf;
pub(crate) mod status;
pub(crate) mod things;
pub(crate) mod tokens;
pub(crate) mod upkeep;

use crate::api::Problem;
use crate::people::roles::Needs;
use crate::people::{self, People};
use crate::seal::Keys;
use crate::tokens::{Caller, Found};
use crate::world::{Outside, RealWorld};
use anyhow::Context as _;
use crowd::Crowd;
use engine::runner::{Job, Runner};
use engine::{Engine, Progress, Registry, Silent, World};
use intel::Timestamp;
use kit::Connector;
use kit::secret::SecretResolver;
use shelf::Shelf;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use store::Store;

/// Tells how far a long job is, from any thread.
pub type Watcher = Arc<dyn Progress + Send + Sync>;

/// What an exchange is opened with.
pub struct OpenOptions {
    /// The data directory; None: everything is gone when it is closed.
    pub data: Option<PathBuf>,
    /// What connections may reach beyond what they say themselves.
    pub outside: Outside,
    /// Connectors beside the built-in ones; one of the same name replaces a built-in one.
    pub extra_connectors: Vec<Arc<dyn Connector>>,
    /// Another world than the real one. `outside` counts for nothing then.
    pub world: Option<Arc<dyn World>>,
    /// Told how far loading, pulls and passes are.
    pub progress: Watcher,
}

impl OpenOptions {
    /// On a data directory.
    pub fn at(data: impl Into<PathBuf>) -> OpenOptions {
        OpenOptions { data: Some(data.into()), ..OpenOptions::in_memory() }
    }

    /// In memory.
    pub fn in_memory() -> OpenOptions {
        OpenOptions {
            data: None,
            outside: Outside::default(),
            extra_connectors: Vec::new(),
            world: None,
            progress: Arc::new(Silent),
        }
    }
}

/// An open exchange.
pub struct App {
    store: Arc<Store>,
    engine: OnceLock<Arc<Engine>>,
    world: Arc<dyn World>,
    /// None where nothing is sealed.
    keys: Option<Arc<Keys>>,
    progress: Watcher,
    runner: Mutex<Option<Runner>>,
    /// What opening had to say, for whoever has no log.
    told: Mutex<Vec<String>>,
    /// Held from the look at the configuration to its change.
    editing: Mutex<()>,
    shelf: Shelf,
    crowd: Crowd,
    live: live::Live,
    people: People,
    asked: asked::Desk,
    /// Since when this process has it open.
    opened: Timestamp,
}

/// Whether who shows a token may come in with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// They may.
    Good,
    /// It is bound to networks, and they are in none of them.
    Elsewhere,
}

/// What is left to do before the exchange can answer everything.
pub struct Loading {
    app: Arc<App>,
    store: Arc<Store>,
    registry: Registry,
    lists: Option<PathBuf>,
}

impl App {
    /// Opens and loads an exchange.
    ///
    /// # Errors
    /// A data directory that another process holds, that cannot be read, or whose configuration no longer resolves.
    pub fn open(options: OpenOptions) -> anyhow::Result<Arc<App>> {
        let (app, loading) = App::begin(options)?;
        loading.finish()?;
        Ok(app)
    }

    /// Opens the store and the lists last published; everything known is yet to be loaded.
    ///
    /// # Errors
    /// As [`App::open`].
    pub fn begin(mut options: OpenOptions) -> anyhow::Result<(Arc<App>, Loading)> {
        crate::demo::prepare(&mut options);
        let store = match &options.data {
            Some(dir) => Store::open(dir)?,
            None => Store::in_memory()?,
        };
        let lists = options.data.as_ref().map(|dir| dir.join("lists"));
        let packed = options.data.as_ref().map(|dir| dir.join("lists-gzip"));
        let shelf = Shelf::open(&store, lists.as_deref(), packed)?;
        #[cfg(feature = "rig")]
        options.extra_connectors.extend(crate::rig::connectors());
        let registry = Registry::new(connectors::all().into_iter().chain(options.extra_connectors));
        // What is gone at the end needs no key.
        let keys = options
            .data
            .as_ref()
            .filter(|_| options.world.is_none())
            .map(|data| Arc::new(Keys::at(options.outside.key_place(), data.clone())));
        let world = options.world.unwrap_or_else(|| {
            let world = RealWorld::new(options.outside);
            Arc::new(match &keys {
                Some(keys) => world.sealing(keys.clone()),
                None => world,
            })
        });
        let store = Arc::new(store);
        let opened = world.now();
        let app = Arc::new(App {
            store: store.clone(),
            engine: OnceLock::new(),
            world,
            keys,
            progress: options.progress,
            runner: Mutex::new(None),
            told: Mutex::default(),
            editing: Mutex::new(()),
            shelf,
            crowd: Crowd::default(),
            live: live::Live::default(),
            people: People::default(),
            asked: asked::Desk::default(),
            opened,
        });
        Ok((app.clone(), Loading { app, store, registry, lists }))
    }

    /// The engine, once everything is loaded.
    ///
    /// # Errors
    /// "Starting", until then.
    pub fn engine(&self) -> Result<&Arc<Engine>, Problem> {
        self.engine.get().ok_or_else(Problem::starting)
    }

    /// What is the matter with the store, as its last operations found it.
    pub(crate) fn trouble(&self) -> Option<store::Trouble> {
        self.store.trouble()
    }

    /// What opening the exchange had to say to its operator, once.
    pub(crate) fn told(&self) -> Vec<String> {
        std::mem::take(&mut *self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The served lists.
    pub(crate) fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    /// Makes the code with which the first account is made. None: somebody has one.
    ///
    /// # Errors
    /// Our trouble.
    pub fn begin_set_up(&self) -> Result<Option<kit::Secret>, Problem> {
        people::begin_set_up(self)
    }

    /// Password hashes made since the exchange was opened: what a try to sign in costs.
    pub fn password_hashes(&self) -> u64 {
        self.people.n_hashed()
    }

    /// What is remembered of people.
    pub(crate) fn people(&self) -> &People {
        &self.people
    }

    /// The store, also before everything is loaded.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// What time it is.
    pub(crate) fn now(&self) -> Timestamp {
        self.world.now()
    }

    /// The outside.
    pub(crate) fn world(&self) -> &dyn World {
        &*self.world
    }

    /// Since when this process has it open.
    pub(crate) fn opened(&self) -> Timestamp {
        self.opened
    }

    /// What seals secrets.
    pub(crate) fn secrets(&self) -> &dyn SecretResolver {
        self.world.secrets()
    }

    /// Whether who may change anything must have a second factor.
    pub(crate) fn needs_second_factor(&self) -> bool {
        // Until it is known what is configured nobody may change anything anyway.
        self.engine.get().is_some_and(|engine| engine.config().plans.second_factor)
    }

    /// Who pushes and who follows.
    pub(crate) fn crowd(&self) -> &Crowd {
        &self.crowd
    }

    /// Whose pages are kept up to date.
    pub(crate) fn live(&self) -> &live::Live {
        &self.live
    }

    pub(crate) fn progress(&self) -> &dyn Progress {
        &*self.progress
    }

    /// Runs blocking work on a thread of its own.
    ///
    /// # Errors
    /// What the work says; a panic in it is our trouble.
    pub(crate) async fn hop<T: Send + 'static>(
        self: &Arc<App>,
        work: impl FnOnce(&App) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let app = self.clone();
        let origin = crate::api::origin::now();
        match tokio::task::spawn_blocking(move || store::asked_from(origin, || work(&app))).await {
            Ok(done) => done,
            Err(error) => Err(Problem::internal(format!("a job ended early: {error}"))),
        }
    }

    /// Who holds a token that is shown from an address. None: nobody we know.
    ///
    /// # Errors
    /// Our trouble.
    pub(crate) fn caller(&self, secret: &str, from: Option<IpAddr>) -> Result<Option<(Caller, Entry)>, Problem> {
        // A store that cannot be asked is no wrong token: some firewalls stop enforcing on a 401.
        let trouble = |error: store::StoreError| {
            tracing::error!(%error, "tokens cannot be looked up");
            Problem::later("tokens cannot be checked at the moment", 5)
        };
        // The store, not the engine: lists are served before everything is loaded.
        let found = crate::tokens::look_up(&self.store, secret, from, self.world.now()).map_err(trouble)?;
        Ok(found.map(|found| match found {
            Found::Elsewhere(token) => (token, Entry::Elsewhere),
            Found::Good(token, None) => (token, Entry::Good),
            // Whose name the audit log and the rule of two persons know.
            Found::Good(token, Some(person)) => {
                let them = people::caller_of(self, &person, None);
                (Caller { scope: token.scope, bucket: token.bucket, token: token.token, ..them }, Entry::Good)
            }
        }))
    }

    /// Whether somebody who was let in would be let in now.
    ///
    /// # Errors
    /// As [`App::caller`].
    pub(crate) fn is_still_let_in(&self, caller: &Caller) -> Result<bool, Problem> {
        if caller.is_local {
            return Ok(true);
        }
        if let Some(session) = caller.session {
            return Ok(people::in_session_still(self, session)?.is_some_and(|now| now.may(Needs::Read)));
        }
        let now = self.world.now();
        let tokens = self.store.tokens().map_err(|error| {
            tracing::error!(%error, "tokens cannot be looked up");
            Problem::later("tokens cannot be checked at the moment", 5)
        })?;
        let is_good = |token: &store::Token| token.revoked.is_none() && token.expires.is_none_or(|at| at > now);
        let Some(token) = tokens.iter().find(|token| token.id == caller.token && is_good(token)) else {
            return Ok(false);
        };
        let Some(owner) = token.owner else { return Ok(true) };
        let person = self.store.person(owner)?;
        Ok(person.is_some_and(|person| {
            let now = people::caller_of(self, &person, None);
            person.disabled.is_none() && Caller { scope: caller.scope, ..now }.may(Needs::Read)
        }))
    }

    /// Starts the loop that pulls and shares by itself. `told` hears of every job that ended.
    ///
    /// # Errors
    /// "Starting", while not everything is loaded.
    pub fn start_runner(
        &self,
        workers: usize,
        told: impl Fn(&engine::runner::Ended) + Send + 'static,
    ) -> Result<(), Problem> {
        let runner = Runner::start(self.engine()?.clone(), workers, told);
        *self.running() = Some(runner);
        Ok(())
    }

    /// Takes no new jobs and waits for those that run.
    pub fn stop_runner(&self) {
        let runner = self.running().take();
        if let Some(runner) = runner {
            runner.stop();
        }
    }

    /// Keeps every other change of the configuration waiting.
    pub(crate) fn editing(&self) -> std::sync::MutexGuard<'_, ()> {
        self.editing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Option<Runner>> {
        self.runner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the loop look at every target soon: something has changed. Nothing rests on it.
    pub(crate) fn hurry(&self) {
        let Ok(engine) = self.engine() else { return };
        if let Some(runner) = &*self.running() {
            engine.config().targets.keys().for_each(|target| runner.nudge(Job::Share(*target)));
            runner.nudge(Job::Tell);
        }
    }

    /// Tells people what needs them. The loop does it, where there is one; without, whoever ran a job does.
    pub(crate) fn tell_now(&self) {
        let Ok(engine) = self.engine() else { return };
        if let Some(runner) = &*self.running() {
            runner.nudge(Job::Tell);
            return;
        }
        // What could not be told is tried again with the next job, and is in the status meanwhile.
        if let Err(error) = engine.take_notice().and_then(|_| engine.tell_due()) {
            tracing::error!(%error, "people could not be told");
        }
    }

    /// Tells the loop that the configuration is another.
    pub(crate) fn reconfigured(&self) {
        if let Some(runner) = &*self.running() {
            runner.reconfigured();
        }
    }
}

impl Loading {
    /// The store, while nobody else has it.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Loads everything known.
    ///
    /// # Errors
    /// A store that cannot be read, or a stored configuration that no longer resolves.
    pub fn finish(self) -> anyhow::Result<()> {
        let Loading { app, store, registry, lists } = self;
        let engine = Engine::open(store, registry, app.world.clone(), lists.as_deref(), app.progress())
            .context("the exchange cannot be loaded")?;
        let told = app.crowd.revision.clone();
        engine.on_change(move |revision| {
            told.send_if_modified(|last| std::mem::replace(last, revision.max(*last)) < revision);
        });
        engine.approvers(people::approvers);
        // Set once: `Loading` is made once and finished by value.
        let engine = Arc::new(engine);
        for notice in engine.notices() {
            tracing::warn!("{notice}");
            app.told.lock().unwrap_or_else(PoisonError::into_inner).push(notice);
        }
        let _ = app.engine.set(engine);
        Ok(())
    }
}
