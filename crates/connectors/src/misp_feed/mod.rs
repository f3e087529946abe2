//! A MISP feed: a folder with `manifest.json` and one file an event.
//!
//! The manifest says which events there are and when each was last edited; the cursor remembers what was read of which,
//! so an event published late with an old date is read too, and events of one second are not told apart by luck. An
//! event that fails (it is not there, is no JSON, has not the digest it should) costs one rejection a run and stays
//! open. An event that leaves the manifest takes nothing back: feeds drop old events to stay short, and say what they
//! no longer stand by with `deleted`.

use kit::decode::Body;
use kit::http::read_error;
use kit::manifest::Manifest;
use kit::misp::{is_uuid, read_event};
use kit::render::hex;
use kit::{Connection, Connector, ConnectorError, Cursor, Cx, Pulled, Rows, Secret, Source};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

/// Largest manifest, in bytes.
const MANIFEST_BYTES: u64 = 16 << 20;
/// Longest entry of a manifest, in bytes: what it becomes in memory is many times that.
const ENTRY_BYTES: usize = 1 << 20;
/// Most events of a manifest.
const EVENTS: usize = 100_000;
/// Events of one page: what is lost when the process stops is read again.
const PAGE_EVENTS: usize = 100;
/// A page ends after so many bytes of events.
const PAGE_BYTES: u64 = 64 << 20;
/// Events in a row that the server did not give: then it is the server that fails, not they, and the run ends there.
const MISSES: u32 = 3;
/// A body up to this size waits in memory, a longer one in a nameless temporary file.
const SPOOL_BYTES: usize = 8 << 20;
/// Samples of names that are no ids.
const SAMPLES: usize = 100;

pub(crate) fn connector() -> Result<Arc<dyn Connector>, String> {
    Ok(Arc::new(MispFeed { manifest: Manifest::parse(include_str!("manifest.toml"))? }))
}

struct MispFeed {
    manifest: Manifest,
}

impl Connector for MispFeed {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn open(&self, settings: &Value) -> Result<Box<dyn Connection>, String> {
        let settings: Settings = serde_json::from_value(settings.clone()).map_err(|error| error.to_string())?;
        Ok(Box::new(Feed::open(settings)?))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    url: String,
    #[serde(default)]
    only_tags: Vec<String>,
    token: Option<String>,
    token_header: Option<String>,
}

struct Feed {
    /// The folder, with a slash at its end.
    base: String,
    web: bool,
    only_tags: Vec<String>,
    token: Option<(String, Secret)>,
    /// Of address and tags: with others, other events are meant.
    fingerprint: String,
}

/// What the cursor remembers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Seen {
    /// The fingerprint of the settings.
    spec: String,
    /// Events older than this were never asked for, in seconds.
    from: i64,
    /// Events that were read, and the date they had.
    read: BTreeMap<String, i64>,
    /// Events that were tried in this run and stay open.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    open: BTreeSet<String>,
    /// Events that stayed open in the run before: they are tried last, so that they keep nothing else waiting.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    late: BTreeSet<String>,
    /// A run is under way.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    under_way: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_modified: Option<String>,
}

/// An event as the manifest lists it.
#[derive(Debug, PartialEq, Eq)]
struct Listed {
    timestamp: i64,
    /// SHA-256 its file must have one of.
    digests: Vec<String>,
    wanted: bool,
}

/// What a manifest holds.
#[derive(Debug, Default)]
struct Listing {
    events: BTreeMap<String, Listed>,
    /// Entries that cannot be used.
    bad: Vec<(&'static str, String)>,
    n_bad: u64,
    too_many: bool,
}

/// An event that could not be read.
enum Fault {
    /// It counts as one bad event.
    Event(String),
    /// The server does not give it; perhaps it gives nothing.
    Server(ConnectorError),
}

impl Feed {
    fn open(settings: Settings) -> Result<Feed, String> {
        let url = settings.url.trim();
        let web = ["http://", "https://"].iter().any(|scheme| {
            url.len() > scheme.len() && url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        });
        if url.is_empty() || (url.contains("://") && !web && !url.starts_with("file://")) {
            return Err("url: expected https://, http://, file:// or a path of a folder".into());
        }
        if web && url.contains(['?', '#']) {
            return Err("url: the address of a folder has no query and no fragment; use token".into());
        }
        let authority = url.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
        if web && authority.contains('@') {
            return Err("url: credentials do not belong in an address; use token".into());
        }
        let base = url.strip_suffix("manifest.json").unwrap_or(url).trim_end_matches('/');
        let mut only_tags: Vec<String> = settings.only_tags.iter().map(|tag| tag.trim().to_lowercase()).collect();
        only_tags.retain(|tag| !tag.is_empty());
        only_tags.sort();
        let fingerprint = hex(&Sha256::digest(format!("{base}\n{}", only_tags.join("\n")))[..8]);
        let header = settings.token_header.unwrap_or_else(|| "Authorization".into());
        let token = settings.token.filter(|token| !token.is_empty()).map(|token| (header, Secret::new(token)));
        Ok(Feed { base: format!("{base}/"), web, only_tags, token, fingerprint })
    }

