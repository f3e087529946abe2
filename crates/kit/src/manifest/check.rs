//! Settings against their declaration.

use super::{Setting, SettingType, parse_duration};
use intel::IndicatorKind;
use serde_json::{Map, Value};
use std::fmt;

/// What is wrong with one setting. The value itself is quoted only where it cannot be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingError {
    /// Which setting.
    pub key: String,
    /// What is wrong, without a full stop.
    pub problem: String,
    /// What would be right.
    pub expected: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; expected {}", self.key, self.problem, self.expected)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, " (did you mean {suggestion:?}?)"),
            None => Ok(()),
        }
    }
}

pub(super) fn check(declared: &[Setting], given: &Value) -> Result<Value, Vec<SettingError>> {
    let empty = Map::new();
    let given = match given {
        Value::Null => &empty,
        Value::Object(given) => given,
        other => {
            let problem = format!("is {}", type_of(other));
            let expected = "a table of settings".into();
            return Err(vec![SettingError { key: "settings".into(), problem, expected, suggestion: None }]);
        }
    };
    let mut errors = Vec::new();
    for key in given.keys() {
        if !declared.iter().any(|setting| setting.key == *key) {
            let names = || declared.iter().map(|setting| setting.key.as_str());
            let expected = if declared.is_empty() {
                "no settings".to_owned()
            } else {
                format!("one of {}", names().collect::<Vec<_>>().join(", "))
            };
            let suggestion = nearest(key, names());
            errors.push(SettingError { key: key.clone(), problem: "is no setting".into(), expected, suggestion });
        }
    }
    let mut filled = Map::new();
    for setting in declared {
        match given.get(&setting.key).filter(|value| !value.is_null()).or(setting.default.as_ref()) {
            Some(value) => match setting.accept(value) {
                Ok(()) => {
                    filled.insert(setting.key.clone(), value.clone());
                }
                Err(error) => errors.push(error),
            },
            None if setting.required => errors.push(setting.wrong("is missing")),
            None => {}
        }
    }
    if errors.is_empty() { Ok(Value::Object(filled)) } else { Err(errors) }
}

impl Setting {
    fn wrong(&self, problem: impl Into<String>) -> SettingError {
        SettingError { key: self.key.clone(), problem: problem.into(), expected: self.expected(), suggestion: None }
    }

    /// What a value of this setting is, in words.
    pub fn expected(&self) -> String {
        let range = match (self.min, self.max) {
            (Some(min), Some(max)) => format!(" of {min} to {max}"),
            (Some(min), None) => format!(" of at least {min}"),
            (None, Some(max)) => format!(" of at most {max}"),
            (None, None) => String::new(),
        };
        let choices = self.choices.join(", ");
        match self.value_type {
            SettingType::Text if range.is_empty() => "a text".into(),
            SettingType::Text => format!("a text{range} characters"),
            SettingType::Url if choices.is_empty() => "an address that begins with https://, http:// or file://".into(),
            SettingType::Url => format!("an address with the scheme {choices}"),
            SettingType::Int => format!("a whole number{range}"),
            SettingType::Float => format!("a number{range}"),
            SettingType::Bool => "true or false".into(),
            SettingType::Choice => format!("one of {choices}"),
            SettingType::List if choices.is_empty() => format!("a list of texts{range}"),
            SettingType::List => format!("a list{range} of {choices}"),
            SettingType::Map => "a table of texts".into(),
            SettingType::Secret => "a text, or a reference such as \"env:NAME\" or \"file:/path\"".into(),
            SettingType::Path => "a path".into(),
            SettingType::Duration if range.is_empty() => "a length of time such as \"90s\", \"60m\" or \"14d\"".into(),
            SettingType::Duration => format!("a length of time{range} seconds, such as \"90s\" or \"14d\""),
            SettingType::Kind => "auto or a kind of indicator".into(),
        }
    }

