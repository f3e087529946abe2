//! An indicator is a key plus every connection's record; its summary is a fold over the records that are active.
//!
//! The fold is written once, over [`Facts`]: the index feeds it from columns, [`Indicator::summary`] from whole
//! records. Policy is applied here and nowhere else, so that a changed setting re-folds without a pull.

use crate::ids::ConnectionId;
use crate::key::IndicatorKey;
use crate::level::{Reputation, Severity, Tlp};
use crate::record::{SourceRecord, earliest};
use crate::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// One day, the unit of aging.
pub const DAY: Duration = Duration::from_secs(24 * 3600);

/// What an operator decided about one connection; applied to its records by the fold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The connection's name: `source` in rules, the last tie-break for the leading record.
    pub name: Box<str>,
    /// Replaces whatever reputation the source states.
    pub override_reputation: Option<Reputation>,
    /// Counts as stated on every record.
    pub tlp: Option<Tlp>,
    /// Added to every record.
    pub tags: Vec<Box<str>>,
    /// How long a record lives after it was last seen; None: for ever.
    pub aging: Option<Duration>,
    /// Whether the source's own expiry is believed instead of aging.
    pub respect_source_expiry: bool,
    /// Its records count: it is enabled, or was disabled keeping them.
    pub counts: bool,
    /// It lists everything it stands by at every run.
    pub complete: bool,
    /// When its last believed run started: the effective last_seen of what it lists, for aging only.
    pub last_believed: Option<Timestamp>,
}

impl Policy {
    /// The defaults of a new connection.
    pub fn new(name: impl Into<Box<str>>) -> Policy {
        Policy {
            name: name.into(),
            override_reputation: None,
            tlp: None,
            tags: Vec::new(),
            aging: Some(90 * DAY),
            respect_source_expiry: true,
            counts: true,
            complete: false,
            last_believed: None,
        }
    }
}

/// The policies of all connections, by id. A connection that is not here does not count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policies(Vec<Option<Policy>>);

impl Policies {
    /// Sets or replaces one.
    pub fn set(&mut self, connection: ConnectionId, policy: Policy) {
        let at = usize::from(connection.0);
        if self.0.len() <= at {
            self.0.resize(at + 1, None);
        }
        self.0[at] = Some(policy);
    }

    /// Forgets one.
    pub fn remove(&mut self, connection: ConnectionId) {
        if let Some(slot) = self.0.get_mut(usize::from(connection.0)) {
            *slot = None;
        }
    }

    /// The policy of a connection.
    pub fn get(&self, connection: ConnectionId) -> Option<&Policy> {
        self.0.get(usize::from(connection.0))?.as_ref()
    }

    /// The policy to change in place.
    pub fn get_mut(&mut self, connection: ConnectionId) -> Option<&mut Policy> {
        self.0.get_mut(usize::from(connection.0))?.as_mut()
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = (ConnectionId, &Policy)> {
        self.0.iter().enumerate().filter_map(|(at, p)| Some((ConnectionId(at as u16), p.as_ref()?)))
    }

    /// The id of a connection by name.
    pub fn find(&self, name: &str) -> Option<ConnectionId> {
        self.iter().find(|(_, p)| &*p.name == name).map(|(id, _)| id)
    }
}

/// Which record leads: it supplies the comment and link shown first, never decides which records are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reconcile {
    /// Highest reputation; then severity, earliest first seen, name.
    #[default]
    HighestReputation,
    /// Most recently seen (its last_seen, else when we first received it).
    Latest,
    /// First received.
    First,
}

impl Reconcile {
    /// The name used in configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Reconcile::HighestReputation => "highest_reputation",
            Reconcile::Latest => "latest",
            Reconcile::First => "first",
        }
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Option<Reconcile> {
        [Reconcile::HighestReputation, Reconcile::Latest, Reconcile::First].into_iter().find(|r| r.as_str() == text)
    }
}

/// The settings of the whole exchange that the fold needs (`[policy]`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoldSettings {
    /// Which record leads.
    pub reconcile: Reconcile,
    /// The marking of what nobody marked.
    pub default_tlp: Tlp,
}

impl Default for FoldSettings {
    fn default() -> FoldSettings {
        FoldSettings { reconcile: Reconcile::default(), default_tlp: Tlp::Green }
    }
}

/// What an analyst says an indicator is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VerdictKind {
    /// Bad: stands as an active record of `manual`.
    Malicious,
    /// Not bad, until a date; beats every source.
    FalsePositive,
    /// Not bad; beats every source.
    Safe,
}

