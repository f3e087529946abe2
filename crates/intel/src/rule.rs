//! Business rules: an expression that selects, and exceptions that never pass.
//!
//! A rule says what is selected and what is excepted, each for itself, because they reach differently far: what one
//! sharing's rule excepts is not sent to its target by any other sharing either.

use crate::expr::{Expr, Place, Subject, parents};
use crate::ids::RuleId;
use crate::key::{IndicatorKey, IndicatorKind, Reason};
use ipnet::IpNet;
use std::collections::{BTreeSet, HashMap};
use std::fmt;

/// What selects, by what name it goes, and what is never selected.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Its number in the store.
    pub id: RuleId,
    /// What people call it; unique.
    pub name: String,
    /// Where people keep it.
    pub folder: Folder,
    /// What it selects.
    pub when: Expr,
    /// It shares nothing new and takes nothing back. No part of [`Rule::judge`]: what a muted rule selects is held.
    pub muted: bool,
    /// What it never lets pass, whatever it selects.
    pub exceptions: Vec<Exception>,
}

/// A named reason not to share. Any of its three parts excepts.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Exception {
    /// What people call it; shown where it applies.
    pub name: String,
    /// Excepts what meets it.
    pub when: Option<Expr>,
    /// Excepts these values, and what is under them unless the set says otherwise.
    pub values: ValueSet,
    /// Excepts what has one of these tags, spelled exactly so.
    pub tags: BTreeSet<String>,
}

/// What a rule says of an indicator.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement<'a> {
    /// Its expression selects it; says nothing about exceptions.
    pub selects: bool,
    /// The first exception that applies, whether or not the expression selects.
    pub excepted: Option<Excepted<'a>>,
}

impl Judgement<'_> {
    /// Selected and not excepted: an exception always wins.
    pub fn passes(&self) -> bool {
        self.selects && self.excepted.is_none()
    }
}

/// Which exception applies, and by which of its parts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Excepted<'a> {
    /// The exception's name.
    pub exception: &'a str,
    /// The part.
    pub by: By<'a>,
}

/// The part of an exception that applies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum By<'a> {
    /// This value, as it is written in the exception.
    Value(&'a str),
    /// This tag.
    Tag(&'a str),
    /// Its expression; [`Expr::explain`] says which clause.
    When(&'a Expr),
}

impl fmt::Display for Excepted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exception \"{}\": ", self.exception)?;
        match self.by {
            By::Value(value) => write!(f, "value \"{value}\""),
            By::Tag(tag) => write!(f, "tag \"{tag}\""),
            By::When(expr) => expr.fmt(f),
        }
    }
}

