-- Undo: what every share run changed, with what stood there before; plans a person asked for; and the pins that hold
-- what they undid.

-- One row a batch: an entry each in 18 bytes (indicator, verb and flags, state, fingerprint and
-- time of its line before), little-endian.
-- Packed, because it is written with every effect and read only when somebody undoes a run.
CREATE TABLE undo (
  id     INTEGER PRIMARY KEY,
  target INTEGER NOT NULL,
  run    INTEGER NOT NULL,
  at     INTEGER NOT NULL,
  rows   BLOB    NOT NULL
) STRICT;
CREATE INDEX undo_run ON undo (target, run);

-- `kind` says who asked: a pass that was braked, or a person who undoes a run or returns a target to a time. Of the
-- first one waits per target; `pins` are written when the plan is approved. `author` is who the plan is of, for the rule
-- of the second person; `replaced` what a newer pass changed about the plan that waited before it.
ALTER TABLE plan ADD COLUMN kind TEXT NOT NULL DEFAULT 'pass';
ALTER TABLE plan ADD COLUMN author TEXT;
ALTER TABLE plan ADD COLUMN about TEXT;
ALTER TABLE plan ADD COLUMN pins TEXT;
ALTER TABLE plan ADD COLUMN halts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE plan ADD COLUMN replaced TEXT;
DROP INDEX plan_waiting;
CREATE UNIQUE INDEX plan_waiting ON plan (target) WHERE status = 'waiting' AND kind = 'pass';

-- What a person undid at a target: the entry stays out, or in as it was, until a person lifts the pin. `runs` are those
-- it undoes, `past` what the entry carried then.
CREATE TABLE pin (
  target    INTEGER NOT NULL,
  indicator INTEGER NOT NULL,
  hold      TEXT    NOT NULL CHECK (hold IN ('in', 'out')),
  plan      INTEGER NOT NULL,
  who       TEXT    NOT NULL,
  at        INTEGER NOT NULL,
  runs      TEXT    NOT NULL,
  past      TEXT,
  PRIMARY KEY (target, indicator)
) STRICT, WITHOUT ROWID;
