//! Texts and small sets, each kept once. Nothing is freed one by one; `Index` rebuilds an arena that is mostly waste.

use hashbrown::{HashMap, HashTable};
use xxhash_rust::xxh3::xxh3_64;

/// Bytes in one chunk. Chunks rather than one vector, so that growing copies nothing and leaves no slack.
const CHUNK: usize = 1 << 18;
/// Texts begin at multiples of this, so that four bytes can address 8 GiB of them.
const ALIGN: usize = 2;
const AT_BITS: u32 = (CHUNK / ALIGN).trailing_zeros();

/// Texts one after the other, found by a four-byte address.
///
/// A text is preceded by its length in groups of six bits, the seventh saying that more follow. Such bytes are ASCII,
/// so that a chunk stays a `String` and reading a text back needs no check of its encoding.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    chunks: Vec<String>,
}

impl Texts {
    /// Appends a text.
    pub(crate) fn push(&mut self, text: &str) -> u32 {
        let room = text.len() + ALIGN + 6;
        if self.chunks.last().is_none_or(|chunk| chunk.len() + room > chunk.capacity()) {
            self.chunks.push(String::with_capacity(CHUNK.max(room)));
        }
        let number = self.chunks.len() - 1;
        let chunk = &mut self.chunks[number];
        while !chunk.len().is_multiple_of(ALIGN) {
            chunk.push('\0');
        }
        let at = chunk.len();
        let mut left = text.len();
        loop {
            let more = left >= 0x40;
            chunk.push(char::from((left & 0x3f) as u8 | u8::from(more) << 6));
            left >>= 6;
            if !more {
                break;
            }
        }
        chunk.push_str(text);
        (number as u32) << AT_BITS | (at / ALIGN) as u32
    }

    /// The text at an address given by `push`.
    #[inline]
    pub(crate) fn get(&self, address: u32) -> &str {
        let chunk = &self.chunks[(address >> AT_BITS) as usize];
        let mut at = (address & ((1 << AT_BITS) - 1)) as usize * ALIGN;
        let bytes = chunk.as_bytes();
        let (mut len, mut shift) = (0, 0);
        loop {
            let byte = bytes[at];
            at += 1;
            len |= usize::from(byte & 0x3f) << shift;
            if byte & 0x40 == 0 {
                return &chunk[at..at + len];
            }
            shift += 6;
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.chunks.iter().map(String::capacity).sum::<usize>() + self.chunks.capacity() * size_of::<String>()
    }
}

/// Texts that repeat, kept once. Address 0 is the empty text: nothing was said.
#[derive(Debug)]
pub(crate) struct Interned {
    texts: Texts,
    table: HashTable<u32>,
}

impl Default for Interned {
    fn default() -> Interned {
        let mut interned = Interned { texts: Texts::default(), table: HashTable::new() };
        interned.intern("");
        interned
    }
}

impl Interned {
    pub(crate) fn intern(&mut self, text: &str) -> u32 {
        let Interned { texts, table } = self;
        let hash = xxh3_64(text.as_bytes());
        if let Some(address) = table.find(hash, |address| texts.get(*address) == text) {
            return *address;
        }
        let address = texts.push(text);
        table.insert_unique(hash, address, |address| xxh3_64(texts.get(*address).as_bytes()));
        address
    }

    #[inline]
    pub(crate) fn get(&self, address: u32) -> &str {
        self.texts.get(address)
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.texts.bytes() + self.table.capacity() * 8 / 7 * 5
    }
}

/// The names of tags, numbered densely, and the hash of each.
#[derive(Debug, Default)]
pub(crate) struct Tags {
    texts: Texts,
    at: Vec<u32>,
    hashes: Vec<u64>,
    table: HashTable<u32>,
}

/// The hash a tag adds to the hash of its set: the same in every process.
pub(crate) fn tag_hash(tag: &str) -> u64 {
    xxh3_64(tag.as_bytes())
}

impl Tags {
    pub(crate) fn find(&self, tag: &str) -> Option<u32> {
        self.table.find(tag_hash(tag), |number| self.name(*number) == tag).copied()
    }

    pub(crate) fn intern(&mut self, tag: &str) -> u32 {
        if let Some(number) = self.find(tag) {
            return number;
        }
        let number = self.at.len() as u32;
        let hash = tag_hash(tag);
        self.at.push(self.texts.push(tag));
        self.hashes.push(hash);
        let hashes = &self.hashes;
        self.table.insert_unique(hash, number, |number| hashes[*number as usize]);
        number
    }

    pub(crate) fn name(&self, number: u32) -> &str {
        self.texts.get(self.at[number as usize])
    }

    pub(crate) fn hash(&self, number: u32) -> u64 {
        self.hashes[number as usize]
    }

