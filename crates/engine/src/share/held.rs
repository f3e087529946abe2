//! Plans that wait for a person: stored with exactly their steps, named by a hash, decided again when applied.

use super::{Plan, PlannedStep};
use crate::config::Target;
use crate::error::EngineError;
use crate::share::entries::Entries;
use crate::state::TargetState;
use crate::{Engine, Known};
use intel::plan::{ApprovedSet, plan_hash};
use intel::sharing::Verb;
use intel::{IndicatorId, RunId, TargetId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{Decision, PlanFilter, PlanId, PlanRow, PlanStatus};

/// A step as stored: indicator, verb, fingerprint, why it waits, why it is not wanted.
#[derive(Serialize, Deserialize)]
struct Kept(u32, String, u64, Option<String>, #[serde(default)] Option<String>);

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
    /// The steps, where they were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<PlannedStep>,
}

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
        let frozen = plan.restrained.holds.iter().any(|hold| hold.as_str() == "frozen");
        for approved in self.approved_plans(target.id)? {
            let until = ApprovedSet::given(approved.decided.unwrap_or(approved.created), []).until;
            // A pass that did what was allowed uses the approval up: what was not valid then does not come back later.
            if now >= until || (whole && !frozen) {
                self.store.finish_plan(approved.id)?;
            }
        }
        if frozen {
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
            .plans(PlanFilter { target: Some(target.id), status: Some(PlanStatus::Rejected) })?
            .into_iter()
            .find(|plan| plan.hash == hash);
        if let Some(rejected) = rejected {
            // A person said no to exactly this; asking again would be nagging.
            return Ok(Some(rejected.id.0));
        }
        let steps: Vec<Kept> = plan
            .restrained
            .held
            .iter()
            .map(|s| {
                let why = s.why_held.as_ref().map(ToString::to_string);
                let reason = s.reason.as_ref().map(ToString::to_string);
                Kept(s.entry, s.step.as_str().to_owned(), s.fingerprint, why, reason)
            })
            .collect();
        drop(known);
        let steps = serde_json::to_string(&steps).unwrap_or_default();
        Ok(Some(self.store.put_plan(target.id, &hash, &steps, now, run)?.0))
    }

    fn approved_plans(&self, target: TargetId) -> Result<Vec<PlanRow>, EngineError> {
        Ok(self.store.plans(PlanFilter { target: Some(target), status: Some(PlanStatus::Approved) })?)
    }

    /// The steps a person allowed for a target, if any.
    pub(super) fn approved(
        &self,
        target: &Target,
        _entries: &Entries,
        _known: &Known,
        now: Timestamp,
    ) -> Result<Option<ApprovedSet>, EngineError> {
        let plans = self.approved_plans(target.id)?;
        let Some(plan) = plans.first() else { return Ok(None) };
        let given = plan.decided.unwrap_or(plan.created);
        let steps = read_steps(plan).into_iter().filter_map(|s| Some((s.0, Verb::parse(&s.1)?, s.2)));
        let set = ApprovedSet::given(given, steps);
        Ok((now < set.until).then_some(set))
    }

    /// Held plans, the latest first. `status`: only those.
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
        let plans = self.store.plans(PlanFilter { target: None, status })?;
        Ok(plans.iter().map(|plan| self.show_plan(plan, false)).collect())
    }

    /// One held plan with its steps.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], or a failing store.
    pub fn held_plan(&self, id: u64) -> Result<HeldPlan, EngineError> {
        Ok(self.show_plan(&self.plan_row(id)?, true))
    }

    fn plan_row(&self, id: u64) -> Result<PlanRow, EngineError> {
        let missing =
            || EngineError::NotFound(format!("there is no plan {id}; `iocast plan list` shows those there are"));
        self.store.plan(PlanId(id))?.ok_or_else(missing)
    }

    fn show_plan(&self, plan: &PlanRow, with_steps: bool) -> HeldPlan {
        let config = self.config();
        let known = self.known();
        let kept = read_steps(plan);
        let count = |verb: &str| kept.iter().filter(|s| s.1 == verb).count() as u64;
        let steps = kept.iter().filter(|_| with_steps).map(|s| {
            let (kind, value) = known.index.key_ref(IndicatorId(s.0));
            PlannedStep {
                verb: Verb::parse(&s.1).map_or("", Verb::as_str),
                kind: kind.as_str(),
                entry: value.to_owned(),
                reason: s.4.clone(),
                waits: s.3.clone(),
            }
        });
        HeldPlan {
            id: plan.id.0,
            target: config
                .targets
                .get(&plan.target)
                .map_or_else(|| format!("#{}", plan.target), |t| t.doc.name.clone()),
            hash: plan.hash.clone(),
            status: plan.status.as_str().to_owned(),
            created: plan.created.to_string(),
            push: count("push"),
            update: count("update"),
            retract: count("retract"),
            who: plan.who.clone(),
            note: plan.note.clone(),
            steps: steps.collect(),
        }
    }

    /// Allows exactly the steps of a held plan for 24 hours. The next pass decides each again; nothing is added.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], or a plan that does not wait.
    pub fn approve_plan(&self, id: u64, who: &str, note: Option<&str>) -> Result<HeldPlan, EngineError> {
        let plan = self.plan_row(id)?;
        let now = self.world.now();
        self.store.decide_plan(PlanId(id), Decision::Approve, who, note, now)?;
        // The one approval of a first fill: what else it wants until it is filled needs no second one.
        let mut state = TargetState::parse(self.store.target_state(plan.target)?.as_deref());
        if !state.filled && !state.fill_approved && read_steps(&plan).iter().any(|s| s.1 == "push") {
            state.fill_approved = true;
            self.store.set_target_state(plan.target, &state.to_text())?;
        }
        self.held_plan(id)
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

fn read_steps(plan: &PlanRow) -> Vec<Kept> {
    serde_json::from_str(&plan.steps).unwrap_or_default()
}
