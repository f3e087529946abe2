use super::*;
use crate::audit::sink::{checkpoint_line, line};
use std::fs;
use std::path::{Path, PathBuf};
use store::bare::sql::{self, Connection};

const START: Timestamp = Timestamp::from_secs(1_800_000_000);

struct Bench {
    dir: tempfile::TempDir,
    keys: Keys,
    file: PathBuf,
}

impl Bench {
    /// A log of 30 entries with two checkpoints, handed on to a file.
    fn new() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("data")).unwrap();
        let keys = Keys::new(Some(dir.path().join("key")), dir.path().join("data"));
        keys.seal("x/y/z", "makes the key").unwrap();
        for n in 0..30 {
            let origin = store::Origin {
                address: Some([192, 0, 2, n as u8].into()),
                token: Some(n as u32),
                ..store::Origin::default()
            };
            store::asked_from(origin, || {
                store.audit("ann", "rule.update", &format!("rule {n}"), "{}", START).unwrap();
            });
            if n == 9 || n == 24 {
                let later = START.after(Duration::from_secs(700 * (n + 1)));
                assert_eq!(checkpoint(&store, &keys, later).unwrap(), Some(n + 1));
                assert_eq!(checkpoint(&store, &keys, later).unwrap(), None, "nothing is new");
            }
        }
        let file = dir.path().join("audit.log");
        let mut outlet = Outlet { sink: SinkAt::File(file.clone()).open(), rest: 0, failures: 0 };
        assert!(!outlet.catch_up(&store, START).unwrap());
        drop(store);
        Bench { dir, keys, file }
    }

    /// Keys of another exchange.
    fn strangers_keys(&self) -> Keys {
        let other = Keys::new(Some(self.dir.path().join("other")), self.dir.path().join("data"));
        other.seal("x/y/z", "makes a key").unwrap();
        other
    }

    fn database(&self) -> PathBuf {
        self.dir.path().join("data/iocast.db")
    }

    /// The database after somebody with a shell was at it.
    fn tampered(&self, name: &str, work: impl FnOnce(&Connection)) -> PathBuf {
        let copy = self.dir.path().join(name);
        let shell = Connection::open(self.database()).unwrap();
        shell.execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
        let shell = Connection::open(&copy).unwrap();
        let triggers: Vec<String> = shell
            .prepare("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name LIKE 'audit%'")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(triggers.len(), 4);
        for trigger in triggers {
            shell.execute_batch(&format!("DROP TRIGGER {trigger}")).unwrap();
        }
        work(&shell);
        copy
    }
}

