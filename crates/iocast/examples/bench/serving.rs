//! The server as its readers see it: a process of its own, asked over loopback.

use crate::generate::{self, Rows as Which, Style};
use crate::measure::{Sheet, Took, cpu_ms_of, mb, ms, peak_rss, rss};
use crate::world::{self, Fault};
use engine::Mode;
use iocast::tokens;
use serde_json::json;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Set in a process that is to be the server and nothing else.
pub(crate) const AS_SERVER: &str = "IOCAST_BENCH_AS_SERVER";
/// A token that `prepare` puts into the store.
pub(crate) const TOKEN: &str = "ioc_bench";
/// Longest wait for a server.
const PATIENCE: Duration = Duration::from_secs(600);

/// A running server; it ends with this value.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    begun: Instant,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// This program as `iocast serve` on a data directory.
    pub(crate) fn start(data: &Path) -> Result<Server, Fault> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let begun = Instant::now();
        let child = Command::new(std::env::current_exe()?)
            .args(["serve", "--quiet", "--listen", &format!("127.0.0.1:{port}"), "--data"])
            .arg(data)
            .env(AS_SERVER, "1")
            .env("IOCAST_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Server { child, port, begun })
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks until the answer has this status; gives how long after the start that was.
    pub(crate) fn until(&mut self, path: &str, status: u16) -> Result<Duration, Fault> {
        let (_kept, never) = channel::<()>();
        let mut last = None;
        while self.begun.elapsed() < PATIENCE {
            match get(self.port, path, None) {
                Ok(answer) if answer.status == status => return Ok(self.begun.elapsed()),
                Ok(answer) => last = Some(answer.status),
                Err(_) => {}
            }
            if let Some(ended) = self.child.try_wait()? {
                return Err(format!("the server ended with {ended}").into());
            }
            // A short wait, so that asking does not take the processor from the server.
            if never.recv_timeout(Duration::from_millis(2)) != Err(RecvTimeoutError::Timeout) {
                break;
            }
        }
        Err(format!("{path} never answered {status}; last was {last:?}").into())
    }
}

/// One answer, as it came.
struct Answer {
    status: u16,
    etag: Option<String>,
    first_byte: Duration,
    whole: Duration,
    body_bytes: u64,
}

/// One request on a connection of its own, body and all.
fn get(port: u16, path: &str, etag: Option<&str>) -> io::Result<Answer> {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    let known = etag.map(|etag| format!("If-None-Match: {etag}\r\n")).unwrap_or_default();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {TOKEN}\r\n{known}Connection: close\r\n\r\n"
    )?;
    let mut head = Vec::new();
    let mut buffer = vec![0; 256 << 10];
    let mut answer = Answer { status: 0, etag: None, first_byte: Duration::ZERO, whole: Duration::ZERO, body_bytes: 0 };
    loop {
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        if answer.status > 0 {
            answer.body_bytes += n as u64;
            continue;
        }
        head.extend_from_slice(&buffer[..n]);
        let Some(end) = memchr::memmem::find(&head, b"\r\n\r\n") else { continue };
        answer.first_byte = begun.elapsed();
        answer.body_bytes = (head.len() - end - 4) as u64;
        let text = String::from_utf8_lossy(&head[..end]).into_owned();
        answer.status = text.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(1);
        answer.etag = text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("etag").then(|| value.trim().to_owned())
        });
    }
    answer.whole = begun.elapsed();
    if answer.status == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(answer) }
}

fn took(time: Duration) -> Took {
    Took { wall: time.as_secs_f64() * 1e3, cpu: 0.0 }
}

fn median(mut all: Vec<Duration>) -> Took {
    all.sort();
    took(all.get(all.len() / 2).copied().unwrap_or_default())
}

/// A data directory with everything pulled and its lists published.
pub(crate) fn prepare(dir: &Path, n: u32) -> Result<(), Fault> {
    world::write_feeds(dir, n, 0)?;
    let engine = world::open(dir)?;
    world::apply(
        &engine,
        &world::configuration(dir, &["kind in (ipv4, domain, url, md5, sha256)", "reputation >= 7"]),
    )?;
    for source in 0..generate::SOURCES {
        world::pull(&engine, &format!("source-{source}"))?;
    }
    for name in ["rule-00", "rule-01"] {
        world::share(&engine, name, Mode { approve: true, ..Mode::default() })?;
    }
    put_token(&engine)
}

pub(crate) fn put_token(engine: &engine::Engine) -> Result<(), Fault> {
    let now = engine.world().now();
    engine.store().put_token("bench", &tokens::hash(TOKEN), tokens::Scope::Admin.as_str(), now, None)?;
    Ok(())
}

