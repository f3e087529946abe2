//! What a record becomes when its source is rolled back to a time.
//!
//! What came later is ended as a person's retraction ends it: it stays readable, and reading the same again revives
//! nothing. What was changed is again as it was. A person's own retraction stands whatever the time.

use crate::record::SourceRecord;

/// What rolling back does to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RolledBack {
    /// It counts now and did not then.
    Ended,
    /// It counted then and does not now.
    Revived,
    /// It says again what it said then.
    Restored,
    /// It is as it was.
    Unchanged,
}

/// The record as it is to be, and what that is. `then` is what it was; None: it was not there. `by_rollback` says that
/// an earlier rollback ended what is there now.
///
/// The next whole run of a source that lists everything waits for a person, so that its record is exactly what it was.
/// Of other sources nothing is read again that has been read, unless they send it again: a restored record therefore
/// keeps the version it had reached, and knows the contents that were taken back, so that these change nothing.
pub fn roll_back(
    now: &SourceRecord,
    then: Option<&SourceRecord>,
    complete: bool,
    by_rollback: bool,
) -> (SourceRecord, RolledBack) {
    let record = match then {
        None => {
            let mut record = now.clone();
            record.listed &= !complete;
            if record.ended.is_none() || !record.is_retracted() {
                record.end();
            }
            record
        }
        Some(then) => {
            let mut record = then.clone();
            if !complete && then.contents != now.contents {
                let ended = now.ended.map(|ended| ended.content);
                record.version = then.version.max(now.version);
                record.contents.extend(now.contents.iter().filter(|content| Some(**content) != ended));
                record.contents.sort_unstable();
                record.contents.dedup();
            }
            if now.ended.is_some() && now.ended != then.ended && !by_rollback {
                record.lift();
                record.end();
            }
            record
        }
    };
    let counts = |record: &SourceRecord| record.listed && !record.echo && !record.is_retracted();
    let what = match (counts(now), counts(&record)) {
        (true, false) => RolledBack::Ended,
        (false, true) => RolledBack::Revived,
        _ if record == *now => RolledBack::Unchanged,
        _ => RolledBack::Restored,
    };
    (record, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ConnectionId;
    use crate::record::{Absorbed, Observation, Row};
    use crate::time::Timestamp;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(1_700_000_000 + secs)
    }

    fn row(says: &str, version: Option<i64>) -> (Row, u64) {
        let observation = Observation {
            comment: Some(says.into()),
            modified: version.map(at),
            retracted: says == "gone",
            ..Observation::new("9.9.9.9")
        };
        let row = observation.normalise(at(1_000)).unwrap();
        let fingerprint = row.fingerprint(ConnectionId(2), &mut Vec::new());
        (row, fingerprint)
    }

    fn said(words: &[(&str, Option<i64>, i64)]) -> SourceRecord {
        let (first, fingerprint) = row(words[0].0, words[0].1);
        let mut record = SourceRecord::first(&first, fingerprint, at(words[0].2), at(words[0].2));
        for (says, version, run) in &words[1..] {
            let (row, fingerprint) = row(says, *version);
            record.absorb(&row, fingerprint, at(*run));
        }
        record
    }

    #[test]
    fn what_a_record_becomes() {
        let a = said(&[("a", None, 1)]);
        let unlisted = SourceRecord { listed: false, ..a.clone() };
        let b = said(&[("a", None, 1), ("b", None, 5)]);
        let gone = said(&[("a", None, 1), ("gone", None, 5)]);
        let mut by_person = a.clone();
        by_person.end();
        let echo = SourceRecord { echo: true, ..a.clone() };
        type Case<'a> = (&'a str, &'a SourceRecord, Option<&'a SourceRecord>, RolledBack, Option<&'a str>);
        #[rustfmt::skip]
        let table: &[Case<'_>] = &[
            // what                          now         then             becomes                 says, where it counts
            ("came after",                   &a,         None,            RolledBack::Ended,      None),
            ("came after, withdrawn since",  &unlisted,  None,            RolledBack::Restored,   None),
            ("came after, and was retracted", &by_person, None,           RolledBack::Restored,   None),
            ("changed",                      &b,         Some(&a),        RolledBack::Restored,   Some("a")),
            ("unlisted since",               &unlisted,  Some(&a),        RolledBack::Revived,    Some("a")),
            ("listed again since",           &a,         Some(&unlisted), RolledBack::Ended,      None),
            ("taken back since",             &gone,      Some(&a),        RolledBack::Revived,    Some("a")),
            ("was taken back, and is not",   &b,         Some(&gone),     RolledBack::Ended,      None),
            ("a person retracted it since",  &by_person, Some(&a),        RolledBack::Unchanged,  None),
            ("was an echo",                  &a,         Some(&echo),     RolledBack::Ended,      None),
            ("as it was",                    &a,         Some(&a),        RolledBack::Unchanged,  Some("a")),
        ];
        for (name, now, then, becomes, says) in table {
            let (record, what) = roll_back(now, *then, true, false);
            assert_eq!(what, *becomes, "{name}");
            let counts = record.listed && !record.echo && !record.is_retracted();
            assert_eq!(counts.then_some(record.claim.comment.as_deref().unwrap()), *says, "{name}");
            let (again, what) = roll_back(&record, *then, true, then.is_none());
            assert_eq!((again, what), (record, RolledBack::Unchanged), "{name}: twice is once");
        }
        // Rolled forward: an ending that is a rollback's own is lifted by what was there before it.
        let (ended, _) = roll_back(&a, None, true, false);
        assert_eq!(roll_back(&ended, Some(&a), true, true), (a.clone(), RolledBack::Revived));
    }

    #[test]
    fn what_was_rolled_back_does_not_come_back_by_being_read_again() {
        for dated in [false, true] {
            let version = |v: i64| dated.then_some(v);
            let a = said(&[("a", version(1), 1)]);
            let b = said(&[("a", version(1), 1), ("b", version(5), 5)]);
            let (mut restored, _) = roll_back(&b, Some(&a), false, false);
            for says in ["b", "a", "b"] {
                let (row, fingerprint) = row(says, version(if says == "b" { 5 } else { 1 }));
                assert_eq!(restored.absorb(&row, fingerprint, at(9)), Absorbed::Unchanged, "{says}");
                assert_eq!(restored.claim.comment.as_deref(), Some("a"));
            }
            let (row, fingerprint) = row("c", version(7));
            restored.absorb(&row, fingerprint, at(9));
            assert_eq!(restored.claim.comment.as_deref(), Some("c"), "a newer word counts");
            // And what came after stays ended, unless the source says something else, later.
            let (mut ended, _) = roll_back(&b, None, false, false);
            for (says, when, retracted) in [("b", 5, true), ("b", 8, true), ("d", 9, false)] {
                let (row, fingerprint) = self::row(says, version(when));
                ended.absorb(&row, fingerprint, at(when));
                assert_eq!(ended.is_retracted(), retracted, "{says} of {when}");
            }
        }
    }
}
