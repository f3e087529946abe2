//! The delivery ledger in memory: what each target holds of ours, line by line.
//!
//! The store's rows are the truth; this is their image, small enough (some thirty bytes a line) that a pass over a
//! target with a million lines is a comparison of bit sets. It is written only after the store has been.

use crate::Known;
use hashbrown::HashTable;
use index::Selection;
use intel::sharing::{Line, LineState};
use intel::{IndicatorId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use xxhash_rust::xxh3::xxh3_64;

/// A line without what only few lines have.
#[derive(Debug, Clone, Copy)]
struct Slim {
    id: u32,
    first_intent: u32,
    updated: u32,
    fingerprint: [u32; 2],
    state: LineState,
}

/// What only lines in trouble, with a remote id or with another text than their key have.
#[derive(Debug, Clone, Default)]
struct Rare {
    remote_id: Option<Box<str>>,
    entry: Option<Box<str>>,
    words: Option<Box<str>>,
    next_try: Option<Timestamp>,
    remote_expires: Option<Timestamp>,
    remote_from: Option<Timestamp>,
    attempts: u32,
}

/// A whole line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The indicator that represents the entry: its best-ranked wanting key.
    pub id: IndicatorId,
    /// What `decide` needs.
    pub line: Line,
    /// The destination's id.
    pub remote_id: Option<Box<str>>,
    /// The text the destination stores, where it is not the key's value.
    pub entry: Option<Box<str>>,
    /// The destination's last words.
    pub words: Option<Box<str>>,
    /// When we first meant to put it there.
    pub first_intent: Timestamp,
    /// When the line was last written, to the second.
    pub updated: Timestamp,
}

/// All lines of one target, tombstones included.
#[derive(Debug, Default)]
pub struct Ledger {
    /// In no order.
    lines: Vec<Slim>,
    /// Indicator to place in `lines`: a table of whole lines would keep as much room free again.
    places: HashTable<u32>,
    rare: BTreeMap<u32, Rare>,
    /// Lines that exist at the destination or may: everything but gone.
    live: Selection,
    /// Lines that are there by the last we know.
    present: Selection,
    /// Live lines that are not simply present.
    unsettled: BTreeSet<u32>,
    /// Entry text → indicator, where the text is not the key's value.
    by_text: BTreeMap<Box<str>, u32>,
    /// How many lines are in each state.
    n_of: [usize; N_STATES],
}

/// Room for the number of every state.
const N_STATES: usize = 16;

fn hash(id: u32) -> u64 {
    xxh3_64(&id.to_le_bytes())
}

impl Ledger {
    fn place(&self, id: u32) -> Option<usize> {
        self.places.find(hash(id), |at| self.lines[*at as usize].id == id).map(|at| *at as usize)
    }

    /// The line of an indicator.
    pub fn get(&self, id: IndicatorId) -> Option<Entry> {
        let slim = &self.lines[self.place(id.0)?];
        let rare = self.rare.get(&id.0).cloned().unwrap_or_default();
        Some(Entry {
            id,
            line: Line {
                state: slim.state,
                fingerprint: u64::from(slim.fingerprint[0]) | u64::from(slim.fingerprint[1]) << 32,
                next_try: rare.next_try,
                remote_expires: rare.remote_expires,
                remote_from: rare.remote_from,
                attempts: rare.attempts,
            },
            remote_id: rare.remote_id,
            entry: rare.entry,
            words: rare.words,
            first_intent: Timestamp::from_secs(i64::from(slim.first_intent)),
            updated: Timestamp::from_secs(i64::from(slim.updated)),
        })
    }

    /// When a line was first intended, and when it was last written.
    pub fn dates(&self, id: IndicatorId) -> Option<(Timestamp, Timestamp)> {
        let slim = &self.lines[self.place(id.0)?];
        let time = |secs: u32| Timestamp::from_secs(i64::from(secs));
        Some((time(slim.first_intent), time(slim.updated)))
    }

    /// The line of the entry that stands for an indicator, whether under its own key or under another of its keys.
    pub fn find(&self, known: &Known, id: IndicatorId) -> Option<Entry> {
        if let Some(entry) = self.get(id) {
            return Some(entry);
        }
        if self.by_text.is_empty() {
            return None;
        }
        let (_, value) = known.index.key_ref(id);
        self.by_text(value.split_once("://")?.1).and_then(|id| self.get(id))
    }

    /// Sets a line.
    pub fn put(&mut self, entry: Entry) {
        let id = entry.id.0;
        let slim = Slim {
            id,
            first_intent: u32::try_from(entry.first_intent.secs()).unwrap_or(0),
            updated: u32::try_from(entry.updated.secs()).unwrap_or(0),
            fingerprint: [entry.line.fingerprint as u32, (entry.line.fingerprint >> 32) as u32],
            state: entry.line.state,
        };
        match self.place(id) {
            Some(at) => {
                self.n_of[self.lines[at].state as usize % N_STATES] -= 1;
                self.lines[at] = slim;
            }
            None => {
                if self.lines.len() == self.lines.capacity() {
                    // An eighth at a time: doubling would leave half of the room unused.
                    self.lines.reserve_exact((self.lines.len() / 8).max(64));
                }
                let (lines, at) = (&mut self.lines, self.places.len() as u32);
                lines.push(slim);
                self.places.insert_unique(hash(id), at, |at| hash(lines[*at as usize].id));
            }
        }
        self.n_of[slim.state as usize % N_STATES] += 1;
        let live = !matches!(entry.line.state, LineState::Gone);
        let present = matches!(entry.line.state, LineState::Present);
        set(&mut self.live, entry.id, live);
        set(&mut self.present, entry.id, present);
        if live && !present {
            self.unsettled.insert(id);
        } else {
            self.unsettled.remove(&id);
        }
        let rare = Rare {
            remote_id: entry.remote_id,
            entry: entry.entry,
            words: entry.words,
            next_try: entry.line.next_try,
            remote_expires: entry.line.remote_expires,
            remote_from: entry.line.remote_from,
            attempts: entry.line.attempts,
        };
        let plain = rare.remote_id.is_none()
            && rare.entry.is_none()
            && rare.words.is_none()
            && rare.next_try.is_none()
            && rare.remote_expires.is_none()
            && rare.attempts == 0;
        let text = rare.entry.clone();
        // Replaced in its place: a pass writes each line twice.
        let old = if plain { self.rare.remove(&id) } else { self.rare.insert(id, rare) };
        if let Some(text) = old.and_then(|old| old.entry) {
            self.by_text.remove(&text);
        }
        if let Some(text) = text {
            self.by_text.insert(text, id);
        }
    }