impl VerdictKind {
    /// The name used in rules, the CLI and the store.
    pub fn as_str(self) -> &'static str {
        match self {
            VerdictKind::Malicious => "malicious",
            VerdictKind::FalsePositive => "false_positive",
            VerdictKind::Safe => "safe",
        }
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Option<VerdictKind> {
        [VerdictKind::Malicious, VerdictKind::FalsePositive, VerdictKind::Safe].into_iter().find(|v| v.as_str() == text)
    }
}

/// A verdict, and until when it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// What was said.
    pub kind: VerdictKind,
    /// When it ends; None: never.
    pub until: Option<Timestamp>,
}

impl Verdict {
    /// Whether it stands at `now`.
    pub fn stands(self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// Everything people said about one indicator.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Analyst {
    /// Their verdict.
    pub verdict: Option<Verdict>,
    /// Nothing new is shared; nothing is taken back.
    pub muted: bool,
    /// Tags they added.
    pub tags_added: BTreeSet<String>,
    /// Tags they removed here.
    pub tags_removed: BTreeSet<String>,
    /// Their note.
    pub comment: Option<String>,
}

impl Analyst {
    /// The verdict that stands at `now`.
    pub fn verdict_at(&self, now: Timestamp) -> Option<VerdictKind> {
        self.verdict.filter(|v| v.stands(now)).map(|v| v.kind)
    }

    /// Whether nothing is said at all, so that nothing need be kept.
    pub fn is_empty(&self) -> bool {
        *self == Analyst::default()
    }
}

/// What the fold needs of one record, small enough to be put together from columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Whose record it is.
    pub connection: ConnectionId,
    /// As stated.
    pub reputation: Option<Reputation>,
    /// As stated.
    pub confidence: Option<u8>,
    /// As stated.
    pub severity: Severity,
    /// As stated.
    pub tlp: Option<Tlp>,
    /// As stated.
    pub first_seen: Option<Timestamp>,
    /// As stated.
    pub last_seen: Option<Timestamp>,
    /// As stated.
    pub valid_from: Option<Timestamp>,
    /// The source's own expiry.
    pub expires_at: Option<Timestamp>,
    /// When we first received it.
    pub received: Timestamp,
    /// Taken back by the source or a person.
    pub retracted: bool,
    /// In the source's last believed run.
    pub listed: bool,
    /// We put it there first.
    pub echo: bool,
    /// Own sightings.
    pub internal_hits: u32,
    /// Others' sightings.
    pub external_hits: u32,
}

impl Facts {
    /// The facts of a whole record.
    pub fn of(connection: ConnectionId, record: &SourceRecord) -> Facts {
        let claim = &record.claim;
        Facts {
            connection,
            reputation: claim.reputation,
            confidence: claim.confidence,
            severity: claim.severity,
            tlp: claim.tlp,
            first_seen: claim.first_seen,
            last_seen: claim.last_seen,
            valid_from: claim.valid_from,
            expires_at: claim.expires_at,
            received: record.received,
            retracted: record.is_retracted(),
            listed: record.listed,
            echo: record.echo,
            internal_hits: claim.internal_hits,
            external_hits: claim.external_hits,
        }
    }

    /// When the record stops counting under this policy; None: never.
    pub fn expires(&self, policy: &Policy) -> Option<Timestamp> {
        if policy.respect_source_expiry && self.expires_at.is_some() {
            return self.expires_at;
        }
        let believed = if policy.complete && self.listed { policy.last_believed } else { None };
        let seen = self.received.max(self.last_seen.max(believed).unwrap_or(self.received));
        Some(seen.after(policy.aging?))
    }

    /// Whether the record counts at `now`.
    pub fn is_active(&self, policy: &Policy, now: Timestamp) -> bool {
        policy.counts
            && self.listed
            && !self.retracted
            && !self.echo
            && self.valid_from.is_none_or(|from| from <= now)
            && self.expires(policy).is_none_or(|expires| now < expires)
    }

    /// The reputation this record counts with; None if neither source nor policy says anything.
    pub fn effective_reputation(&self, policy: &Policy) -> Option<Reputation> {
        policy.override_reputation.or(self.reputation).or_else(|| self.confidence.map(Reputation::from_confidence))
    }

