//! A backup that is put back while the world has moved on, as a person lives it: by commands on the real binary.

use crate::cli::Desk;
use std::fs;

const SITE: &str = r#"
[[connection]]
name = "levels"
connector = "feed"
override_reputation = 8
settings = { url = "file://{{dir}}/levels.txt", format = "text", kind = "auto" }

[[connection]]
name = "edge"
connector = "list"

[[connection]]
name = "disk"
connector = "file"

[[target]]
name = "block-ip"
connection = "edge"
action = "publish"
first_fill = "allow"
params = { format = "edl" }

[[target]]
name = "drop"
connection = "disk"
action = "write"
first_fill = "allow"
params = { path = "{{dir}}/out/drop.txt" }

[[rule]]
name = "addresses"
when = 'kind = ipv4 and reputation >= 5'

[[sharing]]
source = "levels"
rule = "addresses"
target = "block-ip"

[[sharing]]
source = "levels"
rule = "addresses"
target = "drop"
"#;

fn addresses(range: std::ops::Range<u32>) -> String {
    range.map(|n| format!("5.6.7.{n}\n")).collect()
}

fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// A backup of an exchange with a served list and a file is put back after both have moved on: entries were added and
/// taken back since. With the real commands: the next steps are printed; a pass, a pull and a thaw send nothing and the
/// list is not served in its old form; a preview changes nothing; each target goes on once it was adopted, and the last one
/// ends the restore by itself. Both then hold what the source says now.
#[test]
fn f14_a_restored_exchange_waits_until_each_target_is_adopted() {
    let desk = Desk::new();
    let file = desk.0.path().join("out/drop.txt");
    fs::create_dir(desk.0.path().join("out")).unwrap();
    desk.put("site.toml", &SITE.replace("{{dir}}", &desk.dir()));
    desk.put("levels.txt", &addresses(1..9));
    for line in ["apply site.toml", "pull --all", "share --all", "backup copy.db"] {
        desk.ok(line);
    }
    // The world moves on: 1 is taken back, 9 and 10 are added.
    desk.put("levels.txt", &addresses(2..11));
    desk.ok("pull --all");
    desk.ok("share --all");
    let moved_on = fs::read_to_string(&file).unwrap();
    assert_eq!(sorted(&moved_on), sorted(&addresses(2..11)));
    assert_eq!(sorted(&desk.ok("list show block-ip").out), sorted(&addresses(2..11)));

    let told = desk.ok("restore copy.db --force").says("iocast target adopt NAME --preview").says("stands still");
    assert!(!told.err.contains("iocast thaw"), "{}", told.err);
    let stands_still = |why: &str| {
        let ran = desk.run("share --all").code(3);
        assert!(ran.out.contains("frozen"), "{why}: {}", ran.out);
        ran.says("iocast target adopt drop --preview").says("iocast target adopt block-ip --preview");
        assert_eq!(fs::read_to_string(&file).unwrap(), moved_on, "{why}");
        assert_ne!(desk.run("list show block-ip").code, 0, "{why}: an older list than its readers have is not served");
    };
    stands_still("just restored");
    desk.ok("pull --all");
    stands_still("what sources say now is known again");
    desk.ok("thaw").says("block-ip, drop still wait for `iocast target adopt`");
    stands_still("a thaw lifts what a person froze, and no more");
    desk.ok("status")
        .says("restored from a backup: nothing goes to block-ip, drop")
        .says("target adopt drop --preview");
    desk.ok("target show drop").says("restored from a backup: `iocast target adopt drop --preview`");
    let why = desk.ok("indicator why 5.6.7.9");
    assert!(why.out.contains("target adopt drop"), "{}", why.out);

    // The ledger of the backup says that 1 is in the file, which is not so; of 9 and 10 it knows nothing.
    let preview = desk.ok("target adopt drop --preview --format json").json();
    assert_eq!(preview["how"], "look", "{preview}");
    assert_eq!((&preview["kept"], &preview["gone"], &preview["applied"]), (&7.into(), &1.into(), &false.into()));
    desk.ok("target adopt drop --preview")
        .says("nothing was changed")
        .says("7 lines kept")
        .says("is not there any more");
    stands_still("a preview is a preview");
    desk.run("target adopt drop").code(2).says("--yes");
    stands_still("nobody could be asked");

    desk.ok("target adopt drop --yes").says("block-ip still stand");
    let ran = desk.run("share --all").code(3);
    assert!(ran.out.contains("success") && ran.out.contains("frozen"), "one goes on, one waits: {}", ran.out);
    assert_eq!(sorted(&fs::read_to_string(&file).unwrap()), sorted(&addresses(2..11)), "held by nobody's old word");
    desk.ok("status").says("restored from a backup: nothing goes to block-ip until");
    desk.ok("target adopt block-ip --yes");
    let status = desk.ok("status --format json").json();
    assert_eq!((&status["frozen"], &status["restored"]), (&false.into(), &serde_json::json!([])), "it ended by itself");
    desk.ok("share --all");
    assert_eq!(sorted(&desk.ok("list show block-ip").out), sorted(&addresses(2..11)));
    for target in ["drop", "block-ip"] {
        desk.ok(&format!("target verify {target}")).says("same").says("9 of 9 are there");
    }
    assert!(desk.ok("status").out.lines().all(|line| !line.contains("restored")));
}

