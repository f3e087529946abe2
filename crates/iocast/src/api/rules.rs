//! Testing rules.

use super::error::Problem;
use super::extract::Body;
use crate::app::App;
use crate::app::rules::{RuleReport, RuleTest};
use axum::Json;
use axum::extract::State;
use std::sync::Arc;

pub(super) async fn test(State(app): State<Arc<App>>, Body(test): Body<RuleTest>) -> Result<Json<RuleReport>, Problem> {
    app.hop(move |app| app.test_rule(&test)).await.map(Json)
}
