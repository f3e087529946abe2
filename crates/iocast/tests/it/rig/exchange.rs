//! An exchange of the real binary between mock sources and mock tools: its site, its commands, and their ends.

use super::server::{Entry, Mock};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use tempfile::TempDir;

/// A style that is shared to: its target, and the list at the mock (none for what we serve).
pub(crate) type Style = (&'static str, Option<&'static str>);

pub(crate) const STYLES: &[Style] = &[
    ("append", Some("append/main")),
    ("per-id", Some("per-id/main")),
    ("staged", Some("staged/main")),
    ("replace", Some("replace/main")),
    ("pulled", None),
    ("stream", Some("stream")),
];

/// Addresses of the feed at any time, and how many go and come with each version.
const ROWS: u32 = 120;
const TURNOVER: u32 = 40;

/// What nobody may ever see, by where it is used.
pub(crate) const CANARIES: &[(&str, &str)] = &[
    ("a tool's token", "canary-7f3a9c51e2b84d06-tool"),
    ("a webhook's token", "canary-1d5e8f72a90b4c63-hook"),
    // 24 bytes of text in base64, as this kind of secret is written.
    ("a signing secret", "Y2FuYXJ5LTRiOGUyZDE3ZjYtc2lnbmluZy1r"),
];

const SITE: &str = r#"
[[connection]]
name = "levels"
connector = "feed"
interval = "1s"
allow_private = ["127.0.0.0/8"]
override_reputation = 8
settings = { url = "{{mock}}/feed.txt", format = "text", kind = "auto" }

[[connection]]
name = "pages"
connector = "rig"
allow_private = ["127.0.0.0/8"]
override_reputation = 8
aging_days = 0
settings = { url = "{{mock}}", token = "{{token}}" }

[[connection]]
name = "edge"
connector = "list"

[[connection]]
name = "soc"
connector = "webhook"
allow_private = ["127.0.0.0/8"]
settings = { url = "{{mock}}/hook", secret = "whsec_{{signing}}", token = "{{hook}}" }

[[rule]]
name = "addresses"
when = 'kind = ipv4 and reputation >= 5'
"#;

/// Words of a target and its sharing.
fn target(style: &str) -> String {
    let (connection, more) = match style {
        "pulled" => ("edge", "action = \"publish\""),
        "stream" => ("soc", "params = { batch = 25 }"),
        style => ("pages", &*format!("action = \"{style}\"")),
    };
    format!(
        "[[target]]\nname = \"{style}\"\nconnection = \"{connection}\"\ninterval = \"1s\"\nfirst_fill = \"allow\"\n{more}\n\n\
         [[sharing]]\nsource = \"any\"\nrule = \"addresses\"\ntarget = \"{style}\"\n\n"
    )
}

/// The exchange.
pub(crate) struct Exchange {
    dir: TempDir,
    pub(crate) mock: Mock,
    version: u32,
    /// Everything that any command ever said.
    said: Mutex<Vec<u8>>,
    /// Entries of other people, which are there before and after, byte for byte.
    pub(crate) foreign: Vec<(String, Entry)>,
    /// Where it is, for messages.
    pub(crate) at: String,
    /// What it shares to.
    pub(crate) styles: &'static [Style],
}

impl Exchange {
    pub(crate) fn new(at: &str) -> Exchange {
        Exchange::with(at, STYLES)
    }

