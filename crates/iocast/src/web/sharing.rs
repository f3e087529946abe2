//! What goes where: the grid of sharings with how much of each is where it should be, a sharing tried before it goes, and
//! a pass over its target now.

use super::overview::tone_of;
use super::shell::{Section, Shell};
use super::show::{self, Markup, When, bar, defanged, n};
use super::{Fields, Sent, Visit, asked, download};
use crate::api::Problem;
use crate::app::App;
use crate::app::asked::Work;
use crate::app::status::TargetStatus;
use crate::app::things::{Rules, Sharings};
use crate::people::roles::Needs;
use askama::Template;
use axum::response::{IntoResponse, Redirect, Response};
use engine::config::SharingDoc;
use engine::{Preview, PreviewRow, SharingCounts};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

/// Rows of a test on one page.
const ROWS: usize = 50;
/// Rows made at a time for a file.
const PIECE: usize = 2_000;
/// Days that are offered as a window.
const DAYS: [u64; 6] = [1, 7, 14, 30, 90, 365];

#[derive(Template)]
#[template(path = "sharing.html")]
struct SharingPage {
    shell: Shell,
    q: String,
    rows: Vec<Row>,
    /// How many there are, those not shown included.
    all: usize,
    /// There is a rule and a target, so that one can be made.
    is_possible: bool,
}

/// One row of the grid, which the page of a target shows too.
pub(super) struct Row {
    pub(super) source: String,
    pub(super) rule: String,
    pub(super) target: String,
    /// Connection and action.
    pub(super) at: String,
    pub(super) state: &'static str,
    pub(super) tone: &'static str,
    pub(super) paused: bool,
    pub(super) plan: Option<u64>,
    pub(super) last: Option<When>,
    pub(super) wanted: String,
    pub(super) present: String,
    pub(super) pending: String,
    pub(super) refused: String,
    pub(super) others: u64,
    pub(super) edit: String,
    pub(super) test: String,
    pub(super) clone: String,
    pub(super) home: String,
}

/// What counts were made from.
type Key = (u64, usize, String, usize, i64);
type Kept = BTreeMap<usize, (Key, Arc<Vec<SharingCounts>>)>;
/// The last counts of each open exchange, by the place of its engine.
static LAST: LazyLock<Mutex<Kept>> = LazyLock::new(Mutex::default);

/// The counts of all sharings: made anew when something changed, or after a minute.
fn counts_of(app: &App) -> Result<Arc<Vec<SharingCounts>>, Problem> {
    let engine = app.engine()?;
    let key = {
        let (config, known) = (engine.config(), engine.known());
        let ledgers = known.ledgers.values();
        let lines: usize = ledgers.map(|l| l.present().count() * 31 + l.unsettled().count() * 7 + l.len()).sum();
        let minute = engine.world().now().micros() / 60_000_000;
        (known.index.max_revision(), known.index.len(), config.version.clone(), lines, minute)
    };
    let place = Arc::as_ptr(engine) as usize;
    let lock = || LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, counts)) = lock().get(&place).filter(|(last, _)| *last == key) {
        return Ok(counts.clone());
    }
    let counts = Arc::new(engine.sharing_counts()?);
    let mut last = lock();
    // A process has one exchange; tests have many.
    if last.len() > 8 {
        last.clear();
    }
    last.insert(place, (key, counts.clone()));
    Ok(counts)
}

pub(super) fn key_query(doc: &SharingDoc) -> String {
    format!("?key={}&key={}&key={}", show::part(&doc.source), show::part(&doc.rule), show::part(&doc.target))
}

fn doc_query(doc: &SharingDoc, more: &[(&str, &str)]) -> String {
    let tlp = doc.max_tlp.clone().unwrap_or_default();
    let mut pairs: Vec<(&str, &str)> =
        vec![("source", &doc.source), ("rule", &doc.rule), ("target", &doc.target), ("max_tlp", &tlp)];
    pairs.extend(more);
    show::query(&pairs)
}

/// How a sharing is, in a word and a tone.
fn state_of(
    doc: &SharingDoc,
    muted: bool,
    target: Option<&TargetStatus>,
    counts: Option<&SharingCounts>,
) -> (&'static str, &'static str) {
    let Some(target) = target else { return ("no target", "bad") };
    match target {
        _ if doc.paused => ("paused", "calm"),
        _ if muted => ("rule muted", "calm"),
        t if !t.enabled => ("target off", "calm"),
        t if t.denied => ("denied", "bad"),
        t if t.restored => ("adopt it first", "warn"),
        t if t.failures > 0 => ("failing", "bad"),
        t if t.waiting_plan.is_some() => ("waits", "warn"),
        t if t.last_run.is_none() => ("not run yet", "calm"),
        _ if counts.is_some_and(|counts| counts.refused > 0) => ("some refused", "warn"),
        _ => ("on", "ok"),
    }
}

