//! What people are told: notices that stand or stood, and what became of telling each through each channel.

use crate::Store;
use crate::error::{Result, StoreError};
use intel::Timestamp;
use rusqlite::{OptionalExtension as _, Row, params};

/// Something that is the case, or happened, and that a person should hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeRow {
    /// Its number; never given twice, so that receivers know a repetition by it.
    pub id: u64,
    /// What sort of thing.
    pub kind: String,
    /// What it is about: kind and subject are its identity while it stands.
    pub subject: String,
    /// How grave.
    pub severity: String,
    /// A sentence.
    pub text: String,
    /// What to do.
    pub next_step: String,
    /// Where to look, below the exchange's address; empty: nowhere.
    pub path: String,
    /// When it was first seen.
    pub first: Timestamp,
    /// When it was last seen.
    pub last: Timestamp,
    /// It happened, and does not stand.
    pub is_event: bool,
    /// Since when it is over.
    pub over: Option<Timestamp>,
}

/// What is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewNotice<'a> {
    /// As in [`NoticeRow`].
    pub kind: &'a str,
    /// As in [`NoticeRow`].
    pub subject: &'a str,
    /// As in [`NoticeRow`].
    pub severity: &'a str,
    /// As in [`NoticeRow`].
    pub text: &'a str,
    /// As in [`NoticeRow`].
    pub next_step: &'a str,
    /// As in [`NoticeRow`].
    pub path: &'a str,
    /// As in [`NoticeRow`].
    pub is_event: bool,
}

/// What became of telling a notice through a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telling {
    /// Which notice.
    pub notice: u64,
    /// Through which channel, by name.
    pub channel: String,
    /// When the channel took it.
    pub told: Option<Timestamp>,
    /// Tries that failed.
    pub attempts: u32,
    /// Not before this.
    pub next_try: Option<Timestamp>,
    /// The last words about it.
    pub words: Option<String>,
}

const SELECT: &str =
    "SELECT id, kind, subject, severity, text, next_step, path, first, last, is_event, over FROM notice";

impl Store {
    /// Notes what is noticed. What stands already keeps its number and age and gets the new words. Gives the number, and
    /// whether it is new.
    ///
    /// # Errors
    /// A store that cannot be written.
    pub fn note(&self, new: &NewNotice<'_>, now: Timestamp) -> Result<(u64, bool), StoreError> {
        self.write(|tx, _| {
            let there: Option<i64> = tx
                .prepare_cached("SELECT id FROM notice WHERE kind = ?1 AND subject = ?2 AND over IS NULL")?
                .query_row(params![new.kind, new.subject], |row| row.get(0))
                .optional()?;
            if let Some(id) = there {
                tx.prepare_cached(
                    "UPDATE notice SET severity = ?2, text = ?3, next_step = ?4, path = ?5, last = ?6 WHERE id = ?1",
                )?
                .execute(params![
                    id,
                    new.severity,
                    new.text,
                    new.next_step,
                    new.path,
                    now.micros()
                ])?;
                return Ok((id.cast_unsigned(), false));
            }
            tx.prepare_cached(
                "INSERT INTO notice (kind, subject, severity, text, next_step, path, first, last, is_event, over) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?9)",
            )?
            .execute(params![
                new.kind,
                new.subject,
                new.severity,
                new.text,
                new.next_step,
                new.path,
                now.micros(),
                new.is_event,
                new.is_event.then_some(now.micros()),
            ])?;
            Ok((tx.last_insert_rowid().cast_unsigned(), true))
        })
    }

    /// Says that a notice is over. Gives whether it stood.
    ///
    /// # Errors
    /// A store that cannot be written.
    pub fn notice_over(&self, id: u64, now: Timestamp) -> Result<bool, StoreError> {
        self.write(|tx, _| {
            let sql = "UPDATE notice SET over = ?2 WHERE id = ?1 AND over IS NULL";
            Ok(tx.execute(sql, params![id.cast_signed(), now.micros()])? > 0)
        })
    }

    /// Notices that stand, and events since a time, by number.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn notices_standing(&self, events_since: Timestamp) -> Result<Vec<NoticeRow>, StoreError> {
        self.notices(
            &format!("{SELECT} WHERE over IS NULL OR (is_event = 1 AND first >= ?1) ORDER BY id"),
            events_since,
        )
    }

    /// Notices that stand, and all that were over at or after a time, by number.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn notices_since(&self, since: Timestamp) -> Result<Vec<NoticeRow>, StoreError> {
        self.notices(&format!("{SELECT} WHERE over IS NULL OR over >= ?1 ORDER BY id"), since)
    }

    fn notices(&self, sql: &str, at: Timestamp) -> Result<Vec<NoticeRow>, StoreError> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached(sql)?;
            let mut rows = statement.query([at.micros()])?;
            let mut out = Vec::new();
            while let Some(row) = rows.next()? {
                out.push(notice(row)?);
            }
            Ok(out)
        })
    }

    /// What became of telling the notices from this number on.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn tellings(&self, from: u64) -> Result<Vec<Telling>, StoreError> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT notice, channel, told, attempts, next_try, words FROM telling WHERE notice >= ?1 \
                 ORDER BY notice, channel",
            )?;
            let mut rows = statement.query([from.cast_signed()])?;
            let mut out = Vec::new();
            while let Some(row) = rows.next()? {
                let time = |micros: Option<i64>| micros.map(Timestamp::from_micros);
                out.push(Telling {
                    notice: row.get::<_, i64>(0)?.cast_unsigned(),
                    channel: row.get(1)?,
                    told: time(row.get(2)?),
                    attempts: row.get(3)?,
                    next_try: time(row.get(4)?),
                    words: row.get(5)?,
                });
            }
            Ok(out)
        })
    }

    /// Writes down what became of telling.
    ///
    /// # Errors
    /// A store that cannot be written.
    pub fn put_telling(&self, telling: &Telling) -> Result<(), StoreError> {
        self.write(|tx, _| {
            tx.prepare_cached("INSERT OR REPLACE INTO telling VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
                telling.notice.cast_signed(),
                telling.channel,
                telling.told.map(Timestamp::micros),
                telling.attempts,
                telling.next_try.map(Timestamp::micros),
                telling.words,
            ])?;
            Ok(())
        })
    }

    /// Removes notices that were over before a time. Gives how many.
    ///
    /// # Errors
    /// A store that cannot be written.
    pub fn prune_notices(&self, over_before: Timestamp) -> Result<u64, StoreError> {
        self.write(|tx, _| Ok(tx.execute("DELETE FROM notice WHERE over < ?1", [over_before.micros()])? as u64))
    }
}

fn notice(row: &Row<'_>) -> Result<NoticeRow> {
    Ok(NoticeRow {
        id: row.get::<_, i64>(0)?.cast_unsigned(),
        kind: row.get(1)?,
        subject: row.get(2)?,
        severity: row.get(3)?,
        text: row.get(4)?,
        next_step: row.get(5)?,
        path: row.get(6)?,
        first: Timestamp::from_micros(row.get(7)?),
        last: Timestamp::from_micros(row.get(8)?),
        is_event: row.get(9)?,
        over: row.get::<_, Option<i64>>(10)?.map(Timestamp::from_micros),
    })
}
