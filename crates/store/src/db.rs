//! Opening the database file: what must hold before a single row is trusted to it.

use crate::error::{Result, StoreError};
use crate::lock;
use crate::migrate::{APPLICATION_ID, MIGRATIONS, migrate};
use rusqlite::{Connection, OpenFlags};
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The database in its data directory.
pub(crate) const FILE: &str = "iocast.db";

/// How long an operation waits for a lock another program holds on the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Pages the log may grow to before it is copied into the file: 64 MiB. SQLite's own 4 MiB would make every batch of a
/// first load wait for a copy.
const CHECKPOINT_PAGES: i32 = 16_384;
/// Cache of the writer, in KiB; taken as needed.
const WRITER_CACHE_KIB: i32 = 128 * 1024;
/// Cache of each reader, in KiB; taken as needed.
const READER_CACHE_KIB: i32 = 8 * 1024;
const STATEMENTS: usize = 96;

/// SQLite before 3.51.3 can lose a committed transaction when a log is reset under a reader; 3.52.0 was withdrawn.
pub(crate) fn check_library(version: i32) -> Result<()> {
    if version < 3_051_003 || version == 3_052_000 {
        let text = format!("{}.{}.{}", version / 1_000_000, version / 1000 % 1000, version % 1000);
        return Err(StoreError::Unfit(format!(
            "SQLite {text} is not safe for it; needed is 3.51.3 or later, but not 3.52.0: use an official build of this program"
        )));
    }
    Ok(())
}

/// Opens the file for writing, creating it only where there is none and never was.
pub(crate) fn open(dir: &Path) -> Result<Connection> {
    check_library(rusqlite::version_number())?;
    let path = dir.join(FILE);
    match fs::symlink_metadata(&path) {
        Ok(_) => check_header(&path)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => create(&path)?,
        Err(error) => return Err(StoreError::io(path.display().to_string())(error)),
    }
    let mut conn = connect(&path)?;
    conn.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    conn.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    conn.pragma_update(None, "journal_size_limit", i64::from(CHECKPOINT_PAGES) * 4096)?;
    check_pragmas(&conn)?;
    check_size(&conn, &path)?;
    migrate(&mut conn, MIGRATIONS)?;
    Ok(conn)
}

/// An empty database that lives as long as the connection.
pub(crate) fn in_memory() -> Result<Connection> {
    check_library(rusqlite::version_number())?;
    let mut conn = Connection::open_in_memory()?;
    common(&conn)?;
    migrate(&mut conn, MIGRATIONS)?;
    Ok(conn)
}

/// A further connection, for reading.
pub(crate) fn reader(path: &Path) -> Result<Connection> {
    let conn = connect(path)?;
    conn.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
    conn.pragma_update(None, "query_only", true)?;
    Ok(conn)
}

/// Opens an existing file, as a plain path: no URI, no creation.
pub(crate) fn connect(path: &Path) -> Result<Connection> {
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    common(&conn)?;
    Ok(conn)
}

fn common(conn: &Connection) -> Result<()> {
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    conn.pragma_update(None, "foreign_keys", true)?;
    // A mapped file turns an I/O error into a signal that ends the process.
    conn.pragma_update(None, "mmap_size", 0)?;
    conn.pragma_update(None, "cell_size_check", true)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(())
}

/// A pragma that is not understood is ignored silently, so each that matters is read back.
pub(crate) fn check_pragmas(conn: &Connection) -> Result<()> {
    for (pragma, expect) in [("journal_mode", "wal"), ("synchronous", "2"), ("foreign_keys", "1"), ("mmap_size", "0")] {
        let mut found = "unknown".to_owned();
        conn.pragma_query(None, pragma, |row| {
            found = match row.get_ref(0)? {
                rusqlite::types::ValueRef::Integer(number) => number.to_string(),
                other => other.as_str()?.to_owned(),
            };
            Ok(())
        })?;
        // A build without memory mapping has no such pragma.
        if found != expect && !(pragma == "mmap_size" && found == "unknown") {
            return Err(StoreError::Unfit(format!(
                "the setting {pragma} is {found} and must be {expect}; a network file system or another SQLite build may be why"
            )));
        }
    }
    Ok(())
}

/// Looks at the first bytes before SQLite does: it takes an empty file for a new database, and we must not.
pub(crate) fn check_header(path: &Path) -> Result<()> {
    let shown = path.display();
    let mut header = [0u8; 100];
    let mut file = File::open(path).map_err(StoreError::io(shown.to_string()))?;
    if let Err(error) = file.read_exact(&mut header) {
        return Err(match error.kind() {
            std::io::ErrorKind::UnexpectedEof => StoreError::damaged(format!("{shown} is shorter than its header")),
            _ => StoreError::io(shown.to_string())(error),
        });
    }
    if &header[..16] != b"SQLite format 3\0" {
        return Err(StoreError::damaged(format!("{shown} does not begin like a database")));
    }
    let page = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        size => u32::from(size),
    };
    if page < 512 || !page.is_power_of_two() {
        return Err(StoreError::damaged(format!("{shown} states a page size of {page}")));
    }
    let id = i32::from_be_bytes([header[68], header[69], header[70], header[71]]);
    if id != APPLICATION_ID {
        return Err(StoreError::damaged(format!("{shown} is an SQLite file, but not one of iocast")));
    }
    Ok(())
}

