//! Echoes: what we put somewhere first and then read back from there is not news.
//!
//! Without this rule two tools that share both ways would keep each other's values alive for ever.

use crate::sharing::LineState;
use crate::time::Timestamp;

/// What a product says about who made the object that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Maker {
    /// It carries our mark, or a remote id that the ledger knows as ours.
    Us,
    /// It has a remote id that is not ours.
    SomebodyElse,
    /// The product has neither ids nor marks: only the ledger can tell.
    Unstated,
}

/// A ledger line of the key that was read, or its tombstone, at some target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Planted {
    /// What we know about the line.
    pub state: LineState,
    /// When we first meant to send it.
    pub first_intent: Timestamp,
    /// Its target belongs to the account that was read: the same tenant, else the same connection or one that the
    /// connection declares to read.
    pub same_account: bool,
}

/// One key as read from one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reading {
    /// Who made it.
    pub maker: Maker,
    /// When this connection's standing genuine record of the key was first received; None: there is none, or it was
    /// retracted or has expired.
    pub first_genuine: Option<Timestamp>,
    /// The hops of the value hold this exchange's id: it passed through here.
    pub passed_us: bool,
}

/// Whether what was read is an echo: no claim, no age, no score. Its sightings count all the same.
pub fn is_echo(reading: &Reading, lines: impl IntoIterator<Item = Planted>) -> bool {
    if reading.passed_us {
        return true;
    }
    let first_intent = lines
        .into_iter()
        .filter(|line| line.same_account && !matches!(line.state, LineState::Refused | LineState::Foreign))
        .map(|line| line.first_intent)
        .min();
    let we_were_first = |intent: Timestamp| reading.first_genuine.is_none_or(|genuine| intent < genuine);
    match (reading.maker, first_intent) {
        (Maker::SomebodyElse, _) => false,
        (Maker::Us | Maker::Unstated, Some(intent)) => we_were_first(intent),
        // Our mark without a line: the ledger has forgotten it. It is ours unless the source spoke for itself before.
        (Maker::Us, None) => reading.first_genuine.is_none(),
        (Maker::Unstated, None) => false,
    }
}

/// The tag a hop travels as where a format has tags and no better place: `iocast:hop=ID`. Records keep hops as such tags.
pub const HOP_TAG: &str = "iocast:hop=";

/// Tags without the hops among them, and the hops.
pub fn split_hops(tags: Vec<String>) -> (Vec<String>, Vec<String>) {
    let (hops, tags): (Vec<String>, Vec<String>) = tags.into_iter().partition(|tag| tag.starts_with(HOP_TAG));
    (tags, hops.into_iter().map(|hop| hop[HOP_TAG.len()..].to_owned()).collect())
}

/// Whether a value's hop list holds this exchange's id.
pub fn passed_us<T: AsRef<str>>(hops: &[T], our_id: &str) -> bool {
    hops.iter().any(|hop| hop.as_ref() == our_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn the_rule() {
        use LineState::*;
        use Maker::*;
        let line = |state, intent, same_account| Planted { state, first_intent: at(intent), same_account };
        type Case<'a> = (&'a str, Maker, Option<i64>, &'a [Planted], bool);
        let cases: &[Case<'_>] = &[
            ("nothing of ours", Unstated, None, &[], false),
            ("we put it there", Unstated, None, &[line(Present, 10, true)], true),
            ("another account", Unstated, None, &[line(Present, 10, false)], false),
            ("they said so first", Unstated, Some(5), &[line(Present, 10, true)], false),
            ("at the same moment", Unstated, Some(10), &[line(Present, 10, true)], false),
            ("we were first, they later", Unstated, Some(11), &[line(Present, 10, true)], true),
            ("tombstone", Unstated, None, &[line(Gone, 10, true)], true),
            ("released is still ours to know", Unstated, None, &[line(Released, 10, true)], true),
            ("intent only", Unstated, None, &[line(Pending, 10, true)], true),
            ("refused", Unstated, None, &[line(Refused, 10, true)], false),
            ("foreign", Unstated, None, &[line(Foreign, 10, true)], false),
            ("earliest of several", Unstated, Some(7), &[line(Present, 10, true), line(Gone, 5, true)], true),
            (
                "refused one is no earlier one",
                Unstated,
                Some(7),
                &[line(Present, 9, true), line(Refused, 5, true)],
                false,
            ),
            ("foreign id beats the ledger", SomebodyElse, None, &[line(Present, 10, true)], false),
            ("our mark", Us, None, &[line(Present, 10, true)], true),
            ("our mark, they were first", Us, Some(5), &[line(Present, 10, true)], false),
            ("our mark, ledger lost", Us, None, &[], true),
            ("our mark, ledger lost, genuine record stands", Us, Some(5), &[], false),
        ];
        for (name, maker, genuine, lines, expect) in cases {
            let reading = Reading { maker: *maker, first_genuine: genuine.map(at), passed_us: false };
            assert_eq!(is_echo(&reading, lines.iter().copied()), *expect, "{name}");
            assert!(is_echo(&Reading { passed_us: true, ..reading }, lines.iter().copied()), "{name}: hops");
        }
        assert!(passed_us(&["a", "us"], "us") && !passed_us(&["usb"], "us") && !passed_us::<&str>(&[], "us"));
    }
}
