//! The checker: from what the mocks were asked and did, and from the tables of the store read with plain SQL, whether
//! the invariants hold. It knows nothing of the engine, and says no more than yes or what is wrong.

use super::exchange::{CANARIES, Exchange, image};
use super::server::Done;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use faultvfs::{integrity, rows};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use store::Store;

/// What must hold at any moment, also just after a kill and before the next start.
pub(crate) fn always(exchange: &Exchange) {
    let at = &exchange.at;
    let image = image(&exchange.data());
    let db = image.path().join("iocast.db");
    assert_eq!(integrity(&db), "ok", "{at}: the store is not sound");

    // I1, I2: what the cursor has passed, and what the other side was told we have, is known.
    let known: BTreeSet<String> = column(&db, "SELECT value FROM indicator");
    let (pages, asked) = {
        let state = exchange.mock.lock();
        (state.pages.clone(), state.asked_after)
    };
    let cursor = rows(
        &db,
        "SELECT s.state FROM connection_state s JOIN doc d ON d.id = s.connection AND d.kind = 'connection' AND d.name = 'pages'",
    );
    let stored = cursor.first().and_then(|row| serde_json::from_str::<serde_json::Value>(&row[0]).ok());
    let stored = stored.and_then(|state| state["cursor"].as_u64()).unwrap_or(0);
    let passed = usize::try_from(stored).unwrap().max(asked);
    let lost: Vec<&String> = pages[..passed.min(pages.len())].iter().filter(|value| !known.contains(*value)).collect();
    assert!(lost.is_empty(), "{at}: I2: the cursor is at {passed}, and these are not known: {lost:?}");

    // I4: what other people have is there, byte for byte.
    for (list, entry) in &exchange.foreign {
        assert!(exchange.mock.list(list).live.contains(entry), "{at}: I4: {entry:?} of another is gone from {list}");
    }

    // I8: nothing of ours is there twice.
    for (style, list) in exchange.styles.iter().filter_map(|(style, list)| Some((style, (*list)?))) {
        let mut seen = BTreeSet::new();
        for value in exchange.held(style, Some(list)) {
            assert!(seen.insert(value.clone()), "{at}: I8: {value} is twice at {style}");
        }
    }

    // I10: whatever was done was meant: a line says so, once the store is opened again.
    let store = Store::open(image.path()).unwrap();
    store.verify_audit().unwrap_or_else(|error| panic!("{at}: I10: {error}"));
    drop(store);
    let done: Vec<Done> = std::mem::take(&mut exchange.mock.lock().done);
    for (style, list) in exchange.styles.iter().filter_map(|(style, list)| Some((style, (*list)?))) {
        let lines = column(&db, &format!("SELECT entry FROM v_line WHERE target = '{style}'"));
        for effect in done.iter().filter(|done| done.list == list) {
            assert!(lines.contains(&effect.value), "{at}: I10: {effect:?} at {style} without a line");
        }
    }

    counts(exchange, &db);
}

/// I14: every run's counts add up, and one that left something over is no success.
fn counts(exchange: &Exchange, db: &Path) {
    let at = &exchange.at;
    for row in rows(db, "SELECT kind, status, report FROM run WHERE ended IS NOT NULL") {
        let report: serde_json::Value = serde_json::from_str(&row[2]).unwrap();
        let n = |key: &str| report[key].as_u64().unwrap_or(0);
        match row[0].as_str() {
            "pull" => {
                let (read, parts) = (n("read"), n("new") + n("changed") + n("unchanged") + n("rejected"));
                assert_eq!(read, parts, "{at}: I14: {report}");
            }
            "share" => {
                let planned = n("push") + n("update") + n("retract");
                let left = n("refused") + n("unknown") + n("deferred");
                assert_eq!(planned, n("accepted") + left, "{at}: I14: {report}");
                assert!(left == 0 || row[1] != "success", "{at}: I14: success with {left} left over: {report}");
            }
            _ => {}
        }
    }
}

/// What must hold when faults have ended and everything was pulled and shared: I5, beside what always holds.
pub(crate) fn settled(exchange: &Exchange) {
    always(exchange);
    let at = &exchange.at;
    let wanted = exchange.wanted();
    let known = active(exchange);
    assert_eq!(known, wanted, "{at}: I1, I5: what is known is not what the sources list");
    for (style, list) in exchange.styles {
        let held: BTreeSet<String> = exchange.held(style, *list).into_iter().collect();
        // What another had there first stays theirs.
        let theirs: BTreeSet<&String> = exchange
            .foreign
            .iter()
            .filter(|(other, _)| Some(&**other) == *list)
            .map(|(_, entry)| &entry.value)
            .collect();
        let ours: BTreeSet<String> = wanted.iter().filter(|value| !theirs.contains(value)).cloned().collect();
        let (missing, more) = (ours.difference(&held).count(), held.difference(&ours).count());
        assert_eq!((missing, more), (0, 0), "{at}: I5: {style}: missing and too many");
    }
}

