//! A sharing tried before it goes, the counts of each, and a source that is read again.

use crate::plans::{Desk, value};
use engine::config::SharingDoc;
use engine::state::ConnectionState;
use engine::{EngineError, Silent};
use intel::Timestamp;
use serde_json::json;
use std::time::Duration;

fn sharing(rule: &str, target: &str) -> SharingDoc {
    serde_json::from_value(json!({ "source": "feed", "rule": rule, "target": target })).unwrap()
}

#[test]
fn a_sharing_is_tried_before_it_is_saved_and_as_if_it_were_not_paused() {
    let desk = Desk::new(11, &json!({}));
    desk.apply(&json!({
        "rule": [
            { "name": "all", "when": "reputation >= 6", "exceptions": [{ "name": "ours", "values": [value(3)] }] },
            { "name": "worst", "when": "reputation >= 9" },
        ],
        "sharing": [{ "source": "feed", "rule": "all", "target": "edr", "paused": true }],
    }));
    desk.lists([(0, 5), (1, 5), (2, 7), (3, 7), (4, 9)]);
    let tried = desk.engine.try_sharing(&sharing("all", "edr"), None).unwrap();
    let excepted = ("excepted", 1);
    assert_eq!((tried.head.push, tried.head.retract, tried.head.skip), (2, 0, 1), "{:?}", tried.head);
    assert_eq!(tried.skipped_by.into_iter().collect::<Vec<_>>(), [excepted]);
    // Nothing was stored: the sharing is paused as before.
    assert_eq!(desk.engine.preview("edr").unwrap().head.push, 0);
    // One that is not there yet: of the pass, only what it selects.
    let tried = desk.engine.try_sharing(&sharing("worst", "list"), None).unwrap();
    let rows = tried.rows(&desk.engine, 0, 100);
    assert_eq!((rows.len(), rows[0].entry.as_str(), tried.head.rows), (1, value(4).as_str(), 1), "{rows:?}");
    assert_eq!(desk.engine.preview("list").unwrap().head.push, 2, "of the other sharing");
    assert!(matches!(desk.engine.try_sharing(&sharing("none", "edr"), None), Err(EngineError::Config(_))));
    assert!(desk.engine.try_sharing(&sharing("all", "nowhere"), None).is_err());
}

#[test]
fn a_window_leaves_what_was_seen_in_it_and_what_is_taken_back_is_told_without_one() {
    let desk = Desk::new(12, &json!({ "budget": { "removals": { "percent": 100, "at_least": 100 } } }));
    desk.lists((0..4).map(|n| (n, 5)));
    desk.share_all("edr");
    desk.pass_time(5 * 86_400);
    desk.lists((2..8).map(|n| (n, 5)));
    let all = desk.engine.try_sharing(&sharing("all", "edr"), None).unwrap().head;
    assert_eq!((all.push, all.retract, all.leave), (4, 2, 2), "{all:?}");
    let day = Some(Duration::from_secs(86_400));
    let recent = desk.engine.try_sharing(&sharing("all", "edr"), day).unwrap().head;
    assert_eq!((recent.push, recent.retract), (4, 0), "{recent:?}");
    desk.pass_time(2 * 86_400);
    let none = desk.engine.try_sharing(&sharing("all", "edr"), day).unwrap().head;
    assert_eq!((none.push, none.retract, none.leave, none.rows), (0, 0, 0, 0), "{none:?}");
}

#[test]
fn what_a_sharing_wants_is_there_or_pending_or_refused_or_of_others() {
    let desk = Desk::new(13, &json!({}));
    desk.apply(&json!({
        "rule": [{ "name": "all", "when": "reputation >= 2", "exceptions": [{ "name": "ours", "values": [value(0)] }] },
                 { "name": "few", "when": "reputation >= 9" }],
        "sharing": [{ "source": "any", "rule": "few", "target": "edr" }],
    }));
    desk.lists((0..6).map(|n| (n, if n < 2 { 9 } else { 5 })));
    let of = |rule: &str, target: &str| {
        let counts = desk.engine.sharing_counts().unwrap();
        let found = counts.into_iter().find(|c| c.key[1] == rule && c.key[2] == target).unwrap();
        assert_eq!(found.wanted, found.present + found.pending + found.refused + found.others, "{found:?}");
        (found.wanted, found.present, found.pending)
    };
    assert_eq!(of("all", "edr"), (5, 0, 5));
    assert_eq!(of("few", "edr"), (1, 0, 1), "an exception of any rule of a target counts for all");
    desk.share_all("edr");
    assert_eq!((of("all", "edr"), of("few", "edr")), ((5, 5, 0), (1, 1, 0)));
    assert_eq!(of("all", "list"), (5, 0, 5));
    desk.lists((0..7).map(|n| (n, if n < 2 { 9 } else { 5 })));
    assert_eq!(of("all", "edr"), (6, 5, 1));
}

#[test]
fn a_source_is_read_again_from_a_time_until_a_run_ends_well() {
    let desk = Desk::new(14, &json!({}));
    desk.lists((0..4).map(|n| (n, 5)));
    let id = desk.engine.config().connection("feed").unwrap().id;
    let state = || ConnectionState::parse(desk.engine.store().connection_state(id).unwrap().as_deref());
    let from = Timestamp::parse("2020-01-01T00:00:00Z").unwrap();
    desk.engine.read_again("feed", Some(from), "ann").unwrap();
    assert_eq!((state().cursor, state().again_from), (None, Some(from.micros())));
    assert_eq!(desk.engine.source("feed").unwrap().again_from.as_deref(), Some("2020-01-01T00:00:00Z"));
    let log = desk.engine.store().audit_log(1, None).unwrap();
    assert_eq!((log[0].action.as_str(), log[0].who.as_str(), log[0].object.as_str()), ("source.again", "ann", "feed"));
    desk.pass_time(60);
    let report = desk.engine.pull("feed", &Silent).unwrap();
    assert_eq!((report.read, report.unchanged), (4, 4), "what is known is unchanged: {report:?}");
    assert_eq!(state().again_from, None);
    let ahead = desk.sim.lock().now.after(Duration::from_secs(60));
    assert!(matches!(desk.engine.read_again("feed", Some(ahead), "ann"), Err(EngineError::Invalid(_))));
    assert!(matches!(desk.engine.read_again("edge", None, "ann"), Err(EngineError::Invalid(_))));
    assert!(matches!(desk.engine.read_again("nobody", None, "ann"), Err(EngineError::NotFound(_))));
}
