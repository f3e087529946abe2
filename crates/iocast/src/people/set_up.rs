//! The first account: made by whoever can read what the first start prints.
//!
//! There is no account and no password that comes with the program. Until somebody has an account each start prints a code;
//! it is good for fifteen minutes and once, and is nowhere but in memory.

use super::attempts::Attempt;
use super::roles::{Role, Roles};
use super::sign_in::{SignedIn, open_session};
use super::{Visitor, accounts, fold, needs_set_up, password, random_code, typed};
use crate::api::Problem;
use crate::app::App;
use axum::http::StatusCode;
use intel::Timestamp;
use kit::Secret;
use std::sync::PoisonError;
use std::time::Duration;

/// How long a code is good.
pub(crate) const GOOD_FOR: Duration = Duration::from_secs(15 * 60);

/// A code that was printed.
pub(super) struct Code {
    hash: [u8; 32],
    until: Timestamp,
}

/// Makes a code, unless somebody has an account. The one before is no longer good.
///
/// # Errors
/// A store that cannot be read, or no randomness.
pub(crate) fn begin(app: &App) -> Result<Option<Secret>, Problem> {
    if !needs_set_up(app)? {
        return Ok(None);
    }
    let code = random_code(4)?;
    let kept = Code { hash: crate::tokens::hash(&typed(code.reveal())), until: app.now().after(GOOD_FOR) };
    *app.people().code.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
    Ok(Some(code))
}

/// Makes the first account, an administrator's, and signs them in.
///
/// # Errors
/// A code that is not good, a name or password that is not taken, too many tries.
pub(crate) fn set_up(app: &App, visitor: &Visitor, code: &str, name: &str, secret: &str) -> Result<SignedIn, Problem> {
    if !needs_set_up(app)? {
        return Err(Problem::new(StatusCode::CONFLICT, "this exchange is set up: sign in"));
    }
    let attempt = Attempt::begin(app, visitor, "set-up")?;
    let hash = crate::tokens::hash(&typed(code));
    let is_good = {
        let kept = app.people().code.lock().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().is_some_and(|kept| kept.hash == hash && app.now() < kept.until)
    };
    if !is_good {
        return Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "this is not the code, or it is older than 15 minutes: start the server again to get another one",
        ));
    }
    // Looked at after the code: who has no code learns nothing. The code is good until an account is made with it.
    accounts::check_name(app, name)?;
    password::check(secret, name).map_err(|why| Problem::invalid(format!("password: {why}")))?;
    let kept = app.people().hash(secret)?;
    let roles = Roles::of(&[Role::Administrator]);
    // Two at once: the code is taken by one of them.
    if app.people().code.lock().unwrap_or_else(PoisonError::into_inner).take().is_none() {
        return Err(Problem::new(StatusCode::CONFLICT, "this exchange is set up: sign in"));
    }
    let Some(id) = app.store().add_first_person(name.trim(), &fold(name), &roles.to_string(), &kept, app.now())? else {
        return Err(Problem::new(StatusCode::CONFLICT, "this exchange is set up: sign in"));
    };
    attempt.went_well(app)?;
    app.store().audit(name.trim(), "user.set_up", name.trim(), r#"{"roles":["administrator"]}"#, app.now())?;
    let person = app.store().person(id)?.ok_or_else(|| Problem::internal("the first account is gone"))?;
    open_session(app, visitor, &person, "set-up")
}
