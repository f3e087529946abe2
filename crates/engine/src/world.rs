//! What the engine is given of the world: the time, chance, calls out, files. Everything replays from a seed.

use crate::config::{Connection, Provider};
use crate::notice::{Channel, Letter};
use intel::Timestamp;
use kit::ConnectorError;
use kit::files::Files;
use kit::http::{Http, Paces};
use kit::secret::{NoSecrets, SecretResolver};
use std::time::Duration;

/// The outside as the engine sees it.
pub trait World: Send + Sync {
    /// What time it is.
    fn now(&self) -> Timestamp;
    /// How long this process has run, by a clock that nobody sets; None where there is none. Against it a wall clock that
    /// jumps ahead is noticed.
    fn monotonic(&self) -> Option<Duration> {
        None
    }
    /// A random number, for jitter.
    fn random(&self) -> u64;
    /// The HTTP client of a connection: its proxy, authorities and allowed networks applied.
    ///
    /// # Errors
    /// [`ConnectorError::Denied`] where the connection's settings cannot be used.
    fn http(&self, connection: &Connection) -> Result<Http, ConnectorError>;
    /// Local files below the directories the operator allowed.
    fn files(&self) -> &Files;
    /// Where references to secrets (`env:NAME`, `file:PATH`) are looked up.
    /// By default nowhere.
    fn secrets(&self) -> &dyn SecretResolver {
        &NoSecrets
    }
    /// Certificates that this process proves itself with, and when each ends. By default none.
    fn certificates(&self) -> Vec<(String, Timestamp)> {
        Vec::new()
    }
    /// What the world has to tell the operator, each once: such as a key file that was made.
    fn notices(&self) -> Vec<String> {
        Vec::new()
    }
    /// Tells people something through a channel. Blocks until the other side has taken it or has not; must end in time.
    /// By default there is nobody to tell.
    ///
    /// # Errors
    /// As a connector's call; the words hold no secret.
    fn tell(&self, channel: &Channel, letter: &Letter) -> Result<(), ConnectorError> {
        let _ = (channel, letter);
        Err(ConnectorError::Unsupported)
    }
    /// The HTTP client of a provider of identities: its proxy, authority and allowed networks applied. Short answers, soon.
    /// By default there is no way to one.
    ///
    /// # Errors
    /// [`ConnectorError::Denied`] where its settings cannot be used.
    fn provider_http(&self, provider: &Provider) -> Result<Http, ConnectorError> {
        let _ = provider;
        Err(ConnectorError::Unsupported)
    }
    /// What hosts said about calling again, shared by all connections; None where nothing is called.
    fn paces(&self) -> Option<&Paces> {
        None
    }
    /// How many bytes of memory the new rows of one page, or of a whole run of a complete source, may come to before the
    /// pull fails. By default [`intel::limits`].
    fn staged_bytes(&self, complete: bool) -> usize {
        if complete { intel::limits::STAGED_WHOLE_BYTES } else { intel::limits::STAGED_PAGE_BYTES }
    }
    /// A named point between two steps of a job. A simulation may stop the process here; the real world never does.
    ///
    /// # Errors
    /// The name of the point, if the process stops here.
    fn step(&self, point: &'static str) -> Result<(), Stopped> {
        let _ = point;
        Ok(())
    }
}

/// The process stopped at a named point (in a simulation).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped(pub &'static str);

/// Told how far a long job is.
pub trait Progress: Sync {
    /// Rows read so far by a pull.
    fn rows(&self, connection: &str, read: u64);
    /// A phase has begun.
    fn phase(&self, what: &str);
}

/// Tells nobody.
pub struct Silent;

impl Progress for Silent {
    fn rows(&self, _: &str, _: u64) {}
    fn phase(&self, _: &str) {}
}
