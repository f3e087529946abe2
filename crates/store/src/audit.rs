//! Who did what, from where: a log that can be added to, checked, signed and handed on, and not changed.
//!
//! Each entry is hashed with the one before, so that a change in the middle shows. Checkpoints sign the chain as it stood,
//! so that a log hashed anew shows too; keys and signatures are the caller's, here they are bytes. Where an entry comes
//! from is not passed through every method that writes one: whoever lets a request in says it once for the work that it
//! causes, with [`asked_from`].

use crate::Store;
use crate::error::{Result, StoreError};
use intel::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where somebody asked from.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The address of the socket, or the one a trusted proxy named. None: no socket.
    pub address: Option<IpAddr>,
    /// The number of the token they showed.
    pub token: Option<u32>,
    /// Counts the entries written for them.
    pub n_written: Arc<AtomicU64>,
}

thread_local! {
    static ORIGIN: RefCell<Origin> = RefCell::default();
}

/// Does work on this thread; every entry it writes to the audit log says that it was asked from there.
pub fn asked_from<T>(origin: Origin, work: impl FnOnce() -> T) -> T {
    /// Puts the old one back, also when the work panics.
    struct Back(Option<Origin>);
    impl Drop for Back {
        fn drop(&mut self) {
            ORIGIN.with_borrow_mut(|now| *now = self.0.take().unwrap_or_default());
        }
    }
    let before = ORIGIN.with_borrow_mut(|now| std::mem::replace(now, origin));
    let _back = Back(Some(before));
    work()
}

/// An entry of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Its place; there are no gaps.
    pub seq: u64,
    /// When, by the wall clock of that time.
    pub at: Timestamp,
    /// Who.
    pub who: String,
    /// Did what.
    pub action: String,
    /// To what.
    pub object: String,
    /// JSON.
    pub detail: String,
    /// From which address; None where it was no socket, or is too old to say.
    pub address: Option<String>,
    /// With which token.
    pub token: Option<u32>,
    /// The hash of this entry and all before it.
    pub chain: [u8; 32],
}

impl AuditRow {
    /// The hash that this entry should have after one with the hash `before`; zeros before the first. Lengths go in, so
    /// that text cannot move from one field to the next. An entry without an origin hashes as it did before there was one.
    pub fn link(&self, before: &[u8; 32]) -> [u8; 32] {
        let mut hash = Sha256::new_with_prefix(before);
        hash.update(self.seq.to_le_bytes());
        hash.update(self.at.micros().to_le_bytes());
        let mut text = |text: &str| {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        };
        [&self.who, &self.action, &self.object, &self.detail].into_iter().for_each(|field| text(field));
        if self.address.is_some() || self.token.is_some() {
            text(self.address.as_deref().unwrap_or_default());
            text(&self.token.map_or_else(String::new, |token| token.to_string()));
        }
        hash.finalize().into()
    }
}

/// A signature over the log as it stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The last entry under it.
    pub seq: u64,
    /// When it was made.
    pub at: Timestamp,
    /// The hash of that entry.
    pub chain: [u8; 32],
    /// The public key that verifies it.
    pub key: [u8; 32],
    /// Over [`Checkpoint::message`].
    pub signature: Vec<u8>,
}

impl Checkpoint {
    /// What is signed: place, time and hash, and the signature before, so that the last good one vouches for all.
    pub fn message(seq: u64, at: Timestamp, chain: &[u8; 32], before: Option<&Checkpoint>) -> Vec<u8> {
        let mut message = b"iocast audit checkpoint 1\0".to_vec();
        message.extend(seq.to_le_bytes());
        message.extend(at.micros().to_le_bytes());
        message.extend(chain);
        message.extend(before.map(|before| before.signature.as_slice()).unwrap_or_default());
        message
    }
}

/// Which entries of the audit log; what is None is no matter.
#[derive(Debug, Clone, Copy, Default)]
pub struct AuditFilter<'a> {
    /// Who did it.
    pub who: Option<&'a str>,
    /// What was done: `rule.change`, or `rule` for everything about rules.
    pub action: Option<&'a str>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
}

/// What a look at the whole log found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditVerdict {
    /// Entries that are as they were written, from the first.
    pub records: u64,
    /// Checkpoints that hold.
    pub checkpoints: u64,
    /// The last entry under a checkpoint that holds; what comes after it is chained and not signed.
    pub signed_to: u64,
    /// The first entry that is not what was written, and why that is known.
    pub bad: Option<(u64, String)>,
}

