//! The configuration: shown without secrets, and applied.

use super::error::Problem;
use super::extract::{Body, Params};
use crate::app::App;
use crate::tokens::Caller;
use axum::extract::State;
use axum::{Extension, Json};
use engine::{Applied, ConfigFile};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ApplyQuery {
    /// Says what would change, and changes nothing.
    #[serde(default)]
    dry_run: bool,
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
    app.hop(move |app| app.apply(file, &caller.name, query.dry_run)).await.map(Json)
}
