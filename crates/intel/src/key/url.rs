//! URLs: the WHATWG serialisation without fragment, user info, default port and trailing dot.
//!
//! The authority is read here, strictly, because WHATWG is generous where an exchange must not be (`http://1.2/` is
//! an address to a browser). Path and query are WHATWG's: copied when nothing in them needs work, which is nearly
//! always, else given to the `url` crate.

use super::refang::{Lead, lead, refang};
use super::{IndicatorKind, Parsed, Reason, host, net};
use std::borrow::Cow;
use std::net::Ipv6Addr;

/// Reads a URL. Without a scheme, `assume` takes it for http.
pub(super) fn url(text: &str, assume: bool) -> Result<Parsed, Reason> {
    match lead(text) {
        Lead::Web(scheme, rest) => build(scheme, rest, false),
        Lead::Bare => Err(Reason::TooBroad),
        Lead::Broken => Err(Reason::BadUrl),
        Lead::Foreign => Err(Reason::UnsupportedScheme),
        Lead::Plain if assume => {
            // `//host/path` leaves the scheme open; `/path` has no host, and its first segment is not one.
            let rest = text.strip_prefix("//").unwrap_or(text);
            if rest.starts_with(['/', '\\', '?', '#']) {
                return Err(Reason::NoHost);
            }
            build("http", rest, true)
        }
        Lead::Plain => Err(Reason::NoScheme),
    }
}

fn build(scheme: &'static str, rest: &str, assumed: bool) -> Result<Parsed, Reason> {
    let end = authority_end(rest.as_bytes());
    let (authority, tail) = rest.split_at(end);
    if authority.is_empty() {
        let vague = tail.bytes().all(|b| matches!(b, b'/' | b'\\' | b'*' | b'?' | b'#' | b'.'));
        return Err(if vague { Reason::TooBroad } else { Reason::NoHost });
    }
    let (user_info, place) = match authority.rsplit_once('@') {
        // Without a scheme this is a mailbox with a path as likely as a login.
        Some(_) if assumed => return Err(Reason::BadUrl),
        Some((_, place)) => (true, place),
        None => (false, authority),
    };
    let place = refang(place);
    let (name, port) = split_port(&place)?;
    let default = match scheme {
        "http" => 80,
        "https" => 443,
        _ => 21,
    };
    let port = port.filter(|p| *p != default);

    let mut out = String::with_capacity(scheme.len() + 3 + place.len() + tail.len().max(1));
    out.push_str(scheme);
    out.push_str("://");
    push_host(&mut out, name, assumed)?;
    if let Some(port) = port {
        out.push(':');
        out.push_str(&port.to_string());
    }
    push_tail(&mut out, tail)?;
    Ok(Parsed {
        scheme_assumed: assumed,
        user_info_dropped: user_info,
        ..Parsed::plain(IndicatorKind::Url, out.into())
    })
}

/// Where path, query or fragment begins. A backslash ends the host as it does in browsers, unless it defangs.
fn authority_end(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(&b) = bytes.get(at) {
        match b {
            b'/' | b'?' | b'#' => return at,
            b'\\' if !matches!(bytes.get(at + 1), Some(b'.' | b'[' | b']' | b'(' | b')')) => return at,
            _ => at += 1,
        }
    }
    at
}

/// Host and port of a refanged authority. An empty port is none.
fn split_port(place: &str) -> Result<(&str, Option<u16>), Reason> {
    let (name, after) = if place.starts_with('[') {
        let close = place.find(']').ok_or(Reason::BadUrl)?;
        let (name, after) = place.split_at(close + 1);
        match after.strip_prefix(':') {
            Some(digits) => (name, digits),
            None if after.is_empty() => (name, after),
            None => return Err(Reason::BadUrl),
        }
    } else {
        place.split_once(':').unwrap_or((place, ""))
    };
    Ok((name, if after.is_empty() { None } else { Some(net::port(after)?) }))
}

