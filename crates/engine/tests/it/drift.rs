//! Reading back: what differs is found, shown and repaired through a plan; what cannot be true is not believed.

use crate::boxes::Shows;
use crate::ledger::{Bench, HOUR, value};
use engine::{Mode, Silent, Verify};
use serde_json::json;

fn values(n: u64) -> Vec<(String, i64)> {
    (0..n).map(|n| (value(n), 7)).collect()
}

/// A destination that is asked what it holds shows nothing, half, or a part that it calls one, in four styles: nothing is
/// believed gone, no entry is sent again, nothing is written over a shared list, and a person is told. Believed by a
/// person, what is missing is sent again by an ordinary plan within its budget.
#[test]
fn f45_an_empty_or_halved_answer_is_not_believed() {
    for action in ["look", "read", "shared", "plain"] {
        for shows in [Shows::Nothing, Shows::Half, Shows::Cut] {
            if action == "look" && shows == Shows::Cut {
                // Answers about single entries are never "a part".
                continue;
            }
            let bench = Bench::new(1, &[("t", action, json!({}))]);
            bench.tool(|tool| tool.others_add("theirs.example.net"));
            bench.feed(values(120));
            bench.rest("t");
            assert_eq!(bench.verify("t").status, "same");
            bench.tool(|tool| tool.shows = shows);
            let report = bench.verify("t");
            assert_eq!(report.status, "doubt", "{action} {shows:?}: {report:?}");
            assert!(report.drift.doubt.is_some() && report.drift.missing == 0);
            assert_eq!(bench.count("t", "present"), 120, "{action} {shows:?}");
            // A list that is written as a whole is not written on such a reading; other entries go on as ever.
            bench.feed(values(121));
            let report = bench.share("t");
            assert!(report.push <= 1, "{action} {shows:?}: {report:?}");
            if matches!(action, "shared" | "plain") {
                assert_eq!((report.accepted, report.deferred), (0, 1), "{report:?}");
            }
            bench.tool(|tool| {
                assert_eq!(tool.foreign(), ["theirs.example.net"], "{action} {shows:?}");
                assert!(tool.ours().len() >= 120 && tool.damaged.is_empty());
                tool.shows = Shows::All;
            });
            bench.sim.wait(HOUR);
            assert_eq!(bench.verify("t").status, "same", "{action} {shows:?}");
        }
    }
    // It is true, and a person says so.
    let bench = Bench::new(1, &[("t", "read", json!({}))]);
    bench.feed(values(120));
    bench.rest("t");
    bench.tool(|tool| tool.things.clear());
    assert_eq!(bench.verify("t").status, "doubt");
    let report = bench.engine().verify("t", Verify { believe: true, all: true }).unwrap();
    assert_eq!((report.status.as_str(), report.drift.missing), ("drift", 120));
    let report = bench.engine().share("t", Mode::default(), &Silent).unwrap();
    assert_eq!((report.push, report.accepted, report.status.as_str()), (120, 120, "success"));
}

/// Somebody takes entries of ours away, puts others there, and takes one of ours over. The next reading finds each,
/// the next pass sends again what is missing, and leaves alone what is somebody else's now.
#[test]
fn drift_is_found_and_repaired_by_a_plan() {
    for action in ["look", "read", "append", "shared"] {
        let bench = Bench::new(1, &[("t", action, json!({}))]);
        bench.feed(values(20));
        bench.rest("t");
        bench.tool(|tool| {
            for n in [3, 4, 5] {
                tool.remove(&value(n));
            }
            tool.things.iter_mut().find(|t| t.entry == value(7)).unwrap().mark = None;
            tool.others_add("theirs.example.net");
        });
        bench.sim.wait(HOUR);
        let report = bench.verify("t");
        let drift = &report.drift;
        assert_eq!((report.status.as_str(), drift.checked, drift.there), ("drift", 20, 16), "{action}: {report:?}");
        assert_eq!((drift.missing, drift.lost), (3, 1), "{action}: {report:?}");
        assert!(drift.samples.iter().any(|s| s.starts_with(&value(4))), "{report:?}");
        let report = bench.share("t");
        assert_eq!((report.push, report.retract), (3, 0), "{action}: {report:?}");
        bench.rest("t");
        assert_eq!(bench.verify("t").status, "same", "{action}");
        bench.tool(|tool| {
            assert_eq!(tool.ours().len(), 19);
            assert!(tool.foreign().contains(&value(7)) && tool.damaged.is_empty());
        });
    }
}

