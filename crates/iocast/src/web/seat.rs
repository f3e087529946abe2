//! Who sits in front of a page. The shape that accounts fill: a bearer token or a request of this very process gives a
//! seat here; signing in with a name and a password is answered by whoever keeps accounts.

use crate::api::Problem;
use crate::api::auth::{self, Credential};
use crate::api::route::Needs;
use crate::app::App;
use crate::tokens::{Caller, Scope};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// Who makes a request.
#[derive(Debug, Clone)]
pub(crate) struct Seat {
    /// What every route looks at.
    pub(crate) caller: Caller,
    /// What a form must carry in its field `csrf`. Empty without a session.
    pub(crate) csrf: String,
}

/// What a right password leads to.
pub(crate) enum Step {
    /// They are in: the header `Set-Cookie` of the answer.
    In(HeaderValue),
    /// A code is needed, sent with this ticket.
    Code(String),
}

fn no_accounts() -> Problem {
    Problem::new(StatusCode::NOT_IMPLEMENTED, "there are no accounts here: send a token with each request")
}

/// Whether nobody has an account yet.
pub(crate) fn needs_set_up(_: &App) -> Result<bool, Problem> {
    Ok(false)
}

/// Signs somebody in, or asks for their code.
pub(crate) fn sign_in(_: &App, _name: &str, _password: &str) -> Result<Step, Problem> {
    Err(no_accounts())
}

/// Signs somebody in who has been asked for a code.
pub(crate) fn sign_in_code(_: &App, _ticket: &str, _code: &str) -> Result<HeaderValue, Problem> {
    Err(no_accounts())
}

/// Makes the first account, and signs them in.
pub(crate) fn set_up(_: &App, _code: &str, _name: &str, _password: &str) -> Result<HeaderValue, Problem> {
    Err(no_accounts())
}

/// Ends a session. The header that takes the cookie back.
pub(crate) fn sign_out(_: &App, _: &Seat) -> Result<Option<HeaderValue>, Problem> {
    Ok(None)
}

/// What a page asks of its visitors.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) app: Arc<App>,
    pub(crate) needs: Needs,
}

/// Lets a visitor through to a page, leads them to where one signs in, or says why not.
pub(crate) async fn gate(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    if *request.method() != Method::GET && is_from_elsewhere(&request) {
        return Problem::forbidden("this was not sent by a page of this exchange").into_response();
    }
    if gate.needs == Needs::Nothing {
        return next.run(request).await;
    }
    let credential = Credential::of(request.headers()).filter(|c| matches!(c, Credential::Bearer(_)));
    let caller = match auth::identify(&gate.app, request.extensions(), credential).await {
        Ok(Some(caller)) => caller,
        Ok(None) => return stranger(&request),
        Err(problem) => return problem.into_response(),
    };
    let least = if gate.needs == Needs::Admin { Scope::Admin } else { Scope::Read };
    if caller.scope < least {
        return Problem::forbidden(format!("this is for those who may {}", least.as_str())).into_response();
    }
    request.extensions_mut().insert(Seat { caller, csrf: String::new() });
    next.run(request).await
}

fn is_from_elsewhere(request: &Request) -> bool {
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => site != "same-origin",
        (None, Some(origin)) => {
            let bare = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            bare.is_none() || bare != text("host")
        }
        (None, None) => false,
    }
}

fn stranger(request: &Request) -> Response {
    let mut place = "/login".to_owned();
    if *request.method() == Method::GET && request.uri().path() != "/" {
        let wanted = request.uri().path_and_query().map_or("/", |wanted| wanted.as_str());
        place = format!("/login?next={}", super::show::part(wanted));
    }
    let place = HeaderValue::try_from(place).unwrap_or(HeaderValue::from_static("/login"));
    // A part of a page must not become the form: the whole page does.
    let is_part = request.headers().contains_key("hx-request");
    let mut response = if is_part { StatusCode::UNAUTHORIZED } else { StatusCode::SEE_OTHER }.into_response();
    let name = if is_part { header::HeaderName::from_static("hx-redirect") } else { header::LOCATION };
    response.headers_mut().insert(name, place);
    response
}
