//! Under tests: a process that can be stopped at a named point, and a connector that speaks to mock tools.
//!
//! All of it is behind the feature `rig`, which no release is built with. `IOCAST_FAILPOINT=share.called:3` ends the
//! process the third time it passes that point: at once, without a destructor, as a kill would. `IOCAST_RIG=1` makes the
//! connector known. `IOCAST_CLOCK=2026-06-01T09:00:00Z` makes the clock stand there and chance repeat itself, so that what
//! is printed can be compared; `IOCAST_PATIENCE=500` waits that many milliseconds for an answer instead of half a minute;
//! `IOCAST_RIG_HOSTS=tool.example=127.0.0.1:8000` says where a host of the mock tools really listens.

mod connector;

use intel::Timestamp;
use kit::Connector;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Every named point between two steps of a job, in the order in which an indicator passes them.
pub const POINTS: &[&str] = &[
    "pull.page",
    "pull.append",
    "pull.appended",
    "pull.absence",
    "pull.listed",
    "pull.approved",
    "rollback.batch",
    "share.planned",
    "share.intended",
    "share.called",
    "share.settled",
    "share.staged",
    "share.deployed",
    "share.drafted",
    "share.published",
    "notice.told",
];

/// Where the process ends, and at which passing, from 1.
fn planned() -> Option<&'static (String, u64)> {
    static PLAN: OnceLock<Option<(String, u64)>> = OnceLock::new();
    PLAN.get_or_init(|| parse(&std::env::var("IOCAST_FAILPOINT").ok()?)).as_ref()
}

/// `name:n`, or `name` for the first passing.
fn parse(text: &str) -> Option<(String, u64)> {
    let (name, n) = text.split_once(':').unwrap_or((text, "1"));
    Some((name.to_owned(), n.parse().ok().filter(|n| *n > 0)?))
}

/// The process passes a point, and goes no further if this is where it is to end.
pub fn pass(point: &'static str) {
    let Some((name, n)) = planned() else { return };
    if name != point {
        return;
    }
    static PASSED: Mutex<BTreeMap<&'static str, u64>> = Mutex::new(BTreeMap::new());
    let mut passed = PASSED.lock().unwrap_or_else(PoisonError::into_inner);
    let times = passed.entry(point).or_default();
    *times += 1;
    if *times == *n {
        std::process::abort();
    }
}

/// Where the clock stands, if it does.
pub fn clock() -> Option<Timestamp> {
    static CLOCK: OnceLock<Option<Timestamp>> = OnceLock::new();
    *CLOCK.get_or_init(|| Timestamp::parse(&std::env::var("IOCAST_CLOCK").ok()?))
}

/// The next of the numbers that follow from where the clock stands. None: it goes, and so does chance.
pub fn chance() -> Option<u64> {
    static N: AtomicU64 = AtomicU64::new(1);
    let seed = clock()?.micros().cast_unsigned();
    // SplitMix64.
    let mut z = seed.wrapping_add(N.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    Some(z ^ (z >> 31))
}

/// How long an answer is waited for, if not as long as usual.
pub fn patience() -> Option<Duration> {
    std::env::var("IOCAST_PATIENCE").ok()?.parse().ok().map(Duration::from_millis)
}

/// The address with the host of a mock tool replaced by where it listens: names need no resolver here.
pub(crate) fn reach(url: &str) -> String {
    let hosts = std::env::var("IOCAST_RIG_HOSTS").unwrap_or_default();
    hosts.split(',').filter_map(|pair| pair.split_once('=')).fold(url.to_owned(), |url, (host, address)| {
        match url.strip_prefix("http://").and_then(|rest| rest.strip_prefix(host)) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("http://{address}{rest}"),
            _ => url,
        }
    })
}

/// The connector of the rig, where it was asked for.
pub fn connectors() -> Vec<Arc<dyn Connector>> {
    if std::env::var_os("IOCAST_RIG").is_some() { vec![Arc::new(connector::Rig::new())] } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failpoint_is_a_name_and_a_number() {
        assert_eq!(parse("pull.page:3"), Some(("pull.page".into(), 3)));
        assert_eq!(parse("pull.page"), Some(("pull.page".into(), 1)));
        assert_eq!(parse("pull.page:0"), None);
        assert_eq!(parse("pull.page:x"), None);
    }
}
