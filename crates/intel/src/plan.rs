//! What of a plan may happen now: guard, capacity, change budget, first fill and freeze.
//!
//! Nothing reaches a destination except through [`restrain`]. Guard and capacity turn steps into others by asking
//! [`decide`] again; budget, first fill and freeze only move whole steps from now to held. Nothing is ever dropped
//! silently: every candidate is counted once in the answer.

use crate::delivery::Counts;
use crate::limits;
use crate::sharing::{Line, LineState, Step, TargetView, Verb, Wanted, Why, decide, words};
use crate::time::Timestamp;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::fmt;

/// One entry of one target, as collected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The caller's handle; comes back untouched.
    pub entry: u32,
    /// By source, rule, exception, TLP, kind and breadth; not yet by guard and capacity.
    pub wanted: Wanted,
    /// Its ledger line.
    pub line: Option<Line>,
    /// Of the entry as it would be sent now.
    pub fingerprint: u64,
    /// When it should expire at the destination; None: never.
    pub desired_expiry: Option<Timestamp>,
    /// A guard list stops it ([`Why::Guarded`]); flags that do not stop are not told here.
    pub guarded: Option<Why>,
    /// Size as sent, for destinations that limit bytes.
    pub bytes: u32,
}

/// How much may change without a person: a percentage of what is present, with a floor and a ceiling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Allowance {
    /// Of what is present.
    pub percent: u32,
    /// Allowed however little is present.
    pub at_least: usize,
    /// Never more, however much is present.
    pub at_most: usize,
}

impl Allowance {
    /// Per pass.
    pub fn per_pass(&self, present: usize) -> usize {
        let share = (present as u128 * u128::from(self.percent) / 100).min(usize::MAX as u128) as usize;
        share.max(self.at_least).min(self.at_most)
    }

    /// Per rolling 24 hours: so many passes' worth.
    pub fn per_day(&self, present: usize, passes: u32) -> usize {
        self.per_pass(present).saturating_mul(passes.max(1) as usize)
    }
}

/// The change budget of a target, and how much of it is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Budget {
    /// For pushes.
    pub adds: Allowance,
    /// For retractions, displacement included.
    pub removals: Allowance,
    /// How many passes' worth may go in 24 hours, at least 1; default 3.
    pub passes_per_day: u32,
    /// Ordinary adds whose intent was written in the last 24 hours: each entry once, first fill and approved ones not.
    pub used_adds_24h: usize,
    /// The same for removals; those by a verdict or the guard do not count.
    pub used_removals_24h: usize,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget {
            adds: Allowance { percent: 20, at_least: 5_000, at_most: 50_000 },
            removals: Allowance { percent: 10, at_least: 20, at_most: 5_000 },
            passes_per_day: 3,
            used_adds_24h: 0,
            used_removals_24h: 0,
        }
    }
}

/// How much of one class of change may go, and how much of that is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Use {
    /// Allowed in one pass.
    pub per_pass: usize,
    /// Allowed in 24 hours.
    pub per_day: usize,
    /// Done in the last 24 hours.
    pub used_24h: usize,
}

impl Use {
    /// How many may go in a pass now.
    pub fn left(&self) -> usize {
        self.per_pass.min(self.per_day.saturating_sub(self.used_24h))
    }

    fn is_exceeded_by(&self, n: usize) -> bool {
        n > 0 && n > self.left()
    }
}

impl Budget {
    /// The use of the adds, of a target where so many are present.
    pub fn adds_use(&self, present: usize) -> Use {
        self.use_of(self.adds, self.used_adds_24h, present)
    }

    /// The use of the removals, of a target where so many are present.
    pub fn removals_use(&self, present: usize) -> Use {
        self.use_of(self.removals, self.used_removals_24h, present)
    }

    fn use_of(&self, allowance: Allowance, used_24h: usize, present: usize) -> Use {
        Use {
            per_pass: allowance.per_pass(present),
            per_day: allowance.per_day(present, self.passes_per_day),
            used_24h,
        }
    }
}

words!(
    /// What the first fill of a target asks for.
    FirstFill {
        /// One approval.
        Approve = "approve",
        /// Nothing.
        Allow = "allow",
    }
);

