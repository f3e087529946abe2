//! Where the audit log is handed on to: a file that is only added to, or a syslog server.
//!
//! Named by start-up options alone. A line of the file is JSON and holds all that its hash was made of, so that the file
//! can be checked, and a database against it, by itself. Syslog says nothing back over any of its transports: handed over
//! is all that is known, and after a break an entry may be told twice, never left out.

use crate::notify::syslog::{self, Relay};
use serde_json::json;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use store::{AuditRow, Checkpoint};

/// Takes entries, and remembers or is told how far it got.
pub(crate) trait Sink: Send {
    /// As shown, and kept beside how far it got.
    fn name(&self) -> String;
    /// The last entry it has; None: it cannot say.
    fn reached(&mut self) -> Option<u64>;
    /// Takes entries in order. Gives how many it has taken, and why not all.
    fn take(&mut self, entries: &[AuditRow], signed: Option<&Checkpoint>) -> (usize, Result<(), String>);
}

/// A place named at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkAt {
    /// A file.
    File(PathBuf),
    /// A syslog server.
    Syslog(Relay),
}

impl SinkAt {
    pub(crate) fn open(&self) -> Box<dyn Sink> {
        match self {
            SinkAt::File(path) => Box::new(FileSink { path: path.clone(), signed: None }),
            SinkAt::Syslog(relay) => Box::new(SyslogSink { relay: relay.clone() }),
        }
    }
}

impl fmt::Display for SinkAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SinkAt::File(path) => write!(f, "file {}", path.display()),
            SinkAt::Syslog(relay) => write!(f, "syslog {relay}"),
        }
    }
}

/// An entry as one line of JSON.
pub(crate) fn line(entry: &AuditRow) -> String {
    json!({
        "seq": entry.seq,
        "at": entry.at.to_string(),
        "at_micros": entry.at.micros(),
        "who": entry.who,
        "action": entry.action,
        "object": entry.object,
        "detail": entry.detail,
        "address": entry.address,
        "token": entry.token,
        "chain": kit::render::hex(&entry.chain),
    })
    .to_string()
}

/// A checkpoint as one line of JSON.
pub(crate) fn checkpoint_line(made: &Checkpoint) -> String {
    json!({
        "checkpoint": made.seq,
        "at": made.at.to_string(),
        "at_micros": made.at.micros(),
        "chain": kit::render::hex(&made.chain),
        "key": kit::render::hex(&made.key),
        "signature": kit::render::hex(&made.signature),
    })
    .to_string()
}

struct FileSink {
    path: PathBuf,
    /// The last checkpoint written since the start.
    signed: Option<u64>,
}

impl Sink for FileSink {
    fn name(&self) -> String {
        format!("file {}", self.path.display())
    }

    /// What the file itself says: whatever the database believes, no entry is missing in it and none is in it twice.
    fn reached(&mut self) -> Option<u64> {
        last_entry(&self.path).ok().flatten()
    }

    fn take(&mut self, entries: &[AuditRow], signed: Option<&Checkpoint>) -> (usize, Result<(), String>) {
        let signed = signed.filter(|made| self.signed.is_none_or(|last| last < made.seq));
        if entries.is_empty() && signed.is_none() {
            return (0, Ok(()));
        }
        let mut text = String::new();
        for entry in entries {
            text.push_str(&line(entry));
            text.push('\n');
        }
        if let Some(made) = signed {
            text.push_str(&checkpoint_line(made));
            text.push('\n');
        }
        match append(&self.path, &text) {
            Ok(()) => {
                self.signed = signed.map(|made| made.seq).or(self.signed);
                (entries.len(), Ok(()))
            }
            Err(error) => (0, Err(error.to_string())),
        }
    }
}

fn append(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    // A line that was cut off by a crash ends here, and what was to be in it is written again.
    let len = file.metadata()?.len();
    if len > 0 {
        file.seek(SeekFrom::Start(len - 1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    file.write_all(text.as_bytes())?;
    file.sync_data()
}

/// How much of the end of a file is read to find its last entry, in bytes: more than two of the longest lines.
const TAIL: u64 = 8 << 20;

/// The last whole entry of a file.
fn last_entry(path: &Path) -> std::io::Result<Option<u64>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Some(0)),
        opened => opened?,
    };
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(TAIL)))?;
    let mut last = if len == 0 { Some(0) } else { None };
    let mut reader = BufReader::new(file);
    let mut bytes = Vec::new();
    while reader.read_until(b'\n', &mut bytes)? > 0 {
        if bytes.ends_with(b"\n")
            && let Ok(value) = serde_json::from_slice::<serde_json::Value>(&bytes)
            && let Some(seq) = value["seq"].as_u64()
        {
            last = Some(seq);
        }
        bytes.clear();
    }
    Ok(last)
}

struct SyslogSink {
    relay: Relay,
}

impl Sink for SyslogSink {
    fn name(&self) -> String {
        format!("syslog {}", self.relay)
    }

    fn reached(&mut self) -> Option<u64> {
        None
    }

    fn take(&mut self, entries: &[AuditRow], _: Option<&Checkpoint>) -> (usize, Result<(), String>) {
        if entries.is_empty() {
            return (0, Ok(()));
        }
        let messages: Vec<String> = entries.iter().map(syslog::audit_message).collect();
        self.relay.tell(&messages)
    }
}
