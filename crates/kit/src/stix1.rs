//! STIX 1.0 to 1.2: packages of XML, read object by object.
//!
//! An indicator gives what its observables name exactly. Alternatives (OR, several values in one) are split. What must
//! hold together (AND) is split only where it is the hashes of one file; anything else, and every condition but
//! `Equals`, is *unmappable*: counted, never widened. An observable that no indicator refers to was merely seen
//! somewhere and is no candidate; only a document that is nothing but CybOX observables is taken at its word.
//!
//! Sources: STIX 1.2 and CybOX 2.1 schemas (<https://github.com/STIXProject/schemas>), data marking 1.1. A marking that
//! is not understood is red, and whatever part of its container it names, it holds for all of it.

mod observable;

use crate::connection::Rows;
use crate::error::ConnectorError;
use crate::feed::{Counted, ParseStats};
use crate::xml::{Element, Reader, Tag, Token};
use intel::limits::{COMMENT_BYTES, TAG_BYTES};
use intel::{Observation, Timestamp, Tlp};
use observable::Found;
use std::collections::{HashMap, HashSet};
use std::io::BufRead;

/// Bytes of observables that are remembered for references to them.
const MEMORY_BYTES: usize = 16 << 20;
/// How far one reference may lead to the next.
const REFERENCE_DEPTH: usize = 16;
/// Most types of one indicator that become tags.
const TYPES: usize = 32;
/// Most references that wait for what they name.
const WAITING: usize = 50_000;

/// Reads a package, or a document of CybOX observables, and hands over what it holds.
///
/// # Errors
/// `Unexpected` for what is no such document, or is broken: nothing of it may be used.
pub fn read(body: impl BufRead, rows: &mut dyn Rows) -> Result<ParseStats, ConnectorError> {
    let mut reader = Reader::new(body)?;
    let root = reader.root()?;
    let stix = root.namespace.is_empty() || root.namespace.contains("stix");
    let cybox = root.namespace.is_empty() || root.namespace.contains("cybox");
    let mut package =
        Package { out: Counted::new(rows), known: HashMap::new(), bytes: 0, waiting: Vec::new(), lost: 0 };
    match root.name.as_str() {
        "STIX_Package" if stix => package.container(&mut reader, None)?,
        "Indicator" if stix => package.unit(&mut reader, root, None)?,
        "Observables" if cybox => package.observables(&mut reader)?,
        name => {
            let name: String = name.chars().take(40).collect();
            return Err(ConnectorError::Unexpected(format!("not a STIX 1 package: its root is <{name}>")));
        }
    }
    reader.finish()?;
    package.close();
    Ok(package.out.stats)
}

/// What an indicator says besides values.
#[derive(Debug, Clone, Default)]
struct About {
    comment: Option<String>,
    confidence: Option<i64>,
    valid_from: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    modified: Option<Timestamp>,
    remote_id: Option<String>,
    tags: Vec<String>,
    tlp: Option<Tlp>,
}

/// An observable with a name, for those that refer to it.
struct Known {
    found: Found,
    tlp: Option<Tlp>,
    /// It stands on its own, and nothing referred to it yet.
    idle: bool,
}

struct Package<'a> {
    out: Counted<'a>,
    known: HashMap<String, Known>,
    bytes: usize,
    /// References to what was not there yet.
    waiting: Vec<(About, String)>,
    /// Observables on their own that there was no room to remember.
    lost: u64,
}

