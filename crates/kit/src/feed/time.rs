//! Reads the dates feeds write. A date that cannot be read is left out, never guessed.

use intel::Timestamp;

/// How a feed writes its times.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum TimeFormat {
    /// RFC 3339, `2026-01-31 10:00:00` with or without zone, a bare date, or a whole number of seconds or milliseconds.
    #[default]
    Auto,
    /// Seconds since 1970, with or without a fraction.
    Epoch,
    /// Milliseconds since 1970.
    EpochMillis,
    /// A pattern of strftime; without a zone in it, UTC.
    Pattern(String),
}

impl TimeFormat {
    /// Reads the setting.
    pub(super) fn from_setting(text: &str) -> Result<TimeFormat, String> {
        match text {
            "" | "auto" | "rfc3339" => Ok(TimeFormat::Auto),
            "epoch" => Ok(TimeFormat::Epoch),
            "epoch_ms" => Ok(TimeFormat::EpochMillis),
            pattern if pattern.contains('%') => {
                use chrono::format::{Item, StrftimeItems};
                if StrftimeItems::new(pattern).any(|item| item == Item::Error) {
                    return Err(format!("time_format: `{pattern}` has an unknown % sequence"));
                }
                Ok(TimeFormat::Pattern(pattern.to_owned()))
            }
            other => Err(format!(
                "time_format: expected auto, epoch, epoch_ms or a pattern such as %d/%m/%Y, found `{other}`"
            )),
        }
    }

    /// The time, or None where the text is none in this format.
    pub(super) fn read(&self, text: &str) -> Option<Timestamp> {
        let text = text.trim();
        match self {
            TimeFormat::Auto => fixed(text).or_else(|| number(text)).or_else(|| Timestamp::parse(text)),
            TimeFormat::Epoch => {
                let secs: f64 = text.parse().ok()?;
                (secs.abs() < 1e12).then(|| Timestamp::from_micros((secs * 1e6) as i64))
            }
            TimeFormat::EpochMillis => {
                text.parse::<i64>().ok().map(|ms| Timestamp::from_micros(ms.saturating_mul(1000)))
            }
            TimeFormat::Pattern(pattern) => {
                if let Ok(time) = chrono::DateTime::parse_from_str(text, pattern) {
                    return Some(Timestamp::from_micros(time.timestamp_micros()));
                }
                let time = chrono::NaiveDateTime::parse_from_str(text, pattern).ok().or_else(|| {
                    chrono::NaiveDate::parse_from_str(text, pattern).ok().and_then(|date| date.and_hms_opt(0, 0, 0))
                })?;
                Some(Timestamp::from_micros(time.and_utc().timestamp_micros()))
            }
        }
    }
}

/// Words that stand for "no date".
pub(super) fn is_none(text: &str) -> bool {
    matches!(text, "" | "-" | "0" | "None" | "none" | "null" | "NULL" | "N/A" | "n/a" | "never" | "0000-00-00 00:00:00")
}

/// `YYYY-MM-DD`, `YYYY-MM-DD HH:MM:SS`, with `T` or blank, and `Z` or ` UTC` or nothing: almost all dates there are, read
/// without the general parser.
pub(crate) fn fixed(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let digits = |range: std::ops::Range<usize>| -> Option<i64> {
        let mut n = 0;
        for byte in &bytes[range] {
            n = n * 10 + i64::from(byte.is_ascii_digit().then(|| byte - b'0')?);
        }
        Some(n)
    };
    if bytes.len() < 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let (year, month, day) = (digits(0..4)?, digits(5..7)?, digits(8..10)?);
    let secs = match bytes.len() {
        10 => 0,
        n if n >= 19 && matches!(bytes[10], b' ' | b'T') && bytes[13] == b':' && bytes[16] == b':' => {
            if !matches!(&bytes[19..], b"" | b"Z" | b" UTC") {
                return None;
            }
            let (hour, minute, second) = (digits(11..13)?, digits(14..16)?, digits(17..19)?);
            if hour > 23 || minute > 59 || second > 59 {
                return None;
            }
            hour * 3600 + minute * 60 + second
        }
        _ => return None,
    };
    let date = chrono::NaiveDate::from_ymd_opt(year as i32, month as u32, day as u32)?;
    let days = date.signed_duration_since(chrono::NaiveDate::default()).num_days();
    Some(Timestamp::from_secs(days * 86_400 + secs))
}

/// A whole number: seconds, or milliseconds where seconds would lie beyond the year 5000.
fn number(text: &str) -> Option<Timestamp> {
    if !(9..=13).contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let n: i64 = text.parse().ok()?;
    Some(if n > 95_000_000_000 { Timestamp::from_micros(n * 1000) } else { Timestamp::from_secs(n) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_as_feeds_write_them() {
        for (format, text, expect) in [
            ("auto", "2026-01-31", "2026-01-31T00:00:00Z"),
            ("auto", "2026-01-31 10:11:12", "2026-01-31T10:11:12Z"),
            ("auto", " 2026-01-31T10:11:12Z ", "2026-01-31T10:11:12Z"),
            ("auto", "2026-01-31 10:11:12 UTC", "2026-01-31T10:11:12Z"),
            ("auto", "2026-01-31T10:11:12.5+01:00", "2026-01-31T09:11:12.500000Z"),
            ("auto", "1769854272", "2026-01-31T10:11:12Z"),
            ("auto", "1769854272000", "2026-01-31T10:11:12Z"),
            ("epoch", "1769854272.0", "2026-01-31T10:11:12Z"),
            ("epoch_ms", "1769854272000", "2026-01-31T10:11:12Z"),
            ("%m/%d/%Y", "1/31/2026", "2026-01-31T00:00:00Z"),
            ("%d.%m.%Y %H:%M", "31.01.2026 10:11", "2026-01-31T10:11:00Z"),
            ("%Y-%m-%dT%H:%M:%S%z", "2026-01-31T10:11:12+0100", "2026-01-31T09:11:12Z"),
        ] {
            let read = TimeFormat::from_setting(format).unwrap().read(text);
            assert_eq!(read.map(|t| t.to_string()).as_deref(), Some(expect), "{format} {text}");
        }
        for (format, text) in [
            ("auto", "2026-13-31"),
            ("auto", "2026-01-31 25:00:00"),
            ("auto", "yesterday"),
            ("auto", "12345"),
            ("auto", "2026-1é-01"),
            ("epoch", "1e300"),
            ("%m/%d/%Y", "31/1/2026"),
        ] {
            assert_eq!(TimeFormat::from_setting(format).unwrap().read(text), None, "{format} {text}");
        }
        assert!(TimeFormat::from_setting("%Q").is_err());
        assert!(TimeFormat::from_setting("iso").is_err());
    }
}
