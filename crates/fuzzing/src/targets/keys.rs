//! Keys, what is found in prose, and times.

use crate::tell::{NOW, canonical, choice, text};
use crate::{Seed, Target};
use intel::key::{covers, key_net, public_suffix, registrable, url_host};
use intel::{IndicatorKey, IndicatorKind, Timestamp, parse_interval, show_interval};
use std::net::IpAddr;

/// Nothing a stranger writes as one value is longer; the limit of the parser is below.
const LONGEST: usize = 12_000;

const ADDRESSES: &[&str] = &[
    "10.0.0.0/8",
    "0x7f.1",
    "::ffff:1.2.3.4",
    "[2001:db8::1]:443",
    "1.2.3.4:443",
    "/32",
    "/128",
    "::",
    "255.255.255.255",
    "2001:db8::/19",
    "fe80::1%eth0",
    "[.]",
    "(.)",
    "1.2.3.04",
];
const NAMES: &[&str] = &[
    "xn--",
    "xn--mnchen-3ya.de",
    "münchen.de",
    "co.uk",
    "duckdns.org",
    ".com",
    "[.]",
    "(dot)",
    "[dot]",
    "_dmarc.",
    "*.",
    "。",
    "ß",
    "\u{200b}",
    "\u{202e}",
    "a.b.c.d.e.f",
    "localhost",
    "-",
];
const URLS: &[&str] = &[
    "http://",
    "hxxp://",
    "https[:]//",
    "hXXps://",
    "ftp://",
    "user:pass@",
    ":80/",
    ":443",
    "#fragment",
    "?q=",
    "%2e%2e/",
    "/../",
    "\\",
    "[::1]",
    "[.]",
    "%00",
    "\t",
    "http:///",
    "0x7f000001",
    "data:",
];

fn hint(choice: u8) -> Option<IndicatorKind> {
    usize::from(choice).checked_sub(1).and_then(|at| IndicatorKind::ALL.get(at % IndicatorKind::ALL.len())).copied()
}

/// What holds of every value under every hint.
fn parse(hint: Option<IndicatorKind>, raw: &str) -> Option<IndicatorKey> {
    let parsed = match IndicatorKey::parse_noted(hint, raw) {
        Ok(parsed) => parsed,
        Err(rejection) => {
            assert!(rejection.sample.chars().count() <= 61, "a rejection repeats a long value");
            assert!(!rejection.to_string().is_empty());
            return None;
        }
    };
    canonical(&parsed.key);
    // White space and matched quotes around a value are no part of it.
    assert_eq!(IndicatorKey::parse(hint, &format!(" \t{raw}\r\n")).as_ref(), Ok(&parsed.key), "blanks count: {raw:?}");
    // A value that speaks for itself says the same thing when it is canonical.
    if let Ok(key) = IndicatorKey::parse(None, parsed.key.value()) {
        use IndicatorKind as K;
        let same_text = matches!(parsed.key.kind(), K::Ja3 | K::CertSha1 | K::CertSha256);
        let has_auto = !matches!(parsed.key.kind(), K::Ja4 | K::Filename | K::Mutex | K::UserAgent);
        if has_auto {
            assert_eq!(key.value(), parsed.key.value());
            assert!(same_text || key.kind() == parsed.key.kind(), "{key:?} and {:?}", parsed.key);
        }
    }
    Some(parsed.key)
}

pub(crate) static KEY: Target = Target {
    name: "key",
    run: |data| {
        let (first, rest) = choice(data);
        parse(hint(first), &text(rest));
    },
    seeds: &[
        Seed::Text("\0https://evil.example/x?y=1#z"),
        Seed::Text("\0hxxp[:]//evil[.]example/x"),
        Seed::Text("\0\"'(198.51.100.7)'\""),
        Seed::Text("\x0bA5B9"),
        Seed::Text("\x0et13d1516h2_8daaf6152771_b186095e22b6"),
        Seed::Text("\x10C:\\Windows\\evil.exe"),
        Seed::Text("\x0fAS64512"),
        Seed::Text("\x14Mozilla/5.0 (compatible; e\u{301})"),
        Seed::File {
            before: "\0",
            path: "testdata/feeds/mvt/2023-06_01_operation_triangulation/domains.txt",
            most: 300,
        },
    ],
    words: &["AS", "t13d1516h2_8daaf6152771_b186095e22b6", "d41d8cd98f00b204e9800998ecf8427e", "hxxp", "[.]", "[at]"],
    longest: LONGEST,
};

