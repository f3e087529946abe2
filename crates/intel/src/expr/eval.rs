//! Whether one indicator meets an expression.
//!
//! How each test answers a value, and above all the lack of one, is a method of [`Test`], so that the index, which has
//! the values in columns, gives the same answer.

use super::ast::{Expr, Field, FlagField, NamesField, NumberField, Test, TextField, TimeField};
use crate::ConnectionId;
use crate::indicator::{Facts, Indicator, Policies, Summary, VerdictKind};
use crate::key::{IndicatorKey, covers};
use crate::level::{Reputation, Severity, Tlp};
use crate::record::SourceRecord;
use crate::time::Timestamp;

/// One indicator as an expression sees it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// What it is.
    pub key: &'a IndicatorKey,
    /// What it is held to be.
    pub summary: &'a Summary,
    /// What each connection says, in any order: [`Indicator::views`].
    pub records: &'a [RecordView<'a>],
    /// Names of the targets that hold it; empty where the expression is a rule's.
    pub shared_with: &'a [String],
    /// The time it is asked for.
    pub now: Timestamp,
}

/// One connection's record with its policy applied.
#[derive(Debug, Clone, Copy)]
pub struct RecordView<'a> {
    /// The connection's name.
    pub source: &'a str,
    /// Whether it counts; `record(...)` looks at no other.
    pub active: bool,
    /// None where neither source nor policy says anything.
    pub reputation: Option<Reputation>,
    /// `Unknown` where not stated.
    pub severity: Severity,
    /// As stated, 0 to 100.
    pub confidence: Option<u8>,
    /// The more restrictive of source and policy; None where neither says anything.
    pub tlp: Option<Tlp>,
    /// As the source stated.
    pub tags: &'a [Box<str>],
    /// Added by policy.
    pub policy_tags: &'a [Box<str>],
    /// As stated.
    pub comment: Option<&'a str>,
    /// As stated.
    pub first_seen: Option<Timestamp>,
    /// As stated.
    pub last_seen: Option<Timestamp>,
    /// When it stops counting; None: never.
    pub expires_at: Option<Timestamp>,
    /// When we first received it; None for an echo, which gives no age, and for a verdict that stands as a record.
    pub received: Option<Timestamp>,
    /// Own sightings.
    pub internal_hits: u32,
    /// Others' sightings.
    pub external_hits: u32,
}

impl Indicator {
    /// What each connection says at `now`, policy applied, and a `malicious` verdict that stands as a record of
    /// `manual`. A record without a policy is inactive and has no name.
    pub fn views<'a>(&'a self, policies: &'a Policies, now: Timestamp) -> Vec<RecordView<'a>> {
        let view = |id: ConnectionId, record: &'a SourceRecord| {
            let (facts, policy) = (Facts::of(id, record), policies.get(id));
            RecordView {
                source: policy.map_or("", |p| &p.name),
                active: policy.is_some_and(|p| facts.is_active(p, now)),
                reputation: policy.and_then(|p| facts.effective_reputation(p)),
                severity: facts.severity,
                confidence: facts.confidence,
                tlp: policy.map_or(facts.tlp, |p| facts.effective_tlp(p)),
                tags: &record.claim.tags,
                policy_tags: policy.map_or(&[], |p| &p.tags),
                comment: record.claim.comment.as_deref(),
                first_seen: facts.first_seen,
                last_seen: facts.last_seen,
                expires_at: policy.and_then(|p| facts.expires(p)),
                received: (!facts.echo).then_some(facts.received),
                internal_hits: facts.internal_hits,
                external_hits: facts.external_hits,
            }
        };
        let mut views = Vec::with_capacity(self.records.len() + 1);
        let mut manual_is_active = false;
        for (id, record) in &self.records {
            let view = view(*id, record);
            manual_is_active |= *id == ConnectionId::MANUAL && view.active;
            views.push(view);
        }
        if !manual_is_active
            && self.analyst.verdict_at(now) == Some(VerdictKind::Malicious)
            && let Some(manual) = policies.get(ConnectionId::MANUAL)
        {
            views.push(RecordView::standing(&manual.name));
        }
        views
    }
}

impl<'a> RecordView<'a> {
    /// An active record that states nothing but its source: how a `malicious` verdict stands.
    pub fn standing(source: &'a str) -> RecordView<'a> {
        RecordView {
            source,
            active: true,
            reputation: None,
            severity: Severity::Unknown,
            confidence: None,
            tlp: None,
            tags: &[],
            policy_tags: &[],
            comment: None,
            first_seen: None,
            last_seen: None,
            expires_at: None,
            received: None,
            internal_hits: 0,
            external_hits: 0,
        }
    }
}

impl Test {
    /// Of `kind`.
    pub fn on_kind(&self, kind: crate::IndicatorKind) -> bool {
        match self {
            Test::Kind { kinds, negated } => kinds.contains(&kind) != *negated,
            Test::IsSet(_) => true,
            _ => false,
        }
    }

