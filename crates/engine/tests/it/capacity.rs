//! A destination that is full: the best have their places, others' places are theirs, and what was cut can be listed.

use crate::ledger::{Bench, seeds, value};
use crate::sim::Dice;
use engine::{EngineError, Mode, Silent};
use serde_json::json;
use std::collections::BTreeMap;

/// Three times as many entries as there is room for, at a limit that is set, that the destination says itself, or that
/// others share with us, in 40 histories in which reputations change: what is there of ours is exactly the best by rank
/// that fit (a place once given is kept among equals), what others have there is not touched, and what was cut is listed
/// with its rank and adds up with what is there.
#[test]
fn f43_a_full_destination_holds_the_best() {
    for seed in seeds(40) {
        let mut dice = Dice(seed ^ 0x43);
        let is_said = dice.chance(50);
        let params = if is_said { json!({}) } else { json!({ "capacity": 12 }) };
        let action = ["shared", "plain", "read"][dice.below(3) as usize];
        let bench = Bench::new(seed, &[("t", action, params)]);
        bench.tool(|tool| {
            tool.keeps_versions = true;
            (tool.limit, tool.says_limit) = (is_said.then_some(12), is_said);
            for n in 0..3 {
                tool.others_add(&format!("theirs{n}.example.net"));
            }
        });
        let mut reputations: BTreeMap<String, i64> = BTreeMap::new();
        for _ in 0..5 {
            reputations = (0..36).map(|n| (value(n), 5 + dice.below(6) as i64)).collect();
            bench.feed(reputations.clone());
            bench.rest("t");
            bench.tool(|tool| {
                assert_eq!(tool.foreign().len(), 3, "seed {seed}");
                assert!(tool.damaged.is_empty() && tool.things.len() <= 12, "seed {seed} {action}: {:?}", tool.things);
            });
            let mut offered: Vec<i64> = reputations.values().copied().collect();
            offered.sort_unstable_by(|a, b| b.cmp(a));
            let mut there: Vec<i64> = bench.tool(|tool| tool.ours()).iter().map(|v| reputations[v]).collect();
            there.sort_unstable_by(|a, b| b.cmp(a));
            assert_eq!(there, offered[..9], "seed {seed} {action}: the best nine reputations");
            let cut = bench.engine().cut("t").unwrap();
            assert_eq!(cut.len(), 27, "seed {seed}");
            let ranks: Vec<u32> = cut.iter().map(|cut| cut.rank.unwrap()).collect();
            assert_eq!(ranks, (10..=36).collect::<Vec<u32>>(), "seed {seed}");
            assert!(cut.iter().all(|cut| cut.limit == Some(9)));
        }
        // One that gets better takes the place of the worst, and nothing else moves.
        let before = bench.tool(|tool| tool.ours());
        let out = reputations.keys().find(|v| !before.contains(v)).unwrap().clone();
        let worst = before.iter().map(|v| reputations[v]).min().unwrap();
        if worst < 10 {
            reputations.insert(out.clone(), 10);
            bench.feed(reputations.clone());
            bench.rest("t");
            let after = bench.tool(|tool| tool.ours());
            assert!(after.contains(&out));
            assert_eq!(before.iter().filter(|v| !after.contains(v)).count(), 1, "seed {seed}");
        }
    }
}

/// Who expects exactly the plan that a dry run showed is answered by one that knows what others have there, though nobody
/// had read it when the dry run was made: where they take the room, nothing is sent, and the next dry run shows it so.
#[test]
fn what_is_expected_is_compared_with_a_plan_that_knows_who_is_there() {
    let bench = Bench::new(1, &[("t", "read", json!({ "capacity": 10 }))]);
    bench.tool(|tool| (0..8).for_each(|n| tool.others_add(&format!("theirs{n}.example.net"))));
    bench.feed((0..5).map(|n| (value(n), 7)));
    let share = |hash: &str| bench.engine().share_expecting("t", Mode::default(), Some(hash), &Silent);
    let shown = bench.engine().preview("t").unwrap().head;
    assert_eq!(shown.push, 5);
    let other = share(&shown.hash);
    assert!(matches!(&other, Err(EngineError::Conflict(why)) if why.contains("nothing was sent")), "{other:?}");
    assert_eq!(bench.tool(|tool| (tool.n_calls("read"), tool.n_calls("push"))), (1, 0));
    let shown = bench.engine().preview("t").unwrap().head;
    assert_eq!(shown.push, 2, "there is room for two");
    let done = share(&shown.hash).unwrap();
    assert_eq!((done.accepted, done.status.as_str()), (2, "success"), "{done:?}");
    assert_eq!(bench.tool(|tool| tool.things.len()), 10);
}
