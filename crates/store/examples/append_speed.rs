//! How much `Store::append` costs over a bare loop of the same inserts, and how fast everything is loaded again.
//!
//! `cargo run --release -p store --example append_speed [indicators]`; the tables go to a temporary directory.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]
#![allow(clippy::disallowed_methods, reason = "it measures time")]

use intel::{
    Analyst, Claim, ConnectionId, IndicatorId, IndicatorKey, IndicatorKind, Reputation, RunId, Severity, SourceRecord,
    Timestamp,
};
use rusqlite::{Connection, params};
use std::path::Path;
use std::time::{Duration, Instant};
use store::{Append, Change, IndicatorRow, LoadSink, RecordRow, Store};

const BATCH: usize = 20_000;

/// One round of a small generator (splitmix64).
fn mix(seed: u64) -> u64 {
    let z = (seed.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn key(n: u64) -> IndicatorKey {
    let hash = mix(n);
    match n % 4 {
        0 => IndicatorKey::from_stored(IndicatorKind::Sha256, format!("{hash:016x}{:016x}{n:032x}", mix(hash))),
        1 => IndicatorKey::from_stored(IndicatorKind::Domain, format!("h{hash:x}.evil{n}.example")),
        2 => IndicatorKey::from_stored(
            IndicatorKind::Url,
            format!("http://h{:x}.example/{n}/{:x}.exe", hash as u32, mix(hash) as u32),
        ),
        _ => IndicatorKey::from_stored(
            IndicatorKind::Ipv4,
            format!("{}.{}.{}.{}", n >> 24 & 255, n >> 16 & 255, n >> 8 & 255, n & 255),
        ),
    }
}

fn record(n: u64, connection: u16) -> SourceRecord {
    let time = |days: u64| Timestamp::from_secs(1_700_000_000 + (days * 86_400) as i64);
    let seen = time(mix(n) % 300);
    SourceRecord {
        version: seen,
        claim: Claim {
            reputation: Some(Reputation::clamped((mix(n) % 10) as i64 + 1)),
            severity: Severity::High,
            tags: vec![format!("family-{}", mix(n) % 200).into(), "malware".into()],
            first_seen: Some(seen),
            last_seen: Some(seen),
            comment: n.is_multiple_of(3).then(|| "seen in a campaign against many".into()),
            ..Claim::default()
        },
        received: time(301),
        contents: vec![mix(n ^ u64::from(connection))],
        listed: true,
        echo: false,
        ended: None,
        remote_id: None,
    }
}

fn with_store(dir: &Path, rows: &[(IndicatorKey, SourceRecord)]) -> Duration {
    let store = Store::open(dir).unwrap();
    let started = Instant::now();
    for batch in rows.chunks(BATCH) {
        let changes: Vec<Change<'_>> = batch
            .iter()
            .map(|(key, record)| Change { id: None, key, record, summary_hash: record.contents[0], revise: true })
            .collect();
        let append = Append {
            connection: ConnectionId(2),
            run: RunId(1),
            at: Timestamp::EPOCH,
            changes: &changes,
            listed: &[],
            state: Some("{\"cursor\":1}"),
        };
        store.append(&append).unwrap();
    }
    started.elapsed()
}

/// The same rows into the same tables, by prepared statements and nothing else.
fn bare(dir: &Path, rows: &[(IndicatorKey, SourceRecord)], with_indexes: bool) -> Duration {
    drop(Store::open(dir).unwrap());
    let conn = Connection::open(dir.join("iocast.db")).unwrap();
    for (pragma, value) in [("synchronous", 2), ("cache_size", -131_072), ("wal_autocheckpoint", 16_384)] {
        conn.pragma_update(None, pragma, value).unwrap();
    }
    if !with_indexes {
        conn.execute_batch("DROP INDEX indicator_key; DROP INDEX indicator_revision").unwrap();
    }
    let started = Instant::now();
    let mut n = 0i64;
    for batch in rows.chunks(BATCH) {
        let tx = conn.unchecked_transaction().unwrap();
        let mut indicators = tx.prepare_cached("INSERT INTO indicator VALUES (?1, ?2, ?3, ?4, ?5, ?6)").unwrap();
        let mut records = tx
            .prepare_cached(
                "INSERT INTO record (id, version, received, content, tagset, listed, echo, reputation, confidence, severity, \
                 tlp, first_seen, last_seen, valid_from, expires_at, retracted, internal_hits, external_hits, ended_version, \
                 ended_content, more_contents, remote_id, comment, link, raw) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, \
                 ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25)",
            )
            .unwrap();
        let none = Option::<i64>::None;
        for (key, record) in batch {
            n += 1;
            let claim = &record.claim;
            let hash = mix(n as u64) as i64;
            indicators.execute(params![n, key.kind() as u8, key.value(), hash, n, record.contents[0] as i64]).unwrap();
            let time = record.version.micros();
            records
                .execute(params![
                    n << 16 | 2,
                    time,
                    record.received.micros(),
                    record.contents[0] as i64,
                    n % 200,
                    true,
                    false,
                    claim.reputation.map(Reputation::get),
                    none,
                    claim.severity as u8,
                    none,
                    time,
                    time,
                    none,
                    none,
                    false,
                    0,
                    0,
                    none,
                    none,
                    none,
                    none,
                    claim.comment,
                    none,
                    none
                ])
                .unwrap();
        }
        drop((indicators, records));
        tx.commit().unwrap();
    }
    started.elapsed()
}

/// Looks at everything it is given, keeps nothing.
#[derive(Default)]
struct Count {
    indicators: usize,
    records: usize,
    bytes: usize,
}

impl LoadSink for Count {
    fn tagset(&mut self, _: u32, tags: &[Box<str>]) {
        self.bytes += tags.len();
    }
    fn indicator(&mut self, row: IndicatorRow<'_>) {
        self.indicators += 1;
        self.bytes += row.value.len();
    }
    fn record(&mut self, row: RecordRow<'_>) {
        self.records += 1;
        self.bytes += row.comment.unwrap_or_default().len() + row.contents.len();
    }
    fn analyst(&mut self, _: IndicatorId, _: &Analyst) {}
}

fn main() {
    let n_rows: u64 = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let rows: Vec<_> = (0..n_rows).map(|n| (key(n), record(n, 2))).collect();
    let dirs: Vec<_> = (0..6).map(|_| tempfile::tempdir().unwrap()).collect();
    let plain = bare(dirs[0].path(), &rows, false);
    let mut ratios = Vec::new();
    for round in 0..2 {
        let bare = bare(dirs[1 + round].path(), &rows, true);
        let append = with_store(dirs[3 + round].path(), &rows);
        println!("{n_rows} new rows: append {append:.2?}, bare loop {bare:.2?}, bare without indexes {plain:.2?}");
        ratios.push(append.as_secs_f64() / bare.as_secs_f64());
    }
    println!("append / bare: {ratios:.2?}");

    let store = Store::open(dirs[3].path()).unwrap();
    let more: Vec<_> = (0..n_rows * 2 / 5).map(|n| (key(n), record(n, 3))).collect();
    let started = Instant::now();
    for (at, batch) in more.chunks(BATCH).enumerate() {
        let changes: Vec<Change<'_>> = batch
            .iter()
            .enumerate()
            .map(|(n, (key, record))| {
                let id = Some(IndicatorId((1 + at * BATCH + n) as u32));
                Change { id, key, record, summary_hash: 1, revise: true }
            })
            .collect();
        let append = Append {
            connection: ConnectionId(3),
            run: RunId(2),
            at: Timestamp::EPOCH,
            changes: &changes,
            listed: &[],
            state: None,
        };
        store.append(&append).unwrap();
    }
    println!("{} second records: append {:.2?}", more.len(), started.elapsed());
    for _ in 0..3 {
        let mut count = Count::default();
        let started = Instant::now();
        store.load(&mut count).unwrap();
        let took = started.elapsed();
        println!("load {} indicators, {} records ({} bytes): {took:.2?}", count.indicators, count.records, count.bytes);
    }
}
