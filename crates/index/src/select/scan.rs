//! All indicators, 64 to a word.

use super::one::One;
use super::{Scope, SharedWith};
use crate::columns::*;
use crate::selection::Bits;
use crate::{Index, Selection};
use intel::expr::{
    CmpOp, Expr, Field, FlagField, NamesField, NumberField, Test, TextField, Texts, TimeField, When, containers,
};
use intel::{IndicatorId, IndicatorKind, Timestamp};

const MICROS_PER_SEC: i64 = 1_000_000;

/// One expression over all indicators.
pub(super) struct Scan<'a> {
    index: &'a Index,
    now: Timestamp,
    shared: &'a dyn SharedWith,
    /// Folded before `now` and due since: their columns are not to be trusted.
    due: Vec<u32>,
}

impl<'a> Scan<'a> {
    pub(super) fn new(index: &'a Index, now: Timestamp, shared: &'a dyn SharedWith) -> Scan<'a> {
        let limit = secs(now);
        let mut due = Vec::new();
        if index.next_refold <= limit {
            let refold_at = index.indicators.refold_at.iter().enumerate();
            due.extend(refold_at.filter(|(_, at)| **at <= limit).map(|(at, _)| at as u32));
        }
        Scan { index, now, shared, due }
    }

    pub(super) fn select(&self, expr: &Expr, scope: Scope) -> Selection {
        let mut mask = match scope {
            Scope::Active => self.index.active(),
            Scope::All => self.index.all(),
        };
        self.due.iter().for_each(|at| {
            mask.remove(IndicatorId(*at));
        });
        let mut found = self.eval(expr, &mask);
        if let Some(first) = self.due.first() {
            let mut one = One::new(self.index, *first, self.now, self.shared);
            for at in &self.due {
                one.move_to(*at);
                if self.index.exists(IndicatorId(*at)) && (scope == Scope::All || one.is_active()) && one.holds(expr) {
                    found.insert(IndicatorId(*at));
                }
            }
        }
        found
    }

    /// What of `mask` meets the expression.
    fn eval(&self, expr: &Expr, mask: &Selection) -> Selection {
        match expr {
            Expr::All => mask.clone(),
            Expr::And(parts) => {
                let mut left = mask.clone();
                for part in by_cost(parts) {
                    if left.is_empty() {
                        break;
                    }
                    left = self.eval(part, &left);
                }
                left
            }
            Expr::Or(parts) => {
                let mut found = Selection::zeros(mask.words().len() * 64);
                let mut left = mask.clone();
                for part in by_cost(parts) {
                    let more = self.eval(part, &left);
                    found.or(&more);
                    left.and_not(&more);
                    if left.is_empty() {
                        break;
                    }
                }
                found
            }
            Expr::Not(part) => {
                let mut found = self.eval(part, mask);
                found.not(mask);
                found
            }
            Expr::Test(test) => self.test(test, mask),
            Expr::Record(part) => {
                let mut mask = mask.clone();
                for implied in implied(part) {
                    mask = self.test(implied, &mask);
                }
                self.each(&mask, |at| self.index.record_holds(at, part, self.now))
            }
            Expr::Under(scope) => {
                let reaches = of_kinds(|kind| scope.reaches(kind));
                let kinds = &self.index.indicators.kind;
                self.each(mask, |at| {
                    let kind = kinds[at as usize];
                    reaches[usize::from(kind)]
                        && IndicatorKind::from_number(kind)
                            .is_some_and(|kind| scope.holds(kind, self.index.value_at(at as usize)))
                })
            }
            Expr::Covers(inner) => {
                let found = containers(inner).into_iter().filter_map(|key| self.index.id(&key));
                let mut found: Selection = found.collect();
                found.and(mask);
                found
            }
        }
    }

    fn test(&self, test: &Test, mask: &Selection) -> Selection {
        let columns = &self.index.indicators;
        match test.field() {
            Field::Kind => self.table(mask, &columns.kind, &of_kinds(|kind| test.on_kind(kind))),
            Field::Text(TextField::Value) => self.values(test, mask),
            Field::Text(TextField::Comment) => self.comments(test, mask),
            Field::Names(NamesField::Tag) => {
                let index = self.index;
                self.sets(test, mask, &columns.tags, &index.tag_sets, index.tags.len(), |tag| index.tags.name(tag))
            }
            Field::Names(NamesField::Source) => {
                let index = self.index;
                let policies = &index.policies;
                let n = policies.iter().map(|(id, _)| usize::from(id.0) + 1).max().unwrap_or(0);
                self.sets(test, mask, &columns.sources, &index.source_sets, n, |source| {
                    policies.get(intel::ConnectionId(source as u16)).map_or("", |policy| &policy.name)
                })
            }
            Field::Names(NamesField::SharedWith) => self.shared_with(test, mask),
            Field::Number(field) => self.number(test, field, mask),
            Field::Time(TimeField::FirstSeen) => self.time(test, mask, &columns.first_seen),
            Field::Time(TimeField::LastSeen) => self.time(test, mask, &columns.last_seen),
            Field::Time(TimeField::ExpiresAt) => {
                let mut one: Option<One<'_>> = None;
                // What is active does not expire before it is due, so most need no fold to be found too late.
                let before = match test {
                    Test::Time { op: CmpOp::Lt | CmpOp::Le | CmpOp::Eq, when, .. } => secs(when.at(self.now)),
                    _ => NONE,
                };
                self.each(mask, |at| {
                    if columns.refold_at[at as usize] > before && columns.marks[at as usize] & ACTIVE != 0 {
                        return false;
                    }
                    let one = one.get_or_insert_with(|| One::new(self.index, at, self.now, self.shared));
                    one.move_to(at);
                    test.on_time(one.expires_at(), self.now)
                })
            }
            Field::Flag(FlagField::Active) => self.flag(test, mask, ACTIVE),
            Field::Flag(FlagField::Retracted) => self.flag(test, mask, TAKEN_BACK),
            Field::Flag(FlagField::Muted) => self.flag(test, mask, MUTED),
            Field::Verdict => self.table(mask, &columns.marks, &of_bytes(|marks| test.on_verdict(verdict(marks)))),
        }
    }

    fn flag(&self, test: &Test, mask: &Selection, bit: u8) -> Selection {
        // `is set` of a flag is settled by `on_flag`, as in `eval`.
        self.table(mask, &self.index.indicators.marks, &of_bytes(|marks| test.on_flag(marks & bit != 0)))
    }

    fn number(&self, test: &Test, field: NumberField, mask: &Selection) -> Selection {
        let columns = &self.index.indicators;
        let on = |value: u8| test.on_number(Some(i64::from(value)));
        match field {
            NumberField::Reputation => self.table(mask, &columns.level, &of_bytes(|level| on(level >> 4))),
            NumberField::Severity => self.table(mask, &columns.level, &of_bytes(|level| on(level & 0x0f))),
            NumberField::Tlp => self.table(mask, &columns.marks, &of_bytes(|marks| on(marks & TLP))),
            NumberField::Confidence => {
                let holds = |value: u8| test.on_number((value != NO_CONFIDENCE).then_some(i64::from(value)));
                self.table(mask, &columns.confidence, &of_bytes(holds))
            }
            NumberField::NSources => {
                let sets = &self.index.source_sets;
                let holds: Vec<bool> =
                    (0..sets.len()).map(|set| test.on_number(Some(sets.get(set as u32).len() as i64))).collect();
                self.each(mask, |at| holds[columns.sources[at as usize] as usize])
            }
            NumberField::InternalHits | NumberField::ExternalHits => {
                let internal = field == NumberField::InternalHits;
                let holds = |hits: (u32, u32)| test.on_number(Some(i64::from(if internal { hits.0 } else { hits.1 })));
                // Few have any: answer for those without, then correct.
                let mut found = if holds((0, 0)) { mask.clone() } else { Selection::zeros(mask.words().len() * 64) };
                for (at, hits) in &self.index.hits {
                    let id = IndicatorId(*at);
                    if mask.contains(id) {
                        let _ = if holds(*hits) { found.insert(id) } else { found.remove(id) };
                    }
                }
                found
            }
            NumberField::Age => {
                let now = self.now.micros();
                self.each(mask, |at| {
                    let first = opt_time(columns.first_seen[at as usize]).or_else(|| {
                        let genuine = self.index.list(at).filter(|s| self.index.records.marks[*s as usize] & ECHO == 0);
                        genuine.map(|slot| time(self.index.records.received[slot as usize])).min()
                    });
                    test.on_number(first.map(|first| now.saturating_sub(first.micros())))
                })
            }
        }
    }

    /// A column of bytes against a table of which bytes hold.
    fn table(&self, mask: &Selection, column: &[u8], holds: &[bool; 256]) -> Selection {
        self.words(mask, column, |value| holds[usize::from(value)])
    }

    /// A whole column, word by word, those words left out of which nothing is asked.
    #[inline]
    fn words<T: Copy>(&self, mask: &Selection, column: &[T], holds: impl Fn(T) -> bool) -> Selection {
        let words = mask.words().iter().zip(column.chunks(64));
        Selection::from_words(
            words
                .map(|(wanted, part)| {
                    if *wanted == 0 {
                        return 0;
                    }
                    let mut bits = 0;
                    for (bit, value) in part.iter().enumerate() {
                        bits |= u64::from(holds(*value)) << bit;
                    }
                    bits & wanted
                })
                .collect(),
        )
    }

    /// One at a time, only those asked about.
    #[inline]
    fn each(&self, mask: &Selection, mut holds: impl FnMut(u32) -> bool) -> Selection {
        let mut found = mask.clone();
        for (at, word) in found.words_mut().iter_mut().enumerate() {
            for bit in Bits(*word) {
                if !holds(at as u32 * 64 + bit) {
                    *word &= !(1 << bit);
                }
            }
        }
        found
    }

    fn time(&self, test: &Test, mask: &Selection, column: &[u32]) -> Selection {
        let Test::Time { op, when, .. } = test else {
            return self.words(mask, column, |secs| test.on_time(opt_time(secs), self.now));
        };
        // Comparing whole seconds with a point in microseconds is comparing with a range of whole seconds.
        let at = When::at(*when, self.now).micros();
        let floor = at.div_euclid(MICROS_PER_SEC);
        let whole = at.rem_euclid(MICROS_PER_SEC) == 0;
        let ceil = if whole { floor } else { floor + 1 };
        let (low, high) = match op {
            CmpOp::Eq | CmpOp::Ne if whole => (floor, floor),
            CmpOp::Eq | CmpOp::Ne => (1, 0),
            CmpOp::Lt => (1, ceil - 1),
            CmpOp::Le => (1, floor),
            CmpOp::Gt => (floor + 1, i64::MAX),
            CmpOp::Ge => (ceil, i64::MAX),
        };
        let (low, high) = (low.clamp(1, 1 << 32), high.clamp(0, i64::from(u32::MAX)));
        if *op == CmpOp::Ne {
            return self.words(mask, column, |secs| secs != 0 && !(low..=high).contains(&i64::from(secs)));
        }
        if low > high {
            return Selection::zeros(mask.words().len() * 64);
        }
        let (low, span) = (low as u32, (high - low) as u32);
        self.words(mask, column, |secs| secs.wrapping_sub(low) <= span)
    }

    /// Names in sets: ask each name once, then each set, then look up.
    fn sets<'n>(
        &self,
        test: &Test,
        mask: &Selection,
        column: &[u32],
        sets: &crate::arena::Sets,
        n_names: usize,
        name: impl Fn(u32) -> &'n str,
    ) -> Selection {
        let (texts, negated) = match test {
            Test::Names { texts, negated, .. } => (texts, *negated),
            _ => return self.each(mask, |at| !sets.get(column[at as usize]).is_empty()),
        };
        let names: Vec<bool> = (0..n_names).map(|number| texts.holds(name(number as u32), false)).collect();
        // A set that is no longer anyone's may hold the number of a connection that is gone.
        let meets = |number: &u32| names.get(*number as usize).copied().unwrap_or(false);
        let holds: Vec<bool> = (0..sets.len()).map(|set| sets.get(set as u32).iter().any(meets) != negated).collect();
        self.words(mask, column, |set| holds[set as usize])
    }

    fn shared_with(&self, test: &Test, mask: &Selection) -> Selection {
        let mut any = Selection::zeros(mask.words().len() * 64);
        self.shared.each(&mut |name, held| {
            let asked = match test {
                Test::Names { texts, .. } => texts.holds(name, false),
                _ => true,
            };
            if asked {
                any.or(held);
            }
        });
        if matches!(test, Test::Names { negated: true, .. }) {
            any.not(mask);
        } else {
            any.and(mask);
        }
        any
    }

    fn values(&self, test: &Test, mask: &Selection) -> Selection {
        match test {
            // A value is of few kinds: look each up instead of reading all.
            Test::Text { texts: Texts::AnyOf(values), negated, .. } => {
                let mut found = Selection::zeros(mask.words().len() * 64);
                for value in values {
                    for kind in IndicatorKind::ALL {
                        if let Some(id) = self.index.find(*kind, value) {
                            found.insert(id);
                        }
                    }
                }
                if *negated {
                    found.not(mask);
                } else {
                    found.and(mask);
                }
                found
            }
            Test::Text { texts: Texts::Like(pattern), .. } => {
                self.each(mask, |at| pattern.holds(self.index.value_at(at as usize)))
            }
            _ => self.each(mask, |at| test.on_text(Some(self.index.value_at(at as usize)))),
        }
    }

    /// Comments repeat: neighbours often have the same, so the last answer is remembered.
    fn comments(&self, test: &Test, mask: &Selection) -> Selection {
        let index = self.index;
        let mut known: hashbrown::HashMap<u32, bool> = hashbrown::HashMap::new();
        self.each(mask, |at| {
            let comment = index.leading(at).map_or(0, |slot| index.records.comment[slot as usize]);
            if known.len() > 1 << 16 {
                known.clear();
            }
            *known.entry(comment).or_insert_with(|| {
                let text = index.comments.get(comment);
                test.on_text(Some(text).filter(|text| !text.is_empty()))
            })
        })
    }
}

