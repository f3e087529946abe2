//! A TAXII 2.1 server on the loopback, for tests of the real binary: one collection that is read and one that is written
//! to. It notes what must never be: two contents of one version, two objects for one value.

use intel::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

const TAXII: &str = "application/taxii+json;version=2.1";
/// Objects a page.
const PAGE: usize = 100;

/// Objects with the microsecond of their addition, in order.
#[derive(Default)]
struct Stored {
    offered: Vec<(i64, Value)>,
    taken: Vec<(i64, Value)>,
    n_posts: usize,
    n_repeats: usize,
    n_pages: usize,
}

#[derive(Clone)]
pub(crate) struct Collections {
    /// The API root.
    pub(crate) url: String,
    stored: Arc<Mutex<Stored>>,
}

fn micros() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros() as i64
}

/// The newest version of each object.
fn newest(objects: &[(i64, Value)]) -> BTreeMap<&str, &Value> {
    let mut newest: BTreeMap<&str, &Value> = BTreeMap::new();
    for (_, object) in objects {
        let held = newest.entry(object["id"].as_str().unwrap()).or_insert(object);
        if held["modified"].as_str() < object["modified"].as_str() {
            *held = object;
        }
    }
    newest
}

/// Values of the indicators that are not revoked, each once.
fn values(objects: &[(i64, Value)]) -> BTreeSet<String> {
    let newest = newest(objects);
    let standing = newest.values().filter(|o| o["type"] == "indicator" && o["revoked"] != json!(true));
    let mut values = BTreeSet::new();
    for object in standing {
        let value = object["pattern"].as_str().unwrap().split('\'').nth(1).unwrap();
        assert!(values.insert(value.to_owned()), "two objects for {value}");
    }
    values
}

impl Collections {
    /// Listens until the process ends.
    pub(crate) fn new() -> Collections {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/api/", listener.local_addr().unwrap());
        let collections = Collections { url, stored: Arc::default() };
        let shared = Arc::clone(&collections.stored);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let stored = Arc::clone(&shared);
                // Who is killed leaves in the middle of anything.
                std::thread::spawn(move || serve(&stream, &stored));
            }
        });
        collections
    }

    /// Offers a version of an object for each of these addresses, all added at one moment.
    pub(crate) fn offer(&self, version: u32, numbers: impl IntoIterator<Item = u32>, revoked: bool) {
        let mut stored = self.stored.lock().unwrap();
        let added = micros().max(stored.offered.last().map_or(0, |(added, _)| added + 1));
        for n in numbers {
            let object = json!({
                "type": "indicator", "spec_version": "2.1", "id": format!("indicator--{n:08x}-0000-4000-8000-000000000000"),
                "created": "2026-01-01T00:00:00.000Z", "modified": format!("2026-01-01T{:02}:{:02}:00.000Z", version / 60, version % 60),
                "revoked": revoked, "labels": [format!("v{version}")], "pattern_type": "stix",
                "pattern": format!("[ipv4-addr:value = '47.0.{}.{}']", n >> 8 & 255, n & 255),
                "valid_from": "2026-01-01T00:00:00.000Z",
            });
            stored.offered.push((added, object));
        }
    }

    /// What is offered and not revoked.
    pub(crate) fn offered(&self) -> BTreeSet<String> {
        values(&self.stored.lock().unwrap().offered)
    }

    /// How many objects were ever offered.
    pub(crate) fn n_offered(&self) -> usize {
        newest(&self.stored.lock().unwrap().offered).len()
    }

    /// What was put there and is not revoked.
    pub(crate) fn taken(&self) -> BTreeSet<String> {
        values(&self.stored.lock().unwrap().taken)
    }

    /// The labels of what stands in the collection that is written to.
    pub(crate) fn labels(&self) -> BTreeMap<String, String> {
        let stored = self.stored.lock().unwrap();
        let newest = newest(&stored.taken);
        let standing = newest.values().filter(|o| o["type"] == "indicator" && o["revoked"] != json!(true));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        standing.map(|o| (text(&o["name"]), text(&o["labels"][0]))).collect()
    }

    /// The same of what is offered.
    pub(crate) fn offered_labels(&self) -> BTreeMap<String, String> {
        let stored = self.stored.lock().unwrap();
        let newest = newest(&stored.offered);
        let standing = newest.values().filter(|o| o["revoked"] != json!(true));
        let value = |o: &Value| o["pattern"].as_str().unwrap().split('\'').nth(1).unwrap().to_owned();
        standing.map(|o| (value(o), o["labels"][0].as_str().unwrap().to_owned())).collect()
    }

    /// Pages read, messages taken, and objects that came again in a version that was there.
    pub(crate) fn traffic(&self) -> (usize, usize, usize) {
        let stored = self.stored.lock().unwrap();
        (stored.n_pages, stored.n_posts, stored.n_repeats)
    }
}

