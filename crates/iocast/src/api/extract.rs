//! Reading what was sent: the same strictness and the same kind of answer everywhere.

use super::error::Problem;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;

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
        // A list of values in the order of an object's keys would be read as the object; nobody means that.
        if text.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
            return Err(Problem::invalid("the body is not what is expected: an object, not a list"));
        }
        let mut reader = serde_json::Deserializer::from_slice(text);
        let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let path = error.path().to_string();
            let inner = error.into_inner();
            match path.as_str() {
                "." => Problem::invalid(format!("the body is not what is expected: {inner}")),
                _ => Problem::invalid(format!("the body is not what is expected: {path}: {inner}")),
            }
        })?;
        reader.end().map_err(|_| Problem::invalid("the body goes on after its end"))?;
        Ok(Body(value))
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
