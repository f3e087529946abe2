//! Which come first: pages of a table, the best so many, and how many there are of each.

use crate::columns::*;
use crate::{Index, Selection};
use intel::{ConnectionId, IndicatorId, IndicatorKind, Reputation, Severity, Timestamp, Tlp, VerdictKind};
use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;

/// What a page is sorted by. Equal ones follow in order of number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SortField {
    /// Order of number: the order in which they became known.
    Id,
    /// The canonical value, by its bytes.
    Value,
    /// The kind, in the order of [`IndicatorKind::ALL`].
    Kind,
    /// How bad.
    Reputation,
    /// How much harm.
    Severity,
    /// Nobody's word comes lowest.
    Confidence,
    /// The marking.
    Tlp,
    /// Unknown comes lowest.
    FirstSeen,
    /// Unknown comes lowest.
    LastSeen,
    /// How many connections have an active record.
    Sources,
    /// Sightings, own and others' together.
    Hits,
    /// The last change.
    Revision,
}

/// How a page is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    /// By what.
    pub field: SortField,
    /// Greatest first; those that are equal then too come in descending order of number.
    pub descending: bool,
}

/// Where a page ended: the next one begins after it, whatever was added, changed or removed meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageCursor {
    /// What the last one was sorted by, as a number.
    pub key: u64,
    /// The value, where sorted by value.
    pub text: Option<Box<str>>,
    /// The last one.
    pub id: IndicatorId,
}

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// In the order asked for.
    pub ids: Vec<IndicatorId>,
    /// Where the next page begins; None: there is none.
    pub next: Option<PageCursor>,
}

/// What is counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CountBy {
    /// The kind.
    Kind,
    /// Each connection with an active record; an indicator of two counts for both.
    Source,
    /// Each tag; an indicator of two counts for both.
    Tag,
    /// 1 to 10.
    Reputation,
    /// How much harm.
    Severity,
    /// The marking.
    Tlp,
    /// The verdict as last folded; without one: `none`.
    Verdict,
    /// `active` or `inactive`.
    Active,
}

/// What one is sorted by, and which one it is.
type Ranked = (u64, u32);

/// The least so many after a place, in order. Equal ones follow in the order in which they come, mostly: then the first
/// are the best, and the rest is passed over at a glance.
fn least(
    ids: impl Iterator<Item = IndicatorId>,
    room: usize,
    after: Option<Ranked>,
    item: impl Fn(u32) -> Option<Ranked>,
) -> Vec<Ranked> {
    // Twice as many as are shown are kept before the worse half is dropped; the worst of the best is then the bar that
    // most of the rest does not pass.
    let mut best: Vec<Ranked> = Vec::new();
    let mut bar = (u64::MAX, u32::MAX);
    let mut is_full = false;
    for id in ids {
        let Some(item) = item(id.0) else { continue };
        if is_full && item >= bar || after.is_some_and(|after| item <= after) {
            continue;
        }
        best.push(item);
        if best.len() >= room.saturating_mul(2) {
            best.select_nth_unstable(room - 1);
            best.truncate(room);
            (bar, is_full) = (best.last().copied().unwrap_or(bar), true);
        }
    }
    best.sort_unstable();
    best
}

impl Index {
    /// What ranks an indicator where not all have room: reputation, severity, number of sources, freshness. Freshness
    /// is when it was last seen, else when we first received it from anyone, last.
    pub fn rank_fields(&self, id: IndicatorId) -> (Reputation, Severity, u32, Timestamp) {
        if !self.exists(id) {
            return (Reputation::DEFAULT, Severity::Unknown, 0, Timestamp::EPOCH);
        }
        let at = id.0 as usize;
        let level = self.indicators.level[at];
        let reputation = Reputation::clamped(i64::from(level >> 4));
        (reputation, severity(level), self.n_sources(at), time(self.freshness(at)))
    }

    pub(crate) fn n_sources(&self, at: usize) -> u32 {
        self.source_sets.get(self.indicators.sources[at]).len() as u32
    }

    fn freshness(&self, at: usize) -> u32 {
        match self.indicators.last_seen[at] {
            0 => self.list(at as u32).map(|slot| self.records.received[slot as usize]).max().unwrap_or(0),
            seen => seen,
        }
    }

    /// Level, number of sources, freshness, in one number.
    fn rank(&self, at: usize) -> u64 {
        let sources = u64::from(self.n_sources(at).min(0xffff));
        u64::from(self.indicators.level[at]) << 48 | sources << 32 | u64::from(self.freshness(at))
    }

