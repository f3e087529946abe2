//! `openapi`: the API, described for programs.

use super::{Ctx, Exit, Outcome};
use crate::api;
use clap::Args;

/// Print the OpenAPI 3.1 document of the HTTP API
///
/// A server also gives it at /api/v1/openapi.json, to anybody.
#[derive(Args)]
#[command(after_help = "Examples:\n  iocast openapi > openapi.json\n  iocast openapi | grep operationId")]
pub(crate) struct OpenapiArgs {}

pub(crate) fn openapi(ctx: &Ctx) -> Outcome {
    ctx.out.bytes(api::openapi::text().as_bytes())?;
    Ok(Exit::Done)
}
