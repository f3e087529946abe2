//! Identity: one canonical key, or a counted rejection.
//!
//! Different spellings of one thing give one key, and a canonical value parses to itself. What cannot be given one
//! canonical form is rejected with a reason a person can read; nothing is guessed and nothing is widened.

mod host;
mod net;
mod refang;
mod rejection;
mod text;
mod url;

pub use host::{is_icann_suffix, is_private_suffix, is_under, public_suffix, registrable};
pub use net::{WIDEST_V4, WIDEST_V6, key_net};
pub(crate) use refang::{Lead, is_blank, lead, refang, token, web_scheme};
pub use rejection::{Reason, Rejection};
pub use url::url_host;

use std::fmt;
use std::net::IpAddr;

/// Longest value taken, in bytes, before and after canonicalisation.
pub const VALUE_BYTES: usize = 8192;

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $text:literal),+ $(,)?) => {
        /// What sort of thing an indicator is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum IndicatorKind { $($(#[$doc])* $variant),+ }

        impl IndicatorKind {
            /// Every kind, in the order of its number.
            pub const ALL: &'static [IndicatorKind] = &[$(IndicatorKind::$variant),+];

            /// The name used in rules, files, tables and the API.
            pub const fn as_str(self) -> &'static str {
                match self { $(IndicatorKind::$variant => $text),+ }
            }

            /// Reads the name. None if it is not one.
            pub fn from_name(text: &str) -> Option<IndicatorKind> {
                match text { $($text => Some(IndicatorKind::$variant),)+ _ => None }
            }
        }
    };
}

kinds! {
    /// A web address with path and query, never widened to its host.
    Url = "url",
    /// Any DNS name.
    Domain = "domain",
    /// One IPv4 address, dotted decimal.
    Ipv4 = "ipv4",
    /// One IPv6 address, RFC 5952.
    Ipv6 = "ipv6",
    /// An IPv4 network, host bits cleared.
    Ipv4Net = "ipv4_net",
    /// An IPv6 network, host bits cleared.
    Ipv6Net = "ipv6_net",
    /// A mailbox.
    Email = "email",
    /// MD5 of a file.
    Md5 = "md5",
    /// SHA-1 of a file.
    Sha1 = "sha1",
    /// SHA-256 of a file.
    Sha256 = "sha256",
    /// SHA-512 of a file.
    Sha512 = "sha512",
    /// JA3 client fingerprint.
    Ja3 = "ja3",
    /// JA4 client fingerprint.
    Ja4 = "ja4",
    /// Autonomous system, `AS123`.
    Asn = "asn",
    /// A file name.
    Filename = "filename",
    /// SHA-1 fingerprint of a certificate.
    CertSha1 = "cert_sha1",
    /// SHA-256 fingerprint of a certificate.
    CertSha256 = "cert_sha256",
    /// A mutex name.
    Mutex = "mutex",
    /// An HTTP user agent.
    UserAgent = "user_agent",
}

impl fmt::Display for IndicatorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl IndicatorKind {
    /// The kind with this number (`kind as u8`). None if there is none.
    pub fn from_number(number: u8) -> Option<IndicatorKind> {
        IndicatorKind::ALL.get(usize::from(number)).copied()
    }
}

/// A canonical key. It exists only in canonical form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IndicatorKey {
    kind: IndicatorKind,
    value: Box<str>,
}

impl IndicatorKey {
    /// What sort of thing.
    pub fn kind(&self) -> IndicatorKind {
        self.kind
    }

    /// The canonical value.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// A key that was canonical when it was stored: taken as it is, never judged again, so that a stricter parser
    /// does not lose what an older one accepted.
    pub fn from_stored(kind: IndicatorKind, value: impl Into<Box<str>>) -> IndicatorKey {
        IndicatorKey { kind, value: value.into() }
    }

