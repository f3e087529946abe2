//! Indicators: searched, counted, explained, added, judged.

use super::error::Problem;
use super::extract::{Body, Params};
use super::lists::Chunks;
use super::shapes::{self, Limit, Page};
use crate::app::App;
use crate::tokens::Caller;
use axum::body::{Body as HttpBody, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use engine::{Hit, NewIndicator, Retracted, WhyReport};
use index::{PageCursor, Sort, SortField};
use intel::{IndicatorId, IndicatorKind, Timestamp, Tlp, Verdict, VerdictKind};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Indicators on a page where nothing is said.
const PAGE: usize = 100;
/// Most indicators on a page.
const MAX_PAGE: usize = 10_000;
/// Indicators handed on at a time while streaming.
const STREAM_PAGE: usize = 5_000;
/// Values added in one request.
const MAX_ADDED: usize = 100_000;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FindQuery {
    /// A search; without: every indicator.
    #[serde(default)]
    q: String,
    /// Inactive indicators too.
    #[serde(default)]
    all: bool,
    /// The order; with `-` before it the greatest come first. Default `id`.
    #[schemars(schema_with = "sort_names")]
    #[serde(default)]
    sort: Option<String>,
    /// Most on a page, 10,000 at most; 100 where nothing is said. Of a stream: most lines; all where nothing is said.
    limit: Option<Limit<4_294_967_295>>,
    /// `next` of the page before.
    after: Option<String>,
}

/// What can be sorted by.
const FIELDS: [(&str, SortField); 12] = [
    ("id", SortField::Id),
    ("value", SortField::Value),
    ("kind", SortField::Kind),
    ("reputation", SortField::Reputation),
    ("severity", SortField::Severity),
    ("confidence", SortField::Confidence),
    ("tlp", SortField::Tlp),
    ("first_seen", SortField::FirstSeen),
    ("last_seen", SortField::LastSeen),
    ("sources", SortField::Sources),
    ("hits", SortField::Hits),
    ("revision", SortField::Revision),
];

fn sort_names(_: &mut SchemaGenerator) -> Schema {
    let names: Vec<String> = FIELDS.iter().flat_map(|(name, _)| [(*name).to_owned(), format!("-{name}")]).collect();
    json_schema!({ "type": "string", "enum": names })
}

/// `last_seen`, or `-last_seen` for the greatest first.
pub(crate) fn sort_of(text: Option<&str>) -> Result<Sort, Problem> {
    let text = text.unwrap_or("id");
    let (name, descending) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
    match FIELDS.iter().find(|(field, _)| *field == name) {
        Some((_, field)) => Ok(Sort { field: *field, descending }),
        None => {
            let names: Vec<&str> = FIELDS.iter().map(|(name, _)| *name).collect();
            Err(Problem::invalid(format!(
                "sort: \"{name}\" is none of {}; with '-' before it, the greatest come first",
                names.join(", ")
            )))
        }
    }
}

/// Where a page ended, as text for the address of the next.
pub(crate) fn cursor_text(cursor: &PageCursor) -> String {
    shapes::cursor_text(&(cursor.key, cursor.id.0, &cursor.text))
}

pub(crate) fn place_of(text: &str) -> Result<PageCursor, Problem> {
    let (key, id, text): (u64, u32, Option<Box<str>>) = shapes::cursor_of(text)?;
    Ok(PageCursor { key, text, id: IndicatorId(id) })
}

/// Whether one object a line is asked for.
pub(super) fn wants_lines(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut ranges = values.flat_map(|value| value.split(',')).map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default().to_ascii_lowercase();
        let refused =
            parts.filter_map(|part| part.strip_prefix("q=")).any(|q| q.parse::<f32>().is_ok_and(|q| q <= 0.0));
        media == super::route::NDJSON && !refused
    });
    ranges.any(|wanted| wanted)
}

pub(super) async fn find(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Params(query): Params<FindQuery>,
) -> Result<Response, Problem> {
    let sort = sort_of(query.sort.as_deref())?;
    let after = query.after.as_deref().map(place_of).transpose()?;
    if wants_lines(&headers) {
        return stream(app, query, sort, after).await;
    }
    let limit = query.limit.map_or(PAGE, |limit| limit.get()).min(MAX_PAGE);
    let (items, next) =
        app.hop(move |app| Ok(app.engine()?.find(&query.q, query.all, sort, after.as_ref(), limit)?)).await?;
    let next = next.as_ref().map(cursor_text);
    Ok(Json(Page { items, next }).into_response())
}

