//! The pages of what is configured: lists, forms and deletion, one shape for every kind of thing.
//!
//! A form becomes the document that the API takes and goes the same way into the configuration; whoever saves or deletes
//! shows with a tag what they have seen, so nobody overwrites anybody unawares.

use super::fields::{Field, Form, GroupView, Posted, Widget, Wrong};
use super::shell::{Section, Shell};
use super::{Fields, Sent, Visit, show};
use crate::api::Problem;
use crate::app::App;
use crate::app::things::{
    Connections, Entries, LeaveEntries, LeaveRecords, NothingToSay, Noun, Records, Rules, Sharings, Targets, Tenants,
    missing, tag_of,
};
use crate::people::roles::Needs;
use askama::Template;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use kit::manifest::{Manifest, SettingType};
use serde_json::{Value, json};

/// A kind of thing as pages show it.
pub(super) trait Screen: Noun {
    /// Which part of the console it belongs to.
    const SECTION: Section;
    /// What they are, in a sentence.
    const INTRO: &'static str;
    /// The list's address.
    const LIST: &'static str;
    /// The address of its forms.
    const FORM: &'static str;
    /// Who may change them.
    const NEEDS: Needs = Needs::EditConfig;
    /// There is no form before something was chosen where a new one begins.
    const MUST_BEGIN: bool = false;
    /// What deleting one leaves open: value and label; empty: nothing.
    const LEAVES: &'static [(&'static str, &'static str)] = &[];

    /// Its form; `doc` has at least what was chosen before. Also adds to the document what a form needs to stand in.
    fn form(app: &App, doc: &mut Value, is_new: bool) -> Result<Form, Problem>;
    /// Takes out again what only the form needed.
    fn tidy(_: &mut Value) {}
    /// Where a new one begins. None: at its form.
    fn begin() -> Option<&'static str> {
        None
    }
    /// More fields can be asked for without saving: the button that does. Empty: they cannot.
    const MORE: &'static str = "";
    /// What the fields shown follow from, beside the kind of thing.
    fn mark(_: &Value) -> String {
        String::new()
    }
    /// Takes out what followed from something that is chosen no more.
    fn forget(_: &mut Value) {}
    /// Where one that is there is looked at. None: in its form.
    fn home(_: &[String]) -> Option<String> {
        None
    }
    /// What of one becomes a part of another that is made after it.
    fn cloned(doc: &Self::Doc) -> Value {
        let mut doc = serde_json::to_value(doc).unwrap_or_default();
        if let Some(map) = doc.as_object_mut() {
            map.remove("name");
        }
        doc
    }
    /// Makes room in the document for what was posted.
    fn grow(_: &mut Value, _: &Posted) {}
    /// What deleting one means, as a sentence.
    const LEAVES_WORDS: &'static str = "";
    /// Where one is tried before it is saved.
    const TRIAL: Option<&'static str> = None;
    /// What the rule builder offers.
    fn offers(_: &App) -> Result<Option<String>, Problem> {
        Ok(None)
    }
    /// What becomes of what it leaves.
    fn left(choice: &str) -> Option<Self::Leave>;
}

#[derive(Template)]
#[template(path = "thing.html")]
struct FormPage {
    shell: Shell,
    intro: String,
    action: String,
    list: &'static str,
    one: &'static str,
    may_change: bool,
    name: String,
    key: Vec<String>,
    seen: String,
    carried: Vec<(String, String)>,
    mistakes: Vec<String>,
    groups: Vec<GroupView>,
    leaves: &'static [(&'static str, &'static str)],
    leaves_words: &'static str,
    /// Where it is looked at.
    home: Option<String>,
    /// The address of a form like this one.
    clone: Option<String>,
    /// The button that asks for more fields; empty: there is none.
    more: &'static str,
    mark: String,
    /// Where it is tried.
    trial: Option<&'static str>,
    /// What the rule builder offers, where there is one.
    offers: Option<String>,
}

fn address<S: Screen>(key: &[String]) -> String {
    let pairs: Vec<String> = key.iter().map(|key| format!("key={}", show::part(key))).collect();
    format!("{}?{}", S::FORM, pairs.join("&"))
}

