//! A notice as a mail. The connection is ours to make, so that it goes to an address that was judged; the words on it are
//! lettre's.

use super::{Outdoors, PATIENCE, later};
use engine::notice::{Channel, Letter};
use kit::ConnectorError;
use lettre::address::Envelope;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{Certificate, CertificateStore, SmtpConnection, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use std::time::{Duration, SystemTime};

pub(super) fn tell(channel: &Channel, letter: &Letter, outdoors: &Outdoors<'_>) -> Result<(), ConnectorError> {
    let (envelope, text) = message(channel, letter, outdoors)?;
    let host = channel.text("server").unwrap_or_default();
    let security = channel.text("security").unwrap_or("starttls");
    let port = channel.port("port").unwrap_or(match security {
        "tls" => 465,
        "none" => 25,
        _ => 587,
    });
    let hello = ClientId::default();
    let tls = match security {
        "none" => None,
        _ => Some(tls(host, outdoors.ca_pem.as_deref())?),
    };
    let mut failed = later("the server has no address");
    for address in outdoors.addresses(host, port, tls.is_some())? {
        let wrapped = tls.as_ref().filter(|_| security == "tls");
        let mut connection = match SmtpConnection::connect(address, Some(PATIENCE), &hello, wrapped, None) {
            Ok(connection) => connection,
            Err(error) => {
                failed = said(&error);
                continue;
            }
        };
        let done =
            send(&mut connection, channel, tls.as_ref().filter(|_| security == "starttls"), &hello, &envelope, &text);
        match &done {
            Ok(()) => {
                // It has been taken; how we part does not matter.
                let _ = connection.quit();
            }
            Err(_) => connection.abort(),
        }
        return done;
    }
    Err(failed)
}

fn send(
    connection: &mut SmtpConnection,
    channel: &Channel,
    starttls: Option<&TlsParameters>,
    hello: &ClientId,
    envelope: &Envelope,
    text: &[u8],
) -> Result<(), ConnectorError> {
    if let Some(tls) = starttls {
        if !connection.can_starttls() {
            return Err(ConnectorError::Denied(
                "the server offers no STARTTLS, and nothing is said to it without: use tls, or another port".into(),
            ));
        }
        connection.starttls(tls, hello).map_err(|error| said(&error))?;
    }
    if let (Some(user), Some(password)) = (channel.text("user"), channel.secrets.get("password")) {
        let credentials = Credentials::new(user.to_owned(), password.reveal().to_owned());
        connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).map_err(|error| said(&error))?;
    }
    connection.send(envelope, text).map(drop).map_err(|error| said(&error))
}

/// What an error means for trying again. A permanent answer is for a person to mend.
fn said(error: &lettre::transport::smtp::Error) -> ConnectorError {
    let mut words = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        words = format!("{words}: {error}");
        source = error.source();
    }
    match error.is_permanent() {
        true => ConnectorError::Denied(format!("the mail server says {words}")),
        false => later(format!("the mail server: {words}")),
    }
}

fn tls(host: &str, ca_pem: Option<&str>) -> Result<TlsParameters, ConnectorError> {
    let wrong =
        |error: lettre::transport::smtp::Error| ConnectorError::Denied(format!("no secure connection: {error}"));
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(pem) = ca_pem {
        builder = builder.certificate_store(CertificateStore::None);
        builder = builder.add_root_certificate(Certificate::from_pem(pem.as_bytes()).map_err(wrong)?);
    }
    builder.build_rustls().map_err(wrong)
}

/// The mail, with a message id by which a repetition is known.
fn message(channel: &Channel, letter: &Letter, outdoors: &Outdoors<'_>) -> Result<(Envelope, Vec<u8>), ConnectorError> {
    let wrong = |what: &str, why: String| ConnectorError::Denied(format!("settings.{what}: {why}"));
    let mailbox = |what: &str, text: &str| -> Result<Mailbox, ConnectorError> {
        text.parse().map_err(|error| wrong(what, format!("{error}")))
    };
    let from = channel.text("from").unwrap_or_default();
    let domain = from.rsplit_once('@').map_or("iocast", |(_, domain)| domain).trim_end_matches('>');
    let at = u64::try_from(outdoors.now.secs()).unwrap_or_default();
    let mut builder = Message::builder()
        .from(mailbox("from", from)?)
        .subject(letter.headline())
        .date(SystemTime::UNIX_EPOCH + Duration::from_secs(at))
        .message_id(Some(format!("<{}-{at}@{domain}>", letter.message_id())))
        .header(ContentType::TEXT_PLAIN)
        .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()));
    if letter.id != 0 {
        builder = builder.message_id(Some(format!("<{}@{domain}>", letter.message_id())));
    }
    for to in channel.list("to") {
        builder = builder.to(mailbox("to", to)?);
    }
    let message = builder.body(letter.body()).map_err(|error| wrong("to", error.to_string()))?;
    Ok((message.envelope().clone(), message.formatted()))
}
