//! Handing everything known to the index at start, as fast as it can take it.
//!
//! A thread reads rows into batches while the caller's thread takes them; rows are lent, nothing is allocated for one.

use crate::error::{Result, StoreError};
use crate::knowledge::{SELECT_ANALYST, analyst, is_hash_of};
use crate::{Store, row, tagset};
use intel::{Analyst, Ended, Facts, IndicatorId, IndicatorKind, Timestamp};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Rows in a batch.
const BATCH: usize = 4096;
/// Batches waiting between the threads.
const AHEAD: usize = 8;

/// Who takes what is loaded: first every set of tags, then every indicator, then every record, then every analyst's
/// word, each in ascending order of its ids.
pub trait LoadSink {
    /// A set of tags, sorted; records name it by its number. Set 0 is the empty one.
    fn tagset(&mut self, id: u32, tags: &[Box<str>]);
    /// An indicator.
    fn indicator(&mut self, row: IndicatorRow<'_>);
    /// A record, by indicator, then connection.
    fn record(&mut self, row: RecordRow<'_>);
    /// What analysts say about an indicator.
    fn analyst(&mut self, id: IndicatorId, analyst: &Analyst);
}

/// An indicator as it is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndicatorRow<'a> {
    /// Its number.
    pub id: IndicatorId,
    /// What sort of thing.
    pub kind: IndicatorKind,
    /// The canonical value.
    pub value: &'a str,
    /// When it last changed.
    pub revision: u64,
    /// Fingerprint of the summary at that revision.
    pub summary_hash: u64,
}

/// A record as it is loaded; the raw value is left on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordRow<'a> {
    /// Whose indicator it is.
    pub indicator: IndicatorId,
    /// What the fold needs, the connection among it.
    pub facts: Facts,
    /// The version of the claim.
    pub version: Timestamp,
    /// Fingerprints of the rows joined in it, sorted.
    pub contents: &'a [u64],
    /// Number of its set of tags.
    pub tagset: u32,
    /// Free text.
    pub comment: Option<&'a str>,
    /// Where to read more.
    pub link: Option<&'a str>,
    /// The id of the object at the source.
    pub remote_id: Option<&'a str>,
}

