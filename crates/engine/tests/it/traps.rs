//! Sources that lead nowhere, or hang: what becomes of a run, and of all other jobs.

use engine::config::Connection;
use engine::pages::{PAGES_MOST, RUN_MOST};
use engine::runner::{Ended, Runner};
use engine::{ConfigFile, Engine, PullReport, Registry, Silent, World};
use intel::{Observation, Timestamp};
use kit::files::Files;
use kit::http::{Exchanges, Http};
use kit::manifest::Manifest;
use kit::{Connector, ConnectorError, Cursor, Cx, Pulled, Rows, Source};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use store::Store;

/// A clock that is put, and nothing else.
struct Still {
    now: Mutex<Timestamp>,
    files: Files,
}

impl World for Still {
    fn now(&self) -> Timestamp {
        *self.now.lock().unwrap()
    }

    fn random(&self) -> u64 {
        7
    }

    fn http(&self, _: &Connection) -> Result<Http, ConnectorError> {
        Ok(Http::replaying(Exchanges::default(), Vec::new()))
    }

    fn files(&self) -> &Files {
        &self.files
    }
}

/// Answers a pull of the source of this name.
type Script = Arc<dyn Fn(&str, Option<&Cursor>, &mut dyn Rows) -> Result<Pulled, ConnectorError> + Send + Sync>;

struct Scripted {
    manifest: Manifest,
    script: Script,
}

struct Open {
    name: String,
    script: Script,
}

impl Connector for Scripted {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn open(&self, settings: &Value) -> Result<Box<dyn kit::Connection>, String> {
        let name = settings.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Box::new(Open { name, script: Arc::clone(&self.script) }))
    }
}

impl kit::Connection for Open {
    fn check(&self, _: &Cx<'_>) -> Result<(), ConnectorError> {
        Ok(())
    }

    fn source(&self) -> Option<&dyn Source> {
        Some(self)
    }
}

impl Source for Open {
    fn pull(&self, after: Option<&Cursor>, _: &Cx<'_>, rows: &mut dyn Rows) -> Result<Pulled, ConnectorError> {
        (self.script)(&self.name, after, rows)
    }
}

const PAGED: &str = r#"
name = "paged"
title = "Pages"
summary = "Pages from a script."
category = "feed"
source = { style = "incremental" }
[[setting]]
key = "name"
type = "text"
label = "Name"
help = "Which script."
"#;

const MANUAL: &str = r#"
name = "manual"
title = "By hand"
summary = "What people add."
category = "platform"
source = { style = "hosted" }
"#;

/// An engine with these sources, each scripted.
fn bench(names: &[String], script: &Script) -> (Arc<Still>, Arc<Engine>) {
    let now = Timestamp::from_secs(1_790_000_000);
    let world = Arc::new(Still { now: Mutex::new(now), files: Files::below(Vec::new()) });
    let kind = |toml: &str| -> Arc<dyn Connector> {
        Arc::new(Scripted { manifest: Manifest::parse(toml).unwrap(), script: Arc::clone(script) })
    };
    let registry = Registry::new([kind(PAGED), kind(MANUAL)]);
    let store = Arc::new(Store::in_memory().unwrap());
    let engine = Engine::open(store, registry, world.clone(), None, &Silent).unwrap();
    let one =
        |name: &String| json!({ "name": name, "connector": "paged", "interval": "60m", "settings": { "name": name } });
    let all: Vec<Value> = names.iter().map(one).collect();
    let file: ConfigFile = serde_json::from_value(json!({ "connection": all })).unwrap();
    engine.apply(&file, "test", false).unwrap();
    (world, Arc::new(engine))
}

/// What a source gives for the page at a place: numbers of indicators, and the place after.
type Page = (Vec<u64>, Option<Value>);

fn value(n: u64) -> String {
    format!("n{n}.example.net")
}

