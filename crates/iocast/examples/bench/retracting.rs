//! A verdict until its value is gone: from a list that is served and from a tool that was pushed to.

use crate::generate::{self, Rows as Which, Style};
use crate::measure::{Sheet, Took, mb, rss};
use crate::pushing::Client;
use crate::serving::{Server, put_token};
use crate::world::{self, Fault};
use engine::Mode;
use serde_json::json;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// Verdicts given, one after another.
const VERDICTS: usize = 40;
/// Between two looks at the list.
const LOOK: Duration = Duration::from_millis(5);
/// Longest wait for one value to go, and for the first fill.
const PATIENCE: Duration = Duration::from_secs(300);

/// A tool that is told by webhook: it says yes to everything.
struct Tool {
    port: u16,
    added: Arc<AtomicU64>,
    /// Messages that take something back, and when each was whole.
    removals: Receiver<(Instant, Vec<u8>)>,
}

impl Tool {
    fn start() -> io::Result<Tool> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let (tell, removals) = channel();
        let added = Arc::new(AtomicU64::new(0));
        let counted = added.clone();
        // It ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (tell, counted) = (tell.clone(), counted.clone());
                std::thread::spawn(move || answer(stream, &counted, &tell));
            }
        });
        Ok(Tool { port, added, removals })
    }
}

/// Answers one connection as long as the other side keeps it.
fn answer(stream: TcpStream, added: &AtomicU64, tell: &Sender<(Instant, Vec<u8>)>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::with_capacity(256 << 10, stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                return Ok(());
            }
            match line.trim_end().split_once(':') {
                None if line.trim_end().is_empty() => break,
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.trim().parse().unwrap_or(0);
                }
                _ => {}
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        let n = memchr::memmem::find_iter(&body, b"\"op\":\"add\"").count();
        added.fetch_add(n as u64, Ordering::Relaxed);
        if memchr::memmem::find(&body, b"\"op\":\"remove\"").is_some() {
            let _ = tell.send((Instant::now(), body));
        }
        stream.get_mut().write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
    }
}

pub(crate) fn run(dir: &Path, n: u32, sheet: &mut Sheet) -> Result<(), Fault> {
    let tool = Tool::start()?;
    {
        let path = dir.join("feed");
        generate::write_feed(&path, n, Which::All, Style::Text, 0)?;
        let engine = world::open(dir)?;
        let url = format!("http://127.0.0.1:{}/", tool.port);
        world::apply(
            &engine,
            &json!({
                "connection": [
                    { "name": "edge", "connector": "list" }, world::source("feed", &Style::Text.settings(&path)),
                    { "name": "soc", "connector": "webhook", "allow_private": ["127.0.0.0/8"],
                      "settings": { "url": url, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" } },
                ],
                "target": [
                    { "name": "all", "connection": "edge", "action": "publish", "first_fill": "allow",
                      "interval": "300d", "params": { "format": "edl", "access": "open" } },
                    { "name": "told", "connection": "soc", "action": "send", "first_fill": "allow",
                      "interval": "300d", "params": { "batch": 1000 } },
                ],
                "rule": [{ "name": "all", "when": "reputation >= 1" }],
                "sharing": [
                    { "source": "any", "rule": "all", "target": "all" }, { "source": "any", "rule": "all", "target": "told" },
                ],
            }),
        )?;
        world::pull(&engine, "feed")?;
        world::share(&engine, "all", Mode::default())?;
        put_token(&engine)?;
    }
    let mut server = Server::start(&dir.join("data"))?;
    server.until("/api/v1/status", 200)?;
    let (_kept, never) = channel::<()>();
    let begun = Instant::now();
    while tool.added.load(Ordering::Relaxed) < u64::from(n) {
        if begun.elapsed() > PATIENCE {
            return Err(format!("only {} of {n} were pushed", tool.added.load(Ordering::Relaxed)).into());
        }
        let _ = never.recv_timeout(Duration::from_millis(100));
    }
    sheet.note(&format!("{n} entries pushed by webhook in {:.1} s", begun.elapsed().as_secs_f64()));
    let (mut judge, mut reader) = (Client::new(server.port)?, Client::new(server.port)?);
    let (mut listed, mut told) = (Vec::new(), Vec::new());
    let mut text = String::new();
    for at in 0..VERDICTS {
        generate::value((at as u32).wrapping_mul(7919) % n, &mut text);
        let line = format!("{}\n", text.split_once("://").map_or(&*text, |(_, rest)| rest));
        let reply = reader.ask("GET", "/lists/all", "", b"")?;
        if memchr::memmem::find(&reply.body, line.as_bytes()).is_none() {
            return Err(format!("{line} is not in the list").into());
        }
        let mut etag = reply.etag.unwrap_or_default();
        let begun = Instant::now();
        let body = json!({ "value": text, "verdict": "safe" }).to_string();
        let given =
            judge.ask("POST", "/api/v1/indicators/verdict", "Content-Type: application/json\r\n", body.as_bytes())?;
        if given.status != 200 {
            return Err(format!("{}: {}", given.status, String::from_utf8_lossy(&given.body)).into());
        }
        loop {
            let reply = reader.ask("GET", "/lists/all", &format!("If-None-Match: {etag}\r\n"), b"")?;
            if reply.status == 200 {
                if memchr::memmem::find(&reply.body, line.as_bytes()).is_none() {
                    break;
                }
                etag = reply.etag.unwrap_or_default();
            }
            if begun.elapsed() > PATIENCE {
                return Err(format!("{text} never left the list").into());
            }
            let _ = never.recv_timeout(LOOK);
        }
        listed.push(begun.elapsed());
        loop {
            match tool.removals.recv_timeout(PATIENCE) {
                Ok((when, body)) if memchr::memmem::find(&body, text.as_bytes()).is_some() => {
                    told.push(when.duration_since(begun));
                    break;
                }
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    return Err(format!("{text} was never taken back").into());
                }
            }
        }
    }
    let mut put = |what: &str, mut all: Vec<Duration>| {
        all.sort();
        let of = |share: usize| Took { wall: all[all.len() * share / 100].as_secs_f64() * 1e3, cpu: 0.0 };
        sheet.time(format!("{what}: p99 of {VERDICTS}"), of(99), Some(2000.0), None);
        sheet.time("the same, median", of(50), None, None);
    };
    put(&format!("a verdict, {n} stored, until its value is gone from a served list"), listed);
    put("until a tool that was pushed to is told to remove it", told);
    sheet.note(&format!("server resident {}", mb(rss(Some(server.pid())))));
    Ok(())
}
