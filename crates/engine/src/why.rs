//! "Why is it there, why is it not?": the whole chain for one value, at every target.

use crate::config::Target;
use crate::desk::{Hit, find_key, hit};
use crate::error::EngineError;
use crate::freeze::FreezeShown;
use crate::share::{BudgetUse, Collected, HeldPlan, Mode, Under, collect, collect_few, rank_of, view_of, wanted_of};
use crate::state::{ConnectionState, TargetState};
use crate::{Config, Engine, Known};
use index::RecordRow;
use intel::expr::{Explanation, Subject};
use intel::sharing::{LineState, Step, Wanted, Why, decide};
use intel::{
    ConnectionId, Indicator, IndicatorId, IndicatorKey, IndicatorKind, Policy, RunId, Severity, TargetId, Timestamp,
    VerdictKind,
};
use kit::manifest::Render;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

mod people;
mod words;

pub use people::{WhyException, WhyPin};
use words::{minute, sentence};

/// Entries there is no room for at a target, and why.
pub(crate) type Cut = Arc<HashMap<u32, Why>>;

/// What a cut was computed from: while it stays, so does the cut. A minute old at most.
pub(crate) type CutKey = (usize, u64, usize, usize, i64);

/// Everything there is to say about one value.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct WhyReport {
    /// What was asked.
    pub asked: String,
    /// The canonical kind.
    pub kind: String,
    /// The canonical value.
    pub value: String,
    /// Whether anybody has ever said anything about it.
    pub known: bool,
    /// The answer in one sentence, without the value.
    pub answer: String,
    /// What it is held to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub indicator: Option<Hit>,
    /// Where each of that comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fold: Option<WhyFold>,
    /// Whether it counts at all, and why.
    pub activity: WhyActivity,
    /// What each source says.
    pub records: Vec<WhyRecord>,
    /// The guard's word, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guard: Option<String>,
    /// Suspect runs that wait and may hold a row of it.
    pub notes: Vec<String>,
    /// Who stopped every call to a destination, where they are stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frozen: Option<FreezeShown>,
    /// The answer at each target.
    pub targets: Vec<WhyTarget>,
}

/// Which source each part of the summary comes from. `default`: nobody said it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct WhyFold {
    /// The record that leads: its comment and link are shown first.
    pub leading: Option<String>,
    /// Who gives the reputation: the greatest counts.
    pub reputation: String,
    /// Who gives the severity: the greatest counts.
    pub severity: String,
    /// Who gives the marking: the most restrictive counts.
    pub tlp: String,
    /// Who gives the end: the latest counts.
    pub expires_at: String,
}

/// Whether an indicator counts.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct WhyActivity {
    /// Whether it does.
    pub active: bool,
    /// `record`, `verdict_malicious`, `verdict_false_positive`, `verdict_safe`, `expired`, `retracted`, `unlisted`, `echo`,
    /// `disabled`, `not_valid_yet` or `unknown`.
    pub code: String,
    /// The same as a sentence.
    pub why: String,
    /// When the verdict ends. RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict_until: Option<String>,
}

/// One source's record.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct WhyRecord {
    /// Which connection.
    pub source: String,
    /// Whether it counts.
    pub active: bool,
    /// Why it does not, where it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// `active`, `echo`, `retracted`, `unlisted`, `disabled`, `not_valid_yet` or `expired`.
    pub code: String,
    /// The rollback of the source that ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_by_run: Option<u64>,
    /// When this source first gave it to us. RFC 3339.
    pub received: String,
    /// As stated.
    pub tlp: Option<String>,
    /// As stated.
    pub reputation: Option<u8>,
    /// As stated.
    pub severity: String,
    /// As stated.
    pub tags: Vec<String>,
    /// As stated.
    pub last_seen: Option<String>,
    /// When it stops counting.
    pub expires_at: Option<String>,
    /// As stated.
    pub comment: Option<String>,
}

