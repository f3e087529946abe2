//! What the endpoint makes of answers that a recorded conversation does not show.

use super::*;
use intel::{IndicatorKey, Timestamp};
use kit::files::Files;
use kit::http::{Answer, Http, HttpConfig, NoWait, Sent};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NOW: i64 = 1_800_000_000;

/// What was sent: id, timestamp, body.
type Heard = Arc<Mutex<Vec<(String, String, Vec<u8>)>>>;

struct Bench {
    http: Http,
    heard: Heard,
}

impl Bench {
    fn new(answer: impl Fn(&Sent, &Value) -> Answer + Send + Sync + 'static) -> Bench {
        let heard = Heard::default();
        let told = Arc::clone(&heard);
        let http = Http::answering(HttpConfig::default(), Arc::new(NoWait), move |sent| {
            let header = |name: &str| sent.header(name).unwrap().to_owned();
            told.lock().unwrap().push((header("webhook-id"), header("webhook-timestamp"), sent.body()));
            answer(sent, &serde_json::from_slice(&sent.body()).unwrap())
        });
        Bench { http, heard }
    }

    fn push(&self, items: &[Outgoing]) -> Result<Vec<ItemOutcome>, ConnectorError> {
        self.push_at(NOW, "iocast-1", items)
    }

    fn push_at(&self, now: i64, mark: &str, items: &[Outgoing]) -> Result<Vec<ItemOutcome>, ConnectorError> {
        let files = Files::below(Vec::new());
        let now = Timestamp::from_secs(now);
        let cx = Cx { http: &self.http, files: &files, now, initial_from: now };
        let params = json!({});
        let target = TargetSpec { name: "soc", action: "send", params: &params, mark };
        open(&json!({})).unwrap().destination().unwrap().push(target, items, &cx)
    }

    fn ids(&self) -> Vec<String> {
        self.heard.lock().unwrap().iter().map(|(id, ..)| id.clone()).collect()
    }
}

fn open(more: &Value) -> Result<Box<dyn Connection>, String> {
    let mut settings = json!({ "url": "https://soc.example:8443/in", "secret": SECRET, "token": "canary-token" });
    for (key, value) in more.as_object().unwrap() {
        settings[key] = value.clone();
    }
    connector().unwrap().open(&settings)
}

fn items(n: usize) -> Vec<Outgoing> {
    let key = |n: usize| IndicatorKey::parse(None, &format!("198.51.{}.{}", n / 250, n % 250 + 1)).unwrap();
    (0..n).map(|n| Outgoing::bare(key(n), Timestamp::from_secs(NOW - 60))).collect()
}

fn values(message: &Value) -> Vec<&str> {
    message["data"]["items"].as_array().unwrap().iter().map(|item| item["value"].as_str().unwrap()).collect()
}

#[test]
fn the_same_change_told_again_is_the_same_message() {
    let bench = Bench::new(|_, _| Answer::new(500, ""));
    let batch = items(3);
    assert!(matches!(bench.push(&batch), Err(ConnectorError::Later { .. })));
    // Much later, by another process.
    assert!(bench.push_at(NOW + 90_000, "iocast-1", &batch).is_err());
    let heard = bench.heard.lock().unwrap();
    assert_eq!(heard.len(), 8, "it is repeated by the client, too");
    assert!(heard.iter().all(|(id, _, body)| (id, body) == (&heard[0].0, &heard[0].2)));
    assert_ne!(heard[0].1, heard[7].1, "the time is that of the call");
}

#[test]
fn another_change_is_another_message() {
    let bench = Bench::new(|_, _| Answer::new(204, ""));
    let batch = items(3);
    let mut newer = batch.clone();
    newer[1].modified = newer[1].modified.after(Duration::from_secs(1));
    let mut worse = batch.clone();
    worse[2].reputation = intel::Reputation::clamped(9);
    for batch in [&batch[..], &batch[..2], &newer, &worse] {
        bench.push(batch).unwrap();
    }
    bench.push_at(NOW, "iocast-2", &batch).unwrap();
    let ids: BTreeSet<String> = bench.ids().into_iter().collect();
    assert_eq!(ids.len(), 5, "{ids:?}");
    assert!(ids.iter().all(|id| id.len() == 36 && id.starts_with("msg_")));
}

#[test]
fn items_that_are_not_wanted_are_told_apart() {
    for (n, bad) in [(2, vec![0]), (100, vec![99]), (100, vec![0, 41, 42, 97]), (7, (0..7).collect())] {
        let batch = items(n);
        let unwanted: BTreeSet<String> = bad.iter().map(|at| batch[*at].entry.clone()).collect();
        let bench =
            Bench::new(move |_, message| match values(message).iter().find(|value| unwanted.contains(**value)) {
                Some(value) => Answer::new(422, format!("not {value}")),
                None => Answer::new(200, "ok"),
            });
        for (at, outcome) in bench.push(&batch).unwrap().iter().enumerate() {
            match outcome {
                ItemOutcome::Refused(why) => assert!(bad.contains(&at) && why.ends_with(&batch[at].entry), "{why}"),
                other => {
                    assert!(!bad.contains(&at) && *other == ItemOutcome::Accepted { remote_id: None }, "{other:?}");
                }
            }
        }
        assert!(bench.http.calls() <= CALLS_MOST as u64);
    }
}

