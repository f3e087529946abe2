//! Coming in and going out: the first account, signing in, signing out, and how it looks.

use super::seat::{self, Step};
use super::shell::{Shell, Theme};
use super::{Fields, Sent, Visit, own_path};
use crate::api::Problem;
use crate::app::App;
use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use std::sync::Arc;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    shell: Shell,
    next: String,
    name: String,
    /// Set: the password was right, and a code is needed.
    ticket: Option<String>,
    mistake: Option<String>,
}

#[derive(Template)]
#[template(path = "setup.html")]
struct SetupPage {
    shell: Shell,
    name: String,
    mistake: Option<String>,
}

fn shown(page: &impl Template) -> Result<Response, Problem> {
    let html = page.render().map_err(|error| Problem::internal(error.to_string()))?;
    Ok(Html(html).into_response())
}

/// To the overview; who must sign in is led on from there.
pub(super) async fn front() -> Redirect {
    Redirect::to("/overview")
}

fn in_now(cookie: HeaderValue, to: &str) -> Response {
    ([(header::SET_COOKIE, cookie)], Redirect::to(to)).into_response()
}

pub(super) async fn sign_in(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    query: Fields,
) -> Result<Response, Problem> {
    if app.hop(seat::needs_set_up).await? {
        return Ok(Redirect::to("/setup").into_response());
    }
    let next = own_path(query.get("next")).to_owned();
    let shell = Shell::bare("Sign in", Theme::of(&headers));
    shown(&LoginPage { shell, next, name: String::new(), ticket: None, mistake: None })
}

pub(super) async fn do_sign_in(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Sent(form): Sent,
) -> Result<Response, Problem> {
    let (name, next) = (form.get("name").to_owned(), own_path(form.get("next")).to_owned());
    let step = app.hop(move |app| seat::sign_in(app, form.get("name"), &untrimmed(&form, "password"))).await;
    let shell = Shell::bare("Sign in", Theme::of(&headers));
    match step {
        Ok(Step::In(cookie)) => Ok(in_now(cookie, &next)),
        Ok(Step::Code(ticket)) => shown(&LoginPage { shell, next, name, ticket: Some(ticket), mistake: None }),
        Err(problem) => {
            again(&problem, &LoginPage { shell, next, name, ticket: None, mistake: Some(problem.detail().to_owned()) })
        }
    }
}

pub(super) async fn do_code(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Sent(form): Sent,
) -> Result<Response, Problem> {
    let (ticket, next) = (form.get("ticket").to_owned(), own_path(form.get("next")).to_owned());
    let done = app.hop(move |app| seat::sign_in_code(app, form.get("ticket"), form.get("code"))).await;
    match done {
        Ok(cookie) => Ok(in_now(cookie, &next)),
        Err(problem) => {
            let shell = Shell::bare("Sign in", Theme::of(&headers));
            let mistake = Some(problem.detail().to_owned());
            again(&problem, &LoginPage { shell, next, name: String::new(), ticket: Some(ticket), mistake })
        }
    }
}

/// The form once more, with what was wrong.
fn again(problem: &Problem, page: &impl Template) -> Result<Response, Problem> {
    problem.note();
    let mut response = shown(page)?;
    *response.status_mut() = problem.status();
    Ok(response)
}

/// A field to the last space: passwords may begin and end with one.
fn untrimmed(form: &Fields, name: &str) -> String {
    form.0.iter().find(|(key, _)| key == name).map_or_else(String::new, |(_, value)| value.clone())
}

pub(super) async fn set_up(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Problem> {
    if !app.hop(seat::needs_set_up).await? {
        return Ok(Redirect::to("/login").into_response());
    }
    let shell = Shell::bare("Set up iocast", Theme::of(&headers));
    shown(&SetupPage { shell, name: String::new(), mistake: None })
}

pub(super) async fn do_set_up(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Sent(form): Sent,
) -> Result<Response, Problem> {
    let name = form.get("name").to_owned();
    let done = app
        .hop(move |app| {
            let password = untrimmed(&form, "password");
            if password != untrimmed(&form, "again") {
                return Err(Problem::invalid("the two passwords are not the same"));
            }
            seat::set_up(app, form.get("code"), form.get("name"), &password)
        })
        .await;
    match done {
        Ok(cookie) => Ok(in_now(cookie, "/overview")),
        Err(problem) => {
            let shell = Shell::bare("Set up iocast", Theme::of(&headers));
            again(&problem, &SetupPage { shell, name, mistake: Some(problem.detail().to_owned()) })
        }
    }
}

pub(super) async fn do_sign_out(visit: Visit) -> Result<Response, Problem> {
    let seat = visit.seat.clone();
    let cookie = visit.app.hop(move |app| seat::sign_out(app, &seat)).await?;
    let mut response = Redirect::to("/login").into_response();
    if let Some(cookie) = cookie {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

pub(super) async fn do_theme(Sent(form): Sent) -> Response {
    let theme = Theme::parse(form.get("theme"));
    let cookie = format!("{}={}; Path=/; Max-Age=31536000; SameSite=Lax; HttpOnly", Theme::COOKIE, theme.as_str());
    let cookie = HeaderValue::try_from(cookie).unwrap_or(HeaderValue::from_static(""));
    in_now(cookie, own_path(form.get("next")))
}