/// A destination accepts everything and drops, in silence, what is above a limit nobody declared: 20 of 100, in three
/// styles. It is found in the same pass, the limit is known from then on, 80 entries are there, 20 are listed as cut with
/// their rank, and no further pass sends any of them again.
#[test]
fn f46_a_limit_it_keeps_silent_about_is_found() {
    for action in ["look", "shared", "plain"] {
        let bench = Bench::new(1, &[("t", action, json!({}))]);
        bench.tool(|tool| tool.limit = Some(80));
        bench.feed(values(100));
        let report = bench.share("t");
        assert_ne!(report.status, "success", "{action}: {report:?}");
        bench.rest("t");
        let report = bench.verify("t");
        assert_eq!((report.status.as_str(), report.capacity), ("same", Some(80)), "{action}: {report:?}");
        assert_eq!(bench.tool(|tool| tool.ours().len()), 80, "{action}");
        let cut = bench.engine().cut("t").unwrap();
        assert_eq!(cut.len(), 20, "{action}");
        assert_eq!((cut[0].rank, cut[0].limit), (Some(81), Some(80)), "{action}: {:?}", cut[0]);
        let sent = bench.tool(|tool| tool.n_calls("push") + tool.n_calls("replace"));
        for _ in 0..5 {
            bench.sim.wait(HOUR);
            bench.share("t");
        }
        assert_eq!(bench.tool(|tool| tool.n_calls("push") + tool.n_calls("replace")), sent, "{action}");
    }
}

/// The body of a list we serve is damaged on disk: the next reading finds it, the next pass writes it again.
#[test]
fn a_served_list_is_read_back_too() {
    let sim = crate::sim::Sim::new(1);
    let dir = tempfile::TempDir::new().unwrap();
    let engine = sim.open(store::Store::in_memory().unwrap(), dir.path()).unwrap();
    let file = serde_json::from_value(json!({
        "connection": [
            serde_json::to_value(crate::sim::connection("feed", "sim-feed", Some("feed"))).unwrap(),
            serde_json::to_value(crate::sim::connection("edge", "list", None)).unwrap(),
        ],
        "target": [serde_json::to_value(crate::sim::target("block", "edge", &json!({}))).unwrap()],
        "rule": [{ "name": "bad", "when": "reputation >= 5" }],
        "sharing": [{ "source": "any", "rule": "bad", "target": "block" }],
    }))
    .unwrap();
    engine.apply(&file, "test", false).unwrap();
    let item = crate::sim::Item { reputation: 7, tag: None, seq: 0, retracted: false };
    sim.product("feed", |p| p.items.insert("9.9.9.1".into(), item));
    engine.pull("feed", &Silent).unwrap();
    engine.share("block", Mode::default(), &Silent).unwrap();
    let report = engine.verify("block", Verify::default()).unwrap();
    assert_eq!(report.status, "same", "{report:?}");
    let list = engine.list("block").unwrap();
    let engine::lists::Body::File(path) = &list.body else { panic!("a file") };
    std::fs::write(path, "something else entirely\n").unwrap();
    assert_eq!(engine.verify("block", Verify::default()).unwrap().status, "drift");
    engine.share("block", Mode::default(), &Silent).unwrap();
    assert_eq!(engine.list("block").unwrap().body.read().unwrap(), b"9.9.9.1\n");
    let report = engine.verify("block", Verify::default()).unwrap();
    assert_eq!(report.status, "same", "{report:?}");
}
