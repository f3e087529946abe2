//! Carrying a plan out: intent first, durable; then the call; then the outcome. What is not known is asked.

use super::entries::Times;
use super::{Plan, PlannedStep};
use crate::config::{Config, Connection, Target};
use crate::error::EngineError;
use crate::ledger::{Entry, Ledger};
use crate::state::TargetState;
use crate::{Engine, Known};
use index::Selection;
use intel::delivery::Counts;
use intel::guard::Guard;
use intel::plan::Planned;
use intel::schedule::refused_retry;
use intel::sharing::{Line, LineState, Verb};
use intel::{IndicatorId, RunId, TargetId, Timestamp};
use kit::manifest::Delivery;
use kit::render::{ListFormat, ListStyle};
use kit::{ConnectorError, ItemOutcome, Outgoing, TargetSpec};
use std::sync::Arc;
use std::time::Duration;
use store::{LineRow, MeantId, Settle, Store};

/// Reads a target's ledger from the store. Lines of indicators that are no more are for [`Ledger::keep`] to drop.
pub(crate) fn load_ledger(store: &Store, target: TargetId) -> Result<Ledger, EngineError> {
    let mut ledger = Ledger::default();
    store.lines(target, &mut |line| {
        ledger.put(Entry {
            id: line.indicator,
            line: Line {
                state: state_of(line.state),
                fingerprint: line.fingerprint,
                next_try: line.next_try,
                remote_expires: line.remote_expires,
                remote_from: line.remote_from,
                attempts: line.attempts,
            },
            remote_id: line.remote_id.map(Into::into),
            entry: line.entry.map(Into::into),
            words: line.words.map(Into::into),
            first_intent: line.first_intent,
            updated: line.updated,
        });
    })?;
    Ok(ledger)
}

/// A state as stored. A number nobody gave is an outcome nobody knows.
pub(crate) fn state_of(number: u8) -> LineState {
    LineState::ALL.get(usize::from(number)).copied().unwrap_or(LineState::Unknown)
}

/// A ledger line as stored.
fn row_of(entry: &Entry, run: RunId) -> LineRow {
    LineRow {
        indicator: entry.id,
        entry: entry.entry.as_deref().map(str::to_owned),
        state: entry.line.state as u8,
        fingerprint: entry.line.fingerprint,
        remote_id: entry.remote_id.as_deref().map(str::to_owned),
        remote_expires: entry.line.remote_expires,
        remote_from: entry.line.remote_from,
        attempts: entry.line.attempts,
        next_try: entry.line.next_try,
        words: entry.words.as_deref().map(str::to_owned),
        run,
        first_intent: entry.first_intent,
        updated: entry.updated,
    }
}

/// The counts of a pass, and what stopped it.
type Applied = (Counts, Option<ConnectorError>);

/// A step that the rolling budget counts once it is begun, with its line before it.
type Counted = (IndicatorId, Verb, Option<Line>);

/// One pass's fixed surroundings.
pub(super) struct Pass<'a> {
    pub(super) target: &'a Target,
    pub(super) plan: &'a Plan,
    pub(super) run: RunId,
    pub(super) now: Timestamp,
    /// The guard that has let its steps through.
    pub(super) guard: Arc<Guard>,
}

impl Pass<'_> {
    /// Whether what was let through must be asked about again: the guard is another, or an exception may have ended.
    pub(super) fn is_to_be_asked_again(&self, guard: &Arc<Guard>) -> bool {
        !Arc::ptr_eq(guard, &self.guard) || guard.has_exceptions()
    }

    /// A refusal's words, and when the entry is offered again.
    pub(super) fn refused(&self, entry: &mut Entry, words: &str) {
        entry.words = Some(clipped(words));
        entry.line.next_try = Some(self.now.after(refused_retry(entry.line.attempts)));
    }

    /// An entry of a list, dated by its ledger line: what these steps do not change keeps its dates.
    pub(super) fn item(&self, known: &Known, id: IndicatorId, changed: &Selection) -> Outgoing {
        let line = known.ledgers.get(&self.target.id).and_then(|ledger| ledger.dates(id));
        let (created, updated) = line.unwrap_or((self.now, self.now));
        let modified = if changed.contains(id) { self.now } else { updated };
        self.plan.entries.outgoing(known, id, Times { created, modified, now: self.now })
    }
}

