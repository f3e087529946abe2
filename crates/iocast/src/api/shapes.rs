//! Shapes of texts and numbers that stand in several places, said as JSON Schema and checked where they are read.

use super::error::Problem;
use axum::Json;
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use intel::sharing::LineState;
use intel::{IndicatorKind, Tlp, VerdictKind};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use std::borrow::Cow;

/// How many are given at once: from 1 to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit<const MAX: u64>(u64);

impl<const MAX: u64> Limit<MAX> {
    /// As a number.
    pub(crate) fn get(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl<'de, const MAX: u64> Deserialize<'de> for Limit<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Limit<MAX>, D::Error> {
        let n = u64::deserialize(deserializer)?;
        if (1..=MAX).contains(&n) {
            return Ok(Limit(n));
        }
        Err(serde::de::Error::custom(format!("limit: {n} is not from 1 to {MAX}")))
    }
}

impl<const MAX: u64> JsonSchema for Limit<MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("LimitTo{MAX}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": MAX })
    }
}

/// A page and where the next begins.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PageOf{T}")]
pub(crate) struct Page<T> {
    /// What is on it.
    pub(crate) items: Vec<T>,
    /// To be given as `after` for the next page; null: this is the last.
    pub(crate) next: Option<String>,
}

/// Which page, of a list that is not searched.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageQuery {
    /// Most on a page; 100 where nothing is said.
    pub(crate) limit: Option<Limit<1_000>>,
    /// `next` of the page before.
    pub(crate) after: Option<String>,
}

/// On a page where nothing is said.
pub(crate) const PAGE: usize = 100;

/// One of these, or nothing said.
fn names<'n>(names: impl Iterator<Item = &'n str>) -> Schema {
    let names: Vec<Option<&str>> = names.map(Some).chain([None]).collect();
    json_schema!({ "type": ["string", "null"], "enum": names })
}

/// A kind of indicator, or `auto`.
pub(crate) fn kind_or_auto(_: &mut SchemaGenerator) -> Schema {
    names(std::iter::once("auto").chain(IndicatorKind::ALL.iter().map(|kind| kind.as_str())))
}

/// A marking.
pub(crate) fn tlp(_: &mut SchemaGenerator) -> Schema {
    names(Tlp::ALL.iter().map(|tlp| tlp.as_str()))
}

/// A state of a ledger's line.
pub(crate) fn line_state(_: &mut SchemaGenerator) -> Schema {
    names(LineState::ALL.iter().map(|state| state.as_str()))
}

/// A verdict.
pub(crate) fn verdict(_: &mut SchemaGenerator) -> Schema {
    use VerdictKind::{FalsePositive, Malicious, Safe};
    names([Malicious, FalsePositive, Safe].iter().map(|verdict| verdict.as_str()))
}

/// What a token allows.
pub(crate) fn scope(_: &mut SchemaGenerator) -> Schema {
    let names: Vec<&str> = crate::tokens::Scope::ALL.iter().map(|scope| scope.as_str()).collect();
    json_schema!({ "type": "string", "enum": names })
}

/// A time; a date alone is read as its first moment.
pub(crate) fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["string", "null"], "format": "date-time" })
}

/// Reads a state of a ledger's line.
pub(crate) fn line_state_of(text: Option<&str>) -> Result<Option<LineState>, Problem> {
    let read = |text: &str| {
        let names = || LineState::ALL.iter().map(|state| state.as_str()).collect::<Vec<_>>().join(", ");
        LineState::parse(text).ok_or_else(|| Problem::invalid(format!("state: \"{text}\" is none of {}", names())))
    };
    text.map(read).transpose()
}

/// Where a page ended, as text for the address of the next.
pub(crate) fn cursor_text(place: &impl Serialize) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(serde_json::to_vec(place).unwrap_or_default())
}

/// Reads a cursor.
pub(crate) fn cursor_of<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Problem> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).ok();
    let place = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    place.ok_or_else(|| Problem::invalid("after: take it from \"next\" of the page before, unchanged"))
}

/// The latest of something, with a `Link` to the page after (RFC 8288) where there may be one: `before` its last.
pub(crate) fn next_page(uri: &Uri, items: &[impl Serialize], last: Option<u64>) -> Response {
    let mut response = Json(items).into_response();
    if let Some(last) = last {
        let kept =
            uri.query().unwrap_or_default().split('&').filter(|part| !part.is_empty() && !part.starts_with("before="));
        let query: Vec<String> = kept.map(str::to_owned).chain([format!("before={last}")]).collect();
        if let Ok(link) = HeaderValue::from_str(&format!("<{}?{}>; rel=\"next\"", uri.path(), query.join("&"))) {
            response.headers_mut().insert(header::LINK, link);
        }
    }
    response
}
