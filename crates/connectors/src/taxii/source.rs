//! Reading: the collections one after another, page by page, the place stored with each page.

use super::cursor::{Cursor, Page, Run, Seen, Todo, Turn, stamp};
use super::envelope::{self, Envelope};
use super::wire::{Client, Content, Got, Place, advised};
use super::{Link, Settings};
use crate::aside::Aside;
use intel::Observation;
use kit::http::{Response, read_error};
use kit::stix::{Markings, Reader, Version};
use kit::{ConnectorError, Cx, Pulled, Rows, Source};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::io::Read;

/// A page is held in memory up to this size, in bytes, so that markings it lacks can be fetched before it is judged. What
/// is larger is streamed, and markings it lacks count as the most restrictive.
const MAX_HELD: usize = 32 << 20;
/// The rows of a page up to this size wait beside it until its markings are known; one that is larger is read twice.
const MAX_ASIDE: usize = 4 << 20;
/// Markings fetched by id for one page, and in one run.
const MAX_FETCHED: usize = 50;
const MAX_ASKED: usize = 1_000;
/// Collections that failed and are told of.
const MAX_FAILED: usize = 10;

impl Source for Link {
    fn pull(&self, after: Option<&kit::Cursor>, cx: &Cx<'_>, rows: &mut dyn Rows) -> Result<Pulled, ConnectorError> {
        let client = self.client(cx.http);
        let scope = scope(&self.settings);
        let mut cursor = after
            .and_then(|value| Cursor::deserialize(value).ok())
            .filter(|cursor| cursor.scope == scope)
            .unwrap_or_else(|| Cursor { scope, ..Cursor::default() });
        let at = cx.now.micros();
        let mut run = match cursor.run.take() {
            Some(run) if !run.todo.is_empty() => Run { at, ..run },
            // All that could be read is stored with its place; now it can be said what could not.
            Some(run) if run.at == at && !run.failed.is_empty() => return Err(told(&run.failed)),
            _ => {
                let places = client.places()?.readable(self.settings.collection.as_deref())?;
                let todo = |place: Place| Todo { url: place.url, is_v20: place.version == Version::V20 };
                let todo: Vec<Todo> = places.into_iter().map(todo).collect();
                Run { at, n: todo.len(), todo, ..Run::default() }
            }
        };
        let Some(todo) = run.todo.first().cloned() else { return Ok(Pulled::Done(Some(value(&cursor)?))) };
        let initial = || cursor.after.get(&todo.url).cloned().unwrap_or_else(|| stamp(cx.initial_from));
        let page = run.page.take().unwrap_or_else(|| Page::start(initial(), self.settings.page_size));
        match self.page(&client, &todo, page, &mut run, &mut cursor.markings, cx, rows) {
            Ok((page, Turn::Again)) => run.page = Some(page),
            Ok((_, Turn::End(end))) => {
                cursor.after.insert(todo.url, end);
                run.todo.remove(0);
            }
            Err(error) if error.is_later() => return Err(error),
            Err(error) if run.n == 1 => return Err(error),
            // One collection that cannot be read must not keep the others from being read.
            Err(error) => {
                run.failed.truncate(MAX_FAILED);
                run.failed.push(error.to_string());
                run.todo.remove(0);
            }
        }
        if run.todo.is_empty() && run.failed.is_empty() {
            return Ok(Pulled::Done(Some(value(&cursor)?)));
        }
        cursor.run = Some(run);
        Ok(Pulled::More(value(&cursor)?))
    }
}

impl Link {
    /// Reads one page and hands over its rows.
    #[expect(clippy::too_many_arguments, reason = "one page's working set, used once")]
    fn page(
        &self,
        client: &Client<'_>,
        todo: &Todo,
        mut page: Page,
        run: &mut Run,
        markings: &mut Markings,
        cx: &Cx<'_>,
        rows: &mut dyn Rows,
    ) -> Result<(Page, Turn), ConnectorError> {
        let here = |why: String| ConnectorError::Unexpected(format!("{}objects/: {why}", todo.url));
        let response = loop {
            match self.ask(client, todo, &page)? {
                Some(response) if response.status < 400 => break response,
                Some(_) => page.forgotten().map_err(here)?,
                None => return page.turn(&Seen::default(), cx.now).map(|turn| (page, turn)).map_err(here),
            }
        };
        let header = |name: &str| response.header(name).map(str::to_owned);
        let (first, last) = (header("x-taxii-date-added-first"), header("x-taxii-date-added-last"));
        let (status, range) = (response.status, header("content-range"));
        let envelope = if status == 204 {
            Envelope::default()
        } else {
            let mut reading = Reading { client, todo, run, markings };
            reading.read(response.body, rows).map_err(|error| match error {
                ConnectorError::Unexpected(why) => here(why),
                other => other,
            })?
        };
        let Envelope { more, next, n, print, .. } = envelope;
        let mut seen = Seen { n, more, next, offset: None, print, first, last };
        if todo.is_v20 && seen.next.is_none() {
            let end = range_end(status, range.as_deref(), page.offset, n);
            (seen.more, seen.offset) = (end.is_some(), end);
        }
        let turn = page.turn(&seen, cx.now).map_err(here)?;
        Ok((page, turn))
    }