    /// The marking this record counts with: the more restrictive of what source and policy state.
    pub fn effective_tlp(&self, policy: &Policy) -> Option<Tlp> {
        self.tlp.max(policy.tlp)
    }
}

/// What the fold says, tags and texts left to the caller: they come from the records in [`Fold::counted`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Folded {
    /// A verdict's word, else whether any record is active.
    pub active: bool,
    /// Maximum; 5 where nobody says.
    pub reputation: Reputation,
    /// Maximum.
    pub severity: Severity,
    /// Maximum; None where nobody says.
    pub confidence: Option<u8>,
    /// Most restrictive stated, else the default.
    pub tlp: Tlp,
    /// Minimum.
    pub first_seen: Option<Timestamp>,
    /// Maximum.
    pub last_seen: Option<Timestamp>,
    /// Maximum; None: never.
    pub expires_at: Option<Timestamp>,
    /// Sum over all records, echoes included: the tool that saw our value is the best signal there is.
    pub internal_hits: u32,
    /// The same for others' sightings.
    pub external_hits: u32,
    /// Position of the leading record among the facts.
    pub leading: Option<usize>,
    /// A `malicious` verdict stands as an active record of `manual`.
    pub manual_stands: bool,
    /// The indicator has records, none is active, and at least one was taken back rather than expired.
    pub retracted: bool,
    /// The first moment after `now` at which the answer may differ though nothing is written. Never too late.
    pub next_change: Option<Timestamp>,
}

/// The fold over records, with room it reuses.
#[derive(Debug, Default)]
pub struct Fold {
    /// Positions of the records the summary was made of: the active ones, or with none active the non-echo ones.
    pub counted: Vec<usize>,
    /// Positions of the active records, a part of `counted`.
    pub n_active: usize,
}

impl Fold {
    /// Folds the records of one indicator.
    pub fn run(
        &mut self,
        facts: &[Facts],
        policies: &Policies,
        analyst: Option<&Analyst>,
        settings: &FoldSettings,
        now: Timestamp,
    ) -> Folded {
        self.counted.clear();
        let mut next_change: Option<Timestamp> = None;
        let mut note = |time: Option<Timestamp>| next_change = earliest(next_change, time.filter(|t| *t > now));
        let mut taken_back = false;
        for (at, fact) in facts.iter().enumerate() {
            let Some(policy) = policies.get(fact.connection) else { continue };
            note(fact.valid_from);
            note(fact.expires(policy));
            if fact.is_active(policy, now) {
                self.counted.push(at);
            }
            taken_back |= !fact.echo && (fact.retracted || !fact.listed);
        }
        let verdict = analyst.and_then(|a| a.verdict_at(now));
        note(analyst.and_then(|a| a.verdict).and_then(|v| v.until));
        self.n_active = self.counted.len();
        let manual_stands = verdict == Some(VerdictKind::Malicious);
        let stands_until = analyst.and_then(|a| a.verdict).filter(|_| manual_stands).and_then(|v| v.until);
        if self.counted.is_empty() {
            self.counted.extend((0..facts.len()).filter(|at| !facts[*at].echo));
        }

        let fallback = Policy::new("");
        let policy_of = |fact: &Facts| policies.get(fact.connection).unwrap_or(&fallback);
        let mut folded = Folded {
            active: verdict.map_or(self.n_active > 0, |v| v == VerdictKind::Malicious),
            reputation: Reputation::DEFAULT,
            severity: Severity::Unknown,
            confidence: None,
            tlp: settings.default_tlp,
            first_seen: None,
            last_seen: None,
            expires_at: stands_until,
            internal_hits: 0,
            external_hits: 0,
            leading: None,
            manual_stands,
            retracted: self.n_active == 0 && taken_back && !manual_stands,
            next_change,
        };
        let mut reputation = None;
        let mut tlp = None;
        let mut never = manual_stands && stands_until.is_none();
        for &at in &self.counted {
            let fact = &facts[at];
            let policy = policy_of(fact);
            reputation = reputation.max(fact.effective_reputation(policy));
            folded.severity = folded.severity.max(fact.severity);
            folded.confidence = folded.confidence.max(fact.confidence);
            tlp = tlp.max(fact.effective_tlp(policy));
            folded.first_seen = earliest(folded.first_seen, fact.first_seen);
            folded.last_seen = folded.last_seen.max(fact.last_seen);
            match fact.expires(policy) {
                // Only the verdict keeps it active: what its old records said of their end is past.
                _ if manual_stands && self.n_active == 0 => {}
                Some(expires) => folded.expires_at = folded.expires_at.max(Some(expires)),
                None => never = true,
            }
            folded.leading = match folded.leading {
                Some(best) if !leads(settings.reconcile, fact, policy, &facts[best], policy_of(&facts[best])) => {
                    Some(best)
                }
                _ => Some(at),
            };
        }
        for fact in facts {
            folded.internal_hits = folded.internal_hits.saturating_add(fact.internal_hits);
            folded.external_hits = folded.external_hits.saturating_add(fact.external_hits);
        }
        if never {
            folded.expires_at = None;
        }
        folded.reputation = reputation.unwrap_or(Reputation::DEFAULT);
        folded.tlp = tlp.unwrap_or(settings.default_tlp);
        folded
    }
}

