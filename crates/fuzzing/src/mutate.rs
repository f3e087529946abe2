//! A small seeded mutator, so that stable runs what libFuzzer would try first, and the same each time.

/// SplitMix64: every seed is a whole test.
#[derive(Debug, Clone)]
pub struct Rng(pub u64);

impl Rng {
    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`; 0 for 0.
    pub fn below(&mut self, n: usize) -> usize {
        if n == 0 { 0 } else { (self.number() % n as u64) as usize }
    }

    /// One of them; None of none.
    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        all.get(self.below(all.len()))
    }
}

/// Bytes that parsers trip over.
const ODD: &[&[u8]] = &[
    b"\0",
    b"\xff",
    b"\n",
    b"\r\n",
    b"\"",
    b"'",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b"(",
    b")",
    b"<",
    b">",
    b"&",
    b",",
    b":",
    b"/",
    b"%",
    b"%00",
    b".",
    b"@",
    b"#",
    b"-1",
    b"0",
    b"9223372036854775808",
    b"1e309",
    b"\xef\xbb\xbf",
    b"\xe2\x80\x8b",
    b"\xed\xa0\x80",
    b"\xcc\x81",
    b"\xe3\x80\x82",
    b"\\u0000",
    b"\\ud800",
    b"\xff\xfe",
];

/// One to eight changes of one of the seeds, at most `longest` bytes long.
pub fn mutated(seeds: &[Vec<u8>], words: &[&str], longest: usize, rng: &mut Rng) -> Vec<u8> {
    let mut data = rng.pick(seeds).cloned().unwrap_or_default();
    // Long seeds are cut to a stretch now and then: changes in a short text say more.
    if data.len() > 512 && rng.below(2) == 0 {
        let from = rng.below(data.len() - 256);
        data = data[from..(from + 64 + rng.below(448)).min(data.len())].to_vec();
    }
    for _ in 0..=rng.below(8) {
        let at = rng.below(data.len() + 1);
        match rng.below(10) {
            0 if at < data.len() => data[at] ^= 1 << rng.below(8),
            1 if at < data.len() => data[at] = rng.number() as u8,
            2 => {
                let end = (at + 1 + rng.below(16)).min(data.len());
                data.drain(at.min(end)..end);
            }
            3 => {
                let end = (at + 1 + rng.below(64)).min(data.len());
                let piece = data[at.min(end)..end].to_vec();
                let most = if rng.below(20) == 0 { 200 } else { 3 };
                for _ in 0..=rng.below(most) {
                    data.splice(at..at, piece.iter().copied());
                }
            }
            4 => {
                if let Some(other) = rng.pick(seeds) {
                    let from = rng.below(other.len() + 1);
                    let to = (from + rng.below(128)).min(other.len());
                    data.splice(at..at, other[from..to].iter().copied());
                }
            }
            5 => data.truncate(at),
            6 => {
                if let Some(odd) = rng.pick(ODD) {
                    let end = (at + rng.below(2) * odd.len()).min(data.len());
                    data.splice(at.min(end)..end, odd.iter().copied());
                }
            }
            _ => {
                if let Some(word) = rng.pick(words) {
                    data.splice(at..at, word.bytes());
                }
            }
        }
        data.truncate(longest);
    }
    data
}
