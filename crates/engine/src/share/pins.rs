//! Pins: what a person undid at a target stays undone until a person lifts it.
//!
//! A pinned entry is decided by the ordinary pass like any other; a pin only has a say in whether it is wanted. It never
//! overrules the guard, a verdict, an exception, the TLP ceiling or what the action takes.

use super::Collected;
use crate::config::Target;
use crate::error::EngineError;
use crate::{Engine, Known};
use intel::{IndicatorId, IndicatorKey, Reputation, Severity, Summary, TargetId, Timestamp, Tlp, VerdictKind};
use kit::Outgoing;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::{Hold, PinChange, PinRow, Store};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// What an entry carried at a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Past {
    reputation: u8,
    severity: String,
    confidence: Option<u8>,
    tlp: String,
    tags: Vec<String>,
    sources: Vec<String>,
    first_seen: Option<i64>,
    last_seen: Option<i64>,
    expires_at: Option<i64>,
    comment: Option<String>,
}

impl Past {
    pub(super) fn of(summary: Summary) -> Past {
        let time = |time: Option<Timestamp>| time.map(Timestamp::micros);
        Past {
            reputation: summary.folded.reputation.get(),
            severity: summary.folded.severity.as_str().to_owned(),
            confidence: summary.folded.confidence,
            tlp: summary.folded.tlp.as_str().to_owned(),
            tags: summary.tags.into_iter().collect(),
            sources: summary.sources.into_iter().collect(),
            first_seen: time(summary.folded.first_seen),
            last_seen: time(summary.folded.last_seen),
            expires_at: time(summary.folded.expires_at),
            comment: summary.comment.map(Into::into),
        }
    }

    /// Puts what it was in place of what it is. A marking never becomes laxer, and an end that has passed is none.
    pub(super) fn put(&self, out: &mut Outgoing, now: Timestamp) {
        let time = |micros: Option<i64>| micros.map(Timestamp::from_micros);
        let (tags, mut hops) = intel::echo::split_hops(self.tags.clone());
        hops.extend(out.hops.pop());
        out.hops = hops;
        out.tags = tags;
        out.sources.clone_from(&self.sources);
        out.reputation = Reputation::new(self.reputation).unwrap_or(out.reputation);
        out.severity = Severity::parse(&self.severity).unwrap_or(out.severity);
        out.confidence = self.confidence;
        out.tlp = Tlp::parse(&self.tlp).map_or(out.tlp, |tlp| tlp.max(out.tlp));
        out.first_seen = time(self.first_seen);
        out.last_seen = time(self.last_seen);
        out.expires_at = time(self.expires_at).filter(|end| *end > now);
        out.comment.clone_from(&self.comment);
    }
}

/// One pin.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pin {
    pub(super) hold: Hold,
    pub(super) plan: u64,
    who: Arc<str>,
    at: Timestamp,
    pub(super) runs: Vec<u64>,
    past: Option<Box<Past>>,
}

impl Pin {
    fn of(row: PinRow) -> Pin {
        Pin {
            hold: row.hold,
            plan: row.plan,
            who: row.who.into(),
            at: row.at,
            runs: serde_json::from_str(&row.runs).unwrap_or_default(),
            past: row.past.and_then(|past| serde_json::from_str(&past).ok()),
        }
    }

    fn words(&self) -> String {
        // A plan that is only asked for has no number yet, and nobody has approved it.
        if self.plan == 0 {
            return "by this plan, once it is approved".to_owned();
        }
        format!("plan {} of {}, approved by {}", self.plan, self.at, self.who)
    }
}

/// The pins of one target.
#[derive(Debug, Clone, Default)]
pub struct Pins {
    by: BTreeMap<u32, Pin>,
}

impl Pins {
    pub(super) fn get(&self, id: IndicatorId) -> Option<&Pin> {
        self.by.get(&id.0)
    }

