use super::*;
use crate::guard::{GuardClass, Hit, Relation};
use crate::indicator::VerdictKind;
use crate::level::{Reputation, Severity};
use crate::sharing::{Rank, RetractMode};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const TARGET: TargetView =
    TargetView { can_retract: true, can_look: true, retract: RetractMode::Always, expiry_supported: false };

fn now() -> Timestamp {
    Timestamp::from_secs(1_000_000)
}

fn rank(reputation: u8, tie: u64) -> Rank {
    Rank {
        reputation: Reputation::new(reputation).unwrap(),
        severity: Severity::Low,
        n_sources: 1,
        freshness: Timestamp::EPOCH,
        tie,
    }
}

fn candidate(entry: u32, wanted: Wanted, line: Option<LineState>) -> Candidate {
    Candidate {
        entry,
        wanted,
        line: line.map(|state| Line::new(state, 1)),
        fingerprint: 1,
        desired_expiry: None,
        guarded: None,
        bytes: 1,
    }
}

fn guarded() -> Why {
    Why::Guarded(Arc::new(Hit {
        list: "top".into(),
        class: GuardClass::Popular,
        value: "google.com".into(),
        relation: Relation::Equal,
        stop: true,
        excepted: false,
    }))
}

/// `n` wanted newcomers.
fn newcomers(n: u32) -> Vec<Candidate> {
    (0..n).map(|entry| candidate(entry, Wanted::Yes(rank(5, u64::from(entry))), None)).collect()
}

/// `n` present entries, the first `unwanted` of them for this reason.
fn present(n: u32, unwanted: u32, why: &Why) -> Vec<Candidate> {
    let wanted = |e| if e < unwanted { Wanted::No(why.clone()) } else { Wanted::Yes(rank(5, u64::from(e))) };
    (0..n).map(|entry| candidate(entry, wanted(entry), Some(LineState::Present))).collect()
}

fn filled(present: usize) -> Brakes {
    Brakes { present, filled: true, ..Brakes::default() }
}

/// Effects going now and held, as `push+update+retract`.
fn effects(out: &Restrained) -> (String, String) {
    let show = |steps: &[Planned]| {
        let count = |verb| steps.iter().filter(|step| step.step == verb).count();
        format!("{}+{}+{}", count(Verb::Push), count(Verb::Update), count(Verb::Retract))
    };
    assert!(out.counts().planned() >= out.counts().deferred);
    (show(&out.now), show(&out.held))
}

fn check(candidates: Vec<Candidate>, brakes: &Brakes, go: &str, held: &str, holds: &[&str]) -> Restrained {
    let out = restrain(candidates, &TARGET, brakes, now());
    assert_eq!(effects(&out), (go.to_owned(), held.to_owned()), "{:?}", out.holds);
    assert_eq!(out.holds.iter().map(Hold::as_str).collect::<Vec<_>>(), holds);
    assert!(out.held.iter().all(|step| step.why_held.is_some()) && out.now.iter().all(|step| step.why_held.is_none()));
    out
}

#[test]
fn allowances() {
    let budget = Budget::default();
    for (present, removals, adds) in
        [(0, 20, 5_000), (200, 20, 5_000), (210, 21, 5_000), (49_999, 4_999, 9_999), (1_000_000, 5_000, 50_000)]
    {
        assert_eq!((budget.removals.per_pass(present), budget.adds.per_pass(present)), (removals, adds), "{present}");
        assert_eq!(budget.removals.per_day(present, 3), removals * 3);
    }
    assert_eq!(budget.adds.per_pass(usize::MAX), 50_000);
    assert_eq!((room(10, 3, 2), room(10, 8, 5)), (5, 0));
}

#[test]
fn first_fill() {
    let new = Brakes::default();
    check(newcomers(9_000), &new, "0+0+0", "9000+0+0", &["first_fill"]);
    check(newcomers(9_000), &Brakes { fill_approved: true, ..new.clone() }, "9000+0+0", "0+0+0", &[]);
    check(newcomers(90_000), &Brakes { first_fill: FirstFill::Allow, ..new.clone() }, "90000+0+0", "0+0+0", &[]);
    check(newcomers(0), &new, "0+0+0", "0+0+0", &[]);
    let out = check(newcomers(1), &new, "0+0+0", "1+0+0", &["first_fill"]);
    assert_eq!(out.held[0].why_held, Some(Why::AwaitingApproval));
    // Removals of a target being filled have their budget all the same.
    check(
        present(100, 21, &Why::NotSelected),
        &Brakes { present: 100, ..new },
        "0+0+0",
        "0+0+21",
        &["removals_over_budget"],
    );
}

