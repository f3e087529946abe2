//! Every call out.
//!
//! A connector says what it wants and gets an answer or what to do next. Retries, back-off, `Retry-After`, limits on
//! time and size, compression, proxy, TLS, the egress rules and the hiding of secrets are this room's business and
//! nobody else's: there is no other HTTP client in the house. The same type is live, recording or replaying, so a
//! connector cannot tell a test from the world. It keeps no cookies and follows no redirect to another origin.

mod egress;
mod exchange;
mod live;
mod oauth;
mod pace;
mod request;
mod response;
mod retry;
mod wait;

#[cfg(test)]
mod tests;

pub use egress::Egress;
pub use exchange::{Exchange, Exchanges};
pub use oauth::{ClientAuth, Grant, Tokens};
pub use pace::{Pace, PaceRow, Paces, Rate, WAIT_MOST};
pub use request::{Request, Sent, encode};
pub use response::{Answer, Response, read_error};
pub use retry::retry_after;
pub use wait::{NoWait, SystemWait, Wait};

use crate::decode::Limits;
use crate::error::ConnectorError;
use crate::secret::Secret;
use request::{Body as RequestBody, Method};
use serde::Serialize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How calls are made for one connection.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// Where calls may go.
    pub egress: Egress,
    /// `http://`, `https://`, `socks5://` … address of a proxy, perhaps with credentials. The environment is not asked.
    pub proxy: Option<Secret>,
    /// Certificates of a private authority, trusted instead of the system's.
    pub ca_pem: Option<String>,
    /// Certificate chain and private key to show to the server.
    pub client_cert_pem: Option<Secret>,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// What a body may cost, before and after decoding.
    pub limits: Limits,
    /// How often a call that may be repeated is repeated; default 3.
    pub retries: u32,
    /// Seeds the jitter of back-off.
    pub jitter_seed: u64,
    /// What we call ourselves; default `iocast/VERSION`.
    pub user_agent: String,
    /// All secrets of the connection by name: they are replaced by `{{name}}` in every error and recording, also where
    /// a server echoes them.
    pub secrets: Vec<(String, Secret)>,
    /// What this connection shares with others about the hosts it calls; None: it knows nobody and is never held back.
    pub pace: Option<Pace>,
    /// Access tokens shared with other connections; None: this client keeps its own.
    pub tokens: Option<Arc<Tokens>>,
}

impl Default for HttpConfig {
    fn default() -> HttpConfig {
        HttpConfig {
            egress: Egress::default(),
            proxy: None,
            ca_pem: None,
            client_cert_pem: None,
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            retries: 3,
            jitter_seed: 0,
            user_agent: concat!("iocast/", env!("CARGO_PKG_VERSION")).into(),
            secrets: Vec::new(),
            pace: None,
            tokens: None,
        }
    }
}

/// How long a call may take.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// To look up the name, and again to connect, TLS included; default 10 s.
    pub connect: Duration,
    /// From the request sent to the end of the response's headers; default 30 s.
    pub first_byte: Duration,
    /// A body must bring `min_rate` on average over each such stretch of reading; default 30 s.
    pub stall: Duration,
    /// Bytes a second; default 1,024.
    pub min_rate: u64,
    /// Reading of one body, not counting what the reader does in between; default 30 min.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            connect: Duration::from_secs(10),
            first_byte: Duration::from_secs(30),
            stall: Duration::from_secs(30),
            min_rate: 1_024,
            total: Duration::from_secs(30 * 60),
        }
    }
}

/// Makes calls. Shared by reference; one per connection.
pub struct Http {
    transport: Box<dyn Transport>,
    wait: Arc<dyn Wait>,
    limits: Limits,
    retries: u32,
    secrets: Vec<(String, Secret)>,
    jitter: AtomicU64,
    calls: AtomicU64,
    pace: Option<Pace>,
    tokens: Arc<Tokens>,
    /// Whether something was sent that may have changed something at the other side.
    acted: AtomicBool,
    /// Whether no new exchange may begin.
    stop: Option<Arc<dyn Fn() -> bool + Send + Sync>>,
}

