//! Makes observations of STIX objects, one object at a time and in any order.

use super::marking::Markings;
use super::object::{Bundle, Field, List, Object};
use super::pattern::{self, Atom};
use crate::connection::Rows;
use intel::{Observation, Timestamp, Tlp, limits};
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// The longest object, in bytes of JSON.
pub const OBJECT_BYTES: usize = 4 << 20;
/// How many bytes of rows may wait for the definition of their markings; further ones are RED at once.
const WAITING_BYTES: usize = 32 << 20;
/// How many times its own size the rows of one object may come to: each of its indicators has all that it says.
const COPIES: usize = 8;
/// How many bytes more than that the rows of all objects may come to. Further ones come without comment, link and tags.
const COPIED_BYTES: usize = 64 << 20;
/// Most ids kept as samples, of each sort.
const SAMPLES: usize = 32;
/// Longest id kept as a sample or as the id of an object, in bytes.
const ID_BYTES: usize = 256;

/// The name that external references to exchanges on the way carry; their `external_id` is the exchange's id.
pub const HOP_SOURCE: &str = "iocast-hop";

/// What came of reading.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Objects of any type, bundles not counted.
    pub objects: u64,
    /// Observations handed over.
    pub rows: u64,
    /// Objects that could not be read.
    pub rejected: u64,
    /// Objects, and parts of patterns, that are no indicators or cannot be shared.
    pub filtered: u64,
    /// Dates and numbers that could not be read and were left out.
    pub unread_fields: u64,
    /// Ids of some indicators with a pattern that cannot be said in indicators.
    pub unmappable: Vec<String>,
}

/// Reads objects one by one; markings defined in the stream are remembered.
pub struct Reader<'r> {
    rows: &'r mut dyn Rows,
    markings: Markings,
    waiting: Vec<Waiting>,
    waiting_bytes: usize,
    /// The ids waited for, each once.
    ids: HashMap<Box<str>, Arc<str>>,
    unresolved: BTreeSet<String>,
    /// What the rows came to beyond what their objects are.
    copied_bytes: usize,
    stats: Stats,
}

/// A row whose markings are not all known yet.
struct Waiting {
    row: Observation,
    markings: Vec<Arc<str>>,
}

impl<'r> Reader<'r> {
    /// Hands rows to `rows`, and knows `markings` already: those of the pages before.
    pub fn new(rows: &'r mut dyn Rows, markings: Markings) -> Reader<'r> {
        Reader {
            rows,
            markings,
            waiting: Vec::new(),
            waiting_bytes: 0,
            ids: HashMap::new(),
            unresolved: BTreeSet::new(),
            copied_bytes: 0,
            stats: Stats::default(),
        }
    }

    /// Reads one object of any type, as JSON text. One that cannot be read is one rejection. A bundle is its objects.
    pub fn object(&mut self, raw: &str) {
        self.any(raw, true);
    }

    /// As [`Reader::object`], of bytes that may be no text.
    pub(super) fn bytes(&mut self, raw: &[u8]) {
        match std::str::from_utf8(raw) {
            Ok(text) => self.any(text, true),
            Err(error) => {
                self.stats.objects += 1;
                let start = std::str::from_utf8(&raw[..error.valid_up_to()]).unwrap_or_default();
                self.reject("not UTF-8", start);
            }
        }
    }

    fn any(&mut self, raw: &str, may_be_bundle: bool) {
        let parsed = match raw.trim_ascii_start().starts_with('{') {
            _ if raw.len() > OBJECT_BYTES => Err("object too large"),
            false => Err("not a STIX object"),
            true => serde_json::from_str::<Object<'_>>(raw).map_err(|_| "not readable as a STIX object"),
        };
        if let Ok(object) = &parsed
            && object.object_type.text() == Some("bundle")
            && may_be_bundle
        {
            return match serde_json::from_str::<Bundle<'_>>(raw) {
                Ok(bundle) => bundle.objects.iter().for_each(|object| self.any(object.get(), false)),
                Err(_) => {
                    self.stats.objects += 1;
                    self.reject("not readable as a STIX object", raw);
                }
            };
        }
        match parsed {
            Err(why) => {
                self.stats.objects += 1;
                self.reject(why, raw);
            }
            Ok(object) => self.one(&object, raw),
        }
    }

