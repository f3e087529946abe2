//! MISP warning lists: <https://github.com/MISP/misp-warninglists>, all five types.
//!
//! `string`: the value itself. `hostname`: a name and everything below it. `cidr`: addresses and networks. `substring`:
//! anything that holds the text. `regex`: `/…/` with its flags. `matching_attributes` says which kinds of indicators a
//! list speaks of. What cannot be used is counted and told; a list of which nothing can be used says so.

use intel::guard::{GuardClass, GuardList, GuardPattern, Kinds};
use intel::{IndicatorKey, IndicatorKind, IpNet};
use serde::{Deserialize, Serialize};

/// Longest warning list read, in bytes once unpacked.
pub const WARNING_LIST_BYTES: u64 = 64 << 20;
/// Most warning lists of one directory.
pub const WARNING_LISTS: usize = 500;
/// Most substrings and regular expressions of one warning list.
pub const WARNING_PATTERNS: usize = 20_000;
/// Rejected entries shown of one list.
const SHOWN: usize = 5;

/// A list as it is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarningList {
    /// The folder or file it was in; not from the file.
    #[serde(default)]
    pub from: String,
    /// Its title.
    #[serde(default)]
    pub name: String,
    /// `string`, `hostname`, `cidr`, `substring` or `regex`.
    #[serde(rename = "type")]
    pub how: String,
    /// Counts up.
    #[serde(default)]
    pub version: serde_json::Value,
    /// Kinds of MISP attributes; none: all.
    #[serde(default)]
    pub matching_attributes: Vec<String>,
    /// The entries.
    pub list: Vec<String>,
}

/// A list as the guard takes it, and what of it it did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// What can be looked up.
    pub list: GuardList,
    /// Entries read.
    pub read: usize,
    /// Entries that cannot be used.
    pub rejected: usize,
    /// Some of them, each with its reason.
    pub examples: Vec<String>,
}

