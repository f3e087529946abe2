//! Small questions about one indicator, and what retention needs.

use crate::Index;
use crate::columns::{ACTIVE, MUTED, secs, tlp};
use crate::fold::Incoming;
use intel::{Analyst, FoldSettings, IndicatorId, IndicatorKey, Timestamp, Tlp};

impl Index {
    /// The settings the fold applies.
    pub fn settings(&self) -> FoldSettings {
        self.settings
    }

    /// One more than the highest number that was ever in use here, pruned ones included. The store remembers those that
    /// were pruned before this start.
    pub fn id_bound(&self) -> u32 {
        self.id_bound
    }

    /// The marking of an indicator, as last folded; the default for a number that does not exist.
    pub fn tlp(&self, id: IndicatorId) -> Tlp {
        let marks = self.indicators.marks.get(id.0 as usize).copied();
        marks.and_then(tlp).unwrap_or(self.settings.default_tlp)
    }

    /// Whether [`Index::advance`] has anything to fold at `now`.
    pub fn is_due(&self, now: Timestamp) -> bool {
        secs(now) >= self.next_refold
    }

    /// Whether an indicator is active, as last folded.
    pub fn is_active(&self, id: IndicatorId) -> bool {
        self.marked(id, ACTIVE)
    }

    /// Whether an analyst muted an indicator.
    pub fn is_muted(&self, id: IndicatorId) -> bool {
        self.marked(id, MUTED)
    }

    fn marked(&self, id: IndicatorId, mark: u8) -> bool {
        self.exists(id) && self.indicators.marks[id.0 as usize] & mark != 0
    }

    /// Takes in an indicator of which there is no record yet, so that a person can speak about it.
    pub fn add_bare(&mut self, id: IndicatorId, key: &IndicatorKey, revision: u64, now: Timestamp) {
        self.ensure(id, key.kind(), key.value());
        self.set_revision(id, revision);
        self.refold(id.0, now);
    }

    /// The hash of the summary that an analyst's word would lead to.
    pub fn summary_hash_with(&self, id: IndicatorId, analyst: &Analyst, now: Timestamp) -> u64 {
        self.hash_after(Some(id.0), Incoming::Said(analyst), now)
    }

    /// Indicators that are not active at `now` and were not since before `since`: nothing about them was received,
    /// seen or due to expire later than that.
    pub fn inactive_since(&self, since: Timestamp, now: Timestamp) -> Vec<IndicatorId> {
        let is_old = |slot: u32| {
            let facts = self.records.facts(slot);
            let policy = self.policies.get(facts.connection);
            let expired = || policy.and_then(|policy| facts.expires(policy)).is_none_or(|expires| expires < since);
            !policy.is_some_and(|policy| facts.is_active(policy, now))
                && facts.received < since
                && facts.last_seen.is_none_or(|time| time < since)
                && facts.valid_from.is_none_or(|time| time < since)
                && (facts.retracted || !facts.listed || facts.echo || expired())
        };
        let mut inactive = self.all();
        inactive.and_not(&self.active());
        inactive.iter().filter(|id| self.analyst(*id).is_none() && self.list(id.0).all(is_old)).collect()
    }
}
