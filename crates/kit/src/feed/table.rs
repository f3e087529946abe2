//! Tables: CSV and its relatives, as feeds write them.
//!
//! Read by lines, because feeds are not the CSV of the standard: comments stand between rows, blanks stand before
//! quotes, and one stray quote must cost one row, not the rest of the file.

use super::lines::{self, LINE_BYTES, Line};
use super::map::{Cell, Cells, Mapping, Named, indicator, named};
use super::settings::Header;
use super::{FeedSpec, Sink, text};
use crate::error::ConnectorError;
use intel::IndicatorKind;
use memchr::memchr;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::BufRead;

/// A quoted field that runs over more lines than this was never closed.
const ROW_LINES: usize = 64;

/// With more stray quotes than this the table is not one: looking for their ends again and again would cost too much.
const STRAY_QUOTES: u64 = 1_000;

pub(super) fn read(spec: &FeedSpec, body: &mut dyn BufRead, sink: &mut Sink<'_>) -> Result<(), ConnectorError> {
    let mut table = Table::new(spec);
    lines::each_line(body, &mut |line| match line {
        Line::Whole(line) => table.line(line, sink),
        Line::TooLong(start) => {
            table.give_up(sink)?;
            sink.reject("line too long", &String::from_utf8_lossy(start));
            Ok(())
        }
    })?;
    table.give_up(sink)
}

/// The fields of a row: ranges of one buffer.
#[derive(Default)]
struct Fields {
    text: String,
    ends: Vec<usize>,
}

impl Fields {
    fn len(&self) -> usize {
        self.ends.len()
    }

    fn get(&self, n: usize) -> Option<&str> {
        let end = *self.ends.get(n)?;
        let start = if n == 0 { 0 } else { self.ends[n - 1] };
        Some(&self.text[start..end])
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).filter_map(|n| self.get(n))
    }

    /// Cuts a row. False if a quoted field is still open at its end.
    fn cut(&mut self, row: &str, separator: u8, quote: Option<u8>) -> bool {
        self.text.clear();
        self.ends.clear();
        let bytes = row.as_bytes();
        let mut at = 0;
        loop {
            let mut start = at;
            while start < bytes.len() && bytes[start] == b' ' {
                start += 1;
            }
            match quote {
                Some(quote) if bytes.get(start) == Some(&quote) => {
                    at = start + 1;
                    loop {
                        let Some(close) = memchr(quote, &bytes[at..]) else {
                            return false;
                        };
                        self.text.push_str(&row[at..at + close]);
                        at += close + 1;
                        if bytes.get(at) != Some(&quote) {
                            break;
                        }
                        self.text.push(char::from(quote));
                        at += 1;
                    }
                    // What stands between the closing quote and the separator belongs to the field.
                    let end = memchr(separator, &bytes[at..]).map_or(bytes.len(), |n| at + n);
                    self.text.push_str(row[at..end].trim_end());
                    at = end;
                }
                _ => {
                    let end = memchr(separator, &bytes[at..]).map_or(bytes.len(), |n| at + n);
                    self.text.push_str(row[at..end].trim());
                    at = end;
                }
            }
            self.ends.push(self.text.len());
            if at >= bytes.len() {
                return true;
            }
            at += 1;
        }
    }
}

/// So many comments before the first row are searched for the column names.
const COMMENTS: usize = 64;

/// Where values are looked for when the settings do not say.
enum Guess {
    /// Nothing was read yet.
    Open,
    /// The header names them.
    Named(Box<Mapping>),
    /// In every row, the first field that is an indicator.
    Each,
}

struct Table<'s> {
    spec: &'s FeedSpec,
    separator: u8,
    quote: Option<u8>,
    fields: Fields,
    /// Lines of a row whose quoted field is still open.
    open: VecDeque<String>,
    open_bytes: usize,
    strays: u64,
    /// Comments before the first row: feeds hide the column names in one of them.
    comments: Vec<String>,
    /// The field number of every column, once known.
    columns: Option<Vec<usize>>,
    guess: Guess,
}

