//! The index says what the fold and the evaluator of `intel` say, whatever happens and in whatever order.

mod world;

use index::{CountBy, Index, PageCursor, Scope, Selection, Sort, SortField};
use intel::{ConnectionId, IndicatorId, Summary, Tlp, VerdictKind};
use std::collections::BTreeMap;
use world::World;

const SEEDS: u64 = 60;

fn each_world(steps: u64, mut check: impl FnMut(&mut World, &str)) {
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        for step in 0..steps {
            world.step();
            if step % 20 == 19 || step + 1 == steps {
                check(&mut world, &format!("seed {seed} step {step}"));
            }
        }
    }
}

#[test]
fn summaries_are_the_folds() {
    each_world(120, |world, at| {
        assert_eq!(world.index.len(), world.indicators.len(), "{at}");
        let n_records: usize = world.indicators.values().map(|i| i.records.len()).sum();
        assert_eq!(world.index.n_records(), n_records, "{at}");
        for (id, indicator) in &world.indicators {
            let dense = IndicatorId(*id);
            assert_eq!(world.index.summary(dense, world.now), world.summary(*id), "{at} {:?}", indicator.key);
            assert_eq!(
                (world.index.key(dense), world.index.id(&indicator.key)),
                (indicator.key.clone(), Some(dense)),
                "{at}"
            );
            assert_eq!(world.index.analyst(dense).cloned().unwrap_or_default(), indicator.analyst, "{at}");
            let rows = world.index.records(dense, world.now);
            assert_eq!(rows.len(), indicator.records.len(), "{at}");
            for (row, (connection, record)) in rows.iter().zip(&indicator.records) {
                assert_eq!(row.facts, intel::Facts::of(*connection, record), "{at}");
                assert!(row.tags.iter().map(|t| &**t).eq(record.claim.tags.iter().map(|t| &**t)), "{at}");
                assert_eq!(row.comment.as_deref(), record.claim.comment.as_deref(), "{at}");
                let policy = world.policies.get(*connection);
                assert_eq!(row.active, policy.is_some_and(|p| row.facts.is_active(p, world.now)), "{at}");
            }
        }
        let gone = (0..200).map(IndicatorId).filter(|id| !world.indicators.contains_key(&id.0));
        for id in gone {
            assert!(
                !world.index.exists(id) && world.index.revision(id) == 0 && world.index.summary_hash(id) == 0,
                "{at}"
            );
        }
    });
}

#[test]
fn select_is_eval() {
    let mut answers = [0usize; 2];
    each_world(120, |world, at| {
        for _ in 0..12 {
            let shared = world.shared();
            let expr = world.expr(4, false);
            for scope in [Scope::Active, Scope::All] {
                let found = world.index.select(&expr, scope, world.now, &shared);
                let expect = world.naive_select(&expr, scope == Scope::Active, &shared);
                assert_eq!(found, expect, "{at} {scope:?} {expr:?}");
                answers[usize::from(!found.is_empty() && found.count() < world.index.len())] += 1;
            }
            let expect = world.naive_select(&expr, false, &BTreeMap::new());
            for id in 0..100 {
                let id = IndicatorId(id);
                assert_eq!(world.index.matches(&expr, id, world.now), expect.contains(id), "{at} {id} {expr:?}");
            }
        }
    });
    assert!(answers[1] * 3 > answers[0], "most expressions decide nothing: {answers:?}");
}

/// What a reader can see of a summary. Expiry moves with every believed run and is no change.
fn visible(summary: Summary) -> impl PartialEq + std::fmt::Debug {
    let Summary { folded, tags, sources, comment, muted, verdict, .. } = summary;
    let times = (folded.first_seen, folded.last_seen, folded.internal_hits, folded.external_hits);
    let marks = (folded.active, folded.retracted, folded.tlp, muted, verdict);
    (folded.reputation, folded.severity, folded.confidence, times, marks, tags, sources, comment)
}

