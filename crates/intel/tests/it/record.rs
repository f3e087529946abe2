//! What a row becomes: limits and dates at the door, the fingerprint, and what one row more does to a record.

use intel::limits::{self, CLOCK_TOLERANCE, EARLIEST_TIME, LATEST_TIME};
use intel::{
    Absorbed, ConnectionId, IndicatorKind, Observation, Reputation, Row, Severity, SourceRecord, Timestamp, Tlp,
};
use std::time::Duration;

const NOW: Timestamp = Timestamp::from_secs(1_780_000_000);
const SOURCE: ConnectionId = ConnectionId(7);

fn day(n: i64) -> Timestamp {
    Timestamp::from_secs(NOW.secs() + n * 86_400)
}

fn row(observation: Observation) -> Row {
    observation.normalise(NOW).unwrap()
}

fn base() -> Observation {
    Observation::new("evil.example.com")
}

fn print_of(row: &Row) -> u64 {
    row.fingerprint(SOURCE, &mut Vec::new())
}

fn first(row: &Row, run: Timestamp) -> SourceRecord {
    SourceRecord::first(row, print_of(row), run, run)
}

fn absorb(record: &mut SourceRecord, row: &Row, run: Timestamp) -> Absorbed {
    record.absorb(row, print_of(row), run)
}

#[test]
fn dates_that_cannot_be_are_not_given() {
    let second = Duration::from_secs(1);
    for (what, time, past, ahead) in [
        ("1999", EARLIEST_TIME.before(second), false, false),
        ("the first of 2000", EARLIEST_TIME, true, true),
        ("now", NOW, true, true),
        ("a day ahead", NOW.after(CLOCK_TOLERANCE), true, true),
        ("more than a day ahead", NOW.after(CLOCK_TOLERANCE).after(second), false, true),
        ("2100", LATEST_TIME, false, true),
        ("after 2100", LATEST_TIME.after(second), false, false),
        ("1970", Timestamp::EPOCH, false, false),
    ] {
        let given = Some(time);
        let row = row(Observation {
            first_seen: given,
            last_seen: given,
            modified: given,
            valid_from: given,
            expires_at: given,
            ..base()
        });
        let claim = &row.claim;
        assert_eq!([claim.first_seen, claim.last_seen, row.version], [given.filter(|_| past); 3], "{what}");
        assert_eq!([claim.valid_from, claim.expires_at], [given.filter(|_| ahead); 2], "{what}");
    }
}

#[test]
fn the_version_is_the_modified_time_else_the_rows_own_date() {
    for (modified, last_seen, expect) in [
        (Some(day(-1)), Some(day(-5)), Some(day(-1))),
        (Some(day(-9)), Some(day(-5)), Some(day(-9))),
        (Some(day(9)), Some(day(-5)), Some(day(-5))),
        (None, Some(day(-5)), Some(day(-5))),
        (None, Some(day(9)), None),
        (None, None, None),
    ] {
        let row = row(Observation { modified, last_seen, first_seen: Some(day(-30)), ..base() });
        assert_eq!(row.version, expect, "{modified:?} {last_seen:?}");
        assert_eq!(first(&row, day(0)).version, expect.unwrap_or(day(0)), "{modified:?} {last_seen:?}");
    }
}

#[test]
fn numbers_are_clamped() {
    for (reputation, confidence, expect) in
        [(i64::MIN, -1, (1, 0)), (0, 0, (1, 0)), (10, 100, (10, 100)), (11, 101, (10, 100)), (i64::MAX, 999, (10, 100))]
    {
        let row = row(Observation { reputation: Some(reputation), confidence: Some(confidence), ..base() });
        let got = (row.claim.reputation.map(Reputation::get), row.claim.confidence);
        assert_eq!(got, (Some(expect.0), Some(expect.1)), "{reputation} {confidence}");
    }
}

