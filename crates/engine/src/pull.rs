//! One run of one source: rows are read, known ones are recognised at memory speed, the rest is folded in.
//!
//! A complete source is staged: nothing of a run is folded, and nothing it no longer lists is taken back, before the
//! run is believed. Pages of an incremental source are folded as they come, each with its cursor in one transaction.

use crate::config::Connection;
use crate::error::EngineError;
use crate::pages::{Pages, Turn};
use crate::publish::Written;
use crate::room::Room;
use crate::state::{BelievedState, ConnectionState, SuspectState};
use crate::world::Progress;
use crate::{Engine, Known};
use hashbrown::HashTable;
use index::{Selection, Slot};
use intel::absence::{self, Believed, PullStatus, RunEnd, RunShape, RunVerdict};
use intel::schedule::{backoff, jitter_of};
use intel::{
    Absorbed, ConnectionId, IndicatorId, IndicatorKey, IndicatorKind, Observation, Row, RunId, SourceRecord, Timestamp,
};
use kit::{ConnectorError, Cursor, Cx, Pulled, Rows};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};
use store::{Append, Listed};
use xxhash_rust::xxh3::xxh3_64;

/// Rows buffered before they are looked up together.
const LOOKUP_ROWS: usize = 512;
/// Rows written in one transaction.
const BATCH_ROWS: usize = 16_384;
/// Rejected rows shown per run.
const SAMPLES: usize = 20;
/// Longest sample shown, in characters.
const SAMPLE_CHARS: usize = 120;

/// What one run of a source did. `read = new + changed + unchanged + rejected`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct PullReport {
    /// Which connection.
    pub connection: String,
    /// Which run.
    pub run: u64,
    /// The version of the configuration it used from beginning to end; empty where that does not matter.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub config: String,
    /// `success`, `not_modified`, `partial`, `suspect` or `failed`.
    pub status: String,
    /// Candidate rows of a supported kind.
    pub read: u64,
    /// Records this connection did not have.
    pub new: u64,
    /// Records that differ now.
    pub changed: u64,
    /// Rows that say nothing new, repeats inside the run included.
    pub unchanged: u64,
    /// Rows that are no indicator.
    pub rejected: u64,
    /// What is no candidate: not an indicator, unsupported kind, switched off by the source.
    pub filtered: u64,
    /// Records taken back because a believed complete run no longer lists them.
    pub withdrawn: u64,
    /// Rejected rows by reason.
    pub rejected_by: BTreeMap<String, u64>,
    /// Filtered things by reason.
    pub filtered_by: BTreeMap<String, u64>,
    /// Some rejected rows, as given, with the reason.
    pub samples: Vec<String>,
    /// Why the run failed or is suspect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Indicators whose summary changed.
    pub touched: u64,
    /// New and changed records of values that the guard stops or flags: kept and shown, and held back where it stops.
    #[serde(skip_serializing_if = "is_zero")]
    pub guarded: u64,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl PullReport {
    pub(crate) fn new(connection: &str, run: RunId) -> PullReport {
        PullReport {
            connection: connection.to_owned(),
            run: run.0,
            config: String::new(),
            status: PullStatus::Failed.as_str().to_owned(),
            read: 0,
            new: 0,
            changed: 0,
            unchanged: 0,
            rejected: 0,
            filtered: 0,
            withdrawn: 0,
            rejected_by: BTreeMap::new(),
            filtered_by: BTreeMap::new(),
            samples: Vec::new(),
            error: None,
            touched: 0,
            guarded: 0,
        }
    }

    /// Whether the counts balance.
    pub fn balances(&self) -> bool {
        self.read == self.new + self.changed + self.unchanged + self.rejected
    }
}

/// A key that is not known with this content, and what else the run said about it.
pub(crate) struct Staged {
    pub(crate) row: Row,
    pub(crate) fingerprint: u64,
    pub(crate) more: Vec<(Row, u64)>,
}