    fn accept(&self, value: &Value) -> Result<(), SettingError> {
        let mismatch = || self.wrong(format!("is {}", type_of(value)));
        let text = || value.as_str().ok_or_else(mismatch);
        let filled = || {
            let text = text()?;
            if text.trim().is_empty() { Err(self.wrong("is empty")) } else { Ok(text) }
        };
        match self.value_type {
            SettingType::Text => self.within(text()?.chars().count() as f64),
            SettingType::Url => {
                let text = filled()?;
                let schemes: &[&str] = &["https", "http", "file"];
                let scheme = url::Url::parse(text).map_err(|error| self.wrong(format!("is no address ({error})")))?;
                let allowed = if self.choices.is_empty() {
                    schemes.contains(&scheme.scheme())
                } else {
                    self.choices.iter().any(|choice| choice == scheme.scheme())
                };
                if allowed { Ok(()) } else { Err(self.wrong(format!("has the scheme {:?}", scheme.scheme()))) }
            }
            SettingType::Int => {
                let number = value.as_i64().ok_or_else(mismatch)?;
                self.within(number as f64)
            }
            SettingType::Float => self.within(value.as_f64().ok_or_else(mismatch)?),
            SettingType::Bool => value.as_bool().map(drop).ok_or_else(mismatch),
            SettingType::Choice => self.choice(text()?),
            SettingType::List => {
                let items = value.as_array().ok_or_else(mismatch)?;
                for item in items {
                    let item =
                        item.as_str().ok_or_else(|| self.wrong(format!("has an item that is {}", type_of(item))))?;
                    if !self.choices.is_empty() {
                        self.choice(item)?;
                    }
                }
                self.within(items.len() as f64)
            }
            SettingType::Map => {
                let entries = value.as_object().ok_or_else(mismatch)?;
                match entries.iter().find(|(_, value)| !value.is_string()) {
                    Some((key, value)) => Err(self.wrong(format!("has at {key:?} {}", type_of(value)))),
                    None => Ok(()),
                }
            }
            SettingType::Secret | SettingType::Path => filled().map(drop),
            SettingType::Duration => {
                let text = text()?;
                let length = parse_duration(text).ok_or_else(|| self.wrong(format!("is {text:?}")))?;
                self.within(length.as_secs() as f64)
            }
            SettingType::Kind => {
                let text = text()?;
                if text == "auto" || IndicatorKind::from_name(text).is_some() {
                    return Ok(());
                }
                let names = IndicatorKind::ALL.iter().map(|kind| kind.as_str()).chain(["auto"]);
                Err(SettingError { suggestion: nearest(text, names), ..self.wrong(format!("is {text:?}")) })
            }
        }
    }

    fn choice(&self, text: &str) -> Result<(), SettingError> {
        if self.choices.iter().any(|choice| choice == text) {
            return Ok(());
        }
        let suggestion = nearest(text, self.choices.iter().map(String::as_str));
        Err(SettingError { suggestion, ..self.wrong(format!("is {text:?}")) })
    }

    fn within(&self, measure: f64) -> Result<(), SettingError> {
        let inside = self.min.is_none_or(|min| measure >= min) && self.max.is_none_or(|max| measure <= max);
        if inside { Ok(()) } else { Err(self.wrong(format!("measures {measure}"))) }
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}

pub(super) fn name(what: &str, name: &str) -> Result<(), String> {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if !name.is_empty() && name.len() <= 64 && name.chars().all(fine) {
        return Ok(());
    }
    Err(format!("{what} {name:?}: expected lower-case letters, digits, - and _, at most 64"))
}

/// A manifest's own settings must hold together: its defaults and examples pass its own check.
pub(super) fn declared(what: &str, settings: &[Setting]) -> Result<(), String> {
    for (at, setting) in settings.iter().enumerate() {
        let key = &setting.key;
        name(what, key)?;
        if settings[..at].iter().any(|other| other.key == *key) {
            return Err(format!("{what} {key:?} is declared twice"));
        }
        if setting.required && setting.default.is_some() {
            return Err(format!("{what} {key:?} is required and has a default: one of the two"));
        }
        if setting.value_type == SettingType::Choice && setting.choices.is_empty() {
            return Err(format!("{what} {key:?} is a choice without choices"));
        }
        if setting.value_type == SettingType::Secret && setting.default.is_some() {
            return Err(format!("{what} {key:?} is a secret with a default"));
        }
        for value in [&setting.default, &setting.example].into_iter().flatten() {
            setting.accept(value).map_err(|error| format!("{what} {error}"))?;
        }
    }
    Ok(())
}

/// The nearest of some names, if it is near enough to have been meant.
fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let limit = (word.chars().count() / 3).max(1) + 1;
    let scored = names.map(|name| (distance(word, name), name)).filter(|(distance, _)| *distance <= limit);
    scored.min_by_key(|(distance, _)| *distance).map(|(_, name)| name.to_owned())
}

/// Edits (insert, delete, replace, swap of neighbours) from one word to the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replace = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replace.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::super::Manifest;
    use super::*;
    use serde_json::json;

    const TOML: &str = r#"
name = "sample"
title = "Sample"
summary = "One of each."
category = "feed"

[source]
style = "whole"
kinds = ["ipv4", "url"]
interval = "30m"
tlp = "amber"
reputation = 7

