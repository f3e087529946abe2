//! Where what others have and what we have, or have only meant, meet in one place: whose is it?

use crate::ledger::{Bench, HOUR, MINUTE, value};
use engine::{Adopt, EngineError, Verify};
use serde_json::json;

fn listed(bench: &Bench, values: &[u64]) {
    bench.feed(values.iter().map(|n| (value(*n), 7)));
}

/// Stops the next pass at its n-th point, and starts again.
fn stopped(bench: &mut Bench, at: u64) {
    bench.sim.lock().stop_in = Some(at);
    let stopped = bench.try_share("t");
    assert!(matches!(stopped, Err(EngineError::Stopped(_))), "{stopped:?}");
    bench.sim.lock().stop_in = None;
    bench.restart();
}

/// What was sent to a tool that stages, and is not wanted any more before it was deployed: wherever the process stops while
/// it is taken back (each of the points of the pass in turn), nothing of it is in force in the end. A retraction that was
/// only meant is no retraction that waits for its deployment.
#[test]
fn what_was_meant_is_not_what_was_staged() {
    for at in 0..10 {
        let mut bench = Bench::new(1, &[("t", "stage", json!({}))]);
        // Sent and not deployed: others have changes pending.
        listed(&bench, &[1, 2]);
        bench.tool(|tool| tool.others_pending = true);
        let _ = bench.try_share("t");
        bench.tool(|tool| assert_eq!(tool.staged.as_ref().map(Vec::len), Some(2)));
        listed(&bench, &[2, 3]);
        bench.sim.wait(HOUR);
        bench.tool(|tool| tool.others_pending = false);
        bench.sim.lock().stop_in = Some(at);
        let _ = bench.try_share("t");
        bench.sim.lock().stop_in = None;
        bench.restart();
        bench.rest("t");
        bench.tool(|tool| assert_eq!(tool.ours(), [value(2), value(3)], "stopped at point {at}"));
        assert_eq!(bench.count("t", "present"), 2, "stopped at point {at}");
    }
}

/// A plain list in which others have what we want as well. The process stops when it was meant and before it was sent:
/// who adopts what is there then is not told that it is ours, and what is not wanted any more stays there.
#[test]
fn what_was_only_meant_makes_nothing_ours_that_is_adopted() {
    let mut bench = Bench::new(1, &[("t", "plain", json!({}))]);
    bench.tool(|tool| tool.others_add("theirs.example.net"));
    listed(&bench, &[1]);
    // After the intent, before the list is read again: others are faster.
    stopped(&mut bench, 1);
    bench.tool(|tool| tool.others_add(&value(1)));
    let adopted = bench.engine().adopt("t", Adopt { apply: true, ..Adopt::default() }, "ann").unwrap();
    assert_eq!((adopted.adopted, adopted.lost), (0, 1), "{adopted:?}");
    listed(&bench, &[2]);
    bench.rest("t");
    bench.tool(|tool| {
        assert_eq!(tool.foreign(), [value(1), "theirs.example.net".to_owned()]);
        assert!(tool.damaged.is_empty());
    });
}

/// Others had an entry, took it away, and we put one like it there: while the destination still shows what was there
/// before, it does not count as theirs, whether it is read back, adopted, or to be taken back.
#[test]
fn f42_what_lags_shows_what_others_had_before_and_ours_stays_ours() {
    for act in ["verify", "adopt", "retract"] {
        let bench = Bench::new(1, &[("t", "append", json!({}))]);
        bench.tool(|tool| tool.lag = 15 * MINUTE);
        let now = bench.sim.lock().now;
        bench.tool(|tool| {
            tool.others_add(&value(1));
            tool.shows_from(now);
        });
        bench.sim.wait(HOUR);
        bench.tool(|tool| tool.remove(&value(1)));
        listed(&bench, &[1, 2]);
        bench.share("t");
        bench.tool(|tool| assert_eq!(tool.ours(), [value(1), value(2)]));
        bench.sim.wait(5 * MINUTE);
        match act {
            "verify" => drop(bench.engine().verify("t", Verify { believe: true, all: true }).unwrap()),
            "adopt" => drop(bench.engine().adopt("t", Adopt { apply: true, ..Adopt::default() }, "ann").unwrap()),
            _ => {
                listed(&bench, &[2]);
                bench.share("t");
            }
        }
        assert_eq!(bench.count("t", "foreign"), 0, "{act}");
        listed(&bench, &[2]);
        bench.rest("t");
        bench.tool(|tool| assert_eq!(tool.ours(), [value(2)], "{act}"));
    }
}

/// A list whose entries carry marks carries fields as well: another reputation is an update, though the text is the same.
/// In a list of bare texts it is none.
#[test]
fn another_reputation_is_an_update_where_entries_are_objects() {
    for (action, updates) in [("shared", 1), ("plain", 0), ("look", 1)] {
        let bench = Bench::new(1, &[("t", action, json!({}))]);
        listed(&bench, &[1]);
        bench.rest("t");
        bench.feed([(value(1), 9)]);
        let report = bench.share("t");
        assert_eq!(report.update, updates, "{action}");
        bench.tool(|tool| {
            let expected = if updates == 1 { 9 } else { 7 };
            assert_eq!(tool.things[0].reputation, expected, "{action}");
        });
    }
}

/// A retraction whose answer was lost, at a destination that lags: what was there shows neither before nor after it yet,
/// and others put one like it there meanwhile. It is not taken back a second time before the answer can be believed.
#[test]
fn f42_a_lost_retraction_is_not_repeated_while_the_destination_lags() {
    let bench = Bench::new(1, &[("t", "append", json!({}))]);
    bench.tool(|tool| tool.lag = 15 * MINUTE);
    listed(&bench, &[1, 2]);
    bench.share("t");
    bench.sim.wait(5 * MINUTE);
    // Carried out, and nobody hears of it.
    listed(&bench, &[2]);
    bench.tool(|tool| tool.lost = 100);
    let _ = bench.try_share("t");
    let now = bench.sim.lock().now;
    bench.tool(|tool| {
        tool.lost = 0;
        assert_eq!(tool.ours(), [value(2)]);
        tool.others_add(&value(1));
        tool.shows_from(now);
    });
    bench.sim.wait(4 * MINUTE);
    let _ = bench.try_share("t");
    bench.tool(|tool| assert_eq!((tool.damaged.len(), tool.foreign()), (0, vec![value(1)])));
    bench.rest("t");
    bench.tool(|tool| assert_eq!((tool.damaged.len(), tool.foreign()), (0, vec![value(1)])));
}
