//! What a person ends: single records of any source, for good as far as that content goes.
//!
//! An ended record keeps the version and the content it ended. It revives only when its source says something else about
//! the value, and later: listing it again, or saying the same with a new date, revives nothing. Whoever pulls or pushes
//! does not know of this; it is in the record.

use crate::Engine;
use crate::desk::find_key;
use crate::error::EngineError;
use crate::publish::Written;
use intel::{ConnectionId, IndicatorId, IndicatorKey, IndicatorKind, SourceRecord};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Most values of one call: they are one transaction, and everybody else who writes waits for it.
pub const RETRACT_MOST: usize = 8_192;

/// What became of one value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Retracted {
    /// As given.
    pub value: String,
    /// The sources whose word on it was ended now.
    pub ended: Vec<String>,
    /// The sources whose word was taken back before.
    pub already: Vec<String>,
    /// Why nothing was ended: no indicator, or nobody who was named has said it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Engine {
    /// Ends what a source says of each value, or with `source` None what every source says. One answer a value, in
    /// order; all of it is durable and can be read when this returns.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] for a source that is not there, more than [`RETRACT_MOST`] values, or a failing store.
    pub fn retract(
        &self,
        values: &[(String, Option<IndicatorKind>)],
        source: Option<&str>,
        who: &str,
    ) -> Result<Vec<Retracted>, EngineError> {
        if values.len() > RETRACT_MOST {
            return Err(EngineError::Invalid(format!("at most {RETRACT_MOST} values at once")));
        }
        let config = self.config();
        let only = match source {
            Some(name) => Some(config.connection(name).ok_or_else(|| self.no_connection(name))?.id),
            None => None,
        };
        // Pulls and pushes read and write their records under this lock, too. A slow source keeps nobody waiting.
        let _one_writer = self.ingest_lock();
        let now = self.world.now();

        let mut out: Vec<Retracted> = Vec::with_capacity(values.len());
        let mut ended: BTreeMap<ConnectionId, Vec<(IndicatorId, IndicatorKey, SourceRecord)>> = BTreeMap::new();
        let mut seen: BTreeSet<IndicatorId> = BTreeSet::new();
        for (value, kind) in values {
            let mut answer = Retracted { value: value.clone(), ended: Vec::new(), already: Vec::new(), error: None };
            let found = find_key(&self.known(), value, *kind);
            match found {
                Err(error) => answer.error = Some(error.to_string()),
                Ok((_, Some(id))) if !seen.insert(id) => answer.error = Some("it is given twice".to_owned()),
                Ok((key, id)) => {
                    let indicator = id.map(|id| self.store.indicator(id)).transpose()?.flatten();
                    for (connection, mut record) in indicator.into_iter().flat_map(|indicator| indicator.records) {
                        if only.is_some_and(|only| only != connection) {
                            continue;
                        }
                        let name = self.connection_name(connection);
                        match record.is_retracted() {
                            true => answer.already.push(name),
                            false => {
                                record.end();
                                answer.ended.push(name);
                                let id = id.unwrap_or(IndicatorId(0));
                                ended.entry(connection).or_default().push((id, key.clone(), record));
                            }
                        }
                    }
                    if answer.ended.is_empty() && answer.already.is_empty() {
                        let who = source.unwrap_or("nobody");
                        answer.error = Some(match source {
                            Some(_) => format!("{who} has not said it"),
                            None => "nobody has said it".to_owned(),
                        });
                    }
                }
            }
            out.push(answer);
        }
        let run = self.store.run_start("retract", source.unwrap_or("any"), now)?;
        let mut touched = 0;
        for (connection, records) in &ended {
            let written: Vec<Written<'_>> = records
                .iter()
                .map(|(id, key, record)| Written { id: Some(*id), key, record: record.clone() })
                .collect();
            touched += self.write_records(*connection, run, now, &written, None, None)?;
            let named: Vec<&str> = records.iter().take(100).map(|(_, key, _)| key.value()).collect();
            let detail = serde_json::json!({ "run": run.0, "n": records.len(), "values": named }).to_string();
            self.store.audit(who, "indicator.retract", &self.connection_name(*connection), &detail, now)?;
        }
        let n = ended.values().map(Vec::len).sum::<usize>();
        let report = serde_json::json!({ "values": values.len(), "ended": n, "touched": touched });
        self.finish_run(run, "success", &report)?;
        Ok(out)
    }
}
