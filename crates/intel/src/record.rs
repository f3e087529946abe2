//! What one connection says about one indicator, and how its rows join.
//!
//! A [`Row`] has a version: a timestamp the source gave, else the start of the run in which this content was first
//! read. Rows of one version are joined wherever they arrive; of two versions the greater speaks. The outcome depends
//! on the set of (row, version) only, never on order, batching or repeats. Nothing here applies policy: a record keeps
//! what the source said, so that changing a setting needs no new pull.

use crate::echo::HOP_TAG;
use crate::key::{IndicatorKey, IndicatorKind, Rejection};
use crate::level::{Reputation, Severity, Tlp};
use crate::limits;
use crate::time::Timestamp;
use std::cmp::Ordering;

/// One row as a source gave it, before anything is judged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observation {
    /// The value as written, defanged or not.
    pub value: String,
    /// What the source says it is; None lets the value speak.
    pub kind: Option<IndicatorKind>,
    /// 1 to 10; other numbers are clamped.
    pub reputation: Option<i64>,
    /// 0 to 100; other numbers are clamped.
    pub confidence: Option<i64>,
    /// How much harm.
    pub severity: Option<Severity>,
    /// The marking.
    pub tlp: Option<Tlp>,
    /// Labels, in any order, repeats allowed.
    pub tags: Vec<String>,
    /// When it was first seen.
    pub first_seen: Option<Timestamp>,
    /// When it was last seen: the row's own date.
    pub last_seen: Option<Timestamp>,
    /// When the source last edited the row: its version where given.
    pub modified: Option<Timestamp>,
    /// Not to be believed before this.
    pub valid_from: Option<Timestamp>,
    /// Not to be believed from this on.
    pub expires_at: Option<Timestamp>,
    /// The source takes its word back.
    pub retracted: bool,
    /// Free text.
    pub comment: Option<String>,
    /// Where to read more.
    pub link: Option<String>,
    /// How often the tool saw it in its own traffic, counted from the beginning.
    pub internal_hits: Option<u32>,
    /// How often others did.
    pub external_hits: Option<u32>,
    /// The id of the object at the source, by which an echo of our own entry is known.
    pub remote_id: Option<String>,
    /// Exchanges this value has passed through.
    pub hops: Vec<String>,
}

impl Observation {
    /// An observation that says nothing but the value.
    pub fn new(value: impl Into<String>) -> Observation {
        Observation { value: value.into(), ..Observation::default() }
    }

    /// States the kind.
    #[must_use]
    pub fn kind(mut self, kind: IndicatorKind) -> Observation {
        self.kind = Some(kind);
        self
    }

    /// Adds a tag; empty ones are dropped.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Observation {
        let tag = tag.into();
        if !tag.trim().is_empty() {
            self.tags.push(tag);
        }
        self
    }

    /// States when it was last seen.
    #[must_use]
    pub fn last_seen(mut self, time: Option<Timestamp>) -> Observation {
        self.last_seen = time;
        self
    }

    /// Gives the observation its one canonical key and plain content, or says why there is none.
    ///
    /// A time that cannot be (before 2000, or more than a day after `now`) is treated as not given: clamping it to a
    /// moving bound would make an unchanged feed look changed at every run. `valid_from` and `expires_at` may lie
    /// ahead.
    pub fn normalise(self, now: Timestamp) -> Result<Row, Rejection> {
        let parsed = IndicatorKey::parse_noted(self.kind, &self.value)?;
        let past = |time: Option<Timestamp>| {
            time.filter(|t| *t >= limits::EARLIEST_TIME && *t <= now.after(limits::CLOCK_TOLERANCE))
        };
        let future =
            |time: Option<Timestamp>| time.filter(|t| *t >= limits::EARLIEST_TIME && *t <= limits::LATEST_TIME);
        let mut tags: Vec<Box<str>> = Vec::with_capacity(self.tags.len());
        // Formats without a place for a marking carry it as a tag. It can only tighten what is said elsewhere, or nowhere.
        let marked = self.tags.iter().filter_map(|tag| Tlp::of_tag(tag)).max();
        let tlp = self.tlp.max(marked.filter(|tlp| self.tlp.is_some() || *tlp >= Tlp::Amber));
        for tag in &self.tags {
            if let Some(tag) = clean(tag, limits::TAG_BYTES) {
                tags.push(tag);
            }
        }
        tags.sort_unstable();
        tags.dedup();
        // Hops are kept as tags: they are joined, stored and handed on as these are. Room for them is not taken by others.
        let (said, mut hops): (Vec<Box<str>>, Vec<Box<str>>) = tags.into_iter().partition(|t| !t.starts_with(HOP_TAG));
        let mut tags = said;
        hops.extend(self.hops.iter().filter_map(|hop| clean(hop, limits::HOP_BYTES)).map(|hop| hop_tag(&hop)));
        hops.retain(|hop| hop.len() <= HOP_TAG.len() + limits::HOP_BYTES);
        hops.sort_unstable();
        hops.dedup();
        hops.truncate(limits::HOPS_PER_RECORD);
        tags.truncate(limits::TAGS_PER_RECORD - hops.len());
        tags.extend(hops.iter().cloned());
        tags.sort_unstable();
        let hops: Vec<String> = hops.iter().map(|hop| hop[HOP_TAG.len()..].to_owned()).collect();
        let raw = (self.value != parsed.key.value()).then(|| clean(&self.value, limits::RAW_BYTES)).flatten();
        let last_seen = past(self.last_seen);
        let version = past(self.modified).or(last_seen);
        let claim = Claim {
            reputation: self.reputation.map(Reputation::clamped),
            confidence: self.confidence.map(|c| c.clamp(0, 100) as u8),
            severity: self.severity.unwrap_or(Severity::Unknown),
            tlp,
            tags,
            first_seen: past(self.first_seen),
            last_seen,
            valid_from: future(self.valid_from),
            expires_at: future(self.expires_at),
            retracted: self.retracted,
            comment: self.comment.as_deref().and_then(|c| clean(c, limits::COMMENT_BYTES)),
            link: self.link.as_deref().and_then(|l| clean(l, limits::LINK_BYTES)),
            raw,
            internal_hits: self.internal_hits.unwrap_or(0),
            external_hits: self.external_hits.unwrap_or(0),
        };
        Ok(Row { key: parsed.key, version, claim, remote_id: self.remote_id.map(Into::into), hops })
    }
}

