//! One connection: how it is, how its runs went with counts that balance, what uses it; and what a person can have done:
//! checked, read now or again, rolled back, switched off.

use super::asked;
use super::sharing::tone;
use super::shell::{Section, Shell};
use super::show::{self, Markup, When, counted, n};
use super::target::moment;
use super::{Fields, Sent, Visit};
use crate::api::Problem;
use crate::app::App;
use crate::app::asked::Work;
use crate::app::things::{Connections, missing, tag_of};
use crate::people::roles::Needs;
use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use engine::Rollback;
use engine::config::{Connection, ConnectionDoc};
use engine::state::ConnectionState;
use intel::{ConnectionId, RunId, Timestamp};
use serde_json::Value;
use std::fmt::Write as _;

/// Runs on a page.
const RUNS: usize = 25;
/// Runs in the picture of volumes.
const VOLUMES: usize = 40;

fn home_of(name: &str) -> String {
    format!("/connections/{}", show::part(name))
}

/// The counts of a run as a sentence that balances.
pub(super) fn balance_of(read: u64, new: u64, changed: u64, unchanged: u64, rejected: u64) -> String {
    format!(
        "{} read = {} new + {} changed + {} unchanged + {} rejected.",
        n(read),
        n(new),
        n(changed),
        n(unchanged),
        n(rejected)
    )
}

// --- the list

#[derive(Template)]
#[template(path = "connections.html")]
struct ListPage {
    shell: Shell,
    q: String,
    rows: Vec<ListRow>,
    all: usize,
}

struct ListRow {
    name: String,
    home: String,
    connector: String,
    roles: &'static str,
    tenant: Option<String>,
    state: String,
    tone: &'static str,
    active: String,
    last: Option<When>,
    interval: String,
}

fn roles_of(connection: &Connection, is_bucket: bool) -> &'static str {
    let gives = connection.open.source().is_some() || is_bucket || connection.id == ConnectionId::MANUAL;
    match (gives, connection.connector.manifest().actions.is_empty()) {
        (true, true) => "source",
        (true, false) => "source and destination",
        _ => "destination",
    }
}

/// How a connection is, in a word and a tone.
fn state_of(connection: &Connection, state: &ConnectionState) -> (String, &'static str) {
    match state {
        _ if !connection.doc.enabled => ("off".to_owned(), "calm"),
        _ if connection.locked.is_some() => ("its secret cannot be read".to_owned(), "bad"),
        s if s.denied => ("denied".to_owned(), "bad"),
        s if s.suspect.is_some() => ("not believed".to_owned(), "warn"),
        s if s.failures > 0 => (format!("failing ({})", counted(s.failures.into(), "time")), "bad"),
        s if s.last_run.is_none() && connection.open.source().is_some() => ("not run yet".to_owned(), "calm"),
        _ => ("well".to_owned(), "ok"),
    }
}

fn stored(app: &App, id: ConnectionId) -> Result<ConnectionState, Problem> {
    Ok(ConnectionState::parse(app.engine()?.store().connection_state(id)?.as_deref()))
}

fn span(secs: u64) -> String {
    match secs {
        0..120 => format!("{secs} s"),
        120..7_200 => format!("{} min", secs / 60),
        7_200..172_800 => format!("{} h", secs / 3_600),
        _ => format!("{} d", secs / 86_400),
    }
}

pub(super) async fn list(visit: Visit, query: Fields) -> Result<Response, Problem> {
    visit
        .page("Connections", Section::Connections, move |app, shell| {
            let engine = app.engine()?;
            let (config, now) = (engine.config(), engine.world().now());
            let q = query.get("q").to_lowercase();
            let mut rows = Vec::new();
            for connection in config.connections.values() {
                let doc = &connection.doc;
                let words = format!("{} {} {}", doc.name, doc.connector, doc.tenant.clone().unwrap_or_default());
                if !words.to_lowercase().contains(&q) {
                    continue;
                }
                let state = stored(app, connection.id)?;
                let (word, tone) = state_of(connection, &state);
                let pulled = connection.open.source().is_some();
                rows.push(ListRow {
                    name: doc.name.clone(),
                    home: home_of(&doc.name),
                    connector: connection.connector.manifest().title.clone(),
                    roles: roles_of(connection, engine.is_bucket(connection)),
                    tenant: doc.tenant.clone(),
                    state: word,
                    tone,
                    active: n(engine.known().index.active_from(connection.id).count() as u64),
                    last: state.last_run.map(|at| When::at(Timestamp::from_micros(at), now)),
                    interval: if pulled { span(connection.interval.as_secs()) } else { String::new() },
                });
            }
            rows.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(ListPage { shell, q: query.get("q").to_owned(), rows, all: config.connections.len() })
        })
        .await
}

