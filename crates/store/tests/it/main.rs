//! The store from outside: what it is given comes back, all of it or nothing, on disk and in memory.

mod crash;
#[cfg(unix)]
mod damage;
#[cfg(unix)]
mod disk;
mod files;
mod history;
mod knowledge;
mod ledger;
#[cfg(unix)]
mod life;
#[cfg(unix)]
mod power;
mod rest;
mod undo;

use intel::{Claim, Ended, IndicatorKey, IndicatorKind, Reputation, Severity, SourceRecord, Timestamp, Tlp};
use store::{Append, Change, Store};

pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

pub(crate) fn key(value: &str) -> IndicatorKey {
    IndicatorKey::from_stored(IndicatorKind::Domain, value)
}

/// A record that says as little as can be said.
pub(crate) fn plain() -> SourceRecord {
    SourceRecord {
        version: NOW,
        claim: Claim::default(),
        received: NOW,
        contents: vec![1],
        listed: true,
        echo: false,
        ended: None,
        remote_id: None,
    }
}

/// A record with every field at one end of its range.
pub(crate) fn extreme() -> SourceRecord {
    let time = |micros| Some(Timestamp::from_micros(micros));
    SourceRecord {
        version: Timestamp::from_micros(i64::MAX),
        claim: Claim {
            reputation: Reputation::new(10),
            confidence: Some(255),
            severity: Severity::Critical,
            tlp: Some(Tlp::Red),
            tags: vec!["\"quoted\"".into(), "a,b".into(), "😀".into(), "\u{10ffff}".into()],
            first_seen: time(i64::MIN),
            last_seen: time(i64::MAX),
            valid_from: time(-1),
            expires_at: time(0),
            retracted: true,
            comment: Some("line\nline\u{0}after".into()),
            link: Some("".into()),
            raw: Some("hxxp://x".repeat(1000).into()),
            internal_hits: u32::MAX,
            external_hits: u32::MAX,
        },
        received: Timestamp::from_micros(i64::MIN),
        contents: vec![0, 1, u64::MAX - 1, u64::MAX],
        listed: false,
        echo: true,
        ended: Some(Ended { version: Timestamp::from_micros(i64::MIN), content: u64::MAX }),
        remote_id: Some("\u{7f}".into()),
    }
}

/// Appends records of connection 2 for new keys.
pub(crate) fn add(store: &Store, keys: &[IndicatorKey], record: &SourceRecord) -> store::Appended {
    let changes: Vec<_> =
        keys.iter().map(|key| Change { id: None, key, record, summary_hash: u64::MAX, revise: true }).collect();
    store.append(&append(&changes)).unwrap()
}

pub(crate) fn append<'a>(changes: &'a [Change<'a>]) -> Append<'a> {
    Append {
        connection: intel::ConnectionId(2),
        run: intel::RunId(1),
        at: Timestamp::EPOCH,
        changes,
        listed: &[],
        state: None,
    }
}
