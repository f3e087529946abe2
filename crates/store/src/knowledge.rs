//! Indicators, the records of each connection, what analysts said, and the revisions that tell readers what changed.

use crate::error::{Result, StoreError};
use crate::history::{self, Keeper};
use crate::runs::{self, RunReport};
use crate::tagset::{self, TagSets};
use crate::{Store, accounts, config, row};
use intel::{
    Analyst, ConnectionId, Indicator, IndicatorId, IndicatorKey, RunId, SourceRecord, Timestamp, Verdict, VerdictKind,
};
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// One record to write: whole, as it is to be.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// None: the indicator is new and gets the next id and always a revision.
    pub id: Option<IndicatorId>,
    /// What it is about. Only read where the indicator is new.
    pub key: &'a IndicatorKey,
    /// The record of the appending connection.
    pub record: &'a SourceRecord,
    /// Fingerprint of the summary the record leads to. Written where a revision is given.
    pub summary_hash: u64,
    /// The summary or activity changed.
    pub revise: bool,
}

/// Whether a source lists a record, where that changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// Whose record of the appending connection.
    pub id: IndicatorId,
    /// As it is to be.
    pub listed: bool,
    /// Fingerprint of the summary that leads to. Written where a revision is given.
    pub summary_hash: u64,
    /// The summary or activity changed.
    pub revise: bool,
}

/// What one page or run changes, and how far the connection got: together or not at all.
#[derive(Debug, Clone, Copy)]
pub struct Append<'a> {
    /// Whose records.
    pub connection: ConnectionId,
    /// The run that read them.
    pub run: RunId,
    /// When: what is overwritten is kept as it was until then.
    pub at: Timestamp,
    /// Records to write. A new key may stand here once.
    pub changes: &'a [Change<'a>],
    /// Records that are listed again, or no longer.
    pub listed: &'a [Listed],
    /// The connection's state with its cursor, as JSON; None leaves what is there.
    pub state: Option<&'a str>,
}

/// What an append gave out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Appended {
    /// The indicator of each change, in their order.
    pub ids: Vec<IndicatorId>,
    /// The lowest revision given here; if none was given, the next that would be.
    pub first_revision: u64,
    /// The revision of each change; None where none was given.
    pub revisions: Vec<Option<u64>>,
    /// The revision of each [`Listed`].
    pub listed_revisions: Vec<Option<u64>>,
}

/// What the end of a connection's records was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deleted {
    /// Records that were there.
    pub n_records: u64,
    /// Revision of the first bumped indicator; the others follow.
    pub first_revision: u64,
}

pub(crate) const INSERT_INDICATOR: &str =
    "INSERT INTO indicator (id, kind, value, key_hash, revision, summary_hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const REVISE: &str = "UPDATE indicator SET revision = ?2, summary_hash = ?3 WHERE id = ?1";

impl Store {
    /// Writes records, gives revisions and moves the connection's cursor in one transaction.
    ///
    /// Fails with [`StoreError::Conflict`] when a key said to be new is known, an id is not, or a record to list or
    /// unlist is not there: what the caller believes is then not what is stored.
    pub fn append(&self, append: &Append<'_>) -> Result<Appended, StoreError> {
        self.append_counted(append, None)
    }

    /// As [`Store::append`], and says in the same transaction how the run stands: rows and counts are there together.
    pub fn append_counted(&self, append: &Append<'_>, run: Option<RunReport<'_>>) -> Result<Appended, StoreError> {
        self.write(|tx, tagsets| {
            let mut counters = Counters::read(tx)?;
            let mut out = Appended { first_revision: counters.revision + 1, ..Appended::default() };
            write_changes(tx, tagsets, &mut counters, append, &mut out)?;
            out.listed_revisions = write_listed(tx, &mut counters, append)?;
            if let Some(state) = append.state {
                config::write_state(tx, append.connection, state)?;
            }
            if let Some(run) = &run {
                runs::write_report(tx, run)?;
            }
            counters.save(tx)?;
            Ok(out)
        })
    }

