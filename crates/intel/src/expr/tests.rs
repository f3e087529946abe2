//! The language as a whole: what reads, what it prints, what it answers, and what it refuses and how.

use super::*;
use crate::{
    Analyst, ConnectionId, DAY, FoldSettings, Indicator, IndicatorKey, IndicatorKind, Observation, Policies, Policy,
    Severity, SourceRecord, Summary, Timestamp, Tlp, Verdict, VerdictKind,
};
use expect_test::expect;
use proptest::prelude::*;
use std::time::Duration;

fn now() -> Timestamp {
    Timestamp::parse("2026-01-31T12:00:00Z").unwrap()
}

/// An indicator with what an expression needs of it, owned.
struct World {
    indicator: Indicator,
    policies: Policies,
    summary: Summary,
    shared_with: Vec<String>,
}

impl World {
    fn new(
        key: IndicatorKey,
        rows: Vec<(u16, Observation)>,
        change: impl FnOnce(&mut Indicator, &mut Policies),
    ) -> World {
        let mut policies = Policies::default();
        for (id, name) in [(1, "manual"), (2, "misp"), (3, "crowd"), (4, "old")] {
            policies.set(ConnectionId(id), Policy::new(name));
        }
        let mut indicator = Indicator::new(key);
        for (n, (id, mut row)) in rows.into_iter().enumerate() {
            row.value = indicator.key.value().to_owned();
            row.kind = Some(indicator.key.kind());
            let row = row.normalise(now()).unwrap();
            indicator
                .records
                .insert(ConnectionId(id), SourceRecord::first(&row, n as u64, now(), now().before(3 * DAY)));
        }
        change(&mut indicator, &mut policies);
        let summary = indicator.summary(&policies, &FoldSettings::default(), now());
        World { indicator, policies, summary, shared_with: vec!["edge".into(), "proxy".into()] }
    }

