//! Every page there is. Router, navigation and the tests that open each are read from this table.

use super::{account, activity, api_tokens, door, grid, indicator, overview, plans, settings, things, trial, users};
use crate::api::PageRoute;
use crate::app::things::{Connections, Rules, Sharings, Targets, Tenants};
use crate::people::roles::Needs::{
    Account, AnalystWork, Approve, EditConfig, Freeze, ManagePeople, Nothing, Read, ReadAudit, Session, Thaw, Undo,
    WriteSecret,
};
use axum::routing;

/// The table.
pub static TABLE: &[PageRoute] = &[
    PageRoute::get("/", Nothing, || routing::get(door::front)),
    PageRoute::get("/setup", Nothing, || routing::get(door::set_up)),
    PageRoute::post("/setup", Nothing, || routing::post(door::do_set_up)),
    PageRoute::get("/sign-in", Nothing, || routing::get(door::sign_in)),
    PageRoute::post("/sign-in", Nothing, || routing::post(door::do_sign_in)),
    PageRoute::post("/sign-in/code", Nothing, || routing::post(door::do_code)),
    PageRoute::post("/sign-out", Session, || routing::post(door::do_sign_out)),
    PageRoute::post("/theme", Nothing, || routing::post(door::do_theme)),
    PageRoute::get("/account", Session, || routing::get(account::account)),
    PageRoute::post("/account/password", Session, || routing::post(account::do_password)),
    PageRoute::post("/account/second-factor", Session, || routing::post(account::do_factor)),
    PageRoute::post("/account/second-factor/confirm", Session, || routing::post(account::do_confirm)),
    PageRoute::get("/overview", Read, || routing::get(overview::overview)),
    PageRoute::get("/indicators", Read, || routing::get(grid::grid)),
    PageRoute::get("/indicators/{kind}/{value}", Read, || routing::get(indicator::indicator)),
    PageRoute::post("/indicators/{kind}/{value}/verdict", AnalystWork, || routing::post(indicator::do_verdict)),
    PageRoute::post("/indicators/{kind}/{value}/note", AnalystWork, || routing::post(indicator::do_note)),
    PageRoute::get("/activity", Read, || routing::get(activity::runs)),
    PageRoute::get("/activity/runs/{id}", Read, || routing::get(activity::run)),
    PageRoute::post("/activity/runs/{id}/believe", Approve, || routing::post(activity::do_believe)),
    PageRoute::post("/activity/runs/{id}/discard", Approve, || routing::post(activity::do_discard)),
    PageRoute::post("/activity/runs/{id}/undo", Undo, || routing::post(activity::do_undo)),
    PageRoute::get("/activity/deliveries", Read, || routing::get(activity::deliveries)),
    PageRoute::get("/activity/audit", ReadAudit, || routing::get(activity::audit)),
    PageRoute::get("/plans", Read, || routing::get(plans::plans)),
    PageRoute::get("/plans/{id}", Read, || routing::get(plans::plan)),
    PageRoute::post("/plans/{id}/approve", Approve, || routing::post(plans::do_approve)),
    PageRoute::post("/plans/{id}/reject", Approve, || routing::post(plans::do_reject)),
    PageRoute::post("/freeze", Freeze, || routing::post(overview::do_freeze)),
    PageRoute::post("/thaw", Thaw, || routing::post(overview::do_thaw)),
    PageRoute::get("/connectors", Read, || routing::get(things::catalogue)),
    PageRoute::get("/connections", Read, || routing::get(things::list::<Connections>)),
    PageRoute::get("/configure/connection", Read, || routing::get(things::edit::<Connections>)),
    PageRoute::post("/configure/connection", WriteSecret, || routing::post(things::save::<Connections>)),
    PageRoute::post("/configure/connection/delete", WriteSecret, || routing::post(things::delete::<Connections>)),
    PageRoute::get("/tenants", Read, || routing::get(things::list::<Tenants>)),
    PageRoute::get("/configure/tenant", Read, || routing::get(things::edit::<Tenants>)),
    PageRoute::post("/configure/tenant", WriteSecret, || routing::post(things::save::<Tenants>)),
    PageRoute::post("/configure/tenant/delete", WriteSecret, || routing::post(things::delete::<Tenants>)),
    PageRoute::get("/rules", Read, || routing::get(things::list::<Rules>)),
    PageRoute::get("/configure/rule", Read, || routing::get(things::edit::<Rules>)),
    PageRoute::post("/configure/rule", EditConfig, || routing::post(things::save::<Rules>)),
    PageRoute::post("/configure/rule/delete", EditConfig, || routing::post(things::delete::<Rules>)),
    PageRoute::get("/sharing", Read, || routing::get(things::list::<Sharings>)),
    PageRoute::get("/configure/sharing", Read, || routing::get(things::edit::<Sharings>)),
    PageRoute::post("/configure/sharing", EditConfig, || routing::post(things::save::<Sharings>)),
    PageRoute::post("/configure/sharing/delete", EditConfig, || routing::post(things::delete::<Sharings>)),
    PageRoute::get("/targets", Read, || routing::get(things::list::<Targets>)),
    PageRoute::get("/configure/target", Read, || routing::get(things::edit::<Targets>)),
    PageRoute::post("/configure/target", EditConfig, || routing::post(things::save::<Targets>)),
    PageRoute::post("/configure/target/delete", EditConfig, || routing::post(things::delete::<Targets>)),
    PageRoute::post("/configure/rule/tree", EditConfig, || routing::post(trial::tree)),
    PageRoute::post("/configure/rule/test", EditConfig, || routing::post(trial::test)).long(),
    // -- indicators
    // -- sharing
    // -- connections
    // -- settings
    PageRoute::get("/settings", Read, || routing::get(settings::settings)),
    PageRoute::post("/account/sessions/end", Session, || routing::post(account::do_end_session)),
    PageRoute::post("/account/sessions/others", Session, || routing::post(account::do_sign_out_elsewhere)),
    PageRoute::get("/settings/users", ManagePeople, || routing::get(users::users)),
    PageRoute::post("/settings/users", ManagePeople, || routing::post(users::do_add)),
    PageRoute::get("/settings/users/{id}", ManagePeople, || routing::get(users::user)),
    PageRoute::post("/settings/users/{id}/roles", ManagePeople, || routing::post(users::do_roles)),
    PageRoute::post("/settings/users/{id}/disable", ManagePeople, || routing::post(users::do_disable)),
    PageRoute::post("/settings/users/{id}/enable", ManagePeople, || routing::post(users::do_enable)),
    PageRoute::post("/settings/users/{id}/reset", ManagePeople, || routing::post(users::do_reset)),
    PageRoute::post("/settings/users/{id}/sign-out", ManagePeople, || routing::post(users::do_sign_out)),
    PageRoute::post("/settings/users/{id}/delete", ManagePeople, || routing::post(users::do_delete)),
    PageRoute::post("/settings/sessions/end", ManagePeople, || routing::post(settings::do_end_session)),
    PageRoute::get("/settings/tokens", Account, || routing::get(api_tokens::tokens)),
    PageRoute::post("/settings/tokens", Account, || routing::post(api_tokens::do_make)),
    PageRoute::post("/settings/tokens/{id}/revoke", Account, || routing::post(api_tokens::do_revoke)),
    // -- live
];
