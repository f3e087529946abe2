//! The questions asked of every connector: what becomes of a bad answer?

use super::case::{Case, Deed, Outcome};
use crate::connection::Connector;
use crate::decode::Limits;
use crate::error::ConnectorError;
use crate::http::{Answer, Http, HttpConfig, NoWait};
use crate::secret::Secret;
use serde_json::json;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// Stands for every secret while faults are tried.
const CANARY: &str = "c4nary-s3cret-value";

/// What an answer must lead to.
#[derive(Clone, Copy)]
enum Must {
    Denied,
    /// With this wait, in seconds.
    Later(Option<u64>),
    /// Anything but success.
    Fail,
    /// Of a reading: anything but one that says that it is all there is.
    NotWhole,
    /// Somebody else wrote first.
    Changed,
    /// Anything but a panic.
    Survive,
}

/// Asks all questions of one case; gives what is wrong.
pub(super) fn ask(connector: &dyn Connector, case: &Case) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut settings = case.settings.clone();
    for (key, _) in &case.secrets {
        settings[key] = json!(CANARY);
    }
    let mut canary = CANARY.to_owned();
    if connector.open(&settings).is_err() {
        // A secret must have a form here: the one of the case is looked for instead.
        settings.clone_from(&case.settings);
        canary = case.secrets.first().map(|(_, secret)| secret.reveal().to_owned()).unwrap_or(canary);
    }
    let answering = |make: Box<dyn Fn() -> Answer + Send + Sync>| answering(&canary, make);
    if case.has_items() {
        let http = answering(Box::new(|| Answer::new(500, "")));
        match guarded(|| case.act(connector, &settings, &http, true)) {
            Ok(Ok(_)) if http.calls() == 0 => {}
            Ok(Ok(_)) => wrong.push(format!("an empty batch makes {} calls", http.calls())),
            Ok(Err(error)) => wrong.push(format!("an empty batch fails: {error}")),
            Err(panic) => wrong.push(format!("an empty batch panics: {panic}")),
        }
    }
    let Some(first) = case.exchanges.0.first() else { return wrong };
    let (body, headers) = (first.body.clone(), first.headers.clone());
    // Half of what was recorded, under its full length.
    let cut = move |at: usize| {
        let mut answer = Answer::new(200, &body[..at.min(body.len())]);
        answer.headers.clone_from(&headers);
        answer.header_pair("Content-Length", &(body.len() + 1).to_string())
    };
    let length = first.body.len();
    let html = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body><p>Please sign in.</p></body></html>\n";
    let must_html = if case.html { Must::Survive } else { Must::Fail };
    let deep = "[".repeat(200_000);
    let big = vec![b'a'; 3 << 20];
    let echo = format!("no: {canary}");
    let echo = move |status: u16| Answer::new(status, echo.clone());
    let plain = |status: u16| Answer::new(status, "");
    // Nothing may be concluded from, or written over, what cannot be understood.
    let survive = if case.deed == Deed::Read { Must::NotWhole } else { Must::Survive };
    type Make<'a> = Box<dyn Fn() -> Answer + Send + Sync + 'a>;
    let echo = &echo;
    let cut = &cut;
    let (deep, big) = (&deep, &big);
    let mut questions: Vec<(&str, Must, Make<'_>)> = vec![
        ("a 401", Must::Denied, Box::new(move || echo(401))),
        ("a 403", Must::Denied, Box::new(move || echo(403))),
        (
            "a 429 with Retry-After: 17",
            Must::Later(Some(17)),
            Box::new(move || echo(429).header_pair("Retry-After", "17")),
        ),
        ("a 503", Must::Later(None), Box::new(move || echo(503))),
        (
            "a 503 with Retry-After: 17",
            Must::Later(Some(17)),
            Box::new(move || plain(503).header_pair("Retry-After", "17")),
        ),
        ("a 500", Must::Later(None), Box::new(move || echo(500))),
        ("a 418", Must::Fail, Box::new(move || echo(418))),
        (
            "a page of HTML",
            must_html,
            Box::new(move || Answer::new(200, html).header_pair("Content-Type", "text/html")),
        ),
        ("a page of HTML without a type", must_html, Box::new(move || Answer::new(200, html))),
        ("a body cut at its beginning", Must::Fail, Box::new(move || cut(0))),
        ("a body cut in the middle", Must::Fail, Box::new(move || cut(length / 2))),
        ("a body cut at its end", Must::Fail, Box::new(move || cut(length))),
        ("a body beyond the limit", Must::Fail, Box::new(move || Answer::new(200, big.clone()))),
        (
            "an announced length beyond the limit",
            Must::Fail,
            Box::new(move || plain(200).header_pair("Content-Length", "99999999999")),
        ),
        (
            "a redirect elsewhere",
            Must::Fail,
            Box::new(move || plain(302).header_pair("Location", "https://elsewhere.invalid/")),
        ),
        ("bytes that are no text", survive, Box::new(move || Answer::new(200, vec![0xff, 0, 0xfe, 0x80, b'\n', 0xc3]))),
        ("deep nesting", survive, Box::new(move || Answer::new(200, deep.as_str()))),
        ("an empty body", survive, Box::new(move || plain(200))),
        ("null", survive, Box::new(move || Answer::new(200, "null"))),
        ("an empty list", Must::Survive, Box::new(move || Answer::new(200, "[]"))),
        ("an empty object", Must::Survive, Box::new(move || Answer::new(200, "{}"))),
    ];
    if case.version.is_some() {
        questions.push(("a 412", Must::Changed, Box::new(move || plain(412))));
    }
    for (what, must, make) in questions {
        // The room wants an answer that outlives the call: made once per question, given as bytes.
        let made = Recipe::of(make());
        let http = answering(Box::new(move || made.answer()));
        let outcome = match guarded(|| case.act(connector, &settings, &http, false)) {
            Ok(outcome) => outcome,
            Err(panic) => {
                wrong.push(format!("{what} makes it panic: {panic}"));
                continue;
            }
        };
        if http.calls() == 0 {
            continue;
        }
        if let Err(expected) = must.allows(&outcome) {
            let got = outcome.as_ref().map_or_else(ToString::to_string, |text| format!("success: {text}"));
            wrong.push(format!("{what} must be {expected}, and is {got}"));
        }
        if let Err(error) = &outcome
            && format!("{error} {error:?}").contains(&canary)
        {
            wrong.push(format!("after {what} a secret is in the error: {error}"));
        }
    }
    wrong
}

