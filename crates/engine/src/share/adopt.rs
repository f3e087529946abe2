//! Taking over what a target holds: a person says that what is there is what the ledger is to believe.
//!
//! After a restore the ledger is older than reality; after a change of tenant it speaks of another place. What carries
//! our mark becomes a present line, also where no source says anything about it; what is gone becomes a tombstone.
//! Nothing is sent: what is then not wanted is taken back by an ordinary plan, within its budget.

use super::apply::{question, spec, wrong_length};
use super::look::{digest, is_staged};
use super::verify::{Changes, how};
use crate::config::{Config, Connection, Target};
use crate::error::EngineError;
use crate::ledger::Entry;
use crate::state::TargetState;
use crate::{Engine, unpoison};
use intel::sharing::{Line, LineState};
use intel::{IndicatorId, IndicatorKey, TargetId, Timestamp, limits};
use kit::manifest::Delivery;
use kit::{Destination, Outgoing, Presence};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use std::collections::HashSet;

/// The setting that says that this store was restored and nobody has said yet that its ledgers are true.
const RECONCILE_FIRST: &str = "reconcile_first";
/// The targets of which somebody has, by number.
const RECONCILED: &str = "reconciled";

/// What a person asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Adopt {
    /// Do it; else only show what would be done.
    pub apply: bool,
    /// Forget what the ledger says first: only what carries our mark is ours then.
    pub forget: bool,
    /// The destination cannot be asked; what the ledger says is taken as it stands.
    pub unread: bool,
}

/// What taking over a target does, or would do.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct AdoptReport {
    /// Which target.
    pub target: String,
    /// `read`, `look`, `list` or `none`: how it was asked.
    pub how: &'static str,
    /// Whether it was done.
    pub applied: bool,
    /// Entries with our mark that become lines of the ledger.
    pub adopted: u64,
    /// Lines whose entry is there.
    pub kept: u64,
    /// Lines whose entry is not there: they become tombstones.
    pub gone: u64,
    /// Lines whose entry is there and is somebody else's.
    pub lost: u64,
    /// Entries of others that no line speaks of.
    pub foreign: u64,
    /// Entries with our mark that are no indicator we know how to name, or are there twice. They are left alone.
    pub not_understood: u64,
    /// Lines forgotten first.
    pub forgotten: u64,
    /// Who we are there by its own word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Who we were, where that was somebody else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity_before: Option<String>,
    /// Some of what changes, each with how.
    pub samples: Vec<String>,
    /// Targets that still wait for somebody to say this after a restore.
    pub waiting: Vec<String>,
}

impl AdoptReport {
    fn sample(&mut self, entry: &str, how: &str) {
        if self.samples.len() < 20 {
            self.samples.push(format!("{entry}: {how}"));
        }
    }
}

/// An entry with our mark that gets a line.
struct Found {
    key: IndicatorKey,
    entry: String,
    remote_id: Option<String>,
    expires: Option<Timestamp>,
}

impl Engine {
    /// Whether this store was restored and a target is still to be read by a person.
    pub(crate) fn must_reconcile(&self, target: TargetId) -> Result<bool, EngineError> {
        Ok(self.reconciles_first()? && !self.reconciled()?.contains(&target.0))
    }

    fn reconciles_first(&self) -> Result<bool, EngineError> {
        Ok(self.store.setting(RECONCILE_FIRST)?.is_some_and(|value| value == "true"))
    }

    /// Whether this store was restored from a backup, and some target waits for a person to say that what its ledger
    /// remembers may be acted on. Nothing else ends that: not time, and not a thaw.
    ///
    /// # Errors
    /// A failing store.
    pub fn is_restored(&self) -> Result<bool, EngineError> {
        Ok(!self.to_reconcile()?.is_empty())
    }

    fn reconciled(&self) -> Result<HashSet<u32>, EngineError> {
        let text = self.store.setting(RECONCILED)?.unwrap_or_default();
        Ok(text.split(',').filter_map(|id| id.parse().ok()).collect())
    }

    /// Somebody said it of this target; said of all, the exchange goes on as ever.
    fn reconcile(&self, config: &Config, target: TargetId) -> Result<(), EngineError> {
        if !self.reconciles_first()? {
            return Ok(());
        }
        let mut done = self.reconciled()?;
        done.insert(target.0);
        let mut ids: Vec<u32> = done.iter().copied().collect();
        ids.sort_unstable();
        let text = ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        self.store.set_setting(RECONCILED, &text)?;
        if config.targets.keys().all(|id| done.contains(&id.0)) {
            self.store.set_setting(RECONCILE_FIRST, "false")?;
        }
        Ok(())
    }