#[test]
fn budgets_hold_a_whole_class_and_only_that() {
    let brakes = filled(100);
    check(newcomers(5_000), &filled(0), "5000+0+0", "0+0+0", &[]);
    check(newcomers(5_001), &filled(0), "0+0+0", "5001+0+0", &["adds_over_budget"]);
    check(present(100, 20, &Why::NotSelected), &brakes, "0+0+20", "0+0+0", &[]);
    check(present(100, 21, &Why::NotSelected), &brakes, "0+0+0", "0+0+21", &["removals_over_budget"]);
    let both: Vec<_> = present(100, 21, &Why::NotSelected).into_iter().chain(newcomers(7)).collect();
    check(both, &brakes, "7+0+0", "0+0+21", &["removals_over_budget"]);
    let mut used = brakes.clone();
    used.budget.used_removals_24h = 40;
    check(present(100, 20, &Why::NotSelected), &used, "0+0+20", "0+0+0", &[]);
    used.budget.used_removals_24h = 41;
    check(present(100, 20, &Why::NotSelected), &used, "0+0+0", "0+0+20", &["removals_over_budget"]);
    used.budget.used_adds_24h = 14_999;
    check(newcomers(1), &used, "1+0+0", "0+0+0", &[]);
    used.budget.used_adds_24h = 15_000;
    check(newcomers(1), &used, "0+0+0", "1+0+0", &["adds_over_budget"]);
}

#[test]
fn verdict_and_guard_always_go_now() {
    let verdict = Why::Verdict(VerdictKind::FalsePositive);
    for why in [verdict, Why::Verdict(VerdictKind::Safe), guarded()] {
        let out = check(present(100, 100, &why), &filled(100), "0+0+100", "0+0+0", &[]);
        assert!(out.now.iter().all(|step| step.safety));
    }
    // The guard speaks even where a rule wants the entry, or a muted one holds it.
    for wanted in [Wanted::Yes(rank(9, 0)), Wanted::Held(Why::Muted("rule".into())), Wanted::No(Why::NotSelected)] {
        let stopped = |line| Candidate { guarded: Some(guarded()), ..candidate(0, wanted.clone(), line) };
        check(vec![stopped(Some(LineState::Present))], &filled(1), "0+0+1", "0+0+0", &[]);
        let out = check(vec![stopped(None)], &filled(1), "0+0+0", "0+0+0", &[]);
        assert_eq!(out.skipped[0].1.as_str(), "guarded");
    }
    // Ordinary removals beside them keep their own budget.
    let mut mixed = present(100, 21, &Why::NotSelected);
    mixed[99].guarded = Some(guarded());
    check(mixed, &filled(100), "0+0+1", "0+0+21", &["removals_over_budget"]);
}

#[test]
fn a_target_is_not_emptied_without_a_person() {
    check(present(3, 3, &Why::Inactive), &filled(3), "0+0+0", "0+0+3", &["would_empty"]);
    check(present(3, 2, &Why::Inactive), &filled(3), "0+0+2", "0+0+0", &[]);
    check(present(3, 3, &Why::Inactive), &Brakes { allow_empty: true, ..filled(3) }, "0+0+3", "0+0+0", &[]);
    // Something new goes there in the same pass, unless that is held.
    let exchange = || present(3, 3, &Why::Inactive).into_iter().chain(newcomers(1)).collect::<Vec<_>>();
    check(exchange(), &filled(3), "1+0+3", "0+0+0", &[]);
    let unfilled = Brakes { filled: false, ..filled(3) };
    check(exchange(), &unfilled, "0+0+0", "1+0+3", &["first_fill", "would_empty"]);
    // Verdicts empty it, but take nothing ordinary along.
    let mut mixed = present(3, 3, &Why::Inactive);
    mixed[0].wanted = Wanted::No(Why::Verdict(VerdictKind::Safe));
    check(mixed, &filled(3), "0+0+1", "0+0+2", &["would_empty"]);
    // What cannot be taken back stays, so the rest may go.
    check(vec![], &filled(3), "0+0+0", "0+0+0", &[]);
}

