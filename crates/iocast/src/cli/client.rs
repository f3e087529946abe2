//! One way to ask an exchange: the router, mounted in this process or behind an address.
//!
//! In the process no socket is opened; the request goes through the router as a value, and who may open the data
//! directory needs no token. A server is asked with a small blocking client that follows no redirect, so a token
//! reaches only the host it was meant for.

use super::output::Out;
use super::{CliError, output};
use crate::api;
use crate::app::{App, OpenOptions, Watcher};
use crate::world::Outside;
use axum::body::Body;
use axum::http::{Method, Request, header};
use http_body_util::BodyExt as _;
use kit::http::encode;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt as _;

/// Where the exchange is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a directory this process opens.
    Data(PathBuf),
    /// Behind an address.
    Server {
        /// Of the server's root.
        url: String,
        /// What it asks for.
        token: Option<String>,
        /// Who vouches for it, instead of those this machine trusts.
        ca_file: Option<PathBuf>,
    },
    /// Nowhere: an empty one, forgotten at the end.
    Memory,
}

/// Where something is wrong in what was sent.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Mistake {
    /// `connection`, `target`, `rule`, …
    pub(crate) section: String,
    /// The thing's name.
    pub(crate) name: String,
    /// The key in it.
    pub(crate) key: String,
    /// What is wrong and what was expected.
    pub(crate) problem: String,
}

/// What the router said instead of an answer.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Problem {
    /// The status.
    pub(crate) status: u16,
    /// In a few words.
    pub(crate) title: String,
    /// What to do next.
    pub(crate) detail: String,
    /// Mistakes, one by one.
    pub(crate) errors: Vec<Mistake>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum AskError {
    /// The router refused.
    Problem(Problem),
    /// The router was not reached, or its answer went nowhere.
    Cli(CliError),
}

impl From<AskError> for CliError {
    fn from(error: AskError) -> CliError {
        match error {
            AskError::Cli(error) => error,
            AskError::Problem(problem) => {
                let mut text = if problem.detail.is_empty() { problem.title } else { problem.detail };
                for mistake in &problem.errors {
                    let _ = write!(text, "\n  {mistake}");
                }
                CliError::Failed(text)
            }
        }
    }
}

impl From<CliError> for AskError {
    fn from(error: CliError) -> AskError {
        AskError::Cli(error)
    }
}

impl std::fmt::Display for Mistake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.section)?;
        if !self.name.is_empty() {
            write!(f, " \"{}\"", self.name)?;
        }
        if !self.key.is_empty() {
            write!(f, ", {}", self.key)?;
        }
        write!(f, ": {}", self.problem)
    }
}

/// Takes the body of an answer, piece by piece.
type Sink<'s> = &'s mut dyn FnMut(&[u8]) -> Result<(), CliError>;

/// What is asked.
struct Ask<'a> {
    method: Method,
    /// From the root, query included.
    path: String,
    accept: &'a str,
    body: Option<String>,
}

/// Asks the router.
pub(crate) enum Client {
    /// In this process.
    Here(Box<Here>),
    /// Of a server.
    There(There),
}

impl Client {
    /// Opens what the place says. `outside` and `watcher` are for an exchange in this process.
    pub(crate) fn open(place: &Place, outside: Outside, watcher: Watcher, out: &Out) -> Result<Client, CliError> {
        let options = match place {
            Place::Server { url, token, ca_file } => {
                return There::new(url, token.clone(), ca_file.as_deref(), out).map(Client::There);
            }
            Place::Data(dir) => OpenOptions::at(dir),
            Place::Memory => OpenOptions::in_memory(),
        };
        let here = Here::open(OpenOptions { outside, progress: watcher, ..options })?;
        here.app.told().iter().for_each(|line| out.note(line));
        Ok(Client::Here(Box::new(here)))
    }

    /// The exchange, where it is in this process.
    pub(crate) fn app(&self) -> Option<&Arc<App>> {
        match self {
            Client::Here(here) => Some(&here.app),
            Client::There(_) => None,
        }
    }

