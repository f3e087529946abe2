//! Every number that protects something, named once.

use crate::time::Timestamp;
use std::time::Duration;

/// A time before 2000-01-01 in a feed is a placeholder, not a date.
pub const EARLIEST_TIME: Timestamp = Timestamp::from_secs(946_684_800);
/// A time after 2100-01-01 in a feed is a placeholder for "never" or a mistake.
pub const LATEST_TIME: Timestamp = Timestamp::from_secs(4_102_444_800);
/// How far ahead of us a source's clock may be before its dates are not believed.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(24 * 3600);
/// Longest tag kept, in bytes.
pub const TAG_BYTES: usize = 256;
/// Most tags one record keeps.
pub const TAGS_PER_RECORD: usize = 256;
/// Most exchanges a value may have passed through; further ones are not remembered.
pub const HOPS_PER_RECORD: usize = 32;
/// Longest id of an exchange, in bytes.
pub const HOP_BYTES: usize = 64;
/// Longest comment kept, in bytes.
pub const COMMENT_BYTES: usize = 4096;
/// Longest reference link kept, in bytes.
pub const LINK_BYTES: usize = 2048;
/// Longest text-as-given kept, in bytes.
pub const RAW_BYTES: usize = 4096;
/// Most row fingerprints one record remembers under one version.
pub const CONTENTS_PER_RECORD: usize = 64;
/// Rejected rows above this share (percent) make a pull partial.
pub const PARTIAL_PERCENT: u64 = 1;
/// Rejected rows above this share (percent) make the first run of a complete source suspect.
pub const FIRST_RUN_REJECTED_PERCENT: u64 = 50;
/// A believed run smaller than this says too little for the next one to be called too small or too large.
pub const SUSPECT_MIN_ROWS: u64 = 50;
/// Networks of one run that cover more IPv4 addresses than this, which is half of all, list everything: a parked domain
/// or a broken source, not a feed.
pub const EVERYTHING_ADDRESSES: u64 = 1 << 31;
/// A wall clock this far ahead of where the process has counted it to be is not believed.
pub const CLOCK_JUMP: Duration = Duration::from_secs(24 * 3600);
/// Wait after the first failure of a job; doubled by each further one.
pub const BACKOFF_FIRST: Duration = Duration::from_secs(30);
/// Longest wait our own back-off asks for.
pub const BACKOFF_MOST: Duration = Duration::from_secs(3600);
/// Longest wait a peer's `Retry-After` is believed.
pub const RETRY_AFTER_MOST: Duration = Duration::from_secs(24 * 3600);
/// Shortest interval of a job.
pub const INTERVAL_LEAST: Duration = Duration::from_secs(1);
/// Longest interval of a job.
pub const INTERVAL_MOST: Duration = Duration::from_secs(366 * 24 * 3600);
/// How long an approval of a held plan allows its steps.
pub const APPROVAL_STANDS: Duration = Duration::from_secs(24 * 3600);
/// A refused entry is offered again after this; each further refusal doubles the wait.
pub const REFUSED_RETRY_FIRST: Duration = Duration::from_secs(24 * 3600);
/// Longest wait after a refusal.
pub const REFUSED_RETRY_MOST: Duration = Duration::from_secs(7 * 24 * 3600);
/// After so many refusals in a row a person is told; it is offered again all the same.
pub const REFUSED_EXHAUSTED: u32 = 5;
/// So many failed calls in a row open a destination's breaker.
pub const BREAKER_OPENS_AFTER: u32 = 5;
/// While a breaker is open one call is made in this time.
pub const BREAKER_PROBE_EVERY: Duration = Duration::from_secs(60);
/// Most entries of a destination that are kept while it is read back; one that gives more is not read whole.
pub const READ_BACK_MOST: usize = 5_000_000;
/// How long a limit that a destination kept silent about is believed before it is tried again.
pub const LEARNED_CAPACITY_STANDS: Duration = Duration::from_secs(7 * 24 * 3600);
/// What the new rows of one page of a source may come to in memory (bytes). A page is folded in with its cursor in one
/// piece, so all of it is held.
pub const STAGED_PAGE_BYTES: usize = 512 << 20;
/// What the new rows of a whole run of a complete source may come to in memory (bytes). All are held until the run is
/// judged.
pub const STAGED_WHOLE_BYTES: usize = 2 << 30;
