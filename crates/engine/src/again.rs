//! Reading a source again: a person sets back how far it was read.

use crate::error::EngineError;
use crate::state::ConnectionState;
use crate::{Engine, unpoison};
use intel::Timestamp;
use std::sync::TryLockError;

impl Engine {
    /// Lets the next run of a source begin anew: a source asked by time reads from `from` on, or from as far back as its
    /// first run did; one that is read whole is read even if it says that nothing changed. What is known already is
    /// unchanged then and costs nothing but the reading.
    ///
    /// # Errors
    /// No such connection; [`EngineError::Invalid`] for one that is not pulled, and for a time that lies ahead;
    /// [`EngineError::Conflict`] while it is being read; a failing store.
    pub fn read_again(&self, name: &str, from: Option<Timestamp>, who: &str) -> Result<(), EngineError> {
        let config = self.config();
        let connection = config.connection(name).ok_or_else(|| self.no_connection(name))?;
        if connection.open.source().is_none() {
            return Err(EngineError::Invalid(format!("{name} is not pulled: there is nothing to read again")));
        }
        let now = self.world.now();
        if let Some(from) = from.filter(|from| *from > now) {
            return Err(EngineError::Invalid(format!("{from} lies ahead: say a time that is past")));
        }
        let one_pull = self.pull_lock(connection.id);
        let _one_pull = match one_pull.try_lock() {
            Ok(lock) => lock,
            Err(TryLockError::Poisoned(lock)) => unpoison(Err(lock)),
            Err(TryLockError::WouldBlock) => {
                return Err(EngineError::Conflict(format!("{name} is being read: wait until its run has ended")));
            }
        };
        let mut state = ConnectionState::parse(self.store.connection_state(connection.id)?.as_deref());
        state.cursor = None;
        state.again_from = from.map(Timestamp::micros);
        state.not_before = None;
        let detail = serde_json::json!({ "from": from.map(|from| from.to_string()) }).to_string();
        self.store.audit(who, "source.again", name, &detail, now)?;
        self.store.set_connection_state(connection.id, &state.to_text())?;
        Ok(())
    }
}
