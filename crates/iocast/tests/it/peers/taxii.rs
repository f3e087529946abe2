//! A TAXII 2.1 server with everything that makes one hard to talk to: small pages, many objects of one `date_added`,
//! statuses that stay pending, versions, and media types it insists on.
//!
//! Written from the specification, <https://docs.oasis-open.org/cti/taxii/v2.1/os/taxii-v2.1-os.html>; it knows nothing
//! of a client.

use super::{Dice, Held, Server, place};
use intel::Timestamp;
use kit::http::{Answer, Sent};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

const TAXII: &str = "application/taxii+json;version=2.1";
const STIX: &str = "application/stix+json;version=2.1";
/// Objects a page, whatever is asked for.
const PAGE: usize = 3;
/// Bytes a message.
const MESSAGE: usize = 4_000;
/// Looks at the status of a message that takes long: more than anybody has.
const SLOW: u64 = 1_000_000;
/// Who else writes here.
pub(crate) const OTHERS: &str = "identity--0a0a0a0a-0000-4000-8000-000000000000";

/// One version of one object.
struct Stored {
    object: Value,
    added: Timestamp,
}

/// What was posted and is not all there yet.
struct Posted {
    waiting: Vec<Value>,
    successes: Vec<Value>,
    failures: Vec<Value>,
    at: Timestamp,
    /// So many more looks at the status until it is done.
    looks: u64,
    /// It is done when this is over, whether anybody looked or not.
    longest: Duration,
}

/// Collections at `/api/collections/ID/`.
pub(crate) struct Taxii {
    collections: BTreeMap<String, Vec<Stored>>,
    posts: BTreeMap<String, (String, Posted)>,
    /// It does not want some objects.
    picky: bool,
    /// Percent of messages it takes up to hours for.
    slow: u64,
    /// Messages are worked on one after another.
    in_order: bool,
}

fn answer(status: u16, body: &Value) -> Answer {
    Answer::new(status, body.to_string()).header_pair("Content-Type", TAXII)
}

fn error(status: u16, title: &str) -> Answer {
    answer(status, &json!({ "title": title, "http_status": status.to_string() }))
}

fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object[key].as_str().unwrap_or_default()
}

/// Whether a media type is one of ours: with our version, or none.
fn is_media(text: &str, wanted: &str) -> bool {
    let text = text.replace(' ', "");
    let (name, version) = wanted.split_once(';').unwrap();
    match text.split_once(';') {
        None => text == name,
        Some((got, parameters)) => got == name && parameters.split(';').any(|parameter| parameter == version),
    }
}

fn wants_no_ours(sent: &Sent) -> bool {
    let accepted = sent.header("accept").unwrap_or("*/*");
    !accepted.split(',').any(|one| {
        let one = one.trim();
        one.starts_with("*/*") || one == "application/*" || is_media(one, TAXII) || is_media(one, STIX)
    })
}

impl Taxii {
    pub(crate) fn new(in_order: bool) -> Taxii {
        let collections = ["c1", "c2", "c3"].map(|id| (id.to_owned(), Vec::new())).into();
        Taxii { collections, posts: BTreeMap::new(), picky: false, slow: 0, in_order }
    }

    /// The newest version of each object, by id.
    fn newest(&self, collection: &str) -> BTreeMap<&str, &Value> {
        let mut newest: BTreeMap<&str, &Value> = BTreeMap::new();
        for stored in self.collections.get(collection).into_iter().flatten() {
            let held = newest.entry(text(&stored.object, "id")).or_insert(&stored.object);
            if text(held, "modified") < text(&stored.object, "modified") {
                *held = &stored.object;
            }
        }
        newest
    }

