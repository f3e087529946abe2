//! Plain lists: one value a line, in the shapes block lists really have.
//!
//! Without settings every line is recognised by itself: a bare value, `value  more`, a hosts file, a filter list, a
//! resolver configuration, a response policy zone, `hash  file name`. With a separator the line is a row of fields.

use super::lines::{self, Line};
use super::map::{Cell, Cells};
use super::{FeedSpec, Sink};
use crate::error::ConnectorError;
use intel::{IndicatorKind, Observation};
use memchr::{memchr, memchr2};
use std::borrow::Cow;
use std::io::BufRead;

pub(super) fn read(spec: &FeedSpec, body: &mut dyn BufRead, sink: &mut Sink<'_>) -> Result<(), ConnectorError> {
    let columns: Vec<usize> = spec.map.columns.iter().map(|name| number(name).unwrap_or(usize::MAX)).collect();
    // These hold blanks: the whole line is the value.
    let whole = matches!(spec.kind, Some(IndicatorKind::Filename | IndicatorKind::Mutex | IndicatorKind::UserAgent));
    lines::each_line(body, &mut |line| {
        let line = match line {
            Line::Whole(line) => line.trim_ascii(),
            Line::TooLong(start) => {
                sink.reject("line too long", &String::from_utf8_lossy(start));
                return Ok(());
            }
        };
        if line.is_empty() || spec.is_comment(line) {
            return Ok(());
        }
        let text = sink.text(line);
        if memchr(0, line).is_some() {
            sink.reject("binary data in the line", &text);
        } else if !columns.is_empty() || spec.separator.is_some() {
            let row = Split { line: &text, separator: spec.separator, columns: &columns };
            if columns.is_empty() {
                match row.field(0).map(str::trim).filter(|field| !field.is_empty()) {
                    Some(value) => sink.value(value, spec.kind),
                    None => sink.reject("no value", &text),
                }
            } else {
                spec.map.apply(&row, spec.kind, sink);
            }
        } else if whole {
            sink.value(&text, spec.kind);
        } else {
            shaped(&text, spec, sink);
        }
        Ok(())
    })
}

/// A column of a list: a number, from 1.
pub(super) fn number(name: &str) -> Option<usize> {
    name.parse::<usize>().ok().filter(|n| *n > 0).map(|n| n - 1)
}

/// A line cut at a separator, or at blanks.
struct Split<'a> {
    line: &'a str,
    separator: Option<char>,
    columns: &'a [usize],
}

impl<'a> Split<'a> {
    fn field(&self, n: usize) -> Option<&'a str> {
        match self.separator {
            None | Some(' ') => self.line.split_ascii_whitespace().nth(n),
            Some(separator) => self.line.split(separator).nth(n),
        }
    }
}

impl Cells for Split<'_> {
    fn cell(&self, slot: usize) -> Cell<'_> {
        match self.field(self.columns[slot]) {
            Some(field) => Cell::One(Cow::Borrowed(field)),
            None => Cell::Missing,
        }
    }

    fn sample(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.line)
    }
}

/// A line whose shape is recognised by how it begins. Never blank.
fn shaped(line: &str, spec: &FeedSpec, sink: &mut Sink<'_>) {
    match line.as_bytes()[0] {
        b'|' if line.starts_with("||") => return filter_rule(line, spec.kind, sink),
        b'@' if line.starts_with("@@") => return sink.filter("exception rule"),
        b'@' | b'$' if line.as_bytes().get(1).is_none_or(|b| *b == b' ' || *b == b'\t' || b.is_ascii_uppercase()) => {
            return sink.filter("zone directive");
        }
        b'[' if line.starts_with("[Adblock") => return,
        b'a' | b's' | b'l'
            if line.starts_with("address=/") || line.starts_with("server=/") || line.starts_with("local=/") =>
        {
            return resolver_rule(line, spec.kind, sink);
        }
        b'#' if line.starts_with("##") => return sink.filter("cosmetic rule"),
        _ => {}
    }
    let (first, rest) = cut(line);
    if rest.is_empty() {
        return one(first, spec.kind, sink);
    }
    let rest = without_comment(rest, spec);
    if rest.is_empty() {
        return one(first, spec.kind, sink);
    }
    if matches!(
        first,
        "0.0.0.0"
            | "127.0.0.1"
            | "::"
            | "::1"
            | "0"
            | "255.255.255.255"
            | "fe80::1%lo0"
            | "ff02::1"
            | "ff02::2"
            | "ff00::0"
            | "ff02::3"
    ) {
        return hosts(rest, spec.kind, sink);
    }
    if first.contains("://") || first.starts_with("hxxp") {
        // Nobody knows whether a blank ends this URL or is part of it; half a URL is another URL.
        return sink.reject("text after the URL", line);
    }
    let (second, more) = cut(rest);
    if second.eq_ignore_ascii_case("CNAME")
        || (second.eq_ignore_ascii_case("IN") && cut(more).0.eq_ignore_ascii_case("CNAME"))
    {
        return policy(first, spec.kind, sink);
    }
    if first.len() >= 32 && matches!(first.len(), 32 | 40 | 64 | 128) && first.bytes().all(|b| b.is_ascii_hexdigit()) {
        // As sha256sum and its kin write: `hash  name`, `hash *name`.
        let mut row = Observation::new(first);
        row.kind = spec.kind;
        row.comment = Some(rest.trim_start_matches('*').to_owned());
        return sink.row(row);
    }
    one(first, spec.kind, sink);
}