#[test]
fn freeze_holds_everything() {
    let mut all = present(50, 1, &Why::Verdict(VerdictKind::Safe));
    all.extend(newcomers(2));
    all[5].fingerprint = 7;
    all.push(candidate(90, Wanted::Yes(rank(5, 0)), Some(LineState::Pending)));
    let out = check(all, &Brakes { frozen: true, ..filled(50) }, "0+0+0", "2+1+1", &["frozen"]);
    assert!(out.now.is_empty() && out.held.iter().all(|step| step.why_held == Some(Why::Frozen)));
    assert!(out.held.iter().any(|step| step.step == Verb::Settle));
    check(vec![], &Brakes { frozen: true, ..filled(50) }, "0+0+0", "0+0+0", &[]);
}

#[test]
fn a_halt_lets_only_what_was_approved_go() {
    let mut all = present(50, 1, &Why::Verdict(VerdictKind::Safe));
    all.extend(newcomers(2));
    all[5].fingerprint = 7;
    all.push(candidate(90, Wanted::Yes(rank(5, 0)), Some(LineState::Pending)));
    let halted = Brakes { halted: true, ..filled(50) };
    let out = check(all.clone(), &halted, "0+0+0", "2+1+1", &["halted"]);
    let one = out.held.iter().find(|step| step.step == Verb::Push).map(|s| (s.entry, s.step, s.fingerprint));
    let approved = Some(ApprovedSet::given(now(), one));
    check(all.clone(), &Brakes { approved: approved.clone(), ..halted.clone() }, "1+0+0", "1+1+1", &["halted"]);
    check(all, &Brakes { approved, frozen: true, ..halted.clone() }, "0+0+0", "2+1+1", &["frozen"]);
    check(vec![], &halted, "0+0+0", "0+0+0", &[]);
}

#[test]
fn updates_count_where_the_whole_is_replaced() {
    let changed = || {
        let mut all = present(6_000, 0, &Why::Inactive);
        all.iter_mut().for_each(|c| c.fingerprint = 2);
        all
    };
    check(changed(), &filled(6_000), "0+6000+0", "0+0+0", &[]);
    let replaced = Brakes { replace_style: true, ..filled(6_000) };
    check(changed(), &replaced, "0+0+0", "0+6000+0", &["adds_over_budget"]);
    check(changed().into_iter().take(5_000).collect(), &replaced, "0+5000+0", "0+0+0", &[]);
}

#[test]
fn an_approval_allows_exactly_its_steps() {
    let out = check(newcomers(5_001), &filled(0), "0+0+0", "5001+0+0", &["adds_over_budget"]);
    let approved = ApprovedSet::given(now(), out.held.iter().map(|s| (s.entry, s.step, s.fingerprint)));
    let brakes = Brakes { approved: Some(approved.clone()), ..filled(0) };
    check(newcomers(5_001), &brakes, "5001+0+0", "0+0+0", &[]);
    // Another fingerprint is another step; so is what is new. They have the ordinary budget.
    let mut later = newcomers(5_010);
    later[0].fingerprint = 9;
    check(later.clone(), &brakes, "5010+0+0", "0+0+0", &[]);
    let mut tight = brakes.clone();
    tight.budget.used_adds_24h = 15_000;
    check(later, &tight, "5000+0+0", "10+0+0", &["adds_over_budget"]);
    // It ends after 24 hours, allows no other verb, and never more than the freeze does.
    let lapsed = Brakes { approved: Some(ApprovedSet { until: now(), ..approved.clone() }), ..filled(0) };
    check(newcomers(5_001), &lapsed, "0+0+0", "5001+0+0", &["adds_over_budget"]);
    let frozen = Brakes { frozen: true, ..brakes.clone() };
    check(newcomers(5_001), &frozen, "0+0+0", "5001+0+0", &["frozen"]);
    check(present(100, 100, &Why::Inactive), &brakes, "0+0+0", "0+0+100", &["removals_over_budget"]);
    // An approved removal is of what is there, whatever the entry would look like now.
    let emptying = check(present(3, 3, &Why::Inactive), &filled(3), "0+0+0", "0+0+3", &["would_empty"]);
    let approved = ApprovedSet::given(now(), emptying.held.iter().map(|s| (s.entry, s.step, s.fingerprint)));
    let mut again = present(3, 3, &Why::Inactive);
    again.iter_mut().for_each(|c| c.fingerprint = 77);
    check(again, &Brakes { approved: Some(approved), ..filled(3) }, "0+0+3", "0+0+0", &[]);
}

