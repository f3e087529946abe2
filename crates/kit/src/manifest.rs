//! The manifest: what a connector is, what it can do, and which settings it takes.
//!
//! It is said once, in `manifest.toml`; forms, reference pages, checks and the capabilities that the engine relies on
//! are read from it. Settings are checked here and nowhere else: a connector gets them complete and of the right type.

mod check;
mod time;

pub use check::SettingError;
pub use time::parse_duration;

use intel::{IndicatorKind, Reputation, Tlp};
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;
use std::time::Duration;

/// What a connector says of itself.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The connector's name in configuration: lower-case letters, digits, `-` and `_`.
    pub name: String,
    /// The product's name for people.
    pub title: String,
    /// One sentence.
    pub summary: String,
    /// Where catalogues list it: `feed`, `edr`, `firewall`, `platform`, `output`, …
    pub category: String,
    /// Where to read more.
    #[serde(default)]
    pub docs: Option<String>,
    /// The source side, if it has one.
    #[serde(default)]
    pub source: Option<SourceSpec>,
    /// What it can do as a destination, in the order shown. Empty: it is no destination.
    #[serde(default, rename = "action")]
    pub actions: Vec<Action>,
    /// How often its API may be called, where that is known.
    #[serde(default)]
    pub limits: Option<CallLimits>,
    /// Its settings, in the order shown.
    #[serde(default, rename = "setting")]
    pub settings: Vec<Setting>,
    /// The `[feed]` table of a feed that needs no code; read by the feed room.
    #[serde(default)]
    pub feed: Option<Value>,
}

/// How often one account may call the product's API, as its maker says. A connection may say otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallLimits {
    /// Calls a minute, in the long run; at least 1.
    pub requests_per_minute: u32,
    /// Calls that may follow each other at once after a pause; at least 1, default 1.
    #[serde(default = "one")]
    pub burst: u32,
}

/// How a source tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Style {
    /// Every pull is all of it.
    Whole,
    /// A pull is what came since the cursor.
    Incremental,
    /// It pushes to us.
    Hosted,
}

/// The source side of a manifest: defaults a connection may override.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceSpec {
    /// The kinds it may give; empty: any.
    #[serde(default, deserialize_with = "kinds")]
    pub kinds: Vec<IndicatorKind>,
    /// How it tells.
    pub style: Style,
    /// Does it list everything it stands by? None: as the style says ([`SourceSpec::complete`]).
    #[serde(default, rename = "complete")]
    pub complete_hint: Option<bool>,
    /// How often to pull, e.g. `"60m"`.
    #[serde(default, deserialize_with = "time::optional")]
    pub interval: Option<Duration>,
    /// After how many days without a word its records stop counting.
    #[serde(default)]
    pub aging_days: Option<u32>,
    /// The marking of what it gives.
    #[serde(default, deserialize_with = "tlp")]
    pub tlp: Option<Tlp>,
    /// The reputation of what it gives where it does not say, 1 to 10.
    #[serde(default, deserialize_with = "reputation")]
    pub reputation: Option<Reputation>,
}

impl SourceSpec {
    /// Is what a pull does not list meant to be gone, unless the connection says otherwise?
    pub fn complete(&self) -> bool {
        self.complete_hint.unwrap_or(self.style == Style::Whole)
    }
}

/// How an action writes a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Render {
    /// As the canonical value.
    #[default]
    Value,
    /// A URL without its scheme, everything else as the canonical value.
    NoScheme,
}

/// How an action delivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// Item by item: `push` and `retract`.
    Items,
    /// The whole list at once, and it is all ours: `publish`.
    List,
    /// The whole list at once, and others have entries in it: `read`, then `replace`.
    Replace,
    /// We serve it ourselves; no connector code is called.
    Hosted,
}

/// What shares a capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pool {
    /// Each list on its own.
    #[default]
    List,
    /// All targets of one connection.
    Connection,
    /// All targets of one account.
    Tenant,
}

