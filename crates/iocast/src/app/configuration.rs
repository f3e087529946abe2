//! The configuration as people see it: secrets are written and never read.
//!
//! What is shown can be sent back: a place holder stands for the secret that is there (see `engine::seal`).

use super::App;
use super::things::tag_of;
use crate::api::Problem;
use axum::http::StatusCode;
use engine::config::PolicyDoc;
use engine::{Applied, ApplyOptions, ConfigFile};

impl App {
    /// Everything that is configured, secrets replaced.
    pub(crate) fn config_shown(&self) -> Result<ConfigFile, Problem> {
        let engine = self.engine()?;
        let mut file = engine.config().file.clone();
        engine::seal::hide(&mut file, engine.registry());
        Ok(file)
    }

    /// Applies a file, or says what it would change.
    pub(crate) fn apply(&self, file: &ConfigFile, who: &str, options: ApplyOptions) -> Result<Applied, Problem> {
        let bare = ConfigFile { policy: None, ..file.clone() };
        if options.prune.is_some() && bare == ConfigFile::default() {
            return Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "there is nothing in it, and prune would delete everything: that is most likely a mistake; to start \
                 over, delete what is there thing by thing",
            ));
        }
        let _one = self.editing();
        self.apply_held(file, who, options)
    }

    /// The same, for who holds [`App::editing`].
    pub(crate) fn apply_held(&self, file: &ConfigFile, who: &str, options: ApplyOptions) -> Result<Applied, Problem> {
        let applied = self.engine()?.apply_with(file, who, options)?;
        if !options.dry_run && !applied.changes.is_empty() {
            self.reconfigured();
        }
        Ok(applied)
    }

    /// Replaces the settings of the whole exchange for somebody who has seen those there are; `seen` is their tag.
    pub(crate) fn put_policy_seen(&self, policy: PolicyDoc, seen: &str, who: &str) -> Result<(), Problem> {
        let _one = self.editing();
        if tag_of(&self.config_shown()?.policy.unwrap_or_default()) != seen {
            return Err(Problem::new(
                StatusCode::CONFLICT,
                "somebody changed the settings meanwhile: open them again, so that nobody's change is lost",
            ));
        }
        let file = ConfigFile { policy: Some(policy), ..ConfigFile::default() };
        self.apply_held(&file, who, ApplyOptions::default())?;
        Ok(())
    }

    /// Makes a new key and seals every secret with it. The old keys are forgotten where that is asked for, once nothing
    /// is sealed with them any more. Gives the id of the new key and how many secrets were sealed.
    /// The exchange goes on meanwhile: what is sealed with the old key opens until nothing is. `wipe` writes the database
    /// anew, so that no text sealed with an old key is left in it; nothing else can be written as long as that takes.
    pub(crate) fn rotate(&self, who: &str, forget_old: bool, wipe: bool) -> Result<(String, usize), Problem> {
        let engine = self.engine()?;
        let _one = self.editing();
        let trouble = |why: String| Problem::new(StatusCode::CONFLICT, why);
        let Some(keys) = &self.keys else {
            return Err(trouble("this exchange seals nothing: it is in memory".to_owned()));
        };
        let key = keys.add().map_err(trouble)?;
        // Before the rest, which scrubs the file of what is no longer there.
        let n_people = crate::people::accounts::reseal(self)?;
        let n_sealed = engine.reseal(who, wipe)? + n_people;
        if forget_old {
            keys.forget_old().map_err(trouble)?;
        }
        Ok((key, n_sealed))
    }
}