// --- one

#[derive(Template)]
#[template(path = "connection.html")]
struct ConnectionPage {
    shell: Shell,
    name: String,
    home: String,
    doc: ConnectionDoc,
    title: String,
    roles: &'static str,
    is_manual: bool,
    is_source: bool,
    is_pulled: bool,
    state: String,
    tone: &'static str,
    /// What was just checked; None: nothing.
    checked: Option<Result<(), String>>,
    locked: Option<String>,
    error: Option<String>,
    suspect: Option<(u64, String)>,
    rolled_back: Option<When>,
    again: Option<When>,
    active: String,
    records: String,
    indicators: String,
    last: Option<When>,
    good: Option<When>,
    next: Option<When>,
    interval: String,
    believed: Option<(String, When)>,
    band: String,
    volumes: Option<Markup>,
    runs: Vec<RunRow>,
    earlier: Option<String>,
    from: String,
    sharings: Vec<(String, String)>,
    targets: Vec<(String, String)>,
    seen: String,
}

struct RunRow {
    id: u64,
    kind: String,
    status: String,
    tone: &'static str,
    at: When,
    took: String,
    /// Read, new, changed, unchanged, rejected, filtered, withdrawn; None: not that kind of run.
    counts: Option<[String; 7]>,
    balances: bool,
    balance: String,
    error: Option<String>,
    samples: Vec<String>,
    reasons: Vec<String>,
    /// Just before it, to roll back to.
    before: String,
}

