//! A folder of MISP events: new ones, edited ones, one that is broken for a while, attributes that are deleted.

use super::{Dice, Held, Server, place};
use intel::Timestamp;
use kit::http::{Answer, Sent};
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[derive(Default)]
struct Event {
    edited: i64,
    /// Value to: is it deleted, and since when it is as it is.
    attributes: BTreeMap<String, (bool, i64)>,
    broken: bool,
}

#[derive(Default)]
pub(crate) struct Events(BTreeMap<u64, Event>);

fn uuid(kind: u64, n: u64) -> String {
    format!("5abfc4a6-0000-4000-8{kind:03}-{n:012}")
}

impl Events {
    /// An attribute of an event is added, or deleted.
    pub(crate) fn edit(&mut self, now: Timestamp, event: u64, value: &str, deleted: bool, broken: bool) {
        let event = self.0.entry(event).or_default();
        event.edited = now.secs().max(event.edited + 1);
        event.broken = broken;
        event.attributes.insert(value.to_owned(), (deleted, event.edited));
    }

    /// Without a new date: the file is there now, as it should have been.
    pub(crate) fn repair(&mut self) {
        self.0.values_mut().for_each(|event| event.broken = false);
    }

    pub(crate) fn delete_all(&mut self, now: Timestamp) {
        for event in self.0.values_mut() {
            event.edited = now.secs().max(event.edited + 1);
            event.attributes.values_mut().for_each(|attribute| *attribute = (true, event.edited));
        }
    }
}

impl Server for Events {
    fn answer(&mut self, _: Timestamp, _: &mut Dice, sent: &Sent) -> Answer {
        let (_, path) = place(sent);
        let json = |value: Value| Answer::new(200, value.to_string()).header_pair("Content-Type", "application/json");
        if path == "/manifest.json" {
            let one = |(n, event): (&u64, &Event)| {
                (uuid(0, *n), json!({ "timestamp": event.edited.to_string(), "info": "x", "date": "2026-03-01" }))
            };
            return json(Value::Object(self.0.iter().map(one).collect()));
        }
        let found = self.0.iter().find(|(n, _)| path == format!("/{}.json", uuid(0, **n)));
        let Some((n, event)) = found else { return Answer::new(404, "no such event") };
        if event.broken {
            return Answer::new(200, "{\"Event\":");
        }
        let attribute = |(at, (value, (deleted, since))): (usize, (&String, &(bool, i64)))| {
            let kind = match value {
                value if value.starts_with("http") => "url",
                value if value.starts_with("host") => "domain",
                _ => "ip-dst",
            };
            json!({
                "uuid": uuid(n + 1, at as u64), "type": kind, "value": value, "category": "Network activity",
                "to_ids": true, "deleted": deleted, "timestamp": since.to_string(),
            })
        };
        let attributes: Vec<Value> = event.attributes.iter().enumerate().map(attribute).collect();
        json(json!({ "Event": {
            "uuid": uuid(0, *n), "info": "x", "date": "2026-03-01", "timestamp": event.edited.to_string(),
            "Attribute": attributes,
        } }))
    }

    fn holds(&self, _: &str) -> Held {
        let attributes = self.0.values().flat_map(|event| &event.attributes);
        attributes.filter(|(_, (deleted, _))| !deleted).map(|(value, _)| (value.clone(), (7, Vec::new()))).collect()
    }

    fn events(&mut self) -> Option<&mut Events> {
        Some(self)
    }
}