    /// The answer to a page: as asked for, or an error about our place in the collection. None: there is nothing.
    fn ask(&self, client: &Client<'_>, todo: &Todo, page: &Page) -> Result<Option<Response>, ConnectorError> {
        let version = todo.version();
        let lost: &[u16] = if page.next.is_some() { &[400, 404, 406, 410, 416, 422] } else { &[404, 410, 416] };
        for end in ["objects/", "objects"] {
            let mut request = client.get(version, Content::Stix, &format!("{}{end}", todo.url)).also(lost);
            request = request.query("added_after", &page.after);
            if !self.settings.types.is_empty() {
                request = request.query("match[type]", &self.settings.types.join(","));
            }
            if todo.is_v20 {
                let last = page.offset.saturating_add(page.limit) - 1;
                request = request.header("Range", &format!("items {}-{last}", page.offset));
            } else {
                request = request.query("limit", &page.limit.to_string());
                if let Some(next) = &page.next {
                    request = request.query("next", next);
                }
            }
            let response = request.send().map_err(advised)?;
            match response.status {
                416 if todo.is_v20 => return Ok(None),
                404 | 410 if page.next.is_none() => {}
                _ => return Ok(Some(response)),
            }
        }
        // Some servers say "not found" of a collection that holds nothing new.
        match client.ask(version, &todo.url)? {
            Got::There(_) => Ok(None),
            _ => Err(ConnectorError::Unexpected(format!(
                "{}: the collection is not there any more (404); choose another one",
                todo.url
            ))),
        }
    }
}

/// Where the next page of a 2.0 server begins; None: that was the last (TAXII 2.0 §3.4).
fn range_end(status: u16, range: Option<&str>, offset: u64, n: u64) -> Option<u64> {
    let range = range.and_then(|text| text.trim().strip_prefix("items")).map(str::trim);
    let Some((span, total)) = range.and_then(|range| range.split_once('/')) else {
        return (status == 206 && n > 0).then(|| offset.saturating_add(n));
    };
    let end = span.split_once('-').and_then(|(_, end)| end.trim().parse::<u64>().ok())?;
    let next = end.saturating_add(1);
    match total.trim().parse::<u64>() {
        Ok(total) => (next < total && n > 0).then_some(next),
        // The total is not told: go on until there is nothing.
        Err(_) => (n > 0).then_some(next),
    }
}

/// What a page came to: its envelope, what it says, what its markings mean, and which it does not define.
type Said = (Envelope, Aside, Markings, Vec<String>);
/// The same, where what it says may not be kept.
type Each = (Envelope, Option<Aside>, Markings, Vec<String>);

/// A page on its way from the wire to the rows.
struct Reading<'a> {
    client: &'a Client<'a>,
    todo: &'a Todo,
    run: &'a mut Run,
    markings: &'a mut Markings,
}