#[test]
fn what_was_begun_is_no_new_change() {
    let blind = TargetView { can_look: false, ..TARGET };
    let begun: Vec<_> = (0..6_000)
        .map(|e| match e % 2 {
            0 => candidate(e, Wanted::Yes(rank(5, 0)), Some(LineState::Unknown)),
            _ => candidate(e, Wanted::No(Why::NotSelected), Some(LineState::Retracting)),
        })
        .collect();
    let out = restrain(begun, &blind, &filled(0), now());
    assert_eq!(effects(&out), ("3000+0+3000".to_owned(), "0+0+0".to_owned()));
    assert!(out.now.iter().all(|step| step.repeat));
}

#[test]
fn the_order_of_what_goes_now() {
    let mut all = newcomers(1);
    all.push(Candidate { fingerprint: 2, ..candidate(1, Wanted::Yes(rank(5, 0)), Some(LineState::Present)) });
    all.push(candidate(2, Wanted::No(Why::NotSelected), Some(LineState::Present)));
    all.push(candidate(3, Wanted::No(Why::NotSelected), Some(LineState::Refused)));
    all.push(candidate(4, Wanted::Yes(rank(5, 0)), Some(LineState::Unknown)));
    let out = restrain(all, &TARGET, &filled(2), now());
    let verbs: Vec<_> = out.now.iter().map(|step| step.step.as_str()).collect();
    assert_eq!(verbs, ["settle", "drop", "retract", "update", "push"]);
}

#[test]
fn over_capacity_says_where_it_stands() {
    let mut all = newcomers(5);
    all[4].wanted = Wanted::Yes(rank(9, 4));
    let out = restrain(all, &TARGET, &Brakes { capacity: Some(3), ..filled(0) }, now());
    assert_eq!(out.now.iter().map(|s| s.entry).collect::<Vec<_>>(), [4, 0, 1]);
    let skipped: Vec<_> = out.skipped.iter().map(|(e, why)| (*e, why.clone())).collect();
    assert_eq!(
        skipped,
        [(2, Why::OverCapacity { position: 4, limit: 3 }), (3, Why::OverCapacity { position: 5, limit: 3 })]
    );
    assert_eq!(out.cut, 2);
    assert_eq!(skipped[0].1.to_string(), "over capacity: number 4 by rank, there is room for 3");
}

#[test]
fn a_place_is_given_up_only_for_a_better_one() {
    let full = |newcomer: Rank| {
        let mut all = present(3, 0, &Why::Inactive);
        all.push(candidate(9, Wanted::Yes(newcomer), None));
        restrain(all, &TARGET, &Brakes { capacity: Some(3), ..filled(3) }, now())
    };
    let equal = full(Rank { freshness: now(), ..rank(5, 0) });
    assert_eq!((equal.left, equal.now.len(), equal.skipped[0].0), (3, 0, 9));
    // Strictly higher: the lowest goes first, the newcomer when its place is free.
    let higher = full(rank(6, 9));
    assert_eq!(higher.now.iter().map(|s| (s.entry, s.step)).collect::<Vec<_>>(), [(2, Verb::Retract)]);
    assert_eq!(higher.now[0].reason.as_ref().map(Why::as_str), Some("over_capacity"));
    assert_eq!(higher.skipped, [(9, Why::NoRoomYet)]);
    // Where nothing can be taken back, nobody is displaced.
    let mut all = present(3, 0, &Why::Inactive);
    all.push(candidate(9, Wanted::Yes(rank(9, 9)), None));
    let never = TargetView { retract: RetractMode::Never, ..TARGET };
    let out = restrain(all, &never, &Brakes { capacity: Some(3), ..filled(3) }, now());
    assert_eq!((out.left, out.now.len(), out.skipped.len()), (3, 0, 1));
}

#[test]
fn what_stays_uses_room() {
    // One held, one that cannot be taken back (mode), one leaving: of four places one is free and one is to come.
    let mode = TargetView { retract: RetractMode::ExpiredAndRetracted, ..TARGET };
    let mut all = newcomers(4);
    all.push(candidate(10, Wanted::Held(Why::Muted("rule".into())), Some(LineState::Present)));
    all.push(candidate(11, Wanted::No(Why::NotSelected), Some(LineState::Present)));
    all.push(candidate(12, Wanted::No(Why::Inactive), Some(LineState::Present)));
    all.push(candidate(13, Wanted::Yes(rank(9, 0)), Some(LineState::Foreign)));
    let out = restrain(all, &mode, &Brakes { capacity: Some(4), ..filled(3) }, now());
    assert_eq!(out.now.iter().map(|s| (s.entry, s.step)).collect::<Vec<_>>(), [(12, Verb::Retract), (0, Verb::Push)]);
    let skipped: BTreeMap<u32, Why> = out.skipped.into_iter().collect();
    assert_eq!(skipped[&1], Why::NoRoomYet);
    assert_eq!(skipped[&2], Why::OverCapacity { position: 3, limit: 2 });
    assert_eq!(skipped[&11], Why::CannotRetract);
    assert_eq!(out.left, 2);
}

