//! The ledger: what was put where. A line is written before its effect begins and again when the outcome is known.

use crate::Store;
use crate::error::{Result, StoreError};
use crate::meant::{standing, unpack};
use crate::undo::{Inverse, write_inverses};
use intel::{IndicatorId, RunId, TargetId, Timestamp};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::ops::Bound;
use xxhash_rust::xxh3::xxh3_64;

/// The number of the state of a line whose entry was ours and is no longer there: a tombstone, by which an echo is
/// known. States are numbered as they are declared by whoever decides on them; the last, 7, is this.
pub const LINE_GONE: u8 = 7;

/// A line of the ledger to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineRow {
    /// The indicator that represents the entry: its best-ranked wanting key. A target has one line per indicator.
    pub indicator: IndicatorId,
    /// The entry as the destination stores it, where that is not the indicator's value.
    pub entry: Option<String>,
    /// Number of the state, 0 to [`LINE_GONE`].
    pub state: u8,
    /// Hash of action, parameters and rendered fields.
    pub fingerprint: u64,
    /// The id the destination gave it.
    pub remote_id: Option<String>,
    /// When the destination will drop it by itself.
    pub remote_expires: Option<Timestamp>,
    /// When that was last agreed.
    pub remote_from: Option<Timestamp>,
    /// Failed attempts in a row.
    pub attempts: u32,
    /// Not before this.
    pub next_try: Option<Timestamp>,
    /// The destination's last words.
    pub words: Option<String>,
    /// The run that last touched it.
    pub run: RunId,
    /// When it was first intended; to be kept through updates and in the tombstone.
    pub first_intent: Timestamp,
    /// When it was last written.
    pub updated: Timestamp,
}

/// A line of the ledger as it is read: [`LineRow`] with lent texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// The indicator that represents the entry.
    pub indicator: IndicatorId,
    /// The entry as the destination stores it, where that is not the indicator's value.
    pub entry: Option<&'a str>,
    /// Number of the state, 0 to [`LINE_GONE`].
    pub state: u8,
    /// Hash of action, parameters and rendered fields.
    pub fingerprint: u64,
    /// The id the destination gave it.
    pub remote_id: Option<&'a str>,
    /// When the destination will drop it by itself.
    pub remote_expires: Option<Timestamp>,
    /// When that was last agreed.
    pub remote_from: Option<Timestamp>,
    /// Failed attempts in a row.
    pub attempts: u32,
    /// Not before this.
    pub next_try: Option<Timestamp>,
    /// The destination's last words.
    pub words: Option<&'a str>,
    /// The run that last touched it.
    pub run: RunId,
    /// When it was first intended.
    pub first_intent: Timestamp,
    /// When it was last written.
    pub updated: Timestamp,
}

impl Line<'_> {
    /// A copy to keep.
    pub fn to_row(&self) -> LineRow {
        LineRow {
            indicator: self.indicator,
            entry: self.entry.map(Into::into),
            state: self.state,
            fingerprint: self.fingerprint,
            remote_id: self.remote_id.map(Into::into),
            remote_expires: self.remote_expires,
            remote_from: self.remote_from,
            attempts: self.attempts,
            next_try: self.next_try,
            words: self.words.map(Into::into),
            run: self.run,
            first_intent: self.first_intent,
            updated: self.updated,
        }
    }

    /// A hash of everything stored: SQLite has no checksums, and a damaged line must not cause an effect.
    fn sum(&self, id: i64, scratch: &mut Vec<u8>) -> i64 {
        scratch.clear();
        let time = |time: Option<Timestamp>| time.map_or(i64::MIN, Timestamp::micros);
        for number in [
            id,
            i64::from(self.state),
            self.fingerprint.cast_signed(),
            time(self.remote_expires),
            time(self.remote_from),
            i64::from(self.attempts),
            time(self.next_try),
            self.run.0.cast_signed(),
            self.first_intent.micros(),
            self.updated.micros(),
        ] {
            scratch.extend_from_slice(&number.to_le_bytes());
        }
        for text in [self.entry, self.remote_id, self.words] {
            scratch.push(u8::from(text.is_some()));
            scratch.extend_from_slice(text.unwrap_or_default().as_bytes());
            // A byte no text holds, so that neighbours cannot run together.
            scratch.push(0xff);
        }
        xxh3_64(scratch).cast_signed()
    }
}

