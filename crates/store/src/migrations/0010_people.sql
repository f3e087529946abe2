-- People who sign in, their sessions, and how often somebody tried in vain.

CREATE TABLE person (
  id             INTEGER PRIMARY KEY AUTOINCREMENT,
  -- A name is never given twice, so that the audit log goes on meaning one person: who is gone keeps it.
  name           TEXT    NOT NULL,
  -- The name as it is looked up: names that differ in case alone are one.
  folded         TEXT    NOT NULL UNIQUE,
  roles          TEXT    NOT NULL,
  -- An Argon2id hash (PHC string); NULL: signs in elsewhere, or not at all.
  password       TEXT,
  -- A password somebody else set is good until then, and only for setting one's own.
  password_until INTEGER,
  -- A sealed TOTP secret, the one being enrolled, and the last time step whose code was used.
  totp           TEXT,
  totp_pending   TEXT,
  totp_step      INTEGER NOT NULL DEFAULT 0,
  -- Who they are to a provider of identities: never an e-mail address.
  issuer         TEXT,
  subject        TEXT,
  created        INTEGER NOT NULL,
  signed_in      INTEGER,
  disabled       INTEGER,
  deleted        INTEGER,
  UNIQUE (issuer, subject),
  CHECK ((issuer IS NULL) = (subject IS NULL))
) STRICT;

CREATE TABLE recovery (
  person INTEGER NOT NULL REFERENCES person (id),
  hash   BLOB    NOT NULL CHECK (length(hash) = 32),
  PRIMARY KEY (person, hash)
) STRICT, WITHOUT ROWID;

-- The SHA-256 of its id is kept, as of a token.
CREATE TABLE session (
  id        INTEGER PRIMARY KEY AUTOINCREMENT,
  hash      BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),
  person    INTEGER NOT NULL REFERENCES person (id),
  -- What forms carry, so that no other site can send them.
  csrf      TEXT    NOT NULL,
  address   TEXT    NOT NULL,
  agent     TEXT    NOT NULL,
  created   INTEGER NOT NULL,
  last_seen INTEGER NOT NULL,
  ended     INTEGER
) STRICT;
CREATE INDEX session_person ON session (person) WHERE ended IS NULL;

-- Tries within a window, by what they were about: an account (as the hash of the name that was sent) or an address.
CREATE TABLE attempt (
  subject TEXT    PRIMARY KEY,
  tries   INTEGER NOT NULL,
  since   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX attempt_since ON attempt (since);

-- Whose it is: it may never do more than they may. NULL: nobody's, as the first one and those of devices.
ALTER TABLE token ADD COLUMN owner INTEGER REFERENCES person (id);
-- Who made it.
ALTER TABLE token ADD COLUMN made_by TEXT;

-- Exceptions from the guard that one person asks for and another one approves.
CREATE TABLE proposal (
  target TEXT    NOT NULL,
  value  TEXT    NOT NULL,
  reason TEXT    NOT NULL,
  until  TEXT    NOT NULL,
  who    TEXT    NOT NULL,
  at     INTEGER NOT NULL,
  PRIMARY KEY (target, value)
) STRICT, WITHOUT ROWID;
