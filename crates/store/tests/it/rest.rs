//! Configuration, runs, plans, accounts.

use super::{NOW, add, key, plain};
use intel::{ConnectionId, IndicatorId, RunId, TargetId, Timestamp};
use rusqlite::Connection;
use std::time::Duration;
use store::{Answer, Changed, Decision, DocChange, DocRemoval, PlanFilter, PlanStatus, RunFilter, Store, StoreError};

fn at(secs: u64) -> Timestamp {
    NOW.after(Duration::from_secs(secs))
}

#[test]
fn documents_keep_ids_and_never_reuse_them() {
    let store = Store::in_memory().unwrap();
    let manual = &store.docs("connection").unwrap()[0];
    assert_eq!((manual.id, manual.name.as_str()), (u32::from(ConnectionId::MANUAL.0), "manual"));
    assert!(matches!(store.delete_doc("connection", "manual"), Err(StoreError::Conflict(_))));
    assert_eq!(store.docs("connection").unwrap().len(), 1);

    assert_eq!(store.put_doc("connection", "a", "{}", at(0)).unwrap(), 2);
    assert_eq!(store.put_doc("connection", "b", "{}", at(0)).unwrap(), 3);
    assert_eq!(store.put_doc("rule", "a", "{}", at(0)).unwrap(), 1, "ids are per kind");
    assert_eq!(store.put_doc("connection", "a", "{\"x\":1}", at(5)).unwrap(), 2);
    assert_eq!(store.put_doc("connection", "a", "{\"x\":1}", at(9)).unwrap(), 2);
    let doc = store.doc("connection", "a").unwrap().unwrap();
    assert_eq!((doc.body.as_str(), doc.created, doc.updated), ("{\"x\":1}", at(0), at(5)));

    store.set_connection_state(ConnectionId(3), "{}").unwrap();
    assert!(store.delete_doc("connection", "b").unwrap());
    assert!(!store.delete_doc("connection", "b").unwrap());
    assert_eq!(store.connection_state(ConnectionId(3)).unwrap(), None);
    assert_eq!(store.put_doc("connection", "b", "{}", at(0)).unwrap(), 4);
    assert_eq!(store.doc("rule", "nothing").unwrap(), None);
}

#[test]
fn documents_are_applied_together() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let shell = Connection::open(dir.path().join("iocast.db")).unwrap();
    shell
        .execute_batch(
            "CREATE TRIGGER fault BEFORE INSERT ON doc WHEN new.name = 'bad' BEGIN SELECT raise(ABORT, 'fault'); END",
        )
        .unwrap();
    let put = |name: &str| DocChange { kind: "rule", name: name.into(), body: "{}".into() };
    assert!(store.apply_docs(&[put("a"), put("bad")], NOW).is_err());
    assert!(store.docs("rule").unwrap().is_empty());
    assert_eq!(store.apply_docs(&[put("a"), put("b"), put("a")], NOW).unwrap(), [1, 2, 1]);
}

#[test]
fn the_last_connection_id_is_the_last() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let shell = Connection::open(dir.path().join("iocast.db")).unwrap();
    shell.execute("UPDATE doc_kind SET last_id = 65534 WHERE kind = 'connection'", []).unwrap();
    assert_eq!(store.put_doc("connection", "last", "{}", NOW).unwrap(), 65_535);
    assert!(matches!(store.put_doc("connection", "more", "{}", NOW), Err(StoreError::Limit(_))));
}

#[test]
fn settings_come_back() {
    let store = Store::in_memory().unwrap();
    assert_eq!(store.setting("frozen").unwrap(), None);
    store.set_setting("frozen", "true").unwrap();
    store.set_setting("frozen", "false").unwrap();
    assert_eq!(store.setting("frozen").unwrap().as_deref(), Some("false"));
}

