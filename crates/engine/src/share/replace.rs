//! A list that others write to as well, and that can only be replaced as a whole.
//!
//! What is there is read; what is not ours goes back byte for byte as it was read; then comes what we want there. It is
//! read once more just before it is written, under its version where there is one, and once more afterwards: what others
//! had there and have no longer is put back, and a person is told. A reading that was cut, is empty or shows half of
//! what was there writes nothing. So the part of the others is never made smaller by us.
//!
//! What cannot be seen: an edit between the last reading and the write, at a destination that keeps no versions. The
//! window is one call.

use super::apply::{Pass, changed, nothing_done, spec};
use super::look::{Lines, Read, carries};
use crate::Engine;
use crate::config::Connection;
use crate::error::EngineError;
use crate::ledger::Entry;
use crate::state::{Drift, LearnedCapacity, TargetState};
use index::Selection;
use intel::IndicatorId;
use intel::delivery::Counts;
use intel::plan::Planned;
use intel::sharing::{Line, LineState, Verb};
use kit::{ConnectorError, Destination, ItemOutcome, Outgoing, Placed, Remote};
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
    /// Steps that cannot be taken: somebody else has the entry there.
    taken: BTreeSet<u32>,
    /// Lines that were thought to be there and are not.
    missing: Vec<Entry>,
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
            taken: BTreeSet::new(),
            missing: Vec::new(),
        };
        let texts: BTreeMap<&str, u32> = effects
            .iter()
            .filter(|step| step.step == Verb::Push)
            .map(|step| (pass.plan.entries.text(&known, IndicatorId(step.entry)), step.entry))
            .collect();
        let mut seen: HashSet<u32> = HashSet::new();
        for remote in &read.entries {
            if let Some(line) = lines.ours(remote, marks)
                && seen.insert(line.id.0)
            {
                let step = steps.get(&line.id.0);
                let stays = line.line.state == LineState::Present || step.is_some();
                match step {
                    Some(Verb::Retract) => {}
                    _ if stays => {
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
                draft.placed.push(Placed::Ours(item(id, None)));
            }
        }
        draft.missing = lines
            .all()
            .filter(|(_, line)| line.line.state == LineState::Present && !seen.contains(&line.id.0))
            .map(|(_, line)| line.clone())
            .collect();
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
        let lines = self.lines_by_text(pass.target);
        let first = match self.read_to_replace(pass, connection, destination, state, &lines)? {
            Ok(read) => read,
            Err(error) => return wait(Some(error)),
        };
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
        self.world.step("share.planned")?;
        self.intend(pass.target.id, pass.run, &entries)?;
        self.world.step("share.intended")?;

        // Read again just before it is written; as often as somebody else is faster.
        let mut written = Err(ConnectorError::Changed);
        let mut draft = self.draft(pass, &first, &lines, effects, false);
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
            draft = self.draft(pass, &read, &lines, effects, false);
            written = self.write(pass, connection, destination, &draft.placed, read.reading.version.as_deref())?;
            if written != Err(ConnectorError::Changed) {
                break;
            }
        }
        self.world.step("share.called")?;
        match &written {
            Ok(()) => {}
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
        let (after, harm) = match &written {
            Ok(()) => self.read_after(pass, connection, destination, state, &draft, &lines, effects)?,
            Err(_) => (None, None),
        };
        let marks = pass.target.action.marks;
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
                (Ok(()), Verb::Retract, None | Some(None)) => ItemOutcome::Accepted { remote_id: None },
                (Ok(()), Verb::Retract, Some(Some(_))) if pass.target.action.lag.is_some() => {
                    ItemOutcome::Accepted { remote_id: None }
                }
                (Ok(()), Verb::Retract, Some(Some(_))) => {
                    ItemOutcome::Unknown("it was taken out of the list, and is there when it is read back".into())
                }
                (Ok(()), _, Some(Some(remote))) => ItemOutcome::Accepted { remote_id: remote.remote_id.clone() },
                (Ok(()), Verb::Update, _) if !draft.ours.contains(&step.entry) => {
                    ItemOutcome::Unknown("it is not there any more".into())
                }
                // What lags shows by and by; what could not be read back is asked about in the next pass.
                (Ok(()), ..) if pass.target.action.lag.is_some() => ItemOutcome::Accepted { remote_id: None },
                (Ok(()), ..) => ItemOutcome::Unknown("it was accepted, and is not there when it is read back".into()),
            };
            match &outcome {
                ItemOutcome::Accepted { .. } => counts.accepted += 1,
                ItemOutcome::Refused(_) | ItemOutcome::Foreign => counts.refused += 1,
                ItemOutcome::Unknown(_) => counts.unknown += 1,
            }
            settled.push(self.settled(pass, step, entry, &outcome, None));
        }
        // Somebody took entries of ours out: they are pushed again by the next plan, within its budget.
        let acted: Selection = selection(effects);
        for mut line in draft.missing.into_iter().filter(|line| !acted.contains(line.id)) {
            line.line = Line::new(LineState::Gone, 0);
            settled.push(line);
        }
        self.settle(pass.target, pass.run, settled, None)?;
        self.world.step("share.settled")?;
        Ok(harm.or(written.err()))
    }

    /// Writes a list. The outer error is the store's; the inner is the destination's.
    fn write(
        &self,
        pass: &Pass<'_>,
        connection: &Connection,
        destination: &dyn Destination,
        placed: &[Placed],
        version: Option<&str>,
    ) -> Result<Result<(), ConnectorError>, EngineError> {
        let done = self.call(connection, self.world.now(), |cx| {
            destination.replace(spec(pass.target, &self.exchange), &mut placed.iter().cloned(), version, cx)
        });
        match done {
            Ok(()) => Ok(Ok(())),
            Err(EngineError::Connector { error, .. }) => Ok(Err(error)),
            Err(error) => Err(error),
        }
    }

    /// Reads what was written, and puts back what others had there and have no longer. Gives what was read last, and
    /// what a person must be told.
    #[expect(clippy::too_many_arguments, reason = "one pass's working set, used once")]
    fn read_after(
        &self,
        pass: &Pass<'_>,
        connection: &Connection,
        destination: &dyn Destination,
        state: &mut TargetState,
        draft: &Draft,
        lines: &Lines,
        effects: &[&Planned],
    ) -> Result<(Option<Read>, Option<ConnectorError>), EngineError> {
        // A list that lags shows the one before: it is read back when it can be believed.
        if pass.target.action.lag.is_some() {
            return Ok((None, None));
        }
        let read = match self.read_all(pass.target, connection, destination, state) {
            Ok(read) if read.reading.whole => read,
            Ok(_) | Err(EngineError::Connector { .. }) => return Ok((None, None)),
            Err(error) => return Err(error),
        };
        state.foreign = Some(draft.foreign.len() as u64);
        let n_lost = lost(&draft.foreign, &read.entries);
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
            return Ok((Some(read), None));
        }
        // Without what we added in this pass: it may be what pushed them out.
        let n = n_lost.len();
        let mut again = self.draft(pass, &read, lines, effects, true);
        again.placed.extend(n_lost.iter().cloned().map(Placed::Foreign));
        // What we added is in what was read, and is no line of before: it goes out again.
        let theirs: HashSet<&str> = draft.foreign.iter().map(|remote| remote.entry.as_str()).collect();
        let added: HashSet<&str> = draft
            .placed
            .iter()
            .filter_map(|placed| match placed {
                Placed::Ours(item) => Some(item.entry.as_str()),
                Placed::Foreign(_) => None,
            })
            .filter(|text| !theirs.contains(text))
            .collect();
        again.placed.retain(|placed| match placed {
            Placed::Foreign(remote) => !added.contains(remote.entry.as_str()),
            Placed::Ours(_) => true,
        });
        let stopped = self.is_stopped(pass.target.id)?;
        if !stopped {
            // What comes of it is read back.
            let _ = self.write(pass, connection, destination, &again.placed, read.reading.version.as_deref())?;
        }
        let last = match self.read_all(pass.target, connection, destination, state) {
            Ok(read) => Some(read),
            Err(EngineError::Connector { .. }) => None,
            Err(error) => return Err(error),
        };
        let still = last.as_ref().map_or(n_lost, |last| lost(&draft.foreign, &last.entries));
        let mut drift = Drift { at: self.world.now().micros(), harmed: still.len() as u64, ..Drift::default() };
        for remote in &still {
            drift.sample(&remote.entry, "somebody else's, gone after our write");
        }
        state.drift = Some(drift);
        state.harms += 1;
        let words = match still.len() {
            0 => format!("{n} entries of others were gone after the list was replaced, and were put back"),
            left => format!("{left} entries of others are gone since the list was replaced, and could not be put back"),
        };
        let error = match state.harms {
            // It does so every time: what it is that does it, a person must find out.
            HARMS_MOST.. => ConnectorError::Denied(format!("{words}; this is the {}. time in a row", state.harms)),
            _ => ConnectorError::Unexpected(words),
        };
        Ok((last.or(Some(read)), Some(error)))
    }
}

fn selection(effects: &[&Planned]) -> Selection {
    let mut selection = Selection::default();
    for step in effects {
        selection.insert(IndicatorId(step.entry));
    }
    selection
}
