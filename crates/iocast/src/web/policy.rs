//! The settings of the whole exchange, and what the network needs, connection by connection.

use super::fields::{Field, Form, GroupView, Posted, Widget, Wrong};
use super::settings::done;
use super::shell::{Section, Shell};
use super::things::{days, one_of, text, tlp};
use super::{Sent, Visit, show};
use crate::api::Problem;
use crate::app::App;
use crate::app::things::tag_of;
use askama::Template;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use engine::ConfigFile;
use engine::config::PolicyDoc;
use serde_json::Value;

const POLICY: &str = "/settings/policy";

/// What somebody's calls need beyond the ordinary.
struct NetworkRow {
    what: &'static str,
    name: String,
    href: String,
    proxy: bool,
    authority: Option<String>,
    certificate: Option<String>,
    private: String,
}

#[derive(Template)]
#[template(path = "policy.html")]
struct PolicyPage {
    shell: Shell,
    mistakes: Vec<String>,
    seen: String,
    groups: Vec<GroupView>,
    network: Vec<NetworkRow>,
    /// Why nothing can be changed at the moment.
    sealed: Option<String>,
}

fn count(name: &str, label: &str, help: &str, default: u32) -> Field {
    days(name, label, help).default(default)
}

fn form() -> Form {
    let mut form = Form::default();
    form.group(
        "What is known",
        "",
        false,
        vec![
            one_of(
                "reconcile",
                "Which record leads",
                "Where several sources speak of one indicator.",
                ["highest_reputation", "latest", "first"],
            )
            .default("highest_reputation"),
            tlp("default_tlp", "Default TLP", "The marking of what nobody marked.").default("green"),
        ],
    );
    let allowance = |name: &str, what: &str, percent: u32, least: u32, most: u32| {
        [
            count(&format!("budget.{name}.percent"), &format!("{what}, percent"), "Of what is present.", percent),
            count(
                &format!("budget.{name}.at_least"),
                &format!("{what}, at least"),
                "However little is present.",
                least,
            ),
            count(&format!("budget.{name}.at_most"), &format!("{what}, at most"), "However much is present.", most),
        ]
    };
    let mut budget: Vec<Field> = allowance("adds", "Adds in a pass", 20, 5_000, 50_000).into();
    budget.extend(allowance("removals", "Removals in a pass", 10, 20, 5_000));
    budget.push(count("budget.per_day", "Passes' worth in a day", "1 to 1000.", 3));
    form.group(
        "Change budget",
        "How much a pass changes without a person, where a target says nothing itself.",
        false,
        budget,
    );
    form.group(
        "Approvals",
        "",
        false,
        vec![
            one_of(
                "four_eyes",
                "A second person",
                "Whether plans and guard exceptions need somebody else than who asks: auto is once two people may approve.",
                ["auto", "always", "never"],
            )
            .default("auto"),
            one_of(
                "second_factor",
                "Second factor",
                "Whether who may change anything must have one.",
                ["offered", "needed"],
            )
            .default("offered"),
            count("held_days", "Days a plan waits", "Then it expires.", 30),
        ],
    );
    form.group(
        "Retention",
        "",
        false,
        vec![
            count("prune_days", "Days of what is inactive", "Of an indicator without a live delivery.", 365),
            count(
                "history_days",
                "Days of history",
                "What sources said before: so far a source can be rolled back.",
                30,
            ),
            count("undo_days", "Days of undo", "So long a run can be undone.", 30),
        ],
    );
    form.group(
        "Address",
        "",
        false,
        vec![
            text("public_url", "Where people reach this", "What links in notices begin with.")
                .example("https://iocast.example"),
        ],
    );
    form
}