#[test]
fn advancing_is_folding_from_scratch_and_loading_is_putting() {
    each_world(120, |world, at| {
        let stored: BTreeMap<u32, u64> = world.indicators.keys().map(|id| (*id, world.hash(*id))).collect();
        let (fresh, late) = world.reloaded();
        world.advance();
        let changed: Vec<IndicatorId> =
            stored.iter().filter(|(id, hash)| world.hash(**id) != **hash).map(|(id, _)| IndicatorId(*id)).collect();
        assert_eq!(late, changed, "{at}: a start finds what time changed");
        assert_eq!(
            fresh.max_revision(),
            stored.keys().map(|id| fresh.revision(IndicatorId(*id))).max().unwrap_or(0),
            "{at}"
        );
        let mut by_hash: BTreeMap<u64, u32> = BTreeMap::new();
        for id in world.indicators.keys() {
            let dense = IndicatorId(*id);
            assert_eq!(world.index.summary_hash(dense), fresh.summary_hash(dense), "{at} {id}");
            assert_eq!(world.index.rank_fields(dense), fresh.rank_fields(dense), "{at} {id}");
            assert_eq!(world.index.summary(dense, world.now), fresh.summary(dense, world.now), "{at} {id}");
            assert_eq!(world.index.revision(dense), fresh.revision(dense), "{at} {id}");
            if let Some(twin) = by_hash.insert(fresh.summary_hash(dense), *id) {
                let (a, b) = (visible(world.summary(*id)), visible(world.summary(twin)));
                assert_eq!(a, b, "{at}: {id} and {twin} have one hash");
            }
        }
        for record in world.indicators.values().flat_map(|indicator| indicator.records.values()) {
            assert!(record.contents.iter().all(|fingerprint| fresh.seen(*fingerprint).is_some()), "{at}");
        }
    });
}

#[test]
fn a_change_of_policy_names_what_it_changed() {
    each_world(80, |world, at| {
        world.advance();
        let before: BTreeMap<u32, _> = world.indicators.keys().map(|id| (*id, visible(world.summary(*id)))).collect();
        world.policies = world::policies(&mut world.rng);
        let changed = world.index.set_policies(world.policies.clone(), world.settings, world.now);
        for (id, before) in before {
            let differs = visible(world.summary(id)) != before;
            assert!(!differs || changed.contains(&IndicatorId(id)), "{at} {id}");
        }
    });
}

#[test]
fn shortcuts_are_selections() {
    each_world(80, |world, at| {
        world.advance();
        let naive = |holds: &dyn Fn(u32, &Summary) -> bool| -> Selection {
            let ids = world.indicators.keys().filter(|id| holds(**id, &world.summary(**id)));
            ids.map(|id| IndicatorId(*id)).collect()
        };
        let index = &world.index;
        assert_eq!(index.active(), naive(&|_, s| s.folded.active), "{at}");
        assert_eq!(index.muted(), naive(&|_, s| s.muted), "{at}");
        assert_eq!(index.all(), naive(&|_, _| true), "{at}");
        for tlp in Tlp::ALL {
            assert_eq!(index.tlp_at_most(*tlp), naive(&|_, s| s.folded.tlp <= *tlp), "{at}");
        }
        for kind in [VerdictKind::Malicious, VerdictKind::FalsePositive, VerdictKind::Safe] {
            assert_eq!(index.with_verdict(kind), naive(&|_, s| s.verdict == Some(kind)), "{at}");
        }
        for (connection, policy) in world.policies.iter() {
            assert_eq!(index.active_from(connection), naive(&|_, s| s.sources.contains(&*policy.name)), "{at}");
            let by_source = index.count_by_source().get(&connection).copied().unwrap_or(0);
            assert_eq!(by_source, index.active_from(connection).count() as u64, "{at}");
            let from = index.active_from(connection);
            for id in world.indicators.keys() {
                let id = IndicatorId(*id);
                assert_eq!(index.is_active_from(id, connection), from.contains(id), "{at}");
            }
            let slots: Vec<u32> = index.slots_of(connection).map(|(_, id)| id.0).collect();
            let mut sorted = slots.clone();
            sorted.sort_unstable();
            assert!(
                sorted.iter().eq(world
                    .indicators
                    .iter()
                    .filter(|(_, i)| i.records.contains_key(&connection))
                    .map(|(id, _)| id)),
                "{at}"
            );
        }
        let kinds = [intel::IndicatorKind::Url, intel::IndicatorKind::Domain];
        assert_eq!(index.of_kinds(&kinds), naive(&|id, _| kinds.contains(&world.indicators[&id].key.kind())), "{at}");
        let mut changed: Vec<_> =
            world.indicators.keys().map(|id| (index.revision(IndicatorId(*id)), IndicatorId(*id))).collect();
        changed.sort_unstable();
        let since = world.revision / 2;
        changed.retain(|(revision, _)| *revision > since);
        assert_eq!(index.changed_since(since), changed, "{at}");
    });
}

