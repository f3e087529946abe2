//! The server: a socket, the router on it, the loop behind it, and an orderly end.
//!
//! The socket is bound before anything is loaded, so that devices get the last good lists at once; the rest answers
//! "starting" until it can. Connections are counted and must send their requests in time, so that idle or hostile
//! peers cannot use up what the process has; a TLS handshake counts as one, and gives way when there is no room. Without
//! TLS a server answers this machine, or the proxies it was told of, and nobody else. On a signal no new work begins; what runs is given a few seconds and then
//! left: whatever is cut off then is settled at the next start, as after a crash. A store that has failed for good ends
//! the server too, with an error: whoever watches over it starts it again.

use crate::api::{self, lists::Peer, origin::Encrypted};
use crate::app::{App, Loading, OpenOptions};
pub use crate::audit::sink::SinkAt;
pub use crate::notify::syslog::Relay;
pub use crate::tls::Tls;
use crate::tokens;
use anyhow::Context as _;
use engine::runner::Ended;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::collections::VecDeque;
use std::io::Write as _;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

/// Where a server listens unless told otherwise.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:8470";

/// Jobs run at once.
const WORKERS: usize = 4;
/// Connections held at once; more wait in the system's queue.
const MAX_CONNECTIONS: usize = 512;
/// From the opening of a connection, or the end of a request, to the end of the next request's headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a handshake is left alone although others wait for its place.
const HANDSHAKE_GRACE: Duration = Duration::from_millis(500);
/// How long requests may go on after a signal.
const DRAIN: Duration = Duration::from_secs(3);
/// How long jobs may go on after that.
const FINISH: Duration = Duration::from_secs(5);
/// The pause after an accept that failed for want of something, such as file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// How often it is looked whether the store has failed.
const STORE_LOOK: Duration = Duration::from_millis(500);

/// How a server is run.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Where it listens; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Whether the loop pulls and shares by itself.
    pub is_running: bool,
    /// How it proves who it is; None: it speaks no TLS.
    pub tls: Option<Tls>,
    /// The networks of proxies: what they say of who asks is believed, and without TLS nobody else is answered.
    pub behind: Vec<ipnet::IpNet>,
    /// Where the audit log is handed on to.
    pub audit: Vec<SinkAt>,
}

impl Default for ServeOptions {
    fn default() -> ServeOptions {
        ServeOptions {
            listen: SocketAddr::from(([127, 0, 0, 1], 8470)),
            is_running: true,
            tls: None,
            behind: Vec::new(),
            audit: Vec::new(),
        }
    }
}

impl ServeOptions {
    /// # Errors
    /// An address that others can reach, without anything that keeps tokens from being read on the way.
    fn check(&self) -> anyhow::Result<()> {
        if self.tls.is_some() || !self.behind.is_empty() || self.listen.ip().to_canonical().is_loopback() {
            return Ok(());
        }
        anyhow::bail!(
            "{} can be reached from other machines, and without TLS tokens can be read on the way. Give a certificate with \
             --tls-cert FILE --tls-key FILE, let one be made with --tls-self-signed NAME, name the network of the proxy that \
             speaks TLS in front of it with --behind-proxy NETWORK, or listen on 127.0.0.1",
            self.listen
        )
    }
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Sends log lines to standard error: what `IOCAST_LOG` says, else everything from `info` on. Only the first call
/// counts.
pub fn init_log(format: LogFormat) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("IOCAST_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // A second call finds the log open, which is what it wanted.
    let _ = match format {
        LogFormat::Text => log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
}

/// Runs a server until a signal ends it.
///
/// # Errors
/// A data directory in use, an address that cannot be bound, or a store that cannot be loaded.
pub fn run(open: OpenOptions, options: &ServeOptions) -> anyhow::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no threads to serve with")?;
    options.check()?;
    let data = open.data.clone();
    let makes_key = open.outside.names_key();
    let (app, loading) = App::begin(open)?;
    let tls =
        options.tls.as_ref().map(|tls| crate::tls::server(tls, data.as_deref(), crate::world::now())).transpose()?;
    // The log is signed with a key made of it. One whose place nobody chose is made with the first secret.
    if makes_key && let Some(Err(why)) = app.keys().map(crate::seal::Keys::prepare) {
        tracing::error!(
            error = why,
            "there is no key: sealed secrets cannot be opened, and the audit log is not signed"
        );
    }
    let auditor = app.start_auditor(&options.audit).context("the audit log cannot be handed on")?;
    let done = runtime.block_on(serve(app.clone(), loading, options, tls));
    let (finished, all_finished) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        app.stop_runner();
        auditor.stop();
        // The other side may have stopped waiting.
        let _ = finished.send(());
    });
    if all_finished.recv_timeout(FINISH).is_err() {
        tracing::warn!("jobs were still running; what they left is settled at the next start");
    }
    runtime.shutdown_background();
    done
}

