//! Patterns as tables: what they say in indicators, and what they must not.

use super::pattern::{Fault, PATTERN_BYTES, PATTERN_DEPTH, PATTERN_NODES, read, whole, work};
use intel::IndicatorKey;
use proptest::prelude::*;

/// `kind value`, one a line, and `- n` for parts that are unmappable.
fn said(pattern: &str) -> String {
    match read(pattern) {
        Err(fault) => fault.as_str().to_owned(),
        Ok(said) => {
            let mut lines: Vec<String> =
                said.atoms.iter().map(|atom| format!("{} {}", atom.kind, atom.value)).collect();
            if said.unmappable > 0 {
                lines.push(format!("- {}", said.unmappable));
            }
            lines.join("\n")
        }
    }
}

#[track_caller]
fn check(table: &[(&str, &str)]) {
    for (pattern, expect) in table {
        assert_eq!(said(pattern), *expect, "{pattern}");
    }
}

const MD5: &str = "900150983cd24fb0d6963f7d28e17f72";

#[test]
fn one_comparison_of_every_path() {
    check(&[
        ("[url:value = 'http://a.example/']", "url http://a.example/"),
        ("[domain-name:value = 'a.example']", "domain a.example"),
        ("[hostname:value = 'a.example']", "domain a.example"),
        ("[ipv4-addr:value = '198.51.100.0/24']", "ipv4 198.51.100.0/24"),
        ("[ipv6-addr:value = '2001:db8::1']", "ipv4 2001:db8::1"),
        ("[email-addr:value = 'a@b.example']", "email a@b.example"),
        ("[email-message:from_ref.value = 'a@b.example']", "email a@b.example"),
        ("[email-message:sender_ref.value = 'a@b.example']", "email a@b.example"),
        ("[file:name = 'a.exe']", "filename a.exe"),
        ("[mutex:name = 'm']", "mutex m"),
        ("[autonomous-system:number = 174]", "asn AS174"),
        ("[autonomous-system:number = '174']", "asn 174"),
        ("[network-traffic:extensions.'http-request-ext'.request_header.'User-Agent' = 'curl']", "user_agent curl"),
        ("[network-traffic:dst_ref.value = '192.0.2.1']", "ipv4 192.0.2.1"),
        ("[network-traffic:src_ref.value = 'a.example']", "domain a.example"),
        ("[x-ja3-fingerprint:hash = 'h']", "ja3 h"),
        ("[network-traffic:extensions.'tls-ext'.ja3_hash = 'h']", "ja3 h"),
        ("[x-ja4-fingerprint:hash = 'h']", "ja4 h"),
        ("[x509-certificate:hashes.'SHA-1' = 'h']", "cert_sha1 h"),
        ("[x509-certificate:hashes.'SHA-256' = 'h']", "cert_sha256 h"),
    ]);
}

#[test]
fn hashes_in_every_spelling() {
    for (name, kind) in [
        ("MD5", "md5"),
        ("'MD5'", "md5"),
        ("md5", "md5"),
        ("SHA1", "sha1"),
        ("'SHA-1'", "sha1"),
        ("SHA-1", "sha1"),
        ("sha256", "sha256"),
        ("'sha256'", "sha256"),
        ("SHA256", "sha256"),
        ("'SHA-256'", "sha256"),
        ("SHA-256", "sha256"),
        ("sha_256", "sha256"),
        ("'SHA-512'", "sha512"),
        ("'SHA512'", "sha512"),
    ] {
        assert_eq!(said(&format!("[file:hashes.{name} = 'h']")), format!("{kind} h"), "{name}");
        assert_eq!(said(&format!("[file:hashes.{name}='h']")), format!("{kind} h"), "{name}");
    }
    check(&[("[file:hashes.SSDEEP = 'h']", "- 1"), ("[file:hashes.'SHA3-256' = 'h']", "- 1")]);
}

