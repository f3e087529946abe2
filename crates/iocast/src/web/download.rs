//! Tables that are handed over as files: CSV as an attachment, row by row, so that a long one is never whole in memory.

use crate::api::Problem;
use crate::api::lists::Chunks;
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use std::borrow::Cow;
use std::io;
use tokio::sync::mpsc;

/// Takes rows until whoever reads has had enough.
pub(super) struct Rows(mpsc::Sender<io::Result<Bytes>>);

impl Rows {
    /// Hands rows on. Gives false once nobody reads any more.
    pub(super) fn put<'t>(&self, rows: impl IntoIterator<Item = Vec<Cow<'t, str>>>) -> bool {
        let mut writer = csv::Writer::from_writer(Vec::new());
        for row in rows {
            let cells = row.iter().map(|text| plain(text));
            if writer.write_record(cells.map(|cell| cell.as_bytes().to_vec())).is_err() {
                return false;
            }
        }
        match writer.into_inner() {
            Ok(bytes) if !bytes.is_empty() => self.0.blocking_send(Ok(bytes.into())).is_ok(),
            Ok(_) => true,
            Err(_) => false,
        }
    }
}

/// A spreadsheet would take some texts for formulas.
fn plain(text: &str) -> Cow<'_, str> {
    if kit::render::is_formula(text) { Cow::Owned(format!("'{text}")) } else { Cow::Borrowed(text) }
}

/// A file of this name, made by `make` while it is read.
pub(super) fn csv(
    name: &str,
    head: &[&'static str],
    make: impl FnOnce(&Rows) + Send + 'static,
) -> Result<Response, Problem> {
    let (sender, inbox) = mpsc::channel(2);
    let head: Vec<Cow<'static, str>> = head.iter().map(|cell| Cow::Borrowed(*cell)).collect();
    tokio::task::spawn_blocking(move || {
        let rows = Rows(sender);
        if rows.put([head]) {
            make(&rows);
        }
    });
    let mut response = Response::new(Body::from_stream(Chunks(inbox)));
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
    let name: String = name.chars().map(safe).collect();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    let disposition = HeaderValue::from_str(&format!("attachment; filename=\"{name}.csv\""));
    headers.insert(header::CONTENT_DISPOSITION, disposition.map_err(|error| Problem::internal(error.to_string()))?);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
