//! Runs that somebody asked for from a page: they go on while the page is left, and say how far they are and how they
//! ended to whoever looks. What a run did stands in the store, as of every run; here is only what a person waits for.

use super::App;
use crate::api::Problem;
use engine::{Mode, Progress, PullReport, ShareReport, Verify, VerifyReport};
use intel::Timestamp;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Runs that are remembered after their end.
const KEPT: usize = 200;

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// One run of a source.
    Pull,
    /// One pass over a target.
    Pass,
    /// A target is read back.
    Verify(Verify),
}

impl Work {
    /// Its name, as in the audit log.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Work::Pull => "pull",
            Work::Pass => "pass",
            Work::Verify(_) => "verify",
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// A source was read.
    Pulled(Box<PullReport>),
    /// A pass was run.
    Passed(Box<ShareReport>),
    /// A target was read back.
    Verified(Box<VerifyReport>),
    /// It could not be run.
    Failed(String),
}

/// How far one is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Far {
    /// What is being done.
    pub(crate) phase: String,
    /// Rows read so far.
    pub(crate) rows: u64,
    /// When it ended, and how.
    pub(crate) ended: Option<(Timestamp, Outcome)>,
}

/// A run that was asked for.
pub(crate) struct Asked {
    /// Its number; none of a run.
    pub(crate) id: u64,
    /// What it is.
    pub(crate) work: Work,
    /// The connection or target it is about.
    pub(crate) subject: String,
    /// Who asked.
    pub(crate) who: String,
    /// When.
    pub(crate) began: Timestamp,
    far: Mutex<Far>,
    ended: Condvar,
}

impl Asked {
    fn held(&self) -> MutexGuard<'_, Far> {
        self.far.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far it is.
    pub(crate) fn far(&self) -> Far {
        self.held().clone()
    }

    /// How far it is once it has ended, or after this time.
    pub(crate) fn wait(&self, most: Duration) -> Far {
        let far = self.held();
        let waited = self.ended.wait_timeout_while(far, most, |far| far.ended.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// It has ended.
    pub(crate) fn end(&self, at: Timestamp, outcome: Outcome) {
        self.held().ended = Some((at, outcome));
        self.ended.notify_all();
    }
}

/// Hears of a run, for its page and for whoever watches the process.
struct Heard<'a>(&'a Asked, &'a dyn Progress);

impl Progress for Heard<'_> {
    fn rows(&self, connection: &str, read: u64) {
        self.0.held().rows = read;
        self.1.rows(connection, read);
    }

    fn phase(&self, what: &str) {
        what.clone_into(&mut self.0.held().phase);
        self.1.phase(what);
    }
}

/// Those that go on, and the last that ended.
#[derive(Default)]
pub(crate) struct Desk(Mutex<(u64, VecDeque<Arc<Asked>>)>);

impl App {
    /// Notes that a run is asked for. One that goes on already is given instead, with false.
    pub(crate) fn ask_for(&self, work: Work, subject: &str, who: &str) -> Result<(Arc<Asked>, bool), Problem> {
        let mut desk = self.asked.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, runs) = &mut *desk;
        let same = |run: &&Arc<Asked>| run.work == work && run.subject == subject && run.far().ended.is_none();
        if let Some(there) = runs.iter().find(same) {
            return Ok((there.clone(), false));
        }
        self.audit(who, &format!("{}.ask", work.as_str()), subject, "{}")?;
        *last += 1;
        let run = Arc::new(Asked {
            id: *last,
            work,
            subject: subject.to_owned(),
            who: who.to_owned(),
            began: self.now(),
            far: Mutex::default(),
            ended: Condvar::new(),
        });
        runs.push_front(run.clone());
        while runs.len() > KEPT && runs.back().is_some_and(|run| run.far().ended.is_some()) {
            runs.pop_back();
        }
        Ok((run, true))
    }

    /// One by number, as long as it is remembered.
    pub(crate) fn asked(&self, id: u64) -> Option<Arc<Asked>> {
        let desk = self.asked.0.lock().unwrap_or_else(PoisonError::into_inner);
        desk.1.iter().find(|run| run.id == id).cloned()
    }

    /// Runs it, to its end.
    pub(crate) fn do_asked(&self, run: &Asked) {
        let outcome = self.outcome_of(run).unwrap_or_else(|problem| {
            problem.note();
            Outcome::Failed(problem.detail().to_owned())
        });
        run.end(self.now(), outcome);
        if self.engine().is_ok() {
            self.tell_now();
        }
    }

    fn outcome_of(&self, run: &Asked) -> Result<Outcome, Problem> {
        let engine = self.engine()?;
        let heard = Heard(run, self.progress());
        Ok(match run.work {
            Work::Pull => {
                let report = engine.pull(&run.subject, &heard)?;
                if report.touched > 0 {
                    self.hurry();
                }
                Outcome::Pulled(Box::new(report))
            }
            Work::Pass => Outcome::Passed(Box::new(engine.share(&run.subject, Mode::default(), &heard)?)),
            Work::Verify(how) => {
                let report = engine.verify(&run.subject, how)?;
                // What differs is mended by a pass.
                self.hurry();
                Outcome::Verified(Box::new(report))
            }
        })
    }
}
