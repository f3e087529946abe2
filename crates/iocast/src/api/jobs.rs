//! Pulls and passes, now.

use super::error::Problem;
use super::extract::Body;
use crate::app::App;
use crate::app::jobs::Which;
use crate::people::roles::{self, Needs};
use crate::tokens::Caller;
use axum::extract::State;
use axum::{Extension, Json};
use engine::{Mode, PullReport, ShareReport};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PullBody {
    /// These, in this order.
    #[serde(default)]
    connections: Vec<String>,
    /// All that are enabled, instead of names.
    #[serde(default)]
    all: bool,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PassBody {
    /// These, in this order.
    #[serde(default)]
    targets: Vec<String>,
    /// All that are enabled, instead of names.
    #[serde(default)]
    all: bool,
    /// Shows what would be done, and does nothing.
    #[serde(default)]
    dry_run: bool,
    /// Lets go what would wait for a person.
    #[serde(default)]
    approve: bool,
    /// The hash that a dry run of the one target gave: another plan is not carried out.
    expect: Option<String>,
}

pub(super) async fn pull(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Body(body): Body<PullBody>,
) -> Result<Json<Vec<PullReport>>, Problem> {
    let which = Which::of(body.connections, body.all, "connections")?;
    app.hop(move |app| {
        app.audit(&caller.name, "pull.ask", &which.words(), "{}")?;
        app.pull(&which)
    })
    .await
    .map(Json)
}

pub(super) async fn pass(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Body(body): Body<PassBody>,
) -> Result<Json<Vec<ShareReport>>, Problem> {
    let which = Which::of(body.targets, body.all, "targets")?;
    if body.approve && !body.dry_run {
        roles::decide(&caller, Needs::Approve).map_err(Problem::forbidden)?;
    }
    if body.dry_run {
        super::origin::only_asks();
    }
    let mode = Mode { dry_run: body.dry_run, approve: body.approve };
    app.hop(move |app| {
        if !mode.dry_run {
            let detail = serde_json::json!({ "approve": mode.approve }).to_string();
            app.audit(&caller.name, "pass.ask", &which.words(), &detail)?;
        }
        app.pass(&which, mode, body.expect.as_deref(), &caller.name)
    })
    .await
    .map(Json)
}
