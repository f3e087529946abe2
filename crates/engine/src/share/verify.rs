//! Reading back: does a target hold what the ledger says?
//!
//! What differs is shown, and repaired only by the ordinary pass: a line whose entry is gone becomes a tombstone, so that
//! the next plan pushes it again within its budget; a line whose entry is somebody else's by now becomes foreign. Nothing
//! is sent from here. Nothing is concluded from a reading that is cut, empty or halved, until a person believes it.

use super::apply::question;
use super::look::{Read, answered, carries, digest, is_staged};
use crate::Engine;
use crate::config::{Config, Connection, Target};
use crate::error::EngineError;
use crate::ledger::Entry;
use crate::share::look::STAGED;
use crate::state::{Drift, LearnedCapacity, TargetState};
use crate::unpoison;
use intel::drift::{self, Doubt};
use intel::sharing::{Line, LineState};
use intel::{IndicatorId, RunId, Timestamp};
use kit::manifest::Delivery;
use kit::{ConnectorError, Destination, Outgoing, Presence};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::HashSet;
use store::Settle;

/// Entries asked about one by one in a verification that nobody asked for; the next goes on where it ended.
pub(super) const SAMPLE: usize = 1_000;
/// Lines written in one transaction.
const SETTLE_BATCH: usize = 5_000;

/// How much is read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verify {
    /// A person says that what the destination shows is true, however little it is.
    pub believe: bool,
    /// Everything, also where each entry has to be asked about; else a part of them in turn.
    pub all: bool,
}

/// What reading back a target found.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct VerifyReport {
    /// Which target.
    pub target: String,
    /// Which run.
    pub run: u64,
    /// `same`, `drift`, `doubt` (nothing is concluded), `cannot` (there is no way to ask) or `failed`.
    pub status: String,
    /// `read` (everything), `look` (entry by entry), `list` (one we serve) or `none`.
    pub how: &'static str,
    /// What differs.
    pub drift: Drift,
    /// The most entries the destination holds, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u64>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Whether so many entries missing of those just accepted say that a destination drops what is above its limit: one may
/// be a person's doing, and so may a few of very many.
pub(super) fn is_dropping(n_missing: usize, n_pushed: usize) -> bool {
    n_missing >= 2 && n_missing * 20 >= n_pushed
}

/// How a target can be asked.
pub(super) fn how(target: &Target) -> &'static str {
    match target.action.delivery {
        Delivery::Hosted => "list",
        _ if target.action.can_read => "read",
        _ if target.action.can_look => "look",
        _ => "none",
    }
}

/// Lines that are to change, and those to be dropped.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) lines: Vec<Entry>,
    pub(super) dropped: Vec<IndicatorId>,
}

impl Engine {
    /// Reads back what a target holds and compares it with the ledger.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], or a failing store. A failing destination is a report with status `failed`.
    pub fn verify(&self, name: &str, options: Verify) -> Result<VerifyReport, EngineError> {
        let config = self.config();
        let target = config.target(name).ok_or_else(|| self.no_target(name))?;
        let one_pass = self.pass_lock(&config, target);
        let _guard = unpoison(one_pass.lock());
        let config = self.config();
        let target = config.target(name).ok_or_else(|| self.no_target(name))?;
        let now = self.world.now();
        let mut state = TargetState::parse(self.store.target_state(target.id)?.as_deref());
        let run = self.store.run_start("verify", name, now)?;
        let done = self.read_back(&config, target, &mut state, run, options, now);
        state.verified = Some(now.micros());
        let mut report = VerifyReport {
            target: name.to_owned(),
            run: run.0,
            status: "same".to_owned(),
            how: how(target),
            drift: Drift::default(),
            capacity: state.learned.map(|learned| learned.limit),
            error: None,
        };
        match done {
            Ok(None) => report.status = "cannot".to_owned(),
            Ok(Some(drift)) => {
                report.status = match () {
                    () if drift.doubt.is_some() => "doubt",
                    () if drift.is_any() => "drift",
                    () => "same",
                }
                .to_owned();
                report.drift = drift;
            }
            Err(EngineError::Connector { error, .. }) => {
                state.denied |= matches!(error, ConnectorError::Denied(_));
                report.status = "failed".to_owned();
                report.error = Some(error.to_string());
            }
            Err(error) => return Err(error),
        }
        self.store.set_target_state(target.id, &state.to_text())?;
        self.finish_run(run, &report.status, &report)?;
        Ok(report)
    }

