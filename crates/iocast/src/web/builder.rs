//! The rule builder: an expression as nested groups of conditions that a page edits, and back.
//!
//! The page has the tree as JSON in a hidden field. Each condition is read by the parser of the language, alone, and
//! must come out as one comparison; groups are then put together as a tree, never as text. So a value can say nothing
//! but itself, and there is one set of rules about what may be compared with what.

use intel::expr::{CmpOp, Expr, Field, FlagField, NamesField, NumberField, Test, TextField, Texts, quoted_text};
use intel::{IndicatorKind, Severity, Tlp, VerdictKind};
use serde::{Deserialize, Serialize};

/// A group of conditions, or one condition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Node {
    /// Conditions of which all or any must hold.
    Group(Group),
    /// One condition.
    Clause(Clause),
}

/// Conditions of which all or any must hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Group {
    /// All of them or any.
    pub(crate) join: Join,
    /// The opposite of it.
    #[serde(default)]
    pub(crate) not: bool,
    /// One record alone meets it.
    #[serde(default)]
    pub(crate) record: bool,
    /// What it joins.
    pub(crate) of: Vec<Node>,
}

/// How conditions are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Join {
    /// All must hold.
    And,
    /// One must hold.
    Or,
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Clause {
    /// A field of the language, or `all`, `under`, `covers`.
    pub(crate) field: String,
    /// How it is compared; empty for `all`, `under` and `covers`.
    #[serde(default)]
    pub(crate) op: String,
    /// With what.
    #[serde(default)]
    pub(crate) values: Vec<String>,
    /// The opposite of it.
    #[serde(default)]
    pub(crate) not: bool,
}

/// What is wrong with a tree, and where: the places of the groups from the root, `0.2`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct TreeError {
    /// Where; empty: the whole.
    pub(crate) at: String,
    /// What is wrong.
    pub(crate) problem: String,
}

/// Deepest nesting read; the language allows less.
const DEEPEST: usize = 64;

impl Node {
    /// The tree that a page edits: always a group, so that there is something to add to.
    pub(crate) fn of(expr: &Expr) -> Node {
        match node(expr) {
            Node::Clause(clause) => {
                Node::Group(Group { join: Join::And, not: false, record: false, of: vec![Node::Clause(clause)] })
            }
            group => group,
        }
    }

    /// Reads a tree as a page sends it.
    ///
    /// # Errors
    /// JSON that is no tree.
    pub(crate) fn parse(json: &str) -> Result<Node, TreeError> {
        serde_json::from_str(json).map_err(|error| whole(format!("the conditions cannot be read: {error}")))
    }

    /// The expression, as a rule or as a search.
    ///
    /// # Errors
    /// Each condition that says nothing, or what the language forbids.
    pub(crate) fn expr(&self, is_rule: bool) -> Result<Expr, Vec<TreeError>> {
        let mut errors = Vec::new();
        let expr = read(self, is_rule, &mut Vec::new(), &mut errors);
        let Some(expr) = expr.filter(|_| errors.is_empty()) else { return Err(errors) };
        // Whatever is true of the whole alone: its size, and what may stand inside `record`.
        let text = expr.to_string();
        match if is_rule { Expr::parse_rule(&text) } else { Expr::parse(&text) } {
            Ok(expr) => Ok(expr),
            Err(error) => Err(vec![whole(said(&error))]),
        }
    }
}

fn whole(problem: String) -> TreeError {
    TreeError { at: String::new(), problem }
}

fn said(error: &intel::expr::ParseError) -> String {
    let meant = error.suggestion.as_ref().map_or_else(String::new, |meant| format!("; did you mean {meant}?"));
    format!("expected {}, found {}{meant}", error.expected, error.found)
}

