//! What the guard is made of: the reserved ranges, the shipped lists, the hosts of this exchange's own connections, the
//! operator's lists, and the warning lists they name.
//!
//! A warning list is a file. It is read when the configuration is applied, and what was read is kept in the store: the
//! guard is made from that copy, so a file that is gone, half written or not readable at a restart takes nothing away.

mod hosts;
mod shipped;
mod warning;

pub(crate) use hosts::guarded_value;
pub use shipped::{SHIPPED, Shipped};
pub use warning::{Read as ReadList, WARNING_LIST_BYTES, WARNING_LISTS, WARNING_PATTERNS, WarningList};

use crate::config::{Config, GuardDoc, GuardExceptionDoc};
use crate::error::EngineError;
use crate::{Engine, Known, configure};
use intel::guard::{Guard, GuardClass, GuardException, GuardList, GuardPattern};
use intel::{Hit, IndicatorId, Timestamp};
use kit::decode::{Limits, Unpack, unpack};
use kit::files::Files;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use store::Store;

/// The name by which the configuration speaks of the reserved ranges.
pub const RESERVED_NAME: &str = "shipped:reserved";
/// What a list of the operator's may not be called.
pub const SHIPPED_PREFIX: &str = "shipped:";
/// The list of the hosts this exchange itself calls.
pub const OWN_HOSTS: &str = "hosts of connections";
/// Longest time an exception may stand.
pub const EXCEPTION_MOST: Duration = Duration::from_secs(366 * 86_400);
/// The documents in which copies of warning lists are kept.
pub(crate) const COPY: &str = "guard_copy";

/// What was read for each guard list that names a warning list.
pub(crate) type Copies = BTreeMap<String, Vec<WarningList>>;

/// One list in force, or one that is switched off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct GuardListInForce {
    /// Its name, as findings show it.
    pub name: String,
    /// `lifeline`, `popular`, `warn`, or `off`.
    pub class: &'static str,
    /// `built in`, `shipped`, `own hosts`, `configured`, `warning list`.
    pub origin: &'static str,
    /// What is on it.
    pub about: String,
    /// The day of a shipped list's newest source, or a warning list's version.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub date: String,
    /// Values and patterns that can be looked up.
    pub values: u64,
    /// Entries of a warning list that cannot be.
    pub rejected: u64,
    /// Some of those, each with its reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
}

/// One list with what is on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct GuardListShown {
    /// The list.
    pub list: GuardListInForce,
    /// Its values and patterns, the first thousands.
    pub values: Vec<String>,
    /// There are more.
    pub more: bool,
}

/// Values shown of one list.
const VALUES_SHOWN: usize = 10_000;

struct Loaded {
    list: GuardList,
    told: GuardListInForce,
}

impl Loaded {
    fn new(list: GuardList, origin: &'static str, about: impl Into<String>) -> Loaded {
        let told = GuardListInForce {
            name: list.name.to_string(),
            class: list.class.as_str(),
            origin,
            about: about.into(),
            date: String::new(),
            values: list.len() as u64,
            rejected: 0,
            examples: Vec::new(),
        };
        Loaded { list, told }
    }

    fn unless_off(mut self, doc: Option<&GuardDoc>) -> Loaded {
        if doc.is_some_and(|doc| !doc.enabled) {
            self.told.class = "off";
        }
        self
    }

    fn is_off(&self) -> bool {
        self.told.class == "off"
    }
}

/// What was read when the configuration was applied last.
///
/// # Errors
/// A store that cannot be read, or a copy in it that cannot.
pub(crate) fn copies(store: &Store) -> Result<Copies, EngineError> {
    let mut copies = Copies::new();
    for doc in store.docs(COPY)? {
        let lists = serde_json::from_str(&doc.body).map_err(|error| {
            EngineError::Invalid(format!(
                "the stored copy of guard list \"{}\" cannot be read: {error}; restore a backup, or apply the list again",
                doc.name
            ))
        })?;
        copies.insert(doc.name, lists);
    }
    Ok(copies)
}

