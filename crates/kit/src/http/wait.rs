//! Time for the HTTP room: passed in, so that tests neither wait nor depend on the date.

use intel::Timestamp;
use std::time::{Duration, Instant, SystemTime};

/// A clock that can be waited on.
pub trait Wait: Send + Sync {
    /// What time it is.
    fn now(&self) -> Timestamp;
    /// Time since some fixed moment; never goes back.
    fn monotonic(&self) -> Duration;
    /// Returns after this long.
    fn sleep(&self, duration: Duration);
}

/// The machine's clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemWait(Instant);

impl Default for SystemWait {
    fn default() -> SystemWait {
        SystemWait(Instant::now())
    }
}

impl Wait for SystemWait {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp::EPOCH.after(since)
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

/// A clock that stands still at the epoch and never waits.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoWait;

impl Wait for NoWait {
    fn now(&self) -> Timestamp {
        Timestamp::EPOCH
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _: Duration) {}
}
