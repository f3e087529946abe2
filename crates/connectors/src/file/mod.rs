//! A local file as destination: replaced whole, and only if it is ours.
//!
//! Beside the file lies a mark with the SHA-256 of what we wrote last and of what we are about to write. It is written
//! before the file is renamed into place, so a crash between the two leaves a file that is still known as ours. A file
//! without a mark, or with other bytes than the mark says, was written by somebody else and is left alone.

use kit::feed::{FeedSpec, parse};
use kit::manifest::Manifest;
use kit::render::{ListFormat, ListStyle, hex};
use kit::{Connection, Connector, ConnectorError, Cx, Destination, Outgoing, Presence, Rows, TargetSpec};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::sync::Arc;

pub(crate) fn connector() -> Result<Arc<dyn Connector>, String> {
    Ok(Arc::new(File { manifest: Manifest::parse(include_str!("manifest.toml"))? }))
}

struct File {
    manifest: Manifest,
}

impl Connector for File {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn open(&self, settings: &Value) -> Result<Box<dyn Connection>, String> {
        match settings.as_object().and_then(|given| given.keys().next()) {
            Some(key) => Err(format!("{key}: file has no settings; the path is a parameter of the target")),
            None => Ok(Box::new(FileConnection)),
        }
    }
}

struct FileConnection;

/// The parameters of a target, as far as they are ours to heed.
#[derive(Deserialize)]
struct Params {
    path: String,
    #[serde(default)]
    format: String,
    header: Option<String>,
}

/// What the mark says.
#[derive(Serialize, Deserialize)]
struct Mark {
    /// What the file held before; null: there was none.
    old: Option<String>,
    /// What it holds, or is about to.
    new: String,
}

/// What is on disk.
enum Now {
    Nothing,
    Ours(String),
    /// Not written by us, for this reason.
    Foreign(&'static str),
}

/// Bytes of a list that wait in memory; more go to a nameless temporary file.
const SPOOL_BYTES: usize = 8 << 20;

impl Params {
    fn of(target: TargetSpec<'_>) -> Result<(Params, ListStyle), ConnectorError> {
        let params = Params::deserialize(target.params)
            .map_err(|error| ConnectorError::Denied(format!("target {}: {error}", target.name)))?;
        let style = ListStyle {
            format: ListFormat::parse(&params.format).unwrap_or_default(),
            header: params.header.clone().filter(|header| !header.is_empty()),
            name: target.name.to_owned(),
            mark: target.mark.to_owned(),
            ..ListStyle::default()
        };
        Ok((params, style))
    }

    /// Where the mark lies.
    fn mark(&self) -> String {
        let cut = self.path.rfind('/').map_or(0, |at| at + 1);
        format!("{}.{}.iocast", &self.path[..cut], &self.path[cut..])
    }

    fn now(&self, cx: &Cx<'_>) -> Result<Now, ConnectorError> {
        if !cx.files.exists(&self.path)? {
            return Ok(Now::Nothing);
        }
        if !cx.files.exists(&self.mark())? {
            return Ok(Now::Foreign("there is no mark of ours beside it"));
        }
        let mut text = String::new();
        let read = cx.files.open(&self.mark())?.take(4096).read_to_string(&mut text);
        let Some(mark) = read.ok().and_then(|_| serde_json::from_str::<Mark>(&text).ok()) else {
            return Ok(Now::Foreign("the mark beside it cannot be read"));
        };
        let mut sha256 = Sha256::new();
        let mut file = cx.files.open(&self.path)?;
        let mut buffer = vec![0; 128 << 10];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => sha256.update(&buffer[..n]),
                Err(error) => return Err(later(&self.path, &error)),
            }
        }
        let found = hex(&sha256.finalize());
        if found == mark.new || Some(&found) == mark.old.as_ref() {
            return Ok(Now::Ours(found));
        }
        Ok(Now::Foreign("it was changed since we wrote it"))
    }
}

fn later(path: &str, error: &io::Error) -> ConnectorError {
    ConnectorError::Later { wait: None, why: format!("{path}: {error}") }
}

impl Connection for FileConnection {
    fn check(&self, _cx: &Cx<'_>) -> Result<(), ConnectorError> {
        Ok(())
    }

