//! What the store has made durable, taken over: records, what analysts say, policies, removal.

use crate::columns::*;
use crate::fold::link_hash;
use crate::{Index, Said, Slot, key_hash};
use intel::{
    Analyst, ConnectionId, FoldSettings, IndicatorId, IndicatorKey, IndicatorKind, Policies, SourceRecord, Timestamp,
};

/// Below this much waste, in bytes or texts, an arena is not worth rebuilding.
const MIN_WASTE: usize = 1 << 12;

impl Index {
    /// Takes over a committed record: makes the indicator if it is new, replaces what this connection said before, and
    /// folds. A revision is given where the summary changed; None leaves the one it has.
    ///
    /// An id in use by another key is taken from it: the store is right.
    pub fn put(
        &mut self,
        id: IndicatorId,
        key: &IndicatorKey,
        connection: ConnectionId,
        record: &SourceRecord,
        revision: Option<u64>,
        now: Timestamp,
    ) {
        self.ensure(id, key.kind(), key.value());
        let claim = &record.claim;
        let mut tags: Vec<u32> = claim.tags.iter().map(|tag| self.tags.intern(tag)).collect();
        tags.sort_unstable();
        tags.dedup();
        let tags = self.tag_sets.intern(&tags);
        let comment = self.comments.intern(claim.comment.as_deref().unwrap_or_default());
        let slot = self.slot_for(id.0, connection);
        let at = slot as usize;
        self.records.set_facts(slot, &facts_of(connection, record));
        self.records.tags[at] = tags;
        if self.records.comment[at] != comment {
            self.wasted_texts += usize::from(self.records.comment[at] != 0);
            self.records.comment[at] = comment;
        }
        self.records.link[at] = link_hash(claim.link.as_deref());
        self.records.set_fingerprints(slot, &record.contents);
        if let Some(revision) = revision {
            self.set_revision(id, revision);
        }
        self.refold(id.0, now);
        self.tidy();
    }

    /// Sets whether the source's last believed run had a record. The slot must be one in use.
    pub fn set_listed(&mut self, slot: Slot, listed: bool, now: Timestamp) {
        let marks = &mut self.records.marks[slot.0 as usize];
        if (*marks & LISTED != 0) != listed {
            *marks ^= LISTED;
            self.refold(self.records.owner(slot.0), now);
        }
    }

    /// Takes over what analysts say of an indicator that exists.
    pub fn set_analyst(&mut self, id: IndicatorId, analyst: Analyst, revision: Option<u64>, now: Timestamp) {
        if !self.exists(id) {
            return;
        }
        self.adopt_analyst(id.0, analyst);
        if let Some(revision) = revision {
            self.set_revision(id, revision);
        }
        self.refold(id.0, now);
    }

    pub(crate) fn adopt_analyst(&mut self, at: u32, analyst: Analyst) {
        if analyst.is_empty() {
            self.analysts.remove(&at);
            return;
        }
        let mut set = |tags: &std::collections::BTreeSet<String>| {
            let mut tags: Vec<u32> = tags.iter().map(|tag| self.tags.intern(tag)).collect();
            tags.sort_unstable();
            self.tag_sets.intern(&tags)
        };
        let (added, removed) = (set(&analyst.tags_added), set(&analyst.tags_removed));
        self.analysts.insert(at, Said { analyst, added, removed });
    }

    /// Sets the revision of an indicator that exists. At most 2^40 - 1.
    pub fn set_revision(&mut self, id: IndicatorId, revision: u64) {
        if self.exists(id) {
            self.indicators.set_revision(id.0 as usize, revision);
            self.max_revision = self.max_revision.max(revision);
        }
    }

    /// Notes that a revision was given to what is no indicator any more.
    pub fn note_revision(&mut self, revision: u64) {
        self.max_revision = self.max_revision.max(revision);
    }

