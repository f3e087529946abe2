//! The kinds that are neither names nor addresses: hashes, fingerprints, mailboxes, AS numbers and plain text.

use super::refang::{is_blank, peel, refang};
use super::{IndicatorKind, Parsed, Reason, VALUE_BYTES, host};
use std::borrow::Cow;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

const EMPTY_MD5: &str = "d41d8cd98f00b204e9800998ecf8427e";
const EMPTY_SHA1: &str = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const EMPTY_SHA512: &str = "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce\
                            47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e";

/// The hash kind of a text of this length. None for other lengths.
pub(super) fn hash_kind(len: usize) -> Option<IndicatorKind> {
    match len {
        32 => Some(IndicatorKind::Md5),
        40 => Some(IndicatorKind::Sha1),
        64 => Some(IndicatorKind::Sha256),
        128 => Some(IndicatorKind::Sha512),
        _ => None,
    }
}

/// Hexadecimal of the length the kind asks for, lower-cased.
pub(super) fn hash(kind: IndicatorKind, text: &str) -> Result<Parsed, Reason> {
    let (len, empty) = match kind {
        IndicatorKind::Md5 | IndicatorKind::Ja3 => (32, EMPTY_MD5),
        IndicatorKind::Sha1 | IndicatorKind::CertSha1 => (40, EMPTY_SHA1),
        IndicatorKind::Sha256 | IndicatorKind::CertSha256 => (64, EMPTY_SHA256),
        _ => (128, EMPTY_SHA512),
    };
    let mut text = Cow::Borrowed(text);
    // Certificate viewers print pairs: `AB:CD:…`.
    if matches!(kind, IndicatorKind::CertSha1 | IndicatorKind::CertSha256) && text.len() == len + len / 2 - 1 {
        let pairs = text.bytes().enumerate().all(|(at, b)| (at % 3 == 2) == matches!(b, b':' | b' '));
        if pairs {
            text = Cow::Owned(text.replace([':', ' '], ""));
        }
    }
    if text.len() != len {
        return Err(Reason::BadHash);
    }
    let (mut upper, mut hex) = (false, true);
    for b in text.bytes() {
        hex &= b.is_ascii_hexdigit();
        upper |= b.is_ascii_uppercase();
    }
    if !hex {
        return Err(Reason::BadHash);
    }
    let value: Box<str> = if upper { text.to_ascii_lowercase().into() } else { text.into() };
    if *value == *empty { Err(Reason::EmptyHash) } else { Ok(Parsed::plain(kind, value)) }
}

/// `t13d1516h2_8daaf6152771_b186095e22b6`: ten characters about the hello, two truncated hashes.
pub(super) fn ja4(text: &str) -> Result<Parsed, Reason> {
    let value = text.to_ascii_lowercase();
    let [transport, v1, v2, sni, c1, c2, e1, e2, a1, a2, b'_', rest @ ..] = value.as_bytes() else {
        return Err(Reason::BadFingerprint);
    };
    let hex = |part: &[u8]| part.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let good = matches!(transport, b't' | b'q' | b'd')
        && [v1, v2, a1, a2].into_iter().all(u8::is_ascii_alphanumeric)
        && matches!(sni, b'd' | b'i')
        && [c1, c2, e1, e2].into_iter().all(u8::is_ascii_digit)
        && rest.len() == 25
        && rest[12] == b'_'
        && hex(&rest[..12])
        && hex(&rest[13..]);
    if good { Ok(Parsed::plain(IndicatorKind::Ja4, value.into())) } else { Err(Reason::BadFingerprint) }
}

/// `AS123`, however the letters are written; digits alone only where the kind was stated.
pub(super) fn asn(text: &str, bare: bool) -> Result<Parsed, Reason> {
    let bytes = text.as_bytes();
    let letters = match bytes {
        [b'a' | b'A', b's' | b'S', b'n' | b'N', ..] => 3,
        [b'a' | b'A', b's' | b'S', ..] => 2,
        _ if bare => 0,
        _ => return Err(Reason::BadAsn),
    };
    let digits = text[letters..].trim_start_matches(' ');
    if digits.is_empty() || digits.len() > 20 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Reason::BadAsn);
    }
    match digits.parse::<u32>() {
        Ok(number) if number > 0 => Ok(Parsed::plain(IndicatorKind::Asn, format!("AS{number}").into())),
        _ => Err(Reason::BadAsn),
    }
}

/// A mailbox: the local part kept but for ASCII case, the domain by IDNA.
pub(super) fn email(text: &str) -> Result<Parsed, Reason> {
    let text = refang(text);
    let text = match text.get(..7) {
        Some(scheme) if scheme.eq_ignore_ascii_case("mailto:") => &text[7..],
        _ => &text,
    };
    let (local, domain) = text.rsplit_once('@').ok_or(Reason::BadEmail)?;
    let local = nfc(local);
    let plain = |c: char| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' => true,
        '\0'..='\x7f' => "!#$%&'*+-/=?^_|~.".contains(c),
        _ => !c.is_control() && !is_blank(c),
    };
    if local.is_empty() || local.len() > 64 || !local.chars().all(plain) {
        return Err(Reason::BadEmail);
    }
    let domain = host::name(domain).map_err(|reason| match reason {
        Reason::BadName | Reason::Wildcard | Reason::NumericHost => Reason::BadEmail,
        other => other,
    })?;
    if !domain.contains('.') {
        return Err(Reason::SingleLabel);
    }
    let mut value = local.to_ascii_lowercase();
    value.push('@');
    value.push_str(&domain);
    Ok(Parsed::plain(IndicatorKind::Email, value.into()))
}

/// File names, mutexes and user agents: NFC, trimmed, one line.
pub(super) fn line(kind: IndicatorKind, text: &str) -> Result<Parsed, Reason> {
    if text.chars().any(char::is_control) {
        return Err(Reason::ControlCharacter);
    }
    let composed = nfc(text);
    // Composition can make an ASCII quote out of something else.
    let value = peel(&composed)?;
    if value.is_empty() {
        return Err(Reason::Empty);
    }
    if value.len() > VALUE_BYTES {
        return Err(Reason::TooLong);
    }
    Ok(Parsed::plain(kind, value.into()))
}

fn nfc(text: &str) -> Cow<'_, str> {
    if text.is_ascii() || is_nfc_quick(text.chars()) == IsNormalized::Yes {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.nfc().collect())
}