/// The answer at one target.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct WhyTarget {
    /// Which target.
    pub target: String,
    /// Whether the ledger says it is there.
    pub present: bool,
    /// The ledger's state, where there is a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Whether it should be there.
    pub wanted: bool,
    /// What the next pass would do, before the budget.
    pub step: String,
    /// Why, in one sentence.
    pub why: String,
    /// The stable code of that reason.
    pub code: String,
    /// The answer in one sentence.
    pub answer: String,
    /// The ledger's line, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<WhyLine>,
    /// The guard's word at this target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guard: Option<WhyGuard>,
    /// Its place among all that want one, where the target has a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<WhyRank>,
    /// The plan that waits with a step for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<WhyPlan>,
    /// What a person undid about it here, which holds until somebody lifts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pin: Option<WhyPin>,
    /// Values that are one entry with it here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub together_with: Vec<String>,
    /// No call to this destination begins.
    pub frozen: bool,
    /// That is because the exchange was restored from a backup, and nobody has adopted what is there.
    pub restored: bool,
    /// Passes over the target that failed in a row.
    pub failures: u32,
    /// The indicator whose ledger line it is.
    #[serde(skip)]
    #[schemars(skip)]
    entry: Option<IndicatorId>,
    /// The destination's last words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub words: Option<String>,
    /// Each sharing that feeds the target, and what it says.
    pub sharings: Vec<WhySharing>,
}

/// A line of a ledger.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct WhyLine {
    /// `pending`, `unknown`, `present`, `refused`, `retracting`, `foreign`, `released` or `gone`.
    pub state: String,
    /// The text the target stores, where that is not the value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    /// When it was first meant to be there. RFC 3339.
    pub first_intent: String,
    /// When the line was last written. RFC 3339.
    pub updated: String,
    /// The run that last touched it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<u64>,
    /// The id the target gave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_id: Option<String>,
    /// Failed attempts in a row.
    pub attempts: u32,
    /// Not tried again before this. RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_try: Option<String>,
    /// When the target drops it by itself. RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_expires: Option<String>,
}

/// The guard's word on a value at a target.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct WhyGuard {
    /// Whether it is stopped; else it is only flagged.
    pub stops: bool,
    /// Whether an exception lets it through here.
    pub excepted: bool,
    /// That exception.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exception: Option<WhyException>,
    /// Which list.
    pub list: String,
    /// `lifeline`, `popular` or `warn`.
    pub class: String,
    /// The guarded value it met.
    pub value: String,
    /// How it stands to that: `equal`, `contains` or `contained`.
    pub relation: String,
}

/// A place by rank.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct WhyRank {
    /// From 1, the best.
    pub position: u64,
    /// How many want a place.
    pub of: u64,
    /// How many the target takes.
    pub limit: u64,
}

/// A plan that waits for a person.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct WhyPlan {
    /// Its number.
    pub id: u64,
    /// Since when it waits. RFC 3339.
    pub since: String,
    /// What it would do to this entry.
    pub verb: String,
    /// Why it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits: Option<String>,
    /// How much of the change budget of the target is spent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetUse>,
}

/// What one sharing says.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct WhySharing {
    /// A connection, or `any`.
    pub source: String,
    /// Its rule.
    pub rule: String,
    /// Whether that source has an active record.
    pub source_holds: bool,
    /// Whether the rule's expression selects.
    pub selects: bool,
    /// Which exception removes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exception: Option<String>,
    /// Whether its marking passes the ceiling.
    pub tlp_passes: bool,
    /// The most restrictive marking it sends.
    pub max_tlp: String,
    /// What decided: `selected`, `source`, `rule`, `exception`, `tlp` or `muted`.
    pub decided: String,
    /// Whether the sharing is paused or its rule muted.
    pub muted: bool,
    /// The rule, clause by clause.
    pub clauses: Vec<String>,
}