    pub(crate) fn len(&self) -> usize {
        self.at.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.texts.bytes() + self.at.capacity() * 4 + self.hashes.capacity() * 8 + self.table.capacity() * 8 / 7 * 5
    }
}

/// Sorted sets of small numbers, kept once: one number stands for a whole set. Set 0 is the empty one.
#[derive(Debug)]
pub(crate) struct Sets {
    ends: Vec<u32>,
    items: Vec<u32>,
    table: HashTable<u32>,
    unions: HashMap<(u32, u32), u32>,
    scratch: Vec<u32>,
}

/// The most unions remembered; enough that the few thousand sets of real feeds never get there.
const MAX_UNIONS: usize = 1 << 14;

impl Default for Sets {
    fn default() -> Sets {
        let mut sets = Sets {
            ends: Vec::new(),
            items: Vec::new(),
            table: HashTable::new(),
            unions: HashMap::new(),
            scratch: Vec::new(),
        };
        sets.intern(&[]);
        sets
    }
}

fn slice<'a>(ends: &[u32], items: &'a [u32], set: u32) -> &'a [u32] {
    let begin = if set == 0 { 0 } else { ends[set as usize - 1] as usize };
    &items[begin..ends[set as usize] as usize]
}

fn items_hash(items: &[u32]) -> u64 {
    items.iter().fold(0x9e37_79b9_7f4a_7c15, |hash: u64, item| {
        (hash.rotate_left(23) ^ u64::from(*item)).wrapping_mul(0xff51_afd7_ed55_8ccd)
    })
}

impl Sets {
    /// The number of a set given sorted and without repeats.
    pub(crate) fn intern(&mut self, set: &[u32]) -> u32 {
        let Sets { ends, items, table, .. } = self;
        let hash = items_hash(set);
        if let Some(number) = table.find(hash, |number| slice(ends, items, *number) == set) {
            return *number;
        }
        let number = ends.len() as u32;
        items.extend_from_slice(set);
        ends.push(items.len() as u32);
        table.insert_unique(hash, number, |number| items_hash(slice(ends, items, *number)));
        number
    }

    #[inline]
    pub(crate) fn get(&self, set: u32) -> &[u32] {
        slice(&self.ends, &self.items, set)
    }

    /// The set of what is in either.
    pub(crate) fn union(&mut self, a: u32, b: u32) -> u32 {
        if a == b || b == 0 {
            return a;
        }
        if a == 0 {
            return b;
        }
        let pair = (a.min(b), a.max(b));
        if let Some(known) = self.unions.get(&pair) {
            return *known;
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        scratch.extend_from_slice(self.get(a));
        scratch.extend_from_slice(self.get(b));
        scratch.sort_unstable();
        scratch.dedup();
        let union = self.intern(&scratch);
        self.scratch = scratch;
        if self.unions.len() >= MAX_UNIONS {
            self.unions.clear();
        }
        self.unions.insert(pair, union);
        union
    }

    /// The set of what is in `a` and not in `b`.
    pub(crate) fn minus(&mut self, a: u32, b: u32) -> u32 {
        if b == 0 {
            return a;
        }
        let left: Vec<u32> = self.get(a).iter().copied().filter(|item| !self.get(b).contains(item)).collect();
        self.intern(&left)
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.ends.capacity() * 4
            + self.items.capacity() * 4
            + self.table.capacity() * 8 / 7 * 5
            + self.unions.capacity() * 8 / 7 * 13
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_any_length_come_back() {
        let mut texts = Texts::default();
        let long = "é".repeat(CHUNK);
        let all: Vec<String> = (0..300)
            .map(|n| "ab€".repeat(n))
            .chain([String::new(), "x".repeat(63), "x".repeat(64), "y".repeat(4096), long, "end".into()])
            .collect();
        let at: Vec<u32> = all.iter().map(|text| texts.push(text)).collect();
        for (text, at) in all.iter().zip(at) {
            assert_eq!(texts.get(at), text);
        }
    }

    #[test]
    fn equal_texts_and_sets_have_one_number() {
        let mut interned = Interned::default();
        let (a, b) = (interned.intern("a"), interned.intern("b"));
        assert!(a != b && interned.intern("a") == a && interned.intern("") == 0 && interned.get(b) == "b");
        let mut sets = Sets::default();
        let (x, y) = (sets.intern(&[1, 3]), sets.intern(&[2, 3]));
        let union = sets.union(x, y);
        assert_eq!(sets.get(union), &[1, 2, 3]);
        assert_eq!((sets.union(y, x), sets.intern(&[1, 2, 3])), (union, union));
        let left = sets.minus(union, y);
        assert_eq!(sets.get(left), &[1]);
        assert_eq!(sets.get(0), &[]);
        assert_eq!((sets.union(0, x), sets.union(x, 0), sets.union(x, x), sets.minus(x, 0)), (x, x, x, x));
    }
}
