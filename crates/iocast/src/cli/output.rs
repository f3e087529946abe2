//! What reaches the screen: tables for people, JSON, NDJSON and CSV for programs.
//!
//! Values come from strangers. Nothing here lets a control character or a change of writing direction reach a
//! terminal, and tables show values defanged so that a terminal makes no link of them. Programs get values as they are,
//! but for CSV, where what a spreadsheet would take for a formula has an apostrophe in front.

use super::CliError;
use clap::ValueEnum;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people; values are defanged
    Table,
    /// One JSON document
    Json,
    /// One JSON object a line
    Ndjson,
    /// Comma-separated values with a header
    Csv,
}

/// Width of a table where no terminal says another one, in characters.
const WIDTH: u16 = 110;
/// Narrowest and widest table.
const WIDTHS: (u16, u16) = (72, 160);
/// Rows of a table that are laid out together.
const TABLE_ROWS: usize = 2_000;
/// Text that is written at once, in bytes.
const BUFFER_BYTES: usize = 64 << 10;
/// Longest text of one cell, in characters.
const CELL_CHARS: usize = 240;

/// Where results and notes go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Out {
    /// How results are printed.
    pub(crate) format: Format,
    /// No notes, no progress.
    pub(crate) quiet: bool,
    width: u16,
    is_terminal: bool,
}

/// One column of a table, and of CSV.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    /// The key in the row; its header in CSV.
    pub(crate) key: &'static str,
    /// Its header in a table; empty: only in CSV.
    pub(crate) head: &'static str,
    /// How a table shows it.
    pub(crate) how: How,
}

/// How a table shows what a row holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// A text.
    Text,
    /// A number, at the right.
    Number,
    /// An indicator's value, defanged by the row's `kind`.
    Indicator,
    /// A sentence, by its first word.
    Lead,
    /// Several texts.
    List,
    /// A moment, to the minute.
    Time,
    /// true or false.
    YesNo,
}

/// What became of a thing, or would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// It is new: `+`, green.
    New,
    /// It is another: `~`, yellow.
    Other,
    /// It is gone: `-`, red.
    Gone,
}

/// A column of texts.
pub(crate) const fn text(key: &'static str, head: &'static str) -> Column {
    Column { key, head, how: How::Text }
}

/// A column of numbers.
pub(crate) const fn number(key: &'static str, head: &'static str) -> Column {
    Column { key, head, how: How::Number }
}

/// A column shown in its own way.
pub(crate) const fn column(key: &'static str, head: &'static str, how: How) -> Column {
    Column { key, head, how }
}

/// A column that only CSV has.
pub(crate) const fn hidden(key: &'static str) -> Column {
    Column { key, head: "", how: How::Text }
}

impl Out {
    /// To this process's standard output and error.
    pub(crate) fn new(format: Format, quiet: bool) -> Out {
        let width = terminal_size::terminal_size_of(io::stdout()).map_or(WIDTH, |(width, _)| width.0);
        Out { format, quiet, width: width.clamp(WIDTHS.0, WIDTHS.1), is_terminal: io::stdout().is_terminal() }
    }

    /// Whether people read the result.
    pub(crate) fn is_table(&self) -> bool {
        self.format == Format::Table
    }

    /// Writes text to standard output as it is, but for what a terminal would obey.
    pub(crate) fn text(&self, text: &str) -> Result<(), CliError> {
        let mut to = io::stdout().lock();
        match self.is_terminal {
            true => to.write_all(printable_lines(text).as_bytes())?,
            false => to.write_all(text.as_bytes())?,
        }
        to.flush()?;
        Ok(())
    }

