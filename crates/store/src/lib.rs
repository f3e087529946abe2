//! Remembers everything: what sources said, what was put where, what was configured, what ran, who did what.
//!
//! The store is the only truth; the index is a memory of it. Methods are whole operations, each one transaction that
//! is durable when the method returns; a transaction never leaves this crate. A failed operation has changed nothing.
//! No clock is read here: times are arguments. Nothing is decided here either: whether a record changed, an indicator
//! gets a revision or a line is settled is the caller's word.
//!
//! One connection writes, a few read; a directory is held by one process. Every method may be called from any thread,
//! and blocks. Callbacks given to a method must not call the store.

mod accounts;
mod answers;
mod audit;
mod backup;
#[cfg(feature = "bare")]
pub mod bare;
mod changes;
mod config;
mod db;
mod error;
mod history;
mod knowledge;
mod ledger;
mod load;
mod lock;
mod meant;
mod migrate;
mod notices;
mod people;
mod plans;
mod row;
mod runs;
mod saved;
mod stage;
mod tagset;
mod trouble;
mod undo;

pub use accounts::{Token, TokenToBe};
pub use answers::Answer;
pub use audit::{
    AuditFilter, AuditRow, AuditSink, AuditVerdict, Checkpoint, Judge, Origin, asked_from, audit_hash_in,
    check_audit_file,
};
pub use backup::restore;
pub use changes::{Changed, Changes};
pub use config::{Doc, DocChange, DocRemoval};
pub use error::StoreError;
pub use history::{Moment, Past, Rewound};
pub use knowledge::{Append, Appended, Change, Deleted, Listed};
pub use ledger::{Effects, LINE_GONE, Line, LineRow, Published, Settle};
pub use load::{IndicatorRow, LoadSink, RecordRow};
pub use meant::MeantId;
pub use notices::{NewNotice, NoticeRow, Telling};
pub use people::{NewSession, Person, PersonChange, Proposal, Session};
pub use plans::{Approval, Asked, Decision, PlanFilter, PlanId, PlanRow, PlanStatus, Rest};
pub use runs::{RunFilter, RunReport, RunRow};
pub use saved::{SAVED_MOST, Saved};
pub use trouble::Trouble;
pub use undo::{Effect, Hold, Inverse, PinChange, PinRow};

use error::Result;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use tagset::TagSets;

/// Idle connections kept for reading.
const READERS: usize = 4;

/// The store.
#[derive(Debug)]
pub struct Store {
    writer: Mutex<Writer>,
    /// None in memory, where the one connection does everything.
    readers: Option<Mutex<Vec<Connection>>>,
    dir: Option<PathBuf>,
    watch: trouble::Watch,
    /// How often plans were written.
    plan_writes: AtomicU64,
    /// Last, so that it is dropped when the connections are closed.
    _lock: Option<lock::DirLock>,
}

#[derive(Debug)]
struct Writer {
    conn: Connection,
    tagsets: TagSets,
}

/// The version of SQLite that is in the program.
pub fn library() -> &'static str {
    rusqlite::version()
}

impl Store {
    /// The directory it lives in; None in memory.
    pub fn dir(&self) -> Option<&Path> {
        self.dir.as_deref()
    }

    /// Opens the store of a data directory, creating both where there are none. Runs that were going when the last
    /// process ended are marked interrupted.
    ///
    /// Fails without touching the data when another process holds the directory, the file is damaged or of a newer
    /// program, or SQLite cannot be trusted with it.
    pub fn open(dir: &Path) -> Result<Store, StoreError> {
        db::make_dir(dir)?;
        let lock = lock::DirLock::take(dir)?;
        let conn = db::open(dir)?;
        let store = Store {
            writer: Mutex::new(Writer { conn, tagsets: TagSets::default() }),
            readers: Some(Mutex::new(Vec::new())),
            dir: Some(dir.into()),
            watch: trouble::Watch::default(),
            plan_writes: AtomicU64::new(0),
            _lock: Some(lock),
        };
        store.interrupt_runs()?;
        store.unpack_meant()?;
        Ok(store)
    }

    /// A store that is gone when dropped, for tests.
    pub fn in_memory() -> Result<Store, StoreError> {
        let conn = db::in_memory()?;
        Ok(Store {
            writer: Mutex::new(Writer { conn, tagsets: TagSets::default() }),
            readers: None,
            dir: None,
            watch: trouble::Watch::default(),
            plan_writes: AtomicU64::new(0),
            _lock: None,
        })
    }

    /// The data directory; None in memory.
    pub fn path(&self) -> Option<&Path> {
        self.dir.as_deref()
    }

