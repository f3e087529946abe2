//! XML from strangers: one reader, bounded and without entities.
//!
//! A document type declaration is refused outright, so there is nothing to expand, to include or to fetch; the five
//! predefined entities and character references are all there is. Depth, attributes, names, texts and the size of an
//! element that is kept whole have limits. Elements are told apart by namespace and local name, whatever their prefix.
//! It is no validator: what a document may hold is for the format that reads it.

use crate::error::ConnectorError;
use crate::feed::prose;
use crate::http::read_error;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;
use std::io::{self, BufRead, Read};

/// The deepest nesting that is read.
pub const DEPTH: usize = 64;
/// Most attributes of one element, namespace declarations included.
pub const ATTRIBUTES: usize = 256;
/// The longest value of an attribute, in bytes.
pub const ATTRIBUTE_BYTES: usize = 64 << 10;
/// The longest name, in bytes.
pub const NAME_BYTES: usize = 1 << 10;
/// Most namespace declarations in force at one place.
pub const NAMESPACES: usize = 512;
/// The longest piece (a tag, a text, a comment), in bytes as written.
pub const PIECE_BYTES: usize = 8 << 20;
/// The longest text directly inside one element that is kept, in bytes.
pub const TEXT_BYTES: usize = 1 << 20;
/// Most elements inside one that is kept whole.
pub const ELEMENTS: usize = 50_000;
/// Most bytes of names, attributes and texts inside one element that is kept whole, with what keeping them costs.
pub const ELEMENT_BYTES: usize = 16 << 20;
/// What an attribute costs beside its letters: two texts and their places in memory.
const ATTRIBUTE_COST: usize = 96;

const SCHEMA_INSTANCE: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// The beginning of an element.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tag {
    /// The namespace; empty where there is none, or where the prefix is bound to nothing.
    pub namespace: String,
    /// The name without its prefix.
    pub name: String,
    /// Local names and values, without namespace declarations. Those of the schema instance namespace are named with
    /// `xsi:` whatever their prefix, as in `xsi:type`.
    pub attributes: Vec<(String, String)>,
}

impl Tag {
    /// The attribute with this local name.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// An element that is kept whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Element {
    /// Name and attributes.
    pub tag: Tag,
    /// The texts directly inside, joined.
    pub text: String,
    /// The elements directly inside, in order.
    pub children: Vec<Element>,
}

impl Element {
    /// The name without its prefix.
    pub fn name(&self) -> &str {
        &self.tag.name
    }

    /// The attribute with this local name.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.tag.attribute(name)
    }

    /// The first element directly inside with this local name.
    pub fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name() == name)
    }

    /// The text of the first element directly inside with this local name; None if it is blank.
    pub fn child_text(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.trim()).filter(|text| !text.is_empty())
    }
}

/// What comes next in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// An element begins; an empty one is followed by its end.
    Start(Tag),
    /// A piece of text, entities replaced. A text may come in several pieces.
    Text(String),
    /// The element that began last ends.
    End,
    /// The document is over, and was whole.
    Eof,
}

/// Lets no single piece of a document grow beyond the limit.
struct Fuse<'r> {
    inner: Box<dyn BufRead + 'r>,
    left: usize,
}

impl Read for Fuse<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(buffer)?;
        self.consume(n);
        Ok(n)
    }
}

impl BufRead for Fuse<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            return Err(io::Error::other(unexpected("a single piece of XML of more than 8 MiB")));
        }
        let left = self.left;
        self.inner.fill_buf().map(|chunk| &chunk[..chunk.len().min(left)])
    }

    fn consume(&mut self, n: usize) {
        self.left = self.left.saturating_sub(n);
        self.inner.consume(n);
    }
}

/// Reads a document from its beginning to its end.
pub struct Reader<'r> {
    reader: NsReader<Fuse<'r>>,
    piece: Vec<u8>,
    depth: usize,
    /// The root has begun.
    begun: bool,
    /// An empty element was begun: its end is due.
    due: bool,
}

fn unexpected(why: &str) -> ConnectorError {
    ConnectorError::Unexpected(why.into())
}