/// Reads the warning list, or all those below the directory, that a guard list names.
///
/// # Errors
/// What cannot be read, and why.
pub(crate) fn read_files(files: &Files, path: &str) -> Result<Vec<WarningList>, String> {
    let told = |path: &str, why: String| format!("{path}: {why}");
    let mut paths = Vec::new();
    let lower = path.to_ascii_lowercase();
    if lower.ends_with(".json") || lower.ends_with(".json.gz") {
        paths.push(path.to_owned());
    } else {
        let folder = path.trim_end_matches('/');
        for pattern in [format!("{folder}/**/*.json"), format!("{folder}/**/*.json.gz")] {
            let found = files.glob(&pattern).map_err(|error| told(path, error.to_string()))?;
            paths.extend(found.into_iter().map(|path| path.to_string_lossy().into_owned()));
        }
        paths.sort();
        if paths.is_empty() {
            return Err(told(path, "no *.json below it; name a warning list or a directory of them".to_owned()));
        }
        if paths.len() > WARNING_LISTS {
            return Err(told(path, format!("{} lists below it, at most {WARNING_LISTS} are read", paths.len())));
        }
    }
    let mut lists = Vec::new();
    for path in paths {
        let mut json = Vec::new();
        let file = files.open(&path).map_err(|error| error.to_string())?;
        let how = Unpack { limits: Limits::default(), ..Unpack::default() };
        let body = unpack(Box::new(file), &how).map_err(|error| told(&path, error.to_string()))?;
        body.take(WARNING_LIST_BYTES + 1).read_to_end(&mut json).map_err(|error| told(&path, error.to_string()))?;
        if json.len() as u64 > WARNING_LIST_BYTES {
            return Err(told(&path, format!("is longer than {} MiB", WARNING_LIST_BYTES >> 20)));
        }
        let mut parts = path.rsplit('/');
        let stem = parts.next().unwrap_or(&path).split(".json").next().unwrap_or_default();
        let from = if stem == "list" { parts.next().unwrap_or(stem) } else { stem };
        lists.push(WarningList::parse(from, &json).map_err(|why| told(&path, why))?);
    }
    Ok(lists)
}

/// Every list, those that are switched off included.
fn loaded(config: &Config, copies: &Copies) -> Vec<Loaded> {
    let mut lists = built_in(config);
    lists.extend(own(config, copies));
    lists
}

fn class_of(doc: Option<&GuardDoc>, otherwise: GuardClass) -> GuardClass {
    doc.and_then(|doc| doc.class.as_deref()).and_then(GuardClass::parse).unwrap_or(otherwise)
}

/// What comes with the binary.
fn built_in(config: &Config) -> Vec<Loaded> {
    let said = |name: &str| config.file.guard.iter().find(|doc| doc.name == name);
    let mut out = Vec::new();
    let mut push = |loaded: Loaded, doc: Option<&GuardDoc>| out.push(loaded.unless_off(doc));
    let reserved = said(RESERVED_NAME);
    let mut list = GuardList::reserved();
    list.class = class_of(reserved, list.class);
    push(Loaded::new(list, "built in", "private and reserved ranges of the RFCs"), reserved);
    for shipped in SHIPPED {
        let doc = said(shipped.name);
        let mut loaded = Loaded::new(shipped.list(class_of(doc, shipped.class())), "shipped", shipped.about());
        shipped.date().clone_into(&mut loaded.told.date);
        push(loaded, doc);
    }
    out
}

/// This exchange's own hosts, and what the operator configured.
fn own(config: &Config, copies: &Copies) -> Vec<Loaded> {
    let mut out = Vec::new();
    let mut push = |loaded: Loaded, doc: Option<&GuardDoc>| out.push(loaded.unless_off(doc));
    let hosts = hosts::own(config);
    if hosts != hosts::Hosts::default() {
        let list = GuardList::new(OWN_HOSTS, GuardClass::Lifeline, hosts.keys);
        let list = GuardList { exact: hosts.exact, ..list };
        push(Loaded::new(list, "own hosts", "what this exchange itself calls, and its own address"), None);
    }
    for doc in config.file.guard.iter().filter(|doc| !doc.name.starts_with(SHIPPED_PREFIX)) {
        for read in copies.get(&doc.name).filter(|_| doc.warninglist.is_some()).into_iter().flatten() {
            let name = format!("{}/{}", doc.name, read.from);
            let ReadList { list, rejected, examples, .. } = read.read(&name, class_of(Some(doc), GuardClass::Warn));
            let mut loaded = Loaded::new(list, "warning list", read.name.clone());
            loaded.told.rejected = rejected as u64;
            loaded.told.examples = examples;
            loaded.told.date = read.version.to_string().trim_matches('"').to_owned();
            push(loaded, Some(doc));
        }
        if !doc.values.is_empty() || !doc.patterns.is_empty() || doc.warninglist.is_none() {
            let otherwise = if doc.warninglist.is_some() { GuardClass::Warn } else { GuardClass::Lifeline };
            let keys = doc.values.iter().filter_map(|value| guarded_value(value).ok()).collect();
            let patterns = doc.patterns.iter().filter_map(|pattern| GuardPattern::parse(pattern).ok()).collect();
            let list = GuardList { patterns, ..GuardList::new(&*doc.name, class_of(Some(doc), otherwise), keys) };
            push(Loaded::new(list, "configured", ""), Some(doc));
        }
    }
    out
}

