//! Secrets in documents: where they stand, how they are shown, kept, sealed and bound to where they go.
//!
//! A secret is written and never read: what is shown has a place holder, and what is stored is sealed by the world, which
//! alone knows a key. A place holder stands for the secret that is there only while it would still go to the same
//! addresses, so that nobody can have a secret sent somewhere else who could not read it. References (`env:`, `file:`)
//! say where a secret is, not what it is; they are shown and stored as they are.

use crate::Engine;
use crate::config::{
    self, ConfigError, ConfigFile, ConnectionDoc, Documents, NotifyDoc, ProviderDoc, Stored, TenantDoc,
};
use crate::error::EngineError;
use crate::registry::Registry;
use kit::Secret;
use kit::manifest::SettingType;
use kit::secret::SecretResolver;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use store::{DocChange, Store};

/// Stands where a secret is set.
pub const SET: &str = "*** set ***";

/// What a sealed secret is bound to: it opens nowhere else.
pub fn place(section: &str, name: &str, key: &str) -> String {
    format!("{section}/{name}/{key}")
}

/// Where a secret stands in a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Spot {
    section: &'static str,
    name: String,
    /// `settings.KEY`, or `proxy` for the credentials in it.
    key: String,
}

impl Spot {
    fn place(&self) -> String {
        place(self.section, &self.name, &self.key)
    }

    fn error(&self, problem: impl Into<String>) -> ConfigError {
        ConfigError { section: self.section, name: self.name.clone(), key: self.key.clone(), problem: problem.into() }
    }
}

/// Where the credentials in a proxy's address are: `user:password` of `http://user:password@host:port`.
fn credentials(proxy: &str) -> Option<Range<usize>> {
    let from = proxy.find("://").map_or(0, |at| at + 3);
    let to = proxy.rfind('@').filter(|at| *at >= from)?;
    Some(from..to)
}

/// A proxy's address without its credentials.
pub(crate) fn bare_proxy(proxy: &str) -> String {
    with_credentials(proxy, SET)
}

fn with_credentials(proxy: &str, credentials_: &str) -> String {
    match credentials(proxy) {
        Some(at) => format!("{}{credentials_}{}", &proxy[..at.start], &proxy[at.end..]),
        None => proxy.to_owned(),
    }
}

/// A proxy's address with its credentials opened, if they are sealed.
pub(crate) fn open_proxy(place: &str, proxy: &str, resolver: &dyn SecretResolver) -> Result<String, String> {
    match credentials(proxy).map(|at| &proxy[at]).filter(|sealed| Secret::is_sealed(sealed)) {
        Some(sealed) => Ok(with_credentials(proxy, Secret::resolve_at(place, sealed, resolver)?.reveal())),
        None => Ok(proxy.to_owned()),
    }
}

/// The keys of a connection's settings that are secrets.
fn secret_keys(doc: &ConnectionDoc, registry: &Registry) -> BTreeSet<String> {
    let Some(connector) = registry.get(&doc.connector) else { return BTreeSet::new() };
    let settings = connector.manifest().settings.iter();
    settings.filter(|setting| setting.value_type == SettingType::Secret).map(|setting| setting.key.clone()).collect()
}

/// Whether a tenant's setting is a secret: to any connector, or a key that no connector knows. A tenant may have no
/// connection yet, so this errs on the side of silence.
fn is_tenant_secret(key: &str, registry: &Registry) -> bool {
    let mut known = false;
    for connector in registry.iter() {
        for setting in connector.manifest().settings.iter().filter(|setting| setting.key == key) {
            if setting.value_type == SettingType::Secret {
                return true;
            }
            known = true;
        }
    }
    !known
}

