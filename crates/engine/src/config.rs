//! What an operator configures: connections, targets, rules, sharings, guard lists, policy.
//!
//! One set of plain structs serves files, the API and the store (which keeps them as JSON documents). [`resolve`]
//! turns them into a [`Config`]: ids for names, parsed rules, settings checked against manifests, every reference
//! known. What does not resolve never reaches a pass.

use crate::registry::Registry;
use intel::rule::{Exception, Folder, Rule, ValueSet};
use intel::schedule::parse_interval;
use intel::sharing::RetractMode;
use intel::guard::GuardClass;
use intel::{ConnectionId, DAY, IndicatorKey, Timestamp, FoldSettings, Policies, Policy, Reconcile, Reputation, RuleId, SharingId, TargetId, Tlp};
use kit::Connector;
use kit::manifest::{Action, Delivery};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

fn yes() -> bool {
    true
}

fn is_true(value: &bool) -> bool {
    *value
}

fn is_false(value: &bool) -> bool {
    !*value
}

/// Everything one configuration file may say. Sections may be left out; what a file leaves out is never deleted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigFile {
    /// Settings of the whole exchange.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyDoc>,
    /// Connections: sources, destinations or both.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connection: Vec<ConnectionDoc>,
    /// Targets: a destination connection, an action, its parameters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub target: Vec<TargetDoc>,
    /// Business rules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rule: Vec<RuleDoc>,
    /// Sharings: source → rule → target.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sharing: Vec<SharingDoc>,
    /// The operator's own guard lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guard: Vec<GuardDoc>,
    /// Named exceptions from the guard.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guard_exception: Vec<GuardExceptionDoc>,
}

/// `[policy]`: settings of the whole exchange.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyDoc {
    /// Which record leads: `highest_reputation` (default), `latest`, `first`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconcile: Option<String>,
    /// The marking of what nobody marked; default `green`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_tlp: Option<String>,
    /// How long an inactive indicator without a live delivery is kept; default 365.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prune_days: Option<u32>,
}

/// `[[connection]]`: a named, credentialed, scheduled instance of a connector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionDoc {
    /// Unique name.
    pub name: String,
    /// Which connector.
    pub connector: String,
    /// Account it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// How often to pull: `60m` by default; `s`, `m`, `h`, `d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// Days after which a record that is not seen again stops counting; 0: never. Default 90, or the connector's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aging_days: Option<u32>,
    /// How far back the first pull of a source asked by time reads; default 14.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_range_days: Option<u32>,
    /// Replaces the reputation the source states, 1 to 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub override_reputation: Option<u8>,
    /// Marking that counts as stated on every record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tlp: Option<String>,
    /// Tags added to every record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Whether a believed run lists everything the source stands by. Default: as the connector says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complete: Option<bool>,
    /// Whether an empty run after one with rows is believed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub may_be_empty: bool,
    /// Whether the source's own expiry is believed instead of aging; default true.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub respect_source_expiry: bool,
    /// Off: not pulled, not pushed to.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub enabled: bool,
    /// While off, whether its records go on counting until they age out.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub keep_records: bool,
    /// Proxy for its calls: `http://…` or `socks5://…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// PEM file of a private certificate authority, below a `--files` directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// PEM file of a client certificate and key, below a `--files` directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_cert_file: Option<String>,
    /// Private networks its calls may reach, e.g. `["10.1.0.0/16"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_private: Vec<String>,
    /// Targets whose entries this source reads back: what we put there is an echo here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<String>,
    /// The connector's own settings.
    #[serde(default)]
    pub settings: Value,
}

/// `[[target]]`: what a destination should hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetDoc {
    /// Unique name; for a served list also its address, `/lists/NAME`.
    pub name: String,
    /// The destination connection.
    pub connection: String,
    /// One of the connector's actions; may be left out where it has one only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// `approve` (default): the first adds wait for one approval. `allow`: they do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_fill: Option<String>,
    /// `always` (default), `expired_and_retracted`, `never`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retract: Option<String>,
    /// How often a pass looks at everything; `5m` by default. Changes hurry it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// Off: nothing is sent and nothing is taken back.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub enabled: bool,
    /// The action's parameters.
    #[serde(default)]
    pub params: Value,
}