    pub(crate) fn with(at: &str, styles: &'static [Style]) -> Exchange {
        let (dir, mock) = (TempDir::new().unwrap(), Mock::new());
        let mut exchange =
            Exchange { dir, mock, version: 0, said: Mutex::default(), foreign: Vec::new(), at: at.to_owned(), styles };
        let mut site = SITE
            .replace("{{mock}}", &exchange.mock.url)
            .replace("{{token}}", CANARIES[0].1)
            .replace("{{hook}}", CANARIES[1].1)
            .replace("{{signing}}", CANARIES[2].1);
        site.extend(styles.iter().map(|(style, _)| target(style)));
        fs::write(exchange.dir.path().join("site.toml"), site).unwrap();
        for (_, list) in styles {
            let Some(list) = list.filter(|list| list.contains('/')) else { continue };
            // One that nobody but them has, and one that our feed has too.
            for value in ["203.0.77.1", "45.0.0.100"] {
                exchange.mock.person_adds(list, value);
            }
            let entries = exchange.mock.list(list).live;
            exchange.foreign.extend(entries.into_iter().map(|entry| (list.to_owned(), entry)));
        }
        exchange.mock.lock().pages = (0..50).map(|n| format!("46.0.0.{n}")).collect();
        exchange.advance();
        exchange.ok(&["apply", "site.toml"]);
        exchange
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// The feed moves on: addresses go and come; so does the source with pages, where nothing goes.
    pub(crate) fn advance(&mut self) {
        self.version += 1;
        let from = self.version * TURNOVER;
        let mut state = self.mock.lock();
        state.feed =
            (from..from + ROWS).map(|n| format!("45.{}.{}.{}", n >> 16 & 255, n >> 8 & 255, n & 255)).collect();
        state.feed_version += 1;
        let n = state.pages.len();
        state.pages.extend((n..n + 5).map(|n| format!("46.0.{}.{}", n >> 8 & 255, n & 255)));
    }

    /// What is known and shared when everything is quiet: what the sources list.
    pub(crate) fn wanted(&self) -> BTreeSet<String> {
        let state = self.mock.lock();
        state.feed.iter().chain(&state.pages).cloned().collect()
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_iocast"));
        let dir = self.path();
        command.args(words).current_dir(&dir).env_clear().stdin(Stdio::null());
        command.env("IOCAST_DATA", "data").env("IOCAST_FILES", &dir).env("IOCAST_KEY_FILE", dir.join("seal.key"));
        command.env("IOCAST_RIG", "1");
        command
    }

    /// Runs to an end, whatever it is.
    pub(crate) fn run(&self, words: &[&str], failpoint: Option<(&str, u64)>) -> Output {
        let mut command = self.command(words);
        if let Some((name, n)) = failpoint {
            command.env("IOCAST_FAILPOINT", format!("{name}:{n}"));
        }
        let done = command.output().unwrap();
        self.heard(&[&done.stdout[..], &done.stderr[..]].concat());
        done
    }

    fn heard(&self, bytes: &[u8]) {
        self.said.lock().unwrap().extend_from_slice(bytes);
    }

    /// Everything that was said to the operator so far.
    pub(crate) fn said(&self) -> Vec<u8> {
        self.said.lock().unwrap().clone()
    }

    /// Whether a command was ended by its failpoint. Any other end must be a known one.
    pub(crate) fn dies(&self, words: &[&str], point: &str, n: u64) -> bool {
        let done = self.run(words, Some((point, n)));
        done.status.signal().is_some()
    }

    /// Starts a command and ends it when the mock has done something and holds the answer back. False: it came to no
    /// call, and ended by itself.
    pub(crate) fn dies_waiting(&self, words: &[&str]) -> bool {
        let (sender, held) = std::sync::mpsc::channel();
        self.mock.lock().held = Some(sender);
        let mut child: Child = self.command(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let hit = loop {
            match held.recv_timeout(std::time::Duration::from_millis(50)) {
                Ok(()) => break true,
                Err(_) if child.try_wait().unwrap().is_some() => break false,
                Err(_) => {}
            }
        };
        let _ = child.kill();
        child.wait().unwrap();
        let mut state = self.mock.lock();
        state.held = None;
        state.faults.clear();
        hit
    }

    /// Runs to the end, which must be good.
    pub(crate) fn ok(&self, words: &[&str]) -> String {
        let done = self.run(words, None);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(done.status.success(), "{}: {words:?}: {}{}", self.at, text(&done.stdout), text(&done.stderr));
        text(&done.stdout)
    }

    pub(crate) fn json(&self, words: &[&str]) -> Vec<Value> {
        let out = self.ok(&[words, &["--format", "json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{}: {error}: {out}", self.at))
    }

    /// Everything pulled and shared to its end.
    pub(crate) fn settle(&self) {
        self.ok(&["pull", "--all"]);
        // What a pass could only ask about is done by the next. An entry that somebody else had there first makes it
        // partial, and that is no failure.
        for _ in 0..2 {
            let done = self.run(&["share", "--all", "--approve"], None);
            assert!(done.status.code().is_some(), "{}: {done:?}", self.at);
        }
    }

    /// What a style's list holds of ours.
    pub(crate) fn held(&self, style: &str, list: Option<&str>) -> Vec<String> {
        let foreign = |entry: &Entry| self.foreign.iter().any(|(_, other)| other == entry);
        match list {
            None => self.ok(&["list", "show", style]).lines().map(str::to_owned).collect(),
            Some(list) => {
                let live = self.mock.list(list).live;
                live.into_iter().filter(|entry| !foreign(entry)).map(|entry| entry.value).collect()
            }
        }
    }
}

/// The files of a store as they are now, at another place: looking at them there changes nothing here.
pub(crate) fn image(data: &Path) -> TempDir {
    let image = TempDir::new().unwrap();
    for name in ["iocast.db", "iocast.db-wal"] {
        let from = data.join(name);
        if from.exists() {
            fs::copy(from, image.path().join(name)).unwrap();
        }
    }
    image
}