fn all_pages(index: &Index, selection: &Selection, sort: Sort, limit: usize) -> Vec<IndicatorId> {
    let (mut ids, mut after): (Vec<IndicatorId>, Option<PageCursor>) = (Vec::new(), None);
    loop {
        let page = index.page(selection, sort, after.as_ref(), limit);
        assert!(page.ids.len() <= limit && (page.next.is_none() || page.ids.len() == limit));
        ids.extend(page.ids);
        match page.next {
            Some(next) => after = Some(next),
            None => return ids,
        }
    }
}

#[test]
fn pages_ranks_and_counts_are_those_of_a_sorted_list() {
    use SortField::*;
    each_world(100, |world, at| {
        world.advance();
        let expr = world.expr(2, false);
        let selection = world.index.select(&expr, Scope::All, world.now, &BTreeMap::new());
        let index = &world.index;
        let ids: Vec<IndicatorId> = selection.iter().collect();
        let summaries: BTreeMap<IndicatorId, Summary> = ids.iter().map(|id| (*id, world.summary(id.0))).collect();
        let number = |time: Option<intel::Timestamp>| time.map_or(0, |time| time.secs() as u64);
        for field in
            [Id, Value, Kind, Reputation, Severity, Confidence, Tlp, FirstSeen, LastSeen, Sources, Hits, Revision]
        {
            let key = |id: &IndicatorId| {
                let s = &summaries[id];
                let indicator = &world.indicators[&id.0];
                let number = match field {
                    Id | Value => 0,
                    Kind => indicator.key.kind() as u64,
                    Reputation => s.folded.reputation.get().into(),
                    Severity => s.folded.severity as u64,
                    Confidence => s.folded.confidence.map_or(0, |c| u64::from(c) + 1),
                    Tlp => s.folded.tlp as u64,
                    FirstSeen => number(s.folded.first_seen),
                    LastSeen => number(s.folded.last_seen),
                    Sources => s.sources.len() as u64,
                    Hits => u64::from(s.folded.internal_hits) + u64::from(s.folded.external_hits),
                    Revision => index.revision(*id),
                };
                (number, if field == Value { indicator.key.value().to_owned() } else { String::new() }, *id)
            };
            let mut expect = ids.clone();
            expect.sort_by_key(key);
            for descending in [false, true] {
                for limit in [1, 3, 1000] {
                    let found = all_pages(index, &selection, Sort { field, descending }, limit);
                    assert_eq!(found, expect, "{at} {field:?} {descending} {limit}");
                }
                expect.reverse();
            }
        }

        let rank = |id: &IndicatorId| {
            let s = &summaries[id];
            let received = world.indicators[&id.0].records.values().map(|r| r.received).max();
            let fresh = s.folded.last_seen.or(received).map_or(0, |time| time.secs());
            let best = (s.folded.reputation, s.folded.severity, s.sources.len(), fresh);
            (std::cmp::Reverse(best), world.indicators[&id.0].key.clone())
        };
        let mut ranked = ids.clone();
        ranked.sort_by_key(rank);
        for k in [0, 1, 5, ids.len(), 1000] {
            assert_eq!(index.top_k(&selection, k), ranked[..k.min(ranked.len())], "{at} {k}");
        }

        let count = |names: &dyn Fn(&IndicatorId, &Summary) -> Vec<String>| {
            let mut counts: BTreeMap<String, u64> = BTreeMap::new();
            summaries.iter().flat_map(|(id, s)| names(id, s)).for_each(|name| *counts.entry(name).or_default() += 1);
            let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
            counts.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
            counts
        };
        for (field, expect) in [
            (CountBy::Kind, count(&|id, _| vec![world.indicators[&id.0].key.kind().to_string()])),
            (CountBy::Source, count(&|_, s| s.sources.iter().cloned().collect())),
            (CountBy::Tag, count(&|_, s| s.tags.iter().cloned().collect())),
            (CountBy::Reputation, count(&|_, s| vec![s.folded.reputation.to_string()])),
            (CountBy::Severity, count(&|_, s| vec![s.folded.severity.to_string()])),
            (CountBy::Tlp, count(&|_, s| vec![s.folded.tlp.to_string()])),
            (CountBy::Verdict, count(&|_, s| vec![s.verdict.map_or("none", |v| v.as_str()).to_owned()])),
            (CountBy::Active, count(&|_, s| vec![if s.folded.active { "active" } else { "inactive" }.to_owned()])),
        ] {
            assert_eq!(index.count_by(&selection, field), expect, "{at} {field:?}");
        }
    });
}

