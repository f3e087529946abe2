use super::*;
use intel::{Observation, Timestamp};
use kit::files::Files;
use kit::http::{Answer, Exchanges, Http, HttpConfig, NoWait};
use kit::testkit::Collected;
use serde_json::json;
use std::path::Path;
use std::sync::{Arc, Mutex};

const NOW: i64 = 1_800_000_000;

fn feed(settings: &Value) -> Box<dyn Connection> {
    let connector = connector().unwrap();
    let settings = connector.manifest().check(settings).unwrap();
    connector.open(&settings).unwrap()
}

fn id(n: usize) -> String {
    format!("5f3c2a10-0000-4000-8000-{n:012}")
}

fn event(n: usize, timestamp: i64) -> String {
    let attribute =
        json!({"type": "domain", "value": format!("d{n}.example"), "to_ids": true, "timestamp": timestamp.to_string()});
    json!({"Event": {"uuid": id(n), "info": "E", "timestamp": timestamp.to_string(), "Attribute": [attribute]}})
        .to_string()
}

/// A folder of files.
struct Folder {
    dir: tempfile::TempDir,
    from: i64,
}

impl Folder {
    /// Events 0 to `n`, each a second after the one before.
    fn of(n: usize) -> Folder {
        let folder = Folder { dir: tempfile::tempdir().unwrap(), from: 0 };
        for n in 0..n {
            folder.write(&id(n), &event(n, NOW - 1_000 + n as i64));
        }
        folder.list(&(0..n).map(|n| (n, NOW - 1_000 + n as i64)).collect::<Vec<_>>());
        folder
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.dir.path().join(format!("{name}.json")), text).unwrap();
    }

    fn list(&self, events: &[(usize, i64)]) {
        let entries: serde_json::Map<String, Value> =
            events.iter().map(|(n, t)| (id(*n), json!({"info": "E", "timestamp": t.to_string()}))).collect();
        self.write("manifest", &Value::Object(entries).to_string());
    }

    fn page(&self, after: Option<&Cursor>) -> Result<(Collected, Pulled), ConnectorError> {
        let files = Files::below(vec![self.dir.path().to_owned()]);
        let http = Http::replaying(Exchanges::default(), Vec::new());
        let cx = Cx {
            http: &http,
            files: &files,
            now: Timestamp::from_secs(NOW),
            initial_from: Timestamp::from_secs(self.from),
        };
        let connection = feed(&json!({"url": self.dir.path().to_string_lossy()}));
        let mut rows = Collected::default();
        let end = connection.source().unwrap().pull(after, &cx, &mut rows)?;
        Ok((rows, end))
    }

    /// A whole run: what it gave, by value, and where it stopped.
    fn run(&self, mut after: Option<Cursor>) -> (Vec<String>, Vec<String>, Option<Cursor>, usize) {
        let (mut values, mut rejected) = (Vec::new(), Vec::new());
        for page in 1..100 {
            let (rows, end) = self.page(after.as_ref()).unwrap();
            values.extend(rows.rows.into_iter().map(|row: Observation| row.value));
            rejected.extend(rows.rejected.into_iter().map(|(_, sample)| sample));
            match end {
                Pulled::More(cursor) => after = Some(cursor),
                Pulled::Done(cursor) => return (values, rejected, cursor, page),
                other => panic!("{other:?}"),
            }
        }
        panic!("it never ends");
    }
}

fn names(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("d{n}.example")).collect()
}

#[test]
fn only_new_and_edited_events_are_read() {
    let folder = Folder::of(5);
    let (values, rejected, cursor, _) = folder.run(None);
    assert_eq!((values, rejected), (names(0..5), vec![]));
    assert!(folder.run(cursor.clone()).0.is_empty());
    // One edited, one new with an old date, one new with a date that was there before, one gone from the manifest.
    folder.write(&id(1), &event(1, NOW));
    folder.write(&id(7), &event(7, NOW - 5_000));
    folder.write(&id(8), &event(8, NOW - 998));
    let mut listed: Vec<(usize, i64)> = vec![(0, NOW - 1_000), (1, NOW), (2, NOW - 998), (3, NOW - 997)];
    listed.extend([(7, NOW - 5_000), (8, NOW - 998)]);
    folder.list(&listed);
    let (values, _, cursor, _) = folder.run(cursor);
    assert_eq!(values, ["d7.example", "d8.example", "d1.example"]);
    assert!(folder.run(cursor).0.is_empty());
}

