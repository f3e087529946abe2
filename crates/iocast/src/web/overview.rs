//! Everything at a glance: what flows, what waits for a person, how sources and targets are.

use super::flow::Flow;
use super::shell::{Section, Shell};
use super::show::{self, Markup, When, bar, counted, n};
use super::{Sent, Visit, own_path};
use crate::api::Problem;
use crate::app::App;
use crate::app::status::{SourceStatus, TargetStatus};
use askama::Template;
use axum::response::Response;
use intel::Timestamp;

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    shell: Shell,
    /// Nothing is configured yet.
    is_new: bool,
    active: String,
    known: String,
    there: String,
    /// Things to decide, told in a number.
    waiting: usize,
    picture: Markup,
    /// When what it shows was counted, where that is not now.
    counted: Option<When>,
    rows: Vec<FlowRow>,
    kinds: Vec<Kind>,
    todo: Vec<Todo>,
    sources: Vec<SourceRow>,
    targets: Vec<TargetRow>,
    warnings: Vec<String>,
}

/// The picture once more, for those who read it.
struct FlowRow {
    from: String,
    to: String,
    count: String,
}

struct Kind {
    name: String,
    count: String,
    bar: Markup,
    link: String,
}

/// Something for a person.
struct Todo {
    icon: &'static str,
    is_bad: bool,
    text: String,
    detail: String,
    since: Option<When>,
    link: String,
    verb: &'static str,
}

struct SourceRow {
    name: String,
    connector: String,
    state: &'static str,
    tone: &'static str,
    last: Option<When>,
    active: String,
    link: String,
}

struct TargetRow {
    name: String,
    action: String,
    state: String,
    tone: &'static str,
    last: Option<When>,
    present: String,
    pending: String,
    refused: String,
    /// How full it is, where there is a limit.
    room: Option<(Markup, String)>,
    link: String,
}

pub(super) async fn overview(visit: Visit) -> Result<Response, Problem> {
    visit.page("Overview", Section::Overview, make).await
}

fn make(app: &App, shell: Shell) -> Result<Overview, Problem> {
    let status = app.status()?;
    let flow = Flow::of(app)?;
    let engine = app.engine()?;
    let now = engine.world().now();
    let counts = |name: &str| flow.sources.iter().find(|node| node.name == name).map_or(0, |node| node.count);
    let mut todo = Vec::new();
    for plan in &status.plans {
        let text = match plan.kind.as_str() {
            "undo" => format!("Undo at {}", plan.target),
            "return" => format!("Return {} to an earlier time", plan.target),
            _ => format!("A plan for {} waits", plan.target),
        };
        let mut detail = format!("+{}  ~{}  −{}", n(plan.push), n(plan.update), n(plan.retract));
        if let Some(why) = &plan.waits {
            detail = format!("{detail} · {why}");
        }
        let since = When::of(&plan.since, now);
        let link = format!("/plans/{}", plan.plan);
        todo.push(Todo { icon: "scroll-text", is_bad: plan.halts, text, detail, since, link, verb: "Decide" });
    }
    for source in &status.sources {
        if let Some(run) = source.suspect_run {
            todo.push(Todo {
                icon: "shield-alert",
                is_bad: false,
                text: format!("A run of {} is not believed", source.name),
                detail: "Nothing of it counts until somebody believes it or drops it.".to_owned(),
                since: When::maybe(source.last_run.as_deref(), now),
                link: format!("/activity/runs/{run}"),
                verb: "Look",
            });
        }
    }
    let decided = todo.len();
    // What waits is told above; a freeze has its banner.
    let others = status.notices.iter().filter(|notice| notice.over.is_none() && notice.seen_to.is_none());
    for notice in
        others.filter(|notice| !matches!(notice.kind.as_str(), "plan_waiting" | "run_suspect" | "frozen" | "thawed"))
    {
        todo.push(Todo {
            icon: "triangle-alert",
            is_bad: notice.severity == "critical",
            text: notice.text.clone(),
            detail: notice.next_step.clone(),
            since: When::of(&notice.since, now),
            link: String::new(),
            verb: "",
        });
    }
    let mut targets = Vec::new();
    for target in &status.targets {
        targets.push(target_row(app, target, now)?);
    }
    let most = flow.kinds.iter().map(|(_, count)| *count).max().unwrap_or(1).max(1);
    let kinds = flow.kinds.iter().map(|(name, count)| Kind {
        name: name.clone(),
        count: n(*count),
        bar: bar(*count as f64 * 100.0 / most as f64, "calm"),
        link: format!("/indicators{}", show::query(&[("q", &format!("kind = {name}"))])),
    });
    let rows = flow.sources.iter().map(|node| (node.name.clone(), "active indicators".to_owned(), node.count));
    let selected =
        flow.rules.iter().map(|node| ("active indicators".to_owned(), format!("rule {}", node.name), node.count));
    let name =
        |nodes: &[super::flow::Node], at: usize| nodes.get(at).map_or_else(String::new, |node| node.name.clone());
    let shared = flow.shared.iter().map(|(rule, target, count)| {
        (format!("rule {}", name(&flow.rules, *rule)), name(&flow.targets, *target), *count)
    });
    let rows =
        rows.chain(selected).chain(shared).map(|(from, to, count)| FlowRow { from, to, count: n(count) }).collect();
    Ok(Overview {
        is_new: flow.sources.is_empty() && flow.targets.is_empty(),
        active: n(flow.active),
        known: n(status.indicators),
        there: n(flow.targets.iter().map(|node| node.count).sum()),
        waiting: decided,
        picture: flow.picture(),
        counted: (now.since(flow.at).as_secs() >= 2).then(|| When::at(flow.at, now)),
        rows,
        kinds: kinds.collect(),
        todo,
        sources: status.sources.iter().map(|source| source_row(source, counts(&source.name), now)).collect(),
        targets,
        warnings: status.warnings,
        shell,
    })
}

