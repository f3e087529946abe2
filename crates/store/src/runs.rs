//! Executions of jobs: what ran, how it ended, with counts.

use crate::Store;
use crate::error::{Result, StoreError};
use intel::{RunId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

/// One execution of one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRow {
    /// Which one.
    pub id: RunId,
    /// What sort of job: `pull`, `share`, `expire`, `prune`.
    pub kind: String,
    /// Name of the connection or target it is about; empty where it is about none.
    pub subject: String,
    /// When it began.
    pub started: Timestamp,
    /// When it ended. None while it goes on, and where it was interrupted.
    pub ended: Option<Timestamp>,
    /// `running`, `interrupted`, or how it ended.
    pub status: String,
    /// Counts and details, as JSON.
    pub report: String,
}

/// Which runs; what is None does not matter.
#[derive(Debug, Clone, Copy, Default)]
pub struct RunFilter<'a> {
    /// What sort of job.
    pub kind: Option<&'a str>,
    /// About what.
    pub subject: Option<&'a str>,
    /// How it ended.
    pub status: Option<&'a str>,
}

/// How a run stands, to be written with what it did.
#[derive(Debug, Clone, Copy)]
pub struct RunReport<'a> {
    /// Which run.
    pub id: RunId,
    /// How it ended, so far.
    pub status: &'a str,
    /// Counts and details, as JSON.
    pub report: &'a str,
    /// When.
    pub at: Timestamp,
}

const SELECT: &str = "SELECT id, kind, subject, started, ended, status, report FROM run";

impl Store {
    /// Begins a run.
    pub fn run_start(&self, kind: &str, subject: &str, now: Timestamp) -> Result<RunId, StoreError> {
        self.write(|tx, _| {
            tx.prepare_cached(
                "INSERT INTO run (kind, subject, started, status, report) VALUES (?1, ?2, ?3, 'running', '{}')",
            )?
            .execute(params![kind, subject, now.micros()])?;
            Ok(RunId(tx.last_insert_rowid().cast_unsigned()))
        })
    }

    /// Ends a run, or says anew how it ended, as when a suspect one is approved.
    pub fn run_end(&self, id: RunId, status: &str, report: &str, now: Timestamp) -> Result<(), StoreError> {
        self.write(|tx, _| write_report(tx, &RunReport { id, status, report, at: now }))
    }

    /// Runs, latest first, at most `limit`, those before `before` only.
    pub fn runs(&self, filter: RunFilter<'_>, limit: usize, before: Option<RunId>) -> Result<Vec<RunRow>, StoreError> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached(&format!(
                "{SELECT} WHERE (?1 IS NULL OR kind = ?1) AND (?2 IS NULL OR subject = ?2) \
                 AND (?3 IS NULL OR status = ?3) AND (?4 IS NULL OR id < ?4) ORDER BY id DESC LIMIT ?5"
            ))?;
            let before = before.map(|id| id.0.cast_signed());
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let rows = statement.query_map(params![filter.kind, filter.subject, filter.status, before, limit], run)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// One run.
    pub fn run(&self, id: RunId) -> Result<Option<RunRow>, StoreError> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached(&format!("{SELECT} WHERE id = ?1"))?;
            Ok(statement.query_row([id.0.cast_signed()], run).optional()?)
        })
    }

    /// Removes runs that ended before a time and wait for nobody, with their effects; interrupted ones by when they
    /// began. Gives how many.
    pub fn prune_runs(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.write(|tx, _| {
            tx.execute("DELETE FROM effect WHERE at < ?1", [before.micros()])?;
            let n_runs = tx.execute(
                "DELETE FROM run WHERE coalesce(ended, started) < ?1 AND status <> 'running' \
                 AND NOT EXISTS (SELECT 1 FROM staged WHERE staged.run = run.id)",
                [before.micros()],
            )?;
            Ok(n_runs as u64)
        })
    }

    /// Marks what the last process left running.
    pub(crate) fn interrupt_runs(&self) -> Result<()> {
        let is_any = self.read(|conn| {
            Ok(conn.query_row("SELECT EXISTS (SELECT 1 FROM run WHERE status = 'running')", [], |row| row.get(0))?)
        })?;
        if is_any {
            self.write(|tx, _| Ok(tx.execute("UPDATE run SET status = 'interrupted' WHERE status = 'running'", [])?))?;
        }
        Ok(())
    }
}

pub(crate) fn write_report(tx: &Connection, run: &RunReport<'_>) -> Result<()> {
    let n_runs = tx
        .prepare_cached("UPDATE run SET ended = ?2, status = ?3, report = ?4 WHERE id = ?1")?
        .execute(params![run.id.0.cast_signed(), run.at.micros(), run.status, run.report])?;
    match n_runs {
        0 => Err(StoreError::Conflict(format!("there is no run {}", run.id))),
        _ => Ok(()),
    }
}

fn run(row: &Row<'_>) -> rusqlite::Result<RunRow> {
    Ok(RunRow {
        id: RunId(row.get::<_, i64>(0)?.cast_unsigned()),
        kind: row.get(1)?,
        subject: row.get(2)?,
        started: Timestamp::from_micros(row.get(3)?),
        ended: row.get::<_, Option<i64>>(4)?.map(Timestamp::from_micros),
        status: row.get(5)?,
        report: row.get(6)?,
    })
}
