//! The connector of the mock tools: one small protocol, four styles of destination, a source with pages.

use intel::Observation;
use kit::http::Request;
use kit::manifest::Manifest;
use kit::{
    Connection, Connector, ConnectorError, Cursor, Cx, Destination, ItemOutcome, Outgoing, Placed, Presence, Pulled,
    Reading, Remote, Rows, Secret, Source, TargetSpec, Written,
};
use serde_json::{Value, json};

/// The list has changed since the version that was named.
const CHANGED: u16 = 412;
/// Somebody else has something pending.
const PENDING: u16 = 409;
/// The whole batch is refused because of one item.
const REFUSED: u16 = 422;

pub(super) struct Rig {
    manifest: Manifest,
}

impl Rig {
    pub(super) fn new() -> Rig {
        // It is compiled in, and a test reads it.
        let manifest = Manifest::parse(include_str!("manifest.toml"));
        Rig { manifest: manifest.unwrap_or_else(|error| panic!("the manifest of the rig: {error}")) }
    }
}

impl Connector for Rig {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn open(&self, settings: &Value) -> Result<Box<dyn Connection>, String> {
        let text = |key: &str| settings.get(key).and_then(Value::as_str);
        let named = text("url").ok_or("url: is missing")?.trim_end_matches('/');
        let uri = named.parse::<axum::http::Uri>().map_err(|error| format!("url: {error}"))?;
        let hosts = uri.host().map(str::to_owned).into_iter().collect();
        Ok(Box::new(Tool { url: super::reach(named), hosts, token: text("token").map(Secret::new) }))
    }
}

struct Tool {
    url: String,
    hosts: Vec<String>,
    token: Option<Secret>,
}

impl Tool {
    fn list(&self, target: TargetSpec<'_>) -> String {
        let list = target.params.get("list").and_then(Value::as_str).unwrap_or("main");
        format!("{}/{}/{list}", self.url, target.action)
    }

    fn ask(&self, request: Request<'_>) -> Result<Value, ConnectorError> {
        self.with_token(request).send()?.json()
    }

    fn with_token<'a>(&self, request: Request<'a>) -> Request<'a> {
        match &self.token {
            Some(token) => request.bearer(token),
            None => request,
        }
    }

    /// Sends a batch; each item has an outcome, whatever the status of the whole.
    fn send(
        &self,
        target: TargetSpec<'_>,
        verb: &str,
        batch: &[Outgoing],
        cx: &Cx<'_>,
    ) -> Result<Vec<ItemOutcome>, ConnectorError> {
        let item = |item: &Outgoing| json!({ "value": item.entry, "id": item.remote_id });
        let body = json!({ "mark": target.mark, "items": batch.iter().map(item).collect::<Vec<_>>() });
        let url = format!("{}/{verb}", self.list(target));
        let response = self.with_token(cx.http.post_json(&url, &body)).also(&[REFUSED]).send()?;
        if response.status == REFUSED {
            let words = response.said();
            return Ok(vec![ItemOutcome::Refused(words); batch.len()]);
        }
        let answer: Value = response.json()?;
        let results = answer["results"].as_array().map(Vec::as_slice).unwrap_or_default();
        if results.len() != batch.len() {
            let n = results.len();
            return Err(ConnectorError::Unexpected(format!("answered {n} results for {} items", batch.len())));
        }
        let text = |result: &Value, key: &str| result[key].as_str().map(str::to_owned);
        Ok(results
            .iter()
            .map(|result| match result["status"].as_str() {
                Some("ok") => ItemOutcome::Accepted { remote_id: text(result, "id") },
                Some("foreign") => ItemOutcome::Foreign,
                Some("refused") => ItemOutcome::Refused(text(result, "why").unwrap_or_default()),
                _ => ItemOutcome::Unknown("answered something else".into()),
            })
            .collect())
    }
}

impl Connection for Tool {
    fn check(&self, cx: &Cx<'_>) -> Result<(), ConnectorError> {
        self.ask(cx.http.get(&format!("{}/hello", self.url))).map(drop)
    }

    fn identity(&self, cx: &Cx<'_>) -> Result<Option<String>, ConnectorError> {
        let hello = self.ask(cx.http.get(&format!("{}/hello", self.url)))?;
        Ok(hello["tenant"].as_str().map(str::to_owned))
    }

    fn hosts(&self) -> Vec<String> {
        self.hosts.clone()
    }

    fn source(&self) -> Option<&dyn Source> {
        Some(self)
    }

    fn destination(&self) -> Option<&dyn Destination> {
        Some(self)
    }
}

impl Source for Tool {
    fn pull(&self, after: Option<&Cursor>, cx: &Cx<'_>, rows: &mut dyn Rows) -> Result<Pulled, ConnectorError> {
        let from = after.and_then(Value::as_u64).unwrap_or(0);
        let request = cx.http.get(&format!("{}/pages", self.url)).query("after", &from.to_string());
        let page = self.ask(request)?;
        let items =
            page["items"].as_array().ok_or_else(|| ConnectorError::Unexpected("a page without items".into()))?;
        for item in items {
            match item.as_str() {
                Some(value) => rows.row(Observation::new(value)),
                None => rows.reject("no text", &item.to_string()),
            }
        }
        let next = page["next"].as_u64().ok_or_else(|| ConnectorError::Unexpected("a page without next".into()))?;
        Ok(if page["more"] == true { Pulled::More(json!(next)) } else { Pulled::Done(Some(json!(next))) })
    }
}

