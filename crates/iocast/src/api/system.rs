//! The exchange itself: health, status, tokens, audit, backup, freeze.

use super::error::Problem;
use super::extract::{Body, Params, Part};
use crate::app::App;
use crate::app::status::Status;
use crate::tokens::{self, Caller, NewToken, Scope};
use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use intel::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;

/// Entries of the audit log given at once.
const MAX_AUDIT: usize = 1_000;

/// Says nothing but that the process answers: anybody may ask.
pub(super) async fn healthz(State(app): State<Arc<App>>) -> Json<Value> {
    Json(json!({ "status": if app.engine().is_ok() { "ok" } else { "starting" } }))
}

pub(super) async fn status(State(app): State<Arc<App>>) -> Result<Json<Status>, Problem> {
    app.hop(App::status).await.map(Json)
}

pub(super) async fn tokens(State(app): State<Arc<App>>) -> Result<Json<Vec<Value>>, Problem> {
    app.hop(|app| {
        let tokens = app.engine()?.store().tokens()?;
        let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
        let show = |token: &store::Token| {
            json!({
                "id": token.id,
                "name": token.name,
                "scope": token.scope,
                "created": token.created.to_string(),
                "expires_at": time(token.expires),
                "last_used": time(token.last_used),
                "revoked": time(token.revoked),
            })
        };
        Ok(Json(tokens.iter().map(show).collect()))
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenBody {
    name: String,
    scope: String,
    /// The bucket a token with scope `ingest` is for.
    connection: Option<String>,
    /// RFC 3339 or a date. Without: 90 days, or for lists never.
    expires_at: Option<String>,
}

/// Longest life of a token that does more than fetch lists, in days.
const MAX_DAYS: u32 = 366;
/// Its life where nothing is said, in days.
const DEFAULT_DAYS: u32 = 90;

pub(super) async fn new_token(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Body(body): Body<TokenBody>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    app.hop(move |app| {
        let engine = app.engine()?;
        let now = engine.world().now();
        let scope = Scope::parse(&body.scope).ok_or_else(|| {
            let names: Vec<&str> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
            Problem::invalid(format!("scope: \"{}\" is none of {}", body.scope, names.join(", ")))
        })?;
        if body.name.trim().is_empty() || body.name.chars().count() > 64 || body.name.chars().any(char::is_control) {
            return Err(Problem::invalid("name: 1 to 64 characters"));
        }
        let stored = tokens::to_store(scope, body.connection.as_deref()).ok_or_else(|| {
            Problem::invalid("connection: scope ingest is for one bucket, named here; no other scope takes one")
        })?;
        if let Some(bucket) = &body.connection {
            engine.bucket(&engine.config(), bucket)?;
        }
        let expires =
            match &body.expires_at {
                Some(text) => Some(Timestamp::parse(text).ok_or_else(|| {
                    Problem::invalid(format!("expires_at: \"{text}\" is no date, such as 2027-01-31"))
                })?),
                None => (scope != Scope::List).then(|| now.after(DEFAULT_DAYS * intel::DAY)),
            };
        if expires.is_some_and(|expires| expires <= now) {
            return Err(Problem::invalid("expires_at: lies in the past"));
        }
        if scope != Scope::List && expires.is_some_and(|expires| expires > now.after(MAX_DAYS * intel::DAY)) {
            return Err(Problem::invalid("expires_at: at most a year ahead, except for scope list"));
        }
        let token = NewToken::generate().map_err(|error| Problem::internal(error.to_string()))?;
        let store = engine.store();
        let id = store.put_token(&body.name, &token.hash, &stored, now, expires)?;
        store.audit(
            &caller.name,
            "token.create",
            &body.name,
            &json!({ "id": id, "scope": stored }).to_string(),
            now,
        )?;
        let shown = json!({
            "id": id,
            "name": body.name,
            "scope": stored,
            "expires_at": expires.map(|expires| expires.to_string()),
            "token": token.secret.reveal(),
        });
        Ok((StatusCode::CREATED, Json(shown)))
    })
    .await
}

pub(super) async fn revoke_token(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Part(id): Part<u32>,
) -> Result<Json<Value>, Problem> {
    app.hop(move |app| {
        let engine = app.engine()?;
        let now = engine.world().now();
        if !engine.store().revoke_token(id, now)? {
            return Err(Problem::not_found(format!("there is no token {id} that is still good")));
        }
        engine.store().audit(&caller.name, "token.revoke", &id.to_string(), "{}", now)?;
        Ok(Json(json!({ "id": id, "revoked": now.to_string() })))
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditQuery {
    limit: Option<usize>,
    before: Option<u64>,
}

pub(super) async fn audit(
    State(app): State<Arc<App>>,
    Params(query): Params<AuditQuery>,
) -> Result<Json<Vec<Value>>, Problem> {
    app.hop(move |app| {
        let rows = app.engine()?.store().audit_log(query.limit.unwrap_or(100).min(MAX_AUDIT), query.before)?;
        let show = |row: &store::AuditRow| {
            json!({
                "seq": row.seq,
                "at": row.at.to_string(),
                "who": row.who,
                "action": row.action,
                "object": row.object,
                "detail": serde_json::from_str::<Value>(&row.detail).unwrap_or(Value::Null),
            })
        };
        Ok(Json(rows.iter().map(show).collect()))
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BackupBody {
    path: PathBuf,
}

pub(super) async fn backup(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Body(body): Body<BackupBody>,
) -> Result<Json<Value>, Problem> {
    app.hop(move |app| {
        let engine = app.engine()?;
        let store = engine.store();
        // Over the network a caller names a file, and the server says where it lies: who holds a token must not
        // thereby write anywhere on the machine.
        let path = match (caller.is_local, body.path.file_name(), store.path()) {
            (true, _, _) => body.path.clone(),
            (false, Some(name), Some(dir)) if Some(name) == body.path.as_os_str().into() => {
                let dir = dir.join("backups");
                std::fs::create_dir_all(&dir).map_err(|error| Problem::internal(error.to_string()))?;
                dir.join(name)
            }
            _ => {
                return Err(Problem::invalid(
                    "path: a plain name; the server puts it in the backups of its data directory",
                ));
            }
        };
        store.backup(&path).map_err(|error| match error {
            store::StoreError::Io { .. } if caller.is_local => Problem::invalid(error.to_string()),
            error => error.into(),
        })?;
        let now = engine.world().now();
        store.audit(&caller.name, "backup", &path.display().to_string(), "{}", now)?;
        let bytes = std::fs::metadata(&path).map_or(0, |meta| meta.len());
        Ok(Json(json!({ "path": path.display().to_string(), "bytes": bytes })))
    })
    .await
}

pub(super) async fn freeze(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Value>, Problem> {
    set_frozen(&app, caller, true).await
}

pub(super) async fn thaw(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Value>, Problem> {
    set_frozen(&app, caller, false).await
}

async fn set_frozen(app: &Arc<App>, caller: Caller, frozen: bool) -> Result<Json<Value>, Problem> {
    app.hop(move |app| {
        let engine = app.engine()?;
        let store = engine.store();
        store.set_setting("frozen", if frozen { "true" } else { "false" })?;
        if !frozen {
            // A restored exchange is frozen until a person has looked at what it would do.
            store.set_setting("reconcile_first", "false")?;
        }
        let action = if frozen { "freeze" } else { "thaw" };
        store.audit(&caller.name, action, "exchange", "{}", engine.world().now())?;
        if !frozen {
            app.hurry();
        }
        Ok(Json(json!({ "frozen": frozen })))
    })
    .await
}
