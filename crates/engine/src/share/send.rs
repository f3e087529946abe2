//! Sending entries one by one in batches, and deploying what was sent where that is a step of its own.

use super::apply::{Pass, next_version, nothing_done, spec, whole, wrong_length};
use super::bisect::{Answer, Delivered, deliver};
use super::entries::Times;
use super::look::{STAGED, is_staged};
use crate::Engine;
use crate::config::{Connection, Target};
use crate::error::EngineError;
use crate::ledger::Entry;
use crate::state::TargetState;
use intel::delivery::Counts;
use intel::plan::Planned;
use intel::sharing::{Line, LineState, Verb};
use intel::{IndicatorId, Timestamp};
use kit::{ConnectorError, Destination, ItemOutcome, Outgoing, Presence};
use std::collections::HashMap;

/// A batch as it is about to be sent.
#[derive(Default)]
struct Meant {
    before: Vec<Option<Entry>>,
    entries: Vec<Entry>,
    items: Vec<Outgoing>,
}

impl Engine {
    /// Sends items in batches; a call that fails leaves its batch unknown and ends the pass. Then what was sent is
    /// deployed, where it takes that.
    pub(super) fn send_items(
        &self,
        pass: &Pass<'_>,
        connection: &Connection,
        state: &mut TargetState,
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
        let accepted_before = counts.accepted;
        let found = match self.read_before_retracting(pass, connection, state, effects) {
            Ok(found) => found,
            Err(EngineError::Connector { error, .. }) => {
                counts.deferred += effects.len() as u64;
                return Ok(Some(error));
            }
            Err(error) => return Err(error),
        };
        let mut start = 0;
        while start < effects.len() {
            if self.is_stopped(pass.target.id)? {
                counts.deferred += (effects.len() - start) as u64;
                return Ok(None);
            }
            if let Some(error) = self.resting(connection) {
                counts.deferred += (effects.len() - start) as u64;
                return Ok(Some(error));
            }
            let batch = &effects[start..start + self.batch_len(pass, &effects[start..])];
            start += batch.len();
            if let Some(error) = self.send_batch(pass, connection, destination, &found, batch, counts)? {
                counts.deferred += (effects.len() - start) as u64;
                return Ok(Some(error));
            }
        }
        if pass.target.action.deploys && self.has_staged(pass.target) {
            let error = self.deploy(pass, connection, destination)?;
            if error.is_some() {
                // What was taken and is not in force yet was not done.
                let staged = counts.accepted - accepted_before;
                counts.accepted -= staged;
                counts.unknown += staged;
            }
            return Ok(error);
        }
        self.sample(pass.target, connection, destination, state, effects)
    }

    /// How many of these steps go in one call: of one sort, as many as the action takes, by number and by bytes.
    fn batch_len(&self, pass: &Pass<'_>, effects: &[&Planned]) -> usize {
        let action = &pass.target.action;
        let retracting = effects[0].step == Verb::Retract;
        let most = effects.iter().take_while(|s| (s.step == Verb::Retract) == retracting).take(action.batch).count();
        let Some(limit) = action.batch_bytes else { return most };
        let known = self.known();
        let mut bytes = 0;
        let size = |step: &Planned| u64::from(pass.plan.entries.rendered(&known, IndicatorId(step.entry), pass.now).1);
        let fits = |step: &&&Planned| {
            bytes += size(step);
            bytes <= limit
        };
        effects[..most].iter().take_while(fits).count().max(1)
    }

