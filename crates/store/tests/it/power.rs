//! Power is cut under a working store, at every write, cut, deletion and sync it makes.

use super::life::{self, STEPS, dump, number, try_dump};
use faultvfs::{Disk, Loss, integrity};
use rusqlite::Connection;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use store::Store;
use tempfile::TempDir;

/// Looks at what every moment leaves, in each way a cut can lose things; where chance decides, as often as is asked.
fn cut(disk: &Disk, mut judge: impl FnMut(&Path, Loss, u64) -> Result<(), String> + Send + 'static) -> Found {
    let found = Found::default();
    let (cases, wrong) = (found.cases.clone(), found.wrong.clone());
    let base = number("IOCAST_SEED_BASE", 0);
    let mut n = base;
    disk.watch(move |moment| {
        n += 1;
        let by_chance = |loss: Loss| matches!(loss, Loss::Tail | Loss::Sectors);
        let rounds = |loss: Loss| if by_chance(loss) { number("IOCAST_CASES", 1_000).div_ceil(1_000) } else { 1 };
        for (loss, round) in Loss::ALL.iter().flat_map(|loss| (0..rounds(*loss)).map(|round| (*loss, round))) {
            let image = TempDir::new().unwrap();
            let seed = (n * 1_000 + round) * 8 + loss as u64;
            moment.lay_out(image.path(), loss, seed).unwrap();
            cases.fetch_add(1, Ordering::SeqCst);
            if let Err(words) = judge(image.path(), loss, seed) {
                wrong.lock().unwrap().push(format!("moment {n}, {loss:?}, IOCAST_SEED_BASE={base}: {words}"));
            }
        }
    });
    found
}

#[derive(Default)]
struct Found {
    cases: Arc<AtomicU64>,
    wrong: Arc<Mutex<Vec<String>>>,
}

impl Found {
    /// So many cases, all good.
    fn good(&self, least: u64) -> u64 {
        let (cases, wrong) = (self.cases.load(Ordering::SeqCst), self.wrong.lock().unwrap());
        assert!(wrong.is_empty(), "{} of {cases} cuts: {}", wrong.len(), wrong[0]);
        assert!(cases >= least, "only {cases} cuts");
        cases
    }
}

/// Power fails before any write, cut, deletion or sync of a life of twenty operations (first pull, unchanged pull,
/// suspect run, push, served list, verdict, configuration, removal, restarts). What was not synced is lost, kept, kept
/// up to a point, or kept sector by sector in any order and torn. The file is sound, holds exactly what it held after
/// the last acknowledged operation or after the one that was going on, and the store opens without help.
/// Figures: every moment × 4 kinds of loss, more than 1,100 cuts.
#[test]
fn f06_a_power_cut_loses_nothing_that_was_acknowledged() {
    let reference = life::reference();
    let dir = TempDir::new().unwrap();
    let data = life::fresh(dir.path());
    let disk = Disk::under(&data);
    let done = Arc::new(AtomicUsize::new(0));
    let acknowledged = done.clone();
    let found = cut(&disk, move |image, _, seed| {
        let least = acknowledged.load(Ordering::SeqCst);
        if !image.join("iocast.db").exists() {
            return Err("the file is gone".into());
        }
        let held = try_dump(image).map_err(|error| error.to_string())?;
        let next = reference.get(least + 1);
        if held != reference[least] && next != Some(&held) {
            return Err(format!("not what it held after step {least} nor {}", least + 1));
        }
        match integrity(&image.join("iocast.db")).as_str() {
            "ok" => {}
            words => return Err(words.to_owned()),
        }
        // Opening is slow beside looking, so it is done for some.
        if seed.is_multiple_of(5) {
            let store = Store::open(image).map_err(|error| error.to_string())?;
            store.set_setting("after", "power").map_err(|error| error.to_string())?;
        }
        Ok(())
    });
    let mut store = Some(Store::open(&data).unwrap());
    for step in STEPS {
        life::take(*step, &mut store, &data).unwrap();
        done.fetch_add(1, Ordering::SeqCst);
    }
    drop(store);
    found.good(1_100);
}

/// A database of the first schema is brought to the newest while power fails before any write or sync, and so is a new
/// database while it is made. Every step of the schema is there whole or not at all, and the next start ends with the
/// same schema and rows as one that was not disturbed. The same files are what a kill at that moment leaves.
/// Figures: every moment × 4 kinds of loss, more than 600 cuts.
#[test]
fn f15_a_migration_that_is_cut_off_goes_on_at_the_next_start() {
    let old = include_bytes!("../data/schema-1.db");
    let place = |dir: &Path| fs::write(dir.join("iocast.db"), old).unwrap();
    let undisturbed = TempDir::new().unwrap();
    place(undisturbed.path());
    drop(Store::open(undisturbed.path()).unwrap());
    let expect = dump(undisturbed.path());

    let dir = TempDir::new().unwrap();
    place(dir.path());
    let disk = Disk::under(dir.path());
    let goal = expect.clone();
    let found = cut(&disk, move |image, _, seed| {
        let ask = |sql: &str| -> Result<u32, String> {
            let conn = Connection::open(image.join("iocast.db")).map_err(|error| error.to_string())?;
            conn.query_row(sql, [], |row| row.get(0)).map_err(|error| error.to_string())
        };
        let (version, steps) = (ask("PRAGMA user_version")?, ask("SELECT count(*) FROM migration")?);
        if version != steps {
            return Err(format!("schema {version} with {steps} steps"));
        }
        if seed % 5 < 2 {
            drop(Store::open(image).map_err(|error| error.to_string())?);
            if dump(image) != goal {
                return Err("it ends differently".into());
            }
        }
        Ok(())
    });
    drop(Store::open(dir.path()).unwrap());
    disk.unwatch();
    assert_eq!(dump(dir.path()), expect);
    let of_migration = found.good(300);

    let dir = TempDir::new().unwrap();
    let disk = Disk::under(dir.path());
    let found = cut(&disk, |image, _, _| drop_open(image));
    drop(Store::open(dir.path()).unwrap());
    disk.unwatch();
    assert!(of_migration + found.good(200) > 600, "{of_migration}");
}

fn drop_open(image: &Path) -> Result<(), String> {
    Store::open(image).map(drop).map_err(|error| error.to_string())
}
