//! The whole list of what a pass would do and would not do, row by row: what is added, changed and taken back, and what
//! a rule selects and does not go, each with its reason.

use super::{BudgetUse, Collected, Mode, Plan, collect};
use crate::config::{self, Config, RuleDoc, Stored, Strict, Target};
use crate::configure::load_documents;
use crate::error::EngineError;
use crate::ledger::Ledger;
use crate::state::TargetState;
use crate::{Engine, Known};
use index::Selection;
use intel::IndicatorId;
use intel::sharing::Why;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One row of a preview.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PreviewRow {
    /// `push`, `update`, `retract`, `settle`, `drop`; `skip`: it is selected and does not go.
    pub step: &'static str,
    /// What kind of indicator.
    pub kind: &'static str,
    /// The entry as the destination stores it.
    pub entry: String,
    /// The stable code of why it is not wanted, or is skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// The same as a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why the step waits for a person, where it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits: Option<String>,
    /// Who stands by the indicator.
    pub sources: Vec<String>,
}

/// What a preview says as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PreviewHead {
    /// Which target.
    pub target: String,
    /// The name of the whole set of steps: `expect` of a pass does exactly this, or nothing.
    pub hash: String,
    /// Entries to add.
    pub push: u64,
    /// Entries to change.
    pub update: u64,
    /// Entries to take back.
    pub retract: u64,
    /// Entries that are as they should be.
    pub leave: u64,
    /// Entries that a rule selects and that do not go.
    pub skip: u64,
    /// What holds steps back, in sentences.
    pub holds: Vec<String>,
    /// How much of the change budget is spent.
    pub budget: BudgetUse,
    /// Rows there are.
    pub rows: u64,
}

