//! Twenty targets, filled; one record in a hundred changes; all passes again.

use crate::generate::{self, Said};
use crate::measure::{Sheet, Took, against, mb, ms, peak_rss, rounds, timed};
use crate::world::{self, Fault, RULES};
use engine::Mode;
use std::fmt::Write as _;
use std::path::Path;

/// One in so many records is said otherwise in the second round.
const CHANGED: u32 = 100;

pub(crate) fn run(dir: &Path, n: u32, sheet: &mut Sheet) -> Result<(), Fault> {
    let rows = world::write_feeds(dir, n, 0)?;
    let engine = world::open(dir)?;
    world::apply(&engine, &world::configuration(dir, &RULES))?;
    let pull_all = || -> Result<(u64, u64), Fault> {
        let mut counts = (0, 0);
        for source in 0..generate::SOURCES {
            let report = world::pull(&engine, &format!("source-{source}"))?;
            counts = (counts.0 + report.new, counts.1 + report.changed);
        }
        Ok(counts)
    };
    let (counts, took) = timed(pull_all);
    sheet.put(format!("{rows} rows of 8 sources, first ingest"), ms(took.wall), "", None, String::new());
    if counts?.0 != rows {
        return Err("not every row is new".into());
    }
    let names: Vec<String> = (0..RULES.len()).map(|at| format!("rule-{at:02}")).collect();
    let passes = |mode: Mode| -> Result<(u64, u64, Took, String), Fault> {
        let (mut steps, mut present, mut all, mut each) = (0, 0, Took::default(), String::new());
        for name in &names {
            let (report, took) = timed(|| world::share(&engine, name, mode));
            let report = report?;
            steps += report.push + report.update + report.retract;
            present += report.present;
            all = all.plus(took);
            let _ = write!(each, " {:.0}", took.wall);
        }
        Ok((steps, present, all, each))
    };
    let dry = Mode { dry_run: true, ..Mode::default() };
    let real = Mode { approve: true, ..Mode::default() };
    let first = passes(dry)?;
    sheet.put(format!("planning the first fill, {} steps", first.0), show(first.2), "", None, String::new());
    let filled = passes(real)?;
    sheet.put(format!("filling 20 lists, {} lines", filled.1), show(filled.2), "", None, String::new());
    let idle = passes(dry)?;
    sheet.put(format!("planning when nothing changed, {} steps", idle.0), show(idle.2), "", None, String::new());

    world::write_feeds(dir, n, CHANGED)?;
    let (counts, took) = timed(pull_all);
    let changed = counts?.1;
    sheet.put(format!("pulling them again, {changed} records changed"), ms(took.wall), "", None, String::new());

    // The least a pass can do is to look at its columns once: kind and marks of each indicator, for each target.
    let column: Vec<u32> = (0..n).map(|at| Said::of(at, 0, 0).last_seen as u32).collect();
    let scan = rounds(3, || {
        (0..RULES.len() as u32).map(|rule| column.iter().filter(|seen| **seen > rule).count()).sum::<usize>()
    })
    .1;
    let planned = passes(dry)?;
    let bar = 1000.0 * f64::from(n) / 1e6;
    let what = format!("planning 20 targets, {changed} records changed, {} steps", planned.0);
    sheet.time(what, planned.2, Some(bar), Some(("20 scans of a column", scan)));
    sheet.note(&format!("ms each:{}", planned.3));
    let done = passes(real)?;
    sheet.put(
        format!("the real passes, {} steps", done.0),
        show(done.2),
        "",
        None,
        against("planning", done.2, planned.2),
    );
    sheet.note(&format!("ms each:{}", done.3));
    let rest = passes(dry)?;
    if rest.0 > 0 {
        return Err(format!("{} steps are left after a pass that did everything", rest.0).into());
    }
    sheet.put("planning once more, nothing to do", show(rest.2), "", None, String::new());
    sheet.note(&format!("ms each:{}", rest.3));
    sheet.note(&format!("resident at most {}", mb(peak_rss(None))));
    Ok(())
}

fn show(took: Took) -> String {
    format!("{} ({} CPU)", ms(took.wall), ms(took.cpu))
}
