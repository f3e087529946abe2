//! An exchange to try: in memory or in a directory, on a clock that stands where it is put.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use engine::World;
use engine::config::{Connection, Provider};
use http_body_util::BodyExt as _;
use intel::Timestamp;
use iocast::api;
use iocast::api::lists::Peer;
use iocast::app::{App, OpenOptions};
use iocast::tokens::NewToken;
use kit::ConnectorError;
use kit::files::Files;
use kit::http::{Answer, Http, HttpConfig, NoWait, Sent};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tower::ServiceExt as _;

/// Plays another side of a call.
type Answering = dyn Fn(&Sent) -> Answer + Send + Sync;

/// A world without a network, whose clock is moved by hand.
pub(crate) struct StillWorld {
    now: AtomicI64,
    chance: AtomicU64,
    files: Files,
    provider: Mutex<Option<Arc<Answering>>>,
}

impl StillWorld {
    pub(crate) fn new(files: Vec<PathBuf>) -> Arc<StillWorld> {
        let now = Timestamp::parse("2026-06-01T12:00:00Z").unwrap().micros();
        Arc::new(StillWorld {
            now: now.into(),
            chance: AtomicU64::new(1),
            files: Files::below(files),
            provider: Mutex::default(),
        })
    }

    /// What answers the calls to a provider of identities.
    pub(crate) fn provide(&self, answer: impl Fn(&Sent) -> Answer + Send + Sync + 'static) {
        *self.provider.lock().unwrap() = Some(Arc::new(answer));
    }

    pub(crate) fn advance(&self, secs: i64) {
        self.now.fetch_add(secs * 1_000_000, Ordering::Relaxed);
    }
}

impl World for StillWorld {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.now.load(Ordering::Relaxed))
    }

    fn random(&self) -> u64 {
        self.chance.fetch_add(1, Ordering::Relaxed)
    }

    fn http(&self, _: &Connection) -> Result<Http, ConnectorError> {
        Ok(Http::answering(HttpConfig::default(), Arc::new(NoWait), |_| Answer::new(404, "no network here")))
    }

    fn provider_http(&self, _: &Provider) -> Result<Http, ConnectorError> {
        let answer = self.provider.lock().unwrap().clone().ok_or(ConnectorError::Unsupported)?;
        Ok(Http::answering(HttpConfig::default(), Arc::new(NoWait), move |sent| answer(sent)))
    }

    fn files(&self) -> &Files {
        &self.files
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The JSON of an answer that went well.
    pub(crate) fn ok(&self) -> Value {
        assert!(self.status.is_success(), "{}: {}", self.status, self.text());
        self.json()
    }
}

/// An exchange behind its router.
pub(crate) struct TestApp {
    pub(crate) app: Arc<App>,
    pub(crate) world: Arc<StillWorld>,
    router: axum::Router,
    runtime: tokio::runtime::Runtime,
}

impl TestApp {
    /// In memory.
    pub(crate) fn new() -> TestApp {
        TestApp::with(None, Vec::new())
    }

    pub(crate) fn with(data: Option<PathBuf>, files: Vec<PathBuf>) -> TestApp {
        let world = StillWorld::new(files);
        let options = OpenOptions { data, world: Some(world.clone()), ..OpenOptions::in_memory() };
        TestApp::over(App::open(options).unwrap(), world)
    }

    pub(crate) fn over(app: Arc<App>, world: Arc<StillWorld>) -> TestApp {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        TestApp { router: api::router(app.clone()), app, world, runtime }
    }

    /// A token of this scope.
    pub(crate) fn token(&self, scope: &str) -> String {
        let token = NewToken::generate().unwrap();
        let store = self.app.engine().unwrap().store();
        store.put_token(scope, &token.hash, scope, Timestamp::EPOCH, None).unwrap();
        token.secret.reveal().to_owned()
    }

