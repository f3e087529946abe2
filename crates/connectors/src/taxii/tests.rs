//! A server in memory that follows the standard, and can be told to misbehave: what becomes of it.

use super::*;
use intel::{IndicatorKey, Timestamp};
use kit::files::Files;
use kit::http::{Answer, HttpConfig, NoWait, Sent, Wait};
use kit::stix::{self, Version};
use kit::testkit::Collected;
use kit::{ItemOutcome, Outgoing, Pulled, TargetSpec};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

const ROOT: &str = "https://taxii.example/api/";
const MARK: &str = "iocast-test";

/// An object, and when it was added in seconds.
type Stored = (i64, Value);

#[derive(Default)]
struct State {
    objects: Vec<Stored>,
    /// Everything asked: method, path and query.
    calls: Vec<String>,
    /// `next` tokens given out: the rest of the objects.
    cursors: Vec<Vec<Stored>>,
    statuses_left: u32,
    /// Requests until a fault comes.
    until_fault: Option<u32>,
}

/// What the server does otherwise than the standard wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Odd {
    Nothing,
    /// No `next`: only the dates lead on.
    NoNext,
    /// A `next` that is not known when it comes back, every other time.
    ForgetsNext,
    /// The same page for ever, under ever new tokens.
    Circles,
    /// `more` with empty pages for ever.
    EmptyForever,
    /// No `X-TAXII-Date-Added` headers.
    NoDates,
    NoDatesForgets,
    /// The latest come first.
    Descending,
    /// 404 where nothing is new.
    NotFoundIfEmpty,
    /// Bodies without a media type, dates to the second.
    Sloppy,
    /// One date in the far future.
    Future,
    /// POST: the status is pending for so many looks.
    Pending,
    PendingForever,
    /// POST: 413 above two objects.
    TooLarge,
    /// POST: refuses the object named `bad.example.net`.
    RefusesOne,
    /// POST: 200 with nothing.
    Silent,
    /// DELETE is not allowed.
    NoDelete,
}

struct Server {
    state: Arc<Mutex<State>>,
    odd: Odd,
    page: usize,
}

fn date(secs: i64) -> String {
    cursor::stamp(Timestamp::from_secs(1_790_000_000 + secs))
}

fn now() -> Timestamp {
    Timestamp::from_secs(1_790_100_000)
}

fn indicator(n: u32) -> Value {
    json!({
        "type": "indicator", "id": format!("indicator--00000000-0000-4000-8000-{n:012}"), "pattern_type": "stix",
        "created": "2026-01-01T00:00:00.000Z", "modified": "2026-01-01T00:00:00.000Z", "spec_version": "2.1",
        "pattern": format!("[domain-name:value = 'n{n}.example']"), "valid_from": "2026-01-01T00:00:00.000Z",
    })
}

/// `(when added, number)` in order of dates.
fn stored(all: impl IntoIterator<Item = (i64, u32)>) -> Vec<Stored> {
    all.into_iter().map(|(secs, n)| (secs, indicator(n))).collect()
}

impl Server {
    fn new(odd: Odd, page: usize, objects: Vec<Stored>) -> Server {
        Server { state: Arc::new(Mutex::new(State { objects, ..State::default() })), odd, page }
    }

    fn http(&self) -> Http {
        self.http_with(Arc::new(NoWait))
    }

    fn http_with(&self, wait: Arc<dyn Wait>) -> Http {
        let (state, odd, page) = (Arc::clone(&self.state), self.odd, self.page);
        let config = HttpConfig { retries: 0, ..HttpConfig::default() };
        Http::answering(config, wait, move |sent| answer(&mut state.lock().unwrap(), odd, page, sent))
    }

    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().calls)
    }
}

fn json_answer(status: u16, value: &Value) -> Answer {
    Answer::new(status, value.to_string()).header_pair("Content-Type", "application/taxii+json;version=2.1")
}

