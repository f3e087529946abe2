//! STIX objects as far as we read them, borrowed from their text.
//!
//! A member of the wrong type does not spoil an object: whether it matters is for the reader to say, because `labels`
//! or `pattern` may be something else in objects that are no indicators. A name we read that stands twice does, as no
//! two readers agree on what that means.

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// Most elements of a list that are read.
const LIST: usize = 1000;

/// A member that may be missing or of another type.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Field<T> {
    #[default]
    Absent,
    /// Present, and not what it should be.
    Bad,
    Is(T),
}

impl<T> Field<T> {
    pub(super) fn is(&self) -> Option<&T> {
        match self {
            Field::Is(value) => Some(value),
            Field::Absent | Field::Bad => None,
        }
    }

    pub(super) fn is_bad(&self) -> bool {
        matches!(self, Field::Bad)
    }
}

impl Field<Cow<'_, str>> {
    pub(super) fn text(&self) -> Option<&str> {
        self.is().map(|text| &**text)
    }
}

/// A list, and whether all of it could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct List<T> {
    pub(super) items: Vec<T>,
    pub(super) is_whole: bool,
}

/// All members that mean something to us in any type of object.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Object<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) object_type: Field<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) id: Field<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) created: Field<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) modified: Field<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) name: Field<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) description: Field<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) pattern: Field<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) pattern_type: Field<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) valid_from: Field<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) valid_until: Field<Cow<'a, str>>,
    pub(super) revoked: Field<bool>,
    pub(super) confidence: Field<Number>,
    #[serde(borrow)]
    pub(super) labels: Field<List<Cow<'a, str>>>,
    #[serde(borrow)]
    pub(super) indicator_types: Field<List<Cow<'a, str>>>,
    #[serde(borrow)]
    pub(super) kill_chain_phases: Field<List<Phase<'a>>>,
    #[serde(borrow)]
    pub(super) external_references: Field<List<Reference<'a>>>,
    #[serde(borrow)]
    pub(super) object_marking_refs: Field<List<Cow<'a, str>>>,
    #[serde(borrow)]
    pub(super) granular_markings: Field<List<Granular<'a>>>,
    // Of marking definitions:
    #[serde(borrow)]
    pub(super) definition_type: Field<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) definition: Field<Definition<'a>>,
    #[serde(borrow)]
    pub(super) extensions: Field<Extensions<'a>>,
    #[serde(borrow)]
    pub(super) x_opencti_definition: Field<Cow<'a, str>>,
}

/// A bundle inside a list of objects or on a line.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Bundle<'a> {
    #[serde(borrow, default)]
    pub(super) objects: Vec<&'a RawValue>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Phase<'a> {
    #[serde(borrow)]
    pub(super) kill_chain_name: Field<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) phase_name: Field<Cow<'a, str>>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Reference<'a> {
    #[serde(borrow)]
    pub(super) source_name: Field<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) url: Field<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) external_id: Field<Cow<'a, str>>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Granular<'a> {
    #[serde(borrow)]
    pub(super) marking_ref: Field<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) lang: Field<Cow<'a, str>>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Definition<'a> {
    #[serde(borrow, alias = "TLP")]
    pub(super) tlp: Field<Cow<'a, str>>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Extensions<'a> {
    // The extension of TLP 2.0: `marking::TLP_2`.
    #[serde(borrow, rename = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d")]
    pub(super) tlp: Field<Tlp2<'a>>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Tlp2<'a> {
    #[serde(borrow)]
    pub(super) tlp_2_0: Field<Cow<'a, str>>,
}

/// A number, rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number(pub(super) i64);

/// What can be made of a JSON value, of whichever types it allows; None of the others.
trait FromJson<'de>: Sized {
    fn text(_text: Cow<'de, str>) -> Option<Self> {
        None
    }

    fn truth(_truth: bool) -> Option<Self> {
        None
    }

    fn number(_number: f64) -> Option<Self> {
        None
    }

    fn list<A: SeqAccess<'de>>(mut list: A) -> Result<Option<Self>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn object<A: MapAccess<'de>>(mut members: A) -> Result<Option<Self>, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

impl<'de: 'a, 'a> FromJson<'de> for Cow<'a, str> {
    fn text(text: Cow<'de, str>) -> Option<Self> {
        Some(text)
    }
}

impl FromJson<'_> for bool {
    fn text(text: Cow<'_, str>) -> Option<bool> {
        text.parse().ok()
    }

    fn truth(truth: bool) -> Option<bool> {
        Some(truth)
    }
}

impl FromJson<'_> for Number {
    fn text(text: Cow<'_, str>) -> Option<Number> {
        text.trim().parse().ok().and_then(Number::number)
    }

    fn number(number: f64) -> Option<Number> {
        // A cast saturates.
        number.is_finite().then(|| Number(number.round() as i64))
    }
}

impl<'de, T: FromJson<'de>> FromJson<'de> for List<T> {
    /// One element without its list is a list of one.
    fn text(text: Cow<'de, str>) -> Option<List<T>> {
        T::text(text).map(|one| List { items: vec![one], is_whole: true })
    }

    fn list<A: SeqAccess<'de>>(mut list: A) -> Result<Option<List<T>>, A::Error> {
        let mut out = List { items: Vec::new(), is_whole: true };
        while let Some(element) = list.next_element::<Field<T>>()? {
            match element {
                Field::Is(element) if out.items.len() < LIST => out.items.push(element),
                _ => out.is_whole = false,
            }
        }
        Ok(Some(out))
    }
}

macro_rules! objects {
    ($($name:ident),+) => {$(
        impl<'de: 'a, 'a> FromJson<'de> for $name<'a> {
            fn object<A: MapAccess<'de>>(members: A) -> Result<Option<Self>, A::Error> {
                $name::deserialize(MapAccessDeserializer::new(members)).map(Some)
            }
        }
    )+};
}

objects!(Phase, Reference, Granular, Definition, Extensions, Tlp2);

impl<'de, T: FromJson<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Field<T>, D::Error> {
        reader.deserialize_any(Any(PhantomData))
    }
}

struct Any<T>(PhantomData<T>);

impl<'de, T: FromJson<'de>> Visitor<'de> for Any<T> {
    type Value = Field<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Field<T>, E> {
        Ok(field(T::text(Cow::Borrowed(text))))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Field<T>, E> {
        Ok(field(T::text(Cow::Owned(text.to_owned()))))
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Field<T>, E> {
        Ok(field(T::truth(truth)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Field<T>, E> {
        Ok(field(T::number(number as f64)))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Field<T>, E> {
        Ok(field(T::number(number as f64)))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Field<T>, E> {
        Ok(field(T::number(number)))
    }

    fn visit_unit<E>(self) -> Result<Field<T>, E> {
        Ok(Field::Absent)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Field<T>, A::Error> {
        T::list(list).map(field)
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Field<T>, A::Error> {
        T::object(members).map(field)
    }
}

fn field<T>(value: Option<T>) -> Field<T> {
    value.map_or(Field::Bad, Field::Is)
}
