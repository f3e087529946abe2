//! Telling people, outside: a signed message, a mail, a line in a log. What is told, to whom and when is the engine's.
//!
//! Addresses are judged as those of connections are, by [`Egress`]: a name is looked up once and the connection is made to
//! an address that was judged. What is not encrypted stays inside networks that were allowed by name. Every call ends
//! in time, and no word that leaves here holds a secret of the channel.

mod mail;
pub(crate) mod syslog;
mod webhook;

use engine::notice::{Channel, ChannelKind, Letter};
use intel::Timestamp;
use kit::ConnectorError;
use kit::http::{Egress, Http};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

/// How long a connection may take, and each word on it.
const PATIENCE: Duration = Duration::from_secs(15);

/// What channels are given of the outside.
pub(crate) struct Outdoors<'a> {
    /// What the operator allows: networks of the channel, and calls without encryption.
    pub(crate) egress: Egress,
    /// A private authority, as PEM.
    pub(crate) ca_pem: Option<String>,
    /// What time it is.
    pub(crate) now: Timestamp,
    /// Makes the HTTP client of the channel.
    pub(crate) http: &'a dyn Fn() -> Result<Http, ConnectorError>,
}

/// Tells a letter through a channel.
///
/// # Errors
/// [`ConnectorError::Denied`] where a person must act, [`ConnectorError::Later`] where it is tried again.
pub(crate) fn tell(channel: &Channel, letter: &Letter, outdoors: &Outdoors<'_>) -> Result<(), ConnectorError> {
    match channel.kind {
        ChannelKind::Webhook => webhook::tell(channel, letter, outdoors),
        ChannelKind::Mail => mail::tell(channel, letter, outdoors),
        ChannelKind::Syslog => syslog::tell(channel, letter, outdoors),
    }
}

fn later(why: impl Into<String>) -> ConnectorError {
    ConnectorError::Later { wait: None, why: why.into() }
}

impl Outdoors<'_> {
    /// The addresses of a host that may be called on this port, in the order they were looked up.
    fn addresses(&self, host: &str, port: u16, encrypted: bool) -> Result<Vec<SocketAddr>, ConnectorError> {
        let named = match host.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => {
                // The same checks of the name as every other call has.
                let url = match host.contains(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '-' | '_')) {
                    true => Err("the server is no name of a host".to_owned()),
                    false => self.egress.check_url(&format!("https://{host}/")).map(drop),
                };
                url.map_err(ConnectorError::Denied)?;
                let found = (host, port).to_socket_addrs().map_err(|_| later("the name of the server is not known"))?;
                found.collect()
            }
        };
        let mut why = None;
        let judged = Egress { ports: vec![port], ..self.egress.clone() };
        let allowed: Vec<SocketAddr> = named
            .into_iter()
            .filter(|address| match judged.check_address(address.ip(), port) {
                Ok(()) => true,
                Err(problem) => {
                    why.get_or_insert(problem);
                    false
                }
            })
            .collect();
        if allowed.is_empty() {
            return Err(ConnectorError::Denied(why.unwrap_or_else(|| "the server has no address".to_owned())));
        }
        let inside = |address: &SocketAddr| self.egress.allow_private.iter().any(|net| net.contains(&address.ip()));
        if !encrypted && !self.egress.allow_http && !allowed.iter().all(inside) {
            return Err(ConnectorError::Denied(
                "what is not encrypted stays inside networks that are allowed by name: use tls, or allow_private"
                    .into(),
            ));
        }
        Ok(allowed)
    }
}
