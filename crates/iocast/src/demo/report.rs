//! What the demo prints: one line a job as it ends, then where everything stands. At most 100 columns, plain text.

pub(super) use crate::web::show::n as grouped;
use engine::why::{WhyReport, WhyTarget};
use engine::{Engine, PullReport, ShareReport};
use intel::sharing::LineState;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};

/// Columns of a line.
const WIDTH: usize = 100;
/// Columns of a name.
const NAME: usize = 17;
/// Columns of a number.
const NUMBER: usize = 10;

fn line(name: &str, numbers: &[u64], last: &str) -> String {
    let mut out = format!("  {name:<NAME$}");
    for n in numbers {
        let _ = write!(out, "{:>NUMBER$}", grouped(*n));
    }
    let _ = write!(out, "  {last}");
    out.trim_end().to_owned()
}

fn head(name: &str, columns: &[&str], last: &str) -> String {
    let mut out = format!("  {name:<NAME$}");
    for column in columns {
        let _ = write!(out, "{column:>NUMBER$}");
    }
    let _ = write!(out, "  {last}");
    out.trim_end().to_owned()
}

/// Text in lines of at most [`WIDTH`], each after so many blanks.
fn wrapped(text: &str, indent: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && indent + line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(format!("{:indent$}{line}", ""));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        // A value can be longer than any line: its beginning tells which.
        if word.chars().count() > WIDTH - indent {
            line.extend(word.chars().take(WIDTH - indent - 1));
            line.push('…');
        } else {
            line.push_str(word);
        }
    }
    if !line.is_empty() {
        lines.push(format!("{:indent$}{line}", ""));
    }
    lines
}

fn note(out: &mut dyn Write, text: &str) -> io::Result<()> {
    wrapped(text, 6).into_iter().try_for_each(|line| writeln!(out, "{line}"))
}

/// `12 too_broad, 3 guarded`, most frequent first.
fn reasons(by: &BTreeMap<String, u64>) -> String {
    let mut list: Vec<(&String, &u64)> = by.iter().collect();
    list.sort_by_key(|(reason, n)| (std::cmp::Reverse(**n), reason.as_str()));
    let shown: Vec<String> =
        list.into_iter().map(|(reason, n)| format!("{} {}", grouped(*n), reason.replace('_', " "))).collect();
    shown.join(", ")
}

/// A heading with what it is about.
pub(super) fn heading(out: &mut dyn Write, title: &str, about: &str) -> io::Result<()> {
    writeln!(out, "\n{title}  {about}\n")
}

/// The first line above pulls.
pub(super) fn pull_head(out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", head("source", &["read", "new", "changed", "unchanged", "rejected", "filtered"], "status"))
}

/// One pull, with the reasons for what did not become a record.
pub(super) fn pulled(out: &mut dyn Write, report: &PullReport) -> io::Result<()> {
    let numbers = [report.read, report.new, report.changed, report.unchanged, report.rejected, report.filtered];
    writeln!(out, "{}", line(&report.connection, &numbers, &report.status))?;
    if report.rejected > 0 {
        let sample = report.samples.first().map(|sample| format!("; {sample}")).unwrap_or_default();
        note(out, &format!("rejected: {}{sample}", reasons(&report.rejected_by)))?;
    }
    if report.filtered > 0 {
        note(out, &format!("filtered: {}", reasons(&report.filtered_by)))?;
    }
    if report.withdrawn > 0 {
        note(out, &format!("{} no longer listed: taken back", grouped(report.withdrawn)))?;
    }
    report.error.iter().try_for_each(|why| note(out, why))
}

/// The first line above passes.
pub(super) fn share_head(out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", head("target", &["push", "update", "retract", "leave", "skip", "present"], "status"))
}

/// One pass, with the reasons for what did not go.
pub(super) fn shared(out: &mut dyn Write, report: &ShareReport, engine: &Engine) -> io::Result<()> {
    let numbers = [report.push, report.update, report.retract, report.leave, report.skip, report.present];
    writeln!(out, "{}", line(&report.target, &numbers, &report.status))?;
    if report.skip > 0 {
        note(out, &format!("skipped: {}", reasons(&report.skipped_by)))?;
    }
    if report.refused > 0 {
        let foreign = lines_in(engine, &report.target, LineState::Foreign);
        let mut said = format!("{} not taken", grouped(report.refused));
        if foreign > 0 {
            let _ = write!(said, "; {} there already and not ours: left alone", grouped(foreign));
        }
        note(out, &said)?;
    }
    if let Some(plan) = report.plan {
        note(out, &format!("plan {plan} waits for a person: {}", report.holds.join("; ")))?;
    }
    report.error.iter().try_for_each(|why| note(out, why))
}

fn lines_in(engine: &Engine, target: &str, state: LineState) -> u64 {
    let config = engine.config();
    let id = config.target(target).map(|target| target.id);
    id.and_then(|id| engine.known().ledgers.get(&id).map(|ledger| ledger.count(state) as u64)).unwrap_or_default()
}

