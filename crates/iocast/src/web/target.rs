//! One target: how it is, what it holds line by line, what has no place there, what people pinned; and what a person can
//! have done there.

use super::asked::{self, sample_of};
use super::sharing::{Row as SharingRow, rows_of, tone};
use super::shell::{Section, Shell};
use super::show::{self, Markup, When, bar, counted, defanged, n};
use super::{Fields, Sent, Visit, download};
use crate::api::Problem;
use crate::app::App;
use crate::app::asked::Work;
use crate::app::things::{Entries, Targets, missing, tag_of};
use crate::people::roles::Needs;
use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use engine::{Adopt, AdoptReport, Cut, Delivery, PinShown, TargetShown, Verify};
use intel::sharing::LineState;
use intel::{IndicatorId, TargetId, Timestamp};
use std::borrow::Cow;
use store::RunFilter;

/// Rows of a page.
const ROWS: usize = 100;
/// Rows made at a time for a file.
const PIECE: usize = 2_000;
/// Runs shown.
const RUNS: usize = 8;

/// What stands above each of its pages.
struct Top {
    name: String,
    /// The address of the page.
    home: String,
    at: String,
    state: String,
    tone: &'static str,
    tab: &'static str,
    enabled: bool,
    edit: String,
    shown: TargetShown,
}

fn home_of(name: &str) -> String {
    format!("/targets/{}", show::part(name))
}

fn top(app: &App, name: &str, tab: &'static str) -> Result<Top, Problem> {
    let shown = app.engine()?.target_shown(name)?;
    let (state, tone) = state_of(&shown);
    Ok(Top {
        name: name.to_owned(),
        home: home_of(name),
        at: format!("{} · {}", shown.connection, shown.action),
        state,
        tone,
        tab,
        enabled: shown.enabled,
        edit: format!("/configure/target?key={}", show::part(name)),
        shown,
    })
}

/// How a target is, in a word and a tone.
fn state_of(target: &TargetShown) -> (String, &'static str) {
    match target {
        t if !t.enabled => ("off".to_owned(), "calm"),
        t if t.denied => ("denied".to_owned(), "bad"),
        t if t.restored => ("restored: adopt it".to_owned(), "warn"),
        t if t.identity_found.is_some() => ("another account".to_owned(), "bad"),
        t if t.failures > 0 => (format!("failing ({})", counted(t.failures.into(), "time")), "bad"),
        t if !t.plans.is_empty() => ("waits".to_owned(), "warn"),
        t if t.drift.as_ref().is_some_and(engine::state::Drift::is_any) => ("drifted".to_owned(), "warn"),
        t if t.last_run.is_none() => ("not run yet".to_owned(), "calm"),
        _ => ("well".to_owned(), "ok"),
    }
}

/// How full it is: a bar and its words.
fn room_of(target: &TargetShown) -> Option<(Markup, String)> {
    let limit = target.capacity.limit.filter(|limit| *limit > 0)?;
    let line = |state: &str| target.lines.get(state).copied().unwrap_or(0);
    let ours = line("present") + line("pending") + line("unknown") + line("retracting");
    let used = ours + target.capacity.foreign;
    let percent = used as f64 * 100.0 / limit as f64;
    let tone = if percent >= 100.0 {
        "bad"
    } else if percent >= 85.0 {
        "warn"
    } else {
        "ok"
    };
    Some((bar(percent, tone), format!("{} of {} taken", n(used), n(limit))))
}

// --- the list of targets

#[derive(Template)]
#[template(path = "targets.html")]
struct ListPage {
    shell: Shell,
    rows: Vec<ListRow>,
    is_possible: bool,
}

struct ListRow {
    name: String,
    home: String,
    at: String,
    state: String,
    tone: &'static str,
    sharings: usize,
    present: String,
    pending: String,
    refused: String,
    room: Option<(Markup, String)>,
    last: Option<When>,
}

