//! The demo is the first thing anybody sees: every number of its final table is known, whatever the date, and doing it
//! again changes nothing.

use engine::Silent;
use intel::Timestamp;
use iocast::app::{App, OpenOptions};
use iocast::demo::{self, Clock};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// Where everything stands, to the last indicator. A change here is a change of what iocast means: say why in its
/// changelog.
const TABLE: &str = "\
\x20 source              records    active only here  connector
  ipsum                14,217    14,217    12,804  feed
  ipsum-strong          1,413     1,413         0  feed
  tweetfeed             1,403     1,403     1,401  feed
  tweetfeed-hosts       4,873     4,873     4,873  feed
  ransomware            1,904     1,904     1,904  feed
  microsoft               227       227       227  feed
  stalkerware           1,517     1,517     1,517  feed
  netskope              1,448     1,448     1,448  feed
  eset                    858       858       858  feed
  maltrail                764       764       763  feed
  diamondfox            1,731     1,731     1,731  feed
  gorgon                1,085     1,085     1,085  feed
  prince-of-persia        238       238       238  feed
  merged-badly              4         4         4  feed
  down-mirror               0         0         0  feed
  mirror                1,413     1,413         0  feed
  edr                   2,507         7         6  demo-edr
  gateway               5,040         8         7  demo-gateway
  together             40,642    30,281
      not active: entries the tools read back that we put there (echo)

  target                there   skipped   refused  not ours   waiting  connection
  block-addresses       1,327        89         0         0         0  edge
  block-names           5,035       162         0         0         0  edge
  siem                  1,093     1,418         0         0         0  disk
  edr-block             2,500       627         0         0         0  edr
  gateway-block         5,032       171         6         1         0  gateway
  block-mail                0       162         0         0     5,035  edge
";

fn at(seconds: i64) -> Clock {
    Arc::new(move || Timestamp::from_secs(seconds))
}

/// What the demo prints, with the data directory called DATA.
fn once(data: &Path, clock: Clock) -> String {
    let mut out = Vec::new();
    demo::once(data, clock, &mut out).unwrap();
    shown(data, out)
}

fn shown(data: &Path, out: Vec<u8>) -> String {
    String::from_utf8(out).unwrap().replace(data.to_str().unwrap(), "DATA")
}

/// From a heading to the next one.
fn part<'a>(out: &'a str, heading: &str) -> &'a str {
    let start = out.find(&format!("\n{heading}  ")).unwrap_or_else(|| panic!("no {heading} in\n{out}")) + 1;
    let rest = &out[start..];
    let body = rest.find("\n\n").map_or(0, |at| at + 2);
    let end = ["SHARE", "ECHO", "TABLE", "WHY", "LOOK"]
        .iter()
        .filter_map(|next| rest[body..].find(&format!("\n{next}  ")))
        .min()
        .map_or(rest.len(), |at| body + at);
    rest[body..end].trim_end_matches('\n')
}

/// The numbers of the line of this name, in each block of a part.
fn numbers(part: &str, name: &str) -> Vec<Vec<u64>> {
    let of_line =
        |line: &str| line.split_whitespace().skip(1).map_while(|word| word.replace(',', "").parse().ok()).collect();
    part.lines().filter(|line| line.split_whitespace().next() == Some(name)).map(of_line).collect()
}

#[test]
fn the_table_is_exact_the_date_does_not_matter_and_a_second_run_changes_nothing() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // Before the feeds were published, and long after everything in them has aged.
    let (first, later) = std::thread::scope(|scope| {
        let later = scope.spawn(|| once(other.path(), at(2_000_000_000)));
        (once(one.path(), at(1_600_000_000)), later.join().unwrap())
    });
    assert_eq!(part(&first, "TABLE"), TABLE.trim_end(), "\n{first}");
    assert_eq!(first, later, "the date matters");
    for line in first.lines() {
        assert!(line.chars().count() <= 100, "wider than a terminal: {line}");
    }

    // Years later, because an age would show only then.
    let second = once(one.path(), at(1_800_000_000));
    assert_eq!(part(&second, "TABLE"), TABLE.trim_end(), "\n{second}");
    assert_eq!(part(&second, "WHY"), part(&first, "WHY"));
    for name in ["ipsum", "tweetfeed", "netskope", "microsoft", "stalkerware", "edr", "gateway"] {
        assert_eq!(numbers(part(&second, "PULL"), name), [[0; 6]], "{name} was read again: {second}");
    }
    for name in ["block-addresses", "block-names", "siem", "edr-block", "gateway-block"] {
        // What a tool refused is offered once more after years, and nothing else; it is in the table of targets.
        let again = numbers(TABLE, name).last().map_or(0, |counts| counts[2]);
        for (heading, push) in [("SHARE", again), ("ECHO", 0)] {
            for pass in numbers(part(&second, heading), name) {
                assert_eq!(pass[..3], [push, 0, 0], "{name} was sent something again: {second}");
            }
        }
    }

    // What the tools hold of ours came back and counts for nothing; what one found itself reached the other.
    for (tool, target) in [("edr", "edr-block"), ("gateway", "gateway-block")] {
        let held = numbers(TABLE, target)[0][0];
        let [records, active, _] = numbers(TABLE, tool)[0][..] else { panic!("{TABLE}") };
        assert_eq!(records, active + held, "{tool} reads back what we put there, and its own");
    }
    let why = part(&first, "WHY");
    for said in ["an echo: we put it there first", "gateway-block   there: wanted", "moz-top500"] {
        assert!(why.contains(said), "{said} is not in\n{why}");
    }

    // What waits for a person, and what a tool does not take.
    let pull = part(&first, "PULL");
    assert!(pull.contains("suspect") && pull.contains("at most half of the last believed one"), "{pull}");
    assert!(part(&first, "SHARE").contains("waits for a person"), "{first}");

    // The files are there to be looked at.
    let folder = one.path().join("demo");
    let siem = std::fs::read_to_string(folder.join("out/siem.csv")).unwrap();
    assert_eq!(siem.lines().count() as u64, 1 + numbers(TABLE, "siem")[0][0], "a header and what is there");
    assert!(siem.contains("invoice-portal.example.net") && !siem.contains("board-mail.example.net"), "TLP:RED stays");
    assert!(folder.join("feeds/licences/stalkerware.txt").is_file());
}

#[test]
fn the_command_ends_well_and_others_can_open_what_it_made() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("iocast-data");
    let done = Command::new(env!("CARGO_BIN_EXE_iocast")).arg("--data").arg(&data).args(["demo", "--once"]).output();
    let done = done.unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let out = shown(&data, done.stdout);
    assert_eq!(part(&out, "TABLE"), TABLE.trim_end(), "\n{out}");

    let mut options = OpenOptions::at(&data);
    demo::prepare(&mut options);
    let app = App::open(options).unwrap();
    let engine = app.engine().unwrap();
    assert_eq!(engine.count("source = \"edr\"", false).unwrap(), numbers(TABLE, "edr")[0][1]);
    assert_eq!(engine.pull("edr", &Silent).unwrap().status, "not_modified", "the tool remembers what it holds");
    let served = engine.list("block-names").unwrap();
    assert_eq!(served.entries, numbers(TABLE, "block-names")[0][0]);

    let mut other = OpenOptions::at(dir.path().join("not-a-demo"));
    demo::prepare(&mut other);
    assert!(other.extra_connectors.is_empty() && other.outside.files.is_empty(), "only what the demo made is its");
}