#[test]
fn runs_are_listed_and_interrupted_at_open() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let first = store.run_start("pull", "a", at(0)).unwrap();
    let second = store.run_start("share", "t", at(1)).unwrap();
    let third = store.run_start("pull", "b", at(2)).unwrap();
    store.run_end(first, "success", "{\"read\":1}", at(3)).unwrap();
    assert!(matches!(store.run_end(RunId(99), "success", "{}", at(3)), Err(StoreError::Conflict(_))));
    drop(store);

    let store = Store::open(dir.path()).unwrap();
    let status = |id| store.run(id).unwrap().unwrap().status;
    assert_eq!([status(first), status(second), status(third)], ["success", "interrupted", "interrupted"]);
    let run = store.run(first).unwrap().unwrap();
    assert_eq!((run.subject.as_str(), run.ended, run.report.as_str()), ("a", Some(at(3)), "{\"read\":1}"));
    let ids = |filter, limit, before| -> Vec<RunId> {
        store.runs(filter, limit, before).unwrap().into_iter().map(|run| run.id).collect()
    };
    let all = RunFilter::default();
    assert_eq!(ids(all, 9, None), [third, second, first]);
    assert_eq!(ids(all, 1, Some(third)), [second]);
    assert_eq!(ids(RunFilter { kind: Some("pull"), ..all }, 9, None), [third, first]);
    assert_eq!(ids(RunFilter { subject: Some("b"), ..all }, 9, None), [third]);
    assert_eq!(ids(RunFilter { status: Some("interrupted"), ..all }, 9, None), [third, second]);

    let row =
        intel::Row { key: key("a"), version: None, claim: intel::Claim::default(), remote_id: None, hops: vec![] };
    store.stage(third, [(&row, 1)]).unwrap();
    let running = store.run_start("pull", "a", at(0)).unwrap();
    assert_eq!(store.prune_runs(at(60)).unwrap(), 2, "what waits and what runs stays");
    assert_eq!(ids(all, 9, None), [running, third]);
    let next = store.run_start("pull", "a", at(0)).unwrap();
    assert!(next > running);
}

#[test]
fn a_rejected_plan_can_still_be_approved_until_a_newer_one_comes() {
    let store = Store::in_memory().unwrap();
    let target = TargetId(1);
    let first = store.put_plan(target, "h1", "[1]", at(0), RunId(1)).unwrap();
    store.decide_plan(first, Decision::Reject, "ann", None, at(1)).unwrap();
    let twice = store.decide_plan(first, Decision::Reject, "ann", None, at(2));
    assert!(matches!(twice, Err(StoreError::Conflict(_))), "rejected once");
    let second = store.put_plan(target, "h2", "[2]", at(3), RunId(2)).unwrap();
    let old = store.decide_plan(first, Decision::Approve, "ann", None, at(4));
    assert!(matches!(old, Err(StoreError::Conflict(_))), "a newer plan waits");
    store.decide_plan(second, Decision::Reject, "ann", None, at(5)).unwrap();
    store.decide_plan(second, Decision::Approve, "ann", None, at(6)).unwrap();
    let plan = store.plan(second).unwrap().unwrap();
    assert_eq!((plan.status, plan.decided), (PlanStatus::Approved, Some(at(6))));
}

#[test]
fn a_newer_plan_takes_the_place_of_the_one_that_waits() {
    let store = Store::in_memory().unwrap();
    let target = TargetId(1);
    let waiting = PlanFilter { target: Some(target), status: Some(PlanStatus::Waiting) };
    let first = store.put_plan(target, "h1", "[1]", at(0), RunId(1)).unwrap();
    let other = store.put_plan(TargetId(2), "h1", "[]", at(0), RunId(1)).unwrap();
    assert_eq!(store.put_plan(target, "h1", "[1]", at(5), RunId(2)).unwrap(), first, "the same plan waits on");
    assert_eq!(store.plan(first).unwrap().unwrap().created, at(0));
    let second = store.put_plan(target, "h2", "[2]", at(6), RunId(3)).unwrap();
    assert!(second > first && store.plan(first).unwrap().is_none());
    assert!(matches!(store.decide_plan(first, Decision::Approve, "ann", None, at(7)), Err(StoreError::Conflict(_))));
    assert_eq!(store.plans(waiting).unwrap().len(), 1);

    store.decide_plan(second, Decision::Approve, "ann", Some("fine"), at(7)).unwrap();
    let again = store.decide_plan(second, Decision::Reject, "bob", None, at(8));
    assert!(matches!(again, Err(StoreError::Conflict(_))), "decided once");
    let plan = store.plan(second).unwrap().unwrap();
    assert_eq!(
        (plan.status, plan.who.as_deref(), plan.note.as_deref(), plan.decided),
        (PlanStatus::Approved, Some("ann"), Some("fine"), Some(at(7)))
    );
    let third = store.put_plan(target, "h3", "[3]", at(9), RunId(4)).unwrap();
    assert!(store.plan(second).unwrap().is_some(), "what is approved stays");
    assert_eq!(store.expire_plans(at(7)).unwrap(), 0);
    assert_eq!(store.expire_plans(at(8)).unwrap(), 1);
    assert!(store.finish_plan(second).is_err());
    assert!(store.drop_waiting_plan(target).unwrap() && !store.drop_waiting_plan(target).unwrap());
    assert!(store.plan(third).unwrap().is_none());
    store.decide_plan(other, Decision::Approve, "ann", None, at(10)).unwrap();
    store.finish_plan(other).unwrap();
    assert_eq!(store.plan(other).unwrap().unwrap().status, PlanStatus::Done);
    assert_eq!(store.prune_plans(at(8)).unwrap(), 1);
    let actions: Vec<String> = store.audit_log(9, None).unwrap().into_iter().map(|entry| entry.action).collect();
    assert_eq!(actions, ["plan.approve", "plan.approve"]);
}

