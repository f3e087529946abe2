//! One recorded case: what is done with which settings, and what must come of it.

use super::{expect, show};
use crate::connection::{Connector, Cursor, Cx, Outgoing, Placed, Presence, Pulled, Reading, Remote, Rows, TargetSpec};
use crate::error::ConnectorError;
use crate::files::Files;
use crate::http::{Exchanges, Http};
use crate::manifest::{Manifest, SettingType};
use crate::secret::Secret;
use intel::{IndicatorKey, IndicatorKind, Observation, Reputation, Severity, Timestamp, Tlp};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a pull gave.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Collected {
    /// Candidate rows, in order.
    pub rows: Vec<Observation>,
    /// Reason and sample of rows that could not be read.
    pub rejected: Vec<(&'static str, String)>,
    /// Things that are no candidates, by reason.
    pub filtered: BTreeMap<&'static str, u64>,
}

impl Rows for Collected {
    fn row(&mut self, row: Observation) {
        self.rows.push(row);
    }

    fn reject(&mut self, reason: &'static str, sample: &str) {
        self.rejected.push((reason, sample.chars().take(200).collect()));
    }

    fn filter(&mut self, reason: &'static str, n: u64) {
        *self.filtered.entry(reason).or_default() += n;
    }
}

/// What is done in a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Check,
    Pull,
    Push,
    Retract,
    Publish,
    Look,
    Read,
    Replace,
    Deploy,
}

/// A recorded case.
#[derive(Debug, Clone)]
pub struct Case {
    /// The name of its files.
    pub name: String,
    /// Checked, with defaults.
    pub settings: Value,
    /// What was said; empty where nothing may be.
    pub exchanges: Exchanges,
    pub(super) deed: Deed,
    pub(super) secrets: Vec<(String, Secret)>,
    pub(super) html: bool,
    expect: PathBuf,
    folder: PathBuf,
    after: Option<Cursor>,
    now: Timestamp,
    pub(super) action: String,
    params: Value,
    pub(super) items: Vec<Outgoing>,
    pub(super) foreign: Vec<Remote>,
    pub(super) version: Option<String>,
    /// What a `read` and a `look` of one state have in common: what follows the first word of their names.
    pub(super) suffix: String,
}

/// Pages of one pull; a source that wants more goes in circles.
const MAX_PAGES: usize = 1_000;

/// What came of a case.
pub(super) type Outcome = Result<String, ConnectorError>;

impl Case {
    /// Reads every case of a folder, by name.
    ///
    /// # Errors
    /// A sentence with the file.
    pub fn load_all(manifest: &Manifest, folder: &Path) -> Result<Vec<Case>, String> {
        let folder = folder.canonicalize().map_err(|error| format!("{}: {error}", folder.display()))?;
        let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut names = BTreeSet::new();
        for entry in entries.flatten() {
            let file = entry.file_name().to_string_lossy().into_owned();
            if let Some(name) = file.strip_suffix(".http").or_else(|| file.strip_suffix(".json"))
                && name != "settings"
            {
                names.insert(name.to_owned());
            }
        }
        names.iter().filter_map(|name| Case::load(manifest, &folder, name).transpose()).collect()
    }

