//! What third parties push to us: the same door as a pull, in small batches and with a word on every row.
//!
//! A batch is folded in one transaction, together with the counts of the run it is part of. There is no cursor and
//! nothing is complete: a source takes its word back by saying so. A run a request would flood the history, so what is
//! pushed to a bucket within an hour is one run.
//!
//! In a pull, rows without a date of their own are all of one moment and are joined; what is pushed comes in an order,
//! and the later word replaces the earlier one. Each undated row therefore has a version of its own, a microsecond
//! after the one before it.

use crate::Engine;
use crate::config::{Config, Connection};
use crate::error::EngineError;
use crate::publish::Written;
use crate::pull::{PullReport, count, sample};
use crate::state::ConnectionState;
use intel::{
    Absorbed, Claim, ConnectionId, IndicatorId, IndicatorKey, IndicatorKind, Observation, Row, RunId, SourceRecord,
    Timestamp,
};
use kit::manifest::Style;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// Most rows of one batch: they are one transaction, and everybody else who writes waits for it.
pub const BATCH_ROWS: usize = 8_192;
/// How long an answer is kept for the request to be repeated.
pub const ANSWERS_KEPT: Duration = Duration::from_secs(24 * 3600);
/// How long pushes to one bucket are counted on one run.
const RUN: Duration = Duration::from_secs(3600);
/// Callers named on one run.
const CALLERS: usize = 1_000;

/// What is to be done with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Op {
    /// The source says this.
    #[default]
    Upsert,
    /// The source takes its word back.
    Retract,
}

/// One pushed row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// What to do.
    pub op: Op,
    /// What is said. A retraction needs no more than the value.
    pub observation: Observation,
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// The bucket had nothing on it.
    New,
    /// The bucket's word differs now.
    Changed,
    /// It says nothing new.
    Unchanged,
    /// It was not taken.
    Rejected,
}

impl Standing {
    /// As answers say it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Standing::New => "new",
            Standing::Changed => "changed",
            Standing::Unchanged => "unchanged",
            Standing::Rejected => "rejected",
        }
    }
}

/// What became of a row, and what it was read as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What became of it.
    pub standing: Standing,
    /// Why it was rejected, or why it changed nothing although it says something else.
    pub reason: Option<String>,
    /// What it was read as. None where it was not understood.
    pub key: Option<IndicatorKey>,
}

impl Outcome {
    fn of(standing: Standing, key: &IndicatorKey) -> Outcome {
        Outcome { standing, reason: None, key: Some(key.clone()) }
    }

    /// The kind it was read as.
    pub fn kind(&self) -> Option<IndicatorKind> {
        self.key.as_ref().map(IndicatorKey::kind)
    }
}

/// What one batch did. `outcomes` are in the order of the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingested {
    /// The run it is counted on.
    pub run: u64,
    /// One a row.
    pub outcomes: Vec<Outcome>,
    /// Indicators whose summary changed.
    pub touched: u64,
}

/// What is remembered of a bucket while the process runs.
pub(crate) struct Bucket {
    run: RunId,
    started: Timestamp,
    report: PullReport,
    state: ConnectionState,
    callers: BTreeSet<String>,
    /// The last version given to an undated row.
    tick: Timestamp,
}

/// A row of the batch that was understood.
struct Taken {
    at: usize,
    row: Row,
    fingerprint: u64,
}

/// What the bucket says of one key, while a batch is read.
struct Standpoint {
    id: Option<IndicatorId>,
    record: Option<SourceRecord>,
    was_there: bool,
    is_changed: bool,
}

