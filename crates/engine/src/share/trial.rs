//! Sharings one by one: what one would send if it were so, before it is saved or goes, and how much of what each selects
//! is where it should be.

use super::Preview;
use super::collect::{excepted_by, guarded_at, too_broad};
use crate::Engine;
use crate::config::{self, SharingDoc, Stored, Strict};
use crate::configure::load_documents;
use crate::error::EngineError;
use crate::ledger::Ledger;
use index::{NotShared, Scope, Selection};
use intel::expr::Expr;
use intel::sharing::{LineState, Verb};
use intel::{IndicatorId, IndicatorKind, RuleId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use store::Hold;

/// How much of what a sharing selects is where it should be. `wanted = present + pending + refused + others`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharingCounts {
    /// Its source, rule and target.
    pub key: [String; 3],
    /// What it selects and may go: excepted, guarded, marked and unfit indicators left out, capacity still to come.
    pub wanted: u64,
    /// Of these, they are there by our doing.
    pub present: u64,
    /// They are not there yet: on their way, waiting for a person, or without a place.
    pub pending: u64,
    /// The destination would not have them.
    pub refused: u64,
    /// They are there and somebody else's.
    pub others: u64,
}

impl Engine {
    /// What a pass over its target would do if this sharing were as given and not paused: of what it selects, and of that
    /// only what was last seen, or where that is not said first heard of,
    /// within `window` where one is given. What is taken back is told as a whole, without a window:
    /// an entry that nothing selects any more is no one sharing's. Nothing is stored and nothing is asked of the
    /// destination.
    ///
    /// # Errors
    /// [`EngineError::Config`] where the sharing has mistakes, [`EngineError::NotFound`], or a failing store.
    pub fn try_sharing(&self, doc: &SharingDoc, window: Option<Duration>) -> Result<Preview, EngineError> {
        self.advance()?;
        let mut documents = load_documents(&self.store)?;
        let doc = SharingDoc { paused: false, ..doc.clone() };
        let name = doc.name();
        match documents.sharings.iter_mut().find(|stored| stored.doc.name() == name) {
            Some(stored) => stored.doc = doc.clone(),
            None => documents.sharings.push(Stored { id: u32::from(u16::MAX), doc: doc.clone() }),
        }
        let config = config::resolve(&documents, &self.registry, self.world.secrets(), Strict::No)
            .map_err(EngineError::Config)?;
        let config = Arc::new(config);
        let mut preview = self.preview_under(&config, &doc.target)?;
        let target = config.target(&doc.target).ok_or_else(|| self.no_target(&doc.target))?;
        let sharing = target.sharings.iter().find(|sharing| sharing.doc == doc);
        let sharing = sharing.ok_or_else(|| EngineError::NotFound(format!("there is no sharing {name}")))?;
        let now = self.sober(self.world.now());
        let known = self.known();
        let mut meant = match sharing.source {
            None => known.index.active(),
            Some(source) => known.index.active_from(source),
        };
        meant.and(&known.index.select(&sharing.rule.when, Scope::Active, now, &NotShared));
        let recent = match window {
            None => None,
            Some(window) => {
                // Of what no source dates, it counts when we first heard of it.
                let secs = window.as_secs();
                let text = format!("last_seen > now - {secs}s or not last_seen is set and age < {secs}s");
                let recent = Expr::parse(&text).map_err(|error| EngineError::Invalid(error.to_string()))?;
                Some(known.index.select(&recent, Scope::All, now, &NotShared))
            }
        };
        if let Some(recent) = &recent {
            meant.and(recent);
        }
        let empty = Ledger::default();
        let ledger = known.ledgers.get(&target.id).unwrap_or(&empty);
        preview.keep(&meant, recent.is_none(), ledger);
        Ok(preview)
    }

