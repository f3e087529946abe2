//! A set of indicators as one bit each: what a rule selected, what a source has, what a target may hold.

use intel::IndicatorId;

/// A dense set of indicators. Two selections of one index may differ in length; what is beyond the end is not in it.
#[derive(Clone, Default)]
pub struct Selection {
    words: Vec<u64>,
}

impl Selection {
    /// The empty set.
    pub fn new() -> Selection {
        Selection::default()
    }

    /// The empty set with room for `n` indicators.
    pub(crate) fn zeros(n: usize) -> Selection {
        Selection { words: vec![0; n.div_ceil(64)] }
    }

    pub(crate) fn from_words(words: Vec<u64>) -> Selection {
        Selection { words }
    }

    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }

    pub(crate) fn words_mut(&mut self) -> &mut [u64] {
        &mut self.words
    }

    /// How many are in it.
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether none is in it.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Whether this one is in it.
    pub fn contains(&self, id: IndicatorId) -> bool {
        self.words.get(id.0 as usize / 64).is_some_and(|word| word >> (id.0 % 64) & 1 == 1)
    }

    /// Puts one in. False if it was there.
    pub fn insert(&mut self, id: IndicatorId) -> bool {
        let at = id.0 as usize / 64;
        if at >= self.words.len() {
            self.words.resize(at + 1, 0);
        }
        let bit = 1 << (id.0 % 64);
        let new = self.words[at] & bit == 0;
        self.words[at] |= bit;
        new
    }

    /// Takes one out. False if it was not there.
    pub fn remove(&mut self, id: IndicatorId) -> bool {
        let Some(word) = self.words.get_mut(id.0 as usize / 64) else { return false };
        let bit = 1 << (id.0 % 64);
        let had = *word & bit != 0;
        *word &= !bit;
        had
    }

    /// Keeps what is in both.
    pub fn and(&mut self, other: &Selection) {
        self.words.truncate(other.words.len());
        self.words.iter_mut().zip(&other.words).for_each(|(a, b)| *a &= b);
    }

    /// Adds what is in the other.
    pub fn or(&mut self, other: &Selection) {
        if self.words.len() < other.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        self.words.iter_mut().zip(&other.words).for_each(|(a, b)| *a |= b);
    }

    /// Takes out what is in the other.
    pub fn and_not(&mut self, other: &Selection) {
        self.words.iter_mut().zip(&other.words).for_each(|(a, b)| *a &= !b);
    }

    /// Turns the set into what of `within` is not in it.
    pub fn not(&mut self, within: &Selection) {
        let mut rest = within.clone();
        rest.and_not(self);
        *self = rest;
    }

    /// All of them, in order of id.
    pub fn iter(&self) -> impl Iterator<Item = IndicatorId> + '_ {
        self.words
            .iter()
            .enumerate()
            .flat_map(|(at, word)| Bits(*word).map(move |bit| IndicatorId(at as u32 * 64 + bit)))
    }
}

impl Selection {
    /// All of them, the greatest id first.
    pub(crate) fn iter_back(&self) -> impl Iterator<Item = IndicatorId> + '_ {
        self.words.iter().enumerate().rev().flat_map(|(at, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = left.checked_ilog2()?;
                left &= !(1 << bit);
                Some(IndicatorId(at as u32 * 64 + bit))
            })
        })
    }
}

/// The positions of the bits set in one word, lowest first.
pub(crate) struct Bits(pub(crate) u64);

impl Iterator for Bits {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        if self.0 == 0 {
            return None;
        }
        let bit = self.0.trailing_zeros();
        self.0 &= self.0 - 1;
        Some(bit)
    }
}

impl FromIterator<IndicatorId> for Selection {
    fn from_iter<I: IntoIterator<Item = IndicatorId>>(ids: I) -> Selection {
        let mut selection = Selection::new();
        ids.into_iter().for_each(|id| {
            selection.insert(id);
        });
        selection
    }
}

impl PartialEq for Selection {
    /// Equal if the same indicators are in both, however long the vectors are.
    fn eq(&self, other: &Selection) -> bool {
        let (short, long) = if self.words.len() <= other.words.len() {
            (&self.words, &other.words)
        } else {
            (&other.words, &self.words)
        };
        long[..short.len()] == short[..] && long[short.len()..].iter().all(|word| *word == 0)
    }
}

impl Eq for Selection {}

impl std::fmt::Debug for Selection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter().map(|id| id.0)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ids: &[u32]) -> Selection {
        ids.iter().map(|id| IndicatorId(*id)).collect()
    }

    #[test]
    fn sets_of_different_length_behave_as_sets() {
        let (a, b) = (of(&[1, 2, 200]), of(&[2, 3]));
        let with = |f: fn(&mut Selection, &Selection)| (a.clone(), b.clone(), f);
        for (name, (mut x, y, f), expect) in [
            ("and", with(Selection::and), of(&[2])),
            ("or", with(Selection::or), of(&[1, 2, 3, 200])),
            ("and_not", with(Selection::and_not), of(&[1, 200])),
            ("not", with(Selection::not), of(&[3])),
        ] {
            f(&mut x, &y);
            assert_eq!(x, expect, "{name}");
        }
        assert_eq!(a.iter().map(|id| id.0).collect::<Vec<_>>(), [1, 2, 200]);
        assert_eq!((a.count(), a.contains(IndicatorId(200)), a.contains(IndicatorId(999))), (3, true, false));
        let mut c = a.clone();
        assert!(
            c.remove(IndicatorId(200))
                && !c.remove(IndicatorId(200))
                && c.insert(IndicatorId(3))
                && !c.insert(IndicatorId(3))
        );
        assert_eq!(c, of(&[1, 2, 3]));
        assert!(Selection::new().is_empty() && !a.is_empty());
        let many = of(&[0, 1, 62, 63, 64, 127, 128, 4000]);
        let mut back: Vec<u32> = many.iter_back().map(|id| id.0).collect();
        back.reverse();
        assert_eq!(back, many.iter().map(|id| id.0).collect::<Vec<_>>());
    }
}
