//! The answer in words.

use super::{WhyRecord, WhyTarget};

/// `a`, `a and b`, `a, b and 3 more`.
fn named(names: &[&str]) -> String {
    match names {
        [] => "nobody".to_owned(),
        [one] => (*one).to_owned(),
        [one, two] => format!("{one} and {two}"),
        [one, two, rest @ ..] => format!("{one}, {two} and {} more", rest.len()),
    }
}

/// A moment to the minute, for people.
pub(super) fn minute(time: &str) -> String {
    match (time.get(..10), time.get(11..16)) {
        (Some(day), Some(minute)) => format!("{day} {minute}"),
        _ => time.to_owned(),
    }
}

/// The answer at a target, plainly.
pub(super) fn sentence(at: &WhyTarget, records: &[WhyRecord]) -> String {
    let name = &at.target;
    let says: Vec<&str> = records.iter().filter(|record| record.active).map(|record| record.source.as_str()).collect();
    let rule = at.sharings.iter().find(|sharing| sharing.decided == "selected").map(|sharing| sharing.rule.as_str());
    let because = match rule {
        Some(rule) if !says.is_empty() => {
            let verb = if says.len() == 1 { "lists" } else { "list" };
            format!(" because {} {verb} it and rule \"{rule}\" selects it", named(&says))
        }
        Some(rule) => format!(" because rule \"{rule}\" selects it"),
        None => String::new(),
    };
    let waits =
        at.plan.as_ref().map(|plan| format!("plan {} waits for approval since {}", plan.id, minute(&plan.since)));
    let since = at.line.as_ref().map_or_else(String::new, |line| format!(" since {}", minute(&line.first_intent)));
    let state = at.line.as_ref().map_or("", |line| line.state.as_str());
    let words = at.words.as_deref().map_or_else(String::new, |words| format!(", which says: {words}"));
    let stopped = match at.restored {
        true => format!("the exchange was restored, and `iocast target adopt {name}` is waited for"),
        false => "everything is frozen".to_owned(),
    };
    match (at.present, at.wanted, waits) {
        (true, true, Some(waits)) if at.step != "leave" => {
            format!("It is at {name}{since}; a change of it waits: {waits}.")
        }
        (true, true, _) => format!("It is at {name}{since}{because}."),
        (true, false, Some(waits)) => {
            format!("It is still at {name}: it goes once {waits} is over. {}.", capital(&at.why))
        }
        (true, false, None) if at.code == "cannot_retract" => {
            format!("It is at {name}{since} and cannot be taken back: the action or the retract mode forbids it.")
        }
        (true, false, None) if at.code == "muted" => format!("It is at {name}{since} and stays: {}.", at.why),
        (true, false, None) if at.frozen => {
            format!("It is still at {name} and would go, but {stopped}: {}.", at.why)
        }
        (true, false, None) => format!("It is still at {name} and goes with the next pass: {}.", at.why),
        (false, _, _) if matches!(state, "pending" | "unknown") => {
            format!("It may be at {name}: the outcome of the last call is not known{words}.")
        }
        (false, _, _) if state == "retracting" => format!("It is being taken back from {name}{words}."),
        (false, _, _) if state == "foreign" => format!("It is at {name}, but somebody else put it there."),
        (false, _, _) if state == "released" => format!("It is at {name}, left there when its sharing was deleted."),
        (false, true, Some(waits)) => format!("It is not at {name} yet: {waits}."),
        (false, true, None) if state == "refused" => format!("It is not at {name}: refused by the destination{words}."),
        (false, true, None) if at.frozen => format!("It is not at {name} yet: {stopped}."),
        (false, true, None) => format!("It is not at {name} yet and goes with the next pass{because}."),
        (false, false, _) => format!("It is not at {name}: {}.", at.why),
    }
}

/// With a capital letter first.
fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
