//! What should happen to one entry at one target: the table of the exchange's whole purpose.
//!
//! [`decide`] is pure and total. First share, update, retraction, crash recovery, dry run and "why?" all ask it. It
//! knows nothing of budgets, first fill and freeze: those move whole steps from now to later, in [`crate::plan`].

use crate::guard::{Hit, Relation};
use crate::indicator::VerdictKind;
use crate::level::{Reputation, Severity, Tlp};
use crate::time::Timestamp;
use std::fmt;
use std::sync::Arc;

/// How good a claim an entry has to a place at a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rank {
    /// Of the summary.
    pub reputation: Reputation,
    /// Of the summary.
    pub severity: Severity,
    /// How many connections have an active record.
    pub n_sources: u32,
    /// Last seen, else when we first received it. Compared among newcomers only, so that a place once given is kept.
    pub freshness: Timestamp,
    /// The last word among equals, lower first: the order of the keys, the same at every pass.
    pub tie: u64,
}

impl Rank {
    /// Reputation, severity and number of sources as one number: what a newcomer must exceed to displace.
    pub fn standing(&self) -> u64 {
        u64::from(self.reputation.get()) << 40 | u64::from(self.severity as u8) << 32 | u64::from(self.n_sources)
    }

    /// Sorts best first. An incumbent counts as fresher than any newcomer: it comes before those of its standing.
    pub fn order(&self, newcomer: bool) -> (u64, u64, u64) {
        let newest_first = if newcomer { !(self.freshness.micros() as u64 ^ (1 << 63)) } else { 0 };
        (!self.standing(), newest_first, self.tie)
    }
}

/// Whether an entry should be at a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// It should, with this rank.
    Yes(Rank),
    /// It should not.
    No(Why),
    /// Only a muted rule or a muted indicator speaks for it: nothing new is sent, nothing is taken back.
    Held(Why),
}

