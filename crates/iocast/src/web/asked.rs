//! Runs that were asked for: the page that says how far one is, and how it ended.

use super::overview::tone_of;
use super::shell::{Section, Shell};
use super::show::{self, When, defanged, n};
use super::{Fields, Visit};
use crate::api::Problem;
use crate::app::App;
use crate::app::asked::{Asked, Far, Outcome, Work};
use askama::Template;
use axum::extract::Path;
use axum::response::{IntoResponse, Redirect, Response};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// How long a page that waits for the end waits.
const WAIT: Duration = Duration::from_secs(20);

#[derive(Template)]
#[template(path = "asked.html")]
struct AskedPage {
    shell: Shell,
    id: u64,
    subject: String,
    /// Where what it is about is.
    home: String,
    who: String,
    began: When,
    /// What it does meanwhile; None: it has ended.
    doing: Option<String>,
    status: String,
    tone: &'static str,
    counts: Vec<(String, &'static str, &'static str)>,
    /// What the counts come to, as a sentence.
    balance: String,
    notes: Vec<String>,
    samples: Vec<String>,
    run: Option<u64>,
    plan: Option<u64>,
}

/// Begins a run, and leads to its page.
pub(super) async fn begin(visit: Visit, work: Work, subject: String) -> Result<Response, Problem> {
    let Visit { app, seat, .. } = visit;
    let (run, is_new) = app
        .hop(move |app| {
            exists(app, work, &subject)?;
            app.ask_for(work, &subject, &seat.caller.name)
        })
        .await?;
    let to = format!("/jobs/{}", run.id);
    if is_new {
        tokio::task::spawn_blocking(move || {
            // Whatever happens, nobody waits for ever.
            if catch_unwind(AssertUnwindSafe(|| app.do_asked(&run))).is_err() {
                run.end(app.now(), Outcome::Failed("it ended early; the log knows more".to_owned()));
            }
        });
    }
    Ok(Redirect::to(&to).into_response())
}

fn exists(app: &App, work: Work, subject: &str) -> Result<(), Problem> {
    let config = app.engine()?.config();
    let (what, there) = match work {
        Work::Pull => ("connection", config.connection(subject).is_some()),
        Work::Pass | Work::Verify(_) => ("target", config.target(subject).is_some()),
    };
    if there { Ok(()) } else { Err(Problem::not_found(format!("no {what} is called \"{subject}\""))) }
}

pub(super) async fn asked(visit: Visit, Path(id): Path<u64>, query: Fields) -> Result<Response, Problem> {
    let gone = || {
        Problem::not_found(
            "nobody remembers this any more: the exchange has been started since, or much else was asked for. \
             Activity shows what ran",
        )
    };
    let run = visit.app.asked(id).ok_or_else(gone)?;
    let (title, section) = match run.work {
        Work::Pull => (format!("Reading {}", run.subject), Section::Connections),
        Work::Pass => (format!("Pass over {}", run.subject), Section::Sharing),
        Work::Verify(_) => (format!("Reading back {}", run.subject), Section::Sharing),
    };
    let waits = query.some("wait").is_some();
    visit
        .page(title, section, move |app, shell| {
            let far = if waits { run.wait(WAIT) } else { run.far() };
            Ok(page(shell, app, &run, far))
        })
        .await
}

