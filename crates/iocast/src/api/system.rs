//! The exchange itself: health, status, tokens, audit, backup, freeze.

use super::error::Problem;
use super::extract::{Body, Params, Part};
use super::shapes::{self, Limit, next_page};
use crate::app::App;
use crate::app::status::Status;
use crate::people;
use crate::people::roles::{self, Needs};
use crate::tokens::{self, Caller, NewToken, Scope};
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::Response;
use axum::{Extension, Json};
use intel::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;

/// Whether the process answers.
#[derive(Serialize, JsonSchema)]
pub(super) struct Health {
    /// `ok`; `starting` while everything known is loaded; or, while nothing can be written, `disk full`, `store locked`,
    /// `store cannot be written`, `store failed` or `store damaged`.
    status: &'static str,
}

/// A token, without its secret.
#[derive(Serialize, JsonSchema)]
pub(super) struct TokenShown {
    /// Which one.
    id: u32,
    /// What people call it.
    name: String,
    /// What it allows.
    scope: String,
    /// RFC 3339.
    created: String,
    /// From when it is no longer good; null: never. RFC 3339.
    expires_at: Option<String>,
    /// RFC 3339, to the hour or so.
    last_used: Option<String>,
    /// When it was revoked. RFC 3339.
    revoked: Option<String>,
    /// Whose it is: it may never do more than they may. Null: nobody's, as the first one and those of devices.
    owner: Option<String>,
    /// Who made it; null: not known.
    made_by: Option<String>,
    /// Networks from which alone it is good; empty: from anywhere.
    networks: Vec<String>,
}

/// A token just made.
#[derive(Serialize, JsonSchema)]
pub(super) struct TokenMade {
    /// Which one.
    id: u32,
    /// What people call it.
    name: String,
    /// What it allows; of `ingest` with its bucket, `ingest:NAME`.
    scope: String,
    /// From when it is no longer good; null: never. RFC 3339.
    expires_at: Option<String>,
    /// Networks from which alone it is good; empty: from anywhere.
    networks: Vec<String>,
    /// The secret, shown this once.
    token: String,
}