    /// One canonical key, or why there is none. Without a hint the value speaks for itself; of the hints, those of the
    /// four address kinds are one: the text decides which it is.
    pub fn parse(hint: Option<IndicatorKind>, raw: &str) -> Result<IndicatorKey, Rejection> {
        IndicatorKey::parse_noted(hint, raw).map(|parsed| parsed.key)
    }

    /// As [`IndicatorKey::parse`], with what was noticed on the way.
    pub fn parse_noted(hint: Option<IndicatorKind>, raw: &str) -> Result<Parsed, Rejection> {
        canonical(hint, raw).map_err(|reason| Rejection::new(reason, hint, raw))
    }
}

/// A key, and what its spelling said besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// The one key.
    pub key: IndicatorKey,
    /// The port written after an address (`1.2.3.4:443`) or, in prose, after a name. A URL keeps its port itself.
    pub port: Option<u16>,
    /// The URL had no scheme and was taken for http.
    pub scheme_assumed: bool,
    /// The URL held a user name or password, which is not part of the key.
    pub user_info_dropped: bool,
}

impl Parsed {
    fn of(key: IndicatorKey) -> Parsed {
        Parsed { key, port: None, scheme_assumed: false, user_info_dropped: false }
    }

    fn plain(kind: IndicatorKind, value: Box<str>) -> Parsed {
        Parsed::of(IndicatorKey { kind, value })
    }
}

fn canonical(hint: Option<IndicatorKind>, raw: &str) -> Result<Parsed, Reason> {
    use IndicatorKind::*;
    let text = refang::peel(raw)?;
    if text.is_empty() {
        return Err(Reason::Empty);
    }
    if text.len() > VALUE_BYTES {
        return Err(Reason::TooLong);
    }
    if is_everything(text.as_bytes()) {
        return Err(Reason::TooBroad);
    }
    let parsed = match hint {
        None => auto(text),
        Some(Url) => url::url(text, true),
        Some(Domain) => domain(&refang(text), false),
        Some(Ipv4 | Ipv6 | Ipv4Net | Ipv6Net) => net::address(&refang(text)),
        Some(Email) => text::email(text),
        Some(kind @ (Md5 | Sha1 | Sha256 | Sha512 | Ja3 | CertSha1 | CertSha256)) => text::hash(kind, text),
        Some(Ja4) => text::ja4(text),
        Some(Asn) => text::asn(text, true),
        Some(kind @ (Filename | Mutex | UserAgent)) => text::line(kind, text),
    }?;
    // Percent-encoding and composition make values longer; the bound holds for what is kept.
    if parsed.key.value.len() > VALUE_BYTES { Err(Reason::TooLong) } else { Ok(parsed) }
}

/// `*`, `/`, `*.*`, `/4` and the like: patterns for everything.
fn is_everything(bytes: &[u8]) -> bool {
    let wild = |b: &u8| matches!(b, b'*' | b'/' | b'.' | b'?' | b'%');
    match bytes {
        [first, ..] if !wild(first) => false,
        [b'/', digits @ ..] if digits.len() <= 3 && digits.iter().all(u8::is_ascii_digit) => true,
        _ => bytes.iter().all(wild),
    }
}

