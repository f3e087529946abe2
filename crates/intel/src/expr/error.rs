//! What is wrong with a text, said so that a person can mend it.

use std::fmt;

/// Most characters of the line that are shown before and after the place.
const SHOWN_BEFORE: usize = 60;
const SHOWN_AFTER: usize = 40;
/// Longest piece of the text that is quoted as found, in characters.
const FOUND_CHARS: usize = 40;

/// Why a text is no expression, and where. `Display` draws the line with a caret under the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// Byte offset in the text.
    pub position: usize,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What could stand there.
    pub expected: String,
    /// What stands there.
    pub found: String,
    /// What was perhaps meant: text to put in the place of what was found.
    pub suggestion: Option<String>,
    /// The part of the line around the place.
    shown: Box<str>,
    /// Where in `shown` the caret goes, and how many characters wide it is: both are small.
    caret: (u16, u16),
}

impl ParseError {
    /// About `text[start..end]`.
    pub(super) fn new(
        text: &str,
        (start, end): (usize, usize),
        expected: impl Into<String>,
        found: impl Into<String>,
        suggestion: Option<String>,
    ) -> ParseError {
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let before = &text[line_start..start];
        let after = text[start..].split('\n').next().unwrap_or_default();
        let column = before.chars().count() + 1;
        let mut shown = String::new();
        let skip = (column - 1).saturating_sub(SHOWN_BEFORE);
        if skip > 0 {
            shown.push('…');
        }
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        shown.extend(before.chars().skip(skip).map(plain));
        let caret = shown.chars().count();
        let place = text.get(start..end).unwrap_or_default().split('\n').next().unwrap_or_default();
        let width = place.chars().count().clamp(1, SHOWN_AFTER);
        shown.extend(after.chars().take(SHOWN_AFTER.max(width)).map(plain));
        if after.chars().nth(SHOWN_AFTER).is_some() {
            shown.push('…');
        }
        ParseError {
            position: start,
            line: text[..start].matches('\n').count() + 1,
            column,
            expected: expected.into(),
            found: found.into(),
            suggestion,
            shown: shown.into(),
            caret: (caret as u16, width as u16),
        }
    }
}

/// A piece of the text between back quotes, cut to a length.
pub(super) fn quoted(text: &str) -> String {
    let mut out: String = text.chars().take(FOUND_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(FOUND_CHARS).is_some() {
        out.push('…');
    }
    format!("`{out}`")
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ParseError { line, column, expected, found, shown, caret, .. } = self;
        writeln!(f, "line {line}, column {column}: expected {expected}, found {found}")?;
        writeln!(f, "  {}", shown.trim_end())?;
        write!(f, "  {}{}", " ".repeat(caret.0.into()), "^".repeat(caret.1.into()))?;
        if let Some(suggestion) = &self.suggestion {
            write!(f, "\n  did you mean {}?", quoted(suggestion))?;
        }
        Ok(())
    }
}

impl std::error::Error for ParseError {}

/// The candidate nearest to a word, if it is near enough to be a slip: a synonym, or one or two letters (three in long
/// words) added, lost, changed or swapped.
pub(super) fn nearest(word: &str, candidates: impl IntoIterator<Item = &'static str>) -> Option<String> {
    let word = word.to_ascii_lowercase();
    let length = word.chars().count();
    let allowed = match length {
        0 | 33.. => return None,
        1..=3 => 1,
        4..=7 => 2,
        8.. => 3,
    };
    let candidates: Vec<&'static str> = candidates.into_iter().collect();
    let synonym = SYNONYMS.iter().find(|(from, to)| *from == word && candidates.contains(to)).map(|(_, to)| *to);
    synonym
        .or_else(|| {
            candidates
                .into_iter()
                .map(|candidate| (distance(&word, candidate), candidate))
                // A short word is no slip for another of which nothing is left.
                .filter(|(distance, candidate)| {
                    *distance <= allowed && *distance < length.max(candidate.len()).div_ceil(2)
                })
                .min_by_key(|(distance, _)| *distance)
                .map(|(_, candidate)| candidate)
        })
        .map(str::to_owned)
}

