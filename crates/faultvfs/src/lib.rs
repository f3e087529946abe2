//! A failing disk and a power cut under SQLite, for tests.
//!
//! [`Disk::under`] puts a shim between SQLite and the machine's files, as the default file system of the process, so
//! that what is tested is the store as it is shipped. Files below a directory with a [`Disk`] obey it; all others pass
//! through untouched. It sees what SQLite does and nothing else: files written by `std::fs` are not its business.
//!
//! Two things can be asked of a disk. [`Disk::fail`] makes the n-th call fail, once or from then on. [`Disk::watch`]
//! remembers, file by file, what was written and not yet synced, and shows each moment to the test, which may have it
//! laid out in another directory as a power cut would leave it ([`Moment::lay_out`]): with writes lost, torn and out
//! of order.

mod image;
mod shim;

pub use image::{Loss, Moment};

use image::Images;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No room: writes fail, half of each done. What needs no room goes on.
    Full,
    /// The device fails: opening, reading, writing, cutting, deleting and syncing fail. After a failed sync, what was
    /// not synced before is gone for good, as with real systems, though it can still be read.
    Io,
}

/// What SQLite asks of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Open,
    Read,
    Write,
    Truncate,
    Sync,
    Delete,
}

impl Fault {
    fn concerns(self, call: Call) -> bool {
        self == Fault::Io || call == Call::Write
    }
}

/// A plan: which call fails.
#[derive(Debug, Clone, Copy)]
struct Plan {
    fault: Fault,
    /// Calls that the fault concerns and that still succeed.
    after: u64,
    lasting: bool,
}