/// The steps a person approved: exactly these, until a date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovedSet {
    /// When the approval ends.
    pub until: Timestamp,
    /// Entry handle, verb and fingerprint of [`Planned`].
    pub steps: HashSet<(u32, Verb, u64)>,
}

impl ApprovedSet {
    /// An approval given at `now`; it stands for 24 hours.
    pub fn given(now: Timestamp, steps: impl IntoIterator<Item = (u32, Verb, u64)>) -> ApprovedSet {
        ApprovedSet { until: now.after(limits::APPROVAL_STANDS), steps: steps.into_iter().collect() }
    }

    /// Whether a step is one of these, at a time at which they are still allowed.
    pub fn allows(&self, step: &Planned, now: Timestamp) -> bool {
        now < self.until && self.steps.contains(&(step.entry, step.step, step.fingerprint))
    }
}

/// What restrains a target now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brakes {
    /// The change budget.
    pub budget: Budget,
    /// Lines in state present now.
    pub present: usize,
    /// The room for this target's entries by [`room`]; None: no limit. With a limit the candidates must include every
    /// line that occupies, wanted or not.
    pub capacity: Option<usize>,
    /// The same in bytes.
    pub bytes: Option<u64>,
    /// The target may become empty without a person.
    pub allow_empty: bool,
    /// What the first fill asks for.
    pub first_fill: FirstFill,
    /// The first fill has ended.
    pub filled: bool,
    /// A person approved the first fill.
    pub fill_approved: bool,
    /// No call begins.
    pub frozen: bool,
    /// A person is to decide first what becomes of the last run: only what is in `approved` goes.
    pub halted: bool,
    /// The destination is replaced as a whole: updates count with the adds.
    pub replace_style: bool,
    /// What a person approved.
    pub approved: Option<ApprovedSet>,
}

impl Default for Brakes {
    /// A target that was never filled, with the default budget and no limits.
    fn default() -> Brakes {
        Brakes {
            budget: Budget::default(),
            present: 0,
            capacity: None,
            bytes: None,
            allow_empty: false,
            first_fill: FirstFill::Approve,
            filled: false,
            fill_approved: false,
            frozen: false,
            halted: false,
            replace_style: false,
            approved: None,
        }
    }
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The caller's handle.
    pub entry: u32,
    /// What is done.
    pub step: Verb,
    /// Of what is sent; for Retract, Settle and Drop of what the ledger says is there.
    pub fingerprint: u64,
    /// A verdict or the guard demands it: never braked, except by a freeze.
    pub safety: bool,
    /// It was begun before and its outcome is not known: done again, and no new change.
    pub repeat: bool,
    /// Why the entry is not wanted, where it is not.
    pub reason: Option<Why>,
    /// Why the step waits, where it does.
    pub why_held: Option<Why>,
    /// Where it stands among its like, the most urgent first: a push by rank, a removal by how it came about.
    pub order: (u64, u64, u64),
}

/// What holds steps of a plan. Its text is a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hold {
    /// Everything waits.
    Frozen,
    /// Everything but what was approved waits for a decision about the last run.
    Halted,
    /// The pushes wait for the one approval of the first fill.
    FirstFill {
        /// So many.
        adds: usize,
    },
    /// The adds wait.
    AddsOverBudget {
        /// So many.
        adds: usize,
        /// Allowed in one pass.
        per_pass: usize,
        /// Done in the last 24 hours.
        used_24h: usize,
        /// Allowed in 24 hours.
        per_day: usize,
    },
    /// The removals wait.
    RemovalsOverBudget {
        /// So many.
        removals: usize,
        /// Allowed in one pass.
        per_pass: usize,
        /// Done in the last 24 hours.
        used_24h: usize,
        /// Allowed in 24 hours.
        per_day: usize,
    },
    /// The removals wait: nothing would be left.
    WouldEmpty {
        /// So many.
        removals: usize,
    },
}

