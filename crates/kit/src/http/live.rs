//! Calls over the network: ureq with our resolver in front, our clock and limits behind.

use super::egress::Egress;
use super::request::Sent;
use super::response::Answer;
use super::{Fault, HttpConfig, Timeouts, Transport, Wait};
use crate::error::ConnectorError;
use std::fmt;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, DefaultConnector, NextTimeout, Transport as Wire,
};

/// Looks a host and port up; tests put theirs in place of the system's.
pub(super) type Lookup = Arc<dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync>;

pub(super) struct Live {
    agent: ureq::Agent,
    egress: Egress,
    proxied: bool,
    timeouts: Timeouts,
    wait: Arc<dyn Wait>,
}

impl Live {
    pub(super) fn new(config: &HttpConfig, wait: Arc<dyn Wait>, lookup: Option<Lookup>) -> Result<Live, String> {
        let proxy = match &config.proxy {
            None => None,
            // The parser's error could quote the credentials.
            Some(proxy) => Some(ureq::Proxy::new(proxy.reveal()).map_err(|_| "the proxy's address cannot be read")?),
        };
        let timeouts = config.timeouts;
        let settings = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(proxy.clone())
            .tls_config(tls(config)?)
            .user_agent(&config.user_agent)
            .accept("*/*")
            .accept_encoding("gzip")
            .timeout_resolve(Some(timeouts.connect))
            .timeout_connect(Some(timeouts.connect))
            .timeout_send_request(Some(timeouts.first_byte))
            .timeout_send_body(Some(timeouts.total))
            .timeout_recv_response(Some(timeouts.first_byte))
            .timeout_per_read(Some(timeouts.stall))
            .timeout_per_write(Some(timeouts.stall))
            .max_response_header_size(64 << 10)
            .build();
        let resolver = Checked { egress: config.egress.clone(), lookup };
        let agent = ureq::Agent::with_parts(settings, DefaultConnector::default().chain(Honest), resolver);
        Ok(Live { agent, egress: config.egress.clone(), proxied: proxy.is_some(), timeouts, wait })
    }
}

impl Transport for Live {
    fn call(&self, sent: &Sent) -> Result<Answer, Fault> {
        let address = sent.real_url();
        let url = self.egress.check_url(&address).map_err(Fault::Refused)?;
        if self.proxied {
            self.egress.check_unresolved(&url).map_err(Fault::Refused)?;
        }
        let mut request = ureq::http::Request::builder().method(sent.method.as_str()).uri(url.as_str());
        for header in &sent.headers {
            request = request.header(header.name.as_str(), header.value());
        }
        // The error could quote a header.
        let wrong = |_| Fault::Wrong("the address or a header holds characters that cannot be sent".into());
        let result = match sent.real_body() {
            None => self.agent.run(request.body(()).map_err(wrong)?),
            Some(body) => self.agent.run(request.body(body).map_err(wrong)?),
        };
        let (parts, body) = result.map_err(|error| fault(&error))?.into_parts();
        let text = |value: &ureq::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = parts.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
        let timed = Timed::new(body.into_reader(), Arc::clone(&self.wait), self.timeouts);
        Ok(Answer { status: parts.status.as_u16(), headers, body: Box::new(timed) })
    }
}

/// What an error of the client means for repeating the call.
fn fault(error: &ureq::Error) -> Fault {
    use ureq::{Error, Timeout};
    match error {
        Error::Other(inner) => match inner.downcast_ref::<Refusal>() {
            Some(Refusal(why)) => Fault::Refused(why.clone()),
            None => Fault::Broken("the connection failed".into()),
        },
        Error::HostNotFound => Fault::NotSent("the name of the host is not known".into()),
        Error::Timeout(Timeout::Resolve) => Fault::NotSent("no answer when looking up the name of the host".into()),
        Error::Timeout(Timeout::Connect) => Fault::NotSent("no connection in time".into()),
        Error::Timeout(_) => Fault::Broken("no answer in time".into()),
        Error::ConnectionFailed => Fault::NotSent("no connection".into()),
        Error::ConnectProxyFailed(_) => Fault::NotSent("the proxy made no connection".into()),
        Error::Tls(why) => Fault::NotSent(format!("no secure connection: {why}")),
        Error::Rustls(why) => Fault::NotSent(format!("no secure connection: {why}")),
        Error::Io(inner) => match inner.kind() {
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::AddrNotAvailable => Fault::NotSent("no connection".into()),
            // What the TLS layer has against the other side arrives like this.
            io::ErrorKind::InvalidData => Fault::NotSent(format!("no secure connection: {inner}")),
            _ => Fault::Broken("the connection was lost".into()),
        },
        Error::LargeResponseHeader(..) => Fault::Wrong("the answer's headers are too large".into()),
        Error::Protocol(_) | Error::Http(_) => Fault::Wrong("the answer is not HTTP".into()),
        _ => Fault::Broken("the call failed".into()),
    }
}

/// Looks names up and lets only addresses through that may be called: the client connects to no other.
struct Checked {
    egress: Egress,
    lookup: Option<Lookup>,
}

/// Carries a refusal through the client.
#[derive(Debug)]
struct Refusal(String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

impl Resolver for Checked {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let host = uri.host().unwrap_or_default();
        let literal: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
        let found = match (literal, &self.lookup) {
            (Some(address), _) => {
                let mut one = self.empty();
                one.push(SocketAddr::new(address, port));
                one
            }
            (None, Some(lookup)) => {
                let mut all = self.empty();
                lookup(host, port)?.into_iter().take(16).for_each(|address| all.push(address));
                all
            }
            (None, None) => DefaultResolver::default().resolve(uri, config, timeout).map_err(|error| match error {
                // What the system says about a name has no kind that tells it from a lost connection.
                ureq::Error::Io(_) => ureq::Error::HostNotFound,
                other => other,
            })?,
        };
        if found.is_empty() {
            return Err(ureq::Error::HostNotFound);
        }
        // One address that may not be called spoils the name: its owner mixes them to get one through.
        for address in found.iter() {
            let refused = |why| ureq::Error::Other(Box::new(Refusal(why)));
            self.egress.check_address(address.ip(), address.port()).map_err(refused)?;
        }
        Ok(found)
    }
}

