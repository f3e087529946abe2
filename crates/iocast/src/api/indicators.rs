//! Indicators: searched, counted, explained, added, judged.

use super::error::Problem;
use super::extract::{Body, Params};
use super::lists::Chunks;
use crate::app::App;
use crate::tokens::Caller;
use axum::body::{Body as HttpBody, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use base64::Engine as _;
use engine::{Hit, NewIndicator, WhyReport};
use index::{PageCursor, Sort, SortField};
use intel::{IndicatorId, IndicatorKind, Timestamp, Tlp, Verdict, VerdictKind};
use serde::Deserialize;
use serde_json::{Value, json};
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FindQuery {
    #[serde(default)]
    q: String,
    #[serde(default)]
    all: bool,
    sort: Option<String>,
    limit: Option<usize>,
    after: Option<String>,
}

/// `last_seen`, or `-last_seen` for the greatest first.
fn sort_of(text: Option<&str>) -> Result<Sort, Problem> {
    let fields = [
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
    let text = text.unwrap_or("id");
    let (name, descending) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
    match fields.iter().find(|(field, _)| *field == name) {
        Some((_, field)) => Ok(Sort { field: *field, descending }),
        None => {
            let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
            Err(Problem::invalid(format!(
                "sort: \"{name}\" is none of {}; with '-' before it, the greatest come first",
                names.join(", ")
            )))
        }
    }
}

const CURSOR: base64::engine::GeneralPurpose = base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Where a page ended, as text for the address of the next.
fn cursor_text(cursor: &PageCursor) -> String {
    CURSOR.encode(json!([cursor.key, cursor.id.0, cursor.text]).to_string())
}

fn cursor_of(text: &str) -> Result<PageCursor, Problem> {
    let read = || -> Option<PageCursor> {
        let (key, id, text): (u64, u32, Option<Box<str>>) = serde_json::from_slice(&CURSOR.decode(text).ok()?).ok()?;
        Some(PageCursor { key, text, id: IndicatorId(id) })
    };
    read().ok_or_else(|| Problem::invalid("after: take it from \"next\" of the page before, unchanged"))
}

pub(super) async fn find(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Params(query): Params<FindQuery>,
) -> Result<Response, Problem> {
    let sort = sort_of(query.sort.as_deref())?;
    let after = query.after.as_deref().map(cursor_of).transpose()?;
    let wants = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if wants.contains("application/x-ndjson") {
        return stream(app, query, sort, after).await;
    }
    let limit = query.limit.unwrap_or(PAGE).min(MAX_PAGE);
    let (items, next) =
        app.hop(move |app| Ok(app.engine()?.find(&query.q, query.all, sort, after.as_ref(), limit)?)).await?;
    Ok(Json(json!({ "items": items, "next": next.as_ref().map(cursor_text) })).into_response())
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
    let mut left = query.limit.unwrap_or(usize::MAX);
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
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    Ok(response)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CountQuery {
    #[serde(default)]
    q: String,
    #[serde(default)]
    all: bool,
}

pub(super) async fn count(
    State(app): State<Arc<App>>,
    Params(query): Params<CountQuery>,
) -> Result<Json<Value>, Problem> {
    let count = app.hop(move |app| Ok(app.engine()?.count(&query.q, query.all)?)).await?;
    Ok(Json(json!({ "count": count })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WhyQuery {
    value: String,
    kind: Option<String>,
}

fn kind_of(kind: Option<&str>) -> Result<Option<IndicatorKind>, Problem> {
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AddBody {
    items: Vec<AddItem>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddItem {
    value: String,
    kind: Option<String>,
    reputation: Option<i64>,
    tlp: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    comment: Option<String>,
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

/// `[{ok: …} | {error: …}]`, one a value, in order. What is wrong around a value (its marking, a date) refuses the
/// whole request before anything is added.
pub(super) async fn add(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Body(body): Body<AddBody>,
) -> Result<Json<Vec<Value>>, Problem> {
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
            Ok(hit) => json!({ "ok": hit }),
            Err(why) => json!({ "error": why }),
        });
        Ok(Json(shown.collect()))
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VerdictBody {
    value: String,
    kind: Option<String>,
    /// Null clears it.
    verdict: Option<String>,
    until: Option<String>,
}

pub(super) async fn verdict(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Body(body): Body<VerdictBody>,
) -> Result<Json<Hit>, Problem> {
    let kind = kind_of(body.kind.as_deref())?;
    let until = time_of("until", body.until.as_deref())?;
    let verdict = match body.verdict.as_deref() {
        None => None,
        Some(text) => Some(VerdictKind::parse(text).ok_or_else(|| {
            Problem::invalid(format!("verdict: \"{text}\" is none of malicious, false_positive, safe"))
        })?),
    };
    let verdict = verdict.map(|kind| Verdict { kind, until });
    app.hop(move |app| {
        let hit = app.engine()?.verdict(&body.value, kind, verdict, &caller.name)?;
        app.hurry();
        Ok(Json(hit))
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AnnotateBody {
    value: String,
    kind: Option<String>,
    mute: Option<bool>,
    #[serde(default)]
    add_tags: Vec<String>,
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
