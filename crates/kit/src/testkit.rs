//! What every connector is held to, without writing test code.
//!
//! A connector's folder holds its recorded conversations; [`conformance`] replays them and compares with what is
//! expected, then asks the questions that are the same for everyone: what becomes of a 401, of half a body, of a page of
//! HTML, of a batch sent twice, of a secret in an error.
//!
//! ```text
//! exchanges/
//!   settings.json     settings of all cases, secrets as plain text: {"url": "https://…", "token": "example-token"}
//!   pull.http         a conversation (see `kit::http::Exchanges`)
//!   pull.expect       the rows it must yield; IOCAST_UPDATE=1 writes it
//!   pull-empty.json   a case of its own: {"settings": {…}, "after": …, "now": "2026-01-01T00:00:00Z"}
//!   push.http         for a destination the requests are the expectation
//!   push.json         {"action": "block", "params": {…}, "items": [{"kind": "ipv4", "value": "192.0.2.1"}]}
//! ```
//!
//! The first word of a file's name, up to `-` or `.`, says what is done: `check`, `pull`, `push`, `retract`, `publish`,
//! `look`, `read`, `replace` or `deploy`. A `read-X` and a `look-X` of the same X are of one state and have to agree. A
//! `replace` names what others have there, `"foreign": [{"entry": "…", "remote_id": "…"}]`, and the `"version"` read. `{{dir}}` in settings stands for the folder, which is also the one allowed directory. A case may say
//! `"html": true` where a page of HTML is what the source is supposed to give.

mod case;
mod faults;
mod shared;
mod show;

#[cfg(test)]
mod tests;

pub use case::{Case, Collected};

use crate::connection::Connector;
use crate::manifest::{Manifest, Setting, SettingType, Style};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

/// Set to 1 to write expectations instead of comparing with them.
pub const UPDATE: &str = "IOCAST_UPDATE";

/// Holds a connector to the contract. Gives one sentence for each thing that is wrong; none: it conforms. `exchanges`
/// is the folder of its conversations, if it has one.
pub fn conformance(connector: &dyn Connector, exchanges: Option<&Path>) -> Vec<String> {
    let manifest = connector.manifest();
    let mut wrong = Vec::new();
    texts(manifest, &mut wrong);
    let cases = match exchanges.map(|folder| Case::load_all(manifest, folder)) {
        None => Vec::new(),
        Some(Ok(cases)) => cases,
        Some(Err(error)) => {
            wrong.push(error);
            Vec::new()
        }
    };
    if exchanges.is_some() && cases.is_empty() && wrong.is_empty() {
        wrong.push("the folder of exchanges holds no case".into());
    }
    for case in &cases {
        for problem in case.run(connector) {
            wrong.push(format!("{}: {problem}", case.name));
        }
        for problem in faults::ask(connector, case) {
            wrong.push(format!("{}: {problem}", case.name));
        }
    }
    wrong.extend(shared::ask(connector, &cases));
    let settings = cases.first().map(|case| case.settings.clone()).or_else(|| manifest.check(&examples(manifest)).ok());
    if let Some(settings) = settings {
        same_settings(connector, &settings, &mut wrong);
        sides(connector, &settings, &mut wrong);
        shared::declared(connector, &settings, &mut wrong);
    }
    wrong.into_iter().map(|problem| format!("{}: {problem}", manifest.name)).collect()
}

/// Compares with a file, or writes it if [`UPDATE`] is set to 1.
///
/// # Errors
/// The first line that differs, or that there is nothing to compare with.
pub fn expect(file: &Path, actual: &str) -> Result<(), String> {
    let update = std::env::var(UPDATE).is_ok_and(|value| value == "1");
    expect_or(file, actual, update)
}

fn expect_or(file: &Path, actual: &str, update: bool) -> Result<(), String> {
    if update {
        return std::fs::write(file, actual).map_err(|error| format!("{}: {error}", file.display()));
    }
    let expected = std::fs::read_to_string(file)
        .map_err(|error| format!("{}: {error}; {UPDATE}=1 writes it", file.display()))?
        .replace("\r\n", "\n");
    if expected == actual {
        return Ok(());
    }
    let (mut want, mut have) = (expected.lines(), actual.lines());
    let mut at = 0;
    loop {
        at += 1;
        let (want, have) = (want.next(), have.next());
        if want != have || want.is_none() {
            let said = |line: Option<&str>| line.map_or("the end".to_owned(), |line| format!("`{line}`"));
            let (file, want, have) = (file.display(), said(want), said(have));
            return Err(format!("{file}, line {at}: expected {want}, got {have}; {UPDATE}=1 accepts"));
        }
    }
}

