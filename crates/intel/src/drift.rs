//! What a reading of a destination may mean: when an entry of ours that is not in it is really gone.
//!
//! A destination that answers with nothing, or with half of what we put there, is more often broken than emptied by
//! somebody. Nothing is concluded from such an answer until a person says that it is true.

use crate::limits;
use crate::time::Timestamp;
use std::fmt;
use std::time::Duration;

/// Why nothing is concluded from a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Doubt {
    /// The answer was cut, or the destination counts more than it gave.
    NotWhole,
    /// Nothing of what should be there is.
    Empty {
        /// So many should be.
        expected: u64,
    },
    /// At most half of what should be there is.
    Shrunk {
        /// So many should be.
        expected: u64,
        /// So many are.
        found: u64,
    },
}

impl Doubt {
    /// Whether a person can say that it is true all the same.
    pub fn can_be_believed(self) -> bool {
        self != Doubt::NotWhole
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Doubt::NotWhole => f.write_str("the destination did not hand over everything"),
            Doubt::Empty { expected } => write!(f, "the destination shows none of {expected} entries"),
            Doubt::Shrunk { expected, found } => {
                write!(f, "the destination shows {found} of {expected} entries, at most half")
            }
        }
    }
}

/// Whether a reading that shows `found` of `expected` entries is to be believed. Nothing where something was is doubted
/// at any size; half is, from 50 entries on.
pub fn doubt(expected: u64, found: u64) -> Option<Doubt> {
    if expected > 0 && found == 0 {
        return Some(Doubt::Empty { expected });
    }
    (expected >= limits::SUSPECT_MIN_ROWS && found <= expected / 2).then_some(Doubt::Shrunk { expected, found })
}

/// Whether what a destination says of an entry written at `written` may be believed by now, where its word may lag.
pub fn is_settled(written: Timestamp, lag: Option<Duration>, now: Timestamp) -> bool {
    lag.is_none_or(|lag| written.after(lag) <= now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_and_half_are_doubted() {
        for (expected, found, is_doubted) in [
            (0, 0, false),
            (0, 9, false),
            (1, 0, true),
            (1, 1, false),
            (49, 1, false),
            (50, 25, true),
            (50, 26, false),
            (51, 25, true),
            (1_000, 500, true),
            (1_000, 501, false),
            (1_000, 2_000, false),
        ] {
            assert_eq!(doubt(expected, found).is_some(), is_doubted, "{found} of {expected}");
        }
        assert!(doubt(9, 0).is_some_and(Doubt::can_be_believed) && !Doubt::NotWhole.can_be_believed());
    }

    #[test]
    fn a_lagging_word_is_waited_for() {
        let written = Timestamp::from_secs(1_700_000_000);
        let lag = Some(Duration::from_secs(900));
        assert!(is_settled(written, None, written));
        assert!(!is_settled(written, lag, written.after(Duration::from_secs(899))));
        assert!(is_settled(written, lag, written.after(Duration::from_secs(900))));
    }
}
