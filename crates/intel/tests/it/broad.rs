//! Too broad and ambiguous values: what each spelling must come to, worked out from what identity means and not from what
//! the parser does. A row is a value written by hand, dressed in a way that by the rules changes nothing (quotes, defanging,
//! case, a trailing dot) or something known (a port, a path, a wider mask); what it must come to is put together beside it.

use intel::key::{IndicatorKey, IndicatorKind, Reason, is_icann_suffix, key_net};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

/// `kind value`, or `!reason`, or several reasons any of which is right (`!too_broad|wildcard`), or `!` for whatever reason.
type Verdict = String;

#[derive(Default)]
struct Table(BTreeMap<(Option<IndicatorKind>, String), Verdict>);

impl Table {
    fn row(&mut self, hint: Option<IndicatorKind>, raw: impl Into<String>, verdict: impl Into<String>) {
        let (raw, verdict) = (raw.into(), verdict.into());
        let before = self.0.insert((hint, raw.clone()), verdict.clone());
        assert!(before.as_ref().is_none_or(|before| *before == verdict), "{hint:?} {raw:?}: {before:?} and {verdict}");
    }

    /// The same verdict for these hints, and with white space, quotes or brackets around it.
    fn dressed(&mut self, hints: &[Option<IndicatorKind>], raw: &str, verdict: &str) {
        for hint in hints {
            self.row(*hint, raw, verdict);
            for (open, close) in AROUND {
                self.row(*hint, format!("{open}{raw}{close}"), verdict);
            }
        }
    }
}

const AROUND: [(&str, &str); 12] = [
    (" ", " "),
    ("\t", "\r\n"),
    ("\"", "\""),
    ("'", "'"),
    ("`", "`"),
    ("(", ")"),
    ("[", "]"),
    ("{", "}"),
    ("<", ">"),
    ("\u{201c}", "\u{201d}"),
    ("\u{feff}", ""),
    (" [\"", "\"] "),
];

/// How people write the dots of a host that nobody shall click.
const DOTS: [&str; 6] = [".", "[.]", "(.)", "[dot]", "[DOT]", "(dot)"];

fn cases(text: &str) -> [String; 3] {
    let mixed = text.chars().enumerate().map(|(at, c)| if at % 2 == 1 { c.to_ascii_uppercase() } else { c });
    [text.to_owned(), text.to_ascii_uppercase(), mixed.collect()]
}

/// As RFC 5952 section 4 has it: no leading zeros, lower case, the longest run of zeros (two groups at least, the first of
/// equals) shortened.
fn rfc5952(bits: u128) -> String {
    let groups: Vec<u16> = (0..8).rev().map(|at| (bits >> (16 * at)) as u16).collect();
    let (mut best, mut at) = ((0, 0), 0);
    while at < 8 {
        let len = groups[at..].iter().take_while(|group| **group == 0).count();
        if len > best.1 {
            best = (at, len);
        }
        at += len.max(1);
    }
    let join = |groups: &[u16]| groups.iter().map(|group| format!("{group:x}")).collect::<Vec<_>>().join(":");
    if best.1 < 2 {
        return join(&groups);
    }
    format!("{}::{}", join(&groups[..best.0]), join(&groups[best.0 + best.1..]))
}

fn dotted(bits: u32) -> String {
    format!("{}.{}.{}.{}", bits >> 24, bits >> 16 & 255, bits >> 8 & 255, bits & 255)
}

use IndicatorKind as K;

/// Names, in canonical form.
const NAMES: [&str; 12] = [
    "evil.com",
    "a.b.evil.co.uk",
    "duckdns.org",
    "x.duckdns.org",
    "github.io",
    "_dmarc.evil.de",
    "xn--bcher-kva.de",
    "city.kawasaki.jp",
    "www.ck",
    "1.2.3.4.nip.io",
    "com.com",
    "a-b.xn--p1ai",
];