/// The value speaks for itself. Most frequent first; each test is a look at a few bytes.
fn auto(text: &str) -> Result<Parsed, Reason> {
    let bytes = text.as_bytes();
    if let Some(kind) = text::hash_kind(bytes.len())
        && bytes.iter().all(u8::is_ascii_hexdigit)
    {
        return text::hash(kind, text);
    }
    if net::dotted(text).is_some() {
        return Ok(Parsed::plain(IndicatorKind::Ipv4, text.into()));
    }
    if lead(text) != Lead::Plain {
        return url::url(text, false);
    }
    let text = &*refang(text);
    let bytes = text.as_bytes();
    if net::dotted(text).is_some() {
        return Ok(Parsed::plain(IndicatorKind::Ipv4, text.into()));
    }
    // One look for the characters that no bare name has.
    if let Some(first) = memchr::memchr3(b'@', b'/', b':', bytes) {
        if memchr::memchr(b'@', bytes).is_some() {
            return if memchr::memchr(b'/', bytes).is_some() { Err(Reason::Unrecognised) } else { text::email(text) };
        }
        let parsed = net::address(text);
        return match (parsed, bytes[first]) {
            (Ok(parsed), _) => Ok(parsed),
            // A host and more: the address itself was good or nearly so, else it is a path nobody called a URL.
            (Err(reason @ (Reason::TooBroad | Reason::BadPrefix | Reason::BadPort)), _)
                if text.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b'.' | b':' | b'/')) =>
            {
                Err(reason)
            }
            (Err(_), b'/') => Err(Reason::NoScheme),
            (Err(reason), _) => {
                let (name, after) = (&text[..first], &text[first + 1..]);
                let port = !after.is_empty() && after.bytes().all(|b| b.is_ascii_digit());
                match host::name(name) {
                    Ok(_) if port => Err(Reason::HasPort),
                    Ok(_) if after.contains('/') => Err(Reason::NoScheme),
                    _ => Err(reason),
                }
            }
        };
    }
    if matches!(bytes, [b'a' | b'A', b's' | b'S', ..])
        && bytes.last().is_some_and(u8::is_ascii_digit)
        && let Ok(parsed) = text::asn(text, false)
    {
        return Ok(parsed);
    }
    domain(text, true).map_err(|reason| match reason {
        Reason::BadName | Reason::SingleLabel => Reason::Unrecognised,
        other => other,
    })
}

/// A name in canonical form, whatever it is: also a suffix, which is no indicator.
pub(crate) fn canonical_name(text: &str) -> Result<std::borrow::Cow<'_, str>, Reason> {
    host::name(text)
}

/// A refanged name.
fn domain(text: &str, icann: bool) -> Result<Parsed, Reason> {
    if net::dotted(text).is_some() {
        return Err(Reason::IsAddress);
    }
    if let Some(below) = text.strip_prefix("*.") {
        let broad = host::name(below).is_ok_and(|name| host::judge(&name, false) == Err(Reason::TooBroad));
        return Err(if broad { Reason::TooBroad } else { Reason::Wildcard });
    }
    let name = host::name(text).map_err(|reason| match (reason, text.rsplit_once(':')) {
        (Reason::BadName, Some((name, port))) if net::port(port).is_ok() && host::name(name).is_ok() => Reason::HasPort,
        (Reason::BadName, Some(_)) if net::address(text).is_ok() => Reason::IsAddress,
        (reason, _) => reason,
    })?;
    host::judge(&name, icann)?;
    Ok(Parsed::plain(IndicatorKind::Domain, name.into()))
}

/// Whether whoever names `outer` also means `inner`: the same key; an address or network within a network; a name at or
/// below a name; a URL whose host is at or below a name or within a network; a mailbox at or below a name.
pub fn covers(outer: &IndicatorKey, inner: &IndicatorKey) -> bool {
    use IndicatorKind::*;
    if outer == inner {
        return true;
    }
    match outer.kind {
        Domain => match inner.kind {
            Domain => is_under(&inner.value, &outer.value),
            Url => url_host(&inner.value).is_some_and(|host| is_under(host, &outer.value)),
            Email => inner.value.rsplit_once('@').is_some_and(|(_, domain)| is_under(domain, &outer.value)),
            _ => false,
        },
        Ipv4 | Ipv6 | Ipv4Net | Ipv6Net => {
            let within = match inner.kind {
                Ipv4 | Ipv6 | Ipv4Net | Ipv6Net => key_net(inner),
                Url => url_host(&inner.value)
                    .and_then(|host| host.parse::<IpAddr>().ok())
                    .map(|address| address.to_canonical().into()),
                _ => None,
            };
            matches!((key_net(outer), within), (Some(outer), Some(inner)) if outer.contains(&inner))
        }
        _ => false,
    }
}
