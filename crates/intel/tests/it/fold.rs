//! The fold: every row of the summary's table, time that passes without anything written, and the law that order,
//! batching and repeats take no part.

use intel::{
    Absorbed, Analyst, ConnectionId, DAY, FoldSettings, Indicator, IndicatorKey, Observation, Policies, Policy,
    Reconcile, Reputation, Row, Severity, SourceRecord, Summary, Timestamp, Tlp, Verdict, VerdictKind,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

const NOW: Timestamp = Timestamp::from_secs(1_780_000_000);
const VALUE: &str = "evil.example.com";
const A: ConnectionId = ConnectionId(2);
const B: ConnectionId = ConnectionId(3);

fn day(n: i64) -> Timestamp {
    Timestamp::from_secs(NOW.secs() + n * 86_400)
}

fn said() -> Observation {
    Observation::new(VALUE)
}

/// An exchange of a few connections and one indicator; time stands at [`NOW`].
struct World {
    policies: Policies,
    settings: FoldSettings,
    indicator: Indicator,
}

impl World {
    fn new() -> World {
        let mut policies = Policies::default();
        for (id, name) in [(ConnectionId::MANUAL, "manual"), (A, "alpha"), (B, "beta"), (ConnectionId(4), "gamma")] {
            policies.set(id, Policy::new(name));
        }
        let key = IndicatorKey::parse(None, VALUE).unwrap();
        World { policies, settings: FoldSettings::default(), indicator: Indicator::new(key) }
    }

    /// A world in which these connections say these things, read at [`NOW`].
    fn with<const N: usize>(records: [(ConnectionId, Observation); N]) -> World {
        let mut world = World::new();
        for (connection, observation) in records {
            world.say(connection, observation, NOW);
        }
        world
    }

    fn say(&mut self, connection: ConnectionId, observation: Observation, received: Timestamp) -> &mut SourceRecord {
        let row = observation.normalise(NOW).unwrap();
        let fingerprint = row.fingerprint(connection, &mut Vec::new());
        self.indicator.records.insert(connection, SourceRecord::first(&row, fingerprint, received, received));
        self.record(connection)
    }

    fn record(&mut self, connection: ConnectionId) -> &mut SourceRecord {
        self.indicator.records.get_mut(&connection).unwrap()
    }

    fn policy(&mut self, connection: ConnectionId) -> &mut Policy {
        self.policies.get_mut(connection).unwrap()
    }

    fn judge(&mut self, kind: VerdictKind, until: Option<Timestamp>) {
        self.indicator.analyst.verdict = Some(Verdict { kind, until });
    }

    fn at(&self, now: Timestamp) -> Summary {
        self.indicator.summary(&self.policies, &self.settings, now)
    }

    fn now(&self) -> Summary {
        self.at(NOW)
    }
}

fn names(set: &std::collections::BTreeSet<String>) -> Vec<&str> {
    set.iter().map(String::as_str).collect()
}

#[test]
fn reputation_is_the_greatest_stated() {
    let rep = |reputation: Option<i64>, confidence: Option<i64>| Observation { reputation, confidence, ..said() };
    for (what, a, b, policy_b, expect) in [
        ("the greater", rep(Some(3), None), rep(Some(7), None), None, 7),
        ("one says nothing", rep(Some(3), None), rep(None, None), None, 3),
        ("nobody says anything", rep(None, None), rep(None, None), None, 5),
        ("a low word beats the default", rep(Some(1), None), rep(None, None), None, 1),
        ("confidence where there is only that", rep(None, Some(71)), rep(None, None), None, 8),
        ("confidence of nought", rep(None, Some(0)), rep(None, None), None, 1),
        ("its own reputation beats its confidence", rep(Some(2), Some(99)), rep(None, None), None, 2),
        ("override replaces down", rep(Some(3), None), rep(Some(9), None), Some(2), 3),
        ("override replaces up", rep(Some(3), None), rep(None, Some(10)), Some(10), 10),
        ("override speaks for the silent", rep(None, None), rep(None, None), Some(4), 4),
    ] {
        let mut world = World::with([(A, a), (B, b)]);
        world.policy(B).override_reputation = policy_b.and_then(Reputation::new);
        assert_eq!(world.now().folded.reputation.get(), expect, "{what}");
    }
}

#[test]
fn severity_and_confidence_are_the_greatest() {
    let s = |severity, confidence| Observation { severity, confidence, ..said() };
    for (a, b, expect) in [
        (s(Some(Severity::Low), Some(10)), s(Some(Severity::High), Some(5)), (Severity::High, Some(10))),
        (s(None, None), s(Some(Severity::Low), None), (Severity::Low, None)),
        (s(None, None), s(None, Some(0)), (Severity::Unknown, Some(0))),
        (s(Some(Severity::Critical), None), s(Some(Severity::High), Some(100)), (Severity::Critical, Some(100))),
    ] {
        let folded = World::with([(A, a), (B, b)]).now().folded;
        assert_eq!((folded.severity, folded.confidence), expect);
    }
}

#[test]
fn the_leading_record_is_chosen_as_configured() {
    use Reconcile::{First, HighestReputation, Latest};
    let word = |comment: &str, reputation, severity, first: i64, last: i64| Observation {
        comment: Some(comment.into()),
        link: Some(format!("https://x.example/{comment}")),
        reputation: Some(reputation),
        severity: Some(severity),
        first_seen: Some(day(first)),
        last_seen: Some(day(last)),
        ..said()
    };
    let (low, high) = (Severity::Low, Severity::High);
    for (what, reconcile, a, b, received_a, received_b, expect) in [
        ("reputation", HighestReputation, word("a", 3, high, -9, -1), word("b", 7, low, -8, -3), -2, -1, "b"),
        ("then severity", HighestReputation, word("a", 7, low, -9, -1), word("b", 7, high, -8, -3), -2, -1, "b"),
        ("then first seen", HighestReputation, word("a", 7, low, -8, -1), word("b", 7, low, -9, -3), -2, -1, "b"),
        ("then the name", HighestReputation, word("a", 7, low, -9, -1), word("b", 7, low, -9, -3), -1, -2, "a"),
        ("latest", Latest, word("a", 9, high, -9, -3), word("b", 1, low, -9, -1), -1, -2, "b"),
        ("latest, then the name", Latest, word("a", 1, low, -9, -3), word("b", 9, high, -9, -3), -1, -2, "a"),
        ("first", First, word("a", 9, high, -9, -3), word("b", 1, low, -8, -1), -1, -2, "b"),
        ("first, then the name", First, word("a", 1, low, -8, -3), word("b", 9, high, -9, -1), -2, -2, "a"),
    ] {
        for swapped in [false, true] {
            let mut world = World::new();
            world.settings.reconcile = reconcile;
            // The name decides last, never the number of the connection.
            let (at_a, at_b) = if swapped { (B, A) } else { (A, B) };
            world.policy(at_a).name = "alpha".into();
            world.policy(at_b).name = "beta".into();
            world.say(at_a, a.clone(), day(received_a));
            world.say(at_b, b.clone(), day(received_b));
            let summary = world.now();
            assert_eq!(summary.comment.as_deref(), Some(expect), "{what}, swapped: {swapped}");
            assert_eq!(summary.link, Some(format!("https://x.example/{expect}").into()), "{what}");
            assert_eq!(names(&summary.sources), ["alpha", "beta"], "{what}: both are kept");
        }
    }
    let mut world = World::with([(A, word("a", 3, low, -9, -1)), (B, word("b", 2, low, -9, -1))]);
    world.policy(B).override_reputation = Reputation::new(9);
    assert_eq!(world.now().comment.as_deref(), Some("b"), "policy is applied before");
}

#[test]
fn tags_are_united_and_analysts_have_the_last_word() {
    let tagged = |tags: &[&str]| Observation { tags: tags.iter().map(|t| (*t).into()).collect(), ..said() };
    let mut world = World::with([(A, tagged(&["c2", "x"])), (B, tagged(&["benign", "x"]))]);
    world.policy(B).tags = vec!["osint".into()];
    assert_eq!(names(&world.now().tags), ["benign", "c2", "osint", "x"]);
    world.indicator.analyst.tags_added = ["seen-here".to_owned(), "both".to_owned()].into();
    world.indicator.analyst.tags_removed = ["benign".to_owned(), "osint".to_owned(), "both".to_owned()].into();
    assert_eq!(names(&world.now().tags), ["c2", "seen-here", "x"]);
    world.record(A).claim.retracted = true;
    assert_eq!(names(&world.now().tags), ["seen-here", "x"], "only of active records");
}

#[test]
fn tlp_is_the_most_restrictive_stated() {
    let marked = |tlp| Observation { tlp, ..said() };
    for (what, a, b, policy_b, default, expect) in [
        ("nobody", None, None, None, Tlp::Green, Tlp::Green),
        ("nobody, another default", None, None, None, Tlp::Amber, Tlp::Amber),
        ("one less restrictive than the default", Some(Tlp::Clear), None, None, Tlp::Green, Tlp::Clear),
        ("the most restrictive", Some(Tlp::Red), Some(Tlp::Clear), None, Tlp::Green, Tlp::Red),
        ("a connection's counts as stated", None, Some(Tlp::Clear), Some(Tlp::Amber), Tlp::Green, Tlp::Amber),
        ("and loosens nothing", None, Some(Tlp::Red), Some(Tlp::Clear), Tlp::Green, Tlp::Red),
    ] {
        let mut world = World::with([(A, marked(a)), (B, marked(b))]);
        world.policy(B).tlp = policy_b;
        world.settings.default_tlp = default;
        assert_eq!(world.now().folded.tlp, expect, "{what}");
    }
}

#[test]
fn first_seen_is_the_earliest_and_last_seen_the_latest() {
    let seen = |first: Option<i64>, last: Option<i64>| Observation {
        first_seen: first.map(day),
        last_seen: last.map(day),
        ..said()
    };
    for (a, b, expect) in [
        (seen(Some(-9), Some(-5)), seen(Some(-7), Some(-1)), (Some(-9), Some(-1))),
        (seen(None, Some(-5)), seen(Some(-7), None), (Some(-7), Some(-5))),
        (seen(None, None), seen(None, None), (None, None)),
    ] {
        let folded = World::with([(A, a), (B, b)]).now().folded;
        assert_eq!((folded.first_seen, folded.last_seen), (expect.0.map(day), expect.1.map(day)));
    }
}

#[test]
fn a_record_ages_from_when_it_was_last_seen() {
    let dated = |last: Option<i64>, expires: Option<i64>| Observation {
        last_seen: last.map(day),
        expires_at: expires.map(day),
        ..said()
    };
    // What, row, received, aging in days, source expiry respected, complete, listed, last believed run: expires.
    for (what, row, received, aging, respect, complete, listed, believed, expect) in [
        ("from when it was received", dated(None, None), -10, Some(90), true, false, true, None, Some(80)),
        ("or last seen, if later", dated(Some(-3), None), -10, Some(90), true, false, true, None, Some(87)),
        ("an old date takes nothing away", dated(Some(-99), None), -10, Some(90), true, false, true, None, Some(80)),
        ("never", dated(Some(-3), None), -10, None, true, false, true, None, None),
        ("the source says when", dated(Some(-3), Some(5)), -10, Some(90), true, false, true, None, Some(5)),
        ("and is not believed", dated(Some(-3), Some(5)), -10, Some(90), false, false, true, None, Some(87)),
        ("and nothing ages", dated(Some(-3), Some(5)), -10, None, false, false, true, None, None),
        ("a complete source lists it", dated(Some(-60), None), -60, Some(90), true, true, true, Some(-1), Some(89)),
        ("not any more", dated(Some(-60), None), -60, Some(90), true, true, false, Some(-1), Some(30)),
        ("it is not complete", dated(Some(-60), None), -60, Some(90), true, false, true, Some(-1), Some(30)),
        ("its own expiry goes before", dated(None, Some(5)), -60, Some(90), true, true, true, Some(-1), Some(5)),
        ("no run was believed yet", dated(None, None), -60, Some(90), true, true, true, None, Some(30)),
    ] {
        let mut world = World::new();
        world.say(A, row, day(received)).listed = listed;
        let policy = world.policy(A);
        policy.aging = aging.map(|days: u32| days * DAY);
        (policy.respect_source_expiry, policy.complete, policy.last_believed) = (respect, complete, believed.map(day));
        let folded = world.now().folded;
        assert_eq!(folded.expires_at, expect.map(day), "{what}");
        assert_eq!(folded.active, listed, "{what}");
        if let (Some(expires), true) = (expect.map(day), listed) {
            let micro = Duration::from_micros(1);
            assert!(world.at(expires.before(micro)).folded.active, "{what}: to the end");
            assert!(!world.at(expires).folded.active, "{what}: not beyond");
        }
    }
    let mut world = World::with([(A, dated(Some(-60), None))]);
    let before = world.now();
    (world.policy(A).complete, world.policy(A).last_believed) = (true, Some(NOW));
    assert_eq!(world.now().folded.last_seen, before.folded.last_seen, "a believed run is for aging only");
}

#[test]
fn it_expires_with_the_last_record_or_never() {
    let until = |day_: i64| Observation { expires_at: Some(day(day_)), ..said() };
    let mut world = World::with([(A, until(5)), (B, until(9))]);
    assert_eq!(world.now().folded.expires_at, Some(day(9)));
    world.say(B, said(), NOW);
    world.policy(B).aging = None;
    assert_eq!(world.now().folded.expires_at, None, "one never expires");
    world.record(B).claim.retracted = true;
    assert_eq!(world.now().folded.expires_at, Some(day(5)), "one that does not count");
}

#[test]
fn sightings_count_whoever_saw_it() {
    let hits = |internal, external| Observation { internal_hits: internal, external_hits: external, ..said() };
    let mut world = World::with([(A, hits(Some(3), None)), (B, hits(Some(4), Some(5)))]);
    world.record(B).echo = true;
    let folded = world.now().folded;
    assert_eq!((folded.internal_hits, folded.external_hits), (7, 5));
    world.record(A).claim.internal_hits = u32::MAX;
    assert_eq!(world.now().folded.internal_hits, u32::MAX, "no overflow");
}

#[test]
fn a_record_counts_only_while_it_is_active() {
    type Change = fn(&mut World);
    for (what, change, active, taken_back) in [
        ("as it is", (|_| {}) as Change, true, false),
        ("taken back by the source", |w| w.record(A).claim.retracted = true, false, true),
        ("ended by a person", |w| w.record(A).end(), false, true),
        ("no longer listed", |w| w.record(A).listed = false, false, true),
        ("an echo", |w| w.record(A).echo = true, false, false),
        ("not valid yet", |w| w.record(A).claim.valid_from = Some(day(1)), false, false),
        ("valid from now", |w| w.record(A).claim.valid_from = Some(NOW), true, false),
        ("expired now", |w| w.record(A).claim.expires_at = Some(NOW), false, false),
        ("disabled", |w| w.policy(A).counts = false, false, false),
        ("a connection that is gone", |w| w.policies.remove(A), false, false),
    ] {
        let mut world = World::with([(A, Observation { reputation: Some(8), tags: vec!["t".into()], ..said() })]);
        change(&mut world);
        let summary = world.now();
        assert_eq!(summary.folded.active, active, "{what}");
        assert_eq!(summary.folded.retracted, taken_back, "{what}");
        assert_eq!(summary.sources.len(), usize::from(active), "{what}");
        // With none active: over the last non-echo records.
        let last = if what == "an echo" { (5, 0) } else { (8, 1) };
        assert_eq!((summary.folded.reputation.get(), summary.tags.len()), last, "{what}");
        // Another source still stands by it: only that one is heard.
        world.say(B, Observation { reputation: Some(2), ..said() }, NOW);
        let folded = world.now().folded;
        assert_eq!((folded.active, folded.reputation.get()), (true, if active { 8 } else { 2 }), "{what}, and beta");
        assert!(!folded.retracted, "{what}, and beta");
    }
}

#[test]
fn an_indicator_nobody_speaks_of_is_not_active() {
    let summary = World::new().now();
    assert!(!summary.folded.active && !summary.folded.retracted);
    assert_eq!((summary.folded.leading, summary.folded.next_change, summary.comment), (None, None, None));
    assert_eq!((summary.folded.reputation.get(), summary.folded.tlp), (5, Tlp::Green));
}

#[test]
fn a_verdict_beats_every_source() {
    use VerdictKind::{FalsePositive, Malicious, Safe};
    for (verdict, until, listed, at, active, stands) in [
        (None, None, true, 0, true, None),
        (Some(Malicious), None, true, 0, true, Some(Malicious)),
        (Some(Malicious), None, false, 0, true, Some(Malicious)),
        (Some(Malicious), Some(9), false, 8, true, Some(Malicious)),
        (Some(Malicious), Some(9), false, 9, false, None),
        (Some(Safe), None, true, 0, false, Some(Safe)),
        (Some(Safe), None, false, 0, false, Some(Safe)),
        (Some(FalsePositive), Some(9), true, 8, false, Some(FalsePositive)),
        (Some(FalsePositive), Some(9), true, 9, true, None),
        (Some(FalsePositive), Some(9), false, 9, false, None),
    ] {
        let what = format!("{verdict:?} until {until:?}, listed {listed}, day {at}");
        let mut world = World::with([(A, said())]);
        world.record(A).listed = listed;
        if let Some(kind) = verdict {
            world.judge(kind, until.map(day));
        }
        let summary = world.at(day(at));
        assert_eq!((summary.folded.active, summary.verdict), (active, stands), "{what}");
        let manual = stands == Some(Malicious);
        assert_eq!(summary.folded.manual_stands, manual, "{what}");
        assert_eq!(summary.sources.contains("manual"), manual, "{what}: stands as a record of manual");
    }
    let mut world = World::with([(A, Observation { expires_at: Some(day(5)), ..said() })]);
    for (until, at, expect) in [(None, 0, None), (Some(3), 0, Some(5)), (Some(9), 0, Some(9)), (Some(9), 6, Some(9))] {
        world.judge(Malicious, until.map(day));
        assert_eq!(world.at(day(at)).folded.expires_at, expect.map(day), "until {until:?} on day {at}");
    }
    world.policy(A).aging = None;
    world.policy(A).respect_source_expiry = false;
    world.record(A).claim.retracted = true;
    world.judge(Malicious, Some(day(9)));
    assert_eq!(world.now().folded.expires_at, Some(day(9)), "what is taken back keeps nothing alive");
    assert!(!world.now().folded.retracted);
}

#[test]
fn names_of_settings_read_as_they_print() {
    for reconcile in [Reconcile::HighestReputation, Reconcile::Latest, Reconcile::First] {
        assert_eq!(Reconcile::parse(reconcile.as_str()), Some(reconcile));
    }
    for verdict in [VerdictKind::Malicious, VerdictKind::FalsePositive, VerdictKind::Safe] {
        assert_eq!(VerdictKind::parse(verdict.as_str()), Some(verdict));
    }
    assert_eq!((Reconcile::parse("newest"), VerdictKind::parse("good")), (None, None));
    assert!(Analyst::default().is_empty() && !Analyst { muted: true, ..Analyst::default() }.is_empty());
}

// --- properties

fn some_day() -> impl Strategy<Value = Option<Timestamp>> {
    prop_oneof![2 => Just(None), 3 => (-40i64..1).prop_map(|n| Some(day(n)))]
}

fn observation() -> impl Strategy<Value = Observation> {
    let says = (
        prop::option::of(1i64..11),
        prop::option::of(0i64..101),
        prop::option::of(prop::sample::select(Severity::ALL)),
        prop::option::of(prop::sample::select(Tlp::ALL)),
        prop::collection::vec("[a-d]", 0..3),
        prop::option::of("[a-c]{1,2}"),
    );
    let times = (some_day(), some_day(), some_day(), prop::option::of(-9i64..9), prop::option::of(-9i64..30));
    let rest = (prop::option::of("[x-z]"), 0u32..4, 0u32..4, prop::bool::weighted(0.1), prop::bool::ANY);
    (says, times, rest).prop_map(|(says, times, rest)| Observation {
        value: if rest.4 { VALUE.into() } else { "EVIL.example[.]com".into() },
        reputation: says.0,
        confidence: says.1,
        severity: says.2,
        tlp: says.3,
        tags: says.4,
        comment: says.5,
        first_seen: times.0,
        last_seen: times.1,
        modified: times.2,
        valid_from: times.3.map(day),
        expires_at: times.4.map(day),
        remote_id: rest.0,
        internal_hits: Some(rest.1),
        external_hits: Some(rest.2),
        retracted: rest.3,
        ..Observation::default()
    })
}

/// A row, whose it is, and the run in which this content was first read: its version where it has no date.
type Read = (ConnectionId, Row, u64, Timestamp);

fn reads() -> impl Strategy<Value = Vec<Read>> {
    let one = (0u16..3, observation(), -4i64..1);
    prop::collection::vec(one, 1..14).prop_map(|reads| {
        let mut first_read: BTreeMap<u64, Timestamp> = BTreeMap::new();
        let reads = reads.into_iter().map(|(connection, observation, run)| {
            let connection = ConnectionId(2 + connection);
            let row = observation.normalise(NOW).unwrap();
            let fingerprint = row.fingerprint(connection, &mut Vec::new());
            let run = *first_read.entry(fingerprint).or_insert(day(run));
            (connection, row, fingerprint, run)
        });
        reads.collect()
    })
}

/// Aging in days, is the source's expiry respected, is it complete, and the day of its last believed run.
fn policy() -> impl Strategy<Value = (Option<u32>, bool, bool, Option<i64>)> {
    (prop::option::of(1u32..40), any::<bool>(), any::<bool>(), prop::option::of(-4i64..1))
}

/// All of them absorbed in this order. Between runs a complete source may list less, and a later run lists it again.
fn absorbed<'a>(reads: impl Iterator<Item = (&'a Read, bool)>) -> World {
    let mut world = World::new();
    for ((connection, row, fingerprint, run), run_ends) in reads {
        match world.indicator.records.get_mut(connection) {
            Some(record) => {
                let before = record.clone();
                let done = record.absorb(row, *fingerprint, *run);
                assert_eq!(done == Absorbed::Changed, *record != before, "{before:?} took {row:?}");
            }
            None => {
                // When it was received is a fact about us, not about the rows: the same in every order.
                let record = SourceRecord::first(row, *fingerprint, *run, day(-5));
                world.indicator.records.insert(*connection, record);
            }
        }
        if run_ends {
            world.indicator.records.values_mut().for_each(|record| record.listed = false);
        }
    }
    world.indicator.records.values_mut().for_each(|record| record.listed = true);
    world
}

