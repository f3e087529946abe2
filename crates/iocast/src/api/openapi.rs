//! The OpenAPI 3.1 document: the table of routes, written down for programs.
//!
//! OpenAPI 3.1 speaks JSON Schema 2020-12, which is what the types say of themselves, so nothing is translated here.
//! What is sent and what is given back are described apart: a field with a default may be left out of the one and
//! stands always in the other.

use super::error::Problem;
use super::route::{Answer, NDJSON, Needs, Patience, Route, Verb};
use super::routes::TABLE;
use super::shapes;
use crate::people::roles::{self, Role, covers};
use crate::tokens::Scope;
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::OnceLock;

const COMPONENTS: &str = "/components/schemas";
const SENT: &str = "Sent";

/// `GET /api/v1/openapi.json`. It is the same for every exchange and says nothing about this one, not even its
/// version, so anybody may read it: programs that read it often cannot send a token.
pub(super) async fn serve() -> Response {
    static DOCUMENT: OnceLock<Bytes> = OnceLock::new();
    let bytes = DOCUMENT.get_or_init(|| text().into());
    let mut response = Response::new(Body::from(bytes.clone()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The document as text.
pub fn text() -> String {
    let mut text = serde_json::to_string_pretty(&document()).unwrap_or_default();
    text.push('\n');
    text
}

/// The document.
pub fn document() -> Value {
    let mut sent = generator(true);
    let mut given = generator(false);
    let mut paths: Map<String, Value> = Map::new();
    for route in TABLE {
        let operation = operation(route, &mut sent, &mut given);
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.as_str().to_ascii_lowercase()] = operation;
    }
    given.subschema_for::<super::error::Wire<'static>>();
    let mut schemas = given.take_definitions(true);
    for (name, mut schema) in sent.take_definitions(true) {
        rename(&mut schema);
        schemas.insert(format!("{name}{SENT}"), schema);
    }
    let mut paths = Value::Object(paths);
    bound(&mut paths);
    schemas.values_mut().for_each(bound);
    let nouns: BTreeSet<&str> = TABLE.iter().map(Route::noun).collect();
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": "iocast",
            "summary": "A threat exchange: what sources say, what rules select, what targets hold.",
            "description": "Conventions (problems, pages, ETags, streams) are in docs/api.md.",
            "version": "1",
        },
        "servers": [{ "url": "/", "description": "The exchange that serves this document." }],
        "tags": nouns.iter().map(|noun| json!({ "name": noun })).collect::<Vec<_>>(),
        "security": [{ "bearer": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "description": "A token, made by `iocast token create`." },
                "password": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "For served lists only: a token as password, under any name.",
                },
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "__Host-iocast",
                    "description": "The session of a person who has signed in; whatever changes something sends \
                                    `X-Csrf-Token` with it. On plain HTTP the cookie is `iocast-session`.",
                },
            },
        },
    })
}

fn generator(sent: bool) -> SchemaGenerator {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = COMPONENTS.into();
        settings.meta_schema = None;
    });
    let settings = if sent { settings.for_deserialize() } else { settings.for_serialize() };
    settings.into_generator()
}

/// The greatest number of a width: formats are only remarks.
fn bound(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            let greatest = match map.get("format").and_then(Value::as_str) {
                Some("uint16") => Some(u64::from(u16::MAX)),
                Some("uint32") => Some(u64::from(u32::MAX)),
                Some("uint64" | "uint") => Some(u64::MAX),
                _ => None,
            };
            if let Some(greatest) = greatest {
                map.entry("maximum").or_insert(greatest.into());
            }
            map.values_mut().for_each(bound);
        }
        Value::Array(items) => items.iter_mut().for_each(bound),
        _ => {}
    }
}