/// How something that ran last is, in a word and a tone.
pub(super) fn tone_of(status: &str) -> &'static str {
    match status {
        "ok" | "done" | "believed" | "complete" | "unchanged" | "approved" => "ok",
        "failed" | "denied" | "error" => "bad",
        "suspect" | "partial" | "waiting" | "held" | "interrupted" => "warn",
        "running" => "cold",
        _ => "calm",
    }
}

fn source_row(source: &SourceStatus, active: u64, now: Timestamp) -> SourceRow {
    let (state, tone) = match source {
        s if !s.enabled => ("off", "calm"),
        s if s.denied => ("denied", "bad"),
        s if s.suspect_run.is_some() => ("not believed", "warn"),
        s if s.failures > 0 => ("failing", "bad"),
        s if s.last_run.is_none() => ("not run yet", "calm"),
        _ => ("well", "ok"),
    };
    SourceRow {
        name: source.name.clone(),
        connector: source.connector.clone(),
        state,
        tone,
        last: When::maybe(source.last_run.as_deref(), now),
        active: n(active),
        link: format!("/connections/{}", show::part(&source.name)),
    }
}

fn target_row(app: &App, target: &TargetStatus, now: Timestamp) -> Result<TargetRow, Problem> {
    let shown = app.engine()?.target_shown(&target.name)?;
    let line = |states: &[&str]| states.iter().filter_map(|state| shown.lines.get(state)).sum::<u64>();
    let (pending, refused) = (line(&["pending", "unknown", "retracting"]), line(&["refused"]));
    let (state, tone) = match target {
        t if !t.enabled => ("off".to_owned(), "calm"),
        t if t.denied => ("denied".to_owned(), "bad"),
        t if t.restored => ("restored: adopt it".to_owned(), "warn"),
        t if t.identity_found.is_some() => ("somebody else's account".to_owned(), "bad"),
        t if t.failures > 0 => (format!("failing ({})", counted(t.failures.into(), "time")), "bad"),
        t if t.waiting_plan.is_some() => ("waits".to_owned(), "warn"),
        t if t.drift.is_some_and(|drift| drift > 0) => ("drifted".to_owned(), "warn"),
        t if t.last_run.is_none() => ("not run yet".to_owned(), "calm"),
        _ => ("well".to_owned(), "ok"),
    };
    let room = shown.capacity.limit.filter(|limit| *limit > 0).map(|limit| {
        let used = target.present + shown.capacity.foreign;
        let percent = used as f64 * 100.0 / limit as f64;
        let tone = if percent >= 100.0 {
            "bad"
        } else if percent >= 85.0 {
            "warn"
        } else {
            "ok"
        };
        (bar(percent, tone), format!("{} of {}", n(used), n(limit)))
    });
    Ok(TargetRow {
        name: target.name.clone(),
        action: format!("{} · {}", target.connection, target.action),
        state,
        tone,
        last: When::maybe(target.last_run.as_deref(), now),
        present: n(target.present),
        pending: n(pending),
        refused: n(refused),
        room,
        link: format!("/targets/{}", show::part(&target.name)),
    })
}

pub(super) async fn do_freeze(visit: Visit, Sent(form): Sent) -> Result<Response, Problem> {
    visit
        .act(move |app, caller| {
            app.engine()?.freeze(&caller.name, form.some("note"))?;
            Ok(super::settings::done(own_path(form.get("next")), "frozen"))
        })
        .await
}

pub(super) async fn do_thaw(visit: Visit, Sent(form): Sent) -> Result<Response, Problem> {
    visit
        .act(move |app, caller| {
            app.engine()?.thaw_because(&caller.name, form.some("note"))?;
            app.hurry();
            Ok(super::settings::done(own_path(form.get("next")), "thawed"))
        })
        .await
}
