//! Signing in elsewhere: somebody is sent to a provider of identities, comes back, and is given the roles of their groups.
//!
//! What they left with is in memory, under a state that only the browser that left carries in a cookie of its own. That
//! cookie must come along from the provider's page, so it is SameSite=Lax, and it is good for nothing else; a session's
//! stays Strict. Who somebody is are issuer and subject; what they are called and which mailbox they have proves nothing.

use super::attempts::{Attempt, near};
use super::oidc::{self, Identity, Luggage, Wrong, claim};
use super::roles::{Role, Roles};
use super::sign_in::{SignedIn, open_session};
use super::{Visitor, accounts, fold, needs_set_up, random_hex};
use crate::api::Problem;
use crate::app::App;
use axum::http::{HeaderValue, StatusCode};
use engine::config::{Provider, ProviderDoc};
use intel::Timestamp;
use kit::Secret;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use store::{Person, PersonChange};

/// How long somebody may take at a provider.
pub(super) const AWAY: Duration = Duration::from_secs(600);
/// Who is away at once; the one that left first is forgotten.
const MAX_AWAY: usize = 10_000;
/// The same from one address.
const MAX_AWAY_FROM: usize = 20;
/// Groups looked at of one person.
const MAX_GROUPS: usize = 10_000;

/// Who was sent away, by the hash of the state they carry.
#[derive(Default)]
pub(super) struct Away(Mutex<HashMap<[u8; 32], Traveller>>);

struct Traveller {
    provider: String,
    /// Of how it was configured: it must not have become another meanwhile.
    of: [u8; 32],
    luggage: Luggage,
    next: String,
    from: String,
    until: Timestamp,
}

/// Where somebody is sent, with the cookie they keep.
pub(crate) struct Leaving {
    /// The address.
    pub(crate) to: String,
    /// The header `Set-Cookie` of the answer.
    pub(crate) cookie: HeaderValue,
}

/// What came back in the address.
#[derive(Debug, Clone, Default)]
pub(crate) struct Back {
    /// Good once, at the provider.
    pub(crate) code: String,
    /// As they left with.
    pub(crate) state: String,
    /// Why the provider says no.
    pub(crate) error: String,
    /// Who says it, where the provider says so.
    pub(crate) iss: Option<String>,
}

impl Away {
    fn put(&self, state: [u8; 32], traveller: Traveller, now: Timestamp) {
        let mut away = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        away.retain(|_, traveller| now < traveller.until);
        let from = |from: &str, away: &HashMap<[u8; 32], Traveller>| {
            let those = away.iter().filter(|(_, traveller)| from.is_empty() || traveller.from == from);
            let oldest = those.clone().min_by_key(|(_, traveller)| traveller.until).map(|(state, _)| *state);
            (those.count(), oldest)
        };
        for (n, oldest, most) in [
            {
                let (n, oldest) = from(&traveller.from, &away);
                (n, oldest, MAX_AWAY_FROM)
            },
            {
                let (n, oldest) = from("", &away);
                (n, oldest, MAX_AWAY)
            },
        ] {
            if n >= most
                && let Some(oldest) = oldest
            {
                away.remove(&oldest);
            }
        }
        away.insert(state, traveller);
    }

    /// Takes somebody out: a state is good once.
    fn take(&self, state: &[u8; 32], now: Timestamp) -> Option<Traveller> {
        let mut away = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        away.remove(state).filter(|traveller| now < traveller.until)
    }
}

/// Providers that people can sign in at, by name.
pub(crate) fn providers(app: &App) -> Vec<String> {
    let Ok(engine) = app.engine() else { return Vec::new() };
    let config = engine.config();
    config
        .providers
        .values()
        .filter(|provider| provider.doc.enabled)
        .map(|provider| provider.doc.name.clone())
        .collect()
}

/// Whether what a provider is said to give are roles.
///
/// # Errors
/// The group and what is wrong with its roles.
pub(crate) fn check_provider(_: &App, doc: &ProviderDoc) -> Result<(), Problem> {
    for (group, roles) in &doc.roles {
        Roles::parse(roles.iter().map(String::as_str)).map_err(|why| {
            Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                format!("provider \"{}\", roles of group \"{group}\": {why}", doc.name),
            )
        })?;
    }
    Ok(())
}

/// Where a provider sends people back to.
pub(crate) fn way_back(public_url: &str, name: &str) -> String {
    format!("{public_url}/sign-in/at/{name}/back")
}

