//! Text to tree, by recursive descent: one function per level of binding, `or` < `and` < `not` < the rest.
//!
//! Whatever is not a word of the language at its place is an error that says so there; nothing is guessed. Depth and
//! size are counted as the tree grows, so that a hostile text is refused before it costs anything.

use super::ast::{CmpOp, Expr, Field, FlagField, NamesField, NumberField, Test, When};
use super::contain::{Place, Scope};
use super::error::{ParseError, nearest, quoted};
use super::lex::{Lexer, Tok, Token};
use super::pattern::{How, Pattern, Texts};
use super::print::Quoted;
use crate::indicator::VerdictKind;
use crate::key::{IndicatorKey, IndicatorKind, Reason};
use crate::level::{Severity, Tlp};
use crate::time::Timestamp;
use std::time::Duration;

/// Longest text of an expression, in bytes, as written and as printed.
pub const TEXT_BYTES: usize = 64 * 1024;
/// Deepest nesting of parentheses, `not` and `record`.
pub const DEPTH: usize = 32;
/// Most clauses, connectives and listed values together.
pub const NODES: usize = 10_000;
/// Most `matches`: each holds compiled states.
pub const REGEXES: usize = 64;
/// Longest duration: a hundred years, past which times saturate.
const LONGEST_SECS: u64 = 36_525 * 86_400;

impl Expr {
    /// Reads an expression of a search: `shared_with` is allowed, and the empty text is everything.
    pub fn parse(text: &str) -> Result<Expr, ParseError> {
        Parser::run(text, true)
    }

    /// Reads the expression of a rule or exception: no `shared_with`, and everything is said with `all`.
    pub fn parse_rule(text: &str) -> Result<Expr, ParseError> {
        Parser::run(text, false)
    }
}

struct Parser<'a> {
    text: &'a str,
    lexer: Lexer<'a>,
    /// The next word, not yet taken.
    next: Token<'a>,
    search: bool,
    in_record: bool,
    depth: usize,
    nodes: usize,
    regexes: usize,
}

type Parsed<T> = Result<T, ParseError>;

/// What a comparison does, before its values are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Cmp(CmpOp),
    In { negated: bool },
    How(How),
    IsSet,
}

impl<'a> Parser<'a> {
    fn run(text: &'a str, search: bool) -> Parsed<Expr> {
        if text.len() > TEXT_BYTES {
            let mut start = TEXT_BYTES;
            while !text.is_char_boundary(start) {
                start -= 1;
            }
            let found = format!("{} bytes", text.len());
            return Err(ParseError::new(text, (start, start), format!("at most {TEXT_BYTES} bytes"), found, None));
        }
        let mut lexer = Lexer::new(text);
        let next = lexer.next()?;
        let mut parser = Parser { text, lexer, next, search, in_record: false, depth: 0, nodes: 0, regexes: 0 };
        if parser.next.what == Tok::End {
            if search {
                return Ok(Expr::All);
            }
            return Err(parser.fail("an expression (`all` selects everything)", None));
        }
        let expr = parser.or()?;
        if parser.next.what != Tok::End {
            return Err(parser.fail_after_clause("the end"));
        }
        // Printing spells out blanks and escapes. What is stored must read back, so it must not grow past the limit.
        if text.len() > TEXT_BYTES / 8 && expr.to_string().len() > TEXT_BYTES {
            let end = text.len();
            let expected = format!("at most {TEXT_BYTES} bytes once written out in full");
            return Err(ParseError::new(text, (end, end), expected, "more", None));
        }
        Ok(expr)
    }

    // --- levels of binding

    fn or(&mut self) -> Parsed<Expr> {
        let mut parts = vec![self.and()?];
        while self.next.is_word("or") {
            self.take()?;
            parts.push(self.and()?);
        }
        self.joined(parts, Expr::Or)
    }

    fn and(&mut self) -> Parsed<Expr> {
        let mut parts = vec![self.clause()?];
        while self.next.is_word("and") {
            self.take()?;
            parts.push(self.clause()?);
        }
        self.joined(parts, Expr::And)
    }

    fn joined(&mut self, mut parts: Vec<Expr>, join: fn(Vec<Expr>) -> Expr) -> Parsed<Expr> {
        match parts.len() {
            1 => Ok(parts.remove(0)),
            _ => self.spend().map(|()| join(parts)),
        }
    }

