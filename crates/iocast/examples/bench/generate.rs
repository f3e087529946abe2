//! The synthetic world: the same for the same scale, on every machine.
//!
//! Eight sources say 1.44 records for each indicator: three in ten indicators are known to more than one of them.
//! Values are 41 bytes long in the mean: addresses, domains, URLs, hashes. A row costs nothing to make again, so nothing
//! is kept but the feeds written to disk.

use intel::{ConnectionId, Facts, IndicatorKind, Reputation, Severity, Timestamp, Tlp};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

/// Sources there are.
pub(crate) const SOURCES: u32 = 8;
/// The day the rows speak of: 2026-09-21.
pub(crate) const TODAY: i64 = 1_790_000_000;
const DAY: i64 = 86_400;

/// A number that follows from `n` and `salt` alone (splitmix64).
pub(crate) fn mix(n: u64, salt: u64) -> u64 {
    let mut z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(salt.wrapping_mul(0xd1b5_4a32_d192_ed03));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Which sources have a record of an indicator, as bits.
pub(crate) fn sources_of(n: u32) -> u32 {
    let dice = mix(u64::from(n), 1);
    let more = match dice % 100 {
        0..70 => 0,
        70..89 => 1,
        89..97 => 2,
        _ => 3,
    };
    let first = (dice >> 32) as u32 % SOURCES;
    // Steps of three visit all of eight.
    (0..=more).fold(0, |bits, step| bits | 1 << ((first + step * 3) % SOURCES))
}

/// Writes the canonical value of an indicator over `out`.
pub(crate) fn value(n: u32, out: &mut String) -> IndicatorKind {
    out.clear();
    let (a, b) = (mix(u64::from(n), 2), mix(u64::from(n), 3));
    let tld = ["com", "net", "ru", "top", "xyz", "info"][(b % 6) as usize];
    // An odd factor and a mask keep addresses apart; between 16.0.0.0 and 80.0.0.0 all are public.
    let _ = match a % 20 {
        0..4 => {
            let address = 0x1000_0000 + (n.wrapping_mul(0x9e37_79b1) & 0x3fff_ffff);
            let [w, x, y, z] = address.to_be_bytes();
            write!(out, "{w}.{x}.{y}.{z}")
        }
        4..9 => write!(out, "{:x}{n:x}.hosting{}.{tld}", b >> 32, a >> 60),
        9..15 => write!(
            out,
            "https://www{}.{n:x}-{:x}.{tld}/content/{:x}/index.php?id={}",
            a >> 60,
            b >> 32,
            a >> 24,
            b >> 52
        ),
        15..18 => write!(out, "{a:016x}{b:016x}"),
        _ => write!(out, "{a:016x}{b:016x}{:016x}{:016x}", mix(a, 5), mix(b, 6)),
    };
    match a % 20 {
        0..4 => IndicatorKind::Ipv4,
        4..9 => IndicatorKind::Domain,
        9..15 => IndicatorKind::Url,
        15..18 => IndicatorKind::Md5,
        _ => IndicatorKind::Sha256,
    }
}

/// What one source says about one indicator; `round` says it otherwise.
pub(crate) struct Said {
    pub(crate) reputation: Option<u8>,
    pub(crate) severity: Severity,
    pub(crate) tags: [Option<u8>; 2],
    pub(crate) first_seen: i64,
    pub(crate) last_seen: i64,
    pub(crate) comment: Option<u16>,
}

/// Tags there are.
pub(crate) const TAGS: u8 = 200;

impl Said {
    pub(crate) fn of(n: u32, source: u32, round: u32) -> Said {
        let dice = mix(u64::from(n) << 8 | u64::from(source), 7 + u64::from(round));
        // What never changes between rounds, so that a change is a change of the source's mind.
        let still = mix(u64::from(n) << 8 | u64::from(source), 8);
        let tag = |bits: u64| (((bits as u8).trailing_zeros() as u8 * 25) + (bits >> 8) as u8 % 25) % TAGS;
        let last_seen = TODAY - (still % (60 * DAY as u64)) as i64;
        Said {
            reputation: (!dice.is_multiple_of(4)).then_some((dice >> 8) as u8 % 10 + 1),
            severity: Severity::ALL[(still >> 20) as usize % 5],
            tags: [(still >> 24 & 1 == 0).then(|| tag(still >> 32)), (still >> 25 & 3 == 0).then(|| tag(still >> 48))],
            first_seen: last_seen - (still >> 16) as i64 % (100 * DAY),
            last_seen,
            comment: (still >> 28).is_multiple_of(3).then_some((still >> 40) as u16 % 5000),
        }
    }

    /// As the index takes it.
    pub(crate) fn facts(&self, connection: ConnectionId) -> Facts {
        Facts {
            connection,
            reputation: self.reputation.and_then(Reputation::new),
            confidence: None,
            severity: self.severity,
            tlp: None::<Tlp>,
            first_seen: Some(Timestamp::from_secs(self.first_seen)),
            last_seen: Some(Timestamp::from_secs(self.last_seen)),
            valid_from: None,
            expires_at: None,
            received: Timestamp::from_secs(TODAY),
            retracted: false,
            listed: true,
            echo: false,
            internal_hits: 0,
            external_hits: 0,
        }
    }
}

/// The name of a tag.
pub(crate) fn tag_name(tag: u8) -> String {
    format!("family-{tag}")
}

/// The words of a comment.
pub(crate) fn comment_text(comment: u16) -> String {
    format!("reported by analyst {comment} in a campaign against many")
}

/// What a feed looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// A value a line.
    Text,
    /// A table: value, reputation, severity, tags, times, comment.
    Csv,
}

