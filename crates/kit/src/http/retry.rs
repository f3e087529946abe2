//! When to try again: `Retry-After` and back-off.

use intel::Timestamp;
use std::time::Duration;

/// No server makes us wait longer.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Reads a `Retry-After` header: seconds, or a date in any of the three forms of HTTP. At most 24 hours; a date that
/// has passed means at once. None if it is neither.
pub fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit are still a number of seconds, and a large one.
        return Some(text.parse().map_or(LONGEST, Duration::from_secs).min(LONGEST));
    }
    http_date(text).map(|then| then.since(now).min(LONGEST))
}

/// The wait before attempt `attempt + 1`: doubling from 500 ms to at most 30 s, of which the half is jitter.
pub(super) fn backoff(attempt: u32, roll: u64) -> Duration {
    let whole = Duration::from_millis(500).saturating_mul(1 << attempt.min(10)).min(Duration::from_secs(30));
    let half = whole / 2;
    half + half.mul_f64(roll as f64 / u64::MAX as f64)
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT`, `Sun Nov  6 08:49:37 1994`.
pub(crate) fn http_date(text: &str) -> Option<Timestamp> {
    let words: Vec<&str> = text.split([' ', ',', '-']).filter(|word| !word.is_empty()).collect();
    let (day, month, year, clock) = match words[..] {
        [_, day, month, year, clock, "GMT"] => (day, month, year, clock),
        [_, month, day, clock, year] => (day, month, year, clock),
        _ => return None,
    };
    let number = |text: &str, max: i64| -> Option<i64> {
        let digits = !text.is_empty() && text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit());
        text.parse().ok().filter(|n| digits && *n <= max)
    };
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = MONTHS.iter().position(|name| *name == month)? as i64 + 1;
    let day = number(day, 31).filter(|day| *day >= 1)?;
    let year = match (number(year, 9_999)?, year.len()) {
        (year, 2) => year + if year < 70 { 2_000 } else { 1_900 },
        (year, _) => year,
    };
    let mut clock = clock.split(':');
    let (h, m, s) = (number(clock.next()?, 23)?, number(clock.next()?, 59)?, number(clock.next()?, 60)?);
    if clock.next().is_some() {
        return None;
    }
    // Days since 1970 of a date in the Gregorian calendar, counting years from March.
    let (y, shifted) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let era = y.div_euclid(400);
    let of_era = y.rem_euclid(400);
    let of_year = (153 * shifted + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some(Timestamp::from_secs(days * 86_400 + h * 3_600 + m * 60 + s))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_http() {
        for (text, secs) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777)),
            ("Sun Nov  6 08:49:37 1994", Some(784_111_777)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Thu, 29 Feb 2024 12:00:00 GMT", Some(1_709_208_000)),
            ("Sat, 29 Feb 2025", None),
            ("tomorrow", None),
            ("", None),
            ("Sun, 06 Nov 1994 25:49:37 GMT", None),
            ("Sun, +6 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:49:37:11 GMT", None),
        ] {
            assert_eq!(http_date(text).map(Timestamp::secs), secs, "{text:?}");
        }
    }

    #[test]
    fn retry_after_forms() {
        let now = Timestamp::from_secs(784_111_777);
        for (text, secs) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("86400", Some(86_400)),
            ("86401", Some(86_400)),
            ("99999999999999999999999", Some(86_400)),
            ("-1", None),
            ("1.5", None),
            ("+5", None),
            ("soon", None),
            ("", None),
            ("Sun, 06 Nov 1994 08:51:37 GMT", Some(120)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("Sun, 06 Nov 2094 08:51:37 GMT", Some(86_400)),
        ] {
            assert_eq!(retry_after(text, now).map(|d| d.as_secs()), secs, "{text:?}");
        }
    }

    #[test]
    fn backoff_doubles_with_jitter() {
        for attempt in 0..40 {
            let (least, most) = (backoff(attempt, 0), backoff(attempt, u64::MAX));
            assert_eq!(least * 2, most);
            assert!(most <= Duration::from_secs(30));
        }
        assert_eq!(backoff(0, u64::MAX), Duration::from_millis(500));
        assert_eq!(backoff(2, u64::MAX), Duration::from_secs(2));
    }
}