impl LineRow {
    /// The line, lent.
    pub fn as_line(&self) -> Line<'_> {
        Line {
            indicator: self.indicator,
            entry: self.entry.as_deref(),
            state: self.state,
            fingerprint: self.fingerprint,
            remote_id: self.remote_id.as_deref(),
            remote_expires: self.remote_expires,
            remote_from: self.remote_from,
            attempts: self.attempts,
            next_try: self.next_try,
            words: self.words.as_deref(),
            run: self.run,
            first_intent: self.first_intent,
            updated: self.updated,
        }
    }
}

/// The body a list-style target last published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The name it is served under.
    pub name: String,
    /// Name of the file that holds it.
    pub file: String,
    /// How it is written.
    pub format: String,
    /// SHA-256 of the body, in hex.
    pub sha256: String,
    /// Lines in it.
    pub lines: u64,
    /// Its length.
    pub bytes: u64,
    /// When.
    pub at: Timestamp,
}

/// Ordinary effects on a target, for the rolling budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Effects {
    /// Entries added.
    pub adds: u64,
    /// Entries taken back.
    pub removals: u64,
}

/// What became known of a target: written together or not at all.
#[derive(Debug, Clone, Copy)]
pub struct Settle<'a> {
    /// Which target.
    pub target: TargetId,
    /// The run that found out.
    pub run: RunId,
    /// Lines to write, whole; those that are gone stay as tombstones.
    pub lines: &'a [LineRow],
    /// Indicators whose lines are dropped without trace: refused or foreign, and no longer wanted.
    pub dropped: &'a [IndicatorId],
    /// The body that is now served.
    pub published: Option<&'a Published>,
    /// The target's own state, as JSON; None leaves what is there.
    pub target_state: Option<&'a str>,
}

const COLUMNS: &str = "id, entry, state, fingerprint, remote_id, remote_expires, remote_from, attempts, next_try, words, \
     run, first_intent, updated, row_sum";