    /// Adds an indicator no source has a record of, so that a person can speak about it. Gives id and revision.
    pub fn add_indicator(&self, key: &IndicatorKey, summary_hash: u64) -> Result<(IndicatorId, u64), StoreError> {
        self.write(|tx, _| {
            let mut counters = Counters::read(tx)?;
            let id = counters.next_indicator()?;
            let revision = counters.next_revision();
            insert_indicator(tx, &mut tx.prepare_cached(INSERT_INDICATOR)?, id, key, revision, summary_hash)?;
            counters.save(tx)?;
            Ok((id, revision))
        })
    }

    /// Gives indicators a revision because time or policy changed their summary. Gives the first one's; the others
    /// follow in order.
    pub fn bump(&self, changed: &[(IndicatorId, u64)]) -> Result<u64, StoreError> {
        self.write(|tx, _| {
            let mut counters = Counters::read(tx)?;
            let first = counters.revision + 1;
            revise_all(tx, &mut counters, changed)?;
            counters.save(tx)?;
            Ok(first)
        })
    }

    /// The last revision given; 0 before the first.
    pub fn revision(&self) -> Result<u64, StoreError> {
        self.read(|conn| Ok(Counters::read(conn)?.revision))
    }

    /// How many indicators and how many records there are.
    pub fn counts(&self) -> Result<(u64, u64), StoreError> {
        self.read(|conn| {
            let count = |sql: &str| conn.query_row(sql, [], |row| row.get(0)).map(i64::cast_unsigned);
            Ok((count("SELECT count(*) FROM indicator")?, count("SELECT count(*) FROM record")?))
        })
    }

