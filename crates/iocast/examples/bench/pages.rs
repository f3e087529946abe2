//! The console as a person at a browser sees it: every page, over everything, as a server gives it.
//!
//! Fifty connections, of which eight say almost everything; twenty-five targets with two sharings each; a plan of
//! many steps and a suspect run that wait. Each page is asked once and then many times, with a session's cookie, on a
//! connection of its own; the grid by each column and by filters of every sort.

use crate::browser::{self, Browser};
use crate::generate::{self, SOURCES};
use crate::measure::{Sheet, cpu_ms_of, mb, ms, rss};
use crate::serving::{self, Server, TOKEN};
use crate::world::{self, Fault, RULES};
use axum::body::Body;
use axum::http::Request;
use engine::Mode;
use http_body_util::BodyExt as _;
use iocast::api::route::Verb;
use iocast::app::{App, OpenOptions};
use iocast::web::routes;
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Instant;
use tower::ServiceExt as _;

/// The most a page may take, in milliseconds; of ten million indicators a grid.
const MOST_MS: f64 = 50.0;
const MOST_BIG_MS: f64 = 300.0;
/// From the address to the first thing that can be seen, in milliseconds.
const MOST_PAINT_MS: f64 = 200.0;
/// Times each page is asked after the first.
const ASKED: usize = 40;
/// Times each order and filter of the grid is asked.
const GRID_ASKED: usize = 6;
/// Changes after each of which pages are asked.
const CHANGES: usize = 20;
/// Connections and targets there are.
const CONNECTIONS: u32 = 50;
const TARGETS: usize = 25;
/// Indicators that the small sources are taken from.
const SMALL: u32 = 10_000;
const PASSWORD: &str = "four words for figures";

/// What somebody might look for.
const FILTERS: [&str; 13] = [
    "",
    "kind in (ipv4, domain, url, md5, sha256)",
    "reputation >= 7",
    "kind in (url, domain) and reputation >= 7 and not tag = \"family-7\"",
    "tag like \"family-1*\" and kind = url",
    "source = \"source-3\" and reputation >= 5",
    "n_sources >= 3 and reputation >= 5",
    "last_seen > \"2026-09-01\"",
    "value like \"*hosting*\"",
    "value like \"https://www1*\"",
    "comment like \"*analyst 77*\"",
    "expires_at < now + 3000d",
    "record(source = \"source-1\" and reputation >= 8)",
];
const SORTS: [&str; 11] = [
    "value",
    "kind",
    "reputation",
    "severity",
    "confidence",
    "tlp",
    "sources",
    "first_seen",
    "last_seen",
    "hits",
    "revision",
];

/// A number of a target's rule; above two million indicators only rules that select little.
fn rule_of(at: usize, n: u32) -> usize {
    const NARROW: [usize; 6] = [12, 15, 17, 18, 19, 14];
    if n > 2_000_000 { NARROW[at % NARROW.len()] } else { at % RULES.len() }
}

