use super::place::parse_net;
use super::*;
use proptest::prelude::*;
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

fn key(kind: IndicatorKind, value: &str) -> IndicatorKey {
    IndicatorKey::from_stored(kind, value)
}

/// A key whose kind is plain from its canonical value.
fn plain(value: &str) -> IndicatorKey {
    use IndicatorKind as K;
    let kind = if value.contains("://") {
        K::Url
    } else if value.contains('@') {
        K::Email
    } else if value.parse::<Ipv4Addr>().is_ok() {
        K::Ipv4
    } else if value.parse::<Ipv6Addr>().is_ok() {
        K::Ipv6
    } else if value.contains('/') {
        if value.contains(':') { K::Ipv6Net } else { K::Ipv4Net }
    } else if value.len() == 32 && !value.contains('.') {
        K::Md5
    } else {
        K::Domain
    };
    key(kind, value)
}

fn list(name: &str, class: GuardClass, values: &[&str]) -> GuardList {
    GuardList::new(name, class, values.iter().copied().map(plain).collect())
}

const MD5: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn classes_and_relations() {
    use GuardClass::*;
    use Relation::*;
    let guard = Guard::new([
        list("own", Lifeline, &["own.example", "https://api.vendor.example/v1/", "9.9.9.9", MD5]),
        list(
            "top",
            Popular,
            &["google.com", "www.shop.example", "github.io", "104.16.0.0/13", "http://start.example/"],
        ),
        list("misp", Warn, &["warned.example", "45.0.0.0/24"]),
    ]);
    // value, what is found: class, relation, stopped
    type Found = Option<(GuardClass, Relation, bool)>;
    let cases: &[(&str, Found)] = &[
        ("own.example", Some((Lifeline, Equal, true))),
        ("a.b.own.example", Some((Lifeline, Contained, true))),
        ("notown.example", None),
        ("https://own.example/login", Some((Lifeline, Contained, true))),
        ("https://x.own.example:8443/login?q", Some((Lifeline, Contained, true))),
        ("https://own.example/", Some((Lifeline, Equal, true))),
        ("boss@own.example", Some((Lifeline, Contained, true))),
        ("boss@mail.own.example", Some((Lifeline, Contained, true))),
        // blocking the host or a parent blocks the API address on it
        ("api.vendor.example", Some((Lifeline, Contains, true))),
        ("vendor.example", Some((Lifeline, Contains, true))),
        ("www.vendor.example", None),
        ("https://api.vendor.example/v1/", Some((Lifeline, Equal, true))),
        ("https://api.vendor.example/v2/", None),
        ("https://api.vendor.example/", Some((Lifeline, Contains, true))),
        ("9.9.9.9", Some((Lifeline, Equal, true))),
        ("9.9.9.0/24", Some((Lifeline, Contains, true))),
        ("http://9.9.9.9/x", Some((Lifeline, Contained, true))),
        ("9.9.9.8", None),
        (MD5, Some((Lifeline, Equal, true))),
        // popular: equal and contains stop, inside is flagged
        ("google.com", Some((Popular, Equal, true))),
        ("https://google.com/", Some((Popular, Equal, true))),
        ("http://google.com:8080/", Some((Popular, Equal, true))),
        ("https://google.com/evil", Some((Popular, Contained, false))),
        ("https://google.com/?q=evil", Some((Popular, Contained, false))),
        ("sites.google.com", Some((Popular, Contained, false))),
        ("shop.example", Some((Popular, Contains, true))),
        ("evil.github.io", Some((Popular, Contained, false))),
        ("github.io", Some((Popular, Equal, true))),
        ("somebody@google.com", Some((Popular, Contained, false))),
        ("104.16.1.2", Some((Popular, Contained, false))),
        ("104.16.0.0/14", Some((Popular, Contained, false))),
        ("104.16.0.0/13", Some((Popular, Equal, true))),
        ("104.0.0.0/8", Some((Popular, Contains, true))),
        ("start.example", Some((Popular, Equal, true))),
        ("https://start.example/x", Some((Popular, Contained, false))),
        // warn never stops
        ("warned.example", Some((Warn, Equal, false))),
        ("45.0.0.0/16", Some((Warn, Contains, false))),
        ("45.0.0.1", Some((Warn, Contained, false))),
        // built in
        ("10.1.2.3", Some((Lifeline, Contained, true))),
        ("0.0.0.0/1", Some((Lifeline, Contains, true))),
        ("http://[::1]/x", Some((Lifeline, Contained, true))),
        ("http://192.168.1.1:8080/", Some((Lifeline, Contained, true))),
        ("fe80::1", Some((Lifeline, Contained, true))),
        ("::1", Some((Lifeline, Equal, true))),
        ("2a00:1450::/29", None),
        ("8.8.8.8", None),
        ("evil.test", None),
    ];
    for (value, expect) in cases {
        let hit = guard.look_up(&plain(value));
        assert_eq!(hit.as_ref().map(|h| (h.class, h.relation, h.stop)), *expect, "{value}: {hit:?}");
        assert_eq!(guard.stops(&plain(value)), expect.is_some_and(|e| e.2), "{value}");
    }
    assert_eq!(guard.look_up(&key(IndicatorKind::Ja3, MD5)), None, "a hash of another kind is another thing");
}

