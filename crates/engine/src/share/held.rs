//! Plans that wait for a person: stored with exactly their steps, named by a hash, decided again when applied.

use super::board::Digest;
use super::pins::{Past, load_pins};
use super::undo::pin_changes;
use super::{Plan, PlannedStep};
use crate::config::{FourEyes, Target};
use crate::error::EngineError;
use crate::state::TargetState;
use crate::{Engine, Known};
use index::{NotShared, Scope, Selection};
use intel::expr::Expr;
use intel::plan::{ApprovedSet, Brakes, Planned, Use, plan_hash};
use intel::sharing::Verb;
use intel::{IndicatorId, IndicatorKey, RunId, TargetId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use store::{Approval, Decision, PlanFilter, PlanId, PlanRow, PlanStatus, Rest, RunFilter, Store, StoreError};

/// Says by name who may approve at a moment.
pub(crate) type Approvers = Box<dyn Fn(&Store, Timestamp) -> Result<BTreeSet<String>, StoreError> + Send + Sync>;

/// Who holds an admin's token that is nobody's in particular.
///
/// # Errors
/// A store that cannot be read.
pub fn admins(store: &Store, now: Timestamp) -> Result<BTreeSet<String>, StoreError> {
    let stands = |token: &store::Token| {
        token.scope == "admin"
            && token.owner.is_none()
            && token.revoked.is_none()
            && token.expires.is_none_or(|end| end > now)
    };
    Ok(store.tokens()?.into_iter().filter(stands).map(|token| token.name).collect())
}

/// A step as stored: indicator, verb, fingerprint, why it waits, why it is not wanted, and the entry as the destination
/// stores it where that is not the indicator's value.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Kept(
    pub(super) u32,
    pub(super) String,
    pub(super) u64,
    pub(super) Option<String>,
    #[serde(default)] pub(super) Option<String>,
    #[serde(default)] pub(super) Option<String>,
);

impl Kept {
    /// With what is to be said of it, where nothing is said yet.
    pub(super) fn because(mut self, why: &str) -> Kept {
        self.4.get_or_insert_with(|| why.to_owned());
        self
    }
}

/// A step to store.
pub(super) fn keep(step: &Planned, text: &str) -> Kept {
    let why = step.why_held.as_ref().map(ToString::to_string);
    let reason = step.reason.as_ref().map(ToString::to_string);
    Kept(step.entry, step.step.as_str().to_owned(), step.fingerprint, why, reason, Some(text.to_owned()))
}

/// A pin that an approval sets (`in`, `out`) or lifts (`lift`), as stored.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct PinSpec {
    pub(super) id: u32,
    pub(super) hold: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) runs: Vec<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) past: Option<Past>,
    /// What it carried is no longer known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) lost: bool,
}

/// Which steps of a plan: the name of a verb, a value, or an expression each. A step is meant that one of `only` means,
/// or any where that is empty, and none of `except`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    /// Only these.
    pub only: Vec<String>,
    /// All but these.
    pub except: Vec<String>,
}

impl Part {
    /// Whether it is the whole.
    pub fn is_whole(&self) -> bool {
        self.only.is_empty() && self.except.is_empty()
    }
}

/// How much of one class of change may go, and how much went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct UseShown {
    /// Allowed in one pass.
    pub per_pass: u64,
    /// Allowed in 24 hours.
    pub per_day: u64,
    /// Went in the last 24 hours without being approved.
    pub used_24h: u64,
    /// May still go in a pass now.
    pub left: u64,
}

impl From<Use> for UseShown {
    fn from(of: Use) -> UseShown {
        UseShown {
            per_pass: of.per_pass as u64,
            per_day: of.per_day as u64,
            used_24h: of.used_24h as u64,
            left: of.left() as u64,
        }
    }
}

/// The change budget of a target and how much of it is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BudgetUse {
    /// For entries to add.
    pub adds: UseShown,
    /// For entries to take back.
    pub removals: UseShown,
}

impl BudgetUse {
    pub(super) fn of(brakes: &Brakes) -> BudgetUse {
        BudgetUse {
            adds: brakes.budget.adds_use(brakes.present).into(),
            removals: brakes.budget.removals_use(brakes.present).into(),
        }
    }
}

/// Bytes of a plan's steps that are read first where only some are asked for.
const TOP_BYTES: usize = 256 << 10;

