//! Kill -9 while one collection is read and another is written to: at the end the second holds what the first offers.
#![cfg(unix)]

use crate::collections::Collections;
use crate::kill::Victim;
use std::fs;
use std::time::{Duration, Instant};

/// Objects offered at first, and those that come, change and are revoked with each version.
const FIRST: u32 = 800;
const STEP: u32 = 40;
/// Kills that must have hit a living process.
const KILLS: usize = 24;

const SITE: &str = r#"
[[connection]]
name = "isac"
connector = "taxii"
allow_private = ["127.0.0.0/8"]
override_reputation = 8
aging_days = 0
settings = { url = "{{root}}collections/offered/" }

[[connection]]
name = "club"
connector = "taxii"
allow_private = ["127.0.0.0/8"]
settings = { url = "{{root}}collections/taken/" }

[[target]]
name = "club"
connection = "club"
first_fill = "allow"

[[rule]]
name = "all"
when = 'reputation >= 5'

[[sharing]]
source = "isac"
rule = "all"
target = "club"
"#;

fn pull(victim: &Victim) -> Duration {
    let started = Instant::now();
    let report = &victim.json(&["pull", "--all"])[0];
    let n = |key: &str| report[key].as_u64().unwrap();
    assert_eq!(report["status"], "success", "{report}");
    assert_eq!(n("read"), n("new") + n("changed") + n("unchanged") + n("rejected"), "{report}");
    started.elapsed()
}

fn share(victim: &Victim) -> Duration {
    let started = Instant::now();
    let report = &victim.json(&["share", "--all", "--approve"])[0];
    let n = |key: &str| report[key].as_u64().unwrap();
    assert_eq!(report["status"], "success", "{report}");
    assert_eq!(n("push") + n("update") + n("retract"), n("accepted"), "{report}");
    started.elapsed()
}

fn check(victim: &Victim, collections: &Collections) {
    let wanted = collections.offered();
    assert_eq!(victim.known(), wanted);
    assert_eq!(collections.taken(), wanted);
    assert_eq!(collections.labels(), collections.offered_labels(), "each in its newest version");
    assert_eq!(victim.ledger("club"), wanted);
}

#[test]
fn nothing_is_lost_between_two_collections_by_a_kill() {
    let collections = Collections::new();
    let mut victim = Victim::bare(0x7a11);
    fs::write(victim.path().join("site.toml"), SITE.replace("{{root}}", &collections.url)).unwrap();
    victim.ok(&["apply", "site.toml"]);
    collections.offer(0, 0..FIRST, false);
    let pulled = pull(&victim);
    let shared = share(&victim);
    check(&victim, &collections);
    let mut version = 0;
    while victim.kills() < KILLS {
        version += 1;
        assert!(version < 60, "kills come too late");
        let from = FIRST + (version - 1) * STEP;
        // New ones; changed ones; and ones that are revoked, each once.
        collections.offer(version, from..from + STEP, false);
        collections.offer(version, from - STEP..from, false);
        let gone = (version - 1) * STEP / 2;
        collections.offer(version, gone..gone + STEP / 2, true);
        let before = collections.taken();
        for _ in 0..2 {
            let after = victim.moment(pulled);
            victim.kill(&["pull", "--all"], after);
        }
        assert_eq!(collections.taken(), before, "a pull tells nobody anything");
        pull(&victim);
        assert_eq!(victim.known(), collections.offered(), "version {version}");
        for _ in 0..3 {
            let after = victim.moment(shared);
            victim.kill(&["share", "--all", "--approve"], after);
        }
        share(&victim);
        check(&victim, &collections);
    }
    let records = victim.ok(&["indicator", "count", "", "--all"]);
    assert_eq!(records, format!("{}\n", collections.n_offered()), "a record for each object that was offered");
    // All of it is revoked, and all of it goes.
    collections.offer(version + 1, 0..FIRST + version * STEP, true);
    let after = victim.moment(pulled);
    victim.kill(&["pull", "--all"], after);
    pull(&victim);
    for _ in 0..2 {
        let after = victim.moment(shared);
        victim.kill(&["share", "--all", "--approve"], after);
    }
    share(&victim);
    check(&victim, &collections);
    assert!(collections.taken().is_empty());
    let (pages, posts, repeats) = collections.traffic();
    assert!(pages > 20 && posts > 20, "{pages} pages, {posts} messages, {repeats} repeats");
}