    /// Sends one batch. An error ends the pass; every step of the batch is counted.
    fn send_batch(
        &self,
        pass: &Pass<'_>,
        connection: &Connection,
        destination: &dyn Destination,
        found: &HashMap<IndicatorId, Presence>,
        batch: &[&Planned],
        counts: &mut Counts,
    ) -> Result<Option<ConnectorError>, EngineError> {
        let retracting = batch[0].step == Verb::Retract;
        // A pass may be long: what was let through at its beginning is asked about again.
        let (mut batch, n_stopped) = self.let_through(pass.target, pass.plan, batch.to_vec());
        counts.deferred += n_stopped;
        if batch.is_empty() {
            return Ok(None);
        }
        let mut meant = self.meant(pass, &batch);
        if retracting {
            let answers = match pass.target.action.can_look {
                true => self.asked(pass, connection, destination, &meant),
                false => Ok(batch.iter().map(|step| found.get(&IndicatorId(step.entry)).cloned()).collect()),
            };
            match answers {
                Ok(answers) => self.only_ours(pass, answers, &mut batch, &mut meant, counts)?,
                Err(EngineError::Connector { error, .. }) => {
                    counts.deferred += batch.len() as u64;
                    return Ok(Some(error));
                }
                Err(error) => return Err(error),
            }
            if batch.is_empty() {
                return Ok(None);
            }
        }
        let Meant { before, entries, items } = meant;
        self.world.step("share.planned")?;
        self.intend(pass.target.id, pass.run, &entries)?;
        self.world.step("share.intended")?;
        let spec = spec(pass.target, &self.exchange);
        let mut is_first = true;
        let Delivered { outcomes, error } = deliver(batch.len(), &mut |range| {
            if !std::mem::take(&mut is_first) && self.is_stopped(pass.target.id)? {
                return Ok(Answer::Stopped);
            }
            let items = &items[range];
            // The time of the call, not of the pass: a long pass must not sign with a time that is over.
            let called = self.call(connection, self.world.now(), |cx| {
                if retracting { destination.retract(spec, items, cx) } else { destination.push(spec, items, cx) }
            });
            self.world.step("share.called")?;
            Ok(match called {
                Ok(outcomes) if outcomes.len() == items.len() => Answer::Each(outcomes),
                Ok(outcomes) => {
                    let (got, sent) = (outcomes.len(), items.len());
                    let words = format!("the connector answered {got} outcomes for {sent} items");
                    Answer::Failed(ConnectorError::Unexpected(words))
                }
                Err(EngineError::Connector { error: ConnectorError::Refused(words), .. }) => {
                    Answer::RefusedWhole(words)
                }
                Err(EngineError::Connector { error, .. }) if nothing_done(&error) => Answer::NotDone(error),
                Err(EngineError::Connector { error, .. }) => Answer::Failed(error),
                Err(error) => return Err(error),
            })
        })?;
        let mut settled = Vec::with_capacity(batch.len());
        let (mut untried, mut untried_before) = (Vec::new(), Vec::new());
        for ((((step, entry), outcome), item), old) in batch.iter().zip(entries).zip(&outcomes).zip(&items).zip(before)
        {
            let Some(outcome) = outcome else {
                untried.push(*step);
                untried_before.push(old);
                continue;
            };
            match outcome {
                ItemOutcome::Accepted { .. } => counts.accepted += 1,
                ItemOutcome::Refused(_) | ItemOutcome::Foreign => counts.refused += 1,
                ItemOutcome::Unknown(_) => counts.unknown += 1,
            }
            let expiry = if pass.target.action.holds_expiry { item.expires_at } else { None };
            settled.push(self.settled_item(pass, step, entry, outcome, old, expiry));
        }
        if !untried.is_empty() {
            // Nothing was done: the lines go back to what they were.
            self.restore(pass, &untried, &untried_before)?;
            counts.deferred += untried.len() as u64;
        }
        self.settle(pass.target, pass.run, settled, None)?;
        self.world.step("share.settled")?;
        Ok(error)
    }

    /// The lines and items of a batch, as they are about to be meant and sent.
    fn meant(&self, pass: &Pass<'_>, batch: &[&Planned]) -> Meant {
        let known = self.known();
        let ledger = known.ledgers.get(&pass.target.id);
        let mut meant = Meant::default();
        for step in batch {
            let id = IndicatorId(step.entry);
            let old = ledger.and_then(|l| l.get(id));
            let mut entry = self.intended(&known, pass, step);
            let times = Times { created: whole(entry.first_intent), modified: whole(entry.updated), now: pass.now };
            let mut item = pass.plan.entries.outgoing(&known, id, times);
            if step.step != Verb::Retract && pass.target.action.holds_expiry {
                // Another end is another content, though no reason to say it at all.
                if let Some(old) = old.as_ref().filter(|old| step.repeat && old.line.remote_expires != item.expires_at)
                {
                    entry.updated = entry.updated.max(next_version(pass.now, old.updated));
                    item.modified = whole(entry.updated);
                }
                entry.line.remote_expires = item.expires_at;
                entry.line.remote_from = item.expires_at.map(|_| pass.now);
            }
            meant.before.push(old);
            item.remote_id = entry.remote_id.as_deref().map(str::to_owned);
            meant.items.push(item);
            meant.entries.push(entry);
        }
        meant
    }

