//! Copies of the database, made while it works, and the way back. Bodies of served lists are not in them: they are
//! made again from the ledger.

use crate::error::{Result, StoreError};
use crate::migrate::{MIGRATIONS, migrate};
use crate::{Store, changes, config, db, lock};
use rusqlite::Connection;
use std::fs;
use std::path::Path;

/// The setting a restored store begins with: read every target before anything is taken back.
const RECONCILE_FIRST: &str = "reconcile_first";
/// The targets of which a person has said since that what they hold is known.
const RECONCILED: &str = "reconciled";

impl Store {
    /// Writes a checked copy as of one moment to a new file. Reading and writing go on meanwhile.
    pub fn backup(&self, to: &Path) -> Result<(), StoreError> {
        if fs::symlink_metadata(to).is_ok() {
            return Err(StoreError::Conflict(format!("{} exists already: a backup goes to a new file", to.display())));
        }
        let part = db::fresh(to, ".part")?;
        let made = (|| {
            match &self.dir {
                Some(dir) => copy(&db::connect(&dir.join(db::FILE))?, &part)?,
                None => copy(&self.lock_writer().conn, &part)?,
            }
            check(&part)?;
            db::place(&part, to)
        })();
        if made.is_err() {
            // What is half made is of no use to anyone; the first error is the one to tell.
            let _ = fs::remove_file(&part);
        }
        made
    }
}

/// Puts a backup in a data directory, in *reconcile first*: its ledger is older than reality.
///
/// The backup is checked whole before anything happens. A directory that holds a database is refused, unless
/// `replace`: then the old database is kept beside it as `iocast.db.before-restore`.
pub fn restore(from: &Path, dir: &Path, replace: bool) -> Result<(), StoreError> {
    db::check_library(rusqlite::version_number())?;
    check(from)?;
    db::make_dir(dir)?;
    let _lock = lock::DirLock::take(dir)?;
    let path = dir.join(db::FILE);
    let is_there = fs::symlink_metadata(&path).is_ok();
    if is_there && !replace {
        return Err(StoreError::Conflict(format!(
            "{} holds a database already: restore into a new directory, or say that it is to be replaced",
            dir.display()
        )));
    }
    let part = db::fresh(&path, ".restore")?;
    copy(&db::connect(from)?, &part)?;
    {
        let mut conn = db::connect(&part)?;
        migrate(&mut conn, MIGRATIONS)?;
        config::write_setting(&conn, RECONCILE_FIRST, "true")?;
        config::write_setting(&conn, RECONCILED, "")?;
        changes::start_over(&conn)?;
    }
    if is_there {
        let kept = db::sibling(&path, ".before-restore");
        for suffix in ["-wal", "-shm", ""] {
            let old = db::sibling(&path, suffix);
            if old.exists() {
                let doing = StoreError::io(old.display().to_string());
                fs::rename(&old, db::sibling(&kept, suffix)).map_err(doing)?;
            }
        }
    }
    db::place(&part, &path)
}

/// A compact copy of all committed data in an empty file.
fn copy(conn: &Connection, to: &Path) -> Result<()> {
    let Some(name) = to.to_str() else {
        return Err(StoreError::Conflict(format!("{} is not a name SQLite can be given", to.display())));
    };
    conn.execute("VACUUM INTO ?1", [name])?;
    Ok(())
}

/// Whether a file is a whole store of a schema we know. Nothing is written to it.
fn check(path: &Path) -> Result<()> {
    db::check_header(path)?;
    let conn = db::connect(path)?;
    conn.pragma_update(None, "query_only", true)?;
    let found: u32 = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let known = MIGRATIONS.len() as u32;
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    let verdict: String = conn.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    match verdict.as_str() {
        "ok" => Ok(()),
        words => Err(StoreError::damaged(format!("{}: {words}", path.display()))),
    }
}
