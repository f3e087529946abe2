//! What a filter finds, taken away as a file: first how many they are and how they are marked, then the file.

use super::shell::{Section, Shell};
use super::show::{n, part};
use super::{Fields, Visit};
use crate::api::Problem;
use crate::api::export::{file, format_of};
use askama::Template;
use axum::extract::Path;
use axum::response::Response;

/// Name of the format, what it is called, and what it is for.
const FORMATS: [(&str, &str, &str); 5] = [
    (
        "csv",
        "CSV",
        "A table with a header, for spreadsheets. What one would take for a formula begins with an apostrophe.",
    ),
    ("json", "JSON", "An array, one object a line, for programs."),
    (
        "stix",
        "STIX 2.1",
        "A bundle of indicators with their markings, for other exchanges. Kinds without a pattern are left out.",
    ),
    ("misp", "MISP event", "One event, an attribute an indicator, to be imported there."),
    ("edl", "Plain values", "One value a line and nothing else. Values that no line can hold are left out."),
];

#[derive(Template)]
#[template(path = "export.html")]
struct ExportPage {
    shell: Shell,
    query: String,
    all: bool,
    back: String,
    count: u64,
    total: String,
    kinds: Vec<(String, String)>,
    markings: Vec<(String, String)>,
    is_red: bool,
    files: Vec<File>,
}

struct File {
    label: &'static str,
    help: &'static str,
    link: String,
}

/// The page's address for a filter.
pub(super) fn link(query: &str, all: bool) -> String {
    format!("/indicators/export?q={}{}", part(query), if all { "&all=1" } else { "" })
}

pub(super) async fn export(visit: Visit, fields: Fields) -> Result<Response, Problem> {
    visit
        .page("Export", Section::Indicators, move |app, shell| {
            let (query, all) = (fields.get("q").to_owned(), fields.some("all").is_some());
            let found = app.engine()?.found_shown(&query, all)?;
            let counts =
                |counts: &[(String, u64)]| counts.iter().map(|(name, count)| (name.clone(), n(*count))).collect();
            let tail = format!("?q={}{}", part(&query), if all { "&all=1" } else { "" });
            Ok(ExportPage {
                back: format!("/indicators{tail}"),
                count: found.count,
                total: n(found.count),
                kinds: counts(&found.kinds),
                markings: counts(&found.markings),
                is_red: found.markings.iter().any(|(name, _)| name == "red"),
                files: FORMATS
                    .iter()
                    .map(|(name, label, help)| File { label, help, link: format!("/indicators/export/{name}{tail}") })
                    .collect(),
                query,
                all,
                shell,
            })
        })
        .await
}

pub(super) async fn do_export(visit: Visit, Path(format): Path<String>, fields: Fields) -> Result<Response, Problem> {
    let format = format_of(&format).map_err(|problem| problem.with_status(axum::http::StatusCode::NOT_FOUND))?;
    file(visit.app, visit.seat.caller, fields.get("q").to_owned(), fields.some("all").is_some(), format).await
}
