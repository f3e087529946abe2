//! Which object path means which kind of indicator, in both directions.
//!
//! Names are those of STIX 2.1 part 4 (Cyber-observable Objects). JA3, JA4 and user agents of their own have no object
//! there; the paths read for them are those found in published indicators, and the ones written are such a path too.

use intel::IndicatorKind;

/// What a comparison against a path is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The value is an indicator of this kind.
    Kind(IndicatorKind),
    /// The value is the name that an address may go with.
    Domain,
    /// The address a name resolves to.
    Resolves,
    /// The value of an end of a connection: an address or a name.
    End(End),
    /// The object type of an end of a connection.
    EndType(End),
    /// A hash of a file or certificate, and the kind it gives if it is one we know.
    Hash(Algorithm, Option<IndicatorKind>),
    /// Nothing we can share.
    None,
}

/// An end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Source,
    Destination,
}

/// What a hash is of, and how it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Algorithm {
    pub(super) of_file: bool,
    name: [u8; 12],
}

/// Reads `file:hashes.'SHA-256'`, already split: the object type, then the steps without list indexes.
pub(super) fn meaning(object: &str, steps: &[&str]) -> Meaning {
    use IndicatorKind::*;
    match (object, steps) {
        ("url", ["value"]) => Meaning::Kind(Url),
        ("domain-name", ["value"]) => Meaning::Domain,
        ("domain-name", ["resolves_to_refs", "value"]) => Meaning::Resolves,
        ("hostname" | "x-opencti-hostname", ["value"]) => Meaning::Kind(Domain),
        ("ipv4-addr" | "ipv6-addr", ["value"]) => Meaning::Kind(Ipv4),
        ("email-addr", ["value"]) | ("email-message", ["from_ref" | "sender_ref", "value"]) => Meaning::Kind(Email),
        ("file" | "artifact", ["hashes", name]) => hash(true, name),
        ("x509-certificate", ["hashes", name]) => hash(false, name),
        ("file", ["name"]) => Meaning::Kind(Filename),
        ("mutex", ["name"]) => Meaning::Kind(Mutex),
        ("autonomous-system", ["number"]) => Meaning::Kind(Asn),
        ("user-agent" | "x-opencti-user-agent", ["value"]) => Meaning::Kind(UserAgent),
        ("network-traffic", ["dst_ref", "value"]) => Meaning::End(End::Destination),
        ("network-traffic", ["src_ref", "value"]) => Meaning::End(End::Source),
        ("network-traffic", ["dst_ref", "type"]) => Meaning::EndType(End::Destination),
        ("network-traffic", ["src_ref", "type"]) => Meaning::EndType(End::Source),
        ("network-traffic", ["extensions", "http-request-ext", "request_header", name])
            if name.eq_ignore_ascii_case("user-agent") =>
        {
            Meaning::Kind(UserAgent)
        }
        ("x-ja3" | "x-ja3-fingerprint", ["hash" | "value" | "md5"]) => Meaning::Kind(Ja3),
        ("x-ja4" | "x-ja4-fingerprint", ["hash" | "value"]) => Meaning::Kind(Ja4),
        ("network-traffic" | "tls-traffic", [.., "ja3" | "ja3_hash" | "x_ja3"]) => Meaning::Kind(Ja3),
        ("network-traffic" | "tls-traffic", [.., "ja4" | "ja4_hash" | "x_ja4"]) => Meaning::Kind(Ja4),
        _ => Meaning::None,
    }
}

/// `MD5`, `SHA-256`, `sha256`, `SHA_256`: case and the dash are written in every way there is.
fn hash(of_file: bool, written: &str) -> Meaning {
    let mut name = [0; 12];
    let letters = written.bytes().filter(|b| !matches!(b, b'-' | b'_' | b' '));
    for (slot, letter) in name.iter_mut().zip(letters) {
        *slot = letter.to_ascii_lowercase();
    }
    let kind = match (&name[..name.iter().position(|b| *b == 0).unwrap_or(12)], of_file) {
        (b"md5", true) => Some(IndicatorKind::Md5),
        (b"sha1", true) => Some(IndicatorKind::Sha1),
        (b"sha256", true) => Some(IndicatorKind::Sha256),
        (b"sha512", true) => Some(IndicatorKind::Sha512),
        (b"sha1", false) => Some(IndicatorKind::CertSha1),
        (b"sha256", false) => Some(IndicatorKind::CertSha256),
        _ => None,
    };
    Meaning::Hash(Algorithm { of_file, name }, kind)
}

/// The path that a key of this kind is written with.
pub(super) const fn written(kind: IndicatorKind) -> &'static str {
    use IndicatorKind::*;
    match kind {
        Url => "url:value",
        Domain => "domain-name:value",
        Ipv4 | Ipv4Net => "ipv4-addr:value",
        Ipv6 | Ipv6Net => "ipv6-addr:value",
        Email => "email-addr:value",
        Md5 => "file:hashes.MD5",
        Sha1 => "file:hashes.'SHA-1'",
        Sha256 => "file:hashes.'SHA-256'",
        Sha512 => "file:hashes.'SHA-512'",
        Ja3 => "x-ja3-fingerprint:hash",
        Ja4 => "x-ja4-fingerprint:hash",
        Asn => "autonomous-system:number",
        Filename => "file:name",
        CertSha1 => "x509-certificate:hashes.'SHA-1'",
        CertSha256 => "x509-certificate:hashes.'SHA-256'",
        Mutex => "mutex:name",
        UserAgent => "network-traffic:extensions.'http-request-ext'.request_header.'User-Agent'",
    }
}