impl Store {
    /// The lines of a target, tombstones among them, by indicator, as of one moment. Fails with
    /// [`StoreError::Damaged`] at a line that is not what was written.
    pub fn lines(&self, target: TargetId, each: &mut dyn FnMut(Line<'_>)) -> Result<(), StoreError> {
        self.read(|conn| {
            let select = format!("SELECT {COLUMNS} FROM line WHERE id BETWEEN ?1 AND ?2 ORDER BY id");
            let mut statement = conn.prepare_cached(&select)?;
            let (first, last) = (line_id(target, IndicatorId(0))?, line_id(target, IndicatorId(u32::MAX))?);
            let mut rows = statement.query([first, last])?;
            let mut scratch = Vec::new();
            let mut meant = standing(conn, target)?;
            while let Some(row) = rows.next()? {
                let line = line(row, &mut scratch)?;
                while let Some(new) = meant.first_entry().filter(|new| *new.key() < line.indicator) {
                    each(new.remove().as_line());
                }
                match meant.remove(&line.indicator) {
                    Some(its) => each(its.as_line()),
                    None => each(line),
                }
            }
            meant.values().for_each(|line| each(line.as_line()));
            Ok(())
        })
    }

    /// Lines of a target after an indicator, by indicator, at most `limit`; in one state or in any. Fails as
    /// [`Store::lines`] does.
    pub fn lines_after(
        &self,
        target: TargetId,
        after: Option<IndicatorId>,
        state: Option<u8>,
        limit: usize,
    ) -> Result<Vec<LineRow>, StoreError> {
        let keep = |line: &LineRow| state.is_none_or(|state| line.state == state);
        self.lines_where("?3 IS NULL OR state = ?3", &keep, target, after, state, limit)
    }

    /// As [`Store::lines_after`], of what the destination refused: lines in the state of refused ones, and lines that are
    /// there and whose last change or removal it would not take: those have its words and failed attempts.
    pub fn refused_lines_after(
        &self,
        target: TargetId,
        after: Option<IndicatorId>,
        limit: usize,
    ) -> Result<Vec<LineRow>, StoreError> {
        let refused = format!("state = ?3 OR (state = {LINE_PRESENT} AND attempts > 0 AND words IS NOT NULL)");
        let keep = |line: &LineRow| {
            line.state == LINE_REFUSED || (line.state == LINE_PRESENT && line.attempts > 0 && line.words.is_some())
        };
        self.lines_where(&refused, &keep, target, after, Some(LINE_REFUSED), limit)
    }

    fn lines_where(
        &self,
        filter: &str,
        keep: &dyn Fn(&LineRow) -> bool,
        target: TargetId,
        after: Option<IndicatorId>,
        state: Option<u8>,
        limit: usize,
    ) -> Result<Vec<LineRow>, StoreError> {
        self.read(|conn| {
            let meant = standing(conn, target)?;
            // What is meant may be in another state than its line, so it is looked through afterwards.
            let (filter, most) = if meant.is_empty() {
                (filter, limit)
            } else {
                ("?3 IS NULL OR ?3 >= 0", limit.saturating_add(meant.len()))
            };
            let select =
                format!("SELECT {COLUMNS} FROM line WHERE id > ?1 AND id <= ?2 AND ({filter}) ORDER BY id LIMIT ?4");
            let mut statement = conn.prepare_cached(&select)?;
            // Before the first where nothing is said.
            let first = after.map_or_else(|| Ok(line_id(target, IndicatorId(0))? - 1), |id| line_id(target, id))?;
            let last = line_id(target, IndicatorId(u32::MAX))?;
            let (mut first, most_read) = (first, i64::try_from(most).unwrap_or(i64::MAX));
            let (mut out, mut scratch) = (Vec::new(), Vec::new());
            let mut new = meant.range((after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded)).peekable();
            loop {
                let mut rows = statement.query(params![first, last, state, most_read])?;
                let mut n_read = 0;
                while let Some(row) = rows.next()? {
                    let line = line(row, &mut scratch)?;
                    (first, n_read) = (row.get(0)?, n_read + 1);
                    while let Some((_, new)) = new.next_if(|(id, _)| **id < line.indicator) {
                        out.push(new.clone());
                    }
                    out.push(
                        new.next_if(|(id, _)| **id == line.indicator)
                            .map_or_else(|| line.to_row(), |own| own.1.clone()),
                    );
                }
                if n_read < most {
                    out.extend(new.by_ref().map(|(_, new)| new.clone()));
                }
                out.retain(|line| keep(line));
                if n_read < most || out.len() >= limit {
                    out.truncate(limit);
                    return Ok(out);
                }
            }
        })
    }

    /// One line.
    pub fn line(&self, target: TargetId, indicator: IndicatorId) -> Result<Option<LineRow>, StoreError> {
        self.read(|conn| {
            if let Some(meant) = standing(conn, target)?.remove(&indicator) {
                return Ok(Some(meant));
            }
            let mut statement = conn.prepare_cached(&format!("SELECT {COLUMNS} FROM line WHERE id = ?1"))?;
            let mut rows = statement.query([line_id(target, indicator)?])?;
            match rows.next()? {
                Some(row) => Ok(Some(line(row, &mut Vec::new())?.to_row())),
                None => Ok(None),
            }
        })
    }

    /// Says what is about to be done at a target; durable when it returns, so before the first byte leaves.
    pub fn intend(&self, target: TargetId, run: RunId, lines: &[LineRow]) -> Result<(), StoreError> {
        self.write(|tx, _| {
            unpack(tx, target)?;
            write_lines(tx, target, run, lines)
        })
    }

    /// As [`Store::intend`], with how to undo it.
    pub fn intend_undoable(
        &self,
        target: TargetId,
        run: RunId,
        lines: &[LineRow],
        inverses: &[Inverse],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(|tx, _| {
            unpack(tx, target)?;
            write_inverses(tx, target, run, inverses, now)?;
            write_lines(tx, target, run, lines)
        })
    }

    /// Says what was done.
    pub fn settle(&self, settle: &Settle<'_>) -> Result<(), StoreError> {
        self.settle_undoable(settle, &[], Timestamp::from_micros(0))
    }

    /// As [`Store::settle`], with how to undo what was done without being meant first, and what came to nothing.
    pub fn settle_undoable(&self, settle: &Settle<'_>, inverses: &[Inverse], now: Timestamp) -> Result<(), StoreError> {
        self.write(|tx, _| {
            let Settle { target, run, .. } = *settle;
            unpack(tx, target)?;
            write_inverses(tx, target, run, inverses, now)?;
            write_lines(tx, target, run, settle.lines)?;
            drop_lines(tx, target, settle.dropped)?;
            if let Some(published) = settle.published {
                write_published(tx, target, run, published)?;
            }
            if let Some(state) = settle.target_state {
                write_state(tx, target, state)?;
            }
            Ok(())
        })
    }

    /// A target's own state, as JSON.
    pub fn target_state(&self, target: TargetId) -> Result<Option<String>, StoreError> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached("SELECT state FROM target_state WHERE target = ?1")?;
            Ok(statement.query_row([target.0], |row| row.get(0)).optional()?)
        })
    }

    /// Stores a target's own state, where no line changes with it.
    pub fn set_target_state(&self, target: TargetId, state: &str) -> Result<(), StoreError> {
        self.write(|tx, _| write_state(tx, target, state))
    }

    /// What a target last published.
    pub fn published(&self, target: TargetId) -> Result<Option<Published>, StoreError> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached(&format!("{PUBLISHED} WHERE target = ?1"))?;
            Ok(statement.query_row([target.0], published).optional()?)
        })
    }

    /// What every target last published: at start, before anything is loaded.
    pub fn all_published(&self) -> Result<Vec<Published>, StoreError> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached(&format!("{PUBLISHED} ORDER BY target"))?;
            Ok(statement.query_map([], published)?.collect::<Result<_, _>>()?)
        })
    }

    /// Forgets what a target published, as when it is deleted.
    pub fn unpublish(&self, target: TargetId) -> Result<(), StoreError> {
        self.write(|tx, _| {
            tx.execute("DELETE FROM published WHERE target = ?1", [target.0])?;
            Ok(())
        })
    }

    /// Drops tombstones last written before a time. Gives how many.
    pub fn prune_tombstones(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.write(|tx, _| {
            let sql = "DELETE FROM line WHERE state = ?1 AND updated < ?2";
            Ok(tx.execute(sql, params![LINE_GONE, before.micros()])? as u64)
        })
    }

    /// Adds to what a run did at a target.
    pub fn add_effects(
        &self,
        target: TargetId,
        run: RunId,
        adds: usize,
        removals: usize,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if adds == 0 && removals == 0 {
            return Ok(());
        }
        self.write(|tx, _| {
            tx.prepare_cached(
                "INSERT INTO effect (target, run, at, adds, removals) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE \
                 SET at = max(at, excluded.at), adds = adds + excluded.adds, removals = removals + excluded.removals",
            )?
            .execute(params![target.0, run.0.cast_signed(), now.micros(), adds as i64, removals as i64])?;
            Ok(())
        })
    }

    /// What was done at a target since a time, that moment included.
    pub fn effects_since(&self, target: TargetId, since: Timestamp) -> Result<Effects, StoreError> {
        self.read(|conn| {
            let sql =
                "SELECT coalesce(sum(adds), 0), coalesce(sum(removals), 0) FROM effect WHERE target = ?1 AND at >= ?2";
            Ok(conn.prepare_cached(sql)?.query_row(params![target.0, since.micros()], |row| {
                let count = |at: usize| row.get::<_, i64>(at).map(i64::cast_unsigned);
                Ok(Effects { adds: count(0)?, removals: count(1)? })
            })?)
        })
    }
}

