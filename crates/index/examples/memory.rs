//! Fills an index with synthetic indicators and prints what it holds and how long questions take.
//!
//! `cargo run --release -p index --example memory [indicators]`
// Printing and measuring is what the example is for.
#![allow(clippy::print_stdout, clippy::disallowed_methods)]

use index::{CountBy, Index, NotShared, RecordLite, Scope, Sort, SortField};
use intel::expr::Expr;
use intel::{
    ConnectionId, Facts, FoldSettings, IndicatorId, IndicatorKind, Policies, Policy, Reputation, Severity, Timestamp,
    Tlp,
};
use std::fmt::Write as _;
use std::time::Instant;

const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);
const SOURCES: u64 = 8;

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// Values of 41 bytes in the mean.
fn value(rng: &mut Rng, out: &mut String) -> IndicatorKind {
    out.clear();
    let (a, b) = (rng.next(), rng.next());
    let _ = match a % 20 {
        0..4 => write!(out, "{}.{}.{}.{}", a >> 56, a >> 48 & 255, a >> 40 & 255, a >> 32 & 255),
        4..8 => write!(out, "{:x}.host{}.example.{}", b, a >> 60, ["com", "net", "ru"][(b % 3) as usize]),
        8..15 => {
            write!(out, "https://www{}.{b:x}.example.{}/p/{:x}.php", a >> 60, ["com", "net", "ru"][(b % 3) as usize], a)
        }
        15..18 => write!(out, "{a:016x}{b:016x}"),
        _ => write!(out, "{a:016x}{b:016x}{:016x}{:016x}", a ^ b, a.wrapping_add(b)),
    };
    match a % 20 {
        0..4 => IndicatorKind::Ipv4,
        4..8 => IndicatorKind::Domain,
        8..15 => IndicatorKind::Url,
        15..18 => IndicatorKind::Md5,
        _ => IndicatorKind::Sha256,
    }
}

fn facts(rng: &mut Rng, connection: u16) -> Facts {
    let day = 24 * 3600;
    let last = NOW.secs() - rng.below(80 * day) as i64;
    Facts {
        connection: ConnectionId(connection),
        reputation: (rng.below(2) == 0).then(|| Reputation::clamped(rng.below(10) as i64 + 1)),
        confidence: (rng.below(2) == 0).then(|| rng.below(101) as u8),
        severity: Severity::ALL[rng.below(5) as usize],
        tlp: (rng.below(5) == 0).then_some(Tlp::Amber),
        first_seen: (rng.below(3) == 0).then(|| Timestamp::from_secs(last - rng.below(100 * day) as i64)),
        last_seen: (rng.below(3) != 0).then(|| Timestamp::from_secs(last)),
        valid_from: None,
        expires_at: (rng.below(50) == 0).then(|| Timestamp::from_secs(NOW.secs() + rng.below(9 * day) as i64)),
        received: Timestamp::from_secs(last),
        retracted: false,
        listed: rng.below(50) != 0,
        echo: false,
        internal_hits: u32::from(rng.below(200) == 0),
        external_hits: 0,
    }
}

/// Facts, tags, comment, fingerprint.
type Record = (Facts, Vec<usize>, Option<usize>, u64);
type Row = (IndicatorKind, String, Vec<Record>);

/// Time this thread had a processor, which is the figure to read on a busy machine. 0 where Linux does not tell.
fn cpu_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

fn timed<T>(what: &str, run: impl FnOnce() -> T) -> T {
    let (begun, cpu) = (Instant::now(), cpu_ns());
    let result = run();
    let (wall, cpu) = (begun.elapsed().as_secs_f64() * 1e3, (cpu_ns() - cpu) as f64 / 1e6);
    println!("{what:<86} {cpu:>9.2} ms of CPU, {wall:>9.2} ms in all");
    result
}

