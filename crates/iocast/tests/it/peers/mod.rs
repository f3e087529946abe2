//! Whole exchanges with the built-in connectors against scripted servers: a network in memory on a virtual clock.
//!
//! Servers keep what a real one would keep, lose answers, say "later" and refuse; and they note what a client must not
//! do: call before the time it was told, or say two things under one id. To add a tool: a [`Server`] here, a host in
//! [`Net::new`], its connection and target in `story::config`, its name in `story::TARGETS`.

mod hook;
mod list;
mod misp;
mod ring;
mod story;
mod taxii;

use engine::config::Connection;
use engine::{Stopped, World};
use intel::Timestamp;
use kit::ConnectorError;
use kit::files::Files;
use kit::http::{Answer, Http, HttpConfig, Paces, Sent, Wait};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// A small generator with good spread (SplitMix64).
#[derive(Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.roll() % n.max(1)
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// Percent of calls that go wrong, by how.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trouble {
    /// Answered 429 before anything is done, mostly with a `Retry-After`.
    pub(crate) busy: u64,
    /// The same with 503.
    pub(crate) down: u64,
    /// Everything is done and the answer is lost.
    pub(crate) lost: u64,
}

/// One entry as a tool holds it: reputation and tags.
pub(crate) type Held = BTreeMap<String, (u8, Vec<String>)>;

/// What stands behind one host.
pub(crate) trait Server: Send {
    fn answer(&mut self, now: Timestamp, dice: &mut Dice, sent: &Sent) -> Answer;
    /// What is held under this path.
    fn holds(&self, path: &str) -> Held;
    /// Whether it does not want some values.
    fn picky(&mut self, picky: bool) {
        let _ = picky;
    }
    /// Messages that came again and were not done again.
    fn n_repeats(&self) -> u64 {
        0
    }
    /// Messages that were done.
    fn n_done(&self) -> usize {
        0
    }
    /// Percent of messages that are worked on for up to hours.
    fn slow(&mut self, percent: u64) {
        let _ = percent;
    }
    /// Somebody else writes an object.
    fn put(&mut self, now: Timestamp, path: &str, object: Value) {
        let _ = (now, path, object);
    }
    /// All that somebody else wrote, as it is now.
    fn theirs(&self, path: &str) -> Vec<Value> {
        let _ = path;
        Vec::new()
    }
    /// Its events, for a server of these.
    fn events(&mut self) -> Option<&mut misp::Events> {
        None
    }
    /// Rows to be listed under a path, for servers that are sources.
    fn list(&mut self, path: &str) -> Option<&mut list::Rows> {
        let _ = path;
        None
    }
}

/// The part all servers have: saying "later" and losing answers.
#[derive(Default)]
struct Gate {
    trouble: Trouble,
    /// What was said about calling again, by account; `*`: to everybody.
    not_before: BTreeMap<String, Timestamp>,
    /// Said to the next call, whatever the dice say.
    next: Option<(u16, u64)>,
}

/// What becomes of a call before the server looks at it.
enum Fate {
    Now,
    Lost,
    Later(Answer),
}

impl Gate {
    fn pass(&mut self, now: Timestamp, dice: &mut Dice, account: &str) -> Fate {
        for who in [account, "*"] {
            if let Some(until) = self.not_before.get(who) {
                assert!(now >= *until, "{account} calls at {now}, and was told not before {until}");
            }
        }
        if let Some((status, secs)) = self.next.take() {
            return Fate::Later(Answer::new(status, "later").header_pair("Retry-After", &secs.to_string()));
        }
        let (status, who) = match dice.below(100) {
            n if n < self.trouble.busy => (429, account),
            n if n < self.trouble.busy + self.trouble.down => (503, "*"),
            n if n < self.trouble.busy + self.trouble.down + self.trouble.lost => return Fate::Lost,
            _ => return Fate::Now,
        };
        let answer = Answer::new(status, "later");
        if dice.chance(15) {
            return Fate::Later(answer);
        }
        let secs = [1, 4, 30, 3_600][dice.below(4) as usize];
        let until = now.after(Duration::from_secs(secs));
        self.not_before.insert(who.to_owned(), until);
        Fate::Later(answer.header_pair("Retry-After", &secs.to_string()))
    }
}

/// An answer that gets lost on its way.
fn lost(dice: &mut Dice) -> Answer {
    match dice.chance(50) {
        true => Answer::new(500, "the worker died"),
        false => Answer::new(200, "{").header_pair("Content-Length", "20"),
    }
}

/// Host and path of a request.
fn place(sent: &Sent) -> (String, String) {
    let rest = sent.url().split_once("://").map_or("", |(_, rest)| rest);
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    (host.to_owned(), format!("/{path}"))
}

struct State {
    now: Timestamp,
    dice: Dice,
    gates: BTreeMap<String, Gate>,
    servers: BTreeMap<&'static str, Box<dyn Server>>,
    stop_in: Option<u64>,
    calls: u64,
    waited: Duration,
}