impl Must {
    fn allows(self, outcome: &Outcome) -> Result<(), String> {
        match (self, outcome) {
            (Must::Survive, _) | (Must::Denied, Err(ConnectorError::Denied(_))) => Ok(()),
            (Must::Denied, _) => Err("Denied".into()),
            (Must::Later(secs), Err(error)) if error.is_later() && error.wait() == secs.map(Duration::from_secs) => {
                Ok(())
            }
            (Must::Later(secs), _) => Err(format!("Later with the wait {secs:?}")),
            (Must::Fail | Must::NotWhole, Err(_)) | (Must::Changed, Err(ConnectorError::Changed)) => Ok(()),
            // A reading that says that it is a part is no success either.
            (Must::Fail | Must::NotWhole, Ok(text)) if text.contains("\"whole\":false") => Ok(()),
            (Must::NotWhole, Ok(_)) => Err("an error, or a reading that is not whole".into()),
            (Must::Changed, _) => Err("Changed".into()),
            // A batch may say it of each item.
            (Must::Fail, Ok(text))
                if text.lines().all(|line| {
                    line.contains("\"unknown\"") || line.contains("\"not_done\"") || line.contains("\"refused\"")
                }) =>
            {
                Ok(())
            }
            (Must::Fail, Ok(_)) => Err("an error".into()),
        }
    }
}

/// An answer that can be given many times.
struct Recipe {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Recipe {
    fn of(mut answer: Answer) -> Recipe {
        let mut body = Vec::new();
        // The bodies here are in memory: reading them cannot fail.
        let _ = std::io::Read::read_to_end(&mut answer.body, &mut body);
        Recipe { status: answer.status, headers: answer.headers, body }
    }

    fn answer(&self) -> Answer {
        Answer { headers: self.headers.clone(), ..Answer::new(self.status, self.body.clone()) }
    }
}

fn answering(canary: &str, make: Box<dyn Fn() -> Answer + Send + Sync>) -> Http {
    let limits = Limits { max_input: 2 << 20, max_output: 2 << 20, ..Limits::default() };
    let secrets = vec![("secret".to_owned(), Secret::new(canary))];
    let config = HttpConfig { limits, secrets, ..HttpConfig::default() };
    Http::answering(config, Arc::new(NoWait), move |_| make())
}

fn guarded(run: impl FnOnce() -> Outcome) -> Result<Outcome, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
    })
}