/// Shows every secret of a configuration: its place and its text, which may be replaced.
pub(crate) fn visit(file: &mut ConfigFile, registry: &Registry, each: &mut dyn FnMut(&Spot, &mut Value)) {
    fn settings(
        section: &'static str,
        name: &str,
        settings: &mut Value,
        is_secret: &dyn Fn(&str) -> bool,
        each: &mut dyn FnMut(&Spot, &mut Value),
    ) {
        for (key, value) in settings.as_object_mut().into_iter().flatten() {
            if is_secret(key) && !value.is_null() {
                each(&Spot { section, name: name.to_owned(), key: format!("settings.{key}") }, value);
            }
        }
    }
    fn proxy(section: &'static str, name: &str, proxy: &mut Option<String>, each: &mut dyn FnMut(&Spot, &mut Value)) {
        let Some(proxy) = proxy else { return };
        let Some(at) = credentials(proxy) else { return };
        let mut value = Value::String(proxy[at].to_owned());
        each(&Spot { section, name: name.to_owned(), key: "proxy".to_owned() }, &mut value);
        *proxy = with_credentials(proxy, value.as_str().unwrap_or(SET));
    }
    for doc in &mut file.tenant {
        settings("tenant", &doc.name, &mut doc.settings, &|key| is_tenant_secret(key, registry), each);
        proxy("tenant", &doc.name, &mut doc.proxy, each);
    }
    for doc in &mut file.connection {
        let keys = secret_keys(doc, registry);
        settings("connection", &doc.name, &mut doc.settings, &|key| keys.contains(key), each);
        proxy("connection", &doc.name, &mut doc.proxy, each);
    }
    for doc in &mut file.notify {
        let channel = doc.channel.clone();
        settings("notify", &doc.name, &mut doc.settings, &|key| crate::notice::is_secret(&channel, key), each);
    }
    for doc in &mut file.provider {
        if let Some(secret) = doc.client_secret.take() {
            let mut value = Value::String(secret);
            each(&Spot { section: "provider", name: doc.name.clone(), key: "client_secret".to_owned() }, &mut value);
            doc.client_secret = value.as_str().map(str::to_owned);
        }
        proxy("provider", &doc.name, &mut doc.proxy, each);
    }
}

/// Replaces every secret by a place holder; references stay.
pub fn hide(file: &mut ConfigFile, registry: &Registry) {
    visit(file, registry, &mut |_, value| {
        if !value.as_str().is_some_and(Secret::is_reference) {
            *value = SET.into();
        }
    });
}

/// Where the secrets of a configuration stand.
pub(crate) fn spots(file: &ConfigFile, registry: &Registry) -> BTreeMap<(String, String), BTreeSet<String>> {
    let mut spots: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    visit(&mut file.clone(), registry, &mut |spot, _| {
        spots.entry((spot.section.to_owned(), spot.name.clone())).or_default().insert(spot.key.clone());
    });
    spots
}

/// What stands at each place of a secret, sealed or a reference.
pub(crate) fn texts(documents: &Documents, registry: &Registry) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    visit(&mut documents.to_file(), registry, &mut |spot, value| {
        texts.insert(spot.place(), value.as_str().unwrap_or_default().to_owned());
    });
    texts
}

/// Puts stored secrets back where a place holder stands. Gives the places where a secret was given.
pub(crate) fn restore(
    file: &mut ConfigFile,
    before: &ConfigFile,
    registry: &Registry,
    resolver: &dyn SecretResolver,
) -> Result<BTreeSet<String>, Vec<ConfigError>> {
    let mut stored = BTreeMap::new();
    visit(&mut before.clone(), registry, &mut |spot, value| {
        stored.insert(spot.clone(), value.clone());
    });
    let mut given = BTreeSet::new();
    let mut errors = Vec::new();
    visit(file, registry, &mut |spot, value| {
        let text = value.as_str().unwrap_or_default();
        if text == SET {
            match stored.get(spot) {
                Some(kept) => value.clone_from(kept),
                None => errors.push(spot.error(format!(
                    "\"{SET}\" stands for a secret that is there, and there is none yet: give it, best as \"env:NAME\" or \
                     \"file:PATH\""
                ))),
            }
            return;
        }
        if Secret::is_sealed(text) {
            errors.push(spot.error(
                "a sealed text is made by the exchange and cannot be given; write the secret itself, \"env:NAME\" or \
                 \"file:PATH\"",
            ));
            return;
        }
        given.insert(spot.place());
        // The same secret again is no change, however it is sealed.
        if let Some(kept) = stored.get(spot)
            && let Some(sealed) = kept.as_str().filter(|kept| Secret::is_sealed(kept))
            && resolver.unseal(&spot.place(), sealed).is_ok_and(|open| open == text)
        {
            value.clone_from(kept);
        }
    });
    if errors.is_empty() { Ok(given) } else { Err(errors) }
}

