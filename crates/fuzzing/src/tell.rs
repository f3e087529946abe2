//! What targets share: a sink that counts what it is handed, a reader that hands out little at a time, texts of bytes.

use intel::{IndicatorKey, IndicatorKind, Observation, Timestamp};
use kit::Rows;
use std::io::{self, BufRead, Read};

/// When everything happens.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_780_000_000);

/// The first byte as a number, and the rest.
pub(crate) fn choice(data: &[u8]) -> (u8, &[u8]) {
    data.split_first().map_or((0, data), |(first, rest)| (*first, rest))
}

/// What is text of it: lossy, so that no input is wasted.
pub(crate) fn text(data: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(data)
}

/// The law of every key: it is canonical, so it parses to itself.
pub(crate) fn canonical(key: &IndicatorKey) {
    let again = IndicatorKey::parse(Some(key.kind()), key.value());
    assert_eq!(again.as_ref(), Ok(key), "a key does not parse to itself");
    assert!(!key.value().is_empty() && key.value().len() <= intel::key::VALUE_BYTES, "a value out of bounds");
    assert!(!key.value().contains(['\n', '\r', '\0']), "a value that breaks lines: {key:?}");
    assert_eq!(IndicatorKind::from_number(key.kind() as u8), Some(key.kind()));
    assert!(intel::key::covers(key, key));
}

/// Rows as a target holds them: counted, weighed, and each normalised as the engine would.
#[derive(Default, PartialEq, Debug)]
pub(crate) struct Taken {
    pub(crate) rows: u64,
    pub(crate) rejected: u64,
    pub(crate) filtered: u64,
    /// What was handed over, in bytes.
    pub(crate) bytes: usize,
    /// A hash of everything in its order.
    pub(crate) digest: u64,
}

impl Taken {
    fn mix(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.digest = (self.digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// More than `times` what was read, and a little, was handed over: then a small body fills a large memory.
    pub(crate) fn bounded(&self, read: usize, times: usize) {
        assert!(self.bytes <= read.saturating_mul(times) + 65_536, "{} bytes made of {read}", self.bytes);
    }
}

impl Rows for Taken {
    fn row(&mut self, row: Observation) {
        self.rows += 1;
        let texts = [row.comment.as_deref(), row.link.as_deref()];
        self.bytes += row.value.len() + texts.iter().flatten().map(|text| text.len()).sum::<usize>();
        self.bytes += row.tags.iter().map(String::len).sum::<usize>();
        self.mix(format!("{row:?}").as_bytes());
        if let Ok(row) = row.normalise(NOW) {
            canonical(&row.key);
            assert!(row.claim.tags.len() <= intel::limits::TAGS_PER_RECORD);
            assert!(row.claim.tags.iter().all(|tag| tag.len() <= intel::limits::TAG_BYTES));
            assert!(row.claim.comment.as_ref().is_none_or(|text| text.len() <= intel::limits::COMMENT_BYTES));
            assert!(row.claim.confidence.is_none_or(|confidence| confidence <= 100));
        }
    }

    fn reject(&mut self, reason: &'static str, sample: &str) {
        self.rejected += 1;
        self.mix(reason.as_bytes());
        // The receiver clips it; what is only lent costs nothing.
        self.mix(&sample.as_bytes()[..sample.len().min(64)]);
    }

    fn filter(&mut self, reason: &'static str, n: u64) {
        self.filtered += n;
        self.mix(reason.as_bytes());
    }
}

/// Hands out a few bytes at a time: what a body says must not depend on how the network cuts it.
pub(crate) struct Dribble<'a> {
    data: &'a [u8],
    step: usize,
}

impl<'a> Dribble<'a> {
    pub(crate) fn new(data: &'a [u8], step: usize) -> Dribble<'a> {
        Dribble { data, step: step.max(1) }
    }
}

impl Read for Dribble<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.step.min(buffer.len()).min(self.data.len());
        buffer[..n].copy_from_slice(&self.data[..n]);
        self.data = &self.data[n..];
        Ok(n)
    }
}

impl BufRead for Dribble<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(&self.data[..self.step.min(self.data.len())])
    }

    fn consume(&mut self, n: usize) {
        self.data = &self.data[n.min(self.data.len())..];
    }
}
