//! What indicators are, and what should be shared.
//!
//! This crate is values in, values out. It reads no clock, opens no file or socket, starts no thread and derives no
//! serialization; whoever touches the world passes in what it saw, the time included.
//!
//! The walk through it: an [`Observation`] (a row as a source gave it) is normalised to a [`Row`] or a counted
//! [`Rejection`]; rows are absorbed by the [`SourceRecord`] of their connection; the records of all connections are
//! folded to a [`Summary`]; expressions and rules select; `decide` answers, per target and entry, what should happen;
//! `restrain` says what of it may happen now.

pub mod expr;
pub mod extract;
pub mod ids;
pub mod indicator;
pub mod key;
pub mod level;
pub mod limits;
pub mod record;
pub mod time;

pub use ids::*;
pub use indicator::{Analyst, Fold, Folded, Facts, FoldSettings, Indicator, Policy, Reconcile, Summary, Verdict, VerdictKind};
pub use key::{IndicatorKey, IndicatorKind, Rejection};
pub use level::{Reputation, Severity, Tlp};
pub use record::{Absorbed, Claim, Observation, Row, SourceRecord};
pub use time::Timestamp;
