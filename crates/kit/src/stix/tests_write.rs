//! What is written is read back as it was, and is the same for the same.

use super::tests::hear;
use super::{Version, bundle_id, id, id_in, identity, object, pattern};
use crate::connection::Outgoing;
use crate::render::{ListFormat, ListStyle};
use intel::{IndicatorKey, IndicatorKind, Reputation, Timestamp, Tlp};
use proptest::prelude::*;
use serde_json::Value;
use std::time::Duration;

const MARK: &str = "iocast-00112233445566778899aabbccddeeff";

fn key(kind: IndicatorKind, value: &str) -> IndicatorKey {
    IndicatorKey::parse(Some(kind), value).unwrap()
}

#[test]
fn one_comparison_for_every_kind() {
    use IndicatorKind::*;
    let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let sha1 = "a9993e364706816aba3e25717850c26c9cd0d89d";
    for (kind, value, expect) in [
        (Url, "http://a.example/x'y", r"[url:value = 'http://a.example/x\'y']".to_owned()),
        (Domain, "a.example", "[domain-name:value = 'a.example']".into()),
        (Ipv4, "192.0.2.1", "[ipv4-addr:value = '192.0.2.1']".into()),
        (Ipv6, "2001:db8::1", "[ipv6-addr:value = '2001:db8::1']".into()),
        (Ipv4Net, "198.51.100.0/24", "[ipv4-addr:value = '198.51.100.0/24']".into()),
        (Ipv6Net, "2001:db8::/32", "[ipv6-addr:value = '2001:db8::/32']".into()),
        (Email, "a@b.example", "[email-addr:value = 'a@b.example']".into()),
        (Sha1, sha1, format!("[file:hashes.'SHA-1' = '{sha1}']")),
        (Sha256, sha256, format!("[file:hashes.'SHA-256' = '{sha256}']")),
        (CertSha256, sha256, format!("[x509-certificate:hashes.'SHA-256' = '{sha256}']")),
        (Asn, "AS64496", "[autonomous-system:number = 64496]".into()),
        (Filename, r"C:\x", r"[file:name = 'C:\\x']".into()),
        (Mutex, r"Global\x", r"[mutex:name = 'Global\\x']".into()),
    ] {
        assert_eq!(pattern(&key(kind, value)), Some(expect), "{kind}");
    }
}

#[test]
fn ids_are_stable_and_each_exchange_s_own() {
    let domain = key(IndicatorKind::Domain, "a.example");
    // Committed: another derivation would make a second object of each in every collection there is.
    assert_eq!(id(MARK, &domain), "indicator--72837870-63dc-50c9-97b2-1015812fa5d4");
    assert_eq!(id_in(Version::V20, MARK, &domain), "indicator--72837870-63dc-40c9-97b2-1015812fa5d4");
    assert_ne!(id("iocast-2", &domain), id(MARK, &domain));
    assert_ne!(id(MARK, &key(IndicatorKind::Mutex, "a.example")), id(MARK, &domain));
    assert_ne!(bundle_id(Version::V21, MARK, "a"), bundle_id(Version::V21, MARK, "b"));
    assert_eq!(identity(MARK, Version::V21), identity(MARK, Version::V21));
}

#[test]
fn times_are_plausible_for_a_reader() {
    let now = Timestamp::from_micros(1_790_000_000_123_999);
    let mut out = Outgoing::bare(key(IndicatorKind::Ipv4, "192.0.2.1"), now);
    let get = |out: &Outgoing, name: &str| object(out, MARK, Version::V21, false).unwrap()[name].clone();
    out.modified = now.before(Duration::from_secs(5));
    assert_eq!(get(&out, "modified"), get(&out, "created"));
    assert_eq!(get(&out, "created"), "2026-09-21T14:13:20.123Z");
    assert_eq!(get(&out, "valid_from"), get(&out, "created"));
    out.first_seen = Some(now.after(Duration::from_secs(5)));
    assert_eq!(get(&out, "valid_from"), get(&out, "created"));
    out.first_seen = Some(now.before(Duration::from_secs(5)));
    assert_eq!(get(&out, "valid_from"), "2026-09-21T14:13:15.123Z");
    // Not before the beginning, nor within its millisecond.
    out.expires_at = Some(now.before(Duration::from_secs(5)).after(Duration::from_micros(1)));
    out.first_seen = Some(Timestamp::from_micros(1_790_000_000_000_000));
    out.expires_at = Some(Timestamp::from_micros(1_790_000_000_000_001));
    assert_eq!(get(&out, "valid_until"), Value::Null);
    out.expires_at = Some(Timestamp::from_micros(1_790_000_000_001_000));
    assert_eq!(get(&out, "valid_until"), "2026-09-21T14:13:20.001Z");
    for micros in [i64::MIN, i64::MAX] {
        out.created = Timestamp::from_micros(micros);
        assert_eq!(get(&out, "created").as_str().map(str::len), Some(24));
    }
}

