//! The HTTP room against a server of its own on the loopback, and against scripted answers.

use super::live::{Live, Lookup};
use super::*;
use intel::Timestamp;
use serde_json::json;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::AtomicUsize;
use std::thread::JoinHandle;

mod rhythm;
mod spellings;
mod tls;

/// A clock that moves by `step` whenever it is asked, and remembers what it was told to wait.
#[derive(Default)]
struct Clock {
    step: Duration,
    asked: AtomicU64,
    slept: Mutex<Vec<Duration>>,
}

impl Wait for Clock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(784_111_777)
    }

    fn monotonic(&self) -> Duration {
        self.step * self.asked.fetch_add(1, Ordering::Relaxed) as u32
    }

    fn sleep(&self, duration: Duration) {
        self.slept.lock().unwrap().push(duration);
    }
}

enum Reply {
    /// These bytes, then the end.
    Bytes(Vec<u8>),
    /// These bytes, then nothing until the client goes.
    Hang(Vec<u8>),
    /// These bytes, and then zeros until the client goes.
    Endless(Vec<u8>),
}

fn ok(body: &str) -> Reply {
    Reply::Bytes(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).into())
}

fn raw(head: &str, body: &[u8]) -> Reply {
    Reply::Bytes([head.replace('\n', "\r\n").as_bytes(), b"\r\n\r\n", body].concat())
}

struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
    replies: usize,
}