impl Engine {
    /// Explains one value, in any spelling.
    ///
    /// # Errors
    /// A value that is no indicator, or a failing store.
    pub fn why(&self, value: &str, kind: Option<IndicatorKind>) -> Result<WhyReport, EngineError> {
        self.advance()?;
        let now = self.world.now();
        let config = self.config();
        // Before the index is held for reading: planning reads it too, and a writer may wait in between.
        let cuts = self.cuts(&config, now)?;
        let (frozen, waiting) = (self.is_frozen()?, self.plans(Some("waiting"))?);
        let frozen_by = self.frozen_by()?;
        let known = self.known();
        let (key, id) = find_key(&known, value, kind)?;
        let mut report = WhyReport {
            asked: value.to_owned(),
            kind: key.kind().as_str().to_owned(),
            value: key.value().to_owned(),
            known: id.is_some(),
            answer: String::new(),
            indicator: None,
            fold: None,
            activity: WhyActivity {
                code: "unknown".to_owned(),
                why: "nobody has said anything about it".to_owned(),
                ..WhyActivity::default()
            },
            records: Vec::new(),
            guard: known.guard.look_up(&key).map(|hit| crate::guards::say(&hit)),
            notes: self.suspect_notes(&config, &key, id)?,
            frozen: frozen_by,
            targets: Vec::new(),
        };
        let Some(id) = id else {
            let waits = !report.notes.is_empty();
            for target in config.targets.values() {
                report.targets.push(unknown_at(target, waits, frozen, self.must_reconcile(target.id)?));
            }
            report.answer = match waits {
                true => "It is nowhere: what is said of it came in a run that waits for a person.".to_owned(),
                false => "It is nowhere: nobody has said anything about it.".to_owned(),
            };
            return Ok(report);
        };
        report.indicator = Some(hit(&known, id, now));
        for row in known.index.records(id, now) {
            let connection = row.connection;
            let mut record = self.record(&config, &known, row, now);
            if record.code == "retracted"
                && let Some((run, words)) = self.ended_by(id, connection)?
            {
                (record.ended_by_run, record.why) = (Some(run), Some(words));
            }
            report.records.push(record);
        }
        let indicator = self.store.indicator(id)?.unwrap_or_else(|| Indicator::new(key));
        report.fold = Some(folded(&config, &known, &indicator, now));
        report.activity = activity(&known, id, &report.records, now);
        drop(known);
        for target in config.targets.values() {
            let known = self.known();
            let mut answer = self.at_target(&config, &known, target, id, &indicator, now);
            if let Some(why) = cuts.get(&target.id).and_then(|cuts| cuts.get(&id.0)) {
                answer.step = if answer.present { Step::Retract } else { Step::Skip(why.clone()) }.as_str().to_owned();
                answer.why = why.to_string();
                why.as_str().clone_into(&mut answer.code);
                answer.wanted = false;
            }
            drop(known);
            answer.restored = self.must_reconcile(target.id)?;
            answer.frozen = frozen || answer.restored;
            if let Some(line) = &mut answer.line {
                line.run = self.store.line(target.id, answer.entry.unwrap_or(id))?.map(|row| row.run.0);
            }
            let state = TargetState::parse(self.store.target_state(target.id)?.as_deref());
            answer.failures = state.failures;
            if let Some(plan) = waiting.iter().find(|plan| plan.target == target.doc.name) {
                answer.plan = self.waits_in(plan, &report.value, &answer)?;
            }
            answer.answer = sentence(&answer, &report.records);
            report.targets.push(answer);
        }
        let n = report.targets.iter().filter(|target| target.present).count();
        report.answer = match (report.targets.len(), n) {
            (0, _) => "No target is configured.".to_owned(),
            (1, _) => report.targets[0].answer.clone(),
            (of, 0) => format!("It is at none of {of} targets."),
            (of, n) if of == n => format!("It is at all {of} targets."),
            (of, n) => format!("It is at {n} of {of} targets."),
        };
        Ok(report)
    }

