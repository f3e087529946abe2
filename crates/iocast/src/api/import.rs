//! The indicators in a text that somebody has: found, refanged, and compared with what is known. Nothing is stored;
//! whoever likes what they see pushes the rows to a bucket.
//!
//! Which format a text is in is looked up, not asked: by its first characters and the name of the file. What has no
//! format of its own is prose.

use super::error::Problem;
use super::extract::Body;
use super::observations::{Item, ItemOp, ROW_BYTES, RawRows};
use crate::app::App;
use axum::Json;
use axum::extract::State;
use engine::Engine;
use html5gum::{DefaultEmitter, Token, Tokenizer};
use intel::{IndicatorKey, Observation, Timestamp};
use kit::Rows;
use kit::feed::FeedSpec;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Most indicators of one text.
const MAX_FOUND: usize = 100_000;
/// Rejected rows shown.
const MAX_REJECTED: usize = 200;
/// Characters looked at to tell XML from XML.
const PROBE_CHARS: usize = 8_000;
/// Lines looked at to tell a list from prose.
const PROBE_LINES: usize = 200;

/// A text to look into.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtractBody {
    /// The text itself: prose, Markdown, HTML, a list, a table, JSON, NDJSON, XML.
    pub text: String,
    /// `auto`, which is the default; `html`, `items` (rows as a bucket takes them), or the name of a feed's format.
    #[serde(default)]
    pub format: Option<String>,
    /// The name of the file it is from, where there is one.
    #[serde(default)]
    pub name: Option<String>,
}

/// One indicator of the text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Candidate {
    /// The row, as a bucket takes it: its value is canonical.
    pub item: Item,
    /// As it stands in the text.
    pub written: String,
    /// How often it stands there.
    pub times: u64,
    /// Something is known of it.
    pub known: bool,
    /// What is known counts.
    pub active: bool,
    /// What the guard says of it, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guarded: Option<String>,
}

/// What is no indicator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Refused {
    /// As it stands in the text, shortened.
    pub text: String,
    /// Why.
    pub reason: String,
}

/// What a text holds. `read = found + repeated + rejected`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ExtractAnswer {
    /// The format it was read as.
    pub format: String,
    /// Candidates, repeats and rejected ones included.
    pub read: u64,
    /// Different indicators.
    pub found: u64,
    /// Further mentions of them.
    pub repeated: u64,
    /// What looked like an indicator and is none.
    pub rejected: u64,
    /// What is no candidate.
    pub filtered: u64,
    /// Rejected ones by reason.
    pub rejected_by: BTreeMap<String, u64>,
    /// Filtered ones by reason.
    pub filtered_by: BTreeMap<String, u64>,
    /// In the order of the text.
    pub items: Vec<Candidate>,
    /// The first rejected ones.
    pub refused: Vec<Refused>,
}

/// `POST /api/v1/extract`.
pub(super) async fn extract(
    State(app): State<Arc<App>>,
    Body(body): Body<ExtractBody>,
) -> Result<Json<ExtractAnswer>, Problem> {
    app.hop(move |app| look(app.engine()?, &body)).await.map(Json)
}

/// What is found, while it is read.
struct Finds {
    now: Timestamp,
    places: HashMap<IndicatorKey, usize>,
    found: Vec<(IndicatorKey, Observation, u64)>,
    n_rejected: u64,
    n_filtered: u64,
    rejected_by: BTreeMap<String, u64>,
    filtered_by: BTreeMap<String, u64>,
    refused: Vec<Refused>,
    is_full: bool,
}

impl Finds {
    fn new(now: Timestamp) -> Finds {
        Finds {
            now,
            places: HashMap::new(),
            found: Vec::new(),
            n_rejected: 0,
            n_filtered: 0,
            rejected_by: BTreeMap::new(),
            filtered_by: BTreeMap::new(),
            refused: Vec::new(),
            is_full: false,
        }
    }

    fn refuse(&mut self, reason: &str, why: String, text: &str) {
        self.n_rejected += 1;
        *self.rejected_by.entry(reason.to_owned()).or_default() += 1;
        if self.refused.len() < MAX_REJECTED {
            self.refused.push(Refused { text: text.chars().take(120).collect(), reason: why });
        }
    }
}

impl Rows for Finds {
    fn row(&mut self, row: Observation) {
        match row.clone().normalise(self.now) {
            Ok(read) => match self.places.get(&read.key) {
                Some(at) => self.found[*at].2 += 1,
                None if self.found.len() == MAX_FOUND => self.is_full = true,
                None => {
                    self.places.insert(read.key.clone(), self.found.len());
                    self.found.push((read.key, row, 1));
                }
            },
            Err(rejection) => self.refuse(rejection.reason.as_str(), rejection.to_string(), &row.value),
        }
    }

