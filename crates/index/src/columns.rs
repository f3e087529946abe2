//! The columns themselves: one vector per field, packed as tightly as the values allow.
//!
//! Times are whole seconds, rounded down, in 32 bits, 0 for none: what expires at `t` is inactive at `t`, and what is
//! valid from `t` is valid at `t`. The year 2106 is the end of them; the language of feeds ends in 2100.

use hashbrown::{HashMap, HashTable};
use intel::{ConnectionId, Facts, Reputation, Severity, SourceRecord, Timestamp, Tlp, VerdictKind};

/// No record, no slot.
pub(crate) const NONE: u32 = u32::MAX;
/// Marks the last record of a list; the other bits are then the indicator it belongs to.
pub(crate) const END: u32 = 1 << 31;
/// The connection of a slot that is free.
pub(crate) const FREE: u16 = u16::MAX;
/// A confidence nobody stated.
pub(crate) const NO_CONFIDENCE: u8 = u8::MAX;
/// No record leads.
pub(crate) const NO_LEADER: u8 = u8::MAX;

/// Whole seconds, rounded down, in the range the columns have. 0 is left for "none".
pub(crate) fn secs(time: Timestamp) -> u32 {
    time.secs().clamp(1, i64::from(u32::MAX) - 1) as u32
}

pub(crate) fn opt_secs(time: Option<Timestamp>) -> u32 {
    time.map_or(0, secs)
}

pub(crate) fn time(secs: u32) -> Timestamp {
    Timestamp::from_secs(i64::from(secs))
}

pub(crate) fn opt_time(secs: u32) -> Option<Timestamp> {
    (secs != 0).then(|| time(secs))
}

/// The same facts with times as the columns hold them, so that a preview and what is kept agree.
pub(crate) fn facts_of(connection: ConnectionId, record: &SourceRecord) -> Facts {
    rounded(Facts::of(connection, record))
}

pub(crate) fn rounded(mut facts: Facts) -> Facts {
    let round = |at: Option<Timestamp>| at.map(|at| time(secs(at)));
    facts.first_seen = round(facts.first_seen);
    facts.last_seen = round(facts.last_seen);
    facts.valid_from = round(facts.valid_from);
    facts.expires_at = round(facts.expires_at);
    facts.received = time(secs(facts.received));
    facts.confidence = facts.confidence.map(|confidence| confidence.min(100));
    facts
}

/// Reputation in the upper four bits (0: none), severity in the lower: in order of rank.
pub(crate) fn level(reputation: Option<Reputation>, severity: Severity) -> u8 {
    reputation.map_or(0, Reputation::get) << 4 | severity as u8
}

pub(crate) fn severity(level: u8) -> Severity {
    Severity::ALL.get(usize::from(level & 0x0f)).copied().unwrap_or(Severity::Unknown)
}

pub(crate) fn tlp(marks: u8) -> Option<Tlp> {
    Tlp::ALL.get(usize::from(marks & TLP)).copied()
}

pub(crate) fn verdict(marks: u8) -> Option<VerdictKind> {
    match marks >> VERDICT_SHIFT {
        1 => Some(VerdictKind::Malicious),
        2 => Some(VerdictKind::FalsePositive),
        3 => Some(VerdictKind::Safe),
        _ => None,
    }
}

pub(crate) fn verdict_bits(verdict: Option<VerdictKind>) -> u8 {
    let number = match verdict {
        None => 0,
        Some(VerdictKind::Malicious) => 1,
        Some(VerdictKind::FalsePositive) => 2,
        Some(VerdictKind::Safe) => 3,
    };
    number << VERDICT_SHIFT
}

/// The marking, in the marks of indicators and records; 7 in a record that states none.
pub(crate) const TLP: u8 = 7;
/// Indicator: active.
pub(crate) const ACTIVE: u8 = 1 << 3;
/// Indicator: muted.
pub(crate) const MUTED: u8 = 1 << 4;
/// Indicator: taken back.
pub(crate) const TAKEN_BACK: u8 = 1 << 5;
/// Indicator: the verdict that stands, in the two bits from here on.
pub(crate) const VERDICT_SHIFT: u8 = 6;
/// Record: retracted.
pub(crate) const RETRACTED: u8 = 1 << 3;
/// Record: in the last believed run.
pub(crate) const LISTED: u8 = 1 << 4;
/// Record: we put it there first.
pub(crate) const ECHO: u8 = 1 << 5;
/// Record: the side table `rare` has more.
pub(crate) const RARE: u8 = 1 << 6;
/// Record: the side table `more` has further fingerprints.
pub(crate) const MORE: u8 = 1 << 7;

