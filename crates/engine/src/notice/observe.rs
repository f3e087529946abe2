//! What is the case: read from what runs and passes left behind. Nothing here changes anything.

use super::{Kind, Notice, Severity, plain};
use crate::Engine;
use crate::config::{Connection, Target};
use crate::error::EngineError;
use crate::state::{ConnectionState, TargetState};
use intel::sharing::LineState;
use intel::{DAY, Timestamp, VerdictKind};
use std::collections::BTreeMap;

/// Runs or passes that fail in a row before people are told.
const FAILURES: u32 = 3;
/// How many of its intervals a source may be silent.
const SILENT_INTERVALS: u32 = 3;
/// How long before its end a verdict is told.
const ENDING: u32 = 3;
/// Days before the end of what opens a door that it is told.
const ENDS_SOON: u32 = 14;
/// Days after which a secret is old.
const OLD_SECRET: u32 = 365;

fn notice(
    kind: Kind,
    severity: Severity,
    subject: impl AsRef<str>,
    text: &str,
    next_step: &str,
    path: impl Into<String>,
) -> Notice {
    Notice {
        kind,
        severity,
        subject: plain(subject.as_ref()),
        text: plain(text),
        next_step: plain(next_step),
        path: path.into(),
    }
}

/// `1 entry`, `3 entries`.
fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

impl Engine {
    /// Everything a person should know of at this moment.
    pub(super) fn observe(&self) -> Result<Vec<Notice>, EngineError> {
        let mut out = Vec::new();
        let now = self.world.now();
        let config = self.config();
        if self.is_frozen()? {
            out.push(notice(
                Kind::Frozen,
                Severity::Critical,
                "exchange",
                "Frozen: no call to a destination begins; pulls and reads go on.",
                "`iocast status` says what waits; `iocast thaw` ends this",
                "/api/v1/status".to_owned(),
            ));
        }
        for connection in config.connections.values() {
            let state = ConnectionState::parse(self.store.connection_state(connection.id)?.as_deref());
            source(connection, &state, now, &mut out);
        }
        let waiting = self.plans(Some("waiting"))?;
        let waits_for_adoption = self.to_reconcile()?;
        for target in config.targets.values() {
            let text = self.store.target_state(target.id)?.unwrap_or_default();
            let state = TargetState::parse(Some(&text));
            let refused = self.known().ledgers.get(&target.id).map_or(0, |l| l.count(LineState::Refused)) as u64;
            of_target(target, &state, refused, &mut out);
            if waits_for_adoption.contains(&target.doc.name) {
                let name = &target.doc.name;
                out.push(notice(
                    Kind::Frozen,
                    Severity::Critical,
                    format!("target {name}"),
                    &format!(
                        "The exchange was restored from a backup: nothing goes to {name} or is taken back from it."
                    ),
                    &format!("`iocast target adopt {name} --preview`, then `iocast target adopt {name}`"),
                    format!("/api/v1/targets/{name}/state"),
                ));
            }
            for plan in waiting.iter().filter(|plan| plan.target == target.doc.name) {
                let parts = [(plan.push, "add"), (plan.update, "change"), (plan.retract, "take back")];
                let parts: Vec<String> =
                    parts.iter().filter(|(n, _)| *n > 0).map(|(n, verb)| format!("{verb} {n}")).collect();
                out.push(notice(
                    Kind::PlanWaiting,
                    Severity::Warning,
                    format!("target {}", target.doc.name),
                    &format!("A plan of {} waits for approval: it would {}.", target.doc.name, parts.join(", ")),
                    &format!(
                        "`iocast plan show {0}`, then `iocast plan approve {0}` or `iocast plan reject {0}`",
                        plan.id
                    ),
                    format!("/api/v1/plans/{}", plan.id),
                ));
            }
        }
        self.ending(now, &mut out);
        self.doors(now, &mut out)?;
        Ok(out)
    }

