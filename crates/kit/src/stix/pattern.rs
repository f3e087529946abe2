//! STIX patterns (STIX 2.1, part 9) read into the indicators they name, or into "cannot be said in indicators".
//!
//! What is shared must mean what the pattern means. An OR, and a set after IN, is true if one of its terms is: each
//! is an indicator of its own. An AND is more than any of its terms, so it is taken apart only where all of them are
//! hashes of one file, and where a term merely adds the address to a name or the type to an address. Negation,
//! wildcards, regular expressions, sequences and windows of time (a pattern that holds for one week of the past must
//! not be shared for ever) are unmappable: counted, and never shared. No expression is ever evaluated, and no regular
//! expression compiled.

use super::path::{Algorithm, End, Meaning, meaning};
use intel::{IndicatorKey, IndicatorKind};
use std::borrow::Cow;

/// The longest pattern, in bytes.
pub const PATTERN_BYTES: usize = 64 << 10;
/// The deepest nesting of brackets.
pub const PATTERN_DEPTH: usize = 32;
/// Most comparisons, literals and operators in one pattern.
pub const PATTERN_NODES: usize = 10_000;

/// One indicator named by a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Atom<'p> {
    /// What the path says it is; of the four address kinds, any.
    pub kind: IndicatorKind,
    /// The value as written.
    pub value: Cow<'p, str>,
}

/// What a pattern says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said<'p> {
    /// The indicators, each of which makes the pattern true.
    pub atoms: Vec<Atom<'p>>,
    /// Parts of the pattern that cannot be said in indicators. Without atoms: all of it.
    pub unmappable: u64,
}

/// Why a text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Against the grammar, or cut off.
    Broken,
    /// More than [`PATTERN_BYTES`], [`PATTERN_DEPTH`] or [`PATTERN_NODES`].
    TooLarge,
}

impl Fault {
    /// In words that reports count by.
    pub const fn as_str(self) -> &'static str {
        match self {
            Fault::Broken => "broken pattern",
            Fault::TooLarge => "pattern too large",
        }
    }
}

/// Reads a pattern.
///
/// # Errors
/// [`Fault`]: it is against the grammar or beyond a limit.
pub fn read(text: &str) -> Result<Said<'_>, Fault> {
    if let Some(atom) = plain(text) {
        return Ok(Said { atoms: vec![atom], unmappable: 0 });
    }
    whole(text)
}

/// One comparison with one of the common paths, written as the specification writes it: nearly every pattern there is.
/// Whatever else it is, the parser says.
fn plain(text: &str) -> Option<Atom<'_>> {
    use IndicatorKind::*;
    let (path, value) = text.strip_prefix('[')?.strip_suffix("']")?.split_once(" = '")?;
    let kind = match path {
        "url:value" => Url,
        "domain-name:value" => Domain,
        "ipv4-addr:value" | "ipv6-addr:value" => Ipv4,
        "email-addr:value" => Email,
        "file:hashes.MD5" | "file:hashes.'MD5'" => Md5,
        "file:hashes.'SHA-1'" => Sha1,
        "file:hashes.'SHA-256'" => Sha256,
        "file:hashes.'SHA-512'" => Sha512,
        _ => return None,
    };
    let is_plain = text.len() <= PATTERN_BYTES && memchr::memchr2(b'\'', b'\\', value.as_bytes()).is_none();
    is_plain.then_some(Atom { kind, value: Cow::Borrowed(value) })
}

/// Reads any pattern, however it is written.
pub(super) fn whole(text: &str) -> Result<Said<'_>, Fault> {
    let mut parser = Parser::new(text);
    parser.whole()
}

/// How many bytes were looked at to read or refuse a text, however often each: what a hostile one costs.
#[cfg(test)]
pub(super) fn work(text: &str) -> usize {
    let mut parser = Parser::new(text);
    let _ = parser.whole();
    parser.looked
}