/// One bare value; a leading `*.` means every name below it.
fn one(value: &str, kind: Option<IndicatorKind>, sink: &mut Sink<'_>) {
    match value.strip_prefix("*.") {
        Some(name) => below(name, kind.or(Some(IndicatorKind::Domain)), value, sink),
        None => sink.value(value, kind),
    }
}

/// A name listed with all that is below it. The key is the name; the comment keeps what was said.
fn below(name: &str, kind: Option<IndicatorKind>, written: &str, sink: &mut Sink<'_>) {
    let mut row = Observation::new(name);
    row.kind = kind;
    row.comment = Some(format!("listed as {written}"));
    sink.row(row);
}

/// What is left of the first blank, and what is right of the blanks.
fn cut(line: &str) -> (&str, &str) {
    match memchr2(b' ', b'\t', line.as_bytes()) {
        Some(at) => (&line[..at], line[at..].trim_ascii_start()),
        None => (line, ""),
    }
}

/// The text up to a comment that begins the text or follows a blank.
fn without_comment<'a>(rest: &'a str, spec: &FeedSpec) -> &'a str {
    if spec.is_comment(rest.as_bytes()) {
        return "";
    }
    let bytes = rest.as_bytes();
    let mut from = 0;
    while let Some(at) = memchr2(b' ', b'\t', &bytes[from..]) {
        from += at + 1;
        if spec.is_comment(&bytes[from..]) {
            return rest[..from].trim_ascii_end();
        }
    }
    rest
}

/// The names after the address in a line of a hosts file.
fn hosts(names: &str, kind: Option<IndicatorKind>, sink: &mut Sink<'_>) {
    for name in names.split_ascii_whitespace() {
        if is_local(name) {
            sink.filter("local name");
        } else {
            sink.value(name, kind.or_else(|| name_kind(name)));
        }
    }
}

fn is_local(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    matches!(
        name,
        "localhost"
            | "localhost.localdomain"
            | "localhost4"
            | "localhost6"
            | "localhost6.localdomain6"
            | "local"
            | "broadcasthost"
            | "ip6-localhost"
            | "ip6-loopback"
            | "ip6-localnet"
            | "ip6-mcastprefix"
            | "ip6-allnodes"
            | "ip6-allrouters"
            | "ip6-allhosts"
            | "0.0.0.0"
            | "127.0.0.1"
            | "::1"
    )
}

/// In a place where a name stands, what is no address is a domain, whatever its suffix.
fn name_kind(name: &str) -> Option<IndicatorKind> {
    let address = name.contains(':') || name.bytes().last().is_some_and(|b| b.is_ascii_digit());
    (!address).then_some(IndicatorKind::Domain)
}

/// `||name^`, `||name^$important`: the filter list rule that stops a whole name. Rules that stop less than that say
/// nothing about the name.
fn filter_rule(line: &str, kind: Option<IndicatorKind>, sink: &mut Sink<'_>) {
    let rule = &line[2..];
    let (pattern, options) = rule.split_once('$').unwrap_or((rule, ""));
    let whole = |option: &str| {
        matches!(option, "all" | "important" | "document" | "doc" | "popup" | "third-party" | "3p" | "dnsrewrite")
    };
    if !options.is_empty() && !options.split(',').all(whole) {
        return sink.filter("conditional rule");
    }
    let name = pattern.trim_end_matches(['^', '|', ' ']);
    if name.is_empty() {
        return sink.reject("no value", line);
    }
    if name.contains(['/', '^', '*', '|']) && !name.starts_with("*.") {
        return sink.filter("rule for part of a name");
    }
    let name = name.strip_prefix("*.").unwrap_or(name);
    sink.value(name, kind.or_else(|| name_kind(name)));
}

/// `address=/name/…/target`, `server=/name/`, `local=/name/`.
fn resolver_rule(line: &str, kind: Option<IndicatorKind>, sink: &mut Sink<'_>) {
    let (verb, list) = line.split_once("=/").unwrap_or((line, ""));
    let Some((names, target)) = list.rsplit_once('/') else {
        return sink.reject("no value", line);
    };
    if verb == "server" && !target.is_empty() && target != "#" {
        return sink.filter("forwarding rule");
    }
    for name in names.split('/') {
        if is_local(name) {
            sink.filter("local name");
        } else {
            sink.value(name, kind.or_else(|| name_kind(name)));
        }
    }
}

/// The owner name of a response policy record.
fn policy(owner: &str, kind: Option<IndicatorKind>, sink: &mut Sink<'_>) {
    let owner = owner.strip_suffix('.').unwrap_or(owner);
    if let Some(trigger) = owner.strip_suffix(".rpz-ip") {
        // `24.0.2.0.192` is 192.0.2.0/24. IPv6 triggers have their own compression, which nobody uses in lists.
        let labels: Vec<&str> = trigger.split('.').collect();
        return match labels[..] {
            [prefix, d, c, b, a] => sink.value(&format!("{a}.{b}.{c}.{d}/{prefix}"), kind),
            _ => sink.filter("unsupported policy trigger"),
        };
    }
    if owner.rsplit('.').next().is_some_and(|label| label.starts_with("rpz-")) {
        return sink.filter("unsupported policy trigger");
    }
    match owner.strip_prefix("*.") {
        Some(name) => below(name, kind.or(Some(IndicatorKind::Domain)), owner, sink),
        None => sink.value(owner, kind.or_else(|| name_kind(owner))),
    }
}