/// Names that look like others, and what IDNA makes of them (by another implementation: Python's `punycode`).
const LOOKALIKES: [(&str, &str); 10] = [
    ("\u{430}pple.com", "xn--pple-43d.com"),
    ("g\u{43e}\u{43e}gle.com", "xn--ggle-55da.com"),
    ("payp\u{430}l.com", "xn--paypl-7ve.com"),
    ("micr\u{43e}soft.com", "xn--micrsoft-qbh.com"),
    ("\u{261}oogle.com", "xn--oogle-qmc.com"),
    ("b\u{fc}cher.de", "xn--bcher-kva.de"),
    ("B\u{dc}CHER.de", "xn--bcher-kva.de"),
    ("\u{ff45}\u{ff56}\u{ff49}\u{ff4c}.com", "evil.com"),
    ("evil\u{3002}com", "evil.com"),
    ("evil\u{ff0e}com\u{ff61}", "evil.com"),
];

/// Suffixes of the ICANN section of the public suffix list, wildcard rules among them.
const SUFFIXES: [&str; 24] = [
    "com",
    "net",
    "org",
    "de",
    "uk",
    "ru",
    "cn",
    "io",
    "dev",
    "top",
    "xyz",
    "info",
    "co.uk",
    "gov.uk",
    "ac.uk",
    "com.au",
    "com.br",
    "co.jp",
    "com.cn",
    "org.il",
    "xn--p1ai",
    "anything.kawasaki.jp",
    "anything.ck",
    "tokyo.jp",
];

fn names(table: &mut Table) {
    for name in NAMES {
        let verdict = format!("domain {name}");
        table.dressed(&[None, Some(K::Domain)], name, &verdict);
        for case in cases(name) {
            for dot in DOTS {
                for end in ["", "."] {
                    let text = case.replace('.', dot) + end;
                    table.row(None, text.clone(), verdict.clone());
                    table.row(Some(K::Domain), text.clone(), verdict.clone());
                    // The kind `url` takes a host for http.
                    table.row(Some(K::Url), text, format!("url http://{name}/"));
                }
            }
            for wrong in [format!("*.{case}"), format!("*{case}"), format!("{case}:8080"), format!("{case}:99999")] {
                table.row(None, wrong.clone(), "!");
                table.row(Some(K::Domain), wrong, "!");
            }
            table.row(None, format!("{case}/path"), "!no_scheme");
            table.row(Some(K::Domain), format!("{case}/path"), "!");
            table.row(Some(K::Domain), format!("http://{case}/"), "!");
            table.row(Some(K::Domain), format!("a..{case}"), "!");
            table.row(Some(K::Domain), format!(".{case}"), "!");
        }
    }
    for (written, name) in LOOKALIKES {
        table.dressed(&[None, Some(K::Domain)], written, &format!("domain {name}"));
        for scheme in ["http", "https"] {
            table.row(None, format!("{scheme}://{written}/x"), format!("url {scheme}://{name}/x"));
            table.row(None, format!("{scheme}://user@{written}"), format!("url {scheme}://{name}/"));
        }
        table.row(None, format!("a@{written}"), format!("email a@{name}"));
    }
    for inner in ["host.internal", "printer.local", "nas.lan", "a.b.corp"] {
        table.dressed(&[None], inner, "!unknown_suffix");
        table.dressed(&[Some(K::Domain)], inner, &format!("domain {inner}"));
    }
    for single in ["evil", "localhost", "a-b", "x"] {
        table.dressed(&[None, Some(K::Domain)], single, "!single_label|unrecognised");
    }
}

