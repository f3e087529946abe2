//! How fast a STIX bundle becomes normalised rows, on one core, and in how much memory.

use crate::measure::{Sheet, mb, peak_rss, rounds, rss};
use crate::parsing::Forget;
use crate::world::Fault;
use intel::{IndicatorKey, IndicatorKind, Timestamp};
use kit::Outgoing;
use kit::render::{ListFormat, ListStyle};
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::Path;

/// Indicators in the bundle.
const OBJECTS: u32 = 50_000;
/// The least speed, in bytes a second.
const SPEED: f64 = 100e6;
/// The most memory besides the body, which is on disk.
const MEMORY: u64 = 64 << 20;

fn indicator(n: u32) -> Outgoing {
    let (kind, value) = match n % 5 {
        0 => (IndicatorKind::Url, format!("https://host-{n:x}.example-{}.com/path/{n:x}/a.js?id={n}", n % 997)),
        1 => (IndicatorKind::Domain, format!("host-{n:x}.example-{}.net", n % 997)),
        2 => (IndicatorKind::Ipv4, format!("45.{}.{}.{}", n >> 16, (n >> 8) & 255, n & 255)),
        3 => (IndicatorKind::Sha256, format!("{:064x}", u128::from(n) * 0x9e37_79b9_7f4a_7c15)),
        _ => (IndicatorKind::Md5, format!("{:032x}", u128::from(n) * 0x9e37_79b9_7f4a_7c15)),
    };
    let first = Timestamp::from_micros(1_790_000_000_000_000 + i64::from(n) * 1_001_000);
    let mut one = Outgoing::bare(IndicatorKey::from_stored(kind, value), first);
    one.tags = vec!["phishing".into(), format!("campaign-{}", n % 31), "c2".into()];
    one.comment = Some("Reported by a partner and seen by three sensors since.".into());
    one.expires_at = Some(Timestamp::from_secs(1_800_000_000 + i64::from(n)));
    one.hops = vec!["iocast-00112233445566778899aabbccddeeff".into()];
    one
}

pub(crate) fn run(dir: &Path, sheet: &mut Sheet) -> Result<(), Fault> {
    let path = dir.join("bundle.json");
    let style = ListStyle {
        format: ListFormat::Stix,
        name: "bench".into(),
        mark: "iocast-00112233445566778899aabbccddeeff".into(),
        ..ListStyle::default()
    };
    let written = style.write(&mut (0..OBJECTS).map(indicator), &mut BufWriter::new(File::create(&path)?))?;
    sheet.note(&format!("{} in {} objects, {} each", mb(written.bytes), OBJECTS, written.bytes / u64::from(OBJECTS)));
    let before = rss(None);
    let open = || File::open(&path).map(|file| BufReader::with_capacity(256 << 10, file));
    let (forget, took) = rounds(7, || -> Result<Forget, Fault> {
        let mut forget = Forget::default();
        kit::stix::read(open()?, &mut forget)?;
        Ok(forget)
    });
    let (forget, above) = (forget?, peak_rss(None).saturating_sub(before));
    if (forget.rows, forget.rejected) != (u64::from(OBJECTS), 0) {
        return Err(format!("{} of {OBJECTS} rows taken, {} rejected", forget.rows, forget.rejected).into());
    }
    // What nobody can beat who looks at every byte, and what the same library needs to check that it is JSON.
    let walk = rounds(7, || open().and_then(|mut body| std::io::copy(&mut body, &mut std::io::sink()))).1;
    let text = std::fs::read_to_string(&path)?;
    let checked = rounds(3, || serde_json::from_str::<serde::de::IgnoredAny>(&text)).1;
    let rate = written.bytes as f64 / took.wall * 1e3;
    let got = format!("{:.0} MB/s ({:.0} of CPU)", rate / 1e6, written.bytes as f64 / took.cpu / 1e3);
    let limit = crate::measure::against("checking the JSON", took, checked);
    sheet.put("STIX 2.1 bundle to rows", got, "≥ 100 MB/s", Some(rate >= SPEED), limit);
    sheet.put("memory above the body", mb(above), format!("≤ {}", mb(MEMORY)), Some(above <= MEMORY), String::new());
    sheet.note(&format!("reading the file alone: {:.2} ms", walk.wall));
    let objects = f64::from(OBJECTS) / took.wall * 1e3;
    sheet.note(&format!("{objects:.0} objects/s"));
    Ok(())
}
