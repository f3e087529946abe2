//! Coming in and going out: the first account, signing in, signing out, and how it looks.

use super::account::ACCOUNT;
use super::shell::{Shell, Theme};
use super::{Fields, Sent, own_path};
use crate::api::Problem;
use crate::api::auth::SIGN_IN;
use crate::api::extract::Part;
use crate::app::App;
use crate::people::{self, Seat, SignedIn, Step, Visitor};
use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use std::sync::Arc;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    shell: Shell,
    next: String,
    name: String,
    /// Where else one can sign in.
    providers: Vec<Elsewhere>,
    /// Set: the password was right, and a code is needed.
    ticket: Option<String>,
    mistake: Option<String>,
}

/// A provider of identities.
pub(super) struct Elsewhere {
    name: String,
    href: String,
}

/// Those there are. `next`: where one wants to go afterwards.
pub(super) fn elsewhere(app: &App, next: &str) -> Vec<Elsewhere> {
    let href = |name: &str| format!("/sign-in/at/{name}?next={}", kit::http::encode(next));
    people::providers(app).into_iter().map(|name| Elsewhere { href: href(&name), name }).collect()
}

/// Said to who came back from a provider: the way on must begin at a page of ours, or the session's cookie stays behind.
#[derive(Template)]
#[template(path = "came_in.html")]
struct CameInPage {
    shell: Shell,
    name: String,
    next: String,
}

#[derive(Template)]
#[template(path = "setup.html")]
struct SetupPage {
    shell: Shell,
    name: String,
    mistake: Option<String>,
}

pub(super) fn shown(page: &impl Template) -> Result<Response, Problem> {
    let html = page.render().map_err(|error| Problem::internal(error.to_string()))?;
    Ok(Html(html).into_response())
}

/// To the overview; who must sign in is led on from there.
pub(super) async fn front() -> Redirect {
    Redirect::to("/overview")
}

/// Whoever must do something first is led to where they do it.
fn entered(them: SignedIn, next: &str) -> Response {
    in_now(them.cookie, if them.person.must.is_some() { ACCOUNT } else { next })
}

pub(super) fn in_now(cookie: HeaderValue, to: &str) -> Response {
    ([(header::SET_COOKIE, cookie)], Redirect::to(to)).into_response()
}

pub(super) async fn sign_in(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    query: Fields,
) -> Result<Response, Problem> {
    if app.hop(people::needs_set_up).await? {
        return Ok(Redirect::to("/setup").into_response());
    }
    let next = own_path(query.get("next")).to_owned();
    let shell = Shell::bare("Sign in", Theme::of(&headers));
    let providers = elsewhere(&app, &next);
    shown(&SignInPage { shell, next, name: String::new(), providers, ticket: None, mistake: None })
}

pub(super) async fn do_sign_in(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    extensions: Extensions,
    Sent(form): Sent,
) -> Result<Response, Problem> {
    let (name, next) = (form.get("name").to_owned(), own_path(form.get("next")).to_owned());
    let visitor = Visitor::of(&headers, &extensions);
    let providers = elsewhere(&app, &next);
    let step =
        app.hop(move |app| people::sign_in(app, &visitor, form.get("name"), &untrimmed(&form, "password"))).await;
    let shell = Shell::bare("Sign in", Theme::of(&headers));
    match step {
        Ok(Step::In(them)) => Ok(entered(*them, &next)),
        Ok(Step::Code(ticket)) => {
            shown(&SignInPage { shell, next, name, providers, ticket: Some(ticket), mistake: None })
        }
        Err(problem) => {
            let mistake = Some(problem.detail().to_owned());
            again(&problem, &SignInPage { shell, next, name, providers, ticket: None, mistake })
        }
    }
}

pub(super) async fn do_code(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    extensions: Extensions,
    Sent(form): Sent,
) -> Result<Response, Problem> {
    let (ticket, next) = (form.get("ticket").to_owned(), own_path(form.get("next")).to_owned());
    let visitor = Visitor::of(&headers, &extensions);
    let done = app.hop(move |app| people::sign_in_code(app, &visitor, form.get("ticket"), form.get("code"))).await;
    match done {
        Ok(them) => Ok(entered(them, &next)),
        Err(problem) => {
            let shell = Shell::bare("Sign in", Theme::of(&headers));
            let mistake = Some(problem.detail().to_owned());
            let (name, providers, ticket) = (String::new(), Vec::new(), Some(ticket));
            again(&problem, &SignInPage { shell, next, name, providers, ticket, mistake })
        }
    }
}

