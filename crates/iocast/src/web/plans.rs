//! Plans that wait for a person: exactly what would change, why it waits, what a newer one changed, and the decision.

use super::overview::tone_of;
use super::shell::{Section, Shell};
use super::show::{self, When, defanged, n};
use super::{Fields, Sent, Visit, download};
use crate::api::Problem;
use crate::app::App;
use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use engine::{HeldPlan, Part, PlannedStep};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Steps on a page.
const SHOWN: usize = 100;
/// Steps shown of how a plan differs from the one before.
const DIFFERENCE: usize = 20;
/// Rows made at a time for a file.
const PIECE: usize = 2_000;

#[derive(Template)]
#[template(path = "plans.html")]
struct Plans {
    shell: Shell,
    rows: Vec<PlanRow>,
    all: usize,
    /// By state: name, count, whether it is shown.
    chips: Vec<(String, String, bool)>,
}

struct PlanRow {
    plan: HeldPlan,
    tone: &'static str,
    created: Option<When>,
    counts: [String; 3],
}

#[derive(Template)]
#[template(path = "plan.html")]
struct PlanPage {
    shell: Shell,
    plan: HeldPlan,
    tone: &'static str,
    created: Option<When>,
    until: Option<When>,
    counts: [String; 3],
    waits: bool,
    decided: Option<When>,
    home: String,
    /// What follows from how it stands.
    means: &'static str,
    verb: String,
    verbs: Vec<(&'static str, &'static str, String, bool)>,
    steps: Vec<StepRow>,
    shown: String,
    first: Option<String>,
    next: Option<String>,
    file: String,
    /// Why entries are taken back, most first.
    reasons: Vec<(String, String)>,
    came: Vec<String>,
    went: Vec<String>,
    pinned: Vec<(String, String)>,
}

struct StepRow {
    sign: &'static str,
    class: &'static str,
    step: PlannedStep,
    entry: String,
}

fn counts(plan: &HeldPlan) -> [String; 3] {
    [n(plan.push), n(plan.update), n(plan.retract)]
}

pub(super) async fn plans(visit: Visit, query: Fields) -> Result<Response, Problem> {
    visit
        .page("Plans", Section::Activity, move |app, shell| {
            let engine = app.engine()?;
            let now = engine.world().now();
            let row = |plan: HeldPlan| PlanRow {
                tone: tone_of(&plan.status),
                created: When::of(&plan.created, now),
                counts: counts(&plan),
                plan,
            };
            let status = query.get("status").to_owned();
            let plans = engine.plans(None)?;
            let all = plans.len();
            let states = ["", "waiting", "approved", "rejected", "expired", "done"].into_iter();
            let count = |state: &str| plans.iter().filter(|plan| state.is_empty() || plan.status == state).count();
            let chips = states.map(|state| (state, count(state))).filter(|(_, count)| *count > 0);
            let chips = chips.map(|(state, count)| (state.to_owned(), n(count as u64), state == status)).collect();
            let is_meant = |plan: &HeldPlan| status.is_empty() || plan.status == status;
            let rows = plans.into_iter().filter(is_meant).take(200).map(row).collect();
            Ok(Plans { rows, all, chips, shell })
        })
        .await
}

pub(super) async fn plan(visit: Visit, Path(id): Path<u64>, query: Fields) -> Result<Response, Problem> {
    visit.page(format!("Plan {id}"), Section::Activity, move |app, shell| make(app, shell, id, &query)).await
}

/// What a plan's state means for whoever looks at it.
fn means(plan: &HeldPlan) -> &'static str {
    match (plan.status.as_str(), plan.halts) {
        ("waiting", true) => "Nothing goes to its target before somebody decides: it stopped a run half-way.",
        ("waiting", false) => "Nothing of it is sent before somebody approves it. What is not held goes on.",
        ("approved", _) => "The next pass does exactly these steps, each decided again; nothing is added.",
        ("rejected", _) => "Nothing of it is sent, and exactly this is not asked again.",
        ("expired", _) => "Nobody decided in time: nothing of it was sent. What is still wanted is asked again.",
        ("done", _) => "It was carried out. What was no longer valid by then was left out.",
        _ => "",
    }
}

