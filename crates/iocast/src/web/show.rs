//! How things are written on pages. Templates only place what is made here; they escape every text of it but
//! [`Markup`], which is made of constants and numbers alone.

use intel::Timestamp;
use std::fmt::{self, Display, Formatter};

/// HTML of our own making, placed as it is. Nothing that anybody said may become part of one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Markup(String);

impl Markup {
    /// Of constants and numbers, or texts that went through [`escaped`].
    pub(crate) fn new(html: String) -> Markup {
        Markup(html)
    }
}

impl Display for Markup {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl askama::filters::HtmlSafe for Markup {}

/// A text as it stands in an element or an attribute.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// The paths of all icons, by name (Lucide).
const ICONS: &str = include_str!("../../assets/vendor/lucide-1.62.0.txt");

/// An icon. It says nothing to those who do not see it: words stand beside it.
pub(crate) fn icon(name: &str) -> Markup {
    let paths = ICONS.lines().find_map(|line| line.split_once('|').filter(|(n, _)| *n == name)).map_or("", |(_, p)| p);
    Markup(format!(
        "<svg class=\"icon\" viewBox=\"0 0 24 24\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"2\" \
         stroke-linecap=\"round\" stroke-linejoin=\"round\" aria-hidden=\"true\">{paths}</svg>"
    ))
}

/// The tone of a state of a ledger's line.
pub(crate) fn tone_of_line(state: &str) -> &'static str {
    match state {
        "present" => "ok",
        "refused" => "bad",
        "pending" | "retracting" => "cold",
        "unknown" => "warn",
        _ => "calm",
    }
}

