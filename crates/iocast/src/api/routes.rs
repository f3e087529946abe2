//! Every route there is. Router, permissions and the test that calls each without a token are read from this table.

use super::{changes, config, connectors, import, indicators, jobs, lists, observations, rules, runs, system};
use crate::app::App;
use axum::routing::{self, MethodRouter};
use std::sync::Arc;

/// What a caller must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Anybody.
    Nothing,
    /// As each thing behind it says for itself.
    ItsOwn,
    /// A token with scope `ingest` for the bucket of the address, or `admin`.
    Ingest,
    /// A token with scope `read`.
    Read,
    /// A token with scope `admin`.
    Admin,
}

/// How long an answer may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// A minute.
    Quick,
    /// As long as the job takes.
    Long,
}

/// How an address is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Changes nothing.
    Get,
    /// Does something.
    Post,
    /// Takes something away.
    Delete,
}

impl Verb {
    /// As HTTP writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verb::Get => "GET",
            Verb::Post => "POST",
            Verb::Delete => "DELETE",
        }
    }
}

/// One route.
pub struct Route {
    /// How it is asked.
    pub method: Verb,
    /// Where.
    pub path: &'static str,
    /// Who may.
    pub needs: Needs,
    /// How long it may take.
    pub patience: Patience,
    /// What it does, in a sentence.
    pub summary: &'static str,
    pub(crate) handler: fn() -> MethodRouter<Arc<App>>,
}

type Handler = fn() -> MethodRouter<Arc<App>>;

const fn get(path: &'static str, needs: Needs, summary: &'static str, handler: Handler) -> Route {
    Route { method: Verb::Get, path, needs, patience: Patience::Quick, summary, handler }
}

const fn post(path: &'static str, needs: Needs, summary: &'static str, handler: Handler) -> Route {
    Route { method: Verb::Post, path, needs, patience: Patience::Quick, summary, handler }
}

const fn job(path: &'static str, needs: Needs, summary: &'static str, handler: Handler) -> Route {
    Route { method: Verb::Post, path, needs, patience: Patience::Long, summary, handler }
}

/// A question whose answer goes on, or is waited for.
const fn follow(path: &'static str, needs: Needs, summary: &'static str, handler: Handler) -> Route {
    Route { method: Verb::Get, path, needs, patience: Patience::Long, summary, handler }
}

const fn delete(path: &'static str, needs: Needs, summary: &'static str, handler: Handler) -> Route {
    Route { method: Verb::Delete, path, needs, patience: Patience::Quick, summary, handler }
}

use Needs::{Admin, Ingest, ItsOwn, Nothing, Read};

/// The table.
pub static TABLE: &[Route] = &[
    get("/healthz", Nothing, "Whether the process answers.", || routing::get(system::healthz)),
    get("/lists/{name}", ItsOwn, "A served list.", || routing::get(lists::serve)),
    get("/api/v1/status", Read, "What is here, and how it is.", || routing::get(system::status)),
    get("/api/v1/config", Read, "The configuration, secrets left out.", || routing::get(config::show)),
    // It waits for passes and pulls of what it deletes.
    job("/api/v1/config/apply", Admin, "Makes the configuration what a file says; deletes only with `prune`.", || {
        routing::post(config::apply)
    }),
    job("/api/v1/pulls", Admin, "Pulls sources now.", || routing::post(jobs::pull)),
    job("/api/v1/passes", Admin, "Runs passes over targets now, or shows what they would do.", || {
        routing::post(jobs::pass)
    }),
    post("/api/v1/rules/test", Read, "What a rule selects, and why one value is in it or not.", || {
        routing::post(rules::test)
    }),
    get("/api/v1/indicators", Read, "Searches indicators.", || routing::get(indicators::find)),
    post("/api/v1/indicators", Admin, "Adds values by hand.", || routing::post(indicators::add)),
    get("/api/v1/indicators/count", Read, "How many indicators a search finds.", || routing::get(indicators::count)),
    get("/api/v1/indicators/why", Read, "Why a value is at a target, and why it is not.", || {
        routing::get(indicators::why)
    }),
    post("/api/v1/indicators/verdict", Admin, "Sets or clears the verdict on a value.", || {
        routing::post(indicators::verdict)
    }),
    post("/api/v1/indicators/annotate", Admin, "Mutes, tags or comments a value.", || {
        routing::post(indicators::annotate)
    }),
    get("/api/v1/lists", Read, "The served lists.", || routing::get(lists::all)),
    get("/api/v1/runs", Read, "Runs, the latest first.", || routing::get(runs::list)),
    get("/api/v1/runs/{id}", Read, "One run.", || routing::get(runs::show)),
    job("/api/v1/runs/{id}/approve", Admin, "Believes a suspect run.", || routing::post(runs::approve)),
    post("/api/v1/runs/{id}/discard", Admin, "Drops a suspect run.", || routing::post(runs::discard)),
    get("/api/v1/plans", Read, "Held plans, the latest first.", || routing::get(runs::plans)),
    get("/api/v1/plans/{id}", Read, "One held plan with its steps.", || routing::get(runs::plan)),
    post("/api/v1/plans/{id}/approve", Admin, "Allows exactly the steps of a held plan.", || {
        routing::post(runs::approve_plan)
    }),
    post("/api/v1/plans/{id}/reject", Admin, "Says no to a held plan.", || routing::post(runs::reject_plan)),
    get("/api/v1/connectors", Read, "The connectors there are.", || routing::get(connectors::list)),
    get("/api/v1/connectors/{name}", Read, "What a connector is and which settings it takes.", || {
        routing::get(connectors::show)
    }),
    job("/api/v1/connections/{name}/check", Admin, "Whether a connection works with its settings.", || {
        routing::post(connectors::check)
    }),
    Route {
        method: Verb::Post,
        path: "/api/v1/connections/{name}/observations",
        needs: Ingest,
        patience: Patience::Long,
        summary: "Pushes rows to a bucket: JSON, or NDJSON of any length.",
        handler: || routing::post(observations::push),
    },
    follow("/api/v1/changes", Read, "What changed after a revision, in order; waits, or goes on as events.", || {
        routing::get(changes::read)
    }),
    post("/api/v1/extract", Read, "The indicators in a text; stores nothing.", || routing::post(import::extract)),
    get("/api/v1/tokens", Admin, "The tokens, without their secrets.", || routing::get(system::tokens)),
    post("/api/v1/tokens", Admin, "Makes a token; its secret is shown this once.", || routing::post(system::new_token)),
    delete("/api/v1/tokens/{id}", Admin, "Ends a token.", || routing::delete(system::revoke_token)),
    get("/api/v1/audit", Admin, "Who did what, the latest first.", || routing::get(system::audit)),
    job("/api/v1/backup", Admin, "Writes a copy of the store to a new file on the server.", || {
        routing::post(system::backup)
    }),
    post("/api/v1/freeze", Admin, "Stops every new call to a destination.", || routing::post(system::freeze)),
    post("/api/v1/thaw", Admin, "Lets calls to destinations go on.", || routing::post(system::thaw)),
];
