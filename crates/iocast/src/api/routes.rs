//! Every route there is. Router, permissions, the OpenAPI document and the test that calls each without a token are read
//! from this table.

use super::nouns::{
    self, Connections, GuardExceptions, GuardLists, NothingToSay, Notifies, Noun, Providers, Rules, Sharings, Targets,
    Tenants,
};
use super::route::{delete, follow, get, job, post, put};
use super::shapes::{Page, PageQuery};
use super::{
    bulk, changes, config, connectors, exceptions, export, import, indicators, jobs, knowledge, lists, notices,
    observations, openapi, people, preview, rules, runs, sealed, sources, system, targets,
};
use crate::app::rules::{RuleReport, RuleTest};
use crate::app::status::Status;
use crate::app::tokens::{TokenEnded, TokenMade, TokenShown};
use crate::app::upkeep::BackupMade;
use crate::people::{PersonShown, SessionShown, accounts};
use axum::routing;
use engine::config::PolicyDoc;
use engine::guards::{GuardListInForce, GuardListShown};
use engine::notice::NoticeShown;
use engine::{
    AdoptReport, Applied, ConfigFile, Delivery, GuardAnswer, HeldPlan, Hit, ManyDone, ManyShown, PastWord, PullReport,
    Record, Retracted, Rollback, ShareReport, SourceShown, SuspectPreview, TargetShown, VerifyReport, WhyReport,
};

pub use super::route::{Answer, Docs, Needs, Patience, Route, Verb};
use Needs::{
    Account, AnalystWork, Approve, Backup, EditConfig, EditSettings, Freeze, Ingest, ItsOwn, ManagePeople, Nothing,
    Propose, Read, ReadAudit, Resolve, RunNow, Session, Thaw, Undo, WriteSecret,
};

/// A configured thing as it is sent and shown.
type Doc<N> = <N as Noun>::Doc;
type Sent<N> = nouns::Sent<N>;

/// It is no longer in the state it was asked for.
const IN_USE: &[u16] = &[409];

