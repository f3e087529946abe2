//! The JSON Schema of configuration files, so that an editor completes, explains and checks what is written.
//!
//! It is made from the structs that read the files and from the manifests of the connectors, and says nothing that they do
//! not. It is for editors: what `apply` finds besides (names nobody has, rules that do not parse) no schema can say.

use engine::ConfigFile;
use engine::notice::{ChannelKind, Kind, Severity};
use kit::manifest::{Manifest, Setting, SettingType};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The schema, as it is printed and committed.
pub fn text() -> String {
    let mut text = serde_json::to_string_pretty(&schema()).unwrap_or_default();
    text.push('\n');
    text
}

/// The schema (JSON Schema draft 2020-12).
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(ConfigFile).to_value();
    schema["title"] = "iocast configuration".into();
    let connectors = connectors::all();
    let manifests: Vec<&Manifest> = connectors.iter().map(|connector| connector.manifest()).collect();
    let all_settings = manifests.iter().flat_map(|manifest| &manifest.settings);
    if let Some(doc) = schema.pointer_mut("/$defs/ConnectionDoc") {
        connection(doc, &manifests);
    }
    if let Some(doc) = schema.pointer_mut("/$defs/TenantDoc") {
        // Several connectors may have a setting of one name, each of its own type.
        let mut by_key: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        for setting in all_settings {
            let schemas = by_key.entry(&setting.key).or_default();
            let schema = of_setting(setting);
            if !schemas.contains(&schema) {
                schemas.push(schema);
            }
        }
        let properties: Map<String, Value> = by_key
            .into_iter()
            .map(|(key, mut schemas)| {
                let schema = if schemas.len() == 1 { schemas.remove(0) } else { json!({ "anyOf": schemas }) };
                (key.to_owned(), schema)
            })
            .collect();
        put(doc, "settings", json!({ "type": "object", "properties": properties, "additionalProperties": false }));
    }
    if let Some(doc) = schema.pointer_mut("/$defs/TargetDoc") {
        target(doc, &manifests);
    }
    if let Some(doc) = schema.pointer_mut("/$defs/NotifyDoc") {
        notify(doc);
    }
    schema
}

/// Replaces the schema of a property, and keeps what it says to people.
fn put(doc: &mut Value, property: &str, mut schema: Value) {
    let slot = &mut doc["properties"][property];
    if let Some(description) = slot.get("description") {
        schema["description"] = description.clone();
    }
    *slot = schema;
}

fn notify(doc: &mut Value) {
    let kinds = Kind::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>();
    put(doc, "on", json!({ "type": "array", "items": { "enum": kinds } }));
    let severities = Severity::ALL.iter().map(|severity| severity.as_str()).collect::<Vec<_>>();
    put(doc, "min_severity", json!({ "enum": severities }));
    let manifests = ["webhook", "mail", "syslog"].into_iter().filter_map(ChannelKind::parse);
    let manifests: Vec<&Manifest> = manifests.filter_map(|kind| kind.manifest().ok()).collect();
    let names: Vec<Value> = manifests
        .iter()
        .map(|manifest| json!({ "const": manifest.name, "description": format!("{}. {}", manifest.title, manifest.summary) }))
        .collect();
    put(doc, "channel", json!({ "type": "string", "oneOf": names }));
    put(doc, "settings", json!({ "type": "object" }));
    let of_channel = |manifest: &&Manifest| {
        json!({
            "if": { "properties": { "channel": { "const": manifest.name } }, "required": ["channel"] },
            "then": { "properties": { "settings": of_settings(&manifest.settings) } },
        })
    };
    doc["allOf"] = manifests.iter().map(of_channel).collect();
}