    /// Forgets an indicator and all its records. Its number stays empty until the store gives it out again.
    pub fn remove(&mut self, id: IndicatorId) {
        if !self.exists(id) {
            return;
        }
        let slots: Vec<u32> = self.list(id.0).collect();
        for slot in slots {
            self.release(slot);
        }
        let at = id.0 as usize;
        let hash = key_hash(self.indicators.kind[at], self.value_at(at));
        self.wasted_values += self.value_at(at).len() + 4;
        if let Ok(entry) = self.keys.find_entry(hash, |other| *other == id.0) {
            entry.remove();
        }
        self.hits.remove(&id.0);
        self.analysts.remove(&id.0);
        let columns = &mut self.indicators;
        columns.head[at] = NONE;
        columns.level[at] = 0;
        columns.marks[at] = 0;
        columns.tags[at] = 0;
        columns.sources[at] = 0;
        columns.leader[at] = NO_LEADER;
        columns.refold_at[at] = NONE;
        columns.set_revision(at, 0);
        self.tidy();
    }

    /// Forgets all records of a connection; the indicators whose summary changed, in order. Indicators stay, with
    /// whatever records are left.
    pub fn remove_records_of(&mut self, connection: ConnectionId, now: Timestamp) -> Vec<IndicatorId> {
        let all: Vec<(Slot, IndicatorId)> = self.slots_of(connection).collect();
        let mut changed = Vec::new();
        for (slot, id) in all {
            let before = self.summary_hash(id);
            self.unlink(id.0, slot.0);
            self.release(slot.0);
            self.refold(id.0, now);
            if self.summary_hash(id) != before {
                changed.push(id);
            }
        }
        changed.sort_unstable();
        self.tidy();
        changed
    }

    /// Replaces policies and settings, and folds again what they touch; the indicators whose summary changed, in order.
    pub fn set_policies(&mut self, policies: Policies, settings: FoldSettings, now: Timestamp) -> Vec<IndicatorId> {
        let mut touched = self.touched_by(&policies, settings);
        touched.retain(|at| self.indicators.level[*at as usize] != 0);
        let before: Vec<u64> = touched.iter().map(|at| self.summary_hash(IndicatorId(*at))).collect();
        self.settings = settings;
        self.adopt_policies(policies);
        let mut changed = Vec::new();
        for (at, before) in touched.into_iter().zip(before) {
            self.refold(at, now);
            if self.summary_hash(IndicatorId(at)) != before {
                changed.push(IndicatorId(at));
            }
        }
        changed
    }

    /// Positions of what other policies or settings could change, in order.
    fn touched_by(&self, policies: &Policies, settings: FoldSettings) -> Vec<u32> {
        if settings != self.settings {
            return (0..self.indicators.level.len() as u32).collect();
        }
        let differs: Vec<bool> =
            (0..=u16::MAX).map(|id| policies.get(ConnectionId(id)) != self.policies.get(ConnectionId(id))).collect();
        let slots =
            self.records.connection.iter().enumerate().filter(|(_, id)| **id != FREE && differs[usize::from(**id)]);
        let mut touched: Vec<u32> = slots.map(|(slot, _)| self.records.owner(slot as u32)).collect();
        if differs[usize::from(ConnectionId::MANUAL.0)] {
            touched.extend(self.analysts.keys());
        }
        touched.sort_unstable();
        touched.dedup();
        touched
    }

    /// Notes that a run of a connection, begun at `at`, is believed: what it lists is as fresh as that. Expiry is
    /// computed on reading and moves at once. What had already expired and lives again is folded by the next
    /// [`Index::advance`], which reports it. An earlier time than the one known changes nothing.
    pub fn believed(&mut self, connection: ConnectionId, at: Timestamp) {
        let Some(policy) = self.policies.get_mut(connection) else { return };
        let before = policy.last_believed;
        if before.is_some_and(|before| at <= before) {
            return;
        }
        policy.last_believed = Some(at);
        let Some(aging) = policy.aging else { return };
        if !policy.complete || before.is_some_and(|before| before.after(aging) > at) {
            return;
        }
        // Nothing was believed for a whole life of a record: those that ran out meanwhile may live again.
        let mut revived = Vec::new();
        for (slot, id) in self.slots_of(connection) {
            let sources = self.indicators.sources[id.0 as usize];
            let counts = self.source_sets.get(sources).binary_search(&u32::from(connection.0)).is_ok();
            if !counts && self.is_listed(slot) {
                revived.push(id);
            }
        }
        for id in revived {
            self.indicators.refold_at[id.0 as usize] = 0;
            self.next_refold = 0;
        }
    }