    /// Forgets a line altogether: dropped, or a tombstone pruned.
    pub fn forget(&mut self, id: IndicatorId) {
        let lines = &self.lines;
        if let Ok(found) = self.places.find_entry(hash(id.0), |at| lines[*at as usize].id == id.0) {
            let (at, _) = found.remove();
            self.n_of[self.lines[at as usize].state as usize % N_STATES] -= 1;
            let last = self.lines.len() as u32 - 1;
            // The last line takes the free place.
            if at != last
                && let Some(moved) = self.places.find_mut(hash(self.lines[last as usize].id), |place| *place == last)
            {
                *moved = at;
            }
            self.lines.swap_remove(at as usize);
        }
        set(&mut self.live, id, false);
        set(&mut self.present, id, false);
        self.unsettled.remove(&id.0);
        if let Some(old) = self.rare.remove(&id.0)
            && let Some(text) = old.entry
        {
            self.by_text.remove(&text);
        }
    }

    /// Forgets the lines of indicators that are no more.
    pub fn keep(&mut self, exists: impl Fn(IndicatorId) -> bool) {
        let gone: Vec<IndicatorId> =
            self.lines.iter().map(|line| IndicatorId(line.id)).filter(|id| !exists(*id)).collect();
        for id in gone {
            self.forget(id);
        }
    }

    /// Everything but gone.
    pub fn live(&self) -> &Selection {
        &self.live
    }

    /// What is there by the last we know.
    pub fn present(&self) -> &Selection {
        &self.present
    }

    /// Live lines that are not simply present.
    pub fn unsettled(&self) -> impl Iterator<Item = IndicatorId> {
        self.unsettled.iter().map(|id| IndicatorId(*id))
    }

    /// Whether an entry may be there for more than one indicator.
    pub fn has_merged(&self) -> bool {
        !self.by_text.is_empty()
    }

    /// The line of an entry whose text is not its key's value.
    pub fn by_text(&self, text: &str) -> Option<IndicatorId> {
        self.by_text.get(text).map(|id| IndicatorId(*id))
    }

    /// Lines with a date to look at: when they expire at the destination, when they may be tried again.
    pub fn dated(&self) -> impl Iterator<Item = IndicatorId> {
        let dated = |rare: &Rare| rare.remote_expires.is_some() || rare.next_try.is_some();
        self.rare.iter().filter(move |(_, rare)| dated(rare)).map(|(id, _)| IndicatorId(*id))
    }

    /// How many lines are in a state.
    pub fn count(&self, state: LineState) -> usize {
        self.n_of[state as usize % N_STATES]
    }

    /// Bytes used, by capacity.
    pub fn bytes(&self) -> usize {
        let places = self.places.capacity() * 8 / 7 * (size_of::<u32>() + 1);
        self.lines.capacity() * size_of::<Slim>() + places + self.rare.len() * (size_of::<Rare>() + 16)
    }

    /// Lines, tombstones included.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is no line at all.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

fn set(selection: &mut Selection, id: IndicatorId, on: bool) {
    if on {
        selection.insert(id);
    } else {
        selection.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_whatever_was_forgotten_before() {
        let mut ledger = Ledger::default();
        let mut model = BTreeMap::new();
        let mut dice = 1u64;
        for round in 0..20_000u64 {
            dice = xxh3_64(&dice.to_le_bytes());
            let id = IndicatorId(dice as u32 % 300);
            if dice >> 40 & 1 == 0 {
                ledger.forget(id);
                model.remove(&id);
            } else {
                let state = LineState::ALL[(dice >> 32) as usize % LineState::ALL.len()];
                let line = Line::new(state, round);
                let first_intent = Timestamp::from_secs(round as i64);
                ledger.put(Entry {
                    id,
                    line,
                    remote_id: None,
                    entry: None,
                    words: None,
                    first_intent,
                    updated: first_intent,
                });
                model.insert(id, (round, state));
            }
            assert_eq!(ledger.len(), model.len());
            if round % 97 == 0 {
                for id in (0..300).map(IndicatorId) {
                    let line = ledger.get(id).map(|entry| (entry.line.fingerprint, entry.line.state));
                    assert_eq!(line, model.get(&id).copied(), "{id}");
                    let state = model.get(&id).map(|(_, state)| *state);
                    assert_eq!(ledger.present().contains(id), state == Some(LineState::Present));
                    assert_eq!(ledger.live().contains(id), state.is_some_and(|state| state != LineState::Gone));
                }
                for state in LineState::ALL {
                    let n = model.values().filter(|(_, other)| other == state).count();
                    assert_eq!(ledger.count(*state), n, "{state:?}");
                }
            }
        }
    }
}