    /// Reads back, writes down what is settled by it, and leaves the drift in the state. None: it cannot be asked.
    pub(super) fn read_back(
        &self,
        config: &Config,
        target: &Target,
        state: &mut TargetState,
        run: RunId,
        options: Verify,
        now: Timestamp,
    ) -> Result<Option<Drift>, EngineError> {
        if target.action.delivery == Delivery::Hosted {
            let drift = self.check_list(target, now);
            state.drift = Some(drift.clone());
            return Ok(Some(drift));
        }
        let Some(connection) = config.connections.get(&target.connection).filter(|c| c.doc.enabled) else {
            return Ok(None);
        };
        let Some(destination) = connection.open.destination().filter(|_| target.action.can_ask()) else {
            return Ok(None);
        };
        self.identify(target, connection, state, now)?;
        let (drift, changes) = if target.action.can_read {
            let read = self.read_all(target, connection, destination, state)?;
            self.compare(target, state, &read, options, now)
        } else {
            self.look_back(target, connection, destination, state, options, now)?
        };
        let missing = changes.lines.iter().filter(|line| line.line.state == LineState::Gone).count();
        if state.is_dropping && drift.doubt.is_none() && is_dropping(missing, drift.checked as usize) {
            let foreign = state.foreign.unwrap_or(0).max(self.n_foreign(target));
            let limit = drift.there + foreign;
            state.learned = Some(LearnedCapacity { limit, at: now.micros(), is_said: false });
        }
        self.settle_all(target, run, &changes)?;
        state.drift = Some(drift.clone());
        Ok(Some(drift))
    }

    /// Lines that count as somebody else's.
    pub(super) fn n_foreign(&self, target: &Target) -> u64 {
        let known = self.known();
        let count =
            |ledger: &crate::ledger::Ledger| ledger.count(LineState::Foreign) + ledger.count(LineState::Released);
        known.ledgers.get(&target.id).map_or(0, count) as u64
    }

    /// Writes many lines, a part at a time: what is written of it is true also if the rest is not.
    pub(super) fn settle_all(&self, target: &Target, run: RunId, changes: &Changes) -> Result<(), EngineError> {
        for lines in changes.lines.chunks(SETTLE_BATCH) {
            self.settle(target, run, lines.to_vec(), None)?;
        }
        for dropped in changes.dropped.chunks(SETTLE_BATCH) {
            self.store.settle(&Settle {
                target: target.id,
                run,
                lines: &[],
                dropped,
                published: None,
                target_state: None,
            })?;
            let mut known = self.known_mut();
            if let Some(ledger) = known.ledgers.get_mut(&target.id) {
                dropped.iter().for_each(|id| ledger.forget(*id));
            }
        }
        Ok(())
    }

    /// Whether what a destination says of a line may be believed by now.
    fn may_conclude(&self, target: &Target, state: &TargetState, line: &Entry, now: Timestamp) -> bool {
        let lag = target.action.lag;
        if let Some(next_try) = line.line.next_try.filter(|_| line.line.state != LineState::Present) {
            return next_try <= now;
        }
        // A line of the last pass may have been written at its very end.
        let of_last_pass = state.last_run.is_some_and(|last| line.updated.micros() >= last - 1_000_000);
        let written = match state.last_effect.filter(|_| of_last_pass) {
            Some(end) => line.updated.max(Timestamp::from_micros(end)),
            None => line.updated,
        };
        drift::is_settled(written, lag, now)
    }