impl<'s> Table<'s> {
    fn new(spec: &'s FeedSpec) -> Table<'s> {
        Table {
            spec,
            separator: spec.separator.and_then(|c| u8::try_from(c).ok()).unwrap_or(b','),
            quote: spec.quote.and_then(|c| u8::try_from(c).ok()),
            fields: Fields::default(),
            open: VecDeque::new(),
            open_bytes: 0,
            strays: 0,
            comments: Vec::new(),
            columns: None,
            guess: Guess::Open,
        }
    }

    fn line(&mut self, line: &[u8], sink: &mut Sink<'_>) -> Result<(), ConnectorError> {
        if self.open.is_empty() {
            let bare = line.trim_ascii();
            if bare.is_empty() {
                return Ok(());
            }
            if self.spec.is_comment(bare) {
                if self.columns.is_none() && self.comments.len() < COMMENTS {
                    self.comments.push(String::from_utf8_lossy(bare).into_owned());
                }
                return Ok(());
            }
            let text = sink.text(line);
            if self.fields.cut(&text, self.separator, self.quote) {
                return self.row(&text, sink);
            }
            self.open_bytes = text.len();
            self.open.push_back(text.into_owned());
            return Ok(());
        }
        let text = sink.text(line).into_owned();
        self.open_bytes += text.len() + 1;
        self.open.push_back(text);
        // Only a line with a quote in it can close the field.
        let may_close = self.quote.is_some_and(|quote| memchr(quote, line).is_some());
        if may_close {
            let joined = self.open.iter().map(String::as_str).collect::<Vec<_>>().join("\n");
            if self.fields.cut(&joined, self.separator, self.quote) {
                self.open.clear();
                return self.row(&joined, sink);
            }
        }
        if self.open_bytes > LINE_BYTES || self.open.len() > ROW_LINES {
            return self.stray(sink);
        }
        Ok(())
    }

    /// The quote was a stray one: its line is lost, those after it are read again.
    fn stray(&mut self, sink: &mut Sink<'_>) -> Result<(), ConnectorError> {
        let mut lines = std::mem::take(&mut self.open);
        if let Some(first) = lines.pop_front() {
            sink.reject("quote that is never closed", &first);
            self.strays += 1;
        }
        if self.strays > STRAY_QUOTES {
            return Err(ConnectorError::Unexpected("the quotes in this table do not match up".into()));
        }
        for line in lines {
            self.line(line.as_bytes(), sink)?;
        }
        Ok(())
    }

    /// Nothing more will come that could close an open quote.
    fn give_up(&mut self, sink: &mut Sink<'_>) -> Result<(), ConnectorError> {
        while !self.open.is_empty() {
            self.stray(sink)?;
        }
        Ok(())
    }

    fn row(&mut self, row: &str, sink: &mut Sink<'_>) -> Result<(), ConnectorError> {
        if self.columns.is_none() && self.first()? {
            return Ok(());
        }
        if memchr(0, row.as_bytes()).is_some() {
            sink.reject("binary data in the line", row);
            return Ok(());
        }
        if self.fields.iter().all(str::is_empty) {
            // `,,,,` is how a spreadsheet writes an empty line.
            return Ok(());
        }
        let columns = self.columns.as_deref().unwrap_or_default();
        let cells = Row { fields: &self.fields, columns, whole: row };
        match &self.guess {
            Guess::Named(map) => map.apply(&cells, self.spec.kind, sink),
            Guess::Each => match self.fields.iter().find_map(|field| indicator(field, self.spec.kind)) {
                Some((value, kind)) => sink.value(value, kind),
                None => sink.reject("no indicator in the row", row),
            },
            Guess::Open => self.spec.map.apply(&cells, self.spec.kind, sink),
        }
        Ok(())
    }

    /// Settles which field is which. True if this first row was the header.
    fn first(&mut self) -> Result<bool, ConnectorError> {
        let map = &self.spec.map;
        let numbered = map.columns.iter().all(|name| text::number(name).is_some());
        let comments = std::mem::take(&mut self.comments);
        if map.values.is_empty() {
            return Ok(self.guess(&comments));
        }
        let from_comments = || comments.iter().rev().find_map(|comment| self.find(&self.comment_fields(comment)).ok());
        let is_header = match self.spec.header {
            Header::None => {
                if !numbered {
                    return Err(ConnectorError::Unexpected(
                        "columns are named in the settings, but the table is said to have no header".into(),
                    ));
                }
                false
            }
            Header::First => true,
            Header::Comment => {
                let Some(columns) = from_comments() else {
                    let what = "no comment line before the rows names the columns of the settings";
                    return Err(ConnectorError::Unexpected(what.into()));
                };
                self.columns = Some(columns);
                return Ok(false);
            }
            Header::Auto if numbered => {
                // A first row that says what it holds, not what it is about.
                let value = map.values.first().and_then(|(slot, kind)| {
                    let field = self.fields.get(text::number(&map.columns[*slot])?)?;
                    Some(indicator(field, kind.or(self.spec.kind)).is_none() && is_word(field))
                });
                value == Some(true)
            }
            Header::Auto => {
                if let Some(columns) = from_comments() {
                    self.columns = Some(columns);
                    return Ok(false);
                }
                true
            }
        };
        self.columns = Some(if numbered {
            map.columns.iter().map(|name| text::number(name).unwrap_or(usize::MAX)).collect()
        } else {
            self.find(&self.fields)?
        });
        Ok(is_header)
    }

    fn comment_fields(&self, comment: &str) -> Fields {
        let names = comment.trim_start_matches(['#', ';', '/', '!', ' ']);
        let mut fields = Fields::default();
        fields.cut(names, self.separator, self.quote);
        fields
    }

    /// The field number of every mapped column; a number stays one. What only adorns a row may be missing.
    fn find(&self, header: &Fields) -> Result<Vec<usize>, ConnectorError> {
        let map = &self.spec.map;
        let mut found = Vec::with_capacity(map.columns.len());
        for (slot, name) in map.columns.iter().enumerate() {
            let at = header.iter().position(|field| field.trim().eq_ignore_ascii_case(name));
            match at.or_else(|| text::number(name)) {
                Some(at) => found.push(at),
                None if map.needed().any(|needed| needed == slot) => {
                    let names: Vec<&str> = header.iter().take(40).collect();
                    return Err(ConnectorError::Unexpected(format!(
                        "there is no column `{name}`; the columns are {}",
                        names.join(", ")
                    )));
                }
                None => found.push(usize::MAX),
            }
        }
        Ok(found)
    }

    /// Nothing says where the value is: ask the header, else look in every row. True if this row was the header.
    fn guess(&mut self, comments: &[String]) -> bool {
        let named = |header: &Fields, this: &Table<'_>| {
            let values = telling(header, this.spec.kind);
            (!values.is_empty()).then(|| {
                let mut map = this.spec.map.clone();
                // Numbers, because a header may have two columns of one name.
                map.values = values.iter().map(|(at, kind)| (map.slot(&(at + 1).to_string()), *kind)).collect();
                let columns = map.columns.iter().map(|name| {
                    text::number(name)
                        .or_else(|| header.iter().position(|field| field.trim().eq_ignore_ascii_case(name)))
                        .unwrap_or(usize::MAX)
                });
                (columns.collect::<Vec<_>>(), map)
            })
        };
        let first_is_data = self.fields.iter().any(|field| indicator(field, self.spec.kind).is_some());
        if !first_is_data && self.spec.header != Header::None {
            let (columns, guess) = match named(&self.fields, self) {
                Some((columns, map)) => (columns, Guess::Named(Box::new(map))),
                None => (Vec::new(), Guess::Each),
            };
            self.columns = Some(columns);
            self.guess = guess;
            // One column and no known name: a heading over a list, or a bad first row. A heading is a word.
            return matches!(self.guess, Guess::Named(_)) || self.fields.iter().all(is_word);
        }
        let from_comment = comments.iter().rev().filter(|comment| memchr(self.separator, comment.as_bytes()).is_some());
        let from_comment = from_comment.filter_map(|comment| named(&self.comment_fields(comment), self)).next();
        match from_comment {
            Some((columns, map)) => {
                self.columns = Some(columns);
                self.guess = Guess::Named(Box::new(map));
            }
            None => {
                self.columns = Some(Vec::new());
                self.guess = Guess::Each;
            }
        }
        false
    }
}