/// The rows of the sharings that are meant.
pub(super) fn rows_of(app: &App, is_meant: impl Fn(&SharingDoc) -> bool) -> Result<(Vec<Row>, usize), Problem> {
    let engine = app.engine()?;
    let status = app.status()?;
    let counts = counts_of(app)?;
    let config = engine.config();
    let now = engine.world().now();
    let docs = app.things::<Sharings>()?;
    let all = docs.len();
    let row = |doc: SharingDoc| {
        let target = status.targets.iter().find(|target| target.name == doc.target);
        let muted = config.rules.get(&doc.rule).is_some_and(|rule| rule.muted);
        let found = counts.iter().find(|c| c.key[0] == doc.source && c.key[1] == doc.rule && c.key[2] == doc.target);
        let (state, tone) = state_of(&doc, muted, target, found);
        let count = |of: fn(&SharingCounts) -> u64| found.map_or_else(|| "–".to_owned(), |counts| n(of(counts)));
        Row {
            at: target.map_or_else(String::new, |target| format!("{} · {}", target.connection, target.action)),
            state,
            tone,
            paused: doc.paused,
            plan: target.and_then(|target| target.waiting_plan),
            last: When::maybe(target.and_then(|target| target.last_run.as_deref()), now),
            wanted: count(|c| c.wanted),
            present: count(|c| c.present),
            pending: count(|c| c.pending),
            refused: count(|c| c.refused),
            others: found.map_or(0, |counts| counts.others),
            edit: format!("/configure/sharing{}", key_query(&doc)),
            test: format!("/sharing/test{}", doc_query(&doc, &[])),
            clone: format!("/configure/sharing{}", doc_query(&doc, &[])),
            home: format!("/targets/{}", show::part(&doc.target)),
            source: doc.source,
            rule: doc.rule,
            target: doc.target,
        }
    };
    Ok((docs.into_iter().filter(is_meant).map(row).collect(), all))
}

pub(super) async fn list(visit: Visit, query: Fields) -> Result<Response, Problem> {
    visit
        .page("Sharing", Section::Sharing, move |app, shell| {
            let q = query.get("q").to_lowercase();
            let words = |doc: &SharingDoc| format!("{} {} {}", doc.source, doc.rule, doc.target).to_lowercase();
            let (rows, all) = rows_of(app, |doc| words(doc).contains(&q))?;
            let config = app.engine()?.config();
            let is_possible = !config.rules.is_empty() && !config.targets.is_empty();
            Ok(SharingPage { shell, q: query.get("q").to_owned(), rows, all, is_possible })
        })
        .await
}

fn three(sent: &Fields) -> Result<[String; 3], Problem> {
    let key = sent.all("key");
    key.try_into().map_err(|_| Problem::invalid("say which sharing: its source, rule and target"))
}

pub(super) async fn pause(visit: Visit, Sent(sent): Sent) -> Result<Response, Problem> {
    visit
        .act(move |app, caller| {
            let key = three(&sent)?;
            let paused = sent.get("to") == "paused";
            app.change::<Sharings>(&key, caller, |doc| doc.paused = paused)?;
            app.hurry();
            Ok(format!("/sharing?done={}", if paused { "paused" } else { "resumed" }))
        })
        .await
}

pub(super) async fn sync(visit: Visit, Sent(sent): Sent) -> Result<Response, Problem> {
    asked::begin(visit, Work::Pass, sent.get("target").to_owned()).await
}

/// A form is tried before it is saved.
pub(super) async fn try_form(_: Visit, Sent(sent): Sent) -> Result<Response, Problem> {
    let mut names = sent.all("key");
    for name in ["source", "rule", "target"] {
        if let Some(given) = sent.some(name) {
            names.push(given.to_owned());
        }
    }
    let [source, rule, target] = <[String; 3]>::try_from(names)
        .map_err(|_| Problem::invalid("choose a source, a rule and a target first: then it can be tried"))?;
    let max_tlp = sent.some("max_tlp").map(str::to_owned);
    let doc = SharingDoc { source, rule, target, max_tlp, paused: false };
    Ok(Redirect::to(&format!("/sharing/test{}", doc_query(&doc, &[]))).into_response())
}

