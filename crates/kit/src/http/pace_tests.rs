//! Paces on a clock that only moves when somebody waits or a test moves it.

use super::*;
use crate::error::ConnectorError;
use crate::http::{Http, HttpConfig, NoWait};
use std::collections::VecDeque;

/// Starts at 06 Nov 1994 08:49:37 GMT.
#[derive(Default)]
struct Clock {
    passed: Mutex<Duration>,
    slept: Mutex<Vec<Duration>>,
}

impl Clock {
    fn advance(&self, secs: f64) {
        *self.passed.lock().unwrap() += Duration::from_secs_f64(secs);
    }

    fn slept(&self) -> Vec<f64> {
        self.slept.lock().unwrap().drain(..).map(|slept| slept.as_secs_f64()).collect()
    }
}

impl Wait for Clock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(784_111_777).after(*self.passed.lock().unwrap())
    }

    fn monotonic(&self) -> Duration {
        *self.passed.lock().unwrap()
    }

    fn sleep(&self, duration: Duration) {
        self.slept.lock().unwrap().push(duration);
        *self.passed.lock().unwrap() += duration;
    }
}

/// What the server answers next: status and headers; 200 when there is nothing left.
type Script = Arc<Mutex<VecDeque<(u16, Vec<(&'static str, &'static str)>)>>>;

struct Bench {
    clock: Arc<Clock>,
    paces: Arc<Paces>,
    script: Script,
}

impl Bench {
    fn new() -> Bench {
        let clock = Arc::new(Clock::default());
        let paces = Paces::new(clock.clone(), 7);
        Bench { clock, paces, script: Script::default() }
    }

    /// The client of one connection.
    fn http(&self, account: &str, rate: Option<Rate>) -> Http {
        let config = HttpConfig { pace: Some(self.paces.of(account, rate)), retries: 0, ..HttpConfig::default() };
        let script = Arc::clone(&self.script);
        Http::answering(config, self.clock.clone(), move |_| {
            let (status, headers) = script.lock().unwrap().pop_front().unwrap_or((200, Vec::new()));
            headers.iter().fold(Answer::new(status, ""), |answer, (name, value)| answer.header_pair(name, value))
        })
    }

    fn say(&self, status: u16, headers: &[(&'static str, &'static str)]) {
        self.script.lock().unwrap().push_back((status, headers.to_vec()));
    }

    fn row(&self, host: &str, account: &str) -> PaceRow {
        self.paces.rows().into_iter().find(|row| row.host == host && row.account == account).unwrap()
    }
}

