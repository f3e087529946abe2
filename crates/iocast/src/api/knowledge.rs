//! What is known, read: one indicator, the records and sightings of each source, and what stands in the ledgers.

use super::error::Problem;
use super::extract::{Params, Part};
use super::indicators::{cursor_text as place_text, place_of, wants_lines};
use super::lists::Chunks;
use super::route::NDJSON;
use super::shapes::{self, Limit, PAGE, Page, cursor_of, cursor_text, line_state_of};
use crate::app::App;
use axum::Json;
use axum::body::{Body as HttpBody, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine::guards::{GuardListInForce, GuardListShown};
use engine::{Delivery, DeliveryCursor, GuardAnswer, Hit, Record};
use index::{PageCursor, Sort, SortField};
use intel::{IndicatorId, IndicatorKind, TargetId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Rows handed on at a time while streaming.
const STREAM_PAGE: usize = 1_000;

/// What one source counts.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Sighting {
    /// What sort of thing.
    kind: &'static str,
    /// The canonical value.
    value: String,
    /// Which connection.
    source: String,
    /// Own sightings, as this source counts them.
    internal_hits: u32,
    /// Others' sightings, as this source counts them.
    external_hits: u32,
    /// RFC 3339.
    first_seen: Option<String>,
    /// RFC 3339.
    last_seen: Option<String>,
}

impl Sighting {
    /// None where the source has seen nothing.
    fn of(record: Record) -> Option<Sighting> {
        (record.internal_hits > 0 || record.external_hits > 0).then_some(Sighting {
            kind: record.kind,
            value: record.value,
            source: record.source,
            internal_hits: record.internal_hits,
            external_hits: record.external_hits,
            first_seen: record.first_seen,
            last_seen: record.last_seen,
        })
    }
}

/// A path's kind and value. What cannot be an indicator is not there.
pub(super) fn key_of((kind, value): (String, String)) -> Result<(Option<IndicatorKind>, String), Problem> {
    if kind == "auto" {
        return Ok((None, value));
    }
    match IndicatorKind::from_name(&kind) {
        Some(kind) => Ok((Some(kind), value)),
        None => Err(Problem::not_found(format!("there is no kind \"{kind}\""))),
    }
}

/// What stands at no address is not there, whatever is wrong with it.
pub(super) fn not_there(problem: Problem) -> Problem {
    if problem.status() == StatusCode::BAD_REQUEST { problem.with_status(StatusCode::NOT_FOUND) } else { problem }
}

pub(super) async fn indicator(
    State(app): State<Arc<App>>,
    Part(parts): Part<(String, String)>,
) -> Result<Json<Hit>, Problem> {
    let (kind, value) = key_of(parts)?;
    app.hop(move |app| {
        let engine = app.engine()?;
        engine.advance()?;
        let hit = engine.get(&value, kind);
        hit.map(Json).ok_or_else(|| Problem::not_found(format!("nobody has said anything about {value}")))
    })
    .await
}

pub(super) async fn records_of(
    State(app): State<Arc<App>>,
    Part(parts): Part<(String, String)>,
) -> Result<Json<Vec<Record>>, Problem> {
    let (kind, value) = key_of(parts)?;
    app.hop(move |app| app.engine()?.records(&value, kind).map_err(Problem::from).map_err(not_there)).await.map(Json)
}

pub(super) async fn sightings_of(
    State(app): State<Arc<App>>,
    Part(parts): Part<(String, String)>,
) -> Result<Json<Vec<Sighting>>, Problem> {
    let (kind, value) = key_of(parts)?;
    app.hop(move |app| {
        let records = app.engine()?.records(&value, kind).map_err(Problem::from).map_err(not_there)?;
        Ok(Json(records.into_iter().filter_map(Sighting::of).collect()))
    })
    .await
}

pub(super) async fn deliveries_of(
    State(app): State<Arc<App>>,
    Part(parts): Part<(String, String)>,
) -> Result<Json<Vec<Delivery>>, Problem> {
    let (kind, value) = key_of(parts)?;
    app.hop(move |app| app.engine()?.deliveries_of(&value, kind).map_err(Problem::from).map_err(not_there))
        .await
        .map(Json)
}

/// Of which indicators.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordQuery {
    /// A search; without: every indicator.
    #[serde(default)]
    q: String,
    /// Of inactive indicators too.
    #[serde(default)]
    all: bool,
    /// Only of this source.
    source: Option<String>,
    /// Most indicators whose records are on a page; 100 where nothing is said. A page can hold more records, or none.
    limit: Option<Limit<1_000>>,
    /// `next` of the page before.
    after: Option<String>,
}

/// Every source's word on the indicators that a search finds.
pub(super) async fn records(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Params(query): Params<RecordQuery>,
) -> Result<Response, Problem> {
    told(app, &headers, query, Some).await
}

/// What sources have seen of the indicators that a search finds.
pub(super) async fn sightings(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Params(query): Params<RecordQuery>,
) -> Result<Response, Problem> {
    told(app, &headers, query, Sighting::of).await
}

async fn told<T: Serialize + Send + 'static>(
    app: Arc<App>,
    headers: &HeaderMap,
    query: RecordQuery,
    show: fn(Record) -> Option<T>,
) -> Result<Response, Problem> {
    let after = query.after.as_deref().map(place_of).transpose()?;
    let limit = query.limit.map(|limit| limit.get());
    let page = move |app: &App, after: Option<&PageCursor>, limit: usize| {
        let by_id = Sort { field: SortField::Id, descending: false };
        let (records, next) = app.engine()?.find_records(&query.q, query.all, by_id, after, limit)?;
        let wanted = records.into_iter().filter(|r| query.source.as_ref().is_none_or(|source| *source == r.source));
        Ok((wanted.filter_map(show).collect(), next))
    };
    answer(app, headers, after, limit, page, place_text).await
}

