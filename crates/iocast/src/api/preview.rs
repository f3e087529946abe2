//! What a pass over a target would do now, as a whole list.

use super::error::Problem;
use super::extract::{Params, Part};
use super::indicators::wants_lines;
use super::knowledge::lines;
use super::lists::Chunks;
use super::route::NDJSON;
use super::shapes::{Limit, cursor_of, cursor_text};
use crate::app::App;
use axum::Json;
use axum::body::Body as HttpBody;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine::{PreviewHead, PreviewRow};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Rows on a page where nothing is said, and handed on at a time while streaming.
const ROWS: usize = 1_000;

/// Which part of it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PreviewQuery {
    /// Most rows on a page; 1,000 where nothing is said.
    limit: Option<Limit<10_000>>,
    /// `next` of the page before. Where the plan is another by now, the answer is 409: begin again.
    after: Option<String>,
}

/// A page of a preview. As lines: the rows alone, all of them.
#[derive(Serialize, JsonSchema)]
pub(super) struct PreviewPage {
    /// The whole, counted.
    #[serde(flatten)]
    head: PreviewHead,
    /// The rows of this page: what would be done, then what is skipped.
    items: Vec<PreviewRow>,
    /// To be given as `after` for the next page; null: this is the last.
    next: Option<String>,
}

/// Where a page ended, and of which plan.
#[derive(Serialize, Deserialize)]
struct Place(String, u64, usize);

pub(super) async fn preview(
    State(app): State<Arc<App>>,
    Part(name): Part<String>,
    headers: HeaderMap,
    Params(query): Params<PreviewQuery>,
) -> Result<Response, Problem> {
    let after: Option<Place> = query.after.as_deref().map(cursor_of).transpose()?;
    let limit = query.limit.map_or(ROWS, |limit| limit.get());
    let preview = app.hop(move |app| Ok(app.engine()?.preview(&name)?)).await?;
    let from = match after {
        None => 0,
        Some(Place(hash, rows, from)) if hash == preview.head.hash && rows == preview.head.rows => from,
        Some(_) => {
            let name = &preview.head.target;
            let why = format!("the plan of {name} has changed since the page before: begin again without `after`");
            return Err(Problem::new(StatusCode::CONFLICT, why));
        }
    };
    if !wants_lines(&headers) {
        return app
            .hop(move |app| {
                let items = preview.rows(app.engine()?, from, limit);
                let end = from + items.len();
                let head = preview.head;
                let more = (end as u64) < head.rows && !items.is_empty();
                let next = more.then(|| cursor_text(&Place(head.hash.clone(), head.rows, end)));
                Ok(Json(PreviewPage { head, items, next }).into_response())
            })
            .await;
    }
    let once = query.limit.is_some();
    let (chunks, inbox) = mpsc::channel(2);
    tokio::task::spawn_blocking(move || {
        let Ok(engine) = app.engine() else { return };
        let mut at = from;
        loop {
            let items = preview.rows(engine, at, limit);
            at += items.len();
            if items.is_empty() || chunks.blocking_send(Ok(lines(&items))).is_err() || once {
                return;
            }
        }
    });
    let mut response = Response::new(HttpBody::from_stream(Chunks(inbox)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(NDJSON));
    Ok(response)
}