/// The table.
pub static TABLE: &[Route] = &[
    get("/healthz", Nothing, "Whether the process answers.", || routing::get(system::healthz))
        .answers::<system::Health>(),
    get("/lists/{name}", ItsOwn, "A served list.", || routing::get(lists::serve)).answers_bytes(LISTS).fails(&[304]),
    get("/api/v1/openapi.json", Nothing, "This document.", || routing::get(openapi::serve))
        .answers::<serde_json::Value>(),
    get("/api/v1/status", Read, "What is here, and how it is.", || routing::get(system::status)).answers::<Status>(),
    get("/api/v1/config", Read, "The configuration, secrets left out.", || routing::get(config::show))
        .answers::<ConfigFile>(),
    // It waits for passes and pulls of what it deletes.
    job(
        "/api/v1/config/apply",
        WriteSecret,
        "Makes the configuration what a file says; deletes only with `prune`.",
        || routing::post(config::apply),
    )
    .query::<config::ApplyQuery>()
    .body::<ConfigFile>()
    .example(r#"{"rule": [{"name": "worst", "when": "reputation >= 9"}]}"#)
    .answers::<Applied>()
    .fails(&[409, 422]),
    job("/api/v1/pulls", RunNow, "Pulls sources now.", || routing::post(jobs::pull))
        .body::<jobs::PullBody>()
        .example(r#"{"all": true}"#)
        .answers::<Vec<PullReport>>()
        .fails(&[404, 409, 502]),
    job("/api/v1/passes", RunNow, "Runs passes over targets now, or shows what they would do.", || {
        routing::post(jobs::pass)
    })
    .body::<jobs::PassBody>()
    .example(r#"{"all": true, "dry_run": true}"#)
    .answers::<Vec<ShareReport>>()
    .fails(&[404, 409, 502]),
    get("/api/v1/settings", Read, "Settings of the whole exchange.", || routing::get(nouns::settings))
        .answers::<PolicyDoc>()
        .tagged(),
    put("/api/v1/settings", EditSettings, "Replaces the settings; what is left out counts as never said.", || {
        routing::put(nouns::put_settings)
    })
    .body::<PolicyDoc>()
    .example(r#"{"default_tlp": "green", "prune_days": 365}"#)
    .answers::<PolicyDoc>()
    .tagged(),
    get("/api/v1/tenants", Read, "Accounts that connections share, secrets left out.", || {
        routing::get(nouns::list::<Tenants>)
    })
    .query::<PageQuery>()
    .answers::<Page<Doc<Tenants>>>(),
    get("/api/v1/tenants/{name}", Read, "One tenant, secrets left out.", || routing::get(nouns::show::<Tenants>))
        .answers::<Doc<Tenants>>()
        .tagged(),
    put("/api/v1/tenants/{name}", WriteSecret, "Makes or replaces a tenant.", || routing::put(nouns::put::<Tenants>))
        .body::<Sent<Tenants>>()
        .example(r#"{"settings": {}}"#)
        .answers::<Doc<Tenants>>()
        .tagged(),
    delete("/api/v1/tenants/{name}", WriteSecret, "Deletes a tenant that no connection needs.", || {
        routing::delete(nouns::delete::<Tenants>)
    })
    .query::<NothingToSay>()
    .answers_nothing()
    .tagged(),
    get("/api/v1/connections", Read, "Connections, secrets left out.", || routing::get(nouns::list::<Connections>))
        .query::<PageQuery>()
        .answers::<Page<Doc<Connections>>>(),
    get("/api/v1/connections/{name}", Read, "One connection, secrets left out.", || {
        routing::get(nouns::show::<Connections>)
    })
    .answers::<Doc<Connections>>()
    .tagged(),
    put("/api/v1/connections/{name}", WriteSecret, "Makes or replaces a connection.", || {
        routing::put(nouns::put::<Connections>)
    })
    .body::<Sent<Connections>>()
    .example(r#"{"connector": "list"}"#)
    .answers::<Doc<Connections>>()
    .tagged(),
    delete(
        "/api/v1/connections/{name}",
        WriteSecret,
        "Deletes a connection that nothing uses, with what it said.",
        || routing::delete(nouns::delete::<Connections>),
    )
    .query::<nouns::LeaveRecords>()
    .answers_nothing()
    .tagged(),
    job("/api/v1/connections/{name}/check", RunNow, "Whether a connection works with its settings.", || {
        routing::post(connectors::check)
    })
    .answers::<connectors::Checked>(),
    job(
        "/api/v1/connections/{name}/observations",
        Ingest,
        "Pushes rows to a bucket: JSON, or NDJSON of any length.",
        || routing::post(observations::push),
    )
    .body::<observations::PushBody>()
    .example(r#"{"items": [{"value": "203.0.113.9", "reputation": 9}]}"#)
    .answers::<observations::PushAnswer<'static>>()
    .or_takes_lines()
    .fails(&[404, 409, 422, 429]),
    get("/api/v1/sources", Read, "How each source is.", || routing::get(sources::list)).answers::<Vec<SourceShown>>(),
    get("/api/v1/sources/{name}", Read, "How one source is.", || routing::get(sources::show)).answers::<SourceShown>(),
    get("/api/v1/sources/{name}/history", Read, "How the runs of a source went, the latest first.", || {
        routing::get(sources::history)
    })
    .query::<sources::HistoryQuery>()
    .answers::<Vec<runs::RunShown>>(),
    job("/api/v1/sources/{name}/rollback", Undo, "Rolls a source back to a time, or says what that would do.", || {
        routing::post(sources::rollback)
    })
    .body::<sources::RollbackBody>()
    .example(r#"{"to": "2026-11-24T14:00:00Z", "dry_run": true}"#)
    .answers::<Rollback>()
    .fails(&[404, 409]),
    post(
        "/api/v1/sources/{name}/again",
        RunNow,
        "Lets the next run of a source begin anew: from a time, or as far back as its first run did.",
        || routing::post(sources::again),
    )
    .body::<sources::ReadAgainBody>()
    .example(r#"{"from": "2026-11-01T00:00:00Z"}"#)
    .answers::<SourceShown>()
    .fails(&[404, 409]),
    get("/api/v1/targets", Read, "Targets.", || routing::get(nouns::list::<Targets>))
        .query::<PageQuery>()
        .answers::<Page<Doc<Targets>>>(),
    get("/api/v1/targets/{name}", Read, "One target.", || routing::get(nouns::show::<Targets>))
        .answers::<Doc<Targets>>()
        .tagged(),
    put("/api/v1/targets/{name}", EditConfig, "Makes or replaces a target.", || routing::put(nouns::put::<Targets>))
        .body::<Sent<Targets>>()
        .example(r#"{"connection": "edge", "action": "publish", "params": {"format": "edl"}}"#)
        .answers::<Doc<Targets>>()
        .tagged(),
    delete("/api/v1/targets/{name}", EditConfig, "Deletes a target that no sharing feeds.", || {
        routing::delete(nouns::delete::<Targets>)
    })
    .query::<nouns::LeaveEntries>()
    .answers_nothing()
    .tagged(),
    get(
        "/api/v1/targets/{name}/state",
        Read,
        "How a target is: what it holds, drift, room, budget, what it waits for.",
        || routing::get(targets::state),
    )
    .answers::<TargetShown>()
    .fails(&[404]),
    job(
        "/api/v1/targets/{name}/verify",
        RunNow,
        "Reads back what a target holds and compares it with the ledger.",
        || routing::post(targets::verify),
    )
    .body::<targets::VerifyBody>()
    .example(r#"{"all": true}"#)
    .answers::<VerifyReport>()
    .fails(&[404]),
    job("/api/v1/targets/{name}/adopt", RunNow, "Takes over what a target holds, or says what that would do.", || {
        routing::post(targets::adopt)
    })
    .body::<targets::AdoptBody>()
    .example(r#"{"preview": true}"#)
    .answers::<AdoptReport>()
    .fails(&[404, 409, 502]),
    get("/api/v1/targets/{name}/cut", Read, "What is wanted at a target and has no place there, by rank.", || {
        routing::get(targets::cut)
    })
    .query::<targets::CutQuery>()
    .answers::<targets::CutShown>()
    .fails(&[404]),
    get("/api/v1/targets/{name}/deliveries", Read, "What we put at a target, and what became of it.", || {
        routing::get(knowledge::deliveries_at)
    })
    .query::<knowledge::LineQuery>()
    .answers::<Page<Delivery>>()
    .or_lines(),
    get("/api/v1/targets/{name}/preview", Read, "Each step a pass would take now, and what it would skip.", || {
        routing::get(preview::preview)
    })
    .query::<preview::PreviewQuery>()
    .answers::<preview::PreviewPage>()
    .or_lines()
    .fails(&[409]),
    get("/api/v1/rules", Read, "Rules.", || routing::get(nouns::list::<Rules>))
        .query::<PageQuery>()
        .answers::<Page<Doc<Rules>>>(),
    post("/api/v1/rules/test", Read, "What a rule selects, and why one value is in it or not.", || {
        routing::post(rules::test)
    })
    .asks()
    .body::<RuleTest>()
    .example(r#"{"when": "kind = ipv4 and reputation >= 5", "value": "203.0.113.9"}"#)
    .answers::<RuleReport>()
    .fails(&[404]),
    get("/api/v1/rules/{name}", Read, "One rule.", || routing::get(nouns::show::<Rules>))
        .answers::<Doc<Rules>>()
        .tagged(),
    put("/api/v1/rules/{name}", EditConfig, "Makes or replaces a rule.", || routing::put(nouns::put::<Rules>))
        .body::<Sent<Rules>>()
        .example(r#"{"when": "kind = ipv4 and reputation >= 5"}"#)
        .answers::<Doc<Rules>>()
        .tagged(),
    delete("/api/v1/rules/{name}", EditConfig, "Deletes a rule that no sharing uses.", || {
        routing::delete(nouns::delete::<Rules>)
    })
    .query::<NothingToSay>()
    .answers_nothing()
    .tagged(),
    get("/api/v1/sharings", Read, "Sharings: source, rule, target.", || routing::get(nouns::list::<Sharings>))
        .query::<PageQuery>()
        .answers::<Page<Doc<Sharings>>>(),
    get("/api/v1/sharings/{source}/{rule}/{target}", Read, "One sharing.", || routing::get(nouns::show::<Sharings>))
        .answers::<Doc<Sharings>>()
        .tagged(),
    put("/api/v1/sharings/{source}/{rule}/{target}", EditConfig, "Makes or replaces a sharing.", || {
        routing::put(nouns::put::<Sharings>)
    })
    .body::<Sent<Sharings>>()
    .example(r#"{"max_tlp": "green"}"#)
    .answers::<Doc<Sharings>>()
    .tagged(),
    delete("/api/v1/sharings/{source}/{rule}/{target}", EditConfig, "Deletes a sharing.", || {
        routing::delete(nouns::delete::<Sharings>)
    })
    .query::<nouns::LeaveEntries>()
    .answers_nothing()
    .tagged(),
    get("/api/v1/guard/lists", Read, "The operator's own lists of what is never sent.", || {
        routing::get(nouns::list::<GuardLists>)
    })
    .query::<PageQuery>()
    .answers::<Page<Doc<GuardLists>>>(),
    get("/api/v1/guard/lists/{name}", Read, "One guard list.", || routing::get(nouns::show::<GuardLists>))
        .answers::<Doc<GuardLists>>()
        .tagged(),
    put("/api/v1/guard/lists/{name}", EditConfig, "Makes or replaces a guard list.", || {
        routing::put(nouns::put::<GuardLists>)
    })
    .body::<Sent<GuardLists>>()
    .example(r#"{"class": "lifeline", "values": ["example.org", "192.0.2.0/24"]}"#)
    .answers::<Doc<GuardLists>>()
    .tagged(),
    delete("/api/v1/guard/lists/{name}", EditConfig, "Deletes a guard list.", || {
        routing::delete(nouns::delete::<GuardLists>)
    })
    .query::<NothingToSay>()
    .answers_nothing()
    .tagged(),
    get("/api/v1/guard/exceptions", Read, "Values that are guarded and may be sent to one target.", || {
        routing::get(nouns::list::<GuardExceptions>)
    })
    .query::<PageQuery>()
    .answers::<Page<Doc<GuardExceptions>>>(),
    get("/api/v1/guard/exceptions/{target}/{value}", Read, "One exception from the guard.", || {
        routing::get(nouns::show::<GuardExceptions>)
    })
    .answers::<Doc<GuardExceptions>>()
    .tagged(),
    put("/api/v1/guard/exceptions/{target}/{value}", Approve, "Makes or replaces an exception from the guard.", || {
        routing::put(nouns::put::<GuardExceptions>)
    })
    .body::<Sent<GuardExceptions>>()
    .example(r#"{"reason": "sinkhole of ours", "until": "2027-01-31", "approver": "noc"}"#)
    .answers::<Doc<GuardExceptions>>()
    .tagged(),
    delete(
        "/api/v1/guard/exceptions/{target}/{value}",
        EditConfig,
        "Deletes an exception: its value is guarded again.",
        || routing::delete(nouns::delete::<GuardExceptions>),
    )
    .query::<NothingToSay>()
    .answers_nothing()
    .tagged(),
    post(
        "/api/v1/guard/exceptions/{target}/{value}/propose",
        Propose,
        "Asks for an exception from the guard, which somebody else approves by putting it.",
        || routing::post(exceptions::propose),
    )
    .body::<exceptions::ProposalBody>()
    .example(r#"{"reason": "sinkhole of ours", "until": "2027-01-31"}"#)
    .answers::<exceptions::ProposalShown>()
    .fails(&[404]),
    delete("/api/v1/guard/exceptions/{target}/{value}/propose", Propose, "Asks for an exception no longer.", || {
        routing::delete(exceptions::withdraw)
    })
    .answers_nothing()
    .fails(&[404]),
    get("/api/v1/guard/proposals", Read, "Exceptions from the guard that are asked for.", || {
        routing::get(exceptions::list)
    })
    .answers::<Vec<exceptions::ProposalShown>>(),
    get("/api/v1/notify", Read, "Channels through which people are told, secrets left out.", || {
        routing::get(nouns::list::<Notifies>)
    })
    .query::<PageQuery>()
    .answers::<Page<Doc<Notifies>>>(),
    get("/api/v1/notify/{name}", Read, "One channel, secrets left out.", || routing::get(nouns::show::<Notifies>))
        .answers::<Doc<Notifies>>()
        .tagged(),
    put("/api/v1/notify/{name}", WriteSecret, "Makes or replaces a channel.", || routing::put(nouns::put::<Notifies>))
        .body::<Sent<Notifies>>()
        .example(r#"{"channel": "syslog", "settings": {"transport": "local"}, "on": ["frozen", "denied"]}"#)
        .answers::<Doc<Notifies>>()
        .tagged(),
    delete("/api/v1/notify/{name}", WriteSecret, "Deletes a channel.", || routing::delete(nouns::delete::<Notifies>))
        .query::<NothingToSay>()
        .answers_nothing()
        .tagged(),
    job("/api/v1/notify/{name}/test", RunNow, "Tells a test through a channel.", || routing::post(notices::test))
        .answers::<notices::Tested>(),
    get("/api/v1/providers", Read, "Providers of identities that people sign in at, secrets left out.", || {
        routing::get(nouns::list::<Providers>)
    })
    .query::<PageQuery>()
    .answers::<Page<Doc<Providers>>>(),
    get("/api/v1/providers/{name}", Read, "One provider, secrets left out.", || routing::get(nouns::show::<Providers>))
        .answers::<Doc<Providers>>()
        .tagged(),
    put("/api/v1/providers/{name}", ManagePeople, "Makes or replaces a provider of identities.", || {
        routing::put(nouns::put::<Providers>)
    })
    .body::<Sent<Providers>>()
    .example(r#"{"issuer": "https://login.example", "client_id": "iocast", "roles": {"soc": ["analyst"]}}"#)
    .answers::<Doc<Providers>>()
    .tagged(),
    delete("/api/v1/providers/{name}", ManagePeople, "Deletes a provider; accounts of people from there stay.", || {
        routing::delete(nouns::delete::<Providers>)
    })
    .query::<NothingToSay>()
    .answers_nothing()
    .tagged(),
    get("/api/v1/notices", Read, "What needs a person, the gravest first, and who was told.", || {
        routing::get(notices::list)
    })
    .query::<notices::NoticeQuery>()
    .answers::<Vec<NoticeShown>>(),
    post("/api/v1/notices/{id}/seen-to", Resolve, "Says that a notice is seen to, until its cause is over.", || {
        routing::post(notices::see)
    })
    .body::<notices::SeenBody>()
    .example(r#"{"note": "the vendor renews the key today"}"#)
    .answers::<NoticeShown>()
    .fails(&[404]),
    get("/api/v1/guard/in-force", Read, "Every guard list: built in, shipped, own hosts, configured.", || {
        routing::get(knowledge::guard_lists)
    })
    .answers::<Vec<GuardListInForce>>(),
    get("/api/v1/guard/in-force/{name}", Read, "One of these lists, with what is on it.", || {
        routing::get(knowledge::guard_list)
    })
    .answers::<GuardListShown>()
    .fails(&[404]),
    get("/api/v1/guard/check", Read, "Whether a value would be stopped.", || routing::get(knowledge::guard_check))
        .query::<knowledge::CheckQuery>()
        .answers::<GuardAnswer>()
        .fails(&[404]),
    get("/api/v1/indicators", Read, "Searches indicators.", || routing::get(indicators::find))
        .query::<indicators::FindQuery>()
        .answers::<Page<Hit>>()
        .or_lines(),
    post("/api/v1/indicators", AnalystWork, "Adds values by hand.", || routing::post(indicators::add))
        .body::<indicators::AddBody>()
        .example(r#"{"items": [{"value": "203.0.113.9", "reputation": 9, "tags": ["kit"]}]}"#)
        .answers::<Vec<indicators::Added>>(),
    get("/api/v1/indicators/count", Read, "How many indicators a search finds.", || routing::get(indicators::count))
        .query::<indicators::CountQuery>()
        .answers::<indicators::Count>(),
    follow("/api/v1/indicators/export", Read, "What a search finds, as a file.", || routing::get(export::export))
        .query::<export::ExportQuery>()
        .answers_bytes(EXPORTS),
    get("/api/v1/indicators/why", Read, "Why a value is at a target, and why it is not.", || {
        routing::get(indicators::why)
    })
    .query::<indicators::WhyQuery>()
    .answers::<WhyReport>(),
    post("/api/v1/indicators/verdict", AnalystWork, "Sets or clears the verdict on a value.", || {
        routing::post(indicators::verdict)
    })
    .body::<indicators::VerdictBody>()
    .example(r#"{"value": "203.0.113.9", "verdict": "safe"}"#)
    .answers::<Hit>(),
    job("/api/v1/indicators/verdicts", AnalystWork, "Sets or clears one verdict on many values.", || {
        routing::post(indicators::verdicts)
    })
    .body::<indicators::VerdictsBody>()
    .example(r#"{"items": [{"value": "203.0.113.9"}], "verdict": "safe"}"#)
    .answers::<Vec<indicators::Added>>(),
    job(
        "/api/v1/indicators/retract",
        AnalystWork,
        "Ends what sources say of values, until they say something else.",
        || routing::post(indicators::retract),
    )
    .body::<indicators::RetractBody>()
    .example(r#"{"items": [{"value": "203.0.113.9"}]}"#)
    .answers::<Vec<Retracted>>()
    .fails(&[404]),
    post("/api/v1/indicators/bulk/preview", AnalystWork, "What doing something to many indicators would do.", || {
        routing::post(bulk::preview)
    })
    .asks()
    .body::<bulk::ManyBody>()
    .example(r#"{"q": "tag = \"lab\"", "act": "mute"}"#)
    .answers::<ManyShown>(),
    job("/api/v1/indicators/bulk", AnalystWork, "Does something to many indicators, as the preview showed it.", || {
        routing::post(bulk::act)
    })
    .body::<bulk::ManyBody>()
    .example(r#"{"q": "tag = \"lab\"", "act": "mute", "mark": "99aa06d3014798d86001c324468d497f"}"#)
    .answers::<ManyDone>()
    .fails(&[409]),
    post("/api/v1/indicators/annotate", AnalystWork, "Mutes, tags or comments a value.", || {
        routing::post(indicators::annotate)
    })
    .body::<indicators::AnnotateBody>()
    .example(r#"{"value": "203.0.113.9", "add_tags": ["lab"], "comment": "ours"}"#)
    .answers::<Hit>(),
    get("/api/v1/indicators/{kind}/{value}", Read, "One indicator.", || routing::get(knowledge::indicator))
        .answers::<Hit>(),
    get("/api/v1/indicators/{kind}/{value}/records", Read, "What each source says about an indicator.", || {
        routing::get(knowledge::records_of)
    })
    .answers::<Vec<Record>>(),
    get("/api/v1/indicators/{kind}/{value}/history", Read, "What each source said of an indicator over time.", || {
        routing::get(sources::past_words)
    })
    .answers::<Vec<PastWord>>(),
    get("/api/v1/indicators/{kind}/{value}/sightings", Read, "What each source has seen of an indicator.", || {
        routing::get(knowledge::sightings_of)
    })
    .answers::<Vec<knowledge::Sighting>>(),
    get("/api/v1/indicators/{kind}/{value}/deliveries", Read, "Where an indicator was put.", || {
        routing::get(knowledge::deliveries_of)
    })
    .answers::<Vec<Delivery>>(),
    get("/api/v1/records", Read, "What each source says about the indicators that a search finds.", || {
        routing::get(knowledge::records)
    })
    .query::<knowledge::RecordQuery>()
    .answers::<Page<Record>>()
    .or_lines(),
    get("/api/v1/sightings", Read, "What each source has seen of the indicators that a search finds.", || {
        routing::get(knowledge::sightings)
    })
    .query::<knowledge::RecordQuery>()
    .answers::<Page<knowledge::Sighting>>()
    .or_lines(),
    get("/api/v1/deliveries", Read, "What we put at targets, and what became of it.", || {
        routing::get(knowledge::deliveries)
    })
    .query::<knowledge::DeliveryQuery>()
    .answers::<Page<Delivery>>()
    .or_lines()
    .fails(&[404]),
    get("/api/v1/lists", Read, "The served lists.", || routing::get(lists::all)).answers::<Vec<lists::ListShown>>(),
    get("/api/v1/runs", Read, "Runs, the latest first.", || routing::get(runs::list))
        .query::<runs::RunQuery>()
        .answers::<Vec<runs::RunShown>>(),
    get("/api/v1/runs/{id}", Read, "One run.", || routing::get(runs::show)).answers::<runs::RunShown>(),
    get("/api/v1/runs/{id}/suspect", Read, "What believing a suspect run would do.", || routing::get(sources::suspect))
        .answers::<SuspectPreview>(),
    job("/api/v1/runs/{id}/approve", Approve, "Believes a suspect run.", || routing::post(runs::approve))
        .answers::<PullReport>()
        .fails(IN_USE),
    post("/api/v1/runs/{id}/discard", Approve, "Drops a suspect run.", || routing::post(runs::discard))
        .answers::<runs::RunShown>()
        .fails(IN_USE),
    get("/api/v1/plans", Read, "Held plans, the latest first.", || routing::get(runs::plans))
        .query::<runs::PlanQuery>()
        .answers::<Vec<HeldPlan>>(),
    get("/api/v1/plans/{id}", Read, "One held plan with its steps.", || routing::get(runs::plan))
        .answers::<HeldPlan>()
        .fails(IN_USE),
    post("/api/v1/plans/{id}/approve", Approve, "Allows exactly the steps of a held plan.", || {
        routing::post(runs::approve_plan)
    })
    .body::<runs::Allowed>()
    .example(r#"{"note": "looks right"}"#)
    .answers::<HeldPlan>()
    .fails(IN_USE),
    job("/api/v1/runs/{id}/undo", Undo, "Makes the plan that undoes a share run.", || routing::post(runs::undo))
        .body::<runs::Undo>()
        .answers::<HeldPlan>()
        .fails(IN_USE),
    job("/api/v1/targets/{name}/return", Undo, "Makes the plan that returns a target to a time.", || {
        routing::post(runs::return_target)
    })
    .body::<runs::ReturnTo>()
    .answers::<HeldPlan>()
    .fails(IN_USE),
    get("/api/v1/targets/{name}/pins", Read, "What was undone at a target and not lifted.", || {
        routing::get(runs::pins)
    })
    .answers::<Vec<engine::PinShown>>(),
    post("/api/v1/targets/{name}/unpin", Undo, "Lifts what was undone.", || routing::post(runs::unpin))
        .body::<runs::Unpin>()
        .answers::<runs::Unpinned>(),
    post("/api/v1/plans/{id}/reject", Approve, "Says no to a held plan.", || routing::post(runs::reject_plan))
        .body::<runs::Note>()
        .answers::<HeldPlan>()
        .fails(IN_USE),
    get("/api/v1/connectors", Read, "The connectors there are.", || routing::get(connectors::list))
        .answers::<Vec<connectors::Brief>>(),
    get("/api/v1/connectors/{name}", Read, "What a connector is and which settings it takes.", || {
        routing::get(connectors::show)
    })
    .answers::<connectors::Whole>(),
    follow("/api/v1/changes", Read, "What changed after a revision, in order; waits, or goes on as events.", || {
        routing::get(changes::read)
    })
    .query::<changes::ChangesQuery>()
    .answers::<changes::ChangesAnswer>()
    .or_events()
    .fails(&[410, 429]),
    post("/api/v1/extract", Read, "The indicators in a text; stores nothing.", || routing::post(import::extract))
        .asks()
        .body::<import::ExtractBody>()
        .example(r#"{"text": "the kit was at hxxp://bad[.]example/k"}"#)
        .answers::<import::ExtractAnswer>(),
    get("/api/v1/set-up", Nothing, "Whether nobody has an account yet.", || routing::get(people::set_up_needed))
        .answers::<people::SetUpNeeded>(),
    post("/api/v1/set-up", Nothing, "Makes the first account with the code that the start printed.", || {
        routing::post(people::set_up)
    })
    .body::<people::SetUpBody>()
    .example(r#"{"code": "0123A-BCDEF-GHJKM-NPQRS", "name": "ada", "password": "a few words of your own"}"#)
    .answers::<people::In>()
    .fails(&[401, 403, 409, 429]),
    post("/api/v1/sign-in", Nothing, "Signs in with a password; says where a code is needed.", || {
        routing::post(people::sign_in)
    })
    .body::<people::SignInBody>()
    .example(r#"{"name": "ada", "password": "a few words of your own"}"#)
    .answers::<people::In>()
    .fails(&[401, 403, 429]),
    post("/api/v1/sign-in/code", Nothing, "Signs in with the code that follows a password.", || {
        routing::post(people::sign_in_code)
    })
    .body::<people::CodeBody>()
    .example(r#"{"ticket": "as given by sign-in", "code": "123456"}"#)
    .answers::<people::In>()
    .fails(&[401, 403, 429]),
    post("/api/v1/sign-out", Session, "Ends this session.", || routing::post(people::sign_out)).answers_nothing(),
    get("/api/v1/me", ItsOwn, "Who asks, and what they may.", || routing::get(people::me))
        .answers::<people::Me>()
        .fails(&[401]),
    post("/api/v1/me/password", Session, "Sets one's own password; every session ends and a new one begins.", || {
        routing::post(people::set_password)
    })
    .body::<people::PasswordBody>()
    .example(r#"{"old": "a few words of your own", "new": "some other words of your own"}"#)
    .answers::<people::In>()
    .fails(&[429]),
    post("/api/v1/me/second-factor", Session, "Begins to enrol an authenticator.", || {
        routing::post(people::begin_second_factor)
    })
    .body::<people::AgainBody>()
    .example(r#"{"password": "a few words of your own"}"#)
    .answers::<accounts::Enrolling>()
    .fails(&[409, 429]),
    post("/api/v1/me/second-factor/confirm", Session, "Makes an authenticator count, by a code from it.", || {
        routing::post(people::confirm_second_factor)
    })
    .body::<people::ConfirmBody>()
    .example(r#"{"code": "123456"}"#)
    .answers::<accounts::Enrolled>()
    .fails(&[409, 429]),
    post("/api/v1/me/second-factor/remove", Session, "Takes one's second factor away.", || {
        routing::post(people::drop_second_factor)
    })
    .body::<people::AgainBody>()
    .example(r#"{"password": "a few words of your own"}"#)
    .answers_nothing()
    .fails(&[429]),
    get("/api/v1/sessions", Account, "Sessions that go on: one's own, or everybody's.", || {
        routing::get(people::sessions)
    })
    .answers::<Vec<SessionShown>>(),
    delete("/api/v1/sessions/{id}", Account, "Ends a session.", || routing::delete(people::end_session))
        .answers_nothing()
        .fails(&[404]),
    get("/api/v1/users", ManagePeople, "Everybody who has an account.", || routing::get(people::users))
        .answers::<Vec<PersonShown>>(),
    post("/api/v1/users", ManagePeople, "Makes an account; its first password is shown this once.", || {
        routing::post(people::add_user)
    })
    .body::<people::UserBody>()
    .example(r#"{"name": "grace", "roles": ["analyst"]}"#)
    .answers::<accounts::Handed>()
    .makes()
    .fails(&[409]),
    get("/api/v1/users/{name}", ManagePeople, "One account.", || routing::get(people::user))
        .answers::<PersonShown>()
        .fails(&[404]),
    put("/api/v1/users/{name}", ManagePeople, "Sets somebody's roles, and whether they may sign in.", || {
        routing::put(people::change_user)
    })
    .body::<people::UserChange>()
    .example(r#"{"roles": ["analyst", "approver"], "disabled": false}"#)
    .answers::<PersonShown>()
    .fails(&[404, 409]),
    delete("/api/v1/users/{name}", ManagePeople, "Ends an account for good; its name stays taken.", || {
        routing::delete(people::delete_user)
    })
    .answers_nothing()
    .fails(&[404, 409]),
    post("/api/v1/users/{name}/reset", ManagePeople, "Sets a first password again, for who has lost theirs.", || {
        routing::post(people::reset_user)
    })
    .body::<people::ResetBody>()
    .example(r#"{"second_factor": true}"#)
    .answers::<accounts::Handed>()
    .fails(&[404]),
    post("/api/v1/users/{name}/sign-out", ManagePeople, "Ends every session of somebody.", || {
        routing::post(people::sign_out_user)
    })
    .answers_nothing()
    .fails(&[404]),
    get("/api/v1/tokens", Account, "The tokens, without their secrets.", || routing::get(system::tokens))
        .answers::<Vec<TokenShown>>(),
    post("/api/v1/tokens", Account, "Makes a token; its secret is shown this once.", || {
        routing::post(system::new_token)
    })
    .body::<system::TokenBody>()
    .example(r#"{"name": "soar", "scope": "read"}"#)
    .answers::<TokenMade>()
    .makes()
    .fails(&[404, 409]),
    delete("/api/v1/tokens/{id}", Account, "Ends a token.", || routing::delete(system::revoke_token))
        .answers::<TokenEnded>(),
    get("/api/v1/audit", ReadAudit, "Who did what, the latest first.", || routing::get(system::audit))
        .query::<system::AuditQuery>()
        .answers::<Vec<system::AuditShown>>(),
    get(
        "/api/v1/audit/verify",
        ReadAudit,
        "Whether the audit log is what was written, and how far it was handed on.",
        || routing::get(sealed::verify_audit),
    )
    .answers::<sealed::AuditState>(),
    get("/api/v1/secrets", Read, "Where secrets are set and since when; never what they are.", || {
        routing::get(sealed::secrets)
    })
    .answers::<Vec<engine::seal::SecretShown>>(),
    job("/api/v1/secrets/rotate", Backup, "Makes a new key and seals every secret with it, while all goes on.", || {
        routing::post(sealed::rotate)
    })
    .body::<sealed::RotateBody>()
    .example(r#"{"forget_old": false}"#)
    .answers::<sealed::Rotated>()
    .fails(&[409, 422]),
    job("/api/v1/backup", Backup, "Writes a copy of the store to a new file on the server.", || {
        routing::post(system::backup)
    })
    .body::<system::BackupBody>()
    .example(r#"{"path": "today.db"}"#)
    .answers::<BackupMade>()
    .fails(&[409]),
    post("/api/v1/freeze", Freeze, "Stops every new call to a destination.", || routing::post(system::freeze))
        .body::<system::FreezeNote>()
        .answers::<system::Frozen>(),
    post("/api/v1/clock/trust", Thaw, "Says that the clock is right, where it was not believed.", || {
        routing::post(system::trust_clock)
    })
    .body::<system::FreezeNote>()
    .answers::<system::ClockTrusted>(),
    post("/api/v1/thaw", Thaw, "Lifts a freeze, and says which targets still wait after a restore.", || {
        routing::post(system::thaw)
    })
    .answers::<system::Frozen>(),
];

/// The forms of exports.
const EXPORTS: &[&str] = &["text/plain", "text/csv", "application/json", "application/stix+json;version=2.1"];

/// The forms of served lists.
const LISTS: &[&str] = &["text/plain", "text/csv", "application/json"];