/// A destination's words, as long as they are kept.
pub(super) fn clipped(words: &str) -> Box<str> {
    words.chars().take(500).collect::<String>().into_boxed_str()
}

/// To the second, as the ledger keeps it: a repeat after a restart is then the same.
pub(super) fn whole(time: Timestamp) -> Timestamp {
    Timestamp::from_secs(time.secs())
}

/// The version after one of this time: now, or later where the ledger's second has not passed yet.
pub(super) fn next_version(now: Timestamp, before: Timestamp) -> Timestamp {
    now.max(before.after(Duration::from_secs(1)))
}

/// The entries that these steps put or change.
pub(super) fn changed(steps: &[&Planned]) -> Selection {
    let mut changed = Selection::default();
    for step in steps.iter().filter(|step| step.step != Verb::Retract) {
        changed.insert(IndicatorId(step.entry));
    }
    changed
}

impl Plan {
    /// A step as shown to a person.
    pub(crate) fn show(&self, known: &Known, step: &Planned, now: Timestamp) -> PlannedStep {
        let id = IndicatorId(step.entry);
        PlannedStep {
            verb: step.step.as_str(),
            kind: known.index.key_ref(id).0.as_str(),
            entry: self.entries.text(known, id).to_owned(),
            reason: step.reason.as_ref().map(ToString::to_string),
            waits: step.why_held.as_ref().map(ToString::to_string),
            sources: match step.step {
                Verb::Push | Verb::Update => known.index.summary(id, now).sources.into_iter().collect(),
                _ => Vec::new(),
            },
        }
    }
}

impl Engine {
    /// Writes lines that say what is meant, before anything is sent.
    pub(super) fn intend(&self, target: TargetId, run: RunId, entries: &[Entry]) -> Result<(), EngineError> {
        let rows: Vec<LineRow> = entries.iter().map(|e| row_of(e, run)).collect();
        let inverses = super::undo::intended(&self.known(), target, entries);
        self.store.intend_undoable(target, run, &rows, &inverses, self.world.now())?;
        let mut known = self.known_mut();
        let ledger = known.ledgers.entry(target).or_default();
        for entry in entries {
            ledger.put(entry.clone());
        }
        Ok(())
    }

    /// As [`Engine::intend`], of what is soon known: to be followed by [`Engine::settle_meant`].
    pub(super) fn mean(&self, target: TargetId, run: RunId, entries: &[Entry]) -> Result<MeantId, EngineError> {
        let rows: Vec<LineRow> = entries.iter().map(|e| row_of(e, run)).collect();
        let inverses = super::undo::intended(&self.known(), target, entries);
        let id = self.store.mean(target, run, &rows, &inverses, self.world.now())?;
        let mut known = self.known_mut();
        let ledger = known.ledgers.entry(target).or_default();
        for entry in entries {
            ledger.put(entry.clone());
        }
        Ok(id)
    }