fn broad(table: &mut Table) {
    for suffix in SUFFIXES {
        table.dressed(&[None, Some(K::Domain)], suffix, "!too_broad");
        for case in cases(suffix) {
            for dot in DOTS {
                for text in [case.replace('.', dot), format!("{}.", case.replace('.', dot))] {
                    table.row(None, text.clone(), "!too_broad");
                    table.row(Some(K::Domain), text, "!too_broad");
                }
            }
            table.row(None, format!("*.{case}"), "!too_broad|wildcard");
            table.row(Some(K::Domain), format!("*.{case}"), "!too_broad|wildcard");
            table.row(Some(K::Domain), format!(".{case}"), "!");
        }
    }
    for everything in ["*", "/", "//", "**", "*.*", "/*", "*/*", ".", "..", "?", "%", "/0", "/4", "/32", "*.*.*"] {
        table.dressed(
            &[None, Some(K::Url), Some(K::Domain), Some(K::Ipv4), Some(K::Ipv4Net)],
            everything,
            "!too_broad",
        );
        for kind in IndicatorKind::ALL {
            table.row(Some(*kind), everything, "!too_broad");
        }
    }
    for scheme in ["http", "https", "ftp", "hxxp", "HXXPS", "HTTP"] {
        for bare in
            [format!("{scheme}://"), format!("{scheme}:///"), format!("{scheme}://*"), format!("{scheme}://*/*")]
        {
            table.row(None, bare.clone(), "!too_broad");
            table.row(Some(K::Url), bare.clone(), "!too_broad");
            table.row(Some(K::Domain), bare, "!");
        }
        table.row(None, format!("{scheme}:"), "!too_broad");
        table.row(None, format!("{scheme}://*.evil.com/"), "!");
        table.row(None, format!("{scheme}://evil.*/x"), "!");
        table.row(None, format!("{scheme}://@/x"), "!");
        table.row(None, format!("{scheme}://:80/x"), "!");
    }
    for kind in IndicatorKind::ALL {
        for nothing in ["", " ", "\t\r\n", "\"\"", "''", "[]", "()", "\u{200b}", "\u{feff}", "\" \"", "[ ]"] {
            table.row(Some(*kind), nothing, "!empty");
            table.row(None, nothing, "!empty");
        }
    }
}

const V4: [u32; 8] =
    [0x0808_0808, 0x7f00_0001, 0x0a01_0203, 0xc000_0221, 0xc6ff_64ff, 0x0101_0101, 0xfffe_fdfc, 0x5db8_d822];

const V6: [u128; 5] = [
    0x2001_0db8_0000_0000_0000_0000_0000_0001,
    0x2001_4860_4860_0000_0000_0000_0000_8888,
    0xfe80_0000_0000_0001_0000_0000_0001_0000,
    0x2606_4700_0001_0002_0003_0004_0005_0006,
    0xffff_ffff_ffff_ffff_ffff_ffff_ffff_ffff,
];

fn networks(table: &mut Table) {
    for address in V4 {
        let text = dotted(address);
        for len in 0..=33u32 {
            let low = if len == 0 { 0 } else { address & u32::MAX << (32 - len.min(32)) };
            let verdict = match len {
                0..=7 => "!too_broad".to_owned(),
                8..=31 => format!("ipv4_net {}/{len}", dotted(low)),
                32 => format!("ipv4 {text}"),
                _ => "!bad_prefix".to_owned(),
            };
            for hint in [None, Some(K::Ipv4Net), Some(K::Ipv4)] {
                table.row(hint, format!("{text}/{len}"), verdict.clone());
            }
            table.row(None, format!("{}/{len}", text.replace('.', "[.]")), verdict.clone());
            // Mapped into IPv6 it is the same network, 96 bits further.
            if len <= 32 {
                table.row(None, format!("::ffff:{text}/{}", len + 96), verdict);
            }
        }
        for wrong in ["", "024", "-1", "+8", "x", "8/8", "255.255.255.0", " 8 8"] {
            table.row(Some(K::Ipv4Net), format!("{text}/{wrong}"), "!");
        }
        for wider in [0, 1, 32, 64, 80, 95] {
            table.row(None, format!("::ffff:{text}/{wider}"), "!too_broad");
        }
    }
    for address in V6 {
        let text = rfc5952(address);
        for len in 0..=129u32 {
            let low = if len == 0 { 0 } else { address & u128::MAX << (128 - len.min(128)) };
            let verdict = match len {
                0..=18 => "!too_broad".to_owned(),
                19..=127 => format!("ipv6_net {}/{len}", rfc5952(low)),
                128 => format!("ipv6 {text}"),
                _ => "!bad_prefix".to_owned(),
            };
            table.row(None, format!("{text}/{len}"), verdict.clone());
            table.row(Some(K::Ipv6Net), format!("{}/{len}", text.to_uppercase()), verdict);
        }
    }
}

