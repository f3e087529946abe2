//! The connector contract: what code that speaks to one product must be able to do.
//!
//! A connector reads, translates and hands over. It does not retry, sleep, cache, spawn or look at a clock; [`Cx`] is
//! all of the world it sees. Rows are streamed into a [`Rows`] so that a feed of any length needs no memory of its own.

use crate::error::ConnectorError;
use crate::files::Files;
use crate::http::Http;
use crate::manifest::Manifest;
use intel::{IndicatorKey, IndicatorKind, Observation, Reputation, Severity, Timestamp, Tlp};
use serde_json::Value;

/// A kind of product: its manifest, and how settings become a connection.
pub trait Connector: Send + Sync {
    /// What it is, what it can do, which settings it takes.
    fn manifest(&self) -> &Manifest;

    /// Pure: no network, no files. `settings` were checked against the manifest, defaults filled in.
    ///
    /// # Errors
    /// A sentence naming the setting that cannot be used and why.
    fn open(&self, settings: &Value) -> Result<Box<dyn Connection>, String>;
}

/// A named, credentialed instance of a connector.
pub trait Connection: Send + Sync {
    /// Can we talk to it with these settings? Uses no permission the real work does not need.
    fn check(&self, cx: &Cx<'_>) -> Result<(), ConnectorError>;
    /// Whether, with these settings, a whole run lists everything the source stands by. None: as the manifest says.
    fn lists_everything(&self) -> Option<bool> {
        None
    }
    /// Who we are at the other side, as it says itself: the id of the tenant or organisation that the credentials belong
    /// to. None: it has no such thing, or does not say.
    fn identity(&self, cx: &Cx<'_>) -> Result<Option<String>, ConnectorError> {
        let _ = cx;
        Ok(None)
    }
    /// The hosts it talks to: guarded, so that nobody's feed can make us block our own tools.
    fn hosts(&self) -> Vec<String> {
        Vec::new()
    }
    /// Its source side, if it has one.
    fn source(&self) -> Option<&dyn Source> {
        None
    }
    /// Its destination side, if it has one.
    fn destination(&self) -> Option<&dyn Destination> {
        None
    }
}

/// What a connector may use of the world during one call.
pub struct Cx<'a> {
    /// Every call out. Retries, limits, proxy, TLS, egress rules and redaction are its business.
    pub http: &'a Http,
    /// Local files below the directories the operator allowed.
    pub files: &'a Files,
    /// What time it is.
    pub now: Timestamp,
    /// When the first pull of a source asked by time starts reading.
    pub initial_from: Timestamp,
}

/// Where a source stopped: opaque to the engine, stored with the rows it covers.
pub type Cursor = Value;