#[test]
fn telling_apart_has_an_end() {
    let bench = Bench::new(|_, _| Answer::new(400, "no, canary-token"));
    let outcomes = bench.push(&items(1_000)).unwrap();
    assert_eq!((outcomes.len(), bench.http.calls()), (1_000, CALLS_MOST as u64));
    for outcome in outcomes {
        match outcome {
            ItemOutcome::Refused(why) => assert!(why.contains("answered 400: no, {{token}}"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn trouble_while_telling_apart_leaves_the_rest_undone() {
    let bench = Bench::new(|_, message| match values(message)[..] {
        [first, .., last] if first != "198.51.0.1" || last != "198.51.0.2" => match values(message).len() {
            4 => Answer::new(422, ""),
            _ => Answer::new(429, "").header_pair("Retry-After", "30"),
        },
        _ => Answer::new(200, ""),
    });
    let outcomes = bench.push(&items(4)).unwrap();
    let accepted = ItemOutcome::Accepted { remote_id: None };
    assert_eq!(outcomes[..2], [accepted.clone(), accepted]);
    assert!(matches!(&outcomes[2..], [ItemOutcome::NotDone(a), ItemOutcome::NotDone(_)] if a.contains("429")));
}

#[test]
fn answers_and_what_they_mean() {
    let two = items(2);
    let ask = |status: u16, body: &'static str| {
        let outcome = Bench::new(move |_, _| Answer::new(status, body)).push(&two);
        match outcome {
            Ok(outcomes) => outcomes
                .iter()
                .map(|outcome| match outcome {
                    ItemOutcome::Accepted { .. } => "accepted".to_owned(),
                    ItemOutcome::Refused(why) => format!("refused: {why}"),
                    ItemOutcome::Unknown(why) => format!("unknown: {why}"),
                    ItemOutcome::Foreign => "foreign".to_owned(),
                    ItemOutcome::NotDone(why) => format!("not done: {why}"),
                })
                .collect::<Vec<_>>()
                .join("; "),
            Err(error) => error.to_string(),
        }
    };
    for (status, body, expect) in [
        (200, "", "accepted; accepted"),
        (202, "{\"ok\": true}", "accepted; accepted"),
        (200, "<- thanks", "unexpected answer: answered with a page, as no webhook does"),
        (200, "{\"results\": 2}", "accepted; accepted"),
        (200, "{\"results\": [{\"id\": 1}]}", "accepted; accepted"),
        (200, "{\"results\": [{\"status\": \"accepted\"}]}", "unexpected answer: answered 1 results for 2 items"),
        (
            207,
            "{\"results\": [{\"status\": \"refused\", \"reason\": \"a\\ncanary-token\"}, {\"status\": \"queued\"}]}",
            "refused: a {{token}}; unknown: the receiver says \"queued\"",
        ),
        (
            410,
            "",
            "denied: POST https://soc.example:8443/in: answered 410; by this the receiver says that the endpoint is \
             disabled",
        ),
        (401, "who?", "denied: POST https://soc.example:8443/in: answered 401: who?"),
        (404, "", "unexpected answer: POST https://soc.example:8443/in: answered 404"),
        (302, "", "unexpected answer: POST https://soc.example:8443/in: redirects to nowhere"),
    ] {
        assert_eq!(ask(status, body), expect, "{status} {body}");
    }
}

#[test]
fn settings_that_cannot_be() {
    for (more, expect) in [
        (json!({}), None),
        (json!({ "headers": { "X-Team": "soc" } }), None),
        (json!({ "secret": "env:NOT_SET_YET" }), None),
        (json!({ "secret": "sealed:1:0123:4567" }), None),
        (json!({ "secret": "whsec_short" }), Some("24 to 64 bytes")),
        (json!({ "headers": { "Webhook-Id": "1" } }), Some("not for you")),
        (json!({ "headers": { "authorization": "Bearer x" } }), Some("not for you")),
        (json!({ "headers": { "X Team": "soc" } }), Some("no name")),
        (json!({ "headers": { "X-Team": "a\r\nb: c" } }), Some("no name")),
    ] {
        match (open(&more), expect) {
            (Ok(connection), None) => assert_eq!(connection.hosts(), ["soc.example"]),
            (Err(why), Some(expect)) => assert!(why.contains(expect), "{why}"),
            (other, _) => panic!("{more}: {:?}", other.err()),
        }
    }
    let files = Files::below(Vec::new());
    let http = Http::answering(HttpConfig::default(), Arc::new(NoWait), |_| Answer::new(200, ""));
    let now = Timestamp::from_secs(NOW);
    let cx = Cx { http: &http, files: &files, now, initial_from: now };
    for missing in ["env:NOT_SET_YET", "sealed:1:0123:4567"] {
        let unresolved = open(&json!({ "secret": missing })).unwrap();
        assert!(matches!(unresolved.check(&cx), Err(ConnectorError::Denied(_))) && http.calls() == 0);
    }
    assert!(open(&json!({})).unwrap().check(&cx).is_ok());
}

#[test]
fn an_answer_without_end_is_not_read_to_its_end() {
    for body in [b"{\"results\": [".to_vec(), Vec::new()] {
        let bench = Bench::new(move |_, _| Answer::new(200, [body.clone(), vec![b' '; 3 << 20]].concat()));
        let error = bench.push(&items(2)).unwrap_err();
        assert!(error.to_string().contains("more than 2 MiB"), "{error}");
    }
}
