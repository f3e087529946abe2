//! Providers of identities: what is said of them is checked here; what a role is only the binary knows.

use super::docs::{Documents, ProviderDoc};
use super::resolve::Check;
use super::{ConfigError, Provider, Strict};
use crate::seal;
use kit::Secret;
use kit::secret::SecretResolver;
use std::collections::BTreeMap;

/// Longest name: it stands on a button and in an address.
const MAX_NAME: usize = 32;

pub(super) fn resolve(
    documents: &Documents,
    resolver: &dyn SecretResolver,
    strict: Strict,
    errors: &mut Vec<ConfigError>,
) -> BTreeMap<String, Provider> {
    let mut providers = BTreeMap::new();
    for stored in &documents.providers {
        let doc = &stored.doc;
        let mut check = Check { errors: &mut *errors, section: "provider", name: &doc.name };
        if providers.contains_key(&doc.name) {
            check.error("name", "is used twice");
            continue;
        }
        plain(doc, &mut check);
        if documents.policy.public_url.is_none() {
            check.error(
                "name",
                "a provider sends people back to this exchange: say in [policy] public_url where that is, e.g. \
                 https://iocast.example",
            );
        }
        let mut locked = None;
        let client_secret = doc.client_secret.as_deref().and_then(|text| {
            let place = seal::place("provider", &doc.name, "client_secret");
            match Secret::resolve_at(&place, text, resolver) {
                Ok(secret) => Some(secret),
                // A reference that leads nowhere is a mistake when it is written, and a locked provider afterwards.
                Err(problem) if strict == Strict::Yes => {
                    check.error("client_secret", problem);
                    None
                }
                Err(problem) => {
                    locked = Some(format!("client_secret: {problem}"));
                    None
                }
            }
        });
        let proxy = doc.proxy.as_deref().map(|proxy| {
            seal::open_proxy(&seal::place("provider", &doc.name, "proxy"), proxy, resolver).unwrap_or_else(|problem| {
                match strict {
                    Strict::Yes => check.error("proxy", problem),
                    Strict::No => locked = Some(format!("proxy: {problem}")),
                }
                String::new()
            })
        });
        let doc = ProviderDoc { client_secret: None, proxy, ..doc.clone() };
        providers.insert(doc.name.clone(), Provider { doc, client_secret, locked });
    }
    providers
}

fn plain(doc: &ProviderDoc, check: &mut Check<'_>) {
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if doc.name.is_empty() || doc.name.len() > MAX_NAME || !doc.name.chars().all(letter) {
        check.error("name", "must be 1 to 32 letters, digits, '-' or '_'");
    }
    let is_plain = url::Url::parse(&doc.issuer).is_ok_and(|url| {
        let is_near = url.host_str().is_some_and(|host| host == "localhost" || host.starts_with("127."));
        let is_encrypted =
            url.scheme() == "https" || (url.scheme() == "http" && (is_near || !doc.allow_private.is_empty()));
        is_encrypted
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    if !is_plain {
        check.error(
            "issuer",
            "must be the provider's https address as its discovery document says it, without a query, e.g. \
             https://login.example/realms/corp",
        );
    }
    if doc.client_id.trim().is_empty() {
        check.error("client_id", "is empty: register this exchange at the provider, and write what it is called there");
    }
    if doc.client_secret.as_deref().is_some_and(|secret| secret.trim().is_empty()) {
        check.error("client_secret", "is empty; leave it out for a public client");
    }
    for (key, text) in [("group_claim", &doc.group_claim), ("name_claim", &doc.name_claim)] {
        if text.as_deref().is_some_and(|text| text.trim().is_empty()) {
            check.error(key, "is empty; leave it out for the usual one");
        }
    }
    if doc.roles.is_empty() {
        check.error("roles", "are missing: say which roles each group gives, or nobody can sign in");
    }
    let is_domain =
        |domain: &str| domain.contains('.') && domain.chars().all(|c| c.is_ascii_alphanumeric() || ".-".contains(c));
    if doc.allowed_domain.as_deref().is_some_and(|domain| !is_domain(domain)) {
        check.error("allowed_domain", "must be a domain of mailboxes, e.g. example.org");
    }
    let scopes = doc.scopes.iter().flatten();
    for scope in scopes.filter(|scope| scope.is_empty() || !scope.bytes().all(|byte| byte.is_ascii_graphic())) {
        check.error("scopes", format!("{scope:?} is no scope: one word each"));
    }
    for network in doc.allow_private.iter().filter(|network| network.parse::<intel::IpNet>().is_err()) {
        check.error("allow_private", format!("\"{network}\" is no network such as 10.1.0.0/16"));
    }
}
