//! Under tests: a process that can be stopped at a named point, and a connector that speaks to mock tools.
//!
//! All of it is behind the feature `rig`, which no release is built with. `IOCAST_FAILPOINT=share.called:3` ends the
//! process the third time it passes that point: at once, without a destructor, as a kill would. `IOCAST_RIG=1` makes the
//! connector known.

mod connector;

use kit::Connector;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

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
