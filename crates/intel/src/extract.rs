//! Pulls indicators out of prose: reports, Markdown, HTML, mail, defanged or not.
//!
//! Prose is ambiguous where a feed is not, so this is stricter than [`IndicatorKey::parse`] about what counts, and more
//! generous about what surrounds it. The rules:
//!
//! * A URL yields the URL and never its host, also when it turns out to be none. One that ends in an ellipsis was cut
//!   by whoever printed it and yields nothing. A path after a name without a scheme (`evil[.]com/gate.php`) yields a
//!   URL, noted as `scheme_assumed`.
//! * A name must end in an ICANN top-level domain. Where that is also a common file extension (`.zip`, `.sh`, `.py`,
//!   `.md`, …) it counts only if defanged or if its public suffix has two labels (`web.app`): `install.sh` in a report is
//!   a file. Neither is a plain name one that follows a slash or a sigil, or whose ending alone is capitalised
//!   (`System.IO`, `at the end.In short`).
//! * `name:port` and `address:port` are taken, with the port noted.
//! * Hashes by length, standing alone. AS numbers are context in reports, not indicators, and are left out.
//!
//! Every byte is looked at a bounded number of times; a word longer than a value may be is skipped whole.

use crate::key::{
    IndicatorKey, IndicatorKind, Lead, Parsed, VALUE_BYTES, is_blank, lead, public_suffix, refang, registrable, token,
    url_host, web_scheme,
};
use memchr::{memchr, memmem};
use std::borrow::Cow;

/// One indicator in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<'t> {
    /// The key, the port and whether a scheme was assumed.
    pub parsed: Parsed,
    /// The text it was read from, as written.
    pub raw: &'t str,
    /// Where in the whole text `raw` begins, in bytes.
    pub at: usize,
}

/// Top-level domains that are more often file extensions when written plainly in a report.
const EXTENSIONS: &[&str] =
    &["app", "cab", "java", "md", "mov", "pl", "pm", "ps", "pub", "py", "rs", "sh", "so", "swift", "tf", "zip"];

/// How many `label:` prefixes (`sha256:…`, `C2:domain:…`) are taken off one word.
const PREFIXES: usize = 4;

/// Hands every indicator of the text to `found`, in the order of the text, repeats included.
pub fn extract<'t>(text: &'t str, found: impl FnMut(Found<'t>)) {
    let mut reader = Reader { text, found };
    let mut start = 0;
    for (at, c) in text.char_indices() {
        if is_break(c) {
            reader.chunk(start, at);
            start = at + c.len_utf8();
        }
    }
    reader.chunk(start, text.len());
}

/// As [`extract`], collected.
pub fn extract_all(text: &str) -> Vec<Found<'_>> {
    let mut all = Vec::new();
    extract(text, |one| all.push(one));
    all
}

/// What ends a URL and a word alike.
fn is_break(c: char) -> bool {
    match c {
        '!'..='~' => matches!(c, '<' | '>' | '"' | '`' | '|'),
        _ => {
            c.is_ascii()
                || is_blank(c)
                || c.is_control()
                || matches!(c, '“' | '”' | '„' | '‘' | '’' | '‚' | '«' | '»' | '‹' | '›')
        }
    }
}

struct Reader<'t, F> {
    text: &'t str,
    found: F,
}