const PUBLISHED: &str = "SELECT name, file, format, sha256, lines, bytes, at FROM published";

fn published(row: &Row<'_>) -> rusqlite::Result<Published> {
    Ok(Published {
        name: row.get(0)?,
        file: row.get(1)?,
        format: row.get(2)?,
        sha256: row.get(3)?,
        lines: row.get::<_, i64>(4)?.cast_unsigned(),
        bytes: row.get::<_, i64>(5)?.cast_unsigned(),
        at: Timestamp::from_micros(row.get(6)?),
    })
}

fn write_published(tx: &Connection, target: TargetId, run: RunId, published: &Published) -> Result<()> {
    tx.prepare_cached(
        "INSERT OR REPLACE INTO published (target, name, file, format, sha256, lines, bytes, at, run) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        target.0,
        published.name,
        published.file,
        published.format,
        published.sha256,
        published.lines.cast_signed(),
        published.bytes.cast_signed(),
        published.at.micros(),
        run.0.cast_signed(),
    ])?;
    Ok(())
}

fn write_state(tx: &Connection, target: TargetId, state: &str) -> Result<()> {
    tx.prepare_cached("INSERT OR REPLACE INTO target_state (target, state) VALUES (?1, ?2)")?
        .execute(params![target.0, state])?;
    Ok(())
}

/// Lines of a target that is deleted: what may be at the destination is not ours any more.
pub(crate) fn release(tx: &Connection, target: TargetId, now: Timestamp) -> Result<()> {
    unpack(tx, target)?;
    let (mut from, last) = (line_id(target, IndicatorId(0))?, line_id(target, IndicatorId(u32::MAX))?);
    let select = format!("SELECT {COLUMNS} FROM line WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT {RELEASE_BATCH}");
    let mut scratch = Vec::new();
    loop {
        let mut batch = Vec::new();
        let mut statement = tx.prepare_cached(&select)?;
        let mut rows = statement.query([from, last])?;
        while let Some(row) = rows.next()? {
            from = row.get::<_, i64>(0)? + 1;
            batch.push(line(row, &mut scratch)?.to_row());
        }
        let n_read = batch.len();
        batch.retain(|row| LINES_THERE.contains(&row.state));
        for row in &mut batch {
            row.state = LINE_RELEASED;
            row.updated = now;
        }
        // Its last run stays written on each line.
        for row in &batch {
            write_lines(tx, target, row.run, std::slice::from_ref(row))?;
        }
        if n_read < RELEASE_BATCH {
            break;
        }
    }
    tx.execute("DELETE FROM published WHERE target = ?1", [target.0])?;
    tx.execute("DELETE FROM target_state WHERE target = ?1", [target.0])?;
    tx.execute("DELETE FROM pin WHERE target = ?1", [target.0])?;
    tx.execute("DELETE FROM undo WHERE target = ?1", [target.0])?;
    Ok(())
}