/// Everything there is, in a data directory, with somebody who may look at it.
pub(crate) fn prepare(dir: &Path, n: u32) -> Result<(), Fault> {
    world::write_feeds(dir, n, 0)?;
    let settings = |at: u32| generate::Style::Csv.settings(&world::feed_path(dir, at));
    let mut connections = vec![json!({ "name": "edge", "connector": "list" })];
    for at in 0..CONNECTIONS - 1 {
        if at >= SOURCES {
            let rows = generate::Rows::Of(at % SOURCES);
            generate::write_feed(&world::feed_path(dir, at), SMALL, rows, generate::Style::Csv, 0)?;
        }
        connections.push(world::source(&format!("source-{at}"), &settings(at)));
    }
    let target = |at: usize| {
        let mut params = json!({ "format": "edl", "access": "open" });
        if at == 5 {
            params["capacity"] = (n / 10).into();
        }
        let first_fill = if at == TARGETS - 1 { "approve" } else { "allow" };
        json!({ "name": format!("target-{at:02}"), "connection": "edge", "action": "publish", "first_fill": first_fill,
                "interval": "300d", "params": params })
    };
    let rule = |at: usize| format!("rule-{at:02}");
    // The last target's plan waits: everything of one kind.
    let second = |at: usize| if at == TARGETS - 1 { 1 } else { [13, 17, 18, 12][at % 4] };
    let sharings: Vec<Value> = (0..TARGETS)
        .flat_map(|at| {
            let source = format!("source-{}", at as u32 % SOURCES);
            let target = format!("target-{at:02}");
            [
                json!({ "source": "any", "rule": rule(rule_of(at, n)), "target": target }),
                json!({ "source": source, "rule": rule(second(at)), "target": target }),
            ]
        })
        .collect();
    let rules: Vec<Value> = RULES
        .iter()
        .enumerate()
        .map(|(at, when)| json!({ "name": rule(at), "when": when, "folder": "bench" }))
        .collect();
    {
        let engine = world::open(dir)?;
        world::apply(
            &engine,
            &json!({ "connection": connections, "target": (0..TARGETS).map(target).collect::<Vec<_>>(), "rule": rules,
                     "sharing": sharings }),
        )?;
        for source in 0..CONNECTIONS - 1 {
            world::pull(&engine, &format!("source-{source}"))?;
        }
        for at in 0..TARGETS {
            let report = world::share(&engine, &format!("target-{at:02}"), Mode::default())?;
            if at == 0 {
                println!("  · target-00 holds {}", report.present);
            }
        }
        // One that lists nothing any more waits for a person.
        let last = CONNECTIONS - 2;
        generate::write_feed(&world::feed_path(dir, last), 0, generate::Rows::All, generate::Style::Csv, 0)?;
        engine.pull(&format!("source-{last}"), &engine::Silent)?;
        serving::put_token(&engine)?;
    }
    add_person(&dir.join("data"))
}

/// Somebody who may look at everything, with a password of their own.
fn add_person(data: &Path) -> Result<(), Fault> {
    let router = iocast::api::router(App::open(OpenOptions::at(data))?);
    let runtime = tokio::runtime::Runtime::new()?;
    let made = runtime.block_on(async {
        let body = json!({ "name": "ada", "roles": ["administrator", "auditor"] }).to_string();
        let request = Request::post("/api/v1/users").header("content-type", "application/json");
        let response = router.oneshot(iocast::api::local(request.body(Body::from(body))?)).await?;
        Ok::<_, Fault>(response.into_body().collect().await?.to_bytes())
    })?;
    let made: Value = serde_json::from_slice(&made)?;
    let first = made["password"].as_str().ok_or_else(|| format!("no account: {made}"))?;
    std::fs::write(data.join("bench-password"), first)?;
    Ok(())
}

/// One answer, and how long it took from the first byte of the question to the last of the answer.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
    ms: f64,
}

fn fetch(port: u16, method: &str, path: &str, headers: &str, body: &str) -> Result<Answer, Fault> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    let begun = Instant::now();
    let length = body.len();
    stream.write_all(
        format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{headers}Content-Length: {length}\r\nConnection: \
             close\r\n\r\n{body}"
        )
        .as_bytes(),
    )?;
    let mut bytes = Vec::with_capacity(1 << 18);
    stream.read_to_end(&mut bytes)?;
    let ms = begun.elapsed().as_secs_f64() * 1e3;
    let end = memchr::memmem::find(&bytes, b"\r\n\r\n").ok_or("an answer without a head")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    Ok(Answer { status, head, body: bytes.split_off(end + 4), ms })
}

/// Signs in, with a password of their own; gives the cookie.
fn sign_in(port: u16, first: &str) -> Result<String, Fault> {
    let json = "Content-Type: application/json\r\nSec-Fetch-Site: same-origin\r\n";
    let body = json!({ "name": "ada", "password": first }).to_string();
    let answer = fetch(port, "POST", "/api/v1/sign-in", json, &body)?;
    let (cookie, csrf) = handed_out(&answer)?;
    if first == PASSWORD {
        return Ok(cookie);
    }
    let headers = format!("{json}Cookie: {cookie}\r\nX-Csrf-Token: {csrf}\r\n");
    let body = json!({ "old": first, "new": PASSWORD }).to_string();
    Ok(handed_out(&fetch(port, "POST", "/api/v1/me/password", &headers, &body)?)?.0)
}