fn answer(state: &mut State, odd: Odd, page: usize, sent: &Sent) -> Answer {
    let url = url::Url::parse(sent.url()).unwrap();
    state.calls.push(format!("{} {}", sent.method(), sent.url().trim_start_matches(ROOT)));
    if let Some(left) = &mut state.until_fault {
        if *left == 0 {
            return Answer::new(429, "slow down").header_pair("Retry-After", "60");
        }
        *left -= 1;
    }
    let query = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    let path = url.path().trim_start_matches("/api/");
    let collection = json!({"id": "c", "title": "C", "can_read": true, "can_write": true});
    match (sent.method(), path) {
        ("GET", "") => json_answer(200, &json!({"title": "r", "versions": [], "max_content_length": 2000})),
        ("GET", "collections/") => json_answer(200, &json!({"collections": [collection]})),
        ("GET", "collections/c/") => json_answer(200, &collection),
        ("GET", "collections/c/objects/") => objects(state, odd, page, &query),
        ("POST", "collections/c/objects/") => post(state, odd, &sent.body()),
        ("GET", "status/s/") => {
            state.statuses_left = state.statuses_left.saturating_sub(1);
            let is_pending = odd == Odd::PendingForever || state.statuses_left > 0;
            json_answer(200, &json!({"id": "s", "status": if is_pending { "pending" } else { "complete" }}))
        }
        (method, path) => {
            let Some(id) = path.strip_prefix("collections/c/objects/").and_then(|rest| rest.strip_suffix('/')) else {
                return Answer::new(404, "");
            };
            let found: Vec<Value> =
                state.objects.iter().map(|(_, object)| object.clone()).filter(|object| object["id"] == id).collect();
            match method {
                _ if found.is_empty() => Answer::new(404, ""),
                "DELETE" if odd == Odd::NoDelete => Answer::new(405, ""),
                "DELETE" => {
                    assert_eq!(query("match[version]").as_deref(), Some("all"));
                    state.objects.retain(|(_, object)| object["id"] != id);
                    Answer::new(200, "")
                }
                _ => json_answer(200, &json!({ "objects": found })),
            }
        }
    }
}

fn objects(state: &mut State, odd: Odd, page: usize, query: &dyn Fn(&str) -> Option<String>) -> Answer {
    if let Some(ids) = query("match[id]") {
        let latest = |id: &str| state.objects.iter().rev().map(|(_, object)| object).find(|object| object["id"] == id);
        let found: Vec<&Value> = ids.split(',').filter_map(latest).collect();
        return json_answer(200, &json!({ "objects": found }));
    }
    let after = Timestamp::parse(&query("added_after").unwrap()).unwrap();
    let limit = query("limit").unwrap().parse::<usize>().unwrap().min(page);
    let mut left: Vec<Stored> = match query("next") {
        Some(_) if matches!(odd, Odd::ForgetsNext | Odd::NoDatesForgets) && state.cursors.len() % 2 == 1 => {
            state.cursors.push(Vec::new());
            return Answer::new(400, "next not valid");
        }
        Some(next) => state.cursors[next.parse::<usize>().unwrap()].clone(),
        None => {
            let time = |secs: i64| Timestamp::parse(&date(secs)).unwrap();
            state.objects.iter().filter(|(secs, _)| time(*secs) > after).cloned().collect()
        }
    };
    if odd == Odd::Descending && query("next").is_none() {
        left.reverse();
    }
    if left.is_empty() && odd == Odd::NotFoundIfEmpty {
        return Answer::new(404, "");
    }
    let mut rest = left.split_off(limit.min(left.len()));
    if odd == Odd::Circles {
        rest.clone_from(&left);
    }
    let mut more = !rest.is_empty();
    if odd == Odd::EmptyForever {
        (left, more) = (Vec::new(), true);
    }
    let mut body = json!({"more": more});
    if !left.is_empty() {
        body["objects"] = left.iter().map(|(_, object)| object.clone()).collect();
    }
    if more && odd != Odd::NoNext {
        state.cursors.push(rest);
        body["next"] = json!((state.cursors.len() - 1).to_string());
    }
    let mut given = if odd == Odd::Sloppy { Answer::new(200, body.to_string()) } else { json_answer(200, &body) };
    if let (Some((first, _)), Some((last, _))) = (left.first(), left.last())
        && !matches!(odd, Odd::NoDates | Odd::NoDatesForgets)
    {
        let last = if odd == Odd::Future && !more { "2999-01-01T00:00:00.000000Z".into() } else { date(*last) };
        let text = |date: String| if odd == Odd::Sloppy { format!("{}Z", &date[..19]) } else { date };
        given = given.header_pair("X-TAXII-Date-Added-First", &text(date(*first)));
        given = given.header_pair("X-TAXII-Date-Added-Last", &text(last));
    }
    given
}