fn node(expr: &Expr) -> Node {
    let group = |join, of: &[Expr]| Group { join, not: false, record: false, of: of.iter().map(node).collect() };
    let alone = |of| Group { join: Join::And, not: false, record: false, of: vec![of] };
    match expr {
        Expr::And(parts) => Node::Group(group(Join::And, parts)),
        Expr::Or(parts) => Node::Group(group(Join::Or, parts)),
        Expr::Not(part) => match node(part) {
            Node::Clause(clause) if !clause.not => Node::Clause(Clause { not: true, ..clause }),
            Node::Group(group) if !group.not => Node::Group(Group { not: true, ..group }),
            twice => Node::Group(Group { not: true, ..alone(twice) }),
        },
        Expr::Record(part) => match node(part) {
            Node::Group(group) if !group.not && !group.record => Node::Group(Group { record: true, ..group }),
            other => Node::Group(Group { record: true, ..alone(other) }),
        },
        Expr::All => Node::Clause(plain("all", "", Vec::new())),
        Expr::Under(scope) => Node::Clause(plain("under", "", vec![scope.key().value().to_owned()])),
        Expr::Covers(key) => Node::Clause(plain("covers", "", vec![key.value().to_owned()])),
        Expr::Test(test) => Node::Clause(clause(test)),
    }
}

fn plain(field: &str, op: &str, values: Vec<String>) -> Clause {
    Clause { field: field.to_owned(), op: op.to_owned(), values, not: false }
}

fn clause(test: &Test) -> Clause {
    let field = test.field().as_str();
    let set = |negated: &bool| if *negated { "not in" } else { "in" };
    // The language itself writes one value: what follows the field and its operator.
    let number = |field: NumberField, value: i64| {
        let text = Test::Number { field, op: CmpOp::Eq, value }.to_string();
        text.split_once(" = ").map_or_else(String::new, |(_, value)| value.to_owned())
    };
    match test {
        Test::Kind { kinds, negated } => {
            plain(field, set(negated), kinds.iter().map(|kind| kind.as_str().to_owned()).collect())
        }
        Test::Text { texts, negated, .. } | Test::Names { texts, negated, .. } => match texts {
            Texts::AnyOf(texts) => plain(field, set(negated), texts.iter().map(|text| text.to_string()).collect()),
            Texts::Like(pattern) => plain(field, pattern.how().as_str(), vec![pattern.text().to_owned()]),
        },
        Test::Number { field: of, op, value } => plain(field, op.as_str(), vec![number(*of, *value)]),
        Test::NumberIn { field: of, values, negated } => {
            plain(field, set(negated), values.iter().map(|value| number(*of, *value)).collect())
        }
        Test::Time { op, when, .. } => plain(field, op.as_str(), vec![when.to_string()]),
        Test::Flag { is, .. } => plain(field, "=", vec![is.to_string()]),
        Test::Verdict { verdicts, negated } => {
            plain(field, set(negated), verdicts.iter().map(|verdict| verdict.as_str().to_owned()).collect())
        }
        Test::IsSet(_) => plain(field, "is set", Vec::new()),
    }
}

fn read(node: &Node, is_rule: bool, place: &mut Vec<usize>, errors: &mut Vec<TreeError>) -> Option<Expr> {
    let at = |place: &[usize]| place.iter().map(usize::to_string).collect::<Vec<_>>().join(".");
    if place.len() > DEEPEST {
        errors.push(TreeError { at: at(place), problem: "is nested too deeply".to_owned() });
        return None;
    }
    let group = match node {
        Node::Clause(clause) => {
            return match clause.read(is_rule) {
                Ok(expr) => Some(expr),
                Err(problem) => {
                    errors.push(TreeError { at: at(place), problem });
                    None
                }
            };
        }
        Node::Group(group) => group,
    };
    if group.of.is_empty() {
        let problem = "is empty: add a condition; \"everything\" is one too".to_owned();
        errors.push(TreeError { at: at(place), problem });
        return None;
    }
    let mut parts = Vec::with_capacity(group.of.len());
    for (number, part) in group.of.iter().enumerate() {
        place.push(number);
        parts.extend(read(part, is_rule, place, errors));
        place.pop();
    }
    let mut expr = match (parts.len(), group.join) {
        (0, _) => return None,
        (1, _) => parts.remove(0),
        (_, Join::And) => Expr::And(parts),
        (_, Join::Or) => Expr::Or(parts),
    };
    if group.record {
        expr = Expr::Record(Box::new(expr));
    }
    Some(if group.not { Expr::Not(Box::new(expr)) } else { expr })
}