    /// The step of a waiting plan for this entry.
    fn waits_in(&self, plan: &HeldPlan, value: &str, at: &WhyTarget) -> Result<Option<WhyPlan>, EngineError> {
        let texts: Vec<&str> = std::iter::once(value)
            .chain(at.line.as_ref().and_then(|line| line.entry.as_deref()))
            .chain(at.together_with.iter().map(String::as_str))
            .collect();
        let heads = self.plan_board()?;
        let Some(head) = heads.iter().find(|head| head.id.0 == plan.id) else { return Ok(None) };
        let Some(digest) = self.plan_digest(head)? else { return Ok(None) };
        Ok(digest.step_of(&texts).map(|(verb, waits)| WhyPlan {
            id: plan.id,
            since: plan.created.clone(),
            verb: verb.to_owned(),
            waits,
            budget: plan.budget,
        }))
    }

    /// What each target with a limit has no room for: only a whole plan knows who else competes.
    ///
    /// A plan over a million indicators takes its time, so the last one is kept while nothing it rests on has changed.
    fn cuts(&self, config: &Arc<Config>, now: Timestamp) -> Result<BTreeMap<TargetId, Cut>, EngineError> {
        let mut cuts = BTreeMap::new();
        for target in config.targets.values() {
            if target.int_param("capacity").or(target.action.capacity).or(target.int_param("max_bytes")).is_none() {
                continue;
            }
            let key: CutKey = {
                let known = self.known();
                let ledger = known.ledgers.get(&target.id);
                let (lines, present) = ledger.map_or((0, 0), |ledger| (ledger.len(), ledger.present().count()));
                (Arc::as_ptr(config) as usize, known.index.max_revision(), lines, present, now.secs() / 60)
            };
            let kept = crate::unpoison(self.cuts.lock()).get(&target.id).filter(|(at, _)| *at == key).cloned();
            if let Some((_, cut)) = kept {
                cuts.insert(target.id, cut);
                continue;
            }
            let state = TargetState::parse(self.store.target_state(target.id)?.as_deref());
            let plan = self.plan_under(config, target, &state, Mode::default(), now, Under::NoChange)?.restrained;
            let skipped = plan.skipped.into_iter();
            let displaced = plan.now.into_iter().chain(plan.held).filter_map(|step| Some((step.entry, step.reason?)));
            let over = skipped.chain(displaced).filter(|(_, why)| why.as_str() == "over_capacity");
            let cut: Cut = Arc::new(over.collect());
            crate::unpoison(self.cuts.lock()).insert(target.id, (key, cut.clone()));
            cuts.insert(target.id, cut);
        }
        Ok(cuts)
    }

    /// Suspect runs that hold a row of this key, or that no longer listed it.
    fn suspect_notes(
        &self,
        config: &Config,
        key: &IndicatorKey,
        id: Option<IndicatorId>,
    ) -> Result<Vec<String>, EngineError> {
        let mut notes = Vec::new();
        for connection in config.connections.values() {
            let state = ConnectionState::parse(self.store.connection_state(connection.id)?.as_deref());
            let Some(suspect) = state.suspect else { continue };
            let missing = id.is_some_and(|id| suspect.missing.contains(&id.0));
            let what = if self.store.staged(RunId(suspect.run))?.iter().any(|(row, _)| row.key == *key) {
                "its row in that run counts for nothing until it is approved"
            } else if missing {
                "that run no longer listed it; nothing is taken back unless it is approved"
            } else {
                continue;
            };
            notes.push(format!(
                "run {} of {} is suspect and waits ({}): {what}",
                suspect.run, connection.doc.name, suspect.why
            ));
        }
        Ok(notes)
    }

    fn record(&self, config: &Config, known: &Known, row: RecordRow, now: Timestamp) -> WhyRecord {
        let source = config
            .connections
            .get(&row.connection)
            .map_or_else(|| format!("#{}", row.connection), |c| c.doc.name.clone());
        let facts = &row.facts;
        let (code, words) = silent_because(known, &row, now);
        WhyRecord {
            source,
            active: row.active,
            why: (!row.active).then(|| words.to_owned()),
            code: if row.active { "active" } else { code }.to_owned(),
            ended_by_run: None,
            received: facts.received.to_string(),
            tlp: facts.tlp.map(|tlp| tlp.as_str().to_owned()),
            reputation: facts.reputation.map(intel::Reputation::get),
            severity: facts.severity.as_str().to_owned(),
            tags: row.tags,
            last_seen: facts.last_seen.map(|t| t.to_string()),
            expires_at: row.expires.map(|t| t.to_string()),
            comment: row.comment,
        }
    }

