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
}
