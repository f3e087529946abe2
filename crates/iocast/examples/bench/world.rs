//! A real clock, local files, no network; and an exchange over a directory of generated feeds.

use crate::generate::{self, Rows, SOURCES, Style};
use engine::{ConfigFile, Engine, Mode, Registry, Silent, World};
use intel::Timestamp;
use kit::ConnectorError;
use kit::files::Files;
use kit::http::{Exchanges, Http};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;
use store::Store;

/// Whatever ends a benchmark.
pub(crate) type Fault = Box<dyn std::error::Error>;

struct Local {
    files: Files,
}

impl World for Local {
    fn now(&self) -> Timestamp {
        Timestamp::EPOCH.after(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
    }

    fn random(&self) -> u64 {
        generate::mix(self.now().micros().cast_unsigned(), 10)
    }

    fn http(&self, _: &engine::config::Connection) -> Result<Http, ConnectorError> {
        Ok(Http::replaying(Exchanges::default(), Vec::new()))
    }

    fn files(&self) -> &Files {
        &self.files
    }
}

/// Opens the exchange of a directory: data in `data`, feeds in `feeds`, as a server would on the same data.
pub(crate) fn open(dir: &Path) -> Result<Engine, Fault> {
    let data = dir.join("data");
    let store = Store::open(&data)?;
    let world = Arc::new(Local { files: Files::below(vec![dir.to_path_buf()]) });
    let registry = Registry::new(connectors::all().into_iter().chain([crate::sharing::sink()?]));
    Ok(Engine::open(store.into(), registry, world, Some(&data.join("lists")), &Silent)?)
}

/// The feed of a source in a directory.
pub(crate) fn feed_path(dir: &Path, source: u32) -> PathBuf {
    dir.join(format!("source-{source}.csv"))
}

/// A feed connection that is pulled only when asked.
pub(crate) fn source(name: &str, settings: &Value) -> Value {
    json!({ "name": name, "connector": "feed", "interval": "300d", "aging_days": 3650, "settings": settings })
}

/// Applies a configuration.
pub(crate) fn apply(engine: &Engine, file: &Value) -> Result<(), Fault> {
    let file: ConfigFile = serde_json::from_value(file.clone())?;
    engine.apply(&file, "bench", false)?;
    Ok(())
}

/// Pulls a source that must succeed.
pub(crate) fn pull(engine: &Engine, name: &str) -> Result<engine::PullReport, Fault> {
    let report = engine.pull(name, &Silent)?;
    match report.status.as_str() {
        "success" | "not_modified" => Ok(report),
        _ => Err(format!("{report:?}").into()),
    }
}

/// One pass of a target that must not fail.
pub(crate) fn share(engine: &Engine, name: &str, mode: Mode) -> Result<engine::ShareReport, Fault> {
    let report = engine.share(name, mode, &Silent)?;
    match report.error {
        None => Ok(report),
        Some(error) => Err(format!("{name}: {error}").into()),
    }
}

/// Twenty targets, from nearly everything to very little.
pub(crate) const RULES: [&str; 20] = [
    "kind in (ipv4, domain, url, md5, sha256)",
    "kind = url",
    "kind = domain",
    "kind = ipv4",
    "kind in (md5, sha256)",
    "reputation >= 3",
    "reputation >= 5",
    "reputation >= 7",
    "reputation >= 9",
    "severity >= high",
    "severity >= medium and reputation >= 5",
    "n_sources >= 2",
    "n_sources >= 3 and reputation >= 5",
    "tag = \"family-0\"",
    "tag like \"family-1*\" and kind = url",
    "source = \"source-3\" and reputation >= 5",
    "last_seen > \"2026-09-01\"",
    "kind in (url, domain) and reputation >= 7 and not tag = \"family-7\"",
    "kind = ipv4 and reputation >= 8 and n_sources >= 2",
    "severity = critical and not tag in (\"family-0\", \"family-1\", \"family-2\")",
];

/// The configuration over all sources of a directory: one hosted list for each rule, and `all`, of a value a line.
pub(crate) fn configuration(dir: &Path, rules: &[&str]) -> Value {
    let mut connections = vec![json!({ "name": "edge", "connector": "list" })];
    connections
        .extend((0..SOURCES).map(|at| source(&format!("source-{at}"), &Style::Csv.settings(&feed_path(dir, at)))));
    let name = |at: usize| format!("rule-{at:02}");
    let targets: Vec<Value> = (0..rules.len())
        .map(|at| {
            json!({
                "name": name(at), "connection": "edge", "action": "publish", "first_fill": "allow", "interval": "300d",
                "params": { "format": "edl", "access": "open" },
            })
        })
        .collect();
    let ruled: Vec<Value> =
        rules.iter().enumerate().map(|(at, when)| json!({ "name": name(at), "when": when })).collect();
    let sharings: Vec<Value> =
        (0..rules.len()).map(|at| json!({ "source": "any", "rule": name(at), "target": name(at) })).collect();
    json!({ "connection": connections, "target": targets, "rule": ruled, "sharing": sharings })
}

/// Writes the feeds of all sources; gives their rows.
pub(crate) fn write_feeds(dir: &Path, n: u32, changed: u32) -> Result<u64, Fault> {
    let mut rows = 0;
    for source in 0..SOURCES {
        rows += generate::write_feed(&feed_path(dir, source), n, Rows::Of(source), Style::Csv, changed)?.0;
    }
    Ok(rows)
}
