//! A disk that is full or fails, at every call a store makes of it.

use super::life::{self, STEPS, dump, name, number, spread};
use faultvfs::{Disk, Fault, Loss, integrity};
use std::path::Path;
use store::{Store, StoreError};
use tempfile::TempDir;

/// Cases of each sweep, unless the environment says more.
const CASES: u64 = 120;

/// Calls of a life that a fault concerns: counted by letting the last of very many fail.
fn calls(fault: Fault) -> u64 {
    let all = |after: u64| {
        let dir = TempDir::new().unwrap();
        let data = life::fresh(dir.path());
        let disk = Disk::under(&data);
        disk.fail(fault, after, false);
        let mut store = Store::open(&data).ok();
        for step in STEPS {
            if store.is_none() || life::take(*step, &mut store, &data).is_err() {
                return disk.failed() > 0;
            }
        }
        drop(store);
        disk.failed() > 0
    };
    // Doubled, then halved.
    let mut high = 64;
    while all(high) {
        high *= 2;
    }
    let mut low = high / 2;
    while high - low > 1 {
        let middle = u64::midpoint(low, high);
        if all(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// Lives with a fault at one call. Some: what is wrong.
fn live(fault: Fault, after: u64, lasting: bool, reference: &[String]) -> Option<String> {
    let dir = TempDir::new().unwrap();
    let data = life::fresh(dir.path());
    let disk = Disk::under(&data);
    disk.watch(|_| {});
    disk.fail(fault, after, lasting);
    let mut store = match Store::open(&data) {
        Ok(store) => Some(store),
        Err(error) => {
            disk.heal();
            if matches!(error, StoreError::Damaged(_)) {
                return Some(format!("opening: {error}"));
            }
            Some(Store::open(&data).ok()?)
        }
    };
    let mut at = 0;
    let mut n_failed = 0;
    while at < STEPS.len() {
        let Err(error) = life::take(STEPS[at], &mut store, &data) else {
            at += 1;
            continue;
        };
        n_failed += 1;
        let what = |words: &str| Some(format!("{} failed ({error}): {words}", name(STEPS[at])));
        if n_failed > 2 {
            return what("again and again");
        }
        let is_expected = match fault {
            Fault::Full => matches!(error, StoreError::Full | StoreError::Io { .. }),
            Fault::Io => matches!(error, StoreError::Io { .. }),
        };
        if !is_expected {
            return what("not told as what it is");
        }
        // What a power cut would leave now: what was acknowledged, and at most the step that failed with it.
        let image = TempDir::new().unwrap();
        disk.look(|moment| moment.lay_out(image.path(), Loss::Everything, after).unwrap());
        let left = dump(image.path());
        if left != reference[at] && left != reference[at + 1] {
            return what("an acknowledged step is lost");
        }
        disk.heal();
        if let (Fault::Io, Some(open), Some(_)) = (fault, &store, STEPS[at]) {
            // Never again on a disk that failed a write, although it works again.
            let is_closed = open.set_setting("x", "y").is_err();
            if disk.failed_syncs() > 0 && !is_closed {
                return what("a write was acknowledged after a sync had failed");
            }
            if !is_closed {
                return what("the store goes on writing on a disk that failed");
            }
        }
        if fault == Fault::Full && STEPS[at].is_some() {
            // Nothing was half done; with room again the same store goes on by itself.
            if dump(&data) != reference[at] {
                return what("something was half done");
            }
            if store.as_ref().is_some_and(|open| open.set_setting("x", "y").is_ok()) {
                store.as_ref().map(|open| open.set_setting("x", "y"));
                // The setting is no part of the life.
                forget(&data);
                continue;
            }
        }
        drop(store.take());
        store = match Store::open(&data) {
            Ok(store) => Some(store),
            Err(error) => return Some(format!("it does not open again after {}: {error}", name(STEPS[at]))),
        };
        // A commit whose answer was an error may have been made: then it is not made again.
        let held = dump(&data);
        if held == reference[at + 1] && held != reference[at] {
            at += 1;
        } else if held != reference[at] {
            return Some(format!("after {} it holds neither what it held nor what it should", name(STEPS[at])));
        }
    }
    drop(store);
    disk.unwatch();
    // The very last call may have been the one that failed: what is there is looked at on a disk that works.
    disk.heal();
    if dump(&data) != *reference.last()? {
        return Some("it ends differently".into());
    }
    match integrity(&data.join("iocast.db")).as_str() {
        "ok" => None,
        words => Some(words.to_owned()),
    }
}

/// Takes the mark of a trial write out again.
fn forget(data: &Path) {
    let shell = rusqlite::Connection::open(data.join("iocast.db")).unwrap();
    shell.execute("DELETE FROM setting WHERE key = 'x'", []).unwrap();
}

fn sweep(fault: Fault) -> u64 {
    let reference = life::reference();
    let all = calls(fault);
    let mut wrong = Vec::new();
    let mut n = 0;
    for after in spread(all, number("IOCAST_CASES", CASES)) {
        for lasting in [false, true] {
            n += 1;
            if let Some(words) = live(fault, after, lasting, &reference) {
                wrong.push(format!("call {after} of {all}, lasting: {lasting}: {words}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {n}: {:#?}", wrong.len(), &wrong[..wrong.len().min(5)]);
    n
}

/// The disk is full at the n-th write of a life of twenty operations, once or from then on, for every n (spread evenly
/// over all of them in CI). The operation fails and says so, nothing of it is there, reading goes on, and with room again the same store
/// goes on by itself to exactly the end of an undisturbed life.
/// Figures: at least 100 writes × 2.
#[test]
fn f09_a_full_disk_loses_nothing_and_the_store_goes_on_when_there_is_room() {
    assert!(sweep(Fault::Full) >= 100);
}

/// The disk fails at the n-th open, read, write, cut, deletion or sync of a life, once or from then on. The operation
/// fails and says so; after a failed write or sync the store takes no further write until it is opened again, though
/// the disk works; what an unsynced page would have held is really gone. Opened again it holds what was acknowledged,
/// at most with the operation that failed, and the life ends as an undisturbed one does.
/// Figures: at least 200 calls × 2.
#[test]
fn f10_a_failed_disk_ends_writing_until_the_store_is_opened_again() {
    assert!(sweep(Fault::Io) >= 200);
}
