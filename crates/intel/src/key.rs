//! Identity: one canonical key, or a counted rejection.
//!
//! Different spellings of one thing give one key, and a canonical value parses to itself. What cannot be given one
//! canonical form is rejected with a reason a person can read; nothing is guessed and nothing is widened.

use std::fmt;

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
}