[[setting]]
key = "url"
type = "url"
label = "Address"
help = "Where it is."
required = true

[[setting]]
key = "pages"
type = "int"
label = "Pages"
help = "How many."
default = 5
min = 1
max = 10

[[setting]]
key = "format"
type = "choice"
label = "Format"
help = "Which."
choices = ["text", "csv"]
default = "text"

[[setting]]
key = "kind"
type = "kind"
label = "Kind"
help = "Which."
default = "auto"

[[setting]]
key = "token"
type = "secret"
label = "Token"
help = "Secret."

[[setting]]
key = "ratio"
type = "float"
label = "Ratio"
help = "A number."

[[setting]]
key = "fast"
type = "bool"
label = "Fast"
help = "Or not."

[[setting]]
key = "tags"
type = "list"
label = "Tags"
help = "Labels."
max = 2

[[setting]]
key = "columns"
type = "map"
label = "Columns"
help = "Names."

[[setting]]
key = "file"
type = "path"
label = "File"
help = "Where."

[[setting]]
key = "every"
type = "duration"
label = "Every"
help = "How often."
min = 60

[[action]]
name = "block"
title = "Block"
summary = "Blocks."
kinds = ["ipv4"]
delivery = "items"
capacity = 1000
pool = "tenant"
render = "no_scheme"

