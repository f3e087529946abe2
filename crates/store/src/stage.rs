//! Rows of a suspect run wait here, whole, until a person approves or discards it.

use crate::error::{Result, StoreError};
use crate::row::{self, CLAIM, CLAIM_LEN};
use crate::{Store, tagset};
use intel::{Reputation, Row, RunId, Timestamp};
use rusqlite::params;

impl Store {
    /// Adds rows with their fingerprints to what is staged of a run, after those there. Gives how many.
    pub fn stage<'a>(&self, run: RunId, rows: impl IntoIterator<Item = (&'a Row, u64)>) -> Result<u64, StoreError> {
        self.stage_all(run, &mut rows.into_iter())
    }

    fn stage_all(&self, run: RunId, rows: &mut dyn Iterator<Item = (&Row, u64)>) -> Result<u64> {
        self.write(|tx, _| {
            let mut seq: i64 = tx.query_row(
                "SELECT coalesce(max(seq), 0) FROM staged WHERE run = ?1",
                [run.0.cast_signed()],
                |row| row.get(0),
            )?;
            let mut insert = tx.prepare_cached(&format!(
                "INSERT INTO staged ({CLAIM}, tags, kind, value, version, remote_id, hops, fingerprint, run, seq) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23)"
            ))?;
            let mut n_rows = 0;
            for (row, fingerprint) in rows {
                seq += 1;
                n_rows += 1;
                let claim = &row.claim;
                insert.execute(params![
                    claim.reputation.map(Reputation::get),
                    claim.confidence,
                    claim.severity as u8,
                    claim.tlp.map(|t| t as u8),
                    claim.first_seen.map(Timestamp::micros),
                    claim.last_seen.map(Timestamp::micros),
                    claim.valid_from.map(Timestamp::micros),
                    claim.expires_at.map(Timestamp::micros),
                    claim.retracted,
                    claim.internal_hits,
                    claim.external_hits,
                    claim.comment,
                    claim.link,
                    claim.raw,
                    tagset::to_json(&claim.tags),
                    row.key.kind() as u8,
                    row.key.value(),
                    row.version.map(Timestamp::micros),
                    row.remote_id,
                    tagset::to_json(&row.hops),
                    fingerprint.cast_signed(),
                    run.0.cast_signed(),
                    seq,
                ])?;
            }
            Ok(n_rows)
        })
    }

    /// What is staged of a run, with fingerprints, in the order it came.
    pub fn staged(&self, run: RunId) -> Result<Vec<(Row, u64)>, StoreError> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached(&format!(
                "SELECT {CLAIM}, tags, kind, value, version, remote_id, hops, fingerprint FROM staged \
                 WHERE run = ?1 ORDER BY seq"
            ))?;
            let mut rows = statement.query([run.0.cast_signed()])?;
            let mut out = Vec::new();
            while let Some(row) = rows.next()? {
                const AT: usize = CLAIM_LEN;
                let tags = tagset::from_json(&row.get::<_, String>(AT)?)?;
                let hops = tagset::from_json(&row.get::<_, String>(AT + 5)?)?;
                let staged = Row {
                    key: row::key(row.get(AT + 1)?, &row.get::<_, String>(AT + 2)?)?,
                    version: row::time(row, AT + 3)?,
                    claim: row::claim(row, tags)?,
                    remote_id: row::text(row, AT + 4)?,
                    hops: hops.into_iter().map(String::from).collect(),
                };
                out.push((staged, row.get::<_, i64>(AT + 6)?.cast_unsigned()));
            }
            Ok(out)
        })
    }

    /// Forgets what is staged of a run. Gives how many rows it was.
    pub fn drop_staged(&self, run: RunId) -> Result<u64, StoreError> {
        self.write(|tx, _| Ok(tx.execute("DELETE FROM staged WHERE run = ?1", [run.0.cast_signed()])? as u64))
    }
}