/// Most plans in one list.
const PLANS_SHOWN: usize = 1_000;

/// Steps named in the difference of two plans.
const DIFFERENCE_SHOWN: usize = 1_000;

/// How a plan differs from the one whose place it took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Replaced {
    /// That plan.
    pub plan: u64,
    /// Steps that it did not have.
    pub n_came: u64,
    /// Steps that only it had.
    pub n_went: u64,
    /// The first thousand that came, as `push 192.0.2.1`.
    pub came: Vec<String>,
    /// The first thousand that went.
    pub went: Vec<String>,
    /// Plans whose place that one took, the latest first: a hundred at most.
    #[serde(default)]
    pub earlier: Vec<u64>,
}

/// Plans before the one that was replaced that are remembered.
const EARLIER: usize = 100;

/// Steps of a plan that wait for the same reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WaitsFor {
    /// The reason, as a sentence.
    pub why: String,
    /// How many steps.
    pub steps: u64,
}

/// A held plan as shown.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct HeldPlan {
    /// Its number.
    pub id: u64,
    /// The target.
    pub target: String,
    /// The name of its set of steps.
    pub hash: String,
    /// `waiting`, `approved`, `rejected`, `expired`, `done`.
    pub status: String,
    /// When it was made.
    pub created: String,
    /// Entries to add.
    pub push: u64,
    /// Entries to change.
    pub update: u64,
    /// Entries to take back.
    pub retract: u64,
    /// Who decided.
    pub who: Option<String>,
    /// What they said.
    pub note: Option<String>,
    /// When.
    pub decided: Option<String>,
    /// `pass`: the brakes hold it; `undo`, `return`: a person asked for it.
    pub kind: String,
    /// Whose plan it is: who asked for it, or who last changed what feeds the target.
    pub author: Option<String>,
    /// What is undone or returned to.
    pub about: Option<String>,
    /// Entries that stay as this plan leaves them until somebody lifts that.
    pub pins: u64,
    /// Of these, entries that are returned with what they carry now, because what they carried is no longer kept.
    pub fields_lost: u64,
    /// No call to its target begins while it waits: it stopped a run half-way.
    pub halts: bool,
    /// When it expires or its approval ends.
    pub until: Option<String>,
    /// Why its steps wait, the reason of most first.
    pub waits: Vec<WaitsFor>,
    /// How much of the change budget of its target is spent now, while it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetUse>,
    /// How it differs from the plan whose place it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced: Option<Replaced>,
    /// The steps, where they were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<PlannedStep>,
    /// With them, the entries that it pins without a step: they stay as they are now. A thousand at most.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pinned: Vec<PinnedEntry>,
}

/// An entry that a plan pins as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PinnedEntry {
    /// What kind of indicator.
    pub kind: &'static str,
    /// Its value.
    pub entry: String,
    /// `in`: it stays there; `out`: it stays out; `lift`: an earlier pin of it is lifted.
    pub hold: String,
}

/// Pins without a step that a plan shows.
const PINNED_SHOWN: usize = 1_000;

impl Engine {
    /// Stores what a pass holds, replacing what waited; or notes that nothing waits any more. `whole`: everything that
    /// might go now has gone.
    pub(super) fn keep_held(
        &self,
        target: &Target,
        plan: &Plan,
        run: RunId,
        now: Timestamp,
        whole: bool,
    ) -> Result<Option<u64>, EngineError> {
        let is_held_by = |code: &str| plan.restrained.holds.iter().any(|hold| hold.as_str() == code);
        let (frozen, halted) = (is_held_by("frozen"), self.awaits_decision(target.id)?);
        for approved in self.approved_plans(target.id)? {
            let until = ApprovedSet::given(approved.decided.unwrap_or(approved.created), []).until;
            // A pass that did what was allowed uses the approval up: what was not valid then does not come back later.
            if now >= until || (whole && !frozen && (!halted || approved.kind != "pass")) {
                self.store.finish_plan(approved.id)?;
            }
        }
        if frozen || halted {
            return Ok(None);
        }
        if plan.restrained.held.is_empty() {
            self.store.drop_waiting_plan(target.id)?;
            return Ok(None);
        }
        let known = self.known();
        let texts = |entry: u32| plan.entries.text(&known, IndicatorId(entry));
        let hash = plan_hash(plan.restrained.held.iter().map(|s| (texts(s.entry), s.step, s.fingerprint))).to_string();
        let rejected = self
            .store
            .plan_heads(PlanFilter { target: Some(target.id), status: Some(PlanStatus::Rejected) })?
            .into_iter()
            .find(|plan| plan.hash == hash);
        if let Some(rejected) = rejected {
            // A person said no to exactly this; asking again would be nagging.
            return Ok(Some(rejected.id.0));
        }
        let steps: Vec<Kept> = plan.restrained.held.iter().map(|step| keep(step, texts(step.entry))).collect();
        drop(known);
        let waiting = self.store.plans(PlanFilter { target: Some(target.id), status: Some(PlanStatus::Waiting) })?;
        let old = waiting.iter().find(|plan| plan.kind == "pass" && plan.hash != hash);
        let replaced = old.map(|old| self.difference(old, &steps));
        let replaced = replaced.and_then(|replaced| serde_json::to_string(&replaced).ok());
        let author = self.who_changed(target)?;
        let steps = serde_json::to_string(&steps).unwrap_or_default();
        let id = self.store.hold_plan(target.id, &hash, &steps, now, run, author.as_deref(), replaced.as_deref())?;
        Ok(Some(id.0))
    }

