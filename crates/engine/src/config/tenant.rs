//! Tenants: what several connections to one account share, merged beneath what each says itself.
//!
//! A tenant knows no connector, so its settings are checked where they are used: in each connection. A setting that none
//! of its connections can use is a mistake, as a mistyped key of a connection is.

use super::ConfigError;
use super::docs::*;
use super::resolve::{Check, name_ok, nearest};
use crate::registry::Registry;
use kit::manifest::{Manifest, SettingType};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// A connection's document with its tenant's words filled in.
pub(crate) struct Merged {
    /// As it is in force.
    pub(crate) doc: ConnectionDoc,
    /// The settings that come from the tenant.
    pub(crate) inherited: BTreeSet<String>,
}

/// The tenant a connection names, if one of that name is declared.
pub(crate) fn of<'d>(doc: &ConnectionDoc, documents: &'d Documents) -> Option<&'d TenantDoc> {
    let name = doc.tenant.as_ref()?;
    documents.tenants.iter().map(|stored| &stored.doc).find(|tenant| tenant.name == *name)
}

/// Puts the tenant's words beneath the connection's. Of its settings only those the connector has.
pub(crate) fn merge(doc: &ConnectionDoc, tenant: Option<&TenantDoc>, manifest: &Manifest) -> Merged {
    let mut doc = doc.clone();
    let mut inherited = BTreeSet::new();
    let Some(tenant) = tenant else { return Merged { doc, inherited } };
    for (own, shared) in [
        (&mut doc.proxy, &tenant.proxy),
        (&mut doc.ca_file, &tenant.ca_file),
        (&mut doc.client_cert_file, &tenant.client_cert_file),
    ] {
        if own.is_none() {
            own.clone_from(shared);
        }
    }
    doc.initial_range_days = doc.initial_range_days.or(tenant.initial_range_days);
    if doc.allow_private.is_empty() {
        doc.allow_private.clone_from(&tenant.allow_private);
    }
    if doc.settings.is_null() {
        doc.settings = Value::Object(Map::new());
    }
    if let (Some(own), Some(shared)) = (doc.settings.as_object_mut(), tenant.settings.as_object()) {
        for (key, value) in shared {
            let known = manifest.settings.iter().any(|setting| setting.key == *key);
            if known && own.get(key).is_none_or(Value::is_null) {
                own.insert(key.clone(), value.clone());
                inherited.insert(key.clone());
            }
        }
    }
    Merged { doc, inherited }
}

/// A secret of a tenant goes only where the tenant itself goes: whoever may configure a connection could otherwise have
/// it sent to an address of their own.
pub(super) fn stay_at_home(
    doc: &ConnectionDoc,
    tenant: &TenantDoc,
    inherited: &BTreeSet<String>,
    manifest: &Manifest,
    check: &mut Check<'_>,
) {
    let is_secret = |key: &str| manifest.settings.iter().any(|s| s.key == key && s.value_type == SettingType::Secret);
    let Some(secret) = inherited.iter().find(|key| is_secret(key)) else { return };
    let at_home: BTreeSet<String> = addresses(&tenant.settings, &is_secret).into_iter().map(|(_, at)| at).collect();
    for (key, at) in addresses(&doc.settings, &is_secret) {
        if !at_home.contains(&at) {
            check.error(
                &format!("settings.{key}"),
                format!(
                    "is not at an address of tenant \"{}\", whose secret \"{secret}\" it would be sent; write the address in \
                     the tenant, or give the connection a secret of its own",
                    tenant.name
                ),
            );
        }
    }
}