    /// Of a field with one text: absent is false.
    pub fn on_text(&self, value: Option<&str>) -> bool {
        match (self, value) {
            (Test::IsSet(_), value) => value.is_some(),
            (Test::Text { field, texts, negated }, Some(text)) => texts.holds(text, field.ignores_case()) != *negated,
            _ => false,
        }
    }

    /// Of a field with many texts: any, or none where negated.
    pub fn on_names<'a>(&self, mut names: impl Iterator<Item = &'a str>) -> bool {
        match self {
            Test::IsSet(_) => names.next().is_some(),
            Test::Names { texts, negated, .. } => names.any(|name| texts.holds(name, false)) != *negated,
            _ => false,
        }
    }

    /// Of a number in the unit of its field: absent is false. `is set` of severity is not answered here: see
    /// [`NumberField::is_set`].
    pub fn on_number(&self, value: Option<i64>) -> bool {
        match (self, value) {
            (Test::IsSet(Field::Number(field)), value) => field.is_set(value),
            (Test::Number { op, value: than, .. }, Some(value)) => op.holds(value, *than),
            (Test::NumberIn { values, negated, .. }, Some(value)) => values.binary_search(&value).is_ok() != *negated,
            _ => false,
        }
    }

    /// Of a time: absent is false.
    pub fn on_time(&self, value: Option<Timestamp>, now: Timestamp) -> bool {
        match (self, value) {
            (Test::IsSet(_), value) => value.is_some(),
            (Test::Time { op, when, .. }, Some(time)) => op.holds(time, when.at(now)),
            _ => false,
        }
    }

    /// Of a yes or no.
    pub fn on_flag(&self, value: bool) -> bool {
        match self {
            Test::Flag { is, .. } => value == *is,
            _ => false,
        }
    }

    /// Of the standing verdict: none is false.
    pub fn on_verdict(&self, value: Option<VerdictKind>) -> bool {
        match (self, value) {
            (Test::IsSet(_), value) => value.is_some(),
            (Test::Verdict { verdicts, negated }, Some(verdict)) => verdicts.contains(&verdict) != *negated,
            _ => false,
        }
    }

    /// The field it asks for.
    pub fn field(&self) -> Field {
        match self {
            Test::Kind { .. } => Field::Kind,
            Test::Text { field, .. } => Field::Text(*field),
            Test::Names { field, .. } => Field::Names(*field),
            Test::Number { field, .. } | Test::NumberIn { field, .. } => Field::Number(*field),
            Test::Time { field, .. } => Field::Time(*field),
            Test::Flag { field, .. } => Field::Flag(*field),
            Test::Verdict { .. } => Field::Verdict,
            Test::IsSet(field) => *field,
        }
    }
}

impl NumberField {
    /// Whether a value counts as set: an unknown severity does not.
    pub fn is_set(self, value: Option<i64>) -> bool {
        match self {
            NumberField::Severity => value.is_some_and(|v| v != Severity::Unknown as i64),
            _ => value.is_some(),
        }
    }
}

/// What a test is asked of.
#[derive(Clone, Copy)]
pub(super) enum Of<'a> {
    /// The summary.
    Whole(&'a Subject<'a>),
    /// One record.
    Record(&'a RecordView<'a>, Timestamp),
}

impl<'a> Of<'a> {
    pub(super) fn now(self) -> Timestamp {
        match self {
            Of::Whole(subject) => subject.now,
            Of::Record(_, now) => now,
        }
    }

