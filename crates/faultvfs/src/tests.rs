//! The shim does what it says: fails the call it was told to, and loses what was not synced and nothing else.

use super::{Disk, Fault, Loss, integrity};
use rusqlite::Connection;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

fn open(dir: &Path) -> rusqlite::Result<Connection> {
    let conn = Connection::open(dir.join("a.db"))?;
    conn.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.execute_batch("CREATE TABLE IF NOT EXISTS t (n INTEGER)")?;
    Ok(conn)
}

fn rows(conn: &Connection) -> u64 {
    conn.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)).unwrap().unsigned_abs()
}

#[test]
fn the_call_that_was_named_fails() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::under(dir.path());
    let conn = open(dir.path()).unwrap();
    assert!(disk.calls() > 5);
    disk.fail(Fault::Full, 0, true);
    let error = conn.execute("INSERT INTO t VALUES (1)", []).unwrap_err();
    assert_eq!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::DiskFull));
    assert_eq!(rows(&conn), 0, "reading goes on");
    disk.heal();
    conn.execute("INSERT INTO t VALUES (1)", []).unwrap();
    disk.fail(Fault::Io, 0, false);
    assert!(conn.execute("INSERT INTO t VALUES (2)", []).is_err());
    conn.execute("INSERT INTO t VALUES (2)", []).unwrap();
    assert_eq!((rows(&conn), disk.failed() > 1), (2, true));
    let elsewhere = tempfile::tempdir().unwrap();
    disk.fail(Fault::Io, 0, true);
    open(elsewhere.path()).unwrap();
}

/// What was committed is in every image, and there are images that lack what was not synced: the cut does cut.
#[test]
fn a_cut_loses_what_was_not_synced() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::under(dir.path());
    drop(open(dir.path()).unwrap());
    let committed = Arc::new(AtomicU64::new(0));
    let seen = Arc::new(Mutex::new((0u64, 0u64)));
    {
        let (committed, seen) = (committed.clone(), seen.clone());
        let mut n = 0;
        disk.watch(move |moment| {
            for loss in Loss::ALL {
                n += 1;
                let image = tempfile::tempdir().unwrap();
                moment.lay_out(image.path(), loss, n).unwrap();
                let least = committed.load(Ordering::SeqCst);
                let path = image.path().join("a.db");
                assert_eq!(integrity(&path), "ok");
                let found = rows(&Connection::open(&path).unwrap());
                assert!(found == least || found == least + 1, "{loss:?} {n}: {found} rows, {least} committed");
                let mut seen = seen.lock().unwrap();
                seen.0 += 1;
                seen.1 += u64::from(found == least + 1);
            }
        });
    }
    let conn = open(dir.path()).unwrap();
    for n in 0..20 {
        conn.execute("INSERT INTO t VALUES (?1)", [n]).unwrap();
        committed.fetch_add(1, Ordering::SeqCst);
        if n % 7 == 6 {
            conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        }
    }
    let (n_images, n_ahead) = *seen.lock().unwrap();
    assert!(n_images > 200 && n_ahead > 0 && n_ahead < n_images, "{n_images} {n_ahead}");
}
