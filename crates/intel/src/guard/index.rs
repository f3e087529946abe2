//! From a name's hash to the guarded values of that name, one of each list.

use super::Guard;
use crate::key::{IndicatorKey, IndicatorKind};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The names themselves are compared, so that two names of one hash are not confused.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// A value, or with [`MANY`] a place in `many`.
    by_hash: HashMap<u64, u32, BuildHasherDefault<Hashed>>,
    many: Vec<Vec<u32>>,
}

const MANY: u32 = 1 << 31;

impl Index {
    /// Every value of this hash for which `same` holds.
    pub(super) fn for_each(
        &self,
        guard: &Guard,
        hash: u64,
        same: impl Fn(Guarded<'_>) -> bool,
        mut offer: impl FnMut(u32),
    ) {
        let Some(slot) = self.by_hash.get(&hash) else { return };
        let one = [*slot];
        let values = if slot & MANY == 0 { &one[..] } else { &self.many[(slot & !MANY) as usize] };
        values.iter().filter(|value| same(guard.text_of(**value))).for_each(|value| offer(*value));
    }

    /// Adds a value, unless its list has one of that name already.
    pub(super) fn insert(&mut self, guard: &Guard, hash: u64, value: u32, same: impl Fn(Guarded<'_>) -> bool) {
        let slot = self.by_hash.entry(hash).or_insert(value);
        if *slot == value {
            return;
        }
        let there = |other: u32| guard.list_of(other) == guard.list_of(value) && same(guard.text_of(other));
        if *slot & MANY == 0 {
            if !there(*slot) {
                self.many.push(vec![*slot, value]);
                *slot = MANY | (self.many.len() - 1) as u32;
            }
            return;
        }
        let many = &mut self.many[(*slot & !MANY) as usize];
        if !many.iter().any(|other| there(*other)) {
            many.push(value);
        }
    }
}

pub(super) fn name_hash(name: &str) -> u64 {
    xxh3_64_with_seed(name.as_bytes(), 0)
}

pub(super) fn exact_hash(key: &IndicatorKey) -> u64 {
    xxh3_64_with_seed(key.value().as_bytes(), 1 + key.kind() as u64)
}

/// A guarded value to compare with.
#[derive(Clone, Copy)]
pub(super) struct Guarded<'a> {
    pub(super) kind: IndicatorKind,
    pub(super) text: &'a str,
}

impl<'a> Guarded<'a> {
    pub(super) fn is(self, key: &IndicatorKey) -> bool {
        self.kind == key.kind() && self.text == key.value()
    }

    pub(super) fn host(self) -> &'a str {
        match self.kind {
            IndicatorKind::Url => {
                let rest = self.text.split_once("://").map_or(self.text, |(_, rest)| rest);
                rest.split(['/', '?', ':']).next().unwrap_or(rest)
            }
            IndicatorKind::Email => self.text.rsplit_once('@').map_or(self.text, |(_, host)| host),
            _ => self.text,
        }
    }

    pub(super) fn lies_under(self, above: &str) -> bool {
        self.host().strip_suffix(above).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

/// The keys are hashes already.
#[derive(Debug, Default, Clone, Copy)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