/// Secrets whose key is not here, with what to do. Until it is again, or each of them is given anew, the configuration is
/// not written: what cannot be opened must not be lost by accident.
pub(crate) fn locked(
    documents: &Documents,
    given: &BTreeSet<String>,
    registry: &Registry,
    resolver: &dyn SecretResolver,
) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    visit(&mut documents.to_file(), registry, &mut |spot, value| {
        let Some(sealed) = value.as_str().filter(|text| Secret::is_sealed(text)) else { return };
        if resolver.lacks_key(sealed)
            && !given.contains(&spot.place())
            && let Err(why) = resolver.unseal(&spot.place(), sealed)
        {
            errors.push(spot.error(format!("nothing is configured while a secret cannot be opened: {why}")));
        }
    });
    errors
}

/// A secret as people may see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SecretShown {
    /// `tenant`, `connection`, `notify` or `provider`.
    pub section: String,
    /// The thing's name.
    pub name: String,
    /// The setting in it.
    pub key: String,
    /// `set`, `reference` (to the environment or a file), or `locked`: its key is not here.
    pub state: &'static str,
    /// When it was last given; null: longer ago than that is noted. RFC 3339.
    pub changed_at: Option<String>,
}

/// Secrets that were kept although what they are sent to is another now, whoever's words changed that.
pub(crate) fn moved(
    before: &Documents,
    after: &Documents,
    given: &BTreeSet<String>,
    registry: &Registry,
) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    visit(&mut after.to_file(), registry, &mut |spot, value| {
        let is_kept = !given.contains(&spot.place()) && !value.as_str().is_some_and(Secret::is_reference);
        if is_kept && addresses(spot, before, registry) != addresses(spot, after, registry) {
            errors.push(spot.error(format!("give the secret again: the {} goes elsewhere now", spot.section)));
        }
    });
    errors
}

/// Where a secret goes: the addresses in force around it, or the proxy itself.
fn addresses(spot: &Spot, documents: &Documents, registry: &Registry) -> BTreeSet<String> {
    let proxy = |proxy: &Option<String>| -> BTreeSet<String> { proxy.as_deref().map(bare_proxy).into_iter().collect() };
    let by_way_of = |proxy: String| format!("by way of {proxy}");
    let leads = |settings: &Value, is_secret: &dyn Fn(&str) -> bool| -> BTreeSet<String> {
        config::addresses(settings, is_secret).into_iter().map(|(_, at)| at).collect()
    };
    if spot.section == "tenant" {
        let Some(doc) = documents.tenants.iter().map(|t| &t.doc).find(|t| t.name == spot.name) else {
            return BTreeSet::new();
        };
        return match spot.key.as_str() {
            "proxy" => proxy(&doc.proxy),
            _ => {
                let mut all = leads(&doc.settings, &|key| is_tenant_secret(key, registry));
                if all.iter().any(|at| at.starts_with("http://")) {
                    all.extend(proxy(&doc.proxy).into_iter().map(by_way_of));
                }
                all
            }
        };
    }
    if spot.section == "notify" {
        let Some(doc) = documents.notifies.iter().map(|c| &c.doc).find(|c| c.name == spot.name) else {
            return BTreeSet::new();
        };
        let mut all = leads(&doc.settings, &|key| crate::notice::is_secret(&doc.channel, key));
        // What is said in the clear is read by whoever stands in between.
        for key in ["port", "security", "transport"] {
            all.extend(doc.settings.get(key).map(|value| format!("{key} {value}")));
        }
        all.insert(format!("channel {}", doc.channel));
        all.extend(doc.ca_file.iter().map(|file| format!("as {file} vouches")));
        return all;
    }
    if spot.section == "provider" {
        let Some(doc) = documents.providers.iter().map(|p| &p.doc).find(|p| p.name == spot.name) else {
            return BTreeSet::new();
        };
        if spot.key == "proxy" {
            return proxy(&doc.proxy);
        }
        // Where it is sent is what the issuer says.
        let mut all = BTreeSet::from([format!("issuer {}", doc.issuer)]);
        all.extend(doc.ca_file.iter().map(|file| format!("as {file} vouches")));
        if doc.ca_file.is_some() || doc.issuer.starts_with("http://") {
            all.extend(proxy(&doc.proxy).into_iter().map(by_way_of));
        }
        return all;
    }
    let Some(doc) = documents.connections.iter().map(|c| &c.doc).find(|c| c.name == spot.name) else {
        return BTreeSet::new();
    };
    if spot.key == "proxy" {
        return proxy(&doc.proxy);
    }
    let Some(connector) = registry.get(&doc.connector) else { return BTreeSet::new() };
    let tenant = documents.tenants.iter().map(|t| &t.doc).find(|t| Some(&t.name) == doc.tenant.as_ref());
    let manifest = connector.manifest();
    let merged = config::merge(doc, tenant, manifest).doc;
    let keys = secret_keys(doc, registry);
    let mut all = leads(&merged.settings, &|key| keys.contains(key));
    all.insert(format!("connector {}", doc.connector));
    // Whoever may say which authority to believe can stand in the middle; a proxy sees what is sent in the clear.
    all.extend(merged.ca_file.iter().map(|file| format!("as {file} vouches")));
    if merged.ca_file.is_some() || all.iter().any(|at| at.starts_with("http://")) {
        all.extend(proxy(&merged.proxy).into_iter().map(by_way_of));
    }
    // A connector may make its host of something else, a region or a customer's name.
    let open = manifest.check(&merged.settings).ok().and_then(|settings| connector.open(&settings).ok());
    all.extend(open.into_iter().flat_map(|open| open.hosts()));
    all
}

