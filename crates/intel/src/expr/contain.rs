//! What lies within what, prepared for asking many times: addresses in networks, names below domains, and what stands
//! at a name or address.
//!
//! `under`, `covers` and the values of an exception all mean the relation of [`crate::key::covers`]. Here it is asked of
//! stored parts instead of whole keys, and turned round into look-ups.

use crate::key::{IndicatorKey, IndicatorKind, is_under, key_net, url_host};
use ipnet::IpNet;
use std::net::IpAddr;

/// Where a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place<'a> {
    /// At a name.
    Name(&'a str),
    /// In a network; an address is one of full length.
    Net(IpNet),
    /// Nowhere: a hash, a file name.
    Nowhere,
}

impl<'a> Place<'a> {
    /// Where a canonical key stands: a URL at its host, an email at its domain.
    pub(crate) fn of(kind: IndicatorKind, value: &'a str) -> Place<'a> {
        match kind {
            IndicatorKind::Domain => Place::Name(value),
            IndicatorKind::Email => value.rsplit_once('@').map_or(Place::Nowhere, |(_, domain)| Place::Name(domain)),
            IndicatorKind::Ipv4 | IndicatorKind::Ipv6 => {
                value.parse::<IpAddr>().map_or(Place::Nowhere, |address| Place::Net(address.into()))
            }
            IndicatorKind::Ipv4Net | IndicatorKind::Ipv6Net => value.parse().map_or(Place::Nowhere, Place::Net),
            IndicatorKind::Url => match url_host(value) {
                None => Place::Nowhere,
                // Only an address ends in a digit or has a colon; for all others the attempt is saved.
                Some(host) if host.ends_with(|c: char| c.is_ascii_digit()) || host.contains(':') => host
                    .parse::<IpAddr>()
                    .map_or(Place::Name(host), |address| Place::Net(address.to_canonical().into())),
                Some(host) => Place::Name(host),
            },
            _ => Place::Nowhere,
        }
    }
}

/// A domain, address or network that other keys may lie in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    key: IndicatorKey,
    /// None: a domain.
    net: Option<IpNet>,
}

impl Scope {
    /// None if nothing lies within keys of this kind.
    pub fn new(key: IndicatorKey) -> Option<Scope> {
        let net = key_net(&key);
        (net.is_some() || key.kind() == IndicatorKind::Domain).then_some(Scope { key, net })
    }

    /// The key itself.
    pub fn key(&self) -> &IndicatorKey {
        &self.key
    }

    /// Whether keys of this kind can lie in it; of other kinds none does.
    pub fn reaches(&self, kind: IndicatorKind) -> bool {
        use IndicatorKind::*;
        match self.net {
            None => matches!(kind, Domain | Url | Email),
            Some(IpNet::V4(_)) => matches!(kind, Ipv4 | Ipv4Net | Url),
            Some(IpNet::V6(_)) => matches!(kind, Ipv6 | Ipv6Net | Url),
        }
    }

    /// Whether a canonical key is this one or lies within it: a subdomain; an email at, or a URL whose host is, the
    /// domain or a subdomain; an address or a narrower network; a URL whose host is an address in it.
    pub fn holds(&self, kind: IndicatorKind, value: &str) -> bool {
        if !self.reaches(kind) {
            return false;
        }
        match (self.net, Place::of(kind, value)) {
            (None, Place::Name(name)) => is_under(name, self.key.value()),
            (Some(outer), Place::Net(inner)) => outer.contains(&inner),
            _ => false,
        }
    }
}

/// Every key that covers this one, itself first, then from the narrowest: for finding them by look-up instead of
/// asking each. At most 130, or one per label.
pub fn containers(key: &IndicatorKey) -> Vec<IndicatorKey> {
    let mut out = vec![key.clone()];
    match Place::of(key.kind(), key.value()) {
        Place::Name(name) => out.extend(
            parents(name).map(|name| IndicatorKey::from_stored(IndicatorKind::Domain, name)).filter(|k| k != key),
        ),
        Place::Net(net) => out.extend(wider(net).map(net_key).filter(|k| k != key)),
        Place::Nowhere => {}
    }
    out
}

/// The key of a network: of an address where it has full length.
fn net_key(net: IpNet) -> IndicatorKey {
    use IndicatorKind::*;
    let whole = net.prefix_len() == net.max_prefix_len();
    let kind = match (net, whole) {
        (IpNet::V4(_), true) => Ipv4,
        (IpNet::V4(_), false) => Ipv4Net,
        (IpNet::V6(_), true) => Ipv6,
        (IpNet::V6(_), false) => Ipv6Net,
    };
    IndicatorKey::from_stored(kind, if whole { net.addr().to_string() } else { net.to_string() })
}

