//! The questions asked of connectors that read what is there, write lists that others write too, or deploy.

use super::case::{Case, Deed};
use crate::connection::{Connector, Cx, Presence, Remote, TargetSpec};
use crate::error::ConnectorError;
use crate::files::Files;
use crate::http::{Answer, Http, HttpConfig, NoWait};
use crate::manifest::{Action, Delivery, Manifest};
use intel::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;

/// What the cases say of each other; gives what is wrong.
pub(super) fn ask(connector: &dyn Connector, cases: &[Case]) -> Vec<String> {
    let mut wrong = Vec::new();
    let of = |deed: Deed| cases.iter().filter(move |case| case.deed == deed);
    for case in of(Deed::Replace) {
        wrong.extend(lost(case).into_iter().map(|problem| format!("{}: {problem}", case.name)));
    }
    for read in of(Deed::Read) {
        let Ok((found, reading, _)) = read.seen(connector) else { continue };
        for look in of(Deed::Look).filter(|look| look.suffix == read.suffix && reading.whole) {
            let Ok((_, _, answers)) = look.seen(connector) else { continue };
            let marks = connector.manifest().action(&read.action).is_some_and(|action| action.marks);
            for (item, answer) in look.items.iter().zip(&answers) {
                if let Some(problem) = disagree(&found, &item.entry, answer, marks) {
                    wrong.push(format!("{} and {} disagree: {problem}", read.name, look.name));
                }
            }
        }
    }
    wrong
}

/// Entries of others that are in no request of a recorded `replace`.
fn lost(case: &Case) -> Vec<String> {
    let sent: Vec<String> =
        case.exchanges.0.iter().map(|exchange| String::from_utf8_lossy(&exchange.request_body).into_owned()).collect();
    let is_in = |text: &str| {
        // As it is, or as JSON writes it.
        let escaped = json!(text).to_string();
        sent.iter().any(|body| body.contains(text) || body.contains(escaped.trim_matches('"')))
    };
    let gone = case.foreign.iter().filter(|remote| !is_in(&remote.entry));
    gone.map(|remote| format!("{:?}, which is somebody else's, is not written back", remote.entry)).collect()
}

/// How what was read and what was answered about one entry differ.
fn disagree(found: &[Remote], entry: &str, answer: &Presence, marks: bool) -> Option<String> {
    let mut there = found.iter().filter(|remote| remote.entry == entry);
    match answer {
        Presence::Absent => there.next().map(|_| format!("{entry:?} was read, and is said to be absent")),
        Presence::Foreign => match there.next() {
            None => Some(format!("{entry:?} is said to be there, and was not read")),
            Some(remote) if marks && remote.marked => {
                Some(format!("{entry:?} was read with our mark, and is said to be somebody else's"))
            }
            Some(_) => None,
        },
        Presence::Ours { remote_id } => {
            let same =
                |remote: &Remote| remote_id.is_none() || remote.remote_id.is_none() || remote.remote_id == *remote_id;
            match there.any(|remote| (remote.marked || !marks) && same(remote)) {
                true => None,
                false => Some(format!("{entry:?} is said to be ours, and was not read as such")),
            }
        }
    }
}

/// What an action declares, its connection does: a method that is not there is found before anybody relies on it.
pub(super) fn declared(connector: &dyn Connector, settings: &Value, wrong: &mut Vec<String>) {
    let manifest = connector.manifest();
    let Ok(connection) = connector.open(settings) else { return };
    let Some(destination) = connection.destination() else { return };
    let http = Http::answering(HttpConfig::default(), Arc::new(NoWait), |_| Answer::new(500, ""));
    let files = Files::below(Vec::new());
    let now = Timestamp::EPOCH;
    let cx = Cx { http: &http, files: &files, now, initial_from: now };
    for action in manifest.actions.iter().filter(|action| action.delivery != Delivery::Hosted) {
        let Some(params) = params(manifest, action) else { continue };
        let spec = || TargetSpec { name: "test", action: &action.name, params: &params, mark: "iocast:test" };
        let mut is_there = |what: &str, done: Option<ConnectorError>| {
            if matches!(done, Some(ConnectorError::Unsupported)) {
                wrong.push(format!("action {} declares {what}, and the connector does not have it", action.name));
            }
        };
        if action.delivery == Delivery::Items {
            is_there("items", destination.push(spec(), &[], &cx).err());
        }
        if action.can_read {
            is_there("can_read", destination.read(spec(), &mut |_| (), &cx).err());
        }
        if action.delivery == Delivery::Replace {
            is_there("replace", destination.replace(spec(), &mut std::iter::empty(), None, &cx).err());
        }
        if action.deploys {
            is_there("deploys", destination.deploy(spec(), &cx).err());
        }
        if action.can_look {
            is_there("can_look", destination.look(spec(), &[], &cx).err());
        }
    }
}

fn params(manifest: &Manifest, action: &Action) -> Option<Value> {
    let examples = super::examples(&Manifest { settings: action.params.clone(), ..manifest.clone() });
    action.check(&examples).ok()
}