    fn reject(&mut self, reason: &'static str, sample: &str) {
        self.refuse(reason, reason.to_owned(), sample);
    }

    fn filter(&mut self, reason: &'static str, n: u64) {
        self.n_filtered += n;
        *self.filtered_by.entry(reason.to_owned()).or_default() += n;
    }
}

/// Finds what a text holds.
pub(crate) fn look(engine: &Engine, body: &ExtractBody) -> Result<ExtractAnswer, Problem> {
    let now = engine.world().now();
    let mut finds = Finds::new(now);
    let text = body.text.trim_start_matches('\u{feff}');
    let asked = body.format.as_deref().filter(|format| !matches!(*format, "" | "auto"));
    let format = match asked {
        Some(format) => {
            read(text, format, &mut finds).map_err(Problem::invalid)?;
            format.to_owned()
        }
        None => {
            let guess = detect(text, body.name.as_deref().unwrap_or_default());
            match read(text, guess, &mut finds) {
                // What such a document does not stand by, or marks, prose would take for an indicator that anybody may
                // have: it is this or nothing.
                Ok(()) if is_exchanged(guess) => guess.to_owned(),
                Err(why) if is_exchanged(guess) => {
                    return Err(Problem::invalid(format!(
                        "this looks like {guess} and cannot be read as that: {why}. Mend it, or have it read as prose, \
                         without its markings: format \"extract\""
                    )));
                }
                Ok(()) if guess == "extract" || !finds.found.is_empty() => guess.to_owned(),
                // A table or a list that only looks like one still holds what prose holds.
                _ => {
                    finds = Finds::new(now);
                    read(text, "extract", &mut finds).map_err(Problem::invalid)?;
                    "extract".to_owned()
                }
            }
        }
    };
    if finds.is_full {
        return Err(Problem::invalid(format!("more than {MAX_FOUND} indicators in one text: that is a feed")));
    }
    let known = engine.known();
    let items: Vec<Candidate> = finds
        .found
        .iter()
        .map(|(key, observation, times)| {
            let id = known.index.id(key);
            Candidate {
                item: item(key, observation),
                written: observation.value.clone(),
                times: *times,
                known: id.is_some(),
                active: id.is_some_and(|id| known.index.summary(id, finds.now).folded.active),
                guarded: known.guard.look_up(key).map(|hit| {
                    let verb = if hit.stop { "stopped" } else { "flagged" };
                    format!("{verb} by the {} list \"{}\": {}", hit.class, hit.list, hit.value)
                }),
            }
        })
        .collect();
    let repeated = items.iter().map(|item| item.times - 1).sum();
    Ok(ExtractAnswer {
        format,
        read: items.len() as u64 + repeated + finds.n_rejected,
        found: items.len() as u64,
        repeated,
        rejected: finds.n_rejected,
        filtered: finds.n_filtered,
        rejected_by: finds.rejected_by,
        filtered_by: finds.filtered_by,
        items,
        refused: finds.refused,
    })
}

/// An observation as a bucket takes it.
fn item(key: &IndicatorKey, seen: &Observation) -> Item {
    let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
    Item {
        value: key.value().to_owned(),
        kind: Some(key.kind().as_str().to_owned()),
        op: if seen.retracted { ItemOp::Retract } else { ItemOp::Upsert },
        reputation: seen.reputation.map(|reputation| reputation.clamp(1, 10)),
        confidence: seen.confidence.map(|confidence| confidence.clamp(0, 100)),
        severity: seen.severity.map(|severity| severity.as_str().to_owned()),
        tlp: seen.tlp.map(|tlp| tlp.as_str().to_owned()),
        tags: seen.tags.clone(),
        first_seen: time(seen.first_seen),
        last_seen: time(seen.last_seen),
        modified: time(seen.modified),
        valid_from: time(seen.valid_from),
        expires_at: time(seen.expires_at),
        comment: seen.comment.clone(),
        link: seen.link.clone(),
        internal_hits: seen.internal_hits,
        external_hits: seen.external_hits,
        id: seen.remote_id.clone(),
        hops: seen.hops.clone(),
    }
}