pub(crate) static URL: Target = Target {
    name: "url",
    run: |data| {
        let raw = text(data);
        let Some(key) = parse(Some(IndicatorKind::Url), &raw) else { return };
        let url = key.value();
        assert_eq!(key.kind(), IndicatorKind::Url);
        let scheme = url.split_once("://").map(|(scheme, _)| scheme);
        assert!(matches!(scheme, Some("http" | "https" | "ftp")), "{url}");
        assert!(!url.contains('#') && url.is_ascii(), "{url}");
        let host = url_host(url).expect("a canonical URL has a host");
        assert!(!host.ends_with('.') && !host.contains('@'), "{url}");
        match host.parse::<IpAddr>() {
            Ok(_) => {}
            // `localhost` and what has no suffix is a host, if no indicator.
            Err(_) => assert!(host.bytes().all(|b| !b.is_ascii_uppercase()), "{url}"),
        }
        // A URL is never another one because somebody wrote its scheme in capitals or pointed into the page.
        let (scheme, rest) = url.split_once("://").expect("looked at above");
        for same in [format!("{}://{rest}", scheme.to_uppercase()), format!("{url}#part"), format!("\"{url}\"")] {
            if !(same.starts_with('"') && url.contains('"')) && same.len() <= intel::key::VALUE_BYTES {
                assert_eq!(IndicatorKey::parse(Some(IndicatorKind::Url), &same).as_ref(), Ok(&key), "{same}");
            }
        }
        if let Some(rest) = url.strip_prefix("http") {
            let defanged = format!("hxxp{rest}");
            assert_eq!(IndicatorKey::parse(Some(IndicatorKind::Url), &defanged).as_ref(), Ok(&key), "{defanged}");
        }
        if let Ok(name) = IndicatorKey::parse(Some(IndicatorKind::Domain), host) {
            assert!(covers(&name, &key), "{name:?} does not cover {key:?}");
        }
    },
    seeds: &[
        Seed::Text("http://user:pass@evil.example:8080/a/../b?c=d#e"),
        Seed::Text("hxxps[:]//www[.]evil[.]example/a b"),
        Seed::Text("http://[2001:db8::1]:443/x"),
        Seed::Text("evil.example/login.php?next=http://a.example"),
        Seed::Text("https://münchen.example./%41%zz"),
        Seed::File {
            before: "",
            path: "testdata/feeds/unit42/Shade_ransomware/Shade-ransomware-URLs-March-and-April-2019.txt",
            most: 120,
        },
    ],
    words: URLS,
    longest: LONGEST,
};

pub(crate) static DOMAIN: Target = Target {
    name: "domain",
    run: |data| {
        let raw = text(data);
        let Some(key) = parse(Some(IndicatorKind::Domain), &raw) else { return };
        let name = key.value();
        assert_eq!(key.kind(), IndicatorKind::Domain);
        assert!(name.len() <= 253 && name.contains('.') && !name.ends_with('.'), "{name}");
        for label in name.split('.') {
            assert!((1..=63).contains(&label.len()), "{name}");
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
            assert!(label.bytes().all(plain), "{name}");
        }
        assert!(name.parse::<IpAddr>().is_err(), "{name}");
        for same in
            [format!("{name}."), name.to_ascii_uppercase(), name.replace('.', "[.]"), name.replace('.', "(dot)")]
        {
            let again = IndicatorKey::parse(Some(IndicatorKind::Domain), &same);
            // `(dot)` is no spelling this exchange promises to undo; if it does, it says the same.
            assert!(again.as_ref() == Ok(&key) || (same.contains("(dot)") && again.is_err()), "{same}: {again:?}");
        }
        if let Some(suffix) = public_suffix(name) {
            assert!(name == suffix || name.ends_with(&format!(".{suffix}")), "{name} {suffix}");
        }
        if let Some(above) = registrable(name) {
            assert!(intel::key::is_under(name, above), "{name} {above}");
        }
        assert!(intel::key::is_under(&format!("a.{name}"), name));
        assert!(!intel::key::is_under(&format!("a{name}"), name));
    },
    seeds: &[
        Seed::Text("www.Evil.Example."),
        Seed::Text("münchen.de"),
        Seed::Text("xn--mnchen-3ya.de"),
        Seed::Text("_dmarc[.]evil[.]example"),
        Seed::Text("a.duckdns.org"),
        Seed::Text("faß。de"),
    ],
    words: NAMES,
    longest: LONGEST,
};

