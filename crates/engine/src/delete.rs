//! Taking documents away: what a prune removes, what each removal means, and what is done with what hung on it.
//!
//! Nothing is taken back here. Records of a deleted connection go on and age out, or stop counting; entries of a deleted
//! target are left where they are and stop being ours. What is to be taken back is taken back by a pass, under its
//! brakes, while the target is still there.

use crate::config::{Config, ConfigFile, Documents, Stored, former_of};
use crate::configure::Change;
use crate::error::EngineError;
use crate::{Engine, Known, unpoison};
use intel::sharing::LineState;
use intel::{ConnectionId, TargetId};
use kit::manifest::Delivery;
use serde::Serialize;
use std::collections::BTreeSet;
use store::{DocChange, DocRemoval};

/// How things are deleted that a file leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Prune {
    /// Records of deleted connections stop counting at once. Otherwise they are kept and age out.
    pub retract_records: bool,
    /// A target that still holds entries is kept without sharings, so that passes take them back; a later prune deletes
    /// it. Otherwise its entries are left where they are and are no longer ours.
    pub take_back: bool,
}

/// What a prune will do to the store.
#[derive(Debug, Default)]
pub(crate) struct Removals {
    pub(crate) docs: Vec<DocRemoval>,
    /// What is kept of deleted connections.
    pub(crate) writes: Vec<DocChange>,
    /// Deleted connections.
    pub(crate) connections: Vec<ConnectionId>,
    /// Deleted targets, and their names.
    pub(crate) targets: Vec<(TargetId, String)>,
    pub(crate) warnings: Vec<String>,
}

