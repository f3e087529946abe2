//! OpenIOC 1.0 and 1.1: one indicator of compromise a document, as a tree of conditions.
//!
//! What stands under OR is split, item by item. What must hold together (AND) is split only where every item is a hash
//! of the same file; it is *unmappable* else, and so is every condition but `is`: `contains` names a part of a text, and
//! a part is not the thing. Unmappable means counted, never widened.
//!
//! Sources: the schemas of <https://github.com/mandiant/OpenIOC_1.1> and the search terms of the files that Mandiant
//! published (<https://github.com/mandiant/iocs>).

use crate::connection::Rows;
use crate::error::ConnectorError;
use crate::feed::{Counted, ParseStats};
use crate::xml::{Element, Reader, Tag, Token};
use intel::{IndicatorKind, Observation, Timestamp, Tlp};
use std::io::BufRead;

/// Most links that become tags.
const TAGS: usize = 32;
/// Longest description that goes with every row, in bytes.
const COMMENT_BYTES: usize = 1024;

/// Reads a document and hands over what it holds.
///
/// # Errors
/// `Unexpected` for what is no OpenIOC document, or is broken: nothing of it may be used.
pub fn read(body: impl BufRead, rows: &mut dyn Rows) -> Result<ParseStats, ConnectorError> {
    let mut reader = Reader::new(body)?;
    let root = reader.root()?;
    if !matches!(root.name.as_str(), "ioc" | "OpenIOC") {
        let name: String = root.name.chars().take(40).collect();
        return Err(ConnectorError::Unexpected(format!("not an OpenIOC document: its root is <{name}>")));
    }
    let modified = ["last-modified", "last_modified", "published-date"].iter().find_map(|name| root.attribute(name));
    let mut ioc = Ioc {
        out: Counted::new(rows),
        about: Observation {
            modified: modified.and_then(Timestamp::parse),
            remote_id: root.attribute("id").map(str::to_owned),
            ..Observation::default()
        },
        title: None,
    };
    let mut content = false;
    loop {
        let tag = match reader.token()? {
            Token::Start(tag) => tag,
            Token::Text(_) => continue,
            Token::End => break,
            Token::Eof => return Err(cut()),
        };
        match tag.name.as_str() {
            "definition" | "criteria" => {
                content = true;
                ioc.tree(&mut reader)?;
            }
            // A marking that comes after what it marks would come too late.
            "metadata" | "links" if content => {
                return Err(ConnectorError::Unexpected("metadata after the definition it speaks of".into()));
            }
            // What is too long for a description says nothing we need.
            "metadata" => {
                if let Some(element) = reader.element(tag)? {
                    element.children.iter().for_each(|child| ioc.told(child));
                }
            }
            _ => {
                if let Some(element) = reader.element(tag)? {
                    ioc.told(&element);
                }
            }
        }
    }
    reader.finish()?;
    Ok(ioc.out.stats)
}

fn cut() -> ConnectorError {
    ConnectorError::Unexpected("the XML document is cut off".into())
}

struct Ioc<'a> {
    out: Counted<'a>,
    /// What every row says.
    about: Observation,
    title: Option<String>,
}

/// What a search term means.
enum Term {
    Kind(IndicatorKind),
    /// A URL if it has a scheme; else a part of one.
    Uri,
    Unsupported,
}

fn term(search: &str) -> Term {
    use IndicatorKind::{Domain, Email, Filename, Ipv4, Md5, Sha1, Sha256, Sha512, Url, UserAgent};
    let (place, last) = search.rsplit_once('/').unwrap_or(("", search));
    // The hash of a whole file: on disk, of a driver, or mapped into a process.
    let file = matches!(place, "FileItem" | "DriverItem" | "ModuleItem" | "PrefetchItem" | "TaskItem")
        || place.ends_with("/MemorySection");
    Term::Kind(match (search, last.to_ascii_lowercase().as_str()) {
        (_, "md5sum") if file => Md5,
        (_, "sha1sum") if file => Sha1,
        (_, "sha256sum") if file => Sha256,
        (_, "sha512sum") if file => Sha512,
        ("FileItem/FileName", _) => Filename,
        (
            "Network/DNS"
            | "DnsEntryItem/RecordName"
            | "DnsEntryItem/Host"
            | "DnsEntryItem/RecordData/Host"
            | "UrlHistoryItem/HostName"
            | "CookieHistoryItem/HostName"
            | "FormHistoryItem/HostName",
            _,
        ) => Domain,
        // One hint for all address kinds: the text decides which it is.
        (
            "PortItem/remoteIP"
            | "Network/RemoteIP"
            | "Network/IP"
            | "DnsEntryItem/RecordData/IPv4Address"
            | "DnsEntryItem/RecordData/IPv6Address"
            | "Email/ReceivedFromIP",
            _,
        ) => Ipv4,
        ("UrlHistoryItem/URL" | "FileDownloadHistoryItem/SourceURL" | "FormHistoryItem/FormURL", _) => Url,
        ("Network/URI" | "Network/URL", _) => return Term::Uri,
        ("Network/UserAgent", _) => UserAgent,
        ("Email/From" | "Email/Sender", _) => Email,
        _ => return Term::Unsupported,
    })
}

/// An item that names a value exactly.
struct Exact<'e> {
    kind: IndicatorKind,
    value: &'e str,
    /// What it is told of: the term without its last part.
    place: &'e str,
}