    /// What steps a plan has that an older one had not, and the other way round.
    fn difference(&self, old: &PlanRow, new: &[Kept]) -> Replaced {
        let of = |steps: &[Kept]| -> BTreeMap<(u32, String, u64), String> {
            steps.iter().map(|step| ((step.0, step.1.clone(), step.2), self.words(step))).collect()
        };
        let (old_steps, new_steps) = (of(&read_steps(old)), of(new));
        let only =
            |a: &BTreeMap<(u32, String, u64), String>, b: &BTreeMap<(u32, String, u64), String>| -> Vec<String> {
                a.iter().filter(|(key, _)| !b.contains_key(key)).map(|(_, words)| words.clone()).collect()
            };
        let (mut came, mut went) = (only(&new_steps, &old_steps), only(&old_steps, &new_steps));
        let (n_came, n_went) = (came.len() as u64, went.len() as u64);
        came.truncate(DIFFERENCE_SHOWN);
        went.truncate(DIFFERENCE_SHOWN);
        let before = read_replaced(old);
        let earlier = before.into_iter().flat_map(|before| std::iter::once(before.plan).chain(before.earlier));
        Replaced { plan: old.id.0, n_came, n_went, came, went, earlier: earlier.take(EARLIER).collect() }
    }

    fn words(&self, step: &Kept) -> String {
        format!("{} {}", step.1, self.entry_of(step))
    }

    fn entry_of(&self, step: &Kept) -> String {
        let known = self.known();
        let id = IndicatorId(step.0);
        match &step.5 {
            Some(text) => text.clone(),
            None if known.index.exists(id) => known.index.key_ref(id).1.to_owned(),
            None => format!("indicator {}", step.0),
        }
    }

    /// Who last changed what feeds a target since its last pass that was done as a whole: whose plan its next one is.
    fn who_changed(&self, target: &Target) -> Result<Option<String>, EngineError> {
        let filter = RunFilter { kind: Some("share"), subject: Some(&target.doc.name), status: Some("success") };
        let since = self.store.runs(filter, 1, None)?.first().map(|run| run.started);
        let mut names: BTreeSet<String> = BTreeSet::from([target.doc.name.clone()]);
        names.extend(self.config().connections.get(&target.connection).map(|connection| connection.doc.name.clone()));
        for sharing in &target.sharings {
            names.extend([sharing.doc.source.clone(), sharing.rule.name.clone()]);
        }
        let of_target = format!(" \u{2192} {}", target.doc.name);
        let feeds = |entry: &store::AuditRow| match entry.action.split('.').next().unwrap_or_default() {
            "rule" | "target" | "connection" => names.contains(&entry.object),
            // By its target: one that was deleted feeds it no more, and that is what it did.
            _ => entry.object.ends_with(&of_target),
        };
        let nouns = ["rule", "target", "connection", "sharing", "guard_exception"];
        Ok(self.store.last_audit(&nouns, since, &feeds)?.map(|entry| entry.who))
    }

    /// Lets somebody else say, by name, who may approve; without, it is who holds an admin's token. The first call counts.
    pub fn approvers(
        &self,
        who: impl Fn(&Store, Timestamp) -> Result<BTreeSet<String>, StoreError> + Send + Sync + 'static,
    ) {
        // A second one is not wanted by anybody.
        let _ = self.approvers.set(Box::new(who));
    }

