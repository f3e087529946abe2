//! Filters that people keep: their own, and those that they share with everybody.

use super::shell::{Section, Shell};
use super::show::{When, part};
use super::{Sent, Visit};
use crate::api::Problem;
use crate::app::App;
use crate::people::roles::{self, Needs};
use crate::tokens::Caller;
use askama::Template;
use axum::response::Response;
use store::Saved;

/// Longest name, in characters.
const NAME_CHARS: usize = 60;
/// Longest filter that is kept, in bytes: what the language takes is shorter.
const QUERY_BYTES: usize = 64 << 10;

#[derive(Template)]
#[template(path = "saved.html")]
struct SavedPage {
    shell: Shell,
    rows: Vec<Row>,
}

struct Row {
    saved: Saved,
    link: String,
    is_mine: bool,
    may_delete: bool,
    at: When,
}

/// The grid as it was saved.
pub(super) fn link(saved: &Saved) -> String {
    let mut out = format!("/indicators?q={}&sort={}", part(&saved.query), part(&saved.sort));
    if saved.all {
        out.push_str("&all=1");
    }
    for column in saved.columns.split(',').filter(|column| !column.is_empty()) {
        out.push_str(&format!("&col={}", part(column)));
    }
    out
}

/// What somebody sees of them.
pub(super) fn of(app: &App, caller: &Caller) -> Result<Vec<Saved>, Problem> {
    Ok(app.engine()?.store().saved(&caller.name)?)
}

/// Their own; of others what they share may be deleted by who configures.
fn may_delete(caller: &Caller, saved: &Saved) -> bool {
    saved.owner == caller.name || (saved.shared && roles::decide(caller, Needs::EditConfig).is_ok())
}

pub(super) async fn list(visit: Visit) -> Result<Response, Problem> {
    let caller = visit.seat.caller.clone();
    visit
        .page("Saved filters", Section::Indicators, move |app, shell| {
            let now = app.now();
            let row = |saved: Saved| Row {
                link: link(&saved),
                is_mine: saved.owner == caller.name,
                may_delete: may_delete(&caller, &saved),
                at: When::at(saved.at, now),
                saved,
            };
            Ok(SavedPage { rows: of(app, &caller)?.into_iter().map(row).collect(), shell })
        })
        .await
}

pub(super) async fn do_save(visit: Visit, Sent(form): Sent) -> Result<Response, Problem> {
    visit
        .act(move |app, caller| {
            let name = form.get("name");
            if name.is_empty() || name.chars().count() > NAME_CHARS || name.chars().any(char::is_control) {
                return Err(Problem::invalid(format!("give the filter a name of at most {NAME_CHARS} characters")));
            }
            let query = form.get("q");
            if query.len() > QUERY_BYTES {
                return Err(Problem::invalid("the filter is too long to be kept"));
            }
            let engine = app.engine()?;
            engine.parse_search(query)?;
            let shared = form.some("shared").is_some();
            if shared {
                roles::decide(caller, Needs::AnalystWork).map_err(Problem::forbidden)?;
            }
            crate::api::indicators::sort_of(form.some("sort"))?;
            let columns: Vec<String> = form.all("col").into_iter().filter(|col| super::grid::is_column(col)).collect();
            let saved = Saved {
                id: 0,
                owner: caller.name.clone(),
                name: name.to_owned(),
                query: query.to_owned(),
                all: form.some("all").is_some(),
                sort: form.some("sort").unwrap_or(super::grid::SORT).to_owned(),
                columns: columns.join(","),
                shared,
                at: app.now(),
            };
            engine.store().save_filter(&saved, app.now())?;
            Ok(format!("{}&done=filter-saved", link(&saved)))
        })
        .await
}

pub(super) async fn do_delete(visit: Visit, Sent(form): Sent) -> Result<Response, Problem> {
    visit
        .act(move |app, caller| {
            let store = app.engine()?.store();
            let id = form.get("id").parse().map_err(|_| Problem::invalid("say which filter"))?;
            let there = store.saved_one(id)?.filter(|saved| saved.owner == caller.name || saved.shared);
            let saved = there.ok_or_else(|| Problem::not_found("there is no such filter"))?;
            if !may_delete(caller, &saved) {
                return Err(Problem::forbidden(format!(
                    "\"{}\" is {}'s: they delete it, or an operator",
                    saved.name, saved.owner
                )));
            }
            store.forget_filter(id, &caller.name, app.now())?;
            Ok("/indicators/saved?done=deleted".to_owned())
        })
        .await
}
