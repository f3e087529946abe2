//! DNS names: canonical form, the public suffix list, and which name is under which.

use super::Reason;
use std::borrow::Cow;

/// Longest name, in octets, as DNS limits it.
const NAME_BYTES: usize = 253;
/// Longest label, in octets.
const LABEL_BYTES: usize = 63;

/// The canonical name: ASCII, lower case, no trailing dot, every label of letters, digits, `-` and `_`, one label at
/// least. A name that ends in a number is a badly written address, never a name.
pub(super) fn name(text: &str) -> Result<Cow<'_, str>, Reason> {
    let plain = text.strip_suffix('.').unwrap_or(text);
    match scan(plain.as_bytes())? {
        Scan::Lower => Ok(Cow::Borrowed(plain)),
        Scan::Upper => Ok(Cow::Owned(plain.to_ascii_lowercase())),
        Scan::Idn => idn(plain),
    }
}

enum Scan {
    Lower,
    Upper,
    Idn,
}

fn scan(bytes: &[u8]) -> Result<Scan, Reason> {
    let (mut upper, mut idn) = (false, false);
    let mut start = 0;
    for (at, &b) in bytes.iter().enumerate() {
        match b {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => {}
            b'A'..=b'Z' => upper = true,
            b'.' => {
                idn |= is_ace(&bytes[start..at]);
                check_label(at - start, idn)?;
                start = at + 1;
            }
            0x80.. => idn = true,
            b'*' => return Err(Reason::Wildcard),
            0..0x20 | 0x7f => return Err(Reason::ControlCharacter),
            _ => return Err(Reason::BadName),
        }
    }
    let last = &bytes[start..];
    idn |= is_ace(last);
    if idn {
        return Ok(Scan::Idn);
    }
    check_label(last.len(), false)?;
    if bytes.len() > NAME_BYTES {
        return Err(Reason::TooLong);
    }
    if is_number(last) {
        return Err(Reason::NumericHost);
    }
    Ok(if upper { Scan::Upper } else { Scan::Lower })
}

/// Non-ASCII text may become shorter; it is judged once it is ASCII.
fn check_label(len: usize, idn: bool) -> Result<(), Reason> {
    match len {
        0 if !idn => Err(Reason::BadName),
        n if n > LABEL_BYTES && !idn => Err(Reason::LabelTooLong),
        _ => Ok(()),
    }
}

fn is_ace(label: &[u8]) -> bool {
    label.len() >= 4 && label[..4].eq_ignore_ascii_case(b"xn--")
}

/// A last label that browsers and resolvers read as (part of) an address: digits, or hexadecimal after `0x`.
fn is_number(label: &[u8]) -> bool {
    let digits = !label.is_empty() && label.iter().all(u8::is_ascii_digit);
    digits || matches!(label, [b'0', b'x' | b'X', rest @ ..] if rest.iter().all(u8::is_ascii_hexdigit))
}

fn idn(text: &str) -> Result<Cow<'_, str>, Reason> {
    // No label expands more than fourfold, and IDNA's work grows with the length.
    if text.len() > 8 * NAME_BYTES {
        return Err(Reason::TooLong);
    }
    let ascii = idna::domain_to_ascii_cow(text.as_bytes(), idna::AsciiDenyList::EMPTY).map_err(|_| Reason::BadIdn)?;
    // The mapping knows four full stops; the last may have been one of the others.
    let plain = ascii.strip_suffix('.').unwrap_or(&ascii);
    let mut start = 0;
    for (at, &b) in plain.as_bytes().iter().enumerate() {
        match b {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => {}
            b'.' => {
                check_label(at - start, false)?;
                start = at + 1;
            }
            b'*' => return Err(Reason::Wildcard),
            _ => return Err(Reason::BadName),
        }
    }
    let last = &plain.as_bytes()[start..];
    check_label(last.len(), false)?;
    if plain.len() > NAME_BYTES {
        return Err(Reason::TooLong);
    }
    if is_number(last) {
        return Err(Reason::NumericHost);
    }
    if plain.len() == ascii.len() { Ok(ascii) } else { Ok(Cow::Owned(plain.to_owned())) }
}

/// Whether a canonical name may be an indicator: two labels, and not a suffix under which strangers register. With
/// `icann`, its top-level domain must be on the ICANN list too.
pub(super) fn judge(name: &str, icann: bool) -> Result<(), Reason> {
    let single = memchr::memchr(b'.', name.as_bytes()).is_none();
    let suffix = psl::suffix(name.as_bytes());
    match suffix.and_then(|s| s.typ().map(|typ| (typ, s.as_bytes().len()))) {
        Some((psl::Type::Icann, len)) if len == name.len() => Err(Reason::TooBroad),
        _ if single => Err(Reason::SingleLabel),
        Some((psl::Type::Icann, _)) => Ok(()),
        Some((psl::Type::Private, _)) if !icann || has_icann_tld(name) => Ok(()),
        None if !icann => Ok(()),
        _ => Err(Reason::UnknownSuffix),
    }
}

fn has_icann_tld(name: &str) -> bool {
    let tld = name.rsplit('.').next().unwrap_or(name);
    psl::suffix(tld.as_bytes()).and_then(|s| s.typ()) == Some(psl::Type::Icann)
}

/// The public suffix of a canonical name (`co.uk` of `a.b.co.uk`, `duckdns.org` of `a.duckdns.org`): both sections of
/// the list. None if the list has no rule for it.
pub fn public_suffix(name: &str) -> Option<&str> {
    let suffix = psl::suffix(name.as_bytes()).filter(psl::Suffix::is_known)?;
    name.get(name.len() - suffix.as_bytes().len()..)
}

/// Whether this canonical name is itself a suffix of the list's private section, such as `duckdns.org`: hosts below it
/// belong to strangers.
pub fn is_private_suffix(name: &str) -> bool {
    is_suffix(name, psl::Type::Private)
}

/// Whether this canonical name is itself a suffix of the list's ICANN section, such as `co.uk`.
pub fn is_icann_suffix(name: &str) -> bool {
    is_suffix(name, psl::Type::Icann)
}

fn is_suffix(name: &str, typ: psl::Type) -> bool {
    psl::suffix(name.as_bytes()).is_some_and(|s| s.typ() == Some(typ) && s.as_bytes().len() == name.len())
}

/// What somebody registered: the public suffix and one label more. None for a suffix itself.
pub fn registrable(name: &str) -> Option<&str> {
    let domain = psl::domain(name.as_bytes())?;
    name.get(name.len() - domain.as_bytes().len()..)
}

/// Whether `name` is `parent` or lies below it, label by label. Both canonical.
pub fn is_under(name: &str, parent: &str) -> bool {
    match name.len().checked_sub(parent.len()) {
        Some(0) => name == parent,
        Some(cut) => !parent.is_empty() && name.ends_with(parent) && name.as_bytes()[cut - 1] == b'.',
        None => false,
    }
}