    /// Whether an indicator is pinned.
    pub fn has(&self, id: IndicatorId) -> bool {
        self.by.contains_key(&id.0)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by.len()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = IndicatorId> {
        self.by.keys().map(|id| IndicatorId(*id))
    }

    /// One of them as shown.
    pub(crate) fn shown(&self, known: &Known, id: IndicatorId) -> Option<PinShown> {
        let pin = self.get(id)?;
        let (kind, value) = known.index.key_ref(id);
        Some(PinShown {
            kind: kind.as_str(),
            value: value.to_owned(),
            hold: pin.hold.as_str(),
            plan: pin.plan,
            who: pin.who.as_ref().to_owned(),
            at: pin.at.to_string(),
            runs: pin.runs.clone(),
        })
    }

    pub(super) fn past(&self, id: IndicatorId) -> Option<&Past> {
        self.by.get(&id.0).filter(|pin| pin.hold == Hold::In).and_then(|pin| pin.past.as_deref())
    }

    /// What lines were compared under.
    pub(super) fn stamp(&self) -> u64 {
        self.by.iter().fold(0, |stamp, (id, pin)| {
            xxh3_64_with_seed(
                &[u64::from(*id).to_le_bytes(), (pin.plan << 1 | u64::from(pin.hold == Hold::In)).to_le_bytes()]
                    .concat(),
                stamp,
            )
        })
    }

    pub(super) fn with(&self, changes: &[PinChange]) -> Pins {
        let mut pins = self.clone();
        for change in changes {
            match change {
                PinChange::Set(row) => pins.by.insert(row.indicator.0, Pin::of(row.clone())),
                PinChange::Lift(id) => pins.by.remove(&id.0),
            };
        }
        pins
    }
}

/// Reads the pins of every target.
pub(crate) fn load_pins(store: &Store) -> Result<BTreeMap<TargetId, Arc<Pins>>, EngineError> {
    let mut all: BTreeMap<TargetId, Pins> = BTreeMap::new();
    store.pins(&mut |target, row| {
        all.entry(target).or_default().by.insert(row.indicator.0, Pin::of(row));
    })?;
    Ok(all.into_iter().map(|(target, pins)| (target, Arc::new(pins))).collect())
}

impl Collected {
    /// Lets the pins of a target have their say.
    pub(super) fn pin(&mut self, known: &Known, target: &Target, pins: Option<&Pins>, now: Timestamp) {
        let Some(pins) = pins.filter(|pins| !pins.is_empty()) else { return };
        // A target whose sharings were deleted has the ceiling a sharing has where nothing is said.
        let ceiling = if target.sharings.is_empty() { Tlp::Amber } else { self.ceiling };
        for (id, pin) in &pins.by {
            let id = IndicatorId(*id);
            if !known.index.exists(id) {
                continue;
            }
            match pin.hold {
                Hold::Out => {
                    self.yes.remove(id);
                    self.held.remove(id);
                    self.undone.insert(id.0, pin.words().into());
                }
                Hold::In => {
                    let (kind, _) = known.index.key_ref(id);
                    let verdict = known.index.analyst(id).and_then(|analyst| analyst.verdict_at(now));
                    let stopped = self.excepted.contains(id)
                        || self.too_broad.contains(id)
                        || !kit::accepts(&target.action.kinds, kind)
                        || known.index.tlp(id) > ceiling
                        || matches!(verdict, Some(VerdictKind::FalsePositive | VerdictKind::Safe));
                    if !stopped {
                        self.yes.insert(id);
                        self.held.remove(id);
                        self.considered.insert(id);
                        self.tlp_ok.insert(id);
                    }
                }
            }
        }
    }
}

/// A pin as shown.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct PinShown {
    /// What kind of indicator.
    pub kind: &'static str,
    /// Its value.
    pub value: String,
    /// `in`: it stays there; `out`: it stays out.
    pub hold: &'static str,
    /// The plan that asked.
    pub plan: u64,
    /// Who approved that.
    pub who: String,
    /// When. RFC 3339.
    pub at: String,
    /// The runs it undoes.
    pub runs: Vec<u64>,
}

impl Engine {
    /// What people have undone at a target and nobody has lifted, by indicator.
    ///
    /// # Errors
    /// [`EngineError::NotFound`].
    pub fn pins(&self, name: &str) -> Result<Vec<PinShown>, EngineError> {
        let config = self.config();
        let target = config.target(name).ok_or_else(|| self.no_target(name))?;
        let known = self.known();
        let Some(pins) = known.pins.get(&target.id) else { return Ok(Vec::new()) };
        let shown = pins.by.keys().filter(|id| known.index.exists(IndicatorId(**id)));
        Ok(shown.filter_map(|id| pins.shown(&known, IndicatorId(*id))).collect())
    }

    /// Lifts pins, all where no value is named: the next pass decides these entries as it does every other. Gives how
    /// many there were.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], a value that is no indicator, or a failing store.
    pub fn unpin(&self, name: &str, values: Option<&[String]>, who: &str) -> Result<u64, EngineError> {
        let config = self.config();
        let target = config.target(name).ok_or_else(|| self.no_target(name))?;
        let ids = match values {
            None => None,
            Some(values) => {
                let known = self.known();
                let id = |value: &String| {
                    let key = IndicatorKey::parse(None, value).map_err(|why| EngineError::Invalid(why.to_string()))?;
                    known.index.id(&key).ok_or_else(|| {
                        EngineError::NotFound(format!(
                            "\"{value}\" is not known; `iocast target pins {name}` shows what is pinned"
                        ))
                    })
                };
                Some(values.iter().map(id).collect::<Result<Vec<_>, _>>()?)
            }
        };
        let lifted = self.store.lift_pins(target.id, name, ids.as_deref(), who, self.world.now())?;
        self.known_mut().pins = load_pins(&self.store)?;
        Ok(lifted)
    }
}
