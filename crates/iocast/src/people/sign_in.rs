//! Signing in: a password, then a code, then a session. And out.
//!
//! Whoever fails is told one thing, whether or not there is such an account, and it takes as long.

use super::attempts::Attempt;
use super::second::{self, Shown};
use super::{PersonShown, Seat, Visitor, fold, person_shown, random_hex};
use crate::api::Problem;
use crate::app::App;
use axum::http::{HeaderValue, StatusCode};
use intel::Timestamp;
use serde_json::json;
use std::sync::PoisonError;
use std::time::Duration;
use store::{NewSession, Person};

/// How long a right password waits for its code.
const TICKET_GOOD_FOR: Duration = Duration::from_secs(5 * 60);
/// Right passwords that wait at most; the oldest goes.
const MAX_TICKETS: usize = 1_000;

/// A right password that waits for its code.
pub(super) struct Ticket {
    person: u32,
    /// The hash it was compared with: it is not good for a password that was changed meanwhile.
    password: Option<String>,
    until: Timestamp,
}

/// What a right password leads to.
#[derive(Debug)]
pub(crate) enum Step {
    /// They are in.
    In(Box<SignedIn>),
    /// A code is needed, sent with this ticket.
    Code(String),
}

/// Somebody who has just signed in.
#[derive(Debug)]
pub(crate) struct SignedIn {
    /// Who.
    pub(crate) person: PersonShown,
    /// The header `Set-Cookie` of the answer.
    pub(crate) cookie: HeaderValue,
    /// The token of the new session's forms.
    pub(crate) csrf: String,
    /// How many codes on paper are left, where one was used.
    pub(crate) recovery_left: Option<u32>,
}

fn wrong() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "the name or the password is wrong")
}

/// Looks at a name and a password.
///
/// # Errors
/// "Wrong", too many tries, our trouble.
pub(crate) fn sign_in(app: &App, visitor: &Visitor, name: &str, password: &str) -> Result<Step, Problem> {
    let folded = fold(name);
    if folded.is_empty() || password.is_empty() {
        return Err(Problem::invalid("a name and a password are needed"));
    }
    let attempt = Attempt::begin(app, visitor, &format!("name {folded}"))?;
    let person = app.store().person_named(&folded)?;
    let kept = person.as_ref().and_then(|person| person.password.as_deref());
    let is_right = app.people().is_password(password, kept)?;
    let now = app.now();
    let may = |person: &Person| person.disabled.is_none() && person.password_until.is_none_or(|until| now < until);
    let Some(person) = person.filter(|person| is_right && may(person)) else {
        failed(app, visitor, &folded, "password")?;
        return Err(wrong());
    };
    if person.totp.is_none() {
        attempt.went_well(app)?;
        return Ok(Step::In(Box::new(open_session(app, visitor, &person, "password")?)));
    }
    attempt.goes_on(app)?;
    let ticket = random_hex()?;
    let mut tickets = app.people().tickets.lock().unwrap_or_else(PoisonError::into_inner);
    tickets.retain(|_, ticket| now < ticket.until);
    if tickets.len() >= MAX_TICKETS
        && let Some(oldest) = tickets.iter().min_by_key(|(_, ticket)| ticket.until).map(|(hash, _)| *hash)
    {
        tickets.remove(&oldest);
    }
    let kept = Ticket { person: person.id, password: person.password, until: now.after(TICKET_GOOD_FOR) };
    tickets.insert(crate::tokens::hash(&ticket), kept);
    Ok(Step::Code(ticket))
}

