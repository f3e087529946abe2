//! Why a value has no key, in words a program can count and words a person can act on.

use super::IndicatorKind;
use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $text:literal, $sentence:literal;)+) => {
        /// Why a value was not given a key. The list is closed: reports count by it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Reason { $($(#[$doc])* $variant),+ }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Reason] = &[$(Reason::$variant),+];

            /// The stable snake_case name reports count by.
            pub const fn as_str(self) -> &'static str {
                match self { $(Reason::$variant => $text),+ }
            }

            /// What is wrong, as a clause without the value.
            pub const fn sentence(self) -> &'static str {
                match self { $(Reason::$variant => $sentence),+ }
            }
        }
    };
}

reasons! {
    /// Nothing is left once white space, quotes and brackets are gone.
    Empty = "empty", "there is no value";
    /// Longer than [`super::VALUE_BYTES`], or a name longer than DNS allows.
    TooLong = "too_long", "the value is too long";
    /// It would match far more than one hostile thing: a public suffix, a wide network, `*`, `/`, a bare scheme.
    TooBroad = "too_broad", "this would match far too much";
    /// A line break or another control character inside.
    ControlCharacter = "control_character", "there is a control character inside";
    /// More than eight layers of quotes and brackets.
    Nested = "nested", "too many quotes or brackets around it";
    /// A scheme other than http, https and ftp.
    UnsupportedScheme = "unsupported_scheme", "only http, https and ftp addresses are supported";
    /// A path without a scheme, where nothing says that a URL is meant.
    NoScheme = "no_scheme", "a path without a scheme is not guessed to be a URL; state the kind `url`";
    /// Not a URL.
    BadUrl = "bad_url", "not a well-formed URL";
    /// A path without a host.
    NoHost = "no_host", "the URL has no host";
    /// A port outside 0 to 65535.
    BadPort = "bad_port", "the port is not a number from 0 to 65535";
    /// A number as host that is not plain dotted decimal (octal, hexadecimal, short or out of range).
    NumericHost = "numeric_host", "a numeric host must be four plain decimal numbers of 0 to 255";
    /// Not an IP address.
    BadAddress = "bad_address", "not an IP address";
    /// A prefix length that is no number, or longer than the address.
    BadPrefix = "bad_prefix", "the prefix length does not fit the address";
    /// An IP address where a name was expected.
    IsAddress = "is_address", "this is an IP address, not a name";
    /// A character or an empty label that no DNS name has.
    BadName = "bad_name", "not a DNS name";
    /// A name that IDNA does not allow.
    BadIdn = "bad_idn", "not a valid internationalised name";
    /// A label of more than 63 octets.
    LabelTooLong = "label_too_long", "a label of the name is longer than 63 octets";
    /// A name of one label.
    SingleLabel = "single_label", "a name of one label names nothing outside one network";
    /// `*.example.com`: a pattern, not a name.
    Wildcard = "wildcard", "a wildcard is a pattern, not a name";
    /// `example.com:8080`, where no URL was meant.
    HasPort = "has_port", "a name with a port is not widened to the name";
    /// In automatic detection: the last label is no ICANN top-level domain.
    UnknownSuffix = "unknown_suffix", "its suffix is no public top-level domain; state the kind `domain` if a name is meant";
    /// Not hexadecimal of the exact length.
    BadHash = "bad_hash", "not hexadecimal of the exact length";
    /// The hash of nothing, which every empty file has.
    EmptyHash = "empty_hash", "this is the hash of the empty input";
    /// Not a JA4 fingerprint.
    BadFingerprint = "bad_fingerprint", "not a JA4 fingerprint";
    /// Not a mailbox.
    BadEmail = "bad_email", "not a mail address";
    /// Not an autonomous system number.
    BadAsn = "bad_asn", "not an autonomous system number from 1 to 4294967295";
    /// In automatic detection: nothing we know.
    Unrecognised = "unrecognised", "this looks like no kind of indicator";
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Longest sample of a rejected value, in characters.
const SAMPLE_CHARS: usize = 60;

/// A value that has no key, and why. Counted by `reason`, shown by `Display`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// What was wrong.
    pub reason: Reason,
    /// The kind that was asked for, if one was.
    pub hint: Option<IndicatorKind>,
    /// The beginning of the value, at most 60 characters, control characters replaced: fit for a log or a terminal.
    pub sample: Box<str>,
}

impl Rejection {
    /// Rejects `raw`; copies no more of it than the sample.
    pub fn new(reason: Reason, hint: Option<IndicatorKind>, raw: &str) -> Rejection {
        Rejection { reason, hint, sample: sample(raw) }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.hint {
            Some(kind) => write!(f, "no {kind}: {}: \"{}\"", self.reason.sentence(), self.sample),
            None => write!(f, "{}: \"{}\"", self.reason.sentence(), self.sample),
        }
    }
}

impl std::error::Error for Rejection {}

fn sample(raw: &str) -> Box<str> {
    // The common rejected value is short and plain: one copy.
    if raw.len() <= SAMPLE_CHARS && raw.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return raw.into();
    }
    let mut out = String::with_capacity(SAMPLE_CHARS + 4);
    for (n, c) in raw.chars().enumerate() {
        if n == SAMPLE_CHARS {
            out.push('…');
            break;
        }
        out.push(if unprintable(c) { '\u{fffd}' } else { c });
    }
    out.into()
}

/// Control characters, and those that reorder or hide the text around them.
fn unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}