#[test]
fn the_strongest_list_speaks() {
    let value = &["x.example"][..];
    for order in [[GuardClass::Warn, GuardClass::Lifeline], [GuardClass::Lifeline, GuardClass::Warn]] {
        let guard = Guard::of(order.map(|class| list(class.as_str(), class, value)));
        assert_eq!(&*guard.look_up(&plain("x.example")).unwrap().list, "lifeline");
        assert_eq!(guard.look_up(&plain("y.x.example")).unwrap().class, GuardClass::Lifeline);
        assert_eq!(guard.look_up(&plain("example")).unwrap().class, GuardClass::Lifeline);
    }
    // A popular name under a lifeline one: inside the first it would only be flagged.
    let guard = Guard::of([
        list("top", GuardClass::Popular, &["a.own.example"]),
        list("own", GuardClass::Lifeline, &["own.example"]),
    ]);
    assert!(guard.stops(&plain("b.a.own.example")));
}

#[test]
fn exceptions_name_one_value_one_target_and_an_end() {
    let mut guard = Guard::new([list("top", GuardClass::Popular, &["google.com"])]);
    let now = Timestamp::from_secs(100);
    guard.except(GuardException {
        value: plain("google.com"),
        target: TargetId(1),
        reason: "lab".into(),
        until: Timestamp::from_secs(200),
        approver: "ana".into(),
    });
    let check = |value, target, at| guard.check(&plain(value), TargetId(target), Timestamp::from_secs(at)).unwrap();
    assert!(!check("google.com", 1, 100).stop && check("google.com", 1, 100).excepted);
    assert!(check("google.com", 2, 100).stop, "another target");
    assert!(check("google.com", 1, 200).stop, "it has ended");
    assert!(check("https://google.com/", 1, 100).stop, "another value");
    assert_eq!(guard.exception(&plain("google.com"), TargetId(1), now).unwrap().approver.as_ref(), "ana");
}

#[test]
fn the_reserved_table_is_canonical_and_without_repeats() {
    let mut seen = HashSet::new();
    for range in RESERVED {
        let net = parse_net(range.network).unwrap();
        let (address, len) = range.network.split_once('/').unwrap_or((range.network, ""));
        let low = if net.v4 {
            u128::from(u32::from(address.parse::<Ipv4Addr>().unwrap()))
        } else {
            u128::from(address.parse::<Ipv6Addr>().unwrap())
        };
        assert_eq!(low, net.low, "{}: host bits", range.network);
        assert!(len.is_empty() || net.len < net.bits(), "{}", range.network);
        assert!(seen.insert(range.network), "{} twice", range.network);
        assert!(range.rfc > 0 && !range.purpose.is_empty());
    }
    assert_eq!(Guard::new([]).len(), RESERVED.len());
}

/// The second implementation: whether everything that is `inner` is also `outer`, by other libraries and every pair.
fn covers(outer: &IndicatorKey, inner: &IndicatorKey) -> bool {
    if outer == inner {
        return true;
    }
    let (whole, place) = naive_place(outer);
    let (_, inside) = naive_place(inner);
    whole
        && match (place, inside) {
            (Some(Ok(net)), Some(Ok(other))) => net.contains(&other),
            (Some(Err(name)), Some(Err(other))) => other == name || other.ends_with(&format!(".{name}")),
            _ => false,
        }
}

type NaivePlace = Result<ipnet::IpNet, String>;

fn naive_place(key: &IndicatorKey) -> (bool, Option<NaivePlace>) {
    use IndicatorKind as K;
    let value = key.value();
    match key.kind() {
        K::Domain => (true, Some(Err(value.to_owned()))),
        K::Ipv4 | K::Ipv6 => (true, Some(Ok(value.parse::<IpAddr>().unwrap().into()))),
        K::Ipv4Net | K::Ipv6Net => (true, Some(Ok(value.parse().unwrap()))),
        K::Email => (false, value.split('@').next_back().map(|host| Err(host.to_owned()))),
        K::Url => {
            let url = url::Url::parse(value).unwrap();
            let place = match url.host().unwrap() {
                url::Host::Domain(name) => Err(name.to_owned()),
                url::Host::Ipv4(v4) => Ok(IpAddr::from(v4).into()),
                url::Host::Ipv6(v6) => Ok(IpAddr::from(v6).into()),
            };
            (url.path() == "/" && url.query().is_none(), Some(place))
        }
        _ => (false, None),
    }
}

