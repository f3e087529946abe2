//! The shapes of attributes and objects, read leniently: a member of the wrong type costs the attribute at most.

use intel::Timestamp;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// A text, a number or a truth value: MISP writes one for the other.
#[derive(Debug, Default)]
pub(super) enum Scalar<'a> {
    #[default]
    None,
    Text(Cow<'a, str>),
    Number(i64),
    Truth(bool),
}

impl Scalar<'_> {
    /// The text, trimmed, if there is any.
    pub(super) fn filled(&self) -> Option<&str> {
        match self {
            Scalar::Text(text) => Some(text.trim()).filter(|text| !text.is_empty()),
            _ => None,
        }
    }

    pub(super) fn number(&self) -> Option<i64> {
        match self {
            Scalar::Number(n) => Some(*n),
            Scalar::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    pub(super) fn truth(&self) -> Option<bool> {
        match self {
            Scalar::Truth(truth) => Some(*truth),
            Scalar::Number(n) => Some(*n != 0),
            Scalar::Text(text) => match text.trim() {
                "1" => Some(true),
                "0" | "" => Some(false),
                text if text.eq_ignore_ascii_case("true") => Some(true),
                text if text.eq_ignore_ascii_case("false") => Some(false),
                _ => None,
            },
            Scalar::None => None,
        }
    }

    /// Seconds since 1970, or a date as text. Zero is no time.
    pub(super) fn time(&self) -> Option<Timestamp> {
        match self.number() {
            Some(0) => None,
            Some(secs) => Some(Timestamp::from_secs(secs)),
            None => self.filled().and_then(Timestamp::parse),
        }
    }
}

/// Most elements of a list inside an attribute or object: each takes far more room than it has in the document.
pub(super) const ELEMENTS: usize = 10_000;

/// A list, and whether it was longer than [`ELEMENTS`]; anything else is an empty one.
#[derive(Debug)]
pub(super) struct List<T>(pub(super) Vec<T>, pub(super) bool);

impl<T> Default for List<T> {
    fn default() -> List<T> {
        List(Vec::new(), false)
    }
}

/// The name of a tag.
#[derive(Debug, Default)]
pub(super) struct Tag<'a>(pub(super) Option<Cow<'a, str>>);

#[derive(Debug, Default)]
pub(super) struct Attribute<'a> {
    pub(super) kind: Scalar<'a>,
    pub(super) value: Scalar<'a>,
    pub(super) to_ids: Scalar<'a>,
    pub(super) deleted: Scalar<'a>,
    pub(super) timestamp: Scalar<'a>,
    pub(super) first_seen: Scalar<'a>,
    pub(super) last_seen: Scalar<'a>,
    pub(super) comment: Scalar<'a>,
    pub(super) uuid: Scalar<'a>,
    pub(super) relation: Scalar<'a>,
    pub(super) tags: List<Tag<'a>>,
    /// No object, or a name stands twice in it.
    pub(super) bad: bool,
}

#[derive(Debug, Default)]
pub(super) struct Object<'a> {
    pub(super) name: Scalar<'a>,
    pub(super) deleted: Scalar<'a>,
    pub(super) timestamp: Scalar<'a>,
    pub(super) first_seen: Scalar<'a>,
    pub(super) last_seen: Scalar<'a>,
    pub(super) comment: Scalar<'a>,
    pub(super) attributes: List<Attribute<'a>>,
    pub(super) bad: bool,
}

