//! Rolling a source back to a time: its records are again what they were, and what came later is ended.
//!
//! Nothing is taken back from a destination here: what follows is decided by the ordinary passes, under their brakes. A
//! rollback changes records as a pull does, so that what it replaced is kept like everything a run replaces, and a
//! rollback to just before it undoes it.
//!
//! What the source listed last is no longer what stands here, so that a source that lists everything is read whole
//! again, and that run waits for a person unless it is what the source said then. A rollback that is interrupted leaves
//! that behind first; doing it again finishes it.

use crate::config::{Config, Connection, Target};
use crate::error::EngineError;
use crate::ledger::Ledger;
use crate::publish::Written;
use crate::share::{KeyCache, collect};
use crate::state::{BelievedState, ConnectionState, RolledBackState};
use crate::{Engine, Known, unpoison};
use index::{Index, Selection};
use intel::rollback::{RolledBack, roll_back};
use intel::{ConnectionId, Indicator, IndicatorId, IndicatorKey, RunId, SourceRecord, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;
use store::{Moment, RunFilter};

/// Records written in one transaction.
const BATCH: usize = 8_192;
/// Values shown of each sort.
const SAMPLES: usize = 10;
/// Indicators looked at to say what targets would do; of more than that it is said by proportion.
const LOOKED_AT: usize = 20_000;
/// Runs looked through for the last one believed.
const RUNS_BACK: usize = 10_000;

/// What a rollback did, or would do. `read = ended + restored + revived + unchanged`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Rollback {
    /// Which connection.
    pub connection: String,
    /// To which time. RFC 3339.
    pub to: String,
    /// The run that did it; None: this is what it would do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<u64>,
    /// Records that were made or changed since.
    pub read: u64,
    /// Of these, they count now and did not then.
    pub ended: u64,
    /// They counted then and do not now.
    pub revived: u64,
    /// They say again what they said then.
    pub restored: u64,
    /// They are as they were.
    pub unchanged: u64,
    /// Some that are ended.
    pub ended_some: Vec<String>,
    /// Some that are revived.
    pub revived_some: Vec<String>,
    /// Some that say again what they said.
    pub restored_some: Vec<String>,
    /// Indicators whose summary changes.
    pub touched: u64,
    /// What the next passes would do about it, before their brakes.
    pub targets: Vec<RollbackTarget>,
    /// A suspect run that waits and is dropped with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drops_run: Option<u64>,
    /// What the next run of the source will be.
    pub next: String,
}

/// What a pass over one target would do after a rollback, before its brakes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RollbackTarget {
    /// Which target.
    pub target: String,
    /// Entries it would add.
    pub add: u64,
    /// Entries it would take back.
    pub remove: u64,
    /// The numbers are by proportion, from a part of what changes.
    pub estimated: bool,
}

/// Records of a connection as they are to be, and what that is.
struct Planned {
    id: IndicatorId,
    key: IndicatorKey,
    record: SourceRecord,
    what: RolledBack,
    /// A rollback has ended it, and it is to be remembered, or forgotten.
    mark: Option<bool>,
}

impl Engine {
    /// What rolling a source back to a time would do. Nothing is changed.
    ///
    /// # Errors
    /// No such source, a time that lies ahead or before what history holds, or a failing store.
    pub fn rollback_preview(&self, name: &str, to: Timestamp) -> Result<Rollback, EngineError> {
        let config = self.config();
        let connection = self.to_roll_back(&config, name, to)?;
        let state = ConnectionState::parse(self.store.connection_state(connection.id)?.as_deref());
        let moment = self.store.moment(to)?;
        let ids = self.store.changed_after(connection.id, &moment)?;
        let mut report = report_of(connection, to, &state);
        let mut tally = Tally::new(self, &config, ids.len());
        for ids in ids.chunks(BATCH) {
            let planned = self.planned(connection, ids, &moment)?;
            count(&mut report, &planned);
            let now = self.world.now();
            let known = self.known();
            report.touched += planned
                .iter()
                .filter(|p| p.what != RolledBack::Unchanged)
                .filter(|p| known.index.would_change(Some(p.id), connection.id, &p.record, now))
                .count() as u64;
            drop(known);
            tally.take(self, connection.id, &planned)?;
        }
        report.targets = tally.told(self, &config);
        Ok(report)
    }

