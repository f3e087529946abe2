//! What is said with a provider of identities: OpenID Connect, the authorization code flow with PKCE.
//!
//! The protocol is crate `openidconnect`'s; every call goes through the exchange's own HTTP client, with the provider's
//! proxy, authority and allowed networks. Only asymmetric signatures count, whatever the provider says it can do. Nothing
//! here knows accounts: what comes out is who somebody is there, and what is said of them.

use crate::app::App;
use axum::http::StatusCode;
use engine::config::Provider;
use intel::Timestamp;
use kit::http::Http;
use kit::{ConnectorError, Secret};
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreErrorResponseType,
    CoreGenderClaim, CoreGrantType, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm,
    CoreJwsSigningAlgorithm, CoreResponseMode, CoreResponseType, CoreRevocableToken, CoreRevocationErrorResponse,
    CoreSubjectIdentifierType, CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AccessTokenHash, AdditionalClaims, AdditionalProviderMetadata, AuthType, AuthenticationFlow, AuthorizationCode,
    ClaimsVerificationError, Client, ClientId, ClientSecret, CsrfToken, EmptyExtraTokenFields, EndpointMaybeSet,
    EndpointNotSet, EndpointSet, HttpRequest, HttpResponse, IdTokenFields, IssuerUrl, Nonce, OAuth2TokenResponse as _,
    PkceCodeChallenge, PkceCodeVerifier, ProviderMetadata, RedirectUrl, Scope, StandardErrorResponse,
    StandardTokenResponse, TokenResponse as _, UserInfoClaims,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// How long what a provider says of itself is believed without asking again.
const KNOWN_FOR: Duration = Duration::from_secs(600);
/// After this its keys are read again where a signature does not fit them: it may have changed them.
const KEYS_AGAIN: Duration = Duration::from_secs(60);
/// How far its clock may be ahead of ours.
const CLOCK_SKEW: Duration = Duration::from_secs(300);
/// Longest part of a provider's words that is kept, in characters.
const MAX_WORDS: usize = 300;

/// Signatures that count: those that nobody can make who can check them.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// Everything that is said of somebody.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct All {
    #[serde(flatten)]
    claims: Map<String, Value>,
}

impl AdditionalClaims for All {}

/// What a provider says of itself beyond the core.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Beyond {
    /// RFC 9207: every answer says who it is from.
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

impl AdditionalProviderMetadata for Beyond {}

type Metadata = ProviderMetadata<
    Beyond,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

type Tokens = StandardTokenResponse<
    IdTokenFields<
        All,
        EmptyExtraTokenFields,
        CoreGenderClaim,
        CoreJweContentEncryptionAlgorithm,
        CoreJwsSigningAlgorithm,
    >,
    CoreTokenType,
>;

type Party = Client<
    All,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    Tokens,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// What providers said of themselves, by name.
#[derive(Default)]
pub(super) struct Known(Mutex<HashMap<String, Entry>>);

struct Entry {
    /// Of how it is configured: another configuration asks again.
    of: [u8; 32],
    at: Timestamp,
    said: Arc<Metadata>,
}

/// What goes with somebody to a provider and is looked for when they come back.
#[derive(Debug, Clone)]
pub(super) struct Luggage {
    /// Comes back in the address.
    pub(super) state: Secret,
    /// Comes back in the token.
    pub(super) nonce: Secret,
    /// Shown with the code: who took the code away does not have it.
    pub(super) verifier: Secret,
}

/// Who somebody is at a provider.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) issuer: String,
    pub(super) subject: String,
    /// What is said of them, in the token and where that says no groups also when asked.
    pub(super) claims: Map<String, Value>,
}

/// Why somebody is not let in: for the log, not for them.
#[derive(Debug)]
pub(super) struct Wrong(pub(super) String);

