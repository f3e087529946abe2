//! "Why is it there, why is it not?" in words: the answer first, then who says so, then each target.

use crate::cli::output::{defang, minute, printable, thousands};
use crate::cli::share::budget;
use crate::cli::status::frozen;
use serde_json::{Value, json};

/// Columns of a screen; longer lines are cut, unless everything is asked for.
const WIDTH: usize = 100;
/// Lines of a screen.
const HEIGHT: usize = 40;

/// How much is shown of each thing.
#[derive(Clone, Copy)]
struct Most {
    sources: usize,
    targets: usize,
    /// Of a target.
    sharings: usize,
    /// Of a sharing's rule.
    clauses: usize,
}

/// Everything.
const ALL: Most = Most { sources: usize::MAX, targets: usize::MAX, sharings: usize::MAX, clauses: usize::MAX };
/// Less and less, until it fits a screen.
const LESS: [Most; 4] = [
    Most { sources: 8, targets: 8, sharings: 3, clauses: 3 },
    Most { sources: 6, targets: 6, sharings: 2, clauses: 2 },
    Most { sources: 5, targets: 5, sharings: 1, clauses: 1 },
    Most { sources: 4, targets: 4, sharings: 1, clauses: 0 },
];

/// The whole chain for one value: what it is, who says so, and the answer at each target. Without `all` it fits a screen
/// of 100 by 40 for what is usual, and says what it leaves out.
pub(super) fn explain(report: &Value, all: bool) -> String {
    if all {
        return shown(report, ALL, true);
    }
    let mut text = String::new();
    for most in LESS {
        text = shown(report, most, false);
        if text.lines().count() <= HEIGHT {
            break;
        }
    }
    text
}

fn shown(report: &Value, most: Most, all: bool) -> String {
    let mut out = Screen { text: String::new(), most, all, is_cut: false };
    let kind = word(report, "kind");
    out.line(&format!("{}  {kind}", defang(kind, &printable(word(report, "value")))));
    out.whole(word(report, "answer"));
    if let Some(line) = frozen(&json!({ "frozen_by": report["frozen"] })) {
        out.line(&line);
    }
    summary(&mut out, report);
    records(&mut out, list(&report["records"]));
    let targets = list(&report["targets"]);
    if !targets.is_empty() {
        out.line("\nWhere it is, and why");
        for each in out.first(targets, out.most.targets) {
            target(&mut out, each);
        }
        out.more(targets.len(), out.most.targets, "targets");
    }
    if out.is_cut {
        out.text.push_str("\n--all shows everything\n");
    }
    out.text
}

struct Screen {
    text: String,
    most: Most,
    all: bool,
    is_cut: bool,
}

impl Screen {
    /// A line, cut where it is too long; an empty one before it where it begins so.
    fn line(&mut self, text: &str) {
        let (gap, text) = match text.strip_prefix('\n') {
            Some(rest) => ("\n", rest),
            None => ("", text),
        };
        let text = printable(text);
        self.text.push_str(gap);
        if self.all || text.chars().count() <= WIDTH {
            self.text.push_str(&text);
        } else {
            self.is_cut = true;
            self.text.extend(text.chars().take(WIDTH - 1));
            self.text.push('…');
        }
        self.text.push('\n');
    }

    /// An answer: never cut; where it is too long it goes on in the next line, a little further in.
    fn whole(&mut self, text: &str) {
        if self.all || text.chars().count() <= WIDTH {
            return self.line(text);
        }
        let margin = text.len() - text.trim_start().len();
        let mut line = " ".repeat(margin);
        for word in text.split_whitespace() {
            let begun = line.trim_start() != "";
            if begun && line.chars().count() + 1 + word.chars().count() > WIDTH {
                self.line(&line);
                line = " ".repeat(margin + 2);
            } else if begun {
                line.push(' ');
            }
            line.push_str(word);
        }
        self.line(&line);
    }

