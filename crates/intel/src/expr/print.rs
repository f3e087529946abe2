//! Writes a tree as the text that reads back as the same tree.
//!
//! Parentheses are written only where the tree needs them: an expression at the limit of depth stays readable.

use super::ast::{CmpOp, Expr, Field, NumberField, Test, When};
use super::pattern::Texts;
use crate::level::{Severity, Tlp};
use std::fmt::{self, Display, Formatter, Write};
use std::time::Duration;

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Expr::All => f.write_str("all"),
            Expr::And(parts) => joined(f, parts, " and ", |part| matches!(part, Expr::And(_) | Expr::Or(_))),
            Expr::Or(parts) => joined(f, parts, " or ", |part| matches!(part, Expr::Or(_))),
            Expr::Not(part) if matches!(**part, Expr::And(_) | Expr::Or(_)) => write!(f, "not ({part})"),
            Expr::Not(part) => write!(f, "not {part}"),
            Expr::Test(test) => test.fmt(f),
            Expr::Record(part) => write!(f, "record({part})"),
            Expr::Under(scope) => write!(f, "under {}", Quoted(scope.key().value())),
            Expr::Covers(key) => write!(f, "covers {}", Quoted(key.value())),
        }
    }
}

fn joined(f: &mut Formatter<'_>, parts: &[Expr], word: &str, wrap: impl Fn(&Expr) -> bool) -> fmt::Result {
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            f.write_str(word)?;
        }
        if wrap(part) { write!(f, "({part})")? } else { part.fmt(f)? }
    }
    Ok(())
}

impl Display for Test {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.field().as_str())?;
        match self {
            Test::Kind { kinds, negated } => set(f, *negated, kinds, |kind, f| kind.fmt(f)),
            Test::Text { texts, negated, .. } | Test::Names { texts, negated, .. } => match texts {
                Texts::AnyOf(texts) => set(f, *negated, texts, |text, f| Quoted(text).fmt(f)),
                Texts::Like(pattern) => write!(f, " {} {}", pattern.how().as_str(), Quoted(pattern.text())),
            },
            Test::Number { field, op, value } => {
                write!(f, " {} ", op.as_str())?;
                number(f, *field, *value)
            }
            Test::NumberIn { field, values, negated } => set(f, *negated, values, |value, f| number(f, *field, *value)),
            Test::Time { op, when, .. } => write!(f, " {} {when}", op.as_str()),
            Test::Flag { is: true, .. } => Ok(()),
            Test::Flag { is: false, .. } => f.write_str(" = false"),
            Test::Verdict { verdicts, negated } => {
                set(f, *negated, verdicts, |verdict, f| f.write_str(verdict.as_str()))
            }
            Test::IsSet(_) => f.write_str(" is set"),
        }
    }
}

fn set<T>(
    f: &mut Formatter<'_>,
    negated: bool,
    items: &[T],
    write: impl Fn(&T, &mut Formatter<'_>) -> fmt::Result,
) -> fmt::Result {
    if let [item] = items {
        write!(f, " {} ", if negated { CmpOp::Ne } else { CmpOp::Eq }.as_str())?;
        return write(item, f);
    }
    f.write_str(if negated { " not in (" } else { " in (" })?;
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            f.write_str(", ")?;
        }
        write(item, f)?;
    }
    f.write_char(')')
}

fn number(f: &mut Formatter<'_>, field: NumberField, value: i64) -> fmt::Result {
    let at = usize::try_from(value).unwrap_or(usize::MAX);
    match field {
        NumberField::Severity if at < Severity::ALL.len() => Severity::ALL[at].fmt(f),
        NumberField::Tlp if at < Tlp::ALL.len() => Tlp::ALL[at].fmt(f),
        NumberField::Age => Span(Duration::from_micros(u64::try_from(value).unwrap_or(0))).fmt(f),
        _ => value.fmt(f),
    }
}

/// The value of a number field as the language writes it: a name for severity and tlp, a duration for age.
pub(super) struct Number(pub(super) NumberField, pub(super) i64);

impl Display for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        number(f, self.0, self.1)
    }
}

impl Display for When {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            When::At(time) => time.fmt(f),
            When::Ago(Duration::ZERO) => f.write_str("now"),
            When::Ago(duration) => write!(f, "now - {}", Span(*duration)),
            When::Ahead(duration) => write!(f, "now + {}", Span(*duration)),
        }
    }
}

impl Display for Field {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A duration in the largest unit up to days that divides it; parts of a second are not written.
struct Span(Duration);

impl Display for Span {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let secs = self.0.as_secs();
        let (size, unit) = [(86_400, 'd'), (3_600, 'h'), (60, 'm')]
            .into_iter()
            .find(|(size, _)| secs > 0 && secs.is_multiple_of(*size))
            .unwrap_or((1, 's'));
        write!(f, "{}{unit}", secs / size)
    }
}

/// A text as the language writes it: in double quotes, with escapes.
pub fn quoted_text(text: &str) -> String {
    Quoted(text).to_string()
}

/// A text in double quotes.
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                c if c.is_control() => write!(f, "\\u{{{:x}}}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}
