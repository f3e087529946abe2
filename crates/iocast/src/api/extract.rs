//! Reading what was sent: the same strictness and the same kind of answer everywhere.

use super::error::Problem;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

/// A JSON body. An empty one is read as `{}`.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Body<T>, Problem> {
        let bytes = Bytes::from_request(request, state).await.map_err(|error| match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                let most = super::MAX_BODY_BYTES >> 20;
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is longer than {most} MiB"))
            }
            _ => Problem::invalid("the body could not be read to its end"),
        })?;
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
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