#[test]
fn a_run_that_stops_anywhere_goes_on_and_misses_nothing() {
    let n = 2 * PAGE_EVENTS + 30;
    let folder = Folder::of(n);
    assert_eq!(folder.run(None).3, 3, "three pages");
    for stop in 0..3 {
        let (mut values, mut after) = (Vec::new(), None);
        for _ in 0..stop {
            let (rows, end) = folder.page(after.as_ref()).unwrap();
            values.extend(rows.rows.into_iter().map(|row| row.value));
            let (Pulled::More(cursor) | Pulled::Done(Some(cursor))) = end else { panic!("{end:?}") };
            // As stored and read back.
            after = Some(serde_json::from_str(&cursor.to_string()).unwrap());
        }
        // Here the process ends; a new one knows the cursor and nothing else.
        values.extend(folder.run(after).0);
        assert_eq!(values, names(0..n), "stopped after {stop} pages");
    }
}

#[test]
fn an_event_that_fails_costs_one_rejection_a_run_and_stays_open() {
    let folder = Folder::of(6);
    folder.write(
        &id(1),
        "{\"Event\": {\"Attribute\": [{\"type\": \"domain\", \"value\": \"x.example\", \"to_ids\": true},]}}",
    );
    std::fs::remove_file(folder.dir.path().join(format!("{}.json", id(2)))).unwrap();
    folder.write(&id(3), "<html>Sign in</html>");
    let mut after = None;
    for run in 0..3 {
        let (values, rejected, cursor, _) = folder.run(after);
        assert_eq!(values, if run == 0 { vec!["d0.example", "d4.example", "d5.example"] } else { vec![] });
        assert_eq!(rejected.len(), 3, "{rejected:?}");
        assert!(rejected.iter().any(|sample| sample.contains(&id(1)) && sample.contains("broken JSON")));
        assert!(rejected.iter().any(|sample| sample.contains(&id(2)) && sample.contains("no such file")));
        after = cursor;
    }
    for n in 1..4 {
        folder.write(&id(n), &event(n, NOW - 1_000 + n as i64));
    }
    let (values, rejected, _, _) = folder.run(after);
    assert_eq!((values, rejected), (names(1..4), vec![]));
}

#[test]
fn an_event_older_than_its_manifest_says_is_asked_for_again() {
    let folder = Folder::of(1);
    folder.list(&[(0, NOW)]);
    let (values, rejected, cursor, pages) = folder.run(None);
    assert_eq!((values, rejected, pages), (names(0..1), vec![], 1));
    assert_eq!(folder.run(cursor.clone()).0, names(0..1), "the copy is still the old one");
    folder.write(&id(0), &event(0, NOW));
    let (values, _, cursor, _) = folder.run(cursor);
    assert_eq!(values, names(0..1));
    assert!(folder.run(cursor).0.is_empty());
}

#[test]
fn the_first_run_reads_only_so_far_back() {
    let mut folder = Folder::of(5);
    folder.from = NOW - 998;
    let (values, _, cursor, _) = folder.run(None);
    assert_eq!(values, names(2..5));
    let (rows, _) = folder.page(None).unwrap();
    assert_eq!(rows.filtered.get("event out of range"), Some(&2));
    // What was out of range at first stays so: the range does not move with the clock.
    folder.from = NOW - 900;
    assert!(folder.run(cursor.clone()).0.is_empty());
    folder.write(&id(1), &event(1, NOW));
    folder.list(&[(0, NOW - 1_000), (1, NOW), (2, NOW - 998)]);
    assert_eq!(folder.run(cursor).0, names(1..2), "an old event that was edited is in range");
}

#[test]
fn the_digest_of_the_manifest_is_believed() {
    let folder = Folder::of(2);
    let good = hex(&Sha256::digest(event(0, NOW - 1_000)));
    let entry = |digest: Value| json!({"timestamp": NOW.to_string(), "integrity:sha256": digest});
    for (digest, expect) in [
        (json!(good), 1),
        (json!(good.to_uppercase()), 1),
        (json!([good]), 1),
        (json!([]), 1),
        (json!(null), 1),
        (json!("00"), 0),
        (json!(""), 0),
        (json!(["00"]), 0),
        (json!(7), 0),
        (json!({}), 0),
    ] {
        folder.write("manifest", &json!({ id(0): entry(digest.clone()) }).to_string());
        let (rows, _) = folder.page(None).unwrap();
        assert_eq!((rows.rows.len(), rows.rejected.len()), (expect, 1 - expect), "{digest}");
    }
}

