//! What is configured, thing by thing, for every door: how one is looked up, put and taken out.
//!
//! Whoever changes one holds [`App::editing`] from the look at what is there to the change.

use super::App;
use crate::api::{Problem, exceptions};
use crate::tokens::Caller;
use axum::http::StatusCode;
use engine::config::{
    ConnectionDoc, GuardDoc, GuardExceptionDoc, NotifyDoc, ProviderDoc, RuleDoc, SharingDoc, TargetDoc, TenantDoc,
};
use engine::{ApplyOptions, ConfigFile, Prune};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A kind of thing that is configured.
pub(crate) trait Noun: Sized + Send + Sync + 'static {
    /// As files and the API write it.
    type Doc: Serialize + DeserializeOwned + JsonSchema + Clone + Send + 'static;
    /// What a delete has to be told.
    type Leave: DeserializeOwned + JsonSchema + Send + 'static;
    /// What one is called in a sentence.
    const NAME: &'static str;
    /// The collection's address.
    const PATH: &'static str;
    /// The keys that tell one from another, in the order of its address.
    const KEYS: &'static [&'static str];

    /// Where a file has them.
    fn of(file: &mut ConfigFile) -> &mut Vec<Self::Doc>;
    /// What is in the keys.
    fn key(doc: &Self::Doc) -> Vec<&str>;
    /// Whether this caller may have one be so, beyond what the route asks.
    fn may(app: &App, caller: &Caller, doc: &Self::Doc) -> Result<(), Problem> {
        let _ = (app, caller, doc);
        Ok(())
    }
    /// One is so now.
    fn done(app: &App, caller: &Caller, doc: &Self::Doc) -> Result<(), Problem> {
        let _ = (app, caller, doc);
        Ok(())
    }
    /// How one is taken out, or why not so.
    fn leave(leave: Self::Leave) -> Result<Prune, Problem> {
        let _ = leave;
        Ok(Prune::default())
    }
}

/// Nothing to say.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NothingToSay {}

/// What becomes of entries that are at a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Entries {
    /// They are taken back.
    TakeBack,
    /// They stay there and are nobody's.
    Release,
}

/// What becomes of the entries.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LeaveEntries {
    /// What becomes of the entries that are there.
    pub(crate) lines: Entries,
}

/// What becomes of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Records {
    /// They count no longer.
    Retract,
    /// They age out.
    Keep,
}

/// What becomes of the records.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LeaveRecords {
    /// What becomes of the records it gave.
    pub(crate) records: Records,
}

pub(crate) struct Tenants;
pub(crate) struct Connections;
pub(crate) struct Targets;
pub(crate) struct Rules;
pub(crate) struct Sharings;
pub(crate) struct GuardLists;
pub(crate) struct GuardExceptions;
pub(crate) struct Notifies;
pub(crate) struct Providers;

impl Noun for Tenants {
    type Doc = TenantDoc;
    type Leave = NothingToSay;
    const NAME: &'static str = "tenant";
    const PATH: &'static str = "/api/v1/tenants";
    const KEYS: &'static [&'static str] = &["name"];

    fn of(file: &mut ConfigFile) -> &mut Vec<TenantDoc> {
        &mut file.tenant
    }

    fn key(doc: &TenantDoc) -> Vec<&str> {
        vec![&doc.name]
    }
}

impl Noun for Connections {
    type Doc = ConnectionDoc;
    type Leave = LeaveRecords;
    const NAME: &'static str = "connection";
    const PATH: &'static str = "/api/v1/connections";
    const KEYS: &'static [&'static str] = &["name"];

    fn of(file: &mut ConfigFile) -> &mut Vec<ConnectionDoc> {
        &mut file.connection
    }

    fn key(doc: &ConnectionDoc) -> Vec<&str> {
        vec![&doc.name]
    }

    fn leave(leave: LeaveRecords) -> Result<Prune, Problem> {
        Ok(Prune { retract_records: leave.records == Records::Retract, ..Prune::default() })
    }
}

impl Noun for Targets {
    type Doc = TargetDoc;
    type Leave = LeaveEntries;
    const NAME: &'static str = "target";
    const PATH: &'static str = "/api/v1/targets";
    const KEYS: &'static [&'static str] = &["name"];

    fn of(file: &mut ConfigFile) -> &mut Vec<TargetDoc> {
        &mut file.target
    }

    fn key(doc: &TargetDoc) -> Vec<&str> {
        vec![&doc.name]
    }

    fn leave(leave: LeaveEntries) -> Result<Prune, Problem> {
        Ok(Prune { take_back: leave.lines == Entries::TakeBack, ..Prune::default() })
    }
}

impl Noun for Rules {
    type Doc = RuleDoc;
    type Leave = NothingToSay;
    const NAME: &'static str = "rule";
    const PATH: &'static str = "/api/v1/rules";
    const KEYS: &'static [&'static str] = &["name"];

    fn of(file: &mut ConfigFile) -> &mut Vec<RuleDoc> {
        &mut file.rule
    }

    fn key(doc: &RuleDoc) -> Vec<&str> {
        vec![&doc.name]
    }
}