/// Seconds asked to wait; None: it went well.
fn get(http: &Http, host: &str) -> Option<f64> {
    match http.get(&format!("https://{host}/x?key=1")).send() {
        Ok(_) => None,
        Err(ConnectorError::Later { wait, .. } | ConnectorError::Busy { wait, .. }) => {
            Some(wait.map_or(-1.0, |wait| wait.as_secs_f64()))
        }
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn what_one_connection_is_told_holds_for_its_account() {
    let bench = Bench::new();
    let (one, two, other) = (bench.http("acme", None), bench.http("acme", None), bench.http("umbrella", None));
    bench.say(429, &[("Retry-After", "60")]);
    assert_eq!(get(&one, "api.example"), Some(60.0));
    for http in [&one, &two] {
        assert_eq!(
            (get(http, "api.example"), http.calls()),
            (Some(60.0), if std::ptr::eq(http, &one) { 1 } else { 0 })
        );
    }
    assert_eq!(get(&other, "api.example"), None, "another account was told nothing");
    assert_eq!(get(&two, "API.example:8443"), None, "another port is another host");
    assert!(bench.clock.slept().is_empty());
    let row = bench.row("api.example", "acme");
    assert_eq!((row.state, row.calls, row.refused, row.told), ("later", 1, 2, 1));
    assert_eq!(row.until, Some(bench.clock.now().after(Duration::from_secs(60))));
    assert_eq!(row.why.as_deref(), Some("answered 429 with Retry-After: 60 s"));

    // With little left, the call waits for it.
    bench.clock.advance(55.0);
    assert_eq!((get(&two, "api.example"), bench.clock.slept()), (None, vec![5.0]));
    let row = bench.row("api.example", "acme");
    assert_eq!((row.state, row.calls, row.waited, row.until), ("free", 2, 1, None));
}

#[test]
fn a_503_is_said_to_everybody() {
    let bench = Bench::new();
    let (one, other) = (bench.http("acme", None), bench.http("umbrella", None));
    // A date is as good as a number.
    bench.say(503, &[("Retry-After", "Sun, 06 Nov 1994 08:51:37 GMT")]);
    assert_eq!(get(&one, "api.example"), Some(120.0));
    assert_eq!((get(&other, "api.example"), other.calls()), (Some(120.0), 0));
    assert_eq!(get(&other, "other.example"), None);
    assert_eq!(bench.row("api.example", "*").state, "later");
    let said = one.get("https://api.example/x?key=1").send().unwrap_err().to_string();
    assert!(said.contains("GET https://api.example/x: not called for 120 s more: api.example answered 503"), "{said}");
    bench.clock.advance(120.0);
    assert_eq!(get(&other, "api.example"), None);
    assert_eq!(bench.row("api.example", "*").state, "free");
}

#[test]
fn without_a_word_the_wait_doubles_and_ends() {
    let bench = Bench::new();
    let http = bench.http("acme", None);
    let mut waits = Vec::new();
    for _ in 0..12 {
        bench.say(429, &[]);
        assert_eq!(get(&http, "api.example"), Some(-1.0), "what the answer did not say is not made up");
        let until = bench.row("api.example", "acme").until.unwrap();
        waits.push(until.since(bench.clock.now()).as_secs_f64());
        bench.clock.advance(600.0);
    }
    for (n, wait) in waits.iter().enumerate() {
        let whole = (5.0 * f64::from(1 << n)).min(600.0);
        assert!(*wait >= whole / 2.0 - 1e-3 && *wait <= whole, "{n}: {waits:?}");
    }
    // A good answer begins anew.
    assert_eq!(get(&http, "api.example"), None);
    bench.say(429, &[]);
    get(&http, "api.example");
    assert!(bench.row("api.example", "acme").until.unwrap().since(bench.clock.now()).as_secs_f64() <= 5.0);
}

#[test]
fn calls_under_way_together_are_one_strike() {
    let bench = Bench::new();
    let pace = bench.paces.of("acme", None);
    let url = "https://api.example/";
    let begun: Vec<Duration> = (0..5).filter_map(|_| pace.admit(url).ok()).collect();
    bench.clock.advance(1.0);
    for at in &begun {
        pace.heard(url, *at, &Answer::new(429, ""));
    }
    let left = bench.row("api.example", "acme").until.unwrap().since(bench.clock.now());
    assert!(begun.len() == 5 && left <= LIMIT_FIRST, "{left:?}");
    // Nor does a good answer to an older call say that it is over.
    pace.heard(url, begun[0], &Answer::new(200, ""));
    assert_eq!(bench.row("api.example", "acme").state, "later");
}

#[test]
fn a_shorter_word_never_shortens_a_wait() {
    let bench = Bench::new();
    let pace = bench.paces.of("acme", None);
    let url = "https://api.example/";
    for after in ["300", "1"] {
        let answer = Answer::new(429, "").header_pair("Retry-After", after);
        pace.heard(url, Duration::ZERO, &answer);
    }
    assert_eq!(bench.row("api.example", "acme").until, Some(bench.clock.now().after(Duration::from_secs(300))));
}

#[test]
fn calls_are_spread_by_the_rate() {
    let bench = Bench::new();
    // One call each second, three at once after a pause; shared by two connections.
    let rate = Some(Rate { per_minute: 60, burst: 3 });
    let (one, two) = (bench.http("acme", rate), bench.http("acme", rate));
    for http in [&one, &two, &one] {
        assert_eq!((get(http, "api.example"), bench.clock.slept()), (None, vec![]));
    }
    assert_eq!(bench.row("api.example", "acme").state, "paced");
    for http in [&two, &one] {
        assert_eq!((get(http, "api.example"), bench.clock.slept()), (None, vec![1.0]));
    }
    // A connection without a rate of its own is not held back, nor does it use anything up.
    assert_eq!((get(&bench.http("acme", None), "api.example"), bench.clock.slept()), (None, vec![]));
    // Refilled after a pause, and no further than the burst.
    bench.clock.advance(3_600.0);
    let slept: Vec<Vec<f64>> = (0..5)
        .map(|_| {
            get(&one, "api.example");
            bench.clock.slept()
        })
        .collect();
    assert_eq!(slept, [vec![], vec![], vec![], vec![1.0], vec![1.0]]);
    // Another account has its own.
    assert_eq!((get(&bench.http("umbrella", rate), "api.example"), bench.clock.slept()), (None, vec![]));
}

#[test]
fn a_long_turn_is_an_error_at_once() {
    let bench = Bench::new();
    let http = bench.http("acme", Some(Rate { per_minute: 2, burst: 1 }));
    assert_eq!(get(&http, "api.example"), None);
    assert_eq!((get(&http, "api.example"), http.calls()), (Some(30.0), 1));
    let said = http.get("https://api.example/").send().unwrap_err().to_string();
    assert!(said.contains("not called: acme may make 2 calls a minute here, the next in 30 s"), "{said}");
    bench.clock.advance(25.0);
    assert_eq!((get(&http, "api.example"), bench.clock.slept()), (None, vec![5.0]));
}

#[test]
fn a_clock_that_stands_still_ends_in_an_error() {
    let paces = Paces::new(Arc::new(NoWait), 1);
    let (pace, url) = (paces.of("acme", None), "https://a.example/");
    pace.heard(url, Duration::ZERO, &Answer::new(429, "").header_pair("Retry-After", "3"));
    assert!(pace.admit(url).is_err_and(|not_now| not_now.wait == Duration::from_secs(3)));
    assert_eq!(paces.rows()[0].refused, 1);
}

#[test]
fn headers_that_say_that_nothing_is_left() {
    let now = Timestamp::from_secs(1_700_000_000);
    type Headers<'a> = &'a [(&'a str, &'a str)];
    let cases: [(Headers<'_>, Option<u64>); 17] = [
        (&[("RateLimit-Remaining", "0"), ("RateLimit-Reset", "50")], Some(50)),
        (&[("RateLimit-Remaining", "1"), ("RateLimit-Reset", "50")], None),
        (&[("RateLimit-Remaining", "0")], None),
        (&[("RateLimit-Remaining", "0"), ("RateLimit-Reset", "1700000050")], None),
        (&[("RateLimit", "limit=100, remaining=0, reset=50")], Some(50)),
        (&[("RateLimit", "limit=100, remaining=7, reset=50")], None),
        (&[("RateLimit", "\"default\";r=0;t=50")], Some(50)),
        (&[("RateLimit", "\"burst\";r=3;t=9, \"day\";r=0;t=80, \"hour\";r=0;t=70")], Some(80)),
        (&[("RateLimit", "\"default\";r=5;t=50")], None),
        (&[("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "50")], Some(50)),
        (&[("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "1700000050")], Some(50)),
        (&[("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "1700900000")], None),
        (&[("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "1600000000")], None),
        (&[("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "soon")], None),
        (&[("X-Rate-Limit-Remaining", "0"), ("X-Rate-Limit-Reset", "86400")], Some(3_600)),
        (&[("RateLimit", ";;;=,=0;r=;t=99999999999999999999")], None),
        (&[], None),
    ];
    for (headers, secs) in cases {
        let answer = headers.iter().fold(Answer::new(200, ""), |answer, (name, value)| answer.header_pair(name, value));
        assert_eq!(used_up(&answer, now).map(|wait| wait.as_secs()), secs, "{headers:?}");
    }
    let bench = Bench::new();
    let http = bench.http("acme", None);
    bench.say(200, &[("RateLimit-Remaining", "0"), ("RateLimit-Reset", "50")]);
    assert_eq!(get(&http, "api.example"), None);
    assert_eq!(get(&http, "api.example"), Some(50.0));
    assert_eq!(get(&bench.http("umbrella", None), "api.example"), None);
}

#[test]
fn what_is_remembered_has_an_end() {
    let bench = Bench::new();
    let pace = bench.paces.of("acme", None);
    for n in 0..HOSTS_MOST + 50 {
        assert!(pace.admit(&format!("https://h{n}.example/")).is_ok());
        bench.clock.advance(1.0);
    }
    let rows = bench.paces.rows();
    assert_eq!(rows.len(), HOSTS_MOST);
    assert!(rows.iter().all(|row| row.host != "h0.example") && rows.iter().any(|row| row.host == "h1000.example"));
}

#[test]
fn hosts_as_written() {
    for (url, host) in [
        ("https://A.example/x", "a.example"),
        ("https://user:secret@a.example:8443/x", "a.example:8443"),
        ("https://a.example?x=@b.example", "a.example"),
        ("http://[::1]:80/", "[::1]:80"),
        ("nothing", "nothing"),
    ] {
        assert_eq!(host_of(url), host);
    }
}

/// Shown: what a server asks for with 429 or 503 is kept by every connection of the account (503: of every account),
/// whatever it writes into `Retry-After`. How: a server on a virtual clock that says in seconds, as a date, hugely,
/// negatively, as junk or not at all when it may be called again, and counts calls that come earlier; six connections
/// of two accounts call it at random moments. Figures: 40 seeds x 400 tries, 9 spellings; early calls 0; a wait is
/// at most 24 h; where nothing readable was said at least 2.5 s pass.
#[test]
fn f24_nobody_calls_before_the_allowed_time() {
    let asked: [(Option<&str>, f64); 9] = [
        (Some("7"), 7.0),
        (Some("120"), 120.0),
        (Some("86400"), 86_400.0),
        (Some("99999999999999999999"), 86_400.0),
        (Some("Sun, 06 Nov 2094 08:49:37 GMT"), 86_400.0),
        (Some("-5"), 2.5),
        (Some("soon"), 2.5),
        (Some("1e3"), 2.5),
        (None, 2.5),
    ];
    let mut all = 0;
    for seed in 0..40_u64 {
        let bench = Bench::new();
        let rolls = AtomicU64::new(seed);
        let roll = |n: u64| {
            let z = rolls.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
            ((z ^ (z >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33) % n
        };
        // Before when each account, or anybody, must not call.
        let allowed: Arc<Mutex<BTreeMap<&str, f64>>> = Arc::default();
        let (early, told) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let next: Arc<Mutex<Option<(u16, usize)>>> = Arc::default();
        let clients: Vec<Http> = (0..6)
            .map(|n| {
                let account = if n < 4 { "acme" } else { "umbrella" };
                let config =
                    HttpConfig { pace: Some(bench.paces.of(account, None)), retries: 0, ..HttpConfig::default() };
                let (clock, allowed, early, told, next) =
                    (bench.clock.clone(), allowed.clone(), early.clone(), told.clone(), next.clone());
                Http::answering(config, bench.clock.clone(), move |_| {
                    let now = clock.monotonic().as_secs_f64();
                    let mut allowed = allowed.lock().unwrap();
                    let until = |who: &str| allowed.get(who).copied().unwrap_or(0.0);
                    if now < until(account).max(until("*")) - 1e-3 {
                        early.fetch_add(1, Ordering::Relaxed);
                    }
                    let Some((status, which)) = next.lock().unwrap().take() else { return Answer::new(200, "") };
                    told.fetch_add(1, Ordering::Relaxed);
                    let (header, wait) = asked[which];
                    let who = if status == 503 { "*" } else { account };
                    let until = allowed.entry(who).or_default();
                    *until = until.max(now + wait);
                    let answer = Answer::new(status, "");
                    header.map_or(Answer::new(status, ""), |text| answer.header_pair("Retry-After", text))
                })
            })
            .collect();
        for _ in 0..400 {
            if roll(4) == 0 {
                *next.lock().unwrap() = Some((if roll(2) == 0 { 429 } else { 503 }, roll(9) as usize));
            }
            let wait = get(&clients[roll(6) as usize], "api.example");
            assert!(wait.is_none_or(|wait| wait <= 86_400.0), "{wait:?}");
            bench.clock.advance([0.1, 1.0, 9.0, 61.0, 30_000.0][roll(5) as usize]);
        }
        assert_eq!(early.load(Ordering::Relaxed), 0, "seed {seed}");
        all += told.load(Ordering::Relaxed);
    }
    assert!(all > 400, "told {all} times");
}

/// Shown: of the calls a failing host gets from us at most ten and a tenth are repeats, however many connections call it: no retry storm.
/// How: 50 connections of one process call a host that answers 500 to everything, each willing to try three times
/// more. Figures: 1,000 runs: 1,121 calls, where each trying three times more would make 4,000; after ten quiet minutes tries are made again.
#[test]
fn f68_repeats_have_a_budget() {
    let bench = Bench::new();
    let calls = Arc::new(AtomicU64::new(0));
    let clients: Vec<Http> = (0..50)
        .map(|n| {
            let pace = Some(bench.paces.of(&format!("account {n}"), None));
            let count = Arc::clone(&calls);
            Http::answering(HttpConfig { pace, retries: 3, ..HttpConfig::default() }, Arc::new(NoWait), move |_| {
                count.fetch_add(1, Ordering::Relaxed);
                Answer::new(500, "")
            })
        })
        .collect();
    for n in 0..1_000 {
        get(&clients[n % 50], "api.example");
    }
    let made = calls.load(Ordering::Relaxed);
    assert!((1_050..=1_123).contains(&made), "{made}");
    let said = clients[0].get("https://api.example/").send().unwrap_err().to_string();
    assert!(said.contains("not tried again at once"), "{said}");
    bench.clock.advance(600.0);
    calls.store(0, Ordering::Relaxed);
    get(&clients[0], "api.example");
    assert_eq!(calls.load(Ordering::Relaxed), 4);
    get(&clients[0], "other.example");
    assert_eq!(calls.load(Ordering::Relaxed), 8, "another host has its own");
}
