//! Held plans at a glance, kept in memory: a plan may have a million steps, and every page of the console tells how many
//! plans wait.
//!
//! Heads are read anew whenever a plan was written, and what the steps of one come to is counted once: a number, a set of
//! steps and the time it was made name a plan whose steps never change. Nothing here decides anything; whoever decides
//! reads the steps themselves.

use super::held::{Kept, WaitsFor, read_pins, read_steps};
use crate::error::EngineError;
use crate::{Engine, unpoison};
use intel::Timestamp;
use intel::sharing::Verb;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use store::{PlanFilter, PlanId, PlanRow, PlanStatus};
use xxhash_rust::xxh3::xxh3_64;

/// Which plan, with exactly which steps.
type Name = (PlanId, String, Timestamp);

/// What the steps of a plan come to.
#[derive(Debug, Default)]
pub(crate) struct Digest {
    pub(super) push: u64,
    pub(super) update: u64,
    pub(super) retract: u64,
    pub(super) pins: u64,
    pub(super) fields_lost: u64,
    /// Why steps wait, the reason of most first.
    pub(super) waits: Vec<WaitsFor>,
    /// While it waits: where the step of an entry is, by the hash of the entry's text.
    places: Vec<(u64, u32)>,
    /// Verb and reason of each step there.
    steps: Vec<(u8, u16)>,
    reasons: Vec<Arc<str>>,
}

const NO_REASON: u16 = u16::MAX;

impl Digest {
    /// Counts. `value_of` gives the value of an indicator, for steps that name no text of their own.
    pub(super) fn of(plan: &PlanRow, value_of: impl Fn(u32) -> String) -> Digest {
        let (kept, pins) = (read_steps(plan), read_pins(plan));
        let mut digest = Digest {
            pins: pins.len() as u64,
            fields_lost: pins.iter().filter(|pin| pin.lost).count() as u64,
            ..Digest::default()
        };
        let mut waits: BTreeMap<&str, u64> = BTreeMap::new();
        let mut reasons: BTreeMap<&str, u16> = BTreeMap::new();
        let waiting = plan.status == PlanStatus::Waiting;
        for (at, step) in kept.iter().enumerate() {
            let Kept(id, verb, _, why, _, text) = step;
            match verb.as_str() {
                "push" => digest.push += 1,
                "update" => digest.update += 1,
                "retract" => digest.retract += 1,
                _ => {}
            }
            if let Some(why) = why {
                *waits.entry(why).or_default() += 1;
            }
            if !waiting {
                continue;
            }
            let reason = match why {
                None => NO_REASON,
                // So many reasons no plan has; the last ones would be told as none.
                Some(why) => *reasons.entry(why).or_insert_with(|| {
                    digest.reasons.push(why.as_str().into());
                    (digest.reasons.len() - 1).min(usize::from(NO_REASON)) as u16
                }),
            };
            let verb = Verb::ALL.iter().position(|known| known.as_str() == verb).unwrap_or(Verb::ALL.len());
            digest.steps.push((verb as u8, reason));
            let hash = match text {
                Some(text) => xxh3_64(text.as_bytes()),
                None => xxh3_64(value_of(*id).as_bytes()),
            };
            digest.places.push((hash, at as u32));
        }
        digest.places.sort_unstable();
        digest.waits = waits.into_iter().map(|(why, steps)| WaitsFor { why: why.to_owned(), steps }).collect();
        digest.waits.sort_by_key(|waits| std::cmp::Reverse(waits.steps));
        digest
    }

    /// The first step for one of these entries: its verb, and why it waits. Only of a plan that waits.
    pub(crate) fn step_of(&self, texts: &[&str]) -> Option<(&'static str, Option<String>)> {
        let place = |text: &&str| {
            let hash = xxh3_64(text.as_bytes());
            let first = self.places.partition_point(|(other, _)| *other < hash);
            self.places.get(first).filter(|(other, _)| *other == hash).map(|(_, at)| *at)
        };
        let (verb, reason) = *self.steps.get(texts.iter().filter_map(place).min()? as usize)?;
        let verb = Verb::ALL.get(usize::from(verb)).map_or("", |verb| verb.as_str());
        Some((verb, self.reasons.get(usize::from(reason)).map(|reason| reason.to_string())))
    }
}

/// What is kept.
#[derive(Default)]
pub(crate) struct Board(Mutex<Heads>);

#[derive(Default)]
struct Heads {
    /// The state of the store that the heads are of.
    writes: Option<u64>,
    heads: Arc<Vec<PlanRow>>,
    digests: BTreeMap<Name, Arc<Digest>>,
}

fn name_of(head: &PlanRow) -> Name {
    (head.id, head.hash.clone(), head.created)
}

impl Engine {
    /// Every held plan without its steps, the latest first.
    pub(crate) fn plan_board(&self) -> Result<Arc<Vec<PlanRow>>, EngineError> {
        // Looked at before the rows are: what is written in between is read, and read again.
        let writes = self.store.plan_writes();
        {
            let board = unpoison(self.board.0.lock());
            if board.writes == Some(writes) {
                return Ok(board.heads.clone());
            }
        }
        let heads = Arc::new(self.store.plan_heads(PlanFilter::default())?);
        let mut board = unpoison(self.board.0.lock());
        let names: std::collections::BTreeSet<Name> = heads.iter().map(name_of).collect();
        board.digests.retain(|name, _| names.contains(name));
        (board.writes, board.heads) = (Some(writes), heads.clone());
        Ok(heads)
    }

