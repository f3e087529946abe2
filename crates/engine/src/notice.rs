//! Telling people what needs them: what is the case is read from state, kept while it stands, and told once.
//!
//! Nothing reports a notice: [`Engine::take_notice`] looks at what runs left behind (a held plan, a suspect run, a
//! denied credential, …) and compares it with the notices that stand. So a restart or another pass tells nothing twice,
//! and what is over is over whoever ended it. Delivery is a job of its own, with its own back-off; no pass waits for it.
//!
//! A notice never carries an indicator's value: channels may be less guarded than any target. It has counts, names of
//! things that are configured, the exact next command and, where the exchange knows its address, a link.

mod channel;
mod observe;

pub use channel::{Channel, ChannelKind, Letter};
pub(crate) use channel::{is_secret, resolve_channels};

use crate::Engine;
use crate::error::EngineError;
use intel::schedule::{backoff, jitter_of};
use intel::{DAY, Timestamp};
use kit::ConnectorError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use store::{NewNotice, NoticeRow, Telling};

/// Longest text of a notice, in characters.
const TEXT_MOST: usize = 500;

macro_rules! names {
    ($(#[$doc:meta])* $name:ident { $($(#[$item:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$item])* $variant,)+ }

        impl $name {
            /// All of them.
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];

            /// The name in configuration and answers.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)+ }
            }

            /// Reads the name.
            pub fn parse(text: &str) -> Option<$name> {
                $name::ALL.iter().copied().find(|name| name.as_str() == text)
            }
        }
    };
}

names!(
    /// What people are told of.
    Kind {
        /// Steps of a target wait for a person.
        PlanWaiting = "plan_waiting",
        /// A run of a source is not believed and waits for a person.
        RunSuspect = "run_suspect",
        /// The other side does not let us in.
        Denied = "denied",
        /// Runs or passes fail again and again.
        Failing = "failing",
        /// A target will not have some entries.
        Refused = "refused",
        /// A target does not hold what we left there.
        Drift = "drift",
        /// No call to a destination begins.
        Frozen = "frozen",
        /// Calls go on.
        Thawed = "thawed",
        /// A source has not been read for long.
        Stale = "stale",
        /// Verdicts that keep something away are about to end.
        VerdictEnding = "verdict_ending",
        /// A token, a certificate or an exception is about to end, or a secret is old.
        Ending = "ending",
        /// Secrets cannot be opened: their key is not here.
        Sealed = "sealed",
    }
);

names!(
    /// How grave it is.
    Severity {
        /// Good to know.
        Info = "info",
        /// Somebody should look.
        Warning = "warning",
        /// Something does not work until somebody acts.
        Critical = "critical",
    }
);

/// Something that is the case now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What sort of thing.
    pub kind: Kind,
    /// How grave.
    pub severity: Severity,
    /// What it is about; with the kind its identity.
    pub subject: String,
    /// A sentence.
    pub text: String,
    /// What to do.
    pub next_step: String,
    /// Where to look, below the exchange's address.
    pub path: String,
}

/// A notice as shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NoticeShown {
    /// Its number.
    pub id: u64,
    /// `plan_waiting`, `run_suspect`, `denied`, `failing`, `refused`, `drift`, `frozen`, `thawed`, `stale`,
    /// `verdict_ending`, `ending` or `sealed`.
    pub kind: String,
    /// `info`, `warning` or `critical`.
    pub severity: String,
    /// What it is about.
    pub subject: String,
    /// A sentence.
    pub text: String,
    /// What to do.
    pub next_step: String,
    /// Where to look, where the exchange knows its address.
    pub link: Option<String>,
    /// Since when. RFC 3339.
    pub since: String,
    /// Since when it is over; None: it stands. RFC 3339.
    pub over: Option<String>,
    /// What became of telling it.
    pub told: Vec<Told>,
    /// Who has seen to it; None: nobody said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen_to: Option<SeenTo>,
}

/// Who has seen to a notice. It stands all the same until its cause is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SeenTo {
    /// Who.
    pub who: String,
    /// When. RFC 3339.
    pub at: String,
    /// What they did about it.
    pub note: Option<String>,
}

/// The setting that remembers who has seen to what, by number.
const SEEN_TO: &str = "notices_seen_to";
/// How long that is remembered.
const SEEN_TO_KEPT: std::time::Duration = std::time::Duration::from_secs(366 * 86_400);
/// Longest note, in characters.
const NOTE_MOST: usize = 500;

