//! Files: creation, the lock, damage, versions, backup and restore.

use super::{NOW, add, extreme, key};
use intel::ConnectionId;
use rusqlite::Connection;
use std::fs;
use std::path::Path;
use store::{Store, StoreError, restore};

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions()) & 0o777
}

#[cfg(unix)]
#[test]
fn files_are_the_owners_alone() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("a/b");
    let store = Store::open(&data).unwrap();
    store.set_setting("a", "1").unwrap();
    assert_eq!(store.path(), Some(data.as_path()));
    assert_eq!(mode(&data), 0o700);
    for name in ["iocast.db", "iocast.db-wal", "iocast.lock"] {
        assert_eq!(mode(&data.join(name)), 0o600, "{name}");
    }
    let copy = dir.path().join("copy.db");
    store.backup(&copy).unwrap();
    assert_eq!(mode(&copy), 0o600);
}

#[test]
fn one_process_holds_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let second = Store::open(dir.path()).unwrap_err();
    let StoreError::InUse { holder, .. } = &second else { panic!("{second}") };
    assert_eq!(*holder, format!("process {}", std::process::id()));
    assert!(second.to_string().contains("stop it"));
    assert!(matches!(restore(Path::new("/nowhere"), dir.path(), true), Err(StoreError::Io { .. })));
    drop(store);
    Store::open(dir.path()).unwrap();
}

/// Whatever is wrong with the head or the length of the file, it is told at start and the file is left as it was.
/// Figures: 8 damages.
#[test]
fn f11_a_damaged_file_is_refused_and_left() {
    let good = tempfile::tempdir().unwrap();
    let store = Store::open(good.path()).unwrap();
    let keys: Vec<_> = (0..2000).map(|n| key(&format!("{n}.example"))).collect();
    add(&store, &keys, &extreme());
    drop(store);
    let bytes = fs::read(good.path().join("iocast.db")).unwrap();
    let with = |at: usize, new: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[at..at + new.len()].copy_from_slice(new);
        bytes
    };
    let cases: [(&str, Vec<u8>); 8] = [
        ("empty", Vec::new()),
        ("shorter than its header", bytes[..60].to_vec()),
        ("cut", bytes[..bytes.len() / 2].to_vec()),
        ("one byte short", bytes[..bytes.len() - 1].to_vec()),
        ("wrong magic", with(0, b"X")),
        ("page size 3", with(16, &[0, 3])),
        ("another application", with(68, &[0, 0, 0, 0])),
        ("first page zeroed after the header", with(100, &[0; 3900])),
    ];
    for (what, damaged) in cases {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("iocast.db");
        fs::write(&path, &damaged).unwrap();
        match Store::open(dir.path()) {
            Err(StoreError::Damaged(words)) => assert!(!words.is_empty()),
            other => panic!("{what}: {other:?}"),
        }
        assert_eq!(fs::read(&path).unwrap(), damaged, "{what}");
    }
}

/// The database is gone and its log is there: no empty database is made in its place.
/// Figures: one case; see also the random damages.
#[test]
fn f11_a_lost_database_is_not_made_anew_beside_its_log() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("iocast.db-wal"), b"x").unwrap();
    assert!(matches!(Store::open(dir.path()), Err(StoreError::Damaged(_))));
    assert!(!dir.path().join("iocast.db").exists());
}

#[test]
fn an_interrupted_creation_starts_over() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("iocast.db.new"), b"half").unwrap();
    fs::write(dir.path().join("iocast.db.new-journal"), b"half").unwrap();
    Store::open(dir.path()).unwrap();
    assert!(!dir.path().join("iocast.db.new").exists());
}

/// A database of a newer program: an older one refuses to open it, and to restore a backup of it, and changes nothing.
/// Figures: start and restore.
#[test]
fn f15_a_newer_schema_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path()).unwrap());
    let shell = Connection::open(dir.path().join("iocast.db")).unwrap();
    shell.pragma_update(None, "user_version", 1000).unwrap();
    drop(shell);
    assert!(matches!(Store::open(dir.path()), Err(StoreError::Newer { found: 1000, .. })));
    let into = tempfile::tempdir().unwrap();
    let from = dir.path().join("iocast.db");
    assert!(matches!(restore(&from, into.path(), false), Err(StoreError::Newer { found: 1000, .. })));
    assert!(!into.path().join("iocast.db").exists());
}