    fn at_target(
        &self,
        config: &Config,
        known: &Known,
        target: &Target,
        id: IndicatorId,
        indicator: &Indicator,
        now: Timestamp,
    ) -> WhyTarget {
        let together = together_with(known, target, id);
        let few: Vec<IndicatorId> = std::iter::once(id).chain(together.iter().copied()).collect();
        let collected = collect_few(known, config, target, &self.key_cache, now, &few);
        debug_assert!(
            collected.agrees(&collect(known, config, target, &self.key_cache, now), &few),
            "what is said of one is what a pass says of it"
        );
        let wanted = std::iter::once(id)
            .chain(together.iter().copied())
            .map(|id| wanted_of(known, &collected, target, id, now))
            .reduce(Wanted::join)
            .unwrap_or(Wanted::No(Why::NotSelected));
        let entry = known.ledgers.get(&target.id).and_then(|ledger| ledger.find(known, id));
        let line = entry.as_ref().map(|e| e.line);
        let fingerprint = line.map_or(0, |l| l.fingerprint);
        let step = decide(&view_of(target), &wanted, line.as_ref(), fingerprint, None, now);
        let (why, code) = match (&wanted, &step) {
            (_, Step::Skip(why)) => (why.to_string(), why.as_str()),
            (Wanted::No(why) | Wanted::Held(why), _) => (why.to_string(), why.as_str()),
            (Wanted::Yes(_), Step::Leave) => ("wanted, and there".to_owned(), "present"),
            (Wanted::Yes(_), Step::Push) => ("wanted, and goes with the next pass that may push".to_owned(), "to_push"),
            (Wanted::Yes(_), _) => ("wanted; its line is being settled".to_owned(), "settling"),
        };
        let summary = indicator.summary(known.index.policies(), &config.fold, now);
        let views = indicator.views(known.index.policies(), now);
        let subject = Subject { key: &indicator.key, summary: &summary, records: &views, shared_with: &[], now };
        let sharings = target
            .sharings
            .iter()
            .map(|sharing| {
                let judged = sharing.rule.judge(&subject);
                let tlp_passes = summary.folded.tlp <= sharing.max_tlp;
                let muted = sharing.rule.muted || sharing.doc.paused;
                let source_holds = match sharing.source {
                    None => summary.folded.active,
                    Some(source) => known.index.is_active_from(id, source),
                };
                let decided = match () {
                    () if !source_holds => "source",
                    () if !judged.selects => "rule",
                    () if judged.excepted.is_some() => "exception",
                    () if !tlp_passes => "tlp",
                    () if muted => "muted",
                    () => "selected",
                };
                WhySharing {
                    max_tlp: sharing.max_tlp.as_str().to_owned(),
                    decided: decided.to_owned(),
                    source: sharing.doc.source.clone(),
                    rule: sharing.rule.name.clone(),
                    source_holds,
                    selects: judged.selects,
                    exception: judged.excepted.map(|e| e.to_string()),
                    tlp_passes,
                    muted,
                    clauses: clauses(&sharing.rule.when.explain(&subject)),
                }
            })
            .collect();
        let limit = match (target.int_param("capacity"), target.action.capacity) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let rank = match (&wanted, limit) {
            // Only all of them say where one stands.
            (Wanted::Yes(_), Some(limit)) => {
                let all = collect(known, config, target, &self.key_cache, now);
                Some(place(known, &all, target, id, limit))
            }
            _ => None,
        };
        let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
        WhyTarget {
            answer: String::new(),
            line: entry.as_ref().map(|entry| WhyLine {
                state: entry.line.state.as_str().to_owned(),
                entry: entry.entry.as_deref().map(str::to_owned),
                first_intent: entry.first_intent.to_string(),
                updated: entry.updated.to_string(),
                run: None,
                remote_id: entry.remote_id.as_deref().map(str::to_owned),
                attempts: entry.line.attempts,
                next_try: time(entry.line.next_try),
                remote_expires: time(entry.line.remote_expires),
            }),
            entry: entry.as_ref().map(|entry| entry.id),
            guard: known.guard.check(&indicator.key, target.id, now).map(|hit| WhyGuard {
                stops: hit.stop,
                excepted: hit.excepted,
                exception: if hit.excepted { people::exception_of(config, target, &indicator.key) } else { None },
                list: hit.list.to_string(),
                class: hit.class.as_str().to_owned(),
                value: hit.value.to_string(),
                relation: hit.relation.as_str().to_owned(),
            }),
            rank,
            plan: None,
            pin: people::pin_of(known, target, id),
            together_with: together.iter().map(|id| known.index.key_ref(*id).1.to_owned()).collect(),
            frozen: false,
            restored: false,
            failures: 0,
            target: target.doc.name.clone(),
            present: line.is_some_and(|l| l.state == LineState::Present),
            state: line.map(|l| l.state.as_str().to_owned()),
            wanted: matches!(wanted, Wanted::Yes(_)),
            step: step.as_str().to_owned(),
            why,
            code: code.to_owned(),
            words: entry.and_then(|e| e.words).map(Into::into),
            sharings,
        }
    }
}