/// Hashes the whole log anew, as somebody does who knows how.
fn rehash(shell: &Connection) {
    let rows: Vec<(u64, [u8; 32])> = {
        let mut before = [0; 32];
        let mut statement = shell
            .prepare("SELECT seq, at, who, action, object, detail, address, token FROM audit ORDER BY seq")
            .unwrap();
        let rows = statement
            .query_map([], |row| {
                let entry = store::AuditRow {
                    seq: row.get::<_, i64>(0)?.cast_unsigned(),
                    at: Timestamp::from_micros(row.get(1)?),
                    who: row.get(2)?,
                    action: row.get(3)?,
                    object: row.get(4)?,
                    detail: row.get(5)?,
                    address: row.get(6)?,
                    token: row.get(7)?,
                    chain: [0; 32],
                };
                before = entry.link(&before);
                Ok((entry.seq, before))
            })
            .unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    for (seq, chain) in rows {
        shell.execute("UPDATE audit SET chain = ?2 WHERE seq = ?1", sql::params![seq.cast_signed(), chain]).unwrap();
    }
}

/// S37: a log from which an entry was deleted, in which one was edited, two changed places, the end was cut off or an
/// entry was repeated: the verifier names the first bad entry, 5 of 5; the same for a log whose hashes were made anew,
/// whose checkpoint was forged with another key, and for an old copy put in place of the new.
#[test]
fn s37_tampering_is_found_and_the_first_bad_entry_named() {
    let bench = Bench::new();
    let keys = Some(&bench.keys);
    let whole = verify::file(&bench.database(), keys).unwrap();
    assert_eq!((whole.ok, whole.records, whole.checkpoints, whole.signed_to), (true, 30, 2, 25), "{whole:?}");
    let file = verify::file(&bench.file, keys).unwrap();
    assert_eq!((file.ok, file.records, file.checkpoints, file.signed_to), (true, 30, 1, 25), "{file:?}");
    // The file outside is no better than what it says: signatures in it are looked at too.
    let text = fs::read_to_string(&bench.file).unwrap();
    let other = verify::file(&bench.file, Some(&bench.strangers_keys())).unwrap();
    assert!(!other.ok, "signed with a key that is not ours: {other:?}");
    for field in ["signature", "before", "at_micros"] {
        let lines = text.lines().map(|line| match line.contains("\"checkpoint\":") {
            false => format!("{line}\n"),
            true => {
                let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
                value[field] = match &value[field] {
                    serde_json::Value::String(text) => text.chars().rev().collect::<String>().into(),
                    _ => 1.into(),
                };
                format!("{value}\n")
            }
        });
        let forged = bench.dir.path().join("forged.log");
        fs::write(&forged, lines.collect::<String>()).unwrap();
        let found = verify::file(&forged, keys).unwrap();
        assert_eq!((found.ok, found.first_bad), (false, Some(1)), "{field}: {found:?}");
    }
    assert!(verify::against(&bench.database(), &bench.file, keys).unwrap().ok);

    let copy_of_12 = "INSERT INTO audit SELECT 31, at, who, action, object, detail, chain, address, token FROM audit \
                      WHERE seq = 12";
    for (what, sql, first_bad) in [
        ("delete", "DELETE FROM audit WHERE seq = 12", 12),
        ("edit", "UPDATE audit SET object = 'rule x' WHERE seq = 12", 12),
        ("edit the address", "UPDATE audit SET address = '192.0.2.99' WHERE seq = 12", 12),
        ("drop the address", "UPDATE audit SET address = NULL, token = NULL WHERE seq = 12", 12),
        (
            "reorder",
            "UPDATE audit SET seq = 99 WHERE seq = 12; UPDATE audit SET seq = 12 WHERE seq = 13; \
             UPDATE audit SET seq = 13 WHERE seq = 99",
            12,
        ),
        ("truncate", "DELETE FROM audit WHERE seq >= 21", 21),
        ("replay", copy_of_12, 31),
    ] {
        let copy = bench.tampered(&format!("{what}.db"), |shell| shell.execute_batch(sql).unwrap());
        let found = verify::file(&copy, keys).unwrap();
        assert_eq!((found.ok, found.first_bad), (false, Some(first_bad)), "{what}: {found:?}");
    }

    let rehashed = bench.tampered("rehashed.db", |shell| {
        shell.execute_batch("UPDATE audit SET who = 'bob' WHERE seq = 12").unwrap();
        rehash(shell);
    });
    let found = verify::file(&rehashed, keys).unwrap();
    assert_eq!((found.ok, found.first_bad), (false, Some(11)), "the first under the checkpoint that fails: {found:?}");
    let found = verify::against(&rehashed, &bench.file, keys).unwrap();
    assert_eq!(found.first_bad, Some(11), "{found:?}");

    let forged = bench.tampered("forged.db", |shell| {
        shell.execute_batch("UPDATE audit SET who = 'bob' WHERE seq = 12").unwrap();
        rehash(shell);
        let other = pair(&[7; 32]).unwrap();
        let mut before: Option<Checkpoint> = None;
        for seq in [10, 25] {
            let chain: [u8; 32] =
                shell.query_row("SELECT chain FROM audit WHERE seq = ?1", [seq], |row| row.get(0)).unwrap();
            let message = Checkpoint::message(seq as u64, START, &chain, before.as_ref());
            let signature = other.sign(&message).as_ref().to_vec();
            let values = sql::params![seq, START.micros(), chain, public(&other), signature];
            shell.execute("INSERT OR REPLACE INTO audit_checkpoint VALUES (?1, ?2, ?3, ?4, ?5)", values).unwrap();
            before = Some(Checkpoint { seq: seq as u64, at: START, chain, key: public(&other), signature });
        }
    });
    assert!(!verify::file(&forged, keys).unwrap().ok, "signed with a key that is not ours");
    let found = verify::against(&forged, &bench.file, keys).unwrap();
    assert_eq!((found.ok, found.first_bad), (false, Some(1)), "{found:?}");

    // An old copy is whole in itself: only what lies outside tells.
    let old = bench.tampered("old.db", |shell| {
        shell.execute_batch("DELETE FROM audit WHERE seq > 10; DELETE FROM audit_checkpoint WHERE seq > 10").unwrap();
    });
    assert!(verify::file(&old, keys).unwrap().ok);
    let found = verify::against(&old, &bench.file, keys).unwrap();
    assert_eq!((found.ok, found.first_bad), (false, Some(11)), "{found:?}");
}

/// S37: a key that was rotated and forgotten: what it signed is vouched for by the signature after it.
#[test]
fn s37_a_rotated_key_leaves_the_log_signed() {
    let bench = Bench::new();
    bench.keys.add().unwrap();
    let store = Store::open(&bench.dir.path().join("data")).unwrap();
    store.audit("ann", "secret.rotate", "", "{}", START).unwrap();
    let later = START.after(Duration::from_secs(90_000));
    assert_eq!(checkpoint(&store, &bench.keys, later).unwrap(), Some(31));
    bench.keys.forget_old().unwrap();
    let found = verify::store(&store, Some(&bench.keys)).unwrap();
    assert_eq!((found.ok, found.checkpoints, found.signed_to), (true, 3, 31), "{found:?}");
    assert!(!verify::store(&store, Some(&bench.strangers_keys())).unwrap().ok, "another key is not ours");
}

/// S37: a place outside that was away, and one that a crash cut off in the middle of a line, have every entry once after.
#[test]
fn s37_a_sink_that_lags_catches_up_by_number() {
    let bench = Bench::new();
    let store = Store::open(&bench.dir.path().join("data")).unwrap();
    let catch_up = |outlet: &mut Outlet| while outlet.catch_up(&store, START).unwrap() {};
    // It is away: its name is that of a directory.
    let file = bench.dir.path().join("later.log");
    fs::create_dir(&file).unwrap();
    let mut outlet = Outlet { sink: SinkAt::File(file.clone()).open(), rest: 0, failures: 0 };
    catch_up(&mut outlet);
    assert_eq!(outlet.failures, 1);
    let state = store.audit_sinks().unwrap().into_iter().find(|sink| sink.name.ends_with("later.log")).unwrap();
    assert!(state.seq == 0 && state.error.is_some(), "{state:?}");
    for n in 0..1_500 {
        store.audit("ann", "rule.update", &n.to_string(), "{}", START).unwrap();
    }
    fs::remove_dir(&file).unwrap();
    catch_up(&mut outlet);
    assert_eq!(entries(&file), (1..=1_530).collect::<Vec<u64>>());
    // Cut off in the middle of a line.
    let text = fs::read_to_string(&file).unwrap();
    let cut = text.lines().filter(|line| line.contains("\"seq\":")).take(1_200).map(|line| format!("{line}\n"));
    let cut: String = cut.collect();
    fs::write(&file, &cut[..cut.len() - 20]).unwrap();
    let mut again = Outlet { sink: SinkAt::File(file.clone()).open(), rest: 0, failures: 0 };
    catch_up(&mut again);
    assert_eq!(entries(&file), (1..=1_530).collect::<Vec<u64>>());
    assert!(verify::file(&file, Some(&bench.keys)).unwrap().ok);
}

fn entries(path: &Path) -> Vec<u64> {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    lines.filter_map(|value| value["seq"].as_u64()).collect()
}

/// S38: line ends and escape sequences in names and objects make no second line and no second field, in file and syslog.
#[test]
fn s38_nothing_said_can_forge_a_line() {
    let mut entry = store::AuditRow {
        seq: 7,
        at: START,
        who: String::new(),
        action: "rule.update".into(),
        object: String::new(),
        detail: "{}".into(),
        address: Some("192.0.2.1".into()),
        token: Some(3),
        chain: [1; 32],
    };
    for nasty in ["a\r\nb", "\u{1b}[31mred", "a\u{85}b", "a\u{2028}b", "]\" x=\"1", "<13>1 - - - - - -", "\0", "\\"] {
        nasty.clone_into(&mut entry.who);
        nasty.clone_into(&mut entry.object);
        let text = line(&entry);
        assert!(!text.contains(['\n', '\r', '\u{1b}', '\0']), "{text}");
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["who"], nasty);
        let message = crate::notify::syslog::audit_message(&entry);
        assert!(!message.contains(|c: char| c.is_control()) && message.starts_with("<110>1 2027-"), "{message}");
    }
    let made = Checkpoint { seq: 1, at: START, chain: [0; 32], key: [0; 32], signature: vec![0; 64] };
    assert!(!checkpoint_line((&made, None)).contains('\n'));
}
