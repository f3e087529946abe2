//! Who may come in, and who did what. Only hashes of tokens are kept; the audit log can be added to and checked.

use crate::Store;
use crate::error::{Result, StoreError};
use intel::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use sha2::{Digest, Sha256};

/// A token, without the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Which one.
    pub id: u32,
    /// What people call it.
    pub name: String,
    /// What it allows.
    pub scope: String,
    /// When it was made.
    pub created: Timestamp,
    /// From when it is no longer good; None: never. Who lets it in compares.
    pub expires: Option<Timestamp>,
    /// As last told by [`Store::touch_token`].
    pub last_used: Option<Timestamp>,
    /// When it was revoked.
    pub revoked: Option<Timestamp>,
    /// Whose it is: it may never do more than they may. None: nobody's, as the first one and those of devices.
    pub owner: Option<u32>,
    /// Who made it; None: not known any more.
    pub made_by: Option<String>,
}

/// An entry of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Its place; there are no gaps.
    pub seq: u64,
    /// When, by the wall clock of that time.
    pub at: Timestamp,
    /// Who.
    pub who: String,
    /// Did what.
    pub action: String,
    /// To what.
    pub object: String,
    /// JSON.
    pub detail: String,
}

const TOKEN: &str = "SELECT id, name, scope, created, expires, last_used, revoked, owner, made_by FROM token";
const AUDIT: &str = "SELECT seq, at, who, action, object, detail, chain FROM audit";

impl Store {
    /// Adds a token by the SHA-256 of its secret. Gives its id.
    pub fn put_token(
        &self,
        name: &str,
        hash: &[u8; 32],
        scope: &str,
        created: Timestamp,
        expires: Option<Timestamp>,
    ) -> Result<u32, StoreError> {
        self.put_token_of(None, None, name, hash, scope, created, expires)
    }

    /// The same for a person, and with who made it.
    #[allow(clippy::too_many_arguments)]
    pub fn put_token_of(
        &self,
        owner: Option<u32>,
        made_by: Option<&str>,
        name: &str,
        hash: &[u8; 32],
        scope: &str,
        created: Timestamp,
        expires: Option<Timestamp>,
    ) -> Result<u32, StoreError> {
        self.write(|tx, _| {
            Ok(tx.query_row(
                "INSERT INTO token (name, hash, scope, created, expires, owner, made_by) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) RETURNING id",
                params![name, hash, scope, created.micros(), expires.map(Timestamp::micros), owner, made_by],
                |row| row.get(0),
            )?)
        })
    }

