use super::*;
use crate::guard::GuardClass;
use proptest::prelude::*;

const FULL: TargetView =
    TargetView { can_retract: true, can_look: true, retract: RetractMode::Always, expiry_supported: true };
const BLIND: TargetView = TargetView { can_look: false, ..FULL };
const KEEPS: TargetView = TargetView { can_retract: false, ..FULL };
const BLIND_KEEPS: TargetView = TargetView { can_retract: false, ..BLIND };

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn rank() -> Rank {
    Rank { reputation: Reputation::DEFAULT, severity: Severity::Low, n_sources: 1, freshness: at(0), tie: 0 }
}

fn hit() -> Why {
    Why::Guarded(Arc::new(Hit {
        list: "top".into(),
        class: GuardClass::Popular,
        value: "google.com".into(),
        relation: Relation::Contains,
        stop: true,
        excepted: false,
    }))
}

fn word(step: &Step) -> String {
    match step {
        Step::Skip(why) => format!("skip:{}", why.as_str()),
        step => step.as_str().to_owned(),
    }
}

/// The table of semantics §6, with what `Settle` becomes where the destination cannot be asked and what `Retract`
/// becomes where nothing can be taken back.
#[test]
fn the_table() {
    #[rustfmt::skip]
    let table: &[(&str, TargetView, &str, &str, &str)] = &[
        // line         target       wanted          not wanted             held
        ("none",        FULL,        "push",         "skip:not_selected",   "skip:muted"),
        ("gone",        FULL,        "push",         "skip:not_selected",   "skip:muted"),
        ("pending",     FULL,        "settle",       "settle",              "settle"),
        ("unknown",     FULL,        "settle",       "settle",              "settle"),
        ("present",     FULL,        "leave",        "retract",             "leave"),
        ("refused",     FULL,        "skip:refused", "drop",                "skip:muted"),
        ("retracting",  FULL,        "settle",       "retract",             "retract"),
        ("foreign",     FULL,        "leave",        "drop",                "leave"),
        ("released",    FULL,        "leave",        "leave",               "leave"),
        ("none",        BLIND,       "push",         "skip:not_selected",   "skip:muted"),
        ("gone",        BLIND,       "push",         "skip:not_selected",   "skip:muted"),
        ("pending",     BLIND,       "push",         "retract",             "skip:unsettled"),
        ("unknown",     BLIND,       "push",         "retract",             "skip:unsettled"),
        ("present",     BLIND,       "leave",        "retract",             "leave"),
        ("refused",     BLIND,       "skip:refused", "drop",                "skip:muted"),
        ("retracting",  BLIND,       "push",         "retract",             "retract"),
        ("foreign",     BLIND,       "leave",        "drop",                "leave"),
        ("released",    BLIND,       "leave",        "leave",               "leave"),
        ("pending",     KEEPS,       "settle",       "settle",              "settle"),
        ("unknown",     KEEPS,       "settle",       "settle",              "settle"),
        ("present",     KEEPS,       "leave",        "skip:cannot_retract", "leave"),
        ("refused",     KEEPS,       "skip:refused", "drop",                "skip:muted"),
        ("retracting",  KEEPS,       "settle",       "settle",              "settle"),
        ("pending",     BLIND_KEEPS, "push",         "skip:cannot_retract", "skip:unsettled"),
        ("unknown",     BLIND_KEEPS, "push",         "skip:cannot_retract", "skip:unsettled"),
        ("present",     BLIND_KEEPS, "leave",        "skip:cannot_retract", "leave"),
        ("retracting",  BLIND_KEEPS, "push",         "skip:cannot_retract", "skip:cannot_retract"),
    ];
    for (state, target, yes, no, held) in table {
        let line = LineState::parse(state).map(|state| Line::new(state, 1));
        let columns = [
            (Wanted::Yes(rank()), yes),
            (Wanted::No(Why::NotSelected), no),
            (Wanted::Held(Why::Muted("rule \"a\"".into())), held),
        ];
        for (wanted, expect) in columns {
            let step = decide(target, &wanted, line.as_ref(), 1, None, at(0));
            assert_eq!(word(&step), **expect, "{state} {wanted:?} {target:?}");
        }
    }
}

#[test]
fn retract_modes() {
    use RetractMode::*;
    let safe = Why::Verdict(VerdictKind::Safe);
    let cut = Why::OverCapacity { position: 9, limit: 8 };
    #[rustfmt::skip]
    let table: &[(&Why, [bool; 3])] = &[
        // why                                         always expired never
        (&Why::NotSelected,                             [true, false, false]),
        (&Why::Inactive,                                [true, true,  false]),
        (&Why::Excepted("x".into()),                    [true, false, false]),
        (&Why::TooBroad,                                [true, false, false]),
        (&cut,                                          [true, false, false]),
        (&Why::Verdict(VerdictKind::FalsePositive),     [true, true,  true]),
        (&safe,                                         [true, true,  true]),
        (&hit(),                                        [true, true,  true]),
    ];
    for (why, expect) in table {
        for (mode, expect) in [Always, ExpiredAndRetracted, Never].into_iter().zip(expect) {
            let target = TargetView { retract: mode, ..FULL };
            let line = Line::new(LineState::Present, 1);
            let step = decide(&target, &Wanted::No((*why).clone()), Some(&line), 1, None, at(0));
            assert_eq!(step == Step::Retract, *expect, "{why} {mode}");
            assert!(*expect || step == Step::Skip(Why::CannotRetract));
            let cannot = TargetView { can_retract: false, ..target };
            assert!(!cannot.may_retract(why));
        }
    }
}

