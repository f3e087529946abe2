//! One indicator, folded at the very moment asked for: the slow and sure way, for what is due and not yet folded.

use super::SharedWith;
use crate::Index;
use crate::columns::NONE;
use crate::fold::Scratch;
use intel::expr::{Expr, Field, FlagField, NamesField, NumberField, Test, TextField, TimeField};
use intel::key::covers;
use intel::{ConnectionId, Facts, Folded, IndicatorId, Policy, Timestamp};

/// One indicator as it is now.
pub(super) struct One<'a> {
    index: &'a Index,
    at: u32,
    now: Timestamp,
    shared: &'a dyn SharedWith,
    scratch: Scratch,
    folded: Folded,
}

impl<'a> One<'a> {
    pub(super) fn new(index: &'a Index, at: u32, now: Timestamp, shared: &'a dyn SharedWith) -> One<'a> {
        let mut scratch = Scratch::default();
        let folded = index.fold(at, &mut scratch, now);
        One { index, at, now, shared, scratch, folded }
    }

    /// The same room for another indicator.
    pub(super) fn move_to(&mut self, at: u32) {
        self.folded = self.index.fold(at, &mut self.scratch, self.now);
        self.at = at;
    }

    pub(super) fn is_active(&self) -> bool {
        self.folded.active
    }

    pub(super) fn expires_at(&self) -> Option<Timestamp> {
        self.folded.expires_at
    }

    pub(super) fn holds(&self, expr: &Expr) -> bool {
        match expr {
            Expr::All => true,
            Expr::And(parts) => parts.iter().all(|part| self.holds(part)),
            Expr::Or(parts) => parts.iter().any(|part| self.holds(part)),
            Expr::Not(part) => !self.holds(part),
            Expr::Test(test) => self.meets(test),
            Expr::Record(part) => self.index.record_holds(self.at, part, self.now),
            Expr::Under(scope) => {
                let (kind, value) = self.index.key_ref(IndicatorId(self.at));
                scope.holds(kind, value)
            }
            Expr::Covers(inner) => covers(&self.index.key(IndicatorId(self.at)), inner),
        }
    }

    fn meets(&self, test: &Test) -> bool {
        let index = self.index;
        let (kind, value) = index.key_ref(IndicatorId(self.at));
        let analyst = index.analyst(IndicatorId(self.at));
        match test.field() {
            Field::Kind => test.on_kind(kind),
            Field::Text(TextField::Value) => test.on_text(Some(value)),
            Field::Text(TextField::Comment) => {
                test.on_text(self.folded.leading.and_then(|place| index.comment(self.scratch.slots[place])))
            }
            Field::Names(NamesField::Tag) => test.on_names(self.tags().into_iter()),
            Field::Names(NamesField::Source) => {
                let name = |id: &u32| index.policies.get(ConnectionId(*id as u16)).map(|policy| &*policy.name);
                test.on_names(self.scratch.sources.iter().filter_map(name))
            }
            Field::Names(NamesField::SharedWith) => {
                let mut names: Vec<String> = Vec::new();
                self.shared.each(&mut |name, held| {
                    if held.contains(IndicatorId(self.at)) {
                        names.push(name.to_owned());
                    }
                });
                test.on_names(names.iter().map(|name| &**name))
            }
            Field::Number(field) => test.on_number(self.number(field)),
            Field::Time(TimeField::FirstSeen) => test.on_time(self.folded.first_seen, self.now),
            Field::Time(TimeField::LastSeen) => test.on_time(self.folded.last_seen, self.now),
            Field::Time(TimeField::ExpiresAt) => test.on_time(self.folded.expires_at, self.now),
            Field::Flag(FlagField::Active) => test.on_flag(self.folded.active),
            Field::Flag(FlagField::Retracted) => test.on_flag(self.folded.retracted),
            Field::Flag(FlagField::Muted) => test.on_flag(analyst.is_some_and(|analyst| analyst.muted)),
            Field::Verdict => test.on_verdict(analyst.and_then(|analyst| analyst.verdict_at(self.now))),
        }
    }

    fn number(&self, field: NumberField) -> Option<i64> {
        let folded = &self.folded;
        match field {
            NumberField::Reputation => Some(i64::from(folded.reputation.get())),
            NumberField::Severity => Some(folded.severity as i64),
            NumberField::Confidence => folded.confidence.map(i64::from),
            NumberField::Tlp => Some(folded.tlp as i64),
            NumberField::NSources => Some(self.scratch.sources.len() as i64),
            NumberField::InternalHits => Some(i64::from(folded.internal_hits)),
            NumberField::ExternalHits => Some(i64::from(folded.external_hits)),
            NumberField::Age => {
                let received = || self.scratch.facts.iter().filter(|f| !f.echo).map(|f| f.received).min();
                folded.first_seen.or_else(received).map(|from| self.now.micros().saturating_sub(from.micros()))
            }
        }
    }

    fn tags(&self) -> Vec<&'a str> {
        let index = self.index;
        let said = index.analysts.get(&self.at);
        let counted = self.scratch.fold.counted.iter();
        let sets = counted
            .flat_map(|place| {
                let slot = self.scratch.slots[*place];
                [index.records.tags[slot as usize], index.policy_tags(self.scratch.facts[*place].connection)]
            })
            .chain(said.map(|said| said.added));
        let mut tags: Vec<u32> = sets.flat_map(|set| index.tag_sets.get(set)).copied().collect();
        if let Some(said) = said {
            let removed = index.tag_sets.get(said.removed);
            tags.retain(|tag| !removed.contains(tag));
        }
        tags.into_iter().map(|tag| index.tags.name(tag)).collect()
    }
}

