//! Pulls and passes, now.

use super::error::Problem;
use super::extract::Body;
use crate::app::App;
use crate::app::jobs::Which;
use axum::Json;
use axum::extract::State;
use engine::{Mode, PullReport, ShareReport};
use serde::Deserialize;
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PullBody {
    #[serde(default)]
    connections: Vec<String>,
    #[serde(default)]
    all: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PassBody {
    #[serde(default)]
    targets: Vec<String>,
    #[serde(default)]
    all: bool,
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    approve: bool,
}

pub(super) async fn pull(
    State(app): State<Arc<App>>,
    Body(body): Body<PullBody>,
) -> Result<Json<Vec<PullReport>>, Problem> {
    let which = Which::of(body.connections, body.all, "connections")?;
    app.hop(move |app| app.pull(&which)).await.map(Json)
}

pub(super) async fn pass(
    State(app): State<Arc<App>>,
    Body(body): Body<PassBody>,
) -> Result<Json<Vec<ShareReport>>, Problem> {
    let which = Which::of(body.targets, body.all, "targets")?;
    let mode = Mode { dry_run: body.dry_run, approve: body.approve };
    app.hop(move |app| app.pass(&which, mode)).await.map(Json)
}