/// A database of schema 1, as it was written then, opens and keeps what it holds.
#[test]
fn an_older_database_is_brought_forward() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("iocast.db"), include_bytes!("../data/schema-1.db")).unwrap();
    let store = Store::open(dir.path()).unwrap();
    let id = store.find(&key("old.example")).unwrap().unwrap();
    assert_eq!(store.record(id, ConnectionId(2)).unwrap(), Some(extreme()));
    assert_eq!(store.doc("rule", "old").unwrap().unwrap().body, "{\"when\":\"kind = md5\"}");
    assert_eq!(store.connection_state(ConnectionId(2)).unwrap().as_deref(), Some("{\"cursor\":1}"));
    assert_eq!(add(&store, &[key("new.example")], &extreme()).first_revision, 2);
    drop(store);
    let shell = Connection::open(dir.path().join("iocast.db")).unwrap();
    let n_rows: u32 = shell.query_row("SELECT count(*) FROM v_record", [], |row| row.get(0)).unwrap();
    assert_eq!(n_rows, 2);
}

#[test]
fn a_backup_is_everything_and_begins_reconciling() {
    let dir = tempfile::tempdir().unwrap();
    let into = tempfile::tempdir().unwrap();
    for store in [Store::open(&dir.path().join("data")).unwrap(), Store::in_memory().unwrap()] {
        let copy = dir.path().join(if store.path().is_some() { "disk.db" } else { "memory.db" });
        let ids = add(&store, &[key("a"), key("b")], &extreme()).ids;
        store.audit("ann", "x", "y", "{}", NOW).unwrap();
        store.backup(&copy).unwrap();
        assert!(matches!(store.backup(&copy), Err(StoreError::Conflict(_))), "never over another file");
        add(&store, &[key("after")], &extreme());

        let target = into.path().join(copy.file_stem().unwrap());
        restore(&copy, &target, false).unwrap();
        assert!(matches!(restore(&copy, &target, false), Err(StoreError::Conflict(_))));
        let restored = Store::open(&target).unwrap();
        assert_eq!(restored.setting("reconcile_first").unwrap().as_deref(), Some("true"));
        assert_eq!(store.setting("reconcile_first").unwrap(), None);
        assert_eq!(restored.indicator(ids[1]).unwrap().unwrap().records[&ConnectionId(2)], extreme());
        assert_eq!((restored.counts().unwrap().0, restored.verify_audit().unwrap()), (2, 1));
        let first = add(&restored, &[key("c")], &extreme()).first_revision;
        assert!(first > 1 << 30, "no number that a follower of the lost store has read is given again: {first}");
        let floor = restored.changes(0, first, 10).unwrap().floor;
        assert!(floor > 3 && floor < first, "and who read it starts over: {floor}");
        drop(restored);

        restore(&copy, &target, true).unwrap();
        assert!(target.join("iocast.db.before-restore").exists(), "the old one is kept");
        assert_eq!(Store::open(&target).unwrap().counts().unwrap().0, 2);
    }
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "no half-made file is left: {left:?}");
}

#[test]
fn a_damaged_backup_is_not_restored() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("data")).unwrap();
    let keys: Vec<_> = (0..500).map(|n| key(&format!("{n}.example"))).collect();
    add(&store, &keys, &extreme());
    let copy = dir.path().join("copy.db");
    store.backup(&copy).unwrap();
    let mut bytes = fs::read(&copy).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4096].fill(0x55);
    fs::write(&copy, &bytes).unwrap();
    let into = dir.path().join("into");
    let result = restore(&copy, &into, false);
    assert!(matches!(result, Err(StoreError::Damaged(_))), "{result:?}");
    assert!(!into.join("iocast.db").exists());
}
