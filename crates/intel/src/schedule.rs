//! When a job is to run: pure, so that a week of scheduling is a table.
//!
//! State decides, events hurry: a nudge only makes a job due now. Nothing here depends on being asked in time, and a
//! clock that jumps makes a job run once, never a hundred times and never not at all.

use crate::limits;
use crate::time::Timestamp;
use std::time::Duration;
use thiserror::Error;

/// What the schedule knows of a job.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JobState {
    /// From start to start.
    pub interval: Duration,
    /// When it last started; None: never.
    pub last_start: Option<Timestamp>,
    /// After a failure: not before this. The caller computes it once, from [`backoff`].
    pub retry_at: Option<Timestamp>,
    /// Somebody wants it sooner.
    pub nudged: bool,
    /// It runs now: a nudge is kept for afterwards.
    pub running: bool,
    /// Disabled, or waiting for a person.
    pub paused: bool,
    /// 0 to 1, its own for each job: spreads jobs of one interval over a tenth of it.
    pub jitter: f64,
}

impl JobState {
    /// A job that has never run.
    pub fn new(interval: Duration) -> JobState {
        JobState {
            interval,
            last_start: None,
            retry_at: None,
            nudged: false,
            running: false,
            paused: false,
            jitter: 0.0,
        }
    }
}

/// When a job is to run next; at or before `now`: it is due. None: not by itself (paused), or not yet known (running).
pub fn next_due(job: &JobState, now: Timestamp) -> Option<Timestamp> {
    if job.running || job.paused {
        return None;
    }
    // A time further ahead than we would ever have set it was written by another clock.
    if let Some(retry_at) = job.retry_at.filter(|retry_at| *retry_at <= now.after(limits::RETRY_AFTER_MOST)) {
        return Some(retry_at);
    }
    let Some(last_start) = job.last_start.filter(|last_start| *last_start <= now && !job.nudged) else {
        return Some(now);
    };
    Some(last_start.after(job.interval + spread(job)))
}

/// The jobs that are due, the longest waiting first; among equals in the order given.
pub fn due<J: Copy>(jobs: impl IntoIterator<Item = (J, JobState)>, now: Timestamp) -> Vec<J> {
    let due_since = |(job, state): (J, JobState)| Some((next_due(&state, now).filter(|due| *due <= now)?, job));
    let mut due: Vec<(Timestamp, J)> = jobs.into_iter().filter_map(due_since).collect();
    due.sort_by_key(|(since, _)| *since);
    due.into_iter().map(|(_, job)| job).collect()
}

fn spread(job: &JobState) -> Duration {
    job.interval.mul_f64(unit(job.jitter) / 10.0)
}

/// How long to wait after `attempts` failures in a row: doubling with jitter up to an hour, or what the peer asked for
/// (believed up to a day) where that is longer. `jitter` is 0 to 1 and takes away up to half of our own wait.
pub fn backoff(attempts: u32, retry_after: Option<Duration>, jitter: f64) -> Duration {
    let doubled = 1u32.checked_shl(attempts.saturating_sub(1)).filter(|_| attempts <= 32).unwrap_or(u32::MAX);
    let full = limits::BACKOFF_FIRST.saturating_mul(doubled).min(limits::BACKOFF_MOST);
    let ours = full.mul_f64(1.0 - unit(jitter) / 2.0);
    ours.max(retry_after.unwrap_or_default().min(limits::RETRY_AFTER_MOST))
}

/// How long a refused entry is left alone after so many refusals in a row: a day, doubling up to a week.
pub fn refused_retry(refusals: u32) -> Duration {
    let doubled = 1u32.checked_shl(refusals.saturating_sub(1)).filter(|_| refusals <= 32).unwrap_or(u32::MAX);
    limits::REFUSED_RETRY_FIRST.saturating_mul(doubled).min(limits::REFUSED_RETRY_MOST)
}

/// Spares a destination that fails: after five failed calls in a row one call a minute is let through, until one works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Breaker {
    failures: u32,
    last_call: Option<Timestamp>,
}

impl Breaker {
    /// How long no call may be made; None: one may be made now.
    pub fn wait(&self, now: Timestamp) -> Option<Duration> {
        if self.failures < limits::BREAKER_OPENS_AFTER {
            return None;
        }
        // A call made later than now was made by another clock.
        let last = self.last_call.filter(|last| *last <= now)?;
        let next = last.after(limits::BREAKER_PROBE_EVERY);
        (next > now).then(|| next.since(now))
    }

    /// A call ended at `now`.
    pub fn ended(&mut self, worked: bool, now: Timestamp) {
        self.failures = if worked { 0 } else { self.failures.saturating_add(1) };
        self.last_call = Some(now);
    }

