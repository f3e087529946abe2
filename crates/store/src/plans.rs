//! Held plans: steps that wait for a person, and what was decided about them.

use crate::error::{Result, StoreError};
use crate::undo::{PinChange, write_pins};
use crate::{Store, accounts};
use intel::{RunId, TargetId, Timestamp};
use rusqlite::{OptionalExtension, Row, Transaction, params};
use std::fmt;
use std::sync::atomic::Ordering;

/// One held plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlanId(pub u64);

impl fmt::Display for PlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a plan stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanStatus {
    /// Nobody has decided yet; at most one per target.
    Waiting,
    /// Its steps may go.
    Approved,
    /// Its steps may not go.
    Rejected,
    /// Approved, and the time for it ran out.
    Expired,
    /// Approved, and its steps were taken.
    Done,
}

impl PlanStatus {
    /// The name stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            PlanStatus::Waiting => "waiting",
            PlanStatus::Approved => "approved",
            PlanStatus::Rejected => "rejected",
            PlanStatus::Expired => "expired",
            PlanStatus::Done => "done",
        }
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Option<PlanStatus> {
        use PlanStatus::{Approved, Done, Expired, Rejected, Waiting};
        [Waiting, Approved, Rejected, Expired, Done].into_iter().find(|status| status.as_str() == text)
    }
}

/// What a person says to a waiting plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Its steps may go.
    Approve,
    /// Its steps may not go.
    Reject,
}

/// A held plan with what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanRow {
    /// Which one.
    pub id: PlanId,
    /// Where its steps would go.
    pub target: TargetId,
    /// Names the set of steps.
    pub hash: String,
    /// JSON.
    pub steps: String,
    /// When it was first held.
    pub created: Timestamp,
    /// The run that last computed it.
    pub run: RunId,
    /// Where it stands.
    pub status: PlanStatus,
    /// Who decided.
    pub who: Option<String>,
    /// What they said.
    pub note: Option<String>,
    /// When.
    pub decided: Option<Timestamp>,
    /// `pass`: the brakes held it; `undo` or `return`: a person asked for it.
    pub kind: String,
    /// Who it is of.
    pub author: Option<String>,
    /// What it undoes or returns to, in words.
    pub about: Option<String>,
    /// The pins its approval sets or lifts, as JSON of whoever made it.
    pub pins: Option<String>,
    /// No call to its target begins while it waits: it stopped a run half-way.
    pub halts: bool,
    /// What it changed about the plan that waited before it, as JSON.
    pub replaced: Option<String>,
}

/// A plan that a person asked for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// `undo` or `return`.
    pub kind: &'static str,
    /// Whose it is.
    pub author: &'a str,
    /// In words.
    pub about: &'a str,
    /// JSON.
    pub pins: &'a str,
    /// Whether its target stands still until it is decided.
    pub halts: bool,
}

/// An approval of a whole plan or of a part of it.
#[derive(Debug, Clone, Copy)]
pub struct Approval<'a> {
    /// Which plan.
    pub id: PlanId,
    /// The set of steps that was looked at: another one is not approved.
    pub hash: &'a str,
    /// Who.
    pub who: &'a str,
    /// What they say.
    pub note: Option<&'a str>,
    /// When.
    pub now: Timestamp,
    /// Pins that are set or lifted with it.
    pub pins: &'a [PinChange],
    /// Of a part: what of the plan it is, and what goes on waiting. None: the whole.
    pub part: Option<(Rest<'a>, Rest<'a>)>,
}

/// A part of a plan.
#[derive(Debug, Clone, Copy)]
pub struct Rest<'a> {
    /// Names its steps.
    pub hash: &'a str,
    /// JSON.
    pub steps: &'a str,
    /// JSON.
    pub pins: Option<&'a str>,
}

/// Which plans; what is None does not matter.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlanFilter {
    /// Of which target.
    pub target: Option<TargetId>,
    /// Where they stand.
    pub status: Option<PlanStatus>,
}

const SELECT: &str = "SELECT id, target, hash, steps, created, run, status, who, note, decided, kind, author, about, pins, halts, \
     replaced FROM plan";

const SELECT_HEADS: &str = "SELECT id, target, hash, '', created, run, status, who, note, decided, kind, author, about, NULL, halts, \
     replaced FROM plan";

