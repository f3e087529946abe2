//! Which attribute types are indicators, and the other way round.

use intel::IndicatorKind;
use std::borrow::Cow;

/// A tag that says our kind where MISP has no type for it.
pub(super) const KIND_TAG: &str = "iocast:kind=";

/// Where in an attribute's value the indicator is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Where {
    /// All of it.
    Whole(IndicatorKind),
    /// Before the first bar.
    Before(IndicatorKind),
    /// After the last bar.
    After(IndicatorKind),
    /// An address, a bar, a port: the port is noted.
    AddressPort,
    /// A URL if it has a scheme; a part of one else.
    Uri,
}

/// What a value comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'v> {
    Is(IndicatorKind, Cow<'v, str>),
    Unmappable,
    Broken,
}

impl Where {
    pub(super) fn of(self, value: &str) -> Part<'_> {
        let is = |kind, value| Part::Is(kind, Cow::Borrowed(value));
        match self {
            Where::Whole(kind) => is(kind, value),
            Where::Before(kind) => match value.split_once('|') {
                Some((part, _)) => is(kind, part),
                None => Part::Broken,
            },
            Where::After(kind) => match value.rsplit_once('|') {
                Some((_, part)) => is(kind, part),
                None => Part::Broken,
            },
            Where::AddressPort => match value.split_once('|') {
                Some((address, port)) if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) => {
                    is(IndicatorKind::Ipv4, address)
                }
                Some((address, port)) if address.contains(':') => {
                    Part::Is(IndicatorKind::Ipv4, Cow::Owned(format!("[{address}]:{port}")))
                }
                Some((address, port)) => Part::Is(IndicatorKind::Ipv4, Cow::Owned(format!("{address}:{port}"))),
                None => Part::Broken,
            },
            Where::Uri if value.contains("://") => is(IndicatorKind::Url, value),
            Where::Uri => Part::Unmappable,
        }
    }
}

/// What an attribute of this type is; None for what is no indicator of ours. `relation` and `object` say what part of
/// which object it is.
pub(super) fn part(name: &str, relation: Option<&str>, object: Option<&str>, tags: &[String]) -> Option<Where> {
    use IndicatorKind::{
        Asn, CertSha1, CertSha256, Domain, Email, Filename, Ipv4, Ja3, Md5, Mutex, Sha1, Sha256, Sha512, Url, UserAgent,
    };
    use Where::{AddressPort, After, Before, Uri, Whole};
    // The hash of the certificate that signed an application is no hash of a file.
    let certificate = relation == Some("certificate") || matches!(object, Some("x509"));
    Some(match name {
        "md5" if certificate => return None,
        "sha1" if certificate => Whole(CertSha1),
        "sha256" if certificate => Whole(CertSha256),
        "sha512" if certificate => return None,
        "url" | "link" => Whole(Url),
        "uri" => Uri,
        "domain" | "hostname" => Whole(Domain),
        // One hint for all address kinds: the text decides which it is.
        "ip-src" | "ip-dst" => Whole(Ipv4),
        "ip-src|port" | "ip-dst|port" => AddressPort,
        "hostname|port" | "domain|ip" => Before(Domain),
        "email" | "email-src" | "email-dst" | "email-reply-to" => Whole(Email),
        "md5" => Whole(Md5),
        "sha1" => Whole(Sha1),
        "sha256" => Whole(Sha256),
        "sha512" => Whole(Sha512),
        "filename|md5" | "malware-sample" => After(Md5),
        "filename|sha1" => After(Sha1),
        "filename|sha256" => After(Sha256),
        "filename|sha512" => After(Sha512),
        "filename" => Whole(Filename),
        "ja3-fingerprint-md5" => Whole(Ja3),
        "x509-fingerprint-sha1" => Whole(CertSha1),
        "x509-fingerprint-sha256" => Whole(CertSha256),
        "AS" => Whole(Asn),
        "mutex" => Whole(Mutex),
        "user-agent" => Whole(UserAgent),
        "other" => {
            let kind = tags.iter().find_map(|tag| tag.strip_prefix(KIND_TAG))?;
            Whole(IndicatorKind::from_name(kind)?)
        }
        _ => return None,
    })
}

/// Whether an attribute of this type is for detection where it does not say, as PyMISP assumes.
pub(super) fn detects(name: &str) -> bool {
    !matches!(name, "AS" | "user-agent" | "link" | "other")
}

/// The type and the category an indicator of this kind has in an event.
pub(super) fn written(kind: IndicatorKind) -> (&'static str, &'static str) {
    use IndicatorKind::*;
    const NETWORK: &str = "Network activity";
    const PAYLOAD: &str = "Payload delivery";
    match kind {
        Url => ("url", NETWORK),
        Domain => ("domain", NETWORK),
        Ipv4 | Ipv6 | Ipv4Net | Ipv6Net => ("ip-dst", NETWORK),
        Email => ("email", PAYLOAD),
        Md5 => ("md5", PAYLOAD),
        Sha1 => ("sha1", PAYLOAD),
        Sha256 => ("sha256", PAYLOAD),
        Sha512 => ("sha512", PAYLOAD),
        Ja3 => ("ja3-fingerprint-md5", NETWORK),
        // MISP has no type for it: a tag says the kind.
        Ja4 => ("other", NETWORK),
        Asn => ("AS", NETWORK),
        Filename => ("filename", PAYLOAD),
        CertSha1 => ("x509-fingerprint-sha1", NETWORK),
        CertSha256 => ("x509-fingerprint-sha256", NETWORK),
        Mutex => ("mutex", "Artifacts dropped"),
        UserAgent => ("user-agent", NETWORK),
    }
}
