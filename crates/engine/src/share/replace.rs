//! A list that others write to as well, and that can only be replaced as a whole.
//!
//! What is there is read; what is not ours goes back byte for byte as it was read; then comes what we want there. It is
//! read once more just before it is written, under its version where there is one, and once more afterwards: what others
//! had there and have no longer is put back where the destination's own words prove that our write took it, and a person
//! is told. Where its owner may as well have taken it away, a person is told and nothing comes back. A reading that was
//! cut, is empty or shows half of what was there writes nothing. So the part of the others is never made smaller by us,
//! and never larger.
//!
//! What cannot be seen: an edit between the last reading and the write, at a destination that keeps no versions. The
//! window is one call.

use super::apply::{Pass, changed, nothing_done, spec};
use super::look::{Lines, Read, carries, digest};
use crate::Engine;
use crate::config::Connection;
use crate::error::EngineError;
use crate::ledger::Entry;
use crate::state::{Drift, LearnedCapacity, Replacement, TargetState};
use index::Selection;
use intel::IndicatorId;
use intel::delivery::Counts;
use intel::drift::Doubt;
use intel::plan::Planned;
use intel::sharing::{Line, LineState, Verb};
use kit::{ConnectorError, Destination, ItemOutcome, Outgoing, Placed, Remote, Written};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// How often the list is read anew because somebody was faster, in one pass.
const TRIES: usize = 4;

/// So many writes in a row that took away what others have there end the writing until a person acts.
const HARMS_MOST: u32 = 3;

/// What is to be written, and what it is made of.
struct Draft {
    placed: Vec<Placed>,
    /// Others' entries in it.
    foreign: Vec<Remote>,
    /// Entries of ours that are in it.
    ours: BTreeSet<u32>,
    /// Entries of ours that are in it and were not there before.
    added: Vec<u32>,
    /// Steps that cannot be taken: somebody else has the entry there.
    taken: BTreeSet<u32>,
}

impl Draft {
    /// What is written down of it before it is sent. Without a reading nothing is sent yet.
    fn replacement(&self, read: Option<&Read>, unsure: &[u32]) -> Replacement {
        let digests = read.map(|read| {
            let before = digest(read.entries.iter().map(|remote| remote.entry.as_str()));
            (before, digest(self.placed.iter().map(text_of)))
        });
        let (before, after) = digests.unwrap_or_default();
        let unsure = unsure.iter().chain(&self.taken).copied().collect();
        Replacement { before, after, added: self.added.clone(), unsure }
    }
}

/// What became of a list that was written.
struct After {
    /// What was read last.
    read: Option<Read>,
    /// What a person must be told.
    harm: Option<ConnectorError>,
    /// What we had added was taken out again: what is there like it and carries no mark is somebody else's.
    is_withdrawn: bool,
}

impl After {
    fn read(read: Option<Read>, harm: Option<ConnectorError>) -> After {
        After { read, harm, is_withdrawn: false }
    }
}

fn text_of(placed: &Placed) -> &str {
    match placed {
        Placed::Foreign(remote) => &remote.entry,
        Placed::Ours(item) => &item.entry,
    }
}

/// Who made a list smaller between our write and the reading after it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Doer {
    /// The destination, when it took what we wrote.
    Write,
    /// Somebody else, since.
    Others,
    /// It cannot be told.
    Unknown,
}

/// Who took away what is in `placed` and not in `read`.
fn doer(placed: &[Placed], written: &Written, read: &Read) -> Doer {
    if written.version.is_some() && written.version == read.reading.version {
        return Doer::Write;
    }
    let mut there: BTreeMap<&str, usize> = BTreeMap::new();
    for remote in &read.entries {
        *there.entry(&remote.entry).or_default() += 1;
    }
    let is_missing = |placed: &&Placed| match there.get_mut(text_of(placed)) {
        Some(n) if *n > 0 => {
            *n -= 1;
            false
        }
        _ => true,
    };
    let n_missing = placed.iter().filter(is_missing).count() as u64;
    if let Some(held) = written.entries {
        // It held less than it was given, by its own answer, and nothing more is missing than that.
        let dropped = (placed.len() as u64).saturating_sub(held);
        return match () {
            () if dropped == 0 => Doer::Others,
            () if n_missing <= dropped => Doer::Write,
            () => Doer::Unknown,
        };
    }
    // The list ends early, and entries of ours are among what was cut off: nobody edits like that.
    let n = read.entries.len();
    let is_cut =
        n < placed.len() && read.entries.iter().zip(placed).all(|(remote, placed)| remote.entry == text_of(placed));
    match is_cut && placed[n..].iter().any(|placed| matches!(placed, Placed::Ours(_))) {
        true => Doer::Write,
        false => Doer::Unknown,
    }
}

