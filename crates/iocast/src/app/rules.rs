//! Testing a rule before it shares anything: how much it selects, of what, and why one value is in it or not.

use super::App;
use crate::api::Problem;
use engine::Hit;
use engine::config::ExceptionDoc;
use index::{NotShared, Scope, Selection, Sort, SortField};
use intel::expr::{Expr, NamesField, Subject, Test, Texts};
use intel::rule::{Exception, Folder, Rule, ValueSet};
use intel::{IndicatorKey, IndicatorKind, RuleId, parse_interval};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Samples shown.
const SAMPLES: usize = 10;

/// What is to be tested.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RuleTest {
    /// A rule by name.
    pub(crate) rule: Option<String>,
    /// Or an expression.
    pub(crate) when: Option<String>,
    /// Exceptions of the expression; with a rule's name: beside its own.
    pub(crate) exceptions: Vec<ExceptionDoc>,
    /// A value to explain.
    pub(crate) value: Option<String>,
    /// Only what was last seen so long ago at most, such as `14d`.
    pub(crate) window: Option<String>,
}

/// How many, and how many bytes as a list of lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Amount {
    /// Indicators.
    pub(crate) count: u64,
    /// Bytes of their values, each with the end of its line.
    pub(crate) bytes: u64,
}

/// What a rule does to everything known.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct RuleReport {
    /// Active indicators that the expression selects.
    pub(crate) selected: u64,
    /// Of those: kept out by an exception.
    pub(crate) excepted: u64,
    /// What passes, by kind.
    pub(crate) by_kind: BTreeMap<&'static str, Amount>,
    /// Some of what passes, the worst first.
    pub(crate) samples: Vec<Hit>,
    /// The value that was asked about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<ValueReport>,
    /// What was noticed that is no mistake.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<String>,
}

/// What a rule does to one value.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct ValueReport {
    /// The canonical kind.
    pub(crate) kind: &'static str,
    /// The canonical value.
    pub(crate) value: String,
    /// Whether anybody has ever said anything about it.
    pub(crate) known: bool,
    /// Whether it counts.
    pub(crate) active: bool,
    /// Whether the expression selects it.
    pub(crate) selected: bool,
    /// The exception that removes it.
    pub(crate) exception: Option<String>,
    /// The expression, clause by clause, those that decide marked with `*`.
    pub(crate) clauses: Vec<String>,
}

impl App {
    /// Tests a rule against everything known. Nothing is stored and nothing is sent.
    pub(crate) fn test_rule(&self, test: &RuleTest) -> Result<RuleReport, Problem> {
        let engine = self.engine()?;
        let (mut rule, warnings) = self.rule_of(test)?;
        let whole = rule.when.clone();
        if let Some(window) = &test.window {
            let window = parse_interval(window).map_err(|error| Problem::invalid(format!("window: {error}")))?;
            let text = format!("({}) and last_seen > now - {}s", rule.when, window.as_secs());
            rule.when = Expr::parse_rule(&text).map_err(|error| Problem::invalid(error.to_string()))?;
        }
        engine.advance()?;
        let now = engine.world().now();
        let known = engine.known();
        let selected = known.index.select(&rule.when, Scope::Active, now, &NotShared);
        let mut passing = selected.clone();
        for exception in &rule.exceptions {
            for clause in exception.when.iter().cloned().chain(any_tag(&exception.tags)) {
                passing.and_not(&known.index.select(&clause, Scope::All, now, &NotShared));
            }
            if !exception.values.is_empty() {
                let listed = passing.iter().filter(|id| {
                    let (kind, value) = known.index.key_ref(*id);
                    exception.values.excepts_value(kind, value).is_some()
                });
                let listed: Selection = listed.collect();
                passing.and_not(&listed);
            }
        }
        let mut by_kind: BTreeMap<&'static str, Amount> = BTreeMap::new();
        let mut amounts = [Amount::default(); 256];
        for id in passing.iter() {
            let (kind, value) = known.index.key_ref(id);
            let amount = &mut amounts[kind as usize];
            amount.count += 1;
            amount.bytes += value.len() as u64 + 1;
        }
        for kind in IndicatorKind::ALL {
            let amount = amounts[*kind as usize];
            if amount.count > 0 {
                by_kind.insert(kind.as_str(), amount);
            }
        }
        let worst = Sort { field: SortField::Reputation, descending: true };
        let samples = known.index.page(&passing, worst, None, SAMPLES).ids;
        let report = RuleReport {
            selected: selected.count() as u64,
            excepted: (selected.count() - passing.count()) as u64,
            by_kind,
            samples: Vec::new(),
            value: None,
            warnings,
        };
        let keys: Vec<IndicatorKey> = samples.iter().map(|id| known.index.key(*id)).collect();
        drop(known);
        let samples = keys.iter().filter_map(|key| engine.get(key.value(), Some(key.kind()))).collect();
        rule.when = whole;
        let value = test.value.as_deref().map(|value| self.judge(&rule, value)).transpose()?;
        Ok(RuleReport { samples, value, ..report })
    }

