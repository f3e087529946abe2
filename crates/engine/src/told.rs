//! What is known, told one by one: what each source says about an indicator, and what stands in the ledgers.

use crate::desk::find_key;
use crate::error::EngineError;
use crate::share::state_of;
use crate::why::silent_because;
use crate::{Config, Engine, Known};
use index::{PageCursor, Sort};
use intel::sharing::LineState;
use intel::{IndicatorId, IndicatorKey, IndicatorKind, TargetId, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use store::LineRow;

/// What one source says about one indicator.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Record {
    /// What sort of thing.
    pub kind: &'static str,
    /// The canonical value.
    pub value: String,
    /// Which connection.
    pub source: String,
    /// Whether it counts.
    pub active: bool,
    /// Why it does not, where it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The version of what is said: the greater replaces the lesser. RFC 3339.
    pub version: String,
    /// When this source first gave it to us. RFC 3339.
    pub received: String,
    /// Whether the source's last believed run had it; always true of sources that do not list everything.
    pub listed: bool,
    /// We put it there first: only its sightings count.
    pub echo: bool,
    /// Taken back by the source or a person.
    pub retracted: bool,
    /// As stated, 1 to 10.
    pub reputation: Option<u8>,
    /// As stated, 0 to 100.
    pub confidence: Option<u8>,
    /// As stated; `unknown` where it is not.
    pub severity: &'static str,
    /// As stated.
    pub tlp: Option<&'static str>,
    /// As stated, sorted.
    pub tags: Vec<String>,
    /// Other exchanges it has passed through.
    pub hops: Vec<String>,
    /// As stated. RFC 3339.
    pub first_seen: Option<String>,
    /// As stated. RFC 3339.
    pub last_seen: Option<String>,
    /// As stated. RFC 3339.
    pub valid_from: Option<String>,
    /// When it stops counting; None: never, or its connection is gone. RFC 3339.
    pub expires_at: Option<String>,
    /// As stated.
    pub comment: Option<String>,
    /// Where to read more.
    pub link: Option<String>,
    /// The value as the source wrote it, where that is not the canonical one.
    pub raw: Option<String>,
    /// The id of the object at the source.
    pub remote_id: Option<String>,
    /// The source's count of own sightings.
    pub internal_hits: u32,
    /// The source's count of others' sightings.
    pub external_hits: u32,
}

/// A line of a ledger: one entry at one target.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Delivery {
    /// Which target.
    pub target: String,
    /// What sort of thing; None once the indicator has been pruned.
    pub kind: Option<&'static str>,
    /// The canonical value; None once the indicator has been pruned.
    pub value: Option<String>,
    /// The text the target stores, where that is not the value.
    pub entry: Option<String>,
    /// `pending`, `unknown`, `present`, `refused`, `retracting`, `foreign`, `released` or `gone`.
    pub state: &'static str,
    /// The id the target gave it.
    pub remote_id: Option<String>,
    /// When the target drops it by itself. RFC 3339.
    pub remote_expires: Option<String>,
    /// Failed attempts in a row.
    pub attempts: u32,
    /// What the target would not take: `entry`, or of one that is there a `change` or its `removal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<&'static str>,
    /// Refused so often in a row that a person should look; it is offered again all the same.
    pub exhausted: bool,
    /// Not tried again before this. RFC 3339.
    pub next_try: Option<String>,
    /// The target's last words.
    pub words: Option<String>,
    /// The run that last touched it.
    pub run: u64,
    /// When it was first meant to be put there. RFC 3339.
    pub first_intent: String,
    /// When the line was last written. RFC 3339.
    pub updated: String,
}

/// Where a page of deliveries ended: target and indicator.
pub type DeliveryCursor = (TargetId, IndicatorId);

/// Whether the guard would let a value through.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct GuardAnswer {
    /// The canonical kind.
    pub kind: &'static str,
    /// The canonical value.
    pub value: String,
    /// Whether it is never sent.
    pub stopped: bool,
    /// Whether an exception lets it through to the target that was asked about.
    pub excepted: bool,
    /// The list that knows it.
    pub list: Option<String>,
    /// `lifeline`, `popular` or `warn`.
    pub class: Option<&'static str>,
    /// The guarded value it met.
    pub guarded: Option<String>,
    /// How it stands to that: `equal`, `contains` or `contained`.
    pub relation: Option<&'static str>,
    /// What every list that knows it says, the strongest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<GuardFinding>,
    /// The exception of the target that was asked about, also one that has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exception: Option<String>,
}

/// What one guard list says of a value.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct GuardFinding {
    /// The list.
    pub list: String,
    /// `lifeline`, `popular` or `warn`.
    pub class: &'static str,
    /// The guarded value it met.
    pub guarded: String,
    /// How it stands to that: `equal`, `contains` or `contained`.
    pub relation: &'static str,
    /// Stopped, or only flagged.
    pub stop: bool,
}