/// What a visitor makes of everything it did not ask for.
macro_rules! otherwise {
    ($value:expr; $($what:ident),*) => { $(otherwise!(@ $what $value);)* };
    (@ text $value:expr) => {
        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> { Ok($value) }
    };
    (@ scalars $value:expr) => {
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> { Ok($value) }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> { Ok($value) }
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> { Ok($value) }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> { Ok($value) }
        fn visit_unit<E>(self) -> Result<Self::Value, E> { Ok($value) }
    };
    (@ list $value:expr) => {
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok($value)
        }
    };
    (@ map $value:expr) => {
        fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
            while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok($value)
        }
    };
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Scalar<'a>, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Scalar<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Text(Cow::Owned(text.to_owned())))
            }
            fn visit_bool<E>(self, truth: bool) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Truth(truth))
            }
            fn visit_i64<E>(self, n: i64) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Number(n))
            }
            fn visit_u64<E>(self, n: u64) -> Result<Scalar<'de>, E> {
                Ok(i64::try_from(n).map_or(Scalar::None, Scalar::Number))
            }
            fn visit_f64<E>(self, n: f64) -> Result<Scalar<'de>, E> {
                Ok(if n.is_finite() { Scalar::Number(n as i64) } else { Scalar::None })
            }
            fn visit_unit<E>(self) -> Result<Scalar<'de>, E> {
                Ok(Scalar::None)
            }
            otherwise!(Scalar::None; list, map);
        }
        reader.deserialize_any(Any)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<List<T>, D::Error> {
        struct Any<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Any<T> {
            type Value = List<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<List<T>, A::Error> {
                let mut out = Vec::new();
                while out.len() < ELEMENTS {
                    let Some(one) = list.next_element()? else { return Ok(List(out, false)) };
                    out.push(one);
                }
                let mut more = false;
                while list.next_element::<IgnoredAny>()?.is_some() {
                    more = true;
                }
                Ok(List(out, more))
            }
            otherwise!(List::default(); text, scalars, map);
        }
        reader.deserialize_any(Any(std::marker::PhantomData))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Tag<'a> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Tag<'a>, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Tag<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Tag<'de>, A::Error> {
                let mut tag = Tag(None);
                while let Some(name) = members.next_key::<Scalar<'de>>()? {
                    if matches!(&name, Scalar::Text(name) if name == "name") {
                        if let Scalar::Text(text) = members.next_value()? {
                            tag.0 = Some(text);
                        }
                    } else {
                        members.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(tag)
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Tag<'de>, E> {
                Ok(Tag(Some(Cow::Borrowed(text))))
            }
            fn visit_str<E>(self, text: &str) -> Result<Tag<'de>, E> {
                Ok(Tag(Some(Cow::Owned(text.to_owned()))))
            }
            otherwise!(Tag(None); scalars, list);
        }
        reader.deserialize_any(Any)
    }
}

/// Reads the members of a JSON object into fields; a name that stands twice makes it bad, and so does anything that is
/// no object.
macro_rules! members {
    ($type:ident { $($name:literal => $field:ident),+ $(,)? }) => {
        impl<'de: 'a, 'a> Deserialize<'de> for $type<'a> {
            fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<$type<'a>, D::Error> {
                struct Any;
                impl<'de> Visitor<'de> for Any {
                    type Value = $type<'de>;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("a JSON value")
                    }
                    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<$type<'de>, A::Error> {
                        let mut out = $type::default();
                        let mut seen = 0u32;
                        while let Some(name) = members.next_key::<Scalar<'de>>()? {
                            let Scalar::Text(name) = name else { continue };
                            let mut bit = 1u32;
                            $(
                                if name == $name {
                                    out.bad |= seen & bit != 0;
                                    seen |= bit;
                                    out.$field = members.next_value()?;
                                    continue;
                                }
                                bit <<= 1;
                            )+
                            let _ = bit;
                            members.next_value::<IgnoredAny>()?;
                        }
                        Ok(out)
                    }
                    otherwise!($type { bad: true, ..$type::default() }; text, scalars, list);
                }
                reader.deserialize_any(Any)
            }
        }
    };
}

members!(Attribute {
    "type" => kind,
    "value" => value,
    "to_ids" => to_ids,
    "deleted" => deleted,
    "timestamp" => timestamp,
    "first_seen" => first_seen,
    "last_seen" => last_seen,
    "comment" => comment,
    "uuid" => uuid,
    "object_relation" => relation,
    "Tag" => tags,
});

members!(Object {
    "name" => name,
    "deleted" => deleted,
    "timestamp" => timestamp,
    "first_seen" => first_seen,
    "last_seen" => last_seen,
    "comment" => comment,
    "Attribute" => attributes,
});
