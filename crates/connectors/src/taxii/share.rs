//! Writing: an object for each entry, under an id that is always the same; taking back by a revoked version or by deletion.
//!
//! A server may take a message and work on it for as long as it likes. That an object is not there does not say that it
//! will not come, so nobody is asked whether it is: what is not known is said again. The same version twice is one, and a
//! newer one, revoked or not, is right whatever becomes of the one before.
//!
//! A server that has our version of an object already counts it as a failure. So a failure is asked about before it is
//! told: what stands there in our version was accepted, now or before.

use super::Link;
use super::envelope;
use super::status::{Fate, Status};
use super::wire::{Client, Content, Place, advised, resource};
use intel::{IndicatorKey, Timestamp};
use kit::stix::{self, Version};
use kit::{ConnectorError, Cx, Destination, ItemOutcome, Outgoing, TargetSpec};
use serde::Deserialize;
use serde_json::{Value, json};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::time::Duration;

/// Most bytes in one message where the server does not say.
const MESSAGE_BYTES: usize = 8 << 20;
/// Refused messages of one batch after which it is not taken apart any further: the server refuses everything.
const MAX_REFUSED: u32 = 40;
/// Longest answer about one object, in bytes: all its versions may be in it.
const MAX_OBJECT: u64 = 8 << 20;
/// Objects asked for by their ids in one request: what fits into an address.
const LOOKED_UP: usize = 50;
/// Waits between looks at a status, in milliseconds: a minute in all.
const WAITS_MS: [u64; 8] = [250, 750, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000];

#[derive(Deserialize)]
struct Params {
    collection: Option<String>,
    #[serde(default)]
    stix: String,
    #[serde(default)]
    retract: String,
}

/// One batch on its way.
struct Batch<'a> {
    client: Client<'a>,
    place: Place,
    version: Version,
    mark: &'a str,
    max_bytes: usize,
    /// Messages the server refused whole.
    n_refused: Cell<u32>,
}

/// An object and the item it was made of.
struct Item {
    at: usize,
    id: String,
    object: Value,
}

impl Destination for Link {
    fn push(
        &self,
        target: TargetSpec<'_>,
        batch: &[Outgoing],
        cx: &Cx<'_>,
    ) -> Result<Vec<ItemOutcome>, ConnectorError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let (sending, _) = self.batch(target, cx)?;
        let mut outcomes = vec![no_pattern(); batch.len()];
        let mut items = Vec::with_capacity(batch.len());
        for (at, out) in batch.iter().enumerate() {
            items.extend(sending.item(at, out, false));
        }
        // Ids can be guessed: what somebody else put under ours first is not written over.
        let foreign = sending.foreign(&items, batch)?;
        items.retain(|item| !foreign.contains(&item.at));
        foreign.iter().for_each(|at| outcomes[*at] = ItemOutcome::Foreign);
        sending.send(items, &mut outcomes)?;
        Ok(outcomes)
    }

    fn retract(
        &self,
        target: TargetSpec<'_>,
        batch: &[Outgoing],
        cx: &Cx<'_>,
    ) -> Result<Vec<ItemOutcome>, ConnectorError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let (sending, params) = self.batch(target, cx)?;
        let mut outcomes = vec![gone(); batch.len()];
        let mut items = Vec::new();
        for (at, out) in batch.iter().enumerate() {
            let Some(id) = sending.id(out) else { continue };
            let mut out = out.clone();
            // What is not there is revoked all the same: a version that was sent may still be on its way.
            match if sending.place.can_read { sending.latest(&id)? } else { None } {
                Some(there) if !sending.is_ours(&there, &out.key) => {
                    outcomes[at] = ItemOutcome::Foreign;
                    continue;
                }
                Some(there) if there.revoked => continue,
                // Only a newer version takes the place of the one there, whatever its writer's clock said.
                Some(there) => {
                    let theirs = there.modified().map(|time| time.after(Duration::from_millis(1)));
                    out.modified = out.modified.max(theirs.unwrap_or(out.modified));
                }
                None => {}
            }
            items.extend(sending.item(at, &out, true));
        }
        sending.send(items, &mut outcomes)?;
        if params.retract == "delete" {
            for (out, outcome) in batch.iter().zip(&outcomes) {
                // Only now: a server that works on messages one after another has then nothing of ours on its way.
                if let (Some(id), ItemOutcome::Accepted { .. }) = (sending.id(out), outcome)
                    && !sending.delete(&id)?
                {
                    break;
                }
            }
        }
        Ok(outcomes)
    }
}

