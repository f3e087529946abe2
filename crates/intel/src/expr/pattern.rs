//! What can be asked of a text: that it is one of some, or that it has a shape.
//!
//! Both evaluators of an expression call [`Texts::holds`], so that case, escapes and the meaning of a star are settled
//! in one place.

use regex::{Regex, RegexBuilder};
use std::fmt;

/// The most memory one compiled regular expression may take, in bytes.
const REGEX_BYTES: usize = 512 * 1024;
/// The most memory the states of one regular expression may take while it runs, in bytes.
const REGEX_CACHE_BYTES: usize = 1024 * 1024;

/// What is asked of a text.
#[derive(Debug, Clone, PartialEq)]
pub enum Texts {
    /// It is one of these: sorted, without repeats, not empty.
    AnyOf(Vec<Box<str>>),
    /// It has this shape.
    Like(Pattern),
}

impl Texts {
    /// A set, sorted and without repeats.
    pub fn any_of(mut texts: Vec<Box<str>>) -> Texts {
        texts.sort_unstable();
        texts.dedup();
        Texts::AnyOf(texts)
    }

    /// Whether the text meets it. `ignore_case` (ASCII letters only) is the field's and applies to sets; a pattern
    /// was made with it.
    pub fn holds(&self, text: &str, ignore_case: bool) -> bool {
        match self {
            Texts::AnyOf(texts) if ignore_case => texts.iter().any(|t| t.eq_ignore_ascii_case(text)),
            Texts::AnyOf(texts) => texts.binary_search_by(|t| (**t).cmp(text)).is_ok(),
            Texts::Like(pattern) => pattern.holds(text),
        }
    }
}

/// How a pattern is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum How {
    /// Somewhere in the text.
    Contains,
    /// At its start.
    StartsWith,
    /// At its end.
    EndsWith,
    /// The whole text, with `*` for any characters and `?` for one; a backslash takes the next character as it is.
    Like,
    /// A regular expression that matches somewhere in the text, in time linear to it. Case counts unless `(?i)`.
    Matches,
}

impl How {
    /// Every way.
    pub const ALL: &'static [How] = &[How::Contains, How::StartsWith, How::EndsWith, How::Like, How::Matches];

    /// The words in the language.
    pub const fn as_str(self) -> &'static str {
        match self {
            How::Contains => "contains",
            How::StartsWith => "starts with",
            How::EndsWith => "ends with",
            How::Like => "like",
            How::Matches => "matches",
        }
    }
}

/// A compiled pattern; equal where its text, way and case are.
#[derive(Clone)]
pub struct Pattern {
    how: How,
    text: Box<str>,
    ignore_case: bool,
    engine: Engine,
}

#[derive(Clone)]
enum Engine {
    Plain,
    Find(Box<memchr::memmem::Finder<'static>>),
    Glob(Box<[Glob]>),
    /// A glob of stars and plain text: its beginning, what follows in this order, its end.
    Parts(Box<Parts>),
    Regex(Regex),
}

#[derive(Clone)]
struct Parts {
    head: Box<[u8]>,
    middle: Vec<memchr::memmem::Finder<'static>>,
    tail: Box<[u8]>,
}

impl Parts {
    /// None: it has no star, or characters of which any is meant.
    fn of(pattern: &[Glob]) -> Option<Parts> {
        let mut parts: Vec<Vec<u8>> = vec![Vec::new()];
        for glob in pattern {
            match glob {
                Glob::Any => parts.push(Vec::new()),
                Glob::One => return None,
                Glob::Byte(byte) => parts.last_mut()?.push(*byte),
            }
        }
        let tail = parts.pop()?;
        let mut parts = parts.into_iter();
        let head = parts.next()?;
        let middle = parts.map(|part| memchr::memmem::Finder::new(&part).into_owned()).collect();
        Some(Parts { head: head.into(), middle, tail: tail.into() })
    }