    /// Failed calls in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

/// A number from 0 up to 1 made of a seed, such as a hash of the job and the attempt.
pub fn jitter_of(seed: u64) -> f64 {
    let mixed = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    ((mixed ^ (mixed >> 32)) >> 11) as f64 / (1u64 << 53) as f64
}

fn unit(jitter: f64) -> f64 {
    if jitter.is_nan() { 0.0 } else { jitter.clamp(0.0, 1.0) }
}

/// Why a text is no interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IntervalError {
    /// No number with one of the units.
    #[error("expected a whole number and a unit: `30s`, `60m`, `6h` or `7d`")]
    Form,
    /// Zero, or more than a year.
    #[error("an interval is between 1s and 366d")]
    Range,
}

/// Reads `30s`, `60m`, `6h`, `7d`.
pub fn parse_interval(text: &str) -> Result<Duration, IntervalError> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let secs = match text[digits.len()..].trim() {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return Err(IntervalError::Form),
    };
    let digits = digits.trim_end();
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(IntervalError::Form);
    }
    let number: u64 = digits.parse().map_err(|_| IntervalError::Range)?;
    let interval = Duration::from_secs(number.checked_mul(secs).ok_or(IntervalError::Range)?);
    let allowed = limits::INTERVAL_LEAST..=limits::INTERVAL_MOST;
    if allowed.contains(&interval) { Ok(interval) } else { Err(IntervalError::Range) }
}