fn post(state: &mut State, odd: Odd, body: &[u8]) -> Answer {
    let body: Value = serde_json::from_slice(body).unwrap();
    let all = body["objects"].as_array().unwrap();
    if odd == Odd::TooLarge && all.len() > 3 {
        return Answer::new(413, "");
    }
    let (mut successes, mut failures) = (Vec::new(), Vec::new());
    for object in all {
        let same = |(_, there): &Stored| there["id"] == object["id"] && there["modified"] == object["modified"];
        if state.objects.iter().any(same) {
            failures.push(json!({"id": object["id"], "message": "Unable to process object"}));
        } else if odd == Odd::RefusesOne && object["name"] == "bad.example.net" {
            failures.push(json!({"id": object["id"], "message": "not welcome"}));
        } else {
            if odd != Odd::PendingForever {
                state.objects.push((50_000, object.clone()));
            }
            successes.push(json!({"id": object["id"]}));
        }
    }
    match odd {
        Odd::Silent => Answer::new(200, ""),
        Odd::Pending | Odd::PendingForever => {
            state.statuses_left = 3;
            json_answer(202, &json!({"id": "s", "status": "pending", "pending_count": all.len()}))
        }
        _ => json_answer(
            202,
            &json!({"id": "s", "status": "complete", "successes": successes, "failures": failures,
                "failure_count": failures.len()}),
        ),
    }
}

fn link(more: &Value) -> Box<dyn Connection> {
    let connector = connector().unwrap();
    let mut settings = json!({"url": ROOT, "page_size": 10});
    for (key, value) in more.as_object().into_iter().flatten() {
        settings[key] = value.clone();
    }
    connector.open(&connector.manifest().check(&settings).unwrap()).unwrap()
}

/// How a pull ended: the last cursor, or the last one stored and the error.
type End = Result<Value, (Option<Value>, ConnectorError)>;

/// Pulls to the end, every cursor as stored and read back. Gives the values, and the error or the last cursor.
fn pull(http: &Http, after: Option<&Value>) -> (Vec<String>, End) {
    let link = link(&json!({}));
    let files = Files::below(Vec::new());
    let cx = Cx { http, files: &files, now: now(), initial_from: Timestamp::from_secs(1_789_000_000) };
    let mut after = after.cloned();
    let mut values = Vec::new();
    for _ in 0..2_000 {
        let mut found = Collected::default();
        match link.source().unwrap().pull(after.as_ref(), &cx, &mut found) {
            Ok(pulled) => {
                values.extend(found.rows.into_iter().map(|row| row.value));
                match pulled {
                    Pulled::More(cursor) => {
                        assert_ne!(after.as_ref(), Some(&cursor), "the place does not move");
                        after = Some(serde_json::from_str(&cursor.to_string()).unwrap());
                    }
                    Pulled::Done(cursor) => return (values, Ok(cursor.unwrap())),
                    other => panic!("{other:?}"),
                }
            }
            Err(error) => return (values, Err((after, error))),
        }
    }
    panic!("no end");
}

fn distinct(values: &[String]) -> BTreeSet<&str> {
    values.iter().map(String::as_str).collect()
}

fn after_of(cursor: &Value) -> String {
    cursor["after"][format!("{ROOT}collections/c/")].as_str().unwrap().to_owned()
}

/// Dates as servers have them: each of its own, many of one date across the borders of pages, all of one date.
fn worlds() -> Vec<(&'static str, Vec<Stored>)> {
    vec![
        ("empty", stored([])),
        ("one", stored([(1, 1)])),
        ("a full page", stored((0..10).map(|n| (i64::from(n), n)))),
        ("own dates", stored((0..35).map(|n| (i64::from(n), n)))),
        (
            "equal dates at the border",
            stored((0..35).map(|n| (if (5..15).contains(&n) { 5 } else { i64::from(n) }, n))),
        ),
        ("runs of equal dates", stored((0..40).map(|n| (i64::from(n / 8), n)))),
    ]
}

/// Shown: TAXII servers whose pages lack a next, forget it, come in reverse or have sloppy dates are read whole, and what is
/// added with the last date later is not missed (the overlap of the place kept). Figures: 6 servers x 6 sets of dates.
#[test]
fn f25_everything_is_read_and_nothing_twice_in_vain() {
    for odd in [Odd::Nothing, Odd::NoNext, Odd::ForgetsNext, Odd::Descending, Odd::NotFoundIfEmpty, Odd::Sloppy] {
        for (name, objects) in worlds() {
            let n = objects.len();
            let last = objects.last().map(|(secs, _)| *secs);
            // Without next only larger pages lead past objects of one date.
            let server =
                Server::new(odd, if matches!(odd, Odd::NoNext | Odd::ForgetsNext) { 100 } else { 10 }, objects);
            let (values, end) = pull(&server.http(), None);
            let cursor = end.unwrap_or_else(|error| panic!("{odd:?}, {name}: {error:?}"));
            assert_eq!(distinct(&values).len(), n, "{odd:?}, {name}");
            // The place lies before the last date, so that what is added with the same date later is seen.
            if let Some(last) = last {
                assert!(after_of(&cursor) < date(last), "{odd:?}, {name}");
                assert!(after_of(&cursor) > date(last - 2), "{odd:?}, {name}: {}", after_of(&cursor));
                server.state.lock().unwrap().objects.extend(stored([(last, 1_000), (last + 1, 1_001)]));
                let (values, end) = pull(&server.http(), Some(&cursor));
                assert!(distinct(&values).is_superset(&["n1000.example", "n1001.example"].into()), "{odd:?}, {name}");
                assert!(end.is_ok());
            }
        }
    }
}