fn hop_tag(hop: &str) -> Box<str> {
    format!("{HOP_TAG}{hop}").into()
}

/// Trims, makes control characters blanks, cuts at a character border. None if nothing is left.
fn clean(text: &str, max_bytes: usize) -> Option<Box<str>> {
    let text = text.trim();
    let text = text[..text.floor_char_boundary(max_bytes)].trim_end();
    if text.is_empty() {
        None
    } else if text.bytes().any(may_control) && text.chars().any(char::is_control) {
        let kept: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let kept = kept.trim();
        (!kept.is_empty()).then(|| kept.into())
    } else {
        Some(text.into())
    }
}

/// Whether a control character may begin with this byte: those of Latin-1 begin with C2.
fn may_control(byte: u8) -> bool {
    byte < 0x20 || matches!(byte, 0x7f | 0xc2)
}

/// The content of a row or record: what a source claims, nothing applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// As stated, 1 to 10.
    pub reputation: Option<Reputation>,
    /// As stated, 0 to 100.
    pub confidence: Option<u8>,
    /// `Unknown` where not stated.
    pub severity: Severity,
    /// As stated.
    pub tlp: Option<Tlp>,
    /// Sorted, without repeats.
    pub tags: Vec<Box<str>>,
    /// As stated.
    pub first_seen: Option<Timestamp>,
    /// As stated.
    pub last_seen: Option<Timestamp>,
    /// As stated.
    pub valid_from: Option<Timestamp>,
    /// As stated; the source's own expiry.
    pub expires_at: Option<Timestamp>,
    /// The source takes its word back.
    pub retracted: bool,
    /// Free text.
    pub comment: Option<Box<str>>,
    /// Where to read more.
    pub link: Option<Box<str>>,
    /// The value as given, where it differs from the canonical one.
    pub raw: Option<Box<str>>,
    /// Absolute count of own sightings.
    pub internal_hits: u32,
    /// Absolute count of others' sightings.
    pub external_hits: u32,
}

impl Default for Claim {
    fn default() -> Claim {
        Claim {
            reputation: None,
            confidence: None,
            severity: Severity::Unknown,
            tlp: None,
            tags: Vec::new(),
            first_seen: None,
            last_seen: None,
            valid_from: None,
            expires_at: None,
            retracted: false,
            comment: None,
            link: None,
            raw: None,
            internal_hits: 0,
            external_hits: 0,
        }
    }
}