impl Hold {
    /// The stable code.
    pub fn as_str(&self) -> &'static str {
        match self {
            Hold::Frozen => "frozen",
            Hold::Halted => "halted",
            Hold::FirstFill { .. } => "first_fill",
            Hold::AddsOverBudget { .. } => "adds_over_budget",
            Hold::RemovalsOverBudget { .. } => "removals_over_budget",
            Hold::WouldEmpty { .. } => "would_empty",
        }
    }

    fn why(&self) -> Why {
        match self {
            Hold::Frozen | Hold::Halted => Why::Frozen,
            Hold::FirstFill { .. } => Why::AwaitingApproval,
            Hold::AddsOverBudget { .. } | Hold::RemovalsOverBudget { .. } => Why::OverBudget,
            Hold::WouldEmpty { .. } => Why::WouldEmpty,
        }
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hold::Frozen => f.write_str("the exchange is frozen"),
            Hold::Halted => f.write_str(
                "a plan that undoes the last run waits for a decision: until then only what was approved of it is sent",
            ),
            Hold::FirstFill { adds } => write!(f, "the first fill of this target ({adds} pushes) waits for approval"),
            Hold::AddsOverBudget { adds, per_pass, used_24h, per_day } => write!(
                f,
                "{adds} adds wait for approval: {per_pass} may go per pass, {per_day} per 24 hours ({used_24h} went)"
            ),
            Hold::RemovalsOverBudget { removals, per_pass, used_24h, per_day } => write!(
                f,
                "{removals} removals wait for approval: {per_pass} may go per pass, {per_day} per 24 hours ({used_24h} went)"
            ),
            Hold::WouldEmpty { removals } => {
                write!(f, "{removals} removals wait for approval: they would leave the target empty")
            }
        }
    }
}

/// What may happen now, what waits, and what is not done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Restrained {
    /// To be done now, in this order: Settle, Drop, Retract (what a verdict or the guard demands first), Update, Push;
    /// among these the most urgent first.
    pub now: Vec<Planned>,
    /// Waits for a person, or for the end of a freeze.
    pub held: Vec<Planned>,
    /// Not done, and why.
    pub skipped: Vec<(u32, Why)>,
    /// Entries that are as they should be.
    pub left: usize,
    /// Candidates that are neither there nor selected or active: nothing to say about them.
    pub absent: usize,
    /// Wanted entries cut by rank.
    pub cut: usize,
    /// What holds the steps in `held`.
    pub holds: Vec<Hold>,
}

impl Restrained {
    /// The counts of the plan, with what is held as deferred and nothing accepted yet.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts { leave: self.left as u64, skip: self.skipped.len() as u64, ..Counts::default() };
        for step in self.now.iter().chain(&self.held) {
            match step.step {
                Verb::Push => counts.push += 1,
                Verb::Update => counts.update += 1,
                Verb::Retract => counts.retract += 1,
                Verb::Settle | Verb::Drop => {}
            }
        }
        counts.deferred = self.held.iter().filter(|step| step.step.is_effect()).count() as u64;
        counts
    }
}

/// Decides every candidate, and what of it may happen now.
///
/// Linear in the candidates where the target has no limit; with a limit they are ranked by selection, and only what is
/// cut is sorted, to name its position.
pub fn restrain(
    candidates: impl IntoIterator<Item = Candidate>,
    target: &TargetView,
    brakes: &Brakes,
    now: Timestamp,
) -> Restrained {
    let mut sorted = Sorted::default();
    let guarded = |mut candidate: Candidate| {
        if let Some(why) = candidate.guarded.take()
            && !matches!(&candidate.wanted, Wanted::No(other) if other.is_safety())
        {
            candidate.wanted = Wanted::No(why);
        }
        candidate
    };
    let step_of = |c: &Candidate| decide(target, &c.wanted, c.line.as_ref(), c.fingerprint, c.desired_expiry, now);
    let candidates = candidates.into_iter().map(guarded);
    if brakes.capacity.is_none() && brakes.bytes.is_none() {
        for candidate in candidates {
            let step = step_of(&candidate);
            sorted.place(candidate, step);
        }
    } else {
        let mut all: Vec<(Candidate, Step)> = candidates.map(|c| (step_of(&c), c)).map(|(s, c)| (c, s)).collect();
        sorted.out.cut = fit(&mut all, target, brakes, now);
        for (candidate, step) in all {
            sorted.place(candidate, step);
        }
    }
    sorted.brake(brakes, now)
}

