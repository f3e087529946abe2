//! Answers as servers give them: what becomes of each.

use super::*;
use kit::files::Files;
use kit::http::{Answer, Http, HttpConfig, NoWait, Sent};
use kit::testkit::Collected;
use serde_json::json;

const NAMESPACE: &str = "http://taxii.mitre.org/messages/taxii_xml_binding-1.1";
const NOW: i64 = 1_790_000_000;

fn message(name: &str, attributes: &str, inside: &str) -> String {
    format!("<t:{name} xmlns:t=\"{NAMESPACE}\" message_id=\"1\" {attributes}>{inside}</t:{name}>")
}

fn package(value: &str) -> String {
    format!(
        "<stix:STIX_Package xmlns:stix=\"http://stix.mitre.org/stix-1\" xmlns:cybox=\"http://cybox.mitre.org/cybox-2\" \
         xmlns:i=\"http://stix.mitre.org/Indicator-2\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
         xmlns:AddressObj=\"http://cybox.mitre.org/objects#AddressObject-2\"><stix:Indicators>\
         <stix:Indicator xsi:type=\"i:IndicatorType\" id=\"a\"><i:Observable><cybox:Object>\
         <cybox:Properties xsi:type=\"AddressObj:AddressObjectType\" category=\"ipv4-addr\">\
         <AddressObj:Address_Value condition=\"Equals\">{value}</AddressObj:Address_Value></cybox:Properties>\
         </cybox:Object></i:Observable></stix:Indicator></stix:Indicators></stix:STIX_Package>"
    )
}

fn block(content: &str) -> String {
    format!(
        "<t:Content_Block><t:Content_Binding binding_id=\"urn:stix.mitre.org:xml:1.1.1\"/><t:Content>{content}</t:Content>\
         </t:Content_Block>"
    )
}

fn scripted(answer: impl Fn(&Sent) -> Answer + Send + Sync + 'static) -> Http {
    Http::answering(HttpConfig { retries: 0, ..HttpConfig::default() }, Arc::new(NoWait), answer)
}

/// Pulls to the end; gives the values and the end, or the error.
fn pull(http: &Http, after: Option<&Cursor>) -> (Collected, Result<Pulled, ConnectorError>) {
    let connector = connector().unwrap();
    let settings = json!({"url": "https://taxii.example/poll", "collection": "c"});
    let link = connector.open(&connector.manifest().check(&settings).unwrap()).unwrap();
    let files = Files::below(Vec::new());
    let cx =
        Cx { http, files: &files, now: Timestamp::from_secs(NOW), initial_from: Timestamp::from_secs(NOW - 1_000) };
    let mut after = after.cloned();
    let mut found = Collected::default();
    for _ in 0..500 {
        match link.source().unwrap().pull(after.as_ref(), &cx, &mut found) {
            Ok(Pulled::More(cursor)) => {
                assert_ne!(after.as_ref(), Some(&cursor), "the place does not move");
                after = Some(serde_json::from_str(&cursor.to_string()).unwrap());
            }
            end => return (found, end),
        }
    }
    panic!("no end");
}

fn values(found: &Collected) -> Vec<&str> {
    found.rows.iter().map(|row| row.value.as_str()).collect()
}