pub(crate) fn list(dir: &Path, n: u32, sheet: &mut Sheet) -> Result<(), Fault> {
    {
        let path = dir.join("feed");
        generate::write_feed(&path, n, Which::All, Style::Text, 0)?;
        let engine = world::open(dir)?;
        world::apply(
            &engine,
            &json!({
                "connection": [{ "name": "edge", "connector": "list" }, world::source("feed", &Style::Text.settings(&path))],
                "target": [{ "name": "all", "connection": "edge", "action": "publish", "first_fill": "allow",
                             "interval": "300d", "params": { "format": "edl", "access": "open" } }],
                "rule": [{ "name": "all", "when": "reputation >= 1" }],
                "sharing": [{ "source": "any", "rule": "all", "target": "all" }],
            }),
        )?;
        world::pull(&engine, "feed")?;
        let (report, took) = crate::measure::timed(|| world::share(&engine, "all", Mode::default()));
        let report = report?;
        sheet.put(
            format!("first pass that publishes {} lines", report.present),
            ms(took.wall),
            "",
            None,
            String::new(),
        );
        put_token(&engine)?;
    }
    let data = dir.join("data");
    let mut server = Server::start(&data)?;
    server.until("/api/v1/status", 200)?;
    let mut answers = Vec::new();
    for _ in 0..7 {
        answers.push(get(server.port, "/lists/all", None)?);
    }
    let etag = answers[0].etag.clone().ok_or("a list without an ETag")?;
    let bytes = answers[0].body_bytes;
    let same: Vec<Answer> = (0..51).map(|_| get(server.port, "/lists/all", Some(&etag))).collect::<io::Result<_>>()?;
    if let Some(wrong) = answers.iter().find(|a| a.status != 200).or(same.iter().find(|a| a.status != 304)) {
        return Err(format!("an answer {}", wrong.status).into());
    }
    let bare = bare_copies(&data.join("lists"), bytes)?;
    let scale = (f64::from(n) / 1e6).max(1.0);
    sheet.time("first byte of the list", median(answers.iter().map(|a| a.first_byte).collect()), Some(50.0), None);
    let whole = median(answers.iter().map(|a| a.whole).collect());
    let what = format!("whole list, {} over loopback", mb(bytes));
    sheet.time(what, whole, Some(1000.0 * scale), Some(("bare loopback copy", bare)));
    sheet.time("304, nothing changed", median(same.iter().map(|a| a.whole).collect()), Some(5.0), None);
    let worst = same.iter().map(|a| a.whole).max().unwrap_or_default();
    sheet.note(&format!(
        "the slowest 304 of {}: {}; server resident {}",
        same.len(),
        ms(took(worst).wall),
        mb(rss(Some(server.child.id())))
    ));
    Ok(())
}

/// The same file by the simplest server there can be: read and write in a loop.
fn bare_copies(lists: &Path, bytes: u64) -> Result<Took, Fault> {
    let file = fs::read_dir(lists)?.flatten().find(|f| f.metadata().is_ok_and(|m| m.len() == bytes));
    let path = file.ok_or("the list's body is not where it should be")?.path();
    let mut all = Vec::new();
    for _ in 0..7 {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let begun = Instant::now();
        let path = path.clone();
        let sender = std::thread::spawn(move || -> io::Result<()> {
            let (mut stream, _) = listener.accept()?;
            let mut file = fs::File::open(path)?;
            let mut buffer = vec![0; 128 << 10];
            loop {
                match file.read(&mut buffer)? {
                    0 => return Ok(()),
                    n => stream.write_all(&buffer[..n])?,
                }
            }
        });
        let mut stream = TcpStream::connect(address)?;
        let mut buffer = vec![0; 256 << 10];
        while stream.read(&mut buffer)? > 0 {}
        all.push(begun.elapsed());
        sender.join().map_err(|_| "the bare server panicked")??;
    }
    Ok(median(all))
}

pub(crate) fn start(dir: &Path, n: u32, sheet: &mut Sheet) -> Result<(), Fault> {
    crate::apart("--prepare", n, dir)?;
    let data = dir.join("data");
    let disk: u64 = fs::read_dir(&data)?.flatten().filter_map(|f| f.metadata().ok()).map(|m| m.len()).sum();
    // What it takes to read the bytes of the database, and nothing else.
    let (read, limit) = crate::measure::rounds(3, || fs::read(data.join("iocast.db")).map(|bytes| bytes.len()));
    read?;
    let mut best: Option<(Duration, Duration, f64)> = None;
    for _ in 0..3 {
        let mut server = Server::start(&data)?;
        let lists = server.until("/lists/rule-00", 200)?;
        let ready = server.until("/api/v1/status", 200)?;
        let cpu = cpu_ms_of(server.child.id());
        if best.is_none_or(|(_, other, _)| ready < other) {
            best = Some((lists, ready, cpu));
        }
        sheet.note(&format!(
            "lists after {}, everything after {} ({} CPU); resident {}, at most {}",
            ms(took(lists).wall),
            ms(took(ready).wall),
            ms(cpu),
            mb(rss(Some(server.child.id()))),
            mb(peak_rss(Some(server.child.id())))
        ));
    }
    let Some((lists, ready, cpu)) = best else { return Ok(()) };
    let millions = f64::from(n) / 1e6;
    let bar = if n > 5_000_000 { 3500.0 * millions } else { 3000.0 * millions.max(0.1) };
    let (lists, ready) = (took(lists), Took { cpu, ..took(ready) });
    sheet.time(format!("{n} indicators: start to serving"), ready, Some(bar), Some(("reading the file", limit)));
    sheet.put(
        "start to the last good list, whole",
        ms(lists.wall),
        "≤ 1 s",
        Some(lists.wall <= 1000.0),
        format!("data directory {}", mb(disk)),
    );
    Ok(())
}

/// A server with nothing in it.
pub(crate) fn empty(dir: &Path, sheet: &mut Sheet) -> Result<(), Fault> {
    {
        let engine = world::open(dir)?;
        put_token(&engine)?;
    }
    let mut server = Server::start(&dir.join("data"))?;
    server.until("/api/v1/status", 200)?;
    for _ in 0..20 {
        get(server.port, "/api/v1/connectors", None)?;
    }
    let bytes = rss(Some(server.child.id()));
    sheet.put("empty server process", mb(bytes), "≤ 60 MB", Some(bytes <= 60_000_000), String::new());
    Ok(())
}
