//! Lengths of time as people write them.

use serde::{Deserialize, Deserializer, de};
use std::time::Duration;

/// Reads `90s`, `60m`, `12h`, `14d`, `2w`, or a bare number of seconds. None if it is not one, or beyond 100 years.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim() {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    number.checked_mul(unit).filter(|secs| *secs <= 36_525 * 86_400).map(Duration::from_secs)
}

pub(super) fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong = || de::Error::custom(format!("{text:?} is no length of time; expected e.g. \"90s\", \"60m\", \"14d\""));
    parse_duration(&text).map(Some).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, secs) in [
            ("90s", Some(90)),
            ("60m", Some(3600)),
            ("1h", Some(3600)),
            ("14d", Some(14 * 86_400)),
            ("2w", Some(14 * 86_400)),
            ("5", Some(5)),
            (" 5 m ", Some(300)),
            ("", None),
            ("m", None),
            ("-5s", None),
            ("5y", None),
            ("1.5h", None),
            ("99999999999999999999d", None),
            ("99999999999d", None),
        ] {
            assert_eq!(parse_duration(text).map(|d| d.as_secs()), secs, "{text:?}");
        }
    }
}