impl Noun for Sharings {
    type Doc = SharingDoc;
    type Leave = LeaveEntries;
    const NAME: &'static str = "sharing";
    const PATH: &'static str = "/api/v1/sharings";
    const KEYS: &'static [&'static str] = &["source", "rule", "target"];

    fn of(file: &mut ConfigFile) -> &mut Vec<SharingDoc> {
        &mut file.sharing
    }

    fn key(doc: &SharingDoc) -> Vec<&str> {
        vec![&doc.source, &doc.rule, &doc.target]
    }

    fn leave(leave: LeaveEntries) -> Result<Prune, Problem> {
        if leave.lines == Entries::Release {
            // Which of a target's entries are one sharing's alone changes with every pass.
            return Err(conflict(
                "entries of one sharing cannot be released: set \"paused\": true to leave everything as it is, or release \
                 them with their target",
            ));
        }
        Ok(Prune::default())
    }
}

impl Noun for GuardLists {
    type Doc = GuardDoc;
    type Leave = NothingToSay;
    const NAME: &'static str = "guard list";
    const PATH: &'static str = "/api/v1/guard/lists";
    const KEYS: &'static [&'static str] = &["name"];

    fn of(file: &mut ConfigFile) -> &mut Vec<GuardDoc> {
        &mut file.guard
    }

    fn key(doc: &GuardDoc) -> Vec<&str> {
        vec![&doc.name]
    }
}

impl Noun for GuardExceptions {
    type Doc = GuardExceptionDoc;
    type Leave = NothingToSay;
    const NAME: &'static str = "guard exception";
    const PATH: &'static str = "/api/v1/guard/exceptions";
    const KEYS: &'static [&'static str] = &["target", "value"];

    fn of(file: &mut ConfigFile) -> &mut Vec<GuardExceptionDoc> {
        &mut file.guard_exception
    }

    fn key(doc: &GuardExceptionDoc) -> Vec<&str> {
        vec![&doc.target, &doc.value]
    }

    fn may(app: &App, caller: &Caller, doc: &GuardExceptionDoc) -> Result<(), Problem> {
        exceptions::may(app, caller, doc)
    }

    fn done(app: &App, caller: &Caller, doc: &GuardExceptionDoc) -> Result<(), Problem> {
        exceptions::done(app, caller, doc)
    }
}

impl Noun for Notifies {
    type Doc = NotifyDoc;
    type Leave = NothingToSay;
    const NAME: &'static str = "notify channel";
    const PATH: &'static str = "/api/v1/notify";
    const KEYS: &'static [&'static str] = &["name"];

    fn of(file: &mut ConfigFile) -> &mut Vec<NotifyDoc> {
        &mut file.notify
    }

    fn key(doc: &NotifyDoc) -> Vec<&str> {
        vec![&doc.name]
    }
}

impl Noun for Providers {
    type Doc = ProviderDoc;
    type Leave = NothingToSay;
    const NAME: &'static str = "provider";
    const PATH: &'static str = "/api/v1/providers";
    const KEYS: &'static [&'static str] = &["name"];

    fn of(file: &mut ConfigFile) -> &mut Vec<ProviderDoc> {
        &mut file.provider
    }

    fn key(doc: &ProviderDoc) -> Vec<&str> {
        vec![&doc.name]
    }

    fn may(app: &App, _: &Caller, doc: &ProviderDoc) -> Result<(), Problem> {
        crate::people::check_provider(app, doc)
    }
}

fn conflict(why: &str) -> Problem {
    Problem::new(StatusCode::CONFLICT, why)
}

/// There is none of this name.
pub(crate) fn missing<N: Noun>(key: &[String]) -> Problem {
    Problem::not_found(format!("there is no {} \"{}\"", N::NAME, key.join(" → ")))
}

/// Names what is shown: another text, another tag.
pub(crate) fn tag_of(doc: &impl Serialize) -> String {
    let digest: [u8; 32] = Sha256::digest(serde_json::to_vec(doc).unwrap_or_default()).into();
    format!("\"{}\"", kit::render::hex(&digest[..16]))
}

impl App {
    /// One of the things that are there, secrets left out.
    pub(crate) fn thing<N: Noun>(&self, key: &[String]) -> Result<Option<N::Doc>, Problem> {
        let mut file = self.config_shown()?;
        Ok(N::of(&mut file).iter().find(|doc| N::key(doc) == key).cloned())
    }

    /// All of them, by key.
    pub(crate) fn things<N: Noun>(&self) -> Result<Vec<N::Doc>, Problem> {
        let mut file = self.config_shown()?;
        let mut docs = std::mem::take(N::of(&mut file));
        docs.sort_by(|a, b| N::key(a).cmp(&N::key(b)));
        Ok(docs)
    }

    /// Makes or replaces one, for who holds [`App::editing`]. Gives it as it is shown.
    pub(crate) fn put_held<N: Noun>(&self, doc: &N::Doc, caller: &Caller) -> Result<N::Doc, Problem> {
        N::may(self, caller, doc)?;
        let key: Vec<String> = N::key(doc).into_iter().map(str::to_owned).collect();
        let mut file = ConfigFile::default();
        N::of(&mut file).push(doc.clone());
        self.apply_held(&file, &caller.name, ApplyOptions::default())?;
        N::done(self, caller, doc)?;
        self.thing::<N>(&key)?.ok_or_else(|| missing::<N>(&key))
    }