#[test]
fn bytes_pass_over_what_does_not_fit() {
    let sizes = [40, 70, 50, 10, 5];
    let all = newcomers(5).into_iter().zip(sizes).map(|(c, bytes)| Candidate { bytes, ..c });
    let out = restrain(all, &TARGET, &Brakes { bytes: Some(100), ..filled(0) }, now());
    assert_eq!(out.now.iter().map(|s| s.entry).collect::<Vec<_>>(), [0, 2, 3]);
    assert_eq!(out.cut, 2);
}

#[test]
fn hashes_name_sets() {
    let steps = [("a", Verb::Push, 1), ("b", Verb::Retract, 2)];
    let hash = plan_hash(steps);
    assert_eq!(hash, plan_hash([steps[1], steps[0]]));
    assert_eq!(hash.to_string().len(), 64);
    for other in [
        [("a", Verb::Push, 2), ("b", Verb::Retract, 2)],
        [("a", Verb::Update, 1), ("b", Verb::Retract, 2)],
        [("ab", Verb::Push, 1), ("", Verb::Retract, 2)],
    ] {
        assert_ne!(hash, plan_hash(other));
    }
    assert_ne!(hash, plan_hash([steps[0]]));
    assert_ne!(plan_hash([steps[0], steps[0]]), plan_hash([steps[0]]));
}

fn a_rank() -> impl Strategy<Value = Rank> {
    (4u8..7, prop::sample::select(Severity::ALL), 1u32..3, 0i64..3, 0u64..4).prop_map(
        |(rep, severity, n_sources, fresh, tie)| Rank {
            severity,
            n_sources,
            freshness: Timestamp::from_secs(fresh),
            ..rank(rep, tie)
        },
    )
}

fn a_wanted() -> impl Strategy<Value = Wanted> {
    let why = prop::sample::select(vec![
        Why::NotSelected,
        Why::Inactive,
        Why::TooBroad,
        Why::Excepted("x".into()),
        Why::Verdict(VerdictKind::Safe),
    ]);
    prop_oneof![
        6 => a_rank().prop_map(Wanted::Yes),
        2 => why.prop_map(Wanted::No),
        1 => Just(Wanted::Held(Why::Muted("rule".into()))),
    ]
}

fn a_candidate() -> impl Strategy<Value = Candidate> {
    let state = prop_oneof![
        3 => Just(None),
        3 => Just(Some(LineState::Present)),
        2 => prop::sample::select(LineState::ALL).prop_map(Some),
    ];
    let retry = prop::option::of(prop::sample::select(vec![0, 2_000_000]));
    (a_wanted(), state, 1u64..3, prop::bool::weighted(0.1), 0u32..4, retry).prop_map(
        |(wanted, line, fingerprint, stopped, bytes, retry)| {
            let mut candidate = candidate(0, wanted, line);
            candidate.fingerprint = fingerprint;
            candidate.guarded = stopped.then(guarded);
            candidate.bytes = bytes;
            if let Some(line) = &mut candidate.line {
                line.next_try = retry.map(Timestamp::from_secs);
            }
            candidate
        },
    )
}

fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
    prop::collection::vec(a_candidate(), 0..40).prop_map(|mut all| {
        all.iter_mut().zip(0..).for_each(|(c, entry)| c.entry = entry);
        all
    })
}

fn a_target() -> impl Strategy<Value = TargetView> {
    (any::<bool>(), any::<bool>(), prop::sample::select(RetractMode::ALL)).prop_map(
        |(can_retract, can_look, retract)| TargetView { can_retract, can_look, retract, expiry_supported: false },
    )
}

