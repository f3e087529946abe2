//! What is never sent: the lists, what they say of a value, and the exceptions from them.

use super::fields::Form;
use super::settings::done;
use super::shell::{Section, Shell};
use super::show::{self, When, counted, defanged, n};
use super::things::{Screen, lines, name_of, one_of, text, tick};
use super::{Fields, Sent, Visit};
use crate::api::Problem;
use crate::api::exceptions::{self, Asked};
use crate::app::App;
use crate::app::things::{GuardExceptions, GuardLists, NothingToSay, tag_of};
use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use engine::GuardAnswer;
use engine::config::GuardExceptionDoc;
use engine::guards::GuardListInForce;
use intel::Timestamp;
use serde_json::Value;

const LISTS: &str = "/settings/guard";
const EXCEPTIONS: &str = "/settings/exceptions";
/// Values shown of a list on its page.
const VALUES: usize = 500;

struct ListRow {
    list: GuardListInForce,
    tone: &'static str,
    values: String,
    href: String,
    /// Where it is changed; None: it is made of something else.
    edit: Option<String>,
}

/// What the guard says of a value, in words.
struct Tested {
    shown: String,
    kind: &'static str,
    verdict: String,
    tone: &'static str,
    findings: Vec<(&'static str, &'static str, String, String)>,
    exception: Option<String>,
    /// Where an exception is asked for.
    ask: Option<String>,
}

#[derive(Template)]
#[template(path = "guard.html")]
struct GuardPage {
    shell: Shell,
    value: String,
    target: String,
    targets: Vec<String>,
    tested: Option<Tested>,
    mistake: Option<String>,
    rows: Vec<ListRow>,
}

#[derive(Template)]
#[template(path = "guard_list.html")]
struct ListPage {
    shell: Shell,
    row: ListRow,
    q: String,
    values: Vec<String>,
    found: String,
    is_cut: bool,
    /// What cannot be used of it.
    rejected: String,
}

fn list_row(list: GuardListInForce, configured: &[String]) -> ListRow {
    let name = list.name.clone();
    let key = format!("/settings/guard/list?key={}", show::part(&name));
    let edit = match list.origin {
        _ if configured.contains(&name) => Some(key),
        "shipped" => Some(format!("/settings/guard/list?list={}", show::part(&name))),
        // A folder of warning lists is one document.
        "warning list" => name
            .split('/')
            .next()
            .filter(|first| configured.iter().any(|one| one == first))
            .map(|first| format!("/settings/guard/list?key={}", show::part(first))),
        _ => None,
    };
    let tone = match list.class {
        "lifeline" => "bad",
        "popular" => "warn",
        "warn" => "cold",
        _ => "calm",
    };
    ListRow { tone, values: n(list.values), href: format!("{LISTS}/lists/{}", show::part(&name)), edit, list }
}

fn configured(app: &App) -> Result<Vec<String>, Problem> {
    Ok(app.things::<GuardLists>()?.into_iter().map(|doc| doc.name).collect())
}

fn targets(app: &App) -> Result<Vec<String>, Problem> {
    Ok(app.engine()?.config().targets.values().map(|target| target.doc.name.clone()).collect())
}

