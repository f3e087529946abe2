//! Tokens: seen, made and ended, for every door.

use super::App;
use crate::api::Problem;
use crate::people;
use crate::people::roles::{self, Needs};
use crate::tokens::{self, Caller, NewToken, Scope};
use axum::http::StatusCode;
use intel::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

/// A token, without its secret.
#[derive(Serialize, JsonSchema)]
pub(crate) struct TokenShown {
    /// Which one.
    pub(crate) id: u32,
    /// What people call it.
    pub(crate) name: String,
    /// What it allows.
    pub(crate) scope: String,
    /// RFC 3339.
    pub(crate) created: String,
    /// From when it is no longer good; null: never. RFC 3339.
    pub(crate) expires_at: Option<String>,
    /// RFC 3339, to the hour or so.
    pub(crate) last_used: Option<String>,
    /// When it was revoked. RFC 3339.
    pub(crate) revoked: Option<String>,
    /// Whose it is: it may never do more than they may. Null: nobody's, as the first one and those of devices.
    pub(crate) owner: Option<String>,
    /// Who made it; null: not known.
    pub(crate) made_by: Option<String>,
    /// Networks from which alone it is good; empty: from anywhere.
    pub(crate) networks: Vec<String>,
}

/// A token just made.
#[derive(Serialize, JsonSchema)]
pub(crate) struct TokenMade {
    /// Which one.
    pub(crate) id: u32,
    /// What people call it.
    pub(crate) name: String,
    /// What it allows; of `ingest` with its bucket, `ingest:NAME`.
    pub(crate) scope: String,
    /// From when it is no longer good; null: never. RFC 3339.
    pub(crate) expires_at: Option<String>,
    /// Networks from which alone it is good; empty: from anywhere.
    pub(crate) networks: Vec<String>,
    /// The secret, shown this once.
    pub(crate) token: String,
}

/// A token that is no longer good.
#[derive(Serialize, JsonSchema)]
pub(crate) struct TokenEnded {
    /// Which one.
    pub(crate) id: u32,
    /// Since when. RFC 3339.
    pub(crate) revoked: String,
}

/// A token that is asked for.
pub(crate) struct TokenAsked {
    /// What people call it.
    pub(crate) name: String,
    /// What it allows.
    pub(crate) scope: String,
    /// The bucket a token with scope `ingest` is for.
    pub(crate) connection: Option<String>,
    /// RFC 3339 or a date. Without: 90 days, or for lists never.
    pub(crate) expires_at: Option<String>,
    /// The user whose it is, where nobody in particular makes it.
    pub(crate) owner: Option<String>,
    /// Networks from which alone it is good; an address stands for itself. Empty: from anywhere.
    pub(crate) networks: Vec<String>,
}

/// Longest life of a token that does more than fetch lists, in days.
const MAX_DAYS: u32 = 366;
/// Its life where nothing is said, in days.
const DEFAULT_DAYS: u32 = 90;

/// Whether a token is one that this caller sees and ends: their own, a device's for who configures, any for who manages
/// people.
fn keeps(caller: &Caller, token: &store::Token) -> bool {
    let of_device = token.owner.is_none() && !matches!(token.scope.as_str(), "admin" | "read");
    (token.owner.is_some() && token.owner == caller.user)
        || caller.may(Needs::ManagePeople)
        || (of_device && caller.may(Needs::EditConfig))
}

/// Whose a new token is. None: nobody's.
fn owner_of(app: &App, caller: &Caller, scope: Scope, asked: &TokenAsked) -> Result<Option<u32>, Problem> {
    // A firewall goes on fetching its list when the person who set it up has left.
    let for_device = matches!(scope, Scope::List | Scope::Ingest);
    if for_device {
        roles::decide(caller, Needs::EditConfig)
            .map_err(|why| Problem::forbidden(format!("tokens of devices: {why}")))?;
    }
    match (&asked.owner, caller.user) {
        (Some(_), Some(_)) => Err(Problem::invalid("owner: you make tokens for yourself alone; leave it out")),
        (Some(_), None) if for_device => Err(Problem::invalid("owner: a token of a device has none")),
        (Some(owner), None) => {
            let person = app.store().person_named(&people::fold(owner))?;
            person
                .map(|person| Some(person.id))
                .ok_or_else(|| Problem::not_found(format!("there is no user \"{owner}\"")))
        }
        (None, Some(user)) if !for_device => Ok(Some(user)),
        // The audit log and the rule of two persons know people by name: no token of nobody's may have it.
        (None, _) if app.store().is_name_taken(&people::fold(&asked.name))? => Err(Problem::new(
            StatusCode::CONFLICT,
            format!("name: \"{}\" is that of a user; call the token otherwise", asked.name),
        )),
        (None, _) => Ok(None),
    }
}