impl Style {
    /// The settings that read it.
    pub(crate) fn settings(self, path: &Path) -> serde_json::Value {
        let url = path.to_string_lossy();
        match self {
            Style::Text => serde_json::json!({ "url": url, "format": "text", "kind": "auto" }),
            Style::Csv => serde_json::json!({
                "url": url, "format": "csv", "header": "first", "value": "value", "kind": "auto",
                "reputation_column": "reputation", "severity_column": "severity", "tags_columns": ["tags"],
                "tags_separator": "|", "first_seen_column": "first_seen", "last_seen_column": "last_seen",
                "comment_column": "comment", "time_format": "epoch",
            }),
        }
    }
}

/// Which rows a feed has.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rows {
    /// Every indicator, by one source.
    All,
    /// What this source says of the world.
    Of(u32),
    /// Only indicators of one kind.
    Kind(IndicatorKind),
}

/// Writes a feed over the indicators below `n`. One indicator in `changed` is said otherwise than at first; 0: none.
/// Gives rows and bytes.
pub(crate) fn write_feed(path: &Path, n: u32, rows: Rows, style: Style, changed: u32) -> io::Result<(u64, u64)> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let (mut text, mut line) = (String::new(), String::new());
    let mut count = 0;
    if style == Style::Csv {
        out.write_all(b"value,reputation,severity,tags,first_seen,last_seen,comment\n")?;
    }
    for at in 0..n {
        let source = match rows {
            Rows::Of(source) if sources_of(at) >> source & 1 == 0 => continue,
            Rows::Of(source) => source,
            _ => 0,
        };
        let kind = value(at, &mut text);
        if matches!(rows, Rows::Kind(wanted) if wanted != kind) {
            continue;
        }
        line.clear();
        line.push_str(&text);
        if style == Style::Csv {
            let round = u32::from(changed > 0 && mix(u64::from(at), 9).is_multiple_of(u64::from(changed.max(1))));
            let said = Said::of(at, source, round);
            let reputation = said.reputation.map(|r| r.to_string()).unwrap_or_default();
            let tags: Vec<String> = said.tags.iter().flatten().map(|tag| tag_name(*tag)).collect();
            let (tags, comment) = (tags.join("|"), said.comment.map(comment_text).unwrap_or_default());
            let severity = if said.severity == Severity::Unknown { "" } else { said.severity.as_str() };
            let _ = write!(line, ",{reputation},{severity},{tags},{},{},{comment}", said.first_seen, said.last_seen);
        }
        line.push('\n');
        out.write_all(line.as_bytes())?;
        count += 1;
    }
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    Ok((count, path.metadata()?.len()))
}