fn connection(doc: &mut Value, manifests: &[&Manifest]) {
    let names: Vec<Value> = manifests
        .iter()
        .map(|manifest| json!({ "const": manifest.name, "description": format!("{}. {}", manifest.title, manifest.summary) }))
        .collect();
    put(doc, "connector", json!({ "type": "string", "oneOf": names }));
    put(doc, "settings", json!({ "type": "object" }));
    let mut all = Vec::new();
    for manifest in manifests {
        let is_this = json!({ "properties": { "connector": { "const": manifest.name } }, "required": ["connector"] });
        all.push(json!({
            "if": is_this,
            "then": { "properties": { "settings": of_settings(&manifest.settings) } },
        }));
        let required: Vec<&str> = manifest.settings.iter().filter(|s| s.required).map(|s| s.key.as_str()).collect();
        if !required.is_empty() {
            // What a tenant gives need not stand in the connection.
            all.push(json!({
                "if": { "allOf": [is_this, { "not": { "required": ["tenant"] } }] },
                "then": { "properties": { "settings": { "required": required } }, "required": ["settings"] },
            }));
        }
    }
    doc["allOf"] = all.into();
}

/// A target does not name its connector, so its action is all there is to go by.
fn target(doc: &mut Value, manifests: &[&Manifest]) {
    put(doc, "params", json!({ "type": "object" }));
    let mut by_action: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for manifest in manifests {
        for action in &manifest.actions {
            let params = of_settings(&action.params);
            let schemas = by_action.entry(&action.name).or_default();
            if !schemas.contains(&params) {
                schemas.push(params);
            }
        }
    }
    let all: Vec<Value> = by_action
        .into_iter()
        .map(|(action, schemas)| {
            json!({
                "if": { "properties": { "action": { "const": action } }, "required": ["action"] },
                "then": { "properties": { "params": { "anyOf": schemas } } },
            })
        })
        .collect();
    doc["allOf"] = all.into();
}

fn of_settings(settings: &[Setting]) -> Value {
    let properties: Map<String, Value> =
        settings.iter().map(|setting| (setting.key.clone(), of_setting(setting))).collect();
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn of_setting(setting: &Setting) -> Value {
    let Setting { choices, min, max, .. } = setting;
    let number = |value: f64| match value.fract() == 0.0 {
        true => json!(value as i64),
        false => json!(value),
    };
    let mut schema = match setting.value_type {
        SettingType::Text => json!({ "type": "string" }),
        SettingType::Url => {
            let schemes = if choices.is_empty() { "https?|file".to_owned() } else { choices.join("|") };
            json!({ "type": "string", "pattern": format!("^({schemes}):") })
        }
        SettingType::Int => json!({ "type": "integer" }),
        SettingType::Float => json!({ "type": "number" }),
        SettingType::Bool => json!({ "type": "boolean" }),
        SettingType::Choice => json!({ "type": "string", "enum": choices }),
        SettingType::List if choices.is_empty() => json!({ "type": "array", "items": { "type": "string" } }),
        SettingType::List => json!({ "type": "array", "items": { "type": "string", "enum": choices } }),
        SettingType::Map => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        SettingType::Secret | SettingType::Path => json!({ "type": "string", "minLength": 1 }),
        SettingType::Duration => json!({ "type": "string", "pattern": "^ *[0-9]+ *[smhdw]?$" }),
        SettingType::Kind => {
            let kinds = intel::IndicatorKind::ALL.iter().map(|kind| kind.as_str());
            let kinds: Vec<&str> = ["auto"].into_iter().chain(kinds).collect();
            json!({ "type": "string", "enum": kinds })
        }
    };
    let (least, most) = match setting.value_type {
        SettingType::Text => ("minLength", "maxLength"),
        SettingType::List => ("minItems", "maxItems"),
        SettingType::Int | SettingType::Float => ("minimum", "maximum"),
        _ => ("", ""),
    };
    if !least.is_empty() {
        for (name, bound) in [(least, min), (most, max)] {
            if let Some(bound) = bound {
                schema[name] = number(*bound);
            }
        }
    }
    schema["title"] = setting.label.as_str().into();
    schema["description"] = match setting.value_type {
        SettingType::Secret => {
            format!("{} Best as \"env:NAME\" or \"file:PATH\"; anything else is the secret itself.", setting.help)
                .into()
        }
        _ => setting.help.as_str().into(),
    };
    if let Some(default) = &setting.default {
        schema["default"] = default.clone();
    }
    if let Some(example) = &setting.example {
        schema["examples"] = json!([example]);
    }
    schema
}