impl Store {
    /// Hands over everything known, as of one moment.
    pub fn load(&self, sink: &mut dyn LoadSink) -> Result<(), StoreError> {
        if self.readers.is_none() {
            return self.read(|conn| {
                scan(conn, &mut |batch| {
                    batch.give(sink);
                    Some(Batch::default())
                })
            });
        }
        std::thread::scope(|scope| {
            let (full, batches): (SyncSender<Batch>, Receiver<Batch>) = sync_channel(AHEAD);
            let (empty, emptied) = sync_channel(2 * AHEAD);
            let reader = scope.spawn(move || {
                self.read(|conn| {
                    scan(conn, &mut |batch| {
                        full.send(batch).ok()?;
                        Some(emptied.try_recv().unwrap_or_default())
                    })
                })
            });
            for mut batch in batches {
                batch.give(sink);
                batch.clear();
                // Where the reader has enough of them, this one is dropped.
                let _ = empty.try_send(batch);
            }
            match reader.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }
}

/// Some rows of one sort, their texts end to end.
#[derive(Default)]
struct Batch {
    tagsets: Vec<(u32, Vec<Box<str>>)>,
    indicators: Vec<(IndicatorRow<'static>, u32)>,
    records: Vec<RecordParts>,
    analysts: Vec<(IndicatorId, Analyst)>,
    texts: String,
    contents: Vec<u64>,
}

/// A record whose texts and fingerprints are in the batch; ends follow one another.
struct RecordParts {
    row: RecordRow<'static>,
    contents_end: u32,
    comment_end: u32,
    link_end: u32,
    remote_id_end: u32,
}

impl Batch {
    fn clear(&mut self) {
        self.tagsets.clear();
        self.indicators.clear();
        self.records.clear();
        self.analysts.clear();
        self.texts.clear();
        self.contents.clear();
    }

    fn give(&self, sink: &mut dyn LoadSink) {
        for (id, tags) in &self.tagsets {
            sink.tagset(*id, tags);
        }
        let mut from = 0;
        let mut text = |end: u32| {
            let text = &self.texts[from..end as usize];
            from = end as usize;
            text
        };
        for (row, end) in &self.indicators {
            sink.indicator(IndicatorRow { value: text(*end), ..*row });
        }
        let mut contents_from = 0;
        for parts in &self.records {
            let contents = &self.contents[contents_from..parts.contents_end as usize];
            contents_from = parts.contents_end as usize;
            let (comment, link, remote_id) = (text(parts.comment_end), text(parts.link_end), text(parts.remote_id_end));
            sink.record(RecordRow {
                contents,
                comment: parts.row.comment.map(|_| comment),
                link: parts.row.link.map(|_| link),
                remote_id: parts.row.remote_id.map(|_| remote_id),
                ..parts.row
            });
        }
        for (id, analyst) in &self.analysts {
            sink.analyst(*id, analyst);
        }
    }

    /// Keeps a text and says where it ends.
    fn keep(&mut self, text: &str) -> u32 {
        self.texts.push_str(text);
        self.texts.len() as u32
    }

    /// Keeps a text that may be missing.
    fn keep_some(&mut self, value: ValueRef<'_>) -> Result<(Option<&'static str>, u32)> {
        Ok(match value {
            ValueRef::Null => (None, self.texts.len() as u32),
            value => (Some(""), self.keep(as_text(value)?)),
        })
    }
}

/// Adds a row to a batch.
type Reader = fn(&Row<'_>, &mut Batch) -> Result<()>;

/// Reads everything, handing over batches; None from `hand_over` ends it.
fn scan(conn: &Connection, hand_over: &mut dyn FnMut(Batch) -> Option<Batch>) -> Result<()> {
    let sorts: [(&str, Reader); 4] = [
        ("SELECT id, tags FROM tagset ORDER BY id", |row, batch| {
            let tags = tagset::from_json(as_text(row.get_ref(1)?)?)?;
            batch.tagsets.push((row.get(0)?, tags));
            Ok(())
        }),
        ("SELECT id, kind, value, revision, summary_hash, key_hash FROM indicator ORDER BY id", read_indicator),
        (RECORDS, read_record),
        (SELECT_ANALYST, |row, batch| {
            batch.analysts.push(analyst(row)?);
            Ok(())
        }),
    ];
    let mut batch = Batch::default();
    for (sql, read) in sorts {
        let mut statement = conn.prepare(sql)?;
        let mut rows = statement.query([])?;
        let mut n_rows = 0;
        while let Some(row) = rows.next()? {
            read(row, &mut batch)?;
            n_rows += 1;
            if n_rows == BATCH {
                n_rows = 0;
                let Some(next) = hand_over(batch) else { return Ok(()) };
                batch = next;
            }
        }
        let Some(next) = hand_over(batch) else { return Ok(()) };
        batch = next;
    }
    Ok(())
}

fn read_indicator(row: &Row<'_>, batch: &mut Batch) -> Result<()> {
    let (kind, value) = (row::kind(int(row, 1)? as u8)?, as_text(row.get_ref(2)?)?);
    if !is_hash_of(int(row, 5)?, kind, value) {
        return Err(StoreError::damaged(format!("indicator {} is not the one that was written", int(row, 0)?)));
    }
    let end = batch.keep(value);
    let indicator = IndicatorRow {
        id: IndicatorId(int(row, 0)? as u32),
        kind,
        value: "",
        revision: int(row, 3)?.cast_unsigned(),
        summary_hash: int(row, 4)?.cast_unsigned(),
    };
    batch.indicators.push((indicator, end));
    Ok(())
}

const RECORDS: &str = "SELECT id, version, received, content, tagset, listed, echo, reputation, confidence, severity, tlp, \
     first_seen, last_seen, valid_from, expires_at, retracted, internal_hits, external_hits, ended_version, ended_content, \
     more_contents, remote_id, comment, link FROM record ORDER BY id";

fn read_record(row: &Row<'_>, batch: &mut Batch) -> Result<()> {
    let (indicator, connection) = row::record_key(int(row, 0)?);
    let version = Timestamp::from_micros(int(row, 1)?);
    let contents_from = batch.contents.len();
    batch.contents.extend(some_int(row, 3)?.map(i64::cast_unsigned));
    if let ValueRef::Blob(more) = row.get_ref(20)? {
        batch.contents.extend(row::unpack(more));
    }
    let contents = &batch.contents[contents_from..];
    // As `SourceRecord::is_retracted` says, without making a record.
    let ended = match (some_int(row, 18)?, some_int(row, 19)?) {
        (Some(version), Some(content)) => {
            Some(Ended { version: Timestamp::from_micros(version), content: content.cast_unsigned() })
        }
        _ => None,
    };
    let is_ended = ended.is_some_and(|e| version <= e.version || contents.binary_search(&e.content).is_ok());
    let time = |at: usize| -> Result<Option<Timestamp>> { Ok(some_int(row, at)?.map(Timestamp::from_micros)) };
    let facts = Facts {
        connection,
        reputation: some_int(row, 7)?.map(|n| row::reputation(n as u8)).transpose()?,
        confidence: some_int(row, 8)?.map(|n| n as u8),
        severity: row::severity(int(row, 9)? as u8)?,
        tlp: some_int(row, 10)?.map(|n| row::tlp(n as u8)).transpose()?,
        first_seen: time(11)?,
        last_seen: time(12)?,
        valid_from: time(13)?,
        expires_at: time(14)?,
        received: Timestamp::from_micros(int(row, 2)?),
        retracted: int(row, 15)? != 0 || is_ended,
        listed: int(row, 5)? != 0,
        echo: int(row, 6)? != 0,
        internal_hits: int(row, 16)? as u32,
        external_hits: int(row, 17)? as u32,
    };
    let contents_end = batch.contents.len() as u32;
    let (comment, comment_end) = batch.keep_some(row.get_ref(22)?)?;
    let (link, link_end) = batch.keep_some(row.get_ref(23)?)?;
    let (remote_id, remote_id_end) = batch.keep_some(row.get_ref(21)?)?;
    let tagset = int(row, 4)? as u32;
    let row = RecordRow { indicator, facts, version, contents: &[], tagset, comment, link, remote_id };
    batch.records.push(RecordParts { row, contents_end, comment_end, link_end, remote_id_end });
    Ok(())
}

fn int(row: &Row<'_>, at: usize) -> Result<i64> {
    match row.get_ref(at)? {
        ValueRef::Integer(number) => Ok(number),
        _ => Err(StoreError::damaged(format!("column {at} of a loaded row is no number"))),
    }
}

fn some_int(row: &Row<'_>, at: usize) -> Result<Option<i64>> {
    match row.get_ref(at)? {
        ValueRef::Integer(number) => Ok(Some(number)),
        ValueRef::Null => Ok(None),
        _ => Err(StoreError::damaged(format!("column {at} of a loaded row is no number"))),
    }
}

fn as_text(value: ValueRef<'_>) -> Result<&str> {
    value.as_str().map_err(|error| StoreError::damaged(format!("a text of a loaded row: {error}")))
}