impl Wanted {
    /// What two keys say together about the entry that stands for both.
    ///
    /// A key that is guarded, excepted or judged harmless keeps the whole entry out; else one wanted key is enough;
    /// else one held key holds it. Rank is that of the best wanted key. The order of the keys does not matter.
    #[must_use]
    pub fn join(self, other: Wanted) -> Wanted {
        let weight = |wanted: &Wanted| match wanted {
            Wanted::No(why) if why.is_veto() => 0,
            Wanted::Yes(_) => 1,
            Wanted::Held(_) => 2,
            Wanted::No(_) => 3,
        };
        match weight(&self).cmp(&weight(&other)) {
            std::cmp::Ordering::Less => self,
            std::cmp::Ordering::Greater => other,
            std::cmp::Ordering::Equal => match (&self, &other) {
                (Wanted::Yes(a), Wanted::Yes(b)) if b.order(true) < a.order(true) => other,
                (Wanted::No(a) | Wanted::Held(a), Wanted::No(b) | Wanted::Held(b)) if b.told_before(a) => other,
                _ => self,
            },
        }
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every value.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The stable name in store, API and tables.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text),+ }
            }

            /// Reads the name. None if it is not one.
            pub fn parse(text: &str) -> Option<$name> {
                match text { $($text => Some($name::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use words;

words!(
    /// What we know about an entry at a target.
    LineState {
        /// Intent is durable; whether the call was made is not known yet.
        Pending = "pending",
        /// The call was made and its outcome is not known.
        Unknown = "unknown",
        /// It is there and we put it there.
        Present = "present",
        /// The destination would not have it.
        Refused = "refused",
        /// Intent to take it back is durable; the outcome is not known.
        Retracting = "retracting",
        /// It was there before us: not ours to change or remove.
        Foreign = "foreign",
        /// Ours once, left there when its sharing was deleted: not ours any more.
        Released = "released",
        /// Taken back: a tombstone, kept so that echoes are known.
        Gone = "gone",
    }
);

impl LineState {
    /// Whether an entry in this state may be there and is ours, so that it uses capacity.
    pub fn occupies(self) -> bool {
        matches!(self, LineState::Pending | LineState::Unknown | LineState::Present | LineState::Retracting)
    }

    /// Whether capacity counts it as somebody else's.
    pub fn is_foreign(self) -> bool {
        matches!(self, LineState::Foreign | LineState::Released)
    }
}

/// What [`decide`] needs of a ledger line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// What we know.
    pub state: LineState,
    /// Of what we last sent: action, parameters and rendered fields, without expiry.
    pub fingerprint: u64,
    /// When a refused entry may be tried again; None: when its fingerprint changes.
    pub next_try: Option<Timestamp>,
    /// When the destination will drop it by itself; None: never, or not known.
    pub remote_expires: Option<Timestamp>,
    /// When we last set that expiry.
    pub remote_from: Option<Timestamp>,
    /// How often it was tried in its present state.
    pub attempts: u32,
}

impl Line {
    /// A line in this state that says nothing else.
    pub fn new(state: LineState, fingerprint: u64) -> Line {
        Line { state, fingerprint, next_try: None, remote_expires: None, remote_from: None, attempts: 0 }
    }

    /// Whether the expiry at the destination should be set anew: under a third of it remains and we want it longer.
    fn needs_renewal(&self, desired: Option<Timestamp>, now: Timestamp) -> bool {
        let Some(expires) = self.remote_expires else { return false };
        if desired.is_some_and(|desired| desired <= expires) {
            return false;
        }
        let Some(from) = self.remote_from else { return true };
        expires.since(now).as_micros() * 3 < expires.since(from).as_micros()
    }
}

words!(
    /// When a target gives back what is no longer wanted. Verdict and guard override it where retraction is possible.
    RetractMode {
        /// Whatever is not wanted any more.
        Always = "always",
        /// Only what is no longer active.
        ExpiredAndRetracted = "expired_and_retracted",
        /// Nothing.
        Never = "never",
    }
);

/// What [`decide`] needs of a target, its action and its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetView {
    /// The action can take entries back.
    pub can_retract: bool,
    /// The destination can be asked what is there.
    pub can_look: bool,
    /// The target's setting.
    pub retract: RetractMode,
    /// Entries expire at the destination by themselves, and we set when.
    pub expiry_supported: bool,
}

impl TargetView {
    /// Whether an entry that is not wanted for this reason may be taken back.
    pub fn may_retract(&self, why: &Why) -> bool {
        self.can_retract
            && (why.is_safety()
                // The mode says what iocast gives back by itself; this a person asked for, entry by entry.
                || matches!(why, Why::Undone(_))
                || match self.retract {
                    RetractMode::Always => true,
                    RetractMode::ExpiredAndRetracted => *why == Why::Inactive,
                    RetractMode::Never => false,
                })
    }
}

words!(
    /// What a plan does to an entry. Only the first three are effects and count as planned.
    Verb {
        /// Send it.
        Push = "push",
        /// Send it again with what changed.
        Update = "update",
        /// Take it back.
        Retract = "retract",
        /// Ask the destination whether it is there.
        Settle = "settle",
        /// Forget the ledger line; nothing is sent.
        Drop = "drop",
    }
);

impl Verb {
    /// Whether it changes something at the destination.
    pub fn is_effect(self) -> bool {
        matches!(self, Verb::Push | Verb::Update | Verb::Retract)
    }
}

/// The answer for one entry at one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send it.
    Push,
    /// Send it again with what changed.
    Update,
    /// Take it back.
    Retract,
    /// Ask the destination whether it is there.
    Settle,
    /// It is as it should be.
    Leave,
    /// Forget the ledger line.
    Drop,
    /// Nothing is done, for this reason.
    Skip(Why),
}

impl Step {
    /// The verb of a step that does something.
    pub fn verb(&self) -> Option<Verb> {
        match self {
            Step::Push => Some(Verb::Push),
            Step::Update => Some(Verb::Update),
            Step::Retract => Some(Verb::Retract),
            Step::Settle => Some(Verb::Settle),
            Step::Drop => Some(Verb::Drop),
            Step::Leave | Step::Skip(_) => None,
        }
    }

    /// The stable name.
    pub fn as_str(&self) -> &'static str {
        match self {
            Step::Leave => "leave",
            Step::Skip(_) => "skip",
            step => step.verb().map_or("", Verb::as_str),
        }
    }
}

/// Why something is not done, not wanted, or waits. Its text is a sentence an analyst can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The action takes no indicators of this kind.
    KindNotAccepted,
    /// Expired, retracted, or its connections do not count.
    Inactive,
    /// No rule of a sharing of this target selects it.
    NotSelected,
    /// An exception: which one, as `rule "a", exception "b"`.
    Excepted(Arc<str>),
    /// A person undid what put it there, and nobody has lifted that since: who and when, as a sentence.
    Undone(Arc<str>),
    /// An analyst says it is not bad.
    Verdict(VerdictKind),
    /// Muted: the rule or the indicator, as `rule "a"`.
    Muted(Arc<str>),
    /// A guard list holds it, or something it would take with it.
    Guarded(Arc<Hit>),
    /// Marked more restrictively than the sharing lets through.
    Tlp {
        /// Its marking.
        has: Tlp,
        /// The highest ceiling of the sharings that select it.
        ceiling: Tlp,
    },
    /// A network wider than the target sends.
    TooBroad,
    /// There is no room for what ranks so low.
    OverCapacity {
        /// Its position by rank, from 1.
        position: u32,
        /// How many ranked entries there is room for.
        limit: u32,
    },
    /// There will be room for it once a removal is accepted.
    NoRoomYet,
    /// The whole class of steps exceeds the change budget and waits for a person.
    OverBudget,
    /// The removals would leave the target empty and wait for a person.
    WouldEmpty,
    /// We put it there first.
    Echo,
    /// Its row came in a run that a person has yet to believe.
    SuspectRun,
    /// The destination would not have it; its words where known.
    Refused(Option<Arc<str>>),
    /// The action cannot take it back, or the retract mode forbids it.
    CannotRetract,
    /// The first fill of the target waits for a person.
    AwaitingApproval,
    /// The exchange is frozen: no call begins.
    Frozen,
    /// Whether it is there is not known and cannot be asked.
    Unsettled,
}

