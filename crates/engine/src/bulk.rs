//! What people do to many indicators at once: those they ticked, or all that a filter finds.
//!
//! First it is shown what would follow, with a mark of exactly these indicators; what is done then is done to these, or
//! not at all. It is one run, whose counts balance: `read = changed + unchanged + rejected`. It is done in batches,
//! each a transaction, so that others who write get their turn; what a stopped process did of it stands.

use crate::desk::{Hit, find_key, hit};
use crate::error::EngineError;
use crate::share::entries::{Times, spoken};
use crate::{Engine, Known};
use index::CountBy;
use intel::{Analyst, ConnectionId, IndicatorId, IndicatorKind, RunId, Timestamp, Verdict, VerdictKind};
use schemars::JsonSchema;
use serde::Serialize;
use xxhash_rust::xxh3::Xxh3;

/// Most indicators of one act. More are a rule's business, or a source's.
pub const BULK_MOST: usize = 100_000;
/// Indicators of one transaction: everybody else who writes waits for it.
const BATCH: usize = 2_048;
/// Indicators shown of those that are meant.
const SHOWN: usize = 8;
/// Longest tag, in bytes.
const TAG_BYTES: usize = 256;

/// Which indicators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Many {
    /// All that a filter finds.
    Found {
        /// The filter.
        text: String,
        /// Inactive ones too.
        all: bool,
    },
    /// These, by value.
    These(Vec<(String, Option<IndicatorKind>)>),
}

/// What is done to each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// These tags stand beside those of sources.
    Tag(Vec<String>),
    /// These tags do not stand, whoever says them.
    Untag(Vec<String>),
    /// Nothing new of it is shared.
    Mute,
    /// It is shared again.
    Unmute,
    /// What a person holds it to be; None takes the verdict back.
    Verdict(Option<Verdict>),
    /// What was added by hand is taken back. The words of other sources stay.
    Retract,
}

impl Act {
    /// Its name in runs and in the audit log.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Act::Tag(_) => "tag",
            Act::Untag(_) => "untag",
            Act::Mute => "mute",
            Act::Unmute => "unmute",
            Act::Verdict(_) => "verdict",
            Act::Retract => "retract",
        }
    }

    fn put(&self, analyst: &mut Analyst) {
        match self {
            Act::Tag(tags) => {
                for tag in tags {
                    analyst.tags_removed.remove(tag);
                    analyst.tags_added.insert(tag.clone());
                }
            }
            Act::Untag(tags) => {
                for tag in tags {
                    analyst.tags_added.remove(tag);
                    analyst.tags_removed.insert(tag.clone());
                }
            }
            Act::Mute => analyst.muted = true,
            Act::Unmute => analyst.muted = false,
            Act::Verdict(verdict) => analyst.verdict = *verdict,
            Act::Retract => {}
        }
    }

    /// What is wrong with it, whatever it is done to.
    fn check(&self, now: Timestamp) -> Result<(), EngineError> {
        let wrong = match self {
            Act::Tag(tags) | Act::Untag(tags) => match tags.iter().find(|tag| tag.len() > TAG_BYTES) {
                _ if tags.is_empty() => Some("say which tags".to_owned()),
                Some(_) => Some(format!("a tag has at most {TAG_BYTES} bytes")),
                None => None,
            },
            Act::Verdict(Some(Verdict { kind: VerdictKind::FalsePositive, until }))
                if until.is_none_or(|at| at <= now) =>
            {
                Some("a false positive needs an end that lies ahead; for good, say safe".to_owned())
            }
            Act::Verdict(Some(Verdict { until: Some(until), .. })) if *until <= now => {
                Some("the end of a verdict lies ahead".to_owned())
            }
            _ => None,
        };
        wrong.map_or(Ok(()), |wrong| Err(EngineError::Invalid(wrong)))
    }
}

/// What follows at one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ManyAt {
    /// Its name.
    pub target: String,
    /// How many of them are there.
    pub present: u64,
    /// How many of these no longer count, so that its next pass takes them back.
    pub leaves: u64,
}

/// What doing something to many would do. `chosen = changes + unchanged`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ManyShown {
    /// How many are meant.
    pub chosen: u64,
    /// Those of which something else is said then.
    pub changes: u64,
    /// Those of which it is said already, or can not be said.
    pub unchanged: u64,
    /// Those that stop counting.
    pub ends: u64,
    /// Those that begin to count.
    pub begins: u64,
    /// Values given that nobody has said anything about, or that are none.
    pub not_known: u64,
    /// How many of each kind, most first.
    pub kinds: Vec<(String, u64)>,
    /// Some of them.
    pub some: Vec<Hit>,
    /// Where they are.
    pub targets: Vec<ManyAt>,
    /// The mark of exactly these indicators.
    pub mark: String,
}

