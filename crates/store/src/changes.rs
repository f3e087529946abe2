//! Revisions in their order, the removed ones included: what a program that follows everything reads.

use crate::Store;
use crate::error::{Result, StoreError};
use crate::row;
use intel::{IndicatorId, IndicatorKey, Timestamp};
use rusqlite::{Connection, params};

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// An indicator's summary or activity differs.
    Indicator {
        /// Its last revision.
        revision: u64,
        /// Which one.
        id: IndicatorId,
    },
    /// An indicator was removed.
    Removed {
        /// When in the order of changes.
        revision: u64,
        /// What it was about.
        key: IndicatorKey,
    },
}

impl Changed {
    /// Its place in the order of changes.
    pub fn revision(&self) -> u64 {
        match self {
            Changed::Indicator { revision, .. } | Changed::Removed { revision, .. } => *revision,
        }
    }
}

/// A stretch of changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// In the order of revisions, each greater than the one before.
    pub items: Vec<Changed>,
    /// Removals up to this revision are not told any more.
    pub floor: u64,
}

impl Store {
    /// What changed after `since` and not after `upto`, at most `limit`, as of one moment. An indicator stands here
    /// once, under its last revision; one whose last revision is greater than `upto` does not stand here.
    pub fn changes(&self, since: u64, upto: u64, limit: usize) -> Result<Changes, StoreError> {
        let between = params![since.cast_signed(), upto.cast_signed(), i64::try_from(limit).unwrap_or(i64::MAX)];
        self.read(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT revision, id FROM indicator WHERE revision > ?1 AND revision <= ?2 ORDER BY revision LIMIT ?3",
            )?;
            let rows = statement.query_map(between, |row| {
                Ok(Changed::Indicator { revision: row.get::<_, i64>(0)?.cast_unsigned(), id: IndicatorId(row.get(1)?) })
            })?;
            let mut items = rows.collect::<Result<Vec<_>, _>>()?;
            let mut statement = conn.prepare_cached(
                "SELECT revision, kind, value FROM tombstone WHERE revision > ?1 AND revision <= ?2 \
                 ORDER BY revision LIMIT ?3",
            )?;
            let mut rows = statement.query(between)?;
            while let Some(gone) = rows.next()? {
                let key = row::key(gone.get(1)?, &gone.get::<_, String>(2)?)?;
                items.push(Changed::Removed { revision: gone.get::<_, i64>(0)?.cast_unsigned(), key });
            }
            items.sort_by_key(Changed::revision);
            items.truncate(limit);
            Ok(Changes { items, floor: floor(conn)? })
        })
    }

    /// Forgets removals before a time: programs that have not read them by then start over. Gives how many.
    pub fn prune_removals(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.write(|tx, _| {
            // All that is of an earlier revision goes too, or a clock that was set back would leave holes.
            let last: Option<i64> =
                tx.query_row("SELECT max(revision) FROM tombstone WHERE at < ?1", [before.micros()], |row| row.get(0))?;
            let Some(last) = last else { return Ok(0) };
            raise_floor(tx, last.cast_unsigned())?;
            Ok(tx.execute("DELETE FROM tombstone WHERE revision <= ?1", [last])? as u64)
        })
    }
}

/// Removals up to this revision are not told any more.
fn floor(conn: &Connection) -> Result<u64> {
    let mut statement = conn.prepare_cached("SELECT value FROM counter WHERE name = 'changes_floor'")?;
    Ok(statement.query_row([], |row| row.get::<_, i64>(0))?.cast_unsigned())
}

fn raise_floor(conn: &Connection, to: u64) -> Result<()> {
    let sql = "UPDATE counter SET value = max(value, ?1) WHERE name = 'changes_floor'";
    conn.execute(sql, [to.cast_signed()])?;
    Ok(())
}

/// Revisions skipped when a backup is restored: more than were given between a backup and the loss.
const RESTORE_GAP: u64 = 1 << 30;

/// Makes every program that followed an exchange start over on its restored copy: numbers it has read may be given
/// there a second time, to other changes.
pub(crate) fn start_over(conn: &Connection) -> Result<()> {
    conn.execute("UPDATE counter SET value = value + ?1 WHERE name = 'revision'", [RESTORE_GAP.cast_signed()])?;
    let revision: i64 = conn.query_row("SELECT value FROM counter WHERE name = 'revision'", [], |row| row.get(0))?;
    raise_floor(conn, revision.cast_unsigned())
}