    fn objects(&self, collection: &str, query: &BTreeMap<String, String>) -> Answer {
        let stored = self.collections.get(collection).map(Vec::as_slice).unwrap_or_default();
        let newest = self.newest(collection);
        let after = query.get("added_after").map(|text| Timestamp::parse(text).expect("added_after is no time"));
        let one_of = |wanted: &str, is: &str| wanted.split(',').any(|one| one == is);
        let versions = query.get("match[version]").map_or("last", String::as_str);
        let found: Vec<(usize, &Stored)> = stored
            .iter()
            .enumerate()
            .filter(|(_, s)| after.is_none_or(|after| s.added > after))
            .filter(|(_, s)| query.get("match[id]").is_none_or(|wanted| one_of(wanted, text(&s.object, "id"))))
            .filter(|(_, s)| query.get("match[type]").is_none_or(|wanted| one_of(wanted, text(&s.object, "type"))))
            .filter(|(_, s)| versions == "all" || newest[text(&s.object, "id")] == &s.object)
            .collect();
        let from: usize = query.get("next").map_or(0, |next| next.strip_prefix("at-").unwrap().parse().unwrap());
        let limit = query.get("limit").map_or(PAGE, |limit| limit.parse().unwrap()).min(PAGE);
        let rest = found.iter().filter(|(at, _)| *at >= from);
        let page: Vec<&(usize, &Stored)> = rest.clone().take(limit).collect();
        let mut envelope = json!({});
        if let Some((at, _)) = rest.clone().nth(limit) {
            envelope["more"] = json!(true);
            envelope["next"] = json!(format!("at-{at}"));
        }
        if !page.is_empty() {
            envelope["objects"] = page.iter().map(|(_, s)| s.object.clone()).collect();
        }
        let mut answer = answer(200, &envelope);
        if let (Some((_, first)), Some((_, last))) = (page.first(), page.last()) {
            answer = answer
                .header_pair("X-TAXII-Date-Added-First", &first.added.to_string())
                .header_pair("X-TAXII-Date-Added-Last", &last.added.to_string());
        }
        answer
    }

    fn post(&mut self, now: Timestamp, dice: &mut Dice, collection: &str, sent: &Sent) -> Answer {
        if !sent.header("content-type").is_some_and(|given| is_media(given, TAXII)) {
            return error(415, "the content is no TAXII 2.1");
        }
        let Ok(envelope) = serde_json::from_slice::<Value>(&sent.body()) else {
            return error(422, "the envelope cannot be read");
        };
        let Some(objects) = envelope["objects"].as_array() else { return error(422, "no objects") };
        if sent.body().len() > MESSAGE {
            return error(413, "the message is too long");
        }
        let slow = dice.chance(self.slow);
        let id = format!("5abfc4a6-0000-4000-8000-{:012x}", self.posts.len() + 1);
        let posted = Posted {
            waiting: objects.clone(),
            successes: Vec::new(),
            failures: Vec::new(),
            at: now,
            looks: if slow { SLOW } else { dice.below(4) },
            longest: Duration::from_secs(if slow { 70 + dice.below(7_200) } else { 60 }),
        };
        self.posts.insert(id.clone(), (collection.to_owned(), posted));
        answer(202, &self.status(now, &id).unwrap())
    }

    /// Goes on with what was posted, and tells how far it is.
    fn status(&mut self, now: Timestamp, id: &str) -> Option<Value> {
        let collection = self.posts.get(id)?.0.clone();
        let before = self.posts.range(..id.to_owned());
        let waits = self.in_order && before.into_iter().any(|(_, (at, p))| *at == collection && !p.waiting.is_empty());
        let (_, posted) = self.posts.get_mut(id)?;
        let stored = self.collections.entry(collection.clone()).or_default();
        // A part at once, all of it after some looks or when its time has come.
        let part = match posted.looks == 0 || now.since(posted.at) >= posted.longest {
            _ if waits => 0,
            false if posted.looks > SLOW / 2 => 0,
            true => posted.waiting.len(),
            false => posted.waiting.len() / 2,
        };
        posted.looks = posted.looks.saturating_sub(1);
        for object in posted.waiting.drain(..part) {
            let version = json!({ "id": object["id"], "version": object["modified"] });
            let whole =
                ["id", "type", "modified", "created", "spec_version"].iter().all(|key| !text(&object, key).is_empty());
            let same = |key: &str| text(&object, key).to_owned();
            let (id, modified) = (same("id"), same("modified"));
            let known = stored.iter().find(|s| text(&s.object, "id") == id && text(&s.object, "modified") == modified);
            // What a revoked object says besides is nobody's business any more.
            let revoked = |object: &Value| object["revoked"] == json!(true);
            assert!(
                known.is_none_or(|s| s.object == object || revoked(&s.object) && revoked(&object)),
                "two contents under one version: {object} {}",
                known.unwrap().object
            );
            let is_known = known.is_some();
            let unwanted = self.picky && object["type"] == "indicator" && text(&object, "id").ends_with(['0', '7']);
            if !whole || (unwanted && object["revoked"] != json!(true)) {
                let mut failure = version;
                failure["message"] = json!("we do not want it");
                posted.failures.push(failure);
            } else {
                // A version that is there already is not stored again, and is a success.
                if !is_known {
                    stored.push(Stored { object, added: now });
                }
                posted.successes.push(version);
            }
        }
        let pendings: Vec<Value> =
            posted.waiting.iter().map(|o| json!({ "id": o["id"], "version": o["modified"] })).collect();
        Some(json!({
            "id": id,
            "status": if pendings.is_empty() { "complete" } else { "pending" },
            "request_timestamp": posted.at.to_string(),
            "total_count": posted.successes.len() + posted.failures.len() + pendings.len(),
            "success_count": posted.successes.len(), "successes": posted.successes,
            "failure_count": posted.failures.len(), "failures": posted.failures,
            "pending_count": pendings.len(), "pendings": pendings,
        }))
    }
}

