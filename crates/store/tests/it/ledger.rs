//! Lines, published bodies, effects: settled together or not at all.

use super::{NOW, add, key, plain};
use intel::{IndicatorId, RunId, TargetId, Timestamp};
use rusqlite::Connection;
use std::time::Duration;
use store::{Effects, LINE_GONE, LineRow, Published, Settle, Store, StoreError};

const TARGET: TargetId = TargetId(3);
const RUN: RunId = RunId(8);

pub(crate) fn line(indicator: u32, state: u8) -> LineRow {
    LineRow {
        indicator: IndicatorId(indicator),
        entry: None,
        state,
        fingerprint: 1,
        remote_id: None,
        remote_expires: None,
        remote_from: None,
        attempts: 0,
        next_try: None,
        words: None,
        run: RUN,
        first_intent: NOW,
        updated: NOW,
    }
}

fn full(indicator: u32) -> LineRow {
    LineRow {
        entry: Some("x.example/'\"✓".into()),
        fingerprint: u64::MAX,
        remote_id: Some(String::new()),
        remote_expires: Some(Timestamp::from_micros(i64::MAX)),
        remote_from: Some(Timestamp::from_micros(i64::MIN)),
        attempts: u32::MAX,
        next_try: Some(Timestamp::from_micros(-1)),
        words: Some("no\nroom".into()),
        first_intent: Timestamp::from_micros(i64::MIN + 1),
        ..line(indicator, 3)
    }
}

fn lines(store: &Store, target: TargetId) -> Vec<LineRow> {
    let mut out = Vec::new();
    store.lines(target, &mut |line| out.push(line.to_row())).unwrap();
    out
}

fn settle() -> Settle<'static> {
    Settle { target: TARGET, run: RUN, lines: &[], dropped: &[], published: None, target_state: None }
}

fn body(lines: u64) -> Published {
    Published {
        name: "block-ip".into(),
        file: format!("block-ip.{lines}"),
        format: "edl".into(),
        sha256: "ab".repeat(32),
        lines,
        bytes: u64::MAX >> 1,
        at: NOW,
    }
}

#[test]
fn lines_come_back_in_order() {
    let store = Store::in_memory().unwrap();
    let rows = [line(0, 0), full(1), line(9, 1), line(u32::MAX, LINE_GONE)];
    let mut shuffled = rows.clone();
    shuffled.reverse();
    store.intend(TARGET, RUN, &shuffled).unwrap();
    store.intend(TargetId(4), RUN, &[line(1, 2)]).unwrap();
    store.intend(TargetId(2), RUN, &[line(u32::MAX, 2)]).unwrap();
    assert_eq!(lines(&store, TARGET), rows);
    assert_eq!(store.line(TARGET, IndicatorId(1)).unwrap(), Some(full(1)));
    assert_eq!(store.line(TARGET, IndicatorId(2)).unwrap(), None);
    let present = line(1, 2);
    store.settle(&Settle { lines: std::slice::from_ref(&present), dropped: &[IndicatorId(9)], ..settle() }).unwrap();
    assert_eq!(lines(&store, TARGET), [line(0, 0), present, line(u32::MAX, LINE_GONE)]);
    assert_eq!(lines(&store, TargetId(4)), [line(1, 2)]);
    assert!(matches!(store.intend(TARGET, RUN, &[line(5, 8)]), Err(StoreError::Conflict(_))));
}

#[test]
fn tombstones_last_until_pruned() {
    let store = Store::in_memory().unwrap();
    let old = LineRow { updated: NOW.before(Duration::from_secs(10)), ..line(1, LINE_GONE) };
    let live = LineRow { indicator: IndicatorId(3), state: 2, ..old.clone() };
    store.intend(TARGET, RUN, &[old, line(2, LINE_GONE), live.clone()]).unwrap();
    assert_eq!(store.prune_tombstones(NOW).unwrap(), 1);
    assert_eq!(lines(&store, TARGET), [line(2, LINE_GONE), live]);
}