    fn clause(&mut self) -> Parsed<Expr> {
        self.spend()?;
        if self.next.is_sign("(") {
            return self.within_parentheses();
        }
        let Tok::Word(word) = self.next.what else {
            let value = match &self.next.what {
                Tok::Text(text) => Some(format!("value = {}", Quoted(text))),
                Tok::Digits(text) => Some(format!("value = {}", Quoted(text))),
                Tok::Sign(sign) => nearest(sign, ["not"]),
                _ => None,
            };
            return Err(self.fail(CLAUSE, value));
        };
        match word.to_ascii_lowercase().as_str() {
            "not" => {
                self.deeper()?;
                self.take()?;
                let part = self.clause()?;
                self.depth -= 1;
                Ok(Expr::Not(Box::new(part)))
            }
            "all" => {
                self.take()?;
                Ok(Expr::All)
            }
            "record" | "under" | "covers" if self.in_record => Err(self.fail(
                "a clause about one record; `under`, `covers` and another `record` go outside `record(…)`",
                None,
            )),
            "record" => {
                self.take()?;
                if !self.next.is_sign("(") {
                    return Err(self.fail("`(` after `record`", None));
                }
                self.in_record = true;
                let part = self.within_parentheses()?;
                self.in_record = false;
                Ok(Expr::Record(Box::new(part)))
            }
            "under" => {
                self.take()?;
                self.scope().map(Expr::Under)
            }
            "covers" => {
                self.take()?;
                self.covered().map(Expr::Covers)
            }
            _ => self.test(word).map(Expr::Test),
        }
    }

    fn within_parentheses(&mut self) -> Parsed<Expr> {
        let open = self.next.start;
        self.deeper()?;
        self.take()?;
        let expr = self.or()?;
        if !self.next.is_sign(")") {
            let place = ParseError::new(self.text, (open, open), "", "", None);
            return Err(self.fail_after_clause(&match place.line {
                1 => format!("`)` for the `(` at column {}", place.column),
                line => format!("`)` for the `(` at line {line}, column {}", place.column),
            }));
        }
        self.take()?;
        self.depth -= 1;
        Ok(expr)
    }

    // --- one comparison

    fn test(&mut self, word: &str) -> Parsed<Test> {
        let Some(field) = Field::from_name(word) else {
            let words = Field::all().map(Field::as_str).chain(["not", "record", "under", "covers", "all"]);
            let meant = if word.contains(['.', '@', '/']) {
                Some(format!("value = {}", Quoted(word)))
            } else {
                nearest(word, words)
            };
            return Err(self.fail(CLAUSE, meant));
        };
        if self.in_record && !field.of_record() {
            return Err(self.fail(
                format!(
                    "a field of one record ({}); `{field}` is about the whole indicator and goes outside `record(…)`",
                    list(Field::all().filter(|f| f.of_record()).map(Field::as_str))
                ),
                None,
            ));
        }
        if field == Field::Names(NamesField::SharedWith) && !self.search {
            return Err(self.fail("a field that rules may use; `shared_with` is for searches only", None));
        }
        self.take()?;
        if let Field::Flag(field) = field {
            return self.flag(field);
        }
        let op = self.operator(field)?;
        let negated = matches!(op, Op::Cmp(CmpOp::Ne) | Op::In { negated: true });
        if op == Op::IsSet {
            return Ok(Test::IsSet(field));
        }
        let many = matches!(op, Op::In { .. });
        match field {
            Field::Kind => {
                let kinds = self.values(many, Parser::kind)?;
                Ok(Test::Kind { kinds: set(kinds), negated })
            }
            Field::Verdict => {
                let verdicts = self.values(many, Parser::verdict)?;
                Ok(Test::Verdict { verdicts: set(verdicts), negated })
            }
            Field::Text(field) => {
                let texts = self.texts(op, field == super::TextField::Value, field.ignores_case())?;
                Ok(Test::Text { field, texts, negated })
            }
            Field::Names(field) => Ok(Test::Names { field, texts: self.texts(op, false, false)?, negated }),
            Field::Number(field) => match op {
                Op::Cmp(op) => Ok(Test::Number { field, op, value: self.number(field)? }),
                _ => {
                    let values = set(self.values(true, |parser| parser.number(field))?);
                    Ok(match values[..] {
                        [value] if negated => Test::Number { field, op: CmpOp::Ne, value },
                        [value] => Test::Number { field, op: CmpOp::Eq, value },
                        _ => Test::NumberIn { field, values, negated },
                    })
                }
            },
            Field::Time(field) => match op {
                Op::Cmp(op) => Ok(Test::Time { field, op, when: self.when()? }),
                _ => Err(self.fail("a time", None)),
            },
            Field::Flag(field) => self.flag(field),
        }
    }