fn push_host(out: &mut String, name: &str, assumed: bool) -> Result<(), Reason> {
    if let Some(inner) = name.strip_prefix('[') {
        let inner = inner.strip_suffix(']').ok_or(Reason::BadUrl)?;
        let address: Ipv6Addr = inner.parse().map_err(|_| Reason::BadAddress)?;
        out.push('[');
        match address.to_ipv4_mapped() {
            // WHATWG writes these without dots.
            Some(_) => {
                let [.., high, low] = address.segments();
                out.push_str(&format!("::ffff:{high:x}:{low:x}"));
            }
            None => out.push_str(&address.to_string()),
        }
        out.push(']');
        return Ok(());
    }
    let name = percent_decoded(name)?;
    let undotted = name.strip_suffix('.').unwrap_or(&name);
    if net::dotted(undotted).is_some() {
        out.push_str(undotted);
        return Ok(());
    }
    if name.is_empty() {
        return Err(Reason::NoHost);
    }
    if name.bytes().all(|b| matches!(b, b'*' | b'.')) {
        return Err(Reason::TooBroad);
    }
    let name = host::name(&name).map_err(|reason| match reason {
        Reason::BadName => Reason::BadUrl,
        other => other,
    })?;
    // One label after a scheme that somebody wrote is a host of some network; after one we made up it is any word.
    if assumed && !name.contains('.') {
        return Err(Reason::SingleLabel);
    }
    out.push_str(&name);
    Ok(())
}

/// `%65vil.com` is evil.com to a browser.
fn percent_decoded(name: &str) -> Result<Cow<'_, str>, Reason> {
    if memchr::memchr(b'%', name.as_bytes()).is_none() {
        return Ok(Cow::Borrowed(name));
    }
    let mut out = Vec::with_capacity(name.len());
    let mut bytes = name.bytes();
    while let Some(b) = bytes.next() {
        if b == b'%' {
            let hex = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16)).ok_or(Reason::BadUrl);
            out.push((hex(bytes.next())? * 16 + hex(bytes.next())?) as u8);
        } else {
            out.push(b);
        }
    }
    String::from_utf8(out).map(Cow::Owned).map_err(|_| Reason::BadUrl)
}

fn push_tail(out: &mut String, tail: &str) -> Result<(), Reason> {
    match tail_class(tail.as_bytes()) {
        Tail::Empty => out.push('/'),
        Tail::Plain => out.push_str(tail),
        Tail::Work => {
            if tail.chars().any(char::is_control) {
                return Err(Reason::ControlCharacter);
            }
            // Path and query are encoded alike under every scheme and host we take.
            let whole = ::url::Url::parse(&format!("http://h{tail}")).map_err(|_| Reason::BadUrl)?;
            out.push_str(&whole[::url::Position::BeforePath..::url::Position::AfterQuery]);
        }
    }
    Ok(())
}

enum Tail {
    Empty,
    Plain,
    Work,
}

/// Plain: begins with `/`, only characters that WHATWG keeps in both path and query, no dot segments.
fn tail_class(bytes: &[u8]) -> Tail {
    match bytes.first() {
        None => return Tail::Empty,
        Some(b'/') => {}
        Some(_) => return Tail::Work,
    }
    let mut previous = b'/';
    for (at, &b) in bytes.iter().enumerate() {
        let plain = PLAIN[usize::from(b)]
            && !(b == b'.' && previous == b'/')
            && !(b == b'%' && matches!(bytes.get(at + 1..at + 3), Some([b'2', b'e' | b'E'])));
        if !plain {
            return Tail::Work;
        }
        previous = b;
    }
    Tail::Plain
}

/// Kept by WHATWG as they are in path and query.
static PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let kept = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_~!$&()*+,;=:@%/.?";
    let mut at = 0;
    while at < kept.len() {
        table[kept[at] as usize] = true;
        at += 1;
    }
    table
};

/// The host of a canonical URL, an IPv6 address without its brackets. None if this is no such URL.
pub fn url_host(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    if let Some(inner) = rest.strip_prefix('[') {
        return inner.split_once(']').map(|(address, _)| address);
    }
    let end = rest.bytes().position(|b| matches!(b, b'/' | b':' | b'?')).unwrap_or(rest.len());
    rest.get(..end).filter(|host| !host.is_empty())
}