    /// Whether one person's word is not enough, as `four_eyes` of the policy says.
    ///
    /// # Errors
    /// A failing store.
    pub fn needs_second_person(&self) -> Result<bool, EngineError> {
        let now = self.world.now();
        Ok(match self.config().plans.four_eyes {
            FourEyes::Never => false,
            FourEyes::Always => true,
            FourEyes::Auto => match self.approvers.get() {
                Some(approvers) => approvers(&self.store, now)?.len() >= 2,
                None => admins(&self.store, now)?.len() >= 2,
            },
        })
    }

    /// Whether this person may approve what that one is the author of.
    fn second_person(&self, author: Option<&str>, who: &str) -> Result<(), EngineError> {
        if author != Some(who) {
            return Ok(());
        }
        let needed = self.needs_second_person()?;
        match needed {
            false => Ok(()),
            true => Err(EngineError::Conflict(format!(
                "this plan is {who}'s own: somebody else must approve it, because more than one person may ([policy] \
                 four_eyes says when that is so)"
            ))),
        }
    }

    /// Whether this person may approve the plan that the next pass of a target makes.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Conflict`] where it is theirs and somebody else must, a failing store.
    pub fn may_approve(&self, name: &str, who: &str) -> Result<(), EngineError> {
        let config = self.config();
        let target = config.target(name).ok_or_else(|| self.no_target(name))?;
        self.second_person(self.who_changed(target)?.as_deref(), who)
    }

    /// Ends what has waited too long for a person. Gives how many plans.
    ///
    /// # Errors
    /// A failing store.
    pub fn expire_held(&self) -> Result<u64, EngineError> {
        let now = self.world.now();
        Ok(self.store.expire_waiting(now.before(self.config().plans.held), now)?.len() as u64)
    }

    /// How much may change at each target, and how much did.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], or a failing store.
    pub fn budget_use(&self, name: &str) -> Result<BudgetUse, EngineError> {
        let config = self.config();
        let target = config.target(name).ok_or_else(|| self.no_target(name))?;
        let state = TargetState::parse(self.store.target_state(target.id)?.as_deref());
        Ok(BudgetUse::of(&self.brakes(&config, target, &state, self.world.now())?))
    }

    fn approved_plans(&self, target: TargetId) -> Result<Vec<PlanRow>, EngineError> {
        Ok(self.store.plans(PlanFilter { target: Some(target), status: Some(PlanStatus::Approved) })?)
    }

    /// The steps a person allowed for a target, if any. `halted`: only those by which runs are undone.
    pub(super) fn approved(
        &self,
        target: &Target,
        halted: bool,
        now: Timestamp,
    ) -> Result<Option<ApprovedSet>, EngineError> {
        let plans = self.approved_plans(target.id)?;
        let sets = plans.iter().filter(|plan| !halted || plan.kind != "pass").map(|plan| {
            let steps = read_steps(plan).into_iter().filter_map(|s| Some((s.0, Verb::parse(&s.1)?, s.2)));
            ApprovedSet::given(plan.decided.unwrap_or(plan.created), steps)
        });
        // Several may stand: what the brakes held and what a person undid. Each step until its own approval ends; the
        // set as a whole until the last.
        let stand = sets.filter(|set| now < set.until);
        Ok(stand.reduce(|mut all, set| {
            all.until = all.until.max(set.until);
            all.steps.extend(set.steps);
            all
        }))
    }

    /// Held plans, the latest first, a thousand at most. `status`: only those.
    ///
    /// # Errors
    /// A failing store.
    pub fn plans(&self, status: Option<&str>) -> Result<Vec<HeldPlan>, EngineError> {
        let status = match status {
            None => None,
            Some(text) => Some(PlanStatus::parse(text).ok_or_else(|| {
                EngineError::Invalid(format!("\"{text}\" is none of waiting, approved, rejected, expired, done"))
            })?),
        };
        let heads = self.plan_board()?;
        let mut shown = Vec::new();
        for head in heads.iter().filter(|head| status.is_none_or(|status| head.status == status)).take(PLANS_SHOWN) {
            if let Some(digest) = self.plan_digest(head)? {
                shown.push(self.show_head(head, &digest)?);
            }
        }
        Ok(shown)
    }

