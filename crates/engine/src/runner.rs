//! The loop that keeps an exchange going: a closed set of events, worker threads, one run per job at a time.
//!
//! What is due follows from state alone ([`intel::schedule`]); a nudge only makes a job due now, and a nudge during a
//! run means once more afterwards. The loop itself decides nothing else.

use crate::lanes::Lane;
use crate::notice::TellReport;
use crate::state::{ConnectionState, TargetState};
use crate::{Engine, EngineError, Mode, PullReport, ShareReport, Silent, Verify, VerifyReport};
use intel::schedule::{JobState, due, jitter_of, next_due};
use intel::{ConnectionId, TargetId, Timestamp};
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// What can be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Job {
    /// One run of a source.
    Pull(ConnectionId),
    /// One pass over a target.
    Share(TargetId),
    /// One reading back of a target.
    Verify(TargetId),
    /// Note what time has changed.
    Expire,
    /// Remove what retention does not keep.
    Prune,
    /// Tell people what needs them.
    Tell,
}

/// What a job came to.
#[derive(Debug)]
pub enum Ended {
    /// A pull.
    Pulled(PullReport),
    /// A pass.
    Shared(ShareReport),
    /// A reading back.
    Verified(VerifyReport),
    /// So many summaries changed by time.
    Expired(usize),
    /// So many indicators removed.
    Pruned(u64),
    /// Notices were told, or not taken.
    Told(TellReport),
    /// The job could not be run.
    Failed(Job, String),
}

enum Event {
    Nudge(Job),
    /// Whether it was the store that failed stands at the end.
    Finished(Job, Box<Ended>, bool),
    Reconfigured,
    Quiet(Sender<()>),
    Shutdown,
}

/// Longest nap of the loop: how late a change of the clock or the configuration is noticed at most.
const NAP: Duration = Duration::from_secs(5);
/// How often time's changes are folded in.
const EXPIRE_EVERY: Duration = Duration::from_secs(60);
/// How often people are told what is new, and what could not be told is tried again.
const TELL_EVERY: Duration = Duration::from_secs(15);
/// While the store is in trouble: how often it is looked whether that is over. Work goes on at most so long after that,
/// and the loop's nap.
const PROBE_EVERY: Duration = Duration::from_secs(10);
/// How often retention is applied.
const PRUNE_EVERY: Duration = Duration::from_secs(24 * 3600);

/// A running loop. Dropping it does not stop it; [`Runner::stop`] does, and waits for jobs that run.
pub struct Runner {
    events: Sender<Event>,
    handle: Option<JoinHandle<()>>,
}

impl Runner {
    /// Starts the loop; so many jobs of one sort run at once, and more where some take long. `told` hears of every job that ended.
    pub fn start(engine: Arc<Engine>, workers: usize, told: impl Fn(&Ended) + Send + 'static) -> Runner {
        let (events, inbox) = channel();
        let loop_events = events.clone();
        let handle = std::thread::spawn(move || Loop::new(engine, &loop_events, workers).run(&inbox, &told));
        Runner { events, handle: Some(handle) }
    }

    /// Makes a job due now.
    pub fn nudge(&self, job: Job) {
        // A loop that has stopped needs no nudge.
        let _ = self.events.send(Event::Nudge(job));
    }

    /// Says that the configuration has changed: targets are looked at again.
    pub fn reconfigured(&self) {
        let _ = self.events.send(Event::Reconfigured);
    }

    /// Waits until everything that was asked for before has ended, what followed from it too, and nothing more is due at
    /// this moment, or nothing can be begun.
    pub fn until_quiet(&self) {
        let (quiet, is_quiet) = channel();
        // A loop that has stopped is quiet.
        if self.events.send(Event::Quiet(quiet)).is_ok() {
            let _ = is_quiet.recv();
        }
    }

    /// Takes no new work and waits until what runs has ended.
    pub fn stop(mut self) {
        let _ = self.events.send(Event::Shutdown);
        if let Some(handle) = self.handle.take() {
            let _ = handle.join();
        }
    }
}