/// What was done to many. `read = changed + unchanged + rejected`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct ManyDone {
    /// The run it is counted on.
    pub run: u64,
    /// What was done.
    pub act: String,
    /// The filter; without: single values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// How many were meant.
    pub read: u64,
    /// Those of which something else is said now.
    pub changed: u64,
    /// Those of which it was said already.
    pub unchanged: u64,
    /// Those that were gone when their turn came.
    pub rejected: u64,
}

/// What an act does to one indicator.
struct Effect {
    changes: bool,
    was_active: bool,
    is_active: bool,
}

impl Engine {
    /// What it would do. Without an act: which indicators are meant, and where they are.
    ///
    /// # Errors
    /// A filter that cannot be read, an act that cannot be done to anything, more than [`BULK_MOST`] indicators, or a
    /// failing store.
    pub fn many_shown(&self, many: &Many, act: Option<&Act>) -> Result<ManyShown, EngineError> {
        self.advance()?;
        let now = self.world.now();
        if let Some(act) = act {
            act.check(now)?;
        }
        let (ids, not_known) = self.many_ids(many, now)?;
        let config = self.config();
        let known = self.known();
        let mut shown = ManyShown {
            chosen: ids.len() as u64,
            changes: 0,
            unchanged: 0,
            ends: 0,
            begins: 0,
            not_known,
            kinds: Vec::new(),
            some: ids.iter().take(SHOWN).map(|id| hit(&known, *id, now)).collect(),
            targets: Vec::new(),
            mark: mark(&ids),
        };
        let mut chosen = index::Selection::new();
        let mut ending = index::Selection::new();
        for id in &ids {
            chosen.insert(*id);
            let Some(act) = act else { continue };
            let effect = effect(&known, *id, act, now);
            if effect.changes {
                shown.changes += 1;
            } else {
                shown.unchanged += 1;
            }
            match (effect.was_active, effect.is_active) {
                (true, false) => {
                    shown.ends += 1;
                    ending.insert(*id);
                }
                (false, true) => shown.begins += 1,
                _ => {}
            }
        }
        shown.kinds = known.index.count_by(&chosen, CountBy::Kind);
        for (id, target) in &config.targets {
            let Some(ledger) = known.ledgers.get(id) else { continue };
            let among = |chosen: &index::Selection| {
                let mut both = chosen.clone();
                both.and(ledger.present());
                both.count() as u64
            };
            let present = among(&chosen);
            if present > 0 {
                shown.targets.push(ManyAt { target: target.doc.name.clone(), present, leaves: among(&ending) });
            }
        }
        Ok(shown)
    }

    /// Does it, to exactly the indicators that `seen` is the mark of. All of it is durable and can be read when this
    /// returns.
    ///
    /// # Errors
    /// [`EngineError::Conflict`] where the filter finds others now; otherwise as [`Engine::many_shown`]. After a failing
    /// store the batches before it stand.
    pub fn act_on_many(&self, many: &Many, act: &Act, seen: &str, who: &str) -> Result<ManyDone, EngineError> {
        self.advance()?;
        let now = self.world.now();
        act.check(now)?;
        let (ids, _) = self.many_ids(many, now)?;
        if mark(&ids) != seen {
            return Err(EngineError::Conflict(format!(
                "these are {} indicators now, and not those that were shown: nothing was done; look again",
                ids.len()
            )));
        }
        let filter = match many {
            Many::Found { text, .. } => Some(text.clone()),
            Many::These(_) => None,
        };
        let run = self.store.run_start("bulk", act.as_str(), now)?;
        let detail = serde_json::json!({
            "run": run.0,
            "filter": filter,
            "n": ids.len(),
            "tags": match act { Act::Tag(tags) | Act::Untag(tags) => Some(tags), _ => None },
            "verdict": match act { Act::Verdict(verdict) => verdict.map(|v| v.kind.as_str()), _ => None },
            "until": match act { Act::Verdict(Some(v)) => v.until.map(|t| t.to_string()), _ => None },
        });
        self.store.audit(who, &format!("indicators.{}", act.as_str()), "many", &detail.to_string(), now)?;
        let mut done = ManyDone {
            run: run.0,
            act: act.as_str().to_owned(),
            filter,
            read: ids.len() as u64,
            ..ManyDone::default()
        };
        for batch in ids.chunks(BATCH) {
            let worked = match act {
                Act::Retract => self.retract_batch(batch, who, &mut done),
                act => self.say_batch(batch, act, run, who, &mut done),
            };
            if let Err(error) = worked {
                // What was done so far stands, and is counted.
                let n_left = done.read - done.changed - done.unchanged - done.rejected;
                let report = serde_json::json!({ "error": error.to_string(), "not_done": n_left, "done": done });
                self.finish_run(run, "failed", &report)?;
                return Err(error);
            }
        }
        debug_assert_eq!(done.read, done.changed + done.unchanged + done.rejected);
        let status = if done.rejected > 0 { "partial" } else { "success" };
        self.finish_run(run, status, &done)?;
        Ok(done)
    }

