-- For people with an SQL shell: names instead of numbers, dates instead of microseconds. The program reads none of it.

CREATE TABLE scale (
  scale TEXT    NOT NULL,
  code  INTEGER NOT NULL,
  name  TEXT    NOT NULL,
  PRIMARY KEY (scale, code)
) STRICT, WITHOUT ROWID;
INSERT INTO scale VALUES
  ('kind', 0, 'url'), ('kind', 1, 'domain'), ('kind', 2, 'ipv4'), ('kind', 3, 'ipv6'), ('kind', 4, 'ipv4_net'),
  ('kind', 5, 'ipv6_net'), ('kind', 6, 'email'), ('kind', 7, 'md5'), ('kind', 8, 'sha1'), ('kind', 9, 'sha256'),
  ('kind', 10, 'sha512'), ('kind', 11, 'ja3'), ('kind', 12, 'ja4'), ('kind', 13, 'asn'), ('kind', 14, 'filename'),
  ('kind', 15, 'cert_sha1'), ('kind', 16, 'cert_sha256'), ('kind', 17, 'mutex'), ('kind', 18, 'user_agent'),
  ('severity', 0, 'unknown'), ('severity', 1, 'low'), ('severity', 2, 'medium'), ('severity', 3, 'high'),
  ('severity', 4, 'critical'),
  ('tlp', 0, 'clear'), ('tlp', 1, 'green'), ('tlp', 2, 'amber'), ('tlp', 3, 'amber+strict'), ('tlp', 4, 'red'),
  ('line', 0, 'pending'), ('line', 1, 'unknown'), ('line', 2, 'present'), ('line', 3, 'refused'),
  ('line', 4, 'retracting'), ('line', 5, 'foreign'), ('line', 6, 'released'), ('line', 7, 'gone');

CREATE VIEW v_record AS
SELECT
  k.name AS kind,
  i.value AS value,
  coalesce(d.name, 'connection ' || r.connection) AS source,
  r.reputation AS reputation,
  r.confidence AS confidence,
  s.name AS severity,
  t.name AS tlp,
  g.tags AS tags,
  strftime('%Y-%m-%dT%H:%M:%SZ', r.first_seen / 1000000, 'unixepoch') AS first_seen,
  strftime('%Y-%m-%dT%H:%M:%SZ', r.last_seen / 1000000, 'unixepoch') AS last_seen,
  strftime('%Y-%m-%dT%H:%M:%SZ', r.valid_from / 1000000, 'unixepoch') AS valid_from,
  strftime('%Y-%m-%dT%H:%M:%SZ', r.expires_at / 1000000, 'unixepoch') AS expires_at,
  strftime('%Y-%m-%dT%H:%M:%SZ', r.version / 1000000, 'unixepoch') AS version,
  strftime('%Y-%m-%dT%H:%M:%SZ', r.received / 1000000, 'unixepoch') AS received,
  r.retracted AS retracted,
  r.listed AS listed,
  r.echo AS echo,
  r.ended_version IS NOT NULL AS ended,
  r.internal_hits AS internal_hits,
  r.external_hits AS external_hits,
  r.comment AS comment,
  r.link AS link,
  r.raw AS raw,
  r.remote_id AS remote_id,
  i.revision AS revision,
  i.id AS indicator_id,
  r.connection AS connection_id
FROM record r
JOIN indicator i ON i.id = r.id >> 16
JOIN tagset g ON g.id = r.tagset
LEFT JOIN scale k ON k.scale = 'kind' AND k.code = i.kind
LEFT JOIN scale s ON s.scale = 'severity' AND s.code = r.severity
LEFT JOIN scale t ON t.scale = 'tlp' AND t.code = r.tlp
LEFT JOIN doc d ON d.kind = 'connection' AND d.id = r.connection;

CREATE VIEW v_line AS
SELECT
  coalesce(d.name, 'target ' || l.target) AS target,
  coalesce(l.entry, i.value) AS entry,
  s.name AS state,
  l.remote_id AS remote_id,
  strftime('%Y-%m-%dT%H:%M:%SZ', l.remote_expires / 1000000, 'unixepoch') AS remote_expires,
  l.attempts AS attempts,
  strftime('%Y-%m-%dT%H:%M:%SZ', l.next_try / 1000000, 'unixepoch') AS next_try,
  l.words AS words,
  l.run AS run,
  strftime('%Y-%m-%dT%H:%M:%SZ', l.first_intent / 1000000, 'unixepoch') AS first_intent,
  strftime('%Y-%m-%dT%H:%M:%SZ', l.updated / 1000000, 'unixepoch') AS updated,
  l.indicator AS indicator_id
FROM line l
LEFT JOIN indicator i ON i.id = l.indicator
LEFT JOIN scale s ON s.scale = 'line' AND s.code = l.state
LEFT JOIN doc d ON d.kind = 'target' AND d.id = l.target;
