//! What pulling from a TAXII server costs the client: 5,000 indicators in pages of 1,000 from a server that only hands out
//! bytes it made before, through the connector, as normalised rows. The processor's time of the client's thread counts, so
//! that the server's speed does not matter.
//!
//! Where the counterparts are installed (`cargo xtask counterparts`), `counterparts/mapping_cost.py` does the least that a
//! client in Python can do, against the same server in the same run: then that is the bar. Else the bar is what was measured
//! of a plugin in use.

use crate::measure::{Sheet, Took, thread_cpu_ms};
use crate::parsing::Forget;
use crate::world::Fault;
use intel::Timestamp;
use kit::files::Files;
use kit::http::{Egress, Http, HttpConfig, SystemWait};
use kit::{Connection, Cx, Pulled};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::thread;

const N: u32 = 5_000;
const PAGE: u32 = 1_000;
const ROUNDS: u32 = 20;
/// How many times less processor time an object may cost us than a client in Python.
pub(crate) const BAR: f64 = 10.0;
/// Microseconds of the processor an object cost the plugin stix_taxii 3.2.0 of a comparable exchange (BSD-3): its pull from a
/// TAXII 2.1 server, with taxii2-client 2.3, pydantic 2 and Python 3.11, of these same 5,000 indicators in pages of 1,000
/// from a server on loopback; the base package it needs is not public, and was replaced by classes without a store. The best of
/// twelve rounds on two shared cores, which is the round that is hardest to beat.
const PLUGIN_MICROS: f64 = 24.4;

fn indicator(n: u32) -> Value {
    let pattern = match n % 4 {
        0 => format!("[ipv4-addr:value = '{}.{}.{}.{}']", 1 + n % 99, n / 250 % 250, n % 250, 1 + n % 200),
        1 => format!("[domain-name:value = 'host-{n}.example.net']"),
        2 => format!("[url:value = 'http://host-{n}.example.net/path/{n}?q={n}']"),
        _ => format!("[file:hashes.'SHA-256' = '{n:064x}']"),
    };
    json!({
        "type": "indicator", "spec_version": "2.1", "id": format!("indicator--00000000-0000-4000-8000-{n:012x}"),
        "created_by_ref": "identity--00000000-0000-4000-8000-000000000001", "created": "2026-01-01T00:00:00.000Z",
        "modified": "2026-01-02T00:00:00.000Z", "name": format!("indicator {n}"),
        "description": "Seen in a campaign that was written about at length in a report of some kind.",
        "indicator_types": ["malicious-activity"], "labels": ["malware", "c2"], "pattern": pattern, "pattern_type": "stix",
        "pattern_version": "2.1", "valid_from": "2026-01-01T00:00:00Z", "confidence": 80,
        "object_marking_refs": ["marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb"],
    })
}

/// Bodies by path, pages by their `next`.
fn bodies(root: &str) -> Bodies {
    let collection = json!({"id": "c", "title": "C", "can_read": true, "can_write": false,
        "media_types": ["application/stix+json;version=2.1"]});
    let mut all = HashMap::new();
    let mut put = |path: &str, body: &Value, headers: String| {
        all.insert(path.to_owned(), (body.to_string().into_bytes(), headers));
    };
    put("/taxii2/", &json!({"title": "t", "api_roots": [format!("{root}/api/")]}), String::new());
    put("/api/collections/", &json!({ "collections": [collection] }), String::new());
    put("/api/collections/c/", &collection, String::new());
    for page in 0..N / PAGE {
        let objects: Vec<Value> = (page * PAGE..(page + 1) * PAGE).map(indicator).collect();
        let is_last = page + 1 == N / PAGE;
        let mut body = json!({"more": !is_last, "objects": objects});
        if !is_last {
            body["next"] = json!((page + 1).to_string());
        }
        let date = |minute| format!("2026-02-01T00:{minute:02}:00.000000Z");
        let (first, last) = (date(page), date(page + 1));
        put(
            &format!("objects?{page}"),
            &body,
            format!("X-TAXII-Date-Added-First: {first}\r\nX-TAXII-Date-Added-Last: {last}\r\n"),
        );
    }
    all
}

/// Bodies and more headers, by path; of a path that ends in `/objects/`, by `objects?` and the page.
pub(crate) type Bodies = HashMap<String, (Vec<u8>, String)>;

/// Serves on a port of its own until the process ends.
pub(crate) fn serve(bodies: impl FnOnce(&str) -> Bodies) -> Result<String, Fault> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let root = format!("http://{}", listener.local_addr()?);
    let bodies = Arc::new(bodies(&root));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let bodies = Arc::clone(&bodies);
            thread::spawn(move || answer(&stream, &bodies));
        }
    });
    Ok(root)
}