/// Reading back by hand: what somebody else did to a file is found, shown, and mended by the next pass.
#[test]
fn what_somebody_does_to_a_file_is_found_and_mended() {
    let desk = Desk::new();
    fs::create_dir(desk.0.path().join("out")).unwrap();
    desk.put("site.toml", &SITE.replace("{{dir}}", &desk.dir()));
    desk.put("levels.txt", &addresses(1..9));
    for line in ["apply site.toml", "pull --all", "share --all", "target verify drop"] {
        desk.ok(line);
    }
    let list = desk.0.path().join("data/lists");
    let body = fs::read_dir(list).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.is_file()).unwrap();
    fs::write(&body, "5.6.7.8\n").unwrap();
    desk.run("target verify block-ip").code(3).says("drift").says("the next pass mends it");
    desk.ok("status").says("8 differ: `iocast target show");
    desk.ok("target show block-ip").says("0 of 8 are there; 8 are gone");
    desk.ok("share block-ip");
    desk.ok("target verify block-ip").says("8 of 8 are there");
    desk.ok("target refused drop").says("nothing is refused");
    desk.ok("target cut drop").says("nothing is cut");
    desk.run("target verify nothing").code(1).says("nothing");
}

/// What has no place is listed with its rank, the limit and why.
#[test]
fn what_has_no_place_is_listed_with_its_rank() {
    let desk = Desk::new();
    fs::create_dir(desk.0.path().join("out")).unwrap();
    let site = SITE.replace("{{dir}}", &desk.dir()).replace("drop.txt\"", "drop.txt\", capacity = 5");
    desk.put("site.toml", &site);
    desk.put("levels.txt", &addresses(1..9));
    for line in ["apply site.toml", "pull --all", "share --all"] {
        desk.ok(line);
    }
    let cut = desk.ok("target cut drop --format json").json();
    let ranks: Vec<u64> = cut.as_array().unwrap().iter().map(|row| row["rank"].as_u64().unwrap()).collect();
    assert_eq!(ranks, [6, 7, 8], "{cut}");
    assert!(cut.as_array().unwrap().iter().all(|row| row["limit"] == 5 && row["reputation"] == 8), "{cut}");
    desk.ok("target cut drop --limit 2").says("the first 2 of 3").says("5.6.7[.]");
    let csv = desk.ok("target cut drop --format csv").out;
    assert!(csv.starts_with("rank,limit,kind,value,reputation,severity,sources,reason\n6,5,ipv4,5.6.7."), "{csv}");
    desk.ok("target show drop").says("at most 5 entries; declared 5");
}
