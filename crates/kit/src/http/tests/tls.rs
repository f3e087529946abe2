//! Servers whose TLS is wrong in every way we know, with real handshakes; certificates from `tls.pem` (made by
//! `tls.py`, valid until 2120 unless they are meant not to be).

use super::*;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, Stream};

const PEM: &str = include_str!("tls.pem");
const BODY: &str = "192.0.2.1\n";
const HOST: &str = "feeds.example";

/// The part of the file under this title.
fn pem(title: &str) -> String {
    let part = PEM.split("# ").find_map(|part| part.strip_prefix(&format!("{title}\n")));
    part.unwrap_or_else(|| panic!("no {title} in tls.pem")).to_owned()
}

fn certificate(title: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem(title).as_bytes()).unwrap()
}

/// How a server answers a greeting.
#[derive(Clone)]
enum Greeting {
    /// With a handshake: this chain, and perhaps asking for a certificate of ours.
    Tls { chain: Vec<&'static str>, asks: bool },
    /// With a good handshake, a body without a length, and then the end of the connection and not of the body.
    Torn,
    /// With these bytes, then the end.
    Bytes(&'static [u8]),
    /// With nothing, until the client goes.
    Silence,
}

fn shows(chain: &[&'static str]) -> Greeting {
    Greeting::Tls { chain: chain.to_vec(), asks: false }
}

/// What a server saw.
#[derive(Default)]
struct Saw {
    /// Connections, and of these such as did not begin with a TLS record.
    connections: usize,
    plain: usize,
    /// Requests that came through.
    requests: Vec<String>,
}

/// Starts a server; it ends with the process.
fn serve(greeting: Greeting) -> (SocketAddr, Arc<Mutex<Saw>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let saw = Arc::new(Mutex::new(Saw::default()));
    let seen = Arc::clone(&saw);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut first = [0];
            let begins = stream.peek(&mut first).unwrap_or(0);
            {
                let mut seen = seen.lock().unwrap();
                seen.connections += 1;
                seen.plain += usize::from(begins > 0 && first[0] != 0x16);
            }
            // Whoever hangs up on such a server is right.
            let _ = match &greeting {
                Greeting::Tls { chain, asks } => handshake(&mut stream, chain, *asks, &seen),
                Greeting::Torn => torn(&mut stream, &seen),
                Greeting::Bytes(bytes) => {
                    let _ = stream.read(&mut [0; 4096]);
                    stream.write_all(bytes)
                }
                Greeting::Silence => stream.read_to_end(&mut Vec::new()).map(drop),
            };
        }
    });
    (address, saw)
}

fn accept<'s>(
    tls: &'s mut Option<ServerConnection>,
    stream: &'s mut TcpStream,
    chain: &[&str],
    asks: bool,
) -> io::Result<Stream<'s, ServerConnection, TcpStream>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.map_err(io::Error::other)?;
    let builder = match asks {
        false => builder.with_no_client_auth(),
        true => {
            let mut roots = RootCertStore::empty();
            roots.add(certificate("authority")).map_err(io::Error::other)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(io::Error::other)?)
        }
    };
    let key = PrivateKeyDer::from_pem_slice(pem("key").as_bytes()).map_err(io::Error::other)?;
    let chain = chain.iter().map(|title| certificate(title)).collect();
    let config = builder.with_single_cert(chain, key).map_err(io::Error::other)?;
    let tls = tls.insert(ServerConnection::new(Arc::new(config)).map_err(io::Error::other)?);
    Ok(Stream::new(tls, stream))
}

/// Reads a request over TLS, if one comes.
fn request(stream: &mut Stream<'_, ServerConnection, TcpStream>, seen: &Mutex<Saw>) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => request.extend_from_slice(&chunk[..n]),
        }
    }
    seen.lock().unwrap().requests.push(String::from_utf8_lossy(&request).into_owned());
    Ok(())
}

fn handshake(stream: &mut TcpStream, chain: &[&str], asks: bool, seen: &Mutex<Saw>) -> io::Result<()> {
    let mut tls = None;
    let mut stream = accept(&mut tls, stream, chain, asks)?;
    request(&mut stream, seen)?;
    let length = BODY.len();
    write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{BODY}")?;
    stream.conn.send_close_notify();
    stream.flush()
}

fn torn(stream: &mut TcpStream, seen: &Mutex<Saw>) -> io::Result<()> {
    let mut tls = None;
    let mut stream = accept(&mut tls, stream, &["good"], false)?;
    request(&mut stream, seen)?;
    write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{BODY}")?;
    stream.flush()
}

/// Shown: over TLS, a body without a length that was cut is an error too: an end that the other side did not say is none.
/// How: a server that sends a body without a length and closes the connection without closing TLS. Figures: 1 body
/// given up, 0 taken for whole.
#[test]
fn f21_a_torn_connection_is_no_end_of_a_body() {
    let (address, saw) = serve(Greeting::Torn);
    let result =
        get(&client(HttpConfig { retries: 0, ..trusting(1) }).0, &format!("https://{HOST}:{}/list", address.port()));
    assert!(result.is_err(), "{result:?}");
    assert_eq!(saw.lock().unwrap().requests.len(), 1);
}

/// A client to which every name is this machine.
fn client(more: HttpConfig) -> (Http, Arc<Clock>) {
    let lookup: Lookup = Arc::new(|host, port| match host {
        HOST => Ok(vec![SocketAddr::new([127, 0, 0, 1].into(), port)]),
        _ => Err(io::ErrorKind::NotFound.into()),
    });
    let clock = Arc::new(Clock::default());
    let live = Live::new(&more, Arc::clone(&clock) as Arc<dyn Wait>, Some(lookup)).unwrap();
    (Http::over(Box::new(live), more, Arc::clone(&clock) as Arc<dyn Wait>), clock)
}

