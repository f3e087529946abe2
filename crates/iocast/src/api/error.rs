//! What a caller is told when something does not work: one shape, `application/problem+json`.
//!
//! The caller's own mistakes are told in full. Our trouble is told by an id alone; the details go to the log under the
//! same id, because texts of databases and file systems are nobody's business on the network. In our own process the
//! person at the keyboard sees them at once.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine::{ConfigError, EngineError};
use schemars::JsonSchema;
use serde::Serialize;
use store::StoreError;

/// Why a request was not done.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    errors: Vec<ConfigError>,
    retry_after_secs: Option<u32>,
    /// For the log, and for the person at the keyboard.
    inside: Option<String>,
    /// A token as password does as well.
    takes_password: bool,
}

/// What did not work, and what to do (RFC 9457).
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(super) struct Wire<'a> {
    /// Always `about:blank`: the status says what sort of problem it is.
    #[serde(rename = "type")]
    type_: &'static str,
    /// The status in words.
    title: &'a str,
    /// The status.
    status: u16,
    /// What went wrong here, and what to do.
    detail: &'a str,
    /// The entry of the log that knows more, where the trouble is ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    /// Each mistake in a configuration.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [ConfigError],
}

impl Problem {
    /// Its media type.
    pub(crate) const MEDIA: &'static str = "application/problem+json";

    /// A problem the caller can do something about.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Problem {
        Problem {
            status,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after_secs: None,
            inside: None,
            takes_password: false,
        }
    }

    /// What was sent cannot be used.
    pub fn invalid(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, detail)
    }

    /// There is no such thing.
    pub fn not_found(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, detail)
    }

    /// Nobody we know.
    pub fn unauthorized() -> Problem {
        Problem::new(StatusCode::UNAUTHORIZED, "a valid token is needed: send \"Authorization: Bearer TOKEN\"")
    }

    /// Nobody we know, where a token as password does as well: devices that fetch lists often send a password only when
    /// asked for one.
    pub(crate) fn unauthorized_device() -> Problem {
        Problem { takes_password: true, ..Problem::unauthorized() }
    }

    /// Known, and not allowed.
    pub fn forbidden(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::FORBIDDEN, detail)
    }

    /// Not now; later.
    pub fn later(detail: impl Into<String>, secs: u32) -> Problem {
        Problem { retry_after_secs: Some(secs), ..Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail) }
    }

    /// Too much at once from this side.
    pub fn busy(detail: impl Into<String>, secs: u32) -> Problem {
        Problem { retry_after_secs: Some(secs), ..Problem::new(StatusCode::TOO_MANY_REQUESTS, detail) }
    }

    /// The index is still being loaded.
    pub fn starting() -> Problem {
        Problem::later("starting: everything known is being loaded; served lists answer already", 2)
    }

    /// Our trouble: `inside` is for the log only.
    pub fn internal(inside: impl Into<String>) -> Problem {
        let detail = "something went wrong here; the log knows more under this id";
        Problem { inside: Some(inside.into()), ..Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail) }
    }

    /// The same, about one part of what was sent.
    #[must_use]
    pub(crate) fn at(mut self, part: &str) -> Problem {
        self.detail = format!("{part}: {}", self.detail);
        self
    }

    /// The same under another status.
    #[must_use]
    pub(crate) fn with_status(mut self, status: StatusCode) -> Problem {
        self.status = status;
        self
    }

    /// The same mistakes, said as another status and in other words.
    #[must_use]
    pub(crate) fn instead(mut self, status: StatusCode, detail: String) -> Problem {
        self.status = status;
        self.detail = detail;
        self
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What a person is told.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// Each mistake of a configuration, as a line.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        self.errors.iter().map(ToString::to_string).collect()
    }

    /// Each mistake of a configuration.
    pub(crate) fn errors(&self) -> &[ConfigError] {
        &self.errors
    }

    /// Writes our own trouble to the log, where no answer of the API does.
    pub(crate) fn note(&self) {
        if let Some(inside) = &self.inside {
            tracing::error!(status = self.status.as_u16(), error = inside.as_str(), "a page failed");
        }
    }

    /// The answer. `id` names the entry in the log; `show_inside`: to the person at the keyboard.
    pub(crate) fn render(&self, id: &dyn Fn() -> String, show_inside: bool) -> Response {
        let mut logged = None;
        let mut detail = self.detail.as_str();
        if let Some(inside) = &self.inside {
            let id = id();
            tracing::error!(id, status = self.status.as_u16(), error = inside.as_str(), "a request failed");
            if show_inside {
                detail = inside;
            }
            logged = Some(id);
        }
        let wire = Wire {
            type_: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail,
            id: logged.as_deref(),
            errors: &self.errors,
        };
        let body = serde_json::to_vec(&wire).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(Problem::MEDIA));
        if let Some(secs) = self.retry_after_secs {
            headers.insert(header::RETRY_AFTER, secs.into());
        }
        if self.takes_password {
            // First: many devices understand no other, and look no further.
            let challenge = HeaderValue::from_static("Basic realm=\"iocast\", charset=\"UTF-8\"");
            headers.append(header::WWW_AUTHENTICATE, challenge);
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"iocast\"");
            headers.append(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

impl std::fmt::Display for Problem {
    /// For the person at the keyboard: everything.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.inside.as_ref().unwrap_or(&self.detail))?;
        self.errors.iter().try_for_each(|error| write!(f, "\n  {error}"))
    }
}

impl std::error::Error for Problem {}

impl IntoResponse for Problem {
    /// Only carries the problem: `super::finish` renders it, where it is known who asks.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Problem {
        match error {
            EngineError::Store(error) => error.into(),
            EngineError::Connector { .. } => Problem::new(StatusCode::BAD_GATEWAY, error.to_string()),
            EngineError::Config(errors) => Problem {
                errors,
                ..Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "the configuration has mistakes; nothing was changed")
            },
            EngineError::NotFound(why) => Problem::not_found(why),
            EngineError::Invalid(why) => Problem::invalid(why),
            EngineError::Conflict(why) => Problem::new(StatusCode::CONFLICT, why),
            EngineError::Stopped(_) => Problem::internal(error.to_string()),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        match error {
            StoreError::Full => Problem::new(StatusCode::INSUFFICIENT_STORAGE, error.to_string()),
            StoreError::Locked => Problem::later(error.to_string(), 5),
            StoreError::Conflict(why) => Problem::new(StatusCode::CONFLICT, why),
            StoreError::Limit(why) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, why),
            _ => Problem::internal(error.to_string()),
        }
    }
}