fn addresses(table: &mut Table) {
    for address in V4 {
        let text = dotted(address);
        let verdict = format!("ipv4 {text}");
        let [a, b, c, d] = address.to_be_bytes();
        table.dressed(&[None, Some(K::Ipv4)], &text, &verdict);
        for dot in DOTS {
            table.row(None, text.replace('.', dot), verdict.clone());
            table.row(None, format!("{}:443", text.replace('.', dot)), verdict.clone());
        }
        for mapped in [
            format!("::ffff:{text}"),
            format!("::FFFF:{:x}:{:x}", address >> 16, address & 0xffff),
            format!("0:0:0:0:0:ffff:{text}"),
            format!("[::ffff:{text}]:80"),
            format!("0000:0000:0000:0000:0000:ffff:{:04x}:{:04x}", address >> 16, address & 0xffff),
        ] {
            table.row(None, mapped.clone(), verdict.clone());
            table.row(Some(K::Ipv6), mapped, verdict.clone());
        }
        table.row(Some(K::Domain), text.clone(), "!is_address");
        table.row(None, format!("{text}:65536"), "!bad_port");
        table.row(None, format!("{text}:"), "!");
        // Every way to write an address that is not plain dotted decimal: some reader takes each for another host.
        for number in [
            format!("{address}"),
            format!("{address:#x}"),
            format!("{address:#X}"),
            format!("0{address:o}"),
            format!("0{a:o}.{b}.{c}.{d}"),
            format!("{a}.{b}.{c}.0{d}"),
            format!("00{a}.{b}.{c}.{d}"),
            format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
            format!("{a:#x}.{b:#x}.{c:#x}.{d:#x}"),
            format!("{a:#x}.{b}.{c}.{d}"),
            format!("{a}.{b}.{c}.{d:#04X}"),
            format!("{a}.{}", address & 0xff_ffff),
            format!("{a}.{b}.{}", address & 0xffff),
            format!("{a}.{b}.{c}.256"),
            format!("{a}.{b}.{c}.{d}.0"),
            format!("999.{b}.{c}.{d}"),
        ] {
            for hint in [None, Some(K::Ipv4), Some(K::Domain), Some(K::Ipv4Net)] {
                table.row(hint, number.clone(), "!numeric_host");
            }
            for url in [
                format!("http://{number}/"),
                format!("https://{number}:8443/x"),
                format!("http://good.com@{number}/"),
                format!("hxxp://{}", number.replace('.', "[.]")),
                format!("ftp://{number}./"),
            ] {
                table.row(None, url.clone(), "!numeric_host");
                table.row(Some(K::Url), url, "!numeric_host");
            }
            table.row(Some(K::Email), format!("a@{number}"), "!");
            table.row(Some(K::Ipv4Net), format!("{number}/24"), "!");
        }
    }
    for address in V6 {
        let text = rfc5952(address);
        let verdict = format!("ipv6 {text}");
        let long: Vec<String> = (0..8).rev().map(|at| format!("{:04x}", (address >> (16 * at)) as u16)).collect();
        let long = long.join(":");
        for spelled in [text.clone(), text.to_uppercase(), long.clone(), long.to_uppercase(), format!("[{text}]:443")] {
            for hint in [None, Some(K::Ipv6), Some(K::Ipv4), Some(K::Ipv6Net)] {
                table.row(hint, spelled.clone(), verdict.clone());
            }
        }
        for wrong in
            [format!("{text}:1:2:3:4:5:6:7:8:9"), format!("{text}%eth0"), format!("{text}g"), format!("[{text}")]
        {
            table.row(Some(K::Ipv6), wrong, "!");
        }
        table.row(None, format!("http://[{long}]/"), format!("url http://[{text}]/"));
        table.row(None, format!("http://u@[{}]:80/x", text.to_uppercase()), format!("url http://[{text}]/x"));
    }
}