impl App {
    /// The tokens that a caller sees, ended ones among them, by number.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub(crate) fn tokens(&self, caller: &Caller) -> Result<Vec<TokenShown>, Problem> {
        let tokens = self.engine()?.store().tokens()?;
        let people = self.store().people()?;
        let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
        let show = |token: store::Token| TokenShown {
            owner: token.owner.map(|id| {
                people.iter().find(|person| person.id == id).map_or_else(|| "(gone)".to_owned(), |p| p.name.clone())
            }),
            id: token.id,
            name: token.name,
            scope: token.scope,
            created: token.created.to_string(),
            expires_at: time(token.expires),
            last_used: time(token.last_used),
            revoked: time(token.revoked),
            made_by: token.made_by,
            networks: token.networks,
        };
        Ok(tokens.into_iter().filter(|token| keeps(caller, token)).map(show).collect())
    }

    /// Makes a token. Its secret is given this once.
    ///
    /// # Errors
    /// A name, scope, bucket or end that will not do; one that is not this caller's to make; a store that cannot be
    /// written.
    pub(crate) fn new_token(&self, caller: &Caller, asked: TokenAsked) -> Result<TokenMade, Problem> {
        let engine = self.engine()?;
        let now = engine.world().now();
        let scope = Scope::parse(&asked.scope).ok_or_else(|| {
            let names: Vec<&str> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
            Problem::invalid(format!("scope: \"{}\" is none of {}", asked.scope, names.join(", ")))
        })?;
        let owner = owner_of(self, caller, scope, &asked)?;
        if asked.name.trim().is_empty() || asked.name.chars().count() > 64 || asked.name.chars().any(char::is_control) {
            return Err(Problem::invalid("name: 1 to 64 characters"));
        }
        let stored = tokens::to_store(scope, asked.connection.as_deref()).ok_or_else(|| {
            Problem::invalid("connection: scope ingest is for one bucket, named here; no other scope takes one")
        })?;
        if let Some(bucket) = &asked.connection {
            engine.bucket(&engine.config(), bucket)?;
        }
        let expires =
            match &asked.expires_at {
                Some(text) => Some(Timestamp::parse(text).ok_or_else(|| {
                    Problem::invalid(format!("expires_at: \"{text}\" is no date, such as 2027-01-31"))
                })?),
                None => (scope != Scope::List).then(|| now.after(DEFAULT_DAYS * intel::DAY)),
            };
        if expires.is_some_and(|expires| expires <= now) {
            return Err(Problem::invalid("expires_at: lies in the past"));
        }
        if scope != Scope::List && expires.is_some_and(|expires| expires > now.after(MAX_DAYS * intel::DAY)) {
            return Err(Problem::invalid("expires_at: at most a year ahead, except for scope list"));
        }
        let networks = tokens::networks(asked.networks.iter().map(String::as_str))
            .map_err(|why| Problem::invalid(format!("networks: {why}")))?;
        let token = NewToken::generate().map_err(|error| Problem::internal(error.to_string()))?;
        let store = engine.store();
        let id = store.put_token_of(&store::TokenToBe {
            owner,
            made_by: Some(&caller.name),
            name: &asked.name,
            hash: &token.hash,
            scope: &stored,
            created: now,
            expires,
            networks: &networks,
        })?;
        let detail = json!({ "id": id, "scope": stored, "owner": asked.owner, "networks": networks }).to_string();
        store.audit(&caller.name, "token.create", &asked.name, &detail, now)?;
        Ok(TokenMade {
            id,
            name: asked.name,
            scope: stored,
            networks,
            expires_at: expires.map(|expires| expires.to_string()),
            token: token.secret.reveal().to_owned(),
        })
    }

    /// Ends a token for good.
    ///
    /// # Errors
    /// Not there, ended before, or not this caller's; a store that cannot be written.
    pub(crate) fn revoke_token(&self, caller: &Caller, id: u32) -> Result<TokenEnded, Problem> {
        let engine = self.engine()?;
        let now = engine.world().now();
        let is_theirs = engine.store().tokens()?.iter().any(|token| token.id == id && keeps(caller, token));
        if !is_theirs || !engine.store().revoke_token(id, now)? {
            return Err(Problem::not_found(format!("there is no token {id} that is still good")));
        }
        engine.store().audit(&caller.name, "token.revoke", &id.to_string(), "{}", now)?;
        Ok(TokenEnded { id, revoked: now.to_string() })
    }
}
