//! What sources said before: each record as it was before a run changed it, and what a record was at a time.
//!
//! A time is between runs: what a pull changed that was under way at that time counts as changed after it, so that no
//! moment is half of a run. What is pushed to a bucket counts by the moment it came.

use crate::error::{Result, StoreError};
use crate::row::{self, CLAIM, CLAIM_LEN};
use crate::{Store, accounts};
use intel::{ConnectionId, IndicatorId, RunId, SourceRecord, Timestamp};
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, params};
use std::collections::BTreeSet;

/// A record as it was until it was changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Past {
    /// Which run changed it.
    pub run: RunId,
    /// When it did.
    pub at: Timestamp,
    /// As it was before.
    pub was: SourceRecord,
}

/// A record now, and as it was at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct Rewound {
    /// Whose.
    pub id: IndicatorId,
    /// As it is.
    pub now: SourceRecord,
    /// As it was. None: it was not there yet.
    pub then: Option<SourceRecord>,
    /// A rollback ended what is there now.
    pub is_rolled_back: bool,
}

/// A moment of the past: a time, and the runs that were under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// When.
    pub at: Timestamp,
    /// Runs under way: what they did counts as done after.
    runs: BTreeSet<u64>,
    /// When these began, by subject, which is what `received` of the records they made says.
    began: BTreeSet<i64>,
}

impl Moment {
    fn is_after(&self, run: u64, at: i64) -> bool {
        at > self.at.micros() || self.runs.contains(&run)
    }

    fn is_received_after(&self, received: i64) -> bool {
        received > self.at.micros() || self.began.contains(&received)
    }
}

/// One row of `history`.
struct Kept {
    run: u64,
    at: i64,
    was: Was,
}

enum Was {
    Whole(Box<SourceRecord>),
    Listed(bool),
}

/// Columns of a record but its id, as `history` has them too.
const COLUMNS: &str = "listed, version, received, content, tagset, echo, reputation, confidence, severity, tlp, \
     first_seen, last_seen, valid_from, expires_at, retracted, internal_hits, external_hits, ended_version, \
     ended_content, more_contents, remote_id, comment, link, raw";

impl Store {
    /// The moment of a time.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where history does not reach so far.
    pub fn moment(&self, at: Timestamp) -> Result<Moment, StoreError> {
        self.read(|conn| {
            let floor = floor(conn)?;
            if at < floor {
                return Err(StoreError::Conflict(format!(
                    "what was changed before {floor} is not kept any more (history_days): choose a later time than {at}"
                )));
            }
            // A run that was interrupted did nothing after the next one of anything began.
            let mut statement = conn.prepare_cached(
                "SELECT id, started FROM run WHERE kind IN ('pull', 'add', 'rollback') AND started <= ?1 \
                 AND coalesce(ended, CASE status WHEN 'running' THEN 9223372036854775807 ELSE \
                 (SELECT min(later.started) FROM run later WHERE later.id > run.id) END, started) > ?1",
            )?;
            let mut rows = statement.query([at.micros()])?;
            let mut moment = Moment { at, runs: BTreeSet::new(), began: BTreeSet::new() };
            while let Some(run) = rows.next()? {
                moment.runs.insert(run.get::<_, i64>(0)?.cast_unsigned());
                moment.began.insert(run.get(1)?);
            }
            Ok(moment)
        })
    }

    /// Indicators whose record of a connection was changed or made after a moment, in ascending order.
    pub fn changed_after(&self, connection: ConnectionId, moment: &Moment) -> Result<Vec<IndicatorId>, StoreError> {
        self.read(|conn| {
            let mut ids = BTreeSet::new();
            let mut statement = conn.prepare_cached("SELECT id, received FROM record WHERE id & 65535 = ?1")?;
            let mut rows = statement.query([connection.0])?;
            while let Some(record) = rows.next()? {
                if moment.is_received_after(record.get(1)?) {
                    ids.insert(row::record_key(record.get(0)?).0);
                }
            }
            let mut statement = conn.prepare_cached("SELECT record, run, at FROM history WHERE record & 65535 = ?1")?;
            let mut rows = statement.query([connection.0])?;
            while let Some(kept) = rows.next()? {
                if moment.is_after(kept.get::<_, i64>(1)?.cast_unsigned(), kept.get(2)?) {
                    ids.insert(row::record_key(kept.get(0)?).0);
                }
            }
            Ok(ids.into_iter().collect())
        })
    }