impl Wrong {
    fn of(what: &str, error: &(dyn std::error::Error + 'static)) -> Wrong {
        let mut text = format!("{what}: {error}");
        let mut cause = error.source();
        while let Some(error) = cause {
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        Wrong(words(&text))
    }
}

/// Words from elsewhere, fit for a line of a log.
pub(super) fn words(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_WORDS).collect()
}

/// What tells one configuration of a provider from another.
pub(super) fn digest(provider: &Provider) -> [u8; 32] {
    crate::tokens::hash(&serde_json::to_string(&provider.doc).unwrap_or_default())
}

/// Makes the calls of the protocol.
fn caller(http: &Http) -> impl Fn(HttpRequest) -> Result<HttpResponse, ConnectorError> + '_ {
    move |request: HttpRequest| {
        let (parts, body) = request.into_parts();
        let url = parts.uri.to_string();
        let text = |value: &axum::http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
        let mut call = match parts.method {
            axum::http::Method::GET => http.get(&url),
            _ => {
                let media = parts.headers.get(axum::http::header::CONTENT_TYPE).map(text).unwrap_or_default();
                http.post(&url, &media, body)
            }
        };
        for (name, value) in &parts.headers {
            if name == axum::http::header::AUTHORIZATION {
                call = call.secret_header("authorization", &Secret::new(text(value)));
            } else if name != axum::http::header::CONTENT_TYPE {
                call = call.header(name.as_str(), &text(value));
            }
        }
        // What it says instead of an answer is for the protocol to read.
        let mut answer = call.also(&[400, 401, 403, 404]).send()?;
        let mut body = Vec::new();
        std::io::Read::read_to_end(&mut answer.body, &mut body).map_err(|error| kit::http::read_error(&error))?;
        let mut response = HttpResponse::new(body);
        *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
        for (name, value) in &answer.headers {
            if let (Ok(name), Ok(value)) = (axum::http::HeaderName::try_from(name), value.parse()) {
                response.headers_mut().append(name, value);
            }
        }
        Ok(response)
    }
}

impl Known {
    /// What a provider says of itself, asked again where that is older than `most`.
    fn of(&self, app: &App, provider: &Provider, http: &Http, most: Duration) -> Result<Arc<Metadata>, Wrong> {
        let (of, now) = (digest(provider), app.now());
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = lock().get(&provider.doc.name)
            && entry.of == of
            && now.since(entry.at) < most
        {
            return Ok(entry.said.clone());
        }
        let issuer = IssuerUrl::new(provider.doc.issuer.clone()).map_err(|error| Wrong::of("the issuer", &error))?;
        let said = Metadata::discover(&issuer, &caller(http)).map_err(|error| Wrong::of("discovery", &error))?;
        let said = Arc::new(said);
        lock().insert(provider.doc.name.clone(), Entry { of, at: now, said: said.clone() });
        Ok(said)
    }
}

fn party(provider: &Provider, said: &Metadata, back: &str) -> Result<Party, Wrong> {
    let secret = provider.client_secret.as_ref().map(|secret| ClientSecret::new(secret.reveal().to_owned()));
    let ways = said.token_endpoint_auth_methods_supported();
    let by_form = ways.is_some_and(|ways| {
        !ways.contains(&CoreClientAuthMethod::ClientSecretBasic)
            && ways.contains(&CoreClientAuthMethod::ClientSecretPost)
    });
    let back = RedirectUrl::new(back.to_owned()).map_err(|error| Wrong::of("public_url", &error))?;
    let party = Party::from_provider_metadata(said.clone(), ClientId::new(provider.doc.client_id.clone()), secret);
    let party = party.set_redirect_uri(back);
    Ok(if by_form { party.set_auth_type(AuthType::RequestBody) } else { party })
}

fn http(app: &App, provider: &Provider) -> Result<Http, Wrong> {
    if let Some(why) = &provider.locked {
        return Err(Wrong(why.clone()));
    }
    app.world().provider_http(provider).map_err(|error| Wrong::of("the way there", &error))
}