/// What a form is about: what was chosen before it, and what it was shown with.
struct About {
    key: Vec<String>,
    seen: String,
    carried: Vec<(String, String)>,
}

const CARRIED: [&str; 4] = ["connector", "connection", "channel", "list"];

fn about(fields: &Fields) -> About {
    let key: Vec<String> = fields.all("key").into_iter().filter(|key| !key.is_empty()).collect();
    let carried = CARRIED.iter().filter_map(|name| Some(((*name).to_owned(), fields.some(name)?.to_owned())));
    About { key, seen: fields.get("seen").to_owned(), carried: carried.collect() }
}

/// The document there is, or one that has only what was chosen before.
fn base<S: Screen>(app: &App, about: &About) -> Result<(Value, String), Problem> {
    if about.key.is_empty() {
        let mut doc = json!({});
        for (name, value) in &about.carried {
            doc[name] = value.as_str().into();
        }
        return Ok((doc, String::new()));
    }
    let doc = app.thing::<S>(&about.key)?.ok_or_else(|| missing::<S>(&about.key))?;
    let tag = tag_of(&doc);
    Ok((serde_json::to_value(&doc).unwrap_or_default(), tag))
}

fn form_page<S: Screen>(shell: Shell, form: &Form, doc: &Value, about: About, wrong: &[Wrong]) -> FormPage {
    let mistakes = form.unplaced(wrong).into_iter().map(|(at, problem)| match at.as_str() {
        "" => problem.clone(),
        at => format!("{at}: {problem}"),
    });
    FormPage {
        intro: S::INTRO.to_owned(),
        action: S::FORM.to_owned(),
        list: S::LIST,
        one: S::NAME,
        may_change: shell.may(S::NEEDS),
        name: about.key.join(" → "),
        mistakes: mistakes.collect(),
        groups: form.view(doc, wrong),
        leaves: S::LEAVES,
        leaves_words: S::LEAVES_WORDS,
        home: if about.key.is_empty() { None } else { S::home(&about.key) },
        clone: match about.key.as_slice() {
            [name] if !S::MORE.is_empty() => Some(format!("{}?like={}", S::FORM, show::part(name))),
            _ => None,
        },
        more: S::MORE,
        mark: S::mark(doc),
        trial: S::TRIAL,
        offers: None,
        key: about.key,
        seen: about.seen,
        // What can be chosen in the form is not carried beside it.
        carried: about.carried.into_iter().filter(|(name, _)| !form.has(name)).collect(),
        shell,
    }
}

fn title<S: Screen>(key: &[String]) -> String {
    if key.is_empty() { format!("New {}", S::NAME) } else { key.join(" → ") }
}

/// What may stand in the address of a form for a new thing.
const PREFILLED: [&str; 6] = ["folder", "source", "rule", "target", "max_tlp", "tenant"];

/// A new one begins like another, or with what the address says.
fn begun<S: Screen>(app: &App, query: &Fields, doc: &mut Value) -> Result<(), Problem> {
    if let Some(like) = query.some("like") {
        let key = [like.to_owned()];
        let other = app.thing::<S>(&key)?.ok_or_else(|| missing::<S>(&key))?;
        *doc = S::cloned(&other);
    }
    for name in PREFILLED {
        if let Some(value) = query.some(name) {
            doc[name] = value.into();
        }
    }
    // A filter of the grid becomes a new rule's.
    if let Some(when) = query.some("when").filter(|_| S::FORM == Rules::FORM) {
        doc["when"] = when.into();
    }
    Ok(())
}

pub(super) async fn edit<S: Screen>(visit: Visit, query: Fields) -> Result<Response, Problem> {
    let mut about = about(&query);
    if let Some(begin) = S::begin().filter(|_| S::MUST_BEGIN && about.key.is_empty() && about.carried.is_empty()) {
        return Ok(Redirect::to(begin).into_response());
    }
    visit
        .page(title::<S>(&about.key), S::SECTION, move |app, shell| {
            let (mut doc, seen) = base::<S>(app, &about)?;
            about.seen = seen;
            if about.key.is_empty() {
                begun::<S>(app, &query, &mut doc)?;
            }
            let form = S::form(app, &mut doc, about.key.is_empty())?;
            let page = form_page::<S>(shell, &form, &doc, about, &[]);
            Ok(FormPage { offers: S::offers(app)?, ..page })
        })
        .await
}