    /// The best `k`, best first: by reputation, severity, number of sources, freshness, then the lesser key.
    pub fn top_k(&self, selection: &Selection, k: usize) -> Vec<IndicatorId> {
        // Ranking touches several columns; the level alone usually says of most that they are not among the best.
        let mut of_level = [0usize; 256];
        self.live(selection).for_each(|id| of_level[usize::from(self.indicators.level[id.0 as usize])] += 1);
        let mut n = 0;
        let mut least = 255u8;
        while least > 0 && n + of_level[usize::from(least)] < k {
            n += of_level[usize::from(least)];
            least -= 1;
        }
        let enough = self.live(selection).filter(|id| self.indicators.level[id.0 as usize] >= least);
        let mut ranked: Vec<(Reverse<u64>, IndicatorId)> =
            enough.map(|id| (Reverse(self.rank(id.0 as usize)), id)).collect();
        let by_rank = |a: &(Reverse<u64>, IndicatorId), b: &(Reverse<u64>, IndicatorId)| {
            a.0.cmp(&b.0).then_with(|| self.key_ref(a.1).cmp(&self.key_ref(b.1)))
        };
        if k < ranked.len() {
            ranked.select_nth_unstable_by(k, by_rank);
            ranked.truncate(k);
        }
        ranked.sort_unstable_by(by_rank);
        ranked.into_iter().map(|(_, id)| id).collect()
    }

    fn live<'a>(&'a self, selection: &'a Selection) -> impl Iterator<Item = IndicatorId> + 'a {
        selection.iter().filter(|id| self.exists(*id))
    }

    fn sort_key(&self, field: SortField, at: usize) -> u64 {
        let columns = &self.indicators;
        match field {
            SortField::Id | SortField::Value => 0,
            SortField::Kind => columns.kind[at].into(),
            SortField::Reputation => (columns.level[at] >> 4).into(),
            SortField::Severity => (columns.level[at] & 0x0f).into(),
            SortField::Confidence => columns.confidence[at].wrapping_add(1).into(),
            SortField::Tlp => (columns.marks[at] & TLP).into(),
            SortField::FirstSeen => columns.first_seen[at].into(),
            SortField::LastSeen => columns.last_seen[at].into(),
            SortField::Sources => self.n_sources(at).into(),
            SortField::Hits => {
                let (own, others) = self.hits_of(at as u32);
                u64::from(own) + u64::from(others)
            }
            SortField::Revision => columns.revision(at),
        }
    }

    /// One page of a selection, after a cursor given by the page before.
    pub fn page(&self, selection: &Selection, sort: Sort, after: Option<&PageCursor>, limit: usize) -> Page {
        if sort.field == SortField::Value {
            return self.page_by_value(selection, sort.descending, after, limit);
        }
        // The other way round everything is as with all bits turned.
        let turn = |(key, id): Ranked| if sort.descending { (!key, !id) } else { (key, id) };
        let columns = &self.indicators;
        let room = limit.saturating_add(1);
        let after = after.map(|after| turn((after.key, after.id.0)));
        macro_rules! least {
            ($at:ident => $key:expr) => {
                if sort.descending {
                    least(selection.iter_back(), room, after, |id| {
                        let $at = id as usize;
                        self.exists(IndicatorId(id)).then(|| (!u64::from($key), !id))
                    })
                } else {
                    least(selection.iter(), room, after, |id| {
                        let $at = id as usize;
                        self.exists(IndicatorId(id)).then(|| (u64::from($key), id))
                    })
                }
            };
        }
        let mut best = match sort.field {
            SortField::Kind => least!(at => columns.kind[at]),
            SortField::Reputation => least!(at => columns.level[at] >> 4),
            SortField::Severity => least!(at => columns.level[at] & 0x0f),
            SortField::Confidence => least!(at => columns.confidence[at].wrapping_add(1)),
            SortField::Tlp => least!(at => columns.marks[at] & TLP),
            SortField::FirstSeen => least!(at => columns.first_seen[at]),
            SortField::LastSeen => least!(at => columns.last_seen[at]),
            field => least!(at => self.sort_key(field, at)),
        };
        let more = best.len() > limit;
        best.truncate(limit);
        let ids: Vec<Ranked> = best.into_iter().map(turn).collect();
        let next = ids.last().filter(|_| more);
        let next = next.map(|(key, id)| PageCursor { key: *key, text: None, id: IndicatorId(*id) });
        Page { ids: ids.into_iter().map(|(_, id)| IndicatorId(id)).collect(), next }
    }