impl WarningList {
    /// Reads a list.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(from: &str, json: &[u8]) -> Result<WarningList, String> {
        let mut list: WarningList =
            serde_json::from_slice(json).map_err(|error| format!("is no MISP warning list: {error}"))?;
        if !["string", "hostname", "cidr", "substring", "regex"].contains(&list.how.as_str()) {
            return Err(format!("has the type \"{}\", none of string, hostname, cidr, substring, regex", list.how));
        }
        if matches!(list.how.as_str(), "substring" | "regex") && list.list.len() > WARNING_PATTERNS {
            return Err(format!("holds {} patterns, at most {WARNING_PATTERNS} are used", list.list.len()));
        }
        from.clone_into(&mut list.from);
        Ok(list)
    }

    /// As the guard takes it, as part of this list of the operator's.
    pub fn read(&self, name: &str, class: GuardClass) -> Read {
        let mut list = GuardList::new(name, class, Vec::new());
        list.kinds = self.kinds(class);
        let (mut rejected, mut examples) = (0, Vec::new());
        for entry in self.list.iter().map(|entry| entry.trim()) {
            if let Err(why) = self.add(entry, &mut list) {
                rejected += 1;
                if examples.len() < SHOWN {
                    let entry: String = entry.chars().take(80).collect();
                    examples.push(format!("\"{entry}\" {why}"));
                }
            }
        }
        if list.kinds == Kinds::of(&[]) {
            examples.insert(0, format!("it speaks of {}, which no indicator is", self.matching_attributes.join(", ")));
        }
        Read { list, read: self.list.len(), rejected, examples }
    }

    fn add(&self, entry: &str, list: &mut GuardList) -> Result<(), String> {
        match self.how.as_str() {
            "cidr" => list.keys.push(network(entry).ok_or("is neither address nor network")?),
            "substring" => list.patterns.push(GuardPattern::substring(entry)?),
            "regex" => {
                let (expression, flags) = match entry.strip_prefix('/').and_then(|rest| rest.rsplit_once('/')) {
                    Some((expression, flags)) if flags.chars().all(|c| "gimsuxUD".contains(c)) => (expression, flags),
                    _ => (entry, ""),
                };
                // PHP escapes what need not be; only what stays an escape is kept so.
                let expression = expression.replace("\\/", "/").replace("\\@", "@").replace("\\-", "-");
                list.patterns.push(GuardPattern::search(entry, &expression, flags.contains('i'))?);
            }
            "hostname" => match name_of(entry.trim_start_matches('.')) {
                Some(name) => list.keys.push(IndicatorKey::from_stored(IndicatorKind::Domain, name)),
                None => list.keys.push(IndicatorKey::parse(None, entry).map_err(|e| e.reason.to_string())?),
            },
            _ => self.add_text(entry, list)?,
        }
        Ok(())
    }

    fn add_text(&self, entry: &str, list: &mut GuardList) -> Result<(), String> {
        if let Some(name) = entry.strip_prefix('.').and_then(name_of) {
            list.keys.push(IndicatorKey::from_stored(IndicatorKind::Domain, name));
            return Ok(());
        }
        let certificates = self.matching_attributes.iter().any(|attribute| attribute.starts_with("x509-fingerprint"));
        let hex = entry.bytes().all(|b| b.is_ascii_hexdigit());
        let kind = match entry.len() {
            40 => Some(IndicatorKind::CertSha1),
            64 => Some(IndicatorKind::CertSha256),
            _ => None,
        };
        if let Some(kind) = kind.filter(|_| certificates && hex) {
            list.keys.push(IndicatorKey::from_stored(kind, entry.to_ascii_lowercase()));
        }
        match IndicatorKey::parse(None, entry) {
            Ok(key) if key.kind() == IndicatorKind::Domain => list.exact.push(key.value().into()),
            Ok(key) => list.keys.push(key),
            Err(error) => match name_of(entry) {
                Some(name) => list.exact.push(name.into()),
                None => return Err(error.reason.to_string()),
            },
        }
        Ok(())
    }

    /// What it speaks of. A list that may stop something also speaks of the URLs on its hosts: an address that must
    /// not be blocked must not be blocked by way of a URL either.
    fn kinds(&self, class: GuardClass) -> Kinds {
        if self.matching_attributes.is_empty() {
            return Kinds::ALL;
        }
        let mut kinds = Kinds::of(&[]);
        for attribute in self.matching_attributes.iter().flat_map(|attribute| attribute.split('|')) {
            kinds = kinds.or(Kinds::of(kinds_of(attribute)));
        }
        let host = [IndicatorKind::Domain, IndicatorKind::Ipv4].into_iter().any(|kind| kinds.has(kind));
        if host && class != GuardClass::Warn { kinds.or(Kinds::of(&[IndicatorKind::Url])) } else { kinds }
    }
}

/// The kinds an attribute type of MISP is read as.
fn kinds_of(attribute: &str) -> &'static [IndicatorKind] {
    use IndicatorKind as K;
    match attribute {
        "ip" | "ip-src" | "ip-dst" => &[K::Ipv4, K::Ipv6, K::Ipv4Net, K::Ipv6Net],
        "domain" | "hostname" => &[K::Domain],
        "url" | "uri" | "link" => &[K::Url],
        "email" | "email-src" | "email-dst" | "target-email" | "whois-registrant-email" | "dns-soa-email" => {
            &[K::Email]
        }
        "md5" => &[K::Md5],
        "sha1" => &[K::Sha1],
        "sha256" => &[K::Sha256],
        "sha512" => &[K::Sha512],
        "x509-fingerprint-sha1" => &[K::CertSha1],
        "x509-fingerprint-sha256" => &[K::CertSha256],
        "ja3-fingerprint-md5" => &[K::Ja3],
        "user-agent" => &[K::UserAgent],
        "mutex" => &[K::Mutex],
        "AS" => &[K::Asn],
        _ => &[],
    }
}