enum Done {
    To(String),
    Again(String),
    More(String),
}

pub(super) async fn save<S: Screen>(visit: Visit, Sent(sent): Sent) -> Result<Response, Problem> {
    let about = about(&sent);
    let posted = Posted::new(sent.0);
    let Visit { app, seat, theme, .. } = visit;
    let done = app
        .hop(move |app| {
            let (mut was, _) = base::<S>(app, &about)?;
            let is_new = about.key.is_empty();
            S::grow(&mut was, &posted);
            let mut form = S::form(app, &mut was, is_new)?;
            let (mut doc, mut wrong) = form.read(&posted, was);
            let has_changed = posted.has("mark") && posted.text("mark") != S::mark(&doc);
            let more = has_changed || posted.has("more");
            if more {
                // What follows from what was chosen is looked at before it is saved.
                if has_changed {
                    S::forget(&mut doc);
                }
                S::tidy(&mut doc);
                form = S::form(app, &mut doc, is_new)?;
                wrong.clear();
            } else {
                wrong.extend(form.absent(&doc));
            }
            let mut tidy = doc.clone();
            S::tidy(&mut tidy);
            if wrong.is_empty() && !more {
                match serde_path_to_error::deserialize::<_, S::Doc>(tidy) {
                    Err(error) => wrong.push((place(&error.path().to_string()), error.inner().to_string())),
                    Ok(typed) => {
                        let key: Vec<String> = S::key(&typed).into_iter().map(str::to_owned).collect();
                        let seen = (!is_new).then_some(about.seen.as_str());
                        match app.put_seen::<S>(&typed, seen, &seat.caller) {
                            Ok(_) => {
                                app.hurry();
                                let form = || if is_new { S::LIST.to_owned() } else { address::<S>(&key) };
                                let to = S::home(&key).unwrap_or_else(form);
                                return Ok(Done::To(format!(
                                    "{to}{}done=saved",
                                    if to.contains('?') { '&' } else { '?' }
                                )));
                            }
                            Err(problem) if problem.status().is_client_error() => wrong.extend(told(&problem)),
                            Err(problem) => return Err(problem),
                        }
                    }
                }
            }
            let here = address::<S>(&about.key);
            let shell = Shell::of(app, &seat, title::<S>(&about.key), S::SECTION, theme, here)?;
            let page = form_page::<S>(shell, &form, &doc, about, &wrong);
            let page = FormPage { offers: S::offers(app)?, ..page };
            let done = if more { Done::More } else { Done::Again };
            page.render().map(done).map_err(|error| Problem::internal(error.to_string()))
        })
        .await?;
    Ok(match done {
        Done::To(to) => Redirect::to(&to).into_response(),
        Done::More(html) => Html(html).into_response(),
        Done::Again(html) => (StatusCode::UNPROCESSABLE_ENTITY, Html(html)).into_response(),
    })
}

/// The whole document is no place.
fn place(path: &str) -> String {
    if path == "." { String::new() } else { path.to_owned() }
}

fn told(problem: &Problem) -> Vec<Wrong> {
    if problem.errors().is_empty() {
        return vec![(String::new(), problem.detail().to_owned())];
    }
    problem.errors().iter().map(|error| (error.key.clone(), error.problem.clone())).collect()
}

pub(super) async fn delete<S: Screen>(visit: Visit, Sent(sent): Sent) -> Result<Response, Problem> {
    visit
        .act(move |app, caller| {
            let About { key, seen, .. } = about(&sent);
            let leave =
                S::left(sent.get("leave")).ok_or_else(|| Problem::invalid("choose what becomes of what it leaves"))?;
            app.delete_seen::<S>(&key, leave, &seen, &caller.name)?;
            Ok(format!("{}?done=deleted", S::LIST))
        })
        .await
}

// --- the things

pub(super) fn text(name: &str, label: &str, help: &str) -> Field {
    Field::new(name, SettingType::Text, label, help)
}

pub(super) fn name_of(is_new: bool, help: &str) -> Field {
    text("name", "Name", help).required().locked(!is_new)
}