struct Loop {
    engine: Arc<Engine>,
    jobs: BTreeMap<Job, JobState>,
    events: Sender<Event>,
    workers: usize,
    /// Jobs that were due when the loop began start spread over this time from then on.
    begun: Timestamp,
    seed: u64,
    /// When it was last looked whether the store's trouble is over.
    probed: Option<Timestamp>,
}

/// After a start, what became due meanwhile starts within so long, or a tenth of its interval where that is less: a
/// site that comes back after a blackout does not call everybody at once.
const START_SPREAD: Duration = Duration::from_secs(60);

impl Loop {
    fn new(engine: Arc<Engine>, events: &Sender<Event>, workers: usize) -> Loop {
        let (begun, seed) = (engine.world().now(), engine.world().random());
        Loop {
            engine,
            jobs: BTreeMap::new(),
            events: events.clone(),
            workers: workers.max(1),
            begun,
            seed,
            probed: None,
        }
    }

    fn run(mut self, inbox: &Receiver<Event>, told: &dyn Fn(&Ended)) {
        let (mut stopping, mut is_well) = (false, true);
        let mut waiters: Vec<Sender<()>> = Vec::new();
        loop {
            let now = self.engine.world().now();
            if !stopping {
                self.refresh(now);
                is_well = self.is_well(now);
                if is_well {
                    self.start_due(now);
                }
            }
            if self.jobs.values().all(|job| !job.running) {
                if stopping {
                    break;
                }
                // Who has gone away meanwhile is told nothing.
                for waiter in waiters.drain(..) {
                    let _ = waiter.send(());
                }
            }
            let soonest = self.jobs.values().filter_map(|job| next_due(job, now)).min();
            // What is due waits for the store, and so do we.
            let shortest = if is_well { Duration::from_millis(20) } else { Duration::from_secs(1) };
            let nap = soonest.map_or(NAP, |due| due.since(now)).clamp(shortest, NAP);
            match inbox.recv_timeout(nap) {
                Ok(Event::Nudge(job)) => {
                    if let Some(state) = self.jobs.get_mut(&job) {
                        state.nudged = true;
                    }
                }
                Ok(Event::Finished(job, ended, is_stores)) => {
                    told(&ended);
                    self.finished(job, &ended, is_stores);
                }
                Ok(Event::Reconfigured) => {
                    for (job, state) in &mut self.jobs {
                        state.nudged |= matches!(job, Job::Share(_));
                    }
                }
                Ok(Event::Quiet(waiter)) => waiters.push(waiter),
                Ok(Event::Shutdown) => stopping = true,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
    }

    /// Jobs follow the configuration; what is stored about the last run of each is read once.
    fn refresh(&mut self, _now: Timestamp) {
        let config = self.engine.config();
        let mut wanted: BTreeMap<Job, (Duration, bool)> = BTreeMap::new();
        wanted.insert(Job::Expire, (EXPIRE_EVERY, false));
        wanted.insert(Job::Prune, (PRUNE_EVERY, false));
        wanted.insert(Job::Tell, (TELL_EVERY, false));
        for (id, connection) in &config.connections {
            if connection.open.source().is_some() {
                wanted.insert(Job::Pull(*id), (connection.interval, !connection.doc.enabled));
            }
        }
        for (id, target) in &config.targets {
            let off = !target.doc.enabled || config.connections.get(&target.connection).is_none_or(|c| !c.doc.enabled);
            wanted.insert(Job::Share(*id), (target.interval, off));
            if let Some(every) = target.verify {
                wanted.insert(Job::Verify(*id), (every, off));
            }
        }
        self.jobs.retain(|job, state| wanted.contains_key(job) || state.running);
        for (job, (interval, off)) in wanted {
            let (engine, begun, seed) = (&self.engine, self.begun, self.seed);
            let state = self.jobs.entry(job).or_insert_with(|| {
                let mut state = remembered(engine, job, interval);
                spread_start(&mut state, job, begun, seed);
                state
            });
            state.interval = interval;
            state.paused = off || (state.paused && denied(&self.engine, job));
        }
    }

    /// Whether anything can be written down. While it cannot, no job begins: nothing is pulled that could not be kept,
    /// and nothing sent that could not be meant. What lasts ends with the process only.
    fn is_well(&mut self, now: Timestamp) -> bool {
        let store = self.engine.store();
        let Some(trouble) = store.trouble() else { return true };
        let is_early = self.probed.is_some_and(|at| at <= now && now.since(at) < PROBE_EVERY);
        if trouble.is_lasting() || is_early {
            return false;
        }
        self.probed = Some(now);
        store.probe(now).is_ok()
    }

    fn start_due(&mut self, now: Timestamp) {
        for job in due(self.jobs.iter().map(|(job, state)| (*job, *state)), now) {
            let lane = Lane::of(job);
            let beside = self.jobs.iter().filter(|(other, state)| state.running && Lane::of(**other) == lane);
            let started = beside.filter_map(|(_, state)| state.last_start);
            if !Lane::has_room(started, self.workers, now) {
                continue;
            }
            let (engine, events) = (self.engine.clone(), self.events.clone());
            // Jobs are few and long: a thread of its own costs nothing, and none is ever waited for.
            std::thread::spawn(move || {
                let ended = std::panic::catch_unwind(AssertUnwindSafe(|| run_job(&engine, job)));
                let ended = ended.unwrap_or_else(|_| {
                    Err(EngineError::Invalid("it panicked: please report what the log says".into()))
                });
                let is_stores = matches!(ended, Err(EngineError::Store(_)));
                let ended = ended.unwrap_or_else(|error| Ended::Failed(job, error.to_string()));
                // Nobody listens any more when the loop has ended.
                let _ = events.send(Event::Finished(job, Box::new(ended), is_stores));
            });
            if let Some(state) = self.jobs.get_mut(&job) {
                state.running = true;
                state.nudged = false;
                state.last_start = Some(now);
                state.retry_at = None;
            }
        }
    }

    fn finished(&mut self, job: Job, ended: &Ended, is_stores: bool) {
        let soon = self.engine.world().now().after(PROBE_EVERY);
        if let Some(state) = self.jobs.get_mut(&job) {
            let fresh = remembered(&self.engine, job, state.interval);
            state.running = false;
            // A store that could not write does not know that it was tried.
            state.retry_at = if is_stores { Some(soon) } else { fresh.retry_at };
            state.paused = fresh.paused;
        }
        if matches!(ended, Ended::Pulled(_) | Ended::Shared(_))
            && let Some(tell) = self.jobs.get_mut(&Job::Tell)
        {
            tell.nudged = true;
        }
        // What a pull or time has changed is looked at by every target now: the nudge carries no data.
        let changed = match ended {
            Ended::Pulled(report) => report.touched > 0,
            Ended::Expired(n) => *n > 0,
            _ => false,
        };
        // What was found to be gone is sent again by the next pass.
        if let (Job::Verify(id), Ended::Verified(report)) = (job, ended)
            && report.status == "drift"
            && let Some(state) = self.jobs.get_mut(&Job::Share(id))
        {
            state.nudged |= state.retry_at.is_none();
        }
        if changed {
            for (job, state) in &mut self.jobs {
                state.nudged |= matches!(job, Job::Share(_)) && state.retry_at.is_none();
            }
        }
    }
}

/// What the store remembers of a job's last run.
fn remembered(engine: &Engine, job: Job, interval: Duration) -> JobState {
    let mut state = JobState::new(interval);
    let (last, not_before, denied, seed) = match job {
        Job::Pull(id) => {
            let stored = engine.store().connection_state(id).ok().flatten();
            let stored = ConnectionState::parse(stored.as_deref());
            (stored.last_run, stored.not_before, stored.denied, u64::from(id.0))
        }
        Job::Share(id) => {
            let stored = engine.store().target_state(id).ok().flatten();
            let stored = TargetState::parse(stored.as_deref());
            (stored.last_run, stored.not_before, stored.denied, u64::from(id.0) << 32)
        }
        Job::Verify(id) => {
            let stored = engine.store().target_state(id).ok().flatten();
            let stored = TargetState::parse(stored.as_deref());
            // A target that was never passed over holds nothing to read back.
            let last = stored.verified.or(stored.last_run).unwrap_or_else(|| engine.world().now().micros());
            (Some(last), None, stored.denied, u64::from(id.0) << 40)
        }
        Job::Expire | Job::Prune | Job::Tell => (None, None, false, 0),
    };
    state.last_start = last.map(Timestamp::from_micros);
    state.retry_at = not_before.map(Timestamp::from_micros);
    state.paused = denied;
    state.jitter = jitter_of(seed);
    state
}

/// A job that was already due when the loop began starts a little later, by chance.
fn spread_start(state: &mut JobState, job: Job, begun: Timestamp, seed: u64) {
    let calls_out = matches!(job, Job::Pull(_) | Job::Share(_) | Job::Verify(_));
    // What never ran is new to this exchange: somebody waits for it.
    if !calls_out || state.last_start.is_none() || next_due(state, begun).is_none_or(|at| at > begun) {
        return;
    }
    let number = match job {
        Job::Pull(id) => u64::from(id.0),
        Job::Share(id) => u64::from(id.0) << 32,
        Job::Verify(id) => u64::from(id.0) << 40,
        Job::Expire | Job::Prune | Job::Tell => 0,
    };
    let at = begun.after(START_SPREAD.min(state.interval / 10).mul_f64(jitter_of(seed ^ number)));
    match &mut state.retry_at {
        Some(retry_at) => *retry_at = at,
        // As if it had started so that it is due then: whoever asks for it sooner gets it sooner.
        None => state.last_start = Some(at.before(state.interval + state.interval.mul_f64(state.jitter / 10.0))),
    }
}

fn denied(engine: &Engine, job: Job) -> bool {
    remembered(engine, job, Duration::ZERO).paused
}

fn run_job(engine: &Engine, job: Job) -> Result<Ended, EngineError> {
    let config = engine.config();
    match job {
        Job::Pull(id) => match config.connections.get(&id) {
            Some(connection) => engine.pull(&connection.doc.name, &Silent).map(Ended::Pulled),
            None => Err(EngineError::NotFound(format!("connection #{id} is gone"))),
        },
        Job::Share(id) => match config.targets.get(&id) {
            Some(target) => engine.share(&target.doc.name, Mode::default(), &Silent).map(Ended::Shared),
            None => Err(EngineError::NotFound(format!("target #{id} is gone"))),
        },
        Job::Verify(id) => match config.targets.get(&id) {
            Some(target) => engine.verify(&target.doc.name, Verify::default()).map(Ended::Verified),
            None => Err(EngineError::NotFound(format!("target #{id} is gone"))),
        },
        Job::Expire => engine.advance().map(Ended::Expired),
        Job::Prune => engine.prune().map(Ended::Pruned),
        Job::Tell => engine.take_notice().and_then(|_| engine.tell_due()).map(Ended::Told),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shown: after a start, what became due meanwhile does not start all at once, and two exchanges that start together
    /// do not call at the same moments; what never ran starts at once. How: the starting times of 500 hourly jobs that
    /// are all overdue, for two seeds. Figures: spread over 60 s; no second of it has more than a tenth of the jobs;
    /// fewer than 5 % of the jobs start within 100 ms of their twin.
    #[test]
    fn f68_a_restart_is_no_stampede() {
        let begun = Timestamp::from_secs(1_790_000_000);
        let starts = |seed: u64| -> Vec<Duration> {
            let one = |n| {
                let mut state = JobState::new(Duration::from_secs(3600));
                state.last_start = Some(begun.before(Duration::from_secs(90_000)));
                spread_start(&mut state, Job::Pull(ConnectionId(n)), begun, seed);
                next_due(&state, begun).unwrap().since(begun)
            };
            (0..500).map(one).collect()
        };
        let (one, other) = (starts(1), starts(2));
        for all in [&one, &other] {
            for second in 0..60 {
                let n = all.iter().filter(|at| at.as_secs() == second).count();
                assert!(n > 0 && n <= 50, "{n} start in second {second}");
            }
            assert!(all.iter().all(|at| *at <= START_SPREAD));
        }
        let together = one.iter().zip(&other).filter(|(a, b)| a.abs_diff(**b) < Duration::from_millis(100)).count();
        assert!(together < 25, "{together}");
        let mut fresh = JobState::new(Duration::from_secs(3600));
        spread_start(&mut fresh, Job::Pull(ConnectionId(1)), begun, 1);
        assert_eq!(next_due(&fresh, begun), Some(begun));
    }
}
