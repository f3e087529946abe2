//! The guard lists that come with the binary, made by `cargo xtask guard` from the sources in `crates/engine/guard`.

use intel::guard::{GuardClass, GuardList};
use intel::{IndicatorKey, IndicatorKind};
use std::net::IpAddr;

/// A list that comes with the binary.
#[derive(Debug, Clone, Copy)]
pub struct Shipped {
    /// `shipped:` and what it is called.
    pub name: &'static str,
    text: &'static str,
}

macro_rules! shipped {
    ($($name:literal),+ $(,)?) => {
        /// Every shipped list but the reserved ranges, which are code.
        pub const SHIPPED: &[Shipped] = &[$(Shipped {
            name: concat!("shipped:", $name),
            text: include_str!(concat!("../../guard/lists/", $name, ".txt")),
        }),+];
    };
}

shipped!(
    "resolvers",
    "name-servers",
    "updates",
    "authorities",
    "time",
    "kill-switches",
    "popular-domains",
    "hosting",
    "clouds",
    "files",
    "sinkholes",
);

impl Shipped {
    /// What is on it, in words.
    pub fn about(&self) -> &'static str {
        self.text.lines().next().map_or("", |line| line.trim_start_matches("# "))
    }

    /// The class it has unless the operator says otherwise.
    pub fn class(&self) -> GuardClass {
        self.head("# class: ").and_then(GuardClass::parse).unwrap_or(GuardClass::Lifeline)
    }

    /// The day of its newest source, `2026-08-11`.
    pub fn date(&self) -> &'static str {
        self.head("# date: ").unwrap_or_default()
    }

    fn head(&self, key: &str) -> Option<&'static str> {
        self.text.lines().take_while(|line| line.starts_with('#')).find_map(|line| line.strip_prefix(key))
    }

    /// Its values. They were made canonical when the list was made; a test holds them to it.
    pub fn values(&self) -> impl Iterator<Item = &'static str> {
        self.text.lines().filter(|line| !line.starts_with('#'))
    }

    /// As the guard takes it.
    pub fn list(&self, class: GuardClass) -> GuardList {
        let mut keys = Vec::with_capacity(self.text.len() / 12);
        for value in self.values() {
            let key = key(value);
            // Nobody's attack is at `www.` of a popular name and not at the name: they are one place.
            if class == GuardClass::Popular && key.kind() == IndicatorKind::Domain && !value.starts_with("www.") {
                keys.push(IndicatorKey::from_stored(IndicatorKind::Domain, format!("www.{value}")));
            }
            keys.push(key);
        }
        GuardList { private_suffixes: self.name == "shipped:hosting", ..GuardList::new(self.name, class, keys) }
    }
}

/// A canonical value of a list, whose kind can be seen.
fn key(value: &str) -> IndicatorKey {
    let (address, net) = value.split_once('/').map_or((value, false), |(address, _)| (address, true));
    let kind = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => [IndicatorKind::Ipv4, IndicatorKind::Ipv4Net][usize::from(net)],
        Ok(IpAddr::V6(_)) => [IndicatorKind::Ipv6, IndicatorKind::Ipv6Net][usize::from(net)],
        Err(_) if value.contains('.') => IndicatorKind::Domain,
        Err(_) => match value.len() {
            32 => IndicatorKind::Md5,
            40 => IndicatorKind::Sha1,
            64 => IndicatorKind::Sha256,
            _ => IndicatorKind::Sha512,
        },
    };
    IndicatorKey::from_stored(kind, value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use intel::key::Reason;

    #[test]
    fn every_shipped_value_is_canonical() {
        for shipped in SHIPPED {
            assert!(!shipped.about().is_empty() && !shipped.date().is_empty(), "{}: no head", shipped.name);
            assert!(shipped.head("# class: ").and_then(GuardClass::parse).is_some(), "{}: no class", shipped.name);
            let mut wrong = Vec::new();
            for value in shipped.values() {
                let written = key(value);
                match IndicatorKey::parse(Some(written.kind()), value) {
                    Ok(parsed) if parsed == written => {}
                    // Suffixes and networks too wide are no indicators; their parents and parts are.
                    Err(error) if matches!(error.reason, Reason::TooBroad | Reason::EmptyHash) => {}
                    other => wrong.push(format!("{value}: {other:?}")),
                }
            }
            assert!(wrong.is_empty(), "{}: {wrong:?}", shipped.name);
        }
    }
}
