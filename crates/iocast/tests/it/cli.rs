//! Long because it holds transcripts: the binary as people and scripts meet it, on small files, with exit codes and
//! shapes of JSON.

use crate::support::Ran;
use expect_test::{Expect, expect};
use serde_json::Value;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

const LEVELS: &str = "# address, level\n198.51.100.7\n203.0.113.5\n192.0.3.1\n5.6.7.0/24\nevil-site.com\n\
                      http://bad.evil-site.com/a?b=c\n192.0.3.1\n";

const SITE: &str = r#"
[[connection]]
name = "levels"
connector = "feed"
override_reputation = 8
tags = ["test"]
settings = { url = "file://{{dir}}/levels.txt", format = "text", kind = "auto" }

[[connection]]
name = "edge"
connector = "list"

[[target]]
name = "block-ip"
connection = "edge"
action = "publish"
first_fill = "approve"
retract = "always"
params = { format = "edl" }

[[rule]]
name = "addresses"
when = 'kind in (ipv4, ipv4_net) and reputation >= 5'
exceptions = [{ name = "office", values = ["203.0.113.0/24"] }]

[[sharing]]
source = "levels"
rule = "addresses"
target = "block-ip"
"#;

/// A folder with a feed, a configuration, and whatever commands make of them.
pub(crate) struct Desk(pub(crate) TempDir);

impl Desk {
    pub(crate) fn new() -> Desk {
        let desk = Desk(TempDir::new().unwrap());
        desk.put("levels.txt", LEVELS);
        desk.put("site.toml", &SITE.replace("{{dir}}", &desk.dir()));
        desk
    }

    /// With the configuration applied.
    pub(crate) fn applied() -> Desk {
        let desk = Desk::new();
        desk.ok("apply site.toml");
        desk
    }

    /// With everything pulled and shared.
    pub(crate) fn shared() -> Desk {
        let desk = Desk::applied();
        desk.ok("pull --all");
        desk.ok("share --all --approve");
        desk
    }

    pub(crate) fn dir(&self) -> String {
        self.0.path().canonicalize().unwrap().display().to_string()
    }

    pub(crate) fn put(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).unwrap();
    }

    fn command(&self, words: &[String]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_iocast"));
        command.args(words).current_dir(self.0.path()).env_clear().stdin(Stdio::null());
        command
    }

    fn run_in(&self, line: &str, env: &[(&str, &str)]) -> Ran {
        self.command(&words(line)).envs(env.iter().copied()).output().unwrap().into()
    }

    fn bare(&self, line: &str) -> Ran {
        self.run_in(line, &[])
    }

    pub(crate) fn run(&self, line: &str) -> Ran {
        self.run_in(line, &[("IOCAST_DATA", "data"), ("IOCAST_FILES", &self.dir()), ("IOCAST_KEY_FILE", "key")])
    }

    pub(crate) fn ok(&self, line: &str) -> Ran {
        let ran = self.run(line);
        assert_eq!(ran.code, 0, "{line}: {}{}", ran.out, ran.err);
        ran
    }

    /// Runs the lines one after the other and compares what is seen, times and directories left out.
    #[track_caller]
    pub(crate) fn transcript(&self, lines: &[&str], expected: &Expect) {
        let mut seen = String::new();
        for line in lines {
            let ran = self.run(line);
            seen.push_str(&format!("$ iocast {line}\n{}", ran.out));
            for line in ran.err.lines() {
                seen.push_str(&format!("! {line}\n"));
            }
            if ran.code != 0 {
                seen.push_str(&format!("exit {}\n", ran.code));
            }
            seen.push('\n');
        }
        expected.assert_eq(&timeless(&seen.replace(&self.dir(), "DIR")));
    }
}

/// Words of a line; quotes hold what belongs together.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut is_quoted = false;
    for c in line.chars() {
        match c {
            '\'' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            ' ' if !is_quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Digits of dates and hashes replaced, so that no transcript depends on the day.
fn timeless(text: &str) -> String {
    let is_time = |word: &str| {
        let bytes = word.as_bytes();
        bytes.len() >= 10 && bytes[4] == b'-' && bytes[7] == b'-' && bytes[..4].iter().all(u8::is_ascii_digit)
    };
    let is_clock = |word: &str| word.len() == 5 && word.as_bytes()[2] == b':';
    let mut out = String::new();
    for piece in text.replace(env!("CARGO_PKG_VERSION"), "VERSION").split_inclusive([' ', '\n', ',']) {
        let word = piece.trim_end_matches([' ', '\n', ',']);
        let end = &piece[word.len()..];
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        if bare.len() == 64 && bare.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            out.push_str(&word.replace(bare, "HASH"));
        } else if is_time(bare) && bare.len() > 10 {
            out.push_str(&word.replace(bare, "TIME"));
        } else if is_time(bare) || is_clock(bare) {
            out.extend(word.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }));
        } else {
            out.push_str(word);
        }
        out.push_str(end);
    }
    out
}

