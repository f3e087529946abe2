//! Who asks, and may they.

use super::error::Problem;
use super::route::{Needs, Patience};
use crate::app::App;
use crate::tokens::{Caller, Scope};
use axum::extract::{Request, State};
use axum::http::{Extensions, HeaderMap, header};
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
/// Our trouble, which must not look like a wrong token.
pub(crate) async fn identify(
    app: &Arc<App>,
    extensions: &Extensions,
    credential: Option<Credential>,
) -> Result<Option<Caller>, Problem> {
    if extensions.get::<Local>().is_some() {
        return Ok(Some(Caller::local()));
    }
    let Some(Credential::Bearer(secret) | Credential::Password(secret)) = credential else { return Ok(None) };
    app.hop(move |app| app.caller(&secret)).await
}

/// What a route asks of its callers.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) app: Arc<App>,
    pub(crate) needs: Needs,
    pub(crate) patience: Patience,
    /// A query is refused: nobody would look at it.
    pub(crate) takes_no_query: bool,
}

/// Lets a request through to its handler, or not.
pub(crate) async fn gate(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let least = match gate.needs {
        Needs::Nothing | Needs::ItsOwn => return next.run(request).await,
        Needs::Ingest => Scope::Ingest,
        Needs::Read => Scope::Read,
        Needs::Admin => Scope::Admin,
    };
    // A token as password is for devices that fetch lists.
    let credential = Credential::of(request.headers()).filter(|c| matches!(c, Credential::Bearer(_)));
    let caller = match identify(&gate.app, request.extensions(), credential).await {
        Ok(Some(caller)) => caller,
        Ok(None) => return Problem::unauthorized().into_response(),
        Err(problem) => return problem.into_response(),
    };
    let may = match gate.needs {
        // Which bucket is asked in the handler, where its name is known.
        Needs::Ingest => matches!(caller.scope, Scope::Ingest | Scope::Admin),
        _ => caller.scope >= least,
    };
    super::origin::known(&caller);
    if !may {
        let (has, needs) = (caller.scope.as_str(), least.as_str());
        return Problem::forbidden(format!("this needs a token with scope {needs}; yours has {has}")).into_response();
    }
    if gate.takes_no_query && request.uri().query().is_some_and(|query| !query.is_empty()) {
        return Problem::invalid("this address takes no query").into_response();
    }
    let is_local = caller.is_local;
    request.extensions_mut().insert(caller);
    if is_local || gate.patience == Patience::Long {
        return next.run(request).await;
    }
    match tokio::time::timeout(QUICK, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::later("this takes longer than a minute; what was begun goes on", 60).into_response(),
    }
}
