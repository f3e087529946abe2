//! One indicator: what it is held to be, what each source says side by side, its history, where it is, and why.

use super::grid::{link_to, reputation};
use super::shell::{Section, Shell};
use super::show::{Markup, When, defanged, n, part};
use super::{Fields, Sent, Visit};
use crate::api::Problem;
use crate::api::indicators::verdict_of;
use crate::app::App;
use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use engine::{Delivery, Hit, PastWord, Record, WhyReport};
use intel::{Analyst, IndicatorKey, IndicatorKind};

/// A longer value is shown smaller, and in a box that can be scrolled.
const LONG_BYTES: usize = 200;

#[derive(Template)]
#[template(path = "indicator.html")]
struct IndicatorPage {
    shell: Shell,
    value: String,
    address: String,
    why: WhyReport,
    hit: Option<Hit>,
    /// Longer than what fits into a heading.
    is_long: bool,
    /// What an analyst says: comment, verdict, and the day it ends.
    comment: String,
    /// Tags that people took away.
    tags_removed: Vec<String>,
    /// Who said the last of it, and when.
    said: Option<(String, When)>,
    /// It was added by hand, and not taken back.
    is_ours: bool,
    verdict: String,
    until: String,
    bar: Markup,
    times: Vec<(&'static str, Option<When>)>,
    past: Vec<PastWord>,
    records: Vec<Record>,
    sightings: Vec<Sighting>,
    deliveries: Vec<Delivered>,
    targets: Vec<TargetWhy>,
}

/// What one source has seen of it.
struct Sighting {
    source: String,
    own: String,
    others: String,
    first: Option<When>,
    last: Option<When>,
}

/// Where it was put.
struct Delivered {
    line: Delivery,
    tone: &'static str,
    link: String,
    first: Option<When>,
    updated: Option<When>,
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
    details: Vec<Clause>,
}

/// One line below a step: a clause of a rule, or words.
struct Clause {
    /// Whether it holds; None: these are words.
    holds: Option<bool>,
    /// The answer of the whole follows from it.
    decides: bool,
    /// How deep it stands in the rule, from 0 to 4.
    depth: usize,
    text: String,
}

impl Clause {
    fn words(text: String) -> Clause {
        Clause { holds: None, decides: false, depth: 0, text }
    }

    /// A line as an explanation writes it: a mark where it decides, the answer, and the clause, further in by its depth.
    fn of(line: &str) -> Clause {
        let (decides, rest) = match line.strip_prefix("* ") {
            Some(rest) => (true, rest),
            None => (false, line.strip_prefix("  ").unwrap_or(line)),
        };
        let (holds, rest) = match (rest.strip_prefix("yes "), rest.strip_prefix("no  ")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Clause::words(line.to_owned()),
        };
        let text = rest.trim_start();
        let depth = ((rest.len() - text.len()) / 2).min(4);
        Clause { holds: Some(holds), decides, depth, text: text.to_owned() }
    }
}

impl IndicatorPage {
    /// A reference as it may be shown: nothing that can be followed.
    fn plain(&self, link: &str) -> String {
        defanged("url", link)
    }

    /// The value as its source wrote it, but defanged.
    fn as_written(&self, raw: &str) -> String {
        defanged(&self.why.kind, raw)
    }
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
    let analyst: Analyst = analyst.unwrap_or_default();
    let records = if why.known { engine.records(value, Some(kind))? } else { Vec::new() };
    let deliveries = if why.known { engine.deliveries_of(value, Some(kind))? } else { Vec::new() };
    let said = IndicatorKey::parse(Some(kind), &why.value).ok().and_then(|key| engine.known().index.id(&key));
    let said = said.map(|id| engine.store().said_by(id)).transpose()?.flatten();
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
        is_long: why.value.len() > LONG_BYTES,
        tags_removed: analyst.tags_removed.iter().cloned().collect(),
        said: said.map(|(who, at)| (who, When::at(at, now))),
        is_ours: records.iter().any(|record| record.source == "manual" && !record.retracted),
        sightings: records
            .iter()
            .filter(|record| record.internal_hits > 0 || record.external_hits > 0)
            .map(|record| Sighting {
                source: record.source.clone(),
                own: n(record.internal_hits.into()),
                others: n(record.external_hits.into()),
                first: When::maybe(record.first_seen.as_deref(), now),
                last: When::maybe(record.last_seen.as_deref(), now),
            })
            .collect(),
        deliveries: deliveries
            .into_iter()
            .map(|line| Delivered {
                tone: match line.state {
                    "present" => "ok",
                    "refused" => "bad",
                    "pending" | "retracting" => "cold",
                    "unknown" => "warn",
                    _ => "calm",
                },
                link: format!("/activity/deliveries?target={}", part(&line.target)),
                first: When::of(&line.first_intent, now),
                updated: When::of(&line.updated, now),
                line,
            })
            .collect(),
        records,
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
                "source" => "gets nothing: the source says nothing of it that counts",
                "rule" => "does not select it",
                "exception" => "selects it, and an exception removes it",
                "tlp" => "selects it, but its marking is above the ceiling",
                "muted" => "is paused",
                other => other,
            };
            let tone = if sharing.decided == "selected" { "ok" } else { "bad" };
            let of = if sharing.source == "any" { "any source".to_owned() } else { sharing.source.clone() };
            let mut made = step(tone, format!("Rule {} ({of}) {decided}", sharing.rule));
            made.details.extend(sharing.clauses.iter().map(|line| Clause::of(line)));
            made.details.extend(sharing.exception.iter().map(|name| Clause::words(format!("exception: {name}"))));
            if sharing.decided == "tlp" {
                made.details.push(Clause::words(format!("ceiling: {}", sharing.max_tlp)));
            }
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
            made.details.extend(plan.waits.clone().map(Clause::words));
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
            let (add, remove) = tags_of(&form);
            app.engine()?.annotate(&value, Some(kind), &caller.name, |analyst| {
                put_tags(analyst, &add, &remove);
                // The field comes with what was said: an empty one takes it away.
                analyst.comment = form.some("comment").map(str::to_owned);
            })?;
            app.hurry();
            Ok(format!("{}?done=annotated", link_to(kind.as_str(), &value)))
        })
        .await
}

