//! What a source, a disk or a person can get wrong, through the binary: a clear reason, counts that balance, nothing
//! withdrawn, bounded memory.
#![cfg(unix)]

use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

/// Rows of the feed while all is well.
pub(crate) const ROWS: u32 = 100;
/// Most memory a process may ever have held, in KiB.
pub(crate) const MOST_KIB: u64 = 200 << 10;

const REST: &str = r#"
[[connection]]
name = "edge"
connector = "list"

[[target]]
name = "block"
connection = "edge"
action = "publish"
first_fill = "allow"

[[rule]]
name = "all"
when = 'reputation >= 1'

[[sharing]]
source = "any"
rule = "all"
target = "block"
"#;

/// A data directory and what feeds it.
pub(crate) struct Desk(TempDir);

pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
    /// The most memory it was seen to hold, in KiB.
    pub(crate) peak: u64,
}

impl Ran {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {} {}", self.out, self.err))
    }
}

impl Desk {
    pub(crate) fn new(settings: &str) -> Desk {
        let desk = Desk(TempDir::new().unwrap());
        let feed = format!(
            "[[connection]]\nname = \"source-x\"\nconnector = \"feed\"\nallow_private = [\"127.0.0.0/8\"]\n\
             settings = {{ {settings} }}\n"
        );
        desk.put("site.toml", (feed + REST).as_bytes());
        desk
    }

