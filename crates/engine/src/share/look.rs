//! Asking a destination, and making a call at all: what is there, who we are to it, and whether it is to be left alone.
//!
//! What a destination says is believed with care: an answer that may lag behind what was written settles nothing, and
//! what is missing from a reading that was cut, empty or halved is not gone.

use super::apply::{question, spec, wrong_length};
use super::view_of;
use crate::config::{Config, Connection, Target};
use crate::error::EngineError;
use crate::ledger::Entry;
use crate::state::{LearnedCapacity, Replacement, TargetState};
use crate::{Engine, unpoison};
use index::Selection;
use intel::drift::{self, Doubt};
use intel::limits::READ_BACK_MOST;
use intel::sharing::LineState;
use intel::{IndicatorId, RunId, Timestamp};
use kit::manifest::Delivery;
use kit::{ConnectorError, Cx, Destination, Outgoing, Presence, Reading, Remote};
use std::collections::{BTreeMap, HashMap, HashSet};
use xxhash_rust::xxh3::xxh3_64;

/// What a line says whose change was taken and takes effect with the next deployment.
pub(crate) const STAGED: &str = "staged: takes effect with the next deployment";

/// So many entries of ours, all of them there, say that a list was not cut though half of what others had is gone.
const VOUCHERS: u64 = 10;

/// Whether a line's last change was taken and waits to be deployed.
pub(crate) fn is_staged(entry: &Entry) -> bool {
    matches!(entry.line.state, LineState::Pending | LineState::Retracting) && entry.words.as_deref() == Some(STAGED)
}

/// Everything that is at a destination.
pub(super) struct Read {
    pub(super) reading: Reading,
    pub(super) entries: Vec<Remote>,
}

/// A digest of what a list holds, in whatever order. Fields are not in it: others see entries, and so do we.
pub(super) fn digest<'a>(entries: impl Iterator<Item = &'a str>) -> u64 {
    entries.fold(0, |sum, entry| sum.wrapping_add(xxh3_64(entry.as_bytes())))
}

/// Whose an entry is that is there, carries no mark, and is what a line is about whose outcome is not known. `list`:
/// the digest of everything that was read with it. Ours is only what a replacement of ours surely put there, or did not
/// take away yet; what somebody else may have put there meanwhile is theirs for good.
fn is_surely_ours(line: &Entry, list: u64, replacement: Option<&Replacement>) -> bool {
    let Some(replacement) = replacement else { return true };
    if replacement.unsure.contains(&line.id.0) {
        return false;
    }
    let is_done = list == replacement.after && list != replacement.before;
    let is_not_done = list == replacement.before && list != replacement.after;
    match line.line.state {
        LineState::Pending | LineState::Unknown => is_done || !replacement.added.contains(&line.id.0),
        LineState::Retracting => is_not_done,
        _ => true,
    }
}

/// The lines of a target that say something about what is there, by the text the destination stores.
pub(super) struct Lines {
    by_text: HashMap<Box<str>, Entry>,
}

impl Lines {
    /// The line of an entry that is there, whatever it says.
    pub(super) fn of(&self, remote: &Remote) -> Option<&Entry> {
        self.by_text.get(remote.entry.as_str())
    }

    /// The line of an entry that is there and is ours: the ledger says that we put it there or may have, and it carries
    /// our mark where there are marks; else it is not another object than the one we know.
    pub(super) fn ours(&self, remote: &Remote, marks: bool) -> Option<&Entry> {
        self.of(remote).filter(|line| line.line.state.occupies() && carries(line, remote, marks))
    }

    /// All but these.
    pub(super) fn without(&self, ids: &Selection) -> Lines {
        let by_text = self.by_text.iter().filter(|(_, line)| !ids.contains(line.id));
        Lines { by_text: by_text.map(|(text, line)| (text.clone(), line.clone())).collect() }
    }

    /// What was ours and was not there when it was read is not ours when an entry like it is there again.
    pub(super) fn forget_missing(&mut self, read: &Read, marks: bool) -> Vec<Entry> {
        let seen: HashSet<u32> =
            read.entries.iter().filter_map(|remote| self.ours(remote, marks)).map(|line| line.id.0).collect();
        let is_missing = |line: &Entry| line.line.state == LineState::Present && !seen.contains(&line.id.0);
        let missing: Vec<Entry> = self.by_text.values().filter(|line| is_missing(line)).cloned().collect();
        self.by_text.retain(|_, line| !is_missing(line));
        missing
    }