#[test]
fn an_event_does_not_answer_for_another() {
    let folder = Folder::of(2);
    folder.write(&id(1), &event(0, NOW));
    let (rows, _) = folder.page(None).unwrap();
    assert_eq!((rows.rows.len(), rows.rejected.len()), (1, 1), "{:?}", rows.rejected);
    assert!(rows.rejected[0].1.contains("not the one it is listed under"), "{:?}", rows.rejected);
    folder.write(&id(1), &event(1, NOW));
    assert_eq!(folder.page(None).unwrap().0.rows.len(), 2);
}

#[test]
fn no_name_of_a_manifest_leads_out_of_the_folder() {
    let mut bad: Vec<String> = Vec::new();
    let up = [
        "..",
        "%2e%2e",
        "..%2f",
        "..\\",
        "%252e%252e",
        "．．",
        "....//",
        ".",
        "/",
        "//",
        "\\\\host",
        "file:",
        "http:",
        "~",
        "C:",
        "\0",
    ];
    for part in up {
        for tail in ["/etc/passwd", "/../manifest", "", "/", "#", "?x=", "\\x"] {
            bad.push(format!("{part}{tail}"));
        }
    }
    bad.extend(
        [
            "5f3c2a10-0000-4000-8000-00000000000/",
            "5f3c2a10-0000-4000-8000-0000000000/../",
            "{5f3c2a10-0000-4000-8000-00000000001}",
        ]
        .map(str::to_owned),
    );
    bad.sort();
    bad.dedup();
    assert!(bad.len() >= 100, "{}", bad.len());
    let entries: serde_json::Map<String, Value> =
        bad.iter().map(|name| (name.clone(), json!({"timestamp": NOW.to_string()}))).collect();
    let manifest = Value::Object(entries).to_string();
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = Arc::clone(&asked);
    let http = Http::answering(HttpConfig::default(), Arc::new(NoWait), move |sent| {
        log.lock().unwrap().push(sent.url().to_owned());
        Answer::new(200, manifest.clone())
    });
    let files = Files::default();
    let cx = Cx { http: &http, files: &files, now: Timestamp::from_secs(NOW), initial_from: Timestamp::EPOCH };
    let mut rows = Collected::default();
    feed(&json!({"url": "https://feeds.example/misp"})).source().unwrap().pull(None, &cx, &mut rows).unwrap();
    assert_eq!(*asked.lock().unwrap(), ["https://feeds.example/misp/manifest.json"]);
    assert_eq!(rows.rejected.len(), bad.len());
    assert!(rows.rows.is_empty());
}

#[test]
fn a_server_that_stops_answering_ends_the_run_and_loses_nothing() {
    let n = 10;
    let manifest: serde_json::Map<String, Value> =
        (0..n).map(|n| (id(n), json!({"timestamp": NOW - 100 + n as i64}))).collect();
    let manifest = Value::Object(manifest).to_string();
    let down = Arc::new(Mutex::new(true));
    let state = Arc::clone(&down);
    let http = Http::answering(HttpConfig::default(), Arc::new(NoWait), move |sent| {
        let url = sent.url();
        if url.ends_with("manifest.json") {
            return Answer::new(200, manifest.clone()).header_pair("ETag", "\"1\"");
        }
        let which = (0..n).find(|n| url.ends_with(&format!("{}.json", id(*n)))).unwrap();
        match which {
            2.. if *state.lock().unwrap() => Answer::new(503, ""),
            _ => Answer::new(200, event(which, NOW - 100 + which as i64)),
        }
    });
    let files = Files::default();
    let cx = Cx { http: &http, files: &files, now: Timestamp::from_secs(NOW), initial_from: Timestamp::EPOCH };
    let connection = feed(&json!({"url": "https://feeds.example/misp/manifest.json"}));
    let pull = |after: Option<&Cursor>| {
        let mut rows = Collected::default();
        let end = connection.source().unwrap().pull(after, &cx, &mut rows).unwrap();
        let Pulled::Done(Some(cursor)) = end else { panic!("{end:?}") };
        (rows.rows.into_iter().map(|row| row.value).collect::<Vec<_>>(), rows.rejected.len(), cursor)
    };
    let (values, rejected, cursor) = pull(None);
    assert_eq!((values, rejected), (names(0..2), MISSES as usize));
    assert_eq!(cursor["etag"], Value::Null, "the manifest must be read again");
    *down.lock().unwrap() = false;
    let (mut values, rejected, cursor) = pull(Some(&cursor));
    values.sort();
    assert_eq!((values, rejected), (names(2..10), 0));
    assert_eq!(cursor["etag"], "\"1\"");
}

