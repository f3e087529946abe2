//! A notice as one message of [RFC 5424](https://www.rfc-editor.org/rfc/rfc5424): over UDP (RFC 5426), TCP with counted
//! octets (RFC 6587), TLS (RFC 5425), or to this machine's own socket.
//!
//! Syslog never answers: that a message was handed over is all there is to know.

use super::{Outdoors, PATIENCE, later};
use engine::notice::{Channel, Letter, Severity};
use intel::Timestamp;
use kit::ConnectorError;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_platform_verifier::BuilderVerifierExt as _;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;

/// Names and numbers of facilities (RFC 5424, table 1).
const FACILITIES: [(&str, u8); 11] = [
    ("user", 1),
    ("daemon", 3),
    ("auth", 4),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

pub(super) fn tell(channel: &Channel, letter: &Letter, outdoors: &Outdoors<'_>) -> Result<(), ConnectorError> {
    let message = message(channel.text("facility").unwrap_or("daemon"), letter, outdoors.now);
    let transport = channel.text("transport").unwrap_or("tls");
    if transport == "local" {
        return local(channel.text("socket").unwrap_or("/dev/log"), message.as_bytes());
    }
    let host = channel.text("server").unwrap_or_default();
    let port = channel.port("port").unwrap_or(match transport {
        "udp" => 514,
        "tcp" => 601,
        _ => 6514,
    });
    let mut failed = later("the server has no address");
    for address in outdoors.addresses(host, port, transport == "tls")? {
        let sent = match transport {
            "udp" => datagram(address, message.as_bytes()),
            "tcp" => connect(address).and_then(|mut stream| counted(&mut stream, message.as_bytes())),
            _ => {
                let config = tls(outdoors.ca_pem.as_deref())?;
                let name = ServerName::try_from(host.to_owned())
                    .map_err(|_| ConnectorError::Denied("the server is no name a certificate can have".into()))?;
                encrypted(address, config, name, message.as_bytes())
            }
        };
        match sent {
            Ok(()) => return Ok(()),
            Err(error) => failed = later(format!("the syslog server: {error}")),
        }
    }
    Err(failed)
}

/// The message, on one line. Its texts hold no control characters.
pub(super) fn message(facility: &str, letter: &Letter, now: Timestamp) -> String {
    let facility = FACILITIES.iter().find(|(name, _)| *name == facility).map_or(3, |(_, number)| *number);
    let severity = match letter.severity {
        Severity::Critical => 2,
        Severity::Warning => 4,
        Severity::Info => 6,
    };
    let id: String = letter.kind.chars().filter(char::is_ascii_graphic).take(32).collect();
    let link = letter.link.as_ref().map_or_else(String::new, |link| format!(" Look: {link}"));
    // The mark says that what follows is UTF-8.
    format!(
        "<{}>1 {now} - iocast - {} - \u{feff}{}: {} What to do: {}{link} ({}, notice {})",
        facility * 8 + severity,
        if id.is_empty() { "-" } else { &id },
        letter.subject,
        letter.text,
        letter.next_step,
        letter.exchange,
        letter.id
    )
}

/// A server that the audit log is handed on to. Named at start by who runs the exchange, so its address is not judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relay {
    /// `tls`, `tcp`, `udp`, or `unix` for a socket of this machine.
    pub transport: String,
    /// The name of the server; for `unix` the path of the socket.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// A private authority, as PEM.
    pub ca_pem: Option<String>,
}

impl std::fmt::Display for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.transport.as_str() {
            "unix" => write!(f, "unix://{}", self.host),
            transport if self.host.contains(':') => write!(f, "{transport}://[{}]:{}", self.host, self.port),
            transport => write!(f, "{transport}://{}:{}", self.host, self.port),
        }
    }
}

impl std::str::FromStr for Relay {
    type Err = String;

    fn from_str(text: &str) -> Result<Relay, String> {
        let wrong = || {
            format!(
                "\"{text}\" is no syslog server: write tls://HOST:PORT, tcp://HOST:PORT, udp://HOST:PORT or unix:///dev/log"
            )
        };
        let (transport, rest) = text.split_once("://").ok_or_else(wrong)?;
        let default = match transport {
            "tls" => 6514,
            "tcp" => 601,
            "udp" => 514,
            "unix" if rest.starts_with('/') => {
                return Ok(Relay { transport: "unix".into(), host: rest.into(), port: 0, ca_pem: None });
            }
            _ => return Err(wrong()),
        };
        let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or_else(wrong)?)),
            None => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map_or(Ok(default), |port| port.parse().map_err(|_| wrong()))?;
        if host.is_empty() || host.contains(['/', '@', ' ']) {
            return Err(wrong());
        }
        Ok(Relay { transport: transport.into(), host: host.into(), port, ca_pem: None })
    }
}

impl Relay {
    /// Hands messages over, in order, on one connection. Gives how many were, and why not all.
    pub(crate) fn tell(&self, messages: &[String]) -> (usize, Result<(), String>) {
        let mut n_told = 0;
        let done = self.tell_counting(messages, &mut n_told);
        (n_told, done.map_err(|error| error.to_string()))
    }

