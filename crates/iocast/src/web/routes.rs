//! Every page there is. Router, navigation and the tests that open each are read from this table.

use super::{door, overview};
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
    form("/freeze", Admin, "Stops every call to a destination.", || routing::post(overview::do_freeze)),
    form("/thaw", Admin, "Lifts a freeze.", || routing::post(overview::do_thaw)),
];
