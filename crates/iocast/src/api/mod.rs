//! The one router: what a server mounts on a socket and a command mounts in its own process.
//!
//! Around every route stand, from the outside in: headers that keep browsers and caches from doing anything clever,
//! the catching of panics, the rendering of problems, a limit on bodies, and the gate that asks for a token.

pub mod error;
pub mod openapi;
mod people;
mod preview;
pub mod route;
pub mod routes;

pub(crate) mod auth;
pub(crate) mod bulk;
pub mod changes;
mod config;
mod connectors;
pub(crate) mod exceptions;
pub(crate) mod export;
pub(crate) mod extract;
pub mod import;
pub(crate) mod indicators;
mod jobs;
mod knowledge;
pub mod lists;
pub(crate) mod notices;
mod nouns;
pub mod observations;
pub mod origin;
mod rules;
mod runs;
mod sealed;
mod shapes;
mod sources;
mod strict;
mod system;
mod targets;

pub use error::Problem;
pub use route::PageRoute;

use crate::app::App;
use auth::{Door, Gate, Local};
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use tower_http::catch_panic::CatchPanicLayer;

/// Longest request body, in bytes.
pub const MAX_BODY_BYTES: usize = 32 << 20;

/// Marks a request as made in this very process: whoever may open the data directory needs no token.
pub fn local(mut request: Request) -> Request {
    request.extensions_mut().insert(Local);
    request
}

/// The router over an app.
pub fn router(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for route in routes::TABLE {
        let gate = Gate {
            app: app.clone(),
            needs: route.needs,
            patience: route.patience,
            takes_no_query: route.takes_no_query(),
            door: Door::Api,
            asks: route.asks,
        };
        router =
            router.route(route.path, (route.handler)().route_layer(middleware::from_fn_with_state(gate, auth::gate)));
    }
    crate::web::mount(router, &app)
        .fallback(crate::web::nothing_here)
        .method_not_allowed_fallback(|| async {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this address takes another method")
        })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(CatchPanicLayer::custom(|panic: Box<dyn std::any::Any + Send>| {
            Problem::internal(format!("a panic: {}", words(&*panic))).into_response()
        }))
        .layer(middleware::from_fn_with_state(origin::Watch::new(app.clone()), origin::watch))
        .layer(middleware::from_fn(finish))
        .with_state(app)
}

/// Adds pages, behind the same gate and the same table of roles.
pub(crate) fn pages(mut router: Router<Arc<App>>, app: &Arc<App>, pages: &[PageRoute]) -> Router<Arc<App>> {
    for page in pages {
        let gate = Gate {
            app: app.clone(),
            needs: page.needs,
            patience: page.patience,
            takes_no_query: false,
            door: Door::Page,
            asks: page.asks,
        };
        router =
            router.route(page.path, (page.handler)().route_layer(middleware::from_fn_with_state(gate, auth::gate)));
    }
    router
}

fn words(panic: &(dyn std::any::Any + Send)) -> &str {
    panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("?")
}

/// Renders problems, and sets what every answer carries.
async fn finish(request: Request, next: Next) -> Response {
    let is_local = request.extensions().get::<Local>().is_some();
    let is_encrypted = request.extensions().get::<origin::Encrypted>().is_some();
    let is_head = request.method() == axum::http::Method::HEAD;
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let kept = response.headers().get(header::ALLOW).cloned();
        response = problem.render(&|| format!("{:012x}", getrandom::u64().unwrap_or_default() >> 16), is_local);
        if let Some(allow) = kept {
            response.headers_mut().insert(header::ALLOW, allow);
        }
        if is_head {
            *response.body_mut() = Body::empty();
        }
    }
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // Pages say for themselves what they need.
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(
        "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ));
    if is_encrypted {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