impl Reading<'_> {
    fn read(&mut self, mut body: impl Read, rows: &mut dyn Rows) -> Result<Envelope, ConnectorError> {
        let mut held = Vec::new();
        let most = MAX_HELD as u64 + 1;
        (&mut body).take(most).read_to_end(&mut held).map_err(|error| read_error(&error))?;
        if held.len() > MAX_HELD {
            let mut reader = Reader::new(rows, self.markings.clone());
            let envelope = envelope::read(held.chain(body), &mut |object| reader.object(object.get()))?;
            *self.markings = reader.finish().1;
            return Ok(envelope);
        }
        let (envelope, said, after, unresolved) = match self.plain(&held) {
            Some((envelope, aside, after, unresolved)) => (envelope, Some(aside), after, unresolved),
            None => self.each(&held)?,
        };
        let found = self.lacking(unresolved)?;
        if let Some(said) = said.filter(|_| found.is_empty()) {
            said.hand_over(rows);
            *self.markings = after;
            return Ok(envelope);
        }
        let mut nobody = Nobody;
        let mut reader = Reader::new(&mut nobody, self.markings.clone());
        found.iter().for_each(|object| reader.object(object.get()));
        let markings = reader.finish().1;
        let mut reader = Reader::new(rows, markings);
        envelope::read_held(&held, &mut |object| reader.object(object.get()))?;
        *self.markings = reader.finish().1;
        Ok(envelope)
    }

    /// Reads a page in memory in one pass; None if that cannot be done.
    fn plain(&self, held: &[u8]) -> Option<Said> {
        let mut aside = Aside::default();
        let mut reader = Reader::new(&mut aside, self.markings.clone());
        let envelope = envelope::read_plain(held, &mut reader)?;
        let (_, after, unresolved) = reader.finish();
        Some((envelope, aside, after, unresolved))
    }

    /// Reads a page in memory, each object on its own. What a large one says is not kept: it is read again.
    fn each(&self, held: &[u8]) -> Result<Each, ConnectorError> {
        let mut aside = Aside::default();
        let mut nobody = Nobody;
        let is_small = held.len() <= MAX_ASIDE;
        let first: &mut dyn Rows = if is_small { &mut aside } else { &mut nobody };
        let mut reader = Reader::new(first, self.markings.clone());
        let envelope = envelope::read_held(held, &mut |object| reader.object(object.get()))?;
        let (_, after, unresolved) = reader.finish();
        Ok((envelope, is_small.then_some(aside), after, unresolved))
    }

    /// Fetches the definitions of markings that a page lacks.
    fn lacking(&mut self, unresolved: Vec<String>) -> Result<Vec<Box<RawValue>>, ConnectorError> {
        let mut wanted: Vec<String> = Vec::new();
        for id in unresolved {
            let is_id = id.starts_with("marking-definition--") && id.len() <= 64;
            if is_id
                && wanted.len() < MAX_FETCHED
                && self.run.asked.len() < MAX_ASKED
                && self.run.asked.insert(id.clone())
            {
                wanted.push(id);
            }
        }
        let mut found = Vec::new();
        for id in &wanted {
            found.extend(self.fetch(id)?);
        }
        Ok(found)
    }

    /// One object by its id; none where the server has none, or does not give it.
    fn fetch(&self, id: &str) -> Result<Vec<Box<RawValue>>, ConnectorError> {
        let url = format!("{}objects/{}/", self.todo.url, kit::http::encode(id));
        let request = self.client.get(self.todo.version(), Content::Stix, &url);
        let mut found = Vec::new();
        let response = match request.also(&[400, 403, 404, 405, 406, 410, 422]).send() {
            Ok(response) if response.status == 200 => response,
            Ok(_) | Err(ConnectorError::Unexpected(_)) => return Ok(found),
            Err(error) => return Err(advised(error)),
        };
        match envelope::read(response.body.take(MAX_HELD as u64), &mut |object| {
            if found.len() < MAX_FETCHED {
                found.push(object.to_owned());
            }
        }) {
            Ok(_) | Err(ConnectorError::Unexpected(_)) => Ok(found),
            Err(error) => Err(error),
        }
    }
}

/// For objects of which only the markings are wanted.
struct Nobody;

impl Rows for Nobody {
    fn row(&mut self, _: Observation) {}

    fn reject(&mut self, _: &'static str, _: &str) {}

    fn filter(&mut self, _: &'static str, _: u64) {}
}

/// What the settings select.
fn scope(settings: &Settings) -> String {
    let Settings { url, collection, types, .. } = settings;
    format!("{url} {} {}", collection.as_deref().unwrap_or("*"), types.join(","))
}

fn value(cursor: &Cursor) -> Result<kit::Cursor, ConnectorError> {
    serde_json::to_value(cursor)
        .map_err(|error| ConnectorError::Unexpected(format!("the place cannot be kept: {error}")))
}

fn told(failed: &[String]) -> ConnectorError {
    ConnectorError::Unexpected(format!("{} collections could not be read: {}", failed.len(), failed.join("; ")))
}