impl Destination for Tool {
    fn push(
        &self,
        target: TargetSpec<'_>,
        batch: &[Outgoing],
        cx: &Cx<'_>,
    ) -> Result<Vec<ItemOutcome>, ConnectorError> {
        if target.action != "append" {
            return self.send(target, "add", batch, cx);
        }
        // A list that only grows would have them twice; that a push may be repeated is for us to see to.
        let there = self.look(target, batch, cx)?;
        let absent: Vec<Outgoing> =
            batch.iter().zip(&there).filter(|(_, at)| **at == Presence::Absent).map(|(item, _)| item.clone()).collect();
        let mut added = if absent.is_empty() { Vec::new() } else { self.send(target, "add", &absent, cx)? }.into_iter();
        Ok(there
            .into_iter()
            .map(|at| match at {
                Presence::Ours { remote_id } => ItemOutcome::Accepted { remote_id },
                Presence::Foreign => ItemOutcome::Foreign,
                Presence::Absent => added.next().unwrap_or_else(|| ItemOutcome::Unknown("no answer".into())),
            })
            .collect())
    }

    fn retract(
        &self,
        target: TargetSpec<'_>,
        batch: &[Outgoing],
        cx: &Cx<'_>,
    ) -> Result<Vec<ItemOutcome>, ConnectorError> {
        self.send(target, "remove", batch, cx)
    }

    fn look(&self, target: TargetSpec<'_>, entries: &[Outgoing], cx: &Cx<'_>) -> Result<Vec<Presence>, ConnectorError> {
        let values: Vec<&str> = entries.iter().map(|entry| entry.entry.as_str()).collect();
        let request = cx.http.post_json(&format!("{}/find", self.list(target)), &json!({ "values": values }));
        let answer = self.ask(request.asking())?;
        let found = answer["found"].as_array().map(Vec::as_slice).unwrap_or_default();
        if found.len() != entries.len() {
            return Err(ConnectorError::Unexpected(format!("found {} of {} asked", found.len(), entries.len())));
        }
        Ok(found
            .iter()
            .map(|item| match item["mark"].as_str() {
                _ if item.is_null() => Presence::Absent,
                Some(mark) if mark == target.mark => {
                    Presence::Ours { remote_id: item["id"].as_str().map(str::to_owned) }
                }
                _ => Presence::Foreign,
            })
            .collect())
    }

    fn read(
        &self,
        target: TargetSpec<'_>,
        each: &mut dyn FnMut(Remote),
        cx: &Cx<'_>,
    ) -> Result<Reading, ConnectorError> {
        let answer = self.ask(cx.http.get(&format!("{}/all", self.list(target))))?;
        let items = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        for item in items {
            each(Remote {
                entry: item["value"].as_str().unwrap_or_default().to_owned(),
                remote_id: item["id"].as_str().map(str::to_owned),
                marked: item["mark"] == target.mark,
                ..Remote::default()
            });
        }
        Ok(Reading {
            whole: answer["total"].as_u64() == Some(items.len() as u64),
            version: answer["version"].as_u64().map(|version| version.to_string()),
            capacity: answer["capacity"].as_u64(),
        })
    }

    fn replace(
        &self,
        target: TargetSpec<'_>,
        all: &mut dyn Iterator<Item = Placed>,
        version: Option<&str>,
        cx: &Cx<'_>,
    ) -> Result<Written, ConnectorError> {
        // What others have there goes back by its id, so with all that the tool knows of it.
        let items: Vec<Value> = all
            .map(|placed| match placed {
                Placed::Foreign(remote) => json!({ "value": remote.entry, "keep": remote.remote_id }),
                Placed::Ours(item) => json!({ "value": item.entry, "mark": target.mark }),
            })
            .collect();
        let mut request = cx.http.put_json(&format!("{}/all", self.list(target)), &json!({ "items": items }));
        if let Some(version) = version {
            request = request.header("If-Match", version);
        }
        let response = self.with_token(request).also(&[CHANGED]).send()?;
        if response.status == CHANGED { Err(ConnectorError::Changed) } else { Ok(Written::default()) }
    }

    fn deploy(&self, target: TargetSpec<'_>, cx: &Cx<'_>) -> Result<(), ConnectorError> {
        let request = cx.http.post_json(&format!("{}/deploy", self.list(target)), &json!({ "mark": target.mark }));
        let response = self.with_token(request.idempotent()).also(&[PENDING]).send()?;
        if response.status == PENDING {
            return Err(ConnectorError::Later { wait: None, why: response.said() });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_says_what_each_style_can() {
        let rig = Rig::new();
        let names: Vec<&str> = rig.manifest.actions.iter().map(|action| action.name.as_str()).collect();
        assert_eq!(names, ["append", "per-id", "staged", "replace"]);
        assert!(rig.open(&json!({ "url": "http://127.0.0.1:1" })).is_ok());
    }
}