    /// Records of a connection as they are and as they were. One that is not there any more is left out.
    pub fn rewound(
        &self,
        connection: ConnectionId,
        ids: &[IndicatorId],
        moment: &Moment,
    ) -> Result<Vec<Rewound>, StoreError> {
        self.read(|conn| {
            let mut records = conn.prepare_cached(&format!("{} WHERE r.id = ?1", row::select_record()))?;
            let mut past = conn.prepare_cached(&select_past())?;
            let mut ended = conn.prepare_cached("SELECT 1 FROM rolled_back WHERE record = ?1")?;
            let mut out = Vec::with_capacity(ids.len());
            for id in ids {
                let record = row::record_id(*id, connection);
                let mut rows = records.query([record])?;
                let Some((_, _, now)) = rows.next()?.map(row::record).transpose()? else { continue };
                let then = then(&mut past, record, now.clone(), moment)?;
                out.push(Rewound { id: *id, now, then, is_rolled_back: ended.exists([record])? });
            }
            Ok(out)
        })
    }

    /// Every connection's record of an indicator as it was at a moment; those not made yet are left out.
    pub fn records_then(
        &self,
        records: impl IntoIterator<Item = (ConnectionId, SourceRecord)>,
        id: IndicatorId,
        moment: &Moment,
    ) -> Result<Vec<(ConnectionId, SourceRecord)>, StoreError> {
        let records: Vec<_> = records.into_iter().collect();
        self.read(|conn| {
            let mut past = conn.prepare_cached(&select_past())?;
            let mut out = Vec::with_capacity(records.len());
            for (connection, now) in records {
                let then = then(&mut past, row::record_id(id, connection), now, moment)?;
                out.extend(then.map(|then| (connection, then)));
            }
            Ok(out)
        })
    }

    /// What a record was before, the earliest first. `now` is what it is.
    pub fn past(&self, id: IndicatorId, connection: ConnectionId, now: &SourceRecord) -> Result<Vec<Past>, StoreError> {
        self.read(|conn| {
            let mut past = conn.prepare_cached(&select_past())?;
            let kept = kept(&mut past, row::record_id(id, connection))?;
            let mut state = now.clone();
            let mut out = Vec::with_capacity(kept.len());
            for kept in kept.into_iter().rev() {
                step_back(&mut state, kept.was);
                out.push(Past { run: RunId(kept.run), at: Timestamp::from_micros(kept.at), was: state.clone() });
            }
            out.reverse();
            Ok(out)
        })
    }

    /// Notes which records a rollback ended (`run`), or that they are believed again (None).
    pub fn mark_rolled_back(
        &self,
        connection: ConnectionId,
        ids: &[IndicatorId],
        run: Option<RunId>,
    ) -> Result<(), StoreError> {
        self.write(|tx, _| mark(tx, connection, ids, run))
    }

    /// Which of these records a rollback ended.
    pub fn rolled_back_of(
        &self,
        connection: ConnectionId,
        ids: &[IndicatorId],
    ) -> Result<Vec<IndicatorId>, StoreError> {
        self.read(|conn| {
            let mut ended = conn.prepare_cached("SELECT 1 FROM rolled_back WHERE record = ?1")?;
            let mut out = Vec::new();
            for id in ids {
                if ended.exists([row::record_id(*id, connection)])? {
                    out.push(*id);
                }
            }
            Ok(out)
        })
    }

    /// The rollback that ended a record and that nobody has believed it against since.
    pub fn rolled_back_by(&self, id: IndicatorId, connection: ConnectionId) -> Result<Option<RunId>, StoreError> {
        self.read(|conn| {
            let run: Option<i64> = conn
                .prepare_cached("SELECT run FROM rolled_back WHERE record = ?1")?
                .query_row([row::record_id(id, connection)], |row| row.get(0))
                .optional()?;
            Ok(run.map(|run| RunId(run.cast_unsigned())))
        })
    }

    /// How many records of a connection a rollback ended.
    pub fn n_rolled_back(&self, connection: ConnectionId) -> Result<u64, StoreError> {
        self.read(|conn| {
            let sql = "SELECT count(*) FROM rolled_back WHERE record & 65535 = ?1";
            Ok(conn.query_row(sql, [connection.0], |row| row.get::<_, i64>(0))?.cast_unsigned())
        })
    }

    /// The time up to which nothing of the past can be told.
    pub fn history_floor(&self) -> Result<Timestamp, StoreError> {
        self.read(floor)
    }

    /// Forgets what was changed before a time. Gives how many changes.
    pub fn prune_history(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.write(|tx, _| {
            let n_gone = tx.execute("DELETE FROM history WHERE at < ?1", [before.micros()])? as u64;
            if n_gone > 0 {
                let sql = "UPDATE counter SET value = max(value, ?1) WHERE name = 'history_floor'";
                tx.execute(sql, [before.micros()])?;
            }
            tx.execute("DELETE FROM rolled_back WHERE record NOT IN (SELECT id FROM record)", [])?;
            Ok(n_gone)
        })
    }

    /// Ends what a rollback did with its audit entry, in one transaction with the connection's state.
    pub fn end_rollback(
        &self,
        connection: (ConnectionId, &str),
        state: &str,
        (who, detail): (&str, &str),
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(|tx, _| {
            crate::config::write_state(tx, connection.0, state)?;
            accounts::write_audit(tx, who, "source.rollback", connection.1, detail, now)?;
            Ok(())
        })
    }
}

