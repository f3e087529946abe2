//! The messages of TAXII 1.1 in XML (TAXII XML Message Binding 1.1).

use crate::aside::Aside;
use intel::Timestamp;
use kit::xml::{Element, Reader, Tag, Token};
use kit::{ConnectorError, Rows, stix1};
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::BufRead;
use std::time::Duration;

/// The message binding.
pub(super) const BINDING: &str = "urn:taxii.mitre.org:message:xml:1.1";

const NAMESPACE: &str = "http://taxii.mitre.org/messages/taxii_xml_binding-1.1";
const INSTANCE: &str = "http://www.w3.org/2001/XMLSchema-instance";
/// The bindings of content that are read.
const STIX: &str = "urn:stix.mitre.org:xml:";
/// Largest package, in bytes as written anew; a larger one is rejected.
const MAX_PACKAGE: usize = 64 << 20;
/// Poll services of one discovery.
const MAX_SERVICES: usize = 50;

/// What a server answers.
pub(super) enum Answer {
    Poll(Poll),
    Status(Status),
    /// The addresses of poll services.
    Services(Vec<String>),
}

/// A poll response, without the content: that went to the rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Poll {
    pub(super) more: bool,
    pub(super) result: Option<String>,
    pub(super) number: Option<u64>,
    /// Up to here the server told everything.
    pub(super) end: Option<String>,
    /// The latest label of a block.
    pub(super) label: Option<String>,
    pub(super) n_blocks: u64,
    /// Tells the content from another one.
    pub(super) print: u64,
}

/// A status message: the server did not do what was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Status {
    kind: String,
    words: String,
    wait_secs: Option<u64>,
}

impl Status {
    /// The server does not know the answer any longer whose part was asked for.
    pub(super) fn is_forgotten(&self) -> bool {
        matches!(self.kind.as_str(), "NOT_FOUND" | "INVALID_RESPONSE_PART")
    }

    /// What to do next.
    pub(super) fn error(&self, url: &str) -> ConnectorError {
        let Status { kind, words, wait_secs } = self;
        let said = if words.is_empty() { kind.clone() } else { format!("{kind}: {words}") };
        let later = |wait| ConnectorError::Later { wait, why: format!("{url}: the server says {said}") };
        let denied = |advice: &str| ConnectorError::Denied(format!("{url}: the server says {said}; {advice}"));
        match kind.as_str() {
            "UNAUTHORIZED" => denied("check username and password"),
            "DENIED" => denied("this account may not read the collection; ask the server's operator"),
            "NOT_FOUND" | "DESTINATION_COLLECTION_ERROR" => denied("check the name of the collection"),
            "POLLING_UNSUPPORTED" | "POLLING_NOT_SUPPORTED" => denied("this collection cannot be polled"),
            "RETRY" | "BUSY" | "PENDING" => later(wait_secs.map(Duration::from_secs)),
            "FAILURE" | "NETWORK_ERROR" => later(None),
            _ => ConnectorError::Unexpected(format!("{url}: the server says {said}")),
        }
    }
}

/// Asks which services there are.
pub(super) fn discovery(id: &str) -> String {
    format!("<Discovery_Request xmlns=\"{NAMESPACE}\" message_id=\"{}\"/>", escape(id))
}

/// Asks for what was added after `begin`.
pub(super) fn poll(id: &str, collection: &str, begin: &str, subscription: Option<&str>) -> String {
    let how = match subscription {
        Some(subscription) => format!("<Subscription_ID>{}</Subscription_ID>", escape(subscription)),
        None => "<Poll_Parameters allow_asynch=\"false\"><Response_Type>FULL</Response_Type></Poll_Parameters>".into(),
    };
    format!(
        "<Poll_Request xmlns=\"{NAMESPACE}\" message_id=\"{}\" collection_name=\"{}\">\
         <Exclusive_Begin_Timestamp>{}</Exclusive_Begin_Timestamp>{how}</Poll_Request>",
        escape(id),
        escape(collection),
        escape(begin)
    )
}

/// Asks for a further part of an answer.
pub(super) fn fulfillment(id: &str, collection: &str, result: &str, number: u64) -> String {
    format!(
        "<Poll_Fulfillment xmlns=\"{NAMESPACE}\" message_id=\"{}\" collection_name=\"{}\" result_id=\"{}\" \
         result_part_number=\"{number}\"/>",
        escape(id),
        escape(collection),
        escape(result)
    )
}