#[test]
fn or_and_in_are_taken_apart() {
    check(&[
        ("[url:value = 'a' OR url:value = 'b']", "url a\nurl b"),
        ("[url:value IN ('a', 'b' , 'c')]", "url a\nurl b\nurl c"),
        ("[url:value = 'a'] OR [domain-name:value = 'b']", "url a\ndomain b"),
        ("([url:value = 'a'] OR ([domain-name:value = 'b'])) OR [url:value='c']", "url a\ndomain b\nurl c"),
        ("[(url:value = 'a' OR (url:value = 'b'))]", "url a\nurl b"),
        // Each branch for itself: what can be said is, the rest is counted.
        ("[url:value = 'a' OR process:name = 'b']", "url a\n- 1"),
        ("[url:value = 'a' OR url:value LIKE '%' OR url:value MATCHES '.']", "url a\n- 2"),
        ("[url:value = 'a' or url:value = 'b']", "url a\nurl b"),
        // AND binds more tightly than OR.
        ("[url:value = 'a' OR url:value = 'b' AND file:name = 'c']", "url a\n- 1"),
    ]);
}

#[test]
fn and_is_taken_apart_only_where_nothing_is_lost() {
    check(&[
        (
            "[file:hashes.MD5 = 'a' AND file:hashes.'SHA-1' = 'b' AND file:hashes.'SHA-256' = 'c']",
            "md5 a\nsha1 b\nsha256 c",
        ),
        (
            "[(file:hashes.MD5 = 'a' AND file:hashes.'SHA-1' = 'b') AND file:hashes.'SHA-256' = 'c']",
            "md5 a\nsha1 b\nsha256 c",
        ),
        ("[file:hashes.MD5 = 'a' AND file:hashes.SSDEEP = 'b']", "md5 a"),
        ("[(file:hashes.MD5 = 'a' AND file:hashes.SHA1 = 'b') OR file:hashes.MD5 = 'c']", "md5 a\nsha1 b\nmd5 c"),
        ("[domain-name:value = 'a' AND domain-name:resolves_to_refs[*].value = '192.0.2.1']", "domain a"),
        ("[domain-name:resolves_to_refs[0].value = '192.0.2.1' AND domain-name:value = 'a']", "domain a"),
        (
            "[network-traffic:dst_ref.type = 'ipv4-addr' AND network-traffic:dst_ref.value = '192.0.2.1']",
            "ipv4 192.0.2.1",
        ),
        // More than its terms:
        ("[file:hashes.MD5 = 'a' AND file:name = 'b']", "- 1"),
        ("[file:hashes.MD5 = 'a' AND file:hashes.MD5 = 'b']", "- 1"),
        ("[file:hashes.'SHA-1' = 'a' AND x509-certificate:hashes.'SHA-256' = 'b']", "- 1"),
        ("[file:hashes.MD5 = 'a' AND file:hashes.SHA1 LIKE 'b']", "- 1"),
        ("[file:hashes.MD5 = 'a' AND (file:hashes.SHA1 = 'b' OR file:hashes.SHA1 = 'c')]", "- 1"),
        ("[file:hashes.MD5 = 'a' AND file:hashes.SHA1 IN ('b')]", "- 1"),
        ("[url:value = 'a' AND url:value = 'b']", "- 1"),
        ("[domain-name:value = 'a' AND domain-name:value = 'b']", "- 1"),
        ("[domain-name:value = 'a' AND file:hashes.MD5 = 'b']", "- 1"),
        ("[domain-name:value = 'a' AND network-traffic:dst_port = 443]", "- 1"),
        ("[domain-name:resolves_to_refs[*].value = '192.0.2.1']", "- 1"),
        ("[network-traffic:dst_ref.value = '192.0.2.1' AND network-traffic:dst_port = 443]", "- 1"),
        ("[network-traffic:src_ref.type = 'ipv4-addr' AND network-traffic:dst_ref.value = '192.0.2.1']", "- 1"),
        ("[network-traffic:dst_ref.type = 'domain-name' AND network-traffic:dst_ref.value = '192.0.2.1']", "- 1"),
        ("[network-traffic:dst_ref.type = 'ipv4-addr']", "- 1"),
        ("[url:value = 'a'] AND [url:value = 'b']", "- 1"),
    ]);
}