    /// One held plan with its steps.
    ///
    /// # Errors
    /// [`EngineError::NotFound`]; [`EngineError::Conflict`] for one whose place another took, which is named; a failing
    /// store.
    pub fn held_plan(&self, id: u64) -> Result<HeldPlan, EngineError> {
        self.show_plan(&self.plan_row(id)?)
    }

    /// The same with no more than so many of its steps, the first; its counts are those of all.
    ///
    /// # Errors
    /// As [`Engine::held_plan`].
    pub fn held_plan_top(&self, id: u64, most: usize) -> Result<HeldPlan, EngineError> {
        let heads = self.plan_board()?;
        // What a person asked for may pin entries without a step: that takes all of them to tell, and they are few.
        let head = heads.iter().find(|head| head.id.0 == id && head.kind == "pass");
        let digest = head.map(|head| self.plan_digest(head)).transpose()?.flatten();
        let (Some(head), Some(digest)) = (head, digest) else {
            let mut plan = self.held_plan(id)?;
            plan.steps.truncate(most);
            return Ok(plan);
        };
        let mut bytes = TOP_BYTES;
        let kept = loop {
            let text = self.store.plan_steps_begin(head.id, bytes)?;
            let kept = first_steps(&text, most);
            if kept.len() >= most || text.len() < bytes {
                break kept;
            }
            bytes = bytes.saturating_mul(4);
        };
        let mut plan = self.show_head(head, &digest)?;
        let known = self.known();
        plan.steps = kept.iter().map(|step| shown_step(&known, step)).collect();
        Ok(plan)
    }

    fn plan_row(&self, id: u64) -> Result<PlanRow, EngineError> {
        if let Some(plan) = self.store.plan(PlanId(id))? {
            return Ok(plan);
        }
        let missing = format!("there is no plan {id}; `iocast plan list` shows those there are");
        // A newer pass computed another set of steps, and only the latest waits.
        let heir = self.store.plan_heads(PlanFilter::default())?.into_iter().find(|plan| {
            plan.id.0 > id
                && read_replaced(plan).is_some_and(|replaced| replaced.plan == id || replaced.earlier.contains(&id))
        });
        Err(match heir {
            None => EngineError::NotFound(missing),
            Some(heir) => EngineError::Conflict(format!(
                "plan {id} is no more: plan {} took its place ({}); `iocast plan show {}` says what came and what went",
                heir.id,
                heir.status.as_str(),
                heir.id
            )),
        })
    }

    fn show_plan(&self, plan: &PlanRow) -> Result<HeldPlan, EngineError> {
        let (kept, pins) = (read_steps(plan), read_pins(plan));
        let digest = {
            let known = self.known();
            Digest::of(plan, |id| known.index.key_ref(IndicatorId(id)).1.to_owned())
        };
        let shown = self.show_head(plan, &digest)?;
        let known = self.known();
        let stepped: BTreeSet<u32> = kept.iter().map(|step| step.0).collect();
        let bare = pins.iter().filter(|pin| !stepped.contains(&pin.id));
        let pinned = bare.filter(|pin| known.index.exists(IndicatorId(pin.id))).take(PINNED_SHOWN).map(|pin| {
            let (kind, value) = known.index.key_ref(IndicatorId(pin.id));
            PinnedEntry { kind: kind.as_str(), entry: value.to_owned(), hold: pin.hold.clone() }
        });
        Ok(HeldPlan {
            steps: kept.iter().map(|step| shown_step(&known, step)).collect(),
            pinned: pinned.collect(),
            ..shown
        })
    }

