//! What one target should hold, as sets: the union of its sharings, less what may not go.
//!
//! Everything here is evaluated on the whole index at every pass, so that edits, expiry, time-dependent rules and
//! restarts need nothing special.

use crate::Known;
use crate::config::{Config, Target};
use index::{Index, NotShared, Scope, Selection};
use intel::expr::Expr;
use intel::guard::Guard;
use intel::rule::Rule;
use intel::sharing::Why;
use intel::{IndicatorId, IndicatorKey, IndicatorKind, RuleId, Timestamp, Tlp, VerdictKind};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};

/// Answers that depend on the key alone, kept between passes: which keys a rule's listed values except, and which the
/// guard stops. Keys never change and ids are never given twice, so only new ids are looked at.
#[derive(Default)]
pub(crate) struct KeyCache {
    values: Mutex<BTreeMap<RuleId, (Arc<Rule>, Scanned)>>,
    guard: Mutex<(Weak<Guard>, Scanned)>,
}

#[derive(Default, Clone)]
struct Scanned {
    hits: Selection,
    upto: u32,
}

impl KeyCache {
    /// Keys that the values of a rule's exceptions cover.
    fn excepted_by_value(&self, known: &Known, rule: &Arc<Rule>) -> Selection {
        let mut cache = crate::unpoison(self.values.lock());
        let slot = cache.entry(rule.id).or_insert_with(|| (rule.clone(), Scanned::default()));
        if !Arc::ptr_eq(&slot.0, rule) {
            *slot = (rule.clone(), Scanned::default());
        }
        slot.1.scan(known, |key| rule.exceptions.iter().any(|e| e.values.excepts(key).is_some()));
        slot.1.hits.clone()
    }

    /// Keys that the guard stops, whatever the target.
    pub(crate) fn guarded(&self, known: &Known) -> Selection {
        let mut slot = crate::unpoison(self.guard.lock());
        // Kept weakly: as long as it is, no other guard can come to stand at its address and be taken for it.
        if !std::ptr::eq(slot.0.as_ptr(), Arc::as_ptr(&known.guard)) {
            *slot = (Arc::downgrade(&known.guard), Scanned::default());
        }
        slot.1.scan(known, |key| known.guard.stops(key));
        slot.1.hits.clone()
    }
}

impl Scanned {
    fn scan(&mut self, known: &Known, hit: impl Fn(&IndicatorKey) -> bool) {
        let end = known.index.id_bound();
        for at in self.upto..end {
            let id = IndicatorId(at);
            if known.index.exists(id) && hit(&known.index.key(id)) {
                self.hits.insert(id);
            }
        }
        self.upto = end;
    }
}

/// The wanted set of a target, and why the rest of what its rules select is not in it.
pub(crate) struct Collected {
    /// Wanted, guard and capacity still to come.
    pub(crate) yes: Selection,
    /// Only muted rules, paused sharings or muted indicators speak for it.
    pub(crate) held: Selection,
    /// What the guard stops, exceptions for this target taken into account.
    pub(crate) guarded: Selection,
    /// Everything some sharing's source and rule select.
    pub(crate) considered: Selection,
    /// Kept out by an exception.
    pub(crate) excepted: Selection,
    /// Of a kind the action does not take.
    pub(crate) wrong_kind: Selection,
    /// Networks wider than the target sends.
    pub(crate) too_broad: Selection,
    /// Passes some sharing's ceiling.
    pub(crate) tlp_ok: Selection,
    /// The highest ceiling of the sharings.
    pub(crate) ceiling: Tlp,
    /// Kept out because a person undid it: which plan, and who.
    pub(crate) undone: BTreeMap<u32, Arc<str>>,
}

/// Evaluates the sharings of a target over everything known, and its pins.
pub(crate) fn collect(known: &Known, config: &Config, target: &Target, cache: &KeyCache, now: Timestamp) -> Collected {
    let mut collected = collect_unpinned(known, config, target, cache, now);
    collected.pin(known, target, known.pins.get(&target.id).map(|pins| &**pins), now);
    collected
}

/// The same of some indicators alone, for questions about one: of others nothing is in any of the sets.
pub(crate) fn collect_few(
    known: &Known,
    config: &Config,
    target: &Target,
    cache: &KeyCache,
    now: Timestamp,
    few: &[IndicatorId],
) -> Collected {
    let look = Look { known, now, few: Some(few) };
    let mut collected = collect_by(&look, config, target, cache);
    collected.pin(known, target, known.pins.get(&target.id).map(|pins| &**pins), now);
    collected
}

impl Collected {
    /// Whether the two say the same of some indicators.
    pub(crate) fn agrees(&self, other: &Collected, few: &[IndicatorId]) -> bool {
        let sets = |of: &Collected, id: IndicatorId| {
            let all = [&of.yes, &of.held, &of.guarded, &of.considered, &of.excepted, &of.wrong_kind, &of.too_broad];
            (all.map(|set| set.contains(id)), of.tlp_ok.contains(id), of.undone.get(&id.0).cloned())
        };
        self.ceiling == other.ceiling && few.iter().all(|id| sets(self, *id) == sets(other, *id))
    }
}