    /// What is there of what is to be taken back, where only everything can be read: read once, before the first call. Of
    /// what a reading that is doubted does not show, nothing is said.
    fn read_before_retracting(
        &self,
        pass: &Pass<'_>,
        connection: &Connection,
        state: &mut TargetState,
        effects: &[&Planned],
    ) -> Result<HashMap<IndicatorId, Presence>, EngineError> {
        let action = &pass.target.action;
        if action.can_look || !action.can_read || self.is_stopped(pass.target.id)? {
            return Ok(HashMap::new());
        }
        let lines: Vec<Entry> = {
            let known = self.known();
            let Some(ledger) = known.ledgers.get(&pass.target.id) else { return Ok(HashMap::new()) };
            let retracted = effects.iter().filter(|step| step.step == Verb::Retract);
            retracted.filter_map(|step| ledger.get(IndicatorId(step.entry))).collect()
        };
        if lines.is_empty() {
            return Ok(HashMap::new());
        }
        let answers = self.ask(pass.target, connection, state, &lines, self.world.now())?;
        Ok(lines.iter().zip(answers).filter_map(|(line, answer)| Some((line.id, answer?))).collect())
    }

    /// Asks about what is to be taken back.
    fn asked(
        &self,
        pass: &Pass<'_>,
        connection: &Connection,
        destination: &dyn Destination,
        meant: &Meant,
    ) -> Result<Vec<Option<Presence>>, EngineError> {
        let answers = self.call(connection, self.world.now(), |cx| {
            destination.look(spec(pass.target, &self.exchange), &meant.items, cx)
        })?;
        if answers.len() != meant.items.len() {
            return Err(wrong_length(connection, answers.len(), meant.items.len()));
        }
        Ok(answers.into_iter().map(Some).collect())
    }

    /// Takes out of a batch that is to be taken back what is not ours any more, or not there.
    fn only_ours(
        &self,
        pass: &Pass<'_>,
        answers: Vec<Option<Presence>>,
        batch: &mut Vec<&Planned>,
        meant: &mut Meant,
        counts: &mut Counts,
    ) -> Result<(), EngineError> {
        let old = std::mem::take(meant);
        let mut settled = Vec::new();
        let mut kept = Vec::new();
        let lines = old.before.into_iter().zip(old.entries).zip(old.items);
        for ((step, ((before, entry), item)), answer) in batch.drain(..).zip(lines).zip(answers) {
            // What was written lately may not show yet.
            let lags = before
                .as_ref()
                .is_some_and(|line| !intel::drift::is_settled(line.updated, pass.target.action.lag, self.world.now()));
            match answer {
                Some(Presence::Foreign) => {
                    counts.refused += 1;
                    settled.push(self.settled(pass, step, entry, &ItemOutcome::Foreign, None));
                }
                // It was asked to give it back lately, and what it shows may be older: others may have put one like it
                // there since.
                Some(Presence::Ours { .. })
                    if lags && before.as_ref().is_some_and(|line| line.line.state == LineState::Retracting) =>
                {
                    counts.deferred += 1;
                }
                Some(Presence::Absent) if !lags && !pass.target.action.deploys => {
                    counts.accepted += 1;
                    settled.push(self.settled(pass, step, entry, &ItemOutcome::Accepted { remote_id: None }, None));
                }
                _ => {
                    kept.push(step);
                    meant.before.push(before);
                    meant.entries.push(entry);
                    meant.items.push(item);
                }
            }
        }
        *batch = kept;
        self.settle(pass.target, pass.run, settled, None)
    }

    /// What a line becomes by the outcome of its item.
    fn settled_item(
        &self,
        pass: &Pass<'_>,
        step: &Planned,
        entry: Entry,
        outcome: &ItemOutcome,
        old: Option<Entry>,
        expiry: Option<Timestamp>,
    ) -> Entry {
        let deploys = pass.target.action.deploys;
        match (step.step, outcome, old) {
            // A change it would not take leaves the entry there as it was; it is offered again after a while.
            (Verb::Update, ItemOutcome::Refused(text), Some(mut old)) => {
                // A staged line keeps its words, by which it is known as one.
                let staged = is_staged(&old);
                old.line.attempts = old.line.attempts.saturating_add(1);
                pass.refused(&mut old, text);
                if staged {
                    old.words = Some(STAGED.into());
                }
                old
            }
            // It was to be taken back and perhaps never was: that it is not wanted now does not say that it is gone.
            (Verb::Push, ItemOutcome::Refused(_), Some(old))
                if old.line.state == LineState::Retracting && !is_staged(&old) =>
            {
                let mut entry = self.settled(pass, step, entry, outcome, expiry);
                entry.line.state = LineState::Unknown;
                entry.line.next_try = None;
                entry
            }
            // Taken, and not yet in force.
            (Verb::Retract, ItemOutcome::Accepted { .. }, _) if deploys => {
                let mut entry = entry;
                entry.words = Some(STAGED.into());
                entry
            }
            (_, ItemOutcome::Accepted { .. }, _) if deploys => {
                let mut entry = self.settled(pass, step, entry, outcome, expiry);
                entry.line.state = LineState::Pending;
                entry.words = Some(STAGED.into());
                entry
            }
            // The clock of what may be asked begins when the call has ended.
            (_, ItemOutcome::Unknown(_), _) => {
                let mut entry = self.settled(pass, step, entry, outcome, expiry);
                entry.line.next_try = pass.target.action.lag.map(|lag| self.world.now().after(lag));
                entry
            }
            _ => self.settled(pass, step, entry, outcome, expiry),
        }
    }