impl<'t, F: FnMut(Found<'t>)> Reader<'t, F> {
    /// A stretch without breaks: URLs wherever a scheme stands, words between them.
    fn chunk(&mut self, start: usize, end: usize) {
        let bytes = self.text.as_bytes();
        let (mut done, mut look) = (start, start);
        while let Some(colon) = memchr(b':', &bytes[look..end]).map(|n| look + n) {
            look = colon + 1;
            if let Some(scheme) = scheme_before(&bytes[done..colon]).map(|n| done + n)
                && matches!(lead(&self.text[scheme..end]), Lead::Web(..))
            {
                self.words(done, scheme);
                let cut = url_end(bytes, colon, end);
                self.url(scheme, cut);
                (done, look) = (cut, cut.max(look));
            }
        }
        self.words(done, end);
    }

    fn url(&mut self, start: usize, end: usize) {
        let Some(raw) = trim_url(&self.text[start..end]).filter(|raw| raw.len() <= VALUE_BYTES) else { return };
        // HTML and JSON write some characters differently; no URL in use means these literally.
        let mut plain = Cow::Borrowed(raw);
        for (written, meant) in [("&amp;", "&"), ("\\/", "/")] {
            if memmem::find(plain.as_bytes(), written.as_bytes()).is_some() {
                plain = Cow::Owned(plain.replace(written, meant));
            }
        }
        let parsed = IndicatorKey::parse_noted(Some(IndicatorKind::Url), &plain);
        // `http://localhost:8080/` is part of the tale, not an indicator.
        if let Ok(parsed) = parsed
            && url_host(parsed.key.value()).is_some_and(|host| host.contains(['.', ':']))
        {
            (self.found)(Found { parsed, raw, at: start });
        }
    }

    /// Splits a stretch without URLs at everything that is in no name, address or hash.
    fn words(&mut self, start: usize, end: usize) {
        let bytes = self.text.as_bytes();
        let (mut at, mut word) = (start, start);
        // Once past a slash, the characters of paths and queries are part of the word.
        let mut path = false;
        while at < end {
            let step = match bytes[at] {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b':' | b'@' | b'%' | b'+' => {
                    // `evil.]com`
                    token(&bytes[at..end]).map_or(1, |(len, _)| len)
                }
                b'/' => {
                    path |= at > word;
                    1
                }
                b'?' | b'=' | b'&' | b'#' | b'~' | b'!' | b'$' | b'*' if path => 1,
                b'\\' | b'[' | b'(' | b'{' => token(&bytes[at..end]).map_or(0, |(len, _)| len),
                // Chunks end at character boundaries, so this one is whole.
                0x80.. => match self.text[at..].chars().next() {
                    Some(c) if c.is_alphanumeric() || path => c.len_utf8(),
                    Some(c) => {
                        self.word(word, at);
                        word = at + c.len_utf8();
                        path = false;
                        c.len_utf8()
                    }
                    None => break,
                },
                _ => 0,
            };
            if step == 0 {
                self.word(word, at);
                word = at + 1;
                path = false;
            }
            at += step.max(1);
        }
        self.word(word, end);
    }

    fn word(&mut self, start: usize, end: usize) {
        if start >= end {
            return;
        }
        let whole = &self.text[start..end];
        let raw = whole.trim_end_matches(['.', ':', '-', '_', '@', '%', '+', '?', '!', '&', '=', '#', '~', '$', '*']);
        let raw = raw.trim_start_matches(['.', ':', '-', '_', '%', '+', '*']);
        // Shorter than any of them, or longer than a value may be.
        if raw.len() < 4 || raw.len() > VALUE_BYTES {
            return;
        }
        let at = start + whole.len() - whole.trim_start_matches(['.', ':', '-', '_', '%', '+', '*']).len();
        let before = if at > start {
            self.text.as_bytes()[at - 1]
        } else {
            start.checked_sub(1).map_or(b' ', |n| self.text.as_bytes()[n])
        };
        let mut rest = raw;
        for _ in 0..PREFIXES {
            match read(rest, if rest.len() == raw.len() { before } else { b':' }) {
                Read::Is(parsed) => {
                    (self.found)(Found { parsed, raw: rest, at: at + raw.len() - rest.len() });
                    return;
                }
                Read::No => return,
                Read::Prefixed(tail) => rest = tail,
                Read::Path => {
                    self.hashes(rest, at + raw.len() - rest.len());
                    return;
                }
            }
        }
    }

    /// Of a path only the hashes count: `samples/<sha256>`.
    fn hashes(&mut self, path: &'t str, mut at: usize) {
        for part in path.split('/') {
            if let Some(parsed) = hash(part) {
                (self.found)(Found { parsed, raw: part, at });
            }
            at += part.len() + 1;
        }
    }
}

enum Read<'t> {
    Is(Parsed),
    No,
    /// A label and a colon stood before this.
    Prefixed(&'t str),
    Path,
}

