//! The hosts this exchange itself needs: nobody's feed may block them, or it would cut the exchange off from its sources,
//! its destinations, or the people it tells.

use crate::config::{Config, addresses};
use intel::key::{Reason, Rejection, is_icann_suffix};
use intel::{IndicatorKey, IndicatorKind};
use serde_json::Value;

/// A value of the operator's that is to be guarded, or excepted: what `auto` takes, and names of inner networks
/// (`vpn.corp.internal`), which no public list knows.
///
/// # Errors
/// Why it is no value.
pub(crate) fn guarded_value(text: &str) -> Result<IndicatorKey, Rejection> {
    match IndicatorKey::parse(None, text) {
        Err(rejection) if rejection.reason == Reason::UnknownSuffix => {
            IndicatorKey::parse(Some(IndicatorKind::Domain), text).map_err(|_| rejection)
        }
        parsed => parsed,
    }
}

/// Hosts as the guard takes them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Hosts {
    /// With what lies below them.
    pub(super) keys: Vec<IndicatorKey>,
    /// A bare name that is also a top-level domain: it stands for itself only.
    pub(super) exact: Vec<Box<str>>,
}

/// The hosts of every connection, their proxies, every tenant's addresses, every channel through which people are told, every provider they sign in at,
/// and this exchange's own address.
pub(super) fn own(config: &Config) -> Hosts {
    let mut texts: Vec<String> = Vec::new();
    for connection in config.connections.values() {
        texts.extend(connection.open.hosts());
        texts.extend(connection.doc.proxy.clone());
    }
    for tenant in &config.file.tenant {
        texts.extend(tenant.proxy.clone());
        texts.extend(called(&tenant.settings));
    }
    for channel in &config.file.notify {
        texts.extend(called(&channel.settings));
    }
    for provider in &config.file.provider {
        texts.push(provider.issuer.clone());
        texts.extend(provider.proxy.clone());
    }
    texts.extend(config.public_url.clone());
    let mut hosts = Hosts::default();
    for text in texts {
        let host = host_of(&text);
        let bare = !host.contains(['.', ':']);
        match guarded_value(&host) {
            Ok(key) => hosts.keys.push(key),
            Err(_) if bare && is_icann_suffix(&host) => hosts.exact.push(host.into()),
            // `http://siem/` is a host of an inner network.
            Err(_) if bare && is_label(&host) => {
                hosts.keys.push(IndicatorKey::from_stored(IndicatorKind::Domain, host));
            }
            Err(_) => {}
        }
    }
    hosts.keys.sort();
    hosts.keys.dedup();
    hosts.exact.sort();
    hosts.exact.dedup();
    hosts
}

/// Where settings lead. A secret that is an address leads there too; only its host is taken.
fn called(settings: &Value) -> impl Iterator<Item = String> {
    addresses(settings, &|_| false).into_iter().map(|(_, at)| at)
}

/// The host in an address, or in `host:port`, or what is a host already; lower case, an IPv6 address without brackets.
fn host_of(text: &str) -> String {
    let text = text.trim();
    let host = match url::Url::parse(text) {
        Ok(url) if text.contains("://") => url.host_str().unwrap_or_default().to_owned(),
        _ => match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') && port.bytes().all(|b| b.is_ascii_digit()) => host.to_owned(),
            _ => text.to_owned(),
        },
    };
    host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase()
}

fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_what_is_configured() {
        for (text, host) in [
            ("https://user:secret@API.Example.org:8443/v2?x=1", "api.example.org"),
            ("http://[2001:db8::1]:3128", "2001:db8::1"),
            ("socks5://proxy.corp.internal:1080", "proxy.corp.internal"),
            ("mail.example.", "mail.example"),
            ("logs.example:6514", "logs.example"),
            ("192.0.2.7", "192.0.2.7"),
            ("2001:db8::1", "2001:db8::1"),
            ("siem", "siem"),
        ] {
            assert_eq!(host_of(text), host, "{text}");
        }
    }

    #[test]
    fn names_of_inner_networks_can_be_guarded() {
        assert_eq!(guarded_value("VPN.corp.internal.").unwrap().value(), "vpn.corp.internal");
        assert_eq!(guarded_value("192.0.2.0/24").unwrap().kind(), IndicatorKind::Ipv4Net);
        assert_eq!(guarded_value("co.uk").unwrap_err().reason, Reason::TooBroad);
        assert!(guarded_value("a b").is_err());
    }
}