    /// Compares everything that is there with the ledger.
    fn compare(
        &self,
        target: &Target,
        state: &mut TargetState,
        read: &Read,
        options: Verify,
        now: Timestamp,
    ) -> (Drift, Changes) {
        let marks = target.action.marks;
        let lines = self.lines_by_text(target);
        let doubt =
            self.doubt(target, read, &lines, state).filter(|doubt| !(options.believe && doubt.can_be_believed()));
        let list = digest(read.entries.iter().map(|remote| remote.entry.as_str()));
        let mut drift = Drift { at: now.micros(), checked: lines.n_present(), ..Drift::default() };
        let mut changes = Changes::default();
        let mut seen: HashSet<u32> = HashSet::new();
        // Ours first, so that somebody else's copy beside it does not count as it.
        for remote in &read.entries {
            let Some(line) = lines.ours(remote, marks) else { continue };
            if !seen.insert(line.id.0) {
                continue;
            }
            match line.line.state {
                LineState::Present => {
                    drift.there += 1;
                    if remote.remote_id.is_some() && remote.remote_id.as_deref() != line.remote_id.as_deref() {
                        changes
                            .lines
                            .push(Entry { remote_id: remote.remote_id.as_deref().map(Into::into), ..line.clone() });
                    }
                }
                _ if is_staged(line) || !self.may_conclude(target, state, line, now) => {}
                _ => {
                    let answer = match self.is_ours(target, line, remote, list, state) {
                        true => Presence::Ours { remote_id: remote.remote_id.clone() },
                        false => Presence::Foreign,
                    };
                    changes.lines.push(answered(target, line.clone(), answer, now));
                }
            }
        }
        let mut foreign = 0;
        for remote in &read.entries {
            let line = lines.of(remote);
            if line.is_some_and(|line| line.line.state.occupies() && carries(line, remote, marks)) {
                continue;
            }
            match line {
                // What lags may show what others had there before.
                Some(line) if line.line.state.occupies() && !self.may_conclude(target, state, line, now) => {
                    seen.insert(line.id.0);
                }
                Some(line) if line.line.state.occupies() && seen.insert(line.id.0) => {
                    if line.line.state == LineState::Present {
                        drift.lost += 1;
                        drift.sample(&remote.entry, "is there without our mark, and counts as somebody else's now");
                    }
                    changes.lines.push(foreign_now(line.clone(), now));
                    foreign += 1;
                }
                Some(line) => {
                    seen.insert(line.id.0);
                    foreign += 1;
                }
                None if remote.marked => match self.tombstone(target, &remote.entry, remote.kind) {
                    // It was taken back by the destination's word, and is there: the next plan takes it back again.
                    Some(mut line) if self.may_conclude(target, state, &line, now) => {
                        line.line = Line::new(LineState::Present, 0);
                        line.remote_id = remote.remote_id.as_deref().map(Into::into);
                        line.updated = now;
                        drift.unknown += 1;
                        drift.sample(&remote.entry, "was taken back, and is there");
                        changes.lines.push(line);
                    }
                    Some(_) => {}
                    None => {
                        drift.unknown += 1;
                        drift.sample(&remote.entry, "carries our mark, and no line of the ledger knows it");
                    }
                },
                None => foreign += 1,
            }
        }
        drift.foreign = foreign;
        if let Some(doubt) = doubt {
            drift.doubt = Some(doubt.to_string());
            // What is there is there; what is not may be all the same.
            changes.lines.retain(|line| line.line.state != LineState::Gone);
            if doubt == Doubt::NotWhole {
                drift.missing = 0;
            }
            return (drift, changes);
        }
        state.foreign = Some(foreign);
        for (text, line) in lines.all().filter(|(_, line)| !seen.contains(&line.id.0)) {
            if is_staged(line) || !self.may_conclude(target, state, line, now) {
                continue;
            }
            absent(target, line, text, &mut drift, &mut changes, now);
        }
        (drift, changes)
    }

    /// The tombstone of an entry, found by its text.
    fn tombstone(&self, target: &Target, entry: &str, kind: Option<intel::IndicatorKind>) -> Option<Entry> {
        let known = self.known();
        let key = intel::IndicatorKey::parse(kind, entry).ok()?;
        let line = known.ledgers.get(&target.id)?.get(known.index.id(&key)?)?;
        (line.line.state == LineState::Gone).then_some(line)
    }