#[test]
fn texts_are_trimmed_cut_and_plain() {
    let long = "ä".repeat(limits::COMMENT_BYTES);
    let blank_at_cut = format!("{} tail", "x".repeat(limits::COMMENT_BYTES - 1));
    for (given, expect) in [
        ("", None),
        (" \t\n ", None),
        ("\u{0}\u{1}\u{7f}", None),
        ("  plain  ", Some("plain".to_owned())),
        ("two\nlines\u{0}", Some("two lines".to_owned())),
        ("\u{1b}[31mred", Some("[31mred".to_owned())),
        (&long, Some("ä".repeat(limits::COMMENT_BYTES / 2))),
        (&blank_at_cut, Some("x".repeat(limits::COMMENT_BYTES - 1))),
    ] {
        let claim = row(Observation { comment: Some(given.into()), ..base() }).claim;
        assert_eq!(claim.comment.as_deref(), expect.as_deref(), "{given:.40}");
        // Cleaning what is clean changes nothing.
        let again = row(Observation { comment: expect.clone(), ..base() }).claim;
        assert_eq!(again.comment.as_deref(), expect.as_deref(), "{given:.40} again");
    }
    for c in ('\0'..='\u{2fff}').filter(|c| !c.is_whitespace() || c.is_control()) {
        let claim = row(Observation { comment: Some(format!("a{c}b")), ..base() }).claim;
        let expect = if c.is_control() { "a b".to_owned() } else { format!("a{c}b") };
        assert_eq!(claim.comment.as_deref(), Some(&*expect), "{:x}", u32::from(c));
    }
    let link = format!("https://x.example/{}", "y".repeat(limits::LINK_BYTES));
    let claim = row(Observation { link: Some(link), tags: vec!["t".repeat(999)], ..base() }).claim;
    assert_eq!(claim.link.unwrap().len(), limits::LINK_BYTES);
    assert_eq!(claim.tags[0].len(), limits::TAG_BYTES);
}

#[test]
fn tags_are_a_bounded_sorted_set() {
    let tags = |tags: &[&str]| Observation { tags: tags.iter().map(|t| (*t).into()).collect(), ..base() };
    assert_eq!(row(tags(&["b", " a ", "", "b", "\n"])).claim.tags, ["a".into(), "b".into()]);
    assert_eq!(Observation::new("x").tag("  ").tag("a").tags, ["a"]);
    let many = |from: usize| {
        let tags = (0..limits::TAGS_PER_RECORD + 9).map(|n| format!("{:06}", from + n * 2)).collect();
        row(Observation { tags, last_seen: Some(day(-1)), ..base() })
    };
    let (even, odd) = (many(0), many(1));
    assert_eq!(even.claim.tags.len(), limits::TAGS_PER_RECORD);
    let mut one = first(&even, day(0));
    absorb(&mut one, &odd, day(0));
    let mut other = first(&odd, day(0));
    absorb(&mut other, &even, day(0));
    assert_eq!(one.claim.tags.len(), limits::TAGS_PER_RECORD, "joining keeps the limit");
    assert_eq!(one, other, "whatever comes first");
}

#[test]
fn the_text_as_given_is_kept_where_it_differs() {
    for (given, raw) in [
        ("evil.example.com", None),
        ("Evil.Example.com", Some("Evil.Example.com")),
        ("evil[.]example.com", Some("evil[.]example.com")),
        ("evil.example.com.", Some("evil.example.com.")),
    ] {
        let row = row(Observation::new(given));
        assert_eq!((row.key.value(), row.claim.raw.as_deref()), ("evil.example.com", raw), "{given}");
    }
    assert!(Observation::new("no indicator at all").normalise(NOW).is_err());
}

