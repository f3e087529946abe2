//! People: their accounts, what they may, and where they are signed in.

use super::settings::{SessionRow, done};
use super::shell::{Section, Shell};
use super::show::When;
use super::{Fields, Sent, Visit};
use crate::api::Problem;
use crate::app::App;
use crate::people::accounts::{self, Change, Handed};
use crate::people::roles::{Role, Roles};
use crate::people::{Must, PersonShown};
use crate::tokens::Caller;
use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use intel::Timestamp;

const PEOPLE: &str = "/settings/users";

/// A role that can be given.
struct RoleBox {
    name: &'static str,
    meaning: &'static str,
    is_on: bool,
}

fn boxes(is_on: impl Fn(&str) -> bool) -> Vec<RoleBox> {
    let one = |role: Role| RoleBox { name: role.as_str(), meaning: role.meaning(), is_on: is_on(role.as_str()) };
    Role::ALL.map(one).into_iter().collect()
}

struct PersonRow {
    person: PersonShown,
    roles: String,
    state: &'static str,
    tone: &'static str,
    seen: Option<When>,
    sessions: usize,
}

#[derive(Template)]
#[template(path = "users.html")]
struct UsersPage {
    shell: Shell,
    mistakes: Vec<String>,
    people: Vec<PersonRow>,
    sessions: Vec<SessionRow>,
    end_at: &'static str,
    here: String,
    with_names: bool,
    name: String,
    roles: Vec<RoleBox>,
}

#[derive(Template)]
#[template(path = "user.html")]
struct UserPage {
    shell: Shell,
    mistakes: Vec<String>,
    row: PersonRow,
    created: Option<When>,
    disabled: Option<When>,
    is_oneself: bool,
    sessions: Vec<SessionRow>,
    end_at: &'static str,
    here: String,
    with_names: bool,
    roles: Vec<RoleBox>,
}

#[derive(Template)]
#[template(path = "handed.html")]
struct HandedPage {
    shell: Shell,
    handed: Handed,
    is_new: bool,
    until: Option<When>,
}

/// Everybody, with where they are signed in.
struct Everybody {
    people: Vec<PersonRow>,
    sessions: Vec<SessionRow>,
}

fn everybody(app: &App, caller: &Caller) -> Result<Everybody, Problem> {
    let now = app.now();
    let sessions: Vec<SessionRow> =
        accounts::sessions(app, caller)?.into_iter().map(|session| SessionRow::of(session, now)).collect();
    let people = accounts::people(app)?.into_iter().map(|person| row(person, &sessions, now)).collect();
    Ok(Everybody { people, sessions })
}

fn row(person: PersonShown, sessions: &[SessionRow], now: Timestamp) -> PersonRow {
    let theirs = || sessions.iter().filter(|row| row.session.user == person.name);
    let seen = theirs().map(|row| row.session.last_seen.as_str()).chain(person.signed_in.as_deref()).max();
    let (state, tone) = match &person {
        p if p.disabled.is_some() => ("disabled", "calm"),
        p if p.must == Some(Must::SetPassword) => ("first password", "warn"),
        p if p.must == Some(Must::EnrolSecondFactor) => ("needs a second factor", "warn"),
        _ => ("may sign in", "ok"),
    };
    PersonRow {
        seen: When::maybe(seen, now),
        sessions: theirs().count(),
        roles: person.roles.join(", "),
        state,
        tone,
        person,
    }
}

fn page(app: &App, shell: Shell, mistakes: Vec<String>, typed: &Fields) -> Result<UsersPage, Problem> {
    let Some(caller) = &shell.caller else { return Err(Problem::unauthorized()) };
    let Everybody { people, sessions } = everybody(app, caller)?;
    let chosen = typed.all("role");
    Ok(UsersPage {
        mistakes,
        people,
        sessions,
        end_at: "/settings/sessions/end",
        here: PEOPLE.to_owned(),
        with_names: true,
        name: typed.get("name").to_owned(),
        roles: boxes(|role| chosen.iter().any(|one| one == role)),
        shell,
    })
}

pub(super) async fn users(visit: Visit) -> Result<Response, Problem> {
    visit.page("People", Section::Settings, |app, shell| page(app, shell, Vec::new(), &Fields::default())).await
}

fn read_roles(form: &Fields) -> Result<Roles, Problem> {
    let names = form.all("role");
    Roles::parse(names.iter().map(String::as_str)).map_err(|why| Problem::invalid(format!("roles: {why}")))
}

/// A password that is shown this once, or the page it was asked from.
async fn hand(
    visit: Visit,
    title: &'static str,
    is_new: bool,
    work: impl FnOnce(&App, &Caller) -> Result<Handed, Problem> + Send + 'static,
    again: impl FnOnce(&App, Shell, Vec<String>) -> Result<Response, Problem> + Send + 'static,
) -> Result<Response, Problem> {
    let Visit { app, seat, theme, .. } = visit;
    app.hop(move |app| {
        let worked = work(app, &seat.caller);
        let shell = Shell::of(app, &seat, title.to_owned(), Section::Settings, theme, PEOPLE.to_owned())?;
        match worked {
            Ok(handed) => {
                let until = When::of(&handed.until, app.now());
                super::door::shown(&HandedPage { shell, handed, is_new, until })
            }
            Err(problem) if problem.status().is_client_error() => {
                let mut response = again(app, shell, super::settings::said(&problem))?;
                *response.status_mut() = problem.status();
                Ok(response)
            }
            Err(problem) => Err(problem),
        }
    })
    .await
}

