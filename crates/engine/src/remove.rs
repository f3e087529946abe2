//! Taking things out of the configuration, so that no ledger is lost and nothing dangles.
//!
//! A thing that others name is not deleted: the answer says who names it. A target is deleted only once it is settled
//! what becomes of its entries. Ids are never given twice, so what is kept of a deleted thing is nobody else's.

use crate::config::{self, ConfigError, Documents, GuardExceptionDoc, Strict};
use crate::configure::{CONNECTION, GUARD, GUARD_EXCEPTION, RULE, TARGET, load_documents};
use crate::error::EngineError;
use crate::share::row_of;
use crate::{Engine, unpoison};
use intel::sharing::LineState;
use intel::{ConnectionId, Timestamp};
use store::Settle;

impl GuardExceptionDoc {
    /// The name an exception is stored under: its value and its target.
    pub fn name(&self) -> String {
        format!("{} → {}", self.value, self.target)
    }
}

impl Engine {
    /// Deletes a rule that no sharing uses.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], or [`EngineError::Conflict`] naming who uses it.
    pub fn delete_rule(&self, name: &str, who: &str) -> Result<(), EngineError> {
        self.delete(RULE, name, who, |d| take(&mut d.rules, |s| s.doc.name == name))
    }

    /// Deletes one of the operator's own guard lists: its values may be sent again.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], or a failing store.
    pub fn delete_guard(&self, name: &str, who: &str) -> Result<(), EngineError> {
        self.delete(GUARD, name, who, |d| take(&mut d.guards, |s| s.doc.name == name))
    }

    /// Deletes an exception from the guard: its value is stopped again, and taken back where it is.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], or a failing store.
    pub fn delete_guard_exception(&self, value: &str, target: &str, who: &str) -> Result<(), EngineError> {
        let name = format!("{value} → {target}");
        self.delete(GUARD_EXCEPTION, &name, who, |d| take(&mut d.guard_exceptions, |s| s.doc.name() == name))
    }

    /// Deletes a connection that nothing names. Its records no longer count from now on, so what only it stood for is
    /// taken back by the next passes, within their brakes; they go from the disk when their indicators are pruned.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], or [`EngineError::Conflict`] naming who uses it, or because it is built in.
    pub fn delete_connection(&self, name: &str, who: &str) -> Result<(), EngineError> {
        let config = self.config();
        let connection = config.connection(name).ok_or_else(|| self.no_connection(name))?;
        if connection.id == ConnectionId::MANUAL {
            return Err(EngineError::Conflict(format!("the connection \"{name}\" is built in and cannot be deleted")));
        }
        // No run of it ends after it is gone.
        let one_pull = self.pull_lock(connection.id);
        let _one_pull = unpoison(one_pull.lock());
        self.delete(CONNECTION, name, who, |d| take(&mut d.connections, |s| s.doc.name == name))
    }

    /// Deletes a target that no sharing feeds. `release`: entries that are there stay there and are nobody's; their
    /// lines are kept as released. Otherwise it must hold nothing of ours any more.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], or [`EngineError::Conflict`] saying what to do first.
    pub fn delete_target(&self, name: &str, release: bool, who: &str) -> Result<(), EngineError> {
        let config = self.config();
        let target = config.target(name).ok_or_else(|| self.no_target(name))?;
        let one_pass = self.pass_lock(&config, target);
        let _one_pass = unpoison(one_pass.lock());
        self.deletable(TARGET, name, &mut |d| take(&mut d.targets, |s| s.doc.name == name))?;
        let now = self.world.now();
        let entries = self.occupying(target.id);
        if !release && !entries.is_empty() {
            return Err(EngineError::Conflict(format!(
                "the target \"{name}\" still holds {} entries of ours: run passes over it until they are taken back, or \
                 delete it with lines=release and leave them there",
                entries.len()
            )));
        }
        if !entries.is_empty() {
            let run = self.store.run_start("release", name, now)?;
            for chunk in entries.chunks(10_000) {
                let lines: Vec<_> = chunk.iter().map(|entry| row_of(entry, run)).collect();
                let settle =
                    Settle { target: target.id, run, lines: &lines, dropped: &[], published: None, target_state: None };
                self.store.settle(&settle)?;
                // At once: should what follows fail, no pass may take for ours what has just been released.
                if let Some(ledger) = self.known_mut().ledgers.get_mut(&target.id) {
                    chunk.iter().for_each(|entry| ledger.put(entry.clone()));
                }
            }
            let report = serde_json::json!({ "target": name, "released": entries.len() });
            self.store.run_end(run, "success", &report.to_string(), now)?;
        }
        self.store.drop_waiting_plan(target.id)?;
        self.store.unpublish(target.id)?;
        self.delete(TARGET, name, who, |d| take(&mut d.targets, |s| s.doc.name == name))?;
        self.bodies.forget(name);
        self.known_mut().ledgers.remove(&target.id);
        Ok(())
    }

    /// The lines of a target whose entries are there or may be, as they are when released.
    fn occupying(&self, target: intel::TargetId) -> Vec<crate::ledger::Entry> {
        let now: Timestamp = self.world.now();
        let known = self.known();
        let Some(ledger) = known.ledgers.get(&target) else { return Vec::new() };
        let occupying = ledger.live().iter().filter_map(|id| ledger.get(id)).filter(|e| e.line.state.occupies());
        occupying
            .map(|mut entry| {
                entry.line.state = LineState::Released;
                entry.updated = now;
                entry
            })
            .collect()
    }

    /// Deletes a document, its audit entry and what follows from it.
    fn delete(
        &self,
        kind: &'static str,
        name: &str,
        who: &str,
        mut take: impl FnMut(&mut Documents) -> bool,
    ) -> Result<(), EngineError> {
        let _one = unpoison(self.configuring.lock());
        self.deletable(kind, name, &mut take)?;
        self.store.delete_doc(kind, name)?;
        self.store.audit(who, &format!("{kind}.delete"), name, "{}", self.world.now())?;
        self.reload()
    }

    /// Whether what is left without a document still resolves: mistakes that were there before are not its.
    fn deletable(
        &self,
        kind: &str,
        name: &str,
        take: &mut dyn FnMut(&mut Documents) -> bool,
    ) -> Result<(), EngineError> {
        let mut documents = load_documents(&self.store)?;
        let mistakes = |documents: &Documents| -> Vec<ConfigError> {
            config::resolve(documents, &self.registry, self.world.secrets(), Strict::Yes).err().unwrap_or_default()
        };
        let before = mistakes(&documents);
        if !take(&mut documents) {
            return Err(EngineError::NotFound(format!("there is no {kind} \"{name}\"")));
        }
        let dangling = mistakes(&documents);
        let users: Vec<String> =
            dangling.iter().filter(|mistake| !before.contains(mistake)).map(ToString::to_string).collect();
        if users.is_empty() {
            return Ok(());
        }
        Err(EngineError::Conflict(format!(
            "the {kind} \"{name}\" is still in use; change or delete first what uses it: {}",
            users.join("; ")
        )))
    }
}

/// Takes out what fits. Gives whether anything did.
fn take<T>(docs: &mut Vec<T>, fits: impl Fn(&T) -> bool) -> bool {
    let before = docs.len();
    docs.retain(|doc| !fits(doc));
    docs.len() < before
}
