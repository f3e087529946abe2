//! What is kept in memory of held plans, so that pages need not read a million steps, is what the plans themselves say.

use crate::plans::{Desk, value};
use engine::{Engine, HeldPlan, Part};
use serde_json::json;

/// Whatever was decided meanwhile.
fn glance_is_true(engine: &Engine) {
    let all = engine.plans(None).unwrap();
    let n = all.iter().filter(|plan| plan.status == "waiting").count() as u64;
    assert_eq!(engine.n_waiting_plans().unwrap(), n);
    for plan in all {
        let whole = engine.held_plan(plan.id).unwrap();
        let bare = HeldPlan { steps: Vec::new(), pinned: Vec::new(), ..whole.clone() };
        assert_eq!(serde_json::to_value(&plan).unwrap(), serde_json::to_value(&bare).unwrap());
        for most in [0, 1, 2, 1000] {
            let top = engine.held_plan_top(plan.id, most).unwrap();
            let steps = whole.steps.iter().take(most).cloned().collect();
            let expect = HeldPlan { steps, ..whole.clone() };
            assert_eq!(serde_json::to_value(&top).unwrap(), serde_json::to_value(&expect).unwrap(), "{most}");
        }
    }
}

#[test]
fn plans_at_a_glance_are_those_there_are() {
    let desk = Desk::new(4, &json!({ "budget": { "removals": { "percent": 0, "at_least": 0 } } }));
    glance_is_true(&desk.engine);
    desk.lists((0..10).map(|n| (n, 5)));
    desk.share("edr");
    desk.lists((4..10).map(|n| (n, 5)));
    let first = desk.share("edr").plan.unwrap();
    glance_is_true(&desk.engine);
    desk.lists((3..9).map(|n| (n, 5)));
    let newer = desk.share("edr").plan.unwrap();
    assert!(desk.engine.plans(None).unwrap().iter().all(|plan| plan.id != first));
    glance_is_true(&desk.engine);
    let part = Part { only: vec!["retract".into()], except: vec![value(0)] };
    desk.engine.approve_part(newer, &part, None, "bob", None).unwrap();
    glance_is_true(&desk.engine);
    desk.share("edr");
    let waiting = desk.engine.plans(Some("waiting")).unwrap()[0].id;
    // The step of an entry is that of the plan itself.
    let why = desk.engine.why(&value(0), None).unwrap();
    let at = why.targets.iter().find(|target| target.target == "edr").unwrap();
    let waits = at.plan.as_ref().unwrap();
    let step = desk.engine.held_plan(waiting).unwrap().steps.into_iter().find(|step| step.entry == value(0)).unwrap();
    assert_eq!((waits.id, &*waits.verb, &waits.waits), (waiting, step.verb, &step.waits));
    assert!(desk.engine.why(&value(7), None).unwrap().targets.iter().all(|target| target.plan.is_none()));
    desk.engine.reject_plan(waiting, "bob", None).unwrap();
    glance_is_true(&desk.engine);
    desk.pass_time(31 * 24 * 3600);
    desk.engine.expire_held().unwrap();
    glance_is_true(&desk.engine);
}

#[test]
fn a_page_and_its_count_are_those_of_two_questions() {
    let desk = Desk::new(5, &json!({}));
    desk.lists((0..50).map(|n| (n, 1 + n as i64 % 10)));
    let sort = index::Sort { field: index::SortField::Reputation, descending: true };
    for text in ["", "reputation >= 5", "value = \"9.0.0.1\"", "reputation >= 11"] {
        let Ok((hits, next, n)) = desk.engine.find_counted(text, false, sort, None, 7) else { continue };
        assert_eq!(n, desk.engine.count(text, false).unwrap(), "{text}");
        let (other, other_next) = desk.engine.find(text, false, sort, None, 7).unwrap();
        assert_eq!((hits.len(), next), (other.len(), other_next), "{text}");
        assert!(hits.iter().zip(&other).all(|(a, b)| a.value == b.value), "{text}");
        assert_eq!(hits.len() as u64, n.min(7), "{text}");
    }
}