pub(super) async fn list(visit: Visit) -> Result<Response, Problem> {
    visit
        .page("Targets", Section::Sharing, |app, shell| {
            let engine = app.engine()?;
            let config = engine.config();
            let now = engine.world().now();
            let mut rows = Vec::new();
            for target in config.targets.values() {
                let name = &target.doc.name;
                let shown = engine.target_shown(name)?;
                let (state, tone) = state_of(&shown);
                let lines = |states: &[&str]| n(states.iter().filter_map(|state| shown.lines.get(state)).sum());
                rows.push(ListRow {
                    name: name.clone(),
                    home: home_of(name),
                    at: format!("{} · {}", shown.connection, shown.action),
                    state,
                    tone,
                    sharings: target.sharings.len(),
                    present: lines(&["present"]),
                    pending: lines(&["pending", "unknown", "retracting"]),
                    refused: lines(&["refused"]),
                    room: room_of(&shown),
                    last: When::maybe(shown.last_run.as_deref(), now),
                });
            }
            rows.sort_by(|a, b| a.name.cmp(&b.name));
            let is_possible = config.connections.values().any(|c| !c.connector.manifest().actions.is_empty());
            Ok(ListPage { shell, rows, is_possible })
        })
        .await
}

// --- one target

#[derive(Template)]
#[template(path = "target.html")]
struct TargetPage {
    shell: Shell,
    top: Top,
    lines: Vec<(String, &'static str, String)>,
    room: Option<(Markup, String)>,
    limit: String,
    budget: [Budget; 2],
    drift: Option<DriftShown>,
    how: &'static str,
    verified: Option<When>,
    not_before: Option<When>,
    sharings: Vec<SharingRow>,
    runs: Vec<RunRow>,
    plans: Vec<u64>,
    pins: u64,
    cut: Option<String>,
    to: String,
    seen: String,
}

struct Budget {
    name: &'static str,
    left: String,
    used: String,
    bar: Markup,
}

struct DriftShown {
    counts: Vec<(String, &'static str)>,
    is_any: bool,
    doubt: Option<String>,
    samples: Vec<String>,
}

pub(super) struct RunRow {
    pub(super) id: u64,
    pub(super) kind: String,
    pub(super) status: String,
    pub(super) tone: &'static str,
    pub(super) counts: String,
    pub(super) at: When,
}

/// The last runs about something.
fn runs_of(app: &App, name: &str, now: Timestamp) -> Result<Vec<RunRow>, Problem> {
    let filter = RunFilter { kind: None, subject: Some(name), status: None };
    let runs = app.engine()?.store().runs(filter, RUNS, None)?;
    let row = |run: store::RunRow| {
        let report: serde_json::Value = serde_json::from_str(&run.report).unwrap_or_default();
        let count = |name: &&str| {
            let count = report.get(*name)?.as_u64().filter(|count| *count > 0)?;
            Some(format!("{} {}", n(count), name.replace('_', " ")))
        };
        let names = ["push", "update", "retract", "accepted", "refused", "unknown", "deferred", "checked", "missing"];
        RunRow {
            id: run.id.0,
            tone: tone(&run.status),
            counts: names.iter().filter_map(count).collect::<Vec<_>>().join(" · "),
            at: When::at(run.started, now),
            kind: run.kind,
            status: run.status.replace('_', " "),
        }
    };
    Ok(runs.into_iter().map(row).collect())
}

fn use_of(name: &'static str, of: engine::UseShown) -> Budget {
    let percent = if of.per_day == 0 { 0.0 } else { of.used_24h as f64 * 100.0 / of.per_day as f64 };
    let tone = if percent >= 100.0 {
        "bad"
    } else if percent >= 80.0 {
        "warn"
    } else {
        "calm"
    };
    Budget {
        name,
        left: n(of.left),
        used: format!("{} of {} used in 24 h, {} in one pass", n(of.used_24h), n(of.per_day), n(of.per_pass)),
        bar: bar(percent, tone),
    }
}

const HOW: [(&str, &str); 4] = [
    ("read", "It shows everything that it holds."),
    ("look", "It can be asked entry by entry: a part of them each time, or all."),
    ("list", "It is a list that this exchange serves: what is served is compared."),
    ("none", "It cannot be asked what it holds."),
];

pub(super) async fn target(visit: Visit, Path(name): Path<String>) -> Result<Response, Problem> {
    visit.page(name.clone(), Section::Sharing, move |app, shell| make(app, shell, &name)).await
}

fn make(app: &App, shell: Shell, name: &str) -> Result<TargetPage, Problem> {
    let engine = app.engine()?;
    let now = engine.world().now();
    let top = top(app, name, "overview")?;
    let shown = &top.shown;
    let states: [(&str, &str, &str); 8] = [
        ("present", "ok", "there"),
        ("pending", "cold", "on their way"),
        ("unknown", "warn", "perhaps there"),
        ("retracting", "cold", "being taken back"),
        ("refused", "bad", "refused"),
        ("foreign", "calm", "wanted, put there by others"),
        ("released", "calm", "left there"),
        ("gone", "calm", "were there"),
    ];
    let line = |state: &str| shown.lines.get(state).copied().unwrap_or(0);
    // What is always asked, and what there is.
    let lines = states.iter().filter(|(state, ..)| matches!(*state, "present" | "refused") || line(state) > 0);
    let lines = lines.map(|(state, _, words)| (n(line(state)), *state, (*words).to_owned())).collect();
    let drift = shown.drift.as_ref().map(|drift| DriftShown {
        counts: vec![
            (n(drift.checked), "asked about"),
            (n(drift.there), "there"),
            (n(drift.missing), "missing: the next pass sends them again"),
            (n(drift.lost), "somebody else's now"),
            (n(drift.unknown), "with our mark, unknown to the ledger"),
            (n(drift.foreign), "of others"),
            (n(drift.harmed), "of others, taken away by our last write"),
        ],
        is_any: drift.is_any(),
        doubt: drift.doubt.clone(),
        samples: drift.samples.iter().map(|sample| sample_of(sample)).collect(),
    });
    let key = [name.to_owned()];
    let doc = app.thing::<Targets>(&key)?.ok_or_else(|| missing::<Targets>(&key))?;
    let capacity = &shown.capacity;
    let limit = match (capacity.declared, capacity.learned) {
        (_, Some(learned)) if learned.said => format!("{}, as it says itself", n(learned.limit)),
        (_, Some(learned)) => format!("{}: it was found to drop what is more", n(learned.limit)),
        (Some(limit), None) => format!("{}, as configured or declared", n(limit)),
        (None, None) => "none known".to_owned(),
    };
    let (sharings, _) = rows_of(app, |doc| doc.target == name)?;
    let cut = match capacity.limit {
        Some(_) => Some(engine.cut(name)?.len() as u64).filter(|cut| *cut > 0).map(n),
        None => None,
    };
    let hour_ago = now.before(std::time::Duration::from_secs(3_600)).to_string();
    Ok(TargetPage {
        lines,
        room: room_of(shown),
        limit,
        budget: [use_of("Adds", shown.budget.adds), use_of("Removals", shown.budget.removals)],
        drift,
        how: HOW.iter().find(|(how, _)| *how == shown.how).map_or("", |(_, words)| words),
        verified: When::maybe(shown.verified.as_deref(), now),
        not_before: When::maybe(shown.not_before.as_deref(), now).filter(|_| shown.failures > 0),
        sharings,
        runs: runs_of(app, name, now)?,
        plans: shown.plans.clone(),
        pins: shown.pins,
        cut,
        to: hour_ago.get(..16).unwrap_or_default().to_owned(),
        seen: tag_of(&doc),
        top,
        shell,
    })
}

// --- its ledger

#[derive(Template)]
#[template(path = "target_lines.html")]
struct LinesPage {
    shell: Shell,
    top: Top,
    state: String,
    value: String,
    states: Vec<(&'static str, String, bool)>,
    rows: Vec<LineRow>,
    next: Option<String>,
    file: String,
    cuts: Vec<CutRow>,
    total: String,
    pins: Vec<PinRow>,
}

struct LineRow {
    shown: String,
    link: Option<String>,
    tone: &'static str,
    since: Option<When>,
    updated: Option<When>,
    line: Delivery,
}

struct CutRow {
    shown: String,
    link: String,
    cut: Cut,
}

struct PinRow {
    shown: String,
    link: String,
    at: Option<When>,
    pin: PinShown,
}

fn empty(shell: Shell, top: Top) -> LinesPage {
    LinesPage {
        shell,
        state: String::new(),
        value: String::new(),
        states: Vec::new(),
        rows: Vec::new(),
        next: None,
        file: String::new(),
        cuts: Vec::new(),
        total: String::new(),
        pins: Vec::new(),
        top,
    }
}

fn line_row(line: Delivery, now: Timestamp) -> LineRow {
    let tone = show::tone_of_line(line.state);
    let (kind, value) = (line.kind.unwrap_or_default(), line.value.clone());
    let text = line.entry.as_deref().or(value.as_deref());
    LineRow {
        shown: text.map_or_else(|| "forgotten".to_owned(), |text| defanged(kind, text)),
        link: value.map(|value| super::grid::link_to(kind, &value)),
        since: When::of(&line.first_intent, now),
        updated: When::of(&line.updated, now),
        tone,
        line,
    }
}

fn state_asked(query: &Fields) -> Result<Option<LineState>, Problem> {
    let state = query.some("state");
    let found =
        state.map(|text| LineState::parse(text).ok_or_else(|| Problem::invalid(format!("no line is \"{text}\""))));
    found.transpose()
}

pub(super) async fn lines(visit: Visit, Path(name): Path<String>, query: Fields) -> Result<Response, Problem> {
    visit
        .page(format!("{name}: ledger"), Section::Sharing, move |app, shell| {
            let engine = app.engine()?;
            let now = engine.world().now();
            let top = top(app, &name, "ledger")?;
            let state = state_asked(&query)?;
            let (lines, next) = match query.some("value") {
                Some(value) => {
                    let found = match engine.deliveries_of(value, None) {
                        Err(engine::EngineError::NotFound(_)) => Vec::new(),
                        found => found?,
                    };
                    (found.into_iter().filter(|line| line.target == name).collect(), None)
                }
                None => {
                    let id = engine.config().target(&name).map_or(TargetId(0), |target| target.id);
                    let after = query.get("after").parse().ok().map(|at| (id, IndicatorId(at)));
                    engine.deliveries(Some(&name), state, after, ROWS)?
                }
            };
            let (state, value) = (query.get("state").to_owned(), query.get("value").to_owned());
            let home = &top.home;
            let states = LineState::ALL.iter().map(|one| {
                let count = top.shown.lines.get(one.as_str()).copied().unwrap_or(0);
                (one.as_str(), n(count), one.as_str() == state)
            });
            let states = states.collect();
            let next = next.map(|(_, id)| {
                format!("{home}/ledger{}", show::query(&[("state", &state), ("after", &id.0.to_string())]))
            });
            let file = format!("{home}/ledger.csv{}", show::query(&[("state", &state)]));
            let rows = lines.into_iter().map(|line| line_row(line, now)).collect();
            Ok(LinesPage { state, value, states, rows, next, file, ..empty(shell, top) })
        })
        .await
}

pub(super) async fn lines_csv(visit: Visit, Path(name): Path<String>, query: Fields) -> Result<Response, Problem> {
    let app = visit.app.clone();
    let state = state_asked(&query)?;
    let known = name.clone();
    app.hop(move |app| Ok(app.engine()?.target_shown(&known).map(drop)?)).await?;
    let head =
        ["kind", "value", "entry", "state", "remote_id", "since", "updated", "attempts", "next_try", "words", "run"];
    download::csv(&format!("ledger-{name}"), &head, move |out| {
        let Ok(engine) = app.engine() else { return };
        let mut after = None;
        loop {
            let Ok((lines, next)) = engine.deliveries(Some(&name), state, after, PIECE) else { return };
            let rows = lines.iter().map(|line| {
                let some = |text: &Option<String>| Cow::Owned(text.clone().unwrap_or_default());
                vec![
                    Cow::Borrowed(line.kind.unwrap_or_default()),
                    some(&line.value),
                    some(&line.entry),
                    Cow::Borrowed(line.state),
                    some(&line.remote_id),
                    Cow::Borrowed(line.first_intent.as_str()),
                    Cow::Borrowed(line.updated.as_str()),
                    Cow::Owned(line.attempts.to_string()),
                    some(&line.next_try),
                    some(&line.words),
                    Cow::Owned(line.run.to_string()),
                ]
            });
            if !out.put(rows) || next.is_none() {
                return;
            }
            after = next;
        }
    })
}

pub(super) async fn cut(visit: Visit, Path(name): Path<String>, query: Fields) -> Result<Response, Problem> {
    visit
        .page(format!("{name}: no room"), Section::Sharing, move |app, shell| {
            let top = top(app, &name, "cut")?;
            let cut = app.engine()?.cut(&name)?;
            let from: usize = query.get("from").parse().unwrap_or(0);
            let total = n(cut.len() as u64);
            let next = (from + ROWS < cut.len()).then(|| format!("{}/cut?from={}", top.home, from + ROWS));
            let row = |cut: Cut| CutRow {
                shown: defanged(cut.kind, &cut.value),
                link: super::grid::link_to(cut.kind, &cut.value),
                cut,
            };
            let cuts = cut.into_iter().skip(from).take(ROWS).map(row).collect();
            let file = format!("{}/cut.csv", top.home);
            Ok(LinesPage { cuts, total, next, file, ..empty(shell, top) })
        })
        .await
}

pub(super) async fn cut_csv(visit: Visit, Path(name): Path<String>) -> Result<Response, Problem> {
    let app = visit.app.clone();
    let file = format!("no-room-{name}");
    let cut = app.hop(move |app| Ok(app.engine()?.cut(&name)?)).await?;
    let head = ["rank", "limit", "kind", "value", "reputation", "severity", "sources", "reason"];
    download::csv(&file, &head, move |out| {
        for piece in cut.chunks(PIECE) {
            let number = |number: Option<u32>| Cow::Owned(number.map_or_else(String::new, |number| number.to_string()));
            let rows = piece.iter().map(|cut| {
                vec![
                    number(cut.rank),
                    number(cut.limit),
                    Cow::Borrowed(cut.kind),
                    Cow::Borrowed(cut.value.as_str()),
                    Cow::Owned(cut.reputation.to_string()),
                    Cow::Borrowed(cut.severity),
                    Cow::Owned(cut.sources.to_string()),
                    Cow::Borrowed(cut.reason.as_str()),
                ]
            });
            if !out.put(rows) {
                return;
            }
        }
    })
}

pub(super) async fn pins(visit: Visit, Path(name): Path<String>, query: Fields) -> Result<Response, Problem> {
    visit
        .page(format!("{name}: pins"), Section::Sharing, move |app, shell| {
            let engine = app.engine()?;
            let now = engine.world().now();
            let top = top(app, &name, "pins")?;
            let pins = engine.pins(&name)?;
            let from: usize = query.get("from").parse().unwrap_or(0);
            let total = n(pins.len() as u64);
            let next = (from + ROWS < pins.len()).then(|| format!("{}/pins?from={}", top.home, from + ROWS));
            let row = |pin: PinShown| PinRow {
                shown: defanged(pin.kind, &pin.value),
                link: super::grid::link_to(pin.kind, &pin.value),
                at: When::of(&pin.at, now),
                pin,
            };
            let pins = pins.into_iter().skip(from).take(ROWS).map(row).collect();
            Ok(LinesPage { pins, total, next, ..empty(shell, top) })
        })
        .await
}

// --- what a person can have done

pub(super) async fn do_sync(visit: Visit, Path(name): Path<String>) -> Result<Response, Problem> {
    asked::begin(visit, Work::Pass, name).await
}

pub(super) async fn do_verify(visit: Visit, Path(name): Path<String>, Sent(sent): Sent) -> Result<Response, Problem> {
    let how = Verify { believe: sent.some("believe").is_some(), all: sent.some("all").is_some() };
    asked::begin(visit, Work::Verify(how), name).await
}

pub(super) async fn do_switch(visit: Visit, Path(name): Path<String>, Sent(sent): Sent) -> Result<Response, Problem> {
    visit
        .act(move |app, caller| {
            let on = sent.get("to") == "on";
            let to = format!("{}?done={}", home_of(&name), if on { "target-on" } else { "target-off" });
            app.change::<Targets>(&[name], caller, |doc| doc.enabled = on)?;
            app.hurry();
            Ok(to)
        })
        .await
}

pub(super) async fn do_unpin(visit: Visit, Path(name): Path<String>, Sent(sent): Sent) -> Result<Response, Problem> {
    visit
        .act(move |app, caller| {
            let values = match sent.some("all") {
                Some(_) => None,
                None => Some(sent.all("value")).filter(|values| !values.is_empty()),
            };
            if values.is_none() && sent.some("all").is_none() {
                return Err(Problem::invalid("say which pin is lifted"));
            }
            app.engine()?.unpin(&name, values.as_deref(), &caller.name)?;
            app.hurry();
            Ok(format!("{}/pins?done=lifted", home_of(&name)))
        })
        .await
}

/// A time as a form or a person gives it; without a zone it is UTC.
pub(super) fn moment(text: &str) -> Result<Timestamp, Problem> {
    let whole = |text: &str| Timestamp::parse(text);
    let found = whole(text).or_else(|| whole(&format!("{text}:00Z"))).or_else(|| whole(&format!("{text}Z")));
    found.ok_or_else(|| Problem::invalid(format!("\"{text}\" is no time such as 2026-01-31T14:05")))
}

pub(super) async fn do_return(visit: Visit, Path(name): Path<String>, Sent(sent): Sent) -> Result<Response, Problem> {
    visit
        .act(move |app, caller| {
            let plan = app.engine()?.return_target(&name, moment(sent.get("to"))?, &caller.name)?;
            Ok(format!("/plans/{}?done=undone", plan.id))
        })
        .await
}

pub(super) async fn do_delete(visit: Visit, Path(name): Path<String>, Sent(sent): Sent) -> Result<Response, Problem> {
    visit
        .act(move |app, caller| {
            let leave = match sent.get("leave") {
                "take_back" => Entries::TakeBack,
                "release" => Entries::Release,
                _ => return Err(Problem::invalid("choose what becomes of the entries that are there")),
            };
            match app.delete_target(&name, leave, sent.get("seen"), &caller.name)? {
                true => Ok("/targets?done=deleted".to_owned()),
                false => Ok(format!("{}?done=emptying", home_of(&name))),
            }
        })
        .await
}

// --- taking over what is there

#[derive(Template)]
#[template(path = "adopt.html")]
struct AdoptPage {
    shell: Shell,
    top: Top,
    report: AdoptReport,
    counts: Vec<(String, &'static str)>,
    samples: Vec<String>,
    forget: bool,
    unread: bool,
}

pub(super) async fn do_adopt(visit: Visit, Path(name): Path<String>, Sent(sent): Sent) -> Result<Response, Problem> {
    visit
        .page(format!("Adopt {name}"), Section::Sharing, move |app, shell| {
            let (forget, unread) = (sent.some("forget").is_some(), sent.some("unread").is_some());
            let options = Adopt { apply: sent.some("apply").is_some(), forget, unread };
            let who = shell.caller.as_ref().map_or("", |caller| caller.name.as_str());
            let report = app.engine()?.adopt(&name, options, who)?;
            if report.applied {
                app.hurry();
            }
            let counts = vec![
                (n(report.adopted), "with our mark become ours"),
                (n(report.kept), "of ours are there"),
                (n(report.gone), "of ours are not there"),
                (n(report.lost), "of ours are somebody else's"),
                (n(report.foreign), "of others"),
                (n(report.not_understood), "with our mark, not understood"),
                (n(report.forgotten), "lines are forgotten first"),
            ];
            let samples = report.samples.iter().map(|sample| sample_of(sample)).collect();
            Ok(AdoptPage { top: top(app, &name, "adopt")?, shell, counts, samples, report, forget, unread })
        })
        .await
}
