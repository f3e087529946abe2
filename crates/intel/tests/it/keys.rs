//! Identity: a table of spellings with the verdict on each, and the laws no table can hold.

use intel::key::{
    IndicatorKey, IndicatorKind, Reason, VALUE_BYTES, covers, is_icann_suffix, is_private_suffix, is_under, key_net,
    public_suffix, registrable, url_host,
};
use proptest::prelude::*;
use std::collections::BTreeSet;

fn verdict(hint: Option<IndicatorKind>, raw: &str) -> String {
    match IndicatorKey::parse(hint, raw) {
        Ok(key) => format!("{} {}", key.kind(), key.value()),
        Err(rejection) => format!("!{}", rejection.reason),
    }
}

fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        if let Some(code) = after.strip_prefix("u{") {
            let (hex, tail) = code.split_once('}').expect("closed escape");
            out.push(char::from_u32(u32::from_str_radix(hex, 16).expect("hex")).expect("scalar"));
            rest = tail;
        } else {
            out.push('\\');
            rest = after.strip_prefix('\\').expect("known escape");
        }
    }
    out + rest
}

pub(crate) fn table() -> Vec<(Option<IndicatorKind>, String, String)> {
    let rows = include_str!("keys.tsv").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    rows.map(|line| {
        let mut cells = line.split('\t');
        let mut cell = || cells.next().unwrap_or_else(|| panic!("three cells: {line}"));
        let hint = match cell() {
            "auto" => None,
            name => Some(IndicatorKind::from_name(name).unwrap_or_else(|| panic!("kind {name}"))),
        };
        (hint, unescaped(cell()), unescaped(cell()))
    })
    .collect()
}

#[test]
fn every_spelling_gets_its_verdict() {
    let table = table();
    let wrong: Vec<String> = table
        .iter()
        .map(|(hint, raw, expected)| (hint, raw, expected, verdict(*hint, raw)))
        .filter(|(_, _, expected, got)| *expected != got)
        .map(|(hint, raw, expected, got)| format!("{hint:?} {raw:?}: expected {expected}, got {got}"))
        .collect();
    assert!(table.len() >= 300);
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), table.len(), wrong.join("\n"));
}

#[test]
fn the_table_knows_every_reason_and_kind() {
    let verdicts: BTreeSet<String> = table().into_iter().map(|row| row.2).collect();
    for reason in Reason::ALL.iter().filter(|reason| **reason != Reason::TooLong) {
        assert!(verdicts.contains(&format!("!{reason}")), "{reason}");
    }
    for kind in IndicatorKind::ALL {
        assert!(verdicts.iter().any(|verdict| verdict.starts_with(&format!("{kind} "))), "{kind}");
    }
}

#[test]
fn a_canonical_value_is_its_own_spelling() {
    for (hint, raw, _) in table() {
        if let Ok(key) = IndicatorKey::parse(hint, &raw) {
            assert_eq!(IndicatorKey::parse(Some(key.kind()), key.value()).as_ref(), Ok(&key), "{raw}");
        }
    }
}

#[test]
fn what_was_noticed_is_told() {
    let noted = |hint, raw| IndicatorKey::parse_noted(hint, raw).expect(raw);
    assert_eq!(noted(None, "1.2.3.4:443").port, Some(443));
    assert_eq!(noted(None, "[2001:db8::1]:53").port, Some(53));
    assert_eq!(noted(None, "1.2.3.4").port, None);
    assert!(noted(Some(IndicatorKind::Url), "evil.com/x").scheme_assumed);
    assert!(!noted(Some(IndicatorKind::Url), "http://evil.com/x").scheme_assumed);
    assert!(noted(None, "http://u:p@evil.com/x").user_info_dropped);
    assert!(!noted(None, "http://evil.com/u:p@x").user_info_dropped);
}

#[test]
fn a_rejection_can_be_shown_on_a_terminal() {
    let rejection = IndicatorKey::parse(Some(IndicatorKind::Domain), "co.uk").expect_err("broad");
    assert_eq!(rejection.to_string(), "no domain: this would match far too much: \"co.uk\"");
    let hostile = format!("\x1b[31m\u{202e}\r\n{}", "x".repeat(100_000));
    let shown = IndicatorKey::parse(None, &hostile).expect_err("hostile").to_string();
    assert!(shown.len() < 300 && !shown.chars().any(|c| c.is_control() || c == '\u{202e}'), "{shown}");
}

