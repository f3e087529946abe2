//! A tool in memory that can be spoken to in every style a destination may have, and that misbehaves on request: it keeps
//! versions or none, shows marks or none, lags, stages, drops above its limit, shows half of what it holds, loses
//! answers, refuses whole batches; and others edit it between any two of our calls.
//!
//! What is somebody else's it knows by itself, whatever it shows; what a call of ours did to that it counts.

use crate::sim::Sim;
use intel::Timestamp;
use kit::manifest::Manifest;
use kit::{
    Connection, Connector, ConnectorError, Cx, Destination, ItemOutcome, Outgoing, Placed, Presence, Reading, Remote,
    TargetSpec, Written,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// One entry.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Thing {
    pub(crate) entry: String,
    pub(crate) id: String,
    /// Whose it is: the exchange's mark, or None for somebody else's.
    pub(crate) mark: Option<String>,
    pub(crate) reputation: u8,
    pub(crate) expires: Option<Timestamp>,
}

/// How much it shows when it is read.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub(crate) enum Shows {
    #[default]
    All,
    Half,
    Nothing,
    /// A part, and it says that it is one.
    Cut,
}

/// What others do between two calls of ours; is told which call comes next.
pub(crate) type Others = Box<dyn FnMut(&'static str, &mut Tool) + Send>;

#[derive(Default)]
pub(crate) struct Tool {
    /// In force.
    pub(crate) things: Vec<Thing>,
    /// Sent, and not deployed.
    pub(crate) staged: Option<Vec<Thing>>,
    pub(crate) version: u64,
    pub(crate) keeps_versions: bool,
    pub(crate) next_id: u64,
    /// Which calls were made, when, and with how many items.
    pub(crate) calls: Vec<(Timestamp, &'static str, usize)>,
    /// Every call fails with this before anything is done.
    pub(crate) fails: Option<ConnectorError>,
    /// Percent of calls answered 429 before anything is done.
    pub(crate) busy: u64,
    /// Percent of calls whose answer is lost after everything was done.
    pub(crate) lost: u64,
    /// A batch with one of these in it is refused as a whole.
    pub(crate) poison: BTreeSet<String>,
    /// These it will not give back.
    pub(crate) keeps: BTreeSet<String>,
    /// Most entries; what is more is accepted and dropped.
    pub(crate) limit: Option<usize>,
    pub(crate) says_limit: bool,
    pub(crate) shows: Shows,
    pub(crate) identity: Option<String>,
    pub(crate) lag: Duration,
    past: Vec<(Timestamp, Vec<Thing>)>,
    /// Others have changes pending: nothing is deployed.
    pub(crate) others_pending: bool,
    pub(crate) others: Option<Others>,
    /// Drops so many of others' entries at the next replacement, as a broken product does.
    pub(crate) eats: usize,
    /// Entries of others that a call of ours took away or changed.
    pub(crate) damaged: Vec<String>,
    /// Entries that others had taken away and that a call of ours put there again.
    pub(crate) raised: Vec<String>,
    /// Entries of others that it dropped by itself when it was written to.
    pub(crate) eaten: Vec<String>,
    /// Says how much it holds when it was written to.
    pub(crate) says_count: bool,
    /// Pushes of an entry that was there already, where nothing tells them apart.
    pub(crate) n_deploys: u64,
}

impl Tool {
    pub(crate) fn id(&mut self) -> String {
        self.next_id += 1;
        format!("b-{}", self.next_id)
    }

    /// Somebody else puts an entry there.
    pub(crate) fn others_add(&mut self, entry: &str) {
        let id = self.id();
        let thing = Thing { entry: entry.to_owned(), id, mark: None, reputation: 0, expires: None };
        // What is in force without us is in what we have staged as well.
        self.staged.iter_mut().for_each(|staged| staged.push(thing.clone()));
        self.things.push(thing);
        self.version += 1;
    }

    /// Somebody else takes one entry away, whose ever it is.
    pub(crate) fn others_remove(&mut self, id: &str) {
        self.things.retain(|thing| thing.id != id);
        self.staged.iter_mut().for_each(|staged| staged.retain(|thing| thing.id != id));
        self.version += 1;
    }

    /// What is there now can be seen from when the lag has passed, also where no call of ours brought it about.
    pub(crate) fn shows_from(&mut self, now: Timestamp) {
        self.past.push((now, self.things.clone()));
    }

    /// Somebody else takes an entry away, whose ever it is.
    pub(crate) fn remove(&mut self, entry: &str) {
        self.things.retain(|thing| thing.entry != entry);
        self.version += 1;
    }

    pub(crate) fn ours(&self) -> Vec<String> {
        let mut ours: Vec<String> = self.things.iter().filter(|t| t.mark.is_some()).map(|t| t.entry.clone()).collect();
        ours.sort();
        ours
    }

    pub(crate) fn foreign(&self) -> Vec<String> {
        let mut all: Vec<String> = self.things.iter().filter(|t| t.mark.is_none()).map(|t| t.entry.clone()).collect();
        all.sort();
        all
    }

    pub(crate) fn n_calls(&self, verb: &str) -> usize {
        self.calls.iter().filter(|call| call.1 == verb).count()
    }

    /// What a question is answered from.
    fn seen(&self, now: Timestamp) -> Vec<Thing> {
        let until = now.before(self.lag);
        let all = match self.past.iter().rev().find(|(at, _)| *at <= until) {
            _ if self.lag.is_zero() => self.things.clone(),
            Some((_, things)) => things.clone(),
            None => Vec::new(),
        };
        match self.shows {
            Shows::All => all,
            Shows::Half | Shows::Cut => all.iter().step_by(2).cloned().collect(),
            Shows::Nothing => Vec::new(),
        }
    }
}

pub(crate) const BOX: &str = r#"
name = "sim-box"
title = "A box"
summary = "Takes entries in every way there is."
category = "edr"
[[setting]]
key = "product"
type = "text"
label = "Product"
help = "Which simulated product."
required = true

[[action]]
name = "look"
title = "Items"
summary = "Items, each of which can be asked about."
delivery = "items"
batch = 500
can_look = true
marks = true
object = ["list"]
[[action.params]]
key = "list"
type = "text"
label = "List"
help = "Which."
[[action.params]]
key = "capacity"
type = "int"
label = "Capacity"
help = "Most entries."

[[action]]
name = "read"
title = "Items, read as a whole"
summary = "Items; only everything can be read."
delivery = "items"
batch = 7
can_read = true
marks = true
[[action.params]]
key = "capacity"
type = "int"
label = "Capacity"
help = "Most entries."

[[action]]
name = "append"
title = "Items, appended"
summary = "A second push is a second entry, and what it shows lags."
delivery = "items"
batch = 50
can_look = true
marks = true
idempotent = false
lag = "15m"

[[action]]
name = "stage"
title = "Items, deployed"
summary = "Items that take effect when they are deployed."
delivery = "items"
batch = 5
can_look = true
marks = true
deploys = true

[[action]]
name = "blind-stage"
title = "Items, deployed, not shown"
summary = "As above, and nobody can look."
delivery = "items"
batch = 5
deploys = true

[[action]]
name = "shared"
title = "A list others write to"
summary = "The whole list, with what others have in it; entries carry marks."
delivery = "replace"
can_read = true
marks = true
[[action.params]]
key = "format"
type = "text"
label = "Format"
help = "Which fields it takes."
[[action.params]]
key = "capacity"
type = "int"
label = "Capacity"
help = "Most entries."

[[action]]
name = "plain"
title = "A plain list others write to"
summary = "As above, and an entry is nothing but its text."
delivery = "replace"
can_read = true
[[action.params]]
key = "capacity"
type = "int"
label = "Capacity"
help = "Most entries."

[[action]]
name = "expiring"
title = "Items that die"
summary = "Items with an end."
delivery = "items"
can_look = true
marks = true
holds_expiry = true
"#;

pub(crate) struct BoxConnector {
    pub(crate) manifest: Manifest,
    pub(crate) sim: Sim,
}

impl Connector for BoxConnector {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn open(&self, settings: &Value) -> Result<Box<dyn Connection>, String> {
        let product = settings.get("product").and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Box::new(BoxConnection { sim: self.sim.clone(), product }))
    }
}

struct BoxConnection {
    sim: Sim,
    product: String,
}

/// What becomes of a call.
struct Fate {
    now: Timestamp,
    is_lost: bool,
}

impl BoxConnection {
    /// Others come first; then the call is counted, and may fail before anything is done.
    fn begin(&self, verb: &'static str, n: usize) -> Result<Fate, ConnectorError> {
        let (now, busy, lost) = {
            let mut state = self.sim.lock();
            let now = state.now;
            let (a, b) = (state.dice.below(100), state.dice.below(100));
            (now, a, b)
        };
        let mut others = self.sim.tool(&self.product, |tool| tool.others.take());
        self.sim.tool(&self.product, |tool| {
            if let Some(others) = &mut others {
                others(verb, tool);
            }
            tool.others = others.take();
            tool.calls.push((now, verb, n));
            tool.things.retain(|thing| thing.expires.is_none_or(|expires| expires > now));
            if let Some(error) = &tool.fails {
                return Err(error.clone());
            }
            if busy < tool.busy {
                return Err(ConnectorError::Busy { wait: None, why: "429".into() });
            }
            Ok(Fate { now, is_lost: lost < tool.lost })
        })
    }

    fn end<T>(&self, fate: &Fate, done: T) -> Result<T, ConnectorError> {
        self.sim.tool(&self.product, |tool| {
            let things = tool.things.clone();
            tool.past.push((fate.now, things));
        });
        if fate.is_lost { Err(ConnectorError::Unexpected("the answer was lost".into())) } else { Ok(done) }
    }
}

impl Connection for BoxConnection {
    fn check(&self, _: &Cx<'_>) -> Result<(), ConnectorError> {
        Ok(())
    }

    fn identity(&self, _: &Cx<'_>) -> Result<Option<String>, ConnectorError> {
        if self.sim.tool(&self.product, |tool| tool.identity.is_none()) {
            return Ok(None);
        }
        self.begin("identity", 0)?;
        Ok(self.sim.tool(&self.product, |tool| tool.identity.clone()))
    }

    fn destination(&self) -> Option<&dyn Destination> {
        Some(self)
    }
}

fn thing(item: &Outgoing, id: String, mark: &str, action: &str) -> Thing {
    let expires = item.expires_at.filter(|_| action == "expiring");
    Thing { entry: item.entry.clone(), id, mark: Some(mark.to_owned()), reputation: item.reputation.get(), expires }
}

impl Destination for BoxConnection {
    fn push(&self, target: TargetSpec<'_>, batch: &[Outgoing], _: &Cx<'_>) -> Result<Vec<ItemOutcome>, ConnectorError> {
        let fate = self.begin("push", batch.len())?;
        let outcomes = self.sim.tool(&self.product, |tool| {
            if let Some(bad) = batch.iter().find(|item| tool.poison.contains(&item.entry)) {
                // It does not say which: that would be too easy.
                let _ = bad;
                return Err(ConnectorError::Refused("400: malformed entity in request".into()));
            }
            let is_staging = target.action.contains("stage");
            let mut things = match is_staging {
                true => tool.staged.take().unwrap_or_else(|| tool.things.clone()),
                false => std::mem::take(&mut tool.things),
            };
            let mut outcomes = Vec::new();
            for item in batch {
                let there = things.iter_mut().find(|t| t.entry == item.entry && target.action != "append");
                outcomes.push(match there {
                    Some(there) if there.mark.is_none() => ItemOutcome::Foreign,
                    Some(there) => {
                        *there = thing(item, there.id.clone(), target.mark, target.action);
                        ItemOutcome::Accepted { remote_id: Some(there.id.clone()) }
                    }
                    None => {
                        let is_foreign = things.iter().any(|t| t.entry == item.entry && t.mark.is_none());
                        let known = item.remote_id.as_ref().and_then(|id| things.iter().position(|t| t.id == *id));
                        if is_foreign && known.is_none() {
                            ItemOutcome::Foreign
                        } else if let Some(at) = known {
                            things[at] = thing(item, things[at].id.clone(), target.mark, target.action);
                            ItemOutcome::Accepted { remote_id: item.remote_id.clone() }
                        } else {
                            tool.next_id += 1;
                            let id = format!("b-{}", tool.next_id);
                            if tool.limit.is_none_or(|limit| things.len() < limit) {
                                things.push(thing(item, id.clone(), target.mark, target.action));
                            }
                            ItemOutcome::Accepted { remote_id: Some(id) }
                        }
                    }
                });
            }
            match is_staging {
                true => tool.staged = Some(things),
                false => tool.things = things,
            }
            Ok(outcomes)
        })?;
        self.end(&fate, outcomes)
    }

    fn retract(
        &self,
        target: TargetSpec<'_>,
        batch: &[Outgoing],
        _: &Cx<'_>,
    ) -> Result<Vec<ItemOutcome>, ConnectorError> {
        let fate = self.begin("retract", batch.len())?;
        let outcomes = self.sim.tool(&self.product, |tool| {
            let is_staging = target.action.contains("stage");
            let mut things = match is_staging {
                true => tool.staged.take().unwrap_or_else(|| tool.things.clone()),
                false => std::mem::take(&mut tool.things),
            };
            let mut outcomes = Vec::new();
            for item in batch {
                if tool.keeps.contains(&item.entry) {
                    outcomes.push(ItemOutcome::Refused("403: locked by a change window".into()));
                    continue;
                }
                // It does what it is told, also to others.
                let mine = |t: &&Thing| t.entry == item.entry && t.mark.is_none();
                let ours = things.iter().any(|t| t.entry == item.entry && t.mark.is_some());
                if !ours && let Some(theirs) = things.iter().find(mine) {
                    tool.damaged.push(theirs.entry.clone());
                }
                things.retain(|t| t.entry != item.entry || (ours && t.mark.is_none()));
                outcomes.push(ItemOutcome::Accepted { remote_id: None });
            }
            match is_staging {
                true => tool.staged = Some(things),
                false => tool.things = things,
            }
            outcomes
        });
        self.end(&fate, outcomes)
    }

    fn look(&self, target: TargetSpec<'_>, entries: &[Outgoing], _: &Cx<'_>) -> Result<Vec<Presence>, ConnectorError> {
        let fate = self.begin("look", entries.len())?;
        Ok(self.sim.tool(&self.product, |tool| {
            let things = match &tool.staged {
                Some(staged) if target.action.contains("stage") => staged.clone(),
                _ => tool.seen(fate.now),
            };
            let by_text: BTreeMap<&str, &Thing> = things.iter().map(|t| (t.entry.as_str(), t)).collect();
            let answer = |item: &Outgoing| match by_text.get(item.entry.as_str()) {
                Some(t) if t.mark.as_deref() == Some(target.mark) => Presence::Ours { remote_id: Some(t.id.clone()) },
                Some(_) => Presence::Foreign,
                None => Presence::Absent,
            };
            entries.iter().map(answer).collect()
        }))
    }

    fn read(
        &self,
        target: TargetSpec<'_>,
        each: &mut dyn FnMut(Remote),
        _: &Cx<'_>,
    ) -> Result<Reading, ConnectorError> {
        let fate = self.begin("read", 0)?;
        Ok(self.sim.tool(&self.product, |tool| {
            for t in tool.seen(fate.now) {
                each(Remote {
                    entry: t.entry,
                    kind: None,
                    remote_id: (target.action != "plain").then_some(t.id),
                    marked: target.action != "plain" && t.mark.as_deref() == Some(target.mark),
                    expires_at: t.expires,
                });
            }
            Reading {
                whole: tool.shows != Shows::Cut,
                version: tool.keeps_versions.then(|| tool.version.to_string()),
                capacity: tool.limit.filter(|_| tool.says_limit).map(|limit| limit as u64),
            }
        }))
    }

    fn replace(
        &self,
        target: TargetSpec<'_>,
        all: &mut dyn Iterator<Item = Placed>,
        version: Option<&str>,
        _: &Cx<'_>,
    ) -> Result<Written, ConnectorError> {
        let all: Vec<Placed> = all.collect();
        let fate = self.begin("replace", all.len())?;
        let written = self.sim.tool(&self.product, |tool| {
            if tool.keeps_versions && version != Some(tool.version.to_string().as_str()) {
                return Err(ConnectorError::Changed);
            }
            let mut old = std::mem::take(&mut tool.things);
            let mut new: Vec<Thing> = Vec::new();
            for placed in all {
                match placed {
                    Placed::Foreign(remote) => {
                        let same = |t: &Thing| {
                            t.entry == remote.entry && remote.remote_id.as_ref().is_none_or(|id| t.id == *id)
                        };
                        // Among copies that nothing tells apart, the one that is not ours.
                        let theirs = old.iter().position(|t| same(t) && t.mark.is_none());
                        match theirs.or_else(|| old.iter().position(same)) {
                            Some(at) => new.push(old.remove(at)),
                            None => {
                                // What was read and is there no more: it comes back as somebody else's.
                                // Unless it had eaten it, somebody else had taken it away.
                                match tool.eaten.iter().position(|eaten| *eaten == remote.entry) {
                                    Some(at) => drop(tool.eaten.remove(at)),
                                    None => tool.raised.push(remote.entry.clone()),
                                }
                                tool.next_id += 1;
                                let id = remote.remote_id.unwrap_or_else(|| format!("b-{}", tool.next_id));
                                let (entry, expires) = (remote.entry, remote.expires_at);
                                new.push(Thing { entry, id, mark: None, reputation: 0, expires });
                            }
                        }
                    }
                    Placed::Ours(item) => {
                        let at = old.iter().position(|t| t.entry == item.entry && t.mark.is_some());
                        let id = match at {
                            Some(at) => old.remove(at).id,
                            None => {
                                tool.next_id += 1;
                                format!("b-{}", tool.next_id)
                            }
                        };
                        new.push(thing(&item, id, target.mark, target.action));
                    }
                }
            }
            let harmed: Vec<String> = old.iter().filter(|t| t.mark.is_none()).map(|t| t.entry.clone()).collect();
            tool.damaged.extend(harmed);
            for _ in 0..std::mem::take(&mut tool.eats) {
                if let Some(at) = new.iter().position(|t| t.mark.is_none()) {
                    tool.eaten.push(new.remove(at).entry);
                }
            }
            if let Some(limit) = tool.limit {
                new.truncate(limit);
            }
            tool.things = new;
            tool.version += 1;
            Ok(Written {
                version: tool.keeps_versions.then(|| tool.version.to_string()),
                entries: tool.says_count.then_some(tool.things.len() as u64),
            })
        })?;
        self.end(&fate, written)
    }

    fn deploy(&self, _: TargetSpec<'_>, _: &Cx<'_>) -> Result<(), ConnectorError> {
        let fate = self.begin("deploy", 0)?;
        self.sim.tool(&self.product, |tool| {
            if tool.others_pending {
                return Err(ConnectorError::Later { wait: None, why: "somebody else has changes pending".into() });
            }
            if let Some(staged) = tool.staged.take() {
                tool.things = staged;
            }
            tool.n_deploys += 1;
            Ok(())
        })?;
        self.end(&fate, ())
    }
}
