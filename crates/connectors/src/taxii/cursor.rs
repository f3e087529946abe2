//! Where reading stands, and where it goes on: decided here, without a call.
//!
//! A server's dates are the only thing that outlives a run. Objects of one date may be split over two pages or added while
//! we read, so the place kept lies one step before the last date seen: what is read twice is unchanged, what is skipped is
//! lost. Pages inside a run follow the server's `next`, and the dates where it has none, forgets it, or goes in circles.

use intel::Timestamp;
use kit::stix::{Markings, Version};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Pages in a row without an object, of which the server says that there is more.
const MAX_EMPTY: u32 = 100;
/// How often a collection is begun anew because the server forgot our place and gives no dates.
const MAX_RESTARTS: u32 = 2;
/// Largest page asked for, to get past objects that share one date.
const MAX_LIMIT: u64 = 100_000;
/// A server's date this far ahead of our clock is not believed: it would hide everything added before it is reached.
const MAX_SKEW: Duration = Duration::from_secs(86_400);

/// What is stored between calls.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// What the settings select: another selection starts anew.
    pub(super) scope: String,
    /// `added_after` by the collection's address.
    #[serde(default)]
    pub(super) after: BTreeMap<String, String>,
    /// Marking definitions met so far: objects on later pages refer to them.
    #[serde(default)]
    pub(super) markings: Markings,
    /// The run under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) run: Option<Run>,
}

/// A run under way.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Run {
    /// When the run that goes on with it started, in microseconds: tells one run's calls from the next one's.
    pub(super) at: i64,
    /// Collections it began with.
    pub(super) n: usize,
    /// The collections left, the one being read first.
    pub(super) todo: Vec<Todo>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) page: Option<Page>,
    /// What went wrong with collections that were skipped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) failed: Vec<String>,
    /// Markings that were asked for by id.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) asked: BTreeSet<String>,
}

/// A collection to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Todo {
    pub(super) url: String,
    /// It speaks 2.0.
    #[serde(default)]
    pub(super) is_v20: bool,
}

impl Todo {
    pub(super) fn version(&self) -> Version {
        if self.is_v20 { Version::V20 } else { Version::V21 }
    }
}

/// The page to ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Page {
    /// `added_after`; the same on all pages of one `next`, as servers want it.
    pub(super) after: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
    /// Of the first object, for 2.0.
    #[serde(default)]
    pub(super) offset: u64,
    pub(super) limit: u64,
    /// The latest date of what was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    high: Option<String>,
    /// A page was not in order of dates, so a date does not say what was read.
    #[serde(default)]
    is_unsorted: bool,
    n_pages: u64,
    /// Print of an earlier page: meeting it again is going in circles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    anchor: Option<u64>,
    /// Print of the page after which more was asked for at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    widened: Option<u64>,
    #[serde(default)]
    n_empty: u32,
    #[serde(default)]
    restarts: u32,
}

/// What a page said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) n: u64,
    pub(super) more: bool,
    pub(super) next: Option<String>,
    /// Where the next page begins, for 2.0.
    pub(super) offset: Option<u64>,
    pub(super) print: u64,
    /// `X-TAXII-Date-Added-First` and `-Last`.
    pub(super) first: Option<String>,
    pub(super) last: Option<String>,
}

/// How it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Turn {
    /// With this page.
    Again,
    /// The collection was read to its end; the next run begins after this date.
    End(String),
}

impl Page {
    pub(super) fn start(after: String, limit: u64) -> Page {
        Page {
            after,
            next: None,
            offset: 0,
            limit,
            high: None,
            is_unsorted: false,
            n_pages: 0,
            anchor: None,
            widened: None,
            n_empty: 0,
            restarts: 0,
        }
    }

    /// Judges a page that was read and turns to the next.
    pub(super) fn turn(&mut self, seen: &Seen, now: Timestamp) -> Result<Turn, String> {
        let circles = seen.n > 0 && self.anchor == Some(seen.print);
        // A page that comes again says nothing about order.
        if !circles {
            self.dates(seen, now);
        }
        self.n_pages += 1;
        self.n_empty = if seen.n == 0 { self.n_empty + 1 } else { 0 };
        if !seen.more {
            return Ok(Turn::End(self.end()));
        }
        if self.n_empty > MAX_EMPTY {
            return Err(format!("the server says that there is more, and gave {MAX_EMPTY} empty pages"));
        }
        // Any circle, however long, is met by an anchor that is moved ever more rarely.
        if seen.n > 0 && (self.anchor.is_none() || self.n_pages.is_power_of_two()) {
            self.anchor = Some(seen.print);
        }
        match (&seen.next, seen.offset) {
            // A 2.0 server that always gives the same does not know Range: that was all.
            (None, Some(_)) if circles => Ok(Turn::End(self.end())),
            (None, Some(offset)) if offset > self.offset => {
                self.offset = offset;
                Ok(Turn::Again)
            }
            (Some(next), _) if !circles => {
                self.next = Some(next.clone());
                Ok(Turn::Again)
            }
            _ => self.by_date(seen, circles),
        }
    }