impl Claim {
    /// Joins a claim of the same version: commutative, associative and idempotent.
    fn join(&mut self, other: &Claim) {
        self.reputation = self.reputation.max(other.reputation);
        self.confidence = self.confidence.max(other.confidence);
        self.severity = self.severity.max(other.severity);
        self.tlp = self.tlp.max(other.tlp);
        if other.tags.iter().any(|tag| self.tags.binary_search(tag).is_err()) {
            self.tags.extend(other.tags.iter().cloned());
            self.tags.sort_unstable();
            self.tags.dedup();
            // The least so many of a union are the same in whatever order it is made.
            self.tags.truncate(limits::TAGS_PER_RECORD);
        }
        self.expires_at = self.expires_at.max(other.expires_at);
        self.valid_from = earliest(self.valid_from, other.valid_from);
        self.retracted |= other.retracted;
        if self.comment < other.comment {
            self.comment.clone_from(&other.comment);
        }
        if self.link < other.link {
            self.link.clone_from(&other.link);
        }
        if self.raw < other.raw {
            self.raw.clone_from(&other.raw);
        }
        self.internal_hits = self.internal_hits.max(other.internal_hits);
        self.external_hits = self.external_hits.max(other.external_hits);
        self.widen(other);
    }

    /// A hash of what is said, without what moves by itself: times, counts and spelling. An ending is held against it,
    /// or a source that only moves its dates would undo what a person ended.
    fn words(&self) -> u64 {
        let mut bytes = vec![
            self.reputation.map_or(0, Reputation::get),
            self.confidence.unwrap_or(0xff),
            self.severity as u8,
            self.tlp.map_or(0xff, |t| t as u8),
        ];
        for text in [&self.comment, &self.link] {
            bytes.extend_from_slice(text.as_deref().unwrap_or_default().as_bytes());
            bytes.push(0xff);
        }
        for tag in &self.tags {
            bytes.extend_from_slice(tag.as_bytes());
            bytes.push(0xff);
        }
        xxhash_rust::xxh3::xxh3_64(&bytes)
    }

    /// first_seen is always the minimum, last_seen the maximum, whatever the versions.
    fn widen(&mut self, other: &Claim) {
        self.first_seen = earliest(self.first_seen, other.first_seen);
        self.last_seen = self.last_seen.max(other.last_seen);
    }
}

/// The earlier of two times, either of which may be missing.
pub(crate) fn earliest(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// A normalised row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What it is about.
    pub key: IndicatorKey,
    /// The version the source gave it; None: the start of the run in which this content was first read.
    pub version: Option<Timestamp>,
    /// What it says.
    pub claim: Claim,
    /// The id of the object at the source.
    pub remote_id: Option<Box<str>>,
    /// Exchanges it has passed through.
    pub hops: Vec<String>,
}

impl Row {
    /// About what it holds in memory, in bytes: an estimate to keep rows within bounds by.
    pub fn weight(&self) -> usize {
        let text = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len());
        let claim = &self.claim;
        // A text of its own costs its length and what an allocation costs.
        let tags: usize = claim.tags.iter().map(|tag| tag.len() + 32).sum();
        let hops: usize = self.hops.iter().map(|hop| hop.len() + 40).sum();
        let texts = text(&claim.comment) + text(&claim.link) + text(&claim.raw) + text(&self.remote_id);
        size_of::<Row>() + self.key.value().len() + 16 + texts + tags + hops
    }

    /// A 64-bit fingerprint of connection, key and content, stable across processes and releases (it is stored). The
    /// object's id and the hops belong to the content: by them an echo is told from a genuine row.
    /// `scratch` is reused between calls.
    pub fn fingerprint(&self, connection: crate::ConnectionId, scratch: &mut Vec<u8>) -> u64 {
        scratch.clear();
        scratch.extend_from_slice(&connection.0.to_le_bytes());
        scratch.push(self.key.kind() as u8);
        scratch.extend_from_slice(self.key.value().as_bytes());
        // A byte that no UTF-8 text holds ends each text, so that neighbours cannot run together.
        scratch.push(0xff);
        let claim = &self.claim;
        scratch.push(claim.reputation.map_or(0, Reputation::get));
        scratch.push(claim.confidence.map_or(0xff, |c| c));
        scratch.push(claim.severity as u8);
        scratch.push(claim.tlp.map_or(0xff, |t| t as u8));
        scratch.push(u8::from(claim.retracted));
        for time in [self.version, claim.first_seen, claim.last_seen, claim.valid_from, claim.expires_at] {
            scratch.extend_from_slice(&time.map_or(i64::MIN, Timestamp::micros).to_le_bytes());
        }
        scratch.extend_from_slice(&claim.internal_hits.to_le_bytes());
        scratch.extend_from_slice(&claim.external_hits.to_le_bytes());
        for text in [&claim.comment, &claim.link, &claim.raw, &self.remote_id] {
            scratch.extend_from_slice(text.as_deref().unwrap_or_default().as_bytes());
            scratch.push(0xff);
        }
        for tag in &claim.tags {
            scratch.extend_from_slice(tag.as_bytes());
            scratch.push(0xff);
        }
        // And a byte that begins no text ends the tags, so that a hop is not taken for one.
        scratch.push(0xfe);
        for hop in &self.hops {
            scratch.extend_from_slice(hop.as_bytes());
            scratch.push(0xff);
        }
        xxhash_rust::xxh3::xxh3_64(scratch)
    }
}

