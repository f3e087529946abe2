//! More than can be done: what is refused, and who is still answered.

use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A running server; ended when dropped.
struct Server(Child, String, String);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(data: &std::path::Path) -> Server {
    let mut child = Command::new(env!("CARGO_BIN_EXE_iocast"))
        .args(["--data", data.to_str().unwrap(), "serve", "--listen", "127.0.0.1:0", "--no-schedule"])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut token = String::new();
    let address = lines.by_ref().find_map(|line| {
        if let Some(found) = line.split_whitespace().find(|word| word.starts_with("ioc_")) {
            found.clone_into(&mut token);
        }
        line.split_once("listening on http://").map(|(_, address)| address.trim().to_owned())
    });
    std::thread::spawn(move || lines.for_each(drop));
    Server(child, address.unwrap(), token)
}

impl Server {
    /// Status, headers and body. None: the connection was not taken.
    fn ask(&self, method: &str, path: &str, body: &str) -> Option<(u16, String, String)> {
        let mut stream = TcpStream::connect(&self.1).ok()?;
        let (token, length) = (&self.2, body.len());
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
        .ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, head.to_ascii_lowercase(), body.to_owned()))
    }
}

/// Shown: ten times more pushes at once than there are places are answered at once: taken, or 429 with the time to come
/// back; what was acknowledged is there, and the health page stays quick. How: a real server; 40 threads push to a bucket
/// with four places, each until its rows are taken, while another reads the health page. Figures: 40 threads x 3 pushes of
/// 50 rows, at least 100 health reads; p99 under 1 s; acknowledged = stored. A bounded slice: the hour is for `torture`.
#[test]
fn f68_overload_is_refused_and_health_is_told() {
    const THREADS: u64 = 40;
    let dir = tempfile::tempdir().unwrap();
    let server = start(&dir.path().join("data"));
    let site = json!({ "connection": [{ "name": "partner", "connector": "api-source" }] }).to_string();
    while server.ask("POST", "/api/v1/config/apply", &site).is_none_or(|(status, ..)| status != 200) {}
    let (refused, taken, going) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(true));
    let mut times: Vec<Duration> = Vec::new();
    std::thread::scope(|scope| {
        let pushers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (server, refused, taken) = (&server, &refused, &taken);
                scope.spawn(move || {
                    for push in 0..3 {
                        let items: Vec<Value> =
                            (0..50).map(|n| json!({ "value": format!("n{thread}-{push}-{n}.example.net") })).collect();
                        let body = json!({ "items": items }).to_string();
                        loop {
                            let answer = server.ask("POST", "/api/v1/connections/partner/observations", &body);
                            let Some((status, head, text)) = answer else { continue };
                            match status {
                                200 => {
                                    taken.fetch_add(50, Ordering::Relaxed);
                                    break;
                                }
                                429 => {
                                    assert!(head.contains("\r\nretry-after: "), "{head}");
                                    refused.fetch_add(1, Ordering::Relaxed);
                                }
                                other => panic!("{other}: {text}"),
                            }
                        }
                    }
                })
            })
            .collect();
        let (server, going, times) = (&server, &going, &mut times);
        let health = scope.spawn(move || {
            while going.load(Ordering::Relaxed) || times.len() < 100 {
                let begun = Instant::now();
                let answer = server.ask("GET", "/healthz", "");
                times.push(begun.elapsed());
                assert!(answer.is_some_and(|(status, ..)| status == 200));
            }
        });
        for pusher in pushers {
            pusher.join().unwrap();
        }
        going.store(false, Ordering::Relaxed);
        health.join().unwrap();
    });
    assert!(refused.load(Ordering::Relaxed) > 0, "nobody was refused");
    assert_eq!(taken.load(Ordering::Relaxed), THREADS * 150);
    times.sort();
    let p99 = times[times.len() * 99 / 100];
    assert!(p99 < Duration::from_secs(1), "{p99:?} of {}", times.len());
    let (_, _, body) = server.ask("GET", "/api/v1/status", "").unwrap();
    let status: Value = serde_json::from_str(&body).unwrap();
    assert!(status.to_string().contains(&(THREADS * 150).to_string()), "{status}");
}