/// One item, or why it names nothing.
fn exact(item: &Element) -> Result<Exact<'_>, &'static str> {
    let is = item.attribute("condition").is_some_and(|word| word.trim().eq_ignore_ascii_case("is"));
    let negated = item.attribute("negate").is_some_and(|word| matches!(word.trim(), "true" | "1"));
    let search = item.child("Context").and_then(|context| context.attribute("search")).unwrap_or_default().trim();
    let value = item.child_text("Content");
    let kind = match term(search) {
        Term::Unsupported => return Err("unsupported kind"),
        Term::Kind(kind) => kind,
        Term::Uri => IndicatorKind::Url,
    };
    let Some(value) = value.filter(|_| is && !negated) else {
        return Err(if is && !negated { "no value" } else { "unmappable" });
    };
    if matches!(term(search), Term::Uri) && !value.contains("://") {
        return Err("unmappable");
    }
    Ok(Exact { kind, value, place: search.rsplit_once('/').map_or("", |(place, _)| place) })
}

impl Ioc<'_> {
    /// An element beside the tree.
    fn told(&mut self, element: &Element) {
        let text = element.text.trim();
        match element.name() {
            "short_description" if !text.is_empty() => {
                self.title = Some(clip(text, COMMENT_BYTES));
                self.about.comment.clone_from(&self.title);
            }
            "description" if !text.is_empty() => {
                self.about.comment = Some(match &self.title {
                    Some(title) if title != text => clip(&format!("{title}: {text}"), COMMENT_BYTES),
                    _ => clip(text, COMMENT_BYTES),
                });
            }
            "authored_date" => self.about.first_seen = Timestamp::parse(text),
            "links" => element.children.iter().for_each(|link| self.link(link)),
            "link" => self.link(element),
            _ => {}
        }
    }

    fn link(&mut self, link: &Element) {
        let text = link.text.trim();
        match link.attribute("rel").unwrap_or_default().to_ascii_lowercase().as_str() {
            "threatcategory" | "threatgroup" | "category" | "family"
                if !text.is_empty() && self.about.tags.len() < TAGS =>
            {
                self.about.tags.push(clip(text, intel::limits::TAG_BYTES));
            }
            "tlp" => self.about.tlp = self.about.tlp.max(Some(Tlp::parse(text).unwrap_or(Tlp::Red))),
            _ => {}
        }
        if let Some(href) = link.attribute("href").filter(|href| href.starts_with("http")) {
            self.about.link = Some(href.to_owned());
        }
    }

    /// The inside of an element whose items hold one by one.
    fn tree(&mut self, reader: &mut Reader<'_>) -> Result<(), ConnectorError> {
        // The reader bounds the depth.
        loop {
            match reader.token()? {
                Token::Start(tag) if tag.name == "Indicator" && is_or(&tag) => self.tree(reader)?,
                Token::Start(tag) if matches!(tag.name.as_str(), "Indicator" | "IndicatorItem") => {
                    let id = tag.attribute("id").unwrap_or_default().to_owned();
                    match reader.element(tag)? {
                        Some(element) => self.part(&element),
                        None => self.out.reject("object too large", &id),
                    }
                }
                Token::Start(_) => reader.skip()?,
                Token::Text(_) => {}
                Token::End => return Ok(()),
                Token::Eof => return Err(cut()),
            }
        }
    }

    fn part(&mut self, element: &Element) {
        if element.name() == "IndicatorItem" {
            return match exact(element) {
                Ok(found) => self.row(&found, element),
                Err(reason) => self.out.filter(reason),
            };
        }
        let parts: Vec<&Element> =
            element.children.iter().filter(|child| matches!(child.name(), "Indicator" | "IndicatorItem")).collect();
        if is_or(&element.tag) || (parts.len() == 1 && !is_negated(&element.tag)) {
            return parts.into_iter().for_each(|part| self.part(part));
        }
        // All must hold: it is split where each says the same of one file.
        let items: Result<Vec<Exact<'_>>, &'static str> = parts
            .iter()
            .map(|part| if part.name() == "IndicatorItem" { exact(part) } else { Err("unmappable") })
            .collect();
        match items {
            Ok(items) if !is_negated(&element.tag) && one_file(&items) => {
                for (found, item) in items.iter().zip(parts) {
                    self.row(found, item);
                }
            }
            _ => self.out.filter("unmappable"),
        }
    }

    fn row(&mut self, found: &Exact<'_>, item: &Element) {
        let remote_id = item.attribute("id").map(str::to_owned);
        self.out.row(Observation {
            value: found.value.to_owned(),
            kind: Some(found.kind),
            remote_id: remote_id.or_else(|| self.about.remote_id.clone()),
            ..self.about.clone()
        });
    }
}

/// Hashes of different kinds, told of the same thing.
fn one_file(items: &[Exact<'_>]) -> bool {
    let hash =
        |kind| matches!(kind, IndicatorKind::Md5 | IndicatorKind::Sha1 | IndicatorKind::Sha256 | IndicatorKind::Sha512);
    let mut kinds: Vec<IndicatorKind> = items.iter().map(|item| item.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    !items.is_empty()
        && kinds.len() == items.len()
        && items.iter().all(|item| hash(item.kind) && item.place == items[0].place)
}

fn is_negated(tag: &Tag) -> bool {
    tag.attribute("negate").is_some_and(|word| matches!(word.trim(), "true" | "1"))
}

fn is_or(tag: &Tag) -> bool {
    tag.attribute("operator").is_some_and(|word| word.trim().eq_ignore_ascii_case("or")) && !is_negated(tag)
}

fn clip(text: &str, bytes: usize) -> String {
    text[..text.floor_char_boundary(bytes)].to_owned()
}

#[cfg(test)]
mod tests;
