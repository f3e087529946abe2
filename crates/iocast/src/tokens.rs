//! Tokens: who may come in, and how far.
//!
//! A token is 256 random bits behind a prefix that scanners for leaked secrets can look for. It is shown once; only its
//! SHA-256 is kept. What is looked up is the hash of what was sent, so nothing about a stored token can be learned from
//! how long the answer takes, and no other id is ever a credential.

use crate::people::Must;
use crate::people::roles::{self, Needs, Roles};
use intel::Timestamp;
use ipnet::IpNet;
use sha2::{Digest as _, Sha256};
use std::net::IpAddr;
use std::time::Duration;
use store::{Person, Store, StoreError};

/// What every token begins with.
pub const PREFIX: &str = "ioc_";

/// How often it is noted that a token was used: each note is a write to disk.
const TOUCH_EVERY: Duration = Duration::from_secs(3600);

/// What a token allows. A greater scope includes the lesser ones, but for the least, which is apart: who may push to
/// one bucket may do nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Push to one bucket.
    Ingest,
    /// Fetch served lists.
    List,
    /// Read everything but secrets.
    Read,
    /// Everything.
    Admin,
}

impl Scope {
    /// Every scope, the least first.
    pub const ALL: [Scope; 4] = [Scope::Ingest, Scope::List, Scope::Read, Scope::Admin];

    /// The name stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scope::Ingest => "ingest",
            Scope::List => "list",
            Scope::Read => "read",
            Scope::Admin => "admin",
        }
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Option<Scope> {
        Scope::ALL.into_iter().find(|scope| scope.as_str() == text)
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// As written to the audit log.
    pub name: String,
    /// How far they may go.
    pub scope: Scope,
    /// The bucket a caller with scope [`Scope::Ingest`] may push to.
    pub bucket: Option<String>,
    /// The number of their token; 0: in our own process.
    pub token: u32,
    /// In our own process: who may open the data directory needs no token.
    pub is_local: bool,
    /// The person; None: a token of nobody's, or our own process.
    pub user: Option<u32>,
    /// What they are at this moment. Without a person it counts for nothing.
    pub roles: Roles,
    /// The number of their session; None: no session, but a token.
    pub session: Option<u32>,
    /// What they must do before anything else.
    pub must: Option<Must>,
}

impl Caller {
    /// The person at the keyboard of this very process.
    pub fn local() -> Caller {
        Caller { is_local: true, ..Caller::nobodys("local".to_owned(), Scope::Admin, None, 0) }
    }

    /// With a token that belongs to no person.
    pub(crate) fn nobodys(name: String, scope: Scope, bucket: Option<String>, token: u32) -> Caller {
        let (roles, must) = (Roles::NONE, None);
        Caller { name, scope, bucket, token, is_local: false, user: None, roles, session: None, must }
    }

    /// Whether they may do something.
    pub fn may(&self, needs: Needs) -> bool {
        roles::decide(self, needs).is_ok()
    }

    /// Whether they may push to a bucket.
    pub fn may_push(&self, bucket: &str) -> bool {
        self.may(Needs::Ingest) && (self.scope != Scope::Ingest || self.bucket.as_deref() == Some(bucket))
    }
}

/// A new token, not yet stored. Shown once, then forgotten.
pub struct NewToken {
    /// What is handed out.
    pub secret: kit::Secret,
    /// What is stored.
    pub hash: [u8; 32],
}

impl NewToken {
    /// Makes one from the system's randomness.
    ///
    /// # Errors
    /// The system has none to give.
    pub fn generate() -> Result<NewToken, getrandom::Error> {
        let mut bits = [0u8; 32];
        getrandom::fill(&mut bits)?;
        let secret = format!("{PREFIX}{}", kit::render::hex(&bits));
        let hash = hash(&secret);
        Ok(NewToken { secret: kit::Secret::new(secret), hash })
    }
}

/// What is stored of a token.
pub fn hash(secret: &str) -> [u8; 32] {
    hash_bytes(secret.as_bytes())
}