pub(super) fn tick(name: &str, label: &str, help: &str, default: bool) -> Field {
    Field::new(name, SettingType::Bool, label, help).default(default)
}

pub(super) fn days(name: &str, label: &str, help: &str) -> Field {
    Field::new(name, SettingType::Int, label, help)
}

pub(super) fn lines(name: &str, label: &str, help: &str) -> Field {
    Field::new(name, SettingType::List, label, help)
}

pub(super) fn one_of<'a>(name: &str, label: &str, help: &str, all: impl IntoIterator<Item = &'a str>) -> Field {
    Field::new(name, SettingType::Choice, label, help).choices(all.into_iter().map(|one| (one, one)))
}

pub(super) fn tlp(name: &str, label: &str, help: &str) -> Field {
    one_of(name, label, help, intel::Tlp::ALL.iter().map(|tlp| tlp.as_str()))
}

fn network(file: &str) -> Vec<Field> {
    vec![
        text("proxy", "Proxy", "For its calls: http://… or socks5://…").example("http://proxy.example:3128"),
        Field::new("ca_file", SettingType::Path, "Certificate authority", &format!("A PEM file {file}.")),
        Field::new(
            "client_cert_file",
            SettingType::Path,
            "Client certificate",
            &format!("Certificate and key as PEM, {file}."),
        ),
        lines("allow_private", "Private networks it may reach", "One a line, such as 10.1.0.0/16."),
    ]
}

/// Exceptions that one form takes.
const MOST_EXCEPTIONS: usize = 200;

pub(super) const FILES: &str = "below a directory that the server may read";

fn manifest(app: &App, doc: &Value) -> Result<Manifest, Problem> {
    let name = doc["connector"].as_str().unwrap_or_default();
    let connector = app.engine()?.registry().get(name);
    connector
        .map(|c| c.manifest().clone())
        .ok_or_else(|| Problem::not_found("choose a connector from the catalogue first"))
}

impl Screen for Connections {
    const SECTION: Section = Section::Connections;
    const INTRO: &'static str =
        "Sources that are read and destinations that are written to, each with its credentials.";
    const LIST: &'static str = "/connections";
    const FORM: &'static str = "/configure/connection";
    const LEAVES_WORDS: &'static str = "What names it, targets on it and sharings of it, is to be deleted first.";
    const MUST_BEGIN: bool = true;
    const NEEDS: Needs = Needs::WriteSecret;
    const LEAVES: &'static [(&'static str, &'static str)] =
        &[("retract", "its records count no longer"), ("keep", "its records stay until they age out")];

    fn form(app: &App, doc: &mut Value, is_new: bool) -> Result<Form, Problem> {
        let manifest = manifest(app, doc)?;
        let tenants = app.things::<Tenants>()?;
        let mut form = Form::default();
        let mut basic = vec![
            name_of(is_new, "Unique; every record says it is from here."),
            one_of("tenant", "Tenant", "The account it takes settings from.", tenants.iter().map(|t| t.name.as_str())),
            tick("enabled", "On", "Off: it is neither pulled nor pushed to.", true),
        ];
        if let Some(source) = &manifest.source {
            let every = source.interval.map_or_else(|| "60m".to_owned(), |time| format!("{}m", time.as_secs() / 60));
            basic.push(
                Field::new("interval", SettingType::Duration, "Interval", "How often it is pulled.").default(every),
            );
        }
        form.group("Basics", &manifest.summary, false, basic);
        let own = manifest.settings.iter().map(|setting| {
            let mut field = Field::of(setting, "settings");
            // A tenant may have it.
            field.setting.required &= doc["tenant"].is_null() && tenants.is_empty();
            field
        });
        form.group(&manifest.title, "The connector's own settings.", false, own.collect());
        if manifest.source.is_some() {
            let fields = vec![
                days(
                    "aging_days",
                    "Days until it ages",
                    "A record that is not seen again stops counting then; 0: never.",
                ),
                days("initial_range_days", "Days of the first pull", "How far back the first pull reads."),
                days("override_reputation", "Reputation instead of its own", "1 to 10; empty: what the source says."),
                tlp("tlp", "TLP", "Counts as stated on every record."),
                lines("tags", "Tags", "One a line; added to every record."),
                Field::new(
                    "complete",
                    SettingType::Bool,
                    "Lists everything",
                    "What a run does not list is meant to be gone.",
                ),
                tick("may_be_empty", "May be empty", "An empty run is believed.", false),
                tick("respect_source_expiry", "Its own expiry counts", "Instead of aging.", true),
                tick("keep_records", "Records count while it is off", "Until they age out.", true),
                lines("reads", "Reads back", "Targets whose entries this source reads back, one a line."),
            ];
            form.group("What its records count for", "", true, fields);
        }
        let mut fields = network(FILES);
        fields.push(days("requests_per_minute", "Calls a minute", "At each host, at most."));
        form.group("Network", "", true, fields);
        Ok(form)
    }