impl Server for Taxii {
    fn answer(&mut self, now: Timestamp, dice: &mut Dice, sent: &Sent) -> Answer {
        let waiting = self.posts.iter().filter(|(_, (_, p))| !p.waiting.is_empty() && now.since(p.at) >= p.longest);
        for id in waiting.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            self.status(now, &id);
        }
        let (_, path) = place(sent);
        let (path, query) = path.split_once('?').unwrap_or((path.as_str(), ""));
        let query: BTreeMap<String, String> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| {
                let plain =
                    |text: &str| text.replace("%5B", "[").replace("%5D", "]").replace("%3A", ":").replace("%2C", ",");
                (plain(key), plain(value))
            })
            .collect();
        if !path.ends_with('/') {
            return error(404, "there is nothing here; addresses end with a slash");
        }
        if sent.header("authorization").is_none() {
            return error(401, "who are you?");
        }
        if wants_no_ours(sent) {
            return error(406, "nothing here is of that type");
        }
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let collection =
            |id: &str| json!({ "id": id, "title": id, "can_read": true, "can_write": true, "media_types": [STIX] });
        match (sent.method(), &parts[..]) {
            ("GET", ["taxii2"]) => answer(
                200,
                &json!({
                    "title": "Scripted", "default": "https://taxii.example/api/", "api_roots": ["https://taxii.example/api/"],
                }),
            ),
            ("GET", ["api"]) => {
                answer(200, &json!({ "title": "Scripted", "versions": [TAXII], "max_content_length": MESSAGE }))
            }
            ("GET", ["api", "collections"]) => {
                let ids: Vec<Value> = self.collections.keys().map(|id| collection(id)).collect();
                answer(200, &json!({ "collections": ids }))
            }
            ("GET", ["api", "collections", id]) => answer(200, &collection(id)),
            ("GET", ["api", "collections", id, "objects"]) => self.objects(id, &query),
            ("GET", ["api", "collections", id, "objects", object]) => {
                let mut query = query;
                query.insert("match[id]".into(), (*object).to_owned());
                self.objects(id, &query)
            }
            ("DELETE", ["api", "collections", id, "objects", object]) => {
                let stored = self.collections.entry((*id).to_owned()).or_default();
                let before = stored.len();
                stored.retain(|s| text(&s.object, "id") != *object);
                if stored.len() < before { answer(200, &json!({})) } else { error(404, "no such object") }
            }
            ("POST", ["api", "collections", id, "objects"]) => self.post(now, dice, id, sent),
            ("GET", ["api", "status", id]) => match self.status(now, id) {
                Some(status) => answer(200, &status),
                None => error(404, "no such status"),
            },
            _ => error(404, "there is nothing here"),
        }
    }

    /// What is there of those who are not [`OTHERS`]: the newest version of each, if it is not revoked.
    fn holds(&self, path: &str) -> Held {
        let newest = self.newest(path);
        let there = newest.values().filter(|o| o["type"] == "indicator" && o["revoked"] != json!(true));
        let mut held = Held::new();
        for object in there.filter(|o| o["created_by_ref"] != OTHERS) {
            let value = text(object, "pattern").split('\'').nth(1).unwrap_or_default().to_owned();
            let reputation = object["confidence"].as_u64().unwrap_or(0).div_ceil(10) as u8;
            let labels = object["labels"].as_array().into_iter().flatten();
            let tags = labels.filter_map(Value::as_str).filter(|tag| !tag.starts_with("iocast:"));
            let twice = held.insert(value, (reputation, tags.map(str::to_owned).collect()));
            assert!(twice.is_none(), "two objects for one value: {object}");
        }
        held
    }

    fn put(&mut self, now: Timestamp, path: &str, object: Value) {
        self.collections.get_mut(path).unwrap().push(Stored { object, added: now });
    }

    fn theirs(&self, path: &str) -> Vec<Value> {
        let stored = self.collections[path].iter().map(|stored| &stored.object);
        stored.filter(|object| object["created_by_ref"] == OTHERS).cloned().collect()
    }

    fn picky(&mut self, picky: bool) {
        self.picky = picky;
    }

    fn slow(&mut self, percent: u64) {
        self.slow = percent;
    }
}