/// Everything known, or some of it.
struct Look<'a> {
    known: &'a Known,
    now: Timestamp,
    few: Option<&'a [IndicatorId]>,
}

impl Look<'_> {
    fn or_few(&self, all: impl FnOnce(&Index) -> Selection, one: impl Fn(&Index, IndicatorId) -> bool) -> Selection {
        let index = &self.known.index;
        match self.few {
            None => all(index),
            Some(few) => few.iter().copied().filter(|id| index.exists(*id) && one(index, *id)).collect(),
        }
    }

    fn select(&self, expr: &Expr, scope: Scope) -> Selection {
        self.or_few(
            |index| index.select(expr, scope, self.now, &NotShared),
            |index, id| (scope == Scope::All || index.is_active(id)) && index.matches(expr, id, self.now),
        )
    }

    fn active_from(&self, source: Option<intel::ConnectionId>) -> Selection {
        match source {
            None => self.or_few(Index::active, Index::is_active),
            Some(source) => {
                self.or_few(|index| index.active_from(source), |index, id| index.is_active_from(id, source))
            }
        }
    }

    fn tlp_at_most(&self, most: Tlp) -> Selection {
        self.or_few(|index| index.tlp_at_most(most), |index, id| index.tlp(id) <= most)
    }

    fn of_kinds(&self, kinds: &[IndicatorKind]) -> Selection {
        self.or_few(|index| index.of_kinds(kinds), |index, id| kinds.contains(&index.key_ref(id).0))
    }

    fn excepted_by(&self, rule: &Arc<Rule>, cache: &KeyCache) -> Selection {
        let mut excepted = Selection::default();
        for exception in &rule.exceptions {
            let clauses = exception.when.iter().cloned().chain(tag_clause(&exception.tags));
            for clause in clauses {
                excepted.or(&self.select(&clause, Scope::All));
            }
        }
        if rule.exceptions.iter().any(|e| !e.values.is_empty()) {
            excepted.or(&cache.excepted_by_value(self.known, rule));
        }
        excepted
    }

    /// Networks wider than a target sends.
    fn too_broad(&self, target: &Target) -> Selection {
        let index = &self.known.index;
        let mut too_broad = Selection::default();
        let widest = (
            target.int_param("max_prefix_v4").unwrap_or(16) as u8,
            target.int_param("max_prefix_v6").unwrap_or(32) as u8,
        );
        for id in self.of_kinds(&[IndicatorKind::Ipv4Net, IndicatorKind::Ipv6Net]).iter() {
            let broad = intel::key::key_net(&index.key(id)).is_some_and(|net| match net {
                intel::IpNet::V4(net) => net.prefix_len() < widest.0,
                intel::IpNet::V6(net) => net.prefix_len() < widest.1,
            });
            if broad {
                too_broad.insert(id);
            }
        }
        too_broad
    }

    fn muted(&self) -> Selection {
        self.or_few(Index::muted, Index::is_muted)
    }
}

/// The same as if nobody had undone anything.
pub(super) fn collect_unpinned(
    known: &Known,
    config: &Config,
    target: &Target,
    cache: &KeyCache,
    now: Timestamp,
) -> Collected {
    collect_by(&Look { known, now, few: None }, config, target, cache)
}

fn collect_by(look: &Look<'_>, config: &Config, target: &Target, cache: &KeyCache) -> Collected {
    let Look { known, now, .. } = *look;
    let kinds = look.of_kinds(if target.action.kinds.is_empty() { IndicatorKind::ALL } else { &target.action.kinds });
    let mut yes = Selection::default();
    let mut held = Selection::default();
    let mut considered = Selection::default();
    let mut excepted = Selection::default();
    let mut tlp_ok = Selection::default();
    let mut ceiling = Tlp::Clear;
    let mut rules: BTreeMap<RuleId, (Arc<Rule>, Selection)> = BTreeMap::new();
    for sharing in &target.sharings {
        let rule = &sharing.rule;
        let selected =
            &rules.entry(rule.id).or_insert_with(|| (rule.clone(), look.select(&rule.when, Scope::Active))).1;
        let mut hit = look.active_from(sharing.source);
        hit.and(selected);
        considered.or(&hit);
        hit.and(&look.tlp_at_most(sharing.max_tlp));
        ceiling = ceiling.max(sharing.max_tlp);
        tlp_ok.or(&hit);
        let source_off = sharing
            .source
            .and_then(|s| config.connections.get(&s))
            .is_some_and(|c| !c.doc.enabled && !c.doc.keep_records);
        if rule.muted || sharing.doc.paused || source_off {
            held.or(&hit);
        } else {
            yes.or(&hit);
        }
    }
    for (rule, _) in rules.values() {
        excepted.or(&look.excepted_by(rule, cache));
    }
    let mut wrong_kind = considered.clone();
    wrong_kind.and_not(&kinds);
    let too_broad = look.too_broad(target);
    let guarded = guarded_at(known, config, target, cache, now);
    let muted = look.muted();
    let mut muted_now = yes.clone();
    muted_now.and(&muted);
    yes.and_not(&muted);
    held.or(&muted_now);
    held.and_not(&yes);
    for set in [&mut yes, &mut held] {
        set.and(&kinds);
        set.and_not(&excepted);
        set.and_not(&too_broad);
    }
    Collected {
        yes,
        held,
        guarded,
        considered,
        excepted,
        wrong_kind,
        too_broad,
        tlp_ok,
        ceiling,
        undone: BTreeMap::new(),
    }
}

