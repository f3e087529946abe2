-- Filters of the grid of indicators that people keep.

CREATE TABLE saved (
  id      INTEGER PRIMARY KEY AUTOINCREMENT,
  -- Whose it is, as the audit log calls them: a name is never given twice.
  owner   TEXT    NOT NULL,
  name    TEXT    NOT NULL,
  -- The filter, as written.
  query   TEXT    NOT NULL,
  -- Inactive indicators too.
  is_all  INTEGER NOT NULL CHECK (is_all IN (0, 1)),
  sort    TEXT    NOT NULL,
  -- Columns by name, with commas between; empty: those that are shown where nothing is said.
  columns TEXT    NOT NULL,
  -- Everybody sees it.
  shared  INTEGER NOT NULL CHECK (shared IN (0, 1)),
  at      INTEGER NOT NULL,
  UNIQUE (owner, name)
) STRICT;
CREATE INDEX saved_shared ON saved (name) WHERE shared = 1;