    /// The body of a GET.
    pub(crate) fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<String, AskError> {
        self.whole(&Ask { method: Method::GET, path: address(path, query), accept: "application/json", body: None })
    }

    /// The body of a POST. An error if the router refused.
    pub(crate) fn post(&self, path: &str, query: &[(&str, &str)], body: &impl Serialize) -> Result<String, AskError> {
        let body = serde_json::to_string(body).map_err(CliError::failed)?;
        self.whole(&Ask {
            method: Method::POST,
            path: address(path, query),
            accept: "application/json",
            body: Some(body),
        })
    }

    /// The body of a PUT. An error if the router refused.
    pub(crate) fn put(&self, path: &str, body: &impl Serialize) -> Result<String, AskError> {
        let body = serde_json::to_string(body).map_err(CliError::failed)?;
        self.whole(&Ask { method: Method::PUT, path: path.to_owned(), accept: "application/json", body: Some(body) })
    }

    /// The body of a DELETE.
    pub(crate) fn delete(&self, path: &str) -> Result<String, AskError> {
        self.whole(&Ask { method: Method::DELETE, path: path.to_owned(), accept: "application/json", body: None })
    }

    /// The body of a GET as it comes.
    pub(crate) fn stream(
        &self,
        path: &str,
        query: &[(&str, &str)],
        accept: &str,
        sink: Sink<'_>,
    ) -> Result<(), AskError> {
        self.send(&Ask { method: Method::GET, path: address(path, query), accept, body: None }, sink)
    }

    fn whole(&self, ask: &Ask<'_>) -> Result<String, AskError> {
        let mut body = Vec::new();
        self.send(ask, &mut |piece| {
            body.extend_from_slice(piece);
            Ok(())
        })?;
        String::from_utf8(body).map_err(|_| CliError::failed("the answer is no text: is this an iocast server?").into())
    }

    fn send(&self, ask: &Ask<'_>, sink: Sink<'_>) -> Result<(), AskError> {
        if ask.path.len() > ADDRESS_BYTES {
            let why = "this is too long for a search: shorten it, or make it a rule and use `iocast rule test`";
            return Err(AskError::Cli(CliError::Usage(why.to_owned())));
        }
        match self {
            Client::Here(here) => here.send(ask, sink),
            Client::There(there) => there.send(ask, sink),
        }
    }
}

/// The longest address that HTTP implementations, this one included, take, with room for the server's name.
const ADDRESS_BYTES: usize = 65_000;

/// A path with a query.
fn address(path: &str, query: &[(&str, &str)]) -> String {
    let mut out = path.to_owned();
    for (at, (key, value)) in query.iter().enumerate() {
        let _ = write!(out, "{}{key}={}", if at == 0 { '?' } else { '&' }, encode(value));
    }
    out
}

/// One part of a path.
pub(crate) fn part(name: &str) -> String {
    encode(name)
}

/// A body that tells why there is no answer. Not every one is ours.
fn problem(status: u16, body: &[u8]) -> AskError {
    let mut problem: Problem = serde_json::from_slice(body).unwrap_or_default();
    problem.status = status;
    if problem.title.is_empty() && problem.detail.is_empty() {
        let words = String::from_utf8_lossy(body);
        let words = output::shorten(words.trim(), 200);
        problem.detail = match words.is_empty() {
            true => format!("the server answers {status}"),
            false => format!("the server answers {status}: {words}"),
        };
    }
    // Of a token that is known it says what is the matter with it.
    if status == 401 && !problem.detail.contains("bound to networks") {
        "the server does not know this token: give one by --token or IOCAST_TOKEN".clone_into(&mut problem.detail);
    }
    AskError::Problem(problem)
}

/// The longest body kept of an answer that tells of a problem, in bytes.
const PROBLEM_BYTES: u64 = 1 << 20;

/// The router in this process.
pub(crate) struct Here {
    app: Arc<App>,
    router: axum::Router,
    runtime: tokio::runtime::Runtime,
}