/// Takes the rows of one pull.
struct Collector<'a> {
    engine: &'a Engine,
    connection: ConnectionId,
    name: &'a str,
    now: Timestamp,
    pending: Vec<(Row, u64)>,
    found: Vec<Option<Slot>>,
    scratch: Vec<u8>,
    staged: Vec<Staged>,
    /// Hash of the key, so that growing reads no row again, and place in `staged`.
    by_key: HashTable<(u64, u32)>,
    /// Fingerprints in `more` of what is staged: a source that says a thousand things of one key is looked up, not searched.
    further: HashSet<u64>,
    room: Room,
    /// Record slots whose content this run read again.
    seen: Selection,
    /// Slots read again that were not listed.
    relisted: Vec<Slot>,
    /// IPv4 addresses covered by networks that were read.
    addresses: u64,
    report: &'a mut PullReport,
    progress: &'a dyn Progress,
}

impl<'a> Collector<'a> {
    fn new(
        engine: &'a Engine,
        connection: &'a Connection,
        now: Timestamp,
        report: &'a mut PullReport,
        progress: &'a dyn Progress,
    ) -> Collector<'a> {
        Collector {
            engine,
            connection: connection.id,
            name: &connection.doc.name,
            now,
            pending: Vec::with_capacity(LOOKUP_ROWS),
            found: Vec::with_capacity(LOOKUP_ROWS),
            scratch: Vec::new(),
            staged: Vec::new(),
            by_key: HashTable::new(),
            further: HashSet::new(),
            room: Room::new(engine.world.staged_bytes(connection.complete)),
            seen: Selection::default(),
            relisted: Vec::new(),
            addresses: 0,
            report,
            progress,
        }
    }

    /// Looks the buffered rows up: known content is ticked off, the rest is staged.
    fn look_up(&mut self) {
        let known = self.engine.known();
        // All probes first and nothing between them: each waits for memory, and the processor waits for many at once.
        self.found.clear();
        self.found.extend(self.pending.iter().map(|(_, fingerprint)| known.index.seen(*fingerprint)));
        for ((row, fingerprint), found) in self.pending.drain(..).zip(&self.found) {
            if let Some(slot) = *found {
                self.report.unchanged += 1;
                if !self.seen.insert(IndicatorId(slot.0)) {
                    continue;
                }
                if !known.index.is_listed(slot) {
                    self.relisted.push(slot);
                }
                continue;
            }
            if self.room.is_full() {
                // The page fails: what is not kept of it stands in no balance.
                self.report.read -= 1;
                self.report.filtered += 1;
                count(&mut self.report.filtered_by, "page failed", 1);
                continue;
            }
            let hash = key_hash(&row.key);
            let staged = &mut self.staged;
            match self.by_key.find(hash, |(other, at)| *other == hash && staged[*at as usize].row.key == row.key) {
                Some((_, at)) => {
                    self.report.unchanged += 1;
                    let first = &mut staged[*at as usize];
                    if first.fingerprint != fingerprint && self.further.insert(fingerprint) {
                        self.room.hold(row.weight() + 2 * size_of::<u64>());
                        first.more.push((row, fingerprint));
                    }
                }
                None => {
                    let at = staged.len() as u32;
                    self.room.hold(row.weight() + size_of::<Staged>() - size_of::<Row>());
                    staged.push(Staged { row, fingerprint, more: Vec::new() });
                    self.by_key.insert_unique(hash, (hash, at), |(hash, _)| *hash);
                }
            }
        }
        drop(known);
        self.progress.rows(self.name, self.report.read);
        crate::unpoison(self.engine.under_way.lock()).insert(RunId(self.report.run), self.report.read);
    }

    /// The staged rows, and room for more.
    fn take(&mut self) -> Vec<Staged> {
        self.by_key.clear();
        self.further.clear();
        self.room.clear();
        std::mem::take(&mut self.staged)
    }
}

