//! How far one run of a source may lead: no circles, no pages without end.

use intel::Timestamp;
use kit::{ConnectorError, Cursor};
use std::collections::HashSet;
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_128;

/// Pages one run reads at most; the next run goes on after the last of them.
pub const PAGES_MOST: usize = 10_000;
/// How long one run goes on from page to page; the next run goes on after the last of them. A page itself is bounded by
/// the time one call may take.
pub const RUN_MOST: Duration = Duration::from_secs(6 * 3600);

/// The places a run has been at.
pub(crate) struct Pages {
    /// Hashes of all cursors met: a circle of any length closes on one of them.
    met: HashSet<u128>,
    started: Timestamp,
    read: usize,
}

/// What a page's cursor means.
#[derive(Debug, PartialEq)]
pub(crate) enum Turn {
    /// Read on from it.
    On,
    /// It was read from before in this run: it must not be kept, and the run ends here.
    Circle(ConnectorError),
    /// It is kept, and the run ends here.
    Enough(ConnectorError),
}

impl Pages {
    /// A run that starts at this place.
    pub(crate) fn new(from: Option<&Cursor>, started: Timestamp) -> Pages {
        Pages { met: from.map(hash).into_iter().collect(), started, read: 0 }
    }

    /// A page was read, and the source says to go on there.
    pub(crate) fn turn(&mut self, to: &Cursor, now: Timestamp) -> Turn {
        self.read += 1;
        if !self.met.insert(hash(to)) {
            let n = self.read;
            let why = format!("the same page is offered again and again: page {n} leads back to an earlier one");
            return Turn::Circle(ConnectorError::Unexpected(why));
        }
        let why = match (self.read >= PAGES_MOST, now.since(self.started) > RUN_MOST) {
            (true, _) => format!("{PAGES_MOST} pages were read; the next run goes on from there"),
            (false, true) => {
                let hours = RUN_MOST.as_secs() / 3600;
                format!("the run took more than {hours} hours; the next one goes on from there")
            }
            (false, false) => return Turn::On,
        };
        Turn::Enough(ConnectorError::Later { wait: None, why })
    }
}

fn hash(cursor: &Cursor) -> u128 {
    xxh3_128(cursor.to_string().as_bytes())
}
