//! What the engine remembers about a connection and a target between runs, stored as JSON beside them.

use intel::Timestamp;
use schemars::JsonSchema;
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
    /// A person asked that it be read again: how far back the next run begins, in microseconds, until one has ended well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub again_from: Option<i64>,
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
    /// Who we are at the other side, as it said when the first thing was sent. Nothing is sent to anybody else until a
    /// person adopts what is there.
    pub identity: Option<String>,
    /// What it says now, where that is somebody else.
    pub identity_found: Option<String>,
    /// Asked in this pass; not stored.
    #[serde(skip)]
    pub is_identified: bool,
    /// Entries that were accepted in this pass are not there; not stored.
    #[serde(skip)]
    pub is_dropping: bool,
    /// Writes in a row that took away what others have there.
    pub harms: u32,
    /// When the last call of a pass that changed something ended, in microseconds: from then on a lag counts.
    pub last_effect: Option<i64>,
    /// When what is there was last read back, in microseconds.
    pub verified: Option<i64>,
    /// Where the last partial reading ended: the next goes on from there.
    pub verified_to: u32,
    /// What was last found to differ.
    pub drift: Option<Drift>,
    /// Entries of others in the last reading that was believed.
    pub foreign: Option<u64>,
    /// A limit that nobody declared.
    pub learned: Option<LearnedCapacity>,
    /// The last replacement of a whole list, by which it is known whether it was carried out.
    pub replacement: Option<Replacement>,
    /// When a person last adopted what is there, in microseconds, where a second push is a second entry and the ledger may
    /// not know all that was pushed: from then on each new entry is asked about before it is pushed.
    pub adopted: Option<i64>,
    /// How long the last verdicts took to have an effect here.
    pub verdicts: Option<VerdictTimes>,
}

/// How what is at a target differs from what the ledger says, by the last reading.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Drift {
    /// When it was read, in microseconds since 1970.
    pub at: i64,
    /// Entries of ours that were asked about.
    pub checked: u64,
    /// Of these: there.
    pub there: u64,
    /// Of these: not there any more. Their lines are gone, so that the next pass sends them again within its budget.
    pub missing: u64,
    /// Of these: there, and without our mark. They are somebody else's from now on.
    pub lost: u64,
    /// Entries with our mark that no line knows. `target adopt` takes them over.
    pub unknown: u64,
    /// Entries of others.
    pub foreign: u64,
    /// Entries of others that our last write took away and that could not be put back.
    pub harmed: u64,
    /// Why nothing was concluded from the reading.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doubt: Option<String>,
    /// Some of what differs, each with how.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<String>,
}

impl Drift {
    /// Whether there is anything to tell a person of.
    pub fn is_any(&self) -> bool {
        self.n_different() > 0 || self.doubt.is_some()
    }

    /// Entries that are not as the ledger says.
    pub fn n_different(&self) -> u64 {
        self.missing + self.lost + self.unknown + self.harmed
    }

    /// Most samples kept.
    pub const SAMPLES: usize = 20;

    pub(crate) fn sample(&mut self, entry: &str, how: &str) {
        if self.samples.len() < Drift::SAMPLES {
            self.samples.push(format!("{entry}: {how}"));
        }
    }
}

/// A replacement of a whole list, written down before it is sent: an entry that carries no mark and is found there later
/// is ours only where the list shows that the replacement was carried out, and nothing else since.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Replacement {
    /// Digest of the list that was read for it.
    pub before: u64,
    /// Digest of the list that was sent.
    pub after: u64,
    /// Indicators whose entries it put there.
    pub added: Vec<u32>,
    /// Indicators whose entry, if it is there, is somebody else's or may be: it was there before, or an earlier one was to
    /// put it there and nobody knows whether it did.
    pub unsure: Vec<u32>,
}

/// A limit that a destination has by its own word, or that it was found to have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LearnedCapacity {
    /// Most entries, those of others included.
    pub limit: u64,
    /// When it was learned, in microseconds.
    pub at: i64,
    /// The destination said it; else it dropped what was more.
    pub is_said: bool,
}

/// From verdicts to the destination's yes, in one pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictTimes {
    /// When, in microseconds.
    pub at: i64,
    /// How many entries were taken back because of a verdict.
    pub n: u64,
    /// The longest wait, in milliseconds.
    pub slowest_ms: u64,
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
