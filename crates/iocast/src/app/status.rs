//! How the exchange is, at a glance.

use super::App;
use crate::api::Problem;
use engine::EngineError;
use engine::notice::{ChannelShown, NoticeShown};
use engine::state::{ConnectionState, Drift, TargetState};
use engine::{BudgetUse, FreezeShown, HeldPlan};
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
    /// Whether calls to destinations are stopped: everywhere, or at the targets of `restored`.
    pub(crate) frozen: bool,
    /// Who stopped them, since when and why. A restored exchange that nobody has looked at says so here too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) frozen_by: Option<FreezeShown>,
    /// Targets of an exchange restored from a backup that stand still until somebody adopts what they hold.
    pub(crate) restored: Vec<String>,
    /// Why the clock is not believed, and what to do; null: it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) clock: Option<String>,
    /// Why the configuration is not written and what does not work, while secrets are sealed with a key that is not here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sealed: Option<String>,
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
    /// The plans that wait for a person, the oldest first.
    pub(crate) plans: Vec<PlanStatus>,
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
    /// It waits for somebody to adopt what it holds, because the exchange was restored from a backup.
    pub(crate) restored: bool,
    /// Entries that differ from what the ledger says, by the last reading; null: it was not read back yet.
    pub(crate) drift: Option<u64>,
    /// Why nothing was concluded from that reading.
    pub(crate) doubt: Option<String>,
    /// Who it says we are, where that is not who we were: nothing is sent.
    pub(crate) identity_found: Option<String>,
    /// When it was last read back.
    pub(crate) verified: Option<String>,
}

/// One plan that waits for a person.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct PlanStatus {
    /// Its number.
    pub(crate) plan: u64,
    /// Its target.
    pub(crate) target: String,
    /// `pass`, `undo` or `return`.
    pub(crate) kind: String,
    /// Since when it waits. RFC 3339.
    pub(crate) since: String,
    /// For how many hours.
    pub(crate) age_hours: u64,
    /// When it expires. RFC 3339.
    pub(crate) until: Option<String>,
    /// Entries to add.
    pub(crate) push: u64,
    /// Entries to change.
    pub(crate) update: u64,
    /// Entries to take back.
    pub(crate) retract: u64,
    /// Why most of its steps wait.
    pub(crate) waits: Option<String>,
    /// How much of the change budget of its target is spent.
    pub(crate) budget: Option<BudgetUse>,
    /// No call to its target begins while it waits.
    pub(crate) halts: bool,
}

impl PlanStatus {
    fn of(plan: &HeldPlan, now: Timestamp) -> PlanStatus {
        let since = Timestamp::parse(&plan.created).unwrap_or(now);
        PlanStatus {
            plan: plan.id,
            target: plan.target.clone(),
            kind: plan.kind.clone(),
            since: plan.created.clone(),
            age_hours: now.since(since).as_secs() / 3600,
            until: plan.until.clone(),
            push: plan.push,
            update: plan.update,
            retract: plan.retract,
            waits: plan.waits.first().map(|waits| waits.why.clone()),
            budget: plan.budget,
            halts: plan.halts,
        }
    }
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
    /// How many suspect runs wait for a person.
    pub(crate) fn suspect_runs(&self) -> Result<u64, Problem> {
        let engine = self.engine()?;
        let mut waiting = 0;
        for connection in engine.config().connections.values() {
            let state = ConnectionState::parse(engine.store().connection_state(connection.id)?.as_deref());
            waiting += u64::from(state.suspect.is_some());
        }
        Ok(waiting)
    }

    /// How it is.
    pub(crate) fn status(&self) -> Result<Status, Problem> {
        let engine = self.engine()?;
        let config = engine.config();
        let store = engine.store();
        let now = engine.world().now();
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
        let restored = engine.to_reconcile()?;
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
                restored: restored.contains(&target.doc.name),
                drift: state.drift.as_ref().map(Drift::n_different),
                doubt: state.drift.and_then(|drift| drift.doubt),
                identity_found: state.identity_found,
                verified: time(state.verified),
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
            frozen: engine.is_frozen()? || !restored.is_empty(),
            frozen_by: engine.frozen_by()?,
            restored,
            clock: engine.clock_warning(),
            sealed: engine.sealed_off()?,
            notices,
            channels,
            sources,
            buckets,
            targets,
            plans: waiting.iter().rev().map(|plan| PlanStatus::of(plan, now)).collect(),
            calls: engine.world().paces().map(Paces::rows).unwrap_or_default().into_iter().map(Into::into).collect(),
            warnings: config.warnings.clone(),
        })
    }
}
