//! Who asks, and may they: the gate in front of every route of the API and every page.

use super::error::Problem;
use super::lists::Peer;
use super::route::Patience;
use crate::app::{App, Entry};
use crate::people::roles::{self, Needs};
use crate::people::{self, Seat};
use crate::tokens::Caller;
use axum::extract::{Request, State};
use axum::http::{Extensions, HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use std::sync::Arc;
use std::time::Duration;

/// Marks a request that was made in this very process. It cannot come from a socket: only [`super::local`] sets it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Local;

/// How long a question may take over the network; what it has begun goes on.
const QUICK: Duration = Duration::from_secs(60);

/// What was sent to prove who asks.
pub(crate) enum Credential {
    Bearer(String),
    /// The password of Basic.
    Password(String),
}

impl Credential {
    pub(crate) fn of(headers: &HeaderMap) -> Option<Credential> {
        let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, rest) = text.split_once(' ')?;
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(Credential::Bearer(rest.to_owned()));
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = base64::engine::general_purpose::STANDARD.decode(rest).ok()?;
        let text = String::from_utf8(decoded).ok()?;
        text.split_once(':').map(|(_, password)| Credential::Password(password.to_owned()))
    }
}

/// Who asks; None: nobody we know.
///
/// # Errors
/// Our trouble, which must not look like a wrong token; a token that is bound to other networks.
pub(crate) async fn identify(
    app: &Arc<App>,
    extensions: &Extensions,
    credential: Option<Credential>,
) -> Result<Option<Caller>, Problem> {
    if extensions.get::<Local>().is_some() {
        return Ok(Some(Caller::local()));
    }
    let Some(Credential::Bearer(secret) | Credential::Password(secret)) = credential else { return Ok(None) };
    let from = extensions.get::<Peer>().map(|peer| peer.0.ip());
    match app.hop(move |app| app.caller(&secret, from)).await? {
        None => Ok(None),
        Some((caller, Entry::Good)) => Ok(Some(caller)),
        Some((caller, Entry::Elsewhere)) => {
            super::origin::known(&caller);
            let from = from.map_or_else(|| "this address".to_owned(), |from| from.to_canonical().to_string());
            Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                format!("the token \"{}\" is bound to networks, and {from} is in none of them", caller.name),
            ))
        }
    }
}

/// How somebody who may not is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// To a program: a problem.
    Api,
    /// To a person: whoever has not signed in is led to where one does.
    Page,
}

/// Where a page leads who has not signed in. What they wanted is in the query as `next`.
pub(crate) const SIGN_IN: &str = "/sign-in";

/// What a route asks of its callers.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) app: Arc<App>,
    pub(crate) needs: Needs,
    pub(crate) patience: Patience,
    /// A query is refused: nobody would look at it.
    pub(crate) takes_no_query: bool,
    pub(crate) door: Door,
    /// It changes nothing, whatever its method.
    pub(crate) asks: bool,
}

/// Lets a request through to its handler, or not. A handler finds who asks as [`Caller`] and [`Seat`] among the extensions.
pub(crate) async fn gate(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let is_change = people::may_change(request.method());
    let is_local = request.extensions().get::<Local>().is_some();
    if matches!(gate.needs, Needs::Nothing | Needs::ItsOwn) {
        // Nobody is to be signed in by another site's page.
        if is_change && !is_local && people::is_from_elsewhere(request.headers()) {
            return Problem::forbidden("this was not sent by a page of this exchange").into_response();
        }
        return next.run(request).await;
    }
    let seat = match people::seat(&gate.app, request.headers(), request.extensions()).await {
        Ok(Some(seat)) => seat,
        Ok(None) => return stranger(&gate, &request),
        Err(problem) => return problem.into_response(),
    };
    if is_change && seat.session.is_some() {
        request = match from_our_page(request, &seat).await {
            Ok(request) => request,
            Err(problem) => return problem.into_response(),
        };
    }
    super::origin::known(&seat.caller);
    if gate.asks {
        super::origin::only_asks();
    }
    // Which bucket an ingest token is for is asked in the handler, where its name is known.
    if let Err(why) = roles::decide(&seat.caller, gate.needs) {
        tracing::info!(who = seat.caller.name, path = request.uri().path(), why, "not allowed");
        return Problem::forbidden(why).into_response();
    }
    if gate.takes_no_query && request.uri().query().is_some_and(|query| !query.is_empty()) {
        return Problem::invalid("this address takes no query").into_response();
    }
    request.extensions_mut().insert(seat.caller.clone());
    request.extensions_mut().insert(seat);
    if is_local || gate.patience == Patience::Long {
        return next.run(request).await;
    }
    match tokio::time::timeout(QUICK, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::later("this takes longer than a minute; what was begun goes on", 60).into_response(),
    }
}

/// What is answered to whom we do not know.
fn stranger(gate: &Gate, request: &Request) -> Response {
    if gate.door == Door::Api || request.headers().contains_key(header::AUTHORIZATION) {
        return Problem::unauthorized().into_response();
    }
    let mut place = SIGN_IN.to_owned();
    // Only what is read can be gone on with afterwards.
    if !people::may_change(request.method()) && request.uri().path() != "/" {
        let wanted = request.uri().path_and_query().map_or("/", |wanted| wanted.as_str());
        place.push_str("?next=");
        place.push_str(&super::nouns::escaped(wanted));
    }
    let place = axum::http::HeaderValue::try_from(place).unwrap_or(axum::http::HeaderValue::from_static(SIGN_IN));
    // A part of a page that is loaded by a script must not become the form: the whole page does.
    let is_part = request.headers().contains_key("hx-request");
    let mut response = if is_part { StatusCode::UNAUTHORIZED } else { StatusCode::SEE_OTHER }.into_response();
    let name = if is_part { header::HeaderName::from_static("hx-redirect") } else { header::LOCATION };
    response.headers_mut().insert(name, place);
    response
}

/// Lets a change made with a cookie through where a page of ours sent it. The body is read where the token is in it.
async fn from_our_page(request: Request, seat: &Seat) -> Result<Request, Problem> {
    let refused = |why: people::Refused| Problem::forbidden(why.words());
    let is_form = request
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|media| media.as_bytes().to_ascii_lowercase().starts_with(b"application/x-www-form-urlencoded"));
    if !is_form || request.headers().contains_key("x-csrf-token") {
        people::is_ours_with(request.headers(), &seat.csrf, None).map_err(refused)?;
        return Ok(request);
    }
    let (parts, body) = request.into_parts();
    let most = super::MAX_BODY_BYTES;
    let bytes = axum::body::to_bytes(body, most).await.map_err(|_| {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the form is longer than {} MiB", most >> 20))
    })?;
    people::is_ours_with(&parts.headers, &seat.csrf, people::field(&bytes)).map_err(refused)?;
    Ok(Request::from_parts(parts, bytes.into()))
}
