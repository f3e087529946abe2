//! How the exchange is, at a glance.

use super::App;
use crate::api::Problem;
use engine::state::{ConnectionState, TargetState};
use intel::Timestamp;
use serde::Serialize;

/// Everything at a glance.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Of the program.
    pub version: &'static str,
    /// Known indicators.
    pub indicators: u64,
    /// What sources say about them.
    pub records: u64,
    /// Whether calls to destinations are stopped.
    pub frozen: bool,
    /// The sources.
    pub sources: Vec<SourceStatus>,
    /// The targets.
    pub targets: Vec<TargetStatus>,
    /// What was noticed in the configuration that is no mistake.
    pub warnings: Vec<String>,
}

/// One source.
#[derive(Debug, Clone, Serialize)]
pub struct SourceStatus {
    /// Its name.
    pub name: String,
    /// Its connector.
    pub connector: String,
    /// Whether it is pulled.
    pub enabled: bool,
    /// How its last run ended.
    pub status: Option<String>,
    /// When that began.
    pub last_run: Option<String>,
    /// When the last run began that did not fail.
    pub last_success: Option<String>,
    /// Failed runs in a row.
    pub failures: u32,
    /// It is not tried before this.
    pub not_before: Option<String>,
    /// It denied us: a person must act.
    pub denied: bool,
    /// The suspect run that waits for a person.
    pub suspect_run: Option<u64>,
}

/// One target.
#[derive(Debug, Clone, Serialize)]
pub struct TargetStatus {
    /// Its name.
    pub name: String,
    /// Its connection.
    pub connection: String,
    /// Its action.
    pub action: String,
    /// Whether passes are run.
    pub enabled: bool,
    /// How its last pass ended.
    pub status: Option<String>,
    /// When that began.
    pub last_run: Option<String>,
    /// Whether its first fill is done.
    pub filled: bool,
    /// Entries that are there.
    pub present: u64,
    /// The held plan that waits for a person.
    pub waiting_plan: Option<u64>,
    /// Failed passes in a row.
    pub failures: u32,
    /// It denied us: a person must act.
    pub denied: bool,
}

impl App {
    /// How it is.
    pub(crate) fn status(&self) -> Result<Status, Problem> {
        let engine = self.engine()?;
        let config = engine.config();
        let store = engine.store();
        let time = |micros: Option<i64>| micros.map(|micros| Timestamp::from_micros(micros).to_string());
        let mut sources = Vec::new();
        for connection in config.connections.values().filter(|c| c.open.source().is_some()) {
            let state = ConnectionState::parse(store.connection_state(connection.id)?.as_deref());
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
                failures: state.failures,
                denied: state.denied,
            });
        }
        let known = engine.known();
        Ok(Status {
            version: env!("CARGO_PKG_VERSION"),
            indicators: known.index.len() as u64,
            records: known.index.n_records() as u64,
            frozen: engine.is_frozen()?,
            sources,
            targets,
            warnings: config.warnings.clone(),
        })
    }
}
