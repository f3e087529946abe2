//! What sources said at a time, told from the records that were kept when runs changed them.

use crate::Engine;
use crate::config::Connection;
use crate::desk::find_key;
use crate::error::EngineError;
use crate::state::ConnectionState;
use crate::unpoison;
use intel::{ConnectionId, Indicator, IndicatorId, IndicatorKind, SourceRecord, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use std::sync::Arc;
use store::Moment;

/// What one source said of an indicator for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PastWord {
    /// Which connection.
    pub source: String,
    /// From when. RFC 3339; None: from longer ago than is kept.
    pub from: Option<String>,
    /// Until when; None: it says so now. RFC 3339.
    pub until: Option<String>,
    /// The run that changed it then; None: it says so now.
    pub changed_by: Option<u64>,
    /// `said`, `not listed`, `taken back`, `ended` (by a person or a rollback) or `echo`.
    pub standing: &'static str,
    /// As stated, 1 to 10.
    pub reputation: Option<u8>,
    /// As stated; `unknown` where it is not.
    pub severity: &'static str,
    /// As stated.
    pub tags: Vec<String>,
    /// As stated.
    pub comment: Option<String>,
}

/// How a source is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SourceShown {
    /// Its name.
    pub name: String,
    /// What speaks to it.
    pub connector: String,
    /// Whether it is pulled.
    pub enabled: bool,
    /// It lists everything it stands by at every run: what it no longer lists is taken back once the run is believed.
    pub complete: bool,
    /// How its last run ended.
    pub status: Option<String>,
    /// When that began. RFC 3339.
    pub last_run: Option<String>,
    /// Records it has given us.
    pub records: u64,
    /// Of these, they count now.
    pub active: u64,
    /// Start of the last believed run of a source that lists everything. RFC 3339.
    pub believed_at: Option<String>,
    /// How many it listed then.
    pub believed_rows: Option<u64>,
    /// A suspect run that waits for a person.
    pub suspect_run: Option<u64>,
    /// Why it is suspect.
    pub suspect_why: Option<String>,
    /// Its next run reads again from here on, because a person asked for that. RFC 3339.
    pub again_from: Option<String>,
    /// It was rolled back to this time, and no run has been believed since. RFC 3339.
    pub rolled_back_to: Option<String>,
    /// Records that a rollback ended and nobody has believed again.
    pub ended_by_rollback: u64,
}

impl Engine {
    /// An indicator with every connection's record as it was at a time. None: nobody had said anything of it then. What
    /// analysts say is as it is now: of their words no past is kept. A run that was under way at that time counts as
    /// one after it.
    ///
    /// # Errors
    /// A store that fails, or [`store::StoreError::Conflict`] where history does not reach so far (`history_days`).
    pub fn indicator_as_of(&self, id: IndicatorId, at: Timestamp) -> Result<Option<Indicator>, EngineError> {
        self.indicator_then(id, &*self.moment(at)?)
    }

    /// The same at a moment that was looked up.
    pub(crate) fn indicator_then(&self, id: IndicatorId, moment: &Moment) -> Result<Option<Indicator>, EngineError> {
        let Some(mut indicator) = self.store.indicator(id)? else { return Ok(None) };
        let records = std::mem::take(&mut indicator.records);
        indicator.records = self.store.records_then(records, id, moment)?.into_iter().collect();
        Ok((!indicator.records.is_empty() || !indicator.analyst.is_empty()).then_some(indicator))
    }

    /// The moment of a time, remembered: whoever asks of one indicator asks of many.
    pub(crate) fn moment(&self, at: Timestamp) -> Result<Arc<Moment>, EngineError> {
        if let Some(moment) = unpoison(self.moment.lock()).as_ref().filter(|moment| moment.at == at) {
            return Ok(moment.clone());
        }
        let moment = Arc::new(self.store.moment(at)?);
        // Which runs are under way now may not be known yet; of what is past it does not change.
        if at < self.world.now() {
            *unpoison(self.moment.lock()) = Some(moment.clone());
        }
        Ok(moment)
    }

