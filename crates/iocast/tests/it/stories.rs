//! The stories under `examples/stories/`, told by the real binary.
//!
//! A story is its own script: a page of prose with blocks of commands and what they print. Every command is run again, in
//! order, in a directory of its own, and the page with the new output must be the page that is there.
//! `IOCAST_UPDATE=1` writes it instead.
//!
//! Nothing of this machine gets into a page: the clock of the binary stands at the day that the last heading names and
//! moves a minute with each command, chance repeats itself, the mock tools are called by names.

use crate::rig::server::{Fault, Mock};
use intel::Timestamp;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// The mock tools of a story: how each is called, and its list at the mock.
const TOOLS: &[(&str, &str)] = &[("firewall", "per-id/blocked"), ("gateway", "replace/blocked")];

/// How long the binary waits for an answer where a tool is about to hang, in milliseconds.
const PATIENCE: &str = "1500";

/// What stands before the date of the file that freezes.
const FILE_SINCE: &str = "by the file FREEZE in the data directory since ";

struct Story {
    dir: TempDir,
    mock: Mock,
    now: Timestamp,
}

impl Story {
    /// With a copy of the story's files.
    fn new(from: &Path) -> Story {
        let dir = TempDir::new().unwrap();
        copy(from, dir.path());
        fs::create_dir(dir.path().join("bin")).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_iocast"), dir.path().join("bin/iocast")).unwrap();
        Story { dir, mock: Mock::new(), now: Timestamp::EPOCH }
    }

    /// A heading that names a day of June sets the clock: `## Monday 1 June, afternoon: …`.
    fn heading(&mut self, line: &str) {
        let words: Vec<&str> = line.split([' ', ',', ':']).collect();
        let day = words.windows(2).find(|pair| pair[1] == "June").and_then(|pair| pair[0].parse::<u8>().ok());
        if let Some(day) = day {
            let hour = if line.contains("afternoon") { 14 } else { 9 };
            self.now = Timestamp::parse(&format!("2026-06-{day:02}T{hour:02}:00:00Z")).unwrap();
        }
    }