/// What became of telling a notice through one channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Told {
    /// Which channel.
    pub channel: String,
    /// When the channel took it; None: not yet. RFC 3339.
    pub at: Option<String>,
    /// Tries that failed.
    pub attempts: u32,
    /// Not tried before this. RFC 3339.
    pub next_try: Option<String>,
    /// Why it was not taken.
    pub error: Option<String>,
}

/// A channel as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ChannelShown {
    /// Its name.
    pub name: String,
    /// `webhook`, `mail` or `syslog`.
    pub channel: String,
    /// Whether it tells anything.
    pub enabled: bool,
    /// Notices it has yet to take.
    pub waiting: u64,
    /// When it last took one, of those that are kept. RFC 3339.
    pub last_told: Option<String>,
    /// Tries of the first waiting one that failed.
    pub failures: u32,
    /// It is not tried before this. RFC 3339.
    pub next_try: Option<String>,
    /// Why it does not take it.
    pub error: Option<String>,
}

/// What a round of telling came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TellReport {
    /// Notices taken by channels.
    pub told: u64,
    /// Tries that failed; each ends its channel's turn.
    pub failed: u64,
}

/// A text without what a terminal, a mail or a log would obey, and not too long.
pub(crate) fn plain(text: &str) -> String {
    // Marks that change the direction of writing make a text read as another.
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let shown = |c: char| if c.is_control() || turns(c) || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c };
    text.chars().map(shown).take(TEXT_MOST).collect()
}

impl Engine {
    /// Compares what is the case with the notices that stand. Gives how many came, and how many are over.
    ///
    /// # Errors
    /// A failing store.
    pub fn take_notice(&self) -> Result<(u64, u64), EngineError> {
        let _one = crate::unpoison(self.noticing.lock());
        let seen = self.observe()?;
        let now = self.world.now();
        let standing: Vec<NoticeRow> =
            self.store.notices_standing(now)?.into_iter().filter(|row| row.over.is_none()).collect();
        let (mut n_new, mut n_over) = (0, 0);
        for notice in &seen {
            let new = NewNotice {
                kind: notice.kind.as_str(),
                subject: &notice.subject,
                severity: notice.severity.as_str(),
                text: &notice.text,
                next_step: &notice.next_step,
                path: &notice.path,
                is_event: false,
            };
            let says_the_same = standing.iter().any(|row| {
                (&*row.kind, &*row.subject, &*row.severity) == (new.kind, new.subject, new.severity)
                    && (&*row.text, &*row.next_step, &*row.path) == (new.text, new.next_step, new.path)
            });
            if !says_the_same && self.store.note(&new, now)?.1 {
                n_new += 1;
            }
        }
        for row in standing {
            if seen.iter().any(|notice| notice.kind.as_str() == row.kind && notice.subject == row.subject) {
                continue;
            }
            n_over += u64::from(self.store.notice_over(row.id, now)?);
            if row.kind == Kind::Frozen.as_str() {
                // Who was told that everything stands still is told that it goes on.
                let thawed = NewNotice {
                    kind: Kind::Thawed.as_str(),
                    subject: &row.subject,
                    severity: Severity::Warning.as_str(),
                    text: "Calls to destinations go on; the next passes do what has been waiting, within their brakes.",
                    next_step: "`iocast share --all --dry-run` shows what goes out now",
                    path: "/api/v1/status",
                    is_event: true,
                };
                self.store.note(&thawed, now)?;
            }
        }
        Ok((n_new, n_over))
    }