#[test]
fn many_of_one_date_are_read_by_larger_pages_or_told() {
    let all = || stored((0..30).map(|n| (5, n)));
    let (values, end) = pull(&Server::new(Odd::NoNext, 1_000, all()).http(), None);
    assert!(end.is_ok());
    assert_eq!(distinct(&values).len(), 30);
    // This one gives no more than ten at once: what it holds back must not be taken for read.
    let (_, end) = pull(&Server::new(Odd::NoNext, 10, all()).http(), None);
    let (_, error) = end.unwrap_err();
    assert!(error.to_string().contains("share that date"), "{error}");
}

/// Shown: TAXII servers that never end are left after a bounded number of requests: empty pages with more to come, places
/// that are forgotten, the same page under ever new tokens; what such a server did give is read. Figures: 3 servers of
/// 35 objects, under 300 requests each, 35 objects read where pages go in circles.
#[test]
fn f25_servers_that_never_end() {
    let objects = || stored((0..35).map(|n| (i64::from(n), n)));
    for (odd, says) in [(Odd::EmptyForever, "empty pages"), (Odd::NoDatesForgets, "forgets where we are")] {
        let server = Server::new(odd, 10, objects());
        let (_, end) = pull(&server.http(), None);
        let (_, error) = end.unwrap_err();
        assert!(matches!(error, ConnectorError::Unexpected(_)) && error.to_string().contains(says), "{odd:?}: {error}");
        assert!(server.calls().len() < 300, "{odd:?}");
    }
    // The dates lead on, all is read, and then it is told that there is no end.
    let server = Server::new(Odd::Circles, 10, objects());
    let (values, end) = pull(&server.http(), None);
    assert!(end.is_err());
    assert_eq!(distinct(&values).len(), 35);
    assert!(server.calls().len() < 50);
}

#[test]
fn without_dates_everything_is_read_again() {
    let server = Server::new(Odd::NoDates, 10, stored((0..35).map(|n| (i64::from(n), n))));
    let (values, end) = pull(&server.http(), None);
    let cursor = end.unwrap();
    assert_eq!(values.len(), 35);
    let (values, _) = pull(&server.http(), Some(&cursor));
    assert_eq!(values.len(), 35);
}

#[test]
fn a_date_in_the_future_hides_nothing() {
    let server = Server::new(Odd::Future, 10, stored((0..15).map(|n| (i64::from(n), n))));
    let (_, end) = pull(&server.http(), None);
    assert!(after_of(&end.unwrap()) <= date(14));
}

#[test]
fn a_refusal_midway_keeps_the_place() {
    let server = Server::new(Odd::Nothing, 10, stored((0..35).map(|n| (i64::from(n), n))));
    // One call for the API root, one for its collections, two pages.
    server.state.lock().unwrap().until_fault = Some(4);
    let (mut values, end) = pull(&server.http(), None);
    let (place, error) = end.unwrap_err();
    assert!(error.is_later() && error.wait().is_some(), "{error}");
    assert_eq!(values.len(), 20);
    server.state.lock().unwrap().until_fault = None;
    server.calls();
    let (rest, end) = pull(&server.http(), place.as_ref());
    assert!(end.is_ok());
    assert_eq!(rest.len(), 15);
    values.extend(rest);
    assert_eq!(distinct(&values).len(), 35);
    assert_eq!(server.calls().len(), 2, "the place holds the collections too");
}

#[test]
fn a_place_of_other_settings_is_not_used() {
    let server = Server::new(Odd::Nothing, 10, stored((0..5).map(|n| (i64::from(n), n))));
    let (_, end) = pull(&server.http(), None);
    let mut cursor = end.unwrap();
    cursor["scope"] = json!("another");
    for cursor in [cursor, json!("nonsense"), json!({"scope": 7})] {
        assert_eq!(pull(&server.http(), Some(&cursor)).0.len(), 5);
    }
}