/// The network, shared by engine and test.
#[derive(Clone)]
pub(crate) struct Net {
    state: Arc<Mutex<State>>,
    files: Arc<Files>,
    paces: Arc<Paces>,
}

/// The clock of the network: waiting moves it.
struct Clock(Arc<Mutex<State>>);

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn start() -> Timestamp {
    Timestamp::parse("2026-03-01T00:00:00Z").unwrap()
}

impl Wait for Clock {
    fn now(&self) -> Timestamp {
        lock(&self.0).now
    }

    fn monotonic(&self) -> Duration {
        lock(&self.0).now.since(start())
    }

    fn sleep(&self, duration: Duration) {
        let mut state = lock(&self.0);
        state.now = state.now.after(duration);
        state.waited += duration;
    }
}

impl Net {
    pub(crate) fn new(seed: u64) -> Net {
        let servers: [(&'static str, Box<dyn Server>); 4] = [
            ("lists.example", Box::new(list::Lists::default())),
            ("soc.example", Box::new(hook::Hook::default())),
            ("taxii.example", Box::new(taxii::Taxii::new(seed % 2 == 1))),
            ("misp.example", Box::new(misp::Events::default())),
        ];
        let state = Arc::new(Mutex::new(State {
            now: start(),
            dice: Dice(seed),
            gates: BTreeMap::new(),
            servers: servers.into_iter().collect(),
            stop_in: None,
            calls: 0,
            waited: Duration::ZERO,
        }));
        let paces = Paces::new(Arc::new(Clock(Arc::clone(&state))), seed);
        Net { state, files: Arc::new(Files::below(Vec::new())), paces }
    }

    /// The same network as another process finds it: what hosts said to the old one is forgotten, and so not held
    /// against the new one.
    pub(crate) fn after_restart(&self) -> Net {
        let mut state = lock(&self.state);
        state.gates.values_mut().for_each(|gate| gate.not_before.clear());
        let seed = state.dice.roll();
        drop(state);
        Net { paces: Paces::new(Arc::new(Clock(Arc::clone(&self.state))), seed), ..self.clone() }
    }

    pub(crate) fn now_is(&self) -> Timestamp {
        lock(&self.state).now
    }

    pub(crate) fn advance(&self, secs: u64) {
        let mut state = lock(&self.state);
        state.now = state.now.after(Duration::from_secs(secs));
    }

    pub(crate) fn trouble(&self, host: &'static str, trouble: Trouble) {
        lock(&self.state).gates.entry(host.into()).or_default().trouble = trouble;
    }

    /// The next call to a host is told to come back after so many seconds.
    pub(crate) fn tell_later(&self, host: &'static str, status: u16, secs: u64) {
        lock(&self.state).gates.entry(host.into()).or_default().next = Some((status, secs));
    }

    pub(crate) fn stop_in(&self, steps: Option<u64>) {
        lock(&self.state).stop_in = steps;
    }

    pub(crate) fn server<T>(&self, host: &str, f: impl FnOnce(&mut dyn Server) -> T) -> T {
        f(lock(&self.state).servers.get_mut(host).unwrap().as_mut())
    }

    /// Calls answered, and time waited by the client.
    pub(crate) fn traffic(&self) -> (u64, Duration) {
        let state = lock(&self.state);
        (state.calls, state.waited)
    }

    /// The client of an account.
    fn client(&self, config: HttpConfig, account: &str) -> Http {
        let (state, account) = (Arc::clone(&self.state), account.to_owned());
        Http::answering(config, Arc::new(Clock(Arc::clone(&self.state))), move |sent| {
            let mut state = lock(&state);
            let State { now, dice, gates, servers, calls, .. } = &mut *state;
            *calls += 1;
            let (host, _) = place(sent);
            let Some(server) = servers.get_mut(host.as_str()) else { return Answer::new(404, "no such host") };
            match gates.entry(host).or_default().pass(*now, dice, &account) {
                Fate::Later(answer) => answer,
                Fate::Now => server.answer(*now, dice, sent),
                Fate::Lost => {
                    server.answer(*now, dice, sent);
                    lost(dice)
                }
            }
        })
    }
}

impl World for Net {
    fn now(&self) -> Timestamp {
        self.now_is()
    }

    fn random(&self) -> u64 {
        lock(&self.state).dice.roll()
    }

    fn http(&self, connection: &Connection) -> Result<Http, ConnectorError> {
        let config = HttpConfig {
            pace: Some(self.paces.of(connection.account(), connection.rate())),
            secrets: connection.secrets.clone(),
            jitter_seed: self.random(),
            ..HttpConfig::default()
        };
        Ok(self.client(config, connection.account()))
    }

    fn files(&self) -> &Files {
        &self.files
    }

    fn paces(&self) -> Option<&Paces> {
        Some(&self.paces)
    }

    fn step(&self, point: &'static str) -> Result<(), Stopped> {
        let mut state = lock(&self.state);
        match &mut state.stop_in {
            Some(0) => {
                state.stop_in = None;
                Err(Stopped(point))
            }
            Some(n) => {
                *n -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}
