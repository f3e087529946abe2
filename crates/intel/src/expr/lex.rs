//! Text to words. One at a time, so that the first thing wrong is the first thing told.

use super::error::{ParseError, quoted};

/// A word of the language, with the bytes it takes up.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token<'a> {
    pub(super) what: Tok<'a>,
    pub(super) start: usize,
    pub(super) end: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Tok<'a> {
    /// Begins with a letter. What reads like an unquoted value is one word, for the sake of the message.
    Word(&'a str),
    /// Begins with a digit: a number, duration, time or nothing at all.
    Digits(&'a str),
    /// A text in quotes, escapes undone.
    Text(String),
    /// An operator, bracket or comma, or what others use for one.
    Sign(&'a str),
    /// The end of the text.
    End,
}

impl Token<'_> {
    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(self.what, Tok::Word(w) if w.eq_ignore_ascii_case(word))
    }

    pub(super) fn is_sign(&self, sign: &str) -> bool {
        matches!(self.what, Tok::Sign(s) if s == sign)
    }
}

/// Longest first.
const SIGNS: &[&str] = &[
    "<=", ">=", "!=", "==", "=~", "=>", "=<", "<>", "&&", "||", "≠", "≥", "≤", "=", "<", ">", "(", ")", ",", "+", "-",
    "!", "~", "&", "|",
];

pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Lexer<'a> {
        Lexer { text, at: 0 }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// The next word, white space and comments (`#` to the end of the line) left out.
    pub(super) fn next(&mut self) -> Result<Token<'a>, ParseError> {
        loop {
            self.at = self.text.len() - self.rest().trim_start_matches([' ', '\t', '\r', '\n', '\u{feff}']).len();
            if !self.rest().starts_with('#') {
                break;
            }
            self.at += self.rest().find('\n').unwrap_or(self.rest().len());
        }
        let start = self.at;
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(Token { what: Tok::End, start, end: start }) };
        let what = if first == '"' || first == '\'' {
            return self.quoted_text(first);
        } else if first.is_ascii_digit() {
            let ends = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '/' | '+' | '-'));
            Tok::Digits(&rest[..rest.find(ends).unwrap_or(rest.len())])
        } else if first.is_alphabetic() || first == '_' {
            Tok::Word(word(rest))
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            Tok::Sign(&rest[..sign.len()])
        } else {
            let end = start + first.len_utf8();
            let straight = matches!(first, '“' | '”' | '„' | '‘' | '’' | '«' | '»' | '`').then(|| "\"".to_owned());
            let found = quoted(&rest[..first.len_utf8()]);
            let expected = if straight.is_some() { "straight quotes" } else { "a word of the rule language" };
            return Err(ParseError::new(self.text, (start, end), expected, found, straight));
        };
        if let Tok::Word(text) | Tok::Digits(text) | Tok::Sign(text) = &what {
            self.at += text.len();
        }
        Ok(Token { what, start, end: self.at })
    }

    fn quoted_text(&mut self, quote: char) -> Result<Token<'a>, ParseError> {
        let start = self.at;
        let mut out = String::new();
        let mut chars = self.rest().char_indices();
        chars.next();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => {
                    let place = start + at;
                    let escape = chars.next().map(|(_, c)| c);
                    let plain = match escape {
                        Some('\\') => Some('\\'),
                        Some('"') => Some('"'),
                        Some('\'') => Some('\''),
                        Some('n') => Some('\n'),
                        Some('r') => Some('\r'),
                        Some('t') => Some('\t'),
                        Some('u') => unicode(&mut chars),
                        _ => None,
                    };
                    let Some(plain) = plain else {
                        let end = place + 1 + escape.map_or(0, char::len_utf8);
                        let found = &self.text[place..end];
                        return Err(ParseError::new(
                            self.text,
                            (place, end),
                            r#"an escape (`\\`, `\"`, `\'`, `\n`, `\r`, `\t` or `\u{…}`); a backslash is written twice"#,
                            quoted(found),
                            Some(format!("\\{found}")),
                        ));
                    };
                    out.push(plain);
                }
                c if c == quote => {
                    self.at = start + at + c.len_utf8();
                    return Ok(Token { what: Tok::Text(out), start, end: self.at });
                }
                c => out.push(c),
            }
        }
        let expected = format!("`{quote}` to close the text");
        Err(ParseError::new(self.text, (start, start + 1), expected, "the end", None))
    }
}

/// `{hex}` after `\u`.
fn unicode(chars: &mut std::str::CharIndices<'_>) -> Option<char> {
    let (hex, _) = chars.as_str().strip_prefix('{')?.split_once('}')?;
    let digits = (1..=6).contains(&hex.len()) && hex.bytes().all(|b| b.is_ascii_hexdigit());
    let c = char::from_u32(u32::from_str_radix(hex, 16).ok().filter(|_| digits)?)?;
    chars.nth(hex.len() + 1);
    Some(c)
}

/// Letters, digits and `_`; inside, also what joins the parts of a name (`amber+strict`) or of a value that somebody
/// forgot to quote (`evil.example/x`). A sign before a digit ends it: `now-14d` is three words.
fn word(text: &str) -> &str {
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, c)| *c);
        let inside = match c {
            '_' => true,
            '+' | '-' => next.is_some_and(char::is_alphabetic),
            '.' | ':' | '/' | '@' => next.is_some_and(|c| c.is_alphanumeric() || c == '/'),
            c => c.is_alphanumeric(),
        };
        if !inside {
            return &text[..at];
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Tok<'_>> {
        let mut lexer = Lexer::new(text);
        std::iter::from_fn(|| Some(lexer.next().unwrap().what).filter(|t| *t != Tok::End)).collect()
    }

    #[test]
    fn cuts_words() {
        use Tok::*;
        assert_eq!(
            words("kind=url and(reputation>=7) # comment \" '\nor now-14d"),
            [
                Word("kind"),
                Sign("="),
                Word("url"),
                Word("and"),
                Sign("("),
                Word("reputation"),
                Sign(">="),
                Digits("7"),
                Sign(")"),
                Word("or"),
                Word("now"),
                Sign("-"),
                Digits("14d")
            ]
        );
        assert_eq!(
            words("amber+strict evil.example/x now+1h"),
            [Word("amber+strict"), Word("evil.example/x"), Word("now"), Sign("+"), Digits("1h")]
        );
        assert_eq!(
            words("2026-01-31T10:00:00+01:00,10.1.2.3/8"),
            [Digits("2026-01-31T10:00:00+01:00"), Sign(","), Digits("10.1.2.3/8")]
        );
        assert_eq!(
            words(r#"'it''s' "a\"b\\c\u{e9}\n" 'd"e'"#),
            [Text("it".into()), Text("s".into()), Text("a\"b\\cé\n".into()), Text("d\"e".into())]
        );
    }
}