pub(super) async fn do_add(visit: Visit, Sent(form): Sent) -> Result<Response, Problem> {
    let typed = form.clone();
    hand(
        visit,
        "People",
        true,
        move |app, caller| accounts::add(app, caller, form.get("name"), read_roles(&form)?),
        move |app, shell, mistakes| super::door::shown(&page(app, shell, mistakes, &typed)?),
    )
    .await
}

fn by_id(app: &App, id: u32) -> Result<PersonShown, Problem> {
    let mut people = accounts::people(app)?.into_iter();
    people.find(|person| person.id == id).ok_or_else(|| Problem::not_found(format!("there is no person {id}")))
}

fn one(app: &App, shell: Shell, id: u32, mistakes: Vec<String>) -> Result<UserPage, Problem> {
    let Some(caller) = &shell.caller else { return Err(Problem::unauthorized()) };
    let now = app.now();
    let person = by_id(app, id)?;
    let sessions = accounts::sessions(app, caller)?.into_iter().filter(|session| session.user == person.name);
    let sessions: Vec<SessionRow> = sessions.map(|session| SessionRow::of(session, now)).collect();
    Ok(UserPage {
        mistakes,
        created: When::of(&person.created, now),
        disabled: When::maybe(person.disabled.as_deref(), now),
        is_oneself: caller.user == Some(person.id),
        roles: boxes(|role| person.roles.contains(&role)),
        row: row(person, &sessions, now),
        sessions,
        end_at: "/settings/sessions/end",
        here: format!("{PEOPLE}/{id}"),
        with_names: false,
        shell,
    })
}

pub(super) async fn user(visit: Visit, Path(id): Path<u32>) -> Result<Response, Problem> {
    visit
        .page("Person", Section::Settings, move |app, mut shell| {
            shell.title = by_id(app, id)?.name;
            one(app, shell, id, Vec::new())
        })
        .await
}

/// Does something to a person, and shows them again.
async fn change(
    visit: Visit,
    id: u32,
    work: impl FnOnce(&App, &Caller, &PersonShown) -> Result<String, Problem> + Send + 'static,
) -> Result<Response, Problem> {
    let about = ("Person".to_owned(), Section::Settings, format!("{PEOPLE}/{id}"));
    visit
        .act_or(
            about,
            move |app, caller| work(app, caller, &by_id(app, id)?),
            move |app, shell, mistakes| one(app, shell, id, mistakes),
        )
        .await
}

pub(super) async fn do_roles(visit: Visit, Path(id): Path<u32>, Sent(form): Sent) -> Result<Response, Problem> {
    change(visit, id, move |app, caller, person| {
        let change = Change { roles: Some(read_roles(&form)?), disabled: None };
        accounts::change(app, caller, &person.name, &change)?;
        Ok(done(&format!("{PEOPLE}/{id}"), "saved"))
    })
    .await
}

/// Whether they may sign in.
async fn may_sign_in(visit: Visit, id: u32, disabled: bool) -> Result<Response, Problem> {
    change(visit, id, move |app, caller, person| {
        accounts::change(app, caller, &person.name, &Change { roles: None, disabled: Some(disabled) })?;
        Ok(done(&format!("{PEOPLE}/{id}"), if disabled { "disabled" } else { "enabled" }))
    })
    .await
}

pub(super) async fn do_disable(visit: Visit, Path(id): Path<u32>) -> Result<Response, Problem> {
    may_sign_in(visit, id, true).await
}

pub(super) async fn do_enable(visit: Visit, Path(id): Path<u32>) -> Result<Response, Problem> {
    may_sign_in(visit, id, false).await
}

pub(super) async fn do_sign_out(visit: Visit, Path(id): Path<u32>) -> Result<Response, Problem> {
    change(visit, id, move |app, caller, person| {
        accounts::sign_out_everywhere(app, caller, &person.name)?;
        Ok(done(&format!("{PEOPLE}/{id}"), "signed-out"))
    })
    .await
}

pub(super) async fn do_delete(visit: Visit, Path(id): Path<u32>) -> Result<Response, Problem> {
    change(visit, id, move |app, caller, person| {
        accounts::delete(app, caller, &person.name)?;
        Ok(done(PEOPLE, "deleted"))
    })
    .await
}

pub(super) async fn do_reset(visit: Visit, Path(id): Path<u32>, Sent(form): Sent) -> Result<Response, Problem> {
    hand(
        visit,
        "People",
        false,
        move |app, caller| {
            let person = by_id(app, id)?;
            accounts::reset(app, caller, &person.name, form.some("second_factor").is_some())
        },
        move |app, shell, mistakes| super::door::shown(&one(app, shell, id, mistakes)?),
    )
    .await
}
