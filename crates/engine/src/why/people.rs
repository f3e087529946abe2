//! What people have done about a value, as far as it explains where it is: an undo, an exception from the guard, a
//! rollback of a source.

use crate::config::{Config, Target};
use crate::error::EngineError;
use crate::{Engine, Known};
use intel::{ConnectionId, IndicatorId, IndicatorKey};
use schemars::JsonSchema;
use serde::Serialize;

/// An undo that holds an entry where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WhyPin {
    /// `in`: it stays there; `out`: it stays out.
    pub hold: String,
    /// The plan that asked.
    pub plan: u64,
    /// Who approved that.
    pub who: String,
    /// When. RFC 3339.
    pub at: String,
    /// The runs it undoes.
    pub runs: Vec<u64>,
    /// The command that lifts it.
    pub lift: String,
}

/// Who lets a guarded value through, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WhyException {
    /// Who said so.
    pub approver: String,
    /// As configured: RFC 3339 or a date.
    pub until: String,
    /// Why.
    pub reason: String,
}

/// The pin of an entry at a target, and how it is lifted.
pub(super) fn pin_of(known: &Known, target: &Target, id: IndicatorId) -> Option<WhyPin> {
    let (_, value) = known.index.key_ref(id);
    let pin = known.pins.get(&target.id)?.shown(known, id)?;
    Some(WhyPin {
        hold: pin.hold.to_owned(),
        plan: pin.plan,
        who: pin.who,
        at: pin.at,
        runs: pin.runs,
        lift: format!("iocast target unpin {} {value}", target.doc.name),
    })
}

/// The exception that lets a key through at a target.
pub(super) fn exception_of(config: &Config, target: &Target, key: &IndicatorKey) -> Option<WhyException> {
    let mut all = config.file.guard_exception.iter();
    let fits = |value: &str| IndicatorKey::parse(None, value).is_ok_and(|excepted| excepted == *key);
    let doc = all.find(|doc| doc.target == target.doc.name && fits(&doc.value))?;
    Some(WhyException { approver: doc.approver.clone(), until: doc.until.clone(), reason: doc.reason.clone() })
}

impl Engine {
    /// The rollback that ended a source's record, and the words for it.
    pub(super) fn ended_by(
        &self,
        id: IndicatorId,
        connection: ConnectionId,
    ) -> Result<Option<(u64, String)>, EngineError> {
        let Some(run) = self.store.rolled_back_by(id, connection)? else { return Ok(None) };
        let report = self.store.run(run)?.map(|row| row.report).unwrap_or_default();
        let report: serde_json::Value = serde_json::from_str(&report).unwrap_or_default();
        let words = match report["to"].as_str() {
            Some(to) => format!("ended by a rollback to {} (run {run})", super::minute(to)),
            None => format!("ended by a rollback (run {run})"),
        };
        Ok(Some((run.0, words)))
    }
}