/// What the exceptions of a rule keep out.
pub(super) fn excepted_by(known: &Known, rule: &Arc<Rule>, cache: &KeyCache, now: Timestamp) -> Selection {
    Look { known, now, few: None }.excepted_by(rule, cache)
}

/// Networks wider than a target sends.
pub(super) fn too_broad(known: &Known, target: &Target, now: Timestamp) -> Selection {
    Look { known, now, few: None }.too_broad(target)
}

/// What the guard stops at a target, its exceptions taken into account.
pub(super) fn guarded_at(
    known: &Known,
    config: &Config,
    target: &Target,
    cache: &KeyCache,
    now: Timestamp,
) -> Selection {
    let mut guarded = cache.guarded(known);
    for exception in &config.file.guard_exception {
        let stands =
            exception.target == target.doc.name && Timestamp::parse(&exception.until).is_some_and(|until| now < until);
        if stands
            && let Ok(key) = crate::guards::guarded_value(&exception.value)
            && let Some(id) = known.index.id(&key)
        {
            guarded.remove(id);
        }
    }
    guarded
}

/// `tag in (…)` for an exception's tags.
fn tag_clause(tags: &std::collections::BTreeSet<String>) -> Option<Expr> {
    use intel::expr::{NamesField, Test, Texts};
    let names = || tags.iter().map(|tag| tag.as_str().into()).collect();
    (!tags.is_empty())
        .then(|| Expr::Test(Test::Names { field: NamesField::Tag, texts: Texts::any_of(names()), negated: false }))
}

impl Collected {
    /// Why an indicator is not wanted here, in the order a person would ask.
    pub(crate) fn why_not(&self, known: &Known, target: &Target, id: IndicatorId, now: Timestamp) -> Why {
        let index = &known.index;
        let analyst = index.analyst(id).and_then(|a| a.verdict_at(now));
        if let Some(verdict @ (VerdictKind::FalsePositive | VerdictKind::Safe)) = analyst {
            return Why::Verdict(verdict);
        }
        if self.guarded.contains(id)
            && let Some(hit) = known.guard.look_up(&index.key(id))
        {
            return Why::Guarded(Arc::new(hit));
        }
        if self.excepted.contains(id) {
            return Why::Excepted(self.exception_name(known, target, id, now).into());
        }
        if let Some(words) = self.undone.get(&id.0) {
            return Why::Undone(words.clone());
        }
        if !index.is_active(id) {
            return Why::Inactive;
        }
        if !self.considered.contains(id) {
            return Why::NotSelected;
        }
        if self.wrong_kind.contains(id) {
            return Why::KindNotAccepted;
        }
        if self.too_broad.contains(id) {
            return Why::TooBroad;
        }
        if !self.tlp_ok.contains(id) {
            return Why::Tlp { has: index.tlp(id), ceiling: self.ceiling };
        }
        if self.held.contains(id) {
            return self.muted_name(known, target, id);
        }
        Why::NotSelected
    }

    fn exception_name(&self, known: &Known, target: &Target, id: IndicatorId, now: Timestamp) -> String {
        let key = known.index.key(id);
        for sharing in &target.sharings {
            for exception in &sharing.rule.exceptions {
                let by_value = exception.values.excepts(&key).is_some();
                let by_clause = exception
                    .when
                    .iter()
                    .cloned()
                    .chain(tag_clause(&exception.tags))
                    .any(|clause| known.index.matches(&clause, id, now));
                if by_value || by_clause {
                    return format!("rule \"{}\", exception \"{}\"", sharing.rule.name, exception.name);
                }
            }
        }
        "an exception".to_owned()
    }

    pub(crate) fn muted_name(&self, known: &Known, target: &Target, id: IndicatorId) -> Why {
        if known.index.is_muted(id) {
            return Why::Muted("the indicator".into());
        }
        let rule = target.sharings.iter().find(|s| s.rule.muted);
        let paused = target.sharings.iter().find(|s| s.doc.paused);
        let what = match (rule, paused) {
            (Some(sharing), _) => format!("rule \"{}\"", sharing.rule.name),
            (None, Some(sharing)) => format!("sharing {}", sharing.doc.name()),
            (None, None) => "its source".to_owned(),
        };
        Why::Muted(what.into())
    }
}
