//! What needed a person: how grave it is, what to do, who knows, and who has seen to it.

use super::settings::done;
use super::shell::{Section, Shell};
use super::show::{self, When};
use super::{Fields, Sent, Visit};
use crate::api::Problem;
use crate::app::App;
use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use engine::EngineError;
use engine::notice::{NoticeShown, Severity};
use intel::Timestamp;

const NOTICES: &str = "/activity/notices";
/// Notices of a page.
const ROWS: usize = 50;
/// How far back those that are over go, in days.
const DAYS: u32 = 30;

struct NoticeRow {
    notice: NoticeShown,
    state: &'static str,
    tone: &'static str,
    icon: &'static str,
    since: Option<When>,
    over: Option<When>,
    seen: Option<When>,
    told: String,
    link: Option<String>,
}

#[derive(Template)]
#[template(path = "notices.html")]
struct NoticesPage {
    shell: Shell,
    mistakes: Vec<String>,
    rows: Vec<NoticeRow>,
    found: usize,
    severities: Vec<&'static str>,
    severity: String,
    /// `open`, `seen`, `over` or empty: everything.
    state: String,
    back: String,
    next: Option<String>,
}

/// Where a person looks into it.
fn link_of(notice: &NoticeShown) -> Option<String> {
    let about = |kind: &str| notice.subject.strip_prefix(kind).map(str::trim).filter(|name| !name.is_empty());
    let target = |path: &str| about("target ").map(|name| format!("{path}{}", show::query(&[("target", name)])));
    match notice.kind.as_str() {
        "plan_waiting" => Some("/plans".to_owned()),
        "frozen" | "thawed" => Some("/settings".to_owned()),
        "refused" => target("/activity/refused"),
        "drift" => target("/activity/deliveries"),
        "verdict_ending" => Some("/indicators".to_owned()),
        _ => {
            let name = about("source ").or_else(|| about("target "))?;
            Some(format!("/activity{}", show::query(&[("subject", name)])))
        }
    }
}

fn row(notice: NoticeShown, now: Timestamp) -> NoticeRow {
    let (state, tone) = match &notice {
        notice if notice.over.is_some() => ("over", "calm"),
        notice if notice.seen_to.is_some() => ("seen to", "cold"),
        notice => match Severity::parse(&notice.severity) {
            Some(Severity::Critical) => ("critical", "bad"),
            Some(Severity::Warning) => ("warning", "warn"),
            _ => ("info", "ok"),
        },
    };
    let told: Vec<String> = notice
        .told
        .iter()
        .map(|told| match (&told.at, &told.error) {
            (Some(_), _) => format!("told to {}", told.channel),
            (None, Some(error)) => format!("{} does not take it: {error}", told.channel),
            (None, None) => format!("{} has yet to be told", told.channel),
        })
        .collect();
    NoticeRow {
        state,
        tone,
        icon: match notice.severity.as_str() {
            "critical" => "octagon-alert",
            "warning" => "triangle-alert",
            _ => "info",
        },
        since: When::of(&notice.since, now),
        over: When::maybe(notice.over.as_deref(), now),
        seen: notice.seen_to.as_ref().and_then(|seen| When::of(&seen.at, now)),
        told: told.join("; "),
        link: link_of(&notice),
        notice,
    }
}

fn page(app: &App, shell: Shell, query: &Fields, mistakes: Vec<String>) -> Result<NoticesPage, Problem> {
    let engine = app.engine()?;
    let now = app.now();
    match engine.take_notice() {
        // What cannot be noted now is noted when it can.
        Err(EngineError::Store(_)) if app.trouble().is_some() => {}
        noted => drop(noted?),
    }
    let (severity, state) = (query.get("severity").to_owned(), query.get("state").to_owned());
    let is_meant = |notice: &NoticeShown| {
        let is_over = notice.over.is_some();
        (severity.is_empty() || notice.severity == severity)
            && match state.as_str() {
                "open" => !is_over && notice.seen_to.is_none(),
                "seen" => !is_over && notice.seen_to.is_some(),
                "over" => is_over,
                _ => true,
            }
    };
    let mut found: Vec<NoticeShown> = engine.notices_shown(DAYS)?.into_iter().filter(is_meant).collect();
    // What nobody has seen to comes first, as grave as it is.
    found.sort_by_key(|notice| (notice.over.is_some(), notice.seen_to.is_some()));
    let from: usize = query.get("from").parse().unwrap_or(0);
    let n_found = found.len();
    let address =
        |from: &str| format!("{NOTICES}{}", show::query(&[("severity", &severity), ("state", &state), ("from", from)]));
    let next = (from.saturating_add(ROWS) < n_found).then(|| address(&(from + ROWS).to_string()));
    let back = address(if from == 0 { "" } else { query.get("from") });
    Ok(NoticesPage {
        rows: found.into_iter().skip(from).take(ROWS).map(|notice| row(notice, now)).collect(),
        mistakes,
        found: n_found,
        severities: Severity::ALL.iter().rev().map(|severity| severity.as_str()).collect(),
        back,
        next,
        severity,
        state,
        shell,
    })
}

pub(super) async fn notices(visit: Visit, query: Fields) -> Result<Response, Problem> {
    visit.page("Notices", Section::Activity, move |app, shell| page(app, shell, &query, Vec::new())).await
}

pub(super) async fn do_see(visit: Visit, Path(id): Path<u64>, Sent(form): Sent) -> Result<Response, Problem> {
    visit
        .act_or(
            ("Notices".to_owned(), Section::Activity, NOTICES.to_owned()),
            move |app, caller| {
                app.engine()?.see_to_notice(id, &caller.name, form.some("note"))?;
                let back = form.some("next").filter(|next| next.starts_with(NOTICES)).unwrap_or(NOTICES);
                Ok(done(back, "seen-to"))
            },
            |app, shell, mistakes| page(app, shell, &Fields::default(), mistakes),
        )
        .await
}