/// The same of bytes that may be no text.
pub(crate) fn hash_bytes(secret: &[u8]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

/// Looks a token up that is shown from an address. None: it is unknown, revoked or expired, or its owner is gone; which of
/// these is not told. What its owner may is for the caller of this to say.
///
/// # Errors
/// A failing store: our trouble, which must not look like a wrong token.
pub fn look_up(store: &Store, secret: &str, from: Option<IpAddr>, now: Timestamp) -> Result<Option<Found>, StoreError> {
    if !secret.starts_with(PREFIX) {
        return Ok(None);
    }
    let Some(token) = store.token_by_hash(&hash(secret))? else { return Ok(None) };
    let Some((scope, bucket)) = stored(&token.scope) else { return Ok(None) };
    if token.expires.is_some_and(|expires| expires <= now) {
        return Ok(None);
    }
    let owner = match token.owner {
        None => None,
        Some(owner) => match store.person(owner)?.filter(|person| person.disabled.is_none()) {
            Some(person) => Some(person),
            None => return Ok(None),
        },
    };
    if !is_from_one_of(&token.networks, from) {
        return Ok(Some(Found::Elsewhere(Caller::nobodys(token.name, scope, bucket, token.id))));
    }
    if token.last_used.is_none_or(|used| now.since(used) >= TOUCH_EVERY)
        && let Err(error) = store.touch_token(token.id, now)
    {
        // A full disk must not keep a reader of lists out.
        tracing::warn!(token = token.id, %error, "cannot note that a token was used");
    }
    Ok(Some(Found::Good(Caller::nobodys(token.name, scope, bucket, token.id), owner.map(Box::new))))
}

/// What a token that is known comes to.
#[derive(Debug)]
pub enum Found {
    /// Who holds it, and whose it is.
    Good(Caller, Option<Box<Person>>),
    /// It is shown from outside of the networks it is bound to: whoever shows it may nothing.
    Elsewhere(Caller),
}

/// Most networks that one token is bound to.
pub const MAX_NETWORKS: usize = 32;

/// Reads networks as people write them: `10.1.0.0/16`, or one address. Each is given as it is stored.
///
/// # Errors
/// The first that is none, or that there are too many.
pub fn networks<'t>(texts: impl IntoIterator<Item = &'t str>) -> Result<Vec<String>, String> {
    let read = |text: &str| {
        let text = text.trim();
        let one = text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical()));
        let many = || text.parse::<IpNet>().map(|network| network.trunc());
        one.or_else(|_| many()).map(|network| network.to_string())
    };
    let mut all = Vec::new();
    for text in texts {
        let network =
            read(text).map_err(|_| format!("\"{text}\" is no network such as 10.1.0.0/16, and no address"))?;
        if !all.contains(&network) {
            all.push(network);
        }
    }
    match all.len() {
        n if n > MAX_NETWORKS => Err(format!("are {n}; at most {MAX_NETWORKS} are looked through")),
        _ => Ok(all),
    }
}

/// Whether an address lies in one of these networks. Where there are none every address does; a list that cannot be read
/// holds nothing, and neither does any hold an address that nobody knows.
fn is_from_one_of(networks: &[String], from: Option<IpAddr>) -> bool {
    networks.is_empty()
        || from.map(|from| from.to_canonical()).is_some_and(|from| {
            networks.iter().any(|network| network.parse::<IpNet>().is_ok_and(|network| network.contains(&from)))
        })
}

/// What a stored scope says: `read`, or `ingest:BUCKET`.
fn stored(text: &str) -> Option<(Scope, Option<String>)> {
    match text.split_once(':') {
        None => Scope::parse(text).filter(|scope| *scope != Scope::Ingest).map(|scope| (scope, None)),
        Some((scope, bucket)) => (Scope::parse(scope)? == Scope::Ingest && !bucket.is_empty())
            .then(|| (Scope::Ingest, Some(bucket.to_owned()))),
    }
}

/// How a scope is stored. None: a bucket is named where none belongs, or the other way round.
pub fn to_store(scope: Scope, bucket: Option<&str>) -> Option<String> {
    match (scope, bucket.filter(|bucket| !bucket.is_empty())) {
        (Scope::Ingest, Some(bucket)) => Some(format!("{}:{bucket}", scope.as_str())),
        (Scope::Ingest, None) | (_, Some(_)) => None,
        (scope, None) => Some(scope.as_str().to_owned()),
    }
}

/// Makes the first token of a store that has none: an administrator's. The secret is given once.
///
/// # Errors
/// A failing store, or no randomness.
pub fn first(store: &Store, now: Timestamp) -> anyhow::Result<Option<kit::Secret>> {
    if !store.tokens()?.is_empty() {
        return Ok(None);
    }
    let token = NewToken::generate()?;
    store.put_token("admin", &token.hash, Scope::Admin.as_str(), now, None)?;
    store.audit("iocast", "token.create", "admin", r#"{"scope":"admin","why":"first start"}"#, now)?;
    Ok(Some(token.secret))
}
