//! Changing the configuration: what a file says is compared with what is stored, shown, and applied as one change.
//!
//! Applying is idempotent and deletes what a file leaves out only where that is asked for. A change that does not resolve as a whole changes
//! nothing.

use crate::config::{
    self, ConfigFile, ConnectionDoc, Documents, GuardDoc, GuardExceptionDoc, NotifyDoc, PolicyDoc, ProviderDoc,
    RuleDoc, SharingDoc, Stored, Strict, TargetDoc, TenantDoc, manual_doc,
};
use crate::delete::{self, Prune, Removals};
use crate::error::EngineError;
use crate::state::ConnectionState;
use crate::{Engine, guards, seal, share, unpoison};
use intel::{ConnectionId, TargetId, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use store::{DocChange, Store};

/// One document that an apply creates, changes or deletes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Change {
    /// `connection`, `target`, …
    pub section: &'static str,
    /// Its name.
    pub name: String,
    /// `create`, `update` or `delete`.
    pub verb: &'static str,
    /// What differs, key by key: `key: old → new`, secrets masked. Of a `create` what it says, `key: value`; of a
    /// `delete` what it means.
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

const TENANT: &str = "tenant";
const CONNECTION: &str = "connection";
const TARGET: &str = "target";
const RULE: &str = "rule";
const SHARING: &str = "sharing";
pub(crate) const GUARD: &str = "guard";
const GUARD_EXCEPTION: &str = "guard_exception";
const NOTIFY: &str = "notify";
const PROVIDER: &str = "provider";
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
        tenants: docs(store, TENANT)?,
        connections: docs(store, CONNECTION)?,
        targets: docs(store, TARGET)?,
        rules: docs(store, RULE)?,
        sharings: docs(store, SHARING)?,
        guards: docs(store, GUARD)?,
        guard_exceptions: docs(store, GUARD_EXCEPTION)?,
        notifies: docs(store, NOTIFY)?,
        providers: docs(store, PROVIDER)?,
        former: docs(store, "former")?,
    })
}

/// What comparing a file with the store has found so far.
struct Overlay {
    changes: Vec<Change>,
    unchanged: usize,
    writes: Vec<DocChange>,
    /// For documents that have no id yet, so that they can be resolved before they are written.
    next_id: u32,
    /// Where secrets stand, by section and name.
    secrets: BTreeMap<(String, String), BTreeSet<String>>,
}

/// How a file is applied.
#[derive(Debug, Clone, Copy, Default)]
pub struct ApplyOptions {
    /// Only say what would change.
    pub dry_run: bool,
    /// Delete what the file leaves out, but for the policy. None: nothing is deleted.
    pub prune: Option<Prune>,
}

/// Puts the documents of one section over those stored: what to write, and what it makes of the section.
fn overlay<T: Clone + PartialEq + Serialize>(
    section: &'static str,
    stored: &mut Vec<Stored<T>>,
    file: &[T],
    name_of: impl Fn(&T) -> String,
    out: &mut Overlay,
) {
    let Overlay { changes, unchanged, writes, next_id, secrets } = out;
    let none = BTreeSet::new();
    for doc in file {
        let name = name_of(doc);
        let body = serde_json::to_string(doc).unwrap_or_default();
        let hidden = secrets.get(&(section.to_owned(), name.clone())).unwrap_or(&none);
        match stored.iter_mut().find(|s| name_of(&s.doc) == name) {
            Some(old) if flat(&old.doc) == flat(doc) => *unchanged += 1,
            Some(old) => {
                changes.push(Change {
                    section,
                    name: name.clone(),
                    verb: "update",
                    details: difference(Some(&old.doc), doc, hidden),
                });
                old.doc = doc.clone();
                writes.push(DocChange { kind: section, name, body });
            }
            None => {
                let mut details = difference(None, doc, hidden);
                // What is in its name is said there.
                let named: &[&str] = match section {
                    SHARING => &["source: ", "rule: ", "target: "],
                    GUARD_EXCEPTION => &["value: ", "target: "],
                    _ => &["name: "],
                };
                details.retain(|detail| !named.iter().any(|key| detail.starts_with(key)));
                changes.push(Change { section, name: name.clone(), verb: "create", details });
                // Not the id it will get; only for resolving before it is written.
                stored.push(Stored { id: *next_id, doc: doc.clone() });
                *next_id -= 1;
                writes.push(DocChange { kind: section, name, body });
            }
        }
    }
}