async fn serve(
    app: Arc<App>,
    loading: Loading,
    options: &ServeOptions,
    tls: Option<(Arc<rustls::ServerConfig>, Option<String>)>,
) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let listener =
        TcpListener::bind(options.listen).await.with_context(|| format!("cannot listen on {}", options.listen))?;
    let address = listener.local_addr()?;
    greet(&app, &loading, address, tls.as_ref().map(|(_, print)| print.as_deref()), !options.behind.is_empty())?;
    let tls = tls.map(|(config, _)| TlsAcceptor::from(config));
    let handshakes = Arc::new(Handshakes::default());
    let mut strangers = Strangers::default();
    let (loaded, mut load_ended) = oneshot::channel();
    let loader = app.clone();
    let is_running = options.is_running;
    std::thread::spawn(move || {
        let done = load(&loader, loading, is_running);
        // Nobody listens any more when a signal came first.
        let _ = loaded.send(done);
    });
    let watched = app.clone();
    let router = api::router(app);
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let mut loading = true;
    let ended = loop {
        let accepted = tokio::select! {
            () = signals.any() => break Ok(()),
            () = failed(&watched) => break Err(anyhow::anyhow!(
                "the disk or file system failed while the store wrote: what it holds is known only when it is opened \
                 anew, so the server ends here and is to be started again; nothing is lost that was acknowledged, and \
                 nothing was sent that is not written down. If it ends so again, look at the disk"
            )),
            done = &mut load_ended, if loading => {
                loading = false;
                match done {
                    Ok(Ok(())) => continue,
                    Ok(Err(error)) => break Err(error),
                    Err(_) => break Err(anyhow::anyhow!("loading ended early; the log says why")),
                }
            }
            accepted = accept(&listener, &slots, &handshakes) => accepted,
        };
        let (stream, peer, slot) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                // Trying again at once would only burn what is left of the processor.
                match tokio::time::timeout(ACCEPT_PAUSE, signals.any()).await {
                    Ok(()) => break Ok(()),
                    Err(_) => continue,
                }
            }
        };
        let from = peer.ip().to_canonical();
        let is_proxy = options.behind.iter().any(|net| net.contains(&from));
        if tls.is_none() && !options.behind.is_empty() && !is_proxy && !from.is_loopback() {
            strangers.tell(from);
            continue;
        }
        let proxies = is_proxy.then(|| Arc::<[ipnet::IpNet]>::from(options.behind.as_slice()));
        let is_tls = tls.is_some();
        let service = router.clone().map_request(move |mut request: hyper::Request<hyper::body::Incoming>| {
            let (asker, was_encrypted) = match &proxies {
                Some(proxies) => behind(request.headers(), peer, proxies),
                None => (peer, false),
            };
            request.extensions_mut().insert(Peer(asker));
            if is_tls || was_encrypted {
                request.extensions_mut().insert(Encrypted);
            }
            request.map(axum::body::Body::new)
        });
        let watcher = graceful.watcher();
        match &tls {
            None => {
                let connection = http().serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
                let connection = watcher.watch(connection);
                tokio::spawn(async move {
                    // A peer that goes away is no event.
                    let _ = connection.await;
                    drop(slot);
                });
            }
            Some(tls) => {
                let handshake = tokio::spawn(tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)));
                handshakes.begin(handshake.abort_handle());
                tokio::spawn(async move {
                    // Neither is one that speaks no TLS, or not in time, or for which there is no room.
                    if let Ok(Ok(Ok(stream))) = handshake.await {
                        let connection =
                            http().serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
                        let _ = watcher.watch(connection).await;
                    }
                    drop(slot);
                });
            }
        }
    };
    drop(listener);
    if ended.is_ok() {
        tracing::info!("stopping: no new work begins");
    }
    tokio::select! {
        _ = tokio::time::timeout(DRAIN, graceful.shutdown()) => {}
        () = signals.any() => {}
    }
    ended
}