impl<'r> Reader<'r> {
    /// Begins. A byte order mark is dropped; UTF-16 is read where a mark says so.
    ///
    /// # Errors
    /// `Unexpected` for what is no text, or no XML; what the reader's own errors mean.
    pub fn new(body: impl BufRead + 'r) -> Result<Reader<'r>, ConnectorError> {
        let mut body = prose(Box::new(body))?;
        loop {
            // Blanks before the declaration are against the letter of XML, and common.
            let chunk = body.fill_buf().map_err(|error| read_error(&error))?;
            let blanks = chunk.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            match chunk.get(blanks) {
                Some(b'<') => {
                    body.consume(blanks);
                    break;
                }
                Some(_) => return Err(unexpected("the body is not XML: it does not begin with <")),
                None if chunk.is_empty() => return Err(unexpected("an empty body where XML was expected")),
                None => body.consume(blanks),
            }
        }
        let mut reader = NsReader::from_reader(Fuse { inner: body, left: PIECE_BYTES });
        reader.resolver_mut().set_max_namespace_bindings(NAMESPACES);
        Ok(Reader { reader, piece: Vec::new(), depth: 0, begun: false, due: false })
    }

    /// How many elements are open.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// What comes next.
    ///
    /// # Errors
    /// `Unexpected` for a document type declaration, an entity, a limit passed, or what is not well-formed, with the
    /// place; nothing of such a document may be used.
    pub fn token(&mut self) -> Result<Token, ConnectorError> {
        if std::mem::take(&mut self.due) {
            self.depth -= 1;
            return Ok(Token::End);
        }
        loop {
            self.piece.clear();
            // A piece that was long gives its memory back.
            self.piece.shrink_to(64 << 10);
            self.reader.get_mut().left = PIECE_BYTES;
            let event = match self.reader.read_event_into(&mut self.piece) {
                Ok(event) => event,
                Err(error) => {
                    let at = self.reader.error_position();
                    return Err(self.failed(&error, at));
                }
            };
            let at = self.reader.buffer_position();
            let told = |why: &str| unexpected(&format!("{why}, at byte {at} of the XML"));
            let wrong = |why: &str| Err(told(why));
            match event {
                Event::Start(start) | Event::Empty(start) if self.depth == 0 && self.begun => {
                    let _ = start;
                    return wrong("a second root element");
                }
                Event::Start(start) => {
                    if self.depth >= DEPTH {
                        return wrong("elements nested more than 64 deep");
                    }
                    let tag = tag(&start, &self.reader).map_err(|why| told(&why))?;
                    self.depth += 1;
                    self.begun = true;
                    return Ok(Token::Start(tag));
                }
                Event::Empty(start) => {
                    if self.depth >= DEPTH {
                        return wrong("elements nested more than 64 deep");
                    }
                    let tag = tag(&start, &self.reader).map_err(|why| told(&why))?;
                    self.depth += 1;
                    self.begun = true;
                    self.due = true;
                    return Ok(Token::Start(tag));
                }
                Event::End(_) => {
                    self.depth = self.depth.saturating_sub(1);
                    return Ok(Token::End);
                }
                Event::Text(text) if self.depth == 0 => {
                    if !text.trim().is_empty() {
                        return wrong("text outside the root element");
                    }
                }
                Event::CData(_) | Event::GeneralRef(_) if self.depth == 0 => {
                    return wrong("text outside the root element");
                }
                Event::Text(text) => return Ok(Token::Text(text.xml10_content().into_owned())),
                Event::CData(text) => return Ok(Token::Text(text.xml10_content().into_owned())),
                Event::GeneralRef(name) => {
                    let one = match &*name {
                        "lt" => '<',
                        "gt" => '>',
                        "amp" => '&',
                        "apos" => '\'',
                        "quot" => '"',
                        _ => match name.resolve_char_ref() {
                            Ok(Some(one)) => one,
                            Ok(None) => return wrong("an entity that is not predefined: entities are not expanded"),
                            Err(_) => return wrong("a reference to no character"),
                        },
                    };
                    return Ok(Token::Text(one.to_string()));
                }
                Event::DocType(_) => return wrong("a document type declaration: it is refused"),
                Event::Decl(declaration) => {
                    if self.begun {
                        return wrong("an XML declaration inside the document");
                    }
                    // UTF-16 was recoded on the way, and ASCII is UTF-8.
                    let plain = |name: &str| {
                        ["utf-8", "utf8", "utf-16", "utf-16le", "utf-16be", "us-ascii", "ascii"]
                            .contains(&name.to_ascii_lowercase().as_str())
                    };
                    match declaration.encoding() {
                        Some(Ok(name)) if !plain(&name) => {
                            let name: String = name.chars().take(40).filter(|c| !c.is_control()).collect();
                            return wrong(&format!("the encoding {name:?}: only UTF-8 and UTF-16 are read"));
                        }
                        Some(Err(_)) => return wrong("an XML declaration that cannot be read"),
                        _ => {}
                    }
                }
                Event::Comment(_) | Event::PI(_) => {}
                Event::Eof if self.depth > 0 => return Err(unexpected("the XML document is cut off")),
                Event::Eof if !self.begun => return Err(unexpected("no element in the XML document")),
                Event::Eof => return Ok(Token::Eof),
            }
        }
    }

    /// The first element. Comments and declarations before it are passed over.
    ///
    /// # Errors
    /// As [`Reader::token`]; a page of HTML is named as such.
    pub fn root(&mut self) -> Result<Tag, ConnectorError> {
        loop {
            if let Token::Start(tag) = self.token()? {
                if tag.name.eq_ignore_ascii_case("html") {
                    return Err(unexpected("HTML page where XML was expected"));
                }
                return Ok(tag);
            }
        }
    }

    /// The rest of the element that began with `tag`, whole. None if it is larger than the limits: it was passed over.
    ///
    /// # Errors
    /// As [`Reader::token`].
    pub fn element(&mut self, tag: Tag) -> Result<Option<Element>, ConnectorError> {
        let weight = |tag: &Tag| {
            let texts =
                tag.attributes.iter().map(|(key, value)| key.len() + value.len() + ATTRIBUTE_COST).sum::<usize>();
            tag.namespace.len() + tag.name.len() + texts
        };
        let mut elements = 1;
        let mut bytes = weight(&tag);
        let mut open: Vec<Element> = Vec::new();
        let mut current = Element { tag, ..Element::default() };
        loop {
            match self.token()? {
                Token::Start(tag) => {
                    elements += 1;
                    bytes += weight(&tag);
                    open.push(std::mem::replace(&mut current, Element { tag, ..Element::default() }));
                }
                Token::Text(text) => {
                    bytes += text.len();
                    current.text.push_str(&text);
                }
                Token::End => match open.pop() {
                    None => return Ok(Some(current)),
                    Some(mut parent) => {
                        if parent.children.is_empty() && parent.text.trim().is_empty() {
                            // Layout, not text.
                            parent.text = String::new();
                        }
                        parent.children.push(std::mem::take(&mut current));
                        current = parent;
                    }
                },
                Token::Eof => return Err(unexpected("the XML document is cut off")),
            }
            if elements > ELEMENTS || bytes > ELEMENT_BYTES || current.text.len() > TEXT_BYTES {
                let depth = open.len();
                drop(open);
                drop(current);
                for _ in 0..=depth {
                    self.skip()?;
                }
                return Ok(None);
            }
        }
    }

    /// Past the end of the element that is open.
    ///
    /// # Errors
    /// As [`Reader::token`].
    pub fn skip(&mut self) -> Result<(), ConnectorError> {
        let mut depth = 1;
        while depth > 0 {
            match self.token()? {
                Token::Start(_) => depth += 1,
                Token::End => depth -= 1,
                Token::Text(_) => {}
                Token::Eof => return Err(unexpected("the XML document is cut off")),
            }
        }
        Ok(())
    }

    /// To the end of the document, so that what is broken after the last thing of interest is known.
    ///
    /// # Errors
    /// As [`Reader::token`].
    pub fn finish(&mut self) -> Result<(), ConnectorError> {
        while self.token()? != Token::Eof {}
        Ok(())
    }

    fn failed(&self, error: &quick_xml::Error, at: u64) -> ConnectorError {
        match error {
            quick_xml::Error::Io(error) => read_error(error),
            other => {
                let why: String =
                    other.to_string().chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).collect();
                unexpected(&format!("broken XML: {why}, at byte {at}"))
            }
        }
    }
}

