//! The rule language: what is printed reads back, one indicator is judged as all of them are, exceptions agree with `covers`.

use crate::tell::{NOW, text};
use crate::{Seed, Target};
use index::{Index, NotShared, Scope};
use intel::expr::{Expr, Subject};
use intel::rule::ValueSet;
use intel::{
    Claim, ConnectionId, FoldSettings, Indicator, IndicatorId, IndicatorKey, IndicatorKind, Policies, Policy,
    Reputation, Severity, SourceRecord, Tlp,
};
use std::time::Duration;

/// A few indicators that differ in everything a rule can ask for.
pub(crate) struct World {
    pub(crate) indicators: Vec<Indicator>,
    pub(crate) policies: Policies,
    pub(crate) settings: FoldSettings,
    pub(crate) index: Index,
}

const KEYS: &[(IndicatorKind, &str)] = &[
    (IndicatorKind::Domain, "evil.example"),
    (IndicatorKind::Domain, "a.evil.example"),
    (IndicatorKind::Url, "http://evil.example/x"),
    (IndicatorKind::Url, "http://10.1.2.3:8080/x"),
    (IndicatorKind::Ipv4, "10.1.2.3"),
    (IndicatorKind::Ipv4Net, "10.1.0.0/16"),
    (IndicatorKind::Ipv6, "2001:db8::1"),
    (IndicatorKind::Email, "x@evil.example"),
    (IndicatorKind::Md5, "0123456789abcdef0123456789abcdef"),
    (IndicatorKind::Filename, "evil.exe"),
];

impl World {
    fn new() -> World {
        let mut policies = Policies::default();
        for (at, name) in ["manual", "alpha", "beta"].iter().enumerate() {
            policies.set(ConnectionId(at as u16 + 1), Policy::new(*name));
        }
        let settings = FoldSettings::default();
        let mut index = Index::new(policies.clone(), settings);
        let mut indicators = Vec::new();
        for (at, (kind, value)) in KEYS.iter().enumerate() {
            let key = IndicatorKey::from_stored(*kind, *value);
            let mut indicator = Indicator::new(key.clone());
            for from in 0..=(at % 3) {
                let n = at + from * 3;
                let day = |days: u64| NOW.before(Duration::from_secs(days * 86_400));
                let mut tags: Vec<Box<str>> = vec!["apt".into()];
                if n.is_multiple_of(2) {
                    tags.insert(0, "C2".into());
                }
                let claim = Claim {
                    reputation: (!n.is_multiple_of(4)).then(|| Reputation::clamped(n as i64 + 1)),
                    confidence: n.is_multiple_of(2).then_some(n as u8 * 7),
                    severity: Severity::ALL[n % Severity::ALL.len()],
                    tlp: (!n.is_multiple_of(3)).then(|| Tlp::ALL[n % Tlp::ALL.len()]),
                    tags,
                    first_seen: Some(day(n as u64 * 3)),
                    last_seen: Some(day(n as u64)),
                    valid_from: None,
                    expires_at: n.is_multiple_of(5).then(|| NOW.after(Duration::from_secs(86_400))),
                    retracted: n == 7,
                    comment: (n % 2 == 1).then(|| "Seen in the wild".into()),
                    link: None,
                    raw: None,
                    internal_hits: n as u32 % 3,
                    external_hits: n as u32 % 2,
                };
                let record = SourceRecord {
                    version: NOW,
                    claim,
                    received: day(10),
                    contents: vec![(n as u64 + 1) << 32 | at as u64],
                    listed: true,
                    echo: false,
                    ended: None,
                    remote_id: None,
                };
                let connection = ConnectionId(from as u16 + 1);
                index.put(IndicatorId(at as u32), &key, connection, &record, Some(at as u64 + 1), NOW);
                indicator.records.insert(connection, record);
            }
            indicators.push(indicator);
        }
        World { indicators, policies, settings, index }
    }
}

thread_local! {
    static WORLD: World = World::new();
}