#[test]
fn values_are_bounded_before_and_after() {
    let long = |n: usize| format!("http://evil.com/{}", "a".repeat(n - 16));
    assert!(IndicatorKey::parse(None, &long(VALUE_BYTES)).is_ok());
    let reason = |hint, raw: &str| IndicatorKey::parse(hint, raw).expect_err("long").reason;
    assert_eq!(reason(None, &long(VALUE_BYTES + 1)), Reason::TooLong);
    assert_eq!(reason(None, &format!("http://evil.com/{}", "é".repeat(VALUE_BYTES / 4))), Reason::TooLong);
    assert_eq!(reason(Some(IndicatorKind::Filename), &"\u{958}".repeat(VALUE_BYTES)), Reason::TooLong);
}

#[test]
fn hosts_suffixes_and_what_is_under_what() {
    for (url, host) in [
        ("http://evil.com/", Some("evil.com")),
        ("http://evil.com:8080/a:b", Some("evil.com")),
        ("https://[2001:db8::1]:8080/", Some("2001:db8::1")),
        ("ftp://1.2.3.4/x", Some("1.2.3.4")),
        ("evil.com", None),
    ] {
        assert_eq!(url_host(url), host, "{url}");
    }
    assert!(is_under("a.evil.com", "evil.com") && is_under("evil.com", "evil.com"));
    assert!(!is_under("notevil.com", "evil.com") && !is_under("evil.com", "a.evil.com") && !is_under("evil.com", ""));
    assert!(is_private_suffix("duckdns.org") && !is_private_suffix("a.duckdns.org") && !is_private_suffix("co.uk"));
    assert!(is_icann_suffix("co.uk") && !is_icann_suffix("evil.co.uk") && !is_icann_suffix("duckdns.org"));
    assert_eq!(public_suffix("a.b.co.uk"), Some("co.uk"));
    assert_eq!(public_suffix("host.internal"), None);
    assert_eq!(registrable("a.b.co.uk"), Some("b.co.uk"));
    assert_eq!(registrable("a.b.duckdns.org"), Some("b.duckdns.org"));
    assert_eq!(registrable("co.uk"), None);
}

#[test]
fn what_covers_what() {
    let key = |raw: &str| IndicatorKey::parse(None, raw).expect(raw);
    for (outer, inner, expected) in [
        ("evil.com", "evil.com", true),
        ("evil.com", "a.evil.com", true),
        ("a.evil.com", "evil.com", false),
        ("evil.com", "notevil.com", false),
        ("evil.com", "http://a.evil.com:8080/x", true),
        ("evil.com", "http://evil.com/x", true),
        ("evil.com", "http://good.com/evil.com", false),
        ("evil.com", "x@mail.evil.com", true),
        ("evil.com", "evil.com@good.org", false),
        ("http://evil.com/", "http://evil.com/x", false),
        ("http://evil.com/", "evil.com", false),
        ("10.0.0.0/8", "10.1.2.3", true),
        ("10.0.0.0/8", "10.1.0.0/16", true),
        ("10.0.0.0/8", "10.0.0.0/8", true),
        ("10.1.0.0/16", "10.0.0.0/8", false),
        ("10.0.0.0/8", "11.0.0.1", false),
        ("10.0.0.0/8", "http://10.1.2.3/x", true),
        ("10.0.0.0/8", "http://[::ffff:10.1.2.3]/x", true),
        ("10.1.2.3", "http://10.1.2.3:8080/x", true),
        ("2001:db8::/32", "2001:db8::1", true),
        ("2001:db8::/32", "http://[2001:db8::1]/", true),
        ("2001:db8::/32", "10.1.2.3", false),
        ("10.0.0.0/8", "2001:db8::1", false),
    ] {
        assert_eq!(covers(&key(outer), &key(inner)), expected, "{outer} covers {inner}");
    }
    assert_eq!(key_net(&key("10.1.2.3")).map(|net| net.to_string()).as_deref(), Some("10.1.2.3/32"));
    assert_eq!(key_net(&key("2001:db8::/32")).map(|net| net.prefix_len()), Some(32));
    assert_eq!(key_net(&key("evil.com")), None);
}

fn kinds() -> impl Strategy<Value = Option<IndicatorKind>> {
    (0..=IndicatorKind::ALL.len()).prop_map(|n| IndicatorKind::ALL.get(n).copied())
}