    /// Takes one out, for who holds [`App::editing`].
    pub(crate) fn delete_held<N: Noun>(&self, key: &[String], leave: N::Leave, who: &str) -> Result<(), Problem> {
        take_out::<N>(self, key, N::leave(leave)?, who)?;
        self.hurry();
        Ok(())
    }

    /// Makes or replaces one for somebody who has seen what is there: `seen` is its tag; None: it was not there.
    pub(crate) fn put_seen<N: Noun>(
        &self,
        doc: &N::Doc,
        seen: Option<&str>,
        caller: &Caller,
    ) -> Result<N::Doc, Problem> {
        let _one = self.editing();
        let key: Vec<String> = N::key(doc).into_iter().map(str::to_owned).collect();
        let there = self.thing::<N>(&key)?.map(|doc| tag_of(&doc));
        seen_is::<N>(there.as_deref(), seen, &key)?;
        self.put_held::<N>(doc, caller)
    }

    /// Changes one that is there, as it stands now.
    pub(crate) fn change<N: Noun>(
        &self,
        key: &[String],
        caller: &Caller,
        change: impl FnOnce(&mut N::Doc),
    ) -> Result<N::Doc, Problem> {
        let _one = self.editing();
        let mut doc = self.thing::<N>(key)?.ok_or_else(|| missing::<N>(key))?;
        change(&mut doc);
        self.put_held::<N>(&doc, caller)
    }

    /// Deletes a target together with the sharings that feed it: at once with its entries released, or with passes that
    /// take back what is there first. Gives whether the target is gone.
    pub(crate) fn delete_target(&self, name: &str, leave: Entries, seen: &str, who: &str) -> Result<bool, Problem> {
        let key = [name.to_owned()];
        let _one = self.editing();
        let there = tag_of(&self.thing::<Targets>(&key)?.ok_or_else(|| missing::<Targets>(&key))?);
        seen_is::<Targets>(Some(&there), Some(seen), &key)?;
        let mut file = self.config_shown()?;
        file.sharing.retain(|doc| doc.target != name);
        file.target.retain(|doc| doc.name != name);
        file.guard_exception.retain(|doc| doc.target != name);
        let options =
            ApplyOptions { prune: Some(Targets::leave(LeaveEntries { lines: leave })?), ..ApplyOptions::default() };
        let applied = self.apply_held(&file, who, options)?;
        self.hurry();
        if applied.changes.is_empty() {
            return Err(conflict(&applied.warnings.join("; ")));
        }
        Ok(self.thing::<Targets>(&key)?.is_none())
    }

    /// Takes one out for somebody who has seen what is there.
    pub(crate) fn delete_seen<N: Noun>(
        &self,
        key: &[String],
        leave: N::Leave,
        seen: &str,
        who: &str,
    ) -> Result<(), Problem> {
        let _one = self.editing();
        let there = tag_of(&self.thing::<N>(key)?.ok_or_else(|| missing::<N>(key))?);
        seen_is::<N>(Some(&there), Some(seen), key)?;
        self.delete_held::<N>(key, leave, who)
    }
}

fn seen_is<N: Noun>(there: Option<&str>, seen: Option<&str>, key: &[String]) -> Result<(), Problem> {
    let name = key.join(" → ");
    match (there, seen) {
        (None, None) => Ok(()),
        (Some(there), Some(seen)) if there == seen => Ok(()),
        (Some(_), None) => Err(conflict(&format!("there is a {} \"{name}\" already: take another name", N::NAME))),
        (None, Some(_)) => Err(conflict(&format!("the {} \"{name}\" was deleted meanwhile", N::NAME))),
        (Some(_), Some(_)) => Err(conflict(&format!(
            "somebody changed the {} \"{name}\" meanwhile: open it again, so that nobody's change is lost",
            N::NAME
        ))),
    }
}

/// Applies everything that is there but this one.
fn take_out<N: Noun>(app: &App, key: &[String], how: Prune, who: &str) -> Result<(), Problem> {
    let mut file = app.config_shown()?;
    N::of(&mut file).retain(|doc| N::key(doc) != key);
    let name = key.join(" → ");
    let options = ApplyOptions { prune: Some(how), ..ApplyOptions::default() };
    let applied = app.apply_held(&file, who, options).map_err(|problem| {
        let in_use = format!("the {} \"{name}\" is still in use; change or delete first what uses it", N::NAME);
        if problem.status() == StatusCode::UNPROCESSABLE_ENTITY {
            problem.instead(StatusCode::CONFLICT, in_use)
        } else {
            problem
        }
    })?;
    match applied.changes.is_empty() {
        false => Ok(()),
        // It is kept while something stands in the way; the warning says what and what to do.
        true => Err(conflict(&applied.warnings.join("; "))),
    }
}
