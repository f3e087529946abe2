//! Every page there is. Router, navigation and the tests that open each are read from this table.

use super::{activity, door, grid, indicator, overview, plans};
use crate::api::route::Needs::{self, Admin, Nothing, Read};
use crate::api::route::{Handler, Verb};
use axum::routing;

/// One page, or one form that a page sends.
pub struct Page {
    /// How it is asked. What changes something is a POST.
    pub method: Verb,
    /// Where.
    pub path: &'static str,
    /// Who may.
    pub needs: Needs,
    /// What it is, in a few words.
    pub summary: &'static str,
    pub(crate) handler: Handler,
}

const fn page(path: &'static str, needs: Needs, summary: &'static str, handler: Handler) -> Page {
    Page { method: Verb::Get, path, needs, summary, handler }
}

const fn form(path: &'static str, needs: Needs, summary: &'static str, handler: Handler) -> Page {
    Page { method: Verb::Post, path, needs, summary, handler }
}

/// The table.
pub static TABLE: &[Page] = &[
    page("/", Nothing, "Leads to the overview.", || routing::get(door::front)),
    page("/setup", Nothing, "The first account.", || routing::get(door::set_up)),
    form("/setup", Nothing, "Makes the first account.", || routing::post(door::do_set_up)),
    page("/login", Nothing, "Signing in.", || routing::get(door::sign_in)),
    form("/login", Nothing, "Signs in.", || routing::post(door::do_sign_in)),
    form("/login/code", Nothing, "Signs in with a code.", || routing::post(door::do_code)),
    form("/logout", Read, "Signs out.", || routing::post(door::do_sign_out)),
    form("/theme", Nothing, "Chooses light or dark.", || routing::post(door::do_theme)),
    page("/overview", Read, "Everything at a glance.", || routing::get(overview::overview)),
    page("/indicators", Read, "Indicators, searched.", || routing::get(grid::grid)),
    page("/indicators/{kind}/{value}", Read, "One indicator.", || routing::get(indicator::indicator)),
    form("/indicators/{kind}/{value}/verdict", Admin, "Judges an indicator.", || routing::post(indicator::do_verdict)),
    form("/indicators/{kind}/{value}/note", Admin, "Mutes, tags, comments.", || routing::post(indicator::do_note)),
    page("/activity", Read, "Runs.", || routing::get(activity::runs)),
    page("/activity/runs/{id}", Read, "One run.", || routing::get(activity::run)),
    form("/activity/runs/{id}/believe", Admin, "Believes a suspect run.", || routing::post(activity::do_believe)),
    form("/activity/runs/{id}/discard", Admin, "Drops a suspect run.", || routing::post(activity::do_discard)),
    form("/activity/runs/{id}/undo", Admin, "Plans the undoing of a run.", || routing::post(activity::do_undo)),
    page("/activity/deliveries", Read, "What stands at targets.", || routing::get(activity::deliveries)),
    page("/activity/audit", Admin, "Who did what.", || routing::get(activity::audit)),
    page("/plans", Read, "Plans.", || routing::get(plans::plans)),
    page("/plans/{id}", Read, "One plan.", || routing::get(plans::plan)),
    form("/plans/{id}/approve", Admin, "Approves a plan or a part of it.", || routing::post(plans::do_approve)),
    form("/plans/{id}/reject", Admin, "Says no to a plan.", || routing::post(plans::do_reject)),
    form("/freeze", Admin, "Stops every call to a destination.", || routing::post(overview::do_freeze)),
    form("/thaw", Admin, "Lifts a freeze.", || routing::post(overview::do_thaw)),
];
