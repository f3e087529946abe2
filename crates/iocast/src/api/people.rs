//! Signing in and out, one's own account, and everybody's for who manages people.

use super::error::Problem;
use super::extract::{Body, Part};
use crate::app::App;
use crate::people::accounts::{self, Change, Enrolled, Enrolling, Handed};
use crate::people::roles::{self, Roles, TABLE};
use crate::people::{self, Must, PersonShown, Seat, SessionShown, SignedIn, Step, Visitor};
use crate::tokens::Caller;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use kit::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Whether nobody has an account yet.
#[derive(Serialize, JsonSchema)]
pub(super) struct SetUpNeeded {
    /// Then the code that the start printed makes the first account.
    needed: bool,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SetUpBody {
    /// As printed by the start, in capitals or not.
    #[schemars(with = "String")]
    code: Secret,
    /// What the first person is called.
    name: String,
    /// At least 12 characters.
    #[schemars(with = "String")]
    password: Secret,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SignInBody {
    /// Who.
    name: String,
    /// Their password.
    #[schemars(with = "String")]
    password: Secret,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CodeBody {
    /// As given by the step before.
    #[schemars(with = "String")]
    ticket: Secret,
    /// Of the authenticator, or one of the recovery codes.
    #[schemars(with = "String")]
    code: Secret,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PasswordBody {
    /// The one there is.
    #[schemars(with = "String")]
    old: Secret,
    /// At least 12 characters.
    #[schemars(with = "String")]
    new: Secret,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AgainBody {
    /// One's own, once more.
    #[schemars(with = "String")]
    password: Secret,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfirmBody {
    /// As the authenticator shows it.
    #[schemars(with = "String")]
    code: Secret,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UserBody {
    /// What they sign in as, and what the audit log calls them: letters, digits and . - _ @ +. Given once for ever.
    name: String,
    /// Their roles.
    #[schemars(schema_with = "roles_schema")]
    roles: Vec<String>,
}

/// What is left out stays.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UserChange {
    /// All their roles.
    #[schemars(schema_with = "some_roles_schema")]
    #[serde(default)]
    roles: Option<Vec<String>>,
    /// They may not sign in, and every session of theirs ends.
    disabled: Option<bool>,
}

#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ResetBody {
    /// Take their second factor away as well.
    second_factor: bool,
}

fn roles_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let names = roles::Role::ALL.map(roles::Role::as_str);
    schemars::json_schema!({ "type": "array", "minItems": 1, "items": { "type": "string", "enum": names } })
}

/// As [`roles_schema`], or null for what stays.
fn some_roles_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let mut schema = roles_schema(generator);
    schema.insert("type".to_owned(), serde_json::json!(["array", "null"]));
    schema
}

/// Somebody who is in, or who must send a code.
#[derive(Serialize, JsonSchema, Default)]
pub(super) struct In {
    /// They are in: the answer's cookie is their session.
    signed_in: bool,
    /// Send the code with this.
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket: Option<String>,
    /// Who.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<PersonShown>,
    /// What a change made in this session sends in `X-Csrf-Token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    csrf: Option<String>,
    /// Recovery codes that are left, where one was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery_codes_left: Option<u32>,
}

/// Who asks, and what they may.
#[derive(Serialize, JsonSchema)]
pub(super) struct Me {
    /// As the audit log says.
    name: String,
    /// The account; null: a token of nobody's.
    user: Option<PersonShown>,
    /// The session; null: a token.
    session: Option<SessionShown>,
    /// What a change made in this session sends in `X-Csrf-Token`; null: a token.
    csrf: Option<String>,
    /// What must be done before anything else.
    must: Option<Must>,
    /// What is allowed.
    may: Vec<&'static str>,
}

fn entered(done: SignedIn) -> Response {
    let body = In {
        signed_in: true,
        user: Some(done.person),
        csrf: Some(done.csrf),
        recovery_codes_left: done.recovery_left,
        ticket: None,
    };
    with_cookie(Json(body).into_response(), done.cookie)
}

fn with_cookie(mut response: Response, cookie: HeaderValue) -> Response {
    response.headers_mut().append(header::SET_COOKIE, cookie);
    response
}

fn visitor(parts: &Parts) -> Visitor {
    Visitor::of(&parts.headers, &parts.extensions)
}

pub(super) async fn set_up_needed(State(app): State<Arc<App>>) -> Result<Json<SetUpNeeded>, Problem> {
    app.hop(|app| Ok(Json(SetUpNeeded { needed: people::needs_set_up(app)? }))).await
}

pub(super) async fn set_up(
    State(app): State<Arc<App>>,
    parts: Parts,
    Body(body): Body<SetUpBody>,
) -> Result<Response, Problem> {
    let visitor = visitor(&parts);
    app.hop(move |app| people::set_up(app, &visitor, body.code.reveal(), &body.name, body.password.reveal()))
        .await
        .map(entered)
}

pub(super) async fn sign_in(
    State(app): State<Arc<App>>,
    parts: Parts,
    Body(body): Body<SignInBody>,
) -> Result<Response, Problem> {
    let visitor = visitor(&parts);
    let step = app.hop(move |app| people::sign_in(app, &visitor, &body.name, body.password.reveal())).await?;
    Ok(match step {
        Step::In(done) => entered(*done),
        Step::Code(ticket) => Json(In { ticket: Some(ticket), ..In::default() }).into_response(),
    })
}

pub(super) async fn sign_in_code(
    State(app): State<Arc<App>>,
    parts: Parts,
    Body(body): Body<CodeBody>,
) -> Result<Response, Problem> {
    let visitor = visitor(&parts);
    app.hop(move |app| people::sign_in_code(app, &visitor, body.ticket.reveal(), body.code.reveal())).await.map(entered)
}

pub(super) async fn sign_out(
    State(app): State<Arc<App>>,
    Extension(seat): Extension<Seat>,
    parts: Parts,
) -> Result<Response, Problem> {
    let visitor = visitor(&parts);
    let cookie = app.hop(move |app| people::sign_out(app, &visitor, &seat)).await?;
    Ok(with_cookie(StatusCode::NO_CONTENT.into_response(), cookie))
}

pub(super) async fn me(State(app): State<Arc<App>>, parts: Parts) -> Result<Json<Me>, Problem> {
    let seat = people::seat(&app, &parts.headers, &parts.extensions).await?.ok_or_else(Problem::unauthorized)?;
    let may = TABLE.iter().filter(|row| seat.caller.may(row.needs)).map(|row| row.meaning).collect();
    Ok(Json(Me {
        name: seat.caller.name,
        must: seat.caller.must,
        may,
        csrf: seat.session.is_some().then_some(seat.csrf),
        user: seat.user,
        session: seat.session,
    }))
}

pub(super) async fn set_password(
    State(app): State<Arc<App>>,
    Extension(seat): Extension<Seat>,
    parts: Parts,
    Body(body): Body<PasswordBody>,
) -> Result<Response, Problem> {
    let visitor = visitor(&parts);
    app.hop(move |app| accounts::set_password(app, &visitor, &seat, body.old.reveal(), body.new.reveal()))
        .await
        .map(entered)
}

pub(super) async fn begin_second_factor(
    State(app): State<Arc<App>>,
    Extension(seat): Extension<Seat>,
    parts: Parts,
    Body(body): Body<AgainBody>,
) -> Result<Json<Enrolling>, Problem> {
    let visitor = visitor(&parts);
    app.hop(move |app| accounts::begin_second_factor(app, &visitor, &seat, body.password.reveal())).await.map(Json)
}

pub(super) async fn confirm_second_factor(
    State(app): State<Arc<App>>,
    Extension(seat): Extension<Seat>,
    parts: Parts,
    Body(body): Body<ConfirmBody>,
) -> Result<Json<Enrolled>, Problem> {
    let visitor = visitor(&parts);
    app.hop(move |app| accounts::confirm_second_factor(app, &visitor, &seat, body.code.reveal())).await.map(Json)
}

pub(super) async fn drop_second_factor(
    State(app): State<Arc<App>>,
    Extension(seat): Extension<Seat>,
    parts: Parts,
    Body(body): Body<AgainBody>,
) -> Result<StatusCode, Problem> {
    let visitor = visitor(&parts);
    app.hop(move |app| accounts::drop_second_factor(app, &visitor, &seat, body.password.reveal())).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn sessions(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Vec<SessionShown>>, Problem> {
    app.hop(move |app| accounts::sessions(app, &caller)).await.map(Json)
}

pub(super) async fn end_session(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Part(id): Part<u32>,
) -> Result<StatusCode, Problem> {
    app.hop(move |app| accounts::end_session(app, &caller, id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn users(State(app): State<Arc<App>>) -> Result<Json<Vec<PersonShown>>, Problem> {
    app.hop(accounts::people).await.map(Json)
}

pub(super) async fn user(State(app): State<Arc<App>>, Part(name): Part<String>) -> Result<Json<PersonShown>, Problem> {
    app.hop(move |app| accounts::person(app, &name)).await.map(Json)
}

fn read_roles(names: &[String]) -> Result<Roles, Problem> {
    Roles::parse(names.iter().map(String::as_str)).map_err(|why| Problem::invalid(format!("roles: {why}")))
}

pub(super) async fn add_user(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Body(body): Body<UserBody>,
) -> Result<(StatusCode, [(header::HeaderName, String); 1], Json<Handed>), Problem> {
    let roles = read_roles(&body.roles)?;
    let made = app.hop(move |app| accounts::add(app, &caller, &body.name, roles)).await?;
    let place = format!("/api/v1/users/{}", super::nouns::escaped(&made.user.name));
    Ok((StatusCode::CREATED, [(header::LOCATION, place)], Json(made)))
}

pub(super) async fn change_user(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Part(name): Part<String>,
    Body(body): Body<UserChange>,
) -> Result<Json<PersonShown>, Problem> {
    let roles = body.roles.as_deref().map(read_roles).transpose()?;
    let change = Change { roles, disabled: body.disabled };
    app.hop(move |app| accounts::change(app, &caller, &name, &change)).await.map(Json)
}

pub(super) async fn delete_user(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Part(name): Part<String>,
) -> Result<StatusCode, Problem> {
    app.hop(move |app| accounts::delete(app, &caller, &name)).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn reset_user(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Part(name): Part<String>,
    Body(body): Body<ResetBody>,
) -> Result<Json<Handed>, Problem> {
    app.hop(move |app| accounts::reset(app, &caller, &name, body.second_factor)).await.map(Json)
}

pub(super) async fn sign_out_user(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Part(name): Part<String>,
) -> Result<StatusCode, Problem> {
    app.hop(move |app| accounts::sign_out_everywhere(app, &caller, &name)).await?;
    Ok(StatusCode::NO_CONTENT)
}
