//! One pass over one target: what it should hold is compared with what the ledger says it holds.
//!
//! `collect` finds the wanted set, `decide` answers each entry, `restrain` says what may happen now; this module asks
//! them, writes intent before the first byte leaves and the outcome after, and reports counts that balance. A dry run
//! is the same pass, stopped before the first effect.

mod adopt;
mod apply;
mod bisect;
mod board;
mod collect;
mod cut;
pub(crate) mod entries;
mod held;
mod last;
mod look;
mod pins;
mod preview;
mod replace;
mod send;
mod shown;
mod trial;
mod undo;
mod verify;

pub use adopt::{Adopt, AdoptReport};
pub(crate) use apply::{load_ledger, state_of};
pub(crate) use board::Board;
use collect::collect_unpinned;
pub(crate) use collect::{Collected, KeyCache, collect, collect_few};
pub use cut::Cut;
pub(crate) use held::Approvers;
pub use held::{BudgetUse, HeldPlan, Part, PinnedEntry, Replaced, UseShown, WaitsFor, admins};
pub(crate) use pins::load_pins;
pub use pins::{PinShown, Pins};
pub use preview::{Preview, PreviewHead, PreviewRow, RuleEffect};
pub use shown::{CapacityShown, LearnedShown, TargetShown};
pub use trial::SharingCounts;
pub use verify::{Verify, VerifyReport};

use crate::config::{Config, Target};
use crate::error::EngineError;
use crate::state::TargetState;
use crate::world::Progress;
use crate::{Engine, Known, unpoison};
use entries::Entries;
use index::Selection;
use intel::delivery::{Counts, ShareStatus};
use intel::plan::{ApprovedSet, Brakes, Budget, Candidate, FirstFill, Planned, Restrained, plan_hash, restrain, room};
use intel::schedule::backoff;
use intel::sharing::{LineState, Rank, TargetView, Verb, Wanted, Why};
use intel::{DAY, IndicatorId, RunId, TargetId, Timestamp};
use kit::ConnectorError;
use kit::manifest::{Delivery, Pool};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How a pass is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mode {
    /// Stop before the first effect: every planned step is deferred.
    pub dry_run: bool,
    /// Approve the plan that this very pass computes.
    pub approve: bool,
}

/// One step of a plan, as shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PlannedStep {
    /// `push`, `update`, `retract`, `settle`, `drop`.
    pub verb: &'static str,
    /// What kind of indicator.
    pub kind: &'static str,
    /// The entry as the destination stores it.
    pub entry: String,
    /// Why it is not wanted any more, where that is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why it waits, where it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits: Option<String>,
    /// Who stands by the indicator, where it is to be there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
}

/// What one pass of a target did, or would do.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ShareReport {
    /// Which target.
    pub target: String,
    /// Which run; 0 for a dry run.
    pub run: u64,
    /// The version of the configuration it used from beginning to end.
    pub config: String,
    /// `success`, `partial`, `held`, `dry_run`, `frozen` or `failed`.
    pub status: String,
    /// Entries to add.
    pub push: u64,
    /// Entries to change.
    pub update: u64,
    /// Entries to take back.
    pub retract: u64,
    /// Entries that are as they should be.
    pub leave: u64,
    /// Entries that a rule selects and that do not go, each with a reason.
    pub skip: u64,
    /// Steps the destination took.
    pub accepted: u64,
    /// Steps it would not take.
    pub refused: u64,
    /// Steps whose outcome is not known yet.
    pub unknown: u64,
    /// Steps that wait.
    pub deferred: u64,
    /// Skipped entries by reason.
    pub skipped_by: BTreeMap<String, u64>,
    /// What holds steps back, in sentences.
    pub holds: Vec<String>,
    /// The held plan that waits for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<u64>,
    /// The name of the whole set of steps, as far as it is known before it is done: of a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// How much of the change budget is spent, before this pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetUse>,
    /// Lines present afterwards.
    pub present: u64,
    /// Why the pass failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The steps, where they were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<PlannedStep>,
}

