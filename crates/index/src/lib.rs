//! Everything known, in memory, in columns: rules, searches, counts and pages over millions of indicators.
//!
//! The index is a follower of the store. It is rebuilt from it at start ([`Index::load_begin`]) and told of each change
//! after it is durable ([`Index::put`] and its like), so that it may be thrown away at any time. It decides nothing: the
//! fold and the meaning of every comparison are `intel`'s, applied here to columns. It reads no clock; the times passed
//! in must not run backwards.
//!
//! What an indicator is held to be is folded when something is written and kept in columns, together with the first
//! moment at which time alone may change it. [`Index::advance`] folds again what is due; a question asked at a later
//! `now` sees what is due as it then is, advanced or not. Expiry is the exception: it is computed on reading, for it
//! moves with every believed run.

mod arena;
mod ask;
mod columns;
mod fold;
mod load;
mod order;
mod select;
mod selection;
mod write;

use crate::arena::{Interned, Sets, Tags, Texts};
use crate::columns::{FREE, Indicators, NONE, Records};
use hashbrown::{HashMap, HashTable};
use intel::{
    Analyst, ConnectionId, Facts, FoldSettings, IndicatorId, IndicatorKey, IndicatorKind, Policies, Timestamp,
};
use xxhash_rust::xxh3::xxh3_64_with_seed;

pub use crate::load::RecordLite;
pub use crate::order::{CountBy, Page, PageCursor, Sort, SortField};
pub use crate::select::{NotShared, Scope, SharedWith};
pub use crate::selection::Selection;

/// One connection's record of one indicator. It keeps its number until the record is removed; numbers are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);

/// One record as the columns hold it: times to the second, and neither link nor text as given, which the store keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRow {
    /// Whose it is.
    pub connection: ConnectionId,
    /// As stated.
    pub facts: Facts,
    /// As stated, sorted.
    pub tags: Vec<String>,
    /// As stated.
    pub comment: Option<String>,
    /// Whether it counts.
    pub active: bool,
    /// When it stops counting; None: never, or its connection has no policy.
    pub expires: Option<Timestamp>,
}

/// Bytes held, by capacity and not by use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryReport {
    /// The canonical values.
    pub values: usize,
    /// One row per indicator.
    pub indicators: usize,
    /// One row per record.
    pub records: usize,
    /// What only few records have.
    pub rare: usize,
    /// Key to position.
    pub keys: usize,
    /// Fingerprint to record.
    pub seen: usize,
    /// Names of tags, sets of tags and of sources.
    pub sets: usize,
    /// Comments.
    pub comments: usize,
    /// Verdicts, notes and tags of analysts; an estimate.
    pub analysts: usize,
}

impl MemoryReport {
    /// The sum of all parts.
    pub fn total(&self) -> usize {
        let MemoryReport { values, indicators, records, rare, keys, seen, sets, comments, analysts } = self;
        values + indicators + records + rare + keys + seen + sets + comments + analysts
    }
}

/// What analysts said about one indicator, with their tags as sets.
#[derive(Debug)]
struct Said {
    analyst: Analyst,
    added: u32,
    removed: u32,
}

/// Everything known. See the crate's page.
#[derive(Debug, Default)]
pub struct Index {
    policies: Policies,
    settings: FoldSettings,
    indicators: Indicators,
    records: Records,
    values: Texts,
    keys: HashTable<u32>,
    comments: Interned,
    tags: Tags,
    tag_sets: Sets,
    source_sets: Sets,
    /// Sightings of the indicators that have any: own, others'.
    hits: HashMap<u32, (u32, u32)>,
    analysts: HashMap<u32, Said>,
    /// The tags of each connection's policy, as a set.
    policy_tags: Vec<u32>,
    /// The hash of each connection's name.
    policy_names: Vec<u64>,
    max_revision: u64,
    /// One more than the highest number that ever was in use.
    id_bound: u32,
    /// No indicator is due before this.
    next_refold: u32,
    /// The summary hashes the store had, by position, while loading.
    stored: Vec<u64>,
    /// Bytes of values and number of interned things that nothing may point to any more.
    wasted_values: usize,
    wasted_texts: usize,
    scratch: fold::Scratch,
}

fn key_hash(kind: u8, value: &str) -> u64 {
    xxh3_64_with_seed(value.as_bytes(), u64::from(kind))
}

impl Index {
    /// An empty one.
    pub fn new(policies: Policies, settings: FoldSettings) -> Index {
        let mut index = Index { settings, next_refold: NONE, ..Index::default() };
        index.adopt_policies(policies);
        index
    }

    /// The policies the fold applies.
    pub fn policies(&self) -> &Policies {
        &self.policies
    }

    /// How many indicators there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many records there are.
    pub fn n_records(&self) -> usize {
        self.records.len()
    }

    /// Whether there is an indicator of this number; one that was pruned is none.
    pub fn exists(&self, id: IndicatorId) -> bool {
        self.indicators.level.get(id.0 as usize).is_some_and(|level| *level != 0)
    }

    /// The number of a key.
    pub fn id(&self, key: &IndicatorKey) -> Option<IndicatorId> {
        self.find(key.kind(), key.value())
    }