/// A cell of a header: not empty of letters, not long.
fn is_word(field: &str) -> bool {
    field.len() <= 64 && field.bytes().any(|b| b.is_ascii_alphabetic()) || field.is_empty()
}

/// The columns of a header that hold values by their name, with the kind the name implies. One that is called `value`
/// or the like stands alone; the others may be several, as with md5, sha1 and sha256 of one file.
fn telling(header: &Fields, kind: Option<IndicatorKind>) -> Vec<(usize, Option<IndicatorKind>)> {
    let mut found = Vec::new();
    for (at, field) in header.iter().enumerate() {
        match named(field) {
            Some(Named::Value) => return vec![(at, kind)],
            Some(Named::Kind(implied)) => found.push((at, implied.or(kind))),
            None => {}
        }
    }
    if let Some(kind) = kind {
        found.retain(|(_, implied)| implied.is_none_or(|implied| implied == kind));
    }
    found
}

/// A row as the mapping asks for it.
struct Row<'a> {
    fields: &'a Fields,
    columns: &'a [usize],
    whole: &'a str,
}

impl Cells for Row<'_> {
    fn cell(&self, slot: usize) -> Cell<'_> {
        match self.columns.get(slot).and_then(|at| self.fields.get(*at)) {
            Some(field) => Cell::One(Cow::Borrowed(field)),
            None => Cell::Missing,
        }
    }

    fn sample(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.whole)
    }
}
