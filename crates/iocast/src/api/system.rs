//! The exchange itself: health, status, tokens, audit, backup, freeze.

use super::error::Problem;
use super::extract::{Body, Params, Part};
use super::shapes::{self, Limit, next_page};
use crate::app::App;
use crate::app::status::Status;
use crate::app::tokens::{TokenAsked, TokenEnded, TokenMade, TokenShown};
use crate::app::upkeep::BackupMade;
use crate::tokens::Caller;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::Response;
use axum::{Extension, Json};
use intel::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;

/// Whether the process answers.
#[derive(Serialize, JsonSchema)]
pub(super) struct Health {
    /// `ok`; `starting` while everything known is loaded; or, while nothing can be written, `disk full`, `store locked`,
    /// `store cannot be written`, `store failed` or `store damaged`.
    status: &'static str,
}

/// An entry of the audit log.
#[derive(Serialize, JsonSchema)]
pub(super) struct AuditShown {
    /// Its place; there are no gaps.
    seq: u64,
    /// When. RFC 3339.
    at: String,
    /// Who.
    who: String,
    /// Did what.
    action: String,
    /// To what.
    object: String,
    /// In detail.
    detail: Value,
    /// From which address; null: from no socket, or longer ago than that is noted.
    address: Option<String>,
    /// With which token.
    token: Option<u32>,
}

/// Whether calls to destinations are stopped.
#[derive(Serialize, JsonSchema)]
pub(super) struct Frozen {
    /// They are, at every destination.
    frozen: bool,
    /// Targets that stand still all the same, because the exchange was restored from a backup: each until somebody adopts
    /// what it holds.
    restored: Vec<String>,
}

/// Says nothing but that the process answers: anybody may ask.
pub(super) async fn healthz(State(app): State<Arc<App>>) -> Json<Health> {
    let well = if app.engine().is_ok() { "ok" } else { "starting" };
    Json(Health { status: app.trouble().map_or(well, store::Trouble::as_str) })
}

pub(super) async fn status(State(app): State<Arc<App>>) -> Result<Json<Status>, Problem> {
    app.hop(App::status).await.map(Json)
}

