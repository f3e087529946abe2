//! Plans that wait for a person: exactly what would change, why it waits, and the decision.

use super::overview::tone_of;
use super::shell::{Section, Shell};
use super::show::{When, defanged, n};
use super::{Sent, Visit};
use crate::api::Problem;
use crate::app::App;
use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use engine::{HeldPlan, Part, PlannedStep};

/// Steps shown of a plan; the count says how many there are.
const SHOWN: usize = 1_000;

#[derive(Template)]
#[template(path = "plans.html")]
struct Plans {
    shell: Shell,
    rows: Vec<PlanRow>,
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
    steps: Vec<StepRow>,
    all_steps: String,
    is_cut: bool,
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

pub(super) async fn plans(visit: Visit) -> Result<Response, Problem> {
    visit
        .page("Plans", Section::Activity, |app, shell| {
            let engine = app.engine()?;
            let now = engine.world().now();
            let row = |plan: HeldPlan| PlanRow {
                tone: tone_of(&plan.status),
                created: When::of(&plan.created, now),
                counts: counts(&plan),
                plan,
            };
            Ok(Plans { rows: engine.plans(None)?.into_iter().take(200).map(row).collect(), shell })
        })
        .await
}

pub(super) async fn plan(visit: Visit, Path(id): Path<u64>) -> Result<Response, Problem> {
    visit.page(format!("Plan {id}"), Section::Activity, move |app, shell| make(app, shell, id)).await
}

fn make(app: &App, shell: Shell, id: u64) -> Result<PlanPage, Problem> {
    let engine = app.engine()?;
    let now = engine.world().now();
    // One step more than is shown says whether that is all.
    let mut plan = engine.held_plan_top(id, SHOWN + 1)?;
    let all = (plan.push + plan.update + plan.retract) as usize;
    let is_cut = plan.steps.len() > SHOWN;
    let all = all.max(plan.steps.len());
    let steps = std::mem::take(&mut plan.steps).into_iter().take(SHOWN).map(|step| {
        let (sign, class) = match step.verb {
            "push" => ("+", "plus"),
            "retract" | "drop" => ("−", "minus"),
            _ => ("~", "change"),
        };
        StepRow { sign, class, entry: defanged(step.kind, &step.entry), step }
    });
    Ok(PlanPage {
        steps: steps.collect(),
        all_steps: n(all as u64),
        is_cut,
        tone: tone_of(&plan.status),
        created: When::of(&plan.created, now),
        until: When::maybe(plan.until.as_deref(), now),
        counts: counts(&plan),
        waits: plan.status == "waiting",
        plan,
        shell,
    })
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