pub(crate) static RULE: Target = Target {
    name: "rule",
    run: |data| {
        let written = text(data);
        let parsed = Expr::parse(&written);
        let as_rule = Expr::parse_rule(&written);
        let expr = match (parsed, as_rule) {
            (Err(error), as_rule) => {
                assert!(as_rule.is_err(), "a rule that is no expression");
                assert!(!error.to_string().is_empty());
                return;
            }
            (Ok(expr), Ok(rule)) => {
                assert_eq!(expr, rule);
                expr
            }
            (Ok(expr), Err(_)) => expr,
        };
        let printed = expr.to_string();
        let again = Expr::parse(&printed);
        if printed.len() <= intel::expr::TEXT_BYTES {
            assert_eq!(again.as_ref().ok(), Some(&expr), "printed as {printed:?}: {again:?}");
            assert_eq!(again.map(|again| again.to_string()).ok(), Some(printed), "not printed the same twice");
        }
        WORLD.with(|world| {
            let all = world.index.select(&expr, Scope::All, NOW, &NotShared);
            let active = world.index.select(&expr, Scope::Active, NOW, &NotShared);
            for (at, indicator) in world.indicators.iter().enumerate() {
                let id = IndicatorId(at as u32);
                let summary = indicator.summary(&world.policies, &world.settings, NOW);
                let views = indicator.views(&world.policies, NOW);
                let subject =
                    Subject { key: &indicator.key, summary: &summary, records: &views, shared_with: &[], now: NOW };
                let says = expr.eval(&subject);
                assert_eq!(all.contains(id), says, "{expr} of {:?}", indicator.key);
                assert_eq!(active.contains(id), says && summary.folded.active, "{expr} of {:?}", indicator.key);
                assert_eq!(world.index.matches(&expr, id, NOW), says, "{expr} of {:?}", indicator.key);
                assert_eq!(expr.explain(&subject).holds, says, "{expr} of {:?}", indicator.key);
            }
        });
    },
    seeds: &[
        Seed::Text("kind in (url, domain) and reputation >= 7 and not tag = \"benign\""),
        Seed::Text("source in (\"manual\", \"alpha\") and severity >= high and last_seen > now - 14d"),
        Seed::Text("value matches \"^https?://[^/]*\\\\.example/\" or value in (\"evil.example\", \"b.example\")"),
        Seed::Text("record(source = \"alpha\" and reputation >= 8)"),
        Seed::Text("covers \"10.1.2.3\" or under \"evil.example\""),
        Seed::Text("not (tlp = amber or comment contains \"WILD\") and age < 3d and confidence is set"),
        Seed::Text("first_seen > 2026-01-01T00:00:00Z and n_sources != 2 and active and not retracted"),
        Seed::Text("value like \"*.evil.*\" and internal_hits > 0 or muted or verdict = malicious"),
    ],
    words: &[
        " and ",
        " or ",
        "not ",
        "(",
        ")",
        "record(",
        "under ",
        "covers ",
        "kind",
        "value",
        "reputation",
        "severity",
        "tag",
        "tlp",
        "comment",
        "source",
        "n_sources",
        "first_seen",
        "expires_at",
        "age",
        " in (",
        " contains ",
        " starts with ",
        " ends with ",
        " like ",
        " matches ",
        " is set",
        " >= ",
        " != ",
        "now - 14d",
        "\"",
        "\\",
        "high",
        "amber",
        "shared_with",
        "verdict",
        "muted",
        "10",
        "-1",
        "2026-01-01T00:00:00Z",
        "[^/]*",
        "(a|b){1,9}",
        "%",
        "*",
    ],
    longest: 8_192,
};

pub(crate) static EXCEPTIONS: Target = Target {
    name: "exceptions",
    run: |data| {
        let whole = text(data);
        let lines: Vec<&str> = whole.lines().take(40).collect();
        let (listed, asked) = lines.split_at(lines.len() / 2);
        for under in [false, true] {
            let (set, warnings) = ValueSet::new(listed, under);
            assert!(warnings.len() <= listed.len());
            assert_eq!(set.under(), under);
            let read: Vec<IndicatorKey> = listed.iter().filter_map(|v| IndicatorKey::parse(None, v).ok()).collect();
            for value in asked.iter().chain(listed) {
                let Ok(key) = IndicatorKey::parse(None, value) else { continue };
                let excepted = set.excepts(&key);
                assert!(excepted.is_none_or(|by| set.written().any(|written| written == by)));
                // Whoever excepts a value means that value, and with `under` all it covers.
                let named = read.iter().find(|of| **of == key || (under && intel::key::covers(of, &key)));
                if let Some(of) = named {
                    assert!(excepted.is_some(), "{of:?} does not except {key:?}, under = {under}");
                }
            }
        }
    },
    seeds: &[
        Seed::Text(
            "goodurl.com\n198.51.100.0/24\nhttp://cdn.example/ok\nSetup.EXE\nhttp://a.goodurl.com/x\n198.51.100.7\nx@goodurl.com\nhttp://198.51.100.9/\n",
        ),
        Seed::Text("intra.corp\n2001:db8::/32\n9.9.9.9\n2001:db8::7\nhost.intra.corp\n9.9.9.9:53\n"),
    ],
    words: &["\n", "goodurl.com", "198.51.100.", "/24", "http://", "x@", "2001:db8::", "www.", " "],
    longest: 2_048,
};
