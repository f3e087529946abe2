//! The last look before anything leaves: the guard that is in force now, not the one the plan was made with.
//!
//! It judges for itself. The plan asked the guard about keys; this asks about every key an entry stands for and about the
//! very text that would be sent, so that neither a list that was added meanwhile nor a mistake in planning or rendering
//! lets a guarded value out. What it stops is left for the next pass, which says why.

use super::Plan;
use crate::Engine;
use crate::config::Target;
use intel::plan::Planned;
use intel::sharing::Verb;
use intel::{IndicatorId, IndicatorKey};

impl Engine {
    /// The steps that may still go, and how many may not. What takes something back always goes.
    pub(super) fn let_through<'p>(
        &self,
        target: &Target,
        plan: &Plan,
        steps: Vec<&'p Planned>,
    ) -> (Vec<&'p Planned>, u64) {
        let now = self.world.now();
        let known = self.known();
        let before = steps.len();
        let stops = |key: &IndicatorKey| known.guard.check(key, target.id, now).is_some_and(|hit| hit.stop);
        let may_go = |step: &&Planned| {
            if step.step == Verb::Retract {
                return true;
            }
            let id = IndicatorId(step.entry);
            if plan.entries.keys(id).any(|member| stops(&known.index.key(member))) {
                return false;
            }
            // Only where the text is not the key itself, or is read as another: the exception names the key.
            let key = known.index.key(id);
            match IndicatorKey::parse(None, plan.entries.text(&known, id)) {
                Ok(sent) if sent != key => !stops(&sent),
                _ => true,
            }
        };
        let steps: Vec<&Planned> = steps.into_iter().filter(may_go).collect();
        let n_stopped = (before - steps.len()) as u64;
        (steps, n_stopped)
    }

    /// What the last look stopped of a pass that is over, in a sentence that names the lists. None: nothing that can
    /// still be seen.
    pub(super) fn stopped_since(&self, target: &Target, plan: &Plan) -> Option<String> {
        let now = self.world.now();
        let known = self.known();
        let present = known.ledgers.get(&target.id).map(|ledger| ledger.present());
        let mut lists = std::collections::BTreeSet::new();
        let mut n_stopped = 0u64;
        for step in plan.restrained.now.iter().filter(|step| step.step.is_effect() && step.step != Verb::Retract) {
            let id = IndicatorId(step.entry);
            // It went before the list came; the next pass takes it back.
            if step.step == Verb::Push && present.as_ref().is_some_and(|present| present.contains(id)) {
                continue;
            }
            let hit = plan
                .entries
                .keys(id)
                .find_map(|member| known.guard.check(&known.index.key(member), target.id, now).filter(|hit| hit.stop));
            if let Some(hit) = hit {
                n_stopped += 1;
                lists.insert(format!("\"{}\"", hit.list));
            }
        }
        let lists: Vec<String> = lists.into_iter().take(5).collect();
        (n_stopped > 0).then(|| {
            format!(
                "the guard stopped {n_stopped} planned {} just before sending, by {}: the next pass leaves them out",
                if n_stopped == 1 { "step" } else { "steps" },
                lists.join(", ")
            )
        })
    }
}