/// Ends when the store has failed for good.
async fn failed(app: &App) {
    let mut look = tokio::time::interval(STORE_LOOK);
    while app.trouble() != Some(store::Trouble::Failed) {
        look.tick().await;
    }
}

type Accepted = (tokio::net::TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit);

fn http() -> hyper::server::conn::http1::Builder {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    http
}

/// Handshakes that are not done, the oldest first.
#[derive(Default)]
struct Handshakes(Mutex<VecDeque<(Instant, AbortHandle)>>);

impl Handshakes {
    fn begin(&self, handshake: AbortHandle) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(_, handshake)| !handshake.is_finished());
        all.push_back((Instant::now(), handshake));
    }

    /// Ends those that had their time, because others wait: whoever opens connections and says nothing keeps nobody out.
    fn give_way(&self) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(begun, handshake)| {
            if begun.elapsed() >= HANDSHAKE_GRACE {
                handshake.abort();
            }
            !handshake.is_finished() && begun.elapsed() < HANDSHAKE_GRACE
        });
    }
}

/// Who comes past the proxy. Told once a minute: it is a mistake of somebody's network.
#[derive(Default)]
struct Strangers(Option<Instant>);

impl Strangers {
    fn tell(&mut self, from: IpAddr) {
        if self.0.is_none_or(|last| last.elapsed() >= Duration::from_secs(60)) {
            self.0 = Some(Instant::now());
            tracing::warn!(%from, "a connection came past the proxy and was closed; --behind-proxy names who may connect");
        }
    }
}

/// Who asks a proxy that is believed: the last address in `X-Forwarded-For` that is no such proxy, and whether the proxy
/// was asked over TLS. What stands before that address anybody may have written.
fn behind(headers: &hyper::HeaderMap, peer: SocketAddr, proxies: &[ipnet::IpNet]) -> (SocketAddr, bool) {
    let last = |name: &str| headers.get_all(name).iter().next_back().and_then(|value| value.to_str().ok());
    let is_encrypted = last("x-forwarded-proto")
        .and_then(|text| text.rsplit(',').next())
        .is_some_and(|proto| proto.trim().eq_ignore_ascii_case("https"));
    let mut asker = peer;
    let said = headers.get_all("x-forwarded-for").iter().rev();
    for text in said.flat_map(|value| value.to_str().unwrap_or("?").rsplit(',')) {
        let text = text.trim();
        let bare = text.trim_start_matches('[').split(']').next().unwrap_or_default();
        let Some(address) = text.parse::<SocketAddr>().map(|at| at.ip()).or_else(|_| bare.parse::<IpAddr>()).ok()
        else {
            break;
        };
        asker = SocketAddr::new(address.to_canonical(), 0);
        if !proxies.iter().any(|net| net.contains(&asker.ip())) {
            break;
        }
    }
    (asker, is_encrypted)
}

/// The next connection, once there is room for it.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>, handshakes: &Handshakes) -> std::io::Result<Accepted> {
    let slot = loop {
        match tokio::time::timeout(HANDSHAKE_GRACE, slots.clone().acquire_owned()).await {
            Ok(slot) => break slot.map_err(std::io::Error::other)?,
            Err(_) => handshakes.give_way(),
        }
    };
    let (stream, peer) = listener.accept().await?;
    // An answer is written in one go; waiting to fill packets would only delay its end.
    let _ = stream.set_nodelay(true);
    Ok((stream, peer, slot))
}

