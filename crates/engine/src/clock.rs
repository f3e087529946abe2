//! Whether the wall clock is to be believed.
//!
//! A clock that jumps years ahead would make everything expire at once. The process counts for itself: where the wall
//! clock is more than a day ahead of what has been counted, expiry waits until it comes back, until a person says that
//! it is right, or until the process is started again. After a start the clock is believed; what has expired by then is
//! taken back within each target's brakes, like anything else. A clock that is set back expires nothing.

use crate::Engine;
use crate::error::EngineError;
use crate::unpoison;
use intel::{ConnectionId, Timestamp, limits};

/// What the process has counted.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// The greatest believed difference between the wall clock and the time counted, in microseconds.
    ahead: Option<i64>,
    /// It is not believed now.
    jumped: bool,
}

impl Clock {
    /// Where the clock should be at most, when it reads `wall`; None: it is believed.
    fn look(&mut self, wall: Timestamp, counted: std::time::Duration) -> Option<Timestamp> {
        let counted = i64::try_from(counted.as_micros()).unwrap_or(i64::MAX);
        let ahead = wall.micros().saturating_sub(counted);
        let jump = i64::try_from(limits::CLOCK_JUMP.as_micros()).unwrap_or(i64::MAX);
        match self.ahead {
            Some(before) if ahead.saturating_sub(before) > jump => {
                self.jumped = true;
                Some(Timestamp::from_micros(before.saturating_add(counted)))
            }
            before => {
                self.jumped = false;
                self.ahead = before.max(Some(ahead));
                None
            }
        }
    }
}

impl Engine {
    /// A time as the wall clock gave it, or what it should be where the clock has jumped ahead.
    pub(crate) fn sober(&self, at: Timestamp) -> Timestamp {
        match self.clock_should_be() {
            Some(should_be) => at.min(should_be),
            None => at,
        }
    }

    /// Where the clock should be, while it is not believed.
    fn clock_should_be(&self) -> Option<Timestamp> {
        let counted = self.world.monotonic()?;
        unpoison(self.clock.lock()).look(self.world.now(), counted)
    }

    /// Whether time may change what is known.
    pub(crate) fn is_clock_believed(&self) -> bool {
        self.clock_should_be().is_none()
    }

    /// What is to be said of a clock that is not believed, with what to do. None: it is.
    pub fn clock_warning(&self) -> Option<String> {
        let should_be = self.clock_should_be()?;
        Some(format!(
            "the clock says {} and should be about {should_be}: nothing expires until it is set right; if it is right, say `iocast clock trust`, or \
             restart the server",
            self.world.now()
        ))
    }

    /// A person says that the clock is right.
    ///
    /// # Errors
    /// A failing store.
    pub fn trust_clock(&self, who: &str, note: Option<&str>) -> Result<(), EngineError> {
        let now = self.world.now();
        *unpoison(self.clock.lock()) = Clock::default();
        self.store.audit(who, "clock.trust", "clock", &serde_json::json!({ "note": note }).to_string(), now)?;
        self.advance()?;
        Ok(())
    }

    /// Notes that a run is believed, at a time that the clock did not make up.
    pub(crate) fn believed(&self, connection: ConnectionId, started: Timestamp) {
        let started = self.sober(started);
        self.known_mut().index.believed(connection, started);
    }
}