    fn first<'v>(&self, list: &'v [Value], most: usize) -> &'v [Value] {
        &list[..list.len().min(most)]
    }

    fn more(&mut self, n: usize, most: usize, what: &str) {
        if n > most {
            self.is_cut = true;
            self.line(&format!("  … and {} more {what}", n - most));
        }
    }
}

/// What it is held to be, and who says each part of it.
fn summary(out: &mut Screen, report: &Value) {
    let hit = &report["indicator"];
    if hit.is_null() {
        guard(out, report);
        return;
    }
    let fold = &report["fold"];
    let by = |key: &str| match fold[key].as_str() {
        None | Some("default") => String::new(),
        Some(source) => format!(" ({source})"),
    };
    let activity = &report["activity"];
    let state = if activity["active"].as_bool() == Some(true) { "Active" } else { "Not active" };
    let muted = if hit["muted"].as_bool() == Some(true) { "; muted" } else { "" };
    out.line(&format!("\n{state}: {}{muted}", word(activity, "why")));
    let expires = hit["expires_at"].as_str().map_or("never expires".to_owned(), |at| format!("expires {}", minute(at)));
    out.line(&format!(
        "reputation {}{}, severity {}{}, TLP {}{}, {expires}{}",
        hit["reputation"],
        by("reputation"),
        word(hit, "severity"),
        by("severity"),
        word(hit, "tlp"),
        by("tlp"),
        by("expires_at"),
    ));
    let tags: Vec<&str> = texts(&hit["tags"]).collect();
    if !tags.is_empty() {
        out.line(&format!("tags: {}", tags.join(", ")));
    }
    guard(out, report);
}

fn guard(out: &mut Screen, report: &Value) {
    if let Some(guard) = report["guard"].as_str() {
        out.line(&format!("guard: {guard}"));
    }
    for note in texts(&report["notes"]) {
        out.line(&format!("note: {note}"));
    }
}

fn records(out: &mut Screen, records: &[Value]) {
    if records.is_empty() {
        return;
    }
    out.line("\nWho says so");
    let width = records.iter().map(|record| word(record, "source").chars().count()).max().unwrap_or(0).min(24);
    for record in out.first(records, out.most.sources) {
        let mut parts = Vec::new();
        match (record["active"].as_bool(), record["why"].as_str()) {
            (Some(true), _) => parts.push("counts".to_owned()),
            (_, Some(why)) => parts.push(format!("does not count: {why}")),
            _ => parts.push("does not count".to_owned()),
        }
        if let Some(reputation) = record["reputation"].as_u64() {
            parts.push(format!("reputation {reputation}"));
        }
        if let Some(severity) = record["severity"].as_str().filter(|severity| *severity != "unknown") {
            parts.push(format!("severity {severity}"));
        }
        if let Some(tlp) = record["tlp"].as_str() {
            parts.push(format!("TLP {tlp}"));
        }
        if let Some(seen) = record["last_seen"].as_str() {
            parts.push(format!("seen {}", minute(seen)));
        }
        if let Some(expires) = record["expires_at"].as_str() {
            parts.push(format!("expires {}", minute(expires)));
        }
        let tags: Vec<&str> = texts(&record["tags"]).collect();
        if !tags.is_empty() {
            parts.push(tags.join(" "));
        }
        out.line(&format!("  {:width$}  {}", word(record, "source"), parts.join("; ")));
        if let Some(comment) = record["comment"].as_str() {
            out.line(&format!("  {:width$}  \"{comment}\"", ""));
        }
    }
    out.more(records.len(), out.most.sources, "sources");
}