/// Says where it listens, and hands out the first token and the code that makes the first account.
fn greet(
    app: &App,
    loading: &Loading,
    address: SocketAddr,
    tls: Option<Option<&str>>,
    is_behind: bool,
) -> anyhow::Result<()> {
    let first = tokens::first(loading.store(), crate::world::now()).context("the first token cannot be made")?;
    let mut out = std::io::stderr().lock();
    // Where nobody reads standard error there is nobody to tell.
    if let Some(token) = first {
        let _ = writeln!(
            out,
            "\n  The first start makes one administrator's token. It is shown this once:\n\n      {}\n\n  \
             Use it as IOCAST_TOKEN, or make others with it and revoke it.\n",
            token.reveal()
        );
    }
    if let Some(code) = crate::people::begin_set_up(app).context("the set-up code cannot be made")? {
        let _ = writeln!(
            out,
            "\n  Nobody has an account yet. This code makes the first one, within 15 minutes and once:\n\n      {}\n",
            code.reveal()
        );
    }
    let _ = match tls {
        None if is_behind => writeln!(out, "listening on http://{address}, for the proxy in front of it"),
        None => writeln!(out, "listening on http://{address}"),
        Some(None) => writeln!(out, "listening on https://{address}"),
        Some(Some(print)) => writeln!(
            out,
            "listening on https://{address}\n  \
             with a certificate of its own that nobody vouches for; compare its SHA-256 fingerprint before trusting it:\n  \
             {print}"
        ),
    };
    Ok(())
}

fn load(app: &Arc<App>, loading: Loading, is_running: bool) -> anyhow::Result<()> {
    let verifier = app.clone();
    // Beside the loading, not before it: a list is good until it is found not to be.
    std::thread::spawn(move || verifier.shelf().verify());
    loading.finish()?;
    tracing::info!("ready");
    if is_running {
        app.start_runner(WORKERS, tell).context("the loop cannot start")?;
    }
    Ok(())
}

/// One line for every job that ended and did something.
fn tell(ended: &Ended) {
    match ended {
        Ended::Pulled(r) => {
            let error = r.error.as_deref().unwrap_or_default();
            if r.error.is_some() {
                tracing::warn!(connection = r.connection, run = r.run, status = r.status, error, "pull");
            } else {
                tracing::info!(
                    connection = r.connection,
                    run = r.run,
                    status = r.status,
                    read = r.read,
                    new = r.new,
                    changed = r.changed,
                    rejected = r.rejected,
                    withdrawn = r.withdrawn,
                    "pull"
                );
            }
        }
        Ended::Shared(r) => {
            let is_quiet = r.error.is_none() && r.push + r.update + r.retract == 0;
            if let Some(error) = r.error.as_deref() {
                tracing::warn!(target_name = r.target, run = r.run, status = r.status, error, "share");
            } else if is_quiet {
                tracing::debug!(target_name = r.target, run = r.run, status = r.status, present = r.present, "share");
            } else {
                tracing::info!(
                    target_name = r.target,
                    run = r.run,
                    status = r.status,
                    push = r.push,
                    update = r.update,
                    retract = r.retract,
                    accepted = r.accepted,
                    refused = r.refused,
                    deferred = r.deferred,
                    present = r.present,
                    plan = r.plan,
                    "share"
                );
            }
        }
        Ended::Verified(r) if r.error.is_some() || r.drift.is_any() => {
            let error = r.error.as_deref().or(r.drift.doubt.as_deref()).unwrap_or_default();
            tracing::warn!(
                target_name = r.target,
                run = r.run,
                status = r.status,
                missing = r.drift.missing,
                lost = r.drift.lost,
                unknown = r.drift.unknown,
                harmed = r.drift.harmed,
                error,
                "verify"
            );
        }
        Ended::Verified(r) => {
            tracing::info!(target_name = r.target, run = r.run, status = r.status, checked = r.drift.checked, "verify");
        }
        Ended::Told(r) if r.failed > 0 => {
            tracing::warn!(told = r.told, failed = r.failed, "people could not be told; `iocast status` says why");
        }
        Ended::Told(r) if r.told > 0 => tracing::info!(notices = r.told, "people were told"),
        Ended::Expired(0) | Ended::Pruned(0) | Ended::Told(_) => {}
        Ended::Expired(n) => tracing::info!(indicators = n, "time has changed indicators"),
        Ended::Pruned(n) => tracing::info!(indicators = n, "pruned"),
        Ended::Failed(job, error) => tracing::error!(?job, error, "a job could not be run"),
    }
}

/// The signals that end a server.
struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    fn listen() -> std::io::Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    #[cfg(not(unix))]
    fn listen() -> std::io::Result<Signals> {
        Ok(Signals {})
    }

    #[cfg(unix)]
    async fn any(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    #[cfg(not(unix))]
    async fn any(&mut self) {
        // Without a signal to wait for there is nothing that ends us.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