impl Rule {
    /// What it says of an indicator.
    pub fn judge(&self, subject: &Subject<'_>) -> Judgement<'_> {
        Judgement { selects: self.when.eval(subject), excepted: self.excepts(subject) }
    }

    /// The first exception that applies.
    pub fn excepts(&self, subject: &Subject<'_>) -> Option<Excepted<'_>> {
        self.exceptions.iter().find_map(|exception| exception.applies(subject))
    }
}

impl Exception {
    /// Whether it applies, and by which part; values are looked up first, they are the cheapest.
    pub fn applies(&self, subject: &Subject<'_>) -> Option<Excepted<'_>> {
        let by = |by| Excepted { exception: &self.name, by };
        if let Some(value) = self.values.excepts(subject.key) {
            return Some(by(By::Value(value)));
        }
        if let Some(tag) = self.tags.iter().find(|tag| subject.summary.tags.contains(*tag)) {
            return Some(by(By::Tag(tag)));
        }
        self.when.as_ref().filter(|when| when.eval(subject)).map(|when| by(By::When(when)))
    }
}

/// A path of at most three names, `edr/block/strict`; the empty one is the top.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Folder(Box<str>);

impl Folder {
    /// Most names in a path.
    pub const LEVELS: usize = 3;

    /// Reads a path; blanks around names and slashes at the ends are dropped. None where it has more than three names,
    /// an empty one, or a control character.
    pub fn parse(text: &str) -> Option<Folder> {
        let text = text.trim().trim_matches('/');
        if text.is_empty() {
            return Some(Folder::default());
        }
        let names: Vec<&str> = text.split('/').map(str::trim).collect();
        let good =
            names.len() <= Folder::LEVELS && names.iter().all(|n| !n.is_empty() && !n.contains(char::is_control));
        good.then(|| Folder(names.join("/").into()))
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Values an exception names, and what is under them: asked of every indicator, so a look-up whatever their number.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ValueSet {
    /// As written, in that order.
    written: Vec<Box<str>>,
    under: bool,
    /// Canonical values, and texts that are no key. Of any kind: whoever excepts a text has no kind in mind.
    exact: HashMap<Box<str>, u32>,
    names: HashMap<Box<str>, u32>,
    nets: HashMap<IpNet, u32>,
    /// The prefix lengths in `nets`, longest first.
    lengths: Vec<u8>,
}

impl ValueSet {
    /// Reads the values, and says what is odd about them in whole sentences. With `under` (the default of exceptions)
    /// a domain stands also for its subdomains, the URLs on it and the mailboxes at it, and an address or network for
    /// the addresses, networks and URLs in it. A value that is no key is kept as a text to compare exactly.
    pub fn new<T: AsRef<str>>(values: impl IntoIterator<Item = T>, under: bool) -> (ValueSet, Vec<String>) {
        let mut set = ValueSet { under, ..ValueSet::default() };
        let mut warnings = Vec::new();
        for value in values {
            if let Some(warning) = set.add(value.as_ref()) {
                warnings.push(warning);
            }
        }
        set.lengths = set.nets.keys().map(IpNet::prefix_len).collect::<BTreeSet<u8>>().into_iter().rev().collect();
        (set, warnings)
    }

    fn add(&mut self, value: &str) -> Option<String> {
        let value = value.trim();
        if value.is_empty() {
            return Some("An empty value excepts nothing and was dropped.".to_owned());
        }
        let at = u32::try_from(self.written.len()).unwrap_or(u32::MAX);
        self.written.push(value.into());
        let (key, warning) = match IndicatorKey::parse(None, value) {
            Ok(key) => (Some(key), None),
            Err(rejection) => {
                // File names and the like are composed and trimmed where they come in; so is what is held against them.
                let text = IndicatorKey::parse(Some(IndicatorKind::Filename), value);
                let text = text.map_or_else(|_| value.into(), |key| Box::from(key.value()));
                self.exact.entry(text).or_insert(at);
                // What has no public suffix may be a name of one's own network, or a file. To except is the careful
                // side, so both are meant.
                let name = match rejection.reason {
                    Reason::UnknownSuffix => IndicatorKey::parse(Some(IndicatorKind::Domain), value).ok(),
                    _ => None,
                };
                let warning = name.is_none().then(|| {
                    let (sample, why) = (&rejection.sample, rejection.reason.sentence());
                    format!("\"{sample}\" is no indicator ({why}); it is compared as a text, exactly as written.")
                });
                (name, warning)
            }
        };
        let Some(key) = key else { return warning };
        match Place::of(key.kind(), key.value()) {
            Place::Name(name) if self.under && key.kind() == IndicatorKind::Domain => {
                self.names.entry(name.into()).or_insert(at);
            }
            Place::Net(net) if self.under && key.kind() != IndicatorKind::Url => {
                self.nets.entry(net).or_insert(at);
            }
            _ => {}
        }
        self.exact.entry(key.value().into()).or_insert(at);
        warning
    }

    /// The values as written.
    pub fn written(&self) -> impl Iterator<Item = &str> {
        self.written.iter().map(|value| &**value)
    }

    /// Whether values stand also for what is under them.
    pub fn under(&self) -> bool {
        self.under
    }

    /// Whether it excepts nothing.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty()
    }

    /// The value, as written, that excepts this key: the key itself, else the narrowest it is under.
    pub fn excepts(&self, key: &IndicatorKey) -> Option<&str> {
        self.excepts_value(key.kind(), key.value())
    }

    /// As [`ValueSet::excepts`], of a canonical value and its kind.
    pub fn excepts_value(&self, kind: IndicatorKind, value: &str) -> Option<&str> {
        if self.exact.is_empty() {
            return None;
        }
        let at = self.exact.get(value).or_else(|| {
            if self.names.is_empty() && self.nets.is_empty() {
                return None;
            }
            match Place::of(kind, value) {
                Place::Name(_) if self.names.is_empty() => None,
                Place::Name(name) => parents(name).find_map(|name| self.names.get(name)),
                Place::Net(inner) => self
                    .lengths
                    .iter()
                    .filter(|length| **length <= inner.prefix_len())
                    .filter_map(|length| IpNet::new(inner.addr(), *length).ok())
                    .find_map(|net| self.nets.get(&net.trunc())),
                Place::Nowhere => None,
            }
        })?;
        self.written.get(*at as usize).map(|value| &**value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::covers;
    use crate::{Analyst, FoldSettings, Indicator, Observation, Policies, Policy, SourceRecord, Timestamp};

    fn values(values: &[&str], under: bool) -> ValueSet {
        ValueSet::new(values, under).0
    }

    #[test]
    fn values_stand_for_what_is_under_them() {
        use IndicatorKind::*;
        let list = [
            "goodurl.com",
            "198.51.100.0/24",
            "203.0.0.0/24",
            "2001:db8::/32",
            "http://cdn.com/ok",
            "Setup.EXE",
            "intra.corp",
            "9.9.9.9",
        ];
        for (kind, value, under, exact) in [
            (Domain, "goodurl.com", Some("goodurl.com"), true),
            (Domain, "a.b.goodurl.com", Some("goodurl.com"), false),
            (Domain, "notgoodurl.com", None, false),
            (Domain, "com", None, false),
            (Url, "https://goodurl.com/x", Some("goodurl.com"), false),
            (Url, "https://www.goodurl.com:8443/x", Some("goodurl.com"), false),
            (Url, "https://evil.com/goodurl.com", None, false),
            (Email, "x@mail.goodurl.com", Some("goodurl.com"), false),
            (Ipv4, "198.51.100.7", Some("198.51.100.0/24"), false),
            (Ipv4, "198.51.101.7", None, false),
            (Ipv4Net, "198.51.100.0/24", Some("198.51.100.0/24"), true),
            (Ipv4Net, "198.51.100.128/25", Some("198.51.100.0/24"), false),
            (Ipv4Net, "198.51.0.0/16", None, false),
            (Ipv4Net, "203.0.0.0/16", None, false),
            (Url, "http://198.51.100.7/x", Some("198.51.100.0/24"), false),
            (Url, "http://9.9.9.9/x", Some("9.9.9.9"), false),
            (Ipv6, "2001:db8::1", Some("2001:db8::/32"), false),
            (Url, "http://[2001:db8::1]/x", Some("2001:db8::/32"), false),
            (Url, "http://cdn.com/ok", Some("http://cdn.com/ok"), true),
            (Url, "http://cdn.com/ok/more", None, false),
            (Domain, "cdn.com", None, false),
            (Filename, "Setup.EXE", Some("Setup.EXE"), true),
            (Filename, "setup.exe", Some("Setup.EXE"), true),
            (Url, "http://wiki.intra.corp/", Some("intra.corp"), false),
            (UserAgent, "goodurl.com", Some("goodurl.com"), true),
        ] {
            let key = IndicatorKey::from_stored(kind, value);
            assert_eq!(values(&list, true).excepts(&key), under, "{value}");
            assert_eq!(values(&list, false).excepts(&key).is_some(), exact, "{value} exactly");
        }
    }

    #[test]
    fn the_narrowest_value_is_named() {
        let set = values(&["10.0.0.0/8", "10.1.0.0/16", "b.example.com", "example.com"], true);
        let name = |kind, value: &str| set.excepts(&IndicatorKey::from_stored(kind, value)).unwrap();
        assert_eq!(name(IndicatorKind::Ipv4, "10.1.2.3"), "10.1.0.0/16");
        assert_eq!(name(IndicatorKind::Ipv4, "10.2.2.3"), "10.0.0.0/8");
        assert_eq!(name(IndicatorKind::Domain, "a.b.example.com"), "b.example.com");
    }

    #[test]
    fn odd_values_are_kept_and_told() {
        let (set, warnings) = ValueSet::new(["hxxp://Good[.]com/x", "com", "Mozilla/5.0 (X)", " ", "intra.corp"], true);
        assert_eq!(warnings.len(), 3, "{warnings:#?}");
        assert!(warnings[0].contains("\"com\"") && warnings[1].contains("Mozilla") && warnings[2].contains("empty"));
        let at = |kind, value: &str| set.excepts(&IndicatorKey::from_stored(kind, value)).is_some();
        assert!(at(IndicatorKind::Url, "http://good.com/x"));
        assert!(at(IndicatorKind::UserAgent, "Mozilla/5.0 (X)"));
        assert!(!at(IndicatorKind::Domain, "anything.com"));
        assert_eq!(set.written().count(), 4);
    }

    #[test]
    fn thousands_of_values_answer_as_one_by_one() {
        let list: Vec<String> = (0..5000)
            .map(|n| match n % 3 {
                0 => format!("h{n}.example.com"),
                1 => format!("10.{}.{}.0/24", n / 250 % 250, n % 250),
                _ => format!("http://h{n}.example.net/x"),
            })
            .collect();
        let (set, warnings) = ValueSet::new(&list, true);
        assert_eq!(warnings, Vec::<String>::new());
        let outers: Vec<IndicatorKey> = list.iter().map(|v| IndicatorKey::parse(None, v).unwrap()).collect();
        for n in 0..120 {
            let key = match n % 4 {
                0 => format!("w.h{n}.example.com"),
                1 => format!("10.0.{}.9", n % 250),
                2 => format!("http://h{n}.example.net/x"),
                _ => format!("http://10.1.{}.9/x", n % 250),
            };
            let key = IndicatorKey::parse(None, &key).unwrap();
            assert_eq!(set.excepts(&key).is_some(), outers.iter().any(|outer| covers(outer, &key)), "{key:?}");
        }
    }

    #[test]
    fn an_exception_wins_and_is_told_even_where_nothing_selects() {
        let now = Timestamp::parse("2026-01-31").unwrap();
        let mut policies = Policies::default();
        policies.set(crate::ConnectionId(2), Policy::new("feed"));
        let row = Observation::new("http://a.goodurl.com/x").tag("test").normalise(now).unwrap();
        let mut indicator = Indicator::new(row.key.clone());
        indicator.records.insert(crate::ConnectionId(2), SourceRecord::first(&row, 1, now, now));
        indicator.analyst = Analyst::default();
        let summary = indicator.summary(&policies, &FoldSettings::default(), now);
        let views = indicator.views(&policies, now);
        let subject = Subject { key: &indicator.key, summary: &summary, records: &views, shared_with: &[], now };
        let rule = |when: &str, exceptions| Rule {
            id: RuleId(1),
            name: "r".into(),
            folder: Folder::default(),
            when: Expr::parse_rule(when).unwrap(),
            muted: false,
            exceptions,
        };
        let office =
            Exception { name: "office".into(), values: values(&["goodurl.com"], true), ..Exception::default() };
        let lab = Exception { name: "lab".into(), tags: ["test".into()].into(), ..Exception::default() };
        let other = Exception { name: "other".into(), tags: ["TEST".into()].into(), ..Exception::default() };
        let when = Expr::parse_rule("kind = url").unwrap();
        let clause = Exception { name: "urls".into(), when: Some(when), ..Exception::default() };

        let told = |rule: &Rule| {
            let judgement = rule.judge(&subject);
            (judgement.selects, judgement.passes(), judgement.excepted.map(|e| e.to_string()))
        };
        assert_eq!(told(&rule("all", vec![])), (true, true, None));
        assert_eq!(told(&rule("all", vec![other.clone()])), (true, true, None));
        assert_eq!(told(&rule("kind = md5", vec![])), (false, false, None));
        let by = |text: &str| Some(text.to_owned());
        assert_eq!(
            told(&rule("all", vec![other, office.clone()])),
            (true, false, by("exception \"office\": value \"goodurl.com\""))
        );
        assert_eq!(told(&rule("kind = md5", vec![lab, office])), (false, false, by("exception \"lab\": tag \"test\"")));
        assert_eq!(told(&rule("all", vec![clause])), (true, false, by("exception \"urls\": kind = url")));
    }

    #[test]
    fn folders_have_three_levels() {
        for (text, expect) in [
            ("", Some("")),
            ("/", Some("")),
            (" edr / block /strict/ ", Some("edr/block/strict")),
            ("a/b/c/d", None),
            ("a//b", None),
            ("a\nb", None),
        ] {
            assert_eq!(Folder::parse(text).as_ref().map(Folder::as_str), expect, "{text:?}");
        }
    }
}
