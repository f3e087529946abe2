//! One's own account: who one is here, the password and the second factor.
//!
//! Whoever must set a password or enrol a factor first is led here by signing in; nothing else opens until they have.

use super::door::{again, in_now, untrimmed};
use super::settings::{self, SessionRow};
use super::shell::{Section, Shell};
use super::show::Markup;
use super::{Sent, Visit};
use crate::api::Problem;
use crate::people::accounts::{self, Enrolling};
use crate::people::{Must, PersonShown, SignedIn, Visitor};
use askama::Template;
use axum::http::{Extensions, HeaderMap};
use axum::response::Response;

/// The address of the page.
pub(super) const ACCOUNT: &str = "/account";

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    shell: Shell,
    person: PersonShown,
    mistake: Option<String>,
    /// A factor that waits for its first code.
    enrolling: Option<Enrolling>,
    /// The same to be read by a phone.
    picture: Option<Markup>,
    /// Codes to keep on paper, shown this once.
    recovery: Vec<String>,
    sessions: Vec<SessionRow>,
    end_at: &'static str,
    here: &'static str,
    with_names: bool,
}

impl AccountPage {
    fn must_set_password(&self) -> bool {
        self.person.must == Some(Must::SetPassword)
    }

    fn must_enrol(&self) -> bool {
        self.person.must == Some(Must::EnrolSecondFactor)
    }
}

/// What is shown beside who they are.
#[derive(Default)]
struct Shown {
    mistake: Option<Problem>,
    enrolling: Option<Enrolling>,
    recovery: Vec<String>,
}

pub(super) async fn account(visit: Visit) -> Result<Response, Problem> {
    page(visit, Shown::default()).await
}

async fn page(visit: Visit, shown: Shown) -> Result<Response, Problem> {
    let Visit { app, seat, theme, .. } = visit;
    let Shown { mistake, enrolling, recovery } = shown;
    let words = mistake.as_ref().map(|problem| problem.detail().to_owned());
    let page = app
        .hop(move |app| {
            // As it is now, and not as it was when the request began.
            let name = seat.caller.name.clone();
            let person = accounts::person(app, &name)?;
            let shell = Shell::of(app, &seat, "Your account".to_owned(), Section::Settings, theme, ACCOUNT.to_owned())?;
            // One's own, whoever else's one may see.
            let sessions = accounts::sessions(app, &seat.caller)?.into_iter();
            let sessions = sessions.filter(|session| session.user == person.name);
            Ok(AccountPage {
                shell,
                mistake: words,
                picture: enrolling.as_ref().and_then(|enrolling| qr(&enrolling.url)),
                enrolling,
                recovery,
                sessions: sessions.map(|session| SessionRow::of(session, app.now())).collect(),
                end_at: "/account/sessions/end",
                here: ACCOUNT,
                with_names: false,
                person,
            })
        })
        .await?;
    match mistake {
        Some(problem) => again(&problem, &page),
        None => super::door::shown(&page),
    }
}

pub(super) async fn do_password(
    visit: Visit,
    headers: HeaderMap,
    extensions: Extensions,
    Sent(form): Sent,
) -> Result<Response, Problem> {
    let (visitor, seat) = (Visitor::of(&headers, &extensions), visit.seat.clone());
    let done = visit
        .app
        .hop(move |app| {
            let new = untrimmed(&form, "new");
            if new != untrimmed(&form, "again") {
                return Err(Problem::invalid("the two new passwords are not the same"));
            }
            accounts::set_password(app, &visitor, &seat, &untrimmed(&form, "old"), &new)
        })
        .await;
    match done {
        Ok(SignedIn { cookie, .. }) => Ok(in_now(cookie, "/account?done=saved")),
        Err(problem) => page(visit, Shown { mistake: Some(problem), ..Shown::default() }).await,
    }
}

pub(super) async fn do_factor(
    visit: Visit,
    headers: HeaderMap,
    extensions: Extensions,
    Sent(form): Sent,
) -> Result<Response, Problem> {
    let (visitor, seat) = (Visitor::of(&headers, &extensions), visit.seat.clone());
    let done = visit
        .app
        .hop(move |app| accounts::begin_second_factor(app, &visitor, &seat, &untrimmed(&form, "password")))
        .await;
    let shown = match done {
        Ok(enrolling) => Shown { enrolling: Some(enrolling), ..Shown::default() },
        Err(problem) => Shown { mistake: Some(problem), ..Shown::default() },
    };
    page(visit, shown).await
}

pub(super) async fn do_confirm(
    visit: Visit,
    headers: HeaderMap,
    extensions: Extensions,
    Sent(form): Sent,
) -> Result<Response, Problem> {
    let (visitor, seat) = (Visitor::of(&headers, &extensions), visit.seat.clone());
    let done = visit.app.hop(move |app| accounts::confirm_second_factor(app, &visitor, &seat, form.get("code"))).await;
    let shown = match done {
        Ok(enrolled) => Shown { recovery: enrolled.recovery_codes, ..Shown::default() },
        Err(problem) => Shown { mistake: Some(problem), ..Shown::default() },
    };
    page(visit, shown).await
}

pub(super) async fn do_end_session(visit: Visit, Sent(form): Sent) -> Result<Response, Problem> {
    visit
        .act(move |app, caller| {
            let id: u32 = form.get("id").parse().map_err(|_| Problem::invalid("id: which session?"))?;
            // Who manages people ends those of others on their page.
            if !accounts::sessions(app, caller)?.iter().any(|one| one.id == id && one.user == caller.name) {
                return Err(Problem::not_found(format!("there is no session {id} of yours that goes on")));
            }
            settings::end_session(app, caller, &form)
        })
        .await
}

pub(super) async fn do_sign_out_elsewhere(visit: Visit) -> Result<Response, Problem> {
    let seat = visit.seat.clone();
    visit
        .act(move |app, _| {
            accounts::sign_out_elsewhere(app, &seat)?;
            Ok(settings::done(ACCOUNT, "signed-out-elsewhere"))
        })
        .await
}

/// A text as a QR code, dark on light in either theme: phones read no other. None: it is too long for one.
fn qr(text: &str) -> Option<Markup> {
    use qrcode::{Color, EcLevel, QrCode};
    let code = QrCode::with_error_correction_level(text.as_bytes(), EcLevel::M).ok()?;
    let width = code.width();
    // Four modules of quiet around it, as the standard asks.
    let size = width + 8;
    let mut path = String::new();
    for (at, color) in code.to_colors().into_iter().enumerate() {
        if color == Color::Dark {
            path.push_str(&format!("M{},{}h1v1h-1z", at % width + 4, at / width + 4));
        }
    }
    Some(Markup::new(format!(
        "<svg class=\"qr\" viewBox=\"0 0 {size} {size}\" role=\"img\" aria-label=\"QR code of the secret\" \
         shape-rendering=\"crispEdges\"><rect width=\"{size}\" height=\"{size}\" fill=\"#fff\"/>\
         <path d=\"{path}\" fill=\"#000\"/></svg>"
    )))
}