/// What two entries must have in common to be the same one of somebody else's. A new list may have given new ids.
fn same(remote: &Remote) -> (&str, Option<intel::IndicatorKind>, bool, Option<intel::Timestamp>) {
    (&remote.entry, remote.kind, remote.marked, remote.expires_at)
}

/// Those of `before` that are not in `after`, each as often as it is missing.
fn lost(before: &[Remote], after: &[Remote]) -> Vec<Remote> {
    let mut there: BTreeMap<_, usize> = BTreeMap::new();
    for remote in after {
        *there.entry(same(remote)).or_default() += 1;
    }
    let mut lost = Vec::new();
    for remote in before {
        match there.get_mut(&same(remote)) {
            Some(n) if *n > 0 => *n -= 1,
            _ => lost.push(remote.clone()),
        }
    }
    lost
}

impl Engine {
    /// Reads the list, or says why it must not be written.
    fn read_to_replace(
        &self,
        pass: &Pass<'_>,
        connection: &Connection,
        destination: &dyn Destination,
        state: &mut TargetState,
        lines: &Lines,
    ) -> Result<Result<Read, ConnectorError>, EngineError> {
        let read = match self.read_all(pass.target, connection, destination, state) {
            Ok(read) => read,
            Err(EngineError::Connector { error, .. }) => return Ok(Err(error)),
            Err(error) => return Err(error),
        };
        Ok(match self.doubt(pass.target, &read, lines, state) {
            None => {
                let marks = pass.target.action.marks;
                let n_ours = read.entries.iter().filter(|remote| lines.ours(remote, marks).is_some()).count();
                state.foreign = Some((read.entries.len() - n_ours) as u64);
                Ok(read)
            }
            Some(doubt) => {
                let hint = match doubt.can_be_believed() {
                    true => format!("; if that is true: `iocast target verify {} --believe`", pass.target.doc.name),
                    false => String::new(),
                };
                let at = self.world.now().micros();
                state.drift = Some(Drift { at, doubt: Some(doubt.to_string()), ..Drift::default() });
                Err(ConnectorError::Unexpected(format!("{doubt}: nothing is written over it{hint}")))
            }
        })
    }

    /// The list to write on what was read: others' entries as they are now, and ours as they should be.
    fn draft(&self, pass: &Pass<'_>, read: &Read, lines: &Lines, effects: &[&Planned], before_only: bool) -> Draft {
        let known = self.known();
        let marks = pass.target.action.marks;
        let changes = changed(effects);
        let steps: BTreeMap<u32, Verb> = effects.iter().map(|step| (step.entry, step.step)).collect();
        let item = |id: IndicatorId, was: Option<&Remote>| -> Outgoing {
            let mut item = pass.item(&known, id, &changes);
            item.remote_id = was.and_then(|remote| remote.remote_id.clone());
            item
        };
        let mut draft = Draft {
            placed: Vec::with_capacity(read.entries.len() + effects.len()),
            foreign: Vec::new(),
            ours: BTreeSet::new(),
            added: Vec::new(),
            taken: BTreeSet::new(),
        };
        let texts: BTreeMap<&str, u32> = effects
            .iter()
            .filter(|step| step.step == Verb::Push)
            .map(|step| (pass.plan.entries.text(&known, IndicatorId(step.entry)), step.entry))
            .collect();
        // A step that waits or was stopped: what it would change stays as it is.
        let restrained = &pass.plan.restrained;
        let planned: HashSet<u32> = restrained.now.iter().chain(&restrained.held).map(|step| step.entry).collect();
        let is_as_sent = |line: &Entry| {
            !planned.contains(&line.id.0)
                && pass.plan.entries.rendered(&known, line.id, pass.now).0 == line.line.fingerprint
        };
        let mut seen: HashSet<u32> = HashSet::new();
        for remote in &read.entries {
            if let Some(line) = lines.ours(remote, marks)
                && seen.insert(line.id.0)
            {
                match steps.get(&line.id.0) {
                    Some(Verb::Retract) => {}
                    None if line.line.state == LineState::Present && !is_as_sent(line) => {
                        draft.ours.insert(line.id.0);
                        draft.placed.push(Placed::Foreign(remote.clone()));
                    }
                    step if step.is_some() || line.line.state == LineState::Present => {
                        draft.ours.insert(line.id.0);
                        draft.placed.push(Placed::Ours(item(line.id, Some(remote))));
                    }
                    // What became of it is not known yet: it stays as it is until that is settled.
                    _ => draft.placed.push(Placed::Foreign(remote.clone())),
                }
                continue;
            }
            // A second copy of ours is nobody's in particular and stays.
            if let Some(id) = texts.get(remote.entry.as_str()).filter(|id| !seen.contains(id)) {
                draft.taken.insert(*id);
            }
            draft.foreign.push(remote.clone());
            draft.placed.push(Placed::Foreign(remote.clone()));
        }
        for step in effects {
            let id = IndicatorId(step.entry);
            let is_new = !seen.contains(&step.entry) && !draft.taken.contains(&step.entry);
            if step.step == Verb::Push && is_new && !before_only {
                draft.ours.insert(step.entry);
                draft.added.push(step.entry);
                draft.placed.push(Placed::Ours(item(id, None)));
            }
        }
        draft
    }