fn run_row(run: &store::RunRow, now: Timestamp) -> RunRow {
    let report: Value = serde_json::from_str(&run.report).unwrap_or_default();
    let count = |name: &str| report.get(name).and_then(Value::as_u64);
    let counts = count("read").filter(|_| report.get("unchanged").is_some() && report.get("new").is_some());
    let get = |name: &str| count(name).unwrap_or(0);
    let (read, new, changed) = (get("read"), get("new"), get("changed"));
    let (unchanged, rejected) = (get("unchanged"), get("rejected"));
    let texts = |name: &str| -> Vec<String> {
        let items = report.get(name).and_then(Value::as_array);
        items.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let reasons = |name: &str| -> Vec<String> {
        let map = report.get(name).and_then(Value::as_object);
        let one =
            |(why, count): (&String, &Value)| format!("{} {}", n(count.as_u64().unwrap_or(0)), why.replace('_', " "));
        map.into_iter().flatten().map(one).collect()
    };
    let mut all = reasons("rejected_by");
    all.extend(reasons("filtered_by"));
    RunRow {
        id: run.id.0,
        kind: run.kind.clone(),
        status: run.status.replace('_', " "),
        tone: tone(&run.status),
        at: When::at(run.started, now),
        took: run.ended.map_or_else(String::new, |ended| {
            let millis = (ended.micros() - run.started.micros()).max(0) / 1_000;
            if millis < 10_000 { format!("{millis} ms") } else { format!("{} s", millis / 1_000) }
        }),
        counts: counts.map(|_| [read, new, changed, unchanged, rejected, get("filtered"), get("withdrawn")].map(n)),
        balances: read == new + changed + unchanged + rejected,
        balance: balance_of(read, new, changed, unchanged, rejected),
        error: report.get("error").and_then(Value::as_str).map(str::to_owned),
        samples: texts("samples").into_iter().map(|sample| sample.replace("://", "[://]")).collect(),
        reasons: all,
        before: engine_time(run.started),
    }
}

/// A moment just before this one, as a form takes it.
fn engine_time(at: Timestamp) -> String {
    at.before(std::time::Duration::from_micros(1)).to_string()
}

/// Rows of each of the last runs, the oldest first, as bars.
fn volumes(runs: &[store::RunRow]) -> Option<Markup> {
    let row = |run: &store::RunRow| {
        let report: Value = serde_json::from_str(&run.report).unwrap_or_default();
        let read = report.get("read").and_then(Value::as_u64)?;
        (run.kind == "pull" && run.status != "not_modified")
            .then(|| (read, run.status == "failed", run.status == "suspect"))
    };
    let rows: Vec<(u64, bool, bool)> = runs.iter().rev().filter_map(row).collect();
    let most = rows.iter().map(|(read, ..)| *read).max().filter(|most| *most > 0)?;
    if rows.len() < 2 {
        return None;
    }
    // Always room for as many, so that few do not look like much.
    let (width, before) = (VOLUMES * 12, VOLUMES.saturating_sub(rows.len()));
    let mut svg = format!(
        "<svg class=\"volumes\" viewBox=\"0 0 {width} 48\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"Rows read by the last {} runs, {} at most\">",
        rows.len(),
        n(most)
    );
    for (at, (read, failed, suspect)) in rows.iter().enumerate() {
        let height = (*read as f64 * 46.0 / most as f64).max(1.5);
        let class = if *failed {
            "bad"
        } else if *suspect {
            "warn"
        } else {
            "part"
        };
        let _ = write!(
            svg,
            "<rect class=\"{class}\" x=\"{}\" y=\"{:.1}\" width=\"9\" height=\"{height:.1}\"><title>{} rows</title></rect>",
            (before + at) * 12 + 1,
            48.0 - height,
            n(*read)
        );
    }
    svg.push_str("</svg>");
    Some(Markup::new(svg))
}

pub(super) async fn connection(visit: Visit, Path(name): Path<String>, query: Fields) -> Result<Response, Problem> {
    let before = query.get("before").parse().ok().map(RunId);
    visit.page(name.clone(), Section::Connections, move |app, shell| make(app, shell, &name, before, None)).await
}

fn make(
    app: &App,
    shell: Shell,
    name: &str,
    before: Option<RunId>,
    checked: Option<Result<(), String>>,
) -> Result<ConnectionPage, Problem> {
    let engine = app.engine()?;
    let (config, now) = (engine.config(), engine.world().now());
    let key = [name.to_owned()];
    let not_there = || missing::<Connections>(&key);
    let connection = config.connection(name).ok_or_else(not_there)?;
    let doc = app.thing::<Connections>(&key)?.ok_or_else(not_there)?;
    let state = stored(app, connection.id)?;
    let is_bucket = engine.is_bucket(connection);
    let is_pulled = connection.open.source().is_some();
    let is_manual = connection.id == ConnectionId::MANUAL;
    let is_source = is_pulled || is_bucket || is_manual;
    let shown = if is_source { Some(engine.source(name)?) } else { None };
    let at = |micros: Option<i64>| micros.map(|micros| When::at(Timestamp::from_micros(micros), now));
    let (word, tone) = state_of(connection, &state);
    let runs = engine.runs_of(name, VOLUMES.max(RUNS), before)?;
    let next = match (is_pulled && connection.doc.enabled && !state.denied, state.last_run) {
        (true, Some(last)) => {
            let due = Timestamp::from_micros(last).after(connection.interval).micros();
            Some(due.max(state.not_before.unwrap_or(due)))
        }
        _ => None,
    };
    let rows: Vec<RunRow> = runs.iter().take(RUNS).map(|run| run_row(run, now)).collect();
    let earlier = rows.last().filter(|_| runs.len() > RUNS).map(|last| format!("{}?before={}", home_of(name), last.id));
    let error = (state.failures > 0).then(|| rows.iter().find_map(|run| run.error.clone())).flatten();
    let band = match state.believed.as_ref().filter(|_| connection.complete) {
        Some(believed) if believed.rows >= 50 => format!(
            "A run with {} to {} rows is believed; another waits for a person.",
            n(believed.rows / 2 + 1),
            n(believed.rows * 10 - 1)
        ),
        Some(_) => "It lists everything: what it no longer lists is withdrawn.".to_owned(),
        None if connection.complete => "It lists everything; no run has been believed yet.".to_owned(),
        None => "It gives what is new; nothing is concluded from what it leaves out.".to_owned(),
    };
    let sharings = config.targets.values().flat_map(|target| &target.sharings).map(|sharing| &sharing.doc);
    let sharings = sharings.filter(|doc| doc.source == name || doc.source == "any" && is_source);
    let targets = config.targets.values().filter(|target| target.connection == connection.id);
    let day_ago = now.before(std::time::Duration::from_secs(86_400)).to_string();
    Ok(ConnectionPage {
        home: home_of(name),
        title: connection.connector.manifest().title.clone(),
        roles: roles_of(connection, is_bucket),
        is_manual,
        is_source,
        is_pulled,
        state: word,
        tone,
        checked,
        locked: connection.locked.clone(),
        error,
        suspect: state.suspect.as_ref().map(|suspect| (suspect.run, suspect.why.clone())),
        rolled_back: at(state.rolled_back.as_ref().map(|rolled| rolled.to)),
        again: at(state.again_from),
        active: n(shown.as_ref().map_or(0, |shown| shown.active)),
        records: n(shown.as_ref().map_or(0, |shown| shown.records)),
        indicators: format!("/indicators{}", show::query(&[("q", &format!("source = \"{name}\""))])),
        last: at(state.last_run),
        good: at(state.last_success),
        next: at(next),
        interval: span(connection.interval.as_secs()),
        believed: state.believed.as_ref().map(|b| (n(b.rows), When::at(Timestamp::from_micros(b.at), now))),
        band,
        volumes: volumes(&runs),
        earlier,
        runs: rows,
        from: day_ago.get(..16).unwrap_or_default().to_owned(),
        sharings: sharings
            .map(|doc| {
                (
                    format!("{} → {} → {}", doc.source, doc.rule, doc.target),
                    format!("/configure/sharing{}", super::sharing::key_query(doc)),
                )
            })
            .collect(),
        targets: targets.map(|t| (t.doc.name.clone(), format!("/targets/{}", show::part(&t.doc.name)))).collect(),
        seen: tag_of(&doc),
        doc,
        name: name.to_owned(),
        shell,
    })
}

// --- what a person can have done

pub(super) async fn do_check(visit: Visit, Path(name): Path<String>) -> Result<Response, Problem> {
    let who = visit.seat.caller.name.clone();
    visit
        .page(name.clone(), Section::Connections, move |app, shell| {
            let answer = app.check(&name, &who)?.map_or(Ok(()), Err);
            make(app, shell, &name, None, Some(answer))
        })
        .await
}

pub(super) async fn do_pull(visit: Visit, Path(name): Path<String>) -> Result<Response, Problem> {
    asked::begin(visit, Work::Pull, name).await
}

pub(super) async fn do_again(visit: Visit, Path(name): Path<String>, Sent(sent): Sent) -> Result<Response, Problem> {
    visit
        .act(move |app, caller| {
            let from = match sent.get("how") {
                "whole" => None,
                _ => Some(moment(sent.get("from"))?),
            };
            app.engine()?.read_again(&name, from, &caller.name)?;
            Ok(format!("{}?done=again", home_of(&name)))
        })
        .await
}

pub(super) async fn do_switch(visit: Visit, Path(name): Path<String>, Sent(sent): Sent) -> Result<Response, Problem> {
    visit
        .act(move |app, caller| {
            let on = sent.get("to") == "on";
            let to = format!("{}?done={}", home_of(&name), if on { "connection-on" } else { "connection-off" });
            app.change::<Connections>(&[name], caller, |doc| doc.enabled = on)?;
            app.hurry();
            Ok(to)
        })
        .await
}

// --- rolling back

#[derive(Template)]
#[template(path = "rollback.html")]
struct RollbackPage {
    shell: Shell,
    name: String,
    home: String,
    to: When,
    counts: Vec<(String, &'static str, &'static str)>,
    balance: String,
    samples: Vec<(&'static str, Vec<String>)>,
    report: Rollback,
}

pub(super) async fn rollback(visit: Visit, Path(name): Path<String>, query: Fields) -> Result<Response, Problem> {
    visit
        .page(format!("Roll back {name}"), Section::Connections, move |app, shell| {
            let engine = app.engine()?;
            let to = match query.some("undo") {
                Some(_) => engine.before_rollback(&name)?,
                None => moment(query.get("to"))?,
            };
            let report = engine.rollback_preview(&name, to)?;
            let some = |values: &[String]| values.iter().map(|value| asked::sample_of(value)).collect::<Vec<_>>();
            let samples = [
                ("Ended", some(&report.ended_some)),
                ("Counting again", some(&report.revived_some)),
                ("Saying again what they said", some(&report.restored_some)),
            ];
            Ok(RollbackPage {
                home: home_of(&name),
                to: When::at(to, engine.world().now()),
                counts: vec![
                    (n(report.ended), "minus", "count no longer"),
                    (n(report.revived), "plus", "count again"),
                    (n(report.restored), "change", "say what they said then"),
                    (n(report.unchanged), "", "stay as they are"),
                ],
                balance: format!(
                    "{} made or changed since = {} ended + {} revived + {} restored + {} unchanged.",
                    n(report.read),
                    n(report.ended),
                    n(report.revived),
                    n(report.restored),
                    n(report.unchanged)
                ),
                samples: samples.into_iter().filter(|(_, values)| !values.is_empty()).collect(),
                report,
                name,
                shell,
            })
        })
        .await
}

pub(super) async fn do_rollback(visit: Visit, Path(name): Path<String>, Sent(sent): Sent) -> Result<Response, Problem> {
    visit
        .act(move |app, caller| {
            let done = app.engine()?.rollback(&name, moment(sent.get("to"))?, &caller.name)?;
            app.hurry();
            Ok(match done.run {
                Some(run) => format!("/activity/runs/{run}?done=rolled-back"),
                None => format!("{}?done=rolled-back", home_of(&name)),
            })
        })
        .await
}