    /// Whether something that was sent to a target waits to be deployed.
    pub(super) fn has_staged(&self, target: &Target) -> bool {
        !self.staged(target).is_empty()
    }

    fn staged(&self, target: &Target) -> Vec<Entry> {
        let known = self.known();
        let Some(ledger) = known.ledgers.get(&target.id) else { return Vec::new() };
        ledger.unsettled().filter_map(|id| ledger.get(id)).filter(is_staged).collect()
    }

    /// Puts in force what was sent, all of it at once. Until that has worked its lines stay staged, and it is tried
    /// again in the next pass without sending anything twice.
    fn deploy(
        &self,
        pass: &Pass<'_>,
        connection: &Connection,
        destination: &dyn Destination,
    ) -> Result<Option<ConnectorError>, EngineError> {
        if self.is_stopped(pass.target.id)? {
            let why = "frozen: what was sent is not deployed".to_owned();
            return Ok(Some(ConnectorError::Later { wait: None, why }));
        }
        let staged = self.staged(pass.target);
        self.world.step("share.staged")?;
        let deployed =
            self.call(connection, self.world.now(), |cx| destination.deploy(spec(pass.target, &self.exchange), cx));
        self.world.step("share.deployed")?;
        match deployed {
            Ok(()) => {}
            Err(EngineError::Connector { error, .. }) => return Ok(Some(error)),
            Err(error) => return Err(error),
        }
        let settled = staged
            .into_iter()
            .map(|mut entry| {
                entry.words = None;
                match entry.line.state {
                    LineState::Retracting => entry.line = Line::new(LineState::Gone, 0),
                    _ => {
                        entry.line.state = LineState::Present;
                        entry.line.attempts = 0;
                    }
                }
                entry
            })
            .collect();
        self.settle(pass.target, pass.run, settled, None)?;
        self.world.step("share.settled")?;
        Ok(None)
    }

    /// After a push: are some of the entries that were accepted really there? A destination that drops what is above its
    /// limit and says nothing is found out in the pass in which it does so.
    fn sample(
        &self,
        target: &Target,
        connection: &Connection,
        destination: &dyn Destination,
        state: &mut TargetState,
        effects: &[&Planned],
    ) -> Result<Option<ConnectorError>, EngineError> {
        let action = &target.action;
        // Where an answer lags, and where only everything can be read, the next reading tells.
        if !action.can_look || action.lag.is_some() || action.deploys {
            return Ok(None);
        }
        let sent: Vec<Entry> = {
            let known = self.known();
            let Some(ledger) = known.ledgers.get(&target.id) else { return Ok(None) };
            let pushed = effects.iter().filter(|step| step.step == Verb::Push);
            let present = |step: &&Planned| ledger.get(IndicatorId(step.entry));
            pushed.filter_map(present).filter(|line| line.line.state == LineState::Present).collect()
        };
        if sent.is_empty() {
            return Ok(None);
        }
        // Spread over all that was sent; the last ones among them, which would be the first to be dropped.
        let every = sent.len().div_ceil(super::verify::SAMPLE.min(action.batch));
        let picked: Vec<Outgoing> = {
            let known = self.known();
            sent.iter().rev().step_by(every).map(|entry| super::apply::question(&known, entry)).collect()
        };
        let said = match self
            .call(connection, self.world.now(), |cx| destination.look(spec(target, &self.exchange), &picked, cx))
        {
            Ok(said) => said,
            // It was pushed all the same: what cannot be asked now is read back by and by.
            Err(EngineError::Connector { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        if said.contains(&Presence::Absent) {
            state.verified = None;
            state.is_dropping = true;
        }
        Ok(None)
    }
}