/// `[[rule]]`: an expression that selects, plus exceptions that never pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleDoc {
    /// Unique name.
    pub name: String,
    /// Up to three levels, `a/b/c`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// The expression.
    pub when: String,
    /// Shares nothing new, takes nothing back.
    #[serde(default, skip_serializing_if = "is_false")]
    pub muted: bool,
    /// What never passes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exceptions: Vec<ExceptionDoc>,
}

/// One named exception of a rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExceptionDoc {
    /// Its name, shown wherever it applies.
    pub name: String,
    /// An expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// Values, each with everything under it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// Tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Whether a value also covers what is under it; default true.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub under: bool,
}

/// `[[sharing]]`: one direction, identified by its three names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharingDoc {
    /// A connection's name, or `any`.
    pub source: String,
    /// A rule's name.
    pub rule: String,
    /// A target's name.
    pub target: String,
    /// The most restrictive marking it may send; default `amber`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tlp: Option<String>,
    /// Paused: like a muted rule, for this sharing only.
    #[serde(default, skip_serializing_if = "is_false")]
    pub paused: bool,
}

impl SharingDoc {
    /// The name a sharing is stored under: its identity.
    pub fn name(&self) -> String {
        format!("{} → {} → {}", self.source, self.rule, self.target)
    }
}

/// `[[guard]]`: values never sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardDoc {
    /// Unique name.
    pub name: String,
    /// `lifeline` (default), `popular`, `warn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// Domains, addresses, networks, URLs, hashes, mailboxes.
    pub values: Vec<String>,
}

/// `[[guard_exception]]`: one value, one target, a reason, an end, an approver.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardExceptionDoc {
    /// The value that may be sent although it is guarded.
    pub value: String,
    /// To this target only.
    pub target: String,
    /// Why.
    pub reason: String,
    /// Until when (RFC 3339 or a date).
    pub until: String,
    /// Who said so.
    pub approver: String,
}

/// A mistake in the configuration: where it is, what is wrong, what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigError {
    /// `connection`, `target`, `rule`, `sharing`, `guard`, `guard_exception` or `policy`.
    pub section: &'static str,
    /// The name of the thing, empty for `policy`.
    pub name: String,
    /// The key inside it; dotted where nested (`settings.url`).
    pub key: String,
    /// What is wrong and what was expected.
    pub problem: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.section)?;
        if !self.name.is_empty() {
            write!(f, " \"{}\"", self.name)?;
        }
        if !self.key.is_empty() {
            write!(f, ", {}", self.key)?;
        }
        write!(f, ": {}", self.problem)
    }
}

/// A document as stored: the id its name got, and when it last changed.
#[derive(Debug, Clone)]
pub struct Stored<T> {
    /// The store's id, never given twice.
    pub id: u32,
    /// The document.
    pub doc: T,
}

/// A connection ready to be used.
pub struct Connection {
    /// Its id.
    pub id: ConnectionId,
    /// As configured.
    pub doc: ConnectionDoc,
    /// Its connector.
    pub connector: Arc<dyn Connector>,
    /// The opened connection.
    pub open: Box<dyn kit::Connection>,
    /// Settings with defaults filled in.
    pub settings: Value,
    /// How often to pull.
    pub interval: Duration,
    /// How far back a first pull by time reads.
    pub initial_range: Duration,
    /// Whether a believed run lists everything.
    pub complete: bool,
}

impl Connection {
    /// The account its entries belong to: the tenant, else itself.
    pub fn account(&self) -> &str {
        self.doc.tenant.as_deref().unwrap_or(&self.doc.name)
    }
}

/// A target ready to be passed over.
pub struct Target {
    /// Its id.
    pub id: TargetId,
    /// As configured.
    pub doc: TargetDoc,
    /// Its destination connection.
    pub connection: ConnectionId,
    /// The action of the connector's manifest.
    pub action: Action,
    /// Parameters with defaults filled in.
    pub params: Value,
    /// Whether the first adds wait for an approval.
    pub first_fill_approve: bool,
    /// When entries may be taken back.
    pub retract: RetractMode,
    /// How often a pass looks at everything.
    pub interval: Duration,
    /// The sharings that feed it.
    pub sharings: Vec<Sharing>,
}

