//! Who may come in. Only hashes of tokens are kept.

use crate::Store;
pub(crate) use crate::audit::write_audit;
use crate::error::{Result, StoreError};
use intel::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

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
    /// Networks from which it may be shown, as the binary writes them. Empty: from anywhere.
    pub networks: Vec<String>,
}

/// A token to be. Only the SHA-256 of its secret is kept.
#[derive(Debug, Clone, Copy)]
pub struct TokenToBe<'a> {
    /// As in [`Token`].
    pub owner: Option<u32>,
    /// As in [`Token`].
    pub made_by: Option<&'a str>,
    /// As in [`Token`].
    pub name: &'a str,
    /// SHA-256 of the secret.
    pub hash: &'a [u8; 32],
    /// As in [`Token`].
    pub scope: &'a str,
    /// As in [`Token`].
    pub created: Timestamp,
    /// As in [`Token`].
    pub expires: Option<Timestamp>,
    /// As in [`Token`]; none of them holds a space.
    pub networks: &'a [String],
}

const TOKEN: &str = "SELECT id, name, scope, created, expires, last_used, revoked, owner, made_by, networks FROM token";

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
        let (owner, made_by, networks) = (None, None, &[][..]);
        self.put_token_of(&TokenToBe { owner, made_by, name, hash, scope, created, expires, networks })
    }

    /// The same with all that can be said of one.
    pub fn put_token_of(&self, new: &TokenToBe<'_>) -> Result<u32, StoreError> {
        let networks = Some(new.networks.join(" ")).filter(|networks| !networks.is_empty());
        self.write(|tx, _| {
            Ok(tx.query_row(
                "INSERT INTO token (name, hash, scope, created, expires, owner, made_by, networks) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) RETURNING id",
                params![
                    new.name,
                    new.hash,
                    new.scope,
                    new.created.micros(),
                    new.expires.map(Timestamp::micros),
                    new.owner,
                    new.made_by,
                    networks
                ],
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
        networks: row
            .get::<_, Option<String>>(9)?
            .map(|text| text.split(' ').map(str::to_owned).collect())
            .unwrap_or_default(),
    })
}
