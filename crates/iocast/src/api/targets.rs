//! Targets: how each is, whether it holds what we think, and taking over what it holds.

use super::error::Problem;
use super::extract::{Body, Params, Part};
use super::shapes::Limit;
use crate::app::App;
use crate::tokens::Caller;
use axum::extract::State;
use axum::{Extension, Json};
use engine::{Adopt, AdoptReport, Cut, TargetShown, Verify, VerifyReport};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

pub(super) async fn state(State(app): State<Arc<App>>, Part(name): Part<String>) -> Result<Json<TargetShown>, Problem> {
    app.hop(move |app| Ok(app.engine()?.target_shown(&name)?)).await.map(Json)
}

/// How much is read back, and whether it is believed whatever it is.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct VerifyBody {
    /// What the destination shows is true, however little it is.
    believe: bool,
    /// Everything, also where each entry has to be asked about; else up to 1,000 of them in turn.
    all: bool,
}

pub(super) async fn verify(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Part(name): Part<String>,
    Body(body): Body<VerifyBody>,
) -> Result<Json<VerifyReport>, Problem> {
    app.hop(move |app| {
        let report = app.engine()?.verify(&name, Verify { believe: body.believe, all: body.all })?;
        let detail = serde_json::json!({ "believe": body.believe, "all": body.all, "run": report.run }).to_string();
        app.audit(&caller.name, "target.verify", &name, &detail)?;
        // What differs is mended by a pass.
        app.hurry();
        Ok(report)
    })
    .await
    .map(Json)
}

/// How what is there is taken over.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AdoptBody {
    /// Say what it would do, and do nothing.
    preview: bool,
    /// Forget first what the ledger says: only what carries our mark is ours then.
    forget: bool,
    /// The destination cannot be asked, and somebody has looked: what the ledger says is taken as it stands.
    unread: bool,
}

pub(super) async fn adopt(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Part(name): Part<String>,
    Body(body): Body<AdoptBody>,
) -> Result<Json<AdoptReport>, Problem> {
    if body.preview {
        super::origin::only_asks();
    }
    app.hop(move |app| {
        let options = Adopt { apply: !body.preview, forget: body.forget, unread: body.unread };
        let report = app.engine()?.adopt(&name, options, &caller.name)?;
        if report.applied {
            app.hurry();
        }
        Ok(report)
    })
    .await
    .map(Json)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CutQuery {
    /// Most given; 1,000 where nothing is said.
    limit: Option<Limit<100_000>>,
}

/// What has no place at a target.
#[derive(Serialize, JsonSchema)]
pub(super) struct CutShown {
    /// How many there are.
    total: u64,
    /// The first of them, best rank first.
    items: Vec<Cut>,
}

pub(super) async fn cut(
    State(app): State<Arc<App>>,
    Part(name): Part<String>,
    Params(query): Params<CutQuery>,
) -> Result<Json<CutShown>, Problem> {
    app.hop(move |app| {
        let mut items = app.engine()?.cut(&name)?;
        let total = items.len() as u64;
        items.truncate(query.limit.map_or(1_000, |limit| limit.get()));
        Ok(CutShown { total, items })
    })
    .await
    .map(Json)
}
