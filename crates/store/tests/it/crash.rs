//! What was acknowledged stays, what was not leaves no trace.

use super::{append, extreme, key, plain};
use intel::{ConnectionId, IndicatorId};
use rusqlite::Connection;
use std::path::Path;
use store::{Append, Change, Store};

fn shell(dir: &Path) -> Connection {
    Connection::open(dir.join("iocast.db")).unwrap()
}

/// Records and cursor move together, wherever in the transaction it fails.
#[test]
fn a_page_and_its_cursor_are_one() {
    let faults = [
        "BEFORE INSERT ON indicator WHEN new.value = '9.example'",
        "BEFORE INSERT ON record WHEN new.id >> 16 = 10",
        "BEFORE INSERT ON tagset",
        "BEFORE INSERT ON connection_state",
        "BEFORE UPDATE ON counter WHEN new.name = 'revision'",
        "AFTER UPDATE ON counter WHEN new.name = 'indicator'",
    ];
    for fault in faults {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let shell = shell(dir.path());
        let keys: Vec<_> = (0..20).map(|n| key(&format!("{n}.example"))).collect();
        let record = extreme();
        let changes: Vec<_> =
            keys.iter().map(|key| Change { id: None, key, record: &record, summary_hash: 0, revise: true }).collect();
        let page = Append { state: Some("page 1"), ..append(&changes) };
        shell.execute_batch(&format!("CREATE TRIGGER fault {fault} BEGIN SELECT raise(ABORT, 'fault'); END")).unwrap();
        assert!(store.append(&page).is_err(), "{fault}");
        assert_eq!((store.counts().unwrap(), store.revision().unwrap()), ((0, 0), 0), "{fault}");
        assert_eq!(store.connection_state(ConnectionId(2)).unwrap(), None, "{fault}");
        shell.execute_batch("DROP TRIGGER fault").unwrap();
        let appended = store.append(&page).unwrap();
        assert_eq!((appended.ids[0], appended.first_revision), (IndicatorId(1), 1), "{fault}");
        assert_eq!(store.record(appended.ids[19], ConnectionId(2)).unwrap().as_ref(), Some(&record));
        assert_eq!(store.connection_state(ConnectionId(2)).unwrap().as_deref(), Some("page 1"));
    }
}

/// The files as a kill leaves them at any moment after a commit: copied while the store works.
#[test]
fn a_killed_store_opens_with_everything_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for round in 0..5 {
        let keys: Vec<_> = (0..200).map(|n| key(&format!("{round}.{n}.example"))).collect();
        let record = plain();
        let changes: Vec<_> =
            keys.iter().map(|key| Change { id: None, key, record: &record, summary_hash: 0, revise: true }).collect();
        let state = format!("page {round}");
        store.append(&Append { state: Some(&state), ..append(&changes) }).unwrap();

        let image = tempfile::tempdir().unwrap();
        for name in ["iocast.db", "iocast.db-wal"] {
            std::fs::copy(dir.path().join(name), image.path().join(name)).unwrap();
        }
        let revived = Store::open(image.path()).unwrap();
        assert_eq!(revived.counts().unwrap(), (200 * (round + 1), 200 * (round + 1)));
        assert_eq!(revived.connection_state(ConnectionId(2)).unwrap(), Some(state));
        assert_eq!(revived.revision().unwrap(), 200 * (round + 1));

        // A log cut in the middle of the last transaction gives the one before, whole.
        let torn = tempfile::tempdir().unwrap();
        for name in ["iocast.db", "iocast.db-wal"] {
            std::fs::copy(dir.path().join(name), torn.path().join(name)).unwrap();
        }
        let log = std::fs::OpenOptions::new().write(true).open(torn.path().join("iocast.db-wal")).unwrap();
        log.set_len(log.metadata().unwrap().len() - 100).unwrap();
        drop(log);
        let revived = Store::open(torn.path()).unwrap();
        assert_eq!(revived.counts().unwrap(), (200 * round, 200 * round));
        let before = (round > 0).then(|| format!("page {}", round - 1));
        assert_eq!(revived.connection_state(ConnectionId(2)).unwrap(), before);
    }
}