fn tag(start: &BytesStart<'_>, reader: &NsReader<Fuse<'_>>) -> Result<Tag, String> {
    let (space, name) = reader.resolver().resolve_element(start.name());
    let name = name.as_ref();
    if name.len() > NAME_BYTES {
        return Err("a name of more than 1 KiB".into());
    }
    let namespace = match space {
        ResolveResult::Bound(namespace) => namespace.0,
        ResolveResult::Unbound | ResolveResult::Unknown(_) => "",
    };
    if namespace.len() > NAME_BYTES {
        return Err("a namespace of more than 1 KiB".into());
    }
    let mut tag = Tag { namespace: namespace.to_owned(), name: name.to_owned(), attributes: Vec::new() };
    // Searching for repeats costs the square of their number: bounded before it is done.
    let mut attributes = start.attributes();
    attributes.with_checks(false);
    let mut seen: Vec<&str> = Vec::new();
    for attribute in attributes {
        let attribute = attribute.map_err(|error| format!("a broken attribute ({error})"))?;
        if seen.len() >= ATTRIBUTES {
            return Err("an element with more than 256 attributes".into());
        }
        let key = attribute.key.0;
        if seen.contains(&key) {
            return Err("an attribute that stands twice".into());
        }
        seen.push(key);
        if key.len() > NAME_BYTES || attribute.value.len() > ATTRIBUTE_BYTES {
            return Err("an attribute of more than 64 KiB".into());
        }
        if attribute.key.as_namespace_binding().is_some() {
            continue;
        }
        let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|_| {
            "an entity in an attribute that is not predefined, or a reference to no character".to_owned()
        })?;
        let (space, local) = reader.resolver().resolve_attribute(attribute.key);
        let instance = match space {
            ResolveResult::Bound(namespace) => namespace.0 == SCHEMA_INSTANCE,
            ResolveResult::Unknown(prefix) => prefix == "xsi",
            ResolveResult::Unbound => false,
        };
        let local = local.as_ref();
        let key = if instance { format!("xsi:{local}") } else { local.to_owned() };
        tag.attributes.push((key, value.into_owned()));
    }
    Ok(tag)
}

#[cfg(test)]
mod tests;
