//! What people are told, and whether the channels work.

use super::error::Problem;
use super::extract::{Body, Params, Part};
use crate::app::App;
use crate::tokens::Caller;
use axum::Extension;
use axum::Json;
use axum::extract::State;
use engine::notice::NoticeShown;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NoticeQuery {
    /// Also those that were over in the last so many days; without: those that stand.
    #[schemars(range(max = 365))]
    #[serde(default)]
    days: Option<u32>,
}

/// What became of a test.
#[derive(Serialize, JsonSchema)]
pub(super) struct Tested {
    /// The channel.
    notify: String,
    /// Whether it took it.
    ok: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    Params(query): Params<NoticeQuery>,
) -> Result<Json<Vec<NoticeShown>>, Problem> {
    let days = query.days.unwrap_or(0);
    if days > 365 {
        return Err(Problem::invalid(format!("days: at most 365, not {days}")));
    }
    app.hop(move |app| {
        let engine = app.engine()?;
        engine.take_notice()?;
        Ok(Json(engine.notices_shown(days)?))
    })
    .await
}

/// `{ok, error?}`: a channel that does not work is an answer, not a failure of the question.
pub(super) async fn test(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Part(name): Part<String>,
) -> Result<Json<Tested>, Problem> {
    app.hop(move |app| {
        let error = tell_test(app, &caller, &name)?;
        Ok(Json(Tested { notify: name, ok: error.is_none(), error }))
    })
    .await
}

/// Tells a test through a channel. Gives why it did not take it.
///
/// # Errors
/// Not there; a store that cannot be written.
pub(crate) fn tell_test(app: &App, caller: &Caller, name: &str) -> Result<Option<String>, Problem> {
    let engine = app.engine()?;
    let why = match engine.tell_test(name) {
        Ok(()) => None,
        Err(engine::EngineError::Conflict(why)) => Some(why),
        Err(error) => return Err(error.into()),
    };
    let detail = json!({ "ok": why.is_none() }).to_string();
    engine.store().audit(&caller.name, "notify.test", name, &detail, engine.world().now())?;
    Ok(why)
}

#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SeenBody {
    /// What was done about it.
    note: Option<String>,
}

pub(super) async fn see(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Part(id): Part<u64>,
    Body(body): Body<SeenBody>,
) -> Result<Json<NoticeShown>, Problem> {
    app.hop(move |app| Ok(Json(app.engine()?.see_to_notice(id, &caller.name, body.note.as_deref())?))).await
}