/// Keeps records as they are before they are changed.
pub(crate) struct Keeper<'c> {
    whole: CachedStatement<'c>,
    listed: CachedStatement<'c>,
    run: i64,
    at: i64,
}

impl<'c> Keeper<'c> {
    pub(crate) fn new(conn: &'c Connection, run: RunId, at: Timestamp) -> Result<Keeper<'c>> {
        Ok(Keeper {
            whole: conn.prepare_cached(&format!(
                "INSERT INTO history (record, seq, run, at, {COLUMNS}) SELECT id, ?2, ?3, ?4, {COLUMNS} FROM record \
                 WHERE id = ?1"
            ))?,
            listed: conn
                .prepare_cached("INSERT INTO history (record, seq, run, at, listed) VALUES (?1, ?2, ?3, ?4, ?5)")?,
            run: run.0.cast_signed(),
            at: at.micros(),
        })
    }

    /// Keeps a whole record. Whether there was one.
    pub(crate) fn keep(&mut self, record: i64, seq: u64) -> Result<bool> {
        Ok(self.whole.execute(params![record, seq.cast_signed(), self.run, self.at])? > 0)
    }

    /// Keeps that only this was different.
    pub(crate) fn keep_listed(&mut self, record: i64, seq: u64, was: bool) -> Result<()> {
        self.listed.execute(params![record, seq.cast_signed(), self.run, self.at, was])?;
        Ok(())
    }
}

pub(crate) fn mark(tx: &Connection, connection: ConnectionId, ids: &[IndicatorId], run: Option<RunId>) -> Result<()> {
    let mut put = tx.prepare_cached("INSERT OR REPLACE INTO rolled_back (record, run) VALUES (?1, ?2)")?;
    let mut drop = tx.prepare_cached("DELETE FROM rolled_back WHERE record = ?1")?;
    for id in ids {
        let record = row::record_id(*id, connection);
        match run {
            Some(run) => put.execute(params![record, run.0.cast_signed()])?,
            None => drop.execute([record])?,
        };
    }
    Ok(())
}

/// Forgets the past of indicators that are removed.
pub(crate) fn forget(tx: &Connection, id: IndicatorId) -> Result<()> {
    let all = [row::record_id(id, ConnectionId(0)), row::record_id(id, ConnectionId(u16::MAX))];
    tx.prepare_cached("DELETE FROM history WHERE record BETWEEN ?1 AND ?2")?.execute(all)?;
    tx.prepare_cached("DELETE FROM rolled_back WHERE record BETWEEN ?1 AND ?2")?.execute(all)?;
    Ok(())
}

fn floor(conn: &Connection) -> Result<Timestamp> {
    let mut statement = conn.prepare_cached("SELECT value FROM counter WHERE name = 'history_floor'")?;
    Ok(Timestamp::from_micros(statement.query_row([], |row| row.get(0))?))
}

/// The columns of [`row::select_record`] in their order, then `run` and `at`.
fn select_past() -> String {
    let claim = CLAIM.split(", ").map(|column| format!("h.{column}")).collect::<Vec<_>>().join(", ");
    format!(
        "SELECT {claim}, t.tags, h.record, h.version, h.received, h.content, h.more_contents, h.listed, h.echo, \
         h.ended_version, h.ended_content, h.remote_id, h.run, h.at \
         FROM history h LEFT JOIN tagset t ON t.id = h.tagset WHERE h.record = ?1 ORDER BY h.seq"
    )
}

fn kept(past: &mut CachedStatement<'_>, record: i64) -> Result<Vec<Kept>> {
    const AT: usize = CLAIM_LEN;
    let mut rows = past.query([record])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        let was = match row::time(row, AT + 2)? {
            None => Was::Listed(row.get(AT + 6)?),
            Some(_) => Was::Whole(Box::new(row::record(row)?.2)),
        };
        out.push(Kept { run: row.get::<_, i64>(AT + 11)?.cast_unsigned(), at: row.get(AT + 12)?, was });
    }
    Ok(out)
}

fn step_back(state: &mut SourceRecord, was: Was) {
    match was {
        Was::Whole(record) => *state = *record,
        Was::Listed(listed) => state.listed = listed,
    }
}

/// A record as it was at a moment: as the first change after it found it.
fn then(
    past: &mut CachedStatement<'_>,
    record: i64,
    now: SourceRecord,
    moment: &Moment,
) -> Result<Option<SourceRecord>> {
    let kept = kept(past, record)?;
    let first = kept.iter().position(|kept| moment.is_after(kept.run, kept.at)).unwrap_or(kept.len());
    let mut state = now;
    for kept in kept.into_iter().skip(first).rev() {
        step_back(&mut state, kept.was);
    }
    Ok((!moment.is_received_after(state.received.micros())).then_some(state))
}
