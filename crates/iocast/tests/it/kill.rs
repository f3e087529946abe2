//! Kill -9 at any moment of a pull, a pass or a serving process, on the real binary and real files.
//!
//! What was acknowledged stays, the cursor is never ahead of the rows, and the next runs to their end leave every
//! target with exactly what the feed lists. Moments are drawn with a seed over the measured length of a whole run.
#![cfg(unix)]

use crate::receiver::Receiver;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Rows of the feed at any time.
const ROWS: u32 = 3_000;
/// Rows that go and rows that come with each version of it: well inside every budget.
const TURNOVER: u32 = 60;
/// Kills that must have hit a living process, over all seeds.
const KILLS: usize = 104;
/// Each works on a data directory of its own; two cores are kept busy.
const SEEDS: [u64; 2] = [0x9e37_79b9, 0x1234_5678];

const SITE: &str = r#"
[[connection]]
name = "levels"
connector = "feed"
interval = "1s"
override_reputation = 8
settings = { url = "file://{{dir}}/levels.txt", format = "text", kind = "auto" }

[[connection]]
name = "edge"
connector = "list"

[[connection]]
name = "disk"
connector = "file"

[[connection]]
name = "soc"
connector = "webhook"
allow_private = ["127.0.0.0/8"]
settings = { url = "{{receiver}}", secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" }

[[target]]
name = "served"
connection = "edge"
action = "publish"
first_fill = "allow"

[[target]]
name = "written"
connection = "disk"
action = "write"
first_fill = "allow"
params = { path = "{{dir}}/written.txt" }

[[target]]
name = "told"
connection = "soc"
first_fill = "allow"
params = { batch = 50 }

[[rule]]
name = "addresses"
when = 'kind = ipv4 and reputation >= 5'

[[sharing]]
source = "levels"
rule = "addresses"
target = "served"

[[sharing]]
source = "levels"
rule = "addresses"
target = "written"

[[sharing]]
source = "levels"
rule = "addresses"
target = "told"
"#;

/// What a feed or a list holds.
type Set = BTreeSet<String>;

/// A data directory, a feed that moves on, and a seeded choice of moments.
pub(crate) struct Victim {
    dir: TempDir,
    receiver: Receiver,
    version: u32,
    random: u64,
    kills: usize,
    serve_kills: usize,
}

impl Victim {
    /// Without a configuration.
    pub(crate) fn bare(seed: u64) -> Victim {
        let (dir, receiver) = (TempDir::new().unwrap(), Receiver::new());
        Victim { dir, receiver, version: 0, random: seed, kills: 0, serve_kills: 0 }
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        self.dir.path()
    }

    pub(crate) fn kills(&self) -> usize {
        self.kills
    }

    fn new(seed: u64) -> Victim {
        let victim = Victim::bare(seed);
        let dir = victim.dir.path().canonicalize().unwrap().display().to_string();
        fs::write(
            victim.dir.path().join("site.toml"),
            SITE.replace("{{dir}}", &dir).replace("{{receiver}}", &victim.receiver.url),
        )
        .unwrap();
        victim.write_feed();
        victim.ok(&["apply", "site.toml"]);
        victim
    }

    /// The rows of a version: a window that moves over distinct addresses.
    fn rows(version: u32) -> Set {
        let from = version * TURNOVER;
        (from..from + ROWS).map(|n| format!("45.{}.{}.{}", n >> 16 & 255, n >> 8 & 255, n & 255)).collect()
    }

    fn write_feed(&self) {
        let text: Vec<String> = Victim::rows(self.version).into_iter().collect();
        let part = self.dir.path().join("levels.part");
        fs::write(&part, text.join("\n")).unwrap();
        fs::rename(part, self.dir.path().join("levels.txt")).unwrap();
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_iocast"));
        let dir = self.dir.path().canonicalize().unwrap();
        command.args(words).current_dir(&dir).env_clear().stdin(Stdio::null());
        command.env("IOCAST_DATA", "data").env("IOCAST_FILES", &dir).env("IOCAST_KEY_FILE", dir.join("seal.key"));
        command
    }

    /// Runs to the end, which must be good.
    pub(crate) fn ok(&self, words: &[&str]) -> String {
        let done = self.command(words).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&done.stdout), text(&done.stderr));
        assert!(done.status.success(), "version {} {words:?}: {out}{err}", self.version);
        out
    }

    pub(crate) fn json(&self, words: &[&str]) -> Vec<Value> {
        let out = self.ok(&[words, &["--format", "json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }

    /// splitmix64.
    fn roll(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A moment of a run that takes `whole`; a little later than its end too.
    pub(crate) fn moment(&mut self, whole: Duration) -> Duration {
        whole.mul_f64((self.roll() % 1_000) as f64 / 950.0)
    }

    /// Starts a command and kills it after a moment. Whether it was still alive then.
    pub(crate) fn kill(&mut self, words: &[&str], after: Duration) -> bool {
        let mut child = self.command(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Nobody ever says anything here: it is a wait with an end, and no sleep of a fixed length to get lucky by.
        let (_keep, never) = channel::<()>();
        let _ = never.recv_timeout(after);
        let _ = child.kill();
        let status = child.wait().unwrap();
        if status.signal().is_none() {
            assert_eq!(status.code(), Some(0), "version {} {words:?}: it failed before it was killed", self.version);
        }
        let hit = status.signal() == Some(9);
        self.kills += usize::from(hit);
        hit
    }

    fn lines(text: &str) -> Set {
        text.lines().map(str::to_owned).collect()
    }

    /// Everything known and active.
    pub(crate) fn known(&self) -> Set {
        let out = self.ok(&["indicator", "find", "", "--limit", "100000", "--format", "ndjson"]);
        let value = |line: &str| serde_json::from_str::<Value>(line).unwrap()["value"].as_str().unwrap().to_owned();
        out.lines().map(value).collect()
    }

    /// What the ledger says is at a target.
    pub(crate) fn ledger(&self, target: &str) -> Set {
        let asked = format!("shared_with = \"{target}\"");
        let out = self.ok(&["indicator", "find", &asked, "--all", "--limit", "100000", "--format", "ndjson"]);
        let value = |line: &str| serde_json::from_str::<Value>(line).unwrap()["value"].as_str().unwrap().to_owned();
        out.lines().map(value).collect()
    }

    fn served(&self) -> Set {
        Victim::lines(&self.ok(&["list", "show", "served"]))
    }

    fn written(&self) -> Set {
        Victim::lines(&fs::read_to_string(self.dir.path().join("written.txt")).unwrap())
    }

    /// Pulls to the end: the feed is known, row by row, and nothing else.
    fn settle_pull(&self) -> Duration {
        let started = Instant::now();
        let report = &self.json(&["pull", "--all"])[0];
        let took = started.elapsed();
        let n = |key: &str| report[key].as_u64().unwrap();
        assert!(matches!(report["status"].as_str(), Some("success" | "not_modified")), "{report}");
        assert_eq!(n("read"), n("new") + n("changed") + n("unchanged") + n("rejected"), "{report}");
        assert!(report["status"] == "not_modified" || n("read") == u64::from(ROWS), "{report}");
        took
    }

    /// Shares to the end: counts balance and nothing is left over.
    fn settle_share(&self) -> Duration {
        let started = Instant::now();
        let reports = self.json(&["share", "--all", "--approve"]);
        let took = started.elapsed();
        assert_eq!(reports.len(), 3);
        for report in &reports {
            let n = |key: &str| report[key].as_u64().unwrap();
            assert_eq!(report["status"], "success", "{report}");
            let planned = n("push") + n("update") + n("retract");
            assert_eq!(planned, n("accepted") + n("refused") + n("unknown") + n("deferred"), "{report}");
            assert_eq!((n("refused"), n("unknown"), n("deferred")), (0, 0, 0), "{report}");
        }
        took
    }

    /// A round: a new version of the feed, kills while it is pulled, kills while it is shared, and what holds after
    /// each.
    fn round(&mut self, pull: Duration, share: Duration) {
        let old = Victim::rows(self.version);
        self.version += 1;
        let new = Victim::rows(self.version);
        self.write_feed();
        for _ in 0..3 {
            let after = self.moment(pull);
            self.kill(&["pull", "--all"], after);
        }
        let between = self.known();
        // What the last whole pull acknowledged is there, unless the new version, whole, has taken it back.
        let both: Set = old.union(&new).cloned().collect();
        assert!(between == old || between == both || between == new, "version {}", self.version);
        assert_eq!(self.served(), old, "a pull changes no target");
        assert_eq!(self.receiver.held(), old, "a pull tells nobody anything");
        self.settle_pull();
        assert_eq!(self.known(), new, "version {}: exactly the rows of the feed", self.version);

        for _ in 0..3 {
            let after = self.moment(share);
            self.kill(&["share", "--all", "--approve"], after);
        }
        // Each list is the old one or the new one, whole, and the served one is what the ledger says.
        let served = self.served();
        assert!(served == old || served == new, "version {}", self.version);
        assert_eq!(served, self.ledger("served"), "version {}: body and ledger differ", self.version);
        let written = self.written();
        assert!(written == old || written == new, "version {}", self.version);
        // One that is told change by change is somewhere between.
        let held = self.receiver.held();
        assert!(held.is_subset(&both) && old.intersection(&new).all(|v| held.contains(v)), "version {}", self.version);
        self.check(&new);
    }

    /// A version that is pulled and shared by a server, which is killed.
    fn serve_round(&mut self, whole: Duration) {
        self.version += 1;
        self.write_feed();
        for _ in 0..2 {
            let after = self.moment(whole);
            let hit = self.kill(&["serve", "--listen", "127.0.0.1:0"], after);
            assert!(hit, "a server does not end by itself");
            self.serve_kills += 1;
        }
        self.settle_pull();
        self.check(&Victim::rows(self.version));
    }

    /// Shares to the end and looks at everything.
    fn check(&self, wanted: &Set) {
        self.settle_share();
        for target in ["served", "written", "told"] {
            assert_eq!(&self.ledger(target), wanted, "version {}: ledger of {target}", self.version);
        }
        assert_eq!(&self.served(), wanted, "version {}", self.version);
        assert_eq!(&self.written(), wanted, "version {}", self.version);
        assert_eq!(&self.receiver.held(), wanted, "version {}: what the receiver was told", self.version);
    }
}

/// Servers killed while rows are pushed to them.
const PUSHED_KILLS: u32 = 10;
/// Rows of a push.
const PUSHED: u32 = 25;

/// A server and where it listens.
fn serving(victim: &Victim) -> (Child, String) {
    let mut command = victim.command(&["serve", "--listen", "127.0.0.1:0"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = loop {
        let line = lines.next().unwrap().unwrap();
        if let Some(address) = line.strip_prefix("listening on http://") {
            break address.to_owned();
        }
    };
    // What it says later is read to its end, so that it never waits for us.
    std::thread::spawn(move || lines.count());
    (child, address)
}

/// Pushes rows; true: they were acknowledged. None: the server is gone.
fn push(address: &str, token: &str, key: u32, values: &[String]) -> Option<bool> {
    let rows: String = values.iter().map(|value| format!("{{\"value\":\"{value}\"}}\n")).collect();
    let mut stream = TcpStream::connect(address).ok()?;
    write!(
        stream,
        "POST /api/v1/connections/bucket/observations HTTP/1.1\r\nHost: x\r\nConnection: close\r\nIdempotency-Key: {key}\r\n\
         Authorization: Bearer {token}\r\nContent-Type: application/x-ndjson\r\nContent-Length: {}\r\n\r\n{rows}",
        rows.len()
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?;
    assert!(matches!(status, "200" | "503"), "{answer}");
    Some(status == "200")
}

/// A server takes pushes over HTTP and is killed at random moments. Every row of an acknowledged push is known afterwards,
/// what was not acknowledged is there whole or not at all, and the counts of the runs are those of the rows.
/// Figures: 10 servers killed.
#[test]
fn f01_nothing_pushed_and_acknowledged_is_lost_by_a_kill() {
    let mut victim = Victim::new(0x5eed);
    let bucket = "[[connection]]\nname = \"bucket\"\nconnector = \"api-source\"\n";
    fs::write(victim.dir.path().join("bucket.toml"), bucket).unwrap();
    victim.ok(&["apply", "bucket.toml"]);
    let token = victim.ok(&["token", "create", "p", "--scope", "ingest", "--connection", "bucket", "--quiet"]);
    let token = token.trim();
    let mut acknowledged = Set::new();
    let mut key = 0;
    let mut most = 0;
    for _ in 0..PUSHED_KILLS {
        let (mut child, address) = serving(&victim);
        let n_acknowledged = victim.roll() % 12;
        let after = Duration::from_micros(victim.roll() % 20_000);
        let (enough, killed) = channel::<()>();
        let killer = std::thread::spawn(move || {
            // After so many answers and a moment more, in the middle of whatever then goes on.
            let _ = killed.recv();
            let (_keep, never) = channel::<()>();
            let _ = never.recv_timeout(after);
            child.kill().unwrap();
            child.wait().unwrap();
        });
        let mut n = 0;
        loop {
            if n == n_acknowledged {
                let _ = enough.send(());
            }
            let values: Vec<String> =
                (0..PUSHED).map(|row| format!("46.{}.{}.{row}", key >> 8 & 255, key & 255)).collect();
            match push(&address, token, key, &values) {
                None => break,
                Some(false) => continue,
                Some(true) => {
                    acknowledged.extend(values);
                    key += 1;
                    n += 1;
                }
            }
        }
        most = most.max(n);
        killer.join().unwrap();
    }
    let known = victim.known();
    let lost: Vec<&String> = acknowledged.difference(&known).collect();
    assert!(lost.is_empty(), "{} of {} are lost: {lost:?}", lost.len(), acknowledged.len());
    assert!(most > 2, "too few pushes for a kill to hit one");
    // What was not acknowledged is there whole or not at all.
    let pushed = known.iter().filter(|value| value.starts_with("46.")).count();
    assert_eq!(pushed % PUSHED as usize, 0, "a batch is half there");
    let runs = victim.json(&["run", "list", "--kind", "ingest", "--limit", "1000"]);
    let n = |run: &Value, key: &str| run["report"][key].as_u64().unwrap();
    let sum = |key: &str| runs.iter().map(|run| n(run, key)).sum::<u64>();
    assert_eq!(sum("new"), pushed as u64, "rows and counts are there together: {runs:?}");
    assert_eq!(sum("read"), sum("new") + sum("changed") + sum("unchanged") + sum("rejected"));
}

/// Pulls, passes and servers are killed at random instants of their length, over a feed that moves on, to a served list, a
/// file and a receiver that does each message once. What was acknowledged stays, rows and cursor are together, each list is
/// the old or the new one whole, and the next runs leave every target with exactly what the feed lists.
/// Figures: 104 kills that hit a living process, two seeds (IOCAST_KILLS for more).
#[test]
fn f01_nothing_acknowledged_is_lost_by_a_kill() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<usize>().ok());
    let n_kills = number("IOCAST_KILLS").unwrap_or(KILLS);
    let base = number("IOCAST_SEED_BASE").unwrap_or(0) as u64;
    let workers = SEEDS.map(|seed| {
        std::thread::spawn(move || {
            let mut victim = Victim::new(seed ^ base);
            let pull = victim.settle_pull();
            let share = victim.settle_share();
            victim.check(&Victim::rows(0));
            let mut rounds = 0;
            while victim.kills < n_kills / SEEDS.len() {
                victim.round(pull, share);
                rounds += 1;
                if rounds % 4 == 0 {
                    victim.serve_round(pull + share);
                }
                assert!(rounds < n_kills, "kills come too late: {} of them hit", victim.kills);
            }
            // The last word: nothing is left to do, the database is sound, and kills did hit runs that were going.
            let quiet = &victim.json(&["pull", "--all"])[0];
            assert_eq!(quiet["status"], "not_modified", "{quiet}");
            for report in victim.json(&["share", "--all"]) {
                let n = |key: &str| report[key].as_u64().unwrap();
                assert_eq!((n("push") + n("update") + n("retract"), n("leave")), (0, u64::from(ROWS)), "{report}");
            }
            victim.ok(&["backup", "whole.db"]);
            victim.ok(&["--data", "other", "restore", "whole.db"]);
            assert_eq!(victim.ok(&["--data", "other", "indicator", "count", ""]), format!("{ROWS}\n"));
            let runs = victim.json(&["run", "list", "--limit", "1000"]);
            let interrupted = runs.iter().filter(|run| run["status"] == "interrupted").count();
            (victim.kills, victim.serve_kills, interrupted, victim.receiver.repeats())
        })
    });
    let done = workers.map(|worker| worker.join().unwrap());
    let sum = |part: fn(&(usize, usize, usize, usize)) -> usize| done.iter().map(part).sum::<usize>();
    assert!(sum(|d| d.0) >= n_kills / SEEDS.len() * SEEDS.len(), "IOCAST_SEED_BASE={base} {done:?}");
    assert!(sum(|d| d.1) >= 8, "{done:?}");
    // How many hit a run that was going depends on how busy the machine is; none would mean that the delays are wrong.
    assert!(sum(|d| d.2) >= 2, "too few kills hit a run: {done:?}");
}