/// Tags a form adds, and tags it takes away.
fn tags_of(form: &Fields) -> (Vec<String>, Vec<String>) {
    let all = |name: &str| form.all(name).iter().flat_map(|text| super::adding::words(text)).collect();
    (all("add"), all("remove"))
}

fn put_tags(analyst: &mut Analyst, add: &[String], remove: &[String]) {
    for tag in add {
        analyst.tags_removed.remove(tag);
        analyst.tags_added.insert(tag.clone());
    }
    for tag in remove {
        analyst.tags_added.remove(tag);
        analyst.tags_removed.insert(tag.clone());
    }
}

pub(super) async fn do_tags(
    visit: Visit,
    Path((kind, value)): Path<(String, String)>,
    Sent(form): Sent,
) -> Result<Response, Problem> {
    let kind = kind_of(&kind)?;
    visit
        .act(move |app, caller| {
            let (add, remove) = tags_of(&form);
            if add.is_empty() && remove.is_empty() {
                return Err(Problem::invalid("say which tag"));
            }
            app.engine()?.annotate(&value, Some(kind), &caller.name, |analyst| put_tags(analyst, &add, &remove))?;
            app.hurry();
            Ok(format!("{}?done=tagged", link_to(kind.as_str(), &value)))
        })
        .await
}

pub(super) async fn do_mute(
    visit: Visit,
    Path((kind, value)): Path<(String, String)>,
    Sent(form): Sent,
) -> Result<Response, Problem> {
    let kind = kind_of(&kind)?;
    let mute = match form.get("muted") {
        "1" => true,
        "0" => false,
        _ => return Err(Problem::invalid("say whether it is muted")),
    };
    visit
        .act(move |app, caller| {
            app.engine()?.annotate(&value, Some(kind), &caller.name, |analyst| analyst.muted = mute)?;
            app.hurry();
            let done = if mute { "muted" } else { "unmuted" };
            Ok(format!("{}?done={done}", link_to(kind.as_str(), &value)))
        })
        .await
}

pub(super) async fn do_retract(visit: Visit, Path((kind, value)): Path<(String, String)>) -> Result<Response, Problem> {
    let kind = kind_of(&kind)?;
    visit
        .act(move |app, caller| {
            let values = [(value.clone(), Some(kind))];
            let done = app.engine()?.retract(&values, Some("manual"), &caller.name)?;
            app.hurry();
            match done.into_iter().next().and_then(|one| one.error) {
                Some(error) => Err(Problem::invalid(error)),
                None => Ok(format!("{}?done=retracted", link_to(kind.as_str(), &value))),
            }
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clauses_are_read_as_they_are_written() {
        for (line, holds, decides, depth, text) in [
            ("* yes kind = url", Some(true), true, 0, "kind = url"),
            ("  no    reputation >= 8   [5]", Some(false), false, 1, "reputation >= 8   [5]"),
            ("* no              tag = \"x\"", Some(false), true, 4, "tag = \"x\""),
            ("an exception", None, false, 0, "an exception"),
        ] {
            let read = Clause::of(line);
            assert_eq!(
                (read.holds, read.decides, read.depth, read.text.as_str()),
                (holds, decides, depth, text),
                "{line}"
            );
        }
    }
}