    fn destination(&self) -> Option<&dyn Destination> {
        Some(self)
    }
}

impl Destination for FileConnection {
    fn publish(
        &self,
        target: TargetSpec<'_>,
        all: &mut dyn Iterator<Item = Outgoing>,
        cx: &Cx<'_>,
    ) -> Result<(), ConnectorError> {
        let (params, style) = Params::of(target)?;
        let old = match params.now(cx)? {
            Now::Nothing => None,
            Now::Ours(sha256) => Some(sha256),
            Now::Foreign(why) => {
                let path = &params.path;
                return Err(ConnectorError::Denied(format!(
                    "{path} is not replaced: {why}. Move it away, or choose another path"
                )));
            }
        };
        // Written aside first: the mark must know the bytes before the file has them.
        let mut spool = tempfile::SpooledTempFile::new(SPOOL_BYTES);
        let written = style.write(all, &mut spool).map_err(|error| later(&params.path, &error))?;
        let new = written.sha256_hex();
        if old.as_ref() == Some(&new) {
            return Ok(());
        }
        spool.seek(SeekFrom::Start(0)).map_err(|error| later(&params.path, &error))?;
        let mark = serde_json::to_vec(&Mark { old, new }).unwrap_or_default();
        cx.files.replace(&params.mark(), |out| out.write_all(&mark))?;
        cx.files.replace(&params.path, |out| io::copy(&mut spool, out).map(drop))
    }

    fn look(&self, target: TargetSpec<'_>, entries: &[Outgoing], cx: &Cx<'_>) -> Result<Vec<Presence>, ConnectorError> {
        let (params, style) = Params::of(target)?;
        let ours = match params.now(cx)? {
            Now::Nothing => return Ok(vec![Presence::Absent; entries.len()]),
            Now::Ours(_) => true,
            Now::Foreign(_) => false,
        };
        let settings = match style.format {
            ListFormat::Edl => json!({"format": "text", "kind": "filename", "comments": ["#"]}),
            ListFormat::Csv => json!({"format": "csv", "value": "value", "header": "first", "comments": []}),
            ListFormat::Json => json!({"format": "json", "value": "value"}),
            ListFormat::Stix => json!({"format": "stix"}),
            ListFormat::Misp => json!({"format": "misp"}),
        };
        let spec = FeedSpec::from_settings(&settings).map_err(ConnectorError::Unexpected)?;
        let mut there = There { wanted: entries.iter().map(|e| style.line(&e.entry)).collect(), found: HashSet::new() };
        let read = parse(&spec, BufReader::new(cx.files.open(&params.path)?), &mut there);
        if ours {
            read?;
        }
        let presence = |entry: &Outgoing| match (there.found.contains(style.line(&entry.entry)), ours) {
            (false, _) => Presence::Absent,
            (true, true) => Presence::Ours { remote_id: None },
            (true, false) => Presence::Foreign,
        };
        Ok(entries.iter().map(presence).collect())
    }
}

/// Which of the wanted entries are in the file.
struct There<'e> {
    wanted: HashSet<&'e str>,
    found: HashSet<&'e str>,
}