/// Pulls a source of pages, so often. Gives the reports, how many pages were asked for, and the indicators given.
fn pull(
    times: usize,
    page: impl Fn(&Value) -> Page + Send + Sync + 'static,
) -> (Arc<Engine>, Vec<PullReport>, usize, BTreeSet<u64>) {
    let told = Arc::new(Mutex::new((0_usize, BTreeSet::new())));
    let seen = Arc::clone(&told);
    let script: Script = Arc::new(move |_, after, rows| {
        let (given, next) = page(after.unwrap_or(&Value::Null));
        let mut seen = seen.lock().unwrap();
        seen.0 += 1;
        for n in given {
            rows.row(Observation::new(value(n)));
            seen.1.insert(n);
        }
        Ok(next.map_or(Pulled::Done(None), Pulled::More))
    });
    let (world, engine) = bench(&["source".to_owned()], &script);
    let reports = (0..times)
        .map(|_| {
            let report = engine.pull("source", &Silent).unwrap();
            assert!(report.balances(), "{report:?}");
            let mut now = world.now.lock().unwrap();
            *now = now.after(Duration::from_secs(3600));
            report
        })
        .collect();
    let (pages, given) = {
        let told = told.lock().unwrap();
        (told.0, told.1.clone())
    };
    for n in &given {
        let key = intel::IndicatorKey::parse(None, &value(*n)).unwrap();
        assert!(engine.known().index.id(&key).is_some(), "n{n} was given and passed, and is not stored");
    }
    (engine, reports, pages, given)
}

/// Shown: whatever a paging source does with its places, a run ends after a bounded number of pages and everything it
/// was given is stored. How: 24 scripted sources pulled three times each (24 more speak TAXII, in that
/// connector's own tests): circles of 1 to 12 places with and without a way in, new rows in each round, pages that
/// shrink, repeat, overlap, come in reverse, are empty, places of odd types. Figures: a circle of n places ends within
/// n + 1 pages a run; rows given minus rows stored = 0; counts balance.
#[test]
fn f25_no_trap_of_pages_catches_a_run() {
    // Circles: length, pages before it, whether each page has new rows whenever it is read.
    for (length, way_in, is_new) in [
        (1, 0, false),
        (1, 1, false),
        (1, 3, true),
        (2, 0, false),
        (2, 1, false),
        (2, 2, true),
        (3, 0, false),
        (3, 1, true),
        (3, 3, false),
        (5, 0, true),
        (7, 2, false),
        (12, 0, false),
        (12, 5, true),
        (12, 1, false),
    ] {
        let reads = Mutex::new(0);
        let (_, reports, pages, _) = pull(3, move |at| {
            let at = at.as_u64().unwrap_or(0);
            let mut reads = reads.lock().unwrap();
            *reads += 1;
            let next = if at + 1 >= way_in + length { way_in } else { at + 1 };
            (vec![if is_new { 1_000 + *reads } else { at }], Some(json!(next)))
        });
        let most = (way_in + length + 1) as usize;
        assert!(pages <= 3 * most, "{length} after {way_in}: {pages} pages");
        for report in &reports {
            assert_eq!(report.status, "failed", "{length} after {way_in}");
            assert!(report.error.as_deref().unwrap().contains("again and again"), "{report:?}");
        }
    }
    // Ten pages that end, whatever their rows do: nothing is lost and nothing fails.
    type Rows = fn(u64) -> Vec<u64>;
    let ending: [(&str, Rows); 7] = [
        ("shrinking", |at| (at * 10..at * 10 + 10 - at).collect()),
        ("repeating", |_| (0..10).collect()),
        ("overlapping", |at| (at * 5..at * 5 + 10).collect()),
        ("in reverse", |at| ((9 - at) * 10..(9 - at) * 10 + 10).rev().collect()),
        ("shuffled", |at| (0..10).map(|n| (n * 7 + at * 3) % 40).collect()),
        ("doubled", |at| (0..10).flat_map(|n| [at * 10 + n; 2]).collect()),
        ("empty between", |at| if at % 2 == 0 { vec![at] } else { Vec::new() }),
    ];
    for (what, rows) in ending {
        let (_, reports, pages, _) = pull(3, move |at| {
            let at = at.as_u64().unwrap_or(0) % 10;
            (rows(at), (at < 9).then(|| json!(at + 1)))
        });
        assert!(pages <= 30, "{what}");
        assert!(reports.iter().all(|report| report.status == "success"), "{what}: {reports:?}");
    }
    // Places of any form, in a circle of two.
    for (one, other) in [
        (json!({ "a": 1, "b": [1, 2] }), json!({ "a": 1, "b": [2, 1] })),
        (json!("next"), json!(["next"])),
        (json!(0), json!("0")),
    ] {
        let (a, b) = (one.clone(), other.clone());
        let (_, _, pages, given) =
            pull(3, move |at| if *at == a { (vec![1], Some(b.clone())) } else { (vec![2], Some(a.clone())) });
        assert!(pages <= 9 && given.len() == 2, "{one} {other}: {pages}");
    }
}

