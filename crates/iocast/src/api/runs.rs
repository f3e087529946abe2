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

/// What a person allows of a plan. A word of `only` and `except` is `push`, `update` or `retract`, a value, or an
/// expression.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Allowed {
    /// In their own words.
    note: Option<String>,
    /// The hash of the plan that was looked at: another one is not approved.
    hash: Option<String>,
    /// Only these steps; the rest goes on waiting.
    only: Vec<String>,
    /// All but these steps.
    except: Vec<String>,
}

pub(super) async fn approve_plan(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Part(id): Part<u64>,
    Body(body): Body<Allowed>,
) -> Result<Json<HeldPlan>, Problem> {
    app.hop(move |app| {
        let part = engine::Part { only: body.only, except: body.except };
        let plan = app.engine()?.approve_part(id, &part, body.hash.as_deref(), &caller.name, body.note.as_deref())?;
        app.hurry();
        Ok(Json(plan))
    })
    .await
}

/// Whether the plan is approved at once.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Undo {
    /// Approve it at once, where its author may.
    approve: bool,
    /// Why.
    note: Option<String>,
}

pub(super) async fn undo(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Part(id): Part<u64>,
    Body(body): Body<Undo>,
) -> Result<Json<HeldPlan>, Problem> {
    app.hop(move |app| {
        let plan = app.engine()?.undo_run(RunId(id), &caller.name)?;
        asked(app, &caller, plan, body.approve, body.note.as_deref())
    })
    .await
}

/// A time to return to.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReturnTo {
    /// RFC 3339.
    to: String,
    /// Approve it at once, where its author may.
    #[serde(default)]
    approve: bool,
    /// Why.
    note: Option<String>,
}

pub(super) async fn return_target(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Part(name): Part<String>,
    Body(body): Body<ReturnTo>,
) -> Result<Json<HeldPlan>, Problem> {
    app.hop(move |app| {
        let to = intel::Timestamp::parse(&body.to)
            .ok_or_else(|| Problem::invalid(format!("\"{}\" is no time such as 2026-01-31T14:05:00Z", body.to)))?;
        let plan = app.engine()?.return_target(&name, to, &caller.name)?;
        asked(app, &caller, plan, body.approve, body.note.as_deref())
    })
    .await
}

fn asked(
    app: &App,
    caller: &Caller,
    plan: HeldPlan,
    approve: bool,
    note: Option<&str>,
) -> Result<Json<HeldPlan>, Problem> {
    if !approve {
        // An approval keeps the words with the plan; until there is one, the log does.
        if let Some(note) = note {
            let engine = app.engine()?;
            let detail = serde_json::json!({ "note": note, "about": plan.about }).to_string();
            let object = format!("plan {}", plan.id);
            engine.store().audit(&caller.name, "plan.note", &object, &detail, engine.world().now())?;
        }
        return Ok(Json(plan));
    }
    let plan = app.engine()?.approve_plan(plan.id, &caller.name, note)?;
    app.hurry();
    Ok(Json(plan))
}

pub(super) async fn pins(
    State(app): State<Arc<App>>,
    Part(name): Part<String>,
) -> Result<Json<Vec<engine::PinShown>>, Problem> {
    app.hop(move |app| Ok(Json(app.engine()?.pins(&name)?))).await
}

/// Which pins are lifted.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Unpin {
    /// Of these values; all where it is left out.
    values: Option<Vec<String>>,
}

/// How many pins were lifted.
#[derive(Serialize, JsonSchema)]
pub(super) struct Unpinned {
    /// So many.
    lifted: u64,
}

pub(super) async fn unpin(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Part(name): Part<String>,
    Body(body): Body<Unpin>,
) -> Result<Json<Unpinned>, Problem> {
    app.hop(move |app| {
        let lifted = app.engine()?.unpin(&name, body.values.as_deref(), &caller.name)?;
        app.hurry();
        Ok(Json(Unpinned { lifted }))
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