impl Package<'_> {
    /// The inside of a package, a report or a list of objects.
    fn container(&mut self, reader: &mut Reader<'_>, outer: Option<Tlp>) -> Result<(), ConnectorError> {
        let mut tlp = outer;
        let mut content = false;
        loop {
            let tag = match reader.token()? {
                Token::Start(tag) => tag,
                Token::Text(_) => continue,
                Token::End => return Ok(()),
                Token::Eof => return Err(ConnectorError::Unexpected("the XML document is cut off".into())),
            };
            match tag.name.as_str() {
                "STIX_Header" | "Header" | "Handling" => {
                    // A marking that comes after what it marks would come too late.
                    if content {
                        let why = "a header after the content it speaks of";
                        return Err(ConnectorError::Unexpected(why.into()));
                    }
                    let marked = match reader.element(tag)? {
                        None => Some(Tlp::Red),
                        Some(element) if element.name() == "Handling" => handling(&element),
                        Some(element) => markings(&element),
                    };
                    tlp = tlp.max(marked);
                }
                "Observables" | "Indicators" | "TTPs" | "Exploit_Targets" | "Incidents" | "Courses_Of_Action"
                | "Campaigns" | "Threat_Actors" | "Reports" | "Report" | "Related_Packages" | "Related_Package"
                | "Package" => {
                    content = true;
                    self.container(reader, tlp)?;
                }
                _ => {
                    content = true;
                    self.unit(reader, tag, tlp)?;
                }
            }
        }
    }

    /// One object, whole.
    fn unit(&mut self, reader: &mut Reader<'_>, tag: Tag, tlp: Option<Tlp>) -> Result<(), ConnectorError> {
        let candidate = matches!(tag.name.as_str(), "Indicator" | "Observable");
        let id = tag.attribute("id").unwrap_or_default().to_owned();
        match reader.element(tag)? {
            None if candidate => self.out.reject("object too large", &id),
            None => self.out.filter("object too large"),
            Some(element) if element.name() == "Observable" => self.define(&element, tlp, true),
            Some(element) => self.object(&element, tlp),
        }
        Ok(())
    }

    /// Looks for indicators in an object of any kind.
    fn object(&mut self, element: &Element, outer: Option<Tlp>) {
        let tlp = outer.max(markings(element));
        match element.name() {
            "Indicator" => self.indicator(element, tlp),
            "Observable" => self.define(element, tlp, false),
            _ => element.children.iter().for_each(|child| self.object(child, tlp)),
        }
    }

    /// A document that is nothing but observables.
    fn observables(&mut self, reader: &mut Reader<'_>) -> Result<(), ConnectorError> {
        loop {
            match reader.token()? {
                Token::Start(tag) if tag.name == "Observable" => {
                    let id = tag.attribute("id").map(str::to_owned);
                    let Some(element) = reader.element(tag)? else {
                        self.out.reject("object too large", &id.unwrap_or_default());
                        continue;
                    };
                    self.define(&element, None, false);
                    let about = About { remote_id: id, ..About::default() };
                    let found = Found::of(&element);
                    self.give(&about, found);
                }
                Token::Start(_) => reader.skip()?,
                Token::Text(_) => {}
                Token::End => return Ok(()),
                Token::Eof => return Err(ConnectorError::Unexpected("the XML document is cut off".into())),
            }
        }
    }

    /// Remembers an observable, and its object, by their ids.
    fn define(&mut self, element: &Element, tlp: Option<Tlp>, alone: bool) {
        let tlp = tlp.max(markings(element));
        let object = element.child("Object").and_then(|object| object.attribute("id"));
        let own = element.attribute("id");
        let found = Found::of(element);
        let mut idle = alone;
        if own.is_none() && idle {
            self.lost += u64::from(element.attribute("idref").is_none());
            idle = false;
        }
        for id in own.into_iter().chain(object) {
            let bytes = id.len() + found.bytes() + 200;
            if self.bytes + bytes > MEMORY_BYTES {
                self.lost += u64::from(std::mem::take(&mut idle));
                continue;
            }
            self.bytes += bytes;
            let known = Known { found: found.clone(), tlp, idle: std::mem::take(&mut idle) };
            // The first definition stands.
            self.known.entry(id.to_owned()).or_insert(known);
        }
    }

    fn indicator(&mut self, element: &Element, tlp: Option<Tlp>) {
        if element.attribute("idref").is_some() && element.children.is_empty() {
            // Said in full elsewhere.
            return;
        }
        let about = about(element, tlp);
        let mut found = Found::default();
        let mut nothing = true;
        for child in &element.children {
            match child.name() {
                "Observable" => {
                    nothing = false;
                    self.define(child, tlp, false);
                    if !is_true(element.attribute("negate")) {
                        found.observable(child, 0);
                    }
                }
                "Composite_Indicator_Expression" => {
                    nothing = false;
                    let or = child.attribute("operator").is_some_and(|word| word.eq_ignore_ascii_case("or"));
                    let parts = child.children.iter().filter(|part| part.name() == "Indicator");
                    if or || parts.clone().count() == 1 {
                        for part in parts {
                            self.indicator(part, tlp.max(markings(part)));
                        }
                    } else {
                        self.out.filter("unmappable");
                    }
                }
                "Related_Indicators" => child.children.iter().for_each(|related| self.object(related, tlp)),
                _ => {}
            }
        }
        if is_true(element.attribute("negate")) {
            self.out.filter("unmappable");
        } else if nothing {
            self.out.filter("an indicator without observables");
        }
        self.give(&about, found);
    }

    /// Hands over what was found, and what it refers to.
    fn give(&mut self, about: &About, found: Found) {
        let mut seen = HashSet::new();
        self.give_all(about, found, &mut seen, 0);
    }

    fn give_all(&mut self, about: &About, found: Found, seen: &mut HashSet<String>, depth: usize) {
        for reason in found.filtered {
            self.out.filter(reason);
        }
        for atom in found.atoms {
            let row = Observation {
                value: atom.value,
                kind: atom.kind,
                confidence: about.confidence,
                tlp: about.tlp,
                tags: about.tags.clone(),
                modified: about.modified,
                valid_from: about.valid_from,
                expires_at: about.expires_at,
                comment: about.comment.clone(),
                remote_id: about.remote_id.clone(),
                ..Observation::default()
            };
            self.out.row(row);
        }
        for id in found.references {
            // Each is followed once, or references to references would multiply.
            if !seen.insert(id.clone()) {
                continue;
            }
            if depth >= REFERENCE_DEPTH {
                self.out.filter("unresolved reference");
                continue;
            }
            match self.known.get_mut(&id) {
                Some(known) => {
                    known.idle = false;
                    let about = About { tlp: about.tlp.max(known.tlp), ..about.clone() };
                    let found = known.found.clone();
                    self.give_all(&about, found, seen, depth + 1);
                }
                None if self.waiting.len() < WAITING && self.bytes < MEMORY_BYTES => {
                    self.bytes += about.comment.as_ref().map_or(0, String::len) + id.len() + 500;
                    self.waiting.push((about.clone(), id));
                }
                None => self.out.filter("unresolved reference"),
            }
        }
    }

    /// References that had to wait, and what nobody referred to.
    fn close(&mut self) {
        // Twice: what was waited for may refer to what comes later still.
        for last in [false, true] {
            for (about, id) in std::mem::take(&mut self.waiting) {
                if !last && self.known.contains_key(&id) {
                    self.give(&about, Found { references: vec![id], ..Found::default() });
                } else {
                    self.out.filter("unresolved reference");
                }
            }
        }
        let idle = self.known.values().filter(|known| known.idle).count() as u64 + self.lost;
        for _ in 0..idle {
            self.out.filter("an observable without an indicator");
        }
    }
}

