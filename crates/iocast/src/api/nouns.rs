//! What is configured, thing by thing: connections, rules, sharings, targets, guard lists and their exceptions, settings.
//!
//! There is one way into the configuration: what is put here goes through the same check, audit and reload as a file
//! that is applied, and nothing else of the file changes. A thing is replaced or deleted only by whoever shows, in
//! `If-Match`, that they have seen what is there; so two people never overwrite each other unawares.
//!
//! A further noun is one `impl Noun` below and four rows in the table.

use super::error::Problem;
use super::extract::{Body, Params, Part, unexpected, whole};
use super::routes::TABLE;
use super::shapes::{PAGE, Page, PageQuery, cursor_of, cursor_text};
use super::strict::Strict;
use crate::app::App;
pub(super) use crate::app::things::{
    Connections, GuardExceptions, GuardLists, LeaveEntries, LeaveRecords, NothingToSay, Notifies, Noun, Providers,
    Rules, Sharings, Targets, Tenants,
};
use crate::app::things::{missing, tag_of};
use crate::tokens::Caller;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use engine::config::PolicyDoc;
use engine::{ApplyOptions, ConfigFile};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::Arc;

/// A thing as it is sent: what its address says may be left out.
pub(super) struct Sent<N>(Map<String, Value>, PhantomData<N>);

impl<'de, N> Deserialize<'de> for Sent<N> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Sent<N>, D::Error> {
        Ok(Sent(Map::deserialize(deserializer)?, PhantomData))
    }
}

impl<N: Noun> JsonSchema for Sent<N> {
    fn schema_name() -> Cow<'static, str> {
        format!("{}Put", N::Doc::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = N::Doc::json_schema(generator);
        if let Some(Value::Array(required)) = schema.get_mut("required") {
            required.retain(|key| key.as_str().is_none_or(|key| !N::KEYS.contains(&key)));
        }
        schema
    }
}

impl<N: Noun> Sent<N> {
    fn read(self, key: &[String]) -> Result<N::Doc, Problem> {
        let mut map = self.0;
        for (name, said) in N::KEYS.iter().zip(key) {
            let value = map.entry(*name).or_insert_with(|| said.as_str().into());
            if value.is_string() && value.as_str() != Some(said) {
                let detail = format!("{name}: the body says {value}, the address \"{said}\"; a thing keeps its name");
                return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail));
            }
        }
        let mut map = Value::Object(map);
        whole(&mut map);
        serde_path_to_error::deserialize(Strict(map)).map_err(|error| unexpected(&error))
    }
}

/// The values of the keys in an address, in their order.
fn key_of<N: Noun>(mut parts: HashMap<String, String>) -> Vec<String> {
    N::KEYS.iter().map(|key| parts.remove(*key).unwrap_or_default()).collect()
}

fn tagged(status: StatusCode, doc: &impl Serialize) -> Response {
    let mut response = (status, Json(doc)).into_response();
    if let Ok(tag) = HeaderValue::from_str(&tag_of(doc)) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// Whether a header of tags names this one, or is `*`.
fn names(headers: &HeaderMap, name: &HeaderName, tag: &str) -> Option<bool> {
    let mut values = headers.get_all(name).iter().peekable();
    values.peek()?;
    let tags = values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim);
    Some(tags.into_iter().any(|sent| sent == "*" || sent == tag))
}

/// Lets a change through whose sender has seen what is there.
fn precondition(headers: &HeaderMap, there: Option<&str>) -> Result<(), Problem> {
    let failed = |detail: &str| Err(Problem::new(StatusCode::PRECONDITION_FAILED, detail));
    let matches = names(headers, &header::IF_MATCH, there.unwrap_or_default());
    let differs = names(headers, &header::IF_NONE_MATCH, there.unwrap_or_default()).map(|named| !named);
    match (there, matches, differs) {
        (None, Some(_), _) => failed("If-Match: there is none yet"),
        (None, None, _) | (Some(_), Some(true), None | Some(true)) => Ok(()),
        (Some(_), _, Some(false)) => failed("If-None-Match: there is one already"),
        (Some(_), Some(false), _) => failed("If-Match: it is another by now; get it again"),
        (Some(_), None, _) => Err(Problem::new(
            StatusCode::PRECONDITION_REQUIRED,
            "send the ETag of what you have seen in If-Match, so that nobody else's change is lost",
        )),
    }
}

pub(super) async fn list<N: Noun>(
    State(app): State<Arc<App>>,
    Params(query): Params<PageQuery>,
) -> Result<Json<Page<N::Doc>>, Problem> {
    let after: Option<Vec<String>> = query.after.as_deref().map(cursor_of).transpose()?;
    let limit = query.limit.map_or(PAGE, |limit| limit.get());
    app.hop(move |app| {
        let mut file = app.config_shown()?;
        let mut docs: Vec<N::Doc> = std::mem::take(N::of(&mut file));
        docs.sort_by(|a, b| N::key(a).cmp(&N::key(b)));
        let key = |doc: &N::Doc| -> Vec<String> { N::key(doc).into_iter().map(str::to_owned).collect() };
        if let Some(after) = after {
            docs.retain(|doc| key(doc) > after);
        }
        let more = docs.len() > limit;
        docs.truncate(limit);
        let next = docs.last().filter(|_| more).map(|doc| cursor_text(&key(doc)));
        Ok(Json(Page { items: docs, next }))
    })
    .await
}

