//! How fast one account may call one host, and what a host said about calling again: shared by all connections.
//!
//! An API that answers "later" to one connection of an account means the account, so no other connection of it calls
//! before that; a 503 means the host, whoever asks. A connection that knows a rate (its connector's, or its own) spreads
//! its calls by it. A wait of a few seconds is waited here; a longer one is an error at once, without a call, and the
//! engine comes back by itself.
//!
//! The key is the host and the *name* of the account: a credential is never looked at. Nothing is kept over a restart:
//! the engine remembers for every connection when it may run again, and the worst that is forgotten is one call of
//! another connection of the account, which is then told again.

use super::Wait;
use super::response::Answer;
use super::retry::retry_after;
use intel::Timestamp;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A call waits for its turn at most this long; what would take longer is an error instead.
pub const WAIT_MOST: Duration = Duration::from_secs(10);
/// The first wait after a 429 or 503 that names none; it doubles with each further one.
const LIMIT_FIRST: Duration = Duration::from_secs(5);
/// The longest of them.
const LIMIT_MOST: Duration = Duration::from_secs(10 * 60);
/// The longest wait taken from headers of an answer that was not itself a refusal. They may speak of one endpoint only,
/// or of a day's quota: after this long one call asks again.
const LEARNT_MOST: Duration = Duration::from_secs(3600);
/// Hosts remembered; beyond, the one that was called longest ago is forgotten.
const HOSTS_MOST: usize = 1_000;
/// Accounts remembered of one host.
const ACCOUNTS_MOST: usize = 1_000;
/// Calls to a host that may be tried again at once, when all is new or nothing has failed for long.
const REPEATS_MOST: f64 = 10.0;
/// Further ones are earned: so many for each call, which bounds what our repeats add to a host in trouble to a tenth.
const REPEATS_PER_CALL: f64 = 0.1;
/// And so many for each minute that passes.
const REPEATS_PER_MINUTE: f64 = 1.0;
/// The shortest sleep: a clock that stands still must not be asked forever.
const WAIT_LEAST: Duration = Duration::from_millis(1);

/// How often one account may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Calls a minute, in the long run; at least 1.
    pub per_minute: u32,
    /// Calls that may follow each other at once after a pause; at least 1.
    pub burst: u32,
}

impl Rate {
    /// From call to call.
    fn spacing(self) -> Duration {
        Duration::from_secs(60) / self.per_minute.max(1)
    }
}

/// What is known of every host and account: one for a process.
pub struct Paces {
    wait: Arc<dyn Wait>,
    hosts: Mutex<BTreeMap<String, Host>>,
    jitter: AtomicU64,
}

impl fmt::Debug for Paces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Paces")
    }
}

#[derive(Default)]
struct Host {
    brake: Brake,
    accounts: BTreeMap<Arc<str>, Lane>,
    last_call: Duration,
    repeats: Repeats,
}

/// How many failed calls may still be tried again at once.
struct Repeats {
    left: f64,
    at: Duration,
}

impl Default for Repeats {
    fn default() -> Repeats {
        Repeats { left: REPEATS_MOST, at: Duration::ZERO }
    }
}

impl Repeats {
    fn earn(&mut self, calls: f64, now: Duration) {
        let minutes = now.saturating_sub(self.at).as_secs_f64() / 60.0;
        self.left = (self.left + calls * REPEATS_PER_CALL + minutes * REPEATS_PER_MINUTE).min(REPEATS_MOST);
        self.at = now;
    }

    fn spend(&mut self, now: Duration) -> bool {
        self.earn(0.0, now);
        let may = self.left >= 1.0;
        self.left -= if may { 1.0 } else { 0.0 };
        may
    }
}

/// One account at one host.
#[derive(Default)]
struct Lane {
    brake: Brake,
    /// When the next call would be due if calls came evenly: ahead of the clock by what was used up.
    due: Duration,
    last_call: Duration,
    calls: u64,
    waited: u64,
    refused: u64,
}

/// A time before which nothing is called.
#[derive(Default)]
struct Brake {
    until: Option<Duration>,
    /// Answers in a row that said "later".
    strikes: u32,
    /// When the last of them came.
    at: Option<Duration>,
    /// How often we were told "later" in all.
    told: u64,
    why: String,
}