fn some_brakes() -> impl Strategy<Value = Brakes> {
    let allowance = (0u32..50, 0usize..4, 0usize..8).prop_map(|(percent, at_least, at_most)| Allowance {
        percent,
        at_least,
        at_most: at_most.max(at_least),
    });
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), prop::bool::weighted(0.1), any::<bool>());
    let limits = (prop::option::of(0usize..30), prop::option::of(0u64..60));
    (allowance.clone(), allowance, 0usize..6, 0usize..6, flags, limits, prop::sample::select(FirstFill::ALL)).prop_map(
        |(adds, removals, used_adds_24h, used_removals_24h, flags, (capacity, bytes), first_fill)| {
            let (allow_empty, filled, fill_approved, frozen, replace_style) = flags;
            Brakes {
                budget: Budget { adds, removals, passes_per_day: 3, used_adds_24h, used_removals_24h },
                present: 0,
                capacity,
                bytes,
                allow_empty,
                first_fill,
                filled,
                fill_approved,
                frozen,
                halted: false,
                replace_style,
                approved: None,
            }
        },
    )
}

fn count_present(all: &[Candidate]) -> usize {
    all.iter().filter(|c| c.line.is_some_and(|l| l.state == LineState::Present)).count()
}

/// Who should be there in the end, by sorting everything: the independent statement of the rule.
fn naive_kept(all: &[Candidate], target: &TargetView, capacity: usize) -> BTreeSet<u32> {
    let displaceable = target.can_retract && target.retract == RetractMode::Always;
    let mut fixed = 0;
    let mut contenders = Vec::new();
    let mut kept = BTreeSet::new();
    for c in all {
        let state = c.line.map(|l| l.state);
        let ours = state.is_some_and(LineState::occupies);
        let wanted = if let Some(why) = &c.guarded { Wanted::No(why.clone()) } else { c.wanted.clone() };
        match wanted {
            Wanted::Yes(_) if ours && !displaceable => {
                fixed += 1;
                kept.insert(c.entry);
            }
            Wanted::Yes(rank) => {
                let refused = state == Some(LineState::Refused)
                    && c.line.is_some_and(|l| l.fingerprint == c.fingerprint && l.next_try.is_none_or(|t| t > now()));
                if !refused && !state.is_some_and(LineState::is_foreign) {
                    let incumbent = ours && state != Some(LineState::Retracting);
                    contenders.push((c.entry, rank, incumbent));
                }
            }
            Wanted::No(why) => fixed += usize::from(ours && !target.may_retract(&why)),
            Wanted::Held(_) => {
                let leaves = state == Some(LineState::Retracting) && displaceable;
                fixed += usize::from(ours && !leaves);
            }
        }
    }
    contenders.sort_by(|(a_entry, a, a_in), (b_entry, b, b_in)| {
        let standing = |r: &Rank| (r.reputation, r.severity, r.n_sources);
        standing(b)
            .cmp(&standing(a))
            .then(b_in.cmp(a_in))
            .then(if *a_in { std::cmp::Ordering::Equal } else { b.freshness.cmp(&a.freshness) })
            .then(a.tie.cmp(&b.tie))
            .then(a_entry.cmp(b_entry))
    });
    kept.extend(contenders.iter().take(capacity.saturating_sub(fixed)).map(|(entry, ..)| *entry));
    kept
}