/// A verb a destination offers.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// Its name in configuration.
    pub name: String,
    /// Its name for people.
    pub title: String,
    /// One sentence.
    pub summary: String,
    /// The kinds it takes; empty: any.
    #[serde(default, deserialize_with = "kinds")]
    pub kinds: Vec<IndicatorKind>,
    /// How it writes a key.
    #[serde(default)]
    pub render: Render,
    /// How it delivers.
    pub delivery: Delivery,
    /// Most items in one call; default 100, at least 1.
    #[serde(default = "hundred")]
    pub batch: usize,
    /// Most bytes of entries in one call, by the size of what is sent for each, its frame not counted. None: no limit
    /// known.
    #[serde(default)]
    pub batch_bytes: Option<u64>,
    /// Can an entry be taken back? Default true.
    #[serde(default = "yes")]
    pub can_retract: bool,
    /// Can it be asked what is there? Default false.
    #[serde(default)]
    pub can_look: bool,
    /// Can all that is there be read, ours and that of others? Default false; `replace` needs it.
    #[serde(default)]
    pub can_read: bool,
    /// Does what was sent take effect only with a call of `deploy`? Default false.
    #[serde(default)]
    pub deploys: bool,
    /// How long what it says may lag behind what was written, e.g. `"15m"`: an entry written since then is neither found
    /// missing nor found there. Default: not at all.
    #[serde(default, deserialize_with = "time::optional")]
    pub lag: Option<Duration>,
    /// Does what it writes carry this exchange's id, so that an object read back without it is somebody else's? Default
    /// false.
    #[serde(default)]
    pub marks: bool,
    /// Can an entry carry a date on which it dies by itself? Default false.
    #[serde(default)]
    pub holds_expiry: bool,
    /// Is pushing the same entry twice harmless? Default true.
    #[serde(default = "yes")]
    pub idempotent: bool,
    /// Most entries it holds. None: no limit known.
    #[serde(default)]
    pub capacity: Option<u64>,
    /// Most bytes a list may have. None: no limit known.
    #[serde(default)]
    pub max_bytes: Option<u64>,
    /// What shares the capacity.
    #[serde(default)]
    pub pool: Pool,
    /// The parameters that name the remote object: two targets of one account may not name the same one.
    #[serde(default)]
    pub object: Vec<String>,
    /// The object is on this machine: it is the same one whatever the account.
    #[serde(default)]
    pub object_is_local: bool,
    /// Its parameters, in the order shown.
    #[serde(default)]
    pub params: Vec<Setting>,
}

/// The type of a setting's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettingType {
    /// A text; `min` and `max` count characters.
    Text,
    /// An address with the scheme https, http or file; `choices`, where given, are the schemes allowed.
    Url,
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// true or false.
    Bool,
    /// One of `choices`.
    Choice,
    /// A list of texts, each one of `choices` where given; `min` and `max` count items.
    List,
    /// A table of texts.
    Map,
    /// A text nobody may see; `env:NAME` and `file:PATH` are references.
    Secret,
    /// A path of the local machine, below a directory the operator allowed.
    Path,
    /// A length of time, such as `"90s"`, `"60m"`, `"14d"`; `min` and `max` are seconds.
    Duration,
    /// The name of an indicator kind, or `auto`.
    Kind,
}

/// One setting of a connection, or one parameter of an action.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// Its name in configuration: lower-case letters, digits and `_`.
    pub key: String,
    /// What its value must be.
    #[serde(rename = "type")]
    pub value_type: SettingType,
    /// Its name for people.
    pub label: String,
    /// What it does, in a sentence.
    pub help: String,
    /// Must it be given?
    #[serde(default)]
    pub required: bool,
    /// Its value where it is not given. None: it stays out.
    #[serde(default)]
    pub default: Option<Value>,
    /// The values allowed; empty: any.
    #[serde(default)]
    pub choices: Vec<String>,
    /// The least value (see [`SettingType`] for what is measured).
    #[serde(default)]
    pub min: Option<f64>,
    /// The greatest value.
    #[serde(default)]
    pub max: Option<f64>,
    /// A value as an example.
    #[serde(default)]
    pub example: Option<Value>,
}

