//! A small random world: indicators held whole, the way `intel` sees them, and the index that should say the same.

use index::{Index, Selection, Slot};
use intel::expr::{
    CmpOp, Expr, Field, FlagField, How, NamesField, NumberField, Pattern, Scope, Subject, Test, TextField, Texts,
    TimeField, When,
};
use intel::{
    Analyst, Claim, ConnectionId, DAY, FoldSettings, Indicator, IndicatorId, IndicatorKey, IndicatorKind, Policies,
    Policy, Reconcile, Reputation, Severity, SourceRecord, Summary, Timestamp, Tlp, Verdict, VerdictKind,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// SplitMix64: every seed is a whole test.
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len() as u64) as usize]
    }

    fn some<T>(&mut self, percent: u64, make: impl FnOnce(&mut Rng) -> T) -> Option<T> {
        self.chance(percent).then(|| make(self))
    }
}

const KEYS: &[(IndicatorKind, &str)] = &[
    (IndicatorKind::Domain, "evil.example"),
    (IndicatorKind::Domain, "a.evil.example"),
    (IndicatorKind::Domain, "notevil.example"),
    (IndicatorKind::Url, "http://evil.example/x"),
    (IndicatorKind::Url, "https://a.evil.example:8443/y?q=evil"),
    (IndicatorKind::Url, "http://10.1.2.3:8080/x"),
    (IndicatorKind::Url, "http://[2001:db8::1]/x"),
    (IndicatorKind::Ipv4, "10.1.2.3"),
    (IndicatorKind::Ipv4, "10.1.2.4"),
    (IndicatorKind::Ipv4Net, "10.1.0.0/16"),
    (IndicatorKind::Ipv4Net, "10.1.2.0/24"),
    (IndicatorKind::Ipv6, "2001:db8::1"),
    (IndicatorKind::Ipv6Net, "2001:db8::/32"),
    (IndicatorKind::Email, "x@evil.example"),
    (IndicatorKind::Md5, "0123456789abcdef0123456789abcdef"),
    (IndicatorKind::Filename, "evil.example"),
];
const TAGS: &[&str] = &["apt", "benign", "c2", "test", "Über"];
const COMMENTS: &[&str] = &["seen in the wild", "C2 server", "c2 SERVER", "x"];
const SOURCES: &[&str] = &["manual", "alpha", "beta", "gamma"];
const START: i64 = 1_700_000_000;

pub(crate) fn key(number: usize) -> IndicatorKey {
    match KEYS.get(number) {
        Some((kind, value)) => IndicatorKey::from_stored(*kind, *value),
        None => IndicatorKey::from_stored(IndicatorKind::Domain, format!("n{number}.example")),
    }
}

pub(crate) struct World {
    pub(crate) rng: Rng,
    pub(crate) now: Timestamp,
    pub(crate) policies: Policies,
    pub(crate) settings: FoldSettings,
    pub(crate) indicators: BTreeMap<u32, Indicator>,
    pub(crate) index: Index,
    next_fingerprint: u64,
    pub(crate) revision: u64,
}

/// Times as the index has them.
pub(crate) fn floor(time: Timestamp) -> Timestamp {
    Timestamp::from_secs(time.secs())
}

fn floored(record: &SourceRecord) -> SourceRecord {
    let mut record = record.clone();
    let claim = &mut record.claim;
    for time in [&mut claim.first_seen, &mut claim.last_seen, &mut claim.valid_from, &mut claim.expires_at] {
        *time = time.map(floor);
    }
    record.received = floor(record.received);
    record
}

pub(crate) fn policies(rng: &mut Rng) -> Policies {
    let mut policies = Policies::default();
    for (at, name) in SOURCES.iter().enumerate() {
        if rng.chance(90) {
            let mut policy = Policy::new(*name);
            policy.override_reputation = rng.some(15, |r| Reputation::clamped(r.below(10) as i64 + 1));
            policy.tlp = rng.some(20, |r| *r.pick(Tlp::ALL));
            policy.tags = (0..rng.below(2)).map(|_| (*rng.pick(TAGS)).into()).collect();
            policy.aging = rng.some(80, |r| DAY * (1 + r.below(3) as u32));
            policy.respect_source_expiry = rng.chance(70);
            policy.counts = rng.chance(90);
            policy.complete = rng.chance(50);
            policies.set(ConnectionId(at as u16 + 1), policy);
        }
    }
    policies
}