#[test]
fn a_page_goes_on_where_it_ended_though_things_changed() {
    let mut world = World::new(7);
    (0..200).for_each(|_| world.step());
    world.advance();
    let sort = Sort { field: SortField::Value, descending: false };
    let first = world.index.page(&world.index.all(), sort, None, 5);
    let next = first.next.unwrap();
    let rest = world.index.page(&world.index.all(), sort, Some(&next), 1000).ids;
    world.index.remove(next.id);
    assert_eq!(world.index.page(&world.index.all(), sort, Some(&next), 1000).ids, rest);
}

#[test]
fn a_believed_run_revives_what_had_run_out() {
    use intel::{DAY, Policies, Policy, Timestamp};
    let start = Timestamp::from_secs(1_700_000_000);
    let mut policies = Policies::default();
    policies.set(ConnectionId(2), Policy { complete: true, aging: Some(10 * DAY), ..Policy::new("alpha") });
    let mut index = Index::new(policies, intel::FoldSettings::default());
    let mut record = World::new(1).record();
    record.claim = intel::Claim::default();
    (record.received, record.listed, record.echo) = (start, true, false);
    let id = IndicatorId(1);
    index.put(id, &world::key(0), ConnectionId(2), &record, Some(1), start);
    assert_eq!(index.advance(start.after(9 * DAY)), []);
    index.believed(ConnectionId(2), start.after(9 * DAY));
    assert_eq!(index.advance(start.after(18 * DAY)), [], "it is listed, so it has not aged");
    assert_eq!(index.summary(id, start.after(18 * DAY)).folded.expires_at, Some(start.after(19 * DAY)));
    assert_eq!(index.advance(start.after(19 * DAY)), [id], "what expires at t is inactive at t");
    index.believed(ConnectionId(2), start.after(40 * DAY));
    assert_eq!(index.advance(start.after(40 * DAY)), [id]);
    assert!(index.active().contains(id));
}

#[test]
fn churn_does_not_fill_the_memory() {
    let mut world = World::new(3);
    let now = world.now;
    let mut record = world.record();
    let mut put = |index: &mut Index, id: u32, turn: u32| {
        let value = format!("{}.{id}-{turn}.example", "long".repeat(15));
        let key = intel::IndicatorKey::from_stored(intel::IndicatorKind::Domain, value);
        record.claim.comment = Some(format!("{id} seen in turn {turn}").into());
        record.claim.tags =
            vec![format!("a{}", turn % 100).into(), format!("b{}", id % 50).into(), format!("c{}", turn / 100).into()];
        record.contents = vec![u64::from(turn) << 32 | u64::from(id)];
        index.put(IndicatorId(id), &key, ConnectionId(2), &record, None, now);
        key
    };
    let mut index = Index::new(world.policies, world.settings);
    for turn in 0..400 {
        for id in 1..=50 {
            let key = put(&mut index, id, turn);
            let id = IndicatorId(id);
            assert_eq!((index.id(&key), index.len() <= 50), (Some(id), true));
            let row = &index.records(id, now)[0];
            assert_eq!(row.comment, Some(format!("{} seen in turn {turn}", id.0)));
            assert_eq!(row.tags, [format!("a{}", turn % 100), format!("b{}", id.0 % 50), format!("c{}", turn / 100)]);
            assert!(index.summary(id, now).tags.is_superset(&row.tags.iter().cloned().collect()));
        }
    }
    let memory = index.memory();
    assert!(memory.comments < 500_000 && memory.values < 1_000_000 && memory.sets < 500_000, "{memory:?}");
    assert_eq!(index.seen(399 << 32 | 7).map(|slot| index.slot_owner(slot)), Some((IndicatorId(7), ConnectionId(2))));
    assert_eq!((index.seen(398 << 32 | 7), index.n_records()), (None, 50));
}