/// Answers every call with what `answer` gives for its address.
fn scripted(answer: impl Fn(&Sent) -> Answer + Send + Sync + 'static) -> Http {
    Http::answering(HttpConfig { retries: 0, ..HttpConfig::default() }, Arc::new(NoWait), answer)
}

/// Shown: where a TAXII server points to is called with credentials only inside its own origin or one the operator trusts.
/// Figures: 15 addresses of API roots (other hosts, ports, schemes, users, files): calls to another origin 0.
#[test]
fn f25_credentials_stay_with_their_host() {
    for (root, trusted, allowed) in [
        ("/api/", json!([]), true),
        ("api/", json!([]), true),
        ("https://taxii.example/api/", json!([]), true),
        ("https://taxii.example:443/api", json!([]), true),
        // A proxy in front of the server ends TLS.
        ("http://taxii.example/api/", json!([]), true),
        ("https://roots.example/api/", json!([]), false),
        ("https://roots.example/api/", json!(["https://roots.example"]), true),
        ("https://roots.example:444/api/", json!(["https://roots.example"]), false),
        ("http://roots.example/api/", json!(["https://roots.example"]), false),
        ("//roots.example/api/", json!([]), false),
        ("https://taxii.example@roots.example/api/", json!([]), false),
        ("https://user@taxii.example/api/", json!([]), false),
        ("https://taxii.example:8443/api/", json!([]), false),
        ("file:///etc/passwd", json!([]), false),
        ("https:///", json!([]), false),
    ] {
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&asked);
        let discovery = json!({"title": "t", "api_roots": [root]});
        let http = scripted(move |sent| {
            seen.lock().unwrap().push(sent.url().to_owned());
            match sent.url() {
                "https://taxii.example/taxii2/" => json_answer(200, &discovery),
                _ => json_answer(200, &json!({"collections": [{"id": "c", "can_read": true}]})),
            }
        });
        let link = link(
            &json!({"url": "https://taxii.example/taxii2/", "token": "example-token", "trusted_origins": trusted}),
        );
        let files = Files::below(Vec::new());
        let cx = Cx { http: &http, files: &files, now: now(), initial_from: now() };
        let checked = link.check(&cx);
        let asked = asked.lock().unwrap();
        if allowed {
            assert!(checked.is_ok(), "{root}: {checked:?}");
            assert!(asked[1].starts_with("https://"), "{asked:?}");
            assert!(asked[1].ends_with("/api/collections/"), "{asked:?}");
        } else {
            assert!(matches!(checked, Err(ConnectorError::Denied(_))), "{root}: {checked:?}");
            assert_eq!(asked.len(), 1, "{root}: {asked:?}");
        }
    }
}

#[test]
fn errors_say_what_to_do() {
    for (status, version, says) in [
        (401, "auto", "check username"),
        (403, "auto", "may not do that"),
        (404, "auto", "check the address"),
        (406, "auto", "neither TAXII 2.1 nor 2.0"),
        (406, "2.1", "version = \"2.0\""),
        (415, "2.0", "version = \"2.1\""),
    ] {
        let http = scripted(move |_| Answer::new(status, ""));
        let files = Files::below(Vec::new());
        let cx = Cx { http: &http, files: &files, now: now(), initial_from: now() };
        let error = link(&json!({"version": version})).check(&cx).unwrap_err();
        assert!(error.to_string().contains(says), "{status}: {error}");
    }
    let http = Server::new(Odd::Nothing, 10, Vec::new()).http();
    let files = Files::below(Vec::new());
    let cx = Cx { http: &http, files: &files, now: now(), initial_from: now() };
    let error = link(&json!({"collection": "other"})).check(&cx).unwrap_err();
    assert!(error.to_string().contains("\"C\" (c)"), "{error}");
    assert!(link(&json!({"collection": "C"})).check(&cx).is_ok());
    let connector = connector().unwrap();
    for wrong in [
        json!({"username": "u"}),
        json!({"username": "u", "password": "p", "token": "t"}),
        json!({"api_key": "k", "api_key_header": "a b"}),
        json!({"trusted_origins": ["https://a.example/path"]}),
    ] {
        let mut settings = wrong.clone();
        settings["url"] = json!(ROOT);
        assert!(connector.open(&connector.manifest().check(&settings).unwrap()).is_err(), "{wrong}");
    }
}

