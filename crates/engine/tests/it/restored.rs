//! An old copy of the store is put back: its ledger is older than reality.

use crate::ledger::{Bench, HOUR, MINUTE, value};
use engine::{Adopt, EngineError};
use serde_json::json;
use std::sync::Arc;
use store::Store;
use tempfile::TempDir;

fn values(range: std::ops::Range<u64>) -> Vec<(String, i64)> {
    range.map(|n| (value(n), 7)).collect()
}

fn names(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(value).collect()
}

/// A copy seven days old is put back against destinations that have moved on: entries were added, taken back and taken
/// over by others since. In six styles. Nothing is pushed, retracted or replaced before a person has adopted what is
/// there; the preview changes nothing; entries that are gone become tombstones; what others have there is not touched.
/// Where everything can be read and carries our mark (two of the six), entries that the old ledger does not know become
/// lines; where entries can only be asked about one by one (two), they are pushed again, which is harmless there, and
/// where a second push would be a second entry (one) each is asked about before it is pushed; where nothing carries a mark
/// (one), they count as others' and stay. Then everything comes to rest by ordinary plans.
#[test]
fn f14_an_old_backup_takes_nothing_back_before_a_person_confirms() {
    for action in ["look", "read", "append", "stage", "shared", "plain"] {
        let home = TempDir::new().unwrap();
        let store = Store::open(&home.path().join("live")).unwrap();
        let mut bench = Bench::on(1, Arc::new(store), &[("t", action, json!({}))]);
        bench.tool(|tool| tool.others_add("theirs.example.net"));
        bench.feed(values(0..40));
        bench.rest("t");
        let copy = home.path().join("copy.db");
        bench.engine().store().backup(&copy).unwrap();
        // Seven days go by: 0..10 are taken back, 40..50 are added, 12 is taken away, 13 is taken over.
        for day in 0..7 {
            bench.sim.wait(24 * HOUR);
            bench.feed(values(10..40 + if day > 2 { 10 } else { 0 }));
            bench.rest("t");
        }
        bench.tool(|tool| {
            tool.remove(&value(12));
            tool.things.iter_mut().find(|t| t.entry == value(13)).unwrap().mark = None;
            if action == "plain" {
                // Without marks nobody can tell who put it there.
                tool.things.iter_mut().find(|t| t.entry == value(13)).unwrap().mark = Some("as before".into());
            }
        });
        let ours_before = bench.tool(|tool| tool.ours());
        let foreign_before = bench.tool(|tool| tool.foreign());
        store::restore(&copy, &home.path().join("back"), false).unwrap();
        bench.restart_on(Store::open(&home.path().join("back")).unwrap());

        let effects =
            || bench.tool(|t| t.n_calls("push") + t.n_calls("retract") + t.n_calls("replace") + t.n_calls("deploy"));
        let before = effects();
        // The feed has fallen nearly silent: an eager exchange would now take back what it thinks is there.
        bench.feed(values(10..50));
        for _ in 0..3 {
            let report = bench.share("t");
            assert_eq!((report.status.as_str(), report.accepted), ("frozen", 0), "{action}: {report:?}");
            assert!(report.holds.iter().any(|hold| hold.contains("target adopt t")), "{report:?}");
            bench.sim.wait(HOUR);
        }
        bench.verify("t");
        let preview = bench.engine().adopt("t", Adopt::default(), "test").unwrap();
        assert!(!preview.applied && preview.waiting == ["t"], "{preview:?}");
        assert_eq!(bench.share("t").status, "frozen");
        assert_eq!(effects(), before, "{action}: nothing is sent before a person confirms");
        assert_eq!(bench.tool(|tool| tool.ours()), ours_before);

        let done = bench.engine().adopt("t", Adopt { apply: true, ..Adopt::default() }, "test").unwrap();
        assert!(done.applied && done.waiting.is_empty(), "{done:?}");
        if matches!(action, "read" | "shared") {
            assert_eq!(done.adopted, 10, "{action}: entries that only their mark tells of: {done:?}");
        }
        bench.rest("t");
        bench.tool(|tool| {
            assert_eq!(tool.foreign()[0], foreign_before[0], "{action}");
            assert!(tool.foreign().contains(&"theirs.example.net".to_owned()) && tool.damaged.is_empty(), "{action}");
            let mut wanted = names(10..50);
            if action == "plain" {
                // Nothing tells that 40..50 were ours: they count as others' from now on, and stay.
                let all: Vec<String> = tool.things.iter().map(|t| t.entry.clone()).collect();
                assert!(wanted.iter().all(|v| all.contains(v)) && all.len() == 41, "{all:?}");
                return;
            }
            wanted.retain(|v| *v != value(13));
            assert_eq!(tool.ours(), wanted, "{action}");
        });
    }
}