    /// One object that could be read.
    pub(super) fn one(&mut self, object: &Object<'_>, raw: &str) {
        self.stats.objects += 1;
        match object.object_type.text() {
            None | Some("bundle") => self.reject("not a STIX object", raw),
            Some("indicator") => self.indicator(object, raw),
            Some("marking-definition") => {
                self.markings.learn(object);
                self.filter("not an indicator", 1);
            }
            Some("sighting") => self.filter("sighting", 1),
            Some(_) => self.filter("not an indicator", 1),
        }
    }

    /// Hands over what waited for its markings. The ids of markings that nobody defined come back beside what was
    /// counted and learnt, at most 32 of them: what carries one is RED.
    pub fn finish(mut self) -> (Stats, Markings, Vec<String>) {
        for Waiting { mut row, markings } in std::mem::take(&mut self.waiting) {
            for id in markings {
                row.tlp = row.tlp.max(self.tlp(&id));
            }
            self.row(row);
        }
        (self.stats, self.markings, self.unresolved.into_iter().collect())
    }

    /// What a marking says by now; RED if nobody defined it.
    fn tlp(&mut self, id: &str) -> Option<Tlp> {
        self.markings.meaning(id).unwrap_or_else(|| {
            if self.unresolved.len() < SAMPLES {
                self.unresolved.insert(clip(id).to_owned());
            }
            Some(Tlp::Red)
        })
    }

    fn reject(&mut self, why: &'static str, sample: &str) {
        self.stats.rejected += 1;
        self.rows.reject(why, sample);
    }

    fn filter(&mut self, why: &'static str, n: u64) {
        self.stats.filtered += n;
        self.rows.filter(why, n);
    }

    fn row(&mut self, row: Observation) {
        self.stats.rows += 1;
        self.rows.row(row);
    }

    fn indicator(&mut self, object: &Object<'_>, raw: &str) {
        let id = object.id.text().unwrap_or_default();
        let sample = if id.is_empty() { raw } else { id };
        if let Some(language) = object.pattern_type.text().filter(|name| !name.eq_ignore_ascii_case("stix")) {
            return self.filter(language_of(language), 1);
        }
        let Some(text) = object.pattern.text() else {
            return self.reject("indicator without a pattern", sample);
        };
        if object.revoked.is_bad() {
            return self.reject("revoked is neither true nor false", sample);
        }
        let said = match pattern::read(text) {
            Ok(said) => said,
            Err(fault) => return self.reject(fault.as_str(), sample),
        };
        if said.unmappable > 0 {
            self.filter("unmappable pattern", said.unmappable);
            if self.stats.unmappable.len() < SAMPLES && !id.is_empty() {
                self.stats.unmappable.push(clip(id).to_owned());
            }
        }
        let mut atoms = said.atoms;
        let Some(last) = atoms.pop() else { return };
        let (mut row, markings) = self.claim(object, &atoms, &last);
        // A small object with many indicators and long texts would come to a thousand times its size.
        let more = weight(&row).saturating_mul(atoms.len()).saturating_sub(raw.len().saturating_mul(COPIES));
        if self.copied_bytes.saturating_add(more) <= COPIED_BYTES {
            self.copied_bytes += more;
        } else {
            (row.comment, row.link, row.tags) = (None, None, Vec::new());
        }
        for atom in atoms {
            self.hand_over(with(row.clone(), atom), &markings);
        }
        self.hand_over(with(row, last), &markings);
    }

