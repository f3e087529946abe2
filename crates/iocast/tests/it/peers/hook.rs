//! A receiver of webhooks as the specification wants it: it verifies what it gets with code of its own, does a message
//! once however often it comes, and takes a message whole, or says what became of each item, or takes nothing.

use super::{Dice, Held, Server, place};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use intel::Timestamp;
use kit::http::{Answer, Sent};
use serde_json::{Value, json};
use sha2::Sha256;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// One endpoint, by its path.
#[derive(Default)]
struct Endpoint {
    held: Held,
    /// What was done, by id: the body, and what was answered.
    done: BTreeMap<String, (Vec<u8>, u16, String)>,
    /// Every body that came, done or not, and under which id.
    bodies: BTreeMap<Vec<u8>, String>,
    /// Messages that came again and were not done again.
    repeats: u64,
    removed: BTreeSet<String>,
}

#[derive(Default)]
pub(crate) struct Hook {
    endpoints: BTreeMap<String, Endpoint>,
    picky: bool,
}

impl Hook {
    fn verify(now: Timestamp, sent: &Sent, body: &[u8]) -> String {
        let header = |name: &str| sent.header(name).unwrap_or_else(|| panic!("no {name}")).to_owned();
        let (id, timestamp, signatures) =
            (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"));
        let age = now.secs() - timestamp.parse::<i64>().unwrap();
        assert!(age.abs() <= 300, "signed {age} s ago: a receiver would not take it");
        let key = BASE64_STANDARD.decode(SECRET.trim_start_matches("whsec_")).unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(&[format!("{id}.{timestamp}.").as_bytes(), body].concat());
        let expect = format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()));
        assert!(signatures.split(' ').any(|signature| signature == expect), "a wrong signature");
        id
    }
}

/// A taste that has nothing to do with anything.
fn unwanted(value: &str) -> bool {
    value.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31) + u32::from(byte)) % 7 == 0
}

impl Endpoint {
    fn item(&mut self, item: &Value) {
        let value = item["value"].as_str().unwrap().to_owned();
        match item["op"].as_str().unwrap() {
            "remove" => {
                self.held.remove(&value);
                self.removed.insert(value);
            }
            op @ ("add" | "update") => {
                // What was never here is not an update, unless it was here once.
                let known = self.held.contains_key(&value) || self.removed.contains(&value);
                assert!(op == "add" || known || item["created"] != item["modified"], "{item}");
                let tags = item["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap().to_owned());
                let hops = item["hops"].as_array().unwrap();
                assert!(hops.last().unwrap().as_str().unwrap().starts_with("iocast-"), "{item}");
                self.held.insert(value, (item["reputation"].as_u64().unwrap() as u8, tags.collect()));
            }
            other => panic!("{other}"),
        }
    }
}

impl Server for Hook {
    fn answer(&mut self, now: Timestamp, dice: &mut Dice, sent: &Sent) -> Answer {
        assert_eq!((sent.method(), sent.header("content-type")), ("POST", Some("application/json")));
        let body = sent.body();
        let id = Hook::verify(now, sent, &body);
        let message: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(message["type"], "indicators.changed");
        let endpoint = self.endpoints.entry(place(sent).1).or_default();
        let known = endpoint.bodies.entry(body.clone()).or_insert_with(|| id.clone());
        assert_eq!(*known, id, "the same message came under two ids");
        if let Some((first, status, words)) = endpoint.done.get(&id) {
            assert_eq!(*first, body, "two messages came under one id");
            endpoint.repeats += 1;
            return Answer::new(*status, words.clone());
        }
        let items = message["data"]["items"].as_array().unwrap();
        let no = |item: &Value| self.picky && item["op"] != "remove" && unwanted(item["value"].as_str().unwrap());
        let answer = match items.iter().find(|item| no(item)) {
            Some(item) if dice.chance(60) => {
                return Answer::new(422, format!("we do not want {}", item["value"]));
            }
            Some(_) => {
                let result = |item: &Value| match no(item) {
                    true => json!({ "status": "refused", "reason": "we do not want it" }),
                    false => json!({ "status": "accepted" }),
                };
                (200, json!({ "results": items.iter().map(result).collect::<Vec<_>>() }).to_string())
            }
            None => (204, String::new()),
        };
        for item in items.iter().filter(|item| !no(item)) {
            endpoint.item(item);
        }
        let (status, words) = answer;
        endpoint.done.insert(id, (body, status, words.clone()));
        Answer::new(status, words)
    }

    fn holds(&self, path: &str) -> Held {
        self.endpoints.get(path).map(|endpoint| endpoint.held.clone()).unwrap_or_default()
    }

    fn picky(&mut self, picky: bool) {
        self.picky = picky;
    }

    fn n_done(&self) -> usize {
        self.endpoints.values().map(|endpoint| endpoint.done.len()).sum()
    }

    fn n_repeats(&self) -> u64 {
        self.endpoints.values().map(|endpoint| endpoint.repeats).sum()
    }
}