    /// Where a file of the folder is. `name` is ours, or was seen to be a UUID.
    fn place(&self, name: &str) -> String {
        format!("{}{name}.json", self.base)
    }

    fn request<'a>(&self, name: &str, cx: &Cx<'a>) -> kit::http::Request<'a> {
        let request = cx.http.get(&self.place(name));
        match &self.token {
            None => request,
            Some((header, token)) if header.eq_ignore_ascii_case("authorization") => request.bearer(token),
            Some((header, token)) => request.secret_header(header, token),
        }
    }

    /// The manifest, with what names its state; None if it is as it was.
    fn listing(&self, before: &Seen, cx: &Cx<'_>) -> Result<Option<(Listing, Seen)>, ConnectorError> {
        let mut now = Seen::default();
        let body: Body = if self.web {
            let mut request = self.request("manifest", cx);
            if let Some(etag) = &before.etag {
                request = request.if_none_match(etag);
            }
            if let Some(date) = &before.last_modified {
                request = request.if_modified_since(date);
            }
            let response = request.send().map_err(|error| match error {
                ConnectorError::Unexpected(why) => {
                    ConnectorError::Unexpected(format!("{why}; `url` names the folder that manifest.json is in"))
                }
                other => other,
            })?;
            if response.not_modified() {
                return Ok(None);
            }
            now.etag = response.etag().map(str::to_owned);
            now.last_modified = response.last_modified().map(str::to_owned);
            response.body
        } else {
            Box::new(cx.files.open(&self.place("manifest"))?)
        };
        let mut bytes = Vec::new();
        body.take(MANIFEST_BYTES + 1).read_to_end(&mut bytes).map_err(|error| read_error(&error))?;
        if bytes.len() as u64 > MANIFEST_BYTES {
            return Err(ConnectorError::Unexpected("manifest.json is larger than 16 MiB".into()));
        }
        let listing = listing(&bytes, &self.only_tags)?;
        Ok(Some((listing, now)))
    }

    /// Reads one event; gives its own date, and how many bytes it had.
    fn event(
        &self,
        uuid: &str,
        listed: &Listed,
        cx: &Cx<'_>,
        rows: &mut dyn Rows,
    ) -> Result<(Option<i64>, u64), Fault> {
        let told = |error: ConnectorError| match error {
            ConnectorError::Unexpected(why) => Fault::Event(why),
            other => Fault::Server(other),
        };
        let mut body: Body = if self.web {
            self.request(uuid, cx).send().map_err(told)?.body
        } else {
            let path = self.place(uuid);
            if !cx.files.exists(&path).map_err(told)? {
                return Err(Fault::Event("there is no such file".into()));
            }
            Box::new(cx.files.open(&path).map_err(told)?)
        };
        // Received whole, so that what is cut short or not what was promised gives no rows.
        let mut spool = tempfile::SpooledTempFile::new(SPOOL_BYTES);
        let mut sha256 = Sha256::new();
        let mut bytes = 0;
        let mut buffer = vec![0; 128 << 10];
        loop {
            let n = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(told(read_error(&error))),
            };
            if !listed.digests.is_empty() {
                sha256.update(&buffer[..n]);
            }
            bytes += n as u64;
            spool.write_all(&buffer[..n]).map_err(|error| Fault::Server(disk(&error)))?;
        }
        if !listed.digests.is_empty() {
            let found = hex(&sha256.finalize());
            if !listed.digests.iter().any(|digest| digest.eq_ignore_ascii_case(&found)) {
                return Err(Fault::Event("its SHA-256 is not the one in the manifest".into()));
            }
        }
        spool.seek(SeekFrom::Start(0)).map_err(|error| Fault::Server(disk(&error)))?;
        let (_, head) = read_event(BufReader::with_capacity(256 << 10, spool), Some(uuid), rows).map_err(told)?;
        Ok((head.timestamp.map(|time| time.secs()), bytes))
    }
}