impl Rows for There<'_> {
    fn row(&mut self, row: intel::Observation) {
        // A table has an apostrophe before what a spreadsheet would take for a formula.
        let bare = row.value.strip_prefix('\'').unwrap_or(&row.value);
        for text in [row.value.as_str(), bare] {
            self.found.extend(self.wanted.get(text));
        }
    }

    fn reject(&mut self, _reason: &'static str, _sample: &str) {}

    fn filter(&mut self, _reason: &'static str, _n: u64) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use intel::{IndicatorKey, Timestamp};
    use kit::files::Files;
    use kit::http::{Exchanges, Http};
    use std::path::Path;

    fn outgoing(value: &str) -> Outgoing {
        Outgoing::bare(IndicatorKey::parse(None, value).unwrap(), Timestamp::EPOCH)
    }

    /// Publishes these to `list` in `dir`.
    fn publish(dir: &Path, format: &str, values: &[&str]) -> Result<(), ConnectorError> {
        with(dir, format, |target, cx| {
            FileConnection.publish(target, &mut values.iter().map(|value| outgoing(value)), cx)
        })
    }

    fn look(dir: &Path, format: &str, values: &[&str]) -> Vec<Presence> {
        let entries: Vec<Outgoing> = values.iter().map(|value| outgoing(value)).collect();
        with(dir, format, |target, cx| FileConnection.look(target, &entries, cx)).unwrap()
    }

    fn with<T>(dir: &Path, format: &str, act: impl FnOnce(TargetSpec<'_>, &Cx<'_>) -> T) -> T {
        let files = Files::below(vec![dir.into()]);
        let http = Http::replaying(Exchanges::default(), Vec::new());
        let now = Timestamp::from_secs(1_800_000_000);
        let cx = Cx { http: &http, files: &files, now, initial_from: now };
        let params = json!({"path": dir.join("list").to_string_lossy(), "format": format});
        let params = connector().unwrap().manifest().action("write").unwrap().check(&params).unwrap();
        act(TargetSpec { name: "t", action: "write", params: &params, mark: "m" }, &cx)
    }

    const OURS: Presence = Presence::Ours { remote_id: None };

    #[test]
    fn it_writes_and_reads_back_every_format() {
        for format in ["edl", "csv", "json", "stix", "misp"] {
            let dir = tempfile::tempdir().unwrap();
            assert_eq!(look(dir.path(), format, &["192.0.2.1"]), [Presence::Absent]);
            publish(dir.path(), format, &["192.0.2.1", "http://a.example/x,y"]).unwrap();
            assert_eq!(
                look(dir.path(), format, &["192.0.2.1", "192.0.2.2", "http://a.example/x,y"]),
                [OURS, Presence::Absent, OURS],
                "{format}"
            );
            publish(dir.path(), format, &["192.0.2.2"]).unwrap();
            assert_eq!(look(dir.path(), format, &["192.0.2.1", "192.0.2.2"]), [Presence::Absent, OURS], "{format}");
            publish(dir.path(), format, &[]).unwrap();
            assert_eq!(look(dir.path(), format, &["192.0.2.2"]), [Presence::Absent]);
        }
    }

    #[test]
    fn it_never_replaces_what_it_did_not_write() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("list");
        std::fs::write(&list, "192.0.2.9\n").unwrap();
        let denied = |result: Result<(), ConnectorError>| match result {
            Err(ConnectorError::Denied(why)) => why,
            other => panic!("{other:?}"),
        };
        assert!(denied(publish(dir.path(), "edl", &["192.0.2.1"])).contains("no mark"));
        assert_eq!(look(dir.path(), "edl", &["192.0.2.9", "192.0.2.1"]), [Presence::Foreign, Presence::Absent]);
        std::fs::remove_file(&list).unwrap();
        publish(dir.path(), "edl", &["192.0.2.1"]).unwrap();
        std::fs::write(&list, "192.0.2.1\n192.0.2.7 # by hand\n").unwrap();
        assert!(denied(publish(dir.path(), "edl", &["192.0.2.1"])).contains("changed"));
        assert!(std::fs::read_to_string(&list).unwrap().contains("by hand"));
        std::fs::write(dir.path().join(".list.iocast"), "{").unwrap();
        assert!(denied(publish(dir.path(), "edl", &["192.0.2.1"])).contains("cannot be read"));
    }

    #[test]
    fn a_crash_between_mark_and_file_leaves_it_ours() {
        let dir = tempfile::tempdir().unwrap();
        let (list, mark) = (dir.path().join("list"), dir.path().join(".list.iocast"));
        publish(dir.path(), "edl", &["192.0.2.1"]).unwrap();
        let before = std::fs::read(&list).unwrap();
        publish(dir.path(), "edl", &["192.0.2.2"]).unwrap();
        // The mark of the second write was there, its file was not yet.
        std::fs::write(&list, before).unwrap();
        assert_eq!(look(dir.path(), "edl", &["192.0.2.1"]), [OURS]);
        publish(dir.path(), "edl", &["192.0.2.3"]).unwrap();
        assert_eq!(std::fs::read_to_string(&list).unwrap(), "192.0.2.3\n");
        // A mark without a file: the first write never came to be.
        std::fs::remove_file(&list).unwrap();
        publish(dir.path(), "edl", &["192.0.2.4"]).unwrap();
        assert!(mark.exists());
        assert!(publish(Path::new("/nonexistent"), "edl", &[]).is_err());
    }
}
