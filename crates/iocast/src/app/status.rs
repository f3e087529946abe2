//! How the exchange is, at a glance.

use super::App;
use crate::api::Problem;
use engine::EngineError;
use engine::notice::{ChannelShown, NoticeShown};
use engine::state::{ConnectionState, TargetState};
use intel::Timestamp;
use kit::http::{PaceRow, Paces};
use schemars::JsonSchema;
use serde::Serialize;

/// Everything at a glance.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Status {
    /// Of the program.
    pub(crate) version: &'static str,
    /// Known indicators.
    pub(crate) indicators: u64,
    /// What sources say about them.
    pub(crate) records: u64,
    /// `ok`, or why nothing can be written: `disk full`, `store locked`, `store cannot be written`, `store failed` or
    /// `store damaged`. Nothing is pulled or shared then.
    pub(crate) store: &'static str,
    /// Whether calls to destinations are stopped.
    pub(crate) frozen: bool,
    /// What needs a person, the gravest first.
    pub(crate) notices: Vec<NoticeShown>,
    /// The channels through which people are told.
    pub(crate) channels: Vec<ChannelShown>,
    /// The sources.
    pub(crate) sources: Vec<SourceStatus>,
    /// The connections that third parties push to.
    pub(crate) buckets: Vec<BucketStatus>,
    /// The targets.
    pub(crate) targets: Vec<TargetStatus>,
    /// The hosts that were called since the process began, account by account.
    pub(crate) calls: Vec<CallStatus>,
    /// What was noticed in the configuration that is no mistake.
    pub(crate) warnings: Vec<String>,
}

/// One source.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct SourceStatus {
    /// Its name.
    pub(crate) name: String,
    /// Its connector.
    pub(crate) connector: String,
    /// Whether it is pulled.
    pub(crate) enabled: bool,
    /// How its last run ended.
    pub(crate) status: Option<String>,
    /// When that began.
    pub(crate) last_run: Option<String>,
    /// When the last run began that did not fail.
    pub(crate) last_success: Option<String>,
    /// Failed runs in a row.
    pub(crate) failures: u32,
    /// It is not tried before this.
    pub(crate) not_before: Option<String>,
    /// It denied us: a person must act.
    pub(crate) denied: bool,
    /// The suspect run that waits for a person.
    pub(crate) suspect_run: Option<u64>,
}

/// One bucket.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct BucketStatus {
    /// Its name.
    pub(crate) name: String,
    /// Whether it takes anything.
    pub(crate) enabled: bool,
    /// How its last run stands: all that was pushed within an hour. None: nothing was pushed yet.
    pub(crate) status: Option<String>,
    /// When it was last pushed to.
    pub(crate) last_push: Option<String>,
}

/// One target.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct TargetStatus {
    /// Its name.
    pub(crate) name: String,
    /// Its connection.
    pub(crate) connection: String,
    /// Its action.
    pub(crate) action: String,
    /// Whether passes are run.
    pub(crate) enabled: bool,
    /// How its last pass ended.
    pub(crate) status: Option<String>,
    /// When that began.
    pub(crate) last_run: Option<String>,
    /// Whether its first fill is done.
    pub(crate) filled: bool,
    /// Entries that are there.
    pub(crate) present: u64,
    /// The held plan that waits for a person.
    pub(crate) waiting_plan: Option<u64>,
    /// How many entries the last verdicts with an effect took back, in one pass.
    pub(crate) verdicts: Option<u64>,
    /// From the first of those verdicts to the destination's yes, in milliseconds.
    pub(crate) verdicts_took_ms: Option<u64>,
    /// Failed passes in a row.
    pub(crate) failures: u32,
    /// It denied us: a person must act.
    pub(crate) denied: bool,
}

