//! The limit a benchmark holds `append` against: the same rows in the same tables by prepared statements, nothing else.
//!
//! It lives here because SQL stays in this crate, behind the feature `bare` because no exchange may write like this:
//! nothing is checked, nothing is looked up, and who opens the directory as a store afterwards is lied to.

/// The database's own language, for tests that do what somebody with a shell could do.
pub use rusqlite as sql;

use crate::error::StoreError;
use crate::knowledge::INSERT_INDICATOR;
use crate::{db, row};
use intel::{ConnectionId, IndicatorId, IndicatorKey, SourceRecord};
use rusqlite::{Connection, params};
use std::path::Path;
use xxhash_rust::xxh3::xxh3_64;

/// A database opened as a store opens it: same file, tables, indexes and settings.
#[derive(Debug)]
pub struct Bare {
    conn: Connection,
    last: u32,
}

impl Bare {
    /// Creates the tables in a directory that has none.
    ///
    /// # Errors
    /// As [`crate::Store::open`].
    pub fn open(dir: &Path) -> Result<Bare, StoreError> {
        db::make_dir(dir)?;
        Ok(Bare { conn: db::open(dir)?, last: 0 })
    }

    /// Inserts one indicator and one record for each row, so many rows to a durable transaction. Every set of tags is
    /// written as number 0.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn insert(
        &mut self,
        connection: ConnectionId,
        rows: &[(IndicatorKey, SourceRecord)],
        batch: usize,
    ) -> Result<(), StoreError> {
        for rows in rows.chunks(batch.max(1)) {
            let tx = self.conn.transaction()?;
            let mut insert = tx.prepare_cached(INSERT_INDICATOR)?;
            let mut put = tx.prepare_cached(row::PUT_RECORD)?;
            let mut scratch = Vec::new();
            for (key, record) in rows {
                self.last += 1;
                let hash = xxh3_64(key.value().as_bytes()).cast_signed();
                insert.execute(params![self.last, key.kind() as u8, key.value(), hash, self.last, hash])?;
                let id = row::record_id(IndicatorId(self.last), connection);
                row::put_record(&mut put, id, record, 0, &mut scratch)?;
            }
            drop((insert, put));
            tx.commit()?;
        }
        Ok(())
    }
}
