//! One's own account: who one is here, the password and the second factor.
//!
//! Whoever must set a password or enrol a factor first is led here by signing in; nothing else opens until they have.

use super::door::{again, in_now, untrimmed};
use super::shell::{Section, Shell};
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
    /// Codes to keep on paper, shown this once.
    recovery: Vec<String>,
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
            Ok(AccountPage { shell, person, mistake: words, enrolling, recovery })
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
