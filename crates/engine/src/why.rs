//! "Why is it there, why is it not?": the whole chain for one value, at every target.

use crate::config::Target;
use crate::desk::{Hit, find_key, hit};
use crate::error::EngineError;
use crate::share::{Mode, collect, view_of, wanted_of};
use crate::state::{ConnectionState, TargetState};
use crate::{Config, Engine, Known};
use index::RecordRow;
use intel::expr::{Explanation, Subject};
use intel::sharing::{LineState, Step, Wanted, Why, decide};
use intel::{Indicator, IndicatorId, IndicatorKey, IndicatorKind, RunId, TargetId, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::HashMap;

/// Per target: entries there is no room for, and why.
type Cuts = HashMap<TargetId, HashMap<u32, Why>>;

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
    /// What it is held to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub indicator: Option<Hit>,
    /// What each source says.
    pub records: Vec<WhyRecord>,
    /// The guard's word, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guard: Option<String>,
    /// Suspect runs that wait and may hold a row of it.
    pub notes: Vec<String>,
    /// The answer at each target.
    pub targets: Vec<WhyTarget>,
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
    /// The destination's last words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub words: Option<String>,
    /// Each sharing that feeds the target, and what it says.
    pub sharings: Vec<WhySharing>,
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
        // Planned before the index is held for reading: planning reads it too, and a writer may wait in between.
        let cuts = self.cuts(&config, now)?;
        let known = self.known();
        let (key, id) = find_key(&known, value, kind)?;
        let mut report = WhyReport {
            asked: value.to_owned(),
            kind: key.kind().as_str().to_owned(),
            value: key.value().to_owned(),
            known: id.is_some(),
            indicator: None,
            records: Vec::new(),
            guard: known.guard.look_up(&key).map(|hit| crate::guards::say(&hit)),
            notes: self.suspect_notes(&config, &key, id)?,
            targets: Vec::new(),
        };
        let Some(id) = id else {
            let waits = !report.notes.is_empty();
            for target in config.targets.values() {
                report.targets.push(unknown_at(target, waits));
            }
            return Ok(report);
        };
        report.indicator = Some(hit(&known, id, now));
        report.records =
            known.index.records(id, now).into_iter().map(|row| self.record(&config, &known, row, now)).collect();
        let indicator = self.store.indicator(id)?.unwrap_or_else(|| Indicator::new(key));
        for target in config.targets.values() {
            let mut answer = self.at_target(&config, &known, target, id, &indicator, now);
            if let Some(why) = cuts.get(&target.id).and_then(|cuts| cuts.get(&id.0)) {
                answer.step = if answer.present { Step::Retract } else { Step::Skip(why.clone()) }.as_str().to_owned();
                answer.why = why.to_string();
                why.as_str().clone_into(&mut answer.code);
                answer.wanted = false;
            }
            report.targets.push(answer);
        }
        Ok(report)
    }

    /// What each target with a limit has no room for: only a whole plan knows who else competes.
    fn cuts(&self, config: &Config, now: Timestamp) -> Result<Cuts, EngineError> {
        let mut cuts = Cuts::new();
        for target in config.targets.values() {
            if target.int_param("capacity").or(target.action.capacity).is_none() {
                continue;
            }
            let state = TargetState::parse(self.store.target_state(target.id)?.as_deref());
            let plan = self.plan(config, target, &state, Mode::default(), now)?.restrained;
            let skipped = plan.skipped.into_iter();
            let displaced = plan.now.into_iter().chain(plan.held).filter_map(|step| Some((step.entry, step.reason?)));
            let over = skipped.chain(displaced).filter(|(_, why)| why.as_str() == "over_capacity");
            cuts.insert(target.id, over.collect());
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
        let why = (!row.active).then(|| silent_because(known, &row, now).to_owned());
        WhyRecord {
            source,
            active: row.active,
            why,
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
        let collected = collect(known, config, target, &self.key_cache, now);
        let wanted = wanted_of(known, &collected, target, id, now);
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
                let source_holds = match sharing.source {
                    None => summary.folded.active,
                    Some(source) => known.index.active_from(source).contains(id),
                };
                WhySharing {
                    source: sharing.doc.source.clone(),
                    rule: sharing.rule.name.clone(),
                    source_holds,
                    selects: judged.selects,
                    exception: judged.excepted.map(|e| e.to_string()),
                    tlp_passes: summary.folded.tlp <= sharing.max_tlp,
                    muted: sharing.rule.muted || sharing.doc.paused,
                    clauses: clauses(&sharing.rule.when.explain(&subject)),
                }
            })
            .collect();
        WhyTarget {
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
pub(crate) fn silent_because(known: &Known, row: &RecordRow, now: Timestamp) -> &'static str {
    let facts = &row.facts;
    if facts.echo {
        "an echo: we put it there first"
    } else if facts.retracted {
        "the source or a person has taken it back"
    } else if !facts.listed {
        "the source's last believed run no longer lists it"
    } else if !known.index.policies().get(row.connection).is_some_and(|policy| policy.counts) {
        "its connection is disabled"
    } else if facts.valid_from.is_some_and(|from| from > now) {
        "not valid yet"
    } else {
        "expired"
    }
}

fn clauses(explanation: &Explanation) -> Vec<String> {
    explanation.to_string().lines().map(str::to_owned).collect()
}

fn unknown_at(target: &Target, waits: bool) -> WhyTarget {
    WhyTarget {
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
