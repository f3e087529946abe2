//! The settings of a feed, read into a description that the parsers follow.

use super::json::{self, Step};
use super::map::{Condition, Mapping, Meaning};
use super::text;
use super::time::TimeFormat;
use intel::{IndicatorKind, Severity, Tlp};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// The format of a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One value a line.
    Text,
    /// A table.
    Csv,
    /// One document with a list of rows in it.
    Json,
    /// One document a line.
    Ndjson,
    /// Prose, Markdown, HTML: whatever is an indicator in it.
    Extract,
    /// STIX 2.0 or 2.1: a bundle, a page, a list of objects or one a line.
    Stix,
    /// MISP events.
    Misp,
    /// An OpenIOC document.
    Openioc,
    /// A STIX 1 package in XML.
    Stix1,
}

/// What stands where the column names are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Header {
    #[default]
    Auto,
    First,
    Comment,
    None,
}

/// Fields that every row of the feed has where it does not say otherwise.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Fixed {
    pub(super) reputation: Option<i64>,
    pub(super) confidence: Option<i64>,
    pub(super) severity: Option<Severity>,
    pub(super) tlp: Option<Tlp>,
    pub(super) tags: Vec<String>,
}

/// How a body is to be read. Made by [`FeedSpec::from_settings`].
#[derive(Debug, Clone, PartialEq)]
pub struct FeedSpec {
    pub(super) format: Format,
    pub(super) kind: Option<IndicatorKind>,
    pub(super) comments: Vec<Vec<u8>>,
    pub(super) separator: Option<char>,
    pub(super) quote: Option<char>,
    pub(super) header: Header,
    pub(super) path: Vec<Step>,
    pub(super) map: Mapping,
    pub(super) fixed: Fixed,
}

/// The keys, as they are written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    #[serde(default = "text_format")]
    format: String,
    #[serde(default = "auto")]
    kind: String,
    comments: Option<Vec<String>>,
    #[serde(default)]
    separator: String,
    #[serde(default)]
    quote: Option<String>,
    #[serde(default)]
    header: String,
    #[serde(default)]
    path: String,
    value: Option<String>,
    #[serde(default)]
    values: BTreeMap<String, String>,
    prefix_column: Option<String>,
    kind_column: Option<String>,
    #[serde(default)]
    kind_map: BTreeMap<String, String>,
    reputation_column: Option<String>,
    confidence_column: Option<String>,
    severity_column: Option<String>,
    tlp_column: Option<String>,
    #[serde(default)]
    tags_columns: Vec<String>,
    tags_separator: Option<String>,
    first_seen_column: Option<String>,
    last_seen_column: Option<String>,
    modified_column: Option<String>,
    expires_at_column: Option<String>,
    comment_column: Option<String>,
    link_column: Option<String>,
    hops_columns: Option<Vec<String>>,
    #[serde(default)]
    skip_if: BTreeMap<String, String>,
    #[serde(default)]
    only_if: BTreeMap<String, String>,
    #[serde(default)]
    time_format: String,
    reputation: Option<i64>,
    confidence: Option<i64>,
    severity: Option<String>,
    tlp: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
}

fn text_format() -> String {
    "text".into()
}

fn auto() -> String {
    "auto".into()
}

impl FeedSpec {
    /// Reads the settings that describe the format; `url` and what else concerns fetching is not among them.
    ///
    /// # Errors
    /// A sentence that names the setting and what was expected.
    pub fn from_settings(settings: &Value) -> Result<FeedSpec, String> {
        let keys: Keys = serde_json::from_value(settings.clone()).map_err(|error| error.to_string())?;
        let format = match keys.format.as_str() {
            "text" => Format::Text,
            "csv" => Format::Csv,
            "json" => Format::Json,
            "ndjson" => Format::Ndjson,
            "extract" => Format::Extract,
            "stix" => Format::Stix,
            "stix1" => Format::Stix1,
            "misp" => Format::Misp,
            "openioc" => Format::Openioc,
            other => {
                let all = "text, csv, json, ndjson, extract, stix, stix1, misp or openioc";
                return Err(format!("format: expected {all}, found `{other}`"));
            }
        };
        let header = match keys.header.as_str() {
            "" | "auto" => Header::Auto,
            "first" => Header::First,
            "comment" => Header::Comment,
            "none" => Header::None,
            other => return Err(format!("header: expected auto, first, comment or none, found `{other}`")),
        };
        let comments = keys.comments.as_ref().map_or_else(
            || match format {
                // In a table `//` may begin a value, and `!` nobody uses.
                Format::Csv | Format::Ndjson => vec![b"#".to_vec(), b";".to_vec()],
                _ => ["#", ";", "//", "!"].iter().map(|c| c.as_bytes().to_vec()).collect(),
            },
            |given| given.iter().filter(|c| !c.is_empty()).map(|c| c.as_bytes().to_vec()).collect(),
        );
        let spec = FeedSpec {
            format,
            kind: kind("kind", &keys.kind)?,
            comments,
            separator: one_char("separator", &keys.separator)?,
            quote: match keys.quote.as_deref() {
                None => Some('"'),
                Some(given) => one_char("quote", given)?,
            },
            header,
            path: json::path(&keys.path)?,
            map: keys.mapping()?,
            fixed: Fixed {
                reputation: keys.reputation,
                confidence: keys.confidence,
                severity: word("severity", keys.severity.as_deref(), Severity::parse)?,
                tlp: word("tlp", keys.tlp.as_deref(), Tlp::parse)?,
                tags: keys.tags,
            },
        };
        if format == Format::Text
            && let Some(name) = spec.map.columns.iter().find(|name| text::number(name).is_none())
        {
            return Err(format!("columns of a text list are numbers from 1, found `{name}`"));
        }
        if format == Format::Csv && [spec.separator, spec.quote].iter().flatten().any(|c| !c.is_ascii()) {
            return Err("separator and quote of a table must be ASCII".into());
        }
        Ok(spec)
    }

