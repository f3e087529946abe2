//! What indicators are, and what should be shared.
//!
//! This crate is values in, values out. It reads no clock, opens no file or socket, starts no thread and derives no
//! serialization; whoever touches the world passes in what it saw, the time included.
//!
//! The walk through it: an [`Observation`] (a row as a source gave it) is normalised to a [`Row`] or a counted
//! [`Rejection`]; rows are absorbed by the [`SourceRecord`] of their connection; the records of all connections are
//! folded to a [`Summary`]; expressions and rules select; `decide` answers, per target and entry, what should happen;
//! `restrain` says what of it may happen now.

pub mod absence;
pub mod delivery;
pub mod drift;
pub mod echo;
pub mod expr;
pub mod extract;
pub mod guard;
pub mod ids;
pub mod indicator;
pub mod key;
pub mod level;
pub mod limits;
pub mod plan;
pub mod record;
pub mod rollback;
pub mod rule;
pub mod schedule;
pub mod sharing;
pub mod time;

pub use absence::{Believed, PullStatus, RunEnd, RunShape, RunVerdict, Suspicion, judge, pull_status};
pub use delivery::{Counts, PlanStatus, PullCounts, RunKind, ShareStatus};
pub use echo::{Maker, Planted, Reading, is_echo, passed_us};
pub use guard::{Guard, GuardClass, GuardException, GuardList, GuardPattern, Hit, Kinds, Relation};
pub use ids::*;
pub use indicator::{
    Analyst, DAY, Facts, Fold, FoldSettings, Folded, Indicator, Policies, Policy, Reconcile, Summary, Verdict,
    VerdictKind,
};
pub use ipnet::IpNet;
pub use key::{IndicatorKey, IndicatorKind, Rejection};
pub use level::{Reputation, Severity, Tlp};
pub use plan::{
    Allowance, ApprovedSet, Brakes, Budget, Candidate, FirstFill, Hold, PlanHash, Planned, Restrained, plan_hash,
    restrain, room,
};
pub use record::{Absorbed, Claim, Ended, Observation, Row, SourceRecord};
pub use schedule::{IntervalError, JobState, backoff, due, jitter_of, next_due, parse_interval, show_interval};
pub use sharing::{Line, LineState, Rank, RetractMode, Step, TargetView, Verb, Wanted, Why, decide};
pub use time::Timestamp;