    pub(crate) fn find(&self, kind: IndicatorKind, value: &str) -> Option<IndicatorId> {
        let kind = kind as u8;
        let found = self.keys.find(key_hash(kind, value), |at| {
            self.indicators.kind[*at as usize] == kind && self.value_at(*at as usize) == value
        });
        found.map(|at| IndicatorId(*at))
    }

    /// The key of an indicator, borrowed. Of a number that does not exist: an empty URL, which is nobody's key.
    pub fn key_ref(&self, id: IndicatorId) -> (IndicatorKind, &str) {
        if !self.exists(id) {
            return (IndicatorKind::Url, "");
        }
        let at = id.0 as usize;
        (IndicatorKind::from_number(self.indicators.kind[at]).unwrap_or(IndicatorKind::Url), self.value_at(at))
    }

    /// The key of an indicator. Of a number that does not exist: an empty URL, which is nobody's key.
    pub fn key(&self, id: IndicatorId) -> IndicatorKey {
        let (kind, value) = self.key_ref(id);
        IndicatorKey::from_stored(kind, value)
    }

    #[inline]
    fn value_at(&self, at: usize) -> &str {
        self.values.get(self.indicators.value[at])
    }

    /// The record that already holds a row of this fingerprint: such a row is unchanged, if the record is listed.
    #[inline]
    pub fn seen(&self, fingerprint: u64) -> Option<Slot> {
        self.records.seen(fingerprint).map(Slot)
    }

    /// A connection's record of an indicator.
    pub fn slot(&self, id: IndicatorId, connection: ConnectionId) -> Option<Slot> {
        self.list(id.0).find(|slot| self.records.connection[*slot as usize] == connection.0).map(Slot)
    }

    /// Whose record it is, of which indicator. The slot must be one in use.
    pub fn slot_owner(&self, slot: Slot) -> (IndicatorId, ConnectionId) {
        (IndicatorId(self.records.owner(slot.0)), ConnectionId(self.records.connection[slot.0 as usize]))
    }

    /// Whether the source's last believed run had it. The slot must be one in use.
    #[inline]
    pub fn is_listed(&self, slot: Slot) -> bool {
        self.records.marks[slot.0 as usize] & columns::LISTED != 0
    }

    /// All slots are below this, those in use and those free: the length of a table over slots.
    pub fn n_slots(&self) -> usize {
        self.records.connection.len()
    }

    /// All records of a connection, in order of slot.
    pub fn slots_of(&self, connection: ConnectionId) -> impl Iterator<Item = (Slot, IndicatorId)> + '_ {
        let all = self.records.connection.iter().enumerate();
        all.filter(move |(_, owner)| **owner == connection.0 && **owner != FREE)
            .map(|(slot, _)| (Slot(slot as u32), IndicatorId(self.records.owner(slot as u32))))
    }

    /// The slots of an indicator's records, in order of connection.
    fn list(&self, at: u32) -> impl Iterator<Item = u32> + '_ {
        let head = self.indicators.head.get(at as usize).copied().filter(|head| *head != NONE);
        std::iter::successors(head, |slot| self.records.after(*slot))
    }

    /// What analysts said, indicator by indicator, in no order.
    pub fn analysts(&self) -> impl Iterator<Item = (IndicatorId, &Analyst)> {
        self.analysts.iter().map(|(id, said)| (IndicatorId(*id), &said.analyst))
    }

    /// What analysts said; None: nothing.
    pub fn analyst(&self, id: IndicatorId) -> Option<&Analyst> {
        self.analysts.get(&id.0).map(|said| &said.analyst)
    }

    /// The revision of an indicator's last change; 0 if it has none or does not exist.
    pub fn revision(&self, id: IndicatorId) -> u64 {
        if self.exists(id) { self.indicators.revision(id.0 as usize) } else { 0 }
    }

    /// The greatest revision ever set.
    pub fn max_revision(&self) -> u64 {
        self.max_revision
    }

    /// What changed after a revision, in order of revision.
    pub fn changed_since(&self, revision: u64) -> Vec<(u64, IndicatorId)> {
        if revision >= self.max_revision {
            return Vec::new();
        }
        let all = (0..self.indicators.level.len()).filter(|at| self.indicators.level[*at] != 0);
        let mut changed: Vec<(u64, IndicatorId)> = all
            .map(|at| (self.indicators.revision(at), IndicatorId(at as u32)))
            .filter(|(at, _)| *at > revision)
            .collect();
        changed.sort_unstable();
        changed
    }

    /// What the index holds in memory, in bytes.
    pub fn memory(&self) -> MemoryReport {
        let said: usize = self
            .analysts
            .values()
            .map(|said| {
                let tags = said.analyst.tags_added.iter().chain(&said.analyst.tags_removed);
                tags.map(|tag| tag.len() + 32).sum::<usize>() + said.analyst.comment.as_ref().map_or(0, String::len)
            })
            .sum();
        MemoryReport {
            values: self.values.bytes(),
            indicators: self.indicators.bytes(),
            records: self.records.bytes(),
            rare: self.records.side_bytes() + self.hits.capacity() * 8 / 7 * 13,
            keys: self.keys.capacity() * 8 / 7 * 5,
            seen: self.records.seen_bytes(),
            sets: self.tags.bytes() + self.tag_sets.bytes() + self.source_sets.bytes() + self.stored.capacity() * 8,
            comments: self.comments.bytes(),
            analysts: said + self.analysts.capacity() * 8 / 7 * (size_of::<Said>() + 5),
        }
    }
}