    /// Writes bytes to standard output; where that is a terminal, without what it would obey.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<(), CliError> {
        if self.is_terminal {
            return self.text(&String::from_utf8_lossy(bytes));
        }
        io::stdout().lock().write_all(bytes)?;
        Ok(())
    }

    /// A line for people on standard output.
    pub(crate) fn line(&self, text: &str) -> Result<(), CliError> {
        self.text(&format!("{}\n", printable_lines(text)))
    }

    /// A line for people that begins with a mark, in its colour where a terminal shows colours.
    pub(crate) fn marked(&self, mark: Mark, text: &str) -> Result<(), CliError> {
        let (sign, colour) = match mark {
            Mark::New => ('+', 32),
            Mark::Other => ('~', 33),
            Mark::Gone => ('-', 31),
        };
        // https://no-color.org
        let is_plain = !self.is_terminal || std::env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty());
        let text = printable_lines(text);
        let mut to = io::stdout().lock();
        match is_plain {
            true => writeln!(to, "{sign} {text}")?,
            false => writeln!(to, "\x1b[{colour}m{sign} {text}\x1b[0m")?,
        }
        Ok(())
    }

    /// A remark on standard error, unless `--quiet`.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            // A remark nobody can read is no failure.
            let _ = writeln!(io::stderr(), "{}", printable_lines(text));
        }
    }

    /// What a person must know, on standard error.
    pub(crate) fn warn(&self, text: &str) {
        // Nowhere to tell it: the exit code still does.
        let _ = writeln!(io::stderr(), "{}", printable_lines(text));
    }

    /// One JSON document, as the router gave it. For NDJSON on one line.
    pub(crate) fn document(&self, json: &str) -> Result<(), CliError> {
        let raw: &RawValue = parse(json)?;
        match self.format {
            Format::Ndjson => self.text(&format!("{}\n", raw.get())),
            _ => self.text(&pretty(raw.get())),
        }
    }

    /// Prints a JSON array of objects. Gives how many.
    pub(crate) fn rows(&self, json: &str, columns: &'static [Column]) -> Result<usize, CliError> {
        let rows: Vec<&RawValue> = parse(json)?;
        let mut printer = self.printer(columns);
        for row in &rows {
            printer.row(row.get())?;
        }
        printer.end()
    }

    /// For rows that come one after the other.
    pub(crate) fn printer(&self, columns: &'static [Column]) -> Printer {
        Printer { out: *self, columns, n_rows: 0, waiting: Vec::new(), buffer: String::new() }
    }
}

/// Reads JSON that the router gave.
pub(crate) fn parse<'j, T: serde::Deserialize<'j>>(json: &'j str) -> Result<T, CliError> {
    serde_json::from_str(json).map_err(|error| {
        CliError::failed(format!("the answer cannot be read ({error}): is the server another version?"))
    })
}

