-- What a pass is about to do at a target, many lines at once: durable before the first call, and gone with the same
-- transaction that writes what came of it. Until then these lines stand in place of those in `line`. After a kill they
-- become ordinary lines when the store is opened. `sum` covers the row.
CREATE TABLE meant (
  id     INTEGER PRIMARY KEY AUTOINCREMENT,
  target INTEGER NOT NULL,
  run    INTEGER NOT NULL,
  rows   BLOB    NOT NULL,
  sum    INTEGER NOT NULL
) STRICT;