impl Target {
    /// A whole-number parameter.
    pub fn int_param(&self, key: &str) -> Option<u64> {
        self.params.get(key).and_then(Value::as_u64)
    }

    /// A switch parameter, off where it is not given.
    pub fn bool_param(&self, key: &str) -> bool {
        self.params.get(key).and_then(Value::as_bool).unwrap_or(false)
    }

    /// A text parameter.
    pub fn text_param(&self, key: &str) -> Option<&str> {
        self.params.get(key).and_then(Value::as_str)
    }
}

/// A sharing ready to be evaluated.
#[derive(Clone)]
pub struct Sharing {
    /// Its id.
    pub id: SharingId,
    /// As configured.
    pub doc: SharingDoc,
    /// None: any source.
    pub source: Option<ConnectionId>,
    /// Its rule.
    pub rule: Arc<Rule>,
    /// The most restrictive marking it sends.
    pub max_tlp: Tlp,
}

/// The whole configuration, resolved. Immutable: a pass uses one from beginning to end.
pub struct Config {
    /// Connections by id.
    pub connections: BTreeMap<ConnectionId, Connection>,
    /// Targets by id.
    pub targets: BTreeMap<TargetId, Target>,
    /// Rules by name.
    pub rules: BTreeMap<String, Arc<Rule>>,
    /// The documents it was made from.
    pub file: ConfigFile,
    /// Settings of the fold.
    pub fold: FoldSettings,
    /// How long an inactive indicator is kept.
    pub prune_after: Duration,
    /// What the resolver noticed that is no error.
    pub warnings: Vec<String>,
}

impl Config {
    /// A connection by name.
    pub fn connection(&self, name: &str) -> Option<&Connection> {
        self.connections.values().find(|c| c.doc.name == name)
    }

    /// A target by name.
    pub fn target(&self, name: &str) -> Option<&Target> {
        self.targets.values().find(|t| t.doc.name == name)
    }

    /// The policies of all connections, `last_believed` left to the caller.
    pub fn policies(&self) -> Policies {
        let mut policies = Policies::default();
        for (id, connection) in &self.connections {
            policies.set(*id, policy_of(connection));
        }
        policies
    }
}

fn policy_of(connection: &Connection) -> Policy {
    let doc = &connection.doc;
    let hint = connection.connector.manifest().source.as_ref();
    let aging = match doc.aging_days.or(hint.and_then(|s| s.aging_days)) {
        Some(0) => None,
        Some(days) => Some(days * DAY),
        None => Some(90 * DAY),
    };
    let manual = connection.id == ConnectionId::MANUAL;
    Policy {
        name: doc.name.as_str().into(),
        override_reputation: doc.override_reputation.and_then(Reputation::new),
        tlp: doc.tlp.as_deref().and_then(Tlp::parse).max(hint.and_then(|s| s.tlp)),
        tags: doc.tags.iter().map(|t| t.as_str().into()).collect::<BTreeSet<Box<str>>>().into_iter().collect(),
        aging: if manual { None } else { aging },
        respect_source_expiry: doc.respect_source_expiry,
        counts: doc.enabled || doc.keep_records,
        complete: connection.complete,
        last_believed: None,
    }
}

/// The documents of the store, by kind.
#[derive(Debug, Default)]
pub struct Documents {
    /// `[policy]`.
    pub policy: PolicyDoc,
    /// Connections.
    pub connections: Vec<Stored<ConnectionDoc>>,
    /// Targets.
    pub targets: Vec<Stored<TargetDoc>>,
    /// Rules.
    pub rules: Vec<Stored<RuleDoc>>,
    /// Sharings.
    pub sharings: Vec<Stored<SharingDoc>>,
    /// Guard lists.
    pub guards: Vec<Stored<GuardDoc>>,
    /// Guard exceptions.
    pub guard_exceptions: Vec<Stored<GuardExceptionDoc>>,
}