    /// Rolls a source back to a time, in a run of its own.
    ///
    /// # Errors
    /// As [`Engine::rollback_preview`], or a stopped simulation. What is interrupted is finished by doing it again.
    pub fn rollback(&self, name: &str, to: Timestamp, who: &str) -> Result<Rollback, EngineError> {
        let config = self.config();
        let id = self.to_roll_back(&config, name, to)?.id;
        let one_pull = self.pull_lock(id);
        let _one_pull = unpoison(one_pull.lock());
        // The connection may have been deleted or changed meanwhile.
        let config = self.config();
        let connection = self.to_roll_back(&config, name, to)?;
        let moment = self.store.moment(to)?;
        let ids = self.store.changed_after(id, &moment)?;
        // What a bucket remembers of its state is read anew.
        unpoison(self.buckets.lock()).remove(&id);
        let now = self.world.now();
        let mut state = ConnectionState::parse(self.store.connection_state(id)?.as_deref());
        let believed = self.believed_at(name, &moment)?;
        let run = self.store.run_start("rollback", name, now)?;
        let mut report = Rollback { run: Some(run.0), ..report_of(connection, to, &state) };
        if let Some(suspect) = state.suspect.take() {
            self.drop_suspect(&suspect, "discarded", run)?;
        }
        if connection.complete {
            state.cursor = None;
            state.rolled_back = Some(RolledBackState { run: run.0, at: now.micros(), to: to.micros() });
        }
        self.store.set_connection_state(id, &state.to_text())?;
        for ids in ids.chunks(BATCH) {
            self.world.step("rollback.batch")?;
            let _one_writer = self.ingest_lock();
            let planned = self.planned(connection, ids, &moment)?;
            count(&mut report, &planned);
            let marked = |mark: bool| -> Vec<IndicatorId> {
                planned.iter().filter(|p| p.mark == Some(mark)).map(|p| p.id).collect()
            };
            // A record that is marked and not ended is harmless, one that is ended and not marked is not.
            self.store.mark_rolled_back(id, &marked(true), Some(run))?;
            let written: Vec<Written<'_>> = planned
                .iter()
                .filter(|p| p.what != RolledBack::Unchanged)
                .map(|p| Written { id: Some(p.id), key: &p.key, record: p.record.clone() })
                .collect();
            report.touched += self.write_records(id, run, self.world.now(), &written, None, None)?;
            self.store.mark_rolled_back(id, &marked(false), None)?;
        }
        if connection.complete {
            let known = self.known();
            let rows = known.index.slots_of(id).filter(|(slot, _)| known.index.is_listed(*slot)).count() as u64;
            drop(known);
            // What stands was confirmed as late as anything was: a rollback ages nothing.
            let at = state.believed.as_ref().map_or(to.micros(), |believed| believed.at);
            state.believed = (rows > 0 || believed.is_some()).then(|| {
                let (run, read, rejected) = believed.unwrap_or((run.0, rows, 0));
                BelievedState { run, at, rows, read: read.max(rows + rejected), rejected }
            });
        }
        let detail = serde_json::json!({
            "run": run.0, "to": report.to, "ended": report.ended, "revived": report.revived, "restored": report.restored,
        });
        self.store.end_rollback((id, name), &state.to_text(), (who, &detail.to_string()), self.world.now())?;
        self.finish_run(run, "success", &report)?;
        Ok(report)
    }