impl Clause {
    /// The comparison it means; the problem where it means none or more than one.
    fn read(&self, is_rule: bool) -> Result<Expr, String> {
        let text = self.text()?;
        let parsed = if is_rule { Expr::parse_rule(&text) } else { Expr::parse(&text) };
        let expr = parsed.map_err(|error| said(&error))?;
        let is_one = match &expr {
            Expr::All => self.field == "all",
            Expr::Under(_) => self.field == "under",
            Expr::Covers(_) => self.field == "covers",
            Expr::Test(test) => test.field().as_str() == self.field,
            _ => false,
        };
        if !is_one {
            return Err("is more than one comparison: add a condition for each".to_owned());
        }
        Ok(if self.not { Expr::Not(Box::new(expr)) } else { expr })
    }

    fn text(&self) -> Result<String, String> {
        let values: Vec<&str> = self.values.iter().map(String::as_str).filter(|value| !value.is_empty()).collect();
        let one = || match values.as_slice() {
            [one] => Ok(*one),
            [] => Err("needs a value".to_owned()),
            _ => Err("takes one value".to_owned()),
        };
        match self.field.as_str() {
            "all" => return Ok("all".to_owned()),
            "under" | "covers" => return Ok(format!("{} {}", self.field, quoted_text(one()?.trim()))),
            _ => {}
        }
        let Some(field) = Field::from_name(&self.field) else {
            return Err(if self.field.is_empty() {
                "choose what is compared".to_owned()
            } else {
                format!("\"{}\" is no field", self.field)
            });
        };
        let is_text = matches!(field, Field::Text(_) | Field::Names(_));
        let written = |value: &str| if is_text { quoted_text(value) } else { value.trim().to_owned() };
        match self.op.as_str() {
            "is set" => Ok(format!("{field} is set")),
            op @ ("in" | "not in") if values.is_empty() => {
                let _ = op;
                Err("needs a value".to_owned())
            }
            op @ ("in" | "not in") => {
                let values: Vec<String> = values.iter().map(|value| written(value)).collect();
                Ok(format!("{field} {op} ({})", values.join(", ")))
            }
            "" => Err("choose how it is compared".to_owned()),
            // An empty text is a text.
            op if is_text && self.values.len() == 1 => Ok(format!("{field} {op} {}", quoted_text(&self.values[0]))),
            op => Ok(format!("{field} {op} {}", written(one()?))),
        }
    }
}

/// A field as the page offers it.
#[derive(Debug, Serialize)]
pub(crate) struct FieldOffer {
    /// Its word in the language.
    name: &'static str,
    /// Its name for people.
    label: &'static str,
    /// What it is, in a sentence.
    help: &'static str,
    /// `choice`, `text`, `number`, `time`, `length`, `flag`, `none`.
    input: &'static str,
    /// How it can be compared, and how that is said.
    ops: Vec<(&'static str, &'static str)>,
    /// The values offered.
    choices: Vec<String>,
    /// Whether one record has it.
    of_record: bool,
}

const SET: [(&str, &str); 2] = [("in", "is any of"), ("not in", "is none of")];
const SHAPES: [(&str, &str); 5] = [
    ("contains", "contains"),
    ("starts with", "starts with"),
    ("ends with", "ends with"),
    ("like", "is like (* and ?)"),
    ("matches", "matches (regular expression)"),
];
const ORDER: [(&str, &str); 6] = [
    (">=", "is at least"),
    ("<=", "is at most"),
    (">", "is more than"),
    ("<", "is less than"),
    ("=", "is exactly"),
    ("!=", "is not"),
];
const TIMES: [(&str, &str); 4] =
    [(">", "is after"), ("<", "is before"), (">=", "is not before"), ("<=", "is not after")];
