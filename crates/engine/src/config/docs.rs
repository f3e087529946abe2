//! The documents an operator writes: what files, the API and the store hold. Plain, unresolved, serialized as they are.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

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
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigFile {
    /// Settings of the whole exchange.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyDoc>,
    /// Tenants: accounts at a product that several connections share.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tenant: Vec<TenantDoc>,
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
    /// Where people are told what needs them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<NotifyDoc>,
    /// Providers of identities that people sign in at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub provider: Vec<ProviderDoc>,
}

/// `[policy]`: settings of the whole exchange.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// Where people reach this exchange, e.g. `https://iocast.example`: what links in notices begin with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_url: Option<String>,
    /// How long what sources said before is kept, so that a source can be rolled back; default 30.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history_days: Option<u32>,
    /// How much may change at a target without a person, where the target says nothing itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetDoc>,
    /// How long a run can be undone; default 30. 0: what runs did is forgotten at the next clean-up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undo_days: Option<u32>,
    /// How long a plan waits for a person before it expires; default 30.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_days: Option<u32>,
    /// Whether a plan needs somebody else's approval than its author's: `auto` (default: once two people may approve),
    /// `always`, `never`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub four_eyes: Option<String>,
    /// Whether people who may change anything must have a second factor: `offered` (default) or `needed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second_factor: Option<String>,
}

/// How much may change at a target without a person.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BudgetDoc {
    /// Entries added in a pass; 20 %, at least 5000, at most 50000 where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adds: Option<AllowanceDoc>,
    /// Entries taken back in a pass; 10 %, at least 20, at most 5000 where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removals: Option<AllowanceDoc>,
    /// How many passes' worth may go in any 24 hours, 1 to 1000; default 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_day: Option<u32>,
}

/// A percentage of what is present, with a floor and a ceiling.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AllowanceDoc {
    /// Of what is present, 0 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<u32>,
    /// Allowed however little is present.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_least: Option<u64>,
    /// Never more, however much is present.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u64>,
}

/// `[[tenant]]`: an account at a product that several connections share. What a connection says itself comes first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantDoc {
    /// Unique name; connections name it as their `tenant`.
    pub name: String,
    /// Proxy for the calls of its connections: `http://…` or `socks5://…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// PEM file of a private certificate authority, below a `--files` directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// PEM file of a client certificate and key, below a `--files` directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_cert_file: Option<String>,
    /// Private networks the calls of its connections may reach, e.g. `["10.1.0.0/16"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_private: Vec<String>,
    /// How far back the first pull of a source asked by time reads, in days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_range_days: Option<u32>,
    /// Settings of its connections' connectors: address, credentials, filters.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub settings: Value,
}

/// `[[connection]]`: a named, credentialed, scheduled instance of a connector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectionDoc {
    /// Unique name.
    pub name: String,
    /// Which connector.
    pub connector: String,
    /// Account it belongs to: a `[[tenant]]`, whose settings it takes where it has none of its own, or any name that
    /// connections of one account share.
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
    /// Most calls a minute at each host it calls. Default: as the connector says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
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
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub settings: Value,
}

/// `[[target]]`: what a destination should hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// How much may change without a person; what it leaves out is as `[policy]` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetDoc>,
    /// How often a pass looks at everything; `5m` by default. Changes hurry it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// How often what is there is read back and compared; `24h` by default where the action can be asked, `off`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<String>,
    /// Off: nothing is sent and nothing is taken back.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub enabled: bool,
    /// The action's parameters.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub params: Value,
}

/// `[[rule]]`: an expression that selects, plus exceptions that never pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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

impl GuardExceptionDoc {
    /// The name a guard exception is stored under: its identity.
    pub fn name(&self) -> String {
        format!("{} → {}", self.value, self.target)
    }
}

/// What is left of a deleted connection whose records were kept: how they are judged until they have aged out. It stands
/// in the store only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FormerDoc {
    /// The id it had; ids are never given twice.
    pub connection: u16,
    /// The name it had.
    pub name: String,
    /// Days after which a record stops counting; None: never.
    pub aging_days: Option<u32>,
    /// As it was set.
    pub override_reputation: Option<u8>,
    /// As it was set.
    pub tlp: Option<String>,
    /// As they were set.
    pub tags: Vec<String>,
    /// As it was set.
    pub respect_source_expiry: bool,
    /// Whether it listed everything at every run.
    pub complete: bool,
    /// Start of its last believed run, in microseconds since 1970.
    pub last_believed: Option<i64>,
}

impl SharingDoc {
    /// The name a sharing is stored under: its identity.
    pub fn name(&self) -> String {
        format!("{} → {} → {}", self.source, self.rule, self.target)
    }
}

