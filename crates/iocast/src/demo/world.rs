//! The demo's world: the clock it is given, the files of its own folder, and no network at all.

use engine::World;
use engine::config::Connection;
use intel::Timestamp;
use kit::ConnectorError;
use kit::files::Files;
use kit::http::{Exchanges, Http};
use std::path::PathBuf;
use std::sync::Arc;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// See the module.
pub(super) struct DemoWorld {
    clock: Clock,
    files: Files,
}

impl DemoWorld {
    /// With files below this folder only.
    pub(super) fn new(clock: Clock, folder: PathBuf) -> DemoWorld {
        DemoWorld { clock, files: Files::below(vec![folder]) }
    }
}

impl World for DemoWorld {
    fn now(&self) -> Timestamp {
        (self.clock)()
    }

    fn random(&self) -> u64 {
        // Names the exchange and spreads retries; no secret is made of it.
        getrandom::u64().unwrap_or_else(|_| self.now().micros().cast_unsigned())
    }

    fn http(&self, _: &Connection) -> Result<Http, ConnectorError> {
        // A conversation of no exchanges: whoever asks anything of a network is told so.
        Ok(Http::replaying(Exchanges::default(), Vec::new()))
    }

    fn files(&self) -> &Files {
        &self.files
    }
}