/// A token that is no longer good.
#[derive(Serialize, JsonSchema)]
pub(super) struct TokenEnded {
    /// Which one.
    id: u32,
    /// Since when. RFC 3339.
    revoked: String,
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

/// A copy of the store.
#[derive(Serialize, JsonSchema)]
pub(super) struct BackupMade {
    /// Where it lies on the server.
    path: String,
    /// Its length.
    bytes: u64,
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
    app.hop(move |app| {
        let tokens = app.engine()?.store().tokens()?;
        let people = app.store().people()?;
        let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
        let show = |token: store::Token| TokenShown {
            owner: token.owner.map(|id| {
                people.iter().find(|person| person.id == id).map_or_else(|| "(gone)".to_owned(), |p| p.name.clone())
            }),
            id: token.id,
            name: token.name,
            scope: token.scope,
            created: token.created.to_string(),
            expires_at: time(token.expires),
            last_used: time(token.last_used),
            revoked: time(token.revoked),
            made_by: token.made_by,
            networks: token.networks,
        };
        Ok(Json(tokens.into_iter().filter(|token| keeps(&caller, token)).map(show).collect()))
    })
    .await
}

/// Whether a token is one that this caller sees and ends: their own, a device's for who configures, any for who manages
/// people.
fn keeps(caller: &Caller, token: &store::Token) -> bool {
    let of_device = token.owner.is_none() && !matches!(token.scope.as_str(), "admin" | "read");
    (token.owner.is_some() && token.owner == caller.user)
        || caller.may(Needs::ManagePeople)
        || (of_device && caller.may(Needs::EditConfig))
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

/// Whose a new token is. None: nobody's.
fn owner_of(app: &App, caller: &Caller, scope: Scope, body: &TokenBody) -> Result<Option<u32>, Problem> {
    // A firewall goes on fetching its list when the person who set it up has left.
    let for_device = matches!(scope, Scope::List | Scope::Ingest);
    if for_device {
        roles::decide(caller, Needs::EditConfig)
            .map_err(|why| Problem::forbidden(format!("tokens of devices: {why}")))?;
    }
    match (&body.owner, caller.user) {
        (Some(_), Some(_)) => Err(Problem::invalid("owner: you make tokens for yourself alone; leave it out")),
        (Some(_), None) if for_device => Err(Problem::invalid("owner: a token of a device has none")),
        (Some(owner), None) => {
            let person = app.store().person_named(&people::fold(owner))?;
            person
                .map(|person| Some(person.id))
                .ok_or_else(|| Problem::not_found(format!("there is no user \"{owner}\"")))
        }
        (None, Some(user)) if !for_device => Ok(Some(user)),
        // The audit log and the rule of two persons know people by name: no token of nobody's may have it.
        (None, _) if app.store().is_name_taken(&people::fold(&body.name))? => Err(Problem::new(
            StatusCode::CONFLICT,
            format!("name: \"{}\" is that of a user; call the token otherwise", body.name),
        )),
        (None, _) => Ok(None),
    }
}

/// Longest life of a token that does more than fetch lists, in days.
const MAX_DAYS: u32 = 366;
/// Its life where nothing is said, in days.
const DEFAULT_DAYS: u32 = 90;

pub(super) async fn new_token(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Body(body): Body<TokenBody>,
) -> Result<(StatusCode, [(header::HeaderName, String); 1], Json<TokenMade>), Problem> {
    app.hop(move |app| {
        let engine = app.engine()?;
        let now = engine.world().now();
        let scope = Scope::parse(&body.scope).ok_or_else(|| {
            let names: Vec<&str> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
            Problem::invalid(format!("scope: \"{}\" is none of {}", body.scope, names.join(", ")))
        })?;
        let owner = owner_of(app, &caller, scope, &body)?;
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
        let networks = tokens::networks(body.networks.iter().map(String::as_str))
            .map_err(|why| Problem::invalid(format!("networks: {why}")))?;
        let token = NewToken::generate().map_err(|error| Problem::internal(error.to_string()))?;
        let store = engine.store();
        let id = store.put_token_of(&store::TokenToBe {
            owner,
            made_by: Some(&caller.name),
            name: &body.name,
            hash: &token.hash,
            scope: &stored,
            created: now,
            expires,
            networks: &networks,
        })?;
        store.audit(
            &caller.name,
            "token.create",
            &body.name,
            &json!({ "id": id, "scope": stored, "owner": body.owner, "networks": networks }).to_string(),
            now,
        )?;
        let made = TokenMade {
            id,
            name: body.name,
            scope: stored,
            networks,
            expires_at: expires.map(|expires| expires.to_string()),
            token: token.secret.reveal().to_owned(),
        };
        Ok((StatusCode::CREATED, [(header::LOCATION, format!("/api/v1/tokens/{id}"))], Json(made)))
    })
    .await
}

pub(super) async fn revoke_token(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Part(id): Part<u32>,
) -> Result<Json<TokenEnded>, Problem> {
    app.hop(move |app| {
        let engine = app.engine()?;
        let now = engine.world().now();
        let is_theirs = engine.store().tokens()?.iter().any(|token| token.id == id && keeps(&caller, token));
        if !is_theirs || !engine.store().revoke_token(id, now)? {
            return Err(Problem::not_found(format!("there is no token {id} that is still good")));
        }
        engine.store().audit(&caller.name, "token.revoke", &id.to_string(), "{}", now)?;
        Ok(Json(TokenEnded { id, revoked: now.to_string() }))
    })
    .await
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditQuery {
    /// Most given; 100 where nothing is said.
    limit: Option<Limit<1_000>>,
    /// Only entries before this one: the last of the page before.
    before: Option<u32>,
}

pub(super) async fn audit(
    State(app): State<Arc<App>>,
    uri: Uri,
    Params(query): Params<AuditQuery>,
) -> Result<Response, Problem> {
    app.hop(move |app| {
        let limit = query.limit.map_or(100, |limit| limit.get());
        let rows = app.engine()?.store().audit_log(limit, query.before.map(u64::from))?;
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
        Ok(Json(BackupMade { path: path.display().to_string(), bytes }))
    })
    .await
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