    /// How many plans wait for a person.
    ///
    /// # Errors
    /// A failing store.
    pub fn n_waiting_plans(&self) -> Result<u64, EngineError> {
        Ok(self.plan_board()?.iter().filter(|plan| plan.status == PlanStatus::Waiting).count() as u64)
    }

    /// What a plan comes to. None: it is no more.
    pub(crate) fn plan_digest(&self, head: &PlanRow) -> Result<Option<Arc<Digest>>, EngineError> {
        let name = name_of(head);
        let waiting = head.status == PlanStatus::Waiting;
        // What was counted while it waited is good afterwards; it only takes more room than it must.
        let kept = unpoison(self.board.0.lock()).digests.get(&name).cloned();
        if let Some(digest) = kept.filter(|digest| !waiting || digest.places.len() == digest.steps.len()) {
            return Ok(Some(digest));
        }
        let Some(plan) = self.store.plan(head.id)?.filter(|plan| name_of(plan) == name) else { return Ok(None) };
        let value_of = |id: u32| {
            let known = self.known();
            let id = intel::IndicatorId(id);
            if known.index.exists(id) { known.index.key_ref(id).1.to_owned() } else { String::new() }
        };
        let digest = Arc::new(Digest::of(&plan, value_of));
        unpoison(self.board.0.lock()).digests.insert(name, digest.clone());
        Ok(Some(digest))
    }
}

#[cfg(test)]
mod tests {
    use super::super::held::first_steps;
    use super::*;
    use intel::{RunId, TargetId};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn row(steps: &[Value], status: PlanStatus) -> PlanRow {
        PlanRow {
            id: PlanId(1),
            target: TargetId(1),
            hash: String::new(),
            steps: Value::from(steps.to_vec()).to_string(),
            created: Timestamp::EPOCH,
            run: RunId(1),
            status,
            who: None,
            note: None,
            decided: None,
            kind: "pass".to_owned(),
            author: None,
            about: None,
            pins: None,
            halts: false,
            replaced: None,
        }
    }

    fn step() -> impl Strategy<Value = Value> {
        let verb = prop::sample::select(vec!["push", "update", "retract", "drop"]);
        let why = prop::option::of(prop::sample::select(vec!["budget", "first fill", "the last entries"]));
        // Some name no text of their own, and some name the same one.
        let text = prop::option::of(0..12u32);
        (0..9u32, verb, why, text)
            .prop_map(|(id, verb, why, text)| json!([id, verb, 7, why, null, text.map(|n| format!("entry-é-{n}"))]))
    }

    proptest! {
        /// The kept answers are those of looking through all steps.
        #[test]
        fn a_digest_says_what_the_steps_say(steps in prop::collection::vec(step(), 0..60)) {
            let value_of = |id: u32| format!("value-{id}");
            let plan = row(&steps, PlanStatus::Waiting);
            let digest = Digest::of(&plan, value_of);
            let kept = read_steps(&plan);
            prop_assert_eq!(kept.len(), steps.len());
            let count = |verb: &str| kept.iter().filter(|step| step.1 == verb).count() as u64;
            let counts = (digest.push, digest.update, digest.retract);
            prop_assert_eq!(counts, (count("push"), count("update"), count("retract")));
            for why in &digest.waits {
                let n = kept.iter().filter(|step| step.3.as_ref() == Some(&why.why)).count();
                prop_assert_eq!(why.steps, n as u64);
            }
            let n = kept.iter().filter(|step| step.3.is_some()).count();
            prop_assert_eq!(digest.waits.iter().map(|why| why.steps).sum::<u64>(), n as u64);
            let entries = (0..12).map(|n| format!("entry-é-{n}"));
            let all: Vec<String> = (0..9).map(value_of).chain(entries).chain(["none".to_owned()]).collect();
            for pair in all.windows(2) {
                let texts = [pair[0].as_str(), pair[1].as_str()];
                let found = kept.iter().find(|step| {
                    let entry = step.5.clone().unwrap_or_else(|| value_of(step.0));
                    texts.contains(&entry.as_str())
                });
                let expect = found.map(|step| (Verb::parse(&step.1).map_or("", Verb::as_str), step.3.clone()));
                prop_assert_eq!(digest.step_of(&texts), expect);
            }
            // What nobody waits for keeps no place.
            prop_assert_eq!(Digest::of(&row(&steps, PlanStatus::Done), value_of).places.len(), 0);
        }

        /// However a text is cut, what is read of it is its beginning.
        #[test]
        fn the_first_steps_are_the_first(
            steps in prop::collection::vec(step(), 0..20), most in 0..25usize, cut in 0..2000usize,
        ) {
            let text = Value::from(steps.clone()).to_string();
            let whole = read_steps(&row(&steps, PlanStatus::Done));
            let same = |some: &[Kept]| some.iter().zip(&whole).all(|(a, b)| a.0 == b.0 && a.1 == b.1 && a.5 == b.5);
            let first = first_steps(text.as_bytes(), most);
            prop_assert!(first.len() == most.min(whole.len()) && same(&first));
            let part = first_steps(&text.as_bytes()[..cut.min(text.len())], most);
            prop_assert!(part.len() <= first.len() && same(&part));
        }
    }
}