    /// How much of what each sharing selects is where it should be, by target and in the order of the configuration.
    ///
    /// # Errors
    /// A failing store.
    pub fn sharing_counts(&self) -> Result<Vec<SharingCounts>, EngineError> {
        self.advance()?;
        let (config, now) = (self.config(), self.world.now());
        let known = self.known();
        let index = &known.index;
        // Many sharings have few rules.
        let mut rules: BTreeMap<RuleId, (Selection, Selection)> = BTreeMap::new();
        let mut out = Vec::new();
        let (active, muted) = (index.active(), index.muted());
        let empty = Ledger::default();
        for target in config.targets.values().filter(|target| !target.sharings.is_empty()) {
            let ledger = known.ledgers.get(&target.id).unwrap_or(&empty);
            let mut never = guarded_at(&known, &config, target, &self.key_cache, now);
            never.or(&too_broad(&known, target, now));
            never.or(&muted);
            for sharing in &target.sharings {
                let rule = &sharing.rule;
                let (_, excepted) = rules.entry(rule.id).or_insert_with(|| {
                    let selected = index.select(&rule.when, Scope::Active, now, &NotShared);
                    (selected, excepted_by(&known, rule, &self.key_cache, now))
                });
                never.or(excepted);
            }
            if let Some(pins) = known.pins.get(&target.id) {
                for id in pins.ids().filter(|id| pins.get(*id).is_some_and(|pin| pin.hold == Hold::Out)) {
                    never.insert(id);
                }
            }
            let kinds = &target.action.kinds;
            let kinds = index.of_kinds(if kinds.is_empty() { IndicatorKind::ALL } else { kinds });
            for sharing in &target.sharings {
                let mut wanted = sharing.source.map_or_else(|| active.clone(), |source| index.active_from(source));
                if let Some((selected, _)) = rules.get(&sharing.rule.id) {
                    wanted.and(selected);
                }
                wanted.and(&index.tlp_at_most(sharing.max_tlp));
                wanted.and(&kinds);
                wanted.and_not(&never);
                let mut present = wanted.clone();
                present.and(ledger.present());
                let (mut n_present, mut refused, mut others) = (present.count() as u64, 0, 0);
                let mut count = |state: LineState| match state {
                    LineState::Present => n_present += 1,
                    LineState::Refused => refused += 1,
                    LineState::Foreign | LineState::Released => others += 1,
                    _ => {}
                };
                ledger.unsettled().filter(|id| wanted.contains(*id)).filter_map(|id| ledger.get(id)).for_each(
                    |entry| {
                        count(entry.line.state);
                    },
                );
                if ledger.has_merged() {
                    // Two addresses may be one entry there: its line stands under the better one.
                    let mut rest = wanted.clone();
                    rest.and_not(ledger.live());
                    for id in rest.iter() {
                        if let Some(entry) = ledger.find(&known, id).filter(|entry| entry.id != id) {
                            count(entry.line.state);
                        }
                    }
                }
                let wanted = wanted.count() as u64;
                let doc = &sharing.doc;
                out.push(SharingCounts {
                    key: [doc.source.clone(), doc.rule.clone(), doc.target.clone()],
                    wanted,
                    present: n_present,
                    pending: wanted.saturating_sub(n_present + refused + others),
                    refused,
                    others,
                });
            }
        }
        Ok(out)
    }
}

impl Preview {
    /// How long what is added is as a list of lines, in bytes.
    pub fn bytes_to_add(&self, engine: &Engine) -> u64 {
        let known = engine.known();
        let restrained = &self.plan.restrained;
        let adds = restrained.now.iter().chain(&restrained.held).filter(|step| step.step == Verb::Push);
        adds.map(|step| self.plan.entries.text(&known, IndicatorId(step.entry)).len() as u64 + 1).sum()
    }

    /// Leaves only what is skipped for the reason of this code.
    pub fn only_skipped(&mut self, code: &str) {
        self.skipped.retain(|(_, of, _)| *of == code);
        self.plan.restrained.now.clear();
        self.plan.restrained.held.clear();
        self.head.skip = self.skipped.len() as u64;
        self.head.rows = self.head.skip;
        self.count_skipped();
    }

    /// Leaves only what these indicators are in, and with `removals` all that is taken back.
    fn keep(&mut self, meant: &Selection, removals: bool, ledger: &Ledger) {
        let takes_back = |verb: Option<Verb>| matches!(verb, Some(Verb::Retract | Verb::Drop));
        let restrained = &mut self.plan.restrained;
        let mut stepped = Selection::default();
        for steps in [&mut restrained.now, &mut restrained.held] {
            steps.retain(|step| {
                stepped.insert(IndicatorId(step.entry));
                meant.contains(IndicatorId(step.entry)) || removals && takes_back(Some(step.step))
            });
        }
        self.skipped.retain(|(id, ..)| meant.contains(*id));
        let mut left = ledger.live().clone();
        left.and(meant);
        left.and_not(&stepped);
        for (id, ..) in &self.skipped {
            left.remove(*id);
        }
        let steps = || restrained.now.iter().chain(&restrained.held);
        let count = |verb: Verb| steps().filter(|step| step.step == verb).count() as u64;
        self.head.push = count(Verb::Push);
        self.head.update = count(Verb::Update);
        self.head.retract = count(Verb::Retract);
        self.head.leave = left.count() as u64;
        self.head.skip = self.skipped.len() as u64;
        self.head.rows = steps().count() as u64 + self.head.skip;
        self.count_skipped();
    }
}