/// Takes the rows of a pull as they are read.
pub trait Rows {
    /// One candidate row.
    fn row(&mut self, row: Observation);
    /// A candidate row that could not even be read: `reason` is counted, `sample` shown (clipped by the receiver).
    fn reject(&mut self, reason: &'static str, sample: &str);
    /// `n` things seen that are no candidates: not an indicator, unsupported kind, switched off by the source.
    fn filter(&mut self, reason: &'static str, n: u64);
}

/// How a pull ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Pulled {
    /// The source says nothing changed since the cursor (304, same body): nothing was read. The cursor may be renewed.
    NotModified(Option<Cursor>),
    /// All of a source that lists everything it stands by was handed over.
    Whole(Option<Cursor>),
    /// A page; ask again with this cursor.
    More(Cursor),
    /// The last page for now.
    Done(Option<Cursor>),
}

/// The source side.
pub trait Source: Send + Sync {
    /// Hands over what came after `after`. The engine stores rows and cursor together, then asks again on
    /// [`Pulled::More`]. If it fails, the rows handed over in this call are dropped. One caller at a time.
    fn pull(&self, after: Option<&Cursor>, cx: &Cx<'_>, rows: &mut dyn Rows) -> Result<Pulled, ConnectorError>;
}

/// A target as a destination sees it.
#[derive(Debug, Clone, Copy)]
pub struct TargetSpec<'a> {
    /// The target's name, for messages.
    pub name: &'a str,
    /// The action's name in the manifest.
    pub action: &'a str,
    /// Its parameters, checked against the manifest, defaults filled in.
    pub params: &'a Value,
    /// The mark that every entry of ours carries where the destination has room for one.
    pub mark: &'a str,
}

/// One entry on its way out.
#[derive(Debug, Clone, PartialEq)]
pub struct Outgoing {
    /// What the destination stores: the key as the action renders it.
    pub entry: String,
    /// The best-ranked key that wants it.
    pub key: IndicatorKey,
    /// 1 to 10.
    pub reputation: Reputation,
    /// How much harm.
    pub severity: Severity,
    /// 0 to 100; None where nobody says.
    pub confidence: Option<u8>,
    /// The marking.
    pub tlp: Tlp,
    /// Sorted.
    pub tags: Vec<String>,
    /// Names of the sources that stand by it, sorted.
    pub sources: Vec<String>,
    /// First seen by any source.
    pub first_seen: Option<Timestamp>,
    /// Last seen by any source.
    pub last_seen: Option<Timestamp>,
    /// When the entry should die by itself, where the destination can hold that.
    pub expires_at: Option<Timestamp>,
    /// The leading record's comment.
    pub comment: Option<String>,
    /// The id the destination gave it, where known.
    pub remote_id: Option<String>,
    /// When we first meant to put it there.
    pub created: Timestamp,
    /// When the entry, as it is sent, was last changed: its version where the destination keeps versions.
    pub modified: Timestamp,
    /// Exchanges it has passed through, this one included: what reads it back knows its own id among them.
    pub hops: Vec<String>,
}

impl Outgoing {
    /// An entry that says nothing but its key, written as its value, at `now`.
    pub fn bare(key: IndicatorKey, now: Timestamp) -> Outgoing {
        Outgoing {
            entry: key.value().to_owned(),
            key,
            reputation: Reputation::DEFAULT,
            severity: Severity::Unknown,
            confidence: None,
            tlp: Tlp::Green,
            tags: Vec::new(),
            sources: Vec::new(),
            first_seen: None,
            last_seen: None,
            expires_at: None,
            comment: None,
            remote_id: None,
            created: now,
            modified: now,
            hops: Vec::new(),
        }
    }
}

/// What became of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemOutcome {
    /// Done (or, for a retraction, already gone). With the destination's id where it gives one.
    Accepted {
        /// The destination's id of the entry.
        remote_id: Option<String>,
    },
    /// The destination said no, in these words.
    Refused(String),
    /// It was there before and does not carry our mark.
    Foreign,
    /// We do not know: it must be looked up or repeated.
    Unknown(String),
    /// It was not tried, or was certainly not begun: it is as it was before.
    NotDone(String),
}

/// What is at the destination for one entry asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// There, with our mark or the remote id we know.
    Ours {
        /// The destination's id of the entry.
        remote_id: Option<String>,
    },
    /// There, and not ours.
    Foreign,
    /// Not there.
    Absent,
}

/// One entry as the destination has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Remote {
    /// As it is stored there, byte for byte.
    pub entry: String,
    /// What sort of thing it is, where the destination says.
    pub kind: Option<IndicatorKind>,
    /// The destination's id of the entry, where it gives one.
    pub remote_id: Option<String>,
    /// It carries our mark. False also where the destination has no room for one.
    pub marked: bool,
    /// When it dies by itself, where the destination says.
    pub expires_at: Option<Timestamp>,
}