/// The world after the steps that went now were accepted; a look finds the entry there if `there` says so.
fn accepted(all: &[Candidate], out: &Restrained, there: impl Fn(u32) -> bool) -> Vec<Candidate> {
    let mut all = all.to_vec();
    for step in &out.now {
        let candidate = &mut all[step.entry as usize];
        let found = if there(step.entry) { LineState::Present } else { LineState::Gone };
        candidate.line = match step.step {
            Verb::Push | Verb::Update => Some(Line::new(LineState::Present, step.fingerprint)),
            Verb::Retract => Some(Line::new(LineState::Gone, step.fingerprint)),
            Verb::Settle => Some(Line::new(found, step.fingerprint)),
            Verb::Drop => None,
        };
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn nothing_is_lost_and_no_brake_is_passed(all in candidates(), target in a_target(), brakes in some_brakes()) {
        let brakes = Brakes { present: count_present(&all), ..brakes };
        let out = restrain(all.clone(), &target, &brakes, now());
        // Every candidate once.
        prop_assert_eq!(out.now.len() + out.held.len() + out.skipped.len() + out.left + out.absent, all.len());
        let named: BTreeSet<u32> =
            out.now.iter().chain(&out.held).map(|s| s.entry).chain(out.skipped.iter().map(|s| s.0)).collect();
        prop_assert_eq!(named.len() + out.left + out.absent, all.len());
        // What goes now stays inside the budget.
        let going = |verb: Verb| out.now.iter().filter(|s| s.step == verb && !s.safety && !s.repeat).count();
        let removals = going(Verb::Retract);
        prop_assert!(removals <= brakes.budget.removals.per_pass(brakes.present));
        prop_assert!(removals == 0 || removals + brakes.budget.used_removals_24h <= brakes.budget.removals_use(brakes.present).per_day);
        if brakes.filled {
            let adds = going(Verb::Push) + if brakes.replace_style { going(Verb::Update) } else { 0 };
            prop_assert!(adds <= brakes.budget.adds.per_pass(brakes.present));
            prop_assert!(adds == 0 || adds + brakes.budget.used_adds_24h <= brakes.budget.adds_use(brakes.present).per_day);
        } else if brakes.first_fill == FirstFill::Approve && !brakes.fill_approved {
            prop_assert_eq!(going(Verb::Push), 0);
        }
        // A freeze lets nothing through; else nothing of verdict or guard is held.
        prop_assert!(!brakes.frozen || out.now.iter().all(|s| s.step == Verb::Drop));
        prop_assert!(brakes.frozen || out.held.iter().all(|s| !s.safety && !s.repeat && s.step.is_effect()));
        // Nothing guarded is sent.
        let sent = out.now.iter().chain(&out.held).filter(|s| matches!(s.step, Verb::Push | Verb::Update));
        prop_assert_eq!(sent.filter(|s| all[s.entry as usize].guarded.is_some()).count(), 0);
        // The target is not emptied by ordinary removals.
        let after = accepted(&all, &out, |_| true);
        if brakes.present > 0 && removals > 0 && !brakes.allow_empty {
            prop_assert!(count_present(&after) > 0);
        }
        // Never more there than there is room for, unless there was before.
        let ours = |all: &[Candidate]| all.iter().filter(|c| c.line.is_some_and(|l| l.state.occupies())).count();
        let before = ours(&all);
        if let Some(capacity) = brakes.capacity {
            let sent = out.now.iter().filter(|s| s.step == Verb::Push && !all[s.entry as usize].line.is_some_and(|l| l.state.occupies()));
            prop_assert!(sent.count() <= capacity.saturating_sub(before), "a push used the room of a removal not yet accepted");
        }
    }

    #[test]
    fn capacity_ends_at_the_best_by_plain_sorting(all in candidates(), target in a_target(), capacity in 0usize..30, seed in any::<u64>()) {
        let brakes = Brakes { capacity: Some(capacity), filled: true, allow_empty: true, ..Brakes::default() };
        let free = Allowance { percent: 100, at_least: 1_000, at_most: 1_000 };
        let brakes = Brakes { budget: Budget { adds: free, removals: free, ..Budget::default() }, ..brakes };
        // First learn what is there, then compare.
        let mut all = all;
        if target.can_look {
            let look = |mut c: Candidate| {
                if let Some(line) = &mut c.line
                    && matches!(line.state, LineState::Pending | LineState::Unknown | LineState::Retracting)
                {
                    line.state = if seed >> (c.entry % 64) & 1 == 1 { LineState::Present } else { LineState::Gone };
                }
                c
            };
            all = all.into_iter().map(look).collect();
        }
        let expect = naive_kept(&all, &target, capacity);
        for _ in 0..4 {
            let brakes = Brakes { present: count_present(&all), ..brakes.clone() };
            let out = restrain(all.clone(), &target, &brakes, now());
            all = accepted(&all, &out, |_| true);
        }
        let out = restrain(all.clone(), &target, &brakes, now());
        prop_assert!(out.now.iter().all(|s| s.step == Verb::Drop || s.step == Verb::Settle), "not at rest: {:?}", out.now);
        let there: BTreeSet<u32> = all
            .iter()
            .filter(|c| c.line.is_some_and(|l| l.state == LineState::Present))
            .filter(|c| matches!(c.wanted, Wanted::Yes(_)) && c.guarded.is_none())
            .map(|c| c.entry)
            .collect();
        prop_assert_eq!(there, expect);
    }

    #[test]
    fn a_limit_that_does_not_bind_changes_nothing(all in candidates(), target in a_target(), brakes in some_brakes()) {
        let brakes = Brakes { present: count_present(&all), capacity: None, bytes: None, ..brakes };
        let wide = Brakes { capacity: Some(1_000), bytes: Some(1_000), ..brakes.clone() };
        prop_assert_eq!(restrain(all.clone(), &target, &brakes, now()), restrain(all, &target, &wide, now()));
    }
}

/// What a verdict or the guard demands back leaves before every other effect of its pass.
#[test]
fn b17_what_must_not_be_there_leaves_first() {
    let mut all = present(40, 12, &Why::Inactive);
    for at in [3, 7, 11] {
        all[at].wanted = Wanted::No(Why::Verdict(VerdictKind::FalsePositive));
    }
    all[38].wanted = Wanted::No(guarded());
    all.extend((100..105).map(|entry| candidate(entry, Wanted::Yes(rank(5, u64::from(entry))), None)));
    all.push(candidate(200, Wanted::Yes(rank(9, 200)), Some(LineState::Unknown)));
    let out = restrain(all, &TargetView { can_look: false, ..TARGET }, &filled(40), now());
    let effects: Vec<&Planned> = out.now.iter().filter(|step| step.step.is_effect()).collect();
    let first: Vec<u32> = effects.iter().take(4).map(|step| step.entry).collect();
    assert_eq!(first, [3, 7, 11, 38]);
    assert!(effects[..4].iter().all(|step| step.safety) && effects[4..].iter().all(|step| !step.safety));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Effects = budget, never one more: what goes in a pass and over 24 hours, whatever the settings.
    #[test]
    fn no_budget_is_passed_by_one(
        present in 0usize..3_000, wanted in 0usize..400, percent in 0u32..60, at_least in 0usize..60, extra in 0usize..200,
        passes_per_day in 0u32..5, rounds in 1usize..6,
    ) {
        let allowance = Allowance { percent, at_least, at_most: at_least + extra };
        let target = TargetView { can_retract: true, can_look: false, retract: RetractMode::Always, expiry_supported: false };
        let mut gone = 0usize;
        for _ in 0..rounds {
            let there = present - gone.min(present);
            let out = wanted.min(there);
            let all: Vec<Candidate> = (0..out as u32).map(|entry| Candidate {
                entry, wanted: Wanted::No(Why::Inactive), line: Some(Line::new(LineState::Present, 1)), fingerprint: 0,
                desired_expiry: None, guarded: None, bytes: 1,
            }).collect();
            let budget = Budget { adds: allowance, removals: allowance, passes_per_day, used_adds_24h: 0, used_removals_24h: gone };
            let brakes = Brakes { present: there, filled: true, allow_empty: true, budget, ..Brakes::default() };
            let done = restrain(all, &target, &brakes, now());
            let n_now = done.now.len();
            // The figures once more, by hand.
            let pass = ((there as u64 * u64::from(percent) / 100) as usize).max(at_least).min(at_least + extra);
            let day = pass * passes_per_day.max(1) as usize;
            prop_assert!(n_now == 0 || (n_now <= pass && gone + n_now <= day), "{} went of {} and {}", n_now, pass, day);
            prop_assert_eq!(n_now == out, out <= pass && gone + out <= day || out == 0);
            prop_assert_eq!(n_now + done.held.len(), out);
            gone += n_now;
        }
    }

    /// What goes is sent the most urgent first: a verdict before other removals, the best rank before lower ones.
    #[test]
    fn what_matters_most_goes_first(all in candidates(), target in a_target()) {
        let brakes = Brakes { filled: true, budget: Budget {
            adds: Allowance { percent: 100, at_least: 10_000, at_most: 10_000 },
            removals: Allowance { percent: 100, at_least: 10_000, at_most: 10_000 }, ..Budget::default() },
            allow_empty: true, present: count_present(&all), ..Brakes::default() };
        let out = restrain(all.clone(), &target, &brakes, now());
        let pushes: Vec<_> = out.now.iter().filter(|s| s.step == Verb::Push).collect();
        for pair in pushes.windows(2) {
            let standing = |s: &Planned| match &all[s.entry as usize].wanted {
                Wanted::Yes(rank) => rank.order(true),
                _ => (u64::MAX, 0, 0),
            };
            prop_assert!(standing(pair[0]) <= standing(pair[1]));
        }
        let mut retracts = out.now.iter().filter(|s| s.step == Verb::Retract).map(|s| match &s.reason {
            Some(Why::Verdict(_)) => 0, Some(why) if why.is_safety() => 1, _ => 2 });
        let mut last = 0;
        prop_assert!(retracts.all(|class| std::mem::replace(&mut last, class) <= class));
    }
}
