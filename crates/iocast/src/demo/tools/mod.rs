//! Two tools that share both ways, simulated: what a real EDR and a real web gateway would do, in two JSON files.
//!
//! Each is a source and a destination like any product behind an interface: it gives ids, marks what we put there,
//! refuses what it cannot hold, and has entries that its own people made and that are not ours to touch. What a tool
//! knows lies in a file below an allowed directory, so that a second start, or a command on the same data, finds it.

mod console;

pub(super) use console::{Console, Item};

use intel::{IndicatorKey, Observation, Severity, Timestamp, Tlp};
use kit::files::Files;
use kit::manifest::Manifest;
use kit::{
    Connection, Connector, ConnectorError, Cursor, Cx, Destination, ItemOutcome, Outgoing, Presence, Pulled, Rows,
    Source, TargetSpec,
};
use serde_json::{Value, json};
use std::io::Read as _;
use std::sync::{Arc, Mutex, PoisonError};

/// Longest state file read, in bytes: ten times what a full tool writes.
const STATE_BYTES: u64 = 64 << 20;

/// Longest address that the gateway takes, in characters. Some of the feeds' are longer: an entry that is refused is
/// part of the picture.
const LONGEST: usize = 96;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Product {
    /// Hashes, names and addresses that endpoints stop.
    Edr,
    /// Web addresses and names nobody may open.
    Gateway,
}

impl Product {
    const fn manifest(self) -> &'static str {
        match self {
            Product::Edr => include_str!("edr.toml"),
            Product::Gateway => include_str!("gateway.toml"),
        }
    }

    /// Why the tool cannot hold this, in its own words.
    fn refuses(self, entry: &Outgoing) -> Option<String> {
        let length = entry.entry.chars().count();
        (self == Product::Gateway && length > LONGEST)
            .then(|| format!("ADDR_TOO_LONG: {length} characters, at most {LONGEST} are taken"))
    }
}

/// A tool as a connector.
pub(super) struct ToolConnector {
    product: Product,
    manifest: Manifest,
    /// The product answers one call at a time.
    turn: Arc<Mutex<()>>,
}

impl ToolConnector {
    /// The tool; its manifest is part of the program.
    ///
    /// # Errors
    /// A mistake in that manifest, which a test finds.
    pub(super) fn new(product: Product) -> Result<ToolConnector, String> {
        Ok(ToolConnector { product, manifest: Manifest::parse(product.manifest())?, turn: Arc::default() })
    }

    /// The tool behind a state file, as its own people use it.
    pub(super) fn tool(&self, state: impl Into<String>) -> Tool {
        Tool { product: self.product, state: state.into(), turn: self.turn.clone() }
    }
}

impl Connector for ToolConnector {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn open(&self, settings: &Value) -> Result<Box<dyn Connection>, String> {
        let unknown = settings.as_object().and_then(|given| given.keys().find(|key| key.as_str() != "state"));
        if let Some(key) = unknown {
            return Err(format!("{key}: this tool has no such setting; it has state"));
        }
        match settings.get("state").and_then(Value::as_str) {
            Some(state) if !state.is_empty() => Ok(Box::new(self.tool(state))),
            _ => Err("state: expected the path of the file that stands for the tool".into()),
        }
    }
}

/// One tool and its state file.
#[derive(Debug, Clone)]
pub(super) struct Tool {
    product: Product,
    state: String,
    turn: Arc<Mutex<()>>,
}

impl Tool {
    /// What the tool holds now.
    pub(super) fn read(&self, files: &Files) -> Result<Console, ConnectorError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.load(files)
    }

    /// Changes what the tool holds, and writes it down before anybody is told.
    pub(super) fn change<T>(&self, files: &Files, work: impl FnOnce(&mut Console) -> T) -> Result<T, ConnectorError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut console = self.load(files)?;
        let before = console.revision();
        let result = work(&mut console);
        if console.revision() != before {
            files.replace(&self.state, |out| serde_json::to_writer_pretty(out, &console).map_err(Into::into))?;
        }
        Ok(result)
    }

    fn load(&self, files: &Files) -> Result<Console, ConnectorError> {
        if !files.exists(&self.state)? {
            return Ok(Console::factory(self.product));
        }
        let mut text = String::new();
        let file = files.open(&self.state)?;
        file.take(STATE_BYTES)
            .read_to_string(&mut text)
            .map_err(|error| ConnectorError::Later { wait: None, why: format!("{}: {error}", self.state) })?;
        serde_json::from_str(&text).map_err(|error| {
            ConnectorError::Unexpected(format!(
                "{} is not what this tool wrote: {error}; delete it to begin anew",
                self.state
            ))
        })
    }
}

