//! Access tokens of OAuth 2.0 by client credentials (RFC 6749 §4.4): fetched when needed, kept in memory, renewed by one
//! for all.
//!
//! A connector says where tokens come from ([`Grant`]) and puts that on its requests ([`super::Request::oauth`]); it never
//! sees a token. All connections of one account share it. A token is renewed a little before it ends. An answer of 401
//! renews it once and repeats the call once; a second 401 is the end. However many callers find the token ended at the
//! same moment, one asks for another and the rest wait for that answer, a refusal too. Nothing is kept over a restart.

use super::Http;
use super::retry::http_date;
use crate::error::ConnectorError;
use crate::secret::Secret;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A token whose server does not say how long it lives is kept this long.
const LIFE_UNSAID: Duration = Duration::from_secs(300);
/// No token is kept longer, whatever its server says.
const LIFE_MOST: Duration = Duration::from_secs(24 * 3600);
/// A token is renewed when it has less left than this, or a tenth of its life where that is less.
const EARLY_MOST: Duration = Duration::from_secs(60);
/// Who asks for a token so soon after it was refused hears the same refusal, without a call.
const REFUSED_FOR: Duration = Duration::from_secs(30);
/// Longest token taken, in bytes: it must fit a header.
const TOKEN_BYTES: usize = 16 << 10;
/// Tokens kept; beyond, the one that was asked for longest ago is dropped.
const KEPT_MOST: usize = 1_000;

/// How the client shows who it is to the token server (RFC 6749 §2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientAuth {
    /// `client_id` and `client_secret` as fields of the form: what most products want.
    #[default]
    Form,
    /// `Authorization: Basic`.
    Basic,
}

/// Where tokens come from, and for whom.
#[derive(Clone, Default)]
pub struct Grant {
    /// The token server's address.
    pub url: String,
    /// The client's id.
    pub client_id: String,
    /// The client's secret.
    pub client_secret: Secret,
    /// What the token is for, separated by blanks, where the server wants to be told.
    pub scope: Option<String>,
    /// Further fields of the form, such as `resource` or `audience`. Nothing secret.
    pub more: Vec<(String, String)>,
    /// How the client shows who it is.
    pub auth: ClientAuth,
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Grant({} at {})", self.client_id, self.url)
    }
}

impl Grant {
    /// What makes two grants one: everything, the secret too, so that a changed one asks anew.
    fn key(&self, account: &str) -> [u8; 32] {
        let mut hash = Sha256::new();
        let scope = self.scope.as_deref().unwrap_or_default();
        let fixed = [account, &self.url, &self.client_id, self.client_secret.reveal(), scope];
        let more = self.more.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]);
        for part in fixed.into_iter().chain(more) {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }
}

/// The tokens of all accounts: one for a process.
#[derive(Default)]
pub struct Tokens {
    slots: Mutex<BTreeMap<[u8; 32], Kept>>,
}

/// A token, and the turn in which it was last asked for.
type Kept = (Arc<Mutex<Slot>>, u64);

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

/// One token. Its lock is held while another is fetched: that is what makes the others wait.
#[derive(Default)]
struct Slot {
    held: Option<Held>,
    refused: Option<(ConnectorError, Duration)>,
}

struct Held {
    token: Secret,
    /// From here on it is renewed before it is used.
    renew_at: Duration,
}

