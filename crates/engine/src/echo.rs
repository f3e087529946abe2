//! Which rows are only our own word coming back.

use crate::config::Config;
use crate::ledger::Entry;
use crate::{Engine, Known};
use intel::echo::{self, Maker, Planted, Reading};
use intel::record::{Absorbed, SourceRecord};
use intel::{ConnectionId, IndicatorId, Row, TargetId, Timestamp};
use std::sync::Arc;

/// The targets whose entries one connection may read back, and this exchange's own mark.
pub(crate) struct Echoes {
    /// With whether what is put there carries our mark.
    targets: Vec<(TargetId, bool)>,
    exchange: Arc<str>,
}

impl Echoes {
    /// Takes a row into what its connection said of the key so far. `run` is the version of a row without a date,
    /// `received` when the connection first gave us the key if it does so now.
    ///
    /// A collection that others write to as well may hold their object and ours for one key. Ours is no word of the
    /// source: it neither renews theirs nor, revoked, takes it back; and theirs takes the place of ours whatever the dates.
    pub(crate) fn take(
        &self,
        known: &Known,
        id: Option<IndicatorId>,
        record: Option<SourceRecord>,
        row: &Row,
        fingerprint: u64,
        (run, received): (Timestamp, Timestamp),
    ) -> (SourceRecord, Absorbed) {
        let Some(mut record) = record else {
            let mut record = SourceRecord::first(row, fingerprint, run, received);
            record.echo = self.is_echo(known, id, row);
            return (record, Absorbed::Changed);
        };
        let is_another = record.remote_id.is_some() && row.remote_id.is_some() && record.remote_id != row.remote_id;
        if is_another && !record.echo && self.is_ours(known, id, row) {
            return (record, Absorbed::Unchanged);
        }
        if is_another && record.echo && !self.is_echo(known, id, row) {
            let first = SourceRecord::first(row, fingerprint, run, record.received);
            return (SourceRecord { ended: record.ended, ..first }, Absorbed::Changed);
        }
        let mut absorbed = record.absorb(row, fingerprint, run);
        // A genuine record stays genuine unless it says itself that it passed through here; an echo is judged anew.
        let is_current = record.contents.binary_search(&fingerprint).is_ok();
        if record.echo || (is_current && self.passed_us(row)) {
            let echo = self.is_echo(known, id, row);
            if echo != record.echo {
                record.echo = echo;
                absorbed = Absorbed::Changed;
            }
        }
        (record, absorbed)
    }

    fn passed_us(&self, row: &Row) -> bool {
        echo::passed_us(&row.hops, &self.exchange)
    }

    /// The lines of a key that may be what a row is made of.
    fn lines(&self, known: &Known, id: Option<IndicatorId>, row: &Row) -> Vec<Entry> {
        let Some(id) = id else { return Vec::new() };
        let find = |(target, marks): &(TargetId, bool)| {
            let line = known.ledgers.get(target)?.find(known, id)?;
            // Ours would say so. That its id is not known yet does not make another's object ours.
            let is_anothers = *marks && line.remote_id.is_none() && row.remote_id.is_some() && !self.passed_us(row);
            (!is_anothers).then_some(line)
        };
        self.targets.iter().filter_map(find).collect()
    }

    /// Whether a row says that it is ours: it passed through here, or is an object that a target gave an id of its own.
    fn is_ours(&self, known: &Known, id: Option<IndicatorId>, row: &Row) -> bool {
        self.passed_us(row) || maker_of(row, &self.lines(known, id, row)) == Maker::Us
    }

    /// Whether a row is an echo: it passed through this exchange before, or it is what we put there before this source
    /// first said it.
    fn is_echo(&self, known: &Known, id: Option<IndicatorId>, row: &Row) -> bool {
        let lines = self.lines(known, id, row);
        let reading = Reading { maker: maker_of(row, &lines), first_genuine: None, passed_us: self.passed_us(row) };
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

/// Who made what a row says, as far as these lines tell.
fn maker_of(row: &Row, lines: &[Entry]) -> Maker {
    match &row.remote_id {
        None => Maker::Unstated,
        Some(remote) if lines.iter().any(|l| l.remote_id.as_deref() == Some(remote)) => Maker::Us,
        // Lines of a product without ids say nothing about who made an object that has one.
        Some(_) if lines.iter().all(|l| l.remote_id.is_none()) => Maker::Unstated,
        Some(_) => Maker::SomebodyElse,
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
fn read_back(config: &Config, connection: ConnectionId) -> Vec<(TargetId, bool)> {
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
        .map(|target| (target.id, target.action.marks))
        .collect()
}