/// What is sent refers to what is sent.
fn rename(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                match value {
                    Value::String(to) if key == "$ref" && to.starts_with("#/components/") => to.push_str(SENT),
                    value => rename(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(rename),
        _ => {}
    }
}

fn operation(route: &Route, sent: &mut SchemaGenerator, given: &mut SchemaGenerator) -> Value {
    let mut operation = json!({
        "operationId": id(route),
        "tags": [route.noun()],
        "summary": route.summary,
        "responses": responses(route, given),
    });
    let scope = match route.needs {
        Needs::Nothing => {
            operation["security"] = json!([]);
            None
        }
        Needs::ItsOwn => {
            operation["security"] = json!([{}, { "bearer": [] }, { "password": [] }]);
            None
        }
        Needs::Session => {
            operation["security"] = json!([{ "session": [] }]);
            operation["description"] = json!("Needs a session: a person who has signed in.");
            None
        }
        needs => Scope::ALL.into_iter().find(|scope| covers(*scope, needs)),
    };
    if let Some(scope) = scope {
        let who = roles::TABLE.iter().find(|row| row.needs == route.needs).map_or(&[][..], |row| row.roles);
        let roles = match who.len() == Role::ALL.len() {
            true => String::new(),
            false => format!(
                " Of a person it is asked that they are {}.",
                who.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(" or ")
            ),
        };
        operation["description"] = json!(format!("Needs a token with scope `{}`.{roles}", scope.as_str()));
    }
    let parameters = parameters(route);
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(body) = route.docs.body {
        let mut schema = body(sent).to_value();
        rename(&mut schema);
        let mut media = json!({ "schema": schema });
        if let Some(example) = route.docs.example.and_then(|text| serde_json::from_str::<Value>(text).ok()) {
            media["example"] = example;
        }
        // An empty body is read as an empty object, so it can be left out where that is enough.
        let name = media["schema"]["$ref"].as_str().and_then(|to| to.strip_suffix(SENT)?.rsplit('/').next());
        let whole = name.and_then(|name| sent.definitions().get(name)).unwrap_or(&media["schema"]);
        let is_needed = whole["required"].as_array().is_some_and(|keys| !keys.is_empty());
        let mut content = json!({ "application/json": media });
        if route.docs.body_lines {
            let lines = json!({ "type": "string", "description": "One item of `items` a line; of any length." });
            content[NDJSON] = json!({ "schema": lines });
        }
        operation["requestBody"] = json!({ "required": is_needed, "content": content });
    }
    operation
}

/// `get_indicators_by_kind_value`.
fn id(route: &Route) -> String {
    let mut words = vec![route.method.as_str().to_ascii_lowercase()];
    let parts = route.path.split('/').filter(|part| !matches!(*part, "" | "api" | "v1"));
    for part in parts {
        match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(name) => words.push(format!("by_{name}")),
            None => words.push(part.replace(['.', '-'], "_")),
        }
    }
    words.join("_")
}

fn parameters(route: &Route) -> Vec<Value> {
    let mut inline = SchemaSettings::draft2020_12()
        .with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
        })
        .for_deserialize()
        .into_generator();
    let mut out = Vec::new();
    for name in route.path_params() {
        let schema: Value = match name {
            "id" => json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX }),
            "kind" => {
                let mut kind = shapes::kind_or_auto(&mut inline).to_value();
                plain(&mut kind);
                kind
            }
            _ => json!({ "type": "string", "minLength": 1 }),
        };
        let mut parameter = json!({ "name": name, "in": "path", "required": true, "schema": schema });
        if name == "value" {
            parameter["description"] = json!("In any spelling. A slash in it is sent as %2F.");
        }
        out.push(parameter);
    }
    if let Some(query) = route.docs.query {
        let schema = query(&mut inline).to_value();
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let mut property = property.clone();
            plain(&mut property);
            let description = property.as_object_mut().and_then(|schema| schema.remove("description"));
            let required = required.iter().any(|required| required == name);
            let mut parameter = json!({ "name": name, "in": "query", "required": required, "schema": property });
            if let Some(description) = description {
                parameter["description"] = description;
            }
            out.push(parameter);
        }
    }
    if route.docs.tagged && route.method != Verb::Get {
        let tag = json!({ "type": "string", "pattern": "^(\\*|\"[0-9a-f]{32}\")$" });
        out.push(json!({
            "name": "If-Match",
            "in": "header",
            "description": "The `ETag` of what is replaced or deleted. Without it: 428 where there is something.",
            "schema": tag,
        }));
        if route.method == Verb::Put && route.path_params().next().is_some() {
            out.push(json!({
                "name": "If-None-Match",
                "in": "header",
                "description": "`*`: make it, and only where there is none. An ETag: not what it names.",
                "schema": { "type": "string" },
            }));
        }
    }
    out
}

