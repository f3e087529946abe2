//! A life of a store, step by step, and what the file holds after each: what every fault is measured against.
//!
//! A step is one operation, so one transaction. What a file holds is read here with plain SQL, table by table, so
//! that it shares no code with the store.

use super::ledger::line;
use super::{NOW, append, extreme, key, plain};
use intel::{Analyst, IndicatorId, RunId, TargetId, Verdict, VerdictKind};
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use store::{Append, Change, LINE_GONE, LineRow, Listed, Published, Settle, Store, StoreError};
use tempfile::TempDir;

const TARGET: TargetId = TargetId(3);

type Step = (&'static str, fn(&Store) -> Result<(), StoreError>);

/// What is done, in order: a first pull, one that changes nothing, a suspect one, a push, a served list, a verdict, the
/// configuration, a removal. None stands for closing the store and opening it again, which copies the log into the file.
pub(crate) const STEPS: &[Option<Step>] = &[
    Some(("a pull begins", |s| s.run_start("pull", "feed", NOW).map(drop))),
    Some(("its first page", |s| page(s, 0, 40))),
    Some(("its second page", |s| page(s, 1, 40))),
    Some(("it ends", |s| s.run_end(RunId(1), "success", "{\"read\":80}", NOW))),
    Some(("the same again", |s| page(s, 1, 0))),
    None,
    Some(("a suspect pull", |s| {
        let rows: Vec<intel::Row> = (0..30)
            .map(|n| {
                let key = key(&format!("suspect{n}.example"));
                intel::Row { key, version: None, claim: intel::Claim::default(), remote_id: None, hops: vec![] }
            })
            .collect();
        s.stage(RunId(2), rows.iter().map(|row| (row, 7))).map(drop)
    })),
    Some(("it is discarded", |s| s.drop_staged(RunId(2)).map(drop))),
    Some(("one is gone", |s| {
        let gone = Listed { id: IndicatorId(5), listed: false, summary_hash: 9, revise: true };
        s.append(&Append { listed: &[gone], state: Some("page 2"), ..append(&[]) }).map(drop)
    })),
    Some(("a push is meant", |s| s.intend(TARGET, RunId(3), &lines(0)))),
    Some(("it is settled", |s| settle(s, 1, None))),
    Some(("it is counted", |s| s.add_effects(TARGET, RunId(3), 20, 1, NOW))),
    None,
    Some(("a list is published", |s| {
        let body = Published {
            name: "edge".into(),
            file: "edge.1".into(),
            format: "edl".into(),
            sha256: "ab".repeat(32),
            lines: 20,
            bytes: 400,
            at: NOW,
        };
        settle(s, LINE_GONE, Some(&body))
    })),
    Some(("a verdict", |s| {
        let verdict = Some(Verdict { kind: VerdictKind::FalsePositive, until: None });
        s.set_analyst(IndicatorId(3), &Analyst { verdict, ..Analyst::default() }, 4, "ann", NOW).map(drop)
    })),
    Some(("a rule", |s| s.put_doc("rule", "strong", &"x".repeat(9_000), NOW).map(drop))),
    Some(("an audit entry", |s| s.audit("ann", "apply", "site", "{}", NOW).map(drop))),
    Some(("a removal", |s| s.prune(&[IndicatorId(1), IndicatorId(2)], NOW).map(drop))),
    None,
];

fn page(store: &Store, n: u32, rows: u32) -> Result<(), StoreError> {
    let keys: Vec<_> = (0..rows).map(|row| key(&format!("{n}.{row}.example"))).collect();
    let (short, long) = (plain(), extreme());
    let change = |(at, key)| {
        let record = if at % 8 == 0 { &long } else { &short };
        Change { id: None, key, record, summary_hash: 1, revise: true }
    };
    let changes: Vec<Change<'_>> = keys.iter().enumerate().map(change).collect();
    let state = format!("page {n} of {rows}");
    store.append(&Append { state: Some(&state), ..append(&changes) }).map(drop)
}

fn lines(state: u8) -> Vec<LineRow> {
    (10..30).map(|indicator| line(indicator, state)).collect()
}

fn settle(store: &Store, state: u8, published: Option<&Published>) -> Result<(), StoreError> {
    let lines = lines(state);
    let state = Some("{\"filled\":true}");
    store.settle(&Settle { target: TARGET, run: RunId(3), lines: &lines, dropped: &[], published, target_state: state })
}

/// One step on an open store.
pub(crate) fn take(step: Option<Step>, store: &mut Option<Store>, dir: &Path) -> Result<(), StoreError> {
    match step {
        Some((_, run)) => match store.as_ref() {
            Some(store) => run(store),
            None => Err(StoreError::Conflict("the store is not open".into())),
        },
        None => {
            *store = None;
            *store = Some(Store::open(dir)?);
            Ok(())
        }
    }
}

pub(crate) fn name(step: Option<Step>) -> &'static str {
    step.map_or("the store is opened again", |(name, _)| name)
}

