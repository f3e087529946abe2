//! Where else people sign in: providers of identities, made, changed and taken out.
//!
//! What is typed goes through the same check as a file that is applied; a secret that is set stays until another is given.

use super::shell::{Section, Shell};
use super::{Fields, Sent, Visit};
use crate::api::Problem;
use crate::app::App;
use crate::app::things::{NothingToSay, Providers, tag_of};
use crate::people;
use askama::Template;
use axum::response::Response;
use engine::config::ProviderDoc;
use std::collections::BTreeMap;

const PAGE: &str = "/settings/sign-in";

#[derive(Template)]
#[template(path = "providers.html")]
struct ProvidersPage {
    shell: Shell,
    /// Where people are sent back to; empty: nobody said where this exchange is.
    public_url: String,
    forms: Vec<Form>,
    mistake: Option<Problem>,
}

/// A provider as it is typed.
#[derive(Default)]
struct Form {
    doc: ProviderDoc,
    roles: String,
    scopes: String,
    networks: String,
    /// Names what was there when the page was made; empty: nothing.
    seen: String,
    way_back: String,
}

impl Form {
    fn of(doc: ProviderDoc, public_url: &str) -> Form {
        let line = |(group, roles): (&String, &Vec<String>)| format!("{group} = {}", roles.join(", "));
        Form {
            roles: doc.roles.iter().map(line).collect::<Vec<_>>().join("\n"),
            scopes: doc.scopes.as_deref().unwrap_or_default().join(" "),
            networks: doc.allow_private.join(" "),
            seen: if doc.name.is_empty() { String::new() } else { tag_of(&doc) },
            way_back: people::way_back(public_url, &doc.name),
            doc,
        }
    }

    fn is_new(&self) -> bool {
        self.seen.is_empty()
    }

    fn title(&self) -> &str {
        if self.is_new() { "New provider" } else { &self.doc.name }
    }
}

fn words(text: &str) -> Vec<String> {
    text.split([' ', ',', '\n', '\r']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn typed(form: &Fields) -> Result<ProviderDoc, Problem> {
    let some = |name: &str| form.some(name).map(str::to_owned);
    let mut roles: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in form.get("roles").lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (group, names) = line
            .rsplit_once('=')
            .ok_or_else(|| Problem::invalid(format!("roles: \"{line}\" is no line such as soc = analyst, approver")))?;
        roles.entry(group.trim().to_owned()).or_default().extend(words(names));
    }
    let kept = (!form.get("seen").is_empty() && form.get("has_secret") == "yes" && form.get("forget_secret") != "on")
        .then(|| engine::seal::SET.to_owned());
    Ok(ProviderDoc {
        name: form.get("name").to_owned(),
        issuer: form.get("issuer").to_owned(),
        client_id: form.get("client_id").to_owned(),
        client_secret: some("client_secret").or(kept),
        scopes: some("scopes").map(|text| words(&text)),
        group_claim: some("group_claim"),
        name_claim: some("name_claim"),
        roles,
        allowed_domain: some("allowed_domain"),
        contact: some("contact"),
        enabled: form.get("enabled") == "on",
        proxy: some("proxy"),
        ca_file: some("ca_file"),
        allow_private: words(form.get("networks")),
    })
}

fn forms(app: &App, typed: Option<(ProviderDoc, String)>) -> Result<(String, Vec<Form>), Problem> {
    let public_url = app.engine()?.config().public_url.clone().unwrap_or_default();
    let mut forms: Vec<Form> = app.things::<Providers>()?.into_iter().map(|doc| Form::of(doc, &public_url)).collect();
    forms.push(Form::of(ProviderDoc { enabled: true, ..ProviderDoc::default() }, &public_url));
    if let Some((doc, seen)) = typed {
        let at = forms.iter().position(|form| !seen.is_empty() && form.doc.name == doc.name);
        let at = at.unwrap_or(forms.len() - 1);
        let form = Form::of(ProviderDoc { client_secret: forms[at].doc.client_secret.clone(), ..doc }, &public_url);
        forms[at] = Form { seen, ..form };
    }
    Ok((public_url, forms))
}

async fn page(visit: Visit, wrong: Option<(Problem, ProviderDoc, String)>) -> Result<Response, Problem> {
    let status = wrong.as_ref().map(|(problem, ..)| problem.status());
    let mut response = visit
        .page("Sign-in", Section::Settings, move |app, shell| {
            let (mistake, typed) = match wrong {
                Some((problem, doc, seen)) => (Some(problem), Some((doc, seen))),
                None => (None, None),
            };
            let (public_url, forms) = forms(app, typed)?;
            Ok(ProvidersPage { shell, public_url, forms, mistake })
        })
        .await?;
    if let Some(status) = status {
        *response.status_mut() = status;
    }
    Ok(response)
}

pub(super) async fn show(visit: Visit) -> Result<Response, Problem> {
    page(visit, None).await
}

pub(super) async fn save(visit: Visit, Sent(form): Sent) -> Result<Response, Problem> {
    let seen = form.get("seen").to_owned();
    let doc = match typed(&form) {
        Ok(doc) => doc,
        Err(problem) => {
            let doc = ProviderDoc {
                name: form.get("name").to_owned(),
                issuer: form.get("issuer").to_owned(),
                client_id: form.get("client_id").to_owned(),
                ..ProviderDoc::default()
            };
            return page(visit, Some((problem, doc, seen))).await;
        }
    };
    let (asked, tag, caller) = (doc.clone(), seen.clone(), visit.seat.caller.clone());
    let tag = move || Some(tag).filter(|tag| !tag.is_empty());
    let done = visit.app.hop(move |app| app.put_seen::<Providers>(&asked, tag().as_deref(), &caller)).await;
    match done {
        Ok(_) => visit.act(|_, _| Ok(format!("{PAGE}?done=saved"))).await,
        Err(problem) => page(visit, Some((problem, doc, seen))).await,
    }
}

pub(super) async fn delete(visit: Visit, Sent(form): Sent) -> Result<Response, Problem> {
    visit
        .act(move |app, caller| {
            let key = [form.get("name").to_owned()];
            app.delete_seen::<Providers>(&key, NothingToSay {}, form.get("seen"), &caller.name)?;
            Ok(format!("{PAGE}?done=deleted"))
        })
        .await
}