    /// What the object says of each of its indicators, and the markings not known yet.
    fn claim(&mut self, object: &Object<'_>, atoms: &[Atom<'_>], last: &Atom<'_>) -> (Observation, Vec<Arc<str>>) {
        let mut row = Observation::default();
        let created = self.time(&object.created);
        let valid_from = self.time(&object.valid_from);
        row.modified = self.time(&object.modified).or(created);
        row.last_seen = row.modified;
        row.first_seen = match (created, valid_from) {
            (Some(created), Some(from)) => Some(created.min(from)),
            (created, from) => created.or(from),
        };
        row.valid_from = valid_from;
        row.expires_at = self.time(&object.valid_until);
        // Who now calls benign what they called malicious takes it back, and who always did never said it.
        row.retracted = object.revoked == Field::Is(true) || is_benign(object);
        row.confidence = object.confidence.is().map(|number| number.0);
        self.stats.unread_fields += u64::from(object.confidence.is_bad());
        row.remote_id = object.id.text().map(|id| clip(id).to_owned());
        row.tags = tags(object);
        row.comment = comment(object, |name| atoms.iter().chain([last]).any(|atom| atom.value == name));
        for reference in items(&object.external_references) {
            if reference.source_name.text() == Some(HOP_SOURCE) {
                let hop = reference.external_id.text().filter(|id| id.len() <= limits::HOP_BYTES);
                let has_room = row.hops.len() < limits::HOPS_PER_RECORD;
                row.hops.extend(hop.filter(|_| has_room).map(str::to_owned));
            } else if row.link.is_none() {
                let url = reference.url.text().map(str::trim).filter(|url| !url.is_empty());
                row.link = url.map(|url| cut(url, limits::LINK_BYTES).to_owned());
            }
        }
        let markings = self.mark(object, &mut row);
        (row, markings)
    }

    /// Sets the marking as far as it is known; what is not is to be asked again at the end. A marking of a part of the
    /// object is taken for all of it: which member of ours came from which part, nobody could say.
    fn mark(&mut self, object: &Object<'_>, row: &mut Observation) -> Vec<Arc<str>> {
        let mut waits = Vec::new();
        let whole = |readable: bool| if readable { None } else { Some(Tlp::Red) };
        let list = |is_bad: bool, is_whole: Option<bool>| whole(!is_bad && is_whole.unwrap_or(true));
        let (all, parts) = (&object.object_marking_refs, &object.granular_markings);
        row.tlp = list(all.is_bad(), all.is().map(|l| l.is_whole));
        row.tlp = row.tlp.max(list(parts.is_bad(), parts.is().map(|l| l.is_whole)));
        for label in items(&object.labels) {
            row.tlp = row.tlp.max(Tlp::of_tag(label));
        }
        // A part may be marked with a language instead: that is no marking.
        let parts = items(parts).filter(|part| part.lang.text().is_none() || part.marking_ref != Field::Absent);
        let parts: Vec<Option<&str>> = parts.map(|part| part.marking_ref.text()).collect();
        for id in items(all).map(|id| Some(&**id)).chain(parts) {
            match id {
                None => row.tlp = Some(Tlp::Red),
                Some(id) => match self.markings.meaning(id) {
                    Some(tlp) => row.tlp = row.tlp.max(tlp),
                    None if self.waiting_bytes >= WAITING_BYTES || id.len() > ID_BYTES => {
                        row.tlp = row.tlp.max(self.tlp(id));
                    }
                    None => {
                        let known = self.ids.get(id).cloned().unwrap_or_else(|| {
                            let kept: Arc<str> = id.into();
                            self.waiting_bytes += 2 * id.len() + 96;
                            self.ids.insert(id.into(), kept.clone());
                            kept
                        });
                        waits.push(known);
                    }
                },
            }
        }
        waits
    }

    fn hand_over(&mut self, mut row: Observation, markings: &[Arc<str>]) {
        if markings.is_empty() || row.tlp == Some(Tlp::Red) {
            return self.row(row);
        }
        let size = weight(&row) + 16 * markings.len();
        if self.waiting_bytes.saturating_add(size) > WAITING_BYTES {
            for id in markings {
                row.tlp = row.tlp.max(self.tlp(id));
            }
            return self.row(row);
        }
        self.waiting_bytes += size;
        self.waiting.push(Waiting { row, markings: markings.to_vec() });
    }

    fn time(&mut self, field: &Field<Cow<'_, str>>) -> Option<Timestamp> {
        let time = field.text().and_then(read_time);
        self.stats.unread_fields += u64::from(time.is_none() && *field != Field::Absent);
        time
    }
}