impl Manifest {
    /// Reads a `manifest.toml`.
    ///
    /// # Errors
    /// A sentence with line and key: what is wrong, what was expected.
    pub fn parse(toml: &str) -> Result<Manifest, String> {
        let manifest: Manifest = toml::from_str(toml).map_err(|error| error.to_string())?;
        manifest.validate()?;
        Ok(manifest)
    }

    /// The action of this name.
    pub fn action(&self, name: &str) -> Option<&Action> {
        self.actions.iter().find(|action| action.name == name)
    }

    /// Checks a connection's settings and fills in defaults. All errors are given, not only the first.
    ///
    /// # Errors
    /// What is wrong, by key.
    pub fn check(&self, settings: &Value) -> Result<Value, Vec<SettingError>> {
        check::check(&self.settings, settings)
    }

    fn validate(&self) -> Result<(), String> {
        check::name("name", &self.name)?;
        check::declared("setting", &self.settings)?;
        if self.limits.is_some_and(|limits| limits.requests_per_minute == 0 || limits.burst == 0) {
            return Err("[limits]: requests_per_minute and burst must be at least 1".into());
        }
        for (at, action) in self.actions.iter().enumerate() {
            check::name("action", &action.name)?;
            if self.actions[..at].iter().any(|other| other.name == action.name) {
                return Err(format!("the action {:?} is declared twice", action.name));
            }
            if action.batch == 0 {
                return Err(format!("action {:?}: batch must be at least 1", action.name));
            }
            if action.delivery == Delivery::Replace && !action.can_read {
                return Err(format!("action {:?}: a list that others write to as well needs can_read", action.name));
            }
            if action.deploys && action.delivery != Delivery::Items {
                return Err(format!("action {:?}: only what is sent item by item can be deployed", action.name));
            }
            if !action.idempotent && action.delivery == Delivery::Items && !action.can_look && !action.can_read {
                return Err(format!(
                    "action {:?}: what may not be sent twice must be asked about: can_look or can_read",
                    action.name
                ));
            }
            check::declared(&format!("action {:?}, params", action.name), &action.params)?;
        }
        if self.source.is_none() && self.actions.is_empty() {
            return Err("a connector needs a [source], an [[action]], or both".into());
        }
        Ok(())
    }
}

impl Action {
    /// Can it be asked about single entries, be it by reading everything?
    pub fn can_ask(&self) -> bool {
        self.can_look || self.can_read
    }

    /// Checks a target's parameters and fills in defaults. All errors are given, not only the first.
    ///
    /// # Errors
    /// What is wrong, by key.
    pub fn check(&self, params: &Value) -> Result<Value, Vec<SettingError>> {
        check::check(&self.params, params)
    }
}

fn one() -> u32 {
    1
}

fn hundred() -> usize {
    100
}

fn yes() -> bool {
    true
}

fn kinds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IndicatorKind>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    let read = |name: &String| {
        IndicatorKind::from_name(name).ok_or_else(|| {
            let all: Vec<&str> = IndicatorKind::ALL.iter().map(|kind| kind.as_str()).collect();
            de::Error::custom(format!("{name:?} is no kind of indicator; expected one of {}", all.join(", ")))
        })
    };
    names.iter().map(read).collect()
}

fn tlp<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Tlp>, D::Error> {
    let name = String::deserialize(deserializer)?;
    let wrong = || de::Error::custom(format!("{name:?} is no TLP; expected clear, green, amber, amber+strict or red"));
    Tlp::parse(&name).map(Some).ok_or_else(wrong)
}

fn reputation<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Reputation>, D::Error> {
    let number = u8::deserialize(deserializer)?;
    let wrong = || de::Error::custom(format!("{number} is no reputation; expected 1 to 10"));
    Reputation::new(number).map(Some).ok_or_else(wrong)
}