pub(super) async fn tokens(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Vec<TokenShown>>, Problem> {
    app.hop(move |app| app.tokens(&caller)).await.map(Json)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenBody {
    /// What people call it.
    #[schemars(regex(pattern = r"^[^\x00-\x1f\x7f-\x9f]*[!-~][^\x00-\x1f\x7f-\x9f]*$"), length(min = 1, max = 64))]
    name: String,
    /// What it allows.
    #[schemars(schema_with = "shapes::scope")]
    scope: String,
    /// The bucket a token with scope `ingest` is for.
    connection: Option<String>,
    /// RFC 3339 or a date. Without: 90 days, or for lists never.
    #[schemars(schema_with = "shapes::time")]
    #[serde(default)]
    expires_at: Option<String>,
    /// The user whose it is, where nobody in particular makes it. A person makes tokens for themselves alone.
    #[serde(default)]
    owner: Option<String>,
    /// Networks from which alone it is good, e.g. `["10.1.0.0/16"]`; an address stands for itself. Without: from anywhere.
    #[serde(default)]
    networks: Vec<String>,
}

pub(super) async fn new_token(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Body(body): Body<TokenBody>,
) -> Result<(StatusCode, [(header::HeaderName, String); 1], Json<TokenMade>), Problem> {
    let TokenBody { name, scope, connection, expires_at, owner, networks } = body;
    let asked = TokenAsked { name, scope, connection, expires_at, owner, networks };
    let made = app.hop(move |app| app.new_token(&caller, asked)).await?;
    Ok((StatusCode::CREATED, [(header::LOCATION, format!("/api/v1/tokens/{}", made.id))], Json(made)))
}

pub(super) async fn revoke_token(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Part(id): Part<u32>,
) -> Result<Json<TokenEnded>, Problem> {
    app.hop(move |app| app.revoke_token(&caller, id)).await.map(Json)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditQuery {
    /// Most given; 100 where nothing is said.
    limit: Option<Limit<1_000>>,
    /// Only entries before this one: the last of the page before.
    before: Option<u32>,
    /// Only what they did.
    who: Option<String>,
    /// Only this: `rule.change`, or `rule` for everything about rules.
    action: Option<String>,
    /// Only from then on: RFC 3339 or a date.
    #[schemars(schema_with = "shapes::time")]
    #[serde(default)]
    since: Option<String>,
    /// Only before then: RFC 3339 or a date.
    #[schemars(schema_with = "shapes::time")]
    #[serde(default)]
    until: Option<String>,
}

fn moment(name: &str, text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    let wrong = |text: &str| Problem::invalid(format!("{name}: \"{text}\" is no time, such as 2027-01-31"));
    text.map(|text| Timestamp::parse(text).ok_or_else(|| wrong(text))).transpose()
}

pub(super) async fn audit(
    State(app): State<Arc<App>>,
    uri: Uri,
    Params(query): Params<AuditQuery>,
) -> Result<Response, Problem> {
    app.hop(move |app| {
        let limit = query.limit.map_or(100, |limit| limit.get());
        let filter = store::AuditFilter {
            who: query.who.as_deref(),
            action: query.action.as_deref(),
            since: moment("since", query.since.as_deref())?,
            until: moment("until", query.until.as_deref())?,
        };
        let rows = app.engine()?.store().audit_found(filter, limit, query.before.map(u64::from))?;
        let show = |row: store::AuditRow| AuditShown {
            seq: row.seq,
            at: row.at.to_string(),
            who: row.who,
            action: row.action,
            object: row.object,
            detail: serde_json::from_str::<Value>(&row.detail).unwrap_or(Value::Null),
            address: row.address,
            token: row.token,
        };
        let rows: Vec<AuditShown> = rows.into_iter().map(show).collect();
        let last = rows.last().filter(|row| rows.len() == limit && row.seq > 1).map(|row| row.seq);
        Ok(next_page(&uri, &rows, last))
    })
    .await
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BackupBody {
    /// The name of a file that is not there yet; the server puts it among its backups.
    #[schemars(with = "String")]
    path: PathBuf,
}

pub(super) async fn backup(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Body(body): Body<BackupBody>,
) -> Result<Json<BackupMade>, Problem> {
    app.hop(move |app| app.back_up(&caller, &body.path)).await.map(Json)
}

/// Why, in a person's own words.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FreezeNote {
    /// In their own words.
    note: Option<String>,
}

pub(super) async fn freeze(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Body(body): Body<FreezeNote>,
) -> Result<Json<Frozen>, Problem> {
    app.hop(move |app| {
        let engine = app.engine()?;
        engine.freeze(&caller.name, body.note.as_deref())?;
        Ok(Json(Frozen { frozen: true, restored: engine.to_reconcile()? }))
    })
    .await
}

pub(super) async fn thaw(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Frozen>, Problem> {
    app.hop(move |app| {
        let engine = app.engine()?;
        engine.thaw(&caller.name)?;
        app.hurry();
        Ok(Json(Frozen { frozen: false, restored: engine.to_reconcile()? }))
    })
    .await
}

/// A clock that a person says is right.
#[derive(Serialize, JsonSchema)]
pub(super) struct ClockTrusted {
    /// What it says. RFC 3339.
    now: String,
    /// Whether it was doubted before.
    was_doubted: bool,
}

pub(super) async fn trust_clock(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Body(body): Body<FreezeNote>,
) -> Result<Json<ClockTrusted>, Problem> {
    app.hop(move |app| {
        let engine = app.engine()?;
        let was_doubted = engine.clock_warning().is_some();
        engine.trust_clock(&caller.name, body.note.as_deref())?;
        app.hurry();
        Ok(Json(ClockTrusted { now: engine.world().now().to_string(), was_doubted }))
    })
    .await
}