#[test]
fn manifests_that_are_none() {
    let folder = Folder::of(0);
    for (manifest, says) in [
        ("", "manifest.json"),
        ("<html>", "manifest.json"),
        ("[1]", "a list where"),
        ("null", "manifest.json"),
        ("{\"a\": 1} x", "manifest.json"),
    ] {
        folder.write("manifest", manifest);
        let error = folder.page(None).unwrap_err().to_string();
        assert!(error.contains(says), "{manifest}: {error}");
    }
    for (manifest, rejected) in [("{}", 0), ("[]", 0), ("\u{feff}{}", 0), ("{\"a\": 1}", 1)] {
        folder.write("manifest", manifest);
        assert_eq!(folder.page(None).unwrap().0.rejected.len(), rejected, "{manifest}");
    }
    folder.write("manifest", &json!({ id(0): {"timestamp": {}}, id(1): 7, id(2): {} }).to_string());
    assert_eq!(folder.page(None).unwrap().0.rejected.len(), 3);
}

#[test]
fn addresses() {
    for (url, good) in [
        ("https://feeds.example/misp", true),
        ("https://feeds.example/misp/manifest.json", true),
        ("https://feeds.example/misp?x=1", false),
        ("https://user:secret@feeds.example/misp", false),
        ("ftp://feeds.example/misp", false),
        ("/srv/misp", true),
        ("file:///srv/misp", true),
    ] {
        let settings = Settings { url: url.into(), only_tags: vec![], token: None, token_header: None };
        assert_eq!(Feed::open(settings).is_ok(), good, "{url}");
    }
    let hosts = |url: &str| feed(&json!({ "url": url })).hosts();
    assert_eq!(hosts("https://Feeds.example:8443/misp"), ["feeds.example"]);
    assert_eq!(hosts("https://[2001:db8::1]:8443/misp"), ["2001:db8::1"]);
    assert!(hosts("/srv/misp").is_empty());
}

#[test]
fn a_published_feed() {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/feeds/tweetfeed/misp").canonicalize().unwrap();
    let files = Files::below(vec![folder.clone()]);
    let http = Http::replaying(Exchanges::default(), Vec::new());
    let cx = Cx { http: &http, files: &files, now: Timestamp::from_secs(NOW), initial_from: Timestamp::EPOCH };
    let connection = feed(&json!({"url": folder.to_string_lossy(), "only_tags": ["tweetfeed"]}));
    let mut rows = Collected::default();
    let end = connection.source().unwrap().pull(None, &cx, &mut rows).unwrap();
    let Pulled::Done(Some(cursor)) = end else { panic!("{end:?}") };
    assert!(rows.rows.len() > 40 && rows.rejected.is_empty());
    for row in rows.rows {
        row.clone().normalise(cx.now).unwrap_or_else(|why| panic!("{why}: {row:?}"));
    }
    let mut again = Collected::default();
    connection.source().unwrap().pull(Some(&cursor), &cx, &mut again).unwrap();
    assert_eq!(again, Collected::default());
}

#[test]
fn an_entry_of_the_manifest_is_no_larger_than_it_needs_to_be() {
    let folder = Folder::of(2);
    let bomb = format!("[{}0]", "0,".repeat(ENTRY_BYTES / 2));
    folder.write(
        "manifest",
        &format!(
            "{{\"{}\": {{\"timestamp\": \"{NOW}\", \"x\": {bomb}}}, \"{}\": {bomb}, \"{}\": {{\"timestamp\": \"{NOW}\"}}}}",
            id(7),
            id(8),
            id(1),
        ),
    );
    let (values, rejected, ..) = folder.run(None);
    assert_eq!(values, names(1..2));
    assert!(rejected.len() == 2 && rejected.iter().all(|why| why.contains("too large")), "{rejected:?}");
}