impl Rows for Collector<'_> {
    fn row(&mut self, row: Observation) {
        self.report.read += 1;
        match row.normalise(self.now) {
            Ok(row) => {
                if row.key.kind() == IndicatorKind::Ipv4Net {
                    self.addresses = self.addresses.saturating_add(addresses_of(row.key.value()));
                }
                let fingerprint = row.fingerprint(self.connection, &mut self.scratch);
                self.pending.push((row, fingerprint));
                if self.pending.len() == LOOKUP_ROWS {
                    self.look_up();
                }
            }
            Err(rejection) => {
                self.report.rejected += 1;
                count(&mut self.report.rejected_by, rejection.reason.as_str(), 1);
                sample(&mut self.report.samples, &rejection.to_string());
            }
        }
    }

    fn reject(&mut self, reason: &'static str, text: &str) {
        self.report.read += 1;
        self.report.rejected += 1;
        count(&mut self.report.rejected_by, reason, 1);
        sample(&mut self.report.samples, &format!("{reason}: {text}"));
    }

    fn filter(&mut self, reason: &'static str, n: u64) {
        self.report.filtered += n;
        count(&mut self.report.filtered_by, reason, n);
    }
}

pub(crate) fn count(counts: &mut BTreeMap<String, u64>, reason: &str, n: u64) {
    match counts.get_mut(reason) {
        Some(count) => *count += n,
        None => {
            counts.insert(reason.to_owned(), n);
        }
    }
}

