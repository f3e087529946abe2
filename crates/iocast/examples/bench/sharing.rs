//! What the ledger costs a pass, and how soon an undo is ready.

use crate::generate::{self, Rows as Which, Style};
use crate::measure::{Sheet, Took, against, mb, ms, peak_rss, timed};
use crate::world::{self, Fault};
use engine::Mode;
use intel::RunId;
use kit::manifest::Manifest;
use kit::{Connection, Connector, ConnectorError, Cx, Destination, ItemOutcome, Outgoing, TargetSpec};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

/// Entries pushed by a pass, at most.
const PUSHED: u32 = 200_000;
/// Passes measured; the best counts.
const PASSES: usize = 3;
/// Entries of the runs that are undone: of these some 10,000 are updated, as what an item carries changes for not all.
const UNDONE: u32 = 24_000;

/// Takes everything at once and keeps nothing: what remains of a pass is ours.
struct Sink(Manifest);

struct Open;

const MANIFEST: &str = r#"
name = "sink"
title = "Sink"
summary = "Takes everything and keeps nothing."
category = "output"

[[action]]
name = "hundred"
title = "In hundreds"
summary = "A hundred items a call."
delivery = "items"
batch = 100
holds_expiry = true

[[action]]
name = "thousand"
title = "In thousands"
summary = "A thousand items a call."
delivery = "items"
batch = 1000
holds_expiry = true

[[action.params]]
key = "capacity"
type = "int"
label = "Capacity"
help = "Most entries."
"#;

pub(crate) fn sink() -> Result<Arc<dyn Connector>, Fault> {
    Ok(Arc::new(Sink(Manifest::parse(MANIFEST)?)))
}

impl Connector for Sink {
    fn manifest(&self) -> &Manifest {
        &self.0
    }

    fn open(&self, _: &Value) -> Result<Box<dyn Connection>, String> {
        Ok(Box::new(Open))
    }
}

impl Connection for Open {
    fn check(&self, _: &Cx<'_>) -> Result<(), ConnectorError> {
        Ok(())
    }

    fn destination(&self) -> Option<&dyn Destination> {
        Some(self)
    }
}

impl Destination for Open {
    fn push(&self, _: TargetSpec<'_>, batch: &[Outgoing], _: &Cx<'_>) -> Result<Vec<ItemOutcome>, ConnectorError> {
        Ok(vec![ItemOutcome::Accepted { remote_id: None }; batch.len()])
    }

    fn retract(&self, _: TargetSpec<'_>, batch: &[Outgoing], _: &Cx<'_>) -> Result<Vec<ItemOutcome>, ConnectorError> {
        Ok(vec![ItemOutcome::Accepted { remote_id: None }; batch.len()])
    }
}

/// A target of the sink.
pub(crate) fn target(name: &str, action: &str, params: &Value) -> Value {
    json!({ "name": name, "connection": format!("{name}-tool"), "action": action, "first_fill": "allow",
            "interval": "300d", "params": params })
}

/// Its connection: each of its own, so that no two passes wait for each other.
pub(crate) fn tool(name: &str) -> Value {
    json!({ "name": format!("{name}-tool"), "connector": "sink" })
}

