//! From durable to readable: what a transaction wrote is put into the index at once, and readers are told.
//!
//! Revisions are given and published by one writer at a time (`Engine::ingest_lock`), and all those of one transaction
//! become readable under one lock of what is known. So the greatest revision of the index is a watermark: every
//! revision up to it can be read, and none above it.

use crate::Engine;
use crate::error::EngineError;
use intel::{ConnectionId, IndicatorId, IndicatorKey, RunId, SourceRecord, Timestamp};
use store::{Append, Change, RunReport};

/// A record as it is to be.
pub(crate) struct Written<'a> {
    /// None: the indicator is new.
    pub(crate) id: Option<IndicatorId>,
    pub(crate) key: &'a IndicatorKey,
    pub(crate) record: SourceRecord,
}

impl Engine {
    /// Lets somebody be told of the last revision that can be read, whenever there is a new one. The first call counts.
    /// `told` must be quick and must not ask the engine anything.
    pub fn on_change(&self, told: impl Fn(u64) + Send + Sync + 'static) {
        // A second one is not wanted by anybody.
        let _ = self.on_change.set(Box::new(told));
    }

    /// The last revision that can be read; all before it can be, too.
    pub fn watermark(&self) -> u64 {
        self.known().index.max_revision()
    }

    /// Tells that there may be new revisions to read.
    pub(crate) fn published(&self) {
        if let Some(told) = self.on_change.get() {
            told(self.watermark());
        }
    }

    /// How many of these the guard stops or flags.
    pub(crate) fn guarded_among(&self, written: &[Written<'_>]) -> u64 {
        let guard = std::sync::Arc::clone(&self.known().guard);
        written.iter().filter(|row| guard.look_up(row.key).is_some()).count() as u64
    }

    /// Writes records with revisions in one transaction and then publishes them to the index, all at once. Whoever
    /// calls this is the one writer. Gives how many summaries changed. `counted` says how the run then stands, by that
    /// number.
    pub(crate) fn write_records(
        &self,
        connection: ConnectionId,
        run: RunId,
        now: Timestamp,
        written: &[Written<'_>],
        state: Option<&str>,
        counted: Option<&mut dyn FnMut(u64) -> (&'static str, String)>,
    ) -> Result<u64, EngineError> {
        let changes: Vec<Change<'_>> = {
            let known = self.known();
            let after =
                |row: &Written<'_>| known.index.summary_hash_after(row.id, row.key, connection, &row.record, now);
            written
                .iter()
                .map(|row| {
                    let after = after(row);
                    let revise = row.id.is_none_or(|id| known.index.summary_hash(id) != after);
                    Change { id: row.id, key: row.key, record: &row.record, summary_hash: after, revise }
                })
                .collect()
        };
        // A new indicator always has a revision.
        let touched = changes.iter().filter(|change| change.revise).count() as u64;
        self.world.step("pull.append")?;
        let append = Append { connection, run, at: self.world.now(), changes: &changes, listed: &[], state };
        let appended = match counted {
            None => self.store.append(&append)?,
            Some(counted) => {
                let (status, report) = counted(touched);
                let at = self.world.now();
                self.store.append_counted(&append, Some(RunReport { id: run, status, report: &report, at }))?
            }
        };
        self.world.step("pull.appended")?;
        let mut known = self.known_mut();
        for ((change, id), revision) in changes.iter().zip(&appended.ids).zip(&appended.revisions) {
            known.index.put(*id, change.key, connection, change.record, *revision, now);
        }
        drop(known);
        self.published();
        Ok(touched)
    }
}
