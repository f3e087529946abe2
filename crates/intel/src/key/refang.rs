//! Undoes what people do so that a hostile value cannot be clicked: quotes around it, `hxxp`, `[.]`.
//!
//! [`peel`] takes away what is around a value, [`refang`] what is inside its host or address, [`lead`] reads a scheme
//! however it is written. None of them looks at the path of a URL: brackets there are the attacker's own.

use super::Reason;
use memchr::memchr3;
use std::borrow::Cow;

/// Most layers of quotes and brackets taken off one value.
const LAYERS: usize = 8;

/// The text without white space and matched quotes or brackets around it.
pub(super) fn peel(raw: &str) -> Result<&str, Reason> {
    let mut text = trim(raw);
    for _ in 0..LAYERS {
        match unwrapped(text) {
            Some(inner) => text = trim(inner),
            None => return Ok(text),
        }
    }
    // A canonical value must peel to itself, so what is still wrapped cannot be one.
    if unwrapped(text).is_some() { Err(Reason::Nested) } else { Ok(text) }
}

/// White space, and the invisible characters that travel with copied text.
pub(crate) fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}' | '\u{2060}')
}

fn trim(text: &str) -> &str {
    match text.as_bytes() {
        [first, .., last] if first.is_ascii_graphic() && last.is_ascii_graphic() => text,
        _ => text.trim_matches(is_blank),
    }
}