/// A count with its thousands apart: `12,345`.
pub(crate) fn n(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count in four places: `9,999`, `48.2k`, `1.4M`.
pub(crate) fn short(count: u64) -> String {
    match count {
        0..=9_999 => n(count),
        10_000..=999_949 => format!("{:.1}k", count as f64 / 1e3),
        999_950..=999_949_999 => format!("{:.1}M", count as f64 / 1e6),
        _ => format!("{:.1}G", count as f64 / 1e9),
    }
}

/// `1 plan`, `2 plans`.
pub(crate) fn counted(count: u64, one: &str) -> String {
    format!("{} {one}{}", n(count), if count == 1 { "" } else { "s" })
}

/// A moment: exactly, and from now.
#[derive(Debug, Clone, Default)]
pub(crate) struct When {
    /// RFC 3339.
    pub(crate) exact: String,
    /// `2026-11-24 19:30:12 UTC`.
    pub(crate) full: String,
    /// `3 min ago`.
    pub(crate) ago: String,
}

impl When {
    /// Of a moment as the exchange writes it. None where it is none.
    pub(crate) fn of(text: &str, now: Timestamp) -> Option<When> {
        Timestamp::parse(text).map(|at| When::at(at, now))
    }

    /// The same where there may be none.
    pub(crate) fn maybe(text: Option<&str>, now: Timestamp) -> Option<When> {
        text.and_then(|text| When::of(text, now))
    }

    /// Of a moment.
    pub(crate) fn at(at: Timestamp, now: Timestamp) -> When {
        let exact = at.to_string();
        let full = format!("{} {} UTC", exact.get(..10).unwrap_or_default(), exact.get(11..19).unwrap_or_default());
        let micros = now.micros().saturating_sub(at.micros());
        let secs = micros.unsigned_abs() / 1_000_000;
        let (count, unit) = match secs {
            0..60 => (secs, "s"),
            60..3_600 => (secs / 60, "min"),
            3_600..86_400 => (secs / 3_600, "h"),
            86_400..5_184_000 => (secs / 86_400, "d"),
            _ => (secs / 2_628_000, "mo"),
        };
        let ago = match (secs, micros >= 0) {
            (0..5, _) => "now".to_owned(),
            (63_072_000.., true) => format!("{} y ago", secs / 31_536_000),
            (63_072_000.., false) => format!("in {} y", secs / 31_536_000),
            (_, true) => format!("{count} {unit} ago"),
            (_, false) => format!("in {count} {unit}"),
        };
        When { exact, full, ago }
    }

    /// Its day.
    pub(crate) fn day(&self) -> &str {
        self.full.get(..10).unwrap_or_default()
    }
}

/// A value as nobody can click on it: `hxxp://bad[.]example`. Reading it gives the value again.
pub(crate) fn defanged(kind: &str, value: &str) -> String {
    let dotted = |text: &str| text.replace('.', "[.]");
    match kind {
        "url" => {
            let (scheme, rest) = value.split_once("://").unwrap_or(("", value));
            let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let (host, path) = rest.split_at(at);
            let scheme = match scheme {
                "http" => "hxxp://".to_owned(),
                "https" => "hxxps://".to_owned(),
                "ftp" => "fxp://".to_owned(),
                "" => String::new(),
                other => format!("{other}[://]"),
            };
            format!("{scheme}{}{path}", dotted(host))
        }
        "domain" | "hostname" | "ipv4" | "ipv4_net" | "cidr" | "ipv4_cidr" => dotted(value),
        "ipv6" => value.replacen(':', "[:]", 1),
        "email" => dotted(&value.replace('@', "[@]")),
        _ => value.to_owned(),
    }
}

/// A part of an address.
pub(crate) fn part(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// A query of an address: pairs, without the empty ones.
pub(crate) fn query(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = pairs
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| format!("{key}={}", part(value)))
        .collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

/// A bar: how much of a whole, in percent, and how it is (`ok`, `warn`, `bad`, `calm`).
pub(crate) fn bar(percent: f64, tone: &str) -> Markup {
    let tone = match tone {
        "ok" | "warn" | "bad" => tone,
        _ => "calm",
    };
    let width = percent.clamp(0.0, 100.0);
    // A little of something is not nothing.
    let width = if width > 0.0 { width.max(1.5) } else { 0.0 };
    Markup(format!(
        "<svg class=\"bar {tone}\" viewBox=\"0 0 100 6\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
         <rect class=\"rest\" width=\"100\" height=\"6\" rx=\"0\"/><rect class=\"part\" width=\"{width:.1}\" height=\"6\"/></svg>"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_times_and_values_as_people_read_them() {
        for (count, long, brief) in
            [(0, "0", "0"), (999, "999", "999"), (12_345, "12,345", "12.3k"), (10_000_000, "10,000,000", "10.0M")]
        {
            assert_eq!((n(count).as_str(), short(count).as_str()), (long, brief));
        }
        let now = Timestamp::parse("2026-06-01T12:00:00Z").unwrap();
        for (at, expect) in [
            ("2026-06-01T11:59:58Z", "now"),
            ("2026-06-01T11:59:20Z", "40 s ago"),
            ("2026-06-01T11:00:00Z", "1 h ago"),
            ("2026-06-03T12:00:00Z", "in 2 d"),
            ("2020-06-01T12:00:00Z", "6 y ago"),
        ] {
            assert_eq!(When::of(at, now).unwrap().ago, expect);
        }
        for (kind, value, expect) in [
            ("url", "http://bad.example/a.b?c=d.e", "hxxp://bad[.]example/a.b?c=d.e"),
            ("domain", "bad.example", "bad[.]example"),
            ("ipv4", "192.0.2.1", "192[.]0[.]2[.]1"),
            ("sha256", "00ff", "00ff"),
        ] {
            assert_eq!(defanged(kind, value), expect);
        }
    }

    #[test]
    fn every_icon_that_a_template_names_is_there() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
        let mut seen = 0;
        for file in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|p| p.is_file()) {
            let text = std::fs::read_to_string(&file).unwrap();
            assert!(!text.contains("|safe") && !text.contains("| safe"), "{}: texts are escaped", file.display());
            assert!(!text.contains("style=") && !text.contains("onclick"), "{}: the policy forbids it", file.display());
            for name in text.split("icon(\"").skip(1).filter_map(|rest| rest.split('"').next()) {
                seen += 1;
                assert!(icon(name).to_string().contains("><"), "{}: {name}", file.display());
            }
        }
        assert!(seen > 10);
    }
}
