//! The tenants, and what uses each.

use super::shell::{Section, Shell};
use super::{Visit, show};
use crate::api::Problem;
use crate::app::things::Tenants;
use crate::people::roles::Needs;
use askama::Template;
use axum::response::Response;

#[derive(Template)]
#[template(path = "tenants.html")]
struct TenantsPage {
    shell: Shell,
    rows: Vec<Row>,
}

struct Row {
    name: String,
    edit: String,
    /// Of the connections that use it.
    products: Vec<String>,
    used: Vec<(String, String)>,
    proxy: bool,
    range: String,
    filters: Vec<String>,
}

pub(super) async fn list(visit: Visit) -> Result<Response, Problem> {
    visit
        .page("Tenants", Section::Tenants, |app, shell| {
            let config = app.engine()?.config();
            let row = |doc: engine::config::TenantDoc| {
                let users = config.connections.values().filter(|c| c.doc.tenant.as_deref() == Some(doc.name.as_str()));
                let users: Vec<_> = users.collect();
                let mut products: Vec<String> = users.iter().map(|c| c.connector.manifest().title.clone()).collect();
                products.sort_unstable();
                products.dedup();
                // What narrows what is read, where a connector has such settings.
                let filters = doc.settings.as_object().into_iter().flatten();
                let filters = filters.filter(|(key, value)| key.contains("filter") && !value.is_null());
                let filters = filters.map(|(key, value)| {
                    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    format!("{key}: {text}")
                });
                Row {
                    edit: format!("/configure/tenant?key={}", show::part(&doc.name)),
                    products,
                    used: users
                        .iter()
                        .map(|c| (c.doc.name.clone(), format!("/connections/{}", show::part(&c.doc.name))))
                        .collect(),
                    proxy: doc.proxy.is_some(),
                    range: doc.initial_range_days.map_or_else(String::new, |days| show::counted(days.into(), "day")),
                    filters: filters.collect(),
                    name: doc.name,
                }
            };
            Ok(TenantsPage { rows: app.things::<Tenants>()?.into_iter().map(row).collect(), shell })
        })
        .await
}