/// A name in canonical form, also one that is no indicator: `com`.
fn name_of(text: &str) -> Option<String> {
    if let Ok(key) = IndicatorKey::parse(Some(IndicatorKind::Domain), text) {
        return Some(key.value().to_owned());
    }
    let text = text.trim_end_matches('.').to_ascii_lowercase();
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let number = text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    (!number && text.len() <= 253 && text.split('.').all(label)).then_some(text)
}

fn network(text: &str) -> Option<IndicatorKey> {
    use IndicatorKind as K;
    let kind = |v4: bool, whole: bool| match (v4, whole) {
        (true, true) => K::Ipv4,
        (true, false) => K::Ipv4Net,
        (false, true) => K::Ipv6,
        (false, false) => K::Ipv6Net,
    };
    if let Ok(key) = IndicatorKey::parse(Some(K::Ipv4), text) {
        return Some(key);
    }
    let net = text.parse::<IpNet>().ok()?.trunc();
    let whole = net.prefix_len() == net.max_prefix_len();
    let value = if whole { net.addr().to_string() } else { net.to_string() };
    Some(IndicatorKey::from_stored(kind(net.addr().is_ipv4(), whole), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &serde_json::Value) -> Read {
        WarningList::parse("x", json.to_string().as_bytes()).unwrap().read("misp", GuardClass::Warn)
    }

    #[test]
    fn the_five_types_find_what_they_name() {
        use serde_json::json;
        // type, entry, attributes, what is found, what is not
        let cases = [
            ("string", "www.example.com", "domain", "www.example.com", "a.www.example.com"),
            ("string", ".example.com", "domain", "a.example.com", "example.org"),
            ("string", "0123456789abcdef0123456789abcdef", "md5", "0123456789ABCDEF0123456789ABCDEF", "example.com"),
            ("hostname", ".example.com", "domain", "a.b.example.com", "badexample.com"),
            ("cidr", "192.0.2.9/24", "ip-dst", "192.0.2.1", "192.0.3.1"),
            ("cidr", "FE80::/10", "ip-dst", "fe80::1", "2001:db8::1"),
            ("substring", "mail.example", "email-src", "a@x.mail.example.com", "a@example.com"),
            ("regex", "/^(noc|abuse)\\@.*\\..*$/i", "email-src", "NOC@example.com", "me@example.com"),
        ];
        for (how, entry, attribute, found, not) in cases {
            let read = read(&json!({ "type": how, "list": [entry], "matching_attributes": [attribute] }));
            assert_eq!(read.rejected, 0, "{how} {entry}: {:?}", read.examples);
            let guard = intel::Guard::of([read.list]);
            let look = |text: &str| guard.look_up(&IndicatorKey::parse(None, text).unwrap());
            assert!(look(found).is_some_and(|hit| !hit.stop), "{how} {entry} finds {found}");
            assert!(look(not).is_none(), "{how} {entry} does not find {not}");
        }
        let other = read(&json!({ "type": "hostname", "list": ["example.com"], "matching_attributes": ["domain"] }));
        let url = IndicatorKey::parse(None, "http://example.com/x").unwrap();
        assert!(intel::Guard::of([other.list]).look_up(&url).is_none(), "it speaks of domains only");
    }

    #[test]
    fn what_cannot_be_used_is_counted_and_told() {
        use serde_json::json;
        let read = read(&json!({ "type": "regex", "list": ["/(?=x)/", "/ok/"], "matching_attributes": ["domain"] }));
        assert_eq!((read.read, read.rejected, read.list.patterns.len()), (2, 1, 1));
        assert!(read.examples[0].contains("look-around"), "{:?}", read.examples);
        let wrong = WarningList::parse("x", br#"{"type":"fuzzy","list":[]}"#).unwrap_err();
        assert!(wrong.contains("\"fuzzy\""), "{wrong}");
        assert!(WarningList::parse("x", b"<html>").unwrap_err().starts_with("is no MISP warning list"));
    }
}
