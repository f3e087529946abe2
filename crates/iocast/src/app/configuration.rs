//! The configuration as people see it: secrets are written and never read.
//!
//! What is shown can be sent back: a place holder stands for the secret that is there. It stands for it only while the
//! connection still talks to the same addresses, so that nobody can have a secret sent somewhere else who could not
//! read it.

use super::App;
use crate::api::Problem;
use axum::http::StatusCode;
use engine::config::ConnectionDoc;
use engine::{Applied, ConfigFile, Registry};
use kit::Secret;
use kit::manifest::SettingType;
use serde_json::Value;

/// Stands where a secret is set.
pub(crate) const SET: &str = "*** set ***";

impl App {
    /// Everything that is configured, secrets replaced.
    pub(crate) fn config_shown(&self) -> Result<ConfigFile, Problem> {
        let engine = self.engine()?;
        let mut file = engine.config().file.clone();
        for doc in &mut file.connection {
            hide(doc, engine.registry());
        }
        Ok(file)
    }

    /// Applies a file, or says what it would change.
    pub(crate) fn apply(&self, file: ConfigFile, who: &str, dry_run: bool) -> Result<Applied, Problem> {
        let _one = self.editing();
        self.apply_held(file, who, dry_run)
    }

    /// The same, for who holds [`App::editing`].
    pub(crate) fn apply_held(&self, mut file: ConfigFile, who: &str, dry_run: bool) -> Result<Applied, Problem> {
        let engine = self.engine()?;
        let config = engine.config();
        for doc in &mut file.connection {
            restore(doc, config.connection(&doc.name).map(|c| &c.doc), engine.registry())?;
        }
        let mut applied = engine.apply(&file, who, dry_run)?;
        for change in &mut applied.changes {
            // A difference of settings shows them whole; which keys changed is enough where one is a secret.
            if change.section == "connection" {
                change.details.retain_mut(|detail| {
                    if detail.starts_with("settings: ") || detail.starts_with("proxy: ") {
                        detail.truncate(detail.find(": ").unwrap_or(detail.len()));
                        detail.push_str(" changed");
                    }
                    true
                });
            }
        }
        if !dry_run && !applied.changes.is_empty() {
            self.reconfigured();
        }
        Ok(applied)
    }
}

/// The secret settings of a connection that hold something.
fn secrets<'d>(doc: &'d mut ConnectionDoc, registry: &Registry) -> Vec<(String, &'d mut Value)> {
    let Some(connector) = registry.get(&doc.connector) else { return Vec::new() };
    let Some(settings) = doc.settings.as_object_mut() else { return Vec::new() };
    let manifest = connector.manifest();
    let is_secret = |key: &str| {
        manifest.settings.iter().any(|setting| setting.key == key && setting.value_type == SettingType::Secret)
    };
    settings.iter_mut().filter(|(key, _)| is_secret(key)).map(|(key, value)| (key.clone(), value)).collect()
}

/// A proxy's address without its credentials.
fn bare_proxy(proxy: &str) -> String {
    match (proxy.find("://"), proxy.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}://{SET}@{}", &proxy[..scheme], &proxy[at + 1..]),
        (None, Some(at)) => format!("{SET}@{}", &proxy[at + 1..]),
        _ => proxy.to_owned(),
    }
}

fn hide(doc: &mut ConnectionDoc, registry: &Registry) {
    if let Some(proxy) = &mut doc.proxy {
        *proxy = bare_proxy(proxy);
    }
    for (_, value) in secrets(doc, registry) {
        // A reference says where the secret is, not what it is.
        if !value.as_str().is_some_and(Secret::is_reference) {
            *value = SET.into();
        }
    }
}

/// Puts secrets back where a place holder stands.
fn restore(doc: &mut ConnectionDoc, old: Option<&ConnectionDoc>, registry: &Registry) -> Result<(), Problem> {
    let same_place =
        old.is_some_and(|old| old.connector == doc.connector && addresses(old, registry) == addresses(doc, registry));
    let name = doc.name.clone();
    let again = |key: &str| {
        let why = "the connection is new or goes elsewhere now";
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("connection \"{name}\", settings.{key}: give the secret again: {why}"),
        )
    };
    if let Some(proxy) = doc.proxy.as_mut().filter(|proxy| proxy.contains(SET)) {
        match old.and_then(|old| old.proxy.as_ref()).filter(|old| bare_proxy(old) == *proxy) {
            Some(old) => old.clone_into(proxy),
            None => {
                let detail = format!("connection \"{name}\", proxy: give its credentials again");
                return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail));
            }
        }
    }
    for (key, value) in secrets(doc, registry) {
        if value.as_str() == Some(SET) {
            let kept = old.filter(|_| same_place).and_then(|old| old.settings.get(&key));
            *value = kept.cloned().ok_or_else(|| again(&key))?;
        }
    }
    Ok(())
}

/// Where a connection goes: its settings that are addresses, say where or hold one, and the proxy on the way.
fn addresses(doc: &ConnectionDoc, registry: &Registry) -> Vec<(String, Value)> {
    let Some(connector) = registry.get(&doc.connector) else { return Vec::new() };
    let mut out = Vec::new();
    for setting in connector.manifest().settings.iter().filter(|setting| setting.value_type != SettingType::Secret) {
        let value = doc.settings.get(&setting.key).cloned().unwrap_or_default();
        // Texts may be addresses too: a feed's is one, or a path, or a pattern.
        let says_where = ["url", "host", "server", "address"].iter().any(|word| setting.key.contains(word));
        if setting.value_type == SettingType::Url || says_where || value.to_string().contains("://") {
            out.push((setting.key.clone(), value));
        }
    }
    out.push(("proxy".to_owned(), doc.proxy.as_deref().map(bare_proxy).into()));
    out
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