fn handed_out(answer: &Answer) -> Result<(String, String), Fault> {
    let set = answer.head.lines().find_map(|line| line.strip_prefix("set-cookie: "));
    let cookie = set.and_then(|set| set.split(';').next()).ok_or_else(|| format!("no session: {}", answer.head))?;
    let body = answer.head.lines().any(|line| line.eq_ignore_ascii_case("transfer-encoding: chunked"));
    if body {
        return Err("an answer in pieces".into());
    }
    let json: Value = serde_json::from_slice(&answer.body)?;
    Ok((cookie.to_owned(), json["csrf"].as_str().unwrap_or_default().to_owned()))
}

/// Where something ended, sorted.
fn at(all: &mut [f64], part: f64) -> f64 {
    all.sort_by(f64::total_cmp);
    let place = (all.len() as f64 * part).ceil() as usize;
    all.get(place.saturating_sub(1)).copied().unwrap_or(0.0)
}

/// Escapes what stands in a query.
fn part(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte as char),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

struct Asker {
    port: u16,
    pid: u32,
    headers: String,
}

impl Asker {
    fn open(&self, path: &str) -> Result<Answer, Fault> {
        fetch(self.port, "GET", path, &self.headers, "")
    }

    /// Something becomes known.
    fn change(&self, at: usize) -> Result<(), Fault> {
        let headers = format!("Authorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n");
        let body = json!({ "items": [{ "value": format!("changed-{at}.bench-pages.com") }] }).to_string();
        let answer = fetch(self.port, "POST", "/api/v1/indicators", &headers, &body)?;
        if answer.status >= 300 {
            return Err(format!("a change: {}", String::from_utf8_lossy(&answer.body)).into());
        }
        Ok(())
    }

    /// The first link of a page to where one of its rows leads.
    fn first_row(&self, path: &str) -> Result<Option<String>, Fault> {
        let html = String::from_utf8_lossy(&self.open(path)?.body).into_owned();
        let link = html.split("data-href=\"").nth(1).and_then(|rest| rest.split('"').next());
        Ok(link.map(|link| link.replace("&#38;", "&").replace("&amp;", "&")))
    }
}

/// Every page with what its address needs. Others are told.
fn addresses(ask: &Asker, n: u32, sheet: &Sheet) -> Result<Vec<(String, String)>, Fault> {
    let mut value = String::new();
    let kind = generate::value(n / 2, &mut value).as_str();
    let indicator = format!("/indicators/{kind}/{}", part(&value));
    let mut all = Vec::new();
    for page in routes::TABLE.iter().filter(|page| page.method == Verb::Get) {
        let row = |list: &str| ask.first_row(list);
        let path = match page.path {
            "/" | "/setup" => continue,
            "/indicators/{kind}/{value}" => Some(indicator.clone()),
            "/activity/runs/{id}" => row("/activity?status=suspect")?.or(row("/activity")?),
            "/plans/{id}" => row("/plans")?,
            "/configure/connection" => row("/connections")?,
            "/configure/rule" => row("/rules")?,
            "/configure/sharing" => row("/sharing")?,
            "/configure/target" => row("/targets")?,
            path if path.contains('{') || path.starts_with("/live") => None,
            path => Some(path.to_owned()),
        };
        let answer = path.as_ref().map(|path| ask.open(path)).transpose()?;
        match (path, answer) {
            (Some(path), Some(answer)) if answer.status == 200 => all.push((page.path.to_owned(), path)),
            (_, answer) => sheet.note(&format!("{} is not asked ({:?})", page.path, answer.map(|a| a.status))),
        }
    }
    Ok(all)
}