    /// Makes the indicator exist under this number.
    pub(crate) fn ensure(&mut self, id: IndicatorId, kind: IndicatorKind, value: &str) {
        debug_assert!(id.0 < END, "half the numbers mark the ends of lists");
        let at = id.0 as usize;
        if self.exists(id) {
            if self.key_ref(id) == (kind, value) {
                return;
            }
            self.remove(id);
        }
        if let Some(other) = self.find(kind, value) {
            self.remove(other);
        }
        self.indicators.grow_to(at + 1);
        self.id_bound = self.id_bound.max(id.0 + 1);
        self.indicators.kind[at] = kind as u8;
        self.indicators.value[at] = self.values.push(value);
        self.indicators.level[at] = level(Some(intel::Reputation::DEFAULT), intel::Severity::Unknown);
        let (keys, columns, values) = (&mut self.keys, &self.indicators, &self.values);
        keys.insert_unique(key_hash(kind as u8, value), id.0, |at| {
            key_hash(columns.kind[*at as usize], values.get(columns.value[*at as usize]))
        });
    }

    /// The slot of a connection's record, made and put in its place in the list if there is none.
    pub(crate) fn slot_for(&mut self, at: u32, connection: ConnectionId) -> u32 {
        let mut before = NONE;
        for slot in self.list(at) {
            match self.records.connection[slot as usize].cmp(&connection.0) {
                std::cmp::Ordering::Less => before = slot,
                std::cmp::Ordering::Equal => return slot,
                std::cmp::Ordering::Greater => break,
            }
        }
        let slot = self.records.take();
        self.records.connection[slot as usize] = connection.0;
        self.records.comment[slot as usize] = 0;
        if before == NONE {
            let head = std::mem::replace(&mut self.indicators.head[at as usize], slot);
            self.records.next[slot as usize] = if head == NONE { END | at } else { head };
        } else {
            self.records.next[slot as usize] = std::mem::replace(&mut self.records.next[before as usize], slot);
        }
        slot
    }

    fn unlink(&mut self, at: u32, slot: u32) {
        let next = self.records.next[slot as usize];
        let before = self.list(at).find(|other| self.records.next[*other as usize] == slot);
        match before {
            Some(before) => self.records.next[before as usize] = next,
            None => self.indicators.head[at as usize] = if next & END == 0 { next } else { NONE },
        }
    }

    fn release(&mut self, slot: u32) {
        self.wasted_texts += usize::from(self.records.comment[slot as usize] != 0);
        self.records.comment[slot as usize] = 0;
        self.records.release(slot);
    }

    /// Rebuilds an arena of which about half is waste, so that churn does not fill the memory.
    fn tidy(&mut self) {
        if self.wasted_texts > MIN_WASTE.max(self.comments.len() / 2) {
            let old = std::mem::take(&mut self.comments);
            for (comment, connection) in self.records.comment.iter_mut().zip(&self.records.connection) {
                *comment = if *connection == FREE { 0 } else { self.comments.intern(old.get(*comment)) };
            }
            self.wasted_texts = 0;
        }
        if self.wasted_values > (MIN_WASTE << 6).max(self.values.bytes() / 2) {
            let old = std::mem::take(&mut self.values);
            for (value, level) in self.indicators.value.iter_mut().zip(&self.indicators.level) {
                if *level != 0 {
                    *value = self.values.push(old.get(*value));
                }
            }
            self.wasted_values = 0;
        }
        // Every record and every indicator has one set; far more sets than that are of the past.
        if self.tag_sets.len() > MIN_WASTE.max(4 * (self.records.len() + self.len())) {
            let old = std::mem::take(&mut self.tag_sets);
            let mut move_set = |set: &mut u32| *set = self.tag_sets.intern(old.get(*set));
            self.policy_tags.iter_mut().for_each(&mut move_set);
            for said in self.analysts.values_mut() {
                move_set(&mut said.added);
                move_set(&mut said.removed);
            }
            let records = self.records.tags.iter_mut().zip(&self.records.connection);
            records.for_each(|(set, connection)| if *connection == FREE { *set = 0 } else { move_set(set) });
            let columns = &mut self.indicators;
            let indicators = columns.tags.iter_mut().zip(&columns.level);
            indicators.for_each(|(set, level)| if *level == 0 { *set = 0 } else { move_set(set) });
        }
    }
}
