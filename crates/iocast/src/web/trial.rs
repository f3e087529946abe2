//! A rule tried before it is saved, and its tree beside its text.

use super::builder::Node;
use super::fields::Posted;
use super::shell::{Section, Shell};
use super::things::Screen as _;
use super::{Sent, Visit, show};
use crate::api::Problem;
use crate::app::App;
use crate::app::rules::RuleTest;
use crate::app::things::Rules;
use askama::Template;
use axum::Json;
use axum::response::Response;
use engine::RuleEffect;
use engine::config::RuleDoc;
use intel::expr::Expr;
use serde_json::{Value, json};

/// Turns a tree into its text, or a text into its tree.
pub(super) async fn tree(_: Visit, Sent(sent): Sent) -> Json<Value> {
    if let Some(tree) = sent.some("tree") {
        let read = Node::parse(tree).map_err(|error| vec![error]).and_then(|node| node.expr(true));
        return Json(match read {
            Ok(expr) => json!({ "text": expr.to_string() }),
            Err(errors) => json!({ "errors": errors }),
        });
    }
    Json(match Expr::parse_rule(sent.get("when")) {
        Ok(expr) => json!({ "tree": Node::of(&expr) }),
        Err(error) => json!({ "error": format!("expected {}, found {}", error.expected, error.found) }),
    })
}

struct Report {
    passing: String,
    selected: String,
    excepted: String,
    warnings: Vec<String>,
    kinds: Vec<(String, String, String)>,
    samples: Vec<(String, String)>,
    probe: Vec<String>,
    effects: Vec<RuleEffect>,
}

#[derive(Template)]
#[template(path = "rule_test.html")]
struct TrialPage {
    shell: Shell,
    mistakes: Vec<String>,
    report: Option<Report>,
}

/// What the rule in the form would select, why one value is in it or not, and what saving it would change.
pub(super) async fn test(visit: Visit, Sent(sent): Sent) -> Result<Response, Problem> {
    visit
        .page("Test of a rule", Section::Rules, move |app, shell| {
            let posted = Posted::new(sent.0);
            Ok(match tried(app, &posted) {
                Ok(report) => TrialPage { shell, mistakes: Vec::new(), report: Some(report) },
                Err(problem) if problem.status().is_client_error() => {
                    let mut mistakes = problem.mistakes();
                    if mistakes.is_empty() {
                        mistakes.push(problem.detail().to_owned());
                    }
                    TrialPage { shell, mistakes, report: None }
                }
                Err(problem) => return Err(problem),
            })
        })
        .await
}

fn tried(app: &App, posted: &Posted) -> Result<Report, Problem> {
    let key = posted.all("key").to_vec();
    let there = if key.is_empty() { None } else { app.thing::<Rules>(&key)? };
    let mut doc = there.map_or_else(|| json!({}), |rule| serde_json::to_value(rule).unwrap_or_default());
    Rules::grow(&mut doc, posted);
    let form = Rules::form(app, &mut doc, key.is_empty())?;
    let (mut doc, _) = form.read(posted, doc);
    Rules::tidy(&mut doc);
    if doc["name"].is_null() {
        doc["name"] = "(new)".into();
    }
    let rule: RuleDoc = serde_json::from_value(doc).map_err(|error| Problem::invalid(error.to_string()))?;
    let value = posted.given("probe").map(str::to_owned);
    let test =
        RuleTest { when: Some(rule.when.clone()), exceptions: rule.exceptions.clone(), value, ..RuleTest::default() };
    let report = app.test_rule(&test)?;
    let probe = report.value.map_or_else(Vec::new, |value| {
        let known = if value.known { "" } else { ", of which nobody has said anything" };
        let mut lines = vec![format!("{} {}{known}", value.kind, show::defanged(value.kind, &value.value))];
        lines.push(match (value.selected, value.exception) {
            (_, Some(exception)) => format!("It does not pass: {exception}."),
            (true, None) if value.active => "It passes.".to_owned(),
            (true, None) => "It is selected, but does not count any more.".to_owned(),
            (false, None) => "It is not selected.".to_owned(),
        });
        lines.extend(value.clauses);
        lines
    });
    Ok(Report {
        passing: show::n(report.selected - report.excepted),
        selected: show::n(report.selected),
        excepted: show::n(report.excepted),
        warnings: report.warnings,
        kinds: report
            .by_kind
            .iter()
            .map(|(kind, a)| ((*kind).to_owned(), show::n(a.count), show::n(a.bytes)))
            .collect(),
        samples: report.samples.iter().map(|s| (s.kind.clone(), show::defanged(&s.kind, &s.value))).collect(),
        probe,
        effects: app.engine()?.rule_effects(&rule)?,
    })
}

/// What the builder offers, for the page.
pub(super) fn offers(app: &App) -> Result<String, Problem> {
    let config = app.engine()?.config();
    let sources: Vec<String> = config.connections.values().map(|c| c.doc.name.clone()).collect();
    Ok(serde_json::to_string(&super::builder::offers(&sources, &[], None)).unwrap_or_default())
}
