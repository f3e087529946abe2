//! Secrets and the audit log, as far as they can be shown.

use super::error::Problem;
use super::extract::Body;
use crate::app::App;
use crate::audit::verify::{self, AuditChecked};
use crate::tokens::Caller;
use axum::extract::State;
use axum::{Extension, Json};
use engine::seal::SecretShown;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The audit log, looked at as a whole.
#[derive(Serialize, JsonSchema)]
pub(super) struct AuditState {
    #[serde(flatten)]
    checked: AuditChecked,
    /// Where it is handed on to.
    sinks: Vec<SinkShown>,
}

/// A place that the audit log is handed on to.
#[derive(Serialize, JsonSchema)]
pub(super) struct SinkShown {
    /// As it was named at start.
    name: String,
    /// The last entry it has.
    seq: u64,
    /// When that was. RFC 3339.
    at: String,
    /// Why the next could not be handed on.
    error: Option<String>,
}

pub(super) async fn verify_audit(State(app): State<Arc<App>>) -> Result<Json<AuditState>, Problem> {
    app.hop(|app| {
        let store = app.engine()?.store();
        let checked = verify::store(store, app.keys())?;
        let sinks = store.audit_sinks()?.into_iter().map(|sink| SinkShown {
            name: sink.name,
            seq: sink.seq,
            at: sink.at.to_string(),
            error: sink.error,
        });
        Ok(Json(AuditState { checked, sinks: sinks.collect() }))
    })
    .await
}

pub(super) async fn secrets(State(app): State<Arc<App>>) -> Result<Json<Vec<SecretShown>>, Problem> {
    app.hop(|app| Ok(Json(app.engine()?.secrets_shown()?))).await
}

/// How a key is changed.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RotateBody {
    /// Forget the old keys when it is done: backups made before need them.
    forget_old: bool,
    /// Write the database anew, so that nothing sealed with an old key is left in it. Nothing else is written meanwhile.
    wipe: bool,
}

/// A key that was changed.
#[derive(Serialize, JsonSchema)]
pub(super) struct Rotated {
    /// The id of the new key.
    key: String,
    /// How many secrets are sealed with it.
    sealed: usize,
}

pub(super) async fn rotate(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Body(body): Body<RotateBody>,
) -> Result<Json<Rotated>, Problem> {
    app.hop(move |app| {
        let (key, sealed) = app.rotate(&caller.name, body.forget_old, body.wipe)?;
        Ok(Json(Rotated { key, sealed }))
    })
    .await
}
