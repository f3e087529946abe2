//! What changed after a revision, for programs that follow: asked, waited for, or as a stream of events.
//!
//! Who waits holds no thread. Events are those of the HTML standard (`text/event-stream`): `id` is the place to go on
//! from, which a client sends back as `Last-Event-ID` by itself.

use super::error::Problem;
use super::extract::Params;
use super::lists::Chunks;
use crate::app::App;
use crate::tokens::Caller;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use engine::{Feed, FeedItem, FeedPlace, Hit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Changes in an answer where nothing is said.
const PAGE: usize = 1_000;
/// Most changes in an answer.
const MAX_PAGE: usize = 10_000;
/// Longest wait, in seconds.
const MAX_WAIT_SECS: u64 = 60;
/// Between two signs of life of a stream.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Longest time that a stream's reader may take to read what is there.
const STALL: Duration = Duration::from_secs(60);
/// Changes read at a time for a stream.
const STREAM_PAGE: usize = 1_000;
/// How long to stay away where too many follow, in seconds.
const BUSY_SECS: u32 = 10;

/// Where to begin and how long to wait.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangesQuery {
    /// `next` of the answer before, unchanged; 0 begins with a snapshot of everything.
    #[serde(default)]
    pub since: Option<String>,
    /// Changes at most; 1,000 unless said, 10,000 at most.
    #[schemars(range(min = 1, max = 10_000))]
    pub limit: Option<usize>,
    /// Where nothing has changed, wait so many seconds for a change; at most 60.
    #[schemars(range(min = 0, max = 60))]
    pub wait: Option<u64>,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ChangeItem {
    /// Its place in the order of changes.
    pub revision: u64,
    /// What sort of thing.
    pub kind: String,
    /// The canonical value.
    pub value: String,
    /// Whether it counts.
    pub active: bool,
    /// It was removed: nothing is known of it any more.
    pub deleted: bool,
    /// The indicator as it is now, unless it was removed.
    #[serde(flatten)]
    pub hit: Option<Rest>,
}

/// The other fields of a hit.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Rest(serde_json::Map<String, serde_json::Value>);

/// A stretch of changes.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ChangesAnswer {
    /// In the order of revisions.
    pub items: Vec<ChangeItem>,
    /// `since` of the next question.
    pub next: String,
    /// There is more already.
    pub more: bool,
}

impl ChangeItem {
    fn of(item: FeedItem) -> ChangeItem {
        let rest = item.hit.as_ref().map(|hit: &Hit| {
            let mut fields = match serde_json::to_value(hit) {
                Ok(serde_json::Value::Object(fields)) => fields,
                _ => serde_json::Map::new(),
            };
            ["revision", "kind", "value", "active"].iter().for_each(|key| drop(fields.remove(*key)));
            Rest(fields)
        });
        ChangeItem {
            revision: item.place.since,
            kind: item.kind.as_str().to_owned(),
            value: item.value,
            active: item.hit.as_ref().is_some_and(|hit| hit.active),
            deleted: item.hit.is_none(),
            hit: rest,
        }
    }
}

fn gone() -> Problem {
    Problem::new(
        StatusCode::GONE,
        "since: changes that far back are not told any more, or not by this exchange; start over with a snapshot: \
         forget what you hold and ask with since=0",
    )
}

fn place(text: &str) -> Result<FeedPlace, Problem> {
    FeedPlace::parse(text)
        .ok_or_else(|| Problem::invalid("since: 0 for a snapshot, or \"next\" of the answer before, unchanged"))
}

/// `GET /api/v1/changes`.
pub(super) async fn read(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Params(query): Params<ChangesQuery>,
) -> Result<Response, Problem> {
    let wants = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_stream = wants.contains("text/event-stream");
    let last = headers.get("last-event-id").filter(|_| is_stream).and_then(|value| value.to_str().ok());
    // What was read last counts more than where the address began.
    let from = place(last.or(query.since.as_deref()).unwrap_or("0"))?;
    // What time has changed meanwhile, where no loop runs that would see to it.
    app.hop(|app| Ok(app.engine()?.advance()?)).await?;
    if is_stream {
        return events(app, caller, from).await;
    }
    let limit = query.limit.unwrap_or(PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Problem::invalid(format!("limit: {limit} is not from 1 to {MAX_PAGE}")));
    }
    let wait = query.wait.unwrap_or(0);
    if wait > MAX_WAIT_SECS {
        return Err(Problem::invalid(format!("wait: {wait} is more than {MAX_WAIT_SECS} seconds")));
    }
    let wait = Duration::from_secs(wait);
    answer(&app, from, limit, wait).await.map(|answer| Json(answer).into_response())
}