/// The sort of a reason: what stands before its details.
fn sort_of(reason: &str) -> &str {
    for (begins, sort) in [
        ("guarded", "guarded: never sent"),
        ("an analyst", "an analyst says it is not bad"),
        ("excepted", "kept out by an exception"),
        ("undone", "undone by a person"),
        ("over capacity", "no room: over capacity"),
        ("marked", "marked more narrowly than the sharing lets through"),
    ] {
        if reason.starts_with(begins) {
            return sort;
        }
    }
    reason
}

/// `push 192.0.2.1`, as nobody can click on it.
fn difference(words: &str) -> String {
    match words.split_once(' ') {
        Some((verb, entry)) => format!("{verb} {}", super::asked::faint(entry)),
        None => words.to_owned(),
    }
}

fn make(app: &App, shell: Shell, id: u64, query: &Fields) -> Result<PlanPage, Problem> {
    let engine = app.engine()?;
    let now = engine.world().now();
    let mut plan = engine.held_plan(id)?;
    let verb = query.get("verb").to_owned();
    let steps = std::mem::take(&mut plan.steps);
    let kept = !steps.is_empty();
    let mut sorts: BTreeMap<&str, u64> = BTreeMap::new();
    for reason in steps.iter().filter_map(|step| step.reason.as_deref()) {
        *sorts.entry(sort_of(reason)).or_default() += 1;
    }
    let mut sorts: Vec<(&str, u64)> = sorts.into_iter().collect();
    sorts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let reasons = sorts.into_iter().map(|(sort, count)| (sort.to_owned(), n(count))).collect();
    let is_meant = |step: &PlannedStep| match verb.as_str() {
        "" => true,
        "guarded" => step.reason.as_deref().is_some_and(|reason| reason.starts_with("guarded")),
        verb => step.verb == verb,
    };
    let count = |verb: &str| steps.iter().filter(|step| step.verb == verb).count() as u64;
    let guarded = steps.iter().filter(|step| step.reason.as_deref().is_some_and(|why| why.starts_with("guarded")));
    let verbs = [
        ("", "all", steps.len() as u64),
        ("push", "to add", count("push")),
        ("update", "to change", count("update")),
        ("retract", "to take back", count("retract")),
        ("guarded", "guarded", guarded.count() as u64),
    ];
    let verbs = verbs.into_iter().filter(|(name, _, count)| name.is_empty() && kept || *count > 0);
    let verbs = verbs.map(|(name, words, count)| (name, words, n(count), name == verb)).collect();
    let from: usize = query.get("from").parse().unwrap_or(0);
    let meant: Vec<PlannedStep> = steps.into_iter().filter(is_meant).collect();
    let all = meant.len();
    let address = |from: usize| {
        let from = if from == 0 { String::new() } else { from.to_string() };
        format!("/plans/{id}{}", show::query(&[("verb", &verb), ("from", &from)]))
    };
    let end = (from + SHOWN).min(all);
    let row = |step: PlannedStep| {
        let (sign, class) = match step.verb {
            "push" => ("+", "plus"),
            "retract" | "drop" => ("−", "minus"),
            _ => ("~", "change"),
        };
        StepRow { sign, class, entry: defanged(step.kind, &step.entry), step }
    };
    let replaced = plan.replaced.as_ref();
    let some = |words: &[String]| words.iter().take(DIFFERENCE).map(|words| difference(words)).collect::<Vec<_>>();
    Ok(PlanPage {
        shown: match all {
            0 => String::new(),
            _ if from == 0 && end == all => format!("all {}", n(all as u64)),
            _ => format!("{} to {} of {}", n(from as u64 + 1), n(end as u64), n(all as u64)),
        },
        first: (from > 0).then(|| address(0)),
        next: (end < all).then(|| address(end)),
        file: format!("/plans/{id}/steps.csv"),
        steps: meant.into_iter().skip(from).take(SHOWN).map(row).collect(),
        verb,
        verbs,
        reasons,
        came: replaced.map_or_else(Vec::new, |replaced| some(&replaced.came)),
        went: replaced.map_or_else(Vec::new, |replaced| some(&replaced.went)),
        pinned: plan.pinned.iter().map(|pin| (defanged(pin.kind, &pin.entry), pin.hold.clone())).collect(),
        means: means(&plan),
        decided: When::maybe(plan.decided.as_deref(), now),
        home: format!("/targets/{}", show::part(&plan.target)),
        tone: tone_of(&plan.status),
        created: When::of(&plan.created, now),
        until: When::maybe(plan.until.as_deref(), now),
        counts: counts(&plan),
        waits: plan.status == "waiting",
        plan,
        shell,
    })
}