const VERDICTS: [VerdictKind; 3] = [VerdictKind::Malicious, VerdictKind::FalsePositive, VerdictKind::Safe];
const IS_SET: (&str, &str) = ("is set", "is stated");

/// Every field that can be compared. `sources` and `tags` are offered as values; `targets` too where a search is built.
pub(crate) fn offers(sources: &[String], tags: &[String], targets: Option<&[String]>) -> Vec<FieldOffer> {
    let mut offers = vec![
        FieldOffer {
            name: "all",
            label: "Everything",
            help: "All that is known.",
            input: "none",
            ops: Vec::new(),
            choices: Vec::new(),
            of_record: true,
        },
        FieldOffer {
            name: "under",
            label: "Is or lies under",
            help: "A domain with its subdomains and URLs, or a network with its addresses.",
            input: "text",
            ops: Vec::new(),
            choices: Vec::new(),
            of_record: false,
        },
        FieldOffer {
            name: "covers",
            label: "Is or covers",
            help: "The value itself, and the domains and networks it lies in.",
            input: "text",
            ops: Vec::new(),
            choices: Vec::new(),
            of_record: false,
        },
    ];
    for field in Field::all() {
        if field == Field::Names(NamesField::SharedWith) && targets.is_none() {
            continue;
        }
        let words = |all: &[&str]| all.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let (input, ops, choices): (_, Vec<_>, Vec<String>) = match field {
            Field::Kind => {
                let kinds: Vec<&str> = IndicatorKind::ALL.iter().map(|kind| kind.as_str()).collect();
                ("choice", SET.to_vec(), words(&kinds))
            }
            Field::Verdict => ("choice", [&SET[..], &[IS_SET]].concat(), words(&VERDICTS.map(VerdictKind::as_str))),
            Field::Text(_) => ("text", [&SHAPES[..], &SET, &[IS_SET]].concat(), Vec::new()),
            Field::Names(names) => {
                let choices = match names {
                    NamesField::Tag => tags.to_vec(),
                    NamesField::Source => sources.to_vec(),
                    NamesField::SharedWith => targets.unwrap_or_default().to_vec(),
                };
                ("text", [&SET[..], &SHAPES, &[IS_SET]].concat(), choices)
            }
            Field::Number(number) => {
                let choices = match number {
                    NumberField::Severity => words(&Severity::ALL.iter().map(|s| s.as_str()).collect::<Vec<_>>()),
                    NumberField::Tlp => words(&Tlp::ALL.iter().map(|t| t.as_str()).collect::<Vec<_>>()),
                    _ => Vec::new(),
                };
                let input = match number {
                    NumberField::Age => "length",
                    _ if choices.is_empty() => "number",
                    _ => "choice",
                };
                (input, [&ORDER[..], &SET, &[IS_SET]].concat(), choices)
            }
            Field::Time(_) => ("time", [&TIMES[..], &[IS_SET]].concat(), Vec::new()),
            Field::Flag(_) => ("flag", vec![("=", "is")], words(&["true", "false"])),
        };
        let (label, help) = words_of(field);
        offers.push(FieldOffer {
            name: field.as_str(),
            label,
            help,
            input,
            ops,
            choices,
            of_record: field.of_record(),
        });
    }
    offers
}