#[test]
fn what_is_never_shared() {
    check(&[
        ("[url:value != 'a']", "- 1"),
        ("[url:value <> 'a']", "- 1"),
        ("[url:value NOT = 'a']", "- 1"),
        ("[NOT url:value = 'a']", "- 1"),
        ("[NOT (url:value = 'a' OR url:value = 'b')]", "- 1"),
        ("[url:value NOT IN ('a', 'b')]", "- 1"),
        ("[url:value LIKE 'a%']", "- 1"),
        ("[url:value MATCHES '(a+)+$']", "- 1"),
        ("[url:value > 'a' AND url:value <= 'b']", "- 1"),
        ("[EXISTS url:value]", "- 1"),
        ("[url:value = 'a'] FOLLOWEDBY [url:value = 'b']", "- 1"),
        ("[url:value = 'a'] WITHIN 300 SECONDS", "- 1"),
        ("[url:value = 'a'] REPEATS 1000000000 TIMES", "- 1"),
        ("[url:value = 'a'] START t'2020-01-01T00:00:00Z' STOP t'2020-02-01T00:00:00Z'", "- 1"),
        ("([url:value = 'a'] OR [url:value = 'b']) REPEATS 2 TIMES WITHIN 1 SECONDS", "- 1"),
        ("[url:value = 'a'] OR [url:value = 'b'] REPEATS 2 TIMES", "url a\n- 1"),
        // Observed networks that hold an address are not that address; a network that holds it is.
        ("[ipv4-addr:value ISSUPERSET '192.0.2.1/32']", "- 1"),
        ("[ipv4-addr:value ISSUBSET '198.51.100.0/24']", "ipv4 198.51.100.0/24"),
        ("[ipv4-addr:value NOT ISSUBSET '198.51.100.0/24']", "- 1"),
        ("[domain-name:value ISSUBSET 'a.example']", "- 1"),
        // Of no kind of ours:
        ("[app:id='com.client.appA']", "- 1"),
        ("[app:cert.sha256='h']", "- 1"),
        ("[configuration-profile:id='p']", "- 1"),
        ("[process:name='p']", "- 1"),
        ("[file:path='/tmp/x']", "- 1"),
        ("[windows-registry-key:key = 'HKLM\\\\x']", "- 1"),
        ("[x509-certificate:issuer = 'a' AND x509-certificate:serial_number = 'b']", "- 1"),
        ("[email-message:subject = 'hello']", "- 1"),
        ("[url:value = 1]", "- 1"),
        ("[file:hashes.MD5 = h'90']", "- 1"),
        ("[url:value = b'YQ==']", "- 1"),
        ("[email-message:is_multipart = true]", "- 1"),
        ("[file:created = t'2020-01-01T00:00:00Z']", "- 1"),
        ("[file:size = 12.5 AND file:size > -1]", "- 1"),
        ("[url:constructor = 'a']", "- 1"),
    ]);
}

#[test]
fn texts_in_quotes() {
    check(&[
        (r"[file:name = 'it\'s']", "filename it's"),
        (r"[mutex:name = 'Global\\x']", r"mutex Global\x"),
        (r"[mutex:name = 'a\\\'b']", r"mutex a\'b"),
        // Not in the grammar, but published: a lone backslash stands for itself.
        (r"[mutex:name = 'Global\x']", r"mutex Global\x"),
        ("[file:name = '\u{1f600} \u{e9}.exe']", "filename \u{1f600} \u{e9}.exe"),
        ("[ url:value\t=\n'a' ]", "url a"),
        ("[url:value == 'a']", "url a"),
        ("[url:'value' = ']']", "url ]"),
    ]);
}

#[test]
fn what_is_no_pattern() {
    for pattern in [
        "",
        " ",
        "[",
        "[]",
        "url:value = 'a'",
        "[url:value = 'a'",
        "[url:value = 'a]",
        "[url:value = a]",
        "[url:value 'a']",
        "[url = 'a']",
        "[url:value = 'a'] x",
        "[url:value = 'a' AND]",
        "[url:value = 'a' OR ]",
        "[url:value IN ()]",
        "[url:value IN ('a',)]",
        "[url:value ! 'a']",
        "[url:value = 'a\\']",
        "[url:value[x] = 'a']",
        "[url:value. = 'a']",
        "([url:value = 'a']",
        "[url:value = 'a'] WITHIN 5",
        "[url:value = 'a'] START t'2020-01-01T00:00:00Z'",
        "[\u{e9}:value = 'a']",
        "[url:value = '\u{e9}",
        "{\"a\": 1}",
    ] {
        assert_eq!(read(pattern), Err(Fault::Broken), "{pattern}");
    }
}

