//! Records, analysts, revisions, loading, staging.

use super::{NOW, add, append, extreme, key, plain};
use intel::{
    Analyst, Claim, ConnectionId, Facts, Indicator, IndicatorId, IndicatorKey, IndicatorKind, Row, RunId, Severity,
    SourceRecord, Timestamp, Tlp, Verdict, VerdictKind,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use store::{Append, Change, IndicatorRow, Listed, LoadSink, RecordRow, Store, StoreError};

const LAST: ConnectionId = ConnectionId(u16::MAX);

#[test]
fn whole_indicators_come_back() {
    for store in [Store::in_memory().unwrap(), Store::open(tempfile::tempdir().unwrap().path()).unwrap()] {
        let keys: Vec<IndicatorKey> = IndicatorKind::ALL
            .iter()
            .map(|kind| IndicatorKey::from_stored(*kind, "the same 'value' ✓"))
            .chain([IndicatorKey::from_stored(IndicatorKind::Mutex, "x".repeat(10_000))])
            .collect();
        let ids = add(&store, &keys, &plain()).ids;
        let mut none = plain();
        none.contents.clear();
        for (connection, record) in [(LAST, extreme()), (ConnectionId::MANUAL, none.clone())] {
            let changes: Vec<_> = keys
                .iter()
                .zip(&ids)
                .map(|(key, id)| Change { id: Some(*id), key, record: &record, summary_hash: 0, revise: false })
                .collect();
            store.append(&Append { connection, ..append(&changes) }).unwrap();
        }
        let analyst = Analyst {
            verdict: Some(Verdict { kind: VerdictKind::FalsePositive, until: Some(Timestamp::from_micros(i64::MAX)) }),
            muted: true,
            tags_added: ["a\"b".to_owned(), "ü".to_owned()].into(),
            tags_removed: ["c".to_owned()].into(),
            comment: Some(String::new()),
        };
        for (key, id) in keys.iter().zip(&ids) {
            store.set_analyst(*id, &analyst, 7, "ann", NOW).unwrap();
            let records =
                BTreeMap::from([(ConnectionId(2), plain()), (LAST, extreme()), (ConnectionId::MANUAL, none.clone())]);
            let expect = Indicator { key: key.clone(), records, analyst: analyst.clone() };
            assert_eq!(store.indicator(*id).unwrap(), Some(expect));
            assert_eq!(store.find(key).unwrap(), Some(*id));
            store.set_analyst(*id, &Analyst::default(), 7, "ann", NOW).unwrap();
            assert!(store.indicator(*id).unwrap().unwrap().analyst.is_empty());
        }
        assert_eq!(store.record(ids[0], LAST).unwrap(), Some(extreme()));
        let wanted =
            [(ids[3], LAST), (IndicatorId(u32::MAX), LAST), (ids[1], ConnectionId(2)), (ids[0], ConnectionId(9))];
        assert_eq!(store.records(&wanted).unwrap(), [Some(extreme()), None, Some(plain()), None]);
        assert_eq!(store.indicator(IndicatorId(0)).unwrap(), None);
        assert_eq!(store.counts().unwrap(), (keys.len() as u64, 3 * keys.len() as u64));
        assert_eq!(store.audit_log(1, None).unwrap()[0].object, keys[keys.len() - 1].value());
    }
}

prop_compose! {
    fn any_time()(micros in any::<Option<i64>>()) -> Option<Timestamp> { micros.map(Timestamp::from_micros) }
}

prop_compose! {
    fn any_claim()(
        levels in (0u8..=11, any::<Option<u8>>(), 0usize..5, 0usize..6),
        tags in proptest::collection::btree_set("\\PC{0,12}", 0..5),
        times in (any_time(), any_time(), any_time(), any_time()),
        flags in any::<(bool, u32, u32)>(),
        texts in any::<(Option<String>, Option<String>, Option<String>)>(),
    ) -> Claim {
        Claim {
            reputation: intel::Reputation::new(levels.0),
            confidence: levels.1,
            severity: Severity::ALL[levels.2],
            tlp: Tlp::ALL.get(levels.3).copied(),
            tags: tags.into_iter().map(Into::into).collect(),
            first_seen: times.0,
            last_seen: times.1,
            valid_from: times.2,
            expires_at: times.3,
            retracted: flags.0,
            internal_hits: flags.1,
            external_hits: flags.2,
            comment: texts.0.map(Into::into),
            link: texts.1.map(Into::into),
            raw: texts.2.map(Into::into),
        }
    }
}

prop_compose! {
    fn any_record()(
        claim in any_claim(),
        (version, received) in any::<(i64, i64)>(),
        contents in proptest::collection::btree_set(any::<u64>(), 0..4),
        flags in any::<(bool, bool)>(),
        ended in any::<Option<(i64, u64)>>(),
        remote_id in any::<Option<String>>(),
    ) -> SourceRecord {
        SourceRecord {
            version: Timestamp::from_micros(version),
            claim,
            received: Timestamp::from_micros(received),
            contents: contents.into_iter().collect(),
            listed: flags.0,
            echo: flags.1,
            ended: ended.map(|(version, content)| intel::Ended { version: Timestamp::from_micros(version), content }),
            remote_id: remote_id.map(Into::into),
        }
    }
}

/// Indicator, facts, version, contents, tags, and comment, link and remote id.
type KeptRecord = (IndicatorId, Facts, Timestamp, Vec<u64>, Vec<Box<str>>, [Option<Box<str>>; 3]);

/// What a sink was told, as it would keep it.
#[derive(Default)]
struct Kept {
    tagsets: BTreeMap<u32, Vec<Box<str>>>,
    indicators: Vec<(IndicatorId, IndicatorKind, String, u64, u64)>,
    records: Vec<KeptRecord>,
    analysts: Vec<(IndicatorId, Analyst)>,
}

impl LoadSink for Kept {
    fn tagset(&mut self, id: u32, tags: &[Box<str>]) {
        assert!(self.indicators.is_empty());
        self.tagsets.insert(id, tags.into());
    }
    fn indicator(&mut self, row: IndicatorRow<'_>) {
        assert!(self.records.is_empty());
        self.indicators.push((row.id, row.kind, row.value.into(), row.revision, row.summary_hash));
    }
    fn record(&mut self, row: RecordRow<'_>) {
        let texts = [row.comment, row.link, row.remote_id].map(|text| text.map(Into::into));
        let tags = self.tagsets[&row.tagset].clone();
        self.records.push((row.indicator, row.facts, row.version, row.contents.into(), tags, texts));
    }
    fn analyst(&mut self, id: IndicatorId, analyst: &Analyst) {
        self.analysts.push((id, analyst.clone()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_record_comes_back_and_loads(records in proptest::collection::vec(any_record(), 1..20)) {
        let dir = tempfile::tempdir().unwrap();
        for store in [Store::in_memory().unwrap(), Store::open(dir.path()).unwrap()] {
            let keys: Vec<_> = (0..records.len()).map(|n| key(&format!("{n}.example"))).collect();
            let changes: Vec<_> = keys.iter().zip(&records)
                .map(|(key, record)| Change { id: None, key, record, summary_hash: 3, revise: true })
                .collect();
            let appended = store.append(&append(&changes)).unwrap();
            let wanted: Vec<_> = appended.ids.iter().map(|id| (*id, ConnectionId(2))).collect();
            let found: Vec<_> = store.records(&wanted).unwrap().into_iter().map(Option::unwrap).collect();
            prop_assert_eq!(&found, &records);

            let mut kept = Kept::default();
            store.load(&mut kept).unwrap();
            for (n, (id, facts, version, contents, tags, texts)) in kept.records.iter().enumerate() {
                let record = &records[n];
                prop_assert_eq!(*id, appended.ids[n]);
                prop_assert_eq!(*facts, Facts::of(ConnectionId(2), record));
                prop_assert_eq!(*version, record.version);
                prop_assert_eq!(contents, &record.contents);
                prop_assert_eq!(tags, &record.claim.tags);
                prop_assert_eq!(texts, &[record.claim.comment.clone(), record.claim.link.clone(), record.remote_id.clone()]);
            }
            prop_assert_eq!(kept.records.len(), records.len());
        }
    }

    #[test]
    fn any_staged_row_comes_back(claims in proptest::collection::vec((any_claim(), any_time(), any::<Option<String>>(), any::<u64>()), 0..20)) {
        let store = Store::in_memory().unwrap();
        let rows: Vec<(Row, u64)> = claims.into_iter().enumerate().map(|(n, (claim, version, remote_id, fingerprint))| {
            let row = Row {
                key: key(&n.to_string()), version, claim, remote_id: remote_id.map(Into::into), hops: vec![n.to_string(); n % 3],
            };
            (row, fingerprint)
        }).collect();
        let (first, second) = rows.split_at(rows.len() / 2);
        for part in [first, second] {
            store.stage(RunId(u64::MAX), part.iter().map(|(row, fingerprint)| (row, *fingerprint))).unwrap();
        }
        prop_assert_eq!(&store.staged(RunId(u64::MAX)).unwrap(), &rows);
        prop_assert_eq!(store.drop_staged(RunId(1)).unwrap(), 0);
        prop_assert_eq!(store.drop_staged(RunId(u64::MAX)).unwrap(), rows.len() as u64);
        prop_assert!(store.staged(RunId(u64::MAX)).unwrap().is_empty());
    }
}

/// More rows than a batch of the loader, over two threads, in order.
#[test]
fn loading_keeps_order_over_batches() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let keys: Vec<_> = (0..10_000).map(|n| key(&format!("{n}.example"))).collect();
    let ids = add(&store, &keys, &plain()).ids;
    store.set_analyst(ids[5], &Analyst { muted: true, ..Analyst::default() }, 1, "ann", NOW).unwrap();
    let mut kept = Kept::default();
    store.load(&mut kept).unwrap();
    assert_eq!(kept.indicators.len(), keys.len());
    assert_eq!(kept.records.len(), keys.len());
    for (n, (id, kind, value, revision, hash)) in kept.indicators.iter().enumerate() {
        let (expect_revision, expect_hash) = if n == 5 { (10_001, 1) } else { (n as u64 + 1, u64::MAX) };
        assert_eq!((*id, *kind, value.as_str()), (ids[n], keys[n].kind(), keys[n].value()));
        assert_eq!((*revision, *hash), (expect_revision, expect_hash));
        assert_eq!(kept.records[n].0, ids[n]);
    }
    assert_eq!(kept.analysts, [(ids[5], Analyst { muted: true, ..Analyst::default() })]);
}

/// A reader that follows revisions in small bites sees every change, and no revision comes twice.
#[test]
fn readers_of_revisions_miss_nothing() {
    let store = Store::in_memory().unwrap();
    assert_eq!((store.revision().unwrap(), store.changed_since(0, 10).unwrap()), (0, vec![]));
    let appended = add(&store, &[key("a"), key("b"), key("c")], &plain());
    assert_eq!(appended.first_revision, 1);
    assert_eq!(appended.revisions, [Some(1), Some(2), Some(3)]);
    let ids = appended.ids;
    let (key_a, record) = (key("a"), plain());
    let change = |id, revise| Change { id, key: &key_a, record: &record, summary_hash: 5, revise };
    let new = key("d");
    let changes =
        [change(Some(ids[0]), false), Change { key: &new, ..change(None, false) }, change(Some(ids[1]), true)];
    let listed = |id, listed, revise| Listed { id, listed, summary_hash: 6, revise };
    let listed = [listed(ids[2], false, true), listed(ids[0], false, false), listed(ids[1], true, true)];
    let appended = store.append(&Append { listed: &listed, state: Some("{}"), ..append(&changes) }).unwrap();
    assert_eq!(appended.revisions, [None, Some(4), Some(5)], "a new indicator always has a revision");
    assert_eq!(appended.listed_revisions, [Some(6), None, Some(7)]);
    for (id, is_listed) in [(ids[0], false), (ids[1], true), (ids[2], false)] {
        assert_eq!(store.record(id, ConnectionId(2)).unwrap().unwrap().listed, is_listed);
    }
    assert_eq!(store.bump(&[(ids[0], 1), (ids[0], 2)]).unwrap(), 8);
    assert_eq!(store.add_indicator(&key("e"), 0).unwrap().1, 10);

    let mut seen = Vec::new();
    let mut after = 0;
    loop {
        let bite = store.changed_since(after, 2).unwrap();
        let Some(last) = bite.last() else { break };
        after = last.1;
        seen.extend(bite);
    }
    let order: Vec<u64> = seen.iter().map(|(_, revision)| *revision).collect();
    assert_eq!(order, [4, 6, 7, 9, 10]);
    assert_eq!((after, store.revision().unwrap()), (10, 10));
}

#[test]
fn what_contradicts_the_store_is_refused_whole() {
    let store = Store::in_memory().unwrap();
    let ids = add(&store, &[key("a")], &plain()).ids;
    let (known, new, record) = (key("a"), key("b"), plain());
    let fresh = Change { id: None, key: &new, record: &record, summary_hash: 0, revise: true };
    let unknown = Some(IndicatorId(77));
    for wrong in [
        Change { key: &known, ..fresh },
        Change { id: unknown, ..fresh },
        Change { id: unknown, revise: false, ..fresh },
        fresh,
    ] {
        let result = store.append(&Append { state: Some("moved"), ..append(&[fresh, wrong]) });
        assert!(matches!(result, Err(StoreError::Conflict(_))), "{result:?}");
    }
    let listed = [Listed { id: ids[0], listed: false, summary_hash: 0, revise: true }];
    let other = Append { connection: ConnectionId(3), listed: &listed, ..append(&[]) };
    assert!(matches!(store.append(&other), Err(StoreError::Conflict(_))));
    assert!(matches!(store.bump(&[(ids[0], 0), (IndicatorId(9), 0)]), Err(StoreError::Conflict(_))));
    assert!(store.set_analyst(IndicatorId(9), &Analyst::default(), 0, "x", NOW).is_err());
    assert_eq!((store.counts().unwrap(), store.revision().unwrap()), ((1, 1), 1));
    assert_eq!(store.connection_state(ConnectionId(2)).unwrap(), None);
    assert_eq!(add(&store, &[new], &plain()).ids, [IndicatorId(ids[0].0 + 1)], "no id was lost");
}

/// Tags interned by a transaction that failed are not believed to be stored.
#[test]
fn tags_of_a_failed_append_are_stored_by_the_next() {
    let store = Store::in_memory().unwrap();
    let mut record = plain();
    record.claim.tags = vec!["new".into()];
    let (a, b) = (key("a"), key("b"));
    let change = Change { id: None, key: &a, record: &record, summary_hash: 0, revise: true };
    assert!(store.append(&append(&[change, change])).is_err());
    let id = store.append(&append(&[Change { key: &b, ..change }])).unwrap().ids[0];
    assert_eq!(store.record(id, ConnectionId(2)).unwrap(), Some(record));
}

#[test]
fn ids_are_not_used_again() {
    let store = Store::in_memory().unwrap();
    let ids = add(&store, &[key("a"), key("b")], &plain()).ids;
    store.set_analyst(ids[1], &Analyst { muted: true, ..Analyst::default() }, 0, "ann", NOW).unwrap();
    assert_eq!(store.prune(&[ids[1], IndicatorId(500)], NOW).unwrap(), 1);
    assert_eq!(store.indicator(ids[1]).unwrap(), None);
    assert_eq!(store.record(ids[1], ConnectionId(2)).unwrap(), None);
    store.tidy().unwrap();
    let again = add(&store, &[key("b")], &extreme()).ids;
    assert!(again[0] > ids[1]);
    assert!(store.indicator(again[0]).unwrap().unwrap().analyst.is_empty());
    assert_eq!(store.record(again[0], ConnectionId(2)).unwrap(), Some(extreme()));
}

#[test]
fn a_connections_records_end_together() {
    let store = Store::in_memory().unwrap();
    let ids = add(&store, &[key("a"), key("b")], &plain()).ids;
    let (key, record) = (key("a"), plain());
    let change = Change { id: Some(ids[0]), key: &key, record: &record, summary_hash: 0, revise: false };
    store.append(&Append { connection: ConnectionId(3), ..append(&[change]) }).unwrap();
    let deleted = store.delete_records_of(ConnectionId(2), &[(ids[0], 8), (ids[1], 9)]).unwrap();
    assert_eq!((deleted.n_records, deleted.first_revision), (2, 3));
    assert_eq!(store.record(ids[0], ConnectionId(2)).unwrap(), None);
    assert_eq!(store.record(ids[0], ConnectionId(3)).unwrap(), Some(plain()));
    assert_eq!(store.changed_since(2, 9).unwrap(), [(ids[0], 3), (ids[1], 4)]);
}
