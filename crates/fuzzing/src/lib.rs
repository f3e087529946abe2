//! Fuzz targets: one for every parser of what strangers send.
//!
//! A target takes bytes, feeds one door and holds laws against what comes out: keys that parse to themselves, counts
//! that balance, printed rules that read back, a fast answer that equals a naive one. It panics where a law is broken.
//! The same functions run twice: on stable in every test run, over the committed seeds, the kept cases and seeded
//! mutations of both ([`stable`]), and under libFuzzer (`cargo xtask fuzz`), where `fuzz/` holds a thin binary for each.
//!
//! No part of what is shipped. Nothing here decides anything for the exchange.

pub mod corpus;
pub mod mutate;
pub mod stable;
mod targets;
mod tell;

/// One door, and what is held against what comes through it.
pub struct Target {
    /// As `cargo xtask fuzz NAME` and the folders of `fuzz/cases` call it.
    pub name: &'static str,
    /// Feeds the door and holds the laws; panics where one is broken.
    pub run: fn(&[u8]),
    /// What mutations start from.
    pub seeds: &'static [Seed],
    /// Words of the format, for mutations and for libFuzzer's dictionary.
    pub words: &'static [&'static str],
    /// Bytes beyond this are not tried: a longer input shows nothing new, and costs time.
    pub longest: usize,
}

/// Where a seed comes from.
pub enum Seed {
    /// Written here.
    Text(&'static str),
    /// The beginning of a committed file, cut at a line where it is longer than `most` bytes; `before` goes before it.
    File {
        /// Chooses among the ways a target reads, where it has several.
        before: &'static str,
        /// From the root of the repository.
        path: &'static str,
        /// Bytes kept.
        most: usize,
    },
}

/// Every target, in the order of the rooms.
pub static ALL: &[&Target] = &[
    &targets::keys::KEY,
    &targets::keys::URL,
    &targets::keys::DOMAIN,
    &targets::keys::ADDRESS,
    &targets::keys::HASH_OR_MAIL,
    &targets::keys::EXTRACT,
    &targets::keys::TIMES,
    &targets::rules::RULE,
    &targets::rules::EXCEPTIONS,
    &targets::guard::GUARD,
    &targets::guard::WARNING_LIST,
    &targets::guard::GUARD_PATTERN,
    &targets::formats::STIX_PATTERN,
    &targets::formats::STIX_OBJECT,
    &targets::formats::STIX,
    &targets::formats::STIX1,
    &targets::formats::OPENIOC,
    &targets::formats::MISP,
    &targets::feeds::TEXT,
    &targets::feeds::CSV,
    &targets::feeds::JSON,
    &targets::feeds::SETTINGS,
    &targets::feeds::MANIFEST,
    &targets::feeds::UNPACK,
    &targets::sources::TAXII,
    &targets::sources::TAXII1,
    &targets::sources::MISP_FEED,
    &targets::config::CONFIG,
    &targets::config::SECRETS,
    &targets::config::CURSORS,
    &targets::api::SEARCH,
    &targets::api::PUSH,
    &targets::api::IMPORT,
];

/// The target of this name.
pub fn find(name: &str) -> Option<&'static Target> {
    ALL.iter().copied().find(|target| target.name == name)
}

/// What the thin binaries call.
///
/// # Panics
/// Where a law is broken, or there is no target of this name.
pub fn run(name: &str, data: &[u8]) {
    match find(name) {
        Some(target) => (target.run)(&data[..data.len().min(target.longest)]),
        None => panic!("there is no fuzz target `{name}`"),
    }
}