/// Reads an answer. Packages go to `rows` one by one; one that cannot be read is rejected and costs no other.
///
/// # Errors
/// `Unexpected` for what is no message of TAXII 1.1, or is broken.
pub(super) fn read(body: impl BufRead, rows: &mut dyn Rows) -> Result<Answer, ConnectorError> {
    let mut reader = Reader::new(body)?;
    let root = reader.root()?;
    if !root.namespace.is_empty() && root.namespace != NAMESPACE {
        return Err(ConnectorError::Unexpected(format!(
            "the answer is no message of TAXII 1.1: its root is <{}> of another namespace",
            clip(&root.name)
        )));
    }
    match root.name.as_str() {
        "Poll_Response" => response(&mut reader, &root, rows).map(Answer::Poll),
        "Status_Message" => {
            let element = whole(&mut reader, root)?;
            Ok(Answer::Status(status(&element)))
        }
        "Discovery_Response" => {
            let element = whole(&mut reader, root)?;
            Ok(Answer::Services(services(&element)))
        }
        name => Err(ConnectorError::Unexpected(format!(
            "the answer is no message of TAXII 1.1: its root is <{}>",
            clip(name)
        ))),
    }
}

fn whole(reader: &mut Reader<'_>, root: Tag) -> Result<Element, ConnectorError> {
    let element = reader.element(root)?;
    reader.finish()?;
    element.ok_or_else(|| ConnectorError::Unexpected("the answer is larger than such a message may be".into()))
}

fn status(message: &Element) -> Status {
    let mut wait_secs = None;
    let details = message.child("Status_Detail").map(|detail| detail.children.as_slice()).unwrap_or_default();
    for detail in details.iter().filter(|detail| detail.attribute("name") == Some("ESTIMATED_WAIT")) {
        wait_secs = detail.text.trim().parse().ok();
    }
    Status {
        kind: clip(message.attribute("status_type").unwrap_or("a status without a type")),
        words: message.child_text("Message").unwrap_or_default().chars().take(300).collect(),
        wait_secs,
    }
}

fn services(message: &Element) -> Vec<String> {
    let is_poll = |one: &&Element| {
        one.name() == "Service_Instance"
            && one.attribute("service_type") == Some("POLL")
            && one.attribute("available") != Some("false")
            && one.attribute("service_version").is_none_or(|version| version.ends_with("1.1"))
    };
    let polls = message.children.iter().filter(is_poll).take(MAX_SERVICES);
    polls.filter_map(|one| one.child_text("Address")).map(str::to_owned).collect()
}

fn response(reader: &mut Reader<'_>, root: &Tag, rows: &mut dyn Rows) -> Result<Poll, ConnectorError> {
    let mut poll = Poll {
        more: matches!(root.attribute("more"), Some("true" | "1")),
        result: root.attribute("result_id").filter(|id| !id.is_empty()).map(clip),
        number: root.attribute("result_part_number").and_then(|number| number.parse().ok()),
        ..Poll::default()
    };
    let mut hash = DefaultHasher::new();
    loop {
        match reader.token()? {
            Token::Start(tag) if tag.name == "Content_Block" => {
                poll.n_blocks += 1;
                let label = block(reader, rows, &mut hash)?;
                if label.as_deref().and_then(Timestamp::parse) > poll.label.as_deref().and_then(Timestamp::parse) {
                    poll.label = label;
                }
            }
            Token::Start(tag) if tag.name == "Inclusive_End_Timestamp" => {
                let element = reader.element(tag)?;
                poll.end = element.map(|element| element.text.trim().to_owned()).filter(|text| !text.is_empty());
            }
            Token::Start(_) => reader.skip()?,
            Token::Text(_) => {}
            Token::End => break,
            Token::Eof => return Err(cut_off()),
        }
    }
    reader.finish()?;
    poll.print = hash.finish();
    Ok(poll)
}