/// Lines read at once when a target is deleted.
const RELEASE_BATCH: usize = 10_000;
/// Numbers of the states in which an entry of ours may be at the destination: pending, unknown, present, retracting.
const LINES_THERE: [u8; 4] = [0, 1, 2, 4];
/// Numbers of the states of a line whose entry is there, and of one that was refused.
const LINE_PRESENT: u8 = 2;
const LINE_REFUSED: u8 = 3;
/// Number of the state of a line that is left there and not ours any more.
const LINE_RELEASED: u8 = 6;

/// The row of a line in its table.
fn line_id(target: TargetId, indicator: IndicatorId) -> Result<i64> {
    let target = i32::try_from(target.0).map_err(|_| StoreError::Limit("there are too many targets".into()))?;
    Ok((i64::from(target) << 32) | i64::from(indicator.0))
}

pub(crate) fn drop_lines(tx: &Connection, target: TargetId, indicators: &[IndicatorId]) -> Result<()> {
    let mut drop = tx.prepare_cached("DELETE FROM line WHERE id = ?1")?;
    for indicator in indicators {
        drop.execute([line_id(target, *indicator)?])?;
    }
    Ok(())
}

pub(crate) fn write_lines(tx: &Connection, target: TargetId, run: RunId, lines: &[LineRow]) -> Result<()> {
    let mut insert = tx.prepare_cached(&format!(
        "INSERT OR REPLACE INTO line ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"
    ))?;
    let mut scratch = Vec::new();
    // In the order of the table: a pass means its entries best first, which is any order there.
    let mut rows: Vec<&LineRow> = lines.iter().collect();
    rows.sort_by_key(|row| row.indicator);
    for row in rows {
        let line = Line { run, ..row.as_line() };
        if line.state > LINE_GONE {
            return Err(StoreError::Conflict(format!("there is no line state {}", line.state)));
        }
        let id = line_id(target, line.indicator)?;
        let sum = line.sum(id, &mut scratch);
        insert.execute(params![
            id,
            line.entry,
            line.state,
            line.fingerprint.cast_signed(),
            line.remote_id,
            line.remote_expires.map(Timestamp::micros),
            line.remote_from.map(Timestamp::micros),
            line.attempts,
            line.next_try.map(Timestamp::micros),
            line.words,
            line.run.0.cast_signed(),
            line.first_intent.micros(),
            line.updated.micros(),
            sum,
        ])?;
    }
    Ok(())
}

fn line<'a>(row: &'a Row<'_>, scratch: &mut Vec<u8>) -> Result<Line<'a>> {
    let time =
        |at: usize| -> Result<Option<Timestamp>> { Ok(row.get::<_, Option<i64>>(at)?.map(Timestamp::from_micros)) };
    let text = |at: usize| -> Result<Option<&'a str>> {
        match row.get_ref(at)? {
            ValueRef::Null => Ok(None),
            value => value.as_str().map(Some).map_err(|error| StoreError::damaged(format!("a ledger line: {error}"))),
        }
    };
    let id: i64 = row.get(0)?;
    let line = Line {
        indicator: IndicatorId(id as u32),
        entry: text(1)?,
        state: row.get(2)?,
        fingerprint: row.get::<_, i64>(3)?.cast_unsigned(),
        remote_id: text(4)?,
        remote_expires: time(5)?,
        remote_from: time(6)?,
        attempts: row.get(7)?,
        next_try: time(8)?,
        words: text(9)?,
        run: RunId(row.get::<_, i64>(10)?.cast_unsigned()),
        first_intent: Timestamp::from_micros(row.get(11)?),
        updated: Timestamp::from_micros(row.get(12)?),
    };
    if line.sum(id, scratch) != row.get::<_, i64>(13)? {
        let (target, indicator) = (id >> 32, line.indicator);
        let what = format!("the ledger line of indicator {indicator} at target {target} is not what was written");
        return Err(StoreError::Damaged(what));
    }
    Ok(line)
}