    /// The format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Does a trimmed line begin with a comment mark?
    pub(super) fn is_comment(&self, line: &[u8]) -> bool {
        self.comments.iter().any(|mark| line.starts_with(mark))
    }
}

impl Keys {
    fn mapping(&self) -> Result<Mapping, String> {
        let mut map = Mapping { time: TimeFormat::from_setting(&self.time_format)?, ..Mapping::default() };
        for (name, wanted) in &self.values {
            let slot = map.slot(name);
            map.values.push((slot, kind("values", wanted)?));
        }
        if let Some(name) = &self.value {
            let slot = map.slot(name);
            map.values.insert(0, (slot, None));
        }
        let mut optional = |name: &Option<String>| name.as_deref().filter(|n| !n.is_empty()).map(|n| map.slot(n));
        let prefix = optional(&self.prefix_column);
        let kind_slot = optional(&self.kind_column);
        let reputation = optional(&self.reputation_column);
        let confidence = optional(&self.confidence_column);
        let severity = optional(&self.severity_column);
        let tlp = optional(&self.tlp_column);
        let first_seen = optional(&self.first_seen_column);
        let last_seen = optional(&self.last_seen_column);
        let modified = optional(&self.modified_column);
        let expires_at = optional(&self.expires_at_column);
        let comment = optional(&self.comment_column);
        let link = optional(&self.link_column);
        // What another exchange serves says through whom it came, under this name.
        let usual =
            || if matches!(self.format.as_str(), "json" | "ndjson") { vec!["hops".to_owned()] } else { Vec::new() };
        let hops = self.hops_columns.clone().unwrap_or_else(usual);
        let hops = hops.iter().map(|name| map.slot(name)).collect();
        let tags = self.tags_columns.iter().map(|name| map.slot(name)).collect();
        let mut conditions = |given: &BTreeMap<String, String>| -> Vec<Condition> {
            let read = |(name, words): (&String, &String)| Condition {
                slot: map.slot(name),
                any_of: words.split('|').map(|word| word.trim().to_owned()).collect(),
            };
            given.iter().map(read).collect()
        };
        let skip_if = conditions(&self.skip_if);
        let only_if = conditions(&self.only_if);
        // Lines of a list: what is asked besides the value, is asked of the first field unless told otherwise.
        if map.values.is_empty() && !map.columns.is_empty() && self.format == "text" {
            let slot = map.slot("1");
            map.values.push((slot, None));
        }
        let mut kind_map = Vec::with_capacity(self.kind_map.len());
        for (from, to) in &self.kind_map {
            let meaning = match to.as_str() {
                "skip" => Meaning::Skip,
                other => kind("kind_map", other)?.map_or(Meaning::Auto, Meaning::Kind),
            };
            kind_map.push((from.clone(), meaning));
        }
        Ok(Mapping {
            prefix,
            kind: kind_slot,
            kind_map,
            reputation,
            confidence,
            severity,
            tlp,
            tags,
            tags_separator: match self.tags_separator.as_deref() {
                None => ',',
                Some(given) => one_char("tags_separator", given)?.unwrap_or(','),
            },
            first_seen,
            last_seen,
            modified,
            expires_at,
            comment,
            link,
            hops,
            skip_if,
            only_if,
            ..map
        })
    }
}

fn kind(key: &str, name: &str) -> Result<Option<IndicatorKind>, String> {
    match name {
        "auto" | "" => Ok(None),
        name => IndicatorKind::from_name(name).map(Some).ok_or_else(|| {
            let names: Vec<&str> = IndicatorKind::ALL.iter().map(|kind| kind.as_str()).collect();
            format!("{key}: expected auto or one of {}, found `{name}`", names.join(", "))
        }),
    }
}

fn word<T>(key: &str, given: Option<&str>, read: fn(&str) -> Option<T>) -> Result<Option<T>, String> {
    match given {
        None | Some("") => Ok(None),
        Some(text) => read(text).map(Some).ok_or_else(|| format!("{key}: `{text}` is not one")),
    }
}

/// A character, or its name.
fn one_char(key: &str, text: &str) -> Result<Option<char>, String> {
    let mut chars = text.chars();
    match (text, chars.next(), chars.next()) {
        ("", ..) | ("none", ..) => Ok(None),
        ("tab" | "\\t", ..) => Ok(Some('\t')),
        ("space", ..) => Ok(Some(' ')),
        (_, Some(one), None) => Ok(Some(one)),
        _ => Err(format!("{key}: expected one character, or tab, space, none; found `{text}`")),
    }
}
