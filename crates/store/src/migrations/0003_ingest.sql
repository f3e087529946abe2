-- What programs that push to us, and programs that follow us, rest on.

-- Indicators that were removed, so that whoever follows the revisions hears of it.
CREATE TABLE tombstone (
  revision INTEGER PRIMARY KEY,
  kind     INTEGER NOT NULL,
  value    TEXT    NOT NULL,
  at       INTEGER NOT NULL
) STRICT;
CREATE INDEX tombstone_at ON tombstone (at);

-- The greatest revision of a tombstone that is not kept any more: who read less far has to start over.
INSERT INTO counter VALUES ('changes_floor', 0);

-- Answers to requests that came with a key, so that the same request again has the same answer and no effect.
CREATE TABLE answer (
  caller TEXT    NOT NULL,
  key    TEXT    NOT NULL,
  body   BLOB    NOT NULL CHECK (length(body) = 32),
  answer BLOB    NOT NULL,
  at     INTEGER NOT NULL,
  PRIMARY KEY (caller, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX answer_at ON answer (at);
