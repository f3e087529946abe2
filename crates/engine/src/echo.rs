//! Which rows are only our own word coming back.

use crate::config::Config;
use crate::ledger::Entry;
use crate::{Engine, Known};
use intel::echo::{self, Maker, Planted, Reading};
use intel::{ConnectionId, IndicatorId, Row, TargetId};
use std::sync::Arc;

/// The targets whose entries one connection may read back, and this exchange's own mark.
pub(crate) struct Echoes {
    targets: Vec<TargetId>,
    exchange: Arc<str>,
}

impl Echoes {
    /// Whether a row is an echo: it passed through this exchange before, or it is what we put there before this source
    /// first said it.
    pub(crate) fn is_echo(&self, known: &Known, id: Option<IndicatorId>, row: &Row) -> bool {
        let lines: Vec<Entry> = id
            .map(|id| self.targets.iter().filter_map(|target| known.ledgers.get(target)?.find(known, id)).collect())
            .unwrap_or_default();
        let maker = match &row.remote_id {
            None => Maker::Unstated,
            Some(remote) if lines.iter().any(|l| l.remote_id.as_deref() == Some(remote)) => Maker::Us,
            // Lines of a product without ids say nothing about who made an object that has one.
            Some(_) if lines.iter().all(|l| l.remote_id.is_none()) => Maker::Unstated,
            Some(_) => Maker::SomebodyElse,
        };
        let reading = Reading { maker, first_genuine: None, passed_us: echo::passed_us(&row.hops, &self.exchange) };
        echo::is_echo(
            &reading,
            lines.iter().map(|line| Planted {
                state: line.line.state,
                first_intent: line.first_intent,
                same_account: true,
            }),
        )
    }
}

impl Engine {
    /// The echoes a connection may bring: entries at targets of its own account, and of targets it says it reads.
    pub(crate) fn echoes(&self, connection: ConnectionId) -> Echoes {
        let config = self.config();
        Echoes { targets: read_back(&config, connection), exchange: self.exchange_id() }
    }
}

/// Targets of the same account as a connection, or declared as read by it.
fn read_back(config: &Config, connection: ConnectionId) -> Vec<TargetId> {
    let Some(source) = config.connections.get(&connection) else { return Vec::new() };
    config
        .targets
        .values()
        .filter(|target| {
            let same = config
                .connections
                .get(&target.connection)
                .is_some_and(|c| c.id == connection || (c.doc.tenant.is_some() && c.doc.tenant == source.doc.tenant));
            same || source.doc.reads.contains(&target.doc.name)
        })
        .map(|target| target.id)
        .collect()
}