fn with_provider<T>(
    app: &App,
    name: &str,
    work: impl FnOnce(&Provider, &str) -> Result<T, Problem>,
) -> Result<T, Problem> {
    if needs_set_up(app)? {
        return Err(Problem::new(StatusCode::CONFLICT, "this exchange is not set up yet"));
    }
    let config = app.engine()?.config();
    let provider = config.providers.get(name).filter(|provider| provider.doc.enabled);
    let provider = provider.ok_or_else(|| Problem::not_found(format!("nobody signs in at \"{name}\" here")))?;
    let public = config.public_url.as_deref().unwrap_or_default();
    work(provider, &way_back(public, name))
}

/// Sends somebody to a provider.
///
/// # Errors
/// No such provider; it cannot be asked.
pub(crate) fn leave(app: &App, visitor: &Visitor, name: &str, next: &str) -> Result<Leaving, Problem> {
    with_provider(app, name, |provider, back| {
        let new = || random_hex().map(Secret::new);
        let luggage = Luggage { state: new()?, nonce: new()?, verifier: new()? };
        let to = oidc::leave(app, provider, back, &luggage).map_err(|Wrong(why)| {
            tracing::error!(provider = name, why, "nobody can sign in at a provider");
            Problem::new(
                StatusCode::BAD_GATEWAY,
                format!(
                    "{name} cannot be asked at the moment: try again, or sign in with a password; the log says why"
                ),
            )
        })?;
        let now = app.now();
        let cookie = visitor.see_off(luggage.state.reveal(), AWAY);
        let state = crate::tokens::hash(luggage.state.reveal());
        let traveller = Traveller {
            provider: name.to_owned(),
            of: oidc::digest(provider),
            luggage,
            next: next.to_owned(),
            from: near(visitor.address),
            until: now.after(AWAY),
        };
        app.people().away.put(state, traveller, now);
        Ok(Leaving { to, cookie })
    })
}

/// Lets in who comes back from a provider, with the roles that their groups have there now. Gives where they wanted to go.
///
/// # Errors
/// Not from there, not theirs, too late; nobody here; a store that cannot be written.
pub(crate) fn come_back(app: &App, visitor: &Visitor, name: &str, back: &Back) -> Result<(SignedIn, String), Problem> {
    with_provider(app, name, |provider, way| {
        let over = || {
            Problem::new(
                StatusCode::UNAUTHORIZED,
                "this browser did not begin this sign-in, or it took longer than ten minutes: begin again",
            )
        };
        // By their hashes: how long it takes says nothing about the state.
        let state = crate::tokens::hash(&back.state);
        let carried = visitor.state.as_ref().map(|state| crate::tokens::hash(state.reveal()));
        if carried != Some(state) {
            return Err(over());
        }
        let traveller = app.people().away.take(&state, app.now()).ok_or_else(over)?;
        let attempt = Attempt::from_address(app, visitor)?;
        let no = |why: &str| {
            refused(app, visitor, name, None, why)?;
            Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                format!(
                    "the sign-in at {name} did not work: begin again, and if it goes on ask {}",
                    whom(&provider.doc)
                ),
            ))
        };
        if traveller.provider != name {
            return no("mix-up: this sign-in was begun at another provider");
        }
        if traveller.of != oidc::digest(provider) {
            return no("the provider was configured anew meanwhile");
        }
        if !back.error.is_empty() || back.code.is_empty() {
            return no(&oidc::words(&format!("the provider says: {}", back.error)));
        }
        let arrived = oidc::arrive(app, provider, way, &traveller.luggage, &back.code, back.iss.as_deref());
        let identity = match arrived {
            Ok(identity) => identity,
            Err(Wrong(why)) => return no(&why),
        };
        let person = admit(app, visitor, provider, &identity)?;
        attempt.went_well(app)?;
        let signed_in = open_session(app, visitor, &person, &format!("provider {name}"))?;
        Ok((signed_in, traveller.next))
    })
}

fn whom(doc: &ProviderDoc) -> &str {
    doc.contact.as_deref().filter(|contact| !contact.trim().is_empty()).unwrap_or("an administrator of this exchange")
}

/// Writes down that somebody was not let in.
fn refused(
    app: &App,
    visitor: &Visitor,
    provider: &str,
    who: Option<(&Identity, Option<&Person>)>,
    why: &str,
) -> Result<(), Problem> {
    let subject = who.map(|(identity, _)| oidc::words(&identity.subject));
    let object = who.and_then(|(_, person)| person).map_or("unknown", |person| person.name.as_str());
    tracing::warn!(provider, why, "somebody who came from a provider was not let in");
    let detail = json!({
        "what": "provider", "provider": provider, "why": why, "subject": subject,
        "address": visitor.address.to_string(),
    });
    app.store().audit("nobody", "sign_in.failed", object, &detail.to_string(), app.now())?;
    Ok(())
}