impl Documents {
    /// The same as one file.
    pub fn to_file(&self) -> ConfigFile {
        fn docs<T: Clone>(stored: &[Stored<T>]) -> Vec<T> {
            stored.iter().map(|s| s.doc.clone()).collect()
        }
        ConfigFile {
            policy: (self.policy != PolicyDoc::default()).then(|| self.policy.clone()),
            connection: self.connections.iter().filter(|c| c.id != 1).map(|c| c.doc.clone()).collect(),
            target: docs(&self.targets),
            rule: docs(&self.rules),
            sharing: docs(&self.sharings),
            guard: docs(&self.guards),
            guard_exception: docs(&self.guard_exceptions),
        }
    }
}

/// The document of the built-in connection.
pub fn manual_doc() -> ConnectionDoc {
    ConnectionDoc {
        name: "manual".into(),
        connector: "manual".into(),
        tenant: None,
        interval: None,
        aging_days: Some(0),
        initial_range_days: None,
        override_reputation: None,
        tlp: None,
        tags: Vec::new(),
        complete: Some(false),
        may_be_empty: false,
        respect_source_expiry: true,
        enabled: true,
        keep_records: true,
        proxy: None,
        ca_file: None,
        client_cert_file: None,
        allow_private: Vec::new(),
        reads: Vec::new(),
        settings: Value::Object(Map::new()),
    }
}

/// Collects mistakes, so that an operator sees all of them at once.
struct Check<'a> {
    errors: &'a mut Vec<ConfigError>,
    section: &'static str,
    name: &'a str,
}

impl Check<'_> {
    fn error(&mut self, key: &str, problem: impl Into<String>) {
        self.errors.push(ConfigError {
            section: self.section,
            name: self.name.to_owned(),
            key: key.to_owned(),
            problem: problem.into(),
        });
    }

    fn duration(&mut self, key: &str, text: Option<&str>, default: Duration) -> Duration {
        match text.map(parse_interval) {
            None => default,
            Some(Ok(duration)) => duration,
            Some(Err(problem)) => {
                self.error(key, problem.to_string());
                default
            }
        }
    }

    fn tlp(&mut self, key: &str, text: Option<&str>, default: Tlp) -> Tlp {
        match text.map(Tlp::parse) {
            None => default,
            Some(Some(tlp)) => tlp,
            Some(None) => {
                let names: Vec<&str> = Tlp::ALL.iter().map(|t| t.as_str()).collect();
                self.error(key, format!("\"{}\" is no TLP; one of {}", text.unwrap_or(""), names.join(", ")));
                default
            }
        }
    }

    fn known<'n>(&mut self, key: &str, what: &str, name: &str, names: impl Iterator<Item = &'n str>) {
        let names: Vec<&str> = names.collect();
        let near = nearest(name, &names);
        let hint = match near {
            Some(near) => format!("; did you mean \"{near}\"?"),
            None if names.is_empty() => "; none is configured".to_owned(),
            None => format!("; there is {}", names.join(", ")),
        };
        self.error(key, format!("no {what} is called \"{name}\"{hint}"));
    }
}