    /// The first place of each part leaves most room for the next.
    fn hold(&self, text: &[u8]) -> bool {
        let Some(rest) = text.strip_prefix(&*self.head) else { return false };
        let Some(mut rest) = rest.strip_suffix(&*self.tail) else { return false };
        for part in &self.middle {
            let Some(at) = part.find(rest) else { return false };
            rest = &rest[at + part.needle().len()..];
        }
        true
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Glob {
    Any,
    One,
    Byte(u8),
}

impl Pattern {
    /// Compiles it. `ignore_case` (ASCII letters only) does not reach into `matches`. Err: why the regular expression
    /// is refused: it does not parse, or would take more than half a megabyte.
    pub fn new(how: How, text: &str, ignore_case: bool) -> Result<Pattern, String> {
        let engine = match how {
            How::Contains if !ignore_case => Engine::Find(Box::new(memchr::memmem::Finder::new(text).into_owned())),
            How::Contains | How::StartsWith | How::EndsWith => Engine::Plain,
            How::Like => {
                let pattern = glob(text);
                match Parts::of(&pattern).filter(|_| !ignore_case) {
                    Some(parts) => Engine::Parts(Box::new(parts)),
                    None => Engine::Glob(pattern),
                }
            }
            How::Matches => Engine::Regex(
                RegexBuilder::new(text)
                    .size_limit(REGEX_BYTES)
                    .dfa_size_limit(REGEX_CACHE_BYTES)
                    .build()
                    .map_err(|error| regex_words(&error))?,
            ),
        };
        Ok(Pattern { how, text: text.into(), ignore_case: ignore_case && how != How::Matches, engine })
    }

    /// How it is written.
    pub fn how(&self) -> How {
        self.how
    }

    /// The text as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether ASCII case is ignored.
    pub fn ignores_case(&self) -> bool {
        self.ignore_case
    }

    /// The regular expression of `matches`, for searches over many texts at once.
    pub fn regex(&self) -> Option<&Regex> {
        match &self.engine {
            Engine::Regex(regex) => Some(regex),
            _ => None,
        }
    }

    /// Whether the text has the shape.
    pub fn holds(&self, text: &str) -> bool {
        let (bytes, needle) = (text.as_bytes(), self.text.as_bytes());
        match &self.engine {
            Engine::Regex(regex) => regex.is_match(text),
            Engine::Find(finder) => finder.find(bytes).is_some(),
            Engine::Parts(parts) => parts.hold(bytes),
            Engine::Glob(pattern) => globs(pattern, bytes, self.ignore_case),
            Engine::Plain => match self.how {
                How::StartsWith => bytes.get(..needle.len()).is_some_and(|head| self.same(head, needle)),
                How::EndsWith => {
                    bytes.len().checked_sub(needle.len()).is_some_and(|at| self.same(&bytes[at..], needle))
                }
                _ => needle.is_empty() || bytes.windows(needle.len()).any(|part| self.same(part, needle)),
            },
        }
    }

    fn same(&self, a: &[u8], b: &[u8]) -> bool {
        if self.ignore_case { a.eq_ignore_ascii_case(b) } else { a == b }
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.how == other.how && self.ignore_case == other.ignore_case && self.text == other.text
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.how.as_str(), self.text)
    }
}

/// The regex crate draws its own caret over several lines; its last line says what is wrong.
fn regex_words(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => format!("it would take more than {} KiB of memory", REGEX_BYTES / 1024),
        error => {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default().trim();
            last.strip_prefix("error: ").unwrap_or(last).to_owned()
        }
    }
}

fn glob(text: &str) -> Box<[Glob]> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'*' if out.last() == Some(&Glob::Any) => {}
            b'*' => out.push(Glob::Any),
            b'?' => out.push(Glob::One),
            b'\\' => out.push(Glob::Byte(bytes.next().unwrap_or(b'\\'))),
            byte => out.push(Glob::Byte(byte)),
        }
    }
    out.into()
}

