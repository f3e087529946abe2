//! Patterns: what is guarded by its form rather than by name.
//!
//! Every pattern is linear in what it reads, whatever it says, and bounded in size. A pattern that ends in a fixed name
//! (`*.example.com`) also guards that name's parents against being blocked, because they would take it with them; a
//! regular expression cannot say what it would be taken with.

use crate::key::canonical_name;
use regex::{Regex, RegexBuilder};
use std::sync::Arc;

/// Longest pattern, in bytes.
pub const PATTERN_BYTES: usize = 512;
/// Most patterns of one list.
pub const LIST_PATTERNS: usize = 1_000;
/// Most memory one compiled pattern may take, in bytes.
pub const PATTERN_MEMORY: usize = 1 << 20;
/// The same for one of a warning list.
pub(super) const SEARCH_MEMORY: usize = 128 << 10;

/// Values that have nothing in common: what matches all of them says nothing.
const UNLIKE: [&str; 4] = ["198.51.100.7", "2001:db8::e", "q-9.invalid", "0f"];

/// One pattern of a guard list.
#[derive(Debug, Clone)]
pub struct GuardPattern {
    /// As it was written; shown where it stops something.
    pub text: Arc<str>,
    pub(super) form: Form,
}

impl PartialEq for GuardPattern {
    fn eq(&self, other: &GuardPattern) -> bool {
        self.text == other.text
    }
}

impl Eq for GuardPattern {}

#[derive(Debug, Clone)]
pub(super) enum Form {
    /// Every name below this one; not the name itself.
    Below(Box<str>),
    /// A regular expression; and a name below which everything it matches lies, where one can be told.
    Regex(Regex, Option<Box<str>>),
    /// Values that hold this text.
    Substring(Box<str>),
}

impl GuardPattern {
    /// An operator's pattern: `/…/` is a regular expression that must match a canonical value, or the host in it, as a
    /// whole, upper and lower case alike; anything else is a glob over the same (`*` for any text, `?` for one
    /// character).
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn parse(text: &str) -> Result<GuardPattern, String> {
        let text = text.trim();
        let made = |form| Ok(GuardPattern { text: text.into(), form });
        if text.len() > PATTERN_BYTES {
            return Err(format!("is longer than {PATTERN_BYTES} bytes"));
        }
        if let Some(inner) = text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')).filter(|t| !t.is_empty()) {
            let regex = compile(&format!("^(?:{inner})$"), PATTERN_MEMORY)?;
            if regex.is_match("") {
                return Err("matches nothing at all, so everything is meant: say what must be in it".to_owned());
            }
            if UNLIKE.iter().all(|value| regex.is_match(value)) {
                return Err("would guard everything".to_owned());
            }
            return made(Form::Regex(regex, None));
        }
        if !text.contains(['*', '?']) {
            return Err("holds neither * nor ?, and is not written /…/: give it as one of the values".to_owned());
        }
        if text.chars().all(|c| matches!(c, '*' | '?' | '.' | '/')) {
            return Err("would guard everything".to_owned());
        }
        if let Some(below) = text.strip_prefix("*.").filter(|below| !below.contains(['*', '?', '/', '@'])) {
            let name = canonical_name(below).map_err(|reason| format!("\"{below}\" is no name: {reason}"))?;
            return made(Form::Below(name.into()));
        }
        let mut pattern = String::from("^");
        for c in text.to_lowercase().chars() {
            match c {
                '*' => pattern.push_str(".*"),
                '?' => pattern.push('.'),
                c => pattern.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
            }
        }
        pattern.push('$');
        let last = text.rfind(['*', '?']).map_or("", |at| &text[at + 1..]);
        let below = last.split_once('.').filter(|_| !text.contains(['/', '@'])).map(|(_, below)| below);
        let below = below.and_then(|below| canonical_name(below).ok()).map(Into::into);
        made(Form::Regex(compile(&pattern, PATTERN_MEMORY)?, below))
    }

    /// A regular expression that is looked for anywhere in a canonical value, upper and lower case alike. It may come
    /// from strangers, a thousand at a time, so each may take less than an operator's own.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn search(shown: &str, expression: &str) -> Result<GuardPattern, String> {
        if expression.len() > PATTERN_BYTES {
            return Err(format!("is longer than {PATTERN_BYTES} bytes"));
        }
        let regex = compile(expression, SEARCH_MEMORY)?;
        if regex.is_match("") || UNLIKE.iter().all(|value| regex.is_match(value)) {
            return Err("matches everything".to_owned());
        }
        Ok(GuardPattern { text: shown.into(), form: Form::Regex(regex, None) })
    }

    /// Every canonical value that holds this text, upper and lower case alike.
    ///
    /// # Errors
    /// A text of fewer than three characters: it would be in almost everything.
    pub fn substring(text: &str) -> Result<GuardPattern, String> {
        let text = text.trim();
        if text.len() < 3 {
            return Err("is shorter than three characters and would be found in almost everything".to_owned());
        }
        if text.len() > PATTERN_BYTES {
            return Err(format!("is longer than {PATTERN_BYTES} bytes"));
        }
        Ok(GuardPattern { text: text.into(), form: Form::Substring(text.to_ascii_lowercase().into()) })
    }
}

/// Compiles it as it will be looked for: what fits alone when it minds the case may not fit when it does not.
fn compile(expression: &str, memory: usize) -> Result<Regex, String> {
    let mut builder = RegexBuilder::new(expression);
    builder.case_insensitive(true).size_limit(memory).dfa_size_limit(memory).nest_limit(50);
    builder.build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => format!("takes more than {} KiB when compiled", memory >> 10),
        error => {
            let text = error.to_string();
            let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
            format!("is no regular expression: {}", last.trim().trim_start_matches("error: "))
        }
    })
}