    /// Asks about entries one by one.
    fn look_back(
        &self,
        target: &Target,
        connection: &Connection,
        destination: &dyn Destination,
        state: &mut TargetState,
        options: Verify,
        now: Timestamp,
    ) -> Result<(Drift, Changes), EngineError> {
        let asked: Vec<Entry> = {
            let known = self.known();
            let empty = crate::ledger::Ledger::default();
            let ledger = known.ledgers.get(&target.id).unwrap_or(&empty);
            let of_interest = [LineState::Present, LineState::Foreign, LineState::Released];
            let all = || {
                let lines = ledger.live().iter().filter_map(|id| ledger.get(id));
                lines.filter(|line| of_interest.contains(&line.line.state))
            };
            match options.all || state.is_dropping {
                true => all().collect(),
                false => {
                    let from = state.verified_to;
                    let part: Vec<Entry> = all().filter(|line| line.id.0 >= from).take(SAMPLE).collect();
                    // At the end it begins again.
                    state.verified_to = if part.len() < SAMPLE { 0 } else { part.last().map_or(0, |l| l.id.0 + 1) };
                    part
                }
            }
        };
        let mut drift = Drift { at: now.micros(), ..Drift::default() };
        let mut changes = Changes::default();
        let mut gone = Changes::default();
        for batch in asked.chunks(target.action.batch) {
            let questions: Vec<Outgoing> = {
                let known = self.known();
                batch.iter().map(|entry| question(&known, entry)).collect()
            };
            let answers = self.call(connection, self.world.now(), |cx| {
                destination.look(super::apply::spec(target, &self.exchange), &questions, cx)
            })?;
            if answers.len() != batch.len() {
                return Err(super::apply::wrong_length(connection, answers.len(), batch.len()));
            }
            for ((line, answer), question) in batch.iter().zip(answers).zip(&questions) {
                let is_present = line.line.state == LineState::Present;
                drift.checked += u64::from(is_present);
                match answer {
                    Presence::Ours { remote_id } if is_present => {
                        drift.there += 1;
                        if remote_id.is_some() && remote_id.as_deref() != line.remote_id.as_deref() {
                            changes.lines.push(Entry { remote_id: remote_id.map(Into::into), ..line.clone() });
                        }
                    }
                    // Ours once, or thought to be others': `target adopt` is asked for it.
                    Presence::Ours { .. } => drift.foreign += 1,
                    // What lags may show what others had there before.
                    Presence::Foreign if is_present && !self.may_conclude(target, state, line, now) => {}
                    Presence::Foreign if is_present => {
                        drift.lost += 1;
                        drift.sample(&question.entry, "is there without our mark, and counts as somebody else's now");
                        changes.lines.push(foreign_now(line.clone(), now));
                    }
                    Presence::Foreign => drift.foreign += 1,
                    Presence::Absent if !self.may_conclude(target, state, line, now) => {}
                    Presence::Absent => absent(target, line, &question.entry, &mut drift, &mut gone, now),
                }
            }
        }
        let doubt = drift::doubt(drift.checked, drift.checked - drift.missing);
        // What has just been accepted and is not there is no doubt, but a finding.
        match doubt.filter(|_| !options.believe && !state.is_dropping) {
            Some(doubt) => {
                drift.doubt = Some(doubt.to_string());
                drift.missing = 0;
            }
            None => {
                changes.lines.append(&mut gone.lines);
                changes.dropped.append(&mut gone.dropped);
            }
        }
        Ok((drift, changes))
    }

    /// Whether a list we serve is the one the ledger speaks of. One that is not is made again by the next pass.
    fn check_list(&self, target: &Target, now: Timestamp) -> Drift {
        let name = &target.doc.name;
        let present = self.known().ledgers.get(&target.id).map_or(0, |ledger| ledger.present().count() as u64);
        let mut drift = Drift { at: now.micros(), checked: present, there: present, ..Drift::default() };
        let Some(list) = self.bodies.get(name) else {
            if present > 0 {
                drift.missing = present;
                drift.there = 0;
                drift.sample(name, "the body of the list is not there; the next pass writes it again");
            }
            return drift;
        };
        let bytes = list.body.read().map(|body| body.len() as u64);
        if bytes.as_ref().ok() != Some(&list.bytes) || list.entries != present {
            drift.there = 0;
            drift.missing = present;
            drift.sample(name, "the body of the list is not what was published; the next pass writes it again");
            self.bodies.forget(name);
        }
        drift
    }
}

/// A line whose entry is there and is not ours any more.
fn foreign_now(mut line: Entry, now: Timestamp) -> Entry {
    line.line = Line::new(LineState::Foreign, line.line.fingerprint);
    line.updated = now;
    line
}

/// A line whose entry is not there.
fn absent(target: &Target, line: &Entry, text: &str, drift: &mut Drift, changes: &mut Changes, now: Timestamp) {
    let mut entry = line.clone();
    match line.line.state {
        LineState::Present => {
            // What died by itself at its time is as it should be.
            if line.line.remote_expires.is_none_or(|expires| expires > now) {
                drift.missing += 1;
                drift.sample(text, "is not there any more");
            }
            entry.line = Line::new(LineState::Gone, 0);
        }
        LineState::Pending | LineState::Unknown | LineState::Retracting => {
            entry = answered(target, entry, Presence::Absent, now);
        }
        // Nobody has it any more: it may be pushed.
        LineState::Foreign | LineState::Released => {
            changes.dropped.push(line.id);
            return;
        }
        LineState::Refused | LineState::Gone => return,
    }
    if entry.words.as_deref() != Some(STAGED) {
        entry.words = None;
    }
    changes.lines.push(entry);
}
