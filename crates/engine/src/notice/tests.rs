use super::*;
use crate::config::{NotifyDoc, Stored, Strict};
use kit::secret::NoSecrets;
use serde_json::{Value, json};

fn resolved(doc: Value) -> Result<Channel, Vec<String>> {
    let doc: NotifyDoc = serde_json::from_value(doc).unwrap();
    let name = doc.name.clone();
    let mut errors = Vec::new();
    let mut channels = resolve_channels(&[Stored { id: 1, doc }], &NoSecrets, Strict::Yes, &mut errors);
    channels.remove(&name).ok_or_else(|| errors.iter().map(ToString::to_string).collect())
}

#[test]
fn every_channel_has_a_manifest_and_knows_its_secrets() {
    for (channel, secret, open) in
        [("webhook", "secret", "url"), ("webhook", "token", "url"), ("mail", "password", "user")]
    {
        ChannelKind::parse(channel).unwrap().manifest().unwrap();
        assert!(is_secret(channel, secret) && !is_secret(channel, open), "{channel}");
    }
    assert!(!is_secret("syslog", "server"));
    assert!(is_secret("syslog", "typo") && is_secret("pager", "url"), "what nobody knows is not shown");
}

#[test]
fn what_a_channel_needs_is_asked_for() {
    let key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let hook = json!({"url": "https://chat.example/x", "secret": key});
    let mail = json!({"server": "mail.example", "from": "a@example.org", "to": ["b@example.org"]});
    let with = |base: &Value, more: Value| {
        let mut out = base.clone();
        out.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        out
    };
    let cases = [
        (json!({"name": "a", "channel": "webhook", "settings": hook}), ""),
        (json!({"name": "a", "channel": "mail", "settings": mail}), ""),
        (json!({"name": "a", "channel": "syslog", "settings": {"transport": "local"}}), ""),
        (json!({"name": "a", "channel": "pager"}), "none of webhook, mail, syslog"),
        (json!({"name": "a b", "channel": "webhook", "settings": hook}), "letters, digits"),
        (
            json!({"name": "a", "channel": "webhook", "settings": hook, "on": ["plan_wating"]}),
            "did you mean \"plan_waiting\"?",
        ),
        (
            json!({"name": "a", "channel": "webhook", "settings": hook, "min_severity": "high"}),
            "info, warning, critical",
        ),
        (json!({"name": "a", "channel": "webhook", "settings": hook, "allow_private": ["10.x"]}), "no network"),
        (json!({"name": "a", "channel": "webhook"}), "settings.url"),
        (json!({"name": "a", "channel": "mail", "settings": with(&mail, json!({"to": []}))}), "settings.to"),
        (json!({"name": "a", "channel": "mail", "settings": with(&mail, json!({"to": ["a b@c"]}))}), "is no address"),
        (
            json!({"name": "a", "channel": "mail", "settings": with(&mail, json!({"from": "x\r\nBcc: y@z"}))}),
            "is no address",
        ),
        (json!({"name": "a", "channel": "mail", "settings": with(&mail, json!({"user": "u"}))}), "belong together"),
        (
            json!({"name": "a", "channel": "mail",
                   "settings": with(&mail, json!({"user": "u", "password": "p", "security": "none"}))}),
            "not sent without encryption",
        ),
        (json!({"name": "a", "channel": "syslog"}), "settings.server"),
        (json!({"name": "a", "channel": "syslog", "settings": {"transport": "local", "server": "x"}}), "leave it out"),
        (
            json!({"name": "a", "channel": "syslog", "settings": {"transport": "local", "socket": "/run/docker.sock"}}),
            "socket",
        ),
    ];
    for (doc, wrong) in cases {
        match (resolved(doc.clone()), wrong) {
            (Ok(_), "") => {}
            (Err(errors), wrong) if !wrong.is_empty() => {
                assert!(errors.iter().any(|error| error.contains(wrong)), "{doc}: {errors:?}");
                assert!(!errors.iter().any(|error| error.contains(key)), "{errors:?}");
            }
            (got, _) => panic!("{doc}: {:?}", got.map(|channel| channel.doc)),
        }
    }
}

#[test]
fn a_channel_tells_of_what_it_was_asked_for() {
    let doc = |on: Value, least: Value| json!({"name": "a", "channel": "syslog", "settings": {"transport": "local"}, "on": on, "min_severity": least});
    let all = resolved(doc(json!([]), json!(null))).unwrap();
    assert!(all.wants("stale", "info") && all.wants("frozen", "critical"));
    let some = resolved(doc(json!(["frozen", "denied"]), json!("critical"))).unwrap();
    assert!(some.wants("denied", "critical") && !some.wants("denied", "warning") && !some.wants("stale", "critical"));
    let mut off = doc(json!([]), json!(null));
    off["enabled"] = json!(false);
    assert!(!resolved(off).unwrap().wants("frozen", "critical"));
}

#[test]
fn words_of_the_other_side_are_made_harmless() {
    let key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let other = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
    let settings = json!({"url": "https://chat.example/x", "secret": format!("{key} {other}"), "token": "tok"});
    let channel = resolved(json!({"name": "a", "channel": "webhook", "settings": settings})).unwrap();
    assert_eq!(channel.hide(&format!("no \u{1b}[2J{other}\u{202e} here, tok")), "no  [2J***  here, ***");
    assert_eq!(channel.settings, json!({"url": "https://chat.example/x"}), "secrets do not stand among settings");
    assert!(!format!("{channel:?}").contains("tok\""), "{channel:?}");
    assert_eq!(plain("a\r\nb\u{2028}c").as_str(), "a  b c");
    assert_eq!(plain(&"x".repeat(900)).len(), TEXT_MOST);
}
