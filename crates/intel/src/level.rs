//! The scales indicators are judged on: reputation, severity, TLP.

use std::fmt;

/// How bad an indicator is held to be, 1 to 10. Ten times that on the way out to tools that count to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reputation(u8);

impl Reputation {
    /// What an indicator has when no source says anything.
    pub const DEFAULT: Reputation = Reputation(5);

    /// None outside 1 to 10.
    pub fn new(value: u8) -> Option<Reputation> {
        (1..=10).contains(&value).then_some(Reputation(value))
    }

    /// Clamps any number into 1 to 10.
    pub fn clamped(value: i64) -> Reputation {
        Reputation(value.clamp(1, 10) as u8)
    }

    /// From a confidence of 0 to 100: `clamp(⌈confidence/10⌉, 1, 10)`.
    pub fn from_confidence(confidence: u8) -> Reputation {
        Reputation::clamped(i64::from(confidence.div_ceil(10)))
    }

    /// The number, 1 to 10.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Reputation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! scale {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal $(| $alias:literal)*),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every value, lowest first.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The name used in rules, files and tables.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text),+ }
            }

            /// Reads the name, whatever its case. None if it is not one.
            pub fn parse(text: &str) -> Option<$name> {
                match text.trim().to_ascii_lowercase().as_str() {
                    $($text $(| $alias)* => Some($name::$variant),)+
                    _ => None,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

scale!(
    /// How much harm: `unknown < low < medium < high < critical`.
    Severity {
        /// Nobody said.
        Unknown = "unknown" | "none" | "undefined",
        /// Low.
        Low = "low" | "informational" | "info",
        /// Medium.
        Medium = "medium" | "moderate",
        /// High.
        High = "high",
        /// Critical.
        Critical = "critical" | "very-high",
    }
);

scale!(
    /// Traffic Light Protocol 2.0 markings, the least restrictive first. TLP 1.0's WHITE reads as CLEAR.
    Tlp {
        /// May go anywhere.
        Clear = "clear" | "white" | "tlp:clear" | "tlp:white",
        /// Community.
        Green = "green" | "tlp:green",
        /// Organisation and its clients.
        Amber = "amber" | "tlp:amber",
        /// Organisation only.
        AmberStrict = "amber+strict" | "amber-strict" | "tlp:amber+strict",
        /// Named recipients only: never leaves by a sharing unless its ceiling says so.
        Red = "red" | "tlp:red",
    }
);

impl Tlp {
    /// What a tag says as a marking: `tlp:amber`, and `TLP=amber` or `tlp red` as well. What is not understood is RED. None:
    /// the tag is no marking.
    pub fn of_tag(tag: &str) -> Option<Tlp> {
        let (start, rest) = tag.trim().split_at_checked(3)?;
        let mut rest = rest.chars();
        let is_marking = start.eq_ignore_ascii_case("tlp") && rest.next().is_some_and(|c| !c.is_alphanumeric());
        is_marking.then(|| Tlp::parse(rest.as_str().trim()).unwrap_or(Tlp::Red))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_that_are_markings() {
        for (tag, expect) in [
            ("tlp:clear", Some(Tlp::Clear)),
            ("TLP:White", Some(Tlp::Clear)),
            (" tlp: amber+strict ", Some(Tlp::AmberStrict)),
            ("TLP=Amber", Some(Tlp::Amber)),
            ("tlp_red", Some(Tlp::Red)),
            ("tlp:unclear", Some(Tlp::Red)),
            ("tlp:ex:chr", Some(Tlp::Red)),
            ("tlp:", Some(Tlp::Red)),
            ("tlp\u{ff1a}green", Some(Tlp::Green)),
            ("tlp", None),
            ("tlpfoo", None),
            ("a tlp:red", None),
            ("é", None),
            ("", None),
        ] {
            assert_eq!(Tlp::of_tag(tag), expect, "{tag}");
        }
    }

    #[test]
    fn reputation_from_confidence() {
        for (confidence, expect) in [(0, 1), (1, 1), (10, 1), (11, 2), (50, 5), (99, 10), (100, 10), (255, 10)] {
            assert_eq!(Reputation::from_confidence(confidence).get(), expect, "{confidence}");
        }
        assert_eq!(Reputation::new(0), None);
        assert_eq!(Reputation::new(11), None);
    }

    #[test]
    fn scales_read_what_they_print() {
        for severity in Severity::ALL {
            assert_eq!(Severity::parse(severity.as_str()), Some(*severity));
        }
        for tlp in Tlp::ALL {
            assert_eq!(Tlp::parse(tlp.as_str()), Some(*tlp));
        }
        assert_eq!(Tlp::parse("TLP:WHITE"), Some(Tlp::Clear));
        assert!(Severity::Unknown < Severity::Low && Tlp::Amber < Tlp::Red);
    }
}
