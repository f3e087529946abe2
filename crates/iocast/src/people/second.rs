//! The second factor: codes of an authenticator (TOTP, RFC 6238), and codes on paper for who has lost it.
//!
//! Each code is good once. The authenticator's secret is sealed like every other; of the codes on paper only hashes are kept,
//! for they are long and random.

use super::accounts::{Enrolled, Enrolling};
use super::{random_code, typed};
use crate::api::Problem;
use crate::app::App;
use axum::http::StatusCode;
use kit::Secret;
use store::{Person, PersonChange};
use totp_rs::{Builder, Totp};

/// Codes on paper.
const N_RECOVERY: usize = 10;
/// Bytes of an authenticator's secret, as RFC 4226 recommends.
const SECRET_BYTES: usize = 20;

/// Where a person's secret is sealed for.
pub(crate) fn place(id: u32) -> String {
    format!("person/{id}/totp")
}

fn totp(secret: &str, name: &str) -> Result<Totp, Problem> {
    let trouble = |why: String| Problem::internal(format!("a second factor cannot be used: {why}"));
    let secret = totp_rs::Secret::try_from_base32(secret).map_err(|error| trouble(error.to_string()))?;
    Builder::new()
        .with_secret(secret)
        .with_issuer(Some("iocast"))
        .with_account_name(name.replace(':', "."))
        .build()
        .map_err(|error| trouble(error.to_string()))
}

fn open(app: &App, person: &Person, kept: &str) -> Result<Secret, Problem> {
    if !Secret::is_sealed(kept) {
        return Ok(Secret::new(kept));
    }
    app.secrets().unseal(&place(person.id), kept).map(Secret::new).map_err(|why| {
        tracing::error!(person = person.id, error = why, "a second factor cannot be unsealed");
        Problem::later("second factors cannot be checked at the moment: the key that opens them is not there", 60)
    })
}

/// Makes a secret for a person's authenticator. It counts once a code from it was sent.
pub(super) fn begin(app: &App, person: &Person) -> Result<Enrolling, Problem> {
    let mut bytes = [0u8; SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| Problem::internal(error.to_string()))?;
    let secret = Secret::new(totp_rs::Secret::from(bytes).to_base32());
    let url = totp(secret.reveal(), &person.name)?.to_url().map_err(|error| Problem::internal(error.to_string()))?;
    let sealed = app
        .secrets()
        .seal(&place(person.id), secret.reveal())
        .map_err(|why| Problem::new(StatusCode::CONFLICT, format!("the secret cannot be sealed: {why}")))?;
    let kept = sealed.as_deref().unwrap_or(secret.reveal());
    let change = PersonChange { totp_pending: Some(Some(kept)), ..PersonChange::default() };
    app.store().change_person(person.id, &change, app.now())?;
    Ok(Enrolling { secret: secret.reveal().to_owned(), url })
}

/// Whether a code is right for what is being enrolled; if so it counts from now on, and every other session ends.
pub(super) fn confirm(app: &App, person: &Person, code: &str, session: u32) -> Result<Option<Enrolled>, Problem> {
    let Some(kept) = &person.totp_pending else {
        return Err(Problem::new(StatusCode::CONFLICT, "no second factor is being enrolled: begin anew"));
    };
    let secret = open(app, person, kept)?;
    let Some(step) = totp(secret.reveal(), &person.name)?.check(&typed(code), secs(app)) else { return Ok(None) };
    let codes = (0..N_RECOVERY).map(|_| random_code(4)).collect::<Result<Vec<Secret>, Problem>>()?;
    let hashes: Vec<[u8; 32]> = codes.iter().map(|code| crate::tokens::hash(&typed(code.reveal()))).collect();
    let change = PersonChange {
        totp: Some(Some(kept)),
        recovery: Some(&hashes),
        end_sessions: Some(Some(session)),
        ..PersonChange::default()
    };
    app.store().change_person(person.id, &change, app.now())?;
    app.store().use_totp_step(person.id, step)?;
    Ok(Some(Enrolled { recovery_codes: codes.iter().map(|code| code.reveal().to_owned()).collect() }))
}

/// What was sent instead of a code, if it was right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    Code,
    /// One of the codes on paper; so many are left.
    Recovery(u32),
}

/// Whether a code is the person's, and was not used before; it is then.
pub(super) fn use_code(app: &App, person: &Person, code: &str) -> Result<Option<Shown>, Problem> {
    let Some(kept) = &person.totp else { return Ok(None) };
    let code = typed(code);
    if code.len() > 64 {
        return Ok(None);
    }
    if code.len() != 6 {
        let was_there = app.store().use_recovery(person.id, &crate::tokens::hash(&code))?;
        return match was_there {
            true => Ok(Some(Shown::Recovery(app.store().recovery_left(person.id)?))),
            false => Ok(None),
        };
    }
    let secret = open(app, person, kept)?;
    match totp(secret.reveal(), &person.name)?.check(&code, secs(app)) {
        Some(step) if app.store().use_totp_step(person.id, step)? => Ok(Some(Shown::Code)),
        _ => Ok(None),
    }
}

fn secs(app: &App) -> u64 {
    u64::try_from(app.now().micros() / 1_000_000).unwrap_or_default()
}