fn urls(table: &mut Table) {
    // As written, and as it must be.
    let hosts = [
        ("evil.com", "evil.com"),
        ("EVIL[.]com.", "evil.com"),
        ("%65vil.com", "evil.com"),
        ("\u{430}pple.com", "xn--pple-43d.com"),
        ("8.8.8.8", "8.8.8.8"),
        ("[2001:DB8:0::1]", "[2001:db8::1]"),
    ];
    let schemes = [
        ("http://", "http", 80),
        ("HTTPS://", "https", 443),
        ("hxxp://", "http", 80),
        ("hXXps[:]//", "https", 443),
        ("Ftp://", "ftp", 21),
    ];
    let users = ["", "user@", "user:pass@", "google.com@", "a:b@c:d@"];
    let tails = [
        ("", "/"),
        ("/", "/"),
        ("/#top", "/"),
        ("/a?b=c#d", "/a?b=c"),
        ("?q", "/?q"),
        ("/x/../y", "/y"),
        ("/./z", "/z"),
        ("/A[.]B", "/A[.]B"),
        ("/http://google.com/", "/http://google.com/"),
    ];
    for (host, canonical) in hosts {
        for (lead, scheme, default) in schemes {
            for user in users {
                for port in ["".to_owned(), format!(":{default}"), ":8080".to_owned()] {
                    let kept = if port == ":8080" { ":8080" } else { "" };
                    for (tail, path) in tails {
                        let raw = format!("{lead}{user}{host}{port}{tail}");
                        let verdict = format!("url {scheme}://{canonical}{kept}{path}");
                        table.row(Some(K::Url), raw.clone(), verdict.clone());
                        if user.is_empty() {
                            table.row(None, raw, verdict);
                        }
                    }
                }
            }
        }
    }
    for (foreign, reason) in [
        ("javascript://evil.com/", "!unsupported_scheme"),
        ("file:///etc/passwd", "!unsupported_scheme"),
        ("gopher://evil.com/", "!unsupported_scheme"),
        ("data:text/html,x", "!"),
        ("http:evil.com", "!"),
        ("http:/evil.com", "!"),
        ("http://evil.com:99999/", "!bad_port"),
        ("http://evil.com:-1/", "!bad_port"),
        ("http://evil .com/", "!"),
        ("http://ev\nil.com/", "!control_character"),
        ("http:///path", "!"),
        ("//", "!too_broad"),
    ] {
        table.row(None, foreign, reason);
        table.row(Some(K::Url), foreign, reason);
    }
}

