//! What follows an undo: parts of it, and the pins it leaves.

use crate::plans::{Desk, value};
use engine::{Part, Silent};
use intel::IndicatorKey;
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A run is stopped half-way by its undo, and a person approves a part of the plan: that part goes out at once, and
/// nothing else does, neither the rest of the plan, nor what the stopped run would have done, nor what has come since, nor
/// what was approved of another plan, whoever asks for the pass. The rest goes when it is approved, and the target goes on.
#[test]
fn f65_a_part_of_an_undo_goes_out_while_the_rest_waits() {
    for name in ["edr", "wall"] {
        let desk = Desk::new(1, &json!({}));
        desk.lists((0..30).map(|n| (n, 5)));
        desk.share(name);
        let before = desk.there(name);
        desk.lists((12..42).map(|n| (n, 5)));
        let target = desk.engine.config().target(name).unwrap().id;
        let pressed = Arc::new(Mutex::new(None));
        let (engine, slot, subject) = (desk.engine.clone(), pressed.clone(), name.to_owned());
        let press = move || {
            let filter = store::RunFilter { kind: Some("share"), subject: Some(&subject), status: None };
            let run = engine.store().runs(filter, 1, None).unwrap()[0].id;
            let other = engine.clone();
            *slot.lock().unwrap() = Some(std::thread::spawn(move || other.undo_run(run, "ann")));
            while !engine.is_halted(target) {
                std::thread::yield_now();
            }
        };
        // After so many steps some were taken back, and the last batches have not begun.
        desk.sim.lock().then = Some((9, Box::new(press)));
        let report = desk.share(name);
        desk.sim.lock().then = None;
        assert!(report.accepted > 0 && report.deferred > 0, "{name}: {report:?}");
        let plan = pressed.lock().unwrap().take().unwrap().join().unwrap().unwrap();
        assert!(plan.halts && plan.push > 1 && plan.pins > plan.push, "{name}: {plan:?}");
        let stopped = desk.there(name);
        // Something comes meanwhile, and everything is asked for.
        desk.lists((12..45).map(|n| (n, 5)));
        let still = desk.share_all(name);
        assert_eq!((still.status.as_str(), still.accepted), ("frozen", 0), "{name}: {still:?}");
        assert!(still.holds.iter().any(|hold| hold.contains("waits for a decision")), "{name}: {still:?}");
        let back = plan.steps.iter().find(|step| step.verb == "push").unwrap().entry.clone();
        let part = Part { only: vec![back.clone()], except: Vec::new() };
        desk.engine.approve_part(plan.id, &part, None, "bob", None).unwrap();
        let report = desk.share_all(name);
        assert_eq!((report.status.as_str(), report.accepted), ("held", 1), "{name}: {report:?}");
        let now: Vec<String> = desk.there(name).difference(&stopped).cloned().collect();
        assert_eq!(now, [back], "{name}: what was approved, and nothing else");
        let again = desk.share_all(name);
        assert_eq!((again.status.as_str(), again.accepted), ("frozen", 0), "{name}: once, {again:?}");
        let rest = desk.engine.plans(Some("waiting")).unwrap();
        assert!(rest.len() == 1 && rest[0].halts && rest[0].push == plan.push - 1, "{name}: {rest:?}");
        desk.engine.approve_plan(rest[0].id, "bob", None).unwrap();
        desk.quiet(name);
        let mut wanted = before;
        wanted.extend((42..45).map(value));
        assert_eq!(desk.there(name), wanted, "{name}");
    }
}

/// What a person keeps out stays out for years: it is not forgotten with the indicator when no source has spoken of it for
/// longer than such things are kept, nor when the exchange was started anew meanwhile.
#[test]
fn a_pin_outlives_the_indicator_s_retention() {
    let desk = Desk::new(1, &json!({}));
    desk.lists([(1, 5)]);
    desk.share("edr");
    desk.lists([(1, 5), (2, 5), (3, 5)]);
    let run = desk.share("edr").run;
    let plan = desk.engine.undo_run(intel::RunId(run), "ann").unwrap();
    desk.engine.approve_plan(plan.id, "ann", None).unwrap();
    desk.quiet("edr");
    desk.lists([(1, 5)]);
    for _ in 0..3 {
        desk.sim.wait(Duration::from_secs(400 * 86_400));
        desk.lists([(1, 5)]);
        desk.engine.advance().unwrap();
        desk.engine.prune().unwrap();
    }
    let pinned = IndicatorKey::parse(None, &value(2)).unwrap();
    assert!(desk.engine.known().index.id(&pinned).is_some());
    desk.lists([(1, 5), (2, 5), (3, 5), (4, 5)]);
    desk.quiet("edr");
    assert_eq!(desk.there("edr"), [value(1), value(4)].into());
    assert_eq!(desk.engine.pins("edr").unwrap().len(), 2);
    assert_eq!(desk.engine.pull("feed", &Silent).unwrap().status, "success");
}

/// A plan that changes nothing and only keeps things as they are names what it keeps.
#[test]
fn a_plan_without_steps_names_what_it_pins() {
    let desk = Desk::new(1, &json!({}));
    desk.lists([(1, 5), (2, 5)]);
    let run = desk.share("edr").run;
    let safe = intel::Verdict { kind: intel::VerdictKind::Safe, until: None };
    for n in [1, 2] {
        desk.engine.verdict(&value(n), None, Some(safe), "ann").unwrap();
    }
    desk.quiet("edr");
    let plan = desk.engine.undo_run(intel::RunId(run), "ann").unwrap();
    assert!(plan.steps.is_empty() && plan.pins == 2, "{plan:?}");
    let pinned: Vec<(&str, &str)> = plan.pinned.iter().map(|pin| (pin.entry.as_str(), pin.hold.as_str())).collect();
    assert_eq!(pinned, [(value(1).as_str(), "out"), (value(2).as_str(), "out")]);
    assert!(desk.engine.plans(None).unwrap()[0].pinned.is_empty(), "a list of plans does not name them");
}