    pub(crate) fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.0.path().join(name), bytes).unwrap();
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.0.path()).env_clear().stdin(Stdio::null());
        command.env("IOCAST_DATA", "data").env("IOCAST_FILES", self.0.path().canonicalize().unwrap());
        command
    }

    pub(crate) fn run(&self, line: &str) -> Ran {
        let words: Vec<&str> = line.split(' ').map(|word| word.trim_matches('\'')).collect();
        let mut command = self.command(env!("CARGO_BIN_EXE_iocast"));
        let mut child = command.args(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let id = child.id();
        let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (ended, end) = channel::<()>();
        let watch = std::thread::spawn(move || {
            // The system keeps the maximum; it is read until the process is gone.
            let mut peak = 0;
            while end
                .recv_timeout(Duration::from_millis(2))
                .is_err_and(|e| e == std::sync::mpsc::RecvTimeoutError::Timeout)
            {
                peak = peak.max(high_water(id));
            }
            peak
        });
        let said = std::thread::spawn(move || {
            let mut text = String::new();
            err.read_to_string(&mut text).unwrap();
            text
        });
        let mut text = String::new();
        out.read_to_string(&mut text).unwrap();
        let code = child.wait().unwrap().code().unwrap_or(-1);
        drop(ended);
        Ran { code, out: text, err: said.join().unwrap(), peak: watch.join().unwrap() }
    }

    pub(crate) fn ok(&self, line: &str) -> Ran {
        let ran = self.run(line);
        assert_eq!(ran.code, 0, "{line}: {}{}", ran.out, ran.err);
        ran
    }

    pub(crate) fn list(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.ok("list show block").out.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    /// Applied, pulled and shared once while all is well.
    pub(crate) fn settled(&self) {
        self.ok("apply site.toml");
        let pulled = self.ok("pull --all --format json").json();
        assert_eq!((&pulled[0]["status"], &pulled[0]["new"]), (&"success".into(), &ROWS.into()), "{pulled}");
        self.ok("share --all --approve");
    }

    /// Pulls what is hostile, and judges all that must hold whatever it was.
    pub(crate) fn suffer(&self, case: &str, status: &str, why: &str, more: usize) -> Value {
        let before = self.list();
        let ran = self.run("pull --all --format json");
        let told = format!("{case}: {}{}", ran.out, ran.err);
        assert!(ran.peak < MOST_KIB, "{case}: {} KiB", ran.peak);
        assert!(cfg!(not(target_os = "linux")) || ran.peak > 1_000, "{case}: memory was not seen");
        let report = ran.json()[0].clone();
        let n = |key: &str| report[key].as_u64().unwrap();
        assert_eq!(report["status"], status, "{told}");
        assert_eq!(n("read"), n("new") + n("changed") + n("unchanged") + n("rejected"), "{told}");
        let by_reason: u64 = report["rejected_by"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
        assert_eq!(by_reason, n("rejected"), "{told}");
        assert!(
            report["filtered_by"].as_object().unwrap().values().all(|n| *n != 0),
            "a reason without a case: {told}"
        );
        let code = match status {
            "failed" => 1,
            "suspect" | "partial" => 3,
            _ => 0,
        };
        assert_eq!(ran.code, code, "{told}");
        assert_eq!(report["connection"], "source-x");
        if code != 0 {
            assert!(report["error"].as_str().is_some_and(|error| error.contains(why)), "{told}");
            assert!(ran.err.contains("source-x") && ran.err.contains(why), "{told}");
        }
        assert!(ran.err.len() < 4_000, "{case}: says too much: {} bytes", ran.err.len());
        assert!(!ran.err.contains("panicked"), "{told}");
        assert!(!ran.err.chars().any(|c| c.is_control() && c != '\n'), "{case}: {:?}", ran.err);
        assert_eq!(n("withdrawn"), 0, "{told}");
        assert_eq!(self.ok("indicator count ''").out, format!("{}\n", before.len() + more), "{told}");
        // Nothing is taken back from the target either.
        let shared = self.ok("share --all --format json").json();
        assert_eq!((&shared[0]["retract"], &shared[0]["push"]), (&0.into(), &more.into()), "{told} {shared}");
        let after = self.list();
        assert!(before.iter().all(|line| after.contains(line)), "{told}");
        assert_eq!(after.len(), before.len() + more, "{told}");
        report
    }
}

/// `VmHWM` of a process, in KiB; 0 where it cannot be known, or not any more.
fn high_water(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

fn address(n: u32) -> String {
    format!("45.7.{}.{}", n >> 8 & 255, n & 255)
}

/// The feed in a format: as many addresses.
pub(crate) fn feed(format: &str, rows: u32) -> Vec<u8> {
    let mut text = String::new();
    match format {
        "csv" => text.push_str("ioc,score\n"),
        "json" => text.push('['),
        _ => {}
    }
    for n in 0..rows {
        let address = address(n);
        let comma = if n == 0 { "" } else { "," };
        let _ = match format {
            "csv" => writeln!(text, "{address},5"),
            "json" => write!(text, "{comma}{{\"ioc\":\"{address}\"}}"),
            "ndjson" => writeln!(text, "{{\"ioc\":\"{address}\"}}"),
            _ => writeln!(text, "{address}"),
        };
    }
    if format == "json" {
        text.push(']');
    }
    text.into_bytes()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// A gzip of so many MiB of the same byte: a member of 8 MiB, repeated, so that it costs nothing to make.
pub(crate) fn bomb(mib: usize) -> Vec<u8> {
    gzip(&vec![b'0'; 8 << 20]).repeat(mib / 8)
}

/// A zip archive of empty files.
fn zip(entries: u16) -> Vec<u8> {
    let (mut files, mut directory) = (Vec::new(), Vec::new());
    for n in 0..entries {
        let name = format!("{n:05}.txt");
        let offset = u32::try_from(files.len()).unwrap();
        files.extend_from_slice(b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0");
        files.extend_from_slice(&[0; 12]);
        files.extend_from_slice(&[name.len() as u8, 0, 0, 0]);
        files.extend_from_slice(name.as_bytes());
        directory.extend_from_slice(b"PK\x01\x02\x14\0\x14\0\0\0\0\0\0\0\0\0");
        directory.extend_from_slice(&[0; 12]);
        directory.extend_from_slice(&[name.len() as u8, 0]);
        directory.extend_from_slice(&[0; 12]);
        directory.extend_from_slice(&offset.to_le_bytes());
        directory.extend_from_slice(name.as_bytes());
    }
    let (at, length) = (files.len() as u32, directory.len() as u32);
    files.extend(directory);
    files.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    files.extend_from_slice(&entries.to_le_bytes());
    files.extend_from_slice(&entries.to_le_bytes());
    files.extend_from_slice(&length.to_le_bytes());
    files.extend_from_slice(&at.to_le_bytes());
    files.extend_from_slice(&[0, 0]);
    files
}

/// Seeded noise without `skip`.
fn noise(length: usize, skip: impl Fn(u8) -> bool) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let bytes = std::iter::from_fn(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        Some((state >> 24) as u8)
    });
    bytes.filter(|byte| !skip(*byte)).take(length).collect()
}

fn utf16(text: &[u8], mark: bool) -> Vec<u8> {
    let text = std::str::from_utf8(text).unwrap();
    let mark = mark.then_some(0xfeff);
    mark.into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

fn with(mut bytes: Vec<u8>, more: &[u8]) -> Vec<u8> {
    bytes.extend_from_slice(more);
    bytes
}

/// What a file may hold after it held the feed: its format, the bytes, what the run is, why, rows it adds.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) format: &'static str,
    pub(crate) body: fn() -> Vec<u8>,
    pub(crate) status: &'static str,
    pub(crate) why: &'static str,
    pub(crate) more: usize,
}

pub(crate) const fn case(
    format: &'static str,
    name: &'static str,
    body: fn() -> Vec<u8>,
    status: &'static str,
    why: &'static str,
    more: usize,
) -> Case {
    Case { name, format, body, status, why, more }
}

const FILES: &[Case] = &[
    case("text", "noise", || noise(1 << 16, |_| false), "failed", "binary data", 0),
    case("text", "noise that passes for text", || noise(1 << 16, |b| b < 32 && b != 10), "suspect", "rejected", 0),
    case("text", "HTML", || b"<!DOCTYPE html><html><body>Please log in</body></html>".to_vec(), "failed", "HTML", 0),
    case("csv", "HTML for a table", || b"\n<html><head><title>502</title></head></html>".to_vec(), "failed", "HTML", 0),
    case("json", "HTML for JSON", || b"<html>".to_vec(), "failed", "", 0),
    case("text", "JSON for a list", || b"{\"error\": \"quota\"}".to_vec(), "failed", "JSON", 0),
    case("json", "cut JSON", || feed("json", ROWS)[..1_500].to_vec(), "failed", "", 0),
    case("json", "another JSON", || b"{\"error\": \"quota\", \"code\": 12}".to_vec(), "failed", "", 0),
    case("json", "no rows in JSON", || b"[]".to_vec(), "suspect", "lists nothing", 0),
    case("json", "deep JSON", || vec![b'['; 200_000], "failed", "", 0),
    case(
        "json",
        "types changed",
        || b"[".iter().copied().chain(b"{\"ioc\":{\"v\":1}},".repeat(100)).chain(*b"{\"ioc\":[7]}]").collect(),
        "suspect",
        "rejected",
        0,
    ),
    case("ndjson", "cut NDJSON", || feed("ndjson", ROWS)[..1_205].to_vec(), "suspect", "rejected", 0),
    case(
        "text",
        "cut gzip",
        || {
            let mut z = gzip(&feed("text", 5_000));
            z.truncate(z.len() / 2);
            z
        },
        "failed",
        "gzip",
        0,
    ),
    case(
        "text",
        "gzip with a wrong sum",
        || {
            let mut z = gzip(&feed("text", ROWS));
            let at = z.len() - 6;
            z[at] ^= 1;
            z
        },
        "failed",
        "gzip",
        0,
    ),
    case("text", "gzip bomb", || bomb(8_000), "failed", "times its size", 0),
    case("text", "nested gzip", || gzip(&bomb(80)), "failed", "", 0),
    case("text", "zip of many files", || zip(2_000), "failed", "2000 entries", 0),
    case("text", "zip of several files", || zip(3), "failed", "member", 0),
    case("text", "empty", Vec::new, "suspect", "lists nothing", 0),
    case("text", "only comments", || b"# the list has moved\n".repeat(200), "suspect", "lists nothing", 0),
    case("csv", "only a header", || b"ioc,score\n".to_vec(), "suspect", "lists nothing", 0),
    case(
        "csv",
        "wrong separator",
        || feed("csv", ROWS).into_iter().map(|b| if b == b',' { b';' } else { b }).collect(),
        "failed",
        "ioc",
        0,
    ),
    case("csv", "column renamed", || with(b"indicator,score\n".to_vec(), &feed("csv", ROWS)[10..]), "failed", "ioc", 0),
    case("csv", "open quote", || with(feed("csv", ROWS), b"\"45.8.0.1,5\n45.8.0.2,5\n"), "success", "", 1),
    case("text", "UTF-16", || utf16(&with(feed("text", ROWS), b"45.8.0.1\n"), true), "success", "", 1),
    case("text", "UTF-16 without its mark", || utf16(&feed("text", ROWS), false), "failed", "binary data", 0),
    case("text", "UTF-32", || with(b"\xff\xfe\0\0".to_vec(), b"4\0\0\0"), "failed", "UTF-32", 0),
    case(
        "text",
        "Latin-1",
        || with(b"# caf\xe9\n".to_vec(), &with(feed("text", ROWS), b"45.8.0.1 # \xfcber\n")),
        "success",
        "",
        1,
    ),
    case(
        "text",
        "NUL in a line",
        || with(b"# far from the start\n".repeat(60), &with(feed("text", ROWS), b"45.8.0.1\0\n45.8.0.2\n")),
        "success",
        "",
        1,
    ),
    case(
        "text",
        "a line of 64 MiB",
        || with(feed("text", ROWS), &with(vec![b'7'; 64 << 20], b"\n45.8.0.1\n")),
        "success",
        "",
        1,
    ),
    case("text", "nothing but a line of 64 MiB", || vec![b'.'; 64 << 20], "suspect", "rejected", 0),
    case(
        "csv",
        "a field of 64 MiB",
        || with(feed("csv", ROWS), &with(vec![b'"'], &vec![b'x'; 64 << 20])),
        "success",
        "",
        0,
    ),
    case("json", "a text of 64 MiB", || with(b"[{\"ioc\":\"".to_vec(), &vec![b'x'; 64 << 20]), "failed", "", 0),
    case(
        "ndjson",
        "an object of 64 MiB",
        || with(feed("ndjson", ROWS), &with(b"{\"ioc\":\"".to_vec(), &vec![b'x'; 64 << 20])),
        "success",
        "",
        0,
    ),
    case("text", "60 % less", || feed("text", 40), "suspect", "at most half", 0),
    case("text", "twelve times more", || feed("text", 1_200), "suspect", "at least ten times", 0),
    case(
        "text",
        "far too broad",
        || b"/\n*\n*.com\ncom\n0.0.0.0/0\n16.0.0.0/4\n::/0\n010.0.0.1\n0x7f000001\nhttp://\n".to_vec(),
        "suspect",
        "rejected",
        0,
    ),
    case(
        "text",
        "escapes of a terminal",
        || b"\x1b[31mred\x1b[0m\n\x07\x08\n\x1b]0;title\x07\n".repeat(90),
        "suspect",
        "rejected",
        0,
    ),
];

#[test]
fn a_hostile_file_withdraws_nothing() {
    each(FILES, 2, hostile_file);
}

/// Tries every case, so many at a time, and tells all that failed.
pub(crate) fn each<T: Sync>(cases: &[T], at_once: usize, attempt: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(why) = catch_unwind(AssertUnwindSafe(|| attempt(case))) {
                        let why = why.downcast_ref::<String>().cloned();
                        failures.lock().unwrap().push(why.unwrap_or_else(|| "it panicked".to_owned()));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n\n"));
}

fn hostile_file(case: &Case) {
    let value = if case.format == "text" { "" } else { ", value = \"ioc\"" };
    let desk = Desk::new(&format!("url = \"feed\", format = \"{}\"{value}", case.format));
    desk.put("feed", &feed(case.format, ROWS));
    desk.settled();
    desk.put("feed", &(case.body)());
    desk.suffer(case.name, case.status, case.why, case.more);
    // When the source is itself again, so is everything else.
    desk.put("feed", &feed(case.format, ROWS + 1));
    let back = desk.ok("pull --all --format json").json();
    assert_eq!(back[0]["status"], "success", "{}: {back}", case.name);
    assert_eq!(desk.ok("indicator count ''").out, format!("{}\n", ROWS + 1), "{}", case.name);
}

/// Answers one request.
pub(crate) type Answer = Arc<dyn Fn(&mut TcpStream) -> std::io::Result<()> + Send + Sync>;

/// A server on this machine whose answer can be changed.
pub(crate) struct Service {
    pub(crate) port: u16,
    answer: Arc<Mutex<Answer>>,
    ended: Arc<AtomicBool>,
}

impl Service {
    pub(crate) fn start() -> Service {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let good: Answer = Arc::new(|out| respond(out, "200 OK", "", &feed("text", ROWS)));
        let (answer, ended) = (Arc::new(Mutex::new(good)), Arc::new(AtomicBool::new(false)));
        let service = Service { port, answer: answer.clone(), ended: ended.clone() };
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                if ended.load(Ordering::Acquire) {
                    break;
                }
                let asked = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                asked.take_while(|line| !line.is_empty()).for_each(drop);
                let answer = answer.lock().unwrap().clone();
                // Whoever hangs up on a hostile answer is right.
                let _ = answer(&mut stream);
            }
        });
        service
    }

    pub(crate) fn answer(&self) -> Answer {
        self.answer.lock().unwrap().clone()
    }

    pub(crate) fn answers(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

pub(crate) fn respond(out: &mut TcpStream, status: &str, headers: &str, body: &[u8]) -> std::io::Result<()> {
    let length = body.len();
    write!(out, "HTTP/1.1 {status}\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n")?;
    out.write_all(body)
}

/// An answer of the network: name, what it does, why the run failed.
type Wire = (&'static str, fn(&mut TcpStream) -> std::io::Result<()>, &'static str);

const WIRES: &[Wire] = &[
    ("429", |out| respond(out, "429 Too Many Requests", "Retry-After: 7200\r\n", b"slow down"), "429"),
    ("503", |out| respond(out, "503 Service Unavailable", "Retry-After: 60\r\n", b""), "503"),
    ("500 again and again", |out| respond(out, "500 Internal Server Error", "", b"<html>\x1b[31moops"), "500"),
    ("401", |out| respond(out, "401 Unauthorized", "", b"who are you"), "401"),
    ("404", |out| respond(out, "404 Not Found", "", b"gone"), "404"),
    ("another origin", |out| respond(out, "302 Found", "Location: http://127.0.0.2:9/list\r\n", b""), "another origin"),
    (
        "the cloud's own address",
        |out| respond(out, "302 Found", "Location: http://169.254.169.254/\r\n", b""),
        "another origin",
    ),
    ("round and round", |out| respond(out, "302 Found", "Location: /list\r\n", b""), "redirects too often"),
    ("a log-in page", |out| respond(out, "200 OK", "Content-Type: text/html\r\n", &feed("text", ROWS)), "HTML page"),
    ("HTML without its type", |out| respond(out, "200 OK", "", b"<html><body>log in</body></html>"), "HTML page"),
    ("headers cut", |out| write!(out, "HTTP/1.1 200 OK\r\nContent-Ty"), ""),
    ("no HTTP", |out| out.write_all(b"SSH-2.0-OpenSSH_9.9\r\n\r\n"), "not HTTP"),
    (
        "headers without end",
        |out| {
            write!(out, "HTTP/1.1 200 OK\r\n")?;
            for n in 0..200_000 {
                write!(out, "X-{n}: {n}\r\n")?;
            }
            write!(out, "\r\n")
        },
        "not HTTP",
    ),
    (
        "body cut",
        |out| {
            write!(out, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")?;
            out.write_all(&feed("text", ROWS))
        },
        "cut short",
    ),
    (
        "chunk cut",
        |out| {
            write!(out, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFF\r\n")?;
            out.write_all(&feed("text", ROWS))
        },
        "cut short",
    ),
    ("a chunk of no size", |out| write!(out, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n1\r\n"), ""),
    ("encoding bomb", |out| respond(out, "200 OK", "Content-Encoding: gzip\r\n", &bomb(800)), "times its size"),
    (
        "encodings upon encodings",
        |out| {
            let body = gzip(&gzip(&gzip(&gzip(&feed("text", ROWS)))));
            respond(out, "200 OK", "Content-Encoding: gzip, gzip, gzip, gzip\r\n", &body)
        },
        "",
    ),
    (
        "encoding cut",
        |out| {
            let body = gzip(&feed("text", 5_000));
            respond(out, "200 OK", "Content-Encoding: gzip\r\n", &body[..body.len() / 2])
        },
        "",
    ),
    ("304 to nobody's question", |out| write!(out, "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n"), "304"),
];

#[test]
fn a_hostile_server_withdraws_nothing() {
    // More than there are cores: most of these wait between two tries.
    each(WIRES, 4, hostile_wire);
}

fn hostile_wire((name, answer, why): &Wire) {
    let service = Service::start();
    let desk = Desk::new(&format!("url = \"http://127.0.0.1:{}/list\"", service.port));
    desk.settled();
    let good = service.answer();
    service.answers(Arc::new(*answer));
    let report = desk.suffer(name, "failed", why, 0);
    assert_eq!((&report["read"], &report["new"]), (&0.into(), &0.into()), "{name}: {report}");
    service.answers(good);
    let back = desk.ok("pull --all --format json").json();
    assert_eq!(back[0]["status"], "not_modified", "{name}: {back}");
}

/// A disk that is full: writes beyond a limit fail as the system has them fail.
#[test]
fn a_disk_that_takes_no_more_loses_nothing() {
    let desk = Desk::new("url = \"feed\"");
    desk.put("feed", &feed("text", ROWS));
    desk.settled();
    let before = desk.list();
    let rows: Vec<String> = (0..60_000).map(|n| format!("46.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255)).collect();
    desk.put("feed", &with(feed("text", ROWS), rows.join("\n").as_bytes()));
    let binary = env!("CARGO_BIN_EXE_iocast");
    // 512-byte blocks. The signal is ignored so that the write fails instead of the process.
    for (what, blocks) in [("pull --all --format json", 600), ("backup copy.db", 40)] {
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec {binary} {what}");
        let done = desk.command("/bin/sh").args(["-c", &script]).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!said.contains("panicked"), "{what}: {said}");
        assert_eq!(done.status.code(), Some(1), "{what}: {said}{}", String::from_utf8_lossy(&done.stdout));
        assert!(
            said.contains("database") || said.contains("full") || said.contains("File too large"),
            "{what}: {said}"
        );
        assert_eq!(desk.ok("indicator count ''").out, format!("{ROWS}\n"), "{what}");
        assert_eq!(desk.list(), before, "{what}");
    }
    assert!(!desk.0.path().join("copy.db").exists(), "half a backup is none");
    desk.ok("backup whole.db");
}

/// The same with the error a full disk gives, where this machine lets us mount a small one.
#[test]
fn a_full_disk_says_so() {
    let desk = Desk::new("url = \"feed\"");
    desk.put("feed", &feed("text", ROWS));
    let rows: Vec<String> = (0..60_000).map(|n| format!("46.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255)).collect();
    desk.put("big", &with(feed("text", ROWS), rows.join("\n").as_bytes()));
    fs::create_dir(desk.0.path().join("data")).unwrap();
    let script = format!(
        "mount -t tmpfs -o size=2m tmpfs data || exit 77\n\
         export IOCAST_DATA=data/d; i={}\n\
         $i apply site.toml >&2 && $i pull --all >&2 && $i share --all --approve >&2 || exit 70\n\
         cp feed small; cp big feed\n\
         $i pull --all 2>said >&2; echo \"pull $?\"; cat said\n\
         $i indicator count ''; $i list show block | wc -l\n\
         mount -o remount,size=100m data || exit 77\n\
         cp small feed; cat small >/dev/null; echo 45.9.9.9 >>feed\n\
         $i pull --all >&2; echo \"again $?\"; $i indicator count ''",
        env!("CARGO_BIN_EXE_iocast")
    );
    let mut command = desk.command("unshare");
    let Ok(done) =
        command.args(["-rm", "/bin/sh", "-c", &script]).env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").output()
    else {
        return;
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&done.stdout), text(&done.stderr));
    if done.status.code() == Some(77) || out.is_empty() && err.starts_with("unshare") {
        return;
    }
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], "pull 1", "{out}{err}");
    assert!(lines[1].contains("the disk that holds the data directory is full"), "{out}{err}");
    assert_eq!(lines[2..], ["100", "100", "again 0", "101"], "{out}{err}");
}

#[test]
fn a_locked_directory_names_who_holds_it() {
    let desk = Desk::new("url = \"feed\"");
    desk.put("feed", &feed("text", ROWS));
    desk.settled();
    let mut holder = desk
        .command(env!("CARGO_BIN_EXE_iocast"))
        .args(["serve", "--listen", "127.0.0.1:0", "--no-schedule"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(holder.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(told.by_ref().any(|line| line.contains("listening on http://")));
    std::thread::spawn(move || told.for_each(drop));
    let (pid, mut runs) = (holder.id(), Vec::new());
    for line in [
        "pull --all",
        "share --all",
        "indicator count ''",
        "apply site.toml",
        "backup b.db",
        "serve --listen 127.0.0.1:0",
    ] {
        runs.push((line, desk.run(line)));
    }
    holder.kill().unwrap();
    holder.wait().unwrap();
    for (line, ran) in runs {
        assert_eq!(ran.code, 1, "{line}: {}{}", ran.out, ran.err);
        assert!(ran.err.contains(&format!("in use by process {pid}")), "{line}: {}", ran.err);
        assert!(ran.err.contains("stop it, or talk to it through its address"), "{line}: {}", ran.err);
    }
    desk.ok("indicator count ''");
}

/// What is written, what in its place, and what is said then beside the file and the line.
type Mistake = (&'static str, &'static str, &'static [&'static str]);

const MISTAKES: &[Mistake] = &[
    ("url = \"feed\"", "url = \"feed\", formt = \"csv\"", &["formt", "did you mean \"format\"?"]),
    ("url = \"feed\"", "url = \"feed\", format = \"tsv\"", &["format", "text, csv, json, ndjson"]),
    ("url = \"feed\"", "format = \"csv\"", &["url"]),
    ("url = \"feed\"", "url = 7", &["url", "text"]),
    ("url = \"feed\"", "url = \"gopher://x/\"", &["url", "https://"]),
    ("url = \"feed\"", "url = \"feed\", kind = \"ipv5\"", &["kind", "ipv4"]),
    ("connector = \"feed\"", "connector = \"fed\"", &["connector", "did you mean \"feed\"?"]),
    ("connector = \"feed\"", "connector = \"feed\"\ninterval = \"5x\"", &["interval", "60m"]),
    ("connector = \"feed\"", "connector = \"feed\"\ninterval = 5", &["interval", "text"]),
    ("connector = \"feed\"", "connector = \"feed\"\ntlp = \"purple\"", &["tlp", "amber"]),
    ("connector = \"feed\"", "connector = \"feed\"\noverride_reputation = 11", &["override_reputation", "10"]),
    ("\"127.0.0.0/8\"", "\"127.0.0.0/99\"", &["allow_private", "127.0.0.0/99"]),
    ("connection = \"edge\"", "connection = \"egde\"", &["connection", "edge"]),
    ("action = \"publish\"", "action = \"publsh\"", &["action", "publish"]),
    ("first_fill = \"allow\"", "first_fill = \"yes\"", &["first_fill", "approve"]),
    ("first_fill = \"allow\"", "retract = \"sometimes\"", &["retract", "always"]),
    ("first_fill = \"allow\"", "params = { format = \"xml\" }", &["format", "edl"]),
    ("first_fill = \"allow\"", "params = { capacity = 0 }", &["capacity", "1"]),
    ("first_fill = \"allow\"", "params = { capcity = 10 }", &["capcity", "capacity"]),
    ("reputation >= 1", "reputation >= high", &["when", "column"]),
    ("reputation >= 1", "value matches \"(\"", &["when", "column"]),
    ("rule = \"all\"", "rule = \"al\"", &["rule", "did you mean \"all\"?"]),
    ("target = \"block\"", "target = \"blok\"", &["target", "did you mean \"block\"?"]),
    ("source = \"any\"", "source = \"source-y\"", &["source", "did you mean \"source-x\"?"]),
    ("source = \"any\"", "source = \"any\"\nmax_tlp = \"pink\"", &["max_tlp", "amber"]),
    ("[[rule]]", "[[rules]]", &["rules", "did you mean \"rule\"?"]),
    ("[[rule]]", "[policy]\nreconcile = \"loudest\"\n[[rule]]", &["reconcile", "highest_reputation"]),
    ("[[rule]]", "[[rule]", &[""]),
];

#[test]
fn a_wrong_configuration_names_place_key_and_what_was_expected() {
    let desk = Desk::new("url = \"feed\"");
    let whole = fs::read_to_string(desk.0.path().join("site.toml")).unwrap();
    each(MISTAKES, 2, |mistake| wrong_configuration(&whole, mistake));
    assert_eq!(desk.ok("apply site.toml --dry-run").out.lines().filter(|line| line.starts_with("+ ")).count(), 5);
}

fn wrong_configuration(whole: &str, (from, to, says): &Mistake) {
    let desk = Desk::new("url = \"feed\"");
    assert!(whole.contains(from), "{from}");
    let wrong = whole.replacen(from, to, 1);
    let line = whole[..whole.find(from).unwrap()].lines().count().max(1);
    desk.put("wrong.toml", wrong.as_bytes());
    for command in ["apply wrong.toml", "check wrong.toml --offline"] {
        let ran = desk.run(command);
        assert_eq!(ran.code, 1, "{to}: {}{}", ran.out, ran.err);
        // The line itself, or one of those that were put in its place.
        let is_placed = (0..4).any(|more| ran.err.contains(&format!("wrong.toml:{}", line + more)));
        assert!(is_placed, "{command}: {to}: line {line}: {}", ran.err);
        for word in *says {
            assert!(ran.err.contains(word), "{command}: {to}: {word}: {}", ran.err);
        }
    }
}
