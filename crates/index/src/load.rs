//! Rebuilding the index from the store: nothing is allocated per row, and everything is folded once, at the end.
//!
//! The order is: [`Index::load_begin`], then each indicator before its records and what analysts say of it, ids best in
//! ascending order, then [`Index::load_finish`]. Until then nothing may be asked of the index.

use crate::Index;
use crate::columns::{reserve, rounded};
use crate::fold::link_hash;
use intel::{
    Analyst, ConnectionId, Facts, FoldSettings, IndicatorId, IndicatorKey, IndicatorKind, Policies, SourceRecord,
    Timestamp,
};

/// What the index keeps of a record, borrowed from wherever it was read.
#[derive(Debug, Clone, Copy)]
pub struct RecordLite<'a> {
    /// Whose record, and its facts.
    pub facts: Facts,
    /// As stated.
    pub comment: Option<&'a str>,
    /// As stated.
    pub link: Option<&'a str>,
    /// Fingerprints of the rows joined in it, sorted.
    pub contents: &'a [u64],
}

impl Index {
    /// An empty index with room for so many; more may come, and fewer cost only the room.
    pub fn load_begin(policies: Policies, settings: FoldSettings, n_indicators: usize, n_records: usize) -> Index {
        let mut index = Index::new(policies, settings);
        // Ids begin at 1, and a few are missing where something was pruned: a little more than asked for.
        index.indicators.reserve(n_indicators + n_indicators / 64 + 1);
        index.records.reserve(n_records);
        index.stored.reserve_exact(n_indicators + n_indicators / 64 + 1);
        let (keys, columns, values) = (&mut index.keys, &index.indicators, &index.values);
        keys.reserve(n_indicators, |at| {
            crate::key_hash(columns.kind[*at as usize], values.get(columns.value[*at as usize]))
        });
        index
    }

    /// One indicator, with its revision and the hash of its summary as stored (0: unknown, so reported as changed).
    pub fn load_indicator(&mut self, id: IndicatorId, key: &IndicatorKey, revision: u64, summary_hash: u64) {
        self.load_indicator_ref(id, key.kind(), key.value(), revision, summary_hash);
    }

    /// The same with a borrowed value.
    pub fn load_indicator_ref(
        &mut self,
        id: IndicatorId,
        kind: IndicatorKind,
        value: &str,
        revision: u64,
        summary_hash: u64,
    ) {
        let at = id.0 as usize;
        if at == self.indicators.level.len() {
            // The usual case, in order: one push a column.
            self.indicators.grow_to(at + 1);
        }
        self.ensure(id, kind, value);
        self.set_revision(id, revision);
        if self.stored.len() <= at {
            let more = at + 1 - self.stored.len();
            reserve(&mut self.stored, more);
            self.stored.resize(at + 1, 0);
        }
        self.stored[at] = summary_hash;
    }

    /// One record of an indicator that was loaded; of another it is passed over.
    pub fn load_record(&mut self, id: IndicatorId, connection: ConnectionId, record: &SourceRecord) {
        let claim = &record.claim;
        let lite = RecordLite {
            facts: Facts::of(connection, record),
            comment: claim.comment.as_deref(),
            link: claim.link.as_deref(),
            contents: &record.contents,
        };
        self.load_record_ref(id, &lite, claim.tags.iter().map(|tag| &**tag));
    }

    /// The same from borrowed parts, the connection being that of the facts.
    pub fn load_record_ref<'a>(
        &mut self,
        id: IndicatorId,
        record: &RecordLite<'_>,
        tags: impl IntoIterator<Item = &'a str>,
    ) {
        if !self.exists(id) {
            return;
        }
        let mut set = std::mem::take(&mut self.scratch.slots);
        set.clear();
        set.extend(tags.into_iter().map(|tag| self.tags.intern(tag)));
        set.sort_unstable();
        set.dedup();
        let tags = self.tag_sets.intern(&set);
        self.scratch.slots = set;
        let slot = self.slot_for(id.0, record.facts.connection);
        self.records.set_facts(slot, &rounded(record.facts));
        self.records.tags[slot as usize] = tags;
        self.records.comment[slot as usize] = self.comments.intern(record.comment.unwrap_or_default());
        self.records.link[slot as usize] = link_hash(record.link);
        self.records.set_fingerprints(slot, record.contents);
    }

    /// What analysts say of an indicator that was loaded; of another it is passed over.
    pub fn load_analyst(&mut self, id: IndicatorId, analyst: Analyst) {
        if self.exists(id) {
            self.adopt_analyst(id.0, analyst);
        }
    }

    /// Folds everything; the indicators whose summary is not the stored one, in order: they changed by time or policy
    /// while nobody looked.
    pub fn load_finish(&mut self, now: Timestamp) -> Vec<IndicatorId> {
        let stored = std::mem::take(&mut self.stored);
        let mut changed = Vec::new();
        for at in 0..self.indicators.level.len() {
            if self.indicators.level[at] == 0 {
                continue;
            }
            self.refold(at as u32, now);
            let id = IndicatorId(at as u32);
            if stored.get(at).copied().unwrap_or(0) != self.summary_hash(id) {
                changed.push(id);
            }
        }
        changed
    }
}