/// The inside, if the first and the last character are a pair that belongs together.
fn unwrapped(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let (&first, &last) = (bytes.first()?, bytes.last()?);
    if bytes.len() < 2 || first.is_ascii_alphanumeric() {
        return None;
    }
    match (first, last) {
        (b'"', b'"') | (b'\'', b'\'') | (b'`', b'`') => {
            let inner = &text[1..text.len() - 1];
            memchr::memchr(first, inner.as_bytes()).is_none().then_some(inner)
        }
        (b'(', b')') | (b'[', b']') | (b'{', b'}') | (b'<', b'>') => {
            // `[a].[b]` begins and ends with brackets that are not each other's.
            let mut depth = 0usize;
            for (at, &b) in bytes.iter().enumerate() {
                if b == first {
                    depth += 1;
                } else if b == last {
                    depth -= 1;
                    if depth == 0 {
                        return (at + 1 == bytes.len()).then(|| &text[1..at]);
                    }
                }
            }
            None
        }
        _ if first >= 0x80 => {
            let mut chars = text.chars();
            match (chars.next()?, chars.next_back()?) {
                ('“' | '„', '”' | '“') | ('‘' | '‚', '’' | '‘') | ('«', '»') | ('‹', '›') | ('»', '«') => {
                    Some(chars.as_str())
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// The text with `[.]`, `(.)`, `[dot]`, `[:]`, `[at]` and their like undone. For scheme, host and address parts only.
pub(crate) fn refang(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    if memchr3(b'[', b'(', b'{', bytes).is_none() && memchr3(b'\\', b']', b']', bytes).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    let mut copied = 0;
    while at < bytes.len() {
        match token(&bytes[at..]) {
            Some((len, plain)) => {
                out.push_str(&text[copied..at]);
                out.push_str(plain);
                at += len;
                copied = at;
            }
            None => at += 1,
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

/// The defanging token at the beginning of `bytes`: its length and what it stands for. Looks at most eight bytes ahead.
pub(crate) fn token(bytes: &[u8]) -> Option<(usize, &'static str)> {
    match bytes {
        // `evil\.com`, and Markdown's `evil\[.\]com`.
        [b'\\', b'.', ..] => return Some((2, ".")),
        [b'\\', rest @ ..] if matches!(rest.first(), Some(b'[' | b'(' | b'{')) => {
            return token(rest).map(|(len, plain)| (len + 1, plain));
        }
        // Half a bracket: `evil.]com`.
        [b'.', b']', ..] => return Some((2, ".")),
        _ => {}
    }
    let close = match bytes.first()? {
        b'[' => b']',
        b'(' => b')',
        b'{' => b'}',
        _ => return None,
    };
    for (spelled, plain) in [(".", "."), ("dot", "."), (":", ":"), ("::", "::"), ("at", "@"), ("@", "@")] {
        let end = 1 + spelled.len();
        let Some(inner) = bytes.get(1..end) else { continue };
        if !inner.eq_ignore_ascii_case(spelled.as_bytes()) {
            continue;
        }
        match bytes.get(end..) {
            Some([c, ..]) if *c == close => {
                // `[::]` at the very end or before a non-group is the address itself, not a token.
                return (spelled != "::" || bytes.get(end + 1).is_some_and(u8::is_ascii_hexdigit))
                    .then_some((end + 1, plain));
            }
            Some([b'\\', c, ..]) if *c == close => return Some((end + 2, plain)),
            // Half a bracket: `evil[.com`.
            Some([c, ..]) if spelled == "." && close == b']' && c.is_ascii_alphanumeric() => return Some((2, ".")),
            _ => {}
        }
    }
    None
}

/// How a text begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lead<'a> {
    /// A scheme we take, and what follows its `://`.
    Web(&'static str, &'a str),
    /// Nothing but a scheme, such as `http:` or `https://`.
    Bare,
    /// A scheme we take with something else than two slashes after it.
    Broken,
    /// `something://` that we do not take.
    Foreign,
    /// No scheme.
    Plain,
}

/// Reads the scheme, `hxxp[:]//` included.
pub(crate) fn lead(text: &str) -> Lead<'_> {
    let bytes = text.as_bytes();
    if !bytes.first().is_some_and(u8::is_ascii_alphabetic) {
        return Lead::Plain;
    }
    let is_scheme = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.' | b'*');
    // The longest scheme in use is far shorter than this; a long host is not scanned twice.
    let word = bytes.iter().take(32).take_while(|b| is_scheme(b)).count();
    let Some(colon) = after_colon(&bytes[word..]) else { return Lead::Plain };
    let rest = &text[word + colon.len..];
    match web_scheme(&bytes[..word]) {
        Some(_) if rest.is_empty() => Lead::Bare,
        Some(scheme) if colon.slashes => Lead::Web(scheme, rest),
        // `http:evil.com` and `http:/evil.com` are addresses to a browser and to nobody else; `ftp:21` is neither.
        Some(_) => Lead::Broken,
        None if colon.slashes => Lead::Foreign,
        None => Lead::Plain,
    }
}

struct Colon {
    len: usize,
    slashes: bool,
}

/// The colon in its spellings, with the two slashes if they follow.
fn after_colon(bytes: &[u8]) -> Option<Colon> {
    let slash = |b: Option<&u8>| matches!(b, Some(b'/' | b'\\'));
    let two = |at: usize| slash(bytes.get(at)) && slash(bytes.get(at + 1));
    let (len, slashes) = match bytes {
        [b'[', b':', b']', ..] | [b'(', b':', b')', ..] | [b'{', b':', b'}', ..] => (3, two(3)),
        [b'[', b':', _, _, b']', ..] if two(2) => return Some(Colon { len: 5, slashes: true }),
        [b'[', b':', b'/', b']', b'/', ..] => return Some(Colon { len: 5, slashes: true }),
        [b':', b'[', _, _, b']', ..] if two(2) => return Some(Colon { len: 5, slashes: true }),
        [b':', ..] => (1, two(1)),
        _ => return None,
    };
    Some(Colon { len: if slashes { len + 2 } else { len }, slashes })
}

/// The scheme a word stands for, defanged or not.
pub(crate) fn web_scheme(word: &[u8]) -> Option<&'static str> {
    const SPELLINGS: [(&[u8], &str); 13] = [
        (b"http", "http"),
        (b"https", "https"),
        (b"hxxp", "http"),
        (b"hxxps", "https"),
        (b"ftp", "ftp"),
        (b"h**p", "http"),
        (b"h**ps", "https"),
        (b"hxtp", "http"),
        (b"hxtps", "https"),
        (b"htxp", "http"),
        (b"htxps", "https"),
        (b"fxp", "ftp"),
        (b"fxxp", "ftp"),
    ];
    if !(3..=5).contains(&word.len()) {
        return None;
    }
    SPELLINGS.iter().find(|(spelled, _)| spelled.eq_ignore_ascii_case(word)).map(|(_, scheme)| *scheme)
}