/// Which lines.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DeliveryQuery {
    /// Of this target.
    target: Option<String>,
    /// In this state.
    #[schemars(schema_with = "shapes::line_state")]
    #[serde(default)]
    state: Option<String>,
    /// Most on a page; 100 where nothing is said.
    limit: Option<Limit<10_000>>,
    /// `next` of the page before.
    after: Option<String>,
}

/// Which lines of one target.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LineQuery {
    /// In this state.
    #[schemars(schema_with = "shapes::line_state")]
    #[serde(default)]
    state: Option<String>,
    /// Most on a page; 100 where nothing is said.
    limit: Option<Limit<10_000>>,
    /// `next` of the page before.
    after: Option<String>,
}

pub(super) async fn deliveries(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Params(query): Params<DeliveryQuery>,
) -> Result<Response, Problem> {
    let state = line_state_of(query.state.as_deref())?;
    let after = query.after.as_deref().map(cursor_of::<(u32, u32)>).transpose()?;
    let after = after.map(|(target, indicator)| (TargetId(target), IndicatorId(indicator)));
    let limit = query.limit.map(|limit| limit.get());
    let page = move |app: &App, after: Option<&DeliveryCursor>, limit: usize| {
        Ok(app.engine()?.deliveries(query.target.as_deref(), state, after.copied(), limit)?)
    };
    answer(app, &headers, after, limit, page, |(target, indicator)| cursor_text(&(target.0, indicator.0))).await
}

pub(super) async fn deliveries_at(
    state: State<Arc<App>>,
    Part(target): Part<String>,
    headers: HeaderMap,
    Params(query): Params<LineQuery>,
) -> Result<Response, Problem> {
    let LineQuery { state: line_state, limit, after } = query;
    let query = DeliveryQuery { target: Some(target), state: line_state, limit, after };
    deliveries(state, headers, Params(query)).await
}

/// A page as JSON, or all of them, one item a line. The first page is read before anything is answered, so that what
/// cannot be read is told as such.
async fn answer<T, C>(
    app: Arc<App>,
    headers: &HeaderMap,
    after: Option<C>,
    limit: Option<usize>,
    page: impl Fn(&App, Option<&C>, usize) -> Result<(Vec<T>, Option<C>), Problem> + Send + Sync + 'static,
    text: impl Fn(&C) -> String,
) -> Result<Response, Problem>
where
    T: Serialize + Send + 'static,
    C: Send + 'static,
{
    let page = Arc::new(page);
    let as_lines = wants_lines(headers);
    let at_once = limit.unwrap_or(if as_lines { STREAM_PAGE } else { PAGE });
    let (items, next) = {
        let page = page.clone();
        app.hop(move |app| page(app, after.as_ref(), at_once)).await?
    };
    if !as_lines {
        let next = next.as_ref().map(text);
        return Ok(Json(Page { items, next }).into_response());
    }
    let (chunks, inbox) = mpsc::channel(2);
    tokio::task::spawn_blocking(move || {
        // A limit asks for one page, whatever the form.
        let (mut items, mut next) = (items, next.filter(|_| limit.is_none()));
        loop {
            if chunks.blocking_send(Ok(lines(&items))).is_err() || next.is_none() {
                return;
            }
            (items, next) = match page(&app, next.as_ref(), at_once) {
                Ok(page) => page,
                Err(problem) => {
                    // Breaks the connection: a part must not be taken for the whole.
                    let _ = chunks.blocking_send(Err(std::io::Error::other(format!("{:?}", problem.status()))));
                    return;
                }
            };
        }
    });
    let mut response = Response::new(HttpBody::from_stream(Chunks(inbox)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(NDJSON));
    Ok(response)
}

/// One item a line.
pub(super) fn lines(items: &[impl Serialize]) -> Bytes {
    let mut out = Vec::new();
    for item in items {
        // Texts and numbers: they can always be written.
        if serde_json::to_writer(&mut out, item).is_ok() {
            out.push(b'\n');
        }
    }
    out.into()
}

/// Which value, and where to.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckQuery {
    /// In any spelling.
    value: String,
    /// Where the value does not speak for itself.
    #[schemars(schema_with = "shapes::kind_or_auto")]
    #[serde(default)]
    kind: Option<String>,
    /// With the exceptions of this target.
    target: Option<String>,
}

pub(super) async fn guard_lists(State(app): State<Arc<App>>) -> Result<Json<Vec<GuardListInForce>>, Problem> {
    app.hop(move |app| Ok(app.engine()?.guard_lists()?)).await.map(Json)
}

pub(super) async fn guard_list(
    State(app): State<Arc<App>>,
    Part(name): Part<String>,
) -> Result<Json<GuardListShown>, Problem> {
    app.hop(move |app| Ok(app.engine()?.guard_list(&name)?)).await.map(Json)
}

pub(super) async fn guard_check(
    State(app): State<Arc<App>>,
    Params(query): Params<CheckQuery>,
) -> Result<Json<GuardAnswer>, Problem> {
    let kind = super::indicators::kind_of(query.kind.as_deref())?;
    app.hop(move |app| Ok(app.engine()?.guard_check(&query.value, kind, query.target.as_deref())?)).await.map(Json)
}
