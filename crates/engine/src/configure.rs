//! Changing the configuration: what a file says is compared with what is stored, shown, and applied as one change.
//!
//! Applying is idempotent and never deletes what a file leaves out. A change that does not resolve as a whole changes
//! nothing.

use crate::config::{
    self, Config, ConfigFile, ConnectionDoc, Documents, GuardDoc, GuardExceptionDoc, PolicyDoc, RuleDoc, SharingDoc,
    Stored, Strict, TargetDoc, manual_doc,
};
use crate::error::EngineError;
use crate::state::ConnectionState;
use crate::{Engine, share, unpoison};
use intel::guard::{Guard, GuardClass, GuardException, GuardList};
use intel::{ConnectionId, IndicatorKey, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use store::{DocChange, Store};

/// One document that an apply creates or changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Change {
    /// `connection`, `target`, …
    pub section: &'static str,
    /// Its name.
    pub name: String,
    /// `create` or `update`.
    pub verb: &'static str,
    /// What differs, key by key: `key: old → new`.
    pub details: Vec<String>,
}

/// What an apply did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Applied {
    /// Every document that differs.
    pub changes: Vec<Change>,
    /// Documents that are as the file says.
    pub unchanged: usize,
    /// What was noticed that is no mistake.
    pub warnings: Vec<String>,
}

pub(crate) const CONNECTION: &str = "connection";
pub(crate) const TARGET: &str = "target";
pub(crate) const RULE: &str = "rule";
const SHARING: &str = "sharing";
pub(crate) const GUARD: &str = "guard";
pub(crate) const GUARD_EXCEPTION: &str = "guard_exception";
const POLICY: &str = "policy";

/// Makes sure the built-in connection exists under its fixed id.
pub(crate) fn ensure_manual(store: &Store, now: Timestamp) -> Result<(), EngineError> {
    let there = store.docs(CONNECTION)?.iter().any(|d| d.id == u32::from(ConnectionId::MANUAL.0));
    if !there {
        let body = serde_json::to_string(&manual_doc()).unwrap_or_default();
        store.put_doc(CONNECTION, "manual", &body, now)?;
    }
    Ok(())
}

/// This exchange's id, made once.
pub(crate) fn exchange_id(store: &Store, random: impl Fn() -> u64) -> Result<String, EngineError> {
    if let Some(id) = store.setting("exchange_id")? {
        return Ok(id);
    }
    let id = format!("iocast-{:016x}{:016x}", random(), random());
    store.set_setting("exchange_id", &id)?;
    Ok(id)
}

fn docs<T: DeserializeOwned>(store: &Store, kind: &str) -> Result<Vec<Stored<T>>, EngineError> {
    let mut out = Vec::new();
    for doc in store.docs(kind)? {
        let parsed = serde_json::from_str(&doc.body).map_err(|e| {
            EngineError::Invalid(format!(
                "the stored {kind} \"{}\" cannot be read: {e}; restore a backup or apply it again",
                doc.name
            ))
        })?;
        out.push(Stored { id: doc.id, doc: parsed });
    }
    Ok(out)
}

/// Reads every document.
pub(crate) fn load_documents(store: &Store) -> Result<Documents, EngineError> {
    let policy: Vec<Stored<PolicyDoc>> = docs(store, POLICY)?;
    Ok(Documents {
        policy: policy.into_iter().next().map(|s| s.doc).unwrap_or_default(),
        connections: docs(store, CONNECTION)?,
        targets: docs(store, TARGET)?,
        rules: docs(store, RULE)?,
        sharings: docs(store, SHARING)?,
        guards: docs(store, GUARD)?,
        guard_exceptions: docs(store, GUARD_EXCEPTION)?,
    })
}

