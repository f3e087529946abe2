//! Mock sources and tools on the loopback: five styles of destination with switchable faults, a feed, a source with pages.
//! (The sixth style, a list we serve, needs no server: it is read from us.)
//!
//! Plain HTTP/1.1, a request a connection. Everything that is asked and done is kept, in order, for the checker.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What goes wrong with the next calls that write.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fault {
    /// Answered with this status; nothing is done.
    Status(u16),
    /// Done; the answer ends in its middle.
    Cut,
    /// Done; no answer. Whoever waits for it is told.
    Hang,
    /// 207: every third item is refused, the others are done.
    Partial,
    /// 422 for the whole batch because of this value.
    Poison(String),
    /// Done; answered with something else than it should.
    Body(&'static str),
    /// Answered with a redirect to another host; nothing is done.
    Redirect,
    /// A person adds this entry just before.
    HumanEdit(String),
    /// Said to be done for all, and done for half.
    SilentDrop,
    /// Done, but not to be seen until the next call that writes.
    Lag,
    /// Done after so many milliseconds.
    Late(u64),
}

/// How the feed answers.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) enum Mood {
    #[default]
    Well,
    Cut,
    Html,
    Empty,
    Half,
}

/// An entry at a tool.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) value: String,
    pub(crate) id: String,
    /// Whose it is; empty: a person's.
    pub(crate) mark: String,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct List {
    pub(crate) live: Vec<Entry>,
    /// Staged: what is done at the next deployment.
    pending: Vec<(bool, Entry)>,
    version: u64,
    /// What is shown while the list lags.
    shown: Option<Vec<Entry>>,
}

impl List {
    fn seen(&self) -> &[Entry] {
        self.shown.as_deref().unwrap_or(&self.live)
    }
}

/// A change that was made at a tool at our request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Done {
    pub(crate) list: String,
    pub(crate) added: bool,
    pub(crate) value: String,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) lists: BTreeMap<String, List>,
    /// Changes since they were last taken.
    pub(crate) done: Vec<Done>,
    pub(crate) faults: VecDeque<Fault>,
    /// Told when something was done and is not answered.
    pub(crate) held: Option<Sender<()>>,
    pub(crate) feed: BTreeSet<String>,
    pub(crate) feed_version: u64,
    pub(crate) mood: Mood,
    pub(crate) pages: Vec<String>,
    /// The place after which the source with pages was last asked, at most.
    pub(crate) asked_after: usize,
    pub(crate) n_calls: u64,
    /// Of these, calls that change something.
    pub(crate) n_writes: u64,
    pub(crate) tenant: String,
    messages: BTreeSet<String>,
    next_id: u64,
}

/// The servers.
pub(crate) struct Mock {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
}

/// Entries of a page of the source with pages.
const PAGE: usize = 20;

impl Mock {
    /// Listens until the process ends.
    pub(crate) fn new() -> Mock {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State { tenant: "tenant-1".into(), ..State::default() }));
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = shared.clone();
                // Who is killed leaves in the middle of anything.
                std::thread::spawn(move || serve(&stream, &state));
            }
        });
        Mock { url, state }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A person's entry.
    pub(crate) fn person_adds(&self, list: &str, value: &str) {
        self.lock().person_adds(list, value);
    }

    pub(crate) fn list(&self, name: &str) -> List {
        self.lock().lists.get(name).cloned().unwrap_or_default()
    }
}

impl State {
    fn person_adds(&mut self, list: &str, value: &str) {
        self.next_id += 1;
        let id = format!("p{}", self.next_id);
        let list = self.lists.entry(list.to_owned()).or_default();
        list.version += 1;
        list.live.push(Entry { value: value.to_owned(), id, mark: String::new() });
    }

