//! Where a request comes from, for the audit log, and who was turned away.
//!
//! The address is the socket's, or the one that a proxy named at start says. It is kept for the task of a request;
//! `App::hop` hands it on to the thread that does the work.

use super::Problem;
use super::lists::Peer;
use crate::app::App;
use crate::tokens::Caller;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use serde_json::json;
use std::cell::RefCell;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use store::Origin;

/// Marks a request that came over TLS, to us or to a proxy that is believed.
#[derive(Debug, Clone, Copy)]
pub struct Encrypted;

/// Refusals that go to the audit log each minute; the rest is counted.
const REFUSALS: u32 = 60;
/// Longest address written down of a refusal, in characters.
const MOST_PATH: usize = 200;

tokio::task_local! {
    static ASKED: RefCell<Asked>;
}

/// What is known of the request of a task.
#[derive(Default)]
struct Asked {
    origin: Origin,
    /// Who makes it.
    who: Option<String>,
    /// It changes nothing, whatever its method.
    asks: bool,
}

/// Where the request of this task comes from.
pub(crate) fn now() -> Origin {
    ASKED.try_with(|asked| asked.borrow().origin.clone()).unwrap_or_default()
}

/// Says who makes the request of this task.
pub(crate) fn known(caller: &Caller) {
    let _ = ASKED.try_with(|asked| {
        let mut asked = asked.borrow_mut();
        asked.origin.token = Some(caller.token).filter(|token| *token != 0);
        asked.who = Some(caller.name.clone());
    });
}

/// Says that the request of this task changes nothing, whatever its method.
pub(crate) fn only_asks() {
    let _ = ASKED.try_with(|asked| asked.borrow_mut().asks = true);
}

/// What the watch remembers.
#[derive(Clone)]
pub(crate) struct Watch {
    app: Arc<App>,
    refused: Arc<Mutex<Refused>>,
}

struct Refused {
    since: Instant,
    n_written: u32,
    n_left_out: u64,
}

impl Watch {
    pub(crate) fn new(app: Arc<App>) -> Watch {
        let refused = Refused { since: Instant::now(), n_written: 0, n_left_out: 0 };
        Watch { app, refused: Arc::new(Mutex::new(refused)) }
    }

    /// Whether one more refusal is written down, and how many were not before it: whoever knocks all day must not fill
    /// the disk.
    fn admits(&self) -> Option<u64> {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.since.elapsed() >= Duration::from_secs(60) {
            (refused.since, refused.n_written) = (Instant::now(), 0);
        }
        if refused.n_written >= REFUSALS {
            refused.n_left_out += 1;
            return None;
        }
        refused.n_written += 1;
        Some(std::mem::take(&mut refused.n_left_out))
    }
}

/// Goes around every route. What was refused is written down, and so is every change that did not write itself down: a new
/// route cannot forget it.
pub(crate) async fn watch(State(watch): State<Watch>, request: Request, next: Next) -> Response {
    let address = request.extensions().get::<Peer>().map(|peer| peer.0.ip().to_canonical());
    let shows_something = request.headers().contains_key(header::AUTHORIZATION);
    let object: String = format!("{} {}", request.method(), request.uri().path()).chars().take(MOST_PATH).collect();
    let told = object.clone();
    let may_change = crate::people::may_change(request.method());
    let asked = Asked { origin: Origin { address, ..Origin::default() }, ..Asked::default() };
    ASKED
        .scope(RefCell::new(asked), async move {
            let response = next.run(request).await;
            // Who shows nothing is asked for something, which is no refusal.
            let is_refusal = match response.status() {
                StatusCode::FORBIDDEN => true,
                StatusCode::UNAUTHORIZED => shows_something,
                _ => false,
            };
            if is_refusal && let Some(n_left_out) = watch.admits() {
                let who = ASKED.with(|asked| asked.borrow().who.clone()).unwrap_or_else(|| "nobody".to_owned());
                let status = response.status().as_u16();
                let why = response.extensions().get::<Problem>().map(|problem| problem.detail().to_owned());
                let why = why.map(|why| why.chars().take(MOST_PATH).collect::<String>());
                let detail = json!({ "status": status, "why": why, "left_out_before": n_left_out }).to_string();
                let written = watch.app.hop(move |app| app.audit(&who, "denied", &object, &detail)).await;
                if let Err(problem) = written {
                    tracing::error!(%problem, "a refusal cannot be written to the audit log");
                }
                return response;
            }
            let forgotten = ASKED.with(|asked| {
                let asked = asked.borrow();
                let is_silent = asked.origin.n_written.load(Ordering::Relaxed) == 0;
                asked.who.clone().filter(|_| may_change && is_silent && !asked.asks)
            });
            let is_done = response.status().is_success() || response.status().is_redirection();
            if let Some(who) = forgotten.filter(|_| is_done) {
                let detail = json!({ "status": response.status().as_u16() }).to_string();
                if let Err(problem) = watch.app.hop(move |app| app.audit(&who, "request", &told, &detail)).await {
                    tracing::error!(%problem, "a request cannot be written to the audit log");
                }
            }
            response
        })
        .await
}
