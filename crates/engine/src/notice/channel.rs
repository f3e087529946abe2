//! Channels as configured, and what is handed to them.

use super::{Kind, Severity};
use crate::config::{ConfigError, NotifyDoc, Stored, Strict, nearest};
use crate::seal;
use intel::Timestamp;
use kit::Secret;
use kit::manifest::{Manifest, SettingType};
use kit::secret::SecretResolver;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

/// How a channel tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelKind {
    /// A signed message to an HTTP endpoint.
    Webhook,
    /// A mail over SMTP.
    Mail,
    /// A message of RFC 5424.
    Syslog,
}

impl ChannelKind {
    const ALL: [ChannelKind; 3] = [ChannelKind::Webhook, ChannelKind::Mail, ChannelKind::Syslog];

    /// The name in configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            ChannelKind::Webhook => "webhook",
            ChannelKind::Mail => "mail",
            ChannelKind::Syslog => "syslog",
        }
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Option<ChannelKind> {
        ChannelKind::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Its settings, as a manifest declares them.
    ///
    /// # Errors
    /// A manifest of ours that cannot be read, which a test rules out.
    pub fn manifest(self) -> Result<&'static Manifest, String> {
        static READ: OnceLock<[Result<Manifest, String>; 3]> = OnceLock::new();
        let read = READ.get_or_init(|| {
            [
                Manifest::parse(include_str!("webhook.toml")),
                Manifest::parse(include_str!("mail.toml")),
                Manifest::parse(include_str!("syslog.toml")),
            ]
        });
        read[self as usize].as_ref().map_err(Clone::clone)
    }
}

/// Whether a channel's setting is a secret. Of a channel nobody knows everything is: this errs on the side of silence.
pub(crate) fn is_secret(channel: &str, key: &str) -> bool {
    let manifest = ChannelKind::parse(channel).and_then(|kind| kind.manifest().ok());
    manifest.is_none_or(|manifest| {
        let setting = manifest.settings.iter().find(|setting| setting.key == key);
        setting.is_none_or(|setting| setting.value_type == SettingType::Secret)
    })
}

/// A channel ready to be used.
#[derive(Debug, Clone)]
pub struct Channel {
    /// As configured, but for the settings.
    pub doc: NotifyDoc,
    /// How it tells.
    pub kind: ChannelKind,
    /// Settings with defaults filled in, secrets left out.
    pub settings: Value,
    /// Its secrets by the name of their setting.
    pub secrets: BTreeMap<String, Secret>,
    /// Why a secret of it cannot be read at the moment; nothing is told then.
    pub locked: Option<String>,
    /// Of what it tells; empty: of everything.
    on: BTreeSet<Kind>,
    least: Severity,
}

impl Channel {
    /// Whether it tells of such a thing.
    pub fn wants(&self, kind: &str, severity: &str) -> bool {
        self.doc.enabled
            && (self.on.is_empty() || Kind::parse(kind).is_some_and(|kind| self.on.contains(&kind)))
            && Severity::parse(severity).is_none_or(|severity| severity >= self.least)
    }

    /// A text among the settings.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.settings.get(key).and_then(Value::as_str)
    }

    /// A port among the settings.
    pub fn port(&self, key: &str) -> Option<u16> {
        self.settings.get(key).and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok())
    }

    /// A list of texts among the settings.
    pub fn list(&self, key: &str) -> Vec<&str> {
        self.settings.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// A text without any of its secrets, however they came to be in it.
    pub fn hide(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for secret in self.secrets.values() {
            let words = secret.reveal().split_whitespace().filter(|word| word.len() >= 4);
            for word in words.chain(std::iter::once(secret.reveal()).filter(|all| !all.trim().is_empty())) {
                out = out.replace(word, "***");
            }
        }
        super::plain(&out)
    }
}

/// Reads the channels, or says what is wrong with them.
pub(crate) fn resolve_channels(
    documents: &[Stored<NotifyDoc>],
    resolver: &dyn SecretResolver,
    strict: Strict,
    errors: &mut Vec<ConfigError>,
) -> BTreeMap<String, Channel> {
    let mut channels = BTreeMap::new();
    for stored in documents {
        let name = &stored.doc.name;
        if channels.contains_key(name) {
            errors.push(error(name, "name", "is used twice"));
            continue;
        }
        if let Some(channel) = resolve(&stored.doc, resolver, strict, errors) {
            channels.insert(name.clone(), channel);
        }
    }
    channels
}

fn error(name: &str, key: &str, problem: impl Into<String>) -> ConfigError {
    ConfigError { section: "notify", name: name.to_owned(), key: key.to_owned(), problem: problem.into() }
}

