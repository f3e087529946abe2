//! The channels through which people are told, and whether they take it.

use super::fields::{Field, Form};
use super::settings::done;
use super::shell::{Section, Shell};
use super::show::{self, When};
use super::things::{FILES, Screen, lines, name_of, one_of, tick};
use super::{Sent, Visit};
use crate::api::Problem;
use crate::api::notices;
use crate::app::App;
use crate::app::things::{NothingToSay, Notifies};
use crate::people::roles::Needs;
use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use engine::notice::{ChannelKind, ChannelShown, Kind, Severity};
use kit::manifest::SettingType;
use serde_json::Value;

const CHANNELS: &str = "/settings/channels";
const KINDS: [&str; 3] = ["webhook", "mail", "syslog"];

struct ChannelRow {
    channel: ChannelShown,
    state: &'static str,
    tone: &'static str,
    tells: String,
    last: Option<When>,
    href: String,
}

#[derive(Template)]
#[template(path = "channels.html")]
struct ChannelsPage {
    shell: Shell,
    mistakes: Vec<String>,
    rows: Vec<ChannelRow>,
    kinds: [&'static str; 3],
}

fn page(app: &App, shell: Shell, mistakes: Vec<String>) -> Result<ChannelsPage, Problem> {
    let engine = app.engine()?;
    let now = app.now();
    let docs = app.things::<Notifies>()?;
    let row = |channel: ChannelShown| {
        let (state, tone) = match &channel {
            channel if !channel.enabled => ("off", "calm"),
            channel if channel.error.is_some() => ("does not take it", "bad"),
            channel if channel.waiting > 0 => ("has yet to be told", "warn"),
            _ => ("well", "ok"),
        };
        let doc = docs.iter().find(|doc| doc.name == channel.name);
        let least = doc
            .and_then(|doc| doc.min_severity.clone())
            .map_or_else(String::new, |least| format!(", {least} or graver"));
        let tells =
            doc.filter(|doc| !doc.on.is_empty()).map_or_else(|| "everything".to_owned(), |doc| doc.on.join(", "));
        ChannelRow {
            state,
            tone,
            tells: format!("{}{least}", tells.replace('_', " ")),
            last: When::maybe(channel.last_told.as_deref(), now),
            href: format!("{CHANNELS}/one?key={}", show::part(&channel.name)),
            channel,
        }
    };
    let rows = engine.channels_shown()?.into_iter().map(row).collect();
    Ok(ChannelsPage { mistakes, rows, kinds: KINDS, shell })
}

pub(super) async fn channels(visit: Visit) -> Result<Response, Problem> {
    visit.page("Channels", Section::Settings, |app, shell| page(app, shell, Vec::new())).await
}

pub(super) async fn do_test(visit: Visit, Sent(form): Sent) -> Result<Response, Problem> {
    visit
        .act_or(
            ("Channels".to_owned(), Section::Settings, CHANNELS.to_owned()),
            move |app, caller| match notices::tell_test(app, caller, form.get("name"))? {
                None => Ok(done(CHANNELS, "told")),
                Some(why) => Err(Problem::new(StatusCode::CONFLICT, why)),
            },
            page,
        )
        .await
}

impl Screen for Notifies {
    const SECTION: Section = Section::Settings;
    const INTRO: &'static str = "Through a channel people are told what needs them, wherever they are.";
    const LIST: &'static str = CHANNELS;
    const FORM: &'static str = "/settings/channels/one";
    const NEEDS: Needs = Needs::WriteSecret;

    fn form(_: &App, doc: &mut Value, is_new: bool) -> Result<Form, Problem> {
        if doc["channel"].is_null() {
            doc["channel"] = KINDS[0].into();
        }
        let name = doc["channel"].as_str().unwrap_or_default();
        let kind = ChannelKind::parse(name)
            .ok_or_else(|| Problem::not_found(format!("\"{name}\" is none of {}", KINDS.join(", "))))?;
        let manifest = kind.manifest().map_err(Problem::internal)?;
        let mut form = Form::default();
        form.group(
            "Basics",
            &manifest.summary,
            false,
            vec![
                name_of(is_new, "Unique; notices say it."),
                tick("enabled", "On", "Off: it tells nothing.", true),
                Field::new("on", SettingType::List, "Tells of", "Nothing ticked: of everything.")
                    .choices(Kind::ALL.iter().map(|kind| (kind.as_str(), kind.as_str().replace('_', " ")))),
                one_of(
                    "min_severity",
                    "At least",
                    "The least grave it tells.",
                    Severity::ALL.iter().map(|severity| severity.as_str()),
                )
                .default("info"),
            ],
        );
        let own = manifest.settings.iter().map(|setting| Field::of(setting, "settings")).collect();
        form.group(&manifest.title, "", false, own);
        form.group(
            "Network",
            "",
            true,
            vec![
                Field::new("ca_file", SettingType::Path, "Certificate authority", &format!("A PEM file {FILES}.")),
                lines("allow_private", "Private networks it may reach", "One a line, such as 10.1.0.0/16."),
            ],
        );
        Ok(form)
    }

    fn left(_: &str) -> Option<NothingToSay> {
        Some(NothingToSay {})
    }
}
