//! Prints a list as a MISP event, with an entry of every kind: for a judge that is not ours, such as PyMISP.

use intel::{IndicatorKey, IndicatorKind, Rejection, Timestamp, Tlp};
use kit::Outgoing;
use kit::render::{ListFormat, ListStyle};

const SHA256: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn value(kind: IndicatorKind) -> String {
    match kind {
        IndicatorKind::Url => "http://login.example.com/verify?id=1&x=\"2\"".into(),
        IndicatorKind::Domain => "login.example.com".into(),
        IndicatorKind::Ipv4 => "192.0.2.1".into(),
        IndicatorKind::Ipv6 => "2001:db8::1".into(),
        IndicatorKind::Ipv4Net => "198.51.100.0/24".into(),
        IndicatorKind::Ipv6Net => "2001:db8:1::/48".into(),
        IndicatorKind::Email => "who@example.com".into(),
        IndicatorKind::Md5 | IndicatorKind::Ja3 => SHA256[..32].into(),
        IndicatorKind::Sha1 | IndicatorKind::CertSha1 => SHA256[..40].into(),
        IndicatorKind::Sha256 | IndicatorKind::CertSha256 => SHA256.into(),
        IndicatorKind::Sha512 => SHA256.repeat(2),
        IndicatorKind::Ja4 => "t13d1516h2_8daaf6152771_b186095e22b6".into(),
        IndicatorKind::Asn => "AS64496".into(),
        IndicatorKind::Filename => "invoice \u{e9}.exe".into(),
        IndicatorKind::Mutex => "Global\\example".into(),
        IndicatorKind::UserAgent => "Mozilla/4.0 (example)".into(),
    }
}

fn entry(kind: IndicatorKind) -> Result<Outgoing, Rejection> {
    let modified = Timestamp::from_secs(1_767_225_600 + i64::from(kind as u8));
    Ok(Outgoing {
        tlp: Tlp::ALL[usize::from(kind as u8) % Tlp::ALL.len()],
        tags: vec!["C2".into(), "malware=\"example\"".into()],
        hops: vec!["iocast-0000000000000000000000000000000a".into()],
        first_seen: Timestamp::parse("2025-12-01T00:00:00Z"),
        last_seen: Timestamp::parse("2025-12-31T12:30:00.25Z"),
        comment: Some("Seen in a \"campaign\"".into()),
        ..Outgoing::bare(IndicatorKey::parse(Some(kind), &value(kind))?, modified)
    })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let all: Vec<Outgoing> = IndicatorKind::ALL.iter().map(|kind| entry(*kind)).collect::<Result<_, _>>()?;
    let style = ListStyle {
        format: ListFormat::Misp,
        name: "edge".into(),
        mark: "iocast-0000000000000000000000000000000a".into(),
        ..ListStyle::default()
    };
    style.write(&mut all.into_iter(), &mut std::io::stdout().lock())?;
    Ok(())
}