/// Most steps listed in a dry run's report.
const STEPS_SHOWN: usize = 10_000;

/// What a plan supposes.
pub(crate) enum Under {
    /// What is so.
    WhatStands,
    /// That these pins stood.
    Pins(Arc<Pins>),
    /// That what is there carries what it should: enough for who has a place, and much less to compute.
    NoChange,
}

/// A pass, decided and restrained.
pub(crate) struct Plan {
    pub(crate) restrained: Restrained,
    pub(crate) entries: Entries,
    /// Entries left as they are that were not even candidates.
    pub(crate) left: u64,
    /// Skipped by reason, candidates included.
    pub(crate) skipped: BTreeMap<&'static str, u64>,
    /// Revision of the index the plan was made on.
    pub(crate) revision: u64,
    pub(crate) shape: u64,
    /// A person allowed all that this plan does: it is no part of the rolling budget.
    pub(crate) is_approved: bool,
    /// The steps a person allowed before: they are none either.
    approved: Option<ApprovedSet>,
    /// What is to be there, capacity still to come.
    wanted: Selection,
    /// How much of the budget is spent.
    budget: BudgetUse,
}

impl Plan {
    /// Names everything it would do, now or once allowed.
    fn hash(&self, known: &Known) -> String {
        let steps = self.restrained.now.iter().chain(&self.restrained.held);
        plan_hash(steps.map(|s| (self.entries.text(known, IndicatorId(s.entry)), s.step, s.fingerprint))).to_string()
    }

    /// Whether the rolling budget knows of a step: nobody was asked about it, and it was not begun before.
    pub(crate) fn is_ordinary(&self, step: &Planned, now: Timestamp) -> bool {
        let is_allowed = self.is_approved || self.approved.as_ref().is_some_and(|approved| approved.allows(step, now));
        !is_allowed && !step.safety && !step.repeat
    }

    /// Whether an indicator is to be there.
    fn wants(&self, id: IndicatorId) -> bool {
        self.wanted.contains(id)
    }

    fn counts(&self) -> Counts {
        let mut counts = self.restrained.counts();
        counts.leave += self.left;
        counts.skip = self.skipped.values().sum();
        counts
    }
}

impl Engine {
    /// Runs one pass over one target, now.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], a failing store, or a stopped simulation. A failing destination is no error: it is a
    /// report with status `failed` or `partial`.
    pub fn share(&self, name: &str, mode: Mode, progress: &dyn Progress) -> Result<ShareReport, EngineError> {
        self.share_expecting(name, mode, None, progress)
    }