pub(crate) fn run(dir: &Path, n: u32, sheet: &mut Sheet) -> Result<(), Fault> {
    let data = dir.join("data");
    // With `--keep` what is there is used again.
    if !data.join("bench-password").exists() {
        crate::apart("--prepare-pages", n, dir)?;
    }
    let first = std::fs::read_to_string(data.join("bench-password"))?;
    let mut server = Server::start(&data)?;
    let port = server.port;
    sheet.note(&format!("server up after {:?}", server.until("/api/v1/status", 200)?));
    let cookie = sign_in(port, &first).or_else(|_| sign_in(port, PASSWORD))?;
    let ask = Asker { port, pid: server.pid(), headers: format!("Cookie: {cookie}\r\nAccept: text/html\r\n") };
    let most = if n > 5_000_000 { MOST_BIG_MS } else { MOST_MS };
    let pages = every_page(&ask, n, most, sheet)?;
    grid(&ask, most, sheet)?;
    paging(&ask, most, sheet)?;
    changing(&ask, &pages, most, sheet)?;
    painting(&ask, &cookie, &pages, sheet);
    sheet.put("server resident", mb(rss(Some(server.pid()))), "", None, String::new());
    Ok(())
}

fn every_page(ask: &Asker, n: u32, most: f64, sheet: &mut Sheet) -> Result<Vec<(String, String)>, Fault> {
    // The first of all is asked before anything else was.
    let first = ask.open("/overview")?.ms;
    sheet.note(&format!("the first page of all, the overview: {}", ms(first)));
    let pages = addresses(ask, n, sheet)?;
    for (name, path) in &pages {
        let first = ask.open(path)?;
        let mut all = Vec::new();
        let cpu = cpu_ms_of(ask.pid);
        for _ in 0..ASKED {
            let answer = ask.open(path)?;
            if answer.status != 200 {
                return Err(format!("{path}: {}", answer.status).into());
            }
            all.push(answer.ms);
        }
        // The server's, in the mean: what others do on this machine is not in it.
        let cpu = (cpu_ms_of(ask.pid) - cpu) / ASKED as f64;
        let (p50, p95) = (at(&mut all, 0.5), at(&mut all, 0.95));
        sheet.put(
            format!("{name}: p95"),
            format!("{} (p50 {}, first {}, CPU {})", ms(p95), ms(p50), ms(first.ms), ms(cpu)),
            format!("≤ {most:.0} ms"),
            Some(p95 <= most),
            format!("{:.1} kB", first.body.len() as f64 / 1e3),
        );
    }
    Ok(pages)
}

fn grid(ask: &Asker, most: f64, sheet: &mut Sheet) -> Result<(), Fault> {
    let mut all = Vec::new();
    let mut of_filter: Vec<(&str, Vec<f64>)> = FILTERS.iter().map(|filter| (*filter, Vec::new())).collect();
    let mut of_sort: Vec<(&str, Vec<f64>)> = SORTS.iter().map(|sort| (*sort, Vec::new())).collect();
    let cpu = cpu_ms_of(ask.pid);
    for (filter, here) in &mut of_filter {
        for (sort, there) in &mut of_sort {
            for turn in 0..GRID_ASKED {
                let way = if turn % 2 == 0 { "-" } else { "" };
                // Another second bound each time, so that nothing that was counted before helps.
                let more = format!("&all={}", if turn % 3 == 0 { "1" } else { "" });
                let path = format!("/indicators?q={}&sort={way}{sort}{more}", part(filter));
                let answer = ask.open(&path)?;
                if answer.status != 200 || memchr::memmem::find(&answer.body, b"id=\"mistake\"").is_some() {
                    return Err(format!("{path}: {}", answer.status).into());
                }
                here.push(answer.ms);
                there.push(answer.ms);
                all.push(answer.ms);
            }
        }
    }
    let cpu = (cpu_ms_of(ask.pid) - cpu) / all.len() as f64;
    sheet.put("grid: the server's processor time for one, mean", ms(cpu), "", None, String::new());
    let bar = format!("≤ {most:.0} ms");
    let mut row = |what: String, times: &mut Vec<f64>| {
        let (p50, p95) = (at(times, 0.5), at(times, 0.95));
        let worst = times.last().copied().unwrap_or(0.0);
        sheet.put(
            what,
            format!("{} (p50 {}, most {})", ms(p95), ms(p50), ms(worst)),
            bar.clone(),
            Some(p95 <= most),
            String::new(),
        );
    };
    row("grid, 13 filters by 11 columns, both ways: p95".to_owned(), &mut all);
    for (filter, times) in &mut of_filter {
        row(format!("grid, where `{filter}`: p95"), times);
    }
    for (sort, times) in &mut of_sort {
        row(format!("grid, by {sort}: p95"), times);
    }
    Ok(())
}