/// A parameter that may be left out is never null: there is no way to write it.
fn plain(schema: &mut Value) {
    let Some(map) = schema.as_object_mut() else { return };
    if let Some(Value::Array(types)) = map.get_mut("type") {
        types.retain(|one| one != "null");
        if let [one] = types.as_slice() {
            let one = one.clone();
            map.insert("type".into(), one);
        }
    }
    if let Some(Value::Array(values)) = map.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if let Some(Value::Array(arms)) = map.get_mut("anyOf") {
        arms.retain(|arm| arm["type"] != "null");
        if let [Value::Object(one)] = arms.as_slice() {
            let one = one.clone();
            map.remove("anyOf");
            for (key, value) in one {
                map.entry(key).or_insert(value);
            }
        }
    }
    if map.get("default").is_some_and(Value::is_null) {
        map.remove("default");
    }
}

fn responses(route: &Route, given: &mut SchemaGenerator) -> Value {
    let docs = &route.docs;
    let mut out = Map::new();
    let mut good = json!({ "description": "Done." });
    match docs.answer {
        Some(Answer::Json(answer)) => {
            let mut content = json!({ "application/json": { "schema": schema(answer(given)) } });
            if docs.lines {
                let lines = json!({ "type": "string", "description": "One item of `items` a line, all pages." });
                content[NDJSON] = json!({ "schema": lines });
            }
            if docs.events {
                let events = json!({ "type": "string", "description": "One item an event, without end." });
                content["text/event-stream"] = json!({ "schema": events });
            }
            good["content"] = content;
        }
        Some(Answer::Bytes(media)) => {
            let content: Map<String, Value> =
                media.iter().map(|one| ((*one).to_owned(), json!({ "schema": {} }))).collect();
            good["content"] = content.into();
        }
        Some(Answer::Nothing) | None => {}
    }
    if docs.tagged && !matches!(docs.answer, Some(Answer::Nothing)) {
        good["headers"] =
            json!({ "ETag": { "schema": { "type": "string" }, "description": "To be sent in `If-Match`." } });
    }
    let status = match docs.answer {
        Some(Answer::Nothing) => StatusCode::NO_CONTENT,
        _ if docs.makes => StatusCode::CREATED,
        _ => StatusCode::OK,
    };
    let is_put = route.method == Verb::Put && route.path_params().next().is_some();
    if is_put {
        let mut made = good.clone();
        made["description"] = json!("Made.");
        made["headers"]["Location"] = json!({ "schema": { "type": "string" } });
        out.insert("201".into(), made);
    }
    if docs.makes {
        good["headers"]["Location"] = json!({ "schema": { "type": "string" } });
    }
    out.insert(status.as_str().into(), good);
    for status in statuses(route) {
        let title = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Error");
        let problem = json!({ "schema": { "$ref": format!("#{COMPONENTS}/Problem") } });
        let mut answer = json!({ "description": title, "content": { Problem::MEDIA: problem } });
        if status == 503 {
            answer["headers"] =
                json!({ "Retry-After": { "schema": { "type": "integer" }, "description": "Seconds." } });
        }
        out.insert(status.to_string(), answer);
    }
    out.into()
}

fn schema(schema: Schema) -> Value {
    schema.to_value()
}

/// Every status a route may fail with.
fn statuses(route: &Route) -> BTreeSet<u16> {
    let docs = &route.docs;
    let mut out: BTreeSet<u16> = docs.fails.iter().copied().collect();
    match route.needs {
        // What is sent without a session is looked at like everything else.
        Needs::Nothing if docs.body.is_none() => return out,
        Needs::Nothing => {}
        Needs::ItsOwn => out.extend([401, 403, 404]),
        _ => out.extend([401, 403]),
    }
    // A query nobody asked for is refused as well.
    out.extend([400, 500, 503]);
    if route.path_params().next().is_some() {
        out.insert(404);
    }
    if docs.body.is_some() {
        out.extend([413, 415]);
    }
    if docs.tagged && route.method != Verb::Get {
        out.extend([409, 412, 428]);
    }
    if route.method == Verb::Put {
        out.insert(422);
    }
    if route.method != Verb::Get || route.patience == Patience::Long {
        out.insert(507);
    }
    out
}