#[test]
fn the_fingerprint_tells_every_field_apart() {
    let time = Some(day(-3));
    let with = |change: fn(&mut Observation)| {
        let mut observation = Observation { last_seen: Some(day(-9)), ..base() };
        change(&mut observation);
        observation
    };
    let mut rows = vec![
        ("nothing", with(|_| {})),
        ("value", with(|o| o.value = "other.example.com".into())),
        ("raw", with(|o| o.value = "EVIL.example.com".into())),
        ("kind", with(|o| o.kind = Some(IndicatorKind::Url))),
        ("kind again", with(|o| o.kind = Some(IndicatorKind::Filename))),
        ("reputation", with(|o| o.reputation = Some(1))),
        ("reputation 2", with(|o| o.reputation = Some(2))),
        ("confidence", with(|o| o.confidence = Some(0))),
        ("confidence 1", with(|o| o.confidence = Some(1))),
        ("severity", with(|o| o.severity = Some(Severity::Low))),
        ("tlp", with(|o| o.tlp = Some(Tlp::Clear))),
        ("tag", with(|o| o.tags = vec!["ab".into()])),
        ("tags", with(|o| o.tags = vec!["a".into(), "b".into()])),
        ("retracted", with(|o| o.retracted = true)),
        ("comment", with(|o| o.comment = Some("ab".into()))),
        ("link", with(|o| o.link = Some("ab".into()))),
        ("comment and link", with(|o| (o.comment, o.link) = (Some("a".into()), Some("b".into())))),
        ("internal hits", with(|o| o.internal_hits = Some(1))),
        ("external hits", with(|o| o.external_hits = Some(1))),
        ("remote id", with(|o| o.remote_id = Some("ab".into()))),
        ("hop", with(|o| o.hops = vec!["ab".into()])),
        ("hops", with(|o| o.hops = vec!["a".into(), "b".into()])),
    ];
    for (name, observation) in [
        ("first seen", Observation { first_seen: time, ..with(|_| {}) }),
        ("last seen", Observation { last_seen: time, ..with(|_| {}) }),
        ("modified", Observation { modified: time, ..with(|_| {}) }),
        ("valid from", Observation { valid_from: time, ..with(|_| {}) }),
        ("expires at", Observation { expires_at: time, ..with(|_| {}) }),
    ] {
        rows.push((name, observation));
    }
    let mut seen: Vec<(&str, u64)> = Vec::new();
    for (name, observation) in rows {
        let print = print_of(&row(observation.clone()));
        assert_eq!(print, print_of(&row(observation)), "{name}: the same twice");
        if let Some((other, _)) = seen.iter().find(|(_, p)| *p == print) {
            panic!("{name} and {other} have one fingerprint");
        }
        seen.push((name, print));
    }
    let plain = row(base());
    assert_ne!(
        plain.fingerprint(ConnectionId(7), &mut Vec::new()),
        plain.fingerprint(ConnectionId(8), &mut Vec::new())
    );
    let mut used = b"left over".to_vec();
    assert_eq!(plain.fingerprint(SOURCE, &mut used), print_of(&plain), "scratch takes no part");
}

/// What two rows of one version come to, whichever comes first.
fn joined(a: Observation, b: Observation) -> SourceRecord {
    let (a, b) = (row(Observation { modified: Some(day(-1)), ..a }), row(Observation { modified: Some(day(-1)), ..b }));
    let (mut ab, mut ba) = (first(&a, day(0)), first(&b, day(0)));
    assert_eq!(absorb(&mut ab, &b, day(0)), Absorbed::Changed);
    assert_eq!(absorb(&mut ba, &a, day(5)), Absorbed::Changed);
    ba.received = ab.received;
    assert_eq!(ab, ba, "order matters");
    assert_eq!(absorb(&mut ab, &a, day(9)), Absorbed::Unchanged);
    assert_eq!(absorb(&mut ab, &b, day(9)), Absorbed::Unchanged);
    ab
}

#[test]
fn rows_of_one_version_are_joined() {
    let one = Observation {
        reputation: Some(3),
        confidence: Some(80),
        severity: Some(Severity::High),
        tlp: Some(Tlp::Green),
        tags: vec!["a".into(), "b".into()],
        first_seen: Some(day(-30)),
        last_seen: Some(day(-9)),
        expires_at: Some(day(30)),
        comment: Some("apple".into()),
        link: Some("https://a.example/2".into()),
        internal_hits: Some(9),
        external_hits: Some(1),
        remote_id: Some("1".into()),
        ..base()
    };
    let two = Observation {
        reputation: Some(8),
        severity: Some(Severity::Low),
        tlp: Some(Tlp::Amber),
        tags: vec!["c".into(), "b".into()],
        first_seen: Some(day(-20)),
        last_seen: Some(day(-4)),
        expires_at: Some(day(60)),
        comment: Some("banana".into()),
        link: Some("https://a.example/1".into()),
        external_hits: Some(4),
        remote_id: Some("2".into()),
        ..base()
    };
    let record = joined(one, two);
    let claim = &record.claim;
    assert_eq!(claim.reputation.map(Reputation::get), Some(8));
    assert_eq!(claim.confidence, Some(80));
    assert_eq!((claim.severity, claim.tlp), (Severity::High, Some(Tlp::Amber)));
    assert_eq!(claim.tags, ["a".into(), "b".into(), "c".into()]);
    assert_eq!((claim.first_seen, claim.last_seen), (Some(day(-30)), Some(day(-4))));
    assert_eq!(claim.expires_at, Some(day(60)));
    assert_eq!((claim.comment.as_deref(), claim.link.as_deref()), (Some("banana"), Some("https://a.example/2")));
    assert_eq!((claim.internal_hits, claim.external_hits), (9, 4));
    assert_eq!(record.remote_id.as_deref(), Some("2"));
    assert!(joined(base(), Observation { retracted: true, ..base() }).is_retracted());
}