impl Why {
    /// The stable code in the API, files and tables.
    pub fn as_str(&self) -> &'static str {
        match self {
            Why::KindNotAccepted => "kind_not_accepted",
            Why::Inactive => "inactive",
            Why::NotSelected => "not_selected",
            Why::Excepted(_) => "excepted",
            Why::Undone(_) => "undone",
            Why::Verdict(_) => "verdict",
            Why::Muted(_) => "muted",
            Why::Guarded(_) => "guarded",
            Why::Tlp { .. } => "tlp",
            Why::TooBroad => "too_broad",
            Why::OverCapacity { .. } | Why::NoRoomYet => "over_capacity",
            Why::OverBudget => "over_budget",
            Why::WouldEmpty => "would_empty",
            Why::Echo => "echo",
            Why::SuspectRun => "suspect_run",
            Why::Refused(_) => "refused",
            Why::CannotRetract => "cannot_retract",
            Why::AwaitingApproval => "awaiting_approval",
            Why::Frozen => "frozen",
            Why::Unsettled => "unsettled",
        }
    }

    /// A verdict or the guard: taken back whatever the retract mode, and never braked.
    pub fn is_safety(&self) -> bool {
        matches!(self, Why::Guarded(_) | Why::Verdict(VerdictKind::FalsePositive | VerdictKind::Safe))
    }

    /// Whether one key with this reason keeps out the whole entry, whatever other keys want it.
    pub fn is_veto(&self) -> bool {
        self.is_safety() || matches!(self, Why::Excepted(_) | Why::Undone(_))
    }

    /// Whether this reason is told rather than the other, where one entry has both. Never both ways round, and only for
    /// the same reason neither way: else an entry would explain itself differently from pass to pass.
    fn told_before(&self, other: &Why) -> bool {
        use std::cmp::{Ordering, Reverse};
        let kind = (self.weight(), self.as_str()).cmp(&(other.weight(), other.as_str()));
        kind.then_with(|| match (self, other) {
            (Why::Verdict(a), Why::Verdict(b)) => a.as_str().cmp(b.as_str()),
            (Why::Excepted(a), Why::Excepted(b)) | (Why::Muted(a), Why::Muted(b)) => a.cmp(b),
            // The strongest class and relation first.
            (Why::Guarded(a), Why::Guarded(b)) => {
                let told = |hit: &Hit| (Reverse((hit.stop, hit.class, hit.relation)), hit.excepted);
                told(a).cmp(&told(b)).then_with(|| (&a.value, &a.list).cmp(&(&b.value, &b.list)))
            }
            (Why::Tlp { has: a, ceiling: of_a }, Why::Tlp { has: b, ceiling: of_b }) => (b, of_b).cmp(&(a, of_a)),
            (Why::OverCapacity { position: a, limit: of_a }, Why::OverCapacity { position: b, limit: of_b }) => {
                (a, of_a).cmp(&(b, of_b))
            }
            (Why::Refused(a), Why::Refused(b)) => a.cmp(b),
            _ => Ordering::Equal,
        }) == Ordering::Less
    }

    /// Which of several reasons is told, lowest first. `Inactive` comes last: only an entry with nothing but inactive
    /// keys is one that "expired or was retracted".
    fn weight(&self) -> u8 {
        match self {
            Why::Verdict(_) => 0,
            Why::Guarded(_) => 1,
            Why::Excepted(_) => 2,
            Why::Undone(_) => 3,
            Why::Inactive => 6,
            Why::NotSelected => 5,
            _ => 4,
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::KindNotAccepted => f.write_str("the action takes no indicators of this kind"),
            Why::Inactive => f.write_str("not active: every record has expired or was retracted"),
            Why::NotSelected => f.write_str("no rule of a sharing of this target selects it"),
            Why::Excepted(by) => write!(f, "excepted by {by}"),
            Why::Undone(by) => write!(f, "undone: {by}; it stays out until the pin is lifted"),
            Why::Verdict(kind) => write!(f, "an analyst's verdict: {}", kind.as_str()),
            Why::Muted(what) => write!(f, "{what} is muted: nothing new is shared, nothing is taken back"),
            Why::Guarded(hit) => {
                let relation = match hit.relation {
                    Relation::Equal => "is",
                    Relation::Contains => "contains",
                    Relation::Contained => "lies inside",
                };
                write!(f, "guarded: it {relation} {} of the {} list {}", hit.value, hit.class, hit.list)
            }
            Why::Tlp { has, ceiling } => write!(f, "marked TLP:{has}, the sharing lets through up to TLP:{ceiling}"),
            Why::TooBroad => f.write_str("the network is wider than the target sends"),
            Why::OverCapacity { position, limit } => {
                write!(f, "over capacity: number {position} by rank, there is room for {limit}")
            }
            Why::NoRoomYet => f.write_str("over capacity until a removal on the way is accepted"),
            Why::OverBudget => f.write_str("over the change budget: waits for approval"),
            Why::WouldEmpty => f.write_str("the removals would leave the target empty: waits for approval"),
            Why::Echo => f.write_str("an echo: we put it there first"),
            Why::SuspectRun => f.write_str("its row came in a suspect run that waits for approval"),
            Why::Refused(Some(words)) => write!(f, "refused by the destination: {words}"),
            Why::Refused(None) => f.write_str("refused by the destination"),
            Why::CannotRetract => f.write_str("cannot be taken back: the action or the retract mode forbids it"),
            Why::AwaitingApproval => f.write_str("the first fill of this target waits for approval"),
            Why::Frozen => f.write_str("frozen: no call to a destination begins"),
            Why::Unsettled => f.write_str("whether it is there is not known, and the destination cannot be asked"),
        }
    }
}

