//! The configuration: shown without secrets, and applied.

use super::error::Problem;
use super::extract::{Body, Params};
use crate::app::App;
use crate::people;
use crate::people::roles::{self, Needs};
use crate::tokens::Caller;
use axum::extract::State;
use axum::{Extension, Json};
use engine::{Applied, ApplyOptions, ConfigFile, Prune};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ApplyQuery {
    /// Says what would change, and changes nothing.
    #[serde(default)]
    dry_run: bool,
    /// Delete what the file leaves out.
    #[serde(default)]
    prune: bool,
    /// With `prune`: records of deleted connections stop counting now, and do not age out.
    #[serde(default)]
    retract_records: bool,
    /// With `prune`: targets are kept until passes have taken their entries back.
    #[serde(default)]
    take_back: bool,
}

pub(super) async fn show(State(app): State<Arc<App>>) -> Result<Json<ConfigFile>, Problem> {
    app.hop(App::config_shown).await.map(Json)
}

pub(super) async fn apply(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Params(query): Params<ApplyQuery>,
    Body(file): Body<ConfigFile>,
) -> Result<Json<Applied>, Problem> {
    let ApplyQuery { dry_run, prune, retract_records, take_back } = query;
    if !prune && (retract_records || take_back) {
        return Err(Problem::invalid("retract_records and take_back say how to prune: send prune=true with them"));
    }
    if dry_run {
        super::origin::only_asks();
    }
    let options = ApplyOptions { dry_run, prune: prune.then_some(Prune { retract_records, take_back }) };
    app.hop(move |app| {
        within_roles(app, &caller, &file, options.prune.is_some())?;
        app.apply(&file, &caller.name, options)
    })
    .await
    .map(Json)
}

/// Whether a file says only what its sender may say: a whole configuration is no way around the roles.
fn within_roles(app: &App, caller: &Caller, file: &ConfigFile, prunes: bool) -> Result<(), Problem> {
    let there = app.config_shown()?;
    let settings = file.policy.as_ref().is_some_and(|policy| Some(policy) != there.policy.as_ref());
    if settings {
        roles::decide(caller, Needs::EditSettings)
            .map_err(|why| Problem::forbidden(format!("[policy] is another than now: {why}")))?;
    }
    for exception in file.guard_exception.iter().filter(|exception| !there.guard_exception.contains(exception)) {
        super::exceptions::may(app, caller, exception)
            .map_err(|problem| problem.at(&format!("guard_exception \"{}\"", exception.value)))?;
    }
    // Who says which groups are administrators is one.
    for provider in &file.provider {
        people::check_provider(app, provider)?;
    }
    let is_new = |provider| !there.provider.contains(provider);
    let is_gone =
        |provider: &&engine::config::ProviderDoc| !file.provider.iter().any(|other| other.name == provider.name);
    if file.provider.iter().any(is_new) || (prunes && there.provider.iter().any(|provider| is_gone(&provider))) {
        roles::decide(caller, Needs::ManagePeople)
            .map_err(|why| Problem::forbidden(format!("[[provider]] is another than now: {why}")))?;
    }
    Ok(())
}