impl fmt::Debug for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Checked")
    }
}

/// The last link of the chain that makes connections: see [`HonestWire`].
#[derive(Debug)]
struct Honest;

impl<In: Wire> Connector<In> for Honest {
    type Out = HonestWire<In>;

    fn connect(&self, _: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<HonestWire<In>>, ureq::Error> {
        Ok(chained.map(HonestWire))
    }
}

/// A connection that was reset, or whose TLS was not closed, is lost. The client takes both for the end of a body that
/// has no length, so that half a list would pass for the whole.
#[derive(Debug)]
struct HonestWire<T>(T);

impl<T: Wire> Wire for HonestWire<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.0.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.0.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        self.0.await_input(timeout).map_err(|error| match error {
            ureq::Error::Io(io) if matches!(io.kind(), UnexpectedEof | ConnectionAborted | ConnectionReset) => {
                ureq::Error::Io(io::Error::new(BrokenPipe, io))
            }
            other => other,
        })
    }

    fn is_open(&mut self) -> bool {
        self.0.is_open()
    }

    fn is_tls(&self) -> bool {
        self.0.is_tls()
    }
}

/// Fails when a body comes too slowly or takes too long. Only time spent waiting for it counts.
pub(super) struct Timed<R> {
    inner: R,
    wait: Arc<dyn Wait>,
    timeouts: Timeouts,
    total: Duration,
    window: Duration,
    window_bytes: u64,
}

impl<R> Timed<R> {
    pub(super) fn new(inner: R, wait: Arc<dyn Wait>, timeouts: Timeouts) -> Timed<R> {
        let (total, window) = (Duration::ZERO, Duration::ZERO);
        Timed { inner, wait, timeouts, total, window, window_bytes: 0 }
    }
}

impl<R: Read> Read for Timed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let before = self.wait.monotonic();
        let n = self.inner.read(buffer).map_err(|error| body_fault(&error))?;
        let took = self.wait.monotonic().saturating_sub(before);
        self.total += took;
        self.window += took;
        self.window_bytes += n as u64;
        if n == 0 {
            return Ok(0);
        }
        if self.total > self.timeouts.total {
            return Err(later("the answer took too long"));
        }
        if self.window >= self.timeouts.stall {
            if (self.window_bytes as f64) < self.timeouts.min_rate as f64 * self.window.as_secs_f64() {
                return Err(later("the answer came too slowly"));
            }
            (self.window, self.window_bytes) = (Duration::ZERO, 0);
        }
        Ok(n)
    }
}

fn later(why: &str) -> io::Error {
    io::Error::other(ConnectorError::Later { wait: None, why: why.into() })
}

fn body_fault(error: &io::Error) -> io::Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>());
    match inner {
        Some(ureq::Error::Timeout(_)) => later("the answer stopped coming"),
        Some(ureq::Error::Io(io)) if io.kind() != io::ErrorKind::UnexpectedEof => later("the connection was lost"),
        Some(_) => io::Error::other(ConnectorError::Unexpected("the answer was cut short".into())),
        None => match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => later("the answer stopped coming"),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => {
                io::Error::other(ConnectorError::Unexpected("the answer was cut short".into()))
            }
            _ => later("the connection was lost"),
        },
    }
}

fn tls(config: &HttpConfig) -> Result<TlsConfig, String> {
    let roots = match &config.ca_pem {
        None => RootCerts::PlatformVerifier,
        Some(pem) => {
            let certificates =
                certificates(pem.as_bytes()).ok_or("the private CA is not a list of PEM certificates")?;
            RootCerts::new_with_certs(&certificates)
        }
    };
    let client = match &config.client_cert_pem {
        None => None,
        Some(pem) => {
            let pem = pem.reveal().as_bytes();
            let chain = certificates(pem).ok_or("the client certificate holds no PEM certificate")?;
            let key = PrivateKey::from_pem(pem).map_err(|_| "the client certificate holds no PEM private key")?;
            pair_fits(&chain, &key)?;
            Some(ClientCert::new_with_certs(&chain, key))
        }
    };
    Ok(TlsConfig::builder().root_certs(roots).client_cert(client).build())
}

fn certificates(pem: &[u8]) -> Option<Vec<Certificate<'static>>> {
    let mut found = Vec::new();
    for item in parse_pem(pem) {
        match item.ok()? {
            PemItem::Certificate(certificate) => found.push(certificate),
            PemItem::PrivateKey(_) => {}
            _ => return None,
        }
    }
    (!found.is_empty()).then_some(found)
}

/// The client would panic on a key that does not belong to its certificate.
fn pair_fits(chain: &[Certificate<'static>], key: &PrivateKey<'static>) -> Result<(), String> {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let chain = chain.iter().map(|certificate| CertificateDer::from(certificate.der().to_vec())).collect();
    let key = PrivateKeyDer::try_from(key.der().to_vec()).map_err(|_| "the client's private key cannot be read")?;
    let provider = rustls::crypto::ring::default_provider();
    rustls::sign::CertifiedKey::from_der(chain, key, &provider)
        .map(drop)
        .map_err(|error| format!("the client certificate and its key do not fit: {error}"))
}
