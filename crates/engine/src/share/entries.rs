//! Entries: what a target stores for keys. One key, one entry, unless the action writes several keys alike.

use super::pins::{Past, Pins};
use super::{Collected, wanted_of};
use crate::Known;
use crate::config::Target;
use crate::ledger::Ledger;
use index::Selection;
use intel::echo::split_hops;
use intel::sharing::Wanted;
use intel::{IndicatorId, IndicatorKind, Timestamp, VerdictKind};
use kit::Outgoing;
use kit::manifest::{Delivery, Render};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Parameters that do not shape an entry.
const POLICY_PARAMS: &[&str] =
    &["access", "allow_from", "allow_empty", "batch", "capacity", "max_bytes", "max_prefix_v4", "max_prefix_v6"];

/// Which fields of a summary reach the destination, and so the fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fields {
    /// The entry alone.
    Entry,
    /// What an item carries: not when it was last seen, which would make every sighting an update.
    Item,
    /// Every column of a list.
    Columns,
}

/// What this exchange, the last hop, says of an indicator.
pub(crate) fn spoken(known: &Known, id: IndicatorId, entry: String, exchange: &Arc<str>, times: Times) -> Outgoing {
    let Times { created, modified, now } = times;
    let summary = known.index.summary(id, now);
    let (tags, mut hops) = split_hops(summary.tags.into_iter().collect());
    hops.push(exchange.as_ref().to_owned());
    Outgoing {
        entry,
        key: known.index.key(id),
        reputation: summary.folded.reputation,
        severity: summary.folded.severity,
        confidence: summary.folded.confidence,
        tlp: summary.folded.tlp,
        tags,
        sources: summary.sources.into_iter().collect(),
        first_seen: summary.folded.first_seen,
        last_seen: summary.folded.last_seen,
        expires_at: summary.folded.expires_at,
        comment: summary.comment.map(Into::into),
        remote_id: None,
        created,
        modified,
        hops,
    }
}

/// How one target's entries are made.
pub(crate) struct Entries {
    /// Hash of everything that shapes an entry besides its indicator.
    pub(crate) shape: u64,
    fields: Fields,
    render: Render,
    holds_expiry: bool,
    /// Representative → all its keys, where an entry has more than one.
    groups: BTreeMap<u32, Vec<u32>>,
    /// Keys that another one represents.
    represented: HashMap<u32, u32>,
    /// This exchange's id: the last hop of what goes out.
    exchange: Arc<str>,
    /// What people have undone.
    pub(super) pins: Option<Arc<Pins>>,
}

/// When an entry was first meant to be there, when it was last changed, and what time it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) created: Timestamp,
    pub(crate) modified: Timestamp,
    pub(crate) now: Timestamp,
}

impl Times {
    /// Where nobody looks at them: all the same.
    pub(crate) fn all(now: Timestamp) -> Times {
        Times { created: now, modified: now, now }
    }
}

/// The text a key is stored as.
fn render(how: Render, kind: IndicatorKind, value: &str) -> &str {
    match (how, kind) {
        (Render::NoScheme, IndicatorKind::Url) => value.split_once("://").map_or(value, |(_, rest)| rest),
        _ => value,
    }
}

impl Entries {
    /// The entries of a target, keys that are written alike grouped under the one the ledger knows, else the best.
    pub(crate) fn of(
        known: &Known,
        target: &Target,
        ledger: &Ledger,
        collected: &Collected,
        now: Timestamp,
        exchange: Arc<str>,
    ) -> Entries {
        let action = &target.action;
        // What carries a mark is an object with fields of its own, also in a list that is replaced as a whole.
        let listed = match action.delivery {
            Delivery::Hosted | Delivery::List => true,
            Delivery::Replace => !action.marks,
            _ => false,
        };
        let fields = match (listed, target.text_param("format")) {
            (true, None | Some("edl" | "text")) => Fields::Entry,
            (true, Some(_)) => Fields::Columns,
            (false, _) => Fields::Item,
        };
        // What only says who may fetch and how much may go does not change an entry.
        let mut params = target.params.clone();
        if let Some(params) = params.as_object_mut() {
            params.retain(|key, _| !POLICY_PARAMS.contains(&key.as_str()));
        }
        let shape = format!("{}\u{0}{params}\u{0}{:?}\u{0}{fields:?}", action.name, action.render);
        let mut entries = Entries {
            shape: xxh3_64_with_seed(shape.as_bytes(), 1).max(1),
            fields,
            render: action.render,
            holds_expiry: action.holds_expiry,
            groups: BTreeMap::new(),
            represented: HashMap::new(),
            exchange,
            pins: known.pins.get(&target.id).cloned(),
        };
        if action.render != Render::Value {
            entries.group(known, target, ledger, collected, now);
        }
        entries
    }