#[cfg(test)]
mod tests {
    use super::super::Net;
    use super::*;
    use kit::Secret;
    use kit::http::{Http, HttpConfig, Response};

    const OBJECTS: &str = "https://taxii.example/api/collections/c1/objects/";

    fn object(n: u32, modified: &str, revoked: bool) -> Value {
        json!({
            "type": "indicator", "spec_version": "2.1", "id": format!("indicator--{n:08}-0000-4000-8000-000000000001"),
            "created": "2026-01-01T00:00:00.000Z", "modified": modified, "revoked": revoked, "confidence": 70,
            "labels": ["c2"], "pattern": format!("[ipv4-addr:value = '192.0.2.{n}']"), "pattern_type": "stix",
        })
    }

    fn get(http: &Http, url: &str) -> Response {
        let request = http.get(url).header("Accept", TAXII).bearer(&Secret::new("token"));
        request.also(&[401, 404, 406, 415, 422]).send().unwrap()
    }

    fn post(http: &Http, objects: &[Value]) -> Value {
        let body = json!({ "objects": objects }).to_string().into_bytes();
        let request = http.post(OBJECTS, TAXII, body).header("Accept", TAXII).bearer(&Secret::new("token"));
        request.send().unwrap().json().unwrap()
    }

    /// Pages to the end; how many pages, and the ids in order.
    fn read(http: &Http, query: &str) -> (usize, Vec<String>) {
        let (mut pages, mut ids, mut next) = (0, Vec::new(), String::new());
        loop {
            let page: Value = get(http, &format!("{OBJECTS}?{query}{next}")).json().unwrap();
            pages += 1;
            let of_page = page["objects"].as_array().into_iter().flatten();
            ids.extend(of_page.map(|object| text(object, "id")[11..19].to_owned()));
            match page["next"].as_str() {
                Some(token) => next = format!("&next={token}"),
                None => return (pages, ids),
            }
        }
    }

    #[test]
    fn the_scripted_server_is_one() {
        let net = Net::new(1);
        let http = net.client(HttpConfig::default(), "reader");
        let status = |url: &str| get(&http, url).status;
        assert_eq!(status("https://taxii.example/taxii2/"), 200);
        assert_eq!(status("https://taxii.example/taxii2"), 404);
        assert_eq!(http.get("https://taxii.example/api/").also(&[401]).send().unwrap().status, 401);
        let json = http.get("https://taxii.example/api/").header("Accept", "application/json");
        assert_eq!(json.bearer(&Secret::new("token")).also(&[406]).send().unwrap().status, 406);
        let plain = http.post(OBJECTS, "application/json", b"{}".to_vec()).bearer(&Secret::new("token"));
        assert_eq!(plain.also(&[415]).send().unwrap().status, 415);

        // Seven of one moment, over three pages; none lost, none twice.
        let seven: Vec<Value> = (1..=7).map(|n| object(n, "2026-01-01T00:00:00.000Z", false)).collect();
        let mut status = post(&http, &seven);
        let mut looks = 0;
        while status["status"] == "pending" {
            looks += 1;
            let id = text(&status, "id");
            status = get(&http, &format!("https://taxii.example/api/status/{id}/")).json().unwrap();
        }
        assert!(looks <= 4 && status["success_count"] == 7, "{status}");
        let (pages, ids) = read(&http, "limit=100");
        assert_eq!((pages, ids.len()), (3, 7));
        let first = get(&http, OBJECTS);
        let added = first.header("X-TAXII-Date-Added-Last").unwrap().to_owned();
        assert_eq!(read(&http, &format!("added_after={}", added.replace(':', "%3A"))).1.len(), 0);

        // A newer version stands for the older one; the same version again is the same; revoked is not there.
        net.advance(120);
        for _ in 0..2 {
            post(&http, &[object(3, "2026-01-02T00:00:00.000Z", true)]);
            net.advance(120);
            post(&http, &[]);
            let posts: Vec<String> = net.server("taxii.example", |_| Vec::new());
            assert!(posts.is_empty());
        }
        for n in 1..=5 {
            get(&http, &format!("https://taxii.example/api/status/5abfc4a6-0000-4000-8000-{n:012x}/"));
        }
        assert_eq!(read(&http, "limit=2").1.len(), 7);
        assert_eq!(read(&http, "match[version]=all").1.len(), 8);
        let held = net.server("taxii.example", |server| server.holds("c1"));
        assert_eq!((held.len(), held.contains_key("192.0.2.3")), (6, false));
        assert_eq!(held["192.0.2.1"], (7, vec!["c2".to_owned()]));
    }
}