    /// The token with this hash, if it is not revoked. Its expiry is for the caller to judge.
    pub fn token_by_hash(&self, hash: &[u8; 32]) -> Result<Option<Token>, StoreError> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached(&format!("{TOKEN} WHERE hash = ?1 AND revoked IS NULL"))?;
            Ok(statement.query_row([hash], token).optional()?)
        })
    }

    /// Every token, revoked ones included, by id.
    pub fn tokens(&self) -> Result<Vec<Token>, StoreError> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached(&format!("{TOKEN} ORDER BY id"))?;
            Ok(statement.query_map([], token)?.collect::<Result<_, _>>()?)
        })
    }

    /// Says when a token was last used. One disk write: not for every request.
    pub fn touch_token(&self, id: u32, now: Timestamp) -> Result<(), StoreError> {
        self.write(|tx, _| {
            tx.execute("UPDATE token SET last_used = ?2 WHERE id = ?1", params![id, now.micros()])?;
            Ok(())
        })
    }

    /// Ends a token for good. Gives whether it was good until now.
    pub fn revoke_token(&self, id: u32, now: Timestamp) -> Result<bool, StoreError> {
        self.write(|tx, _| {
            let sql = "UPDATE token SET revoked = ?2 WHERE id = ?1 AND revoked IS NULL";
            Ok(tx.execute(sql, params![id, now.micros()])? > 0)
        })
    }

    /// Adds to the audit log. Gives the entry's place.
    pub fn audit(
        &self,
        who: &str,
        action: &str,
        object: &str,
        detail: &str,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        self.write(|tx, _| write_audit(tx, who, action, object, detail, now))
    }

    /// Entries of the audit log, latest first, at most `limit`, those before `before` only.
    pub fn audit_log(&self, limit: usize, before: Option<u64>) -> Result<Vec<AuditRow>, StoreError> {
        self.read(|conn| {
            let mut statement =
                conn.prepare_cached(&format!("{AUDIT} WHERE ?1 IS NULL OR seq < ?1 ORDER BY seq DESC LIMIT ?2"))?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let rows = statement.query_map(params![before.map(u64::cast_signed), limit], audit)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// The latest entry of the audit log whose action is about one of these nouns (`rule.change` is about `rule`), that is
    /// not older than a time, and that `is_meant`.
    pub fn last_audit(
        &self,
        nouns: &[&str],
        since: Option<Timestamp>,
        is_meant: &dyn Fn(&AuditRow) -> bool,
    ) -> Result<Option<AuditRow>, StoreError> {
        self.read(|conn| {
            // '/' is what follows '.': by ranges, so that the index is of use.
            let ranges: Vec<String> =
                (1..=nouns.len()).map(|n| format!("action BETWEEN ?{n} || '.' AND ?{n} || '/'")).collect();
            let sql = format!("{AUDIT} WHERE {} ORDER BY seq DESC", ranges.join(" OR "));
            let mut statement = conn.prepare_cached(&sql)?;
            let mut rows = statement.query(rusqlite::params_from_iter(nouns))?;
            while let Some(row) = rows.next()? {
                let entry = audit(row)?;
                if since.is_some_and(|since| entry.at < since) {
                    break;
                }
                if is_meant(&entry) {
                    return Ok(Some(entry));
                }
            }
            Ok(None)
        })
    }

    /// Checks that no entry of the audit log was changed or taken out; the end being cut off is not noticed. Gives how
    /// many entries there are.
    pub fn verify_audit(&self) -> Result<u64, StoreError> {
        self.read(|conn| {
            let mut statement = conn.prepare(&format!("{AUDIT} ORDER BY seq"))?;
            let mut rows = statement.query([])?;
            let mut chain = [0u8; 32];
            let mut n_entries = 0;
            while let Some(row) = rows.next()? {
                let entry = audit(row)?;
                n_entries += 1;
                chain = link(&chain, &entry);
                if entry.seq != n_entries || chain != row.get::<_, [u8; 32]>(6)? {
                    return Err(StoreError::damaged(format!(
                        "entry {n_entries} of the audit log is not what was written"
                    )));
                }
            }
            Ok(n_entries)
        })
    }
}

pub(crate) fn write_audit(
    tx: &Connection,
    who: &str,
    action: &str,
    object: &str,
    detail: &str,
    now: Timestamp,
) -> Result<u64> {
    let last: Option<(i64, [u8; 32])> = tx
        .prepare_cached("SELECT seq, chain FROM audit ORDER BY seq DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (seq, chain) = last.unwrap_or((0, [0; 32]));
    let entry = AuditRow {
        seq: seq.cast_unsigned() + 1,
        at: now,
        who: who.into(),
        action: action.into(),
        object: object.into(),
        detail: detail.into(),
    };
    tx.prepare_cached(
        "INSERT INTO audit (seq, at, who, action, object, detail, chain) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![seq + 1, now.micros(), who, action, object, detail, link(&chain, &entry)])?;
    Ok(entry.seq)
}

/// The chain after an entry. Lengths go in, so that text cannot move from one field to the next.
fn link(before: &[u8; 32], entry: &AuditRow) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix(before);
    hash.update(entry.seq.to_le_bytes());
    hash.update(entry.at.micros().to_le_bytes());
    for text in [&entry.who, &entry.action, &entry.object, &entry.detail] {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    }
    hash.finalize().into()
}

fn audit(row: &Row<'_>) -> rusqlite::Result<AuditRow> {
    Ok(AuditRow {
        seq: row.get::<_, i64>(0)?.cast_unsigned(),
        at: Timestamp::from_micros(row.get(1)?),
        who: row.get(2)?,
        action: row.get(3)?,
        object: row.get(4)?,
        detail: row.get(5)?,
    })
}

fn token(row: &Row<'_>) -> rusqlite::Result<Token> {
    let time = |at: usize| row.get::<_, Option<i64>>(at).map(|time| time.map(Timestamp::from_micros));
    Ok(Token {
        id: row.get(0)?,
        name: row.get(1)?,
        scope: row.get(2)?,
        created: Timestamp::from_micros(row.get(3)?),
        expires: time(4)?,
        last_used: time(5)?,
        revoked: time(6)?,
        owner: row.get(7)?,
        made_by: row.get(8)?,
    })
}