/// Text that comes close to values: their own characters, defanging, brackets, and the nastier parts of Unicode.
fn nearly() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-zA-Z0-9_-]{1,8}",
        "[0-9]{1,3}",
        "[0-9a-fA-F:]{1,9}",
        "[0-9a-fA-F]{32}|[0-9a-f]{40}|[0-9a-f]{64}",
        prop::sample::select(vec![
            ".",
            ".",
            ".",
            "[.]",
            "(.)",
            "[dot]",
            "{.}",
            "[.",
            ".]",
            "\\.",
            "\\",
            "[:]",
            "[::]",
            "[at]",
            "@",
            ":",
            "/",
            "//",
            "://",
            "http://",
            "hxxps[:]//",
            "ftp:",
            "h**p://",
            "http:/",
            "?",
            "#",
            "%2e",
            "%31",
            "%",
            "..",
            "/../",
            "[",
            "]",
            "(",
            ")",
            "{",
            "}",
            "\"",
            "'",
            "`",
            "<",
            ">",
            " ",
            "\t",
            "\u{a0}",
            "\u{200b}",
            "\u{feff}",
            "*",
            "com",
            ".com",
            ".co.uk",
            "xn--",
            "xn--bcher-kva",
            "AS",
            "mailto:",
            "127.0.0.1",
            "0x7f",
            "::ffff:",
            "/24",
            "/0",
            "t13d1516h2_8daaf6152771_b186095e22b6",
        ])
        .prop_map(String::from),
        prop::sample::select(vec![
            "é",
            "e\u{301}",
            "ß",
            "。",
            "．",
            "１",
            "ｅ",
            "\u{1fef}",
            "\u{212a}",
            "\u{ad}",
            "\u{200d}",
            "\u{202e}",
            "İ",
            "ς",
            "💩",
            "\u{37e}",
            "\u{2024}",
            "⑴",
            "“",
            "”",
            "\u{338}",
            "\u{fdfa}",
            "א",
            "٣",
            "㏂",
            "℀",
            "\u{2f868}",
            "\u{e000}",
            "\u{10ffff}",
            "＠",
            "／",
        ])
        .prop_map(String::from),
    ];
    prop::collection::vec(piece, 1..10).prop_map(|pieces| pieces.concat())
}