    fn to_roll_back<'c>(&self, config: &'c Config, name: &str, to: Timestamp) -> Result<&'c Connection, EngineError> {
        let connection = config.connection(name).ok_or_else(|| self.no_connection(name))?;
        let is_hosted = self.is_bucket(connection) || connection.id == ConnectionId::MANUAL;
        if connection.open.source().is_none() && !is_hosted {
            return Err(EngineError::Invalid(format!(
                "{name} is no source: connector \"{}\" says nothing that could be rolled back; a target is brought back \
                 to a time by a plan",
                connection.doc.connector
            )));
        }
        let now = self.world.now();
        if to >= now {
            return Err(EngineError::Invalid(format!(
                "{to} is not past (it is {now}): give a time before the first bad run; `iocast source history {name}` \
                 lists its runs"
            )));
        }
        Ok(connection)
    }

    /// The last run that was believed at a moment, its candidate rows and how many of them were no indicator.
    fn believed_at(&self, name: &str, moment: &Moment) -> Result<Option<(u64, u64, u64)>, EngineError> {
        let filter = RunFilter { kind: Some("pull"), subject: Some(name), status: None };
        let runs = self.store.runs(filter, RUNS_BACK, None)?;
        let believed = runs.into_iter().find(|run| {
            matches!(run.status.as_str(), "success" | "partial" | "approved")
                && run.ended.is_some_and(|ended| ended <= moment.at)
        });
        Ok(believed.map(|run| {
            let report: serde_json::Value = serde_json::from_str(&run.report).unwrap_or_default();
            let number = |key: &str| report[key].as_u64().unwrap_or(0);
            (run.id.0, number("read"), number("rejected"))
        }))
    }

    fn planned(
        &self,
        connection: &Connection,
        ids: &[IndicatorId],
        moment: &Moment,
    ) -> Result<Vec<Planned>, EngineError> {
        let rewound = self.store.rewound(connection.id, ids, moment)?;
        let known = self.known();
        let planned = rewound.into_iter().filter(|rewound| known.index.exists(rewound.id)).map(|rewound| {
            let then = rewound.then.as_ref();
            let by_rollback = rewound.is_rolled_back;
            let (record, what) = roll_back(&rewound.now, then, connection.complete, by_rollback);
            let is_ours = then.is_none() || by_rollback || rewound.now.ended.is_none();
            let mark = match (record.ended.is_some(), by_rollback) {
                (true, false) if is_ours && record.ended != rewound.now.ended => Some(true),
                (false, true) => Some(false),
                _ => None,
            };
            Planned { id: rewound.id, key: known.index.key(rewound.id), record, what, mark }
        });
        Ok(planned.collect())
    }
}

fn report_of(connection: &Connection, to: Timestamp, state: &ConnectionState) -> Rollback {
    let next = match connection.complete {
        true => {
            "the source is read whole again; unless it lists exactly what it listed then, that run is suspect and waits \
             for a person"
        }
        false => {
            "the source goes on where it stopped; what was taken back counts again only when it says something else, later"
        }
    };
    Rollback {
        connection: connection.doc.name.clone(),
        to: to.to_string(),
        run: None,
        read: 0,
        ended: 0,
        revived: 0,
        restored: 0,
        unchanged: 0,
        ended_some: Vec::new(),
        revived_some: Vec::new(),
        restored_some: Vec::new(),
        touched: 0,
        targets: Vec::new(),
        drops_run: state.suspect.as_ref().map(|suspect| suspect.run),
        next: next.to_owned(),
    }
}

fn count(report: &mut Rollback, planned: &[Planned]) {
    for planned in planned {
        report.read += 1;
        let (n, some) = match planned.what {
            RolledBack::Ended => (&mut report.ended, Some(&mut report.ended_some)),
            RolledBack::Revived => (&mut report.revived, Some(&mut report.revived_some)),
            RolledBack::Restored => (&mut report.restored, Some(&mut report.restored_some)),
            RolledBack::Unchanged => (&mut report.unchanged, None),
        };
        *n += 1;
        if let Some(some) = some.filter(|some| some.len() < SAMPLES) {
            some.push(planned.key.value().to_owned());
        }
    }
}