/// JSON on many lines, keys in the order they have. The text must be JSON.
fn pretty(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0usize;
    let mut in_string = false;
    let mut chars = json.chars().peekable();
    let new_line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    while let Some(c) = chars.next() {
        match c {
            _ if in_string => {
                out.push(c);
                match c {
                    '\\' => out.extend(chars.next()),
                    '"' => in_string = false,
                    _ => {}
                }
            }
            '"' => {
                in_string = true;
                out.push(c);
            }
            '{' | '[' => {
                out.push(c);
                while chars.next_if(|next| next.is_ascii_whitespace()).is_some() {}
                if let Some(close) = chars.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(close);
                } else {
                    depth += 1;
                    new_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => out.push(c),
        }
    }
    out.push('\n');
    out
}

/// Prints rows as they come.
pub(crate) struct Printer {
    out: Out,
    columns: &'static [Column],
    n_rows: usize,
    /// Rows of a table that are not laid out yet.
    waiting: Vec<Value>,
    /// Text that is not written yet: a call of the system for every row would cost more than the row.
    buffer: String,
}

impl Printer {
    /// One row, as JSON.
    pub(crate) fn row(&mut self, json: &str) -> Result<(), CliError> {
        let first = self.n_rows == 0;
        self.n_rows += 1;
        match self.out.format {
            Format::Json => self.push(&[if first { "[\n  " } else { ",\n  " }, json]),
            Format::Ndjson => self.push(&[json, "\n"]),
            Format::Csv => {
                if first {
                    self.csv(self.columns.iter().map(|column| Cow::Borrowed(column.key)))?;
                }
                let row: Value = parse(json)?;
                self.csv(self.columns.iter().map(|column| no_formula(&row[column.key])))
            }
            Format::Table => {
                self.waiting.push(parse(json)?);
                if self.waiting.len() == TABLE_ROWS {
                    return self.lay_out();
                }
                Ok(())
            }
        }
    }

    /// Nothing comes any more. Gives how many rows there were.
    pub(crate) fn end(mut self) -> Result<usize, CliError> {
        match self.out.format {
            Format::Json => self.push(&[if self.n_rows == 0 { "[]\n" } else { "\n]\n" }])?,
            Format::Csv if self.n_rows == 0 => self.csv(self.columns.iter().map(|column| Cow::Borrowed(column.key)))?,
            Format::Table if !self.waiting.is_empty() => self.lay_out()?,
            _ => {}
        }
        self.out.text(&self.buffer)?;
        Ok(self.n_rows)
    }

    fn push(&mut self, pieces: &[&str]) -> Result<(), CliError> {
        pieces.iter().for_each(|piece| self.buffer.push_str(piece));
        if self.buffer.len() >= BUFFER_BYTES {
            self.out.text(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }

    fn csv<'v>(&mut self, fields: impl Iterator<Item = Cow<'v, str>>) -> Result<(), CliError> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let written = writer.write_record(fields.map(|field| field.into_owned().into_bytes()));
        written.map_err(CliError::failed)?;
        let line = writer.into_inner().map_err(CliError::failed)?;
        self.push(&[&String::from_utf8_lossy(&line)])
    }

    fn lay_out(&mut self) -> Result<(), CliError> {
        let rows = std::mem::take(&mut self.waiting);
        let shown = table(self.out.width, self.columns, &rows);
        self.out.text(&shown)
    }
}

/// A table without lines, so that what is copied from it is only what it says.
pub(crate) fn table(width: u16, columns: &[Column], rows: &[Value]) -> String {
    let columns: Vec<&Column> = columns.iter().filter(|column| !column.head.is_empty()).collect();
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    table.set_header(columns.iter().map(|column| column.head.to_uppercase()));
    for row in rows {
        table.add_row(columns.iter().map(|column| cell(column, row)));
    }
    for (at, column) in columns.iter().enumerate() {
        if let Some(laid) = table.column_mut(at) {
            laid.set_padding((0, 2));
            if column.how == How::Number {
                laid.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    let mut text = table.trim_fmt();
    text.push('\n');
    text
}

fn cell(column: &Column, row: &Value) -> String {
    let value = &row[column.key];
    let text = match column.how {
        How::Indicator => Cow::Owned(defang(row["kind"].as_str().unwrap_or_default(), &plain(value))),
        How::Time => Cow::Owned(minute(&plain(value))),
        How::YesNo => Cow::Borrowed(match value.as_bool() {
            Some(true) => "yes",
            Some(false) => "no",
            None => "-",
        }),
        How::List => match value.as_array() {
            Some(items) => Cow::Owned(items.iter().map(plain).collect::<Vec<_>>().join(", ")),
            None => plain(value),
        },
        How::Lead => Cow::Owned(plain(value).split(' ').next().unwrap_or_default().to_owned()),
        How::Text | How::Number => plain(value),
    };
    let text = shorten(&printable(&text), CELL_CHARS);
    if text.is_empty() { "-".to_owned() } else { text }
}

/// A value as plain text: what CSV holds. Several texts are separated by `;`.
fn plain(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Null => Cow::Borrowed(""),
        Value::String(text) => Cow::Borrowed(text),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            Cow::Owned(items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(";"))
        }
        other => Cow::Owned(other.to_string()),
    }
}

/// The same for CSV: a text that a spreadsheet would take for a formula gets an apostrophe in front.
fn no_formula(value: &Value) -> Cow<'_, str> {
    let text = plain(value);
    let is_text = matches!(value, Value::String(_) | Value::Array(_));
    if is_text && kit::render::is_formula(&text) { Cow::Owned(format!("'{text}")) } else { text }
}

/// At most so many characters, with a mark where something is missing.
pub(crate) fn shorten(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        None => text.to_owned(),
        Some(_) => {
            let end = text.char_indices().nth(chars - 1).map_or(0, |(at, _)| at);
            format!("{}…", &text[..end])
        }
    }
}

/// `2026-01-31T08:30:00Z` as `2026-01-31 08:30`.
pub(crate) fn minute(time: &str) -> String {
    match (time.get(..10), time.get(11..16)) {
        (Some(day), Some(minute)) if time.as_bytes().get(10) == Some(&b'T') => format!("{day} {minute}"),
        _ => time.to_owned(),
    }
}

/// Characters that a terminal obeys, or that make a text look like another one.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// The text with every character a terminal would obey written as its escape.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_obeyed(c) => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// As [`printable`], with the ends of lines left as they are.
pub(crate) fn printable_lines(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| is_obeyed(c) && c != '\n') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for (at, line) in text.split('\n').enumerate() {
        if at > 0 {
            out.push('\n');
        }
        out.push_str(&printable(line));
    }
    Cow::Owned(out)
}