const fn relation(word: &'static str) -> &'static str {
    match word.as_bytes() {
        b"equal" => "it is",
        b"contains" => "it contains",
        _ => "it lies inside",
    }
}

fn tested(answer: &GuardAnswer, target: &str) -> Tested {
    let (verdict, tone) = match answer {
        answer if answer.excepted => (format!("An exception lets it through to {target}."), "warn"),
        answer if answer.stopped => ("It is never sent.".to_owned(), "bad"),
        answer if !answer.findings.is_empty() => ("It is flagged, and may be sent.".to_owned(), "cold"),
        _ => ("No list knows it: it may be sent.".to_owned(), "ok"),
    };
    let finding = |finding: &engine::GuardFinding| {
        let says = match (finding.stop, answer.excepted) {
            (true, true) => "let through",
            (true, false) => "stopped",
            (false, _) => "flagged",
        };
        let what = format!("{} {}", relation(finding.relation), finding.guarded);
        (says, finding.class, finding.list.clone(), what)
    };
    let query = show::query(&[("value", &answer.value), ("target", target)]);
    Tested {
        shown: defanged(answer.kind, &answer.value),
        kind: answer.kind,
        verdict,
        tone,
        findings: answer.findings.iter().map(finding).collect(),
        exception: answer.exception.clone(),
        ask: (answer.stopped && !answer.excepted).then(|| format!("{EXCEPTIONS}{query}")),
    }
}

pub(super) async fn guard(visit: Visit, query: Fields) -> Result<Response, Problem> {
    visit
        .page("Guard", Section::Settings, move |app, shell| {
            let engine = app.engine()?;
            let (value, target) = (query.get("value").to_owned(), query.get("target").to_owned());
            let (mut answer, mut mistake) = (None, None);
            if !value.is_empty() {
                match engine.guard_check(&value, None, query.some("target")) {
                    Ok(found) => answer = Some(tested(&found, &target)),
                    Err(error) => mistake = Some(Problem::from(error).detail().to_owned()),
                }
            }
            let configured = configured(app)?;
            let rows = engine.guard_lists()?.into_iter().map(|list| list_row(list, &configured)).collect();
            Ok(GuardPage { targets: targets(app)?, tested: answer, mistake, value, target, rows, shell })
        })
        .await
}

pub(super) async fn list(visit: Visit, Path(name): Path<String>, query: Fields) -> Result<Response, Problem> {
    visit
        .page(name.clone(), Section::Settings, move |app, shell| {
            let shown = app.engine()?.guard_list(&name)?;
            let q = query.get("q").to_lowercase();
            let found: Vec<&String> = shown.values.iter().filter(|value| value.contains(&q)).collect();
            let rejected = match shown.list.rejected {
                0 => String::new(),
                count => format!("{} cannot be used: {}", counted(count, "entry"), shown.list.examples.join("; ")),
            };
            Ok(ListPage {
                found: n(found.len() as u64),
                is_cut: found.len() > VALUES || shown.more,
                values: found.into_iter().take(VALUES).cloned().collect(),
                rejected,
                row: list_row(shown.list, &configured(app)?),
                q: query.get("q").to_owned(),
                shell,
            })
        })
        .await
}

impl Screen for GuardLists {
    const SECTION: Section = Section::Settings;
    const INTRO: &'static str = "What is on a list is never sent, or flagged, at every target.";
    const LIST: &'static str = LISTS;
    const FORM: &'static str = "/settings/guard/list";

    fn form(_: &App, doc: &mut Value, is_new: bool) -> Result<Form, Problem> {
        if let Some(list) = doc["list"].as_str().map(Value::from) {
            doc["name"] = list;
        }
        let shipped = doc["name"].as_str().is_some_and(|name| name.starts_with(engine::guards::SHIPPED_PREFIX));
        let class = one_of(
            "class",
            "Class",
            "lifeline stops what equals, contains or lies inside a value; popular stops what equals or contains one; warn \
             only flags.",
            ["lifeline", "popular", "warn"],
        );
        let on = tick("enabled", "On", "Off: it neither stops nor flags.", true);
        let mut form = Form::default();
        if shipped {
            form.group(
                "A shipped list",
                "Deleting this makes it what it was.",
                false,
                vec![name_of(false, "It comes with the program."), class, on],
            );
            return Ok(form);
        }
        form.group(
            "Basics",
            "",
            false,
            vec![
                name_of(is_new, "Findings and why say it."),
                class.default("lifeline"),
                on,
                lines("values", "Values", "One a line: domains, addresses, networks, URLs, hashes, mailboxes."),
                lines("patterns", "Patterns", "One a line: *.example.com, or /a regular expression/."),
            ],
        );
        form.group("From a file", "", true, vec![text(
            "warninglist",
            "MISP warning list",
            "A file, or a folder of them, below a directory that the server may read. It is read when this is saved.",
        )]);
        Ok(form)
    }

    fn tidy(doc: &mut Value) {
        if let Some(map) = doc.as_object_mut() {
            map.remove("list");
        }
    }

    fn left(_: &str) -> Option<NothingToSay> {
        Some(NothingToSay {})
    }
}

// --- exceptions

struct ExceptionRow {
    target: String,
    value: String,
    shown: String,
    reason: String,
    until: Option<When>,
    until_text: String,
    is_over: bool,
    /// What stops it elsewhere.
    lets: Vec<String>,
    who: String,
    /// To show what was seen.
    seen: String,
    since: Option<When>,
    may_approve: bool,
}

#[derive(Template)]
#[template(path = "exceptions.html")]
struct ExceptionsPage {
    shell: Shell,
    mistakes: Vec<String>,
    asked: Vec<ExceptionRow>,
    rows: Vec<ExceptionRow>,
    targets: Vec<String>,
    needs_two: bool,
    value: String,
    target: String,
    reason: String,
    until: String,
    /// What the value that is typed is, to the guard.
    about: Option<Tested>,
}

/// How a value is shown, and what stops it.
fn stopped_by(app: &App, value: &str) -> Result<(String, Vec<String>), Problem> {
    let Ok(answer) = app.engine()?.guard_check(value, None, None) else {
        return Ok((value.to_owned(), vec!["this cannot be read as a value any more".to_owned()]));
    };
    let words = |finding: &engine::GuardFinding| {
        format!("{}: {} {}", finding.list, relation(finding.relation), finding.guarded)
    };
    let mut lets: Vec<String> = answer.findings.iter().filter(|finding| finding.stop).map(words).collect();
    if lets.is_empty() {
        lets.push("no list stops it now".to_owned());
    }
    Ok((defanged(answer.kind, &answer.value), lets))
}

fn exceptions_page(app: &App, shell: Shell, typed: &Fields, mistakes: Vec<String>) -> Result<ExceptionsPage, Problem> {
    let engine = app.engine()?;
    let now = app.now();
    let needs_two = engine.needs_second_person()?;
    let mut asked = Vec::new();
    for one in app.store().proposals()? {
        let (shown, lets) = stopped_by(app, &one.value)?;
        asked.push(ExceptionRow {
            shown,
            lets,
            until: When::of(&one.until, now),
            is_over: Timestamp::parse(&one.until).is_some_and(|until| until <= now),
            may_approve: shell.may_approve() && !(needs_two && one.who == shell.who),
            since: Some(When::at(one.at, now)),
            seen: String::new(),
            target: one.target,
            value: one.value,
            reason: one.reason,
            until_text: one.until,
            who: one.who,
        });
    }
    let mut rows = Vec::new();
    for doc in app.things::<GuardExceptions>()? {
        let (shown, lets) = stopped_by(app, &doc.value)?;
        rows.push(ExceptionRow {
            shown,
            lets,
            until: When::of(&doc.until, now),
            is_over: Timestamp::parse(&doc.until).is_some_and(|until| until <= now),
            may_approve: false,
            since: None,
            seen: tag_of(&doc),
            target: doc.target,
            value: doc.value,
            reason: doc.reason,
            until_text: doc.until,
            who: doc.approver,
        });
    }
    let value = typed.get("value").to_owned();
    let about = Some(&value).filter(|value| !value.is_empty() && mistakes.is_empty());
    let about = about.and_then(|value| engine.guard_check(value, None, None).ok()).map(|answer| tested(&answer, ""));
    Ok(ExceptionsPage {
        mistakes,
        asked,
        rows,
        targets: targets(app)?,
        needs_two,
        value,
        target: typed.get("target").to_owned(),
        reason: typed.get("reason").to_owned(),
        until: typed.get("until").to_owned(),
        about,
        shell,
    })
}

pub(super) async fn exceptions(visit: Visit, query: Fields) -> Result<Response, Problem> {
    visit.page("Exceptions", Section::Settings, move |app, shell| exceptions_page(app, shell, &query, Vec::new())).await
}

/// Does something to an exception, and shows them again.
async fn change(
    visit: Visit,
    form: Fields,
    word: &'static str,
    work: impl FnOnce(&App, &crate::tokens::Caller, &Fields) -> Result<(), Problem> + Send + 'static,
) -> Result<Response, Problem> {
    let typed = form.clone();
    visit
        .act_or(
            ("Exceptions".to_owned(), Section::Settings, EXCEPTIONS.to_owned()),
            move |app, caller| work(app, caller, &form).map(|()| done(EXCEPTIONS, word)),
            move |app, shell, mistakes| exceptions_page(app, shell, &typed, mistakes),
        )
        .await
}

pub(super) async fn do_propose(visit: Visit, Sent(form): Sent) -> Result<Response, Problem> {
    change(visit, form, "asked", |app, caller, form| {
        let text = |name: &str| form.get(name).to_owned();
        let value = app.engine()?.guard_check(form.get("value"), None, None)?.value;
        let asked = Asked { target: text("target"), value, reason: text("reason"), until: text("until") };
        exceptions::ask(app, caller, asked)?;
        Ok(())
    })
    .await
}

pub(super) async fn do_withdraw(visit: Visit, Sent(form): Sent) -> Result<Response, Problem> {
    change(visit, form, "asked-no-longer", |app, caller, form| {
        exceptions::ask_no_longer(app, caller, form.get("target"), form.get("value"))
    })
    .await
}

pub(super) async fn do_approve(visit: Visit, Sent(form): Sent) -> Result<Response, Problem> {
    change(visit, form, "excepted", |app, caller, form| {
        let _one = app.editing();
        let (target, value) = (form.get("target"), form.get("value"));
        let asked = app.store().proposals()?.into_iter().find(|one| one.target == target && one.value == value);
        let asked = asked.ok_or_else(|| Problem::not_found("nobody asks for this exception any more"))?;
        // What was looked at, and no other.
        if asked.reason != form.get("reason") || asked.until != form.get("until") {
            return Err(Problem::invalid("what is asked for is no longer what you looked at: look again"));
        }
        let doc = GuardExceptionDoc {
            value: asked.value,
            target: asked.target,
            reason: asked.reason,
            until: asked.until,
            approver: caller.name.clone(),
        };
        app.put_held::<GuardExceptions>(&doc, caller)?;
        app.hurry();
        Ok(())
    })
    .await
}

pub(super) async fn do_end(visit: Visit, Sent(form): Sent) -> Result<Response, Problem> {
    change(visit, form, "exception-ended", |app, caller, form| {
        let key = [form.get("target").to_owned(), form.get("value").to_owned()];
        app.delete_seen::<GuardExceptions>(&key, NothingToSay {}, form.get("seen"), &caller.name)
    })
    .await
}