/// One account at one host.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct CallStatus {
    /// The host.
    pub(crate) host: String,
    /// The tenant, or the connection that has none; `*`: whoever calls.
    pub(crate) account: String,
    /// `free`, `paced` (a call waits for its turn) or `later` (nothing is called before `until`).
    pub(crate) state: &'static str,
    /// Until when.
    pub(crate) until: Option<String>,
    /// What the host said last.
    pub(crate) why: Option<String>,
    /// Calls made.
    pub(crate) calls: u64,
    /// Of these, calls that waited for their turn.
    pub(crate) waited: u64,
    /// Calls we did not make because of it.
    pub(crate) not_made: u64,
    /// How often the host said "later".
    pub(crate) told_later: u64,
}

impl From<PaceRow> for CallStatus {
    fn from(row: PaceRow) -> CallStatus {
        CallStatus {
            host: row.host,
            account: row.account,
            state: row.state,
            until: row.until.map(|until| until.to_string()),
            why: row.why,
            calls: row.calls,
            waited: row.waited,
            not_made: row.refused,
            told_later: row.told,
        }
    }
}

impl App {
    /// How it is.
    pub(crate) fn status(&self) -> Result<Status, Problem> {
        let engine = self.engine()?;
        let config = engine.config();
        let store = engine.store();
        let time = |micros: Option<i64>| micros.map(|micros| Timestamp::from_micros(micros).to_string());
        let (mut sources, mut buckets) = (Vec::new(), Vec::new());
        for connection in config.connections.values() {
            let is_bucket = engine.is_bucket(connection);
            if !is_bucket && connection.open.source().is_none() {
                continue;
            }
            let state = ConnectionState::parse(store.connection_state(connection.id)?.as_deref());
            if is_bucket {
                buckets.push(BucketStatus {
                    name: connection.doc.name.clone(),
                    enabled: connection.doc.enabled,
                    status: state.last_status,
                    last_push: time(state.last_run),
                });
                continue;
            }
            sources.push(SourceStatus {
                name: connection.doc.name.clone(),
                connector: connection.doc.connector.clone(),
                enabled: connection.doc.enabled,
                status: state.last_status,
                last_run: time(state.last_run),
                last_success: time(state.last_success),
                failures: state.failures,
                not_before: time(state.not_before),
                denied: state.denied,
                suspect_run: state.suspect.map(|suspect| suspect.run),
            });
        }
        let waiting = engine.plans(Some("waiting"))?;
        let mut targets = Vec::new();
        for target in config.targets.values() {
            let state = TargetState::parse(store.target_state(target.id)?.as_deref());
            let connection = config.connections.get(&target.connection);
            let present = engine.known().ledgers.get(&target.id).map_or(0, |ledger| ledger.present().count());
            targets.push(TargetStatus {
                name: target.doc.name.clone(),
                connection: connection.map_or_else(String::new, |c| c.doc.name.clone()),
                action: target.action.name.clone(),
                enabled: target.doc.enabled,
                status: state.last_status,
                last_run: time(state.last_run),
                filled: state.filled,
                present: present as u64,
                waiting_plan: waiting.iter().find(|plan| plan.target == target.doc.name).map(|plan| plan.id),
                verdicts: state.verdicts.map(|verdicts| verdicts.n),
                verdicts_took_ms: state.verdicts.map(|verdicts| verdicts.slowest_ms),
                failures: state.failures,
                denied: state.denied,
            });
        }
        match engine.take_notice() {
            // What cannot be noted now is noted when it can: how things are is told all the same.
            Err(EngineError::Store(_)) if store.trouble().is_some() => {}
            noted => drop(noted?),
        }
        let (notices, channels) = (engine.notices_shown(0)?, engine.channels_shown()?);
        let known = engine.known();
        Ok(Status {
            version: env!("CARGO_PKG_VERSION"),
            indicators: known.index.len() as u64,
            records: known.index.n_records() as u64,
            store: store.trouble().map_or("ok", store::Trouble::as_str),
            frozen: engine.is_frozen()?,
            notices,
            channels,
            sources,
            buckets,
            targets,
            calls: engine.world().paces().map(Paces::rows).unwrap_or_default().into_iter().map(Into::into).collect(),
            warnings: engine.clock_warning().into_iter().chain(config.warnings.iter().cloned()).collect(),
        })
    }
}
