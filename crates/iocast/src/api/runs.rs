//! What ran, and what waits for a person.

use super::error::Problem;
use super::extract::{Body, Params, Part};
use crate::app::App;
use crate::tokens::Caller;
use axum::extract::State;
use axum::{Extension, Json};
use engine::{HeldPlan, PullReport};
use intel::RunId;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use store::{RunFilter, RunRow};

/// Runs given at once.
const MAX_RUNS: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RunQuery {
    kind: Option<String>,
    subject: Option<String>,
    status: Option<String>,
    limit: Option<usize>,
    before: Option<u64>,
}

fn shown(run: &RunRow) -> Value {
    json!({
        "id": run.id.0,
        "kind": run.kind,
        "subject": run.subject,
        "started": run.started.to_string(),
        "ended": run.ended.map(|ended| ended.to_string()),
        "status": run.status,
        "report": serde_json::from_str::<Value>(&run.report).unwrap_or(Value::Null),
    })
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    Params(query): Params<RunQuery>,
) -> Result<Json<Vec<Value>>, Problem> {
    app.hop(move |app| {
        let filter = RunFilter {
            kind: query.kind.as_deref(),
            subject: query.subject.as_deref(),
            status: query.status.as_deref(),
        };
        let limit = query.limit.unwrap_or(50).min(MAX_RUNS);
        let runs = app.engine()?.store().runs(filter, limit, query.before.map(RunId))?;
        Ok(Json(runs.iter().map(shown).collect()))
    })
    .await
}

pub(super) async fn show(State(app): State<Arc<App>>, Part(id): Part<u64>) -> Result<Json<Value>, Problem> {
    app.hop(move |app| {
        let run = app.engine()?.store().run(RunId(id))?;
        run.as_ref().map(|run| Json(shown(run))).ok_or_else(|| Problem::not_found(format!("there is no run {id}")))
    })
    .await
}

pub(super) async fn approve(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Part(id): Part<u64>,
) -> Result<Json<PullReport>, Problem> {
    app.hop(move |app| {
        let report = app.engine()?.approve_run(RunId(id), &caller.name)?;
        app.hurry();
        Ok(Json(report))
    })
    .await
}

pub(super) async fn discard(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Part(id): Part<u64>,
) -> Result<Json<Value>, Problem> {
    app.hop(move |app| {
        let engine = app.engine()?;
        engine.discard_run(RunId(id), &caller.name)?;
        let run = engine.store().run(RunId(id))?;
        Ok(Json(run.as_ref().map_or(Value::Null, shown)))
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlanQuery {
    status: Option<String>,
}

/// What a person says to a plan.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Note {
    note: Option<String>,
}

pub(super) async fn plans(
    State(app): State<Arc<App>>,
    Params(query): Params<PlanQuery>,
) -> Result<Json<Vec<HeldPlan>>, Problem> {
    app.hop(move |app| Ok(app.engine()?.plans(query.status.as_deref())?)).await.map(Json)
}

pub(super) async fn plan(State(app): State<Arc<App>>, Part(id): Part<u64>) -> Result<Json<HeldPlan>, Problem> {
    app.hop(move |app| Ok(app.engine()?.held_plan(id)?)).await.map(Json)
}

pub(super) async fn approve_plan(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Part(id): Part<u64>,
    Body(body): Body<Note>,
) -> Result<Json<HeldPlan>, Problem> {
    app.hop(move |app| {
        let plan = app.engine()?.approve_plan(id, &caller.name, body.note.as_deref())?;
        app.hurry();
        Ok(Json(plan))
    })
    .await
}

pub(super) async fn reject_plan(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Part(id): Part<u64>,
    Body(body): Body<Note>,
) -> Result<Json<HeldPlan>, Problem> {
    app.hop(move |app| Ok(app.engine()?.reject_plan(id, &caller.name, body.note.as_deref())?)).await.map(Json)
}