    /// How many entries we have there by the last we know.
    pub(super) fn n_present(&self) -> u64 {
        self.by_text.values().filter(|line| line.line.state == LineState::Present).count() as u64
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.by_text.iter().map(|(text, line)| (text.as_ref(), line))
    }
}

/// Whether what is there may be the object a line is about.
pub(super) fn carries(line: &Entry, remote: &Remote, marks: bool) -> bool {
    if marks {
        return remote.marked;
    }
    match (&line.remote_id, &remote.remote_id) {
        (Some(known), Some(found)) => **known == **found,
        _ => true,
    }
}

/// What a reading of everything says of each line.
pub(super) struct Shown {
    found: BTreeMap<IndicatorId, Presence>,
    /// Why nothing may be concluded from what it does not show.
    pub(super) doubt: Option<Doubt>,
}

impl Shown {
    /// What is there for a line; None: it settles nothing.
    pub(super) fn of(&self, id: IndicatorId) -> Option<Presence> {
        self.found.get(&id).cloned().or_else(|| self.doubt.is_none().then_some(Presence::Absent))
    }
}

impl Engine {
    /// Why no call may be made to a connection just now: it failed too often.
    pub(super) fn resting(&self, connection: &Connection) -> Option<ConnectorError> {
        let breakers = unpoison(self.breakers.lock());
        let breaker = breakers.get(&connection.id)?;
        let wait = breaker.wait(self.world.now())?;
        let failures = breaker.failures();
        let why = format!("{failures} calls in a row failed: one is tried every minute until one works");
        Some(ConnectorError::Busy { wait: Some(wait), why })
    }