pub(super) async fn leave(
    State(app): State<Arc<App>>,
    Part(name): Part<String>,
    headers: HeaderMap,
    extensions: Extensions,
    query: Fields,
) -> Result<Response, Problem> {
    let next = own_path(query.get("next")).to_owned();
    let visitor = Visitor::of(&headers, &extensions);
    let (at, wanted) = (name.clone(), next.clone());
    match app.hop(move |app| people::leave(app, &visitor, &at, &wanted)).await {
        Ok(leaving) => Ok(in_now(leaving.cookie, &leaving.to)),
        Err(problem) if problem.status() == StatusCode::NOT_FOUND => Err(problem),
        Err(problem) => {
            let shell = Shell::bare("Sign in", Theme::of(&headers));
            let (providers, mistake) = (elsewhere(&app, &next), Some(problem.detail().to_owned()));
            again(&problem, &SignInPage { shell, next, name: String::new(), providers, ticket: None, mistake })
        }
    }
}

pub(super) async fn come_back(
    State(app): State<Arc<App>>,
    Part(name): Part<String>,
    headers: HeaderMap,
    extensions: Extensions,
    query: Fields,
) -> Result<Response, Problem> {
    let visitor = Visitor::of(&headers, &extensions);
    let back = people::Back {
        code: query.get("code").to_owned(),
        state: query.get("state").to_owned(),
        error: query.get("error").to_owned(),
        iss: query.some("iss").map(str::to_owned),
    };
    let (over, at) = (visitor.welcome_back(), name.clone());
    let done = app.hop(move |app| people::come_back(app, &visitor, &at, &back)).await;
    let mut response = match done {
        Ok((them, next)) => {
            let shell = Shell::bare("Signed in", Theme::of(&headers));
            let name = them.person.name.clone();
            let mut response = shown(&CameInPage { shell, name, next: own_path(&next).to_owned() })?;
            response.headers_mut().append(header::SET_COOKIE, them.cookie);
            response
        }
        Err(problem) => {
            let shell = Shell::bare("Sign in", Theme::of(&headers));
            let next = own_path("").to_owned();
            let (providers, mistake) = (elsewhere(&app, &next), Some(problem.detail().to_owned()));
            again(&problem, &SignInPage { shell, next, name: String::new(), providers, ticket: None, mistake })?
        }
    };
    response.headers_mut().append(header::SET_COOKIE, over);
    Ok(response)
}

/// The form once more, with what was wrong.
pub(super) fn again(problem: &Problem, page: &impl Template) -> Result<Response, Problem> {
    problem.note();
    let mut response = shown(page)?;
    *response.status_mut() = problem.status();
    Ok(response)
}

/// A field to the last space: passwords may begin and end with one.
pub(super) fn untrimmed(form: &Fields, name: &str) -> String {
    form.0.iter().find(|(key, _)| key == name).map_or_else(String::new, |(_, value)| value.clone())
}

pub(super) async fn set_up(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Problem> {
    if !app.hop(people::needs_set_up).await? {
        return Ok(Redirect::to(SIGN_IN).into_response());
    }
    let shell = Shell::bare("Set up iocast", Theme::of(&headers));
    shown(&SetupPage { shell, name: String::new(), mistake: None })
}

pub(super) async fn do_set_up(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    extensions: Extensions,
    Sent(form): Sent,
) -> Result<Response, Problem> {
    let name = form.get("name").to_owned();
    let visitor = Visitor::of(&headers, &extensions);
    let done = app
        .hop(move |app| {
            let password = untrimmed(&form, "password");
            if password != untrimmed(&form, "again") {
                return Err(Problem::invalid("the two passwords are not the same"));
            }
            people::set_up(app, &visitor, form.get("code"), form.get("name"), &password)
        })
        .await;
    match done {
        Ok(SignedIn { cookie, .. }) => Ok(in_now(cookie, "/overview")),
        Err(problem) => {
            let shell = Shell::bare("Set up iocast", Theme::of(&headers));
            again(&problem, &SetupPage { shell, name, mistake: Some(problem.detail().to_owned()) })
        }
    }
}

pub(super) async fn do_sign_out(
    State(app): State<Arc<App>>,
    Extension(seat): Extension<Seat>,
    headers: HeaderMap,
    extensions: Extensions,
) -> Result<Response, Problem> {
    let visitor = Visitor::of(&headers, &extensions);
    let cookie = app.hop(move |app| people::sign_out(app, &visitor, &seat)).await?;
    Ok(in_now(cookie, SIGN_IN))
}

pub(super) async fn do_theme(Sent(form): Sent) -> Response {
    let theme = Theme::parse(form.get("theme"));
    let cookie = format!("{}={}; Path=/; Max-Age=31536000; SameSite=Lax; HttpOnly", Theme::COOKIE, theme.as_str());
    let cookie = HeaderValue::try_from(cookie).unwrap_or(HeaderValue::from_static(""));
    in_now(cookie, own_path(form.get("next")))
}
