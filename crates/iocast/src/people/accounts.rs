//! Accounts: made, changed and ended by who manages people, and what each person does to their own.

use super::attempts::Attempt;
use super::roles::{Role, Roles};
use super::sign_in::{SignedIn, failed, open_session};
use super::{PersonShown, Seat, SessionShown, Visitor, fold, is_good, password, person_shown, random_code, second};
use crate::api::Problem;
use crate::app::App;
use crate::tokens::Caller;
use axum::http::StatusCode;
use intel::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use std::time::Duration;
use store::{Person, PersonChange};

/// How long a password that somebody else set is good.
const FIRST_PASSWORD_GOOD_FOR: Duration = Duration::from_secs(72 * 3600);
/// Longest name, in characters.
const MAX_NAME: usize = 64;

/// A person whose password was just set by somebody else.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Handed {
    /// Who.
    pub(crate) user: PersonShown,
    /// A password that is good once, for setting their own. Shown this once.
    pub(crate) password: String,
    /// Until when. RFC 3339.
    pub(crate) until: String,
}

/// A second factor that counts once a code from it was sent.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Enrolling {
    /// What is typed into an authenticator: Base32. Shown this once.
    pub(crate) secret: String,
    /// The same as an `otpauth:` address, for a QR code.
    pub(crate) url: String,
}

/// A second factor that counts.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Enrolled {
    /// Codes for who has lost their authenticator, each good once. Shown this once.
    pub(crate) recovery_codes: Vec<String>,
}

/// What is to be another about a person; None: as it is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Change {
    /// Their roles.
    pub(crate) roles: Option<Roles>,
    /// Whether they may not sign in.
    pub(crate) disabled: Option<bool>,
}

/// Whether somebody may be called this.
pub(super) fn check_name(app: &App, name: &str) -> Result<(), Problem> {
    let name = name.trim();
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '@' | '+');
    let n_chars = name.chars().count();
    if n_chars == 0 || n_chars > MAX_NAME || !name.chars().all(plain) {
        return Err(Problem::invalid("name: 1 to 64 letters, digits and . - _ @ +"));
    }
    let folded = fold(name);
    // The audit log and the rule of two persons know people by name: nobody else may have it.
    let tokens = app.store().tokens()?;
    let is_taken = matches!(folded.as_str(), "local" | "nobody" | "iocast" | "unknown")
        || tokens.iter().any(|token| token.owner.is_none() && token.revoked.is_none() && fold(&token.name) == folded);
    match is_taken {
        true => Err(Problem::new(StatusCode::CONFLICT, format!("name: \"{name}\" is that of a token, or of ours"))),
        false => Ok(()),
    }
}

fn missing(name: &str) -> Problem {
    Problem::not_found(format!("there is no user \"{name}\""))
}

fn named(app: &App, name: &str) -> Result<Person, Problem> {
    app.store().person_named(&fold(name))?.ok_or_else(|| missing(name))
}

/// Everybody, by name.
///
/// # Errors
/// A store that cannot be read.
pub(crate) fn people(app: &App) -> Result<Vec<PersonShown>, Problem> {
    Ok(app.store().people()?.iter().map(|person| person_shown(app, person)).collect())
}

/// One person.
///
/// # Errors
/// Not there; a store that cannot be read.
pub(crate) fn person(app: &App, name: &str) -> Result<PersonShown, Problem> {
    Ok(person_shown(app, &named(app, name)?))
}

/// Makes an account, with a password for the first time.
///
/// # Errors
/// A name that is taken or is none; a store that cannot be written.
pub(crate) fn add(app: &App, caller: &Caller, name: &str, roles: Roles) -> Result<Handed, Problem> {
    check_name(app, name)?;
    let name = name.trim();
    let now = app.now();
    let secret = random_code(4)?;
    let until = now.after(FIRST_PASSWORD_GOOD_FOR);
    let hash = app.people().hash(secret.reveal())?;
    let id = app
        .store()
        .add_person(name, &fold(name), &roles.to_string(), Some((&hash, Some(until))), None, now)?
        .ok_or_else(|| {
            Problem::new(StatusCode::CONFLICT, format!("there is, or was, a user \"{name}\": names are given once"))
        })?;
    let detail = json!({ "id": id, "roles": roles.names() }).to_string();
    app.store().audit(&caller.name, "user.add", name, &detail, now)?;
    handed(app, id, &secret, until)
}