    /// What will no longer open soon: tokens, certificates, exceptions; secrets that are old, and those that are locked.
    fn doors(&self, now: Timestamp, out: &mut Vec<Notice>) -> Result<(), EngineError> {
        let is_near = |end: Timestamp| end > now && end.since(now) <= ENDS_SOON * DAY;
        let day = |at: Timestamp| at.to_string().chars().take(10).collect::<String>();
        if let Some(why) = self.sealed_off()? {
            out.push(notice(
                Kind::Sealed,
                Severity::Critical,
                "exchange",
                &why,
                "start it with the key: --key-file, IOCAST_KEY or --key-command; `iocast secret list` says what is locked",
                "/api/v1/secrets",
            ));
        }
        for token in self.store.tokens()?.iter().filter(|token| token.revoked.is_none()) {
            let Some(end) = token.expires.filter(|end| is_near(*end)) else { continue };
            out.push(notice(
                Kind::Ending,
                Severity::Warning,
                format!("token {}", token.id),
                &format!("The token \"{}\" ends on {}: who uses it is refused then.", token.name, day(end)),
                &format!(
                    "`iocast token create` makes another one; give it to who uses this one, then `iocast token revoke {}`",
                    token.id
                ),
                "/api/v1/tokens",
            ));
        }
        for (name, end) in self.world.certificates() {
            if end > now && !is_near(end) {
                continue;
            }
            let (severity, text) = match end > now {
                true => (Severity::Warning, format!("The certificate {name} ends on {}.", day(end))),
                false => {
                    (Severity::Critical, format!("The certificate {name} ended on {}: nobody trusts it.", day(end)))
                }
            };
            let next = "put a new one in its place and start the server again";
            out.push(notice(Kind::Ending, severity, format!("certificate {name}"), &text, next, "/api/v1/status"));
        }
        // By target and day: a notice names no value.
        let mut by_day: BTreeMap<(String, String), u64> = BTreeMap::new();
        for exception in &self.config().file.guard_exception {
            if let Some(end) = Timestamp::parse(&exception.until).filter(|end| is_near(*end)) {
                *by_day.entry((exception.target.clone(), day(end))).or_default() += 1;
            }
        }
        for ((target, day), n) in by_day {
            let exceptions = counted(n, "exception from the guard ends", "exceptions from the guard end");
            out.push(notice(
                Kind::Ending,
                Severity::Warning,
                format!("exceptions of {target} until {day}"),
                &format!(
                    "{exceptions} on {day}: what they let through to {target} is guarded again and taken back then."
                ),
                "`iocast guard exception list` names them; propose and approve those that are still needed again",
                "/api/v1/guard/exceptions",
            ));
        }
        let old = self.secrets_shown()?.into_iter().filter(|secret| {
            let at = secret.changed_at.as_deref().and_then(Timestamp::parse);
            secret.state == "set" && at.is_some_and(|at| now.since(at) > OLD_SECRET * DAY && now > at)
        });
        for secret in old {
            out.push(notice(
                Kind::Ending,
                Severity::Info,
                format!("secret {} {} {}", secret.section, secret.name, secret.key),
                &format!(
                    "The secret {} of {} {} was given more than a year ago.",
                    secret.key, secret.section, secret.name
                ),
                "make a new one at the other side, give it here, and end the old one there",
                "/api/v1/secrets",
            ));
        }
        Ok(())
    }

    /// Verdicts that keep something away and end soon, by the day on which they end.
    fn ending(&self, now: Timestamp, out: &mut Vec<Notice>) {
        let soon = now.after(ENDING * DAY);
        let mut by_day: BTreeMap<String, u64> = BTreeMap::new();
        for (_, analyst) in self.known().index.analysts() {
            if let Some(verdict) = analyst.verdict_at(now).and(analyst.verdict)
                && verdict.kind == VerdictKind::FalsePositive
                && let Some(until) = verdict.until.filter(|until| *until <= soon)
            {
                *by_day.entry(until.to_string().chars().take(10).collect()).or_default() += 1;
            }
        }
        for (day, n) in by_day {
            let verdicts = counted(n, "false_positive verdict ends", "false_positive verdicts end");
            out.push(notice(
                Kind::VerdictEnding,
                Severity::Info,
                format!("verdicts until {day}"),
                &format!("{verdicts} on {day}: what sources still say of those values counts again then."),
                "`iocast indicator find 'verdict = false_positive' --all`; a verdict given again stands longer",
                "/api/v1/indicators?q=verdict+%3D+false_positive&all=true".to_owned(),
            ));
        }
    }
}