    fn with<R>(&self, f: impl FnOnce(&Subject<'_>) -> R) -> R {
        let records = self.indicator.views(&self.policies, now());
        let (key, summary) = (&self.indicator.key, &self.summary);
        f(&Subject { key, summary, records: &records, shared_with: &self.shared_with, now: now() })
    }

    fn eval(&self, text: &str) -> bool {
        let expr = Expr::parse(text).unwrap_or_else(|error| panic!("{error}"));
        self.with(|subject| {
            let holds = expr.eval(subject);
            assert_eq!(expr.explain(subject).holds, holds, "{text}");
            holds
        })
    }
}

/// Two active sources that say much, one expired; an analyst who added and removed tags.
fn rich() -> World {
    let at = |text: &str| Timestamp::parse(text);
    let misp = Observation {
        reputation: Some(8),
        severity: Some(Severity::High),
        tlp: Some(Tlp::Amber),
        tags: vec!["phishing".into(), "Emotet".into(), "wrong".into()],
        first_seen: at("2026-01-01"),
        last_seen: at("2026-01-30"),
        comment: Some("Cobalt Strike C2".into()),
        internal_hits: Some(3),
        ..Observation::default()
    };
    let crowd = Observation {
        confidence: Some(60),
        severity: Some(Severity::Low),
        first_seen: at("2026-01-10"),
        last_seen: at("2026-01-20"),
        expires_at: at("2026-03-01"),
        external_hits: Some(5),
        tags: vec!["c2".into()],
        ..Observation::default()
    };
    let old = Observation { reputation: Some(10), expires_at: at("2026-01-01"), ..Observation::default() };
    let key =
        IndicatorKey::from_stored(IndicatorKind::Url, "http://Evil.com:8080/Path.php?x=1".replace("Evil", "evil"));
    World::new(key, vec![(2, misp), (3, crowd), (4, old)], |indicator, policies| {
        indicator.analyst.tags_added.insert("seen".into());
        indicator.analyst.tags_removed.insert("wrong".into());
        policies.get_mut(ConnectionId(3)).unwrap().tags = vec!["edr".into()];
    })
}

/// One inactive record that says nothing.
fn poor() -> World {
    let key = IndicatorKey::from_stored(IndicatorKind::Filename, "Setup.EXE");
    World::new(key, vec![(2, Observation { retracted: true, ..Observation::default() })], |_, _| {})
}

#[test]
fn every_operator_on_every_field() {
    let (rich, poor) = (rich(), poor());
    for (text, on_rich, on_poor) in [
        ("", true, true),
        ("all", true, true),
        ("kind = url", true, false),
        ("kind != url", false, true),
        ("kind in (url, domain)", true, false),
        ("kind not in (url, domain)", false, true),
        ("kind is set", true, true),
        ("value = 'http://evil.com:8080/Path.php?x=1'", true, false),
        ("value = 'hxxp://EVIL[.]com:8080/Path.php?x=1#f'", true, false),
        ("value != 'hxxp://EVIL[.]com:8080/Path.php?x=1'", false, true),
        ("value in ('Setup.EXE', 'x')", false, true),
        ("value = 'setup.exe'", false, false),
        ("value not in ('Setup.EXE', 'x')", true, false),
        ("value contains 'path'", false, false),
        ("value contains 'Path'", true, false),
        ("value starts with 'http://'", true, false),
        ("value ends with '.EXE'", false, true),
        ("value like 'http://*.php?x=?'", true, false),
        (r#"value matches "^https?://[^/]*\\.com""#, true, false),
        ("value matches 'exe'", false, false),
        ("value is set", true, true),
        ("comment = 'cobalt strike c2'", true, false),
        ("comment != 'x'", true, false),
        ("not comment = 'x'", true, true),
        ("comment not in ('x', 'y')", true, false),
        ("comment in ('x', 'COBALT strike C2')", true, false),
        ("comment contains 'cobalt'", true, false),
        ("comment starts with 'COBALT'", true, false),
        ("comment ends with 'c2'", true, false),
        ("comment like 'cobalt*'", true, false),
        ("comment matches 'cobalt'", false, false),
        ("comment matches '(?i)cobalt'", true, false),
        ("comment is set", true, false),
        ("tag = 'phishing'", true, false),
        ("tag = 'Phishing'", false, false),
        ("tag != 'phishing'", false, true),
        ("tag != 'absent'", true, true),
        ("tag in ('phishing', 'x')", true, false),
        ("tag not in ('phishing', 'x')", false, true),
        ("tag = 'seen' and tag = 'edr' and tag = 'c2'", true, false),
        ("tag = 'wrong'", false, false),
        ("tag contains 'mote'", true, false),
        ("tag starts with 'Em'", true, false),
        ("tag ends with 'ing'", true, false),
        ("tag like 'E*t'", true, false),
        ("tag matches '^c[0-9]$'", true, false),
        ("tag is set", true, false),
        ("source = 'misp'", true, false),
        ("source = 'old'", false, false),
        ("source != 'misp'", false, true),
        ("source in ('misp', 'x')", true, false),
        ("source like '*'", true, false),
        ("source is set", true, false),
        ("shared_with = 'edge'", true, true),
        ("shared_with != 'edge'", false, false),
        ("shared_with is set", true, true),
        ("reputation = 8", true, false),
        ("reputation = 5", false, true),
        ("reputation != 8", false, true),
        ("reputation < 8", false, true),
        ("reputation <= 8", true, true),
        ("reputation > 7", true, false),
        ("reputation >= 8", true, false),
        ("reputation in (7, 8)", true, false),
        ("reputation not in (7, 8)", false, true),
        ("reputation is set", true, true),
        ("severity = high", true, false),
        ("severity >= medium", true, false),
        ("severity < low", false, true),
        ("severity in (high, critical)", true, false),
        ("severity = unknown", false, true),
        ("severity is set", true, false),
        ("confidence = 60", true, false),
        ("confidence != 61", true, false),
        ("confidence < 100", true, false),
        ("confidence not in (1, 2)", true, false),
        ("not confidence in (1, 2)", true, true),
        ("confidence is set", true, false),
        ("tlp = amber", true, false),
        ("tlp <= amber", true, true),
        ("tlp > green", true, false),
        ("tlp in (clear, green)", false, true),
        ("tlp is set", true, true),
        ("n_sources = 2", true, false),
        ("n_sources < 1", false, true),
        ("internal_hits = 3", true, false),
        ("external_hits >= 5", true, false),
        ("external_hits = 0", false, true),
        ("internal_hits is set", true, true),
        ("age > 30d", true, false),
        ("age >= 3d", true, true),
        ("age = 3d", false, true),
        ("age in (3d, 4d)", false, true),
        ("age < 31d", true, true),
        ("age is set", true, true),
        ("first_seen = 2026-01-01", true, false),
        ("first_seen != 2026-01-02", true, false),
        ("first_seen < now - 30d", true, false),
        ("first_seen is set", true, false),
        ("last_seen > now - 14d", true, false),
        ("last_seen >= \"2026-01-30T01:00:00+01:00\"", true, false),
        ("last_seen > 2026-01-30T00:00:00Z", false, false),
        ("last_seen <= now", true, false),
        // misp ages: 90 days after it was last seen.
        ("expires_at = 2026-04-30", true, false),
        ("expires_at > now + 12w", true, true),
        ("active", true, false),
        ("active = true", true, false),
        ("active = false", false, true),
        ("active != true", false, true),
        ("not active", false, true),
        ("retracted", false, true),
        ("muted", false, false),
        ("muted = false", true, true),
        ("verdict = safe", false, false),
        ("verdict != safe", false, false),
        ("not verdict = safe", true, true),
        ("verdict not in (safe, malicious)", false, false),
        ("verdict is set", false, false),
        ("record(source = 'misp' and reputation >= 8)", true, false),
        ("record(source = 'crowd' and reputation >= 8)", false, false),
        ("record(source = 'crowd' and reputation = 6)", true, false),
        ("record(source = 'crowd' and tlp is set)", false, false),
        ("record(source = 'misp' and tlp = amber)", true, false),
        ("record(source = 'old')", false, false),
        ("record(tag = 'wrong')", true, false),
        ("record(tag = 'seen')", false, false),
        ("record(tag = 'edr' and external_hits = 5)", true, false),
        ("record(comment contains 'cobalt' and first_seen = 2026-01-01)", true, false),
        ("record(comment != 'x' and source = 'crowd')", false, false),
        ("record(not comment = 'x' and source = 'crowd')", true, false),
        ("record(age < 22d)", true, false),
        ("record(expires_at = 2026-03-01)", true, false),
        ("record(all)", true, false),
        ("not record(all)", false, true),
        ("under 'evil.com'", true, false),
        ("under 'COM'", true, false),
        ("under 'vil.com'", false, false),
        ("under 'Evil[.]com'", true, false),
        ("under '10.0.0.0/8'", false, false),
        ("covers 'http://evil.com:8080/Path.php?x=1'", true, false),
        ("covers '10.1.2.3'", false, false),
        ("kind = md5 or kind = url and reputation > 7", true, false),
        ("(kind = md5 or kind = url) and reputation < 7", false, false),
        ("not kind = md5 and reputation > 7", true, false),
        ("not (kind = md5 and reputation > 7)", true, true),
        ("not not kind = url", true, false),
    ] {
        assert_eq!(rich.eval(text), on_rich, "rich: {text}");
        assert_eq!(poor.eval(text), on_poor, "poor: {text}");
    }
}

#[test]
fn a_network_covers_and_an_address_is_under() {
    let world = |kind, value: &str| World::new(IndicatorKey::from_stored(kind, value), vec![], |_, _| {});
    let net = world(IndicatorKind::Ipv4Net, "10.1.0.0/16");
    let host = world(IndicatorKind::Url, "http://10.1.2.3/x");
    for (text, on_net, on_host) in [
        ("covers '10.1.2.3'", true, false),
        ("covers '10[.]1.2.3'", true, false),
        ("covers 'http://10.1.2.3/y'", true, false),
        ("covers '10.2.2.3'", false, false),
        ("covers '10.1.2.0/24'", true, false),
        ("covers '10.0.0.0/8'", false, false),
        ("under '10.0.0.0/8'", true, true),
        ("under '10.1.2.3'", false, true),
        // Nobody gave it to us, so it has no age.
        ("age is set", false, false),
    ] {
        assert_eq!((net.eval(text), host.eval(text)), (on_net, on_host), "{text}");
    }
}

#[test]
fn a_malicious_verdict_stands_as_a_record_of_manual() {
    let verdict = |kind, row: Option<Observation>| {
        let key = IndicatorKey::from_stored(IndicatorKind::Domain, "evil.com");
        World::new(key, row.map(|row| (1, row)).into_iter().collect(), |indicator, _| {
            indicator.analyst =
                Analyst { verdict: Some(Verdict { kind, until: None }), muted: true, ..Analyst::default() };
        })
    };
    let standing = verdict(VerdictKind::Malicious, None);
    for text in [
        "verdict = malicious and muted and active",
        "source = 'manual' and n_sources = 1",
        "record(source = 'manual' and not reputation is set and severity = unknown)",
        "not age is set",
    ] {
        assert!(standing.eval(text), "{text}");
    }
    let stated = verdict(VerdictKind::Malicious, Some(Observation { reputation: Some(9), ..Observation::default() }));
    assert!(stated.eval("record(reputation = 9)") && !stated.eval("record(not reputation is set)"));
    let safe = verdict(VerdictKind::Safe, Some(Observation::default()));
    assert!(safe.eval("verdict in (safe, false_positive) and verdict != malicious and not active"));
}

#[test]
fn printing_is_canonical() {
    for (text, expect) in [
        ("  ", "all"),
        ("KIND In ( Url ,domain, url ,) AND Active", "kind in (url, domain) and active"),
        ("kind in (url)", "kind = url"),
        ("kind not in ('url')", "kind != url"),
        ("((reputation>=7))", "reputation >= 7"),
        ("reputation in (9,7,9)", "reputation in (7, 9)"),
        ("reputation not in (7)", "reputation != 7"),
        ("a_tag = 'x'", ""),
        ("tag = 'it\\'s \"x\"\\n\\u{7}'", r#"tag = "it's \"x\"\n\u{7}""#),
        ("tlp <= TLP:AMBER+STRICT or tlp = white", "tlp <= amber+strict or tlp = clear"),
        ("severity in (critical, Info)", "severity in (low, critical)"),
        ("last_seen > now-2w", "last_seen > now - 14d"),
        ("last_seen > now - 0s", "last_seen > now"),
        ("last_seen > now + 1d12h", "last_seen > now + 36h"),
        ("last_seen > 2026-01-31", "last_seen > 2026-01-31T00:00:00Z"),
        ("last_seen > '2026-01-31 10:00:00.5'", "last_seen > 2026-01-31T10:00:00.500000Z"),
        ("age > 90m", "age > 90m"),
        ("muted != false", "muted"),
        ("muted != true", "muted = false"),
        ("value = 'hxxp://Evil[.]com'", r#"value = "http://evil.com/""#),
        ("value = 'Setup.EXE'", r#"value in ("Setup.EXE", "setup.exe")"#),
        ("value = 'what is this'", r#"value = "what is this""#),
        ("under 'Evil[.]Example.'", r#"under "evil.example""#),
        ("under '.Co.UK'", r#"under "co.uk""#),
        ("covers '::FFFF:10.1.2.3'", r#"covers "10.1.2.3""#),
        ("(active and muted) and retracted", "(active and muted) and retracted"),
        ("active and muted or retracted", "active and muted or retracted"),
        ("(active or muted) and not (retracted or all)", "(active or muted) and not (retracted or all)"),
        ("not(not active)", "not not active"),
        ("record( (tag = 'x' and source='y') ) # why", r#"record(tag = "x" and source = "y")"#),
        ("value starts  with '^' or value Matches '\\\\d'", r#"value starts with "^" or value matches "\\d""#),
    ] {
        let printed = Expr::parse(text).map(|e| e.to_string()).unwrap_or_default();
        assert_eq!(printed, expect, "{text}");
        assert_eq!(
            Expr::parse(&printed).unwrap().to_string(),
            if printed.is_empty() { "all" } else { expect },
            "{text}"
        );
    }
}

#[test]
fn errors_say_where_what_and_what_was_meant() {
    for (text, position, expected, found, suggestion) in [
        ("reputaton >= 7", 0, "a field", "`reputaton`", Some("reputation")),
        ("type = url", 0, "a field", "`type`", Some("kind")),
        ("kind = urll", 7, "a kind (url, ", "`urll`", Some("url")),
        ("kind = ip", 7, "a kind", "`ip`", Some("ipv4")),
        ("kind in (url domain)", 13, "`,` or `)`", "`domain`", None),
        ("kind in url", 8, "`(` before the values", "`url`", Some("(url)")),
        ("kind in ()", 9, "a kind", "`)`", None),
        ("kind = (url)", 7, "one value", "`(`", None),
        ("kind > url", 5, "=, !=, in, not in or is set after `kind`", "`>`", None),
        ("kind == url", 5, "=, !=, in", "`==`", Some("=")),
        ("kind", 4, "=, !=, in", "the end", None),
        ("reputation >= high", 14, "a whole number from 0 to 10", "`high`", None),
        ("reputation >= 70", 14, "a whole number from 0 to 10", "`70`", None),
        ("confidence >= 99999999999999999999", 14, "a whole number from 0 to 100", "`99999999999999999999`", None),
        ("reputation contains 7", 11, "=, !=, <, <=, >, >=, in, not in or is set", "`contains`", None),
        ("severity >= hihg", 12, "a severity (unknown, low", "`hihg`", Some("high")),
        ("tlp <= ambr", 7, "a TLP marking", "`ambr`", Some("amber")),
        ("verdict = falsepositive", 10, "a verdict", "`falsepositive`", Some("false_positive")),
        ("tag = benign", 6, "a text in quotes", "`benign`", Some("\"benign\"")),
        ("value = 10.1.2.3", 8, "a text in quotes", "`10.1.2.3`", Some("\"10.1.2.3\"")),
        ("evil.example/x", 0, "a field", "`evil.example/x`", Some("value = \"evil.example/x\"")),
        ("10.1.2.3", 0, "a field", "`10.1.2.3`", Some("value = \"10.1.2.3\"")),
        ("tag starts_with 'x'", 4, "starts with", "`starts_with`", Some("starts with")),
        ("tag starts 'x'", 11, "`with` after `starts`", "`'x'`", Some("with")),
        ("tag containz 'x'", 4, "contains", "`containz`", Some("contains")),
        ("tag not contains 'x'", 8, "`in` after `tag not`", "`contains`", None),
        ("tag is not set", 7, "`not tag is set`", "`not`", None),
        ("comment is null", 11, "`set` after `is`", "`null`", Some("set")),
        ("active and", 10, "a field", "the end", None),
        ("active && muted", 7, "`and`, `or` or the end", "`&&`", Some("and")),
        ("active muted", 7, "`and`, `or` or the end", "`muted`", Some("and muted")),
        ("active an muted", 7, "`and`, `or` or the end", "`an`", Some("and")),
        ("active = yes", 9, "`true` or `false`", "`yes`", None),
        ("active > 3", 7, "nothing after `active`", "`>`", None),
        ("(active or muted", 16, "`and`, `or` or `)` for the `(` at column 1", "the end", None),
        ("active)", 6, "`and`, `or` or the end", "`)`", None),
        ("! active", 0, "a field", "`!`", Some("not")),
        ("last_seen > 14d", 12, "a time", "`14d`", Some("now - 14d")),
        ("last_seen > now - 14", 18, "a duration", "`14`", Some("14d")),
        ("last_seen > now - 99999999w", 18, "at most 100 years", "`99999999w`", None),
        ("last_seen > yesterday", 12, "a time", "`yesterday`", None),
        ("last_seen in (now)", 10, "=, !=, <, <=, >, >= or is set", "`in`", None),
        ("age > 14", 6, "a duration", "`14`", Some("14d")),
        ("value matches 'a(b'", 14, "a regular expression (unclosed group)", "`'a(b'`", None),
        ("value matches '\\d'", 15, "a backslash is written twice", "`\\d`", Some("\\\\d")),
        ("tag = 'x", 6, "`'` to close the text", "the end", None),
        ("tag = \"\\u{110000}\"", 7, "an escape", "`\\u`", Some("\\\\u")),
        ("tag = “x”", 6, "straight quotes", "`“`", Some("\"")),
        ("tag = 'x' ; active", 10, "a word of the rule language", "`;`", None),
        (
            "under 'http://evil.com/x'",
            6,
            "a domain, an address or a network",
            "`'http://evil.com/x'`",
            Some("\"evil.com\""),
        ),
        ("under '10.0.0.0/7'", 6, "this would match far too much", "`'10.0.0.0/7'`", None),
        (
            "covers 'd41d8cd98f00b204e9800998ecf8427f'",
            7,
            "an address, network, domain",
            "`'d41d8cd98f00b204e9800998ecf8427f'`",
            None,
        ),
        ("record active", 7, "`(` after `record`", "`active`", None),
        ("record(kind = url)", 7, "goes outside `record(…)`", "`kind`", None),
        ("record(tag = 'x' and record(tag = 'y'))", 21, "outside `record(…)`", "`record`", None),
        ("record(under 'evil.com')", 7, "outside `record(…)`", "`under`", None),
    ] {
        let error = Expr::parse(text).expect_err(text);
        assert_eq!(error.position, position, "{text}\n{error}");
        assert!(error.expected.contains(expected), "{text}\n{error}");
        assert_eq!(error.found, found, "{text}\n{error}");
        assert_eq!(error.suggestion.as_deref(), suggestion, "{text}\n{error}");
    }
}

#[test]
fn errors_draw_a_caret() {
    let error = Expr::parse("kind = url and\n  severity >= hihg or active").unwrap_err();
    assert_eq!((error.line, error.column), (2, 15));
    expect![[r#"
        line 2, column 15: expected a severity (unknown, low, medium, high or critical), found `hihg`
            severity >= hihg or active
                        ^^^^
          did you mean `high`?"#]]
    .assert_eq(&error.to_string());
    let error = Expr::parse("tag = 'é' and tag = ü").unwrap_err();
    assert_eq!((error.position, error.column), (21, 21));
}

#[test]
fn rules_ask_for_less_than_searches() {
    assert_eq!(Expr::parse("shared_with = 'edge'").unwrap().to_string(), "shared_with = \"edge\"");
    let error = Expr::parse_rule("active and shared_with = 'edge'").unwrap_err();
    assert_eq!((error.position, &*error.found), (11, "`shared_with`"));
    assert!(error.expected.contains("searches only"), "{error}");
    assert_eq!(Expr::parse(" # nothing\n"), Ok(Expr::All));
    assert!(Expr::parse_rule(" # nothing\n").unwrap_err().expected.contains("`all` selects everything"));
    assert_eq!(Expr::parse_rule("all"), Ok(Expr::All));
}

#[test]
fn hostile_texts_are_refused_at_once() {
    let too = |text: &str| Expr::parse(text).unwrap_err().expected;
    assert_eq!(too(&"(".repeat(1 << 20)), "at most 65536 bytes");
    assert_eq!(too(&"é".repeat(1 << 16)), "at most 65536 bytes");
    for open in ["(", "not ", "not(", "record("] {
        let text = open.repeat(TEXT_BYTES / open.len());
        let expected = if open == "record(" { "outside `record(…)`" } else { "at most 32 levels" };
        assert!(too(&text).contains(expected), "{open}");
    }
    let nested = |n: usize| format!("{}active{}", "(".repeat(n), ")".repeat(n));
    assert!(Expr::parse(&nested(DEPTH)).is_ok());
    assert!(too(&nested(DEPTH + 1)).contains("at most 32 levels"));
    assert!(Expr::parse(&format!("{}active", "not ".repeat(DEPTH))).is_ok());
    // A level that is left again does not count.
    assert!(Expr::parse(&vec!["(not record(all))"; 100].join(" and ")).is_ok());

    let listed = |n: usize| format!("n_sources in ({})", vec!["1"; n].join(","));
    assert!(Expr::parse(&listed(NODES)).is_ok());
    assert_eq!(too(&listed(NODES + 1)), "at most 10000 clauses and values");
    let clauses = |n: usize| vec!["all"; n].join(" or ");
    assert_eq!(Expr::parse(&clauses(9_000)).map(|e| matches!(e, Expr::Or(parts) if parts.len() == 9_000)), Ok(true));

    assert!(too(r"value matches '(\\w{1000}){1000}'").contains("more than 512 KiB"));
    let regexes = |n: usize| vec!["tag matches 'a'"; n].join(" or ");
    assert!(Expr::parse(&regexes(REGEXES)).is_ok());
    assert_eq!(too(&regexes(REGEXES + 1)), "at most 64 regular expressions");
    // Short as written, too long as printed: a bell is one byte here and five there.
    assert!(too(&format!("tag = '{}'", "\u{7}".repeat(20_000))).contains("written out in full"));
}

#[test]
fn explanations_name_what_decides() {
    let text = "kind = url and (tag = 'benign' or reputation >= 9 or record(source = 'crowd' and severity >= high)) and not muted";
    let world = rich();
    let explained = world.with(|subject| Expr::parse(text).unwrap().explain(subject));
    expect![[r#"
        * no  kind = url and (tag = "benign" or reputation >= 9 or record(source = "crowd" and severity >= high)) and not muted
          yes   kind = url   [url]
        * no    tag = "benign" or reputation >= 9 or record(source = "crowd" and severity >= high)
        * no      tag = "benign"   ["Emotet", "c2", "edr", "phishing", "seen"]
        * no      reputation >= 9   [8]
        * no      record(source = "crowd" and severity >= high)   [0 of 2 active records]
        * no        misp: source = "crowd" and severity >= high
        * no          source = "crowd"   ["misp"]
          yes         severity >= high   [high]
        * no        crowd: source = "crowd" and severity >= high
          yes         source = "crowd"   ["crowd"]
        * no          severity >= high   [low]
          yes   not muted
          no      muted   [false]"#]]
    .assert_eq(&explained.to_string());
    let deciding: Vec<&str> = explained.deciding().into_iter().map(|e| &*e.clause).collect();
    assert_eq!(deciding[..2], ["tag = \"benign\"", "reputation >= 9"]);

    let explained = world.with(|subject| Expr::parse("active or age > 1d and muted").unwrap().explain(subject));
    expect![[r#"
        * yes active or age > 1d and muted
        * yes   active   [true]
          no    age > 1d and muted
          yes     age > 1d   [732h]
          no      muted   [false]"#]]
    .assert_eq(&explained.to_string());
}

#[test]
fn what_mentions_time() {
    for (text, expect) in [
        ("last_seen > now - 14d", true),
        ("last_seen > 2026-01-31", false),
        ("last_seen is set", false),
        ("age > 3d", true),
        ("not record(age in (3d, 4d))", true),
        ("kind = url and active", false),
    ] {
        assert_eq!(Expr::parse(text).unwrap().mentions_time(), expect, "{text}");
    }
}

// --- random trees

fn texts(ignore_case: bool) -> impl Strategy<Value = Texts> {
    prop_oneof![
        proptest::collection::vec(any::<String>().prop_map(String::into_boxed_str), 1..4).prop_map(Texts::any_of),
        ((0..How::ALL.len()), "[a-zA-Z0-9 .*?é\"'\\n\\x07]{0,6}").prop_map(move |(how, text)| {
            let how = How::ALL[how];
            let text = if how == How::Matches { regex::escape(&text) } else { text };
            Texts::Like(Pattern::new(how, &text, ignore_case).unwrap())
        }),
    ]
}

fn one_of<T: Copy + std::fmt::Debug>(all: &'static [T]) -> impl Strategy<Value = T> {
    (0..all.len()).prop_map(move |at| all[at])
}

fn some_of<T: Copy + Ord + std::fmt::Debug>(all: &'static [T]) -> impl Strategy<Value = Vec<T>> {
    proptest::collection::btree_set(one_of(all), 1..4).prop_map(|set| set.into_iter().collect())
}

fn number() -> impl Strategy<Value = (NumberField, std::collections::BTreeSet<i64>)> {
    (one_of(NumberField::ALL), proptest::collection::btree_set(0i64..5, 1..4)).prop_map(|(field, values)| {
        let unit = if field == NumberField::Age { 3_600_000_000 } else { 1 };
        (field, values.into_iter().map(|value| value * unit).collect())
    })
}

fn when() -> impl Strategy<Value = When> {
    prop_oneof![
        (0i64..4_000_000_000_000_000).prop_map(|micros| When::At(Timestamp::from_micros(micros))),
        (0u64..10_000_000).prop_map(|secs| When::Ago(Duration::from_secs(secs))),
        (1u64..10_000_000).prop_map(|secs| When::Ahead(Duration::from_secs(secs))),
    ]
}

fn test_of_anything() -> impl Strategy<Value = Test> {
    const VERDICTS: &[VerdictKind] = &[VerdictKind::Malicious, VerdictKind::FalsePositive, VerdictKind::Safe];
    let set = |texts: &Texts, negated: bool| negated && matches!(texts, Texts::AnyOf(_));
    prop_oneof![
        (some_of(IndicatorKind::ALL), any::<bool>()).prop_map(|(kinds, negated)| Test::Kind { kinds, negated }),
        (some_of(VERDICTS), any::<bool>()).prop_map(|(verdicts, negated)| Test::Verdict { verdicts, negated }),
        // Literals of `value` are canonicalised, so a random one need not read back as itself; shapes do.
        (texts(true), any::<bool>()).prop_map(move |(texts, negated)| {
            let negated = set(&texts, negated);
            Test::Text { field: TextField::Comment, texts, negated }
        }),
        texts(false).prop_filter("shape", |texts| matches!(texts, Texts::Like(_))).prop_map(|texts| Test::Text {
            field: TextField::Value,
            texts,
            negated: false
        }),
        (one_of(NamesField::ALL), texts(false), any::<bool>()).prop_map(move |(field, texts, negated)| {
            let negated = set(&texts, negated);
            Test::Names { field, texts, negated }
        }),
        (number(), one_of(CmpOp::ALL), any::<bool>()).prop_map(|((field, values), op, negated)| {
            let values: Vec<i64> = values.into_iter().collect();
            match values[..] {
                [value] => Test::Number { field, op, value },
                _ => Test::NumberIn { field, values, negated },
            }
        }),
        (one_of(TimeField::ALL), one_of(CmpOp::ALL), when()).prop_map(|(field, op, when)| Test::Time {
            field,
            op,
            when
        }),
        (one_of(FlagField::ALL), any::<bool>()).prop_map(|(field, is)| Test::Flag { field, is }),
        (0..Field::all().count())
            .prop_map(|at| Field::all().nth(at).unwrap())
            .prop_filter("flags are always set", |field| !matches!(field, Field::Flag(_)))
            .prop_map(Test::IsSet),
    ]
}

fn joined(leaf: impl Strategy<Value = Expr> + 'static) -> impl Strategy<Value = Expr> {
    leaf.prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 2..5).prop_map(Expr::And),
            proptest::collection::vec(inner.clone(), 2..5).prop_map(Expr::Or),
            inner.prop_map(|part| Expr::Not(Box::new(part))),
        ]
    })
}

fn tree() -> impl Strategy<Value = Expr> {
    let of_record =
        test_of_anything().prop_filter("of one record", |test| test.field().of_record()).prop_map(Expr::Test);
    let key = |text: &str| {
        IndicatorKey::parse(Some(IndicatorKind::Domain), text).or(IndicatorKey::parse(None, text)).unwrap()
    };
    joined(prop_oneof![
        1 => Just(Expr::All),
        8 => test_of_anything().prop_map(Expr::Test),
        2 => joined(of_record).prop_map(|part| Expr::Record(Box::new(part))),
        1 => proptest::sample::select(vec!["evil.com", "a.example", "10.0.0.0/8", "10.1.2.3", "2001:db8::/32"])
            .prop_map(move |text| Expr::Under(Scope::new(key(text)).unwrap())),
        1 => proptest::sample::select(vec!["evil.com", "10.1.2.3", "http://evil.com/x", "x@evil.com"])
            .prop_map(move |text| Expr::Covers(key(text))),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn what_is_printed_reads_back(expr in tree()) {
        let printed = expr.to_string();
        match Expr::parse(&printed) {
            Ok(back) => prop_assert_eq!(back, expr, "{}", printed),
            Err(error) => prop_assert!(false, "{error}"),
        }
    }

    #[test]
    fn every_tree_has_an_answer_and_its_explanation_agrees(expr in tree(), poor_one in any::<bool>()) {
        let world = if poor_one { poor() } else { rich() };
        let (holds, explained, negated) = world.with(|subject| {
            (expr.eval(subject), expr.explain(subject), Expr::Not(Box::new(expr.clone())).eval(subject))
        });
        prop_assert_eq!(explained.holds, holds);
        prop_assert_eq!(negated, !holds);
        prop_assert!(!explained.deciding().is_empty());
        let head = if holds { "* yes" } else { "* no" };
        prop_assert!(explained.to_string().starts_with(head));
    }

    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        let _ = Expr::parse(&text).map_err(|error| error.to_string());
    }

    /// Words of the language in any order: mostly errors, sometimes not; what reads prints, and reads again.
    #[test]
    fn shuffled_words_read_or_are_refused(words in proptest::collection::vec(proptest::sample::select(vec![
        "kind", "=", "!=", "in", "(", ")", ",", "url", "'x'", "\"é", "value", "not", "and", "or", "record", "record(",
        "tag", "contains", "starts", "with", "is", "set", "7", "14d", "now", "-", "+", "last_seen", "age", ">", "under",
        "covers", "'evil.com'", "'10.1.2.3'", "all", "active", "true", "#", "\n", "severity", "high", "\\", "matches",
    ]), 0..14)) {
        let text = words.join(" ");
        match Expr::parse(&text) {
            Ok(expr) => prop_assert_eq!(Expr::parse(&expr.to_string()), Ok(expr)),
            Err(error) => {
                prop_assert!(text.is_char_boundary(error.position));
                prop_assert!(error.to_string().contains('^'));
            }
        }
    }
}
