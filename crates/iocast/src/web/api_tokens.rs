//! Tokens of programs and devices: seen, made, ended.

use super::settings::{done, said};
use super::shell::{Section, Shell};
use super::show::When;
use super::{Fields, Sent, Visit};
use crate::api::Problem;
use crate::app::App;
use crate::app::tokens::{TokenAsked, TokenMade, TokenShown};
use crate::tokens::Scope;
use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use intel::Timestamp;

const TOKENS: &str = "/settings/tokens";

struct TokenRow {
    token: TokenShown,
    state: &'static str,
    tone: &'static str,
    expires: Option<When>,
    used: Option<When>,
    created: Option<When>,
    is_good: bool,
}

struct ScopeChoice {
    name: &'static str,
    meaning: &'static str,
    is_on: bool,
}

#[derive(Template)]
#[template(path = "tokens.html")]
struct TokensPage {
    shell: Shell,
    mistakes: Vec<String>,
    /// One that was just made, with its secret.
    made: Option<TokenMade>,
    rows: Vec<TokenRow>,
    /// How many more there are that are no longer good.
    n_over: usize,
    all: bool,
    scopes: Vec<ScopeChoice>,
    buckets: Vec<String>,
    name: String,
    bucket: String,
    expires: String,
}

fn is_over(token: &TokenShown, now: Timestamp) -> bool {
    let ends = token.expires_at.as_deref().and_then(Timestamp::parse);
    token.revoked.is_some() || ends.is_some_and(|ends| ends <= now)
}

/// How many of them are still good.
pub(super) fn good(tokens: &[TokenShown], now: Timestamp) -> usize {
    tokens.iter().filter(|token| !is_over(token, now)).count()
}

fn row(token: TokenShown, now: Timestamp) -> TokenRow {
    let is_good = !is_over(&token, now);
    let (state, tone) = match &token {
        token if token.revoked.is_some() => ("revoked", "calm"),
        _ if !is_good => ("expired", "calm"),
        token if token.owner.as_deref() == Some("(gone)") => ("its owner is gone", "warn"),
        _ => ("good", "ok"),
    };
    TokenRow {
        state,
        tone,
        expires: When::maybe(token.expires_at.as_deref(), now),
        used: When::maybe(token.last_used.as_deref(), now),
        created: When::of(&token.created, now),
        is_good,
        token,
    }
}

/// What a scope is for.
const fn meaning(scope: Scope) -> &'static str {
    match scope {
        Scope::Ingest => "a program that pushes to one bucket, and does nothing else",
        Scope::List => "a device that fetches served lists; without an end it lasts",
        Scope::Read => "a program that reads everything but secrets, as far as you may",
        Scope::Admin => "a program that does all that you may",
    }
}

fn page(
    app: &App,
    shell: Shell,
    typed: &Fields,
    mistakes: Vec<String>,
    made: Option<TokenMade>,
) -> Result<TokensPage, Problem> {
    let engine = app.engine()?;
    let now = app.now();
    let Some(caller) = &shell.caller else { return Err(Problem::unauthorized()) };
    let mut rows: Vec<TokenRow> = app.tokens(caller)?.into_iter().map(|token| row(token, now)).collect();
    rows.reverse();
    let n_over = rows.iter().filter(|row| !row.is_good).count();
    let all = typed.some("all").is_some();
    rows.retain(|row| all || row.is_good);
    // What somebody may not make is not offered.
    let scopes = Scope::ALL.into_iter().rev();
    let scopes = scopes.filter(|scope| shell.may_edit() || matches!(scope, Scope::Read | Scope::Admin));
    let chosen = typed.some("scope").unwrap_or(Scope::Read.as_str());
    let choice =
        |scope: Scope| ScopeChoice { name: scope.as_str(), meaning: meaning(scope), is_on: scope.as_str() == chosen };
    let config = engine.config();
    let buckets = config.connections.values().filter(|connection| engine.is_bucket(connection));
    Ok(TokensPage {
        mistakes,
        made,
        rows,
        n_over,
        all,
        scopes: scopes.map(choice).collect(),
        buckets: buckets.map(|connection| connection.doc.name.clone()).collect(),
        name: typed.get("name").to_owned(),
        bucket: typed.get("connection").to_owned(),
        expires: typed.get("expires_at").to_owned(),
        shell,
    })
}

pub(super) async fn tokens(visit: Visit, query: Fields) -> Result<Response, Problem> {
    visit.page("API tokens", Section::Settings, move |app, shell| page(app, shell, &query, Vec::new(), None)).await
}

pub(super) async fn do_make(visit: Visit, Sent(form): Sent) -> Result<Response, Problem> {
    let Visit { app, seat, theme, .. } = visit;
    app.hop(move |app| {
        let text = |name: &str| form.some(name).map(str::to_owned);
        let scope = text("scope").unwrap_or_default();
        let asked = TokenAsked {
            name: form.get("name").to_owned(),
            // The form has the field for every scope.
            connection: text("connection").filter(|_| scope == Scope::Ingest.as_str()),
            scope,
            expires_at: text("expires_at"),
            owner: None,
            networks: form.get("networks").split([',', ' ']).filter(|n| !n.is_empty()).map(str::to_owned).collect(),
        };
        let made = app.new_token(&seat.caller, asked);
        let shell = Shell::of(app, &seat, "API tokens".to_owned(), Section::Settings, theme, TOKENS.to_owned())?;
        match made {
            Ok(made) => super::door::shown(&page(app, shell, &Fields::default(), Vec::new(), Some(made))?),
            Err(problem) if problem.status().is_client_error() => {
                super::door::again(&problem, &page(app, shell, &form, said(&problem), None)?)
            }
            Err(problem) => Err(problem),
        }
    })
    .await
}

pub(super) async fn do_revoke(visit: Visit, Path(id): Path<u32>) -> Result<Response, Problem> {
    let about = ("API tokens".to_owned(), Section::Settings, TOKENS.to_owned());
    visit
        .act_or(
            about,
            move |app, caller| {
                app.revoke_token(caller, id)?;
                Ok(done(TOKENS, "revoked"))
            },
            |app, shell, mistakes| page(app, shell, &Fields::default(), mistakes, None),
        )
        .await
}