fn handed(app: &App, id: u32, secret: &kit::Secret, until: Timestamp) -> Result<Handed, Problem> {
    let person = app.store().person(id)?.ok_or_else(|| Problem::internal("an account is gone"))?;
    Ok(Handed { user: person_shown(app, &person), password: secret.reveal().to_owned(), until: until.to_string() })
}

/// Changes somebody's roles, or whether they may sign in. Who is disabled loses their sessions at once.
///
/// # Errors
/// Oneself; the last administrator; not there; a store that cannot be written.
pub(crate) fn change(app: &App, caller: &Caller, name: &str, change: &Change) -> Result<PersonShown, Problem> {
    // One change at a time: two administrators must not disable each other.
    let _one = app.editing();
    let person = named(app, name)?;
    not_oneself(caller, &person)?;
    if change.roles.is_some() {
        not_from_elsewhere(&person, "their roles come from their groups there, at every sign-in: change those")?;
    }
    let goes = change.disabled == Some(true) || change.roles.is_some_and(|roles| !roles.has(Role::Administrator));
    if goes {
        not_the_last(app, &person)?;
    }
    let now = app.now();
    let roles = change.roles.map(|roles| roles.to_string());
    let what = PersonChange {
        roles: roles.as_deref(),
        disabled: change.disabled.map(|disabled| disabled.then_some(now)),
        end_sessions: (change.disabled == Some(true)).then_some(None),
        ..PersonChange::default()
    };
    app.store().change_person(person.id, &what, now)?;
    if let Some(roles) = change.roles {
        let detail = json!({ "before": Roles::stored(&person.roles).names(), "after": roles.names() }).to_string();
        app.store().audit(&caller.name, "user.roles", &person.name, &detail, now)?;
    }
    if let Some(disabled) = change.disabled {
        let action = if disabled { "user.disable" } else { "user.enable" };
        app.store().audit(&caller.name, action, &person.name, "{}", now)?;
    }
    self::person(app, name)
}

/// Sets a password for the first time again, for who has lost theirs; with `second_factor` takes that away too. Every session
/// ends.
///
/// # Errors
/// Oneself; not there; a store that cannot be written.
pub(crate) fn reset(app: &App, caller: &Caller, name: &str, second_factor: bool) -> Result<Handed, Problem> {
    let person = named(app, name)?;
    not_oneself(caller, &person)?;
    not_from_elsewhere(&person, "there is no password here to set again")?;
    let now = app.now();
    let secret = random_code(4)?;
    let until = now.after(FIRST_PASSWORD_GOOD_FOR);
    let hash = app.people().hash(secret.reveal())?;
    let what = PersonChange {
        password: Some((&hash, Some(until))),
        totp: second_factor.then_some(None),
        end_sessions: Some(None),
        ..PersonChange::default()
    };
    app.store().change_person(person.id, &what, now)?;
    let detail = json!({ "second_factor": second_factor }).to_string();
    app.store().audit(&caller.name, "user.reset", &person.name, &detail, now)?;
    handed(app, person.id, &secret, until)
}

/// Ends an account for good, with its sessions and tokens. The name stays taken.
///
/// # Errors
/// Oneself; the last administrator; not there; a store that cannot be written.
pub(crate) fn delete(app: &App, caller: &Caller, name: &str) -> Result<(), Problem> {
    let _one = app.editing();
    let person = named(app, name)?;
    not_oneself(caller, &person)?;
    not_the_last(app, &person)?;
    app.store().delete_person(person.id, app.now())?;
    app.store().audit(&caller.name, "user.delete", &person.name, "{}", app.now())?;
    Ok(())
}

/// Ends every session of somebody. Their account stays as it is.
///
/// # Errors
/// Not there; a store that cannot be written.
pub(crate) fn sign_out_everywhere(app: &App, caller: &Caller, name: &str) -> Result<(), Problem> {
    let person = named(app, name)?;
    let what = PersonChange { end_sessions: Some(None), ..PersonChange::default() };
    app.store().change_person(person.id, &what, app.now())?;
    app.store().audit(&caller.name, "user.sign_out", &person.name, "{}", app.now())?;
    Ok(())
}

