//! A sample connector that conforms, and broken ones that are found out.

use super::*;
use crate::connection::{
    Connection, Cursor, Cx, Destination, ItemOutcome, Outgoing, Placed, Presence, Pulled, Reading, Remote, Rows,
    Source, TargetSpec, Written,
};
use crate::error::ConnectorError;
use crate::secret::Secret;
use intel::Observation;
use serde::Deserialize;
use std::fs;

const TOML: &str = r#"
name = "sample"
title = "Sample"
summary = "Pages of values, and a list to write to."
category = "platform"

[source]
style = "incremental"

[[setting]]
key = "url"
type = "url"
label = "Address"
help = "Where it is."
required = true

[[setting]]
key = "token"
type = "secret"
label = "Token"
help = "From the account page."
required = true

[[action]]
name = "block"
title = "Block"
summary = "Blocks it."
delivery = "items"
"#;

#[derive(Clone, Copy, PartialEq)]
enum Flaw {
    None,
    Lenient,
    Leaks,
    Panics,
    Swallows,
    CallsForNothing,
    Forgets,
}

struct Sample {
    manifest: Manifest,
    flaw: Flaw,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    url: String,
    token: Secret,
}

struct Link {
    settings: Settings,
    flaw: Flaw,
}

#[derive(Deserialize)]
struct Page {
    values: Vec<String>,
    next: Option<String>,
}

impl Connector for Sample {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn open(&self, settings: &Value) -> Result<Box<dyn Connection>, String> {
        let mut settings = settings.clone();
        if self.flaw == Flaw::Lenient
            && let Some(map) = settings.as_object_mut()
        {
            map.retain(|key, _| key == "url" || key == "token");
        }
        let settings = serde_json::from_value(settings).map_err(|error| error.to_string())?;
        Ok(Box::new(Link { settings, flaw: self.flaw }))
    }
}

impl Connection for Link {
    fn check(&self, cx: &Cx<'_>) -> Result<(), ConnectorError> {
        cx.http.get(&self.settings.url).bearer(&self.settings.token).send()?.json::<Page>().map(drop)
    }

    fn source(&self) -> Option<&dyn Source> {
        Some(self)
    }

    fn destination(&self) -> Option<&dyn Destination> {
        Some(self)
    }
}

impl Source for Link {
    fn pull(&self, after: Option<&Cursor>, cx: &Cx<'_>, rows: &mut dyn Rows) -> Result<Pulled, ConnectorError> {
        let mut request = cx.http.get(&self.settings.url).bearer(&self.settings.token);
        if let Some(page) = after.and_then(Value::as_str) {
            request = request.query("page", page);
        }
        let answer = request.send();
        let page: Page = match self.flaw {
            Flaw::Leaks => answer.and_then(|answer| answer.json()).map_err(|error| match error {
                ConnectorError::Denied(_) => ConnectorError::Denied(self.settings.token.reveal().into()),
                other => other,
            })?,
            Flaw::Panics => answer?.json().unwrap(),
            Flaw::Swallows => match answer.and_then(|answer| answer.json()) {
                Ok(page) => page,
                Err(_) => return Ok(Pulled::Done(None)),
            },
            _ => answer?.json()?,
        };
        for value in page.values {
            rows.row(Observation::new(value));
        }
        Ok(page.next.map_or(Pulled::Done(None), |next| Pulled::More(json!(next))))
    }
}