    fn page_by_value(&self, selection: &Selection, descending: bool, after: Option<&PageCursor>, limit: usize) -> Page {
        type Item<'a> = (&'a str, IndicatorId);
        let directed = |order: Ordering| if descending { order.reverse() } else { order };
        let compare = |a: &Item<'_>, b: &Item<'_>| directed(a.cmp(b));
        let after = after.map(|after| (after.text.as_deref().unwrap_or_default(), after.id));
        let room = limit.saturating_add(1);
        let mut best: Vec<Item<'_>> = Vec::new();
        let mut bar: Option<Item<'_>> = None;
        for id in self.live(selection) {
            let item = (self.value_at(id.0 as usize), id);
            if bar.is_some_and(|bar| compare(&item, &bar).is_ge())
                || after.is_some_and(|after| compare(&item, &after).is_le())
            {
                continue;
            }
            best.push(item);
            if best.len() >= room.saturating_mul(2) {
                best.select_nth_unstable_by(room - 1, compare);
                best.truncate(room);
                bar = best.last().copied();
            }
        }
        best.sort_unstable_by(compare);
        let more = best.len() > limit;
        best.truncate(limit);
        let next = best.last().filter(|_| more);
        let next = next.map(|(text, id)| PageCursor { key: 0, text: Some((*text).into()), id: *id });
        Page { ids: best.into_iter().map(|(_, id)| id).collect(), next }
    }

    /// How many of a selection have each value, most first, then by name. Values nobody has are left out.
    pub fn count_by(&self, selection: &Selection, field: CountBy) -> Vec<(String, u64)> {
        let columns = &self.indicators;
        let mut counts: Vec<(String, u64)> = match field {
            CountBy::Source => self.count_sets(
                selection,
                &columns.sources,
                &self.source_sets,
                self.policies.iter().map(|(id, _)| usize::from(id.0) + 1).max().unwrap_or(0),
                |source| self.policies.get(ConnectionId(source as u16)).map_or(String::new(), |p| p.name.to_string()),
            ),
            CountBy::Tag => self.count_sets(selection, &columns.tags, &self.tag_sets, self.tags.len(), |tag| {
                self.tags.name(tag).to_owned()
            }),
            _ => {
                let of = |at: usize| match field {
                    CountBy::Kind => columns.kind[at],
                    CountBy::Reputation => columns.level[at] >> 4,
                    CountBy::Severity => columns.level[at] & 0x0f,
                    CountBy::Tlp => columns.marks[at] & TLP,
                    CountBy::Verdict => columns.marks[at] >> VERDICT_SHIFT,
                    _ => u8::from(columns.marks[at] & ACTIVE != 0),
                };
                let mut counts = [0u64; 256];
                self.live(selection).for_each(|id| counts[usize::from(of(id.0 as usize))] += 1);
                let name = |value: u8| match field {
                    CountBy::Kind => IndicatorKind::from_number(value).map_or("", IndicatorKind::as_str).to_owned(),
                    CountBy::Reputation => value.to_string(),
                    CountBy::Severity => severity(value).as_str().to_owned(),
                    CountBy::Tlp => tlp(value).map_or("", Tlp::as_str).to_owned(),
                    CountBy::Verdict => verdict(value << VERDICT_SHIFT).map_or("none", VerdictKind::as_str).to_owned(),
                    _ => if value == 1 { "active" } else { "inactive" }.to_owned(),
                };
                (0..=255u8).map(|value| (name(value), counts[usize::from(value)])).collect()
            }
        };
        counts.retain(|(_, n)| *n > 0);
        counts.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        counts
    }

    /// How many each connection has an active record of: the size of [`Index::active_from`] of each. Those of none are
    /// left out.
    pub fn count_by_source(&self) -> BTreeMap<ConnectionId, u64> {
        let mut of_set = vec![0u64; self.source_sets.len()];
        for (set, level) in self.indicators.sources.iter().zip(&self.indicators.level) {
            of_set[*set as usize] += u64::from(*level != 0);
        }
        let mut counts: BTreeMap<ConnectionId, u64> = BTreeMap::new();
        for (set, n) in of_set.iter().enumerate().filter(|(_, n)| **n > 0) {
            for source in self.source_sets.get(set as u32) {
                *counts.entry(ConnectionId(*source as u16)).or_default() += n;
            }
        }
        counts
    }

    /// Counts per distinct set first: there are few of them.
    fn count_sets(
        &self,
        selection: &Selection,
        column: &[u32],
        sets: &crate::arena::Sets,
        n_members: usize,
        name: impl Fn(u32) -> String,
    ) -> Vec<(String, u64)> {
        let mut of_set = vec![0u64; sets.len()];
        self.live(selection).for_each(|id| of_set[column[id.0 as usize] as usize] += 1);
        let mut of_member = vec![0u64; n_members];
        for (set, n) in of_set.iter().enumerate().filter(|(_, n)| **n > 0) {
            for member in sets.get(set as u32) {
                if let Some(count) = of_member.get_mut(*member as usize) {
                    *count += n;
                }
            }
        }
        of_member.iter().enumerate().filter(|(_, n)| **n > 0).map(|(m, n)| (name(m as u32), *n)).collect()
    }
}
