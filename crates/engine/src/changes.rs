//! The feed of revisions: what changed after one, in order, removals included.
//!
//! Nobody misses anything: the reader's place is a revision, what is read never goes beyond the watermark (see
//! `publish`), and an indicator that changes again while it is read stands again under its new revision. A reader that
//! begins at nothing reads a snapshot page by page; its place then also says at which revision it began, because only
//! removals after that one concern it.

use crate::Engine;
use crate::desk::{Hit, hit};
use crate::error::EngineError;
use intel::IndicatorKind;
use store::Changed;

/// Where a reader is. As text `R`, or `R-B` while it reads a snapshot begun at B.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FeedPlace {
    /// Everything up to this revision has been read.
    pub since: u64,
    /// The revision at which the snapshot was begun. None: it is all read.
    pub begun: Option<u64>,
}

impl FeedPlace {
    /// Reads the text.
    pub fn parse(text: &str) -> Option<FeedPlace> {
        let number = |text: &str| {
            let digits = (1..=19).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
            if digits { text.parse::<u64>().ok().filter(|n| i64::try_from(*n).is_ok()) } else { None }
        };
        match text.split_once('-') {
            None => Some(FeedPlace { since: number(text)?, begun: None }),
            Some((since, begun)) => {
                let (since, begun) = (number(since)?, number(begun)?);
                (since < begun).then_some(FeedPlace { since, begun: Some(begun) })
            }
        }
    }

    /// The place after reading up to a revision.
    fn at(self, revision: u64) -> FeedPlace {
        FeedPlace { since: revision, begun: self.begun.filter(|begun| *begun > revision) }
    }
}

impl std::fmt::Display for FeedPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.begun {
            None => write!(f, "{}", self.since),
            Some(begun) => write!(f, "{}-{begun}", self.since),
        }
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq)]
pub struct FeedItem {
    /// Where a reader is that has read up to this one.
    pub place: FeedPlace,
    /// What sort of thing.
    pub kind: IndicatorKind,
    /// The canonical value.
    pub value: String,
    /// As it is now. None: it was removed.
    pub hit: Option<Hit>,
}

/// A stretch of changes.
#[derive(Debug, Clone, PartialEq)]
pub enum Feed {
    /// In order.
    Items {
        /// What changed.
        items: Vec<FeedItem>,
        /// Where to go on.
        next: FeedPlace,
        /// There is more already.
        more: bool,
    },
    /// The reader has been away for too long, or what it read was lost: it has to start over, from 0.
    Gone,
}

impl Engine {
    /// What changed after a place, at most `limit`.
    ///
    /// # Errors
    /// A failing store.
    pub fn changes(&self, place: FeedPlace, limit: usize) -> Result<Feed, EngineError> {
        // First how far one may read, then what is there: later changes are greater than this.
        let upto = self.watermark();
        let place = match place {
            FeedPlace { since: 0, begun: None } if upto > 0 => FeedPlace { since: 0, begun: Some(upto) },
            place => place,
        };
        let limit = limit.max(1);
        let found = self.store.changes(place.since, upto, limit + 1)?;
        if place.since > 0 && place.begun.unwrap_or(place.since) < found.floor || place.since > upto {
            return Ok(Feed::Gone);
        }
        let more = found.items.len() > limit;
        let now = self.world.now();
        let known = self.known();
        let mut items = Vec::with_capacity(found.items.len().min(limit));
        let mut next = place.at(if more { place.since } else { upto });
        for change in found.items.into_iter().take(limit) {
            let here = place.at(change.revision());
            if more {
                next = here;
            }
            match change {
                // Nobody who begins at nothing has anything that was removed before.
                Changed::Removed { revision, .. } if place.begun.is_some_and(|begun| revision <= begun) => {}
                Changed::Removed { key, .. } => {
                    items.push(FeedItem { place: here, kind: key.kind(), value: key.value().to_owned(), hit: None });
                }
                // Removed since: that is a change of its own, with a greater revision.
                Changed::Indicator { id, .. } if !known.index.exists(id) => {}
                Changed::Indicator { id, revision } => {
                    let (kind, value) = known.index.key_ref(id);
                    let hit = Hit { revision, ..hit(&known, id, now) };
                    items.push(FeedItem { place: here, kind, value: value.to_owned(), hit: Some(hit) });
                }
            }
        }
        Ok(Feed::Items { items, next, more })
    }
}
