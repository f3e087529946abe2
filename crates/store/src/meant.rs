//! What a pass is about to do, many lines in one row.
//!
//! An intent must be durable before its call begins, and is of no interest a moment later, when the outcome is. Written
//! as a line it would be written, found again and replaced; packed it costs a few dozen bytes at the end of a table. It
//! stands in place of the lines of its indicators for as long as it is there. The transaction that writes the outcome
//! takes it away; where none came, as after a kill, opening the store makes lines of it.

use crate::Store;
use crate::error::{Result, StoreError};
use crate::ledger::{LineRow, Settle, drop_lines, write_lines};
use crate::undo::{Inverse, write_inverses};
use intel::{IndicatorId, RunId, TargetId, Timestamp};
use rusqlite::{Connection, params};
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Names what was meant together; see [`Store::mean`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeantId(i64);

/// Nothing: what a text or a time is that is not there.
const NONE: u32 = u32::MAX;

impl Store {
    /// Says what is about to be done at a target, and how to undo it; durable when it returns, so before the first byte
    /// leaves. [`Store::settle_meant`] must follow, whatever came of it.
    pub fn mean(
        &self,
        target: TargetId,
        run: RunId,
        lines: &[LineRow],
        inverses: &[Inverse],
        now: Timestamp,
    ) -> Result<MeantId, StoreError> {
        let mut rows = Vec::with_capacity(lines.len() * 48);
        lines.iter().for_each(|line| pack(line, &mut rows));
        self.write(|tx, _| {
            unpack(tx, target)?;
            write_inverses(tx, target, run, inverses, now)?;
            let mut insert = tx.prepare_cached("INSERT INTO meant (target, run, rows, sum) VALUES (?1, ?2, ?3, ?4)")?;
            insert.execute(params![target.0, run.0.cast_signed(), rows, sum(target, run, &rows)])?;
            Ok(MeantId(tx.last_insert_rowid()))
        })
    }

    /// Says what came of all that was meant together: the lines of what was tried, how to undo it, and what came to
    /// nothing. Of what was not tried, the lines are again what they were (`untried`), or none (`dropped`).
    pub fn settle_meant(
        &self,
        meant: MeantId,
        settle: &Settle<'_>,
        untried: &[LineRow],
        inverses: &[Inverse],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(|tx, _| {
            let Settle { target, run, .. } = *settle;
            let stood = tx.prepare_cached("DELETE FROM meant WHERE id = ?1")?.execute([meant.0])? > 0;
            unpack(tx, target)?;
            write_inverses(tx, target, run, inverses, now)?;
            write_lines(tx, target, run, settle.lines)?;
            if !stood {
                // It has become lines meanwhile.
                write_lines(tx, target, run, untried)?;
                drop_lines(tx, target, settle.dropped)?;
            }
            Ok(())
        })
    }

    /// Makes lines of what was meant by a process that ended before it knew the outcome.
    pub(crate) fn unpack_meant(&self) -> Result<()> {
        let is_any = self.read(|conn| is_any(conn, None))?;
        if is_any { self.write(|tx, _| unpack_all(tx, None)) } else { Ok(()) }
    }
}

fn is_any(conn: &Connection, only: Option<TargetId>) -> Result<bool> {
    let mut statement = conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM meant WHERE ?1 IS NULL OR target = ?1)")?;
    Ok(statement.query_row([only.map(|target| target.0)], |row| row.get(0))?)
}

/// Makes lines of what stands meant at a target: whoever writes others next must not find them hidden.
pub(crate) fn unpack(tx: &Connection, target: TargetId) -> Result<()> {
    if is_any(tx, Some(target))? { unpack_all(tx, Some(target)) } else { Ok(()) }
}

fn unpack_all(tx: &Connection, only: Option<TargetId>) -> Result<()> {
    let key = only.map(|target| target.0);
    let mut statement =
        tx.prepare_cached("SELECT target, run, rows, sum FROM meant WHERE ?1 IS NULL OR target = ?1 ORDER BY id")?;
    let mut rows = statement.query([key])?;
    while let Some(row) = rows.next()? {
        let (target, run, lines) = unpacked(row)?;
        write_lines(tx, target, run, &lines)?;
    }
    tx.execute("DELETE FROM meant WHERE ?1 IS NULL OR target = ?1", [key])?;
    Ok(())
}