/// A name, then what is left of it label by label.
pub(crate) fn parents(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |name| name.split_once('.').map(|(_, rest)| rest))
}

/// A network, then each that is one bit wider.
fn wider(net: IpNet) -> impl Iterator<Item = IpNet> {
    std::iter::successors(Some(net.trunc()), IpNet::supernet)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::covers;
    use IndicatorKind::*;

    fn key(kind: IndicatorKind, value: &str) -> IndicatorKey {
        IndicatorKey::from_stored(kind, value)
    }

    #[test]
    fn what_lies_within_what() {
        for (outer, inner, expect) in [
            ((Domain, "evil.example"), (Domain, "evil.example"), true),
            ((Domain, "evil.example"), (Domain, "a.b.evil.example"), true),
            ((Domain, "evil.example"), (Domain, "notevil.example"), false),
            ((Domain, "a.evil.example"), (Domain, "evil.example"), false),
            ((Domain, "evil.example"), (Url, "http://evil.example/x"), true),
            ((Domain, "evil.example"), (Url, "https://a.evil.example:8443/x"), true),
            ((Domain, "evil.example"), (Url, "http://good.example/evil.example"), false),
            ((Domain, "evil.example"), (Url, "http://good.example/?u=http://evil.example"), false),
            ((Domain, "evil.example"), (Email, "x@mail.evil.example"), true),
            ((Domain, "evil.example"), (Email, "evil.example@good.example"), false),
            ((Domain, "evil.example"), (Filename, "evil.example"), false),
            ((Ipv4Net, "10.0.0.0/8"), (Ipv4, "10.1.2.3"), true),
            ((Ipv4Net, "10.0.0.0/8"), (Ipv4, "11.1.2.3"), false),
            ((Ipv4Net, "10.0.0.0/8"), (Ipv4Net, "10.1.0.0/16"), true),
            ((Ipv4Net, "10.0.0.0/8"), (Ipv4Net, "10.0.0.0/8"), true),
            ((Ipv4Net, "10.0.0.0/8"), (Ipv4Net, "10.0.0.0/7"), false),
            ((Ipv4Net, "10.0.0.0/8"), (Url, "http://10.1.2.3:8080/x"), true),
            ((Ipv4Net, "10.0.0.0/8"), (Url, "http://10.1.2.3.example/x"), false),
            ((Ipv4Net, "0.0.0.0/0"), (Ipv6, "::1"), false),
            ((Ipv4, "10.1.2.3"), (Url, "http://10.1.2.3/x"), true),
            ((Ipv4, "10.1.2.3"), (Ipv4Net, "10.1.2.0/24"), false),
            ((Ipv6Net, "2001:db8::/32"), (Ipv6, "2001:db8:1::1"), true),
            ((Ipv6Net, "2001:db8::/32"), (Ipv6, "2001:db9::1"), false),
            ((Ipv6Net, "2001:db8::/32"), (Url, "http://[2001:db8::1]:8080/x"), true),
            ((Ipv6Net, "::/0"), (Ipv4, "1.2.3.4"), false),
            ((Url, "http://evil.example/"), (Url, "http://evil.example/"), true),
            ((Url, "http://evil.example/"), (Url, "http://evil.example/x"), false),
            ((Url, "http://10.1.2.3/"), (Ipv4, "10.1.2.3"), false),
            ((Md5, "x"), (Md5, "x"), true),
        ] {
            let (outer, inner) = (key(outer.0, outer.1), key(inner.0, inner.1));
            assert_eq!(covers(&outer, &inner), expect, "{outer:?} {inner:?}");
            if let Some(scope) = Scope::new(outer.clone()) {
                assert_eq!(scope.holds(inner.kind(), inner.value()), expect, "scope: {outer:?} {inner:?}");
            }
            assert_eq!(containers(&inner).contains(&outer), expect, "look-up: {outer:?} {inner:?}");
        }
    }

    #[test]
    fn containers_come_narrowest_first() {
        let names = |k| containers(&k).into_iter().map(|k| k.value().to_owned()).collect::<Vec<_>>();
        assert_eq!(
            names(key(Url, "http://a.evil.example:1/")),
            ["http://a.evil.example:1/", "a.evil.example", "evil.example", "example"]
        );
        let nets = names(key(Ipv4, "10.1.2.3"));
        assert_eq!((nets.len(), &*nets[0], &*nets[1], &*nets[32]), (33, "10.1.2.3", "10.1.2.2/31", "0.0.0.0/0"));
        assert_eq!(containers(&key(Ipv6, "::1")).len(), 129);
    }
}
