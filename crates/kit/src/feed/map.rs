//! Which column or member of a row means what.

use super::Sink;
use super::time::{self, TimeFormat};
use intel::{IndicatorKey, IndicatorKind, Observation, Severity, Timestamp, Tlp};
use std::borrow::Cow;

/// What a row has under one of the mapped names.
#[derive(Debug)]
pub(super) enum Cell<'a> {
    /// Nothing there.
    Missing,
    /// One text; a number or a truth value is its text.
    One(Cow<'a, str>),
    /// A list of texts.
    Many(Vec<Cow<'a, str>>),
}

impl<'a> Cell<'a> {
    /// The one text, or the first of several; None where it is missing or blank.
    fn first(self) -> Option<Cow<'a, str>> {
        match self {
            Cell::Missing => None,
            Cell::One(text) => Some(text),
            Cell::Many(list) => list.into_iter().next(),
        }
        .filter(|text| !text.trim().is_empty())
    }
}

/// A row whose members can be asked for by [slot](Mapping::columns).
pub(super) trait Cells {
    /// What the row has there.
    fn cell(&self, slot: usize) -> Cell<'_>;
    /// The row as text, to show when it is rejected.
    fn sample(&self) -> Cow<'_, str>;
}

/// What a word in the kind column means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// This kind.
    Kind(IndicatorKind),
    /// The value speaks for itself.
    Auto,
    /// No candidate.
    Skip,
}

/// A condition on a row: the column has one of these texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) slot: usize,
    pub(super) any_of: Vec<String>,
}

/// The mapping, with every column or member named once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Mapping {
    /// The names (or numbers, from 1) that are asked for; the other fields are positions in this list.
    pub(super) columns: Vec<String>,
    /// Where values are, and of which kind if that is fixed for the column. Empty: nothing says where.
    pub(super) values: Vec<(usize, Option<IndicatorKind>)>,
    /// Where the length of the prefix of a network stands, if not in the value.
    pub(super) prefix: Option<usize>,
    pub(super) kind: Option<usize>,
    pub(super) kind_map: Vec<(String, Meaning)>,
    pub(super) reputation: Option<usize>,
    pub(super) confidence: Option<usize>,
    pub(super) severity: Option<usize>,
    pub(super) tlp: Option<usize>,
    pub(super) tags: Vec<usize>,
    pub(super) tags_separator: char,
    pub(super) first_seen: Option<usize>,
    pub(super) last_seen: Option<usize>,
    pub(super) modified: Option<usize>,
    pub(super) expires_at: Option<usize>,
    pub(super) comment: Option<usize>,
    pub(super) link: Option<usize>,
    pub(super) hops: Vec<usize>,
    pub(super) skip_if: Vec<Condition>,
    pub(super) only_if: Vec<Condition>,
    pub(super) time: TimeFormat,
}

impl Mapping {
    /// The position of a column in `columns`, added where it is new.
    pub(super) fn slot(&mut self, column: &str) -> usize {
        let column = column.trim();
        match self.columns.iter().position(|known| known == column) {
            Some(at) => at,
            None => {
                self.columns.push(column.to_owned());
                self.columns.len() - 1
            }
        }
    }

