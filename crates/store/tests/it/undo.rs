//! What runs changed, pins, and plans that people ask for and approve in part.

use intel::{IndicatorId, RunId, TargetId, Timestamp};
use serde_json::Value;
use store::{
    Approval, Asked, Effect, Hold, Inverse, PinChange, PinRow, PlanFilter, PlanId, PlanRow, PlanStatus, Rest, Store,
    StoreError,
};

const TARGET: TargetId = TargetId(3);

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn did(id: u32, effect: Effect) -> Inverse {
    Inverse { indicator: IndicatorId(id), effect, state: None, fingerprint: 0, since: None, by_pin: false }
}

fn told(store: &Store, from: u64, since: Option<i64>) -> Vec<(u64, Inverse)> {
    let mut out = Vec::new();
    store.inverses(TARGET, RunId(from), since.map(at), &mut |run, row| out.push((run.0, row))).unwrap();
    out
}

fn pin(id: u32, hold: Hold, plan: u64) -> PinRow {
    PinRow {
        indicator: IndicatorId(id),
        hold,
        plan,
        who: "bob".to_owned(),
        at: at(9),
        runs: "[4]".to_owned(),
        past: (hold == Hold::In).then(|| "{}".to_owned()),
    }
}

fn pins(store: &Store) -> Vec<(u32, PinRow)> {
    let mut out = Vec::new();
    store.pins(&mut |target, row| out.push((target.0, row))).unwrap();
    out
}

fn audit(store: &Store) -> Vec<(String, String, String, Value)> {
    let rows = store.audit_log(20, None).unwrap().into_iter().rev();
    rows.map(|row| (row.who, row.action, row.object, serde_json::from_str(&row.detail).unwrap())).collect()
}

/// Every field comes back as it went in, at its greatest and least, and what came to nothing is left out.
#[test]
fn what_a_run_changed_is_told_in_the_order_of_doing() {
    let store = Store::in_memory().unwrap();
    let all = [
        did(0, Effect::Added),
        Inverse {
            indicator: IndicatorId(u32::MAX),
            effect: Effect::Changed,
            state: Some(0),
            fingerprint: u64::MAX,
            since: Some(at(i64::from(u32::MAX))),
            by_pin: true,
        },
        Inverse { state: Some(6), fingerprint: 1, since: Some(at(1)), ..did(7, Effect::Removed) },
    ];
    store.add_inverses(TARGET, RunId(4), &all, at(10)).unwrap();
    store.add_inverses(TARGET, RunId(4), &[did(8, Effect::Added)], at(11)).unwrap();
    store.add_inverses(TARGET, RunId(5), &[did(9, Effect::Added)], at(20)).unwrap();
    store.add_inverses(TargetId(4), RunId(5), &[did(1, Effect::Added)], at(20)).unwrap();
    let of_4: Vec<(u64, Inverse)> = all.iter().chain(&[did(8, Effect::Added)]).map(|row| (4, *row)).collect();
    assert_eq!(told(&store, 4, None), [of_4.clone(), vec![(5, did(9, Effect::Added))]].concat());
    assert_eq!(told(&store, 5, None), [(5, did(9, Effect::Added))]);
    assert_eq!(told(&store, 0, Some(20)), [(5, did(9, Effect::Added))], "since a time");
    // Refused after all: all the run said of that entry is void, and only that run.
    store.add_inverses(TARGET, RunId(4), &[did(8, Effect::Nothing)], at(21)).unwrap();
    store.add_inverses(TARGET, RunId(6), &[did(8, Effect::Added)], at(22)).unwrap();
    let rows = told(&store, 0, None);
    assert_eq!(rows.iter().filter(|(_, row)| row.indicator.0 == 8).map(|(run, _)| *run).collect::<Vec<_>>(), [6]);
    assert_eq!(rows.len(), 5);
    assert_eq!(store.inverses_reach(TARGET).unwrap(), Some(at(10)));
    assert_eq!(store.prune_inverses(at(20)).unwrap(), 2);
    assert_eq!(store.inverses_reach(TARGET).unwrap(), Some(at(20)));
    assert_eq!(store.inverses_reach(TargetId(9)).unwrap(), None);
}