/// How far the log was handed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditSink {
    /// Where it goes.
    pub name: String,
    /// The last entry handed over.
    pub seq: u64,
    /// When that was, or when it last failed.
    pub at: Timestamp,
    /// Why the next could not be.
    pub error: Option<String>,
}

const AUDIT: &str = "SELECT seq, at, who, action, object, detail, address, token, chain FROM audit";
const CHECKPOINT: &str = "SELECT seq, at, chain, key, signature FROM audit_checkpoint";

/// Judges a checkpoint, with the one before it; the words say what is wrong with it.
pub type Judge<'a> = &'a mut dyn FnMut(&Checkpoint, Option<&Checkpoint>) -> std::result::Result<(), String>;

impl Store {
    /// Adds to the audit log. Gives the entry's place.
    pub fn audit(
        &self,
        who: &str,
        action: &str,
        object: &str,
        detail: &str,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        self.write(|tx, _| write_audit(tx, who, action, object, detail, now))
    }

    /// Entries of the audit log, latest first, at most `limit`, those before `before` only.
    pub fn audit_log(&self, limit: usize, before: Option<u64>) -> Result<Vec<AuditRow>, StoreError> {
        self.audit_found(AuditFilter::default(), limit, before)
    }

    /// The same, of those that a filter finds.
    pub fn audit_found(
        &self,
        filter: AuditFilter<'_>,
        limit: usize,
        before: Option<u64>,
    ) -> Result<Vec<AuditRow>, StoreError> {
        self.read(|conn| {
            // '/' is what follows '.'.
            let mut statement = conn.prepare_cached(&format!(
                "{AUDIT} WHERE (?1 IS NULL OR seq < ?1) AND (?3 IS NULL OR who = ?3) \
                 AND (?4 IS NULL OR action = ?4 OR action BETWEEN ?4 || '.' AND ?4 || '/') \
                 AND (?5 IS NULL OR at >= ?5) AND (?6 IS NULL OR at < ?6) ORDER BY seq DESC LIMIT ?2"
            ))?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let (since, until) = (filter.since.map(Timestamp::micros), filter.until.map(Timestamp::micros));
            let before = before.map(u64::cast_signed);
            let rows = statement.query_map(params![before, limit, filter.who, filter.action, since, until], audit)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// The latest entry of the audit log whose action is about one of these nouns (`rule.change` is about `rule`), that is
    /// not older than a time, and that `is_meant`.
    pub fn last_audit(
        &self,
        nouns: &[&str],
        since: Option<Timestamp>,
        is_meant: &dyn Fn(&AuditRow) -> bool,
    ) -> Result<Option<AuditRow>, StoreError> {
        self.read(|conn| {
            // '/' is what follows '.': by ranges, so that the index is of use.
            let ranges: Vec<String> =
                (1..=nouns.len()).map(|n| format!("action BETWEEN ?{n} || '.' AND ?{n} || '/'")).collect();
            let sql = format!("{AUDIT} WHERE {} ORDER BY seq DESC", ranges.join(" OR "));
            let mut statement = conn.prepare_cached(&sql)?;
            let mut rows = statement.query(rusqlite::params_from_iter(nouns))?;
            while let Some(row) = rows.next()? {
                let entry = audit(row)?;
                if since.is_some_and(|since| entry.at < since) {
                    break;
                }
                if is_meant(&entry) {
                    return Ok(Some(entry));
                }
            }
            Ok(None)
        })
    }

    /// The checkpoint before the one at a place.
    pub fn checkpoint_before(&self, seq: u64) -> Result<Option<Checkpoint>, StoreError> {
        self.read(|conn| {
            let sql = format!("{CHECKPOINT} WHERE seq < ?1 ORDER BY seq DESC LIMIT 1");
            Ok(conn.prepare_cached(&sql)?.query_row([seq.cast_signed()], checkpoint).optional()?)
        })
    }

    /// Entries after one, in order, at most `limit`.
    pub fn audit_after(&self, seq: u64, limit: usize) -> Result<Vec<AuditRow>, StoreError> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached(&format!("{AUDIT} WHERE seq > ?1 ORDER BY seq LIMIT ?2"))?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let rows = statement.query_map(params![seq.cast_signed(), limit], audit)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// The last checkpoint.
    pub fn last_checkpoint(&self) -> Result<Option<Checkpoint>, StoreError> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached(&format!("{CHECKPOINT} ORDER BY seq DESC LIMIT 1"))?;
            Ok(statement.query_row([], checkpoint).optional()?)
        })
    }