    /// What changed after a revision, in the order of revisions, at most `limit`. Asking again after the last revision
    /// given never misses a change.
    pub fn changed_since(&self, revision: u64, limit: usize) -> Result<Vec<(IndicatorId, u64)>, StoreError> {
        self.read(|conn| {
            let mut statement = conn
                .prepare_cached("SELECT id, revision FROM indicator WHERE revision > ?1 ORDER BY revision LIMIT ?2")?;
            let rows = statement.query_map(params![signed(revision), signed(limit)], |row| {
                Ok((IndicatorId(row.get(0)?), row.get::<_, i64>(1)?.cast_unsigned()))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// The id of a key. None if it is not known.
    pub fn find(&self, key: &IndicatorKey) -> Result<Option<IndicatorId>, StoreError> {
        self.read(|conn| find(conn, key))
    }

    /// One connection's record of an indicator.
    pub fn record(&self, id: IndicatorId, connection: ConnectionId) -> Result<Option<SourceRecord>, StoreError> {
        Ok(self.records(&[(id, connection)])?.pop().flatten())
    }

    /// Records in the order asked for, all as of one moment. Ascending ids read fastest.
    pub fn records(&self, keys: &[(IndicatorId, ConnectionId)]) -> Result<Vec<Option<SourceRecord>>, StoreError> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached(&format!("{} WHERE r.id = ?1", row::select_record()))?;
            let mut out = Vec::with_capacity(keys.len());
            for (id, connection) in keys {
                let mut rows = statement.query([row::record_id(*id, *connection)])?;
                out.push(rows.next()?.map(row::record).transpose()?.map(|(_, _, record)| record));
            }
            Ok(out)
        })
    }

    /// An indicator with every record and what analysts said. None if there is none.
    pub fn indicator(&self, id: IndicatorId) -> Result<Option<Indicator>, StoreError> {
        self.read(|conn| {
            let key = conn
                .prepare_cached("SELECT kind, value FROM indicator WHERE id = ?1")?
                .query_row([id.0], |row| Ok((row.get::<_, u8>(0)?, row.get::<_, String>(1)?)))
                .optional()?;
            let Some((kind, value)) = key else { return Ok(None) };
            let select = row::select_record();
            let mut statement = conn.prepare_cached(&format!("{select} WHERE r.id BETWEEN ?1 AND ?2 ORDER BY r.id"))?;
            let (first, last) = (row::record_id(id, ConnectionId(0)), row::record_id(id, ConnectionId(u16::MAX)));
            let mut rows = statement.query([first, last])?;
            let mut records = BTreeMap::new();
            while let Some(row) = rows.next()? {
                let (_, connection, record) = row::record(row)?;
                records.insert(connection, record);
            }
            let mut statement = conn.prepare_cached(&format!("{SELECT_ANALYST} WHERE indicator = ?1"))?;
            let analyst = match statement.query([id.0])?.next()? {
                Some(row) => analyst(row)?.1,
                None => Analyst::default(),
            };
            Ok(Some(Indicator { key: row::key(kind, &value)?, records, analyst }))
        })
    }

    /// Writes what analysts say about an indicator, whole, with its audit entry. Gives the new revision.
    pub fn set_analyst(
        &self,
        id: IndicatorId,
        analyst: &Analyst,
        summary_hash: u64,
        who: &str,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let revisions = self.set_analysts(&[(id, analyst, summary_hash)], None, who, now)?;
        Ok(revisions.first().copied().unwrap_or_default())
    }

    /// The same for many, in one transaction: each has a revision and an entry of the audit log of its own, which names
    /// the run they are part of. Gives the revisions, in order.
    pub fn set_analysts(
        &self,
        rows: &[(IndicatorId, &Analyst, u64)],
        run: Option<RunId>,
        who: &str,
        now: Timestamp,
    ) -> Result<Vec<u64>, StoreError> {
        self.write(|tx, _| {
            let mut counters = Counters::read(tx)?;
            let mut revisions = Vec::with_capacity(rows.len());
            for (id, analyst, summary_hash) in rows {
                let revision = counters.next_revision();
                revise(&mut tx.prepare_cached(REVISE)?, *id, revision, *summary_hash)?;
                write_analyst(tx, *id, analyst, run, who, now)?;
                revisions.push(revision);
            }
            counters.save(tx)?;
            Ok(revisions)
        })
    }

    /// Who said the last of what people say about an indicator, and when. None: nobody says anything.
    pub fn said_by(&self, id: IndicatorId) -> Result<Option<(String, Timestamp)>, StoreError> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached("SELECT who, updated FROM analyst WHERE indicator = ?1")?;
            let said = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, Timestamp::from_micros(row.get(1)?)));
            Ok(statement.query_row([id.0], said).optional()?)
        })
    }

    /// Removes indicators with their records and what analysts said. Their ids are not used again. Each removal has a
    /// revision, and what was removed is remembered under it. Gives how many were there.
    pub fn prune(&self, ids: &[IndicatorId], now: Timestamp) -> Result<u64, StoreError> {
        self.write(|tx, _| {
            let mut counters = Counters::read(tx)?;
            let mut indicators = tx.prepare_cached("DELETE FROM indicator WHERE id = ?1 RETURNING kind, value")?;
            let mut tombstones =
                tx.prepare_cached("INSERT INTO tombstone (revision, kind, value, at) VALUES (?1, ?2, ?3, ?4)")?;
            let mut records = tx.prepare_cached("DELETE FROM record WHERE id BETWEEN ?1 AND ?2")?;
            let mut analysts = tx.prepare_cached("DELETE FROM analyst WHERE indicator = ?1")?;
            let mut n_pruned = 0;
            for id in ids {
                let gone: Option<(u8, String)> =
                    indicators.query_row([id.0], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
                if let Some((kind, value)) = gone {
                    n_pruned += 1;
                    tombstones.execute(params![signed(counters.next_revision()), kind, value, now.micros()])?;
                }
                records.execute([row::record_id(*id, ConnectionId(0)), row::record_id(*id, ConnectionId(u16::MAX))])?;
                analysts.execute([id.0])?;
                history::forget(tx, *id)?;
            }
            counters.save(tx)?;
            Ok(n_pruned)
        })
    }

    /// Removes every record of a connection and gives the indicators in `changed` revisions, in order.
    pub fn delete_records_of(
        &self,
        connection: ConnectionId,
        changed: &[(IndicatorId, u64)],
    ) -> Result<Deleted, StoreError> {
        self.write(|tx, _| {
            let mut counters = Counters::read(tx)?;
            let first_revision = counters.revision + 1;
            let n_records = tx.execute("DELETE FROM record WHERE connection = ?1", [connection.0])? as u64;
            for table in ["history", "rolled_back"] {
                tx.execute(&format!("DELETE FROM {table} WHERE record & 65535 = ?1"), [connection.0])?;
            }
            revise_all(tx, &mut counters, changed)?;
            counters.save(tx)?;
            Ok(Deleted { n_records, first_revision })
        })
    }

    /// Drops sets of tags that no record has any more and gives the log's space back. For quiet hours.
    pub fn tidy(&self) -> Result<(), StoreError> {
        self.write(|tx, tagsets| {
            tx.execute(
                "DELETE FROM tagset WHERE id <> 0 AND id NOT IN (SELECT tagset FROM record) \
                 AND id NOT IN (SELECT tagset FROM history WHERE tagset IS NOT NULL)",
                [],
            )?;
            tagsets.clear();
            Ok(())
        })?;
        let writer = self.lock_writer();
        writer.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
    }
}