/// Reads a text in a format.
fn read(text: &str, format: &str, finds: &mut Finds) -> Result<(), String> {
    let (settings, text) = match format {
        "items" => return items(text, finds),
        "html" => (json!({ "format": "extract" }), html(text)),
        format => (json!({ "format": format }), text.to_owned()),
    };
    let spec = FeedSpec::from_settings(&settings)?;
    kit::feed::parse(&spec, text.as_bytes(), finds).map(drop).map_err(|error| error.to_string())
}

/// Whether a format says of each value what it is worth and how far it may go.
fn is_exchanged(format: &str) -> bool {
    matches!(format, "stix" | "stix1" | "misp" | "openioc")
}

/// What a text most likely is.
fn detect(text: &str, name: &str) -> &'static str {
    let start = text.trim_start();
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()).unwrap_or_default();
    let head: String = start.chars().take(PROBE_CHARS).flat_map(char::to_lowercase).collect();
    if head.starts_with('<') {
        return match () {
            () if head.contains("<!doctype html") || head.contains("<html") => "html",
            () if head.contains("stix_package") || head.contains("cybox:observables") => "stix1",
            () if head.contains("<openioc") || head.contains("<ioc") => "openioc",
            () if matches!(extension.as_str(), "html" | "htm" | "xhtml") => "html",
            () => "extract",
        };
    }
    if head.starts_with(['{', '[']) {
        return detect_json(start);
    }
    match extension.as_str() {
        "csv" | "tsv" => "csv",
        "html" | "htm" => "html",
        "md" | "markdown" => "extract",
        _ if is_list(start) => "text",
        _ => "extract",
    }
}

/// The keys by which documents are told apart; what else they hold is passed over.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Peek<'a> {
    #[serde(borrow, rename = "type")]
    type_: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    objects: Option<&'a RawValue>,
    #[serde(borrow, rename = "Event")]
    event: Option<&'a RawValue>,
    #[serde(borrow, rename = "Attribute")]
    attribute: Option<&'a RawValue>,
    #[serde(borrow, rename = "Object")]
    misp_object: Option<&'a RawValue>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    #[serde(borrow)]
    items: Option<&'a RawValue>,
}

/// The first document of a text, or the first element of an array.
fn first(text: &str) -> Option<Peek<'_>> {
    let text = text.strip_prefix('[').unwrap_or(text);
    serde_json::Deserializer::from_str(text).into_iter::<Peek<'_>>().next()?.ok()
}

fn is_row(peek: &Peek<'_>) -> bool {
    peek.value.is_some_and(|value| value.get().starts_with('"'))
}

/// Whether it is STIX: a bundle, or an object, whose id says its type.
fn is_stix(peek: &Peek<'_>) -> bool {
    let Some(name) = peek.type_.map(|name| name.get().trim_matches('"')) else { return false };
    let id = peek.id.map_or("", |id| id.get().trim_start_matches('"'));
    name == "bundle" || id.strip_prefix(name).is_some_and(|rest| rest.starts_with("--"))
}

fn is_misp(peek: &Peek<'_>) -> bool {
    peek.event.is_some() || peek.attribute.is_some() || peek.misp_object.is_some()
}

fn detect_json(text: &str) -> &'static str {
    let Some(peek) = first(text) else {
        // Broken: what it was meant to be is told by words that nothing else has, and reading it says where it breaks.
        let head: String = text.chars().take(PROBE_CHARS).filter(|c| !c.is_whitespace()).collect();
        return match () {
            () if head.contains("\"type\":\"bundle\"") || head.contains("\"id\":\"indicator--") => "stix",
            () if head.contains("\"Event\":{") || head.contains("\"to_ids\":") => "misp",
            () => "extract",
        };
    };
    let inside = |raw: Option<&'_ RawValue>, is: fn(&Peek<'_>) -> bool| {
        raw.and_then(|raw| first(raw.get())).is_some_and(|inner| is(&inner))
    };
    match () {
        // The last is a page of a TAXII server.
        () if is_stix(&peek) || inside(peek.objects, is_stix) => "stix",
        () if is_misp(&peek) || inside(peek.response, is_misp) => "misp",
        () if is_row(&peek) || inside(peek.items, is_row) => "items",
        () => "extract",
    }
}

/// Whether nearly every line is a value and nothing else.
fn is_list(text: &str) -> bool {
    let is_comment = |line: &str| line.starts_with(['#', ';', '!']) || line.starts_with("//");
    let lines: Vec<&str> =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !is_comment(line)).take(PROBE_LINES).collect();
    let n_values = lines.iter().filter(|line| IndicatorKey::parse(None, line).is_ok()).count();
    n_values > 0 && n_values * 10 >= lines.len() * 7
}

