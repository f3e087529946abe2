//! The tree of an expression: what the parser makes, the printer writes, `eval` and the index answer.
//!
//! It is public and small because two evaluators read it, one indicator at a time here and all of them over columns in
//! the index, and a property test holds them equal. Whatever is subtle about one comparison (which case counts, how an
//! absent field answers) is therefore a method of its node and not written twice.

use crate::expr::contain::Scope;
use crate::expr::pattern::Texts;
use crate::indicator::VerdictKind;
use crate::key::{IndicatorKey, IndicatorKind};
use crate::time::Timestamp;
use std::time::Duration;

/// An expression. Built by [`Expr::parse`]; whoever builds one by hand keeps the invariants named at the variants, or
/// its text reads back as another tree.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// Everything: `all`, or the empty text of a search.
    All,
    /// All of them hold. Two or more.
    And(Vec<Expr>),
    /// Any of them holds. Two or more.
    Or(Vec<Expr>),
    /// Plain negation: true also where the comparison inside is false for want of a field.
    Not(Box<Expr>),
    /// One comparison, of the summary or, inside [`Expr::Record`], of one record.
    Test(Test),
    /// One *active* record meets all of it. Inside are `All`, `And`, `Or`, `Not` and tests of fields for which
    /// [`Field::of_record`] is true. A `malicious` verdict stands as one active record of `manual` that states nothing
    /// but its source, where `manual` has no active record of its own. The tags here are the record's and its
    /// connection's, whatever analysts added to or removed from the indicator.
    Record(Box<Expr>),
    /// The indicator is this domain, address or network, or lies within it. The key is of kind domain, ipv4, ipv6,
    /// ipv4_net or ipv6_net; a domain may be a bare public suffix.
    Under(Scope),
    /// The indicator is this key, or is a network or domain that this key lies within. The key is of kind domain, url,
    /// email, ipv4, ipv6, ipv4_net or ipv6_net.
    Covers(IndicatorKey),
}

/// One comparison. Sets are sorted, without repeats and not empty. `negated` is `!=` or `not in`.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// The kind is one of these.
    Kind {
        /// Which.
        kinds: Vec<IndicatorKind>,
        /// None of these.
        negated: bool,
    },
    /// A field with one text, which may be absent: then false, negated or not.
    Text {
        /// Which field.
        field: TextField,
        /// What is asked of it.
        texts: Texts,
        /// The opposite; only with [`Texts::AnyOf`].
        negated: bool,
    },
    /// A field with many texts: true if any of them meets it; negated: if none does, so also when there are none.
    Names {
        /// Which field.
        field: NamesField,
        /// What is asked of any of them.
        texts: Texts,
        /// None of them; only with [`Texts::AnyOf`].
        negated: bool,
    },
    /// A number compared with one. An absent number is false, under `!=` too.
    Number {
        /// Which field.
        field: NumberField,
        /// How.
        op: CmpOp,
        /// In the unit of the field.
        value: i64,
    },
    /// A number that is one of these. An absent number is false, negated or not.
    NumberIn {
        /// Which field.
        field: NumberField,
        /// Two or more (one is `Number` with `=` or `!=`), in the unit of the field.
        values: Vec<i64>,
        /// None of these.
        negated: bool,
    },
    /// A point in time. An absent one is false, under `!=` too; so an indicator that never expires has no
    /// `expires_at` and is found with `not expires_at is set`.
    Time {
        /// Which field.
        field: TimeField,
        /// How.
        op: CmpOp,
        /// With what.
        when: When,
    },
    /// A yes or no.
    Flag {
        /// Which field.
        field: FlagField,
        /// Which answer is asked for.
        is: bool,
    },
    /// The standing verdict is one of these. No verdict is false, negated or not.
    Verdict {
        /// Which.
        verdicts: Vec<VerdictKind>,
        /// Another one.
        negated: bool,
    },
    /// The field has a value. A severity of unknown is none; an empty many-valued field is none; reputation and tlp of
    /// a summary always have one (the default), of a record only where source or policy state it.
    IsSet(Field),
}

macro_rules! names {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// All of them.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The word in the language.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text),+ }
            }
        }
    };
}

names!(
    /// A field with one text.
    TextField {
        /// The canonical value; never absent. Compared case by case.
        Value = "value",
        /// The leading record's comment, inside `record` its own. Compared without regard to ASCII case.
        Comment = "comment",
    }
);

impl TextField {
    /// Whether ASCII case is ignored, except by `matches`.
    pub const fn ignores_case(self) -> bool {
        matches!(self, TextField::Comment)
    }
}

names!(
    /// A field with many texts, compared exactly, case by case.
    NamesField {
        /// Tags.
        Tag = "tag",
        /// Names of the connections with an active record.
        Source = "source",
        /// Names of the targets that hold it. In searches only.
        SharedWith = "shared_with",
    }
);