    fn tell_counting(&self, messages: &[String], n_told: &mut usize) -> io::Result<()> {
        use std::net::ToSocketAddrs as _;
        if self.transport == "unix" {
            return messages.iter().try_for_each(|message| {
                local(&self.host, message.as_bytes()).map_err(|error| io::Error::other(error.to_string()))?;
                *n_told += 1;
                Ok(())
            });
        }
        let nowhere = || io::Error::other(format!("{} has no address", self.host));
        let address = (self.host.as_str(), self.port).to_socket_addrs()?.next().ok_or_else(nowhere)?;
        if self.transport == "udp" {
            return messages.iter().try_for_each(|message| {
                datagram(address, message.as_bytes())?;
                *n_told += 1;
                Ok(())
            });
        }
        // What was written to a connection that then breaks may be lost: a batch counts as a whole or not at all.
        let write_all = |stream: &mut dyn Write| {
            let mut frames = Vec::new();
            for message in messages {
                frames.extend_from_slice(format!("{} {message}", message.len()).as_bytes());
            }
            stream.write_all(&frames)?;
            stream.flush()
        };
        if self.transport == "tcp" {
            write_all(&mut connect(address)?)?;
        } else {
            let config = tls(self.ca_pem.as_deref()).map_err(|error| io::Error::other(error.to_string()))?;
            let name = ServerName::try_from(self.host.clone()).map_err(io::Error::other)?;
            let connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
            let mut stream = StreamOwned::new(connection, connect(address)?);
            write_all(&mut stream)?;
            stream.conn.send_close_notify();
            stream.flush()?;
        }
        *n_told = messages.len();
        Ok(())
    }
}

/// An entry of the audit log as a message of facility "log audit" (13), severity informational (6). What it says stands
/// in structured data, escaped as RFC 5424 §6.3.3 says, and control characters are written out, so that no text can end
/// a field or a line. 32473 is the number for examples (RFC 5612), as we have none.
pub(crate) fn audit_message(entry: &store::AuditRow) -> String {
    let value = |text: &str| {
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            match c {
                '"' | '\\' | ']' => out.extend(['\\', c]),
                c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                    out.push_str(&format!("\\\\u{:04x}", u32::from(c)));
                }
                c => out.push(c),
            }
        }
        out
    };
    let action: String = entry.action.chars().filter(char::is_ascii_graphic).take(32).collect();
    let token = entry.token.map_or_else(String::new, |token| format!(" token=\"{token}\""));
    let address = entry.address.as_deref().map_or_else(String::new, |at| format!(" address=\"{}\"", value(at)));
    format!(
        "<110>1 {} - iocast - {} [audit@32473 seq=\"{}\" who=\"{}\" object=\"{}\"{address}{token} chain=\"{}\" detail=\"{}\"]",
        entry.at,
        if action.is_empty() { "-" } else { &action },
        entry.seq,
        value(&entry.who),
        value(&entry.object),
        kit::render::hex(&entry.chain),
        value(&entry.detail),
    )
}

#[cfg(unix)]
fn local(path: &str, message: &[u8]) -> Result<(), ConnectorError> {
    let sent = std::os::unix::net::UnixDatagram::unbound().and_then(|socket| {
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.send_to(message, path)
    });
    sent.map(drop).map_err(|error| later(format!("{path}: {error}")))
}

#[cfg(not(unix))]
fn local(_: &str, _: &[u8]) -> Result<(), ConnectorError> {
    Err(ConnectorError::Denied("this system has no local syslog; use tls, tcp or udp".into()))
}

fn datagram(address: SocketAddr, message: &[u8]) -> io::Result<()> {
    let from: SocketAddr = match address {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0u16; 8], 0).into(),
    };
    UdpSocket::bind(from)?.send_to(message, address).map(drop)
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// A message behind its length.
fn counted(stream: &mut impl Write, message: &[u8]) -> io::Result<()> {
    let mut frame = format!("{} ", message.len()).into_bytes();
    frame.extend_from_slice(message);
    stream.write_all(&frame)?;
    stream.flush()
}

fn encrypted(
    address: SocketAddr,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    message: &[u8],
) -> io::Result<()> {
    let connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, connect(address)?);
    counted(&mut stream, message)?;
    stream.conn.send_close_notify();
    stream.flush()
}

fn tls(ca_pem: Option<&str>) -> Result<Arc<ClientConfig>, ConnectorError> {
    let wrong = |error: rustls::Error| ConnectorError::Denied(format!("no secure connection: {error}"));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(wrong)?;
    let builder = match ca_pem {
        None => builder.with_platform_verifier().map_err(wrong)?,
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                let unread = |_| ConnectorError::Denied("the private CA is not a list of PEM certificates".into());
                roots.add(certificate.map_err(unread)?).map_err(wrong)?;
            }
            builder.with_root_certificates(roots)
        }
    };
    Ok(Arc::new(builder.with_no_client_auth()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter() -> Letter {
        Letter {
            id: 7,
            exchange: "iocast-00ff".into(),
            kind: "plan_waiting".into(),
            severity: Severity::Warning,
            subject: "target edge".into(),
            text: "A plan of edge waits for approval: it would add 3.".into(),
            next_step: "`iocast plan show 12`".into(),
            link: Some("https://iocast.example/api/v1/plans/12".into()),
            since: Timestamp::from_secs(1_800_000_000),
        }
    }

    #[test]
    fn a_message_is_what_rfc_5424_says() {
        assert_eq!(
            message("local0", &letter(), Timestamp::from_secs(1_800_000_000)),
            "<132>1 2027-01-15T08:00:00Z - iocast - plan_waiting - \u{feff}target edge: A plan of edge waits for approval: \
             it would add 3. What to do: `iocast plan show 12` Look: https://iocast.example/api/v1/plans/12 \
             (iocast-00ff, notice 7)"
        );
        let critical = Letter { severity: Severity::Critical, link: None, ..letter() };
        assert!(
            message("daemon", &critical, Timestamp::from_secs(0)).starts_with("<26>1 1970-01-01T00:00:00Z - iocast - ")
        );
    }

    #[test]
    fn a_frame_begins_with_its_length() {
        let mut out = Vec::new();
        counted(&mut out, "ab\u{fc}".as_bytes()).unwrap();
        assert_eq!(out, "4 ab\u{fc}".as_bytes());
    }
}
