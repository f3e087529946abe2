//! What was configured, as documents by kind; settings; and how far each connection got.

use crate::error::{Result, StoreError};
use crate::{Store, ledger};
use intel::{ConnectionId, TargetId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

/// The kind of document whose ids are those of connections.
const CONNECTION: &str = "connection";

/// A named thing an operator configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doc {
    /// Unique among its kind for ever: it is not used again after a delete.
    pub id: u32,
    /// Unique among its kind.
    pub name: String,
    /// JSON.
    pub body: String,
    /// When it was first put.
    pub created: Timestamp,
    /// When its body or name last changed.
    pub updated: Timestamp,
}

/// A document to create, or whose body to replace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocChange {
    /// Such as `rule`.
    pub kind: &'static str,
    /// Which one.
    pub name: String,
    /// JSON.
    pub body: String,
}

/// A document to remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocRemoval {
    /// Such as `rule`.
    pub kind: &'static str,
    /// Which one.
    pub name: String,
}

impl Store {
    /// The documents of a kind, by id.
    pub fn docs(&self, kind: &str) -> Result<Vec<Doc>, StoreError> {
        self.read(|conn| {
            let mut statement =
                conn.prepare_cached("SELECT id, name, body, created, updated FROM doc WHERE kind = ?1 ORDER BY id")?;
            Ok(statement.query_map([kind], doc)?.collect::<Result<_, _>>()?)
        })
    }

    /// One document by name.
    pub fn doc(&self, kind: &str, name: &str) -> Result<Option<Doc>, StoreError> {
        self.read(|conn| {
            let mut statement =
                conn.prepare_cached("SELECT id, name, body, created, updated FROM doc WHERE kind = ?1 AND name = ?2")?;
            Ok(statement.query_row([kind, name], doc).optional()?)
        })
    }

    /// Creates a document or replaces its body. Gives its id.
    pub fn put_doc(&self, kind: &str, name: &str, body: &str, now: Timestamp) -> Result<u32, StoreError> {
        self.write(|tx, _| put(tx, kind, name, body, now))
    }

    /// Creates documents or replaces their bodies, all or none. Gives their ids.
    pub fn apply_docs(&self, changes: &[DocChange], now: Timestamp) -> Result<Vec<u32>, StoreError> {
        self.write(|tx, _| changes.iter().map(|doc| put(tx, doc.kind, &doc.name, &doc.body, now)).collect())
    }

    /// Creates, replaces and removes documents, all or none. Of the targets named, which are removed, the lines that may
    /// be at the destination become *released*, and what they published and remembered is forgotten.
    pub fn change_docs(
        &self,
        changes: &[DocChange],
        removals: &[DocRemoval],
        targets: &[TargetId],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(|tx, _| {
            for removal in removals {
                delete(tx, removal.kind, &removal.name)?;
            }
            for target in targets {
                ledger::release(tx, *target, now)?;
            }
            for doc in changes {
                put(tx, doc.kind, &doc.name, &doc.body, now)?;
            }
            Ok(())
        })
    }

    /// Writes the database anew without what was deleted or replaced, and empties its log, so that no old byte stays in
    /// either. It takes as long as copying the database.
    pub fn scrub(&self) -> Result<(), StoreError> {
        let writer = self.lock_writer();
        writer.conn.execute_batch("VACUUM")?;
        writer.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
    }

    /// Removes a document; a connection's state goes with it. Gives whether it was there.
    pub fn delete_doc(&self, kind: &str, name: &str) -> Result<bool, StoreError> {
        self.write(|tx, _| delete(tx, kind, name))
    }

    /// A setting, as JSON.
    pub fn setting(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached("SELECT value FROM setting WHERE key = ?1")?;
            Ok(statement.query_row([key], |row| row.get(0)).optional()?)
        })
    }

    /// Stores a setting, as JSON.
    pub fn set_setting(&self, key: &str, value: &str) -> Result<(), StoreError> {
        self.write(|tx, _| write_setting(tx, key, value))
    }

    /// How far a connection got, as JSON; None before its first run.
    pub fn connection_state(&self, connection: ConnectionId) -> Result<Option<String>, StoreError> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached("SELECT state FROM connection_state WHERE connection = ?1")?;
            Ok(statement.query_row([connection.0], |row| row.get(0)).optional()?)
        })
    }

    /// Stores how far a connection got, where no records come with it.
    pub fn set_connection_state(&self, connection: ConnectionId, state: &str) -> Result<(), StoreError> {
        self.write(|tx, _| write_state(tx, connection, state))
    }
}

pub(crate) fn write_state(tx: &Connection, connection: ConnectionId, state: &str) -> Result<()> {
    tx.prepare_cached("INSERT OR REPLACE INTO connection_state (connection, state) VALUES (?1, ?2)")?
        .execute(params![connection.0, state])?;
    Ok(())
}

pub(crate) fn write_setting(tx: &Connection, key: &str, value: &str) -> Result<()> {
    tx.execute("INSERT OR REPLACE INTO setting (key, value) VALUES (?1, ?2)", [key, value])?;
    Ok(())
}

fn delete(tx: &Connection, kind: &str, name: &str) -> Result<bool> {
    let id: Option<u32> = tx
        .prepare_cached("DELETE FROM doc WHERE kind = ?1 AND name = ?2 RETURNING id")?
        .query_row([kind, name], |row| row.get(0))
        .optional()?;
    if kind == CONNECTION
        && let Some(id) = id
    {
        if id == u32::from(ConnectionId::MANUAL.0) {
            return Err(StoreError::Conflict(format!("the connection '{name}' is built in and cannot be deleted")));
        }
        tx.execute("DELETE FROM connection_state WHERE connection = ?1", [id])?;
    }
    Ok(id.is_some())
}

fn doc(row: &Row<'_>) -> rusqlite::Result<Doc> {
    Ok(Doc {
        id: row.get(0)?,
        name: row.get(1)?,
        body: row.get(2)?,
        created: Timestamp::from_micros(row.get(3)?),
        updated: Timestamp::from_micros(row.get(4)?),
    })
}

fn put(tx: &Connection, kind: &str, name: &str, body: &str, now: Timestamp) -> Result<u32> {
    let known: Option<u32> = tx
        .prepare_cached("SELECT id FROM doc WHERE kind = ?1 AND name = ?2")?
        .query_row([kind, name], |row| row.get(0))
        .optional()?;
    if let Some(id) = known {
        tx.prepare_cached("UPDATE doc SET body = ?3, updated = ?4 WHERE kind = ?1 AND id = ?2 AND body <> ?3")?
            .execute(params![kind, id, body, now.micros()])?;
        return Ok(id);
    }
    let id: u32 = tx
        .prepare_cached(
            "INSERT INTO doc_kind VALUES (?1, 1) ON CONFLICT DO UPDATE SET last_id = last_id + 1 RETURNING last_id",
        )?
        .query_row([kind], |row| row.get(0))?;
    if kind == CONNECTION && id > u32::from(u16::MAX) {
        return Err(StoreError::Limit(
            "there have been 65,535 connections, deleted ones included: no more can be made".into(),
        ));
    }
    tx.prepare_cached("INSERT INTO doc (kind, id, name, body, created, updated) VALUES (?1, ?2, ?3, ?4, ?5, ?5)")?
        .execute(params![kind, id, name, body, now.micros()])?;
    Ok(id)
}