    /// One transaction. It takes the write lock before it reads, so that nothing it read can have changed.
    fn write<T>(&self, work: impl FnOnce(&Transaction<'_>, &mut TagSets) -> Result<T>) -> Result<T> {
        match self.watch.now() {
            Some(Trouble::Failed) => {
                let words = "an earlier write failed in the file system: restart to find out what is there";
                return Err(StoreError::Io { doing: "database file".into(), error: std::io::Error::other(words) });
            }
            // What is decided on wrong rows must not become more wrong rows, or calls.
            Some(Trouble::Damaged) => {
                return Err(StoreError::damaged("an earlier operation found it so, and nothing is written any more"));
            }
            _ => {}
        }
        let mut writer = self.lock_writer();
        let Writer { conn, tagsets } = &mut *writer;
        let result = (|| -> Result<T> {
            let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let out = work(&tx, tagsets)?;
            tx.commit()?;
            Ok(out)
        })();
        if result.is_err() {
            // What this transaction interned is gone with it.
            tagsets.clear();
        }
        self.watch.wrote(&result);
        result
    }

    /// Reads at one moment: what is committed while `work` goes on is not seen.
    fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let result = self.read_once(work);
        self.watch.read(&result);
        result
    }

    fn read_once<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let Some(readers) = &self.readers else {
            return work(&self.lock_writer().conn);
        };
        let idle = readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let conn = match idle {
            Some(conn) => conn,
            None => self.new_reader()?,
        };
        let out = {
            let tx = conn.unchecked_transaction()?;
            work(&tx)?
        };
        let mut readers = readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < READERS {
            readers.push(conn);
        }
        Ok(out)
    }

    fn new_reader(&self) -> Result<Connection> {
        db::reader(&self.dir.as_deref().unwrap_or(Path::new("")).join(db::FILE))
    }

    fn lock_writer(&self) -> std::sync::MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(|poisoned| {
            // A caller's callback panicked; its transaction was rolled back on the way out.
            self.writer.clear_poison();
            let mut writer = poisoned.into_inner();
            writer.tagsets.clear();
            writer
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use intel::Timestamp;

    fn put(store: &Store, name: &str, bytes: usize) -> Result<u32> {
        store.put_doc("rule", name, &"x".repeat(bytes), Timestamp::EPOCH)
    }

    /// The database may not grow any more: the operation says that the disk is full and what to do, what was stored is
    /// read as before, nothing is half there, and writing goes on by itself when there is room.
    /// Figures: filled row by row until it is full.
    #[test]
    fn f09_a_full_disk_is_told_and_loses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let limit = |pages: u32| {
            let conn = &store.lock_writer().conn;
            conn.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
        };
        // The limit cannot be below what the file has.
        limit(1);
        let mut n_stored = 0;
        let error = loop {
            match put(&store, &n_stored.to_string(), 3000) {
                Ok(_) => n_stored += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, StoreError::Full), "{error}");
        assert!(error.to_string().contains("free some space"));
        assert_eq!(store.docs("rule").unwrap().len(), n_stored, "reading goes on, nothing is half there");
        limit(100_000);
        assert_eq!(
            put(&store, "later", 3000).unwrap() as usize,
            n_stored + 1,
            "and so does writing, when there is room"
        );
    }

    /// Another program holds the write lock of the database: the operation waits for a bounded time, says which kind of
    /// trouble it is, reading goes on, nothing is written, and writing goes on when the lock is gone.
    /// Figures: one lock, held and released.
    #[test]
    fn f12_a_lock_of_another_program_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store.lock_writer().conn.busy_timeout(std::time::Duration::ZERO).unwrap();
        let shell = Connection::open(dir.path().join(db::FILE)).unwrap();
        shell.execute_batch("BEGIN IMMEDIATE").unwrap();
        assert!(matches!(put(&store, "a", 1), Err(StoreError::Locked)));
        assert!(store.docs("rule").unwrap().is_empty(), "reading goes on");
        shell.execute_batch("ROLLBACK").unwrap();
        put(&store, "a", 1).unwrap();
    }

    #[test]
    fn after_a_failed_disk_nothing_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let fault = |code| rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
        let fail = |code| store.write(|_, _| -> Result<()> { Err(fault(code).into()) }).unwrap_err();
        fail(rusqlite::ffi::SQLITE_FULL);
        fail(rusqlite::ffi::SQLITE_CANTOPEN);
        put(&store, "a", 1).unwrap();
        fail(rusqlite::ffi::SQLITE_IOERR_FSYNC);
        assert!(matches!(put(&store, "b", 1), Err(StoreError::Io { .. })));
        assert_eq!(store.docs("rule").unwrap().len(), 1);
        drop(store);
        put(&Store::open(dir.path()).unwrap(), "b", 1).unwrap();
    }

    #[test]
    fn a_panic_in_a_callback_harms_nobody_else() {
        let store = Store::in_memory().unwrap();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            store.write(|tx, _| -> Result<()> {
                tx.execute("DELETE FROM doc", [])?;
                panic!("as a caller may")
            })
        }));
        assert!(panicked.is_err());
        assert_eq!(store.docs("connection").unwrap().len(), 1);
        put(&store, "a", 1).unwrap();
    }
}