    /// Writes what came of what was meant together. The lines of what was not tried are again what they were.
    pub(super) fn settle_meant(
        &self,
        id: MeantId,
        pass: &Pass<'_>,
        settled: Vec<Entry>,
        untried: &[&Planned],
        before: &[Option<Entry>],
    ) -> Result<(), EngineError> {
        let target = pass.target.id;
        let ids = || untried.iter().map(|step| IndicatorId(step.entry));
        let dropped: Vec<IndicatorId> = ids().zip(before).filter(|(_, old)| old.is_none()).map(|(id, _)| id).collect();
        let lines: Vec<LineRow> = settled.iter().map(|e| row_of(e, pass.run)).collect();
        let old: Vec<LineRow> = before.iter().flatten().map(|e| row_of(e, pass.run)).collect();
        let mut inverses = super::undo::settled(&self.known(), target, &settled);
        inverses.extend(super::undo::void(ids()));
        let settle =
            Settle { target, run: pass.run, lines: &lines, dropped: &dropped, published: None, target_state: None };
        self.store.settle_meant(id, &settle, &old, &inverses, self.world.now())?;
        let mut known = self.known_mut();
        let ledger = known.ledgers.entry(target).or_default();
        dropped.into_iter().for_each(|id| ledger.forget(id));
        settled.into_iter().chain(before.iter().flatten().cloned()).for_each(|entry| ledger.put(entry));
        Ok(())
    }

    /// Writes lines that say what came of it; with them, in one transaction, the pointer to a published body.
    pub(super) fn settle(
        &self,
        target: &Target,
        run: RunId,
        entries: Vec<Entry>,
        published: Option<&store::Published>,
    ) -> Result<(), EngineError> {
        let rows: Vec<LineRow> = entries.iter().map(|e| row_of(e, run)).collect();
        let inverses = super::undo::settled(&self.known(), target.id, &entries);
        let settle = Settle { target: target.id, run, lines: &rows, dropped: &[], published, target_state: None };
        self.store.settle_undoable(&settle, &inverses, self.world.now())?;
        let mut known = self.known_mut();
        let ledger = known.ledgers.entry(target.id).or_default();
        for entry in entries {
            ledger.put(entry);
        }
        Ok(())
    }

    /// Carries out what may happen now.
    pub(super) fn apply_plan(
        &self,
        config: &Config,
        target: &Target,
        plan: &Plan,
        state: &mut TargetState,
        run: RunId,
        now: Timestamp,
    ) -> Result<Applied, EngineError> {
        let mut counts = plan.counts();
        // Taken before it is asked: one that comes meanwhile is another.
        let pass = Pass { target, plan, run, now, guard: self.known().guard.clone() };
        let steps = &plan.restrained.now;
        self.drop_lines(&pass, steps)?;
        let effects: Vec<&Planned> = steps.iter().filter(|s| s.step.is_effect()).collect();
        let (effects, n_stopped) = self.let_through(target, plan, effects);
        counts.deferred += n_stopped;
        let connection = config.connections.get(&target.connection).filter(|c| c.doc.enabled && target.doc.enabled);
        let Some(connection) = connection else {
            counts.deferred += effects.len() as u64;
            return Ok((counts, None));
        };
        let counted = self.ordinary(&pass, &effects)?;
        let lost_body = target.action.delivery == Delivery::Hosted
            && self.bodies.get(&target.doc.name).is_none()
            && self.known().ledgers.get(&target.id).is_some_and(|ledger| !ledger.present().is_empty());
        let is_staged = target.action.deploys && self.has_staged(target);
        if (!effects.is_empty() || is_staged)
            && target.action.delivery != Delivery::Hosted
            && connection.locked.is_none()
        {
            match self.identify(target, connection, state, now) {
                Ok(()) => {}
                Err(EngineError::Connector { error, .. }) => {
                    counts.deferred += effects.len() as u64;
                    return Ok((counts, Some(error)));
                }
                Err(error) => return Err(error),
            }
        }
        let error = if effects.is_empty() && !lost_body && !is_staged {
            None
        } else if self.is_stopped(target.id)? {
            // A lost list is not made again either: by a restored ledger it would be older than what its readers have.
            counts.deferred += effects.len() as u64;
            None
        } else {
            match target.action.delivery {
                Delivery::Hosted => self.publish_hosted(&pass, &effects, &mut counts)?,
                Delivery::Replace => self.replace_list(&pass, connection, state, &effects, &mut counts)?,
                Delivery::List => self.publish_list(&pass, connection, &effects, &mut counts)?,
                Delivery::Items => self.send_items(&pass, connection, state, &effects, &mut counts)?,
            }
        };
        if counts.accepted + counts.unknown > 0 {
            state.last_effect = Some(self.world.now().micros());
        }
        if plan.restrained.now.iter().any(|s| s.step == Verb::Push) && plan.restrained.held.is_empty() {
            state.fill_approved = true;
            let ended = counts.unknown == 0 && counts.deferred == 0;
            state.filled |= ended;
        }
        // The rolling budget counts what nobody was asked about: no first fill, nothing approved, nothing repeated; and
        // of that what was begun.
        let (adds, removals) = self.begun(target, &counted);
        self.store.add_effects(target.id, run, adds, removals, now)?;
        Ok((counts, error))
    }