fn target(out: &mut Screen, target: &Value) {
    let answer = format!("  {}", word(target, "answer"));
    match answer.split_once(" because ") {
        Some((what, why)) if answer.chars().count() > WIDTH => {
            out.line(what);
            out.line(&format!("    because {why}"));
        }
        _ => out.whole(&answer),
    }
    let guard = &target["guard"];
    if guard["excepted"].as_bool() == Some(true) {
        let (list, value) = (word(guard, "list"), word(guard, "value"));
        let by = &guard["exception"];
        let lets = match by.is_object() {
            true => format!(
                "{} lets it through here until {}: {}",
                word(by, "approver"),
                word(by, "until"),
                word(by, "reason")
            ),
            false => "an exception lets it through here".to_owned(),
        };
        out.line(&format!("    guard: {value} of list {list}; {lets}"));
    }
    let pin = &target["pin"];
    if pin.is_object() {
        let stays = if word(pin, "hold") == "in" { "stays there" } else { "stays out" };
        out.line(&format!(
            "    undone: it {stays}, by {} {} (plan {}), until it is lifted:",
            word(pin, "who"),
            minute(word(pin, "at")),
            pin["plan"]
        ));
        if let Some((command, value)) = word(pin, "lift").rsplit_once(' ') {
            let kind = intel::IndicatorKey::parse(None, value).map_or("url", |key| key.kind().as_str());
            out.line(&format!("      {command} '{}'", defang(kind, value)));
        }
    }
    let shown: Vec<&str> = texts(&target["together_with"]).collect();
    if !shown.is_empty() {
        let values: Vec<String> = shown.iter().map(|value| defang("url", value)).collect();
        out.line(&format!("    one entry with {}", values.join(", ")));
    }
    if let Some(position) = target["rank"]["position"].as_u64() {
        let n = |key: &str| thousands(target["rank"][key].as_u64().unwrap_or(0));
        let fits = if position > target["rank"]["limit"].as_u64().unwrap_or(0) { "no room" } else { "there is room" };
        out.line(&format!("    rank {} of {}; it takes {}: {fits}", thousands(position), n("of"), n("limit")));
    }
    if let Some(waits) = target["plan"]["waits"].as_str() {
        let plan = &target["plan"];
        out.line(&format!("    plan {} would {} it: {waits}", plan["id"], word(plan, "verb")));
        if plan["budget"].is_object() {
            out.line(&format!("    {}", budget(&plan["budget"])));
        }
    }
    line(out, target);
    let sharings = list(&target["sharings"]);
    for sharing in out.first(sharings, out.most.sharings) {
        let said = match word(sharing, "decided") {
            "source" => "that source does not hold it".to_owned(),
            "rule" => "the rule does not select it".to_owned(),
            "exception" => {
                format!("the rule selects it, and an exception removes it: {}", word(sharing, "exception"))
            }
            "tlp" => format!("the rule selects it, but it sends only up to TLP {}", word(sharing, "max_tlp")),
            "muted" => "the rule selects it, but it is muted or paused".to_owned(),
            _ => "the rule selects it".to_owned(),
        };
        out.line(&format!("    {} → {}: {said}", word(sharing, "source"), word(sharing, "rule")));
        if word(sharing, "decided") == "source" && !out.all {
            continue;
        }
        // The leaves that decided say it; what joins them is in the rule.
        let clauses: Vec<&str> = texts(&sharing["clauses"]).collect();
        let decided: Vec<&str> = match out.all {
            true => clauses.clone(),
            false => {
                clauses.iter().copied().filter(|clause| clause.starts_with('*') && clause.ends_with(']')).collect()
            }
        };
        for clause in decided.iter().take(out.most.clauses) {
            let clause = if out.all { (*clause).to_owned() } else { squeezed(clause.trim_start_matches('*')) };
            out.line(&format!("      {clause}"));
        }
        out.is_cut |= clauses.len() > decided.len().min(out.most.clauses);
    }
    match out.most.clauses {
        0 => out.is_cut |= sharings.len() > out.most.sharings,
        _ => out.more(sharings.len(), out.most.sharings, "sharings"),
    }
}

