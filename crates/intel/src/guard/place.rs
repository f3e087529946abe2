//! What a key covers: a name with everything below it, a network, or a part of one.

use crate::key::{IndicatorKey, IndicatorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a key stands for when things are compared by what they cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent<'a> {
    /// All of a place: a domain, an address, a network, the URL of a bare host.
    Whole(Place<'a>),
    /// Something at a place: a URL with a path, a mailbox.
    Part(Place<'a>),
    /// Nothing that covers or is covered: a hash, a mutex.
    Alone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place<'a> {
    Name(&'a str),
    Net(Net),
}

/// A network, IPv4 in the low 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Net {
    pub(super) v4: bool,
    pub(super) low: u128,
    pub(super) len: u8,
}

impl Net {
    pub(super) fn of(address: IpAddr, len: Option<u8>) -> Net {
        match address {
            IpAddr::V4(v4) => {
                let len = len.unwrap_or(32).min(32);
                Net { v4: true, low: u128::from(u32::from(v4)) & mask(32, len), len }
            }
            IpAddr::V6(v6) => {
                let len = len.unwrap_or(128).min(128);
                Net { v4: false, low: u128::from(v6) & mask(128, len), len }
            }
        }
    }

    pub(super) fn bits(self) -> u8 {
        if self.v4 { 32 } else { 128 }
    }

    pub(super) fn high(self) -> u128 {
        self.low | (mask(self.bits(), self.bits()) & !mask(self.bits(), self.len))
    }
}

/// The `len` leading ones of `bits` bits.
pub(super) fn mask(bits: u8, len: u8) -> u128 {
    let all = u128::MAX >> (128 - bits);
    all & !(u128::MAX.checked_shr(u32::from(128 - bits + len)).unwrap_or(0))
}

pub(super) fn parse_net(text: &str) -> Option<Net> {
    match text.split_once('/') {
        Some((address, len)) => Some(Net::of(address.parse().ok()?, Some(len.parse().ok()?))),
        None => Some(Net::of(text.parse().ok()?, None)),
    }
}

impl<'a> Extent<'a> {
    pub(super) fn of(key: &'a IndicatorKey) -> Extent<'a> {
        use IndicatorKind as K;
        let value = key.value();
        match key.kind() {
            K::Domain => Extent::Whole(Place::Name(value)),
            K::Ipv4 => {
                value.parse::<Ipv4Addr>().map_or(Extent::Alone, |a| Extent::Whole(Place::Net(Net::of(a.into(), None))))
            }
            K::Ipv6 => {
                value.parse::<Ipv6Addr>().map_or(Extent::Alone, |a| Extent::Whole(Place::Net(Net::of(a.into(), None))))
            }
            K::Ipv4Net | K::Ipv6Net => parse_net(value).map_or(Extent::Alone, |net| Extent::Whole(Place::Net(net))),
            K::Email => value.rsplit_once('@').map_or(Extent::Alone, |(_, host)| Extent::Part(Place::Name(host))),
            K::Url => match url_parts(value) {
                Some((place, true)) => Extent::Whole(place),
                Some((place, false)) => Extent::Part(place),
                None => Extent::Alone,
            },
            _ => Extent::Alone,
        }
    }
}

impl Extent<'_> {
    /// The IPv4 address that is written as IPv6 (`::ffff:8.8.8.8`).
    pub(super) fn mapped(self) -> Option<Net> {
        let (Extent::Whole(Place::Net(net)) | Extent::Part(Place::Net(net))) = self else { return None };
        if net.v4 || net.len != 128 {
            return None;
        }
        Some(Net::of(Ipv6Addr::from(net.low).to_ipv4_mapped()?.into(), None))
    }
}

/// Where a canonical URL lies, and whether it is nothing but that host.
pub(super) fn url_parts(url: &str) -> Option<(Place<'_>, bool)> {
    let rest = url.split_once("://")?.1;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let place = if let Some(v6) = authority.strip_prefix('[') {
        Place::Net(Net::of(IpAddr::V6(v6.split(']').next()?.parse().ok()?), None))
    } else {
        let host = authority.split(':').next().filter(|host| !host.is_empty())?;
        match host.parse::<Ipv4Addr>() {
            Ok(v4) => Place::Net(Net::of(v4.into(), None)),
            Err(_) => Place::Name(host),
        }
    };
    Some((place, matches!(path, "" | "/")))
}

/// A name and every name above it, the nearest first.
pub(super) fn with_ancestors(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |name| name.split_once('.').map(|(_, parent)| parent))
}
