//! What people do: add values, judge them, search. Every act is in the audit log.

use crate::error::EngineError;
use crate::pull::{PullReport, Staged, count, sample};
use crate::state::{TargetState, VerdictTimes};
use crate::{Engine, Known};
use index::{NotShared, Page, PageCursor, Scope, Selection, SharedWith, Sort};
use intel::expr::Expr;
use intel::{
    Analyst, ConnectionId, IndicatorId, IndicatorKey, IndicatorKind, Observation, Timestamp, Tlp, Verdict, VerdictKind,
};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// A value somebody adds by hand.
#[derive(Debug, Clone, Default)]
pub struct NewIndicator {
    /// As written.
    pub value: String,
    /// None lets the value speak.
    pub kind: Option<IndicatorKind>,
    /// 1 to 10.
    pub reputation: Option<i64>,
    /// The marking.
    pub tlp: Option<Tlp>,
    /// Labels.
    pub tags: Vec<String>,
    /// Free text.
    pub comment: Option<String>,
    /// When it stops counting; None: never.
    pub expires_at: Option<Timestamp>,
}

/// What became of values that were added by hand.
#[derive(Debug)]
pub struct Added {
    /// The counts: `read = new + changed + unchanged + rejected`.
    pub report: PullReport,
    /// What each was read as, in order, or why it was not taken.
    pub keys: Vec<Result<IndicatorKey, String>>,
}

/// One indicator as found by a search.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Hit {
    /// What sort of thing.
    pub kind: String,
    /// The canonical value.
    pub value: String,
    /// 1 to 10.
    pub reputation: u8,
    /// `unknown` to `critical`.
    pub severity: String,
    /// 0 to 100.
    pub confidence: Option<u8>,
    /// The marking.
    pub tlp: String,
    /// Connections with an active record.
    pub sources: Vec<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// Other exchanges it has passed through.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hops: Vec<String>,
    /// RFC 3339.
    pub first_seen: Option<String>,
    /// RFC 3339.
    pub last_seen: Option<String>,
    /// RFC 3339; None: never.
    pub expires_at: Option<String>,
    /// Whether it counts.
    pub active: bool,
    /// The verdict that stands.
    pub verdict: Option<String>,
    /// What the guard says of it, where it says anything: `stopped: …` or `flagged: …`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guard: Option<String>,
    /// Muted by an analyst.
    pub muted: bool,
    /// The leading record's comment.
    pub comment: Option<String>,
    /// Own sightings.
    pub internal_hits: u32,
    /// Others' sightings.
    pub external_hits: u32,
    /// Counts changes.
    pub revision: u64,
}

/// Most verdicts whose way is timed at once.
const TIMED: usize = 100_000;

/// Which targets hold an indicator, for searches by `shared_with`.
pub(crate) struct Shared(BTreeMap<String, Selection>);

impl Shared {
    fn of(engine: &Engine, known: &Known, expr: &Expr) -> Shared {
        let mut by_name = BTreeMap::new();
        if expr.to_string().contains("shared_with") {
            for (id, target) in &engine.config().targets {
                if let Some(ledger) = known.ledgers.get(id) {
                    by_name.insert(target.doc.name.clone(), ledger.present().clone());
                }
            }
        }
        Shared(by_name)
    }
}

impl SharedWith for Shared {
    fn each(&self, visit: &mut dyn FnMut(&str, &Selection)) {
        for (name, selection) in &self.0 {
            visit(name, selection);
        }
    }
}

impl Engine {
    /// Reads a search expression; the empty one finds everything.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] with position, what was expected and a suggestion.
    pub fn parse_search(&self, text: &str) -> Result<Expr, EngineError> {
        Expr::parse(text).map_err(|error| EngineError::Invalid(error.to_string()))
    }

    pub(crate) fn select(&self, known: &Known, expr: &Expr, all: bool, now: Timestamp) -> Selection {
        let scope = if all { Scope::All } else { Scope::Active };
        let shared = Shared::of(self, known, expr);
        if shared.0.is_empty() {
            known.index.select(expr, scope, now, &NotShared)
        } else {
            known.index.select(expr, scope, now, &shared)
        }
    }

    /// How many indicators match; `all`: inactive ones too.
    ///
    /// # Errors
    /// An expression that cannot be read, or a failing store.
    pub fn count(&self, text: &str, all: bool) -> Result<u64, EngineError> {
        let expr = self.parse_search(text)?;
        self.advance()?;
        let now = self.world.now();
        let known = self.known();
        Ok(self.select(&known, &expr, all, now).count() as u64)
    }

    /// A page of the indicators that match.
    ///
    /// # Errors
    /// An expression that cannot be read, or a failing store.
    pub fn find(
        &self,
        text: &str,
        all: bool,
        sort: Sort,
        after: Option<&PageCursor>,
        limit: usize,
    ) -> Result<(Vec<Hit>, Option<PageCursor>), EngineError> {
        let (hits, next, _) = self.find_counted(text, all, sort, after, limit)?;
        Ok((hits, next))
    }

