//! What sources said at a time, told from the records that were kept when runs changed them.

use crate::Engine;
use crate::error::EngineError;
use crate::unpoison;
use intel::{Indicator, IndicatorId, Timestamp};
use std::sync::Arc;
use store::Moment;

impl Engine {
    /// An indicator with every connection's record as it was at a time. None: nobody had said anything of it then. What
    /// analysts say is as it is now: of their words no past is kept. A run that was under way at that time counts as
    /// one after it.
    ///
    /// # Errors
    /// A store that fails, or [`store::StoreError::Conflict`] where history does not reach so far (`history_days`).
    pub fn indicator_as_of(&self, id: IndicatorId, at: Timestamp) -> Result<Option<Indicator>, EngineError> {
        let moment = self.moment(at)?;
        let Some(mut indicator) = self.store.indicator(id)? else { return Ok(None) };
        let records = std::mem::take(&mut indicator.records);
        indicator.records = self.store.records_then(records, id, &moment)?.into_iter().collect();
        Ok((!indicator.records.is_empty() || !indicator.analyst.is_empty()).then_some(indicator))
    }

    /// The moment of a time, remembered: whoever asks of one indicator asks of many.
    pub(crate) fn moment(&self, at: Timestamp) -> Result<Arc<Moment>, EngineError> {
        if let Some(moment) = unpoison(self.moment.lock()).as_ref().filter(|moment| moment.at == at) {
            return Ok(moment.clone());
        }
        let moment = Arc::new(self.store.moment(at)?);
        // Which runs are under way now may not be known yet; of what is past it does not change.
        if at < self.world.now() {
            *unpoison(self.moment.lock()) = Some(moment.clone());
        }
        Ok(moment)
    }
}