/// Columns grow by so many rows at a time, dead or free ones, so that a new row is a write and not a dozen checks.
const STEP: usize = 1024;

/// Makes room in steps of an eighth rather than by doubling: a column's slack is memory nobody uses.
pub(crate) fn reserve<T>(column: &mut Vec<T>, more: usize) {
    if column.len() + more > column.capacity() {
        column.reserve_exact(more.max(column.len() / 8).max(64));
    }
}

/// What each indicator is held to be, by position.
#[derive(Debug, Default)]
pub(crate) struct Indicators {
    pub(crate) value: Vec<u32>,
    pub(crate) kind: Vec<u8>,
    /// The first record, in order of connection; `NONE` without any.
    pub(crate) head: Vec<u32>,
    /// 0 where there is no indicator.
    pub(crate) level: Vec<u8>,
    pub(crate) marks: Vec<u8>,
    pub(crate) confidence: Vec<u8>,
    pub(crate) first_seen: Vec<u32>,
    pub(crate) last_seen: Vec<u32>,
    pub(crate) tags: Vec<u32>,
    /// The connections with an active record, as a set.
    pub(crate) sources: Vec<u32>,
    /// Place of the leading record in the list.
    pub(crate) leader: Vec<u8>,
    pub(crate) revision_low: Vec<u32>,
    pub(crate) revision_high: Vec<u8>,
    pub(crate) refold_at: Vec<u32>,
}

macro_rules! each_column {
    ($self:ident, $column:ident => $do:expr) => {{
        let _ = {
            let $column = &mut $self.value;
            $do
        };
        let _ = {
            let $column = &mut $self.kind;
            $do
        };
        let _ = {
            let $column = &mut $self.head;
            $do
        };
        let _ = {
            let $column = &mut $self.level;
            $do
        };
        let _ = {
            let $column = &mut $self.marks;
            $do
        };
        let _ = {
            let $column = &mut $self.confidence;
            $do
        };
        let _ = {
            let $column = &mut $self.first_seen;
            $do
        };
        let _ = {
            let $column = &mut $self.last_seen;
            $do
        };
        let _ = {
            let $column = &mut $self.tags;
            $do
        };
        let _ = {
            let $column = &mut $self.sources;
            $do
        };
        let _ = {
            let $column = &mut $self.leader;
            $do
        };
        let _ = {
            let $column = &mut $self.revision_low;
            $do
        };
        let _ = {
            let $column = &mut $self.revision_high;
            $do
        };
        let _ = {
            let $column = &mut $self.refold_at;
            $do
        };
    }};
}

impl Indicators {
    pub(crate) fn reserve(&mut self, n: usize) {
        each_column!(self, column => column.reserve_exact(n.next_multiple_of(STEP)));
    }

    /// Makes at least `n` positions exist, dead ones where nothing was.
    pub(crate) fn grow_to(&mut self, n: usize) {
        if n <= self.kind.len() {
            return;
        }
        let n = n.next_multiple_of(STEP);
        let more = n - self.kind.len();
        each_column!(self, column => {
            reserve(column, more);
            column.resize(n, Default::default());
        });
        let from = n - more;
        self.head[from..].fill(NONE);
        self.refold_at[from..].fill(NONE);
        self.leader[from..].fill(NO_LEADER);
        self.confidence[from..].fill(NO_CONFIDENCE);
    }

    pub(crate) fn set_revision(&mut self, at: usize, revision: u64) {
        self.revision_low[at] = revision as u32;
        self.revision_high[at] = (revision >> 32) as u8;
    }

    pub(crate) fn revision(&self, at: usize) -> u64 {
        u64::from(self.revision_high[at]) << 32 | u64::from(self.revision_low[at])
    }

    pub(crate) fn bytes(&self) -> usize {
        self.kind.capacity() * 6
            + (self.value.capacity() + self.head.capacity() + self.first_seen.capacity()) * 4
            + (self.last_seen.capacity() + self.tags.capacity() + self.sources.capacity()) * 4
            + (self.revision_low.capacity() + self.refold_at.capacity()) * 4
    }
}

/// What few records have.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rare {
    pub(crate) valid_from: u32,
    pub(crate) expires_at: u32,
    pub(crate) internal_hits: u32,
    pub(crate) external_hits: u32,
}