pub(crate) static ADDRESS: Target = Target {
    name: "address",
    run: |data| {
        let raw = text(data);
        let Some(key) = parse(Some(IndicatorKind::Ipv4), &raw) else { return };
        use IndicatorKind as K;
        let net = key_net(&key).expect("an address is a network");
        let value = key.value();
        match key.kind() {
            K::Ipv4 => assert!(matches!(value.parse(), Ok(IpAddr::V4(_))) && net.prefix_len() == 32, "{value}"),
            K::Ipv6 => {
                let Ok(IpAddr::V6(v6)) = value.parse() else { panic!("{value} is no IPv6 address") };
                assert!(v6.to_ipv4_mapped().is_none() && v6.to_string() == value, "{value}");
            }
            K::Ipv4Net => assert!((intel::key::WIDEST_V4..32).contains(&net.prefix_len()), "{value}"),
            K::Ipv6Net => assert!((intel::key::WIDEST_V6..128).contains(&net.prefix_len()), "{value}"),
            other => panic!("{value} is an address and a {other}"),
        }
        assert_eq!(net.trunc(), net, "host bits stand: {value}");
        // Every hint of the four says the same.
        for kind in [K::Ipv6, K::Ipv4Net, K::Ipv6Net] {
            assert_eq!(IndicatorKey::parse(Some(kind), &raw).as_ref(), Ok(&key), "{kind} {raw:?}");
        }
        for end in [net.network(), net.broadcast()] {
            // `::/80` ends where the mapped IPv4 addresses end; those are keys of the other family, and guarded as a range.
            if matches!((end, key.kind()), (IpAddr::V6(v6), K::Ipv6Net) if v6.to_ipv4_mapped().is_some()) {
                continue;
            }
            let inside = IndicatorKey::parse(Some(K::Ipv4), &end.to_string()).expect("an address of a network");
            assert!(covers(&key, &inside), "{key:?} does not cover {inside:?}");
            assert_eq!(covers(&inside, &key), inside == key);
        }
    },
    seeds: &[
        Seed::Text("198.51.100.7"),
        Seed::Text("198[.]51[.]100[.]7:443"),
        Seed::Text("198.51.100.77/24"),
        Seed::Text("[2001:DB8:0::1]"),
        Seed::Text("::ffff:198.51.100.7/120"),
        Seed::Text("2001:db8::/32"),
        Seed::Text("010.1.2.3"),
    ],
    words: ADDRESSES,
    longest: 256,
};

pub(crate) static HASH_OR_MAIL: Target = Target {
    name: "hash_or_mail",
    run: |data| {
        use IndicatorKind as K;
        let (first, rest) = choice(data);
        let raw = text(rest);
        let kinds =
            [K::Email, K::Md5, K::Sha1, K::Sha256, K::Sha512, K::Ja3, K::Ja4, K::Asn, K::CertSha1, K::CertSha256];
        let kind = kinds[usize::from(first) % kinds.len()];
        let Some(key) = parse(Some(kind), &raw) else { return };
        assert_eq!(key.kind(), kind);
        let value = key.value();
        let hex =
            |n: usize| value.len() == n && value.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        match kind {
            K::Md5 | K::Ja3 => assert!(hex(32), "{value}"),
            K::Sha1 | K::CertSha1 => assert!(hex(40), "{value}"),
            K::Sha256 | K::CertSha256 => assert!(hex(64), "{value}"),
            K::Sha512 => assert!(hex(128), "{value}"),
            K::Asn => assert!(value.strip_prefix("AS").is_some_and(|n| n.parse::<u32>().is_ok()), "{value}"),
            K::Email => {
                let (local, domain) = value.rsplit_once('@').expect("a mailbox has a domain");
                assert!(!local.is_empty() && !local.bytes().any(|b| b.is_ascii_uppercase()), "{value}");
                // A mailbox may be at a public suffix, which is no indicator by itself.
                if let Ok(domain) = IndicatorKey::parse(Some(K::Domain), domain) {
                    assert!(covers(&domain, &key));
                }
            }
            _ => {}
        }
        if !matches!(kind, K::Email | K::Ja4) {
            assert_eq!(IndicatorKey::parse(Some(kind), &value.to_ascii_uppercase()).as_ref(), Ok(&key));
        }
    },
    seeds: &[
        Seed::Text("\0Some.One[at]evil[.]example"),
        Seed::Text("\x01D41D8CD98F00B204E9800998ECF8427E"),
        Seed::Text("\x02aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"),
        Seed::Text("\x03  9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 "),
        Seed::Text("\x06t13d1516h2_8daaf6152771_b186095e22b6"),
        Seed::Text("\x07as64512"),
        Seed::Text("\x08AA:F4:C6:1D:DC:C5:E8:A2:DA:BE:DE:0F:3B:48:2C:D9:AE:A9:43:4D"),
    ],
    words: &["@", "[at]", "(at)", "mailto:", "<", ">", "\"", ":", "xn--", "AS", "4294967296"],
    longest: LONGEST,
};