    /// Adds or takes away; what becomes of each item.
    fn change(
        &mut self,
        path: &str,
        style: &str,
        added: bool,
        mark: &str,
        items: &[Value],
        skip: &dyn Fn(usize) -> Option<&'static str>,
    ) -> Value {
        let mut results = Vec::new();
        for (at, item) in items.iter().enumerate() {
            let value = item["value"].as_str().unwrap_or_default().to_owned();
            match skip(at) {
                Some("refused") => {
                    results.push(json!({ "status": "refused", "why": "every third" }));
                    continue;
                }
                Some(_) => {
                    results.push(json!({ "status": "ok" }));
                    continue;
                }
                None => {}
            }
            self.next_id += 1;
            let fresh = format!("i{}", self.next_id);
            let list = self.lists.entry(path.to_owned()).or_default();
            list.version += 1;
            // What was staged last counts, as it will when it is deployed.
            let staged = list.pending.iter().rev().find(|(_, entry)| entry.value == value);
            let there = match staged {
                Some((added, entry)) => added.then(|| entry.clone()),
                None => list.live.iter().find(|entry| entry.value == value).cloned(),
            };
            let result = match (&there, added) {
                (Some(entry), _) if entry.mark != mark => json!({ "status": "foreign" }),
                // A list that grows knows nothing of what it has.
                (Some(entry), true) if style != "append" => json!({ "status": "ok", "id": entry.id }),
                (_, true) => {
                    let entry = Entry { value: value.clone(), id: fresh.clone(), mark: mark.to_owned() };
                    self.done.push(Done { list: path.to_owned(), added, value });
                    if style == "staged" {
                        list.pending.push((true, entry));
                    } else {
                        list.live.push(entry);
                    }
                    json!({ "status": "ok", "id": fresh })
                }
                (None, false) => json!({ "status": "ok" }),
                (Some(entry), false) => {
                    let entry = entry.clone();
                    self.done.push(Done { list: path.to_owned(), added, value });
                    if style == "staged" {
                        list.pending.push((false, entry));
                    } else {
                        list.live.retain(|other| other.id != entry.id);
                    }
                    json!({ "status": "ok" })
                }
            };
            results.push(result);
        }
        json!({ "results": results })
    }

    fn answer(&mut self, asked: &Asked) -> (u16, String) {
        let body: Value = serde_json::from_slice(&asked.body).unwrap_or(Value::Null);
        let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let ok = |value: &Value| (200, value.to_string());
        match (asked.method.as_str(), parts.as_slice()) {
            ("GET", ["hello"]) => ok(&json!({ "tenant": self.tenant })),
            ("GET", ["feed.txt"]) => self.feed_body(asked),
            ("GET", ["pages"]) => {
                let after: usize = query.trim_start_matches("after=").parse().unwrap_or(0);
                self.asked_after = self.asked_after.max(after);
                let end = self.pages.len().min(after + PAGE);
                let items = &self.pages[after.min(end)..end];
                ok(&json!({ "items": items, "next": end, "more": end < self.pages.len() }))
            }
            ("POST", ["hook"]) => {
                if self.messages.insert(asked.header("webhook-id")) {
                    self.told(&body);
                }
                (204, String::new())
            }
            ("POST", [style, name, verb @ ("add" | "remove")]) => {
                let list = format!("{style}/{name}");
                let fault = self.faults.front().cloned();
                let partial = fault == Some(Fault::Partial);
                let drops = fault == Some(Fault::SilentDrop);
                let skip = |at: usize| match at {
                    at if partial && at % 3 == 2 => Some("refused"),
                    at if drops && at % 2 == 1 => Some("dropped"),
                    _ => None,
                };
                let items = body["items"].as_array().cloned().unwrap_or_default();
                let mark = body["mark"].as_str().unwrap_or_default();
                let answer = self.change(&list, style, *verb == "add", mark, &items, &skip);
                (if partial { 207 } else { 200 }, answer.to_string())
            }
            ("POST", [style, name, "find"]) => {
                let list = self.lists.entry(format!("{style}/{name}")).or_default();
                let find = |value: &Value| {
                    let at = |entry: &&Entry| value == &entry.value;
                    let pending = list.pending.iter().filter(|(added, _)| *added).map(|(_, entry)| entry).find(at);
                    list.seen().iter().find(at).or(pending).map(|e| json!({ "id": e.id, "mark": e.mark }))
                };
                let values = body["values"].as_array().cloned().unwrap_or_default();
                let found: Vec<Option<Value>> = values.iter().map(find).collect();
                ok(&json!({ "found": found }))
            }
            ("GET", [style, name, "all"]) => {
                let list = self.lists.entry(format!("{style}/{name}")).or_default();
                let items: Vec<Value> =
                    list.seen().iter().map(|e| json!({ "value": e.value, "id": e.id, "mark": e.mark })).collect();
                ok(&json!({ "version": list.version, "total": items.len(), "items": items }))
            }
            ("PUT", [style, name, "all"]) => self.replace(&format!("{style}/{name}"), &asked.header("if-match"), &body),
            ("POST", [style, name, "deploy"]) => {
                let list = self.lists.entry(format!("{style}/{name}")).or_default();
                if list.pending.iter().any(|(_, entry)| entry.mark != body["mark"]) {
                    return (409, "somebody else has changes pending".into());
                }
                for (added, entry) in std::mem::take(&mut list.pending) {
                    if added {
                        list.live.push(entry);
                    } else {
                        list.live.retain(|other| other.id != entry.id);
                    }
                }
                ok(&json!({}))
            }
            _ => (404, String::new()),
        }
    }