/// A comparison, as far as an AND around it needs to know.
#[derive(Debug)]
enum Term<'p> {
    Plain(Atom<'p>),
    Domain(Atom<'p>),
    Resolves,
    End(End, Atom<'p>),
    EndType(End, Cow<'p, str>),
    Hash(Algorithm, Option<Atom<'p>>),
    Other,
}

/// What stands between brackets.
#[derive(Debug)]
enum Comparison<'p> {
    /// All of these hold.
    All(Vec<Term<'p>>),
    /// One of these holds.
    Any(Said<'p>),
}

impl<'p> Comparison<'p> {
    fn said(self) -> Said<'p> {
        match self {
            Comparison::Any(said) => said,
            Comparison::All(terms) => match split(terms) {
                Some(atoms) => Said { atoms, unmappable: 0 },
                None => nothing(),
            },
        }
    }
}

fn nothing<'p>() -> Said<'p> {
    Said { atoms: Vec::new(), unmappable: 1 }
}

/// The indicators of terms that all hold, where together they say no more than each.
fn split(mut terms: Vec<Term<'_>>) -> Option<Vec<Atom<'_>>> {
    if terms.len() == 1 {
        return match terms.pop()? {
            Term::Plain(atom) | Term::Domain(atom) | Term::End(_, atom) | Term::Hash(_, Some(atom)) => Some(vec![atom]),
            _ => None,
        };
    }
    let mut hashes = Vec::new();
    let mut main = None;
    let mut n_main = 0;
    for term in &mut terms {
        match term {
            Term::Hash(algorithm, _) => {
                // Two values of one algorithm never hold together, and a certificate is no file.
                if hashes.iter().any(|seen: &Algorithm| seen == algorithm || seen.of_file != algorithm.of_file) {
                    return None;
                }
                hashes.push(*algorithm);
            }
            Term::Domain(_) | Term::End(..) => {
                n_main += 1;
                main = Some(std::mem::replace(term, Term::Other));
            }
            Term::Resolves | Term::EndType(..) => {}
            Term::Plain(_) | Term::Other => return None,
        }
    }
    if hashes.len() == terms.len() {
        let atoms: Vec<Atom<'_>> = terms
            .into_iter()
            .filter_map(|term| match term {
                Term::Hash(_, atom) => atom,
                _ => None,
            })
            .collect();
        return (!atoms.is_empty()).then_some(atoms);
    }
    let adds_nothing = |term: &Term<'_>, of: &Term<'_>| match (term, of) {
        (Term::Other, _) | (Term::Resolves, Term::Domain(_)) => true,
        (Term::EndType(end, name), Term::End(of, atom)) => {
            end == of && (name == "domain-name") == (atom.kind == IndicatorKind::Domain)
        }
        _ => false,
    };
    let main = main.filter(|main| n_main == 1 && terms.iter().all(|term| adds_nothing(term, main)))?;
    match main {
        Term::Domain(atom) | Term::End(_, atom) => Some(vec![atom]),
        _ => None,
    }
}

struct Parser<'p> {
    text: &'p str,
    at: usize,
    nodes: usize,
    depth: usize,
    /// Bytes looked at, those looked at again counted again.
    looked: usize,
}

#[derive(Debug)]
enum Literal<'p> {
    Text(Cow<'p, str>),
    Number(&'p str),
    /// Truth, time, hexadecimal or binary.
    Other,
}

impl<'p> Parser<'p> {
    fn new(text: &'p str) -> Parser<'p> {
        Parser { text, at: 0, nodes: 0, depth: 0, looked: 0 }
    }

    fn whole(&mut self) -> Result<Said<'p>, Fault> {
        if self.text.len() > PATTERN_BYTES {
            return Err(Fault::TooLarge);
        }
        let said = self.followed()?;
        self.blanks();
        if self.at == self.text.len() { Ok(said) } else { Err(Fault::Broken) }
    }

    fn node(&mut self) -> Result<(), Fault> {
        self.nodes += 1;
        if self.nodes > PATTERN_NODES { Err(Fault::TooLarge) } else { Ok(()) }
    }

    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        self.depth += 1;
        if self.depth > PATTERN_DEPTH {
            return Err(Fault::TooLarge);
        }
        let value = inner(self);
        self.depth -= 1;
        value
    }

    fn rest(&self) -> &'p [u8] {
        &self.text.as_bytes()[self.at..]
    }

    fn blanks(&mut self) {
        while self.rest().first().is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
            self.looked += 1;
        }
        self.looked += 1;
    }

    /// The next byte that is not blank.
    fn peek(&mut self) -> Option<u8> {
        self.blanks();
        self.rest().first().copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        if self.take(byte) { Ok(()) } else { Err(Fault::Broken) }
    }

    /// The word that begins here: letters, digits, `_` and `-`. Empty if there is none.
    fn look(&mut self) -> &'p str {
        self.blanks();
        let end = self.rest().iter().position(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')));
        let word = &self.text[self.at..end.map_or(self.text.len(), |end| self.at + end)];
        self.looked += word.len();
        word
    }

    fn keyword(&mut self, word: &str) -> bool {
        let there = self.look().eq_ignore_ascii_case(word);
        self.at += if there { word.len() } else { 0 };
        there
    }

    fn followed(&mut self) -> Result<Said<'p>, Fault> {
        let mut said = self.any_observation()?;
        while self.keyword("FOLLOWEDBY") {
            self.node()?;
            self.any_observation()?;
            said = nothing();
        }
        Ok(said)
    }

    fn any_observation(&mut self) -> Result<Said<'p>, Fault> {
        let mut said = self.all_observations()?;
        while self.keyword("OR") {
            self.node()?;
            let other = self.all_observations()?;
            said.atoms.extend(other.atoms);
            said.unmappable += other.unmappable;
        }
        Ok(said)
    }

    fn all_observations(&mut self) -> Result<Said<'p>, Fault> {
        let mut said = self.observation()?;
        while self.keyword("AND") {
            self.node()?;
            self.observation()?;
            said = nothing();
        }
        Ok(said)
    }

    fn observation(&mut self) -> Result<Said<'p>, Fault> {
        self.node()?;
        let mut said = if self.take(b'[') {
            let said = self.any()?.said();
            self.expect(b']')?;
            said
        } else {
            self.expect(b'(')?;
            let said = self.deeper(Parser::followed)?;
            self.expect(b')')?;
            said
        };
        loop {
            if self.keyword("START") {
                self.literal()?;
                if !self.keyword("STOP") {
                    return Err(Fault::Broken);
                }
                self.literal()?;
            } else if self.keyword("WITHIN") {
                self.literal()?;
                if !self.keyword("SECONDS") {
                    return Err(Fault::Broken);
                }
            } else if self.keyword("REPEATS") {
                self.literal()?;
                if !self.keyword("TIMES") {
                    return Err(Fault::Broken);
                }
            } else {
                return Ok(said);
            }
            self.node()?;
            said = nothing();
        }
    }

    fn any(&mut self) -> Result<Comparison<'p>, Fault> {
        let first = self.all()?;
        if !self.look().eq_ignore_ascii_case("OR") {
            return Ok(first);
        }
        let mut said = first.said();
        while self.keyword("OR") {
            self.node()?;
            let other = self.all()?.said();
            said.atoms.extend(other.atoms);
            said.unmappable += other.unmappable;
        }
        Ok(Comparison::Any(said))
    }

    fn all(&mut self) -> Result<Comparison<'p>, Fault> {
        let mut all = self.term()?;
        while self.keyword("AND") {
            self.node()?;
            let other = self.term()?;
            match (&mut all, other) {
                (Comparison::All(terms), Comparison::All(more)) => terms.extend(more),
                _ => all = Comparison::All(vec![Term::Other]),
            }
        }
        Ok(all)
    }

    fn term(&mut self) -> Result<Comparison<'p>, Fault> {
        self.node()?;
        let negated = self.keyword("NOT");
        let inner = if self.take(b'(') {
            let inner = self.deeper(Parser::any)?;
            self.expect(b')')?;
            inner
        } else {
            self.comparison()?
        };
        Ok(if negated { Comparison::All(vec![Term::Other]) } else { inner })
    }

    fn comparison(&mut self) -> Result<Comparison<'p>, Fault> {
        let other = || Ok(Comparison::All(vec![Term::Other]));
        if self.look().eq_ignore_ascii_case("EXISTS") {
            self.keyword("EXISTS");
            self.path()?;
            return other();
        }
        let meaning = self.path()?;
        let negated = self.keyword("NOT");
        let mut subset = false;
        match self.peek() {
            Some(b'=') => self.at += if self.rest().starts_with(b"==") { 2 } else { 1 },
            Some(b'!' | b'<' | b'>') => {
                let two = matches!(self.rest(), [b'!' | b'<' | b'>', b'=', ..] | [b'<', b'>', ..]);
                if !two && self.rest()[0] == b'!' {
                    return Err(Fault::Broken);
                }
                self.at += if two { 2 } else { 1 };
                self.literal()?;
                return other();
            }
            _ if self.keyword("IN") => {
                let mut said = Said::default();
                self.expect(b'(')?;
                loop {
                    let one = Comparison::All(vec![term(meaning, self.literal()?)]).said();
                    said.atoms.extend(one.atoms);
                    said.unmappable += one.unmappable;
                    if !self.take(b',') {
                        break;
                    }
                }
                self.expect(b')')?;
                return if negated { other() } else { Ok(Comparison::Any(said)) };
            }
            _ if self.keyword("ISSUBSET") => subset = true,
            _ if self.keyword("LIKE") || self.keyword("MATCHES") || self.keyword("ISSUPERSET") => {
                self.literal()?;
                return other();
            }
            _ => return Err(Fault::Broken),
        }
        let literal = self.literal()?;
        // "Lies in this network" is what a network means here; of names and files it means nothing.
        let address = matches!(meaning, Meaning::Kind(IndicatorKind::Ipv4) | Meaning::End(_));
        if negated || (subset && !address) {
            return other();
        }
        Ok(Comparison::All(vec![term(meaning, literal)]))
    }

    fn path(&mut self) -> Result<Meaning, Fault> {
        let object = self.name()?;
        self.expect(b':')?;
        let mut steps = vec![self.name()?];
        loop {
            if self.take(b'.') {
                self.node()?;
                steps.push(self.name()?);
            } else if self.take(b'[') {
                if !self.take(b'*') {
                    let index = self.look();
                    if index.is_empty() || !index.bytes().all(|b| b.is_ascii_digit()) {
                        return Err(Fault::Broken);
                    }
                    self.at += index.len();
                }
                self.expect(b']')?;
            } else {
                break;
            }
        }
        let steps: Vec<&str> = steps.iter().map(|step| &**step).collect();
        Ok(meaning(&object, &steps))
    }

    /// A part of a path: a word, or anything in quotes.
    fn name(&mut self) -> Result<Cow<'p, str>, Fault> {
        if self.peek() == Some(b'\'') {
            return self.quoted();
        }
        let name = self.look();
        self.at += name.len();
        if name.is_empty() { Err(Fault::Broken) } else { Ok(Cow::Borrowed(name)) }
    }

    fn literal(&mut self) -> Result<Literal<'p>, Fault> {
        self.node()?;
        match self.peek() {
            Some(b'\'') => return Ok(Literal::Text(self.quoted()?)),
            Some(b't' | b'h' | b'b') if self.rest().get(1) == Some(&b'\'') => {
                self.at += 1;
                self.quoted()?;
                return Ok(Literal::Other);
            }
            _ => {}
        }
        let end = self.rest().iter().position(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.')));
        let word = &self.text[self.at..end.map_or(self.text.len(), |end| self.at + end)];
        self.at += word.len();
        self.looked += word.len();
        if word.eq_ignore_ascii_case("true") || word.eq_ignore_ascii_case("false") {
            Ok(Literal::Other)
        } else if word.parse::<f64>().is_ok() {
            Ok(Literal::Number(word))
        } else {
            Err(Fault::Broken)
        }
    }

    /// A text in quotes. `\'` and `\\` are what the grammar has; before any other character a backslash is taken for
    /// itself, because paths of Windows are published that way.
    fn quoted(&mut self) -> Result<Cow<'p, str>, Fault> {
        self.at += 1;
        let mut unescaped: Option<String> = None;
        loop {
            let rest = &self.text[self.at..];
            let stop = memchr::memchr2(b'\'', b'\\', rest.as_bytes()).ok_or(Fault::Broken)?;
            self.at += stop + 1;
            self.looked += stop + 1;
            if rest.as_bytes()[stop] == b'\'' {
                return Ok(match unescaped {
                    None => Cow::Borrowed(&rest[..stop]),
                    Some(text) => Cow::Owned(text + &rest[..stop]),
                });
            }
            let text = unescaped.get_or_insert_default();
            text.push_str(&rest[..stop]);
            match rest.as_bytes().get(stop + 1) {
                Some(escaped @ (b'\'' | b'\\')) => {
                    text.push(char::from(*escaped));
                    self.at += 1;
                }
                _ => text.push('\\'),
            }
        }
    }
}

/// What a comparison for equality says.
fn term<'p>(meaning: Meaning, literal: Literal<'p>) -> Term<'p> {
    let value = match (literal, meaning) {
        (Literal::Text(value), _) => value,
        (Literal::Number(number), Meaning::Kind(IndicatorKind::Asn)) => Cow::Owned(format!("AS{number}")),
        _ => return Term::Other,
    };
    let atom = |kind| Atom { kind, value: value.clone() };
    match meaning {
        Meaning::Kind(kind) => Term::Plain(atom(kind)),
        Meaning::Domain => Term::Domain(atom(IndicatorKind::Domain)),
        Meaning::Resolves => Term::Resolves,
        Meaning::End(end) => {
            let address = IndicatorKey::parse(Some(IndicatorKind::Ipv4), &value).is_ok();
            Term::End(end, atom(if address { IndicatorKind::Ipv4 } else { IndicatorKind::Domain }))
        }
        Meaning::EndType(end) => Term::EndType(end, value),
        Meaning::Hash(algorithm, kind) => Term::Hash(algorithm, kind.map(atom)),
        Meaning::None => Term::Other,
    }
}