fn naive(lists: &[GuardList], query: &IndicatorKey) -> Option<(bool, GuardClass, Relation)> {
    let mut found = None;
    for list in lists {
        for guarded in &list.keys {
            let relation = match (covers(query, guarded), covers(guarded, query)) {
                (true, true) => Relation::Equal,
                (true, false) => Relation::Contains,
                (false, true) => Relation::Contained,
                (false, false) => continue,
            };
            found = found.max(Some((list.class.stops(relation), list.class, relation)));
        }
    }
    found
}

fn a_key() -> impl Strategy<Value = IndicatorKey> {
    let name = prop::collection::vec(prop::sample::select(vec!["a", "b", "ab", "com"]), 1..5).prop_map(|l| l.join("."));
    let v4 = (0u32..64, 24u8..=32).prop_map(|(low, len)| {
        let net = ipnet::Ipv4Net::new(Ipv4Addr::from(0x0102_0300 | low << 2), len).unwrap().trunc();
        if len == 32 { net.addr().to_string() } else { net.to_string() }
    });
    let v6 = (0u128..32, 60u8..=128).prop_map(|(low, len)| {
        let net = ipnet::Ipv6Net::new(Ipv6Addr::from(0x2600 << 112 | low << 64 | low), len).unwrap().trunc();
        if len == 128 { net.addr().to_string() } else { net.to_string() }
    });
    let host = prop_oneof![
        name.clone(),
        (0u32..8).prop_map(|n| Ipv4Addr::from(0x0102_0300 | n).to_string()),
        (0u128..4).prop_map(|n| format!("[{}]", Ipv6Addr::from(0x2600 << 112 | n))),
    ];
    let url = (host, prop::sample::select(vec!["", ":8080"]), prop::sample::select(vec!["/", "/p", "/?q", "/a/b?q=1"]))
        .prop_map(|(host, port, path)| format!("http://{host}{port}{path}"));
    let mail =
        (prop::sample::select(vec!["x", "y", "a://b"]), name.clone()).prop_map(|(x, host)| format!("{x}@{host}"));
    prop_oneof![
        4 => name.prop_map(|v| key(IndicatorKind::Domain, &v)),
        3 => url.prop_map(|v| key(IndicatorKind::Url, &v)),
        2 => v4.prop_map(|v| plain(&v)),
        2 => v6.prop_map(|v| plain(&v)),
        1 => mail.prop_map(|v| key(IndicatorKind::Email, &v)),
        1 => Just(plain(MD5)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn equals_the_naive_guard(
        lists in prop::collection::vec((prop::sample::select(GuardClass::ALL), prop::collection::vec(a_key(), 0..6)), 0..4),
        queries in prop::collection::vec(a_key(), 1..20),
    ) {
        let lists: Vec<GuardList> =
            lists.into_iter().map(|(class, keys)| GuardList::new(class.as_str(), class, keys)).collect();
        let guard = Guard::of(lists.clone());
        for query in &queries {
            let hit = guard.look_up(query);
            prop_assert_eq!(hit.as_ref().map(|h| (h.stop, h.class, h.relation)), naive(&lists, query), "{:?}", query);
            prop_assert_eq!(guard.stops(query), hit.is_some_and(|h| h.stop));
        }
    }
}

/// Every pattern that is taken is looked for: none is given up because it takes more beside others, or where upper and
/// lower case are alike.
#[test]
fn a_pattern_that_was_taken_is_looked_for() {
    let text = "k".repeat(300);
    for n in [100, 1_000, 3_000, 10_000, 30_000] {
        let Ok(large) = GuardPattern::search("large", &format!("k{{{n}}}x")) else { continue };
        let small = GuardPattern::search("small", "k{300}").unwrap();
        let list = GuardList { patterns: vec![large, small], ..GuardList::new("x", GuardClass::Lifeline, vec![]) };
        let guard = Guard::of([list]);
        let key = IndicatorKey::parse(None, &format!("http://a.example.org/{text}")).unwrap();
        assert_eq!(guard.look_up(&key).map(|hit| hit.value.to_string()).as_deref(), Some("small"), "{n}");
    }
    let many: Vec<GuardPattern> =
        (0..100).map(|n| GuardPattern::parse(&format!("/(k|s){{{}}}x{n}.*/", 1_000 + n)).unwrap()).collect();
    let last = format!("http://a.example.org/{}", "x");
    let asked = "ks".repeat(500) + "x0";
    let guard = Guard::of([GuardList { patterns: many, ..GuardList::new("x", GuardClass::Lifeline, vec![]) }]);
    assert!(guard.look_up(&IndicatorKey::from_stored(IndicatorKind::Mutex, asked)).is_some());
    assert!(guard.look_up(&IndicatorKey::parse(None, &last).unwrap()).is_none());
}