/// The name closest to a mistyped one, where one is close.
pub fn nearest<'n>(name: &str, names: &[&'n str]) -> Option<&'n str> {
    let lower = name.to_lowercase();
    names
        .iter()
        .map(|candidate| (distance(&lower, &candidate.to_lowercase()), *candidate))
        .filter(|(d, candidate)| *d * 3 <= candidate.chars().count().max(3))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Edit distance (insert, delete, replace).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, cb) in b.iter().enumerate() {
            let replace = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// A name that can stand in an address and a table: letters, digits, `-`, `_`, `.`, at most 64.
fn name_ok(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && !name.starts_with('.')
        && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// Resolves documents to a configuration, or lists every mistake.
///
/// # Errors
/// All mistakes found, in the order of the sections.
pub fn resolve(documents: &Documents, registry: &Registry) -> Result<Config, Vec<ConfigError>> {
    let mut errors = Vec::new();
    let mut warnings = Vec::new();
    let fold = resolve_policy(&documents.policy, &mut errors);
    let mut connections = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for stored in &documents.connections {
        let mut check = Check { errors: &mut errors, section: "connection", name: &stored.doc.name };
        if !seen.insert(&stored.doc.name) {
            check.error("name", "is used twice");
        }
        if let Some(connection) = resolve_connection(stored, registry, &mut check) {
            connections.insert(connection.id, connection);
        }
    }
    let mut rules = BTreeMap::new();
    for stored in &documents.rules {
        let mut check = Check { errors: &mut errors, section: "rule", name: &stored.doc.name };
        if rules.contains_key(&stored.doc.name) {
            check.error("name", "is used twice");
        }
        if let Some(rule) = resolve_rule(stored, &mut check, &mut warnings) {
            rules.insert(stored.doc.name.clone(), Arc::new(rule));
        }
    }
    let mut targets: BTreeMap<TargetId, Target> = BTreeMap::new();
    for stored in &documents.targets {
        let mut check = Check { errors: &mut errors, section: "target", name: &stored.doc.name };
        if targets.values().any(|t| t.doc.name == stored.doc.name) {
            check.error("name", "is used twice");
        }
        if let Some(target) = resolve_target(stored, &connections, &mut check) {
            if let Some(other) = targets.values().find(|t| same_object(t, &target, &connections)) {
                check.error(
                    "params",
                    format!("names the same remote object as target \"{}\"; let both sharings feed one target", other.doc.name),
                );
            }
            targets.insert(target.id, target);
        }
    }
    for stored in &documents.connections {
        for read in &stored.doc.reads {
            if !targets.values().any(|t| t.doc.name == *read) {
                let mut check = Check { errors: &mut errors, section: "connection", name: &stored.doc.name };
                check.known("reads", "target", read, targets.values().map(|t| t.doc.name.as_str()));
            }
        }
    }
    for stored in &documents.sharings {
        let doc = &stored.doc;
        let name = doc.name();
        let mut check = Check { errors: &mut errors, section: "sharing", name: &name };
        let source = match doc.source.as_str() {
            "any" => Some(None),
            wanted => match connections.values().find(|c| c.doc.name == wanted) {
                Some(connection) => Some(Some(connection.id)),
                None => {
                    check.known("source", "connection", wanted, connections.values().map(|c| c.doc.name.as_str()));
                    None
                }
            },
        };
        let rule = rules.get(&doc.rule).cloned();
        if rule.is_none() && !documents.rules.iter().any(|r| r.doc.name == doc.rule) {
            check.known("rule", "rule", &doc.rule, documents.rules.iter().map(|r| r.doc.name.as_str()));
        }
        let max_tlp = check.tlp("max_tlp", doc.max_tlp.as_deref(), Tlp::Amber);
        let target = targets.values_mut().find(|t| t.doc.name == doc.target);
        if target.is_none() && !documents.targets.iter().any(|t| t.doc.name == doc.target) {
            check.known("target", "target", &doc.target, documents.targets.iter().map(|t| t.doc.name.as_str()));
        }
        if let (Some(source), Some(rule), Some(target)) = (source, rule, target) {
            target.sharings.push(Sharing { id: SharingId(stored.id), doc: doc.clone(), source, rule, max_tlp });
        }
    }
    check_guards(documents, &targets, &mut errors);
    if errors.is_empty() {
        let prune_after = documents.policy.prune_days.unwrap_or(365) * DAY;
        Ok(Config { connections, targets, rules, file: documents.to_file(), fold, prune_after, warnings })
    } else {
        Err(errors)
    }
}

/// Guard lists and exceptions: every value must be one the guard can look up, or it would protect nothing.
fn check_guards(documents: &Documents, targets: &BTreeMap<TargetId, Target>, errors: &mut Vec<ConfigError>) {
    for stored in &documents.guards {
        let mut check = Check { errors, section: "guard", name: &stored.doc.name };
        if let Some(class) = stored.doc.class.as_deref().filter(|c| GuardClass::parse(c).is_none()) {
            check.error("class", format!("\"{class}\" is none of lifeline, popular, warn"));
        }
        for value in &stored.doc.values {
            if let Err(rejection) = IndicatorKey::parse(None, value) {
                check.error("values", format!("cannot be guarded: {rejection}"));
            }
        }
    }
    for stored in &documents.guard_exceptions {
        let doc = &stored.doc;
        let mut check = Check { errors, section: "guard_exception", name: &doc.value };
        if let Err(rejection) = IndicatorKey::parse(None, &doc.value) {
            check.error("value", rejection.to_string());
        }
        if Timestamp::parse(&doc.until).is_none() {
            check.error("until", "must be a date, e.g. 2027-01-31");
        }
        if doc.reason.trim().is_empty() || doc.approver.trim().is_empty() {
            check.error("reason", "an exception needs a reason and an approver");
        }
        if !targets.values().any(|t| t.doc.name == doc.target) {
            check.known("target", "target", &doc.target, targets.values().map(|t| t.doc.name.as_str()));
        }
    }
}

fn resolve_policy(doc: &PolicyDoc, errors: &mut Vec<ConfigError>) -> FoldSettings {
    let mut check = Check { errors, section: "policy", name: "" };
    let mut fold = FoldSettings::default();
    if let Some(text) = &doc.reconcile {
        match Reconcile::parse(text) {
            Some(reconcile) => fold.reconcile = reconcile,
            None => check.error("reconcile", format!("\"{text}\" is none of highest_reputation, latest, first")),
        }
    }
    fold.default_tlp = check.tlp("default_tlp", doc.default_tlp.as_deref(), Tlp::Green);
    fold
}

fn resolve_connection(
    stored: &Stored<ConnectionDoc>,
    registry: &Registry,
    check: &mut Check<'_>,
) -> Option<Connection> {
    let doc = &stored.doc;
    if !name_ok(&doc.name) {
        check.error("name", "must be 1 to 64 letters, digits, '-', '_' or '.'");
    }
    if doc.name == "any" || (doc.name == "manual" && stored.id != u32::from(ConnectionId::MANUAL.0)) {
        check.error("name", "is reserved");
    }
    if doc.override_reputation.is_some_and(|r| Reputation::new(r).is_none()) {
        check.error("override_reputation", "must be 1 to 10");
    }
    check.tlp("tlp", doc.tlp.as_deref(), Tlp::Green);
    for network in &doc.allow_private {
        if network.parse::<intel::IpNet>().is_err() {
            check.error("allow_private", format!("\"{network}\" is no network such as 10.1.0.0/16"));
        }
    }
    let Some(connector) = registry.get(&doc.connector) else {
        check.known("connector", "connector", &doc.connector, registry.names());
        return None;
    };
    let manifest = connector.manifest();
    let settings = match manifest.check(&doc.settings) {
        Ok(settings) => settings,
        Err(problems) => {
            for problem in problems {
                check.error(&format!("settings.{}", problem.key), problem.to_string());
            }
            return None;
        }
    };
    let hint = manifest.source.as_ref();
    let hinted = hint.and_then(|s| s.interval).unwrap_or(Duration::from_secs(3600));
    let interval = check.duration("interval", doc.interval.as_deref(), hinted);
    let open = match connector.open(&settings) {
        Ok(open) => open,
        Err(problem) => {
            check.error("settings", problem);
            return None;
        }
    };
    let complete = doc
        .complete
        .or_else(|| open.lists_everything())
        .unwrap_or_else(|| hint.is_some_and(kit::manifest::SourceSpec::complete));
    Some(Connection {
        id: ConnectionId(u16::try_from(stored.id).ok()?),
        doc: doc.clone(),
        connector,
        open,
        settings,
        interval,
        initial_range: doc.initial_range_days.unwrap_or(14) * DAY,
        complete,
    })
}

fn resolve_rule(stored: &Stored<RuleDoc>, check: &mut Check<'_>, warnings: &mut Vec<String>) -> Option<Rule> {
    let doc = &stored.doc;
    let folder = Folder::parse(doc.folder.as_deref().unwrap_or("")).unwrap_or_else(|| {
        check.error("folder", "must be at most three names with '/' between them");
        Folder::default()
    });
    let when = match intel::expr::Expr::parse_rule(&doc.when) {
        Ok(when) => Some(when),
        Err(problem) => {
            check.error("when", problem.to_string());
            None
        }
    };
    let mut exceptions = Vec::new();
    for exception in &doc.exceptions {
        let key = format!("exceptions.{}", exception.name);
        if exception.when.is_none() && exception.values.is_empty() && exception.tags.is_empty() {
            check.error(&key, "says nothing: give it `when`, `values` or `tags`");
        }
        let when = match exception.when.as_deref().map(intel::expr::Expr::parse_rule) {
            None => None,
            Some(Ok(when)) => Some(when),
            Some(Err(problem)) => {
                check.error(&key, problem.to_string());
                None
            }
        };
        let (values, notes) = ValueSet::new(&exception.values, exception.under);
        warnings.extend(notes.into_iter().map(|note| format!("rule \"{}\", exception \"{}\": {note}", doc.name, exception.name)));
        exceptions.push(Exception {
            name: exception.name.clone(),
            when,
            values,
            tags: exception.tags.iter().cloned().collect(),
        });
    }
    Some(Rule {
        id: RuleId(stored.id),
        name: doc.name.clone(),
        folder,
        when: when?,
        muted: doc.muted,
        exceptions,
    })
}

fn resolve_target(
    stored: &Stored<TargetDoc>,
    connections: &BTreeMap<ConnectionId, Connection>,
    check: &mut Check<'_>,
) -> Option<Target> {
    let doc = &stored.doc;
    if !name_ok(&doc.name) {
        check.error("name", "must be 1 to 64 letters, digits, '-', '_' or '.'");
    }
    let Some(connection) = connections.values().find(|c| c.doc.name == doc.connection) else {
        check.known("connection", "connection", &doc.connection, connections.values().map(|c| c.doc.name.as_str()));
        return None;
    };
    let actions = &connection.connector.manifest().actions;
    let action = match &doc.action {
        Some(name) => actions.iter().find(|a| a.name == *name),
        None if actions.len() == 1 => actions.first(),
        None => None,
    };
    let Some(action) = action else {
        let names: Vec<&str> = actions.iter().map(|a| a.name.as_str()).collect();
        match (&doc.action, names.is_empty()) {
            (_, true) => check.error("connection", format!("connector \"{}\" takes nothing in", connection.doc.connector)),
            (Some(name), _) => check.known("action", "action", name, names.into_iter()),
            (None, _) => check.error("action", format!("is needed: one of {}", names.join(", "))),
        }
        return None;
    };
    let params = match action.check(&doc.params) {
        Ok(params) => params,
        Err(problems) => {
            for problem in problems {
                check.error(&format!("params.{}", problem.key), problem.to_string());
            }
            return None;
        }
    };
    let first_fill_approve = match doc.first_fill.as_deref() {
        None | Some("approve") => true,
        Some("allow") => false,
        Some(other) => {
            check.error("first_fill", format!("\"{other}\" is neither approve nor allow"));
            true
        }
    };
    let retract = match doc.retract.as_deref() {
        None => RetractMode::Always,
        Some(text) => RetractMode::parse(text).unwrap_or_else(|| {
            check.error("retract", format!("\"{text}\" is none of always, expired_and_retracted, never"));
            RetractMode::Always
        }),
    };
    let interval = check.duration("interval", doc.interval.as_deref(), Duration::from_secs(300));
    Some(Target {
        id: TargetId(stored.id),
        doc: doc.clone(),
        connection: connection.id,
        action: action.clone(),
        params,
        first_fill_approve,
        retract,
        interval,
        sharings: Vec::new(),
    })
}

/// Whether two targets name one remote object of one account. A served list is named by its target, so never.
fn same_object(a: &Target, b: &Target, connections: &BTreeMap<ConnectionId, Connection>) -> bool {
    let account = |t: &Target| connections.get(&t.connection).map(|c| c.account().to_owned());
    let object = |t: &Target| -> Value {
        t.action.object.iter().map(|key| t.params.get(key).cloned().unwrap_or(Value::Null)).collect()
    };
    a.action.delivery != Delivery::Hosted
        && a.action.name == b.action.name
        && connections.get(&a.connection).map(|c| &c.doc.connector) == connections.get(&b.connection).map(|c| &c.doc.connector)
        && (account(a) == account(b) || a.action.object_is_local)
        && object(a) == object(b)
}
