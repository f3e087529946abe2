//! What third parties push: how many rows, and how soon one is in a list.

use crate::generate::{self, Rows as Which, Style};
use crate::measure::{Sheet, Took, mb, ms, rss};
use crate::serving::{Server, TOKEN, put_token};
use crate::world::{self, Fault};
use engine::Mode;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// Rows of a batch.
const BATCH: u32 = 5_000;
/// Rows pushed in all, at most.
const MOST: u32 = 500_000;
/// Single rows pushed to see how soon they are served.
const SINGLES: usize = 100;
/// Between two looks at the list.
const LOOK: Duration = Duration::from_millis(5);
/// Longest wait for one row.
const PATIENCE: Duration = Duration::from_secs(60);

const BUCKET: &str = "/api/v1/connections/bucket/observations";

/// One connection that is kept open.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) etag: Option<String>,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) fn new(port: u16) -> Result<Client, Fault> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        Ok(Client { stream: BufReader::with_capacity(256 << 10, stream) })
    }

    pub(crate) fn ask(&mut self, method: &str, path: &str, more: &str, body: &[u8]) -> Result<Reply, Fault> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n{more}Content-Length: {}\r\n\r\n",
            body.len()
        );
        let mut request = head.into_bytes();
        request.extend_from_slice(body);
        self.stream.get_mut().write_all(&request)?;
        let mut reply = Reply { status: 0, etag: None, body: Vec::new() };
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if reply.status == 0 {
                reply.status = line.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(1);
            } else if let Some((name, value)) = line.split_once(':') {
                if name.eq_ignore_ascii_case("content-length") {
                    length = value.trim().parse::<usize>()?;
                } else if name.eq_ignore_ascii_case("etag") {
                    reply.etag = Some(value.trim().to_owned());
                }
            }
        }
        if reply.status != 304 {
            reply.body.resize(length, 0);
            self.stream.read_exact(&mut reply.body)?;
        }
        Ok(reply)
    }

    fn push(&mut self, body: &[u8]) -> Result<Value, Fault> {
        let reply = self.ask("POST", BUCKET, "Content-Type: application/json\r\n", body)?;
        match reply.status {
            200 => Ok(serde_json::from_slice(&reply.body)?),
            status => Err(format!("{status}: {}", String::from_utf8_lossy(&reply.body)).into()),
        }
    }
}

fn batch(from: u32, n: u32) -> String {
    let mut text = String::from("{\"items\":[");
    for at in from..from + n {
        let comma = if at == from { "" } else { "," };
        // Writing to a text cannot fail.
        let _ = write!(
            text,
            "{comma}{{\"value\":\"http://host-{at}.example.com/path/{at}\",\"kind\":\"url\",\"reputation\":{},\"severity\":\"high\",\
             \"tags\":[\"family-{}\"],\"last_seen\":\"2026-05-0{}T10:00:00Z\",\"id\":\"{at}\"}}",
            at % 10 + 1,
            at % 50,
            at % 9 + 1,
        );
    }
    text.push_str("]}");
    text
}

pub(crate) fn bulk(dir: &Path, n: u32, sheet: &mut Sheet) -> Result<(), Fault> {
    let n = n.min(MOST) / BATCH * BATCH;
    {
        let engine = world::open(dir)?;
        world::apply(&engine, &json!({ "connection": [{ "name": "bucket", "connector": "api-source" }] }))?;
        put_token(&engine)?;
    }
    let mut server = Server::start(&dir.join("data"))?;
    server.until("/api/v1/status", 200)?;
    let bodies: Vec<String> = (0..n / BATCH).map(|at| batch(at * BATCH, BATCH)).collect();
    let mut client = Client::new(server.port)?;
    for (word, what) in [("new", "new rows"), ("unchanged", "the same rows again")] {
        let mut each = Vec::new();
        let begun = Instant::now();
        for body in &bodies {
            let sent = Instant::now();
            let answer = client.push(body.as_bytes())?;
            if answer["totals"][word] != BATCH {
                return Err(format!("{}", answer["totals"]).into());
            }
            each.push(sent.elapsed());
        }
        let whole = begun.elapsed().as_secs_f64();
        each.sort();
        let rate = f64::from(n) / whole;
        let limit =
            format!("a batch {} in the median, {} at most", millis(each[each.len() / 2]), millis(each[each.len() - 1]));
        let bar = (word == "new").then_some(rate >= 50_000.0);
        let least = if word == "new" { "≥ 50,000/s" } else { "" };
        sheet.put(
            format!("{n} {what}, batches of {BATCH}, one client"),
            format!("{rate:.0} rows/s"),
            least,
            bar,
            limit,
        );
    }
    sheet.note(&format!("server resident {}", mb(rss(Some(server.pid())))));
    Ok(())
}

fn millis(time: Duration) -> String {
    ms(time.as_secs_f64() * 1e3)
}

pub(crate) fn react(dir: &Path, n: u32, sheet: &mut Sheet) -> Result<(), Fault> {
    {
        let path = dir.join("feed");
        generate::write_feed(&path, n, Which::All, Style::Text, 0)?;
        let engine = world::open(dir)?;
        world::apply(
            &engine,
            &json!({
                "connection": [
                    { "name": "edge", "connector": "list" }, { "name": "bucket", "connector": "api-source" },
                    world::source("feed", &Style::Text.settings(&path)),
                ],
                "target": [{ "name": "all", "connection": "edge", "action": "publish", "first_fill": "allow",
                             "interval": "300d", "params": { "format": "edl", "access": "open" } }],
                "rule": [{ "name": "all", "when": "reputation >= 1" }],
                "sharing": [{ "source": "any", "rule": "all", "target": "all" }],
            }),
        )?;
        world::pull(&engine, "feed")?;
        world::share(&engine, "all", Mode::default())?;
        put_token(&engine)?;
    }
    let mut server = Server::start(&dir.join("data"))?;
    server.until("/api/v1/status", 200)?;
    let (mut pusher, mut reader) = (Client::new(server.port)?, Client::new(server.port)?);
    let (_kept, never) = channel::<()>();
    let (mut all, mut acknowledged) = (Vec::new(), Vec::new());
    for at in 0..SINGLES {
        let mut etag = reader.ask("GET", "/lists/all", "", b"")?.etag.unwrap_or_default();
        let value = format!("react-{at}.bench-push.com");
        let begun = Instant::now();
        pusher.push(json!({ "items": [{ "value": value, "reputation": 8 }] }).to_string().as_bytes())?;
        acknowledged.push(begun.elapsed());
        loop {
            let reply = reader.ask("GET", "/lists/all", &format!("If-None-Match: {etag}\r\n"), b"")?;
            if reply.status == 200 {
                if memchr::memmem::find(&reply.body, value.as_bytes()).is_some() {
                    break;
                }
                etag = reply.etag.unwrap_or_default();
            }
            if begun.elapsed() > PATIENCE {
                return Err(format!("{value} never came into the list").into());
            }
            let _ = never.recv_timeout(LOOK);
        }
        all.push(begun.elapsed());
    }
    all.sort();
    acknowledged.sort();
    let of = |all: &[Duration], share: usize| Took { wall: all[all.len() * share / 100].as_secs_f64() * 1e3, cpu: 0.0 };
    sheet.time(format!("one row pushed, {n} stored, until it is served: p99"), of(&all, 99), Some(1000.0), None);
    sheet.time("the same, median", of(&all, 50), None, None);
    sheet.time("until it is acknowledged: p99", of(&acknowledged, 99), None, None);
    Ok(())
}