fn after_of(end: Result<Pulled, ConnectorError>) -> Option<String> {
    match end.unwrap() {
        Pulled::Done(Some(cursor)) => cursor["after"].as_str().map(str::to_owned),
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_bad_package_costs_no_other() {
    let other =
        "<t:Content_Block><t:Content_Binding binding_id=\"urn:example\"/><t:Content>x</t:Content></t:Content_Block>";
    let escaped = package("198.51.100.3").replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let inside = [
        block(&package("198.51.100.1")),
        block("<other xmlns=\"http://example.net/\"/>"),
        block("no XML at all"),
        other.to_owned(),
        block(&package("198.51.100.2")),
        block(&escaped),
        block(&format!("<![CDATA[{}]]>", package("198.51.100.4"))),
    ];
    let body = message("Poll_Response", "more=\"false\"", &inside.concat());
    let (found, end) = pull(&scripted(move |_| Answer::new(200, body.clone())), None);
    assert!(end.is_ok());
    assert_eq!(values(&found), ["198.51.100.1", "198.51.100.2", "198.51.100.3", "198.51.100.4"]);
    assert_eq!(found.filtered.into_iter().collect::<Vec<_>>(), [("content that is not STIX 1", 1)]);
    assert!(found.rejected.iter().all(|(reason, _)| *reason == "package that cannot be read"), "{:?}", found.rejected);
}

#[test]
fn the_place_is_what_the_server_says_it_told() {
    let end = |text: &str| format!("<t:Inclusive_End_Timestamp>{text}</t:Inclusive_End_Timestamp>");
    let before = json!({"scope": "https://taxii.example/poll c", "after": "2026-09-20T00:00:00Z"});
    for (inside, expect) in [
        (end("2026-09-21T14:00:00Z"), "2026-09-21T13:59:59Z"),
        (end("2026-09-21T16:00:00.5+02:00"), "2026-09-21T13:59:59.500000Z"),
        // Never back, never beyond what can be, and not at all where nothing is said.
        (end("2025-01-01T00:00:00Z"), "2026-09-20T00:00:00Z"),
        (end("2999-01-01T00:00:00Z"), "2026-09-20T00:00:00Z"),
        (end("soon"), "2026-09-20T00:00:00Z"),
        (String::new(), "2026-09-20T00:00:00Z"),
    ] {
        let body = message("Poll_Response", "more=\"0\"", &inside);
        let (_, done) = pull(&scripted(move |_| Answer::new(200, body.clone())), Some(&before));
        assert_eq!(after_of(done).as_deref(), Some(expect), "{inside}");
    }
}

#[test]
fn answers_without_an_end_are_left() {
    let part = |n: u64, content: &str| {
        message("Poll_Response", &format!("more=\"true\" result_id=\"r\" result_part_number=\"{n}\""), content)
    };
    for (name, content, says) in [
        ("the same part", block(&package("198.51.100.1")), "same part again"),
        ("empty parts", String::new(), "no end"),
    ] {
        let http = scripted(move |_| Answer::new(200, part(1, &content)));
        let error = pull(&http, None).1.unwrap_err();
        assert!(error.to_string().contains(says), "{name}: {error}");
        assert!(http.calls() < 100, "{name}");
    }
    let http = scripted(|_| Answer::new(200, message("Poll_Response", "more=\"true\"", "")));
    assert!(pull(&http, None).1.unwrap_err().to_string().contains("no result_id"));
}

#[test]
fn parts_that_are_forgotten_are_asked_for_anew() {
    let first = message("Poll_Response", "more=\"true\" result_id=\"r\"", &block(&package("198.51.100.1")));
    let gone = message("Status_Message", "status_type=\"NOT_FOUND\"", "");
    let http = scripted(move |sent| {
        let is_poll = String::from_utf8(sent.body()).unwrap().starts_with("<Poll_Request");
        Answer::new(200, if is_poll { first.clone() } else { gone.clone() })
    });
    let (found, end) = pull(&http, None);
    assert!(matches!(end, Err(ConnectorError::Denied(_))), "{end:?}");
    assert_eq!(values(&found), ["198.51.100.1"; 3]);
}

#[test]
fn a_status_says_what_to_do() {
    use ConnectorError::{Denied, Later, Unexpected};
    let wait = "<t:Status_Detail><t:Detail name=\"ESTIMATED_WAIT\">90</t:Detail></t:Status_Detail>";
    for (kind, inside, is_right) in [
        (
            "UNAUTHORIZED",
            "",
            (|error| matches!(error, Denied(why) if why.contains("check username"))) as fn(&_) -> bool,
        ),
        ("DENIED", "<t:Message>no</t:Message>", |error| matches!(error, Denied(why) if why.contains("DENIED: no"))),
        ("NOT_FOUND", "", |error| matches!(error, Denied(why) if why.contains("name of the collection"))),
        ("RETRY", wait, |error| matches!(error, Later { wait: Some(wait), .. } if wait.as_secs() == 90)),
        ("FAILURE", "", |error| matches!(error, Later { wait: None, .. })),
        ("BAD_MESSAGE", "", |error| matches!(error, Unexpected(_))),
    ] {
        let body = message("Status_Message", &format!("status_type=\"{kind}\""), inside);
        let error = pull(&scripted(move |_| Answer::new(200, body.clone())), None).1.unwrap_err();
        assert!(is_right(&error), "{kind}: {error:?}");
    }
}

#[test]
fn what_is_no_answer() {
    let deep = format!("{}{}", "<a>".repeat(2_000), "</a>".repeat(2_000));
    let bomb = "<!DOCTYPE t [<!ENTITY a \"aaaa\">]><t>&a;</t>".to_owned();
    let entity = message("Poll_Response", "", &block("<a>&undefined;</a>"));
    let mut cut = message("Poll_Response", "", &block(&package("198.51.100.1")));
    cut.truncate(cut.len() - 40);
    let old =
        "<Poll_Response xmlns=\"http://taxii.mitre.org/messages/taxii_xml_binding-1\" message_id=\"1\"/>".to_owned();
    let html = "<!DOCTYPE html><html><body>Sign in</body></html>".to_owned();
    for body in [deep, bomb, entity, cut, old, html, String::new(), "{}".into()] {
        let given = body.clone();
        let (_, end) = pull(&scripted(move |_| Answer::new(200, given.clone())), None);
        assert!(matches!(end, Err(ConnectorError::Unexpected(_))), "{body:.60}: {end:?}");
    }
}

#[test]
fn credentials_stay_with_their_host() {
    let connector = connector().unwrap();
    let settings = json!({"url": "https://taxii.example/d", "service": "discovery", "collection": "c"});
    let link = connector.open(&connector.manifest().check(&settings).unwrap()).unwrap();
    let elsewhere = "<t:Service_Instance service_type=\"POLL\"><t:Address>https://other.example/poll</t:Address></t:Service_Instance>";
    let body = message("Discovery_Response", "", elsewhere);
    let http = scripted(move |_| Answer::new(200, body.clone()));
    let files = Files::below(Vec::new());
    let now = Timestamp::from_secs(NOW);
    let error = link.check(&Cx { http: &http, files: &files, now, initial_from: now }).unwrap_err();
    assert!(matches!(&error, ConnectorError::Denied(why) if why.contains("https://other.example")), "{error}");
    assert_eq!(http.calls(), 1);
}
