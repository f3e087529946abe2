//! What ran, and what waits for a person.

use super::error::Problem;
use super::extract::{Body, Params, Part};
use super::shapes::{Limit, next_page};
use crate::app::App;
use crate::tokens::Caller;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use axum::{Extension, Json};
use engine::{HeldPlan, PullReport};
use intel::RunId;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use store::{RunFilter, RunRow};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RunQuery {
    /// `pull`, `share`, `add`, `expire`, `prune`, …
    kind: Option<String>,
    /// About this connection or target.
    subject: Option<String>,
    /// That ended so.
    status: Option<String>,
    /// Most given; 50 where nothing is said.
    limit: Option<Limit<1_000>>,
    /// Only runs before this one: the last of the page before.
    before: Option<u32>,
}

/// One execution of one job.
#[derive(Serialize, JsonSchema)]
pub(super) struct RunShown {
    /// Which one.
    id: u64,
    /// What sort of job.
    kind: String,
    /// The connection or target it is about; empty where it is about none.
    subject: String,
    /// RFC 3339.
    started: String,
    /// RFC 3339; null while it goes on, and where it was interrupted.
    ended: Option<String>,
    /// `running`, `interrupted`, or how it ended.
    status: String,
    /// Counts and details, as that sort of job has them.
    report: Value,
}

pub(super) fn shown(run: &RunRow) -> RunShown {
    RunShown {
        id: run.id.0,
        kind: run.kind.clone(),
        subject: run.subject.clone(),
        started: run.started.to_string(),
        ended: run.ended.map(|ended| ended.to_string()),
        status: run.status.clone(),
        report: serde_json::from_str::<Value>(&run.report).unwrap_or(Value::Null),
    }
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    uri: Uri,
    Params(query): Params<RunQuery>,
) -> Result<Response, Problem> {
    app.hop(move |app| {
        let filter = RunFilter {
            kind: query.kind.as_deref(),
            subject: query.subject.as_deref(),
            status: query.status.as_deref(),
        };
        let limit = query.limit.map_or(50, |limit| limit.get());
        let before = query.before.map(|id| RunId(id.into()));
        let runs: Vec<RunShown> = app.engine()?.store().runs(filter, limit, before)?.iter().map(shown).collect();
        let last = runs.last().filter(|_| runs.len() == limit).map(|run| run.id);
        Ok(next_page(&uri, &runs, last))
    })
    .await
}

pub(super) async fn show(State(app): State<Arc<App>>, Part(id): Part<u64>) -> Result<Json<RunShown>, Problem> {
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
) -> Result<Json<RunShown>, Problem> {
    app.hop(move |app| {
        let engine = app.engine()?;
        engine.discard_run(RunId(id), &caller.name)?;
        let run = engine.store().run(RunId(id))?;
        run.as_ref().map(|run| Json(shown(run))).ok_or_else(|| Problem::not_found(format!("there is no run {id}")))
    })
    .await
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PlanQuery {
    /// That stand so.
    #[schemars(schema_with = "plan_status")]
    #[serde(default)]
    status: Option<String>,
    /// Most given; 1,000 where nothing is said.
    limit: Option<Limit<1_000>>,
    /// Only plans before this one: the last of the page before.
    before: Option<u32>,
}

fn plan_status(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": ["waiting", "approved", "rejected", "expired", "done"] })
}

/// What a person says to a plan.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Note {
    /// In their own words.
    note: Option<String>,
}

pub(super) async fn plans(
    State(app): State<Arc<App>>,
    uri: Uri,
    Params(query): Params<PlanQuery>,
) -> Result<Response, Problem> {
    app.hop(move |app| {
        let mut plans = app.engine()?.plans(query.status.as_deref())?;
        plans.retain(|plan| query.before.is_none_or(|before| plan.id < before.into()));
        let limit = query.limit.map_or(1_000, |limit| limit.get());
        let more = plans.len() > limit;
        plans.truncate(limit);
        Ok(next_page(&uri, &plans, plans.last().filter(|_| more).map(|plan| plan.id)))
    })
    .await
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