    /// Targets that still wait after a restore, by name.
    ///
    /// # Errors
    /// A failing store.
    pub fn to_reconcile(&self) -> Result<Vec<String>, EngineError> {
        if !self.reconciles_first()? {
            return Ok(Vec::new());
        }
        let done = self.reconciled()?;
        let config = self.config();
        let waiting = config.targets.values().filter(|target| !done.contains(&target.id.0));
        Ok(waiting.map(|target| target.doc.name.clone()).collect())
    }

    /// Takes over what a target holds, or shows what that would do.
    ///
    /// # Errors
    /// [`EngineError::NotFound`]; [`EngineError::Conflict`] where the destination cannot be asked and nobody said to do
    /// without, or where it did not hand over everything; a failing connector or store.
    pub fn adopt(&self, name: &str, options: Adopt, who: &str) -> Result<AdoptReport, EngineError> {
        let config = self.config();
        let target = config.target(name).ok_or_else(|| self.no_target(name))?;
        let one_pass = self.pass_lock(&config, target);
        let _guard = unpoison(one_pass.lock());
        let config = self.config();
        let target = config.target(name).ok_or_else(|| self.no_target(name))?;
        let now = self.world.now();
        let mut state = TargetState::parse(self.store.target_state(target.id)?.as_deref());
        let mut report = AdoptReport { target: name.to_owned(), how: how(target), ..AdoptReport::default() };
        let (mut changes, mut found) = (Changes::default(), Vec::new());
        let connection = config.connections.get(&target.connection);
        let reachable = connection.filter(|_| target.action.delivery != Delivery::Hosted && !options.unread);
        match reachable.and_then(|c| c.open.destination().map(|d| (c, d))) {
            Some((connection, destination)) => {
                let identity = self.identity(connection, now)?;
                if state.identity.is_some() && state.identity != identity {
                    report.identity_before.clone_from(&state.identity);
                }
                report.identity.clone_from(&identity);
                if !target.action.can_ask() {
                    return Err(EngineError::Conflict(format!(
                        "{name} cannot be asked what it holds: look at it yourself, then say --unread to take what the \
                         ledger says as it stands"
                    )));
                }
                if target.action.can_read {
                    found = self.adopt_read(
                        target,
                        connection,
                        destination,
                        &mut state,
                        options,
                        &mut report,
                        &mut changes,
                    )?;
                } else if options.forget {
                    return Err(EngineError::Conflict(format!(
                        "{name} can only be asked about entries that the ledger knows: what was forgotten would stay there \
                         for good"
                    )));
                } else {
                    self.adopt_look(target, connection, destination, &mut report, &mut changes, now)?;
                }
            }
            None if options.forget => {
                return Err(EngineError::Conflict(format!("{name} is not read: then nothing can be forgotten")));
            }
            None => {
                let known = self.known();
                report.kept = known.ledgers.get(&target.id).map_or(0, |ledger| ledger.present().count() as u64);
            }
        }
        if options.apply {
            report.applied = true;
            let run = self.store.run_start("adopt", name, now)?;
            let new = self.adopted_lines(target, found, now)?;
            changes.lines.extend(new);
            let kept: HashSet<u32> = changes.lines.iter().map(|line| line.id.0).collect();
            changes.dropped.retain(|id| !kept.contains(&id.0));
            self.settle_all(target, run, &changes)?;
            state.identity = report.identity.clone().or(state.identity);
            state.identity_found = None;
            state.denied = false;
            state.failures = 0;
            state.not_before = None;
            state.drift = None;
            state.harms = 0;
            if asks_first(target) {
                state.adopted = Some(now.micros());
            }
            // Every line is compared anew.
            (state.compared, state.shape) = (0, 0);
            self.store.set_target_state(target.id, &state.to_text())?;
            let detail = json!({
                "run": run.0, "adopted": report.adopted, "kept": report.kept, "gone": report.gone, "lost": report.lost,
                "forgotten": report.forgotten, "unread": options.unread, "identity": report.identity,
            });
            self.store.audit(who, "target.adopt", name, &detail.to_string(), now)?;
            self.reconcile(&config, target.id)?;
            self.finish_run(run, "success", &report)?;
        }
        report.waiting = self.to_reconcile()?;
        Ok(report)
    }

