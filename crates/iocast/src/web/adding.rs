//! Indicators that a person adds: values by hand, one a line, and what a pasted report holds. What is found in a report
//! is shown first, with what the guard and what is known say of it; what stays ticked is added.

use super::shell::{Section, Shell};
use super::show::{counted, defanged, n};
use super::{Fields, Sent, Visit};
use crate::api::Problem;
use crate::api::import::{self, Candidate, ExtractAnswer, ExtractBody};
use crate::api::observations::{Item, ItemOp};
use crate::app::App;
use askama::Template;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use engine::Added;
use intel::{IndicatorKey, IndicatorKind, Observation, Timestamp, Tlp};
use std::collections::HashSet;

/// Most lines added at once by hand; more belong into a feed.
const MOST_LINES: usize = 10_000;
/// Most indicators of a report that are shown to be ticked.
const MOST_SHOWN: usize = 2_000;
/// Most words about rejected rows on a page.
const MOST_REJECTS: usize = 50;
/// Formats a report can be read as, and what they are called.
const FORMATS: [(&str, &str); 9] = [
    ("", "Find out"),
    ("extract", "Prose, Markdown"),
    ("html", "Web page"),
    ("text", "List, one a line"),
    ("csv", "Table (CSV)"),
    ("stix", "STIX 2"),
    ("stix1", "STIX 1"),
    ("misp", "MISP"),
    ("openioc", "OpenIOC"),
];

/// Words with commas or lines between.
pub(super) fn words(text: &str) -> Vec<String> {
    text.split([',', '\n']).map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// What is said of all of them.
#[derive(Clone, Default)]
struct Common {
    reputation: String,
    tlp: String,
    tags: String,
    comment: String,
    until: String,
}

/// The same, read.
#[derive(Clone, Default)]
struct Said {
    reputation: Option<i64>,
    tlp: Option<Tlp>,
    tags: Vec<String>,
    comment: Option<String>,
    expires_at: Option<Timestamp>,
}

impl Common {
    fn of(form: &Fields) -> Common {
        let text = |name: &str| form.get(name).to_owned();
        Common {
            reputation: text("reputation"),
            tlp: text("tlp"),
            tags: text("tags"),
            comment: text("comment"),
            until: text("until"),
        }
    }

    fn read(&self, now: Timestamp) -> Result<Said, Problem> {
        let reputation = match self.reputation.as_str() {
            "" => None,
            text => Some(
                text.parse()
                    .ok()
                    .filter(|level| (1..=10).contains(level))
                    .ok_or_else(|| Problem::invalid("the reputation is a whole number from 1 to 10"))?,
            ),
        };
        let tlp = match self.tlp.as_str() {
            "" => None,
            text => Some(Tlp::parse(text).ok_or_else(|| Problem::invalid("this is no marking"))?),
        };
        let expires_at = match self.until.as_str() {
            "" => None,
            text => {
                let until = Timestamp::parse(text)
                    .ok_or_else(|| Problem::invalid("\"valid until\" is a date, such as 2027-01-31"))?;
                if until <= now {
                    return Err(Problem::invalid("\"valid until\" lies ahead: what is over already need not be added"));
                }
                Some(until)
            }
        };
        let comment = Some(self.comment.clone()).filter(|comment| !comment.is_empty());
        Ok(Said { reputation, tlp, tags: words(&self.tags), comment, expires_at })
    }

    fn markings() -> Vec<&'static str> {
        Tlp::ALL.iter().map(|tlp| tlp.as_str()).collect()
    }
}

impl Said {
    /// Says it of a row, where the row does not say it itself. Tags come to its own.
    fn put(&self, row: &mut Observation) {
        row.reputation = row.reputation.or(self.reputation);
        row.tlp = row.tlp.or(self.tlp);
        row.expires_at = row.expires_at.or(self.expires_at);
        if row.comment.is_none() {
            row.comment.clone_from(&self.comment);
        }
        for tag in &self.tags {
            if !row.tags.contains(tag) {
                row.tags.push(tag.clone());
            }
        }
    }
}