    /// The pushes and removals that the rolling budget counts, each with its line before it.
    fn ordinary(&self, pass: &Pass<'_>, effects: &[&Planned]) -> Result<Vec<Counted>, EngineError> {
        let was_filled = self.was_filled(pass.target)?;
        let known = self.known();
        let ledger = known.ledgers.get(&pass.target.id);
        let counts = |step: &&&Planned| {
            let is_counted = step.step == Verb::Retract || (step.step == Verb::Push && was_filled);
            is_counted && pass.plan.is_ordinary(step, pass.now)
        };
        let before = |step: &&Planned| {
            let id = IndicatorId(step.entry);
            (id, step.step, ledger.and_then(|ledger| ledger.get(id)).map(|entry| entry.line))
        };
        Ok(effects.iter().filter(counts).map(before).collect())
    }

    /// How many of these pushes and removals were begun: those whose line is not what it was.
    fn begun(&self, target: &Target, counted: &[Counted]) -> (usize, usize) {
        let known = self.known();
        let ledger = known.ledgers.get(&target.id);
        let is_begun = |id: IndicatorId, before: &Option<Line>| {
            ledger.and_then(|ledger| ledger.get(id)).map(|entry| entry.line) != *before
        };
        let n = |verb: Verb| counted.iter().filter(|(id, step, before)| *step == verb && is_begun(*id, before)).count();
        (n(Verb::Push), n(Verb::Retract))
    }

    /// Whether the target had been filled before this pass.
    fn was_filled(&self, target: &Target) -> Result<bool, EngineError> {
        Ok(TargetState::parse(self.store.target_state(target.id)?.as_deref()).filled)
    }

    fn drop_lines(&self, pass: &Pass<'_>, steps: &[Planned]) -> Result<(), EngineError> {
        let dropped: Vec<IndicatorId> =
            steps.iter().filter(|s| s.step == Verb::Drop).map(|s| IndicatorId(s.entry)).collect();
        if dropped.is_empty() {
            return Ok(());
        }
        self.store.settle(&Settle {
            target: pass.target.id,
            run: pass.run,
            lines: &[],
            dropped: &dropped,
            published: None,
            target_state: None,
        })?;
        let mut known = self.known_mut();
        if let Some(ledger) = known.ledgers.get_mut(&pass.target.id) {
            for id in dropped {
                ledger.forget(id);
            }
        }
        Ok(())
    }