    /// Runs a line and says what it printed, as a reader may see it on any machine.
    fn run(&mut self, line: &str) -> String {
        self.now = self.now.after(Duration::from_secs(60));
        let words: Vec<&str> = line.split_whitespace().collect();
        if let Some((_, list)) = TOOLS.iter().find(|(name, _)| *name == words[0]) {
            return self.tool(list, &words[1..]);
        }
        let dir = self.dir.path().canonicalize().unwrap();
        let address = self.mock.url.trim_start_matches("http://").to_owned();
        let hosts: Vec<String> = TOOLS.iter().map(|(name, _)| format!("{name}.example.com={address}")).collect();
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("exec 2>&1\n{line}")])
            .current_dir(&dir)
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", dir.join("bin").display()))
            .env("IOCAST_KEY_FILE", dir.join("key"))
            .env("IOCAST_FILES", dir.join("feeds"))
            .env("FIREWALL_TOKEN", "not-a-real-token")
            .env("IOCAST_RIG", "1")
            .env("IOCAST_RIG_HOSTS", hosts.join(","))
            .env("IOCAST_CLOCK", self.now.to_string());
        if self.mock.lock().faults.contains(&Fault::Hang) {
            command.env("IOCAST_PATIENCE", PATIENCE);
        }
        let done = command.output().unwrap();
        let mut said = String::from_utf8(done.stdout).unwrap();
        let code = done.status.code().expect("it ends by itself");
        if code != 0 {
            writeln!(said, "(exit code {code})").unwrap();
        }
        let said = said.replace(&address, "firewall.example.com").replace(&*dir.to_string_lossy(), ".");
        // A file is dated by the system, whose clock does not stand: a minute after what was said before.
        match said.split_once(FILE_SINCE) {
            Some((before, after)) => {
                format!("{before}{FILE_SINCE}2026-06-06 09:04{}", after.get(16..).unwrap_or_default())
            }
            None => said,
        }
    }

    /// What happens at a mock tool, and what its owner sees there.
    fn tool(&self, name: &str, words: &[&str]) -> String {
        let say = |fault: Fault| {
            self.mock.lock().faults.push_back(fault);
            String::new()
        };
        match words {
            ["count"] => {
                let live = self.mock.list(name).live;
                let ours = live.iter().filter(|entry| !entry.mark.is_empty()).count();
                let mut values: Vec<&str> = live.iter().map(|entry| entry.value.as_str()).collect();
                values.sort_unstable();
                let twice = values.windows(2).filter(|pair| pair[0] == pair[1]).count();
                let twice = if twice == 0 { "none is there twice".to_owned() } else { format!("{twice} THERE TWICE") };
                format!("{} entries: {ours} by iocast, {} by people; {twice}\n", live.len(), live.len() - ours)
            }
            ["show", values @ ..] => {
                let mut said = String::new();
                for entry in self.mock.list(name).live {
                    let by = if entry.mark.is_empty() { "a person" } else { "iocast" };
                    if values.contains(&entry.value.as_str()) || values == ["--people"] && by == "a person" {
                        writeln!(said, "{:<32} by {by}", entry.value).unwrap();
                    }
                }
                if said.is_empty() { "no such entry\n".into() } else { said }
            }
            ["add", value] => {
                self.mock.person_adds(name, value);
                String::new()
            }
            ["remove", value] => {
                let mut state = self.mock.lock();
                let list = state.lists.get_mut(name).unwrap();
                list.live.retain(|entry| entry.value != *value);
                String::new()
            }
            ["answers", status] if status.parse::<u16>().is_ok() => say(Fault::Status(status.parse().unwrap())),
            ["refuses", value] => say(Fault::Poison((*value).to_owned())),
            ["refuses-every-third"] => say(Fault::Partial),
            ["hangs"] => say(Fault::Hang),
            ["recovers"] => {
                self.mock.lock().faults.clear();
                String::new()
            }
            _ => panic!("a tool of a story cannot {words:?}"),
        }
    }

    /// The page, told anew.
    fn told(&mut self, page: &str) -> String {
        let mut told = String::new();
        let mut lines = page.lines().peekable();
        while let Some(line) = lines.next() {
            told.push_str(line);
            told.push('\n');
            if line.starts_with('#') {
                self.heading(line);
            }
            if line != "```console" {
                continue;
            }
            for line in lines.by_ref() {
                if let Some(command) = line.strip_prefix("$ ") {
                    writeln!(told, "{line}").unwrap();
                    for said in self.run(command).lines() {
                        told.push_str(said.trim_end());
                        told.push('\n');
                    }
                }
                if line == "```" {
                    told.push_str("```\n");
                    break;
                }
            }
        }
        told
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let at = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &at),
            false => drop(fs::copy(entry.path(), at).unwrap()),
        }
    }
}

/// Shown: what a person sees when a feed is poisoned or halves, when a destination answers 429, 500, refuses some of what
/// it is sent, and applies a change without ever saying so, when somebody edits a list that we keep too, when a rule selects
/// far too much; and how it is frozen, undone, and taken back. How: the real binary through its command line, against mock
/// tools; every output is compared with the page people read.
#[test]
fn a_week_of_trouble_goes_as_it_is_told() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/stories/a-week-of-trouble");
    let page = fs::read_to_string(dir.join("transcript.md")).unwrap();
    let told = Story::new(&dir).told(&page);
    if std::env::var_os("IOCAST_UPDATE").is_some() {
        fs::write(dir.join("transcript.md"), &told).unwrap();
        return;
    }
    let first = page.lines().zip(told.lines()).position(|(was, is)| was != is);
    let at = first.unwrap_or_else(|| page.lines().count().min(told.lines().count()));
    let around = |text: &str| text.lines().skip(at.saturating_sub(4)).take(12).collect::<Vec<_>>().join("\n");
    assert!(
        page == told,
        "line {}: the story no longer goes as it is told (IOCAST_UPDATE=1 tells it anew: read the difference)\n\
         --- it was told\n{}\n--- it goes\n{}",
        at + 1,
        around(&page),
        around(&told),
    );
}
