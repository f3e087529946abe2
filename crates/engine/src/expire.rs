//! What time changes: expiry, aging, retention; and reading everything at start.

use crate::error::EngineError;
use crate::{Engine, Known};
use index::Index;
use intel::{Analyst, FoldSettings, IndicatorId, Policies, Timestamp};
use store::{IndicatorRow, LoadSink, RecordRow, Store};

/// How long a run stays in the history.
const RUNS_KEPT_DAYS: u32 = 90;
/// How long a tombstone is kept: longer than any echo of it may last.
const TOMBSTONES_KEPT_DAYS: u32 = 730;
/// How long programs that follow the revisions can still hear of a removal; who comes later starts over.
const REMOVALS_TOLD_DAYS: u32 = 30;
/// Indicators removed in one transaction.
const PRUNE_BATCH: usize = 10_000;

/// Feeds the index from the store.
struct Loader {
    index: Index,
    tagsets: Vec<Vec<Box<str>>>,
}

impl LoadSink for Loader {
    fn tagset(&mut self, id: u32, tags: &[Box<str>]) {
        let at = id as usize;
        if self.tagsets.len() <= at {
            self.tagsets.resize(at + 1, Vec::new());
        }
        self.tagsets[at] = tags.to_vec();
    }

    fn indicator(&mut self, row: IndicatorRow<'_>) {
        self.index.load_indicator_ref(row.id, row.kind, row.value, row.revision, row.summary_hash);
    }

    fn record(&mut self, row: RecordRow<'_>) {
        let lite = index::RecordLite { facts: row.facts, comment: row.comment, link: row.link, contents: row.contents };
        let tags = self.tagsets.get(row.tagset as usize).map_or(&[][..], Vec::as_slice);
        self.index.load_record_ref(row.indicator, &lite, tags.iter().map(|tag| &**tag));
    }

    fn analyst(&mut self, id: IndicatorId, analyst: &Analyst) {
        self.index.load_analyst(id, analyst.clone());
    }
}

/// Rebuilds the index. Gives also the indicators whose summary changed while nobody looked.
pub(crate) fn load_index(
    store: &Store,
    policies: Policies,
    settings: FoldSettings,
    now: Timestamp,
) -> Result<(Index, Vec<IndicatorId>), EngineError> {
    let (n_indicators, n_records) = store.counts()?;
    let index = Index::load_begin(policies, settings, n_indicators as usize, n_records as usize);
    let mut loader = Loader { index, tagsets: Vec::new() };
    store.load(&mut loader)?;
    let stale = loader.index.load_finish(now);
    Ok((loader.index, stale))
}

impl Engine {
    /// Folds again what time has changed, and gives it revisions. Every pass does this first.
    ///
    /// # Errors
    /// A failing store.
    pub fn advance(&self) -> Result<usize, EngineError> {
        // Every question comes by: while nothing is due it waits for no writer, and keeps no reader waiting.
        if !self.is_clock_believed() || !self.known().index.is_due(self.world.now()) {
            return Ok(0);
        }
        let _one_writer = self.ingest_lock();
        if !self.is_clock_believed() {
            return Ok(0);
        }
        let now = self.world.now();
        let changed = self.known_mut().index.advance(now);
        self.bump(&changed)?;
        Ok(changed.len())
    }

    /// Removes indicators that have been inactive for the configured time and have no live ledger line, old runs and
    /// old tombstones. The audit log stays.
    ///
    /// # Errors
    /// A failing store.
    pub fn prune(&self) -> Result<u64, EngineError> {
        self.advance()?;
        // Nothing is forgotten by a clock that is not believed.
        if !self.is_clock_believed() {
            return Ok(0);
        }
        let _one_writer = self.ingest_lock();
        let config = self.config();
        let now = self.world.now();
        let since = now.before(config.prune_after);
        let doomed: Vec<IndicatorId> = {
            let known = self.known();
            known.index.inactive_since(since, now).into_iter().filter(|id| !has_line(&known, *id)).collect()
        };
        let mut pruned = 0;
        for batch in doomed.chunks(PRUNE_BATCH) {
            pruned += self.store.prune(batch, now)?;
            let revision = self.store.revision()?;
            let mut known = self.known_mut();
            known.index.note_revision(revision);
            for id in batch {
                known.index.remove(*id);
                for ledger in known.ledgers.values_mut() {
                    ledger.forget(*id);
                }
            }
            drop(known);
            self.published();
        }
        self.store.prune_removals(now.before(REMOVALS_TOLD_DAYS * intel::DAY))?;
        self.store.prune_answers(now.before(crate::ingest::ANSWERS_KEPT))?;
        self.store.prune_notices(now.before(RUNS_KEPT_DAYS * intel::DAY))?;
        self.store.prune_history(now.before(config.history))?;
        self.expire_held()?;
        self.store.prune_inverses(now.before(config.plans.undo_kept))?;
        self.store.prune_runs(now.before(RUNS_KEPT_DAYS * intel::DAY))?;
        self.store.prune_tombstones(now.before(TOMBSTONES_KEPT_DAYS * intel::DAY))?;
        self.store.tidy()?;
        Ok(pruned)
    }
}

fn has_line(known: &Known, id: IndicatorId) -> bool {
    // What a person pinned in is to stay, and may wait for room.
    known.ledgers.values().any(|ledger| ledger.live().contains(id)) || known.pins.values().any(|pins| pins.has(id))
}