    /// The same with how many match in all, at the same moment.
    ///
    /// # Errors
    /// As [`Engine::find`].
    pub fn find_counted(
        &self,
        text: &str,
        all: bool,
        sort: Sort,
        after: Option<&PageCursor>,
        limit: usize,
    ) -> Result<(Vec<Hit>, Option<PageCursor>, u64), EngineError> {
        let expr = self.parse_search(text)?;
        self.advance()?;
        let now = self.world.now();
        let known = self.known();
        let selection = self.select(&known, &expr, all, now);
        let Page { ids, next } = known.index.page(&selection, sort, after, limit);
        let count = selection.count() as u64;
        Ok((ids.into_iter().map(|id| hit(&known, id, now)).collect(), next, count))
    }

    /// One indicator by any spelling of its value.
    pub fn get(&self, value: &str, kind: Option<IndicatorKind>) -> Option<Hit> {
        let now = self.world.now();
        let known = self.known();
        let id = find_key(&known, value, kind).ok().and_then(|(_, id)| id)?;
        Some(hit(&known, id, now))
    }

    /// Adds values by hand: records of `manual`. One result a value, in order; a value that is no indicator is
    /// answered with its reason and the others go on.
    ///
    /// # Errors
    /// A failing store.
    pub fn add(&self, values: &[NewIndicator], who: &str) -> Result<Vec<Result<Hit, String>>, EngineError> {
        let observation = |new: &NewIndicator| {
            let mut observation = Observation::new(new.value.clone());
            observation.kind = new.kind;
            observation.reputation = new.reputation;
            observation.tlp = new.tlp;
            observation.tags.clone_from(&new.tags);
            observation.comment.clone_from(&new.comment);
            observation.expires_at = new.expires_at;
            observation
        };
        let now = self.world.now();
        let added = self.add_observations(values.iter().map(observation).collect(), who)?;
        let known = self.known();
        let answer = |key: IndicatorKey| match known.index.id(&key) {
            Some(id) => Ok(hit(&known, id, now)),
            None => Err(format!("{} was not stored", key.value())),
        };
        Ok(added.keys.into_iter().map(|key| key.and_then(answer)).collect())
    }

    /// The same with everything a row can say, and with the counts of it. All rows are of this moment.
    ///
    /// # Errors
    /// A failing store.
    pub fn add_observations(&self, rows: Vec<Observation>, who: &str) -> Result<Added, EngineError> {
        let config = self.config();
        let manual = config.connections.get(&ConnectionId::MANUAL).ok_or_else(|| self.no_connection("manual"))?;
        let one_pull = self.pull_lock(ConnectionId::MANUAL);
        let _one_pull = crate::unpoison(one_pull.lock());
        let now = self.world.now();
        let run = self.store.run_start("add", "manual", now)?;
        let mut report = PullReport::new("manual", run);
        let mut scratch = Vec::new();
        let mut staged: Vec<Staged> = Vec::new();
        let mut places: HashMap<IndicatorKey, usize> = HashMap::new();
        let mut keys = Vec::with_capacity(rows.len());
        for mut observation in rows {
            observation.modified = Some(now);
            report.read += 1;
            let row = match observation.normalise(now) {
                Ok(row) => row,
                Err(rejection) => {
                    report.rejected += 1;
                    count(&mut report.rejected_by, rejection.reason.as_str(), 1);
                    sample(&mut report.samples, &rejection.to_string());
                    keys.push(Err(rejection.to_string()));
                    continue;
                }
            };
            let fingerprint = row.fingerprint(ConnectionId::MANUAL, &mut scratch);
            keys.push(Ok(row.key.clone()));
            match places.get(&row.key) {
                Some(at) => {
                    report.unchanged += 1;
                    staged[*at].more.push((row, fingerprint));
                }
                None => {
                    places.insert(row.key.clone(), staged.len());
                    staged.push(Staged { row, fingerprint, more: Vec::new() });
                }
            }
        }
        self.fold_in(manual, run, now, &staged, None, None, &mut report)?;
        report.status = "success".to_owned();
        let added: Vec<&str> = staged.iter().take(100).map(|s| s.row.key.value()).collect();
        let detail = serde_json::json!({ "run": run.0, "n": staged.len(), "values": added }).to_string();
        self.store.audit(who, "indicator.add", "manual", &detail, now)?;
        self.finish_run(run, "success", &report)?;
        Ok(Added { report, keys })
    }

