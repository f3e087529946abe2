//! Sets of tags, each stored once. A writer asks for the same few sets again and again, so it remembers them.

use crate::error::{Result, StoreError};
use rusqlite::{Connection, OptionalExtension};
use std::collections::HashMap;

/// Sets remembered before starting over: a feed may give every row its own.
const REMEMBERED: usize = 32 * 1024;

/// What the writer knows of the table. Cleared when a transaction fails.
#[derive(Debug, Default)]
pub(crate) struct TagSets {
    ids: HashMap<Box<[Box<str>]>, u32>,
    /// Neighbouring records mostly have the same tags.
    last: Option<(Box<[Box<str>]>, u32)>,
}

impl TagSets {
    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.ids.clear();
        self.last = None;
    }

    /// The number of a set, storing it first where it is new.
    pub(crate) fn id(&mut self, conn: &Connection, tags: &[Box<str>]) -> Result<u32> {
        if tags.is_empty() {
            return Ok(0);
        }
        if let Some((last, id)) = &self.last
            && **last == *tags
        {
            return Ok(*id);
        }
        let id = match self.ids.get(tags) {
            Some(id) => *id,
            None => {
                let id = intern(conn, tags)?;
                if self.ids.len() >= REMEMBERED {
                    self.ids.clear();
                }
                self.ids.insert(tags.into(), id);
                id
            }
        };
        self.last = Some((tags.into(), id));
        Ok(id)
    }
}

fn intern(conn: &Connection, tags: &[Box<str>]) -> Result<u32> {
    let json = to_json(tags);
    let known = conn
        .prepare_cached("SELECT id FROM tagset WHERE tags = ?1")?
        .query_row([&json], |row| row.get(0))
        .optional()?;
    if let Some(id) = known {
        return Ok(id);
    }
    conn.prepare_cached("INSERT INTO tagset (tags) VALUES (?1)")?.execute([&json])?;
    u32::try_from(conn.last_insert_rowid()).map_err(|_| StoreError::Limit("there are too many sets of tags".into()))
}

/// A list of texts as one column.
pub(crate) fn to_json<T: AsRef<str>>(texts: &[T]) -> String {
    serde_json::Value::from_iter(texts.iter().map(AsRef::as_ref)).to_string()
}

/// The list back.
pub(crate) fn from_json(json: &str) -> Result<Vec<Box<str>>> {
    serde_json::from_str(json).map_err(|error| StoreError::damaged(format!("a list of texts: {error}")))
}
