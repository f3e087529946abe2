//! People who sign in, their sessions, and tries that are counted. What a role may is not known here.

use crate::Store;
use crate::error::{Result, StoreError};
use intel::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use std::time::Duration;

/// A person, with what proves it: not to be shown.
#[derive(Clone)]
pub struct Person {
    /// Which one.
    pub id: u32,
    /// What they are called, as in the audit log.
    pub name: String,
    /// Their roles, as the binary writes them.
    pub roles: String,
    /// The hash of their password, as a PHC string; None: they have none.
    pub password: Option<String>,
    /// Until when a password that somebody else set is good; None: it is their own.
    pub password_until: Option<Timestamp>,
    /// The sealed secret of their second factor.
    pub totp: Option<String>,
    /// The sealed secret of a second factor that is not yet confirmed.
    pub totp_pending: Option<String>,
    /// The last time step whose code was used.
    pub totp_step: u64,
    /// The provider of identities they come from, and who they are there.
    pub identity: Option<(String, String)>,
    /// When the account was made.
    pub created: Timestamp,
    /// When they last signed in.
    pub signed_in: Option<Timestamp>,
    /// Since when they may not sign in.
    pub disabled: Option<Timestamp>,
}

/// Without what proves who they are.
impl std::fmt::Debug for Person {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Person").field("id", &self.id).field("name", &self.name).field("roles", &self.roles).finish()
    }
}

/// What is new about a person; None: as it is.
#[derive(Debug, Clone, Default)]
pub struct PersonChange<'a> {
    /// Their roles.
    pub roles: Option<&'a str>,
    /// The hash of a password, and until when it is good where somebody else set it.
    pub password: Option<(&'a str, Option<Timestamp>)>,
    /// Since when they may not sign in.
    pub disabled: Option<Option<Timestamp>>,
    /// The secret of a second factor that is being enrolled.
    pub totp_pending: Option<Option<&'a str>>,
    /// The secret of the second factor. Where it goes, so do the recovery codes.
    pub totp: Option<Option<&'a str>>,
    /// Ends all their sessions but this one.
    pub end_sessions: Option<Option<u32>>,
    /// SHA-256 hashes of the recovery codes, instead of those there are.
    pub recovery: Option<&'a [[u8; 32]]>,
}

/// A session, without its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its number: no credential.
    pub id: u32,
    /// Whose.
    pub person: u32,
    /// What forms carry.
    pub csrf: String,
    /// Where it was begun from.
    pub address: String,
    /// What the browser called itself.
    pub agent: String,
    /// When it was begun.
    pub created: Timestamp,
    /// As last told by [`Store::touch_session`].
    pub last_seen: Timestamp,
}

/// A session to be.
#[derive(Debug, Clone, Copy)]
pub struct NewSession<'a> {
    /// SHA-256 of its id.
    pub hash: &'a [u8; 32],
    /// As in [`Session`].
    pub person: u32,
    /// As in [`Session`].
    pub csrf: &'a str,
    /// As in [`Session`].
    pub address: &'a str,
    /// As in [`Session`].
    pub agent: &'a str,
}

/// An exception from the guard that somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// At which target.
    pub target: String,
    /// Of which value.
    pub value: String,
    /// Why.
    pub reason: String,
    /// Until when, as written.
    pub until: String,
    /// Who asks.
    pub who: String,
    /// Since when.
    pub at: Timestamp,
}

const PERSON: &str = "SELECT id, name, roles, password, password_until, totp, totp_pending, totp_step, issuer, subject, \
                      created, signed_in, disabled FROM person";
const SESSION: &str = "SELECT id, person, csrf, address, agent, created, last_seen FROM session";

/// Subjects whose tries are remembered at most; beyond that, windows that are over are forgotten.
const MAX_ATTEMPTS: i64 = 10_000;
/// How long ended sessions are kept.
const ENDED_KEPT: Duration = Duration::from_secs(90 * 24 * 3600);