    fn operator(&mut self, field: Field) -> Parsed<Op> {
        let allowed = operators(field);
        let first = self.next.clone();
        let read = match first.what {
            Tok::Sign(sign) => CmpOp::ALL.iter().find(|op| op.as_str() == sign).map(|op| Op::Cmp(*op)),
            Tok::Word(word) => match word.to_ascii_lowercase().as_str() {
                "in" => Some(Op::In { negated: false }),
                "not" => {
                    self.take()?;
                    if !self.next.is_word("in") {
                        let expected = format!("`in` after `{field} not`; other comparisons are negated in front");
                        return Err(self.fail(expected, None));
                    }
                    Some(Op::In { negated: true })
                }
                "contains" => Some(Op::How(How::Contains)),
                "like" => Some(Op::How(How::Like)),
                "matches" => Some(Op::How(How::Matches)),
                start @ ("starts" | "ends") => {
                    self.take()?;
                    if !self.next.is_word("with") {
                        return Err(self.fail(format!("`with` after `{start}`"), Some("with".to_owned())));
                    }
                    Some(Op::How(if start == "starts" { How::StartsWith } else { How::EndsWith }))
                }
                "is" => {
                    self.take()?;
                    if !self.next.is_word("set") {
                        let meant = self.next.is_word("null").then(|| "set".to_owned());
                        let expected = format!("`set` after `is`; its opposite is `not {field} is set`");
                        return Err(self.fail(expected, meant));
                    }
                    Some(Op::IsSet)
                }
                _ => None,
            },
            _ => None,
        };
        match read {
            Some(op) if allowed.contains(&op) => {
                self.take()?;
                Ok(op)
            }
            _ => {
                let words = || allowed.iter().map(|op| op_words(*op));
                let meant = match first.what {
                    Tok::Word(text) | Tok::Sign(text) if read.is_none() => nearest(text, words()),
                    _ => None,
                };
                let expected = format!("{} after `{field}`", list(words()));
                Err(self.fail_at((first.start, self.next.end), expected, meant))
            }
        }
    }

    fn flag(&mut self, field: FlagField) -> Parsed<Test> {
        let negated = self.next.is_sign("!=");
        if negated || self.next.is_sign("=") {
            self.take()?;
            let is = match () {
                () if self.next.is_word("true") => true,
                () if self.next.is_word("false") => false,
                () => {
                    let meant = self.word().and_then(|word| nearest(word, ["true", "false"]));
                    return Err(self.fail("`true` or `false`", meant));
                }
            };
            self.take()?;
            return Ok(Test::Flag { field, is: is != negated });
        }
        let operator = match self.next.what {
            Tok::Sign(sign) => !matches!(sign, ")" | "," | "(" | "&&" | "||" | "&" | "|"),
            Tok::Word(word) => ["in", "is", "contains", "like", "matches", "starts", "ends"]
                .iter()
                .any(|op| op.eq_ignore_ascii_case(word)),
            _ => false,
        };
        if operator {
            let field = field.as_str();
            return Err(self.fail(format!("`= true`, `= false` or nothing after `{field}`"), None));
        }
        Ok(Test::Flag { field, is: true })
    }

    fn texts(&mut self, op: Op, values: bool, ignore_case: bool) -> Parsed<Texts> {
        let Op::How(how) = op else {
            let texts = self.values(matches!(op, Op::In { .. }), Parser::quoted_text)?;
            let texts = texts.into_iter().flat_map(|text| if values { spellings(text) } else { vec![text.into()] });
            return Ok(Texts::any_of(texts.collect()));
        };
        let place = (self.next.start, self.next.end);
        let text = self.quoted_text()?;
        if how == How::Matches {
            self.regexes += 1;
            if self.regexes > REGEXES {
                return Err(self.fail_at(place, format!("at most {REGEXES} regular expressions"), None));
            }
        }
        Pattern::new(how, &text, ignore_case)
            .map(Texts::Like)
            .map_err(|why| self.fail_at(place, format!("a regular expression ({why})"), None))
    }