/// The address that somebody is sent to.
///
/// # Errors
/// The provider cannot be asked, or what it says of itself makes no sense.
pub(super) fn leave(app: &App, provider: &Provider, back: &str, luggage: &Luggage) -> Result<String, Wrong> {
    let http = http(app, provider)?;
    let said = app.people().providers.of(app, provider, &http, KNOWN_FOR)?;
    let party = party(provider, &said, back)?;
    let (state, nonce) = (luggage.state.reveal().to_owned(), luggage.nonce.reveal().to_owned());
    let verifier = PkceCodeVerifier::new(luggage.verifier.reveal().to_owned());
    let flow = AuthenticationFlow::<CoreResponseType>::AuthorizationCode;
    let mut request = party
        .authorize_url(flow, move || CsrfToken::new(state), move || Nonce::new(nonce))
        .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier));
    let usual = ["profile".to_owned(), "email".to_owned()];
    for scope in provider.doc.scopes.as_deref().unwrap_or(&usual).iter().filter(|scope| *scope != "openid") {
        request = request.add_scope(Scope::new(scope.clone()));
    }
    Ok(request.url().0.into())
}

/// Who somebody is who came back with a code.
///
/// # Errors
/// The answer is not this provider's, not for this exchange, not for this sign-in, or too old; it cannot be asked.
pub(super) fn arrive(
    app: &App,
    provider: &Provider,
    back: &str,
    luggage: &Luggage,
    code: &str,
    says_from: Option<&str>,
) -> Result<Identity, Wrong> {
    let http = http(app, provider)?;
    let mut said = app.people().providers.of(app, provider, &http, KNOWN_FOR)?;
    // An answer that says it is another's was carried here by somebody who mixes providers up (RFC 9207).
    match says_from {
        Some(from) if from != provider.doc.issuer => {
            return Err(Wrong(words(&format!("mix-up: the answer says it is from {from}"))));
        }
        None if said.additional_metadata().authorization_response_iss_parameter_supported => {
            return Err(Wrong("mix-up: the answer does not say who it is from, and this provider always does".into()));
        }
        _ => {}
    }
    let client = party(provider, &said, back)?;
    let tokens = client
        .exchange_code(AuthorizationCode::new(code.to_owned()))
        .map_err(|error| Wrong::of("the code", &error))?
        .set_pkce_verifier(PkceCodeVerifier::new(luggage.verifier.reveal().to_owned()))
        .request(&caller(&http))
        .map_err(|error| Wrong::of("the code", &error))?;
    let (issuer, subject, claims) = match claims(app, &client, &tokens, &luggage.nonce) {
        Err(Checked::Signature(why)) => {
            // The keys may be others by now.
            let anew = app.people().providers.of(app, provider, &http, KEYS_AGAIN)?;
            if Arc::ptr_eq(&anew, &said) {
                return Err(why);
            }
            said = anew;
            claims(app, &party(provider, &said, back)?, &tokens, &luggage.nonce).map_err(Checked::into_wrong)?
        }
        done => done.map_err(Checked::into_wrong)?,
    };
    let mut identity = Identity { issuer, subject, claims };
    let group_claim = provider.doc.group_claim.as_deref().unwrap_or("groups");
    let lacks = claim(&identity.claims, group_claim).is_none()
        || (provider.doc.allowed_domain.is_some() && claim(&identity.claims, "email").is_none());
    if lacks && said.userinfo_endpoint().is_some() {
        more(&client, &tokens, &http, &mut identity)?;
    }
    Ok(identity)
}

/// Why a token does not count.
enum Checked {
    /// Its signature fits none of the keys that are known.
    Signature(Wrong),
    Wrong(Wrong),
}

impl Checked {
    fn into_wrong(self) -> Wrong {
        match self {
            Checked::Signature(wrong) | Checked::Wrong(wrong) => wrong,
        }
    }
}

type Said = (String, String, Map<String, Value>);