/// Shown: a source that always has one page more ends its run at the cap on pages, or on time, and the next run goes on
/// where it ended: nothing is read twice or left out. How: an endless source whose place is a number; once with a clock
/// that stands and once with one that passes an hour a page. Figures: 10,000 pages a run, 2 runs, no page read twice;
/// at most 8 pages in 6 hours.
#[test]
fn f25_pages_without_end_have_an_end() {
    let asked = Arc::new(Mutex::new(BTreeMap::new()));
    let count = Arc::clone(&asked);
    let (_, reports, pages, _) = pull(2, move |at| {
        let at = at.as_u64().unwrap_or(0);
        *count.lock().unwrap().entry(at).or_insert(0) += 1;
        // Rows in some of them: what is written is written once a page.
        (if at % 500 == 0 { vec![at] } else { Vec::new() }, Some(json!(at + 1)))
    });
    assert_eq!(pages, 2 * PAGES_MOST);
    assert!(asked.lock().unwrap().values().all(|n| *n == 1));
    for report in &reports {
        let error = report.error.as_deref().unwrap();
        assert!(error.contains("10000 pages were read; the next run goes on from there"), "{error}");
    }

    let pages = Arc::new(Mutex::new(0_u64));
    let clock: Arc<Mutex<Option<Arc<Still>>>> = Arc::default();
    let (count, passing) = (Arc::clone(&pages), Arc::clone(&clock));
    let script: Script = Arc::new(move |_, after, _| {
        *count.lock().unwrap() += 1;
        let world = passing.lock().unwrap().clone().unwrap();
        let mut now = world.now.lock().unwrap();
        *now = now.after(Duration::from_secs(3600));
        Ok(Pulled::More(json!(after.and_then(Value::as_u64).unwrap_or(0) + 1)))
    });
    let (world, engine) = bench(&["source".to_owned()], &script);
    *clock.lock().unwrap() = Some(world);
    let report = engine.pull("source", &Silent).unwrap();
    assert!(report.error.as_deref().unwrap().contains("took more than 6 hours"), "{report:?}");
    assert!(*pages.lock().unwrap() <= RUN_MOST.as_secs() / 3600 + 2);
}

/// Shown: sources that hang delay no other job by more than the time after which they make room (I13). How: a runner
/// with two places for pulls; six sources that do not answer until they are let go, six that answer at once; the clock
/// is put past that time until the healthy ones have run. Figures: 6 hang, 6 of 6 healthy sources and the exchange's
/// own chores run meanwhile; the hanging ones end when let go.
#[test]
fn f19_a_source_that_hangs_keeps_nobody_waiting() {
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let (entered, hanging) = channel::<()>();
    let entered = Mutex::new(entered);
    let wait = Arc::clone(&gate);
    let script: Script = Arc::new(move |name, _, rows| {
        if name.starts_with("hangs") {
            let _ = entered.lock().unwrap().send(());
            let (open, changed) = &*wait;
            drop(changed.wait_while(open.lock().unwrap(), |open| !*open).unwrap());
        }
        rows.row(Observation::new(format!("{name}.example.net")));
        Ok(Pulled::Done(None))
    });
    // By name, so that those that hang are first in line.
    let names: Vec<String> = (0..6).map(|n| format!("hangs-{n}")).chain((0..6).map(|n| format!("well-{n}"))).collect();
    let (world, engine) = bench(&names, &script);
    let (told, ended): (Sender<String>, _) = channel();
    let runner = Runner::start(Arc::clone(&engine), 2, move |ended| {
        let what = match ended {
            Ended::Pulled(report) => report.connection.clone(),
            other => format!("{other:?}"),
        };
        let _ = told.send(what);
    });
    let mut healthy = BTreeSet::new();
    let mut n_hanging = 0;
    while healthy.len() < 6 {
        n_hanging += hanging.try_iter().count();
        match ended.recv_timeout(Duration::from_millis(20)) {
            Ok(what) if what.starts_with("well") => drop(healthy.insert(what)),
            Ok(what) => assert!(!what.starts_with("hangs"), "{what}"),
            // Nobody else is due: time passes.
            Err(_) => {
                let mut now = world.now.lock().unwrap();
                *now = now.after(engine::lanes::PATIENCE + Duration::from_secs(1));
            }
        }
    }
    n_hanging += hanging.try_iter().count();
    assert!(n_hanging >= 2, "{n_hanging}");
    {
        let (open, changed) = &*gate;
        *open.lock().unwrap() = true;
        changed.notify_all();
    }
    runner.stop();
    assert!(ended.try_iter().filter(|what| what.starts_with("hangs")).count() >= n_hanging.min(6));
}