    /// Which indicators are meant, by id, and how many of the values given are none that is known.
    fn many_ids(&self, many: &Many, now: Timestamp) -> Result<(Vec<IndicatorId>, u64), EngineError> {
        let too_many = |n: usize| {
            EngineError::Invalid(format!(
                "these are {n} indicators, and at most {BULK_MOST} can be changed at once: narrow the filter"
            ))
        };
        match many {
            Many::Found { text, all } => {
                let expr = self.parse_search(text)?;
                let known = self.known();
                let selection = self.select(&known, &expr, *all, now);
                let n = selection.iter().filter(|id| known.index.exists(*id)).count();
                if n > BULK_MOST {
                    return Err(too_many(n));
                }
                Ok((selection.iter().filter(|id| known.index.exists(*id)).collect(), 0))
            }
            Many::These(values) => {
                if values.len() > BULK_MOST {
                    return Err(too_many(values.len()));
                }
                let known = self.known();
                let mut not_known = 0;
                let mut ids = Vec::with_capacity(values.len());
                for (value, kind) in values {
                    match find_key(&known, value, *kind) {
                        Ok((_, Some(id))) => ids.push(id),
                        _ => not_known += 1,
                    }
                }
                ids.sort_unstable();
                ids.dedup();
                Ok((ids, not_known))
            }
        }
    }

    fn say_batch(
        &self,
        batch: &[IndicatorId],
        act: &Act,
        run: RunId,
        who: &str,
        done: &mut ManyDone,
    ) -> Result<(), EngineError> {
        let _one_writer = self.ingest_lock();
        let now = self.world.now();
        let mut said: Vec<(IndicatorId, Analyst, u64)> = Vec::with_capacity(batch.len());
        let (mut unchanged, mut rejected) = (0, 0);
        {
            let known = self.known();
            for id in batch {
                if !known.index.exists(*id) {
                    rejected += 1;
                    continue;
                }
                let was = known.index.analyst(*id).cloned().unwrap_or_default();
                let mut analyst = was.clone();
                act.put(&mut analyst);
                if analyst == was {
                    unchanged += 1;
                } else {
                    let after = known.index.summary_hash_with(*id, &analyst, now);
                    said.push((*id, analyst, after));
                }
            }
        }
        let rows: Vec<(IndicatorId, &Analyst, u64)> =
            said.iter().map(|(id, analyst, after)| (*id, analyst, *after)).collect();
        let revisions =
            if rows.is_empty() { Vec::new() } else { self.store.set_analysts(&rows, Some(run), who, now)? };
        self.time_verdicts_given(rows.iter().map(|(id, analyst, _)| (*id, analyst.verdict)), act, now);
        let mut known = self.known_mut();
        let n_said = said.len() as u64;
        for ((id, analyst, _), revision) in said.into_iter().zip(revisions) {
            known.index.set_analyst(id, analyst, Some(revision), now);
        }
        drop(known);
        self.published();
        done.changed += n_said;
        done.unchanged += unchanged;
        done.rejected += rejected;
        Ok(())
    }

    fn retract_batch(&self, batch: &[IndicatorId], who: &str, done: &mut ManyDone) -> Result<(), EngineError> {
        let values: Vec<(String, Option<IndicatorKind>)> = {
            let known = self.known();
            let there = batch.iter().filter(|id| known.index.exists(**id));
            there.map(|id| known.index.key_ref(*id)).map(|(kind, value)| (value.to_owned(), Some(kind))).collect()
        };
        done.rejected += (batch.len() - values.len()) as u64;
        let config = self.config();
        let manual = config.connections.get(&ConnectionId::MANUAL).ok_or_else(|| self.no_connection("manual"))?;
        let ended = self.retract(&values, Some(&manual.doc.name), who)?;
        let n_ended = ended.iter().filter(|one| !one.ended.is_empty()).count() as u64;
        done.changed += n_ended;
        done.unchanged += values.len() as u64 - n_ended;
        Ok(())
    }
}

