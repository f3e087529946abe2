//! What went wrong, said as what to do next.

use std::time::Duration;

/// The caller's choices after a failed call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectorError {
    /// Stop: a person must act (credentials, rights, a path that is not allowed).
    #[error("denied: {0}")]
    Denied(String),
    /// Try again later; `wait` is what the other side asked for.
    #[error("try again later: {why}")]
    Later {
        /// At least this long.
        wait: Option<Duration>,
        /// What was said.
        why: String,
    },
    /// Try again later, as above; and certainly nothing was done: they were too busy to begin, or the call was never
    /// made.
    #[error("try again later: {why}")]
    Busy {
        /// At least this long.
        wait: Option<Duration>,
        /// What was said.
        why: String,
    },
    /// They answered something we do not understand: nothing of it is used.
    #[error("unexpected answer: {0}")]
    Unexpected(String),
    /// They refused the whole call, in these words, and did nothing of it; which item is to blame they do not say.
    /// Whoever sent several asks again with fewer.
    #[error("refused: {0}")]
    Refused(String),
    /// What was read has changed since; nothing was written. Read it again.
    #[error("somebody else changed it meanwhile")]
    Changed,
    /// The connector cannot do this.
    #[error("not supported by this connector")]
    Unsupported,
}

impl ConnectorError {
    /// How long the other side asked to be left alone.
    pub fn wait(&self) -> Option<Duration> {
        match self {
            ConnectorError::Later { wait, .. } | ConnectorError::Busy { wait, .. } => *wait,
            _ => None,
        }
    }

    /// Whether it may work later without anybody doing anything.
    pub fn is_later(&self) -> bool {
        matches!(self, ConnectorError::Later { .. } | ConnectorError::Busy { .. })
    }
}