/// One word. `before` is the byte in front of it.
fn read(raw: &str, before: u8) -> Read<'_> {
    use IndicatorKind::{Email, Ipv4, Url};
    let is = |parsed: Option<Parsed>| parsed.map_or(Read::No, Read::Is);
    if let Some(parsed) = hash(raw) {
        return Read::Is(parsed);
    }
    // `tcp://…`: a URL of a kind we do not take is not narrowed to what we do take.
    if memmem::find(raw.as_bytes(), b"://").is_some() {
        return Read::No;
    }
    let plain = refang(raw);
    let defanged = matches!(plain, Cow::Owned(_));
    if plain.contains('@') {
        let mail = IndicatorKey::parse_noted(Some(Email), raw).ok();
        return is(mail.filter(|mail| {
            let domain = mail.key.value().rsplit_once('@').map_or("", |(_, domain)| domain);
            IndicatorKey::parse(None, domain).is_ok() || public_suffix(domain) == Some(domain)
        }));
    }
    if let Some(slash) = plain.find('/') {
        if let Ok(net) = IndicatorKey::parse_noted(Some(Ipv4), &plain) {
            return Read::Is(net);
        }
        let (host, path) = plain.split_at(slash);
        let host = host.split_once(':').map_or(host, |(name, _)| name);
        let address = IndicatorKey::parse(Some(Ipv4), host).is_ok();
        // `1.2.3.4/5.6.7.8` lists two addresses; only a path with letters is one.
        let url = if address {
            path.bytes().any(|b| b.is_ascii_alphabetic())
        } else {
            name(host, before, defanged).is_some()
        };
        if !url {
            return Read::Path;
        }
        let text = trim_url(&plain);
        return is(text.and_then(|text| IndicatorKey::parse_noted(Some(Url), text).ok()));
    }
    let Some((left, right)) = plain.split_once(':') else {
        return is(IndicatorKey::parse_noted(Some(Ipv4), &plain).ok().or_else(|| name(&plain, before, defanged)));
    };
    match IndicatorKey::parse_noted(Some(Ipv4), &plain) {
        // `ad::be` is C++, `2001:db8::1` is not.
        Ok(parsed) => {
            let sure =
                defanged || parsed.key.kind() == Ipv4 || left.len() > 2 && plain.bytes().any(|b| b.is_ascii_digit());
            return if sure { Read::Is(parsed) } else { Read::No };
        }
        Err(_) if !right.contains(':') => {
            let port = (!right.is_empty() && right.bytes().all(|b| b.is_ascii_digit())).then(|| right.parse::<u16>());
            if let Some(port) = port {
                let Ok(port) = port else { return Read::No };
                return is(name(left, before, defanged).map(|named| Parsed { port: Some(port), ..named }));
            }
        }
        Err(_) => {}
    }
    // The prefix is cut from the text as written: `found` points into it. A defanged colon is a port's, not a label's.
    match raw.split_once(':') {
        Some((label, tail)) if !label.contains(['.', '[', '(', '{']) => Read::Prefixed(tail.trim_start_matches(':')),
        _ => Read::No,
    }
}

fn hash(text: &str) -> Option<Parsed> {
    let sized = matches!(text.len(), 32 | 40 | 64 | 128) && text.bytes().all(|b| b.is_ascii_hexdigit());
    if sized { IndicatorKey::parse_noted(None, text).ok() } else { None }
}

/// A refanged word as a name, if prose means one by it.
fn name(text: &str, before: u8, defanged: bool) -> Option<Parsed> {
    let (_, tld) = text.rsplit_once('.')?;
    // After a backslash it is part of a path, or the letter before it part of an escape: `\nevil[.]com`.
    if before == b'\\' {
        return None;
    }
    if !defanged {
        if matches!(before, b'/' | b'@' | b'%' | b'$' | b'~') {
            return None;
        }
        let capital = tld.starts_with(|c: char| c.is_ascii_uppercase());
        if capital && text.bytes().any(|b| b.is_ascii_lowercase()) {
            return None;
        }
    }
    let parsed = IndicatorKey::parse_noted(None, text).ok().filter(|p| p.key.kind() == IndicatorKind::Domain)?;
    if !defanged {
        let value = parsed.key.value();
        let file = EXTENSIONS.iter().any(|extension| tld.eq_ignore_ascii_case(extension));
        if file && !public_suffix(value).is_some_and(|suffix| suffix.contains('.')) {
            return None;
        }
        // `self_test.id` is code: nobody can register an underscore.
        if registrable(value).is_some_and(|own| own.contains('_')) {
            return None;
        }
    }
    Some(parsed)
}