    /// None for a file that is no case, such as a body beside an exchange.
    fn load(manifest: &Manifest, folder: &Path, name: &str) -> Result<Option<Case>, String> {
        let deed = match name.split(['-', '.']).next() {
            Some("check") => Deed::Check,
            Some("pull") => Deed::Pull,
            Some("push") => Deed::Push,
            Some("retract") => Deed::Retract,
            Some("publish") => Deed::Publish,
            Some("look") => Deed::Look,
            Some("read") => Deed::Read,
            Some("replace") => Deed::Replace,
            Some("deploy") => Deed::Deploy,
            _ => return Ok(None),
        };
        let file = |extension: &str| folder.join(format!("{name}.{extension}"));
        let read = |path: &Path| -> Result<Value, String> {
            if !path.exists() {
                return Ok(json!({}));
            }
            let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
            serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
        };
        let wrong = |why: String| format!("{name}: {why}");
        let own = read(&file("json"))?;
        let mut settings = read(&folder.join("settings.json"))?;
        if let Some(more) = own["settings"].as_object() {
            for (key, value) in more {
                settings[key] = value.clone();
            }
        }
        let settings = in_folder(settings, folder);
        let all = |errors: Vec<crate::manifest::SettingError>| {
            wrong(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        };
        let settings = manifest.check(&settings).map_err(all)?;
        let exchanges = if file("http").exists() { Exchanges::load(&file("http"))? } else { Exchanges::default() };
        let time = |text: &str| Timestamp::parse(text).ok_or_else(|| wrong(format!("{text:?} is no time")));
        let action_name = own["action"].as_str().or(manifest.actions.first().map(|action| action.name.as_str()));
        let action_name = action_name.unwrap_or_default().to_owned();
        let params = match manifest.action(&action_name) {
            Some(action) => action.check(&in_folder(own["params"].clone(), folder)).map_err(all)?,
            None if own["action"].is_string() => return Err(wrong(format!("there is no action {action_name:?}"))),
            None => Value::Null,
        };
        let secret = |setting: &crate::manifest::Setting| {
            let text = settings[&setting.key].as_str().filter(|_| setting.value_type == SettingType::Secret)?;
            Some((setting.key.clone(), Secret::new(text)))
        };
        let now = time(own["now"].as_str().unwrap_or("2026-01-01T00:00:00Z"))?;
        let items = own["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(Some(Case {
            name: name.to_owned(),
            exchanges,
            deed,
            secrets: manifest.settings.iter().filter_map(secret).collect(),
            html: own["html"] == json!(true),
            expect: file("expect"),
            folder: folder.to_owned(),
            after: own.get("after").cloned(),
            now,
            action: action_name,
            params,
            items: items.iter().map(|one| item(one, now)).collect::<Result<_, _>>().map_err(wrong)?,
            foreign: own["foreign"]
                .as_array()
                .into_iter()
                .flatten()
                .map(remote)
                .collect::<Result<_, _>>()
                .map_err(wrong)?,
            version: own["version"].as_str().map(str::to_owned),
            suffix: name.split_once('-').map_or_else(String::new, |(_, rest)| rest.to_owned()),
            settings,
        }))
    }

    /// Does it, through `http`. With `empty`, without items.
    pub(super) fn act(&self, connector: &dyn Connector, settings: &Value, http: &Http, empty: bool) -> Outcome {
        let files = Files::below(vec![self.folder.clone()]);
        let initial_from = self.now.before(Duration::from_secs(14 * 86_400));
        let cx = Cx { http, files: &files, now: self.now, initial_from };
        let connection = connector.open(settings).map_err(ConnectorError::Denied)?;
        if self.deed == Deed::Check {
            return connection.check(&cx).map(|()| "fine\n".to_owned());
        }
        if self.deed == Deed::Pull {
            let source = connection.source().ok_or(ConnectorError::Unsupported)?;
            let mut found = Collected::default();
            let mut after = self.after.clone();
            for _ in 0..MAX_PAGES {
                match source.pull(after.as_ref(), &cx, &mut found)? {
                    // As stored and read back.
                    Pulled::More(cursor) => after = serde_json::from_str(&cursor.to_string()).ok(),
                    end => return Ok(show::collected(&found, &end)),
                }
            }
            return Err(ConnectorError::Unexpected(format!("more than {MAX_PAGES} pages")));
        }
        let destination = connection.destination().ok_or(ConnectorError::Unsupported)?;
        let target = self.target();
        let items: &[Outgoing] = if empty { &[] } else { &self.items };
        let counted = |n: usize| {
            if n == items.len() {
                Ok(())
            } else {
                Err(ConnectorError::Unexpected(format!("{n} answers for {} items", items.len())))
            }
        };
        match self.deed {
            Deed::Push | Deed::Retract => {
                let outcomes = match self.deed {
                    Deed::Push => destination.push(target, items, &cx)?,
                    _ => destination.retract(target, items, &cx)?,
                };
                counted(outcomes.len())?;
                Ok(show::outcomes(&outcomes))
            }
            Deed::Look => {
                let presences = destination.look(target, items, &cx)?;
                counted(presences.len())?;
                Ok(show::presences(&presences))
            }
            Deed::Read => {
                let mut found = Vec::new();
                let reading = destination.read(target, &mut |remote| found.push(remote), &cx)?;
                Ok(show::reading(&found, &reading))
            }
            Deed::Replace => {
                let theirs = self.foreign.iter().filter(|_| !empty).cloned().map(Placed::Foreign);
                let mut all = theirs.chain(items.iter().cloned().map(Placed::Ours));
                destination.replace(target, &mut all, self.version.as_deref(), &cx)?;
                Ok("replaced\n".to_owned())
            }
            Deed::Deploy => destination.deploy(target, &cx).map(|()| "deployed\n".to_owned()),
            _ => {
                destination.publish(target, &mut items.iter().cloned(), &cx)?;
                Ok("published\n".to_owned())
            }
        }
    }

    fn target(&self) -> TargetSpec<'_> {
        TargetSpec { name: "test", action: &self.action, params: &self.params, mark: "iocast:test" }
    }

    /// What a recorded `read` hands over, and what a recorded `look` answers, by a conversation of its own.
    pub(super) fn seen(
        &self,
        connector: &dyn Connector,
    ) -> Result<(Vec<Remote>, Reading, Vec<Presence>), ConnectorError> {
        let http = self.replay(1);
        let files = Files::below(vec![self.folder.clone()]);
        let cx = Cx { http: &http, files: &files, now: self.now, initial_from: self.now };
        let connection = connector.open(&self.settings).map_err(ConnectorError::Denied)?;
        let destination = connection.destination().ok_or(ConnectorError::Unsupported)?;
        if self.deed == Deed::Look {
            let answers = destination.look(self.target(), &self.items, &cx)?;
            return Ok((Vec::new(), Reading::default(), answers));
        }
        let mut found = Vec::new();
        let reading = destination.read(self.target(), &mut |remote| found.push(remote), &cx)?;
        Ok((found, reading, Vec::new()))
    }

    fn replay(&self, times: usize) -> Http {
        let said = std::iter::repeat_n(&self.exchanges.0, times).flatten().cloned().collect();
        Http::replaying(Exchanges(said), self.secrets.clone())
    }

    /// Replays it: what must come of it, all that was recorded, and the same again.
    pub(super) fn run(&self, connector: &dyn Connector) -> Vec<String> {
        let http = self.replay(2);
        let run = || self.act(connector, &self.settings, &http, false);
        let text = |outcome: Outcome| outcome.unwrap_or_else(|error| format!("{error}\n"));
        let mut wrong = Vec::new();
        let first = text(run());
        let left = http.unreplayed();
        if left != self.exchanges.0.len() {
            wrong.push(format!("{} exchanges were recorded, {} of two rounds are left", self.exchanges.0.len(), left));
        }
        let second = text(run());
        if first != second {
            wrong.push(format!("the second time gave something else: first\n{first}then\n{second}"));
        }
        wrong.extend(expect(&self.expect, &first).err());
        for (name, secret) in &self.secrets {
            if first.contains(secret.reveal()) {
                wrong.push(format!("the secret {name} is in what came of it"));
            }
        }
        wrong
    }

    pub(super) fn has_items(&self) -> bool {
        matches!(self.deed, Deed::Push | Deed::Retract | Deed::Look)
    }
}

