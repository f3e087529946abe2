//! Answers kept for a while under the key a caller gave, so that a request that is repeated has no second effect.

use crate::Store;
use crate::error::{Result, StoreError};
use intel::Timestamp;
use rusqlite::{OptionalExtension, params};

/// Most answers kept of one caller, and most bytes of them: of more the oldest are forgotten.
const ANSWERS: i64 = 1_000;
const ANSWER_BYTES: i64 = 64 << 20;

/// An answer that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// SHA-256 of the request it answers.
    pub body: [u8; 32],
    /// What was answered.
    pub answer: Vec<u8>,
}

impl Store {
    /// The answer given to a caller under a key, unless it was given before `since`.
    pub fn answer(&self, caller: &str, key: &str, since: Timestamp) -> Result<Option<Answer>, StoreError> {
        self.read(|conn| {
            let mut statement =
                conn.prepare_cached("SELECT body, answer FROM answer WHERE caller = ?1 AND key = ?2 AND at >= ?3")?;
            Ok(statement
                .query_row(params![caller, key, since.micros()], |row| {
                    Ok(Answer { body: row.get(0)?, answer: row.get(1)? })
                })
                .optional()?)
        })
    }

    /// Keeps an answer under a key. An older one under that key is replaced; of one caller the latest thousand are kept,
    /// as far as they come to no more than 64 MiB.
    pub fn put_answer(&self, caller: &str, key: &str, answer: &Answer, now: Timestamp) -> Result<(), StoreError> {
        self.write(|tx, _| {
            tx.prepare_cached(
                "INSERT OR REPLACE INTO answer (caller, key, body, answer, at) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![caller, key, answer.body, answer.answer, now.micros()])?;
            tx.prepare_cached(
                "DELETE FROM answer WHERE caller = ?1 AND key IN (SELECT key FROM (
                   SELECT key, row_number() OVER latest AS n, sum(length(answer)) OVER latest AS bytes
                   FROM answer WHERE caller = ?1 WINDOW latest AS (ORDER BY key = ?4 DESC, at DESC, key))
                 WHERE n > ?2 OR bytes > ?3)",
            )?
            .execute(params![caller, ANSWERS, ANSWER_BYTES, key])?;
            Ok(())
        })
    }

    /// Forgets answers given before a time. Gives how many.
    pub fn prune_answers(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.write(|tx, _| Ok(tx.execute("DELETE FROM answer WHERE at < ?1", [before.micros()])? as u64))
    }
}