#[test]
fn present_is_updated_for_content_or_expiry() {
    let line = |from, until| Line { remote_from: from, remote_expires: until, ..Line::new(LineState::Present, 1) };
    let month = line(Some(at(0)), Some(at(30)));
    type Case<'a> = (&'a str, Line, u64, Option<i64>, i64, bool);
    #[rustfmt::skip]
    let table: &[Case<'_>] = &[
        // what                            line             print  desired   now  update
        ("as it is",                       month,               1, Some(40),  10, false),
        ("another fingerprint",            month,               2, Some(40),  10, true),
        ("a third remains",                month,               1, Some(40),  20, false),
        ("under a third remains",          month,               1, Some(40),  21, true),
        ("it has expired there",           month,               1, Some(60),  31, true),
        ("no later expiry is wanted",      month,               1, Some(30),  29, false),
        ("an earlier one is wanted",       month,               1, Some(25),  24, false),
        ("never is wanted",                month,               1, None,      21, true),
        ("never is wanted, not yet due",   month,               1, None,      10, false),
        ("when it was set is not known",   line(None, Some(at(30))), 1, Some(40), 1, true),
        ("it never expires there",         line(Some(at(0)), None), 1, Some(40), 39, false),
    ];
    for (what, line, fingerprint, desired, now, update) in table {
        let ask = |target: &TargetView| {
            decide(target, &Wanted::Yes(rank()), Some(line), *fingerprint, desired.map(at), at(*now))
        };
        assert_eq!(ask(&FULL), if *update { Step::Update } else { Step::Leave }, "{what}");
        let silent = TargetView { expiry_supported: false, ..FULL };
        assert_eq!(ask(&silent) == Step::Update, *fingerprint != 1, "{what}: without expiry");
    }
}

#[test]
fn refused_is_tried_again_when_due_or_changed() {
    let line = |next_try| Line { next_try, ..Line::new(LineState::Refused, 1) };
    for (next_try, fingerprint, expect) in [
        (None, 1, "skip:refused"),
        (None, 2, "push"),
        (Some(at(11)), 1, "skip:refused"),
        (Some(at(10)), 1, "push"),
        (Some(at(11)), 2, "push"),
    ] {
        let step = decide(&FULL, &Wanted::Yes(rank()), Some(&line(next_try)), fingerprint, None, at(10));
        assert_eq!(word(&step), expect, "{next_try:?} {fingerprint}");
    }
}

#[test]
fn keys_of_one_entry() {
    let yes = || Wanted::Yes(rank());
    let better = || Wanted::Yes(Rank { reputation: Reputation::clamped(9), ..rank() });
    let held = || Wanted::Held(Why::Muted("x".into()));
    let no = |why: &Why| Wanted::No(why.clone());
    let excepted = Why::Excepted("x".into());
    let cases = [
        (yes(), better(), better()),
        (yes(), held(), yes()),
        (yes(), no(&Why::Inactive), yes()),
        (yes(), no(&Why::Tlp { has: Tlp::Red, ceiling: Tlp::Green }), yes()),
        (yes(), no(&excepted), no(&excepted)),
        (held(), no(&hit()), no(&hit())),
        (no(&excepted), no(&hit()), no(&hit())),
        (held(), no(&Why::NotSelected), held()),
        // Only what is inactive by every key may be taken back as expired.
        (no(&Why::Inactive), no(&Why::NotSelected), no(&Why::NotSelected)),
        (no(&Why::Inactive), no(&Why::Inactive), no(&Why::Inactive)),
        // A verdict of malicious keeps nothing out.
        (yes(), no(&Why::Verdict(VerdictKind::Malicious)), yes()),
    ];
    for (a, b, expect) in cases {
        assert_eq!(a.clone().join(b.clone()), expect, "{a:?} {b:?}");
        assert_eq!(b.clone().join(a.clone()), expect, "{b:?} {a:?}");
    }
}