    /// The ledger line a step starts from, with the state that says it was meant.
    pub(super) fn intended(&self, known: &Known, pass: &Pass<'_>, step: &Planned) -> Entry {
        let id = IndicatorId(step.entry);
        let old = known.ledgers.get(&pass.target.id).and_then(|l| l.get(id));
        let text = pass.plan.entries.text(known, id);
        let own_text = (text != known.index.key_ref(id).1).then(|| text.into());
        let gone = old.as_ref().is_none_or(|e| e.line.state == LineState::Gone);
        let mut entry = old.clone().unwrap_or_else(|| Entry {
            id,
            line: Line::new(LineState::Pending, step.fingerprint),
            remote_id: None,
            entry: own_text,
            words: None,
            first_intent: pass.now,
            updated: pass.now,
        });
        // Another content is refused anew.
        if entry.line.state == LineState::Refused && entry.line.fingerprint != step.fingerprint {
            entry.line.attempts = 0;
        }
        entry.line.attempts = entry.line.attempts.saturating_add(1);
        // Until then nothing that is said of it is believed.
        entry.line.next_try = pass.target.action.lag.map(|lag| self.world.now().after(lag));
        let same = step.step == Verb::Retract || entry.line.fingerprint == step.fingerprint;
        // What is repeated because nobody knows what came of it is the same version as before: the other side may then
        // tell that it has it. Anything else is a newer one, also within one second, which is what a ledger keeps.
        if !(step.repeat && same) {
            entry.updated = old.map_or(pass.now, |e| next_version(pass.now, e.updated));
        }
        // What was taken and waits to be deployed is one thing; what is meant now was not sent yet.
        if super::look::is_staged(&entry) {
            entry.words = None;
        }
        match step.step {
            Verb::Retract => entry.line.state = LineState::Retracting,
            _ => {
                if gone {
                    entry.remote_id = None;
                    entry.line.remote_expires = None;
                }
                entry.line.state = LineState::Pending;
                entry.line.fingerprint = step.fingerprint;
            }
        }
        entry
    }

    /// What a line becomes by the outcome of its step.
    pub(super) fn settled(
        &self,
        pass: &Pass<'_>,
        step: &Planned,
        mut entry: Entry,
        outcome: &ItemOutcome,
        expiry: Option<Timestamp>,
    ) -> Entry {
        let words = |text: &String| Some(clipped(text));
        match (step.step, outcome) {
            (Verb::Retract, ItemOutcome::Accepted { .. }) => {
                entry.line = Line::new(LineState::Gone, 0);
                entry.words = None;
            }
            (Verb::Retract, ItemOutcome::Refused(text)) => {
                entry.line.state = LineState::Present;
                entry.line.next_try = None;
                entry.words = words(text);
            }
            (_, ItemOutcome::Foreign) => {
                entry.line = Line::new(LineState::Foreign, entry.line.fingerprint);
                entry.words = None;
            }
            (Verb::Retract, ItemOutcome::Unknown(text) | ItemOutcome::NotDone(text)) => {
                entry.line.state = LineState::Retracting;
                entry.words = words(text);
            }
            (_, ItemOutcome::Accepted { remote_id }) => {
                entry.line.state = LineState::Present;
                entry.line.attempts = 0;
                entry.line.next_try = None;
                entry.line.remote_expires = expiry;
                entry.line.remote_from = expiry.map(|_| pass.now);
                entry.words = None;
                if let Some(remote_id) = remote_id {
                    entry.remote_id = Some(remote_id.as_str().into());
                }
            }
            // An earlier try of this step may have gone through; that this one was refused does not say it did not.
            (_, ItemOutcome::Refused(text)) if step.repeat => {
                entry.line.state = LineState::Unknown;
                // Offered again as a newer version: who keeps what it said to this one would say it forever.
                entry.updated = next_version(pass.now, entry.updated);
                entry.words = words(text);
            }
            (_, ItemOutcome::Refused(text)) => {
                entry.line.state = LineState::Refused;
                pass.refused(&mut entry, text);
            }
            // Who is asked about one by one is put back to what it was before it comes here.
            (_, ItemOutcome::Unknown(text) | ItemOutcome::NotDone(text)) => {
                entry.line.state = LineState::Unknown;
                entry.words = words(text);
            }
        }
        entry
    }