    fn replace(&mut self, path: &str, version: &str, body: &Value) -> (u16, String) {
        self.next_id += 1;
        let next = self.next_id;
        let list = self.lists.entry(path.to_owned()).or_default();
        if !version.is_empty() && version != list.version.to_string() {
            return (412, "it has changed".into());
        }
        list.version += 1;
        let mut live = Vec::new();
        for (at, item) in body["items"].as_array().into_iter().flatten().enumerate() {
            let value = item["value"].as_str().unwrap_or_default();
            let kept = item["keep"].as_str().and_then(|id| list.live.iter().find(|entry| entry.id == id));
            let ours = list.live.iter().find(|entry| entry.value == value && item["mark"] == entry.mark.as_str());
            live.push(kept.or(ours).cloned().unwrap_or_else(|| Entry {
                value: value.to_owned(),
                id: format!("r{next}-{at}"),
                mark: item["mark"].as_str().unwrap_or_default().to_owned(),
            }));
        }
        for (added, these, those) in [(true, &live, &list.live), (false, &list.live, &live)] {
            for entry in these.iter().filter(|entry| !those.iter().any(|other| other.id == entry.id)) {
                self.done.push(Done { list: path.to_owned(), added, value: entry.value.clone() });
            }
        }
        list.live = live;
        (200, "{}".into())
    }

    /// What a message of changes says is applied.
    fn told(&mut self, message: &Value) {
        for item in message["data"]["items"].as_array().into_iter().flatten() {
            let value = item["value"].as_str().unwrap_or_default().to_owned();
            let added = item["op"] != "remove";
            let list = self.lists.entry("stream".into()).or_default();
            list.live.retain(|entry| entry.value != value);
            if added {
                list.live.push(Entry { value: value.clone(), id: String::new(), mark: "ours".into() });
            }
            self.done.push(Done { list: "stream".into(), added, value });
        }
    }

    fn feed_body(&self, asked: &Asked) -> (u16, String) {
        let all: Vec<&str> = self.feed.iter().map(String::as_str).collect();
        match self.mood {
            Mood::Well if asked.header("if-none-match") == format!("\"v{}\"", self.feed_version) => {
                (304, String::new())
            }
            Mood::Well | Mood::Cut => (200, all.join("\n")),
            Mood::Html => (200, "<!DOCTYPE html><html><body>Please sign in</body></html>".into()),
            Mood::Empty => (200, String::new()),
            Mood::Half => (200, all[..all.len() * 2 / 5].join("\n")),
        }
    }
}