fn claims(app: &App, party: &Party, tokens: &Tokens, nonce: &Secret) -> Result<Said, Checked> {
    let wrong = |what: &str, error: &(dyn std::error::Error + 'static)| Checked::Wrong(Wrong::of(what, error));
    let now = SystemTime::UNIX_EPOCH + Duration::from_micros(u64::try_from(app.now().micros()).unwrap_or_default());
    let latest = (app.now().after(CLOCK_SKEW).micros()) / 1_000_000;
    let verifier = party
        .id_token_verifier()
        .set_allowed_algs(ALGORITHMS)
        .set_time_fn(move || now.into())
        .set_issue_time_verifier_fn(move |at| match at.timestamp() <= latest {
            true => Ok(()),
            false => Err("it was issued in the future: one of the two clocks is wrong".to_owned()),
        });
    let token = tokens.id_token().ok_or_else(|| Checked::Wrong(Wrong("there is no ID token in the answer".into())))?;
    let expected = Nonce::new(nonce.reveal().to_owned());
    let claims = token.claims(&verifier, &expected).map_err(|error| match &error {
        ClaimsVerificationError::SignatureVerification(_) => Checked::Signature(Wrong::of("the ID token", &error)),
        _ => wrong("the ID token", &error),
    })?;
    if let Some(expected) = claims.access_token_hash() {
        let algorithm = token.signing_alg().map_err(|error| wrong("the ID token", &error))?;
        let key = token.signing_key(&verifier).map_err(|error| wrong("the ID token", &error))?;
        let is = AccessTokenHash::from_token(tokens.access_token(), algorithm, key)
            .map_err(|error| wrong("the access token", &error))?;
        if is != *expected {
            return Err(Checked::Wrong(Wrong(
                "the access token is not the one that the ID token was made with".into(),
            )));
        }
    }
    // Where a token is for several, the one it was issued to is named.
    if claims.authorized_party().is_some_and(|party_| *party_ != *party.client_id()) {
        return Err(Checked::Wrong(Wrong("the ID token was issued to somebody else".into())));
    }
    let subject = claims.subject().to_string();
    if subject.is_empty() || subject.len() > 255 {
        return Err(Checked::Wrong(Wrong("the ID token names nobody".into())));
    }
    Ok((claims.issuer().to_string(), subject, object(claims)))
}

/// Asks what the token does not say. What it says stands.
fn more(party: &Party, tokens: &Tokens, http: &Http, identity: &mut Identity) -> Result<(), Wrong> {
    let subject = openidconnect::SubjectIdentifier::new(identity.subject.clone());
    let told: UserInfoClaims<All, CoreGenderClaim> = party
        .user_info(tokens.access_token().clone(), Some(subject))
        .map_err(|error| Wrong::of("user info", &error))?
        .request(&caller(http))
        .map_err(|error| Wrong::of("user info", &error))?;
    for (key, value) in object(&told) {
        identity.claims.entry(key).or_insert(value);
    }
    Ok(())
}

fn object(claims: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(claims) {
        Ok(Value::Object(mut map)) => {
            map.retain(|_, value| !value.is_null());
            map
        }
        _ => Map::new(),
    }
}

/// A claim by its name, or by the way to it where it is nested.
pub(super) fn claim<'c>(claims: &'c Map<String, Value>, name: &str) -> Option<&'c Value> {
    if let Some(value) = claims.get(name) {
        return Some(value);
    }
    let mut parts = name.split('.');
    let first = claims.get(parts.next()?)?;
    parts.try_fold(first, |value, part| value.get(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_claim_is_found_by_name_or_by_the_way_to_it() {
        let Value::Object(claims) = json!({ "groups": ["a"], "realm": { "roles": ["b"] }, "https://x/y.z": 1 }) else {
            panic!()
        };
        for (name, expect) in [
            ("groups", Some(json!(["a"]))),
            ("realm.roles", Some(json!(["b"]))),
            ("https://x/y.z", Some(json!(1))),
            ("realm.none", None),
            ("groups.a", None),
            ("", None),
        ] {
            assert_eq!(claim(&claims, name), expect.as_ref(), "{name}");
        }
    }

    #[test]
    fn words_from_elsewhere_fit_a_line() {
        assert_eq!(words("a\r\nb\u{1b}[31m"), "ab[31m");
        assert_eq!(words(&"x".repeat(1_000)).len(), MAX_WORDS);
    }
}