/// The groups of somebody.
fn groups(provider: &ProviderDoc, identity: &Identity) -> BTreeSet<String> {
    match claim(&identity.claims, provider.group_claim.as_deref().unwrap_or("groups")) {
        Some(Value::String(one)) => BTreeSet::from([one.clone()]),
        Some(Value::Array(many)) => many.iter().take(MAX_GROUPS).filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => BTreeSet::new(),
    }
}

/// What somebody is here, by their groups there; or why nothing.
fn roles_of(doc: &ProviderDoc, identity: &Identity) -> Result<Roles, String> {
    if let Some(domain) = &doc.allowed_domain {
        let email = claim(&identity.claims, "email").and_then(Value::as_str).unwrap_or_default();
        let is_verified = matches!(claim(&identity.claims, "email_verified"), Some(Value::Bool(true)));
        let is_there = email.rsplit_once('@').is_some_and(|(_, host)| host.eq_ignore_ascii_case(domain));
        if !is_verified || !is_there {
            return Err(format!("only people with a verified mailbox in {domain} may sign in"));
        }
    }
    let groups = groups(doc, identity);
    let names = doc.roles.iter().filter(|(group, _)| groups.contains(*group)).flat_map(|(_, roles)| roles);
    let roles: Vec<Role> = names.filter_map(|role| Role::parse(role)).collect();
    if roles.is_empty() {
        return Err("none of your groups has a role here".to_owned());
    }
    Roles::parse(roles.iter().map(|role| role.as_str())).map_err(|why| format!("your groups do not go together: {why}"))
}

/// The account of somebody, as their groups say now; made where there is none.
fn admit(app: &App, visitor: &Visitor, provider: &Provider, identity: &Identity) -> Result<Person, Problem> {
    let doc = &provider.doc;
    let _one = app.editing();
    let now = app.now();
    let known = app.store().person_known_as(&identity.issuer, &identity.subject)?;
    let roles = match roles_of(doc, identity) {
        Ok(roles) => roles,
        Err(why) => {
            refused(app, visitor, &doc.name, Some((identity, known.as_ref())), &why)?;
            if let Some(person) = &known {
                // What they were until now they are no longer: their tokens and sessions must not outlive it.
                set_roles(app, &doc.name, person, Roles::NONE, now)?;
            }
            return Err(Problem::forbidden(format!(
                "you are known at {}, and not let in here: {why}. Ask {}",
                doc.name,
                whom(doc)
            )));
        }
    };
    let Some(person) = known else { return make(app, doc, identity, roles, now) };
    if person.disabled.is_some() {
        refused(app, visitor, &doc.name, Some((identity, Some(&person))), "the account is disabled")?;
        return Err(Problem::forbidden(format!("your account here is disabled. Ask {}", whom(doc))));
    }
    if Roles::stored(&person.roles) != roles {
        set_roles(app, &doc.name, &person, roles, now)?;
    }
    app.store().person(person.id)?.ok_or_else(Problem::unauthorized)
}

fn set_roles(app: &App, provider: &str, person: &Person, roles: Roles, now: Timestamp) -> Result<(), Problem> {
    let before = Roles::stored(&person.roles);
    let text = if roles == Roles::NONE { String::new() } else { roles.to_string() };
    let what = PersonChange {
        roles: Some(&text),
        end_sessions: (roles == Roles::NONE).then_some(None),
        ..PersonChange::default()
    };
    app.store().change_person(person.id, &what, now)?;
    let detail = json!({ "before": before.names(), "after": roles.names() }).to_string();
    app.store().audit(&format!("provider {provider}"), "user.roles", &person.name, &detail, now)?;
    Ok(())
}