    /// Stores a checkpoint.
    pub fn put_checkpoint(&self, made: &Checkpoint) -> Result<(), StoreError> {
        self.write(|tx, _| {
            tx.execute(
                "INSERT INTO audit_checkpoint (seq, at, chain, key, signature) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![made.seq.cast_signed(), made.at.micros(), made.chain, made.key, made.signature],
            )?;
            Ok(())
        })
    }

    /// How far the log was handed on, to each place by name.
    pub fn audit_sinks(&self) -> Result<Vec<AuditSink>, StoreError> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached("SELECT name, seq, at, error FROM audit_sink ORDER BY name")?;
            let rows = statement.query_map([], |row| {
                Ok(AuditSink {
                    name: row.get(0)?,
                    seq: row.get::<_, i64>(1)?.cast_unsigned(),
                    at: Timestamp::from_micros(row.get(2)?),
                    error: row.get(3)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Says how far the log was handed on.
    pub fn set_audit_sink(&self, sink: &AuditSink) -> Result<(), StoreError> {
        self.write(|tx, _| {
            tx.execute(
                "INSERT OR REPLACE INTO audit_sink (name, seq, at, error) VALUES (?1, ?2, ?3, ?4)",
                params![sink.name, sink.seq.cast_signed(), sink.at.micros(), sink.error],
            )?;
            Ok(())
        })
    }

    /// Looks at the whole log: every entry, and every checkpoint as `judge` sees it.
    pub fn check_audit(&self, judge: Judge<'_>) -> Result<AuditVerdict, StoreError> {
        self.read(|conn| check(conn, judge))
    }

    /// Checks that no entry of the audit log was changed or taken out; whether signatures are good is for
    /// [`Store::check_audit`]. Gives how many entries there are.
    pub fn verify_audit(&self) -> Result<u64, StoreError> {
        let verdict = self.check_audit(&mut |_, _| Ok(()))?;
        match verdict.bad {
            None => Ok(verdict.records),
            Some((seq, why)) => {
                Err(StoreError::damaged(format!("entry {seq} of the audit log is not what was written: {why}")))
            }
        }
    }

    /// Notes when secrets were given, by their places.
    pub fn note_secrets(&self, places: &[String], now: Timestamp) -> Result<(), StoreError> {
        self.write(|tx, _| {
            let mut note = tx.prepare_cached("INSERT OR REPLACE INTO secret_change (place, at) VALUES (?1, ?2)")?;
            places.iter().try_for_each(|place| note.execute(params![place, now.micros()]).map(drop))?;
            Ok(())
        })
    }

    /// When each secret was last given, by its place; what is older than this note is not there.
    pub fn secret_changes(&self) -> Result<Vec<(String, Timestamp)>, StoreError> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached("SELECT place, at FROM secret_change ORDER BY place")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, Timestamp::from_micros(row.get(1)?))))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}

/// Looks at the audit log of a database in a file, a backup or one that a server has open, without changing it.
///
/// # Errors
/// A file that cannot be read or is no database of ours.
pub fn check_audit_file(path: &Path, judge: Judge<'_>) -> Result<AuditVerdict, StoreError> {
    check(&open_to_read(path)?, judge)
}

/// The hashes of entries in a database in a file; None for those that are not there.
///
/// # Errors
/// As [`check_audit_file`].
pub fn audit_hash_in(path: &Path) -> Result<impl Fn(u64) -> Option<[u8; 32]> + use<>, StoreError> {
    let conn = open_to_read(path)?;
    Ok(move |seq: u64| {
        let found = conn.query_row("SELECT chain FROM audit WHERE seq = ?1", [seq.cast_signed()], |row| row.get(0));
        found.ok()
    })
}

fn open_to_read(path: &Path) -> Result<Connection, StoreError> {
    use rusqlite::OpenFlags;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    let id: i32 = conn.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    if id != crate::migrate::APPLICATION_ID {
        return Err(StoreError::Unfit(format!("{} is no database of this program", path.display())));
    }
    Ok(conn)
}

fn check(conn: &Connection, judge: Judge<'_>) -> Result<AuditVerdict, StoreError> {
    // Checkpoints first: what is added meanwhile is then only more than they speak of.
    let checkpoints: Vec<Checkpoint> = conn
        .prepare(&format!("{CHECKPOINT} ORDER BY seq"))?
        .query_map([], checkpoint)?
        .collect::<std::result::Result<_, _>>()?;
    let mut waiting = checkpoints.iter().peekable();
    let mut before: Option<&Checkpoint> = None;
    let mut verdict = AuditVerdict::default();
    let mut statement = conn.prepare(&format!("{AUDIT} ORDER BY seq"))?;
    let mut rows = statement.query([])?;
    let mut chain = [0u8; 32];
    while let Some(row) = rows.next()? {
        let due = verdict.records + 1;
        let Ok(entry) = audit(row) else {
            verdict.bad = Some((due, "it cannot be read".to_owned()));
            return Ok(verdict);
        };
        if entry.seq != due {
            verdict.bad = Some((due, format!("it is not there, and {} is", entry.seq)));
            return Ok(verdict);
        }
        chain = entry.link(&chain);
        if chain != entry.chain {
            verdict.bad = Some((due, "its hash is another than that of what it says and what came before".to_owned()));
            return Ok(verdict);
        }
        verdict.records = due;
        while let Some(made) = waiting.next_if(|made| made.seq <= due) {
            let wrong = match () {
                () if made.seq != due => Err("its checkpoint is out of order".to_owned()),
                () if made.chain != chain => Err("the log was another when it was signed".to_owned()),
                () => judge(made, before),
            };
            if let Err(why) = wrong {
                let from = verdict.signed_to + 1;
                verdict.bad = Some((from, format!("the checkpoint over entries {from} to {due} does not hold: {why}")));
                verdict.records = verdict.signed_to;
                return Ok(verdict);
            }
            verdict.checkpoints += 1;
            verdict.signed_to = due;
            before = Some(made);
        }
    }
    if let Some(made) = waiting.next() {
        let why = format!("it is not there, and a checkpoint says that there were {}", made.seq);
        verdict.bad = Some((verdict.records + 1, why));
    }
    Ok(verdict)
}

pub(crate) fn write_audit(
    tx: &Connection,
    who: &str,
    action: &str,
    object: &str,
    detail: &str,
    now: Timestamp,
) -> Result<u64> {
    let last: Option<(i64, [u8; 32])> = tx
        .prepare_cached("SELECT seq, chain FROM audit ORDER BY seq DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (seq, chain) = last.unwrap_or((0, [0; 32]));
    let origin = ORIGIN.with_borrow(Origin::clone);
    origin.n_written.fetch_add(1, Ordering::Relaxed);
    let mut entry = AuditRow {
        seq: seq.cast_unsigned() + 1,
        at: now,
        who: who.into(),
        action: action.into(),
        object: object.into(),
        detail: detail.into(),
        address: origin.address.map(|address| address.to_canonical().to_string()),
        token: origin.token,
        chain,
    };
    entry.chain = entry.link(&chain);
    tx.prepare_cached(
        "INSERT INTO audit (seq, at, who, action, object, detail, address, token, chain) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        seq + 1,
        now.micros(),
        who,
        action,
        object,
        detail,
        entry.address,
        entry.token,
        entry.chain
    ])?;
    Ok(entry.seq)
}

fn audit(row: &Row<'_>) -> rusqlite::Result<AuditRow> {
    Ok(AuditRow {
        seq: row.get::<_, i64>(0)?.cast_unsigned(),
        at: Timestamp::from_micros(row.get(1)?),
        who: row.get(2)?,
        action: row.get(3)?,
        object: row.get(4)?,
        detail: row.get(5)?,
        address: row.get(6)?,
        token: row.get(7)?,
        chain: row.get(8)?,
    })
}

fn checkpoint(row: &Row<'_>) -> rusqlite::Result<Checkpoint> {
    Ok(Checkpoint {
        seq: row.get::<_, i64>(0)?.cast_unsigned(),
        at: Timestamp::from_micros(row.get(1)?),
        chain: row.get(2)?,
        key: row.get(3)?,
        signature: row.get(4)?,
    })
}
