//! How the exchange is run: what there is to set, at a glance, and what the pages below it share.

use super::shell::{Section, Shell};
use super::show::{When, counted, n};
use super::{Fields, Sent, Visit, own_path};
use crate::api::Problem;
use crate::app::App;
use crate::people::accounts;
use crate::people::roles::Needs;
use crate::people::{PersonShown, SessionShown};
use crate::tokens::Caller;
use askama::Template;
use axum::response::{Html, IntoResponse, Redirect, Response};
use intel::Timestamp;

/// What came of something that was asked for.
enum Came {
    To(String),
    Again(axum::http::StatusCode, String),
}

impl Visit {
    /// Does something, and leads on to a page; where it does not work the page it was asked from is shown once more, with
    /// what was wrong.
    ///
    /// # Errors
    /// Our trouble, and a page that is no longer there.
    pub(super) async fn act_or<T: Template>(
        self,
        (title, section, here): (String, Section, String),
        work: impl FnOnce(&App, &Caller) -> Result<String, Problem> + Send + 'static,
        again: impl FnOnce(&App, Shell, Vec<String>) -> Result<T, Problem> + Send + 'static,
    ) -> Result<Response, Problem> {
        let Visit { app, seat, theme, .. } = self;
        let came = app
            .hop(move |app| {
                let problem = match work(app, &seat.caller) {
                    Ok(to) => return Ok(Came::To(to)),
                    Err(problem) if problem.status().is_client_error() => problem,
                    Err(problem) => return Err(problem),
                };
                let shell = Shell::of(app, &seat, title, section, theme, here)?;
                let page = again(app, shell, said(&problem))?;
                let html = page.render().map_err(|error| Problem::internal(error.to_string()))?;
                Ok(Came::Again(problem.status(), html))
            })
            .await?;
        Ok(match came {
            Came::To(to) => Redirect::to(&to).into_response(),
            Came::Again(status, html) => (status, Html(html)).into_response(),
        })
    }
}

/// What was wrong, line by line.
pub(super) fn said(problem: &Problem) -> Vec<String> {
    let mut words = problem.mistakes();
    if words.is_empty() {
        words.push(problem.detail().to_owned());
    }
    words
}

/// An address with the word of what was done.
pub(super) fn done(to: &str, word: &str) -> String {
    format!("{to}{}done={word}", if to.contains('?') { '&' } else { '?' })
}

/// A session as pages show it.
pub(super) struct SessionRow {
    pub(super) session: SessionShown,
    /// What the browser called itself, in short.
    pub(super) browser: String,
    pub(super) began: Option<When>,
    pub(super) seen: Option<When>,
}

impl SessionRow {
    pub(super) fn of(session: SessionShown, now: Timestamp) -> SessionRow {
        SessionRow {
            browser: browser(&session.agent),
            began: When::of(&session.created, now),
            seen: When::of(&session.last_seen, now),
            session,
        }
    }
}

/// `Firefox on Linux`, of what a browser calls itself; what nobody knows is shown as it is.
fn browser(agent: &str) -> String {
    let first = |words: &[(&'static str, &'static str)]| {
        words.iter().find(|(word, _)| agent.contains(word)).map(|(_, name)| *name)
    };
    // Each calls itself all that came before it: the youngest names are looked for first.
    let name = first(&[
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
        ("curl/", "curl"),
    ]);
    let system = first(&[
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS", "macOS"),
        ("Linux", "Linux"),
    ]);
    match (name, system) {
        (Some(name), Some(system)) => format!("{name} on {system}"),
        (Some(name), None) => name.to_owned(),
        _ if agent.is_empty() => "nothing said".to_owned(),
        _ => agent.to_owned(),
    }
}

/// One area of the settings.
struct Area {
    icon: &'static str,
    title: &'static str,
    href: &'static str,
    /// What it is for.
    about: &'static str,
    /// How it stands.
    stands: Vec<String>,
}

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage {
    shell: Shell,
    areas: Vec<Area>,
    frozen_since: Option<When>,
    /// Only the file on the server is in the way.
    by_file: bool,
}

/// The settings at a glance.
pub(super) async fn settings(visit: Visit) -> Result<Response, Problem> {
    visit
        .page("Settings", Section::Settings, |app, shell| {
            let engine = app.engine()?;
            let now = engine.world().now();
            let frozen = engine.frozen_by()?;
            let areas = areas(app, &shell, now)?;
            Ok(SettingsPage {
                frozen_since: frozen.as_ref().and_then(|by| When::maybe(by.at.as_deref(), now)),
                by_file: frozen.is_some_and(|by| by.by == "file"),
                areas,
                shell,
            })
        })
        .await
}

