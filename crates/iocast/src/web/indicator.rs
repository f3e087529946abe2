//! One indicator: what it is held to be, what each source says side by side, its history, where it is, and why.

use super::grid::{link_to, reputation};
use super::shell::{Section, Shell};
use super::show::{Markup, When, defanged};
use super::{Sent, Visit};
use crate::api::Problem;
use crate::api::indicators::verdict_of;
use crate::app::App;
use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use engine::{Hit, PastWord, WhyReport};
use intel::{IndicatorKey, IndicatorKind};

#[derive(Template)]
#[template(path = "indicator.html")]
struct IndicatorPage {
    shell: Shell,
    value: String,
    address: String,
    why: WhyReport,
    hit: Option<Hit>,
    /// What an analyst says: comment, verdict, and the day it ends.
    comment: String,
    verdict: String,
    until: String,
    bar: Markup,
    times: Vec<(&'static str, Option<When>)>,
    past: Vec<PastWord>,
    targets: Vec<TargetWhy>,
}

/// The answer at one target as a chain of steps.
struct TargetWhy {
    name: String,
    present: bool,
    state: String,
    tone: &'static str,
    answer: String,
    steps: Vec<Step>,
}

struct Step {
    tone: &'static str,
    icon: &'static str,
    text: String,
    details: Vec<String>,
}

fn kind_of(kind: &str) -> Result<IndicatorKind, Problem> {
    IndicatorKind::from_name(kind).ok_or_else(|| Problem::not_found("there is no such kind of indicator"))
}

pub(super) async fn indicator(visit: Visit, Path((kind, value)): Path<(String, String)>) -> Result<Response, Problem> {
    let kind = kind_of(&kind)?;
    let title = defanged(kind.as_str(), &value);
    visit.page(title, Section::Indicators, move |app, shell| make(app, shell, kind, &value)).await
}

fn make(app: &App, shell: Shell, kind: IndicatorKind, value: &str) -> Result<IndicatorPage, Problem> {
    let engine = app.engine()?;
    let now = engine.world().now();
    let why = engine.why(value, Some(kind))?;
    let past = if why.known { engine.past_words(value, Some(kind))? } else { Vec::new() };
    let hit = why.indicator.clone();
    let analyst = IndicatorKey::parse(Some(kind), &why.value).ok().and_then(|key| {
        let known = engine.known();
        known.index.id(&key).and_then(|id| known.index.analyst(id).cloned())
    });
    let analyst = analyst.unwrap_or_default();
    let until = analyst.verdict.and_then(|verdict| verdict.until).map(|at| When::at(at, now).day().to_owned());
    let when = |text: Option<&String>| text.and_then(|text| When::of(text, now));
    let times = vec![
        ("First seen", when(hit.as_ref().and_then(|hit| hit.first_seen.as_ref()))),
        ("Last seen", when(hit.as_ref().and_then(|hit| hit.last_seen.as_ref()))),
        ("Expires", when(hit.as_ref().and_then(|hit| hit.expires_at.as_ref()))),
    ];
    Ok(IndicatorPage {
        value: defanged(&why.kind, &why.value),
        address: link_to(&why.kind, &why.value),
        comment: analyst.comment.unwrap_or_default(),
        verdict: analyst.verdict.map_or_else(String::new, |verdict| verdict.kind.as_str().to_owned()),
        until: until.unwrap_or_default(),
        bar: reputation(hit.as_ref().map_or(0, |hit| hit.reputation)),
        targets: chains(&why),
        times,
        past,
        hit,
        why,
        shell,
    })
}

fn step(tone: &'static str, text: impl Into<String>) -> Step {
    let icon = match tone {
        "ok" => "circle-check",
        "bad" => "circle-x",
        "warn" => "triangle-alert",
        "cold" => "snowflake",
        _ => "info",
    };
    Step { tone, icon, text: text.into(), details: Vec::new() }
}

/// From what is said of it to what is at each target.
fn chains(why: &WhyReport) -> Vec<TargetWhy> {
    let chain = |target: &engine::why::WhyTarget| {
        let mut steps = vec![step(if why.activity.active { "ok" } else { "bad" }, why.activity.why.clone())];
        for sharing in &target.sharings {
            let decided = match sharing.decided.as_str() {
                "selected" => "selects it",
                "source" => "does not: its source says nothing of it that counts",
                "rule" => "does not: the rule does not select it",
                "exception" => "does not: an exception removes it",
                "tlp" => "does not: its marking is above the ceiling",
                "muted" => "is paused",
                other => other,
            };
            let tone = if sharing.decided == "selected" { "ok" } else { "bad" };
            let mut made = step(tone, format!("{} by rule {} {decided}", sharing.source, sharing.rule));
            made.details.clone_from(&sharing.clauses);
            made.details.extend(sharing.exception.iter().map(|name| format!("exception: {name}")));
            steps.push(made);
        }
        if let Some(guard) = &target.guard {
            let (tone, word) = match (guard.excepted, guard.stops) {
                (true, _) => ("ok", "excepted here"),
                (false, true) => ("bad", "stopped"),
                (false, false) => ("warn", "flagged"),
            };
            steps.push(step(tone, format!("The guard: {word}. {} {} {}", guard.list, guard.relation, guard.value)));
        }
        if let Some(rank) = &target.rank {
            let tone = if rank.position <= rank.limit { "ok" } else { "bad" };
            steps.push(step(
                tone,
                format!("Its rank is {} of {}; there is room for {}", rank.position, rank.of, rank.limit),
            ));
        }
        if let Some(pin) = &target.pin {
            steps.push(step("warn", format!("Pinned {}: {} undid it in plan {}", pin.hold, pin.who, pin.plan)));
        }
        if let Some(plan) = &target.plan {
            let mut made = step("warn", format!("Plan {} waits for a person to {} it", plan.id, plan.verb));
            made.details.extend(plan.waits.clone());
            steps.push(made);
        }
        if target.frozen {
            steps.push(step("cold", "Everything is frozen: no call begins"));
        }
        steps.push(step(if target.present { "ok" } else { "calm" }, target.why.clone()));
        if let Some(words) = &target.words {
            steps.push(step("warn", format!("The destination said: {words}")));
        }
        let (state, tone) = match (target.present, target.wanted) {
            (true, true) => ("there", "ok"),
            (true, false) => ("to be taken back", "warn"),
            (false, true) => ("to be sent", "cold"),
            (false, false) => ("not there", "calm"),
        };
        TargetWhy {
            name: target.target.clone(),
            present: target.present,
            state: state.to_owned(),
            tone,
            answer: target.answer.clone(),
            steps,
        }
    };
    why.targets.iter().map(chain).collect()
}

pub(super) async fn do_verdict(
    visit: Visit,
    Path((kind, value)): Path<(String, String)>,
    Sent(form): Sent,
) -> Result<Response, Problem> {
    let kind = kind_of(&kind)?;
    let verdict = verdict_of(form.some("verdict"), form.some("until"))?;
    visit
        .act(move |app, caller| {
            app.engine()?.verdict(&value, Some(kind), verdict, &caller.name)?;
            app.hurry();
            Ok(format!("{}?done=judged", link_to(kind.as_str(), &value)))
        })
        .await
}

pub(super) async fn do_note(
    visit: Visit,
    Path((kind, value)): Path<(String, String)>,
    Sent(form): Sent,
) -> Result<Response, Problem> {
    let kind = kind_of(&kind)?;
    visit
        .act(move |app, caller| {
            let words = |name: &str| {
                form.get(name)
                    .split(',')
                    .map(|tag| tag.trim().to_owned())
                    .filter(|tag| !tag.is_empty())
                    .collect::<Vec<_>>()
            };
            let (add, remove) = (words("add"), words("remove"));
            app.engine()?.annotate(&value, Some(kind), &caller.name, |analyst| {
                analyst.muted = form.some("muted").is_some();
                for tag in &add {
                    analyst.tags_removed.remove(tag);
                    analyst.tags_added.insert(tag.clone());
                }
                for tag in &remove {
                    analyst.tags_added.remove(tag);
                    analyst.tags_removed.insert(tag.clone());
                }
                // The field comes with what was said: an empty one takes it away.
                analyst.comment = form.some("comment").map(str::to_owned);
            })?;
            app.hurry();
            Ok(format!("{}?done=annotated", link_to(kind.as_str(), &value)))
        })
        .await
}
