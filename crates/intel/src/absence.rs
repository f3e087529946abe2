//! What a run may mean: when what a source no longer lists has really been taken back.
//!
//! Nothing is withdrawn because it is missing, empty or silent, unless a source that lists everything finished a run
//! that looks like its earlier ones. Anything else waits for a person or changes nothing.

use crate::limits;
use crate::sharing::words;
use std::fmt;

/// The shape of the last run that was believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Believed {
    /// Distinct keys it listed.
    pub rows: u64,
    /// Candidate rows read, rejected ones included.
    pub read: u64,
    /// Of these, rejected.
    pub rejected: u64,
}

/// How the reading of a source came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunEnd {
    /// All of it was read.
    Whole,
    /// The source says that nothing has changed, or the body is the same as last time.
    NotModified,
    /// It failed, was cut short, or could not be parsed.
    Broken,
}

/// The shape of the run to judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RunShape {
    /// How it ended.
    pub end: RunEnd,
    /// Distinct keys accepted.
    pub rows: u64,
    /// Candidate rows read, rejected ones included.
    pub read: u64,
    /// Of these, rejected.
    pub rejected: u64,
    /// The source lists everything it stands by at every run.
    pub complete: bool,
    /// An operator said that this source is empty at times.
    pub may_be_empty: bool,
    /// The source was rolled back, and this run is not what it said then.
    pub strays: bool,
    /// IPv4 addresses that its networks cover, counted for each network.
    pub addresses: u64,
}

impl RunShape {
    /// What to remember of this run once it is believed, or approved by a person.
    pub fn believed(&self) -> Believed {
        Believed { rows: self.rows, read: self.read, rejected: self.rejected }
    }

    fn is_partial(&self) -> bool {
        u128::from(self.rejected) * 100 > u128::from(self.read) * u128::from(limits::PARTIAL_PERCENT)
    }
}

/// Why a run waits for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Suspicion {
    /// Nothing, after a run with rows.
    Empty {
        /// Rows of the last believed run.
        before: u64,
    },
    /// At most half of the last believed run.
    Shrunk {
        /// Rows of the last believed run.
        before: u64,
        /// Rows of this one.
        rows: u64,
    },
    /// At least ten times the last believed run.
    Grown {
        /// Rows of the last believed run.
        before: u64,
        /// Rows of this one.
        rows: u64,
    },
    /// Many more rows rejected than in the last believed run, or than a first run may have.
    Rejected {
        /// Rows rejected.
        rejected: u64,
        /// Of so many.
        read: u64,
        /// The share rejected in the last believed run, in hundredths of a percent; None: there was none.
        before: Option<u64>,
    },
    /// The source was rolled back, and the run is not what it said then.
    RolledBack,
    /// Its networks cover more than half of all addresses.
    Everything,
}

impl Suspicion {
    /// The stable code.
    pub fn as_str(&self) -> &'static str {
        match self {
            Suspicion::Empty { .. } => "empty",
            Suspicion::Shrunk { .. } => "shrunk",
            Suspicion::Grown { .. } => "grown",
            Suspicion::Rejected { .. } => "rejected",
            Suspicion::RolledBack => "rolled_back",
            Suspicion::Everything => "everything",
        }
    }
}

impl fmt::Display for Suspicion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Suspicion::Empty { before } => write!(f, "the run lists nothing; the last believed one listed {before}"),
            Suspicion::Shrunk { before, rows } => {
                write!(f, "the run lists {rows}, at most half of the last believed one ({before})")
            }
            Suspicion::Grown { before, rows } => {
                write!(f, "the run lists {rows}, at least ten times the last believed one ({before})")
            }
            Suspicion::RolledBack => write!(f, "the source was rolled back, and the run is not what it said then"),
            Suspicion::Everything => write!(f, "the run lists networks of more than half of all addresses"),
            Suspicion::Rejected { rejected, read, before: None } => {
                write!(f, "{rejected} of {read} rows were rejected, over half of a first run")
            }
            Suspicion::Rejected { rejected, read, before: Some(before) } => write!(
                f,
                "{rejected} of {read} rows were rejected; in the last believed run it was {}.{:02} %",
                before / 100,
                before % 100
            ),
        }
    }
}

/// What a run means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunVerdict {
    /// Its rows are folded; of a complete source, what it no longer lists is retracted.
    Believed,
    /// Its rows wait for a person, nothing is withdrawn.
    Suspect(Suspicion),
    /// It says nothing: nothing is withdrawn.
    Failed,
}