fn resolve(
    doc: &NotifyDoc,
    resolver: &dyn SecretResolver,
    strict: Strict,
    errors: &mut Vec<ConfigError>,
) -> Option<Channel> {
    let before = errors.len();
    let mut wrong = |key: &str, problem: String| errors.push(error(&doc.name, key, problem));
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    if doc.name.is_empty() || doc.name.len() > 64 || doc.name.starts_with('.') || !doc.name.chars().all(plain) {
        wrong("name", "must be 1 to 64 letters, digits, '-', '_' or '.'".to_owned());
    }
    let mut on = BTreeSet::new();
    for text in &doc.on {
        match Kind::parse(text) {
            Some(kind) => {
                on.insert(kind);
            }
            None => {
                let names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
                let hint = match nearest(text, &names) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("one of {}", names.join(", ")),
                };
                wrong("on", format!("\"{text}\" is nothing people are told of; {hint}"));
            }
        }
    }
    let least = match doc.min_severity.as_deref() {
        None => Severity::Info,
        Some(text) => Severity::parse(text).unwrap_or_else(|| {
            wrong("min_severity", format!("\"{text}\" is none of info, warning, critical"));
            Severity::Info
        }),
    };
    for network in &doc.allow_private {
        if network.parse::<intel::IpNet>().is_err() {
            wrong("allow_private", format!("\"{network}\" is no network such as 10.1.0.0/16"));
        }
    }
    let Some(kind) = ChannelKind::parse(&doc.channel) else {
        wrong("channel", format!("\"{}\" is none of webhook, mail, syslog", doc.channel));
        return None;
    };
    let manifest = match kind.manifest() {
        Ok(manifest) => manifest,
        Err(why) => {
            wrong("channel", why);
            return None;
        }
    };
    let mut settings = match manifest.check(&doc.settings) {
        Ok(settings) => settings,
        Err(problems) => {
            problems.iter().for_each(|problem| wrong(&format!("settings.{}", problem.key), problem.to_string()));
            return None;
        }
    };
    let mut secrets = BTreeMap::new();
    let mut locked = None;
    for setting in manifest.settings.iter().filter(|setting| setting.value_type == SettingType::Secret) {
        let taken = settings.as_object_mut().and_then(|settings| settings.remove(&setting.key));
        let Some(text) = taken.as_ref().and_then(Value::as_str) else { continue };
        let key = format!("settings.{}", setting.key);
        match Secret::resolve_at(&seal::place("notify", &doc.name, &key), text, resolver) {
            Ok(secret) => {
                secrets.insert(setting.key.clone(), secret);
            }
            Err(problem) if strict == Strict::Yes => wrong(&key, problem),
            // The process starts all the same, and this channel says why it tells nothing.
            Err(problem) => {
                locked.get_or_insert(format!("{key}: {problem}"));
            }
        }
    }
    let text = |key: &str| settings.get(key).and_then(Value::as_str);
    match kind {
        ChannelKind::Webhook => {}
        ChannelKind::Mail => {
            let to = settings.get("to").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
            for (key, address) in text("from").map(|from| ("from", from)).into_iter().chain(to.map(|to| ("to", to))) {
                let looks = address.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty());
                if !looks || address.chars().any(|c| c.is_control() || c.is_whitespace()) {
                    wrong(&format!("settings.{key}"), format!("{address:?} is no address such as soc@example.org"));
                }
            }
            if text("user").is_some() != (secrets.contains_key("password") || locked.is_some()) {
                wrong("settings.user", "user and password belong together: give both or neither".to_owned());
            }
            if text("security") == Some("none") && text("user").is_some() {
                wrong("settings.security", "a password is not sent without encryption: use tls or starttls".to_owned());
            }
        }
        ChannelKind::Syslog => {
            if (text("transport") == Some("local")) == text("server").is_some() {
                wrong("settings.server", "is needed, unless transport is \"local\"; then leave it out".to_owned());
            }
        }
    }
    let doc = NotifyDoc { settings: Value::Null, ..doc.clone() };
    (errors.len() == before).then_some(Channel { doc, kind, settings, secrets, locked, on, least })
}

/// What is handed to a channel. Its texts are plain: no control characters, no indicator's value, no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// The notice's number, by which a receiver knows a repetition; 0: a test.
    pub id: u64,
    /// This exchange's id.
    pub exchange: String,
    /// What sort of thing.
    pub kind: String,
    /// How grave.
    pub severity: Severity,
    /// What it is about, e.g. `target edge`.
    pub subject: String,
    /// A sentence.
    pub text: String,
    /// What to do.
    pub next_step: String,
    /// Where to look; None: the exchange has not been told its address.
    pub link: Option<String>,
    /// Since when.
    pub since: Timestamp,
}

impl Letter {
    /// Names the message: the same notice, the same name.
    pub fn message_id(&self) -> String {
        format!("notice-{}-{}", self.exchange.trim_start_matches("iocast-"), self.id)
    }

    /// One line.
    pub fn headline(&self) -> String {
        format!("[iocast] {}: {}", self.subject, self.kind.replace('_', " "))
    }

    /// The whole, for people.
    pub fn body(&self) -> String {
        let mut out = format!("{}\n\nWhat to do: {}\n", self.text, self.next_step);
        if let Some(link) = &self.link {
            out.push_str(&format!("Look: {link}\n"));
        }
        out.push_str(&format!(
            "\nSince {}, severity {}. Exchange {}, notice {}.\n",
            Timestamp::from_secs(self.since.secs()),
            self.severity.as_str(),
            self.exchange,
            self.id
        ));
        out
    }

    /// The whole, for programs: a message of Standard Webhooks.
    pub fn json(&self, now: Timestamp) -> Value {
        json!({
            "type": "notice",
            "timestamp": now.to_string(),
            "data": {
                "id": self.id,
                "exchange": self.exchange,
                "kind": self.kind,
                "severity": self.severity.as_str(),
                "subject": self.subject,
                "text": self.text,
                "next_step": self.next_step,
                "link": self.link,
                "since": self.since.to_string(),
            }
        })
    }
}