/// Takes what the file leaves out away from the documents, and says what that means.
pub(crate) fn prune(
    documents: &mut Documents,
    file: &ConfigFile,
    config: &Config,
    known: &Known,
    how: Prune,
    changes: &mut Vec<Change>,
) -> Removals {
    let mut out = Removals::default();
    let named = |n: usize, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });

    // With `take_back`, targets that hold something stay, and with them what they need.
    let holds = |id: TargetId| {
        let ledger = known.ledgers.get(&id);
        let states = [LineState::Present, LineState::Pending, LineState::Unknown, LineState::Retracting];
        ledger.map_or(0, |ledger| states.iter().map(|state| ledger.count(*state)).sum::<usize>())
    };
    let mut stay: BTreeSet<(&'static str, String)> = BTreeSet::new();
    if how.take_back {
        for stored in &documents.targets {
            let n = holds(TargetId(stored.id));
            if n == 0 || file.target.iter().any(|doc| doc.name == stored.doc.name) {
                continue;
            }
            let name = &stored.doc.name;
            out.warnings.push(format!(
                "target \"{name}\" is kept until its {} taken back: `iocast share {name}`, then delete it again",
                named(n, "entry is", "entries are")
            ));
            stay.insert(("target", name.clone()));
            stay.insert(("connection", stored.doc.connection.clone()));
            let tenant = documents.connections.iter().find(|c| c.doc.name == stored.doc.connection);
            stay.extend(tenant.and_then(|c| c.doc.tenant.clone()).map(|tenant| ("tenant", tenant)));
        }
    }

    fn section<T: Serialize>(
        section: &'static str,
        stored: &mut Vec<Stored<T>>,
        keep: impl Fn(&T) -> bool,
        name: impl Fn(&T) -> String,
        mut means: impl FnMut(&Stored<T>) -> Vec<String>,
        out: &mut Removals,
        changes: &mut Vec<Change>,
    ) {
        stored.retain(|stored| {
            if keep(&stored.doc) {
                return true;
            }
            let name = name(&stored.doc);
            changes.push(Change { section, name: name.clone(), verb: "delete", details: means(stored) });
            out.docs.push(DocRemoval { kind: section, name });
            false
        });
    }

    // Things that use others go first, as one reads it.
    section(
        "sharing",
        &mut documents.sharings,
        |doc| file.sharing.iter().any(|other| other.name() == doc.name()),
        |doc| doc.name(),
        |stored| {
            let target = &stored.doc.target;
            let stays = file.target.iter().any(|doc| doc.name == *target) || stay.contains(&("target", target.clone()));
            match stays {
                true => {
                    vec![format!("what only it wanted is taken back from {target} by the next pass, within its brakes")]
                }
                false => Vec::new(),
            }
        },
        &mut out,
        changes,
    );
    section(
        "guard_exception",
        &mut documents.guard_exceptions,
        |doc| file.guard_exception.iter().any(|other| other.name() == doc.name()),
        |doc| doc.name(),
        |_| vec!["the value is guarded again, and taken back if it was sent".to_owned()],
        &mut out,
        changes,
    );
    section(
        "guard",
        &mut documents.guards,
        |doc| file.guard.iter().any(|other| other.name == doc.name),
        |doc| doc.name.clone(),
        |stored| vec![format!("{} may be sent", named(stored.doc.values.len(), "value of it", "values of it"))],
        &mut out,
        changes,
    );
    section(
        "notify",
        &mut documents.notifies,
        |doc| file.notify.iter().any(|other| other.name == doc.name),
        |doc| doc.name.clone(),
        |_| vec!["nobody is told through it any more".to_owned()],
        &mut out,
        changes,
    );
    section(
        "provider",
        &mut documents.providers,
        |doc| file.provider.iter().any(|other| other.name == doc.name),
        |doc| doc.name.clone(),
        |_| vec!["nobody signs in at it any more; accounts of people from there stay".to_owned()],
        &mut out,
        changes,
    );
    let mut gone = Vec::new();
    section(
        "target",
        &mut documents.targets,
        |doc| file.target.iter().any(|other| other.name == doc.name) || stay.contains(&("target", doc.name.clone())),
        |doc| doc.name.clone(),
        |stored| {
            let id = TargetId(stored.id);
            gone.push((id, stored.doc.name.clone()));
            let hosted = config.targets.get(&id).is_some_and(|t| t.action.delivery == Delivery::Hosted);
            match (hosted, holds(id)) {
                (true, _) => vec![format!("/lists/{} is no longer served", stored.doc.name)],
                (false, 0) => vec!["it holds nothing of ours".to_owned()],
                (false, n) => {
                    let n = named(n, "entry stays", "entries stay");
                    vec![format!("{n} where they are and are no longer ours (`--take-back` takes them back first)")]
                }
            }
        },
        &mut out,
        changes,
    );
    out.targets = gone;
    section(
        "rule",
        &mut documents.rules,
        |doc| file.rule.iter().any(|other| other.name == doc.name),
        |doc| doc.name.clone(),
        |_| Vec::new(),
        &mut out,
        changes,
    );
    let mut gone = Vec::new();
    let manual = u32::from(ConnectionId::MANUAL.0);
    let manual = documents.connections.iter().find(|c| c.id == manual).map(|c| c.doc.name.clone());
    section(
        "connection",
        &mut documents.connections,
        |doc| {
            file.connection.iter().any(|other| other.name == doc.name)
                || stay.contains(&("connection", doc.name.clone()))
                || manual.as_ref() == Some(&doc.name)
        },
        |doc| doc.name.clone(),
        |stored| {
            let Ok(id) = u16::try_from(stored.id).map(ConnectionId) else { return Vec::new() };
            gone.push(id);
            let is_source = config.connections.get(&id).is_some_and(|c| c.open.source().is_some());
            match (is_source, how.retract_records) {
                (false, _) => Vec::new(),
                (true, true) => vec!["its records stop counting now; what only they support is taken back".to_owned()],
                (true, false) => {
                    vec!["its records are kept and age out (`--retract-records` ends them now)".to_owned()]
                }
            }
        },
        &mut out,
        changes,
    );
    if !how.retract_records {
        for id in &gone {
            let last_believed = known.index.policies().get(*id).and_then(|policy| policy.last_believed);
            let former = config.connections.get(id).and_then(|connection| former_of(connection, last_believed));
            if let Some(former) = former {
                let body = serde_json::to_string(&former).unwrap_or_default();
                out.writes.push(DocChange { kind: "former", name: id.to_string(), body });
                documents.former.push(Stored { id: 0, doc: former });
            }
        }
    }
    out.connections = gone;
    section(
        "tenant",
        &mut documents.tenants,
        |doc| file.tenant.iter().any(|other| other.name == doc.name) || stay.contains(&("tenant", doc.name.clone())),
        |doc| doc.name.clone(),
        |_| Vec::new(),
        &mut out,
        changes,
    );
    out
}

impl Engine {
    /// Waits for the passes and pulls of what is about to be deleted, and lets no other begin until `done` returns.
    pub(crate) fn quiet<T>(
        &self,
        config: &Config,
        removals: &Removals,
        done: impl FnOnce() -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let mut locks = std::collections::BTreeMap::new();
        for (id, _) in &removals.targets {
            if let Some(target) = config.targets.get(id) {
                // Two targets of one account have one lock, which is taken once.
                let lock = self.pass_lock(config, target);
                locks.insert(std::sync::Arc::as_ptr(&lock) as usize, lock);
            }
        }
        for id in &removals.connections {
            let lock = self.pull_lock(*id);
            locks.insert(std::sync::Arc::as_ptr(&lock) as usize, lock);
        }
        let _held: Vec<_> = locks.values().map(|lock| unpoison(lock.lock())).collect();
        done()
    }
}