/// `[[guard]]`: values never sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GuardDoc {
    /// Unique name. With the name of a shipped list (`shipped:clouds`; `iocast guard list` names them) this says what
    /// class that list has, or switches it off.
    pub name: String,
    /// `lifeline` (default), `popular`, `warn` (default of a warning list). A shipped list has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// Domains, addresses, networks, URLs, hashes, mailboxes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// `*.example.com`, other globs, or `/regular expressions/` over a whole canonical value or the host in it; at most
    /// 1,000.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patterns: Vec<String>,
    /// A MISP warning list, or a directory of them, below a `--files` directory. It is read when this is applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warninglist: Option<String>,
    /// Off: it neither stops nor flags.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub enabled: bool,
}

impl GuardDoc {
    /// A list of values.
    pub fn of(name: &str, class: Option<&str>, values: Vec<String>) -> GuardDoc {
        GuardDoc {
            name: name.to_owned(),
            class: class.map(str::to_owned),
            values,
            patterns: Vec::new(),
            warninglist: None,
            enabled: true,
        }
    }
}

/// `[[guard_exception]]`: one value, one target, a reason, an end, an approver.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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

/// `[[notify]]`: a channel through which people are told what needs them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NotifyDoc {
    /// Unique name.
    pub name: String,
    /// `webhook`, `mail` or `syslog`.
    pub channel: String,
    /// Of what it tells: `plan_waiting`, `run_suspect`, `denied`, `failing`, `refused`, `drift`, `frozen`, `thawed`,
    /// `stale`, `verdict_ending`, `ending`, `sealed`. Default: all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on: Vec<String>,
    /// The least grave it tells: `info` (default), `warning`, `critical`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_severity: Option<String>,
    /// Off: it tells nothing.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub enabled: bool,
    /// PEM file of a private certificate authority, below a `--files` directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// Private networks it may reach, e.g. `["10.1.0.0/16"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_private: Vec<String>,
    /// The channel's own settings: address, credentials, recipients.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub settings: Value,
}

/// `[[provider]]`: a provider of identities (OpenID Connect) that people sign in at.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderDoc {
    /// Unique name: on the button of the sign-in page, and in the address that the provider sends people back to.
    pub name: String,
    /// The provider's own address, exactly as its discovery document says it, e.g. `https://login.example/realms/corp`.
    pub issuer: String,
    /// What the provider knows this exchange as.
    pub client_id: String,
    /// What this exchange proves itself with; left out for a public client, which PKCE alone protects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
    /// What is asked for beside `openid`; default `["profile", "email"]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// The claim that lists a person's groups, dotted where it is nested (`realm_access.roles`); default `groups`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_claim: Option<String>,
    /// The claim a new account is named after; default `preferred_username`. It names and proves nothing: who somebody is
    /// are the issuer and the subject alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_claim: Option<String>,
    /// Which roles each group gives, e.g. `{ soc = ["analyst", "approver"] }`, looked up at every sign-in. Who has none is
    /// refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<String, Vec<String>>,
    /// Only people with a verified mailbox in this domain may sign in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_domain: Option<String>,
    /// Whom who is refused should ask, e.g. `the service desk`; default an administrator of this exchange.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// Off: nobody signs in at it. Sessions go on.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub enabled: bool,
    /// Proxy for calls to it: `http://…` or `socks5://…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// PEM file of a private certificate authority, below a `--files` directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// Private networks it may be in, e.g. `["10.1.0.0/16"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_private: Vec<String>,
}

/// A document as stored: the id its name got, and when it last changed.
#[derive(Debug, Clone)]
pub struct Stored<T> {
    /// The store's id, never given twice.
    pub id: u32,
    /// The document.
    pub doc: T,
}

/// The documents of the store, by kind.
#[derive(Debug, Clone, Default)]
pub struct Documents {
    /// `[policy]`.
    pub policy: PolicyDoc,
    /// Tenants.
    pub tenants: Vec<Stored<TenantDoc>>,
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
    /// Channels through which people are told.
    pub notifies: Vec<Stored<NotifyDoc>>,
    /// Providers of identities.
    pub providers: Vec<Stored<ProviderDoc>>,
    /// Deleted connections whose records were kept.
    pub former: Vec<Stored<FormerDoc>>,
}

impl Documents {
    /// The same as one file.
    pub fn to_file(&self) -> ConfigFile {
        fn docs<T: Clone>(stored: &[Stored<T>]) -> Vec<T> {
            stored.iter().map(|s| s.doc.clone()).collect()
        }
        ConfigFile {
            policy: (self.policy != PolicyDoc::default()).then(|| self.policy.clone()),
            tenant: docs(&self.tenants),
            connection: self.connections.iter().filter(|c| c.id != 1).map(|c| c.doc.clone()).collect(),
            target: docs(&self.targets),
            rule: docs(&self.rules),
            sharing: docs(&self.sharings),
            guard: docs(&self.guards),
            guard_exception: docs(&self.guard_exceptions),
            notify: docs(&self.notifies),
            provider: docs(&self.providers),
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
        requests_per_minute: None,
        ca_file: None,
        client_cert_file: None,
        allow_private: Vec::new(),
        reads: Vec::new(),
        settings: Value::Object(Map::new()),
    }
}