/// Seals what is not sealed yet. Gives how many were.
pub(crate) fn seal(
    file: &mut ConfigFile,
    registry: &Registry,
    resolver: &dyn SecretResolver,
) -> Result<usize, Vec<ConfigError>> {
    let mut errors = Vec::new();
    let mut n_sealed = 0;
    visit(file, registry, &mut |spot, value| {
        let Some(text) = value.as_str() else { return };
        if text.trim().is_empty() || Secret::is_sealed(text) || Secret::is_reference(text) {
            return;
        }
        match resolver.seal(&spot.place(), text) {
            Ok(None) => {}
            Ok(Some(sealed)) => {
                n_sealed += 1;
                *value = sealed.into();
            }
            Err(why) => errors.push(
                spot.error(format!("the secret cannot be sealed: {why}; or write it as \"env:NAME\" or \"file:PATH\"")),
            ),
        }
    });
    if errors.is_empty() { Ok(n_sealed) } else { Err(errors) }
}

/// What to write so that the documents hold what a file of the same documents says.
fn changes(documents: &Documents, file: &ConfigFile) -> Vec<DocChange> {
    let mut writes = Vec::new();
    for doc in &file.tenant {
        if documents.tenants.iter().any(|old| old.doc.name == doc.name && old.doc != *doc) {
            let body = serde_json::to_string(doc).unwrap_or_default();
            writes.push(DocChange { kind: "tenant", name: doc.name.clone(), body });
        }
    }
    for doc in &file.connection {
        if documents.connections.iter().any(|old| old.doc.name == doc.name && old.doc != *doc) {
            let body = serde_json::to_string(doc).unwrap_or_default();
            writes.push(DocChange { kind: "connection", name: doc.name.clone(), body });
        }
    }
    for doc in &file.notify {
        if documents.notifies.iter().any(|old| old.doc.name == doc.name && old.doc != *doc) {
            let body = serde_json::to_string(doc).unwrap_or_default();
            writes.push(DocChange { kind: "notify", name: doc.name.clone(), body });
        }
    }
    for doc in &file.provider {
        if documents.providers.iter().any(|old| old.doc.name == doc.name && old.doc != *doc) {
            let body = serde_json::to_string(doc).unwrap_or_default();
            writes.push(DocChange { kind: "provider", name: doc.name.clone(), body });
        }
    }
    writes
}

fn adopt(documents: &mut Documents, file: &ConfigFile) {
    fn put<T: Clone>(stored: &mut [Stored<T>], docs: &[T], is_same: impl Fn(&T, &T) -> bool) {
        for old in stored {
            if let Some(doc) = docs.iter().find(|doc| is_same(doc, &old.doc)) {
                old.doc = doc.clone();
            }
        }
    }
    put(&mut documents.tenants, &file.tenant, |a: &TenantDoc, b| a.name == b.name);
    put(&mut documents.connections, &file.connection, |a: &ConnectionDoc, b| a.name == b.name);
    put(&mut documents.notifies, &file.notify, |a: &NotifyDoc, b| a.name == b.name);
    put(&mut documents.providers, &file.provider, |a: &ProviderDoc, b| a.name == b.name);
}