/// Judges a run by the last one that was believed.
///
/// Only a complete source can be suspect: the pages of an incremental one are folded as they come, and what they do
/// not list means nothing. An unmodified run is believed.
pub fn judge(last_believed: Option<&Believed>, run: &RunShape) -> RunVerdict {
    match run.end {
        RunEnd::Broken => return RunVerdict::Failed,
        RunEnd::NotModified => return RunVerdict::Believed,
        RunEnd::Whole if !run.complete => return RunVerdict::Believed,
        RunEnd::Whole => {}
    }
    if run.strays {
        return RunVerdict::Suspect(Suspicion::RolledBack);
    }
    if run.addresses > limits::EVERYTHING_ADDRESSES {
        return RunVerdict::Suspect(Suspicion::Everything);
    }
    let too_many_rejected = match last_believed {
        None => u128::from(run.rejected) * 100 > u128::from(run.read) * u128::from(limits::FIRST_RUN_REJECTED_PERCENT),
        Some(last) => run.is_partial() && share_rose(last, run),
    };
    if too_many_rejected {
        let before = last_believed.map(|last| last.rejected.saturating_mul(10_000).checked_div(last.read).unwrap_or(0));
        return RunVerdict::Suspect(Suspicion::Rejected { rejected: run.rejected, read: run.read, before });
    }
    let before = last_believed.map_or(0, |last| last.rows);
    let rows = run.rows;
    if rows == 0 && before > 0 {
        return if run.may_be_empty { RunVerdict::Believed } else { RunVerdict::Suspect(Suspicion::Empty { before }) };
    }
    if before >= limits::SUSPECT_MIN_ROWS {
        if rows <= before / 2 {
            return RunVerdict::Suspect(Suspicion::Shrunk { before, rows });
        }
        if rows / 10 >= before {
            return RunVerdict::Suspect(Suspicion::Grown { before, rows });
        }
    }
    RunVerdict::Believed
}

/// Whether the rejected share is more than one point above that of the last believed run; exact.
fn share_rose(last: &Believed, run: &RunShape) -> bool {
    let (read, before) = (i128::from(run.read.max(1)), i128::from(last.read.max(1)));
    let rise = i128::from(run.rejected).saturating_mul(before) - i128::from(last.rejected).saturating_mul(read);
    rise.saturating_mul(100) > read.saturating_mul(before)
}

words!(
    /// How a pull ended.
    PullStatus {
        /// Everything was read and understood.
        Success = "success",
        /// The source has nothing new.
        NotModified = "not_modified",
        /// Over one row in a hundred was rejected.
        Partial = "partial",
        /// The run waits for a person.
        Suspect = "suspect",
        /// Nothing was believed.
        Failed = "failed",
    }
);