/// All steps of a plan, as a file.
pub(super) async fn steps_csv(visit: Visit, Path(id): Path<u64>) -> Result<Response, Problem> {
    let app = visit.app.clone();
    let plan = app.hop(move |app| Ok(app.engine()?.held_plan(id)?)).await?;
    download::csv(&format!("plan-{id}"), &["step", "kind", "entry", "reason", "waits"], move |out| {
        for piece in plan.steps.chunks(PIECE) {
            let rows = piece.iter().map(|step| {
                let some = |text: &Option<String>| Cow::Owned(text.clone().unwrap_or_default());
                let entry = Cow::Borrowed(step.entry.as_str());
                vec![Cow::Borrowed(step.verb), Cow::Borrowed(step.kind), entry, some(&step.reason), some(&step.waits)]
            });
            if !out.put(rows) {
                return;
            }
        }
    })
}

#[derive(Template)]
#[template(path = "plan_rest.html")]
struct RestPage {
    shell: Shell,
    id: u64,
    target: String,
    home: String,
    reasons: Vec<(String, String)>,
    guarded: Vec<(String, String, String)>,
}

/// What the rules select and a pass over the plan's target leaves out, and why.
pub(super) async fn rest(visit: Visit, Path(id): Path<u64>) -> Result<Response, Problem> {
    visit
        .page(format!("Plan {id}: what does not go"), Section::Activity, move |app, shell| {
            let engine = app.engine()?;
            let target = engine.held_plan(id)?.target;
            let mut preview = engine.preview(&target)?;
            let mut reasons: Vec<(&str, u64)> = preview.skipped_by.iter().map(|(code, n)| (*code, *n)).collect();
            reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            let reasons = reasons.into_iter();
            let reasons =
                reasons.map(|(code, count)| (super::sharing::reason_words(code).to_owned(), n(count))).collect();
            preview.only_skipped("guarded");
            let rows = preview.rows(engine, 0, DIFFERENCE);
            let row = |row: engine::PreviewRow| {
                let link = super::grid::link_to(row.kind, &row.entry);
                (defanged(row.kind, &row.entry), link, row.reason.unwrap_or_default())
            };
            let guarded = rows.into_iter().map(row).collect();
            let home = format!("/targets/{}", show::part(&target));
            Ok(RestPage { shell, id, target, home, reasons, guarded })
        })
        .await
}

pub(super) async fn do_approve(visit: Visit, Path(id): Path<u64>, Sent(form): Sent) -> Result<Response, Problem> {
    visit
        .act(move |app, caller| {
            let words = |name: &str| {
                form.get(name).lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
            };
            let part = Part { only: words("only"), except: words("except") };
            let is_part = !(part.only.is_empty() && part.except.is_empty());
            // The plan that was looked at, and no other.
            let hash =
                form.some("hash").ok_or_else(|| Problem::invalid("the form does not say which plan was looked at"))?;
            let plan = app.engine()?.approve_part(id, &part, Some(hash), &caller.name, form.some("note"))?;
            app.hurry();
            Ok(format!("/plans/{}?done={}", plan.id, if is_part { "approved-part" } else { "approved" }))
        })
        .await
}

pub(super) async fn do_reject(visit: Visit, Path(id): Path<u64>, Sent(form): Sent) -> Result<Response, Problem> {
    visit
        .act(move |app, caller| {
            app.engine()?.reject_plan(id, &caller.name, form.some("note"))?;
            Ok(format!("/plans/{id}?done=rejected"))
        })
        .await
}