/// What a token server answers (RFC 6749 §5.1, §5.2).
#[derive(Deserialize, Default)]
#[serde(default)]
struct Told {
    access_token: Option<Secret>,
    token_type: Option<String>,
    expires_in: Value,
    error: Option<String>,
    error_description: Option<String>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tokens {
    /// None yet.
    pub fn new() -> Arc<Tokens> {
        Arc::default()
    }

    /// The token of a grant, fetched if there is none that is good. `spent`: one that was just answered with 401.
    pub(super) fn get(&self, http: &Http, grant: &Grant, spent: Option<&Secret>) -> Result<Secret, ConnectorError> {
        let slot = self.slot(grant.key(http.account()));
        let mut slot = lock(&slot);
        let now = http.wait.monotonic();
        if let Some(held) = &slot.held
            && now < held.renew_at
            // Somebody else may have renewed the spent one meanwhile.
            && spent.is_none_or(|spent| spent.reveal() != held.token.reveal())
        {
            return Ok(held.token.clone());
        }
        slot.held = None;
        if let Some((error, until)) = &slot.refused
            && now < *until
        {
            return Err(error.clone());
        }
        let fetched = fetch(http, grant);
        let now = http.wait.monotonic();
        match fetched {
            Ok((token, life)) => {
                let early = EARLY_MOST.min(life / 10);
                slot.held = Some(Held { token: token.clone(), renew_at: now + life.saturating_sub(early) });
                slot.refused = None;
                Ok(token)
            }
            Err(error) => {
                slot.refused = Some((error.clone(), now + REFUSED_FOR));
                Err(error)
            }
        }
    }

    fn slot(&self, key: [u8; 32]) -> Arc<Mutex<Slot>> {
        let mut slots = lock(&self.slots);
        let turn = slots.values().map(|(_, turn)| *turn).max().unwrap_or(0) + 1;
        if slots.len() >= KEPT_MOST
            && !slots.contains_key(&key)
            && let Some(oldest) = slots.iter().min_by_key(|(_, (_, turn))| *turn).map(|(key, _)| *key)
        {
            slots.remove(&oldest);
        }
        let (slot, asked) = slots.entry(key).or_default();
        *asked = turn;
        Arc::clone(slot)
    }
}

/// Asks the token server: a token and how long it lives.
fn fetch(http: &Http, grant: &Grant) -> Result<(Secret, Duration), ConnectorError> {
    let mut fields = vec![("grant_type", "client_credentials")];
    fields.extend(grant.scope.as_deref().map(|scope| ("scope", scope)));
    fields.extend(grant.more.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    if grant.auth == ClientAuth::Form {
        fields.push(("client_id", &grant.client_id));
    }
    let request = http.post_form(&grant.url, &fields).header("Accept", "application/json").also(&[400, 401]);
    // Asking twice gives two tokens, which harms nobody.
    let request = match grant.auth {
        ClientAuth::Form => request.form_secret("client_secret", &grant.client_secret),
        ClientAuth::Basic => request.basic(&grant.client_id, &grant.client_secret),
    }
    .asking();
    let response = request.send()?;
    if response.status >= 400 {
        let status = response.status;
        let said = response.hide("");
        let shown =
            format!("POST {}: the token server answered {status}", grant.url.split('?').next().unwrap_or_default());
        let told: Told = response.json().unwrap_or_default();
        let words = [told.error, told.error_description].into_iter().flatten().collect::<Vec<_>>().join(": ");
        let words: String = words.chars().filter(|c| !c.is_control()).take(200).collect();
        let words = super::request::scrub(&words, &[("client_secret".into(), grant.client_secret.clone())]);
        let words = if words.is_empty() { said } else { format!(": {words}") };
        return Err(ConnectorError::Denied(format!("{shown}{words}; check client id and client secret")));
    }
    let date = response.header("date").and_then(http_date);
    let told: Told = response.json()?;
    let odd = |why: &str| ConnectorError::Unexpected(format!("the token server's answer {why}"));
    let token = told.access_token.filter(|token| !token.is_empty()).ok_or_else(|| odd("holds no access_token"))?;
    if token.reveal().len() > TOKEN_BYTES || !token.reveal().bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(odd("holds an access_token that fits no header"));
    }
    if told.token_type.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err(odd("holds a token that is no bearer token"));
    }
    // Seconds, by some written as a text, by others as the second it ends.
    let secs = told.expires_in.as_u64().or_else(|| told.expires_in.as_str().and_then(|text| text.trim().parse().ok()));
    let now = date.unwrap_or_else(|| http.wait.now()).secs().cast_unsigned();
    let secs = secs.map(|secs| if secs > 1_000_000_000 { secs.saturating_sub(now) } else { secs });
    let life = secs.map_or(LIFE_UNSAID, Duration::from_secs).min(LIFE_MOST);
    Ok((token, life))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Answer, HttpConfig, NoWait, Sent, Wait};
    use intel::Timestamp;
    use serde_json::json;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

    /// A clock that is put.
    #[derive(Default)]
    struct Clock(AtomicU64);

    impl Wait for Clock {
        fn now(&self) -> Timestamp {
            Timestamp::from_secs(1_790_000_000).after(self.monotonic())
        }

        fn monotonic(&self) -> Duration {
            Duration::from_secs(self.0.load(Ordering::SeqCst))
        }

        fn sleep(&self, _: Duration) {}
    }

    fn grant() -> Grant {
        Grant {
            url: "https://login.example/token?tenant=7".into(),
            client_id: "me".into(),
            client_secret: Secret::new("canary-secret"),
            scope: Some("a b".into()),
            ..Grant::default()
        }
    }

    /// A product and its token server: tokens are numbered, and only the newest is good.
    #[derive(Default)]
    struct Product {
        refreshes: AtomicUsize,
        calls: AtomicUsize,
        /// Tokens from the first to this one are not taken any more.
        spent: AtomicUsize,
        life: AtomicU64,
    }

    impl Product {
        fn http(self: &Arc<Product>, clock: &Arc<Clock>, tokens: &Arc<Tokens>, secret: &str) -> Http {
            let product = Arc::clone(self);
            let config = HttpConfig {
                tokens: Some(Arc::clone(tokens)),
                secrets: vec![("client_secret".into(), Secret::new(secret))],
                ..HttpConfig::default()
            };
            Http::answering(config, clock.clone(), move |sent: &Sent| product.answer(sent))
        }

        fn answer(&self, sent: &Sent) -> Answer {
            if sent.url().starts_with("https://login.example/") {
                let body = String::from_utf8(sent.body()).unwrap();
                assert_eq!(
                    body,
                    "grant_type=client_credentials&scope=a+b&client_id=me&client_secret={{client_secret}}"
                );
                let n = self.refreshes.fetch_add(1, Ordering::SeqCst) + 1;
                let life = self.life.load(Ordering::SeqCst);
                let told = json!({"access_token": format!("token-{n}"), "token_type": "Bearer", "expires_in": life});
                return Answer::new(200, told.to_string());
            }
            self.calls.fetch_add(1, Ordering::SeqCst);
            assert_eq!(sent.header("authorization"), Some("Bearer {{token}}"), "no token is shown");
            let token = sent.headers.iter().find(|header| header.name == "Authorization").unwrap().value();
            let n: usize = token.strip_prefix("Bearer token-").unwrap().parse().unwrap();
            match n > self.spent.load(Ordering::SeqCst) {
                true => Answer::new(200, "fine"),
                false => Answer::new(401, "token expired"),
            }
        }
    }

    fn call(http: &Http) -> Result<u16, ConnectorError> {
        http.post_json("https://api.example/v1", &json!({})).oauth(&grant()).send().map(|response| response.status)
    }

    /// Shown: a token that ends in the middle of a run is renewed by exactly one of all that notice, and each call is
    /// repeated at most once. How: 8 threads of two connections of one account start together; the token ended by the
    /// clock (even rounds) or by the server's 401 (odd rounds). Figures: 200 races of 8 calls; one refresh an expiry,
    /// 1,600 calls answered, no more than one repeat each.
    #[test]
    fn f26_one_refreshes_for_all() {
        let (clock, tokens, product) = (Arc::new(Clock::default()), Tokens::new(), Arc::new(Product::default()));
        product.life.store(3600, Ordering::SeqCst);
        let https = [product.http(&clock, &tokens, "canary-secret"), product.http(&clock, &tokens, "canary-secret")];
        assert_eq!(call(&https[0]), Ok(200));
        for round in 0..200 {
            let (refreshes, calls) = (product.refreshes.load(Ordering::SeqCst), product.calls.load(Ordering::SeqCst));
            match round % 2 {
                0 => drop(clock.0.fetch_add(3_600, Ordering::SeqCst)),
                _ => product.spent.store(refreshes, Ordering::SeqCst),
            }
            let barrier = Barrier::new(8);
            std::thread::scope(|scope| {
                for n in 0..8 {
                    let (http, barrier) = (&https[n % 2], &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        assert_eq!(call(http), Ok(200));
                    });
                }
            });
            assert_eq!(product.refreshes.load(Ordering::SeqCst), refreshes + 1, "round {round}");
            let made = product.calls.load(Ordering::SeqCst) - calls;
            assert!(made >= 8 && made <= if round % 2 == 0 { 8 } else { 16 }, "round {round}: {made}");
        }
    }

    /// Shown: 401 is answered by one refresh and one repeat, then by the end; a token server that refuses is asked once
    /// for all who wait. Figures: 2 calls and 2 tokens for a product that always answers 401; 1 request for 50 callers of
    /// a refusing token server, another one only after 30 s.
    #[test]
    fn f26_a_second_401_is_the_end() {
        let (clock, tokens, product) = (Arc::new(Clock::default()), Tokens::new(), Arc::new(Product::default()));
        product.life.store(3600, Ordering::SeqCst);
        product.spent.store(usize::MAX, Ordering::SeqCst);
        let http = product.http(&clock, &tokens, "canary-secret");
        let error = call(&http).unwrap_err();
        assert!(matches!(&error, ConnectorError::Denied(why) if why.contains("401")), "{error}");
        assert_eq!((product.calls.load(Ordering::SeqCst), product.refreshes.load(Ordering::SeqCst)), (2, 2));

        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let config = HttpConfig { tokens: Some(Tokens::new()), ..HttpConfig::default() };
        let refusing = Http::answering(config, clock.clone(), move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            let told = json!({"error": "invalid_client", "error_description": "canary-secret is\n\u{1b}[31m wrong"});
            Answer::new(401, told.to_string())
        });
        for _ in 0..50 {
            let error = call(&refusing).unwrap_err().to_string();
            assert!(
                error.starts_with("denied: POST https://login.example/token: the token server answered 401"),
                "{error}"
            );
            assert!(error.contains("invalid_client") && error.contains("check client id"), "{error}");
            assert!(!error.contains("canary") && !error.contains(['\n', '\u{1b}']), "{error}");
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        clock.0.fetch_add(31, Ordering::SeqCst);
        call(&refusing).unwrap_err();
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn tokens_are_kept_for_their_life_and_by_account() {
        let (clock, tokens, product) = (Arc::new(Clock::default()), Tokens::new(), Arc::new(Product::default()));
        // Life told, seconds after which it is still the same one, and after which it is another.
        for (life, same, other) in [(3600, 3539, 3540), (100, 89, 90), (0, 0, 0), (u64::MAX, 86_339, 86_340)] {
            clock.0.fetch_add(100_000, Ordering::SeqCst);
            product.life.store(life, Ordering::SeqCst);
            let http = product.http(&clock, &tokens, "canary-secret");
            let before = product.refreshes.load(Ordering::SeqCst);
            call(&http).unwrap();
            clock.0.fetch_add(same, Ordering::SeqCst);
            call(&http).unwrap();
            let kept = usize::from(life == 0);
            assert_eq!(product.refreshes.load(Ordering::SeqCst), before + 1 + kept, "{life}");
            clock.0.fetch_add(other - same, Ordering::SeqCst);
            call(&http).unwrap();
            assert_eq!(product.refreshes.load(Ordering::SeqCst), before + 2 + kept, "{life}");
        }
        let one = grant().key("acme");
        for (what, other) in [
            ("secret", Grant { client_secret: Secret::new("x"), ..grant() }),
            ("scope", Grant { scope: None, ..grant() }),
            ("id", Grant { client_id: "you".into(), ..grant() }),
            ("more", Grant { more: vec![("resource".into(), "r".into())], ..grant() }),
        ] {
            assert_ne!(other.key("acme"), one, "{what}");
        }
        assert_ne!(grant().key("umbrella"), one);
        for n in 0..KEPT_MOST + 5 {
            tokens.slot(Grant { client_id: n.to_string(), ..grant() }.key("x"));
        }
        assert_eq!(lock(&tokens.slots).len(), KEPT_MOST);
    }

    #[test]
    fn answers_that_hold_no_token() {
        for (body, says) in [
            ("<html>log in</html>", "not the JSON expected"),
            ("{}", "no access_token"),
            (r#"{"access_token": ""}"#, "no access_token"),
            (r#"{"access_token": "a\r\nX-Evil: 1"}"#, "fits no header"),
            (r#"{"access_token": "a", "token_type": "mac"}"#, "no bearer token"),
        ] {
            let http = Http::answering(HttpConfig::default(), Arc::new(NoWait), move |_| Answer::new(200, body));
            let error = call(&http).unwrap_err().to_string();
            assert!(error.contains(says), "{body}: {error}");
        }
        let http = Http::answering(HttpConfig { retries: 0, ..HttpConfig::default() }, Arc::new(NoWait), |sent| {
            match sent.url().contains("login") {
                true => Answer::new(200, r#"{"access_token": "t", "expires_in": "3600"}"#),
                false => Answer::new(403, "no right"),
            }
        });
        assert!(call(&http).unwrap_err().to_string().contains("403"));
        assert_eq!(http.calls(), 2, "403 is not about the token: it is not renewed");
    }
}