impl Brake {
    fn left(&self, now: Duration) -> Duration {
        self.until.map_or(Duration::ZERO, |until| until.saturating_sub(now))
    }

    /// "Later" was said to a call that began at `begun`.
    fn told(&mut self, status: u16, asked: Option<Duration>, begun: Duration, now: Duration, jitter: f64) {
        self.told += 1;
        // Calls that were under way together are told the same thing together: that is one strike.
        if self.at.is_none_or(|at| begun >= at) {
            self.strikes = self.strikes.saturating_add(1);
        }
        self.at = Some(now);
        let (wait, words) = match asked {
            Some(wait) => (wait, format!("answered {status} with Retry-After: {} s", wait.as_secs())),
            None => {
                let doubled = LIMIT_FIRST.saturating_mul(1 << (self.strikes.saturating_sub(1)).min(16));
                let whole = doubled.min(LIMIT_MOST);
                (whole.mul_f64(0.5 + jitter / 2.0), format!("answered {status} and did not say for how long"))
            }
        };
        self.extend(now + wait, words);
    }

    fn extend(&mut self, until: Duration, why: String) {
        if self.until.is_none_or(|old| old < until) {
            self.until = Some(until);
            self.why = why;
        }
    }

    /// An answer that was no "later" to a call that began at `begun`.
    fn fine(&mut self, begun: Duration) {
        if self.at.is_none_or(|at| begun >= at) {
            self.strikes = 0;
        }
    }
}

impl Lane {
    /// How long until the rate allows a call.
    fn slot(&self, rate: Option<Rate>, now: Duration) -> Duration {
        let Some(rate) = rate else { return Duration::ZERO };
        let slack = rate.spacing() * rate.burst.max(1).saturating_sub(1);
        self.due.saturating_sub(slack).saturating_sub(now)
    }

    /// Uses up one call's worth.
    fn take(&mut self, rate: Option<Rate>, now: Duration) {
        if let Some(rate) = rate {
            self.due = self.due.max(now) + rate.spacing();
        }
    }
}

/// What one connection needs of it: which account it belongs to, and its rate.
#[derive(Debug, Clone)]
pub struct Pace {
    paces: Arc<Paces>,
    account: Arc<str>,
    rate: Option<Rate>,
}

/// One host and account, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaceRow {
    /// Host, with its port where the address names one.
    pub host: String,
    /// The account's name; `*`: every account of the host.
    pub account: String,
    /// `free`: a call would go out now. `paced`: it would wait for its turn. `later`: nothing is called before `until`.
    pub state: &'static str,
    /// Until when, where it is not free.
    pub until: Option<Timestamp>,
    /// What the host said last, also when that is over.
    pub why: Option<String>,
    /// Calls made.
    pub calls: u64,
    /// Of these, calls that waited here for their turn.
    pub waited: u64,
    /// Calls not made because they would have had to wait too long.
    pub refused: u64,
    /// How often the host said "later".
    pub told: u64,
}

impl Paces {
    /// Nothing known yet. All waiting is done on this clock.
    pub fn new(wait: Arc<dyn Wait>, jitter_seed: u64) -> Arc<Paces> {
        Arc::new(Paces { wait, hosts: Mutex::default(), jitter: AtomicU64::new(jitter_seed) })
    }

    /// The part of one connection. Connections of one account share what is known; each spreads its calls by its own
    /// rate, over what all of them have used up.
    pub fn of(self: &Arc<Paces>, account: &str, rate: Option<Rate>) -> Pace {
        Pace { paces: Arc::clone(self), account: account.into(), rate }
    }