fn source(connection: &Connection, state: &ConnectionState, now: Timestamp, out: &mut Vec<Notice>) {
    let name = &connection.doc.name;
    let subject = || format!("source {name}");
    if let Some(suspect) = &state.suspect {
        out.push(notice(
            Kind::RunSuspect,
            Severity::Warning,
            subject(),
            &format!("A run of {name} is not believed and waits: {}.", suspect.why),
            &format!("`iocast run show {0}`, then `iocast run approve {0}` or `iocast run discard {0}`", suspect.run),
            format!("/api/v1/runs/{}", suspect.run),
        ));
    }
    if !connection.doc.enabled || connection.open.source().is_none() {
        return;
    }
    if state.denied {
        out.push(notice(
            Kind::Denied,
            Severity::Critical,
            subject(),
            &format!("{name} denies us: nothing is pulled until somebody acts."),
            &format!("`iocast check`, then mend its settings or `iocast pull {name}`"),
            "/api/v1/status".to_owned(),
        ));
        return;
    }
    let last = state.last_success.map(Timestamp::from_micros);
    let limit = (connection.interval * SILENT_INTERVALS).max(DAY);
    if state.failures >= FAILURES {
        out.push(notice(
            Kind::Failing,
            Severity::Warning,
            subject(),
            &format!("Runs of {name} fail: {} times in a row at least.", FAILURES),
            "`iocast run list` says why",
            "/api/v1/runs".to_owned(),
        ));
    }
    if let Some(last) = last.filter(|last| now.since(*last) > limit) {
        let day: String = last.to_string().chars().take(10).collect();
        out.push(notice(
            Kind::Stale,
            Severity::Warning,
            subject(),
            &format!("{name} was last read on {day}: what it says ages."),
            &format!("`iocast run list`, then `iocast pull {name}`"),
            "/api/v1/runs".to_owned(),
        ));
    }
}

fn of_target(target: &Target, state: &TargetState, refused: u64, out: &mut Vec<Notice>) {
    let name = &target.doc.name;
    let subject = || format!("target {name}");
    if !target.doc.enabled {
        return;
    }
    if state.denied {
        out.push(notice(
            Kind::Denied,
            Severity::Critical,
            subject(),
            &format!("{name} denies us: nothing is sent or taken back until somebody acts."),
            &format!("`iocast check`, then mend the settings of its connection or `iocast share {name}`"),
            "/api/v1/status".to_owned(),
        ));
    } else if state.failures >= FAILURES {
        out.push(notice(
            Kind::Failing,
            Severity::Critical,
            subject(),
            &format!("Passes over {name} fail, {FAILURES} times in a row at least: it may not hold what it should."),
            "`iocast run list` says why",
            "/api/v1/runs".to_owned(),
        ));
    }
    if refused > 0 {
        out.push(notice(
            Kind::Refused,
            Severity::Warning,
            subject(),
            &format!(
                "{name} refuses {}; each is offered again after a day, then less often, at last once a week.",
                counted(refused, "entry", "entries")
            ),
            &format!("`iocast target refused {name}` has its words"),
            format!("/api/v1/targets/{name}/deliveries?state=refused"),
        ));
    }
    if let Some(drift) = state.drift.as_ref().filter(|drift| drift.is_any()) {
        let text = match &drift.doubt {
            Some(doubt) => format!("What {name} says it holds is doubted: {doubt}."),
            None => {
                let entries = counted(drift.n_different(), "entry", "entries");
                format!("{name} does not hold what we left there: {entries} differ.")
            }
        };
        let next_step = match &drift.doubt {
            Some(_) => format!("`iocast target verify {name}` asks again; with `--believe` it is taken for true"),
            None => format!(
                "`iocast target show {name}` says what; the next pass mends it, or `iocast target adopt {name}`"
            ),
        };
        let path = format!("/api/v1/targets/{name}/state");
        out.push(notice(Kind::Drift, Severity::Warning, subject(), &text, &next_step, path));
    }
}