/// Why a record that does not count does not.
pub(crate) fn silent_because(known: &Known, row: &RecordRow, now: Timestamp) -> (&'static str, &'static str) {
    let facts = &row.facts;
    if facts.echo {
        ("echo", "an echo: we put it there first")
    } else if facts.retracted {
        ("retracted", "the source or a person has taken it back")
    } else if !facts.listed {
        ("unlisted", "the source's last believed run no longer lists it")
    } else if !known.index.policies().get(row.connection).is_some_and(|policy| policy.counts) {
        ("disabled", "its connection is disabled")
    } else if facts.valid_from.is_some_and(|from| from > now) {
        ("not_valid_yet", "not valid yet")
    } else {
        ("expired", "expired")
    }
}

fn clauses(explanation: &Explanation) -> Vec<String> {
    explanation.to_string().lines().map(str::to_owned).collect()
}

/// Which source each part of the summary comes from.
fn folded(config: &Config, known: &Known, indicator: &Indicator, now: Timestamp) -> WhyFold {
    let summary = indicator.summary(known.index.policies(), &config.fold, now);
    let folded = &summary.folded;
    let name = |id: &ConnectionId| {
        config.connections.get(id).map_or_else(|| format!("#{id}"), |connection| connection.doc.name.clone())
    };
    let rows = known.index.id(&indicator.key).map(|id| known.index.records(id, now)).unwrap_or_default();
    let any_active = rows.iter().any(|row| row.active);
    let counted: Vec<(&RecordRow, &Policy)> = rows
        .iter()
        .filter(|row| row.active || (!any_active && !row.facts.echo))
        .filter_map(|row| Some((row, known.index.policies().get(row.connection)?)))
        .collect();
    let first = |fits: &dyn Fn(&RecordRow, &Policy) -> bool| {
        let row = counted.iter().find(|(row, policy)| fits(row, policy));
        row.map_or_else(|| "default".to_owned(), |(row, _)| name(&row.connection))
    };
    WhyFold {
        leading: folded.leading.and_then(|at| indicator.records.keys().nth(at)).map(&name),
        reputation: first(&|row, policy| row.facts.effective_reputation(policy) == Some(folded.reputation)),
        severity: first(&|row, _| row.facts.severity == folded.severity && row.facts.severity != Severity::Unknown),
        tlp: first(&|row, policy| row.facts.effective_tlp(policy) == Some(folded.tlp)),
        expires_at: first(&|row, _| row.expires == folded.expires_at),
    }
}