pub(super) async fn show<N: Noun>(
    State(app): State<Arc<App>>,
    Part(parts): Part<HashMap<String, String>>,
) -> Result<Response, Problem> {
    let key = key_of::<N>(parts);
    app.hop(move |app| {
        let doc = app.thing::<N>(&key)?.ok_or_else(|| missing::<N>(&key))?;
        Ok(tagged(StatusCode::OK, &doc))
    })
    .await
}

pub(super) async fn put<N: Noun>(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Part(parts): Part<HashMap<String, String>>,
    headers: HeaderMap,
    Body(body): Body<Sent<N>>,
) -> Result<Response, Problem> {
    let key = key_of::<N>(parts);
    let doc = body.read(&key)?;
    app.hop(move |app| {
        let _one = app.editing();
        let there = app.thing::<N>(&key)?.map(|doc| tag_of(&doc));
        precondition(&headers, there.as_deref())?;
        let doc = app.put_held::<N>(&doc, &caller)?;
        let mut response = tagged(if there.is_some() { StatusCode::OK } else { StatusCode::CREATED }, &doc);
        if there.is_none() {
            let mut place = key.iter().fold(N::PATH.to_owned(), |path, part| format!("{path}/{}", escaped(part)));
            if TABLE.iter().any(|route| route.path == place) {
                // Another route has that address: the same name written otherwise has not.
                let (path, last) = place.rsplit_once('/').unwrap_or_default();
                let first = last.bytes().next().unwrap_or_default();
                place = format!("{path}/%{first:02X}{}", last.get(1..).unwrap_or_default());
            }
            if let Ok(place) = HeaderValue::from_str(&place) {
                response.headers_mut().insert(header::LOCATION, place);
            }
        }
        Ok(response)
    })
    .await
}

pub(super) async fn delete<N: Noun>(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Part(parts): Part<HashMap<String, String>>,
    headers: HeaderMap,
    Params(leave): Params<N::Leave>,
) -> Result<StatusCode, Problem> {
    let key = key_of::<N>(parts);
    app.hop(move |app| {
        let _one = app.editing();
        let doc = app.thing::<N>(&key)?.ok_or_else(|| missing::<N>(&key))?;
        precondition(&headers, Some(&tag_of(&doc)))?;
        app.delete_held::<N>(&key, leave, &caller.name)?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// A part of an address in the form every text survives.
pub(crate) fn escaped(part: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    let each = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    part.bytes().map(each).collect()
}

/// `GET /api/v1/settings`: what a file calls `[policy]`.
pub(super) async fn settings(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    app.hop(|app| Ok(tagged(StatusCode::OK, &app.config_shown()?.policy.unwrap_or_default()))).await
}

/// `PUT /api/v1/settings`: all of them; what is left out is as if nobody had said anything.
pub(super) async fn put_settings(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Body(policy): Body<PolicyDoc>,
) -> Result<Response, Problem> {
    app.hop(move |app| {
        let _one = app.editing();
        let there = tag_of(&app.config_shown()?.policy.unwrap_or_default());
        precondition(&headers, Some(&there))?;
        let file = ConfigFile { policy: Some(policy), ..ConfigFile::default() };
        app.apply_held(&file, &caller.name, ApplyOptions::default())?;
        Ok(tagged(StatusCode::OK, &app.config_shown()?.policy.unwrap_or_default()))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_overwrites_what_they_have_not_seen() {
        let there = Some("\"a\"");
        for (if_match, if_none_match, there, expect) in [
            (None, None, None, 200),
            (None, Some("*"), None, 200),
            (Some("*"), None, None, 412),
            (Some("\"a\""), None, None, 412),
            (None, None, there, 428),
            (None, Some("*"), there, 412),
            (Some("\"a\""), None, there, 200),
            (Some("*"), None, there, 200),
            (Some("\"b\", \"a\""), None, there, 200),
            (Some("\"b\""), None, there, 412),
            (Some("W/\"a\""), None, there, 412),
            (Some("\"a\""), Some("*"), there, 412),
            (Some(""), None, there, 412),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in [(header::IF_MATCH, if_match), (header::IF_NONE_MATCH, if_none_match)] {
                if let Some(value) = value {
                    headers.insert(name, HeaderValue::from_static(value));
                }
            }
            let status = precondition(&headers, there).map_or_else(|problem| problem.status().as_u16(), |()| 200);
            assert_eq!(status, expect, "{if_match:?} {if_none_match:?} {there:?}");
        }
    }

    #[test]
    fn places_survive_every_name() {
        assert_eq!(escaped("a b/c→é"), "a%20b%2Fc%E2%86%92%C3%A9");
    }
}