/// The room a target has in its pool: the limit less what others put there and what other targets of the pool hold
/// (their lines that are present, pending, unknown or retracting).
pub fn room(limit: usize, foreign: usize, other_targets: usize) -> usize {
    limit.saturating_sub(foreign).saturating_sub(other_targets)
}

/// An entry that stands for a place, best first.
#[derive(PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
struct Ranked {
    order: (u64, u64, u64),
    at: u32,
}

/// Cuts the wanted entries to the room there is, best ranks first. Returns how many were cut.
///
/// What stays whatever happens (held, or not to be taken back) uses room before anyone is ranked.
fn fit(all: &mut [(Candidate, Step)], target: &TargetView, brakes: &Brakes, now: Timestamp) -> usize {
    let count_limit = brakes.capacity.unwrap_or(usize::MAX);
    let byte_limit = brakes.bytes.unwrap_or(u64::MAX);
    let cut_for = |position, limit| {
        let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Why::OverCapacity { position: small(position), limit: small(limit) }
    };
    let displaceable = target.may_retract(&cut_for(0, 0));
    let (mut fixed, mut occupied) = ((0usize, 0u64), (0usize, 0u64));
    let mut ranked: Vec<Ranked> = Vec::new();
    let mut ranked_bytes = 0u64;
    for (at, (candidate, step)) in all.iter().enumerate() {
        let state = candidate.line.map(|line| line.state);
        let occupies = state.is_some_and(LineState::occupies);
        let bytes = u64::from(candidate.bytes);
        if occupies {
            occupied = (occupied.0 + 1, occupied.1 + bytes);
        }
        let stays = match &candidate.wanted {
            Wanted::Yes(rank) => {
                let stands_for_a_place = occupies || *step == Step::Push;
                if stands_for_a_place && (displaceable || !occupies) {
                    let newcomer = !occupies || state == Some(LineState::Retracting);
                    ranked.push(Ranked { order: rank.order(newcomer), at: at as u32 });
                    ranked_bytes += bytes;
                }
                !displaceable
            }
            Wanted::No(why) => !target.may_retract(why),
            Wanted::Held(_) => *step != Step::Retract,
        };
        if occupies && stays {
            fixed = (fixed.0 + 1, fixed.1 + bytes);
        }
    }

    let places = count_limit.saturating_sub(fixed.0);
    let byte_room = byte_limit.saturating_sub(fixed.1);
    // The losers are sorted, each with its position by rank; how many were let in.
    let (kept, losers) = split(&mut ranked, places, byte_room, ranked_bytes, all);
    let limit = kept.len();
    for (position, loser) in &losers {
        let (candidate, step) = &mut all[loser.at as usize];
        candidate.wanted = Wanted::No(cut_for(*position, limit));
        *step = decide(
            target,
            &candidate.wanted,
            candidate.line.as_ref(),
            candidate.fingerprint,
            candidate.desired_expiry,
            now,
        );
    }

    // Of those let in, a newcomer needs a place that is free now: a removal that is not accepted frees none.
    let mut newcomers: Vec<Ranked> = kept
        .into_iter()
        .filter(|ranked| {
            let (candidate, step) = &all[ranked.at as usize];
            *step == Step::Push && !candidate.line.is_some_and(|line| line.state.occupies())
        })
        .collect();
    let free = count_limit.saturating_sub(occupied.0);
    let free_bytes = byte_limit.saturating_sub(occupied.1);
    let bytes = newcomers.iter().map(|n| u64::from(all[n.at as usize].0.bytes)).sum();
    let (_, waiting) = split(&mut newcomers, free, free_bytes, bytes, all);
    for (_, newcomer) in waiting {
        all[newcomer.at as usize].1 = Step::Skip(Why::NoRoomYet);
    }
    losers.len()
}