    /// The slots without which a row means nothing: their absence from a header is an error, not an empty cell.
    pub(super) fn needed(&self) -> impl Iterator<Item = usize> + '_ {
        let conditions = self.skip_if.iter().chain(&self.only_if).map(|condition| condition.slot);
        self.values.iter().map(|value| value.0).chain(self.kind).chain(self.prefix).chain(conditions)
    }

    /// Makes the observations of one row and hands them over.
    pub(super) fn apply(&self, row: &dyn Cells, fixed_kind: Option<IndicatorKind>, sink: &mut Sink<'_>) {
        let holds = |condition: &Condition| match row.cell(condition.slot) {
            Cell::Missing => false,
            Cell::One(text) => condition.any_of.iter().any(|word| word.eq_ignore_ascii_case(text.trim())),
            Cell::Many(list) => {
                list.iter().any(|text| condition.any_of.iter().any(|word| word.eq_ignore_ascii_case(text.trim())))
            }
        };
        if self.skip_if.iter().any(holds) || !self.only_if.iter().all(holds) {
            return sink.filter("switched off by the source");
        }
        let kind = match self.kind {
            None => fixed_kind,
            Some(slot) => match row.cell(slot).first() {
                None => return sink.reject("no kind", &row.sample()),
                Some(word) => match self.meaning(word.trim()) {
                    Some(Meaning::Kind(kind)) => Some(kind),
                    Some(Meaning::Auto) => None,
                    Some(Meaning::Skip) | None => return sink.filter("unsupported kind"),
                },
            },
        };
        let mut left: usize = 0;
        for (slot, _) in &self.values {
            left += match row.cell(*slot) {
                Cell::Missing => 0,
                Cell::One(text) => usize::from(is_value(&text)),
                Cell::Many(list) => list.iter().filter(|text| is_value(text)).count(),
            };
        }
        if left == 0 {
            return sink.reject("no value", &row.sample());
        }
        let prefix = self.prefix.and_then(|slot| row.cell(slot).first());
        let mut about = Some(self.about(row, sink));
        for (slot, column_kind) in &self.values {
            let mut emit = |text: &str| {
                if !is_value(text) {
                    return;
                }
                left -= 1;
                // The last value takes the fields along, so that the usual row copies nothing.
                let mut one = if left == 0 { about.take() } else { about.clone() }.unwrap_or_default();
                text.trim().clone_into(&mut one.value);
                if let Some(length) = &prefix {
                    one.value.push('/');
                    one.value.push_str(length.trim());
                }
                one.kind = column_kind.or(kind);
                sink.row(one);
            };
            match row.cell(*slot) {
                Cell::Missing => {}
                Cell::One(text) => emit(&text),
                Cell::Many(list) => list.iter().for_each(|text| emit(text)),
            }
        }
    }

    /// What a word of the kind column means. Without an entry for it, the names of our kinds mean themselves.
    fn meaning(&self, word: &str) -> Option<Meaning> {
        let entry = |wanted: &str| self.kind_map.iter().find(|(known, _)| known.eq_ignore_ascii_case(wanted));
        if let Some((_, meaning)) = entry(word).or_else(|| entry("*")) {
            return Some(*meaning);
        }
        let word = word.to_ascii_lowercase();
        IndicatorKind::from_name(&word).map(Meaning::Kind).or_else(|| {
            // What other feeds and products call the same things.
            Some(Meaning::Kind(match word.as_str() {
                "ip" | "ipaddress" | "ip_address" | "ip-address" | "address" | "ip-dst" | "ip-src" | "ip:port" => {
                    return Some(Meaning::Auto);
                }
                "fqdn" | "hostname" | "host" | "domain-name" | "domain_name" => IndicatorKind::Domain,
                "uri" | "link" => IndicatorKind::Url,
                "ipv4-addr" => IndicatorKind::Ipv4,
                "ipv6-addr" => IndicatorKind::Ipv6,
                "cidr" => return Some(Meaning::Auto),
                "email-addr" | "e-mail" | "email_address" => IndicatorKind::Email,
                "md5_hash" | "filehash-md5" => IndicatorKind::Md5,
                "sha1_hash" | "filehash-sha1" | "sha-1" => IndicatorKind::Sha1,
                "sha256_hash" | "filehash-sha256" | "sha-256" => IndicatorKind::Sha256,
                "hash" | "file_hash" | "filehash" => return Some(Meaning::Auto),
                _ => return None,
            }))
        })
    }

    /// Everything the row says besides values.
    fn about(&self, row: &dyn Cells, sink: &mut Sink<'_>) -> Observation {
        let mut out = Observation::default();
        if self.columns.len() == self.values.len() {
            return out;
        }
        let text = |slot: Option<usize>| slot.and_then(|slot| row.cell(slot).first());
        let unread = &mut sink.stats.unread_fields;
        let number = |slot: Option<usize>, unread: &mut u64| -> Option<i64> {
            let text = text(slot)?;
            let read = whole_number(&text);
            *unread += u64::from(read.is_none() && !time::is_none(text.trim()));
            read
        };
        out.reputation = number(self.reputation, unread);
        out.confidence = number(self.confidence, unread);
        if let Some(word) = text(self.severity) {
            out.severity = Severity::parse(&word);
            *unread += u64::from(out.severity.is_none());
        }
        if let Some(word) = text(self.tlp) {
            // A marking we do not know may be stricter than any default: it fails closed.
            out.tlp = Some(Tlp::parse(&word).unwrap_or(Tlp::Red));
        }
        for slot in &self.tags {
            let mut tag = |text: &str| {
                let text = text.trim().trim_start_matches('#');
                if !text.is_empty() && !matches!(text, "None" | "null" | "n/a") {
                    out.tags.push(text.to_owned());
                }
            };
            match row.cell(*slot) {
                Cell::Missing => {}
                Cell::One(text) => text.split(self.tags_separator).for_each(&mut tag),
                Cell::Many(list) => list.iter().for_each(|text| tag(text)),
            }
        }
        for slot in &self.hops {
            match row.cell(*slot) {
                Cell::Missing => {}
                Cell::One(text) => out.hops.extend(
                    text.split(self.tags_separator).map(str::trim).filter(|hop| !hop.is_empty()).map(str::to_owned),
                ),
                Cell::Many(list) => out.hops.extend(list.into_iter().map(Cow::into_owned)),
            }
        }
        let date = |slot: Option<usize>, unread: &mut u64| -> Option<Timestamp> {
            let text = text(slot)?;
            if time::is_none(text.trim()) {
                return None;
            }
            let read = self.time.read(&text);
            *unread += u64::from(read.is_none());
            read
        };
        out.first_seen = date(self.first_seen, unread);
        out.last_seen = date(self.last_seen, unread);
        out.modified = date(self.modified, unread);
        out.expires_at = date(self.expires_at, unread);
        let said = |slot| text(slot).map(Cow::into_owned).filter(|text| !time::is_none(text.trim()));
        out.comment = said(self.comment);
        out.link = said(self.link);
        out
    }
}