/// What absorbing a row did to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absorbed {
    /// Nothing that is stored differs.
    Unchanged,
    /// The record differs and must be written.
    Changed,
}

/// What a person ended when they retracted a record: it revives only with a greater version *and* other content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// The version that was current.
    pub version: Timestamp,
    /// A hash of what was said, without times and counts.
    pub content: u64,
}

/// What one connection currently says about one indicator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRecord {
    /// The version of the claim; the greater wins.
    pub version: Timestamp,
    /// What is said.
    pub claim: Claim,
    /// When this connection first gave us the indicator.
    pub received: Timestamp,
    /// Fingerprints of the rows that are joined in the claim, sorted; a row whose fingerprint is here is unchanged. Of
    /// a record that a person ended, also [`Ended::content`] while the claim still says that.
    pub contents: Vec<u64>,
    /// The source's last believed run had it. Always true for sources that are not complete.
    pub listed: bool,
    /// We put it there first: no claim, no age, no score; its sightings count.
    pub echo: bool,
    /// A person retracted it.
    pub ended: Option<Ended>,
    /// The id of the object at the source.
    pub remote_id: Option<Box<str>>,
}

impl SourceRecord {
    /// The record a first row makes. `run` is the start of the run that read it.
    pub fn first(row: &Row, fingerprint: u64, run: Timestamp, received: Timestamp) -> SourceRecord {
        SourceRecord {
            version: row.version.unwrap_or(run),
            claim: row.claim.clone(),
            received,
            contents: vec![fingerprint],
            listed: true,
            echo: false,
            ended: None,
            remote_id: row.remote_id.clone(),
        }
    }

    /// Takes in one more row of the same connection and key. `run` is the start of the run that read it.
    pub fn absorb(&mut self, row: &Row, fingerprint: u64, run: Timestamp) -> Absorbed {
        let relisted = !std::mem::replace(&mut self.listed, true);
        let absorbed = |changed: bool| if changed || relisted { Absorbed::Changed } else { Absorbed::Unchanged };
        let place = self.contents.binary_search(&fingerprint);
        if place.is_ok() {
            return absorbed(false);
        }
        let version = row.version.unwrap_or(run);
        match version.cmp(&self.version) {
            Ordering::Less => {
                let seen = (self.claim.first_seen, self.claim.last_seen);
                self.claim.widen(&row.claim);
                absorbed(seen != (self.claim.first_seen, self.claim.last_seen))
            }
            Ordering::Equal => {
                let room = self.contents.len() < limits::CONTENTS_PER_RECORD;
                // A row there is no room to remember comes here at every run: it must not look like news.
                let before = (!room).then(|| (self.claim.clone(), self.remote_id.clone()));
                if let (Err(at), true) = (place, room) {
                    self.contents.insert(at, fingerprint);
                }
                self.claim.join(&row.claim);
                if self.remote_id < row.remote_id {
                    self.remote_id.clone_from(&row.remote_id);
                }
                self.mark_ended();
                absorbed(before.is_none_or(|(claim, id)| claim != self.claim || id != self.remote_id))
            }
            Ordering::Greater => {
                let old = std::mem::replace(&mut self.claim, row.claim.clone());
                self.claim.widen(&old);
                self.version = version;
                self.remote_id.clone_from(&row.remote_id);
                self.contents.clear();
                self.contents.push(fingerprint);
                self.mark_ended();
                Absorbed::Changed
            }
        }
    }

    /// Ends the record by a person's word.
    pub fn end(&mut self) {
        self.ended = Some(Ended { version: self.version, content: self.claim.words() });
        self.mark_ended();
    }

    /// Takes back that it was ended.
    pub fn lift(&mut self) {
        if let Some(ended) = self.ended.take()
            && let Ok(at) = self.contents.binary_search(&ended.content)
        {
            self.contents.remove(at);
        }
    }

    /// Notes among the contents whether the claim says what was ended, so that readers need not work it out.
    fn mark_ended(&mut self) {
        let Some(ended) = self.ended else { return };
        let same = self.claim.words() == ended.content;
        match self.contents.binary_search(&ended.content) {
            Ok(at) if !same => {
                self.contents.remove(at);
            }
            Err(at) if same => self.contents.insert(at, ended.content),
            _ => {}
        }
    }

    /// The source or a person has taken it back: it is revived by a greater version with other content only.
    pub fn is_retracted(&self) -> bool {
        let ended =
            self.ended.is_some_and(|e| self.version <= e.version || self.contents.binary_search(&e.content).is_ok());
        self.claim.retracted || ended
    }
}