#[test]
fn the_older_version_says_what_it_can() {
    let mut out = Outgoing::bare(key(IndicatorKind::Ipv4, "192.0.2.1"), Timestamp::from_secs(1_790_000_000));
    out.tags = vec!["c2".into(), "iocast:hop=x".into()];
    for (tlp, expect) in [
        (Tlp::Clear, "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9"),
        (Tlp::Amber, "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82"),
        // There was none: RED fails closed.
        (Tlp::AmberStrict, "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed"),
        (Tlp::Red, "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed"),
    ] {
        out.tlp = tlp;
        let object = object(&out, MARK, Version::V20, true).unwrap();
        assert_eq!(object["object_marking_refs"][0], expect, "{tlp}");
        assert_eq!(object["labels"], serde_json::json!(["malicious-activity", "c2"]));
        assert_eq!(object["revoked"], true);
        for name in ["spec_version", "pattern_type", "indicator_types", "confidence"] {
            assert_eq!(object[name], Value::Null, "{name}");
        }
    }
}

fn list(all: &[Outgoing]) -> String {
    let style = ListStyle { format: ListFormat::Stix, name: "l".into(), mark: MARK.into(), ..ListStyle::default() };
    let mut out = Vec::new();
    let written = style.write(&mut all.iter().cloned(), &mut out).unwrap();
    assert_eq!((written.lines, written.left_out), (all.len() as u64, 0));
    String::from_utf8(out).unwrap()
}

#[test]
fn a_list_is_one_bundle_and_defines_its_markings() {
    let now = Timestamp::from_secs(1_790_000_000);
    let one = |value: &str, tlp| {
        let key = key(IndicatorKind::Ipv4, value);
        Outgoing { tlp, ..Outgoing::bare(key, now) }
    };
    let all = [one("192.0.2.1", Tlp::Amber), one("192.0.2.2", Tlp::Green), one("192.0.2.3", Tlp::Amber)];
    assert_eq!(list(&all), list(&all));
    let bundle: Value = serde_json::from_str(&list(&all)).unwrap();
    assert_eq!(bundle["id"], bundle_id(Version::V21, MARK, "l"));
    let types: Vec<&str> = bundle["objects"].as_array().unwrap().iter().filter_map(|o| o["type"].as_str()).collect();
    let (marking, indicator) = ("marking-definition", "indicator");
    assert_eq!(types, ["identity", marking, indicator, marking, indicator, indicator]);
    let empty: Value = serde_json::from_str(&list(&[])).unwrap();
    assert_eq!(empty["objects"].as_array().unwrap().len(), 1);
}

fn keys() -> impl Strategy<Value = IndicatorKey> {
    let hex = |n: usize| {
        proptest::collection::vec(0u8..16, n).prop_map(|digits| {
            digits.into_iter().map(|digit| char::from_digit(u32::from(digit), 16).unwrap_or('0')).collect::<String>()
        })
    };
    let any = |kind: IndicatorKind, text: BoxedStrategy<String>| {
        text.prop_filter_map("no key", move |text| IndicatorKey::parse(Some(kind), &text).ok())
    };
    use IndicatorKind::*;
    prop_oneof![
        any(Url, "http://[a-z]{1,9}\\.example/[ -~]{0,20}".boxed()),
        any(Domain, "[a-z_]{1,9}\\.[a-zé]{2,9}\\.net".boxed()),
        any(Ipv4, any_text::<std::net::Ipv4Addr>()),
        any(Ipv6, any_text::<std::net::Ipv6Addr>()),
        any(Ipv4Net, (any_text::<std::net::Ipv4Addr>(), 8u8..33).prop_map(|(a, n)| format!("{a}/{n}")).boxed()),
        any(Ipv6Net, (any_text::<std::net::Ipv6Addr>(), 19u8..129).prop_map(|(a, n)| format!("{a}/{n}")).boxed()),
        any(Email, "[a-z'+]{1,9}@[a-z]{1,9}\\.net".boxed()),
        any(Md5, hex(32).boxed()),
        any(Sha1, hex(40).boxed()),
        any(Sha256, hex(64).boxed()),
        any(Sha512, hex(128).boxed()),
        any(Ja3, hex(32).boxed()),
        any(Ja4, hex(24).prop_map(|h| format!("t13d1516h2_{}_{}", &h[..12], &h[12..])).boxed()),
        any(Asn, (1u32..).prop_map(|n| format!("AS{n}")).boxed()),
        any(Filename, "\\PC{1,20}".boxed()),
        any(CertSha1, hex(40).boxed()),
        any(CertSha256, hex(64).boxed()),
        any(Mutex, "[ -~]{1,20}".boxed()),
        any(UserAgent, "\\PC{1,20}".boxed()),
    ]
}