/// One block of content; gives its label.
fn block(
    reader: &mut Reader<'_>,
    rows: &mut dyn Rows,
    hash: &mut DefaultHasher,
) -> Result<Option<String>, ConnectorError> {
    let mut binding = String::new();
    let mut label = None;
    loop {
        match reader.token()? {
            Token::Start(tag) if tag.name == "Content_Binding" => {
                let id = tag.attribute("binding_id").unwrap_or_default().to_owned();
                let text = reader.element(tag)?.map(|element| element.text.trim().to_owned()).unwrap_or_default();
                binding = if id.is_empty() { text } else { id };
            }
            Token::Start(tag) if tag.name == "Timestamp_Label" => {
                label = reader.element(tag)?.map(|element| element.text.trim().to_owned());
            }
            // A block without a binding is tried: the schema wants one, servers forget it.
            Token::Start(tag) if tag.name == "Content" && (binding.is_empty() || binding.starts_with(STIX)) => {
                content(reader, rows, hash)?;
            }
            Token::Start(tag) if tag.name == "Content" => {
                rows.filter("content that is not STIX 1", 1);
                reader.skip()?;
            }
            Token::Start(_) => reader.skip()?,
            Token::Text(_) => {}
            Token::End => return Ok(label),
            Token::Eof => return Err(cut_off()),
        }
    }
}

/// The package inside a block: as elements, or as text that is XML itself.
fn content(reader: &mut Reader<'_>, rows: &mut dyn Rows, hash: &mut DefaultHasher) -> Result<(), ConnectorError> {
    let mut text = String::new();
    let mut has_package = false;
    loop {
        match reader.token()? {
            Token::Start(tag) => {
                has_package = true;
                match written(reader, &tag)? {
                    Some(package) => package_rows(&package, rows, hash)?,
                    None => rows.reject("package too large", &tag.name),
                }
            }
            Token::Text(more) if text.len() + more.len() <= MAX_PACKAGE => text.push_str(&more),
            Token::Text(_) => {}
            Token::End => break,
            Token::Eof => return Err(cut_off()),
        }
    }
    if !has_package {
        package_rows(text.trim(), rows, hash)?;
    }
    Ok(())
}

fn package_rows(package: &str, rows: &mut dyn Rows, hash: &mut DefaultHasher) -> Result<(), ConnectorError> {
    hash.write(package.as_bytes());
    let mut aside = Aside::default();
    match stix1::read(package.as_bytes(), &mut aside) {
        Ok(_) => aside.hand_over(rows),
        Err(ConnectorError::Unexpected(why)) => {
            let head: String = package.chars().take(200).collect();
            rows.reject("package that cannot be read", &format!("{why}: {head}"));
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// The element that began with `tag` as a document of its own: prefixes of its surroundings are resolved, so each element
/// names its namespace. None if it is too large; it was passed over.
fn written(reader: &mut Reader<'_>, tag: &Tag) -> Result<Option<String>, ConnectorError> {
    let mut out = String::new();
    let mut names = vec![tag.name.clone()];
    let mut spaces = vec![tag.namespace.clone()];
    begin(&mut out, tag, None);
    while let Some(name) = names.last() {
        match reader.token()? {
            Token::Start(tag) => {
                begin(&mut out, &tag, spaces.last().map(String::as_str));
                names.push(tag.name);
                spaces.push(tag.namespace);
            }
            Token::Text(text) => out.push_str(&escape(&text)),
            Token::End => {
                let _ = write!(out, "</{name}>");
                names.pop();
                spaces.pop();
            }
            Token::Eof => return Err(cut_off()),
        }
        if out.len() > MAX_PACKAGE {
            for _ in 0..names.len() {
                reader.skip()?;
            }
            return Ok(None);
        }
    }
    Ok(Some(out))
}

fn begin(out: &mut String, tag: &Tag, outer: Option<&str>) {
    let _ = write!(out, "<{}", tag.name);
    if outer != Some(&tag.namespace) {
        let _ = write!(out, " xmlns=\"{}\"", escape(&tag.namespace));
    }
    if outer.is_none() {
        let _ = write!(out, " xmlns:xsi=\"{INSTANCE}\"");
    }
    for (at, (name, value)) in tag.attributes.iter().enumerate() {
        // Two of one name came from two namespaces, and which is which is not told; the first is the likelier one.
        let is_new = !tag.attributes[..at].iter().any(|(other, _)| other == name);
        if is_new {
            let _ = write!(out, " {name}=\"{}\"", escape(value));
        }
    }
    out.push('>');
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // As they are, they would be read as blanks.
            '\t' | '\n' | '\r' => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
            // XML has no way to write the others.
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

fn clip(text: &str) -> String {
    text.chars().take(200).collect()
}

fn cut_off() -> ConnectorError {
    ConnectorError::Unexpected("the XML document is cut off".into())
}