fn people_stand(people: &[PersonShown]) -> Vec<String> {
    let mut stands = vec![match people.len() {
        1 => "1 person".to_owned(),
        count => format!("{count} people"),
    }];
    let bare = people.iter().filter(|person| !person.second_factor && person.issuer.is_none()).count();
    if bare > 0 {
        stands.push(format!("{bare} without a second factor"));
    }
    let off = people.iter().filter(|person| person.disabled.is_some()).count();
    if off > 0 {
        stands.push(format!("{off} disabled"));
    }
    stands
}

fn areas(app: &App, shell: &Shell, now: Timestamp) -> Result<Vec<Area>, Problem> {
    let engine = app.engine()?;
    let config = app.config_shown()?;
    let mut areas = Vec::new();
    let mut area = |icon, title, href, about, stands| areas.push(Area { icon, title, href, about, stands });
    if shell.may(Needs::ManagePeople) {
        let stands = people_stand(&accounts::people(app)?);
        area("user", "People", "/settings/users", "Who signs in, and what they may.", stands);
    }
    if let Some(caller) = shell.caller.as_ref().filter(|_| shell.may(Needs::Account)) {
        let good = super::api_tokens::good(&app.tokens(caller)?, now);
        let stands = vec![counted(good as u64, "token")];
        area("keyboard", "API tokens", "/settings/tokens", "For programs, and for devices that fetch lists.", stands);
    }
    let lists = engine.guard_lists()?;
    let guarded: u64 = lists.iter().filter(|list| list.class != "off").map(|list| list.values).sum();
    let stands = vec![counted(lists.len() as u64, "list"), format!("{} values", n(guarded))];
    area("shield-check", "Guard", "/settings/guard", "What is never sent. Test a value.", stands);
    let asked = app.store().proposals()?.len();
    let mut stands = vec![format!("{} in force", config.guard_exception.len())];
    if asked > 0 {
        stands.push(format!("{asked} asked for"));
    }
    area("shield-alert", "Exceptions", "/settings/exceptions", "Guarded values that may go to one target.", stands);
    let policy = config.policy.unwrap_or_default();
    let stands = vec![
        format!("{} leads", policy.reconcile.as_deref().unwrap_or("highest_reputation").replace('_', " ")),
        format!("TLP {}", policy.default_tlp.as_deref().unwrap_or("green")),
    ];
    area("settings", "Policy", "/settings/policy", "Reconcile, markings, budgets, retention, approvals.", stands);
    let channels = engine.channels_shown()?;
    let mut stands = vec![counted(channels.len() as u64, "channel")];
    if channels.iter().any(|channel| channel.error.is_some()) {
        stands.push("one does not take what it is told".to_owned());
    }
    area("bell", "Channels", "/settings/channels", "Through which people are told what needs them.", stands);
    if shell.may(Needs::Backup) {
        let last = app.backups().first().and_then(|backup| backup.at).map(|at| When::at(at, now).ago);
        let stands = vec![last.map_or_else(|| "none here".to_owned(), |ago| format!("the last {ago}"))];
        area("database", "Backup", "/settings/backup", "Copies of everything, and the way back.", stands);
    }
    let stands = vec![format!("iocast {}", shell.version())];
    area("info", "About", "/settings/about", "Version, licences, size.", stands);
    Ok(areas)
}

/// Ends a session of whoever it is.
pub(super) async fn do_end_session(visit: Visit, Sent(form): Sent) -> Result<Response, Problem> {
    visit.act(move |app, caller| end_session(app, caller, &form)).await
}

pub(super) fn end_session(app: &App, caller: &Caller, form: &Fields) -> Result<String, Problem> {
    let id = form.get("id").parse().map_err(|_| Problem::invalid("id: which session?"))?;
    accounts::end_session(app, caller, id)?;
    Ok(done(own_path(form.get("next")), "session-ended"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_known_by_what_they_call_themselves() {
        for (agent, expect) in [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0 Safari/537.36 Edg/139.0",
                "Edge on Windows",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1 Version/18.0 Safari/604.1",
                "Safari on iPhone",
            ),
            ("curl/8.9", "curl"),
            ("something else", "something else"),
            ("", "nothing said"),
        ] {
            assert_eq!(browser(agent), expect);
        }
    }
}