    /// Replaces a list with what others have in it and what is wanted there of ours.
    pub(super) fn replace_list(
        &self,
        pass: &Pass<'_>,
        connection: &Connection,
        state: &mut TargetState,
        effects: &[&Planned],
        counts: &mut Counts,
    ) -> Result<Option<ConnectorError>, EngineError> {
        let all = effects.len() as u64;
        let mut wait = |error: Option<ConnectorError>| {
            counts.deferred += all;
            Ok(error)
        };
        // Without its secret nothing can be called, so nothing is meant: the lines stay as they are.
        if let Some(why) = &connection.locked {
            return wait(Some(ConnectorError::Later { wait: None, why: why.clone() }));
        }
        let Some(destination) = connection.open.destination() else {
            return wait(Some(ConnectorError::Unsupported));
        };
        // As it stands before anything is meant: what is only meant now makes nothing that is there ours.
        let mut lines = self.lines_by_text(pass.target);
        let marks = pass.target.action.marks;
        let first = match self.read_to_replace(pass, connection, destination, state, &lines)? {
            Ok(read) => read,
            Err(error) => return wait(Some(error)),
        };
        // Somebody took entries of ours out: they are pushed again by the next plan, within its budget.
        let mut missing = lines.forget_missing(&first, marks);
        if self.is_stopped(pass.target.id)? {
            return wait(None);
        }
        let (before, entries): (Vec<Option<Entry>>, Vec<Entry>) = {
            let known = self.known();
            let ledger = known.ledgers.get(&pass.target.id);
            let old = |step: &&Planned| ledger.and_then(|l| l.get(IndicatorId(step.entry)));
            let new = |step: &&Planned| self.intended(&known, pass, step);
            (effects.iter().map(old).collect(), effects.iter().map(new).collect())
        };
        let mut draft = self.draft(pass, &first, &lines, effects, false);
        let unsure = self.unsure(pass, effects, state);
        // Until something is sent, nothing that is found there was put there by what is meant now.
        state.replacement = Some(draft.replacement(None, &unsure));
        self.store.set_target_state(pass.target.id, &state.to_text())?;
        self.world.step("share.planned")?;
        self.intend(pass.target.id, pass.run, &entries)?;
        self.world.step("share.intended")?;

        // Read again just before it is written; as often as somebody else is faster.
        let mut written = Err(ConnectorError::Changed);
        for _ in 0..TRIES {
            let read = match self.read_to_replace(pass, connection, destination, state, &lines)? {
                Ok(read) if !self.is_stopped(pass.target.id)? => read,
                Ok(_) => {
                    self.restore(pass, effects, &before)?;
                    return wait(None);
                }
                Err(error) => {
                    self.restore(pass, effects, &before)?;
                    return wait(Some(error));
                }
            };
            missing.extend(lines.forget_missing(&read, marks));
            draft = self.draft(pass, &read, &lines, effects, false);
            state.replacement = Some(draft.replacement(Some(&read), &unsure));
            // Written down first: after a stop it tells whether this write was carried out.
            self.store.set_target_state(pass.target.id, &state.to_text())?;
            written = self.write(pass, connection, destination, &draft.placed, read.reading.version.as_deref())?;
            if written != Err(ConnectorError::Changed) {
                break;
            }
        }
        self.world.step("share.called")?;
        // The answer was lost. Read at once, before others edit: a list that is what was sent was written.
        let mut unanswered = None;
        if let Err(error) = &written
            && !nothing_done(error)
            && self.was_written(pass, connection, destination, state)?
        {
            unanswered = Some(error.clone());
            written = Ok(Written::default());
        }
        match &written {
            Ok(_) => {}
            Err(error) if nothing_done(error) => {
                self.restore(pass, effects, &before)?;
                let error = match error {
                    ConnectorError::Changed => ConnectorError::Later {
                        wait: None,
                        why: format!("others changed the list {TRIES} times while it was to be replaced"),
                    },
                    error => error.clone(),
                };
                return wait(Some(error));
            }
            Err(_) => {}
        }
        let After { read: after, harm, is_withdrawn } = match &written {
            Ok(written) => {
                let written = Done { draft: &draft, written, lines: &lines };
                self.read_after(pass, connection, destination, state, &written, effects)?
            }
            Err(_) => After::read(None, None),
        };
        let mut settled = Vec::new();
        for (step, entry) in effects.iter().zip(entries) {
            let text = {
                let known = self.known();
                pass.plan.entries.text(&known, IndicatorId(step.entry)).to_owned()
            };
            let there = after
                .as_ref()
                .map(|read| read.entries.iter().find(|remote| remote.entry == text && carries(&entry, remote, marks)));
            let outcome = match (&written, step.step, there) {
                _ if draft.taken.contains(&step.entry) => ItemOutcome::Foreign,
                (Err(error), ..) => ItemOutcome::Unknown(error.to_string()),
                // Nothing to take back from: it was not there any more.
                (Ok(_), Verb::Retract, None | Some(None)) => ItemOutcome::Accepted { remote_id: None },
                (Ok(_), Verb::Retract, Some(Some(_))) if pass.target.action.lag.is_some() => {
                    ItemOutcome::Accepted { remote_id: None }
                }
                // Without marks it is not ours that is there: that was taken out by what we wrote.
                (Ok(_), Verb::Retract, Some(Some(_))) if !marks => ItemOutcome::Foreign,
                (Ok(_), Verb::Retract, Some(Some(_))) => {
                    ItemOutcome::Unknown("it was taken out of the list, and is there when it is read back".into())
                }
                (Ok(_), Verb::Push, Some(Some(_))) if is_withdrawn && !marks => ItemOutcome::Foreign,
                (Ok(_), _, Some(Some(remote))) => ItemOutcome::Accepted { remote_id: remote.remote_id.clone() },
                (Ok(_), Verb::Update, _) if !draft.ours.contains(&step.entry) => {
                    ItemOutcome::Unknown("it is not there any more".into())
                }
                // What lags shows by and by; what could not be read back is asked about in the next pass.
                (Ok(_), ..) if pass.target.action.lag.is_some() => ItemOutcome::Accepted { remote_id: None },
                (Ok(_), ..) => ItemOutcome::Unknown("it was accepted, and is not there when it is read back".into()),
            };
            match &outcome {
                ItemOutcome::Accepted { .. } => counts.accepted += 1,
                ItemOutcome::Refused(_) | ItemOutcome::Foreign => counts.refused += 1,
                ItemOutcome::Unknown(_) | ItemOutcome::NotDone(_) => counts.unknown += 1,
            }
            settled.push(self.settled(pass, step, entry, &outcome, None));
        }
        let acted: Selection = selection(effects);
        for mut line in missing.into_iter().filter(|line| !acted.contains(line.id)) {
            line.line = Line::new(LineState::Gone, 0);
            settled.push(line);
        }
        self.settle(pass.target, pass.run, settled, None)?;
        self.world.step("share.settled")?;
        Ok(harm.or(unanswered).or(written.err()))
    }