    /// Every host and account that was called, in order.
    pub fn rows(&self) -> Vec<PaceRow> {
        let (now, clock) = (self.wait.monotonic(), self.wait.now());
        let mut rows = Vec::new();
        for (host, known) in self.lock().iter() {
            let until = |left: Duration| (!left.is_zero()).then(|| clock.after(left));
            let why = |brake: &Brake| (!brake.why.is_empty()).then(|| brake.why.clone());
            if known.brake.told > 0 {
                let left = known.brake.left(now);
                rows.push(PaceRow {
                    host: host.clone(),
                    account: "*".into(),
                    state: if left.is_zero() { "free" } else { "later" },
                    until: until(left),
                    why: why(&known.brake),
                    calls: known.accounts.values().map(|lane| lane.calls).sum(),
                    waited: known.accounts.values().map(|lane| lane.waited).sum(),
                    refused: known.accounts.values().map(|lane| lane.refused).sum(),
                    told: known.brake.told,
                });
            }
            for (account, lane) in &known.accounts {
                let (left, due) = (lane.brake.left(now), lane.due.saturating_sub(now));
                rows.push(PaceRow {
                    host: host.clone(),
                    account: account.to_string(),
                    state: match (left.is_zero(), due.is_zero()) {
                        (false, _) => "later",
                        (true, false) => "paced",
                        (true, true) => "free",
                    },
                    until: until(if left.is_zero() { due } else { left }),
                    why: why(&lane.brake),
                    calls: lane.calls,
                    waited: lane.waited,
                    refused: lane.refused,
                    told: lane.brake.told,
                });
            }
        }
        rows
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Host>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// 0 to 1, from splitmix64.
    fn roll(&self) -> f64 {
        let mut z = self.jitter.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Why no call is made, and for how long.
pub(super) struct NotNow {
    pub(super) wait: Duration,
    pub(super) why: String,
}

impl Pace {
    /// Returns when a call may go out, with the moment it does.
    pub(super) fn admit(&self, url: &str) -> Result<Duration, NotNow> {
        let host = host_of(url);
        let (mut waited, mut queued) = (Duration::ZERO, false);
        loop {
            let wait = {
                let mut hosts = self.paces.lock();
                let now = self.paces.wait.monotonic();
                let known = host_entry(&mut hosts, &host);
                known.last_call = now;
                let shared = known.brake.left(now);
                let words = known.brake.why.clone();
                let lane = lane_entry(known, &self.account);
                lane.last_call = now;
                let own = lane.brake.left(now);
                let slot = if queued { Duration::ZERO } else { lane.slot(self.rate, now) };
                let wait = shared.max(own).max(slot);
                if wait.is_zero() {
                    if !queued {
                        lane.take(self.rate, now);
                    }
                    lane.calls += 1;
                    lane.waited += u64::from(!waited.is_zero());
                    known.repeats.earn(1.0, now);
                    return Ok(now);
                }
                if waited + wait > WAIT_MOST {
                    lane.refused += 1;
                    let secs = wait.as_secs_f64().ceil();
                    let account = &self.account;
                    let why = if wait == slot && !slot.is_zero() {
                        let rate = self.rate.map_or(0, |rate| rate.per_minute);
                        format!("not called: {account} may make {rate} calls a minute here, the next in {secs} s")
                    } else if wait == own {
                        format!("not called for {secs} s more: {host} {} to {account}", lane.brake.why)
                    } else {
                        format!("not called for {secs} s more: {host} {words}")
                    };
                    return Err(NotNow { wait, why });
                }
                if !queued {
                    // A place in the queue: who comes later waits behind.
                    lane.take(self.rate, now);
                    queued = true;
                }
                wait.max(WAIT_LEAST)
            };
            self.paces.wait.sleep(wait);
            waited += wait;
        }
    }

    /// Whose calls these are.
    pub(super) fn account(&self) -> &str {
        &self.account
    }

    /// May a call to this host that failed be tried again at once? If so, that is counted. All connections share it, so
    /// that a host in trouble gets at most a tenth more calls from us, however many of us call it.
    pub(super) fn may_repeat(&self, url: &str) -> bool {
        let mut hosts = self.paces.lock();
        let now = self.paces.wait.monotonic();
        host_entry(&mut hosts, &host_of(url)).repeats.spend(now)
    }

    /// An answer came to a call that began at `begun`.
    ///
    /// 429 is said to the account. 503 is said by the host to whoever asks: it is overloaded or being mended.
    pub(super) fn heard(&self, url: &str, begun: Duration, answer: &Answer) {
        let later = matches!(answer.status, 429 | 503);
        let clock = self.paces.wait.now();
        let asked = answer.header("retry-after").filter(|_| later).and_then(|text| retry_after(text, clock));
        let learnt = used_up(answer, clock);
        let host = host_of(url);
        let mut hosts = self.paces.lock();
        let now = self.paces.wait.monotonic();
        let known = host_entry(&mut hosts, &host);
        match answer.status {
            503 => known.brake.told(503, asked, begun, now, self.paces.roll()),
            429 => lane_entry(known, &self.account).brake.told(429, asked, begun, now, self.paces.roll()),
            _ => {
                known.brake.fine(begun);
                lane_entry(known, &self.account).brake.fine(begun);
            }
        }
        if let Some(wait) = learnt {
            let words = format!("said that no calls are left for {} s", wait.as_secs());
            lane_entry(known, &self.account).brake.extend(now + wait, words);
        }
    }
}

fn host_entry<'a>(hosts: &'a mut BTreeMap<String, Host>, host: &str) -> &'a mut Host {
    if !hosts.contains_key(host) {
        if hosts.len() >= HOSTS_MOST
            && let Some(oldest) = hosts.iter().min_by_key(|(_, known)| known.last_call).map(|(name, _)| name.clone())
        {
            hosts.remove(&oldest);
        }
        hosts.insert(host.to_owned(), Host::default());
    }
    hosts.entry(host.to_owned()).or_default()
}

fn lane_entry<'a>(known: &'a mut Host, account: &Arc<str>) -> &'a mut Lane {
    let lanes = &mut known.accounts;
    if !lanes.contains_key(account)
        && lanes.len() >= ACCOUNTS_MOST
        && let Some(oldest) = lanes.iter().min_by_key(|(_, lane)| lane.last_call).map(|(name, _)| name.clone())
    {
        lanes.remove(&oldest);
    }
    lanes.entry(Arc::clone(account)).or_default()
}