/// Writes an interval as [`parse_interval`] reads it, in the largest unit that is whole; fractions of a second are
/// dropped.
pub fn show_interval(interval: Duration) -> String {
    let secs = interval.as_secs();
    let (unit, name) = [(24 * 3600, "d"), (3600, "h"), (60, "m")]
        .into_iter()
        .find(|(unit, _)| secs > 0 && secs.is_multiple_of(*unit))
        .unwrap_or((1, "s"));
    format!("{}{name}", secs / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3600);

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_secs(1_700_000_000 + minutes * 60)
    }

    #[test]
    fn a_refused_entry_waits_longer_each_time_up_to_a_week() {
        let days: Vec<u64> = [0, 1, 2, 3, 4, 5, 33, u32::MAX].map(|n| refused_retry(n).as_secs() / 86_400).to_vec();
        assert_eq!(days, [1, 1, 2, 4, 7, 7, 7, 7]);
    }

    #[test]
    fn a_breaker_lets_one_call_a_minute_through() {
        let mut breaker = Breaker::default();
        for _ in 0..4 {
            breaker.ended(false, at(0));
            assert_eq!(breaker.wait(at(0)), None);
        }
        breaker.ended(false, at(0));
        assert_eq!(breaker.wait(at(0)), Some(MINUTE));
        assert_eq!(breaker.wait(at(1)), None, "a probe");
        breaker.ended(false, at(1));
        assert_eq!((breaker.wait(at(1)), breaker.wait(at(2))), (Some(MINUTE), None));
        assert_eq!(breaker.wait(at(0)), None, "a clock that went back does not close it for good");
        breaker.ended(true, at(2));
        assert_eq!(breaker.wait(at(2)), None);
    }

    #[test]
    fn intervals() {
        let secs = |text| parse_interval(text).map(|interval| interval.as_secs());
        for (text, expect) in [("30s", 30), ("60m", 3600), (" 6 h ", 21_600), ("7d", 604_800), ("366d", 31_622_400)] {
            assert_eq!(secs(text), Ok(expect), "{text}");
        }
        for text in ["", "60", "m", "1.5h", "-1m", "+1m", "60 min", "1h30m", "7D", "１m"] {
            assert_eq!(secs(text), Err(IntervalError::Form), "{text}");
        }
        for text in ["0s", "367d", "99999999999999999999s", "18446744073709551615d"] {
            assert_eq!(secs(text), Err(IntervalError::Range), "{text}");
        }
        for text in ["30s", "90s", "1h", "90m", "7d"] {
            assert_eq!(show_interval(parse_interval(text).unwrap()), text);
        }
        assert_eq!(show_interval(Duration::ZERO), "0s");
    }

    #[test]
    fn what_is_due() {
        let hourly = JobState { last_start: Some(at(0)), ..JobState::new(HOUR) };
        #[rustfmt::skip]
        let table: &[(&str, JobState, i64, bool)] = &[
            // what                           job                                                              minute due
            ("never ran",                     JobState::new(HOUR),                                                  0, true),
            ("an hour has not passed",        hourly,                                                              59, false),
            ("an hour has passed",            hourly,                                                              60, true),
            ("spread over a tenth",           JobState { jitter: 1.0, ..hourly },                                  65, false),
            ("and then due",                  JobState { jitter: 1.0, ..hourly },                                  66, true),
            ("nudged",                        JobState { nudged: true, ..hourly },                                  1, true),
            ("running",                       JobState { running: true, ..hourly },                               600, false),
            ("running and nudged",            JobState { running: true, nudged: true, ..hourly },                   1, false),
            ("paused",                        JobState { paused: true, nudged: true, ..hourly },                  600, false),
            ("failed, retry sooner",          JobState { retry_at: Some(at(5)), ..hourly },                         5, true),
            ("failed, retry later",           JobState { retry_at: Some(at(90)), ..hourly },                       60, false),
            ("a nudge does not break a wait", JobState { retry_at: Some(at(90)), nudged: true, ..hourly },         60, false),
            ("failed, never ran",             JobState { retry_at: Some(at(90)), ..JobState::new(HOUR) },          60, false),
            ("the clock went back years",     JobState { last_start: Some(at(5_000_000)), ..hourly },               0, true),
            ("and the wait is of that clock", JobState { retry_at: Some(at(5_000_000)), ..hourly },                60, true),
            ("the clock went ahead",          hourly,                                                       5_000_000, true),
        ];
        for (what, job, minute, expect) in table {
            assert_eq!(!due([((), *job)], at(*minute)).is_empty(), *expect, "{what}");
        }
        let late = |minute| JobState { last_start: Some(at(minute)), ..JobState::new(HOUR) };
        assert_eq!(
            due([("b", late(2)), ("a", late(1)), ("c", late(99))], at(100)),
            ["a", "b"],
            "longest waiting first"
        );
    }

    /// A week on a virtual clock: two jobs, an outage of a day, a nudge, a clock set back.
    #[test]
    fn a_week() {
        let mut jobs = [JobState::new(HOUR), JobState::new(6 * HOUR)];
        let mut starts = [Vec::new(), Vec::new()];
        let mut failures = 0u32;
        for minute in 0..7 * 24 * 60 {
            let now = at(minute);
            if minute == 6 * 24 * 60 + 30 {
                jobs[1].nudged = true;
            }
            let down = (2 * 24 * 60..3 * 24 * 60).contains(&minute);
            for job in due(jobs.iter().copied().enumerate().collect::<Vec<_>>(), now) {
                starts[job].push(minute);
                jobs[job].last_start = Some(now);
                jobs[job].nudged = false;
                jobs[job].retry_at = None;
                if job == 0 {
                    failures = if down { failures + 1 } else { 0 };
                    jobs[job].retry_at = down.then(|| now.after(backoff(failures, None, 0.0)));
                }
            }
        }
        let [hourly, sixth] = &starts;
        let during = |from: i64, until: i64| hourly.iter().filter(|m| (from * 1440..until * 1440).contains(*m)).count();
        assert_eq!((during(0, 1), during(1, 2), during(3, 4)), (24, 24, 24));
        // Backing off: six doublings in the first hour, then one an hour.
        assert!((24..=32).contains(&during(2, 3)), "{}", during(2, 3));
        assert_eq!(sixth.len(), 28 + 1, "every six hours and one nudge: {sixth:?}");
        assert!(sixth.windows(2).all(|pair| pair[1] - pair[0] <= 360));
    }

    #[test]
    fn backing_off() {
        let secs =
            |attempts, after: Option<u64>, jitter| backoff(attempts, after.map(Duration::from_secs), jitter).as_secs();
        for (attempts, expect) in
            [(0, 30), (1, 30), (2, 60), (3, 120), (7, 1920), (8, 3600), (40, 3600), (u32::MAX, 3600)]
        {
            assert_eq!(secs(attempts, None, 0.0), expect, "{attempts}");
            assert_eq!(secs(attempts, None, 1.0), expect / 2, "{attempts}");
        }
        assert_eq!(secs(1, Some(5), 0.0), 30, "the longer of the two");
        assert_eq!(secs(1, Some(600), 1.0), 600, "never before the peer allows");
        assert_eq!(secs(1, Some(u64::MAX), 0.0), 24 * 3600, "believed up to a day");
        assert_eq!(secs(3, None, f64::NAN), 120);
        let units: Vec<f64> = (0..1000).map(jitter_of).collect();
        assert!(units.iter().all(|unit| (0.0..1.0).contains(unit)));
        let mean = units.iter().sum::<f64>() / 1000.0;
        assert!((0.45..0.55).contains(&mean), "{mean}");
        assert_eq!(JobState::new(MINUTE).interval, MINUTE);
    }
}