/// The mark of a set of indicators: the same for the same, and for no other.
fn mark(ids: &[IndicatorId]) -> String {
    let mut sum = Xxh3::new();
    for id in ids {
        sum.update(&id.0.to_le_bytes());
    }
    format!("{:032x}", sum.digest128())
}

fn effect(known: &Known, id: IndicatorId, act: &Act, now: Timestamp) -> Effect {
    let was_active = known.index.is_active(id);
    let analyst = known.index.analyst(id);
    if *act == Act::Retract {
        let records = known.index.records(id, now);
        let own = |record: &&index::RecordRow| record.connection == ConnectionId::MANUAL && !record.facts.retracted;
        let changes = records.iter().any(|record| own(&record));
        let others = records.iter().any(|record| record.active && record.connection != ConnectionId::MANUAL);
        let verdict = analyst.and_then(|analyst| analyst.verdict_at(now));
        let is_active = was_active && (!changes || others || verdict == Some(VerdictKind::Malicious));
        return Effect { changes, was_active, is_active };
    }
    let was = analyst.cloned().unwrap_or_default();
    let mut will = was.clone();
    act.put(&mut will);
    let is_active = match act {
        Act::Verdict(_) => match will.verdict_at(now) {
            Some(VerdictKind::Malicious) => true,
            Some(VerdictKind::Safe | VerdictKind::FalsePositive) => false,
            None => known.index.records(id, now).iter().any(|record| record.active),
        },
        _ => was_active,
    };
    Effect { changes: will != was, was_active, is_active }
}

/// How many of each kind and of each marking a filter finds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct FoundShown {
    /// All of them.
    pub count: u64,
    /// How many of each kind, most first.
    pub kinds: Vec<(String, u64)>,
    /// How many of each marking, most first.
    pub markings: Vec<(String, u64)>,
}

impl Engine {
    /// How many indicators a filter finds, by kind and by marking.
    ///
    /// # Errors
    /// A filter that cannot be read, or a failing store.
    pub fn found_shown(&self, text: &str, all: bool) -> Result<FoundShown, EngineError> {
        let expr = self.parse_search(text)?;
        self.advance()?;
        let now = self.world.now();
        let known = self.known();
        let selection = self.select(&known, &expr, all, now);
        Ok(FoundShown {
            count: selection.count() as u64,
            kinds: known.index.count_by(&selection, CountBy::Kind),
            markings: known.index.count_by(&selection, CountBy::Tlp),
        })
    }

    /// A page of what a filter finds, as lists write it: each with its value as the entry. In the order of their ids,
    /// so that none is given twice and none is left out while others change.
    ///
    /// # Errors
    /// A filter that cannot be read, or a failing store.
    pub fn outgoing(
        &self,
        text: &str,
        all: bool,
        after: Option<&index::PageCursor>,
        limit: usize,
    ) -> Result<(Vec<kit::Outgoing>, Option<index::PageCursor>), EngineError> {
        let expr = self.parse_search(text)?;
        self.advance()?;
        let now = self.world.now();
        let known = self.known();
        let selection = self.select(&known, &expr, all, now);
        let by_id = index::Sort { field: index::SortField::Id, descending: false };
        let index::Page { ids, next } = known.index.page(&selection, by_id, after, limit);
        let exchange = self.exchange_id();
        let out = |id: IndicatorId| {
            let received = known.index.records(id, now).iter().map(|record| record.facts.received).min();
            // What we say of it at this moment: a later word than any before.
            let times = Times { created: received.unwrap_or(now).min(now), modified: now, now };
            spoken(&known, id, known.index.key_ref(id).1.to_owned(), &exchange, times)
        };
        Ok((ids.into_iter().map(out).collect(), next))
    }
}

impl Engine {
    /// Notes when verdicts were given, as [`Engine::verdict`] does.
    fn time_verdicts_given(
        &self,
        given: impl Iterator<Item = (IndicatorId, Option<Verdict>)>,
        act: &Act,
        now: Timestamp,
    ) {
        if matches!(act, Act::Verdict(_)) {
            let mut timed = crate::unpoison(self.verdicts.lock());
            for (id, verdict) in given {
                crate::desk::time_verdict(&mut timed, id, verdict, now);
            }
        }
    }
}