/// Every connection's records, by slot; those of one indicator are a list in order of connection.
#[derive(Debug, Default)]
pub(crate) struct Records {
    pub(crate) connection: Vec<u16>,
    pub(crate) next: Vec<u32>,
    pub(crate) first_seen: Vec<u32>,
    pub(crate) last_seen: Vec<u32>,
    pub(crate) received: Vec<u32>,
    pub(crate) level: Vec<u8>,
    pub(crate) confidence: Vec<u8>,
    pub(crate) marks: Vec<u8>,
    pub(crate) tags: Vec<u32>,
    pub(crate) comment: Vec<u32>,
    /// A short hash of the link: enough to see it change, for its text is in the store. 0 for none.
    pub(crate) link: Vec<u16>,
    /// The first of its fingerprints; 0 for none.
    pub(crate) fingerprint: Vec<u64>,
    pub(crate) rare: HashMap<u32, Rare>,
    pub(crate) more: HashMap<u32, Box<[u64]>>,
    /// Slots from here on were never used.
    used: usize,
    free: Vec<u32>,
    seen: HashTable<u32>,
    more_seen: HashMap<u64, u32>,
}

impl Records {
    pub(crate) fn reserve(&mut self, n: usize) {
        let n = n.next_multiple_of(STEP);
        self.connection.reserve_exact(n);
        self.link.reserve_exact(n);
        for column in [&mut self.next, &mut self.first_seen, &mut self.last_seen, &mut self.received] {
            column.reserve_exact(n);
        }
        self.tags.reserve_exact(n);
        self.comment.reserve_exact(n);
        for column in [&mut self.level, &mut self.confidence, &mut self.marks] {
            column.reserve_exact(n);
        }
        self.fingerprint.reserve_exact(n);
        let fingerprint = &self.fingerprint;
        self.seen.reserve(n, |slot| fingerprint[*slot as usize]);
    }

    /// A slot to write to, its columns empty.
    pub(crate) fn take(&mut self) -> u32 {
        if let Some(slot) = self.free.pop() {
            return slot;
        }
        if self.used == self.connection.len() {
            self.grow();
        }
        self.used += 1;
        self.used as u32 - 1
    }

    fn grow(&mut self) {
        fn add<T: Clone>(column: &mut Vec<T>, empty: T) {
            reserve(column, STEP);
            column.resize(column.len() + STEP, empty);
        }
        add(&mut self.connection, FREE);
        for column in [&mut self.next, &mut self.first_seen, &mut self.last_seen, &mut self.received] {
            add(column, 0);
        }
        add(&mut self.tags, 0);
        add(&mut self.comment, 0);
        add(&mut self.link, 0);
        for column in [&mut self.level, &mut self.confidence, &mut self.marks] {
            add(column, 0);
        }
        add(&mut self.fingerprint, 0);
    }

    /// Gives a slot back: nothing of it is left.
    pub(crate) fn release(&mut self, slot: u32) {
        self.set_fingerprints(slot, &[]);
        self.rare.remove(&slot);
        let at = slot as usize;
        self.connection[at] = FREE;
        self.marks[at] = 0;
        self.free.push(slot);
    }

    pub(crate) fn len(&self) -> usize {
        self.used - self.free.len()
    }

    pub(crate) fn set_facts(&mut self, slot: u32, facts: &Facts) {
        let at = slot as usize;
        self.connection[at] = facts.connection.0;
        self.first_seen[at] = opt_secs(facts.first_seen);
        self.last_seen[at] = opt_secs(facts.last_seen);
        self.received[at] = secs(facts.received);
        self.level[at] = level(facts.reputation, facts.severity);
        self.confidence[at] = facts.confidence.unwrap_or(NO_CONFIDENCE);
        let rare = Rare {
            valid_from: opt_secs(facts.valid_from),
            expires_at: opt_secs(facts.expires_at),
            internal_hits: facts.internal_hits,
            external_hits: facts.external_hits,
        };
        let is_rare = rare.valid_from | rare.expires_at | rare.internal_hits | rare.external_hits != 0;
        let was_rare = self.marks[at] & RARE != 0;
        if is_rare {
            self.rare.insert(slot, rare);
        } else if was_rare {
            self.rare.remove(&slot);
        }
        let bit = |on: bool, bit: u8| if on { bit } else { 0 };
        self.marks[at] = self.marks[at] & MORE
            | facts.tlp.map_or(TLP, |tlp| tlp as u8)
            | bit(facts.retracted, RETRACTED)
            | bit(facts.listed, LISTED)
            | bit(facts.echo, ECHO)
            | bit(is_rare, RARE);
    }