/// Seals secrets that were stored before there was a key, and wipes what they were written on. Where that cannot be done
/// nothing is changed: the exchange starts all the same, and the operator is told.
pub(crate) fn seal_stored(
    store: &Store,
    documents: &mut Documents,
    registry: &Registry,
    resolver: &dyn SecretResolver,
    now: intel::Timestamp,
) -> Result<Option<String>, EngineError> {
    let mut file = documents.to_file();
    let n_sealed = match seal(&mut file, registry, resolver) {
        Ok(0) => return Ok(None),
        Ok(n) => n,
        Err(errors) => {
            let first = errors.first().map(ToString::to_string).unwrap_or_default();
            return Ok(Some(format!("secrets stand unsealed in the data directory: {first}")));
        }
    };
    store.apply_docs(&changes(documents, &file), now)?;
    store.audit("iocast", "secret.seal", "", &format!("{{\"sealed\":{n_sealed}}}"), now)?;
    adopt(documents, &file);
    let wiped = match store.scrub() {
        Ok(()) => String::new(),
        Err(error) => {
            format!("; what they were written on could not be wiped ({error}): `iocast secret rotate` does it")
        }
    };
    Ok(Some(format!(
        "{n_sealed} secrets of the data directory were sealed; backups made before hold them readable{wiped}"
    )))
}

impl Engine {
    /// Every secret there is: where, and since when; never what.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn secrets_shown(&self) -> Result<Vec<SecretShown>, EngineError> {
        let documents = crate::configure::load_documents(&self.store)?;
        let changes: BTreeMap<String, intel::Timestamp> = self.store.secret_changes()?.into_iter().collect();
        let resolver = self.world.secrets();
        let mut shown = Vec::new();
        visit(&mut documents.to_file(), &self.registry, &mut |spot, value| {
            let text = value.as_str().unwrap_or_default();
            shown.push(SecretShown {
                section: spot.section.to_owned(),
                name: spot.name.clone(),
                key: spot.key.clone(),
                state: match () {
                    () if Secret::is_reference(text) => "reference",
                    () if Secret::is_sealed(text) && resolver.lacks_key(text) => "locked",
                    () => "set",
                },
                changed_at: changes.get(&spot.place()).map(ToString::to_string),
            });
        });
        Ok(shown)
    }

    /// Why the configuration cannot be written and what does not work, while secrets are sealed with a key that is not
    /// here. None: all is well.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn sealed_off(&self) -> Result<Option<String>, EngineError> {
        let documents = crate::configure::load_documents(&self.store)?;
        let locked = locked(&documents, &BTreeSet::new(), &self.registry, self.world.secrets());
        let Some(first) = locked.first() else { return Ok(None) };
        Ok(Some(format!(
            "sealed: {} secrets cannot be opened, the connections and channels that need them do not work, and the \
             configuration is not written; {first}",
            locked.len()
        )))
    }

    /// Seals every stored secret again, with the key the world seals with now: all of them or none. Gives how many.
    /// `wipe` also writes the store anew, so that nothing sealed before is left in it.
    ///
    /// # Errors
    /// [`EngineError::Config`] with the secrets that cannot be opened or sealed; nothing is changed then.
    pub fn reseal(&self, who: &str, wipe: bool) -> Result<usize, EngineError> {
        let _one = crate::unpoison(self.configuring.lock());
        let documents = crate::configure::load_documents(&self.store)?;
        let mut file = documents.to_file();
        let resolver = self.world.secrets();
        let mut errors = Vec::new();
        visit(&mut file, &self.registry, &mut |spot, value| {
            let Some(text) = value.as_str().filter(|text| Secret::is_sealed(text)) else { return };
            match resolver.unseal(&spot.place(), text) {
                Ok(open) => *value = open.into(),
                Err(why) => errors.push(spot.error(format!("the sealed secret cannot be opened: {why}"))),
            }
        });
        if !errors.is_empty() {
            return Err(EngineError::Config(errors));
        }
        let n_sealed = seal(&mut file, &self.registry, resolver).map_err(EngineError::Config)?;
        let now = self.world.now();
        self.store.apply_docs(&changes(&documents, &file), now)?;
        self.store.audit(who, "secret.rotate", "", &format!("{{\"sealed\":{n_sealed}}}"), now)?;
        if wipe {
            self.store.scrub()?;
        }
        self.reload()?;
        Ok(n_sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_shown_without_its_credentials() {
        for (proxy, expect) in [
            ("http://proxy.example:3128", "http://proxy.example:3128"),
            ("http://user:pass@proxy.example:3128", "http://*** set ***@proxy.example:3128"),
            ("socks5://u:p@ss@proxy.example:1080", "socks5://*** set ***@proxy.example:1080"),
            ("user:pass@proxy.example:3128", "*** set ***@proxy.example:3128"),
        ] {
            assert_eq!(bare_proxy(proxy), expect, "{proxy}");
        }
    }
}