    /// Calls a connector with everything it may use, unless it is to be left alone.
    pub(super) fn call<T>(
        &self,
        connection: &Connection,
        now: Timestamp,
        f: impl FnOnce(&Cx<'_>) -> Result<T, ConnectorError>,
    ) -> Result<T, EngineError> {
        self.call_counted(connection, now, f, |_| true)
    }

    /// As [`Engine::call`]; whether an answer shows that the other side works is for the caller to say.
    fn call_counted<T>(
        &self,
        connection: &Connection,
        now: Timestamp,
        f: impl FnOnce(&Cx<'_>) -> Result<T, ConnectorError>,
        says_something: impl FnOnce(&T) -> bool,
    ) -> Result<T, EngineError> {
        let failed = |error| EngineError::Connector { connection: connection.doc.name.clone(), error };
        let http = self.http_of(connection).map_err(failed)?.stopped_by(self.stop_switch());
        if let Some(error) = self.resting(connection) {
            return Err(failed(error));
        }
        let cx = Cx { http: &http, files: self.world.files(), now, initial_from: now };
        let done = match f(&cx) {
            // The last request did nothing; one that the same call made before it may have.
            Err(ConnectorError::Busy { wait, why }) if http.has_acted() => Err(ConnectorError::Later { wait, why }),
            done => done,
        };
        // A refusal is an answer; what asks for patience says so itself.
        let worked = match &done {
            Err(error) if error.is_later() && error.wait().is_none() => Some(false),
            Err(ConnectorError::Unexpected(_)) => Some(false),
            Err(_) => Some(true),
            Ok(answer) => says_something(answer).then_some(true),
        };
        if let Some(worked) = worked {
            unpoison(self.breakers.lock()).entry(connection.id).or_default().ended(worked, self.world.now());
        }
        done.map_err(failed)
    }

    /// Whether we are at the other side who we were when the first thing was sent there. Asked once a pass.
    pub(super) fn identify(
        &self,
        target: &Target,
        connection: &Connection,
        state: &mut TargetState,
        now: Timestamp,
    ) -> Result<(), EngineError> {
        if state.is_identified {
            return Ok(());
        }
        let found = self.identity(connection, now)?;
        let pinned = match (state.identity.as_ref(), found) {
            (None, found) => {
                state.identity = found;
                state.is_identified = true;
                return Ok(());
            }
            (Some(pinned), Some(found)) if *pinned == found => {
                state.identity_found = None;
                state.is_identified = true;
                return Ok(());
            }
            (Some(pinned), found) => {
                state.identity_found = Some(found.unwrap_or_default());
                pinned
            }
        };
        let now_is = match state.identity_found.as_deref() {
            None | Some("") => "it does not say who we are".to_owned(),
            Some(found) => format!("it says that we are {found}"),
        };
        Err(EngineError::Connector {
            connection: connection.doc.name.clone(),
            error: ConnectorError::Denied(format!(
                "this is another account than the one the ledger is about: {now_is}, and it was {pinned}; nothing is \
                 sent until the settings are put right, or `iocast target adopt {} --preview`",
                target.doc.name
            )),
        })
    }

    /// Who we are at the other side. None may mean that nobody was asked.
    pub(super) fn identity(&self, connection: &Connection, now: Timestamp) -> Result<Option<String>, EngineError> {
        self.call_counted(connection, now, |cx| connection.open.identity(cx), Option::is_some)
    }

    /// Reads everything that is at a destination. What it says of its limit is kept.
    pub(super) fn read_all(
        &self,
        target: &Target,
        connection: &Connection,
        destination: &dyn Destination,
        state: &mut TargetState,
    ) -> Result<Read, EngineError> {
        let mut entries = Vec::new();
        let now = self.world.now();
        let mut is_cut = false;
        let mut keep = |remote| match entries.len() < READ_BACK_MOST {
            true => entries.push(remote),
            false => is_cut = true,
        };
        let mut reading =
            self.call(connection, now, |cx| destination.read(spec(target, &self.exchange), &mut keep, cx))?;
        // What was not kept may be anything: nothing is concluded, and nothing is written over it.
        reading.whole &= !is_cut;
        if let Some(limit) = reading.capacity {
            state.learned = Some(LearnedCapacity { limit, at: now.micros(), is_said: true });
        } else if state.learned.is_some_and(|learned| learned.is_said) {
            state.learned = None;
        }
        Ok(Read { reading, entries })
    }

    /// Whether what is there is the object a line is about, also where there is nothing to tell it by.
    pub(super) fn is_ours(
        &self,
        target: &Target,
        line: &Entry,
        remote: &Remote,
        list: u64,
        state: &TargetState,
    ) -> bool {
        let by_list = target.action.delivery == Delivery::Replace && !target.action.marks;
        carries(line, remote, target.action.marks)
            && (!by_list || is_surely_ours(line, list, state.replacement.as_ref()))
    }

    /// Every live line of a target by what the destination stores.
    pub(super) fn lines_by_text(&self, target: &Target) -> Lines {
        let known = self.known();
        let mut by_text = HashMap::new();
        if let Some(ledger) = known.ledgers.get(&target.id) {
            for entry in ledger.live().iter().filter_map(|id| ledger.get(id)) {
                let text = entry.entry.clone().unwrap_or_else(|| known.index.key_ref(entry.id).1.into());
                by_text.insert(text, entry);
            }
        }
        Lines { by_text }
    }

    /// Why nothing may be concluded from what a reading does not show.
    pub(super) fn doubt(&self, target: &Target, read: &Read, lines: &Lines, state: &TargetState) -> Option<Doubt> {
        if !read.reading.whole {
            return Some(Doubt::NotWhole);
        }
        let (mut present, mut foreign) = (0, 0);
        for remote in &read.entries {
            match lines.ours(remote, target.action.marks) {
                Some(line) if line.line.state == LineState::Present => present += 1,
                Some(_) => {}
                None => foreign += 1,
            }
        }
        // Others may take away what is theirs. Where all of ours is there, the answer was not cut; half of very many
        // needs more than a few of ours to say so.
        let expected = lines.n_present();
        let vouched = |doubt: &Doubt| match doubt {
            Doubt::Empty { .. } => expected > 0 && present >= expected,
            Doubt::Shrunk { .. } => expected >= VOUCHERS && present >= expected,
            Doubt::NotWhole => false,
        };
        let by_foreign = || drift::doubt(state.foreign.unwrap_or(0), foreign).filter(|doubt| !vouched(doubt));
        drift::doubt(expected, present).or_else(by_foreign)
    }

    /// Reads everything, and says of each line what of it is there.
    pub(super) fn read_lines(
        &self,
        target: &Target,
        connection: &Connection,
        destination: &dyn Destination,
        state: &mut TargetState,
    ) -> Result<Shown, EngineError> {
        let read = self.read_all(target, connection, destination, state)?;
        let lines = self.lines_by_text(target);
        let doubt = self.doubt(target, &read, &lines, state);
        let list = digest(read.entries.iter().map(|remote| remote.entry.as_str()));
        let mut found: BTreeMap<IndicatorId, Presence> = BTreeMap::new();
        for remote in &read.entries {
            let Some(line) = lines.of(remote) else { continue };
            let presence = match self.is_ours(target, line, remote, list, state) {
                true => Presence::Ours { remote_id: remote.remote_id.clone() },
                false => Presence::Foreign,
            };
            // Ours beside somebody else's is ours.
            if !matches!(found.get(&line.id), Some(Presence::Ours { .. })) {
                found.insert(line.id, presence);
            }
        }
        Ok(Shown { found, doubt })
    }

    /// What is there for these lines; None for a line of which the answer settles nothing.
    pub(super) fn ask(
        &self,
        target: &Target,
        connection: &Connection,
        state: &mut TargetState,
        asked: &[Entry],
        now: Timestamp,
    ) -> Result<Vec<Option<Presence>>, EngineError> {
        let Some(destination) = connection.open.destination() else { return Ok(vec![None; asked.len()]) };
        self.identify(target, connection, state, now)?;
        if !target.action.can_look {
            let shown = self.read_lines(target, connection, destination, state)?;
            return Ok(asked.iter().map(|entry| shown.of(entry.id)).collect());
        }
        let questions: Vec<Outgoing> = {
            let known = self.known();
            asked.iter().map(|entry| question(&known, entry)).collect()
        };
        let mut answers = Vec::with_capacity(asked.len());
        for batch in questions.chunks(target.action.batch) {
            let said = self
                .call(connection, self.world.now(), |cx| destination.look(spec(target, &self.exchange), batch, cx))?;
            if said.len() != batch.len() {
                return Err(wrong_length(connection, said.len(), batch.len()));
            }
            answers.extend(said.into_iter().map(Some));
        }
        Ok(answers)
    }

    /// Asks the destination about lines whose outcome is not known, and writes down what it says.
    pub(super) fn look_at_unsettled(
        &self,
        config: &Config,
        target: &Target,
        state: &mut TargetState,
        run: RunId,
        now: Timestamp,
    ) -> Result<(), EngineError> {
        if !view_of(target).can_look || target.action.delivery == Delivery::Hosted {
            return Ok(());
        }
        let Some(connection) = config.connections.get(&target.connection).filter(|c| c.doc.enabled) else {
            return Ok(());
        };
        let asked: Vec<Entry> = {
            let known = self.known();
            let Some(ledger) = known.ledgers.get(&target.id) else { return Ok(()) };
            let open = [LineState::Pending, LineState::Unknown, LineState::Retracting];
            let due = |entry: &Entry| match entry.line.next_try {
                Some(next_try) => next_try <= now,
                None => drift::is_settled(entry.updated, target.action.lag, now),
            };
            ledger
                .unsettled()
                .filter_map(|id| ledger.get(id))
                .filter(|entry| open.contains(&entry.line.state) && !is_staged(entry) && due(entry))
                .collect()
        };
        // Asked batch by batch, so that what was answered is known whatever becomes of the next; but read only once.
        let size = if target.action.can_look { target.action.batch } else { asked.len().max(1) };
        for batch in asked.chunks(size) {
            let answers = self.ask(target, connection, state, batch, now)?;
            let settled: Vec<Entry> = batch
                .iter()
                .zip(answers)
                .filter_map(|(entry, answer)| Some(answered(target, entry.clone(), answer?, now)))
                .collect();
            self.settle(target, run, settled, None)?;
        }
        Ok(())
    }
}

/// What a line whose outcome was not known becomes by what is there.
pub(super) fn answered(target: &Target, mut entry: Entry, answer: Presence, now: Timestamp) -> Entry {
    let was_retracting = entry.line.state == LineState::Retracting;
    entry.line.attempts = 0;
    entry.line.next_try = None;
    entry.updated = now;
    match answer {
        Presence::Ours { remote_id } => {
            // It is there; with the fields of which try nobody knows. An update settles that.
            entry.line.state = LineState::Present;
            entry.line.fingerprint = 0;
            entry.remote_id = remote_id.map(Into::into).or(entry.remote_id);
            if target.action.deploys {
                // Whether it was deployed does not show: once more does no harm.
                entry.line.state = LineState::Pending;
                entry.words = Some(STAGED.into());
            }
        }
        Presence::Foreign => entry.line.state = LineState::Foreign,
        Presence::Absent if was_retracting && target.action.deploys => entry.words = Some(STAGED.into()),
        Presence::Absent => entry.line.state = LineState::Gone,
    }
    entry
}
