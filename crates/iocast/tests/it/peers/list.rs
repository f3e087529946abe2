//! Lists in JSON, each under its path.

use super::{Dice, Held, Server, place};
use intel::Timestamp;
use kit::http::{Answer, Sent};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Value to reputation and tag.
pub(crate) type Rows = BTreeMap<String, (u8, Option<&'static str>)>;

#[derive(Default)]
pub(crate) struct Lists(BTreeMap<String, Rows>);

impl Server for Lists {
    fn answer(&mut self, _: Timestamp, _: &mut Dice, sent: &Sent) -> Answer {
        let (_, path) = place(sent);
        let rows = self.0.entry(path).or_default();
        let row = |(value, (reputation, tag)): (&String, &(u8, Option<&str>))| match tag {
            Some(tag) => json!({ "value": value, "reputation": reputation, "tag": tag }),
            None => json!({ "value": value, "reputation": reputation }),
        };
        let body = Value::Array(rows.iter().map(row).collect());
        Answer::new(200, body.to_string()).header_pair("Content-Type", "application/json")
    }

    fn holds(&self, path: &str) -> Held {
        let held = |(value, (reputation, tag)): (&String, &(u8, Option<&str>))| {
            (value.clone(), (*reputation, tag.iter().map(|tag| (*tag).to_owned()).collect()))
        };
        self.0.get(path).map(|rows| rows.iter().map(held).collect()).unwrap_or_default()
    }

    fn list(&mut self, path: &str) -> Option<&mut Rows> {
        Some(self.0.entry(path.to_owned()).or_default())
    }
}
