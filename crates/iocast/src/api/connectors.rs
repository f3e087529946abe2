//! The catalogue of connectors, and whether a connection works.

use super::error::Problem;
use super::extract::Part;
use crate::app::App;
use axum::Json;
use axum::extract::State;
use kit::Cx;
use kit::manifest::{Manifest, Setting};
use serde_json::{Value, json};
use std::sync::Arc;

fn brief(manifest: &Manifest) -> Value {
    json!({
        "name": manifest.name,
        "title": manifest.title,
        "summary": manifest.summary,
        "category": manifest.category,
        "source": manifest.source.is_some(),
        "destination": !manifest.actions.is_empty(),
    })
}

fn settings(settings: &[Setting]) -> Vec<Value> {
    let show = |setting: &Setting| {
        json!({
            "key": setting.key,
            "type": format!("{:?}", setting.value_type).to_lowercase(),
            "label": setting.label,
            "help": setting.help,
            "required": setting.required,
            "default": setting.default,
            "choices": setting.choices,
            "example": setting.example,
        })
    };
    settings.iter().map(show).collect()
}

fn whole(manifest: &Manifest) -> Value {
    let kinds = |kinds: &[intel::IndicatorKind]| -> Vec<&str> { kinds.iter().map(|kind| kind.as_str()).collect() };
    let mut value = brief(manifest);
    value["docs"] = json!(manifest.docs);
    value["settings"] = json!(settings(&manifest.settings));
    value["kinds"] = json!(manifest.source.as_ref().map(|source| kinds(&source.kinds)));
    value["complete"] = json!(manifest.source.as_ref().map(kit::manifest::SourceSpec::complete));
    let action = |action: &kit::manifest::Action| {
        json!({
            "name": action.name,
            "title": action.title,
            "summary": action.summary,
            "kinds": kinds(&action.kinds),
            "capacity": action.capacity,
            "can_retract": action.can_retract,
            "params": settings(&action.params),
        })
    };
    value["actions"] = manifest.actions.iter().map(action).collect();
    value
}

pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Json<Vec<Value>>, Problem> {
    let engine = app.engine()?;
    Ok(Json(engine.registry().iter().map(|connector| brief(connector.manifest())).collect()))
}

pub(super) async fn show(State(app): State<Arc<App>>, Part(name): Part<String>) -> Result<Json<Value>, Problem> {
    let registry = app.engine()?.registry();
    if let Some(connector) = registry.get(&name) {
        return Ok(Json(whole(connector.manifest())));
    }
    let names: Vec<&str> = registry.names().collect();
    let hint =
        engine::config::nearest(&name, &names).map_or_else(String::new, |near| format!("; did you mean \"{near}\"?"));
    Err(Problem::not_found(format!("no connector is called \"{name}\"{hint}")))
}

/// `{ok, error?}`: a connection that does not work is an answer, not a failure of the question.
pub(super) async fn check(State(app): State<Arc<App>>, Part(name): Part<String>) -> Result<Json<Value>, Problem> {
    app.hop(move |app| {
        let engine = app.engine()?;
        let config = engine.config();
        let Some(connection) = config.connection(&name) else {
            let names: Vec<&str> = config.connections.values().map(|c| c.doc.name.as_str()).collect();
            let hint = engine::config::nearest(&name, &names);
            let hint = hint.map_or_else(String::new, |near| format!("; did you mean \"{near}\"?"));
            return Err(Problem::not_found(format!("no connection is called \"{name}\"{hint}")));
        };
        let world = engine.world();
        let now = world.now();
        let checked = engine.http_of(connection).and_then(|http| {
            let initial_from = now.before(connection.initial_range);
            connection.open.check(&Cx { http: &http, files: world.files(), now, initial_from })
        });
        Ok(Json(match checked {
            Ok(()) => json!({ "connection": name, "ok": true }),
            Err(error) => json!({ "connection": name, "ok": false, "error": error.to_string() }),
        }))
    })
    .await
}
