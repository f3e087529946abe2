//! The switch that stops every new call to a destination: by a person through the exchange, by a file in the data
//! directory that needs no running exchange, or because the data directory was restored from a backup.
//!
//! It is looked at before every call, and between the tries inside one: nothing new begins, what is on its way ends and
//! is settled. Reading goes on.

use crate::Engine;
use crate::error::EngineError;
use intel::TargetId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::{PlanStatus, Store};

/// The file in the data directory that freezes the exchange by being there. Its text is the note.
pub const FREEZE_FILE: &str = "FREEZE";
/// Most bytes of that file that are read.
const NOTE_MOST: u64 = 2_000;

/// Who froze the exchange.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FreezeShown {
    /// `person`, `file` (in the data directory) or `restore` (targets of a restored exchange that nobody has
    /// adopted yet; others go on).
    pub by: String,
    /// Who, where that is known.
    pub who: Option<String>,
    /// Since when. RFC 3339.
    pub at: Option<String>,
    /// Why, in their words.
    pub note: Option<String>,
}

fn file_of(store: &Store) -> Option<PathBuf> {
    store.dir().map(|dir| dir.join(FREEZE_FILE))
}

/// Whether the file is there. One that cannot be looked at is taken to be: this errs on the side of stopping.
fn is_there(path: &Path) -> bool {
    !matches!(fs::symlink_metadata(path), Err(error) if error.kind() == std::io::ErrorKind::NotFound)
}

/// What the file says. Only a plain file says anything: a pipe would keep us waiting, a link may lead anywhere.
fn note_of(path: &Path, is_plain: bool) -> Option<String> {
    let mut text = Vec::new();
    if is_plain && let Ok(file) = fs::File::open(path) {
        // What cannot be read whole is a note all the same.
        let _ = file.take(NOTE_MOST).read_to_end(&mut text);
    }
    freeze_note(&text)
}

/// The note in the bytes of a [`FREEZE_FILE`]: text without what a terminal would obey. None: it says nothing.
pub fn freeze_note(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let note: String = text.trim().chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect();
    (!note.trim().is_empty()).then_some(note)
}

/// Whether any call may begin.
pub(crate) fn is_frozen(store: &Store) -> Result<bool, EngineError> {
    if file_of(store).is_some_and(|path| is_there(&path)) {
        return Ok(true);
    }
    Ok(store.setting("frozen")?.is_some_and(|v| v == "true"))
}

impl Engine {
    /// Whether effects are stopped everywhere: by a person, or by the file.
    ///
    /// # Errors
    /// A failing store.
    pub fn is_frozen(&self) -> Result<bool, EngineError> {
        is_frozen(&self.store)
    }

    /// Who stopped effects, and why. None: they are not stopped.
    ///
    /// # Errors
    /// A failing store.
    pub fn frozen_by(&self) -> Result<Option<FreezeShown>, EngineError> {
        if let Some(path) = file_of(&self.store).filter(|path| is_there(path)) {
            let meta = fs::symlink_metadata(&path);
            let note = note_of(&path, meta.as_ref().is_ok_and(fs::Metadata::is_file));
            let at = meta.and_then(|meta| meta.modified()).ok();
            let at = at.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
            return Ok(Some(FreezeShown {
                by: "file".to_owned(),
                who: None,
                at: at.map(|since| intel::Timestamp::EPOCH.after(since).to_string()),
                note,
            }));
        }
        if self.store.setting("frozen")?.is_some_and(|v| v == "true") {
            let said = self.store.setting("frozen_by")?.and_then(|text| serde_json::from_str(&text).ok());
            let nobody = FreezeShown { by: "person".to_owned(), who: None, at: None, note: None };
            return Ok(Some(said.unwrap_or(nobody)));
        }
        let waiting = self.to_reconcile()?;
        if !waiting.is_empty() {
            let note = format!(
                "restored from a backup: {} wait{} for `iocast target adopt`",
                waiting.join(", "),
                if waiting.len() == 1 { "s" } else { "" }
            );
            return Ok(Some(FreezeShown { by: "restore".to_owned(), who: None, at: None, note: Some(note) }));
        }
        Ok(None)
    }

    /// Stops effects: when this returns, no new call to a destination begins.
    ///
    /// # Errors
    /// A failing store.
    pub fn freeze(&self, who: &str, note: Option<&str>) -> Result<(), EngineError> {
        let now = self.world.now();
        let said = FreezeShown {
            by: "person".to_owned(),
            who: Some(who.to_owned()),
            at: Some(now.to_string()),
            note: note.map(str::to_owned),
        };
        self.store.set_setting("frozen_by", &serde_json::to_string(&said).unwrap_or_default())?;
        self.store.set_setting("frozen", "true")?;
        self.store.audit(who, "freeze", "exchange", &serde_json::json!({ "note": note }).to_string(), now)?;
        Ok(())
    }

    /// Lets effects go on: the file is removed too. What a restore stopped stays stopped, target by target, until
    /// somebody adopts what is there: [`Engine::to_reconcile`] names them.
    ///
    /// # Errors
    /// A failing store, or a file that cannot be removed.
    pub fn thaw(&self, who: &str) -> Result<(), EngineError> {
        self.thaw_because(who, None)
    }

    /// The same, with why: it stands in the audit log.
    ///
    /// # Errors
    /// As [`Engine::thaw`].
    pub fn thaw_because(&self, who: &str, note: Option<&str>) -> Result<(), EngineError> {
        if let Some(path) = file_of(&self.store).filter(|path| is_there(path)) {
            fs::remove_file(&path).map_err(|error| {
                EngineError::Conflict(format!("{} freezes the exchange and cannot be removed: {error}", path.display()))
            })?;
        }
        self.store.set_setting("frozen", "false")?;
        let detail = note.map_or_else(|| "{}".to_owned(), |note| serde_json::json!({ "note": note }).to_string());
        self.store.audit(who, "thaw", "exchange", &detail, self.world.now())?;
        Ok(())
    }

    /// Whether a call to this target may begin now.
    pub(crate) fn may_call(&self, target: TargetId) -> Result<bool, EngineError> {
        Ok(!self.is_halted(target) && !self.is_frozen()?)
    }

    /// Whether somebody undoes a run of this target that is under way.
    pub fn is_halted(&self, target: TargetId) -> bool {
        crate::unpoison(self.halted.lock()).contains(&target)
    }

    /// Whether a target stands still: frozen, or restored from a backup and not looked at.
    pub(crate) fn stands_still(&self, target: TargetId) -> Result<bool, EngineError> {
        Ok(self.is_frozen()? || self.must_reconcile(target)?)
    }

    /// Whether a plan waits that stopped a run of this target half-way: until it is decided, only what was approved of it
    /// is sent.
    pub(crate) fn awaits_decision(&self, target: TargetId) -> Result<bool, EngineError> {
        let plans = self.plan_board()?;
        Ok(plans.iter().any(|plan| plan.target == target && plan.status == PlanStatus::Waiting && plan.halts))
    }

    /// Asked between the tries of one call.
    pub(crate) fn stop_switch(&self) -> Arc<dyn Fn() -> bool + Send + Sync> {
        let store = self.store.clone();
        // What cannot be asked does not stop a try: the next call asks again, and fails there.
        Arc::new(move || is_frozen(&store).unwrap_or(false))
    }
}