/// Matches greedily and, on a mismatch, lets the last star take one byte more: no star before it need be tried
/// again, so the time is at most text times pattern.
fn globs(pattern: &[Glob], text: &[u8], ignore_case: bool) -> bool {
    let after_char = |at: usize| (at + 1..text.len()).find(|i| text[*i] & 0xc0 != 0x80).unwrap_or(text.len());
    let same = |a: u8, b: u8| a == b || ignore_case && a.eq_ignore_ascii_case(&b);
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        match pattern.get(p) {
            Some(Glob::Any) => {
                if p + 1 == pattern.len() {
                    return true;
                }
                star = Some((p + 1, t));
                p += 1;
                continue;
            }
            Some(Glob::One) if t < text.len() => {
                p += 1;
                t = after_char(t);
                continue;
            }
            Some(Glob::Byte(byte)) if t < text.len() && same(*byte, text[t]) => {
                p += 1;
                t += 1;
                continue;
            }
            None if t == text.len() => return true,
            _ => {}
        }
        match star {
            Some((after, from)) if from < text.len() => {
                // Inside a character too: a `?` from there ends where one from its beginning would.
                let from = from + 1;
                star = Some((after, from));
                p = after;
                t = from;
            }
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shapes() {
        use How::*;
        for (how, pattern, text, ignore_case, expect) in [
            (Contains, "b", "abc", false, true),
            (Contains, "B", "abc", false, false),
            (Contains, "B", "abc", true, true),
            (Contains, "", "", true, true),
            (Contains, "abcd", "abc", true, false),
            (StartsWith, "ab", "abc", false, true),
            (StartsWith, "abcd", "abc", false, false),
            (StartsWith, "AB", "abc", true, true),
            (StartsWith, "AB", "abc", false, false),
            (EndsWith, "bc", "abc", false, true),
            (EndsWith, "BC", "abc", true, true),
            (EndsWith, "xabc", "abc", false, false),
            (EndsWith, "é", "café", true, true),
            (Like, "*", "", false, true),
            (Like, "", "", false, true),
            (Like, "", "a", false, false),
            (Like, "a*c", "abbbc", false, true),
            (Like, "a*c", "abbbcd", false, false),
            (Like, "a?c", "abc", false, true),
            (Like, "a?c", "ac", false, false),
            (Like, "a?c", "aéc", false, true),
            (Like, "*?c", "éc", false, true),
            (Like, "*??c", "éc", false, false),
            (Like, "*.RU", "http://x.ru", true, true),
            (Like, "*a*b*c*", "xxaxxbxxcxx", false, true),
            (Like, "*a*b*c*", "xxaxxcxxbxx", false, false),
            (Like, "ab*ba", "aba", false, false),
            (Like, "ab*ba", "abba", false, true),
            (Like, "*ab*ab", "ab", false, false),
            (Like, "*ab*ab", "abab", false, true),
            (Like, "a*", "b", false, false),
            (Like, r"a\*", "a*", false, true),
            (Like, r"a\*", "ab", false, false),
            (Like, r"a\\b", r"a\b", false, true),
            (Like, r"a\", r"a\", false, true),
            (Matches, "b+", "abc", false, true),
            (Matches, "^b", "abc", false, false),
            (Matches, "B", "abc", true, false),
            (Matches, "(?i)B", "abc", false, true),
        ] {
            let compiled = Pattern::new(how, pattern, ignore_case).unwrap();
            assert_eq!(compiled.holds(text), expect, "{text:?} {how:?} {pattern:?} {ignore_case}");
        }
    }

    #[test]
    fn regexes_are_refused_in_words() {
        assert_eq!(Pattern::new(How::Matches, "a(b", false).unwrap_err(), "unclosed group");
        let huge = Pattern::new(How::Matches, r"(\w{1000}){1000}", false).unwrap_err();
        assert_eq!(huge, "it would take more than 512 KiB of memory");
    }

    proptest! {
        /// A glob is the regular expression that it abbreviates.
        #[test]
        fn glob_is_its_regex(pattern in "[ab*?é]{0,8}", text in "[abé]{0,10}") {
            let regex: String = pattern
                .chars()
                .map(|c| match c { '*' => ".*".to_owned(), '?' => ".".to_owned(), c => c.to_string() })
                .collect();
            let expect = Regex::new(&format!("^(?:{regex})$")).unwrap().is_match(&text);
            prop_assert_eq!(Pattern::new(How::Like, &pattern, false).unwrap().holds(&text), expect);
        }
    }
}