impl Destination for Link {
    fn push(&self, _: TargetSpec<'_>, batch: &[Outgoing], cx: &Cx<'_>) -> Result<Vec<ItemOutcome>, ConnectorError> {
        if batch.is_empty() && self.flaw != Flaw::CallsForNothing {
            return Ok(Vec::new());
        }
        let entries: Vec<&str> = batch.iter().map(|item| item.entry.as_str()).collect();
        let answer =
            cx.http.post_json(&self.settings.url, &json!({"add": entries})).bearer(&self.settings.token).send();
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<String> = answer?.json()?;
        if ids.len() != batch.len() {
            return Err(ConnectorError::Unexpected("not one id an entry".into()));
        }
        let kept = if self.flaw == Flaw::Forgets { 1 } else { batch.len() };
        Ok(ids.into_iter().take(kept).map(|id| ItemOutcome::Accepted { remote_id: Some(id) }).collect())
    }
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let pull = "GET https://a.example/v\nAuthorization: Bearer {{token}}\n\nHTTP 200\n\n{\"values\": [\"192.0.2.1\"], \"next\": \"p2\"}\n=== page 2\nGET https://a.example/v?page=p2\n\nHTTP 200\n\n{\"values\": [\"192.0.2.2\"], \"next\": null}\n";
    let push = "POST https://a.example/v\n\n{\"add\": [\"192.0.2.1\", \"192.0.2.2\"]}\n\nHTTP 200\n\n[\"1\", \"2\"]\n";
    for (name, text) in [
        ("settings.json", "{\"url\": \"https://a.example/v\", \"token\": \"example-token\"}"),
        ("pull.http", pull),
        ("pull.expect", "{\"value\":\"192.0.2.1\"}\n{\"value\":\"192.0.2.2\"}\n{\"cursor\":null,\"end\":\"done\"}\n"),
        ("push.http", push),
        ("push.json", "{\"action\": \"block\", \"items\": [{\"value\": \"192.0.2.1\"}, {\"value\": \"192.0.2.2\"}]}"),
        ("push.expect", "{\"accepted\":true,\"remote_id\":\"1\"}\n{\"accepted\":true,\"remote_id\":\"2\"}\n"),
        ("readme.json", "not a case"),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn judge(flaw: Flaw, folder: &Path) -> String {
    conformance(&Sample { manifest: Manifest::parse(TOML).unwrap(), flaw }, Some(folder)).join("\n")
}

#[test]
fn a_sound_connector_conforms() {
    assert_eq!(judge(Flaw::None, folder().path()), "");
}

#[test]
fn flaws_are_found() {
    let folder = folder();
    for (flaw, expect) in [
        (Flaw::Lenient, "sample: settings that the manifest does not name are accepted"),
        (Flaw::Leaks, "sample: pull: after a 401 a secret is in the error"),
        (Flaw::Panics, "sample: pull: a page of HTML makes it panic"),
        (Flaw::Swallows, "sample: pull: a body cut in the middle must be an error, and is success"),
        (Flaw::Swallows, "sample: pull: a 429 with Retry-After: 17 must be Later with the wait Some(17)"),
        (Flaw::CallsForNothing, "sample: push: an empty batch makes"),
        (Flaw::Forgets, "1 answers for 2 items"),
    ] {
        let found = judge(flaw, folder.path());
        assert!(found.contains(expect), "expected {expect:?} in {found}");
    }
}

#[test]
fn a_manifest_that_differs_from_its_struct_is_found() {
    let folder = folder();
    let judge = |toml: String| {
        conformance(&Sample { manifest: Manifest::parse(&toml).unwrap(), flaw: Flaw::None }, Some(folder.path()))
            .join("\n")
    };
    let more = TOML.replacen(
        "[[action]]",
        "[[setting]]\nkey = \"extra\"\ntype = \"bool\"\nlabel = \"E\"\nhelp = \"\"\n[[action]]",
        1,
    );
    let found = judge(more);
    assert!(found.contains("the setting extra is in the manifest and not accepted"), "{found}");
    assert!(found.contains("the help of extra is empty"), "{found}");
    let found = judge(TOML.replacen("[source]\nstyle = \"incremental\"\n", "", 1));
    assert!(found.contains("the manifest says no about a source"), "{found}");
}

#[test]
fn cases_that_do_not_replay_are_found() {
    let folder = folder();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("pull.expect", "{\"value\":\"192.0.2.1\"}\n");
    assert!(judge(Flaw::None, folder.path()).contains("line 2: expected the end, got `{\"value\":\"192.0.2.2\"}`"));
    write("pull.http", "GET https://a.example/other\n\nHTTP 200\n\n{}\n");
    assert!(judge(Flaw::None, folder.path()).contains("was asked for, and GET https://a.example/other is recorded"));
    write("push.json", "{\"action\": \"none\"}");
    assert!(judge(Flaw::None, folder.path()).contains("there is no action \"none\""));
    write("push.json", "{\"settings\": {\"urk\": 1}}");
    assert!(judge(Flaw::None, folder.path()).contains("did you mean \"url\"?"));
    write("settings.json", "{");
    assert!(judge(Flaw::None, folder.path()).contains("settings.json"));
}

#[test]
fn expectations_are_written_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.expect");
    assert!(expect_or(&file, "a\n", false).unwrap_err().contains("IOCAST_UPDATE=1 writes it"));
    expect_or(&file, "a\nb\n", true).unwrap();
    assert_eq!(expect_or(&file, "a\nb\n", false), Ok(()));
    assert!(expect_or(&file, "a\nc\n", false).unwrap_err().contains("line 2: expected `b`, got `c`"));
    assert!(expect_or(&file, "a\nb", false).is_err());
}

const SHARED: &str = r#"
name = "shared"
title = "Shared"
summary = "A list that others write too."
category = "platform"

[[setting]]
key = "url"
type = "url"
label = "Address"
help = "Where it is."
required = true

[[action]]
name = "list"
title = "List"
summary = "Writes it."
delivery = "replace"
can_read = true
can_look = true
marks = true

[[action]]
name = "stage"
title = "Stage"
summary = "Sends entries that a commit makes effective."
delivery = "items"
deploys = true
"#;

/// What is wrong with the connector of a shared list.
#[derive(Clone, Copy, PartialEq)]
enum Slip {
    None,
    DropsOthers,
    BelievesAnything,
    TakesAll,
    Overwrites,
    NoDeploy,
}

struct SharedList(Manifest, Slip);

struct SharedLink(String, Slip);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Address {
    url: String,
}

#[derive(Deserialize)]
struct Held {
    entry: String,
    mark: Option<String>,
}

impl Connector for SharedList {
    fn manifest(&self) -> &Manifest {
        &self.0
    }