    /// The server does not know our `next` any more.
    pub(super) fn forgotten(&mut self) -> Result<(), String> {
        let safe = self.safe();
        if later(&safe, &self.after) {
            self.go_on_after(safe);
            return Ok(());
        }
        if self.restarts >= MAX_RESTARTS {
            return Err(
                "the server forgets where we are before its pages are read; raise page_size, or ask its operator to \
                        keep them longer"
                    .into(),
            );
        }
        self.restarts += 1;
        self.limit = (self.limit * 2).min(MAX_LIMIT);
        self.go_on_after(self.after.clone());
        Ok(())
    }

    fn by_date(&mut self, seen: &Seen, circles: bool) -> Result<Turn, String> {
        let safe = self.safe();
        if later(&safe, &self.after) {
            self.go_on_after(safe);
            return Ok(Turn::Again);
        }
        if seen.n == 0 {
            return Ok(Turn::End(self.end()));
        }
        if self.high.is_none() {
            return Err(match circles {
                true => {
                    "the server gives the same page again and again, and no X-TAXII-Date-Added-Last to go on by".into()
                }
                false => {
                    "the server says that there is more, and gives neither next nor X-TAXII-Date-Added-Last".into()
                }
            });
        }
        if self.widened == Some(seen.print) || self.limit >= MAX_LIMIT || self.is_unsorted {
            return Err(format!(
                "the server gives no next, and its dates do not lead past {}: more objects share that date than it gives at \
                 once; raise page_size if it allows that",
                self.high.as_deref().unwrap_or_default()
            ));
        }
        self.widened = Some(seen.print);
        self.limit = (self.limit * 2).min(MAX_LIMIT);
        self.go_on_after(self.after.clone());
        Ok(Turn::Again)
    }

    fn go_on_after(&mut self, after: String) {
        self.after = after;
        self.next = None;
        self.offset = 0;
        self.anchor = None;
    }

    fn dates(&mut self, seen: &Seen, now: Timestamp) {
        let known =
            |text: &Option<String>| text.as_deref().and_then(|text| Some((Timestamp::parse(text)?, text.to_owned())));
        let (first, last) = (known(&seen.first), known(&seen.last));
        let high = known(&self.high);
        for pair in [[&high, &first], [&first, &last], [&high, &last]] {
            if let [Some((before, _)), Some((after, _))] = pair
                && after < before
            {
                // Pages may begin one step back, where reading went on by date.
                self.is_unsorted |= before.since(*after) > Duration::from_secs(1);
            }
        }
        let plausible = now.after(MAX_SKEW);
        let all = [high, first, last].into_iter().flatten().filter(|(time, _)| *time <= plausible);
        self.high = all.max().map(|(_, text)| text);
    }

    /// From where reading can go on without skipping anything.
    fn safe(&self) -> String {
        if self.is_unsorted { self.after.clone() } else { self.end() }
    }

    /// What the next run asks for when everything was read.
    fn end(&self) -> String {
        let back = self.high.as_deref().and_then(step_back);
        back.filter(|back| later(back, &self.after)).unwrap_or_else(|| self.after.clone())
    }
}

/// A moment before a date, so small that what has that date comes again, and so large that servers who round notice it.
fn step_back(date: &str) -> Option<String> {
    let time = Timestamp::parse(date)?;
    let step = if date.contains('.') { Duration::from_millis(1) } else { Duration::from_secs(1) };
    Some(stamp(time.before(step)))
}

/// TAXII wants microseconds (2.1 §3.2), whatever the value.
pub(super) fn stamp(time: Timestamp) -> String {
    let text = time.to_string();
    match text.strip_suffix('Z') {
        Some(secs) if !text.contains('.') => format!("{secs}.000000Z"),
        _ => text,
    }
}

fn later(a: &str, b: &str) -> bool {
    Timestamp::parse(a) > Timestamp::parse(b)
}