fn text(time: Option<Timestamp>) -> Option<String> {
    time.map(|time| time.to_string())
}

impl Engine {
    /// What each source says about a value, in any spelling.
    ///
    /// # Errors
    /// A value that is no indicator or that nobody has said anything about, or a failing store.
    pub fn records(&self, value: &str, kind: Option<IndicatorKind>) -> Result<Vec<Record>, EngineError> {
        self.advance()?;
        let now = self.world.now();
        let (key, id) = self.known_key(value, kind)?;
        let mut out = Vec::new();
        self.tell_records(&key, id, now, &mut out)?;
        Ok(out)
    }

    /// The records of a page of the indicators that match, in their order.
    ///
    /// # Errors
    /// An expression that cannot be read, or a failing store.
    pub fn find_records(
        &self,
        search: &str,
        all: bool,
        sort: Sort,
        after: Option<&PageCursor>,
        limit: usize,
    ) -> Result<(Vec<Record>, Option<PageCursor>), EngineError> {
        let (hits, next) = self.find(search, all, sort, after, limit)?;
        let now = self.world.now();
        let mut out = Vec::new();
        for hit in hits {
            let kind = IndicatorKind::from_name(&hit.kind);
            let found = find_key(&self.known(), &hit.value, kind);
            if let Ok((key, Some(id))) = found {
                self.tell_records(&key, id, now, &mut out)?;
            }
        }
        Ok((out, next))
    }

    fn tell_records(
        &self,
        key: &IndicatorKey,
        id: IndicatorId,
        now: Timestamp,
        out: &mut Vec<Record>,
    ) -> Result<(), EngineError> {
        let config = self.config();
        let Some(indicator) = self.store.indicator(id)? else { return Ok(()) };
        let known = self.known();
        let rows = known.index.records(id, now);
        for (connection, record) in indicator.records {
            let row = rows.iter().find(|row| row.connection == connection);
            let tags = record.claim.tags.iter().map(|tag| tag.to_string()).collect();
            let (tags, hops) = intel::echo::split_hops(tags);
            let claim = &record.claim;
            let retracted = record.is_retracted();
            out.push(Record {
                kind: key.kind().as_str(),
                value: key.value().to_owned(),
                source: config
                    .connections
                    .get(&connection)
                    .map_or_else(|| format!("#{connection}"), |c| c.doc.name.clone()),
                active: row.is_some_and(|row| row.active),
                why: row.filter(|row| !row.active).map(|row| silent_because(&known, row, now).1.to_owned()),
                version: record.version.to_string(),
                received: record.received.to_string(),
                listed: record.listed,
                echo: record.echo,
                retracted,
                reputation: claim.reputation.map(intel::Reputation::get),
                confidence: claim.confidence,
                severity: claim.severity.as_str(),
                tlp: claim.tlp.map(intel::Tlp::as_str),
                tags,
                hops,
                first_seen: text(claim.first_seen),
                last_seen: text(claim.last_seen),
                valid_from: text(claim.valid_from),
                expires_at: text(row.and_then(|row| row.expires)),
                comment: claim.comment.as_deref().map(Into::into),
                link: claim.link.as_deref().map(Into::into),
                raw: claim.raw.as_deref().map(Into::into),
                remote_id: record.remote_id.as_deref().map(Into::into),
                internal_hits: claim.internal_hits,
                external_hits: claim.external_hits,
            });
        }
        Ok(())
    }

    /// Lines of the ledgers, by target and indicator, after a cursor, at most `limit`; of one target or of all, in one
    /// state or in any.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] for a target that is not there, or a failing store.
    pub fn deliveries(
        &self,
        target: Option<&str>,
        state: Option<LineState>,
        after: Option<DeliveryCursor>,
        limit: usize,
    ) -> Result<(Vec<Delivery>, Option<DeliveryCursor>), EngineError> {
        let config = self.config();
        let targets: Vec<TargetId> = match target {
            Some(name) => vec![config.target(name).ok_or_else(|| self.no_target(name))?.id],
            None => config.targets.keys().copied().collect(),
        };
        let mut out = Vec::new();
        let mut next = None;
        for target in targets {
            let after = match after {
                Some((at, _)) if target < at => continue,
                Some((at, id)) if target == at => Some(id),
                _ => None,
            };
            // One more than there is room for says whether there is a next page.
            let most = limit - out.len() + 1;
            let lines = match state {
                Some(LineState::Refused) => self.store.refused_lines_after(target, after, most)?,
                state => self.store.lines_after(target, after, state.map(|s| s as u8), most)?,
            };
            let known = self.known();
            for line in lines {
                if out.len() == limit {
                    return Ok((out, next));
                }
                next = Some((target, line.indicator));
                out.push(told(&config, &known, target, &line));
            }
        }
        Ok((out, None))
    }