/// Rows as a bucket takes them or a search gives them: `{"items": […]}`, `[…]`, or one a line.
fn items(text: &str, finds: &mut Finds) -> Result<(), String> {
    /// Rows with something around them.
    #[derive(Deserialize)]
    struct Around<'a> {
        #[serde(borrow)]
        items: RawRows<'a>,
    }
    let text = text.trim();
    let rows: Vec<&str> = if text.starts_with('[') {
        let rows: RawRows<'_> = serde_json::from_str(text).map_err(|error| error.to_string())?;
        rows.0.into_iter().map(RawValue::get).collect()
    } else if let Ok(around) = serde_json::from_str::<Around<'_>>(text) {
        around.items.0.into_iter().map(RawValue::get).collect()
    } else {
        text.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
    };
    let schema = schemars::schema_for!(Item);
    let fields = schema.get("properties").and_then(Value::as_object);
    for row in rows {
        let read = if row.len() > ROW_BYTES { None } else { serde_json::from_str::<Value>(row).ok() };
        let Some(Value::Object(mut object)) = read else {
            finds.reject("unreadable", row);
            continue;
        };
        // What a search gives has more fields than a row; what is empty there is not said.
        object.retain(|key, value| fields.is_none_or(|fields| fields.contains_key(key)) && !value.is_null());
        let text = Value::Object(object.clone()).to_string();
        match serde_json::from_value::<Item>(Value::Object(object))
            .map_err(|error| error.to_string())
            .and_then(Item::read)
        {
            Ok(push) => {
                let retracted = push.op == engine::Op::Retract;
                finds.row(Observation { retracted, ..push.observation });
            }
            Err(why) => finds.refuse("unreadable", why, &text),
        }
    }
    Ok(())
}

/// Elements in whose text nobody reads.
const UNREAD: &[&[u8]] = &[b"script", b"style", b"template", b"svg", b"iframe"];
/// Elements that stand inside a word or a sentence.
const INLINE: &[&[u8]] = &[
    b"a", b"abbr", b"b", b"bdi", b"bdo", b"cite", b"code", b"del", b"dfn", b"em", b"font", b"i", b"ins", b"kbd",
    b"mark", b"q", b"s", b"samp", b"small", b"span", b"strike", b"strong", b"sub", b"sup", b"tt", b"u", b"var", b"wbr",
];

/// Attributes in a row, of those with a blank after their double quotes, after which the next is written otherwise.
const QUOTED_IN_A_ROW: usize = 16;

/// The same page for the tokenizer, which reads an attribute after `"` and a blank one call deeper than the one before: a
/// tag of a thousand attributes would be the end of the stack, and of the process. A slash between the two means nothing
/// there, and makes it begin anew.
fn shallow(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 64);
    let mut n = 0;
    let mut from = 0;
    for (at, _) in text.match_indices('"') {
        if text[at + 1..].starts_with([' ', '\t', '\n', '\r', '\x0c']) {
            n += 1;
            if n % QUOTED_IN_A_ROW == 0 {
                out.push_str(&text[from..=at]);
                out.push('/');
                from = at + 1;
            }
        }
    }
    out.push_str(&text[from..]);
    out
}