/// As [`settled`], where tools have refused some entries: what is missing has a line that says so, and is nowhere else.
pub(crate) fn rested(exchange: &Exchange) {
    always(exchange);
    let at = &exchange.at;
    let wanted = exchange.wanted();
    assert_eq!(active(exchange), wanted, "{at}: I1, I5: what is known is not what the sources list");
    let image = image(&exchange.data());
    let db = image.path().join("iocast.db");
    for (style, list) in exchange.styles {
        let held: BTreeSet<String> = exchange.held(style, *list).into_iter().collect();
        let told = format!("SELECT entry FROM v_line WHERE target = '{style}' AND state IN ('refused', 'foreign')");
        let told = column(&db, &told);
        let missing: Vec<&String> = wanted.difference(&held).filter(|value| !told.contains(*value)).collect();
        let more: Vec<&String> = held.difference(&wanted).collect();
        assert!(missing.is_empty() && more.is_empty(), "{at}: I5: {style}: missing {missing:?}, too many {more:?}");
    }
}

/// Everything known and active, as a person would ask.
fn active(exchange: &Exchange) -> BTreeSet<String> {
    let out = exchange.ok(&["indicator", "find", "", "--limit", "100000", "--format", "ndjson"]);
    let value =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["value"].as_str().unwrap().to_owned();
    out.lines().map(value).collect()
}

fn column(db: &Path, sql: &str) -> BTreeSet<String> {
    rows(db, sql).into_iter().map(|mut row| row.swap_remove(0)).collect()
}

/// I11: no secret, in any of its spellings, in what was said, in the data directory or in a backup.
pub(crate) fn secrets(exchange: &Exchange) -> usize {
    exchange.ok(&["backup", "data-backup.db"]);
    for words in [
        &["status", "--format", "json"][..],
        &["config", "show"],
        &["export"],
        &["run", "list", "--format", "json"],
        &["target", "list", "--format", "json"],
        &["openapi"],
    ] {
        exchange.run(words, None);
    }
    let mut places = vec![("what was said".to_owned(), exchange.said())];
    let mut folders = vec![exchange.data()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                places.push((path.display().to_string(), fs::read(path).unwrap()));
            }
        }
    }
    let backup = exchange.path().join("data-backup.db");
    places.push(("the backup".into(), fs::read(backup).unwrap()));
    let mut n = 0;
    for (whose, secret) in CANARIES {
        for (how, spelling) in spellings(secret) {
            for (place, bytes) in &places {
                n += 1;
                let found = bytes.windows(spelling.len()).any(|window| window == spelling);
                assert!(!found, "{}: I11: {whose} stands in {place}, {how}", exchange.at);
            }
        }
    }
    n
}

/// A secret as it is, in base64 at each of three places, in hexadecimal, for addresses, for JSON, and backwards.
fn spellings(secret: &str) -> Vec<(&'static str, Vec<u8>)> {
    let bytes = secret.as_bytes();
    let mut out = vec![
        ("as it is", bytes.to_vec()),
        ("in hexadecimal", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes()),
        ("for an address", bytes.iter().map(|byte| format!("%{byte:02X}")).collect::<String>().into_bytes()),
        ("escaped for JSON", bytes.iter().map(|byte| format!("\\u{byte:04x}")).collect::<String>().into_bytes()),
        ("backwards", bytes.iter().rev().copied().collect()),
    ];
    for (skip, how) in [(0, "in base64"), (1, "in base64, one further"), (2, "in base64, two further")] {
        // The characters at both ends depend on what is around it.
        let text = BASE64_STANDARD_NO_PAD.encode([&b"\0\0"[..skip], bytes].concat());
        out.push((how, text.as_bytes()[skip * 4 / 3 + usize::from(skip > 0)..text.len() - 2].to_vec()));
    }
    out
}

#[test]
fn secrets_are_found_in_every_spelling() {
    let secret = "canary-7f3a9c51e2b84d06-tool";
    for before in ["", "x", "xy", "xyz"] {
        let text = BASE64_STANDARD_NO_PAD.encode(format!("{before}{secret}and more"));
        let found = spellings(secret)
            .iter()
            .filter(|(how, _)| how.starts_with("in base64"))
            .any(|(_, spelling)| text.as_bytes().windows(spelling.len()).any(|window| window == spelling));
        assert!(found, "{before:?}");
    }
}