    /// Puts lines back to what they were before an intent that came to nothing.
    pub(super) fn restore(
        &self,
        pass: &Pass<'_>,
        batch: &[&Planned],
        before: &[Option<Entry>],
    ) -> Result<(), EngineError> {
        let none: Vec<IndicatorId> = batch
            .iter()
            .zip(before)
            .filter(|(_, old)| old.is_none())
            .map(|(step, _)| IndicatorId(step.entry))
            .collect();
        let old: Vec<Entry> = before.iter().flatten().cloned().collect();
        let rows: Vec<LineRow> = old.iter().map(|e| row_of(e, pass.run)).collect();
        let settle = Settle {
            target: pass.target.id,
            run: pass.run,
            lines: &rows,
            dropped: &none,
            published: None,
            target_state: None,
        };
        let void = super::undo::void(batch.iter().map(|step| IndicatorId(step.entry)));
        self.store.settle_undoable(&settle, &void, self.world.now())?;
        let mut known = self.known_mut();
        let ledger = known.ledgers.entry(pass.target.id).or_default();
        for id in none {
            ledger.forget(id);
        }
        for entry in old {
            ledger.put(entry);
        }
        Ok(())
    }

    /// What is to be there once these steps are done, in the order of ids.
    pub(super) fn contents(&self, known: &Known, pass: &Pass<'_>, effects: &[&Planned]) -> Vec<IndicatorId> {
        let mut there = Selection::default();
        if let Some(ledger) = known.ledgers.get(&pass.target.id) {
            there = ledger.present().clone();
        }
        for step in effects {
            let id = IndicatorId(step.entry);
            if step.step == Verb::Retract {
                there.remove(id);
            } else {
                there.insert(id);
            }
        }
        there.iter().collect()
    }

    /// A list we serve: the body is written under a new name, then lines and pointer change in one transaction.
    fn publish_hosted(
        &self,
        pass: &Pass<'_>,
        effects: &[&Planned],
        counts: &mut Counts,
    ) -> Result<Option<ConnectorError>, EngineError> {
        let style = ListStyle {
            format: pass.target.text_param("format").and_then(ListFormat::parse).unwrap_or_default(),
            name: pass.target.doc.name.clone(),
            mark: self.exchange.to_string(),
            line_max: pass.target.int_param("line_max").and_then(|max| usize::try_from(max).ok()),
            ..ListStyle::default()
        };
        let (fitting, unfit): (Vec<&Planned>, Vec<&Planned>) = {
            let known = self.known();
            effects.iter().copied().partition(|step| {
                step.step == Verb::Retract || style.fits(pass.plan.entries.text(&known, IndicatorId(step.entry)))
            })
        };
        let format = style.format;
        let effects = &fitting;
        let changed = changed(effects);
        let draft = {
            let known = self.known();
            let ids = self.contents(&known, pass, effects);
            let mut items = ids.iter().map(|id| pass.item(&known, *id, &changed));
            self.bodies.draft(&pass.target.doc.name, format, pass.now, pass.run, |out| style.write(&mut items, out))?
        };
        self.world.step("share.drafted")?;
        let words = "it does not fit a line of this list".to_owned();
        let mut settled = self.outcomes(pass, effects, &ItemOutcome::Accepted { remote_id: None });
        settled.extend(self.outcomes(pass, &unfit, &ItemOutcome::Refused(words)));
        self.settle(pass.target, pass.run, settled, Some(&draft.published))?;
        self.world.step("share.published")?;
        self.bodies.serve(draft);
        counts.accepted += effects.len() as u64;
        counts.refused += unfit.len() as u64;
        Ok(None)
    }

    /// The lines of these steps, all with one outcome.
    fn outcomes(&self, pass: &Pass<'_>, effects: &[&Planned], outcome: &ItemOutcome) -> Vec<Entry> {
        let known = self.known();
        effects.iter().map(|step| self.settled(pass, step, self.intended(&known, pass, step), outcome, None)).collect()
    }

