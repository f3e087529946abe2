//! What happened: runs, and what stands at targets.

use super::overview::tone_of;
use super::shell::{Section, Shell};
use super::show::{self, When, defanged};
use super::{Fields, Sent, Visit};
use crate::api::Problem;
use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use engine::{Delivery, SuspectPreview};
use intel::sharing::LineState;
use intel::{IndicatorId, RunId, TargetId, Timestamp};
use std::collections::BTreeMap;
use store::{RunFilter, RunRow};

/// Rows of a page.
const ROWS: usize = 50;

#[derive(Template)]
#[template(path = "activity.html")]
struct Activity {
    shell: Shell,
    tab: &'static str,
    kind: String,
    subject: String,
    status: String,
    runs: Vec<Run>,
    deliveries: Vec<Line>,
    states: Vec<&'static str>,
    targets: Vec<String>,
    next: Option<String>,
}

struct Run {
    id: u64,
    kind: String,
    subject: String,
    status: String,
    tone: &'static str,
    started: When,
    took: String,
    counts: String,
    report: String,
}

struct Line {
    line: Delivery,
    shown: String,
    link: Option<String>,
    tone: &'static str,
    updated: Option<When>,
}

#[derive(Template)]
#[template(path = "run.html")]
struct RunPage {
    shell: Shell,
    run: Run,
    suspect: Option<SuspectPreview>,
}

fn empty(shell: Shell, tab: &'static str, fields: &Fields) -> Activity {
    let text = |name: &str| fields.get(name).to_owned();
    Activity {
        shell,
        tab,
        kind: text("kind"),
        subject: text("subject"),
        status: text("status"),
        runs: Vec::new(),
        deliveries: Vec::new(),
        states: Vec::new(),
        targets: Vec::new(),
        next: None,
    }
}

fn run_of(row: &RunRow, now: Timestamp, under_way: &BTreeMap<RunId, u64>) -> Run {
    let report: serde_json::Value = serde_json::from_str(&row.report).unwrap_or_default();
    let counts =
        ["read", "new", "changed", "rejected", "withdrawn", "push", "update", "retract", "accepted", "refused"];
    let count = |name: &&str| {
        report.get(*name)?.as_u64().filter(|count| *count > 0).map(|count| format!("{} {name}", show::n(count)))
    };
    let took = row
        .ended
        .map_or_else(String::new, |ended| format!("{} ms", (ended.micros() - row.started.micros()).max(0) / 1_000));
    Run {
        id: row.id.0,
        kind: row.kind.clone(),
        subject: row.subject.clone(),
        status: row.status.clone(),
        tone: tone_of(&row.status),
        started: When::at(row.started, now),
        took,
        counts: match under_way.get(&row.id) {
            Some(read) => format!("{} read so far", show::n(*read)),
            None => counts.iter().filter_map(count).collect::<Vec<_>>().join(" · "),
        },
        report: serde_json::to_string_pretty(&report).unwrap_or_default(),
    }
}

pub(super) async fn runs(visit: Visit, fields: Fields) -> Result<Response, Problem> {
    visit
        .page("Activity", Section::Activity, move |app, shell| {
            let engine = app.engine()?;
            let now = engine.world().now();
            let filter =
                RunFilter { kind: fields.some("kind"), subject: fields.some("subject"), status: fields.some("status") };
            let before = fields.get("before").parse().ok().map(RunId);
            let rows = engine.store().runs(filter, ROWS, before)?;
            let mut page = empty(shell, "runs", &fields);
            page.next = rows.last().filter(|_| rows.len() == ROWS).map(|last| {
                let before = last.id.0.to_string();
                format!(
                    "/activity{}",
                    show::query(&[
                        ("kind", &page.kind),
                        ("subject", &page.subject),
                        ("status", &page.status),
                        ("before", &before)
                    ])
                )
            });
            let under_way = engine.under_way();
            page.runs = rows.iter().map(|row| run_of(row, now, &under_way)).collect();
            Ok(page)
        })
        .await
}

pub(super) async fn run(visit: Visit, Path(id): Path<u64>) -> Result<Response, Problem> {
    visit
        .page(format!("Run {id}"), Section::Activity, move |app, shell| {
            let engine = app.engine()?;
            let row =
                engine.store().run(RunId(id))?.ok_or_else(|| Problem::not_found(format!("there is no run {id}")))?;
            let mut suspect = engine.suspect_preview(RunId(id))?;
            if let Some(preview) = &mut suspect {
                for value in preview.adds_some.iter_mut().chain(&mut preview.withdraws_some) {
                    let kind = if value.contains("://") { "url" } else { "domain" };
                    *value = defanged(kind, value);
                }
            }
            Ok(RunPage { shell, run: run_of(&row, engine.world().now(), &engine.under_way()), suspect })
        })
        .await
}

pub(super) async fn do_believe(visit: Visit, Path(id): Path<u64>) -> Result<Response, Problem> {
    visit
        .act(move |app, caller| {
            app.engine()?.approve_run(RunId(id), &caller.name)?;
            app.hurry();
            Ok(format!("/activity/runs/{id}?done=believed"))
        })
        .await
}

pub(super) async fn do_discard(visit: Visit, Path(id): Path<u64>) -> Result<Response, Problem> {
    visit
        .act(move |app, caller| {
            app.engine()?.discard_run(RunId(id), &caller.name)?;
            Ok(format!("/activity/runs/{id}?done=discarded"))
        })
        .await
}

pub(super) async fn do_undo(visit: Visit, Path(id): Path<u64>, Sent(_): Sent) -> Result<Response, Problem> {
    visit
        .act(move |app, caller| {
            let plan = app.engine()?.undo_run(RunId(id), &caller.name)?;
            Ok(format!("/plans/{}?done=undone", plan.id))
        })
        .await
}

pub(super) async fn deliveries(visit: Visit, fields: Fields) -> Result<Response, Problem> {
    visit
        .page("Deliveries", Section::Activity, move |app, shell| {
            let engine = app.engine()?;
            let now = engine.world().now();
            let state = LineState::ALL.iter().copied().find(|state| state.as_str() == fields.get("state"));
            let after = fields
                .get("after")
                .split_once('-')
                .and_then(|(target, id)| Some((TargetId(target.parse().ok()?), IndicatorId(id.parse().ok()?))));
            let (lines, next) = engine.deliveries(fields.some("target"), state, after, ROWS)?;
            let mut page = empty(shell, "deliveries", &fields);
            page.subject = fields.get("target").to_owned();
            page.status = fields.get("state").to_owned();
            page.states = LineState::ALL.iter().map(|state| state.as_str()).collect();
            page.targets = engine.config().targets.values().map(|target| target.doc.name.clone()).collect();
            page.next = next.map(|(target, id)| {
                let after = format!("{}-{}", target.0, id.0);
                format!(
                    "/activity/deliveries{}",
                    show::query(&[("target", &page.subject), ("state", &page.status), ("after", &after)])
                )
            });
            page.deliveries = lines.into_iter().map(|line| line_of(line, now)).collect();
            Ok(page)
        })
        .await
}

fn line_of(line: Delivery, now: Timestamp) -> Line {
    let tone = show::tone_of_line(line.state);
    let (kind, value) = (line.kind.unwrap_or_default(), line.value.clone());
    Line {
        shown: value
            .as_deref()
            .or(line.entry.as_deref())
            .map_or_else(|| "forgotten".to_owned(), |value| defanged(kind, value)),
        link: value.map(|value| super::grid::link_to(kind, &value)),
        updated: When::of(&line.updated, now),
        tone,
        line,
    }
}