impl Store {
    /// Adds a person. None: the name is taken, or was.
    ///
    /// # Errors
    /// A store that cannot be written.
    pub fn add_person(
        &self,
        name: &str,
        folded: &str,
        roles: &str,
        password: Option<(&str, Option<Timestamp>)>,
        identity: Option<(&str, &str)>,
        now: Timestamp,
    ) -> Result<Option<u32>, StoreError> {
        self.write(|tx, _| add(tx, name, folded, roles, password, identity, now))
    }

    /// Adds the first person there is. None: there is one already.
    ///
    /// # Errors
    /// A store that cannot be written.
    pub fn add_first_person(
        &self,
        name: &str,
        folded: &str,
        roles: &str,
        password: &str,
        now: Timestamp,
    ) -> Result<Option<u32>, StoreError> {
        self.write(|tx, _| match tx.query_row("SELECT EXISTS (SELECT 1 FROM person)", [], |row| row.get(0))? {
            true => Ok(None),
            false => add(tx, name, folded, roles, Some((password, None)), None, now),
        })
    }

    /// Whether anybody was ever added.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn has_people(&self) -> Result<bool, StoreError> {
        self.read(|conn| Ok(conn.query_row("SELECT EXISTS (SELECT 1 FROM person)", [], |row| row.get(0))?))
    }

    /// Whether a name is somebody's, or was.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn is_name_taken(&self, folded: &str) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM person WHERE folded = ?1)";
        self.read(|conn| Ok(conn.query_row(sql, [folded], |row| row.get(0))?))
    }

    /// Everybody who was not deleted, by name.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn people(&self) -> Result<Vec<Person>, StoreError> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached(&format!("{PERSON} WHERE deleted IS NULL ORDER BY folded"))?;
            Ok(statement.query_map([], person)?.collect::<Result<_, _>>()?)
        })
    }

    /// One person, unless deleted.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn person(&self, id: u32) -> Result<Option<Person>, StoreError> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached(&format!("{PERSON} WHERE id = ?1 AND deleted IS NULL"))?;
            Ok(statement.query_row([id], person).optional()?)
        })
    }

    /// The person of this name, unless deleted.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn person_named(&self, folded: &str) -> Result<Option<Person>, StoreError> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached(&format!("{PERSON} WHERE folded = ?1 AND deleted IS NULL"))?;
            Ok(statement.query_row([folded], person).optional()?)
        })
    }

    /// The person whom a provider knows as this subject, unless deleted.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn person_known_as(&self, issuer: &str, subject: &str) -> Result<Option<Person>, StoreError> {
        self.read(|conn| {
            let mut statement =
                conn.prepare_cached(&format!("{PERSON} WHERE issuer = ?1 AND subject = ?2 AND deleted IS NULL"))?;
            Ok(statement.query_row([issuer, subject], person).optional()?)
        })
    }

    /// Changes a person, all of it or nothing. Gives whether there is such a person.
    ///
    /// # Errors
    /// A store that cannot be written.
    pub fn change_person(&self, id: u32, change: &PersonChange<'_>, now: Timestamp) -> Result<bool, StoreError> {
        self.write(|tx, _| {
            let is_there: bool =
                tx.query_row("SELECT EXISTS (SELECT 1 FROM person WHERE id = ?1 AND deleted IS NULL)", [id], |row| {
                    row.get(0)
                })?;
            if !is_there {
                return Ok(false);
            }
            if let Some(roles) = change.roles {
                tx.execute("UPDATE person SET roles = ?2 WHERE id = ?1", params![id, roles])?;
            }
            if let Some((hash, until)) = change.password {
                let sql = "UPDATE person SET password = ?2, password_until = ?3 WHERE id = ?1";
                tx.execute(sql, params![id, hash, until.map(Timestamp::micros)])?;
            }
            if let Some(disabled) = change.disabled {
                let sql = "UPDATE person SET disabled = ?2 WHERE id = ?1";
                tx.execute(sql, params![id, disabled.map(Timestamp::micros)])?;
            }
            if let Some(secret) = change.totp_pending {
                tx.execute("UPDATE person SET totp_pending = ?2 WHERE id = ?1", params![id, secret])?;
            }
            if let Some(secret) = change.totp {
                tx.execute("UPDATE person SET totp = ?2, totp_pending = NULL WHERE id = ?1", params![id, secret])?;
                if secret.is_none() {
                    tx.execute("DELETE FROM recovery WHERE person = ?1", [id])?;
                }
            }
            if let Some(hashes) = change.recovery {
                tx.execute("DELETE FROM recovery WHERE person = ?1", [id])?;
                for hash in hashes {
                    tx.execute("INSERT OR IGNORE INTO recovery VALUES (?1, ?2)", params![id, hash])?;
                }
            }
            if let Some(but) = change.end_sessions {
                end_sessions(tx, id, but, now)?;
            }
            Ok(true)
        })
    }

    /// Takes a person away for good: their sessions and tokens end, and what proved who they are is gone. The name stays
    /// taken. Gives whether there was such a person.
    ///
    /// # Errors
    /// A store that cannot be written.
    pub fn delete_person(&self, id: u32, now: Timestamp) -> Result<bool, StoreError> {
        self.write(|tx, _| {
            let sql = "UPDATE person SET deleted = ?2, password = NULL, password_until = NULL, totp = NULL, \
                       totp_pending = NULL, issuer = NULL, subject = NULL, roles = '' WHERE id = ?1 AND deleted IS NULL";
            if tx.execute(sql, params![id, now.micros()])? == 0 {
                return Ok(false);
            }
            tx.execute("DELETE FROM recovery WHERE person = ?1", [id])?;
            end_sessions(tx, id, None, now)?;
            tx.execute(
                "UPDATE token SET revoked = ?2 WHERE owner = ?1 AND revoked IS NULL",
                params![id, now.micros()],
            )?;
            Ok(true)
        })
    }

    /// Notes that the code of a time step was used. Gives false where it, or a later one, was before.
    ///
    /// # Errors
    /// A store that cannot be written.
    pub fn use_totp_step(&self, id: u32, step: u64) -> Result<bool, StoreError> {
        self.write(|tx, _| {
            let sql = "UPDATE person SET totp_step = ?2 WHERE id = ?1 AND totp_step < ?2";
            Ok(tx.execute(sql, params![id, step.cast_signed()])? > 0)
        })
    }

    /// Uses up a recovery code by its hash. Gives whether there was one.
    ///
    /// # Errors
    /// A store that cannot be written.
    pub fn use_recovery(&self, id: u32, hash: &[u8; 32]) -> Result<bool, StoreError> {
        self.write(|tx, _| {
            Ok(tx.execute("DELETE FROM recovery WHERE person = ?1 AND hash = ?2", params![id, hash])? > 0)
        })
    }

    /// How many recovery codes are left.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn recovery_left(&self, id: u32) -> Result<u32, StoreError> {
        self.read(|conn| Ok(conn.query_row("SELECT count(*) FROM recovery WHERE person = ?1", [id], |row| row.get(0))?))
    }

    /// Begins a session. Gives its number.
    ///
    /// # Errors
    /// A store that cannot be written.
    pub fn begin_session(&self, new: &NewSession<'_>, now: Timestamp) -> Result<u32, StoreError> {
        self.write(|tx, _| {
            tx.execute("DELETE FROM session WHERE ended < ?1", [now.before(ENDED_KEPT).micros()])?;
            tx.execute("UPDATE person SET signed_in = ?2 WHERE id = ?1", params![new.person, now.micros()])?;
            Ok(tx.query_row(
                "INSERT INTO session (hash, person, csrf, address, agent, created, last_seen) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6) RETURNING id",
                params![new.hash, new.person, new.csrf, new.address, new.agent, now.micros()],
                |row| row.get(0),
            )?)
        })
    }

    /// The session whose id has this hash, unless ended, and whose it is. Whether it has lasted too long is for the caller
    /// to judge.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn session_by_hash(&self, hash: &[u8; 32]) -> Result<Option<(Session, Person)>, StoreError> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached(&format!("{SESSION} WHERE hash = ?1 AND ended IS NULL"))?;
            let Some(found) = statement.query_row([hash], session).optional()? else { return Ok(None) };
            let mut statement = conn.prepare_cached(&format!("{PERSON} WHERE id = ?1 AND deleted IS NULL"))?;
            Ok(statement.query_row([found.person], person).optional()?.map(|person| (found, person)))
        })
    }

    /// Sessions that were not ended, of one person or of everybody, the latest first.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn sessions(&self, of: Option<u32>) -> Result<Vec<Session>, StoreError> {
        self.read(|conn| {
            let sql = format!("{SESSION} WHERE ended IS NULL AND (?1 IS NULL OR person = ?1) ORDER BY id DESC");
            let mut statement = conn.prepare_cached(&sql)?;
            Ok(statement.query_map([of], session)?.collect::<Result<_, _>>()?)
        })
    }

    /// Says when a session was last used. One disk write: not for every request.
    ///
    /// # Errors
    /// A store that cannot be written.
    pub fn touch_session(&self, id: u32, now: Timestamp) -> Result<(), StoreError> {
        self.write(|tx, _| {
            tx.execute("UPDATE session SET last_seen = ?2 WHERE id = ?1", params![id, now.micros()])?;
            Ok(())
        })
    }

    /// Ends a session; `of`: only where it is theirs. Gives whether it went on until now.
    ///
    /// # Errors
    /// A store that cannot be written.
    pub fn end_session(&self, id: u32, of: Option<u32>, now: Timestamp) -> Result<bool, StoreError> {
        self.write(|tx, _| {
            let sql = "UPDATE session SET ended = ?3 WHERE id = ?1 AND ended IS NULL AND (?2 IS NULL OR person = ?2)";
            Ok(tx.execute(sql, params![id, of, now.micros()])? > 0)
        })
    }

    /// Notes what somebody asks for, instead of what was asked for about the same target and value.
    ///
    /// # Errors
    /// A store that cannot be written.
    pub fn put_proposal(&self, new: &Proposal) -> Result<(), StoreError> {
        self.write(|tx, _| {
            tx.execute(
                "INSERT OR REPLACE INTO proposal (target, value, reason, until, who, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![new.target, new.value, new.reason, new.until, new.who, new.at.micros()],
            )?;
            Ok(())
        })
    }

    /// What is asked for, the oldest first.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn proposals(&self) -> Result<Vec<Proposal>, StoreError> {
        self.read(|conn| {
            let sql = "SELECT target, value, reason, until, who, at FROM proposal ORDER BY at, target, value";
            let mut statement = conn.prepare_cached(sql)?;
            let rows = statement.query_map([], |row| {
                Ok(Proposal {
                    target: row.get(0)?,
                    value: row.get(1)?,
                    reason: row.get(2)?,
                    until: row.get(3)?,
                    who: row.get(4)?,
                    at: Timestamp::from_micros(row.get(5)?),
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Forgets what is asked for. Gives whether it was.
    ///
    /// # Errors
    /// A store that cannot be written.
    pub fn drop_proposal(&self, target: &str, value: &str) -> Result<bool, StoreError> {
        let sql = "DELETE FROM proposal WHERE target = ?1 AND value = ?2";
        self.write(|tx, _| Ok(tx.execute(sql, [target, value])? > 0))
    }

    /// Counts a try about each of these subjects, of which each allows so many within the window. Gives how long to wait
    /// where one allows no more; nothing is counted then.
    ///
    /// # Errors
    /// A store that cannot be written.
    pub fn count_attempt(
        &self,
        subjects: &[(&str, u32)],
        window: Duration,
        now: Timestamp,
    ) -> Result<Option<Duration>, StoreError> {
        self.write(|tx, _| {
            let from = now.before(window);
            let mut wait = None;
            for (subject, most) in subjects {
                let found: Option<(u32, i64)> = tx
                    .prepare_cached("SELECT tries, since FROM attempt WHERE subject = ?1")?
                    .query_row([subject], |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()?;
                if let Some((tries, since)) = found
                    && since > from.micros()
                    && tries >= *most
                {
                    let left = Timestamp::from_micros(since).after(window).since(now);
                    wait = wait.max(Some(left));
                }
            }
            if wait.is_some() {
                return Ok(wait);
            }
            let known: i64 = tx.query_row("SELECT count(*) FROM attempt", [], |row| row.get(0))?;
            if known >= MAX_ATTEMPTS {
                tx.execute("DELETE FROM attempt WHERE since <= ?1", [from.micros()])?;
            }
            for (subject, _) in subjects {
                tx.prepare_cached(
                    "INSERT INTO attempt (subject, tries, since) VALUES (?1, 1, ?2) ON CONFLICT (subject) DO UPDATE SET \
                     tries = iif(since > ?3, tries + 1, 1), since = iif(since > ?3, since, ?2)",
                )?
                .execute(params![subject, now.micros(), from.micros()])?;
            }
            Ok(None)
        })
    }

    /// Forgets the tries about one subject, and takes back one about another: it went well.
    ///
    /// # Errors
    /// A store that cannot be written.
    pub fn forgive_attempt(&self, forget: &[&str], take_back: &str) -> Result<(), StoreError> {
        self.write(|tx, _| {
            for subject in forget {
                tx.execute("DELETE FROM attempt WHERE subject = ?1", [subject])?;
            }
            tx.execute("UPDATE attempt SET tries = tries - 1 WHERE subject = ?1 AND tries > 0", [take_back])?;
            Ok(())
        })
    }
}

fn add(
    tx: &Connection,
    name: &str,
    folded: &str,
    roles: &str,
    password: Option<(&str, Option<Timestamp>)>,
    identity: Option<(&str, &str)>,
    now: Timestamp,
) -> Result<Option<u32>> {
    let (password, until) = password.unzip();
    let (issuer, subject) = identity.unzip();
    Ok(tx
        .query_row(
            "INSERT INTO person (name, folded, roles, password, password_until, issuer, subject, created) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING RETURNING id",
            params![
                name,
                folded,
                roles,
                password,
                until.flatten().map(Timestamp::micros),
                issuer,
                subject,
                now.micros()
            ],
            |row| row.get(0),
        )
        .optional()?)
}

fn end_sessions(tx: &Connection, of: u32, but: Option<u32>, now: Timestamp) -> Result<()> {
    let sql = "UPDATE session SET ended = ?3 WHERE person = ?1 AND ended IS NULL AND id IS NOT ?2";
    tx.execute(sql, params![of, but, now.micros()])?;
    Ok(())
}

fn person(row: &Row<'_>) -> rusqlite::Result<Person> {
    let time = |at: usize| row.get::<_, Option<i64>>(at).map(|time| time.map(Timestamp::from_micros));
    let (issuer, subject): (Option<String>, Option<String>) = (row.get(8)?, row.get(9)?);
    Ok(Person {
        id: row.get(0)?,
        name: row.get(1)?,
        roles: row.get(2)?,
        password: row.get(3)?,
        password_until: time(4)?,
        totp: row.get(5)?,
        totp_pending: row.get(6)?,
        totp_step: row.get::<_, i64>(7)?.cast_unsigned(),
        identity: issuer.zip(subject),
        created: Timestamp::from_micros(row.get(10)?),
        signed_in: time(11)?,
        disabled: time(12)?,
    })
}

fn session(row: &Row<'_>) -> rusqlite::Result<Session> {
    Ok(Session {
        id: row.get(0)?,
        person: row.get(1)?,
        csrf: row.get(2)?,
        address: row.get(3)?,
        agent: row.get(4)?,
        created: Timestamp::from_micros(row.get(5)?),
        last_seen: Timestamp::from_micros(row.get(6)?),
    })
}
