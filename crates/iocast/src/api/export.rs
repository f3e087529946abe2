//! What a search finds, as a file to take away: a table, JSON, a STIX bundle, a MISP event, or the plain values.
//!
//! Written as served lists are, in one pass, while it is sent; so a file of any length needs no memory here. That
//! somebody took it is in the audit log before its first byte is sent.

use super::error::Problem;
use super::extract::Params;
use super::lists::Chunks;
use crate::app::App;
use crate::tokens::Caller;
use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use index::PageCursor;
use kit::Outgoing;
use kit::render::{ListFormat, ListStyle};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Indicators read at a time.
const PAGE: usize = 5_000;

/// What is taken away.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportQuery {
    /// A search; without: every indicator.
    #[serde(default)]
    q: String,
    /// Inactive indicators too.
    #[serde(default)]
    all: bool,
    /// `csv`, `json`, `stix`, `misp`, or `edl` for the plain values.
    #[schemars(schema_with = "format_names")]
    format: String,
}

fn format_names(_: &mut SchemaGenerator) -> Schema {
    let names: Vec<&str> = ListFormat::ALL.iter().map(|format| format.as_str()).collect();
    json_schema!({ "type": "string", "enum": names })
}

/// `GET /api/v1/indicators/export`.
pub(super) async fn export(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Params(query): Params<ExportQuery>,
) -> Result<Response, Problem> {
    let format = format_of(&query.format)?;
    file(app, caller, query.q, query.all, format).await
}

/// Reads the name of a format.
pub(crate) fn format_of(name: &str) -> Result<ListFormat, Problem> {
    ListFormat::parse(name).ok_or_else(|| {
        let names: Vec<&str> = ListFormat::ALL.iter().map(|format| format.as_str()).collect();
        Problem::invalid(format!("format: \"{name}\" is none of {}", names.join(", ")))
    })
}

const fn extension(format: ListFormat) -> &'static str {
    match format {
        ListFormat::Edl => "txt",
        ListFormat::Csv => "csv",
        ListFormat::Json => "json",
        ListFormat::Stix => "stix.json",
        ListFormat::Misp => "misp.json",
    }
}

/// The file, as an attachment. A search that cannot be read is told as such before anything is sent; what goes wrong
/// later breaks the connection, so that a part is not taken for the whole.
pub(crate) async fn file(
    app: Arc<App>,
    caller: Caller,
    q: String,
    all: bool,
    format: ListFormat,
) -> Result<Response, Problem> {
    let reader = app.clone();
    let (first, day, mark, q) = app
        .hop(move |app| {
            let engine = app.engine()?;
            let first = engine.outgoing(&q, all, None, PAGE)?;
            let n = engine.count(&q, all)?;
            let detail = serde_json::json!({ "filter": q, "all": all, "n": n }).to_string();
            app.audit(&caller.name, "indicators.export", format.as_str(), &detail)?;
            let day = app.now().to_string().get(..10).unwrap_or_default().to_owned();
            Ok((first, day, engine.exchange_id(), q))
        })
        .await?;
    let (chunks, inbox) = mpsc::channel(2);
    let name = format!("indicators-{day}.{}", extension(format));
    tokio::task::spawn_blocking(move || {
        let broken = RefCell::new(None);
        let pages = Pages { app: &reader, q: &q, all, rows: first.0.into_iter(), next: first.1, broken: &broken };
        let style =
            ListStyle { format, name: "indicators".to_owned(), mark: mark.as_ref().to_owned(), ..ListStyle::default() };
        let mut pages = pages;
        let mut pipe = Pipe { chunks: chunks.clone(), broken: &broken };
        if let Err(error) = style.write(&mut pages, &mut pipe)
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            tracing::error!(%error, "an export ended early");
            let _ = chunks.blocking_send(Err(error));
        }
    });
    let mut response = Response::new(Body::from_stream(Chunks(inbox)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    let disposition = HeaderValue::try_from(format!("attachment; filename=\"{name}\""));
    headers.insert(header::CONTENT_DISPOSITION, disposition.unwrap_or(HeaderValue::from_static("attachment")));
    Ok(response)
}

/// All pages of a search, one after the other.
struct Pages<'a> {
    app: &'a App,
    q: &'a str,
    all: bool,
    rows: std::vec::IntoIter<Outgoing>,
    next: Option<PageCursor>,
    /// Why there is no next page where there should be one.
    broken: &'a RefCell<Option<String>>,
}

impl Iterator for Pages<'_> {
    type Item = Outgoing;

    fn next(&mut self) -> Option<Outgoing> {
        loop {
            if let Some(row) = self.rows.next() {
                return Some(row);
            }
            let after = self.next.take()?;
            let page =
                self.app.engine().and_then(|engine| Ok(engine.outgoing(self.q, self.all, Some(&after), PAGE)?));
            match page {
                Ok((rows, next)) => (self.rows, self.next) = (rows.into_iter(), next),
                Err(problem) => {
                    *self.broken.borrow_mut() = Some(problem.to_string());
                    return None;
                }
            }
        }
    }
}

/// Sends what is written. Once something is amiss nothing is sent any more: the end of a document would make it look
/// whole.
struct Pipe<'a> {
    chunks: mpsc::Sender<io::Result<Bytes>>,
    broken: &'a RefCell<Option<String>>,
}

impl io::Write for Pipe<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(why) = &*self.broken.borrow() {
            return Err(io::Error::other(why.clone()));
        }
        let sent = self.chunks.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