/// The ledger's line, where it says more than that it is there or gone.
fn line(out: &mut Screen, target: &Value) {
    let line = &target["line"];
    let Some(state) = line["state"].as_str() else { return };
    let mut parts = vec![format!("ledger: {state}")];
    if let Some(run) = line["run"].as_u64() {
        parts.push(format!("run {run}"));
    }
    if let Some(id) = line["remote_id"].as_str() {
        parts.push(format!("its id there {id}"));
    }
    if let Some(n) = line["attempts"].as_u64().filter(|n| *n > 0) {
        parts.push(format!("{n} failed {}", if n == 1 { "try" } else { "tries" }));
    }
    if let Some(at) = line["next_try"].as_str() {
        parts.push(format!("again after {}", minute(at)));
    }
    if let Some(at) = line["remote_expires"].as_str() {
        parts.push(format!("drops it by itself {}", minute(at)));
    }
    if state != "gone" || out.all {
        parts.push(format!("updated {}", minute(word(line, "updated"))));
    } else {
        parts.push(format!("taken back {}", minute(word(line, "updated"))));
    }
    out.line(&format!("    {}", parts.join("; ")));
    if let Some(words) = target["words"].as_str() {
        out.line(&format!("    it says: {words}"));
    }
}

/// Without the room that lines clauses up.
fn squeezed(clause: &str) -> String {
    clause.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn word<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    list(value).iter().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(name: &str) -> Value {
        json!({
            "target": name, "present": true, "step": "leave", "code": "present",
            "answer": format!("It is at {name} since 2026-11-20 02:46 because ours and levels list it and rule \"addresses\" selects it."),
            "rank": {"position": 812, "of": 20_310, "limit": 15_000},
            "line": {"state": "present", "run": 31, "remote_id": "a-77", "attempts": 2, "first_intent": "2026-11-20T02:46:51Z",
                     "updated": "2026-11-20T02:46:52Z", "remote_expires": "2027-01-01T00:00:00Z"},
            "words": "ok\u{1b}[2J",
            "sharings": [
                {"source": "any", "rule": "addresses", "decided": "selected",
                 "clauses": ["* yes kind in (ipv4, ipv4_net) and reputation >= 5", "* yes   kind in (ipv4, ipv4_net)   [ipv4]",
                             "* yes   reputation >= 5   [9]"]},
                {"source": "old", "rule": "addresses", "decided": "source", "clauses": ["  no  reputation >= 5   [9]"]},
                {"source": "x", "rule": "y", "decided": "tlp", "max_tlp": "green", "clauses": []}
            ]
        })
    }

    fn report() -> Value {
        let record = |source: &str| {
            json!({"source": source, "active": true, "code": "active", "reputation": 9, "severity": "high", "tags": ["c2"],
                   "tlp": "amber", "last_seen": "2026-11-20T00:00:00Z", "expires_at": "2027-02-20T02:46:51Z",
                   "comment": "seen\nagain"})
        };
        json!({
            "asked": "45.83.122.10", "kind": "ipv4", "value": "45.83.122.10", "known": true,
            "answer": "It is at all 4 targets.",
            "indicator": {"reputation": 9, "severity": "high", "tlp": "amber", "tags": ["c2", "a\u{1b}[2J"],
                          "expires_at": "2027-02-20T02:46:51Z", "active": true, "muted": true},
            "fold": {"leading": "levels", "reputation": "levels", "severity": "ours", "tlp": "default", "expires_at": "levels"},
            "activity": {"active": true, "code": "record", "why": "3 sources count"},
            "records": [record("ours"), record("levels"), record("third")],
            "notes": [], "targets": [target("a"), target("b"), target("c"), target("d")],
        })
    }

    #[test]
    fn three_sources_and_four_targets_fit_a_screen() {
        let shown = explain(&report(), false);
        assert!(shown.lines().count() <= 40, "{} lines\n{shown}", shown.lines().count());
        assert!(shown.lines().all(|line| line.chars().count() <= WIDTH), "{shown}");
        assert!(!shown.contains('\u{1b}') && shown.contains("--all shows everything"), "{shown}");
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[..2], ["45.83.122[.]10  ipv4", "It is at all 4 targets."]);
        let all = explain(&report(), true);
        assert!(
            all.contains("x → y: the rule selects it, but it sends only up to TLP green") && !all.contains("--all"),
            "{all}"
        );
        assert!(all.contains("* yes kind in (ipv4, ipv4_net) and reputation >= 5"), "{all}");
    }

    #[test]
    fn the_chain_reads_from_the_value_to_each_target() {
        let mut report = report();
        report["records"] = json!([report["records"][0]]);
        report["targets"] = json!([target("a")]);
        let expected = "\
45.83.122[.]10  ipv4
It is at all 4 targets.

Active: 3 sources count; muted
reputation 9 (levels), severity high (ours), TLP amber, expires 2027-02-20 02:46 (levels)
tags: c2, a\\u{1b}[2J

Who says so
  ours  counts; reputation 9; severity high; TLP amber; seen 2026-11-20 00:00; expires 2027-02-20 0…
        \"seen\\nagain\"

Where it is, and why
  It is at a since 2026-11-20 02:46 because ours and levels list it and rule \"addresses\" selects it.
    rank 812 of 20 310; it takes 15 000: there is room
    ledger: present; run 31; its id there a-77; 2 failed tries; drops it by itself 2027-01-01 00:00…
    it says: ok\\u{1b}[2J
    any → addresses: the rule selects it
      yes kind in (ipv4, ipv4_net) [ipv4]
      yes reputation >= 5 [9]
    old → addresses: that source does not hold it
    x → y: the rule selects it, but it sends only up to TLP green

--all shows everything
";
        assert_eq!(explain(&report, false), expected);
    }

    #[test]
    fn what_people_did_is_said_with_how_to_end_it() {
        let mut report = report();
        report["records"] = json!([{"source": "ours", "active": false, "code": "retracted",
                                    "why": "ended by a rollback to 2026-11-19 10:00 (run 7)"}]);
        report["frozen"] = json!({"by": "person", "who": "ann", "at": "2026-11-20T09:00:00Z", "note": "tickets"});
        let mut at = target("a");
        at["pin"] = json!({"hold": "out", "plan": 4, "who": "bob", "at": "2026-11-20T08:00:00Z", "runs": [31],
                           "lift": "iocast target unpin a 45.83.122.10"});
        at["guard"] = json!({"excepted": true, "stops": false, "list": "own", "value": "45.83.0.0/16",
                             "exception": {"approver": "noc", "until": "2027-01-31", "reason": "our sinkhole"}});
        at["plan"] = json!({"id": 9, "verb": "push", "waits": "over the change budget",
                            "budget": {"adds": {"used_24h": 5000, "per_day": 15000, "left": 0},
                                       "removals": {"used_24h": 0, "per_day": 60, "left": 20}}});
        report["targets"] = json!([at, target("b"), target("c"), target("d")]);
        let shown = explain(&report, false);
        assert!(shown.lines().count() <= 40, "{} lines\n{shown}", shown.lines().count());
        for line in [
            "frozen by ann since 2026-11-20 09:00: tickets; nothing goes to any destination until `iocast thaw`",
            "  ours  does not count: ended by a rollback to 2026-11-19 10:00 (run 7)",
            "    guard: 45.83.0.0/16 of list own; noc lets it through here until 2027-01-31: our sinkhole",
            "    undone: it stays out, by bob 2026-11-20 08:00 (plan 4), until it is lifted:",
            "      iocast target unpin a '45.83.122[.]10'",
            "    plan 9 would push it: over the change budget",
            "    budget: adds 5 000 of 15 000 in 24 h, 0 may go now; removals 0 of 60 in 24 h, 20 may go now",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
        }
    }

    #[test]
    fn a_value_nobody_knows_is_said_to_be_so() {
        let shown = explain(
            &json!({"kind": "ipv4", "value": "192.0.2.9", "known": false, "records": [], "targets": [],
                    "answer": "It is nowhere: nobody has said anything about it."}),
            false,
        );
        assert_eq!(shown, "192.0.2[.]9  ipv4\nIt is nowhere: nobody has said anything about it.\n");
    }
}