/// A cell that holds a value: not blank, and not the word for "there is none".
fn is_value(text: &str) -> bool {
    !matches!(text.trim(), "" | "-" | "None" | "null" | "NULL" | "N/A" | "n/a")
}

/// `85`, `85%`, `7.9` (7).
fn whole_number(text: &str) -> Option<i64> {
    let text = text.trim().trim_end_matches('%').trim_end();
    match text.parse::<i64>() {
        Ok(n) => Some(n),
        Err(_) => text.parse::<f64>().ok().filter(|n| n.is_finite()).map(|n| n as i64),
    }
}

/// What the name of a column or member says about it, where the settings say nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    /// The value of the row.
    Value,
    /// A value of this kind; None: of a kind the value shows.
    Kind(Option<IndicatorKind>),
}

/// Is this the name of a column that holds values?
pub(super) fn named(name: &str) -> Option<Named> {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    Some(match plain.as_str() {
        "value" | "indicator" | "indicatorvalue" | "indicators" | "ioc" | "iocvalue" | "iocs" | "observable" => {
            Named::Value
        }
        "url" | "urls" | "uri" => Named::Kind(Some(IndicatorKind::Url)),
        "domain" | "domains" | "domainname" | "hostname" | "fqdn" | "host" => Named::Kind(Some(IndicatorKind::Domain)),
        "ip" | "ips" | "ipaddress" | "ipaddr" | "ipv4" | "ipv6" | "address" | "dstip" | "srcip" | "cidr"
        | "network" | "prefix" | "hash" | "hashes" | "filehash" => Named::Kind(None),
        "md5" | "md5hash" => Named::Kind(Some(IndicatorKind::Md5)),
        "sha1" | "sha1hash" => Named::Kind(Some(IndicatorKind::Sha1)),
        "sha256" | "sha256hash" => Named::Kind(Some(IndicatorKind::Sha256)),
        "sha512" | "sha512hash" => Named::Kind(Some(IndicatorKind::Sha512)),
        "email" | "emailaddress" => Named::Kind(Some(IndicatorKind::Email)),
        _ => return None,
    })
}

/// The text, if it is an indicator, with the kind to hand on. Only asked where nothing says which field is the value.
pub(super) fn indicator(text: &str, kind: Option<IndicatorKind>) -> Option<(&str, Option<IndicatorKind>)> {
    // A date or a number is the usual first column, and never worth the parser's time.
    let plausible = text.len() >= 32 || (text.len() >= 3 && memchr::memchr2(b'.', b':', text.as_bytes()).is_some());
    (plausible && IndicatorKey::parse(kind, text).is_ok()).then_some((text, kind))
}
