-- What a store holds. Times are microseconds since 1970 in UTC, hashes are 64-bit patterns in a signed integer,
-- scales (kind, severity, tlp, line state) are their numbers; the views of 0002 spell them out.

-- Counters are rows, so that they move with the transaction that used them.
CREATE TABLE counter (
  name  TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO counter VALUES ('revision', 0), ('indicator', 1);

-- Knowledge -----------------------------------------------------------------------------------------------------

CREATE TABLE indicator (
  id           INTEGER PRIMARY KEY,
  kind         INTEGER NOT NULL,
  value        TEXT    NOT NULL,
  key_hash     INTEGER NOT NULL,
  revision     INTEGER NOT NULL,
  summary_hash INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX indicator_key ON indicator (key_hash);
CREATE INDEX indicator_revision ON indicator (revision);

-- Sets of tags are few and records many.
CREATE TABLE tagset (
  id   INTEGER PRIMARY KEY,
  tags TEXT NOT NULL UNIQUE
) STRICT;
INSERT INTO tagset VALUES (0, '[]');

-- The key packs indicator and connection in one integer: appends stay at the end of the table, look-ups compare
-- one number, and no second index is needed.
CREATE TABLE record (
  id             INTEGER PRIMARY KEY,
  indicator      INTEGER GENERATED ALWAYS AS (id >> 16) VIRTUAL,
  connection     INTEGER GENERATED ALWAYS AS (id & 65535) VIRTUAL,
  version        INTEGER NOT NULL,
  received       INTEGER NOT NULL,
  content        INTEGER,
  tagset         INTEGER NOT NULL,
  listed         INTEGER NOT NULL,
  echo           INTEGER NOT NULL,
  reputation     INTEGER,
  confidence     INTEGER,
  severity       INTEGER NOT NULL,
  tlp            INTEGER,
  first_seen     INTEGER,
  last_seen      INTEGER,
  valid_from     INTEGER,
  expires_at     INTEGER,
  retracted      INTEGER NOT NULL,
  internal_hits  INTEGER NOT NULL,
  external_hits  INTEGER NOT NULL,
  ended_version  INTEGER,
  ended_content  INTEGER,
  more_contents  BLOB,
  remote_id      TEXT,
  comment        TEXT,
  link           TEXT,
  raw            TEXT
) STRICT;

CREATE TABLE analyst (
  indicator     INTEGER PRIMARY KEY,
  verdict       TEXT,
  verdict_until INTEGER,
  muted         INTEGER NOT NULL,
  tags_added    TEXT NOT NULL,
  tags_removed  TEXT NOT NULL,
  comment       TEXT,
  who           TEXT NOT NULL,
  updated       INTEGER NOT NULL
) STRICT;

-- Rows of a suspect run, until a person approves or discards it.
CREATE TABLE staged (
  run            INTEGER NOT NULL,
  seq            INTEGER NOT NULL,
  kind           INTEGER NOT NULL,
  value          TEXT    NOT NULL,
  version        INTEGER,
  reputation     INTEGER,
  confidence     INTEGER,
  severity       INTEGER NOT NULL,
  tlp            INTEGER,
  first_seen     INTEGER,
  last_seen      INTEGER,
  valid_from     INTEGER,
  expires_at     INTEGER,
  retracted      INTEGER NOT NULL,
  internal_hits  INTEGER NOT NULL,
  external_hits  INTEGER NOT NULL,
  comment        TEXT,
  link           TEXT,
  raw            TEXT,
  tags           TEXT NOT NULL,
  remote_id      TEXT,
  hops           TEXT NOT NULL,
  fingerprint    INTEGER NOT NULL,
  PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;

-- Configuration -------------------------------------------------------------------------------------------------

CREATE TABLE doc_kind (
  kind    TEXT PRIMARY KEY,
  last_id INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE doc (
  kind    TEXT    NOT NULL REFERENCES doc_kind (kind),
  id      INTEGER NOT NULL,
  name    TEXT    NOT NULL,
  body    TEXT    NOT NULL,
  created INTEGER NOT NULL,
  updated INTEGER NOT NULL,
  PRIMARY KEY (kind, id),
  UNIQUE (kind, name)
) STRICT, WITHOUT ROWID;
INSERT INTO doc_kind VALUES ('connection', 1);
INSERT INTO doc VALUES ('connection', 1, 'manual', '{"name":"manual","connector":"manual","aging_days":0,"complete":false}', 0, 0);

CREATE TABLE setting (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE connection_state (
  connection INTEGER PRIMARY KEY,
  state      TEXT NOT NULL
) STRICT;

-- Ledger --------------------------------------------------------------------------------------------------------

-- One line per entry of a target, named by the indicator that represents it; the key packs both. `entry` is what the
-- destination stores where that is not the indicator's value. `row_sum` covers the whole row: a line that was damaged
-- on disk must not cause an effect.
CREATE TABLE line (
  id             INTEGER PRIMARY KEY,
  target         INTEGER GENERATED ALWAYS AS (id >> 32) VIRTUAL,
  indicator      INTEGER GENERATED ALWAYS AS (id & 4294967295) VIRTUAL,
  entry          TEXT,
  state          INTEGER NOT NULL CHECK (state BETWEEN 0 AND 7),
  fingerprint    INTEGER NOT NULL,
  remote_id      TEXT,
  remote_expires INTEGER,
  remote_from    INTEGER,
  attempts       INTEGER NOT NULL,
  next_try       INTEGER,
  words          TEXT,
  run            INTEGER NOT NULL,
  first_intent   INTEGER NOT NULL,
  updated        INTEGER NOT NULL,
  row_sum        INTEGER NOT NULL
) STRICT;

CREATE TABLE published (
  target INTEGER PRIMARY KEY,
  name   TEXT    NOT NULL,
  file   TEXT    NOT NULL,
  format TEXT    NOT NULL,
  sha256 TEXT    NOT NULL,
  lines  INTEGER NOT NULL,
  bytes  INTEGER NOT NULL,
  at     INTEGER NOT NULL,
  run    INTEGER NOT NULL
) STRICT;

CREATE TABLE target_state (
  target INTEGER PRIMARY KEY,
  state  TEXT NOT NULL
) STRICT;

-- What share runs did, for the rolling budget.
CREATE TABLE effect (
  target   INTEGER NOT NULL,
  run      INTEGER NOT NULL,
  at       INTEGER NOT NULL,
  adds     INTEGER NOT NULL,
  removals INTEGER NOT NULL,
  PRIMARY KEY (target, run)
) STRICT, WITHOUT ROWID;

-- Runs and held plans -------------------------------------------------------------------------------------------

CREATE TABLE run (
  id      INTEGER PRIMARY KEY AUTOINCREMENT,
  kind    TEXT    NOT NULL,
  subject TEXT    NOT NULL,
  started INTEGER NOT NULL,
  ended   INTEGER,
  status  TEXT    NOT NULL,
  report  TEXT    NOT NULL
) STRICT;
CREATE INDEX run_subject ON run (kind, subject);
CREATE INDEX run_status ON run (status);

CREATE TABLE plan (
  id      INTEGER PRIMARY KEY AUTOINCREMENT,
  target  INTEGER NOT NULL,
  hash    TEXT    NOT NULL,
  steps   TEXT    NOT NULL,
  created INTEGER NOT NULL,
  run     INTEGER NOT NULL,
  status  TEXT    NOT NULL CHECK (status IN ('waiting', 'approved', 'rejected', 'expired', 'done')),
  who     TEXT,
  note    TEXT,
  decided INTEGER
) STRICT;
CREATE UNIQUE INDEX plan_waiting ON plan (target) WHERE status = 'waiting';

-- Accounts ------------------------------------------------------------------------------------------------------

CREATE TABLE token (
  id        INTEGER PRIMARY KEY AUTOINCREMENT,
  name      TEXT    NOT NULL,
  hash      BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),
  scope     TEXT    NOT NULL,
  created   INTEGER NOT NULL,
  expires   INTEGER,
  last_used INTEGER,
  revoked   INTEGER
) STRICT;

-- Append-only; `chain` is the SHA-256 of the previous chain and this row.
CREATE TABLE audit (
  seq    INTEGER PRIMARY KEY,
  at     INTEGER NOT NULL,
  who    TEXT    NOT NULL,
  action TEXT    NOT NULL,
  object TEXT    NOT NULL,
  detail TEXT    NOT NULL,
  chain  BLOB    NOT NULL
) STRICT;
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN
  SELECT raise(ABORT, 'the audit log is append-only');
END;
CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit BEGIN
  SELECT raise(ABORT, 'the audit log is append-only');
END;