#[test]
fn limits() {
    let nested = |n: usize| format!("[{}url:value = 'a'{}]", "(".repeat(n), ")".repeat(n));
    assert_eq!(said(&nested(PATTERN_DEPTH)), "url a");
    assert_eq!(read(&nested(PATTERN_DEPTH + 1)), Err(Fault::TooLarge));
    assert_eq!(read(&nested(30_000)), Err(Fault::TooLarge));
    let observations = |n: usize| format!("{}[url:value = 'a']{}", "(".repeat(n), ")".repeat(n));
    assert_eq!(read(&observations(PATTERN_DEPTH + 1)), Err(Fault::TooLarge));
    let set = |n: usize| format!("[url:value IN ({})]", vec!["'a'"; n].join(","));
    assert_eq!(read(&set(PATTERN_NODES - 10)).unwrap().atoms.len(), PATTERN_NODES - 10);
    assert_eq!(read(&set(PATTERN_NODES)), Err(Fault::TooLarge));
    let long = format!("[url:value = '{}']", "a".repeat(PATTERN_BYTES));
    assert_eq!(read(&long), Err(Fault::TooLarge));
}

/// Shown: a hostile pattern costs little and shares nothing: nesting, ORs without end, regular expressions, repetitions,
/// sequences, negations, wildcards. How: looking is counted, not timed: no byte is looked at more than a dozen times, so
/// the longest costs less than a megabyte of looking, about a millisecond. Figures: 200 patterns and one of 10^6 terms
/// (20 MB, refused for its length without being read); atoms shared 0.
#[test]
fn f33_hostile_patterns_are_cheap_and_share_nothing() {
    let mut patterns = Vec::new();
    for n in 1..=25 {
        let many = 400 * n;
        patterns.push(format!("[{}", "(".repeat(many)));
        patterns.push(format!("{}[url:value = 'a']", "(".repeat(many)));
        patterns.push(format!("[url:value MATCHES '{}$']", "(a+)+".repeat(n)));
        patterns.push(format!("[url:value = 'a'] REPEATS {} TIMES", "9".repeat(n)));
        patterns.push(vec!["[url:value = 'a']"; 2 + n].join(" FOLLOWEDBY "));
        patterns.push(format!("[{}]", vec!["NOT url:value = 'a'"; 50 * n].join(" AND ")));
        patterns.push(format!("[url:value LIKE '{}']", "%".repeat(many)));
        patterns.push(format!("[url:value{} = 'a']{}", ".a".repeat(many), "x".repeat(many)));
    }
    assert_eq!(patterns.len(), 200);
    patterns.push(vec!["[url:value = 'a']"; 1_000_000].join(" OR "));
    for pattern in &patterns {
        let atoms = read(pattern).map_or(0, |said| said.atoms.len());
        assert_eq!(atoms, 0, "{}", &pattern[..pattern.len().min(80)]);
        let most = 12 * pattern.len().min(PATTERN_BYTES) + 100;
        assert!(work(pattern) <= most, "{} of {most}: {}", work(pattern), &pattern[..pattern.len().min(80)]);
    }
}