pub(crate) fn share(dir: &Path, n: u32, sheet: &mut Sheet) -> Result<(), Fault> {
    let n = n.min(PUSHED);
    let path = dir.join("feed");
    generate::write_feed(&path, n, Which::All, Style::Csv, 0)?;
    let engine = world::open(dir)?;
    let sorts = ["hundred", "thousand"];
    let names: Vec<(String, &str)> =
        sorts.iter().flat_map(|sort| (0..PASSES).map(move |at| (format!("{sort}-{at}"), *sort))).collect();
    let mut connections: Vec<Value> = names.iter().map(|(name, _)| tool(name)).collect();
    connections.push(world::source("feed", &Style::Csv.settings(&path)));
    world::apply(
        &engine,
        &json!({
            "connection": connections,
            "target": names.iter().map(|(name, sort)| target(name, sort, &json!({}))).collect::<Vec<_>>(),
            "rule": [{ "name": "all", "when": "reputation >= 1" }],
            "sharing": names.iter().map(|(name, _)| json!({ "source": "any", "rule": "all", "target": name }))
                .collect::<Vec<_>>(),
        }),
    )?;
    world::pull(&engine, "feed")?;
    let dry = Mode { dry_run: true, ..Mode::default() };
    let shorter = |best: Option<Took>, took: Took| best.filter(|best| best.wall <= took.wall).unwrap_or(took);
    // The guard's answers are kept between passes: the first plan, which asks it about everything, is told apart.
    let (first, cold) = timed(|| world::share(&engine, &names[0].0, dry));
    first?;
    sheet.put(format!("planning {n} pushes, nothing remembered"), show(cold), "", None, String::new());
    for sort in sorts {
        let (mut plan, mut pass, mut wrote) = (None, None, 0);
        for (name, _) in names.iter().filter(|(_, of)| *of == sort) {
            let (report, took) = timed(|| world::share(&engine, name, dry));
            let report = report?;
            if report.push != u64::from(n) {
                return Err(format!("{n} pushes were to be planned, not {}", report.push).into());
            }
            plan = Some(shorter(plan, took));
            let begun = crate::measure::written();
            let (report, took) = timed(|| world::share(&engine, name, Mode::default()));
            let report = report?;
            if report.accepted != u64::from(n) || report.status != "success" {
                return Err(format!("{n} pushes were to be accepted: {report:?}").into());
            }
            wrote = crate::measure::written() - begun;
            pass = Some(shorter(pass, took));
        }
        let (plan, pass) = (plan.unwrap_or_default(), pass.unwrap_or_default());
        let ratio = pass.wall / plan.wall;
        sheet.put(
            format!("pass of {n} pushes by the {sort}, ledger and guard on / plan alone"),
            format!("{ratio:.2} ({:.2} of CPU), {:.0} pushes/s", pass.cpu / plan.cpu, f64::from(n) / pass.wall * 1e3),
            "≤ 2",
            Some(ratio <= 2.0),
            against("planning", pass, plan),
        );
        sheet.note(&format!(
            "{} a pass, planning {}; {:.0} bytes written a push",
            show(pass),
            show(plan),
            wrote as f64 / f64::from(n)
        ));
    }
    sheet.note(&format!("resident at most {}", mb(peak_rss(None))));
    Ok(())
}

fn show(took: Took) -> String {
    format!("{} ({} CPU)", ms(took.wall), ms(took.cpu))
}

pub(crate) fn undo(dir: &Path, n: u32, sheet: &mut Sheet) -> Result<(), Fault> {
    let (bulk, feed) = (dir.join("bulk"), dir.join("feed"));
    let undone = UNDONE.min(n / 2);
    generate::write_feed(&bulk, n, Which::All, Style::Text, 0)?;
    generate::write_feed(&feed, undone, Which::All, Style::Csv, 0)?;
    let engine = world::open(dir)?;
    world::apply(
        &engine,
        &json!({
            "connection": [
                tool("wall"), world::source("bulk", &Style::Text.settings(&bulk)),
                world::source("feed", &Style::Csv.settings(&feed)),
            ],
            "target": [target("wall", "thousand", &json!({}))],
            "rule": [{ "name": "all", "when": "reputation >= 1" }],
            "sharing": [{ "source": "feed", "rule": "all", "target": "wall" }],
        }),
    )?;
    world::pull(&engine, "bulk")?;
    world::pull(&engine, "feed")?;
    let added = world::share(&engine, "wall", Mode::default())?;
    // Every row is said otherwise now.
    generate::write_feed(&feed, undone, Which::All, Style::Csv, 1)?;
    let changed = world::pull(&engine, "feed")?.changed;
    let updated = world::share(&engine, "wall", Mode { approve: true, ..Mode::default() })?;
    if added.push != u64::from(undone) || updated.update * 3 < u64::from(undone) {
        return Err(format!("{changed} rows changed; {added:?}; {updated:?}").into());
    }
    let plan = world::share(&engine, "wall", Mode { dry_run: true, ..Mode::default() });
    let (idle, limit) = timed(|| world::share(&engine, "wall", Mode { dry_run: true, ..Mode::default() }));
    plan?;
    idle?;
    for (what, run, steps) in
        [("updates", updated.run, updated.update), ("pushes, changed since,", added.run, added.push)]
    {
        let mut best: Option<Took> = None;
        for _ in 0..3 {
            let (asked, took) = timed(|| engine.undo_run(RunId(run), "bench"));
            let asked = asked?;
            if asked.steps.is_empty() {
                return Err(format!("nothing of run {run} would be undone").into());
            }
            best = Some(best.filter(|best| best.wall <= took.wall).unwrap_or(took));
        }
        sheet.time(
            format!("plan that undoes {steps} {what} {n} stored"),
            best.unwrap_or_default(),
            Some(5000.0),
            Some(("an idle plan", limit)),
        );
    }
    Ok(())
}