#[test]
fn published_and_state_settle_with_the_lines() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let (before, after) = (body(1), body(2));
    store.settle(&Settle { published: Some(&before), target_state: Some("1"), ..settle() }).unwrap();
    let everything = Settle { lines: &[line(1, 2)], published: Some(&after), target_state: Some("2"), ..settle() };
    // The last statement of the transaction fails.
    let shell = Connection::open(dir.path().join("iocast.db")).unwrap();
    shell
        .execute_batch("CREATE TRIGGER fault BEFORE INSERT ON target_state BEGIN SELECT raise(ABORT, 'fault'); END")
        .unwrap();
    assert!(store.settle(&everything).is_err());
    assert_eq!(lines(&store, TARGET), []);
    assert_eq!(store.published(TARGET).unwrap(), Some(before));
    assert_eq!(store.target_state(TARGET).unwrap().as_deref(), Some("1"));
    shell.execute_batch("DROP TRIGGER fault").unwrap();
    store.settle(&everything).unwrap();
    assert_eq!(lines(&store, TARGET), [line(1, 2)]);
    assert_eq!(store.all_published().unwrap(), std::slice::from_ref(&after));
    assert_eq!(store.target_state(TARGET).unwrap().as_deref(), Some("2"));
    store.settle(&settle()).unwrap();
    assert_eq!(store.published(TARGET).unwrap(), Some(after), "nothing said, nothing changed");
    store.unpublish(TARGET).unwrap();
    assert_eq!(store.published(TARGET).unwrap(), None);
}

#[test]
fn a_damaged_line_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    store.intend(TARGET, RUN, &[full(1)]).unwrap();
    let shell = Connection::open(dir.path().join("iocast.db")).unwrap();
    let changes = "state = 2, entry = 'y', fingerprint = 3, remote_id = NULL, remote_expires = 1, remote_from = 1, attempts = 1, \
         next_try = 1, words = '', run = 9, first_intent = 1, updated = 1, id = id + 1";
    for change in changes.split(", ") {
        shell.execute(&format!("UPDATE line SET {change}"), []).unwrap();
        let result = store.lines(TARGET, &mut |_| {});
        assert!(matches!(&result, Err(StoreError::Damaged(what)) if what.contains("target 3")), "{change}: {result:?}");
        // Nothing is built on it: all writing ends.
        assert_eq!(store.trouble(), Some(store::Trouble::Damaged), "{change}");
        let written = store.settle(&Settle { dropped: &[IndicatorId(2)], lines: &[full(1)], ..settle() });
        assert!(matches!(written, Err(StoreError::Damaged(_))), "{change}: {written:?}");
        drop(store);
        store = Store::open(dir.path()).unwrap();
        store.settle(&Settle { dropped: &[IndicatorId(2)], lines: &[full(1)], ..settle() }).unwrap();
        assert_eq!(lines(&store, TARGET), [full(1)]);
    }
}

#[test]
fn effects_add_up_over_the_window() {
    let store = Store::in_memory().unwrap();
    let at = |secs| NOW.after(Duration::from_secs(secs));
    store.add_effects(TARGET, RunId(1), 5, 1, at(0)).unwrap();
    store.add_effects(TARGET, RunId(2), 7, 0, at(10)).unwrap();
    store.add_effects(TARGET, RunId(2), 1, 2, at(11)).unwrap();
    store.add_effects(TARGET, RunId(3), 0, 0, at(12)).unwrap();
    store.add_effects(TargetId(9), RunId(3), 100, 100, at(12)).unwrap();
    for (since, adds, removals) in [(0, 13, 3), (1, 8, 2), (11, 8, 2), (12, 0, 0)] {
        assert_eq!(store.effects_since(TARGET, at(since)).unwrap(), Effects { adds, removals }, "{since}");
    }
}

#[test]
fn operators_read_names() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let ids = add(&store, &[key("evil.example")], &plain()).ids;
    assert_eq!(store.put_doc("connection", "feodo", "{}", NOW).unwrap(), 2);
    assert_eq!(store.put_doc("target", "edge", "{}", NOW).unwrap(), 1);
    store.intend(TargetId(1), RUN, &[line(ids[0].0, 2)]).unwrap();
    let shell = Connection::open(dir.path().join("iocast.db")).unwrap();
    let text = |sql: &str| shell.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(
        text("SELECT kind || ' ' || value || ' ' || source || ' ' || received FROM v_record"),
        "domain evil.example feodo 2027-01-15T08:00:00Z"
    );
    assert_eq!(text("SELECT target || ' ' || entry || ' ' || state FROM v_line"), "edge evil.example present");
    // The names are those of the types.
    let names = |scale: &str| {
        text(&format!("SELECT group_concat(name) FROM (SELECT name FROM scale WHERE scale = '{scale}' ORDER BY code)"))
    };
    let list = |names: Vec<&str>| names.join(",");
    assert_eq!(names("kind"), list(intel::IndicatorKind::ALL.iter().map(|k| k.as_str()).collect()));
    assert_eq!(names("severity"), list(intel::Severity::ALL.iter().map(|k| k.as_str()).collect()));
    assert_eq!(names("tlp"), list(intel::Tlp::ALL.iter().map(|k| k.as_str()).collect()));
}