async fn page(app: &Arc<App>, from: FeedPlace, limit: usize) -> Result<(Vec<FeedItem>, FeedPlace, bool), Problem> {
    app.hop(move |app| match app.engine()?.changes(from, limit)? {
        Feed::Items { items, next, more } => Ok((items, next, more)),
        Feed::Gone => Err(gone()),
    })
    .await
}

async fn answer(app: &Arc<App>, from: FeedPlace, limit: usize, wait: Duration) -> Result<ChangesAnswer, Problem> {
    // Looked at before what is there is read: a change between the two is then seen as one.
    let mut revision = app.crowd().revision.subscribe();
    let until = Instant::now() + wait;
    let mut from = from;
    let mut held = None;
    loop {
        let (items, next, more) = page(app, from, limit).await?;
        if !items.is_empty() || more || Instant::now() >= until {
            let items = items.into_iter().map(ChangeItem::of).collect();
            return Ok(ChangesAnswer { items, next: next.to_string(), more });
        }
        from = next;
        if held.is_none() {
            let place = app.crowd().wait().ok_or_else(|| Problem::busy("too many wait for a change", BUSY_SECS))?;
            held = Some(place);
        }
        // An end of the wait and a change are both reasons to look again.
        let _ = tokio::time::timeout_at(until, revision.changed()).await;
    }
}

fn event(item: FeedItem, out: &mut String) {
    let place = item.place;
    if let Ok(data) = serde_json::to_string(&ChangeItem::of(item)) {
        // JSON has no line breaks of its own, and writing to a text cannot fail.
        let _ = write!(out, "event: change\nid: {place}\ndata: {data}\n\n");
    }
}

/// The next page of a stream, if its token still lets it: it may be revoked, or expire, while the stream is open.
async fn go_on(app: &Arc<App>, caller: &Caller, at: FeedPlace) -> Result<(Vec<FeedItem>, FeedPlace, bool), Problem> {
    let caller = caller.clone();
    match app.hop(move |app| app.is_still_let_in(&caller)).await? {
        true => page(app, at, STREAM_PAGE).await,
        false => Err(Problem::unauthorized()),
    }
}

/// Gives a piece to whoever follows. False: they are gone, or have not read for a minute.
async fn told(chunks: &mpsc::Sender<std::io::Result<Bytes>>, piece: Bytes) -> bool {
    matches!(tokio::time::timeout(STALL, chunks.send(Ok(piece))).await, Ok(Ok(())))
}

async fn events(app: Arc<App>, caller: Caller, from: FeedPlace) -> Result<Response, Problem> {
    let slot = app.crowd().stream().ok_or_else(|| Problem::busy("too many streams are open", BUSY_SECS))?;
    let mut revision = app.crowd().revision.subscribe();
    // The first page is read before anything is answered, so that a place that is gone is told as such.
    let mut read = page(&app, from, STREAM_PAGE).await?;
    let (chunks, inbox) = mpsc::channel::<std::io::Result<Bytes>>(2);
    tokio::spawn(async move {
        let _slot = slot;
        let mut at = from;
        loop {
            let (items, next, more) = read;
            let mut text = String::new();
            items.into_iter().for_each(|item| event(item, &mut text));
            if next != at && text.is_empty() {
                // Revisions without anything to tell: the place moves all the same.
                let _ = write!(text, "id: {next}\nevent: place\ndata: {{}}\n\n");
            }
            at = next;
            if !text.is_empty() && !told(&chunks, text.into()).await {
                return;
            }
            if !more {
                loop {
                    match tokio::time::timeout(HEARTBEAT, revision.changed()).await {
                        Ok(Ok(())) => break,
                        Ok(Err(_)) => return,
                        // Without it nobody would notice a reader that has gone away.
                        Err(_) if !told(&chunks, Bytes::from_static(b": alive\n\n")).await => return,
                        Err(_) => {}
                    }
                }
            }
            read = match go_on(&app, &caller, at).await {
                Ok(read) => read,
                Err(problem) => {
                    let word = if problem.status() == StatusCode::GONE { "gone" } else { "trouble" };
                    let text = format!(
                        "event: {word}\ndata: {}\n\n",
                        serde_json::json!({ "status": problem.status().as_u16() })
                    );
                    let _ = chunks.send(Ok(text.into())).await;
                    return;
                }
            };
        }
    });
    let mut response = Response::new(Body::from_stream(Chunks(inbox)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Ok(response)
}
