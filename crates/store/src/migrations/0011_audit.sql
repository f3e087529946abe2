-- Where somebody acted from; none where it was no socket. What was written before says nothing and hashes as it did.
ALTER TABLE audit ADD COLUMN address TEXT;
ALTER TABLE audit ADD COLUMN token INTEGER;

-- Signatures over the chain as it stood, each over the one before too.
CREATE TABLE audit_checkpoint (
  seq       INTEGER PRIMARY KEY,
  at        INTEGER NOT NULL,
  chain     BLOB    NOT NULL,
  key       BLOB    NOT NULL,
  signature BLOB    NOT NULL
) STRICT;
CREATE TRIGGER audit_checkpoint_is_not_changed BEFORE UPDATE ON audit_checkpoint BEGIN
  SELECT raise(ABORT, 'the audit log is append-only');
END;
CREATE TRIGGER audit_checkpoint_is_not_deleted BEFORE DELETE ON audit_checkpoint BEGIN
  SELECT raise(ABORT, 'the audit log is append-only');
END;

-- How far the log was handed on, by the name of where it goes.
CREATE TABLE audit_sink (
  name  TEXT    PRIMARY KEY,
  seq   INTEGER NOT NULL,
  at    INTEGER NOT NULL,
  error TEXT
) STRICT;

-- When a secret was last given.
CREATE TABLE secret_change (
  place TEXT    PRIMARY KEY,
  at    INTEGER NOT NULL
) STRICT;
