//! What every share run changed, so that it can be undone, and the pins that hold what was undone.

use crate::error::{Result, StoreError};
use crate::{Store, accounts};
use intel::{IndicatorId, RunId, TargetId, Timestamp};
use rusqlite::{Connection, params};
use std::collections::BTreeMap;

/// One effect of a run and what stood there before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inverse {
    /// Whose entry.
    pub indicator: IndicatorId,
    /// What was done.
    pub effect: Effect,
    /// Number of the state of its line before; None: there was no line.
    pub state: Option<u8>,
    /// What it carried before.
    pub fingerprint: u64,
    /// When its line was last written before, to the second; None: there was no line.
    pub since: Option<Timestamp>,
    /// A pin asked for it: it carries out an undo.
    pub by_pin: bool,
}

/// What a run did to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Put it there, or meant to.
    Added,
    /// Changed it.
    Changed,
    /// Took it back.
    Removed,
    /// Nothing after all: it was refused, or the call was never made. What the run said of this entry before this is
    /// void.
    Nothing,
}

const ROW: usize = 18;
const BY_PIN: u8 = 0x80;
const NO_LINE: u8 = 0xff;

impl Inverse {
    fn write(&self, out: &mut Vec<u8>) {
        let effect = match self.effect {
            Effect::Added => 0,
            Effect::Changed => 1,
            Effect::Removed => 2,
            Effect::Nothing => 3,
        };
        out.extend_from_slice(&self.indicator.0.to_le_bytes());
        out.push(effect | if self.by_pin { BY_PIN } else { 0 });
        out.push(self.state.unwrap_or(NO_LINE));
        out.extend_from_slice(&self.fingerprint.to_le_bytes());
        let since = self.since.and_then(|since| u32::try_from(since.secs()).ok()).unwrap_or(0);
        out.extend_from_slice(&since.to_le_bytes());
    }

    fn read(row: &[u8]) -> Option<Inverse> {
        let (id, rest) = row.split_first_chunk::<4>()?;
        let ([effect, state], rest) = rest.split_first_chunk::<2>()?;
        let (fingerprint, rest) = rest.split_first_chunk::<8>()?;
        let (since, _) = rest.split_first_chunk::<4>()?;
        let since = Some(u32::from_le_bytes(*since)).filter(|since| *since > 0);
        let done = match effect & !BY_PIN {
            0 => Effect::Added,
            1 => Effect::Changed,
            2 => Effect::Removed,
            3 => Effect::Nothing,
            _ => return None,
        };
        Some(Inverse {
            indicator: IndicatorId(u32::from_le_bytes(*id)),
            effect: done,
            state: Some(*state).filter(|state| *state != NO_LINE),
            fingerprint: u64::from_le_bytes(*fingerprint),
            since: since.map(|since| Timestamp::from_secs(since.into())),
            by_pin: effect & BY_PIN != 0,
        })
    }
}

/// Where a pin holds an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// It stays there, as it was.
    In,
    /// It stays out.
    Out,
}

impl Hold {
    /// The name stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Hold::In => "in",
            Hold::Out => "out",
        }
    }
}

/// What a person undid about one entry of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinRow {
    /// Whose entry.
    pub indicator: IndicatorId,
    /// Where it stays.
    pub hold: Hold,
    /// The plan that asked.
    pub plan: u64,
    /// Who approved that.
    pub who: String,
    /// When.
    pub at: Timestamp,
    /// The runs it undoes, as JSON.
    pub runs: String,
    /// What the entry carried then, as JSON; None: what it carries now.
    pub past: Option<String>,
}

/// What an approval does to one entry's pin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PinChange {
    /// Sets it, in place of one that was there.
    Set(PinRow),
    /// Lifts it.
    Lift(IndicatorId),
}