    /// Everything but the steps.
    fn show_head(&self, plan: &PlanRow, digest: &Digest) -> Result<HeldPlan, EngineError> {
        let config = self.config();
        let budget = match config.targets.get(&plan.target) {
            Some(target) if plan.status == PlanStatus::Waiting => {
                let state = TargetState::parse(self.store.target_state(target.id)?.as_deref());
                Some(BudgetUse::of(&self.brakes(&config, target, &state, self.world.now())?))
            }
            _ => None,
        };
        let until = match plan.status {
            PlanStatus::Waiting => Some(plan.created.after(config.plans.held)),
            PlanStatus::Approved => Some(ApprovedSet::given(plan.decided.unwrap_or(plan.created), []).until),
            _ => None,
        };
        Ok(HeldPlan {
            id: plan.id.0,
            target: config
                .targets
                .get(&plan.target)
                .map_or_else(|| format!("#{}", plan.target), |t| t.doc.name.clone()),
            hash: plan.hash.clone(),
            status: plan.status.as_str().to_owned(),
            created: plan.created.to_string(),
            push: digest.push,
            update: digest.update,
            retract: digest.retract,
            who: plan.who.clone(),
            note: plan.note.clone(),
            decided: plan.decided.map(|at| at.to_string()),
            kind: plan.kind.clone(),
            author: plan.author.clone(),
            about: plan.about.clone(),
            pins: digest.pins,
            fields_lost: digest.fields_lost,
            halts: plan.halts && plan.status == PlanStatus::Waiting,
            until: until.map(|until| until.to_string()),
            waits: digest.waits.clone(),
            budget,
            replaced: read_replaced(plan),
            steps: Vec::new(),
            pinned: Vec::new(),
        })
    }

    /// Allows exactly the steps of a held plan for 24 hours. The next pass decides each again; nothing is added.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], or a plan that does not wait.
    pub fn approve_plan(&self, id: u64, who: &str, note: Option<&str>) -> Result<HeldPlan, EngineError> {
        self.approve_part(id, &Part::default(), None, who, note)
    }

    /// The same for a part of the plan: the rest goes on waiting under a number of its own. `hash`: of the plan that was
    /// looked at; another one is not approved.
    ///
    /// # Errors
    /// [`EngineError::NotFound`]; [`EngineError::Invalid`] for a part that means no step; [`EngineError::Conflict`] where
    /// it is the approver's own and somebody else must approve it; [`store::StoreError::Conflict`] for a plan that does
    /// not wait, or is another one by now.
    pub fn approve_part(
        &self,
        id: u64,
        part: &Part,
        hash: Option<&str>,
        who: &str,
        note: Option<&str>,
    ) -> Result<HeldPlan, EngineError> {
        let plan = self.plan_row(id)?;
        self.second_person(plan.author.as_deref(), who)?;
        let now = self.world.now();
        let (steps, pins) = (read_steps(&plan), read_pins(&plan));
        let (meant, left) = self.split(part, &steps, now)?;
        if meant.is_empty() && !steps.is_empty() {
            return Err(EngineError::Invalid(format!(
                "no step of plan {id} is meant by that: `iocast plan show {id}` lists them"
            )));
        }
        // A pin without a step goes with the last part.
        let waits: BTreeSet<u32> = left.iter().map(|step| step.0).collect();
        let goes: BTreeSet<u32> = meant.iter().map(|step| step.0).collect();
        let (pins_now, pins_later): (Vec<PinSpec>, Vec<PinSpec>) =
            pins.into_iter().partition(|pin| goes.contains(&pin.id) || (left.is_empty() && !waits.contains(&pin.id)));
        let json = |steps: &[Kept], pins: &[PinSpec]| {
            let pins = plan.pins.as_ref().map(|_| serde_json::to_string(pins).unwrap_or_default());
            (self.hash_of(steps), serde_json::to_string(steps).unwrap_or_default(), pins)
        };
        let (a, b) = (json(&meant, &pins_now), json(&left, &pins_later));
        let changes = pin_changes(&pins_now, id, who, now);
        self.store.approve(&Approval {
            id: PlanId(id),
            hash: hash.unwrap_or(&plan.hash),
            who,
            note,
            now,
            pins: &changes,
            part: (!left.is_empty()).then_some((
                Rest { hash: &a.0, steps: &a.1, pins: a.2.as_deref() },
                Rest { hash: &b.0, steps: &b.1, pins: b.2.as_deref() },
            )),
        })?;
        if !changes.is_empty() {
            self.known_mut().pins = load_pins(&self.store)?;
        }
        // The one approval of a first fill: what else it wants until it is filled needs no second one. A part is none.
        let mut state = TargetState::parse(self.store.target_state(plan.target)?.as_deref());
        let fills = plan.kind == "pass" && left.is_empty() && meant.iter().any(|s| s.1 == "push");
        if !state.filled && !state.fill_approved && fills {
            state.fill_approved = true;
            self.store.set_target_state(plan.target, &state.to_text())?;
        }
        self.held_plan(id)
    }