/// A destination that cannot be asked is not guessed about: a person says that the ledger is to be taken as it stands;
/// and nothing is forgotten of what cannot be read.
#[test]
fn f14_what_cannot_be_read_is_for_a_person_to_say() {
    let home = TempDir::new().unwrap();
    let store = Store::open(&home.path().join("live")).unwrap();
    let mut bench = Bench::on(1, Arc::new(store), &[("t", "blind-stage", json!({})), ("u", "look", json!({}))]);
    bench.feed(values(0..4));
    bench.rest("t");
    let copy = home.path().join("copy.db");
    bench.engine().store().backup(&copy).unwrap();
    store::restore(&copy, &home.path().join("back"), false).unwrap();
    bench.restart_on(Store::open(&home.path().join("back")).unwrap());
    let adopt = |options| bench.engine().adopt("t", options, "test");
    let refused = adopt(Adopt { apply: true, ..Adopt::default() });
    assert!(matches!(&refused, Err(EngineError::Conflict(why)) if why.contains("--unread")), "{refused:?}");
    let refused = adopt(Adopt { apply: true, unread: true, forget: true });
    assert!(matches!(refused, Err(EngineError::Conflict(_))), "{refused:?}");
    let done = adopt(Adopt { apply: true, unread: true, forget: false }).unwrap();
    assert_eq!((done.kept, done.waiting), (4, vec!["u".to_owned()]), "the other target still waits");
    assert_ne!(bench.share("t").status, "frozen");
    assert_eq!(bench.share("u").status, "frozen");
}

/// "Forget what is there" keeps what carries our mark, and nothing else, as ours.
#[test]
fn forgetting_goes_with_adopting() {
    let bench = Bench::new(1, &[("t", "read", json!({}))]);
    bench.tool(|tool| tool.others_add("theirs.example.net"));
    bench.feed(values(0..6));
    bench.rest("t");
    let done = bench.engine().adopt("t", Adopt { apply: true, forget: true, unread: false }, "test").unwrap();
    assert_eq!((done.forgotten, done.adopted, done.foreign), (6, 6, 1), "{done:?}");
    bench.feed(values(3..6));
    bench.rest("t");
    bench.tool(|tool| assert_eq!((tool.ours(), tool.foreign().len()), (names(3..6), 1)));
}

/// A tool takes a second push as a second entry, can only be asked about single entries, and shows what was written 15
/// minutes later. What was pushed since the copy is never there twice after a restore: neither what was wanted when a
/// person adopted what is there, nor what a source brings only afterwards, nor what was pushed a minute before.
#[test]
fn f14_what_was_pushed_since_the_copy_is_not_pushed_twice() {
    let home = TempDir::new().unwrap();
    let store = Store::open(&home.path().join("live")).unwrap();
    let mut bench = Bench::on(1, Arc::new(store), &[("t", "append", json!({}))]);
    bench.tool(|tool| tool.lag = 15 * MINUTE);
    bench.feed(values(0..10));
    bench.rest("t");
    let copy = home.path().join("copy.db");
    bench.engine().store().backup(&copy).unwrap();
    bench.feed(values(0..20));
    bench.rest("t");
    bench.feed(values(0..30));
    bench.share("t");
    assert_eq!(bench.tool(|tool| tool.ours().len()), 30);
    store::restore(&copy, &home.path().join("back"), false).unwrap();
    bench.restart_on(Store::open(&home.path().join("back")).unwrap());
    bench.sim.wait(MINUTE);
    bench.engine().adopt("t", Adopt { apply: true, ..Adopt::default() }, "test").unwrap();
    for upto in [15, 30, 40] {
        bench.feed(values(0..upto));
        bench.share("t");
        bench.sim.wait(MINUTE);
        bench.share("t");
    }
    bench.rest("t");
    assert_eq!(bench.tool(|tool| tool.ours()), names(0..40), "each once");
    // They are ours by the ledger as well, and go when they are not wanted any more.
    bench.feed(values(35..40));
    bench.rest("t");
    assert_eq!(bench.tool(|tool| tool.ours()), names(35..40));
}