    fn begin() -> Option<&'static str> {
        Some("/connectors")
    }

    fn home(key: &[String]) -> Option<String> {
        Some(format!("/connections/{}", show::part(key.first()?)))
    }

    fn left(choice: &str) -> Option<LeaveRecords> {
        match choice {
            "retract" => Some(LeaveRecords { records: Records::Retract }),
            "keep" => Some(LeaveRecords { records: Records::Keep }),
            _ => None,
        }
    }
}

impl Screen for Tenants {
    const SECTION: Section = Section::Tenants;
    const INTRO: &'static str =
        "Accounts that several connections share: address, credentials and filters are given once.";
    const LIST: &'static str = "/tenants";
    const FORM: &'static str = "/configure/tenant";
    const NEEDS: Needs = Needs::WriteSecret;

    fn form(app: &App, doc: &mut Value, is_new: bool) -> Result<Form, Problem> {
        let engine = app.engine()?;
        let config = engine.config();
        let mut form = Form::default();
        form.group(
            "Basics",
            "",
            false,
            vec![
                name_of(is_new, "Connections name it as their tenant."),
                days("initial_range_days", "Days of the first pull", "How far back its sources read at first."),
            ],
        );
        form.group("Network", "", true, network(FILES));
        // The settings of whoever uses it; before anybody does, of the connector that was chosen.
        let mut names: Vec<&str> = config
            .connections
            .values()
            .filter(|c| c.doc.tenant.as_deref() == doc["name"].as_str() && !doc["name"].is_null())
            .map(|c| c.doc.connector.as_str())
            .collect();
        let chosen = doc["connector"].as_str().map(str::to_owned);
        names.extend(chosen.as_deref());
        names.sort_unstable();
        names.dedup();
        let mut there: Vec<String> = Vec::new();
        for connector in names.iter().filter_map(|name| engine.registry().get(name)) {
            let manifest = connector.manifest();
            let mut fields = Vec::new();
            for setting in manifest.settings.iter().filter(|setting| !there.contains(&setting.key)) {
                let mut field = Field::of(setting, "settings");
                field.setting.required = false;
                field.setting.default = None;
                fields.push(field);
            }
            there.extend(manifest.settings.iter().map(|setting| setting.key.clone()));
            form.group(&manifest.title, "What its connections need not say themselves.", false, fields);
        }
        Ok(form)
    }

    fn tidy(doc: &mut Value) {
        if let Some(map) = doc.as_object_mut() {
            map.remove("connector");
        }
    }

    fn begin() -> Option<&'static str> {
        Some("/connectors?for=tenant")
    }

    fn left(_: &str) -> Option<NothingToSay> {
        Some(NothingToSay {})
    }
}

impl Screen for Targets {
    const SECTION: Section = Section::Sharing;
    const INTRO: &'static str = "What destinations hold: a connection, what is done there, and how carefully.";
    const LIST: &'static str = "/targets";
    const FORM: &'static str = "/configure/target";
    const LEAVES: &'static [(&'static str, &'static str)] =
        &[("take_back", "its entries are taken back"), ("release", "its entries stay there and are nobody's")];
    const MORE: &'static str = "Show its parameters";
    const LEAVES_WORDS: &'static str =
        "No sharing may feed it any more. From its page it is deleted together with them.";

    fn home(key: &[String]) -> Option<String> {
        Some(format!("/targets/{}", show::part(key.first()?)))
    }