fn any_text<T: Arbitrary + std::fmt::Display + 'static>() -> BoxedStrategy<String> {
    any::<T>().prop_map(|value| value.to_string()).boxed()
}

fn outgoing() -> impl Strategy<Value = Outgoing> {
    let time = || (1_000_000_000_000i64..4_000_000_000_000).prop_map(|ms| Timestamp::from_micros(ms * 1000));
    (
        (keys(), time(), time(), proptest::option::of(time()), proptest::option::of(time())),
        (1i64..11, proptest::option::of(0u8..101), 0usize..5),
        (proptest::collection::vec("[a-z0-9:=\"-]{1,12}", 0..4), proptest::option::of("[^\\pC\\s][^\\pC]{0,30}x")),
        proptest::collection::vec("iocast-[0-9a-f]{8}", 0..3),
    )
        .prop_map(|((key, created, modified, first_seen, expires_at), levels, (tags, comment), hops)| {
            let tags = tags.into_iter().filter(|tag| !tag.starts_with("tlp:") && tag != "benign").collect();
            let mut out = Outgoing { first_seen, expires_at, tags, comment, hops, ..Outgoing::bare(key, created) };
            out.modified = modified.max(created);
            out.reputation = Reputation::clamped(levels.0);
            out.confidence = levels.1;
            out.tlp = Tlp::ALL[levels.2];
            out
        })
}

proptest! {
    /// Key and fields come back as they were, from a list and from a single object.
    #[test]
    fn what_is_written_is_read(out in outgoing()) {
        let single = object(&out, MARK, Version::V21, false).unwrap().to_string();
        let older = object(&out, MARK, Version::V20, true).unwrap().to_string();
        for (text, version) in [(list(std::slice::from_ref(&out)), Version::V21), (single, Version::V21), (older, Version::V20)] {
            let (heard, stats) = hear(&text).unwrap();
            prop_assert_eq!((heard.rows.len(), stats.rejected, stats.unread_fields), (1, 0, 0), "{}", text);
            let row = &heard.rows[0];
            prop_assert_eq!(&IndicatorKey::parse(row.kind, &row.value).unwrap(), &out.key, "{}", text);
            let from = out.first_seen.map_or(out.created, |seen| seen.min(out.created));
            prop_assert_eq!(row.first_seen, Some(from));
            prop_assert_eq!(row.valid_from, Some(from));
            prop_assert_eq!(row.modified, Some(out.modified));
            prop_assert_eq!(row.expires_at, out.expires_at.filter(|until| *until > from));
            prop_assert_eq!(&row.tags, &out.tags);
            prop_assert_eq!(&row.hops, &out.hops);
            prop_assert_eq!(row.comment.as_deref(), out.comment.as_deref());
            let v21 = version == Version::V21;
            prop_assert_eq!(row.retracted, !v21);
            let confidence = out.confidence.map_or(i64::from(out.reputation.get()) * 10, i64::from);
            prop_assert_eq!(row.confidence, v21.then_some(confidence));
            let tlp = if !v21 && out.tlp == Tlp::AmberStrict { Tlp::Red } else { out.tlp };
            prop_assert_eq!(row.tlp, Some(tlp));
            prop_assert_eq!(row.remote_id.clone(), Some(id_in(version, MARK, &out.key)));
        }
    }

    /// Whatever bytes come, the reader answers.
    #[test]
    fn any_body_is_survived(body in proptest::collection::vec(prop::sample::select(vec![
        "{", "}", "[", "]", ",", ":", "\"type\"", "\"indicator\"", "\"objects\"", "\"id\"", "\"a--b\"", "\"pattern\"",
        "\"[url:value = 'a']\"", "null", "1", "\"bundle\"", "\"\\ud800\"", " ", "é",
    ]), 0..40)) {
        let _ = hear(body.concat());
    }
}