/// Makes an account. Its name is one that nobody here has or had: a name from elsewhere leads to no account.
fn make(app: &App, doc: &ProviderDoc, identity: &Identity, roles: Roles, now: Timestamp) -> Result<Person, Problem> {
    let wanted = [doc.name_claim.as_deref().unwrap_or("preferred_username"), "email", "name"];
    let said = wanted.iter().find_map(|name| claim(&identity.claims, name).and_then(Value::as_str));
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '@' | '+');
    let base: String = said.unwrap_or(&identity.subject).chars().filter(|c| plain(*c)).take(24).collect();
    let base = if base.is_empty() { "somebody".to_owned() } else { base };
    let others = (1..1_000).map(|n| match n {
        1 => format!("{base}@{}", doc.name),
        n => format!("{base}@{}-{n}", doc.name),
    });
    for name in std::iter::once(base.clone()).chain(others) {
        if accounts::check_name(app, &name).is_err() {
            continue;
        }
        let who = Some((identity.issuer.as_str(), identity.subject.as_str()));
        let Some(id) = app.store().add_person(&name, &fold(&name), &roles.to_string(), None, who, now)? else {
            continue;
        };
        let detail = json!({
            "id": id, "roles": roles.names(), "issuer": identity.issuer, "subject": oidc::words(&identity.subject),
        });
        app.store().audit(&format!("provider {}", doc.name), "user.add", &name, &detail.to_string(), now)?;
        return app.store().person(id)?.ok_or_else(|| Problem::internal("an account is gone"));
    }
    Err(Problem::new(StatusCode::CONFLICT, format!("there are too many people called \"{base}\": ask {}", whom(doc))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_pushes_nobody_elses_sign_in_out() {
        let away = Away::default();
        let now = Timestamp::from_secs(1_800_000_000);
        let put = |state: u8, n: u16, from: &str| {
            let mut hash = [state; 32];
            hash[1..3].copy_from_slice(&n.to_be_bytes());
            let secret = || Secret::new("x");
            let traveller = Traveller {
                provider: "corp".into(),
                of: [0; 32],
                luggage: Luggage { state: secret(), nonce: secret(), verifier: secret() },
                next: "/".into(),
                from: from.into(),
                until: now.after(AWAY).after(Duration::from_secs(n.into())),
            };
            away.put(hash, traveller, now);
            hash
        };
        let victim = put(1, 0, "192.0.2.1");
        for n in 0..500 {
            put(2, n, "192.0.2.2");
        }
        assert_eq!(away.0.lock().unwrap().len(), 1 + MAX_AWAY_FROM);
        assert!(away.take(&victim, now).is_some());
        assert!(away.take(&victim, now).is_none(), "good once");
        let late = put(3, 0, "192.0.2.3");
        assert!(away.take(&late, now.after(AWAY)).is_none());
    }

    #[test]
    fn groups_give_roles() {
        let doc = |domain: Option<&str>| ProviderDoc {
            name: "corp".into(),
            roles: [("soc", vec!["analyst"]), ("lead", vec!["approver", "viewer"]), ("it", vec!["administrator"])]
                .into_iter()
                .map(|(group, roles)| (group.to_owned(), roles.into_iter().map(str::to_owned).collect()))
                .collect(),
            allowed_domain: domain.map(str::to_owned),
            ..ProviderDoc::default()
        };
        let is = |claims: Value, domain: Option<&str>| {
            let Value::Object(claims) = claims else { panic!() };
            let identity = Identity { issuer: "https://i".into(), subject: "s".into(), claims };
            roles_of(&doc(domain), &identity).map(|roles| roles.to_string())
        };
        for (claims, domain, expect) in [
            (json!({ "groups": ["soc"] }), None, Ok("analyst")),
            (json!({ "groups": ["soc", "lead", "x", 7] }), None, Ok("viewer,analyst,approver")),
            (json!({ "groups": "soc" }), None, Ok("analyst")),
            (json!({ "groups": ["SOC"] }), None, Err("none of your groups")),
            (json!({ "groups": [] }), None, Err("none of your groups")),
            (json!({ "groups": { "soc": true } }), None, Err("none of your groups")),
            (json!({}), None, Err("none of your groups")),
            (json!({ "groups": ["it", "lead"] }), None, Err("do not go together")),
            (
                json!({ "groups": ["soc"], "email": "a@Example.org", "email_verified": true }),
                Some("example.org"),
                Ok("analyst"),
            ),
            (json!({ "groups": ["soc"], "email": "a@example.org" }), Some("example.org"), Err("verified mailbox")),
            (
                json!({ "groups": ["soc"], "email": "a@example.org.evil.example", "email_verified": true }),
                Some("example.org"),
                Err("verified mailbox"),
            ),
            (json!({ "groups": ["soc"] }), Some("example.org"), Err("verified mailbox")),
        ] {
            let got = is(claims.clone(), domain);
            match expect {
                Ok(roles) => assert_eq!(got.as_deref(), Ok(roles), "{claims}"),
                Err(part) => assert!(got.clone().is_err_and(|why| why.contains(part)), "{claims}: {got:?}"),
            }
        }
    }
}