/// From page to page, to the thirtieth.
fn paging(ask: &Asker, most: f64, sheet: &mut Sheet) -> Result<(), Fault> {
    let mut times = Vec::new();
    for sort in ["-last_seen", "value", "-reputation"] {
        let mut path = format!("/indicators?sort={sort}&rows=250");
        for _ in 0..30 {
            let answer = ask.open(&path)?;
            times.push(answer.ms);
            let html = String::from_utf8_lossy(&answer.body);
            let next = html.split("rel=\"next\" href=\"").nth(1).and_then(|rest| rest.split('"').next());
            path = next.ok_or("there is no next page")?.replace("&#38;", "&").replace("&amp;", "&");
        }
    }
    let (p50, p95) = (at(&mut times, 0.5), at(&mut times, 0.95));
    let got = format!("{} (p50 {})", ms(p95), ms(p50));
    sheet.put("grid, on and on by 250 rows: p95", got, format!("≤ {most:.0} ms"), Some(p95 <= most), String::new());
    Ok(())
}

/// What is counted once is counted again after a change: each page is asked right after one.
fn changing(ask: &Asker, pages: &[(String, String)], most: f64, sheet: &mut Sheet) -> Result<(), Fault> {
    let wanted = ["/overview", "/indicators", "/indicators/{kind}/{value}", "/sharing", "/targets"];
    for (name, path) in pages.iter().filter(|(name, _)| wanted.contains(&name.as_str())) {
        let mut times = Vec::new();
        for turn in 0..CHANGES {
            ask.change(turn)?;
            times.push(ask.open(path)?.ms);
        }
        let (p50, p95) = (at(&mut times, 0.5), at(&mut times, 0.95));
        let got = format!("{} (p50 {})", ms(p95), ms(p50));
        let what = format!("{name} right after a change: p95");
        sheet.put(what, got, format!("≤ {most:.0} ms"), Some(p95 <= most), String::new());
    }
    Ok(())
}

/// How soon something is seen, where there is a browser.
fn painting(ask: &Asker, cookie: &str, pages: &[(String, String)], sheet: &mut Sheet) {
    let address = format!("http://127.0.0.1:{}", ask.port);
    let painted = Browser::start().and_then(|browser| {
        browser.keep(&address, cookie)?;
        let mut slowest: Vec<(f64, String)> = Vec::new();
        for (name, path) in pages {
            let mut times = Vec::new();
            for _ in 0..5 {
                times.push(browser.first_paint(&format!("{address}{path}"))?);
            }
            let median = at(&mut times, 0.5);
            sheet.note(&format!("{name}: first paint after {}, at most {}", ms(median), ms(times[times.len() - 1])));
            slowest.push((median, name.clone()));
        }
        slowest.sort_by(|a, b| b.0.total_cmp(&a.0));
        Ok(slowest)
    });
    match painted {
        Ok(slowest) if !slowest.is_empty() => {
            let worst = &slowest[0];
            sheet.put(
                "first paint of the slowest page, median of 5",
                ms(worst.0),
                format!("≤ {MOST_PAINT_MS:.0} ms"),
                Some(worst.0 <= MOST_PAINT_MS),
                worst.1.clone(),
            );
        }
        Ok(_) => {}
        Err(error) => sheet.note(&format!("{}: {error}", browser::ABOUT)),
    }
}