names!(
    /// A field that is compared as a number.
    NumberField {
        /// 1 to 10. Never absent of a summary.
        Reputation = "reputation",
        /// The position in [`crate::Severity::ALL`]; never absent: nobody's word is `unknown`, which is below `low`.
        Severity = "severity",
        /// 0 to 100.
        Confidence = "confidence",
        /// The position in [`crate::Tlp::ALL`]. Never absent of a summary.
        Tlp = "tlp",
        /// How many connections have an active record.
        NSources = "n_sources",
        /// Own sightings; never absent.
        InternalHits = "internal_hits",
        /// Others' sightings; never absent.
        ExternalHits = "external_hits",
        /// Microseconds from first_seen to now, where nobody stated first_seen from when we first received it (the
        /// earliest over all records that are no echo, active or not); absent without such a record. Below zero if
        /// that lies ahead.
        Age = "age",
    }
);

names!(
    /// A field with a point in time; any may be absent.
    TimeField {
        /// When first seen.
        FirstSeen = "first_seen",
        /// When last seen.
        LastSeen = "last_seen",
        /// When it stops being active; absent: never.
        ExpiresAt = "expires_at",
    }
);

names!(
    /// A field that is yes or no.
    FlagField {
        /// A verdict's word, else whether any record is active.
        Active = "active",
        /// No record is active and one was taken back.
        Retracted = "retracted",
        /// Muted by an analyst.
        Muted = "muted",
    }
);

/// Any field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// What sort of thing.
    Kind,
    /// One text.
    Text(TextField),
    /// Many texts.
    Names(NamesField),
    /// A number.
    Number(NumberField),
    /// A time.
    Time(TimeField),
    /// Yes or no.
    Flag(FlagField),
    /// The verdict that stands.
    Verdict,
}

impl Field {
    /// Every field.
    pub fn all() -> impl Iterator<Item = Field> {
        [Field::Kind, Field::Verdict]
            .into_iter()
            .chain(TextField::ALL.iter().map(|f| Field::Text(*f)))
            .chain(NamesField::ALL.iter().map(|f| Field::Names(*f)))
            .chain(NumberField::ALL.iter().map(|f| Field::Number(*f)))
            .chain(TimeField::ALL.iter().map(|f| Field::Time(*f)))
            .chain(FlagField::ALL.iter().map(|f| Field::Flag(*f)))
    }

    /// The word in the language.
    pub const fn as_str(self) -> &'static str {
        match self {
            Field::Kind => "kind",
            Field::Verdict => "verdict",
            Field::Text(f) => f.as_str(),
            Field::Names(f) => f.as_str(),
            Field::Number(f) => f.as_str(),
            Field::Time(f) => f.as_str(),
            Field::Flag(f) => f.as_str(),
        }
    }

    /// Reads the word, whatever its case. None if it is no field.
    pub fn from_name(text: &str) -> Option<Field> {
        Field::all().find(|f| f.as_str().eq_ignore_ascii_case(text))
    }

    /// Whether one record has this field, so that `record(...)` may ask for it. The others are of the whole indicator.
    pub const fn of_record(self) -> bool {
        match self {
            Field::Kind | Field::Verdict | Field::Flag(_) | Field::Text(TextField::Value) => false,
            Field::Names(NamesField::SharedWith) | Field::Number(NumberField::NSources) => false,
            Field::Text(_) | Field::Names(_) | Field::Number(_) | Field::Time(_) => true,
        }
    }
}

names!(
    /// How two values compare.
    CmpOp {
        /// Equal.
        Eq = "=",
        /// Not equal.
        Ne = "!=",
        /// Less.
        Lt = "<",
        /// Less or equal.
        Le = "<=",
        /// Greater.
        Gt = ">",
        /// Greater or equal.
        Ge = ">=",
    }
);

impl CmpOp {
    /// Whether `a op b`.
    pub fn holds<T: Ord + Copy>(self, a: T, b: T) -> bool {
        match self {
            CmpOp::Eq => a == b,
            CmpOp::Ne => a != b,
            CmpOp::Lt => a < b,
            CmpOp::Le => a <= b,
            CmpOp::Gt => a > b,
            CmpOp::Ge => a >= b,
        }
    }
}

/// A point in time as a rule names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// A fixed one.
    At(Timestamp),
    /// So long before now; zero: now.
    Ago(Duration),
    /// So long after now; not zero.
    Ahead(Duration),
}

impl When {
    /// The point itself; saturates.
    pub fn at(self, now: Timestamp) -> Timestamp {
        match self {
            When::At(time) => time,
            When::Ago(duration) => now.before(duration),
            When::Ahead(duration) => now.after(duration),
        }
    }
}