/// The guard: private and reserved ranges, the hosts of every connection, the operator's own lists and exceptions.
pub(crate) fn build_guard(config: &Config) -> Guard {
    let keys = |values: &mut dyn Iterator<Item = &String>| -> Vec<IndicatorKey> {
        values.filter_map(|value| IndicatorKey::parse(None, value).ok()).collect()
    };
    let mut lists = Vec::new();
    let hosts: Vec<String> = config.connections.values().flat_map(|c| c.open.hosts()).collect();
    if !hosts.is_empty() {
        let keys = keys(&mut hosts.iter());
        lists.push(GuardList { name: "hosts of connections".into(), class: GuardClass::Lifeline, keys });
    }
    for doc in &config.file.guard {
        let class = doc.class.as_deref().and_then(GuardClass::parse).unwrap_or(GuardClass::Lifeline);
        lists.push(GuardList { name: doc.name.as_str().into(), class, keys: keys(&mut doc.values.iter()) });
    }
    let mut guard = Guard::new(lists);
    for doc in &config.file.guard_exception {
        let (Ok(value), Some(until), Some(target)) =
            (IndicatorKey::parse(None, &doc.value), Timestamp::parse(&doc.until), config.target(&doc.target))
        else {
            continue;
        };
        guard.except(GuardException {
            value,
            target: target.id,
            reason: doc.reason.as_str().into(),
            until,
            approver: doc.approver.as_str().into(),
        });
    }
    guard
}

/// What comparing a file with the store has found so far.
struct Overlay {
    changes: Vec<Change>,
    unchanged: usize,
    writes: Vec<DocChange>,
    /// For documents that have no id yet, so that they can be resolved before they are written.
    next_id: u32,
}

/// Puts the documents of one section over those stored: what to write, and what it makes of the section.
fn overlay<T: Clone + PartialEq + Serialize>(
    section: &'static str,
    stored: &mut Vec<Stored<T>>,
    file: &[T],
    name_of: impl Fn(&T) -> String,
    out: &mut Overlay,
) {
    let Overlay { changes, unchanged, writes, next_id } = out;
    for doc in file {
        let name = name_of(doc);
        let body = serde_json::to_string(doc).unwrap_or_default();
        match stored.iter_mut().find(|s| name_of(&s.doc) == name) {
            Some(old) if old.doc == *doc => *unchanged += 1,
            Some(old) => {
                changes.push(Change {
                    section,
                    name: name.clone(),
                    verb: "update",
                    details: difference(&old.doc, doc),
                });
                old.doc = doc.clone();
                writes.push(DocChange { kind: section, name, body });
            }
            None => {
                changes.push(Change { section, name: name.clone(), verb: "create", details: Vec::new() });
                // Not the id it will get; only for resolving before it is written.
                stored.push(Stored { id: *next_id, doc: doc.clone() });
                *next_id -= 1;
                writes.push(DocChange { kind: section, name, body });
            }
        }
    }
}

/// Top-level keys that differ, as `key: old → new`.
fn difference<T: Serialize>(old: &T, new: &T) -> Vec<String> {
    let (Ok(serde_json::Value::Object(old)), Ok(serde_json::Value::Object(new))) =
        (serde_json::to_value(old), serde_json::to_value(new))
    else {
        return Vec::new();
    };
    let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
    keys.sort();
    keys.dedup();
    let show = |v: Option<&serde_json::Value>| v.map_or_else(|| "not set".to_owned(), ToString::to_string);
    // Settings and proxies may hold secrets: what is written to the audit log and shown says only that they changed.
    let hidden = |key: &str| matches!(key, "settings" | "proxy");
    keys.into_iter()
        .filter(|k| old.get(*k) != new.get(*k))
        .map(|k| match hidden(k) {
            true => format!("{k}: changed{}", changed_keys(old.get(k), new.get(k))),
            false => format!("{k}: {} → {}", show(old.get(k)), show(new.get(k))),
        })
        .collect()
}

/// Which keys of two tables differ, as ` (a, b)`.
fn changed_keys(old: Option<&serde_json::Value>, new: Option<&serde_json::Value>) -> String {
    let (Some(serde_json::Value::Object(old)), Some(serde_json::Value::Object(new))) = (old, new) else {
        return String::new();
    };
    let mut keys: Vec<&str> =
        old.keys().chain(new.keys()).filter(|k| old.get(*k) != new.get(*k)).map(String::as_str).collect();
    keys.sort_unstable();
    keys.dedup();
    format!(" ({})", keys.join(", "))
}