pub(crate) static EXTRACT: Target = Target {
    name: "extract",
    run: |data| {
        let prose = text(data);
        let mut end = 0;
        let mut n = 0usize;
        intel::extract::extract(&prose, |found| {
            canonical(&found.parsed.key);
            assert_eq!(prose.get(found.at..found.at + found.raw.len()), Some(found.raw), "not where it says");
            assert!(found.at >= end, "out of order, or twice");
            end = found.at + found.raw.len();
            n += 1;
        });
        // Three characters make no indicator.
        assert!(n <= prose.len() / 4, "{n} found in {} bytes", prose.len());
    },
    seeds: &[
        Seed::Text(
            "The loader at hxxp://evil[.]example/a.php, (see https://a.example/x_(y)) drops 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08.",
        ),
        Seed::Text(
            "C2: 198.51.100[.]7:8443; sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 x@evil.example",
        ),
        Seed::File { before: "", path: "testdata/feeds/eset/cdrthief/README.adoc", most: 1200 },
        Seed::File {
            before: "",
            path: "testdata/feeds/netskope-threatlabs/Malware/LummaStealer/IOCs/README.md",
            most: 2000,
        },
        Seed::File { before: "", path: "testdata/feeds/unit42/TA551/2020-10-16-TA551-IOCs-for-IcedID.txt", most: 2000 },
    ],
    words: &["http://", "hxxp://", "&amp;", "\\/", "[.]", "sha256:", "C2:", "(", ")", "*", "“", "::ffff:", "@", "://"],
    longest: 16_384,
};

pub(crate) static TIMES: Target = Target {
    name: "times",
    run: |data| {
        let raw = text(data);
        if let Some(time) = Timestamp::parse(&raw) {
            assert_eq!(Timestamp::parse(&time.to_string()), Some(time), "{raw:?}");
        }
        if let Some(wait) = kit::http::retry_after(&raw, NOW) {
            assert!(wait <= intel::limits::RETRY_AFTER_MOST, "{wait:?}");
        }
        if let Ok(interval) = parse_interval(&raw) {
            assert!((intel::limits::INTERVAL_LEAST..=intel::limits::INTERVAL_MOST).contains(&interval));
            assert_eq!(parse_interval(&show_interval(interval)), Ok(interval));
        }
    },
    seeds: &[
        Seed::Text("2026-06-01T12:00:00.000001Z"),
        Seed::Text("2026-06-01 12:00:00+05:30"),
        Seed::Text("Sun, 06 Nov 1994 08:49:37 GMT"),
        Seed::Text("Sunday, 06-Nov-94 08:49:37 GMT"),
        Seed::Text("Sun Nov  6 08:49:37 1994"),
        Seed::Text("120"),
        Seed::Text("60m"),
    ],
    words: &[
        "GMT",
        "Z",
        "+00:00",
        "-99:99",
        "99999999999999999999",
        "Feb",
        "T24:00:00",
        ".999999999",
        "9999-12-31",
        "-0001",
    ],
    longest: 256,
};
