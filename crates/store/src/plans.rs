//! Held plans: steps that wait for a person, and what was decided about them.

use crate::error::{Result, StoreError};
use crate::{Store, accounts};
use intel::{RunId, TargetId, Timestamp};
use rusqlite::{OptionalExtension, Row, params};
use std::fmt;

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
}

/// Which plans; what is None does not matter.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlanFilter {
    /// Of which target.
    pub target: Option<TargetId>,
    /// Where they stand.
    pub status: Option<PlanStatus>,
}

const SELECT: &str = "SELECT id, target, hash, steps, created, run, status, who, note, decided FROM plan";

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
        self.write(|tx, _| {
            let waiting: Option<(i64, String)> = tx
                .prepare_cached("SELECT id, hash FROM plan WHERE target = ?1 AND status = 'waiting'")?
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
                "INSERT INTO plan (target, hash, steps, created, run, status) VALUES (?1, ?2, ?3, ?4, ?5, 'waiting')",
                params![target.0, hash, steps, created.micros(), run.0.cast_signed()],
            )?;
            Ok(PlanId(tx.last_insert_rowid().cast_unsigned()))
        })
    }

    /// Takes away the waiting plan of a target, as when nothing is held any more. Gives whether there was one.
    pub fn drop_waiting_plan(&self, target: TargetId) -> Result<bool, StoreError> {
        let is_any = !self.plans(PlanFilter { target: Some(target), status: Some(PlanStatus::Waiting) })?.is_empty();
        if !is_any {
            return Ok(false);
        }
        self.write(|tx, _| Ok(tx.execute("DELETE FROM plan WHERE target = ?1 AND status = 'waiting'", [target.0])? > 0))
    }

    /// Plans, latest first.
    pub fn plans(&self, filter: PlanFilter) -> Result<Vec<PlanRow>, StoreError> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached(&format!(
                "{SELECT} WHERE (?1 IS NULL OR target = ?1) AND (?2 IS NULL OR status = ?2) ORDER BY id DESC"
            ))?;
            let mut rows =
                statement.query(params![filter.target.map(|t| t.0), filter.status.map(PlanStatus::as_str)])?;
            let mut out = Vec::new();
            while let Some(row) = rows.next()? {
                out.push(plan(row)?);
            }
            Ok(out)
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
        self.write(|tx, _| {
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
        self.write(|tx, _| {
            let sql = "UPDATE plan SET status = 'done' WHERE id = ?1 AND status = 'approved'";
            match tx.execute(sql, [id.0.cast_signed()])? {
                0 => Err(StoreError::Conflict(format!("plan {id} is not approved"))),
                _ => Ok(()),
            }
        })
    }

    /// Ends approvals given before a time. Gives how many.
    pub fn expire_plans(&self, decided_before: Timestamp) -> Result<u64, StoreError> {
        self.write(|tx, _| {
            let sql = "UPDATE plan SET status = 'expired' WHERE status = 'approved' AND decided < ?1";
            Ok(tx.execute(sql, [decided_before.micros()])? as u64)
        })
    }

    /// Removes plans that are over and were decided before a time. Gives how many.
    pub fn prune_plans(&self, decided_before: Timestamp) -> Result<u64, StoreError> {
        self.write(|tx, _| {
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
    })
}
