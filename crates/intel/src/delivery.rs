//! How runs and plans are counted and named. Every run balances, and a run that left something undone is no success.

use crate::sharing::words;

words!(
    /// How a pass over a target ended.
    ShareStatus {
        /// Everything planned was accepted.
        Success = "success",
        /// Something was refused, or its outcome is not known.
        Partial = "partial",
        /// Something waits for a person.
        Held = "held",
        /// Nothing was sent because nobody asked for it to be.
        DryRun = "dry_run",
        /// Nothing was sent because the exchange is frozen.
        Frozen = "frozen",
        /// The pass could not be made.
        Failed = "failed",
    }
);

words!(
    /// Where a held plan stands.
    PlanStatus {
        /// Waits for a person.
        Waiting = "waiting",
        /// Its steps are allowed for 24 hours.
        Approved = "approved",
        /// A person said no.
        Rejected = "rejected",
        /// A newer pass replaced it before anybody answered.
        Replaced = "replaced",
        /// Every step of it was done, or is no longer valid.
        Done = "done",
        /// The 24 hours are over.
        Lapsed = "lapsed",
    }
);

words!(
    /// What sort of job a run was.
    RunKind {
        /// Reading a source.
        Pull = "pull",
        /// A pass over a target.
        Share = "share",
        /// Reading back what a target holds.
        Verify = "verify",
        /// Taking what a target holds for what the ledger says, by a person's word.
        Adopt = "adopt",
        /// Noting what time has changed.
        Expire = "expire",
        /// Removing what retention does not keep.
        Prune = "prune",
    }
);

/// The counts of a pass over a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Counts {
    /// Planned to be sent.
    pub push: u64,
    /// Planned to be sent again with what changed.
    pub update: u64,
    /// Planned to be taken back.
    pub retract: u64,
    /// As they should be.
    pub leave: u64,
    /// Not done, with a reason each.
    pub skip: u64,
    /// Of the planned: the destination did it.
    pub accepted: u64,
    /// Of the planned: the destination would not.
    pub refused: u64,
    /// Of the planned: the outcome is not known.
    pub unknown: u64,
    /// Of the planned: not tried; held, frozen, or the pass ended before.
    pub deferred: u64,
}

impl Counts {
    /// Effects planned.
    pub fn planned(&self) -> u64 {
        self.push + self.update + self.retract
    }

    /// Whether every planned effect has exactly one outcome.
    pub fn balances(&self) -> bool {
        self.planned() == self.accepted + self.refused + self.unknown + self.deferred
    }

    /// The status of a pass that was made and sent what it could: held before partial, because it needs a person.
    pub fn status(&self) -> ShareStatus {
        if self.deferred > 0 {
            ShareStatus::Held
        } else if self.refused > 0 || self.unknown > 0 {
            ShareStatus::Partial
        } else {
            ShareStatus::Success
        }
    }
}

/// The counts of a pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct PullCounts {
    /// Candidate rows of a supported kind.
    pub read: u64,
    /// Of these: keys this connection had no record of.
    pub new: u64,
    /// Of these: records that changed.
    pub changed: u64,
    /// Of these: nothing new, repeats inside the run included.
    pub unchanged: u64,
    /// Of these: no canonical key.
    pub rejected: u64,
    /// Beside them: not an indicator, unsupported kind, out of range, to_ids off, unmappable.
    pub filtered: u64,
}

impl PullCounts {
    /// Whether every candidate row has exactly one outcome.
    pub fn balances(&self) -> bool {
        self.read == self.new + self.changed + self.unchanged + self.rejected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undone_is_no_success() {
        let done = Counts { push: 2, update: 1, retract: 1, accepted: 4, leave: 9, skip: 3, ..Counts::default() };
        let cases = [
            (done, ShareStatus::Success),
            (Counts { accepted: 3, refused: 1, ..done }, ShareStatus::Partial),
            (Counts { accepted: 3, unknown: 1, ..done }, ShareStatus::Partial),
            (Counts { accepted: 3, deferred: 1, ..done }, ShareStatus::Held),
            (Counts { accepted: 2, refused: 1, deferred: 1, ..done }, ShareStatus::Held),
        ];
        for (counts, expect) in cases {
            assert!(counts.balances(), "{counts:?}");
            assert_eq!(counts.status(), expect);
        }
        assert!(!Counts { push: 1, ..Counts::default() }.balances());
        assert!(PullCounts { read: 4, new: 1, changed: 1, unchanged: 1, rejected: 1, filtered: 7 }.balances());
        assert!(!PullCounts { read: 1, filtered: 1, ..PullCounts::default() }.balances());
    }

    #[test]
    fn words_read_what_they_print() {
        assert!(ShareStatus::ALL.iter().all(|s| ShareStatus::parse(s.as_str()) == Some(*s)));
        assert!(PlanStatus::ALL.iter().all(|s| PlanStatus::parse(s.as_str()) == Some(*s)));
        assert!(RunKind::ALL.iter().all(|s| RunKind::parse(s.as_str()) == Some(*s)));
        assert_eq!(ShareStatus::DryRun.to_string(), "dry_run");
    }
}