[[action.params]]
key = "list"
type = "text"
label = "List"
help = "Which."
required = true
max = 8
"#;

    #[test]
    fn a_manifest_is_read() {
        let manifest = Manifest::parse(TOML).unwrap();
        let source = manifest.source.as_ref().unwrap();
        assert!(source.complete());
        assert_eq!(source.interval.map(|length| length.as_secs()), Some(1_800));
        let action = manifest.action("block").unwrap();
        assert_eq!(
            (action.batch, action.capacity, action.can_retract, action.can_look),
            (100, Some(1_000), true, false)
        );
        assert_eq!(action.check(&json!({"list": "a"})), Ok(json!({"list": "a"})));
        assert_eq!(manifest.limits, None);
        let limited = TOML.replacen("[[action]]", "[limits]\nrequests_per_minute = 30\n[[action]]", 1);
        let limits = Manifest::parse(&limited).unwrap().limits.unwrap();
        assert_eq!((limits.requests_per_minute, limits.burst), (30, 1));
        assert_eq!(action.check(&Value::Null).unwrap_err()[0].key, "list");
    }

    #[test]
    fn defaults_are_filled_in() {
        let manifest = Manifest::parse(TOML).unwrap();
        let given = json!({"url": "https://a.example/", "token": null, "every": "1h"});
        let full = json!({"url": "https://a.example/", "pages": 5, "format": "text", "kind": "auto", "every": "1h"});
        assert_eq!(manifest.check(&given), Ok(full.clone()));
        assert_eq!(manifest.check(&full), Ok(full), "what is complete stays as it is");
    }

    #[test]
    fn every_error_names_the_key_and_what_was_expected() {
        let manifest = Manifest::parse(TOML).unwrap();
        for (key, value, expect) in [
            ("url", json!(null), "url: is missing; expected an address that begins with https://, http:// or file://"),
            (
                "url",
                json!("example"),
                "url: is no address (relative URL without a base); expected an address that begins with https://, http:// or file://",
            ),
            (
                "url",
                json!("ftp://a/"),
                "url: has the scheme \"ftp\"; expected an address that begins with https://, http:// or file://",
            ),
            ("pages", json!("5"), "pages: is a text; expected a whole number of 1 to 10"),
            ("pages", json!(1.5), "pages: is a number; expected a whole number of 1 to 10"),
            ("pages", json!(11), "pages: measures 11; expected a whole number of 1 to 10"),
            ("format", json!("cvs"), "format: is \"cvs\"; expected one of text, csv (did you mean \"csv\"?)"),
            ("format", json!(3), "format: is a number; expected one of text, csv"),
            ("kind", json!("ipv5"), "kind: is \"ipv5\"; expected auto or a kind of indicator (did you mean \"ipv4\"?)"),
            (
                "token",
                json!(["canary"]),
                "token: is a list; expected a text, or a reference such as \"env:NAME\" or \"file:/path\"",
            ),
            (
                "token",
                json!(""),
                "token: is empty; expected a text, or a reference such as \"env:NAME\" or \"file:/path\"",
            ),
            ("ratio", json!("x"), "ratio: is a text; expected a number"),
            ("fast", json!("true"), "fast: is a text; expected true or false"),
            ("tags", json!("a"), "tags: is a text; expected a list of texts of at most 2"),
            ("tags", json!(["a", 1]), "tags: has an item that is a number; expected a list of texts of at most 2"),
            ("tags", json!(["a", "b", "c"]), "tags: measures 3; expected a list of texts of at most 2"),
            ("columns", json!({"a": 1}), "columns: has at \"a\" a number; expected a table of texts"),
            ("file", json!(" "), "file: is empty; expected a path"),
            (
                "every",
                json!("1s"),
                "every: measures 1; expected a length of time of at least 60 seconds, such as \"90s\" or \"14d\"",
            ),
            (
                "every",
                json!("soon"),
                "every: is \"soon\"; expected a length of time of at least 60 seconds, such as \"90s\" or \"14d\"",
            ),
            (
                "pagse",
                json!(1),
                "pagse: is no setting; expected one of url, pages, format, kind, token, ratio, fast, tags, columns, file, every (did you mean \"pages\"?)",
            ),
            (
                "zzzzzzzz",
                json!(1),
                "zzzzzzzz: is no setting; expected one of url, pages, format, kind, token, ratio, fast, tags, columns, file, every",
            ),
        ] {
            let mut settings = json!({"url": "https://a.example/"});
            settings[key] = value;
            let errors = manifest.check(&settings).unwrap_err();
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(texts, [expect]);
        }
        assert_eq!(manifest.check(&json!([])).unwrap_err()[0].key, "settings");
        let both = manifest.check(&json!({"pages": 0, "fast": 1})).unwrap_err();
        assert_eq!(both.iter().map(|error| error.key.as_str()).collect::<Vec<_>>(), ["url", "pages", "fast"]);
    }

    #[test]
    fn a_wrong_manifest_is_refused() {
        for (from, to, expect) in [
            ("style = \"whole\"", "style = \"some\"", "unknown variant `some`"),
            ("kinds = [\"ipv4\", \"url\"]", "kinds = [\"ipv9\"]", "\"ipv9\" is no kind of indicator"),
            ("tlp = \"amber\"", "tlp = \"pink\"", "\"pink\" is no TLP"),
            ("reputation = 7", "reputation = 11", "11 is no reputation"),
            ("interval = \"30m\"", "interval = \"often\"", "\"often\" is no length of time"),
            ("name = \"sample\"", "name = \"Sam Ple\"", "name \"Sam Ple\": expected lower-case"),
            ("name = \"sample\"", "name = \"sample\"\nversion = 3", "unknown field `version`"),
            ("key = \"pages\"", "key = \"url\"", "setting \"url\" is declared twice"),
            ("default = 5", "default = 50", "setting pages: measures 50"),
            ("default = \"text\"", "default = \"xml\"", "setting format: is \"xml\""),
            ("choices = [\"text\", \"csv\"]\ndefault = \"text\"", "", "setting \"format\" is a choice without choices"),
            (
                "help = \"Secret.\"",
                "help = \"Secret.\"\ndefault = \"x\"",
                "setting \"token\" is a secret with a default",
            ),
            (
                "help = \"Where it is.\"",
                "help = \"Where it is.\"\ndefault = \"https://x.example\"",
                "is required and has a default",
            ),
            ("capacity = 1000", "batch = 0", "batch must be at least 1"),
            ("capacity = 1000", "capacity = \"many\"", "invalid type"),
            ("[[action]]", "[limits]\nrequests_per_minute = 0\n[[action]]", "must be at least 1"),
            ("[[action]]", "[limits]\nrequests_per_minute = 9\nburst = 0\n[[action]]", "must be at least 1"),
            ("[[action]]", "[limits]\nrequests_per_hour = 9\n[[action]]", "unknown field `requests_per_hour`"),
        ] {
            assert!(TOML.contains(from), "{from}");
            let error = Manifest::parse(&TOML.replacen(from, to, 1)).unwrap_err();
            assert!(error.contains(expect), "{error}");
        }
        let bare = "name = \"x\"\ntitle = \"X\"\nsummary = \"\"\ncategory = \"feed\"";
        assert!(Manifest::parse(bare).unwrap_err().contains("[source]"));
        let feed = format!("{bare}\n[source]\nstyle = \"whole\"\n[feed]\nurl = \"https://a.example/\"");
        assert_eq!(Manifest::parse(&feed).unwrap().feed.unwrap()["url"], "https://a.example/");
    }

    #[test]
    fn edits_between_words() {
        for (a, b, expect) in
            [("", "", 0), ("a", "", 1), ("abc", "acb", 1), ("kitten", "sitting", 3), ("csv", "cvs", 1)]
        {
            assert_eq!(distance(a, b), expect, "{a} {b}");
        }
    }
}
