//! The catalogue of connectors, and whether a connection works.

use super::error::Problem;
use super::extract::Part;
use crate::app::App;
use crate::tokens::Caller;
use axum::extract::State;
use axum::{Extension, Json};
use kit::manifest::{Manifest, Setting};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;

/// A connector in short.
#[derive(Serialize, JsonSchema)]
pub(super) struct Brief {
    /// What a connection calls it.
    name: String,
    /// What people call it.
    title: String,
    /// What it is, in a sentence.
    summary: String,
    /// What sort of product it speaks to.
    category: String,
    /// Whether it can be pulled.
    source: bool,
    /// Whether targets can be on it.
    destination: bool,
}

/// One setting of a connection, or parameter of a target.
#[derive(Serialize, JsonSchema)]
pub(super) struct SettingShown {
    /// What a document calls it.
    key: String,
    /// What it takes.
    #[serde(rename = "type")]
    type_: String,
    /// What people call it.
    label: String,
    /// What it does.
    help: Value,
    /// Whether it must be given.
    required: bool,
    /// What counts where it is not given.
    default: Value,
    /// What it can be, where that is one of a few.
    choices: Value,
    /// What it might look like.
    example: Value,
}

/// What a destination can be asked to do.
#[derive(Serialize, JsonSchema)]
pub(super) struct ActionShown {
    /// What a target calls it.
    name: String,
    /// What people call it.
    title: String,
    /// What it does.
    summary: String,
    /// What it takes.
    #[schemars(with = "Vec<String>")]
    kinds: Vec<&'static str>,
    /// Most entries it holds.
    capacity: Option<u64>,
    /// Whether entries can be taken back.
    can_retract: bool,
    /// Its parameters.
    params: Vec<SettingShown>,
}

/// A connector whole.
#[derive(Serialize, JsonSchema)]
pub(super) struct Whole {
    #[serde(flatten)]
    brief: Brief,
    /// Where its maker describes it.
    docs: Value,
    /// The settings of its connections.
    settings: Vec<SettingShown>,
    /// What it gives; null: it is no source.
    kinds: Option<Vec<&'static str>>,
    /// Whether a run lists everything the source stands by; null: it is no source.
    complete: Option<bool>,
    /// What it can be asked to do; empty: it is no destination.
    actions: Vec<ActionShown>,
}

/// How a check of a connection ended.
#[derive(Serialize, JsonSchema)]
pub(super) struct Checked {
    /// Which.
    connection: String,
    /// Whether it works.
    ok: bool,
    /// Why it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

fn brief(manifest: &Manifest) -> Brief {
    Brief {
        name: manifest.name.clone(),
        title: manifest.title.clone(),
        summary: manifest.summary.clone(),
        category: plain(&manifest.category).as_str().unwrap_or_default().to_owned(),
        source: manifest.source.is_some(),
        destination: !manifest.actions.is_empty(),
    }
}

/// As JSON writes it.
fn plain(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

fn settings(settings: &[Setting]) -> Vec<SettingShown> {
    let show = |setting: &Setting| SettingShown {
        key: setting.key.clone(),
        type_: format!("{:?}", setting.value_type).to_lowercase(),
        label: setting.label.clone(),
        help: plain(&setting.help),
        required: setting.required,
        default: plain(&setting.default),
        choices: plain(&setting.choices),
        example: plain(&setting.example),
    };
    settings.iter().map(show).collect()
}

fn whole(manifest: &Manifest) -> Whole {
    let kinds =
        |kinds: &[intel::IndicatorKind]| -> Vec<&'static str> { kinds.iter().map(|kind| kind.as_str()).collect() };
    let action = |action: &kit::manifest::Action| ActionShown {
        name: action.name.clone(),
        title: action.title.clone(),
        summary: action.summary.clone(),
        kinds: kinds(&action.kinds),
        capacity: action.capacity,
        can_retract: action.can_retract,
        params: settings(&action.params),
    };
    Whole {
        brief: brief(manifest),
        docs: plain(&manifest.docs),
        settings: settings(&manifest.settings),
        kinds: manifest.source.as_ref().map(|source| kinds(&source.kinds)),
        complete: manifest.source.as_ref().map(kit::manifest::SourceSpec::complete),
        actions: manifest.actions.iter().map(action).collect(),
    }
}

pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Json<Vec<Brief>>, Problem> {
    let engine = app.engine()?;
    Ok(Json(engine.registry().iter().map(|connector| brief(connector.manifest())).collect()))
}

pub(super) async fn show(State(app): State<Arc<App>>, Part(name): Part<String>) -> Result<Json<Whole>, Problem> {
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
pub(super) async fn check(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Part(name): Part<String>,
) -> Result<Json<Checked>, Problem> {
    app.hop(move |app| {
        let answer = app.check(&name, &caller.name)?;
        Ok(Json(Checked { connection: name, ok: answer.is_none(), error: answer }))
    })
    .await
}