impl Here {
    fn open(options: OpenOptions) -> Result<Here, CliError> {
        // The chain of causes, each once: the first alone often does not say what to do.
        let app = App::open(options).map_err(|error| CliError::Failed(format!("{error:#}")))?;
        let router = api::router(app.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CliError::failed)?;
        Ok(Here { app, router, runtime })
    }

    fn send(&self, ask: &Ask<'_>, sink: Sink<'_>) -> Result<(), AskError> {
        let request = Request::builder()
            .method(ask.method.clone())
            .uri(&ask.path)
            .header(header::ACCEPT, ask.accept)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(ask.body.clone().unwrap_or_default()))
            .map_err(CliError::failed)?;
        self.runtime.block_on(async {
            let Ok(answer) = self.router.clone().oneshot(api::local(request)).await;
            let status = answer.status().as_u16();
            let mut body = answer.into_body();
            let mut words = Vec::new();
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| CliError::failed(format!("the answer broke off: {error}")))?;
                let Ok(piece) = frame.into_data() else { continue };
                match status {
                    400.. if words.len() < PROBLEM_BYTES as usize => words.extend_from_slice(&piece),
                    400.. => {}
                    _ => sink(&piece)?,
                }
            }
            if status >= 400 { Err(problem(status, &words)) } else { Ok(()) }
        })
    }
}

/// A server.
pub(crate) struct There {
    agent: ureq::Agent,
    root: String,
    token: Option<String>,
}