    // --- values

    /// One value, or a list in parentheses.
    fn values<T>(&mut self, many: bool, mut one: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        if !many {
            if self.next.is_sign("(") {
                return Err(self.fail("one value (several go with `in`)", None));
            }
            return Ok(vec![one(self)?]);
        }
        if !self.next.is_sign("(") {
            let written = self.text[self.next.start..self.next.end].trim();
            let meant = (!written.is_empty() && written.len() <= 64).then(|| format!("({written})"));
            return Err(self.fail("`(` before the values", meant));
        }
        self.take()?;
        let mut values = Vec::new();
        loop {
            values.push(one(self)?);
            if self.next.is_sign(",") {
                self.spend()?;
                self.take()?;
                if !self.next.is_sign(")") {
                    continue;
                }
            }
            if self.next.is_sign(")") {
                self.take()?;
                return Ok(values);
            }
            return Err(self.fail("`,` or `)`", None));
        }
    }

    fn quoted_text(&mut self) -> Parsed<String> {
        if let Tok::Text(text) = &mut self.next.what {
            let text = std::mem::take(text);
            self.take()?;
            return Ok(text);
        }
        let meant = match self.next.what {
            Tok::Word(text) | Tok::Digits(text) => Some(Quoted(text).to_string()),
            _ => None,
        };
        Err(self.fail("a text in quotes", meant))
    }

    /// A name out of a few, bare or in quotes, in any case.
    fn name<T: Copy>(
        &mut self,
        what: &str,
        names: impl Iterator<Item = &'static str> + Clone,
        read: impl Fn(&str) -> Option<T>,
    ) -> Parsed<T> {
        let word = self.word().unwrap_or_default().to_ascii_lowercase();
        if let Some(value) = read(&word) {
            self.take()?;
            return Ok(value);
        }
        let meant = nearest(&word, names.clone());
        Err(self.fail(format!("{what} ({})", list(names)), meant))
    }

    fn kind(&mut self) -> Parsed<IndicatorKind> {
        self.name("a kind", IndicatorKind::ALL.iter().map(|kind| kind.as_str()), IndicatorKind::from_name)
    }

    fn verdict(&mut self) -> Parsed<VerdictKind> {
        const ALL: [VerdictKind; 3] = [VerdictKind::Malicious, VerdictKind::FalsePositive, VerdictKind::Safe];
        self.name("a verdict", ALL.iter().map(|verdict| verdict.as_str()), VerdictKind::parse)
    }

    fn number(&mut self, field: NumberField) -> Parsed<i64> {
        let most = match field {
            NumberField::Severity => {
                let names = Severity::ALL.iter().map(|s| s.as_str());
                return self.name("a severity", names, Severity::parse).map(|s| s as i64);
            }
            NumberField::Tlp => {
                let names = Tlp::ALL.iter().map(|t| t.as_str());
                return self.name("a TLP marking", names, Tlp::parse).map(|t| t as i64);
            }
            NumberField::Age => return self.duration("such as `age > 14d`").map(|d| d.as_micros() as i64),
            NumberField::Reputation => 10,
            NumberField::Confidence => 100,
            NumberField::NSources | NumberField::InternalHits | NumberField::ExternalHits => i64::from(u32::MAX),
        };
        let value = match &self.next.what {
            Tok::Digits(digits) => digits.parse().ok().filter(|value| (0..=most).contains(value)),
            _ => None,
        };
        let Some(value) = value else {
            return Err(self.fail(format!("a whole number from 0 to {most}"), None));
        };
        self.take()?;
        Ok(value)
    }

    fn duration(&mut self, example: &str) -> Parsed<Duration> {
        let read = match &self.next.what {
            Tok::Digits(text) => read_duration(text),
            _ => None,
        };
        let Some(duration) = read else {
            let meant = match &self.next.what {
                Tok::Digits(text) if text.len() < 6 && text.bytes().all(|b| b.is_ascii_digit()) => {
                    Some(format!("{text}d"))
                }
                _ => None,
            };
            let expected = format!("a duration in w, d, h, m or s of at most 100 years, {example}");
            return Err(self.fail(expected, meant));
        };
        self.take()?;
        Ok(duration)
    }