    pub(super) fn text(self, field: TextField) -> Option<&'a str> {
        match (self, field) {
            (Of::Whole(s), TextField::Value) => Some(s.key.value()),
            (Of::Whole(s), TextField::Comment) => s.summary.comment.as_deref(),
            (Of::Record(r, _), TextField::Comment) => r.comment,
            (Of::Record(..), TextField::Value) => None,
        }
    }

    /// Hands over the names one by one.
    pub(super) fn with_names<R>(self, field: NamesField, f: impl FnOnce(&mut dyn Iterator<Item = &'a str>) -> R) -> R {
        match (self, field) {
            (Of::Whole(s), NamesField::Tag) => f(&mut s.summary.tags.iter().map(|t| &**t)),
            (Of::Whole(s), NamesField::Source) => f(&mut s.summary.sources.iter().map(|t| &**t)),
            (Of::Whole(s), NamesField::SharedWith) => f(&mut s.shared_with.iter().map(|t| &**t)),
            (Of::Record(r, _), NamesField::Tag) => f(&mut r.tags.iter().chain(r.policy_tags).map(|t| &**t)),
            (Of::Record(r, _), NamesField::Source) => f(&mut std::iter::once(r.source)),
            (Of::Record(..), NamesField::SharedWith) => f(&mut std::iter::empty()),
        }
    }

    pub(super) fn number(self, field: NumberField) -> Option<i64> {
        let age = |from: Option<Timestamp>| Some(self.now().micros().saturating_sub(from?.micros()));
        match self {
            Of::Whole(s) => {
                let folded = &s.summary.folded;
                match field {
                    NumberField::Reputation => Some(i64::from(folded.reputation.get())),
                    NumberField::Severity => Some(folded.severity as i64),
                    NumberField::Confidence => folded.confidence.map(i64::from),
                    NumberField::Tlp => Some(folded.tlp as i64),
                    NumberField::NSources => Some(s.summary.sources.len() as i64),
                    NumberField::InternalHits => Some(i64::from(folded.internal_hits)),
                    NumberField::ExternalHits => Some(i64::from(folded.external_hits)),
                    NumberField::Age => {
                        age(folded.first_seen.or_else(|| s.records.iter().filter_map(|r| r.received).min()))
                    }
                }
            }
            Of::Record(r, _) => match field {
                NumberField::Reputation => r.reputation.map(|v| i64::from(v.get())),
                NumberField::Severity => Some(r.severity as i64),
                NumberField::Confidence => r.confidence.map(i64::from),
                NumberField::Tlp => r.tlp.map(|v| v as i64),
                NumberField::NSources => None,
                NumberField::InternalHits => Some(i64::from(r.internal_hits)),
                NumberField::ExternalHits => Some(i64::from(r.external_hits)),
                NumberField::Age => age(r.first_seen.or(r.received)),
            },
        }
    }

    pub(super) fn time(self, field: TimeField) -> Option<Timestamp> {
        let (first, last, expires) = match self {
            Of::Whole(s) => (s.summary.folded.first_seen, s.summary.folded.last_seen, s.summary.folded.expires_at),
            Of::Record(r, _) => (r.first_seen, r.last_seen, r.expires_at),
        };
        match field {
            TimeField::FirstSeen => first,
            TimeField::LastSeen => last,
            TimeField::ExpiresAt => expires,
        }
    }

    pub(super) fn flag(self, field: FlagField) -> Option<bool> {
        let Of::Whole(s) = self else { return None };
        Some(match field {
            FlagField::Active => s.summary.folded.active,
            FlagField::Retracted => s.summary.folded.retracted,
            FlagField::Muted => s.summary.muted,
        })
    }

    /// Whether a test holds. A field this has not is absent.
    pub(super) fn meets(self, test: &Test) -> bool {
        match test.field() {
            Field::Kind => matches!(self, Of::Whole(s) if test.on_kind(s.key.kind())),
            Field::Text(field) => test.on_text(self.text(field)),
            Field::Names(field) => self.with_names(field, |names| test.on_names(names)),
            Field::Number(field) => test.on_number(self.number(field)),
            Field::Time(field) => test.on_time(self.time(field), self.now()),
            Field::Flag(field) => self.flag(field).is_some_and(|value| test.on_flag(value)),
            Field::Verdict => matches!(self, Of::Whole(s) if test.on_verdict(s.summary.verdict)),
        }
    }

    pub(super) fn holds(self, expr: &Expr) -> bool {
        match expr {
            Expr::All => true,
            Expr::And(parts) => parts.iter().all(|part| self.holds(part)),
            Expr::Or(parts) => parts.iter().any(|part| self.holds(part)),
            Expr::Not(part) => !self.holds(part),
            Expr::Test(test) => self.meets(test),
            Expr::Record(part) => match self {
                Of::Whole(s) => s.records.iter().any(|r| r.active && Of::Record(r, s.now).holds(part)),
                Of::Record(..) => self.holds(part),
            },
            Expr::Under(scope) => matches!(self, Of::Whole(s) if scope.holds(s.key.kind(), s.key.value())),
            Expr::Covers(inner) => matches!(self, Of::Whole(s) if covers(s.key, inner)),
        }
    }
}

impl Expr {
    /// Whether the indicator meets it.
    pub fn eval(&self, subject: &Subject<'_>) -> bool {
        Of::Whole(subject).holds(self)
    }

    /// Whether the answer may change with time alone: it asks for age, `now`, or something that expires.
    ///
    /// Whether records are active also depends on time, and with it every field of a summary; this is only about what
    /// the expression itself says of time.
    pub fn mentions_time(&self) -> bool {
        match self {
            Expr::All | Expr::Under(_) | Expr::Covers(_) => false,
            Expr::And(parts) | Expr::Or(parts) => parts.iter().any(Expr::mentions_time),
            Expr::Not(part) | Expr::Record(part) => part.mentions_time(),
            Expr::Test(Test::Time { when, .. }) => !matches!(when, super::When::At(_)),
            Expr::Test(test) => test.field() == Field::Number(NumberField::Age),
        }
    }

    /// Whether any part meets `what`.
    pub fn any(&self, what: &mut impl FnMut(&Expr) -> bool) -> bool {
        what(self)
            || match self {
                Expr::All | Expr::Under(_) | Expr::Covers(_) | Expr::Test(_) => false,
                Expr::And(parts) | Expr::Or(parts) => parts.iter().any(|part| part.any(what)),
                Expr::Not(part) | Expr::Record(part) => part.any(what),
            }
    }
}