#[derive(Template)]
#[template(path = "add.html")]
struct AddPage {
    shell: Shell,
    values: String,
    kind: String,
    kinds: Vec<&'static str>,
    common: Common,
    markings: Vec<&'static str>,
    mistake: Option<String>,
    most: String,
}

#[derive(Template)]
#[template(path = "added.html")]
struct AddedPage {
    shell: Shell,
    again: &'static str,
    read: String,
    new: String,
    changed: String,
    unchanged: String,
    rejected: String,
    run: u64,
    added: Vec<(String, String, String)>,
    rejects: Vec<(String, String)>,
    rest: u64,
}

#[derive(Template)]
#[template(path = "paste.html")]
struct PastePage {
    shell: Shell,
    text: String,
    format: String,
    formats: [(&'static str, &'static str); 9],
    common: Common,
    markings: Vec<&'static str>,
    mistake: Option<String>,
}

/// What was found in a report, to be ticked.
#[derive(Template)]
#[template(path = "found.html")]
struct FoundPage {
    shell: Shell,
    answer: ExtractAnswer,
    rows: Vec<Found>,
    /// What became of the candidates, in a sentence.
    words: String,
    common: Common,
    markings: Vec<&'static str>,
    n_ticked: usize,
    n_hidden: u64,
    mistake: Option<String>,
}