fn said_by(world: &World) -> Vec<(ConnectionId, SourceRecord)> {
    world.indicator.records.iter().map(|(id, record)| (*id, record.clone())).collect()
}

fn shuffled<T>(items: &mut [T], mut seed: u64) {
    for at in (1..items.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        items.swap(at, (seed >> 33) as usize % (at + 1));
    }
}

proptest! {
    /// I3: order, batching into runs and repeats take no part.
    #[test]
    fn the_same_rows_in_any_order_give_the_same_records(reads in reads(), seed in any::<u64>()) {
        let plain = absorbed(reads.iter().map(|read| (read, false)));
        let (records, summary) = (said_by(&plain), plain.now());
        for n in 0..100u64 {
            let repeats = (0..reads.len()).filter(|at| (at + n as usize).is_multiple_of(3));
            let mut order: Vec<usize> = (0..reads.len()).chain(repeats).collect();
            shuffled(&mut order, seed ^ n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let run_ends = |place: usize| (place + n as usize).is_multiple_of(4);
            let other = absorbed(order.iter().enumerate().map(|(place, at)| (&reads[*at], run_ends(place))));
            prop_assert_eq!(&said_by(&other), &records);
            prop_assert_eq!(&other.now(), &summary);
        }
        // And once more, as the next runs would: nothing is news.
        let mut again = absorbed(reads.iter().chain(&reads).map(|read| (read, false)));
        prop_assert_eq!(&said_by(&again), &records);
        for (connection, row, fingerprint, run) in &reads {
            let done = again.record(*connection).absorb(row, *fingerprint, *run);
            prop_assert_eq!(done, Absorbed::Unchanged);
        }
    }

    /// An ended record revives by what was said since, in whatever order that came.
    #[test]
    fn an_ended_record_revives_the_same_in_any_order(reads in reads(), cut in 0usize..14, seed in any::<u64>()) {
        let (before, after) = reads.split_at(cut.min(reads.len()));
        let end = |after: &mut dyn Iterator<Item = &Read>| {
            let mut world = absorbed(before.iter().map(|read| (read, false)));
            world.indicator.records.values_mut().for_each(SourceRecord::end);
            for (connection, row, fingerprint, run) in after {
                if let Some(record) = world.indicator.records.get_mut(connection) {
                    record.absorb(row, *fingerprint, *run);
                }
            }
            world
        };
        let plain = end(&mut after.iter());
        for record in plain.indicator.records.values().filter(|record| !record.is_retracted()) {
            prop_assert!(record.ended.is_some_and(|ended| record.version > ended.version), "only a greater version");
        }
        let mut order: Vec<&Read> = after.iter().chain(after).chain(before).collect();
        for n in 0..20 {
            shuffled(&mut order, seed ^ n);
            let other = end(&mut order.iter().copied());
            prop_assert_eq!(said_by(&other), said_by(&plain));
            prop_assert_eq!(other.now(), plain.now());
        }
    }

    /// Between now and `next_change` nothing that is not written changes the answer.
    #[test]
    fn next_change_is_never_too_late(
        reads in reads(),
        verdict in prop::option::of((0usize..3, prop::option::of(-9i64..30))),
        policies in prop::collection::vec(policy(), 3),
        from in -9i64..20,
        steps in prop::collection::vec(0.0f64..1.0, 12),
    ) {
        let mut world = absorbed(reads.iter().map(|read| (read, false)));
        for (n, (aging, respect, complete, believed)) in policies.into_iter().enumerate() {
            let policy = world.policy(ConnectionId(2 + n as u16));
            policy.aging = aging.map(|days| days * DAY);
            (policy.respect_source_expiry, policy.complete) = (respect, complete);
            policy.last_believed = believed.map(day);
        }
        if let Some((kind, until)) = verdict {
            let kind = [VerdictKind::Malicious, VerdictKind::FalsePositive, VerdictKind::Safe][kind];
            world.judge(kind, until.map(day));
        }
        let now = day(from);
        let summary = world.at(now);
        let next = summary.folded.next_change;
        prop_assert!(next.is_none_or(|next| next > now), "a change that is past");
        let end = next.unwrap_or(day(10_000));
        let span = end.micros() - now.micros() - 1;
        for step in steps.into_iter().chain([0.0, 1.0]) {
            let at = Timestamp::from_micros(now.micros() + (span as f64 * step) as i64);
            prop_assert_eq!(&world.at(at.min(Timestamp::from_micros(end.micros() - 1))), &summary, "at {}", at);
        }
    }
}
