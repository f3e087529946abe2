//! The tools are held to the contract real products' connectors are held to.

use super::*;
use intel::IndicatorKind;
use kit::http::{Exchanges, Http};
use kit::testkit::conformance;
use std::path::Path;

struct Bench {
    dir: tempfile::TempDir,
    files: Files,
    http: Http,
}

impl Bench {
    fn new() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::below(vec![dir.path().to_owned()]);
        Bench { dir, files, http: Http::replaying(Exchanges::default(), Vec::new()) }
    }

    fn tool(&self, product: Product) -> Tool {
        ToolConnector::new(product).unwrap().tool(self.dir.path().join("tool.json").to_str().unwrap())
    }

    fn cx(&self) -> Cx<'_> {
        let now = Timestamp::from_secs(1_800_000_000);
        Cx { http: &self.http, files: &self.files, now, initial_from: now }
    }
}

const SPEC: TargetSpec<'static> = TargetSpec { name: "t", action: "block", params: &Value::Null, mark: "mine" };

fn outgoing(kind: IndicatorKind, value: &str) -> Outgoing {
    Outgoing {
        severity: Severity::High,
        tags: vec!["phishing".into()],
        sources: vec!["somebody".into()],
        ..Outgoing::bare(key(kind, value), Timestamp::EPOCH)
    }
}

#[derive(Default)]
struct Taken(Vec<Observation>);

impl Rows for Taken {
    fn row(&mut self, row: Observation) {
        self.0.push(row);
    }
    fn reject(&mut self, reason: &'static str, sample: &str) {
        panic!("{reason}: {sample}");
    }
    fn filter(&mut self, reason: &'static str, _: u64) {
        panic!("{reason}");
    }
}

fn pull(bench: &Bench, tool: &Tool, after: Option<&Cursor>) -> (Pulled, Vec<Observation>) {
    let mut rows = Taken::default();
    let pulled = tool.pull(after, &bench.cx(), &mut rows).unwrap();
    (pulled, rows.0)
}

#[test]
fn the_tools_conform() {
    for product in [Product::Edr, Product::Gateway] {
        let connector = ToolConnector::new(product).unwrap();
        let wrong = conformance(&connector, None::<&Path>);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        let capacity = connector.manifest().action("block").unwrap().capacity;
        assert_eq!(capacity, Some(connector.tool("x").capacity()), "the manifest says what the tool holds");
    }
}

#[test]
fn what_is_put_there_is_read_back_with_its_id_and_outlives_the_process() {
    let bench = Bench::new();
    let tool = bench.tool(Product::Gateway);
    let (first, own) = pull(&bench, &tool, None);
    let Pulled::Whole(Some(cursor)) = first else { panic!("{first:?}") };
    assert!(own.iter().all(|row| row.remote_id.is_some()) && own.len() > 5);

    let batch = [outgoing(IndicatorKind::Domain, "bad.example"), outgoing(IndicatorKind::Domain, "dropbox.com")];
    let outcomes = tool.push(SPEC, &batch, &bench.cx()).unwrap();
    let ItemOutcome::Accepted { remote_id: Some(id) } = &outcomes[0] else { panic!("{outcomes:?}") };
    assert_eq!(outcomes[1], ItemOutcome::Foreign, "what its people made is not ours");

    // Another process on the same data.
    let again = bench.tool(Product::Gateway);
    let (second, rows) = pull(&bench, &again, Some(&cursor));
    let Pulled::Whole(Some(cursor)) = second else { panic!("{second:?}") };
    assert_eq!(rows.len(), own.len() + 1);
    let ours = rows.iter().find(|row| row.value == "bad.example").unwrap();
    assert_eq!(ours.remote_id.as_ref(), Some(id));
    assert_eq!(pull(&bench, &again, Some(&cursor)), (Pulled::NotModified(Some(cursor)), Vec::new()));
}

