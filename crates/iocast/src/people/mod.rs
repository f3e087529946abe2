//! People: who they are, how they prove it, and what they may.
//!
//! A request is made by somebody who sits somewhere: `seat` says who, whether a session's cookie, a token or this very
//! process says so, and gives the one [`Caller`] that everything behind the gate looks at. What a caller may is decided in
//! [`roles`] and nowhere else. Nothing here knows pages: the sign-in form and the API call the same functions, all of which
//! block and belong into `App::hop`.

pub mod roles;

pub(crate) mod accounts;
mod attempts;
mod door;
mod elsewhere;
mod oidc;
mod password;
mod second;
mod set_up;
mod sign_in;

pub use door::OverTls;
pub(crate) use door::{Refused, Visitor, field, is_from_elsewhere, is_ours_with, may_change};
pub(crate) use elsewhere::{Back, check_provider, come_back, leave, providers, way_back};
pub(crate) use set_up::{begin as begin_set_up, set_up};
pub(crate) use sign_in::{SignedIn, Step, sign_in, sign_in_code, sign_out};

use crate::api::Problem;
use crate::app::App;
use crate::tokens::{Caller, Scope};
use axum::http::{Extensions, HeaderMap};
use intel::Timestamp;
use roles::{Role, Roles};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use store::{Person, Session};

/// A session nobody has used for this long is over.
pub const IDLE: Duration = Duration::from_secs(30 * 60);
/// A session is over after this, however much it is used.
pub const LONGEST: Duration = Duration::from_secs(12 * 3600);
/// How often it is noted that a session is used: each note is a write to disk. By so much a session may end early.
const TOUCH_EVERY: Duration = Duration::from_secs(60);

/// Who makes a request, and from where.
#[derive(Debug, Clone)]
pub(crate) struct Seat {
    /// What every route looks at.
    pub(crate) caller: Caller,
    /// The person; None: a token of nobody's, or this very process.
    pub(crate) user: Option<PersonShown>,
    /// Their session; None: they came with a token.
    pub(crate) session: Option<SessionShown>,
    /// What a form must carry in its field `csrf`, and a script in the header `X-Csrf-Token`. Empty without a session.
    pub(crate) csrf: String,
}

/// What a person must do before they may do anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Must {
    /// Set a password of their own.
    SetPassword,
    /// Enrol a second factor, before they may change anything.
    EnrolSecondFactor,
}

/// A person, without anything that proves who they are.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct PersonShown {
    /// Which one.
    pub(crate) id: u32,
    /// What they sign in as, and what the audit log calls them.
    pub(crate) name: String,
    /// Their roles.
    pub(crate) roles: Vec<&'static str>,
    /// They have a second factor.
    pub(crate) second_factor: bool,
    /// They have a password here, and do not only sign in elsewhere.
    pub(crate) password: bool,
    /// The provider of identities they come from.
    pub(crate) issuer: Option<String>,
    /// What they must do first.
    pub(crate) must: Option<Must>,
    /// When the account was made. RFC 3339.
    pub(crate) created: String,
    /// When they last signed in. RFC 3339.
    pub(crate) signed_in: Option<String>,
    /// Since when they may not sign in. RFC 3339.
    pub(crate) disabled: Option<String>,
}

/// A session, without its id.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct SessionShown {
    /// Its number.
    pub(crate) id: u32,
    /// Whose.
    pub(crate) user: String,
    /// From where it was begun.
    pub(crate) address: String,
    /// What the browser called itself.
    pub(crate) agent: String,
    /// RFC 3339.
    pub(crate) created: String,
    /// RFC 3339, to the minute or so.
    pub(crate) last_seen: String,
    /// It is the one of this request.
    pub(crate) current: bool,
}

