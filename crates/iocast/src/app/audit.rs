//! What the doors themselves write to the audit log, and what signs it.

use super::App;
use crate::api::Problem;
use crate::audit::Auditor;
use crate::audit::sink::SinkAt;
use crate::seal::Keys;
use std::sync::Arc;

impl App {
    /// Writes an entry, also before everything is loaded.
    pub(crate) fn audit(&self, who: &str, action: &str, object: &str, detail: &str) -> Result<(), Problem> {
        self.store.audit(who, action, object, detail, self.world.now())?;
        Ok(())
    }

    /// The keys that seal; None where nothing is sealed.
    pub(crate) fn keys(&self) -> Option<&Keys> {
        self.keys.as_deref()
    }

    /// Signs the log and hands it on, until it is stopped.
    pub(crate) fn start_auditor(self: &Arc<App>, places: &[SinkAt]) -> std::io::Result<Auditor> {
        let world = self.world.clone();
        Auditor::start(self.store.clone(), self.keys.clone(), places, move || world.now())
    }
}