    #[expect(clippy::too_many_arguments, reason = "one call's working set, used once")]
    fn adopt_read(
        &self,
        target: &Target,
        connection: &Connection,
        destination: &dyn Destination,
        state: &mut TargetState,
        options: Adopt,
        report: &mut AdoptReport,
        changes: &mut Changes,
    ) -> Result<Vec<Found>, EngineError> {
        let read = self.read_all(target, connection, destination, state)?;
        let name = &target.doc.name;
        if !read.reading.whole {
            return Err(EngineError::Conflict(format!(
                "{name} did not hand over everything: nothing is concluded from a part"
            )));
        }
        let now = self.world.now();
        let marks = target.action.marks;
        let lines = self.lines_by_text(target);
        let list = digest(read.entries.iter().map(|remote| remote.entry.as_str()));
        let mut seen: HashSet<u32> = HashSet::new();
        let mut found: Vec<Found> = Vec::new();
        let mut keys: HashSet<IndicatorKey> = HashSet::new();
        if options.forget {
            report.forgotten = lines.all().count() as u64;
            changes.dropped.extend(lines.all().map(|(_, line)| line.id));
        }
        state.foreign = Some(0);
        for remote in &read.entries {
            let line = lines.of(remote).filter(|_| !options.forget);
            let is_ours = match line {
                // Released, or thought to be others': a person says now that what carries our mark is ours.
                Some(line) if !line.line.state.occupies() => {
                    remote.marked || (!marks && line.line.state == LineState::Released)
                }
                // Without marks, what was only meant when the process stopped makes nothing that is there ours.
                Some(line) => self.is_ours(target, line, remote, list, state),
                None => remote.marked,
            };
            match (line, is_ours) {
                (Some(line), true) if seen.insert(line.id.0) => {
                    let was_present = line.line.state == LineState::Present;
                    if was_present {
                        report.kept += 1;
                    } else {
                        report.adopted += 1;
                        report.sample(&remote.entry, "is there, and ours");
                    }
                    let mut entry = line.clone();
                    if !was_present && !is_staged(line) {
                        entry.line = Line::new(LineState::Present, 0);
                        entry.words = None;
                        entry.updated = now;
                    }
                    entry.remote_id = remote.remote_id.as_deref().map(Into::into).or(entry.remote_id);
                    changes.lines.push(entry);
                }
                // What lags may show what others had there before.
                (Some(line), false) if line.line.state.occupies() && lags(target, line, now) => {
                    seen.insert(line.id.0);
                    report.kept += 1;
                }
                (Some(line), false) if line.line.state.occupies() && seen.insert(line.id.0) => {
                    report.lost += 1;
                    report.sample(&remote.entry, "is there, and somebody else's");
                    let mut entry = line.clone();
                    entry.line = Line::new(LineState::Foreign, line.line.fingerprint);
                    entry.updated = now;
                    changes.lines.push(entry);
                    *state.foreign.get_or_insert(0) += 1;
                }
                (Some(line), _) => {
                    seen.insert(line.id.0);
                    *state.foreign.get_or_insert(0) += 1;
                }
                (None, true) => match IndicatorKey::parse(remote.kind, &remote.entry) {
                    Ok(key) if keys.insert(key.clone()) => {
                        report.adopted += 1;
                        report.sample(&remote.entry, "carries our mark, and gets a line");
                        let (entry, remote_id) = (remote.entry.clone(), remote.remote_id.clone());
                        found.push(Found { key, entry, remote_id, expires: remote.expires_at });
                    }
                    _ => {
                        report.not_understood += 1;
                        report.sample(&remote.entry, "carries our mark, and is no indicator, or is there twice");
                        *state.foreign.get_or_insert(0) += 1;
                    }
                },
                (None, false) => {
                    report.foreign += 1;
                    *state.foreign.get_or_insert(0) += 1;
                }
            }
        }
        for (text, line) in lines.all().filter(|(_, line)| !options.forget && !seen.contains(&line.id.0)) {
            match line.line.state {
                LineState::Foreign | LineState::Released => changes.dropped.push(line.id),
                LineState::Refused => {}
                _ if lags(target, line, now) => report.kept += 1,
                _ => {
                    report.gone += 1;
                    report.sample(text, "is not there any more");
                    changes.lines.push(tombstone(line, now));
                }
            }
        }
        Ok(found)
    }