impl Connection for Tool {
    fn check(&self, cx: &Cx<'_>) -> Result<(), ConnectorError> {
        self.read(cx.files).map(|_| ())
    }

    fn source(&self) -> Option<&dyn Source> {
        Some(self)
    }

    fn destination(&self) -> Option<&dyn Destination> {
        Some(self)
    }
}

impl Source for Tool {
    /// Everything the tool holds: its own and, with their ids, ours.
    fn pull(&self, after: Option<&Cursor>, cx: &Cx<'_>, rows: &mut dyn Rows) -> Result<Pulled, ConnectorError> {
        let console = self.read(cx.files)?;
        let revision = json!(console.revision());
        if after == Some(&revision) {
            return Ok(Pulled::NotModified(Some(revision)));
        }
        for item in console.items() {
            rows.row(observation(item));
        }
        Ok(Pulled::Whole(Some(revision)))
    }
}

fn observation(item: &Item) -> Observation {
    let seen = item.seen.as_deref().and_then(Timestamp::parse);
    Observation {
        value: item.value.clone(),
        kind: intel::IndicatorKind::from_name(&item.kind),
        severity: item.severity.as_deref().and_then(Severity::parse),
        // A marking that cannot be read may be stricter than any default.
        tlp: item.tlp.as_deref().map(|tlp| Tlp::parse(tlp).unwrap_or(Tlp::Red)),
        tags: item.tags.clone(),
        first_seen: seen,
        last_seen: seen,
        comment: item.note.clone(),
        internal_hits: (item.hits > 0).then_some(item.hits),
        remote_id: Some(item.id.clone()),
        ..Observation::default()
    }
}

impl Destination for Tool {
    fn push(
        &self,
        target: TargetSpec<'_>,
        batch: &[Outgoing],
        cx: &Cx<'_>,
    ) -> Result<Vec<ItemOutcome>, ConnectorError> {
        let capacity = usize::try_from(self.capacity()).unwrap_or(usize::MAX);
        self.change(cx.files, |console| {
            let mut push = |entry: &Outgoing| match self.product.refuses(entry) {
                Some(words) => ItemOutcome::Refused(words),
                None => console.put(self.product, entry, target.mark, capacity),
            };
            batch.iter().map(&mut push).collect()
        })
    }

    fn retract(
        &self,
        target: TargetSpec<'_>,
        batch: &[Outgoing],
        cx: &Cx<'_>,
    ) -> Result<Vec<ItemOutcome>, ConnectorError> {
        self.change(cx.files, |console| batch.iter().map(|entry| console.take(&entry.key, target.mark)).collect())
    }

    fn look(&self, target: TargetSpec<'_>, entries: &[Outgoing], cx: &Cx<'_>) -> Result<Vec<Presence>, ConnectorError> {
        let console = self.read(cx.files)?;
        let look = |entry: &Outgoing| match console.get(&entry.key) {
            None => Presence::Absent,
            Some(item) if item.is_by(target.mark) => Presence::Ours { remote_id: Some(item.id.clone()) },
            Some(_) => Presence::Foreign,
        };
        Ok(entries.iter().map(look).collect())
    }
}

impl Tool {
    /// Most entries the product takes from outside. As the manifests say.
    fn capacity(&self) -> u64 {
        match self.product {
            Product::Edr => 2_500,
            Product::Gateway => 20_000,
        }
    }
}

/// The key of a kind and a value that are canonical already.
pub(super) fn key(kind: intel::IndicatorKind, value: &str) -> IndicatorKey {
    IndicatorKey::from_stored(kind, value)
}

#[cfg(test)]
mod tests;