    /// The lines of an indicator at every target, whether under its own key or under another of its keys.
    ///
    /// # Errors
    /// As [`Engine::records`].
    pub fn deliveries_of(&self, value: &str, kind: Option<IndicatorKind>) -> Result<Vec<Delivery>, EngineError> {
        let config = self.config();
        let (_, id) = self.known_key(value, kind)?;
        let known = self.known();
        let mut out = Vec::new();
        for target in config.targets.keys() {
            let Some(entry) = known.ledgers.get(target).and_then(|ledger| ledger.find(&known, id)) else { continue };
            if let Some(line) = self.store.line(*target, entry.id)? {
                out.push(told(&config, &known, *target, &line));
            }
        }
        Ok(out)
    }

    /// What the guard says of a value: at a target, with its exceptions, or at any.
    ///
    /// # Errors
    /// A value that is no indicator, or a target that is not there.
    pub fn guard_check(
        &self,
        value: &str,
        kind: Option<IndicatorKind>,
        target: Option<&str>,
    ) -> Result<GuardAnswer, EngineError> {
        let config = self.config();
        let target = match target {
            Some(name) => Some(config.target(name).ok_or_else(|| self.no_target(name))?.id),
            None => None,
        };
        let known = self.known();
        let key = match kind {
            Some(_) => find_key(&known, value, kind)?.0,
            // What may be guarded may be asked about: names of inner networks too.
            None => crate::guards::guarded_value(value).map_err(|why| EngineError::Invalid(why.to_string()))?,
        };
        let hit = match target {
            Some(target) => known.guard.check(&key, target, self.world.now()),
            None => known.guard.look_up(&key),
        };
        Ok(GuardAnswer {
            kind: key.kind().as_str(),
            value: key.value().to_owned(),
            stopped: hit.as_ref().is_some_and(|hit| hit.stop),
            excepted: hit.as_ref().is_some_and(|hit| hit.excepted),
            list: hit.as_ref().map(|hit| hit.list.to_string()),
            class: hit.as_ref().map(|hit| hit.class.as_str()),
            guarded: hit.as_ref().map(|hit| hit.value.to_string()),
            relation: hit.as_ref().map(|hit| hit.relation.as_str()),
            findings: known.guard.look_up_all(&key).iter().map(finding).collect(),
            exception: target.and_then(|target| exception_of(&config, &key, target, self.world.now())),
        })
    }

    fn known_key(&self, value: &str, kind: Option<IndicatorKind>) -> Result<(IndicatorKey, IndicatorId), EngineError> {
        let (key, id) = find_key(&self.known(), value, kind)?;
        match id {
            Some(id) => Ok((key, id)),
            None => Err(EngineError::NotFound(format!("nobody has said anything about {}", key.value()))),
        }
    }
}

fn finding(hit: &intel::Hit) -> GuardFinding {
    GuardFinding {
        list: hit.list.to_string(),
        class: hit.class.as_str(),
        guarded: hit.value.to_string(),
        relation: hit.relation.as_str(),
        stop: hit.stop,
    }
}

/// The exception of a value at a target, in words.
fn exception_of(config: &Config, key: &IndicatorKey, target: TargetId, now: Timestamp) -> Option<String> {
    let name = &config.targets.get(&target)?.doc.name;
    let same = |value: &str| crate::guards::guarded_value(value).is_ok_and(|other| other == *key);
    let doc = config.file.guard_exception.iter().find(|doc| doc.target == *name && same(&doc.value))?;
    let stands = Timestamp::parse(&doc.until).is_some_and(|until| now < until);
    let word = if stands { "until" } else { "ended" };
    Some(format!("{} ({word} {}, approved by {})", doc.reason, doc.until, doc.approver))
}

fn told(config: &Config, known: &Known, target: TargetId, line: &LineRow) -> Delivery {
    let key = known.index.exists(line.indicator).then(|| known.index.key_ref(line.indicator));
    Delivery {
        target: config.targets.get(&target).map_or_else(|| format!("#{target}"), |t| t.doc.name.clone()),
        kind: key.map(|(kind, _)| kind.as_str()),
        value: key.map(|(_, value)| value.to_owned()),
        entry: line.entry.clone(),
        state: state_of(line.state).as_str(),
        remote_id: line.remote_id.clone(),
        remote_expires: text(line.remote_expires),
        attempts: line.attempts,
        refused: match state_of(line.state) {
            LineState::Refused => Some("entry"),
            LineState::Present if line.attempts > 0 && line.words.is_some() => {
                // A change is offered again after a while, a removal in every pass.
                Some(if line.next_try.is_some() { "change" } else { "removal" })
            }
            _ => None,
        },
        exhausted: state_of(line.state) == LineState::Refused && line.attempts >= intel::limits::REFUSED_EXHAUSTED,
        next_try: text(line.next_try),
        words: line.words.clone(),
        run: line.run.0,
        first_intent: line.first_intent.to_string(),
        updated: line.updated.to_string(),
    }
}
