//! Numbered SQL files, forward only. Each is one transaction that also says it was done; a file is never edited once
//! released, which its checksum in the database holds us to.

use crate::error::{Result, StoreError};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use sha2::{Digest, Sha256};

/// One step of the schema.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Migration {
    /// What is shown.
    pub(crate) name: &'static str,
    /// What is done.
    pub(crate) sql: &'static str,
}

/// All steps; the number of a step is its place, from 1.
pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration { name: "0001_init", sql: include_str!("migrations/0001_init.sql") },
    Migration { name: "0002_views", sql: include_str!("migrations/0002_views.sql") },
    Migration { name: "0003_ingest", sql: include_str!("migrations/0003_ingest.sql") },
    Migration { name: "0004_history", sql: include_str!("migrations/0004_history.sql") },
    Migration { name: "0005_plans", sql: include_str!("migrations/0005_plans.sql") },
    Migration { name: "0006_ledger", sql: include_str!("migrations/0006_ledger.sql") },
    Migration { name: "0007_notices", sql: include_str!("migrations/0007_notices.sql") },
    Migration { name: "0008_indexes", sql: include_str!("migrations/0008_indexes.sql") },
    Migration { name: "0009_meant", sql: include_str!("migrations/0009_meant.sql") },
    Migration { name: "0010_people", sql: include_str!("migrations/0010_people.sql") },
    Migration { name: "0011_audit", sql: include_str!("migrations/0011_audit.sql") },
    Migration { name: "0012_doors", sql: include_str!("migrations/0012_doors.sql") },
    Migration { name: "0013_saved", sql: include_str!("migrations/0013_saved.sql") },
];

/// "IOCA": what the file says it is.
pub(crate) const APPLICATION_ID: i32 = 0x494f_4341;

/// Brings the database to the last of `migrations`.
pub(crate) fn migrate(conn: &mut Connection, migrations: &[Migration]) -> Result<()> {
    let known = migrations.len() as u32;
    let found: u32 = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    for (at, migration) in migrations.iter().enumerate() {
        let number = at as u32 + 1;
        let checksum: [u8; 32] = Sha256::digest(migration.sql.replace("\r\n", "\n").as_bytes()).into();
        if number <= found {
            let stored: Option<Vec<u8>> = conn
                .query_row("SELECT checksum FROM migration WHERE number = ?1", [number], |row| row.get(0))
                .optional()?;
            if stored.as_deref() != Some(&checksum) {
                return Err(StoreError::Unfit(format!(
                    "its schema step {} is not the one this program knows; it was written by another build",
                    migration.name
                )));
            }
            continue;
        }
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if number == 1 {
            tx.execute_batch(
                "CREATE TABLE migration (number INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum BLOB NOT NULL) STRICT;",
            )?;
            tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        }
        tx.execute_batch(migration.sql)?;
        tx.execute("INSERT INTO migration VALUES (?1, ?2, ?3)", params![number, migration.name, checksum])?;
        tx.pragma_update(None, "user_version", number)?;
        tx.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(conn: &Connection) -> u32 {
        conn.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
    }

    const ONE: Migration = Migration { name: "one", sql: "CREATE TABLE a (x);" };
    const TWO: Migration = Migration { name: "two", sql: "CREATE TABLE b (x); INSERT INTO b VALUES (1);" };
    const BROKEN: Migration = Migration { name: "two", sql: "CREATE TABLE b (x); INSERT INTO nowhere VALUES (1);" };

    #[test]
    fn a_failing_step_leaves_the_one_before() {
        let mut conn = Connection::open_in_memory().unwrap();
        assert!(migrate(&mut conn, &[ONE, BROKEN]).is_err());
        assert_eq!(version(&conn), 1);
        assert!(conn.query_row("SELECT * FROM b", [], |_| Ok(())).is_err());
        migrate(&mut conn, &[ONE, TWO]).unwrap();
        migrate(&mut conn, &[ONE, TWO]).unwrap();
        assert_eq!(version(&conn), 2);
    }

    #[test]
    fn newer_and_edited_schemas_are_refused() {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn, &[ONE, TWO]).unwrap();
        assert!(matches!(migrate(&mut conn, &[ONE]), Err(StoreError::Newer { found: 2, known: 1 })));
        let edited = Migration { name: "one", sql: "CREATE TABLE a (y);" };
        assert!(matches!(migrate(&mut conn, &[edited, TWO]), Err(StoreError::Unfit(_))));
    }
}