    /// Tells each channel what it has not been told yet, in the order it came about. A channel that does not take
    /// something is left alone for a while, and its notices keep their order. One round at a time.
    ///
    /// A notice is marked as told when the channel has taken it: a process that ends in between tells it once more,
    /// under the same message id.
    ///
    /// # Errors
    /// A failing store. A failing channel is none: it is counted, and shown in the status.
    pub fn tell_due(&self) -> Result<TellReport, EngineError> {
        let _one = crate::unpoison(self.telling.lock());
        let config = self.config();
        let mut report = TellReport::default();
        if config.channels.values().all(|channel| !channel.doc.enabled) {
            return Ok(report);
        }
        let rows = self.store.notices_standing(self.world.now().before(DAY))?;
        let Some(first) = rows.first() else { return Ok(report) };
        let done = self.tellings(first.id)?;
        for (name, channel) in &config.channels {
            for row in rows.iter().filter(|row| channel.wants(&row.kind, &row.severity)) {
                let now = self.world.now();
                let before = done.get(&(row.id, name.as_str()));
                if before.is_some_and(|telling| telling.told.is_some()) {
                    continue;
                }
                if before.and_then(|telling| telling.next_try).is_some_and(|at| at > now) {
                    break;
                }
                let said = match &channel.locked {
                    Some(why) => Err(ConnectorError::Later { wait: None, why: why.clone() }),
                    None => self.world.tell(channel, &self.letter(&config.public_url, row)),
                };
                self.world.step("notice.told")?;
                let mut telling = Telling {
                    notice: row.id,
                    channel: name.clone(),
                    told: Some(now),
                    attempts: before.map_or(0, |telling| telling.attempts),
                    next_try: None,
                    words: None,
                };
                match said {
                    Ok(()) => report.told += 1,
                    Err(error) => {
                        report.failed += 1;
                        telling.told = None;
                        telling.attempts += 1;
                        let asked = error.wait();
                        let wait = backoff(telling.attempts, asked, jitter_of(self.world.random()));
                        telling.next_try = Some(now.after(wait));
                        telling.words = Some(channel.hide(&error.to_string()));
                    }
                }
                let failed = telling.told.is_none();
                self.store.put_telling(&telling)?;
                if failed {
                    break;
                }
            }
        }
        Ok(report)
    }

    fn tellings(&self, from: u64) -> Result<Tellings, EngineError> {
        Ok(Tellings(self.store.tellings(from)?.into_iter().fold(BTreeMap::new(), |mut all, telling| {
            all.entry(telling.notice).or_insert_with(BTreeMap::new).insert(telling.channel.clone(), telling);
            all
        })))
    }

    fn letter(&self, public_url: &Option<String>, row: &NoticeRow) -> Letter {
        Letter {
            id: row.id,
            exchange: self.exchange.to_string(),
            kind: plain(&row.kind),
            severity: Severity::parse(&row.severity).unwrap_or(Severity::Warning),
            subject: plain(&row.subject),
            text: plain(&row.text),
            next_step: plain(&row.next_step),
            link: link(public_url, &row.path),
            since: row.first,
        }
    }

    /// Tells something through a channel now, to see whether it works. Nothing is stored.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], or what the channel says, without its secrets.
    pub fn tell_test(&self, name: &str) -> Result<(), EngineError> {
        let config = self.config();
        let names: Vec<&str> = config.channels.keys().map(String::as_str).collect();
        let channel = config.channels.get(name).ok_or_else(|| crate::not_found("notify channel", name, &names))?;
        let letter = Letter {
            id: 0,
            exchange: self.exchange.to_string(),
            kind: "test".to_owned(),
            severity: Severity::Info,
            subject: format!("notify {name}"),
            text: "This is a test: people are told through this channel.".to_owned(),
            next_step: "nothing".to_owned(),
            link: link(&config.public_url, "/api/v1/notices"),
            since: self.world.now(),
        };
        let said = match &channel.locked {
            Some(why) => Err(ConnectorError::Later { wait: None, why: why.clone() }),
            None => self.world.tell(channel, &letter),
        };
        said.map_err(|error| {
            EngineError::Conflict(format!("{name} did not take it: {}", channel.hide(&error.to_string())))
        })
    }

    /// Notices that stand, the gravest first; with `days` also those that were over in the last so many days.
    ///
    /// # Errors
    /// A failing store.
    pub fn notices_shown(&self, days: u32) -> Result<Vec<NoticeShown>, EngineError> {
        let config = self.config();
        let rows = match days {
            0 => self.store.notices_standing(self.world.now().after(DAY))?,
            days => self.store.notices_since(self.world.now().before(days * DAY))?,
        };
        let Some(first) = rows.first() else { return Ok(Vec::new()) };
        let tellings = self.tellings(first.id)?;
        let seen = self.seen_to()?;
        let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
        let mut shown: Vec<NoticeShown> = rows
            .iter()
            .map(|row| NoticeShown {
                id: row.id,
                kind: row.kind.clone(),
                severity: row.severity.clone(),
                subject: plain(&row.subject),
                text: plain(&row.text),
                next_step: plain(&row.next_step),
                link: link(&config.public_url, &row.path),
                since: row.first.to_string(),
                over: time(row.over),
                seen_to: seen.get(&row.id).cloned(),
                told: tellings
                    .of(row.id)
                    .map(|telling| Told {
                        channel: telling.channel.clone(),
                        at: time(telling.told),
                        attempts: telling.attempts,
                        next_try: time(telling.next_try),
                        error: telling.words.clone(),
                    })
                    .collect(),
            })
            .collect();
        shown.sort_by_key(|notice| (notice.over.is_some(), std::cmp::Reverse(Severity::parse(&notice.severity))));
        Ok(shown)
    }