    /// Writes a list. The outer error is the store's; the inner is the destination's.
    fn write(
        &self,
        pass: &Pass<'_>,
        connection: &Connection,
        destination: &dyn Destination,
        placed: &[Placed],
        version: Option<&str>,
    ) -> Result<Result<Written, ConnectorError>, EngineError> {
        let done = self.call(connection, self.world.now(), |cx| {
            destination.replace(spec(pass.target, &self.exchange), &mut placed.iter().cloned(), version, cx)
        });
        match done {
            Ok(written) => Ok(Ok(written)),
            Err(EngineError::Connector { error, .. }) => Ok(Err(error)),
            Err(error) => Err(error),
        }
    }

    /// Whether the list is what was sent last, and was not before.
    fn was_written(
        &self,
        pass: &Pass<'_>,
        connection: &Connection,
        destination: &dyn Destination,
        state: &mut TargetState,
    ) -> Result<bool, EngineError> {
        if pass.target.action.lag.is_some() {
            return Ok(false);
        }
        let read = match self.read_all(pass.target, connection, destination, state) {
            Ok(read) => read,
            Err(EngineError::Connector { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        let list = digest(read.entries.iter().map(|remote| remote.entry.as_str()));
        let is_written = |replacement: &Replacement| list == replacement.after && list != replacement.before;
        Ok(read.reading.whole && state.replacement.as_ref().is_some_and(is_written))
    }

    /// Entries that an earlier replacement was to put there, of which nobody knows yet whether it did.
    fn unsure(&self, pass: &Pass<'_>, effects: &[&Planned], state: &TargetState) -> Vec<u32> {
        let Some(replacement) = &state.replacement else { return Vec::new() };
        let acted = selection(effects);
        let known = self.known();
        let Some(ledger) = known.ledgers.get(&pass.target.id) else { return Vec::new() };
        let open = |id: &u32| {
            let line = ledger.get(IndicatorId(*id)).map(|entry| entry.line.state);
            matches!(line, Some(LineState::Pending | LineState::Unknown)) && !acted.contains(IndicatorId(*id))
        };
        let mut unsure: Vec<u32> = replacement.added.iter().chain(&replacement.unsure).copied().filter(open).collect();
        unsure.sort_unstable();
        unsure.dedup();
        unsure
    }

    /// Reads what was written, and puts back what our write took from others.
    fn read_after(
        &self,
        pass: &Pass<'_>,
        connection: &Connection,
        destination: &dyn Destination,
        state: &mut TargetState,
        done: &Done<'_>,
        effects: &[&Planned],
    ) -> Result<After, EngineError> {
        let Done { draft, written, lines } = *done;
        // A list that lags shows the one before: it is read back when it can be believed.
        if pass.target.action.lag.is_some() {
            return Ok(After::read(None, None));
        }
        let unread = |why: String| {
            let words = format!("the list was replaced, and could not be read back: {why}");
            Ok(After::read(None, Some(ConnectorError::Unexpected(words))))
        };
        let read = match self.read_all(pass.target, connection, destination, state) {
            Ok(read) if read.reading.whole => read,
            Ok(_) => return unread(Doubt::NotWhole.to_string()),
            Err(EngineError::Connector { error, .. }) => return unread(error.to_string()),
            Err(error) => return Err(error),
        };
        let n_lost = lost(&draft.foreign, &read.entries);
        state.foreign = Some((draft.foreign.len() - n_lost.len()) as u64);
        // Less than was accepted is there: it has a limit that it keeps silent about. One entry may be a person's doing.
        let pushed = effects.iter().filter(|step| step.step == Verb::Push && draft.ours.contains(&step.entry));
        let texts: HashSet<&str> = read.entries.iter().map(|remote| remote.entry.as_str()).collect();
        let n_dropped = {
            let known = self.known();
            pushed.filter(|step| !texts.contains(pass.plan.entries.text(&known, IndicatorId(step.entry)))).count()
        };
        if read.reading.capacity.is_none() && super::verify::is_dropping(n_dropped, effects.len()) {
            let (limit, at) = (read.entries.len() as u64, self.world.now().micros());
            state.learned = Some(LearnedCapacity { limit, at, is_said: false });
        }
        if n_lost.is_empty() {
            state.harms = 0;
            return Ok(After::read(Some(read), None));
        }
        match doer(&draft.placed, written, &read) {
            Doer::Write => {}
            // Their list, and their doing.
            Doer::Others => return Ok(After::read(Some(read), None)),
            Doer::Unknown => {
                let n = n_lost.len();
                self.note_harm(state, &n_lost, "somebody else's, gone since our write, by whom cannot be told");
                let words = format!(
                    "{n} entries of others are gone since the list was replaced: whether the destination dropped them or \
                     somebody took them away cannot be told, so they are not put back; look at them with `iocast target \
                     verify {}` and ask whose they were",
                    pass.target.doc.name
                );
                return Ok(After::read(Some(read), Some(harmful(state, words))));
            }
        }
        let n = n_lost.len();
        let mut seen = read;
        let mut is_withdrawn = false;
        // What was taken out by that write and is there again without a mark is somebody else's.
        let mut out = Selection::default();
        if !pass.target.action.marks {
            for step in effects.iter().filter(|step| step.step == Verb::Retract) {
                out.insert(IndicatorId(step.entry));
            }
        }
        let lines = lines.without(&out);
        for _ in 0..TRIES {
            if self.is_stopped(pass.target.id)? {
                break;
            }
            let mut owed = lost(&draft.foreign, &seen.entries);
            // What others took away since is not owed.
            owed.retain(|remote| n_lost.iter().any(|lost| same(lost) == same(remote)));
            // What we added in this pass goes out again: it may be what pushed them out.
            let mut again = self.draft(pass, &seen, &lines, effects, true);
            let mut added: HashSet<&str> =
                draft.placed.iter().filter(|p| matches!(p, Placed::Ours(_))).map(text_of).collect();
            draft.foreign.iter().for_each(|remote| {
                added.remove(remote.entry.as_str());
            });
            again.placed.retain(|placed| match placed {
                // One copy: what others added beside it meanwhile is theirs.
                Placed::Foreign(remote) if remote.marked == pass.target.action.marks => {
                    !added.remove(remote.entry.as_str())
                }
                _ => true,
            });
            again.placed.extend(owed.into_iter().map(Placed::Foreign));
            let version = seen.reading.version.clone();
            let done = self.write(pass, connection, destination, &again.placed, version.as_deref())?;
            is_withdrawn |= done.as_ref().err().is_none_or(|error| !nothing_done(error));
            if done != Err(ConnectorError::Changed) {
                break;
            }
            match self.read_all(pass.target, connection, destination, state) {
                Ok(read) if read.reading.whole => seen = read,
                Ok(_) | Err(EngineError::Connector { .. }) => break,
                Err(error) => return Err(error),
            }
        }
        // What came of it is read back; where that fails, what was seen before says nothing any more.
        let last = match self.read_all(pass.target, connection, destination, state) {
            Ok(read) => Some(read),
            Err(EngineError::Connector { .. }) => None,
            Err(error) => return Err(error),
        };
        let still = last.as_ref().map_or(n_lost.clone(), |last| {
            let mut still = lost(&draft.foreign, &last.entries);
            still.retain(|remote| n_lost.iter().any(|lost| same(lost) == same(remote)));
            still
        });
        self.note_harm(state, &still, "somebody else's, gone after our write");
        state.foreign = Some((draft.foreign.len() - still.len()) as u64);
        let words = match still.len() {
            0 => format!("{n} entries of others were gone after the list was replaced, and were put back"),
            left => format!("{left} entries of others are gone since the list was replaced, and could not be put back"),
        };
        Ok(After { read: last, harm: Some(harmful(state, words)), is_withdrawn })
    }

    fn note_harm(&self, state: &mut TargetState, gone: &[Remote], how: &str) {
        let mut drift = Drift { at: self.world.now().micros(), harmed: gone.len() as u64, ..Drift::default() };
        for remote in gone {
            drift.sample(&remote.entry, how);
        }
        state.drift = Some(drift);
        state.harms += 1;
    }
}

/// A list that was written.
#[derive(Clone, Copy)]
struct Done<'a> {
    draft: &'a Draft,
    written: &'a Written,
    lines: &'a Lines,
}

/// What a write ends with that took something from others.
fn harmful(state: &TargetState, words: String) -> ConnectorError {
    match state.harms {
        // It does so every time: what it is that does it, a person must find out.
        HARMS_MOST.. => ConnectorError::Denied(format!("{words}; this is the {}. time in a row", state.harms)),
        _ => ConnectorError::Unexpected(words),
    }
}

fn selection(effects: &[&Planned]) -> Selection {
    let mut selection = Selection::default();
    for step in effects {
        selection.insert(IndicatorId(step.entry));
    }
    selection
}