#[test]
fn ranks_sort_best_first() {
    let base = rank();
    let worse_to_better = [
        base,
        Rank { freshness: at(5), ..base },
        Rank { n_sources: 2, ..base },
        Rank { severity: Severity::Medium, ..base },
        Rank { severity: Severity::Medium, n_sources: u32::MAX, ..base },
        Rank { severity: Severity::High, n_sources: 0, ..base },
        Rank { reputation: Reputation::clamped(6), severity: Severity::Unknown, ..base },
    ];
    for pair in worse_to_better.windows(2) {
        assert!(pair[1].order(true) < pair[0].order(true), "{pair:?}");
    }
    assert!(base.order(false) < Rank { freshness: at(9), ..base }.order(true), "an incumbent before its equals");
    assert!(Rank { n_sources: 2, ..base }.order(true) < base.order(false), "a better newcomer before an incumbent");
    assert_eq!(base.order(false), Rank { freshness: at(9), ..base }.order(false), "freshness is for newcomers");
    assert!(base.order(false) < Rank { tie: 1, ..base }.order(false));
    assert!(Rank { freshness: at(-1), ..base }.order(true) > base.order(true), "before 1970 is older");
}

#[test]
fn reasons_are_sentences() {
    let cases = [
        (hit(), "guarded: it contains google.com of the popular list top"),
        (Why::Tlp { has: Tlp::Red, ceiling: Tlp::Amber }, "marked TLP:red, the sharing lets through up to TLP:amber"),
        (Why::Excepted("rule \"a\", exception \"b\"".into()), "excepted by rule \"a\", exception \"b\""),
        (Why::Refused(Some("quota".into())), "refused by the destination: quota"),
    ];
    for (why, text) in cases {
        assert_eq!(why.to_string(), text);
    }
    for state in LineState::ALL {
        assert_eq!(LineState::parse(state.as_str()), Some(*state));
    }
    assert!(Verb::ALL.iter().all(|verb| Verb::parse(verb.as_str()) == Some(*verb)));
    assert!(RetractMode::ALL.iter().all(|mode| RetractMode::parse(mode.as_str()) == Some(*mode)));
    assert!(size_of::<Why>() <= 24 && size_of::<Wanted>() <= 32, "a million of them are planned at once");
}

fn a_line() -> impl Strategy<Value = Line> {
    let time = || prop::option::of((0i64..100).prop_map(at));
    (prop::sample::select(LineState::ALL), 0u64..3, time(), time(), time()).prop_map(
        |(state, fingerprint, next_try, remote_expires, remote_from)| Line {
            next_try,
            remote_expires,
            remote_from,
            ..Line::new(state, fingerprint)
        },
    )
}

fn a_wanted() -> impl Strategy<Value = Wanted> {
    prop_oneof![
        Just(Wanted::Yes(rank())),
        prop::sample::select(vec![Why::NotSelected, Why::Inactive, Why::Verdict(VerdictKind::Safe), hit()])
            .prop_map(Wanted::No),
        Just(Wanted::Held(Why::Muted("x".into()))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// What is decided, once done, leaves nothing to decide; and then the target holds what is wanted.
    #[test]
    fn settles_after_its_own_step(
        (can_retract, can_look, expiry_supported) in any::<(bool, bool, bool)>(),
        retract in prop::sample::select(RetractMode::ALL),
        wanted in a_wanted(),
        line in prop::option::of(a_line()),
        fingerprint in 0u64..3,
        desired in prop::option::of((0i64..200).prop_map(at)),
        now in (0i64..100).prop_map(at),
        there in any::<bool>(),
    ) {
        let target = TargetView { can_retract, can_look, retract, expiry_supported };
        let ask = |line: Option<Line>| decide(&target, &wanted, line.as_ref(), fingerprint, desired, now);
        let mut line = line;
        let mut steps = Vec::new();
        loop {
            let step = ask(line);
            prop_assert_eq!(&step, &ask(line), "it depends on its arguments only");
            let print = line.map_or(fingerprint, |line| line.fingerprint);
            line = match step.verb() {
                None => break,
                Some(Verb::Push | Verb::Update) => Some(Line {
                    remote_expires: desired.filter(|_| expiry_supported),
                    remote_from: expiry_supported.then_some(now),
                    ..Line::new(LineState::Present, fingerprint)
                }),
                Some(Verb::Retract) => Some(Line::new(LineState::Gone, print)),
                Some(Verb::Settle) => Some(Line {
                    state: if there { LineState::Present } else { LineState::Gone },
                    ..line.unwrap_or_else(|| Line::new(LineState::Gone, print))
                }),
                Some(Verb::Drop) => None,
            };
            steps.push(step);
            prop_assert!(steps.len() <= 3, "{:?}", steps);
        }
        let state = line.map(|line| line.state);
        match &wanted {
            Wanted::Yes(_) => prop_assert!(!matches!(state, None | Some(LineState::Gone)), "{:?}", state),
            Wanted::No(why) if target.may_retract(why) => prop_assert!(!state.is_some_and(LineState::occupies), "{:?}", state),
            Wanted::No(_) | Wanted::Held(_) => {}
        }
        // Nothing new is sent unless it is wanted, and nothing that is not ours is touched.
        prop_assert!(matches!(wanted, Wanted::Yes(_)) || !steps.iter().any(|s| matches!(s, Step::Push | Step::Update)));
    }
}
