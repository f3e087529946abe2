//! Which jobs may run beside which: what hangs keeps nobody else waiting.
//!
//! Pulls and passes have lanes of their own, so that no source, however slow, delays what is taken back from a firewall.
//! In a lane so many jobs run at once; one that has run for long is not counted any more, up to a bound on all, because
//! it waits for somebody else and not for us.

use crate::runner::Job;
use intel::Timestamp;
use std::time::Duration;

/// A job that runs for longer than this makes room for another one.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Jobs of one lane that run at once, those that make room included.
pub const LANE_MOST: usize = 16;

/// A sort of jobs that compete with each other, and with no other sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    Pulls,
    Passes,
    /// What destinations hold is read back.
    Readings,
    /// People are told.
    Tellings,
    /// What the exchange does for itself.
    Own,
}

impl Lane {
    pub(crate) fn of(job: Job) -> Lane {
        match job {
            Job::Pull(_) => Lane::Pulls,
            Job::Share(_) => Lane::Passes,
            Job::Verify(_) => Lane::Readings,
            Job::Tell => Lane::Tellings,
            Job::Expire | Job::Prune => Lane::Own,
        }
    }

    /// Is there room for one more beside those that run, given when each of them started?
    pub(crate) fn has_room(started: impl Iterator<Item = Timestamp>, workers: usize, now: Timestamp) -> bool {
        let (mut fresh, mut all) = (0, 0);
        for at in started {
            all += 1;
            fresh += usize::from(now.since(at) <= PATIENCE);
        }
        fresh < workers && all < LANE_MOST.max(workers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hangs_makes_room() {
        let now = Timestamp::from_secs(1_000);
        let ages = |ages: &[u64]| ages.iter().map(|age| now.before(Duration::from_secs(*age))).collect::<Vec<_>>();
        for (running, room) in [
            (vec![], true),
            (vec![0, 0, 0], true),
            (vec![0, 0, 0, 0], false),
            (vec![0, 10, 30, 30], false),
            (vec![0, 0, 0, 31], true),
            (vec![31; 15], true),
            (vec![31; 16], false),
            // A clock that went back says nothing about how long.
            (vec![0; 4], false),
        ] {
            assert_eq!(Lane::has_room(ages(&running).into_iter(), 4, now), room, "{running:?}");
        }
    }
}