fn of_bytes(holds: impl Fn(u8) -> bool) -> [bool; 256] {
    std::array::from_fn(|byte| holds(byte as u8))
}

fn of_kinds(holds: impl Fn(IndicatorKind) -> bool) -> [bool; 256] {
    of_bytes(|number| IndicatorKind::from_number(number).is_some_and(&holds))
}

/// Tests of the whole indicator that must hold where one of its active records meets `part`: a summary has every
/// source, and the maximum of each of these numbers.
fn implied(part: &Expr) -> Vec<&Test> {
    let parts = if let Expr::And(parts) = part { &parts[..] } else { std::slice::from_ref(part) };
    let tests = parts.iter().filter_map(|part| if let Expr::Test(test) = part { Some(test) } else { None });
    tests
        .filter(|test| match test {
            Test::Names { field: NamesField::Source, negated, .. } => !negated,
            Test::Number { field, op: CmpOp::Ge | CmpOp::Gt, .. } => {
                matches!(field, NumberField::Reputation | NumberField::Severity | NumberField::Confidence)
            }
            _ => false,
        })
        .collect()
}

/// The cheapest first. Which comes first changes the time, never the answer.
fn by_cost(parts: &[Expr]) -> Vec<&Expr> {
    let mut sorted: Vec<&Expr> = parts.iter().collect();
    sorted.sort_by_key(|part| cost(part));
    sorted
}

/// About how many nanoseconds one indicator costs.
fn cost(expr: &Expr) -> u32 {
    match expr {
        Expr::All | Expr::Covers(_) => 0,
        Expr::And(parts) | Expr::Or(parts) => parts.iter().map(cost).sum(),
        Expr::Not(part) => cost(part),
        Expr::Record(part) => 40 + cost(part),
        Expr::Under(_) => 30,
        Expr::Test(test) => match test.field() {
            Field::Text(TextField::Value) => match test {
                Test::Text { texts: Texts::AnyOf(_), .. } => 0,
                Test::Text { texts: Texts::Like(pattern), .. } if pattern.regex().is_some() => 100,
                _ => 30,
            },
            Field::Text(TextField::Comment) => 40,
            Field::Time(TimeField::ExpiresAt) => 90,
            Field::Number(NumberField::Age) => 5,
            _ => 1,
        },
    }
}