/// One collection of two cannot be read.
#[test]
fn the_others_are_read_all_the_same() {
    let http = scripted(|sent| match sent.url().trim_start_matches(ROOT) {
        "" => json_answer(200, &json!({"title": "r", "versions": []})),
        "collections/" => json_answer(200, &json!({"collections": [{"id": "a"}, {"id": "b"}]})),
        url if url.starts_with("collections/a/") => Answer::new(403, "no"),
        _ => json_answer(200, &json!({"objects": [indicator(1)]})),
    });
    let (values, end) = pull(&http, None);
    let (place, error) = end.unwrap_err();
    assert_eq!(values, ["n1.example"]);
    assert!(error.to_string().contains("answered 403"), "{error}");
    // A later run tries both again.
    let mut place = place.unwrap();
    place["run"]["at"] = json!(1);
    assert_eq!(pull(&http, Some(&place)).0, ["n1.example"]);
}

fn outgoing(value: &str) -> Outgoing {
    Outgoing::bare(IndicatorKey::parse(None, value).unwrap(), now())
}

fn target<'a>(params: &'a Value) -> TargetSpec<'a> {
    TargetSpec { name: "t", action: "share", params, mark: MARK }
}

fn with<T>(http: &Http, act: impl FnOnce(&dyn Destination, &Cx<'_>) -> T) -> T {
    let link = link(&json!({}));
    let files = Files::below(Vec::new());
    let cx = Cx { http, files: &files, now: now(), initial_from: now() };
    act(link.destination().unwrap(), &cx)
}

fn params(retract: &str) -> Value {
    connector().unwrap().manifest().action("share").unwrap().check(&json!({"retract": retract})).unwrap()
}

fn push(server: &Server, values: &[&str]) -> Vec<ItemOutcome> {
    let items: Vec<Outgoing> = values.iter().map(|value| outgoing(value)).collect();
    with(&server.http(), |to, cx| to.push(target(&params("revoke")), &items, cx)).unwrap()
}

/// Whether the newest version under the id of each of these values stands.
fn stands(server: &Server, values: &[&str]) -> Vec<bool> {
    let state = server.state.lock().unwrap();
    let one = |value: &&str| {
        let id = stix::id(MARK, &outgoing(value).key);
        let versions = state.objects.iter().map(|(_, object)| object).filter(|object| object["id"] == id);
        let newest = versions.max_by_key(|object| object["modified"].as_str().unwrap().to_owned());
        newest.is_some_and(|object| object["revoked"] != json!(true))
    };
    values.iter().map(one).collect()
}

fn retract(server: &Server, how: &str, values: &[&str]) -> Vec<ItemOutcome> {
    let items: Vec<Outgoing> = values.iter().map(|value| outgoing(value)).collect();
    with(&server.http(), |to, cx| to.retract(target(&params(how)), &items, cx)).unwrap()
}

fn accepted(value: &str) -> ItemOutcome {
    ItemOutcome::Accepted { remote_id: Some(stix::id(MARK, &IndicatorKey::parse(None, value).unwrap())) }
}

fn is_done(outcome: &ItemOutcome) -> bool {
    matches!(outcome, ItemOutcome::Accepted { .. })
}

const FIVE: [&str; 5] = ["a.example.net", "b.example.net", "198.51.100.7", "http://c.example.net/x", "d.example.net"];

#[test]
fn what_is_shared_is_there_and_pushing_twice_is_harmless() {
    for odd in [Odd::Nothing, Odd::Pending, Odd::TooLarge, Odd::Silent] {
        let server = Server::new(odd, 10, Vec::new());
        for round in 0..2 {
            let outcomes = push(&server, &FIVE);
            assert_eq!(outcomes, FIVE.map(accepted), "{odd:?}, round {round}");
            // Five, and the exchange itself.
            assert_eq!(server.state.lock().unwrap().objects.len(), 6, "{odd:?}, round {round}");
        }
        assert_eq!(stands(&server, &FIVE), [true; 5]);
    }
}

#[test]
fn messages_fit_the_server() {
    let server = Server::new(Odd::Nothing, 10, Vec::new());
    let largest: Arc<Mutex<usize>> = Arc::default();
    let seen = Arc::clone(&largest);
    let state = Arc::clone(&server.state);
    let http = scripted(move |sent| {
        let mut largest = seen.lock().unwrap();
        *largest = (*largest).max(sent.body().len());
        answer(&mut state.lock().unwrap(), Odd::Nothing, 10, sent)
    });
    let items: Vec<Outgoing> = (0..20).map(|n| outgoing(&format!("n{n}.example.net"))).collect();
    let outcomes = with(&http, |to, cx| to.push(target(&params("revoke")), &items, cx)).unwrap();
    assert!(outcomes.iter().all(is_done));
    let largest = *largest.lock().unwrap();
    assert!((1_000..=2_000).contains(&largest), "{largest}");
}

#[test]
fn one_that_the_server_cannot_take_keeps_no_other_out() {
    let server = Server::new(Odd::Nothing, 10, Vec::new());
    let state = Arc::clone(&server.state);
    let refusing = |word: &'static str| {
        let state = Arc::clone(&state);
        scripted(move |sent| match sent.method() {
            "POST" if String::from_utf8(sent.body()).unwrap().contains(word) => {
                json_answer(422, &json!({"title": "no", "description": "cannot process it"}))
            }
            _ => answer(&mut state.lock().unwrap(), Odd::Nothing, 10, sent),
        })
    };
    let items: Vec<Outgoing> = (0..60).map(|n| outgoing(&format!("n{n}.example.net"))).collect();
    let http = refusing("n17.example.net");
    let outcomes = with(&http, |to, cx| to.push(target(&params("revoke")), &items, cx)).unwrap();
    let refused = ItemOutcome::Refused("the server answered 422: cannot process it".into());
    assert!(outcomes.iter().enumerate().all(|(at, outcome)| (at == 17) == (*outcome == refused)), "{outcomes:?}");
    // A server that refuses everything is not asked about each.
    let http = refusing("example.net");
    let outcomes = with(&http, |to, cx| to.push(target(&params("revoke")), &items, cx)).unwrap();
    assert!(outcomes.iter().all(|outcome| *outcome == refused));
    assert!(http.calls() < 110, "{}", http.calls());
}

