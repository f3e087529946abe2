//! How a target is, at a glance: what it holds by the ledger, what reading it back found, how much room and how much of
//! its budget there is, and what it waits for.

use super::capacity_of;
use super::held::BudgetUse;
use super::verify::how;
use crate::Engine;
use crate::error::EngineError;
use crate::state::{Drift, TargetState};
use intel::Timestamp;
use intel::sharing::LineState;
use kit::manifest::Delivery;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// How one target is.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct TargetShown {
    /// Its name.
    pub target: String,
    /// Its connection.
    pub connection: String,
    /// Its action.
    pub action: String,
    /// `items`, `list`, `replace` (a list shared with others) or `hosted`.
    pub delivery: &'static str,
    /// Whether passes are run.
    pub enabled: bool,
    /// How its last pass ended.
    pub status: Option<String>,
    /// When that began. RFC 3339.
    pub last_run: Option<String>,
    /// Failed passes in a row.
    pub failures: u32,
    /// It is not tried before this. RFC 3339.
    pub not_before: Option<String>,
    /// It denied us: a person must act.
    pub denied: bool,
    /// Everything is frozen by a person.
    pub frozen: bool,
    /// The exchange was restored from a backup, and nothing is sent here before somebody adopts what is there.
    pub restored: bool,
    /// Its first fill is done.
    pub filled: bool,
    /// Lines of the ledger by state; states without a line are left out.
    pub lines: BTreeMap<&'static str, u64>,
    /// Refused entries that were refused so often that a person should look.
    pub exhausted: u64,
    /// How it can be asked what it holds: `read` (everything), `look` (entry by entry), `list` (one we serve) or `none`.
    pub how: &'static str,
    /// How often it is read back without being told to, in seconds. None: never.
    pub verify_secs: Option<u64>,
    /// When it was last read back. RFC 3339.
    pub verified: Option<String>,
    /// What was found to differ then.
    pub drift: Option<Drift>,
    /// How much room there is.
    pub capacity: CapacityShown,
    /// Who we are there by its own word, where it says.
    pub identity: Option<String>,
    /// Who it says we are now, where that is somebody else: nothing is sent until somebody adopts what is there.
    pub identity_found: Option<String>,
    /// How much of the change budget is spent.
    pub budget: BudgetUse,
    /// What was undone here and stays so.
    pub pins: u64,
    /// Plans that wait for a person, by number.
    pub plans: Vec<u64>,
}

/// How much a target holds at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CapacityShown {
    /// Most entries by all that is known, those of others included. None: no limit is known.
    pub limit: Option<u64>,
    /// What the configuration or the action says.
    pub declared: Option<u64>,
    /// What nobody declared.
    pub learned: Option<LearnedShown>,
    /// Entries of others that take room, by the last reading.
    pub foreign: u64,
}

/// A limit that nobody declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LearnedShown {
    /// Most entries.
    pub limit: u64,
    /// The destination says so; else it was found to drop what is more, and that is forgotten after a while.
    pub said: bool,
    /// When that was, in microseconds since 1970.
    pub at: i64,
}

impl Engine {
    /// How a target is.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], or a failing store.
    pub fn target_shown(&self, name: &str) -> Result<TargetShown, EngineError> {
        self.advance()?;
        let config = self.config();
        let target = config.target(name).ok_or_else(|| self.no_target(name))?;
        let now = self.world.now();
        let state = TargetState::parse(self.store.target_state(target.id)?.as_deref());
        let time = |micros: Option<i64>| micros.map(|micros| Timestamp::from_micros(micros).to_string());
        let budget = BudgetUse::of(&self.brakes(&config, target, &state, now)?);
        let waiting = self.plans(Some("waiting"))?;
        let known = self.known();
        let mut lines = BTreeMap::new();
        let mut exhausted = 0;
        if let Some(ledger) = known.ledgers.get(&target.id) {
            for state in LineState::ALL {
                let n = ledger.count(*state) as u64;
                if n > 0 {
                    lines.insert(state.as_str(), n);
                }
            }
            let n_refused = ledger.count(LineState::Refused);
            let refused = ledger.unsettled().filter(|_| n_refused > 0).filter_map(|id| ledger.get(id));
            let refused = refused.filter(|entry| entry.line.state == LineState::Refused);
            exhausted = refused.filter(|entry| entry.line.attempts >= intel::limits::REFUSED_EXHAUSTED).count() as u64;
        }
        let stated = [target.int_param("capacity"), target.action.capacity];
        let n = |state: LineState| lines.get(state.as_str()).copied().unwrap_or(0);
        let foreign = n(LineState::Foreign) + n(LineState::Released);
        Ok(TargetShown {
            target: name.to_owned(),
            connection: config.connections.get(&target.connection).map_or_else(String::new, |c| c.doc.name.clone()),
            action: target.action.name.clone(),
            delivery: match target.action.delivery {
                Delivery::Items => "items",
                Delivery::List => "list",
                Delivery::Replace => "replace",
                Delivery::Hosted => "hosted",
            },
            enabled: target.doc.enabled,
            status: state.last_status.clone(),
            last_run: time(state.last_run),
            failures: state.failures,
            not_before: time(state.not_before),
            denied: state.denied,
            frozen: self.is_frozen()?,
            restored: self.must_reconcile(target.id)?,
            filled: state.filled,
            exhausted,
            how: how(target),
            verify_secs: target.verify.map(|every| every.as_secs()),
            verified: time(state.verified),
            drift: state.drift.clone(),
            capacity: CapacityShown {
                limit: capacity_of(target, &state, now),
                declared: stated.into_iter().flatten().min(),
                learned: state.learned.map(|l| LearnedShown { limit: l.limit, said: l.is_said, at: l.at }),
                foreign: foreign.max(state.foreign.unwrap_or(0)),
            },
            identity: state.identity.clone(),
            identity_found: state.identity_found.clone(),
            budget,
            pins: known.pins.get(&target.id).map_or(0, |pins| pins.len() as u64),
            plans: waiting.iter().filter(|plan| plan.target == name).map(|plan| plan.id).collect(),
            lines,
        })
    }
}
