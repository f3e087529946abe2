//! What records were before, and at a time.

use crate::{add, append};
use intel::{ConnectionId, IndicatorId, IndicatorKey, RunId, SourceRecord, Timestamp};
use store::{Append, Change, Listed, Store, StoreError};

const SOURCE: ConnectionId = ConnectionId(2);

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn record(received: i64, comment: &str) -> SourceRecord {
    let row = intel::Observation { comment: Some(comment.into()), ..intel::Observation::new("9.9.9.9") };
    let row = row.normalise(at(received)).unwrap();
    SourceRecord::first(&row, received as u64, at(received), at(received))
}

fn key(n: u8) -> IndicatorKey {
    IndicatorKey::parse(None, &format!("9.9.9.{n}")).unwrap()
}

fn change(store: &Store, id: IndicatorId, record: &SourceRecord, when: i64) {
    let (run, key) = (RunId(9), key(1));
    let change = Change { id: Some(id), key: &key, record, summary_hash: 1, revise: true };
    store.append(&Append { run, at: at(when), ..append(&[change]) }).unwrap();
}

fn list(store: &Store, id: IndicatorId, listed: bool, when: i64) {
    let mark = Listed { id, listed, summary_hash: 1, revise: true };
    store.append(&Append { run: RunId(9), at: at(when), listed: &[mark], ..append(&[]) }).unwrap();
}

fn then(store: &Store, id: IndicatorId, when: i64) -> Option<SourceRecord> {
    let moment = store.moment(at(when)).unwrap();
    store.rewound(SOURCE, &[id], &moment).unwrap().pop().unwrap().then
}

#[test]
fn a_record_is_told_as_it_was_at_each_time() {
    let store = Store::in_memory().unwrap();
    let first = record(10, "first");
    let id = add(&store, &[key(1)], &first).ids[0];
    let unlisted = SourceRecord { listed: false, ..first.clone() };
    list(&store, id, false, 20);
    list(&store, id, true, 30);
    let second = SourceRecord { received: at(10), ..record(40, "second") };
    change(&store, id, &second, 40);
    list(&store, id, false, 50);
    for (when, was) in [(9, None), (10, Some(&first)), (19, Some(&first)), (20, Some(&unlisted))] {
        assert_eq!(then(&store, id, when).as_ref(), was, "at {when}");
    }
    for (when, was) in [(30, &first), (39, &first), (40, &second), (49, &second)] {
        assert_eq!(then(&store, id, when).as_ref(), Some(was), "at {when}");
    }
    assert_eq!(then(&store, id, 50), Some(SourceRecord { listed: false, ..second.clone() }));
    let now = store.record(id, SOURCE).unwrap().unwrap();
    let past = store.past(id, SOURCE, &now).unwrap();
    let told: Vec<(i64, Option<&str>, bool)> =
        past.iter().map(|p| (p.at.secs(), p.was.claim.comment.as_deref(), p.was.listed)).collect();
    assert_eq!(
        told,
        [(20, Some("first"), true), (30, Some("first"), false), (40, Some("first"), true), (50, Some("second"), true)]
    );
    let moment = store.moment(at(25)).unwrap();
    assert_eq!(store.changed_after(SOURCE, &moment).unwrap(), [id]);
    assert!(store.changed_after(SOURCE, &store.moment(at(50)).unwrap()).unwrap().is_empty());
    // What is not kept any more is said to be so, and tags of the past outlive tidying.
    store.tidy().unwrap();
    assert_eq!(store.prune_history(at(35)).unwrap(), 2);
    assert!(matches!(store.moment(at(34)), Err(StoreError::Conflict(_))));
    assert_eq!(then(&store, id, 39), Some(first));
}

#[test]
fn what_a_run_did_that_was_under_way_counts_as_done_after() {
    let store = Store::in_memory().unwrap();
    let run = store.run_start("pull", "feed", at(100)).unwrap();
    let made = record(100, "made");
    let new = key(1);
    let change = Change { id: None, key: &new, record: &made, summary_hash: 1, revise: true };
    let id = store.append(&Append { run, at: at(120), ..append(&[change]) }).unwrap().ids[0];
    assert_eq!(then(&store, id, 110), None, "the run goes on");
    store.run_end(run, "success", "{}", at(130)).unwrap();
    assert_eq!(then(&store, id, 125), None);
    assert_eq!(then(&store, id, 130), Some(made));
}

#[test]
fn a_new_record_keeps_nothing_and_a_pruned_one_forgets() {
    let store = Store::in_memory().unwrap();
    let first = record(10, "first");
    let id = add(&store, &[key(1)], &first).ids[0];
    assert!(store.past(id, SOURCE, &first).unwrap().is_empty());
    change(&store, id, &record(10, "other"), 20);
    assert_eq!(store.past(id, SOURCE, &first).unwrap().len(), 1);
    store.prune(&[id], at(30)).unwrap();
    assert!(store.past(id, SOURCE, &first).unwrap().is_empty());
}