type Watcher = Box<dyn FnMut(&Moment<'_>) + Send>;

#[derive(Default)]
struct Inner {
    calls: u64,
    failed: u64,
    failed_syncs: u64,
    plan: Option<Plan>,
    images: Option<Images>,
    watcher: Option<Watcher>,
}

/// The part of a disk that the shim holds on to while a file is open.
pub(crate) struct Shared {
    dir: PathBuf,
    inner: Mutex<Inner>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call; Some: it fails so.
    pub(crate) fn pass(&self, call: Call) -> Option<Fault> {
        let mut inner = self.lock();
        inner.calls += 1;
        let plan = inner.plan.as_mut().filter(|plan| plan.fault.concerns(call))?;
        if plan.after > 0 {
            plan.after -= 1;
            return None;
        }
        let fault = plan.fault;
        if !plan.lasting {
            inner.plan = None;
        }
        inner.failed += 1;
        inner.failed_syncs += u64::from(call == Call::Sync);
        Some(fault)
    }

    /// Lets the watcher see what is there now, then notes what comes.
    pub(crate) fn note(&self, note: impl FnOnce(&mut Images)) {
        let mut inner = self.lock();
        let Inner { images: Some(images), watcher, .. } = &mut *inner else { return };
        if let Some(watcher) = watcher {
            watcher(&Moment::new(&self.dir, images));
        }
        note(images);
    }

    /// Notes a file that is opened, with what it holds.
    pub(crate) fn opened(&self, path: &Path) {
        if let Some(images) = &mut self.lock().images {
            images.open(path);
        }
    }
}

/// All disks there are.
static DISKS: Mutex<Vec<Arc<Shared>>> = Mutex::new(Vec::new());

fn disks() -> MutexGuard<'static, Vec<Arc<Shared>>> {
    DISKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The disk that a file is on.
pub(crate) fn disk_of(path: &Path) -> Option<Arc<Shared>> {
    disks().iter().find(|disk| path.starts_with(&disk.dir)).cloned()
}

/// Everything below one directory. Dropping it leaves files that are opened later alone.
pub struct Disk {
    shared: Arc<Shared>,
}

impl Disk {
    /// The disk below this directory, which must be there. Made before a store in it is opened: files that are open
    /// already are not seen.
    ///
    /// # Panics
    /// When the directory is not there, or SQLite does not take the shim.
    pub fn under(dir: &Path) -> Disk {
        shim::install();
        let dir = dir.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
        let shared = Arc::new(Shared { dir, inner: Mutex::default() });
        disks().push(shared.clone());
        Disk { shared }
    }

    /// Calls so far: opening, reading, writing, cutting, deleting, syncing.
    pub fn calls(&self) -> u64 {
        self.shared.lock().calls
    }

    /// Calls that were made to fail.
    pub fn failed(&self) -> u64 {
        self.shared.lock().failed
    }

    /// Of these, syncs.
    pub fn failed_syncs(&self) -> u64 {
        self.shared.lock().failed_syncs
    }

    /// Lets `after` more calls that the fault concerns succeed; the next one fails, and if `lasting` all after it.
    pub fn fail(&self, fault: Fault, after: u64, lasting: bool) {
        self.shared.lock().plan = Some(Plan { fault, after, lasting });
    }

    /// No call fails any more.
    pub fn heal(&self) {
        self.shared.lock().plan = None;
    }

    /// From now on shows `each` the moment before every write, cut, deletion and sync. It must not touch this disk.
    pub fn watch(&self, each: impl FnMut(&Moment<'_>) + Send + 'static) {
        let mut inner = self.shared.lock();
        inner.images = Some(Images::default());
        inner.watcher = Some(Box::new(each));
    }

    /// Shows `each` what is there now, after the last call.
    pub fn look(&self, each: impl FnOnce(&Moment<'_>)) {
        let inner = self.shared.lock();
        if let Some(images) = &inner.images {
            each(&Moment::new(&self.shared.dir, images));
        }
    }

    /// Ends [`Disk::watch`].
    pub fn unwatch(&self) {
        let mut inner = self.shared.lock();
        inner.images = None;
        inner.watcher = None;
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        disks().retain(|disk| !Arc::ptr_eq(disk, &self.shared));
    }
}

/// What SQLite's own check says of a database: `ok`, or what is wrong.
pub fn integrity(path: &Path) -> String {
    let ask = || -> rusqlite::Result<String> {
        let conn = rusqlite::Connection::open(path)?;
        conn.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
    };
    ask().unwrap_or_else(|error| error.to_string())
}

/// Another program that holds the write lock of a database, as long as this lives.
pub struct Lock(rusqlite::Connection);

impl Lock {
    /// Takes the lock.
    ///
    /// # Panics
    /// When the database cannot be opened or is locked already.
    pub fn hold(path: &Path) -> Lock {
        let take = || -> rusqlite::Result<rusqlite::Connection> {
            let conn = rusqlite::Connection::open(path)?;
            conn.execute_batch("BEGIN IMMEDIATE")?;
            Ok(conn)
        };
        Lock(take().unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing it would end it as well.
        let _ = self.0.execute_batch("ROLLBACK");
    }
}

/// What a query gives, as text: for a checker that reads a store without the store's code. Numbers as they are, nothing
/// as an empty text, bytes in hexadecimal.
///
/// # Panics
/// When the database cannot be read or the query is wrong.
pub fn rows(path: &Path, sql: &str) -> Vec<Vec<String>> {
    use rusqlite::types::ValueRef;
    let ask = || -> rusqlite::Result<Vec<Vec<String>>> {
        let conn = rusqlite::Connection::open(path)?;
        let mut statement = conn.prepare(sql)?;
        let n = statement.column_count();
        let mut rows = statement.query([])?;
        let mut out = Vec::new();
        while let Some(row) = rows.next()? {
            let text = |at| {
                Ok(match row.get_ref(at)? {
                    ValueRef::Null => String::new(),
                    ValueRef::Integer(number) => number.to_string(),
                    ValueRef::Real(number) => number.to_string(),
                    ValueRef::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                    ValueRef::Blob(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
                })
            };
            out.push((0..n).map(text).collect::<rusqlite::Result<Vec<String>>>()?);
        }
        Ok(out)
    };
    ask().unwrap_or_else(|error| panic!("{}: {sql}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