/// What is meant at a target at the moment, by indicator: it stands in place of their lines.
pub(crate) fn standing(conn: &Connection, target: TargetId) -> Result<BTreeMap<IndicatorId, LineRow>> {
    let mut statement =
        conn.prepare_cached("SELECT target, run, rows, sum FROM meant WHERE target = ?1 ORDER BY id")?;
    let mut rows = statement.query([target.0])?;
    let mut out = BTreeMap::new();
    while let Some(row) = rows.next()? {
        out.extend(unpacked(row)?.2.into_iter().map(|line| (line.indicator, line)));
    }
    Ok(out)
}

fn unpacked(row: &rusqlite::Row<'_>) -> Result<(TargetId, RunId, Vec<LineRow>)> {
    let target = TargetId(row.get(0)?);
    let run = RunId(row.get::<_, i64>(1)?.cast_unsigned());
    let damaged =
        || StoreError::damaged(format!("what run {run} meant to do at target {target} is not what was written"));
    let mut packed = row.get_ref(2)?.as_blob().map_err(|_| damaged())?;
    if sum(target, run, packed) != row.get::<_, i64>(3)? {
        return Err(damaged());
    }
    let mut lines = Vec::new();
    while !packed.is_empty() {
        lines.push(unpack_line(&mut packed, run).ok_or_else(damaged)?);
    }
    Ok((target, run, lines))
}

/// SQLite has no checksums, and a damaged line must not cause an effect.
fn sum(target: TargetId, run: RunId, rows: &[u8]) -> i64 {
    xxh3_64_with_seed(rows, u64::from(target.0) << 40 ^ run.0).cast_signed()
}

fn pack(line: &LineRow, out: &mut Vec<u8>) {
    out.extend_from_slice(&line.indicator.0.to_le_bytes());
    out.push(line.state);
    out.extend_from_slice(&line.fingerprint.to_le_bytes());
    out.extend_from_slice(&line.attempts.to_le_bytes());
    for time in [line.first_intent, line.updated] {
        out.extend_from_slice(&time.micros().to_le_bytes());
    }
    for time in [line.next_try, line.remote_expires, line.remote_from] {
        out.push(u8::from(time.is_some()));
        if let Some(time) = time {
            out.extend_from_slice(&time.micros().to_le_bytes());
        }
    }
    for text in [&line.entry, &line.remote_id, &line.words] {
        let text = text.as_deref();
        out.extend_from_slice(&text.map_or(NONE, |text| text.len() as u32).to_le_bytes());
        out.extend_from_slice(text.unwrap_or_default().as_bytes());
    }
}

fn unpack_line(from: &mut &[u8], run: RunId) -> Option<LineRow> {
    let indicator = IndicatorId(u32::from_le_bytes(take(from)?));
    let [state] = take(from)?;
    let fingerprint = u64::from_le_bytes(take(from)?);
    let attempts = u32::from_le_bytes(take(from)?);
    let first_intent = Timestamp::from_micros(i64::from_le_bytes(take(from)?));
    let updated = Timestamp::from_micros(i64::from_le_bytes(take(from)?));
    let (next_try, remote_expires, remote_from) = (time(from)?, time(from)?, time(from)?);
    let (entry, remote_id, words) = (text(from)?, text(from)?, text(from)?);
    Some(LineRow {
        indicator,
        entry,
        state,
        fingerprint,
        remote_id,
        remote_expires,
        remote_from,
        attempts,
        next_try,
        words,
        run,
        first_intent,
        updated,
    })
}

fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = from.split_first_chunk::<N>()?;
    *from = rest;
    Some(*head)
}

fn time(from: &mut &[u8]) -> Option<Option<Timestamp>> {
    let [is_there] = take(from)?;
    if is_there == 0 {
        return Some(None);
    }
    Some(Some(Timestamp::from_micros(i64::from_le_bytes(take(from)?))))
}

fn text(from: &mut &[u8]) -> Option<Option<String>> {
    let len = u32::from_le_bytes(take(from)?);
    if len == NONE {
        return Some(None);
    }
    let (head, rest) = from.split_at_checked(len as usize)?;
    *from = rest;
    Some(Some(std::str::from_utf8(head).ok()?.to_owned()))
}