fn lines(hits: &[Hit]) -> Bytes {
    let mut out = Vec::with_capacity(hits.len() * 320);
    for hit in hits {
        // A hit is texts and numbers: it can always be written.
        if serde_json::to_writer(&mut out, hit).is_ok() {
            out.push(b'\n');
        }
    }
    out.into()
}

/// All pages, one indicator a line. The first page is read before anything is answered, so that a search that cannot
/// be read is told as such.
async fn stream(app: Arc<App>, query: FindQuery, sort: Sort, after: Option<PageCursor>) -> Result<Response, Problem> {
    let mut left = query.limit.map_or(usize::MAX, |limit| limit.get());
    let page = move |app: &App, after: Option<&PageCursor>, left: usize| {
        Ok::<_, Problem>(app.engine()?.find(&query.q, query.all, sort, after, left.min(STREAM_PAGE))?)
    };
    let page = Arc::new(page);
    let (chunks, inbox) = mpsc::channel(2);
    let first = {
        let page = page.clone();
        app.hop(move |app| page(app, after.as_ref(), left)).await?
    };
    let reader = app.clone();
    tokio::task::spawn_blocking(move || {
        let (mut hits, mut next) = first;
        loop {
            left -= hits.len().min(left);
            if chunks.blocking_send(Ok(lines(&hits))).is_err() {
                return;
            }
            if left == 0 || next.is_none() {
                return;
            }
            (hits, next) = match page(&reader, next.as_ref(), left) {
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
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(super::route::NDJSON));
    Ok(response)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CountQuery {
    /// A search; without: every indicator.
    #[serde(default)]
    q: String,
    /// Inactive indicators too.
    #[serde(default)]
    all: bool,
}

/// How many.
#[derive(Serialize, JsonSchema)]
pub(super) struct Count {
    /// Indicators.
    count: u64,
}

pub(super) async fn count(
    State(app): State<Arc<App>>,
    Params(query): Params<CountQuery>,
) -> Result<Json<Count>, Problem> {
    let count = app.hop(move |app| Ok(app.engine()?.count(&query.q, query.all)?)).await?;
    Ok(Json(Count { count }))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WhyQuery {
    /// In any spelling.
    value: String,
    /// Where the value does not speak for itself.
    #[schemars(schema_with = "shapes::kind_or_auto")]
    #[serde(default)]
    kind: Option<String>,
}

pub(crate) fn kind_of(kind: Option<&str>) -> Result<Option<IndicatorKind>, Problem> {
    match kind {
        None | Some("auto") => Ok(None),
        Some(name) => IndicatorKind::from_name(name).map(Some).ok_or_else(|| {
            let names: Vec<&str> = IndicatorKind::ALL.iter().map(|kind| kind.as_str()).collect();
            Problem::invalid(format!("kind: \"{name}\" is none of {}", names.join(", ")))
        }),
    }
}

pub(super) async fn why(
    State(app): State<Arc<App>>,
    Params(query): Params<WhyQuery>,
) -> Result<Json<WhyReport>, Problem> {
    let kind = kind_of(query.kind.as_deref())?;
    app.hop(move |app| Ok(app.engine()?.why(&query.value, kind)?)).await.map(Json)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AddBody {
    /// The values, 100,000 at most.
    #[schemars(length(max = 100_000))]
    items: Vec<AddItem>,
}

/// One value to add.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AddItem {
    /// In any spelling.
    value: String,
    /// Where the value does not speak for itself.
    #[schemars(schema_with = "shapes::kind_or_auto")]
    #[serde(default)]
    kind: Option<String>,
    /// 1 to 10.
    #[schemars(range(min = 1, max = 10))]
    reputation: Option<i64>,
    /// The marking.
    #[schemars(schema_with = "shapes::tlp")]
    #[serde(default)]
    tlp: Option<String>,
    /// Labels.
    #[serde(default)]
    tags: Vec<String>,
    /// Free text.
    comment: Option<String>,
    /// When it stops counting; without: never. A date alone is its first moment.
    #[schemars(schema_with = "shapes::time")]
    #[serde(default)]
    expires_at: Option<String>,
}

fn time_of(key: &str, text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    let read = |text: &str| {
        let wrong =
            || Problem::invalid(format!("{key}: \"{text}\" is no date, such as 2027-01-31 or 2027-01-31T10:00:00Z"));
        Timestamp::parse(text).ok_or_else(wrong)
    };
    text.map(read).transpose()
}

impl AddItem {
    fn read(self) -> Result<NewIndicator, Problem> {
        if let Some(reputation) = self.reputation.filter(|reputation| !(1..=10).contains(reputation)) {
            return Err(Problem::invalid(format!("reputation: {reputation} is not from 1 to 10")));
        }
        let tlp = match self.tlp.as_deref() {
            None => None,
            Some(text) => Some(Tlp::parse(text).ok_or_else(|| {
                let names: Vec<&str> = Tlp::ALL.iter().map(|tlp| tlp.as_str()).collect();
                Problem::invalid(format!("tlp: \"{text}\" is none of {}", names.join(", ")))
            })?),
        };
        Ok(NewIndicator {
            kind: kind_of(self.kind.as_deref())?,
            expires_at: time_of("expires_at", self.expires_at.as_deref())?,
            value: self.value,
            reputation: self.reputation,
            tlp,
            tags: self.tags,
            comment: self.comment,
        })
    }
}

/// What became of one value.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Added {
    /// It is known now, like this.
    Ok(Box<Hit>),
    /// It was not added, and why.
    Error(String),
}

/// `[{ok: …} | {error: …}]`, one a value, in order. What is wrong around a value (its marking, a date) refuses the
/// whole request before anything is added.
pub(super) async fn add(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Body(body): Body<AddBody>,
) -> Result<Json<Vec<Added>>, Problem> {
    if body.items.len() > MAX_ADDED {
        return Err(Problem::invalid(format!("items: at most {MAX_ADDED} at once; more belong into a feed")));
    }
    let values = body
        .items
        .into_iter()
        .enumerate()
        .map(|(at, item)| item.read().map_err(|problem| problem.at(&format!("items[{at}]"))))
        .collect::<Result<Vec<NewIndicator>, Problem>>()?;
    app.hop(move |app| {
        let added = app.engine()?.add(&values, &caller.name)?;
        app.hurry();
        let shown = added.into_iter().map(|result| match result {
            Ok(hit) => Added::Ok(Box::new(hit)),
            Err(why) => Added::Error(why),
        });
        Ok(Json(shown.collect()))
    })
    .await
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct VerdictBody {
    /// In any spelling.
    value: String,
    /// Where the value does not speak for itself.
    #[schemars(schema_with = "shapes::kind_or_auto")]
    #[serde(default)]
    kind: Option<String>,
    /// Without: clears it.
    #[schemars(schema_with = "shapes::verdict")]
    #[serde(default)]
    verdict: Option<String>,
    /// When it ends; a `false_positive` needs an end.
    #[schemars(schema_with = "shapes::time")]
    #[serde(default)]
    until: Option<String>,
}

pub(crate) fn verdict_of(verdict: Option<&str>, until: Option<&str>) -> Result<Option<Verdict>, Problem> {
    let until = time_of("until", until)?;
    let kind = match verdict {
        None => None,
        Some(text) => Some(VerdictKind::parse(text).ok_or_else(|| {
            Problem::invalid(format!("verdict: \"{text}\" is none of malicious, false_positive, safe"))
        })?),
    };
    Ok(kind.map(|kind| Verdict { kind, until }))
}

pub(super) async fn verdict(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Body(body): Body<VerdictBody>,
) -> Result<Json<Hit>, Problem> {
    let kind = kind_of(body.kind.as_deref())?;
    let verdict = verdict_of(body.verdict.as_deref(), body.until.as_deref())?;
    app.hop(move |app| {
        let hit = app.engine()?.verdict(&body.value, kind, verdict, &caller.name)?;
        app.hurry();
        Ok(Json(hit))
    })
    .await
}

/// One value to judge or to take back.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Named {
    /// In any spelling.
    value: String,
    /// Where the value does not speak for itself.
    #[schemars(schema_with = "shapes::kind_or_auto")]
    #[serde(default)]
    kind: Option<String>,
}

pub(super) fn named(items: Vec<Named>) -> Result<Vec<(String, Option<IndicatorKind>)>, Problem> {
    if items.len() > engine::RETRACT_MOST {
        return Err(Problem::invalid(format!("items: at most {} at once", engine::RETRACT_MOST)));
    }
    let read = |(at, item): (usize, Named)| {
        let kind = kind_of(item.kind.as_deref()).map_err(|problem| problem.at(&format!("items[{at}]")))?;
        Ok((item.value, kind))
    };
    items.into_iter().enumerate().map(read).collect()
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct VerdictsBody {
    /// The values, 8,192 at most.
    #[schemars(length(max = 8_192))]
    items: Vec<Named>,
    /// Without: clears it.
    #[schemars(schema_with = "shapes::verdict")]
    #[serde(default)]
    verdict: Option<String>,
    /// When it ends; a `false_positive` needs an end.
    #[schemars(schema_with = "shapes::time")]
    #[serde(default)]
    until: Option<String>,
}

/// `[{ok: …} | {error: …}]`, one a value, in order. A verdict that is none refuses the whole request.
pub(super) async fn verdicts(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Body(body): Body<VerdictsBody>,
) -> Result<Json<Vec<Added>>, Problem> {
    let items = named(body.items)?;
    let verdict = verdict_of(body.verdict.as_deref(), body.until.as_deref())?;
    app.hop(move |app| {
        let engine = app.engine()?;
        let mut out = Vec::with_capacity(items.len());
        for (value, kind) in items {
            out.push(match engine.verdict(&value, kind, verdict, &caller.name) {
                Ok(hit) => Added::Ok(Box::new(hit)),
                Err(engine::EngineError::Invalid(why)) => Added::Error(why),
                Err(error) => {
                    // What was said so far stands; it is hurried, too.
                    app.hurry();
                    return Err(error.into());
                }
            });
        }
        app.hurry();
        Ok(Json(out))
    })
    .await
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RetractBody {
    /// The values, 8,192 at most.
    #[schemars(length(max = 8_192))]
    items: Vec<Named>,
    /// Whose word is ended; without: everybody's.
    #[serde(default)]
    source: Option<String>,
}

pub(super) async fn retract(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Body(body): Body<RetractBody>,
) -> Result<Json<Vec<Retracted>>, Problem> {
    let items = named(body.items)?;
    app.hop(move |app| {
        let done = app.engine()?.retract(&items, body.source.as_deref(), &caller.name)?;
        app.hurry();
        Ok(Json(done))
    })
    .await
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AnnotateBody {
    /// In any spelling.
    value: String,
    /// Where the value does not speak for itself.
    #[schemars(schema_with = "shapes::kind_or_auto")]
    #[serde(default)]
    kind: Option<String>,
    /// Whether no rule sees it.
    mute: Option<bool>,
    /// Tags that stand beside those of sources.
    #[serde(default)]
    add_tags: Vec<String>,
    /// Tags that do not stand, whoever says them.
    #[serde(default)]
    remove_tags: Vec<String>,
    /// An empty one takes the comment away.
    comment: Option<String>,
}

pub(super) async fn annotate(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Body(body): Body<AnnotateBody>,
) -> Result<Json<Hit>, Problem> {
    let kind = kind_of(body.kind.as_deref())?;
    app.hop(move |app| {
        let hit = app.engine()?.annotate(&body.value, kind, &caller.name, |analyst| {
            if let Some(mute) = body.mute {
                analyst.muted = mute;
            }
            for tag in &body.add_tags {
                analyst.tags_removed.remove(tag);
                analyst.tags_added.insert(tag.clone());
            }
            for tag in &body.remove_tags {
                analyst.tags_added.remove(tag);
                analyst.tags_removed.insert(tag.clone());
            }
            if let Some(comment) = &body.comment {
                analyst.comment = (!comment.is_empty()).then(|| comment.clone());
            }
        })?;
        app.hurry();
        Ok(Json(hit))
    })
    .await
}