/// Whether the file is as long as it says it is. A cut file would else be noticed only when the lost page is read.
fn check_size(conn: &Connection, path: &Path) -> Result<()> {
    let busy: bool = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy {
        return Ok(());
    }
    let number = |pragma: &str| -> Result<u64> {
        let mut found = 0;
        conn.pragma_query(None, pragma, |row| {
            found = row.get::<_, i64>(0)?;
            Ok(())
        })?;
        Ok(found.unsigned_abs())
    };
    let expect = number("page_count")?.saturating_mul(number("page_size")?);
    let found = fs::metadata(path).map_err(StoreError::io(path.display().to_string()))?.len();
    if found < expect {
        let shown = path.display();
        return Err(StoreError::damaged(format!("{shown} has {found} of {expect} bytes")));
    }
    Ok(())
}

/// Makes a new database beside its place and moves it there whole, so that a kill leaves none or a complete one.
fn create(path: &Path) -> Result<()> {
    for suffix in ["-wal", "-shm"] {
        if sibling(path, suffix).exists() {
            return Err(StoreError::damaged(format!("{} is missing, but its {FILE}{suffix} is there", path.display())));
        }
    }
    let part = fresh(path, ".new")?;
    {
        let mut conn = connect(&part)?;
        migrate(&mut conn, MIGRATIONS)?;
    }
    place(&part, path)
}

/// `path` with `suffix` after its name.
pub(crate) fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// An empty private file beside `path`, in place of what an interrupted attempt left there.
pub(crate) fn fresh(path: &Path, suffix: &str) -> Result<PathBuf> {
    let part = sibling(path, suffix);
    for leftover in [part.clone(), sibling(&part, "-journal"), sibling(&part, "-wal"), sibling(&part, "-shm")] {
        match fs::remove_file(&leftover) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::io(leftover.display().to_string())(error));
            }
            _ => {}
        }
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    lock::private(&mut options);
    options.open(&part).map_err(StoreError::io(part.display().to_string()))?;
    Ok(part)
}

/// Moves a finished file to its name, durably.
pub(crate) fn place(part: &Path, path: &Path) -> Result<()> {
    let doing = || StoreError::io(path.display().to_string());
    File::open(part).and_then(|file| file.sync_all()).map_err(doing())?;
    fs::rename(part, path).map_err(doing())?;
    sync_dir(path)
}

/// Makes a changed name in a directory durable.
pub(crate) fn sync_dir(path: &Path) -> Result<()> {
    #[cfg(unix)]
    if let Some(dir) = path.parent() {
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(StoreError::io(dir.display().to_string()))?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// The data directory, made private when it is made by us.
pub(crate) fn make_dir(dir: &Path) -> Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(StoreError::io(format!("data directory {}", dir.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A start with each of seven versions of SQLite, those with the known loss of commits (before 3.51.3) and the
    /// withdrawn 3.52.0 among them, is refused with the reason, or goes on where the version is safe.
    /// Figures: 7 versions.
    #[test]
    fn f13_unsafe_libraries_are_refused() {
        for (version, fit) in [
            (3_051_002, false),
            (3_051_003, true),
            (3_051_999, true),
            (3_052_000, false),
            (3_052_001, true),
            (3_054_001, true),
            (3_008_000, false),
        ] {
            assert_eq!(check_library(version).is_ok(), fit, "{version}");
        }
    }

    /// Settings that durability rests on are read back at start: with `synchronous`, `foreign_keys` or `journal_mode`
    /// changed, opening is refused and names the setting.
    /// Figures: 3 settings.
    #[test]
    fn f13_pragmas_that_did_not_take_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let conn = open(dir.path()).unwrap();
        check_pragmas(&conn).unwrap();
        conn.pragma_update(None, "synchronous", "NORMAL").unwrap();
        assert!(matches!(check_pragmas(&conn), Err(StoreError::Unfit(text)) if text.contains("synchronous")));
        conn.pragma_update(None, "synchronous", "FULL").unwrap();
        conn.pragma_update(None, "foreign_keys", false).unwrap();
        assert!(matches!(check_pragmas(&conn), Err(StoreError::Unfit(text)) if text.contains("foreign_keys")));
        conn.pragma_update(None, "foreign_keys", true).unwrap();
        conn.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(())).unwrap();
        assert!(matches!(check_pragmas(&conn), Err(StoreError::Unfit(text)) if text.contains("journal_mode")));
    }
}
