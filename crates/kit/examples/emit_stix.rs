//! A STIX bundle with an indicator of every kind, once with everything that can be said and once with nothing, for
//! validators of others to judge: `cargo run -p kit --example emit_stix [2.1|2.0]`. 2.1 is written as a served list is.

#![allow(clippy::print_stdout, reason = "this is its output")]

use intel::{IndicatorKey, IndicatorKind, Reputation, Severity, Timestamp, Tlp};
use kit::Outgoing;
use kit::render::{ListFormat, ListStyle};
use kit::stix::{self, Version};
use serde_json::json;
use std::io::Write;
use std::time::Duration;

const MARK: &str = "iocast-00112233445566778899aabbccddeeff";

/// Values that are awkward where they may be.
const VALUES: [(IndicatorKind, &str); 22] = [
    (IndicatorKind::Url, "https://a.example/it's/a?b=c\\d&e=%27"),
    (IndicatorKind::Domain, "xn--bcher-kva.example"),
    (IndicatorKind::Domain, "_dmarc.a.example"),
    (IndicatorKind::Ipv4, "192.0.2.1"),
    (IndicatorKind::Ipv6, "2001:db8::1"),
    (IndicatorKind::Ipv4Net, "198.51.100.0/24"),
    (IndicatorKind::Ipv6Net, "2001:db8::/32"),
    (IndicatorKind::Email, "o'neil@a.example"),
    (IndicatorKind::Md5, "900150983cd24fb0d6963f7d28e17f72"),
    (IndicatorKind::Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
    (IndicatorKind::Sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
        IndicatorKind::Sha512,
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
         2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
    ),
    (IndicatorKind::Ja3, "e7d705a3286e19ea42f587b344ee6865"),
    (IndicatorKind::Ja4, "t13d1516h2_8daaf6152771_b186095e22b6"),
    (IndicatorKind::Asn, "AS64496"),
    (IndicatorKind::Filename, "it's \"a\" \u{e9}\u{1f600}.exe"),
    (IndicatorKind::Filename, "C:\\Users\\x\\"),
    (IndicatorKind::CertSha1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
    (IndicatorKind::CertSha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (IndicatorKind::Mutex, "Global\\{0-1} 'x'"),
    (IndicatorKind::UserAgent, "Mozilla/5.0 (it's; \\o/)"),
    (IndicatorKind::Mutex, "ends with a backslash \\"),
];

fn all() -> Vec<Outgoing> {
    let now = Timestamp::from_micros(1_790_000_000_123_456);
    let mut out = Vec::new();
    for (n, (kind, value)) in VALUES.iter().enumerate() {
        let bare = Outgoing::bare(IndicatorKey::from_stored(*kind, *value), now);
        let mut full = bare.clone();
        // Another key of the same kind, so that no id stands twice.
        full.key = IndicatorKey::from_stored(*kind, if *kind == IndicatorKind::Asn { "AS64497" } else { value });
        full.reputation = Reputation::clamped(n as i64);
        full.severity = Severity::High;
        full.confidence = Some((n * 5).min(100) as u8);
        full.tlp = Tlp::ALL[n % Tlp::ALL.len()];
        full.tags = vec!["phishing".into(), "misp-galaxy:threat-actor=\"APT 1\"".into(), "iocast:hop=x".into()];
        full.sources = vec!["a".into()];
        full.first_seen = Some(now.before(Duration::from_secs(86_400)));
        full.last_seen = Some(now);
        full.expires_at = Some(now.after(Duration::from_micros(90 * 86_400_000_000 + 1)));
        full.comment = Some("Said by \"somebody\": it's bad.\nTwice.".into());
        full.modified = now.after(Duration::from_millis(1));
        full.hops = vec!["iocast-ffeeddccbbaa99887766554433221100".into(), MARK.into()];
        out.push(full);
        // The same again with nothing said, where a value can be told from the first.
        let other = match kind {
            IndicatorKind::Filename | IndicatorKind::Mutex | IndicatorKind::UserAgent => format!("{value} 2"),
            IndicatorKind::Domain => format!("b.{value}"),
            IndicatorKind::Url => format!("{value}&f"),
            IndicatorKind::Email => format!("b{value}"),
            _ => continue,
        };
        out.push(Outgoing { key: IndicatorKey::from_stored(*kind, other), ..bare });
    }
    for value in ["203.0.113.1", "203.0.113.2"] {
        let mut one = Outgoing::bare(IndicatorKey::from_stored(IndicatorKind::Ipv4, value), now);
        // An end before the beginning cannot be written.
        one.expires_at = Some(now.before(Duration::from_secs(1)));
        out.push(one);
    }
    out
}

fn main() -> std::io::Result<()> {
    let all = all();
    let mut out = std::io::stdout().lock();
    if std::env::args().nth(1).as_deref() != Some("2.0") {
        let style = ListStyle {
            format: ListFormat::Stix,
            name: "every kind".into(),
            mark: MARK.into(),
            ..ListStyle::default()
        };
        return style.write(&mut all.into_iter(), &mut out).map(drop);
    }
    let mut objects = vec![stix::identity(MARK, Version::V20)];
    let last = all.len() - 1;
    for (n, one) in all.iter().enumerate() {
        objects.extend(stix::object(one, MARK, Version::V20, n == last));
    }
    let bundle = json!({
        "type": "bundle", "id": stix::bundle_id(Version::V20, MARK, "every kind"), "spec_version": "2.0", "objects": objects,
    });
    serde_json::to_writer(&mut out, &bundle)?;
    out.write_all(b"\n")
}