    /// What each source said of a value over time, by source, the latest first.
    ///
    /// # Errors
    /// A value that is no indicator or that nobody has said anything about, or a failing store.
    pub fn past_words(&self, value: &str, kind: Option<IndicatorKind>) -> Result<Vec<PastWord>, EngineError> {
        let (key, id) = find_key(&self.known(), value, kind)?;
        let indicator = match id {
            Some(id) => self.store.indicator(id)?.map(|indicator| (id, indicator)),
            None => None,
        };
        let Some((id, indicator)) = indicator else {
            return Err(EngineError::NotFound(format!("nobody has said anything about {}", key.value())));
        };
        let floor = self.store.history_floor()?;
        let mut out = Vec::new();
        for (connection, now) in indicator.records {
            let past = self.store.past(id, connection, &now)?;
            // Who was told of first, and what was pruned since, is not known.
            let begun = Some(now.received).filter(|received| *received >= floor).map(|received| received.to_string());
            let source = self.connection_name(connection);
            let last = past.last().map(|past| past.at.to_string()).or_else(|| begun.clone());
            out.push(word(&source, &now, last, None));
            for (n, kept) in past.iter().enumerate().rev() {
                let from = match n {
                    0 => begun.clone(),
                    n => Some(past[n - 1].at.to_string()),
                };
                out.push(word(&source, &kept.was, from, Some((kept.at, kept.run.0))));
            }
        }
        Ok(out)
    }

    /// Every source, by the order of the configuration.
    ///
    /// # Errors
    /// A failing store.
    pub fn sources(&self) -> Result<Vec<SourceShown>, EngineError> {
        let config = self.config();
        let is_source =
            |c: &&Connection| c.open.source().is_some() || self.is_bucket(c) || c.id == ConnectionId::MANUAL;
        config.connections.values().filter(is_source).map(|connection| self.source_shown(connection)).collect()
    }

    /// One source.
    ///
    /// # Errors
    /// No such source, or a failing store.
    pub fn source(&self, name: &str) -> Result<SourceShown, EngineError> {
        let config = self.config();
        let connection = config.connection(name).ok_or_else(|| self.no_connection(name))?;
        self.source_shown(connection)
    }

    fn source_shown(&self, connection: &Connection) -> Result<SourceShown, EngineError> {
        let state = ConnectionState::parse(self.store.connection_state(connection.id)?.as_deref());
        let time = |micros: Option<i64>| micros.map(|micros| Timestamp::from_micros(micros).to_string());
        let ended_by_rollback = self.store.n_rolled_back(connection.id)?;
        let known = self.known();
        Ok(SourceShown {
            name: connection.doc.name.clone(),
            connector: connection.doc.connector.clone(),
            enabled: connection.doc.enabled,
            complete: connection.complete,
            status: state.last_status,
            last_run: time(state.last_run),
            records: known.index.slots_of(connection.id).count() as u64,
            active: known.index.active_from(connection.id).count() as u64,
            believed_at: time(state.believed.as_ref().map(|believed| believed.at)),
            believed_rows: state.believed.as_ref().map(|believed| believed.rows),
            suspect_run: state.suspect.as_ref().map(|suspect| suspect.run),
            suspect_why: state.suspect.map(|suspect| suspect.why),
            again_from: time(state.again_from),
            rolled_back_to: time(state.rolled_back.map(|rolled_back| rolled_back.to)),
            ended_by_rollback,
        })
    }
}

fn word(source: &str, record: &SourceRecord, from: Option<String>, changed: Option<(Timestamp, u64)>) -> PastWord {
    let claim = &record.claim;
    let (tags, _) = intel::echo::split_hops(claim.tags.iter().map(|tag| tag.to_string()).collect());
    PastWord {
        source: source.to_owned(),
        from,
        until: changed.map(|(at, _)| at.to_string()),
        changed_by: changed.map(|(_, run)| run),
        standing: match () {
            () if record.echo => "echo",
            () if claim.retracted => "taken back",
            () if record.is_retracted() => "ended",
            () if !record.listed => "not listed",
            () => "said",
        },
        reputation: claim.reputation.map(intel::Reputation::get),
        severity: claim.severity.as_str(),
        tags,
        comment: claim.comment.as_deref().map(Into::into),
    }
}
