//! Addresses and networks: dotted decimal, RFC 5952, host bits cleared, nothing else.

use super::{IndicatorKey, IndicatorKind, Parsed, Reason};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Widest IPv4 network that is taken.
pub const WIDEST_V4: u8 = 8;
/// Widest IPv6 network that is taken.
pub const WIDEST_V6: u8 = 19;

/// Plain dotted decimal, at most 15 characters. Octal, hexadecimal and short forms are None.
pub(super) fn dotted(text: &str) -> Option<Ipv4Addr> {
    let bytes = text.as_bytes();
    if !(7..=15).contains(&bytes.len()) {
        return None;
    }
    let mut octets = [0u8; 4];
    let (mut octet, mut value, mut digits) = (0usize, 0u16, 0u8);
    for &b in bytes {
        match b {
            b'0'..=b'9' => {
                // A leading zero is octal to some readers and decimal to others.
                if digits > 0 && value == 0 {
                    return None;
                }
                value = value * 10 + u16::from(b - b'0');
                digits += 1;
                if value > 255 {
                    return None;
                }
            }
            b'.' if digits > 0 && octet < 3 => {
                octets[octet] = value as u8;
                octet += 1;
                (value, digits) = (0, 0);
            }
            _ => return None,
        }
    }
    if octet != 3 || digits == 0 {
        return None;
    }
    octets[3] = value as u8;
    Some(octets.into())
}

/// A number of 0 to 65535 in plain digits.
pub(super) fn port(text: &str) -> Result<u16, Reason> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Reason::BadPort);
    }
    text.parse().map_err(|_| Reason::BadPort)
}

/// Reads a refanged address, network, `v4:port` or `[v6]:port`. The text decides the kind, whatever address kind was
/// hinted: feeds mix them in one column.
pub(super) fn address(text: &str) -> Result<Parsed, Reason> {
    if dotted(text).is_some() {
        return Ok(Parsed::plain(IndicatorKind::Ipv4, text.into()));
    }
    if let Some((base, prefix)) = text.split_once('/') {
        return network(base, prefix);
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (inner, after) = rest.split_once(']').ok_or(Reason::BadAddress)?;
        let address = v6(inner)?;
        let mut parsed = Parsed::of(single(address));
        if !after.is_empty() {
            parsed.port = Some(port(after.strip_prefix(':').ok_or(Reason::BadAddress)?)?);
        }
        return Ok(parsed);
    }
    if let Some((base, after)) = text.split_once(':')
        && !after.contains(':')
    {
        let address = dotted(base).ok_or(numeric(base))?;
        return Ok(Parsed { port: Some(port(after)?), ..Parsed::of(single(IpAddr::V4(address))) });
    }
    if text.contains(':') { Ok(Parsed::of(single(v6(text)?))) } else { Err(numeric(text)) }
}

/// Numbers in another notation deserve another word than plain nonsense.
fn numeric(text: &str) -> Reason {
    let numeric = !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b'.' | b'x' | b'X'));
    if numeric && text.bytes().any(|b| b.is_ascii_digit()) { Reason::NumericHost } else { Reason::BadAddress }
}

/// An IPv6 address; a v4-mapped one is the IPv4 address.
fn v6(text: &str) -> Result<IpAddr, Reason> {
    let address: Ipv6Addr = text.parse().map_err(|_| Reason::BadAddress)?;
    Ok(address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4))
}

fn single(address: IpAddr) -> IndicatorKey {
    match address {
        IpAddr::V4(a) => IndicatorKey::from_stored(IndicatorKind::Ipv4, a.to_string()),
        IpAddr::V6(a) => IndicatorKey::from_stored(IndicatorKind::Ipv6, a.to_string()),
    }
}

fn network(base: &str, prefix: &str) -> Result<Parsed, Reason> {
    let v4 = dotted(base);
    let v6: Option<Ipv6Addr> = if v4.is_none() { base.parse().ok() } else { None };
    if v4.is_none() && v6.is_none() {
        return Err(numeric(base));
    }
    let canonical =
        matches!(prefix.as_bytes(), [b'0'..=b'9'] | [b'1'..=b'9', b'0'..=b'9'] | [b'1', b'0'..=b'9', b'0'..=b'9']);
    if !canonical {
        return Err(Reason::BadPrefix);
    }
    let mut len: u8 = prefix.parse().map_err(|_| Reason::BadPrefix)?;
    let v4 = match (v4, v6.and_then(|a| a.to_ipv4_mapped())) {
        (Some(a), _) => Some(a),
        (None, Some(mapped)) => {
            if len > 128 {
                return Err(Reason::BadPrefix);
            }
            // Anything wider holds all of IPv4.
            len = len.checked_sub(96).ok_or(Reason::TooBroad)?;
            Some(mapped)
        }
        (None, None) => None,
    };
    let key = match (v4, v6) {
        (Some(a), _) if len == 32 => single(IpAddr::V4(a)),
        (Some(a), _) => {
            let net = Ipv4Net::new(a, len).map_err(|_| Reason::BadPrefix)?;
            if len < WIDEST_V4 {
                return Err(Reason::TooBroad);
            }
            IndicatorKey::from_stored(IndicatorKind::Ipv4Net, net.trunc().to_string())
        }
        (None, Some(a)) if len == 128 => single(IpAddr::V6(a)),
        (None, Some(a)) => {
            let net = Ipv6Net::new(a, len).map_err(|_| Reason::BadPrefix)?;
            if len < WIDEST_V6 {
                return Err(Reason::TooBroad);
            }
            IndicatorKey::from_stored(IndicatorKind::Ipv6Net, net.trunc().to_string())
        }
        (None, None) => return Err(Reason::BadAddress),
    };
    Ok(Parsed::of(key))
}

/// The address or network of a key of the four address kinds, a single address as /32 or /128. None for other kinds.
pub fn key_net(key: &IndicatorKey) -> Option<IpNet> {
    match key.kind() {
        IndicatorKind::Ipv4 => dotted(key.value()).map(|a| IpNet::from(IpAddr::V4(a))),
        IndicatorKind::Ipv6 => key.value().parse().ok().map(|a: Ipv6Addr| IpNet::from(IpAddr::V6(a))),
        IndicatorKind::Ipv4Net | IndicatorKind::Ipv6Net => key.value().parse().ok(),
        _ => None,
    }
}
