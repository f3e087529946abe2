//! Sending entries one by one in batches, and deploying what was sent where that is a step of its own.

use super::adopt::asks_first;
use super::apply::{Pass, next_version, nothing_done, spec, whole, wrong_length};
use super::bisect::{Answer, Delivered, deliver};
use super::entries::Times;
use super::look::{STAGED, Shown, is_staged};
use crate::Engine;
use crate::config::{Connection, Target};
use crate::error::EngineError;
use crate::ledger::Entry;
use crate::state::TargetState;
use intel::delivery::Counts;
use intel::plan::Planned;
use intel::sharing::{Line, LineState, Verb};
use intel::{IndicatorId, Timestamp, drift, limits};
use kit::{ConnectorError, Destination, ItemOutcome, Outgoing, Presence};
use std::ops::Range;
use std::time::Duration;

/// So long a reading of everything says what may be taken back.
const READING_STANDS: Duration = Duration::from_secs(60);

/// Most entries that are meant before the first of them is sent.
const AHEAD_MOST: usize = 16_384;
/// Calls that take no longer than this all together are meant together, and what came of them is written together: a
/// destination that answers at once must not wait for the disk at every call.
const QUICK: Duration = Duration::from_millis(250);

/// What is about to be sent.
#[derive(Default)]
struct Meant {
    before: Vec<Option<Entry>>,
    entries: Vec<Entry>,
    items: Vec<Outgoing>,
}

/// A line before, the line that says what is meant, and what is sent.
type One = (Option<Entry>, Entry, Outgoing);

impl Meant {
    /// Takes the lines apart, each with what becomes of it: what `keep` gives back stays.
    fn sift<'p>(&mut self, batch: &mut Vec<&'p Planned>, keep: &mut dyn FnMut(&'p Planned, One) -> Option<One>) {
        let old = std::mem::take(self);
        let lines = old.before.into_iter().zip(old.entries).zip(old.items);
        for (step, ((before, entry), item)) in std::mem::take(batch).into_iter().zip(lines) {
            if let Some((before, entry, item)) = keep(step, (before, entry, item)) {
                batch.push(step);
                self.before.push(before);
                self.entries.push(entry);
                self.items.push(item);
            }
        }
    }
}

/// The surroundings of all batches of a pass.
struct Sending<'a> {
    pass: &'a Pass<'a>,
    connection: &'a Connection,
    destination: &'a dyn Destination,
    state: &'a mut TargetState,
    /// What the last reading of everything showed, and when it ended.
    shown: Option<(Shown, Timestamp)>,
    /// Why some of what was to be taken back was left there.
    doubted: Option<ConnectorError>,
}

/// How the sending of batches ended.
enum Ended {
    /// All were sent.
    Whole,
    /// No call may begin any more.
    Stopped,
    /// A call failed.
    Failed(ConnectorError),
}

/// How calls that were meant together ended.
struct Sent {
    /// Steps that are done with: tried, or kept from being so. What follows them was not tried.
    n_done: usize,
    /// What ended them before their end.
    error: Option<ConnectorError>,
}