    /// A list that a connector replaces as a whole.
    fn publish_list(
        &self,
        pass: &Pass<'_>,
        connection: &Connection,
        effects: &[&Planned],
        counts: &mut Counts,
    ) -> Result<Option<ConnectorError>, EngineError> {
        // Without its secret nothing can be called, so nothing is meant: the lines stay as they are.
        if let Some(why) = &connection.locked {
            counts.deferred += effects.len() as u64;
            return Ok(Some(ConnectorError::Later { wait: None, why: why.clone() }));
        }
        let Some(destination) = connection.open.destination() else {
            counts.deferred += effects.len() as u64;
            return Ok(Some(ConnectorError::Unsupported));
        };
        let (before, entries, items): (Vec<Option<Entry>>, Vec<Entry>, Vec<IndicatorId>) = {
            let known = self.known();
            let ledger = known.ledgers.get(&pass.target.id);
            (
                effects.iter().map(|s| ledger.and_then(|l| l.get(IndicatorId(s.entry)))).collect(),
                effects.iter().map(|s| self.intended(&known, pass, s)).collect(),
                self.contents(&known, pass, effects),
            )
        };
        if self.is_stopped(pass.target.id)? {
            counts.deferred += effects.len() as u64;
            return Ok(None);
        }
        if let Some(error) = self.resting(connection) {
            counts.deferred += effects.len() as u64;
            return Ok(Some(error));
        }
        self.intend(pass.target.id, pass.run, &entries)?;
        self.world.step("share.intended")?;
        let changed = changed(effects);
        let published = self.call(connection, pass.now, |cx| {
            // Looked up one by one: what is known must not stand still while the other side takes its time.
            let mut all = items.iter().map(|id| pass.item(&self.known(), *id, &changed));
            destination.publish(spec(pass.target, &self.exchange), &mut all, cx)
        });
        self.world.step("share.called")?;
        let (outcome, error) = match published {
            Ok(()) => (ItemOutcome::Accepted { remote_id: None }, None),
            Err(EngineError::Connector { error, .. }) => {
                if nothing_done(&error) {
                    self.restore(pass, effects, &before)?;
                    counts.deferred += effects.len() as u64;
                    return Ok(Some(error));
                }
                (ItemOutcome::Unknown(error.to_string()), Some(error))
            }
            Err(error) => return Err(error),
        };
        let settled =
            effects.iter().zip(entries).map(|(step, entry)| self.settled(pass, step, entry, &outcome, None)).collect();
        match &error {
            None => counts.accepted += effects.len() as u64,
            Some(_) => counts.unknown += effects.len() as u64,
        }
        self.settle(pass.target, pass.run, settled, None)?;
        self.world.step("share.settled")?;
        Ok(error)
    }
}

/// Whether a call that failed like this did nothing at all.
pub(super) fn nothing_done(error: &ConnectorError) -> bool {
    use ConnectorError::{Busy, Changed, Denied, Refused, Unsupported};
    matches!(error, Denied(_) | Unsupported | Refused(_) | Changed | Busy { .. })
}

/// A target as its destination sees it.
pub(super) fn spec<'a>(target: &'a Target, mark: &'a str) -> TargetSpec<'a> {
    TargetSpec { name: &target.doc.name, action: &target.action.name, params: &target.params, mark }
}

pub(super) fn wrong_length(connection: &Connection, got: usize, asked: usize) -> EngineError {
    EngineError::Connector {
        connection: connection.doc.name.clone(),
        error: ConnectorError::Unexpected(format!("the connector answered about {got} entries, {asked} were asked")),
    }
}

/// An entry to ask about: what the destination may need to find it.
pub(super) fn question(known: &Known, entry: &Entry) -> Outgoing {
    let key = known.index.key(entry.id);
    let (reputation, severity, _, _) = known.index.rank_fields(entry.id);
    Outgoing {
        entry: entry.entry.as_deref().map_or_else(|| key.value().to_owned(), str::to_owned),
        reputation,
        severity,
        tlp: known.index.tlp(entry.id),
        remote_id: entry.remote_id.as_deref().map(str::to_owned),
        created: entry.first_intent,
        ..Outgoing::bare(key, entry.updated)
    }
}