#[test]
fn a_push_twice_is_one_entry_and_an_update_keeps_the_id() {
    let bench = Bench::new();
    let tool = bench.tool(Product::Edr);
    let mut item = outgoing(IndicatorKind::Ipv4, "203.0.113.9");
    let first = tool.push(SPEC, std::slice::from_ref(&item), &bench.cx()).unwrap();
    let revision = tool.read(&bench.files).unwrap().revision();
    assert_eq!(first, tool.push(SPEC, std::slice::from_ref(&item), &bench.cx()).unwrap());
    assert_eq!(tool.read(&bench.files).unwrap().revision(), revision, "the same again changes nothing");
    item.severity = Severity::Low;
    assert_eq!(first, tool.push(SPEC, std::slice::from_ref(&item), &bench.cx()).unwrap());
    let console = tool.read(&bench.files).unwrap();
    assert_eq!(console.get(&item.key).unwrap().severity.as_deref(), Some("low"));
}

#[test]
fn only_what_is_ours_is_taken_back() {
    let bench = Bench::new();
    let tool = bench.tool(Product::Gateway);
    let ours = outgoing(IndicatorKind::Url, "http://bad.example/x");
    let theirs = outgoing(IndicatorKind::Domain, "dropbox.com");
    let nobodys = outgoing(IndicatorKind::Domain, "never.example");
    tool.push(SPEC, std::slice::from_ref(&ours), &bench.cx()).unwrap();
    let all = [ours, theirs, nobodys];
    let looked = tool.look(SPEC, &all, &bench.cx()).unwrap();
    assert!(matches!(&looked[0], Presence::Ours { remote_id: Some(_) }), "{looked:?}");
    assert_eq!(looked[1..], [Presence::Foreign, Presence::Absent]);
    let outcomes = tool.retract(SPEC, &all, &bench.cx()).unwrap();
    let gone = ItemOutcome::Accepted { remote_id: None };
    assert_eq!(outcomes, [gone.clone(), ItemOutcome::Foreign, gone]);
    assert_eq!(tool.look(SPEC, &all, &bench.cx()).unwrap(), [Presence::Absent, Presence::Foreign, Presence::Absent]);
    // An entry with somebody else's mark is not ours either.
    let other = TargetSpec { mark: "another exchange", ..SPEC };
    tool.push(other, &all[..1], &bench.cx()).unwrap();
    assert_eq!(tool.push(SPEC, &all[..1], &bench.cx()).unwrap(), [ItemOutcome::Foreign]);
    assert_eq!(tool.retract(SPEC, &all[..1], &bench.cx()).unwrap(), [ItemOutcome::Foreign]);
}

#[test]
fn a_tool_says_no_in_its_own_words() {
    let bench = Bench::new();
    let tool = bench.tool(Product::Gateway);
    let long = outgoing(IndicatorKind::Url, &format!("http://bad.example/{}", "x".repeat(300)));
    let outcome = tool.push(SPEC, &[long], &bench.cx()).unwrap();
    assert!(
        matches!(&outcome[0], ItemOutcome::Refused(words) if words.starts_with("ADDR_TOO_LONG: 319")),
        "{outcome:?}"
    );

    let edr = Bench::new();
    let tool = edr.tool(Product::Edr);
    let many: Vec<Outgoing> =
        (0..2_501).map(|n| outgoing(IndicatorKind::Domain, &format!("n{n}.bad.example"))).collect();
    let outcomes = tool.push(SPEC, &many, &edr.cx()).unwrap();
    let taken = outcomes.iter().filter(|o| matches!(o, ItemOutcome::Accepted { .. })).count();
    assert_eq!(taken, 2_500, "what its own people made takes no room");
    assert!(matches!(outcomes.last(), Some(ItemOutcome::Refused(words)) if words.starts_with("LIMIT_REACHED")));
}

#[test]
fn a_state_file_somebody_broke_is_told_and_left_alone() {
    let bench = Bench::new();
    let tool = bench.tool(Product::Edr);
    let path = bench.dir.path().join("tool.json");
    std::fs::write(&path, "{ not json").unwrap();
    let error = tool.check(&bench.cx()).unwrap_err();
    assert!(matches!(&error, ConnectorError::Unexpected(why) if why.contains("tool.json")), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "{ not json");
    let elsewhere = ToolConnector::new(Product::Edr).unwrap().tool("/etc/tool.json");
    assert!(matches!(elsewhere.check(&bench.cx()), Err(ConnectorError::Denied(_))));
}
