-- What people are told, once each.

-- Something a person should know of. While it stands there is one row; what comes again after it was over is another.
CREATE TABLE notice (
  id        INTEGER PRIMARY KEY AUTOINCREMENT,
  kind      TEXT    NOT NULL,
  subject   TEXT    NOT NULL,
  severity  TEXT    NOT NULL,
  text      TEXT    NOT NULL,
  next_step TEXT    NOT NULL,
  path      TEXT    NOT NULL,
  first     INTEGER NOT NULL,
  last      INTEGER NOT NULL,
  -- An event has nothing to be over: it is told and done.
  is_event  INTEGER NOT NULL CHECK (is_event IN (0, 1)),
  over      INTEGER
) STRICT;
CREATE UNIQUE INDEX notice_open ON notice (kind, subject) WHERE over IS NULL;
CREATE INDEX notice_over ON notice (over) WHERE over IS NOT NULL;

-- What became of telling it through a channel.
CREATE TABLE telling (
  notice   INTEGER NOT NULL REFERENCES notice (id) ON DELETE CASCADE,
  channel  TEXT    NOT NULL,
  told     INTEGER,
  attempts INTEGER NOT NULL,
  next_try INTEGER,
  words    TEXT,
  PRIMARY KEY (notice, channel)
) STRICT, WITHOUT ROWID;