impl Store {
    /// Holds a plan. It takes the place of one of the same target that nobody has decided about; where that has the
    /// same hash, it stays and keeps its id and age.
    pub fn put_plan(
        &self,
        target: TargetId,
        hash: &str,
        steps: &str,
        created: Timestamp,
        run: RunId,
    ) -> Result<PlanId, StoreError> {
        self.hold_plan(target, hash, steps, created, run, None, None)
    }

    /// As [`Store::put_plan`], with who it is of and how it differs from the one whose place it takes.
    #[expect(clippy::too_many_arguments, reason = "the columns of one row")]
    pub fn hold_plan(
        &self,
        target: TargetId,
        hash: &str,
        steps: &str,
        created: Timestamp,
        run: RunId,
        author: Option<&str>,
        replaced: Option<&str>,
    ) -> Result<PlanId, StoreError> {
        self.write_plans(|tx| {
            let waiting: Option<(i64, String)> = tx
                .prepare_cached("SELECT id, hash FROM plan WHERE target = ?1 AND status = 'waiting' AND kind = 'pass'")?
                .query_row([target.0], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            if let Some((id, old)) = waiting {
                if old == hash {
                    tx.execute("UPDATE plan SET run = ?2 WHERE id = ?1", params![id, run.0.cast_signed()])?;
                    return Ok(PlanId(id.cast_unsigned()));
                }
                tx.execute("DELETE FROM plan WHERE id = ?1", [id])?;
            }
            tx.execute(
                "INSERT INTO plan (target, hash, steps, created, run, status, author, replaced) \
                 VALUES (?1, ?2, ?3, ?4, ?5, 'waiting', ?6, ?7)",
                params![target.0, hash, steps, created.micros(), run.0.cast_signed(), author, replaced],
            )?;
            Ok(PlanId(tx.last_insert_rowid().cast_unsigned()))
        })
    }

    /// Holds a plan that a person asked for, with its audit entry. It takes nobody's place.
    pub fn ask_plan(
        &self,
        target: TargetId,
        hash: &str,
        steps: &str,
        created: Timestamp,
        asked: &Asked<'_>,
    ) -> Result<PlanId, StoreError> {
        self.write_plans(|tx| {
            tx.execute(
                "INSERT INTO plan (target, hash, steps, created, run, status, kind, author, about, pins, halts) \
                 VALUES (?1, ?2, ?3, ?4, 0, 'waiting', ?5, ?6, ?7, ?8, ?9)",
                params![
                    target.0,
                    hash,
                    steps,
                    created.micros(),
                    asked.kind,
                    asked.author,
                    asked.about,
                    asked.pins,
                    asked.halts
                ],
            )?;
            let id = PlanId(tx.last_insert_rowid().cast_unsigned());
            let detail = serde_json::json!({ "hash": hash, "about": asked.about });
            accounts::write_audit(tx, asked.author, "plan.ask", &format!("plan {id}"), &detail.to_string(), created)?;
            Ok(id)
        })
    }

    /// Approves a plan or a part of it, with its pins and its audit entry, all or nothing. Fails with
    /// [`StoreError::Conflict`] where it no longer waits or is not the set that was looked at.
    pub fn approve(&self, approval: &Approval<'_>) -> Result<Option<PlanId>, StoreError> {
        self.write_plans(|tx| {
            let Approval { id, who, note, now, .. } = *approval;
            let found: Option<(u32, String)> = tx
                .prepare_cached(
                    "SELECT target, hash FROM plan WHERE id = ?1 AND (status = 'waiting' \
                     OR (status = 'rejected' \
                         AND NOT EXISTS (SELECT 1 FROM plan newer WHERE newer.target = plan.target AND newer.id > ?1)))",
                )?
                .query_row([id.0.cast_signed()], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let Some((target, hash)) = found else {
                return Err(StoreError::Conflict(format!("plan {id} does not wait for a decision: list the plans again")));
            };
            if hash != approval.hash {
                return Err(StoreError::Conflict(format!(
                    "plan {id} is {hash} now, not {}: show it again before you approve it",
                    approval.hash
                )));
            }
            let (hash, mut rest) = (approval.part.map_or(approval.hash, |(part, _)| part.hash), None);
            tx.execute(
                "UPDATE plan SET status = 'approved', who = ?2, note = ?3, decided = ?4 WHERE id = ?1",
                params![id.0.cast_signed(), who, note, now.micros()],
            )?;
            if let Some((part, left)) = approval.part {
                tx.execute(
                    "INSERT INTO plan (target, hash, steps, created, run, status, kind, author, about, pins, halts) \
                     SELECT target, ?2, ?3, created, run, 'waiting', kind, author, about, ?4, halts FROM plan WHERE id = ?1",
                    params![id.0.cast_signed(), left.hash, left.steps, left.pins],
                )?;
                rest = Some(PlanId(tx.last_insert_rowid().cast_unsigned()));
                tx.execute(
                    "UPDATE plan SET hash = ?2, steps = ?3, pins = ?4 WHERE id = ?1",
                    params![id.0.cast_signed(), part.hash, part.steps, part.pins],
                )?;
            }
            write_pins(tx, TargetId(target), approval.pins)?;
            let detail = serde_json::json!({ "hash": hash, "note": note, "pins": approval.pins.len(), "waits": rest.map(|r| r.0) });
            accounts::write_audit(tx, who, "plan.approve", &format!("plan {id}"), &detail.to_string(), now)?;
            Ok(rest)
        })
    }

    /// Ends plans that have waited since before a time. Gives their numbers.
    pub fn expire_waiting(&self, created_before: Timestamp, now: Timestamp) -> Result<Vec<PlanId>, StoreError> {
        let is_any = self.plan_heads(PlanFilter { target: None, status: Some(PlanStatus::Waiting) })?;
        if !is_any.iter().any(|plan| plan.created < created_before) {
            return Ok(Vec::new());
        }
        self.write_plans(|tx| {
            let mut statement = tx.prepare_cached(
                "UPDATE plan SET status = 'expired', decided = ?2 WHERE status = 'waiting' AND created < ?1 RETURNING id",
            )?;
            let ids = statement.query_map([created_before.micros(), now.micros()], |row| row.get::<_, i64>(0))?;
            Ok(ids.map(|id| id.map(|id| PlanId(id.cast_unsigned()))).collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Takes away the waiting plan of a target, as when nothing is held any more. Gives whether there was one.
    pub fn drop_waiting_plan(&self, target: TargetId) -> Result<bool, StoreError> {
        let waiting = self.plan_heads(PlanFilter { target: Some(target), status: Some(PlanStatus::Waiting) })?;
        if !waiting.iter().any(|plan| plan.kind == "pass") {
            return Ok(false);
        }
        let sql = "DELETE FROM plan WHERE target = ?1 AND status = 'waiting' AND kind = 'pass'";
        self.write_plans(|tx| Ok(tx.execute(sql, [target.0])? > 0))
    }

    /// Plans, latest first.
    pub fn plans(&self, filter: PlanFilter) -> Result<Vec<PlanRow>, StoreError> {
        self.read_plans(SELECT, filter)
    }

    /// The same without their steps and pins, which may be long: those are empty.
    pub fn plan_heads(&self, filter: PlanFilter) -> Result<Vec<PlanRow>, StoreError> {
        self.read_plans(SELECT_HEADS, filter)
    }

    fn read_plans(&self, select: &str, filter: PlanFilter) -> Result<Vec<PlanRow>, StoreError> {
        self.read(|conn| {
            // What is not asked for is not in the text, so that the index is of use.
            let by_target = if filter.target.is_some() { "target = ?1" } else { "?1 IS NULL" };
            let by_status = if filter.status.is_some() { "status = ?2" } else { "?2 IS NULL" };
            let sql = format!("{select} WHERE {by_target} AND {by_status} ORDER BY id DESC");
            let mut statement = conn.prepare_cached(&sql)?;
            let mut rows =
                statement.query(params![filter.target.map(|t| t.0), filter.status.map(PlanStatus::as_str)])?;
            let mut out = Vec::new();
            while let Some(row) = rows.next()? {
                out.push(plan(row)?);
            }
            Ok(out)
        })
    }

    /// How often plans were written since the store was opened: while it stays, so does what is read of them.
    pub fn plan_writes(&self) -> u64 {
        self.plan_writes.load(Ordering::Acquire)
    }

    fn write_plans<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        let written = self.write(|tx, _| work(tx));
        // After the commit: who reads before it and looks again afterwards sees another number.
        self.plan_writes.fetch_add(1, Ordering::Release);
        written
    }

    /// The first bytes of a plan's steps; fewer than asked for are all. Of a plan that is no more: none.
    pub fn plan_steps_begin(&self, id: PlanId, most: usize) -> Result<Vec<u8>, StoreError> {
        self.read(|conn| {
            // Not by a statement, which reads the whole text to give a part of it.
            let Ok(blob) = conn.blob_open("main", "plan", "steps", id.0.cast_signed(), true) else {
                return Ok(Vec::new());
            };
            let mut bytes = vec![0; most.min(blob.len())];
            blob.read_at_exact(&mut bytes, 0)?;
            Ok(bytes)
        })
    }

    /// One plan.
    pub fn plan(&self, id: PlanId) -> Result<Option<PlanRow>, StoreError> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached(&format!("{SELECT} WHERE id = ?1"))?;
            let mut rows = statement.query([id.0.cast_signed()])?;
            rows.next()?.map(plan).transpose()
        })
    }

    /// Decides about a waiting plan, with its audit entry. Fails with [`StoreError::Conflict`] where it no longer
    /// waits: a newer one took its place, or somebody else was first. A rejected plan that is the target's latest can
    /// still be approved: it is not asked for again, so minds must be able to change.
    pub fn decide_plan(
        &self,
        id: PlanId,
        decision: Decision,
        who: &str,
        note: Option<&str>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write_plans(|tx| {
            let (status, action) = match decision {
                Decision::Approve => (PlanStatus::Approved, "plan.approve"),
                Decision::Reject => (PlanStatus::Rejected, "plan.reject"),
            };
            let hash: Option<String> = tx
                .prepare_cached(
                    "UPDATE plan SET status = ?2, who = ?3, note = ?4, decided = ?5 WHERE id = ?1 AND (status = 'waiting' \
                     OR (?2 = 'approved' AND status = 'rejected' \
                         AND NOT EXISTS (SELECT 1 FROM plan newer WHERE newer.target = plan.target AND newer.id > ?1))) \
                     RETURNING hash",
                )?
                .query_row(params![id.0.cast_signed(), status.as_str(), who, note, now.micros()], |row| row.get(0))
                .optional()?;
            let Some(hash) = hash else {
                return Err(StoreError::Conflict(format!("plan {id} does not wait for a decision: list the plans again")));
            };
            let detail = serde_json::json!({ "hash": hash, "note": note });
            accounts::write_audit(tx, who, action, &format!("plan {id}"), &detail.to_string(), now)?;
            Ok(())
        })
    }

    /// Marks an approved plan as carried out.
    pub fn finish_plan(&self, id: PlanId) -> Result<(), StoreError> {
        self.write_plans(|tx| {
            let sql = "UPDATE plan SET status = 'done' WHERE id = ?1 AND status = 'approved'";
            match tx.execute(sql, [id.0.cast_signed()])? {
                0 => Err(StoreError::Conflict(format!("plan {id} is not approved"))),
                _ => Ok(()),
            }
        })
    }

    /// Ends approvals given before a time. Gives how many.
    pub fn expire_plans(&self, decided_before: Timestamp) -> Result<u64, StoreError> {
        self.write_plans(|tx| {
            let sql = "UPDATE plan SET status = 'expired' WHERE status = 'approved' AND decided < ?1";
            Ok(tx.execute(sql, [decided_before.micros()])? as u64)
        })
    }

    /// Removes plans that are over and were decided before a time. Gives how many.
    pub fn prune_plans(&self, decided_before: Timestamp) -> Result<u64, StoreError> {
        self.write_plans(|tx| {
            let sql = "DELETE FROM plan WHERE status IN ('rejected', 'expired', 'done') AND decided < ?1";
            Ok(tx.execute(sql, [decided_before.micros()])? as u64)
        })
    }
}

fn plan(row: &Row<'_>) -> Result<PlanRow> {
    let status: String = row.get(6)?;
    Ok(PlanRow {
        id: PlanId(row.get::<_, i64>(0)?.cast_unsigned()),
        target: TargetId(row.get(1)?),
        hash: row.get(2)?,
        steps: row.get(3)?,
        created: Timestamp::from_micros(row.get(4)?),
        run: RunId(row.get::<_, i64>(5)?.cast_unsigned()),
        status: PlanStatus::parse(&status).ok_or_else(|| StoreError::damaged(format!("a plan is '{status}'")))?,
        who: row.get(7)?,
        note: row.get(8)?,
        decided: row.get::<_, Option<i64>>(9)?.map(Timestamp::from_micros),
        kind: row.get(10)?,
        author: row.get(11)?,
        about: row.get(12)?,
        pins: row.get(13)?,
        halts: row.get(14)?,
        replaced: row.get(15)?,
    })
}