/// What a page shows, and where its links lead, a line each.
fn html(text: &str) -> String {
    let mut emitter = DefaultEmitter::default();
    emitter.naively_switch_states(true);
    let (mut shown, mut links) = (String::with_capacity(text.len() / 2), String::new());
    let mut unread: Option<Vec<u8>> = None;
    let mut depth = 0_usize;
    for Ok(token) in Tokenizer::new_with_emitter(shallow(text).as_str(), emitter) {
        match token {
            Token::StartTag(tag) => {
                let name: &[u8] = &tag.name;
                if unread.is_none() && UNREAD.contains(&name) && !tag.self_closing {
                    (unread, depth) = (Some(name.to_vec()), 0);
                }
                if unread.as_deref() == Some(name) && !tag.self_closing {
                    depth += 1;
                }
                if !INLINE.contains(&name) {
                    shown.push('\n');
                }
                if unread.is_none()
                    && let Some(target) = tag.attributes.get(&b"href"[..])
                {
                    links.push_str(&String::from_utf8_lossy(&target.value));
                    links.push('\n');
                }
            }
            Token::EndTag(tag) => {
                let name: &[u8] = &tag.name;
                if unread.as_deref() == Some(name) {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        unread = None;
                    }
                }
                if !INLINE.contains(&name) {
                    shown.push('\n');
                }
            }
            Token::String(piece) if unread.is_none() => shown.push_str(&String::from_utf8_lossy(&piece.value)),
            _ => {}
        }
    }
    shown.push('\n');
    shown.push_str(&links);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_what_it_shows_and_links_to() {
        let page = "<!doctype html><html><head><title>Report</title><style>.a{background:url(http://style.example.com/x)}</style>\
            <script>var c2 = 'http://script.example.com/';</script></head><body><p>evil<b>[.]example</b>.com</p>\
            <svg><a href='http://svg.example.com/'>x</a></svg>\
            <td>1.2.3.4</td><td>5.6.7.8</td><a href=\"http://link.example.org/a?b=1&amp;c=2\">here</a>\
            <!-- http://comment.example.com/ --></body>";
        let text = html(page);
        for there in ["evil[.]example.com", "1.2.3.4\n", "http://link.example.org/a?b=1&c=2\n"] {
            assert!(text.contains(there), "{there}: {text}");
        }
        for hidden in ["script.example", "style.example", "comment.example", "svg.example"] {
            assert!(!text.contains(hidden), "{hidden}: {text}");
        }
        // Any number of attributes of any sort, and what stands between quotes is as before.
        for attribute in
            ["a=\"x\" ", "a=\"\"\n", "a='x' ", "a=x ", "a ", "a = \"x\" ", "a=\"x\"", "a=\">\" ", "a=\"<\"\r\n"]
        {
            let many: String = (0..20_000).map(|n| format!("{}{attribute}", "b".repeat(n % 7))).collect();
            let text = html(&format!("<html><p>1.2.3.4<a {many} href=\"http://a.example.org/\">5.6.7.8"));
            assert!(text.contains("5.6.7.8") && text.contains("http://a.example.org/\n"), "{attribute}");
        }
        let quoted = "\"evil.example.com\" ".repeat(40);
        assert_eq!(html(&format!("<p>{quoted}")).matches("evil.example.com\"").count(), 40);
        // Hostile ones end, and what is not closed hides the rest rather than showing it.
        for hostile in
            ["<".repeat(100_000), "<script>".repeat(50_000), "<a href=".repeat(50_000), "<svg>".repeat(9_999)]
        {
            let _ = html(&hostile);
        }
    }

    #[test]
    fn formats_are_told_by_their_beginnings() {
        let cases = [
            ("1.2.3.4\n5.6.7.8\n", "", "text"),
            ("# a list\nevil.com\n\nhxxp://evil[.]com/a\n", "x.txt", "text"),
            ("The actor used evil[.]com and 1.2.3.4 for this.\nMore prose here.\n", "", "extract"),
            ("1.2.3.4\n", "notes.md", "extract"),
            ("ip,port\n1.2.3.4,80\n", "a.csv", "csv"),
            ("<!DOCTYPE html><p>x", "", "html"),
            ("<p>x", "a.html", "html"),
            ("<stix:STIX_Package>", "", "stix1"),
            ("<?xml version='1.0'?><OpenIOC>", "", "openioc"),
            ("<!-- stix_package --><html>", "", "html"),
            (r#"{"type":"bundle","objects":[]}"#, "", "stix"),
            (r#"{"objects":[{"type":"indicator","id":"indicator--1"}]}"#, "", "stix"),
            (r#"[{"type":"indicator","id":"indicator--1"}]"#, "", "stix"),
            (r#"{"type":"indicator","value":"a.com"}"#, "", "items"),
            (r#"{"Event":{}}"#, "", "misp"),
            (r#"[{"Event":{}}]"#, "", "misp"),
            (r#"{"response":[{"Event":{}}]}"#, "", "misp"),
            (r#"{"response":["http://a.com/"]}"#, "", "extract"),
            (r#"{"response":[{"Object":{"Attribute":[]}}]}"#, "", "misp"),
            (r#"{"Event": {"Attribute": [{"value": "a.com",},]}}"#, "", "misp"),
            (r#"{"type": "bundle", "objects": [{"#, "", "stix"),
            (r#"{"items":[{"value":"1.2.3.4"}]}"#, "", "items"),
            ("{\"value\":\"a.com\"}\n{\"value\":\"b.com\"}\n", "", "items"),
            (r#"{"urls":["http://a.com/"]}"#, "", "extract"),
            ("", "", "extract"),
        ];
        for (text, name, format) in cases {
            assert_eq!(detect(text, name), format, "{text}");
        }
    }
}