    fn adopt_look(
        &self,
        target: &Target,
        connection: &Connection,
        destination: &dyn Destination,
        report: &mut AdoptReport,
        changes: &mut Changes,
        now: Timestamp,
    ) -> Result<(), EngineError> {
        let lines = self.lines_by_text(target);
        let mut asked: Vec<&Entry> =
            lines.all().map(|(_, line)| line).filter(|line| line.line.state != LineState::Refused).collect();
        asked.sort_by_key(|line| line.id);
        for batch in asked.chunks(target.action.batch) {
            let questions: Vec<Outgoing> = {
                let known = self.known();
                batch.iter().map(|line| question(&known, line)).collect()
            };
            let answers =
                self.call(connection, now, |cx| destination.look(spec(target, &self.exchange), &questions, cx))?;
            if answers.len() != batch.len() {
                return Err(wrong_length(connection, answers.len(), batch.len()));
            }
            for ((line, answer), question) in batch.iter().zip(answers).zip(&questions) {
                let mut entry = (*line).clone();
                if lags(target, line, now) {
                    report.kept += 1;
                    continue;
                }
                match answer {
                    Presence::Ours { remote_id } => {
                        if line.line.state == LineState::Present {
                            report.kept += 1;
                        } else {
                            report.adopted += 1;
                            report.sample(&question.entry, "is there, and ours");
                            if !is_staged(line) {
                                entry.line = Line::new(LineState::Present, 0);
                                entry.words = None;
                                entry.updated = now;
                            }
                        }
                        entry.remote_id = remote_id.map(Into::into).or(entry.remote_id);
                        changes.lines.push(entry);
                    }
                    Presence::Foreign if line.line.state.is_foreign() => {}
                    Presence::Foreign => {
                        report.lost += 1;
                        report.sample(&question.entry, "is there, and somebody else's");
                        entry.line = Line::new(LineState::Foreign, line.line.fingerprint);
                        entry.updated = now;
                        changes.lines.push(entry);
                    }
                    Presence::Absent if line.line.state.is_foreign() => changes.dropped.push(line.id),
                    Presence::Absent => {
                        report.gone += 1;
                        report.sample(&question.entry, "is not there any more");
                        changes.lines.push(tombstone(line, now));
                    }
                }
            }
        }
        Ok(())
    }

    /// Lines for entries that carry our mark; an indicator nobody speaks of any more is known from then on.
    fn adopted_lines(&self, target: &Target, found: Vec<Found>, now: Timestamp) -> Result<Vec<Entry>, EngineError> {
        let _one_writer = self.ingest_lock();
        let mut lines = Vec::with_capacity(found.len());
        for Found { key, entry, remote_id, expires } in found {
            let known_id = self.known().index.id(&key);
            let id: IndicatorId = match known_id {
                Some(id) => id,
                None => {
                    let (id, revision) = self.store.add_indicator(&key, 0)?;
                    self.known_mut().index.add_bare(id, &key, revision, now);
                    id
                }
            };
            let old = self.known().ledgers.get(&target.id).and_then(|ledger| ledger.get(id));
            let mut line = Line::new(LineState::Present, 0);
            line.remote_expires = expires;
            line.remote_from = expires.map(|_| now);
            lines.push(Entry {
                id,
                line,
                remote_id: remote_id.map(Into::into),
                entry: (entry != key.value()).then(|| entry.into()),
                words: None,
                // Older than anything a source said since: its mark says that we put it there.
                first_intent: old.map_or(limits::EARLIEST_TIME, |old| old.first_intent),
                updated: now,
            });
        }
        Ok(lines)
    }
}

/// Whether what was put there without the ledger knowing of it is found out only when it is asked about, and a second
/// push would be a second entry.
pub(super) fn asks_first(target: &Target) -> bool {
    let action = &target.action;
    !action.idempotent && action.can_look && !(action.can_read && action.marks)
}

/// Whether what a line is about was written so lately that it may not show yet, or still: it stays what it was.
fn lags(target: &Target, line: &Entry, now: Timestamp) -> bool {
    !line.line.state.is_foreign() && !intel::drift::is_settled(line.updated, target.action.lag, now)
}

fn tombstone(line: &Entry, now: Timestamp) -> Entry {
    let mut entry = line.clone();
    entry.line = Line::new(LineState::Gone, 0);
    entry.words = None;
    entry.updated = now;
    entry
}