    fn group(&mut self, known: &Known, target: &Target, ledger: &Ledger, collected: &Collected, now: Timestamp) {
        // Every key that may have a say: selected, on the ledger, or kept out by a veto.
        let mut all = collected.considered.clone();
        all.or(ledger.live());
        let mut by_text: HashMap<&str, Vec<u32>> = HashMap::new();
        let mut texts: BTreeSet<&str> = BTreeSet::new();
        for id in all.iter() {
            let (kind, value) = known.index.key_ref(id);
            if kind == IndicatorKind::Url {
                let text = render(self.render, kind, value);
                texts.insert(text);
                by_text.entry(text).or_default().push(id.0);
            }
        }
        // A veto counts also of a key that no rule selects, as none does what a verdict has ended.
        let vetoes = |verdict| matches!(verdict, VerdictKind::FalsePositive | VerdictKind::Safe);
        let by_verdict = known.index.analysts().filter(|(_, analyst)| analyst.verdict_at(now).is_some_and(vetoes));
        let by_verdict = by_verdict.map(|(id, _)| id).filter(|id| known.index.exists(*id));
        for id in collected.excepted.iter().chain(collected.guarded.iter()).chain(by_verdict) {
            let (kind, value) = known.index.key_ref(id);
            if kind == IndicatorKind::Url
                && let Some(members) = by_text.get_mut(render(self.render, kind, value))
                && !members.contains(&id.0)
            {
                members.push(id.0);
            }
        }
        for text in texts {
            let Some(members) = by_text.remove(text) else { continue };
            if members.len() < 2 {
                continue;
            }
            let held = members.iter().copied().find(|id| ledger.live().contains(IndicatorId(*id)));
            let best = || {
                let rank = |id: &u32| match wanted_of(known, collected, target, IndicatorId(*id), now) {
                    Wanted::Yes(rank) => (0, rank.order(true)),
                    Wanted::Held(_) => (1, (0, 0, u64::from(*id))),
                    Wanted::No(_) => (2, (0, 0, u64::from(*id))),
                };
                members.iter().copied().min_by_key(rank)
            };
            let Some(lead) = held.or_else(best) else { continue };
            for member in &members {
                if *member != lead {
                    self.represented.insert(*member, lead);
                }
            }
            self.groups.insert(lead, members);
        }
    }

    /// Whether some entry stands for more than one key.
    pub(crate) fn merged(&self) -> bool {
        !self.groups.is_empty()
    }

    /// Every key an entry stands for.
    pub(crate) fn keys(&self, id: IndicatorId) -> impl Iterator<Item = IndicatorId> {
        let members = self.groups.get(&id.0).map_or(&[][..], Vec::as_slice);
        std::iter::once(id).chain(members.iter().map(|member| IndicatorId(*member)).filter(move |member| *member != id))
    }

    /// The representatives of these indicators, each once.
    pub(crate) fn representatives(&self, ids: &Selection) -> impl Iterator<Item = IndicatorId> {
        let mut leads = Selection::default();
        if self.merged() {
            for id in ids.iter() {
                leads.insert(self.represented.get(&id.0).map_or(id, |lead| IndicatorId(*lead)));
            }
        } else {
            leads = ids.clone();
        }
        leads.iter().collect::<Vec<_>>().into_iter()
    }

