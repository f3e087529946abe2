//! What is done to many indicators at once: what would follow is asked first, and what is done then is done to exactly the
//! indicators of that answer.

use super::error::Problem;
use super::extract::Body;
use super::indicators::{Named, named, verdict_of};
use super::shapes;
use crate::app::App;
use crate::tokens::Caller;
use axum::extract::State;
use axum::{Extension, Json};
use engine::{Act, Many, ManyDone, ManyShown};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use std::sync::Arc;

/// What is to be done to which indicators.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ManyBody {
    /// All that this search finds, 100,000 at most; an empty one finds every indicator.
    #[serde(default)]
    q: Option<String>,
    /// Inactive indicators too.
    #[serde(default)]
    all: bool,
    /// These values instead, 8,192 at most.
    #[schemars(length(max = 8_192))]
    #[serde(default)]
    items: Option<Vec<Named>>,
    /// `tag`, `untag`, `mute`, `unmute`, `verdict` or `retract`, which takes back what was added by hand.
    #[schemars(schema_with = "act_names")]
    act: String,
    /// Which, where tags are added or taken away.
    #[serde(default)]
    tags: Vec<String>,
    /// Where it is a verdict; without: clears it.
    #[schemars(schema_with = "shapes::verdict")]
    #[serde(default)]
    verdict: Option<String>,
    /// When the verdict ends; a `false_positive` needs an end.
    #[schemars(schema_with = "shapes::time")]
    #[serde(default)]
    until: Option<String>,
    /// The `mark` of the preview.
    #[serde(default)]
    mark: Option<String>,
}

const ACTS: [&str; 6] = ["tag", "untag", "mute", "unmute", "verdict", "retract"];

fn act_names(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": ACTS })
}

/// An act by its name.
pub(crate) fn act_of(
    name: &str,
    tags: Vec<String>,
    verdict: Option<&str>,
    until: Option<&str>,
) -> Result<Act, Problem> {
    Ok(match name {
        "tag" => Act::Tag(tags),
        "untag" => Act::Untag(tags),
        "mute" => Act::Mute,
        "unmute" => Act::Unmute,
        "verdict" => Act::Verdict(verdict_of(verdict, until)?),
        "retract" => Act::Retract,
        other => return Err(Problem::invalid(format!("act: \"{other}\" is none of {}", ACTS.join(", ")))),
    })
}

impl ManyBody {
    fn read(self) -> Result<(Many, Act, Option<String>), Problem> {
        let many = match (self.q, self.items) {
            (Some(text), None) => Many::Found { text, all: self.all },
            (None, Some(items)) => Many::These(named(items)?),
            _ => return Err(Problem::invalid("say either q, a search, or items, the values")),
        };
        // A verdict or a time that is none is a mistake also where another act is asked for.
        verdict_of(self.verdict.as_deref(), self.until.as_deref())?;
        let act = act_of(&self.act, self.tags, self.verdict.as_deref(), self.until.as_deref())?;
        Ok((many, act, self.mark))
    }
}

/// `POST /api/v1/indicators/bulk/preview`.
pub(super) async fn preview(
    State(app): State<Arc<App>>,
    Body(body): Body<ManyBody>,
) -> Result<Json<ManyShown>, Problem> {
    let (many, act, _) = body.read()?;
    app.hop(move |app| Ok(app.engine()?.many_shown(&many, Some(&act))?)).await.map(Json)
}

/// `POST /api/v1/indicators/bulk`.
pub(super) async fn act(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Body(body): Body<ManyBody>,
) -> Result<Json<ManyDone>, Problem> {
    let (many, act, mark) = body.read()?;
    let mark = mark.ok_or_else(|| Problem::invalid("mark: ask for the preview first, and send its mark"))?;
    app.hop(move |app| {
        let done = app.engine()?.act_on_many(&many, &act, &mark, &caller.name);
        // What was done before something failed stands, and targets follow.
        app.hurry();
        Ok(Json(done?))
    })
    .await
}