/// What is meant, packed, stands in place of the lines of its indicators for every reader; settling it leaves what was
/// tried, and nothing of what was not.
#[test]
fn what_is_meant_stands_until_it_is_settled() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let old = [line(2, 2), line(5, 2), line(9, 7)];
    store.settle(&Settle { lines: &old, ..settle() }).unwrap();
    store.settle(&Settle { target: TargetId(4), lines: &[line(5, 2)], ..settle() }).unwrap();
    let new = [line(1, 0), full(5), line(7, 0), line(12, 4)];
    let meant =
        store.mean(TARGET, RUN, &[new[3].clone(), new[0].clone(), new[2].clone(), new[1].clone()], &[], NOW).unwrap();
    let all: Vec<LineRow> = [&new[0], &old[0], &new[1], &new[2], &old[2], &new[3]].into_iter().cloned().collect();
    assert_eq!(lines(&store, TARGET), all);
    assert_eq!(lines(&store, TargetId(4)), [line(5, 2)]);
    assert_eq!(store.line(TARGET, IndicatorId(5)).unwrap(), Some(full(5)));
    assert_eq!(store.line(TARGET, IndicatorId(2)).unwrap(), Some(line(2, 2)));
    for limit in 1..8 {
        for state in [None, Some(0), Some(2), Some(3), Some(4), Some(7)] {
            let expect: Vec<LineRow> = all.iter().filter(|l| state.is_none_or(|s| l.state == s)).cloned().collect();
            let mut got: Vec<LineRow> = Vec::new();
            loop {
                let page = store.lines_after(TARGET, got.last().map(|l| l.indicator), state, limit).unwrap();
                assert!(page.len() <= limit);
                if page.is_empty() {
                    break;
                }
                got.extend(page);
            }
            assert_eq!(got, expect, "{limit} of {state:?}");
        }
    }
    // Of four, two were tried; the other two are as before.
    let tried = [line(1, 2), LineRow { state: 2, ..full(5) }];
    let back = Settle { lines: &tried, dropped: &[IndicatorId(7), IndicatorId(12)], ..settle() };
    store.settle_meant(meant, &back, &[], &[], NOW).unwrap();
    let after = [&tried[0], &old[0], &tried[1], &old[2]].map(Clone::clone);
    assert_eq!(lines(&store, TARGET), after);
    drop(store);
    assert_eq!(lines(&Store::open(dir.path()).unwrap(), TARGET), after);
}

/// Whoever writes lines of a target while something stands meant there makes lines of it first, and so does a start
/// after a kill; what was not tried is put back all the same.
#[test]
fn what_is_meant_becomes_lines_when_nobody_settles_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.settle(&Settle { lines: &[line(5, 2)], ..settle() }).unwrap();
    store.mean(TARGET, RunId(11), &[full(5), line(6, 0)], &[], NOW).unwrap();
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    let run = |row: LineRow| LineRow { run: RunId(11), ..row };
    assert_eq!(lines(&store, TARGET), [run(full(5)), run(line(6, 0))]);
    let meant = store.mean(TARGET, RunId(11), &[line(5, 4), line(8, 0), line(9, 0)], &[], NOW).unwrap();
    store.settle(&Settle { lines: &[line(6, 2)], ..settle() }).unwrap();
    assert_eq!(lines(&store, TARGET), [run(line(5, 4)), line(6, 2), run(line(8, 0)), run(line(9, 0))]);
    let back = Settle { lines: &[line(9, 2)], dropped: &[IndicatorId(8)], ..settle() };
    store.settle_meant(meant, &back, &[full(5)], &[], NOW).unwrap();
    assert_eq!(lines(&store, TARGET), [full(5), line(6, 2), line(9, 2)]);
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    store.mean(TARGET, RUN, &[line(5, 0)], &[], NOW).unwrap();
    let shell = Connection::open(dir.path().join("iocast.db")).unwrap();
    shell.execute("UPDATE meant SET rows = CAST(rows || x'00' AS BLOB)", []).unwrap();
    let told = store.line(TARGET, IndicatorId(5));
    assert!(matches!(&told, Err(StoreError::Damaged(_))), "{told:?}");
}
