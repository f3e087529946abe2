//! What everything known takes in memory.

use crate::generate;
use crate::measure::{Sheet, mb, rss};
use crate::rules::load_index;
use crate::world::Fault;
use engine::ledger::{Entry, Ledger};
use intel::sharing::{Line, LineState};
use intel::{IndicatorId, Timestamp};
use std::process::Command;

pub(crate) fn run(n: u32, sheet: &mut Sheet) -> Result<(), Fault> {
    // What the generator and the allocator take at all is not the index's.
    drop(std::hint::black_box(load_index(1000)));
    let before = rss(None);
    let index = load_index(n);
    let grown = rss(None).saturating_sub(before);
    let total = index.memory().total() as u64;
    let millions = f64::from(n) / 1e6;
    let values: usize = index.all().iter().map(|id| index.key_ref(id).1.len()).sum();
    let what = format!("index of {n} indicators, {:.2} records each", index.n_records() as f64 / f64::from(n));
    let per = |bytes: u64| bytes as f64 / 1e6 / millions;
    let got = format!("{:.1} MB per million, by RSS", per(grown));
    let limit = format!("{:.2} × the values alone ({})", grown as f64 / values as f64, mb(values as u64));
    sheet.put(&what, got, "≤ 170 MB", Some(per(grown) <= 170.0), limit);
    let got = format!("{:.1} MB per million, by its own count", per(total));
    sheet.put(
        &what,
        got,
        "≤ 170 MB",
        Some(per(total) <= 170.0),
        format!("mean value {:.1} bytes", values as f64 / f64::from(n)),
    );
    sheet.note(&format!("{:?}", index.memory()));
    drop(index);

    for (name, order) in [("as loaded at start", "in order"), ("grown by passes", "mixed")] {
        // A process of its own for each: what the allocator kept of anything else would be counted or used again.
        let out = Command::new(std::env::current_exe()?).args(["--ledger", &n.to_string(), order]).output()?;
        let text = String::from_utf8(out.stdout)?;
        let mut words = text.split_whitespace().filter_map(|word| word.parse::<f64>().ok());
        let (Some(by_rss), Some(counted)) = (words.next(), words.next()) else {
            return Err("the ledger's process said nothing".into());
        };
        let limit = format!("{counted:.1} by its own count; 17 for the fields alone");
        let got = format!("{by_rss:.1} bytes a line by RSS");
        sheet.put(format!("ledger of {n} lines, {name}"), got, "≤ 40 bytes", Some(by_rss <= 40.0), limit);
    }
    Ok(())
}

/// Fills a ledger and prints bytes a line: by resident memory, by its own count.
pub(crate) fn ledger(n: u32, is_mixed: bool) {
    // Loading puts lines in order of their numbers, a pass in any order.
    let step = if is_mixed { 0x9e37_79b1 } else { 1 };
    let before = rss(None);
    let mut ledger = Ledger::default();
    for at in 0..u64::from(n) {
        let id = IndicatorId((at * step % u64::from(n)) as u32);
        ledger.put(Entry {
            id,
            line: Line::new(LineState::Present, generate::mix(at, 12)),
            remote_id: None,
            entry: None,
            words: None,
            first_intent: Timestamp::from_secs(generate::TODAY),
            updated: Timestamp::from_secs(generate::TODAY),
        });
    }
    let lines = ledger.len() as f64;
    println!("{} {}", rss(None).saturating_sub(before) as f64 / lines, ledger.bytes() as f64 / lines);
}