/// What a pass over a target would do, computed once and read row by row.
pub struct Preview {
    pub(super) plan: Plan,
    /// What is told as a whole.
    pub head: PreviewHead,
    /// Entries that are skipped by the stable code of the reason.
    pub skipped_by: BTreeMap<&'static str, u64>,
    /// Of the set of entries that are skipped, with the code of the reason, and the reason where the plan knows it.
    pub(super) skipped: Vec<(IndicatorId, &'static str, Option<Why>)>,
    pub(super) collected: Collected,
    target: intel::TargetId,
    /// What it was computed under.
    config: Arc<Config>,
}

/// What a rule selects and does not go, by the first reason, but for candidates: `restrain` tells those.
pub(super) fn skipped_sets(collected: &Collected, ledger: &Ledger) -> (Vec<(&'static str, Selection)>, Selection) {
    let mut rest = collected.considered.clone();
    let mut going = collected.yes.clone();
    going.and_not(&collected.guarded);
    rest.and_not(&going);
    rest.and_not(ledger.live());
    let mut guarded = collected.guarded.clone();
    guarded.and(&collected.yes);
    let mut marked = collected.considered.clone();
    marked.and_not(&collected.tlp_ok);
    let reasons = [
        ("excepted", &collected.excepted),
        ("kind_not_accepted", &collected.wrong_kind),
        ("too_broad", &collected.too_broad),
        ("guarded", &guarded),
        ("muted", &collected.held),
        ("tlp", &marked),
    ];
    let mut sets = Vec::new();
    for (name, set) in reasons {
        let mut hit = rest.clone();
        hit.and(set);
        rest.and_not(&hit);
        if hit.count() > 0 {
            sets.push((name, hit));
        }
    }
    (sets, going)
}

impl Preview {
    /// Rows from a place on, `n` at most: first what would be done, then what is skipped.
    pub fn rows(&self, engine: &Engine, from: usize, n: usize) -> Vec<PreviewRow> {
        let known = engine.known();
        let now = engine.world().now();
        let Some(target) = self.config.targets.get(&self.target) else { return Vec::new() };
        let restrained = &self.plan.restrained;
        let sources = |id: IndicatorId| known.index.summary(id, now).sources.into_iter().collect::<Vec<_>>();
        let steps = restrained.now.iter().chain(&restrained.held).skip(from).take(n).map(|step| {
            let shown = self.plan.show(&known, step, now);
            PreviewRow {
                step: shown.verb,
                kind: shown.kind,
                entry: shown.entry,
                code: step.reason.as_ref().map(Why::as_str),
                reason: shown.reason,
                waits: shown.waits,
                sources: sources(IndicatorId(step.entry)),
            }
        });
        let mut rows: Vec<PreviewRow> = steps.collect();
        let from = from.saturating_sub(restrained.now.len() + restrained.held.len());
        let skipped = self.skipped.iter().skip(from).take(n - rows.len()).map(|(id, _, why)| {
            let why = why.clone().unwrap_or_else(|| self.why_not(&known, target, *id, now));
            PreviewRow {
                step: "skip",
                kind: known.index.key_ref(*id).0.as_str(),
                entry: self.plan.entries.text(&known, *id).to_owned(),
                code: Some(why.as_str()),
                reason: Some(why.to_string()),
                waits: None,
                sources: sources(*id),
            }
        });
        rows.extend(skipped);
        rows
    }

    pub(super) fn count_skipped(&mut self) {
        self.skipped_by.clear();
        for (_, code, _) in &self.skipped {
            *self.skipped_by.entry(code).or_default() += 1;
        }
    }

    fn why_not(&self, known: &Known, target: &Target, id: IndicatorId, now: intel::Timestamp) -> Why {
        match self.collected.held.contains(id) && !self.collected.guarded.contains(id) {
            true => self.collected.muted_name(known, target, id),
            false => self.collected.why_not(known, target, id, now),
        }
    }
}

impl Engine {
    /// What a pass over one target would do now and what it would leave, to be read row by row. Nothing is asked of the
    /// destination.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], or a failing store.
    pub fn preview(&self, name: &str) -> Result<Preview, EngineError> {
        self.advance()?;
        self.preview_under(&self.config(), name)
    }

    /// The same under a configuration that need not be the one that stands.
    pub(super) fn preview_under(&self, config: &Arc<Config>, name: &str) -> Result<Preview, EngineError> {
        let target = config.target(name).ok_or_else(|| self.no_target(name))?;
        let now = self.sober(self.world.now());
        let state = TargetState::parse(self.store.target_state(target.id)?.as_deref());
        let plan = self.plan(config, target, &state, Mode::default(), now)?;
        let known = self.known();
        let collected = collect(&known, config, target, &self.key_cache, now);
        let empty = Ledger::default();
        let ledger = known.ledgers.get(&target.id).unwrap_or(&empty);
        let (sets, _) = skipped_sets(&collected, ledger);
        let mut told = Selection::default();
        let mut skipped: Vec<(IndicatorId, &'static str, Option<Why>)> = Vec::new();
        for (entry, why) in &plan.restrained.skipped {
            told.insert(IndicatorId(*entry));
            skipped.push((IndicatorId(*entry), why.as_str(), Some(why.clone())));
        }
        for (code, set) in sets {
            skipped.extend(set.iter().filter(|id| !told.contains(*id)).map(|id| (id, code, None)));
        }
        let counts = plan.counts();
        let n_steps = plan.restrained.now.len() + plan.restrained.held.len();
        let head = PreviewHead {
            target: target.doc.name.clone(),
            hash: plan.hash(&known),
            push: counts.push,
            update: counts.update,
            retract: counts.retract,
            leave: counts.leave,
            skip: skipped.len() as u64,
            holds: plan.restrained.holds.iter().map(ToString::to_string).collect(),
            budget: plan.budget,
            rows: (n_steps + skipped.len()) as u64,
        };
        drop(known);
        let target = target.id;
        let mut preview =
            Preview { plan, head, skipped_by: BTreeMap::new(), skipped, collected, target, config: config.clone() };
        preview.count_skipped();
        Ok(preview)
    }
}

/// What saving a rule would change at one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RuleEffect {
    /// Which target.
    pub target: String,
    /// Entries a pass would add now.
    pub push_now: u64,
    /// Entries a pass would take back now.
    pub retract_now: u64,
    /// Entries a pass would add with the rule as it is given.
    pub push: u64,
    /// Entries a pass would take back with it.
    pub retract: u64,
    /// What would hold steps back, in sentences.
    pub holds: Vec<String>,
}

impl Engine {
    /// What passes over the targets of a rule would do if it were saved as given, beside what they would do now. Nothing
    /// is stored and nothing is asked of a destination.
    ///
    /// # Errors
    /// [`EngineError::Config`] where the rule has mistakes, or a failing store.
    pub fn rule_effects(&self, rule: &RuleDoc) -> Result<Vec<RuleEffect>, EngineError> {
        self.advance()?;
        let mut documents = load_documents(&self.store)?;
        match documents.rules.iter_mut().find(|stored| stored.doc.name == rule.name) {
            Some(stored) => stored.doc = rule.clone(),
            None => documents.rules.push(Stored { id: u32::from(u16::MAX), doc: rule.clone() }),
        }
        let before = self.config();
        let after = config::resolve(&documents, &self.registry, self.world.secrets(), Strict::No)
            .map_err(EngineError::Config)?;
        let now = self.sober(self.world.now());
        let mut effects = Vec::new();
        for (id, target) in &before.targets {
            let is_fed = documents.sharings.iter().any(|s| s.doc.rule == rule.name && s.doc.target == target.doc.name);
            let Some(then) = after.targets.get(id).filter(|_| is_fed) else { continue };
            let state = TargetState::parse(self.store.target_state(*id)?.as_deref());
            let stands = self.plan(&before, target, &state, Mode::default(), now)?.counts();
            let plan = self.plan(&after, then, &state, Mode::default(), now)?;
            let counts = plan.counts();
            effects.push(RuleEffect {
                target: target.doc.name.clone(),
                push_now: stands.push,
                retract_now: stands.retract,
                push: counts.push,
                retract: counts.retract,
                holds: plan.restrained.holds.iter().map(ToString::to_string).collect(),
            });
        }
        Ok(effects)
    }
}