/// A new store, closed, to begin lives from.
pub(crate) fn fresh(into: &Path) -> PathBuf {
    let path = into.join("data");
    drop(Store::open(&path).unwrap());
    path
}

/// What the file holds before the first step and after each.
pub(crate) fn reference() -> Vec<String> {
    let dir = TempDir::new().unwrap();
    let data = fresh(dir.path());
    let mut store = Some(Store::open(&data).unwrap());
    let mut dumps = vec![dump(&data)];
    for step in STEPS {
        take(*step, &mut store, &data).unwrap_or_else(|error| panic!("{}: {error}", name(*step)));
        dumps.push(dump(&data));
    }
    assert!(dumps.windows(2).filter(|two| two[0] != two[1]).count() >= 14, "steps do something");
    dumps
}

/// Everything that a store holds, as text.
pub(crate) fn dump(dir: &Path) -> String {
    try_dump(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()))
}

/// The same, where the file may be anything.
pub(crate) fn try_dump(dir: &Path) -> rusqlite::Result<String> {
    let conn = Connection::open_with_flags(
        dir.join("iocast.db"),
        rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    let mut names = conn.prepare("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")?;
    let names: Vec<String> = names.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let mut out = String::new();
    for name in names {
        let mut statement = conn.prepare(&format!("SELECT * FROM \"{name}\""))?;
        let n = statement.column_count();
        let mut rows = statement.query([])?;
        let mut texts = Vec::new();
        while let Some(row) = rows.next()? {
            let mut text = String::new();
            for at in 0..n {
                let _ = match row.get_ref(at)? {
                    ValueRef::Null => write!(text, "|-"),
                    ValueRef::Integer(number) => write!(text, "|{number}"),
                    ValueRef::Real(number) => write!(text, "|{number}"),
                    // A run that was going when the store was opened again is the same run.
                    ValueRef::Text(b"interrupted") => write!(text, "|running"),
                    ValueRef::Text(bytes) | ValueRef::Blob(bytes) => write!(text, "|{bytes:?}"),
                };
            }
            texts.push(text.replace(&format!("{:?}", b"running"), "running"));
        }
        texts.sort();
        let _ = writeln!(out, "== {name}\n{}", texts.join("\n"));
    }
    Ok(out)
}

/// A closed store in a new place.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// A number from the environment.
pub(crate) fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// The cases of a test out of so many: all of them if there are no more than wanted, else evenly spread, beginning where
/// the seed says.
pub(crate) fn spread(all: u64, wanted: u64) -> impl Iterator<Item = u64> {
    let stride = (all / wanted.max(1)).max(1);
    let first = number("IOCAST_SEED_BASE", 0) % stride;
    (first..all).step_by(usize::try_from(stride).unwrap_or(1))
}

/// SplitMix64.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n.max(1)
    }
}