fn disk(error: &io::Error) -> ConnectorError {
    ConnectorError::Later { wait: None, why: format!("the event cannot be kept while it is read: {error}") }
}

impl Connection for Feed {
    fn check(&self, cx: &Cx<'_>) -> Result<(), ConnectorError> {
        self.listing(&Seen::default(), cx).map(drop)
    }

    fn hosts(&self) -> Vec<String> {
        let rest = self.base.split("://").nth(1).filter(|_| self.web);
        let authority = rest.and_then(|rest| rest.split('/').next()).unwrap_or_default();
        // A port is no part of the host; an IPv6 address keeps its brackets to itself.
        let host = match authority.strip_prefix('[') {
            Some(inner) => inner.split(']').next().unwrap_or_default(),
            None => authority.split(':').next().unwrap_or_default(),
        };
        if host.is_empty() { Vec::new() } else { vec![host.to_ascii_lowercase()] }
    }

    fn source(&self) -> Option<&dyn Source> {
        Some(self)
    }
}

impl Source for Feed {
    fn pull(&self, after: Option<&Cursor>, cx: &Cx<'_>, rows: &mut dyn Rows) -> Result<Pulled, ConnectorError> {
        let mut seen: Seen = after
            .and_then(|cursor| Seen::deserialize(cursor).ok())
            .filter(|seen| seen.spec == self.fingerprint)
            .unwrap_or_else(|| Seen {
                spec: self.fingerprint.clone(),
                from: cx.initial_from.secs(),
                ..Seen::default()
            });
        let Some((listing, state)) = self.listing(&seen, cx)? else { return Ok(Pulled::NotModified(None)) };
        if !seen.under_way {
            listing.report(&seen, rows);
        }
        let mut due: Vec<(&String, &Listed)> = listing
            .events
            .iter()
            .filter(|(uuid, listed)| listed.wanted && seen.wants(uuid, listed) && !seen.open.contains(*uuid))
            .collect();
        // The oldest first: what follows in time is read in that order, and a stop leaves the rest for the next run.
        due.sort_by_key(|(uuid, listed)| (seen.late.contains(*uuid), listed.timestamp, *uuid));
        let (mut n_read, mut bytes, mut misses) = (0, 0, 0);
        let mut rest = due.into_iter();
        for (uuid, listed) in rest.by_ref() {
            match self.event(uuid, listed, cx, rows) {
                Ok((own, length)) => {
                    misses = 0;
                    bytes += length;
                    // A file older than the manifest says is a copy from before the edit: it is asked for again.
                    let date = own.map_or(listed.timestamp, |own| own.min(listed.timestamp));
                    if date < listed.timestamp {
                        seen.open.insert(uuid.clone());
                    }
                    seen.read.insert(uuid.clone(), date);
                }
                Err(Fault::Event(why)) => {
                    rows.reject("event not readable", &format!("{uuid}: {why}"));
                    seen.open.insert(uuid.clone());
                }
                Err(Fault::Server(error)) => {
                    rows.reject("event not readable", &format!("{uuid}: {error}"));
                    seen.open.insert(uuid.clone());
                    misses += 1;
                }
            }
            n_read += 1;
            if n_read >= PAGE_EVENTS || bytes >= PAGE_BYTES || misses >= MISSES {
                break;
            }
        }
        let more = rest.next().is_some();
        if more && misses < MISSES {
            seen.under_way = true;
            (seen.etag, seen.last_modified) = (None, None);
            return Ok(cursor(&seen).map_or(Pulled::Done(None), Pulled::More));
        }
        // With events open, the manifest must be read again even if it stays as it is.
        (seen.etag, seen.last_modified) =
            if seen.open.is_empty() && !more { (state.etag, state.last_modified) } else { (None, None) };
        seen.late = std::mem::take(&mut seen.open);
        seen.under_way = false;
        seen.read.retain(|uuid, _| listing.events.contains_key(uuid));
        Ok(Pulled::Done(cursor(&seen)))
    }
}

fn cursor(seen: &Seen) -> Option<Cursor> {
    serde_json::to_value(seen).ok()
}