/// Answers on one connection until it ends.
fn answer(stream: &TcpStream, bodies: &Bodies) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut lines = BufReader::new(stream);
    loop {
        let mut request = String::new();
        if lines.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let mut line = String::new();
        while lines.read_line(&mut line)? > 2 {
            line.clear();
        }
        let target = request.split(' ').nth(1).unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let next = query.split('&').find_map(|pair| pair.strip_prefix("next=")).unwrap_or("0");
        let key = if path.ends_with("/objects/") { format!("objects?{next}") } else { path.to_owned() };
        let mut out = stream;
        match bodies.get(&key) {
            None => out.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?,
            Some((body, headers)) => {
                write!(
                    out,
                    "HTTP/1.1 200 OK\r\nContent-Type: application/taxii+json;version=2.1\r\n{headers}Content-Length: {}\r\n\r\n",
                    body.len()
                )?;
                out.write_all(body)?;
            }
        }
    }
}

/// A client that may go to such a server.
pub(crate) fn client() -> Result<Http, Fault> {
    let config = HttpConfig {
        egress: Egress { allow_http: true, allow_private: vec!["127.0.0.0/8".parse()?], ports: Vec::new() },
        ..HttpConfig::default()
    };
    Ok(Http::live(config, Arc::new(SystemWait::default()))?)
}

/// One pull from the beginning to the end.
fn pull(connection: &dyn Connection) -> Result<Forget, Fault> {
    let http = client()?;
    let files = Files::below(Vec::new());
    let now = Timestamp::from_secs(1_790_000_000);
    let cx = Cx { http: &http, files: &files, now, initial_from: Timestamp::from_secs(1_700_000_000) };
    let source = connection.source().ok_or("taxii is a source")?;
    let (mut after, mut rows) = (None, Forget::default());
    while let Pulled::More(cursor) = source.pull(after.as_ref(), &cx, &mut rows)? {
        after = Some(cursor);
    }
    Ok(rows)
}

pub(crate) fn run(sheet: &mut Sheet) -> Result<(), Fault> {
    let root = serve(bodies)?;
    let all = connectors::all();
    let connector = all.iter().find(|one| one.manifest().name == "taxii").ok_or("there is no connector taxii")?;
    let settings = connector.manifest().check(&json!({"url": format!("{root}/taxii2/"), "page_size": PAGE}));
    let settings = settings.map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    let connection = connector.open(&settings)?;
    let warm = pull(connection.as_ref())?;
    if warm.rows != u64::from(N) || warm.rejected > 0 {
        return Err(format!("{} of {N} rows taken, {} rejected", warm.rows, warm.rejected).into());
    }
    let (cpu, begun) = (thread_cpu_ms(), std::time::Instant::now());
    for _ in 0..ROUNDS {
        pull(connection.as_ref())?;
    }
    let took = Took {
        wall: begun.elapsed().as_secs_f64() * 1e3 / f64::from(ROUNDS),
        cpu: (thread_cpu_ms() - cpu) / f64::from(ROUNDS),
    };
    let micros = took.cpu * 1e3 / f64::from(N);
    let got = format!("{micros:.2} µs CPU an object ({:.0} k/s)", 1e3 / micros);
    let theirs = python(&root)?;
    if theirs.is_none() {
        sheet.note("no Python client to compare with: `cargo xtask counterparts` installs it");
    }
    let bar = theirs.unwrap_or(PLUGIN_MICROS) / BAR;
    let beside = theirs
        .map_or_else(String::new, |theirs| format!("the least in Python: {theirs:.1} µs, {:.1} ×; ", theirs / micros));
    sheet.put(
        "5,000 indicators in pages of 1,000, fetched and mapped",
        got,
        format!("≤ {bar:.2} µs, a tenth of Python"),
        Some(micros <= bar),
        format!("{beside}a plugin in use: {PLUGIN_MICROS} µs, {:.1} ×", PLUGIN_MICROS / micros),
    );
    Ok(())
}

/// What the Python client needs, in microseconds of processor time an object.
fn python(root: &str) -> Result<Option<f64>, Fault> {
    let (Some(python), Some(script)) =
        (std::env::var_os("IOCAST_BENCH_PYTHON"), std::env::var_os("IOCAST_BENCH_SCRIPT"))
    else {
        return Ok(None);
    };
    let output = Command::new(python).arg(script).arg(format!("{root}/api/collections/c/")).arg("3").output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let said: Value = serde_json::from_slice(&output.stdout)?;
    if said["objects"] != json!(N) {
        return Err(format!("the Python client mapped {} of {N}", said["objects"]).into());
    }
    Ok(said["cpu_us_per_object"].as_f64())
}