/// Answers one request after another; None: the other side has gone.
fn serve(stream: &TcpStream, stored: &Mutex<Stored>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request).ok()? == 0 {
            return None;
        }
        let (mut length, mut line) = (0, String::new());
        while line != "\r\n" {
            line.clear();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let (status, headers, body) = answer(&mut stored.lock().unwrap(), &request, &body);
        let head = format!("HTTP/1.1 {status} x\r\nContent-Type: {TAXII}\r\nContent-Length: {}\r\n", body.len());
        (&mut &*stream).write_all(format!("{head}{headers}\r\n{body}").as_bytes()).ok()?;
    }
}

fn answer(stored: &mut Stored, request: &str, body: &[u8]) -> (u16, String, String) {
    let mut words = request.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query: BTreeMap<&str, String> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key, value.replace("%3A", ":")))
        .collect();
    let ok = |value: Value| (200, String::new(), value.to_string());
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match (method, &parts[..]) {
        ("GET", ["api"]) => ok(json!({ "title": "x", "versions": [TAXII], "max_content_length": 20_000 })),
        ("GET", ["api", "collections", id]) => {
            ok(json!({ "id": id, "title": id, "can_read": true, "can_write": *id == "taken" }))
        }
        ("GET", ["api", "collections", "offered", "objects"]) => {
            stored.n_pages += 1;
            let after = query.get("added_after").and_then(|text| Timestamp::parse(text)).map_or(0, Timestamp::micros);
            let from = query.get("next").map_or(0, |next| next.parse().unwrap());
            let objects = stored.offered.iter().enumerate().skip(from).filter(|(_, (added, _))| *added > after);
            let page: Vec<(usize, &(i64, Value))> = objects.take(PAGE + 1).collect();
            let next = page.get(PAGE).map(|(at, _)| at.to_string());
            let page = &page[..page.len().min(PAGE)];
            let date = |at: Option<&(usize, &(i64, Value))>| {
                at.map_or_else(String::new, |(_, (added, _))| Timestamp::from_micros(*added).to_string())
            };
            let headers = format!(
                "X-TAXII-Date-Added-First: {}\r\nX-TAXII-Date-Added-Last: {}\r\n",
                date(page.first()),
                date(page.last())
            );
            let objects: Vec<&Value> = page.iter().map(|(_, (_, object))| object).collect();
            let mut envelope = json!({ "objects": objects, "more": next.is_some() });
            if let Some(next) = next {
                envelope["next"] = json!(next);
            }
            (200, headers, envelope.to_string())
        }
        ("GET", ["api", "collections", "taken", "objects", id]) => match newest(&stored.taken).get(id) {
            Some(object) => ok(json!({ "objects": [object] })),
            None => (404, String::new(), "{}".to_owned()),
        },
        ("POST", ["api", "collections", "taken", "objects"]) => {
            stored.n_posts += 1;
            let envelope: Value = serde_json::from_slice(body).unwrap();
            let objects = envelope["objects"].as_array().unwrap();
            for object in objects {
                let same =
                    |(_, held): &&(i64, Value)| held["id"] == object["id"] && held["modified"] == object["modified"];
                match stored.taken.iter().find(same) {
                    Some((_, held)) => {
                        let revoked = |one: &Value| one["revoked"] == json!(true);
                        assert!(held == object || revoked(held) && revoked(object), "{held} and {object}");
                        stored.n_repeats += usize::from(object["type"] == "indicator");
                    }
                    None => stored.taken.push((micros(), object.clone())),
                }
            }
            let successes: Vec<Value> =
                objects.iter().map(|o| json!({ "id": o["id"], "version": o["modified"] })).collect();
            let status = json!({
                "id": "5abfc4a6-0000-4000-8000-000000000001", "status": "complete", "total_count": objects.len(),
                "success_count": objects.len(), "successes": successes, "failure_count": 0, "pending_count": 0,
            });
            (202, String::new(), status.to_string())
        }
        _ => (404, String::new(), "{}".to_owned()),
    }
}
