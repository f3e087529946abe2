//! What the engine remembers about a connection and a target between runs, stored as JSON beside them.

use intel::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a connection's runs left behind. Written in the transaction of the rows it covers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConnectionState {
    /// Where the source stopped.
    pub cursor: Option<Value>,
    /// The last believed run of a complete source.
    pub believed: Option<BelievedState>,
    /// Start of the last run, in microseconds.
    pub last_run: Option<i64>,
    /// Start of the last run that did not fail.
    pub last_success: Option<i64>,
    /// Its status.
    pub last_status: Option<String>,
    /// Failed runs in a row.
    pub failures: u32,
    /// Not before this, in microseconds: back-off, or what the source asked for.
    pub not_before: Option<i64>,
    /// The other side denied us: nothing is tried until a person acts.
    pub denied: bool,
    /// The suspect run that waits for a person.
    pub suspect: Option<SuspectState>,
    /// It was rolled back: the next whole run is believed only if it is what the source said then, or by a person.
    pub rolled_back: Option<RolledBackState>,
}

/// A rollback that no believed run has followed yet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RolledBackState {
    /// The run that did it.
    pub run: u64,
    /// When, in microseconds.
    pub at: i64,
    /// To which time, in microseconds.
    pub to: i64,
}

/// The shape of a believed run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BelievedState {
    /// Which run.
    pub run: u64,
    /// When it started, in microseconds.
    pub at: i64,
    /// Distinct keys it listed.
    pub rows: u64,
    /// Candidate rows read.
    pub read: u64,
    /// Candidate rows that were no indicator.
    pub rejected: u64,
}

/// A suspect run that waits.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SuspectState {
    /// Which run.
    pub run: u64,
    /// When it started, in microseconds.
    pub at: i64,
    /// Why it is not believed.
    pub why: String,
    /// Distinct keys it listed.
    pub rows: u64,
    /// Candidate rows read.
    pub read: u64,
    /// Candidate rows that were no indicator.
    pub rejected: u64,
    /// Where the source stopped.
    pub cursor: Option<Value>,
    /// Indicators that are listed and were not in it.
    pub missing: Vec<u32>,
    /// Indicators that are not listed and were in it, saying what is known.
    #[serde(default)]
    pub relisted: Vec<u32>,
}

impl ConnectionState {
    /// Reads what was stored; a state that cannot be read is a state not kept.
    pub fn parse(text: Option<&str>) -> ConnectionState {
        text.and_then(|t| serde_json::from_str(t).ok()).unwrap_or_default()
    }

    /// As stored.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// When the last believed run started.
    pub fn last_believed(&self) -> Option<Timestamp> {
        self.believed.as_ref().map(|b| Timestamp::from_micros(b.at))
    }
}

/// What a target's passes left behind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TargetState {
    /// It has had a plan with at least one Push whose every step came to an end.
    pub filled: bool,
    /// A person approved the first fill.
    pub fill_approved: bool,
    /// Revision of the index up to which lines were compared.
    pub compared: u64,
    /// Hash of action, parameters and rendering the lines were compared under.
    pub shape: u64,
    /// Start of the last pass, in microseconds.
    pub last_run: Option<i64>,
    /// Its status.
    pub last_status: Option<String>,
    /// Failed passes in a row.
    pub failures: u32,
    /// Not before this, in microseconds.
    pub not_before: Option<i64>,
    /// The other side denied us.
    pub denied: bool,
    /// A published list shows everything the ledger says.
    pub published: bool,
}

impl TargetState {
    /// Reads what was stored.
    pub fn parse(text: Option<&str>) -> TargetState {
        text.and_then(|t| serde_json::from_str(t).ok()).unwrap_or_default()
    }

    /// As stored.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}