/// Every key of a document and of the tables in it that people write: `settings.url`, `params.format`. A table without
/// keys is as good as none.
fn flat<T: Serialize>(doc: &T) -> BTreeMap<String, Value> {
    let mut out = BTreeMap::new();
    let Ok(Value::Object(doc)) = serde_json::to_value(doc) else { return out };
    for (key, value) in doc {
        match value {
            Value::Object(inner) if matches!(key.as_str(), "settings" | "params") => {
                out.extend(inner.into_iter().map(|(inner, value)| (format!("{key}.{inner}"), value)));
            }
            value => {
                out.insert(key, value);
            }
        }
    }
    out
}

/// Keys that differ, as `key: old → new`; without an old one all keys, as `key: value`. Secrets are masked.
fn difference<T: Serialize>(old: Option<&T>, new: &T, hidden: &BTreeSet<String>) -> Vec<String> {
    let (was, is) = (old.map(flat).unwrap_or_default(), flat(new));
    let show = |key: &str, value: Option<&Value>| match value {
        None => "not set".to_owned(),
        Some(Value::String(text)) if key == "proxy" => format!("\"{}\"", seal::bare_proxy(text)),
        Some(Value::String(text)) if hidden.contains(key) && kit::Secret::is_reference(text) => format!("\"{text}\""),
        Some(_) if hidden.contains(key) => seal::SET.to_owned(),
        Some(Value::String(text)) => format!("\"{}\"", without_credentials(text)),
        Some(value) => value.to_string(),
    };
    let keys: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    let keys = keys.into_iter().filter(|key| was.get(*key) != is.get(*key));
    match old {
        Some(_) => keys.map(|key| format!("{key}: {} → {}", show(key, was.get(key)), show(key, is.get(key)))).collect(),
        None => keys.map(|key| format!("{key}: {}", show(key, is.get(key)))).collect(),
    }
}

/// An address without what people put in it that nobody should read: credentials and a query. Other texts as they are.
fn without_credentials(text: &str) -> String {
    let Some(at) = text.find("://").map(|at| at + 3) else { return text.to_owned() };
    let end = text[at..].find(['/', '?', '#']).map_or(text.len(), |end| at + end);
    let host = text[at..end].rfind('@').map_or(at, |user| at + user + 1);
    let query = text[end..].find('?').map(|query| end + query);
    let scheme = &text[..at];
    match query {
        Some(query) => format!("{scheme}{}?…", &text[host..query]),
        None => format!("{scheme}{}", &text[host..]),
    }
}

/// What is to be said of exceptions from the guard. Those that are new or changed must end soon enough; those that have
/// ended are told, and let nothing through: a file that was right once must not keep a new exchange from starting.
fn exceptions_that_stand(
    exceptions: &[GuardExceptionDoc],
    writes: &[DocChange],
    now: Timestamp,
) -> Result<Vec<String>, Vec<config::ConfigError>> {
    let (mut warnings, mut errors) = (Vec::new(), Vec::new());
    for doc in exceptions {
        let Some(until) = Timestamp::parse(&doc.until) else { continue };
        let name = doc.name();
        let is_written = writes.iter().any(|write| write.kind == GUARD_EXCEPTION && write.name == name);
        let problem = match () {
            () if until <= now => {
                warnings.push(format!("guard exception {name} ended on {}: it lets nothing through", doc.until));
                continue;
            }
            () if is_written && until > now.after(guards::EXCEPTION_MOST) => {
                "is more than 366 days away: an exception is looked at again once a year".to_owned()
            }
            () => continue,
        };
        errors.push(config::ConfigError { section: GUARD_EXCEPTION, name, key: "until".to_owned(), problem });
    }
    if errors.is_empty() { Ok(warnings) } else { Err(errors) }
}