    fn when(&mut self) -> Parsed<When> {
        if self.next.is_word("now") {
            self.take()?;
            let (minus, plus) = (self.next.is_sign("-"), self.next.is_sign("+"));
            if !minus && !plus {
                return Ok(When::Ago(Duration::ZERO));
            }
            self.take()?;
            let duration = self.duration("such as `now - 14d`")?;
            return Ok(if minus || duration.is_zero() { When::Ago(duration) } else { When::Ahead(duration) });
        }
        let time = match &self.next.what {
            Tok::Digits(text) => Timestamp::parse(text),
            Tok::Text(text) => Timestamp::parse(text),
            _ => None,
        };
        // A year of five digits or before 0 has no RFC 3339 form and would not read back.
        let time = time.filter(|time| Timestamp::parse(&time.to_string()) == Some(*time));
        let Some(time) = time else {
            let meant = match &self.next.what {
                Tok::Digits(text) if read_duration(text).is_some() => Some(format!("now - {text}")),
                Tok::Word(word) => nearest(word, ["now"]),
                _ => None,
            };
            return Err(self.fail("a time: RFC 3339 (`2026-01-31T10:00:00Z`), a date, or `now - 14d`", meant));
        };
        self.take()?;
        Ok(When::At(time))
    }

    fn scope(&mut self) -> Parsed<Scope> {
        let place = (self.next.start, self.next.end);
        let text = self.quoted_text()?;
        let key = place_key(&text);
        if let Some(scope) = key.as_ref().ok().cloned().and_then(Scope::new) {
            return Ok(scope);
        }
        if let Some(suffix) = suffix(&text) {
            return Ok(suffix);
        }
        let meant = key.as_ref().ok().and_then(|key| match Place::of(key.kind(), key.value()) {
            Place::Name(name) => Some(Quoted(name).to_string()),
            _ => None,
        });
        let why = key.err().map(|reason| format!(" ({})", reason.sentence())).unwrap_or_default();
        Err(self.fail_at(place, format!("a domain, an address or a network after `under`{why}"), meant))
    }

    fn covered(&mut self) -> Parsed<IndicatorKey> {
        use IndicatorKind::*;
        let place = (self.next.start, self.next.end);
        let text = self.quoted_text()?;
        match place_key(&text) {
            Ok(key) if matches!(key.kind(), Ipv4 | Ipv6 | Ipv4Net | Ipv6Net | Domain | Url | Email) => Ok(key),
            key => {
                let why = key.err().map(|reason| format!(" ({})", reason.sentence())).unwrap_or_default();
                let expected = format!("an address, network, domain, URL or email after `covers`{why}");
                Err(self.fail_at(place, expected, None))
            }
        }
    }

    // --- the words

    fn take(&mut self) -> Parsed<()> {
        self.next = self.lexer.next()?;
        Ok(())
    }

    /// The next word, bare or in quotes.
    fn word(&self) -> Option<&str> {
        match &self.next.what {
            Tok::Word(word) | Tok::Digits(word) => Some(word),
            Tok::Text(text) => Some(text),
            _ => None,
        }
    }

    fn spend(&mut self) -> Parsed<()> {
        self.nodes += 1;
        if self.nodes > NODES { Err(self.fail(format!("at most {NODES} clauses and values"), None)) } else { Ok(()) }
    }

    fn deeper(&mut self) -> Parsed<()> {
        self.depth += 1;
        let expected = || format!("at most {DEPTH} levels of parentheses, `not` and `record`");
        if self.depth > DEPTH { Err(self.fail(expected(), None)) } else { Ok(()) }
    }

    fn fail(&self, expected: impl Into<String>, meant: Option<String>) -> ParseError {
        self.fail_at((self.next.start, self.next.end), expected, meant)
    }

    fn fail_at(&self, place: (usize, usize), expected: impl Into<String>, meant: Option<String>) -> ParseError {
        let found = match self.text.get(place.0..place.1) {
            None | Some("") => "the end".to_owned(),
            Some(text) => quoted(text),
        };
        ParseError::new(self.text, place, expected, found, meant)
    }

    /// Where a clause is complete and something else follows.
    fn fail_after_clause(&self, or_else: &str) -> ParseError {
        let meant = match self.next.what {
            Tok::Word(word) if Field::from_name(word).is_some() => Some(format!("and {word}")),
            Tok::Word(word) | Tok::Sign(word) => nearest(word, ["and", "or"]),
            _ => None,
        };
        self.fail(format!("`and`, `or` or {or_else}"), meant)
    }
}