    fn mark(doc: &Value) -> String {
        let text = |name: &str| doc[name].as_str().unwrap_or_default();
        format!("{}/{}", text("connection"), text("action"))
    }

    fn forget(doc: &mut Value) {
        doc["params"] = Value::Null;
    }

    fn tidy(doc: &mut Value) {
        if let Some(map) = doc.as_object_mut() {
            map.retain(|_, value| !value.is_null());
        }
    }

    fn grow(doc: &mut Value, posted: &Posted) {
        for name in ["connection", "action"] {
            if let Some(value) = posted.given(name) {
                doc[name] = value.into();
            }
        }
    }

    fn form(app: &App, doc: &mut Value, is_new: bool) -> Result<Form, Problem> {
        let engine = app.engine()?;
        let config = engine.config();
        let able = config.connections.values().filter_map(|connection| {
            let connector = engine.registry().get(&connection.doc.connector)?;
            (!connector.manifest().actions.is_empty()).then_some((&connection.doc, connector))
        });
        let able: Vec<_> = able.collect();
        let mut form = Form::default();
        let connections =
            one_of("connection", "Connection", "The destination.", able.iter().map(|(doc, _)| doc.name.as_str()));
        let manifest =
            able.iter().find(|(c, _)| doc["connection"].as_str() == Some(c.name.as_str())).map(|(_, c)| c.manifest());
        let mut basic = vec![
            name_of(is_new, "Unique; for a served list also its address."),
            connections.required().locked(!is_new),
        ];
        if let Some(manifest) = manifest {
            let actions = manifest.actions.iter().map(|action| (action.name.as_str(), action.title.as_str()));
            basic.push(Field::new("action", SettingType::Choice, "Action", "What is done there.").choices(actions));
        }
        basic.push(tick("enabled", "On", "Off: nothing is sent and nothing is taken back.", true));
        form.group("Basics", "", false, basic);
        let action = manifest.and_then(|m| match doc["action"].as_str() {
            Some(name) => m.action(name),
            None => m.actions.first(),
        });
        if let Some(action) = action {
            let params = action.params.iter().map(|setting| Field::of(setting, "params")).collect();
            form.group(&action.title, &action.summary, false, params);
        }
        form.group(
            "How carefully",
            "",
            true,
            vec![
                one_of(
                    "first_fill",
                    "First fill",
                    "Whether the first entries wait for an approval.",
                    ["approve", "allow"],
                )
                .default("approve"),
                one_of(
                    "retract",
                    "Takes back",
                    "What is no longer wanted.",
                    ["always", "expired_and_retracted", "never"],
                )
                .default("always"),
                Field::new("interval", SettingType::Duration, "Interval", "How often a pass looks at everything.")
                    .default("5m"),
                text("verify", "Read back", "How often what is there is compared; off: never.").example("24h"),
                days("budget.adds.percent", "Adds in a pass, percent", "Of what is present."),
                days("budget.adds.at_most", "Adds in a pass, at most", "However much is present."),
                days("budget.removals.percent", "Removals in a pass, percent", "Of what is present."),
                days("budget.removals.at_most", "Removals in a pass, at most", "However much is present."),
                days("budget.per_day", "Passes' worth in a day", "1 to 1000."),
            ],
        );
        Ok(form)
    }

    fn left(choice: &str) -> Option<LeaveEntries> {
        match choice {
            "take_back" => Some(LeaveEntries { lines: Entries::TakeBack }),
            "release" => Some(LeaveEntries { lines: Entries::Release }),
            _ => None,
        }
    }
}

impl Screen for Sharings {
    const SECTION: Section = Section::Sharing;
    const INTRO: &'static str = "What goes where: a source, a rule and a target.";
    const LIST: &'static str = "/sharing";
    const FORM: &'static str = "/configure/sharing";
    const LEAVES: &'static [(&'static str, &'static str)] = &[("take_back", "what only it wanted is taken back")];
    const LEAVES_WORDS: &'static str = "The next passes take back what no other sharing of the target wants, within \
                                        their budget. To keep what is there, pause it instead; to leave it there for \
                                        good, delete its target and let the entries stay.";
    const TRIAL: Option<&'static str> = Some("/configure/sharing/test");