#[test]
fn each_object_has_its_own_fate() {
    let server = Server::new(Odd::RefusesOne, 10, Vec::new());
    let outcomes = push(&server, &["a.example.net", "bad.example.net"]);
    assert_eq!(outcomes, [accepted("a.example.net"), ItemOutcome::Refused("not welcome".into())]);
    let items = [Outgoing::bare(IndicatorKey::parse(Some(intel::IndicatorKind::Asn), "AS64500").unwrap(), now())];
    if stix::object(&items[0], MARK, Version::V21, false).is_none() {
        let outcomes = with(&server.http(), |to, cx| to.push(target(&params("revoke")), &items, cx)).unwrap();
        assert!(matches!(&outcomes[..], [ItemOutcome::Refused(why)] if why.contains("no STIX pattern")));
    }
}

#[test]
fn what_was_sent_is_not_undone_by_an_answer_that_is_denied() {
    let server = Server::new(Odd::Nothing, 10, Vec::new());
    let share = |odd: Odd, values: &[&str], says: fn(&Sent, usize) -> u16| {
        let (state, posts) = (Arc::clone(&server.state), Mutex::new(0));
        let http = scripted(move |sent| {
            let mut posts = posts.lock().unwrap();
            *posts += usize::from(sent.method() == "POST");
            match says(sent, *posts) {
                200 => answer(&mut state.lock().unwrap(), odd, 10, sent),
                status => json_answer(status, &json!({"title": "no"})),
            }
        });
        let items: Vec<Outgoing> = values.iter().map(|value| outgoing(value)).collect();
        with(&http, |to, cx| to.push(target(&params("revoke")), &items, cx)).unwrap()
    };
    // The object the server counts as failed cannot be asked about.
    let outcomes = share(Odd::RefusesOne, &["a.example.net", "bad.example.net"], |sent, _| {
        if sent.url().contains("/objects/indicator") { 403 } else { 200 }
    });
    assert!(matches!(&outcomes[..], [ItemOutcome::Accepted { .. }, ItemOutcome::Unknown(_)]), "{outcomes:?}");
    // Too much at once; the first half went through; then the right to write was lost.
    let outcomes =
        share(Odd::Nothing, &["c.example.net", "d.example.net"], |sent, posts| match (sent.method(), posts) {
            ("POST", 1) => 413,
            ("POST", 3) => 403,
            _ => 200,
        });
    assert!(matches!(&outcomes[..], [ItemOutcome::Accepted { .. }, ItemOutcome::Unknown(_)]), "{outcomes:?}");
}

/// A clock that counts what it was asked to wait.
#[derive(Default)]
struct Waited(Mutex<Duration>);

impl Wait for Waited {
    fn now(&self) -> Timestamp {
        now()
    }