struct Asked {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Asked {
    fn header(&self, name: &str) -> String {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone()).unwrap_or_default()
    }

    fn writes(&self) -> bool {
        let reads = self.path.ends_with("/find") || self.method == "GET";
        !reads
    }

    fn read(stream: &TcpStream) -> Option<Asked> {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
        let mut words = line.split_whitespace();
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let mut asked = Asked { method, path, headers, body: Vec::new() };
        asked.body = vec![0; asked.header("content-length").parse().unwrap_or(0)];
        reader.read_exact(&mut asked.body).ok()?;
        Some(asked)
    }
}

/// Takes one request; None: the other side has gone.
fn serve(mut stream: &TcpStream, state: &Mutex<State>) -> Option<()> {
    let asked = Asked::read(stream)?;
    let lock = || state.lock().unwrap_or_else(PoisonError::into_inner);
    let mut guard = lock();
    guard.n_calls += 1;
    guard.n_writes += u64::from(asked.writes());
    let fault = if asked.writes() { guard.faults.front().cloned() } else { None };
    let list = asked.path.trim_matches('/').rsplit_once('/').map_or("", |(list, _)| list).to_owned();
    let refused = match &fault {
        Some(Fault::Status(status)) => Some((*status, String::new())),
        Some(Fault::Redirect) => Some((302, String::new())),
        Some(Fault::Poison(value)) if String::from_utf8_lossy(&asked.body).contains(&format!("\"{value}\"")) => {
            Some((422, format!("{value} is no address")))
        }
        _ => None,
    };
    if let Some(Fault::HumanEdit(value)) = &fault {
        guard.person_adds(&list, value);
    }
    let lagging =
        (fault == Some(Fault::Lag)).then(|| guard.lists.get(&list).map(|l| l.live.clone()).unwrap_or_default());
    let (status, mut body) = match refused {
        Some(answer) => answer,
        None => guard.answer(&asked),
    };
    if asked.writes()
        && let Some(list) = guard.lists.get_mut(&list)
    {
        list.shown = lagging;
    }
    if fault.is_some() && !matches!(fault, Some(Fault::Poison(_))) {
        guard.faults.pop_front();
    }
    let is_feed = asked.path.starts_with("/feed.txt");
    let tag = if is_feed { format!("ETag: \"v{}\"\r\n", guard.feed_version) } else { String::new() };
    let cut = fault == Some(Fault::Cut) || (is_feed && guard.mood == Mood::Cut);
    let held = guard.held.clone();
    drop(guard);
    match fault {
        Some(Fault::Hang) => {
            if let Some(held) = held {
                let _ = held.send(());
            }
            // Until the other side has had enough.
            let _ = stream.read(&mut [0; 1]);
            return None;
        }
        Some(Fault::Body(text)) => text.clone_into(&mut body),
        Some(Fault::Late(millis)) => {
            // Nobody ever says anything here: a wait with an end.
            let (_keep, never) = std::sync::mpsc::channel::<()>();
            let _ = never.recv_timeout(std::time::Duration::from_millis(millis));
        }
        _ => {}
    }
    let kind = match body.as_bytes().first() {
        Some(b'{') => "application/json",
        Some(b'<') => "text/html",
        _ => "text/plain",
    };
    let to = if status == 302 { "Location: http://192.0.2.1/elsewhere\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {status} Said\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n{tag}{to}Connection: close\r\n\r\n",
        body.len()
    );
    let bytes = [head.as_bytes(), body.as_bytes()].concat();
    let end = if cut { head.len() + body.len() / 2 } else { bytes.len() };
    stream.write_all(&bytes[..end]).ok()
}