/// Parts the best that fit from the rest; the rest sorted, with positions from 1. By selection where only the count
/// limits; an entry too large for the bytes left is passed over for smaller ones.
fn split(
    ranked: &mut [Ranked],
    places: usize,
    byte_room: u64,
    bytes: u64,
    all: &[(Candidate, Step)],
) -> (Vec<Ranked>, Vec<(usize, Ranked)>) {
    if bytes <= byte_room {
        if ranked.len() <= places {
            return (ranked.to_vec(), Vec::new());
        }
        if places > 0 {
            ranked.select_nth_unstable(places - 1);
        }
        let (kept, rest) = ranked.split_at_mut(places);
        rest.sort_unstable();
        return (kept.to_vec(), rest.iter().enumerate().map(|(n, r)| (places + n + 1, *r)).collect());
    }
    ranked.sort_unstable();
    let (mut kept, mut losers, mut left) = (Vec::new(), Vec::new(), byte_room);
    for (n, entry) in ranked.iter().enumerate() {
        let size = u64::from(all[entry.at as usize].0.bytes);
        if kept.len() < places && size <= left {
            left -= size;
            kept.push(*entry);
        } else {
            losers.push((n + 1, *entry));
        }
    }
    (kept, losers)
}

/// Decided candidates by verb, before the brakes that hold.
#[derive(Default)]
struct Sorted {
    out: Restrained,
    settles: Vec<Planned>,
    drops: Vec<Planned>,
    retracts: Vec<Planned>,
    updates: Vec<Planned>,
    pushes: Vec<Planned>,
    /// How many of the retracts are of lines in state present.
    leaving: usize,
}

impl Sorted {
    fn place(&mut self, candidate: Candidate, step: Step) {
        let Candidate { entry, wanted, line, fingerprint, .. } = candidate;
        let state = line.map(|line| line.state);
        let verb = match step {
            Step::Leave => {
                self.out.left += 1;
                return;
            }
            Step::Skip(why) => {
                let nothing_there = matches!(state, None | Some(LineState::Gone));
                if nothing_there && matches!(why, Why::NotSelected | Why::Inactive) {
                    self.out.absent += 1;
                } else {
                    self.out.skipped.push((entry, why));
                }
                return;
            }
            Step::Push => Verb::Push,
            Step::Update => Verb::Update,
            Step::Retract => Verb::Retract,
            Step::Settle => Verb::Settle,
            Step::Drop => Verb::Drop,
        };
        let (reason, rank) = match wanted {
            Wanted::Yes(rank) => (None, Some(rank.order(true))),
            Wanted::No(why) | Wanted::Held(why) => (Some(why), None),
        };
        let safety = verb == Verb::Retract && reason.as_ref().is_some_and(Why::is_safety);
        let planned = Planned {
            entry,
            step: verb,
            fingerprint: match (verb, line) {
                (Verb::Push | Verb::Update, _) | (_, None) => fingerprint,
                (_, Some(line)) => line.fingerprint,
            },
            safety,
            repeat: matches!(
                (verb, state),
                (Verb::Push, Some(LineState::Pending | LineState::Unknown))
                    | (Verb::Retract, Some(LineState::Retracting))
            ),
            // A verdict first, then the guard, then whatever else is taken back.
            order: rank.unwrap_or_else(|| match &reason {
                Some(Why::Verdict(_)) => (0, 0, u64::from(entry)),
                Some(_) if safety => (1, 0, u64::from(entry)),
                _ => (2, 0, u64::from(entry)),
            }),
            reason,
            why_held: None,
        };
        match verb {
            Verb::Push => self.pushes.push(planned),
            Verb::Update => self.updates.push(planned),
            Verb::Retract => {
                self.leaving += usize::from(state == Some(LineState::Present));
                self.retracts.push(planned);
            }
            Verb::Settle => self.settles.push(planned),
            Verb::Drop => self.drops.push(planned),
        }
    }

