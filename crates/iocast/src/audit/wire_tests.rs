//! The audit log over real sockets: what arrives at a syslog server by TCP and TLS, and after it was away.

use super::*;
use crate::notify::syslog::Relay;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;

const START: Timestamp = Timestamp::from_secs(1_800_000_000);

/// A syslog server: takes connections until it is ended, and gives what each of them brought.
struct Receiver {
    address: SocketAddr,
    got: mpsc::Receiver<Vec<u8>>,
    end: Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl Receiver {
    fn listen(at: SocketAddr, tls: Option<Arc<rustls::ServerConfig>>) -> Receiver {
        let listener = TcpListener::bind(at).unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, got) = channel();
        let (end, ended) = channel();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.try_recv().is_ok() {
                    return;
                }
                let mut stream: Box<dyn Read> = match &tls {
                    None => Box::new(stream.unwrap()),
                    Some(config) => {
                        let connection = rustls::ServerConnection::new(config.clone()).unwrap();
                        Box::new(rustls::StreamOwned::new(connection, stream.unwrap()))
                    }
                };
                let mut bytes = Vec::new();
                // One that breaks off has brought what it has brought.
                let _ = stream.read_to_end(&mut bytes);
                tell.send(bytes).unwrap();
            }
        });
        Receiver { address, got, end, thread }
    }

    fn end(self) {
        self.end.send(()).unwrap();
        drop(TcpStream::connect(self.address));
        self.thread.join().unwrap();
    }
}

/// The messages of a connection by RFC 6587 §3.4.1 and RFC 5425 §4.3: the length in octets, a space, the message.
fn frames(mut bytes: &[u8]) -> Vec<String> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let space = bytes.iter().position(|byte| *byte == b' ').unwrap();
        let length = std::str::from_utf8(&bytes[..space]).unwrap();
        assert!(!length.starts_with('0'), "{length}");
        let end = space + 1 + length.parse::<usize>().unwrap();
        all.push(String::from_utf8(bytes[space + 1..end].to_vec()).unwrap());
        bytes = &bytes[end..];
    }
    all
}

/// What a message says by RFC 5424 §6: header of seven parts, then structured data. Gives the place of its entry.
fn entry(message: &str) -> u64 {
    let parts: Vec<&str> = message.splitn(7, ' ').collect();
    let [priority, at, host, app, process, id, data] = parts[..] else { panic!("{message}") };
    assert_eq!((priority, host, app, process), ("<110>1", "-", "iocast", "-"), "{message}");
    assert!(Timestamp::parse(at).is_some() && !id.is_empty() && id.len() <= 32, "{message}");
    assert!(data.starts_with("[audit@32473 seq=\"") && data.ends_with("\"]"), "{message}");
    data["[audit@32473 seq=\"".len()..].split('"').next().unwrap().parse().unwrap()
}

fn seqs(connections: &[Vec<u8>]) -> Vec<u64> {
    connections.iter().flat_map(|bytes| frames(bytes)).map(|message| entry(&message)).collect()
}

/// Sends, goes away, comes back at the same place, and has everything.
fn story(transport: &str, tls: Option<Arc<rustls::ServerConfig>>, ca_pem: Option<&str>) {
    let store = Store::in_memory().unwrap();
    let write = |n: u64| {
        for n in 0..n {
            // Octets are counted, not letters.
            store.audit("\u{e5}sa", "rule.update", &format!("r\u{e8}gle \u{1F600} {n}"), "{}", START).unwrap();
        }
    };
    let receiver = Receiver::listen(([127, 0, 0, 1], 0).into(), tls.clone());
    let address = receiver.address;
    let relay = Relay {
        transport: transport.into(),
        host: "localhost".into(),
        port: address.port(),
        ca_pem: ca_pem.map(str::to_owned),
    };
    let mut outlet = Outlet { sink: SinkAt::Syslog(relay).open(), rest: 0, failures: 0 };
    write(1_200);
    while outlet.catch_up(&store, START).unwrap() {}
    let first: Vec<Vec<u8>> = (0..3).map(|_| receiver.got.recv().unwrap()).collect();
    assert_eq!(seqs(&first), (1..=1_200).collect::<Vec<u64>>(), "{transport}: in batches of {BATCH}");
    receiver.end();
    // Away: nothing is lost, and it is said.
    write(700);
    assert!(!outlet.catch_up(&store, START).unwrap());
    let state = store.audit_sinks().unwrap().pop().unwrap();
    assert!(state.seq == 1_200 && state.error.is_some(), "{transport}: {state:?}");
    // Back at the same place.
    let receiver = Receiver::listen(address, tls);
    while outlet.catch_up(&store, START).unwrap() {}
    let second: Vec<Vec<u8>> = (0..2).map(|_| receiver.got.recv().unwrap()).collect();
    assert_eq!(seqs(&second), (1_201..=1_900).collect::<Vec<u64>>(), "{transport}");
    let state = store.audit_sinks().unwrap().pop().unwrap();
    assert!(state.seq == 1_900 && state.error.is_none(), "{transport}: {state:?}");
    receiver.end();
}

/// S37: 1,900 entries reach a syslog server over TCP, framed by counted octets, each once and in order, 700 of them after
/// it had been away.
#[test]
fn s37_the_log_reaches_a_syslog_server_over_tcp_and_catches_up() {
    story("tcp", None, None);
}

/// S37, S34: the same over TLS with a private authority; a server that somebody else vouches for gets nothing.
#[test]
fn s37_the_log_reaches_a_syslog_server_over_tls_and_nobody_else() {
    let made = || {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["localhost".into()]).unwrap().self_signed(&key).unwrap();
        let chain = vec![CertificateDer::from(certificate.der().to_vec())];
        let secret = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, secret)
            .unwrap();
        (Arc::new(config), certificate.pem())
    };
    let ((ours, pem), (theirs, _)) = (made(), made());
    story("tls", Some(ours), Some(&pem));
    let store = Store::in_memory().unwrap();
    store.audit("ann", "rule.update", "r", "{}", START).unwrap();
    let receiver = Receiver::listen(([127, 0, 0, 1], 0).into(), Some(theirs));
    let port = receiver.address.port();
    let relay = Relay { transport: "tls".into(), host: "localhost".into(), port, ca_pem: Some(pem) };
    let mut outlet = Outlet { sink: SinkAt::Syslog(relay).open(), rest: 0, failures: 0 };
    assert!(!outlet.catch_up(&store, START).unwrap());
    let state = store.audit_sinks().unwrap().pop().unwrap();
    assert!(state.seq == 0 && state.error.is_some_and(|why| why.contains("certificate")));
    assert!(receiver.got.recv().unwrap().is_empty());
    receiver.end();
}
