//! Processes that a check starts: an exchange, and whatever serves beside it. They end with the value that holds them.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};

use super::{Bench, printed};

/// A process that runs until this is dropped.
pub(super) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a process and reads its lines from `pipe` until one is what is waited for.
pub(super) fn start<T>(
    command: &mut Command,
    pipe: fn(&mut Child) -> Option<Box<dyn Read + Send>>,
    mut wanted: impl FnMut(&str) -> Option<T>,
) -> Result<(Running, T)> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command.stdin(Stdio::null()).spawn().with_context(|| format!("start {name}"))?;
    let lines = pipe(&mut child);
    let running = Running(child);
    let mut lines = BufReader::new(lines.context("its output is not read")?);
    let mut said = String::new();
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).with_context(|| format!("read from {name}"))? == 0 {
            bail!("{name} ended before it was ready\n{said}");
        }
        if let Some(found) = wanted(line.trim()) {
            // What it says from here on is of no interest, but a full pipe would stop it.
            thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
            return Ok((running, found));
        }
        said.push_str(&line);
    }
}

/// An `iocast` with a data directory of its own.
pub(super) struct Exchange<'b> {
    bench: &'b Bench,
    data: PathBuf,
    files: usize,
}

/// A served exchange.
pub(super) struct Served {
    /// `http://127.0.0.1:PORT`.
    pub(super) url: String,
    /// An administrator's.
    pub(super) token: String,
    /// It is served as long as this is held.
    _running: Running,
}

impl<'b> Exchange<'b> {
    pub(super) fn new(bench: &'b Bench, name: &str) -> Result<Exchange<'b>> {
        let data = bench.dir.join(name);
        fs::create_dir_all(&data).with_context(|| format!("make {}", data.display()))?;
        Ok(Exchange { bench, data, files: 0 })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.bench.binary);
        command.current_dir(&self.bench.dir).arg("--data").arg(&self.data);
        for name in ["IOCAST_URL", "IOCAST_TOKEN", "IOCAST_DATA", "IOCAST_FILES"] {
            command.env_remove(name);
        }
        command
    }

    /// Runs a command; gives what it printed.
    pub(super) fn run(&self, args: &[&str]) -> Result<String> {
        printed(self.command().args(args))
    }

    /// The same, as JSON.
    pub(super) fn json(&self, args: &[&str]) -> Result<serde_json::Value> {
        let text = self.run(&[args, &["--format", "json"]].concat())?;
        serde_json::from_str(&text).with_context(|| format!("`iocast {}` printed no JSON: {text}", args.join(" ")))
    }

    /// Applies a configuration.
    pub(super) fn apply(&mut self, toml: &str) -> Result<()> {
        self.files += 1;
        let file = self.data.with_extension(format!("{}.toml", self.files));
        fs::write(&file, toml).with_context(|| format!("write {}", file.display()))?;
        self.run(&["apply", &file.to_string_lossy()]).map(drop)
    }

    /// Serves it on a free port, without a schedule, until the value is dropped. The data directory must be new: only a
    /// first start tells a token.
    pub(super) fn serve(&self) -> Result<Served> {
        let mut command = self.command();
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--no-schedule"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut token = None;
        let stderr = |child: &mut Child| child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>);
        let (running, url) = start(&mut command, stderr, |line| {
            if line.starts_with("ioc_") {
                token = Some(line.to_owned());
            }
            line.strip_prefix("listening on ").map(str::to_owned)
        })?;
        Ok(Served { url, token: token.context("it told no token: its data directory is not new")?, _running: running })
    }
}