impl Index {
    pub(super) fn comment(&self, slot: u32) -> Option<&str> {
        Some(self.comments.get(self.records.comment[slot as usize])).filter(|comment| !comment.is_empty())
    }

    /// Whether one active record meets all of an expression.
    pub(super) fn record_holds(&self, at: u32, part: &Expr, now: Timestamp) -> bool {
        let mut manual_is_active = false;
        for slot in self.list(at) {
            let facts = self.records.facts(slot);
            let Some(policy) = self.policies.get(facts.connection) else { continue };
            if facts.is_active(policy, now) {
                manual_is_active |= facts.connection == ConnectionId::MANUAL;
                let record = Record { index: self, slot, facts, policy, now };
                if record.holds(part) {
                    return true;
                }
            }
        }
        let stands = self.analysts.get(&at).and_then(|said| said.analyst.verdict_at(now));
        if manual_is_active || stands != Some(intel::VerdictKind::Malicious) {
            return false;
        }
        let Some(policy) = self.policies.get(ConnectionId::MANUAL) else { return false };
        Record { index: self, slot: NONE, facts: STATES_NOTHING, policy, now }.holds(part)
    }
}

/// A verdict that stands as a record: it says nothing but whose it is.
const STATES_NOTHING: Facts = Facts {
    connection: ConnectionId::MANUAL,
    reputation: None,
    confidence: None,
    severity: intel::Severity::Unknown,
    tlp: None,
    first_seen: None,
    last_seen: None,
    valid_from: None,
    expires_at: None,
    received: Timestamp::EPOCH,
    retracted: false,
    listed: true,
    echo: false,
    internal_hits: 0,
    external_hits: 0,
};

/// One active record; slot `NONE`: a verdict that stands as one.
struct Record<'a> {
    index: &'a Index,
    slot: u32,
    facts: Facts,
    policy: &'a Policy,
    now: Timestamp,
}

impl Record<'_> {
    fn holds(&self, expr: &Expr) -> bool {
        match expr {
            Expr::All => true,
            Expr::And(parts) => parts.iter().all(|part| self.holds(part)),
            Expr::Or(parts) => parts.iter().any(|part| self.holds(part)),
            Expr::Not(part) => !self.holds(part),
            Expr::Test(test) => self.meets(test),
            Expr::Record(part) => self.holds(part),
            Expr::Under(_) | Expr::Covers(_) => false,
        }
    }

    fn meets(&self, test: &Test) -> bool {
        let (facts, index) = (&self.facts, self.index);
        let stated = self.slot != NONE;
        match test.field() {
            Field::Text(TextField::Comment) => test.on_text(if stated { index.comment(self.slot) } else { None }),
            Field::Names(NamesField::Source) => test.on_names(std::iter::once(&*self.policy.name)),
            Field::Names(NamesField::SharedWith) => test.on_names(std::iter::empty()),
            Field::Names(NamesField::Tag) if stated => {
                let own = index.tag_sets.get(index.records.tags[self.slot as usize]);
                let added = index.tag_sets.get(index.policy_tags(facts.connection));
                test.on_names(own.iter().chain(added).map(|tag| index.tags.name(*tag)))
            }
            Field::Names(NamesField::Tag) => test.on_names(std::iter::empty()),
            Field::Number(field) => test.on_number(self.number(field, stated)),
            Field::Time(TimeField::FirstSeen) => test.on_time(facts.first_seen, self.now),
            Field::Time(TimeField::LastSeen) => test.on_time(facts.last_seen, self.now),
            Field::Time(TimeField::ExpiresAt) => {
                test.on_time(if stated { facts.expires(self.policy) } else { None }, self.now)
            }
            Field::Kind | Field::Verdict | Field::Flag(_) | Field::Text(TextField::Value) => false,
        }
    }

    fn number(&self, field: NumberField, stated: bool) -> Option<i64> {
        let facts = &self.facts;
        match field {
            NumberField::Reputation if stated => facts.effective_reputation(self.policy).map(|v| i64::from(v.get())),
            NumberField::Tlp if stated => facts.effective_tlp(self.policy).map(|v| v as i64),
            NumberField::Reputation | NumberField::Tlp | NumberField::NSources => None,
            NumberField::Severity => Some(facts.severity as i64),
            NumberField::Confidence => facts.confidence.map(i64::from),
            NumberField::InternalHits => Some(i64::from(facts.internal_hits)),
            NumberField::ExternalHits => Some(i64::from(facts.external_hits)),
            NumberField::Age => {
                let from = facts.first_seen.or((stated && !facts.echo).then_some(facts.received));
                from.map(|from| self.now.micros().saturating_sub(from.micros()))
            }
        }
    }
}
