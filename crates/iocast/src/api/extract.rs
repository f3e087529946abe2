//! Reading what was sent: the same strictness and the same kind of answer everywhere.

use super::error::Problem;
use super::strict::Strict;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A JSON body. An empty one is read as `{}`.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Body<T>, Problem> {
        let is_json = speaks_json(request.headers());
        let bytes = Bytes::from_request(request, state).await.map_err(|error| match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                let most = super::MAX_BODY_BYTES >> 20;
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is longer than {most} MiB"))
            }
            _ => Problem::invalid("the body could not be read to its end"),
        })?;
        if !is_json && !bytes.is_empty() {
            let detail = "the body must be JSON: send \"Content-Type: application/json\"";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
        }
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        match read(text) {
            Ok(value) => Ok(Body(value)),
            Err(problem) => reread(text).unwrap_or(Err(problem)),
        }
    }
}

fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = serde_path_to_error::deserialize(Strict(&mut reader)).map_err(|error| unexpected(&error))?;
    reader.end().map_err(|_| Problem::invalid("the body goes on after its end"))?;
    Ok(value)
}

/// Says where a body is not what is expected.
pub(super) fn unexpected(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let (path, inner) = (error.path().to_string(), error.inner());
    match path.as_str() {
        "." => Problem::invalid(format!("the body is not what is expected: {inner}")),
        _ => Problem::invalid(format!("the body is not what is expected: {path}: {inner}")),
    }
}

/// In JSON 5.0 is a whole number, and some programs write no other. None: there is none such.
fn reread<T: DeserializeOwned>(text: &[u8]) -> Option<Result<Body<T>, Problem>> {
    let mut value: Value = serde_json::from_slice(text).ok()?;
    let value = whole(&mut value).then_some(value)?;
    Some(serde_path_to_error::deserialize(Strict(value)).map(Body).map_err(|error| unexpected(&error)))
}

/// Writes whole numbers as such. Gives whether there were any that were not.
pub(super) fn whole(value: &mut Value) -> bool {
    match value {
        Value::Number(number) if number.is_f64() => {
            // What a double holds exactly.
            let exact = number.as_f64().filter(|n| n.fract() == 0.0 && n.abs() <= 9_007_199_254_740_992.0);
            let Some(exact) = exact else { return false };
            *value = (exact as i64).into();
            true
        }
        Value::Array(items) => items.iter_mut().fold(false, |any, item| whole(item) | any),
        Value::Object(map) => map.values_mut().fold(false, |any, item| whole(item) | any),
        _ => false,
    }
}

/// Whether a body is said to be JSON. One about which nothing is said is read as such.
fn speaks_json(headers: &HeaderMap) -> bool {
    let Some(media) = headers.get(header::CONTENT_TYPE) else { return true };
    let media = media.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media == "application/json" || (media.starts_with("application/") && media.ends_with("+json"))
}

/// The query of the address.
pub(crate) struct Params<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Params<T>, Problem> {
        Query::try_from_uri(&parts.uri)
            .map(|Query(params)| Params(params))
            .map_err(|error| Problem::invalid(format!("the query cannot be read: {}", error.body_text())))
    }
}

/// A part of the path.
pub(crate) struct Part<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Part<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Part<T>, Problem> {
        Path::from_request_parts(parts, state)
            .await
            .map(|Path(part)| Part(part))
            .map_err(|error| Problem::not_found(error.body_text()))
    }
}