impl Link {
    fn batch<'a>(&'a self, target: TargetSpec<'a>, cx: &Cx<'a>) -> Result<(Batch<'a>, Params), ConnectorError> {
        let params = Params::deserialize(target.params)
            .map_err(|error| ConnectorError::Denied(format!("target {}: {error}", target.name)))?;
        let client = self.client(cx.http);
        let wanted = params.collection.as_deref().or(self.settings.collection.as_deref());
        let place = client.places()?.writable(wanted)?;
        let max_bytes = client.max_content_length(&place)?.unwrap_or(MESSAGE_BYTES).min(MESSAGE_BYTES);
        let version = match params.stix.as_str() {
            "2.0" => Version::V20,
            "2.1" => Version::V21,
            _ => place.version,
        };
        Ok((Batch { client, place, version, mark: target.mark, max_bytes, n_refused: Cell::new(0) }, params))
    }
}

impl Batch<'_> {
    fn item(&self, at: usize, out: &Outgoing, revoked: bool) -> Option<Item> {
        let object = stix::object(out, self.mark, self.version, revoked)?;
        let id = object["id"].as_str()?.to_owned();
        Some(Item { at, id, object })
    }

    /// The id of an entry's object in the version that is written; None where there is no pattern for its kind.
    fn id(&self, out: &Outgoing) -> Option<String> {
        self.item(0, out, false).map(|item| item.id)
    }

    /// Sends the items in messages the server takes, and says what became of each.
    fn send(&self, items: Vec<Item>, outcomes: &mut [ItemOutcome]) -> Result<(), ConnectorError> {
        // The exchange itself goes first, so that whoever reads an object can say who made it.
        let identity = stix::identity(self.mark, self.version);
        let frame = self.message(&identity, &[]).len();
        let mut message: Vec<Item> = Vec::new();
        let mut bytes = frame;
        let mut n_sent = 0;
        let mut messages = Vec::new();
        for item in items {
            let length = item.object.to_string().len() + 1;
            if !message.is_empty() && bytes + length > self.max_bytes {
                messages.push(std::mem::take(&mut message));
                bytes = frame;
            }
            bytes += length;
            message.push(item);
        }
        messages.push(message);
        for message in messages.iter().filter(|message| !message.is_empty()) {
            match self.post(&identity, message, outcomes) {
                Ok(()) => n_sent += message.len(),
                // What went through before must not be forgotten because a later message did not.
                Err(error) if n_sent > 0 => unknown(message, outcomes, &error),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The body of a message: an envelope, or a bundle for 2.0.
    fn message(&self, identity: &Value, items: &[Item]) -> Vec<u8> {
        let objects: Vec<&Value> = std::iter::once(identity).chain(items.iter().map(|item| &item.object)).collect();
        let body = match self.place.version {
            Version::V21 => json!({ "objects": objects }),
            // A bundle's id means nothing (STIX 2.0 part 1 §5.2); the first object's makes it the same for the same objects.
            Version::V20 => {
                let of = items.first().map_or("", |item| item.id.as_str());
                let uuid = of.split_once("--").map_or("00000000-0000-4000-8000-000000000000", |(_, uuid)| uuid);
                json!({ "type": "bundle", "id": format!("bundle--{uuid}"), "spec_version": "2.0", "objects": objects })
            }
        };
        body.to_string().into_bytes()
    }

    fn post(&self, identity: &Value, items: &[Item], outcomes: &mut [ItemOutcome]) -> Result<(), ConnectorError> {
        let body = self.message(identity, items);
        let also = [400, 413, 422];
        let response = self.client.post(self.place.version, &self.place.objects(), body).also(&also).send();
        let response = response.map_err(advised)?;
        if also.contains(&response.status) {
            // One object that the server cannot take must not keep the others out.
            self.n_refused.set(self.n_refused.get() + 1);
            if items.len() > 1 && self.n_refused.get() <= MAX_REFUSED {
                let (head, tail) = items.split_at(items.len() / 2);
                self.post(identity, head, outcomes)?;
                // What went through before must not be forgotten because the rest did not.
                if let Err(error) = self.post(identity, tail, outcomes) {
                    unknown(tail, outcomes, &error);
                }
                return Ok(());
            }
            let status = response.status;
            let words = resource(response).ok();
            let said = words.as_ref().and_then(|value| value["description"].as_str().or(value["title"].as_str()));
            let said: String = said.unwrap_or("no reason is given").chars().take(300).collect();
            for item in items {
                outcomes[item.at] = ItemOutcome::Refused(format!("the server answered {status}: {said}"));
            }
            return Ok(());
        }
        let mut status = if response.status == 204 { Status::default() } else { read_status(response)? };
        let mut waits = WAITS_MS.iter();
        while status.is_pending
            && let Some(id) = &status.id
            && let Some(wait) = waits.next()
        {
            self.client.http().pause(Duration::from_millis(*wait));
            match self.look_at_status(id) {
                Ok(Some(newer)) => status = newer,
                // It was sent: what became of it is asked of the objects themselves.
                Ok(None) | Err(_) => break,
            }
        }
        for item in items {
            // It was sent: that it cannot be asked about does not undo that.
            outcomes[item.at] =
                self.outcome(item, &status).unwrap_or_else(|error| ItemOutcome::Unknown(error.to_string()));
        }
        Ok(())
    }

    fn look_at_status(&self, id: &str) -> Result<Option<Status>, ConnectorError> {
        let url = format!("{}status/{}/", self.place.root, kit::http::encode(id));
        let response = self.client.get(self.place.version, Content::Taxii, &url).also(&[404, 406, 410]).send()?;
        if response.status >= 400 {
            return Ok(None);
        }
        resource(response).map(|value| Some(Status::read(&value)))
    }

    fn outcome(&self, item: &Item, status: &Status) -> Result<ItemOutcome, ConnectorError> {
        let fate = status.fate(&item.id);
        let is_there = match fate {
            Fate::Taken => true,
            _ if !self.place.can_read => false,
            _ => self.latest(&item.id)?.is_some_and(|there| there.is_version(&item.object)),
        };
        Ok(match fate {
            _ if is_there => ItemOutcome::Accepted { remote_id: Some(item.id.clone()) },
            Fate::Pending => {
                ItemOutcome::Unknown("the server has it, and is still working on it after a minute".into())
            }
            Fate::Untold => ItemOutcome::Unknown("the server counts failures and does not say which objects".into()),
            Fate::Failed(why) => ItemOutcome::Refused(why),
            Fate::Taken => gone(),
        })
    }

    /// The latest version of an object, if it is there.
    fn latest(&self, id: &str) -> Result<Option<There>, ConnectorError> {
        let url = self.place.object(id);
        let request = self.client.get(self.place.version, Content::Stix, &url).also(&[404, 410]);
        let response = request.send().map_err(advised)?;
        if response.status != 200 {
            return Ok(None);
        }
        let mut found = BTreeMap::new();
        envelope::read(response.body.take(MAX_OBJECT), &mut |raw| There::note(raw.get(), &mut found))?;
        Ok(found.remove(id))
    }

    /// Those of the items under whose ids somebody else has something: asked of what was never said to be there, as far
    /// as the server answers that.
    fn foreign(&self, items: &[Item], batch: &[Outgoing]) -> Result<Vec<usize>, ConnectorError> {
        let mut foreign = Vec::new();
        if !self.place.can_read {
            return Ok(foreign);
        }
        let new: Vec<&Item> = items.iter().filter(|item| batch[item.at].remote_id.is_none()).collect();
        for asked in new.chunks(LOOKED_UP) {
            let ids: Vec<&str> = asked.iter().map(|item| item.id.as_str()).collect();
            let request = self.client.get(self.place.version, Content::Stix, &self.place.objects());
            let request = request.query("match[id]", &ids.join(","));
            let request = match self.place.version {
                Version::V21 => request.query("limit", &LOOKED_UP.to_string()),
                Version::V20 => request.header("Range", &format!("items 0-{}", LOOKED_UP - 1)),
            };
            let response = match request.also(&[400, 403, 404, 405, 406, 410, 414, 416, 422, 501]).send() {
                Ok(response) if response.status < 300 => response,
                Ok(_) | Err(ConnectorError::Unexpected(_)) => continue,
                Err(error) => return Err(advised(error)),
            };
            let mut found = BTreeMap::new();
            let noted = envelope::read(response.body.take(MAX_OBJECT), &mut |raw| There::note(raw.get(), &mut found));
            if let Err(error) = noted
                && error.is_later()
            {
                return Err(error);
            }
            let theirs =
                |item: &&&Item| found.get(&item.id).is_some_and(|there| !self.is_ours(there, &batch[item.at].key));
            foreign.extend(asked.iter().filter(theirs).map(|item| item.at));
        }
        Ok(foreign)
    }

    /// Deletes all versions; false where the server does not allow that.
    fn delete(&self, id: &str) -> Result<bool, ConnectorError> {
        // Without the filter only the latest version goes, and the one before it stands again (2.1 §5.7).
        let request = self.client.delete(self.place.version, &self.place.object(id)).query("match[version]", "all");
        let response = request.also(&[403, 404, 405, 406, 410, 501]).send().map_err(advised)?;
        Ok(!matches!(response.status, 403 | 405 | 406 | 501))
    }

    /// Whether what stands under the id of this key is what we would have put there. Ids can be guessed and makers
    /// forged, so it must also say what ours would say, and no more.
    fn is_ours(&self, there: &There, key: &IndicatorKey) -> bool {
        let made_by_us = match &there.created_by_ref {
            None => true,
            Some(maker) => stix::identity(self.mark, self.version)["id"] == maker.as_str(),
        };
        let says_the_same = |text: &str| {
            stix::pattern::read(text).is_ok_and(|said| match said.atoms.as_slice() {
                [one] => {
                    said.unmappable == 0
                        && IndicatorKey::parse(Some(one.kind), &one.value).is_ok_and(|read| read == *key)
                }
                _ => false,
            })
        };
        made_by_us && there.pattern.as_deref().is_some_and(says_the_same)
    }
}

/// What stands at the server, as far as it matters here.
#[derive(Debug, Default, Deserialize)]
struct There {
    #[serde(default)]
    modified: Option<String>,
    #[serde(default)]
    created_by_ref: Option<String>,
    #[serde(default)]
    pattern: Option<String>,
    #[serde(default)]
    revoked: bool,
}

impl There {
    /// Keeps the latest version of each object. One that cannot be read is there all the same, and not ours.
    fn note(raw: &str, found: &mut BTreeMap<String, There>) {
        #[derive(Deserialize)]
        struct Named {
            id: String,
        }
        let Ok(Named { id }) = serde_json::from_str(raw) else { return };
        let there: There = serde_json::from_str(raw).unwrap_or_default();
        if found.get(&id).is_none_or(|known| known.modified() < there.modified()) {
            found.insert(id, there);
        }
    }

    fn modified(&self) -> Option<Timestamp> {
        self.modified.as_deref().and_then(Timestamp::parse)
    }

    fn is_version(&self, object: &Value) -> bool {
        self.modified() == object["modified"].as_str().and_then(Timestamp::parse)
    }
}

fn read_status(response: kit::http::Response) -> Result<Status, ConnectorError> {
    let status = response.status;
    let text = response.text()?;
    // 200 or 201 with nothing is a server's way to say that all went well.
    if text.trim().is_empty() && status <= 202 {
        return Ok(Status::default());
    }
    let wrong = |error| ConnectorError::Unexpected(format!("the answer to new objects is no status: {error}"));
    Ok(Status::read(&serde_json::from_str(&text).map_err(wrong)?))
}

fn unknown(items: &[Item], outcomes: &mut [ItemOutcome], error: &ConnectorError) {
    for item in items {
        outcomes[item.at] = match error {
            ConnectorError::Busy { .. } => ItemOutcome::NotDone(error.to_string()),
            error => ItemOutcome::Unknown(error.to_string()),
        };
    }
}

fn gone() -> ItemOutcome {
    ItemOutcome::Accepted { remote_id: None }
}

fn no_pattern() -> ItemOutcome {
    ItemOutcome::Refused("there is no STIX pattern for this kind of indicator".into())
}