/// One attempt at one exchange.
trait Transport: Send + Sync {
    fn call(&self, sent: &Sent) -> Result<Answer, Fault>;
    /// Exchanges that are yet to be replayed.
    fn left(&self) -> usize {
        0
    }
}

/// Why an attempt gave no answer.
#[derive(Debug)]
enum Fault {
    /// We do not make such a call.
    Refused(String),
    /// Nothing was sent: repeating is harmless whatever the method.
    NotSent(String),
    /// Something may have been sent.
    Broken(String),
    /// Repeating makes no sense.
    Wrong(String),
}

/// The longest [`Http::pause`]: what takes longer is for the next run.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Redirects followed, all inside one origin.
const MAX_REDIRECTS: usize = 3;

impl Http {
    /// Calls the world.
    ///
    /// # Errors
    /// A sentence about the part of `config` that cannot be used: a certificate, a proxy address.
    pub fn live(config: HttpConfig, wait: Arc<dyn Wait>) -> Result<Http, String> {
        let transport = live::Live::new(&config, Arc::clone(&wait), None)?;
        Ok(Http::over(Box::new(transport), config, wait))
    }

    /// Calls the world and keeps what was said: see [`Recording`].
    ///
    /// # Errors
    /// As [`Http::live`].
    pub fn recording(config: HttpConfig, wait: Arc<dyn Wait>, into: &Recording) -> Result<Http, String> {
        let live = live::Live::new(&config, Arc::clone(&wait), None)?;
        let (secrets, limits) = (config.secrets.clone(), config.limits);
        let tape = Tape { live, secrets, limits, into: into.clone() };
        Ok(Http::over(Box::new(tape), config, wait))
    }

    /// Answers from recorded exchanges, in order; a request that was not recorded fails. Never waits. `secrets` are the
    /// ones of the settings in use, known by name as when the exchanges were recorded.
    pub fn replaying(exchanges: Exchanges, secrets: Vec<(String, Secret)>) -> Http {
        let queue = exchange::Replay::new(exchanges, secrets.clone());
        let config = HttpConfig { secrets, ..HttpConfig::default() };
        Http::over(Box::new(queue), config, Arc::new(NoWait))
    }

    /// Answers from a function: for tests of what a connector makes of an answer. Waits with `wait`.
    pub fn answering(
        config: HttpConfig,
        wait: Arc<dyn Wait>,
        answer: impl Fn(&Sent) -> Answer + Send + Sync + 'static,
    ) -> Http {
        Http::over(Box::new(Script(answer)), config, wait)
    }

    fn over(transport: Box<dyn Transport>, config: HttpConfig, wait: Arc<dyn Wait>) -> Http {
        Http {
            transport,
            wait,
            limits: config.limits,
            retries: config.retries,
            jitter: AtomicU64::new(config.jitter_seed),
            secrets: config.secrets,
            calls: AtomicU64::new(0),
            acted: AtomicBool::new(false),
            pace: config.pace,
            tokens: config.tokens.unwrap_or_default(),
            stop: None,
        }
    }

    /// The same, asking before every exchange, repeats included, whether it may still begin: `stop` says that it may not.
    #[must_use]
    pub fn stopped_by(self, stop: Arc<dyn Fn() -> bool + Send + Sync>) -> Http {
        Http { stop: Some(stop), ..self }
    }