// --- a sharing tried

#[derive(Template)]
#[template(path = "sharing_test.html")]
struct TestPage {
    shell: Shell,
    doc: SharingDoc,
    is_saved: bool,
    is_paused: bool,
    is_muted: bool,
    days: Option<u64>,
    choices: Vec<(u64, String, bool)>,
    counts: Vec<(String, &'static str, &'static str)>,
    reasons: Vec<(String, String)>,
    bytes: String,
    there: String,
    then: String,
    room: Option<(Markup, String)>,
    holds: Vec<String>,
    waits: bool,
    budget: String,
    rows: Vec<StepRow>,
    shown: String,
    next: Option<String>,
    first: Option<String>,
    file: String,
    edit: String,
}

struct StepRow {
    sign: &'static str,
    class: &'static str,
    link: String,
    entry: String,
    row: PreviewRow,
}

/// What stands in the address of a test.
fn asked_for(query: &Fields) -> Result<(SharingDoc, Option<u64>), Problem> {
    let text = |name: &str| query.some(name).map(str::to_owned);
    let (Some(source), Some(rule), Some(target)) = (text("source"), text("rule"), text("target")) else {
        return Err(Problem::invalid("say which sharing is tried: its source, rule and target"));
    };
    let days = match query.some("days") {
        None => None,
        Some(days) => Some(
            days.parse::<u64>()
                .ok()
                .filter(|days| (1..=36_500).contains(days))
                .ok_or_else(|| Problem::invalid(format!("\"{days}\" is no number of days from 1 to 36500")))?,
        ),
    };
    Ok((SharingDoc { source, rule, target, max_tlp: text("max_tlp"), paused: false }, days))
}

fn tried(app: &App, doc: &SharingDoc, days: Option<u64>) -> Result<Preview, Problem> {
    let window = days.map(|days| Duration::from_secs(days * 86_400));
    Ok(app.engine()?.try_sharing(doc, window)?)
}

/// The words for a stable code of a reason.
pub(super) fn reason_words(code: &str) -> &str {
    match code {
        "excepted" => "kept out by an exception",
        "kind_not_accepted" => "of a kind that the action does not take",
        "too_broad" => "networks wider than the target sends",
        "guarded" => "guarded: never sent",
        "muted" => "muted, or paused",
        "tlp" => "marked more narrowly than the sharing lets through",
        "over_capacity" => "no room: over capacity",
        "over_budget" => "over the change budget",
        "refused" => "refused by the destination",
        "undone" => "undone by a person, and pinned",
        "verdict" => "an analyst says it is not bad",
        "cannot_retract" => "cannot be taken back",
        "frozen" => "frozen",
        "unsettled" => "whether it is there is not known",
        "awaiting_approval" => "waiting for an approval",
        "echo" => "an echo of what we sent",
        other => other,
    }
}

