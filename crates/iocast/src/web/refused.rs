//! What destinations would not take, with their words, over all of them.

use super::shell::{Section, Shell};
use super::show::{self, When, defanged, n};
use super::{Fields, Visit};
use crate::api::Problem;
use askama::Template;
use axum::response::Response;
use engine::Delivery;
use intel::sharing::LineState;
use intel::{IndicatorId, TargetId, Timestamp};

const REFUSED: &str = "/activity/refused";
/// Rows of a page.
const ROWS: usize = 50;

struct Row {
    line: Delivery,
    shown: String,
    link: Option<String>,
    updated: Option<When>,
    next_try: Option<When>,
}

struct TargetChip {
    name: String,
    count: String,
    href: String,
    is_here: bool,
}

#[derive(Template)]
#[template(path = "refused.html")]
struct RefusedPage {
    shell: Shell,
    target: String,
    chips: Vec<TargetChip>,
    rows: Vec<Row>,
    next: Option<String>,
}

fn row(line: Delivery, now: Timestamp) -> Row {
    let kind = line.kind.unwrap_or_default();
    let value = line.value.as_deref();
    let shown = value.or(line.entry.as_deref()).map_or_else(|| "forgotten".to_owned(), |value| defanged(kind, value));
    Row {
        shown,
        link: value.map(|value| super::grid::link_to(kind, value)),
        updated: When::of(&line.updated, now),
        next_try: When::maybe(line.next_try.as_deref(), now),
        line,
    }
}

pub(super) async fn refused(visit: Visit, query: Fields) -> Result<Response, Problem> {
    visit
        .page("Refused", Section::Activity, move |app, shell| {
            let engine = app.engine()?;
            let now = app.now();
            let target = query.get("target").to_owned();
            let after = query
                .get("after")
                .split_once('-')
                .and_then(|(target, id)| Some((TargetId(target.parse().ok()?), IndicatorId(id.parse().ok()?))));
            let (lines, next) = engine.deliveries(query.some("target"), Some(LineState::Refused), after, ROWS)?;
            let mut chips = Vec::new();
            for one in engine.config().targets.values() {
                let name = &one.doc.name;
                let count = engine.target_shown(name)?.lines.get("refused").copied().unwrap_or(0);
                if count > 0 || *name == target {
                    chips.push(TargetChip {
                        count: n(count),
                        href: format!("{REFUSED}{}", show::query(&[("target", name)])),
                        is_here: *name == target,
                        name: name.clone(),
                    });
                }
            }
            let next = next.map(|(at, id)| {
                let after = format!("{}-{}", at.0, id.0);
                format!("{REFUSED}{}", show::query(&[("target", &target), ("after", &after)]))
            });
            Ok(RefusedPage { rows: lines.into_iter().map(|line| row(line, now)).collect(), chips, next, target, shell })
        })
        .await
}