/// What is remembered of people while the process runs, and never written.
#[derive(Default)]
pub(crate) struct People {
    /// The code that makes the first account.
    code: Mutex<Option<set_up::Code>>,
    /// Passwords that were right, waiting for a second factor, by the hash of what was handed out.
    tickets: Mutex<HashMap<[u8; 32], sign_in::Ticket>>,
    /// Who was sent to a provider of identities.
    away: elsewhere::Away,
    /// What providers of identities said of themselves.
    providers: oidc::Known,
    /// Hashing a password takes memory and time on purpose: so many at once, and no more.
    hashing: [Mutex<()>; 2],
    /// Hashes made: what a try costs must not depend on whose it is.
    n_hashed: AtomicU64,
    /// What the passwords of nobody are compared with, so that it takes as long.
    decoy: OnceLock<String>,
}

/// Who makes a request. None: nobody we know.
///
/// # Errors
/// Our trouble, which must not look like a wrong token or an ended session.
pub(crate) async fn seat(
    app: &Arc<App>,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Result<Option<Seat>, Problem> {
    use crate::api::auth::{Credential, identify};
    let bare = |caller| Seat { caller, user: None, session: None, csrf: String::new() };
    // Who shows a token is asked by that alone: a browser sends its cookies unasked.
    let credential = Credential::of(headers).filter(|credential| matches!(credential, Credential::Bearer(_)));
    if credential.is_some() || extensions.get::<crate::api::auth::Local>().is_some() {
        let Some(caller) = identify(app, extensions, credential).await? else { return Ok(None) };
        let Some(user) = caller.user else { return Ok(Some(bare(caller))) };
        let person = app.hop(move |app| Ok(app.store().person(user)?.map(|person| person_shown(app, &person)))).await?;
        return Ok(Some(Seat { user: person, ..bare(caller) }));
    }
    let visitor = Visitor::of(headers, extensions);
    if visitor.session.is_none() {
        return Ok(None);
    }
    app.hop(move |app| in_session(app, &visitor)).await
}

/// Who sits in the session that a visitor's cookie names.
fn in_session(app: &App, visitor: &Visitor) -> Result<Option<Seat>, Problem> {
    let Some(id) = &visitor.session else { return Ok(None) };
    let now = app.now();
    let found = app.store().session_by_hash(&crate::tokens::hash(id.reveal())).map_err(|error| {
        tracing::error!(%error, "sessions cannot be looked up");
        Problem::later("sessions cannot be checked at the moment", 5)
    })?;
    let Some((session, person)) = found.filter(|(session, person)| is_good(session, person, now)) else {
        return Ok(None);
    };
    if !visitor.is_by_itself
        && now.since(session.last_seen) >= TOUCH_EVERY
        && let Err(error) = app.store().touch_session(session.id, now)
    {
        // A full disk must not sign people out who are about to mend it.
        tracing::warn!(session = session.id, %error, "cannot note that a session was used");
    }
    let csrf = session.csrf.clone();
    let caller = caller_of(app, &person, Some(session.id));
    let shown = session_shown(&session, &person.name, Some(session.id));
    Ok(Some(Seat { caller, user: Some(person_shown(app, &person)), session: Some(shown), csrf }))
}

/// Whether a session goes on.
fn is_good(session: &Session, person: &Person, now: Timestamp) -> bool {
    person.disabled.is_none() && now < session.created.after(LONGEST) && now < session.last_seen.after(IDLE)
}

/// Who sits in the session of somebody who was let in, with what they may now. None: it is over.
///
/// # Errors
/// A store that cannot be read.
pub(crate) fn in_session_still(app: &App, id: u32) -> Result<Option<Caller>, Problem> {
    let now = app.now();
    let Some(session) = app.store().sessions(None)?.into_iter().find(|session| session.id == id) else {
        return Ok(None);
    };
    let person = app.store().person(session.person)?.filter(|person| is_good(&session, person, now));
    Ok(person.map(|person| caller_of(app, &person, Some(id))))
}

/// What a person is to every route.
pub(crate) fn caller_of(app: &App, person: &Person, session: Option<u32>) -> Caller {
    let must = must(app, person);
    let roles = match must {
        None => Roles::stored(&person.roles),
        Some(Must::SetPassword) => Roles::NONE,
        // They may look.
        Some(Must::EnrolSecondFactor) => Roles::of(&[Role::Viewer]),
    };
    Caller {
        name: person.name.clone(),
        scope: Scope::Admin,
        bucket: None,
        token: 0,
        is_local: false,
        user: Some(person.id),
        roles,
        session,
        must,
    }
}

/// What a person must do first.
fn must(app: &App, person: &Person) -> Option<Must> {
    if person.password.is_some() && person.password_until.is_some() {
        return Some(Must::SetPassword);
    }
    let can_change = Roles::stored(&person.roles).iter().any(|role| !matches!(role, Role::Viewer | Role::Auditor));
    let lacks = person.totp.is_none() && person.identity.is_none();
    (lacks && can_change && app.needs_second_factor()).then_some(Must::EnrolSecondFactor)
}

pub(crate) fn person_shown(app: &App, person: &Person) -> PersonShown {
    PersonShown {
        id: person.id,
        name: person.name.clone(),
        roles: Roles::stored(&person.roles).names(),
        second_factor: person.totp.is_some(),
        password: person.password.is_some(),
        issuer: person.identity.as_ref().map(|(issuer, _)| issuer.clone()),
        must: must(app, person),
        created: person.created.to_string(),
        signed_in: person.signed_in.map(|at| at.to_string()),
        disabled: person.disabled.map(|at| at.to_string()),
    }
}

fn session_shown(session: &Session, user: &str, current: Option<u32>) -> SessionShown {
    SessionShown {
        id: session.id,
        user: user.to_owned(),
        address: session.address.clone(),
        agent: session.agent.clone(),
        created: session.created.to_string(),
        last_seen: session.last_seen.to_string(),
        current: current == Some(session.id),
    }
}

/// Who may approve, by name: people, and holders of an admin's token that is nobody's in particular.
pub(crate) fn approvers(store: &store::Store, now: Timestamp) -> Result<BTreeSet<String>, store::StoreError> {
    let may = |person: &Person| {
        person.disabled.is_none() && roles::allows(Roles::stored(&person.roles), roles::Needs::Approve)
    };
    let people = store.people()?.into_iter().filter(may).map(|person| person.name);
    Ok(engine::share::admins(store, now)?.into_iter().chain(people).collect())
}

/// Whether nobody has an account yet: then a visitor is shown the set-up.
///
/// # Errors
/// A store that cannot be read.
pub(crate) fn needs_set_up(app: &App) -> Result<bool, Problem> {
    Ok(!app.store().has_people()?)
}

/// 256 random bits in hex.
fn random_hex() -> Result<String, Problem> {
    let mut bits = [0u8; 32];
    getrandom::fill(&mut bits).map_err(|error| Problem::internal(error.to_string()))?;
    Ok(kit::render::hex(&bits))
}

/// A code to be typed by people: so many groups of five letters and digits that cannot be mistaken for each other, each
/// group 25 random bits.
fn random_code(n_groups: usize) -> Result<kit::Secret, Problem> {
    // Crockford's: no I, L, O, U.
    const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let mut bytes = zeroize::Zeroizing::new(vec![0u8; n_groups * 5]);
    getrandom::fill(&mut bytes).map_err(|error| Problem::internal(error.to_string()))?;
    let letter = |byte: &u8| char::from(LETTERS[usize::from(byte & 31)]);
    let groups: Vec<String> = bytes.chunks(5).map(|group| group.iter().map(letter).collect()).collect();
    Ok(kit::Secret::new(groups.join("-")))
}

/// A typed code as it is compared: in capitals, without what people put between.
fn typed(code: &str) -> String {
    code.chars()
        .filter(|c| !c.is_whitespace() && *c != '-')
        .map(|c| match c.to_ascii_uppercase() {
            'I' | 'L' => '1',
            'O' => '0',
            c => c,
        })
        .collect()
}

/// A name as it is looked up.
pub(crate) fn fold(name: &str) -> String {
    name.trim().to_lowercase()
}
