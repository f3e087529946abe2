//! Filters that people keep: each their own, or for everybody to see.

use crate::Store;
use crate::audit::write_audit;
use crate::error::{Result, StoreError};
use intel::Timestamp;
use rusqlite::{OptionalExtension as _, Row, params};

/// Most filters of one person.
pub const SAVED_MOST: usize = 200;

/// A filter that somebody keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// Its number.
    pub id: u64,
    /// Whose it is, as the audit log calls them.
    pub owner: String,
    /// Unique among those of its owner.
    pub name: String,
    /// The filter, as written.
    pub query: String,
    /// Inactive indicators too.
    pub all: bool,
    /// The order, as the address of the grid says it.
    pub sort: String,
    /// Columns by name, with commas between; empty: those that are shown where nothing is said.
    pub columns: String,
    /// Everybody sees it.
    pub shared: bool,
    /// When it was saved last.
    pub at: Timestamp,
}

const SELECT: &str = "SELECT id, owner, name, query, is_all, sort, columns, shared, at FROM saved";

impl Store {
    /// What `owner` has saved, and what others share, each by name.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn saved(&self, owner: &str) -> Result<Vec<Saved>, StoreError> {
        self.read(|conn| {
            let mut statement = conn
                .prepare_cached(&format!("{SELECT} WHERE owner = ?1 OR shared = 1 ORDER BY owner <> ?1, name, id"))?;
            let rows = statement.query_map([owner], saved)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// One of them, whoever's it is.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn saved_one(&self, id: u64) -> Result<Option<Saved>, StoreError> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached(&format!("{SELECT} WHERE id = ?1"))?;
            Ok(statement.query_row([id.cast_signed()], saved).optional()?)
        })
    }

    /// Saves a filter, in place of the one of its owner that has its name. `id` and `at` of it count for nothing. Gives
    /// its number.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where its owner has [`SAVED_MOST`] others, or a store that cannot be written.
    pub fn save_filter(&self, new: &Saved, now: Timestamp) -> Result<u64, StoreError> {
        self.write(|tx, _| {
            let others: i64 = tx
                .prepare_cached("SELECT count(*) FROM saved WHERE owner = ?1 AND name <> ?2")?
                .query_row(params![new.owner, new.name], |row| row.get(0))?;
            if others as usize >= SAVED_MOST {
                return Err(StoreError::Conflict(format!(
                    "{} has {SAVED_MOST} saved filters, which is all there is room for: delete one first",
                    new.owner
                )));
            }
            let id: i64 = tx
                .prepare_cached(
                    "INSERT INTO saved (owner, name, query, is_all, sort, columns, shared, at) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (owner, name) DO UPDATE SET \
                     query = ?3, is_all = ?4, sort = ?5, columns = ?6, shared = ?7, at = ?8 RETURNING id",
                )?
                .query_row(
                    params![new.owner, new.name, new.query, new.all, new.sort, new.columns, new.shared, now.micros()],
                    |row| row.get(0),
                )?;
            let detail = serde_json::json!({ "query": new.query, "all": new.all, "shared": new.shared }).to_string();
            write_audit(tx, &new.owner, "filter.save", &new.name, &detail, now)?;
            Ok(id.cast_unsigned())
        })
    }

    /// Forgets a filter. Gives whether it was there.
    ///
    /// # Errors
    /// A store that cannot be written.
    pub fn forget_filter(&self, id: u64, who: &str, now: Timestamp) -> Result<bool, StoreError> {
        self.write(|tx, _| {
            let gone: Option<(String, String)> = tx
                .prepare_cached("DELETE FROM saved WHERE id = ?1 RETURNING owner, name")?
                .query_row([id.cast_signed()], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let Some((owner, name)) = gone else { return Ok(false) };
            let detail = serde_json::json!({ "owner": owner }).to_string();
            write_audit(tx, who, "filter.delete", &name, &detail, now)?;
            Ok(true)
        })
    }
}

fn saved(row: &Row<'_>) -> rusqlite::Result<Saved> {
    Ok(Saved {
        id: row.get::<_, i64>(0)?.cast_unsigned(),
        owner: row.get(1)?,
        name: row.get(2)?,
        query: row.get(3)?,
        all: row.get(4)?,
        sort: row.get(5)?,
        columns: row.get(6)?,
        shared: row.get(7)?,
        at: Timestamp::from_micros(row.get(8)?),
    })
}
