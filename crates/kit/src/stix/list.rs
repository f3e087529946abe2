//! A list of objects read in one go, for pages that hold nothing unusual.

use super::object::{Field, Object};
use super::reader::Reader;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// What a list was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Listed {
    /// Objects in it.
    pub n: u64,
    /// Tells the list from one of other objects, or of other versions of them, or in another order.
    pub print: u64,
}

/// Reads a JSON list of objects into a reader, each object once: there is no other pass that finds where it ends.
///
/// It is for a text of at most [`super::OBJECT_BYTES`], and takes nothing that would need the text of an object: what
/// cannot be read as one, has no type or an indicator without id, and bundles in it, all of that is an error of the whole
/// list. What the reader was given until then must be thrown away, and the list read with [`Reader::object`].
pub struct Plain<'a, 'r>(pub &'a mut Reader<'r>);

impl<'de> DeserializeSeed<'de> for Plain<'_, '_> {
    type Value = Listed;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Listed, D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Plain<'_, '_> {
    type Value = Listed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Listed, A::Error> {
        let mut listed = Listed::default();
        while let Some(Member(object)) = list.next_element()? {
            let is_plain = match object.object_type.text() {
                None | Some("bundle") => false,
                Some("indicator") => object.id.text().is_some_and(|id| !id.is_empty()),
                Some(_) => true,
            };
            if !is_plain {
                return Err(A::Error::custom("not a plain object"));
            }
            listed.n += 1;
            listed.print = print(&object, listed.print);
            self.0.one(&object, "");
        }
        Ok(listed)
    }
}

/// An object is known by its id, and its version by its time (STIX 2.1, 3.6); the rest is for those that have neither.
fn print(object: &Object<'_>, before: u64) -> u64 {
    let Object { object_type, id, created, modified, name, pattern, .. } = object;
    [object_type, id, created, modified, name, pattern].into_iter().fold(before, |print, field| {
        let text = field.text().unwrap_or_default();
        xxh3_64_with_seed(text.as_bytes(), print.rotate_left(1) ^ u64::from(*field == Field::<Cow<'_, str>>::Absent))
    })
}

/// An object that is written as one.
struct Member<'a>(Object<'a>);

impl<'de> Deserialize<'de> for Member<'de> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Member<'de>, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Member<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Member<'de>, A::Error> {
                Object::deserialize(MapAccessDeserializer::new(members)).map(Member)
            }
        }
        json.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::super::marking::Markings;
    use super::*;
    use crate::testkit::Collected;
    use serde_json::{Value, json};

    fn indicator(id: &str, pattern: &str) -> Value {
        json!({"type": "indicator", "id": id, "pattern": pattern, "pattern_type": "stix", "labels": ["a"],
            "created": "2026-01-01T00:00:00Z", "modified": "2026-01-02T00:00:00Z", "x_more": {"a": [1, {}]},
            "object_marking_refs": ["marking-definition--11111111-1111-4111-8111-111111111111"]})
    }

    /// Read as a list: what came of it and its print. None: not so.
    fn plain(text: &str) -> Option<(String, u64)> {
        let mut rows = Collected::default();
        let mut reader = Reader::new(&mut rows, Markings::default());
        let mut json = serde_json::Deserializer::from_str(text);
        let listed = Plain(&mut reader).deserialize(&mut json).ok()?;
        let (stats, markings, lacking) = reader.finish();
        assert_eq!(stats.objects, listed.n);
        Some((format!("{rows:?} {stats:?} {markings:?} {lacking:?}"), listed.print))
    }

    /// Read object by object.
    fn each(objects: &[Value]) -> String {
        let mut rows = Collected::default();
        let mut reader = Reader::new(&mut rows, Markings::default());
        objects.iter().for_each(|object| reader.object(&object.to_string()));
        let (stats, markings, lacking) = reader.finish();
        format!("{rows:?} {stats:?} {markings:?} {lacking:?}")
    }

    #[test]
    fn a_list_says_what_its_objects_say() {
        let marking = json!({"type": "marking-definition", "id": "marking-definition--11111111-1111-4111-8111-111111111111",
            "definition_type": "tlp", "definition": {"tlp": "green"}});
        let objects = [
            indicator("indicator--1", "[url:value = 'http://a.example/']"),
            marking,
            indicator("indicator--2", "[url:value = 'http://a.example/"),
            indicator("indicator--3", "[file:name LIKE 'a%']"),
            json!({"type": "sighting", "id": 7}),
            json!({"type": "report", "pattern": 7, "labels": {}}),
        ];
        let (said, _) = plain(&Value::from(objects.to_vec()).to_string()).expect("a plain list");
        assert_eq!(said, each(&objects));
        assert_eq!(plain("[]").unwrap().1, 0);
    }

    #[test]
    fn whatever_is_unusual_is_for_the_other_way() {
        let good = indicator("indicator--1", "[url:value = 'http://a.example/']").to_string();
        for bad in [
            "7",
            "null",
            "[]",
            "[\"indicator\"]",
            "{}",
            r#"{"type": "bundle", "objects": []}"#,
            r#"{"type": "indicator"}"#,
            r#"{"type": "indicator", "id": ""}"#,
            r#"{"type": "report", "type": "report"}"#,
            "{",
            r#"{"type": "report",}"#,
        ] {
            assert_eq!(plain(&format!("[{good},{bad}]")), None, "{bad}");
        }
        assert_eq!(plain(&good), None, "no list");
    }

    #[test]
    fn lists_are_told_apart() {
        let one = indicator("indicator--1", "[url:value = 'http://a.example/']");
        let mut newer = one.clone();
        newer["modified"] = json!("2026-01-03T00:00:00Z");
        let two = indicator("indicator--2", "[url:value = 'http://a.example/']");
        let lists = [vec![&one], vec![&newer], vec![&two], vec![&one, &two], vec![&two, &one], vec![&one, &one]];
        let print = |list: &Vec<&Value>| plain(&json!(list).to_string()).unwrap().1;
        let prints: std::collections::BTreeSet<u64> = lists.iter().map(print).collect();
        assert_eq!(prints.len(), lists.len());
        assert_eq!(print(&lists[0]), print(&vec![&one]));
    }
}