    fn form(app: &App, _: &mut Value, is_new: bool) -> Result<Form, Problem> {
        let config = app.engine()?.config();
        let sources = config.connections.values().filter(|c| c.open.source().is_some() || c.doc.connector == "manual");
        let sources = std::iter::once("any").chain(sources.map(|c| c.doc.name.as_str()));
        let mut form = Form::default();
        form.group(
            "From, what, to",
            "",
            false,
            vec![
                one_of("source", "Source", "A connection, or any.", sources).required().locked(!is_new),
                one_of("rule", "Rule", "What is selected.", config.rules.keys().map(String::as_str))
                    .required()
                    .locked(!is_new),
                one_of("target", "Target", "Where it goes.", config.targets.values().map(|t| t.doc.name.as_str()))
                    .required()
                    .locked(!is_new),
            ],
        );
        form.group(
            "How",
            "",
            false,
            vec![
                tlp("max_tlp", "Most restrictive TLP", "What is marked more narrowly does not go.").default("amber"),
                tick("paused", "Paused", "Sends nothing new and takes nothing back.", false),
            ],
        );
        Ok(form)
    }

    fn left(choice: &str) -> Option<LeaveEntries> {
        (choice == "take_back").then_some(LeaveEntries { lines: Entries::TakeBack })
    }
}

impl Screen for Rules {
    const SECTION: Section = Section::Rules;
    const INTRO: &'static str = "What is selected, and what never passes.";
    const LIST: &'static str = "/rules";
    const FORM: &'static str = "/configure/rule";
    const MORE: &'static str = "One more exception";

    fn grow(doc: &mut Value, posted: &Posted) {
        let at = |name: &str| name.strip_prefix("exceptions.")?.split('.').next()?.parse::<usize>().ok();
        let most = posted.names().filter_map(at).filter(|at| *at < MOST_EXCEPTIONS).max();
        if !doc["exceptions"].is_array() {
            doc["exceptions"] = json!([]);
        }
        if let (Some(most), Some(exceptions)) = (most, doc["exceptions"].as_array_mut()) {
            // The form adds one more by itself.
            while exceptions.len() < most {
                exceptions.push(json!({}));
            }
        }
    }

    fn form(_: &App, doc: &mut Value, is_new: bool) -> Result<Form, Problem> {
        let mut form = Form::default();
        form.group(
            "Selects",
            "",
            false,
            vec![
                name_of(is_new, "Unique; sharings name it."),
                text("folder", "Folder", "Up to three levels.").example("edr/block/strict"),
                text("when", "Selects", "An expression.")
                    .example("kind in (url, domain) and reputation >= 7")
                    .required(),
                tick("muted", "Muted", "Shares nothing new and takes nothing back.", false),
            ],
        );
        // One more than there are, to be filled or left empty.
        let there = doc["exceptions"].as_array().map_or(0, Vec::len);
        if !doc["exceptions"].is_array() {
            doc["exceptions"] = json!([]);
        }
        if let Some(exceptions) = doc["exceptions"].as_array_mut() {
            exceptions.push(json!({}));
        }
        for at in 0..=there {
            form.group(
                &format!("Exception {}", at + 1),
                "Any of its parts excepts. Without a name and parts there is none.",
                at == there && there > 0,
                vec![
                    text(&format!("exceptions.{at}.name"), "Name", "Shown wherever it applies."),
                    text(&format!("exceptions.{at}.when"), "What meets this", "An expression."),
                    lines(&format!("exceptions.{at}.values"), "Values", "One a line."),
                    tick(
                        &format!("exceptions.{at}.under"),
                        "And everything under them",
                        "Subdomains, addresses, URLs.",
                        true,
                    ),
                    lines(&format!("exceptions.{at}.tags"), "Tags", "One a line."),
                ],
            );
        }
        Ok(form)
    }

    fn offers(app: &App) -> Result<Option<String>, Problem> {
        super::trial::offers(app).map(Some)
    }

    fn tidy(doc: &mut Value) {
        if let Some(exceptions) = doc["exceptions"].as_array_mut() {
            exceptions.retain(|one| one.as_object().is_some_and(|one| one.keys().any(|key| key != "under")));
        }
    }

    fn left(_: &str) -> Option<NothingToSay> {
        Some(NothingToSay {})
    }
}