struct Found {
    kind: String,
    value: String,
    /// As it stood in the text, where that is something else.
    written: Option<String>,
    link: String,
    times: u64,
    /// What is known of it: tone and words.
    known: (&'static str, String),
    guard: Option<String>,
    says: String,
    ticked: bool,
    /// Why it cannot be added.
    barred: Option<&'static str>,
    /// The row as it is sent back.
    item: String,
}

/// Renders a page by hand, where its status depends on what went wrong.
fn answer<T: Template>(status: StatusCode, page: &T) -> Result<(StatusCode, String), Problem> {
    Ok((status, page.render().map_err(|error| Problem::internal(error.to_string()))?))
}

/// Makes a page, or the one that says what is wrong.
async fn shown(
    visit: Visit,
    title: &'static str,
    work: impl FnOnce(&App, Shell, &str) -> Result<(StatusCode, String), Problem> + Send + 'static,
) -> Result<Response, Problem> {
    let Visit { app, seat, theme, uri } = visit;
    let here = uri.path().to_owned();
    let (status, html) = app
        .hop(move |app| {
            let shell = Shell::of(app, &seat, title.to_owned(), Section::Indicators, theme, here)?;
            work(app, shell, &seat.caller.name)
        })
        .await?;
    Ok((status, Html(html)).into_response())
}

fn add_page(shell: Shell, form: &Fields, mistake: Option<String>) -> AddPage {
    AddPage {
        shell,
        values: form.get("values").to_owned(),
        kind: form.get("kind").to_owned(),
        kinds: IndicatorKind::ALL.iter().map(|kind| kind.as_str()).collect(),
        common: Common::of(form),
        markings: Common::markings(),
        mistake,
        most: n(MOST_LINES as u64),
    }
}

pub(super) async fn add(visit: Visit, fields: Fields) -> Result<Response, Problem> {
    visit.page("Add indicators", Section::Indicators, move |_, shell| Ok(add_page(shell, &fields, None))).await
}

/// What the lines of a form say.
fn lines_of(form: &Fields, now: Timestamp) -> Result<Vec<Observation>, Problem> {
    let said = Common::of(form).read(now)?;
    let kind = crate::api::indicators::kind_of(form.some("kind"))?;
    let is_value = |line: &&str| !line.is_empty() && !line.starts_with('#');
    let lines: Vec<&str> = form.get("values").lines().map(str::trim).filter(is_value).collect();
    match lines.len() {
        0 => return Err(Problem::invalid("there is no value: write at least one, each on a line of its own")),
        n if n > MOST_LINES => {
            return Err(Problem::invalid(format!("at most {MOST_LINES} lines at once; more belong into a feed")));
        }
        _ => {}
    }
    let row = |line: &&str| {
        let mut row = Observation::new((*line).to_owned());
        row.kind = kind;
        said.put(&mut row);
        row
    };
    Ok(lines.iter().map(row).collect())
}

pub(super) async fn do_add(visit: Visit, Sent(form): Sent) -> Result<Response, Problem> {
    shown(visit, "Add indicators", move |app, shell, who| match lines_of(&form, app.now()) {
        Ok(rows) => save(app, shell, who, rows, Vec::new(), "/indicators/add"),
        Err(problem) => {
            let page = add_page(shell, &form, Some(problem.detail().to_owned()));
            answer(problem.status(), &page)
        }
    })
    .await
}

/// Adds them, and says what became of each. `unread` could not even be read.
fn save(
    app: &App,
    shell: Shell,
    who: &str,
    rows: Vec<Observation>,
    unread: Vec<(String, String)>,
    again: &'static str,
) -> Result<(StatusCode, String), Problem> {
    let written: Vec<String> = rows.iter().map(|row| row.value.clone()).collect();
    let Added { report, keys } = app.engine()?.add_observations(rows, who)?;
    app.hurry();
    let clip = |text: &str| text.chars().take(120).collect::<String>();
    let mut rejects: Vec<(String, String)> = unread.into_iter().map(|(text, why)| (clip(&text), why)).collect();
    let n_unread = rejects.len() as u64;
    let mut added: Vec<(String, String, String)> = Vec::new();
    let mut seen = HashSet::new();
    for (key, text) in keys.iter().zip(&written) {
        match key {
            Ok(key) if seen.insert(key) => added.push(shown_key(key)),
            Ok(_) => {}
            Err(why) => rejects.push((clip(text), why.clone())),
        }
    }
    let rest = added.len().saturating_sub(MOST_REJECTS) as u64;
    added.truncate(MOST_REJECTS);
    rejects.truncate(MOST_REJECTS);
    let page = AddedPage {
        shell,
        again,
        read: n(report.read + n_unread),
        new: n(report.new),
        changed: n(report.changed),
        unchanged: n(report.unchanged),
        rejected: n(report.rejected + n_unread),
        run: report.run,
        added,
        rejects,
        rest,
    };
    answer(StatusCode::OK, &page)
}

fn shown_key(key: &IndicatorKey) -> (String, String, String) {
    let kind = key.kind().as_str();
    (kind.to_owned(), defanged(kind, key.value()), super::grid::link_to(kind, key.value()))
}

fn paste_page(shell: Shell, form: &Fields, mistake: Option<String>) -> PastePage {
    PastePage {
        shell,
        text: form.get("text").to_owned(),
        format: form.get("format").to_owned(),
        formats: FORMATS,
        common: Common::of(form),
        markings: Common::markings(),
        mistake,
    }
}

pub(super) async fn paste(visit: Visit, fields: Fields) -> Result<Response, Problem> {
    visit.page("Paste a report", Section::Indicators, move |_, shell| Ok(paste_page(shell, &fields, None))).await
}

pub(super) async fn do_paste(visit: Visit, Sent(form): Sent) -> Result<Response, Problem> {
    shown(visit, "Paste a report", move |app, shell, _| {
        let found = (|| {
            Common::of(&form).read(app.now())?;
            if form.get("text").is_empty() {
                return Err(Problem::invalid("there is no text: paste the report, or a part of it"));
            }
            let body = ExtractBody {
                text: form.get("text").to_owned(),
                format: form.some("format").map(str::to_owned),
                name: None,
            };
            import::look(app.engine()?, &body)
        })();
        match found {
            Ok(found) => answer(StatusCode::OK, &found_page(app, shell, found, Common::of(&form), None)?),
            Err(problem) if problem.status().is_client_error() => {
                let page = paste_page(shell, &form, Some(problem.detail().to_owned()));
                answer(problem.status(), &page)
            }
            Err(problem) => Err(problem),
        }
    })
    .await
}

fn found_page(
    app: &App,
    shell: Shell,
    mut answer: ExtractAnswer,
    common: Common,
    mistake: Option<String>,
) -> Result<FoundPage, Problem> {
    let items = std::mem::take(&mut answer.items);
    let n_hidden = items.len().saturating_sub(MOST_SHOWN) as u64;
    let rows =
        items.into_iter().take(MOST_SHOWN).map(|one| found(app, one)).collect::<Result<Vec<Found>, Problem>>()?;
    let format = FORMATS.iter().find(|(name, _)| *name == answer.format).map_or("rows", |(_, label)| label);
    let words = format!(
        "Read as {}: {} {} {}, {} and {}.",
        format.to_lowercase().replace("(csv)", "(CSV)").replace("stix", "STIX").replace("misp", "MISP"),
        counted(answer.read, "candidate"),
        if answer.read == 1 { "is" } else { "are" },
        counted(answer.found, "indicator"),
        counted(answer.repeated, "repeated mention"),
        if answer.rejected == 0 {
            "nothing that is none".to_owned()
        } else {
            format!("{} that are none", n(answer.rejected))
        },
    );
    Ok(FoundPage {
        words,
        n_ticked: rows.iter().filter(|row| row.ticked).count(),
        rows,
        n_hidden,
        common,
        markings: Common::markings(),
        answer,
        mistake,
        shell,
    })
}

/// One candidate. What is new and harmless to share is ticked; what the guard, a verdict or the report itself speaks
/// against is left to the person.
fn found(app: &App, one: Candidate) -> Result<Found, Problem> {
    let kind = one.item.kind.clone().unwrap_or_default();
    let hit = if one.known { app.engine()?.get(&one.item.value, IndicatorKind::from_name(&kind)) } else { None };
    let verdict = hit.as_ref().and_then(|hit| hit.verdict.clone());
    let known = match (&hit, verdict.as_deref()) {
        (_, Some(verdict)) => {
            let tone = if verdict.starts_with("malicious") { "bad" } else { "ok" };
            (tone, verdict.replace('_', " "))
        }
        (Some(hit), None) if hit.active => ("calm", format!("known, {} of 10", hit.reputation)),
        (Some(_), None) => ("calm", "known, not active".to_owned()),
        (None, None) => ("cold", "new".to_owned()),
    };
    let barred = (one.item.op == ItemOp::Retract).then_some("the report takes it back");
    let speaks_against = verdict.is_some_and(|verdict| !verdict.starts_with("malicious"));
    let mut says: Vec<String> = Vec::new();
    says.extend(one.item.reputation.map(|level| format!("reputation {level}")));
    says.extend(one.item.confidence.map(|level| format!("confidence {level}")));
    says.extend(one.item.tlp.as_ref().map(|tlp| format!("TLP {tlp}")));
    says.extend(one.item.tags.iter().take(4).cloned());
    Ok(Found {
        value: defanged(&kind, &one.item.value),
        link: super::grid::link_to(&kind, &one.item.value),
        written: (one.written != one.item.value).then(|| one.written.chars().take(200).collect()),
        times: one.times,
        ticked: one.guarded.is_none() && !speaks_against && barred.is_none(),
        known,
        guard: one.guarded,
        says: says.join(", "),
        barred,
        item: serde_json::to_string(&one.item).unwrap_or_default(),
        kind,
    })
}

pub(super) async fn do_save(visit: Visit, Sent(form): Sent) -> Result<Response, Problem> {
    shown(visit, "Paste a report", move |app, shell, who| {
        let said = match Common::of(&form).read(app.now()) {
            Ok(said) => said,
            Err(problem) => {
                // What was ticked is in the browser: going back shows it as it was.
                return Err(problem);
            }
        };
        let items = form.all("item");
        if items.is_empty() {
            return Err(Problem::invalid("nothing is ticked: go back and tick what is to be added"));
        }
        if items.len() > MOST_SHOWN {
            return Err(Problem::invalid(format!("at most {MOST_SHOWN} indicators of a report at once")));
        }
        let (mut rows, mut unread) = (Vec::with_capacity(items.len()), Vec::new());
        for text in items {
            let read = serde_json::from_str::<Item>(&text).map_err(|error| error.to_string()).and_then(Item::read);
            match read {
                Ok(push) if push.op == engine::Op::Upsert => {
                    let mut row = push.observation;
                    said.put(&mut row);
                    rows.push(row);
                }
                Ok(_) => unread.push((text, "the report takes it back".to_owned())),
                Err(why) => unread.push((text, why)),
            }
        }
        save(app, shell, who, rows, unread, "/indicators/paste")
    })
    .await
}