    /// A GET request. `url` may hold `{{name}}` where [`Request::fill`] puts a secret.
    pub fn get(&self, url: &str) -> Request<'_> {
        Request::new(self, Method::Get, url, RequestBody::None)
    }

    /// A POST request with a JSON body. Not repeated when it may have been received, unless [`Request::idempotent`].
    pub fn post_json(&self, url: &str, body: &impl Serialize) -> Request<'_> {
        Request::new(self, Method::Post, url, RequestBody::json(body))
    }

    /// A POST request with form fields; secret ones are added by [`Request::form_secret`].
    pub fn post_form(&self, url: &str, fields: &[(&str, &str)]) -> Request<'_> {
        Request::new(self, Method::Post, url, RequestBody::form(fields))
    }

    /// A PUT request with a JSON body.
    pub fn put_json(&self, url: &str, body: &impl Serialize) -> Request<'_> {
        Request::new(self, Method::Put, url, RequestBody::json(body))
    }

    /// A PATCH request with a JSON body. Not repeated when it may have been received, unless [`Request::idempotent`].
    pub fn patch_json(&self, url: &str, body: &impl Serialize) -> Request<'_> {
        Request::new(self, Method::Patch, url, RequestBody::json(body))
    }

    /// A request with any other body and its type. Not repeated when it may have been received, unless
    /// [`Request::idempotent`].
    pub fn post(&self, url: &str, content_type: &str, body: Vec<u8>) -> Request<'_> {
        Request::new(self, Method::Post, url, RequestBody::Bytes(body)).header("Content-Type", content_type)
    }

    /// A DELETE request.
    pub fn delete(&self, url: &str) -> Request<'_> {
        Request::new(self, Method::Delete, url, RequestBody::None)
    }

    /// Waits this long, at most [`LONGEST_PAUSE`]: the only way for a connector to wait, for what a server works on after
    /// it answered. On the clock of the calls, so that a replay does not wait at all.
    pub fn pause(&self, duration: Duration) {
        self.wait.sleep(duration.min(LONGEST_PAUSE));
    }

    /// How many exchanges were attempted.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Whether something was sent that may have changed something at the other side, whatever was answered. What was
    /// answered 429 (RFC 6585 §4: too many requests) was not begun there, 401 and 403 not allowed; a 503 may come from
    /// a gateway behind which it was done.
    pub fn has_acted(&self) -> bool {
        self.acted.load(Ordering::Relaxed)
    }

    /// Recorded exchanges nobody asked for yet; 0 unless replaying.
    pub fn unreplayed(&self) -> usize {
        self.transport.left()
    }

    fn send(&self, mut sent: Sent, also: &[u16]) -> Result<Response, ConnectorError> {
        sent.secrets.extend(self.secrets.iter().cloned());
        let mut redirects = 0;
        let mut attempt = 0;
        let mut token = match sent.grant.clone() {
            None => None,
            Some(grant) => Some(self.authorize(&mut sent, &grant, None)?),
        };
        let mut renewed = false;
        // Whether a try of this request may have changed something.
        let mut acted = false;
        loop {
            let begun = match &self.pace {
                None => Duration::ZERO,
                Some(pace) => pace
                    .admit(&sent.url)
                    .map_err(|not_now| later(acted, Some(not_now.wait), sent.about(&not_now.why)))?,
            };
            // After every wait, for a turn or between two tries: a freeze may have come meanwhile.
            if self.stop.as_ref().is_some_and(|stop| stop()) {
                let why = sent.about("the exchange was frozen before this call began");
                return Err(later(acted, None, why));
            }
            self.calls.fetch_add(1, Ordering::Relaxed);
            let called = self.transport.call(&sent);
            if let (Some(pace), Ok(answer)) = (&self.pace, &called) {
                pace.heard(&sent.url, begun, answer);
            }
            let may_have_acted = match &called {
                Ok(answer) => !matches!(answer.status, 401 | 403 | 429),
                Err(Fault::Refused(_) | Fault::NotSent(_)) => false,
                Err(Fault::Broken(_) | Fault::Wrong(_)) => true,
            };
            if may_have_acted && !sent.only_asks() {
                acted = true;
                self.acted.store(true, Ordering::Relaxed);
            }
            let why = match called {
                Ok(answer) => match answer.status {
                    200..=299 => return Response::open(answer, sent, self.limits),
                    304 if sent.conditional() => return Response::open(answer, sent, self.limits),
                    status if also.contains(&status) => return Response::open(answer, sent, self.limits),
                    301 | 302 | 303 | 307 | 308 => {
                        redirects += 1;
                        sent.redirect(&answer, redirects <= MAX_REDIRECTS)?;
                        continue;
                    }
                    401 if !renewed && token.is_some() => {
                        renewed = true;
                        if let Some(grant) = sent.grant.clone() {
                            token = Some(self.authorize(&mut sent, &grant, token.as_ref())?);
                        }
                        continue;
                    }
                    401 | 403 => return Err(ConnectorError::Denied(sent.said(answer))),
                    429 | 503 => {
                        let wait = answer.header("retry-after").and_then(|text| retry_after(text, self.wait.now()));
                        return Err(later(acted, wait, sent.said(answer)));
                    }
                    408 | 500..=599 => {
                        let why = sent.said(answer);
                        if !sent.repeatable {
                            return Err(later(acted, None, why));
                        }
                        why
                    }
                    _ => return Err(ConnectorError::Unexpected(sent.said(answer))),
                },
                Err(Fault::Refused(why)) => return Err(ConnectorError::Denied(sent.about(&why))),
                Err(Fault::Wrong(why)) => return Err(ConnectorError::Unexpected(sent.about(&why))),
                Err(Fault::Broken(why)) if !sent.repeatable => {
                    return Err(later(acted, None, sent.about(&why)));
                }
                Err(Fault::NotSent(why) | Fault::Broken(why)) => sent.about(&why),
            };
            if attempt >= self.retries {
                return Err(later(acted, None, why));
            }
            if let Some(pace) = &self.pace
                && !pace.may_repeat(&sent.url)
            {
                let why = format!("{why}; not tried again at once: too many calls there failed lately");
                return Err(later(acted, None, why));
            }
            self.wait.sleep(retry::backoff(attempt, self.roll()));
            attempt += 1;
        }
    }

    /// Puts a token on a request; `spent` is one that was not taken.
    fn authorize(&self, sent: &mut Sent, grant: &Grant, spent: Option<&Secret>) -> Result<Secret, ConnectorError> {
        let token = self.tokens.get(self, grant, spent)?;
        sent.set_bearer(&token);
        Ok(token)
    }

    /// The account whose calls these are; empty where none is known.
    fn account(&self) -> &str {
        self.pace.as_ref().map_or("", Pace::account)
    }

    /// The next number of the jitter: splitmix64.
    fn roll(&self) -> u64 {
        let mut z = self.jitter.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// A request that may work later; `acted`: a try of it may have changed something already.
fn later(acted: bool, wait: Option<Duration>, why: String) -> ConnectorError {
    if acted { ConnectorError::Later { wait, why } } else { ConnectorError::Busy { wait, why } }
}

/// Where [`Http::recording`] puts what was said.
#[derive(Clone, Default)]
pub struct Recording(Arc<Mutex<Vec<Exchange>>>);

impl Recording {
    /// What was said so far, secrets replaced by their names.
    pub fn exchanges(&self) -> Exchanges {
        Exchanges(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

struct Tape {
    live: live::Live,
    secrets: Vec<(String, Secret)>,
    limits: Limits,
    into: Recording,
}

impl Transport for Tape {
    fn call(&self, sent: &Sent) -> Result<Answer, Fault> {
        let answer = self.live.call(sent)?;
        let (exchange, answer) = Exchange::of(sent, answer, &self.secrets, self.limits)?;
        self.into.0.lock().unwrap_or_else(PoisonError::into_inner).push(exchange);
        Ok(answer)
    }
}

struct Script<F>(F);

impl<F: Fn(&Sent) -> Answer + Send + Sync> Transport for Script<F> {
    fn call(&self, sent: &Sent) -> Result<Answer, Fault> {
        Ok((self.0)(sent))
    }
}
