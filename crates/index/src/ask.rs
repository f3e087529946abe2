//! Small questions about one indicator, and what retention needs.

use crate::Index;
use crate::columns::{NONE, tlp};
use intel::{Analyst, FoldSettings, IndicatorId, IndicatorKey, Timestamp, Tlp};

impl Index {
    /// The settings the fold applies.
    pub fn settings(&self) -> FoldSettings {
        self.settings
    }

    /// One more than the highest number given out.
    pub fn id_bound(&self) -> u32 {
        u32::try_from(self.indicators.level.len()).unwrap_or(NONE)
    }

    /// The marking of an indicator, as last folded; the default for a number that does not exist.
    pub fn tlp(&self, id: IndicatorId) -> Tlp {
        let marks = self.indicators.marks.get(id.0 as usize).copied();
        marks.and_then(tlp).unwrap_or(self.settings.default_tlp)
    }

    /// Takes in an indicator of which there is no record yet, so that a person can speak about it.
    pub fn add_bare(&mut self, id: IndicatorId, key: &IndicatorKey, revision: u64, now: Timestamp) {
        self.load_indicator(id, key, revision, 0);
        self.stored.clear();
        self.refold(id.0, now);
    }

    /// The hash of the summary that an analyst's word would lead to.
    pub fn summary_hash_with(&mut self, id: IndicatorId, analyst: &Analyst, now: Timestamp) -> u64 {
        let before = self.analyst(id).cloned().unwrap_or_default();
        let revision = self.revision(id);
        self.set_analyst(id, analyst.clone(), None, now);
        let hash = self.summary_hash(id);
        self.set_analyst(id, before, Some(revision), now);
        hash
    }

    /// Indicators that are not active at `now` and were not since before `since`: nothing about them was received,
    /// seen or due to expire later than that.
    pub fn inactive_since(&self, since: Timestamp, now: Timestamp) -> Vec<IndicatorId> {
        let active = self.active();
        let old = |id: &IndicatorId| {
            self.analyst(*id).is_none_or(Analyst::is_empty)
                && self.records(*id, now).iter().all(|row| {
                    let facts = &row.facts;
                    !row.active
                        && facts.received < since
                        && facts.last_seen.is_none_or(|t| t < since)
                        && facts.valid_from.is_none_or(|t| t < since)
                        && row.expires.is_none_or(|t| t < since || facts.retracted || !facts.listed || facts.echo)
                })
        };
        self.all().iter().filter(|id| !active.contains(*id)).filter(old).collect()
    }
}