    fn open(&self, settings: &Value) -> Result<Box<dyn Connection>, String> {
        let settings: Address = serde_json::from_value(settings.clone()).map_err(|error| error.to_string())?;
        Ok(Box::new(SharedLink(settings.url, self.1)))
    }
}

impl Connection for SharedLink {
    fn check(&self, cx: &Cx<'_>) -> Result<(), ConnectorError> {
        cx.http.get(&self.0).send()?.json::<Vec<Held>>().map(drop)
    }

    fn destination(&self) -> Option<&dyn Destination> {
        Some(self)
    }
}

impl Destination for SharedLink {
    fn read(
        &self,
        target: TargetSpec<'_>,
        each: &mut dyn FnMut(Remote),
        cx: &Cx<'_>,
    ) -> Result<Reading, ConnectorError> {
        let answer = cx.http.get(&self.0).send()?;
        let held: Vec<Held> = match self.1 {
            Slip::BelievesAnything => answer.json().unwrap_or_default(),
            _ => answer.json()?,
        };
        for held in held {
            let marked = held.mark.as_deref() == Some(target.mark) || self.1 == Slip::TakesAll;
            each(Remote { entry: held.entry, marked, ..Remote::default() });
        }
        Ok(Reading { whole: true, ..Reading::default() })
    }

    fn look(&self, target: TargetSpec<'_>, entries: &[Outgoing], cx: &Cx<'_>) -> Result<Vec<Presence>, ConnectorError> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let held: Vec<Held> = cx.http.get(&self.0).send()?.json()?;
        let answer = |entry: &Outgoing| match held.iter().find(|held| held.entry == entry.entry) {
            Some(held) if held.mark.as_deref() == Some(target.mark) => Presence::Ours { remote_id: None },
            Some(_) => Presence::Foreign,
            None => Presence::Absent,
        };
        Ok(entries.iter().map(answer).collect())
    }

    fn replace(
        &self,
        _: TargetSpec<'_>,
        all: &mut dyn Iterator<Item = Placed>,
        version: Option<&str>,
        cx: &Cx<'_>,
    ) -> Result<Written, ConnectorError> {
        let mut list = Vec::new();
        for placed in all {
            match placed {
                Placed::Foreign(_) if self.1 == Slip::DropsOthers => {}
                Placed::Foreign(remote) => list.push(remote.entry),
                Placed::Ours(item) => list.push(item.entry),
            }
        }
        let mut request = cx.http.post_json(&self.0, &json!(list));
        if let Some(version) = version {
            request = request.header("If-Match", version);
        }
        match request.also(&[412]).send()? {
            answer if answer.status == 412 && self.1 != Slip::Overwrites => Err(ConnectorError::Changed),
            answer => answer.json::<bool>().map(|_| Written::default()),
        }
    }

    fn push(&self, _: TargetSpec<'_>, batch: &[Outgoing], _: &Cx<'_>) -> Result<Vec<ItemOutcome>, ConnectorError> {
        Ok(batch.iter().map(|_| ItemOutcome::Accepted { remote_id: None }).collect())
    }