fn in_folder(value: Value, folder: &Path) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace("{{dir}}", &folder.to_string_lossy())),
        Value::Array(items) => items.into_iter().map(|item| in_folder(item, folder)).collect(),
        Value::Object(map) => map.into_iter().map(|(key, value)| (key, in_folder(value, folder))).collect(),
        other => other,
    }
}

/// An entry of somebody else.
fn remote(value: &Value) -> Result<Remote, String> {
    let text = |key: &str| value[key].as_str().map(str::to_owned);
    let kind = text("kind").map(|name| IndicatorKind::from_name(&name).ok_or_else(|| format!("{name:?} is no kind")));
    Ok(Remote {
        entry: text("entry").ok_or("what others have needs an entry")?,
        kind: kind.transpose()?,
        remote_id: text("remote_id"),
        marked: false,
        expires_at: text("expires_at").and_then(|time| Timestamp::parse(&time)),
    })
}

/// An item of a case; what is not given has a plain value.
fn item(value: &Value, now: Timestamp) -> Result<Outgoing, String> {
    let text = |key: &str| value[key].as_str();
    let raw = text("value").ok_or("an item needs a value")?;
    let kind = match text("kind") {
        Some(name) => Some(IndicatorKind::from_name(name).ok_or_else(|| format!("{name:?} is no kind"))?),
        None => None,
    };
    let key = IndicatorKey::parse(kind, raw).map_err(|error| format!("{raw:?}: {error}"))?;
    let time = |key: &str| match text(key) {
        Some(text) => Timestamp::parse(text).map(Some).ok_or_else(|| format!("{text:?} is no time")),
        None => Ok(None),
    };
    let list = |key: &str| -> Vec<String> {
        value[key].as_array().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
    };
    Ok(Outgoing {
        entry: text("entry").unwrap_or(key.value()).to_owned(),
        reputation: Reputation::clamped(value["reputation"].as_i64().unwrap_or(5)),
        severity: text("severity").and_then(Severity::parse).unwrap_or(Severity::Unknown),
        confidence: value["confidence"].as_u64().and_then(|n| u8::try_from(n).ok()),
        tlp: text("tlp").and_then(Tlp::parse).unwrap_or(Tlp::Green),
        tags: list("tags"),
        sources: list("sources"),
        first_seen: time("first_seen")?,
        last_seen: time("last_seen")?,
        expires_at: time("expires_at")?,
        comment: text("comment").map(str::to_owned),
        remote_id: text("remote_id").map(str::to_owned),
        created: time("created")?.unwrap_or(now),
        modified: time("modified")?.unwrap_or(now),
        hops: list("hops"),
        key,
    })
}