impl There {
    fn new(url: &str, token: Option<String>, ca_file: Option<&Path>, out: &Out) -> Result<There, CliError> {
        let usage = |why: &str| CliError::Usage(format!("--url {url}: {why}, e.g. http://127.0.0.1:8470"));
        let root = url.trim_end_matches('/').to_owned();
        let (scheme, rest) = root.split_once("://").ok_or_else(|| usage("expected an address with a scheme"))?;
        if !matches!(scheme, "http" | "https") || rest.is_empty() {
            return Err(usage("expected an http or https address"));
        }
        if scheme == "http" && token.is_some() && !is_loopback(rest) {
            out.note(&format!("note: the token goes to {rest} without encryption; use https"));
        }
        let roots = match ca_file {
            None => ureq::tls::RootCerts::PlatformVerifier,
            Some(file) => vouching(file)?,
        };
        let tls = ureq::tls::TlsConfig::builder().root_certs(roots).build();
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .timeout_connect(Some(Duration::from_secs(10)))
            .user_agent(concat!("iocast/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .build()
            .new_agent();
        Ok(There { agent, root, token })
    }

    fn send(&self, ask: &Ask<'_>, sink: Sink<'_>) -> Result<(), AskError> {
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(format!("{}{}", self.root, ask.path))
            .header(header::ACCEPT, ask.accept);
        if ask.body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let unreachable = |error: &dyn std::fmt::Display| {
            let text = error.to_string();
            let next = match text.to_lowercase().contains("certificate") {
                true => "if it has a certificate of its own or of a private authority, name that with --ca-file FILE",
                false => "is `iocast serve` running there?",
            };
            CliError::Failed(format!("{} cannot be asked: {text}; {next}", self.root))
        };
        let answer = match &ask.body {
            Some(body) => self.agent.run(request.body(body.as_str()).map_err(CliError::failed)?),
            None => self.agent.run(request.body(()).map_err(CliError::failed)?),
        };
        let answer = answer.map_err(|error| unreachable(&error))?;
        let status = answer.status().as_u16();
        let mut body = answer.into_body().into_reader();
        if (300..400).contains(&status) {
            return Err(
                CliError::failed(format!("{} answers with a redirect: name the address itself", self.root)).into()
            );
        }
        if status >= 400 {
            let mut words = Vec::new();
            // What can be read of the reason is better than nothing.
            let _ = body.take(PROBLEM_BYTES).read_to_end(&mut words);
            return Err(problem(status, &words));
        }
        let mut buffer = vec![0u8; 64 << 10];
        loop {
            match body.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(n) => sink(&buffer[..n])?,
                Err(error) => return Err(CliError::failed(format!("the answer broke off: {error}")).into()),
            }
        }
    }
}

/// The certificates of a file.
fn vouching(file: &Path) -> Result<ureq::tls::RootCerts, CliError> {
    let wrong = |why: String| CliError::Usage(format!("--ca-file {}: {why}", file.display()));
    let text = std::fs::read(file).map_err(|error| wrong(format!("it cannot be read: {error}")))?;
    let mut all = Vec::new();
    for item in ureq::tls::parse_pem(&text) {
        match item {
            Ok(ureq::tls::PemItem::Certificate(certificate)) => all.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(wrong(format!("it is no PEM: {error}"))),
        }
    }
    match all.is_empty() {
        true => Err(wrong("there is no certificate in it: give one, or those of an authority, as PEM".to_owned())),
        false => Ok(ureq::tls::RootCerts::Specific(Arc::new(all))),
    }
}

fn is_loopback(rest: &str) -> bool {
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(inner) => inner.split(']').next().unwrap_or_default(),
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Cuts a stream into lines.
#[derive(Default)]
pub(crate) struct Lines(Vec<u8>);

impl Lines {
    /// Takes a piece and gives every line that is whole.
    pub(crate) fn feed(
        &mut self,
        piece: &[u8],
        line: &mut dyn FnMut(&str) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        let mut rest = piece;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.0.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            self.take(line)?;
        }
        self.0.extend_from_slice(rest);
        Ok(())
    }

    /// Gives what is left.
    pub(crate) fn end(mut self, line: &mut dyn FnMut(&str) -> Result<(), CliError>) -> Result<(), CliError> {
        self.take(line)
    }

    fn take(&mut self, line: &mut dyn FnMut(&str) -> Result<(), CliError>) -> Result<(), CliError> {
        let text = std::str::from_utf8(&self.0).map_err(|_| CliError::failed("the answer is no text"))?;
        if !text.trim().is_empty() {
            line(text.trim())?;
        }
        self.0.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_encoded() {
        assert_eq!(address("/a", &[]), "/a");
        let path = address("/a", &[("q", r#"value = "a b" & c"#), ("all", "true")]);
        assert!(path.parse::<axum::http::Uri>().is_ok(), "{path}");
        assert_eq!(path.matches('&').count(), 1, "{path}");
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for host in ["localhost:1", "127.0.0.1", "127.0.0.1:8470/x", "[::1]:8470"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["iocast.example", "192.0.2.1:80", "localhost.evil.example", "[2001:db8::1]:1"] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn lines_come_whole_however_the_stream_is_cut() {
        let text = "{\"a\":1}\n\n{\"b\":\"ü\"}\n{\"c\":3}";
        for size in 1..text.len() {
            let mut lines = Lines::default();
            let mut got = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                let take = &mut |line: &str| {
                    got.push(line.to_owned());
                    Ok(())
                };
                lines.feed(piece, take).unwrap();
            }
            lines
                .end(&mut |line: &str| {
                    got.push(line.to_owned());
                    Ok(())
                })
                .unwrap();
            assert_eq!(got, ["{\"a\":1}", "{\"b\":\"ü\"}", "{\"c\":3}"], "pieces of {size}");
        }
    }

    #[test]
    fn a_problem_says_what_to_do_whoever_wrote_it() {
        let ours = br#"{"type":"about:blank","title":"Not found","status":404,"detail":"no target is called \"x\"","errors":[{"section":"rule","name":"r","key":"when","problem":"expected a field"}]}"#;
        let cases: [(u16, &[u8], &str); 4] = [
            (404, ours, "no target is called \"x\"\n  rule \"r\", when: expected a field"),
            (502, b"<html>bad gateway</html>", "the server answers 502: <html>bad gateway</html>"),
            (500, b"", "the server answers 500"),
            (401, b"", "the server does not know this token: give one by --token or IOCAST_TOKEN"),
        ];
        for (status, body, said) in cases {
            match CliError::from(problem(status, body)) {
                CliError::Failed(text) => assert_eq!(text, said),
                other => panic!("{other:?}"),
            }
        }
    }
}