fn words_of(field: Field) -> (&'static str, &'static str) {
    use intel::expr::TimeField;
    match field {
        Field::Kind => ("Kind", "What sort of thing it is."),
        Field::Verdict => ("Verdict", "What an analyst decided."),
        Field::Text(TextField::Value) => ("Value", "The canonical value."),
        Field::Text(TextField::Comment) => ("Comment", "What the leading source says about it."),
        Field::Names(NamesField::Tag) => ("Tag", "Its tags, of sources and analysts."),
        Field::Names(NamesField::Source) => ("Source", "The connections that stand by it."),
        Field::Names(NamesField::SharedWith) => ("Shared with", "The targets that hold it."),
        Field::Number(NumberField::Reputation) => ("Reputation", "1 to 10; 10 is the worst."),
        Field::Number(NumberField::Severity) => ("Severity", "As the leading source says."),
        Field::Number(NumberField::Confidence) => ("Confidence", "0 to 100."),
        Field::Number(NumberField::Tlp) => ("TLP", "How far it may be passed on."),
        Field::Number(NumberField::NSources) => ("Number of sources", "How many connections stand by it."),
        Field::Number(NumberField::InternalHits) => ("Own sightings", "How often it was seen in your own systems."),
        Field::Number(NumberField::ExternalHits) => ("Others' sightings", "How often others saw it."),
        Field::Number(NumberField::Age) => ("Age", "Since it was first seen, such as 30d."),
        Field::Time(TimeField::FirstSeen) => ("First seen", "A date, or now - 30d."),
        Field::Time(TimeField::LastSeen) => ("Last seen", "A date, or now - 30d."),
        Field::Time(TimeField::ExpiresAt) => ("Expires", "A date, or now + 7d."),
        Field::Flag(FlagField::Active) => ("Active", "Whether it counts."),
        Field::Flag(FlagField::Retracted) => ("Retracted", "Whether its sources took it back."),
        Field::Flag(FlagField::Muted) => ("Muted", "Whether an analyst muted it."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> (Expr, Node) {
        let expr = Expr::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let json = serde_json::to_string(&Node::of(&expr)).unwrap();
        (expr, Node::parse(&json).unwrap())
    }

    #[test]
    fn an_expression_comes_back_from_the_page_as_it_went() {
        for text in [
            "all",
            "kind = url",
            "not kind = url",
            "not not kind = url",
            "kind in (url, domain) and reputation >= 7 and not tag = \"benign\"",
            "kind != url or (severity > high and (confidence in (1, 2, 3) or confidence not in (4, 5)))",
            "(kind = url and active) and muted = false",
            "not (kind = url or not (source = \"a\" and not source != \"b\"))",
            "record(source = \"a\" and reputation >= 3)",
            "record(source = \"a\")",
            "not record(not (source = \"a\" or tag = \"x\"))",
            "record(not not source = \"a\")",
            "record(all)",
            "value contains \"\" and comment like \"a*\\\\*b\" and value matches \"^a\\\"b$\"",
            "tag in (\"a, b\", \") or all\", \"\\u{7}\", \"q\\\"\\\\\\n\")",
            "age > 30d and first_seen < now - 90d and expires_at <= now + 1h and last_seen > now",
            "last_seen >= 2026-01-02T03:04:05Z and not expires_at is set and tlp <= amber+strict",
            "under \"evil.example\" or under \"com\" or covers \"203.0.113.7\" or under \"10.0.0.0/8\"",
            "verdict in (malicious, safe) and n_sources = 2 and internal_hits != 0 and shared_with = \"edr\"",
        ] {
            let (expr, node) = tree(text);
            assert_eq!(node.expr(false).unwrap(), expr, "{text}\n{node:?}");
        }
    }

    /// A small generator of its own: every shape of group around every shape of condition, thousands of them.
    #[test]
    fn trees_of_every_shape_come_back() {
        let clauses =
            ["kind = url", "tag != \"x y\"", "reputation in (2, 3)", "active", "comment is set", "covers \"a.com\""];
        let mut seed = 7_u64;
        let mut pick = move |n: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % n
        };
        fn grow(depth: usize, in_record: bool, pick: &mut dyn FnMut(usize) -> usize, clauses: &[&str]) -> String {
            if depth == 0 || pick(4) == 0 {
                return if in_record { "tag = \"r\"".to_owned() } else { clauses[pick(clauses.len())].to_owned() };
            }
            match pick(if in_record { 3 } else { 4 }) {
                0 => format!("not ({})", grow(depth - 1, in_record, pick, clauses)),
                n @ (1 | 2) => {
                    let parts: Vec<String> =
                        (0..2 + pick(2)).map(|_| format!("({})", grow(depth - 1, in_record, pick, clauses))).collect();
                    parts.join(if n == 1 { " and " } else { " or " })
                }
                _ => format!("record({})", grow(depth - 1, true, pick, clauses)),
            }
        }
        for _ in 0..5_000 {
            let text = grow(4, false, &mut pick, &clauses);
            let (expr, node) = tree(&text);
            assert_eq!(node.expr(false).unwrap(), expr, "{text}");
        }
    }

    #[test]
    fn a_value_says_nothing_but_itself() {
        for (clause, expect) in [
            (r#"{"field":"reputation","op":">=","values":["1 or all"]}"#, "more than one"),
            (r#"{"field":"reputation","op":">= 1 or reputation >","values":["1"]}"#, "more than one"),
            (r#"{"field":"kind","op":"in","values":["url) or (all"]}"#, "more than one"),
            (r#"{"field":"kind","op":"in","values":[]}"#, "needs a value"),
            (r#"{"field":"kind","op":"in","values":["ulr"]}"#, "did you mean url?"),
            (r#"{"field":"","op":"","values":[]}"#, "choose what"),
            (r#"{"field":"tag","op":"","values":["x"]}"#, "choose how"),
            (r#"{"field":"colour","op":"=","values":["x"]}"#, "no field"),
            (r#"{"field":"reputation","op":">=","values":["11 # x"]}"#, "0 to 10"),
            (r#"{"field":"shared_with","op":"in","values":["edr"]}"#, "shared_with"),
        ] {
            let tree = format!(r#"{{"join":"or","of":[{{"field":"all"}},{{"join":"and","of":[{clause}]}}]}}"#);
            let errors = Node::parse(&tree).unwrap().expr(true).unwrap_err();
            assert_eq!(errors[0].at, "1.0", "{clause}");
            assert!(errors[0].problem.contains(expect), "{clause}: {}", errors[0].problem);
        }
        let hostile = r#"{"join":"and","of":[{"field":"tag","op":"in","values":["\") or all or tag in (\""]}]}"#;
        let expr = Node::parse(hostile).unwrap().expr(true).unwrap();
        assert!(matches!(expr, Expr::Test(Test::Names { .. })), "{expr}");
        let empty = Node::parse(r#"{"join":"and","of":[]}"#).unwrap().expr(true).unwrap_err();
        assert!(empty[0].problem.contains("add a condition"), "an empty rule never selects everything");
        // What is true of the whole alone.
        let in_record = r#"{"join":"and","record":true,"of":[{"field":"kind","op":"in","values":["url"]}]}"#;
        assert_eq!(Node::parse(in_record).unwrap().expr(true).unwrap_err()[0].at, "");
    }

    #[test]
    fn every_comparison_offered_is_one_the_language_knows() {
        let names = ["a".to_owned()];
        for offer in offers(&names, &names, Some(&names)) {
            let value = match offer.input {
                "choice" | "flag" => offer.choices[0].clone(),
                "number" => "1".into(),
                "length" => "30d".into(),
                "time" => "now - 30d".into(),
                _ => "a.com".into(),
            };
            let ops = if offer.ops.is_empty() { vec![("", "")] } else { offer.ops.clone() };
            for (op, _) in ops {
                let values = if op == "is set" || offer.input == "none" { Vec::new() } else { vec![value.clone()] };
                let clause = Clause { field: offer.name.into(), op: op.into(), values, not: false };
                clause.read(false).unwrap_or_else(|problem| panic!("{} {op}: {problem}", offer.name));
            }
        }
    }
}
