//! What the markings of a stream mean as TLP.
//!
//! Known are TLP 1.0 (STIX 2.1, 7.2.1.4), TLP 2.0 (the OASIS common objects) and the id that OpenCTI gave AMBER+STRICT
//! before there was one. Others are defined by the stream itself, before or after their use. A statement says nothing
//! about who may have the data; any other marking that is not understood counts as RED.

use super::object::{Field, Object};
use intel::Tlp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most markings of its own that a stream may define; what further ones mean is not remembered, and so is RED.
const MARKINGS: usize = 512;
/// The longest id of a marking that is remembered.
const ID_BYTES: usize = 128;

/// The extension that carries TLP 2.0.
pub(super) const TLP_2: &str = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d";

const KNOWN: [(&str, Tlp); 10] = [
    ("94868c89-83c2-464b-929b-a1a8aa3c8487", Tlp::Clear),
    ("bab4a63c-aed9-4cf5-a766-dfca5abac2bb", Tlp::Green),
    ("55d920b0-5e8b-4f79-9ee9-91f868d9b421", Tlp::Amber),
    ("939a9414-2ddd-4d32-a0cd-375ea402b003", Tlp::AmberStrict),
    ("e828b379-4e03-4974-9ac4-e53a884c97c1", Tlp::Red),
    ("613f2e26-407d-48c7-9eca-b8e91df99dc9", Tlp::Clear),
    ("34098fce-860f-48ae-8e50-ebd3cc5e41da", Tlp::Green),
    ("f88d31f6-486f-44da-b317-01333bde0b82", Tlp::Amber),
    ("5e57c739-391a-4eb3-b6be-7d15ca92d5ed", Tlp::Red),
    ("826578e1-40ad-459f-bc73-ede076f81f37", Tlp::AmberStrict),
];

/// The id of the TLP 2.0 marking, for STIX 2.1.
pub(super) const fn tlp_2(tlp: Tlp) -> &'static str {
    match tlp {
        Tlp::Clear => "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487",
        Tlp::Green => "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb",
        Tlp::Amber => "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421",
        Tlp::AmberStrict => "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003",
        Tlp::Red => "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1",
    }
}

/// The id of the TLP 1.0 marking, for STIX 2.0. There is none for AMBER+STRICT: RED is no less.
pub(super) const fn tlp_1(tlp: Tlp) -> &'static str {
    match tlp {
        Tlp::Clear => "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9",
        Tlp::Green => "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da",
        Tlp::Amber => "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82",
        Tlp::AmberStrict | Tlp::Red => "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed",
    }
}

/// What the markings met so far mean. Small: a cursor can carry it from page to page. TLP's own need no entry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct Markings(BTreeMap<String, Option<Tlp>>);

impl From<BTreeMap<String, String>> for Markings {
    fn from(stored: BTreeMap<String, String>) -> Markings {
        let read = |word: String| if word.is_empty() { None } else { Some(Tlp::parse(&word).unwrap_or(Tlp::Red)) };
        Markings(stored.into_iter().take(MARKINGS).map(|(id, word)| (id, read(word))).collect())
    }
}

impl From<Markings> for BTreeMap<String, String> {
    fn from(markings: Markings) -> BTreeMap<String, String> {
        let word = |tlp: Option<Tlp>| tlp.map_or("", Tlp::as_str).to_owned();
        markings.0.into_iter().map(|(id, tlp)| (id, word(tlp))).collect()
    }
}

impl Markings {
    /// What this marking says; None if it is not known, `Some(None)` if it says nothing about TLP.
    pub fn meaning(&self, id: &str) -> Option<Option<Tlp>> {
        let known = id.strip_prefix("marking-definition--").and_then(|id| KNOWN.iter().find(|(known, _)| *known == id));
        match known {
            Some((_, tlp)) => Some(Some(*tlp)),
            None => self.0.get(id).copied(),
        }
    }

    /// Remembers a definition. Of two under one id the more restrictive stands.
    pub(super) fn learn(&mut self, definition: &Object<'_>) {
        let Field::Is(id) = &definition.id else { return };
        if id.len() > ID_BYTES || (self.0.len() >= MARKINGS && !self.0.contains_key(&**id)) {
            return;
        }
        let meaning = define(definition);
        let stands = self.0.entry(id.to_string()).or_insert(meaning);
        *stands = (*stands).max(meaning);
    }
}

/// What a definition says about TLP, wherever it says it; of several the most restrictive.
fn define(object: &Object<'_>) -> Option<Tlp> {
    let kind = object.definition_type.text().unwrap_or_default();
    let stated = object.extensions.is().and_then(|all| all.tlp.is()).map(|tlp| tlp.tlp_2_0.text());
    let old = object.definition.is().and_then(|definition| definition.tlp.text());
    let mut tlp = None;
    let mut unread = false;
    if let Some(word) = stated {
        unread |= word.and_then(Tlp::parse).is_none();
        tlp = tlp.max(word.and_then(Tlp::parse));
    }
    if kind.eq_ignore_ascii_case("tlp") || old.is_some() {
        unread |= old.and_then(Tlp::parse).is_none() && stated.is_none();
        tlp = tlp.max(old.and_then(Tlp::parse));
    }
    // OpenCTI writes markings of its own as statements and says beside it what they are; a name says it anywhere.
    for text in [object.name.text(), object.x_opencti_definition.text()].into_iter().flatten() {
        if text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("tlp:")) {
            unread |= Tlp::parse(text).is_none();
            tlp = tlp.max(Tlp::parse(text));
        }
    }
    let understood = tlp.is_some() || kind.eq_ignore_ascii_case("statement");
    if unread || !understood { Some(Tlp::Red) } else { tlp }
}
