//! Why an indicator meets an expression, or why not: the tree again, each clause with its answer and what was found.

use super::ast::{Expr, Field, NumberField, Test};
use super::eval::{Of, Subject};
use super::print::{Number, Quoted};
use std::fmt;
use std::time::Duration;

/// Most records shown below a `record(...)`, and names shown of one field.
const SHOWN: usize = 8;
/// Longest clause shown on one line, in characters.
const CLAUSE_CHARS: usize = 200;

/// One clause and its answer. `Display` writes indented lines, with `*` before those that decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The clause as text; cut where it is long.
    pub clause: String,
    /// Its answer.
    pub holds: bool,
    /// Whether the answer of the whole follows from this one: of an `and` that fails the parts that fail, of an `or`
    /// that holds the parts that hold, otherwise all parts of what decides.
    pub decides: bool,
    /// What the indicator has there; empty where the clause only joins others.
    pub found: String,
    /// The clauses inside.
    pub parts: Vec<Explanation>,
}

impl Explanation {
    /// The innermost clauses from which the answer follows, in the order of the text.
    pub fn deciding(&self) -> Vec<&Explanation> {
        if !self.decides {
            return Vec::new();
        }
        if self.parts.is_empty() { vec![self] } else { self.parts.iter().flat_map(Explanation::deciding).collect() }
    }

    fn lines(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        let mark = if self.decides { '*' } else { ' ' };
        let answer = if self.holds { "yes" } else { "no " };
        write!(f, "{mark} {answer} {}{}", "  ".repeat(depth), self.clause)?;
        if !self.found.is_empty() {
            write!(f, "   [{}]", self.found)?;
        }
        for part in &self.parts {
            f.write_str("\n")?;
            part.lines(f, depth + 1)?;
        }
        Ok(())
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines(f, 0)
    }
}

impl Expr {
    /// Why the indicator meets it or not; `holds` is what [`Expr::eval`] says.
    pub fn explain(&self, subject: &Subject<'_>) -> Explanation {
        explain(self, Of::Whole(subject), true)
    }
}

fn explain(expr: &Expr, of: Of<'_>, decides: bool) -> Explanation {
    let holds = of.holds(expr);
    // Where one answer suffices (a failing part of an `and`, a holding part of an `or`), only those that give it decide.
    let joined = |parts: &[Expr], suffices: bool| {
        parts
            .iter()
            .map(|part| explain(part, of, decides && (holds != suffices || of.holds(part) == suffices)))
            .collect()
    };
    let (found, parts) = match expr {
        Expr::All => (String::new(), Vec::new()),
        Expr::And(parts) => (String::new(), joined(parts, false)),
        Expr::Or(parts) => (String::new(), joined(parts, true)),
        Expr::Not(part) => (String::new(), vec![explain(part, of, decides)]),
        Expr::Test(test) => (found(test, of), Vec::new()),
        Expr::Record(part) => records(part, of, holds, decides),
        Expr::Under(_) | Expr::Covers(_) => match of {
            Of::Whole(s) => (format!("{} {}", s.key.kind(), short(s.key.value())), Vec::new()),
            Of::Record(..) => (String::new(), Vec::new()),
        },
    };
    Explanation { clause: short(&expr.to_string()), holds, decides, found, parts }
}

/// Each active record's own answer: of one that holds those that do, of one that fails all of them decide.
fn records(part: &Expr, of: Of<'_>, holds: bool, decides: bool) -> (String, Vec<Explanation>) {
    let Of::Whole(subject) = of else { return (String::new(), vec![explain(part, of, decides)]) };
    let active = || subject.records.iter().filter(|record| record.active);
    let mut parts = Vec::new();
    let mut met = 0;
    for record in active() {
        let of = Of::Record(record, subject.now);
        let this = of.holds(part);
        met += usize::from(this);
        if parts.len() < SHOWN && (this || !holds) {
            let mut explained = explain(part, of, decides);
            explained.clause = short(&format!("{}: {}", record.source, explained.clause));
            parts.push(explained);
        }
    }
    (format!("{met} of {} active records", active().count()), parts)
}

/// What the indicator has in the field that a test asks for.
fn found(test: &Test, of: Of<'_>) -> String {
    let nothing = || "none".to_owned();
    match test.field() {
        Field::Kind => match of {
            Of::Whole(s) => s.key.kind().to_string(),
            Of::Record(..) => nothing(),
        },
        Field::Verdict => match of {
            Of::Whole(s) => s.summary.verdict.map_or_else(nothing, |verdict| verdict.as_str().to_owned()),
            Of::Record(..) => nothing(),
        },
        Field::Text(field) => of.text(field).map_or_else(nothing, |text| short(&Quoted(text).to_string())),
        Field::Names(field) => of.with_names(field, |names| {
            let mut out = Vec::new();
            let mut more = 0;
            for name in names {
                if out.len() < SHOWN {
                    out.push(short(&Quoted(name).to_string()));
                } else {
                    more += 1;
                }
            }
            match (out.is_empty(), more) {
                (true, _) => nothing(),
                (_, 0) => out.join(", "),
                (_, more) => format!("{} and {more} more", out.join(", ")),
            }
        }),
        Field::Number(NumberField::Age) => match of.number(NumberField::Age) {
            // To the second: nobody asks for the age in microseconds.
            Some(age) => {
                let whole = Duration::from_secs(Duration::from_micros(age.unsigned_abs()).as_secs());
                let sign = if age < 0 { "-" } else { "" };
                format!("{sign}{}", Number(NumberField::Age, i64::try_from(whole.as_micros()).unwrap_or(i64::MAX)))
            }
            None => nothing(),
        },
        Field::Number(field) => of.number(field).map_or_else(nothing, |value| Number(field, value).to_string()),
        Field::Time(field) => of.time(field).map_or_else(nothing, |time| time.to_string()),
        Field::Flag(field) => of.flag(field).map_or_else(nothing, |flag| flag.to_string()),
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(CLAUSE_CHARS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