fn hashes(table: &mut Table) {
    let kinds = [(K::Md5, 32), (K::Sha1, 40), (K::Sha256, 64), (K::Sha512, 128)];
    for (kind, len) in kinds {
        for seed in ["0123456789abcdef", "deadbeef", "a", "0", "9f86d081884c7d65"] {
            let hash: String = seed.chars().cycle().take(len).collect();
            let verdict = format!("{kind} {hash}");
            for case in cases(&hash) {
                table.dressed(&[None, Some(kind)], &case, &verdict);
                for (other, _) in kinds.iter().filter(|(other, _)| *other != kind) {
                    table.row(Some(*other), case.clone(), "!bad_hash");
                }
            }
            for wrong in [hash[1..].to_owned(), format!("{hash}0"), format!("0x{hash}"), format!("{}g", &hash[1..])] {
                table.row(Some(kind), wrong, "!bad_hash");
            }
        }
    }
    let empty = [
        (K::Md5, Some(K::Ja3), "d41d8cd98f00b204e9800998ecf8427e"),
        (K::Sha1, Some(K::CertSha1), "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
        (K::Sha256, Some(K::CertSha256), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (
            K::Sha512,
            None,
            "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce\
             47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
        ),
    ];
    for (kind, other, hash) in empty {
        for case in cases(hash) {
            table.dressed(&[None, Some(kind), other.or(Some(kind))], &case, "!empty_hash");
        }
    }
}

fn mailboxes(table: &mut Table) {
    for name in ["evil.com", "x.duckdns.org", "xn--bcher-kva.de"] {
        for (written, local) in [("a", "a"), ("A.B+c", "a.b+c"), ("o'brien", "o'brien")] {
            let verdict = format!("email {local}@{name}");
            for case in cases(name) {
                for dot in DOTS {
                    for at in ["@", "[at]", "[@]", "(at)"] {
                        let text = format!("{written}{at}{}", case.replace('.', dot));
                        table.row(None, text.clone(), verdict.clone());
                        table.row(Some(K::Email), text, verdict.clone());
                    }
                }
                table.row(None, format!("mailto:{written}@{case}"), verdict.clone());
                table.row(Some(K::Email), format!("{written}@{case}."), verdict.clone());
            }
        }
    }
    for wrong in
        ["@", "a@", "@evil.com", "a b@evil.com", "a@b@evil.com", "a@*", "a@*.com", "a@localhost", "a@1.2.3.4", "*@"]
    {
        table.row(Some(K::Email), wrong, "!");
    }
}

fn table() -> Table {
    let mut table = Table::default();
    for part in [names, broad, networks, addresses, urls, hashes, mailboxes] {
        part(&mut table);
    }
    table
}

/// Too broad and ambiguous values, each with the one key or the rejection that identity asks for: `*`, `/`, nothing,
/// public suffixes and `*.suffix`, every mask of IPv4 and IPv6, octal, hexadecimal, short and overlong addresses, user
/// names in URLs, names that look like others, defanging, quotes, trailing dots, upper case, hashes of the empty input.
/// More than 10,000 generated rows whose verdicts are put together from the rules without asking the parser, and the
/// 900 rows of the table written by hand: all match. And whatever is taken, generated or not, is narrow enough: no
/// network wider than /8 or /19, no public suffix, no hash of nothing.
#[test]
#[allow(clippy::print_stdout, reason = "the figures are part of what it shows")]
fn f35_too_broad_and_ambiguous_values_get_their_verdict() {
    let table = table();
    let by_hand = super::keys::table().into_iter().map(|(hint, raw, verdict)| ((hint, raw), verdict));
    let (n_generated, n_by_hand) = (table.0.len(), by_hand.len());
    let (mut wrong, mut taken) = (Vec::new(), 0usize);
    for ((hint, raw), verdict) in table.0.into_iter().chain(by_hand) {
        let parsed = IndicatorKey::parse(hint, &raw);
        let right = match (&parsed, verdict.strip_prefix('!')) {
            (Ok(key), None) => format!("{} {}", key.kind(), key.value()) == verdict,
            (Err(_), Some("")) => true,
            (Err(why), Some(reasons)) => reasons.split('|').any(|reason| reason == why.reason.as_str()),
            _ => false,
        };
        if !right {
            let said = parsed.as_ref().map(|key| format!("{} {}", key.kind(), key.value())).map_err(|why| why.reason);
            wrong.push(format!("{hint:?} {raw:?}: {said:?}, must be {verdict}"));
        }
        let Ok(key) = parsed else { continue };
        taken += 1;
        if let Some(net) = key_net(&key) {
            assert!(net.prefix_len() >= if net.addr().is_ipv4() { 8 } else { 19 }, "{raw:?} is {net}");
        }
        assert!(key.kind() != K::Domain || !is_icann_suffix(key.value()), "{raw:?} is a suffix");
    }
    println!("{n_generated} generated rows and {n_by_hand} by hand: {taken} taken, {} wrong", wrong.len());
    assert!(n_generated >= 10_000 && n_by_hand >= 900, "{n_generated} and {n_by_hand} rows");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong[..wrong.len().min(40)].join("\n"));
}

/// The test's own writing of addresses, against the standard library's.
#[test]
fn addresses_are_written_as_the_standard_library_writes_them() {
    for bits in V6.into_iter().chain((0..128).map(|at| u128::MAX << at)).chain((0..8).map(|at| 1 << (16 * at))) {
        let address = Ipv6Addr::from(bits);
        // The library keeps a dotted form for addresses mapped from IPv4.
        if address.to_ipv4().is_none() {
            assert_eq!(rfc5952(bits), address.to_string());
        }
    }
    for bits in V4 {
        assert_eq!(dotted(bits), Ipv4Addr::from(bits).to_string());
    }
    assert_eq!(Reason::TooBroad.as_str(), "too_broad");
}