pub(crate) fn sample(samples: &mut Vec<String>, text: &str) {
    if samples.len() < SAMPLES {
        samples.push(text.chars().take(SAMPLE_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect());
    }
}

pub(crate) fn key_hash(key: &IndicatorKey) -> u64 {
    xxh3_64(key.value().as_bytes()) ^ key.kind() as u64
}

/// How a pull came to its end.
enum Ended {
    NotModified(Option<Cursor>),
    Whole(Option<Cursor>),
    Paged,
}

impl Engine {
    /// Runs one source once, now. The run is recorded whatever comes of it.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], a failing store, or a stopped simulation. A failing source is no error: it is a
    /// report with status `failed`.
    pub fn pull(&self, name: &str, progress: &dyn Progress) -> Result<PullReport, EngineError> {
        let config = self.config();
        let connection = config.connection(name).ok_or_else(|| self.no_connection(name))?;
        let Some(source) = connection.open.source() else {
            let connector = &connection.doc.connector;
            return Err(EngineError::Invalid(match self.is_bucket(connection) {
                true => format!(
                    "{name} is a bucket: it is pushed to and not pulled; POST /api/v1/connections/{name}/observations, or \
                     `iocast indicator import FILE --source {name}`"
                ),
                false => format!("{name} is no source: connector \"{connector}\" has nothing to pull"),
            }));
        };
        if !connection.doc.enabled {
            return Err(EngineError::Conflict(format!(
                "{name} is disabled: set `enabled = true` and apply, then pull it"
            )));
        }
        let one_pull = self.pull_lock(connection.id);
        let _one_pull = crate::unpoison(one_pull.lock());
        // The wait may have been long: a connection that was deleted meanwhile has nothing more to say.
        if !self.config().connections.contains_key(&connection.id) {
            return Err(self.no_connection(name));
        }
        let started = self.world.now();
        let mut state = ConnectionState::parse(self.store.connection_state(connection.id)?.as_deref());
        let run = self.store.run_start("pull", name, started)?;
        let mut report = PullReport { config: config.version.clone(), ..PullReport::new(name, run) };
        let outcome = self.pull_pages(connection, source, started, run, &mut state, &mut report, progress);
        crate::unpoison(self.under_way.lock()).remove(&run);
        state.last_run = Some(started.micros());
        match outcome {
            Ok(()) => {
                state.failures = 0;
                state.not_before = None;
                state.denied = false;
                state.again_from = None;
            }
            Err(EngineError::Connector { error, .. }) => {
                report.status = PullStatus::Failed.as_str().to_owned();
                report.error = Some(error.to_string());
                state.failures += 1;
                let wait = error.wait();
                state.denied = matches!(error, ConnectorError::Denied(_));
                let pause = backoff(state.failures, wait, jitter_of(self.world.random()));
                state.not_before = Some(started.after(pause).micros());
            }
            Err(error) => return Err(error),
        }
        if report.status != PullStatus::Failed.as_str() {
            state.last_success = Some(started.micros());
        }
        state.last_status = Some(report.status.clone());
        debug_assert!(report.balances() || report.status == PullStatus::Failed.as_str(), "{report:?}");
        self.store.set_connection_state(connection.id, &state.to_text())?;
        self.finish_run(run, &report.status, &report)?;
        Ok(report)
    }

    /// Writes the end of a run with its report.
    pub(crate) fn finish_run(&self, run: RunId, status: &str, report: &impl Serialize) -> Result<(), EngineError> {
        let report = serde_json::to_string(report).unwrap_or_default();
        self.store.run_end(run, status, &report, self.world.now())?;
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "one run's working set, used once")]
    fn pull_pages(
        &self,
        connection: &Connection,
        source: &dyn kit::Source,
        started: Timestamp,
        run: RunId,
        state: &mut ConnectionState,
        report: &mut PullReport,
        progress: &dyn Progress,
    ) -> Result<(), EngineError> {
        let http = self.http_of(connection).map_err(|error| connector_error(connection, error))?;
        let cx = Cx {
            http: &http,
            files: self.world.files(),
            now: started,
            initial_from: state
                .again_from
                .map_or_else(|| started.before(connection.initial_range), Timestamp::from_micros),
        };
        let mut collector = Collector::new(self, connection, started, report, progress);
        let mut cursor = state.cursor.clone();
        let mut pages = Pages::new(cursor.as_ref(), started);
        let ended = loop {
            self.world.step("pull.page")?;
            let pulled = source.pull(cursor.as_ref(), &cx, &mut collector);
            let pulled = match pulled {
                Ok(pulled) => pulled,
                Err(error) => {
                    // What this page handed over is dropped, and must not stand in the balance as if it were kept.
                    drop_page(&mut collector);
                    return Err(connector_error(connection, error));
                }
            };
            collector.look_up();
            if let Some(error) = collector.room.fault(collector.staged.len()) {
                drop_page(&mut collector);
                return Err(connector_error(connection, error));
            }
            match pulled {
                Pulled::NotModified(next) => break Ended::NotModified(next),
                Pulled::Whole(next) => break Ended::Whole(next),
                Pulled::More(next) => {
                    let turn = pages.turn(&next, self.world.now());
                    let staged = collector.take();
                    // A place that was read from before is not gone to again; what its page said is kept all the same.
                    if !matches!(turn, Turn::Circle(_)) {
                        state.cursor = Some(next.clone());
                    }
                    self.fold_in(connection, run, started, &staged, Some(state), None, collector.report)?;
                    match turn {
                        Turn::On => cursor = Some(next),
                        Turn::Circle(error) | Turn::Enough(error) => return Err(connector_error(connection, error)),
                    }
                }
                Pulled::Done(next) => {
                    let staged = collector.take();
                    if next.is_some() {
                        state.cursor = next;
                    }
                    self.fold_in(connection, run, started, &staged, Some(state), None, collector.report)?;
                    break Ended::Paged;
                }
            }
        };
        let relisted = std::mem::take(&mut collector.relisted);
        match ended {
            Ended::NotModified(next) => {
                if next.is_some() {
                    state.cursor = next;
                }
                // What was rolled back is not what the source says, and nothing is believed of it by its silence.
                if state.rolled_back.is_none() {
                    if let Some(believed) = &mut state.believed {
                        believed.at = self.sober(started).micros();
                    }
                    self.believed(connection.id, started);
                }
                collector.report.status = PullStatus::NotModified.as_str().to_owned();
                Ok(())
            }
            Ended::Paged => {
                self.set_listed(connection.id, run, &relisted, &[], None, collector.report)?;
                let shape = shape_of(collector.report, 0, connection);
                collector.report.status = absence::pull_status(&shape, &RunVerdict::Believed).as_str().to_owned();
                Ok(())
            }
            Ended::Whole(next) if !connection.complete => {
                let staged = collector.take();
                state.cursor = next;
                self.fold_in(connection, run, started, &staged, Some(state), None, collector.report)?;
                self.set_listed(connection.id, run, &relisted, &[], None, collector.report)?;
                let shape = shape_of(collector.report, 0, connection);
                collector.report.status = absence::pull_status(&shape, &RunVerdict::Believed).as_str().to_owned();
                Ok(())
            }
            Ended::Whole(next) => {
                let staged = collector.take();
                let seen = std::mem::take(&mut collector.seen);
                let read = (seen, collector.addresses);
                self.end_complete(connection, run, started, &staged, read, &relisted, next, state, report)
            }
        }
    }

    /// Judges a whole run of a complete source, and folds or holds it.
    #[expect(clippy::too_many_arguments, reason = "one run's working set, used once")]
    fn end_complete(
        &self,
        connection: &Connection,
        run: RunId,
        started: Timestamp,
        staged: &[Staged],
        (seen, addresses): (Selection, u64),
        relisted: &[Slot],
        cursor: Option<Cursor>,
        state: &mut ConnectionState,
        report: &mut PullReport,
    ) -> Result<(), EngineError> {
        let strays = state.rolled_back.is_some()
            && (!staged.is_empty() || !relisted.is_empty() || !absent(&self.known(), connection.id, &seen).is_empty());
        let rows = (seen.count() + staged.len()) as u64;
        let shape = RunShape { strays, addresses, ..shape_of(report, rows, connection) };
        let believed = state.believed.as_ref().map(|b| Believed { rows: b.rows, read: b.read, rejected: b.rejected });
        // A newer run replaces the one that waited, whatever comes of it.
        if let Some(old) = state.suspect.take() {
            self.drop_suspect(&old, "replaced", run)?;
        }
        let verdict = absence::judge(believed.as_ref(), &shape);
        if let RunVerdict::Suspect(why) = verdict {
            let why = why.to_string();
            let (missing, relisted) = {
                let known = self.known();
                let mut seen = seen;
                for staged in staged {
                    if let Some(slot) =
                        known.index.id(&staged.row.key).and_then(|id| known.index.slot(id, connection.id))
                    {
                        seen.insert(IndicatorId(slot.0));
                    }
                }
                let missing = absent(&known, connection.id, &seen).into_iter().map(|(_, id)| id.0).collect();
                (missing, relisted.iter().map(|slot| known.index.slot_owner(*slot).0.0).collect())
            };
            // Held rows change nothing yet: they count as unchanged, and the run says that it waits.
            report.unchanged = report.read - report.rejected;
            let rows = staged
                .iter()
                .flat_map(|s| std::iter::once((&s.row, s.fingerprint)).chain(s.more.iter().map(|(r, f)| (r, *f))));
            self.store.stage(run, rows)?;
            state.suspect = Some(SuspectState {
                run: run.0,
                at: started.micros(),
                why: why.clone(),
                rows: shape.rows,
                read: report.read,
                rejected: report.rejected,
                cursor,
                missing,
                relisted,
            });
            report.status = PullStatus::Suspect.as_str().to_owned();
            report.error = Some(why);
            return Ok(());
        }
        let mut seen = seen;
        if !staged.is_empty() {
            self.forget_cursor(connection, state)?;
        }
        self.fold_in(connection, run, started, staged, None, Some(&mut seen), report)?;
        self.world.step("pull.absence")?;
        let missing = absent(&self.known(), connection.id, &seen);
        state.cursor = cursor;
        state.rolled_back = None;
        state.believed = Some(BelievedState {
            run: run.0,
            at: self.sober(started).micros(),
            rows: shape.rows,
            read: report.read,
            rejected: report.rejected,
        });
        report.withdrawn = missing.len() as u64;
        self.set_listed(connection.id, run, relisted, &missing, Some(state), report)?;
        self.believed(connection.id, started);
        report.status = absence::pull_status(&shape, &verdict).as_str().to_owned();
        Ok(())
    }

    /// Before rows of a whole run are folded in: if the process stops between them and what is no longer listed, the
    /// source is read again, even if by then it says again what it said before, and would be "not modified".
    pub(crate) fn forget_cursor(&self, connection: &Connection, state: &ConnectionState) -> Result<(), EngineError> {
        let state = ConnectionState { cursor: None, ..state.clone() };
        Ok(self.store.set_connection_state(connection.id, &state.to_text())?)
    }

    /// Folds staged rows in, in batches: what they change is written with revisions first and published to the index
    /// after. `state` goes with the last batch, in its transaction. `seen` gets the slots of all these rows.
    #[expect(clippy::too_many_arguments, reason = "one run's working set")]
    pub(crate) fn fold_in(
        &self,
        connection: &Connection,
        run: RunId,
        started: Timestamp,
        staged: &[Staged],
        state: Option<&ConnectionState>,
        mut seen: Option<&mut Selection>,
        report: &mut PullReport,
    ) -> Result<(), EngineError> {
        let _one_writer = self.ingest_lock();
        let last = staged.len().div_ceil(BATCH_ROWS).saturating_sub(1);
        let state = state.map(ConnectionState::to_text);
        if staged.is_empty() {
            if let Some(state) = &state {
                self.store.set_connection_state(connection.id, state)?;
            }
            return Ok(());
        }
        for (n, batch) in staged.chunks(BATCH_ROWS).enumerate() {
            let state = if n == last { state.as_deref() } else { None };
            self.fold_batch(connection, run, started, batch, state, seen.as_deref_mut(), report)?;
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "one run's working set")]
    fn fold_batch(
        &self,
        connection: &Connection,
        run: RunId,
        started: Timestamp,
        batch: &[Staged],
        state: Option<&str>,
        seen: Option<&mut Selection>,
        report: &mut PullReport,
    ) -> Result<(), EngineError> {
        let known = self.known();
        let ids: Vec<Option<IndicatorId>> = batch.iter().map(|s| known.index.id(&s.row.key)).collect();
        let has_record: Vec<bool> =
            ids.iter().map(|id| id.is_some_and(|id| known.index.slot(id, connection.id).is_some())).collect();
        let wanted: Vec<(IndicatorId, ConnectionId)> = ids
            .iter()
            .zip(&has_record)
            .filter_map(|(id, has)| id.filter(|_| *has).map(|id| (id, connection.id)))
            .collect();
        let mut stored = self.store.records(&wanted)?.into_iter();
        let echoes = self.echoes(connection.id);
        // A row without a date that stands beside one we know, in one run, says no more recent thing than that one: they
        // are joined. Otherwise two rows of one value would take turns at every run.
        let stands_beside = |at: usize| {
            let slot = ids[at].and_then(|id| known.index.slot(id, connection.id));
            slot.is_some_and(|slot| seen.as_deref().is_some_and(|seen| seen.contains(IndicatorId(slot.0))))
        };
        let version_of = |at: usize, record: &SourceRecord| if stands_beside(at) { record.version } else { started };
        let mut written: Vec<(usize, SourceRecord)> = Vec::with_capacity(batch.len());
        for (at, staged) in batch.iter().enumerate() {
            let mut record = if has_record[at] { stored.next().flatten() } else { None };
            let was_there = record.is_some();
            let mut absorbed = Absorbed::Unchanged;
            let rows = std::iter::once((&staged.row, staged.fingerprint));
            for (row, fingerprint) in rows.chain(staged.more.iter().map(|(row, fingerprint)| (row, *fingerprint))) {
                let version = record.as_ref().map_or(started, |record| version_of(at, record));
                let (taken, changed) = echoes.take(&known, ids[at], record, row, fingerprint, (version, started));
                record = Some(taken);
                if changed == Absorbed::Changed {
                    absorbed = Absorbed::Changed;
                }
            }
            let Some(record) = record else { continue };
            match (absorbed, was_there) {
                (Absorbed::Unchanged, _) => {
                    report.unchanged += 1;
                    continue;
                }
                (Absorbed::Changed, false) => report.new += 1,
                (Absorbed::Changed, true) => report.changed += 1,
            }
            written.push((at, record));
        }
        drop(known);
        let written: Vec<Written<'_>> =
            written.into_iter().map(|(at, record)| Written { id: ids[at], key: &batch[at].row.key, record }).collect();
        report.guarded += self.guarded_among(&written);
        report.touched += self.write_records(connection.id, run, started, &written, state, None)?;
        let known = self.known();
        if let Some(seen) = seen {
            for (at, staged) in batch.iter().enumerate() {
                let id = ids[at].or_else(|| known.index.id(&staged.row.key));
                if let Some(slot) = id.and_then(|id| known.index.slot(id, connection.id)) {
                    seen.insert(IndicatorId(slot.0));
                }
            }
        }
        Ok(())
    }

    /// Marks records as listed again, or as no longer listed, with the connection's state in the same transaction.
    pub(crate) fn set_listed(
        &self,
        connection: ConnectionId,
        run: RunId,
        relisted: &[Slot],
        missing: &[(Slot, IndicatorId)],
        state: Option<&ConnectionState>,
        report: &mut PullReport,
    ) -> Result<(), EngineError> {
        let _one_writer = self.ingest_lock();
        let now = self.world.now();
        let state = state.map(ConnectionState::to_text);
        if relisted.is_empty() && missing.is_empty() && state.is_none() {
            return Ok(());
        }
        let marks = relisted.iter().map(|slot| (*slot, true)).chain(missing.iter().map(|(slot, _)| (*slot, false)));
        // Between reading and writing a record may have been pruned, and its slot given to another connection's.
        let marks = marks.filter(|(slot, _)| self.known().index.slot_owner(*slot).1 == connection);
        let (slots, listed): (Vec<Slot>, Vec<Listed>) = {
            let known = self.known();
            let mark = |(slot, listed)| {
                let (id, _) = known.index.slot_owner(slot);
                let (revise, summary_hash) = known.index.would_change_listed(slot, listed, now);
                (slot, Listed { id, listed, summary_hash, revise })
            };
            marks.map(mark).unzip()
        };
        let append = Append { connection, run, at: now, changes: &[], listed: &listed, state: state.as_deref() };
        let appended = self.store.append(&append)?;
        self.world.step("pull.listed")?;
        let mut known = self.known_mut();
        for ((slot, mark), revision) in slots.iter().zip(&listed).zip(&appended.listed_revisions) {
            known.index.set_listed(*slot, mark.listed, now);
            if let Some(revision) = revision {
                known.index.set_revision(mark.id, *revision);
                report.touched += 1;
            }
        }
        drop(known);
        self.published();
        Ok(())
    }
}