    /// The facts of one record, as the fold wants them.
    #[inline]
    pub(crate) fn facts(&self, slot: u32) -> Facts {
        let at = slot as usize;
        let marks = self.marks[at];
        let rare = if marks & RARE != 0 { self.rare.get(&slot).copied().unwrap_or_default() } else { Rare::default() };
        let confidence = self.confidence[at];
        Facts {
            connection: ConnectionId(self.connection[at]),
            reputation: Reputation::new(self.level[at] >> 4),
            confidence: (confidence != NO_CONFIDENCE).then_some(confidence),
            severity: severity(self.level[at]),
            tlp: tlp(marks),
            first_seen: opt_time(self.first_seen[at]),
            last_seen: opt_time(self.last_seen[at]),
            valid_from: opt_time(rare.valid_from),
            expires_at: opt_time(rare.expires_at),
            received: time(self.received[at]),
            retracted: marks & RETRACTED != 0,
            listed: marks & LISTED != 0,
            echo: marks & ECHO != 0,
            internal_hits: rare.internal_hits,
            external_hits: rare.external_hits,
        }
    }

    /// The record that holds a row of this fingerprint.
    #[inline]
    pub(crate) fn seen(&self, fingerprint: u64) -> Option<u32> {
        if let Some(slot) = self.seen.find(fingerprint, |slot| self.fingerprint[*slot as usize] == fingerprint) {
            return Some(*slot);
        }
        if self.more_seen.is_empty() { None } else { self.more_seen.get(&fingerprint).copied() }
    }

    /// Which rows are joined in a record. A record of many rows keeps all but the first in a side table.
    pub(crate) fn set_fingerprints(&mut self, slot: u32, contents: &[u64]) {
        let at = slot as usize;
        let old = self.fingerprint[at];
        let first = contents.first().copied().unwrap_or(0);
        if old != first {
            if old != 0
                && let Ok(entry) = self.seen.find_entry(old, |other| *other == slot)
            {
                entry.remove();
            }
            self.fingerprint[at] = first;
            if first != 0 {
                let fingerprint = &self.fingerprint;
                self.seen.insert_unique(first, slot, |slot| fingerprint[*slot as usize]);
            }
        }
        if self.marks[at] & MORE != 0 {
            for further in self.more.remove(&slot).unwrap_or_default() {
                self.more_seen.remove(&further);
            }
            self.marks[at] &= !MORE;
        }
        if contents.len() > 1 {
            contents[1..].iter().for_each(|further| {
                self.more_seen.insert(*further, slot);
            });
            self.more.insert(slot, contents[1..].into());
            self.marks[at] |= MORE;
        }
    }

    /// The slot after this one in the list of its indicator.
    #[inline]
    pub(crate) fn after(&self, slot: u32) -> Option<u32> {
        let next = self.next[slot as usize];
        (next & END == 0).then_some(next)
    }

    /// The indicator a slot belongs to, found at the end of its list.
    pub(crate) fn owner(&self, slot: u32) -> u32 {
        let mut next = self.next[slot as usize];
        while next & END == 0 {
            next = self.next[next as usize];
        }
        next & !END
    }

    pub(crate) fn bytes(&self) -> usize {
        (self.connection.capacity() + self.link.capacity()) * 2
            + self.level.capacity()
            + self.confidence.capacity()
            + self.marks.capacity()
            + (self.next.capacity() + self.first_seen.capacity() + self.last_seen.capacity()) * 4
            + (self.received.capacity() + self.tags.capacity() + self.comment.capacity()) * 4
            + self.free.capacity() * 4
            + self.fingerprint.capacity() * 8
    }

    pub(crate) fn side_bytes(&self) -> usize {
        let more: usize = self.more.values().map(|further| further.len() * 8 + 16).sum();
        self.rare.capacity() * 8 / 7 * 21
            + self.more.capacity() * 8 / 7 * 25
            + self.more_seen.capacity() * 8 / 7 * 17
            + more
    }

    pub(crate) fn seen_bytes(&self) -> usize {
        self.seen.capacity() * 8 / 7 * 5
    }
}