const CLAUSE: &str = "a field, `not`, `(`, `record(`, `under`, `covers` or `all`";

fn operators(field: Field) -> &'static [Op] {
    const SAME: [Op; 4] = [Op::Cmp(CmpOp::Eq), Op::Cmp(CmpOp::Ne), Op::In { negated: false }, Op::In { negated: true }];
    const ORDER: [Op; 4] = [Op::Cmp(CmpOp::Lt), Op::Cmp(CmpOp::Le), Op::Cmp(CmpOp::Gt), Op::Cmp(CmpOp::Ge)];
    match field {
        Field::Kind | Field::Verdict => &[SAME[0], SAME[1], SAME[2], SAME[3], Op::IsSet],
        Field::Text(_) | Field::Names(_) => &[
            SAME[0],
            SAME[1],
            SAME[2],
            SAME[3],
            Op::How(How::Contains),
            Op::How(How::StartsWith),
            Op::How(How::EndsWith),
            Op::How(How::Like),
            Op::How(How::Matches),
            Op::IsSet,
        ],
        Field::Number(_) => &[SAME[0], SAME[1], ORDER[0], ORDER[1], ORDER[2], ORDER[3], SAME[2], SAME[3], Op::IsSet],
        Field::Time(_) => &[SAME[0], SAME[1], ORDER[0], ORDER[1], ORDER[2], ORDER[3], Op::IsSet],
        Field::Flag(_) => &[SAME[0], SAME[1]],
    }
}

fn op_words(op: Op) -> &'static str {
    match op {
        Op::Cmp(op) => op.as_str(),
        Op::In { negated: false } => "in",
        Op::In { negated: true } => "not in",
        Op::How(how) => how.as_str(),
        Op::IsSet => "is set",
    }
}

/// `a, b or c`.
fn list(words: impl Iterator<Item = &'static str>) -> String {
    let words: Vec<&str> = words.collect();
    match words.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

fn set<T: Ord>(mut values: Vec<T>) -> Vec<T> {
    values.sort_unstable();
    values.dedup();
    values
}

/// `14d`, or several units as in `1d12h`. None past a hundred years.
fn read_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut secs: u64 = 0;
    while !rest.is_empty() {
        let unit = rest.find(|c: char| !c.is_ascii_digit())?;
        let size = match rest[unit..].chars().next()?.to_ascii_lowercase() {
            'w' => 7 * 86_400,
            'd' => 86_400,
            'h' => 3_600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        secs = secs.checked_add(rest[..unit].parse::<u64>().ok()?.checked_mul(size)?)?;
        rest = &rest[unit + 1..];
    }
    (!text.is_empty() && secs <= LONGEST_SECS).then_some(Duration::from_secs(secs))
}

/// The canonical value a literal means. A name whose suffix is no public one may be a name or a file; where that makes
/// a difference, both spellings are meant. What is no key is taken as it is.
fn spellings(text: String) -> Vec<Box<str>> {
    match IndicatorKey::parse(None, &text) {
        Ok(key) => vec![key.value().into()],
        Err(rejection) if rejection.reason == Reason::UnknownSuffix => {
            match IndicatorKey::parse(Some(IndicatorKind::Domain), &text) {
                Ok(key) if key.value().eq_ignore_ascii_case(&text) => vec![key.value().into(), text.into()],
                Ok(key) => vec![key.value().into()],
                Err(_) => vec![text.into()],
            }
        }
        Err(_) => vec![text.into()],
    }
}

/// The key of a place: what reads as no other kind may still be a name with a private suffix.
fn place_key(text: &str) -> Result<IndicatorKey, Reason> {
    IndicatorKey::parse(None, text)
        .or_else(|first| IndicatorKey::parse(Some(IndicatorKind::Domain), text).map_err(|_| first))
        .map_err(|rejection| rejection.reason)
}

/// A public suffix, which is no indicator (it would match far too much) but a fair question: what do we know under
/// `ru`?
fn suffix(text: &str) -> Option<Scope> {
    let name = text.trim().trim_start_matches('.').trim_end_matches('.').to_ascii_lowercase();
    crate::key::is_icann_suffix(&name)
        .then(|| IndicatorKey::from_stored(IndicatorKind::Domain, name))
        .and_then(Scope::new)
}
