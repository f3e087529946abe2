//! From documents to a configuration: every name known, every setting checked, every mistake listed.

use super::docs::*;
use super::{Config, ConfigError, Connection, FourEyes, PlanPolicy, Sharing, Target, tenant};
use crate::guards::{RESERVED_NAME, SHIPPED, SHIPPED_PREFIX, guarded_value};
use crate::registry::Registry;
use crate::seal;
use intel::guard::{GuardClass, GuardPattern, LIST_PATTERNS};
use intel::plan::Budget;
use intel::rule::{Exception, Folder, Rule, ValueSet};
use intel::schedule::parse_interval;
use intel::sharing::RetractMode;
use intel::{ConnectionId, DAY, FoldSettings, Reconcile, Reputation, RuleId, SharingId, TargetId, Timestamp, Tlp};
use kit::Secret;
use kit::manifest::{Delivery, SettingType};
use kit::secret::SecretResolver;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Collects mistakes, so that an operator sees all of them at once.
pub(super) struct Check<'a> {
    pub(super) errors: &'a mut Vec<ConfigError>,
    pub(super) section: &'static str,
    pub(super) name: &'a str,
}

impl Check<'_> {
    pub(super) fn error(&mut self, key: &str, problem: impl Into<String>) {
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
pub(super) fn name_ok(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && !name.starts_with('.')
        && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// Whether a reference to a secret that cannot be read is a mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strict {
    /// It is: somebody is configuring.
    Yes,
    /// It is not: the process starts, and that connection fails by itself.
    No,
}

/// Resolves documents to a configuration, or lists every mistake.
///
/// # Errors
/// All mistakes found, in the order of the sections.
pub fn resolve(
    documents: &Documents,
    registry: &Registry,
    secrets: &dyn SecretResolver,
    strict: Strict,
) -> Result<Config, Vec<ConfigError>> {
    let mut errors = Vec::new();
    let mut warnings = Vec::new();
    let fold = resolve_policy(&documents.policy, &mut errors);
    let plans = resolve_plans(&documents.policy, &mut errors);
    tenant::check(documents, registry, &mut errors, &mut warnings);
    let mut connections = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for stored in &documents.connections {
        let mut check = Check { errors: &mut errors, section: "connection", name: &stored.doc.name };
        if !seen.insert(&stored.doc.name) {
            check.error("name", "is used twice");
        }
        if let Some(connection) = resolve_connection(stored, documents, registry, secrets, strict, &mut check) {
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
        if let Some(target) = resolve_target(stored, &connections, documents.policy.budget.as_ref(), &mut check) {
            if let Some(other) = targets.values().find(|t| same_object(t, &target, &connections)) {
                check.error(
                    "params",
                    format!(
                        "names the same remote object as target \"{}\"; let both sharings feed one target",
                        other.doc.name
                    ),
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
    let channels = crate::notice::resolve_channels(&documents.notifies, secrets, strict, &mut errors);
    let providers = super::provider::resolve(documents, secrets, strict, &mut errors);
    if errors.is_empty() {
        let prune_after = documents.policy.prune_days.unwrap_or(365) * DAY;
        let history = documents.policy.history_days.unwrap_or(30) * DAY;
        let former = documents.former.iter().map(|former| former.doc.clone()).collect();
        let public_url = documents.policy.public_url.as_deref().map(|url| url.trim_end_matches('/').to_owned());
        let file = documents.to_file();
        let version = format!("{:016x}", xxhash_rust::xxh3::xxh3_64(&serde_json::to_vec(&file).unwrap_or_default()));
        Ok(Config {
            connections,
            targets,
            rules,
            channels,
            providers,
            public_url,
            former,
            file,
            version,
            fold,
            prune_after,
            history,
            plans,
            warnings,
        })
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
        check_shipped(&stored.doc, &mut check);
        if stored.doc.patterns.len() > LIST_PATTERNS {
            check.error("patterns", format!("are {}, at most {LIST_PATTERNS} are used", stored.doc.patterns.len()));
        }
        for pattern in stored.doc.patterns.iter().take(LIST_PATTERNS) {
            if let Err(why) = GuardPattern::parse(pattern) {
                check.error("patterns", format!("\"{pattern}\" {why}"));
            }
        }
        for value in &stored.doc.values {
            if let Err(rejection) = guarded_value(value) {
                check.error("values", format!("cannot be guarded: {rejection}"));
            }
        }
    }
    for stored in &documents.guard_exceptions {
        let doc = &stored.doc;
        let mut check = Check { errors, section: "guard_exception", name: &doc.value };
        if let Err(rejection) = guarded_value(&doc.value) {
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

/// What is called as a shipped list must be one, and has its values already.
fn check_shipped(doc: &GuardDoc, check: &mut Check<'_>) {
    let holds = !doc.values.is_empty() || !doc.patterns.is_empty() || doc.warninglist.is_some();
    if !doc.name.starts_with(SHIPPED_PREFIX) {
        if !holds {
            check.error(
                "values",
                "are missing, and so are `patterns` and `warninglist`: one of them says what is guarded",
            );
        }
        return;
    }
    let names: Vec<&str> = std::iter::once(RESERVED_NAME).chain(SHIPPED.iter().map(|list| list.name)).collect();
    if !names.contains(&doc.name.as_str()) {
        check.known("name", "shipped list", &doc.name, names.iter().copied());
    } else if holds {
        check.error("values", "belong into a list of your own: a shipped list takes class and enabled only");
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
    if let Some(url) = &doc.public_url {
        let plain = url::Url::parse(url).is_ok_and(|url| {
            matches!(url.scheme(), "https" | "http")
                && url.has_host()
                && url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none()
        });
        if !plain {
            check.error("public_url", "must be the address people reach this exchange at, e.g. https://iocast.example");
        }
    }
    fold.default_tlp = check.tlp("default_tlp", doc.default_tlp.as_deref(), Tlp::Green);
    fold
}

fn resolve_plans(doc: &PolicyDoc, errors: &mut Vec<ConfigError>) -> PlanPolicy {
    let mut check = Check { errors, section: "policy", name: "" };
    let four_eyes = match doc.four_eyes.as_deref() {
        None | Some("auto") => FourEyes::Auto,
        Some("always") => FourEyes::Always,
        Some("never") => FourEyes::Never,
        Some(other) => {
            check.error("four_eyes", format!("\"{other}\" is none of auto, always, never"));
            FourEyes::Auto
        }
    };
    let second_factor = match doc.second_factor.as_deref() {
        None | Some("offered") => false,
        Some("needed") => true,
        Some(other) => {
            check.error("second_factor", format!("\"{other}\" is none of offered, needed"));
            true
        }
    };
    if doc.held_days == Some(0) {
        check.error("held_days", "must be 1 or more: a plan that waits for no time is never approved");
    }
    resolve_budget(None, doc.budget.as_ref(), &mut check);
    let (undo_kept, held) = (doc.undo_days.unwrap_or(30) * DAY, doc.held_days.unwrap_or(30) * DAY);
    PlanPolicy { undo_kept, held, four_eyes, second_factor }
}

/// A target's budget: its own words, else the policy's, else the defaults.
fn resolve_budget(own: Option<&BudgetDoc>, policy: Option<&BudgetDoc>, check: &mut Check<'_>) -> Budget {
    let mut budget = Budget::default();
    let docs: Vec<&BudgetDoc> = policy.into_iter().chain(own).collect();
    for doc in docs {
        for (key, said, allowance) in
            [("adds", &doc.adds, &mut budget.adds), ("removals", &doc.removals, &mut budget.removals)]
        {
            let Some(said) = said else { continue };
            let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
            allowance.percent = said.percent.unwrap_or(allowance.percent);
            allowance.at_least = said.at_least.map_or(allowance.at_least, count);
            allowance.at_most = said.at_most.map_or(allowance.at_most, count);
            if allowance.percent > 100 {
                check.error(&format!("budget.{key}.percent"), "must be 0 to 100: it is of what is present");
            }
            if allowance.at_least > allowance.at_most {
                let (least, most) = (allowance.at_least, allowance.at_most);
                let why = format!("is {least}, more than at_most, {most}: set both");
                check.error(&format!("budget.{key}.at_least"), why);
            }
        }
        budget.passes_per_day = doc.per_day.unwrap_or(budget.passes_per_day);
        if !(1..=1_000).contains(&budget.passes_per_day) {
            check.error("budget.per_day", "must be 1 to 1000 passes' worth");
        }
    }
    budget
}

fn resolve_connection(
    stored: &Stored<ConnectionDoc>,
    documents: &Documents,
    registry: &Registry,
    resolver: &dyn SecretResolver,
    strict: Strict,
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
    if doc.requests_per_minute.is_some_and(|n| !(1..=100_000).contains(&n)) {
        check.error("requests_per_minute", "must be 1 to 100000; leave it out for no limit of ours");
    }
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
    let tenant = tenant::of(doc, documents);
    let tenant::Merged { mut doc, inherited } = tenant::merge(doc, tenant, manifest);
    if let Some(tenant) = tenant {
        tenant::stay_at_home(&stored.doc, tenant, &inherited, manifest, check);
    }
    let name = stored.doc.name.as_str();
    // What is wrong with a tenant's setting is told where it stands, and for which connection it is wrong.
    let mut blame = |key: &str, problem: String| match tenant.filter(|_| inherited.contains(key)) {
        Some(tenant) => check.errors.push(ConfigError {
            section: "tenant",
            name: tenant.name.clone(),
            key: format!("settings.{key}"),
            problem: format!("for connection \"{name}\": {problem}"),
        }),
        None => check.error(&format!("settings.{key}"), problem),
    };
    let mut settings = match manifest.check(&doc.settings) {
        Ok(settings) => settings,
        Err(problems) => {
            problems.iter().for_each(|problem| blame(&problem.key, problem.to_string()));
            return None;
        }
    };
    // References to secrets are replaced by what they refer to; and the secrets are listed, so that no message shows one.
    let mut secrets = Vec::new();
    let mut locked = None;
    for setting in manifest.settings.iter().filter(|s| s.value_type == SettingType::Secret) {
        let Some(text) = settings.get(&setting.key).and_then(Value::as_str).map(str::to_owned) else { continue };
        let place = match tenant.filter(|_| inherited.contains(&setting.key)) {
            Some(tenant) => seal::place("tenant", &tenant.name, &format!("settings.{}", setting.key)),
            None => seal::place("connection", name, &format!("settings.{}", setting.key)),
        };
        match Secret::resolve_at(&place, &text, resolver) {
            Ok(secret) => {
                settings[&setting.key] = Value::String(secret.reveal().to_owned());
                secrets.push((setting.key.clone(), secret));
            }
            Err(problem) if strict == Strict::Yes => {
                blame(&setting.key, problem);
                return None;
            }
            // The process starts all the same, and calls of this connection fail with these words.
            Err(problem) => {
                locked.get_or_insert(format!("settings.{}: {problem}", setting.key));
            }
        }
    }
    if let Some(proxy) = &doc.proxy {
        let place = match tenant.filter(|_| stored.doc.proxy.is_none()) {
            Some(tenant) => seal::place("tenant", &tenant.name, "proxy"),
            None => seal::place("connection", name, "proxy"),
        };
        match seal::open_proxy(&place, proxy, resolver) {
            Ok(open) => doc.proxy = Some(open),
            Err(problem) if strict == Strict::Yes => {
                check.error("proxy", problem);
                return None;
            }
            Err(problem) => {
                locked.get_or_insert(format!("proxy: {problem}"));
            }
        }
    }
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
        initial_range: doc.initial_range_days.unwrap_or(14) * DAY,
        doc,
        connector,
        open,
        settings,
        secrets,
        locked,
        interval,
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
        warnings.extend(
            notes.into_iter().map(|note| format!("rule \"{}\", exception \"{}\": {note}", doc.name, exception.name)),
        );
        exceptions.push(Exception {
            name: exception.name.clone(),
            when,
            values,
            tags: exception.tags.iter().cloned().collect(),
        });
    }
    Some(Rule { id: RuleId(stored.id), name: doc.name.clone(), folder, when: when?, muted: doc.muted, exceptions })
}

fn resolve_target(
    stored: &Stored<TargetDoc>,
    connections: &BTreeMap<ConnectionId, Connection>,
    policy: Option<&BudgetDoc>,
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
            (_, true) => {
                check.error("connection", format!("connector \"{}\" takes nothing in", connection.doc.connector));
            }
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
    let verify = match doc.verify.as_deref() {
        Some("off") => None,
        text => {
            let every = check.duration("verify", text, DAY);
            (action.can_ask() || action.delivery == Delivery::Hosted).then_some(every)
        }
    };
    let budget = resolve_budget(doc.budget.as_ref(), policy, check);
    let mut action = action.clone();
    // Smaller calls than the action takes, where the other side wants them.
    if let Some(batch) = params.get("batch").and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok()) {
        action.batch = action.batch.min(batch.max(1));
    }
    Some(Target {
        id: TargetId(stored.id),
        doc: doc.clone(),
        connection: connection.id,
        action,
        params,
        first_fill_approve,
        retract,
        interval,
        verify,
        budget,
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
        && connections.get(&a.connection).map(|c| &c.doc.connector)
            == connections.get(&b.connection).map(|c| &c.doc.connector)
        && (account(a) == account(b) || a.action.object_is_local)
        && object(a) == object(b)
}