fn is_true(word: Option<&str>) -> bool {
    word.is_some_and(|word| matches!(word.trim(), "true" | "1"))
}

fn about(element: &Element, tlp: Option<Tlp>) -> About {
    let title = element.child_text("Title");
    let text = element.child_text("Description").or_else(|| element.child_text("Short_Description"));
    let comment = match (title, text) {
        (Some(title), Some(text)) if title != text => Some(format!("{}: {text}", clip(title, COMMENT_BYTES))),
        (title, text) => title.or(text).map(str::to_owned),
    };
    let comment = comment.map(|text| clip(&text, COMMENT_BYTES));
    let mut out = About {
        comment,
        confidence: element.child("Confidence").and_then(|c| c.child_text("Value")).and_then(confidence),
        modified: element.attribute("timestamp").and_then(Timestamp::parse),
        remote_id: element.attribute("id").map(str::to_owned),
        tlp,
        ..About::default()
    };
    let periods = element.children.iter().filter(|child| child.name() == "Valid_Time_Position");
    let (mut from, mut to) = (Vec::new(), Vec::new());
    for period in periods {
        from.push(period.child_text("Start_Time").and_then(Timestamp::parse));
        to.push(period.child_text("End_Time").and_then(Timestamp::parse));
    }
    // Of several periods the union, and an open end stays open.
    out.valid_from = from.into_iter().min().flatten();
    out.expires_at = if to.iter().any(Option::is_none) { None } else { to.into_iter().max().flatten() };
    // What is a list of what to watch for says only the kind, which the value says better.
    let types = element.children.iter().filter(|child| child.name() == "Type").map(|child| child.text.trim());
    let types = types.filter(|text| !text.is_empty() && !text.ends_with("Watchlist")).take(TYPES);
    out.tags = types.map(|text| clip(text, TAG_BYTES)).collect();
    out
}

/// Nothing is kept longer than a record would.
fn clip(text: &str, bytes: usize) -> String {
    text[..text.floor_char_boundary(bytes)].to_owned()
}

/// High, medium and low as STIX 2.1 (appendix A) turns them into numbers: 85, 50, 15; none is 0. A number of 0 to 100
/// is itself.
fn confidence(word: &str) -> Option<i64> {
    match word.to_ascii_lowercase().as_str() {
        "high" => Some(85),
        "medium" => Some(50),
        "low" => Some(15),
        "none" => Some(0),
        other => other.parse::<i64>().ok().filter(|n| (0..=100).contains(n)),
    }
}

/// The strictest marking directly on an object or in a header.
fn markings(element: &Element) -> Option<Tlp> {
    element.children.iter().filter(|child| child.name() == "Handling").filter_map(handling).max()
}

/// The strictest of the marking structures inside.
fn handling(element: &Element) -> Option<Tlp> {
    if element.name() == "Marking_Structure" {
        return structure(element);
    }
    element.children.iter().filter_map(handling).max()
}

fn structure(element: &Element) -> Option<Tlp> {
    let kind = element.attribute("xsi:type").map_or("", local);
    match kind {
        "TLPMarkingStructureType" => Some(element.attribute("color").and_then(Tlp::parse).unwrap_or(Tlp::Red)),
        "AISMarkingStructure" => Some(colours(element).max().unwrap_or(Tlp::Red)),
        // A statement binds nobody's software, unless it is a colour in words.
        "SimpleMarkingStructureType" => {
            let text = element.child_text("Statement").unwrap_or_default();
            let tlp = text.to_ascii_lowercase().contains("tlp");
            tlp.then(|| Tlp::parse(text).unwrap_or(Tlp::Red))
        }
        "TermsOfUseMarkingStructureType" => None,
        _ => Some(Tlp::Red),
    }
}

fn colours(element: &Element) -> Box<dyn Iterator<Item = Tlp> + '_> {
    let own = element.attribute("color").map(|colour| Tlp::parse(colour).unwrap_or(Tlp::Red));
    Box::new(own.into_iter().chain(element.children.iter().flat_map(colours)))
}

/// A name without its prefix.
fn local(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local).trim()
}

#[cfg(test)]
mod tests;