fn page(shell: Shell, app: &App, run: &Asked, far: Far) -> AskedPage {
    let home = match run.work {
        Work::Pull => format!("/connections/{}", show::part(&run.subject)),
        Work::Pass | Work::Verify(_) => format!("/targets/{}", show::part(&run.subject)),
    };
    let mut page = AskedPage {
        shell,
        id: run.id,
        subject: run.subject.clone(),
        home,
        who: run.who.clone(),
        began: When::at(run.began, app.now()),
        doing: None,
        status: "running".to_owned(),
        tone: "cold",
        counts: Vec::new(),
        balance: String::new(),
        notes: Vec::new(),
        samples: Vec::new(),
        run: None,
        plan: None,
    };
    let Some((_, outcome)) = far.ended else {
        page.doing = Some(match (far.rows, far.phase.as_str()) {
            (0, "") => "It has begun.".to_owned(),
            (0, phase) => format!("It is {phase}."),
            (rows, _) => format!("{} rows are read.", n(rows)),
        });
        return page;
    };
    let mut is = |status: &str| {
        status.replace('_', " ").clone_into(&mut page.status);
        page.tone = tone_of(status);
    };
    match outcome {
        Outcome::Pulled(report) => {
            is(&report.status);
            page.run = Some(report.run);
            page.counts = vec![
                (n(report.read), "", "read"),
                (n(report.new), "plus", "new"),
                (n(report.changed), "change", "changed"),
                (n(report.unchanged), "", "unchanged"),
                (n(report.rejected), if report.rejected > 0 { "minus" } else { "" }, "rejected"),
                (n(report.withdrawn), if report.withdrawn > 0 { "minus" } else { "" }, "no longer listed"),
            ];
            page.balance = super::connection::balance_of(
                report.read,
                report.new,
                report.changed,
                report.unchanged,
                report.rejected,
            );
            page.notes.extend(report.error);
            page.samples = report.samples;
        }
        Outcome::Passed(report) => {
            is(&report.status);
            page.run = Some(report.run).filter(|run| *run > 0);
            page.plan = report.plan;
            page.counts = vec![
                (n(report.push), "plus", "to add"),
                (n(report.update), "change", "to change"),
                (n(report.retract), "minus", "to take back"),
                (n(report.accepted), "", "accepted"),
                (n(report.refused), if report.refused > 0 { "minus" } else { "" }, "refused"),
                (n(report.unknown), if report.unknown > 0 { "change" } else { "" }, "not known yet"),
                (n(report.deferred), if report.deferred > 0 { "change" } else { "" }, "waiting"),
                (n(report.present), "", "there now"),
            ];
            page.balance = format!(
                "{} planned = {} accepted + {} refused + {} not known yet + {} waiting.",
                n(report.push + report.update + report.retract),
                n(report.accepted),
                n(report.refused),
                n(report.unknown),
                n(report.deferred)
            );
            page.notes.extend(report.error);
            page.notes.extend(report.holds);
        }
        Outcome::Verified(report) => {
            is(match report.status.as_str() {
                "same" => "ok",
                "drift" | "doubt" => "suspect",
                other => other,
            });
            report.status.clone_into(&mut page.status);
            page.run = Some(report.run).filter(|run| *run > 0);
            let drift = &report.drift;
            page.counts = vec![
                (n(drift.checked), "", "asked about"),
                (n(drift.there), "", "there"),
                (n(drift.missing), if drift.missing > 0 { "minus" } else { "" }, "missing"),
                (n(drift.lost), if drift.lost > 0 { "minus" } else { "" }, "others' now"),
                (n(drift.unknown), if drift.unknown > 0 { "change" } else { "" }, "ours, unknown"),
                (n(drift.foreign), "", "of others"),
            ];
            page.balance = format!(
                "{} asked about = {} there + {} missing + {} others'.",
                n(drift.checked),
                n(drift.there),
                n(drift.missing),
                n(drift.lost)
            );
            page.notes.extend(report.error);
            page.notes.extend(drift.doubt.clone());
            page.samples = drift.samples.iter().map(|sample| sample_of(sample)).collect();
        }
        Outcome::Failed(why) => {
            is("failed");
            page.notes.push(why);
        }
    }
    page
}

/// `entry: how`, the entry as nobody can click on it.
pub(super) fn sample_of(sample: &str) -> String {
    match sample.rsplit_once(": ") {
        Some((entry, how)) => format!("{}: {how}", faint(entry)),
        None => faint(sample),
    }
}

/// Defanged by what it looks like.
pub(super) fn faint(entry: &str) -> String {
    let kind = intel::IndicatorKey::parse(None, entry).map_or("", |key| key.kind().as_str());
    defanged(kind, entry)
}