/// Host and port of an address, as written, in lower case.
fn host_of(url: &str) -> Cow<'_, str> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = &rest[..rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len())];
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) { host.to_ascii_lowercase().into() } else { host.into() }
}

/// How long an answer says that no calls are left. Only a remainder of exactly 0 with a reset that can mean one thing is
/// believed: a wrong guess would stop an account for nothing. Never shortens a wait.
///
/// `RateLimit-Remaining` and `RateLimit-Reset` (draft-ietf-httpapi-ratelimit-headers up to 06: seconds from now),
/// `RateLimit: limit=…, remaining=…, reset=…` (07), `RateLimit: "name";r=…;t=…` (since 08), and the older
/// `X-RateLimit-*`, whose reset is seconds from now or, as with GitHub, seconds since 1970.
fn used_up(answer: &Answer, now: Timestamp) -> Option<Duration> {
    let number = |text: &str| -> Option<u64> {
        let text = text.trim();
        (text.len() <= 12 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
    };
    let day = 86_400;
    let secs = |n: u64| (n <= day).then_some(n);
    let header = |name: &str| answer.header(name).and_then(number);
    let mut reset = None;
    if let Some(text) = answer.header("ratelimit") {
        let policies: Vec<&str> = if text.contains(';') { text.split(',').take(16).collect() } else { vec![text] };
        for policy in policies {
            let param = |short: &str, long: &str| {
                let named = |part: &str| {
                    let (name, value) = part.split_once('=')?;
                    [short, long].contains(&name.trim()).then(|| number(value)).flatten()
                };
                policy.split([';', ',']).find_map(named)
            };
            if param("r", "remaining") == Some(0) {
                reset = reset.max(param("t", "reset").and_then(secs));
            }
        }
    } else if header("ratelimit-remaining") == Some(0) {
        reset = header("ratelimit-reset").and_then(secs);
    } else {
        for (remaining, at) in
            [("x-ratelimit-remaining", "x-ratelimit-reset"), ("x-rate-limit-remaining", "x-rate-limit-reset")]
        {
            if header(remaining) == Some(0) {
                let today = u64::try_from(now.secs()).unwrap_or(0);
                let absolute = |n: u64| n.checked_sub(today).and_then(secs);
                reset = header(at).and_then(|n| secs(n).or_else(|| absolute(n)));
            }
        }
    }
    reset.filter(|n| *n > 0).map(|n| Duration::from_secs(n).min(LEARNT_MOST))
}

#[cfg(test)]
#[path = "pace_tests.rs"]
mod tests;