impl Engine {
    /// Compares a file with the configuration in force and, unless `dry_run`, applies it: one transaction, then the
    /// index and the guard follow. Nothing is deleted.
    ///
    /// # Errors
    /// [`EngineError::Config`] with every mistake; nothing is changed then.
    pub fn apply(&self, file: &ConfigFile, who: &str, dry_run: bool) -> Result<Applied, EngineError> {
        let _one = unpoison(self.configuring.lock());
        let mut documents = load_documents(&self.store)?;
        let mut out = Overlay { changes: Vec::new(), unchanged: 0, writes: Vec::new(), next_id: u32::from(u16::MAX) };
        if let Some(policy) = &file.policy {
            if documents.policy == *policy {
                out.unchanged += 1;
            } else {
                out.changes.push(Change {
                    section: POLICY,
                    name: String::new(),
                    verb: "update",
                    details: difference(&documents.policy, policy),
                });
                documents.policy = policy.clone();
                let body = serde_json::to_string(policy).unwrap_or_default();
                out.writes.push(DocChange { kind: POLICY, name: POLICY.to_owned(), body });
            }
        }
        macro_rules! section {
            ($section:expr, $stored:ident, $file:ident, $name:expr) => {
                overlay($section, &mut documents.$stored, &file.$file, $name, &mut out)
            };
        }
        section!(CONNECTION, connections, connection, |d: &ConnectionDoc| d.name.clone());
        section!(TARGET, targets, target, |d: &TargetDoc| d.name.clone());
        section!(RULE, rules, rule, |d: &RuleDoc| d.name.clone());
        section!(SHARING, sharings, sharing, SharingDoc::name);
        section!(GUARD, guards, guard, |d: &GuardDoc| d.name.clone());
        section!(GUARD_EXCEPTION, guard_exceptions, guard_exception, GuardExceptionDoc::name);
        let resolved = config::resolve(&documents, &self.registry, self.world.secrets(), Strict::Yes)
            .map_err(EngineError::Config)?;
        let Overlay { changes, unchanged, writes, .. } = out;
        let applied = Applied { changes, unchanged, warnings: resolved.warnings };
        if dry_run || writes.is_empty() {
            return Ok(applied);
        }
        let now = self.world.now();
        self.store.apply_docs(&writes, now)?;
        for change in &applied.changes {
            let detail = serde_json::to_string(&change.details).unwrap_or_default();
            let action = format!("{}.{}", change.section, change.verb);
            self.store.audit(who, &action, &change.name, &detail, now)?;
        }
        self.reload()?;
        Ok(applied)
    }

    /// Deletes a sharing: what only it wanted is taken back by the next pass, within the target's brakes.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] where there is none of these three names.
    pub fn delete_sharing(&self, source: &str, rule: &str, target: &str, who: &str) -> Result<(), EngineError> {
        let _one = unpoison(self.configuring.lock());
        let documents = load_documents(&self.store)?;
        let doc = documents
            .sharings
            .iter()
            .find(|s| s.doc.source == source && s.doc.rule == rule && s.doc.target == target)
            .ok_or_else(|| EngineError::NotFound(format!("no sharing {source} → {rule} → {target}")))?;
        self.store.delete_doc(SHARING, &doc.doc.name())?;
        self.store.audit(who, "sharing.delete", &doc.doc.name(), "{}", self.world.now())?;
        self.reload()
    }

    /// Reads the documents again and lets index, guard and ledgers follow.
    pub(crate) fn reload(&self) -> Result<(), EngineError> {
        let documents = load_documents(&self.store)?;
        let config = Arc::new(
            config::resolve(&documents, &self.registry, self.world.secrets(), Strict::No)
                .map_err(EngineError::Config)?,
        );
        let mut policies = config.policies();
        for id in config.connections.keys() {
            let state = ConnectionState::parse(self.store.connection_state(*id)?.as_deref());
            if let Some(policy) = policies.get_mut(*id) {
                policy.last_believed = state.last_believed();
            }
        }
        let guard = Arc::new(build_guard(&config));
        let now = self.world.now();
        let _one_writer = self.ingest_lock();
        let changed = {
            let mut known = self.known_mut();
            known.guard = guard;
            for target in config.targets.keys() {
                if !known.ledgers.contains_key(target) {
                    let mut ledger = share::load_ledger(&self.store, *target)?;
                    ledger.keep(|id| known.index.exists(id));
                    known.ledgers.insert(*target, ledger);
                }
            }
            if *known.index.policies() == policies && known.index.settings() == config.fold {
                Vec::new()
            } else {
                known.index.set_policies(policies, config.fold, now)
            }
        };
        *unpoison(self.config.write()) = config;
        self.bump(&changed)
    }
}