/// Listed records of a connection that a run did not have.
fn absent(known: &Known, connection: ConnectionId, seen: &Selection) -> Vec<(Slot, IndicatorId)> {
    known
        .index
        .slots_of(connection)
        .filter(|(slot, _)| known.index.is_listed(*slot) && !seen.contains(IndicatorId(slot.0)))
        .collect()
}

fn connector_error(connection: &Connection, error: ConnectorError) -> EngineError {
    EngineError::Connector { connection: connection.doc.name.clone(), error }
}

/// Forgets the rows of a page that failed: they were handed over, and are not kept.
fn drop_page(collector: &mut Collector<'_>) {
    collector.look_up();
    let dropped = collector.take();
    if dropped.is_empty() {
        return;
    }
    let report = &mut *collector.report;
    count(&mut report.filtered_by, "page failed", dropped.len() as u64);
    report.filtered += dropped.len() as u64;
    report.read -= dropped.len() as u64;
}

/// How many addresses a network has.
fn addresses_of(network: &str) -> u64 {
    let prefix = network.rsplit_once('/').and_then(|(_, prefix)| prefix.parse::<u32>().ok());
    prefix.filter(|prefix| *prefix <= 32).map_or(0, |prefix| 1 << (32 - prefix))
}

/// The shape of a run that was read to its end.
fn shape_of(report: &PullReport, rows: u64, connection: &Connection) -> RunShape {
    RunShape {
        end: RunEnd::Whole,
        rows,
        read: report.read,
        rejected: report.rejected,
        complete: connection.complete,
        may_be_empty: connection.doc.may_be_empty,
        strays: false,
        addresses: 0,
    }
}