fn write_changes(
    tx: &Connection,
    tagsets: &mut TagSets,
    counters: &mut Counters,
    append: &Append<'_>,
    out: &mut Appended,
) -> Result<()> {
    let mut insert = tx.prepare_cached(INSERT_INDICATOR)?;
    let mut update = tx.prepare_cached(REVISE)?;
    let mut put = tx.prepare_cached(row::PUT_RECORD)?;
    let mut keeper = Keeper::new(tx, append.run, append.at)?;
    let mut scratch = Vec::new();
    out.ids.reserve(append.changes.len());
    out.revisions.reserve(append.changes.len());
    for change in append.changes {
        let revision = (change.revise || change.id.is_none()).then(|| counters.next_revision());
        let id = match (change.id, revision) {
            (Some(id), None) => {
                counters.check_known(id)?;
                id
            }
            (Some(id), Some(revision)) => {
                revise(&mut update, id, revision, change.summary_hash)?;
                id
            }
            (None, revision) => {
                let id = counters.next_indicator()?;
                insert_indicator(tx, &mut insert, id, change.key, revision.unwrap_or_default(), change.summary_hash)?;
                id
            }
        };
        let tagset = tagsets.id(tx, &change.record.claim.tags)?;
        let record = row::record_id(id, append.connection);
        if change.id.is_some() && keeper.keep(record, counters.history + 1)? {
            counters.history += 1;
        }
        row::put_record(&mut put, record, change.record, tagset, &mut scratch)?;
        out.ids.push(id);
        out.revisions.push(revision);
    }
    Ok(())
}

fn write_listed(tx: &Connection, counters: &mut Counters, append: &Append<'_>) -> Result<Vec<Option<u64>>> {
    let Append { connection, listed: rows, .. } = *append;
    let mut list = tx.prepare_cached("UPDATE record SET listed = ?2 WHERE id = ?1")?;
    let mut update = tx.prepare_cached(REVISE)?;
    let mut keeper = Keeper::new(tx, append.run, append.at)?;
    let mut out = Vec::with_capacity(rows.len());
    for Listed { id, listed, summary_hash, revise: is_revised } in rows {
        let record = row::record_id(*id, connection);
        if list.execute(params![record, listed])? == 0 {
            return Err(StoreError::Conflict(format!("connection {connection} has no record of indicator {id}")));
        }
        counters.history += 1;
        keeper.keep_listed(record, counters.history, !listed)?;
        let revision = is_revised.then(|| counters.next_revision());
        if let Some(revision) = revision {
            revise(&mut update, *id, revision, *summary_hash)?;
        }
        out.push(revision);
    }
    Ok(out)
}