pub(super) async fn test(visit: Visit, query: Fields) -> Result<Response, Problem> {
    visit
        .page("Test of a sharing", Section::Sharing, move |app, shell| {
            let (doc, days) = asked_for(&query)?;
            let engine = app.engine()?;
            let preview = tried(app, &doc, days)?;
            let head = &preview.head;
            let target = engine.target_shown(&doc.target)?;
            let line = |state: &str| target.lines.get(state).copied().unwrap_or(0);
            let used = line("present") + line("pending") + line("unknown") + line("retracting");
            let then = (used + head.push).saturating_sub(head.retract);
            let limit = target.capacity.limit.filter(|limit| *limit > 0);
            let room = limit.map(|limit| {
                let filled = then + target.capacity.foreign;
                let percent = filled as f64 * 100.0 / limit as f64;
                let tone = if percent > 100.0 {
                    "bad"
                } else if percent >= 85.0 {
                    "warn"
                } else {
                    "ok"
                };
                let others = match target.capacity.foreign {
                    0 => String::new(),
                    foreign => format!(", {} of others among them", n(foreign)),
                };
                (bar(percent, tone), format!("{} of {} afterwards{others}", n(filled), n(limit)))
            });
            let from: usize = query.get("from").parse().unwrap_or(0);
            let items = preview.rows(engine, from, ROWS);
            let end = from + items.len();
            let address = |from: usize| {
                let (days, from) = (days.map_or_else(String::new, |days| days.to_string()), from.to_string());
                let from = if from == "0" { "" } else { &from };
                format!("/sharing/test{}", doc_query(&doc, &[("days", &days), ("from", from)]))
            };
            let key = [doc.source.clone(), doc.rule.clone(), doc.target.clone()];
            let saved = app.thing::<Sharings>(&key)?;
            let rule = app.thing::<Rules>(&key[1..2])?;
            let days_text = days.map_or_else(String::new, |days| days.to_string());
            let mut reasons: Vec<(&str, u64)> =
                preview.skipped_by.iter().map(|(code, count)| (*code, *count)).collect();
            reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            let budget = &head.budget;
            Ok(TestPage {
                is_saved: saved.is_some(),
                is_paused: saved.as_ref().is_some_and(|saved| saved.paused),
                is_muted: rule.is_some_and(|rule| rule.muted),
                days,
                choices: DAYS
                    .into_iter()
                    .map(|one| {
                        let words = if one == 1 { "the last day".to_owned() } else { format!("the last {one} days") };
                        (one, words, days == Some(one))
                    })
                    .collect(),
                counts: vec![
                    (n(head.push), "plus", "to add"),
                    (n(head.update), "change", "to change"),
                    (n(head.retract), "minus", "to take back"),
                    (n(head.leave), "", "as they should be"),
                    (n(head.skip), "", "do not go"),
                ],
                reasons: reasons.into_iter().map(|(code, count)| (reason_words(code).to_owned(), n(count))).collect(),
                bytes: n(preview.bytes_to_add(engine)),
                there: n(used),
                then: n(then),
                room,
                waits: !head.holds.is_empty(),
                holds: head.holds.clone(),
                budget: format!(
                    "{} adds and {} removals may go now without a person.",
                    n(budget.adds.left),
                    n(budget.removals.left)
                ),
                shown: match (items.len(), from) {
                    (0, _) => String::new(),
                    (_, 0) if end as u64 == head.rows => format!("all {}", n(head.rows)),
                    _ => format!("{} to {} of {}", n(from as u64 + 1), n(end as u64), n(head.rows)),
                },
                next: ((end as u64) < head.rows && !items.is_empty()).then(|| address(end)),
                first: (from > 0).then(|| address(0)),
                rows: items.into_iter().map(step_row).collect(),
                file: format!("/sharing/test.csv{}", doc_query(&doc, &[("days", &days_text)])),
                edit: match saved {
                    Some(doc) => format!("/configure/sharing{}", key_query(&doc)),
                    None => format!("/configure/sharing{}", doc_query(&doc, &[])),
                },
                doc,
                shell,
            })
        })
        .await
}

fn step_row(row: PreviewRow) -> StepRow {
    let (sign, class) = match row.step {
        "push" => ("+", "plus"),
        "retract" | "drop" => ("−", "minus"),
        "skip" => ("", "dim"),
        _ => ("~", "change"),
    };
    StepRow {
        sign,
        class,
        link: super::grid::link_to(row.kind, &row.entry),
        entry: defanged(row.kind, &row.entry),
        row,
    }
}

/// The exact list of a test, as a file.
pub(super) async fn test_csv(visit: Visit, query: Fields) -> Result<Response, Problem> {
    let (doc, days) = asked_for(&query)?;
    let app = visit.app.clone();
    let name = format!("test-{}-{}-{}", doc.source, doc.rule, doc.target);
    let preview = app.hop(move |app| tried(app, &doc, days)).await?;
    download::csv(&name, &["step", "kind", "entry", "code", "reason", "waits", "sources"], move |out| {
        let Ok(engine) = app.engine() else { return };
        let mut at = 0;
        loop {
            let items = preview.rows(engine, at, PIECE);
            at += items.len();
            let rows = items.iter().map(|row| {
                let some = |text: &Option<String>| Cow::Owned(text.clone().unwrap_or_default());
                vec![
                    Cow::Borrowed(row.step),
                    Cow::Borrowed(row.kind),
                    Cow::Borrowed(row.entry.as_str()),
                    Cow::Borrowed(row.code.unwrap_or_default()),
                    some(&row.reason),
                    some(&row.waits),
                    Cow::Owned(row.sources.join(" ")),
                ]
            });
            if items.is_empty() || !out.put(rows) {
                return;
            }
        }
    })
}

/// A run's status, for a row.
pub(super) fn tone(status: &str) -> &'static str {
    tone_of(match status {
        "success" | "not_modified" | "same" => "ok",
        "drift" | "doubt" => "suspect",
        other => other,
    })
}