impl Engine {
    /// The bucket of this name, if it takes rows now.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] where there is no such connection, [`EngineError::Conflict`] where it is no bucket or
    /// disabled.
    pub fn bucket<'c>(&self, config: &'c Config, name: &str) -> Result<&'c Connection, EngineError> {
        let connection = config.connection(name).ok_or_else(|| self.no_connection(name))?;
        if !self.is_bucket(connection) {
            return Err(EngineError::Conflict(format!(
                "{name} is no bucket: connector \"{}\" is not pushed to; make a connection with connector \"api-source\"",
                connection.doc.connector
            )));
        }
        if !connection.doc.enabled {
            return Err(EngineError::Conflict(format!(
                "{name} is disabled: nothing is taken until it has `enabled = true`"
            )));
        }
        Ok(connection)
    }

    /// Whether third parties push to this connection, disabled or not.
    pub fn is_bucket(&self, connection: &Connection) -> bool {
        let connector = self.registry.get(&connection.doc.connector);
        let is_hosted =
            connector.is_some_and(|c| c.manifest().source.as_ref().is_some_and(|source| source.style == Style::Hosted));
        is_hosted && connection.id != ConnectionId::MANUAL
    }

    /// Folds a batch of pushed rows in, all of it or nothing. A row that could not even be read comes as the reason.
    /// What this returns is durable and can be read.
    ///
    /// # Errors
    /// As [`Engine::bucket`]; more than [`BATCH_ROWS`] rows; a failing store, or a stopped simulation.
    pub fn ingest(&self, name: &str, rows: Vec<Result<Push, String>>, who: &str) -> Result<Ingested, EngineError> {
        let config = self.config();
        let connection = self.bucket(&config, name)?;
        if rows.len() > BATCH_ROWS {
            return Err(EngineError::Invalid(format!("at most {BATCH_ROWS} rows in one batch")));
        }
        // What needs no lock comes first: others write meanwhile.
        let now = self.world.now();
        let n_rows = rows.len();
        let mut outcomes: Vec<Option<Outcome>> = (0..n_rows).map(|_| None).collect();
        let mut taken = Vec::with_capacity(n_rows);
        let mut counts = PullReport::new(name, RunId(0));
        let mut scratch = Vec::new();
        for (at, row) in rows.into_iter().enumerate() {
            let read = row.map_err(|why| ("unreadable", why)).and_then(|Push { op, mut observation }| {
                observation.retracted |= op == Op::Retract;
                observation.normalise(now).map_err(|rejection| (rejection.reason.as_str(), rejection.to_string()))
            });
            match read {
                Ok(row) => {
                    let fingerprint = row.fingerprint(connection.id, &mut scratch);
                    taken.push(Taken { at, row, fingerprint });
                }
                Err((reason, why)) => {
                    count(&mut counts.rejected_by, reason, 1);
                    sample(&mut counts.samples, &why);
                    outcomes[at] = Some(Outcome { standing: Standing::Rejected, reason: Some(why), key: None });
                }
            }
        }

        let one_push = self.pull_lock(connection.id);
        let _one_push = crate::unpoison(one_push.lock());
        let _one_writer = self.ingest_lock();
        let mut bucket = self.take_bucket(connection, who, now)?;
        let standpoints = self.judge(connection, now, &mut bucket, taken, &mut outcomes, &mut counts)?;
        let outcomes: Vec<Outcome> = outcomes.into_iter().flatten().collect();
        debug_assert_eq!(outcomes.len(), n_rows, "a word on every row");
        counts.read = n_rows as u64;
        for outcome in &outcomes {
            match outcome.standing {
                Standing::New => counts.new += 1,
                Standing::Changed => counts.changed += 1,
                Standing::Unchanged => counts.unchanged += 1,
                Standing::Rejected => counts.rejected += 1,
            }
        }
        debug_assert!(counts.balances(), "{counts:?}");
        let mut report = joined(&bucket.report, &counts);
        let written: Vec<Written<'_>> = standpoints
            .iter()
            .filter(|(_, standpoint)| standpoint.is_changed)
            .filter_map(|(key, standpoint)| {
                standpoint.record.clone().map(|record| Written { id: standpoint.id, key, record })
            })
            .collect();
        let mut state = bucket.state.clone();
        state.last_run = Some(now.micros());
        state.last_success = Some(now.micros());
        state.last_status = Some(report.status.clone());
        let text = state.to_text();
        let mut counted = |touched: u64| {
            report.touched += touched;
            let status = if report.status == "partial" { "partial" } else { "success" };
            (status, serde_json::to_string(&report).unwrap_or_default())
        };
        let run = bucket.run;
        let done = self.write_records(connection.id, run, now, &written, Some(&text), Some(&mut counted));
        // What was not written is not counted either.
        let touched = match done {
            Ok(touched) => {
                bucket.report = report;
                bucket.state = state;
                Ok(touched)
            }
            Err(error) => Err(error),
        };
        crate::unpoison(self.buckets.lock()).insert(connection.id, bucket);
        Ok(Ingested { run: run.0, outcomes, touched: touched? })
    }

    /// What is remembered of a bucket, with a run that is not too old. Whoever takes it puts it back.
    fn take_bucket(&self, connection: &Connection, who: &str, now: Timestamp) -> Result<Bucket, EngineError> {
        let name = &connection.doc.name;
        let known = crate::unpoison(self.buckets.lock()).remove(&connection.id);
        let fresh = |bucket: &Bucket| bucket.report.connection == *name && now.since(bucket.started) < RUN;
        let mut bucket = match known {
            Some(bucket) if fresh(&bucket) => bucket,
            known => {
                let run = self.store.run_start("ingest", name, now)?;
                Bucket {
                    run,
                    started: now,
                    report: PullReport { status: "success".to_owned(), ..PullReport::new(name, run) },
                    state: ConnectionState::parse(self.store.connection_state(connection.id)?.as_deref()),
                    callers: BTreeSet::new(),
                    tick: known.map_or(Timestamp::EPOCH, |bucket| bucket.tick),
                }
            }
        };
        if bucket.callers.len() < CALLERS && !bucket.callers.contains(who) {
            let detail = serde_json::json!({ "run": bucket.run.0 }).to_string();
            self.store.audit(who, "bucket.push", name, &detail, now)?;
            bucket.callers.insert(who.to_owned());
        }
        Ok(bucket)
    }

    /// Goes through the rows in their order: what the bucket says of each key afterwards, and a word on every row.
    fn judge(
        &self,
        connection: &Connection,
        now: Timestamp,
        bucket: &mut Bucket,
        taken: Vec<Taken>,
        outcomes: &mut [Option<Outcome>],
        counts: &mut PullReport,
    ) -> Result<Vec<(IndicatorKey, Standpoint)>, EngineError> {
        let known = self.known();
        let mut places: HashMap<IndicatorKey, usize> = HashMap::with_capacity(taken.len());
        let mut standpoints: Vec<(IndicatorKey, Standpoint)> = Vec::new();
        let mut n_rows: Vec<u32> = Vec::new();
        let at_key: Vec<usize> = taken
            .iter()
            .map(|taken| {
                let place = *places.entry(taken.row.key.clone()).or_insert_with(|| {
                    let id = known.index.id(&taken.row.key);
                    let was_there = id.is_some_and(|id| known.index.slot(id, connection.id).is_some());
                    let standpoint = Standpoint { id, record: None, was_there, is_changed: false };
                    standpoints.push((taken.row.key.clone(), standpoint));
                    n_rows.push(0);
                    standpoints.len() - 1
                });
                n_rows[place] += 1;
                place
            })
            .collect();
        // A row whose content is what is known already, alone in its batch, needs no look into the store.
        let is_known = |taken: &Taken, place: usize| {
            n_rows[place] == 1 && known.index.seen(taken.fingerprint).is_some_and(|slot| known.index.is_listed(slot))
        };
        let mut needed = vec![false; standpoints.len()];
        for (taken, place) in taken.iter().zip(&at_key) {
            needed[*place] |= standpoints[*place].1.was_there && !is_known(taken, *place);
        }
        let wanted: Vec<(usize, IndicatorId)> = needed
            .iter()
            .enumerate()
            .filter_map(|(place, needed)| standpoints[place].1.id.filter(|_| *needed).map(|id| (place, id)))
            .collect();
        let keys: Vec<(IndicatorId, ConnectionId)> = wanted.iter().map(|(_, id)| (*id, connection.id)).collect();
        for ((place, _), record) in wanted.iter().zip(self.store.records(&keys)?) {
            standpoints[*place].1.record = record;
        }
        let echoes = self.echoes(connection.id);
        let mut scratch = Vec::new();
        for (taken, place) in taken.into_iter().zip(at_key) {
            if is_known(&taken, place) {
                outcomes[taken.at] = Some(Outcome::of(Standing::Unchanged, &taken.row.key));
                continue;
            }
            let Taken { at, mut row, mut fingerprint } = taken;
            bucket.tick = now.max(bucket.tick.after(Duration::from_micros(1)));
            let standpoint = &mut standpoints[place].1;
            if row.claim.retracted {
                let Some(old) = &standpoint.record else {
                    let why = "unknown: this source has not said it, so there is nothing to take back".to_owned();
                    count(&mut counts.rejected_by, "unknown", 1);
                    sample(&mut counts.samples, &format!("{}: {why}", row.key.value()));
                    outcomes[at] =
                        Some(Outcome { standing: Standing::Rejected, reason: Some(why), key: Some(row.key) });
                    continue;
                };
                if old.claim.retracted && row.version.is_none_or(|version| version <= old.version) {
                    outcomes[at] = Some(Outcome::of(Standing::Unchanged, &row.key));
                    continue;
                }
                // What was said stays readable; it only stops counting.
                let said = std::mem::replace(&mut row.claim, Claim { retracted: true, ..old.claim.clone() });
                if said.comment.is_some() {
                    row.claim.comment = said.comment;
                }
                fingerprint = row.fingerprint(connection.id, &mut scratch);
            }
            let mut reason = None;
            let old = standpoint.record.take();
            let is_first = old.is_none();
            if old.as_ref().is_some_and(|old| row.version.is_some_and(|version| version < old.version)) {
                reason = Some("a newer word of this source is known".to_owned());
            }
            // Whatever our clock did meanwhile, what is said without a date is said after what is known.
            let after = old.as_ref().map(|old| old.version.after(Duration::from_micros(1)));
            let dates = (bucket.tick.max(after.unwrap_or(bucket.tick)), now);
            let (record, absorbed) = echoes.take(&known, standpoint.id, old, &row, fingerprint, dates);
            standpoint.record = Some(record);
            let standing = match (absorbed, is_first) {
                (Absorbed::Unchanged, _) => Standing::Unchanged,
                (Absorbed::Changed, true) => Standing::New,
                (Absorbed::Changed, false) => Standing::Changed,
            };
            standpoint.is_changed |= absorbed == Absorbed::Changed;
            let reason = reason.filter(|_| standing == Standing::Unchanged);
            outcomes[at] = Some(Outcome { standing, reason, key: Some(row.key) });
        }
        Ok(standpoints)
    }
}

/// The counts of a run with those of one more batch.
fn joined(before: &PullReport, batch: &PullReport) -> PullReport {
    let mut report = before.clone();
    report.read += batch.read;
    report.new += batch.new;
    report.changed += batch.changed;
    report.unchanged += batch.unchanged;
    report.rejected += batch.rejected;
    for (reason, n) in &batch.rejected_by {
        count(&mut report.rejected_by, reason, *n);
    }
    for text in &batch.samples {
        sample(&mut report.samples, text);
    }
    let is_partial = report.rejected * 100 > report.read;
    (if is_partial { "partial" } else { "success" }).clone_into(&mut report.status);
    report
}