fn write_analyst(
    tx: &Connection,
    id: IndicatorId,
    analyst: &Analyst,
    run: Option<RunId>,
    who: &str,
    now: Timestamp,
) -> Result<()> {
    if analyst.is_empty() {
        tx.prepare_cached("DELETE FROM analyst WHERE indicator = ?1")?.execute([id.0])?;
    } else {
        tx.prepare_cached("INSERT OR REPLACE INTO analyst VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?.execute(
            params![
                id.0,
                analyst.verdict.map(|v| v.kind.as_str()),
                analyst.verdict.and_then(|v| v.until).map(Timestamp::micros),
                analyst.muted,
                texts(&analyst.tags_added),
                texts(&analyst.tags_removed),
                analyst.comment,
                who,
                now.micros(),
            ],
        )?;
    }
    let value: String =
        tx.prepare_cached("SELECT value FROM indicator WHERE id = ?1")?.query_row([id.0], |row| row.get(0))?;
    let mut detail = serde_json::json!({
        "verdict": analyst.verdict.map(|v| v.kind.as_str()),
        "until": analyst.verdict.and_then(|v| v.until).map(|t| t.to_string()),
        "muted": analyst.muted,
        "tags_added": analyst.tags_added,
        "tags_removed": analyst.tags_removed,
        "comment": analyst.comment,
    });
    if let Some(run) = run {
        detail["run"] = run.0.into();
    }
    accounts::write_audit(tx, who, "indicator.annotate", &value, &detail.to_string(), now)?;
    Ok(())
}

fn revise_all(tx: &Connection, counters: &mut Counters, changed: &[(IndicatorId, u64)]) -> Result<()> {
    let mut update = tx.prepare_cached(REVISE)?;
    for (id, summary_hash) in changed {
        revise(&mut update, *id, counters.next_revision(), *summary_hash)?;
    }
    Ok(())
}

fn revise(update: &mut rusqlite::CachedStatement<'_>, id: IndicatorId, revision: u64, summary_hash: u64) -> Result<()> {
    match update.execute(params![id.0, signed(revision), summary_hash.cast_signed()])? {
        0 => Err(StoreError::Conflict(format!("there is no indicator {id}"))),
        _ => Ok(()),
    }
}

/// Hashes a key can have in the index, in the order they are tried. One is enough but once in many billions of keys,
/// or where somebody searched for two values with one hash: the others cannot be searched for.
fn key_hashes(key: &IndicatorKey) -> impl Iterator<Item = i64> + '_ {
    let fast = std::iter::once_with(|| xxhash_rust::xxh3::xxh3_64_with_seed(key.value().as_bytes(), key.kind() as u64));
    let strong = (0..3u8).map(|salt| {
        let digest: [u8; 32] =
            Sha256::new().chain_update([salt, key.kind() as u8]).chain_update(key.value().as_bytes()).finalize().into();
        u64::from_le_bytes(std::array::from_fn(|at| digest[at]))
    });
    fast.chain(strong).map(u64::cast_signed)
}

/// Whether a stored key is the one its hash was made of: one bit of a value more or less is another indicator.
pub(crate) fn is_hash_of(hash: i64, kind: intel::IndicatorKind, value: &str) -> bool {
    let fast = xxhash_rust::xxh3::xxh3_64_with_seed(value.as_bytes(), kind as u64).cast_signed();
    fast == hash || key_hashes(&IndicatorKey::from_stored(kind, value)).any(|other| other == hash)
}

fn insert_indicator(
    tx: &Connection,
    insert: &mut rusqlite::CachedStatement<'_>,
    id: IndicatorId,
    key: &IndicatorKey,
    revision: u64,
    summary_hash: u64,
) -> Result<()> {
    for hash in key_hashes(key) {
        let (revision, summary_hash) = (signed(revision), summary_hash.cast_signed());
        match insert.execute(params![id.0, key.kind() as u8, key.value(), hash, revision, summary_hash]) {
            Ok(_) => return Ok(()),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {}
            Err(error) => return Err(error.into()),
        }
        if let Some(known) = find(tx, key)? {
            let (kind, value) = (key.kind(), key.value());
            return Err(StoreError::Conflict(format!("{kind} {value} was said to be new, but is indicator {known}")));
        }
    }
    Err(StoreError::Limit("four hashes of one key are taken by others".into()))
}