fn network(config: &ConfigFile) -> Vec<NetworkRow> {
    let row = |what, form: &str, name: &String| NetworkRow {
        what,
        name: name.clone(),
        href: format!("{form}?key={}", show::part(name)),
        proxy: false,
        authority: None,
        certificate: None,
        private: String::new(),
    };
    let tenants = config.tenant.iter().map(|doc| NetworkRow {
        proxy: doc.proxy.is_some(),
        authority: doc.ca_file.clone(),
        certificate: doc.client_cert_file.clone(),
        private: doc.allow_private.join(", "),
        ..row("tenant", "/configure/tenant", &doc.name)
    });
    let connections = config.connection.iter().map(|doc| NetworkRow {
        proxy: doc.proxy.is_some(),
        authority: doc.ca_file.clone(),
        certificate: doc.client_cert_file.clone(),
        private: doc.allow_private.join(", "),
        ..row("connection", "/configure/connection", &doc.name)
    });
    let channels = config.notify.iter().map(|doc| NetworkRow {
        authority: doc.ca_file.clone(),
        private: doc.allow_private.join(", "),
        ..row("channel", "/settings/channels/one", &doc.name)
    });
    let is_special =
        |row: &NetworkRow| row.proxy || row.authority.is_some() || row.certificate.is_some() || !row.private.is_empty();
    tenants.chain(connections).chain(channels).filter(is_special).collect()
}

fn page(app: &App, shell: Shell, shown: Option<(&Value, &str)>, wrong: &[Wrong]) -> Result<PolicyPage, Problem> {
    let config = app.config_shown()?;
    let policy = config.policy.clone().unwrap_or_default();
    let (doc, seen) = match shown {
        Some((doc, seen)) => (doc.clone(), seen.to_owned()),
        None => (serde_json::to_value(&policy).unwrap_or_default(), tag_of(&policy)),
    };
    let form = form();
    let mistakes = form.unplaced(wrong).into_iter().map(|(at, problem)| match at.as_str() {
        "" => problem.clone(),
        at => format!("{at}: {problem}"),
    });
    Ok(PolicyPage {
        mistakes: mistakes.collect(),
        seen,
        groups: form.view(&doc, wrong),
        network: network(&config),
        sealed: app.engine()?.sealed_off()?,
        shell,
    })
}

pub(super) async fn policy(visit: Visit) -> Result<Response, Problem> {
    visit.page("Policy", Section::Settings, |app, shell| page(app, shell, None, &[])).await
}

pub(super) async fn do_policy(visit: Visit, Sent(sent): Sent) -> Result<Response, Problem> {
    let seen = sent.get("seen").to_owned();
    let posted = Posted::new(sent.0);
    let Visit { app, seat, theme, .. } = visit;
    let again = app
        .hop(move |app| {
            let base = serde_json::to_value(app.config_shown()?.policy.unwrap_or_default()).unwrap_or_default();
            let (doc, mut wrong) = form().read(&posted, base);
            if wrong.is_empty() {
                let place = |path: String| if path == "." { String::new() } else { path };
                match serde_path_to_error::deserialize::<_, PolicyDoc>(without_nothing(doc.clone())) {
                    Err(error) => wrong.push((place(error.path().to_string()), error.inner().to_string())),
                    Ok(policy) => match app.put_policy_seen(policy, &seen, &seat.caller.name) {
                        Ok(()) => {
                            app.hurry();
                            return Ok(None);
                        }
                        Err(problem) if problem.status().is_client_error() && problem.errors().is_empty() => {
                            wrong.push((String::new(), problem.detail().to_owned()));
                        }
                        Err(problem) if problem.status().is_client_error() => {
                            let told = problem.errors().iter().map(|error| (error.key.clone(), error.problem.clone()));
                            wrong.extend(told);
                        }
                        Err(problem) => return Err(problem),
                    },
                }
            }
            let shell = Shell::of(app, &seat, "Policy".to_owned(), Section::Settings, theme, POLICY.to_owned())?;
            let page = page(app, shell, Some((&doc, &seen)), &wrong)?;
            page.render().map(Some).map_err(|error| Problem::internal(error.to_string()))
        })
        .await?;
    Ok(match again {
        None => Redirect::to(&done(POLICY, "saved")).into_response(),
        Some(html) => (StatusCode::UNPROCESSABLE_ENTITY, Html(html)).into_response(),
    })
}

/// Without tables that a form left empty.
fn without_nothing(mut doc: Value) -> Value {
    if let Some(map) = doc.as_object_mut() {
        for value in map.values_mut() {
            *value = without_nothing(value.take());
        }
        map.retain(|_, value| !value.as_object().is_some_and(serde_json::Map::is_empty));
    }
    doc
}