impl Server {
    /// Gives one reply a connection, in order, then stops listening.
    fn new(replies: Vec<Reply>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let count = replies.len();
        let thread = std::thread::spawn(move || {
            for reply in replies {
                let Ok((mut stream, _)) = listener.accept() else { return };
                let request = read_request(&mut stream);
                if request.is_empty() {
                    return;
                }
                seen.lock().unwrap().push(request);
                // The client may leave at any time.
                let _ = match reply {
                    Reply::Bytes(bytes) => stream.write_all(&bytes),
                    Reply::Hang(bytes) => stream.write_all(&bytes).and_then(|()| stream.read(&mut [0]).map(drop)),
                    Reply::Endless(bytes) => stream.write_all(&bytes).and_then(|()| {
                        loop {
                            stream.write_all(&[0; 4096])?;
                        }
                    }),
                };
            }
        });
        Server { address, requests, thread: Some(thread), replies: count }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Wakes it where it still waits for calls that were not made.
        for _ in 0..self.replies {
            if let Ok(stream) = TcpStream::connect(self.address) {
                drop(stream);
            }
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn read_request(stream: &mut TcpStream) -> String {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let n = stream.read(&mut chunk).unwrap_or(0);
        bytes.extend_from_slice(&chunk[..n]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let length = text
            .to_ascii_lowercase()
            .split_once("content-length: ")
            .map_or(0, |(_, rest)| rest.split("\r\n").next().and_then(|length| length.parse().ok()).unwrap_or(0));
        // Who greets us with TLS waits for an answer too.
        if n == 0 || bytes[0] == 0x16 || text.split_once("\r\n\r\n").is_some_and(|(_, body)| body.len() >= length) {
            return text;
        }
    }
}

fn config() -> HttpConfig {
    let egress = Egress { allow_private: vec!["127.0.0.0/8".parse().unwrap()], allow_http: true, ports: Vec::new() };
    HttpConfig { egress, retries: 0, ..HttpConfig::default() }
}

fn http(config: HttpConfig) -> Http {
    Http::live(config, Arc::new(Clock::default())).unwrap()
}

fn with_lookup(config: HttpConfig, lookup: Lookup) -> Http {
    let wait: Arc<dyn Wait> = Arc::new(Clock::default());
    let live = Live::new(&config, Arc::clone(&wait), Some(lookup)).unwrap();
    Http::over(Box::new(live), config, wait)
}

fn get(http: &Http, url: &str) -> Result<String, ConnectorError> {
    http.get(url).send()?.text()
}

fn unexpected(result: Result<String, ConnectorError>) -> String {
    match result {
        Err(ConnectorError::Unexpected(why)) => why,
        other => panic!("expected Unexpected, got {other:?}"),
    }
}

fn later(result: Result<String, ConnectorError>) -> (Option<Duration>, String) {
    match result {
        Err(ConnectorError::Later { wait, why } | ConnectorError::Busy { wait, why }) => (wait, why),
        other => panic!("expected Later, got {other:?}"),
    }
}

fn denied(result: Result<String, ConnectorError>) -> String {
    match result {
        Err(ConnectorError::Denied(why)) => why,
        other => panic!("expected Denied, got {other:?}"),
    }
}

#[test]
fn a_call_says_what_it_should() {
    let server = Server::new(vec![ok("hello"), ok("{\"a\":1}"), ok(""), ok("")]);
    let http = http(config());
    let token = Secret::new("canary");
    let url = server.url("/list?x=1");
    let answer = http.get(&url).bearer(&token).query("q", "a b&{{q}}").if_none_match("\"7\"").send().unwrap();
    assert_eq!((answer.status, answer.text().unwrap().as_str()), (200, "hello"));
    let value: serde_json::Value = http.post_json(&url, &json!({"v": [1]})).send().unwrap().json().unwrap();
    assert_eq!(value["a"], 1);
    http.post_form(&url, &[("id", "a&b")]).form_secret("key", &Secret::new("s=1")).send().unwrap();
    http.get(&server.url("/{{key}}/x")).fill("key", &Secret::new("a/b")).basic("user", &token).send().unwrap();
    let requests = server.requests();
    let first = requests[0].to_ascii_lowercase();
    for part in [
        "get /list?x=1&q=a+b%26%7b%7bq%7d%7d http/1.1\r\n",
        "authorization: bearer canary\r\n",
        "if-none-match: \"7\"\r\n",
        "accept-encoding: gzip\r\n",
        "user-agent: iocast/",
    ] {
        assert!(first.contains(part), "{part:?} in {first}");
    }
    assert!(requests[1].ends_with("\r\n\r\n{\"v\":[1]}") && requests[1].contains("application/json"));
    assert!(requests[2].ends_with("\r\n\r\nid=a%26b&key=s%3D1"));
    assert!(requests[3].starts_with("GET /a%2Fb/x HTTP/1.1\r\n") && requests[3].contains("Basic dXNlcjpjYW5hcnk="));
    assert_eq!(http.calls(), 4);
}

#[test]
fn a_packed_answer_is_unpacked_inside_the_limits() {
    let pack = |data: &[u8]| {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        out.write_all(data).unwrap();
        out.finish().unwrap()
    };
    let head = |encoding: &str| format!("HTTP/1.1 200 OK\nContent-Encoding: {encoding}\nConnection: close");
    let (text, bomb) = (pack(b"hello"), pack(&vec![0; 4 << 20]));
    let server = Server::new(vec![
        raw(&head("gzip"), &text),
        raw(&head("gzip"), &bomb),
        raw(&head("gzip, gzip"), &pack(&text)),
        raw(&head("br"), &text),
        raw(&head("gzip"), &text[..text.len() - 3]),
        raw(&head("gzip"), b"<html>this is not packed at all</html>"),
    ]);
    let http = http(config());
    let url = server.url("/");
    assert_eq!(get(&http, &url).unwrap(), "hello");
    assert!(unexpected(get(&http, &url)).contains("100 times"));
    for _ in 0..2 {
        assert!(unexpected(get(&http, &url)).contains("did not ask for"));
    }
    assert!(unexpected(get(&http, &url)).contains("cut short"));
    assert!(unexpected(get(&http, &url)).contains("the gzip data is broken"));
}

#[test]
fn what_may_be_repeated_is() {
    let clock = Arc::new(Clock::default());
    let fail = || raw("HTTP/1.1 500 Oops\nContent-Length: 0\nConnection: close", b"");
    let cut = || Reply::Bytes(b"HTTP/1.1 200".to_vec());
    let server = Server::new(vec![fail(), cut(), fail(), ok("there")]);
    let http = Http::live(HttpConfig { retries: 3, jitter_seed: 7, ..config() }, clock.clone()).unwrap();
    assert_eq!(get(&http, &server.url("/")).unwrap(), "there");
    let slept = std::mem::take(&mut *clock.slept.lock().unwrap());
    assert_eq!(slept.len(), 3);
    for (n, slept) in slept.iter().enumerate() {
        let most = Duration::from_millis(500 << n);
        assert!(*slept >= most / 2 && *slept <= most, "{slept:?}");
    }
    let server = Server::new((0..4).map(|_| fail()).collect());
    let (wait, why) = later(get(&http, &server.url("/")));
    assert!(wait.is_none() && why.contains("answered 500"), "{why}");
    assert_eq!(server.requests().len(), 4);

    clock.slept.lock().unwrap().clear();
    let server = Server::new(vec![fail(), cut(), fail(), ok("")]);
    let post = || http.post_json(&server.url("/"), &json!({}));
    later(post().send().map(|_| String::new()));
    later(post().send().map(|_| String::new()));
    assert!(clock.slept.lock().unwrap().is_empty(), "a POST that may have been received is not repeated");
    post().idempotent().send().unwrap();
    assert_eq!(clock.slept.lock().unwrap().len(), 1);

    // Nobody listens: nothing was sent, so even a POST is repeated.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    clock.slept.lock().unwrap().clear();
    later(http.post_json(&format!("http://{closed}/"), &json!({})).send().map(|_| String::new()));
    assert_eq!(clock.slept.lock().unwrap().len(), 3);
}

#[test]
fn statuses_become_what_to_do_next() {
    let answer = |status: u16, after: Option<&'static str>| {
        let clock = Arc::new(Clock::default());
        let http = Http::answering(config(), clock, move |_| {
            let answer = Answer::new(status, "why");
            match after {
                Some(after) => answer.header_pair("Retry-After", after),
                None => answer,
            }
        });
        http.get("https://a.example/x").if_none_match("\"1\"").send().map(|answer| answer.status)
    };
    let secs = |n| Some(Duration::from_secs(n));
    for (status, after, wait) in [
        (429, Some("7"), secs(7)),
        (503, Some("7"), secs(7)),
        (429, None, None),
        (503, None, None),
        (429, Some("999999999"), secs(86_400)),
        (429, Some("-3"), None),
        (429, Some("junk"), None),
        (429, Some("Sun, 06 Nov 1994 08:50:37 GMT"), secs(60)),
        (500, Some("7"), None),
        (502, None, None),
    ] {
        match answer(status, after) {
            Err(ConnectorError::Busy { wait: got, why }) => {
                assert_eq!(got, wait, "{status} {after:?}");
                assert_eq!(why, format!("GET https://a.example/x: answered {status}: why"));
            }
            other => panic!("{status}: {other:?}"),
        }
    }
    for status in [401, 403] {
        assert!(matches!(answer(status, None), Err(ConnectorError::Denied(_))), "{status}");
    }
    for status in [100, 300, 305, 400, 404, 410, 418, 451, 499, 600, 999] {
        assert!(matches!(answer(status, None), Err(ConnectorError::Unexpected(_))), "{status}");
    }
    for status in [200, 201, 204, 206, 304] {
        assert_eq!(answer(status, None), Ok(status));
    }
    let gone = Http::answering(config(), Arc::new(NoWait), |_| Answer::new(404, ""));
    assert_eq!(gone.delete("https://a.example/x").also(&[404]).send().unwrap().status, 404);
    // A 304 that nobody asked for holds nothing.
    let odd = Http::answering(config(), Arc::new(NoWait), |_| Answer::new(304, ""));
    assert!(odd.get("https://a.example/").send().is_err());
}

#[test]
fn secrets_are_in_no_error() {
    let canary = "c4n/ry+secret=1";
    let known = vec![("password".to_owned(), Secret::new(canary))];
    let token = Secret::new(canary);
    for status in [400, 401, 403, 404, 429, 500, 503] {
        let http = Http::answering(HttpConfig { secrets: known.clone(), ..config() }, Arc::new(NoWait), move |sent| {
            assert!(!format!("{sent:?} {} {:?}", sent.url(), sent.header("authorization")).contains(canary));
            let echo = format!("you sent {canary} {} {{\"k\":{}}}", encode(canary), json!(canary));
            Answer::new(status, echo)
        });
        let url = "https://user:c4n@a.example/{{key}}/x?token=plain";
        let error = http.get(url).fill("key", &token).secret_query("k", &token).bearer(&token).send().unwrap_err();
        let text = format!("{error} {error:?}");
        for form in [canary, &encode(canary), "c4n", "token=plain"] {
            assert!(!text.contains(form), "{form} in {text}");
        }
    }
    let http = Http::answering(HttpConfig { secrets: known, ..config() }, Arc::new(NoWait), move |_| {
        Answer::new(200, format!("{{\"a\":{}}}", json!(canary)))
    });
    let error =
        http.get("https://a.example/").send().unwrap().json::<std::collections::HashMap<String, u8>>().unwrap_err();
    assert!(!error.to_string().contains("c4n"), "{error}");
    assert!(
        Http::live(HttpConfig { proxy: Some(Secret::new("http://user:c4n@")), ..config() }, Arc::new(NoWait))
            .is_err_and(|error| !error.contains("c4n"))
    );
}

#[test]
fn answers_that_are_not_what_they_should_be() {
    for (answer, expect) in [
        (
            Answer::new(200, "<html>").header_pair("Content-Type", "text/html; charset=utf-8"),
            "not the JSON expected (text/html)",
        ),
        (Answer::new(200, "[1,2"), "not the JSON expected"),
        (Answer::new(200, "[1]").header_pair("Content-Length", "4"), "cut short"),
        (Answer::new(200, "[1]").header_pair("Content-Length", "2"), "longer than announced"),
        (Answer::new(200, "[1]").header_pair("Content-Length", "x"), "no number"),
        (Answer::new(200, "[".repeat(100_000)), "not the JSON expected"),
        (Answer::new(200, vec![0xff, 0xfe]), "not the JSON expected"),
        (Answer::new(200, ""), "not the JSON expected"),
        (Answer::new(302, ""), "redirects to nowhere"),
    ] {
        let answer = Mutex::new(Some(answer));
        let http = Http::answering(config(), Arc::new(NoWait), move |_| answer.lock().unwrap().take().unwrap());
        let result = http.get("https://a.example/").send().and_then(|answer| answer.json::<Vec<u8>>());
        assert!(unexpected(result.map(|_| String::new())).contains(expect));
    }
    let page = Http::answering(config(), Arc::new(NoWait), |_| Answer::new(400, "<!doctype html>\n<p>no"));
    assert_eq!(
        unexpected(get(&page, "https://a.example/")),
        "GET https://a.example/: answered 400: a page of HTML or XML"
    );
    let long = Http::answering(config(), Arc::new(NoWait), |_| Answer::new(400, "a\r\n\x1b[31m b ".repeat(500)));
    let why = unexpected(get(&long, "https://a.example/"));
    assert!(why.len() < 300 && !why.contains(['\x1b', '\n', '\r']), "{why}");
}

#[test]
fn what_was_recorded_is_replayed() {
    let binary = [0, 159, 146, 150];
    let server = Server::new(vec![
        raw(
            "HTTP/1.1 200 OK\nContent-Type: text/csv\nETag: \"7\"\nSet-Cookie: canary\nConnection: close",
            b"a,b\n=== odd\n",
        ),
        raw("HTTP/1.1 200 OK\nConnection: close", &binary),
        ok("your token is canary-token"),
        raw("HTTP/1.1 204 None\nConnection: close", b""),
    ]);
    let tape = Recording::default();
    let secrets = vec![("api_key".to_owned(), Secret::new("canary-key"))];
    let live = Http::recording(HttpConfig { secrets: secrets.clone(), ..config() }, Arc::new(NoWait), &tape).unwrap();
    let token = Secret::new("canary-token");
    let talk = |http: &Http, port: u16| -> Result<Vec<Vec<u8>>, ConnectorError> {
        let base = format!("http://127.0.0.1:{port}");
        let first = http.get(&format!("{base}/a?key=canary-key")).bearer(&token).header("X-Page", "1").send()?;
        assert_eq!(first.etag(), Some("\"7\""));
        let second = http.post_json(&format!("{base}/b"), &json!({"x": 1, "y": "canary-key"})).send()?;
        let third = http.post_form(&base, &[("id", "1")]).form_secret("secret", &token).send()?;
        let fourth = http.delete(&format!("{base}/c")).send()?;
        [first, second, third, fourth].into_iter().map(|answer| answer.bytes()).collect()
    };
    let port = server.address.port();
    let said = talk(&live, port).unwrap();
    let text = tape.exchanges().write();
    assert!(!text.contains("canary"), "{text}");
    assert!(text.contains("Authorization: Bearer {{token}}") && text.contains("?key={{api_key}}"), "{text}");
    let parsed = Exchanges::parse(&text, &|_| Err(io::ErrorKind::NotFound.into())).unwrap();
    assert_eq!(parsed.write(), text);
    let replay = Http::replaying(parsed.clone(), secrets.clone());
    assert_eq!(replay.unreplayed(), 4);
    let again = talk(&replay, port).unwrap();
    assert_eq!(replay.unreplayed(), 0);
    assert_eq!((&again[0], &again[1], &again[3]), (&said[0], &said[1], &said[3]));
    assert_eq!(again[2], b"your token is {{secret}}\n", "secrets stay hidden");
    assert!(unexpected(get(&replay, "http://127.0.0.1/")).contains("no exchange is left"));
    let other = Http::replaying(parsed, Vec::new());
    assert!(unexpected(talk(&other, port).map(|_| String::new())).contains("is recorded"));
}

#[test]
fn the_format_of_exchanges() {
    let beside = |name: &str| if name == "body.gz" { Ok(vec![1, 2]) } else { Err(io::ErrorKind::NotFound.into()) };
    let text = "# remark\n\nPOST https://a.example/x\nX-A: b:c\n\n{\n  \"b\": 2, \"a\": 1\n}\n\nHTTP/1.1 200 OK\nETag: 1\n\nline\n\nline 2\n=== next\nGET https://a.example/y\nHTTP 404\n===\nGET https://a.example/z\n\nHTTP 200\n\n< body.gz\n";
    let exchanges = Exchanges::parse(text, &beside).unwrap();
    assert_eq!(exchanges.0.len(), 3);
    assert_eq!(exchanges.0[0].body, b"line\n\nline 2\n");
    assert_eq!(exchanges.0[0].request_headers, [("X-A".to_owned(), "b:c".to_owned())]);
    assert_eq!((exchanges.0[1].status, exchanges.0[1].title.as_str(), exchanges.0[1].body.len()), (404, "next", 0));
    assert_eq!(exchanges.0[2].body, [1, 2]);
    let http = Http::replaying(exchanges, Vec::new());
    for (body, header, expect) in
        [(json!({"a": 1, "b": 3}), "b:c", "the body is"), (json!({"a": 1, "b": 2}), "d", "X-A is d")]
    {
        let answer = http.post_json("https://a.example/x", &body).header("X-A", header).send();
        assert!(unexpected(answer.map(|_| String::new())).contains(expect));
    }
    let answer = http.post_json("https://a.example/x", &json!({"a": 1, "b": 2})).header("X-A", "b:c").send();
    assert_eq!(answer.unwrap().text().unwrap(), "line\n\nline 2\n", "JSON is compared by value");
    assert!(unexpected(get(&http, "https://a.example/z")).contains("https://a.example/y is recorded"));
    for (text, expect) in [
        ("FETCH https://a.example/\n", "line 1: expected a request"),
        ("GET https://a.example/\n", "expected the answer's status"),
        ("GET https://a.example/\nX-A\n\nHTTP 200\n", "line 2: expected a header"),
        ("GET https://a.example/\n\nHTTP 99\n", "expected the answer's status"),
        ("GET https://a.example/\n\nHTTP 200\n\n< none.gz\n", "none.gz"),
        ("GET https://a.example/\n\nHTTP 200\n\n<base64\n*\n", "base64"),
        ("===\n", "expected a request"),
    ] {
        let error = Exchanges::parse(text, &beside).unwrap_err();
        assert!(error.contains(expect), "{error}");
    }
}

#[test]
fn a_proxy_is_told_the_name() {
    let server = Server::new(vec![raw("HTTP/1.1 403 No\nContent-Length: 0", b"")]);
    let proxy = Some(Secret::new(format!("http://user:pass@{}", server.address)));
    let http = http(HttpConfig { proxy: proxy.clone(), ..config() });
    let (_, why) = later(get(&http, "https://feeds.example/x"));
    assert!(why.contains("the proxy made no connection"), "{why}");
    assert!(server.requests()[0].starts_with("CONNECT feeds.example:443 HTTP/1.1\r\n"));
    // The proxy itself is called, so it must be allowed like anything else.
    let http = Http::live(HttpConfig { proxy, egress: Egress::default(), ..config() }, Arc::new(NoWait)).unwrap();
    assert!(denied(get(&http, "https://feeds.example/x")).contains("loopback"));
    assert!(denied(get(&http, "https://localhost/x")).contains("inner network"));
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn what_is_not_secure_is_not_read() {
    let server = Server::new(vec![ok("plain"), ok("plain")]);
    let url = server.url("/").replace("http:", "https:");
    let (_, why) = later(get(&http(config()), &url));
    assert!(why.contains("no secure connection"), "{why}");
    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (ca, client) in [(Some("junk"), None), (None, Some("junk")), (None, Some(junk))] {
        let config = HttpConfig { ca_pem: ca.map(Into::into), client_cert_pem: client.map(Secret::new), ..config() };
        assert!(Http::live(config, Arc::new(NoWait)).is_err());
    }
}

#[test]
fn no_token_that_was_handed_out_is_recorded() {
    let token = r#"{"access_token":"canary-token","token_type":"Bearer","expires_in":3600}"#;
    let server = Server::new(vec![ok(token), ok("fine")]);
    let tape = Recording::default();
    let grant = Grant {
        url: server.url("/token"),
        client_id: "me".into(),
        client_secret: Secret::new("canary-secret"),
        ..Grant::default()
    };
    let live = Http::recording(config(), Arc::new(NoWait), &tape).unwrap();
    let url = server.url("/api");
    let talk = |http: &Http| http.get(&url).oauth(&grant).send().and_then(Response::text);
    assert_eq!(talk(&live).unwrap(), "fine");
    assert!(server.requests()[1].contains("uthorization: Bearer canary-token\r\n"));
    let text = tape.exchanges().write();
    assert!(!text.contains("canary") && text.contains("Bearer {{token}}"), "{text}");
    let parsed = Exchanges::parse(&text, &|_| Err(io::ErrorKind::NotFound.into())).unwrap();
    assert_eq!(talk(&Http::replaying(parsed, Vec::new())).unwrap(), "fine\n");
}

/// 429 says that nothing was begun; a call that was not sent did nothing; a request that only asks changes nothing. All
/// else may have been done, also where an earlier try of the same request was lost.
#[test]
fn what_did_nothing_is_told_from_what_may_have_been_done() {
    let says = |statuses: &'static [u16]| {
        let n = AtomicU64::new(0);
        Http::answering(config(), Arc::new(NoWait), move |_| {
            let at = n.fetch_add(1, Ordering::SeqCst) as usize;
            Answer::new(statuses[at.min(statuses.len() - 1)], "")
        })
    };
    let is_busy = |error: Result<Response, ConnectorError>| matches!(error, Err(ConnectorError::Busy { .. }));
    let url = "https://a.example/x";
    for (statuses, busy, acted) in [
        (&[429][..], true, false),
        (&[503], false, true),
        (&[500], false, true),
        // A try that was lost, and one that was not begun: the first may have been done.
        (&[500, 429], false, true),
    ] {
        let http = says(statuses);
        assert_eq!(is_busy(http.post_json(url, &1).idempotent().send()), busy, "{statuses:?}");
        assert_eq!(http.has_acted(), acted, "{statuses:?}");
    }
    let http = says(&[500]);
    assert!(is_busy(http.get(url).send()) && is_busy(http.post_json(url, &1).asking().send()));
    assert!(!http.has_acted());
    let stopped = says(&[200]).stopped_by(Arc::new(|| true));
    assert!(is_busy(stopped.post_json(url, &1).send()) && !stopped.has_acted());
    // The request did nothing, and one before it did: whoever made both knows what that means.
    let http = says(&[200, 429]);
    http.post_json(url, &1).send().unwrap();
    assert!(is_busy(http.post_json(url, &2).send()) && http.has_acted());
}