fn main() {
    let n: u32 = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let mut policies = Policies::default();
    for source in 0..SOURCES as u16 {
        policies.set(ConnectionId(source + 1), Policy::new(format!("source-{source}")));
    }
    let tags: Vec<String> = (0..300).map(|tag| format!("family-{tag}")).collect();
    let comments: Vec<String> = (0..5000).map(|n| format!("reported by analyst {n} as part of a campaign")).collect();

    // The rows are made first, so that the time of the load is that of the load.
    let mut rng = Rng(1);
    let (mut text, mut bytes, mut n_records) = (String::new(), 0, 0);
    let mut rows: Vec<Row> = Vec::with_capacity(n as usize);
    for _ in 0..n {
        let kind = value(&mut rng, &mut text);
        let count = if rng.below(10) < 7 { 1 } else { 2 + u64::from(rng.below(3) == 0) };
        let first = rng.below(SOURCES);
        let records: Vec<Record> = (0..count)
            .map(|more| {
                let connection = ((first + more * 3) % SOURCES) as u16 + 1;
                let label = |rng: &mut Rng| (rng.next().trailing_zeros() as usize * 7 + rng.below(7) as usize) % 300;
                let labels = (0..rng.below(4)).map(|_| label(&mut rng)).collect();
                let comment = (rng.below(3) == 0).then(|| rng.below(5000) as usize);
                (facts(&mut rng, connection), labels, comment, rng.next())
            })
            .collect();
        bytes += text.len();
        n_records += records.len();
        rows.push((kind, text.clone(), records));
    }
    println!("{n} indicators, {n_records} records, mean value {:.1} bytes", bytes as f64 / f64::from(n));

    timed("reading the rows alone, which the load below does too", || {
        let labels = |record: &Record| record.1.iter().map(|label| tags[*label].len()).sum::<usize>();
        rows.iter().map(|row| row.1.len() + row.2.iter().map(labels).sum::<usize>()).sum::<usize>()
    });
    let mut index = timed("load: indicators and records", || {
        let mut index = Index::load_begin(policies.clone(), FoldSettings::default(), n as usize, n_records);
        for (at, (kind, value, records)) in rows.iter().enumerate() {
            let id = IndicatorId(at as u32 + 1);
            index.load_indicator_ref(id, *kind, value, at as u64 + 1, 0);
            for (facts, labels, comment, fingerprint) in records {
                let contents = [*fingerprint];
                let comment = comment.map(|comment| &*comments[comment]);
                let record = RecordLite { facts: *facts, comment, link: None, contents: &contents };
                index.load_record_ref(id, &record, labels.iter().map(|label| &*tags[*label]));
            }
        }
        index
    });
    timed("load: fold everything", || index.load_finish(NOW));

    let memory = index.memory();
    println!("\n{memory:#?}");
    println!("{:.1} MB per million indicators\n", memory.total() as f64 / f64::from(n));

    let fingerprints: Vec<u64> = rows.iter().flat_map(|row| row.2.iter().map(|record| record.3)).collect();
    drop(rows);
    // The allocator tidies up after so many small pieces at the next large one: not the index's doing.
    drop(std::hint::black_box(vec![1u8; 1 << 16]));
    let seen = timed(&format!("seen: {} probes", fingerprints.len()), || {
        fingerprints
            .iter()
            .filter(|fingerprint| index.seen(**fingerprint).is_some_and(|slot| index.is_listed(slot)))
            .count()
    });
    println!("    {seen} unchanged");

    for text in [
        "kind in (url, domain) and reputation >= 7 and not tag = \"family-7\"",
        "source in (\"source-1\", \"source-2\") and severity >= high and last_seen > now - 14d",
        "n_sources >= 2 and tlp <= amber and (confidence > 60 or tag like \"family-1*\")",
        "expires_at < now + 2d",
        "age < 30d",
        "record(source = \"source-1\" and reputation >= 8)",
        "comment contains \"analyst 77\"",
        "under \"example.ru\"",
        "value contains \"www7\"",
        "value matches \"^https?://[^/]*\\\\.ru/\"",
        "value in (\"a.example\", \"b.example\")",
    ] {
        match Expr::parse(text) {
            Ok(expr) => {
                let found = timed(text, || index.select(&expr, Scope::Active, NOW, &NotShared));
                println!("    {} found", found.count());
            }
            Err(error) => println!("{text}: {error:?}"),
        }
    }
    let all = index.active();
    let sort = Sort { field: SortField::LastSeen, descending: true };
    let page = timed("page of 50 by last_seen", || index.page(&all, sort, None, 50));
    timed("the next page", || index.page(&all, sort, page.next.as_ref(), 50));
    let by_value = Sort { field: SortField::Value, descending: false };
    timed("page of 50 by value", || index.page(&all, by_value, None, 50));
    timed("top 100,000", || index.top_k(&all, 100_000));
    timed("count by tag", || index.count_by(&all, CountBy::Tag));
    timed("count by kind", || index.count_by(&all, CountBy::Kind));
    timed("changed since (last 10,000)", || index.changed_since(u64::from(n) - 10_000));
    timed("stream ids and keys", || all.iter().map(|id| index.key_ref(id).1.len()).sum::<usize>());
    let changed = timed("advance by one day", || index.advance(NOW.after(intel::DAY)));
    println!("    {} changed", changed.len());
}