impl Store {
    /// What runs of a target did since a run, that one included, or since a time: by run, in the order of doing.
    /// What was void is left out.
    pub fn inverses(
        &self,
        target: TargetId,
        from: RunId,
        since: Option<Timestamp>,
        each: &mut dyn FnMut(RunId, Inverse),
    ) -> Result<(), StoreError> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT run, rows FROM undo WHERE target = ?1 AND run >= ?2 AND (?3 IS NULL OR at >= ?3) ORDER BY run, id",
            )?;
            let mut rows = statement.query(params![target.0, from.0.cast_signed(), since.map(Timestamp::micros)])?;
            let mut batch: Vec<Inverse> = Vec::new();
            let mut of = None;
            while let Some(row) = rows.next()? {
                let run = RunId(row.get::<_, i64>(0)?.cast_unsigned());
                if of != Some(run) {
                    flush(of, &mut batch, each);
                    of = Some(run);
                }
                let packed = row.get_ref(1)?;
                let packed = packed.as_blob().map_err(|error| StoreError::damaged(format!("an inverse: {error}")))?;
                for row in packed.chunks(ROW) {
                    let inverse = Inverse::read(row).ok_or_else(|| StoreError::damaged("an inverse is cut short"))?;
                    batch.push(inverse);
                }
            }
            flush(of, &mut batch, each);
            Ok(())
        })
    }

    /// The earliest time from which a target's effects are known; None: none is.
    pub fn inverses_reach(&self, target: TargetId) -> Result<Option<Timestamp>, StoreError> {
        self.read(|conn| {
            let sql = "SELECT min(at) FROM undo WHERE target = ?1";
            let at: Option<i64> = conn.prepare_cached(sql)?.query_row([target.0], |row| row.get(0))?;
            Ok(at.map(Timestamp::from_micros))
        })
    }

    /// Says more of what a run did or would have done.
    pub fn add_inverses(
        &self,
        target: TargetId,
        run: RunId,
        rows: &[Inverse],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(|tx, _| write_inverses(tx, target, run, rows, now))
    }

    /// Forgets how to undo what was done before a time.
    pub fn prune_inverses(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.write(|tx, _| Ok(tx.execute("DELETE FROM undo WHERE at < ?1", [before.micros()])? as u64))
    }

    /// The pins of every target.
    pub fn pins(&self, each: &mut dyn FnMut(TargetId, PinRow)) -> Result<(), StoreError> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT target, indicator, hold, plan, who, at, runs, past FROM pin ORDER BY target, indicator",
            )?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let hold = if row.get_ref(2)?.as_str().is_ok_and(|hold| hold == "in") { Hold::In } else { Hold::Out };
                let pin = PinRow {
                    indicator: IndicatorId(row.get(1)?),
                    hold,
                    plan: row.get::<_, i64>(3)?.cast_unsigned(),
                    who: row.get(4)?,
                    at: Timestamp::from_micros(row.get(5)?),
                    runs: row.get(6)?,
                    past: row.get(7)?,
                };
                each(TargetId(row.get(0)?), pin);
            }
            Ok(())
        })
    }

    /// Lifts pins of a target, all where none is named, with their audit entry. Gives how many there were.
    pub fn lift_pins(
        &self,
        target: TargetId,
        name: &str,
        which: Option<&[IndicatorId]>,
        who: &str,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        self.write(|tx, _| {
            let lifted = match which {
                None => tx.execute("DELETE FROM pin WHERE target = ?1", [target.0])?,
                Some(ids) => {
                    let mut delete = tx.prepare_cached("DELETE FROM pin WHERE target = ?1 AND indicator = ?2")?;
                    ids.iter().map(|id| delete.execute([target.0, id.0])).sum::<rusqlite::Result<usize>>()?
                }
            };
            if lifted > 0 {
                let detail = serde_json::json!({ "lifted": lifted }).to_string();
                accounts::write_audit(tx, who, "target.unpin", name, &detail, now)?;
            }
            Ok(lifted as u64)
        })
    }
}

/// Hands on what a run did, in the order of doing, without what came to nothing.
fn flush(run: Option<RunId>, batch: &mut Vec<Inverse>, each: &mut dyn FnMut(RunId, Inverse)) {
    let Some(run) = run else { return };
    // What came to nothing is what was said before that; what is said of it later stands.
    let mut void: BTreeMap<u32, usize> = BTreeMap::new();
    for (at, row) in batch.iter().enumerate().filter(|(_, row)| row.effect == Effect::Nothing) {
        void.insert(row.indicator.0, at);
    }
    let stands = |(at, row): &(usize, Inverse)| void.get(&row.indicator.0).is_none_or(|last| at > last);
    for (_, row) in batch.drain(..).enumerate().filter(stands) {
        each(run, row);
    }
}

pub(crate) fn write_inverses(
    tx: &Connection,
    target: TargetId,
    run: RunId,
    rows: &[Inverse],
    now: Timestamp,
) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut packed = Vec::with_capacity(rows.len() * ROW);
    rows.iter().for_each(|row| row.write(&mut packed));
    tx.prepare_cached("INSERT INTO undo (target, run, at, rows) VALUES (?1, ?2, ?3, ?4)")?.execute(params![
        target.0,
        run.0.cast_signed(),
        now.micros(),
        packed
    ])?;
    Ok(())
}

pub(crate) fn write_pins(tx: &Connection, target: TargetId, changes: &[PinChange]) -> Result<()> {
    let mut set = tx.prepare_cached(
        "INSERT OR REPLACE INTO pin (target, indicator, hold, plan, who, at, runs, past) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    let mut lift = tx.prepare_cached("DELETE FROM pin WHERE target = ?1 AND indicator = ?2")?;
    for change in changes {
        match change {
            PinChange::Set(pin) => set.execute(params![
                target.0,
                pin.indicator.0,
                pin.hold.as_str(),
                pin.plan.cast_signed(),
                pin.who,
                pin.at.micros(),
                pin.runs,
                pin.past
            ])?,
            PinChange::Lift(indicator) => lift.execute([target.0, indicator.0])?,
        };
    }
    Ok(())
}