    fn rule_of(&self, test: &RuleTest) -> Result<(Rule, Vec<String>), Problem> {
        let config = self.engine()?.config();
        let mut rule = match (&test.rule, &test.when) {
            (Some(name), None) => match config.rules.get(name) {
                Some(rule) => Rule::clone(rule),
                None => {
                    let names: Vec<&str> = config.rules.keys().map(String::as_str).collect();
                    let hint = match engine::config::nearest(name, &names) {
                        Some(near) => format!("; did you mean \"{near}\"?"),
                        None if names.is_empty() => "; none is configured, and `--when` tries an expression".to_owned(),
                        None => format!("; there is {}", names.join(", ")),
                    };
                    return Err(Problem::not_found(format!("no rule is called \"{name}\"{hint}")));
                }
            },
            (None, Some(when)) => Rule {
                id: RuleId(0),
                name: "test".to_owned(),
                folder: Folder::default(),
                when: Expr::parse_rule(when).map_err(|error| Problem::invalid(error.to_string()))?,
                muted: false,
                exceptions: Vec::new(),
            },
            _ => return Err(Problem::invalid("say either \"rule\": a name, or \"when\": an expression")),
        };
        let mut warnings = Vec::new();
        for doc in &test.exceptions {
            let when = doc.when.as_deref().map(Expr::parse_rule).transpose();
            let when = when.map_err(|error| Problem::invalid(format!("exception \"{}\": {error}", doc.name)))?;
            let (values, notes) = ValueSet::new(&doc.values, doc.under);
            warnings.extend(notes);
            let tags = doc.tags.iter().cloned().collect();
            rule.exceptions.push(Exception { name: doc.name.clone(), when, values, tags });
        }
        Ok((rule, warnings))
    }

    fn judge(&self, rule: &Rule, value: &str) -> Result<ValueReport, Problem> {
        let engine = self.engine()?;
        let key = IndicatorKey::parse(None, value).map_err(|rejection| Problem::invalid(rejection.to_string()))?;
        let mut report = ValueReport {
            kind: key.kind().as_str(),
            value: key.value().to_owned(),
            known: false,
            active: false,
            selected: false,
            exception: None,
            clauses: Vec::new(),
        };
        let now = engine.world().now();
        let known = engine.known();
        let Some(id) = known.index.id(&key) else { return Ok(report) };
        let Some(indicator) = engine.store().indicator(id)? else { return Ok(report) };
        let summary = indicator.summary(known.index.policies(), &known.index.settings(), now);
        let views = indicator.views(known.index.policies(), now);
        let subject = Subject { key: &indicator.key, summary: &summary, records: &views, shared_with: &[], now };
        let judged = rule.judge(&subject);
        report.known = true;
        report.active = summary.folded.active;
        report.selected = judged.selects;
        report.exception = judged.excepted.map(|excepted| excepted.to_string());
        report.clauses = rule.when.explain(&subject).to_string().lines().map(str::to_owned).collect();
        Ok(report)
    }
}

/// What has one of these tags.
fn any_tag(tags: &BTreeSet<String>) -> Option<Expr> {
    let texts = || Texts::any_of(tags.iter().map(|tag| tag.as_str().into()).collect());
    (!tags.is_empty()).then(|| Expr::Test(Test::Names { field: NamesField::Tag, texts: texts(), negated: false }))
}
