//! A typical rule over everything, counted and streamed, with and without a pattern.

use crate::generate::{self, SOURCES, Said};
use crate::measure::{Sheet, Took, against, rounds};
use crate::world::Fault;
use index::{Index, NotShared, RecordLite, Scope};
use intel::expr::Expr;
use intel::{ConnectionId, FoldSettings, IndicatorId, IndicatorKind, Policies, Policy, Timestamp};

const NOW: Timestamp = Timestamp::from_secs(generate::TODAY);

/// An index over the world, as a start fills it.
pub(crate) fn load_index(n: u32) -> Index {
    let mut policies = Policies::default();
    for source in 0..SOURCES as u16 {
        policies.set(ConnectionId(source + 2), Policy::new(format!("source-{source}")));
    }
    let tags: Vec<String> = (0..generate::TAGS).map(generate::tag_name).collect();
    let records = (0..n).map(|at| generate::sources_of(at).count_ones() as usize).sum();
    let mut index = Index::load_begin(policies, FoldSettings::default(), n as usize, records);
    let mut text = String::new();
    for at in 0..n {
        let kind = generate::value(at, &mut text);
        let id = IndicatorId(at + 1);
        index.load_indicator_ref(id, kind, &text, u64::from(at) + 1, 0);
        let sources = generate::sources_of(at);
        for source in (0..SOURCES).filter(|source| sources >> source & 1 == 1) {
            let said = Said::of(at, source, 0);
            let contents = [generate::mix(u64::from(at) << 8 | u64::from(source), 11)];
            let comment = said.comment.map(generate::comment_text);
            let facts = said.facts(ConnectionId(source as u16 + 2));
            let lite = RecordLite { facts, comment: comment.as_deref(), link: None, contents: &contents };
            index.load_record_ref(id, &lite, said.tags.iter().flatten().map(|tag| &*tags[usize::from(*tag)]));
        }
    }
    index.load_finish(NOW);
    index
}

/// The same question as a loop over three plain columns: what a machine needs at least.
struct Columns {
    kind: Vec<u8>,
    reputation: Vec<u8>,
    last_seen: Vec<u32>,
    values: Vec<u8>,
}

impl Columns {
    fn of(index: &Index) -> Columns {
        let mut columns =
            Columns { kind: Vec::new(), reputation: Vec::new(), last_seen: Vec::new(), values: Vec::new() };
        for id in index.all().iter() {
            let (kind, value) = index.key_ref(id);
            let (reputation, _, _, seen) = index.rank_fields(id);
            columns.kind.push(kind as u8);
            columns.reputation.push(reputation.get());
            columns.last_seen.push(seen.secs() as u32);
            columns.values.extend_from_slice(value.as_bytes());
            columns.values.push(b'\n');
        }
        columns
    }

    fn scan(&self) -> usize {
        let (url, domain) = (IndicatorKind::Url as u8, IndicatorKind::Domain as u8);
        let since = (generate::TODAY - 30 * 86_400) as u32;
        let rows = self.kind.iter().zip(&self.reputation).zip(&self.last_seen);
        rows.filter(|((kind, reputation), seen)| {
            (**kind == url) | (**kind == domain) && **reputation >= 7 && **seen > since
        })
        .count()
    }
}

/// Counts and streams the values a rule selects into a buffer, as a list is written.
fn ask(index: &Index, expr: &Expr, out: &mut Vec<u8>) -> usize {
    let found = index.select(expr, Scope::Active, NOW, &NotShared);
    out.clear();
    for id in found.iter() {
        out.extend_from_slice(index.key_ref(id).1.as_bytes());
        out.push(b'\n');
    }
    found.count()
}

pub(crate) fn run(n: u32, sheet: &mut Sheet) -> Result<(), Fault> {
    let per_million = f64::from(n) / 1e6;
    // The bars of the issue: 20 ms at 1 M, 150 ms at 10 M, with a pattern 150 ms at 1 M; in proportion elsewhere.
    let bar = if n > 5_000_000 { 15.0 * per_million } else { 20.0 * per_million };
    let index = load_index(n);
    let columns = Columns::of(&index);
    let scan = rounds(15, || columns.scan()).1;
    let mut out = Vec::new();
    let copy = rounds(7, || {
        out.clear();
        out.extend_from_slice(&columns.values);
        out.len()
    })
    .1;
    let n_rounds = if n > 2_000_000 { 7 } else { 15 };
    let mut measure = |text: &str, bar: Option<f64>, limit: (&str, Took), sheet: &mut Sheet| -> Result<(), Fault> {
        let expr = Expr::parse(text).map_err(|error| format!("{text}: {error:?}"))?;
        let (count, took) = rounds(n_rounds, || index.select(&expr, Scope::Active, NOW, &NotShared).count());
        sheet.time(format!("count: {text}"), took, bar, Some(limit));
        let (streamed, took) = rounds(n_rounds, || ask(&index, &expr, &mut out));
        assert_eq!(count, streamed, "a count and a stream of one rule differ");
        let bytes = out.len();
        sheet.time(format!("count and stream, {count} found"), took, bar, Some(limit));
        sheet.note(&format!("{bytes} bytes streamed; all values copied: {}", against("memory copy", took, copy)));
        Ok(())
    };
    let typical = "kind in (url, domain) and reputation >= 7 and last_seen > now - 30d and not tag = \"family-7\"";
    measure(typical, Some(bar), ("scan of 3 columns", scan), sheet)?;
    measure("n_sources >= 2 and severity >= medium", Some(bar), ("scan of 3 columns", scan), sheet)?;
    measure("kind in (ipv4, domain, url, md5, sha256)", None, ("scan of 3 columns", scan), sheet)?;
    let pattern = regex_limit(&columns)?;
    let with = format!("{typical} and value matches \"{PATTERN}\"");
    measure(&with, Some(150.0 * per_million), ("one regex over all values", pattern), sheet)?;
    let alone = format!("value matches \"{PATTERN}\"");
    measure(&alone, Some(150.0 * per_million), ("one regex over all values", pattern), sheet)?;
    Ok(())
}

/// As written in a rule.
const PATTERN: &str = r"\\.(ru|top)(/|$)";

/// The same pattern over one text that holds all values.
fn regex_limit(columns: &Columns) -> Result<Took, Fault> {
    let regex = regex::bytes::Regex::new(&format!("(?m){}", PATTERN.replace("\\\\", "\\")))?;
    Ok(rounds(5, || regex.find_iter(&columns.values).count()).1)
}
