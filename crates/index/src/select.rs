//! An expression answered for all indicators at once: columns first, then what needs the records, texts last, each only
//! of what is still undecided.
//!
//! What a test means is `intel`'s ([`intel::expr::Test`]); here is only where the values lie. A property test holds the
//! answers equal to those of [`Expr::eval`] on whole indicators.

mod one;
mod scan;

use crate::columns::*;
use crate::{Index, Selection};
use intel::expr::Expr;
use intel::{ConnectionId, IndicatorId, IndicatorKind, Timestamp, Tlp, VerdictKind};
use std::collections::{BTreeMap, HashMap};

/// Which indicators a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Those that are active.
    Active,
    /// All of them.
    All,
}

/// What the targets hold, for `shared_with`. Asked only where an expression mentions it.
pub trait SharedWith {
    /// Calls `visit` once with each target's name and what it holds.
    fn each(&self, visit: &mut dyn FnMut(&str, &Selection));
}

/// No target holds anything: for rules, which may not ask.
#[derive(Debug, Clone, Copy)]
pub struct NotShared;

impl SharedWith for NotShared {
    fn each(&self, _visit: &mut dyn FnMut(&str, &Selection)) {}
}

impl SharedWith for BTreeMap<String, Selection> {
    fn each(&self, visit: &mut dyn FnMut(&str, &Selection)) {
        self.iter().for_each(|(name, held)| visit(name, held));
    }
}

impl SharedWith for HashMap<String, Selection> {
    fn each(&self, visit: &mut dyn FnMut(&str, &Selection)) {
        self.iter().for_each(|(name, held)| visit(name, held));
    }
}

impl Index {
    /// Which indicators meet an expression at `now`.
    pub fn select(&self, expr: &Expr, scope: Scope, now: Timestamp, shared: &dyn SharedWith) -> Selection {
        scan::Scan::new(self, now, shared).select(expr, scope)
    }

    /// Whether one indicator meets an expression at `now`; nothing is held to be shared. False if it does not exist.
    pub fn matches(&self, expr: &Expr, id: IndicatorId, now: Timestamp) -> bool {
        self.exists(id) && one::One::new(self, id.0, now, &NotShared).holds(expr)
    }

    /// Which have an active record of this connection, as last folded. A standing `malicious` verdict is a record of
    /// `manual`.
    pub fn active_from(&self, connection: ConnectionId) -> Selection {
        let source = u32::from(connection.0);
        let has: Vec<bool> =
            (0..self.source_sets.len()).map(|set| self.source_sets.get(set as u32).contains(&source)).collect();
        let sources = &self.indicators.sources;
        self.where_live(|at| has[sources[at] as usize])
    }

    /// Whether one is among [`Index::active_from`] of a connection.
    pub fn is_active_from(&self, id: IndicatorId, connection: ConnectionId) -> bool {
        self.exists(id)
            && self.source_sets.get(self.indicators.sources[id.0 as usize]).contains(&u32::from(connection.0))
    }

    /// Which are marked no more restrictively than this, as last folded.
    pub fn tlp_at_most(&self, most: Tlp) -> Selection {
        let marks = &self.indicators.marks;
        self.where_live(|at| marks[at] & TLP <= most as u8)
    }

    /// Which are of one of these kinds.
    pub fn of_kinds(&self, kinds: &[IndicatorKind]) -> Selection {
        let mut wanted = [false; 256];
        kinds.iter().for_each(|kind| wanted[*kind as usize] = true);
        let kind = &self.indicators.kind;
        self.where_live(|at| wanted[usize::from(kind[at])])
    }

    /// Which are active, as last folded.
    pub fn active(&self) -> Selection {
        let marks = &self.indicators.marks;
        self.where_live(|at| marks[at] & ACTIVE != 0)
    }

    /// Which are muted by an analyst.
    pub fn muted(&self) -> Selection {
        let marks = &self.indicators.marks;
        self.where_live(|at| marks[at] & MUTED != 0)
    }

    /// Which have this verdict, as last folded.
    pub fn with_verdict(&self, kind: VerdictKind) -> Selection {
        let (marks, bits) = (&self.indicators.marks, verdict_bits(Some(kind)) >> VERDICT_SHIFT);
        self.where_live(|at| marks[at] >> VERDICT_SHIFT == bits)
    }

    /// All that exist.
    pub fn all(&self) -> Selection {
        self.where_live(|_| true)
    }

    #[inline]
    fn where_live(&self, holds: impl Fn(usize) -> bool) -> Selection {
        let level = &self.indicators.level[..];
        Selection::from_words(
            level
                .chunks(64)
                .enumerate()
                .map(|(word, part)| {
                    let live = part.iter().enumerate();
                    live.fold(0, |bits, (bit, level)| bits | u64::from(*level != 0 && holds(word * 64 + bit)) << bit)
                })
                .collect(),
        )
    }
}