impl Engine {
    /// Compares a file with the configuration in force and, unless `dry_run`, applies it: one transaction, then the
    /// index and the guard follow. Nothing is deleted.
    ///
    /// # Errors
    /// As [`Engine::apply_with`].
    pub fn apply(&self, file: &ConfigFile, who: &str, dry_run: bool) -> Result<Applied, EngineError> {
        self.apply_with(file, who, ApplyOptions { dry_run, prune: None })
    }

    /// As [`Engine::apply`], and what the file leaves out is deleted where `options` say so. Secrets given as they are
    /// come to the store sealed, where the world has a key; place holders keep what is there.
    ///
    /// # Errors
    /// [`EngineError::Config`] with every mistake; nothing is changed then.
    pub fn apply_with(&self, file: &ConfigFile, who: &str, options: ApplyOptions) -> Result<Applied, EngineError> {
        let ApplyOptions { dry_run, prune } = options;
        let _one = unpoison(self.configuring.lock());
        let before = load_documents(&self.store)?;
        let resolver = self.world.secrets();
        let mut file = file.clone();
        let given =
            seal::restore(&mut file, &before.to_file(), &self.registry, resolver).map_err(EngineError::Config)?;
        if !dry_run {
            let locked = seal::locked(&before, &given, &self.registry, resolver);
            if !locked.is_empty() {
                return Err(EngineError::Config(locked));
            }
            seal::seal(&mut file, &self.registry, resolver).map_err(EngineError::Config)?;
        }
        let mut documents = before.clone();
        let mut out = Overlay {
            changes: Vec::new(),
            unchanged: 0,
            writes: Vec::new(),
            next_id: u32::from(u16::MAX),
            secrets: seal::spots(&before.to_file(), &self.registry),
        };
        for (thing, keys) in seal::spots(&file, &self.registry) {
            out.secrets.entry(thing).or_default().extend(keys);
        }
        if let Some(policy) = &file.policy {
            if documents.policy == *policy {
                out.unchanged += 1;
            } else {
                out.changes.push(Change {
                    section: POLICY,
                    name: String::new(),
                    verb: "update",
                    details: difference(Some(&documents.policy), policy, &BTreeSet::new()),
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
        section!(TENANT, tenants, tenant, |d: &TenantDoc| d.name.clone());
        section!(CONNECTION, connections, connection, |d: &ConnectionDoc| d.name.clone());
        section!(TARGET, targets, target, |d: &TargetDoc| d.name.clone());
        section!(RULE, rules, rule, |d: &RuleDoc| d.name.clone());
        section!(SHARING, sharings, sharing, SharingDoc::name);
        section!(GUARD, guards, guard, |d: &GuardDoc| d.name.clone());
        section!(GUARD_EXCEPTION, guard_exceptions, guard_exception, GuardExceptionDoc::name);
        section!(NOTIFY, notifies, notify, |d: &NotifyDoc| d.name.clone());
        section!(PROVIDER, providers, provider, |d: &ProviderDoc| d.name.clone());
        let config = self.config();
        let Overlay { mut changes, unchanged, mut writes, .. } = out;
        let mut removals = match prune {
            None => Removals::default(),
            Some(how) => delete::prune(&mut documents, &file, &config, &self.known(), how, &mut changes),
        };
        let moved = seal::moved(&before, &documents, &given, &self.registry);
        let resolved = config::resolve(&documents, &self.registry, resolver, Strict::Yes);
        let mut warnings = match resolved {
            Ok(resolved) if moved.is_empty() => resolved.warnings,
            Ok(_) => return Err(EngineError::Config(moved)),
            Err(errors) => return Err(EngineError::Config(errors.into_iter().chain(moved).collect())),
        };
        warnings.append(&mut removals.warnings);
        let now = self.world.now();
        warnings.extend(exceptions_that_stand(&file.guard_exception, &writes, now).map_err(EngineError::Config)?);
        let lists = self.read_guard_files(&documents, &file, &mut changes)?;
        let mut applied = Applied { changes, unchanged, warnings };
        if dry_run || applied.changes.is_empty() {
            return Ok(applied);
        }
        writes.append(&mut removals.writes);
        // Before the documents that name them: a list is never in force without what is on it.
        for (name, body) in &lists {
            self.store.put_doc(guards::COPY, name, body, now)?;
        }
        let sealed = seal::texts(&before, &self.registry);
        let given: Vec<String> = seal::texts(&documents, &self.registry)
            .into_iter()
            .filter(|(at, text)| sealed.get(at) != Some(text))
            .map(|(at, _)| at)
            .collect();
        self.quiet(&config, &removals, || {
            self.store.note_secrets(&given, now)?;
            let targets: Vec<TargetId> = removals.targets.iter().map(|(id, _)| *id).collect();
            self.store.change_docs(&writes, &removals.docs, &targets, now)?;
            for change in &applied.changes {
                let detail = serde_json::to_string(&change.details).unwrap_or_default();
                let action = format!("{}.{}", change.section, change.verb);
                self.store.audit(who, &action, &change.name, &detail, now)?;
            }
            removals.targets.iter().for_each(|(_, name)| self.bodies.forget(name));
            self.reload()
        })?;
        applied.warnings.extend(self.world.notices());
        applied.warnings.extend(guards::needless(&file.guard_exception, &self.known().guard));
        Ok(applied)
    }

    /// Reads the warning lists that this file names, and tells which have changed. Gives what is to be kept of them.
    fn read_guard_files(
        &self,
        documents: &Documents,
        file: &ConfigFile,
        changes: &mut Vec<Change>,
    ) -> Result<Vec<(String, String)>, EngineError> {
        let named: Vec<&GuardDoc> =
            documents.guards.iter().map(|stored| &stored.doc).filter(|doc| file.guard.contains(doc)).collect();
        let read = self.read_warning_lists(&named).map_err(EngineError::Config)?;
        let mut lists = Vec::new();
        for (name, read) in read {
            let entries: usize = read.iter().map(|list| list.list.len()).sum();
            let detail = format!("warninglist: {} lists with {entries} entries were read", read.len());
            match changes.iter_mut().find(|change| change.section == GUARD && change.name == name) {
                Some(change) => change.details.push(detail),
                None => {
                    changes.push(Change { section: GUARD, name: name.clone(), verb: "update", details: vec![detail] });
                }
            }
            lists.push((name, serde_json::to_string(&read).unwrap_or_default()));
        }
        Ok(lists)
    }

    /// Deletes a sharing: what only it wanted is taken back by the next pass, within the target's brakes.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] where there is none of these three names.
    pub fn delete_sharing(&self, source: &str, rule: &str, target: &str, who: &str) -> Result<(), EngineError> {
        let _one = unpoison(self.configuring.lock());
        let documents = load_documents(&self.store)?;
        let locked = seal::locked(&documents, &BTreeSet::new(), &self.registry, self.world.secrets());
        if !locked.is_empty() {
            return Err(EngineError::Config(locked));
        }
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
        let guard = Arc::new(guards::build(&config, &guards::copies(&self.store)?));
        let now = self.world.now();
        let _one_writer = self.ingest_lock();
        let changed = {
            let mut known = self.known_mut();
            known.guard = guard;
            known.ledgers.retain(|target, _| config.targets.contains_key(target));
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
