//! What has no place at a target that is full, and why.

use super::Mode;
use crate::Engine;
use crate::error::EngineError;
use crate::state::TargetState;
use intel::IndicatorId;
use intel::sharing::Why;
use schemars::JsonSchema;
use serde::Serialize;

/// An indicator that is wanted at a target and has no place there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Cut {
    /// Its position by rank, from 1; None: it will have a place once a removal is accepted.
    pub rank: Option<u32>,
    /// How many ranked entries there is room for.
    pub limit: Option<u32>,
    /// What kind of indicator.
    pub kind: &'static str,
    /// The canonical value.
    pub value: String,
    /// 1 to 10.
    pub reputation: u8,
    /// How much harm.
    pub severity: &'static str,
    /// How many sources stand by it.
    pub sources: u32,
    /// Why, as a sentence.
    pub reason: String,
}

impl Engine {
    /// What is wanted at a target and cut by its limit, best rank first.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], or a failing store.
    pub fn cut(&self, name: &str) -> Result<Vec<Cut>, EngineError> {
        self.advance()?;
        let config = self.config();
        let target = config.target(name).ok_or_else(|| self.no_target(name))?;
        let now = self.world.now();
        let state = TargetState::parse(self.store.target_state(target.id)?.as_deref());
        let plan = self.plan(&config, target, &state, Mode::default(), now)?;
        let known = self.known();
        let displaced = plan.restrained.now.iter().chain(&plan.restrained.held);
        let displaced = displaced.filter_map(|step| Some((step.entry, step.reason.clone()?)));
        let mut cut: Vec<Cut> = plan
            .restrained
            .skipped
            .iter()
            .cloned()
            .chain(displaced)
            .filter_map(|(entry, why)| {
                let (rank, limit) = match &why {
                    Why::OverCapacity { position, limit } => (Some(*position), Some(*limit)),
                    Why::NoRoomYet => (None, None),
                    _ => return None,
                };
                let id = IndicatorId(entry);
                let (kind, value) = known.index.key_ref(id);
                let (reputation, severity, sources, _) = known.index.rank_fields(id);
                Some(Cut {
                    rank,
                    limit,
                    kind: kind.as_str(),
                    value: value.to_owned(),
                    reputation: reputation.get(),
                    severity: severity.as_str(),
                    sources,
                    reason: why.to_string(),
                })
            })
            .collect();
        cut.sort_by(|a, b| a.rank.cmp(&b.rank).then_with(|| a.value.cmp(&b.value)));
        Ok(cut)
    }
}