fn trusting(jitter_seed: u64) -> HttpConfig {
    // Calls without encryption would be allowed: even then nobody falls back to them.
    HttpConfig { ca_pem: Some(pem("authority")), retries: 2, jitter_seed, ..config() }
}

/// Shown: 15 endpoints whose name, port or TLS is wrong give no body, see no credential and are never called without
/// encryption. How: a rustls server in this test, real handshakes (expired, not yet valid, wrong host, self-signed,
/// unknown authority, forged signature, signed by a leaf, TLS 1.0 only, plain HTTP, noise, closed, silent, a certificate
/// asked for that we lack), a name that is not known, a port nobody listens on; http allowed by the settings throughout.
/// Figures: 15 endpoints x 3 tries: bodies 0, requests 0, first bytes other than TLS 0; both waits between tries lie
/// between half and all of 0.5 s and 1 s, and differ between two seeds. The good one works with the private authority
/// and not without it; a client certificate is shown where it is asked for.
#[test]
fn f18_a_connection_that_is_not_secure_gives_nothing() {
    let asks = Greeting::Tls { chain: vec!["good"], asks: true };
    let bad = [
        ("expired", shows(&["expired"])),
        ("not yet valid", shows(&["early"])),
        ("another host's", shows(&["other-host"])),
        ("self-signed", shows(&["self-signed"])),
        ("of an unknown authority", shows(&["stranger"])),
        ("forged", shows(&["forged"])),
        ("signed by a leaf", shows(&["by-a-leaf", "good"])),
        // A handshake of version 3.1 answered with the alert `protocol_version`, and one that insists on it.
        ("TLS 1.0: alert", Greeting::Bytes(b"\x15\x03\x01\x00\x02\x02\x46")),
        ("TLS 1.0: hello", Greeting::Bytes(TLS_1_0_HELLO)),
        ("plain HTTP", Greeting::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n192.0.2.1\n")),
        ("noise", Greeting::Bytes(b"\x00\xff\x13\x37 what?")),
        ("closed at once", Greeting::Bytes(b"")),
        ("silent", Greeting::Silence),
    ];
    let token = Secret::new("canary");
    let judge = |what: &str, url: &str, seed: u64, saw: Option<&Mutex<Saw>>| {
        let short = Duration::from_millis(if what == "silent" { 60 } else { 10_000 });
        let timeouts = Timeouts { connect: short, ..Timeouts::default() };
        let (http, clock) = client(HttpConfig { timeouts, ..trusting(seed) });
        let result = http.get(url).bearer(&token).send().and_then(Response::text);
        let (wait, why) = later(result);
        assert!(wait.is_none() && !why.contains("canary") && !why.contains("127."), "{what}: {why}");
        assert_eq!(http.calls(), 3, "{what}: {why}");
        if let Some(saw) = saw {
            let saw = saw.lock().unwrap();
            assert_eq!((saw.connections % 3, saw.plain, saw.requests.len()), (0, 0, 0), "{what}");
        }
        let slept = clock.slept.lock().unwrap().clone();
        for (n, slept) in slept.iter().enumerate() {
            let most = Duration::from_millis(500 << n);
            assert!(*slept >= most / 2 && *slept <= most, "{what}: {slept:?}");
        }
        assert_eq!(slept.len(), 2, "{what}");
        (slept, why)
    };
    for (what, greeting) in bad {
        let (address, saw) = serve(greeting);
        let url = format!("https://{HOST}:{}/list", address.port());
        let (first, why) = judge(what, &url, 1, Some(&saw));
        let (second, _) = judge(what, &url, 2, Some(&saw));
        assert_ne!(first, second, "{what}: the waits of two exchanges are not the same");
        assert!(
            why.contains("no secure connection") || why.contains("no connection in time") || what == "closed at once",
            "{what}: {why}"
        );
    }
    judge("unknown name", "https://unknown.example/list", 1, None);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    judge("refused", &format!("https://{HOST}:{}/list", closed.port()), 1, None);

    let (address, saw) = serve(shows(&["good"]));
    let url = format!("https://{HOST}:{}/list", address.port());
    let (http, _) = client(HttpConfig { ca_pem: None, ..trusting(1) });
    let (_, why) = later(get(&http, &url));
    assert!(why.contains("no secure connection"), "the system does not know our authority: {why}");
    assert_eq!(get(&client(trusting(1)).0, &url).unwrap(), BODY, "a private authority");
    assert_eq!(saw.lock().unwrap().requests.len(), 1);

    let (address, saw) = serve(asks);
    let url = format!("https://{HOST}:{}/list", address.port());
    assert!(get(&client(trusting(1)).0, &url).is_err(), "a certificate is asked for");
    assert!(saw.lock().unwrap().requests.is_empty());
    let own = Some(Secret::new(format!("{}{}", pem("good"), pem("key"))));
    assert_eq!(get(&client(HttpConfig { client_cert_pem: own, ..trusting(1) }).0, &url).unwrap(), BODY);
}

/// A ServerHello that chooses TLS 1.0 and one of its suites.
const TLS_1_0_HELLO: &[u8] = b"\x16\x03\x01\x00\x2a\x02\x00\x00\x26\x03\x01\
    0123456789abcdef0123456789abcdef\x00\x00\x2f\x00";