    fn monotonic(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    fn sleep(&self, duration: Duration) {
        *self.0.lock().unwrap() += duration;
    }
}

#[test]
fn a_server_that_never_ends_its_work_is_left_after_a_minute() {
    let server = Server::new(Odd::PendingForever, 10, Vec::new());
    let waited = Arc::new(Waited::default());
    let http = server.http_with(Arc::clone(&waited) as Arc<dyn Wait>);
    let outcomes = with(&http, |to, cx| to.push(target(&params("revoke")), &[outgoing("a.example.net")], cx)).unwrap();
    assert!(matches!(&outcomes[..], [ItemOutcome::Unknown(why)] if why.contains("still working")), "{outcomes:?}");
    assert_eq!(waited.monotonic(), Duration::from_secs(60));
}

#[test]
fn taking_back_revokes_and_is_seen() {
    for how in ["revoke", "delete"] {
        for odd in [Odd::Nothing, Odd::NoDelete] {
            let server = Server::new(odd, 10, Vec::new());
            push(&server, &["a.example.net", "b.example.net"]);
            for _ in 0..2 {
                let outcomes = retract(&server, how, &["a.example.net", "never.example.net"]);
                assert!(outcomes.iter().all(is_done), "{how}, {odd:?}: {outcomes:?}");
            }
            let there = stands(&server, &["a.example.net", "b.example.net", "never.example.net"]);
            assert_eq!(there, [false, true, false], "{how}, {odd:?}");
            let id = stix::id(MARK, &outgoing("a.example.net").key);
            let state = server.state.lock().unwrap();
            let versions: Vec<&Value> =
                state.objects.iter().map(|(_, object)| object).filter(|o| o["id"] == id).collect();
            match (how, odd) {
                ("delete", Odd::Nothing) => assert!(versions.is_empty()),
                // A newer version although it was pushed at the same moment, and only one.
                _ => {
                    assert_eq!(versions.len(), 2);
                    assert!(versions[1]["revoked"] == json!(true));
                    assert!(versions[0]["modified"].as_str() < versions[1]["modified"].as_str());
                }
            }
        }
    }
}

#[test]
fn anothers_object_under_our_id_is_left_alone() {
    let value = "a.example.net";
    for (what, change) in [
        ("another maker", json!({"created_by_ref": "identity--00000000-0000-4000-8000-000000000000"})),
        ("another maker, revoked", json!({"created_by_ref": "identity--1", "revoked": true})),
        ("our maker, another pattern", json!({"pattern": "[domain-name:value = 'bank.example']"})),
        ("no maker, another pattern", json!({"created_by_ref": null, "pattern": "[ipv4-addr:value = '198.51.100.7']"})),
        (
            "more than ours",
            json!({"pattern": "[domain-name:value = 'a.example.net' OR domain-name:value = 'b.example']"}),
        ),
        ("from the future", json!({"pattern": "[x:y = 1]", "modified": "2999-01-01T00:00:00.000Z"})),
        ("not readable", json!({"modified": 7})),
    ] {
        let mut copy = stix::object(&outgoing(value), MARK, Version::V21, false).unwrap();
        for (key, value) in change.as_object().unwrap() {
            copy[key] = value.clone();
        }
        let server = Server::new(Odd::Nothing, 10, vec![(1, copy)]);
        for how in ["revoke", "delete"] {
            assert_eq!(retract(&server, how, &[value]), [ItemOutcome::Foreign], "{what}, {how}");
        }
        assert_eq!(
            push(&server, &[value, "b.example.net"]),
            [ItemOutcome::Foreign, accepted("b.example.net")],
            "{what}"
        );
        // Theirs, the exchange itself, and the other one.
        assert_eq!(server.state.lock().unwrap().objects.len(), 3, "{what}");
        assert!(server.calls().iter().all(|call| !call.starts_with("DELETE")), "{what}");
    }
}

/// One object of any size, or anything else that is held whole, must not fill memory.
#[test]
fn no_single_piece_of_a_page_is_without_end() {
    let long = "x".repeat(6 << 20);
    for body in [
        format!("{{\"objects\":[{{\"type\":\"indicator\",\"x\":\"{long}\"}}]}}"),
        format!("{{\"objects\":[[\"{long}\"]]}}"),
        format!("{{\"next\":\"{long}\"}}"),
        format!("{{\"title\":\"{long}\"}}"),
        format!("{{\"{long}\":1}}"),
    ] {
        let error = envelope::read(body.as_bytes(), &mut |_| {}).unwrap_err();
        assert!(error.to_string().contains("more than 4 MiB"), "{error}");
    }
    // Any number of what is smaller.
    let object = format!("{{\"x\":\"{}\"}},", "x".repeat(1 << 20)).repeat(12);
    let mut n = 0;
    envelope::read(format!("{{\"objects\":[{object}7]}}").as_bytes(), &mut |_| n += 1).unwrap();
    assert_eq!(n, 13);
}
