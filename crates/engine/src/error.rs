//! What can go wrong in a job, said as what to do next.

use crate::config::ConfigError;
use crate::world::Stopped;
use kit::ConnectorError;
use store::StoreError;

/// Why the engine could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The store failed: disk full, locked, damaged.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A connector failed.
    #[error("{connection}: {error}")]
    Connector {
        /// Which connection.
        connection: String,
        /// What it said.
        #[source]
        error: ConnectorError,
    },
    /// The configuration does not resolve.
    #[error("the configuration has {} mistake(s): {}", .0.len(), .0.first().map(ToString::to_string).unwrap_or_default())]
    Config(Vec<ConfigError>),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// What was given cannot be used.
    #[error("{0}")]
    Invalid(String),
    /// It cannot be done in the present state.
    #[error("{0}")]
    Conflict(String),
    /// A simulation stopped the process.
    #[error("stopped at {}", .0.0)]
    Stopped(Stopped),
}

impl From<Stopped> for EngineError {
    fn from(stopped: Stopped) -> EngineError {
        EngineError::Stopped(stopped)
    }
}