/// People read these.
fn texts(manifest: &Manifest, wrong: &mut Vec<String>) {
    let mut need = |what: String, text: &str| {
        if text.trim().is_empty() {
            wrong.push(format!("{what} is empty"));
        }
    };
    need("title".into(), &manifest.title);
    need("summary".into(), &manifest.summary);
    need("category".into(), &manifest.category);
    let params = manifest.actions.iter().flat_map(|action| &action.params);
    for setting in manifest.settings.iter().chain(params) {
        need(format!("the label of {}", setting.key), &setting.label);
        need(format!("the help of {}", setting.key), &setting.help);
    }
    for action in &manifest.actions {
        need(format!("the title of action {}", action.name), &action.title);
        need(format!("the summary of action {}", action.name), &action.summary);
    }
}

/// Settings made of examples and plain values, for connectors without a recorded case.
fn examples(manifest: &Manifest) -> Value {
    let plain = |setting: &Setting| match setting.value_type {
        SettingType::Url => json!("https://host.example/"),
        SettingType::Int | SettingType::Float => json!(setting.min.unwrap_or(1.0) as i64),
        SettingType::Bool => json!(false),
        SettingType::Choice => json!(setting.choices.first()),
        SettingType::List => json!([]),
        SettingType::Map => json!({}),
        SettingType::Duration => json!("1h"),
        SettingType::Kind => json!("auto"),
        SettingType::Text | SettingType::Secret => json!("example"),
        SettingType::Path => json!("/example"),
    };
    let required = manifest.settings.iter().filter(|setting| setting.required);
    let value = |setting: &Setting| setting.example.clone().unwrap_or_else(|| plain(setting));
    Value::Object(required.map(|setting| (setting.key.clone(), value(setting))).collect())
}

/// The struct and the manifest name the same settings. A struct that refuses unknown fields lists those it knows.
fn same_settings(connector: &dyn Connector, settings: &Value, wrong: &mut Vec<String>) {
    let manifest = connector.manifest();
    if let Err(error) = connector.open(settings) {
        wrong.push(format!("settings that fit the manifest are not accepted: {error}"));
        return;
    }
    let mut more = settings.clone();
    more["no_such_setting"] = json!(true);
    match connector.open(&more) {
        Ok(_) if manifest.feed.is_none() => {
            wrong.push("settings that the manifest does not name are accepted: deny unknown fields".into());
        }
        Ok(_) => {}
        Err(error) => {
            let Some((_, list)) = error.split_once("unknown field `no_such_setting`, expected") else { return };
            let known: BTreeSet<&str> = list.split('`').skip(1).step_by(2).collect();
            let declared: BTreeSet<&str> = manifest.settings.iter().map(|setting| setting.key.as_str()).collect();
            for key in known.difference(&declared) {
                wrong.push(format!("the setting {key} is accepted and not in the manifest"));
            }
            for key in declared.difference(&known) {
                wrong.push(format!("the setting {key} is in the manifest and not accepted"));
            }
        }
    }
}

/// What the manifest says it can do, it has.
fn sides(connector: &dyn Connector, settings: &Value, wrong: &mut Vec<String>) {
    use crate::manifest::Delivery;
    let manifest = connector.manifest();
    let Ok(connection) = connector.open(settings) else { return };
    let source = manifest.source.as_ref().is_some_and(|source| source.style != Style::Hosted);
    if source != connection.source().is_some() {
        wrong.push(format!("the manifest says {} about a source, the connection otherwise", yes_no(source)));
    }
    let destination = manifest.actions.iter().any(|action| action.delivery != Delivery::Hosted);
    if destination != connection.destination().is_some() {
        wrong.push(format!("the manifest says {} about a destination, the connection otherwise", yes_no(destination)));
    }
}

fn yes_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}