/// A domain in canonical form under a real suffix.
fn names() -> impl Strategy<Value = String> {
    "([a-z0-9_]([a-z0-9-]{0,8}[a-z0-9])?\\.){1,3}(com|ru|co\\.uk|duckdns\\.org|xn--p1ai)"
        .prop_filter("no accidental punycode or suffix", |name| IndicatorKey::parse(None, name).is_ok())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn never_panics_and_is_a_fixed_point(hint in kinds(), raw in prop_oneof![nearly(), any::<String>()]) {
        if let Ok(key) = IndicatorKey::parse(hint, &raw) {
            let again = IndicatorKey::parse(Some(key.kind()), key.value());
            prop_assert_eq!(again.as_ref(), Ok(&key), "{:?}", raw);
            prop_assert!(!key.value().chars().any(char::is_control));
            prop_assert!(key.value().len() <= VALUE_BYTES);
        }
    }

    #[test]
    fn what_auto_takes_the_kind_takes_too(raw in nearly()) {
        if let Ok(key) = IndicatorKey::parse(None, &raw) {
            prop_assert_eq!(IndicatorKey::parse(Some(key.kind()), &raw), Ok(key));
        }
    }

    #[test]
    fn a_name_has_one_key(name in names(), upper in any::<u64>(), dot in any::<bool>(), fang in 0usize..7, around in 0usize..6) {
        let mixed: String = name.chars().enumerate()
            .map(|(n, c)| if upper >> (n % 64) & 1 == 1 { c.to_ascii_uppercase() } else { c })
            .collect();
        let dot = if dot { "." } else { "" };
        let fanged = mixed.replace('.', [".", "[.]", "(.)", "[dot]", "{.}", "\\.", "(DOT)"][fang]) + dot;
        let (open, close) = [("", ""), ("\"", "\""), (" '", "' "), ("[", "]"), ("<", ">\n"), ("`", "`")][around];
        let raw = format!("{open}{fanged}{close}");
        let key = IndicatorKey::parse(None, &raw).map_err(|r| TestCaseError::fail(format!("{raw}: {r}")))?;
        prop_assert_eq!(key.value(), &name);
        prop_assert_eq!(key.kind(), IndicatorKind::Domain);
    }

    #[test]
    fn a_url_has_one_key(
        name in names(), scheme in 0usize..3, spelled in 0usize..4, dot in any::<bool>(), port in any::<bool>(), user in any::<bool>(),
        path in "(/[a-zA-Z0-9._~!$&()*+,;=:@%'|^{} \"-]{0,8}){0,3}(\\?[a-z=&'/ ]{0,9})?(#[a-z/?#]{0,5})?",
    ) {
        let (plain, default) = [("http", 80), ("https", 443), ("ftp", 21)][scheme];
        let canonical = IndicatorKey::parse(None, &format!("{plain}://{name}{path}"));
        let lead = match spelled {
            0 => format!("{plain}://"),
            1 => format!("{}://", plain.to_ascii_uppercase().replace("TT", "XX")),
            2 => format!("{plain}[:]//"),
            _ => format!("{plain}[://]"),
        };
        let lead = if plain == "ftp" { lead.replace("FTP", "Ftp") } else { lead };
        let raw = format!(
            "{lead}{}{}{}{}{path}",
            if user { "good.com:pw@" } else { "" },
            name.replace('.', "[.]"),
            if dot { "." } else { "" },
            if port { format!(":{default}") } else { String::new() },
        );
        let text = path.is_empty() || !path.ends_with(' ');
        if text {
            prop_assert_eq!(IndicatorKey::parse(None, &raw).map_err(|r| r.reason), canonical.map_err(|r| r.reason), "{}", raw);
        }
    }

    /// The hand-written authority and the copied path say what the `url` crate says.
    #[test]
    fn a_url_is_the_whatwg_serialisation(
        name in prop_oneof![names(), "[1-9]\\.[1-9]\\.0\\.[1-9]", "\\[[1-9a-f]{1,4}:(0:){0,3}:[0-9a-f]{1,4}\\]", "\\[::ffff:[0-9a-f]{1,4}:[1-9]\\]"],
        port in prop::option::of(0u16..), path in "(/([a-zA-Z0-9_~!$&()*+,;=:@'|^{} \"%é\\\\-]|\\.|%2[eE]){0,6}){0,4}(\\?[a-z=&'\"<>/ |^é%]{0,9})?(#[a-z]{0,5})?",
    ) {
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let raw = format!("http://{name}{port}{path}");
        prop_assume!(!raw.ends_with(' '));
        let mut expected = url::Url::parse(&raw).map_err(|error| TestCaseError::fail(format!("{raw}: {error}")))?;
        expected.set_fragment(None);
        match IndicatorKey::parse(None, &raw) {
            Ok(key) => prop_assert_eq!(key.value(), expected.as_str()),
            Err(rejection) => return Err(TestCaseError::fail(format!("{raw}: {rejection}"))),
        }
    }

    #[test]
    fn an_address_has_one_key(bits in any::<u32>(), wide in any::<u128>(), v4 in 8u8..=32, v6 in 19u8..=128) {
        let address = std::net::Ipv4Addr::from(bits);
        let text = address.to_string();
        let key = IndicatorKey::parse(None, &text);
        prop_assert_eq!(key.as_ref().map(|k| k.value()), Ok(text.as_str()));
        for other in [text.replace('.', "[.]"), format!("{text}/32"), format!("{text}:443"), format!("::ffff:{text}"), format!("'{text}'")] {
            prop_assert_eq!(IndicatorKey::parse(None, &other).map_err(|r| r.reason), key.clone().map_err(|r| r.reason), "{}", other);
        }
        let wide = std::net::Ipv6Addr::from(wide);
        let full: Vec<String> = wide.segments().iter().map(|s| format!("{s:04X}")).collect();
        let key = IndicatorKey::parse(None, &full.join(":"));
        if wide.to_ipv4_mapped().is_none() {
            let canonical = wide.to_string();
            prop_assert_eq!(key.as_ref().map(|k| k.value()), Ok(canonical.as_str()));
            prop_assert_eq!(IndicatorKey::parse(None, &full.join("[:]")), key);
        }
        for (raw, inside) in [(format!("{text}/{v4}"), text), (format!("{wide}/{v6}"), wide.to_string())] {
            let (Ok(net), Ok(inside)) = (IndicatorKey::parse(None, &raw), IndicatorKey::parse(None, &inside)) else {
                prop_assert!(wide.to_ipv4_mapped().is_some(), "{}", raw);
                continue;
            };
            prop_assert!(covers(&net, &inside), "{:?} {:?}", net, inside);
            prop_assert_eq!(IndicatorKey::parse(Some(net.kind()), net.value()), Ok(net));
        }
    }
}