#[test]
fn the_greater_version_speaks_and_dates_widen() {
    let old = row(Observation {
        reputation: Some(9),
        severity: Some(Severity::Critical),
        tags: vec!["old".into()],
        comment: Some("zebra".into()),
        link: Some("https://z.example/".into()),
        first_seen: Some(day(-50)),
        modified: Some(day(-10)),
        last_seen: Some(day(-2)),
        expires_at: Some(day(90)),
        internal_hits: Some(9),
        remote_id: Some("z".into()),
        ..base()
    });
    let new = row(Observation {
        reputation: Some(2),
        first_seen: Some(day(-5)),
        modified: Some(day(-1)),
        last_seen: Some(day(-4)),
        remote_id: Some("a".into()),
        ..base()
    });
    let mut one = first(&old, day(0));
    assert_eq!(absorb(&mut one, &new, day(0)), Absorbed::Changed);
    let mut other = first(&new, day(0));
    assert_eq!(absorb(&mut other, &old, day(0)), Absorbed::Changed, "its dates reach further");
    assert_eq!(one, other, "order matters");
    let claim = &one.claim;
    assert_eq!((claim.reputation.map(Reputation::get), claim.severity), (Some(2), Severity::Unknown));
    assert_eq!((claim.tags.len(), claim.comment.clone(), claim.link.clone()), (0, None, None));
    assert_eq!((claim.expires_at, claim.internal_hits), (None, 0));
    assert_eq!((claim.first_seen, claim.last_seen), (Some(day(-50)), Some(day(-2))));
    assert_eq!((one.version, one.remote_id.as_deref()), (day(-1), Some("a")));
    let before = one.clone();
    for run in [1, 2, 3] {
        assert_eq!(absorb(&mut one, &old, day(run)), Absorbed::Unchanged, "an older version again");
    }
    assert_eq!(one, before);
}

#[test]
fn a_row_without_date_takes_the_run_in_which_it_was_first_read() {
    let rated = |reputation| row(Observation { reputation: Some(reputation), ..base() });
    let (low, high) = (rated(2), rated(8));
    let mut record = first(&low, day(0));
    assert_eq!(absorb(&mut record, &low, day(1)), Absorbed::Unchanged);
    assert_eq!(record.version, day(0), "the run it was first read in, not the last");
    assert_eq!(absorb(&mut record, &high, day(0)), Absorbed::Changed);
    assert_eq!((record.version, record.claim.reputation.map(Reputation::get)), (day(0), Some(8)), "same run: joined");
    let middle = rated(5);
    assert_eq!(absorb(&mut record, &middle, day(2)), Absorbed::Changed);
    assert_eq!((record.version, record.claim.reputation.map(Reputation::get)), (day(2), Some(5)), "later run: newer");
    assert_eq!(record.contents, [print_of(&middle)]);
}

#[test]
fn a_value_listed_again_is_news_once() {
    let row = row(base());
    let mut record = first(&row, day(0));
    record.listed = false;
    assert_eq!(absorb(&mut record, &row, day(1)), Absorbed::Changed);
    assert!(record.listed);
    assert_eq!(record.version, day(0), "absence is no version");
    assert_eq!(absorb(&mut record, &row, day(2)), Absorbed::Unchanged);
}

#[test]
fn more_rows_than_are_remembered_are_joined_quietly() {
    let rows: Vec<Row> = (0..limits::CONTENTS_PER_RECORD + 10)
        .map(|n| row(Observation { comment: Some(format!("{n:03}")), modified: Some(day(-1)), ..base() }))
        .collect();
    let mut record = first(&rows[0], day(0));
    for row in &rows[1..] {
        assert_eq!(absorb(&mut record, row, day(0)), Absorbed::Changed);
    }
    assert_eq!(record.contents.len(), limits::CONTENTS_PER_RECORD);
    assert_eq!(record.claim.comment.as_deref(), Some("073"), "none is lost");
    for row in &rows {
        assert_eq!(absorb(&mut record, row, day(1)), Absorbed::Unchanged, "the same feed again writes nothing");
    }
}