/// What should happen at one target to one entry.
///
/// `fingerprint` and `desired_expiry` are of the entry as it would be sent now; `desired_expiry` None: never.
/// "Nothing to do" for an entry that is neither wanted nor there is `Skip` with the reason it is not wanted.
pub fn decide(
    target: &TargetView,
    wanted: &Wanted,
    line: Option<&Line>,
    fingerprint: u64,
    desired_expiry: Option<Timestamp>,
    now: Timestamp,
) -> Step {
    use LineState as S;
    let retract = |why: &Why| if target.may_retract(why) { Step::Retract } else { Step::Skip(Why::CannotRetract) };
    let line = match line {
        None => return absent(wanted),
        Some(line) if line.state == S::Gone => return absent(wanted),
        Some(line) => line,
    };
    match (line.state, wanted) {
        (S::Pending | S::Unknown, _) if target.can_look => Step::Settle,
        (S::Pending | S::Unknown, Wanted::Yes(_)) => Step::Push,
        (S::Pending | S::Unknown, Wanted::No(why)) => retract(why),
        (S::Pending | S::Unknown, Wanted::Held(_)) => Step::Skip(Why::Unsettled),

        (S::Present, Wanted::Yes(_)) => {
            let renew = target.expiry_supported && line.needs_renewal(desired_expiry, now);
            if line.fingerprint != fingerprint || renew { Step::Update } else { Step::Leave }
        }
        (S::Present, Wanted::No(why)) => retract(why),
        (S::Present, Wanted::Held(_)) => Step::Leave,

        (S::Refused, Wanted::Yes(_)) => {
            let due = line.next_try.is_some_and(|next_try| next_try <= now);
            if line.fingerprint != fingerprint || due { Step::Push } else { Step::Skip(Why::Refused(None)) }
        }
        (S::Refused, Wanted::No(_)) => Step::Drop,
        (S::Refused, Wanted::Held(why)) => Step::Skip(why.clone()),

        (S::Retracting, Wanted::Yes(_)) => {
            if target.can_look {
                Step::Settle
            } else {
                Step::Push
            }
        }
        // A removal begun is finished, unless the target has since been told not to: then a look says what stands.
        (S::Retracting, Wanted::No(why) | Wanted::Held(why)) => match retract(why) {
            Step::Skip(_) if target.can_look => Step::Settle,
            step => step,
        },

        (S::Foreign, Wanted::Yes(_) | Wanted::Held(_)) => Step::Leave,
        (S::Foreign, Wanted::No(_)) => Step::Drop,
        (S::Released, _) => Step::Leave,
        (S::Gone, _) => absent(wanted),
    }
}

fn absent(wanted: &Wanted) -> Step {
    match wanted {
        Wanted::Yes(_) => Step::Push,
        Wanted::No(why) | Wanted::Held(why) => Step::Skip(why.clone()),
    }
}

#[cfg(test)]
mod tests;