impl Seen {
    /// Is the event in range, and new or edited since it was read?
    fn wants(&self, uuid: &str, listed: &Listed) -> bool {
        match self.read.get(uuid) {
            Some(known) => listed.timestamp > *known,
            None => listed.timestamp >= self.from,
        }
    }
}

impl Listing {
    /// What the manifest itself gives to count, once a run.
    fn report(&self, seen: &Seen, rows: &mut dyn Rows) {
        for (reason, sample) in &self.bad {
            rows.reject(reason, sample);
        }
        for _ in self.bad.len() as u64..self.n_bad {
            rows.reject("event not readable", "");
        }
        let unwanted = self.events.values().filter(|listed| !listed.wanted).count() as u64;
        let early = self
            .events
            .iter()
            .filter(|(uuid, listed)| listed.wanted && listed.timestamp < seen.from && !seen.read.contains_key(*uuid));
        for (reason, n) in
            [("event without the tags asked for", unwanted), ("event out of range", early.count() as u64)]
        {
            if n > 0 {
                rows.filter(reason, n);
            }
        }
    }

    fn bad(&mut self, reason: &'static str, sample: &str) {
        self.n_bad += 1;
        if self.bad.len() < SAMPLES {
            self.bad.push((reason, sample.chars().take(200).collect()));
        }
    }

    fn take(&mut self, uuid: String, entry: &Value, only_tags: &[String]) {
        // Only what is a UUID and nothing else may become part of a path.
        if !is_uuid(&uuid) {
            return self.bad("event not readable", &format!("{uuid}: not a UUID"));
        }
        let timestamp = match &entry["timestamp"] {
            Value::Number(n) => n.as_i64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        let Some(timestamp) = timestamp else {
            return self.bad("event not readable", &format!("{uuid}: no timestamp in the manifest"));
        };
        if self.events.len() >= EVENTS {
            self.too_many = true;
            return;
        }
        let digests = match &entry["integrity:sha256"] {
            Value::String(text) => vec![text.trim().to_owned()],
            Value::Array(list) => list.iter().filter_map(Value::as_str).map(|text| text.trim().to_owned()).collect(),
            Value::Null => Vec::new(),
            // A promise that cannot be read is none that is kept.
            _ => vec![String::new()],
        };
        let tags = entry["Tag"].as_array().into_iter().flatten().filter_map(|tag| tag["name"].as_str());
        let mut tags = tags.map(|tag| tag.trim().to_lowercase());
        let wanted = only_tags.is_empty() || tags.any(|tag| only_tags.contains(&tag));
        let listed = Listed { timestamp, digests, wanted };
        match self.events.get(&uuid) {
            Some(known) if known.timestamp >= timestamp => {}
            _ => drop(self.events.insert(uuid, listed)),
        }
    }
}

/// Reads a manifest entry by entry.
fn listing(bytes: &[u8], only_tags: &[String]) -> Result<Listing, ConnectorError> {
    struct Entries<'t>(&'t [String]);
    impl<'de> Visitor<'de> for Entries<'_> {
        type Value = Listing;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of events by their ids")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Listing, A::Error> {
            let mut out = Listing::default();
            while let Some((uuid, entry)) = entries.next_entry::<String, &RawValue>()? {
                let entry = Some(entry.get()).filter(|entry| entry.len() <= ENTRY_BYTES);
                match entry.and_then(|entry| serde_json::from_str(entry).ok()) {
                    Some(entry) => out.take(uuid, &entry, self.0),
                    None => out.bad("event not readable", &format!("{uuid}: too large, or not readable")),
                }
            }
            Ok(out)
        }

        // What some languages write for an object without members.
        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Listing, A::Error> {
            match list.next_element::<serde::de::IgnoredAny>()? {
                None => Ok(Listing::default()),
                Some(_) => Err(serde::de::Error::custom("a list where an object of events was expected")),
            }
        }
    }
    let wrong = |why: String| ConnectorError::Unexpected(format!("manifest.json: {why}"));
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let listing = reader
        .deserialize_any(Entries(only_tags))
        .and_then(|listing| reader.end().map(|()| listing))
        .map_err(|error| wrong(error.to_string()))?;
    if listing.too_many {
        return Err(wrong(format!("more than {EVENTS} events")));
    }
    Ok(listing)
}

#[cfg(test)]
mod tests;