/// The guard of a configuration.
pub(crate) fn build(config: &Config, copies: &Copies) -> Guard {
    let lists = |loaded: Vec<Loaded>| loaded.into_iter().filter(|loaded| !loaded.is_off()).map(|loaded| loaded.list);
    // What comes with the binary is the same for every configuration that says nothing about it: made once.
    static SHIPPED_GUARD: OnceLock<Arc<Guard>> = OnceLock::new();
    let is_as_shipped = !config.file.guard.iter().any(|doc| doc.name.starts_with(SHIPPED_PREFIX));
    let make = || Arc::new(Guard::of(lists(built_in(config))));
    let beneath = if is_as_shipped { Arc::clone(SHIPPED_GUARD.get_or_init(make)) } else { make() };
    let mut guard = Guard::over(beneath, lists(own(config, copies)));
    for doc in &config.file.guard_exception {
        let (Ok(value), Some(until), Some(target)) =
            (guarded_value(&doc.value), Timestamp::parse(&doc.until), config.target(&doc.target))
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

/// What is to be said of exceptions from a guard that stops no such value.
pub(crate) fn needless(exceptions: &[GuardExceptionDoc], guard: &Guard) -> Vec<String> {
    let stopped = |value: &str| guarded_value(value).is_ok_and(|key| guard.stops(&key));
    let needless = exceptions.iter().filter(|doc| !stopped(&doc.value));
    needless
        .map(|doc| format!("guard exception {}: no guard list stops {}; it changes nothing", doc.name(), doc.value))
        .collect()
}

/// What the guard says of an indicator, where it says anything.
pub(crate) fn word(known: &Known, id: IndicatorId) -> Option<String> {
    known.guard.look_up(&known.index.key(id)).map(|hit| say(&hit))
}

/// A finding in words: whether it stops, which list, what it met.
pub(crate) fn say(hit: &Hit) -> String {
    let verb = if hit.stop { "stopped" } else { "flagged" };
    format!("{verb} by the {} list \"{}\": {}", hit.class, hit.list, hit.value)
}

impl Engine {
    /// Every guard list: in force or switched off, with what of it could not be used.
    ///
    /// # Errors
    /// A failing store.
    pub fn guard_lists(&self) -> Result<Vec<GuardListInForce>, EngineError> {
        let lists = loaded(&self.config(), &copies(&self.store)?);
        Ok(lists.into_iter().map(|loaded| loaded.told).collect())
    }

    /// One guard list with what is on it. A warning list's directory is named `NAME/FOLDER`.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], or a failing store.
    pub fn guard_list(&self, name: &str) -> Result<GuardListShown, EngineError> {
        let lists = loaded(&self.config(), &copies(&self.store)?);
        let names: Vec<String> = lists.iter().map(|loaded| loaded.told.name.clone()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let found = lists.into_iter().find(|loaded| loaded.told.name == name);
        let loaded = found.ok_or_else(|| crate::not_found("guard list", name, &names))?;
        let list = &loaded.list;
        let values = list.keys.iter().map(|key| key.value().to_owned());
        let exact = list.exact.iter().map(|name| name.to_string());
        let patterns = list.patterns.iter().map(|pattern| pattern.text.to_string());
        let suffixes =
            list.private_suffixes.then(|| "every suffix of the public suffix list's private section".to_owned());
        let mut all = values.chain(exact).chain(patterns).chain(suffixes);
        let values = all.by_ref().take(VALUES_SHOWN).collect();
        Ok(GuardListShown { values, more: all.next().is_some(), list: loaded.told })
    }

    /// The warning lists that a configuration names, read now, where they differ from what is in force.
    pub(crate) fn read_warning_lists(
        &self,
        guards: &[&GuardDoc],
    ) -> Result<Vec<(String, Vec<WarningList>)>, Vec<crate::ConfigError>> {
        let before = copies(&self.store).unwrap_or_default();
        let (mut read, mut errors) = (Vec::new(), Vec::new());
        for doc in guards {
            let Some(path) = &doc.warninglist else { continue };
            match read_files(self.world.files(), path) {
                Ok(lists) if before.get(&doc.name) == Some(&lists) => {}
                Ok(lists) => read.push((doc.name.clone(), lists)),
                Err(problem) => errors.push(crate::ConfigError {
                    section: configure::GUARD,
                    name: doc.name.clone(),
                    key: "warninglist".to_owned(),
                    problem: format!("{problem} (a list that was read before stays in force)"),
                }),
            }
        }
        if errors.is_empty() { Ok(read) } else { Err(errors) }
    }
}
