//! What an operator configures: connections, targets, rules, sharings, guard lists, policy.
//!
//! One set of plain structs serves files, the API and the store (which keeps them as JSON documents). [`resolve()`]
//! turns them into a [`Config`]: ids for names, parsed rules, settings checked against manifests, every reference
//! known. What does not resolve never reaches a pass.

mod docs;
mod provider;
mod resolve;
mod tenant;

pub use docs::*;
pub use resolve::{Strict, nearest, resolve};
pub(crate) use tenant::{addresses, merge};

use crate::notice::Channel;
use intel::plan::Budget;
use intel::rule::Rule;
use intel::sharing::RetractMode;
use intel::{ConnectionId, DAY, FoldSettings, Policies, Policy, Reputation, SharingId, TargetId, Timestamp, Tlp};
use kit::http::Rate;
use kit::manifest::Action;
use kit::{Connector, Secret};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A mistake in the configuration: where it is, what is wrong, what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ConfigError {
    /// `tenant`, `connection`, `target`, `rule`, `sharing`, `guard`, `guard_exception`, `notify`, `provider` or
    /// `policy`.
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

/// A connection ready to be used.
pub struct Connection {
    /// Its id.
    pub id: ConnectionId,
    /// As configured, with what its tenant says filled in. How it was written stands in [`Config::file`].
    pub doc: ConnectionDoc,
    /// Its connector.
    pub connector: Arc<dyn Connector>,
    /// The opened connection.
    pub open: Box<dyn kit::Connection>,
    /// Settings with defaults filled in and references to secrets resolved. Never shown.
    pub settings: Value,
    /// Its secrets by name, to be hidden from every message.
    pub secrets: Vec<(String, Secret)>,
    /// Why a secret of it cannot be read at the moment; nothing is called then.
    pub locked: Option<String>,
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

    /// How often it may call a host: what its document says, else its connector. None: as often as there is work.
    pub fn rate(&self) -> Option<Rate> {
        let limits = self.connector.manifest().limits;
        let per_minute = self.doc.requests_per_minute.or(limits.map(|limits| limits.requests_per_minute))?;
        Some(Rate { per_minute, burst: limits.map_or(1, |limits| limits.burst) })
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
    /// How often what is there is read back; None: never, or it cannot be asked.
    pub verify: Option<Duration>,
    /// How much may change without a person; nothing of it is spent here.
    pub budget: Budget,
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

/// How plans wait, who may approve them and how long a run can be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanPolicy {
    /// How long it is kept what a run did.
    pub undo_kept: Duration,
    /// How long a plan waits.
    pub held: Duration,
    /// Whether an author's own approval counts.
    pub four_eyes: FourEyes,
    /// Who may change anything must have a second factor.
    pub second_factor: bool,
}

/// A provider of identities that people may sign in at.
pub struct Provider {
    /// As configured.
    pub doc: ProviderDoc,
    /// What this exchange proves itself with there.
    pub client_secret: Option<Secret>,
    /// Why nobody can sign in at it: a secret of it cannot be opened.
    pub locked: Option<String>,
}

/// When a plan needs somebody else's approval than its author's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FourEyes {
    /// Once two people may approve.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
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
    /// Channels through which people are told, by name.
    pub channels: BTreeMap<String, Channel>,
    /// Providers of identities, by name.
    pub providers: BTreeMap<String, Provider>,
    /// What links begin with, without a slash at its end.
    pub public_url: Option<String>,
    /// Deleted connections whose records were kept.
    pub former: Vec<FormerDoc>,
    /// The documents it was made from.
    pub file: ConfigFile,
    /// Settings of the fold.
    pub fold: FoldSettings,
    /// How long an inactive indicator is kept.
    pub prune_after: Duration,
    /// How long what sources said before is kept.
    pub history: Duration,
    /// A hash of all documents: which configuration a run used.
    pub version: String,
    /// How plans wait and are approved and undone.
    pub plans: PlanPolicy,
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

    /// The policies of all connections, deleted ones whose records were kept included; `last_believed` of those that are there is
    /// left to the caller.
    pub fn policies(&self) -> Policies {
        let mut policies = Policies::default();
        for former in &self.former {
            policies.set(ConnectionId(former.connection), policy_of_former(former));
        }
        for (id, connection) in &self.connections {
            policies.set(*id, policy_of(connection));
        }
        policies
    }
}

/// What to keep of a connection that is deleted, so that its records go on as they were and age out. None: they do not
/// count now, so there is nothing to keep.
pub(crate) fn former_of(connection: &Connection, last_believed: Option<Timestamp>) -> Option<FormerDoc> {
    let policy = policy_of(connection);
    policy.counts.then(|| FormerDoc {
        connection: connection.id.0,
        name: policy.name.to_string(),
        aging_days: policy.aging.map(|aging| u32::try_from(aging.as_secs() / DAY.as_secs()).unwrap_or(u32::MAX)),
        override_reputation: connection.doc.override_reputation,
        tlp: policy.tlp.map(|tlp| tlp.as_str().to_owned()),
        tags: policy.tags.iter().map(ToString::to_string).collect(),
        respect_source_expiry: policy.respect_source_expiry,
        complete: policy.complete,
        last_believed: last_believed.map(Timestamp::micros),
    })
}

fn policy_of_former(former: &FormerDoc) -> Policy {
    Policy {
        name: former.name.as_str().into(),
        override_reputation: former.override_reputation.and_then(Reputation::new),
        tlp: former.tlp.as_deref().and_then(Tlp::parse),
        tags: former.tags.iter().map(|tag| tag.as_str().into()).collect(),
        aging: former.aging_days.map(|days| days * DAY),
        respect_source_expiry: former.respect_source_expiry,
        counts: true,
        complete: former.complete,
        last_believed: former.last_believed.map(Timestamp::from_micros),
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