#[test]
fn from_a_file_to_a_list() {
    Desk::new().transcript(
        &[
            "apply site.toml --dry-run",
            "apply site.toml",
            "apply site.toml",
            "pull --all",
            "pull levels",
            "share --all --dry-run",
            "share --all",
            "plan list",
            "plan show 1",
            "share --all --approve",
            "share --all",
            "list ls",
            "list show block-ip",
            "indicator count",
            "indicator find 'kind in (url, domain)'",
            "indicator why 203.0.113.5",
            "indicator why 'hxxp://bad[.]evil-site.com/a?b=c'",
            "run list --kind share",
            "status",
        ],
        &expect![[r#"
            $ iocast apply site.toml --dry-run
            + connection "levels"
                connector: "feed"
                override_reputation: 8
                settings.format: "text"
                settings.kind: "auto"
                settings.url: "file://DIR/levels.txt"
                tags: ["test"]
            + connection "edge"
                connector: "list"
            + target "block-ip"
                action: "publish"
                connection: "edge"
                first_fill: "approve"
                params.format: "edl"
                retract: "always"
            + rule "addresses"
                exceptions: [{"name":"office","values":["203.0.113.0/24"]}]
                when: "kind in (ipv4, ipv4_net) and reputation >= 5"
            + sharing "levels → addresses → block-ip"
            5 would change, 0 as they should be; nothing was changed

            $ iocast apply site.toml
            + connection "levels"
                connector: "feed"
                override_reputation: 8
                settings.format: "text"
                settings.kind: "auto"
                settings.url: "file://DIR/levels.txt"
                tags: ["test"]
            + connection "edge"
                connector: "list"
            + target "block-ip"
                action: "publish"
                connection: "edge"
                first_fill: "approve"
                params.format: "edl"
                retract: "always"
            + rule "addresses"
                exceptions: [{"name":"office","values":["203.0.113.0/24"]}]
                when: "kind in (ipv4, ipv4_net) and reputation >= 5"
            + sharing "levels → addresses → block-ip"
            5 changed, 0 as they should be

            $ iocast apply site.toml
            nothing to change, 5 as they should be

            $ iocast pull --all
            SOURCE  STATUS   READ  NEW  CHANGED  UNCHANGED  REJECTED  FILTERED  GONE  RUN
            levels  success     7    6        0          1         0         0     0    1

            $ iocast pull levels
            SOURCE  STATUS        READ  NEW  CHANGED  UNCHANGED  REJECTED  FILTERED  GONE  RUN
            levels  not_modified     0    0        0          0         0         0     0    2

            $ iocast share --all --dry-run
            TARGET    STATUS   PUSH  UPDATE  RETRACT  LEAVE  SKIP  ACCEPTED  REFUSED  UNKNOWN  WAITING  PRESENT
            block-ip  dry_run     3       0        0      0     1         0        0        0        3        0

            block-ip
            all wait: the first fill of this target waits for approval
            STEP  KIND      ENTRY
            push  ipv4      198.51.100[.]7
            push  ipv4      192.0.3[.]1
            push  ipv4_net  5.6.7[.]0/24
            ! block-ip waits: the first fill of this target (3 pushes) waits for approval
            ! block-ip skips 1 excepted
            ! block-ip budget: adds 0 of 15 000 in 24 h, 5 000 may go now; removals 0 of 60 in 24 h, 20 may go now
            ! block-ip: `iocast share block-ip --expect HASH` does exactly this, or nothing

            $ iocast share --all
            TARGET    STATUS  PUSH  UPDATE  RETRACT  LEAVE  SKIP  ACCEPTED  REFUSED  UNKNOWN  WAITING  PRESENT
            block-ip  held       3       0        0      0     1         0        0        0        3        0
            ! block-ip waits: the first fill of this target (3 pushes) waits for approval
            ! block-ip: `iocast plan show 1` shows what waits, `iocast plan approve 1` allows it
            ! block-ip skips 1 excepted
            exit 3

            $ iocast plan list
            PLAN  TARGET    STATUS   MADE              PUSH  UPDATE  RETRACT  AUTHOR  UNTIL             DECIDED BY  NOTE
               1  block-ip  waiting  0000-00-00 00:00     3       0        0  local   0000-00-00 00:00  -           -

            $ iocast plan show 1
            plan 1 for block-ip: waiting, made 0000-00-00 00:00, expires 0000-00-00 00:00
              push 3, update 0, retract 0; hash HASH
              author: local, who last changed what feeds the target
              3 wait: the first fill of this target waits for approval
              budget: adds 0 of 15 000 in 24 h, 5 000 may go now; removals 0 of 60 in 24 h, 20 may go now

            all wait: the first fill of this target waits for approval
            STEP  KIND      ENTRY
            push  ipv4      198.51.100[.]7
            push  ipv4      192.0.3[.]1
            push  ipv4_net  5.6.7[.]0/24

            $ iocast share --all --approve
            TARGET    STATUS   PUSH  UPDATE  RETRACT  LEAVE  SKIP  ACCEPTED  REFUSED  UNKNOWN  WAITING  PRESENT
            block-ip  success     3       0        0      0     1         3        0        0        0        3
            ! block-ip skips 1 excepted

            $ iocast share --all
            TARGET    STATUS   PUSH  UPDATE  RETRACT  LEAVE  SKIP  ACCEPTED  REFUSED  UNKNOWN  WAITING  PRESENT
            block-ip  success     0       0        0      3     1         0        0        0        0        3
            ! block-ip skips 1 excepted

            $ iocast list ls
            LIST      FORMAT  ACCESS  ENTRIES  BYTES  PUBLISHED
            block-ip  edl     token         3     34  0000-00-00 00:00

            $ iocast list show block-ip
            198.51.100.7
            192.0.3.1
            5.6.7.0/24

            $ iocast indicator count
            6

            $ iocast indicator find 'kind in (url, domain)'
            KIND    VALUE                       REP  SEVERITY  SOURCES  TAGS  LAST SEEN  EXPIRES           ACTIVE  GUARD
            domain  evil-site[.]com               8  unknown   levels   test  -          0000-00-00 00:00  yes     -
            url     hxxp://bad.evil-site[.]com    8  unknown   levels   test  -          0000-00-00 00:00  yes     -
                    /a?b=c

            $ iocast indicator why 203.0.113.5
            203.0.113[.]5  ipv4
            It is not at block-ip: excepted by rule "addresses", exception "office".

            Active: 1 source counts
            reputation 8 (levels), severity unknown, TLP green, expires 0000-00-00 00:00 (levels)
            tags: test

            Who says so
              levels  counts; expires 0000-00-00 00:00

            Where it is, and why
              It is not at block-ip: excepted by rule "addresses", exception "office".
                levels → addresses: the rule selects it, and an exception removes it: exception "office": value…
                  yes kind in (ipv4, ipv4_net) [ipv4]
                  yes reputation >= 5 [8]

            --all shows everything

            $ iocast indicator why 'hxxp://bad[.]evil-site.com/a?b=c'
            hxxp://bad.evil-site[.]com/a?b=c  url
            It is not at block-ip: no rule of a sharing of this target selects it.

            Active: 1 source counts
            reputation 8 (levels), severity unknown, TLP green, expires 0000-00-00 00:00 (levels)
            tags: test

            Who says so
              levels  counts; expires 0000-00-00 00:00

            Where it is, and why
              It is not at block-ip: no rule of a sharing of this target selects it.
                levels → addresses: the rule does not select it
                  no kind in (ipv4, ipv4_net) [url]

            --all shows everything

            $ iocast run list --kind share
            RUN  JOB    ABOUT     STATUS   STARTED           ENDED             COUNTS
              5  share  block-ip  success  0000-00-00 00:00  0000-00-00 00:00  -
              4  share  block-ip  success  0000-00-00 00:00  0000-00-00 00:00  push 3, accepted 3
              3  share  block-ip  held     0000-00-00 00:00  0000-00-00 00:00  push 3, deferred 3

            $ iocast status
            iocast VERSION: 6 indicators, 6 records

            SOURCE  CONNECTOR  ENABLED  STATUS        LAST RUN          LAST SUCCESS      WHAT TO DO
            levels  feed       yes      not_modified  0000-00-00 00:00  0000-00-00 00:00  -

            TARGET    CONNECTION  ENABLED  STATUS   LAST RUN          PRESENT  DRIFT  WHAT TO DO
            block-ip  edge        yes      success  0000-00-00 00:00        3      -  -

        "#]],
    );
}

#[test]
fn a_suspect_run_waits_for_a_person() {
    let desk = Desk::shared();
    desk.put("levels.txt", "# empty today\n");
    desk.transcript(
        &["pull --all", "status", "run show 3", "indicator count", "run discard 3", "pull --all", "run approve 4"],
        &expect![[r#"
            $ iocast pull --all
            SOURCE  STATUS   READ  NEW  CHANGED  UNCHANGED  REJECTED  FILTERED  GONE  RUN
            levels  suspect     0    0        0          0         0         0     0    3
            ! levels is suspect: the run lists nothing; the last believed one listed 6; nothing was withdrawn. `iocast run approve 3` believes it, `iocast run discard 3` drops it
            exit 3

            $ iocast status
            iocast VERSION: 6 indicators, 6 records

            1 needs a person
            warning  A run of levels is not believed and waits: the run lists nothing; the last believed one listed 6.
                      `iocast run show 3`, then `iocast run approve 3` or `iocast run discard 3`
                      since 0000-00-00 00:00

            SOURCE  CONNECTOR  ENABLED  STATUS   LAST RUN          LAST SUCCESS      WHAT TO DO
            levels  feed       yes      suspect  0000-00-00 00:00  0000-00-00 00:00  `iocast run show 3`: approve or
                                                                                     discard

            TARGET    CONNECTION  ENABLED  STATUS   LAST RUN          PRESENT  DRIFT  WHAT TO DO
            block-ip  edge        yes      success  0000-00-00 00:00        3      -  -

            $ iocast run show 3
            run 3: pull levels, suspect
              started TIME, ended TIME
              error: the run lists nothing; the last believed one listed 6
              read: 0
              it waits: it lists 0, the last believed run listed 6
              approving it would
                take back 6: 198.51.100[.]7, 203.0.113[.]5, 192.0.3[.]1, 5.6.7[.]0/24, evil-site[.]com, …
              `iocast run approve 3` believes it, `iocast run discard 3` drops it

            $ iocast indicator count
            6

            $ iocast run discard 3
            run 3 is dropped

            $ iocast pull --all
            SOURCE  STATUS   READ  NEW  CHANGED  UNCHANGED  REJECTED  FILTERED  GONE  RUN
            levels  suspect     0    0        0          0         0         0     0    4
            ! levels is suspect: the run lists nothing; the last believed one listed 6; nothing was withdrawn. `iocast run approve 4` believes it, `iocast run discard 4` drops it
            exit 3

            $ iocast run approve 4
            run 4 is believed

        "#]],
    );
}

#[test]
fn people_add_and_judge() {
    let desk = Desk::shared();
    desk.transcript(
        &[
            "indicator add 'hxxp://evil[.]example.com/a' 'no such thing' --reputation 9 --tag case-42",
            "indicator add 'no such thing'",
            "indicator verdict 198.51.100.7 false_positive",
            "indicator verdict 198.51.100.7 false_positive --days 30",
            "share --all",
            "indicator verdict 198.51.100.7 none",
            "indicator verdict 198.51.100.7 safe --days 3",
            "indicator mute evil-site.com",
            "indicator tag evil-site.com --add seen --remove test",
            "indicator find 'muted' --format csv",
            "rule test addresses --value 203.0.113.9",
            "rule test --when 'kind = url' --except 'tag = \"case-42\"'",
        ],
        &expect![[r#"
            $ iocast indicator add 'hxxp://evil[.]example.com/a' 'no such thing' --reputation 9 --tag case-42
            KIND  VALUE                        REP  SEVERITY  SOURCES  TAGS     LAST SEEN  EXPIRES  ACTIVE  GUARD
            url   hxxp://evil.example[.]com/a    9  unknown   manual   case-42  -          -        yes     flagged
            ! no such thing: this looks like no kind of indicator: "no such thing"
            exit 3

            $ iocast indicator add 'no such thing'
            ! no such thing: this looks like no kind of indicator: "no such thing"
            exit 1

            $ iocast indicator verdict 198.51.100.7 false_positive
            ! error: a false_positive needs an end date that lies ahead (--until 0000-00-00, or --days 90); for good, say safe
            exit 1

            $ iocast indicator verdict 198.51.100.7 false_positive --days 30
            198.51.100[.]7 is false_positive: the next pass takes it back everywhere

            $ iocast share --all
            TARGET    STATUS   PUSH  UPDATE  RETRACT  LEAVE  SKIP  ACCEPTED  REFUSED  UNKNOWN  WAITING  PRESENT
            block-ip  success     0       0        1      2     1         1        0        0        0        2
            ! block-ip skips 1 excepted

            $ iocast indicator verdict 198.51.100.7 none
            198.51.100[.]7 has no verdict any more

            $ iocast indicator verdict 198.51.100.7 safe --days 3
            ! error: only a false_positive has an end: leave --until and --days out
            exit 2

            $ iocast indicator mute evil-site.com
            evil-site[.]com is muted: nothing new is shared of it

            $ iocast indicator tag evil-site.com --add seen --remove test
            evil-site[.]com is tagged seen

            $ iocast indicator find 'muted' --format csv
            kind,value,reputation,severity,confidence,tlp,sources,tags,first_seen,last_seen,expires_at,active,guard,verdict,muted,comment,internal_hits,external_hits
            domain,evil-site.com,8,unknown,,green,levels,seen,,,TIME,true,,,true,,0,0

            $ iocast rule test addresses --value 203.0.113.9
            selects 4, exceptions remove 1

            KIND      VALUES  BYTES
            ipv4           2     23
            ipv4_net       1     11

            Samples
            KIND      VALUE           REP  SEVERITY  SOURCES  TAGS  LAST SEEN  EXPIRES           ACTIVE  GUARD
            ipv4_net  5.6.7[.]0/24      8  unknown   levels   test  -          0000-00-00 00:00  yes     -
            ipv4      192.0.3[.]1       8  unknown   levels   test  -          0000-00-00 00:00  yes     -
            ipv4      198.51.100[.]7    8  unknown   levels   test  -          0000-00-00 00:00  yes     -

            The value: nobody has said anything about it

            $ iocast rule test --when 'kind = url' --except 'tag = "case-42"'
            selects 2, exceptions remove 1

            KIND  VALUES  BYTES
            url        1     31

            Samples
            KIND  VALUE                         REP  SEVERITY  SOURCES  TAGS  LAST SEEN  EXPIRES           ACTIVE  GUARD
            url   hxxp://bad.evil-site[.]com/a    8  unknown   levels   test  -          0000-00-00 00:00  yes     -
                  ?b=c

        "#]],
    );
}

#[test]
fn mistakes_are_told_with_what_to_do() {
    let desk = Desk::applied();
    desk.put("typo.toml", "[[connection]]\nname = \"x\"\nconnector = \"feed\"\nintervall = \"5m\"\n");
    desk.put(
        "wrong.toml",
        "[[connection]]\nname = \"x\"\nconnector = \"fed\"\n\n[[rule]]\nname = \"r\"\nwhen = 'reputaton > 4'\n",
    );
    desk.transcript(
        &[
            "apply typo.toml",
            "apply wrong.toml",
            "check wrong.toml --offline",
            "apply nowhere.toml",
            "pull level",
            "share blok-ip",
            "indicator find 'reputaton > 3'",
            "indicator why 'not a thing'",
            "list show nothing",
            "list show block-ip",
            "run show 99",
            "plan approve 99",
            "connector show fed",
            "help indicator fnd",
        ],
        &expect![[r#"
            $ iocast apply typo.toml
            ! error: 1 mistake in the configuration
            !   typo.toml:4:1: connection[0].intervall: unknown key "intervall"; did you mean "interval"?
            exit 1

            $ iocast apply wrong.toml
            ! error: 2 mistakes in the configuration; nothing was changed
            !   wrong.toml:3: connection "x", connector: no connector is called "fed"; did you mean "feed"?
            !   wrong.toml:7: rule "r", when: line 1, column 1: expected a field, `not`, `(`, `record(`, `under`, `covers` or `all`, found `reputaton`
            !   reputaton > 4
            !   ^^^^^^^^^
            !   did you mean `reputation`?
            exit 1

            $ iocast check wrong.toml --offline
            ! error: 2 mistakes in the configuration; nothing was changed
            !   wrong.toml:3: connection "x", connector: no connector is called "fed"; did you mean "feed"?
            !   wrong.toml:7: rule "r", when: line 1, column 1: expected a field, `not`, `(`, `record(`, `under`, `covers` or `all`, found `reputaton`
            !   reputaton > 4
            !   ^^^^^^^^^
            !   did you mean `reputation`?
            exit 1

            $ iocast apply nowhere.toml
            ! error: 1 mistake in the configuration
            !   nowhere.toml: cannot be read: No such file or directory (os error 2)
            exit 1

            $ iocast pull level
            ! error: no connection is called "level"; did you mean "levels"?
            exit 1

            $ iocast share blok-ip
            ! error: no target is called "blok-ip"; did you mean "block-ip"?
            exit 1

            $ iocast indicator find 'reputaton > 3'
            ! error: line 1, column 1: expected a field, `not`, `(`, `record(`, `under`, `covers` or `all`, found `reputaton`
            !   reputaton > 3
            !   ^^^^^^^^^
            !   did you mean `reputation`?
            exit 1

            $ iocast indicator why 'not a thing'
            ! error: this looks like no kind of indicator: "not a thing"
            exit 1

            $ iocast list show nothing
            ! error: there is no list of this name; `iocast list ls` shows those there are
            exit 1

            $ iocast list show block-ip
            ! error: this list has not been published yet; `iocast share block-ip` publishes it
            exit 1

            $ iocast run show 99
            ! error: there is no run 99
            exit 1

            $ iocast plan approve 99
            ! error: there is no plan 99; `iocast plan list` shows those there are
            exit 1

            $ iocast connector show fed
            ! error: no connector is called "fed"; did you mean "feed"?
            exit 1

            $ iocast help indicator fnd
            ! error: `iocast indicator` has no command `fnd`: `iocast indicator --help` shows those there are
            exit 2

        "#]],
    );
}

#[test]
fn checks_say_what_works() {
    let desk = Desk::new();
    desk.transcript(
        &["check site.toml", "check site.toml --offline"],
        &expect![[r#"
            $ iocast check site.toml
            CONNECTION  WORKS  WHAT IT SAYS
            levels      yes    -
            edge        yes    -
            ! the files are sound

            $ iocast check site.toml --offline
            + connection "levels"
                connector: "feed"
                override_reputation: 8
                settings.format: "text"
                settings.kind: "auto"
                settings.url: "file://DIR/levels.txt"
                tags: ["test"]
            + connection "edge"
                connector: "list"
            + target "block-ip"
                action: "publish"
                connection: "edge"
                first_fill: "approve"
                params.format: "edl"
                retract: "always"
            + rule "addresses"
                exceptions: [{"name":"office","values":["203.0.113.0/24"]}]
                when: "kind in (ipv4, ipv4_net) and reputation >= 5"
            + sharing "levels → addresses → block-ip"
            5 would change, 0 as they should be; nothing was changed

        "#]],
    );
    assert!(!desk.0.path().join("data").exists(), "a check makes no data");
    desk.ok("apply site.toml");
    let without_files = desk.run_in("check", &[("IOCAST_DATA", "data")]);
    assert_eq!(without_files.code, 1);
    assert!(without_files.out.contains("--files DIR"), "{}", without_files.out);
}

#[test]
fn what_was_put_there_is_shown() {
    let desk = Desk::shared();
    desk.transcript(
        &[
            "target deliveries block-ip",
            "target deliveries block-ip --limit 1 --format csv",
            "target deliveries block-ip --count",
            "target deliveries block-ip --state refused",
            "target deliveries block-ip --state prsent",
            "target deliveries blok-ip",
            "indicator records 198.51.100[.]7",
            "indicator records 9.9.9.9",
        ],
        &expect![[r#"
            $ iocast target deliveries block-ip
            KIND      VALUE           STATE    FAILURES  NOT BEFORE  ITS WORDS  SINCE             UPDATED           RUN
            ipv4      198.51.100[.]7  present         0  -           -          0000-00-00 00:00  0000-00-00 00:00    2
            ipv4      192.0.3[.]1     present         0  -           -          0000-00-00 00:00  0000-00-00 00:00    2
            ipv4_net  5.6.7[.]0/24    present         0  -           -          0000-00-00 00:00  0000-00-00 00:00    2

            $ iocast target deliveries block-ip --limit 1 --format csv
            kind,value,state,attempts,next_try,words,first_intent,updated,run,target,entry,remote_id,remote_expires,refused,exhausted
            ipv4,198.51.100.7,present,0,,,TIME,TIME,2,block-ip,,,,,false

            $ iocast target deliveries block-ip --count
            STATE    ENTRIES
            present        3

            $ iocast target deliveries block-ip --state refused
            ! no entry is in this state

            $ iocast target deliveries block-ip --state prsent
            ! error: state: "prsent" is none of pending, unknown, present, refused, retracting, foreign, released, gone
            exit 1

            $ iocast target deliveries blok-ip
            ! error: no target is called "blok-ip"; did you mean "block-ip"?
            exit 1

            $ iocast indicator records 198.51.100[.]7
            SOURCE  COUNTS  WHY NOT  REP  SEVERITY  CONF  TLP  TAGS  LAST SEEN  EXPIRES           COMMENT
            levels  yes     -          -  unknown      -  -    -     -          0000-00-00 00:00  -

            $ iocast indicator records 9.9.9.9
            ! error: nobody has said anything about 9.9.9.9
            exit 1

        "#]],
    );
}

#[test]
fn exit_codes_are_stable() {
    let desk = Desk::applied();
    for (line, code) in [
        ("--help", 0),
        ("--version", 0),
        ("help expressions", 0),
        ("help plan approve", 0),
        ("", 2),
        ("nonsense", 2),
        ("pull", 2),
        ("pull levels --all", 2),
        ("share --all --dry-run --approve", 2),
        ("--format xml status", 2),
        ("--data data --url http://127.0.0.1:1 status", 2),
        ("--url nowhere status", 2),
        ("--url http://127.0.0.1:1 status", 1),
        ("--url http://127.0.0.1:1 restore x", 2),
        ("indicator add x --reputation 11", 2),
        ("pull nothing", 1),
        ("pull --all", 0),
        ("share --all --dry-run", 0),
        ("share --all", 3),
        ("share --all --approve", 0),
        ("guard check 8.8.8.8 192.0.2.1", 0),
        ("guard check 'no value' 8.8.8.8", 3),
        ("guard check 'no value'", 1),
        ("guard check 8.8.8.8 192.0.2.1 --target nowhere", 1),
        ("restore nothing.db", 1),
    ] {
        let ran = desk.run(line);
        assert_eq!(ran.code, code, "{line}: {}{}", ran.out, ran.err);
        assert!(!matches!(code, 1 | 2) || !ran.err.is_empty(), "{line}: says nothing");
        assert!(!ran.err.contains("panicked"), "{line}: {}", ran.err);
    }
    desk.put("levels.txt", &format!("{LEVELS}this is no indicator\n"));
    assert_eq!(desk.run("pull --all").code, 3, "a partial run");
    fs::remove_file(desk.0.path().join("levels.txt")).unwrap();
    let failed = desk.run("pull --all");
    assert_eq!(failed.code, 1, "{}{}", failed.out, failed.err);
    assert!(failed.err.contains("levels failed: "), "{}", failed.err);
}

#[test]
fn programs_get_what_was_promised() {
    let desk = Desk::applied();
    let has = |value: &Value, keys: &[&str]| {
        for key in keys {
            assert!(value.get(key).is_some(), "{key} in {value}");
        }
    };
    let pulled = desk.ok("pull --all --format json").json();
    has(&pulled[0], &["connection", "status", "read", "new", "changed", "unchanged", "rejected", "filtered"]);
    let n = |value: &Value, key: &str| value[key].as_u64().unwrap();
    let report = &pulled[0];
    assert_eq!(
        n(report, "read"),
        n(report, "new") + n(report, "changed") + n(report, "unchanged") + n(report, "rejected")
    );

    let dry = desk.ok("share --all --dry-run --format json").json();
    let counts = ["push", "update", "retract", "leave", "skip", "accepted", "refused", "unknown", "deferred"];
    has(&dry[0], &["target", "status"]);
    has(&dry[0], &counts);
    assert_eq!(dry[0]["status"], "dry_run");
    assert_eq!(n(&dry[0], "deferred"), n(&dry[0], "push"));
    let held = desk.run("share --all --format json");
    assert_eq!((held.code, &held.json()[0]["status"]), (3, &Value::from("held")));
    let done = desk.ok("share --all --approve --format json").json();
    assert_eq!((&done[0]["status"], n(&done[0], "accepted")), (&Value::from("success"), 3));

    assert_eq!(desk.ok("indicator count ''").out, "6\n");
    assert_eq!(desk.ok("indicator count 'kind = ipv4' --format json").out, "3\n");
    let found = desk.ok("indicator find 'kind = url' --limit 5 --format ndjson").out;
    assert_eq!(found.lines().count(), 1, "{found}");
    let hit: Value = serde_json::from_str(&found).unwrap();
    has(
        &hit,
        &[
            "kind",
            "value",
            "reputation",
            "severity",
            "sources",
            "tags",
            "first_seen",
            "last_seen",
            "expires_at",
            "active",
        ],
    );
    assert_eq!(hit["value"], "http://bad.evil-site.com/a?b=c", "programs get values as they are");
    assert_eq!(desk.ok("indicator find '' --limit 2 --format ndjson").out.lines().count(), 2);
    assert_eq!(desk.ok("indicator find '' --format json").json().as_array().unwrap().len(), 6);
    assert_eq!(desk.ok("indicator find 'kind = md5' --format json").out, "[]\n");
    assert_eq!(desk.ok("indicator find '' --format csv").out.lines().count(), 7);
    let why = desk.ok("indicator why 198.51.100.7 --format json").json();
    has(&why, &["kind", "value", "records", "targets"]);
    assert_eq!(
        (&why["targets"][0]["present"], &why["targets"][0]["target"]),
        (&Value::from(true), &Value::from("block-ip"))
    );
    assert_eq!(desk.ok("list show block-ip").out, "198.51.100.7\n192.0.3.1\n5.6.7.0/24\n");
    for line in [
        "status",
        "run list",
        "plan list",
        "list ls",
        "connector list",
        "connector show feed",
        "token list",
        "rule test addresses",
    ] {
        desk.ok(&format!("{line} --format json")).json();
    }
}

#[test]
fn global_options_stand_before_or_after() {
    let desk = Desk::new();
    let dir = desk.dir();
    for line in [
        format!("--data d1 --files {dir} apply site.toml"),
        format!("apply --data d1 --files {dir} site.toml"),
        format!("apply site.toml --data d1 --files {dir}"),
        format!("--data d1 --files {dir} pull --all --format json"),
        format!("pull --all --data d1 --files {dir} --format json"),
        "indicator --data d1 count ''".to_owned(),
    ] {
        let ran = desk.bare(&line);
        assert_eq!(ran.code, 0, "{line}: {}{}", ran.out, ran.err);
    }
    let nowhere = desk.bare("status");
    assert_eq!(nowhere.code, 1);
    assert!(nowhere.err.contains("there is no data in ./iocast-data"), "{}", nowhere.err);
    assert!(!desk.0.path().join("iocast-data").exists(), "looking makes no directory");
}

#[test]
fn a_backup_comes_back() {
    let desk = Desk::shared();
    desk.ok("backup copy.db");
    assert_eq!(desk.run("backup copy.db").code, 1, "no backup is written over");
    assert_eq!(desk.run("restore copy.db").code, 1, "no data is written over");
    desk.ok("--data other restore copy.db");
    assert_eq!(desk.ok("--data other indicator count ''").out, "6\n");
    desk.ok("restore copy.db --force");
    assert!(desk.0.path().join("data/iocast.db.before-restore").exists());
}

/// A server that is stopped with the test.
struct Server {
    child: Child,
    url: String,
    token: String,
}

impl Server {
    fn start(desk: &Desk) -> Server {
        let line = format!("--data data --files {} serve --listen 127.0.0.1:0 --no-schedule", desk.dir());
        let mut child = desk.command(&words(&line)).stderr(Stdio::piped()).spawn().unwrap();
        let (mut url, mut token) = (String::new(), String::new());
        let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
        // "ready" is logged once everything is loaded.
        for line in told.by_ref().map_while(Result::ok) {
            if let Some(at) = line.find("http://") {
                url = line[at..].trim().to_owned();
            }
            if let Some(at) = line.find("ioc_") {
                token = line[at..].trim().to_owned();
            }
            if line.contains("ready") {
                break;
            }
        }
        // Read on, or the server would wait for room to write.
        std::thread::spawn(move || told.for_each(drop));
        Server { child, url, token }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_server_gives_the_same_answers() {
    let desk = Desk::shared();
    let lines = [
        "indicator find '' --format ndjson",
        "indicator count 'kind = ipv4'",
        "indicator why 203.0.113.5",
        "list show block-ip",
        "plan list",
        "rule test addresses",
        "connector show list",
        "indicator find 'reputaton = 1'",
        "pull nothing",
    ];
    let here: Vec<Ran> = lines.iter().map(|line| desk.run(line)).collect();
    let server = Server::start(&desk);
    let env = [("IOCAST_URL", server.url.as_str()), ("IOCAST_TOKEN", server.token.as_str())];
    for (line, here) in lines.iter().zip(here) {
        let there = desk.run_in(line, &env);
        assert_eq!((there.code, &there.out, &there.err), (here.code, &here.out, &here.err), "{line}");
    }
    let pulled = desk.run_in("pull --all --format json", &env).json();
    assert_eq!(pulled[0]["status"], "not_modified");

    let stranger = desk.run_in("status", &[("IOCAST_URL", server.url.as_str())]);
    assert_eq!(stranger.code, 1);
    assert!(stranger.err.contains("--token"), "{}", stranger.err);
    let second = desk.run("status");
    assert_eq!(second.code, 1);
    assert!(second.err.contains("is in use by process"), "{}", second.err);
}

#[test]
fn whoever_stops_reading_is_no_failure() {
    let desk = Desk::shared();
    let mut child = desk
        .command(&words("--data data help expressions"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let done = child.wait_with_output().unwrap();
    assert_eq!((done.status.code(), String::from_utf8_lossy(&done.stderr).as_ref()), (Some(0), ""));
}

#[test]
fn values_come_from_standard_input_too() {
    let desk = Desk::applied();
    let mut child = desk
        .command(&words("--data data indicator add - --quiet --format csv"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"one.example.com\n\ntwo.example.com\n").unwrap();
    let done = child.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&done.stdout).lines().count(), 3);
}

#[test]
fn a_recording_holds_no_secret_and_replays() {
    let desk = Desk::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let asked: Vec<String> = BufReader::new(stream.try_clone().unwrap())
            .lines()
            .map_while(Result::ok)
            .take_while(|l| !l.is_empty())
            .collect();
        let body = "192.0.3.1\n192.0.3.2\n";
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n", body.len());
        stream.write_all(format!("{head}Connection: close\r\n\r\n{body}").as_bytes()).unwrap();
        asked
    });
    let connection = format!(
        "[[connection]]\nname = \"web\"\nconnector = \"feed\"\nallow_private = [\"127.0.0.0/8\"]\n\
         settings = {{ url = \"http://{address}/list\", format = \"text\", kind = \"auto\", token = \"canary-7f3a\" }}\n"
    );
    desk.put("web.toml", &connection);
    desk.ok("apply web.toml");
    desk.ok("connector record web --out exchanges");
    let asked = server.join().unwrap();
    assert!(asked.iter().any(|line| line.contains("canary-7f3a")), "the real service got the real secret: {asked:?}");
    let read = |name: &str| fs::read_to_string(desk.0.path().join("exchanges").join(name)).unwrap();
    for name in ["pull.http", "pull.json", "settings.json"] {
        assert!(!read(name).contains("canary"), "{name}: {}", read(name));
    }
    assert!(read("pull.http").contains("{{token}}"), "{}", read("pull.http"));
    assert_eq!(desk.run("connector record web --out exchanges").code, 1, "no recording is written over");
    assert_eq!(desk.run("connector test feed exchanges").code, 1, "nothing is expected yet");
    let accepted = desk.run_in("connector test feed exchanges", &[("IOCAST_UPDATE", "1")]);
    assert_eq!(accepted.code, 0, "{}", accepted.out);
    assert_eq!(desk.ok("connector test feed exchanges").out, "feed conforms\n");
    assert_eq!(read("pull.expect").matches("192.0.3.").count(), 2);
}

#[test]
fn a_value_that_cannot_be_read_keeps_no_other_from_being_looked_up() {
    let desk = Desk::applied();
    let ran = desk.run("guard check 8.8.8.8 'no value' google.com");
    assert_eq!(ran.code, 3, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("8.8.8[.]8") && ran.out.contains("google[.]com"), "{}", ran.out);
    assert!(ran.err.contains("not read") && ran.err.contains("no value"), "{}", ran.err);
    // A find says what the guard says of a row, in a word; programs are given the sentence.
    desk.ok("indicator add 8.8.8.8 --reputation 9");
    let found = desk.ok("indicator find 'value = \"8.8.8.8\"'").out;
    assert!(found.contains("GUARD") && found.contains("stopped"), "{found}");
    let found = desk.ok("indicator find 'value = \"8.8.8.8\"' --format json").json();
    assert!(found[0]["guard"].as_str().is_some_and(|guard| guard.starts_with("stopped by")), "{found}");
}