/// The status of a judged run.
pub fn pull_status(run: &RunShape, verdict: &RunVerdict) -> PullStatus {
    match verdict {
        RunVerdict::Failed => PullStatus::Failed,
        RunVerdict::Suspect(_) => PullStatus::Suspect,
        RunVerdict::Believed if run.end == RunEnd::NotModified => PullStatus::NotModified,
        RunVerdict::Believed if run.is_partial() => PullStatus::Partial,
        RunVerdict::Believed => PullStatus::Success,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_judgement() {
        use RunEnd::*;
        let run = |end, rows, read, rejected| RunShape {
            end,
            rows,
            read,
            rejected,
            complete: true,
            may_be_empty: false,
            strays: false,
            addresses: 0,
        };
        let last = |rows, read, rejected| Some(Believed { rows, read, rejected });
        let whole = |rows| run(Whole, rows, rows, 0);
        let empty_allowed = |shape: RunShape| RunShape { may_be_empty: true, ..shape };
        let covers = |shape: RunShape, addresses| RunShape { addresses, ..shape };
        let strays = |shape: RunShape| RunShape { strays: true, ..shape };
        let incremental = |shape: RunShape| RunShape { complete: false, ..shape };
        #[rustfmt::skip]
        let table: &[(&str, Option<Believed>, RunShape, &str, &str)] = &[
            // what                            last believed          run                          verdict     status
            ("first run",                      None,                  whole(1_000),                "believed", "success"),
            ("first run, empty",               None,                  whole(0),                    "believed", "success"),
            ("first run, half rejected",       None,                  run(Whole, 50, 100, 50),     "believed", "partial"),
            ("first run, over half rejected",  None,                  run(Whole, 49, 100, 51),     "rejected", "suspect"),
            ("first run, all rejected",        None,                  run(Whole, 0, 10, 10),       "rejected", "suspect"),
            ("failed",                         last(100, 100, 0),     run(Broken, 0, 0, 0),        "failed",   "failed"),
            ("truncated",                      last(100, 100, 0),     run(Broken, 99, 99, 0),      "failed",   "failed"),
            ("304",                            last(100, 100, 0),     run(NotModified, 0, 0, 0),   "believed", "not_modified"),
            ("empty after one row",            last(1, 1, 0),         whole(0),                    "empty",    "suspect"),
            ("empty after many",               last(1_000, 1_000, 0), whole(0),                    "empty",    "suspect"),
            ("empty, and may be",              last(1_000, 1_000, 0), empty_allowed(whole(0)),     "believed", "success"),
            ("not empty, but may be",          last(1_000, 1_000, 0), empty_allowed(whole(3)),     "shrunk",   "suspect"),
            ("empty after empty",              last(0, 0, 0),         whole(0),                    "believed", "success"),
            ("half of 50",                     last(50, 50, 0),       whole(25),                   "shrunk",   "suspect"),
            ("over half of 50",                last(50, 50, 0),       whole(26),                   "believed", "success"),
            ("half of 51, rounded down",       last(51, 51, 0),       whole(25),                   "shrunk",   "suspect"),
            ("half of 49: too few to say",     last(49, 49, 0),       whole(1),                    "believed", "success"),
            ("ten times 50",                   last(50, 50, 0),       whole(500),                  "grown",    "suspect"),
            ("not quite",                      last(50, 50, 0),       whole(499),                  "believed", "success"),
            ("ten times 49",                   last(49, 49, 0),       whole(4_900),                "believed", "success"),
            ("one in a hundred is no part",    last(100, 100, 0),     run(Whole, 99, 100, 1),      "believed", "success"),
            ("1.5 % after 0.5 %",              last(995, 1_000, 5),   run(Whole, 985, 1_000, 15),  "believed", "partial"),
            ("1.6 % after 0.5 %",              last(995, 1_000, 5),   run(Whole, 984, 1_000, 16),  "rejected", "suspect"),
            ("30 % after 30 %",                last(700, 1_000, 300), run(Whole, 700, 1_000, 300), "believed", "partial"),
            ("31.1 % after 30 %",              last(700, 1_000, 300), run(Whole, 689, 1_000, 311), "rejected", "suspect"),
            ("0 % after 30 %",                 last(700, 1_000, 300), whole(1_000),                "believed", "success"),
            ("other than rolled back to",      last(100, 100, 0),     strays(whole(100)),          "rolled_back", "suspect"),
            ("first run after a rollback to nothing", None,           strays(whole(3)),            "rolled_back", "suspect"),
            ("half of all addresses",          last(100, 100, 0),     covers(whole(128), 1 << 31),  "believed", "success"),
            ("and more",                       last(100, 100, 0),     covers(whole(129), (1 << 31) + 1), "everything", "suspect"),
            ("and more, first run",            None,                  covers(whole(200), u64::MAX), "everything", "suspect"),
            ("a page, empty",                  last(100, 100, 0),     incremental(whole(0)),       "believed", "success"),
            ("a page, half rejected",          last(100, 100, 0),     incremental(run(Whole, 1, 2, 1)), "believed", "partial"),
            ("a page, broken",                 None,                  incremental(run(Broken, 9, 9, 0)), "failed", "failed"),
        ];
        for (what, last, run, verdict, status) in table {
            let judged = judge(last.as_ref(), run);
            let word = match &judged {
                RunVerdict::Believed => "believed",
                RunVerdict::Failed => "failed",
                RunVerdict::Suspect(why) => why.as_str(),
            };
            assert_eq!(word, *verdict, "{what}");
            assert_eq!(pull_status(run, &judged).as_str(), *status, "{what}");
        }
    }

    #[test]
    fn suspicions_are_sentences() {
        for (why, text) in [
            (Suspicion::Empty { before: 7 }, "the run lists nothing; the last believed one listed 7"),
            (
                Suspicion::Rejected { rejected: 16, read: 1_000, before: Some(5) },
                "16 of 1000 rows were rejected; in the last believed run it was 0.05 %",
            ),
        ] {
            assert_eq!(why.to_string(), text);
        }
        let huge = Believed { rows: u64::MAX, read: u64::MAX, rejected: u64::MAX };
        let run = RunShape {
            end: RunEnd::Whole,
            rows: u64::MAX,
            read: u64::MAX,
            rejected: u64::MAX,
            complete: true,
            may_be_empty: false,
            strays: false,
            addresses: 0,
        };
        assert_eq!(judge(Some(&huge), &run), RunVerdict::Believed, "no number overflows");
        assert_eq!(run.believed(), huge);
    }
}