    /// Sets or (None) clears the verdict on a value. A value nobody knows yet is known from then on.
    ///
    /// # Errors
    /// A value that is no indicator, a `false_positive` without an end, or a failing store.
    pub fn verdict(
        &self,
        value: &str,
        kind: Option<IndicatorKind>,
        verdict: Option<Verdict>,
        who: &str,
    ) -> Result<Hit, EngineError> {
        let now = self.world.now();
        if let Some(Verdict { kind: VerdictKind::FalsePositive, until }) = verdict
            && until.is_none_or(|until| until <= now)
        {
            return Err(EngineError::Invalid(
                "a false_positive needs an end date that lies ahead (--until 2027-01-31, or --days 90); for good, say safe".into(),
            ));
        }
        let hit = self.annotate(value, kind, who, |analyst| analyst.verdict = verdict)?;
        let (_, id) = find_key(&self.known(), &hit.value, IndicatorKind::from_name(&hit.kind))?;
        if let Some(id) = id {
            let mut timed = crate::unpoison(self.verdicts.lock());
            time_verdict(&mut timed, id, verdict, now);
        }
        Ok(hit)
    }

    /// Notes how long verdicts took to have an effect at a target: from the verdict to the destination's yes.
    pub(crate) fn time_verdicts(&self, taken_back: impl IntoIterator<Item = IndicatorId>, state: &mut TargetState) {
        let now = self.world.now();
        let given = crate::unpoison(self.verdicts.lock());
        let waits: Vec<u64> = taken_back
            .into_iter()
            .filter_map(|id| given.get(&id))
            .map(|at| u64::try_from(now.since(*at).as_millis()).unwrap_or(u64::MAX))
            .collect();
        if let Some(slowest) = waits.iter().max() {
            let n = waits.len() as u64;
            state.verdicts = Some(VerdictTimes { at: now.micros(), n, slowest_ms: *slowest });
        }
    }

    /// Changes what analysts say about a value: mute, tags, comment.
    ///
    /// # Errors
    /// A value that is no indicator, or a failing store.
    pub fn annotate(
        &self,
        value: &str,
        kind: Option<IndicatorKind>,
        who: &str,
        change: impl FnOnce(&mut Analyst),
    ) -> Result<Hit, EngineError> {
        let _one_writer = self.ingest_lock();
        let now = self.world.now();
        let (key, id) = find_key(&self.known(), value, kind)?;
        let id = match id {
            Some(id) => id,
            None => {
                let (id, revision) = self.store.add_indicator(&key, 0)?;
                self.known_mut().index.add_bare(id, &key, revision, now);
                id
            }
        };
        let mut analyst = self.known().index.analyst(id).cloned().unwrap_or_default();
        change(&mut analyst);
        let after = self.known_mut().index.summary_hash_with(id, &analyst, now);
        let revision = self.store.set_analyst(id, &analyst, after, who, now)?;
        let hit = {
            let mut known = self.known_mut();
            known.index.set_analyst(id, analyst, Some(revision), now);
            hit(&known, id, now)
        };
        self.published();
        Ok(hit)
    }
}

/// Notes that a verdict that takes something back was given, or that it no longer stands.
pub(crate) fn time_verdict(
    timed: &mut BTreeMap<IndicatorId, Timestamp>,
    id: IndicatorId,
    verdict: Option<Verdict>,
    now: Timestamp,
) {
    match verdict {
        Some(Verdict { kind: VerdictKind::FalsePositive | VerdictKind::Safe, .. }) if timed.len() < TIMED => {
            timed.insert(id, now);
        }
        _ => {
            timed.remove(&id);
        }
    }
}

/// The key of a value, and its number where it is known.
pub(crate) fn find_key(
    known: &Known,
    value: &str,
    kind: Option<IndicatorKind>,
) -> Result<(IndicatorKey, Option<IndicatorId>), EngineError> {
    let key = IndicatorKey::parse(kind, value).map_err(|rejection| EngineError::Invalid(rejection.to_string()))?;
    let id = known.index.id(&key);
    Ok((key, id))
}

/// A row of a search.
pub(crate) fn hit(known: &Known, id: IndicatorId, now: Timestamp) -> Hit {
    let (kind, value) = known.index.key_ref(id);
    let summary = known.index.summary(id, now);
    let folded = &summary.folded;
    let time = |t: Option<Timestamp>| t.map(|t| t.to_string());
    let (tags, hops) = intel::echo::split_hops(summary.tags.into_iter().collect());
    Hit {
        kind: kind.as_str().to_owned(),
        value: value.to_owned(),
        reputation: folded.reputation.get(),
        severity: folded.severity.as_str().to_owned(),
        confidence: folded.confidence,
        tlp: folded.tlp.as_str().to_owned(),
        first_seen: time(folded.first_seen),
        last_seen: time(folded.last_seen),
        expires_at: time(folded.expires_at),
        active: folded.active,
        internal_hits: folded.internal_hits,
        external_hits: folded.external_hits,
        sources: summary.sources.into_iter().collect(),
        tags,
        hops,
        verdict: summary.verdict.map(|v| v.as_str().to_owned()),
        guard: crate::guards::word(known, id),
        muted: summary.muted,
        comment: summary.comment.map(Into::into),
        revision: known.index.revision(id),
    }
}