impl World {
    pub(crate) fn new(seed: u64) -> World {
        let mut rng = Rng(seed);
        let policies = policies(&mut rng);
        let settings = settings(&mut rng);
        let index = Index::new(policies.clone(), settings);
        let now = Timestamp::from_secs(START);
        World { rng, now, policies, settings, indicators: BTreeMap::new(), index, next_fingerprint: 0, revision: 0 }
    }

    pub(crate) fn time(&mut self) -> Timestamp {
        let span = 5 * 24 * 3600;
        let micros = self.now.micros() + (self.rng.below(2 * span) as i64 - span as i64) * 1_000_000;
        // Often on the second and often on that of another: borders are where comparisons go wrong.
        let micros =
            if self.rng.chance(40) { self.now.micros() - self.rng.below(3) as i64 * 1_000_000 } else { micros };
        Timestamp::from_micros(micros + if self.rng.chance(30) { self.rng.below(1_000_000) as i64 } else { 0 })
    }

    pub(crate) fn fingerprint(&mut self) -> u64 {
        self.next_fingerprint += 1;
        self.next_fingerprint.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    pub(crate) fn record(&mut self) -> SourceRecord {
        let mut tags: Vec<Box<str>> = (0..self.rng.below(4)).map(|_| (*self.rng.pick(TAGS)).into()).collect();
        tags.sort_unstable();
        tags.dedup();
        let mut some = |percent| self.rng.chance(percent);
        let (first, last, from, until, many) = (some(50), some(60), some(15), some(25), some(15));
        let claim = Claim {
            reputation: self.rng.some(60, |r| Reputation::clamped(r.below(10) as i64 + 1)),
            confidence: self.rng.some(40, |r| r.below(101) as u8),
            severity: *self.rng.pick(Severity::ALL),
            tlp: self.rng.some(40, |r| *r.pick(Tlp::ALL)),
            tags,
            first_seen: first.then(|| self.time()),
            last_seen: last.then(|| self.time()),
            valid_from: from.then(|| self.time()),
            expires_at: until.then(|| self.time()),
            retracted: self.rng.chance(10),
            comment: self.rng.some(50, |r| (*r.pick(COMMENTS)).into()),
            link: self.rng.some(20, |r| format!("https://example/{}", r.below(3)).into()),
            raw: None,
            internal_hits: self.rng.some(15, |r| r.below(4) as u32).unwrap_or(0),
            external_hits: self.rng.some(15, |r| r.below(4) as u32).unwrap_or(0),
        };
        let n = if many { 3 } else { 1 };
        let mut contents: Vec<u64> = (0..n).map(|_| self.fingerprint()).collect();
        contents.sort_unstable();
        SourceRecord {
            version: self.now,
            claim,
            received: self.time(),
            contents,
            listed: self.rng.chance(85),
            echo: self.rng.chance(10),
            ended: None,
            remote_id: None,
        }
    }

    fn analyst(&mut self) -> Analyst {
        let until = self.rng.chance(50).then(|| self.time());
        let verdict = self.rng.some(60, |r| Verdict {
            kind: *r.pick(&[VerdictKind::Malicious, VerdictKind::FalsePositive, VerdictKind::Safe]),
            until,
        });
        let mut tags = |n| (0..n).map(|_| (*self.rng.pick(TAGS)).to_owned()).collect();
        let (tags_added, tags_removed) = (tags(1), tags(2));
        Analyst { verdict, muted: self.rng.chance(30), tags_added, tags_removed, comment: None }
    }

    /// What the indicator is held to be, by the fold over whole records.
    pub(crate) fn summary(&self, id: u32) -> Summary {
        let mut summary = self.indicators[&id].summary(&self.policies, &self.settings, self.now);
        summary.link = None;
        summary
    }

    pub(crate) fn hash(&self, id: u32) -> u64 {
        self.index.summary_hash(IndicatorId(id))
    }

    /// One random thing happens to both.
    pub(crate) fn step(&mut self) {
        let known: Vec<u32> = self.indicators.keys().copied().collect();
        match self.rng.below(100) {
            0..60 => self.put(),
            60..70 if !known.is_empty() => {
                let id = *self.rng.pick(&known);
                let analyst = if self.rng.chance(20) { Analyst::default() } else { self.analyst() };
                self.revision += 1;
                let hash = self.index.summary_hash_with(IndicatorId(id), &analyst, self.now);
                self.index.set_analyst(IndicatorId(id), analyst.clone(), Some(self.revision), self.now);
                assert_eq!(self.hash(id), hash, "what was announced is what came");
                self.indicators.get_mut(&id).unwrap().analyst = analyst;
            }
            70..80 if !known.is_empty() => self.list(*known.last().unwrap()),
            80..84 if !known.is_empty() => {
                let id = *self.rng.pick(&known);
                self.index.remove(IndicatorId(id));
                self.indicators.remove(&id);
            }
            84..86 => {
                let connection = ConnectionId(self.rng.below(4) as u16 + 1);
                let before: BTreeMap<u32, u64> = known.iter().map(|id| (*id, self.hash(*id))).collect();
                let changed = self.index.remove_records_of(connection, self.now);
                self.indicators.values_mut().for_each(|i| {
                    i.records.remove(&connection);
                });
                assert!(changed.iter().all(|id| self.hash(id.0) != before[&id.0]));
                assert_eq!(self.index.slots_of(connection).count(), 0);
            }
            86..88 => {
                self.policies = policies(&mut self.rng);
                self.settings = settings(&mut self.rng);
                self.index.set_policies(self.policies.clone(), self.settings, self.now);
            }
            88..93 => {
                let connection = ConnectionId(self.rng.below(4) as u16 + 1);
                self.index.believed(connection, self.now);
                if let Some(policy) = self.policies.get_mut(connection) {
                    policy.last_believed = policy.last_believed.max(Some(self.now));
                }
                // What lived on only in the columns is settled by the next advance.
                self.advance();
            }
            _ => {
                let secs = self.rng.below(36 * 3600) as i64;
                self.now =
                    Timestamp::from_micros(self.now.micros() + secs * 1_000_000 + self.rng.below(2) as i64 * 400_000);
                if self.rng.chance(50) {
                    self.advance();
                }
            }
        }
    }

    /// What advance names is what changed, and it leaves nothing behind.
    pub(crate) fn advance(&mut self) {
        let hashes = |w: &World| w.indicators.keys().map(|id| (*id, w.hash(*id))).collect::<Vec<_>>();
        let before = hashes(self);
        let changed = self.index.advance(self.now);
        let after = hashes(self);
        let expect: Vec<IndicatorId> =
            before.iter().zip(&after).filter(|(b, a)| b != a).map(|(b, _)| IndicatorId(b.0)).collect();
        assert_eq!(changed, expect);
        assert_eq!(self.index.advance(self.now), []);
    }

    fn put(&mut self) {
        // Numbers and keys are paired for good, but come in any order.
        let number = self.rng.below(KEYS.len() as u64 + 60) as u32;
        let (id, key) = (number + 1, key(number as usize));
        let connection = ConnectionId(self.rng.below(4) as u16 + 1);
        let record = self.record();
        let known = self.index.id(&key);
        assert_eq!(known.map(|id| id.0), self.indicators.contains_key(&id).then_some(id));
        let (before, now) = (self.hash(id), self.now);
        let changes = self.index.would_change(known, connection, &record, now);
        let hash = self.index.summary_hash_after(known, &key, connection, &record, now);
        self.revision += 1;
        self.index.put(IndicatorId(id), &key, connection, &record, Some(self.revision), now);
        assert_eq!(self.hash(id), hash, "what was announced is what came");
        assert_eq!(changes, hash != before);
        let slot = self.index.slot(IndicatorId(id), connection).unwrap();
        assert_eq!(self.index.slot_owner(slot), (IndicatorId(id), connection));
        for fingerprint in &record.contents {
            assert_eq!(self.index.seen(*fingerprint), Some(slot));
        }
        let indicator = self.indicators.entry(id).or_insert_with(|| Indicator::new(key));
        if let Some(old) = indicator.records.insert(connection, floored(&record)) {
            assert!(old.contents.iter().all(|fingerprint| self.index.seen(*fingerprint).is_none()));
        }
    }

    fn list(&mut self, id: u32) {
        let slots: Vec<(Slot, ConnectionId)> = self.indicators[&id]
            .records
            .keys()
            .map(|connection| (self.index.slot(IndicatorId(id), *connection).unwrap(), *connection))
            .collect();
        for (slot, connection) in slots {
            let (listed, before) = (self.rng.chance(50), self.hash(id));
            let (changes, hash) = self.index.would_change_listed(slot, listed, self.now);
            self.index.set_listed(slot, listed, self.now);
            if self.index.is_listed(slot) != self.indicators[&id].records[&connection].listed {
                assert_eq!((self.hash(id), changes), (hash, hash != before));
            }
            self.indicators.get_mut(&id).unwrap().records.get_mut(&connection).unwrap().listed = listed;
        }
    }

    /// The same indicators, loaded as at a start.
    pub(crate) fn reloaded(&self) -> (Index, Vec<IndicatorId>) {
        let (n, n_records) = (self.index.len(), self.index.n_records());
        let mut index = Index::load_begin(self.policies.clone(), self.settings, n, n_records);
        for (id, indicator) in &self.indicators {
            let id = IndicatorId(*id);
            index.load_indicator(id, &indicator.key, self.index.revision(id), self.index.summary_hash(id));
            for (connection, record) in &indicator.records {
                index.load_record(id, *connection, record);
            }
            index.load_analyst(id, indicator.analyst.clone());
        }
        let changed = index.load_finish(self.now);
        (index, changed)
    }

    pub(crate) fn naive_select(
        &self,
        expr: &Expr,
        active_only: bool,
        shared: &BTreeMap<String, Selection>,
    ) -> Selection {
        let holds = |id: &u32| {
            let indicator = &self.indicators[id];
            let summary = self.summary(*id);
            let views = indicator.views(&self.policies, self.now);
            let shared_with: Vec<String> = shared
                .iter()
                .filter(|(_, held)| held.contains(IndicatorId(*id)))
                .map(|(name, _)| name.clone())
                .collect();
            let subject = Subject {
                key: &indicator.key,
                summary: &summary,
                records: &views,
                shared_with: &shared_with,
                now: self.now,
            };
            (!active_only || summary.folded.active) && expr.eval(&subject)
        };
        self.indicators.keys().filter(|id| holds(id)).map(|id| IndicatorId(*id)).collect()
    }

    pub(crate) fn shared(&mut self) -> BTreeMap<String, Selection> {
        ["edge", "proxy"]
            .into_iter()
            .map(|name| {
                let ids: Vec<u32> = self.indicators.keys().copied().collect();
                (name.to_owned(), ids.into_iter().filter(|_| self.rng.chance(40)).map(IndicatorId).collect())
            })
            .collect()
    }

    pub(crate) fn expr(&mut self, depth: u32, in_record: bool) -> Expr {
        let n = if depth == 0 { 60 } else { 100 };
        match self.rng.below(n) {
            0..2 => Expr::All,
            at @ 2..10 if !in_record => {
                let key = key(self.rng.below(14) as usize);
                if at < 6 { Scope::new(key).map_or(Expr::All, Expr::Under) } else { Expr::Covers(key) }
            }
            2..60 => Expr::Test(self.test(in_record)),
            60..70 => Expr::Not(Box::new(self.expr(depth - 1, in_record))),
            70..80 if !in_record => Expr::Record(Box::new(self.expr(depth - 1, true))),
            at => {
                let parts = (0..2 + self.rng.below(2)).map(|_| self.expr(depth - 1, in_record)).collect();
                if at % 2 == 0 { Expr::And(parts) } else { Expr::Or(parts) }
            }
        }
    }

    fn texts(&mut self, pool: &[&str], ignore_case: bool) -> (Texts, bool) {
        if self.rng.chance(50) {
            let texts = (0..1 + self.rng.below(2)).map(|_| (*self.rng.pick(pool)).into()).collect();
            return (Texts::any_of(texts), self.rng.chance(40));
        }
        let how = *self.rng.pick(How::ALL);
        let text = *self.rng.pick(&["e", "evil", "c2", "^h", "a*", "*x", "."]);
        let text = if how == How::Matches { text.trim_start_matches('*') } else { text };
        (Texts::Like(Pattern::new(how, text, ignore_case).unwrap()), false)
    }

    fn test(&mut self, in_record: bool) -> Test {
        let fields: Vec<Field> = Field::all().filter(|field| !in_record || field.of_record()).collect();
        let field = *self.rng.pick(&fields);
        let negated = self.rng.chance(40);
        if self.rng.chance(12) {
            return Test::IsSet(field);
        }
        match field {
            Field::Kind => {
                let mut kinds: Vec<IndicatorKind> = (0..2).map(|_| key(self.rng.below(16) as usize).kind()).collect();
                kinds.sort_unstable();
                kinds.dedup();
                Test::Kind { kinds, negated }
            }
            Field::Verdict => Test::Verdict {
                verdicts: vec![*self.rng.pick(&[
                    VerdictKind::Malicious,
                    VerdictKind::FalsePositive,
                    VerdictKind::Safe,
                ])],
                negated,
            },
            Field::Text(field) => {
                let values: Vec<&str> = KEYS.iter().map(|key| key.1).collect();
                let (texts, negated) = match field {
                    TextField::Value => self.texts(&values, false),
                    TextField::Comment => self.texts(COMMENTS, true),
                };
                Test::Text { field, texts, negated }
            }
            Field::Names(field) => {
                let (texts, negated) = match field {
                    NamesField::Tag => self.texts(&[TAGS, &["unknown"]].concat(), false),
                    NamesField::Source => self.texts(SOURCES, false),
                    NamesField::SharedWith => self.texts(&["edge", "proxy", "none"], false),
                };
                Test::Names { field, texts, negated }
            }
            Field::Number(field) => {
                let day = DAY.as_micros() as u64;
                let value = |rng: &mut Rng| match field {
                    NumberField::Reputation => rng.below(12) as i64,
                    NumberField::Confidence => rng.below(102) as i64,
                    NumberField::Age => rng.below(4 * day) as i64 - day as i64,
                    _ => rng.below(6) as i64,
                };
                if self.rng.chance(25) {
                    let mut values = vec![value(&mut self.rng), value(&mut self.rng)];
                    values.sort_unstable();
                    return Test::NumberIn { field, values, negated };
                }
                Test::Number { field, op: *self.rng.pick(CmpOp::ALL), value: value(&mut self.rng) }
            }
            Field::Time(field) => {
                let when = match self.rng.below(3) {
                    0 => When::At(self.stated(field)),
                    1 => When::Ago(Duration::from_secs(self.rng.below(4 * 24 * 3600))),
                    _ => When::Ahead(Duration::from_millis(self.rng.below(2 * 24 * 3_600_000))),
                };
                Test::Time { field, op: *self.rng.pick(CmpOp::ALL), when }
            }
            Field::Flag(field) => {
                let field = if self.rng.chance(50) { field } else { *self.rng.pick(FlagField::ALL) };
                Test::Flag { field, is: self.rng.chance(60) }
            }
        }
    }

    /// A time that some indicator has, so that `=` is asked of something.
    fn stated(&mut self, field: TimeField) -> Timestamp {
        let ids: Vec<u32> = self.indicators.keys().copied().collect();
        if ids.is_empty() || self.rng.chance(20) {
            return self.time();
        }
        let id = *self.rng.pick(&ids);
        let folded = self.summary(id).folded;
        let time = match field {
            TimeField::FirstSeen => folded.first_seen,
            TimeField::LastSeen => folded.last_seen,
            TimeField::ExpiresAt => folded.expires_at,
        };
        time.unwrap_or(self.now)
    }
}

fn settings(rng: &mut Rng) -> FoldSettings {
    FoldSettings {
        reconcile: *rng.pick(&[Reconcile::HighestReputation, Reconcile::Latest, Reconcile::First]),
        default_tlp: *rng.pick(&[Tlp::Green, Tlp::Amber]),
    }
}