    /// The same, if the plan is the one that this hash names, as a dry run showed it; else nothing is done.
    ///
    /// # Errors
    /// As [`Engine::share`]; [`EngineError::Conflict`] where the plan is another by now.
    pub fn share_expecting(
        &self,
        name: &str,
        mode: Mode,
        expect: Option<&str>,
        progress: &dyn Progress,
    ) -> Result<ShareReport, EngineError> {
        let config = self.config();
        let target = config.target(name).ok_or_else(|| self.no_target(name))?;
        let _one_pass = self.pass_lock(&config, target);
        let _guard = unpoison(_one_pass.lock());
        // The wait may have been long: a target that was deleted meanwhile must not be sent to.
        let config = self.config();
        let target = config.target(name).ok_or_else(|| self.no_target(name))?;
        self.advance()?;
        // Waiting is counted by the clock there is; what is wanted is decided by one that can be believed.
        let wall = self.world.now();
        let now = self.sober(wall);
        let mut state = TargetState::parse(self.store.target_state(target.id)?.as_deref());
        if mode.dry_run {
            let plan = self.plan(&config, target, &state, Mode::default(), now)?;
            return Ok(ShareReport { config: config.version.clone(), ..self.dry_report(target, &plan) });
        }
        // Whoever expects a plan is answered by one that was made after the same questions; and what is compared here is
        // what is done. Only then is it a run.
        let started = |is_run: bool| match is_run {
            true => self.store.run_start("share", name, now),
            false => Ok(RunId(0)),
        };
        let mut run = started(expect.is_none())?;
        let mut trouble = None;
        if !self.stands_still(target.id)? {
            match self.look_at_unsettled(&config, target, &mut state, run, now) {
                Ok(()) => {}
                Err(EngineError::Connector { error, .. }) => trouble = Some(error),
                Err(error) => return Err(error),
            }
        }
        let unread = target.action.can_read && state.foreign.is_none();
        if trouble.is_none() && unread && !self.is_stopped(target.id)? {
            // How much of its room others take must be known before it is filled.
            match self.read_back(&config, target, &mut state, run, Verify { believe: false, all: true }, now) {
                Ok(_) => {}
                Err(EngineError::Connector { error, .. }) => trouble = Some(error),
                Err(error) => return Err(error),
            }
        }
        progress.phase("planning");
        let plan = self.plan(&config, target, &state, mode, now)?;
        if let Some(expect) = expect {
            let hash = plan.hash(&self.known());
            if hash != expect {
                self.store.set_target_state(target.id, &state.to_text())?;
                return Err(EngineError::Conflict(format!(
                    "the plan of {name} is {hash} now, not {expect}: nothing was sent; look at it again with `iocast \
                     share {name} --dry-run`"
                )));
            }
            run = started(true)?;
        }
        let (mut counts, error) = if trouble.is_some() {
            let mut counts = plan.counts();
            counts.deferred = counts.planned();
            (counts, trouble)
        } else {
            progress.phase("applying");
            self.apply_plan(&config, target, &plan, &mut state, run, now)?
        };
        if state.is_dropping {
            // What it drops in silence is found in the pass in which it does so.
            match self.read_back(&config, target, &mut state, run, Verify { believe: false, all: true }, now) {
                Ok(drift) => {
                    let n = drift.map_or(0, |drift| drift.missing).min(counts.accepted);
                    counts.accepted -= n;
                    counts.unknown += n;
                }
                Err(EngineError::Connector { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.time_verdicts(self.taken_back_for_safety(target, &plan), &mut state);
        if self.is_halted(target.id) {
            // Who undoes this run undoes what it would have done as well: else the next pass did that.
            let effects: Vec<&Planned> = plan.restrained.now.iter().filter(|step| step.step.is_effect()).collect();
            self.note_not_done(target.id, run, &effects)?;
        }
        let held = !plan.restrained.held.is_empty();
        // Restored and not adopted it stands still, also where its old ledger sees nothing to do.
        let restored = self.must_reconcile(target.id)?;
        let is_held_by = |code: &str| plan.restrained.holds.iter().any(|hold| hold.as_str() == code);
        let is_untouched = counts.accepted + counts.refused + counts.unknown == 0;
        let frozen = restored || is_held_by("frozen") || (is_held_by("halted") && error.is_none() && is_untouched);
        let status = match &error {
            _ if frozen => ShareStatus::Frozen,
            Some(_) => ShareStatus::Failed,
            None if held => ShareStatus::Held,
            // An outcome that is still awaited is no success, whoever asked for it.
            None if counts.status() == ShareStatus::Success && self.awaits(target.id) => ShareStatus::Partial,
            None => counts.status(),
        };
        let held_steps = plan.restrained.held.iter().filter(|step| step.step.is_effect()).count() as u64;
        let whole = error.is_none() && counts.unknown == 0 && counts.deferred == held_steps;
        let plan_id = self.keep_held(target, &plan, run, now, whole)?;
        state.last_run = Some(wall.micros());
        state.last_status = Some(status.as_str().to_owned());
        match &error {
            None => {
                state.failures = 0;
                state.not_before = None;
                state.denied = false;
                if status == ShareStatus::Success {
                    state.compared = plan.revision;
                    state.shape = plan.shape;
                }
            }
            Some(error) => {
                state.failures += 1;
                state.denied = matches!(error, ConnectorError::Denied(_));
                let wait = error.wait();
                state.not_before = Some(
                    wall.after(backoff(state.failures, wait, intel::schedule::jitter_of(self.world.random()))).micros(),
                );
            }
        }
        self.store.set_target_state(target.id, &state.to_text())?;
        let mut report = self.report(target, &plan, counts, status, run);
        report.config.clone_from(&config.version);
        if restored {
            report.holds.push(format!(
                "this exchange was restored from a backup: `iocast target adopt {name} --preview` shows what is there"
            ));
        }
        if report.deferred > held_steps {
            report.holds.extend(self.stopped_since(target, &plan));
        }
        report.plan = plan_id;
        report.error = error.map(|e| e.to_string());
        debug_assert!(counts.balances(), "{report:?}");
        self.finish_run(run, &report.status, &report)?;
        Ok(report)
    }

    /// What a verdict or the guard demanded back and the destination has given back.
    fn taken_back_for_safety(&self, target: &Target, plan: &Plan) -> Vec<IndicatorId> {
        let known = self.known();
        let ledger = known.ledgers.get(&target.id);
        let gone = |id: &IndicatorId| !ledger.is_some_and(|ledger| ledger.live().contains(*id));
        let safety = plan.restrained.now.iter().filter(|step| step.safety);
        safety.map(|step| IndicatorId(step.entry)).filter(gone).collect()
    }

    fn report(&self, target: &Target, plan: &Plan, counts: Counts, status: ShareStatus, run: RunId) -> ShareReport {
        let present = self.known().ledgers.get(&target.id).map_or(0, |l| l.present().count() as u64);
        ShareReport {
            target: target.doc.name.clone(),
            run: run.0,
            config: String::new(),
            status: status.as_str().to_owned(),
            push: counts.push,
            update: counts.update,
            retract: counts.retract,
            leave: counts.leave,
            skip: counts.skip,
            accepted: counts.accepted,
            refused: counts.refused,
            unknown: counts.unknown,
            deferred: counts.deferred,
            skipped_by: plan.skipped.iter().map(|(k, n)| ((*k).to_owned(), *n)).collect(),
            holds: plan.restrained.holds.iter().map(ToString::to_string).collect(),
            plan: None,
            hash: None,
            budget: Some(plan.budget),
            present,
            error: None,
            steps: Vec::new(),
        }
    }

    fn dry_report(&self, target: &Target, plan: &Plan) -> ShareReport {
        let mut counts = plan.counts();
        counts.deferred = counts.planned();
        let mut report = self.report(target, plan, counts, ShareStatus::DryRun, RunId(0));
        let known = self.known();
        let now = self.world.now();
        report.hash = Some(plan.hash(&known));
        let steps = plan.restrained.now.iter().chain(&plan.restrained.held);
        report.steps = steps.take(STEPS_SHOWN).map(|step| plan.show(&known, step, now)).collect();
        report
    }

    /// Passes of one pool never overlap.
    pub(crate) fn pass_lock(&self, config: &Config, target: &Target) -> Arc<std::sync::Mutex<()>> {
        let account = config.connections.get(&target.connection).map_or("", |c| c.account());
        let pool = match target.action.delivery {
            Delivery::Hosted => format!("target {}", target.doc.name),
            _ => format!("account {account}"),
        };
        unpoison(self.passes.lock()).entry(pool).or_default().clone()
    }

    /// Whether no call that changes anything may begin at a target: everything is frozen, somebody undoes a run that is
    /// under way, or the store was restored from a backup and nobody has yet said that what it remembers of this target
    /// may be acted on.
    pub(crate) fn is_stopped(&self, target: TargetId) -> Result<bool, EngineError> {
        Ok(!self.may_call(target)? || self.must_reconcile(target)?)
    }

    /// Whether the outcome of some line is not known yet.
    fn awaits(&self, target: TargetId) -> bool {
        let open = [LineState::Pending, LineState::Unknown, LineState::Retracting];
        let known = self.known();
        let Some(ledger) = known.ledgers.get(&target) else { return false };
        ledger.unsettled().any(|id| ledger.get(id).is_some_and(|entry| open.contains(&entry.line.state)))
    }

    /// Computes a pass without doing anything.
    pub(crate) fn plan(
        &self,
        config: &Config,
        target: &Target,
        state: &TargetState,
        mode: Mode,
        now: Timestamp,
    ) -> Result<Plan, EngineError> {
        self.plan_under(config, target, state, mode, now, Under::WhatStands)
    }

    /// The same under other suppositions.
    pub(crate) fn plan_under(
        &self,
        config: &Config,
        target: &Target,
        state: &TargetState,
        mode: Mode,
        now: Timestamp,
        under: Under,
    ) -> Result<Plan, EngineError> {
        let brakes = self.brakes(config, target, state, now)?;
        let known = self.known();
        let (pins, is_rendered) = match under {
            Under::WhatStands => (known.pins.get(&target.id).cloned(), true),
            Under::Pins(pins) => (Some(pins), true),
            // Where bytes limit, only what is rendered is known to fit.
            Under::NoChange => (known.pins.get(&target.id).cloned(), brakes.bytes.is_some()),
        };
        let mut collected = collect_unpinned(&known, config, target, &self.key_cache, now);
        collected.pin(&known, target, pins.as_deref(), now);
        let view = view_of(target);
        let empty = crate::ledger::Ledger::default();
        let ledger = known.ledgers.get(&target.id).unwrap_or(&empty);
        let mut entries = Entries::of(&known, target, ledger, &collected, now, self.exchange_id());
        entries.pins.clone_from(&pins);
        let revision = known.index.max_revision();
        let basis = basis_of(target, &entries) ^ pins.as_ref().map_or(0, |pins| pins.stamp());
        let brakes = Brakes { approved: self.approved(target, brakes.halted, now)?, ..brakes };

        // What must be asked about: everything that is not simply present and wanted, and of that what has changed
        // since it was last compared. With a limit that binds, everything that is ranked.
        let mut wanted = collected.yes.clone();
        wanted.and_not(&collected.guarded);
        let mut live = ledger.live().clone();
        let binding =
            brakes.capacity.is_some_and(|room| wanted.count() + live.count() > room) || brakes.bytes.is_some();
        let mut ask = if binding || basis != state.shape || entries.merged() {
            wanted.clone()
        } else {
            let mut ask = wanted.clone();
            ask.and_not(ledger.present());
            for (_, id) in known.index.changed_since(state.compared) {
                if wanted.contains(id) {
                    ask.insert(id);
                }
            }
            for id in ledger.dated() {
                ask.insert(id);
            }
            ask
        };
        let mut gone = live.clone();
        gone.and_not(&wanted);
        ask.or(&gone);
        for id in ledger.unsettled() {
            ask.insert(id);
        }
        for id in pins.iter().flat_map(|pins| pins.ids()).filter(|id| known.index.exists(*id)) {
            ask.insert(id);
        }
        let asked_all = live.count();
        live.and(&ask);
        let left = (asked_all - live.count()) as u64;

        let candidates = entries.representatives(&ask).map(|id| {
            let wanted = entries.wanted(&known, &collected, target, id, now);
            let line = ledger.get(id).map(|entry| {
                let mut line = entry.line;
                // What was taken and is not in force yet needs no second sending: it is as if it were done.
                if look::is_staged(&entry) {
                    line.state = if line.state == LineState::Pending { LineState::Present } else { LineState::Gone };
                }
                line
            });
            let (fingerprint, bytes, desired_expiry) = match &wanted {
                // A change that was refused is not offered again before its time.
                Wanted::Yes(_) if line.is_some_and(|l| l.state == LineState::Present && l.next_try > Some(now)) => {
                    let (_, bytes, desired) = entries.rendered(&known, id, now);
                    (line.map_or(0, |l| l.fingerprint), bytes, desired)
                }
                Wanted::Yes(_) if is_rendered => entries.rendered(&known, id, now),
                Wanted::Yes(_) => (line.map_or(0, |l| l.fingerprint), 0, line.and_then(|l| l.remote_expires)),
                _ => (0, entries.text(&known, id).len() as u32 + 1, None),
            };
            Candidate { entry: id.0, wanted, line, fingerprint, desired_expiry, guarded: None, bytes }
        });
        let mut restrained = restrain(candidates, &view, &brakes, now);
        let is_approved = mode.approve && !restrained.held.is_empty();
        if mode.approve {
            approve_all(&mut restrained);
        }
        let skipped = skipped_by(&collected, &entries, ledger, &restrained);
        let budget = BudgetUse::of(&brakes);
        let approved = brakes.approved;
        Ok(Plan { restrained, entries, left, skipped, revision, shape: basis, is_approved, approved, wanted, budget })
    }

    pub(super) fn brakes(
        &self,
        config: &Config,
        target: &Target,
        state: &TargetState,
        now: Timestamp,
    ) -> Result<Brakes, EngineError> {
        let known = self.known();
        let ledger = known.ledgers.get(&target.id);
        let used = self.store.effects_since(target.id, now.before(DAY))?;
        let limit = capacity_of(target, state, now);
        let capacity = limit.map(|limit| {
            let foreign = ledger.map_or(0, |l| l.count(LineState::Foreign) + l.count(LineState::Released));
            let foreign = foreign.max(state.foreign.unwrap_or(0) as usize);
            let others = self.others_in_pool(&known, config, target);
            room(usize::try_from(limit).unwrap_or(usize::MAX), foreign, others)
        });
        Ok(Brakes {
            budget: Budget {
                used_adds_24h: used.adds as usize,
                used_removals_24h: used.removals as usize,
                ..target.budget
            },
            present: ledger.map_or(0, |l| l.present().count()),
            capacity,
            bytes: target.int_param("max_bytes").or(target.action.max_bytes),
            allow_empty: target.bool_param("allow_empty"),
            first_fill: if target.first_fill_approve { FirstFill::Approve } else { FirstFill::Allow },
            filled: state.filled,
            fill_approved: state.fill_approved,
            frozen: self.stands_still(target.id)?,
            halted: self.awaits_decision(target.id)?,
            replace_style: target.action.delivery == Delivery::Replace,
            approved: None,
        })
    }

    /// Lines of other targets that share this target's capacity.
    fn others_in_pool(&self, known: &Known, config: &Config, target: &Target) -> usize {
        let account = |t: &Target| config.connections.get(&t.connection).map(|c| c.account().to_owned());
        let shares = |other: &Target| match target.action.pool {
            Pool::List => false,
            Pool::Connection => other.connection == target.connection,
            Pool::Tenant => account(other) == account(target),
        };
        config
            .targets
            .values()
            .filter(|other| other.id != target.id && shares(other))
            .filter_map(|other| known.ledgers.get(&other.id))
            .map(|ledger| {
                let states = [LineState::Present, LineState::Pending, LineState::Unknown, LineState::Retracting];
                states.iter().map(|state| ledger.count(*state)).sum::<usize>()
            })
            .sum()
    }
}

/// The most entries a target holds: what its owner set, what the manifest says, what the destination says or was found
/// to hold, whichever is least.
pub(crate) fn capacity_of(target: &Target, state: &TargetState, now: Timestamp) -> Option<u64> {
    let stands = |learned: &crate::state::LearnedCapacity| {
        learned.is_said || Timestamp::from_micros(learned.at).after(intel::limits::LEARNED_CAPACITY_STANDS) > now
    };
    let learned = state.learned.filter(stands).map(|learned| learned.limit);
    [target.int_param("capacity"), target.action.capacity, learned].into_iter().flatten().min()
}

/// What lines were compared under: while it stays, only what changed need be compared again. A muted rule leaves lines
/// as they are, so an edit of the sharings or their rules compares everything once.
fn basis_of(target: &Target, entries: &Entries) -> u64 {
    use std::fmt::Write as _;
    let mut text = String::new();
    for sharing in &target.sharings {
        let rule = &sharing.rule;
        // Writing to a text cannot fail.
        let _ = write!(text, "{:?}\u{0}{}\u{0}{}\u{0}", sharing.doc, rule.when, rule.muted);
    }
    xxhash_rust::xxh3::xxh3_64_with_seed(text.as_bytes(), entries.shape).max(1)
}

/// What `decide` needs of a target.
pub(crate) fn view_of(target: &Target) -> TargetView {
    TargetView {
        can_retract: target.action.can_retract,
        can_look: target.action.can_ask(),
        retract: target.retract,
        expiry_supported: target.action.holds_expiry,
    }
}

/// The person who asked for this pass approves what it holds: exactly these steps, now. A freeze stays a freeze.
fn approve_all(restrained: &mut Restrained) {
    if restrained.holds.iter().any(|hold| matches!(hold.as_str(), "frozen" | "halted")) {
        return;
    }
    restrained.now.extend(restrained.held.drain(..).map(|step| Planned { why_held: None, ..step }));
    restrained.holds.clear();
    // At the limit, room is made before it is used.
    restrained.now.sort_by_key(|step| match step.step {
        Verb::Settle => 0,
        Verb::Drop => 1,
        Verb::Retract => 2,
        Verb::Update => 3,
        Verb::Push => 4,
    });
    // Each class the most urgent first, as `restrain` gave them.
    for class in restrained.now.chunk_by_mut(|a, b| a.step == b.step) {
        class.sort_unstable_by_key(|step| step.order);
    }
}

/// Everything a rule of this target selects that does not go, by reason.
fn skipped_by(
    collected: &Collected,
    entries: &Entries,
    ledger: &crate::ledger::Ledger,
    restrained: &Restrained,
) -> BTreeMap<&'static str, u64> {
    // Candidates are told by `restrain`; the rest of what was selected is told by the sets, first reason first.
    let (sets, going) = preview::skipped_sets(collected, ledger);
    let mut by: BTreeMap<&'static str, u64> = sets.iter().map(|(name, set)| (*name, set.count() as u64)).collect();
    for (entry, why) in &restrained.skipped {
        let counted =
            !ledger.live().contains(IndicatorId(*entry)) && !going.contains(IndicatorId(*entry)) && !entries.merged();
        if !counted {
            *by.entry(why.as_str()).or_default() += 1;
        }
    }
    by
}

/// The rank of an indicator among those that want a place.
pub(crate) fn rank_of(known: &Known, id: IndicatorId) -> Rank {
    let (reputation, severity, n_sources, freshness) = known.index.rank_fields(id);
    Rank { reputation, severity, n_sources, freshness, tie: u64::from(id.0) }
}

/// The `Wanted` of one indicator, by the sets of a pass.
pub(crate) fn wanted_of(
    known: &Known,
    collected: &Collected,
    target: &Target,
    id: IndicatorId,
    now: Timestamp,
) -> Wanted {
    if collected.yes.contains(id) && !collected.guarded.contains(id) {
        Wanted::Yes(rank_of(known, id))
    } else if collected.held.contains(id) && !collected.guarded.contains(id) {
        Wanted::Held(collected.muted_name(known, target, id))
    } else {
        match collected.why_not(known, target, id, now) {
            Why::Muted(_) => Wanted::No(Why::NotSelected),
            why => Wanted::No(why),
        }
    }
}