    fn deploy(&self, _: TargetSpec<'_>, cx: &Cx<'_>) -> Result<(), ConnectorError> {
        match self.1 {
            Slip::NoDeploy => Err(ConnectorError::Unsupported),
            _ => cx.http.post_json(&self.0, &json!({"commit": true})).send()?.json::<bool>().map(drop),
        }
    }
}

/// The conversations of a shared list; `sent` is what a recorded replace wrote.
fn shared_folder(sent: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let held = r#"[{"entry": "ours.example.net", "mark": "iocast:test"}, {"entry": "theirs \"x\"", "mark": null}]"#;
    let get = format!("GET https://a.example/l\n\nHTTP 200\n\n{held}\n");
    let items = r#"[{"value": "ours.example.net"}, {"value": "no.example.net"}]"#;
    let foreign = r#"[{"entry": "theirs \"x\""}]"#;
    let replace = format!("POST https://a.example/l\nIf-Match: v1\n\n{sent}\n\nHTTP 200\n\ntrue\n");
    for (name, text) in [
        ("settings.json", r#"{"url": "https://a.example/l"}"#.to_owned()),
        ("read.http", get.clone()),
        (
            "read.expect",
            "{\"entry\":\"ours.example.net\",\"marked\":true}\n{\"entry\":\"theirs \\\"x\\\"\",\"marked\":false}\n\
             {\"capacity\":null,\"version\":null,\"whole\":true}\n"
                .to_owned(),
        ),
        ("look.http", get),
        ("look.json", format!("{{\"items\": {items}}}")),
        ("look.expect", "{\"ours\":true,\"remote_id\":null}\n{\"absent\":true}\n".to_owned()),
        ("replace.http", replace),
        (
            "replace.json",
            format!("{{\"items\": [{{\"value\": \"new.example.net\"}}], \"foreign\": {foreign}, \"version\": \"v1\"}}"),
        ),
        ("replace.expect", "replaced\n".to_owned()),
        ("deploy.http", "POST https://a.example/l\n\n{\"commit\": true}\n\nHTTP 200\n\ntrue\n".to_owned()),
        ("deploy.json", r#"{"action": "stage"}"#.to_owned()),
        ("deploy.expect", "deployed\n".to_owned()),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

#[test]
fn a_shared_list_is_held_to_reading_and_replacing() {
    let kept = shared_folder(r#"["theirs \"x\"", "new.example.net"]"#);
    let dropped = shared_folder(r#"["new.example.net"]"#);
    let judge = |slip: Slip, folder: &tempfile::TempDir| {
        conformance(&SharedList(Manifest::parse(SHARED).unwrap(), slip), Some(folder.path())).join("\n")
    };
    assert_eq!(judge(Slip::None, &kept), "");
    for (slip, folder, expect) in [
        (Slip::DropsOthers, &kept, "replace: "),
        // Recorded with the mistake in it.
        (Slip::DropsOthers, &dropped, "which is somebody else's, is not written back"),
        (Slip::BelievesAnything, &kept, "read: null must be an error, or a reading that is not whole"),
        (Slip::BelievesAnything, &kept, "read: a page of HTML must be an error"),
        (Slip::Overwrites, &kept, "replace: a 412 must be Changed"),
        (Slip::NoDeploy, &kept, "action stage declares deploys, and the connector does not have it"),
    ] {
        let found = judge(slip, folder);
        assert!(found.contains(expect), "expected {expect:?} in {found}");
    }
    // What is read as ours and is said to be somebody else's: the two cannot both be true.
    fs::write(kept.path().join("look.json"), r#"{"items": [{"value": "x.example.net", "entry": "theirs \"x\""}]}"#)
        .unwrap();
    fs::write(kept.path().join("look.expect"), "{\"foreign\":true}\n").unwrap();
    assert_eq!(judge(Slip::None, &kept), "");
    let found = judge(Slip::TakesAll, &kept);
    assert!(found.contains("read and look disagree: \"theirs \\\"x\\\"\" was read with our mark"), "{found}");
    // What cannot be read cannot even be declared.
    let unread = Manifest::parse(&SHARED.replace("can_read = true\n", ""));
    assert!(unread.is_err_and(|why| why.contains("can_read")));
}