fn ask(store: &Store, halts: bool) -> PlanId {
    let asked = Asked { kind: "undo", author: "ann", about: "run 4", pins: "[1,2]", halts };
    store.ask_plan(TARGET, "whole", "[1,2]", at(5), &asked).unwrap()
}

fn approval<'a>(id: PlanId, hash: &'a str, pins: &'a [PinChange]) -> Approval<'a> {
    Approval { id, hash, who: "bob", note: Some("wrong feed"), now: at(9), pins, part: None }
}

/// Approval and pins are one transaction; another set than was looked at is not approved and sets no pin.
#[test]
fn pins_are_set_with_the_approval_or_not_at_all() {
    let store = Store::in_memory().unwrap();
    let id = ask(&store, true);
    let set = [PinChange::Set(pin(1, Hold::Out, id.0)), PinChange::Set(pin(2, Hold::In, id.0))];
    let stale = store.approve(&approval(id, "another", &set));
    assert!(matches!(&stale, Err(StoreError::Conflict(why)) if why.contains("whole")), "{stale:?}");
    assert!(pins(&store).is_empty() && store.plan(id).unwrap().unwrap().status == PlanStatus::Waiting);
    assert_eq!(store.approve(&approval(id, "whole", &set)).unwrap(), None);
    assert_eq!(pins(&store), [(3, pin(1, Hold::Out, id.0)), (3, pin(2, Hold::In, id.0))]);
    assert!(matches!(store.approve(&approval(id, "whole", &set)), Err(StoreError::Conflict(_))), "approved once");
    // A later approval takes the place of one pin and lifts the other.
    let again = ask(&store, false);
    let set = [PinChange::Set(pin(1, Hold::In, again.0)), PinChange::Lift(IndicatorId(2))];
    store.approve(&approval(again, "whole", &set)).unwrap();
    assert_eq!(pins(&store), [(3, pin(1, Hold::In, again.0))]);
    assert_eq!(store.lift_pins(TARGET, "edr", Some(&[IndicatorId(2)]), "ann", at(10)).unwrap(), 0, "none is there");
    assert_eq!(store.lift_pins(TargetId(9), "other", None, "ann", at(10)).unwrap(), 0);
    assert_eq!(store.lift_pins(TARGET, "edr", None, "ann", at(10)).unwrap(), 1);
    assert!(pins(&store).is_empty());
    let log = audit(&store);
    let acts: Vec<(&str, &str, &str)> =
        log.iter().map(|(who, act, of, _)| (who.as_str(), act.as_str(), of.as_str())).collect();
    let (first, second) = (format!("plan {id}"), format!("plan {again}"));
    let expected = [
        ("ann", "plan.ask", first.as_str()),
        ("bob", "plan.approve", &first),
        ("ann", "plan.ask", &second),
        ("bob", "plan.approve", &second),
        ("ann", "target.unpin", "edr"),
    ];
    assert_eq!(acts, expected, "what changed nothing is not logged");
    assert_eq!(
        (&log[1].3["note"], &log[1].3["pins"], &log[0].3["about"]),
        (&"wrong feed".into(), &2.into(), &"run 4".into())
    );
}

