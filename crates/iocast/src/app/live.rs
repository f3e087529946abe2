//! What open pages are kept up to date by: one look at how things are, while anybody follows, for all who do.
//!
//! Nothing that happens is queued. A pulse is a number for each part of the console; a part whose number is another is
//! looked at again. Who reads slowly misses nothing but numbers in between, and who comes back says which they saw last.

use super::App;
use crate::api::Problem;
use crate::web::Flow;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::RunFilter;
use tokio::sync::watch;

/// Streams of one person at once. A browser holds six connections to a host, and pages need some of them.
const STREAMS_EACH: usize = 4;
/// Streams at once.
const STREAMS: usize = 128;
/// Between two looks where nobody said that something changed.
const BEAT: Duration = Duration::from_secs(2);
/// Least time between two looks, whatever changes.
const REST: Duration = Duration::from_secs(1);
/// Runs that a look takes in: those of the first page of the activity.
const RUNS: usize = 50;

/// How each part of the console is, as numbers that differ where it differs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Pulse {
    /// What the overview shows.
    pub(crate) overview: u64,
    /// Runs, and how far those are that go on.
    pub(crate) activity: u64,
    /// Held plans.
    pub(crate) plans: u64,
    /// Things that wait for a person: a count, and not the hash of one.
    pub(crate) waiting: u64,
}

impl fmt::Display for Pulse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}-{:x}-{:x}", self.overview, self.activity, self.plans, self.waiting)
    }
}

impl Pulse {
    /// Reads what was written. None: nobody wrote it.
    pub(crate) fn parse(text: &str) -> Option<Pulse> {
        let mut parts = text.split('-').map(|part| u64::from_str_radix(part, 16));
        let mut next = || parts.next()?.ok();
        let pulse = Pulse { overview: next()?, activity: next()?, plans: next()?, waiting: next()? };
        parts.next().is_none().then_some(pulse)
    }

    /// Looks.
    ///
    /// # Errors
    /// "Starting", or a failing store.
    pub(crate) fn of(app: &App) -> Result<Pulse, Problem> {
        let engine = app.engine()?;
        let store = engine.store();
        let runs = store.runs(RunFilter::default(), RUNS, None)?;
        let mut ran = DefaultHasher::new();
        runs.iter().for_each(|run| (run.id, &run.status).hash(&mut ran));
        let mut activity = ran.clone();
        engine.under_way().hash(&mut activity);
        let waiting = engine.n_waiting_plans()? + app.suspect_runs()?;
        let plans = store.plan_writes();
        let known = engine.known();
        let present: usize = known.ledgers.values().map(|ledger| ledger.present().count()).sum();
        (known.index.max_revision(), known.index.len(), present, plans, waiting).hash(&mut ran);
        drop(known);
        (&engine.config().version, app.trouble().map(store::Trouble::as_str), Flow::n_beside(app)).hash(&mut ran);
        engine.frozen_by()?.map(|by| format!("{by:?}")).hash(&mut ran);
        Ok(Pulse { overview: ran.finish(), activity: activity.finish(), plans, waiting })
    }
}

/// Who follows.
pub(crate) struct Live {
    pulse: watch::Sender<Pulse>,
    is_beating: AtomicBool,
    places: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Default for Live {
    fn default() -> Live {
        Live { pulse: watch::Sender::new(Pulse::default()), is_beating: AtomicBool::new(false), places: Arc::default() }
    }
}

fn lock(places: &Mutex<BTreeMap<String, usize>>) -> MutexGuard<'_, BTreeMap<String, usize>> {
    places.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place to follow from; given back when dropped.
pub(crate) struct Place {
    places: Arc<Mutex<BTreeMap<String, usize>>>,
    who: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = lock(&self.places);
        if let Some(n) = places.get_mut(&self.who) {
            *n -= 1;
            if *n == 0 {
                places.remove(&self.who);
            }
        }
    }
}

impl Live {
    /// A place for somebody. None: they, or all together, have too many.
    pub(crate) fn place(&self, who: &str) -> Option<Place> {
        let mut places = lock(&self.places);
        let n_theirs = places.get(who).copied().unwrap_or(0);
        if n_theirs >= STREAMS_EACH || places.values().sum::<usize>() >= STREAMS {
            return None;
        }
        places.insert(who.to_owned(), n_theirs + 1);
        Some(Place { places: self.places.clone(), who: who.to_owned() })
    }

    /// Follows; looking begins with the first who does.
    pub(crate) fn follow(app: &Arc<App>) -> watch::Receiver<Pulse> {
        let live = app.live();
        let receiver = live.pulse.subscribe();
        if !live.is_beating.swap(true, Ordering::AcqRel) {
            tokio::spawn(beat(app.clone()));
        }
        receiver
    }
}

/// Looks, again and again, until nobody follows.
async fn beat(app: Arc<App>) {
    let mut revision = app.crowd().revision.subscribe();
    // However much happens, it looks no more often than that.
    let mut rest = tokio::time::interval(REST);
    rest.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    rest.tick().await;
    loop {
        match app.hop(Pulse::of).await {
            Ok(pulse) => {
                app.live().pulse.send_if_modified(|last| std::mem::replace(last, pulse) != pulse);
            }
            // A look that fails is made again; pages themselves say what the matter is.
            Err(problem) => problem.note(),
        }
        let live = app.live();
        if live.pulse.receiver_count() == 0 {
            live.is_beating.store(false, Ordering::Release);
            // Somebody may have come in between, and have found it beating.
            if live.pulse.receiver_count() == 0 || live.is_beating.swap(true, Ordering::AcqRel) {
                return;
            }
        }
        rest.tick().await;
        let _ = tokio::time::timeout(BEAT - REST, revision.changed()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pulse_is_read_as_it_was_written() {
        for pulse in [Pulse::default(), Pulse { overview: u64::MAX, activity: 1, plans: 0xabc, waiting: 12 }] {
            assert_eq!(Pulse::parse(&pulse.to_string()), Some(pulse));
        }
        for text in ["", "1-2-3", "1-2-3-4-5", "x-2-3-4", "1-2-3-4-"] {
            assert_eq!(Pulse::parse(text), None, "{text}");
        }
    }

    #[test]
    fn places_are_bounded_for_each_and_for_all_and_given_back() {
        let live = Live::default();
        let mut held: Vec<Place> = (0..STREAMS_EACH).map(|_| live.place("ada").unwrap()).collect();
        assert!(live.place("ada").is_none(), "a person has only so many");
        held.extend((STREAMS_EACH..STREAMS).map(|n| live.place(&format!("n{n}")).unwrap()));
        assert!(live.place("bob").is_none(), "all together have only so many");
        held.remove(0);
        drop(live.place("bob").unwrap());
        held.clear();
        assert!(lock(&live.places).is_empty());
    }
}