    fn seen_to(&self) -> Result<BTreeMap<u64, SeenTo>, EngineError> {
        let kept = self.store.setting(SEEN_TO)?;
        Ok(kept.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
    }

    /// Says that somebody has seen to a notice. It stands until its cause is over, and comes back as a new one when that
    /// does.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], a note that is too long, or a failing store.
    pub fn see_to_notice(&self, id: u64, who: &str, note: Option<&str>) -> Result<NoticeShown, EngineError> {
        let _one = crate::unpoison(self.noticing.lock());
        let shown = || Ok::<_, EngineError>(self.notices_shown(365)?.into_iter().find(|notice| notice.id == id));
        if shown()?.is_none() {
            return Err(EngineError::NotFound(format!("there is no notice {id}")));
        }
        let note = note.map(str::trim).filter(|note| !note.is_empty());
        if note.is_some_and(|note| note.chars().count() > NOTE_MOST) {
            return Err(EngineError::Invalid(format!("note: at most {NOTE_MOST} characters")));
        }
        let now = self.world.now();
        let mut seen = self.seen_to()?;
        let oldest = now.before(SEEN_TO_KEPT);
        seen.retain(|_, seen| Timestamp::parse(&seen.at).is_some_and(|at| at >= oldest));
        seen.insert(id, SeenTo { who: who.to_owned(), at: now.to_string(), note: note.map(plain) });
        self.store.set_setting(SEEN_TO, &serde_json::to_string(&seen).unwrap_or_default())?;
        let detail = serde_json::json!({ "note": note }).to_string();
        self.store.audit(who, "notice.seen_to", &id.to_string(), &detail, now)?;
        shown()?.ok_or_else(|| EngineError::NotFound(format!("there is no notice {id}")))
    }

    /// The channels, and whether they work.
    ///
    /// # Errors
    /// A failing store.
    pub fn channels_shown(&self) -> Result<Vec<ChannelShown>, EngineError> {
        let config = self.config();
        if config.channels.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.store.notices_standing(self.world.now().before(DAY))?;
        let tellings = self.tellings(0)?;
        let shown = config.channels.iter().map(|(name, channel)| {
            let told = |row: &&NoticeRow| tellings.get(&(row.id, name)).is_some_and(|telling| telling.told.is_some());
            let wanted = || rows.iter().filter(|row| channel.wants(&row.kind, &row.severity)).filter(|row| !told(row));
            let first = wanted().next().and_then(|row| tellings.get(&(row.id, name)));
            ChannelShown {
                name: name.clone(),
                channel: channel.doc.channel.clone(),
                enabled: channel.doc.enabled,
                waiting: wanted().count() as u64,
                last_told: tellings.last_told(name).map(|at| at.to_string()),
                failures: first.map_or(0, |telling| telling.attempts),
                next_try: first.and_then(|telling| telling.next_try).map(|at| at.to_string()),
                error: first.and_then(|telling| telling.words.clone()).or_else(|| channel.locked.clone()),
            }
        });
        Ok(shown.collect())
    }
}

/// Where to look, below the address people reach the exchange at.
fn link(public_url: &Option<String>, path: &str) -> Option<String> {
    public_url.as_ref().filter(|_| !path.is_empty()).map(|url| format!("{url}{path}"))
}

/// What became of telling, by notice and channel.
struct Tellings(BTreeMap<u64, BTreeMap<String, Telling>>);

impl Tellings {
    fn get(&self, at: &(u64, &str)) -> Option<&Telling> {
        self.0.get(&at.0)?.get(at.1)
    }

    fn of(&self, notice: u64) -> impl Iterator<Item = &Telling> {
        self.0.get(&notice).into_iter().flat_map(BTreeMap::values)
    }

    fn last_told(&self, channel: &str) -> Option<Timestamp> {
        self.0.values().filter_map(|channels| channels.get(channel)?.told).max()
    }
}

#[cfg(test)]
mod tests;
