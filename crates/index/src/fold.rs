//! From records to summaries: the fold of `intel` fed from columns, and the hash by which two summaries are told apart.

use crate::arena::tag_hash;
use crate::columns::*;
use crate::{Index, RecordRow};
use intel::{
    Analyst, ConnectionId, Facts, Fold, Folded, IndicatorId, IndicatorKey, Policies, Reputation, Severity,
    SourceRecord, Summary, Timestamp, Tlp, VerdictKind,
};
use std::collections::BTreeSet;
use xxhash_rust::xxh3::xxh3_64;

/// Room for one fold, used again and again.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) facts: Vec<Facts>,
    /// Where each of the facts comes from; `NONE`: a record that is not in the index (yet).
    pub(crate) slots: Vec<u32>,
    pub(crate) fold: Fold,
    pub(crate) sources: Vec<u32>,
    tags: Vec<u64>,
}

/// A change that is not made yet.
#[derive(Clone, Copy)]
pub(crate) enum Incoming<'a> {
    Nothing,
    Record(ConnectionId, &'a SourceRecord),
    Listed(u32, bool),
    Said(&'a Analyst),
}

/// The parts of a summary that a reader could see change, in a form that is the same in every process. `expires_at` is
/// not among them: it moves with every believed run.
struct Visible {
    active: bool,
    reputation: Reputation,
    severity: Severity,
    confidence: Option<u8>,
    tlp: Tlp,
    first_seen: u32,
    last_seen: u32,
    hits: (u32, u32),
    retracted: bool,
    muted: bool,
    verdict: Option<VerdictKind>,
    tags: u64,
    sources: u64,
    comment: u64,
    link: u16,
}

impl Visible {
    fn hash(&self) -> u64 {
        let mut bytes = [0u8; 64];
        bytes[0] = level(Some(self.reputation), self.severity);
        bytes[1] = indicator_marks(self.tlp, self.active, self.muted, self.retracted, self.verdict);
        bytes[2] = self.confidence.unwrap_or(NO_CONFIDENCE);
        for (at, number) in
            [self.first_seen, self.last_seen, self.hits.0, self.hits.1, self.link.into()].iter().enumerate()
        {
            bytes[4 + at * 4..8 + at * 4].copy_from_slice(&number.to_le_bytes());
        }
        for (at, hash) in [self.tags, self.sources, self.comment].iter().enumerate() {
            bytes[24 + at * 8..32 + at * 8].copy_from_slice(&hash.to_le_bytes());
        }
        xxh3_64(&bytes[..48])
    }
}

pub(crate) fn indicator_marks(
    tlp: Tlp,
    active: bool,
    muted: bool,
    retracted: bool,
    verdict: Option<VerdictKind>,
) -> u8 {
    let bit = |on: bool, bit: u8| if on { bit } else { 0 };
    tlp as u8 | bit(active, ACTIVE) | bit(muted, MUTED) | bit(retracted, TAKEN_BACK) | verdict_bits(verdict)
}

/// The hash of a link, as much of it as a record keeps; 0 for none.
pub(crate) fn link_hash(link: Option<&str>) -> u16 {
    link.map_or(0, |link| (xxh3_64(link.as_bytes()) as u16).max(1))
}

fn comment_hash(comment: &str) -> u64 {
    if comment.is_empty() { 0 } else { xxh3_64(comment.as_bytes()) }
}

/// The hash of a set from the hashes of its members, in whatever order they come.
fn set_hash(members: impl Iterator<Item = u64>) -> u64 {
    members.fold(0u64, |sum, hash| sum.wrapping_add(hash.rotate_left(17).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

impl Index {
    /// Takes over policies and what is derived from them; folds nothing.
    pub(crate) fn adopt_policies(&mut self, policies: Policies) {
        let n = policies.iter().map(|(id, _)| usize::from(id.0) + 1).max().unwrap_or(0);
        self.policy_tags = vec![0; n];
        self.policy_names = vec![0; n];
        for (id, policy) in policies.iter() {
            let mut tags: Vec<u32> = policy.tags.iter().map(|tag| self.tags.intern(tag)).collect();
            tags.sort_unstable();
            tags.dedup();
            self.policy_tags[usize::from(id.0)] = self.tag_sets.intern(&tags);
            self.policy_names[usize::from(id.0)] = xxh3_64(policy.name.as_bytes());
        }
        self.policies = policies;
    }

    pub(crate) fn policy_tags(&self, connection: ConnectionId) -> u32 {
        self.policy_tags.get(usize::from(connection.0)).copied().unwrap_or(0)
    }

    fn policy_name(&self, connection: u32) -> u64 {
        self.policy_names.get(connection as usize).copied().unwrap_or(0)
    }

    /// Puts the facts of an indicator's records in `scratch`, as they would be after `incoming`.
    pub(crate) fn gather(&self, at: Option<u32>, incoming: Incoming<'_>, scratch: &mut Scratch) {
        scratch.facts.clear();
        scratch.slots.clear();
        for slot in at.into_iter().flat_map(|at| self.list(at)) {
            let mut facts = self.records.facts(slot);
            match incoming {
                Incoming::Record(connection, _) if connection == facts.connection => continue,
                Incoming::Listed(changed, listed) if changed == slot => facts.listed = listed,
                _ => {}
            }
            scratch.facts.push(facts);
            scratch.slots.push(slot);
        }
        if let Incoming::Record(connection, record) = incoming {
            let place = scratch.facts.partition_point(|facts| facts.connection < connection);
            scratch.facts.insert(place, facts_of(connection, record));
            scratch.slots.insert(place, NONE);
        }
    }

    fn run(&self, analyst: Option<&Analyst>, scratch: &mut Scratch, now: Timestamp) -> Folded {
        let folded = scratch.fold.run(&scratch.facts, &self.policies, analyst, &self.settings, now);
        scratch.sources.clear();
        for place in &scratch.fold.counted[..scratch.fold.n_active] {
            scratch.sources.push(u32::from(scratch.facts[*place].connection.0));
        }
        let manual = u32::from(ConnectionId::MANUAL.0);
        if folded.manual_stands
            && self.policies.get(ConnectionId::MANUAL).is_some()
            && !scratch.sources.contains(&manual)
        {
            scratch.sources.push(manual);
            scratch.sources.sort_unstable();
        }
        folded
    }

    /// Folds an indicator as its columns stand. The counted records are in `scratch.fold`.
    pub(crate) fn fold(&self, at: u32, scratch: &mut Scratch, now: Timestamp) -> Folded {
        self.gather(Some(at), Incoming::Nothing, scratch);
        self.run(self.analyst(IndicatorId(at)), scratch, now)
    }

    /// The hash of the summary an indicator would have after a change.
    pub(crate) fn hash_after(&self, at: Option<u32>, incoming: Incoming<'_>, now: Timestamp) -> u64 {
        let mut scratch = Scratch::default();
        let scratch = &mut scratch;
        self.gather(at, incoming, scratch);
        let mut analyst = at.and_then(|at| self.analyst(IndicatorId(at)));
        let mut record = None;
        match incoming {
            Incoming::Record(_, new) => record = Some(new),
            Incoming::Said(new) => analyst = Some(new),
            Incoming::Listed(..) | Incoming::Nothing => {}
        }
        let folded = self.run(analyst, scratch, now);
        let hashes = |set: u32| self.tag_sets.get(set).iter().map(|tag| self.tags.hash(*tag));
        for place in &scratch.fold.counted {
            match (scratch.slots[*place], record) {
                (NONE, Some(record)) => scratch.tags.extend(record.claim.tags.iter().map(|tag| tag_hash(tag))),
                (slot, _) => scratch.tags.extend(hashes(self.records.tags[slot as usize])),
            }
            scratch.tags.extend(hashes(self.policy_tags(scratch.facts[*place].connection)));
        }
        if let Some(analyst) = analyst {
            scratch.tags.extend(analyst.tags_added.iter().map(|tag| tag_hash(tag)));
            scratch.tags.retain(|tag| analyst.tags_removed.iter().all(|removed| tag_hash(removed) != *tag));
        }
        scratch.tags.sort_unstable();
        scratch.tags.dedup();
        let (comment, link) = match (folded.leading.map(|place| scratch.slots[place]), record) {
            (None, _) => (0, 0),
            (Some(NONE), Some(record)) => (
                comment_hash(record.claim.comment.as_deref().unwrap_or_default()),
                link_hash(record.claim.link.as_deref()),
            ),
            (Some(slot), _) => {
                (comment_hash(self.comments.get(self.records.comment[slot as usize])), self.records.link[slot as usize])
            }
        };
        Visible {
            active: folded.active,
            reputation: folded.reputation,
            severity: folded.severity,
            confidence: folded.confidence,
            tlp: folded.tlp,
            first_seen: opt_secs(folded.first_seen),
            last_seen: opt_secs(folded.last_seen),
            hits: (folded.internal_hits, folded.external_hits),
            retracted: folded.retracted,
            muted: analyst.is_some_and(|analyst| analyst.muted),
            verdict: analyst.and_then(|analyst| analyst.verdict_at(now)),
            tags: set_hash(scratch.tags.iter().copied()),
            sources: set_hash(scratch.sources.iter().map(|source| self.policy_name(*source))),
            comment,
            link,
        }
        .hash()
    }

    /// The hash of the summary as it was last folded: equal for equal summaries, in this process and the next. 0 for an
    /// indicator that does not exist. It leaves out `expires_at`.
    pub fn summary_hash(&self, id: IndicatorId) -> u64 {
        if !self.exists(id) {
            return 0;
        }
        let at = id.0 as usize;
        let columns = &self.indicators;
        let marks = columns.marks[at];
        let leading = self.leading(id.0);
        let confidence = columns.confidence[at];
        Visible {
            active: marks & ACTIVE != 0,
            reputation: Reputation::clamped(i64::from(columns.level[at] >> 4)),
            severity: severity(columns.level[at]),
            confidence: (confidence != NO_CONFIDENCE).then_some(confidence),
            tlp: tlp(marks).unwrap_or(self.settings.default_tlp),
            first_seen: columns.first_seen[at],
            last_seen: columns.last_seen[at],
            hits: self.hits_of(id.0),
            retracted: marks & TAKEN_BACK != 0,
            muted: marks & MUTED != 0,
            verdict: verdict(marks),
            tags: set_hash(self.tag_sets.get(columns.tags[at]).iter().map(|tag| self.tags.hash(*tag))),
            sources: set_hash(self.source_sets.get(columns.sources[at]).iter().map(|source| self.policy_name(*source))),
            comment: leading.map_or(0, |slot| comment_hash(self.comments.get(self.records.comment[slot as usize]))),
            link: leading.map_or(0, |slot| self.records.link[slot as usize]),
        }
        .hash()
    }

    pub(crate) fn hits_of(&self, at: u32) -> (u32, u32) {
        if self.hits.is_empty() { (0, 0) } else { self.hits.get(&at).copied().unwrap_or_default() }
    }

    /// The slot of the leading record, as last folded. An indicator with more than 254 records whose leader is beyond
    /// them shows the 255th; no exchange has as many connections speak of one value.
    pub(crate) fn leading(&self, at: u32) -> Option<u32> {
        match self.indicators.leader[at as usize] {
            NO_LEADER => None,
            place => self.list(at).nth(usize::from(place)),
        }
    }

    /// Folds one indicator anew and writes its columns.
    pub(crate) fn refold(&mut self, at: u32, now: Timestamp) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let folded = self.fold(at, &mut scratch, now);
        let mut tags = 0;
        for place in &scratch.fold.counted {
            tags = self.tag_sets.union(tags, self.records.tags[scratch.slots[*place] as usize]);
            tags = self.tag_sets.union(tags, self.policy_tags(scratch.facts[*place].connection));
        }
        let (mut muted, mut verdict) = (false, None);
        if let Some(said) = self.analysts.get(&at) {
            tags = self.tag_sets.union(tags, said.added);
            tags = self.tag_sets.minus(tags, said.removed);
            muted = said.analyst.muted;
            verdict = said.analyst.verdict_at(now);
        }
        let sources = self.source_sets.intern(&scratch.sources);
        self.scratch = scratch;

        let columns = &mut self.indicators;
        let to = at as usize;
        columns.level[to] = level(Some(folded.reputation), folded.severity);
        columns.marks[to] = indicator_marks(folded.tlp, folded.active, muted, folded.retracted, verdict);
        columns.confidence[to] = folded.confidence.unwrap_or(NO_CONFIDENCE);
        columns.first_seen[to] = opt_secs(folded.first_seen);
        columns.last_seen[to] = opt_secs(folded.last_seen);
        columns.tags[to] = tags;
        columns.sources[to] = sources;
        columns.leader[to] = folded.leading.map_or(NO_LEADER, |place| place.min(usize::from(NO_LEADER) - 1) as u8);
        columns.refold_at[to] = folded.next_change.map_or(NONE, secs);
        self.next_refold = self.next_refold.min(columns.refold_at[to]);
        if folded.internal_hits | folded.external_hits != 0 {
            self.hits.insert(at, (folded.internal_hits, folded.external_hits));
        } else if !self.hits.is_empty() {
            self.hits.remove(&at);
        }
    }

    /// Folds again what time may have changed by `now`; those whose summary did change, in order. Cheap when nothing is
    /// due.
    pub fn advance(&mut self, now: Timestamp) -> Vec<IndicatorId> {
        let due = secs(now);
        let mut changed = Vec::new();
        if due < self.next_refold {
            return changed;
        }
        self.next_refold = NONE;
        for at in 0..self.indicators.refold_at.len() {
            let refold_at = self.indicators.refold_at[at];
            if refold_at > due {
                self.next_refold = self.next_refold.min(refold_at);
                continue;
            }
            let id = IndicatorId(at as u32);
            let before = self.summary_hash(id);
            self.refold(at as u32, now);
            if self.summary_hash(id) != before {
                changed.push(id);
            }
        }
        changed
    }

    /// What an indicator is held to be at `now`: times to the second, and without a link, which the store keeps. Of a
    /// number that does not exist: what nobody said anything about.
    pub fn summary(&self, id: IndicatorId, now: Timestamp) -> Summary {
        let mut scratch = Scratch::default();
        let folded = self.fold(id.0, &mut scratch, now);
        let mut tags = BTreeSet::new();
        let mut add = |set: u32| tags.extend(self.tag_sets.get(set).iter().map(|tag| self.tags.name(*tag).to_owned()));
        for place in &scratch.fold.counted {
            add(self.records.tags[scratch.slots[*place] as usize]);
            add(self.policy_tags(scratch.facts[*place].connection));
        }
        let analyst = self.analyst(id);
        if let Some(analyst) = analyst {
            tags.extend(analyst.tags_added.iter().cloned());
            tags.retain(|tag| !analyst.tags_removed.contains(tag));
        }
        let name = |source: &u32| Some(self.policies.get(ConnectionId(*source as u16))?.name.to_string());
        let comment =
            folded.leading.map(|place| self.comments.get(self.records.comment[scratch.slots[place] as usize]));
        Summary {
            tags,
            sources: scratch.sources.iter().filter_map(name).collect(),
            comment: comment.filter(|comment| !comment.is_empty()).map(Into::into),
            link: None,
            muted: analyst.is_some_and(|analyst| analyst.muted),
            verdict: analyst.and_then(|analyst| analyst.verdict_at(now)),
            folded,
        }
    }

    /// Every connection's word on an indicator, in order of connection.
    pub fn records(&self, id: IndicatorId, now: Timestamp) -> Vec<RecordRow> {
        self.list(id.0)
            .map(|slot| {
                let facts = self.records.facts(slot);
                let policy = self.policies.get(facts.connection);
                let mut tags: Vec<String> = self
                    .tag_sets
                    .get(self.records.tags[slot as usize])
                    .iter()
                    .map(|tag| self.tags.name(*tag).to_owned())
                    .collect();
                tags.sort_unstable();
                let comment = self.comments.get(self.records.comment[slot as usize]);
                RecordRow {
                    connection: facts.connection,
                    facts,
                    tags,
                    comment: (!comment.is_empty()).then(|| comment.to_owned()),
                    active: policy.is_some_and(|policy| facts.is_active(policy, now)),
                    expires: policy.and_then(|policy| facts.expires(policy)),
                }
            })
            .collect()
    }

    /// Whether the summary, or activity, would differ if this record were put. True for a new indicator.
    pub fn would_change(
        &self,
        id: Option<IndicatorId>,
        connection: ConnectionId,
        record: &SourceRecord,
        now: Timestamp,
    ) -> bool {
        match id.filter(|id| self.exists(*id)) {
            None => true,
            Some(id) => self.hash_after(Some(id.0), Incoming::Record(connection, record), now) != self.summary_hash(id),
        }
    }

    /// The [`Index::summary_hash`] there would be after this record is put. It is stored with the row, so that a restart
    /// can tell what changed while nobody looked. The key takes no part; it is named so that callers need no option.
    pub fn summary_hash_after(
        &self,
        id: Option<IndicatorId>,
        _key: &IndicatorKey,
        connection: ConnectionId,
        record: &SourceRecord,
        now: Timestamp,
    ) -> u64 {
        self.hash_after(id.map(|id| id.0), Incoming::Record(connection, record), now)
    }

    /// Whether listing the record, or no longer, would change the summary; and the hash it would then have.
    pub fn would_change_listed(&self, slot: crate::Slot, listed: bool, now: Timestamp) -> (bool, u64) {
        let owner = self.records.owner(slot.0);
        let hash = self.hash_after(Some(owner), Incoming::Listed(slot.0, listed), now);
        (hash != self.summary_hash(IndicatorId(owner)), hash)
    }
}
