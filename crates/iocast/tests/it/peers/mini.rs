//! The least client of the scripted TAXII server that the contract allows: stands in for a connector, so that server and
//! engine are tried with versions, revocations and statuses that stay pending.
//!
//! It cannot be asked what is there, on purpose: an object that is still pending would be taken for absent, the line
//! dropped, and the object would appear afterwards with nobody to take it back. Without a look, what is not known is
//! posted again, or revoked with a newer version, and both are right whatever becomes of the pending one.

use kit::manifest::Manifest;
use kit::{Connection, Connector, ConnectorError, Cx, Destination, ItemOutcome, Outgoing, Secret, TargetSpec};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

const MEDIA: &str = "application/taxii+json;version=2.1";
const ROOT: &str = "https://taxii.example/api";
/// Looks at a status before the rest is left for another pass.
const LOOKS: usize = 2;

const MANIFEST: &str = r#"
name = "mini-taxii"
title = "Mini"
summary = "Adds objects to a collection."
category = "platform"
[[action]]
name = "add"
title = "Add"
summary = "Adds."
delivery = "items"
batch = 4
[[action.params]]
key = "allow_empty"
type = "bool"
label = "May be empty"
help = "Whether it may become empty."
default = true
"#;

pub(crate) struct Mini(Manifest);

impl Mini {
    pub(crate) fn new() -> Mini {
        Mini(Manifest::parse(MANIFEST).unwrap())
    }
}

impl Connector for Mini {
    fn manifest(&self) -> &Manifest {
        &self.0
    }

    fn open(&self, _: &Value) -> Result<Box<dyn Connection>, String> {
        Ok(Box::new(Client))
    }
}

struct Client;

fn id_of(entry: &str) -> String {
    let mut hex = String::new();
    for byte in &Sha256::digest(entry)[..16] {
        let _ = write!(hex, "{byte:02x}");
    }
    format!("indicator--{}-{}-5{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
}

fn object(item: &Outgoing, revoked: bool) -> Value {
    json!({
        "type": "indicator", "spec_version": "2.1", "id": id_of(&item.entry), "revoked": revoked,
        "created": item.created.to_string(), "modified": item.modified.to_string(),
        "confidence": item.reputation.get() * 10, "labels": item.tags, "pattern_type": "stix",
        "pattern": format!("[x:value = '{}']", item.entry),
    })
}

impl Client {
    fn add(&self, batch: &[Outgoing], revoked: bool, cx: &Cx<'_>) -> Result<Vec<ItemOutcome>, ConnectorError> {
        let token = Secret::new("token");
        let objects: Vec<Value> = batch.iter().map(|item| object(item, revoked)).collect();
        let body = json!({ "objects": objects }).to_string().into_bytes();
        let posted = cx.http.post(&format!("{ROOT}/collections/c1/objects/"), MEDIA, body);
        let mut status: Value = posted.header("Accept", MEDIA).bearer(&token).idempotent().send()?.json()?;
        for _ in 0..LOOKS {
            if status["status"] != "pending" {
                break;
            }
            let url = format!("{ROOT}/status/{}/", status["id"].as_str().unwrap_or_default());
            status = cx.http.get(&url).header("Accept", MEDIA).bearer(&token).send()?.json()?;
        }
        let among = |list: &str, id: &str| {
            status[list].as_array().into_iter().flatten().find(|one| one["id"] == *id).map(|one| one["message"].clone())
        };
        let outcome = |item: &Outgoing| {
            let id = id_of(&item.entry);
            match (among("successes", &id), among("failures", &id)) {
                (Some(_), _) => ItemOutcome::Accepted { remote_id: Some(id) },
                (_, Some(why)) => ItemOutcome::Refused(why.as_str().unwrap_or_default().to_owned()),
                _ => ItemOutcome::Unknown("pending".to_owned()),
            }
        };
        Ok(batch.iter().map(outcome).collect())
    }
}

impl Connection for Client {
    fn check(&self, _: &Cx<'_>) -> Result<(), ConnectorError> {
        Ok(())
    }

    fn destination(&self) -> Option<&dyn Destination> {
        Some(self)
    }
}

impl Destination for Client {
    fn push(&self, _: TargetSpec<'_>, batch: &[Outgoing], cx: &Cx<'_>) -> Result<Vec<ItemOutcome>, ConnectorError> {
        self.add(batch, false, cx)
    }

    fn retract(&self, _: TargetSpec<'_>, batch: &[Outgoing], cx: &Cx<'_>) -> Result<Vec<ItemOutcome>, ConnectorError> {
        self.add(batch, true, cx)
    }
}