/// How a reading of all that is there came out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reading {
    /// Everything was handed over. False: the answer was cut, or the destination counts more than it gave; then nothing
    /// may be concluded from what is missing, and nothing may be replaced.
    pub whole: bool,
    /// The version of the list that was read, where the destination keeps versions: a `replace` under it fails if
    /// somebody else was faster.
    pub version: Option<String>,
    /// The most entries it holds, where the destination says.
    pub capacity: Option<u64>,
}

/// What a destination said when a list was replaced. Whatever it leaves open, nothing is concluded from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// The version of the list that was written, where the answer gives it: a later reading under the same version
    /// shows what this very write made of the list, and nobody else's doing.
    pub version: Option<String>,
    /// So many entries it holds by its own answer, those of others included.
    pub entries: Option<u64>,
}

/// One entry of a list that is replaced as a whole.
#[derive(Debug, Clone, PartialEq)]
pub enum Placed {
    /// Somebody else's: goes back byte for byte as it was read.
    Foreign(Remote),
    /// One of ours.
    Ours(Outgoing),
}

/// The destination side. Which of these work is declared by the action in the manifest.
pub trait Destination: Send + Sync {
    /// Adds or updates the batch; one outcome an item, in order. May be called again with the same items.
    fn push(
        &self,
        target: TargetSpec<'_>,
        batch: &[Outgoing],
        cx: &Cx<'_>,
    ) -> Result<Vec<ItemOutcome>, ConnectorError> {
        let _ = (target, batch, cx);
        Err(ConnectorError::Unsupported)
    }
    /// Takes items back; what is already gone is accepted. One outcome an item, in order.
    fn retract(
        &self,
        target: TargetSpec<'_>,
        batch: &[Outgoing],
        cx: &Cx<'_>,
    ) -> Result<Vec<ItemOutcome>, ConnectorError> {
        let _ = (target, batch, cx);
        Err(ConnectorError::Unsupported)
    }
    /// Replaces the whole list by `all`, atomically.
    fn publish(
        &self,
        target: TargetSpec<'_>,
        all: &mut dyn Iterator<Item = Outgoing>,
        cx: &Cx<'_>,
    ) -> Result<(), ConnectorError> {
        let _ = (target, all, cx);
        Err(ConnectorError::Unsupported)
    }
    /// What is there now for these entries; one answer an entry, in order.
    fn look(&self, target: TargetSpec<'_>, entries: &[Outgoing], cx: &Cx<'_>) -> Result<Vec<Presence>, ConnectorError> {
        let _ = (target, entries, cx);
        Err(ConnectorError::Unsupported)
    }
    /// Hands over everything that is there, ours and that of others, in no order.
    fn read(
        &self,
        target: TargetSpec<'_>,
        each: &mut dyn FnMut(Remote),
        cx: &Cx<'_>,
    ) -> Result<Reading, ConnectorError> {
        let _ = (target, each, cx);
        Err(ConnectorError::Unsupported)
    }
    /// Replaces the whole list by `all`, which holds what others have there too. `version`: of the list that was read;
    /// where the destination keeps versions and the list has changed since, nothing is written and the answer is
    /// [`ConnectorError::Changed`].
    fn replace(
        &self,
        target: TargetSpec<'_>,
        all: &mut dyn Iterator<Item = Placed>,
        version: Option<&str>,
        cx: &Cx<'_>,
    ) -> Result<Written, ConnectorError> {
        let _ = (target, all, version, cx);
        Err(ConnectorError::Unsupported)
    }
    /// Makes what was sent take effect. Never activates what others have pending: then it is
    /// [`ConnectorError::Later`], and what was sent stays staged.
    fn deploy(&self, target: TargetSpec<'_>, cx: &Cx<'_>) -> Result<(), ConnectorError> {
        let _ = (target, cx);
        Err(ConnectorError::Unsupported)
    }
}

/// Which kinds an action or source handles: all where empty.
pub fn accepts(kinds: &[IndicatorKind], kind: IndicatorKind) -> bool {
    kinds.is_empty() || kinds.contains(&kind)
}
