//! The rules, by folder: what each selects, where it is used, and switches.

use super::shell::{Section, Shell};
use super::show;
use super::{Fields, Sent, Visit};
use crate::api::Problem;
use crate::app::things::{Rules, Sharings};
use crate::people::roles::Needs;
use askama::Template;
use axum::response::Response;
use engine::config::RuleDoc;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Template)]
#[template(path = "rules.html")]
struct RulesPage {
    shell: Shell,
    q: String,
    folder: String,
    /// The folders above this one and itself, name and address.
    path: Vec<(String, String)>,
    /// The folders right below, with how many rules are in and under each.
    below: Vec<(String, String, usize)>,
    groups: Vec<Group>,
    all: usize,
    new: String,
}

/// Rules of one folder.
struct Group {
    folder: String,
    link: String,
    new: String,
    rows: Vec<Row>,
}

struct Row {
    name: String,
    edit: String,
    like: String,
    when: String,
    exceptions: Vec<String>,
    targets: Vec<String>,
    muted: bool,
}

fn link(folder: &str) -> String {
    format!("/rules{}", show::query(&[("folder", folder)]))
}

pub(super) async fn list(visit: Visit, query: Fields) -> Result<Response, Problem> {
    visit
        .page("Rules", Section::Rules, move |app, shell| {
            let folder = query.get("folder").trim_matches('/').to_owned();
            let q = query.get("q").to_lowercase();
            let docs = app.things::<Rules>()?;
            let all = docs.len();
            let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            for sharing in app.things::<Sharings>()? {
                used.entry(sharing.rule).or_default().insert(sharing.target);
            }
            let place = |doc: &RuleDoc| doc.folder.clone().unwrap_or_default();
            let is_in = |at: &str| at == folder || folder.is_empty() || at.starts_with(&format!("{folder}/"));
            let mut groups: BTreeMap<String, Vec<Row>> = BTreeMap::new();
            let mut below: BTreeMap<String, usize> = BTreeMap::new();
            for doc in docs.into_iter().filter(|doc| is_in(&place(doc))) {
                let at = place(&doc);
                let rest = if folder.is_empty() { at.as_str() } else { at.strip_prefix(&folder).unwrap_or("") };
                if let Some(first) = rest.trim_start_matches('/').split('/').next().filter(|first| !first.is_empty()) {
                    *below.entry(first.to_owned()).or_default() += 1;
                }
                let words = format!("{} {} {at}", doc.name, doc.when).to_lowercase();
                if !words.contains(&q) {
                    continue;
                }
                groups.entry(at).or_default().push(Row {
                    edit: format!("/configure/rule?key={}", show::part(&doc.name)),
                    like: format!("/configure/rule?like={}", show::part(&doc.name)),
                    when: doc.when,
                    exceptions: doc.exceptions.into_iter().map(|exception| exception.name).collect(),
                    targets: used.get(&doc.name).into_iter().flatten().cloned().collect(),
                    muted: doc.muted,
                    name: doc.name,
                });
            }
            let new = |folder: &str| format!("/configure/rule{}", show::query(&[("folder", folder)]));
            let mut path = Vec::new();
            let mut so_far = String::new();
            for part in folder.split('/').filter(|part| !part.is_empty()) {
                if !so_far.is_empty() {
                    so_far.push('/');
                }
                so_far.push_str(part);
                path.push((part.to_owned(), link(&so_far)));
            }
            let join = |name: &str| if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
            Ok(RulesPage {
                q: query.get("q").to_owned(),
                path,
                below: below.into_iter().map(|(name, count)| (name.clone(), link(&join(&name)), count)).collect(),
                groups: groups
                    .into_iter()
                    .map(|(folder, rows)| Group { link: link(&folder), new: new(&folder), folder, rows })
                    .collect(),
                all,
                new: new(&folder),
                folder,
                shell,
            })
        })
        .await
}

pub(super) async fn mute(visit: Visit, Sent(sent): Sent) -> Result<Response, Problem> {
    visit
        .act(move |app, caller| {
            let muted = sent.get("to") == "muted";
            let doc = app.change::<Rules>(&[sent.get("name").to_owned()], caller, |doc| doc.muted = muted)?;
            app.hurry();
            let done = if muted { "rule-muted" } else { "rule-unmuted" };
            let folder = if sent.some("within").is_some() { doc.folder.unwrap_or_default() } else { String::new() };
            Ok(format!("/rules{}", show::query(&[("folder", &folder), ("done", done)])))
        })
        .await
}