proptest! {
    /// Any text is read or refused, and what is read is no more than the limits allow.
    #[test]
    fn any_text_is_survived(pattern in "\\PC{0,200}") {
        let _ = read(&pattern);
    }

    /// Texts of the grammar's own words.
    #[test]
    fn any_words_are_survived(words in proptest::collection::vec(
        prop::sample::select(vec![
            "[", "]", "(", ")", "url", ":", "value", "=", "!=", "'a'", "'", "\\", "AND", "OR", "NOT", "IN", ",", ".",
            "FOLLOWEDBY", "REPEATS", "5", "TIMES", "START", "t'x'", "STOP", "LIKE", "file:hashes.MD5", "[*]", "é", " ",
        ]), 0..60)) {
        if let Ok(said) = read(&words.concat()) {
            prop_assert!(said.atoms.len() + usize::try_from(said.unmappable).unwrap() <= words.len());
        }
        let _ = read(&words.join(" "));
    }

    /// The short way through common patterns says what the parser says, of patterns and of what nearly is one.
    #[test]
    fn the_short_way_ends_where_the_long_one_does(
        before in prop::sample::select(vec!["[", "", " [", "[ ", "[["]),
        path in prop::sample::select(vec![
            "url:value", "domain-name:value", "ipv4-addr:value", "ipv6-addr:value", "email-addr:value", "file:hashes.MD5",
            "file:hashes.'MD5'", "file:hashes.'SHA-1'", "file:hashes.'SHA-256'", "file:hashes.'SHA-512'", "file:name",
            "URL:value", "url:value OR url:value", "NOT url:value",
        ]),
        equals in prop::sample::select(vec![" = '", "='", " = ", " != '", " IN ('"]),
        value in prop::collection::vec(prop::sample::select(vec![
            "a", "é", " ", "'", "\\", "\\'", "]", "']", "' OR url:value = '", " = '", "\u{0}", "\n",
        ]), 0..6),
        after in prop::sample::select(vec!["']", "]", "'", "' ]", "'] ", "']]", "\\']"]),
    ) {
        let pattern = [before, path, equals, &value.concat(), after].concat();
        prop_assert_eq!(read(&pattern), whole(&pattern));
    }

    /// Whatever text is a value comes back as it was.
    #[test]
    fn escapes_round_trip(value in "\\PC{0,40}") {
        let escaped = value.replace('\\', "\\\\").replace('\'', "\\'");
        let pattern = format!("[mutex:name = '{escaped}']");
        let said = read(&pattern).unwrap();
        prop_assert_eq!(&said.atoms[0].value, &value);
    }
}

#[test]
fn dirty_hashes_still_have_one_key() {
    let pattern = format!("[file:hashes.md5 = '{}']", MD5.to_uppercase());
    let said = read(&pattern).unwrap();
    let key = IndicatorKey::parse(Some(said.atoms[0].kind), &said.atoms[0].value).unwrap();
    assert_eq!((key.kind().as_str(), key.value()), ("md5", MD5));
}

/// The patterns misp-stix 2026.10 makes of attributes. Where MISP's own form is read as one value and the pattern says
/// more (a hash and a name, an address and a port), the pattern is not widened.
#[test]
fn as_misp_stix_writes_them() {
    check(&[
        (
            "[network-traffic:src_ref.type = 'ipv4-addr' AND network-traffic:src_ref.value = '192.0.2.1']",
            "ipv4 192.0.2.1",
        ),
        (
            "[network-traffic:src_ref.type = 'ipv4-addr' AND network-traffic:src_ref.value = '198.51.100.0/24']",
            "ipv4 198.51.100.0/24",
        ),
        (
            "[network-traffic:dst_ref.type = 'ipv4-addr' AND network-traffic:dst_ref.value = '192.0.2.3' AND network-traffic:dst_port = '443']",
            "- 1",
        ),
        ("[domain-name:value = 'h.a.example' AND network-traffic:dst_port = '80']", "- 1"),
        (
            "[domain-name:value = 'a.example' AND domain-name:resolves_to_refs[*].value = '192.0.2.4']",
            "domain a.example",
        ),
        (r"[url:value = 'http://a.example/x\'y\\z']", r"url http://a.example/x'y\z"),
        ("[file:name = 'x.exe' AND file:hashes.MD5 = 'h']", "- 1"),
        ("[file:hashes.IMPHASH = 'h']", "- 1"),
        ("[email-message:from_ref.value = 'a@b.example']", "email a@b.example"),
        // Whom a message was sent to is the victim.
        ("[email-message:to_refs[*].value = 'v@b.example']", "- 1"),
        ("[windows-registry-key:key = 'HKLM\\\\x' AND windows-registry-key:values.data = '1']", "- 1"),
        ("[file:content_ref.payload_bin = 'YQ==' AND file:content_ref.decryption_key = 'infected']", "- 1"),
        ("[mac-addr:value = '00:11:22:33:44:55']", "- 1"),
        ("[network-traffic:dst_port = '80']", "- 1"),
    ]);
}
