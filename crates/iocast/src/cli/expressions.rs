//! The rule language on one page, for help texts.

/// What `iocast help expressions` prints, and the long help of commands that take an expression ends with.
pub(crate) const CHEAT_SHEET: &str = r#"Expressions select indicators, in rules and in searches.

  kind in (url, domain) and reputation >= 7 and not tag = "benign"
  source in ("misp", "crowdstrike") and severity >= high and last_seen > now - 14d
  value matches "^https?://[^/]*\\.ru/" or value in ("a.example", "b.example")
  record(source = "feedly" and reputation >= 8)     one record that meets all of it
  under "evil.example"                              the name, names below it, URLs on them
  covers "10.1.2.3"                                 networks that hold the address

Fields
  kind         url domain ipv4 ipv4_net ipv6 ipv6_net email md5 sha1 sha256 sha512 ja3 ja4 asn
               filename cert_sha1 cert_sha256 mutex user_agent
  value        the canonical value; literals are brought into canonical form too
  reputation   1 to 10          confidence   0 to 100        severity  unknown to critical
  tag          any of the tags  source       any connection  n_sources how many
  tlp          clear green amber amber+strict red            comment   of the leading record
  first_seen   last_seen  expires_at  age                    times; age is since first_seen
  active       retracted  muted                              yes or no
  verdict      malicious false_positive safe
  internal_hits  external_hits                               sightings
  shared_with  a target; in searches only

Operators
  = != < <= > >=   in (…)   not in (…)   is set   and or not ( )
  contains   starts with   ends with   like "*.example"   matches "regular expression"

Notes
  Of tag and source, = means any of them and != means none of them.
  A comparison with something that is not known is false.
  Times are RFC 3339, a date, or now - 14d (s, m, h, d).
  Searches look at active indicators only, unless --all. An empty search finds everything,
  and in a rule `all` selects everything.
"#;
