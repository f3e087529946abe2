//! Exceptions from the guard are asked for by one person and approved by another, where `four_eyes` says so.
//!
//! What is asked for changes nothing until somebody who may approve puts exactly that exception. Tokens of nobody's and
//! commands on a data directory are not asked for a second person: nobody knows who is behind them.

use super::error::Problem;
use super::extract::{Body, Part};
use crate::app::App;
use crate::people::roles::{self, Needs};
use crate::tokens::Caller;
use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use engine::config::GuardExceptionDoc;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use store::Proposal;

/// An exception that is asked for.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProposalBody {
    /// Why.
    reason: String,
    /// Until when: a date or RFC 3339.
    until: String,
}

/// An exception that somebody asks for.
#[derive(Serialize, JsonSchema)]
pub(super) struct ProposalShown {
    /// At which target.
    target: String,
    /// Of which value.
    value: String,
    /// Why.
    reason: String,
    /// Until when, as written.
    until: String,
    /// Who asks.
    who: String,
    /// Since when. RFC 3339.
    at: String,
}

impl From<Proposal> for ProposalShown {
    fn from(one: Proposal) -> ProposalShown {
        let Proposal { target, value, reason, until, who, at } = one;
        ProposalShown { target, value, reason, until, who, at: at.to_string() }
    }
}

/// Longest reason, in characters.
const MAX_REASON: usize = 500;

/// What is asked for.
pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Json<Vec<ProposalShown>>, Problem> {
    app.hop(|app| Ok(Json(app.store().proposals()?.into_iter().map(ProposalShown::from).collect()))).await
}

/// Asks for one.
pub(super) async fn propose(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Part((target, value)): Part<(String, String)>,
    Body(body): Body<ProposalBody>,
) -> Result<Json<ProposalShown>, Problem> {
    app.hop(move |app| {
        let asked = Asked { target, value, reason: body.reason, until: body.until };
        Ok(Json(ask(app, &caller, asked)?.into()))
    })
    .await
}

/// An exception as somebody asks for it.
pub(crate) struct Asked {
    pub(crate) target: String,
    pub(crate) value: String,
    pub(crate) reason: String,
    pub(crate) until: String,
}

/// Asks for an exception; nothing changes by that.
///
/// # Errors
/// A target that is not there, a reason or an end that will not do; a store that cannot be written.
pub(crate) fn ask(app: &App, caller: &Caller, asked: Asked) -> Result<Proposal, Problem> {
    let Asked { target, value, reason, until } = asked;
    if app.engine()?.config().target(&target).is_none() {
        return Err(Problem::not_found(format!("there is no target \"{target}\"")));
    }
    if reason.trim().is_empty() || reason.chars().count() > MAX_REASON {
        return Err(Problem::invalid(format!("reason: 1 to {MAX_REASON} characters")));
    }
    if intel::Timestamp::parse(&until).is_none_or(|until| until <= app.now()) {
        return Err(Problem::invalid("until: a date ahead, such as 2027-01-31"));
    }
    let one = Proposal { target, value, reason, until, who: caller.name.clone(), at: app.now() };
    app.store().put_proposal(&one)?;
    let object = format!("{} \u{2192} {}", one.value, one.target);
    let detail = json!({ "reason": one.reason, "until": one.until }).to_string();
    app.store().audit(&one.who, "proposal.put", &object, &detail, one.at)?;
    Ok(one)
}

/// Asks no longer, or says no.
pub(super) async fn withdraw(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Part((target, value)): Part<(String, String)>,
) -> Result<StatusCode, Problem> {
    app.hop(move |app| ask_no_longer(app, &caller, &target, &value)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Asks no longer, or says no.
///
/// # Errors
/// Nobody asks for it; a store that cannot be written.
pub(crate) fn ask_no_longer(app: &App, caller: &Caller, target: &str, value: &str) -> Result<(), Problem> {
    if !app.store().drop_proposal(target, value)? {
        return Err(Problem::not_found("nobody asks for this exception"));
    }
    app.store().audit(&caller.name, "proposal.delete", &format!("{value} \u{2192} {target}"), "{}", app.now())?;
    Ok(())
}

/// Whether this caller may have an exception be in force.
pub(crate) fn may(app: &App, caller: &Caller, doc: &GuardExceptionDoc) -> Result<(), Problem> {
    roles::decide(caller, Needs::Approve).map_err(Problem::forbidden)?;
    if caller.user.is_none() {
        return Ok(());
    }
    if doc.approver != caller.name {
        return Err(Problem::invalid(format!("approver: that is you, \"{}\"", caller.name)));
    }
    if !app.engine()?.needs_second_person()? {
        return Ok(());
    }
    let conflict = |why: &str| Problem::new(StatusCode::CONFLICT, why);
    let asked = app.store().proposals()?;
    match asked.iter().find(|asked| asked.target == doc.target && asked.value == doc.value) {
        None => Err(conflict(
            "somebody else must propose this exception first, because more than one person may approve ([policy] four_eyes \
             says when that is so)",
        )),
        Some(asked) if asked.who == caller.name => {
            Err(conflict("you have proposed this exception: somebody else must approve it"))
        }
        Some(asked) if asked.reason != doc.reason || asked.until != doc.until => {
            Err(conflict("this is not what was proposed: put the proposed reason and end, or have it proposed anew"))
        }
        Some(_) => Ok(()),
    }
}

/// An exception is in force: it is asked for no longer.
pub(crate) fn done(app: &App, _: &Caller, doc: &GuardExceptionDoc) -> Result<(), Problem> {
    app.store().drop_proposal(&doc.target, &doc.value)?;
    Ok(())
}