/// A part is approved under the plan's number, the rest goes on waiting under a new one with all else as it was.
#[test]
fn the_rest_of_a_plan_waits_under_a_number_of_its_own() {
    let store = Store::in_memory().unwrap();
    let id = ask(&store, true);
    let part =
        (Rest { hash: "a", steps: "[1]", pins: Some("[1]") }, Rest { hash: "b", steps: "[2]", pins: Some("[2]") });
    let rest = store.approve(&Approval { part: Some(part), ..approval(id, "whole", &[]) }).unwrap().unwrap();
    let (done, left) = (store.plan(id).unwrap().unwrap(), store.plan(rest).unwrap().unwrap());
    assert_eq!((done.status, done.hash.as_str(), done.steps.as_str()), (PlanStatus::Approved, "a", "[1]"));
    assert_eq!((left.status, left.hash.as_str(), left.steps.as_str()), (PlanStatus::Waiting, "b", "[2]"));
    assert_eq!(
        (
            left.kind.as_str(),
            left.author.as_deref(),
            left.about.as_deref(),
            left.halts,
            left.created,
            left.pins.as_deref()
        ),
        ("undo", Some("ann"), Some("run 4"), true, at(5), Some("[2]"))
    );
    assert_eq!((left.who, left.note, left.decided), (None, None, None));
    assert_eq!(audit(&store)[1].3["waits"], rest.0);
    // It waits beside what a pass holds, and a pass neither replaces nor drops it.
    let held = store.hold_plan(TARGET, "h", "[]", at(6), RunId(1), Some("ann"), None).unwrap();
    let newer = store.hold_plan(TARGET, "i", "[]", at(7), RunId(2), None, Some("{}")).unwrap();
    assert!(store.plan(held).unwrap().is_none() && store.plan(rest).unwrap().is_some());
    assert_eq!(store.plan(newer).unwrap().unwrap().replaced.as_deref(), Some("{}"));
    assert!(store.drop_waiting_plan(TARGET).unwrap());
    let waiting = PlanFilter { target: Some(TARGET), status: Some(PlanStatus::Waiting) };
    assert_eq!(store.plans(waiting).unwrap().iter().map(|plan| plan.id).collect::<Vec<_>>(), [rest]);
    assert_eq!(store.expire_waiting(at(5), at(8)).unwrap(), [], "not yet");
    assert_eq!(store.expire_waiting(at(6), at(8)).unwrap(), [rest]);
    assert_eq!(store.plan(rest).unwrap().unwrap().status, PlanStatus::Expired);
}

/// What every pass asks of the store is found by an index, however much was planned and done before; and the heads of
/// plans are the plans without what may be long.
#[test]
fn plans_and_changes_are_found_without_going_through_all() {
    let store = Store::in_memory().unwrap();
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(store.put_plan(TargetId(n), "h", "[1]", at(5), RunId(1)).unwrap());
    }
    store.decide_plan(ids[0], store::Decision::Reject, "ann", None, at(6)).unwrap();
    for filter in [
        PlanFilter::default(),
        PlanFilter { target: Some(TargetId(3)), status: None },
        PlanFilter { target: None, status: Some(PlanStatus::Rejected) },
        PlanFilter { target: Some(TargetId(2)), status: Some(PlanStatus::Waiting) },
    ] {
        let whole: Vec<PlanRow> = store.plans(filter).unwrap();
        let bare = |plan: &PlanRow| PlanRow { steps: String::new(), pins: None, ..plan.clone() };
        assert!(!whole.is_empty());
        assert_eq!(store.plan_heads(filter).unwrap(), whole.iter().map(bare).collect::<Vec<_>>(), "{filter:?}");
    }
    for (who, action, object, secs) in [
        ("ann", "rule.change", "bad", 10),
        ("bob", "target.change", "edr", 20),
        ("eve", "ruler.change", "bad", 30),
        ("dan", "verdict", "rule.", 40),
    ] {
        store.audit(who, action, object, "{}", at(secs)).unwrap();
    }
    let last = |nouns: &[&str], since, object: &str| {
        store.last_audit(nouns, since, &|entry| entry.object == object).unwrap().map(|entry| entry.who)
    };
    assert_eq!(last(&["rule", "target"], None, "bad").as_deref(), Some("ann"));
    assert_eq!(last(&["target"], None, "bad"), None);
    assert_eq!(last(&["rule", "target"], Some(at(20)), "edr").as_deref(), Some("bob"));
    assert_eq!(last(&["rule", "target"], Some(at(11)), "bad"), None, "not that old");
}