/// Where settings lead: scheme, host and port of everything that is an address, and what is given under a key that names
/// a host. Paths and queries do not matter. Local files lead nowhere.
pub(crate) fn addresses(settings: &Value, is_secret: &dyn Fn(&str) -> bool) -> Vec<(String, String)> {
    let names_host = |key: &str| key.split('_').any(|word| HOST_WORDS.contains(&word));
    let mut out = Vec::new();
    for (key, value) in settings.as_object().into_iter().flatten().filter(|(key, _)| !is_secret(key)) {
        let texts = value.as_str().into_iter().chain(value.as_array().into_iter().flatten().filter_map(Value::as_str));
        for text in texts {
            match url::Url::parse(text.trim()) {
                Ok(url) if url.scheme() == "file" => {}
                Ok(url) if text.contains("://") && url.origin().is_tuple() => {
                    out.push((key.clone(), url.origin().ascii_serialization()));
                }
                _ if text.contains("://") || names_host(key) => out.push((key.clone(), text.trim().to_lowercase())),
                _ => {}
            }
        }
    }
    out
}

/// Words in the keys of settings that say where calls go.
const HOST_WORDS: [&str; 14] = [
    "url",
    "urls",
    "uri",
    "host",
    "hosts",
    "hostname",
    "server",
    "servers",
    "address",
    "endpoint",
    "domain",
    "region",
    "instance",
    "subdomain",
];

/// What can be said of tenants without their connections, and of their settings that nobody can use.
pub(super) fn check(
    documents: &Documents,
    registry: &Registry,
    errors: &mut Vec<ConfigError>,
    warnings: &mut Vec<String>,
) {
    let mut seen = BTreeSet::new();
    for stored in &documents.tenants {
        let doc = &stored.doc;
        let mut check = Check { errors, section: "tenant", name: &doc.name };
        if !name_ok(&doc.name) {
            check.error("name", "must be 1 to 64 letters, digits, '-', '_' or '.'");
        }
        if !seen.insert(&doc.name) {
            check.error("name", "is used twice");
        }
        for network in &doc.allow_private {
            if network.parse::<intel::IpNet>().is_err() {
                check.error("allow_private", format!("\"{network}\" is no network such as 10.1.0.0/16"));
            }
        }
        let settings = match &doc.settings {
            Value::Null => continue,
            Value::Object(settings) => settings,
            _ => {
                check.error("settings", "must be a table of settings");
                continue;
            }
        };
        let users: Vec<&ConnectionDoc> =
            documents.connections.iter().map(|c| &c.doc).filter(|c| c.tenant.as_ref() == Some(&doc.name)).collect();
        let connectors: BTreeSet<&str> = match users.is_empty() {
            true => registry.names().collect(),
            false => users.iter().map(|c| c.connector.as_str()).collect(),
        };
        let manifests = connectors.iter().filter_map(|name| Some(registry.get(name)?.manifest().settings.clone()));
        let known: BTreeSet<String> = manifests.flatten().map(|setting| setting.key).collect();
        for key in settings.keys().filter(|key| !known.contains(*key)) {
            let names: Vec<&str> = known.iter().map(String::as_str).collect();
            let hint = match nearest(key, &names) {
                Some(near) => format!("; did you mean \"{near}\"?"),
                None if users.is_empty() || names.is_empty() => String::new(),
                None => format!("; they take {}", names.join(", ")),
            };
            let who = match users.is_empty() {
                true => "no connector takes".to_owned(),
                false => {
                    let names: Vec<&str> = users.iter().map(|c| c.name.as_str()).collect();
                    format!("none of its connections ({}) takes", names.join(", "))
                }
            };
            check.error(&format!("settings.{key}"), format!("{who} such a setting{hint}"));
        }
    }
    let declared: Vec<&str> = documents.tenants.iter().map(|stored| stored.doc.name.as_str()).collect();
    for doc in documents.connections.iter().map(|stored| &stored.doc) {
        let Some(label) = doc.tenant.as_deref().filter(|label| !declared.contains(label)) else { continue };
        if let Some(near) = nearest(label, &declared) {
            warnings.push(format!(
                "connection \"{}\": tenant \"{label}\" is not declared and only names an account; did you mean \"{near}\"?",
                doc.name
            ));
        }
    }
}