fn find(conn: &Connection, key: &IndicatorKey) -> Result<Option<IndicatorId>> {
    let mut statement =
        conn.prepare_cached("SELECT id FROM indicator WHERE key_hash = ?1 AND kind = ?2 AND value = ?3")?;
    for hash in key_hashes(key) {
        let found = statement.query_row(params![hash, key.kind() as u8, key.value()], |row| row.get(0)).optional()?;
        if let Some(id) = found {
            return Ok(Some(IndicatorId(id)));
        }
    }
    Ok(None)
}

/// A count as SQLite takes it; what is too great for it is never reached by what is stored.
fn signed(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

/// Counters of the transaction at hand.
struct Counters {
    /// The last given.
    revision: u64,
    /// The next to give.
    indicator: u64,
    /// Changes of records kept so far.
    history: u64,
    saved: (u64, u64, u64),
}

impl Counters {
    fn read(conn: &Connection) -> Result<Counters> {
        let mut statement = conn.prepare_cached("SELECT value FROM counter WHERE name = ?1")?;
        let mut counter = |name| statement.query_row([name], |row| row.get(0)).map(i64::cast_unsigned);
        let (revision, indicator) = (counter("revision")?, counter("indicator")?);
        let history = counter("history")?;
        Ok(Counters { revision, indicator, history, saved: (revision, indicator, history) })
    }

    fn save(&self, conn: &Connection) -> Result<()> {
        let mut statement = conn.prepare_cached("UPDATE counter SET value = ?2 WHERE name = ?1")?;
        for (name, now, before) in [
            ("revision", self.revision, self.saved.0),
            ("indicator", self.indicator, self.saved.1),
            ("history", self.history, self.saved.2),
        ] {
            if now != before {
                statement.execute(params![name, signed(now)])?;
            }
        }
        Ok(())
    }

    fn next_revision(&mut self) -> u64 {
        self.revision += 1;
        self.revision
    }

    fn next_indicator(&mut self) -> Result<IndicatorId> {
        let id = u32::try_from(self.indicator)
            .map_err(|_| StoreError::Limit("this store has given out all 4,294,967,295 indicator ids".into()))?;
        self.indicator += 1;
        Ok(IndicatorId(id))
    }

    fn check_known(&self, id: IndicatorId) -> Result<()> {
        if u64::from(id.0) < self.indicator {
            return Ok(());
        }
        Err(StoreError::Conflict(format!("there is no indicator {id}")))
    }
}

/// What [`analyst`] reads.
pub(crate) const SELECT_ANALYST: &str =
    "SELECT indicator, verdict, verdict_until, muted, tags_added, tags_removed, comment FROM analyst";

/// A row of [`SELECT_ANALYST`].
pub(crate) fn analyst(row: &rusqlite::Row<'_>) -> Result<(IndicatorId, Analyst)> {
    let kind: Option<String> = row.get(1)?;
    let verdict = match kind {
        None => None,
        Some(text) => {
            let kind = VerdictKind::parse(&text);
            let kind = kind.ok_or_else(|| StoreError::damaged(format!("there is no verdict '{text}'")))?;
            Some(Verdict { kind, until: row::time(row, 2)? })
        }
    };
    let tags = |at: usize| -> Result<_> {
        Ok(tagset::from_json(&row.get::<_, String>(at)?)?.into_iter().map(String::from).collect())
    };
    let analyst =
        Analyst { verdict, muted: row.get(3)?, tags_added: tags(4)?, tags_removed: tags(5)?, comment: row.get(6)? };
    Ok((IndicatorId(row.get(0)?), analyst))
}

fn texts(set: &std::collections::BTreeSet<String>) -> String {
    tagset::to_json(&set.iter().collect::<Vec<_>>())
}
