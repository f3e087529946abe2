//! "Why is it there?" over everything.

use crate::generate::{self, SOURCES};
use crate::measure::{Sheet, Took, mb, ms, peak_rss, timed};
use crate::sharing::{target, tool};
use crate::world::{self, Fault};
use engine::Mode;
use serde_json::{Value, json};
use std::path::Path;

/// Questions asked.
const ASKED: u32 = 40;
/// The most one may take, in milliseconds.
const MOST_MS: f64 = 200.0;
/// Targets: name, rule, share of everything it has room for; 0: no limit.
const TARGETS: [(&str, &str, u32); 5] = [
    ("everything", "kind in (ipv4, domain, url, md5, sha256)", 0),
    ("half", "kind in (ipv4, domain, url, md5, sha256)", 2),
    ("urls", "kind = url", 10),
    ("bad", "reputation >= 7", 0),
    ("families", "tag = \"family-0\" and severity >= medium", 0),
];

pub(crate) fn why(dir: &Path, n: u32, sheet: &mut Sheet) -> Result<(), Fault> {
    world::write_feeds(dir, n, 0)?;
    let engine = world::open(dir)?;
    let mut connections: Vec<Value> = (0..SOURCES)
        .map(|at| {
            let settings = generate::Style::Csv.settings(&world::feed_path(dir, at));
            world::source(&format!("source-{at}"), &settings)
        })
        .collect();
    connections.extend(TARGETS.iter().map(|(name, ..)| tool(name)));
    let params = |part: u32| n.checked_div(part).map_or_else(|| json!({}), |capacity| json!({ "capacity": capacity }));
    world::apply(
        &engine,
        &json!({
            "connection": connections,
            "target": TARGETS.iter().map(|(name, _, part)| target(name, "thousand", &params(*part))).collect::<Vec<_>>(),
            "rule": TARGETS.iter().map(|(name, when, _)| json!({ "name": name, "when": when })).collect::<Vec<_>>(),
            "sharing": TARGETS.iter().map(|(name, ..)| json!({ "source": "any", "rule": name, "target": name }))
                .collect::<Vec<_>>(),
        }),
    )?;
    for source in 0..SOURCES {
        world::pull(&engine, &format!("source-{source}"))?;
    }
    for (name, ..) in TARGETS {
        world::share(&engine, name, Mode { approve: true, ..Mode::default() })?;
    }
    let mut text = String::new();
    let mut ask = |at: u32| -> Result<Took, Fault> {
        generate::value(at % n, &mut text);
        let (report, took) = timed(|| engine.why(&text, None));
        let report = report?;
        if !report.known || report.targets.len() != TARGETS.len() {
            return Err(format!("{text}: {}", report.answer).into());
        }
        Ok(took)
    };
    let first = ask(0)?;
    let mut all: Vec<Took> = (1..=ASKED).map(|at| ask(at * 7919)).collect::<Result<_, _>>()?;
    all.sort_by(|a, b| a.wall.total_cmp(&b.wall));
    let what = format!("why, {n} stored, {} targets, two of them full", TARGETS.len());
    sheet.time(format!("{what}: median"), all[all.len() / 2], Some(MOST_MS), None);
    sheet.time("the same, p99", all[all.len() * 99 / 100], None, None);
    sheet.time("the first question", first, None, None);
    // What somebody asks in the middle of the day: something has just changed.
    let mut after = Vec::new();
    for at in 0..5 {
        let value = format!("why-{at}.bench-asked.com");
        let new = engine::NewIndicator { value: value.clone(), ..engine::NewIndicator::default() };
        engine.add(&[new], "bench")?;
        let (report, took) = timed(|| engine.why(&value, None));
        report?;
        after.push(took);
    }
    after.sort_by(|a, b| a.wall.total_cmp(&b.wall));
    sheet.time("one row after another changed: median", after[after.len() / 2], None, None);
    sheet.note(&format!("resident at most {}; the slowest {}", mb(peak_rss(None)), ms(all[all.len() - 1].wall)));
    Ok(())
}