/// Whether record `a` leads before record `b`. Total and independent of arrival order: names are unique.
fn leads(reconcile: Reconcile, a: &Facts, pa: &Policy, b: &Facts, pb: &Policy) -> bool {
    use std::cmp::Reverse;
    let seen = |f: &Facts| f.last_seen.unwrap_or(f.received);
    let started = |f: &Facts| f.first_seen.unwrap_or(f.received);
    let by_name = (Reverse(&*pa.name), Reverse(&*pb.name));
    match reconcile {
        Reconcile::HighestReputation => {
            let rank = |f: &Facts, p: &Policy| {
                (f.effective_reputation(p).unwrap_or(Reputation::DEFAULT), f.severity, Reverse(started(f)))
            };
            (rank(a, pa), by_name.0) > (rank(b, pb), by_name.1)
        }
        Reconcile::Latest => (seen(a), by_name.0) > (seen(b), by_name.1),
        Reconcile::First => (Reverse(a.received), by_name.0) > (Reverse(b.received), by_name.1),
    }
}

/// What an indicator is held to be: the fold with tags and texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The numbers.
    pub folded: Folded,
    /// Tags of the counted records, of their connections' policy, and analysts', minus those analysts removed.
    pub tags: BTreeSet<String>,
    /// Names of the connections with an active record.
    pub sources: BTreeSet<String>,
    /// The leading record's comment.
    pub comment: Option<Box<str>>,
    /// The leading record's link.
    pub link: Option<Box<str>>,
    /// Muted by an analyst.
    pub muted: bool,
    /// The verdict that stands.
    pub verdict: Option<VerdictKind>,
}

/// A key plus what every connection says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Indicator {
    /// What it is about.
    pub key: IndicatorKey,
    /// Each connection's record.
    pub records: BTreeMap<ConnectionId, SourceRecord>,
    /// What people say.
    pub analyst: Analyst,
}

impl Indicator {
    /// An indicator nobody has said anything about yet.
    pub fn new(key: IndicatorKey) -> Indicator {
        Indicator { key, records: BTreeMap::new(), analyst: Analyst::default() }
    }

    /// The fold over its records at `now`.
    pub fn summary(&self, policies: &Policies, settings: &FoldSettings, now: Timestamp) -> Summary {
        let facts: Vec<Facts> = self.records.iter().map(|(id, record)| Facts::of(*id, record)).collect();
        let records: Vec<&SourceRecord> = self.records.values().collect();
        let mut fold = Fold::default();
        let folded = fold.run(&facts, policies, Some(&self.analyst), settings, now);
        let mut tags = BTreeSet::new();
        let mut sources = BTreeSet::new();
        for (n, &at) in fold.counted.iter().enumerate() {
            tags.extend(records[at].claim.tags.iter().map(|t| t.to_string()));
            if let Some(policy) = policies.get(facts[at].connection) {
                tags.extend(policy.tags.iter().map(|t| t.to_string()));
                if n < fold.n_active {
                    sources.insert(policy.name.to_string());
                }
            }
        }
        if folded.manual_stands
            && let Some(manual) = policies.get(ConnectionId::MANUAL)
        {
            sources.insert(manual.name.to_string());
        }
        tags.extend(self.analyst.tags_added.iter().cloned());
        tags.retain(|tag| !self.analyst.tags_removed.contains(tag));
        let leading = folded.leading.map(|at| &records[at].claim);
        Summary {
            tags,
            sources,
            comment: leading.and_then(|c| c.comment.clone()),
            link: leading.and_then(|c| c.link.clone()),
            muted: self.analyst.muted,
            verdict: self.analyst.verdict_at(now),
            folded,
        }
    }
}