/// Where the scheme begins whose colon follows `bytes`. Looks back eight bytes at most.
fn scheme_before(bytes: &[u8]) -> Option<usize> {
    let end = bytes.len() - usize::from(matches!(bytes.last(), Some(b'[' | b'(' | b'{')));
    let run = |more: fn(&u8) -> bool| {
        let len = bytes[..end].iter().rev().take(6).take_while(|b| b.is_ascii_alphanumeric() || more(b)).count();
        let start = end - len;
        web_scheme(&bytes[start..end]).map(|_| start)
    };
    // `**http` is Markdown around a scheme, `h**p` is one.
    let start = run(|_| false).or_else(|| run(|b| *b == b'*'))?;
    let glued = start > 0 && bytes[start - 1].is_ascii_alphanumeric();
    (!glued).then_some(start)
}

/// Where a URL ends at the latest: the brackets of Markdown and AsciiDoc links, an HTML entity or an escape that stands
/// for a break, a closing quote in a list, or a comma before another URL.
fn url_end(bytes: &[u8], colon: usize, end: usize) -> usize {
    let mut query = false;
    for at in colon..end {
        let rest = &bytes[at..end];
        let cut = match rest[0] {
            b'?' => {
                query = true;
                false
            }
            // `https://evil.com/a[text]`; not `[.]`, not `http://[2001:db8::1]/`, not `?a[0]=1`.
            b'[' => !query && at > colon + 2 && !matches!(bytes[at - 1], b'/' | b'@' | b'\\') && token(rest).is_none(),
            b']' => rest.starts_with(b"]("),
            b')' => rest.starts_with(b")["),
            b'\'' => matches!(rest.get(1), Some(b',' | b';' | b')' | b']' | b'}')),
            // Unless backslashes are how this one is written.
            b'\\' => matches!(rest.get(1), Some(b'n' | b'r' | b't')) && bytes.get(colon + 1) != Some(&b'\\'),
            b'&' => {
                [&b"&quot;"[..], b"&lt;", b"&gt;", b"&#34;", b"&nbsp;"].iter().any(|entity| rest.starts_with(entity))
            }
            b',' | b';' => {
                let word = rest[1..].iter().take(6).take_while(|b| b.is_ascii_alphabetic() || **b == b'*').count();
                web_scheme(&rest[1..=word]).is_some() && matches!(rest.get(word + 1), Some(b':' | b'['))
            }
            _ => false,
        };
        if cut {
            return at;
        }
    }
    end
}

/// Without the punctuation of the sentence around it. None if an ellipsis says that the end is missing.
fn trim_url(text: &str) -> Option<&str> {
    let mut open = [0i64; 3];
    for b in text.bytes() {
        match b {
            b'(' => open[0] += 1,
            b')' => open[0] -= 1,
            b'[' => open[1] += 1,
            b']' => open[1] -= 1,
            b'{' => open[2] += 1,
            b'}' => open[2] -= 1,
            _ => {}
        }
    }
    let mut text = text;
    loop {
        let pair = match text.as_bytes().last()? {
            b'.' if text.ends_with("...") => return None,
            b'.' | b',' | b';' | b':' | b'!' | b'?' | b'\'' | b'*' | b'\\' => None,
            b')' => Some(0),
            b']' => Some(1),
            b'}' => Some(2),
            0x80.. if text.ends_with('…') => return None,
            0x80.. => match text.chars().next_back()? {
                c @ ('。' | '，' | '、' | '；' | '）' | '】' | '」') => {
                    text = &text[..text.len() - c.len_utf8()];
                    continue;
                }
                _ => return Some(text),
            },
            _ => return Some(text),
        };
        match pair {
            Some(n) if open[n] >= 0 => return Some(text),
            Some(n) => open[n] += 1,
            None => {}
        }
        text = &text[..text.len() - 1];
    }
}