#[test]
fn tokens_are_found_by_hash_until_revoked() {
    let store = Store::in_memory().unwrap();
    let id = store.put_token("admin", &[7; 32], "admin", at(0), Some(at(9))).unwrap();
    assert!(store.put_token("again", &[7; 32], "read", at(0), None).is_err());
    store.touch_token(id, at(3)).unwrap();
    let token = store.token_by_hash(&[7; 32]).unwrap().unwrap();
    assert_eq!((token.name.as_str(), token.expires, token.last_used), ("admin", Some(at(9)), Some(at(3))));
    assert_eq!(store.token_by_hash(&[8; 32]).unwrap(), None);
    assert!(store.revoke_token(id, at(4)).unwrap() && !store.revoke_token(id, at(5)).unwrap());
    assert_eq!(store.token_by_hash(&[7; 32]).unwrap(), None);
    assert_eq!(store.tokens().unwrap()[0].revoked, Some(at(4)));
}

#[test]
fn the_audit_log_shows_tampering() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for n in 0..5 {
        assert_eq!(store.audit("ann", "rule.update", &format!("rule {n}"), "{}", at(n)).unwrap(), n + 1);
    }
    assert_eq!(store.verify_audit().unwrap(), 5);
    let page: Vec<u64> = store.audit_log(2, Some(4)).unwrap().into_iter().map(|entry| entry.seq).collect();
    assert_eq!(page, [3, 2]);
    let shell = Connection::open(dir.path().join("iocast.db")).unwrap();
    assert!(shell.execute("UPDATE audit SET who = 'bob'", []).is_err());
    assert!(shell.execute("DELETE FROM audit", []).is_err());
    shell.execute_batch("DROP TRIGGER audit_is_not_changed; DROP TRIGGER audit_is_not_deleted").unwrap();
    for tamper in
        ["UPDATE audit SET who = 'a', action = 'nnrule.update' WHERE seq = 2", "DELETE FROM audit WHERE seq = 3"]
    {
        let tx = shell.unchecked_transaction().unwrap();
        tx.execute(tamper, []).unwrap();
        tx.commit().unwrap();
        assert!(matches!(store.verify_audit(), Err(StoreError::Damaged(_))), "{tamper}");
    }
}

#[test]
fn one_change_writes_removes_and_releases() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let now = Timestamp::from_secs(1_800_000_000);
    store.put_doc("rule", "old", "{\"canary\":\"5b1f\"}", now).unwrap();
    let target = TargetId(store.put_doc("target", "t", "{}", now).unwrap());
    let run = store.run_start("share", "t", now).unwrap();
    let line = |id: u32, state: u8| store::LineRow {
        indicator: IndicatorId(id),
        entry: None,
        state,
        fingerprint: 7,
        remote_id: Some("r".into()),
        remote_expires: None,
        remote_from: None,
        attempts: 0,
        next_try: None,
        words: None,
        run,
        first_intent: now,
        updated: now,
    };
    let lines: Vec<store::LineRow> = (0..8).map(|state| line(u32::from(state) + 1, state)).collect();
    store.intend(target, run, &lines).unwrap();
    store.set_target_state(target, "{}").unwrap();

    let change = DocChange { kind: "rule", name: "new".into(), body: "{}".into() };
    let removal = |kind, name: &str| DocRemoval { kind, name: name.into() };
    let manual = [removal("rule", "old"), removal("connection", "manual")];
    assert!(store.change_docs(std::slice::from_ref(&change), &manual, &[target], now).is_err(), "it is built in");
    assert!(store.doc("rule", "old").unwrap().is_some() && store.doc("rule", "new").unwrap().is_none(), "all or none");

    store.change_docs(&[change], &[removal("rule", "old"), removal("target", "t")], &[target], now).unwrap();
    assert!(store.doc("rule", "old").unwrap().is_none() && store.doc("target", "t").unwrap().is_none());
    assert!(store.doc("rule", "new").unwrap().is_some());
    assert_eq!(store.target_state(target).unwrap(), None);
    let mut states = Vec::new();
    store.lines(target, &mut |line| states.push(line.state)).unwrap();
    assert_eq!(states, [6, 6, 6, 3, 6, 5, 6, 7], "what may be there is released; refused, foreign and gone stay");

    let spelled = || {
        let files = std::fs::read_dir(dir.path()).unwrap().flatten().map(|file| std::fs::read(file.path()).unwrap());
        files.flatten().collect::<Vec<u8>>().windows(4).any(|bytes| bytes == b"5b1f")
    };
    assert!(spelled());
    store.scrub().unwrap();
    assert!(!spelled());
}