/// Ends every session of one's own but this one.
///
/// # Errors
/// A store that cannot be written.
pub(crate) fn sign_out_elsewhere(app: &App, seat: &Seat) -> Result<(), Problem> {
    let (person, session) = oneself(app, seat)?;
    let what = PersonChange { end_sessions: Some(Some(session)), ..PersonChange::default() };
    app.store().change_person(person.id, &what, app.now())?;
    app.store().audit(&person.name, "user.sign_out", &person.name, r#"{"but":"this session"}"#, app.now())?;
    Ok(())
}

fn not_oneself(caller: &Caller, person: &Person) -> Result<(), Problem> {
    match caller.user == Some(person.id) {
        true => Err(Problem::forbidden("nobody does this to their own account: ask another administrator")),
        false => Ok(()),
    }
}

fn not_from_elsewhere(person: &Person, why: &str) -> Result<(), Problem> {
    match &person.identity {
        Some((issuer, _)) => {
            Err(Problem::new(StatusCode::CONFLICT, format!("\"{}\" signs in at {issuer}: {why}", person.name)))
        }
        None => Ok(()),
    }
}

/// Somebody must be able to come in when no provider of identities can be asked: an administrator with a password here.
fn not_the_last(app: &App, person: &Person) -> Result<(), Problem> {
    let is_one = |person: &Person| {
        person.disabled.is_none() && person.identity.is_none() && Roles::stored(&person.roles).has(Role::Administrator)
    };
    let others = app.store().people()?.iter().filter(|other| other.id != person.id && is_one(other)).count();
    match is_one(person) && others == 0 {
        true => Err(Problem::new(
            StatusCode::CONFLICT,
            format!("\"{}\" is the last administrator with a password here: make another one first", person.name),
        )),
        false => Ok(()),
    }
}

/// The person of a seat, as stored.
fn oneself(app: &App, seat: &Seat) -> Result<(Person, u32), Problem> {
    let (Some(user), Some(session)) = (seat.caller.user, seat.caller.session) else {
        return Err(Problem::forbidden("this is for a person who has signed in, and for no token"));
    };
    Ok((app.store().person(user)?.ok_or_else(Problem::unauthorized)?, session))
}

/// Looks at a person's password again before something that matters.
fn again(app: &App, visitor: &Visitor, person: &Person, secret: &str) -> Result<(), Problem> {
    let attempt = Attempt::begin(app, visitor, &format!("name {}", fold(&person.name)))?;
    if !app.people().is_password(secret, person.password.as_deref())? {
        failed(app, visitor, &fold(&person.name), "password again")?;
        return Err(Problem::forbidden("the password is wrong"));
    }
    attempt.went_well(app)
}

/// Sets one's own password. Every session ends, and a new one begins.
///
/// # Errors
/// A wrong password, too many tries, a new one that is not taken.
pub(crate) fn set_password(
    app: &App,
    visitor: &Visitor,
    seat: &Seat,
    old: &str,
    new: &str,
) -> Result<SignedIn, Problem> {
    let (person, _) = oneself(app, seat)?;
    again(app, visitor, &person, old)?;
    password::check(new, &person.name).map_err(|why| Problem::invalid(format!("new: {why}")))?;
    if old == new {
        return Err(Problem::invalid("new: this is the old one"));
    }
    let now = app.now();
    let hash = app.people().hash(new)?;
    let what = PersonChange { password: Some((&hash, None)), end_sessions: Some(None), ..PersonChange::default() };
    app.store().change_person(person.id, &what, now)?;
    app.store().audit(&person.name, "user.password", &person.name, "{}", now)?;
    let person = app.store().person(person.id)?.ok_or_else(Problem::unauthorized)?;
    open_session(app, visitor, &person, "a new password")
}

/// Begins to enrol a second factor, or another one.
///
/// # Errors
/// A wrong password, too many tries, a secret that cannot be sealed.
pub(crate) fn begin_second_factor(
    app: &App,
    visitor: &Visitor,
    seat: &Seat,
    password: &str,
) -> Result<Enrolling, Problem> {
    let (person, _) = oneself(app, seat)?;
    again(app, visitor, &person, password)?;
    second::begin(app, &person)
}

/// Confirms a second factor by a code from it. From now on it is asked for, and every other session ends.
///
/// # Errors
/// A wrong code, too many tries, none being enrolled.
pub(crate) fn confirm_second_factor(
    app: &App,
    visitor: &Visitor,
    seat: &Seat,
    code: &str,
) -> Result<Enrolled, Problem> {
    let (person, session) = oneself(app, seat)?;
    let attempt = Attempt::begin(app, visitor, &format!("code {}", person.id))?;
    let Some(enrolled) = second::confirm(app, &person, code, session)? else {
        return Err(Problem::invalid("code: it is wrong; is the authenticator's clock right?"));
    };
    attempt.went_well(app)?;
    app.store().audit(&person.name, "user.second_factor", &person.name, r#"{"on":true}"#, app.now())?;
    Ok(enrolled)
}

/// Takes one's second factor away. Every other session ends.
///
/// # Errors
/// A wrong password, too many tries.
pub(crate) fn drop_second_factor(app: &App, visitor: &Visitor, seat: &Seat, password: &str) -> Result<(), Problem> {
    let (person, session) = oneself(app, seat)?;
    again(app, visitor, &person, password)?;
    let what = PersonChange { totp: Some(None), end_sessions: Some(Some(session)), ..PersonChange::default() };
    app.store().change_person(person.id, &what, app.now())?;
    app.store().audit(&person.name, "user.second_factor", &person.name, r#"{"on":false}"#, app.now())?;
    Ok(())
}

/// Sessions that go on, the latest first: one's own, or everybody's for who manages people.
///
/// # Errors
/// A store that cannot be read.
pub(crate) fn sessions(app: &App, caller: &Caller) -> Result<Vec<SessionShown>, Problem> {
    let now = app.now();
    let people = app.store().people()?;
    let found = app.store().sessions(scope_of(caller))?;
    let show = |session: &store::Session| {
        let person = people.iter().find(|person| person.id == session.person)?;
        is_good(session, person, now).then(|| super::session_shown(session, &person.name, caller.session))
    };
    Ok(found.iter().filter_map(show).collect())
}

/// Ends a session.
///
/// # Errors
/// Not there, or somebody else's; a store that cannot be written.
pub(crate) fn end_session(app: &App, caller: &Caller, id: u32) -> Result<(), Problem> {
    if !app.store().end_session(id, scope_of(caller), app.now())? {
        return Err(Problem::not_found(format!("there is no session {id} of yours that goes on")));
    }
    app.store().audit(&caller.name, "session.end", &id.to_string(), "{}", app.now())?;
    Ok(())
}

/// Whose things a caller sees: their own, or None: everybody's.
pub(crate) fn scope_of(caller: &Caller) -> Option<u32> {
    let everybody = super::roles::decide(caller, super::roles::Needs::ManagePeople).is_ok();
    // A number that nobody has: who is no person has nothing.
    if everybody { None } else { Some(caller.user.unwrap_or(u32::MAX)) }
}

/// Seals every second factor anew, with the key that is in use now. Gives how many.
///
/// # Errors
/// One that cannot be opened.
pub(crate) fn reseal(app: &App) -> Result<usize, Problem> {
    let trouble =
        |why: String| Problem::new(StatusCode::CONFLICT, format!("a second factor cannot be sealed anew: {why}"));
    let mut n_sealed = 0;
    for person in app.store().people()? {
        let place = second::place(person.id);
        let anew = |kept: &Option<String>| -> Result<Option<String>, Problem> {
            let Some(sealed) = kept.as_deref().filter(|kept| kit::Secret::is_sealed(kept)) else { return Ok(None) };
            let open = kit::Secret::new(app.secrets().unseal(&place, sealed).map_err(trouble)?);
            app.secrets().seal(&place, open.reveal()).map_err(trouble)
        };
        if let Some(sealed) = anew(&person.totp)? {
            let what = PersonChange { totp: Some(Some(&sealed)), ..PersonChange::default() };
            app.store().change_person(person.id, &what, app.now())?;
            n_sealed += 1;
        } else if person.totp_pending.is_some() {
            // Not worth carrying over: whoever enrols begins anew.
            let what = PersonChange { totp_pending: Some(None), ..PersonChange::default() };
            app.store().change_person(person.id, &what, app.now())?;
        }
    }
    Ok(n_sealed)
}