    /// Whether the entry is wanted: what all its keys say together.
    pub(crate) fn wanted(
        &self,
        known: &Known,
        collected: &Collected,
        target: &Target,
        id: IndicatorId,
        now: Timestamp,
    ) -> Wanted {
        match self.groups.get(&id.0) {
            None => wanted_of(known, collected, target, id, now),
            Some(members) => members
                .iter()
                .map(|member| wanted_of(known, collected, target, IndicatorId(*member), now))
                .reduce(Wanted::join)
                .unwrap_or_else(|| wanted_of(known, collected, target, id, now)),
        }
    }

    /// The text the destination stores.
    pub(crate) fn text<'k>(&self, known: &'k Known, id: IndicatorId) -> &'k str {
        let (kind, value) = known.index.key_ref(id);
        render(self.render, kind, value)
    }

    /// The key whose fields an entry carries: the best-ranked that wants it.
    fn speaker(&self, known: &Known, id: IndicatorId) -> IndicatorId {
        match self.groups.get(&id.0) {
            None => id,
            Some(members) => members
                .iter()
                .map(|m| IndicatorId(*m))
                .filter(|m| known.index.is_active(*m))
                .min_by_key(|m| super::rank_of(known, *m).order(true))
                .unwrap_or(id),
        }
    }

    /// Fingerprint, size and expiry of an entry as it would be sent now.
    pub(crate) fn rendered(&self, known: &Known, id: IndicatorId, now: Timestamp) -> (u64, u32, Option<Timestamp>) {
        let text = self.text(known, id);
        if self.fields == Fields::Entry {
            let expiry = if self.holds_expiry { self.outgoing(known, id, Times::all(now)).expires_at } else { None };
            return (xxh3_64_with_seed(text.as_bytes(), self.shape), text.len() as u32 + 1, expiry);
        }
        self.print(&self.outgoing(known, id, Times::all(now)))
    }

    /// The fingerprint an entry would have if it carried what it once did.
    pub(super) fn printed_as(&self, known: &Known, id: IndicatorId, past: &Past, now: Timestamp) -> u64 {
        if self.fields == Fields::Entry {
            return self.rendered(known, id, now).0;
        }
        let mut out = self.outgoing(known, id, Times::all(now));
        past.put(&mut out, now);
        self.print(&out).0
    }

    /// Fingerprint, size and expiry of what carries fields.
    fn print(&self, out: &Outgoing) -> (u64, u32, Option<Timestamp>) {
        let mut bytes = format!(
            "{}\u{0}{}\u{0}{}\u{0}{:?}\u{0}{}\u{0}{}\u{0}{:?}\u{0}{}\u{0}{:?}",
            out.entry,
            out.reputation,
            out.severity,
            out.confidence,
            out.tlp,
            out.tags.join("\u{1}"),
            out.comment,
            out.hops.join("\u{1}"),
            out.first_seen
        );
        if self.fields == Fields::Columns {
            bytes.push_str(&format!("\u{0}{}\u{0}{:?}", out.sources.join("\u{1}"), out.last_seen));
        }
        let expiry = if self.holds_expiry { out.expires_at } else { None };
        (xxh3_64_with_seed(bytes.as_bytes(), self.shape), bytes.len() as u32, expiry)
    }

    /// An entry as it goes out.
    pub(crate) fn outgoing(&self, known: &Known, id: IndicatorId, times: Times) -> Outgoing {
        let now = times.now;
        let speaker = self.speaker(known, id);
        let entry = self.text(known, id).to_owned();
        if self.fields == Fields::Entry && !self.holds_expiry {
            let (reputation, severity, _, _) = known.index.rank_fields(speaker);
            return Outgoing {
                entry,
                reputation,
                severity,
                tlp: known.index.tlp(speaker),
                ..Outgoing::bare(known.index.key(speaker), now)
            };
        }
        let mut out = spoken(known, speaker, entry, &self.exchange, times);
        if let Some(past) = self.pins.as_ref().and_then(|pins| pins.past(id)) {
            past.put(&mut out, now);
        }
        out
    }
}
