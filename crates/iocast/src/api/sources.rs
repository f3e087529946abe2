//! Sources: how each is, how its runs went, and rolling one back.

use super::error::Problem;
use super::extract::{Body, Params, Part};
use super::runs::{RunShown, shown};
use super::shapes::{self, Limit};
use crate::app::App;
use crate::tokens::Caller;
use axum::extract::State;
use axum::{Extension, Json};
use engine::{PastWord, Rollback, SourceShown, SuspectPreview};
use intel::{RunId, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;

pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Json<Vec<SourceShown>>, Problem> {
    app.hop(move |app| Ok(app.engine()?.sources()?)).await.map(Json)
}

pub(super) async fn show(State(app): State<Arc<App>>, Part(name): Part<String>) -> Result<Json<SourceShown>, Problem> {
    app.hop(move |app| Ok(app.engine()?.source(&name)?)).await.map(Json)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HistoryQuery {
    /// Most given; 50 where nothing is said.
    limit: Option<Limit<1_000>>,
    /// Only runs before this one.
    before: Option<u32>,
}

pub(super) async fn history(
    State(app): State<Arc<App>>,
    Part(name): Part<String>,
    Params(query): Params<HistoryQuery>,
) -> Result<Json<Vec<RunShown>>, Problem> {
    app.hop(move |app| {
        let limit = query.limit.map_or(50, |limit| limit.get());
        let before = query.before.map(|id| RunId(id.into()));
        Ok(app.engine()?.runs_of(&name, limit, before)?.iter().map(shown).collect())
    })
    .await
    .map(Json)
}

/// To which time, and whether only to look.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RollbackBody {
    /// RFC 3339: before the first run that is to be undone.
    #[schemars(schema_with = "shapes::time")]
    #[serde(default)]
    to: Option<String>,
    /// Instead of a time: to just before its last rollback.
    #[serde(default)]
    undo: bool,
    /// Say what it would do, and do nothing.
    #[serde(default)]
    dry_run: bool,
}

pub(super) async fn rollback(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Part(name): Part<String>,
    Body(body): Body<RollbackBody>,
) -> Result<Json<Rollback>, Problem> {
    if body.dry_run {
        super::origin::only_asks();
    }
    app.hop(move |app| {
        let engine = app.engine()?;
        let to = match (&body.to, body.undo) {
            (Some(text), false) => Timestamp::parse(text).ok_or_else(|| {
                Problem::invalid(format!("to: expected a time such as 2026-11-24T14:00:00Z, found \"{text}\""))
            })?,
            (None, true) => engine.before_rollback(&name)?,
            _ => return Err(Problem::invalid("say either \"to\": a time, or \"undo\": true")),
        };
        if body.dry_run {
            return Ok(engine.rollback_preview(&name, to)?);
        }
        let done = engine.rollback(&name, to, &caller.name)?;
        app.hurry();
        Ok(done)
    })
    .await
    .map(Json)
}

/// From when on.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ReadAgainBody {
    /// RFC 3339. Left out: as far back as its first run read, or the whole.
    #[schemars(schema_with = "shapes::time")]
    from: Option<String>,
}

pub(super) async fn again(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Part(name): Part<String>,
    Body(body): Body<ReadAgainBody>,
) -> Result<Json<SourceShown>, Problem> {
    app.hop(move |app| {
        let from = body.from.as_deref().map(|text| {
            Timestamp::parse(text).ok_or_else(|| {
                Problem::invalid(format!("from: expected a time such as 2026-11-24T14:00:00Z, found \"{text}\""))
            })
        });
        let engine = app.engine()?;
        engine.read_again(&name, from.transpose()?, &caller.name)?;
        Ok(engine.source(&name)?)
    })
    .await
    .map(Json)
}

pub(super) async fn suspect(State(app): State<Arc<App>>, Part(id): Part<u64>) -> Result<Json<SuspectPreview>, Problem> {
    app.hop(move |app| {
        let preview = app.engine()?.suspect_preview(RunId(id))?;
        preview.ok_or_else(|| Problem::not_found(format!("run {id} is no suspect run that waits")))
    })
    .await
    .map(Json)
}

pub(super) async fn past_words(
    State(app): State<Arc<App>>,
    Part(parts): Part<(String, String)>,
) -> Result<Json<Vec<PastWord>>, Problem> {
    let (kind, value) = super::knowledge::key_of(parts)?;
    let not_there = super::knowledge::not_there;
    app.hop(move |app| app.engine()?.past_words(&value, kind).map_err(Problem::from).map_err(not_there)).await.map(Json)
}