/// Whether what is to be pushed is asked about before.
fn is_asked_first(sending: &Sending<'_>) -> bool {
    sending.state.adopted.is_some() && asks_first(sending.pass.target)
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
            return Ok(Some(ConnectorError::Busy { wait: None, why: why.clone() }));
        }
        let Some(destination) = connection.open.destination() else {
            counts.deferred += effects.len() as u64;
            return Ok(Some(ConnectorError::Unsupported));
        };
        let accepted_before = counts.accepted;
        let mut sending = Sending { pass, connection, destination, state, shown: None, doubted: None };
        let ended = self.send_batches(&mut sending, effects, counts)?;
        let Sending { state, doubted, .. } = sending;
        if pass.target.action.deploys && self.has_staged(pass.target) {
            let error = match ended {
                Ended::Whole => self.deploy(pass, connection, destination)?,
                Ended::Stopped => None,
                Ended::Failed(error) => Some(error),
            };
            // What was taken and is not in force yet was not done.
            if self.has_staged(pass.target) {
                let staged = counts.accepted - accepted_before;
                counts.accepted -= staged;
                counts.unknown += staged;
            }
            return Ok(error.or(doubted));
        }
        match ended {
            Ended::Whole => Ok(self.sample(pass.target, connection, destination, state, effects)?.or(doubted)),
            Ended::Stopped => Ok(doubted),
            Ended::Failed(error) => Ok(Some(error)),
        }
    }

    fn send_batches(
        &self,
        sending: &mut Sending<'_>,
        effects: &[&Planned],
        counts: &mut Counts,
    ) -> Result<Ended, EngineError> {
        let mut start = 0;
        let mut ahead = sending.pass.target.action.batch;
        while start < effects.len() {
            if self.is_stopped(sending.pass.target.id)? {
                counts.deferred += (effects.len() - start) as u64;
                return Ok(Ended::Stopped);
            }
            if let Some(error) = self.resting(sending.connection) {
                counts.deferred += (effects.len() - start) as u64;
                return Ok(Ended::Failed(error));
            }
            let group = &effects[start..start + self.group_len(sending, &effects[start..], ahead)];
            let begun = self.world.now();
            let Sent { n_done, error } = self.send_group(sending, group, counts)?;
            start += n_done;
            if let Some(error) = error {
                counts.deferred += (effects.len() - start) as u64;
                return Ok(Ended::Failed(error));
            }
            ahead = match self.world.now().since(begun) {
                took if took < QUICK => (ahead * 2).min(AHEAD_MOST),
                took if took > QUICK * 4 => ahead / 2,
                _ => ahead,
            };
        }
        Ok(Ended::Whole)
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

    /// How many of these steps are meant together: of one sort, at least a call, whole calls as far as they are known
    /// to be so many. Where a call can neither be asked about nor repeated it is meant alone, and so is one before which
    /// the destination is asked.
    fn group_len(&self, sending: &Sending<'_>, effects: &[&Planned], ahead: usize) -> usize {
        let action = &sending.pass.target.action;
        let retracting = effects[0].step == Verb::Retract;
        let call = self.batch_len(sending.pass, effects);
        let is_alone =
            !(action.idempotent || action.can_ask()) || (action.can_look && (retracting || is_asked_first(sending)));
        if is_alone || ahead <= call {
            return call;
        }
        let most = effects.iter().take(ahead).take_while(|s| (s.step == Verb::Retract) == retracting).count();
        most.max(call)
    }

    /// Sends some calls that are meant together. Every step that is done with is counted. What is meant is durable before
    /// the first byte leaves; an outcome that is lost with the process is asked for or repeated, as any that is not known.
    fn send_group(
        &self,
        sending: &mut Sending<'_>,
        group: &[&Planned],
        counts: &mut Counts,
    ) -> Result<Sent, EngineError> {
        let Sending { pass, connection, destination, .. } = *sending;
        let retracting = group[0].step == Verb::Retract;
        let mut batch = group.to_vec();
        let done = |batch: &[&Planned], n_tried: usize| group.len() - (batch.len() - n_tried);
        // A pass may be long: what was let through at its beginning is asked about again.
        let guard = self.known().guard.clone();
        if pass.is_to_be_asked_again(&guard) {
            let (through, n_stopped) = self.let_through(pass.target, pass.plan, batch);
            batch = through;
            counts.deferred += n_stopped;
        }
        let mut meant = self.meant(pass, &batch);
        let asked = match retracting {
            _ if batch.is_empty() => Ok(()),
            true if pass.target.action.can_ask() => self.only_ours(sending, &mut batch, &mut meant, counts),
            false if is_asked_first(sending) => self.only_new(sending, &mut batch, &mut meant, counts),
            _ => Ok(()),
        };
        match asked {
            Ok(()) => {}
            Err(EngineError::Connector { error, .. }) => {
                return Ok(Sent { n_done: done(&batch, 0), error: Some(error) });
            }
            Err(error) => return Err(error),
        }
        if batch.is_empty() {
            return Ok(Sent { n_done: group.len(), error: None });
        }
        let Meant { before, entries, items } = meant;
        self.world.step("share.planned")?;
        let id = self.mean(pass.target.id, pass.run, &entries)?;
        self.world.step("share.intended")?;
        let begun = self.world.now();
        let mut settled = Vec::with_capacity(batch.len());
        let (mut lines, mut n_tried, mut failed) = (entries.into_iter().zip(before), 0, None);
        let (mut untried, mut untried_before) = (Vec::new(), Vec::new());
        while n_tried < batch.len() && failed.is_none() {
            let call = n_tried..n_tried + self.batch_len(pass, &batch[n_tried..]);
            if n_tried > 0 {
                // What was not tried is put back, and whoever means it next looks again at what has changed.
                if self.world.now().since(begun) >= QUICK
                    || self.is_stopped(pass.target.id)?
                    || self.resting(connection).is_some()
                    || !std::sync::Arc::ptr_eq(&guard, &self.known().guard)
                    || self.known().guard.has_exceptions()
                {
                    break;
                }
            }
            n_tried = call.end;
            let Delivered { outcomes, error } =
                self.send_call(pass, connection, destination, retracting, &items[call.clone()])?;
            for ((at, outcome), (entry, old)) in call.zip(outcomes).zip(&mut lines) {
                let not_done = |outcome: &ItemOutcome| match outcome {
                    ItemOutcome::NotDone(why) => Some(why.clone()),
                    _ => None,
                };
                if let Some(why) = outcome.as_ref().and_then(not_done) {
                    failed.get_or_insert(ConnectorError::Busy { wait: None, why });
                }
                let Some(outcome) = outcome.filter(|outcome| not_done(outcome).is_none()) else {
                    untried.push(batch[at]);
                    untried_before.push(old);
                    continue;
                };
                match outcome {
                    ItemOutcome::Accepted { .. } => counts.accepted += 1,
                    ItemOutcome::Refused(_) | ItemOutcome::Foreign => counts.refused += 1,
                    ItemOutcome::Unknown(_) | ItemOutcome::NotDone(_) => counts.unknown += 1,
                }
                let expiry = if pass.target.action.holds_expiry { items[at].expires_at } else { None };
                settled.push(self.settled_item(pass, batch[at], entry, &outcome, old, expiry));
            }
            failed = error.or(failed);
        }
        counts.deferred += untried.len() as u64;
        untried.extend(&batch[n_tried..]);
        untried_before.extend(lines.map(|(_, old)| old));
        self.settle_meant(id, pass, settled, &untried, &untried_before)?;
        self.world.step("share.settled")?;
        Ok(Sent { n_done: done(&batch, n_tried), error: failed })
    }

    /// Makes one call, in parts where it is refused as a whole.
    fn send_call(
        &self,
        pass: &Pass<'_>,
        connection: &Connection,
        destination: &dyn Destination,
        retracting: bool,
        items: &[Outgoing],
    ) -> Result<Delivered, EngineError> {
        let spec = spec(pass.target, &self.exchange);
        let mut is_first = true;
        deliver(items.len(), &mut |range: Range<usize>| {
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
        })
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

    /// What is there for the items of a batch: asked about one by one, or looked up in a reading of everything.
    fn presences(&self, sending: &mut Sending<'_>, meant: &Meant) -> Result<Vec<Option<Presence>>, EngineError> {
        let Sending { pass, connection, destination, .. } = *sending;
        if pass.target.action.can_look {
            let answers = self.call(connection, self.world.now(), |cx| {
                destination.look(spec(pass.target, &self.exchange), &meant.items, cx)
            })?;
            if answers.len() != meant.items.len() {
                return Err(wrong_length(connection, answers.len(), meant.items.len()));
            }
            return Ok(answers.into_iter().map(Some).collect());
        }
        let stands = |read: &(Shown, Timestamp)| read.1.after(READING_STANDS) > self.world.now();
        if !sending.shown.as_ref().is_some_and(stands) {
            let shown = self.read_lines(pass.target, connection, destination, sending.state)?;
            sending.shown = Some((shown, self.world.now()));
        }
        let of = |entry: &Entry| sending.shown.as_ref().and_then(|(shown, _)| shown.of(entry.id));
        Ok(meant.entries.iter().map(of).collect())
    }

    /// Asks about what is to be taken back, and takes out of the batch what is not ours any more, or not there. What the
    /// answer leaves open is left there too: it may have become somebody else's.
    fn only_ours(
        &self,
        sending: &mut Sending<'_>,
        batch: &mut Vec<&Planned>,
        meant: &mut Meant,
        counts: &mut Counts,
    ) -> Result<(), EngineError> {
        let pass = sending.pass;
        let mut answers = self.presences(sending, meant)?.into_iter();
        let mut settled = Vec::new();
        let mut n_open = 0;
        meant.sift(batch, &mut |step, (before, entry, item)| {
            // What was written lately may not show yet.
            let lags = before
                .as_ref()
                .is_some_and(|line| !drift::is_settled(line.updated, pass.target.action.lag, self.world.now()));
            match answers.next().flatten() {
                // It may be what others had there before ours.
                Some(Presence::Foreign) if lags => counts.deferred += 1,
                Some(Presence::Foreign) => {
                    counts.refused += 1;
                    settled.push(self.settled(pass, step, entry, &ItemOutcome::Foreign, None));
                }
                // It was asked to give it back lately, and what it shows, or does not show yet, may be older: others may
                // have put one like it there since.
                Some(_) if lags && before.as_ref().is_some_and(|line| line.line.state == LineState::Retracting) => {
                    counts.deferred += 1;
                }
                Some(Presence::Absent) if !lags && !pass.target.action.deploys => {
                    counts.accepted += 1;
                    settled.push(self.settled(pass, step, entry, &ItemOutcome::Accepted { remote_id: None }, None));
                }
                None => n_open += 1,
                Some(_) => return Some((before, entry, item)),
            }
            None
        });
        counts.deferred += n_open;
        let doubt = sending.shown.as_ref().and_then(|(shown, _)| shown.doubt);
        if let Some(doubt) = doubt.filter(|_| n_open > 0) {
            let hint = match doubt.can_be_believed() {
                true => format!("; if that is true: `iocast target verify {} --believe`", pass.target.doc.name),
                false => String::new(),
            };
            let words = format!("{doubt}: what it does not show is not taken back{hint}");
            sending.doubted = Some(ConnectorError::Unexpected(words));
        }
        self.settle(pass.target, pass.run, settled, None)
    }

    /// Asks about what is to be pushed and was not there by a ledger that may not know everything: what is there already
    /// becomes a line, and is not pushed again.
    fn only_new(
        &self,
        sending: &mut Sending<'_>,
        batch: &mut Vec<&Planned>,
        meant: &mut Meant,
        counts: &mut Counts,
    ) -> Result<(), EngineError> {
        let pass = sending.pass;
        let is_new = |step: &Planned, before: &Option<Entry>| {
            let state = before.as_ref().map(|line| line.line.state);
            step.step == Verb::Push && matches!(state, None | Some(LineState::Gone | LineState::Refused))
        };
        if !batch.iter().zip(&meant.before).any(|(step, before)| is_new(step, before)) {
            return Ok(());
        }
        let mut answers = self.presences(sending, meant)?.into_iter();
        // What was pushed just before the ledger was lost may not show yet.
        let adopted = sending.state.adopted.map(Timestamp::from_micros);
        let shows = adopted.is_none_or(|at| drift::is_settled(at, pass.target.action.lag, self.world.now()));
        let mut settled = Vec::new();
        meant.sift(batch, &mut |step, (before, entry, item)| {
            let answer = answers.next().flatten();
            if !is_new(step, &before) {
                return Some((before, entry, item));
            }
            match answer {
                Some(Presence::Ours { remote_id }) => {
                    counts.accepted += 1;
                    let mut line = self.settled(pass, step, entry, &ItemOutcome::Accepted { remote_id }, None);
                    // With which fields nobody knows: an update settles that.
                    line.line.fingerprint = 0;
                    if before.is_none() {
                        // Older than anything a source said since: its mark says that we put it there.
                        line.first_intent = limits::EARLIEST_TIME;
                    }
                    settled.push(line);
                }
                Some(Presence::Foreign) => {
                    counts.refused += 1;
                    settled.push(self.settled(pass, step, entry, &ItemOutcome::Foreign, None));
                }
                Some(Presence::Absent) if shows => return Some((before, entry, item)),
                Some(Presence::Absent) | None => counts.deferred += 1,
            }
            None
        });
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
            // Still taken, and still not in force.
            (Verb::Retract, ItemOutcome::Refused(text), Some(mut old)) if is_staged(&old) => {
                pass.refused(&mut old, text);
                old.words = Some(STAGED.into());
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