    fn hash_of(&self, steps: &[Kept]) -> String {
        let named: Vec<(String, Verb, u64)> =
            steps.iter().filter_map(|step| Some((self.entry_of(step), Verb::parse(&step.1)?, step.2))).collect();
        plan_hash(named.iter().map(|(text, verb, fingerprint)| (text.as_str(), *verb, *fingerprint))).to_string()
    }

    /// The steps a part means, and the rest.
    fn split(&self, part: &Part, steps: &[Kept], now: Timestamp) -> Result<(Vec<Kept>, Vec<Kept>), EngineError> {
        if part.is_whole() {
            return Ok((steps.to_vec(), Vec::new()));
        }
        let known = self.known();
        let only: Vec<Means> = part.only.iter().map(|text| means(&known, text, now)).collect::<Result<_, _>>()?;
        let except: Vec<Means> = part.except.iter().map(|text| means(&known, text, now)).collect::<Result<_, _>>()?;
        let any = |of: &[Means], step: &Kept| of.iter().any(|means| means.is(step));
        let chosen = |step: &Kept| (only.is_empty() || any(&only, step)) && !any(&except, step);
        Ok(steps.iter().cloned().partition(chosen))
    }

    /// Says no to a held plan. Nothing is sent; the same plan is not asked for again.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], or a plan that does not wait.
    pub fn reject_plan(&self, id: u64, who: &str, note: Option<&str>) -> Result<HeldPlan, EngineError> {
        self.plan_row(id)?;
        self.store.decide_plan(PlanId(id), Decision::Reject, who, note, self.world.now())?;
        self.held_plan(id)
    }
}

/// What one word of a part means.
enum Means {
    Verb(Verb),
    Ids(Selection),
}

impl Means {
    fn is(&self, step: &Kept) -> bool {
        match self {
            Means::Verb(verb) => step.1 == verb.as_str(),
            Means::Ids(ids) => ids.contains(IndicatorId(step.0)),
        }
    }
}

fn means(known: &Known, text: &str, now: Timestamp) -> Result<Means, EngineError> {
    if let Some(verb) = Verb::parse(text) {
        return Ok(Means::Verb(verb));
    }
    if let Ok(key) = IndicatorKey::parse(None, text) {
        let mut ids = Selection::default();
        if let Some(id) = known.index.id(&key) {
            ids.insert(id);
        }
        return Ok(Means::Ids(ids));
    }
    let expr = Expr::parse(text).map_err(|error| {
        EngineError::Invalid(format!(
            "\"{text}\" is neither push, update or retract, nor a value, nor an expression: {error}"
        ))
    })?;
    Ok(Means::Ids(known.index.select(&expr, Scope::All, now, &NotShared)))
}

pub(super) fn read_pins(plan: &PlanRow) -> Vec<PinSpec> {
    plan.pins.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

fn read_replaced(plan: &PlanRow) -> Option<Replaced> {
    plan.replaced.as_deref().and_then(|text| serde_json::from_str(text).ok())
}

/// A step in the words of people.
fn shown_step(known: &Known, step: &Kept) -> PlannedStep {
    let id = IndicatorId(step.0);
    let (kind, value) = if known.index.exists(id) { known.index.key_ref(id) } else { (intel::IndicatorKind::Url, "") };
    PlannedStep {
        verb: Verb::parse(&step.1).map_or("", Verb::as_str),
        kind: kind.as_str(),
        entry: step.5.clone().unwrap_or_else(|| value.to_owned()),
        reason: step.4.clone(),
        waits: step.3.clone(),
        sources: Vec::new(),
    }
}

/// The first steps of a text that may be cut anywhere.
pub(super) fn first_steps(text: &[u8], most: usize) -> Vec<Kept> {
    struct First<'a>(&'a mut Vec<Kept>, usize);
    impl<'de> serde::de::Visitor<'de> for First<'_> {
        type Value = ();

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("steps")
        }

        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
            while self.0.len() < self.1
                && let Some(step) = seq.next_element()?
            {
                self.0.push(step);
            }
            Ok(())
        }
    }
    let mut steps = Vec::new();
    // It ends where enough was read or where the text is cut, which are both no end of a list.
    let _ =
        serde::Deserializer::deserialize_seq(&mut serde_json::Deserializer::from_slice(text), First(&mut steps, most));
    steps
}

pub(super) fn read_steps(plan: &PlanRow) -> Vec<Kept> {
    serde_json::from_str(&plan.steps).unwrap_or_default()
}