    fn brake(mut self, brakes: &Brakes, now: Timestamp) -> Restrained {
        let allowed = |step: &Planned| brakes.approved.as_ref().is_some_and(|approved| approved.allows(step, now));
        let ordinary = |step: &Planned| !step.safety && !step.repeat && !allowed(step);
        let count = |steps: &[Planned]| steps.iter().filter(|step| ordinary(step)).count();
        let present = brakes.present;
        let (adds_use, removals_use) = (brakes.budget.adds_use(present), brakes.budget.removals_use(present));
        if brakes.frozen {
            let any = !(self.settles.is_empty()
                && self.retracts.is_empty()
                && self.updates.is_empty()
                && self.pushes.is_empty());
            let hold = any.then_some(Hold::Frozen);
            self.out.now.append(&mut self.drops);
            for steps in [&mut self.settles, &mut self.retracts, &mut self.updates, &mut self.pushes] {
                release(&mut self.out, steps, hold, |_| true);
            }
            self.out.holds.extend(hold);
            return self.out;
        }

        if brakes.halted {
            for steps in [&mut self.retracts, &mut self.updates, &mut self.pushes] {
                steps.sort_unstable_by_key(|step| step.order);
            }
            self.out.now.append(&mut self.settles);
            self.out.now.append(&mut self.drops);
            for steps in [&mut self.retracts, &mut self.updates, &mut self.pushes] {
                release(&mut self.out, steps, Some(Hold::Halted), |step| !allowed(step));
            }
            self.out.holds.extend((!self.out.held.is_empty()).then_some(Hold::Halted));
            return self.out;
        }

        let mut adds = count(&self.pushes);
        let hold_adds = if !brakes.filled {
            let ask = brakes.first_fill == FirstFill::Approve && !brakes.fill_approved && adds > 0;
            ask.then_some(Hold::FirstFill { adds })
        } else {
            if brakes.replace_style {
                adds += count(&self.updates);
            }
            let Use { per_pass, per_day, used_24h } = adds_use;
            adds_use.is_exceeded_by(adds).then_some(Hold::AddsOverBudget { adds, per_pass, used_24h, per_day })
        };
        let hold_updates = hold_adds.filter(|hold| brakes.replace_style && !matches!(hold, Hold::FirstFill { .. }));

        let removals = count(&self.retracts);
        let pushes_now = if hold_adds.is_some() { self.pushes.len() - count(&self.pushes) } else { self.pushes.len() };
        let would_empty = present > 0 && self.leaving >= present && pushes_now == 0;
        let hold_removals = if removals_use.is_exceeded_by(removals) {
            let Use { per_pass, per_day, used_24h } = removals_use;
            Some(Hold::RemovalsOverBudget { removals, per_pass, used_24h, per_day })
        } else {
            (removals > 0 && would_empty && !brakes.allow_empty).then_some(Hold::WouldEmpty { removals })
        };

        // A destination that was away for hours is given what matters most first; and what must not be there leaves before
        // anything else: a call that fails later on, or a freeze, cannot keep it.
        for steps in [&mut self.retracts, &mut self.updates, &mut self.pushes] {
            steps.sort_unstable_by_key(|step| step.order);
        }
        self.out.now.append(&mut self.settles);
        self.out.now.append(&mut self.drops);
        release(&mut self.out, &mut self.retracts, hold_removals, ordinary);
        release(&mut self.out, &mut self.updates, hold_updates, ordinary);
        release(&mut self.out, &mut self.pushes, hold_adds, ordinary);
        self.out.holds.extend(hold_adds);
        self.out.holds.extend(hold_removals);
        self.out
    }
}

/// Lets a class of steps go, or holds those of it that the hold is for.
fn release(out: &mut Restrained, steps: &mut Vec<Planned>, hold: Option<Hold>, is_for: impl Fn(&Planned) -> bool) {
    let Some(hold) = hold else {
        if out.now.is_empty() {
            out.now = std::mem::take(steps);
        } else {
            out.now.append(steps);
        }
        return;
    };
    for mut step in steps.drain(..) {
        if is_for(&step) {
            step.why_held = Some(hold.why());
            out.held.push(step);
        } else {
            out.now.push(step);
        }
    }
}

/// The name of a set of steps: what was approved is what this names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PlanHash(pub [u8; 32]);

impl fmt::Display for PlanHash {
    /// Lower-case hex.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Names a set of steps by entry text, verb and fingerprint, whatever their order.
pub fn plan_hash<'a>(steps: impl IntoIterator<Item = (&'a str, Verb, u64)>) -> PlanHash {
    let mut steps: Vec<_> = steps.into_iter().collect();
    steps.sort_unstable();
    let mut hasher = Sha256::new();
    for (entry, verb, fingerprint) in steps {
        hasher.update((entry.len() as u64).to_le_bytes());
        hasher.update(entry.as_bytes());
        hasher.update([verb as u8]);
        hasher.update(fingerprint.to_le_bytes());
    }
    PlanHash(hasher.finalize().into())
}

#[cfg(test)]
mod tests;
