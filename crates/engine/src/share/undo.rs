//! Undo: what a run did at a target is taken back, and what it took back is put there again.
//!
//! Every effect is written down with what stood there before it. To undo a run, or to return a target to a time, is to
//! pin the entries concerned to what they were; the ordinary pass does the rest, through `decide` and `restrain`. So
//! there is no second way to an effect, and it works though the source is gone.

use super::held::{Kept, PinSpec, keep};
use super::pins::{Past, Pins};
use super::{HeldPlan, Mode, Under};
use crate::config::{Config, Target};
use crate::error::EngineError;
use crate::ledger::Entry;
use crate::state::TargetState;
use crate::{Engine, Known};
use intel::plan::{Planned, plan_hash};
use intel::sharing::{LineState, Verb};
use intel::{IndicatorId, RunId, TargetId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use store::{Asked, Effect, Hold, Inverse, Moment, PinChange, PinRow, PlanFilter, PlanStatus, RunFilter};

/// What a step is about to change, by the lines that say what is meant.
pub(super) fn intended(known: &Known, target: TargetId, entries: &[Entry]) -> Vec<Inverse> {
    entries.iter().map(|entry| inverse(known, target, entry)).collect()
}

/// What lines that were not meant first have changed, and which of those that were came to nothing.
pub(super) fn settled(known: &Known, target: TargetId, entries: &[Entry]) -> Vec<Inverse> {
    let ledger = known.ledgers.get(&target);
    let of = |entry: &Entry| {
        let old = ledger.and_then(|ledger| ledger.get(entry.id));
        let (before, after) = (old.as_ref().map(|old| old.line.state), entry.line.state);
        match (before, after) {
            (Some(LineState::Pending), LineState::Refused | LineState::Foreign)
            | (Some(LineState::Retracting), LineState::Foreign) => void([entry.id]).pop(),
            (Some(LineState::Pending | LineState::Unknown | LineState::Retracting), _) => None,
            (Some(LineState::Present), LineState::Gone) => Some(inverse(known, target, entry)),
            (Some(LineState::Present), LineState::Present) => old
                .is_some_and(|old| old.line.fingerprint != entry.line.fingerprint)
                .then(|| inverse(known, target, entry)),
            (_, LineState::Present) => Some(inverse(known, target, entry)),
            _ => None,
        }
    };
    entries.iter().filter_map(of).collect()
}

/// What was said of these came to nothing.
pub(super) fn void(ids: impl IntoIterator<Item = IndicatorId>) -> Vec<Inverse> {
    let nothing = |indicator| Inverse {
        indicator,
        effect: Effect::Nothing,
        state: None,
        fingerprint: 0,
        since: None,
        by_pin: false,
    };
    ids.into_iter().map(nothing).collect()
}

fn inverse(known: &Known, target: TargetId, entry: &Entry) -> Inverse {
    let old = known.ledgers.get(&target).and_then(|ledger| ledger.get(entry.id));
    let there = old.as_ref().is_some_and(|old| old.line.state == LineState::Present);
    Inverse {
        indicator: entry.id,
        effect: match entry.line.state {
            LineState::Retracting | LineState::Gone => Effect::Removed,
            _ if there => Effect::Changed,
            _ => Effect::Added,
        },
        state: old.as_ref().map(|old| old.line.state as u8),
        fingerprint: old.as_ref().map_or(0, |old| old.line.fingerprint),
        since: old.map(|old| old.updated),
        by_pin: known.pins.get(&target).is_some_and(|pins| pins.has(entry.id)),
    }
}

/// What an entry was, and what is asked about it.
struct Wish {
    hold: Hold,
    runs: BTreeSet<u64>,
    /// What it carried: its fingerprint, and when it was last written.
    was: (u64, Option<Timestamp>),
    /// The run that is undone carried out an undo: its pin is lifted.
    lift: bool,
}

/// What an entry carried at a time.
enum Then {
    /// What it carries now, or it carries nothing.
    AsNow,
    /// Exactly this.
    Known(Past),
    /// This, but for what no past is kept of.
    Near(Past),
    /// Nobody knows any more.
    Unknown,
}

/// What is said of a step whose entry cannot be returned with what it carried.
const FIELDS_LOST: &str = "what it carried then is no longer kept (`history_days`): it carries what it does now";

/// Moments of the past that were looked up: thousands of lines were written in one second, and which runs were under way
/// then is found by going through all of them.
struct Moments {
    /// None: nothing is kept that far back.
    known: BTreeMap<Timestamp, Option<Arc<Moment>>>,
    /// When the target's latest runs began, by which a line is dated.
    begun: BTreeSet<Timestamp>,
}

/// Runs of a target whose beginnings are looked at.
const RUNS_MOST: usize = 10_000;

impl Moments {
    fn of(engine: &Engine, target: &str) -> Result<Moments, EngineError> {
        let runs = RunFilter { kind: Some("share"), subject: Some(target), status: None };
        let begun = engine.store.runs(runs, RUNS_MOST, None)?.into_iter().map(|run| run.started).collect();
        Ok(Moments { known: BTreeMap::new(), begun })
    }

    /// When a line that is dated to a second may have been written: at the beginnings of the runs of that second, which
    /// may have changed something between two pulls, or at its ends.
    fn within(&self, second: Timestamp) -> Vec<Timestamp> {
        let last = second.after(std::time::Duration::from_micros(999_999));
        std::iter::once(second).chain(self.begun.range(second..last).copied()).chain([last]).collect()
    }

    fn at(&mut self, engine: &Engine, at: Timestamp) -> Result<Option<Arc<Moment>>, EngineError> {
        if let Some(moment) = self.known.get(&at) {
            return Ok(moment.clone());
        }
        let moment = match engine.moment(at) {
            Err(EngineError::Store(store::StoreError::Conflict(_))) => None,
            told => Some(told?),
        };
        self.known.insert(at, moment.clone());
        Ok(moment)
    }
}

/// What a line was before an effect; None: nobody knew, so what was before that decides.
fn was_there(inverse: &Inverse) -> Option<bool> {
    match inverse.state.map(super::state_of) {
        Some(LineState::Present) => Some(true),
        Some(LineState::Pending | LineState::Unknown | LineState::Retracting) => None,
        _ => Some(false),
    }
}

impl Engine {
    /// Writes down what a run that was stopped would still have done: who undoes it undoes that too.
    pub(super) fn note_not_done(&self, target: TargetId, run: RunId, steps: &[&Planned]) -> Result<(), EngineError> {
        let rows: Vec<Inverse> = {
            let known = self.known();
            let ledger = known.ledgers.get(&target);
            let of = |step: &&Planned| {
                let id = IndicatorId(step.entry);
                let old = ledger.and_then(|ledger| ledger.get(id));
                Inverse {
                    indicator: id,
                    effect: match step.step {
                        Verb::Retract => Effect::Removed,
                        Verb::Update => Effect::Changed,
                        _ => Effect::Added,
                    },
                    state: old.as_ref().map(|old| old.line.state as u8),
                    fingerprint: old.as_ref().map_or(0, |old| old.line.fingerprint),
                    since: old.map(|old| old.updated),
                    by_pin: known.pins.get(&target).is_some_and(|pins| pins.has(id)),
                }
            };
            steps.iter().map(of).collect()
        };
        Ok(self.store.add_inverses(target, run, &rows, self.world.now())?)
    }

    /// Makes the plan that undoes a run: it waits for approval like any other. A run that is under way is stopped before
    /// its next call, and its target then stands still until the plan is decided.
    ///
    /// # Errors
    /// [`EngineError::NotFound`]; [`EngineError::Invalid`] for a run that changed nothing at a target, or whose changes
    /// are no longer kept.
    pub fn undo_run(&self, run: RunId, who: &str) -> Result<HeldPlan, EngineError> {
        let missing =
            || EngineError::NotFound(format!("there is no run {run}; `iocast run list --kind share` shows them"));
        let row = self.store.run(run)?.ok_or_else(missing)?;
        if row.kind != "share" {
            let why = format!(
                "run {run} is of kind {}: only share runs are undone; for a source see `iocast source rollback`",
                row.kind
            );
            return Err(EngineError::Invalid(why));
        }
        let config = self.config();
        let target = config.target(&row.subject).ok_or_else(|| self.no_target(&row.subject))?;
        let running = row.status == "running";
        if running {
            crate::unpoison(self.halted.lock()).insert(target.id);
        }
        let one_pass = self.pass_lock(&config, target);
        let _one_pass = crate::unpoison(one_pass.lock());
        crate::unpoison(self.halted.lock()).remove(&target.id);
        self.advance()?;
        self.settle_first(&config, target)?;
        let wishes = self.wishes_of_run(target, run)?;
        if wishes.is_empty() {
            let why = format!(
                "run {run} changed nothing at {}, or longer ago than [policy] undo_days: there is nothing to undo",
                row.subject
            );
            return Err(EngineError::Invalid(why));
        }
        self.ask_for(&config, target, wishes, "undo", &format!("run {run}"), who, running)
    }

    /// Makes the plan that returns a target to what it held at a time: it waits for approval like any other.
    ///
    /// # Errors
    /// [`EngineError::NotFound`]; [`EngineError::Invalid`] for a time that lies ahead, that is no longer kept, or since
    /// which nothing has changed.
    pub fn return_target(&self, name: &str, to: Timestamp, who: &str) -> Result<HeldPlan, EngineError> {
        let config = self.config();
        let target = config.target(name).ok_or_else(|| self.no_target(name))?;
        let now = self.world.now();
        if to > now {
            return Err(EngineError::Invalid(format!("{to} lies ahead: a target is returned to a time that was")));
        }
        if to < now.before(config.plans.undo_kept) {
            let days = config.plans.undo_kept.as_secs() / intel::DAY.as_secs();
            let why = format!(
                "{to} is longer ago than the {days} days of [policy] undo_days: what happened then is not kept"
            );
            return Err(EngineError::Invalid(why));
        }
        let one_pass = self.pass_lock(&config, target);
        let _one_pass = crate::unpoison(one_pass.lock());
        self.advance()?;
        self.settle_first(&config, target)?;
        let mut wishes: BTreeMap<u32, Wish> = BTreeMap::new();
        self.store.inverses(target.id, RunId(0), Some(to), &mut |run, row| {
            let hold = if was_there(&row).unwrap_or(row.effect == Effect::Removed) { Hold::In } else { Hold::Out };
            let first = || Wish { hold, runs: BTreeSet::new(), was: (row.fingerprint, row.since), lift: false };
            wishes.entry(row.indicator.0).or_insert_with(first).runs.insert(run.0);
        })?;
        if wishes.is_empty() {
            return Err(EngineError::Invalid(format!(
                "nothing has changed at {name} since {to}: there is nothing to return"
            )));
        }
        self.ask_for(&config, target, wishes, "return", &format!("{name} to {to}"), who, false)
    }

    /// What is not known is asked before anything is compared; a destination that cannot be reached is asked later.
    fn settle_first(&self, config: &Config, target: &Target) -> Result<(), EngineError> {
        if self.is_frozen()? || self.must_reconcile(target.id)? {
            return Ok(());
        }
        let mut state = TargetState::parse(self.store.target_state(target.id)?.as_deref());
        match self.look_at_unsettled(config, target, &mut state, RunId(0), self.world.now()) {
            Ok(()) | Err(EngineError::Connector { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn wishes_of_run(&self, target: &Target, run: RunId) -> Result<BTreeMap<u32, Wish>, EngineError> {
        let mut touched: BTreeMap<u32, Inverse> = BTreeMap::new();
        self.store.inverses(target.id, run, None, &mut |of, row| {
            if of == run {
                touched.entry(row.indicator.0).or_insert(row);
            }
        })?;
        let pins = self.known().pins.get(&target.id).cloned().unwrap_or_default();
        // Where other runs of an entry are undone too, or nobody knew what was there, its whole history decides.
        let deep: BTreeSet<u32> = touched
            .iter()
            .filter(|(id, row)| was_there(row).is_none() || pins.has(IndicatorId(**id)))
            .map(|(id, _)| *id)
            .collect();
        let mut history: BTreeMap<u32, Vec<(u64, Inverse)>> = BTreeMap::new();
        if !deep.is_empty() {
            self.store.inverses(target.id, RunId(0), None, &mut |of, row| {
                if deep.contains(&row.indicator.0) {
                    history.entry(row.indicator.0).or_default().push((of.0, row));
                }
            })?;
        }
        let wish = |(id, row): (u32, Inverse)| {
            let mut runs = BTreeSet::from([run.0]);
            let mut first = row;
            if let Some(all) = history.get(&id) {
                if !row.by_pin
                    && let Some(pin) = pins.get(IndicatorId(id))
                {
                    runs.extend(&pin.runs);
                }
                first = first_undone(all, &runs, row.by_pin.then_some(run.0)).unwrap_or(row);
            }
            let there = was_there(&first).unwrap_or(first.effect == Effect::Removed);
            let hold = if there { Hold::In } else { Hold::Out };
            (id, Wish { hold, runs, was: (first.fingerprint, first.since), lift: row.by_pin })
        };
        Ok(touched.into_iter().map(wish).collect())
    }

    /// What an entry carried when its fingerprint was this.
    fn past(
        &self,
        config: &Config,
        plan: &super::Plan,
        id: IndicatorId,
        was: (u64, Option<Timestamp>),
        moments: &mut Moments,
    ) -> Result<Then, EngineError> {
        let (fingerprint, Some(since)) = was else { return Ok(Then::AsNow) };
        let now = self.world.now();
        if plan.entries.rendered(&self.known(), id, now).0 == fingerprint {
            return Ok(Then::AsNow);
        }
        // Lines are dated to the second; what has the fingerprint is what was sent, whenever in that second.
        let mut near = Then::Unknown;
        for at in moments.within(since) {
            let Some(moment) = moments.at(self, at)? else { continue };
            let Some(indicator) = self.indicator_then(id, &moment)? else { continue };
            let known = self.known();
            let past = Past::of(indicator.summary(known.index.policies(), &config.fold, at));
            if plan.entries.printed_as(&known, id, &past, now) == fingerprint {
                return Ok(Then::Known(past));
            }
            // What the analyst said then, or a setting that has changed since, is not known: the sources' words are.
            near = Then::Near(past);
        }
        Ok(near)
    }

    /// Stores the plan that makes these wishes true.
    #[expect(clippy::too_many_arguments, reason = "one call, from two doors")]
    fn ask_for(
        &self,
        config: &Config,
        target: &Target,
        wishes: BTreeMap<u32, Wish>,
        kind: &'static str,
        about: &str,
        who: &str,
        halts: bool,
    ) -> Result<HeldPlan, EngineError> {
        let now = self.world.now();
        let state = TargetState::parse(self.store.target_state(target.id)?.as_deref());
        // First without the pins that may be lifted: what would be there anyway needs none.
        let current = self.known().pins.get(&target.id).cloned().unwrap_or_default();
        let lifts: Vec<PinChange> = wishes
            .iter()
            .filter(|(id, wish)| wish.lift && current.has(IndicatorId(**id)))
            .map(|(id, _)| PinChange::Lift(IndicatorId(*id)))
            .collect();
        let bare = Arc::new(current.with(&lifts));
        let plain = self.plan_under(config, target, &state, Mode::default(), now, Under::Pins(bare))?;
        let mut specs = Vec::with_capacity(wishes.len());
        let mut moments = Moments::of(self, &target.doc.name)?;
        for (id, wish) in wishes {
            let indicator = IndicatorId(id);
            if !self.known().index.exists(indicator) {
                continue;
            }
            if wish.lift && plain.wants(indicator) == (wish.hold == Hold::In) {
                specs.push(PinSpec { id, hold: "lift".to_owned(), runs: Vec::new(), past: None, lost: false });
                continue;
            }
            let (past, lost) = match wish.hold {
                Hold::Out => (None, false),
                Hold::In => match self.past(config, &plain, indicator, wish.was, &mut moments)? {
                    Then::AsNow => (None, false),
                    Then::Known(past) | Then::Near(past) => (Some(past), false),
                    Then::Unknown => (None, true),
                },
            };
            let runs = if wish.lift { Vec::new() } else { wish.runs.into_iter().collect() };
            specs.push(PinSpec { id, hold: wish.hold.as_str().to_owned(), runs, past, lost });
        }
        let changes = pin_changes(&specs, 0, who, now);
        let pins: Pins = current.with(&changes);
        let plan = self.plan_under(config, target, &state, Mode::default(), now, Under::Pins(Arc::new(pins)))?;
        let pinned: BTreeSet<u32> = specs.iter().map(|spec| spec.id).collect();
        let lost: BTreeSet<u32> = specs.iter().filter(|spec| spec.lost).map(|spec| spec.id).collect();
        let steps: Vec<&Planned> = plan
            .restrained
            .now
            .iter()
            .chain(&plan.restrained.held)
            .filter(|step| step.step.is_effect() && pinned.contains(&step.entry))
            .collect();
        let (hash, kept) = {
            let known = self.known();
            let text = |entry: u32| plan.entries.text(&known, IndicatorId(entry));
            let hash = plan_hash(steps.iter().map(|s| (text(s.entry), s.step, s.fingerprint))).to_string();
            let said = |step: &&Planned| {
                let kept = keep(step, text(step.entry));
                if lost.contains(&step.entry) { kept.because(FIELDS_LOST) } else { kept }
            };
            let kept: Vec<Kept> = steps.iter().map(said).collect();
            (hash, kept)
        };
        let steps = serde_json::to_string(&kept).unwrap_or_default();
        let pins = serde_json::to_string(&specs).unwrap_or_default();
        let asked = Asked { kind, author: who, about, pins: &pins, halts };
        let same = self
            .store
            .plan_heads(PlanFilter { target: Some(target.id), status: Some(PlanStatus::Waiting) })?
            .into_iter()
            .find(|plan| plan.kind == kind && plan.hash == hash && plan.about.as_deref() == Some(about));
        let id = match same {
            Some(same) => same.id,
            None => self.store.ask_plan(target.id, &hash, &steps, now, &asked)?,
        };
        self.held_plan(id.0)
    }
}

/// Of an entry's history, the effect before which things were as they are to be again: the first of the latest stretch
/// of undone ones. An effect that carried out an undo is no history, unless it is the one to be undone.
fn first_undone(all: &[(u64, Inverse)], runs: &BTreeSet<u64>, carried: Option<u64>) -> Option<Inverse> {
    let all: Vec<&(u64, Inverse)> =
        all.iter().filter(|(run, row)| !row.by_pin || carried.is_some_and(|carried| *run <= carried)).collect();
    let mut at = all.iter().rposition(|(run, _)| runs.contains(run))?;
    while at > 0 && (runs.contains(&all[at - 1].0) || was_there(&all[at].1).is_none()) {
        at -= 1;
    }
    Some(all[at].1)
}

/// What an approval does to the pins of a target.
pub(super) fn pin_changes(specs: &[PinSpec], plan: u64, who: &str, now: Timestamp) -> Vec<PinChange> {
    let change = |spec: &PinSpec| {
        let indicator = IndicatorId(spec.id);
        let hold = match spec.hold.as_str() {
            "in" => Hold::In,
            "out" => Hold::Out,
            _ => return PinChange::Lift(indicator),
        };
        PinChange::Set(PinRow {
            indicator,
            hold,
            plan,
            who: who.to_owned(),
            at: now,
            runs: serde_json::to_string(&spec.runs).unwrap_or_default(),
            past: spec.past.as_ref().and_then(|past| serde_json::to_string(past).ok()),
        })
    };
    specs.iter().map(change).collect()
}