#[test]
fn changes_are_in_order_and_removals_among_them() {
    let store = Store::in_memory().unwrap();
    let ids = add(&store, &[key("a"), key("b"), key("c")], &plain()).ids;
    assert_eq!(store.prune(&[ids[1]], NOW).unwrap(), 1);
    add(&store, &[key("d")], &plain());
    let told = |since, upto, limit| -> Vec<(u64, Option<String>)> {
        let word = |change: &Changed| match change {
            Changed::Indicator { .. } => None,
            Changed::Removed { key, .. } => Some(key.value().to_owned()),
        };
        store.changes(since, upto, limit).unwrap().items.iter().map(|c| (c.revision(), word(c))).collect()
    };
    let gone = Some(key("b").value().to_owned());
    assert_eq!(told(0, 9, 9), [(1, None), (3, None), (4, gone.clone()), (5, None)]);
    assert_eq!(told(3, 9, 1), [(4, gone)], "the limit is over both");
    assert_eq!(told(0, 3, 9), [(1, None), (3, None)], "nothing beyond what may be read");
    assert_eq!(store.prune_removals(NOW).unwrap(), 0, "not yet");
    assert_eq!(store.changes(0, 9, 9).unwrap().floor, 0);
    assert_eq!(store.prune_removals(NOW.after(Duration::from_secs(1))).unwrap(), 1);
    assert_eq!(store.changes(0, 9, 9).unwrap().floor, 4);
    assert_eq!(store.revision().unwrap(), 5);
}

#[test]
fn answers_are_kept_by_caller_and_key_for_a_while() {
    let store = Store::in_memory().unwrap();
    let later = NOW.after(Duration::from_secs(60));
    let given = Answer { body: [7; 32], answer: b"yes".to_vec() };
    store.put_answer("1 a", "k", &given, NOW).unwrap();
    assert_eq!(store.answer("1 a", "k", NOW).unwrap(), Some(given.clone()));
    for (caller, key, since) in [("1 b", "k", NOW), ("1 a", "l", NOW), ("1 a", "k", later)] {
        assert_eq!(store.answer(caller, key, since).unwrap(), None, "{caller} {key}");
    }
    store.put_answer("1 a", "k", &Answer { body: [8; 32], ..given }, later).unwrap();
    assert_eq!(store.answer("1 a", "k", NOW).unwrap().unwrap().body, [8; 32]);
    assert_eq!(
        (store.prune_answers(later).unwrap(), store.prune_answers(later.after(Duration::from_secs(1))).unwrap()),
        (0, 1)
    );
}

/// Who sends a new key with each request must not fill the disk.
#[test]
fn of_one_caller_the_latest_answers_are_kept() {
    let store = Store::in_memory().unwrap();
    let put = |caller: &str, key: u64, bytes: usize| {
        let at = NOW.after(Duration::from_secs(key));
        store.put_answer(caller, &key.to_string(), &Answer { body: [7; 32], answer: vec![0; bytes] }, at).unwrap();
    };
    let kept = |caller: &str, keys: std::ops::Range<u64>| -> Vec<u64> {
        keys.filter(|key| store.answer(caller, &key.to_string(), NOW).unwrap().is_some()).collect()
    };
    put("other", 0, 10);
    (0..1_005).for_each(|key| put("a", key, 10));
    assert_eq!(kept("a", 0..1_005), (5..1_005).collect::<Vec<_>>());
    (0..20).for_each(|key| put("b", key, 4 << 20));
    assert_eq!(kept("b", 0..20), (4..20).collect::<Vec<_>>());
    assert_eq!(kept("other", 0..1), [0]);
    // The one that was just given is there, whatever the clock did.
    put("b", 0, 1);
    assert_eq!(kept("b", 0..1), [0]);
}
