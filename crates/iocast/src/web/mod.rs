//! The console: pages that a person reads and steers by.
//!
//! Every page is made on the server of what `app` and the engine say, as the API's answers are; without scripts
//! everything works, with them it is quicker. Nothing is changed by reading, no text that anybody said is placed but
//! escaped, and a policy forbids the browser whatever a page does not need.

pub mod routes;

mod account;
mod activity;
mod adding;
mod api_tokens;
mod asked;
mod assets;
mod audit;
pub(crate) mod builder;
mod bulk;
mod catalogue;
mod channels;
mod connection;
mod door;
mod download;
mod export;
pub(crate) mod fields;
mod flow;
mod grid;
mod guards;
mod indicator;
mod live;
mod notices;
mod overview;
mod plans;
mod policy;
mod providers;
mod refused;
mod rules;
mod saved;
mod settings;
mod sharing;
mod shell;
pub(crate) mod show;
mod target;
mod tenants;
mod things;
mod trial;
mod upkeep;
mod users;

pub(crate) use flow::Flow;

use crate::api::{self, Problem};
use crate::app::App;
use crate::people::Seat;
use crate::tokens::Caller;
use askama::Template;
use axum::Router;
use axum::extract::{Form, FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing;
use shell::{Section, Shell, Theme};
use std::sync::Arc;

/// What a browser may do with a page: what the page needs, and nothing of anybody else's. Text becomes a part of a page
/// by the policy of `trusted.js` alone, and never a script.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                          connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
                          require-trusted-types-for 'script'; trusted-types default";

/// Puts every page and file on the router.
pub(crate) fn mount(router: Router<Arc<App>>, app: &Arc<App>) -> Router<Arc<App>> {
    let pages = api::pages(Router::new(), app, routes::TABLE).layer(middleware::from_fn(dress));
    router
        .merge(pages)
        .route("/static/{hash}/{name}", routing::get(assets::serve))
        .route("/favicon.ico", routing::get(|| async { Redirect::temporary(&assets::address("icon.svg")) }))
}

/// What is said where there is nothing: to a person a page, to a program a problem.
pub(crate) async fn nothing_here(request: Request) -> Response {
    let problem = Problem::not_found("there is nothing at this address");
    let text = |name: header::HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
    let is_page = text(header::ACCEPT).is_some_and(|accept| accept.contains("text/html"));
    let path = request.uri().path();
    if !is_page || path.starts_with("/api/") || path.starts_with("/lists/") {
        return problem.into_response();
    }
    guarded(problem_page(&problem, Theme::of(request.headers())))
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage {
    shell: Shell,
    status: u16,
    detail: String,
    errors: Vec<String>,
}

fn problem_page(problem: &Problem, theme: Theme) -> Response {
    let status = problem.status();
    let title = match status {
        StatusCode::NOT_FOUND => "Not here",
        StatusCode::FORBIDDEN => "Not allowed",
        StatusCode::CONFLICT => "Not as it was",
        StatusCode::SERVICE_UNAVAILABLE => "One moment",
        _ if status.is_client_error() => "That does not work",
        _ => "Something went wrong here",
    };
    let detail = problem.detail().to_owned();
    let page =
        ProblemPage { shell: Shell::bare(title, theme), status: status.as_u16(), detail, errors: problem.mistakes() };
    (status, Html(page.render().unwrap_or_default())).into_response()
}

/// The headers of a page.
fn guarded(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

/// Says problems as pages, and sets the policy.
async fn dress(request: Request, next: Next) -> Response {
    let theme = Theme::of(request.headers());
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        problem.note();
        response = problem_page(&problem, theme);
    }
    guarded(response)
}

/// Somebody at a page.
pub(crate) struct Visit {
    app: Arc<App>,
    pub(crate) seat: Seat,
    theme: Theme,
    uri: Uri,
}

impl FromRequestParts<Arc<App>> for Visit {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Visit, Problem> {
        let seat = parts.extensions.get::<Seat>().cloned().ok_or_else(Problem::unauthorized)?;
        Ok(Visit { app: app.clone(), seat, theme: Theme::of(&parts.headers), uri: parts.uri.clone() })
    }
}

impl Visit {
    /// A page, made on a thread that may block.
    ///
    /// # Errors
    /// What the work says.
    pub(crate) async fn page<T: Template>(
        self,
        title: impl Into<String>,
        section: Section,
        work: impl FnOnce(&App, Shell) -> Result<T, Problem> + Send + 'static,
    ) -> Result<Response, Problem> {
        let title = title.into();
        let here = self.uri.path_and_query().map_or_else(String::new, |here| here.as_str().to_owned());
        let done = self.uri.query().and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("done=")));
        let done = done.and_then(done_words);
        let html = self
            .app
            .hop(move |app| {
                let shell = Shell { done, ..Shell::of(app, &self.seat, title, section, self.theme, here)? };
                let page = work(app, shell)?;
                page.render().map_err(|error| Problem::internal(format!("a page cannot be written: {error}")))
            })
            .await?;
        Ok(Html(html).into_response())
    }

    /// Does something, and leads on to a page.
    ///
    /// # Errors
    /// What the work says.
    pub(crate) async fn act(
        self,
        work: impl FnOnce(&App, &Caller) -> Result<String, Problem> + Send + 'static,
    ) -> Result<Response, Problem> {
        let to = self.app.hop(move |app| work(app, &self.seat.caller)).await?;
        Ok(Redirect::to(&to).into_response())
    }
}

