-- What sources said before, so that a source can be rolled back to a time.

-- A record as it was before a run changed it, in the order of changes. Where `version` is NULL only `listed` was
-- different, and the rest is as the next row of the record says, or the record itself. A record that is new has no row
-- here: what it began with is told by its `received`.
CREATE TABLE history (
  record         INTEGER NOT NULL,
  seq            INTEGER NOT NULL,
  run            INTEGER NOT NULL,
  at             INTEGER NOT NULL,
  listed         INTEGER NOT NULL,
  version        INTEGER,
  received       INTEGER,
  content        INTEGER,
  tagset         INTEGER,
  echo           INTEGER,
  reputation     INTEGER,
  confidence     INTEGER,
  severity       INTEGER,
  tlp            INTEGER,
  first_seen     INTEGER,
  last_seen      INTEGER,
  valid_from     INTEGER,
  expires_at     INTEGER,
  retracted      INTEGER,
  internal_hits  INTEGER,
  external_hits  INTEGER,
  ended_version  INTEGER,
  ended_content  INTEGER,
  more_contents  BLOB,
  remote_id      TEXT,
  comment        TEXT,
  link           TEXT,
  raw            TEXT,
  PRIMARY KEY (record, seq)
) STRICT, WITHOUT ROWID;

-- Records that a rollback ended, and which: whoever believes a run that lists one again says otherwise.
CREATE TABLE rolled_back (
  record INTEGER PRIMARY KEY,
  run    INTEGER NOT NULL
) STRICT;

-- `history_floor`: what was changed up to this time may not be told any more. Of what ran before there was a history
-- nothing can be told.
INSERT INTO counter VALUES ('history', 0);
INSERT INTO counter SELECT 'history_floor', coalesce(max(coalesce(ended, started)), 0) FROM run;