/// `2026-01-31T10:11:12.123Z` without the general parser, which is for everything else.
fn read_time(text: &str) -> Option<Timestamp> {
    plain_time(text).or_else(|| Timestamp::parse(text))
}

fn plain_time(text: &str) -> Option<Timestamp> {
    let (seconds, fraction) = text.strip_suffix('Z')?.split_at_checked(19)?;
    let whole = crate::feed::fixed_time(seconds)?;
    let digits = match fraction.as_bytes() {
        [] => &[],
        [b'.', digits @ ..] if (1..=6).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit) => digits,
        _ => return None,
    };
    let parts = digits.iter().fold(0, |n, digit| n * 10 + i64::from(digit - b'0'));
    Some(Timestamp::from_micros(whole.micros() + parts * 10_i64.pow(6 - digits.len() as u32)))
}

fn with(mut row: Observation, atom: Atom<'_>) -> Observation {
    row.value = atom.value.into_owned();
    row.kind = Some(atom.kind);
    row
}

fn items<T>(list: &Field<List<T>>) -> impl Iterator<Item = &T> {
    list.is().into_iter().flat_map(|list| &list.items)
}

/// About the bytes a row takes.
fn weight(row: &Observation) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let list = |list: &[String]| list.iter().map(|one| one.len() + 24).sum::<usize>();
    let texts = row.value.len() + text(&row.comment) + text(&row.link) + text(&row.remote_id);
    size_of::<Waiting>() + texts + list(&row.tags) + list(&row.hops)
}

fn clip(id: &str) -> &str {
    cut(id, ID_BYTES)
}

/// At most so many bytes of a text: of what is longer a record keeps no more, and rows that wait should not either.
fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// What is said of other languages; the list of the specification (indicator pattern types).
fn language_of(pattern_type: &str) -> &'static str {
    match pattern_type.to_ascii_lowercase().as_str() {
        "snort" => "snort pattern",
        "suricata" => "suricata pattern",
        "yara" => "yara pattern",
        "sigma" => "sigma pattern",
        "pcre" => "pcre pattern",
        _ => "a pattern of another language",
    }
}

/// Words that are true of everything here, or of nothing.
fn says_nothing(word: &str) -> bool {
    matches!(word, "malicious-activity" | "unknown")
}

/// What types an indicator has, in both versions: 2.0 writes them among the labels.
fn types<'o>(object: &'o Object<'_>) -> impl Iterator<Item = &'o str> {
    items(&object.indicator_types).chain(items(&object.labels)).map(|word| &**word)
}

fn is_benign(object: &Object<'_>) -> bool {
    types(object).any(|word| word == "benign") && !types(object).any(|word| word == "malicious-activity")
}

fn tags(object: &Object<'_>) -> Vec<String> {
    let words = types(object).filter(|word| !says_nothing(word)).take(limits::TAGS_PER_RECORD);
    let mut tags: Vec<String> = words.map(|word| cut(word.trim(), limits::TAG_BYTES).to_owned()).collect();
    for phase in items(&object.kill_chain_phases).take(limits::TAGS_PER_RECORD) {
        if let (Some(chain), Some(phase)) = (phase.kill_chain_name.text(), phase.phase_name.text()) {
            tags.push(cut(&format!("{chain}:{phase}"), limits::TAG_BYTES).to_owned());
        }
    }
    tags
}

/// The description, and the name before it where it says more than the value and the description do.
fn comment(object: &Object<'_>, is_value: impl Fn(&str) -> bool) -> Option<String> {
    fn given<'o>(field: &'o Field<Cow<'_, str>>) -> Option<&'o str> {
        field.text().map(|text| cut(text.trim(), limits::COMMENT_BYTES)).filter(|text| !text.is_empty())
    }
    match (given(&object.name).filter(|name| !is_value(name)), given(&object.description)) {
        (Some(name), Some(text)) if !text.contains(name) => Some([name, ": ", text].concat()),
        (name, text) => text.or(name).map(str::to_owned),
    }
}
