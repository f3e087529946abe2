//! The catalogue of connectors: cards by name, category and what they are good for.

use super::shell::{Section, Shell};
use super::things::Screen as _;
use super::{Fields, Visit, show};
use crate::api::Problem;
use crate::app::things::{Connections, Tenants};
use askama::Template;
use axum::response::Response;
use kit::manifest::Manifest;

struct Card {
    name: String,
    title: String,
    summary: String,
    category: String,
    roles: &'static str,
    href: String,
}

#[derive(Template)]
#[template(path = "connectors.html")]
struct Catalogue {
    shell: Shell,
    q: String,
    category: String,
    purpose: String,
    categories: Vec<String>,
    cards: Vec<Card>,
}

pub(super) async fn catalogue(visit: Visit, query: Fields) -> Result<Response, Problem> {
    visit
        .page("Connectors", Section::Connections, move |app, shell| {
            let registry = app.engine()?.registry();
            let q = query.get("q").to_lowercase();
            let (category, purpose) = (query.get("category").to_owned(), query.get("for").to_owned());
            let form = if purpose == "tenant" { Tenants::FORM } else { Connections::FORM };
            let mut categories: Vec<String> = registry.iter().map(|c| c.manifest().category.clone()).collect();
            categories.sort_unstable();
            categories.dedup();
            let is_meant = |m: &Manifest| {
                let words = format!("{} {} {}", m.name, m.title, m.summary).to_lowercase();
                m.name != "manual" && words.contains(&q) && (category.is_empty() || category == m.category)
            };
            let card = |m: &Manifest| Card {
                name: m.name.clone(),
                title: m.title.clone(),
                summary: m.summary.clone(),
                category: m.category.clone(),
                roles: match (m.source.is_some(), m.actions.is_empty()) {
                    (true, true) => "source",
                    (true, false) => "source and destination",
                    _ => "destination",
                },
                href: format!("{form}?connector={}", show::part(&m.name)),
            };
            let mut cards: Vec<Card> =
                registry.iter().map(|c| c.manifest()).filter(|m| is_meant(m)).map(card).collect();
            cards.sort_by_key(|card| card.title.to_lowercase());
            Ok(Catalogue { shell, q: query.get("q").to_owned(), category, purpose, categories, cards })
        })
        .await
}
