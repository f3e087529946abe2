//! Runs that are not believed: what one would do, and what a person says to it.
//!
//! Rows of a suspect run wait in the store; nothing of it counts, and nothing it did not list is taken back. A person
//! believes it or drops it. One that is dropped was never read as far as the source is concerned: what it brought is
//! read and judged again at the next run, and is never "not modified".

use crate::Engine;
use crate::config::{Config, Connection};
use crate::error::EngineError;
use crate::publish::Written;
use crate::pull::{PullReport, Staged};
use crate::state::{BelievedState, ConnectionState, SuspectState};
use index::Slot;
use intel::absence::PullStatus;
use intel::{ConnectionId, IndicatorId, IndicatorKey, RunId, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// Values shown of each sort.
const SAMPLES: usize = 10;

/// What believing a suspect run would do.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct SuspectPreview {
    /// Which run.
    pub run: u64,
    /// Which connection.
    pub connection: String,
    /// Why it is not believed.
    pub why: String,
    /// Rows it listed.
    pub rows: u64,
    /// Rows of the last believed run; None: there was none.
    pub believed_rows: Option<u64>,
    /// Start of the last believed run. RFC 3339.
    pub believed_at: Option<String>,
    /// Values this source did not have.
    pub adds: u64,
    /// Some of them.
    pub adds_some: Vec<String>,
    /// Values it says other things of.
    pub changes: u64,
    /// Some of them.
    pub changes_some: Vec<String>,
    /// Values it lists again.
    pub relists: u64,
    /// Some of them.
    pub relists_some: Vec<String>,
    /// Values it no longer lists: they would be taken back.
    pub withdraws: u64,
    /// Some of them.
    pub withdraws_some: Vec<String>,
}