/// What people write who come from other tools.
const SYNONYMS: &[(&str, &str)] = &[
    ("type", "kind"),
    ("ioc_type", "kind"),
    ("indicator", "value"),
    ("ioc", "value"),
    ("score", "reputation"),
    ("rep", "reputation"),
    ("label", "tag"),
    ("labels", "tag"),
    ("feed", "source"),
    ("connection", "source"),
    ("expiry", "expires_at"),
    ("expires", "expires_at"),
    ("created", "first_seen"),
    ("updated", "last_seen"),
    ("modified", "last_seen"),
    ("hostname", "domain"),
    ("host", "domain"),
    ("fqdn", "domain"),
    ("ip", "ipv4"),
    ("cidr", "ipv4_net"),
    ("subnet", "ipv4_net"),
    ("hash", "sha256"),
    ("uri", "url"),
    ("link", "url"),
    ("fp", "false_positive"),
    ("benign", "safe"),
    ("bad", "malicious"),
    ("has", "contains"),
    ("regex", "matches"),
    ("regexp", "matches"),
    ("startswith", "starts with"),
    ("starts_with", "starts with"),
    ("begins", "starts with"),
    ("endswith", "ends with"),
    ("ends_with", "ends with"),
    ("ilike", "like"),
    ("exists", "is set"),
    ("eq", "="),
    ("equals", "="),
    ("ne", "!="),
    ("gt", ">"),
    ("gte", ">="),
    ("ge", ">="),
    ("lt", "<"),
    ("lte", "<="),
    ("le", "<="),
    ("==", "="),
    ("=~", "matches"),
    ("~", "matches"),
    ("<>", "!="),
    ("≠", "!="),
    ("≥", ">="),
    ("≤", "<="),
    ("=>", ">="),
    ("=<", "<="),
    ("&&", "and"),
    ("&", "and"),
    ("||", "or"),
    ("|", "or"),
    ("!", "not"),
];

/// Optimal string alignment: insertions, deletions, changes and swaps of neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = [vec![0; b.len() + 1], (0..=b.len()).collect(), vec![0; b.len() + 1]];
    for i in 1..=a.len() {
        rows[2][0] = i;
        for j in 1..=b.len() {
            let change = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[1][j] + 1).min(rows[2][j - 1] + 1).min(rows[1][j - 1] + change);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[0][j - 2] + 1);
            }
            rows[2][j] = best;
        }
        rows.rotate_left(1);
    }
    rows[1][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_strangers_are_not() {
        for (word, expect) in [
            ("reputaton", Some("reputation")),
            ("repuattion", Some("reputation")),
            ("REPUTATION", Some("reputation")),
            ("tags", Some("tag")),
            ("tga", Some("tag")),
            ("type", Some("kind")),
            ("knd", Some("kind")),
            ("xyz", None),
            ("zz", None),
            ("", None),
            ("something_else_entirely", None),
        ] {
            assert_eq!(nearest(word, ["reputation", "tag", "kind"]).as_deref(), expect, "{word}");
        }
        assert_eq!((distance("ab", "ba"), distance("", "abc"), distance("kitten", "sitting")), (1, 3, 3));
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let text = format!("first\n{}HERE{}", "a".repeat(500), "b".repeat(500));
        let error = ParseError::new(&text, (506, 510), "x", "y", None);
        assert_eq!((error.position, error.line, error.column), (506, 2, 501));
        let drawn = error.to_string();
        let lines: Vec<&str> = drawn.lines().collect();
        assert!(lines[1].chars().count() < 120, "{drawn}");
        let caret = lines[2].find('^').unwrap();
        assert!(lines[1].chars().skip(caret).collect::<String>().starts_with("HERE"), "{drawn}");
    }
}