/// What was just done: said by a word in the address, so that nobody else's words get onto a page.
fn done_words(word: &str) -> Option<&'static str> {
    Some(match word {
        "approved" => "Approved. The next pass does exactly these steps.",
        "approved-part" => "That part is approved. The rest goes on waiting, under a number of its own.",
        "rejected" => "Rejected. Exactly this is not asked again.",
        "believed" => "The run is believed.",
        "discarded" => "The run is dropped: nothing of it counts.",
        "saved" => "Saved.",
        "deleted" => "Deleted.",
        "started" => "Started.",
        "judged" => "The verdict stands. Targets follow at their next pass.",
        "annotated" => "Noted.",
        "frozen" => "Frozen: no call to a destination begins.",
        "thawed" => "Thawed: passes go on.",
        "undone" => "The plan that undoes it waits for an approval.",
        // -- indicators
        "changed-many" => "Done. The counts are below; targets follow at their next pass.",
        "filter-saved" => "The filter is saved: it stands above the grid.",
        "tagged" => "The tags are as you said.",
        "muted" => "Muted: nothing new of it is shared. What is at targets stays.",
        "unmuted" => "Rules select it again.",
        "retracted" => "Taken back. Targets follow at their next pass.",
        // -- sharing
        "rule-muted" => "Muted: nothing new is shared by it, and nothing is taken back.",
        "rule-unmuted" => "It counts again.",
        "paused" => "Paused: nothing new is sent by it, and nothing is taken back.",
        "resumed" => "It goes on.",
        "target-on" => "It goes on: the next pass is soon.",
        "target-off" => "Paused: nothing is sent there and nothing is taken back.",
        "lifted" => "Lifted: the next pass decides as of any other entry.",
        "emptying" => "Its sharings are gone. Passes take back what is there; delete it again once it is empty.",
        // -- connections
        "again" => "Its next run reads again from there.",
        "connection-on" => "Switched on.",
        "connection-off" => "Switched off: it is neither read nor written to.",
        "rolled-back" => "Rolled back. Destinations follow with their next passes, within their budgets.",
        // -- settings
        "session-ended" => "That session has ended.",
        "signed-out" => "Signed out everywhere.",
        "signed-out-elsewhere" => "Signed out everywhere but here.",
        "disabled" => "Disabled: they may not sign in, and their sessions have ended.",
        "enabled" => "They may sign in again.",
        "asked" => "Asked for. Nothing changes until somebody allows it.",
        "asked-no-longer" => "It is asked for no longer.",
        "excepted" => "Allowed. It may go with the next pass.",
        "exception-ended" => "Ended: the value is guarded again.",
        "told" => "The channel took the test.",
        "seen-to" => "Noted: it is seen to.",
        "backed-up" => "The backup is written and checked.",
        "revoked" => "Revoked: the token is no longer good.",
        // -- live
        _ => return None,
    })
}

/// Pairs of a query or a form, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fields(pub(crate) Vec<(String, String)>);

impl Fields {
    /// The first of this name, without spaces around it; empty where there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.trim())
    }

    /// The same; None where it is empty.
    pub(crate) fn some(&self, name: &str) -> Option<&str> {
        Some(self.get(name)).filter(|value| !value.is_empty())
    }

    /// All of this name.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.trim().to_owned()).collect()
    }
}

/// The query of a page.
impl FromRequestParts<Arc<App>> for Fields {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Fields, Problem> {
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        pairs
            .map(|Query(pairs)| Fields(pairs))
            .map_err(|_| Problem::invalid("the query of this address cannot be read"))
    }
}

/// A form that was sent.
pub(crate) struct Sent(pub(crate) Fields);

impl FromRequest<Arc<App>> for Sent {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Sent, Problem> {
        match Form::<Vec<(String, String)>>::from_request(request, app).await {
            Ok(Form(pairs)) => Ok(Sent(Fields(pairs))),
            Err(_) => Err(Problem::invalid("the form cannot be read: load the page again, and send it again")),
        }
    }
}

/// Where somebody may be led who says so themselves: a path of this exchange, and nothing else.
pub(crate) fn own_path(text: &str) -> &str {
    let is_own = text.starts_with('/') && !text.starts_with("//") && !text.contains(['\\', '\r', '\n', '\t']);
    if is_own { text } else { "/overview" }
}