/// Where everything stands: says nothing about how it came about, so a second run prints the same.
pub(super) fn table(out: &mut dyn Write, engine: &Engine, passes: &[ShareReport]) -> io::Result<()> {
    let config = engine.config();
    let known = engine.known();
    writeln!(out, "{}", head("source", &["records", "active", "only here"], "connector"))?;
    for connection in config.connections.values() {
        if connection.open.source().is_none() {
            continue;
        }
        let active = known.index.active_from(connection.id);
        let records = known.index.slots_of(connection.id).count() as u64;
        let mut alone = active.clone();
        for other in config.connections.keys().filter(|id| **id != connection.id) {
            alone.and_not(&known.index.active_from(*other));
        }
        let numbers = [records, active.count() as u64, alone.count() as u64];
        writeln!(out, "{}", line(&connection.doc.name, &numbers, &connection.doc.connector))?;
    }
    let totals = [known.index.n_records() as u64, known.index.active().count() as u64];
    writeln!(out, "{}", line("together", &totals, ""))?;
    drop(known);
    note(out, "not active: entries the tools read back that we put there (echo)")?;
    writeln!(out)?;
    writeln!(out, "{}", head("target", &["there", "skipped", "refused", "not ours", "waiting"], "connection"))?;
    for report in passes {
        let refused = lines_in(engine, &report.target, LineState::Refused);
        let foreign = lines_in(engine, &report.target, LineState::Foreign);
        let numbers = [report.present, report.skip, refused, foreign, report.deferred];
        let connection = config
            .target(&report.target)
            .and_then(|target| config.connections.get(&target.connection))
            .map_or("", |connection| connection.doc.name.as_str());
        writeln!(out, "{}", line(&report.target, &numbers, connection))?;
    }
    Ok(())
}

/// The chain of one value: who says it, and what became of it at the targets named.
pub(super) fn why(out: &mut dyn Write, report: &WhyReport, targets: &[&str]) -> io::Result<()> {
    match &report.indicator {
        None => writeln!(out, "  {}: nobody has said anything about it", report.value)?,
        Some(hit) => writeln!(
            out,
            "  {}  {}, reputation {}, severity {}, TLP {}",
            report.value, report.kind, hit.reputation, hit.severity, hit.tlp
        )?,
    }
    for record in &report.records {
        let word = match &record.why {
            Some(why) => format!("does not count: {why}"),
            None => {
                let comment = record.comment.as_deref().map(|text| format!(": {text}")).unwrap_or_default();
                format!("counts, severity {}{comment}", record.severity)
            }
        };
        writeln!(out, "    {:<NAME$} {word}", record.source)?;
    }
    report.guard.iter().try_for_each(|guard| writeln!(out, "    {:<NAME$} {guard}", "guard"))?;
    for target in report.targets.iter().filter(|target| targets.contains(&target.target.as_str())) {
        why_target(out, target)?;
    }
    Ok(())
}

fn why_target(out: &mut dyn Write, target: &WhyTarget) -> io::Result<()> {
    let there = if target.present { "there" } else { "not there" };
    writeln!(out, "    → {:<15} {there}: {}", target.target, target.why)?;
    for sharing in &target.sharings {
        let word = match &sharing.exception {
            _ if !sharing.source_holds => format!("{} says nothing that counts", sharing.source),
            _ if !sharing.selects => "the rule does not select it".to_owned(),
            Some(exception) => format!("selected, but excepted: {exception}"),
            None if !sharing.tlp_passes => "selected, but its TLP is above what this sharing may send".to_owned(),
            None => "selected".to_owned(),
        };
        let text = format!("{} → {} → {}: {word}", sharing.source, sharing.rule, target.target);
        for line in wrapped(&text, 8) {
            writeln!(out, "{line}")?;
        }
        if sharing.source_holds && sharing.selects {
            for clause in sharing.clauses.iter().take(6) {
                let clause: String = clause.chars().take(WIDTH - 14).collect();
                writeln!(out, "            {clause}")?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let cases = [(0, "0"), (999, "999"), (1_000, "1,000"), (14_217, "14,217"), (1_000_000, "1,000,000")];
        for (n, text) in cases {
            assert_eq!(grouped(n), text);
        }
    }

    #[test]
    fn no_line_is_longer_than_the_terminal() {
        let long = format!("rejected: one two {} three", "x".repeat(400)).repeat(3);
        for line in wrapped(&long, 6) {
            assert!(line.chars().count() <= WIDTH && line.starts_with("      "), "{line}");
        }
        assert_eq!(wrapped("", 6), Vec::<String>::new());
        let full = line("a-name-of-17-char", &[u64::from(u32::MAX) / 1_000; 6], "not_modified");
        assert!(full.chars().count() <= WIDTH, "{full}");
    }

    #[test]
    fn reasons_begin_with_the_most_frequent() {
        let by = BTreeMap::from([("too_broad".to_owned(), 2), ("guarded".to_owned(), 1_200), ("echo".to_owned(), 2)]);
        assert_eq!(reasons(&by), "1,200 guarded, 2 echo, 2 too broad");
    }
}
