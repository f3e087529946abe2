//! Every page there is. Router, navigation and the tests that open each are read from this table.

use super::{door, overview};
use super::{things, trial};
use crate::api::route::Needs::{self, Admin, Nothing, Read};
use crate::api::route::{Handler, Verb};
use crate::app::things::{Connections, Rules, Sharings, Targets, Tenants};
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
    page("/connectors", Read, "What can be connected.", || routing::get(things::catalogue)),
    page("/connections", Read, "Connections.", || routing::get(things::list::<Connections>)),
    page("/configure/connection", Admin, "The form of a connection.", || routing::get(things::edit::<Connections>)),
    form("/configure/connection", Admin, "Makes or changes a connection.", || {
        routing::post(things::save::<Connections>)
    }),
    form("/configure/connection/delete", Admin, "Deletes a connection.", || {
        routing::post(things::delete::<Connections>)
    }),
    page("/tenants", Read, "Tenants.", || routing::get(things::list::<Tenants>)),
    page("/configure/tenant", Admin, "The form of a tenant.", || routing::get(things::edit::<Tenants>)),
    form("/configure/tenant", Admin, "Makes or changes a tenant.", || routing::post(things::save::<Tenants>)),
    form("/configure/tenant/delete", Admin, "Deletes a tenant.", || routing::post(things::delete::<Tenants>)),
    page("/rules", Read, "Rules.", || routing::get(things::list::<Rules>)),
    page("/configure/rule", Admin, "The form of a rule.", || routing::get(things::edit::<Rules>)),
    form("/configure/rule", Admin, "Makes or changes a rule.", || routing::post(things::save::<Rules>)),
    form("/configure/rule/delete", Admin, "Deletes a rule.", || routing::post(things::delete::<Rules>)),
    page("/sharing", Read, "What goes where.", || routing::get(things::list::<Sharings>)),
    page("/configure/sharing", Admin, "The form of a sharing.", || routing::get(things::edit::<Sharings>)),
    form("/configure/sharing", Admin, "Makes or changes a sharing.", || routing::post(things::save::<Sharings>)),
    form("/configure/sharing/delete", Admin, "Deletes a sharing.", || routing::post(things::delete::<Sharings>)),
    page("/targets", Read, "Targets.", || routing::get(things::list::<Targets>)),
    page("/configure/target", Admin, "The form of a target.", || routing::get(things::edit::<Targets>)),
    form("/configure/target", Admin, "Makes or changes a target.", || routing::post(things::save::<Targets>)),
    form("/configure/target/delete", Admin, "Deletes a target.", || routing::post(things::delete::<Targets>)),
    form("/configure/rule/tree", Admin, "The tree of an expression, or its text.", || routing::post(trial::tree)),
    form("/configure/rule/test", Admin, "Tries a rule that is not saved.", || routing::post(trial::test)),
];