impl Engine {
    /// What believing a suspect run would do. None: no such run waits.
    ///
    /// # Errors
    /// A failing store.
    pub fn suspect_preview(&self, run: RunId) -> Result<Option<SuspectPreview>, EngineError> {
        let config = self.config();
        let (connection, state, suspect) = match self.suspect(&config, run) {
            Ok(found) => found,
            Err(EngineError::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let staged = self.staged_rows(run)?;
        let known = self.known();
        let mut preview = SuspectPreview {
            run: run.0,
            connection: connection.doc.name.clone(),
            why: suspect.why.clone(),
            rows: suspect.rows,
            believed_rows: state.believed.as_ref().map(|believed| believed.rows),
            believed_at: state.last_believed().map(|at| at.to_string()),
            adds: 0,
            adds_some: Vec::new(),
            changes: 0,
            changes_some: Vec::new(),
            relists: 0,
            relists_some: Vec::new(),
            withdraws: 0,
            withdraws_some: Vec::new(),
        };
        let count = |n: &mut u64, some: &mut Vec<String>, value: &str| {
            *n += 1;
            if some.len() < SAMPLES {
                some.push(value.to_owned());
            }
        };
        for staged in &staged {
            let has = known.index.id(&staged.row.key).and_then(|id| known.index.slot(id, connection.id)).is_some();
            let (n, some) = match has {
                true => (&mut preview.changes, &mut preview.changes_some),
                false => (&mut preview.adds, &mut preview.adds_some),
            };
            count(n, some, staged.row.key.value());
        }
        let waiting = |ids: &[u32], listed: bool| -> Vec<IndicatorId> {
            let ids = ids.iter().map(|id| IndicatorId(*id));
            ids.filter(|id| {
                known.index.slot(*id, connection.id).is_some_and(|slot| known.index.is_listed(slot) == listed)
            })
            .collect()
        };
        for id in waiting(&suspect.relisted, false) {
            count(&mut preview.relists, &mut preview.relists_some, known.index.key_ref(id).1);
        }
        for id in waiting(&suspect.missing, true) {
            count(&mut preview.withdraws, &mut preview.withdraws_some, known.index.key_ref(id).1);
        }
        Ok(Some(preview))
    }

    /// Rows that wait, by key.
    fn staged_rows(&self, run: RunId) -> Result<Vec<Staged>, EngineError> {
        let mut by_key: BTreeMap<IndicatorKey, Staged> = BTreeMap::new();
        for (row, fingerprint) in self.store.staged(run)? {
            match by_key.get_mut(&row.key) {
                Some(first) => first.more.push((row, fingerprint)),
                None => {
                    by_key.insert(row.key.clone(), Staged { row, fingerprint, more: Vec::new() });
                }
            }
        }
        Ok(by_key.into_values().collect())
    }

    /// Forgets the rows of a suspect run that nobody will be asked of any more.
    pub(crate) fn drop_suspect(&self, suspect: &SuspectState, status: &str, by: RunId) -> Result<(), EngineError> {
        let run = RunId(suspect.run);
        self.store.drop_staged(run)?;
        if let Some(row) = self.store.run(run)? {
            let mut report = serde_json::from_str::<serde_json::Value>(&row.report).unwrap_or_default();
            if let Some(report) = report.as_object_mut() {
                report.insert("replaced_by".to_owned(), by.0.into());
            }
            self.store.run_end(run, status, &report.to_string(), row.ended.unwrap_or(row.started))?;
        }
        Ok(())
    }

    /// Takes back that a rollback ended these records.
    fn lift(&self, connection: ConnectionId, run: RunId, ids: &[IndicatorId]) -> Result<u64, EngineError> {
        let _one_writer = self.ingest_lock();
        let ids = self.store.rolled_back_of(connection, ids)?;
        let keys: Vec<_> = ids.iter().map(|id| (*id, connection)).collect();
        let mut touched = 0;
        for (ids, keys) in ids.chunks(8192).zip(keys.chunks(8192)) {
            let records = self.store.records(keys)?;
            let names: Vec<IndicatorKey> = ids.iter().map(|id| self.known().index.key(*id)).collect();
            let written: Vec<Written<'_>> = ids
                .iter()
                .zip(&names)
                .zip(records)
                .filter_map(|((id, key), record)| {
                    let mut record = record?;
                    record.lift();
                    Some(Written { id: Some(*id), key, record })
                })
                .collect();
            touched += self.write_records(connection, run, self.world.now(), &written, None, None)?;
            self.store.mark_rolled_back(connection, ids, None)?;
        }
        Ok(touched)
    }

    /// Folds the rows of a suspect run that a person believes, and takes back what it no longer listed.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] where no such run waits.
    pub fn approve_run(&self, run: RunId, who: &str) -> Result<PullReport, EngineError> {
        let config = self.config();
        let (connection, _, _) = self.suspect(&config, run)?;
        let one_pull = self.pull_lock(connection.id);
        let _one_pull = crate::unpoison(one_pull.lock());
        // The connection may have been deleted meanwhile.
        let config = self.config();
        let (connection, mut state, suspect) = self.suspect(&config, run)?;
        let now = self.world.now();
        let started = Timestamp::from_micros(suspect.at);
        let mut report = PullReport::new(&connection.doc.name, run);
        let staged = self.staged_rows(run)?;
        report.read = staged.len() as u64;
        self.forget_cursor(connection, &state)?;
        self.fold_in(connection, run, started, &staged, None, None, &mut report)?;
        self.world.step("pull.approved")?;
        let missing: Vec<(Slot, IndicatorId)> = {
            let known = self.known();
            suspect
                .missing
                .iter()
                .filter_map(|id| known.index.slot(IndicatorId(*id), connection.id).map(|slot| (slot, IndicatorId(*id))))
                .filter(|(slot, _)| connection.complete && known.index.is_listed(*slot))
                .collect()
        };
        let relisted: Vec<Slot> = {
            let known = self.known();
            let slot = |id: &u32| known.index.slot(IndicatorId(*id), connection.id);
            suspect.relisted.iter().filter_map(slot).filter(|slot| !known.index.is_listed(*slot)).collect()
        };
        // Whoever believes the run believes it of what a rollback ended, too.
        let listed: Vec<IndicatorId> = {
            let known = self.known();
            let keys = staged.iter().filter_map(|staged| known.index.id(&staged.row.key));
            keys.chain(suspect.relisted.iter().map(|id| IndicatorId(*id))).collect()
        };
        report.touched += self.lift(connection.id, run, &listed)?;
        report.withdrawn = missing.len() as u64;
        state.suspect = None;
        state.rolled_back = None;
        state.cursor = suspect.cursor;
        state.believed = Some(BelievedState {
            run: run.0,
            at: suspect.at,
            rows: suspect.rows,
            read: suspect.read,
            rejected: suspect.rejected,
        });
        state.last_status = Some(PullStatus::Success.as_str().to_owned());
        self.set_listed(connection.id, run, &relisted, &missing, Some(&state), &mut report)?;
        self.store.drop_staged(run)?;
        self.believed(connection.id, started);
        report.status = PullStatus::Success.as_str().to_owned();
        let detail = serde_json::json!({ "run": run.0 }).to_string();
        self.store.audit(who, "run.approve", &connection.doc.name, &detail, now)?;
        self.finish_run(run, "approved", &report)?;
        Ok(report)
    }

    /// Drops the rows of a suspect run that a person does not believe. Nothing changes.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] where no such run waits.
    pub fn discard_run(&self, run: RunId, who: &str) -> Result<(), EngineError> {
        let config = self.config();
        let (connection, _, _) = self.suspect(&config, run)?;
        let one_pull = self.pull_lock(connection.id);
        let _one_pull = crate::unpoison(one_pull.lock());
        // The connection may have been deleted meanwhile.
        let config = self.config();
        let (connection, mut state, _) = self.suspect(&config, run)?;
        state.suspect = None;
        self.store.set_connection_state(connection.id, &state.to_text())?;
        self.store.drop_staged(run)?;
        let now = self.world.now();
        let detail = serde_json::json!({ "run": run.0 }).to_string();
        self.store.audit(who, "run.discard", &connection.doc.name, &detail, now)?;
        self.store.run_end(run, "discarded", "{}", now)?;
        Ok(())
    }

    fn suspect<'c>(
        &self,
        config: &'c Config,
        run: RunId,
    ) -> Result<(&'c Connection, ConnectionState, SuspectState), EngineError> {
        for connection in config.connections.values() {
            let state = ConnectionState::parse(self.store.connection_state(connection.id)?.as_deref());
            if let Some(suspect) = state.suspect.clone().filter(|s| s.run == run.0) {
                return Ok((connection, state, suspect));
            }
        }
        Err(EngineError::NotFound(format!(
            "run {run} is no suspect run that waits; `iocast run list` shows those that do"
        )))
    }
}