/// What targets would do: the indicators that change, as they would be, are evaluated as a pass evaluates all of them.
struct Tally {
    after: Known,
    looked_at: Selection,
    n_changed: u64,
    every: usize,
    n_seen: usize,
}

impl Tally {
    fn new(engine: &Engine, config: &Config, n_changed: usize) -> Tally {
        let known = engine.known();
        let index = Index::new(known.index.policies().clone(), config.fold);
        let after = Known { index, ledgers: BTreeMap::new(), guard: known.guard.clone(), pins: BTreeMap::new() };
        let every = n_changed.div_ceil(LOOKED_AT).max(1);
        Tally { after, looked_at: Selection::default(), n_changed: 0, every, n_seen: 0 }
    }

    fn take(&mut self, engine: &Engine, connection: ConnectionId, planned: &[Planned]) -> Result<(), EngineError> {
        let now = engine.world.now();
        for planned in planned.iter().filter(|p| p.what != RolledBack::Unchanged) {
            self.n_changed += 1;
            self.n_seen += 1;
            if !self.n_seen.is_multiple_of(self.every) {
                continue;
            }
            let Some(indicator) = engine.store.indicator(planned.id)? else { continue };
            let Indicator { key, mut records, analyst } = indicator;
            records.insert(connection, planned.record.clone());
            for (connection, record) in &records {
                self.after.index.put(planned.id, &key, *connection, record, None, now);
            }
            self.after.index.set_analyst(planned.id, analyst, None, now);
            self.looked_at.insert(planned.id);
        }
        Ok(())
    }

    fn told(&self, engine: &Engine, config: &Config) -> Vec<RollbackTarget> {
        let now = engine.world.now();
        let cache = KeyCache::default();
        let known = engine.known();
        let n_looked_at = self.looked_at.count() as u64;
        let scale = |n: usize| match n_looked_at {
            0 => 0,
            looked_at => (n as u64 * self.n_changed).div_ceil(looked_at),
        };
        let told = |target: &Target| {
            let mut wanted = collect(&self.after, config, target, &cache, now);
            wanted.yes.and_not(&wanted.guarded);
            let nothing = Selection::default();
            let present = known.ledgers.get(&target.id).map_or(&nothing, Ledger::present);
            let mut add = wanted.yes.clone();
            add.and_not(present);
            let mut remove = self.looked_at.clone();
            remove.and(present);
            remove.and_not(&wanted.yes);
            remove.and_not(&wanted.held);
            RollbackTarget {
                target: target.doc.name.clone(),
                add: scale(add.count()),
                remove: scale(remove.count()),
                estimated: self.every > 1,
            }
        };
        config.targets.values().map(told).collect()
    }
}

/// Just before a time: rolling a source back to it undoes a rollback that began then.
pub(crate) fn just_before(at: Timestamp) -> Timestamp {
    at.before(Duration::from_micros(1))
}

impl Engine {
    /// The time to which a rollback undoes the last rollback of a source.
    ///
    /// # Errors
    /// No such source; [`EngineError::Conflict`] where it was not rolled back.
    pub fn before_rollback(&self, name: &str) -> Result<Timestamp, EngineError> {
        self.source(name)?;
        let filter = RunFilter { kind: Some("rollback"), subject: Some(name), status: None };
        match self.store.runs(filter, 1, None)?.first() {
            Some(run) => Ok(just_before(run.started)),
            None => Err(EngineError::Conflict(format!("{name} has not been rolled back: there is nothing to undo"))),
        }
    }

    /// Runs of a source that say how it went: pulls, pushes, additions and rollbacks, the latest first.
    ///
    /// # Errors
    /// No such connection, or a failing store.
    pub fn runs_of(&self, name: &str, limit: usize, before: Option<RunId>) -> Result<Vec<store::RunRow>, EngineError> {
        if self.config().connection(name).is_none() {
            return Err(self.no_connection(name));
        }
        let filter = RunFilter { kind: None, subject: Some(name), status: None };
        Ok(self.store.runs(filter, limit, before)?)
    }
}