/// Looks at the code that follows a right password: of the authenticator, or one on paper.
///
/// # Errors
/// "Wrong", too many tries, a ticket that is no longer good, our trouble.
pub(crate) fn sign_in_code(app: &App, visitor: &Visitor, ticket: &str, code: &str) -> Result<SignedIn, Problem> {
    let over = || Problem::new(StatusCode::UNAUTHORIZED, "this has taken too long: sign in again");
    let hash = crate::tokens::hash(ticket);
    let now = app.now();
    let (id, password) = {
        let tickets = app.people().tickets.lock().unwrap_or_else(PoisonError::into_inner);
        let ticket = tickets.get(&hash).filter(|ticket| now < ticket.until);
        ticket.map(|ticket| (ticket.person, ticket.password.clone())).ok_or_else(over)?
    };
    let person = app.store().person(id)?.filter(|person| person.disabled.is_none() && person.password == password);
    let person = person.ok_or_else(over)?;
    let attempt = Attempt::begin(app, visitor, &format!("code {id}"))?;
    let Some(shown) = second::use_code(app, &person, code)? else {
        failed(app, visitor, &fold(&person.name), "code")?;
        return Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "the code is wrong, or was used before: wait for the next one",
        ));
    };
    app.people().tickets.lock().unwrap_or_else(PoisonError::into_inner).remove(&hash);
    attempt.went_well(app)?;
    // The password was right, and now all of it is.
    Attempt::begin(app, visitor, &format!("name {}", fold(&person.name)))
        .and_then(|attempt| attempt.went_well(app))
        .or_else(|problem| if problem.status() == StatusCode::TOO_MANY_REQUESTS { Ok(()) } else { Err(problem) })?;
    let (how, recovery_left) = match shown {
        Shown::Code => ("password and code", None),
        Shown::Recovery(left) => ("password and recovery code", Some(left)),
    };
    Ok(SignedIn { recovery_left, ..open_session(app, visitor, &person, how)? })
}

/// Begins a session, always with a new id; the one the visitor came with ends.
pub(super) fn open_session(app: &App, visitor: &Visitor, person: &Person, how: &str) -> Result<SignedIn, Problem> {
    let now = app.now();
    end_old(app, visitor, now)?;
    let (id, csrf) = (kit::Secret::new(random_hex()?), random_hex()?);
    let new = NewSession {
        hash: &crate::tokens::hash(id.reveal()),
        person: person.id,
        csrf: &csrf,
        address: &visitor.address.to_string(),
        agent: &visitor.agent,
    };
    let session = app.store().begin_session(&new, now)?;
    let detail = json!({ "how": how, "address": visitor.address.to_string(), "session": session });
    app.store().audit(&person.name, "sign_in", &person.name, &detail.to_string(), now)?;
    Ok(SignedIn { person: person_shown(app, person), cookie: visitor.hand_out(id.reveal()), csrf, recovery_left: None })
}

fn end_old(app: &App, visitor: &Visitor, now: Timestamp) -> Result<(), Problem> {
    let Some(old) = &visitor.session else { return Ok(()) };
    if let Some((session, _)) = app.store().session_by_hash(&crate::tokens::hash(old.reveal()))? {
        app.store().end_session(session.id, None, now)?;
    }
    Ok(())
}

/// Ends the session of a seat. Gives the header `Set-Cookie` that takes the cookie back.
///
/// # Errors
/// A store that cannot be written.
pub(crate) fn sign_out(app: &App, visitor: &Visitor, seat: &Seat) -> Result<HeaderValue, Problem> {
    if let Some(session) = &seat.session {
        app.store().end_session(session.id, None, app.now())?;
        let detail = json!({ "session": session.id }).to_string();
        app.store().audit(&seat.caller.name, "sign_out", &seat.caller.name, &detail, app.now())?;
    }
    Ok(visitor.take_back())
}

/// Writes down a try in vain. Of a name that is nobody's only that: people type passwords into the wrong field.
pub(super) fn failed(app: &App, visitor: &Visitor, folded: &str, what: &str) -> Result<(), Problem> {
    let person = app.store().person_named(folded)?;
    let object = person.as_ref().map_or("unknown", |person| person.name.as_str());
    let detail = json!({ "what": what, "address": visitor.address.to_string() }).to_string();
    app.store().audit("nobody", "sign_in.failed", object, &detail, app.now())?;
    Ok(())
}