#[test]
fn what_a_person_ended_revives_by_news_only() {
    let said = |comment: &str, modified: i64, seen: i64| {
        row(Observation {
            comment: Some(comment.into()),
            modified: Some(day(modified)),
            last_seen: Some(day(seen)),
            ..base()
        })
    };
    for (what, rows, ended) in [
        ("nothing more", vec![], true),
        ("the same row again", vec![said("c2", -8, -8)], true),
        ("other content of the same version", vec![said("other", -8, -8)], true),
        ("an older version", vec![said("other", -9, -9)], true),
        ("a newer version that only moves its dates", vec![said("c2", -7, -1)], true),
        ("two of those", vec![said("c2", -7, -1), said("c2", -6, 0)], true),
        ("a newer version with other content", vec![said("other", -7, -7)], false),
        ("news first, then an older one that says the same", vec![said("other", -6, -6), said("c2", -7, -7)], false),
        ("an older one that says the same first", vec![said("c2", -7, -7), said("other", -6, -6)], false),
        ("news that is taken back", vec![said("other", -7, -7), said("c2", -6, -6)], true),
    ] {
        let mut record = first(&said("c2", -8, -8), day(-8));
        record.end();
        assert!(record.is_retracted());
        for row in &rows {
            absorb(&mut record, row, day(0));
        }
        assert_eq!(record.is_retracted(), ended, "{what}");
        record.listed = false;
        absorb(&mut record, &said("c2", -8, -8), day(1));
        assert_eq!(record.is_retracted(), ended, "{what}, and listed again");
    }
    let undated = |comment: &str| row(Observation { comment: Some(comment.into()), ..base() });
    let mut record = first(&undated("a"), day(0));
    record.end();
    absorb(&mut record, &undated("a"), day(1));
    assert!(record.is_retracted(), "read again");
    absorb(&mut record, &undated("b"), day(2));
    assert!(!record.is_retracted(), "says something else");
    let source_said = row(Observation { retracted: true, ..base() });
    assert!(first(&source_said, day(0)).is_retracted());
}

#[test]
fn hops_are_kept_and_crowd_nothing_out() {
    let many: Vec<String> = (0..limits::TAGS_PER_RECORD + 10).map(|n| format!("tag {n:04}")).collect();
    let long = "x".repeat(limits::HOP_BYTES + 1);
    let row = row(Observation {
        tags: [&many[..], &["iocast:hop=b".into(), format!("iocast:hop={long}")]].concat(),
        hops: vec!["a".into(), "b".into(), " ".into()],
        ..base()
    });
    assert_eq!(row.hops, ["a", "b"]);
    assert_eq!(row.claim.tags.len(), limits::TAGS_PER_RECORD);
    let (tags, hops) = intel::echo::split_hops(row.claim.tags.iter().map(|tag| tag.to_string()).collect());
    assert_eq!(hops, ["a", "b"]);
    assert_eq!(tags, many[..limits::TAGS_PER_RECORD - 2]);
}

/// A marking that comes as a tag tightens what is said, and loosens nothing.
#[test]
fn a_tag_can_be_a_marking() {
    for (stated, tags, expect) in [
        (None, &["tlp:red"][..], Some(Tlp::Red)),
        (None, &["c2", "TLP:Amber+Strict"], Some(Tlp::AmberStrict)),
        (None, &["tlp:pink"], Some(Tlp::Red)),
        // The default may be stricter.
        (None, &["tlp:clear"], None),
        (Some(Tlp::Clear), &["tlp:green"], Some(Tlp::Green)),
        (Some(Tlp::Red), &["tlp:clear"], Some(Tlp::Red)),
        (None, &["c2"], None),
    ] {
        let tags: Vec<String> = tags.iter().map(|tag| (*tag).to_owned()).collect();
        let row = row(Observation { tlp: stated, tags: tags.clone(), ..base() });
        assert_eq!(row.claim.tlp, expect, "{stated:?} {tags:?}");
    }
}