/// The value as a person may copy it without being led there: `hxxps://evil[.]example/a`. Read back, it is the same
/// value.
pub(crate) fn defang(kind: &str, value: &str) -> String {
    let last_dot = |host: &str| match host.rfind('.') {
        Some(at) => format!("{}[.]{}", &host[..at], &host[at + 1..]),
        None => host.to_owned(),
    };
    match kind {
        "url" => {
            let Some((scheme, rest)) = value.split_once("://") else { return value.to_owned() };
            let scheme = match scheme {
                "http" => "hxxp",
                "https" => "hxxps",
                "ftp" => "fxp",
                other => other,
            };
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let (host, path) = rest.split_at(end);
            format!("{scheme}://{}{path}", last_dot(host))
        }
        "domain" | "ipv4" | "ipv4_net" => last_dot(value),
        "email" => match value.rsplit_once('@') {
            Some((name, host)) => format!("{name}@{}", last_dot(host)),
            None => value.to_owned(),
        },
        _ => value.to_owned(),
    }
}

/// A number for people: `1 234 567`.
pub(crate) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + 4);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use intel::{IndicatorKey, IndicatorKind};

    #[test]
    fn defanged_values_are_no_links_and_read_back() {
        let cases = [
            ("url", "https://evil.example/a.b?c=d", "hxxps://evil[.]example/a.b?c=d"),
            ("url", "http://192.0.2.1:8080/", "hxxp://192.0.2[.]1:8080/"),
            ("url", "ftp://files.example/x", "fxp://files[.]example/x"),
            ("url", "http://[2001:db8::1]/", "hxxp://[2001:db8::1]/"),
            ("domain", "a.evil.example", "a.evil[.]example"),
            ("ipv4", "192.0.2.1", "192.0.2[.]1"),
            ("ipv4_net", "192.0.2.0/24", "192.0.2[.]0/24"),
            ("email", "a.b@evil.example", "a.b@evil[.]example"),
            ("md5", "0123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdef"),
        ];
        for (kind, value, shown) in cases {
            assert_eq!(defang(kind, value), shown);
            let kind = IndicatorKind::from_name(kind).unwrap();
            let key = IndicatorKey::parse(Some(kind), shown).unwrap();
            assert_eq!((key.kind(), key.value()), (kind, value), "{shown}");
        }
    }

    #[test]
    fn a_terminal_is_given_nothing_to_obey() {
        let cases = [
            ("plain ünïcode", "plain ünïcode"),
            ("\u{1b}[2Jgone", "\\u{1b}[2Jgone"),
            ("a\r\nb\tc", "a\\r\\nb\\tc"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("exe\u{202e}fdp", "exe\\u{202e}fdp"),
        ];
        for (given, shown) in cases {
            assert_eq!(printable(given), shown);
        }
        assert_eq!(printable_lines("a\nb\u{7}\n"), "a\nb\\u{7}\n");
    }

    #[test]
    fn json_is_laid_out_in_the_order_it_has() {
        let given = r#"{"b":1, "a":[], "c":{"d":"x\\\":{,"},"e":[true,null]}"#;
        let shown = pretty(given);
        assert_eq!(
            shown,
            "{\n  \"b\": 1,\n  \"a\": [],\n  \"c\": {\n    \"d\": \"x\\\\\\\":{,\"\n  },\n  \"e\": [\n    true,\n    null\n  ]\n}\n"
        );
        let same: (Value, Value) = (parse(given).unwrap(), parse(&shown).unwrap());
        assert_eq!(same.0, same.1);
    }

    #[test]
    fn tables_keep_to_their_width() {
        let columns = [text("name", "name"), number("n", "rows"), column("value", "value", How::Indicator)];
        let long = format!("http://evil.example/{}", "a".repeat(500));
        let rows = [serde_json::json!({"name": "one", "n": 7, "kind": "url", "value": long})];
        let shown = table(80, &columns, &rows);
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
        assert!(shown.starts_with("NAME  ROWS  VALUE\n"), "{shown}");
        assert!(shown.contains("hxxp://evil[.]example/"), "{shown}");
        assert!(!shown.lines().any(|line| line.ends_with(' ')), "{shown}");
    }

    #[test]
    fn numbers_and_texts_for_people() {
        let cases = [(0, "0"), (999, "999"), (1_000, "1 000"), (1_234_567, "1 234 567")];
        for (n, shown) in cases {
            assert_eq!(thousands(n), shown);
        }
        assert_eq!(shorten("abcdef", 6), "abcdef");
        assert_eq!(shorten("abcdefg", 6), "abcde…");
        assert_eq!(minute("2026-01-31T08:30:59.123Z"), "2026-01-31 08:30");
        assert_eq!(minute("never"), "never");
    }
}
