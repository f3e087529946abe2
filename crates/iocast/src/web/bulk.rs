//! What is done to many indicators at once: those that are ticked, or all that a filter finds. First what would follow,
//! then the act, which is done to exactly the indicators that were shown.

use super::shell::{Section, Shell};
use super::show::{counted, defanged, n, part};
use super::{Fields, Sent, Visit};
use crate::api::{self, Problem};
use crate::app::App;
use askama::Template;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use engine::{Act, BULK_MOST, Many, ManyShown};
use intel::IndicatorKind;

/// Name of the act, what it is called, and what it means.
const ACTS: [(&str, &str, &str); 6] = [
    ("tag", "Tag", "The tags stand beside those of sources."),
    ("untag", "Take tags away", "The tags do not stand, whoever says them."),
    ("mute", "Mute", "Nothing new of it is shared. What is at targets stays."),
    ("unmute", "Unmute", "Rules select it again."),
    ("verdict", "Verdict", "What you hold it to be counts more than what sources say."),
    ("retract", "Retract", "What was added by hand is taken back. The words of other sources stay."),
];

#[derive(Template)]
#[template(path = "bulk.html")]
struct BulkPage {
    shell: Shell,
    /// What the forms carry on: which indicators.
    carried: Vec<(String, String)>,
    /// The same and the act, for the form that does it.
    frozen: Vec<(String, String)>,
    query: Option<String>,
    back: String,
    acts: [(&'static str, &'static str, &'static str); 6],
    act: String,
    tags: String,
    verdict: String,
    until: String,
    mistake: Option<String>,
    shown: Option<Shown>,
    /// An act was chosen that can be done, and what it would do is known.
    is_told: bool,
    /// It would do something.
    is_ready: bool,
    most: String,
}

struct Shown {
    many: ManyShown,
    chosen: String,
    changes: String,
    unchanged: String,
    ends: String,
    begins: String,
    kinds: Vec<(String, String)>,
    values: Vec<String>,
    /// How many more there are; empty: none.
    rest: String,
    targets: Vec<At>,
    button: String,
}

/// What follows at one target.
struct At {
    target: String,
    link: String,
    present: String,
    leaves: String,
    then: &'static str,
    is_bad: bool,
}

/// Which indicators a form means.
fn many_of(form: &Fields) -> Result<Many, Problem> {
    if form.get("scope") == "found" {
        return Ok(Many::Found { text: form.get("q").to_owned(), all: form.some("all").is_some() });
    }
    let one = |text: &String| -> Result<(String, Option<IndicatorKind>), Problem> {
        let (kind, value) = text.split_once(' ').ok_or_else(|| Problem::invalid("a ticked row cannot be read"))?;
        let kind = IndicatorKind::from_name(kind).ok_or_else(|| Problem::invalid("a ticked row cannot be read"))?;
        Ok((value.to_owned(), Some(kind)))
    };
    let picks = form.all("pick");
    if picks.is_empty() {
        return Err(Problem::invalid("no row is ticked: tick some, or change all that the filter finds"));
    }
    picks.iter().map(one).collect::<Result<_, _>>().map(Many::These)
}

/// What is to be done; None: that is yet to be said.
fn act_of(form: &Fields) -> Result<Option<Act>, Problem> {
    match form.get("act") {
        "" => Ok(None),
        act => {
            let tags = super::adding::words(form.get("tags"));
            api::bulk::act_of(act, tags, form.some("verdict"), form.some("until")).map(Some)
        }
    }
}

/// What is done, on the button that does it.
fn button(act: &Act, changes: u64) -> String {
    let them = counted(changes, "indicator");
    match act {
        Act::Tag(_) => format!("Tag {them}"),
        Act::Untag(_) => format!("Take the tags from {them}"),
        Act::Mute => format!("Mute {them}"),
        Act::Unmute => format!("Unmute {them}"),
        Act::Verdict(None) => format!("Take the verdict on {them} back"),
        Act::Verdict(Some(verdict)) => format!("Hold {them} to be {}", verdict.kind.as_str().replace('_', " ")),
        Act::Retract => format!("Retract {them}"),
    }
}

fn make(app: &App, shell: Shell, form: &Fields, problem: Option<&Problem>) -> Result<BulkPage, Problem> {
    let mut mistake = problem.map(|problem| problem.detail().to_owned());
    let mut note = |problem: Problem| match problem.status().is_client_error() {
        true => {
            mistake.get_or_insert(problem.detail().to_owned());
            Ok(())
        }
        false => Err(problem),
    };
    let mut act = None;
    match act_of(form) {
        Ok(read) => act = read,
        Err(problem) => note(problem)?,
    }
    let mut shown = None;
    match many_of(form) {
        Ok(many) => {
            let engine = app.engine()?;
            match engine.many_shown(&many, act.as_ref()) {
                Ok(many) => shown = Some(many),
                Err(error) => {
                    note(error.into())?;
                    act = None;
                    match engine.many_shown(&many, None) {
                        Ok(many) => shown = Some(many),
                        Err(error) => note(error.into())?,
                    }
                }
            }
        }
        Err(problem) => note(problem)?,
    }
    let is_of_scope = |name: &str| matches!(name, "scope" | "q" | "all" | "pick");
    let carried: Vec<(String, String)> =
        form.0.iter().filter(|(name, value)| is_of_scope(name) && !value.is_empty()).cloned().collect();
    let mut frozen = carried.clone();
    for name in ["act", "tags", "verdict", "until"] {
        frozen.extend(form.some(name).map(|value| (name.to_owned(), value.to_owned())));
    }
    if let Some(many) = &shown {
        frozen.push(("seen".to_owned(), many.mark.clone()));
    }
    let is_found = form.get("scope") == "found";
    let all = if form.some("all").is_some() { "&all=1" } else { "" };
    Ok(BulkPage {
        query: is_found.then(|| form.get("q").to_owned()),
        back: format!("/indicators?q={}{all}", part(form.get("q"))),
        acts: ACTS,
        act: form.get("act").to_owned(),
        tags: form.get("tags").to_owned(),
        verdict: form.get("verdict").to_owned(),
        until: form.get("until").to_owned(),
        is_told: act.is_some() && shown.is_some(),
        is_ready: act.is_some() && shown.as_ref().is_some_and(|many| many.changes > 0),
        shown: shown.map(|many| Shown {
            chosen: n(many.chosen),
            changes: n(many.changes),
            unchanged: n(many.unchanged),
            ends: n(many.ends),
            begins: n(many.begins),
            kinds: many.kinds.iter().map(|(kind, count)| (kind.clone(), n(*count))).collect(),
            values: many.some.iter().map(|hit| defanged(&hit.kind, &hit.value)).collect(),
            rest: match many.chosen.saturating_sub(many.some.len() as u64) {
                0 => String::new(),
                rest => n(rest),
            },
            targets: many
                .targets
                .iter()
                .map(|at| At {
                    link: format!("/activity/deliveries?target={}", part(&at.target)),
                    target: at.target.clone(),
                    present: n(at.present),
                    leaves: n(at.leaves),
                    then: match (&act, at.leaves) {
                        (_, 1..) => "The next pass takes them back, within its budget.",
                        (Some(Act::Tag(_) | Act::Untag(_)), _) => "Rules that look at tags may decide otherwise.",
                        (Some(Act::Mute), _) => "They stay; nothing new of them is sent.",
                        _ => "They stay.",
                    },
                    is_bad: at.leaves > 0,
                })
                .collect(),
            button: act.as_ref().map_or_else(String::new, |act| button(act, many.changes)),
            many,
        }),
        most: n(BULK_MOST as u64),
        mistake,
        carried,
        frozen,
        shell,
    })
}

impl BulkPage {
    fn is_act(&self, name: &str) -> bool {
        self.act == name
    }
}

pub(super) async fn bulk(visit: Visit, Sent(form): Sent) -> Result<Response, Problem> {
    visit.page("Change many", Section::Indicators, move |app, shell| make(app, shell, &form, None)).await
}

pub(super) async fn do_bulk(visit: Visit, Sent(form): Sent) -> Result<Response, Problem> {
    let Visit { app, seat, theme, .. } = visit;
    let done = app
        .hop(move |app| {
            let worked = (|| {
                let many = many_of(&form)?;
                let act = act_of(&form)?.ok_or_else(|| Problem::invalid("say what is to be done"))?;
                let done = app.engine()?.act_on_many(&many, &act, form.get("seen"), &seat.caller.name);
                // What was done before something failed stands, and targets follow.
                app.hurry();
                Ok(done?)
            })();
            match worked {
                Ok(done) => Ok(Ok(format!("/activity/runs/{}?done=changed-many", done.run))),
                Err(problem) if problem_is_theirs(&problem) => {
                    let status = problem.status();
                    let title = "Change many".to_owned();
                    let shell = Shell::of(app, &seat, title, Section::Indicators, theme, "/indicators".to_owned())?;
                    let page = make(app, shell, &form, Some(&problem))?;
                    let html = page.render().map_err(|error| Problem::internal(error.to_string()))?;
                    Ok(Err((status, html)))
                }
                Err(problem) => Err(problem),
            }
        })
        .await?;
    Ok(match done {
        Ok(to) => Redirect::to(&to).into_response(),
        Err((status, html)) => (status, Html(html)).into_response(),
    })
}

fn problem_is_theirs(problem: &Problem) -> bool {
    matches!(problem.status(), StatusCode::BAD_REQUEST | StatusCode::CONFLICT)
}