    /// Sends a request as it is.
    pub(crate) fn send(&self, request: Request<Body>) -> Reply {
        self.runtime.block_on(async {
            let response = self.router.clone().oneshot(request).await.unwrap();
            let (parts, body) = response.into_parts();
            let body = body.collect().await.unwrap().to_bytes().to_vec();
            Reply { status: parts.status, headers: parts.headers, body }
        })
    }

    /// The same; None: the connection broke before the end.
    pub(crate) fn try_send(&self, request: Request<Body>) -> Option<Reply> {
        self.runtime.block_on(async {
            let response = self.router.clone().oneshot(request).await.unwrap();
            let (parts, body) = response.into_parts();
            let body = body.collect().await.ok()?.to_bytes().to_vec();
            Some(Reply { status: parts.status, headers: parts.headers, body })
        })
    }

    /// From an address, with headers.
    pub(crate) fn ask(&self, method: Method, path: &str, peer: &str, headers: &[(&str, &str)]) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::empty()).unwrap();
        request.extensions_mut().insert(Peer(format!("{peer}:40000").parse::<SocketAddr>().unwrap()));
        self.send(request)
    }

    /// As the person at the keyboard.
    pub(crate) fn get(&self, path: &str) -> Reply {
        self.send(api::local(Request::get(path).body(Body::empty()).unwrap()))
    }

    /// As the person at the keyboard.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Reply {
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
        self.send(api::local(request.body(Body::from(body.to_string())).unwrap()))
    }

    /// Configures an exchange with one list of what is added by hand.
    pub(crate) fn with_list(self, params: &Value) -> TestApp {
        self.post("/api/v1/config/apply", &one_list(params)).ok();
        self
    }

    /// Adds addresses by hand and publishes them.
    pub(crate) fn publish(&self, values: &[&str]) {
        let items: Vec<Value> = values.iter().map(|value| json!({ "value": value, "reputation": 8 })).collect();
        self.post("/api/v1/indicators", &json!({ "items": items })).ok();
        let reports = self.post("/api/v1/passes", &json!({ "all": true, "approve": true })).ok();
        assert_eq!(reports[0]["status"], "success", "{reports}");
    }
}

/// A configuration with one served list, `block-ip`.
pub(crate) fn one_list(params: &Value) -> Value {
    json!({
        "connection": [{ "name": "edge", "connector": "list", "settings": {} }],
        "target": [{
            "name": "block-ip", "connection": "edge", "action": "publish", "first_fill": "allow", "params": params,
        }],
        "rule": [{ "name": "addresses", "when": "kind in (ipv4, ipv4_net) and reputation >= 5" }],
        "sharing": [{ "source": "any", "rule": "addresses", "target": "block-ip" }],
    })
}

/// What a command printed, and how it ended.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    #[track_caller]
    pub(crate) fn code(self, code: i32) -> Ran {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        self
    }

    #[track_caller]
    pub(crate) fn says(self, part: &str) -> Ran {
        assert!(self.out.contains(part) || self.err.contains(part), "no {part:?} in\n{}{}", self.out, self.err);
        self
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.err))
    }
}

impl From<std::process::Output> for Ran {
    fn from(done: std::process::Output) -> Ran {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ran { code: done.status.code().unwrap_or(-1), out: text(done.stdout), err: text(done.stderr) }
    }
}

/// Tells when the first piece is asked for.
pub(crate) struct Told(pub(crate) Pieces, pub(crate) Option<tokio::sync::oneshot::Sender<()>>);

impl futures_core::Stream for Told {
    type Item = std::io::Result<Bytes>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        if let Some(told) = self.1.take() {
            let _ = told.send(());
        }
        std::pin::Pin::new(&mut self.0).poll_next(cx)
    }
}

/// A body that comes piece by piece.
pub(crate) struct Pieces(pub(crate) tokio::sync::mpsc::UnboundedReceiver<Result<Bytes, std::io::Error>>);

impl futures_core::Stream for Pieces {
    type Item = Result<Bytes, std::io::Error>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}