/// Whether it counts, and why: a verdict first, then what the records say.
fn activity(known: &Known, id: IndicatorId, records: &[WhyRecord], now: Timestamp) -> WhyActivity {
    let active = known.index.is_active(id);
    let analyst = known.index.analyst(id);
    if let Some(verdict) = analyst.and_then(|analyst| analyst.verdict_at(now).and(analyst.verdict)) {
        let (code, words) = match verdict.kind {
            VerdictKind::Malicious => ("verdict_malicious", "an analyst says that it is malicious"),
            VerdictKind::FalsePositive => ("verdict_false_positive", "an analyst says that it is a false positive"),
            VerdictKind::Safe => ("verdict_safe", "an analyst says that it is safe"),
        };
        let why = match verdict.until {
            None => format!("{words}, for good"),
            Some(until) => format!("{words}; the verdict ends in {}", left(until, now)),
        };
        let verdict_until = verdict.until.map(|until| until.to_string());
        return WhyActivity { active, code: code.to_owned(), why, verdict_until };
    }
    let (code, why) = match records.iter().find(|record| record.active == active) {
        _ if records.is_empty() => ("unknown".to_owned(), "no source has said anything about it".to_owned()),
        Some(_) if active => {
            let n = records.iter().filter(|record| record.active).count();
            ("record".to_owned(), if n == 1 { "1 source counts".to_owned() } else { format!("{n} sources count") })
        }
        Some(record) => (record.code.clone(), record.why.clone().unwrap_or_default()),
        None => ("unknown".to_owned(), "no record counts".to_owned()),
    };
    WhyActivity { active, code, why, verdict_until: None }
}

/// How long it still is, for people.
fn left(until: Timestamp, now: Timestamp) -> String {
    let hours = until.since(now).as_secs().div_ceil(3600);
    match hours {
        0 | 1 => "less than an hour".to_owned(),
        2..48 => format!("{hours} hours"),
        hours => format!("{} days", hours / 24),
    }
}

/// Other indicators that are written as this one at a target: a URL of another scheme, where schemes are dropped.
fn together_with(known: &Known, target: &Target, id: IndicatorId) -> Vec<IndicatorId> {
    let (kind, value) = known.index.key_ref(id);
    let (Render::NoScheme, IndicatorKind::Url, Some((scheme, rest))) =
        (target.action.render, kind, value.split_once("://"))
    else {
        return Vec::new();
    };
    let others = ["http", "https", "ftp"].into_iter().filter(|other| *other != scheme);
    let key = |other: &str| IndicatorKey::parse(Some(kind), &format!("{other}://{rest}")).ok();
    others.filter_map(|other| known.index.id(&key(other)?)).collect()
}

/// The place of a wanted indicator among all that are.
fn place(known: &Known, collected: &Collected, target: &Target, id: IndicatorId, limit: u64) -> WhyRank {
    let ledger = known.ledgers.get(&target.id);
    let order = |id: IndicatorId| {
        let newcomer = !ledger.is_some_and(|ledger| ledger.present().contains(id));
        rank_of(known, id).order(newcomer)
    };
    let mine = order(id);
    let (mut better, mut of) = (0, 0);
    for other in collected.yes.iter().filter(|other| !collected.guarded.contains(*other)) {
        of += 1;
        better += u64::from(order(other) < mine);
    }
    WhyRank { position: better + 1, of, limit }
}

fn unknown_at(target: &Target, waits: bool, frozen: bool, restored: bool) -> WhyTarget {
    WhyTarget {
        answer: match waits {
            true => format!("It is not at {} because its row came in a suspect run that waits.", target.doc.name),
            false => format!("It is not at {} because nobody has said anything about it.", target.doc.name),
        },
        line: None,
        entry: None,
        guard: None,
        rank: None,
        plan: None,
        pin: None,
        together_with: Vec::new(),
        frozen: frozen || restored,
        restored,
        failures: 0,
        target: target.doc.name.clone(),
        present: false,
        state: None,
        wanted: false,
        step: "skip".to_owned(),
        why: match waits {
            true => Why::SuspectRun.to_string(),
            false => "no source has said anything about it".to_owned(),
        },
        code: if waits { Why::SuspectRun.as_str() } else { "unknown_indicator" }.to_owned(),
        words: None,
        sharings: Vec::new(),
    }
}
